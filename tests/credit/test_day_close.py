"""The day close over PostgreSQL: whatever it writes is what `run` says."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from steelyard.cashflows import Terms, run
from steelyard.cashflows import terms as cash
from steelyard.credit import dayclose, loans
from steelyard.credit.model.loan import STATE_NUMBERS
from steelyard.credit.service.dayclose import How
from steelyard.credit.store import close as close_table
from steelyard.credit.store.standing import row_values, standing_values
from steelyard.kernel import BusinessDayRule, Refusal
from steelyard.ledger import Transfer, accepted, post
from tests.conftest import Store
from tests.credit.lender import OPENED, SETTLEMENT, SHOP, TOWN, House, terms
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


def _random_book(house: House, seed: int, *, many: int, days: int) -> None:
    chance = random.Random(seed)
    house.give(90_000_000)
    for _ in range(many):
        house.lend(_spread(chance))
    moved = 0
    for _ in range(days):
        today = house.today
        for loan in house.made:
            _live(house, loan, chance)
        report = close(house, chunk=5)
        assert report.differences == 0
        moved += report.counts.changed
        must_equal_run(house, today)
    assert moved > 0
    house.agree()


def test_a_random_book_is_what_run_says_every_day(house: House) -> None:
    _random_book(house, 1, many=8, days=12)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 10))
def test_random_books_are_what_run_says_for_months(house: House, seed: int) -> None:
    _random_book(house, seed, many=25, days=70)


def test_a_day_closed_twice_is_closed_once(house: House) -> None:
    house.lend()
    close(house)
    first = close(house)
    again = dayclose.close_day(house.database, OPENED + timedelta(days=1))
    assert again == first
    assert house.balance("interest_receivable/quick_cash/stage1:CNY") == 39
    assert [one.on for one in _days(house)] == [OPENED + timedelta(days=1), OPENED]


def _days(house: House) -> list[dayclose.DayReport]:
    with house.database.reading() as connection:
        return dayclose.latest(connection)


def _refused(house: House, on: date) -> str:
    with pytest.raises(Refusal) as refusal:
        dayclose.close_day(house.database, on)
    refusal.value.sentence("zh").index(on.isoformat()[:4])
    return refusal.value.code


def test_days_are_closed_in_order_when_they_are_over_and_never_back(house: House) -> None:
    house.lend()
    tomorrow = OPENED + timedelta(days=1)
    assert _refused(house, OPENED) == "day_is_not_over"
    stand(house, tomorrow)
    assert _refused(house, tomorrow) == "days_are_closed_in_order"
    assert _refused(house, OPENED - timedelta(days=1)) == "day_was_never_closed"
    close(house)
    stand(house, OPENED)
    assert _refused(house, tomorrow) == "clock_was_set_back"
    with pytest.raises(Refusal, match="clock_was_set_back"):
        dayclose.close_through(house.database)
    assert house.today == tomorrow


def test_missed_days_are_closed_one_by_one(house: House) -> None:
    house.lend()
    first = house.later(29)  # a book that was moved on without a close
    last = first + timedelta(days=4)
    stand(house, last + timedelta(days=1))
    reports = dayclose.close_through(house.database, how=How(workers=1))
    assert [one.on for one in reports] == [first + timedelta(days=n) for n in range(5)]
    assert house.today == last + timedelta(days=1)
    must_equal_run(house, last)
    assert [one.counts.fell_due for one in reports] == [0, 0, 1, 0, 0]
    assert [one.counts.changed for one in reports] == [0, 0, 0, 1, 0]
    assert dayclose.close_through(house.database) == []
    house.agree()


def test_who_is_asked_to_stop_leaves_the_day_open_and_the_next_goes_on(house: House) -> None:
    for _ in range(6):
        house.lend()
    stand(house, OPENED + timedelta(days=1))
    done: list[int] = []
    how = How(
        chunk=2,
        workers=1,
        progress=lambda stage, one, of: done.append(one),
        should_stop=lambda: len(done) >= 1,
    )
    report = dayclose.close_day(house.database, OPENED, how=how)
    assert not report.is_closed
    assert 0 < report.done < report.chunks
    assert house.today == OPENED
    assert close(house, OPENED, chunk=2).counts.loans == 6
    must_equal_run(house, OPENED)


def test_a_loan_that_is_being_written_is_waited_for_and_never_skipped(house: House) -> None:
    for _ in range(4):
        house.lend()
    stand(house, OPENED + timedelta(days=1))
    with psycopg.connect(house.database.url.replace("+psycopg", "")) as other:
        other.execute("SELECT FROM credit.standing WHERE nr = 3 FOR UPDATE")
        with pytest.raises(Refusal, match="loans_are_held") as refusal:
            dayclose.close_day(
                house.database, OPENED, how=How(chunk=2, workers=1, patience_seconds=0)
            )
        assert refusal.value.facts["loans"] == "3"
        assert house.today == OPENED
        assert [(one.is_closed, one.done) for one in _days(house)] == [(False, 1)]
    assert close(house, OPENED).is_closed
    must_equal_run(house, OPENED)
    house.agree()


def test_a_payment_during_the_day_close_is_neither_lost_nor_doubled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan = house.lend()
    house.lend()
    plain = close_table.write_loans
    paid: list[int] = []

    def slow(*args: Any) -> int:
        if not paid:
            paid.append(house.pay(loan, 5_000).amount_minor)
        return plain(*args)

    monkeypatch.setattr(close_table, "write_loans", slow)
    assert close(house).differences == 0
    assert paid == [5_000]
    must_equal_run(house, OPENED)
    house.agree()


def test_a_held_credit_balance_is_set_against_what_falls_due(house: House) -> None:
    loan = house.lend()
    house.pay(loan, 4_000)
    house.later(30)
    for _ in range(3):
        close(house)
    stood = house.read(loan).kept
    assert stood is not None
    assert stood.position.credit_minor == 0
    assert stood.overdue_minor > 0
    must_equal_run(house, OPENED + timedelta(days=32))
    house.agree()


def test_a_late_loan_goes_down_the_steps_and_its_interest_waits(house: House) -> None:
    loan = house.lend()
    for day in (29, 31, 32, 59, 61, 62, 90, 91, 92, 120, 122):
        house.to(OPENED + timedelta(days=day))
        close(house)
    stood = house.read(loan).kept
    assert stood is not None
    assert (stood.dpd, stood.bucket, stood.category, stood.position.stage) == (91, 4, 2, 3)
    assert stood.position.provision_minor > stood.position.principal_minor // 2
    house.agree()
    changes_ = [
        (row["bucket_before"], row["bucket"], row["category"], row["stage"])
        for row in _facts(house, "credit.LoanBucketChanged")
    ]
    assert changes_ == [(0, 1, 1, 1), (1, 2, 1, 2), (2, 3, 1, 2), (3, 4, 2, 3)]
    assert len(_facts(house, "credit.InstalmentFellDue")) == 4
    with house.database.reading() as connection:
        months = connection.exec_driver_sql(
            "SELECT month_on, bucket FROM credit.snapshot ORDER BY 1"
        ).all()
    assert [(row.month_on.month, row.bucket) for row in months] == [(3, 0), (4, 1), (5, 2), (6, 3)]
    close(house)
    waiting = house.read(loan).kept
    assert waiting is not None
    assert waiting.position.interest_suspended_minor > 0
    assert waiting.position.penalty_suspended_minor > 0
    house.agree()
    house.give(500_000)
    owed = house.read(loan).standing
    assert owed is not None
    house.pay(loan, owed.due_minor)
    close(house)
    better = house.read(loan).kept
    assert better is not None
    assert (better.dpd, better.bucket, better.category, better.position.stage) == (0, 0, 2, 3)
    house.agree()


def _facts(house: House, kind: str) -> list[dict[str, Any]]:
    with house.database.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT payload FROM events.log WHERE kind = %s ORDER BY sequence", (kind,)
        )
        return [row.payload for row in rows]


def test_what_is_due_is_debited_as_far_as_the_wallet_reaches(house: House) -> None:
    rich, poor = house.lend(), house.lend(wallet_account=SHOP)
    house.later(31)
    house.run(lambda unit: _spend(unit, house.wallet(SHOP) - 1_000))
    taken = dayclose.debit_due(house.database, book="lending")
    assert (taken.loans, taken.taken, taken.refused) == (2, 2, 0)
    assert house.wallet(SHOP) == 0
    close(house, debits=True)
    assert [house.read(one).kept.overdue_minor for one in (rich, poor)] == [0, 0]  # type: ignore[union-attr]
    close(house)
    stood = [house.read(one).kept for one in (rich, poor)]
    assert [one.overdue_minor > 0 for one in stood if one is not None] == [False, True]
    assert dayclose.debit_due(house.database, book="lending").paid_minor == 0
    house.agree()


def _spend(unit: Any, amount_minor: int) -> None:
    one = Transfer(
        id=uuid4(),
        book=TOWN,
        cause="rule.spent@1",
        debit=SHOP,
        credit=SETTLEMENT,
        amount_minor=amount_minor,
        currency="CNY",
    )
    accepted(post(unit, [one]))


def test_the_database_adds_the_detail_up_and_keeps_what_is_done(house: House) -> None:
    house.lend()
    close(house)
    close(house)
    with psycopg.connect(house.database.url.replace("+psycopg", ""), autocommit=True) as app:
        copy = "INSERT INTO credit.accrual SELECT book, on_day, first_nr, pool, 2, 2, entry, nrs,"
        rest = " penalty, fee, provision, {}, penalty_minor, fee_minor, provision_minor"
        with pytest.raises(psycopg.errors.CheckViolation, match="interest_adds_up"):
            app.execute(f"{copy} interest,{rest.format('interest_minor + 1')} FROM credit.accrual")
        with pytest.raises(psycopg.errors.CheckViolation, match="one_for_each_loan"):
            app.execute(
                f"{copy} interest || 0::bigint,{rest.format('interest_minor')} FROM credit.accrual"
            )
        for sql in (
            "UPDATE credit.day SET closed_at = now()",
            "UPDATE credit.day_chunk SET done_at = now()",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                app.execute(sql)


def test_a_difference_after_the_day_is_a_case(house: House, store: Store) -> None:
    house.lend()
    stand(house, OPENED + timedelta(days=1))
    with psycopg.connect(store.conninfo("steelyard_owner"), autocommit=True) as owner:
        owner.execute("UPDATE credit.standing SET fee_receivable_minor = 7")
    report = dayclose.close_day(house.database, OPENED)
    assert (report.is_closed, report.differences) == (True, 1)
    with house.database.reading() as connection:
        kinds = connection.exec_driver_sql("SELECT kind, subject FROM cases.case_file").all()
    assert [tuple(row) for row in kinds] == [
        ("credit.difference", "account:lending/fee_receivable/quick_cash/stage1:CNY")
    ]
