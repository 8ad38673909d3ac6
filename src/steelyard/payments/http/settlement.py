"""Routes of settlements and payouts; what needs a second person takes an approval."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import BodyIn, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.parties import approvals
from steelyard.payments import custody, day, institution, payouts, settlement
from steelyard.payments.http.clearing import hands_of, staff_only
from steelyard.payments.http.wire import Text, merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Clears = Annotated[Write, writing("payments.clear")]
SettlementId = Annotated[UUID, Path(description="id of the settlement")]
PayoutId = Annotated[UUID, Path(description="id of the payout")]
Which = Annotated[institution.Mode, Query(description="live or sandbox")]


class SettlementOut(BaseModel):
    """What a merchant is paid on a day; balance - not due = amount + carried."""

    id: UUID
    merchant: UUID
    mode: institution.Mode
    currency: str
    on: date
    state: settlement.SettlementState
    balance_minor: int
    not_due_minor: int
    amount_minor: int
    carried_minor: int
    held_for: str | None
    cause: str | None

    @classmethod
    def of(cls, one: settlement.Settlement) -> SettlementOut:
        """Return the wire form."""
        return cls(
            id=one.id,
            merchant=one.merchant,
            mode=one.mode,
            currency=one.currency,
            on=one.on,
            state=one.state,
            balance_minor=one.payable.balance_minor,
            not_due_minor=one.payable.not_due_minor,
            amount_minor=one.payable.amount_minor,
            carried_minor=one.payable.carried_minor,
            held_for=one.held_for,
            cause=one.cause,
        )


class SettlementsOut(BaseModel):
    """Settlements."""

    items: list[SettlementOut]


class PayoutOut(BaseModel):
    """An order to the custodian."""

    id: UUID
    kind: str
    settlement: UUID | None
    no: int
    merchant: UUID | None
    currency: str
    amount_minor: int
    account_tail: str
    state: payouts.PayoutState
    executed_on: date | None
    returned_on: date | None
    why: str | None

    @classmethod
    def of(cls, one: payouts.Payout) -> PayoutOut:
        """Return the wire form."""
        return cls(
            id=one.id,
            kind=one.kind.value,
            settlement=one.settlement,
            no=one.no,
            merchant=one.merchant,
            currency=one.currency,
            amount_minor=one.amount_minor,
            account_tail=one.payee_tail,
            state=one.state,
            executed_on=one.executed_on,
            returned_on=one.returned_on,
            why=one.why,
        )


class PayoutsOut(BaseModel):
    """Payouts."""

    items: list[PayoutOut]


class ApprovalOut(BaseModel):
    """A second person decides on it."""

    approval: UUID
    expires_at: datetime

    @classmethod
    def of(cls, asked: approvals.Approval) -> ApprovalOut:
        """Return the wire form."""
        return cls(approval=asked.id, expires_at=asked.expires_at)


class RunIn(BodyIn):
    """Which day is settled."""

    mode: institution.Mode = institution.Mode.LIVE
    on: date | None = Field(None, description="null: the present day of the institution")


class ApproveIn(BodyIn):
    """Without an approval one is asked for; with it, it is done."""

    approval: UUID | None = None


class HoldIn(BodyIn):
    """Why a merchant is not paid for now."""

    reason: Text


class DoneOut(BaseModel):
    """Whether it was done, or which approval it waits for."""

    is_done: bool
    waits_for: ApprovalOut | None = None


@router.get("/settlements", responses=refused_by())
def list_settlements(
    read: Reads,
    mode: Which = institution.Mode.LIVE,
    on: date | None = None,
    merchant: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SettlementsOut:
    """List settlements, the newest day first; a merchant sees its own."""
    whose = merchant_of(read.caller) or merchant
    with read.database.reading() as connection:
        found = settlement.list_settlements(connection, mode, on=on, merchant=whose, limit=limit)
    return SettlementsOut(items=[SettlementOut.of(one) for one in found])


@router.get("/settlements/{id}", responses=refused_by(settlement.SettlementIsUnknown))
def show_settlement(read: Reads, id: SettlementId) -> SettlementOut:
    """Show a settlement."""
    with read.database.reading() as connection:
        found = settlement.read(connection, id, merchant=merchant_of(read.caller))
    return SettlementOut.of(found)


@router.post(
    "/settlements/run",
    response_model=SettlementsOut,
    responses=refused_by(
        institution.InstitutionIsNotOpen,
        payouts.PayoutsAreStopped,
        custody.CustodyAccountIsUnknown,
        write=True,
    ),
)
def run_settlements(body: RunIn, write: Clears) -> Response:
    """Calculate a day's settlements, each once, and pay what is approved."""
    staff_only(write)

    def work() -> SettlementsOut:
        on = body.on or day.today(write.database, body.mode)
        day.settle(
            write.database, body.mode, on, hands_of(write), day.How(actor=write.caller.actor)
        )
        with write.database.reading() as connection:
            found = settlement.list_settlements(connection, body.mode, on=on)
        return SettlementsOut(items=[SettlementOut.of(one) for one in found])

    return write.run_in_steps(work)


@router.post(
    "/settlements/{id}/approve",
    response_model=DoneOut,
    responses=refused_by(
        settlement.SettlementIsUnknown,
        settlement.SettlementStateForbids,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def approve_settlement(id: SettlementId, body: ApproveIn, write: Clears) -> Response:
    """Let a settlement above the limit be paid, as two people want it."""
    staff_only(write)

    def work(unit: UnitOfWork) -> DoneOut:
        if body.approval is None:
            return _waits(settlement.request_approval(unit, id))
        settlement.approve(unit, id, approval=body.approval)
        return DoneOut(is_done=True)

    return write.run(work)


@router.post(
    "/settlements/{id}/reissue",
    response_model=PayoutOut,
    responses=refused_by(
        settlement.SettlementIsUnknown,
        settlement.SettlementStateForbids,
        payouts.PayoutsAreStopped,
        payouts.PayeeIsNotListed,
        write=True,
    ),
)
def reissue_settlement(id: SettlementId, write: Clears) -> Response:
    """Send what a bank sent back to the account that is listed now."""
    staff_only(write)
    payees = hands_of(write).payees
    return write.run(lambda unit: PayoutOut.of(payouts.reissue(unit, id, payees)), status=201)


@router.post(
    "/settlements/{id}/release",
    response_model=SettlementOut,
    responses=refused_by(
        settlement.SettlementIsUnknown, settlement.SettlementStateForbids, write=True
    ),
)
def release_settlement(id: SettlementId, write: Clears) -> Response:
    """Put what a bank sent back into the merchant's balance."""
    staff_only(write)
    return write.run(lambda unit: SettlementOut.of(payouts.release_returned(unit, id)))


@router.post(
    "/settlement-holds/{merchant}",
    response_model=DoneOut,
    responses=refused_by(settlement.MerchantIsHeld, write=True),
)
def hold_merchant(
    merchant: Annotated[UUID, Path(description="party")], body: HoldIn, write: Clears
) -> Response:
    """Hold a merchant's settlements."""
    staff_only(write)

    def work(unit: UnitOfWork) -> DoneOut:
        settlement.hold_merchant(unit, merchant, reason=body.reason)
        return DoneOut(is_done=True)

    return write.run(work)


@router.post(
    "/settlement-holds/{merchant}/lift",
    response_model=DoneOut,
    responses=refused_by(settlement.MerchantIsNotHeld, *approvals.CONSUME_REFUSALS, write=True),
)
def lift_hold(
    merchant: Annotated[UUID, Path(description="party")], body: ApproveIn, write: Clears
) -> Response:
    """Pay a held merchant again, as two people want it."""
    staff_only(write)

    def work(unit: UnitOfWork) -> DoneOut:
        if body.approval is None:
            return _waits(settlement.request_lift(unit, merchant))
        settlement.lift_hold(unit, merchant, approval=body.approval)
        return DoneOut(is_done=True)

    return write.run(work)


def _waits(asked: approvals.Approval) -> DoneOut:
    return DoneOut(is_done=False, waits_for=ApprovalOut.of(asked))


@router.get("/payouts", responses=refused_by())
def list_payouts(
    read: Reads,
    mode: Which = institution.Mode.LIVE,
    merchant: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PayoutsOut:
    """List payouts, the newest first; a merchant sees its own."""
    whose = merchant_of(read.caller) or merchant
    with read.database.reading() as connection:
        found = payouts.list_payouts(connection, mode, merchant=whose, limit=limit)
    return PayoutsOut(items=[PayoutOut.of(one) for one in found])


@router.get("/payouts/{id}", responses=refused_by(payouts.PayoutIsUnknown))
def show_payout(read: Reads, id: PayoutId) -> PayoutOut:
    """Show a payout."""
    with read.database.reading() as connection:
        found, _ = payouts.read(connection, id, merchant=merchant_of(read.caller))
    return PayoutOut.of(found)
