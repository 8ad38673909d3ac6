"""Fee plans: drafted, approved by a second person, and which one holds on a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Rounding
from steelyard.parties import approvals
from steelyard.payments.model.channel import Method
from steelyard.payments.model.fees import (
    STANDARD_PLAN,
    FeeIsNotAgreed,
    FeePlan,
    FeePlanIsMalformed,
    FeePlanIsTooLate,
    FeePlanIsUnknown,
    FeePlanStateForbids,
    FeeReturn,
    FeeTerm,
    FeeTier,
    PlanState,
    check_terms,
    day_of,
    fee_of,
    fee_returned,
)
from steelyard.payments.model.merchants import Merchant, MerchantState
from steelyard.payments.model.orders import Scenario
from steelyard.payments.service.merchants_facts import (
    FeePlanApproved,
    FeePlanDrafted,
    FeePlanWithdrawn,
)
from steelyard.payments.store import fees as table
from steelyard.payments.store import merchants as merchant_table
from steelyard.payments.store.fees import Month

__all__ = [
    "APPROVAL",
    "STANDARD_PLAN",
    "Charge",
    "FeeIsNotAgreed",
    "FeePlan",
    "FeePlanIsMalformed",
    "FeePlanIsTooLate",
    "FeePlanIsUnknown",
    "FeePlanStateForbids",
    "FeeReturn",
    "FeeTerm",
    "FeeTier",
    "NewFeePlan",
    "PlanState",
    "Sale",
    "approve",
    "charges",
    "day_of",
    "draft",
    "fee_of",
    "fee_returned",
    "of_merchant",
    "plan_on",
    "plans_on",
    "read",
    "request_approval",
    "withdraw",
]

APPROVAL: Final = approvals.approval_kind(
    "payments.fee_plan", verb="payments.approve", en="Put a fee plan in force", zh="启用费率方案"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFeePlan:
    """A plan to draft.

    Attributes
    ----------
    effective_on : first day, on the merchant's clock
    """

    effective_on: date
    terms: tuple[FeeTerm, ...]
    returns: FeeReturn = FeeReturn.PROPORTIONAL
    rounding: Rounding = Rounding.HALF_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A payment to be charged for; `at` is when its money was captured."""

    merchant: UUID
    at: datetime
    method: Method
    amount_minor: int
    currency: str = "CNY"
    scenario: Scenario = Scenario.ONLINE


@dataclass(frozen=True, slots=True)
class Charge:
    """What a payment costs, by which plan, and what its refunds give back of that."""

    fee_minor: int
    cause: str
    returns: FeeReturn


def plan_on(connection: sa.Connection, merchant: UUID, on: date) -> FeePlan:
    """Return the plan that holds for a merchant on a day of its own calendar.

    Returns
    -------
    FeePlan
        Of the approved plans the one that began last; the house's own where none was agreed.
    """
    return plans_on(connection, [merchant], on)[merchant]


def plans_on(connection: sa.Connection, merchants: Iterable[UUID], on: date) -> dict[UUID, FeePlan]:
    """Return the plan of each of many merchants on a day, in one statement; see `plan_on`."""
    asked = list(dict.fromkeys(merchants))
    agreed = table.in_force(connection, asked, on)
    return {merchant: agreed.get(merchant, STANDARD_PLAN) for merchant in asked}


def draft(unit: UnitOfWork, merchant: UUID, new: NewFeePlan) -> FeePlan:
    """Draft a plan; it holds once a second person approved it, and from its day on.

    Refusals
    --------
    payment_merchant_is_unknown, fee_plan_is_malformed, fee_plan_is_too_late
    """
    contract = merchant_table.read(unit.connection, merchant, lock=True)
    check_terms(new.terms)
    _check_day(unit, contract, new.effective_on)
    plans = table.of_merchant(unit.connection, merchant)
    plan = FeePlan(
        id=unit.new_id(),
        merchant=merchant,
        version=plans[0].version + 1 if plans else 1,
        effective_on=new.effective_on,
        terms=new.terms,
        returns=new.returns,
        rounding=new.rounding,
        timezone=contract.timezone,
        state=PlanState.DRAFTED,
        made_by=approvals.answerable_for(unit.connection, unit.actor),
        made_at=unit.now,
    )
    table.insert(unit.connection, plan)
    unit.record(
        FeePlanDrafted(
            merchant=merchant,
            plan=plan.id,
            plan_version=plan.version,
            effective_on=plan.effective_on,
        ),
        subject=contract.subject,
    )
    audit(unit, action="payments.draft_fee_plan", subject=f"fee_plan:{plan.id}")
    return plan


def request_approval(unit: UnitOfWork, plan: UUID) -> approvals.Approval:
    """Ask for a second person's yes to a drafted plan.

    Refusals
    --------
    fee_plan_is_unknown, fee_plan_state_forbids
    """
    present = _drafted(unit, plan, "approved")
    return approvals.request_approval(
        unit,
        kind=APPROVAL.name,
        subject=f"fee_plan:{plan}",
        shown=_shown(present),
        by=unit.actor,
    )


def approve(unit: UnitOfWork, plan: UUID, approval: UUID) -> FeePlan:
    """Let a drafted plan hold from its day on; the one before ends at that midnight.

    Refusals
    --------
    fee_plan_is_unknown, fee_plan_state_forbids, fee_plan_is_too_late, and those of an approval
    """
    present = _drafted(unit, plan, "approved")
    assert present.merchant is not None, "only the house's own plan is nobody's"
    contract = merchant_table.read(unit.connection, present.merchant, lock=True)
    _check_day(unit, contract, present.effective_on)
    cause = approvals.consume_approval(
        unit, approval, kind=APPROVAL.name, subject=f"fee_plan:{plan}", shown=_shown(present)
    )
    done = table.decide(
        unit.connection, plan, PlanState.APPROVED, at=unit.now, approval=approval, cause=cause
    )
    assert done, "the row is held"
    unit.record(
        FeePlanApproved(
            merchant=present.merchant,
            plan=plan,
            plan_version=present.version,
            effective_on=present.effective_on,
            cause=cause,
        ),
        subject=contract.subject,
    )
    audit(unit, action="payments.approve_fee_plan", subject=f"fee_plan:{plan}")
    return replace(present, state=PlanState.APPROVED)


def withdraw(unit: UnitOfWork, plan: UUID) -> FeePlan:
    """Give a drafted plan up.

    Refusals
    --------
    fee_plan_is_unknown, fee_plan_state_forbids
    """
    present = _drafted(unit, plan, "withdrawn")
    assert present.merchant is not None, "only the house's own plan is nobody's"
    done = table.decide(unit.connection, plan, PlanState.WITHDRAWN, at=unit.now)
    assert done, "the row is held"
    fact = FeePlanWithdrawn(merchant=present.merchant, plan=plan)
    unit.record(fact, subject=f"merchant:{present.merchant}")
    audit(unit, action="payments.withdraw_fee_plan", subject=f"fee_plan:{plan}")
    return replace(present, state=PlanState.WITHDRAWN)


def read(connection: sa.Connection, plan: UUID) -> FeePlan:
    """Return a plan.

    Refusals
    --------
    fee_plan_is_unknown
    """
    return table.read(connection, plan)


def of_merchant(connection: sa.Connection, merchant: UUID) -> list[FeePlan]:
    """Return the plans of a merchant, newest first."""
    return table.of_merchant(connection, merchant)


def charges(connection: sa.Connection, sales: Sequence[Sale]) -> list[Charge]:
    """Return what payments cost, each by the plan of its day on its merchant's clock.

    However many sales there are, it takes three statements at most.

    Refusals
    --------
    fee_is_not_agreed
    """
    zones = {
        merchant: contract.timezone
        for merchant, contract in merchant_table.read_many(
            connection, list({sale.merchant for sale in sales})
        ).items()
    }
    days = [day_of(s.at, zones.get(s.merchant, STANDARD_PLAN.timezone)) for s in sales]
    plans = table.in_force_on_days(
        connection, {(sale.merchant, day) for sale, day in zip(sales, days, strict=True)}
    )
    held = [plans.get((s.merchant, day), STANDARD_PLAN) for s, day in zip(sales, days, strict=True)]
    tiered = {
        Month(sale.merchant, sale.currency, day, zones[sale.merchant])
        for sale, day, plan in zip(sales, days, held, strict=True)
        if any(term.tiers for term in plan.terms)
    }
    volumes = table.volumes(connection, tiered) if tiered else {}
    return [
        Charge(
            fee_of(
                plan,
                method=sale.method,
                amount_minor=sale.amount_minor,
                currency=sale.currency,
                scenario=sale.scenario,
                volume_minor=volumes.get((sale.merchant, sale.currency, day), 0),
            ),
            plan.cause,
            plan.returns,
        )
        for sale, day, plan in zip(sales, days, held, strict=True)
    ]


def _drafted(unit: UnitOfWork, plan: UUID, verb: str) -> FeePlan:
    seen = table.read(unit.connection, plan)
    assert seen.merchant is not None, "only the house's own plan is nobody's"
    merchant_table.read(unit.connection, seen.merchant, lock=True)
    present = table.read(unit.connection, plan, lock=True)
    if present.state is not PlanState.DRAFTED:
        raise FeePlanStateForbids(plan=plan, state=present.state, verb=verb)
    return present


def _check_day(unit: UnitOfWork, contract: Merchant, effective_on: date) -> None:
    """Refuse a plan that would change what was charged today or before."""
    today = day_of(unit.now, contract.timezone)
    is_new = contract.state in (MerchantState.APPLIED, MerchantState.REVIEW)
    earliest = today if is_new else today + timedelta(days=1)
    if effective_on < earliest:
        raise FeePlanIsTooLate(effective_on=effective_on, earliest=earliest)


def _shown(plan: FeePlan) -> dict[str, str | int]:
    return {
        "merchant": str(plan.merchant),
        "version": plan.version,
        "effective_on": plan.effective_on.isoformat(),
        "timezone": plan.timezone,
        "returns": plan.returns.value,
        "rounding": plan.rounding.value,
        "terms": msgspec.json.encode(plan.terms).decode(),
    }
