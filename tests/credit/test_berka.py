"""The Berka bank's loans: what their files prove, what their history says before the grant."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.cashflows import events, plan
from steelyard.credit import loans
from steelyard.decisions.training import TooFewRows, corrected_interval
from steelyard.imports import (
    SAMPLE,
    BookedLoans,
    LoanOutcome,
    book_berka_loans,
    read_berka_loans,
    score_loans,
    write_sample,
)
from steelyard.imports.model.berka import (
    BerkaBank,
    Card,
    CardKind,
    Loan,
    Operation,
    loan_histories,
    prove_loans,
    read_bank,
    sample_files,
    simulated_repayments,
    terms_of,
)
from steelyard.imports.model.berka.operations import Purpose
from steelyard.imports.store import read_folder
from steelyard.kernel import Refusal

DATA = Path(os.environ.get("STEELYARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (DATA / "berka").is_dir(), reason="the Berka bank is not here (STEELYARD_DATA)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sample(tmp_path / "bank", accounts=60)
    return tmp_path / "bank"


def book(database: Database, folder: Path, **options: Any) -> BookedLoans:
    return book_berka_loans(database, Keyring.for_tests(), folder, book=SAMPLE, **options)


def test_every_loan_is_booked_once_on_the_day_of_its_grant(
    database: Database, folder: Path
) -> None:
    booked = book(database, folder)
    bank = read_bank(read_folder(folder))
    assert (booked.loans, booked.created, booked.terms_kept) == (10, 10, 10)
    assert booked.lent_minor == booked.outstanding_minor == sum(x.amount_minor for x in bank.loans)
    assert (booked.repayments, booked.repaid_minor, booked.differences) == (0, 0, 0)
    assert booked.as_of == max(loan.granted_on for loan in bank.loans)
    with database.reading() as connection:
        found = loans.find(connection, product="berka_loan").items
        starts = {loan.terms.start_on for loan in found}
        assert starts == {loan.granted_on for loan in bank.loans}
        # nothing grew old: what is kept is of the day of the grant
        assert all(one.kept and one.kept.as_of == one.terms.start_on for one in found)
        assert all(one.kept and one.kept.dpd == 0 for one in found)
    again = book(database, folder)
    assert again == replace(booked, created=0)


def test_a_replay_that_broke_off_goes_on(database: Database, folder: Path) -> None:
    class Killed(Exception):
        pass

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "loans" and done * 2 > total:
            raise Killed

    with pytest.raises(Killed):
        book(database, folder, repayments=2, progress=kill)
    finished = book(database, folder, repayments=2)
    assert 0 < finished.created < 10
    assert (finished.loans, finished.differences) == (10, 0)
    assert book(database, folder, repayments=2) == replace(finished, created=0)


def test_repayments_are_simulated_and_say_so(database: Database, folder: Path) -> None:
    booked = book(database, folder, repayments=3, seed=4)
    drawn = [
        one
        for loan in read_bank(read_folder(folder)).loans
        for one in simulated_repayments(loan, first=3, seed=4)
    ]
    assert booked.repayments == len(drawn) > 0
    assert booked.repaid_minor == sum(one.amount_minor for one in drawn)
    assert booked.outstanding_minor == booked.lent_minor - booked.repaid_minor
    assert booked.differences == 0
    with database.reading() as connection:
        told = [
            line
            for one in loans.find(connection, product="berka_loan").items
            for line in loans.history(connection, one.id)
            if isinstance(line.event, events.Repaid)
        ]
    assert {line.cause for line in told} == {"simulation.berka_repayment@1"}
    assert {line.event.kind for line in told if isinstance(line.event, events.Repaid)} == {
        "simulated"
    }


def test_another_replay_into_the_same_books_is_refused(database: Database, folder: Path) -> None:
    book(database, folder)
    with pytest.raises(Refusal, match="bank_is_replayed_otherwise"):
        book(database, folder, repayments=1)
    write_sample(folder, accounts=66)
    with pytest.raises(Refusal, match="bank_is_replayed_otherwise"):
        book(database, folder)


def test_the_outcome_does_not_lead_the_simulated_repayments(bank: BerkaBank) -> None:
    loan = bank.loans[0]
    drawn = [
        list(simulated_repayments(replace(loan, outcome=one), first=99, seed=7))
        for one in LoanOutcome
    ]
    assert all(one == drawn[0] for one in drawn)
    many = [one for loan in bank.loans for one in simulated_repayments(loan, first=99, seed=7)]
    due = sum(loan.duration_months for loan in bank.loans)
    assert 0.95 < len(many) / due < 1
    rows = {(loan.loan_id, row.nr): row for loan in bank.loans for row in plan(terms_of(loan)).rows}
    delays = [(one.on - rows[one.loan_id, one.nr].due_on).days for one in many]
    assert min(delays) == 0
    assert 0 < max(delays) <= 20
    assert 0.85 < delays.count(0) / due < 0.95


@pytest.fixture(scope="module")
def bank() -> BerkaBank:
    return read_bank(sample_files(clients=360, accounts=300, transactions=3_600))


@needs_data
def test_the_real_loans_prove_their_terms() -> None:
    found = read_berka_loans(DATA / "berka")
    assert len(found.evidence) == 682
    assert sum(one.pays_amount for one in found.evidence) == 682
    assert sum(one.plans_payment for one in found.evidence) == 682
    assert sum(one.order_equals for one in found.evidence) == 682
    # the loan file writes whole crowns, the orders haléř
    assert sum(one.order_equals_exactly for one in found.evidence) == 359
    assert (len(found.histories), sum(one.is_bad for one in found.histories)) == (354, 30)


@needs_data
def test_the_scorecard_on_the_real_history_finds_something() -> None:
    scored = score_loans(read_berka_loans(DATA / "berka").histories, repeats=2, compare=False)
    own = scored.areas["WoE scorecard, nothing protected"]
    assert own.mean > 0.8
    assert own.high - own.low > 0.05, "thirty bad loans cannot say it more exactly"
    assert not {"sex", "age_years"} & set(scored.trained.scorecard.card.names)
    assert {one.group for one in scored.trained.cards["scorecard"].fairness["sex"]} == {
        "female",
        "male",
    }


@given(
    st.integers(1, 10**7),
    st.integers(1, 240),
    st.dates(date(1990, 1, 1), date(2020, 12, 31)),
)
def test_a_loan_of_whole_payments_plans_exactly_them(payment: int, months: int, on: date) -> None:
    loan = Loan(1, 2, on, payment * months, months, payment, LoanOutcome.PAID)
    rows = plan(terms_of(loan)).rows
    assert [row.total_minor for row in rows] == [payment] * months
    assert rows[-1].balance_minor == 0


def test_what_does_not_agree_is_not_proved(bank: BerkaBank) -> None:
    assert all(one.is_proved for one in prove_loans(bank))
    loan = bank.loans[0]
    dearer = replace(loan, amount_minor=loan.amount_minor + 1)
    [told, *others] = prove_loans(replace(bank, loans=(dearer, *bank.loans[1:])))
    assert (told.pays_amount, told.plans_payment, told.order_equals) == (False, False, True)
    assert all(one.is_proved for one in others)


@pytest.mark.parametrize(
    ("off", "equal", "exact"),
    [(0, True, True), (50, True, False), (-50, True, False), (51, False, False)],
)
def test_an_order_is_equal_in_whole_crowns_and_not_beyond(
    bank: BerkaBank, off: int, equal: bool, exact: bool
) -> None:
    loan = bank.loans[0]
    orders = tuple(
        replace(one, amount_minor=loan.payment_minor + off)
        if (one.account_id, one.purpose) == (loan.account_id, Purpose.LOAN_PAYMENT)
        else one
        for one in bank.standing_orders
    )
    told = prove_loans(replace(bank, standing_orders=orders))[0]
    assert (told.order_equals, told.order_equals_exactly) == (equal, exact)


def test_two_orders_for_one_loan_prove_nothing(bank: BerkaBank) -> None:
    order = next(one for one in bank.standing_orders if one.purpose is Purpose.LOAN_PAYMENT)
    twice = (*bank.standing_orders, replace(order, order_id=99_999_999))
    told = next(
        one
        for one in prove_loans(replace(bank, standing_orders=twice))
        if one.loan.account_id == order.account_id
    )
    assert told.order_minor is None
    assert not told.is_proved


def test_nothing_of_the_day_of_the_grant_or_after_it_is_an_input(bank: BerkaBank) -> None:
    before = loan_histories(bank)
    granted = {loan.account_id: loan.granted_on for loan in bank.loans}
    late = tuple(
        replace(line, trans_id=10**9 + n, booked_on=granted[account] + timedelta(days=n % 40),
                amount_minor=10**8, operation=Operation.TRANSFER_IN)
        for account in granted
        for n, line in enumerate(bank.transactions[:40])
        for line in [replace(line, account_id=account)]
    )  # fmt: skip
    cards = tuple(
        Card(10**6 + n, d.disposition_id, CardKind.GOLD, granted[d.account_id])
        for n, d in enumerate(bank.dispositions)
        if d.account_id in granted
    )
    lines = tuple(
        sorted(
            (*bank.transactions, *late), key=lambda t: (t.account_id, t.booked_on, t.trans_id)
        )
    )  # fmt: skip
    later = replace(bank, transactions=lines, cards=(*bank.cards, *cards), standing_orders=())
    assert loan_histories(later) == before


def test_a_day_before_the_grant_counts(bank: BerkaBank) -> None:
    loan = next(
        loan for loan in bank.loans if loan.loan_id == loan_histories(bank)[0].loan_id
    )  # fmt: skip
    mine = [t for t in bank.transactions if t.account_id == loan.account_id]
    more = replace(mine[-1], trans_id=10**9, amount_minor=10**9,
                   booked_on=loan.granted_on - timedelta(days=1))  # fmt: skip
    told = loan_histories(replace(bank, transactions=(*bank.transactions, more)))[0]
    assert told.balance_last != loan_histories(bank)[0].balance_last


def test_the_outcome_is_a_label_only(bank: BerkaBank) -> None:
    turned = tuple(
        replace(loan, outcome=LoanOutcome.NOT_PAID if loan.outcome is LoanOutcome.PAID
                else LoanOutcome.PAID)
        for loan in bank.loans
    )  # fmt: skip
    told, other = loan_histories(bank), loan_histories(replace(bank, loans=turned))
    names = [one.name for one in fields(told[0]) if one.name != "is_bad"]
    assert [[getattr(h, name) for name in names] for h in told] == [
        [getattr(h, name) for name in names] for h in other
    ]
    assert [h.is_bad for h in told] != [h.is_bad for h in other]


def test_a_scorecard_of_too_few_loans_is_refused(bank: BerkaBank) -> None:
    few = [one for one in loan_histories(bank) if not one.is_bad][:20]
    with pytest.raises(TooFewRows):
        score_loans(few)


def test_the_sample_folder_has_loans_with_orders(tmp_path: Path) -> None:
    write_sample(tmp_path, accounts=60)
    found = read_berka_loans(tmp_path)
    assert len(found.evidence) == 10
    assert all(one.is_proved for one in found.evidence)
    assert sum(one.order_equals_exactly for one in found.evidence) < 10


def test_repeating_folds_does_not_narrow_the_interval_at_will() -> None:
    values = [0.80, 0.74, 0.83, 0.78, 0.77]
    once, often = corrected_interval(values, 5), corrected_interval(values * 100, 5)
    assert once.mean == pytest.approx(often.mean)
    assert once.low < once.mean < once.high
    # what is left when the repeats are many: the part of the overlapping training rows
    spread = (sum((v - once.mean) ** 2 for v in values) / len(values)) ** 0.5
    assert often.high - often.mean == pytest.approx(1.96 * spread * (1 / 4) ** 0.5, rel=0.02)
