"""The annual percentage rate of charge of the European Union, and that of the United Kingdom.

``sum C (1 + X)^-t = sum D (1 + X)^-s``, times in years from the first drawdown (Directive
2008/48/EC, Annex I). How a distance of dates becomes years: Commission staff working document
SWD(2012) 128, section 4.1.1. The United Kingdom took the same equation over (FCA handbook, CONC
App 1.2), and with it the rounding; it differs for credit secured on land (CONC App 1.1), see
`TimeBase.LAND`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from steelyard.cashflows.model.daycount import add_months
from steelyard.cashflows.model.irr import Flow, FlowsAreInvalid, Point, sole_rate
from steelyard.kernel import Rounding
from steelyard.kernel.rounding import round_to

_DIGITS: Final = 6


class TimeBase(StrEnum):
    """The frequency of the payments, in which distances are counted before days are."""

    DAY = "day"
    """Days alone; whole years are taken first, so that a leap year counts as one."""
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    LAND = "land"
    """United Kingdom, secured on land: whole months, else whole weeks, else years and days."""


def years_between(from_on: date, to_on: date, base: TimeBase) -> Fraction:
    """Return a distance in years: whole periods counted back from the later date, then days.

    Parameters
    ----------
    from_on : of the first drawdown

    Returns
    -------
    Fraction
        A month is 1/12, a week 1/52. A day is 1/365, or 1/366 where the year that ends on the
        date reached holds a 29 February.

    Examples
    --------
    >>> years_between(date(2012, 1, 12), date(2012, 2, 15), TimeBase.MONTH)
    Fraction(401, 4380)
    >>> years_between(date(2012, 1, 12), date(2013, 2, 15), TimeBase.YEAR)
    Fraction(399, 365)
    """
    assert from_on <= to_on, "a span does not end before it begins"
    match base:
        case TimeBase.WEEK:
            whole, rest = divmod((to_on - from_on).days, 7)
            reached = from_on + timedelta(days=rest)
            return Fraction(whole, 52) + _days(from_on, reached)
        case TimeBase.MONTH:
            return _months(from_on, to_on, 1)
        case TimeBase.LAND:
            return _land(from_on, to_on)
        case _:
            return _months(from_on, to_on, 12)


def _months(from_on: date, to_on: date, every: int) -> Fraction:
    """Return whole months, or years, back from the later date and the days before them."""
    months = (to_on.year - from_on.year) * 12 + to_on.month - from_on.month
    if add_months(to_on, -months) < from_on:
        months -= 1
    months -= months % every
    return Fraction(months, 12) + _days(from_on, add_months(to_on, -months))


def _days(from_on: date, reached: date) -> Fraction:
    """Return the days up to a date as a part of the year that ends on it."""
    return Fraction((reached - from_on).days, (reached - add_months(reached, -12)).days)


def _land(from_on: date, to_on: date) -> Fraction:
    months = (to_on.year - from_on.year) * 12 + to_on.month - from_on.month
    if add_months(from_on, months) == to_on:
        return Fraction(months, 12)
    weeks, rest = divmod((to_on - from_on).days, 7)
    return Fraction(weeks, 52) if rest == 0 else _months(from_on, to_on, 12)


def eu_apr(
    drawdowns: Sequence[Flow], repayments: Sequence[Flow], base: TimeBase = TimeBase.MONTH
) -> Decimal:
    """Return the annual percentage rate of charge, percent, to six digits after the point.

    Parameters
    ----------
    drawdowns : paid to the consumer; the first is where time begins
    repayments : of credit and of every charge, none before the first drawdown
    base : how often is paid: by the week, the month, the year

    Refusals
    --------
    flows_are_invalid, rate_does_not_exist, rate_is_not_unique

    Examples
    --------
    >>> eu_apr([Flow(date(1994, 1, 1), 100_000)], [Flow(date(1995, 7, 1), 120_000)], TimeBase.DAY)
    Decimal('12.962038')
    """
    if not drawdowns or not repayments:
        raise FlowsAreInvalid(why="no drawdown or no repayment")
    start = min(flow.on for flow in drawdowns)
    if min(flow.on for flow in repayments) < start:
        raise FlowsAreInvalid(why="a repayment before the first drawdown")

    def timed(flows: Sequence[Flow]) -> list[tuple[float, float]]:
        return [(float(years_between(start, on, base)), amount) for on, amount in flows]

    return eu_apr_of_years(timed(drawdowns), timed(repayments))


def eu_apr_of_years(
    drawdowns: Sequence[tuple[float, float]], repayments: Sequence[tuple[float, float]]
) -> Decimal:
    """Return the same of pairs of years and amounts.

    Refusals
    --------
    rate_does_not_exist, rate_is_not_unique, flows_are_invalid

    Examples
    --------
    >>> eu_apr_of_years([(0, 1000)], [(1, 600), (2, 600)])
    Decimal('13.066239')
    """
    points = [
        *(Point(amount, years) for years, amount in drawdowns),
        *(Point(-amount, years) for years, amount in repayments),
    ]
    return round_to(Decimal(100 * sole_rate(points)), _DIGITS, Rounding.HALF_UP)


def disclosed(percent: Decimal, digits: int = 1) -> Decimal:
    """Return a percentage as it is shown: a next digit of 5 or more rounds up (Annex I (d)).

    Examples
    --------
    >>> disclosed(Decimal("3.055")), disclosed(Decimal("3.054"), 2)
    (Decimal('3.1'), Decimal('3.05'))
    """
    return round_to(percent, digits, Rounding.HALF_UP)
