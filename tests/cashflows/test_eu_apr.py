"""The European rate of charge: how dates become years, and what rate follows."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows.model.daycount import add_months
from steelyard.cashflows.model.eu_apr import (
    TimeBase,
    disclosed,
    eu_apr,
    eu_apr_of_years,
    years_between,
)
from steelyard.cashflows.model.irr import Flow, FlowsAreInvalid, RateDoesNotExist

days = st.dates(date(1980, 1, 1), date(2070, 1, 1))


@pytest.mark.parametrize(
    ("base", "start", "end", "years"),
    [
        (TimeBase.WEEK, "2012-01-12", "2012-02-15", Fraction(4, 52) + Fraction(6, 365)),
        (TimeBase.DAY, "1994-01-01", "1995-07-01", Fraction(546, 365)),
        (TimeBase.DAY, "2012-01-01", "2013-01-01", Fraction(1)),
        (TimeBase.YEAR, "2012-02-29", "2013-02-28", Fraction(365, 366)),
        (TimeBase.LAND, "2012-01-12", "2012-04-12", Fraction(3, 12)),
        (TimeBase.LAND, "2012-01-12", "2012-02-16", Fraction(5, 52)),
        (TimeBase.LAND, "2012-01-12", "2012-02-15", Fraction(34, 365)),
    ],
)
def test_a_distance_in_years(base: TimeBase, start: str, end: str, years: Fraction) -> None:
    assert years_between(date.fromisoformat(start), date.fromisoformat(end), base) == years


@given(st.sampled_from(TimeBase), days, st.integers(0, 5000), st.integers(0, 800))
def test_years_are_near_the_calendar_and_do_not_fall(
    base: TimeBase, start: date, length: int, more: int
) -> None:
    one = years_between(start, start + timedelta(days=length), base)
    assert abs(float(one) - length / 365.25) <= 0.02 + 0.004 * length / 365
    assert (one == 0) == (length == 0)
    later = years_between(start, start + timedelta(days=length + 40 + more), base)
    assert later > one


@given(days, st.integers(1, 120))
def test_months_are_equal(start: date, months: int) -> None:
    first = start.replace(day=1)
    found = years_between(first, add_months(first, months), TimeBase.MONTH)
    assert found == Fraction(months, 12)


@given(st.integers(1, 60), st.integers(0, 600), days)
def test_a_rate_compounds_to_itself(months: int, tenths: int, start: date) -> None:
    first = start.replace(day=1)
    rate = tenths / 1000
    owed = round(10**8 * (1 + rate) ** (months / 12))
    found = eu_apr([Flow(first, 10**8)], [Flow(add_months(first, months), owed)])
    assert float(found) == pytest.approx(100 * rate, abs=2e-4)


def test_charges_of_the_first_day_raise_the_rate() -> None:
    bare = eu_apr_of_years([(0, 1000)], [(1, 1100)])
    charged = eu_apr_of_years([(0, 1000)], [(0, 20), (1, 1100)])
    assert bare == Decimal("10.000000")
    assert charged > Decimal(12)


def test_several_drawdowns() -> None:
    found = eu_apr_of_years([(0, 1000), (0.5, 1000)], [(1, 1100), (2, 1100)])
    assert Decimal(7) < found < Decimal(10)


def test_what_cannot_be_is_refused() -> None:
    one, other = Flow(date(2026, 1, 1), 100), Flow(date(2025, 1, 1), 100)
    with pytest.raises(FlowsAreInvalid):
        eu_apr([one], [other])
    with pytest.raises(FlowsAreInvalid):
        eu_apr([], [other])
    with pytest.raises(RateDoesNotExist):
        eu_apr([one], [Flow(date(2027, 1, 1), 0)])


@given(st.decimals(0, 1000, places=6), st.integers(1, 4))
def test_what_is_shown_is_at_most_half_a_unit_away(percent: Decimal, digits: int) -> None:
    assert abs(disclosed(percent, digits) - percent) <= Decimal(1).scaleb(-digits) / 2
