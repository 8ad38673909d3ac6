"""Routes of mandates: proposed by merchants, signed and stopped by customers."""

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
from steelyard.kernel import CursorIsInvalid, UnknownCurrency
from steelyard.kernel.calendars import UnknownCalendar
from steelyard.payments import channel_desk, debits, institution, mandates, orders
from steelyard.payments.http.wire import (
    Amount,
    Code,
    Currency,
    Metadata,
    Word,
    id_of,
    merchant_for,
    merchant_of,
)

router = APIRouter(prefix="/v1/payments/mandates", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Debits = Annotated[Write, writing("payments.debit")]
Pays = Annotated[Write, writing("payments.pay")]
MandateId = Annotated[UUID, Path(description="id of the mandate")]
_SHOWN = 4
"""Letters of an account number that are shown."""


class MandateIn(BodyIn):
    """What a merchant asks a customer to be allowed to take from him."""

    merchant: UUID | None = Field(
        None,
        description="for staff; a merchant's key has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    customer: UUID
    mode: orders.Mode = orders.Mode.LIVE
    mandate_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$")]
    currency: Currency = "CNY"
    single_most_minor: Amount
    period_most_minor: Amount
    period: mandates.Period = mandates.Period.MONTH
    account: Word | None = Field(None, description="of the customer with us; null: a channel")
    channel: Code | None = Field(None, description="null: the routing chooses")
    needs_confirmation: bool = Field(
        False, description="the channel confirms the signing by a first debit"
    )
    signing_minor: Amount = 1
    cycle: mandates.Cycle = mandates.Cycle.NONE
    cycle_length: Annotated[int, Field(ge=1, le=366)] = 1
    first_on: date | None = None
    notice_days: Annotated[int, Field(ge=0, le=30)] = 0
    pay_days: Annotated[list[Annotated[int, Field(ge=1, le=31)]], Field(max_length=31)] = Field(
        default_factory=list, description="days of the month on which what failed is tried again"
    )
    calendar: Annotated[str, Field(max_length=20, examples=["CN"])] = "CN"
    valid_until: date | None = None
    subject: Annotated[str, Field(max_length=200)] = ""
    details: Metadata = Field(
        default_factory=dict, description="what the channel is told with every debit"
    )

    def mandate(self, id: UUID, merchant: UUID, kind: str) -> mandates.NewMandate:
        """Return the value."""
        values = self.model_dump(exclude={"merchant", "pay_days"})
        return mandates.NewMandate(
            id=id, merchant=merchant, kind=kind, pay_days=tuple(self.pay_days), **values
        )


class WhyIn(BodyIn):
    """Why something is done."""

    why: Annotated[str, Field(min_length=1, max_length=100)] = "asked"


class NextDateIn(BodyIn):
    """To which date the next debit moves."""

    to_on: date


class MandateOut(BaseModel):
    """A mandate as it stands; of numbers of accounts outside the end is shown."""

    id: UUID
    merchant: UUID
    customer: UUID
    mode: orders.Mode
    mandate_no: str
    number: str = Field(description="what the channel knows it by")
    currency: str
    single_most_minor: int
    period_most_minor: int
    period: mandates.Period
    account: str | None
    channel: str | None
    needs_confirmation: bool
    cycle: mandates.Cycle
    cycle_length: int
    first_on: date | None
    notice_days: int
    pay_days: list[int]
    calendar: str
    valid_until: date | None
    subject: str
    details: dict[str, str]
    state: mandates.MandateState
    why: str
    version: int
    created_at: datetime
    signed_at: datetime | None
    signed_on: date | None
    last_on: date | None
    next_on: date | None

    @classmethod
    def of(cls, mandate: mandates.Mandate) -> MandateOut:
        """Return the wire form."""
        other = ("pay_days", "details")
        same = {name: getattr(mandate, name) for name in cls.model_fields if name not in other}
        details = {name: "*" * 4 + text[-_SHOWN:] for name, text in mandate.details.items()}
        return cls(**same, pay_days=list(mandate.pay_days), details=details)


class MandatePage(PageOut):
    """Mandates, the newest first."""

    items: list[MandateOut]


@router.post(
    "",
    response_model=MandateOut,
    status_code=201,
    responses=refusals(
        mandates.MandateIsMalformed,
        UnknownCurrency,
        UnknownCalendar,
        orders.PaymentMerchantIsUnknown,
        orders.PaymentMerchantIsNotActive,
        institution.InstitutionIsNotOpen,
        channel_desk.ChannelIsUnknown,
        mandates.MandateAccountIsNotTheirs,
        mandates.MandateNoWasUsed,
        mandates.MandatesAreTooMany,
        write=True,
    ),
)
def propose_mandate(body: MandateIn, write: Debits) -> Response:
    """Propose a mandate to a customer, who signs it himself."""
    kind = ""
    if body.channel is not None:
        kind = write.platform.channels.listed(body.channel).record.kind
    new = body.mandate(id_of(write, "mandate"), merchant_for(write, body.merchant), kind)
    return write.run(lambda unit: MandateOut.of(mandates.propose(unit, new)), status=201)


@router.get("", response_model=MandatePage, responses=refusals(CursorIsInvalid))
def list_mandates(
    read: Reads,
    cursor: Cursor = None,
    limit: Limit = 50,
    *,
    merchant: Annotated[UUID | None, Query(description="of one merchant")] = None,
    customer: Annotated[UUID | None, Query(description="of one customer")] = None,
    state: Annotated[mandates.MandateState | None, Query()] = None,
) -> MandatePage:
    """List mandates, the newest first: those that the caller has a part in, or all for staff."""
    with read.database.reading() as connection:
        page = mandates.list_mandates(
            connection,
            party=merchant_of(read.caller),
            merchant=merchant,
            customer=customer,
            state=state,
            cursor=cursor,
            limit=limit,
        )
    return page_out(MandatePage, page, MandateOut.of)


@router.get("/{id}", response_model=MandateOut, responses=refusals(mandates.MandateIsUnknown))
def read_mandate(id: MandateId, read: Reads) -> MandateOut:
    """Show a mandate."""
    with read.database.reading() as connection:
        return MandateOut.of(mandates.read(connection, id, party=merchant_of(read.caller)))


def _customer(write: Write, mandate: UUID, verb: str) -> UUID:
    """Return the customer that calls; staff does nothing in his place."""
    own = merchant_of(write.caller)
    if own is None:
        raise mandates.MandateIsSignedByTheCustomer(mandate=mandate, verb=verb)
    return own


_BY_CUSTOMER = refusals(
    mandates.MandateIsUnknown,
    mandates.MandateStateForbids,
    mandates.MandateIsSignedByTheCustomer,
    debits.DebitExceedsMandate,
    debits.DebitIsMalformed,
    debits.DebitNoWasUsed,
    mandates.MandateIsNotActive,
    write=True,
)
_BY_EITHER = refusals(mandates.MandateIsUnknown, mandates.MandateStateForbids, write=True)


@router.post("/{id}/sign", response_model=MandateOut, responses=_BY_CUSTOMER)
def sign_mandate(id: MandateId, write: Pays) -> Response:
    """Sign a mandate: the customer himself, nobody for him."""
    customer = _customer(write, id, "sign")
    return write.run(lambda unit: MandateOut.of(mandates.sign(unit, id, customer=customer)))


@router.post("/{id}/reject", response_model=MandateOut, responses=_BY_CUSTOMER)
def reject_mandate(id: MandateId, write: Pays) -> Response:
    """Say no to a mandate that is not signed."""
    customer = _customer(write, id, "reject")
    return write.run(lambda unit: MandateOut.of(mandates.reject(unit, id, customer=customer)))


@router.post("/{id}/resume", response_model=MandateOut, responses=_BY_CUSTOMER)
def resume_mandate(id: MandateId, write: Pays) -> Response:
    """Allow a suspended mandate again: the customer himself."""
    customer = _customer(write, id, "resume")
    return write.run(lambda unit: MandateOut.of(mandates.resume(unit, id, customer=customer)))


@router.post("/{id}/suspend", response_model=MandateOut, responses=_BY_EITHER)
def suspend_mandate(id: MandateId, body: WhyIn, write: Pays) -> Response:
    """Take nothing new by a mandate for a while."""
    party = merchant_of(write.caller)
    return write.run(
        lambda unit: MandateOut.of(mandates.suspend(unit, id, party=party, why=body.why))
    )


@router.post("/{id}/revoke", response_model=MandateOut, responses=_BY_EITHER)
def revoke_mandate(id: MandateId, body: WhyIn, write: Pays) -> Response:
    """End a mandate: what was sent before stands, nothing is sent any more."""
    party = merchant_of(write.caller)
    return write.run(
        lambda unit: MandateOut.of(mandates.revoke(unit, id, party=party, why=body.why))
    )


@router.post(
    "/{id}/next-date",
    response_model=MandateOut,
    responses=refusals(
        mandates.MandateIsUnknown,
        mandates.MandateIsNotActive,
        mandates.DebitDateMovesOnlyLater,
        write=True,
    ),
)
def move_next_date(id: MandateId, body: NextDateIn, write: Debits) -> Response:
    """Move the next date of a cycle; it moves later only."""
    party = merchant_of(write.caller)
    return write.run(
        lambda unit: MandateOut.of(mandates.move_next(unit, id, body.to_on, party=party))
    )
