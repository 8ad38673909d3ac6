"""Movements between an own book and a client's account: both halves, or none."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from uuid import uuid4

import pytest

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Refusal
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    Heading,
    NewAccount,
    accepted,
    open_accounts,
    open_book,
    post,
)
from steelyard.payments import wallets

CAUSE = "rule.test@1"


@pytest.fixture
def books(database: Database) -> Database:
    """Clients' money in one book, a lender's in another, each facing the other."""

    def work(unit: UnitOfWork) -> None:
        for book, funds in (("clients", Funds.CLIENT), ("lender", Funds.OWN)):
            open_book(unit, book, name=book, funds=funds, business_on=date(2026, 3, 2))
        theirs = NewAccount.mirror("lender", currency="CNY", kind=AccountKind.LIABILITY)
        wallet = NewAccount(
            code="wallet", currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0
        )
        open_accounts(unit, "clients", [theirs, wallet], cause=CAUSE)
        ours = NewAccount.mirror("clients", currency="CNY", kind=AccountKind.ASSET)
        loans = NewAccount(code="loans", currency="CNY", kind=AccountKind.ASSET)
        open_accounts(unit, "lender", [ours, loans], cause=CAUSE)

    database.transact(work)
    return database


def new(amount_minor: int = 500, **changes: object) -> wallets.NewMovement:
    made = wallets.NewMovement(
        entry=uuid4(), own_book="lender", book="clients", account="wallet",
        amount_minor=amount_minor, currency="CNY", cause=CAUSE, about="loan:7",
        note={"loan": 7},
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def move(unit: UnitOfWork, wanted: wallets.NewMovement, *, is_debit: bool = False) -> None:
    heading = Heading(entry=wanted.entry, book="lender", currency="CNY", cause=CAUSE)
    mirror = NewAccount.mirror("clients", currency="CNY", kind=AccountKind.ASSET).code
    legs = (mirror, "loans") if is_debit else ("loans", mirror)
    verb = wallets.debit if is_debit else wallets.pay_out
    own = heading.transfer(0, *legs, wanted.amount_minor)
    accepted(post(unit, [own, verb(unit, wanted)]))


def balance(database: Database, book: str, code: str) -> int:
    with database.reading() as connection:
        return BookReader(connection, book).balance(code)


def test_what_is_paid_out_and_taken_stands_in_both_books_and_is_written_down(
    books: Database,
) -> None:
    paid, taken = new(), new(200)
    books.transact(lambda unit: move(unit, paid))
    books.transact(lambda unit: move(unit, taken, is_debit=True), actor="staff:1")
    assert balance(books, "clients", "wallet") == 300
    assert balance(books, "lender", "loans") == 300
    with books.reading() as connection:
        first = wallets.list_movements(connection, about="loan:7", limit=1)
        rest = wallets.list_movements(connection, about="loan:7", limit=1, cursor=first.next)
        assert wallets.list_movements(connection, about="loan:8").items == ()
        (record,) = [
            one
            for one in BookReader(connection, "clients").movements(limit=9).items
            if one.id == rest.items[0].id
        ]
    (debit,), (pay_out,) = first.items, rest.items
    assert (debit.kind, debit.amount_minor, debit.actor) == ("debit", 200, "staff:1")
    assert (pay_out.kind, pay_out.account, pay_out.own_book) == ("pay_out", "wallet", "lender")
    assert (record.cause, record.amount_minor) == (CAUSE, 500), "the transfer has the same id"
    assert rest.next is None


def test_what_a_wallet_has_not_leaves_no_trace(books: Database) -> None:
    with pytest.raises(Refusal, match="exceeds_debit_limit"):
        books.transact(lambda unit: move(unit, new(1), is_debit=True))
    with books.reading() as connection:
        assert wallets.list_movements(connection).items == ()


@pytest.mark.parametrize("amount_minor", [0, -5])
def test_nothing_is_no_movement(books: Database, amount_minor: int) -> None:
    with pytest.raises(wallets.MovementIsEmpty):
        books.transact(lambda unit: wallets.pay_out(unit, new(amount_minor)))
