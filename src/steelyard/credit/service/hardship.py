"""Plans for customers in hardship: proposed by one person, granted by another, done by the loan."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.cashflows import Standing, events
from steelyard.credit.model.collection import (
    Plan,
    PlanIsMalformed,
    PlanIsProposed,
    PlanIsSettled,
    PlanIsUnknown,
    PlanKind,
    PlanState,
    ProposedPlan,
)
from steelyard.credit.model.effects import Effect
from steelyard.credit.model.strategy import Stop
from steelyard.credit.service import changes, collections
from steelyard.credit.service.outside_facts import HardshipPlanProposed, HardshipPlanSettled
from steelyard.credit.store import collections as table
from steelyard.credit.store import loans as loan_table
from steelyard.parties import approvals

__all__ = [
    "Plan",
    "PlanIsMalformed",
    "PlanIsProposed",
    "PlanIsSettled",
    "PlanIsUnknown",
    "PlanKind",
    "PlanState",
    "ProposedPlan",
    "drop",
    "grant",
    "plans_of",
    "preview",
    "propose",
    "read_plan",
]

GRANT: Final = MappingProxyType(
    {
        PlanKind.EXTEND: approvals.approval_kind(
            "credit.extend_in_hardship",
            verb="credit.approve",
            en="Extend a loan of a customer in hardship",
            zh="困难客户贷款展期",
        ),
        PlanKind.PAUSE: approvals.approval_kind(
            "credit.pause_in_hardship",
            verb="credit.approve",
            en="Pause the interest of a customer in hardship",
            zh="困难客户暂停计息",
        ),
    }
)
"""Approvals of plans whose change one person could make; a re-age has its own."""


def preview(unit: UnitOfWork, loan: UUID, plan: Plan) -> Effect:
    """Return what a plan would do to a loan; nothing is written.

    Refusals
    --------
    Those of `changes.change`.
    """
    return _change(unit, loan, plan, approval=None, dry_run=True)


def propose(unit: UnitOfWork, loan: UUID, plan: Plan, *, reason: str) -> ProposedPlan:
    """Propose a plan, after trying whether it fits; from now on the customer is left alone.

    Parameters
    ----------
    reason : stable code or short text, without personal data

    Refusals
    --------
    plan_is_proposed, and those of `changes.change`
    """
    found = loan_table.lock(unit.connection, loan)
    for known in table.plans_of(unit.connection, found.nr):
        if known.state is PlanState.PROPOSED:
            raise PlanIsProposed(loan=found.nr, plan=known.id)
    effect = preview(unit, loan, plan)
    proposed = ProposedPlan(
        id=unit.new_id(),
        nr=found.nr,
        loan=loan,
        party=found.party,
        plan=plan,
        reason=reason,
        approval=_request(unit, loan, plan, effect).id,
        state=PlanState.PROPOSED,
        proposed_at=unit.now,
        proposed_by=unit.actor,
        version=1,
    )
    table.insert_plan(unit.connection, proposed)
    collections.stop(unit, found.party, Stop.HARDSHIP, source=_subject(proposed.id))
    unit.record(
        HardshipPlanProposed(
            plan=proposed.id,
            loan=loan,
            party=found.party,
            plan_kind=plan.kind.value,
            approval=proposed.approval,
        ),
        subject=_subject(proposed.id),
    )
    audit(
        unit,
        action="credit.propose_plan",
        subject=found.subject,
        detail={"plan": str(proposed.id), "kind": plan.kind.value, "reason": reason},
    )
    return proposed


def grant(unit: UnitOfWork, plan: UUID) -> Effect:
    """Bring an approved plan into force: the loan is changed, and its approval used up.

    A payment in between makes another matter of it: it is proposed again then.

    Refusals
    --------
    plan_is_unknown, plan_is_settled, and those of `changes.change` and of `consume_approval`
    """
    proposed = table.read_plan(unit.connection, plan, held="FOR UPDATE OF h").must_be_open()
    if proposed.plan.kind is not PlanKind.RE_AGE:
        effect = preview(unit, proposed.loan, proposed.plan)
        approvals.consume_approval(
            unit,
            proposed.approval,
            kind=GRANT[proposed.plan.kind].name,
            subject=f"loan:{proposed.loan}",
            shown=_shown(proposed.plan, effect),
        )
    done = _change(unit, proposed.loan, proposed.plan, approval=proposed.approval, dry_run=False)
    _settle(unit, proposed, PlanState.GRANTED)
    return done


def drop(unit: UnitOfWork, plan: UUID) -> ProposedPlan:
    """Give a proposed plan up; the customer may be contacted again.

    Refusals
    --------
    plan_is_unknown, plan_is_settled
    """
    proposed = table.read_plan(unit.connection, plan, held="FOR UPDATE OF h").must_be_open()
    _settle(unit, proposed, PlanState.DROPPED)
    return table.read_plan(unit.connection, plan)


def read_plan(connection: sa.Connection, plan: UUID) -> ProposedPlan:
    """Return a plan.

    Refusals
    --------
    plan_is_unknown
    """
    return table.read_plan(connection, plan)


def plans_of(connection: sa.Connection, nr: int) -> tuple[ProposedPlan, ...]:
    """Return the plans for a loan, newest first."""
    return tuple(table.plans_of(connection, nr))


def _change(
    unit: UnitOfWork, loan: UUID, plan: Plan, *, approval: UUID | None, dry_run: bool
) -> Effect:
    if plan.kind is PlanKind.RE_AGE:
        assert plan.first_due_on is not None, "checked with the plan"
        assert plan.instalments is not None, "checked with the plan"
        return changes.re_age(
            unit,
            loan,
            first_due_on=plan.first_due_on,
            instalments=plan.instalments,
            approval=approval,
            dry_run=dry_run,
        )
    if plan.kind is PlanKind.EXTEND:
        assert plan.instalments is not None, "checked with the plan"
        return changes.extend(unit, loan, instalments=plan.instalments, dry_run=dry_run)
    assert plan.until is not None, "checked with the plan"
    return changes.pause_interest(unit, loan, until=plan.until, dry_run=dry_run)


def _request(unit: UnitOfWork, loan: UUID, plan: Plan, effect: Effect) -> approvals.Approval:
    if plan.kind is PlanKind.RE_AGE:
        assert plan.first_due_on is not None, "checked with the plan"
        assert plan.instalments is not None, "checked with the plan"
        event = events.ReAged(
            seq=0, on=date.min, first_due_on=plan.first_due_on, instalments=plan.instalments
        )
        return changes.request(unit, loan, event)
    return approvals.request_approval(
        unit,
        kind=GRANT[plan.kind].name,
        subject=f"loan:{loan}",
        shown=_shown(plan, effect),
        by=unit.actor,
    )


def _shown(plan: Plan, effect: Effect) -> dict[str, object]:
    """Return what a second person says yes to: the plan and the schedule before and after it."""
    return {
        "loan": effect.loan.nr,
        "version": effect.loan.version,
        "plan": plan.to_json(),
        "before": _figures(effect.before),
        "after": _figures(effect.after),
    }


def _figures(standing: Standing | None) -> dict[str, int]:
    if standing is None:
        return {}
    open_rows = [row for row in standing.rows if row.open_minor]
    return {
        "principal_minor": standing.principal_minor,
        "overdue_minor": standing.overdue_minor,
        "instalments_left": len(open_rows),
        "instalment_minor": standing.instalment_minor,
        "interest_to_come_minor": sum(row.interest_minor for row in open_rows),
    }


def _settle(unit: UnitOfWork, proposed: ProposedPlan, state: PlanState) -> None:
    table.settle_plan(unit.connection, proposed, state, unit.now)
    collections.lift_of(unit, _subject(proposed.id), reason=f"plan_{state.value}")
    unit.record(
        HardshipPlanSettled(
            plan=proposed.id, loan=proposed.loan, party=proposed.party, state=state.value
        ),
        subject=_subject(proposed.id),
    )
    audit(
        unit,
        action="credit.settle_plan",
        subject=f"loan:{proposed.loan}",
        detail={"plan": str(proposed.id), "state": state.value},
    )


def _subject(plan: UUID) -> str:
    return f"hardship_plan:{plan}"
