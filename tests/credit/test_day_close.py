"""The day close over PostgreSQL: whatever it writes is what `run` says."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from steelyard.cashflows import Terms, run
from steelyard.cashflows import terms as cash
from steelyard.credit import dayclose, loans
from steelyard.credit.model.loan import STATE_NUMBERS
from steelyard.credit.service.dayclose import How
from steelyard.credit.store.standing import row_values, standing_values
from steelyard.kernel import BusinessDayRule
from tests.credit.lender import OPENED, TOWN, House, terms
from tests.credit.lender import house as house

Day = cash.Penalty
_STILL = {"as_of", "totals"}


def close(house: House, on: date | None = None, **how: Any) -> dayclose.DayReport:
    """Let the clock come to the next noon, and close a day: the business date by default."""
    on = on or house.today
    stand(house, on + timedelta(days=1))
    report = dayclose.close_day(house.database, on, how=How(workers=1, **how))
    house.run(lambda unit: _town(unit, on + timedelta(days=1)))
    return report


def _town(unit: Any, next_on: date) -> None:
    from steelyard.ledger import close_day

    close_day(unit, TOWN, next_on=next_on)


def stand(house: House, on: date) -> None:
    """Let the business clock stand at noon of a day."""
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    house.clock.advance(at - house.clock.now())


def must_equal_run(house: House, on: date) -> int:
    """Assert that everything stored of open loans is what `run` says; return how many there are."""
    open_loans = 0
    with house.database.reading() as connection:
        for id in house.made:
            loan = loans.read(connection, id)
            if loan.state is not loans.LoanState.ACTIVE:
                continue
            open_loans += 1
            then = run(loan.terms, loans.events_of(connection, [id])[id], on)
            stored = connection.exec_driver_sql(
                "SELECT * FROM credit.standing WHERE nr = %s", (loan.nr,)
            ).one()
            expected = standing_values(then)
            assert stored.as_of == on
            assert stored.state == STATE_NUMBERS[loan.state]
            got = {name: getattr(stored, name) for name in expected if name not in _STILL}
            wanted = {name: value for name, value in expected.items() if name not in _STILL}
            assert got == wanted, loan.terms
            rows = connection.exec_driver_sql(
                "SELECT * FROM credit.instalment WHERE nr = %s ORDER BY no", (loan.nr,)
            )
            for row, one in zip(rows, then.rows, strict=True):
                values = row_values(one)
                assert {name: getattr(row, name) for name in values} == values, loan.terms
    return open_loans


def test_a_day_is_accrued_and_posted_loan_by_loan(house: House) -> None:
    first, second = house.lend(), house.lend(terms(70_001))
    report = close(house)
    assert report.is_closed
    assert (report.counts.loans, report.differences) == (2, 0)
    assert house.today == OPENED + timedelta(days=1)
    close(house)
    assert must_equal_run(house, OPENED + timedelta(days=1)) == 2
    stood = [house.read(one).kept for one in (first, second)]
    earned = sum(one.interest_earned_minor for one in stood if one is not None)
    assert earned > 0
    assert house.balance("interest_receivable/quick_cash/stage1:CNY") == earned
    assert house.balance("income/interest/quick_cash:CNY") == -earned
    house.agree()


def _spread(random: random.Random) -> Terms:
    """Return terms of any sort that a product could have."""
    method = random.choice(list(cash.Method))
    instalments = random.randint(2, 5)
    grace = random.choice([0, 0, 1]) if instalments > 2 else 0
    more: dict[str, Any] = {
        "method": method,
        "unit": random.choice([cash.Unit.DAY, cash.Unit.WEEK, cash.Unit.MONTH]),
        "accrues": random.choice(list(cash.Accrues)),
        "interest_on": random.choice([cash.InterestOn.BALANCE] * 3 + [cash.InterestOn.ORIGINAL]),
        "grace_interest": grace,
        "grace_principal": random.choice([0, grace]),
        "interest_free": random.choice([0, 0, 0, 1]),
        "prepay": random.choice(list(cash.Prepay)),
        "fees": random.choice(
            [
                (),
                (cash.Fee(code="service", when=cash.FeeWhen.EACH, amount_minor=250),),
                (cash.Fee(code="begin", when=cash.FeeWhen.UPFRONT, rate=Decimal("0.01")),),
            ]
        ),
        "penalty": random.choice(
            [
                None,
                Day(rate=Decimal("0.18")),
                Day(rate=Decimal("0.1825"), days_in_year=360, grace_days=2, on_interest=True),
            ]
        ),
    }
    more["every"] = random.randint(4, 9) if more["unit"] is cash.Unit.DAY else 1
    if method is cash.Method.FIXED_PRINCIPAL:
        more["principal_share"] = Decimal("0.2")
    if random.random() < 0.3:
        more |= {"calendar": "CN", "holiday": random.choice(list(BusinessDayRule)[1:])}
    amount = random.randint(10_000, 300_000)
    return terms(amount, instalments=instalments, rate=str(random.randint(0, 36) / 100), **more)


def _live(house: House, loan: UUID, random: random.Random) -> None:
    """Let something happen to a loan, or nothing."""
    found = house.read(loan)
    if found.state is not loans.LoanState.ACTIVE or found.standing is None:
        return
    due = found.standing.due_minor
    what = random.random()
    if what < 0.45 and due:
        house.pay(loan, random.choice([due, due, max(1, due // 2), due + 777]))
    elif what < 0.03:
        house.pay(loan, 5_000, kind="prepay")
    elif what > 0.97:
        house.pay(loan, random.randint(1, 3_000))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_book_is_what_run_says_every_day(house: House, seed: int) -> None:
    random_ = random.Random(seed)
    house.give(90_000_000)
    for _ in range(14):
        house.lend(_spread(random_))
    moved = 0
    for _ in range(38):
        today = house.today
        for loan in house.made:
            _live(house, loan, random_)
        report = close(house, chunk=5)
        assert report.differences == 0
        moved += report.counts.changed
        must_equal_run(house, today)
    assert moved > 0
    house.agree()
