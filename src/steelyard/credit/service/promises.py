"""Promises to pay: taken, and judged by the payments alone."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.credit.model.collection import EpisodeIsUnknown
from steelyard.credit.model.promise import (
    Promise,
    PromiseIsOpen,
    PromiseIsOutOfRange,
    PromiseIsUnknown,
    PromiseState,
    check_promise,
    judge,
    paid_for,
)
from steelyard.credit.service import books
from steelyard.credit.service.outside_facts import PromiseJudged, PromiseMade
from steelyard.credit.store import collections as table
from steelyard.credit.store import loans as loan_table

__all__ = [
    "Promise",
    "PromiseIsOpen",
    "PromiseIsOutOfRange",
    "PromiseIsUnknown",
    "PromiseState",
    "judge_promises",
    "promise",
    "promises_of",
    "read_promise",
    "withdraw",
]

_CHUNK = 200


def promise(unit: UnitOfWork, loan: UUID, *, amount_minor: int, by_on: date) -> Promise:
    """Take a customer's promise to pay what is late, or a part of it, by a day.

    Until that day we do not ask him again.

    Refusals
    --------
    loan_is_unknown, episode_is_unknown : nothing is late
    promise_is_open, promise_is_out_of_range
    """
    found = loan_table.lock(unit.connection, loan)
    present = table.open_episode(unit.connection, found.nr)
    if present is None:
        raise EpisodeIsUnknown(loan=found.nr)
    for known, _ in table.open_promises(unit.connection, nr=found.nr):
        raise PromiseIsOpen(loan=found.nr, promise=known.id)
    on = books.business_on(unit.connection, found.currency)
    check_promise(amount_minor, by_on, owed_minor=present.overdue_minor, on=on)
    given = Promise(
        id=unit.new_id(),
        nr=found.nr,
        party=found.party,
        amount_minor=amount_minor,
        made_on=on,
        by_on=by_on,
        events=found.kept.events if found.kept else 0,
        taken_by=unit.actor,
    )
    table.insert_promise(unit.connection, given)
    unit.record(
        PromiseMade(
            promise=given.id,
            loan=loan,
            party=found.party,
            amount_minor=amount_minor,
            by_on=by_on,
        ),
        subject=f"promise:{given.id}",
    )
    audit(
        unit,
        action="credit.take_promise",
        subject=f"loan:{loan}",
        detail={"promise": str(given.id), "amount_minor": amount_minor, "by_on": by_on.isoformat()},
    )
    return given


def judge_promises(
    unit: UnitOfWork, *, loan: UUID | None = None, after: int = 0
) -> tuple[int, int]:
    """Judge open promises by what was paid, of one loan or of the next chunk.

    Returns
    -------
    tuple
        How many were settled, and the number of the last loan that was looked at (0 at the end).
    """
    nr = None if loan is None else loan_table.read(unit.connection, loan).nr
    waiting = table.open_promises(unit.connection, nr=nr, after=after, limit=_CHUNK)
    happened = loan_table.events_of(unit.connection, [of for _, of in waiting])
    settled = 0
    for given, of in waiting:
        on = books.business_on(unit.connection, loan_table.read(unit.connection, of).currency)
        paid_minor = paid_for(given, happened[of])
        state = judge(given, paid_minor, on)
        if state is PromiseState.OPEN:
            continue
        _settle(unit, given, state, of=of, paid_minor=paid_minor, on=on)
        settled += 1
    return settled, waiting[-1][0].nr if len(waiting) == _CHUNK else 0


def withdraw(unit: UnitOfWork, promise: UUID) -> Promise:
    """Take a promise back that was noted by mistake; it says nothing about the customer then.

    Refusals
    --------
    promise_is_unknown : or it was judged
    """
    given = table.read_promise(unit.connection, promise, held="FOR UPDATE")
    if given.state is not PromiseState.OPEN:
        raise PromiseIsUnknown(promise=promise)
    (loan,) = loan_table.find(unit.connection, after=given.nr - 1, limit=1)
    on = books.business_on(unit.connection, loan.currency)
    _settle(unit, given, PromiseState.WITHDRAWN, of=loan.id, paid_minor=0, on=on)
    return table.read_promise(unit.connection, promise)


def read_promise(connection: sa.Connection, promise: UUID) -> Promise:
    """Return a promise.

    Refusals
    --------
    promise_is_unknown
    """
    return table.read_promise(connection, promise)


def promises_of(connection: sa.Connection, nr: int) -> tuple[Promise, ...]:
    """Return the promises about a loan, newest first."""
    return tuple(table.promises_of(connection, nr))


def _settle(
    unit: UnitOfWork, given: Promise, state: PromiseState, *, of: UUID, paid_minor: int, on: date
) -> None:
    table.settle_promise(unit.connection, given, state, paid_minor=paid_minor, on=on)
    fact = PromiseJudged(
        promise=given.id, loan=of, party=given.party, state=state.value, paid_minor=paid_minor
    )
    unit.record(fact, subject=f"promise:{given.id}")
