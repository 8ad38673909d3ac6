"""The town's borrowers: who asks, who pays when, and that nobody is told how they will repay."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import fields
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from steelyard.simulation import OPENS_ON, Plan, Town, day, found
from steelyard.simulation.model import BEIJING, LoanComplaint, LoanPayment, LoanRequest
from steelyard.simulation.model.borrowers import (
    Borrowing,
    Conduct,
    borrowing_of,
    months_after,
)


@pytest.fixture(scope="module")
def town() -> Town:
    return found(Plan(seed=3, customers=400, terminals=800, opens_on=OPENS_ON))


@pytest.fixture(scope="module")
def first(town: Town) -> dict[int, Borrowing]:
    """The first loan of each customer who borrows at all."""
    told = {n: borrowing_of(town, n, 0) for n in range(len(town.customers))}
    return {n: one for n, one in told.items() if one is not None}


def test_a_quarter_borrows_and_most_repay(first: dict[int, Borrowing]) -> None:
    assert 0.18 < len(first) / 400 < 0.32
    conducts = Counter(one.conduct for one in first.values())
    assert conducts[Conduct.PROMPT] > len(first) / 2
    assert set(conducts) == set(Conduct)


def test_conduct_shows_in_payments_alone(first: dict[int, Borrowing]) -> None:
    for one in first.values():
        (_, request), *rest = one.acts
        assert isinstance(request, LoanRequest)
        paid = [(on, act) for on, act in rest if isinstance(act, LoanPayment)]
        due = [months_after(one.asks_on, nr) for nr in range(1, request.months + 1)]
        if one.conduct is Conduct.PROMPT:
            assert [on for on, _ in paid] == due
        elif one.conduct is Conduct.LATE:
            assert len(paid) == request.months
            assert all(0 <= (on - at).days <= 40 for (on, _), at in zip(paid, due, strict=True))
        elif one.conduct is Conduct.FAILING:
            assert len(paid) < request.months
        else:
            assert paid[-1][1].repays_all
            assert len(paid) <= 2
    # every action of a loan has the same fields whatever becomes of it
    for kind in (LoanRequest, LoanPayment, LoanComplaint):
        assert "conduct" not in {field.name for field in fields(kind)}


def test_a_day_of_the_town_has_the_borrowers_of_that_day(
    town: Town, first: dict[int, Borrowing]
) -> None:
    on = OPENS_ON + timedelta(days=45)
    expected = {
        act.id for one in first.values() for at, act in one.acts if at == on
    }  # fmt: skip
    loans = [a for a in day(town, on) if isinstance(a, LoanRequest | LoanPayment | LoanComplaint)]
    assert {act.id for act in loans} == expected
    assert expected
    assert all(act.at.astimezone(BEIJING).date() == on for act in loans)


def test_loans_of_one_customer_follow_each_other(town: Town, first: dict[int, Borrowing]) -> None:
    ids: set[UUID] = set()
    count = 0
    asked: dict[int, list[date]] = defaultdict(list)
    for customer in list(first)[:20]:
        for number in range(4):
            one = borrowing_of(town, customer, number)
            assert one is not None
            asked[customer].append(one.asks_on)
            ids |= {act.id for _, act in one.acts}
            count += len(one.acts)
    for days in asked.values():
        assert all(30 <= (b - a).days <= 120 for a, b in pairwise(days))
    assert len(ids) == count


def test_nobody_asks_before_the_wallet_is_there(town: Town, first: dict[int, Borrowing]) -> None:
    for customer, one in first.items():
        joined = town.customers[customer].signs_up_at
        assert all(act.at > joined for _, act in one.acts)


@pytest.mark.parametrize(
    ("on", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 12, 15), 12, date(2027, 12, 15)),
    ],
)
def test_a_month_later(on: date, months: int, expected: date) -> None:
    assert months_after(on, months) == expected
