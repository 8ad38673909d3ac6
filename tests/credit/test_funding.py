"""Paying with credit: a line drawn at a merchant through payments, and taken back by refunds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from steelyard.base import NoPolicyGate, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.credit import funding as lending
from steelyard.credit import lines, loans
from steelyard.ledger import BookReader, Funds, books, open_book
from steelyard.payments import (
    accounts,
    channel,
    channel_desk,
    funding,
    institution,
    merchants,
    orders,
    paying,
    refunds,
    wallets,
)
from tests.credit.applicants import Counter
from tests.credit.applicants import counter as counter
from tests.credit.lender import TOWN
from tests.credit.test_lines import granted, read

SHOP = UUID(int=77)


class Straight:
    """Routes everything to the credit lines."""

    def route(self, order: orders.Order, how: paying.Pay, now: datetime) -> paying.Routed:
        return paying.Routed(funding.CREDIT)

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Nothing was chosen."""


class Till:
    """A merchant that takes credit."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.database = counter.database
        self.channel = funding.FundingChannel(self.database, lending.CreditLines())
        self.desk = channel_desk.ChannelDesk(self.database, Keyring.for_tests())
        self.desk.add(self.channel, funding.capability_of())
        self.payer = paying.Paying(self.database, NoPolicyGate(), self.desk, Straight())

        def open_(unit: UnitOfWork) -> None:
            there = {book.id: book for book in books(unit.connection)}
            if "own" not in there:
                on = there[TOWN].business_on
                open_book(unit, "own", name="Own", funds=Funds.OWN, business_on=on)
            institution.open_books(unit, institution.Mode.LIVE, client_book=TOWN, own_book="own")
            merchants.admit(unit, SHOP, name="Tea", cause="rule.test@1")

        counter.run(open_)

    def buy(
        self, line: lines.Line, amount_minor: int, *, party: UUID | None = None
    ) -> paying.Result:
        order = orders.NewOrder(
            id=uuid4(),
            merchant=SHOP,
            app="till",
            mode=orders.Mode.LIVE,
            order_no=uuid4().hex,
            amount_minor=amount_minor,
            currency="CNY",
            subject="Tea",
            payer=orders.Payer(customer=party or line.party, instrument=str(line.id)),
        )
        self.counter.run(lambda unit: orders.create(unit, [order]))
        how = paying.Pay(attempt=uuid4(), method=channel.Method.CREDIT)
        return self.payer.pay(order.id, how, actor="system:test")

    def balance(self, code: str) -> int:
        with self.database.reading() as connection:
            return BookReader(connection, TOWN).balances([code]).get(code, 0)

    def owed(self) -> int:
        return -self.balance(accounts.pending(SHOP, "CNY"))

    def refund(self, order: orders.Order, amount_minor: int) -> refunds.Refund:
        new = refunds.NewRefund(
            id=uuid4(), order=order.id, refund_no=uuid4().hex, amount_minor=amount_minor
        )
        (asked,) = self.counter.run(lambda unit: refunds.ask(unit, [new], desk=self.desk))
        assert isinstance(asked, refunds.Refund), asked
        refunds.send(self.database, self.desk, [asked.id])
        with self.database.reading() as connection:
            return refunds.read(connection, asked.id)


@pytest.fixture
def till(counter: Counter) -> Till:
    return Till(counter)


def test_a_purchase_is_drawn_under_the_line_and_owed_to_the_merchant(till: Till) -> None:
    line = granted(till.counter)
    bought = till.buy(line, 200_000)
    assert (bought.order.state, bought.attempt.channel) == ("succeeded", "credit")
    assert read(till.counter, line.id).used_minor == 200_000
    assert till.counter.wallet(line.party) == 0, "the merchant was paid, not the customer"
    assert till.owed() == 200_000
    assert till.balance(accounts.in_transit("credit", "CNY")) == 0
    with till.database.reading() as connection:
        (id,) = lines.draws_of(connection, line.id)
        loan = loans.read(connection, id)
        (moved, *_) = wallets.list_movements(connection, about=loan.subject).items
    assert (moved.kind, moved.amount_minor) == ("pay_out", 200_000)
    assert moved.account == accounts.in_transit("credit", "CNY")
    assert bought.attempt.reference == str(loan.id)


def test_a_refund_comes_off_what_is_owed(till: Till) -> None:
    line = granted(till.counter)
    bought = till.buy(line, 200_000)
    back = till.refund(bought.order, 50_000)
    assert back.state == "succeeded"
    assert till.owed() == 150_000
    assert till.balance(accounts.in_transit("credit", "CNY")) == 0
    assert till.counter.wallet(line.party) == 0
    with till.database.reading() as connection:
        (id,) = lines.draws_of(connection, line.id)
        found = loans.read(connection, id)
    assert found.standing is not None
    assert found.standing.principal_minor == 150_000
    again = till.channel.refund(
        channel.RefundRequest(
            number=back.id.hex, payment_number=bought.attempt.number, payment_reference=None,
            amount_minor=50_000, total_minor=200_000, currency="CNY", sent_at=back.asked_at,
        )
    )  # fmt: skip
    assert again.said == "succeeded"
    with till.database.reading() as connection:
        same = loans.read(connection, id)
    assert same.version == found.version, "a repetition takes nothing back a second time"


def test_what_the_line_refuses_is_a_decline_and_nothing_is_lent(till: Till) -> None:
    line = granted(till.counter)
    much = till.buy(line, 600_000)
    assert (much.order.state, much.attempt.code) == ("open", "limit_does_not_suffice")
    stolen = till.buy(line, 1_000, party=uuid4())
    assert (stolen.attempt.state, stolen.attempt.code) == ("declined", "line_is_unknown")
    assert (till.owed(), read(till.counter, line.id).used_minor) == (0, 0)
    query = channel.Query(number=much.attempt.number, reference=None, sent_at=much.attempt.sent_at)
    assert till.channel.query(query).said == "not_found"
    assert till.channel.cancel(query).said == "closed"


def test_sent_twice_it_is_lent_once(till: Till) -> None:
    line = granted(till.counter)
    bought = till.buy(line, 100_000)
    attempt = bought.attempt
    request = channel.PayRequest(
        number=attempt.number, amount_minor=100_000, currency="CNY", method=attempt.method,
        subject="Tea", merchant=SHOP.hex, sent_at=attempt.sent_at, instrument=str(line.id),
    )  # fmt: skip
    assert till.channel.pay(request).reference == attempt.reference
    assert read(till.counter, line.id).used_minor == 100_000


def test_an_offer_says_what_it_costs(till: Till) -> None:
    line = granted(till.counter)
    wanted = funding.FundingRequest(
        number=uuid4(), party=line.party, instrument=str(line.id), merchant=SHOP,
        amount_minor=100_000, currency="CNY", book=TOWN, payee="",
    )  # fmt: skip
    with till.database.reading() as connection:
        offer = lending.CreditLines().offer(connection, wanted)
    assert isinstance(offer, funding.FundingOffer)
    assert offer.cost_minor > 0 < offer.payments
