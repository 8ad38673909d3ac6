"""The desk of routing over stored attempts: what it learns, writes down, and makes again."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments import attempts, channel_desk, channel_life, health, orders, paying, routing
from steelyard.payments.channels import KINDS
from steelyard.payments.model.channel import Capability, Decline, Finding, Method, Said, Stage
from steelyard.payments.model.examples import an_attempt
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.service.evidence import Report, report
from tests.payments.till import SHOP, ScriptedChannel, an_order, open_shop

SHEET = Capability(methods=(Method.WALLET,))
BOB = Caller("staff:bob", frozenset({"payments.*"}))


class House:
    """Channels `a` and `b`, and desks that route to them."""

    def __init__(self, database: Database) -> None:
        open_shop(database)
        self.database = database
        self.keyring = Keyring.for_tests()

    def register(self, code: str, **changes: object) -> None:
        new = channel_desk.NewChannel(
            code=code, mode=Mode.LIVE, kind="scripted", name=code, capability=SHEET,
            stage=Stage.LIVE,
        )  # fmt: skip
        changed = replace(new, **changes)  # type: ignore[arg-type]
        self.database.transact(
            lambda unit: channel_desk.register_channel(unit, self.keyring, changed)
        )

    def desk(self) -> routing.RoutingDesk:
        channels = channel_desk.ChannelDesk(self.database, self.keyring, fresh_seconds=0)
        return routing.RoutingDesk(self.database, channels, fresh_seconds=0)

    def order(self, amount_minor: int = 10_000) -> Order:
        new = an_order(amount_minor=amount_minor)
        with self.database.unit_of_work() as unit:
            (made,) = orders.create(unit, [new])
        assert isinstance(made, Order)
        return made

    def begin(self, desk: routing.RoutingDesk, order: Order) -> tuple[UUID, paying.Routed]:
        """Begin an attempt where routing wants it, as the core does it."""
        how = paying.Pay(attempt=uuid4(), method=Method.WALLET)
        routed = desk.route(order, how, self.database.now())
        begun = orders.Begin(
            order=order.id,
            attempt=how.attempt,
            method=how.method,
            channel=routed.channel,
            propensity=routed.propensity,
        )
        with self.database.unit_of_work() as unit:
            (made,) = orders.begin(unit, [begun])
            assert not isinstance(made, Refusal)
            desk.write(unit, [how.attempt])
        return how.attempt, routed

    def end(self, attempt: UUID, finding: Finding) -> None:
        with self.database.unit_of_work() as unit:
            report(unit, [Report(attempt, attempts.Source.ANSWER, finding)])


GOOD = Finding(said=Said.SUCCEEDED, amount_minor=10_000, currency="CNY")
BUSY = Finding(said=Said.DECLINED, decline=Decline.ISSUER_UNAVAILABLE)
PIN = Finding(said=Said.DECLINED, decline=Decline.INVALID_PIN)


@pytest.fixture
def house(database: Database, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setitem(KINDS, "scripted", lambda code, settings, timeout: ScriptedChannel(code))
    return House(database)


def test_a_desk_learns_from_stored_attempts_and_a_new_one_begins_where_it_is(
    house: House, clock: SteppingClock
) -> None:
    house.register("a")
    house.register("b")
    desk, chance = house.desk(), Random(2)
    went: Counter[str] = Counter()
    for _ in range(60):
        clock.advance(timedelta(seconds=1))
        attempt, routed = house.begin(desk, house.order())
        went[routed.channel] += 1
        good = routed.channel == "a" or chance.random() < 0.3
        house.end(attempt, GOOD if good else BUSY)
    now = house.database.now()
    book, fresh = desk.book(Mode.LIVE, now), house.desk().book(Mode.LIVE, now)
    assert sum(book.matured.values()) == sum(fresh.matured.values()) == 60
    for code in "ab":
        ours, theirs = (b.segments[Method.WALLET, "CNY"].cells[code] for b in (book, fresh))
        assert ours.seen == pytest.approx(theirs.seen, rel=0.1)
    assert went["a"] > went["b"]


def test_case_84_a_stored_decision_is_made_again_and_comes_out_the_same(house: House) -> None:
    for code in "abc":
        house.register(code)
    desk = house.desk()
    made = [house.begin(desk, house.order()) for _ in range(12)]
    assert len({routed.channel for _, routed in made}) > 1
    with house.database.reading() as connection:
        for attempt, routed in made:
            again = routing.replay(connection, attempt)
            assert again.agrees
            assert (again.channel, again.propensity) == (routed.channel, routed.propensity)
            assert again.stored.request.merchant == SHOP
        stored = again.stored
        with pytest.raises(routing.RoutingDecisionIsUnknown):
            routing.replay(connection, uuid4())
    # A record that was tampered with does not agree with itself.
    other = next(one for one in "abc" if one != stored.choice.chosen)
    assert not replace(again, channel=other).agrees


def test_what_the_payer_did_says_nothing_of_the_channel(house: House) -> None:
    house.register("a")
    desk = house.desk()
    for finding in (PIN, GOOD, BUSY):
        attempt, _ = house.begin(desk, house.order())
        house.end(attempt, finding)
    book = desk.book(Mode.LIVE, house.database.now())
    cell = book.segments[Method.WALLET, "CNY"].cells["a"]
    assert (round(cell.seen), round(cell.good)) == (2, 1)
    assert not book.pending


def test_case_20_two_payments_that_fit_alone_do_not_pass_a_limit_together(house: House) -> None:
    house.register("a", capability=replace(SHEET, daily_most_minor=15_000))
    house.register("b")
    desks = [house.desk() for _ in range(4)]
    given = [house.order() for _ in desks]
    # Every desk looked before anybody paid: each would send its payment to `a`.
    for desk in desks:
        desk.book(Mode.LIVE, house.database.now())
        desk._fresh = 1e9

    def pay(desk: routing.RoutingDesk, order: Order) -> str:
        for _ in range(10):
            try:
                return house.begin(desk, order)[1].channel
            except routing.ChannelDayIsFull:
                continue
        raise AssertionError("no channel took it")

    with ThreadPoolExecutor(4) as pool:
        went = Counter(pool.map(pay, desks, given))
    assert went["a"] <= 1
    assert sum(went.values()) == 4
    with house.database.reading() as connection:
        used = connection.exec_driver_sql(
            "SELECT coalesce(sum(amount_minor), 0) FROM payments.channel_day"
        ).scalar_one()
        begun = connection.exec_driver_sql(
            "SELECT count(*) FROM payments.attempt WHERE channel = 'a'"
        ).scalar_one()
    assert used == 10_000 * begun


def test_what_ended_without_money_gives_its_part_of_the_day_back(
    house: House, clock: SteppingClock
) -> None:
    house.register("a", capability=replace(SHEET, daily_most_minor=20_000))
    desk = house.desk()
    first, _ = house.begin(desk, house.order())
    house.begin(desk, house.order())
    with pytest.raises(routing.NoChannelIsOpen) as refused:
        desk.route(
            house.order(), paying.Pay(attempt=uuid4(), method=Method.WALLET), house.database.now()
        )
    assert refused.value.facts["channels"] == {"a": "daily_limit_is_reached"}
    house.end(first, PIN)
    channels = channel_desk.ChannelDesk(house.database, house.keyring, fresh_seconds=0)
    assert routing.count_days_again(house.database, channels, actor="job:test") == 1
    assert house.begin(desk, house.order())[1].channel == "a"
    # The next day of the channel's own clock begins anew.
    clock.advance(timedelta(hours=8))
    assert house.begin(desk, house.order())[1].channel == "a"


def test_an_order_that_was_declined_goes_to_another_channel(house: House) -> None:
    house.register("a")
    house.register("b")
    desk, order = house.desk(), house.order()
    attempt, first = house.begin(desk, order)
    house.end(attempt, BUSY)
    with house.database.reading() as connection:
        order = orders.read(connection, order.id).order
    _, second = house.begin(desk, order)
    assert {first.channel, second.channel} == {"a", "b"}
    assert second.propensity == 1.0


def test_nothing_follows_an_unknown_attempt_and_retries_have_a_budget(house: House) -> None:
    desk = house.desk()
    now = house.database.now()

    def after(**changes: object) -> routing.Retry | None:
        return desk.retry(an_attempt(**changes), Mode.LIVE, now)

    assert after(state=orders.AttemptState.UNKNOWN) is None
    assert after(state=orders.AttemptState.PENDING) is None
    declined = {"state": orders.AttemptState.DECLINED}
    asked = after(**declined, decline=Decline.EXPIRED_CARD)
    assert asked is not None
    assert asked.step is routing.NextStep.ASK_PAYER
    steps = [after(**declined, decline=Decline.ISSUER_UNAVAILABLE) for _ in range(6)]
    assert [step.step.value for step in steps if step] == ["retry_other"] * 3 + ["stop"] * 3
    assert all(step.wait <= timedelta(seconds=1) for step in steps if step)


def test_an_outage_opens_the_breaker_for_every_process(house: House, clock: SteppingClock) -> None:
    house.register("a")
    desk = house.desk()
    for _ in range(40):
        clock.advance(timedelta(seconds=1))
        attempt, _ = house.begin(desk, house.order())
        house.end(attempt, GOOD)
    with pytest.raises(routing.NoChannelIsOpen):
        for _ in range(20):
            clock.advance(timedelta(seconds=1))
            attempt, _ = house.begin(desk, house.order())
            house.end(attempt, BUSY)
    with house.database.reading() as connection:
        (row,) = health.breakers(connection)
        (told,) = connection.exec_driver_sql(
            "SELECT payload FROM events.log WHERE kind = 'payments.ChannelBreakerMoved'"
        ).all()
    assert (row.channel, row.state.value, row.opened_by.value) == ("a", "open", "traffic")
    told_of = told.payload if isinstance(told.payload, dict) else json.loads(told.payload)
    assert told_of["after"] == "open"
    other = house.desk()
    how = paying.Pay(attempt=uuid4(), method=Method.WALLET)
    with pytest.raises(routing.NoChannelIsOpen):
        other.route(house.order(), how, house.database.now())
    # After its time it is half open, and real payments close it, for everybody.
    clock.advance(timedelta(minutes=3))
    for _ in range(8):
        clock.advance(timedelta(seconds=1))
        attempt, _ = house.begin(desk, house.order())
        house.end(attempt, GOOD)
    desk.book(Mode.LIVE, house.database.now())
    with house.database.reading() as connection:
        (row,) = health.breakers(connection)
    assert row.state.value == "closed"


def test_rules_count_when_two_people_want_them(house: House, clock: SteppingClock) -> None:
    house.register("a")
    house.register("b")
    rule = routing.Rule(name="b_only", verb=routing.Verb.ONLY, channels=("b",))
    desk, database = house.desk(), house.database
    with database.unit_of_work(actor="staff:ann") as unit:
        made = routing.propose(unit, [rule], routing.Options(weigh_cost=True), reason="contract")
    assert made.row.policy.version == 1
    assert desk.book(Mode.LIVE, database.now()).policy.version == 0
    with (
        database.unit_of_work(actor="staff:ann") as unit,
        pytest.raises(approvals.ApprovalIsNotOpen),
    ):
        routing.enact(unit, 1, approval=made.approval.id)
    with database.unit_of_work(actor=BOB.actor) as unit:
        approvals.approve(unit, made.approval.id, by=BOB, shown_hash=made.approval.shown_hash)
    with database.unit_of_work(actor="staff:ann") as unit:
        routing.enact(unit, 1, approval=made.approval.id)
    policy = desk.book(Mode.LIVE, database.now()).policy
    assert policy.rules == (rule,)
    assert policy.options == routing.Options(weigh_cost=True)
    attempt, routed = house.begin(desk, house.order())
    assert routed.channel == "b"
    with database.reading() as connection:
        assert routing.replay(connection, attempt).agrees
        assert routing.replay(connection, attempt).stored.choice.policy == 1
    with database.unit_of_work() as unit, pytest.raises(routing.PolicyIsInForce):
        routing.enact(unit, 1, approval=made.approval.id)
    with database.unit_of_work() as unit, pytest.raises(routing.RoutingPolicyIsUnknown):
        routing.enact(unit, 9, approval=made.approval.id)
    bad = replace(rule, channels=("nowhere",))
    with database.unit_of_work() as unit, pytest.raises(routing.RuleDoesNotFit):
        routing.propose(unit, [bad], routing.Options(), reason="slip")


def test_a_trial_serves_its_merchants_until_its_caps(house: House) -> None:
    trial = channel_life.Trial(
        merchants=(SHOP,), most_minor=10_000, daily_most_minor=100_000, daily_payments=2
    )
    house.register("a", stage=Stage.TRIAL, trial=trial)
    desk = house.desk()
    for _ in range(2):
        house.begin(desk, house.order())
    with pytest.raises(routing.NoChannelIsOpen) as refused:
        house.begin(desk, house.order())
    assert refused.value.facts["channels"] == {"a": "trial_cap_is_reached"}


def test_shares_and_an_evaluation_by_logged_propensities(
    house: House, clock: SteppingClock
) -> None:
    house.register("a")
    house.register("b", capability=replace(SHEET, fee_fixed_minor=900))
    desk, since = house.desk(), house.database.now()
    for n in range(24):
        clock.advance(timedelta(seconds=1))
        attempt, routed = house.begin(desk, house.order())
        house.end(attempt, BUSY if routed.channel == "b" and n % 2 else GOOD)
    until = house.database.now() + timedelta(seconds=1)
    with house.database.reading() as connection:
        found = routing.shares(connection, since, until, SHOP)
        assert sum(one.payments for one in found) == 24
        assert routing.shares(connection, since, until, uuid4()) == []
        result = routing.evaluate(
            connection, routing.Options(weigh_cost=True), since=since, until=until
        )
        assert routing.evaluate(connection, routing.Options(), since=until, until=until) is None
    assert result is not None
    was, other = result
    assert was.value == pytest.approx(sum(one.succeeded for one in found) / 24)
    assert was.low <= was.value <= was.high
    # Weighing the dear channel's fee sends more to the other, which never fails.
    assert other.value >= was.value


def test_the_desk_goes_on_with_what_it_knows_while_another_thread_reads(house: House) -> None:
    house.register("a")
    desk = house.desk()
    now = house.database.now()
    with ThreadPoolExecutor(8) as pool:
        books = list(pool.map(lambda _: desk.book(Mode.LIVE, now), range(64)))
    assert len({id(book) for book in books}) == 1
    assert set(books[0].lanes) == {"a"}
