"""What the columns are made of: dates, day counts and exact rounding, each as the scalar has it."""

from __future__ import annotations

import math
from datetime import date, timedelta
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steelyard.cashflows.model import columns_dates as dates
from steelyard.cashflows.model import daycount
from steelyard.cashflows.model.columns_daycount import year_fractions
from steelyard.cashflows.model.columns_exact import (
    MAX_DENOMINATOR,
    MAX_QUOTIENT,
    rounded_product,
)
from steelyard.cashflows.model.daycount import DayCount
from steelyard.kernel import BusinessDayRule, Rounding, calendar
from steelyard.kernel.rounding import round_ratio

CALENDARS = ("CN", "TARGET2", "WEEKENDS")
days = st.dates(date(1904, 1, 1), date(2150, 12, 31))
spans = st.tuples(days, st.integers(0, 4_000)).map(
    lambda pair: (pair[0], pair[0] + timedelta(days=pair[1]))
)


def column(values: list[date]) -> dates.Days:
    return np.array([dates.day_number(on) for on in values], np.int32)


def test_a_day_of_the_tables_is_read_back_with_its_month() -> None:
    every = [date(1900, 1, 1) + timedelta(days=37 * n) for n in range(3_900)]
    every += [date(2299, 12, 31), date(2000, 2, 29), date(2100, 2, 28)]
    found = column(every)
    assert [dates.date_of(day) for day in found] == every
    assert found.astype("datetime64[D]").tolist() == every
    assert dates.day_of(found).tolist() == [on.day for on in every]
    assert dates.month_of(found).tolist() == [12 * (on.year - 1900) + on.month - 1 for on in every]


@given(st.lists(st.tuples(days, st.integers(0, 600), st.integers(1, 31)), min_size=1, max_size=40))
def test_months_are_added_as_the_scalar_adds_them(asked: list[tuple[date, int, int]]) -> None:
    found = dates.add_months(
        column([on for on, _, _ in asked]),
        np.array([months for _, months, _ in asked]),
        np.array([day for _, _, day in asked]),
    )
    expected = [daycount.add_months(on, months, day) for on, months, day in asked]
    assert [dates.date_of(day) for day in found] == expected


@given(st.lists(spans, min_size=1, max_size=40))
@example([(date(2024, 1, 31), date(2024, 2, 29)), (date(2024, 2, 29), date(2025, 2, 28))])
@example([(date(2023, 12, 31), date(2024, 12, 31)), (date(2024, 2, 29), date(2024, 2, 29))])
def test_year_fractions_equal_the_scalar_ones(asked: list[tuple[date, date]]) -> None:
    from_on, to_on = column([one for one, _ in asked]), column([other for _, other in asked])
    for count, code in product(DayCount, CALENDARS):
        over, under = year_fractions(count, from_on, to_on, code)
        known = calendar(code) if count is DayCount.BUS_252 else None
        if known is None and code != CALENDARS[0]:
            continue
        expected = [Fraction(*daycount.year_fraction(count, *span, known)) for span in asked]
        unders = np.broadcast_to(under, over.shape).tolist()
        assert list(map(Fraction, over.tolist(), unders)) == expected, count


@pytest.mark.parametrize("code", CALENDARS)
def test_holidays_move_days_as_the_calendar_does(code: str) -> None:
    known = calendar(code)
    every = [date(2023, 1, 1) + timedelta(days=n) for n in range(4 * 366)]
    for rule in BusinessDayRule:
        found = dates.adjusted(column(every), code, rule)
        assert [dates.date_of(day) for day in found] == [known.adjust(on, rule) for on in every]


amounts = st.one_of(
    st.integers(0, 10**15), st.integers(0, 10**7), st.sampled_from([0, 1, 10**15, 12_345, 50])
)
ratios = st.one_of(
    st.tuples(st.integers(0, 10**4), st.sampled_from([10**4, 10**5, 12 * 10**6, 365 * 10**9])),
    st.tuples(st.integers(0, MAX_DENOMINATOR - 1), st.integers(1, MAX_DENOMINATOR - 1)),
)


@given(st.lists(st.tuples(amounts, ratios), min_size=1, max_size=30))
@example([(1, (1, 2)), (3, (1, 2)), (10**15, (1, 1)), (10**15 - 1, (10**18, 10**18 + 1))])
def test_a_product_is_rounded_from_the_exact_number(
    asked: list[tuple[int, tuple[int, int]]],
) -> None:
    asked = [
        (amount, (over, under))
        for amount, (over, under) in asked
        if amount * over < MAX_QUOTIENT * under
    ]
    flat = [(amount, over, under) for amount, (over, under) in asked]
    columns = [np.array([row[at] for row in flat], np.int64) for at in range(3)]
    for rounding in Rounding:
        found = rounded_product(*columns, rounding)
        expected = [round_ratio(a * p, q, rounding) for a, (p, q) in asked]
        assert found.tolist() == expected, rounding


@given(st.integers(0, 10**6), st.integers(2, 10**12), st.integers(-2, 2), st.sampled_from(Rounding))
def test_ties_and_their_neighbours_are_told_apart(
    whole: int, half: int, off: int, rounding: Rounding
) -> None:
    """The product is half a unit above a whole number, give or take the least there can be."""
    under = 2 * half
    over = max(whole * under + half + off, 0)
    assert math.isclose(over / under, whole + 0.5, abs_tol=0.51)
    found = rounded_product(np.array([1]), np.array([over]), np.array([under]), rounding)
    assert found.tolist() == [round_ratio(over, under, rounding)]
