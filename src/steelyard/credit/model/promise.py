"""A promise to pay, and what the payments made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.cashflows import events
from steelyard.kernel import Refusal, RefusalKind

LONGEST: Final = timedelta(days=30)
"""How far ahead somebody can promise to pay; for longer, a plan is made."""


class PromiseState(StrEnum):
    """What became of a promise."""

    OPEN = "open"
    KEPT = "kept"
    PARTLY = "partly"
    """Something was paid, not all."""
    BROKEN = "broken"
    WITHDRAWN = "withdrawn"


class PromiseIsUnknown(Refusal):
    """No promise has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no promise {promise}."
    zh = "还款承诺 {promise} 不存在。"


class PromiseIsOpen(Refusal):
    """A loan has one promise at a time."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} has the open promise {promise}."
    zh = "借款 {loan} 已有未到期的还款承诺 {promise}。"


class PromiseIsOutOfRange(Refusal):
    """Neither more than is owed nor later than a month ahead is promised."""

    kind = RefusalKind.INVALID
    en = "A promise is for 1 to {most_minor} by {first_on} to {last_on}."
    zh = "承诺金额须为 1 至 {most_minor}（最小单位），日期须为 {first_on} 至 {last_on}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """That somebody will pay an amount by a day.

    Attributes
    ----------
    events : number of the loan's last event when it was given; later ones count
    paid_minor : of payments that count, when it was judged
    """

    id: UUID
    nr: int
    party: UUID
    amount_minor: int
    made_on: date
    by_on: date
    events: int
    state: PromiseState = PromiseState.OPEN
    paid_minor: int = 0
    judged_on: date | None = None
    version: int = 1
    taken_by: str = ""


def check_promise(amount_minor: int, by_on: date, *, owed_minor: int, on: date) -> None:
    """Refuse a promise that cannot be meant.

    Refusals
    --------
    promise_is_out_of_range
    """
    if not (0 < amount_minor <= owed_minor and on <= by_on <= on + LONGEST):
        raise PromiseIsOutOfRange(most_minor=owed_minor, first_on=on, last_on=on + LONGEST)


def paid_for(promise: Promise, happened: Iterable[events.Any]) -> int:
    """Return what was paid for a promise: recorded after it, with a value date within it.

    A payment that was reversed was not made.

    Parameters
    ----------
    happened : events of the loan, in any order

    Returns
    -------
    int
        Minor units.
    """
    known = list(happened)
    undone = {one.of for one in known if isinstance(one, events.Reversed)}
    return sum(
        one.amount_minor
        for one in known
        if isinstance(one, events.Repaid | events.PrepaidPart | events.PaidOff)
        and one.seq > promise.events
        and one.seq not in undone
        and promise.made_on <= one.on <= promise.by_on
    )


def judge(promise: Promise, paid_minor: int, on: date) -> PromiseState:
    """Return what became of a promise by the end of a day.

    Kept as soon as all is paid; broken or kept in part only when its day is over.

    Examples
    --------
    >>> given = Promise(id=UUID(int=1), nr=7, party=UUID(int=2), amount_minor=100,
    ...                 made_on=date(2026, 3, 1), by_on=date(2026, 3, 5), events=3)
    >>> [judge(given, paid, date(2026, 3, day)).value
    ...  for paid, day in ((100, 2), (99, 5), (99, 6), (0, 6))]
    ['kept', 'open', 'partly', 'broken']
    """
    if paid_minor >= promise.amount_minor:
        return PromiseState.KEPT
    if on <= promise.by_on:
        return PromiseState.OPEN
    return PromiseState.PARTLY if paid_minor > 0 else PromiseState.BROKEN
