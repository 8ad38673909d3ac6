"""Routes of debits: scheduled, sent, cancelled, returned, looked at."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.payments import debits, disputes, institution, mandates, orders
from steelyard.payments.http.wire import Amount, Currency, Word, id_of, merchant_of

router = APIRouter(prefix="/v1/payments/debits", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Debits = Annotated[Write, writing("payments.debit")]
Disputes = Annotated[Write, writing("payments.dispute")]
DebitId = Annotated[UUID, Path(description="id of the debit")]


class DebitIn(BodyIn):
    """An amount to take by a mandate."""

    mandate: UUID
    debit_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$")]
    amount_minor: Amount
    currency: Currency = "CNY"
    due_on: date
    subject: Annotated[str, Field(max_length=200)] = ""


class ReturnIn(BodyIn):
    """What a bank says when it takes a debit back."""

    code: Annotated[str, Field(pattern=r"^[A-Z]{1,4}[0-9]{2}$", examples=["MD06", "R10"])]
    reference: Word


class DebitOut(BaseModel):
    """A debit as it stands."""

    id: UUID
    mandate: UUID
    merchant: UUID
    customer: UUID
    mode: orders.Mode
    debit_no: str
    amount_minor: int
    currency: str
    due_on: date
    try_on: date = Field(description="business day on which it is sent, or sent again")
    subject: str
    is_signing: bool
    state: debits.DebitState
    version: int
    tries: int
    order: UUID | None = Field(description="the payment that moves its money")
    code: str | None = Field(description="of the bank, of a failure or a return")
    decline: str | None
    failure: str | None = Field(description="code of a refusal, where nothing was sent")
    created_at: datetime
    sent_at: datetime | None
    final_at: datetime | None
    returned_at: datetime | None

    @classmethod
    def of(cls, debit: debits.Debit) -> DebitOut:
        """Return the wire form."""
        return cls(**{name: getattr(debit, name) for name in cls.model_fields})


class DebitPage(PageOut):
    """Debits, the newest first."""

    items: list[DebitOut]


@router.post(
    "",
    response_model=DebitOut,
    status_code=201,
    responses=refusals(
        mandates.MandateIsUnknown,
        mandates.MandateIsNotActive,
        debits.DebitIsMalformed,
        debits.DebitNoWasUsed,
        debits.DebitIsTooEarly,
        debits.DebitExceedsMandate,
        institution.InstitutionIsNotOpen,
        write=True,
    ),
)
def schedule_debit(body: DebitIn, write: Debits) -> Response:
    """Schedule a debit; what it takes of its mandate is counted now."""
    new = debits.NewDebit(id=id_of(write, "debit"), **body.model_dump())
    merchant = merchant_of(write.caller)
    return write.run(
        lambda unit: DebitOut.of(debits.schedule_one(unit, new, merchant=merchant)), status=201
    )


@router.get("", response_model=DebitPage, responses=refusals(CursorIsInvalid))
def list_debits(
    read: Reads,
    cursor: Cursor = None,
    limit: Limit = 50,
    *,
    merchant: Annotated[UUID | None, Query(description="of one merchant")] = None,
    mandate: Annotated[UUID | None, Query(description="of one mandate")] = None,
    state: Annotated[debits.DebitState | None, Query()] = None,
) -> DebitPage:
    """List debits, the newest first: those that the caller has a part in, or all for staff."""
    with read.database.reading() as connection:
        page = debits.list_debits(
            connection,
            party=merchant_of(read.caller),
            merchant=merchant,
            mandate=mandate,
            state=state,
            cursor=cursor,
            limit=limit,
        )
    return page_out(DebitPage, page, DebitOut.of)


@router.get("/{id}", response_model=DebitOut, responses=refusals(debits.DebitIsUnknown))
def read_debit(id: DebitId, read: Reads) -> DebitOut:
    """Show a debit."""
    with read.database.reading() as connection:
        return DebitOut.of(debits.read(connection, id, party=merchant_of(read.caller)))


@router.post(
    "/{id}/send", response_model=DebitOut, responses=refusals(debits.DebitIsUnknown, write=True)
)
def send_debit(id: DebitId, write: Debits) -> Response:
    """Send a debit whose day has come, without waiting for the job; else nothing happens."""
    merchant = merchant_of(write.caller)

    def work() -> DebitOut:
        database = write.database
        with database.reading() as connection:
            debits.read(connection, id, party=merchant)
        debits.send(database, write.platform.paying, [id], actor=write.caller.actor)
        with database.reading() as connection:
            return DebitOut.of(debits.read(connection, id, party=merchant))

    return write.run_in_steps(work)


@router.post(
    "/{id}/cancel",
    response_model=DebitOut,
    responses=refusals(debits.DebitIsUnknown, debits.DebitStateForbids, write=True),
)
def cancel_debit(id: DebitId, write: Debits) -> Response:
    """Cancel a debit: at once while it waits, else when its channel says that nothing is taken."""
    merchant = merchant_of(write.caller)
    return write.run(lambda unit: DebitOut.of(debits.cancel(unit, id, merchant=merchant)))


@router.post(
    "/{id}/return",
    response_model=DebitOut,
    responses=refusals(
        debits.DebitIsUnknown,
        debits.DebitStateForbids,
        disputes.DisputeReferenceWasUsed,
        write=True,
    ),
)
def return_debit(id: DebitId, body: ReturnIn, write: Disputes) -> Response:
    """Write down that a bank took a debit back; for staff."""
    if merchant_of(write.caller) is not None:
        raise debits.DebitIsUnknown(debit=id)
    back = debits.Return(id, body.code, body.reference, "operator")
    return write.run(lambda unit: DebitOut.of(debits.give_back(unit, back)))
