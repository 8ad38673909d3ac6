"""Day counts: the length of an interest period in years, as an exact quotient of integers."""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from steelyard.kernel import Calendar

Ratio = tuple[int, int]
"""Numerator and denominator, the latter above zero; not reduced."""

_ONE_DAY: Final = timedelta(days=1)


class DayCount(StrEnum):
    """How the length of a period becomes a part of a year."""

    PERIODS = "periods"
    """Equal parts of a year, whatever the calendar: a month is 1/12, a week 1/52, a day 1/365."""
    THIRTY_360 = "30/360"
    """US bond basis (2006 ISDA definitions, 4.16(f))."""
    THIRTY_E_360 = "30e/360"
    """Eurobond basis (4.16(g))."""
    MONTHS_360 = "months/360"
    """Whole months count 1/12; days beyond them, their part of the month that they lie in."""
    ACT_360 = "act/360"
    ACT_364 = "act/364"
    ACT_365F = "act/365f"
    ACT_ACT_ISDA = "act/act-isda"
    """Days of leap years over 366, the others over 365 (4.16(b))."""
    ACT_ACT_DEC31 = "act/act-dec31"
    """The same, but cut at 31 December, which belongs to the year after."""
    ACT_ACT_FEB29 = "act/act-feb29"
    """Over 366 where the period holds a 29 February (its first day not counted), else 365."""
    BUS_252 = "bus/252"
    """Business days of a calendar over 252."""


class RatePer(StrEnum):
    """The time that a rate is quoted for."""

    YEAR = "year"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"
    """For each calendar day; a leap year changes nothing."""
    TERM = "term"
    """Once over the whole term, spread over it by days."""


def year_fraction(
    count: DayCount, from_on: date, to_on: date, calendar: Calendar | None = None
) -> Ratio:
    """Return the length of a span in years, exact.

    Parameters
    ----------
    from_on, to_on : the first day counts, the last does not; not in reverse
    calendar : of business days; BUS/252 alone needs it

    Returns
    -------
    tuple
        Numerator and denominator, not reduced.

    Examples
    --------
    >>> year_fraction(DayCount.THIRTY_E_360, date(2024, 1, 31), date(2024, 2, 29))
    (29, 360)
    >>> year_fraction(DayCount.ACT_ACT_ISDA, date(2023, 12, 12), date(2024, 1, 12))
    (11335, 133590)
    >>> year_fraction(DayCount.MONTHS_360, date(2024, 1, 1), date(2024, 2, 18))
    (46, 348)
    """
    assert from_on <= to_on, "a span does not end before it begins"
    days = (to_on - from_on).days
    match count:
        case DayCount.ACT_365F:
            return days, 365
        case DayCount.ACT_360:
            return days, 360
        case DayCount.ACT_364:
            return days, 364
        case DayCount.THIRTY_360:
            return _thirty(from_on, to_on, _us_days), 360
        case DayCount.THIRTY_E_360:
            return _thirty(from_on, to_on, _euro_days), 360
        case DayCount.ACT_ACT_ISDA:
            return _by_year(from_on, to_on)
        case DayCount.ACT_ACT_DEC31:
            return _by_year(from_on + _ONE_DAY, to_on + _ONE_DAY)
        case DayCount.ACT_ACT_FEB29:
            return days, 366 if _holds_feb29(from_on, to_on) else 365
        case DayCount.MONTHS_360 | DayCount.PERIODS:
            months, rest, of = months_between(from_on, to_on)
            return months * of + rest, 12 * of
        case DayCount.BUS_252:
            assert calendar is not None, "business days are those of a calendar"
            return calendar.business_days_between(from_on, to_on), 252


def _us_days(first: date, last: date) -> tuple[int, int]:
    start = min(first.day, 30)
    return start, 30 if last.day == 31 and start == 30 else last.day


def _euro_days(first: date, last: date) -> tuple[int, int]:
    return min(first.day, 30), min(last.day, 30)


def _thirty(first: date, last: date, days_of: object) -> int:
    assert callable(days_of)
    one, other = days_of(first, last)
    count: int = 360 * (last.year - first.year) + 30 * (last.month - first.month) + other - one
    return count


def _by_year(from_on: date, to_on: date) -> Ratio:
    """Return days of common years over 365 plus days of leap years over 366."""
    common = leap = 0
    for year in range(from_on.year, to_on.year + 1):
        start = max(from_on, date(year, 1, 1))
        end = min(to_on, date(year + 1, 1, 1))
        days = (end - start).days
        if isleap(year):
            leap += days
        else:
            common += days
    if leap == 0:
        return common, 365
    if common == 0:
        return leap, 366
    return common * 366 + leap * 365, 365 * 366


def _holds_feb29(from_on: date, to_on: date) -> bool:
    return any(
        isleap(year) and from_on < date(year, 2, 29) <= to_on
        for year in range(from_on.year, to_on.year + 1)
    )


def add_months(on: date, months: int, day: int | None = None) -> date:
    """Return a date so many months later, on a day of the month clipped to its length.

    Examples
    --------
    >>> add_months(date(2024, 2, 29), 12, day=31)
    datetime.date(2025, 2, 28)
    """
    month0 = on.year * 12 + on.month - 1 + months
    year, month = divmod(month0, 12)
    return date(year, month + 1, min(day or on.day, monthrange(year, month + 1)[1]))


def months_between(from_on: date, to_on: date) -> tuple[int, int, int]:
    """Return whole months, the days beyond them, and the days of the month those lie in.

    Examples
    --------
    >>> months_between(date(2024, 1, 1), date(2024, 2, 18))
    (1, 17, 29)
    >>> months_between(date(2024, 1, 31), date(2024, 2, 29))
    (1, 0, 31)
    """
    months = (to_on.year - from_on.year) * 12 + to_on.month - from_on.month
    if add_months(from_on, months) > to_on:
        months -= 1
    reached = add_months(from_on, months)
    rest = (to_on - reached).days
    return months, rest, (add_months(from_on, months + 1) - reached).days
