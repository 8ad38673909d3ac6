"""Routes of refunds, and of payments that are taken back whole."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

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
from steelyard.kernel import CursorIsInvalid, Refusal
from steelyard.parties import approvals
from steelyard.payments import attempts, channel, channel_desk, orders, refunds, reversal
from steelyard.payments.http.orders import OrderOut
from steelyard.payments.http.wire import (
    Amount,
    Metadata,
    PaymentId,
    Word,
    id_of,
    merchant_of,
    shown,
)

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Refunds = Annotated[Write, writing("payments.refund")]
RefundId = Annotated[UUID, Path(description="id of the refund")]
Number = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.:/-]{1,64}$",
        description="the merchant's own number, never used twice",
        examples=["R-2026-0001"],
    ),
]

_ONE = (refunds.PaymentRefundIsUnknown, refunds.RefundStateForbids)


class RefundIn(BodyIn):
    """A refund that is asked for."""

    payment: UUID
    refund_no: Number
    amount_minor: Amount | None = Field(None, description="null: all that may be refunded")
    reason: Annotated[str, Field(max_length=200)] = ""
    waits: bool = Field(False, description="wait for the merchant's balance where it is short")
    metadata: Metadata = Field(default_factory=dict)
    dry_run: bool = Field(False, description="show what it would do; nothing is written")

    def refund(self, id: UUID) -> refunds.NewRefund:
        """Return the value."""
        return refunds.NewRefund(
            id=id,
            order=self.payment,
            refund_no=self.refund_no,
            amount_minor=self.amount_minor,
            reason=self.reason,
            waits=self.waits,
            metadata=self.metadata,
        )


class RerouteIn(BodyIn):
    """Another account of the payer; without an approval one is asked for."""

    destination: Word = Field(description="reference of the account, never its number")
    approval: UUID | None = None


class OutcomeIn(BodyIn):
    """What became of a refund that people sent to another account."""

    said: Literal["succeeded", "declined"]
    reference: Word = Field(description="of the bank")
    is_account_closed: bool = Field(False, description="that account takes no money either")


class EffectOut(BaseModel):
    """What a refund would do."""

    fee_back_minor: int = Field(description="of the merchant's fee, when it succeeds")
    left_minor: int = Field(description="what of the payment could be refunded after it")
    balance_minor: int = Field(description="of the merchant after it")


class RefundOut(BaseModel):
    """A refund as it stands."""

    id: UUID
    order: UUID
    merchant: UUID
    mode: orders.Mode
    refund_no: str
    amount_minor: int
    coupon_minor: int = Field(description="of it, back to a coupon and not to the payer")
    currency: str
    channel: str
    state: refunds.RefundState
    version: int
    is_automatic: bool = Field(description="money that came late or twice")
    reason: str
    reference: str | None = Field(description="the channel's own number")
    decline: str | None
    code: str | None
    approval: UUID | None = Field(description="a second person's, where one is needed")
    destination: str | None = Field(description="another account of the payer")
    fee_returned_minor: int
    excess_minor: int = Field(description="went out beyond what the payment had left")
    asked_at: datetime
    sent_at: datetime | None
    final_at: datetime | None
    metadata: dict[str, str]
    effect: EffectOut | None = Field(None, description="of a dry run")

    @classmethod
    def of(cls, refund: refunds.Refund, effect: EffectOut | None = None) -> RefundOut:
        """Return the wire form."""
        same = {
            name: getattr(refund, name)
            for name in cls.model_fields
            if name not in ("decline", "metadata", "effect")
        }
        decline = None if refund.decline is None else refund.decline.value
        return cls(**same, decline=decline, metadata=shown(refund.metadata), effect=effect)


class RefundEvidenceOut(BaseModel):
    """Something that was learnt about a refund, whether or not anything followed from it."""

    source: attempts.Source
    said: str
    amount_minor: int | None
    code: str | None
    why: str | None
    note: str
    is_new: bool
    actor: str
    seen_at: datetime


class RefundFileOut(RefundOut):
    """A refund with everything that was learnt about it."""

    evidence: list[RefundEvidenceOut]


class RefundPage(PageOut):
    """Refunds, the newest first."""

    items: list[RefundOut]


class RerouteOut(BaseModel):
    """A refund, and the approval that its other account waits for."""

    refund: RefundOut
    approval: UUID
    shown_hash: str | None = Field(description="what the second person confirms")


@router.post(
    "/refunds",
    response_model=RefundOut,
    status_code=201,
    responses=refusals(*refunds.ASK_REFUSALS, channel_desk.ChannelIsUnknown, write=True),
)
def ask_refund(body: RefundIn, write: Refunds) -> Response:
    """Ask for a refund, and send it; or with `dry_run` see what it would do."""
    merchant = merchant_of(write.caller)
    desk = write.platform.channels
    new = body.refund(id_of(write, "refund"))

    def preview(unit: UnitOfWork) -> RefundOut:
        effect = refunds.preview(unit, new, desk=desk, merchant=merchant)
        return RefundOut.of(
            effect.refund,
            EffectOut(
                fee_back_minor=effect.fee_back_minor,
                left_minor=effect.left_minor,
                balance_minor=effect.balance_minor,
            ),
        )

    def work() -> RefundOut:
        (asked,) = write.database.transact(
            lambda unit: refunds.ask(unit, [new], desk=desk, merchant=merchant),
            actor=write.caller.actor,
        )
        if isinstance(asked, Refusal):
            raise asked
        refunds.send(write.database, desk, [asked.id], actor=write.caller.actor)
        with write.database.reading() as connection:
            return RefundOut.of(refunds.read(connection, asked.id))

    if body.dry_run:
        return write.run(preview)
    return write.run_in_steps(work, status=201)


@router.get("/refunds", response_model=RefundPage, responses=refusals(CursorIsInvalid))
def list_refunds(
    read: Reads,
    cursor: Cursor = None,
    limit: Limit = 50,
    *,
    merchant: Annotated[UUID | None, Query(description="of one merchant")] = None,
    payment: Annotated[UUID | None, Query(description="of one payment")] = None,
    state: refunds.RefundState | None = None,
) -> RefundPage:
    """List refunds, the newest first: a merchant's own, or anybody's for staff."""
    with read.database.reading() as connection:
        page = refunds.list_refunds(
            connection,
            merchant=merchant_of(read.caller) or merchant,
            order=payment,
            state=state,
            cursor=cursor,
            limit=limit,
        )
    return page_out(RefundPage, page, RefundOut.of)


@router.get(
    "/refunds/{id}",
    response_model=RefundFileOut,
    responses=refusals(refunds.PaymentRefundIsUnknown),
)
def read_refund(id: RefundId, read: Reads) -> RefundFileOut:
    """Show a refund with everything that was learnt about it."""
    with read.database.reading() as connection:
        found = refunds.read(connection, id, merchant=merchant_of(read.caller))
        rows = refunds.evidence_of(connection, id)
    evidence = [
        RefundEvidenceOut(
            source=row.source,
            said=row.finding.said.value,
            amount_minor=row.finding.amount_minor,
            code=row.finding.code,
            why=row.finding.why,
            note=row.note,
            is_new=row.is_new,
            actor=row.actor,
            seen_at=row.seen_at,
        )
        for row in rows
    ]
    return RefundFileOut(**RefundOut.of(found).model_dump(), evidence=evidence)


@router.post(
    "/refunds/{id}/withdraw", response_model=RefundOut, responses=refusals(*_ONE, write=True)
)
def withdraw_refund(id: RefundId, write: Refunds) -> Response:
    """Take a refund back before it is sent."""
    merchant = merchant_of(write.caller)
    return write.run(lambda unit: RefundOut.of(refunds.withdraw(unit, id, merchant=merchant)))


@router.post(
    "/refunds/{id}/take_up",
    response_model=RefundOut,
    responses=refusals(
        *_ONE,
        *refunds.ASK_REFUSALS,
        approvals.ApprovalIsNeeded,
        *approvals.CONSUME_REFUSALS,
        channel_desk.ChannelIsUnknown,
        write=True,
    ),
)
def take_up_refund(id: RefundId, write: Refunds) -> Response:
    """Go on with a refund that was approved, or whose merchant has money now."""
    merchant, desk = merchant_of(write.caller), write.platform.channels

    def work() -> RefundOut:
        with write.database.reading() as connection:
            found = refunds.read(connection, id, merchant=merchant)
        if found.state.is_before:
            write.database.transact(
                lambda unit: refunds.take_up(unit, id, desk=desk, merchant=merchant),
                actor=write.caller.actor,
            )
        elif found.state is not refunds.RefundState.RESERVED:
            raise refunds.RefundStateForbids(refund=id, state=found.state.value, verb="take_up")
        refunds.send(write.database, desk, [id], actor=write.caller.actor)
        with write.database.reading() as connection:
            return RefundOut.of(refunds.read(connection, id))

    return write.run_in_steps(work)


@router.post(
    "/refunds/{id}/give_up", response_model=RefundOut, responses=refusals(*_ONE, write=True)
)
def give_up_refund(id: RefundId, write: Refunds) -> Response:
    """Give a refund that no account of the payer takes back to its merchant; for staff."""
    _staff(write)
    return write.run(lambda unit: RefundOut.of(refunds.give_up(unit, id)))


@router.post(
    "/refunds/{id}/reroute",
    response_model=RerouteOut,
    responses=refusals(*_ONE, *approvals.CONSUME_REFUSALS, write=True),
)
def reroute_refund(id: RefundId, body: RerouteIn, write: Refunds) -> Response:
    """Send a refund to another account of its payer, as two people want it; for staff."""
    _staff(write)

    def work(unit: UnitOfWork) -> RerouteOut:
        if body.approval is None:
            asked = refunds.ask_reroute(unit, id, destination=body.destination)
            found = RefundOut.of(refunds.read(unit.connection, id))
            return RerouteOut(refund=found, approval=asked.id, shown_hash=asked.shown_hash)
        done = refunds.reroute(unit, id, destination=body.destination, approval=body.approval)
        return RerouteOut(refund=RefundOut.of(done), approval=body.approval, shown_hash=None)

    return write.run(work)


@router.post(
    "/refunds/{id}/outcome", response_model=RefundOut, responses=refusals(*_ONE, write=True)
)
def report_refund(id: RefundId, body: OutcomeIn, write: Refunds) -> Response:
    """Report what became of a refund that people sent to another account; for staff."""
    _staff(write)

    def work(unit: UnitOfWork) -> RefundOut:
        found = refunds.read(unit.connection, id)
        if found.destination is None:
            raise refunds.RefundStateForbids(refund=id, state=found.state.value, verb="report")
        closed = channel.Decline.ACCOUNT_CLOSED if body.is_account_closed else None
        finding = channel.Finding(
            said=channel.Said(body.said), reference=body.reference, decline=closed
        )
        refunds.report(unit, [refunds.RefundReport(id, attempts.Source.OPERATOR, finding)])
        return RefundOut.of(refunds.read(unit.connection, id))

    return write.run(work)


@router.post(
    "/orders/{id}/reverse",
    response_model=OrderOut,
    responses=refusals(
        orders.PaymentIsUnknown,
        reversal.ReversalIsRefused,
        channel_desk.ChannelIsUnknown,
        write=True,
    ),
)
def reverse_order(id: PaymentId, write: Refunds) -> Response:
    """Take a captured payment back whole, on its day; with no word of the channel it stays paid."""
    merchant = merchant_of(write.caller)
    return write.run_in_steps(
        lambda: OrderOut.of(
            reversal.cancel_paid(
                write.database,
                write.platform.channels,
                id,
                merchant=merchant,
                actor=write.caller.actor,
            )
        )
    )


def _staff(write: Write) -> None:
    if write.caller.party is not None:
        raise NotEntitled(actor=write.caller.actor, verb=write.verb)
