"""Regulation Z, Appendix J: unit-periods, fractions of them, and rates; tables are in vectors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steelyard.cashflows.model.apr import (
    Interval,
    UnitPeriod,
    apr,
    find_unit_period,
    on_last_days,
    unit_periods_between,
)
from steelyard.cashflows.model.daycount import add_months
from steelyard.cashflows.model.irr import Flow, FlowsAreInvalid, RateIsNotUnique
from tests.vectors.rates import flows, unit_period
from tests.vectors.tables import DELIVERED, Table, load

MONTH = UnitPeriod(Interval.MONTH)
days = st.dates(date(1970, 1, 1), date(2070, 1, 1))


def regz(path: Path = DELIVERED) -> list[Table]:
    return list(load(path / "apr.json")["regz"])


@pytest.mark.parametrize("case", regz(), ids=lambda case: str(case["id"]))
def test_the_unit_period_of_a_published_case_is_found(case: Table) -> None:
    found = find_unit_period(flows(case["advances"]), flows(case["payments"]))
    assert found == unit_period(case["unit_period"])


def monthly(start: date, count: int, amount: int) -> list[Flow]:
    return [Flow(add_months(start, n), amount) for n in range(count)]


@pytest.mark.parametrize(
    ("advances", "payments", "percent", "unit"),
    [
        # One payment after six whole months, after two years; three advances; two series of
        # payments with single ones between them.
        ([("1978-07-15", 1000)], [("1979-01-15", 1044)], "8.80", UnitPeriod(Interval.MONTH, 6)),
        ([("1978-01-03", 1000)], [("1980-01-03", 1240)], "11.36", UnitPeriod(Interval.MONTH, 12)),
        (
            [("1978-03-03", 7350)],
            [
                *((f"1978-{month}-15", 1000) for month in ("09", "10", "11")),
                ("1979-03-15", 2000),
                *((f"1979-{month}-15", 750) for month in ("09", "10", "11")),
                ("1980-02-01", 1000),
            ],
            "10.22",
            MONTH,
        ),
    ],
)
def test_further_examples_of_the_appendix(
    advances: Sequence[tuple[str, int]],
    payments: Sequence[tuple[str, int]],
    percent: str,
    unit: UnitPeriod,
) -> None:
    found = apr(flows(advances), flows(payments))
    assert round(found.percent, 2) == Decimal(percent)
    assert found.unit_period == unit


def test_a_construction_loan_is_advanced_in_three_parts() -> None:
    out = flows([("1979-04-10", 20000), ("1979-06-12", 20000), ("1979-09-18", 20000)])
    found = apr(out, monthly(date(1979, 12, 10), 240, 61_236))
    assert round(found.percent, 2) == Decimal("10.25")


@pytest.mark.parametrize(
    ("unit", "start", "end", "expected"),
    [
        (MONTH, "2024-01-31", "2024-02-29", (0, Fraction(29, 30))),
        (MONTH, "2024-02-29", "2025-02-28", (11, Fraction(28, 30))),
        (MONTH, "2023-12-02", "2024-01-01", (0, Fraction(1))),
        (UnitPeriod(Interval.SEMIMONTH), "1978-02-23", "1978-03-01", (0, Fraction(6, 15))),
        (UnitPeriod(Interval.WEEK), "1978-03-20", "1978-04-21", (4, Fraction(4, 7))),
        (UnitPeriod(Interval.WEEK, 2), "1978-04-03", "1978-04-11", (0, Fraction(8, 14))),
        (UnitPeriod(Interval.MONTH, 12), "2024-01-10", "2026-01-20", (2, Fraction(10, 365))),
        (UnitPeriod(Interval.MONTH, 12), "2024-01-10", "2026-04-10", (2, Fraction(3, 12))),
        (UnitPeriod(Interval.DAY, 255), "1978-01-03", "1978-09-15", (1, Fraction(0))),
    ],
)
def test_leftover_days_are_counted_as_the_paragraph_says(
    unit: UnitPeriod, start: str, end: str, expected: tuple[int, Fraction]
) -> None:
    assert (
        unit_periods_between(unit, date.fromisoformat(start), date.fromisoformat(end)) == expected
    )


def test_a_series_on_last_days_is_measured_by_last_days() -> None:
    start, last = date(2026, 1, 31), date(2026, 6, 30)
    assert unit_periods_between(MONTH, start, last) == (4, Fraction(28, 30))
    assert unit_periods_between(MONTH, start, last, by_last_day=True) == (5, Fraction(0))
    assert on_last_days([date(2026, 2, 28), date(2026, 3, 31)])
    assert not on_last_days([date(2026, 2, 28), date(2026, 3, 28)])


units = st.sampled_from(
    [
        UnitPeriod(Interval.DAY),
        UnitPeriod(Interval.WEEK, 4),
        UnitPeriod(Interval.SEMIMONTH),
        MONTH,
        UnitPeriod(Interval.MONTH, 3),
        UnitPeriod(Interval.MONTH, 12),
    ]
)


@given(units, days, st.integers(0, 4000))
def test_a_span_is_whole_periods_and_at_most_one_more(
    unit: UnitPeriod, start: date, length: int
) -> None:
    whole, fraction = unit_periods_between(unit, start, start + timedelta(days=length))
    assert whole >= 0
    assert 0 <= fraction <= 1
    # Months are equal: up to three days of each are more or less than they count for.
    near = float((whole + fraction) * unit.days)
    assert abs(near - length) <= 3 + 0.02 * length


steps = st.sampled_from(
    [
        UnitPeriod(Interval.WEEK),
        UnitPeriod(Interval.WEEK, 2),
        UnitPeriod(Interval.WEEK, 4),
        MONTH,
        UnitPeriod(Interval.MONTH, 2),
        UnitPeriod(Interval.MONTH, 6),
        UnitPeriod(Interval.DAY, 10),
    ]
)


@given(steps, days, st.integers(4, 40))
@example(UnitPeriod(Interval.MONTH, 2), date(2026, 3, 31), 6)
@example(MONTH, date(2026, 1, 30), 12)
def test_the_common_period_of_a_regular_series_is_its_unit_period(
    unit: UnitPeriod, start: date, count: int
) -> None:
    if unit.of is Interval.MONTH:
        on = [add_months(start, unit.count * n) for n in range(count + 1)]
    else:
        on = [start + int(unit.days) * timedelta(days=n) for n in range(count + 1)]
    found = find_unit_period([Flow(on[0], 100)], [Flow(one, 9) for one in on[1:]])
    if unit == UnitPeriod(Interval.WEEK, 4) and any(
        add_months(one, 1) == two for one, two in pairwise(on)
    ):
        return
    assert found == unit


@given(days, st.integers(0, 59), st.integers(1, 36), st.integers(1, 400))
def test_the_rate_of_a_regular_loan_is_its_rate(
    start: date, late: int, count: int, tenths: int
) -> None:
    rate = tenths / 1000
    first = add_months(start.replace(day=1), 1)
    each = round(10**9 * (rate / 12) / (1 - (1 + rate / 12) ** -count))
    found = apr([Flow(start.replace(day=1), 10**9)], monthly(first, count, each), MONTH)
    assert float(found.percent) == pytest.approx(100 * rate, abs=1e-4)
    later = [
        flow._replace(on=flow.on + timedelta(days=late)) for flow in monthly(first, count, each)
    ]
    assert apr([Flow(start.replace(day=1), 10**9)], later, MONTH).percent <= found.percent


def test_no_common_period_takes_the_average_rounded_to_a_standard_interval() -> None:
    start = date(2026, 1, 1)
    on = [start + timedelta(days=day) for day in (20, 55, 84, 122)]
    found = find_unit_period([Flow(start, 100)], [Flow(one, 30) for one in on])
    assert found == MONTH


def test_the_smaller_of_two_periods_as_common_is_taken() -> None:
    start = date(2026, 1, 1)
    on = [start + timedelta(days=day) for day in (7, 14, 44, 74)]
    found = find_unit_period([Flow(start, 100)], [Flow(one, 30) for one in on])
    assert found == UnitPeriod(Interval.WEEK)


def test_half_months_are_recognised_at_the_ends_of_months() -> None:
    on = [
        date(2026, m, d)
        for m in range(1, 7)
        for d in (15, (date(2026, m % 12 + 1, 1) - timedelta(days=1)).day)
    ]
    found = find_unit_period([Flow(on[0], 100)], [Flow(one, 10) for one in on[1:]])
    assert found == UnitPeriod(Interval.SEMIMONTH)


@pytest.mark.parametrize(
    ("advances", "payments"),
    [
        ([], [("2026-01-01", 1)]),
        ([("2026-01-01", 1)], []),
        ([("2026-01-02", 1)], [("2026-01-01", 1)]),
        ([("2026-01-01", -1)], [("2026-02-01", 1)]),
    ],
)
def test_flows_that_cannot_be_are_refused(
    advances: Sequence[tuple[str, int]], payments: Sequence[tuple[str, int]]
) -> None:
    with pytest.raises(FlowsAreInvalid):
        apr(flows(advances), flows(payments))


def test_several_rates_are_refused_not_chosen_from() -> None:
    # Paid 2.30 for 1.00, then lent 1.32 more: 10 and 20 percent a period both fit.
    out = flows([("2026-01-01", 100), ("2028-01-01", 132)])
    with pytest.raises(RateIsNotUnique):
        apr(out, flows([("2027-01-01", 230)]), UnitPeriod(Interval.MONTH, 12))
