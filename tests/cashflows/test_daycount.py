"""Day counts, dates and factors."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows.model.dates import Span, schedule_dates
from steelyard.cashflows.model.daycount import DayCount, RatePer, add_months, year_fraction
from steelyard.cashflows.model.factors import factor
from steelyard.cashflows.model.refusals import TermsAreInvalid
from steelyard.cashflows.model.terms import (
    Fee,
    FeeWhen,
    Method,
    MonthEnd,
    Penalty,
    Terms,
    Unit,
)
from steelyard.kernel import BusinessDayRule, calendar

from ..kernel.reading import rows

DAYS = st.dates(date(1990, 1, 1), date(2060, 1, 1))


@pytest.mark.parametrize("row", rows("day_counts.txt"), ids=lambda row: " ".join(row.values()))
def test_the_table(row: dict[str, str]) -> None:
    made = year_fraction(
        DayCount(row["count"]),
        date.fromisoformat(row["from"]),
        date.fromisoformat(row["to"]),
        calendar("CN"),
    )
    assert Fraction(*made) == sum(Fraction(part) for part in row["years"].split("+"))


ADDITIVE = [
    DayCount.ACT_360,
    DayCount.ACT_364,
    DayCount.ACT_365F,
    DayCount.ACT_ACT_ISDA,
    DayCount.ACT_ACT_DEC31,
]


@given(st.sampled_from(ADDITIVE), DAYS, st.integers(0, 900), st.integers(0, 900))
def test_a_span_is_the_sum_of_its_parts(count: DayCount, start: date, a: int, b: int) -> None:
    middle, end = start + timedelta(days=a), start + timedelta(days=a + b)
    parts = Fraction(*year_fraction(count, start, middle))
    parts += Fraction(*year_fraction(count, middle, end))
    assert parts == Fraction(*year_fraction(count, start, end))


@given(st.sampled_from([*DayCount]), DAYS, st.integers(0, 900), st.integers(1, 60))
def test_a_longer_span_is_never_shorter(count: DayCount, start: date, a: int, b: int) -> None:
    if count is DayCount.ACT_ACT_FEB29:
        return  # a day more may bring a 29 February into it, and all its days count less
    weekdays = calendar("WEEKENDS")
    one = Fraction(*year_fraction(count, start, start + timedelta(days=a), weekdays))
    more = Fraction(*year_fraction(count, start, start + timedelta(days=a + b), weekdays))
    assert 0 <= one <= more


def terms(**changes: object) -> Terms:
    given = {"principal_minor": 100_000, "start_on": date(2026, 1, 31), "instalments": 6}
    return Terms(**given | {"rate": Decimal("0.12")} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "start", "dates"),
    [
        (MonthEnd.CLIP, date(2026, 1, 31), ["02-28", "03-31", "04-30"]),
        (MonthEnd.CLIP, date(2024, 1, 30), ["02-29", "03-30", "04-30"]),
        (MonthEnd.ROLL, date(2026, 1, 30), ["03-01", "03-30", "04-30"]),
        (MonthEnd.LAST, date(2026, 2, 28), ["03-31", "04-30", "05-31"]),
        (MonthEnd.LAST, date(2026, 2, 27), ["03-27", "04-27", "05-27"]),
    ],
)
def test_days_that_a_month_does_not_have(rule: MonthEnd, start: date, dates: list[str]) -> None:
    made = schedule_dates(terms(start_on=start, month_end=rule, instalments=3))
    assert [f"{span.due_on:%m-%d}" for span in made] == dates


def test_a_holiday_moves_the_due_date_and_interest_only_where_agreed() -> None:
    """1 May 2026 is a holiday in China, up to and with 5 May."""
    changes = {"start_on": date(2026, 4, 1), "instalments": 2, "calendar": "CN"}
    rule = BusinessDayRule.FOLLOWING
    paid_later = schedule_dates(terms(holiday=rule, **changes))
    assert paid_later[0].to_on == date(2026, 5, 1)
    assert paid_later[0].due_on == date(2026, 5, 6)
    longer = schedule_dates(terms(holiday=rule, interest_to_due=True, **changes))
    assert longer[0].to_on == longer[0].due_on == longer[1].from_on == date(2026, 5, 6)


@given(
    st.sampled_from([*Unit]), st.integers(1, 6), st.integers(1, 30), DAYS, st.sampled_from(MonthEnd)
)
def test_periods_join_and_never_go_back(
    unit: Unit, every: int, n: int, start: date, rule: MonthEnd
) -> None:
    made = schedule_dates(
        terms(start_on=start, unit=unit, every=every, instalments=n, month_end=rule)
    )
    assert len(made) == n
    assert made[0].from_on == start
    for one, after in pairwise(made):
        assert one.to_on == after.from_on < after.to_on


@given(DAYS, st.integers(-40, 400))
def test_months_added_keep_the_day_where_there_is_one(on: date, months: int) -> None:
    made = add_months(on, months)
    assert (made.year - on.year) * 12 + made.month - on.month == months
    assert made.day == on.day or (made + timedelta(days=1)).day == 1


def test_a_rate_a_day_is_the_same_in_a_leap_year() -> None:
    a_day = terms(rate=Decimal("0.0005"), rate_per=RatePer.DAY, day_count=DayCount.ACT_ACT_ISDA)
    for year in (2023, 2024):
        span = Span(date(year, 1, 1), date(year, 1, 31), date(year, 1, 31))
        assert Fraction(*factor(a_day, a_day.rate, span, 365)) == Fraction(30 * 5, 10_000)


def test_a_rate_for_the_term_is_spread_over_its_days() -> None:
    whole = terms(rate=Decimal("0.01"), rate_per=RatePer.TERM)
    spans = schedule_dates(whole)
    days = (spans[-1].to_on - spans[0].from_on).days
    total = sum(Fraction(*factor(whole, whole.rate, span, days)) for span in spans)
    assert total == Fraction(1, 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"principal_minor": 0},
        {"instalments": 0},
        {"every": 0},
        {"start_on": date(2299, 1, 1), "instalments": 36},
        {"rate": Decimal(-1)},
        {"rate": Decimal("NaN")},
        {"rate": Decimal("1e-999999")},
        {"penalty": Penalty(rate=Decimal("NaN"))},
        {"fees": (Fee(code="a", when=FeeWhen.EACH, rate=Decimal("NaN")),)},
        {"fees": (Fee(code="a", when=FeeWhen.EACH, amount_minor=10**30),)},
        {"down_payment": Decimal("sNaN")},
        {"first_due_on": date(2026, 1, 31)},
        {"grace_principal": 6},
        {"principal_share": Decimal("0.05")},
        {"method": Method.FIXED_PRINCIPAL},
        {"down_payment": Decimal(1)},
        {"calendar": "CN"},
        {"holiday": BusinessDayRule.FOLLOWING},
        {"instalment_multiple_minor": 0},
    ],
    ids=str,
)
def test_terms_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TermsAreInvalid) as refused:
        terms(**wrong)
    assert refused.value.facts["field"] in {*wrong, "principal_share", "calendar"}
