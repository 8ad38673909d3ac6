"""Routes of disputes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    NotEntitled,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.payments import disputes, orders
from steelyard.payments.http.wire import Amount, Currency, Word, id_of, merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Disputes = Annotated[Write, writing("payments.dispute")]
DisputeId = Annotated[UUID, Path(description="id of the dispute")]

_ONE = (disputes.PaymentDisputeIsUnknown, disputes.DisputeStateForbids)


class DisputeIn(BodyIn):
    """A dispute as a channel brings it."""

    payment: UUID
    reference: Word = Field(description="the channel's own number")
    amount_minor: Amount
    currency: Currency = "CNY"
    reason: Annotated[str, Field(max_length=200)] = ""
    is_inquiry: bool = Field(False, description="the bank only asks; nothing is withheld")
    due_at: AwareDatetime | None = Field(None, description="until when evidence is taken")


class WordIn(BodyIn):
    """What was said about a dispute."""

    word: disputes.DisputeWord
    due_at: AwareDatetime | None = None


class EvidenceIn(BodyIn):
    """What a merchant says for himself: a text, or a file by reference and hash."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", examples=["delivery_note"])]
    text: Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")] = ""
    reference: Annotated[str, Field(max_length=200, pattern=r"^([a-z][a-z0-9_]*:[^\x00]+)?$")] = ""
    content_hash: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None


class DisputeOut(BaseModel):
    """A dispute as it stands."""

    id: UUID
    order: UUID
    merchant: UUID
    mode: orders.Mode
    channel: str
    reference: str
    reason: str
    state: disputes.DisputeState
    version: int
    amount_minor: int
    currency: str
    money: disputes.Money
    held_minor: int = Field(description="of the payment, withheld or taken")
    excess_minor: int = Field(description="beyond what the payment had left")
    fee_minor: int
    opened_at: datetime
    due_at: datetime | None
    submitted_at: datetime | None
    decided_at: datetime | None

    @classmethod
    def of(cls, dispute: disputes.Dispute) -> DisputeOut:
        """Return the wire form."""
        return cls(**{name: getattr(dispute, name) for name in cls.model_fields})


class StepOut(BaseModel):
    """A word about a dispute, and what it was after it."""

    version: int
    said: disputes.DisputeWord
    state: disputes.DisputeState
    money: disputes.Money
    held_minor: int
    note: str
    source: str
    at: datetime
    by: str


class EvidenceOut(BaseModel):
    """Evidence as it was given."""

    id: UUID
    kind: str
    text: str
    reference: str
    content_hash: str | None
    at: datetime
    by: str

    @classmethod
    def of(cls, kept: disputes.KeptEvidence) -> EvidenceOut:
        """Return the wire form."""
        one = kept.evidence
        return cls(
            id=kept.id,
            kind=one.kind,
            text=one.text,
            reference=one.reference,
            content_hash=one.content_hash,
            at=kept.at,
            by=kept.by,
        )


class DisputeFileOut(DisputeOut):
    """A dispute with its life and the evidence."""

    steps: list[StepOut]
    evidence: list[EvidenceOut]


class DisputePage(PageOut):
    """Disputes, the newest first."""

    items: list[DisputeOut]


@router.post(
    "/disputes",
    response_model=DisputeOut,
    status_code=201,
    responses=refusals(
        orders.PaymentIsUnknown,
        disputes.PaymentIsNotDisputable,
        disputes.DisputeAmountIsWrong,
        disputes.DisputeReferenceWasUsed,
        disputes.ReversalIsUnderWay,
        write=True,
    ),
)
def take_dispute(body: DisputeIn, write: Disputes) -> Response:
    """Take a dispute that a channel brings; for staff and channels."""
    _staff(write)
    new = disputes.NewDispute(
        id=id_of(write, "dispute"),
        order=body.payment,
        reference=body.reference,
        amount_minor=body.amount_minor,
        currency=body.currency,
        reason=body.reason,
        is_inquiry=body.is_inquiry,
        due_at=body.due_at,
    )
    return write.run(lambda unit: DisputeOut.of(disputes.take(unit, new)), status=201)


@router.get("/disputes", response_model=DisputePage, responses=refusals(CursorIsInvalid))
def list_disputes(
    read: Reads,
    cursor: Cursor = None,
    limit: Limit = 50,
    *,
    merchant: Annotated[UUID | None, Query(description="of one merchant")] = None,
    payment: Annotated[UUID | None, Query(description="of one payment")] = None,
    state: disputes.DisputeState | None = None,
) -> DisputePage:
    """List disputes, the newest first: a merchant's own, or anybody's for staff."""
    with read.database.reading() as connection:
        page = disputes.list_disputes(
            connection,
            merchant=merchant_of(read.caller) or merchant,
            order=payment,
            state=state,
            cursor=cursor,
            limit=limit,
        )
    return page_out(DisputePage, page, DisputeOut.of)


@router.get(
    "/disputes/{id}",
    response_model=DisputeFileOut,
    responses=refusals(disputes.PaymentDisputeIsUnknown),
)
def read_dispute(id: DisputeId, read: Reads) -> DisputeFileOut:
    """Show a dispute with its life and the evidence."""
    with read.database.reading() as connection:
        found = disputes.read(connection, id, merchant=merchant_of(read.caller))
        steps = disputes.steps_of(connection, id)
        evidence = disputes.evidence_of(connection, id)
    return DisputeFileOut(
        **DisputeOut.of(found).model_dump(),
        steps=[StepOut(**one._asdict()) for one in steps],
        evidence=[EvidenceOut.of(one) for one in evidence],
    )


@router.post(
    "/disputes/{id}/evidence",
    response_model=EvidenceOut,
    status_code=201,
    responses=refusals(
        *_ONE, disputes.EvidenceIsTooLate, disputes.DisputeEvidenceIsMalformed, write=True
    ),
)
def add_evidence(id: DisputeId, body: EvidenceIn, write: Disputes) -> Response:
    """Keep something that the merchant says for himself."""
    merchant = merchant_of(write.caller)
    evidence = disputes.DisputeEvidence(**body.model_dump())
    return write.run(
        lambda unit: EvidenceOut.of(disputes.add_evidence(unit, id, evidence, merchant=merchant)),
        status=201,
    )


@router.post(
    "/disputes/{id}/submit",
    response_model=DisputeOut,
    responses=refusals(
        *_ONE, disputes.EvidenceIsTooLate, disputes.DisputeEvidenceIsMissing, write=True
    ),
)
def submit_evidence(id: DisputeId, write: Disputes) -> Response:
    """Put the evidence before the bank."""
    merchant = merchant_of(write.caller)
    return write.run(lambda unit: DisputeOut.of(disputes.submit(unit, id, merchant=merchant)))


@router.post(
    "/disputes/{id}/accept",
    response_model=DisputeOut,
    responses=refusals(*_ONE, disputes.ReversalIsUnderWay, write=True),
)
def accept_dispute(id: DisputeId, write: Disputes) -> Response:
    """Not contest a dispute: its money goes to the payer's bank."""
    merchant = merchant_of(write.caller)
    return write.run(lambda unit: DisputeOut.of(disputes.accept(unit, id, merchant=merchant)))


@router.post(
    "/disputes/{id}/words",
    response_model=DisputeOut,
    responses=refusals(disputes.PaymentDisputeIsUnknown, disputes.ReversalIsUnderWay, write=True),
)
def say_of_dispute(id: DisputeId, body: WordIn, write: Disputes) -> Response:
    """Report what the channel says of a dispute; out of turn it changes nothing; for staff."""
    _staff(write)

    def work(unit: UnitOfWork) -> DisputeOut:
        disputes.tell(unit, id, body.word, due_at=body.due_at)
        return DisputeOut.of(disputes.read(unit.connection, id))

    return write.run(work)


def _staff(write: Write) -> None:
    if write.caller.party is not None:
        raise NotEntitled(actor=write.caller.actor, verb=write.verb)
