"""Dates in columns: days since 1970 as int32, looked up in tables that the calendars fill."""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date, timedelta
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.kernel import BusinessDayRule, calendar

Days = NDArray[np.int32]
"""Days since 1 January 1970; `Days.astype("datetime64[D]")` reads them as dates."""
Whole = NDArray[np.int16] | NDArray[np.int32] | NDArray[np.int64]

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2299
_EPOCH: Final = date(1970, 1, 1).toordinal()
FIRST_DAY: Final = date(FIRST_YEAR, 1, 1).toordinal() - _EPOCH
LAST_DAY: Final = date(LAST_YEAR, 12, 31).toordinal() - _EPOCH


def _month_tables() -> tuple[Days, NDArray[np.int16]]:
    """Return the first day of every month, one after the last included, and its length."""
    lengths = [
        monthrange(year, month)[1]
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
        for month in range(1, 13)
    ]
    firsts = np.concatenate([[0], np.cumsum(lengths)]) + FIRST_DAY
    return firsts.astype(np.int32), np.array([*lengths, 31], np.int16)


_FIRSTS, _LENGTHS = _month_tables()
_MONTHS: Final = len(_LENGTHS) - 1
_MONTH_OF: Final = np.repeat(np.arange(_MONTHS, dtype=np.int16), _LENGTHS[:-1])
_DAY_OF: Final = (
    np.arange(FIRST_DAY, LAST_DAY + 1, dtype=np.int32) - _FIRSTS[_MONTH_OF] + 1
).astype(np.int16)
_LEAP_MONTH: Final = np.repeat(
    [isleap(year) for year in range(FIRST_YEAR, LAST_YEAR + 1)], 12
).astype(np.int32)
_LEAP_DAYS: Final = np.concatenate([[0], np.cumsum(_LEAP_MONTH[_MONTH_OF])]).astype(np.int32)
_FEB29S: Final = np.cumsum((_DAY_OF == 29) & (_MONTH_OF % 12 == 1)).astype(np.int32)


def day_number(on: date) -> int:
    """Return a date as days since 1970.

    Examples
    --------
    >>> day_number(date(1970, 1, 2))
    1
    """
    return on.toordinal() - _EPOCH


def date_of(day: int) -> date:
    """Return the date of so many days since 1970."""
    return date.fromordinal(int(day) + _EPOCH)


def month_of(days: Days) -> NDArray[np.int16]:
    """Return months since January of the tables' first year."""
    return _MONTH_OF[days - FIRST_DAY]


def day_of(days: Days) -> NDArray[np.int16]:
    """Return days of the month, 1 to 31."""
    return _DAY_OF[days - FIRST_DAY]


def month_length(months: Whole) -> NDArray[np.int16]:
    """Return how many days months have, months counted as by `month_of`."""
    return _LENGTHS[months]


def month_start(months: Whole) -> Days:
    """Return the first day of months, counted as by `month_of`."""
    return _FIRSTS[months]


def add_months(days: Days, months: Whole | int, day: Whole | None = None) -> Days:
    """Return dates so many months later, on a day of the month clipped to its length.

    Examples
    --------
    >>> start = np.array([day_number(date(2024, 2, 29))], np.int32)
    >>> date_of(add_months(start, 12, np.array([31]))[0])
    datetime.date(2025, 2, 28)
    """
    reached = month_of(days).astype(np.int32) + months
    wanted = day_of(days) if day is None else day
    return (month_start(reached) + np.minimum(wanted, month_length(reached)) - 1).astype(np.int32)


def months_between(
    from_on: Days, to_on: Days
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return whole months, the days beyond them, and the days of the month those lie in.

    Notes
    -----
    The same as the scalar `months_between`, element by element.
    """
    first, last, day = month_of(from_on), month_of(to_on), day_of(from_on)
    months = last.astype(np.int32) - first
    months -= np.minimum(day, month_length(last)) > day_of(to_on)
    reached = add_months(from_on, months)
    rest = to_on - reached
    of = add_months(from_on, months + 1) - reached
    return months.astype(np.int64), rest.astype(np.int64), of.astype(np.int64)


def leap_days_between(from_on: Days, to_on: Days) -> NDArray[np.int32]:
    """Return how many days of spans, the last not counted, lie in leap years."""
    return _LEAP_DAYS[to_on - FIRST_DAY] - _LEAP_DAYS[from_on - FIRST_DAY]


def holds_feb29(from_on: Days, to_on: Days) -> NDArray[np.bool_]:
    """Return which spans hold a 29 February; their first day does not count, the last does."""
    return _FEB29S[to_on - FIRST_DAY] > _FEB29S[from_on - FIRST_DAY]


@cache
def _business_days(code: str) -> NDArray[np.bool_]:
    """Return which days of the tables are business days of a calendar."""
    known, first = calendar(code), date(FIRST_YEAR, 1, 1)
    count = LAST_DAY - FIRST_DAY + 1
    one = timedelta(days=1)
    found = np.fromiter(
        (known.is_business_day(first + n * one) for n in range(count)), np.bool_, count
    )
    found.flags.writeable = False
    return found


@cache
def _business_days_before(code: str) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(_business_days(code))]).astype(np.int32)


@cache
def _adjusted(code: str, rule: BusinessDayRule) -> Days:
    """Return where a rule moves every day of the tables."""
    is_free = ~_business_days(code)
    days = np.arange(FIRST_DAY, LAST_DAY + 1, dtype=np.int32)
    # At the tables' ends there may be no business day to move to: those days stay, out of use.
    before = np.maximum.accumulate(np.where(is_free, FIRST_DAY, days))
    after = np.minimum.accumulate(np.where(is_free, LAST_DAY, days)[::-1])[::-1]
    same_month = {
        BusinessDayRule.MODIFIED_FOLLOWING: (after, before),
        BusinessDayRule.MODIFIED_PRECEDING: (before, after),
    }
    match rule:
        case BusinessDayRule.UNADJUSTED:
            return days
        case BusinessDayRule.FOLLOWING:
            return after.astype(np.int32)
        case BusinessDayRule.PRECEDING:
            return before.astype(np.int32)
        case _:
            first, other = same_month[rule]
            return np.where(month_of(first) == _MONTH_OF, first, other).astype(np.int32)


def adjusted(days: Days, code: str, rule: BusinessDayRule) -> Days:
    """Return where a rule of a calendar moves days.

    Refusals
    --------
    unknown_calendar
    """
    return _adjusted(code, rule)[days - FIRST_DAY]


def business_days_between(from_on: Days, to_on: Days, code: str) -> NDArray[np.int64]:
    """Return how many business days of a calendar spans have; their last day is not counted.

    Refusals
    --------
    unknown_calendar
    """
    before = _business_days_before(code)
    return (before[to_on - FIRST_DAY] - before[from_on - FIRST_DAY]).astype(np.int64)
