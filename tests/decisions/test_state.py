"""The state of a shard: what facts tell is folded at a recorded place, and comes out again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.decisions import Decision
from steelyard.decisions.model.question import EventIdWasUsed
from steelyard.decisions.service.follower import Follower
from steelyard.decisions.service.hearing import told_owners
from steelyard.decisions.service.owner import Owner, Place, wanted_of
from steelyard.decisions.store import folds
from steelyard.decisions.store.folds import Telling
from steelyard.events import drain
from tests.decisions.rules import Fixed
from tests.decisions.test_owner import AT, FewAnHour, ask, body

READS = (
    "customer_payment_count_1h",
    "customer_payment_sum_1d",
    "customer_fraud_sum_90d",
    "customer_cluster_size",
    "customer_bad_neighbours",
)


class Curious(FewAnHour):
    """Reads labels and the graph besides."""

    reads = READS  # type: ignore[assignment]


RULES = Fixed({"payment": Curious()})


def tell(database: Database, *tellings: Telling) -> None:
    with database.unit_of_work(actor="system:test") as unit:
        folds.insert(unit.connection, tellings)


def paid(position: int, number: int, **fields: Any) -> Telling:
    told = {"customer": "c1", "amount_minor": 100, "currency": "CNY", **fields}
    return Telling(position, "event", "payment", f"p{number}", AT + number * 60_000, told)


def fraud(position: int, number: int, *, at_ms: int, customer: str | None = None) -> Telling:
    content = {"field": "is_fraud", "value": 1, "customer": customer}
    return Telling(position, "label", "payment", f"p{number}", at_ms, content)


def own(database: Database, holder: str = "one", follower: Follower | None = None) -> Owner:
    return Owner(database, RULES, Place(holder), follower=follower)


def both(owner: Owner, *bodies: bytes, now_ms: int = AT + 10**9) -> list[Decision]:
    """Hear what is told, then ask: one event loop, as in the process."""

    async def run() -> list[Decision]:
        owner.hear(owner.untold(), now_ms=now_ms)
        return await asyncio.gather(*(owner.ask("payment", one, now_ms=now_ms) for one in bodies))

    return asyncio.run(run())


def test_facts_are_folded_between_questions_and_a_restart_folds_them_there(
    database: Database,
) -> None:
    owner = own(database)
    ask(owner, body(1, customer="c1", device="d1", terminal="t1"))
    tell(database, paid(1, 2, device="d1"), fraud(2, 1, at_ms=AT + 120_000, customer="c1"))
    (third,) = both(owner, body(3, customer="c2", device="d1", terminal="t1"))
    assert third.sequence == 3, "an event and a label stand between"
    assert third.values["customer_cluster_size"] == 2
    assert third.values["customer_bad_neighbours"] == 1
    (fourth,) = both(owner, body(4, customer="c1", terminal="t1"))
    assert fourth.values["customer_payment_count_1h"] == 3
    assert fourth.values["customer_fraud_sum_90d"] == 1
    digest = owner.engine.state.digest
    owner.close()
    after = own(database, "two")
    assert after.engine.state.digest == digest
    assert after.untold() == [], "nothing is heard twice"
    after.close()


def test_an_event_that_was_heard_is_no_question_any_more_and_the_other_way_round(
    database: Database,
) -> None:
    owner = own(database)
    ask(owner, body(1))
    tell(database, paid(1, 1), paid(2, 2))
    with database.reading() as connection:
        kept = folds.read_told(connection, 0, after=0)
    assert [one.event_id for one in kept] == ["p2"], "what was asked is not told"
    both(owner, body(3))
    with pytest.raises(EventIdWasUsed):
        ask(owner, body(2))
    owner.close()
    after = own(database, "two")
    with pytest.raises(EventIdWasUsed):
        ask(after, body(2))
    after.close()


def test_one_consumer_takes_events_and_labels_out_of_facts(database: Database) -> None:
    import steelyard.web.rooms  # noqa: F401  (enters the facts of every room)
    from steelyard.simulation.service.facts import CardPaymentReported

    at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    with database.unit_of_work(actor="system:test") as unit:
        fact = CardPaymentReported(
            payment=UUID(int=1),
            customer=None,
            card=UUID(int=2),
            is_fraud=True,
            amount_minor=5,
            currency="CNY",
        )
        unit.record(fact, subject="card:k1", occurred_at=at)
    for _ in range(2):
        drain(database, [told_owners])
    with database.reading() as connection:
        (kept,) = folds.read_told(connection, 0, after=0)
    assert (kept.what, kept.kind, kept.event_id) == ("label", "payment", str(UUID(int=1)))
    assert kept.content == {"field": "is_fraud", "value": 1, "customer": None}
    assert kept.at_ms == int(at.timestamp() * 1_000)


def test_what_is_told_of_the_future_waits_and_makes_nothing_late(database: Database) -> None:
    owner = own(database)
    tell(database, paid(1, 20_000), paid(2, 2), paid(3, 19_990))
    (third,) = both(owner, body(3))
    assert third.flags == {}
    assert third.values["customer_payment_count_1h"] == 2
    assert owner.untold() == []
    owner.close()
    after = own(database, "two")
    assert [one.event_id for one in after.untold()] == ["p20000", "p19990"], "they still wait"
    (last,) = both(after, body(19_991), now_ms=AT + 19_991 * 60_000)
    assert last.values["customer_payment_count_1h"] == 2
    (later,) = both(after, body(20_001), now_ms=AT + 20_001 * 60_000)
    assert later.values["customer_payment_count_1h"] == 4
    digest = after.engine.state.digest
    after.close()
    assert own(database, "three").engine.state.digest == digest


def test_who_follows_has_the_state_of_the_owner_and_takes_over_with_it(database: Database) -> None:
    owner = own(database)
    follower = Follower(database, wanted_of(RULES))
    for number in range(5):
        tell(database, paid(number + 1, 40 + number, customer=f"c{number}", device="d"))
        both(owner, body(number, customer=f"c{number % 2}", device="d"))
        follower.catch_up()
        assert follower.state.digest == owner.engine.state.digest
    owner.close()
    after = own(database, "two", follower)
    assert after.engine.state is follower.state
    assert ask(after, body(7))[0].values["customer_cluster_size"] == 5
    after.close()


def test_a_snapshot_and_the_rest_of_the_log_make_the_same_state(database: Database) -> None:
    owner = own(database)
    follower = Follower(database, wanted_of(RULES))
    both(owner, *(body(n, customer=f"c{n % 3}", card="k") for n in range(9)))
    follower.catch_up()
    follower.save()
    follower.save()
    tell(database, fraud(1, 3, at_ms=AT + 10**7, customer="c0"))
    both(owner, body(9, customer="c1"))
    digest = owner.engine.state.digest
    owner.close()
    again = Follower(database, wanted_of(RULES))
    assert again.state.sequence == 8, "it begins with the snapshot"
    again.catch_up()
    assert again.state.digest == digest
    other = Follower(database, {"payment": READS[:1]})
    assert other.state.sequence == -1, "a snapshot belongs to its definitions"


def test_rules_that_read_more_are_followed_with_a_state_that_knows_it(database: Database) -> None:
    few = Fixed({"payment": FewAnHour()})
    owner = Owner(database, few, Place("one"))
    ask(owner, body(1, device="d"), body(2, customer="c2", device="d"))

    async def follow() -> None:
        await owner.follow(Fixed({"payment": Curious()}, 1))

    asyncio.run(follow())
    assert owner.rules_version == 1
    (third,) = ask(owner, body(3, device="d"))
    assert third.values["customer_cluster_size"] == 2
    assert third.values["customer_payment_count_1h"] == 2
    owner.close()


def test_what_was_told_cannot_be_changed(database: Database) -> None:
    tell(database, paid(1, 1))
    owner = own(database)
    both(owner, body(2))
    owner.close()
    for statement in (
        "UPDATE decisions.told SET at_ms = 0",
        "DELETE FROM decisions.folded",
        "INSERT INTO decisions.folded (shard, fold_seq, arrival, epoch) VALUES (0, 9, 1, 1)",
        "UPDATE decisions.owner SET heard_to = 0",
    ):
        with pytest.raises(sa.exc.DBAPIError), database.unit_of_work() as unit:
            unit.execute(statement)
