"""Day counts in columns: lengths of spans in years as integer quotients."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model import columns_dates as dates
from steelyard.cashflows.model.columns_dates import Days
from steelyard.cashflows.model.daycount import DayCount

Ratios = tuple[NDArray[np.int64], NDArray[np.int64] | int]
"""Numerators, and their denominators or the one that all share; not reduced."""

_BY_YEAR: Final = 365 * 366


def year_fractions(count: DayCount, from_on: Days, to_on: Days, code: str | None = None) -> Ratios:
    """Return lengths of spans in years, exact; each equals that of the scalar `year_fraction`.

    Parameters
    ----------
    from_on, to_on : days of one shape, within the tables; no span is in reverse
    code : of the calendar of business days; BUS/252 alone needs it

    Examples
    --------
    >>> from datetime import date
    >>> span = [np.array([dates.day_number(on)], np.int32)
    ...         for on in (date(2024, 1, 31), date(2024, 2, 29))]
    >>> year_fractions(DayCount.THIRTY_E_360, *span)
    (array([29]), 360)
    """
    days = (to_on - from_on).astype(np.int64)
    match count:
        case DayCount.ACT_365F:
            return days, 365
        case DayCount.ACT_360:
            return days, 360
        case DayCount.ACT_364:
            return days, 364
        case DayCount.THIRTY_360 | DayCount.THIRTY_E_360:
            return _thirty(from_on, to_on, count), 360
        case DayCount.ACT_ACT_ISDA:
            return _by_year(from_on, to_on), _BY_YEAR
        case DayCount.ACT_ACT_DEC31:
            return _by_year(from_on + np.int32(1), to_on + np.int32(1)), _BY_YEAR
        case DayCount.ACT_ACT_FEB29:
            return days * np.where(dates.holds_feb29(from_on, to_on), 365, 366), _BY_YEAR
        case DayCount.MONTHS_360 | DayCount.PERIODS:
            months, rest, of = dates.months_between(from_on, to_on)
            return months * of + rest, 12 * of
        case DayCount.BUS_252:
            assert code is not None, "business days are those of a calendar"
            return dates.business_days_between(from_on, to_on, code), 252


def _thirty(from_on: Days, to_on: Days, count: DayCount) -> NDArray[np.int64]:
    months = dates.month_of(to_on).astype(np.int64) - dates.month_of(from_on)
    first, last = np.minimum(dates.day_of(from_on), 30), dates.day_of(to_on)
    clipped = np.minimum(last, 30)
    if count is DayCount.THIRTY_360:
        clipped = np.where(first == 30, clipped, last)
    return 30 * months + clipped - first


def _by_year(from_on: Days, to_on: Days) -> NDArray[np.int64]:
    """Return days of common years over 365 plus days of leap years over 366, times both."""
    leap = dates.leap_days_between(from_on, to_on)
    # Each leap day is 365 of the common measure instead of 366.
    return (to_on - from_on).astype(np.int64) * 366 - leap
