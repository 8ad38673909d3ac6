"""The columnar engine plans every contract as the scalar engine does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.cashflows.model.columns import (
    TermsColumns,
    accrue_columns,
    date_of,
    day_number,
    earned_columns,
    outstanding_columns,
    plan_columns,
)
from steelyard.cashflows.model.daycount import DayCount
from steelyard.cashflows.model.plan import plan
from steelyard.cashflows.model.run import run
from steelyard.cashflows.model.standing import Accrual
from steelyard.cashflows.model.terms import InterestOn, Method, Terms, Unit
from steelyard.kernel import BusinessDayRule, Rounding

from .books import Book, books, templates

SIZE = 50
BY_DEFAULT, AT_LENGTH = 20_000, 1_000_000


def check(contracts: list[Terms]) -> Counter[str]:
    """Assert that both engines agree; return how many contracts each planned."""
    made = plan_columns(TermsColumns.of(contracts))
    for place, one in enumerate(contracts):
        assert made.plan_at(place) == plan(one), one
    return Counter(contracts=len(contracts), scalar=made.by_scalar, near=made.near_ties)


def equality(contracts: int) -> Counter[str]:
    """Run both engines over so many random contracts."""
    found: Counter[str] = Counter()

    @settings(
        max_examples=contracts // SIZE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(books(SIZE))
    def agree(book: Book) -> None:
        found.update(check(book.contracts()))

    agree()
    return found


def test_both_engines_plan_random_contracts_alike() -> None:
    found = equality(BY_DEFAULT)
    assert found["contracts"] >= BY_DEFAULT
    # The rates of 17 decimals that one in eight has, and little else.
    assert found["scalar"] < found["contracts"] // 5
    assert found["near"] < found["contracts"] // 100


@pytest.mark.long
def test_both_engines_plan_a_million_random_contracts_alike() -> None:
    found: Counter[str] = Counter()
    for part in range(10):
        found.update(equality(AT_LENGTH // 10))
        print(f"{part + 1}/10: {dict(found)}", flush=True)
    assert found["contracts"] >= AT_LENGTH


BASE = Terms(
    principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12, rate=Decimal("0.12")
)


@given(st.lists(templates(), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_mixed_book_keeps_its_order(shapes: list[Terms], order: Random) -> None:
    contracts = [
        replace(one, principal_minor=1_000_000 + n, rate=Decimal("0.036"))
        for n, one in enumerate(shapes * 3)
    ]
    order.shuffle(contracts)
    book = TermsColumns.of(contracts)
    assert [book.terms_at(n).principal_minor for n in range(len(book))] == [
        one.principal_minor for one in contracts
    ]
    check(contracts)
    half = plan_columns(book[len(book) // 2 :])
    assert half.plan_at(0) == plan(contracts[len(book) // 2])


def test_columns_that_no_terms_could_make_are_a_fault() -> None:
    book = TermsColumns.of([replace(BASE, grace_principal=3, first_due_on=date(2024, 2, 20))] * 2)
    wrong: list[dict[str, object]] = [
        {"template": book.template + 1},
        {"template": book.template[:1]},
        {"principal_minor": book.principal_minor * 0},
        {"instalments": book.instalments * 0 + 3},
        {"instalments": book.instalments + 1_200},
        {"rate": -book.rate},
        {"rate_exponent": book.rate_exponent + 16},
        {"first_due_on": book.start_on},
    ]
    for one in wrong:
        with pytest.raises(AssertionError):
            replace(book, **one)  # type: ignore[arg-type]


def test_no_contracts_have_no_rows() -> None:
    made = plan_columns(TermsColumns.of([]))
    assert len(made) == len(made.due_on) == made.by_scalar == 0
    assert outstanding_columns(made, 0).tolist() == earned_columns(made, 0).tolist() == []


def test_a_period_that_a_holiday_rule_would_turn_round_is_empty() -> None:
    """The start is a Sunday, the first due date the Saturday after a rule moved it back."""
    one = replace(
        BASE,
        start_on=date(2024, 6, 2),
        first_due_on=date(2024, 6, 3),
        unit=Unit.DAY,
        calendar="WEEKENDS",
        holiday=BusinessDayRule.PRECEDING,
        interest_to_due=True,
        day_count=DayCount.ACT_365F,
    )
    backwards = replace(one, start_on=date(2024, 6, 1), first_due_on=date(2024, 6, 2))
    assert check([one, backwards])["scalar"] == 0
    made = plan_columns(TermsColumns.of([backwards]))
    assert made.to_on[0] == made.from_on[0]
    assert date_of(made.due_on[0]) == date(2024, 5, 31)


def test_what_the_columns_cannot_hold_goes_to_the_scalar_engine_and_is_counted() -> None:
    largest = replace(BASE, principal_minor=10**15, rate=Decimal(100), instalments=60)
    ways = [
        replace(largest, interest_on=InterestOn.ORIGINAL),
        replace(largest, method=Method.BULLET),
        replace(largest, method=Method.INTEREST_ONLY, rate=Decimal("99.9999999999999")),
        replace(BASE, rate=Decimal("0.1234567890123456789")),
        replace(BASE, start_on=date(1899, 12, 31)),
        replace(BASE, start_on=date(2299, 6, 30)),
        replace(BASE, part_multiple_minor=10**12),
        replace(
            BASE,
            principal_minor=100,
            instalments=36,
            rate=Decimal("99.999999999999"),
            interest_on=InterestOn.ORIGINAL,
            day_count=DayCount.ACT_ACT_ISDA,
        ),
        replace(BASE, down_payment=Decimal("0.12345678901234567890123")),
    ]
    for one in ways:
        assert check([one, BASE])["scalar"] == 1, one
    assert check(ways)["scalar"] == len(ways)


@pytest.mark.parametrize("rounding", Rounding)
def test_an_equal_instalment_on_a_tie_is_told_from_one_beside_it(rounding: Rounding) -> None:
    """Two instalments at 1 %: P * 1.01 ** 2 / 2.01 is half a unit over for P = 10050, 30150, ..."""
    ties = [
        replace(BASE, principal_minor=20_100 * n + 10_050 + off, instalments=2, rounding=rounding)
        for n in range(20)
        for off in (-1, 0, 1)
    ]
    found = check(ties)
    assert found["near"] == (20 if rounding.startswith("half") else 0)
    free = [replace(one, rate=Decimal(0)) for one in ties]
    single = [replace(one, instalments=1, rate=Decimal("0.06")) for one in ties]
    assert check(free)["near"] == check(single)["near"] == 0


@given(books(8), st.integers(-40, 1_200))
def test_what_is_earned_and_what_is_outstanding_follow_the_rows(book: Book, later: int) -> None:
    contracts = book.contracts()
    made = plan_columns(TermsColumns.of(contracts))
    days = [one.start_on + timedelta(days=later) for one in contracts]
    on = np.array([day_number(day) for day in days], np.int32)
    earned, outstanding = earned_columns(made, on), outstanding_columns(made, on)
    for place, (one, day) in enumerate(zip(contracts, days, strict=True)):
        rows = plan(one).rows
        lines = [Accrual(row.nr, row.from_on, row.to_on, 0, row.accrues_minor) for row in rows]
        gone = [line.earned_minor(day) for line in lines if line.from_on <= day]
        assert earned[place] == sum(gone)
        ahead = sum(row.principal_minor for row in rows if row.due_on > day)
        assert outstanding[place] == (ahead if day >= one.start_on else 0)
        assert earned_columns(made, int(on[place]))[place] == earned[place]
        assert outstanding_columns(made, int(on[place]))[place] == outstanding[place]


@given(books(4), st.integers(0, 400))
def test_what_is_earned_is_what_the_books_of_an_untouched_contract_say(
    book: Book, later: int
) -> None:
    contracts = book.contracts()
    made = plan_columns(TermsColumns.of(contracts))
    for place, one in enumerate(contracts):
        day = one.start_on + timedelta(days=later)
        standing = run(one, (), day)
        found = earned_columns(made, day_number(day))[place]
        assert found == standing.totals.interest_earned_minor, one


lines = st.tuples(
    st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    st.integers(0, 800),
    st.integers(0, 10**15),
    st.integers(-(10**15), 10**15),
    st.integers(-5, 900),
)


@given(st.lists(lines, min_size=1, max_size=30))
def test_lines_are_accrued_as_the_scalar_accrues_them(
    asked: list[tuple[date, int, int, int, int]],
) -> None:
    """Lines that fall are no lines of a contract, yet a database would not mind them."""
    scalar = [
        Accrual(1, first, first + timedelta(days=days), before, before + rest)
        for first, days, before, rest, _ in asked
    ]
    on = [line.from_on + timedelta(days=one[4]) for line, one in zip(scalar, asked, strict=True)]
    found = accrue_columns(
        np.array([day_number(line.from_on) for line in scalar], np.int32),
        np.array([day_number(line.to_on) for line in scalar], np.int32),
        np.array([line.before_minor for line in scalar]),
        np.array([line.total_minor for line in scalar]),
        np.array([day_number(day) for day in on], np.int32),
    )
    expected = [line.earned_minor(day) for line, day in zip(scalar, on, strict=True)]
    assert found.tolist() == expected
