"""Routes of fee plans."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import BodyIn, Read, Write, reading, refusals, writing
from steelyard.kernel import Rounding
from steelyard.parties import approvals
from steelyard.payments import fees, merchants, orders
from steelyard.payments.http.merchants_wire import (
    ApprovalAskedOut,
    ApprovedIn,
    MerchantId,
    must_be_theirs,
)
from steelyard.payments.http.wire import Currency

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Onboards = Annotated[Write, writing("payments.onboard")]
PlanId = Annotated[UUID, Path(description="id of the fee plan")]
Rate = Annotated[Decimal, Field(ge=0, le=1, max_digits=12, decimal_places=8, examples=["0.006"])]
Minor = Annotated[int, Field(ge=0, lt=2**53)]

_PLAN = (fees.FeePlanIsUnknown,)
_PLAN_MOVES = (*_PLAN, fees.FeePlanStateForbids)


class FeeTierIO(BodyIn):
    """Another rate from a volume of the month on."""

    from_minor: Minor
    rate: Rate
    fixed_minor: Minor = 0

    def tier(self) -> fees.FeeTier:
        """Return what it says."""
        return fees.FeeTier(**self.model_dump())


class FeeTermIO(BodyIn):
    """What is charged for a kind of payment; what it does not name is any."""

    rate: Rate = Field(description="decimal per one of the amount")
    method: orders.Method | None = None
    scenario: orders.Scenario | None = None
    currency: Currency | None = None
    fixed_minor: Minor = 0
    least_minor: Minor = 0
    most_minor: Minor | None = None
    tiers: Annotated[list[FeeTierIO], Field(max_length=20)] = Field(default_factory=list)

    def term(self) -> fees.FeeTerm:
        """Return what it says."""
        told = self.model_dump(exclude={"tiers"})
        return fees.FeeTerm(**told, tiers=tuple(tier.tier() for tier in self.tiers))

    @classmethod
    def of(cls, term: fees.FeeTerm) -> FeeTermIO:
        """Return the wire form."""
        tiers = [
            FeeTierIO(from_minor=t.from_minor, rate=t.rate, fixed_minor=t.fixed_minor)
            for t in term.tiers
        ]
        named = {n: getattr(term, n) for n in cls.model_fields if n != "tiers"}
        return cls(**named, tiers=tiers)


class FeePlanIn(BodyIn):
    """A plan to draft."""

    effective_on: date = Field(description="first day, on the merchant's clock")
    terms: Annotated[list[FeeTermIO], Field(min_length=1, max_length=100)]
    returns: fees.FeeReturn = fees.FeeReturn.PROPORTIONAL
    rounding: Rounding = Rounding.HALF_UP

    def plan(self) -> fees.NewFeePlan:
        """Return what it says."""
        return fees.NewFeePlan(
            effective_on=self.effective_on,
            terms=tuple(term.term() for term in self.terms),
            returns=self.returns,
            rounding=self.rounding,
        )


class FeePlanOut(BaseModel):
    """A fee plan; the house's own has no merchant."""

    id: UUID
    merchant: UUID | None
    version: int
    state: fees.PlanState
    effective_on: date
    effective_at: datetime = Field(description="the midnight that begins the first day")
    timezone: str
    terms: list[FeeTermIO]
    returns: fees.FeeReturn
    rounding: Rounding

    @classmethod
    def of(cls, plan: fees.FeePlan) -> FeePlanOut:
        """Return the wire form."""
        return cls(
            **{name: getattr(plan, name) for name in cls.model_fields if name != "terms"},
            terms=[FeeTermIO.of(term) for term in plan.terms],
        )


class FeePlans(BaseModel):
    """The plans of a merchant, newest first."""

    items: list[FeePlanOut]


@router.post(
    "/merchants/{merchant}/fee-plans",
    response_model=FeePlanOut,
    status_code=201,
    responses=refusals(
        merchants.PaymentMerchantIsUnknown,
        fees.FeePlanIsMalformed,
        fees.FeePlanIsTooLate,
        write=True,
    ),
)
def draft(merchant: MerchantId, body: FeePlanIn, write: Onboards) -> Response:
    """Draft a plan; it holds once a second person approved it, and from its day on."""
    return write.run(
        lambda unit: FeePlanOut.of(fees.draft(unit, merchant, body.plan())), status=201
    )


@router.get(
    "/merchants/{merchant}/fee-plans",
    response_model=FeePlans,
    responses=refusals(merchants.PaymentMerchantIsUnknown),
)
def list_plans(merchant: MerchantId, read: Reads) -> FeePlans:
    """List the plans of a merchant, newest first."""
    unknown = merchants.PaymentMerchantIsUnknown(merchant=merchant)
    must_be_theirs(read.caller, merchant, unknown)
    with read.database.reading() as connection:
        found = fees.of_merchant(connection, merchant)
    return FeePlans(items=[FeePlanOut.of(plan) for plan in found])


@router.get(
    "/merchants/{merchant}/fee-plans/{on}",
    response_model=FeePlanOut,
    responses=refusals(merchants.PaymentMerchantIsUnknown),
)
def read_plan_on(merchant: MerchantId, on: date, read: Reads) -> FeePlanOut:
    """Show the plan that holds for a merchant on a day of its own calendar."""
    unknown = merchants.PaymentMerchantIsUnknown(merchant=merchant)
    must_be_theirs(read.caller, merchant, unknown)
    with read.database.reading() as connection:
        return FeePlanOut.of(fees.plan_on(connection, merchant, on))


@router.get("/fee-plans/{plan}", response_model=FeePlanOut, responses=refusals(*_PLAN))
def read_plan(plan: PlanId, read: Reads) -> FeePlanOut:
    """Show a plan."""
    with read.database.reading() as connection:
        found = fees.read(connection, plan)
    assert found.merchant is not None, "the house's own plan is not stored"
    must_be_theirs(read.caller, found.merchant, fees.FeePlanIsUnknown(plan=plan))
    return FeePlanOut.of(found)


@router.post(
    "/fee-plans/{plan}/approve/request",
    response_model=ApprovalAskedOut,
    responses=refusals(*_PLAN_MOVES, write=True),
)
def request_approval(plan: PlanId, write: Onboards) -> Response:
    """Ask for a second person's yes to a plan."""

    def work(unit: UnitOfWork) -> ApprovalAskedOut:
        asked = fees.request_approval(unit, plan)
        return ApprovalAskedOut(
            approval=asked.id, shown_hash=asked.shown_hash, expires_at=asked.expires_at
        )

    return write.run(work)


@router.post(
    "/fee-plans/{plan}/approve",
    response_model=FeePlanOut,
    responses=refusals(
        *_PLAN_MOVES, fees.FeePlanIsTooLate, *approvals.CONSUME_REFUSALS, write=True
    ),
)
def approve(plan: PlanId, body: ApprovedIn, write: Onboards) -> Response:
    """Let a plan hold from its day on."""
    return write.run(lambda unit: FeePlanOut.of(fees.approve(unit, plan, body.approval)))


@router.post(
    "/fee-plans/{plan}/withdraw",
    response_model=FeePlanOut,
    responses=refusals(*_PLAN_MOVES, write=True),
)
def withdraw_plan(plan: PlanId, write: Onboards) -> Response:
    """Give a drafted plan up."""
    return write.run(lambda unit: FeePlanOut.of(fees.withdraw(unit, plan)))
