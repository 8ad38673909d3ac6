"""Due dates and interest periods of a contract."""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date, timedelta
from typing import Final, NamedTuple

from steelyard.cashflows.model.daycount import add_months
from steelyard.cashflows.model.terms import MonthEnd, Terms, Unit
from steelyard.kernel import BusinessDayRule, calendar

LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of the months of a common year."""


class Span(NamedTuple):
    """A period of interest and the day on which its instalment falls due.

    Attributes
    ----------
    from_on, to_on : interest runs from the first to, and without, the second
    due_on : `to_on`, unless a calendar moved it
    is_regular : it is one whole distance between due dates, whatever its number of days
    """

    from_on: date
    to_on: date
    due_on: date
    is_regular: bool = True

    @property
    def days(self) -> int:
        """Return its length in days."""
        return (self.to_on - self.from_on).days


def schedule_dates(terms: Terms) -> tuple[Span, ...]:
    """Return the periods of a contract, one for each instalment.

    Returns
    -------
    tuple of Span
        Each begins where the one before it ends; due dates never fall.

    Examples
    --------
    >>> from decimal import Decimal
    >>> terms = Terms(principal_minor=1, start_on=date(2024, 1, 31), instalments=3,
    ...               rate=Decimal(0))
    >>> [span.to_on.isoformat() for span in schedule_dates(terms)]
    ['2024-02-29', '2024-03-31', '2024-04-30']
    """
    first = terms.first_due_on
    if first is None:
        return spans(terms, terms.start_on, terms.start_on, range(1, terms.instalments + 1))
    made = spans(terms, terms.start_on, first, range(terms.instalments))
    regular = step(terms.start_on, 1, terms, terms.every, terms.unit) == first
    return (made[0]._replace(is_regular=regular), *made[1:])


def spans(
    terms: Terms,
    from_on: date,
    seed: date,
    steps: range,
    *,
    distance: tuple[int, Unit] | None = None,
) -> tuple[Span, ...]:
    """Return periods that end whole distances after a seed; the first begins on `from_on`.

    Parameters
    ----------
    seed : its day is kept in every month that has it
    steps : how many distances after the seed each one ends
    distance : None: that of the terms
    """
    every, unit = distance or (terms.every, terms.unit)
    moves = terms.holiday is not BusinessDayRule.UNADJUSTED
    made: list[Span] = []
    start = from_on
    for nominal in _steps(seed, steps, terms, every, unit):
        due = nominal
        if moves:
            assert terms.calendar is not None, "terms are checked when they are made"
            due = calendar(terms.calendar).adjust(nominal, terms.holiday)
        end = due if terms.interest_to_due else nominal
        if end < start:
            end = start
        made.append(Span(start, end, due))
        start = end
    return tuple(made)


def _steps(seed: date, steps: range, terms: Terms, every: int, unit: Unit) -> list[date]:
    """Return the dates so many distances after a seed."""
    if unit is not Unit.MONTH or terms.month_end is not MonthEnd.CLIP:
        return [step(seed, n, terms, every, unit) for n in steps]
    # The common way by far, and the longest part of a plan: no call for each of its dates.
    month, day, made = seed.year * 12 + seed.month - 1, seed.day, []
    for n in steps:
        year, at = divmod(month + n * every, 12)
        last = LENGTHS[at] if at != 1 or not isleap(year) else 29
        made.append(date(year, at + 1, day if day <= last else last))
    return made


def step(seed: date, n: int, terms: Terms, every: int, unit: Unit) -> date:
    """Return the date `n` distances after a seed.

    Examples
    --------
    >>> from decimal import Decimal
    >>> terms = Terms(principal_minor=1, start_on=date(2023, 1, 30), instalments=1,
    ...               rate=Decimal(0), month_end=MonthEnd.ROLL)
    >>> step(date(2023, 1, 30), 1, terms, 1, Unit.MONTH)
    datetime.date(2023, 3, 1)
    """
    if unit is Unit.DAY:
        return seed + timedelta(days=n * every)
    if unit is Unit.WEEK:
        return seed + timedelta(weeks=n * every)
    on = add_months(seed, n * every)
    if terms.month_end is MonthEnd.CLIP:
        return on
    last = monthrange(on.year, on.month)[1]
    if terms.month_end is MonthEnd.ROLL:
        return on + timedelta(days=1) if seed.day > last else on
    was_last = seed.day == monthrange(seed.year, seed.month)[1]
    return on.replace(day=last) if was_last else on
