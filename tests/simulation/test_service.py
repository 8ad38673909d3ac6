"""The use cases of the town, on a real database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from steelyard.base import (
    ClockGoesBackwards,
    Database,
    NoPolicyGate,
    Outcome,
    Question,
    Verdict,
)
from steelyard.base.crypto import Keyring
from steelyard.decisions import Use
from steelyard.decisions.service.log import DecisionIsExpired
from steelyard.kernel import SteppingClock
from steelyard.ledger import (
    AccountKind,
    BookReader,
    NewAccount,
    Transfer,
    accepted,
    open_accounts,
    post,
)
from steelyard.parties import NewCustomer, registry
from steelyard.payments import accounts, at_once, institution, merchants, orders
from steelyard.simulation import Plan, cards, found, reports, town
from steelyard.simulation.model.state import SETTLEMENT

from .conftest import PLAN

APPROVED = Verdict(Outcome.APPROVE, "no_policy@0")
OPENS_AT = datetime(2026, 1, 4, 16, 0, tzinfo=UTC)


class Strict:
    """A gate that declines amounts over 500.00 and asks for more over 400.00."""

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        self.asked = dict(facts), now
        amount = facts.get("amount_minor")
        if isinstance(amount, int) and amount > 50_000:
            return Verdict(Outcome.DECLINE, "strict@3", ("amount_too_large",))
        if isinstance(amount, int) and amount > 40_000:
            return Verdict(Outcome.STEP_UP, "strict@3")
        return Verdict(Outcome.APPROVE, "strict@3")

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        return tuple(self.ask(scene, q.facts, q.at) for q in questions)


@dataclass(frozen=True)
class Shopper:
    """A registered customer with some money, and a merchant to spend it at."""

    database: Database
    customer: UUID
    party: UUID
    card: UUID
    account: str
    merchant: UUID
    shop: UUID

    def order(self, amount_minor: int, **changes: Any) -> cards.CardOrder:
        order = cards.CardOrder(
            id=uuid4(),
            at=OPENS_AT + timedelta(hours=3),
            customer=self.customer,
            card=self.card,
            account=self.account,
            merchant=self.merchant,
            terminal=uuid4(),
            amount_minor=amount_minor,
            currency="CNY",
        )
        return replace(order, **changes)

    def pay(self, *orders: cards.CardOrder, gate: Any = None) -> tuple[cards.CardAnswer, ...]:
        asked = cards.ask_about_payments(self.database, gate or NoPolicyGate(), orders)
        return self.database.transact(lambda unit: cards.pay_by_card(unit, asked))

    def refund(self, order: cards.CardOrder, **changes: Any) -> cards.CardAnswer:
        back = cards.RefundOrder(
            id=uuid4(),
            at=order.at + timedelta(days=1),
            payment=order.id,
        )
        orders = [replace(back, **changes)]
        return self.database.transact(lambda unit: cards.refund_card_payments(unit, orders))[0]

    def report(self, *said: tuple[cards.CardOrder, bool], days: int = 3) -> list[str | None]:
        """Report payments; returns why each report was declined, None where it was taken."""
        orders = [
            reports.CardReport(
                payment=order.id,
                at=order.at + timedelta(days=days),
                card=order.card,
                is_fraud=is_fraud,
            )
            for order, is_fraud in said
        ]
        answers = self.database.transact(lambda unit: reports.report_card_payments(unit, orders))
        assert [answer.id for answer in answers] == [order.id for order, _ in said]
        return [answer.reason for answer in answers]

    def balance(self, account: str, book: str = "town") -> int:
        with self.database.reading() as connection:
            return BookReader(connection, book).balance(account)

    def owed(self) -> int:
        """What the merchant is owed, cleared or not."""
        return sum(
            self.balance(code)
            for code in (accounts.pending(self.shop, "CNY"), accounts.available(self.shop, "CNY"))
        )

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What was told of payments with the card, and of reports."""
        with self.database.unit_of_work() as unit:
            rows = unit.execute(
                "SELECT kind, payload FROM events.log WHERE payload ->> 'card' = :c AND kind IN"
                " ('payments.PaymentSucceeded', 'payments.AttemptDeclined',"
                " 'payments.RefundSucceeded', 'simulation.CardPaymentReported') ORDER BY sequence",
                c=str(self.card),
            )
            return [(row.kind.partition(".")[2], row.payload) for row in rows]


@pytest.fixture
def shopper(founded: Database, keyring: Keyring) -> Shopper:
    customer, card, account = uuid4(), uuid4(), uuid4()
    shop = found(PLAN).merchants[0]
    code = f"wallet:{account}"

    def sign_up(unit: Any) -> UUID:
        new = NewCustomer(origin=f"town:customer/{customer}")
        party = registry.register_customer(unit, keyring, new, verdict=APPROVED).id
        wallet = NewAccount(
            code=code,
            currency="CNY",
            kind=AccountKind.LIABILITY,
            owner=f"party:{party}",
            debit_limit=0,
        )
        open_accounts(unit, "town", [wallet], cause="rule.test@1")
        accepted(
            post(
                unit,
                [
                    Transfer(
                        id=uuid4(),
                        book="town",
                        cause="rule.test@1",
                        debit=SETTLEMENT,
                        credit=code,
                        amount_minor=100_000,
                        currency="CNY",
                    )
                ],
            )
        )
        return party

    party = founded.transact(sign_up)
    with founded.reading() as connection:
        (seller,) = registry.find_origins(connection, [f"town:merchant/{shop.id}"]).values()
    return Shopper(founded, customer, party, card, code, shop.id, seller)


# Founding


def test_founding_opens_two_books_and_settles_the_merchants(founded: Database) -> None:
    view = town.read_town(founded)
    assert view.state.is_settled
    assert view.state.played_through == view.clock.now == OPENS_AT
    assert view.clock.speed == 0
    assert view.database_bytes > 1_000_000
    with founded.reading() as connection:
        client, house = BookReader(connection, "town"), BookReader(connection, "house")
        assert client.book.funds == "client"
        assert house.book.funds == "own"
        assert client.book.timezone == "Asia/Shanghai"
        assert client.book.business_on == house.book.business_on == PLAN.opens_on
        opened = {one.code: one for one in client.accounts(limit=200).items}
        shops = found(PLAN).merchants
        origins = [f"town:merchant/{shop.id}" for shop in shops]
        parties = registry.find_origins(connection, origins)
        assert len(parties) == len(shops)
        for party in parties.values():
            assert merchants.read(connection, party).state == "active"
            assert opened[accounts.pending(party, "CNY")].owner == f"party:{party}"
        legal = registry.read_party(connection, parties[origins[0]]).legal
        assert legal is not None
        assert legal.number_is_checked
        house_of = institution.read(connection, institution.Mode.LIVE)
        assert (house_of.client_book, house_of.own_book) == ("town", "house")
        assert accounts.settlement("CNY") == SETTLEMENT
        assert SETTLEMENT in opened


def test_founding_again_changes_nothing(founded: Database, keyring: Keyring) -> None:
    def counts() -> tuple[int, ...]:
        with founded.unit_of_work() as unit:
            tables = ("events.log", "ledger.account", "parties.party")
            return tuple(unit.execute(f"SELECT count(*) FROM {t}").scalar_one() for t in tables)

    before = counts()
    state = town.found_town(founded, keyring, NoPolicyGate(), PLAN, history_days=7)
    assert state == town.read_town(founded).state
    assert counts() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", 5), ("customers", 13), ("terminals", 31), ("opens_on", date(2026, 1, 6))],
)
def test_a_home_has_one_town(founded: Database, keyring: Keyring, field: str, value: Any) -> None:
    other = replace(PLAN, **{field: value})
    with pytest.raises(town.TownIsFoundedOtherwise):
        town.found_town(founded, keyring, NoPolicyGate(), other, history_days=7)


def test_an_interrupted_founding_is_completed_to_the_same_books(
    make_world: Any, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken = make_world(), make_world()
    monkeypatch.setattr(town, "_MERCHANTS_A_STEP", 4)
    town.found_town(straight, keyring, NoPolicyGate(), PLAN, history_days=7)

    class Dies(NoPolicyGate):
        asked = 0

        def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
            self.asked += 1
            if self.asked == 7:
                raise KeyboardInterrupt
            return super().ask(scene, facts, now)

    with pytest.raises(KeyboardInterrupt):
        town.found_town(broken, keyring, Dies(), PLAN, history_days=7)
    assert not town.read_town(broken).state.is_settled
    town.found_town(broken, keyring, NoPolicyGate(), PLAN, history_days=7)
    assert town.read_town(broken).state.is_settled

    def codes(database: Database) -> list[str]:
        with database.reading() as connection:
            return [a.code for a in BookReader(connection, "town").accounts(limit=200).items]

    assert codes(broken) == codes(straight)


def test_a_town_without_anybody_cannot_be_founded(world: Database, keyring: Keyring) -> None:
    empty = Plan(seed=1, customers=0, terminals=1, opens_on=PLAN.opens_on)
    with pytest.raises(town.TownIsTooSmall):
        town.found_town(world, keyring, NoPolicyGate(), empty, history_days=7)
    with pytest.raises(town.TownIsNotFounded):
        town.read_town(world)


def test_a_town_cannot_open_in_the_past_of_the_clock(world: Database, keyring: Keyring) -> None:
    late = OPENS_AT + timedelta(days=1)
    world.transact(lambda unit: town.set_clock(world, unit, late, 0))
    with pytest.raises(ClockGoesBackwards):
        town.found_town(world, keyring, NoPolicyGate(), PLAN, history_days=7)


# Clock and progress


def test_the_clock_runs_and_changes_its_speed_where_it_stands(
    founded: Database, real: SteppingClock
) -> None:
    noon = OPENS_AT + timedelta(hours=12)
    read = founded.transact(lambda unit: town.set_clock(founded, unit, noon, 60))
    assert (read.now, read.speed) == (noon, 60)
    real.advance(timedelta(seconds=2))
    read = founded.transact(lambda unit: town.set_clock(founded, unit, None, 0))
    assert (read.now, read.speed) == (noon + timedelta(minutes=2), 0)
    real.advance(timedelta(seconds=2))
    assert town.read_town(founded).clock == read
    with pytest.raises(ClockGoesBackwards):
        founded.transact(lambda unit: town.set_clock(founded, unit, noon, 0))


def test_without_a_stored_clock_a_new_speed_starts_from_the_real_one(
    world: Database, real: SteppingClock
) -> None:
    read = world.transact(lambda unit: town.set_clock(world, unit, None, 2))
    assert (read.now, read.speed) == (real.now(), 2)


def test_progress_goes_forward_and_beats_the_clock(founded: Database, real: SteppingClock) -> None:
    def note(played: datetime, playing: datetime, *, done: bool = False) -> town.ClockReading:
        return founded.transact(
            lambda unit: town.note_progress(
                founded,
                unit,
                played_through=played,
                playing_through=playing,
                history_done=done,
                resting=None,
            )
        )

    later, latest = OPENS_AT + timedelta(hours=1), OPENS_AT + timedelta(hours=2)
    note(later, latest)
    assert town.resume_clock(founded, speed=9) == town.ClockReading(OPENS_AT, 0)
    founded.transact(lambda unit: town.set_clock(founded, unit, latest, 3600))
    real.advance(timedelta(seconds=1))
    assert note(latest, latest, done=True).now == latest + timedelta(hours=1)
    for played, playing in ((later, latest), (latest, later)):
        with pytest.raises(town.TownDoesNotGoBack):
            note(played, playing)
    # Nine hours of silence are not lived through.
    real.advance(timedelta(hours=9))
    resumed = town.resume_clock(founded, speed=120)
    assert resumed == town.ClockReading(latest + timedelta(hours=1), 120)
    assert note(latest, latest).now == latest + timedelta(hours=1)
    assert town.read_town(founded).state.history_done


def test_without_a_town_the_clock_is_left_alone(world: Database) -> None:
    assert town.resume_clock(world, speed=120) is None


# Card payments


def test_a_payment_moves_money_with_the_gates_cause_and_is_told(shopper: Shopper) -> None:
    gate = Strict()
    order = shopper.order(1_250)
    (answer,) = shopper.pay(order, gate=gate)
    assert answer == cards.CardAnswer(order.id, cards.CardOutcome.ACCEPTED, "strict@3")
    assert shopper.balance(shopper.account) == 98_750
    assert shopper.owed() == 1_250
    with shopper.database.reading() as connection:
        history = orders.read(connection, cards.order_id(order.id))
        (movement,) = BookReader(connection, "town").movements(limit=1).items
    assert movement.cause == "strict@3"
    assert history.order.state is orders.OrderState.SUCCEEDED
    assert history.order.payer.account == order.account
    (attempt,) = history.attempts
    assert (attempt.id, attempt.method, attempt.channel) == (order.id, "balance", "balance")
    facts, asked_at = gate.asked
    assert asked_at == order.at
    assert facts["customer"] == shopper.party
    assert set(facts) == {
        "customer", "card", "account", "merchant", "terminal", "amount_minor",
        "currency", "method", "scenario",
    }  # fmt: skip
    ((kind, payload),) = shopper.told()
    assert kind == "PaymentSucceeded"
    assert payload["customer"] == str(shopper.party)
    assert payload["attempt"] == str(order.id)
    with shopper.database.unit_of_work() as unit:
        row = unit.execute(
            "SELECT occurred_at, recorded_at FROM events.log WHERE subject = :s",
            s=f"payment:{cards.order_id(order.id)}",
        ).one()
    assert row.occurred_at == order.at
    assert row.recorded_at == OPENS_AT


def test_each_payment_of_a_batch_is_judged_by_what_is_left(shopper: Shopper) -> None:
    bought = [shopper.order(n) for n in (30_000, 50_001, 40_001, 40_000, 30_001, 30_000)]
    answers = shopper.pay(*bought, gate=Strict())
    assert [answer.reason for answer in answers] == [
        None,
        "amount_too_large",
        "step_up",
        None,
        "exceeds_debit_limit",
        None,
    ]
    assert shopper.balance(shopper.account) == 0
    told = shopper.told()
    assert [UUID(payload["attempt"]) for _, payload in told] == [order.id for order in bought]
    assert [payload.get("reason") for _, payload in told] == [a.reason for a in answers]


def test_a_decision_that_has_expired_declines_its_payment_alone(
    shopper: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    bought = [shopper.order(100), shopper.order(200), shopper.order(300)]
    asked = cards.ask_about_payments(shopper.database, NoPolicyGate(), bought)
    verdicts = tuple(Verdict(Outcome.APPROVE, "p@1", decision_id=one.id) for one in bought)
    consumed: list[UUID] = []

    def consume(unit: Any, uses: Sequence[Use]) -> None:
        if any(use.id == bought[1].id for use in uses):
            raise DecisionIsExpired(id=bought[1].id, expired_at="then")
        consumed.extend(use.id for use in uses)

    monkeypatch.setattr(at_once, "consume_all", consume)
    late = replace(asked, verdicts=verdicts)
    told = shopper.database.transact(lambda unit: cards.pay_by_card(unit, late))
    assert [answer.reason for answer in told] == [None, "decision_is_expired", None]
    assert consumed == [bought[0].id, bought[2].id]
    assert shopper.balance(shopper.account) == 99_600
    assert shopper.told()[1][1]["reason"] == "decision_is_expired"


def test_a_payment_sent_again_is_accepted_and_told_once(shopper: Shopper) -> None:
    order = shopper.order(100)
    first, second = shopper.pay(order)[0], shopper.pay(order, order)
    assert second == (first, first)
    assert shopper.balance(shopper.account) == 99_900
    assert len(shopper.told()) == 1


def test_an_id_stands_for_one_payment(shopper: Shopper) -> None:
    order = shopper.order(100)
    other = replace(order, amount_minor=101)
    assert [a.reason for a in shopper.pay(order, other)] == [None, "id_conflict"]


@pytest.mark.parametrize("who", ["customer", "merchant"])
def test_nobody_pays_or_is_paid_who_is_not_registered(shopper: Shopper, who: str) -> None:
    stranger = shopper.order(100, **{who: uuid4()})
    (answer,) = shopper.pay(stranger)
    assert answer.reason == "party_is_unknown"
    told = [(kind, payload.get("customer")) for kind, payload in shopper.told()]
    assert told == ([("AttemptDeclined", None)] if who == "customer" else [])
    assert shopper.balance(shopper.account) == 100_000


def test_cards_need_a_town(world: Database) -> None:
    with pytest.raises(town.TownIsNotFounded):
        world.transact(lambda unit: cards.pay_by_card(unit, cards.Asked((), {}, ())))


def test_a_batch_is_bounded(shopper: Shopper) -> None:
    order = shopper.order(1)
    with pytest.raises(cards.TooManyCardPayments):
        shopper.pay(*[order] * (cards.BATCH + 1))


# Refunds


def test_a_refund_gives_the_payment_back(shopper: Shopper) -> None:
    order = shopper.order(777)
    shopper.pay(order)
    answer = shopper.refund(order)
    assert answer.outcome is cards.CardOutcome.ACCEPTED
    assert shopper.balance(shopper.account) == 100_000
    assert shopper.owed() == 0
    kind, payload = shopper.told()[-1]
    assert kind == "RefundSucceeded"
    assert payload["refund_minor"] == 777
    assert payload["refund"] == str(answer.id)
    assert shopper.refund(order, id=answer.id).reason is None
    assert shopper.refund(order).reason == "refund_exceeds_payment"
    assert len(shopper.told()) == 2


def test_a_payment_that_was_declined_cannot_be_refunded(shopper: Shopper) -> None:
    order = shopper.order(100_001)
    shopper.pay(order)
    assert shopper.refund(order).reason == "payment_is_not_refundable"
    assert shopper.refund(shopper.order(5)).reason == "payment_is_unknown"


# Reports


def test_a_report_is_told_at_its_own_instant(shopper: Shopper) -> None:
    order = shopper.order(777)
    shopper.pay(order)
    assert shopper.report((order, True)) == [None]
    kind, payload = shopper.told()[-1]
    assert kind == "CardPaymentReported"
    assert payload == {
        "payment": str(order.id),
        "customer": str(shopper.party),
        "card": str(shopper.card),
        "is_fraud": True,
        "amount_minor": 777,
        "currency": "CNY",
    }
    with shopper.database.unit_of_work() as unit:
        told_at = unit.execute(
            "SELECT occurred_at FROM events.log WHERE kind = 'simulation.CardPaymentReported'"
        ).scalar_one()
    assert told_at == order.at + timedelta(days=3)


def test_what_was_said_is_told_once_and_can_be_taken_back(shopper: Shopper) -> None:
    order = shopper.order(777)
    shopper.pay(order)
    assert shopper.report((order, True), (order, True)) == [None, None]
    assert shopper.report((order, True)) == [None]
    assert shopper.report((order, False), (order, True), (order, False)) == [None] * 3
    said = [payload["is_fraud"] for kind, payload in shopper.told() if "Reported" in kind]
    assert said == [True, False, True, False]


def test_only_payments_of_the_card_can_be_reported(
    shopper: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_PAGE", 2)
    orders = [shopper.order(100 + n) for n in range(7)]
    declined = shopper.order(60_000)
    shopper.pay(*orders, declined, gate=Strict())
    assert shopper.report((shopper.order(1), True)) == ["payment_is_unknown"]
    assert shopper.report((replace(orders[0], card=uuid4()), True)) == ["payment_is_unknown"]
    assert shopper.report((orders[0], True), days=-1) == ["report_precedes_payment"]
    assert shopper.report((orders[0], True), (declined, True), (orders[6], True)) == [None] * 3
    assert sum("Reported" in kind for kind, _ in shopper.told()) == 3


def test_a_batch_of_reports_is_bounded(shopper: Shopper) -> None:
    order = shopper.order(1)
    with pytest.raises(cards.TooManyCardPayments):
        shopper.report(*[(order, True)] * (cards.BATCH + 1))


def test_without_a_town_nothing_is_reported(world: Database) -> None:
    with pytest.raises(town.TownIsNotFounded):
        world.transact(lambda unit: reports.report_card_payments(unit, []))
