"""Limits: drafted, approved by a second person, and taken of in the transaction that begins.

What an attempt takes is given back when it is declined or closed without money; while nobody knows
what became of it, it stays taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.parties import approvals
from steelyard.payments.model.attempts import Attempt, AttemptState
from steelyard.payments.model.limits import (
    EVERYBODY,
    Bound,
    LimitIsMalformed,
    LimitIsReached,
    LimitIsUnknown,
    LimitPeriod,
    LimitRule,
    LimitScope,
    LimitState,
    LimitStateForbids,
    NewLimit,
    Spending,
    Tally,
    Used,
    begins_on,
    bounds_of,
    check_limit,
    free_at,
)
from steelyard.payments.model.orders import Mode, NewOrder, Order
from steelyard.payments.service import institution
from steelyard.payments.store import limits as table

__all__ = [
    "APPROVAL",
    "EVERYBODY",
    "LimitIsMalformed",
    "LimitIsReached",
    "LimitIsUnknown",
    "LimitPeriod",
    "LimitRule",
    "LimitScope",
    "LimitState",
    "LimitStateForbids",
    "Line",
    "NewLimit",
    "Spending",
    "Used",
    "approve",
    "draft",
    "follow",
    "give_back",
    "give_back_unbegun",
    "left",
    "list_rules",
    "read",
    "request_approval",
    "spending_of",
    "take",
    "withdraw",
]

APPROVAL: Final = approvals.approval_kind(
    "payments.limit", verb="payments.approve", en="Put a payment limit in force", zh="启用支付限额"
)
_GIVES_BACK: Final = frozenset({AttemptState.DECLINED, AttemptState.CLOSED})


class LimitDrafted(Fact, kind="payments.LimitDrafted", version=1):
    """Somebody proposes how much may be paid from a day on."""

    limit: UUID
    line: str
    line_version: int
    from_on: date


class LimitApproved(Fact, kind="payments.LimitApproved", version=1):
    """A limit will hold from its day on."""

    limit: UUID
    line: str
    line_version: int
    from_on: date
    cause: str


class LimitWithdrawn(Fact, kind="payments.LimitWithdrawn", version=1):
    """A drafted limit was given up."""

    limit: UUID
    line: str


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody may still pay under a rule.

    Attributes
    ----------
    free_at : when what is used is free again; None: never, the rule is about single payments
    """

    rule: LimitRule
    whose: str
    used: Used
    free_at: Any


def draft(unit: UnitOfWork, new: NewLimit) -> LimitRule:
    """Draft a rule; it holds once a second person approved it, and from its day on.

    Refusals
    --------
    limit_is_malformed, institution_is_not_open
    """
    check_limit(new, _today(unit, new.mode))
    version = table.newest_version(unit.connection, new.line) + 1
    values = {name: getattr(new, name) for name in NewLimit.__slots__}
    rule = LimitRule(
        **values,
        id=unit.new_id(),
        version=version,
        state=LimitState.DRAFTED,
        made_by=approvals.answerable_for(unit.connection, unit.actor),
        made_at=unit.now,
    )
    table.insert(unit.connection, rule)
    fact = LimitDrafted(limit=rule.id, line=rule.line, line_version=version, from_on=rule.from_on)
    unit.record(fact, subject=_subject(rule))
    audit(unit, action="payments.draft_limit", subject=_subject(rule))
    return rule


def request_approval(unit: UnitOfWork, id: UUID) -> approvals.Approval:
    """Ask for a second person's yes to a drafted rule.

    Refusals
    --------
    limit_is_unknown, limit_state_forbids
    """
    rule = _drafted(unit, id, "approved")
    return approvals.request_approval(
        unit, kind=APPROVAL.name, subject=_subject(rule), shown=_shown(rule), by=unit.actor
    )


def approve(unit: UnitOfWork, id: UUID, approval: UUID) -> LimitRule:
    """Let a drafted rule hold from its day on.

    Refusals
    --------
    limit_is_unknown, limit_state_forbids, limit_is_malformed (its day is over), and those of an
    approval
    """
    rule = _drafted(unit, id, "approved")
    check_limit(rule, _today(unit, rule.mode))
    cause = approvals.consume_approval(
        unit, approval, kind=APPROVAL.name, subject=_subject(rule), shown=_shown(rule)
    )
    done = table.decide(
        unit.connection, id, LimitState.APPROVED, at=unit.now, approval=approval, cause=cause
    )
    assert done, "the row is held"
    fact = LimitApproved(
        limit=id, line=rule.line, line_version=rule.version, from_on=rule.from_on, cause=cause
    )
    unit.record(fact, subject=_subject(rule))
    audit(unit, action="payments.approve_limit", subject=_subject(rule))
    return replace(rule, state=LimitState.APPROVED)


def withdraw(unit: UnitOfWork, id: UUID) -> LimitRule:
    """Give a drafted rule up.

    Refusals
    --------
    limit_is_unknown, limit_state_forbids
    """
    rule = _drafted(unit, id, "withdrawn")
    done = table.decide(unit.connection, id, LimitState.WITHDRAWN, at=unit.now)
    assert done, "the row is held"
    unit.record(LimitWithdrawn(limit=id, line=rule.line), subject=_subject(rule))
    audit(unit, action="payments.withdraw_limit", subject=_subject(rule))
    return replace(rule, state=LimitState.WITHDRAWN)


def read(connection: sa.Connection, id: UUID) -> LimitRule:
    """Return a rule.

    Refusals
    --------
    limit_is_unknown
    """
    return table.read(connection, id)


def list_rules(connection: sa.Connection, *, whose: str | None = None) -> list[LimitRule]:
    """Return rules, the newest first.

    Parameters
    ----------
    whose : a code or an id; `*`: those of everybody; None: all
    """
    return table.list_rules(connection, whose=whose)


def spending_of(order: Order | NewOrder, attempt: Attempt) -> Spending:
    """Return an attempt as limits see it."""
    return Spending(
        attempt=attempt.id,
        mode=order.mode,
        channel=attempt.channel,
        merchant=order.merchant,
        customer=order.payer.customer,
        scenario=order.scenario,
        method=attempt.method,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
    )


def take(unit: UnitOfWork, begins: Sequence[Spending]) -> list[LimitIsReached | None]:
    """Count attempts that begin in this transaction, each where it fits.

    The rows that are counted in stay locked, in the order of their keys, until the transaction
    ends; without a rule there is one statement that reads, and nothing is locked.

    Parameters
    ----------
    begins : in the order in which they are served; one that was counted before is let pass

    Returns
    -------
    list of LimitIsReached or None
        One for each; None: it was counted. One that is refused takes nothing.
    """
    answers: list[LimitIsReached | None] = [None] * len(begins)
    for mode in {one.mode for one in begins}:
        places = [place for place, one in enumerate(begins) if one.mode is mode]
        for place, answer in zip(
            places, _take(unit, mode, [begins[place] for place in places]), strict=True
        ):
            answers[place] = answer
    return answers


def _take(unit: UnitOfWork, mode: Mode, begins: Sequence[Spending]) -> list[LimitIsReached | None]:
    try:
        on = _today(unit, mode)
    except institution.InstitutionIsNotOpen:
        # A mode without books has no limits either: none can be drafted.
        return [None] * len(begins)
    bounds = _bounds(unit.connection, begins, on)
    if not any(bounds):
        return [None] * len(begins)
    zone = institution.read_known(unit.connection, mode).timezone
    keys = {bound.key for some in bounds for bound in some if bound.key}
    used = table.lock_usage(unit.connection, keys) if keys else {}
    known = table.known(unit.connection, [one.attempt for one in begins]) if keys else set()
    tally = Tally(used, zone)
    answers = [
        None if one.attempt in known else tally.take(one, some)
        for one, some in zip(begins, bounds, strict=True)
    ]
    by_id = {one.attempt: one for one in begins}
    takes = [
        {
            "attempt": attempt,
            "keys": taken,
            "amount_minor": by_id[attempt].amount_minor,
            "taken_at": unit.now,
        }
        for attempt, taken in tally.taken.items()
    ]
    if takes:
        table.write(unit.connection, tally.added, takes)
    return answers


def _bounds(connection: sa.Connection, begins: Sequence[Spending], on: date) -> list[list[Bound]]:
    whose = {one.whose(scope) for one in begins for scope in LimitScope} - {None}
    rules = table.in_force(connection, [one for one in whose if one], on)
    return [bounds_of(one, rules, on) for one in begins]


def give_back(unit: UnitOfWork, attempts: Iterable[Attempt]) -> None:
    """Give back what attempts took that were declined or closed without money; each once."""
    ended = [one.id for one in attempts if one.state in _GIVES_BACK]
    if ended:
        table.give_back(unit.connection, ended, unit.now)


def follow(unit: UnitOfWork, changed: Iterable[tuple[Attempt, Attempt]]) -> None:
    """Give back what ended without money took; count it again if money came after all.

    Parameters
    ----------
    changed : attempts before and after
    """
    moved = [(old, new) for old, new in changed if old.state is not new.state]
    give_back(unit, [new for _, new in moved])
    paid = [
        new.id
        for old, new in moved
        if old.state in _GIVES_BACK and new.state is AttemptState.SUCCEEDED
    ]
    if paid:
        table.count_again(unit.connection, paid)


def give_back_unbegun(unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
    """Give back what was taken for attempts that were not written after all."""
    if attempts:
        table.give_back(unit.connection, attempts, unit.now, unbegun=True)


def left(connection: sa.Connection, spending: Spending, on: date) -> list[Line]:
    """Return what is used of the limits that hold for a payment on a day."""
    (bounds,) = _bounds(connection, [spending], on)
    used = table.usage(connection, [bound.key for bound in bounds])
    zone = institution.read_known(connection, spending.mode).timezone
    return [
        Line(
            bound.rule,
            bound.whose,
            used.get(bound.key, Used()),
            free_at(bound.rule.period, begins_on(bound.rule.period, on), zone),
        )
        for bound in bounds
    ]


def _today(unit: UnitOfWork, mode: Mode) -> date:
    zone = institution.read_known(unit.connection, mode).timezone
    return unit.now.astimezone(ZoneInfo(zone)).date()


def _drafted(unit: UnitOfWork, id: UUID, verb: str) -> LimitRule:
    rule = table.read(unit.connection, id, lock=True)
    if rule.state is not LimitState.DRAFTED:
        raise LimitStateForbids(limit=id, state=rule.state.value, verb=verb)
    return rule


def _subject(rule: LimitRule) -> str:
    return f"payment_limit:{rule.id}"


def _shown(rule: LimitRule) -> dict[str, object]:
    return {
        "line": rule.line,
        "version": rule.version,
        "from_on": rule.from_on.isoformat(),
        "most_minor": rule.most_minor,
        "most_payments": rule.most_payments,
    }
