"""A shop with a customer: books, merchants and channels as the tests of payments begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa

from steelyard.base import Database, Gate, NoPolicyGate, UnitOfWork
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Funds,
    NewAccount,
    Transfer,
    accepted,
    open_accounts,
    open_book,
    open_chart,
    post,
)
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import (
    Capability,
    Finding,
    Method,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)
from steelyard.payments.model.orders import Mode, NewOrder, Order
from steelyard.payments.service import institution
from steelyard.payments.service.paying import Pay, Paying, Routed

CLIENTS, OWN = "clients", "own"
SHOP = UUID("00000000-0000-7000-8000-000000005409")
OTHER_SHOP = UUID("00000000-0000-7000-8000-00000000540b")
WALLET = "wallet:ann"


def open_shop(
    database: Database,
    *,
    merchants: tuple[UUID, ...] = (SHOP, OTHER_SHOP),
    wallet_minor: int = 1_000_000,
    currencies: tuple[str, ...] = ("CNY",),
) -> None:
    """Open the books, sign merchants, and give a customer money in our own book."""

    def work(unit: UnitOfWork) -> None:
        on = unit.now.date()
        for book, funds in ((CLIENTS, Funds.CLIENT), (OWN, Funds.OWN)):
            open_book(unit, book, name=book, funds=funds, business_on=on, timezone="Asia/Shanghai")
        open_chart(unit, OWN, "platform", currencies=list(currencies))
        institution.open_books(
            unit, Mode.LIVE, client_book=CLIENTS, own_book=OWN, currencies=currencies
        )
        for merchant in merchants:
            sign_merchant(unit, merchant, currencies=currencies)
        wallet = NewAccount(code=WALLET, currency="CNY", kind=AccountKind.LIABILITY, debit_limit=0)
        open_accounts(unit, CLIENTS, [wallet], cause="rule.test@1")
        if wallet_minor:
            top_up(unit, WALLET, wallet_minor)

    database.transact(work)


def sign_merchant(
    unit: UnitOfWork, merchant: UUID, *, currencies: tuple[str, ...] = ("CNY",)
) -> None:
    """Let a merchant take payments by every method."""
    unit.execute(
        "INSERT INTO payments.merchant (id, state, name, currencies, methods, created_at,"
        " updated_at) VALUES (:id, 'active', 'Tea 茶', :currencies, :methods, :at, :at)",
        id=merchant,
        currencies=list(currencies),
        methods=[method.value for method in Method],
        at=unit.now,
    )


def top_up(unit: UnitOfWork, account: str, amount_minor: int) -> None:
    """Let money from outside lie on an account of the client book."""
    accepted(
        post(
            unit,
            [
                Transfer(
                    id=unit.new_id(),
                    book=CLIENTS,
                    cause="rule.test@1",
                    debit=accounts.settlement("CNY"),
                    credit=account,
                    amount_minor=amount_minor,
                    currency="CNY",
                )
            ],
        )
    )


def an_order(**changes: object) -> NewOrder:
    """Return an order of 100.00 CNY of the shop."""
    id = uuid4()
    values: dict[str, object] = {
        "id": id,
        "merchant": SHOP,
        "app": "app_test",
        "mode": Mode.LIVE,
        "order_no": f"T-{id.hex[:12]}",
        "amount_minor": 10_000,
        "currency": "CNY",
        "subject": "Tea 茶叶",
    }
    return NewOrder(**{**values, **changes})  # type: ignore[arg-type]


def balance(database: Database, code: str, book: str = CLIENTS) -> int:
    """Return credits less debits of an account; 0 where it was never opened."""
    with database.reading() as connection:
        found = BookReader(connection, book).balances([code])
    return -found.get(code, 0)


def sum_of_postings(database: Database) -> int:
    """Return debits less credits over all accounts of all books: always nothing."""
    with database.reading() as connection:
        found = connection.execute(
            sa.text("SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger.account")
        )
        return int(found.scalar_one())


EVERYTHING = Capability(methods=tuple(Method))
NOT_FOUND = Finding(said=Said.NOT_FOUND)
CLOSED = Finding(said=Said.CLOSED)
Answering = Callable[[PayRequest], Finding]


def _succeeds(request: PayRequest) -> Finding:
    return Finding(
        said=Said.SUCCEEDED,
        amount_minor=request.amount_minor,
        currency=request.currency,
        reference=f"R{request.number[:10]}",
    )


@dataclass(slots=True)
class ScriptedChannel:
    """A channel in memory that answers as a test wants; it remembers what it was asked.

    Attributes
    ----------
    paid, queried, closed : what it answers; `queried` and `closed` by number, else as `rest`
    """

    code: str = "scripted"
    paid: Answering = _succeeds
    rest: Finding = NOT_FOUND
    close: Finding = CLOSED
    refunded: Callable[[RefundRequest], Finding] = lambda _: Finding(said=Said.SUCCEEDED)
    queried: dict[str, Finding] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: dict[str, PayRequest] = field(default_factory=dict)

    def pay(self, request: PayRequest) -> Finding:
        self.asked.append(("pay", request.number))
        self.sent[request.number] = request
        return self.paid(request)

    def query(self, query: Query) -> Finding:
        self.asked.append(("query", query.number))
        return self.queried.get(query.number, self.rest)

    def refund(self, request: RefundRequest) -> Finding:
        self.asked.append(("refund", request.number))
        return self.refunded(request)

    def cancel(self, query: Query) -> Finding:
        self.asked.append(("cancel", query.number))
        return self.close

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        raise AssertionError("this channel sends no notices")

    def statement(self, on: date) -> StatementFile | None:
        return None

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


@dataclass(slots=True)
class ScriptedDesk:
    """Has one scripted channel, that can do everything; `balance` is known as well."""

    channel: ScriptedChannel = field(default_factory=ScriptedChannel)
    capacity: Capability = EVERYTHING

    def get(self, code: str) -> ScriptedChannel:
        assert code == self.channel.code
        return self.channel

    def capability(self, code: str) -> Capability:
        return self.capacity


@dataclass(frozen=True, slots=True)
class ScriptedRouting:
    """Sends everything to one channel, and what is paid out of our own book to our own."""

    code: str

    def route(self, order: Order, how: Pay, now: datetime) -> Routed:
        return Routed("balance" if how.method is Method.BALANCE else self.code)

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Keep nothing."""


@contextmanager
def paying(database: Database, desk: ScriptedDesk, gate: Gate | None = None) -> Iterator[Paying]:
    """Have what pays orders through the scripted channel for a while."""

    opened = Paying(database, gate or NoPolicyGate(), desk, ScriptedRouting(desk.channel.code))
    try:
        yield opened
    finally:
        opened.close()
