"""The town's loans: the lender, the desk that lends, what is paid, and books that agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from steelyard.base import Database, NoPolicyGate, Outcome, Verdict
from steelyard.base.crypto import Keyring
from steelyard.credit import books, complaints, loans
from steelyard.kernel import Refusal
from steelyard.ledger import AccountKind, BookReader, NewAccount, close_day, open_accounts
from steelyard.parties import NewCustomer, registry
from steelyard.simulation import found, lending, report, town

from .conftest import PLAN

APPROVED = Verdict(Outcome.APPROVE, "no_policy@0")
AT = datetime(2026, 1, 5, 3, tzinfo=UTC)
CUSTOMER = UUID(int=0xC0)
WALLET = f"wallet:{UUID(int=0xA0)}"


@dataclass(frozen=True)
class Desk:
    """A town with a lender and one customer."""

    database: Database

    def lend(self, number: int = 1, verdict: Verdict = APPROVED, **changes: Any) -> Any:
        values = {
            "id": UUID(int=number),
            "at": AT,
            "customer": CUSTOMER,
            "account": WALLET,
            "product": "quick_cash",
            "amount_minor": 600_000,
            "currency": "CNY",
            "months": 3,
            "income_minor": 900_000,
        } | changes
        order = lending.LoanOrder(**values)
        [answer] = self.database.transact(lambda unit: lending.lend(unit, [order], [verdict]))
        return answer

    def pay(self, request: int = 1, number: int = 91, *, repays_all: bool = False) -> Any:
        order = lending.LoanPaymentOrder(
            id=UUID(int=number), request=UUID(int=request), repays_all=repays_all
        )
        [answer] = self.database.transact(lambda unit: lending.pay_loans(unit, [order]))
        return answer

    def move_to(self, on: date) -> None:
        def move(unit: Any) -> None:
            for book in ("town", lending.LENDING_BOOK):
                close_day(unit, book, next_on=on)

        self.database.transact(move)

    def wallet(self) -> int:
        with self.database.reading() as connection:
            return -BookReader(connection, "town").balances([WALLET])[WALLET]

    def agrees(self) -> bool:
        with self.database.reading() as connection:
            return books.check(connection).holds


def open_desk(database: Database, keyring: Keyring) -> Desk:
    town.found_town(database, keyring, NoPolicyGate(), PLAN, history_days=7)
    database.transact(lending.open_lender)

    def join(unit: Any) -> None:
        new = NewCustomer({}, origin=f"town:customer/{CUSTOMER}", channel="town")
        party = registry.register_customer(unit, keyring, new, verdict=APPROVED).id
        account = NewAccount(
            code=WALLET,
            currency="CNY",
            kind=AccountKind.LIABILITY,
            owner=f"party:{party}",
            debit_limit=0,
        )
        open_accounts(unit, "town", [account], cause="rule.town_wallet@1")

    database.transact(join)
    return Desk(database)


@pytest.fixture
def desk(world: Database, keyring: Keyring) -> Desk:
    return open_desk(world, keyring)


def test_a_lender_is_opened_once_and_never_without_a_town(
    world: Database, keyring: Keyring, desk: Desk, make_world: Callable[[], Database]
) -> None:
    with world.reading() as connection:
        head = BookReader(connection, lending.LENDING_BOOK).head().hash
    assert world.transact(lending.open_lender).book == lending.LENDING_BOOK
    with world.reading() as connection:
        assert BookReader(connection, lending.LENDING_BOOK).head().hash == head
    with pytest.raises(Refusal, match="town_is_not_founded"):
        make_world().transact(lending.open_lender)


def test_a_loan_is_paid_out_once_and_the_books_agree(desk: Desk) -> None:
    first = desk.lend()
    assert (first.outcome, first.amount_minor, desk.wallet()) == ("granted", 600_000, 600_000)
    assert desk.lend() == first
    assert desk.wallet() == 600_000
    assert desk.agrees()


def test_who_is_not_approved_or_not_known_gets_nothing(desk: Desk) -> None:
    no = Verdict(Outcome.DECLINE, "strict@3", ("amount_too_large",))
    assert desk.lend(verdict=no).reason == "amount_too_large"
    assert desk.lend(verdict=Verdict(Outcome.REVIEW, "strict@3")).reason == "review"
    assert desk.lend(customer=UUID(int=5)).reason == "party_is_unknown"
    assert desk.wallet() == 0
    assert desk.pay().reason == "loan_is_unknown"


def test_a_purchase_pays_the_merchant_less_the_subsidy(desk: Desk) -> None:
    merchant = found(PLAN).merchants[0]
    code = f"merchant:{merchant.account_id}"
    answer = desk.lend(
        product="merchant_instalments", merchant=merchant.id, merchant_account=code
    )  # fmt: skip
    assert answer.outcome == "granted"
    assert desk.wallet() == 0
    with desk.database.reading() as connection:
        got = -BookReader(connection, "town").balances([code])[code]
        [loan] = loans.find(connection, application=UUID(int=1)).items
    assert 500_000 < got < 600_000
    assert (loan.merchant is None, loan.terms.rate) == (False, 0)
    assert desk.agrees()


def test_what_is_due_is_paid_on_its_day_and_not_before(desk: Desk) -> None:
    desk.lend()
    assert desk.pay().reason == "nothing_is_owed"
    desk.move_to(date(2026, 2, 5))
    paid = desk.pay()
    assert paid.outcome == "paid"
    assert 200_000 < paid.amount_minor < 210_000
    assert desk.wallet() == 600_000 - paid.amount_minor
    assert desk.pay(number=92).reason == "nothing_is_owed"
    assert desk.agrees()


def test_an_empty_wallet_pays_what_it_has_and_then_nothing(desk: Desk) -> None:
    merchant = found(PLAN).merchants[0]
    desk.lend(product="merchant_instalments", merchant=merchant.id,
              merchant_account=f"merchant:{merchant.account_id}")  # fmt: skip
    desk.lend(2, amount_minor=100_000, months=12)
    desk.move_to(date(2026, 2, 5))
    assert desk.pay().amount_minor == 100_000
    assert desk.wallet() == 0
    assert desk.pay(number=92).outcome == "declined"
    assert desk.agrees()


def test_everything_is_repaid_early(desk: Desk) -> None:
    desk.lend()
    desk.lend(2)
    desk.move_to(date(2026, 1, 20))
    assert desk.pay(repays_all=True).amount_minor > 600_000
    with desk.database.reading() as connection:
        [loan] = loans.find(connection, application=UUID(int=1)).items
    assert loan.state is loans.LoanState.CLOSED
    assert desk.pay(number=93).outcome == "declined"
    assert desk.agrees()


def test_a_complaint_is_a_matter_with_a_day(desk: Desk) -> None:
    def complain(about: str, request: int = 1) -> Any:
        order = lending.ComplaintOrder(
            id=UUID(int=70 + len(about)), request=UUID(int=request), about=about
        )  # fmt: skip
        [answer] = desk.database.transact(lambda unit: lending.complain(unit, [order]))
        return answer

    assert complain("rude_call").reason == "loan_is_unknown"
    desk.lend()
    assert complain("rude_call").outcome == "received"
    assert complain("not_my_loan").outcome == "received"
    with desk.database.reading() as connection:
        found_open = complaints.open_matters(connection)
    assert {one.kind.value for one in found_open} == {"complaint", "repudiation"}
    assert all(one.due_on > one.received_on for one in found_open)


def test_the_same_requests_give_the_same_books(
    desk: Desk, keyring: Keyring, make_world: Callable[[], Database]
) -> None:
    other = open_desk(make_world(), keyring)
    told = []
    for one in (desk, other):
        one.lend()
        one.move_to(date(2026, 2, 5))
        one.pay()
        with one.database.reading() as connection:
            told.append(BookReader(connection, lending.LENDING_BOOK).head().hash)
    assert told[0] == told[1]


def test_the_report_tells_how_the_loans_stand(desk: Desk) -> None:
    desk.lend()
    told = report.report_town(desk.database).lending
    assert told is not None
    assert (told.loans, told.open, told.outstanding_minor) == (1, 1, 600_000)
    assert (told.overdue_loans, told.overdue_share, told.differences) == (0, 0.0, 0)


def test_a_day_of_the_lender_is_closed(desk: Desk) -> None:
    desk.lend()
    midnight = datetime(2026, 1, 5, 16, tzinfo=UTC)
    desk.database.transact(lambda unit: town.set_clock(desk.database, unit, midnight, 0))
    closed = lending.close_lending_day(desk.database, date(2026, 1, 5))
    assert closed.is_closed
    assert lending.close_lending_day(desk.database, date(2026, 1, 5)).is_closed
    assert desk.agrees()
