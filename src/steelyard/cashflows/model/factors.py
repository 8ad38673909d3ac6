"""What a period's interest is per one of its balance, as an exact quotient."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from steelyard.cashflows.model.dates import Span
from steelyard.cashflows.model.daycount import DayCount, RatePer, Ratio, year_fraction
from steelyard.cashflows.model.terms import Terms, Unit
from steelyard.kernel import calendar

_A_YEAR = {RatePer.YEAR: 1, RatePer.MONTH: 12, RatePer.WEEK: 52}
_UNITS_A_YEAR = {Unit.MONTH: 12, Unit.WEEK: 52, Unit.DAY: 365}
_DAYS_A_YEAR = {Unit.WEEK: 364, Unit.DAY: 365}
_DAYS_OF = {DayCount.ACT_365F: 365, DayCount.ACT_360: 360, DayCount.ACT_364: 364}


def factor(terms: Terms, rate: Decimal, span: Span, term_days: int) -> Ratio:
    """Return interest per one of the balance over a period.

    Parameters
    ----------
    rate : per one and the terms' `rate_per`
    term_days : days from the first to the last of the contract; a rate per term is spread over them

    Returns
    -------
    tuple
        Numerator and denominator, not reduced.

    Examples
    --------
    >>> from datetime import date
    >>> terms = Terms(principal_minor=1, start_on=date(2024, 1, 1), instalments=1,
    ...               rate=Decimal("0.12"))
    >>> factor(terms, terms.rate, Span(date(2024, 1, 1), date(2024, 2, 1), date(2024, 2, 1)), 31)
    (3, 300)
    """
    num, den = rate.as_integer_ratio()
    if num == 0:
        return 0, 1
    if terms.rate_per is RatePer.DAY:
        return num * span.days, den
    if terms.rate_per is RatePer.TERM:
        return num * span.days, den * max(term_days, 1)
    years, of = _years(terms, span)
    return num * _A_YEAR[terms.rate_per] * years, den * of


def _years(terms: Terms, span: Span) -> Ratio:
    count = terms.day_count
    if count is DayCount.PERIODS:
        if span.is_regular:
            return terms.every, _UNITS_A_YEAR[terms.unit]
        if terms.unit is not Unit.MONTH:
            return span.days, _DAYS_A_YEAR[terms.unit]
    elif count is DayCount.MONTHS_360:
        if terms.unit is not Unit.MONTH:
            return span.days, 360
        if span.is_regular:
            return terms.every, 12
    elif count is DayCount.BUS_252:
        return year_fraction(count, span.from_on, span.to_on, calendar(terms.calendar or "CN"))
    return year_fraction(count, span.from_on, span.to_on)


def factors(terms: Terms, rate: Decimal, spans: Sequence[Span], term_days: int) -> list[Ratio]:
    """Return the factor of each of several periods."""
    a_year = _DAYS_OF.get(terms.day_count)
    if a_year is not None and terms.rate_per in _A_YEAR and rate:
        num, den = rate.as_integer_ratio()
        num, den = num * _A_YEAR[terms.rate_per], den * a_year
        return [(num * (span.to_on - span.from_on).days, den) for span in spans]
    steady = terms.day_count in (DayCount.PERIODS, DayCount.MONTHS_360) and (
        terms.rate_per in _A_YEAR and terms.unit is Unit.MONTH
    )
    if not steady:
        return [factor(terms, rate, span, term_days) for span in spans]
    one: Ratio | None = None
    made: list[Ratio] = []
    for span in spans:
        if not span.is_regular:
            made.append(factor(terms, rate, span, term_days))
            continue
        if one is None:
            one = factor(terms, rate, span, term_days)
        made.append(one)
    return made
