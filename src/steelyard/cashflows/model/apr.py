"""The annual percentage rate of US Regulation Z, Appendix J, by the actuarial method.

Times are whole unit-periods and a fraction; whole ones compound, the fraction bears simple
interest: ``sum A / ((1 + f i)(1 + i)^t) = sum P / ((1 + f i)(1 + i)^t)`` (paragraph (b)(8)), and
the rate is ``i`` times the unit-periods in a year. Paragraphs are those of Appendix J to 12 CFR
part 1026.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final

from steelyard.cashflows.model.daycount import add_months
from steelyard.cashflows.model.irr import Flow, FlowsAreInvalid, Point, sole_rate
from steelyard.kernel import Rounding
from steelyard.kernel.rounding import round_to

_DIGITS: Final = 6
_MONTHS_IN_YEAR: Final = 12


class Interval(StrEnum):
    """What a unit-period is a multiple of."""

    DAY = "day"
    WEEK = "week"
    SEMIMONTH = "semimonth"
    MONTH = "month"


_DAYS: Final = {
    Interval.DAY: Fraction(1),
    Interval.WEEK: Fraction(7),
    Interval.SEMIMONTH: Fraction(365, 24),
    Interval.MONTH: Fraction(365, 12),
}


@dataclass(frozen=True, slots=True)
class UnitPeriod:
    """The period in which interest compounds.

    Attributes
    ----------
    of, count : twelve months are a year; days beyond one are the term of a single payment

    Examples
    --------
    >>> UnitPeriod(Interval.MONTH, 2).per_year, UnitPeriod(Interval.DAY, 255).per_year
    (Fraction(6, 1), Fraction(73, 51))
    """

    of: Interval
    count: int = 1

    @property
    def per_year(self) -> Fraction:
        """Return how many make a year: of 365 days, 52 weeks, 24 half months, 12 months."""
        whole = {Interval.DAY: 365, Interval.WEEK: 52, Interval.SEMIMONTH: 24, Interval.MONTH: 12}
        return Fraction(whole[self.of], self.count)

    @property
    def days(self) -> Fraction:
        """Return its length in days, for comparing periods with each other."""
        return _DAYS[self.of] * self.count


@dataclass(frozen=True, slots=True)
class Apr:
    """An annual percentage rate.

    Attributes
    ----------
    percent : to six digits after the point; disclosed with two or more
    unit_period : what it was computed with
    """

    percent: Decimal
    unit_period: UnitPeriod


def apr(
    advances: Sequence[Flow], payments: Sequence[Flow], unit_period: UnitPeriod | None = None
) -> Apr:
    """Return the annual percentage rate of Regulation Z, Appendix J.

    Parameters
    ----------
    advances : paid to the borrower, less prepaid finance charges; the first begins the term
    payments : by the borrower, none before the first advance
    unit_period : None: found as paragraph (b)(4) says

    Refusals
    --------
    flows_are_invalid, rate_does_not_exist, rate_is_not_unique

    Examples
    --------
    >>> apr([Flow(date(1978, 1, 3), 100_000)], [Flow(date(1978, 9, 15), 108_000)]).percent
    Decimal('11.450980')
    """
    _check(advances, payments)
    unit = unit_period or find_unit_period(advances, payments)
    start = min(flow.on for flow in advances)
    points = [
        *_points(advances, start, unit, sign=1),
        *_points(payments, start, unit, sign=-1),
    ]
    percent = 100 * float(unit.per_year) * sole_rate(points)
    return Apr(round_to(Decimal(percent), _DIGITS, Rounding.HALF_UP), unit)


def _check(advances: Sequence[Flow], payments: Sequence[Flow]) -> None:
    if not advances or not payments:
        raise FlowsAreInvalid(why="no advance or no payment")
    if any(flow.amount_minor < 0 for flow in (*advances, *payments)):
        raise FlowsAreInvalid(why="an amount is negative")
    if min(flow.on for flow in payments) < min(flow.on for flow in advances):
        raise FlowsAreInvalid(why="a payment before the first advance")


def _points(flows: Sequence[Flow], start: date, unit: UnitPeriod, *, sign: int) -> Iterator[Point]:
    by_last_day = on_last_days([flow.on for flow in flows])
    for on, amount in flows:
        whole, fraction = unit_periods_between(unit, start, on, by_last_day=by_last_day)
        yield Point(float(sign * amount), whole, float(fraction))


def on_last_days(dates: Sequence[date]) -> bool:
    """Return whether a series falls on the last days of months, so that it is measured by them.

    Paragraph (b)(3)(iv).

    Examples
    --------
    >>> on_last_days([date(2026, 1, 31), date(2026, 2, 28)])
    True
    >>> on_last_days([date(2026, 1, 30), date(2026, 2, 28)])
    False
    """
    return len(set(dates)) > 1 and all(_is_last(on) for on in dates)


def unit_periods_between(
    unit: UnitPeriod, from_on: date, to_on: date, *, by_last_day: bool = False
) -> tuple[int, Fraction]:
    """Return whole unit-periods, measured back from the later date, and the fraction left over.

    Parameters
    ----------
    by_last_day : the later date belongs to a series on last days of months

    Returns
    -------
    tuple
        Whole unit-periods and the rest of one, 0 to 1. Days beyond whole months count 1/30 each,
        beyond whole years 1/365, unless they are whole months (paragraph (b)(5)).

    Examples
    --------
    >>> two_months = UnitPeriod(Interval.MONTH, 2)
    >>> unit_periods_between(two_months, date(1978, 1, 10), date(1978, 3, 1))
    (0, Fraction(13, 15))
    >>> unit_periods_between(UnitPeriod(Interval.MONTH, 12), date(1978, 7, 17), date(1980, 1, 17))
    (1, Fraction(1, 2))
    """
    assert from_on <= to_on, "a span does not end before it begins"
    days = (to_on - from_on).days
    if unit.of is Interval.DAY or unit.of is Interval.WEEK:
        whole, rest = divmod(days, int(unit.days))
        return whole, Fraction(rest) / unit.days
    months, left = _months_back(from_on, to_on, by_last_day=by_last_day)
    if unit.of is Interval.SEMIMONTH:
        whole, rest = divmod(30 * months + left, 15)
        return whole, Fraction(rest, 15)
    if unit.count == _MONTHS_IN_YEAR:
        years, rest = divmod(months, _MONTHS_IN_YEAR)
        if left == 0:
            return years, Fraction(rest, _MONTHS_IN_YEAR)
        reached = _back(to_on, _MONTHS_IN_YEAR * years, by_last_day=by_last_day)
        return years, Fraction((reached - from_on).days, 365)
    # Thirty days left over beyond whole months are the fraction 1, not one more whole period:
    # the month that they lie in has 31.
    if unit.count == 1:
        return months, Fraction(left, 30)
    whole, rest = divmod(30 * months + left, 30 * unit.count)
    return whole, Fraction(rest, 30 * unit.count)


def _months_back(from_on: date, to_on: date, *, by_last_day: bool) -> tuple[int, int]:
    """Return whole months counted back from the later date, and the days before them."""
    months = (to_on.year - from_on.year) * 12 + to_on.month - from_on.month
    if _back(to_on, months, by_last_day=by_last_day) < from_on:
        months -= 1
    return months, (_back(to_on, months, by_last_day=by_last_day) - from_on).days


def _back(on: date, months: int, *, by_last_day: bool) -> date:
    return add_months(on, -months, day=31 if by_last_day else None)


def find_unit_period(advances: Sequence[Flow], payments: Sequence[Flow]) -> UnitPeriod:
    """Return the unit-period of a transaction: its most frequent common period.

    A single advance with a single payment has its term, at most a year. Elsewhere the period that
    occurs most often, of equals the smaller; where none occurs twice, the standard interval
    nearest to the average (paragraphs (b)(3) and (b)(4)).

    Examples
    --------
    >>> paid = [Flow(date(2026, month, 15), 8800) for month in range(3, 13)]
    >>> find_unit_period([Flow(date(2026, 1, 20), 85_000)], paid)
    UnitPeriod(of=<Interval.MONTH: 'month'>, count=1)
    """
    _check(advances, payments)
    lent = sorted({flow.on for flow in advances})
    paid = sorted({flow.on for flow in payments})
    if len(lent) == len(paid) == 1:
        return _term(lent[0], paid[0])
    gaps = [*pairwise(lent), *pairwise(paid)]
    if paid[0] > lent[0]:
        gaps.append((lent[0], paid[0]))
    found = Counter(unit for gap in gaps for unit in _candidates(*gap))
    common = [(count, unit) for unit, count in found.items() if count > 1]
    if common:
        return min(common, key=lambda one: (-one[0], not _is_standard(one[1]), one[1].days))[1]
    average = Fraction(sum((two - one).days for one, two in gaps), len(gaps))
    return min(_standard(), key=lambda unit: (abs(unit.days - average), unit.days))


def _term(from_on: date, to_on: date) -> UnitPeriod:
    """Return the unit-period of one advance and one payment: the term, but not over a year."""
    months, left = _months_back(from_on, to_on, by_last_day=False)
    if months >= _MONTHS_IN_YEAR:
        return UnitPeriod(Interval.MONTH, _MONTHS_IN_YEAR)
    if left == 0 and months > 0:
        return UnitPeriod(Interval.MONTH, months)
    return UnitPeriod(Interval.DAY, max(1, (to_on - from_on).days))


def _candidates(one: date, two: date) -> Iterator[UnitPeriod]:
    """Return every period that the distance between two dates can be read as."""
    days = (two - one).days
    months = (two.year - one.year) * _MONTHS_IN_YEAR + two.month - one.month
    # One of the two may stand for a day that its month does not have.
    if months > 0 and (add_months(one, months) == two or add_months(two, -months) == one):
        yield UnitPeriod(Interval.MONTH, min(months, _MONTHS_IN_YEAR))
    if _is_semimonth(one, two):
        yield UnitPeriod(Interval.SEMIMONTH)
    if days % 7 == 0 and days <= 364:
        yield UnitPeriod(Interval.WEEK, days // 7)
    elif days <= 365:
        yield UnitPeriod(Interval.DAY, days)


def _is_semimonth(one: date, two: date) -> bool:
    if (one.year, one.month) == (two.year, two.month):
        return two.day == one.day + 15 or (one.day in (14, 15) and _is_last(two))
    follows = add_months(one.replace(day=1), 1) == two.replace(day=1)
    return follows and (one.day == two.day + 15 or (_is_last(one) and two.day in (14, 15)))


def _is_last(on: date) -> bool:
    return on.day == monthrange(on.year, on.month)[1]


def _is_standard(unit: UnitPeriod) -> bool:
    return unit.of is not Interval.DAY or unit.count == 1


def _standard() -> list[UnitPeriod]:
    """Return the standard intervals: day, half month, and weeks and months up to a year."""
    return [
        UnitPeriod(Interval.DAY),
        UnitPeriod(Interval.SEMIMONTH),
        *(UnitPeriod(Interval.WEEK, count) for count in range(1, 53)),
        *(UnitPeriod(Interval.MONTH, count) for count in range(1, 13)),
    ]
