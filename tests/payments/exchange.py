"""A house that exchanges currency: rates, reserves and a scripted provider, as its tests begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from steelyard.base import Database, UnitOfWork
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments.model import accounts
from steelyard.payments.model.crossborder import Deal, Delivery, Remittance, Word
from steelyard.payments.model.fx import Lock, Tick
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import Quote, QuoteAsk
from steelyard.payments.service import fx, institution, quotes
from tests.payments.till import CLIENTS, SHOP, open_shop

CURRENCIES = ("CNY", "USD", "EUR", "JPY", "KWD")
OWN_MINOR = 10_000_000
ACCEPTED = Delivery(word=Word.ACCEPTED)
UNKNOWN = Delivery(word=Word.UNKNOWN)


@dataclass
class ScriptedFeed:
    """A feed that says what a test wants."""

    source: str = "desk"
    ticks: list[Tick] = field(default_factory=list)

    def latest(self, now: datetime) -> Sequence[Tick]:
        return self.ticks


def tick(
    currency: str, mid: str, at: datetime, *, source: str = "desk", pivot: str = "EUR"
) -> Tick:
    return Tick(
        source=source,
        pivot=pivot,
        currency=currency,
        bid=Decimal(mid) * Decimal("0.9995"),
        ask=Decimal(mid) * Decimal("1.0005"),
        observed_at=at,
    )


def open_exchange(database: Database, *, own_minor: int = OWN_MINOR) -> None:
    """Open the shop in many currencies, with rates of the central bank and our money beside."""
    open_shop(database, currencies=CURRENCIES)
    fx.pull(database, fx.EcbFeed())

    def work(unit: UnitOfWork) -> None:
        for currency in ("CNY", "USD") if own_minor else ():
            fx.top_up(unit, Mode.LIVE, currency, own_minor)
        earned(unit, SHOP, "CNY", 1_000_000)

    database.transact(work)


def earned(
    unit: UnitOfWork, merchant: UUID, currency: str, minor: int, *, book: str = CLIENTS
) -> None:
    """Let a merchant have cleared money."""
    code = accounts.available(merchant, currency)
    institution.have_accounts(unit, book, [(code, currency)])
    one = Transfer(
        id=unit.new_id(),
        book=book,
        cause="rule.test@1",
        debit=accounts.settlement(currency),
        credit=code,
        amount_minor=minor,
        currency=currency,
    )
    accepted(post(unit, [one]))


def a_quote(database: Database, **changes: object) -> Quote:
    """Quote 1,000.00 CNY to USD for the shop."""
    values: dict[str, object] = {
        "id": uuid4(),
        "mode": Mode.LIVE,
        "holder": SHOP,
        "sell": "CNY",
        "buy": "USD",
        "lock": Lock.MIN_5,
    }
    if "buy_minor" not in changes:
        values["sell_minor"] = 100_000
    ask = QuoteAsk(**{**values, **changes})  # type: ignore[arg-type]
    return database.transact(lambda unit: quotes.make(unit, ask))


@dataclass(slots=True)
class ScriptedRemitter:
    """A provider in memory; it remembers what it was asked.

    Attributes
    ----------
    dealt : rate it deals at, given the quoted one; said : what it answers to `send`
    """

    code: str = "alpha"
    dealt: Callable[[Deal], Decimal | None] = lambda deal: deal.quoted
    said: Delivery = ACCEPTED
    later: Delivery = UNKNOWN
    recalled: Delivery = UNKNOWN
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: dict[str, Remittance] = field(default_factory=dict)

    def execute(self, deal: Deal) -> Decimal | None:
        self.asked.append(("execute", deal.number))
        return self.dealt(deal)

    def send(self, remittance: Remittance) -> Delivery:
        self.asked.append(("send", remittance.number))
        self.sent[remittance.number] = remittance
        return self.said

    def query(self, number: str) -> Delivery:
        self.asked.append(("query", number))
        return self.later

    def recall(self, number: str) -> Delivery:
        self.asked.append(("recall", number))
        return self.recalled

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]
