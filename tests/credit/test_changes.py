"""Changes of loans, what needs a second person, and how a loan leaves the books."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from steelyard.cashflows import events
from steelyard.credit import changes, loans
from steelyard.kernel import Refusal
from tests.credit.lender import ANN, OPENED, SHOP, WALLET, House, stage, terms
from tests.credit.lender import house as house

State = loans.LoanState
TODAY = date.min
"""An event that carries no day happens on the business date."""


CHANGES: dict[str, Callable[[House, UUID], Any]] = {
    "due_dates_moved": lambda house, loan: house.do(
        changes.move_due_dates,
        loan,
        from_due=house.read(loan).standing.rows[1].due_on,  # type: ignore[union-attr]
        to_due=house.read(loan).standing.rows[1].due_on + timedelta(days=9),  # type: ignore[union-attr]
    ),
    "extended": lambda house, loan: house.do(changes.extend, loan, instalments=6),
    "interest_paused": lambda house, loan: house.do(
        changes.pause_interest, loan, until=house.today + timedelta(days=20)
    ),
    "rate_changed": lambda house, loan: house.do(changes.change_rate, loan, rate=Decimal("0.06")),
    "fee_charged": lambda house, loan: house.do(
        changes.charge_fee, loan, code="letter", amount_minor=500
    ),
    "disbursed": lambda house, loan: house.do(changes.draw, loan, amount_minor=30_000),
    "waived": lambda house, loan: house.do(changes.waive, loan, interest_minor=300),
    "re_aged": lambda house, loan: house.changed(
        loan,
        events.ReAged(
            seq=0, on=TODAY, first_due_on=house.today + timedelta(days=30), instalments=18
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_change_keeps_books_and_undone_it_leaves_no_trace(house: House, name: str) -> None:
    loan = house.lend()
    house.later(45)
    house.do(loans.roll, loan)
    before = house.read(loan)
    effect = CHANGES[name](house, loan)
    assert house.read(loan).standing != before.standing
    house.agree()
    house.give(50_000)
    (seq,) = effect.events
    house.do(loans.reverse, loan, of=seq)
    after = house.read(loan)
    assert after.standing is not None
    assert before.standing is not None
    assert after.standing.rows == before.standing.rows
    assert after.standing.totals == before.standing.totals
    house.agree()
    with house.database.reading() as connection:
        kinds = [line.kind for line in loans.history(connection, loan)]
    assert kinds[-2:] == [name, "reversed"]


def test_what_does_not_fit_is_refused_with_its_reason(house: House) -> None:
    loan = house.lend()
    no = {"from_due": OPENED, "to_due": OPENED + timedelta(days=50)}
    assert house.refused(changes.move_due_dates, loan, **no) == "change_does_not_fit"
    assert house.refused(changes.extend, loan, instalments=0) == "change_does_not_fit"
    assert house.refused(changes.pause_interest, loan, until=OPENED) == "change_does_not_fit"
    assert house.refused(changes.change_rate, loan, rate=Decimal(-1)) == "change_does_not_fit"
    assert house.refused(changes.charge_fee, loan, code="x", amount_minor=0) == (
        "change_does_not_fit"
    )
    assert house.refused(changes.waive, loan, interest_minor=5) == "waiver_exceeds_due"
    assert house.refused(changes.waive, loan) == "amount_is_not_positive"
    assert house.refused(changes.waive, loan, fee_minor=-1, interest_minor=9) == (
        "amount_is_not_positive"
    )
    assert house.refused(changes.draw, loan, amount_minor=0) == "amount_is_not_positive"
    ahead = OPENED + timedelta(days=1)
    assert house.refused(changes.change_rate, loan, rate=Decimal(0), effective_on=ahead) == (
        "value_date_is_out_of_range"
    )
    assert house.refused(changes.recover, loan, loans.Repayment(amount_minor=5)) == (
        "loan_state_forbids"
    )
    assert house.refused(changes.pause_ageing, loan, until=OPENED) == "change_does_not_fit"
    assert house.refused(changes.extend, loan, instalments=3, if_version=1) == "loan_has_changed"
    signed = house.sign()
    assert house.refused(changes.extend, signed, instalments=3) == "loan_state_forbids"
    house.agree()


def test_what_a_second_person_has_to_say_yes_to(house: House) -> None:
    loan = house.lend()
    house.later(200)
    house.do(loans.roll, loan)
    for verb, more in (
        (changes.write_off, {}),
        (changes.re_age, {"first_due_on": house.today + timedelta(days=9), "instalments": 3}),
        (changes.sell, {"buyer": "amc_one", "price_minor": 100}),
    ):
        assert house.refused(verb, loan, **more) == "approval_is_needed"
        shown = house.do(verb, loan, dry_run=True, **more)
        assert not shown.is_done
    small, large = 5, changes.WAIVED_ALONE_MINOR + 1
    assert changes.needs_approval(events.Waived(seq=1, on=TODAY, interest_minor=small)) is None
    assert changes.needs_approval(events.Waived(seq=1, on=TODAY, interest_minor=large))
    with pytest.raises(Refusal, match="change_does_not_fit"):
        house.do(changes.request, loan, events.Waived(seq=0, on=TODAY, fee_minor=large))
    yes = house.approve(
        lambda unit: changes.request(unit, loan, events.WrittenOff(seq=0, on=TODAY))
    )
    # What was approved is this loan as it was shown: a payment in between makes another of it.
    house.pay(loan, 100)
    assert house.refused(changes.write_off, loan, approval=yes) == (
        "approval_is_for_something_else"
    )
    asked = house.run(
        lambda unit: changes.request(unit, loan, events.WrittenOff(seq=0, on=TODAY)), ANN
    )
    assert house.refused(changes.write_off, loan, approval=asked.id) == "approval_is_not_open"
    house.agree()


def test_a_loan_is_written_off_against_its_provision_and_recovered(house: House) -> None:
    loan = house.lend()
    house.later(120)
    house.do(loans.roll, loan)
    stage(house, loan, 2, provision_minor=50_000)
    book = house.read(loan).kept.position.book_minor  # type: ignore[union-attr]
    house.changed(loan, events.WrittenOff(seq=0, on=TODAY))
    assert house.read(loan).state is State.WRITTEN_OFF
    assert house.balance("loan:1:CNY") == 0
    assert house.balance("provision/quick_cash/stage2:CNY") == 0
    assert house.balance("expense/impairment/quick_cash:CNY") == 50_000
    assert house.balance("expense/write_off/quick_cash:CNY") == book - 50_000
    house.agree()
    with house.database.reading() as connection:
        owed = loans.quote_payoff(connection, loan).total_minor
    assert owed == book
    house.pay(loan, 10_000)
    house.do(changes.recover, loan, loans.Repayment(amount_minor=2_000))
    assert house.balance("income/recovery/quick_cash:CNY") == -12_000
    house.agree()
    house.give(100_000)
    house.pay(loan, owed - 12_000 + 50)
    assert house.read(loan).state is State.CLOSED
    assert house.balance("credit_balance/quick_cash:CNY") == -50
    assert house.facts(loan)[-5:] == [
        "LoanWrittenOff",
        *["LoanRecovered"] * 3,
        "LoanClosed",
    ]
    house.agree()


def test_a_write_off_that_is_taken_back_is_fully_provided(house: House) -> None:
    loan = house.lend()
    house.later(100)
    house.do(loans.roll, loan)
    stage(house, loan, 3, provision_minor=20_000)
    done = house.changed(loan, events.WrittenOff(seq=0, on=TODAY))
    before = house.balance("expense/write_off/quick_cash:CNY")
    house.do(loans.reverse, loan, of=done.events[0])
    found = house.read(loan)
    assert found.state is State.ACTIVE
    assert found.kept is not None
    assert found.kept.position.provision_minor == found.kept.position.book_minor
    assert house.balance("expense/write_off/quick_cash:CNY") == before
    house.agree()


def test_what_is_earned_in_stage_three_waits_in_suspense(house: House) -> None:
    loan = house.lend()
    house.give(200_000)
    house.later(100)
    house.do(loans.roll, loan)
    stage(house, loan, 3)
    income = house.balance("income/interest/quick_cash:CNY")
    house.later(30)
    house.do(loans.roll, loan)
    found = house.read(loan).kept
    assert found is not None
    assert found.position.interest_suspended_minor > 0
    assert found.position.penalty_suspended_minor > 0
    assert house.balance("income/interest/quick_cash:CNY") == income
    house.agree()
    with house.database.reading() as connection:
        owed = loans.quote_payoff(connection, loan).total_minor
    house.pay(loan, owed, kind="payoff")
    assert house.balance("interest_suspense/quick_cash:CNY") == 0
    assert house.balance("penalty_suspense/quick_cash:CNY") == 0
    assert house.balance("income/interest/quick_cash:CNY") < income
    house.agree()


def test_what_never_was_income_is_no_loss(house: House) -> None:
    loan = house.lend()
    house.later(100)
    house.do(loans.roll, loan)
    stage(house, loan, 3)
    book = house.read(loan).kept.position.book_minor  # type: ignore[union-attr]
    house.later(60)
    house.do(loans.roll, loan)
    house.agree()
    house.changed(loan, events.WrittenOff(seq=0, on=TODAY))
    assert house.balance("expense/write_off/quick_cash:CNY") == book
    house.agree()


def test_a_loan_is_sold_for_less_than_it_is_worth(house: House) -> None:
    loan = house.lend()
    house.later(120)
    house.do(loans.roll, loan)
    stage(house, loan, 3, provision_minor=30_000)
    worth = house.read(loan).kept.position.book_minor - 30_000  # type: ignore[union-attr]
    bank = house.balance("bank:CNY")
    sale = {"buyer": "amc_one", "price_minor": 40_000}
    yes = house.approve(lambda unit: changes.request_sale(unit, loan, **sale))  # type: ignore[arg-type]
    assert house.refused(changes.sell, loan, buyer="amc_one", price_minor=39_999, approval=yes) == (
        "approval_is_for_something_else"
    )
    house.do(changes.sell, loan, approval=yes, **sale)
    assert house.balance("bank:CNY") == bank + 40_000
    assert house.balance("income/sale/quick_cash:CNY") == worth - 40_000
    assert house.balance("loan:1:CNY") == 0
    assert house.read(loan).state is State.SOLD
    house.agree()
    assert house.refused(loans.repay, loan, loans.Repayment(amount_minor=5)) == "loan_is_closed"
    assert house.refused(changes.sell, loan, **sale) == "loan_is_closed"
    assert house.facts(loan)[-1] == "LoanSold"


def test_a_sale_is_refused_while_money_or_partners_stand_against_it(house: House) -> None:
    loan = house.lend()
    house.pay(loan, 500)
    sale = {"buyer": "amc_one", "price_minor": 40_000}
    assert house.refused(changes.request_sale, loan, **sale) == "credit_balance_stands"
    joint = house.lend(shares=loans.Shares(1, (("bank_a", 1),)))
    assert house.refused(changes.request_sale, joint, **sale) == "loan_is_joint"
    assert house.refused(changes.request_sale, loan, buyer="amc", price_minor=0) == (
        "amount_is_not_positive"
    )


def test_a_joint_loan_is_ours_in_part_and_the_rest_is_the_partners(house: House) -> None:
    shares = loans.Shares(3, (("bank_a", 5), ("bank_b", 2)))
    loan = house.lend(terms(principal_minor=100_001), shares=shares)
    assert house.wallet() == 100_001
    assert house.balance("loan:1:CNY") == 30_000
    assert house.balance("partner/bank_a:CNY") == 50_001
    assert house.balance("partner/bank_b:CNY") == 20_000
    house.give(50_000)
    for row in house.read(loan).standing.rows[:-1]:  # type: ignore[union-attr]
        house.to(row.due_on)
        house.pay(loan, row.total_minor)
        house.agree()
    with house.database.reading() as connection:
        owed = loans.quote_payoff(connection, loan).total_minor
    house.pay(loan, owed, kind="payoff")
    house.agree()
    totals = house.read(loan).standing.totals  # type: ignore[union-attr]
    earned = totals.interest_earned_minor
    assert house.balance("income/interest/quick_cash:CNY") == -shares.own_minor(earned)
    a, b = shares.split(earned)
    assert abs(-house.balance("partner/bank_a:CNY") - a) <= 1
    assert abs(-house.balance("partner/bank_b:CNY") - b) <= 1
    assert house.balance("loan:1:CNY") == 0


def test_ageing_is_paused_without_a_change_of_the_schedule(house: House) -> None:
    loan = house.lend()
    until = house.today + timedelta(days=30)
    before = house.read(loan).standing
    house.do(changes.pause_ageing, loan, until=until)
    found = house.read(loan)
    assert found.kept is not None
    assert (found.kept.paused_until, found.standing) == (until, before)
    assert house.facts(loan)[-1] == "LoanChanged"
    house.pay(loan, 100)
    assert house.read(loan).kept.paused_until == until  # type: ignore[union-attr]
    house.agree()


def test_re_aged_and_paid_as_newly_agreed_nothing_is_left(house: House) -> None:
    loan = house.lend()
    house.later(100)
    house.do(loans.roll, loan)
    first = house.today + timedelta(days=30)
    house.changed(loan, events.ReAged(seq=0, on=TODAY, first_due_on=first, instalments=6))
    found = house.read(loan).standing
    assert found is not None
    assert found.overdue_minor == 0
    house.give(60_000)
    for row in found.rows:
        if row.open_minor:
            house.to(row.due_on)
            house.pay(loan, row.open_minor)
            house.agree()
    assert house.read(loan).state is State.CLOSED
    assert house.wallet(WALLET) + house.wallet(SHOP) >= 0
