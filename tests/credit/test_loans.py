"""Loans over PostgreSQL: signed, paid out, repaid, reversed, with the ledger beside them."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from steelyard.base.audit import verify_audit
from steelyard.cashflows import terms as cash_terms
from steelyard.credit import books, changes, loans
from steelyard.kernel import Refusal
from tests.credit.lender import OPENED, PARTY, SHOP, TOWN, WALLET, House, terms
from tests.credit.lender import house as house

State = loans.LoanState


def test_a_loan_is_signed_paid_out_and_repaid_to_the_end(house: House) -> None:
    loan = house.sign()
    assert house.read(loan).state is State.SIGNED
    house.do(loans.disburse, loan)
    assert house.wallet() == 120_000
    house.agree()
    house.give(20_000)
    for row in house.read(loan).standing.rows:  # type: ignore[union-attr]
        house.to(row.due_on)
        house.pay(loan, row.total_minor)
        house.agree()
    closed = house.read(loan)
    assert closed.state is State.CLOSED
    assert closed.standing is not None
    assert closed.standing.principal_minor == 0
    interest = closed.standing.totals.interest_paid_minor
    assert house.balance("income/interest/quick_cash:CNY") == -interest
    assert house.wallet() == 20_000 - interest
    assert house.balance("loan:1:CNY") == 0
    assert house.facts(loan) == [
        "LoanSigned",
        "LoanDisbursed",
        *["LoanRepaid"] * 12,
        "LoanClosed",
    ]
    with house.database.reading() as connection:
        assert verify_audit(connection).holds


def test_a_payment_too_many_is_a_credit_balance_that_is_given_back(house: House) -> None:
    loan = house.lend()
    house.give(50_000)
    owed = house.read(loan).standing
    assert owed is not None
    house.later(40)
    with house.database.reading() as connection:
        payoff = loans.quote_payoff(connection, loan).total_minor
    house.pay(loan, payoff + 700, kind="payoff")
    found = house.read(loan)
    assert (found.state, found.standing.totals.credit_minor) == (State.CLOSED, 700)  # type: ignore[union-attr]
    assert house.balance("credit_balance/quick_cash:CNY") == -700
    assert house.refused(loans.refund_credit, loan, amount_minor=701) == "refund_exceeds_credit"
    assert house.refused(loans.refund_credit, loan, amount_minor=0) == "refund_exceeds_credit"
    before = house.wallet()
    house.do(loans.refund_credit, loan)
    assert house.wallet() == before + 700
    assert house.refused(loans.refund_credit, loan) == "refund_exceeds_credit"
    house.agree()
    assert house.refused(loans.repay, loan, loans.Repayment(amount_minor=1)) == "loan_is_closed"


def test_a_cent_short_leaves_a_loan_open_and_the_cent_closes_it(house: House) -> None:
    loan = house.lend()
    house.give(50_000)
    house.later(40)
    with house.database.reading() as connection:
        payoff = loans.quote_payoff(connection, loan).total_minor
    short = house.pay(loan, payoff - 1, kind="payoff")
    assert short.loan.state is State.ACTIVE
    house.agree()
    with house.database.reading() as connection:
        left = loans.quote_payoff(connection, loan).total_minor
    assert left == 1
    assert house.pay(loan, 1, kind="payoff").loan.state is State.CLOSED
    house.agree()


def test_two_payments_at_once_are_both_taken_one_after_the_other(house: House) -> None:
    loan = house.lend()
    house.give(30_000)
    house.later(40)
    barrier, failed = threading.Barrier(2), []

    def pay() -> None:
        barrier.wait(10)
        try:
            house.pay(loan, 10_662)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=pay) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed
    found = house.read(loan)
    assert found.version == 4
    assert found.standing is not None
    assert found.standing.totals.received_minor == 2 * 10_662
    house.agree()


def test_who_looked_before_somebody_else_paid_is_told(house: House) -> None:
    loan = house.lend()
    house.give(1_000)
    seen = house.read(loan).version
    house.pay(loan, 100)
    payment = loans.Repayment(amount_minor=100)
    assert house.refused(loans.repay, loan, payment, if_version=seen) == "loan_has_changed"


def test_a_payment_is_taken_back_as_if_it_had_not_been(house: House) -> None:
    loan = house.lend()
    house.give(20_000)
    house.later(45)
    before, wallet = house.read(loan).standing, house.wallet()
    paid = house.pay(loan, 15_000)
    (seq,) = paid.events
    house.do(loans.reverse, loan, of=seq)
    after = house.read(loan).standing
    assert after is not None
    assert before is not None
    assert (after.rows, after.totals) == (before.rows, before.totals)
    assert house.wallet() == wallet
    house.agree()
    assert house.refused(loans.reverse, loan, of=seq) == "event_is_reversed"
    assert house.refused(loans.reverse, loan, of=seq + 1) == "event_is_unknown"
    assert house.refused(loans.reverse, loan, of=1) == "event_is_unknown"
    assert house.refused(loans.reverse, loan, of=99) == "event_is_unknown"


def test_what_closed_a_loan_is_taken_back_and_it_is_owed_again(house: House) -> None:
    loan = house.lend()
    house.give(50_000)
    house.later(40)
    with house.database.reading() as connection:
        payoff = loans.quote_payoff(connection, loan).total_minor
    (seq,) = house.pay(loan, payoff, kind="payoff").events
    house.do(loans.reverse, loan, of=seq)
    assert house.read(loan).state is State.ACTIVE
    assert house.facts(loan)[-2:] == ["LoanReversed", "LoanReopened"]
    house.agree()


def test_a_back_dated_payment_is_a_new_run(house: House) -> None:
    late, told = house.lend(), house.lend()
    house.give(50_000)
    due = house.read(late).standing.rows[0]  # type: ignore[union-attr]
    house.to(due.due_on)
    house.pay(told, due.total_minor)
    house.later(20)
    house.do(loans.roll, late)
    assert house.read(late).standing.days_past_due == 20  # type: ignore[union-attr]
    house.agree()
    house.pay(late, due.total_minor, effective_on=due.due_on)
    house.do(loans.roll, told)
    one, other = house.read(late), house.read(told)
    assert one.standing is not None
    assert other.standing is not None
    assert (one.standing.rows, one.standing.totals) == (other.standing.rows, other.standing.totals)
    house.agree()
    ahead = loans.Repayment(amount_minor=1, effective_on=house.today + timedelta(days=1))
    assert house.refused(loans.repay, late, ahead) == "value_date_is_out_of_range"
    early = loans.Repayment(amount_minor=1, effective_on=OPENED - timedelta(days=1))
    assert house.refused(loans.repay, late, early) == "value_date_is_out_of_range"


def test_a_receipt_from_outside_waits_in_suspense(house: House) -> None:
    loan = house.lend()
    payment = loans.Repayment(amount_minor=500, from_wallet=False)
    assert house.refused(loans.repay, loan, payment) == "exceeds_debit_limit"
    for _ in range(2):
        house.do(books.receive, amount_minor=500, currency="CNY", reference="stmt/7")
    assert house.balance("suspense:CNY") == -500
    house.do(loans.repay, loan, payment)
    assert house.balance("suspense:CNY") == 0
    house.agree()
    (seq,) = [line.seq for line in _history(house, loan) if line.route is loans.Route.SUSPENSE]
    house.do(loans.reverse, loan, of=seq)
    assert house.balance("suspense:CNY") == -500
    house.agree()


def _history(house: House, loan: object) -> tuple[loans.LoanEvent, ...]:
    with house.database.reading() as connection:
        return loans.history(connection, loan)  # type: ignore[arg-type]


def test_a_debit_takes_what_the_wallet_has(house: House) -> None:
    loan = house.lend()
    house.later(40)
    debit = loans.Repayment(amount_minor=10_662, kind="debit", at_most=True)
    assert house.do(loans.repay, loan, debit).amount_minor == 10_662
    other = house.lend()
    everything = loans.Repayment(amount_minor=10**9, kind="debit", at_most=True)
    taken = house.do(loans.repay, other, everything)
    assert taken.amount_minor == 240_000 - 10_662
    assert house.refused(loans.repay, loan, debit) == "wallet_is_empty"
    house.agree()


def test_a_merchant_is_paid_less_the_subsidy_and_returns_a_purchase(house: House) -> None:
    of = terms(down_payment=Decimal("0.25"), rate="0.06", instalments=3)
    loan = house.sign(of, merchant=uuid4(), product="merchant_instalments")
    pay_out = {"payee": SHOP, "subsidy_minor": 3_000}
    assert house.refused(loans.disburse, loan, **pay_out) == "exceeds_debit_limit"
    house.give(30_000)
    house.do(loans.disburse, loan, **pay_out)
    assert (house.wallet(), house.wallet(SHOP)) == (0, 117_000)
    assert house.balance("income/subsidy/merchant_instalments:CNY") == -3_000
    house.agree()
    house.later(10)
    part = house.do(loans.merchant_refund, loan, amount_minor=40_000)
    assert house.wallet(SHOP) == 117_000 - 39_000
    assert part.after.principal_minor < 90_000 - 39_000
    house.agree()
    assert house.refused(loans.reverse, loan, of=part.events[0]) == "change_does_not_fit"
    house.do(loans.merchant_refund, loan, amount_minor=80_000)
    found = house.read(loan)
    assert found.state is State.CLOSED
    assert house.balance("income/subsidy/merchant_instalments:CNY") == 0
    house.do(loans.refund_credit, loan)
    interest = found.standing.totals.interest_paid_minor  # type: ignore[union-attr]
    assert house.wallet() == 30_000 - interest
    house.agree()
    plain = house.lend()
    assert house.refused(loans.merchant_refund, plain, amount_minor=5) == "change_does_not_fit"


def test_the_cooling_off_costs_nothing(house: House) -> None:
    fee = cash_terms.Fee(code="opening", when=cash_terms.FeeWhen.UPFRONT, amount_minor=1_000)
    loan = house.lend(terms(fees=(fee,)), cooling_off_until=OPENED + timedelta(days=7))
    assert house.wallet() == 119_000
    house.later(5)
    house.do(loans.roll, loan)
    house.agree()
    house.do(loans.step_back, loan)
    assert house.wallet() == 0
    assert house.read(loan).state is State.CANCELLED
    results = {"income/interest": 0, "income/fees": -1_000, "expense/waiver": 1_000}
    for account, amount in results.items():
        assert house.balance(f"{account}/quick_cash:CNY") == amount
    assert house.balance("loan:1:CNY") == 0
    assert house.facts(loan)[-1] == "LoanCancelled"
    house.agree()
    late = house.lend(terms(start_on=house.today), cooling_off_until=house.today)
    house.later(1)
    assert house.refused(loans.step_back, late) == "cooling_off_is_over"
    assert house.refused(loans.step_back, house.lend()) == "cooling_off_is_over"


def test_a_merchant_returns_no_more_than_the_purchase_in_all(house: House) -> None:
    house.give(300_000, SHOP)
    loan = house.sign(terms(rate="0.06"), merchant=uuid4(), product="merchant_instalments")
    house.do(loans.disburse, loan, payee=SHOP, subsidy_minor=1_000)
    house.do(loans.merchant_refund, loan, amount_minor=70_000)
    again = house.refused(loans.merchant_refund, loan, amount_minor=50_001)
    assert again == "change_does_not_fit"
    house.do(loans.merchant_refund, loan, amount_minor=25_001)
    house.do(loans.merchant_refund, loan, amount_minor=24_999)
    assert house.wallet(SHOP) == 300_000
    assert house.balance("income/subsidy/merchant_instalments:CNY") == 0
    house.agree()


@pytest.mark.parametrize("returned", [0, 40_001])
def test_who_steps_back_from_a_purchase_has_what_he_paid(house: House, returned: int) -> None:
    house.give(40_000)
    house.give(300_000, SHOP)
    of = terms(down_payment=Decimal("0.25"), rate="0.06", instalments=3)
    loan = house.sign(of, merchant=uuid4(), cooling_off_until=OPENED + timedelta(days=7))
    house.do(loans.disburse, loan, payee=SHOP, subsidy_minor=3_001)
    house.pay(loan, 10_000)
    if returned:
        house.do(loans.merchant_refund, loan, amount_minor=returned)
    house.later(2)
    house.do(loans.step_back, loan)
    assert (house.wallet(), house.wallet(SHOP)) == (40_000, 300_000)
    assert house.balance("income/subsidy/quick_cash:CNY") == 0
    found = house.read(loan)
    assert found.state is State.CANCELLED
    assert found.standing is not None
    assert (found.standing.principal_minor, found.standing.totals.credit_minor) == (0, 0)
    house.agree()


@pytest.mark.parametrize("paid", [10_000, 120_000, 120_500])
def test_who_steps_back_from_a_loan_has_what_he_paid(house: House, paid: int) -> None:
    loan = house.lend(cooling_off_until=OPENED + timedelta(days=7))
    house.give(1_000)
    house.pay(loan, paid)
    house.later(3)
    house.do(loans.step_back, loan)
    assert house.wallet() == 1_000
    found = house.read(loan)
    assert found.state is State.CANCELLED
    assert found.standing is not None
    assert (found.standing.principal_minor, found.standing.totals.credit_minor) == (0, 0)
    house.agree()


def test_a_contract_is_let_go_before_it_is_paid_out(house: House) -> None:
    loan = house.sign()
    house.do(loans.cancel, loan)
    assert house.read(loan).state is State.CANCELLED
    assert house.refused(loans.disburse, loan) == "loan_is_closed"
    assert house.refused(loans.cancel, house.lend()) == "loan_state_forbids"
    assert house.facts(loan) == ["LoanSigned", "LoanCancelled"]


@pytest.mark.parametrize("start", [date(2026, 3, 31), date(2028, 2, 29), date(2028, 1, 31)])
def test_the_last_days_of_months_are_days_like_others(house: House, start: date) -> None:
    house.to(start)
    loan = house.lend(terms(start_on=start, instalments=3, rate="0.10"))
    house.give(5_000)
    standing = house.read(loan).standing
    assert standing is not None
    assert all(row.due_on.day in (28, 29, 30, 31) for row in standing.rows)
    for row in standing.rows:
        house.to(row.due_on - timedelta(days=1))
        house.do(loans.roll, loan)
        house.agree()
        house.to(row.due_on)
        house.pay(loan, row.total_minor)
        house.agree()
    assert house.read(loan).state is State.CLOSED


def test_what_cannot_be_signed_or_paid_out_is_refused(house: House) -> None:
    assert house.refused(loans.disburse, uuid4()) == "loan_is_unknown"
    with pytest.raises(Refusal, match="lender_is_unknown"):
        house.sign(terms(currency="USD"))
    with pytest.raises(Refusal, match="wallet_is_out_of_reach"):
        house.sign(wallet_book="lending")
    with pytest.raises(Refusal, match="account_not_found"):
        house.sign(wallet_account="wallet:nobody")
    later = house.sign(terms(start_on=OPENED + timedelta(days=1)))
    assert house.refused(loans.disburse, later) == "loan_begins_later"
    assert house.refused(loans.repay, later, loans.Repayment(amount_minor=5)) == (
        "loan_state_forbids"
    )
    loan = house.sign()
    assert house.refused(loans.disburse, loan, subsidy_minor=120_000) == "amount_is_not_positive"
    house.do(loans.disburse, loan)
    assert house.refused(loans.disburse, loan) == "loan_state_forbids"
    for amount in (0, -5):
        payment = loans.Repayment(amount_minor=amount)
        assert house.refused(loans.repay, loan, payment) == "amount_is_not_positive"
    rich = house.sign(terms(principal_minor=10**12))
    assert house.refused(loans.disburse, rich) == "exceeds_debit_limit"


def test_a_dry_run_shows_the_effect_and_writes_nothing(house: House) -> None:
    loan = house.sign()
    shown = house.do(loans.disburse, loan, dry_run=True)
    assert (shown.is_done, shown.before) == (False, None)
    house.do(loans.disburse, loan)
    house.give(20_000)
    house.later(31)
    before = house.read(loan)
    payment = loans.Repayment(amount_minor=10_662)
    shown = house.do(loans.repay, loan, payment, dry_run=True)
    assert house.read(loan) == before
    assert shown.before == before.standing
    done = house.do(loans.repay, loan, payment)
    assert (done.lines, done.after) == (shown.lines, shown.after)
    assert sum(line.amount_minor for line in done.lines) == 0


def test_quotes_are_what_is_booked(house: House) -> None:
    loan = house.lend()
    house.give(100_000)
    house.later(50)
    with house.database.reading() as connection:
        quote = loans.quote_prepay(connection, loan, amount_minor=60_000)
        fewer = loans.quote_prepay(
            connection, loan, amount_minor=60_000, plan=cash_terms.Prepay.REDUCE_TERM
        )
        later = loans.quote_payoff(connection, loan, house.today + timedelta(days=30))
        now = loans.quote_payoff(connection, loan)
        with pytest.raises(Refusal, match="value_date_is_out_of_range"):
            loans.quote_payoff(connection, loan, OPENED)
    assert later.total_minor > now.total_minor
    assert fewer.interest_saved_minor > quote.interest_saved_minor > 0
    assert len(fewer.after.rows) < len(quote.after.rows)
    paid = house.pay(loan, 60_000, kind="prepay")
    assert paid.after.rows == quote.after.rows
    house.agree()


def test_the_statement_says_what_each_payment_was_for(house: House) -> None:
    loan = house.lend()
    house.give(20_000)
    house.later(45)
    (wrong,) = house.pay(loan, 5_000).events
    house.do(loans.reverse, loan, of=wrong)
    house.pay(loan, 11_000)
    with house.database.reading() as connection:
        lines = loans.statement(connection, loan)
    assert [line.kind for line in lines] == ["signed", "paid_out", "repaid", "reversed", "repaid"]
    assert [line.amount_minor for line in lines] == [0, -120_000, 5_000, 0, 11_000]
    assert [line.is_reversed for line in lines] == [False, False, True, False, False]
    last = lines[-1]
    parts = (last.principal_minor, last.interest_minor, last.fee_minor, last.penalty_minor)
    assert sum(parts) + last.credit_minor == 11_000
    assert last.penalty_minor > 0
    assert last.credit_minor > 0


def test_loans_are_found_by_what_they_are(house: House) -> None:
    first, second = house.lend(), house.sign(product="salary_advance", party=uuid4())
    with house.database.reading() as connection:
        page = loans.find(connection, limit=1)
        assert [one.id for one in page.items] == [first]
        assert page.next is not None
        assert [one.id for one in loans.find(connection, cursor=page.next).items] == [second]
        assert [one.id for one in loans.find(connection, party=PARTY).items] == [first]
        assert [one.id for one in loans.find(connection, state=State.SIGNED).items] == [second]
        assert loans.find(connection, least_dpd=1).items == ()
        assert [one.id for one in loans.find(connection, product="salary_advance").items] == [
            second
        ]


def test_the_database_keeps_history_and_states(house: House) -> None:
    loan = house.lend()
    nr = house.read(loan).nr
    for forged in (
        "UPDATE credit.event SET kind = 'signed'",
        "DELETE FROM credit.event",
        "DELETE FROM credit.loan",
        "UPDATE credit.loan SET terms = '{}'",
        "UPDATE credit.loan SET state = 'closed'",
        "UPDATE credit.loan SET state = 'signed', version = version + 1",
        f"UPDATE credit.standing SET principal_own_minor = -1 WHERE nr = {nr}",
    ):
        with (
            pytest.raises(psycopg.Error),
            psycopg.connect(
                house.database.url.replace("postgresql+psycopg", "postgresql")
            ) as connection,
        ):
            connection.execute(forged)


def test_a_difference_is_found_and_becomes_a_case(house: House) -> None:
    loan = house.lend()
    house.agree()
    house.run(
        lambda unit: unit.execute(
            "UPDATE credit.standing SET principal_own_minor = principal_own_minor + 1,"
            " fee_receivable_minor = 7 WHERE nr = :nr",
            nr=house.read(loan).nr,
        )
    )
    with house.database.reading() as connection:
        agreement = books.check(connection)
    assert [(d.account, d.expected_minor - d.found_minor) for d in agreement.differences] == [
        ("loan:1:CNY", 1),
        ("fee_receivable/quick_cash/stage1:CNY", 7),
    ]
    assert house.do(books.report_differences, agreement) == 2
    with house.database.reading() as connection:
        opened = connection.exec_driver_sql("SELECT kind, state FROM cases.case_file").all()
    assert [tuple(row) for row in opened] == [("credit.difference", "open")] * 2


def test_the_lender_is_opened_once(house: House) -> None:
    again = {
        "wallets_book": TOWN,
        "settlement_account": "bank:settlement",
        "funding_minor": 5,
    }
    bank = house.balance("capital:CNY")
    house.do(books.open_lender, **again)
    assert house.balance("capital:CNY") == bank
    assert house.refused(books.open_lender, book="other", **again) == "lender_exists"
    assert house.refused(books.open_lender, **again | {"funding_minor": 0}) == (
        "amount_is_not_positive"
    )
    at_wallets = house.balance("mirror:town:CNY")
    house.do(books.fund, settlement_account="bank:settlement", amount_minor=400)
    assert house.balance("mirror:town:CNY") == at_wallets + 400
    assert house.balance("mirror:lending:CNY", TOWN) == -at_wallets - 400
    assert house.wallet(WALLET) == 0
    assert changes.WAIVED_ALONE_MINOR > 0
