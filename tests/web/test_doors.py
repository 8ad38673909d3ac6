"""The live page over the real rooms: what it shows is what the doors of the ledger say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from steelyard import ledger
from steelyard.base import Database
from steelyard.base.http import Platform
from steelyard.kernel import Refusal, SteppingClock
from steelyard.ledger import AccountKind, Funds, Kind, NewAccount, Transfer
from steelyard.web.live.source import DoorSource
from tests.web.fixture import FakePlatform, settings_of

DAY = date(2026, 3, 2)
WALLETS = ("wallet:a", "wallet:b")


@dataclass
class Books:
    """A book of client funds with a bank account and two wallets."""

    database: Database
    source: DoorSource

    def post(
        self, debit: str, credit: str, amount: int, *, book: str = "client", **more: object
    ) -> UUID:
        id = uuid4()
        transfer = Transfer(
            id=id,
            book=book,
            cause="test@1",
            debit=debit,
            credit=credit,
            amount_minor=amount,
            currency="CNY",
            **more,  # type: ignore[arg-type]
        )
        self.database.transact(lambda unit: ledger.accepted(ledger.post(unit, [transfer])))
        return id


@pytest.fixture
def books(database: Database) -> Books:
    with database.unit_of_work() as unit:
        ledger.open_book(unit, "client", name="Clients", funds=Funds.CLIENT, business_on=DAY)
        accounts = [NewAccount(code="bank:main", currency="CNY", kind=AccountKind.ASSET)]
        accounts += [
            NewAccount(code=code, currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0)
            for code in WALLETS
        ]
        ledger.open_accounts(unit, "client", accounts, cause="test@1")
    platform: Platform = FakePlatform(settings_of(), database=database)  # type: ignore[assignment]
    return Books(database, DoorSource(platform))


def test_an_empty_house_has_nothing_and_says_so(database: Database) -> None:
    platform: Platform = FakePlatform(settings_of(), database=database)  # type: ignore[assignment]
    source = DoorSource(platform)
    glance = source.look({})
    assert (glance.sample.transfers, glance.sample.facts, glance.accounts) == (0, 0, 0)
    assert (glance.parties, glance.balances, glance.movements) == (0, (), ())
    assert glance.credit is None
    assert source.count().transfers == 0


def test_a_look_shows_what_was_posted(books: Books) -> None:
    deposit = books.post("bank:main", "wallet:a", 50_000)
    payment = books.post("wallet:a", "wallet:b", 12_345)
    glance = books.source.look({})
    assert glance.sample.transfers == 2
    assert glance.accounts == 3
    assert glance.sample.facts > 0
    assert [m.id for m in glance.movements] == [str(payment), str(deposit)]
    newest = glance.movements[0]
    assert (newest.from_, newest.to, newest.amount) == ("wallet:a", "wallet:b", "123.45")
    (row,) = glance.balances
    assert (row.book, row.funds, row.currency, row.exponent) == ("client", "client", "CNY", 2)
    assert (row.debits, row.credits, row.difference) == ("500.00", "500.00", "0.00")
    assert glance.speed == 1.0


def test_only_movements_after_the_positions_are_brought(books: Books) -> None:
    books.post("bank:main", "wallet:a", 50_000)
    first = books.source.look({})
    assert books.source.look(first.positions).movements == ()
    new = books.post("wallet:a", "wallet:b", 1)
    assert [m.id for m in books.source.look(first.positions).movements] == [str(new)]


def test_what_happened_last_comes_first_whatever_the_business_clock_says(
    books: Books, clock: SteppingClock
) -> None:
    books.post("bank:main", "wallet:a", 50_000)
    clock.advance(timedelta(days=-300))
    with books.database.unit_of_work() as unit:
        ledger.open_book(unit, "town", name="Town", funds=Funds.OWN, business_on=clock.now().date())
        accounts = [
            NewAccount(code=code, currency="CNY", kind=AccountKind.ASSET) for code in WALLETS
        ]
        ledger.open_accounts(unit, "town", accounts, cause="test@1")
    later = books.post("wallet:a", "wallet:b", 7, book="town")
    assert [m.book for m in books.source.look({}).movements] == ["town", "client"]
    assert books.source.look({}).movements[0].id == str(later)


def test_entries_carry_the_balance_after_the_movement_and_not_of_today(books: Books) -> None:
    deposit = books.post("bank:main", "wallet:a", 50_000)
    payment = books.post("wallet:a", "wallet:b", 12_000)
    books.post("wallet:a", "wallet:b", 8_000)
    told = books.source.movement("client", payment)
    assert [(e.side, e.account, e.amount, e.balance) for e in told.entries] == [
        ("debit", "wallet:a", "120.00", "380.00"),
        ("credit", "wallet:b", "120.00", "120.00"),
    ]
    first = books.source.movement("client", deposit)
    assert [e.balance for e in first.entries] == ["500.00", "500.00"]
    assert [event.kind for event in told.events] == ["ledger.TransferPosted"]
    assert told.events[0].payload["id"] == str(payment)
    assert len(told.hash) == 64


def test_a_hold_moves_no_balance_and_is_linked_to_what_resolves_it(books: Books) -> None:
    books.post("bank:main", "wallet:a", 50_000)
    hold = books.post("wallet:a", "wallet:b", 20_000, kind=Kind.HOLD)
    told = books.source.movement("client", hold)
    assert told.movement.kind == "hold"
    assert told.movement.amount == "200.00"
    assert [(e.amount, e.balance) for e in told.entries] == [("0.00", "500.00"), ("0.00", "0.00")]
    post = uuid4()
    part = Transfer(
        id=post, book="client", cause="test@1", kind=Kind.POST, refers_to=hold, amount_minor=5_000
    )
    books.database.transact(lambda unit: ledger.accepted(ledger.post(unit, [part])))
    resolved = books.source.movement("client", post)
    assert resolved.refers_to == str(hold)
    assert [m.id for m in resolved.linked] == [str(hold)]
    assert [e.balance for e in resolved.entries] == ["450.00", "50.00"]


@pytest.mark.parametrize(
    ("book", "code"), [("client", "original_not_found"), ("nowhere", "book_not_found")]
)
def test_what_is_not_there_is_refused(books: Books, book: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        books.source.movement(book, uuid4())
    assert refused.value.code == code
