"""Internal rates: found where they are, refused where there is none or more than one."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steelyard.cashflows.model.irr import (
    FlowsAreInvalid,
    Point,
    RateDoesNotExist,
    RateIsNotUnique,
    irr,
    npv,
    rates,
    root,
    sole_rate,
    xirr,
    xnpv,
)

amounts = st.integers(1, 10**8)
rate_per_period = st.floats(-0.9, 5.0).filter(lambda rate: abs(rate) > 1e-6 or rate == 0)


def level(rate: float, periods: int) -> list[Point]:
    """Return a loan of one and the payments that repay it at a rate."""
    each = 1 / periods if rate == 0 else -rate / math.expm1(-periods * math.log1p(rate))
    return [Point(1.0, 0), *(Point(-each, period) for period in range(1, periods + 1))]


@given(rate_per_period, st.integers(1, 60))
def test_the_rate_behind_level_payments_is_found_again(rate: float, periods: int) -> None:
    assert sole_rate(level(rate, periods)) == pytest.approx(rate, rel=1e-7, abs=1e-9)


@given(st.lists(amounts, min_size=1, max_size=40), amounts)
def test_one_change_of_sign_has_one_rate_and_the_sum_is_nothing_there(
    back: list[int], out: int
) -> None:
    points = [Point(out, 0), *(Point(-one, period) for period, one in enumerate(back, 1))]
    found = rates(points)
    assert len(found) == 1
    rate = found[0]
    worth = math.fsum(one.amount * math.exp(-one.periods * math.log1p(rate)) for one in points)
    size = math.fsum(abs(one.amount) * math.exp(-one.periods * math.log1p(rate)) for one in points)
    assert abs(worth) <= 1e-9 * size


@given(st.lists(amounts, min_size=1, max_size=20), amounts, amounts)
def test_paying_more_costs_more(back: list[int], out: int, more: int) -> None:
    points = [Point(out, 0), *(Point(-one, period) for period, one in enumerate(back, 1))]
    assert sole_rate([*points, Point(-more, 1)]) >= sole_rate(points)


@given(st.lists(amounts, min_size=1, max_size=20), amounts, st.floats(0.01, 1e6))
def test_the_unit_of_money_does_not_matter(back: list[int], out: int, scale: float) -> None:
    points = [Point(out, 0), *(Point(-one, period) for period, one in enumerate(back, 1))]
    scaled = [one._replace(amount=one.amount * scale) for one in points]
    assert sole_rate(scaled) == pytest.approx(sole_rate(points), rel=1e-9, abs=1e-12)


@given(
    st.lists(st.floats(-0.5, 3.0), min_size=2, max_size=4, unique_by=lambda rate: round(rate, 1))
)
def test_every_rate_of_a_polynomial_is_found(planted: list[float]) -> None:
    gaps = sorted(math.log1p(rate) for rate in planted)
    assume(min(two - one for one, two in pairwise(gaps)) > 0.12)
    coefficients = [1.0]
    for rate in planted:
        # Times (v - 1 / (1 + rate)), v being the discount of a period.
        at = 1 / (1 + rate)
        shifted = [0.0, *coefficients]
        coefficients = [
            one - at * two for one, two in zip(shifted, [*coefficients, 0.0], strict=True)
        ]
    found = rates([Point(one, period) for period, one in enumerate(coefficients)])
    assert sorted(found) == pytest.approx(sorted(planted), rel=1e-5, abs=1e-6)


def test_two_rates_near_each_other_are_both_found() -> None:
    planted = (0.10, 0.11)
    (one, two) = (1 / (1 + rate) for rate in planted)
    found = rates([Point(one * two, 0), Point(-(one + two), 1), Point(1.0, 2)])
    assert found == pytest.approx(planted, abs=1e-9)


@pytest.mark.parametrize(
    "points", [[], [Point(100, 0)], [Point(100, 0), Point(5, 3)], [Point(100, 0), Point(-100, 0)]]
)
def test_money_that_moves_one_way_has_no_rate(points: list[Point]) -> None:
    with pytest.raises(RateDoesNotExist):
        sole_rate(points)


def test_a_sum_that_never_changes_its_sign_has_no_rate() -> None:
    with pytest.raises(RateDoesNotExist) as refused:
        sole_rate([Point(100, 0), Point(-50, 1), Point(100, 2)])
    assert "same sign" in str(refused.value.facts["why"])


def test_two_rates_are_refused_with_both() -> None:
    with pytest.raises(RateIsNotUnique) as refused:
        sole_rate([Point(-100, 0), Point(230, 1), Point(-132, 2)])
    assert refused.value.facts == {"count": 2, "rates": "10.0000 %, 20.0000 %"}


def test_a_spreadsheet_takes_the_rate_nearest_to_its_guess() -> None:
    values = [-100.0, 230.0, -132.0]
    assert irr(values) == pytest.approx(0.1)
    assert irr(values, guess=0.18) == pytest.approx(0.2)


@pytest.mark.parametrize("amount", [math.nan, math.inf])
def test_what_is_no_number_is_refused(amount: float) -> None:
    with pytest.raises(FlowsAreInvalid):
        rates([Point(amount, 0), Point(-1, 1)])


@given(
    st.lists(st.tuples(st.integers(1, 3650), amounts), min_size=1, max_size=20),
    amounts,
    st.dates(date(1990, 1, 1), date(2060, 1, 1)),
)
def test_dated_flows_are_worth_nothing_at_their_rate(
    later: list[tuple[int, int]], out: int, start: date
) -> None:
    values = [-float(out), *(float(amount) for _, amount in later)]
    dates = [start, *(start + timedelta(days=days) for days, _ in later)]
    try:
        found = xirr(values, dates)
    except RateDoesNotExist:
        # It lies beyond what is searched: millions of times a year, or all but nothing lost.
        signs = {xnpv(math.expm1(u), values, dates) > 0 for u in (-19.9, 0.0, 99.0)}
        assert len(signs) == 1
        return
    years = [(on - start).days / 365 for on in dates]
    worth = [
        value * math.exp(-time * math.log1p(found))
        for value, time in zip(values, years, strict=True)
    ]
    assert abs(math.fsum(worth)) <= 1e-9 * math.fsum(map(abs, worth))
    assert xnpv(found, values, dates) == pytest.approx(
        math.fsum(worth), abs=1e-6 * max(map(abs, worth))
    )


def test_a_date_before_the_first_is_refused() -> None:
    with pytest.raises(FlowsAreInvalid):
        xirr([-1.0, 2.0], [date(2026, 1, 2), date(2026, 1, 1)])
    with pytest.raises(FlowsAreInvalid):
        xnpv(0.1, [-1.0, 2.0], [date(2026, 1, 1)])


def test_the_first_value_of_npv_is_a_period_away() -> None:
    assert npv(0.1, [110.0]) == pytest.approx(100.0)


@given(st.floats(-50, 50), st.floats(0.001, 100))
def test_a_zero_between_two_signs_is_found(at: float, reach: float) -> None:
    found = root(lambda x: (x - at) ** 3, at - reach, at + 2 * reach)
    assert found == pytest.approx(at, abs=1e-4 * max(1.0, reach))
