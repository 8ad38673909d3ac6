"""Dates of direct debit: cycles that begin on the 31st, periods of caps, days of another try."""

from __future__ import annotations

import calendar as months
from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from steelyard.kernel.calendars import BusinessDayRule, Calendar

RETRY_WITHIN: Final = timedelta(days=30)
"""How long after its first sending a debit may be tried again."""
MOST_RETRIES: Final = 2
"""How often a debit that failed for want of money is tried again (Nacha, Subsection 2.12.4)."""
_RETRY_DAYS: Final = 3


class Cycle(StrEnum):
    """In what a cycle is counted."""

    NONE = "none"
    DAY = "day"
    MONTH = "month"


class Period(StrEnum):
    """Over what the sum of debits is limited: a calendar day, month or year."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"

    def begins_on(self, on: date) -> date:
        """Return the first day of the period that a date lies in.

        Examples
        --------
        >>> Period.MONTH.begins_on(date(2026, 2, 28))
        datetime.date(2026, 2, 1)
        """
        if self is Period.DAY:
            return on
        return on.replace(day=1) if self is Period.MONTH else on.replace(month=1, day=1)


def months_after(on: date, many: int) -> date:
    """Return the date some months later, the last of a month that is too short for it.

    Examples
    --------
    >>> months_after(date(2026, 1, 31), 1), months_after(date(2026, 1, 31), 2)
    (datetime.date(2026, 2, 28), datetime.date(2026, 3, 31))
    """
    index = on.year * 12 + on.month - 1 + many
    year, month = divmod(index, 12)
    return date(year, month + 1, min(on.day, months.monthrange(year, month + 1)[1]))


def cycle_date(cycle: Cycle, length: int, first_on: date, number: int) -> date:
    """Return a date of a cycle, counted from its first one, which is number 0.

    Every date is counted from the first, so that a cycle of the 31st comes back to the 31st after
    a shorter month.

    Examples
    --------
    >>> [cycle_date(Cycle.MONTH, 1, date(2028, 1, 31), n).isoformat() for n in (1, 2)]
    ['2028-02-29', '2028-03-31']
    """
    if cycle is Cycle.DAY:
        return first_on + timedelta(days=length * number)
    assert cycle is Cycle.MONTH, "without a cycle there are no dates"
    return months_after(first_on, length * number)


def next_cycle_date(cycle: Cycle, length: int, first_on: date, after_on: date) -> date:
    """Return the first date of a cycle that lies after a date.

    Examples
    --------
    >>> next_cycle_date(Cycle.MONTH, 1, date(2026, 1, 31), date(2026, 2, 28)).isoformat()
    '2026-03-31'
    """
    days = (after_on - first_on).days
    number = max(0, days // (length * 31 if cycle is Cycle.MONTH else length))
    while (on := cycle_date(cycle, length, first_on, number)) <= after_on:
        number += 1
    return on


def collected_on(due_on: date, calendar: Calendar) -> date:
    """Return the business day on which what is due on a date is collected: never before it.

    Examples
    --------
    >>> from steelyard.kernel import calendar
    >>> collected_on(date(2026, 2, 15), calendar("CN")).isoformat()
    '2026-02-24'
    """
    return calendar.adjust(due_on, BusinessDayRule.FOLLOWING)


def next_try_on(
    failed_on: date, first_sent_on: date, pay_days: Sequence[int], calendar: Calendar
) -> date | None:
    """Return when a debit that failed for want of money is tried again.

    Returns
    -------
    date or None
        The first pay-day after the failure, as a business day; without pay-days the third business
        day after it. None where that is later than 30 days after the first sending.

    Examples
    --------
    >>> from steelyard.kernel import calendar
    >>> next_try_on(date(2026, 3, 2), date(2026, 3, 2), (10, 25), calendar("CN")).isoformat()
    '2026-03-10'
    """
    on = calendar.add_business_days(failed_on, _RETRY_DAYS)
    if pay_days:
        found = []
        for month in (0, 1, 2):
            first = months_after(failed_on.replace(day=1), month)
            last = months.monthrange(first.year, first.month)[1]
            found += [first.replace(day=min(day, last)) for day in pay_days]
        on = collected_on(min(one for one in found if one > failed_on), calendar)
    return on if on <= first_sent_on + RETRY_WITHIN else None
