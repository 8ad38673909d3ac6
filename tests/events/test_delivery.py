"""Delivery step by step: effects once, retries, dead letters, replay, versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy as sa
from psycopg.types.json import Jsonb

from steelyard.base import Database, Fact, UnitOfWork, fact_classes
from steelyard.events import (
    Consumer,
    ConsumerState,
    DeadLetter,
    Heard,
    LetterState,
    OnFailure,
    drain,
    hears,
    operation,
    refusals,
)
from steelyard.events.service.consumers import check_consumers
from steelyard.events.service.delivery import Delivery, Outcome
from steelyard.kernel import SteppingClock
from tests.conftest import START, Store
from tests.events.lamps import LIT, LampLit, WickTrimmed1, append, light

MINUTES = timedelta(minutes=5)


def insert(unit: UnitOfWork, heard: Heard) -> None:
    unit.execute(
        "INSERT INTO public.seen (lamp, nth) VALUES (:lamp, :nth)",
        lamp=heard.fact.lamp,
        nth=heard.fact.nth,
    )


def seen(database: Database) -> list[int]:
    with database.reading() as connection:
        rows = connection.execute(sa.text("SELECT nth FROM public.seen ORDER BY id"))
        return list(rows.scalars().all())


def state(database: Database, name: str = "lamps.seen", version: int = 1) -> ConsumerState:
    with database.reading() as connection:
        found = operation.consumer_states(connection)
    return next(s for s in found if (s.name, s.version) == (name, version))


def letters(database: Database, *states: LetterState) -> tuple[DeadLetter, ...]:
    with database.reading() as connection:
        return operation.dead_letters(
            connection, states=states or operation.UNSETTLED, limit=100
        ).items


def failing(
    on: set[int],
    *,
    attempts: int = 3,
    on_failure: OnFailure = OnFailure.STOP,
    name: str = "lamps.seen",
) -> Consumer:
    """A consumer that fails on some facts as long as they are in the set."""

    @hears(LIT, attempts=attempts, on_failure=on_failure)
    def note(unit: UnitOfWork, heard: Heard) -> None:
        insert(unit, heard)
        if heard.fact.nth in on:
            raise LookupError(f"no lamp {heard.fact.nth}, phone 13812345678")

    return Consumer(name, (note,))


def steps(delivery: Delivery, most: int = 20) -> list[Outcome]:
    """Step until there is nothing to do now."""
    outcomes = []
    for _ in range(most):
        outcomes.append(delivery.step().outcome)
        if outcomes[-1] is not Outcome.DELIVERED:
            return outcomes
    raise AssertionError(outcomes)


def exhaust(delivery: Delivery, wall: SteppingClock) -> None:
    """Let every retry come due until the consumer waits for nothing."""
    for _ in range(20):
        if steps(delivery)[-1] is not Outcome.WAITING:
            return
        wall.advance(MINUTES)
    raise AssertionError("still waiting")


def test_effects_are_committed_with_the_place(stepped: Database) -> None:
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, failing(set()), batch=2)
    assert steps(delivery)[-1] is Outcome.IDLE
    assert seen(stepped) == [1, 2, 3]
    assert steps(delivery) == [Outcome.IDLE]
    assert state(stepped).delivered_sequence == 3


def test_a_batch_is_cut_before_the_fact_that_fails(stepped: Database) -> None:
    light(stepped, "a", 1, 2, 3, 4)
    delivery = Delivery(stepped, failing({3}))
    assert steps(delivery)[-1] is Outcome.WAITING
    assert seen(stepped) == [1, 2], "what stood before it is delivered; what it wrote is undone"
    assert state(stepped).delivered_sequence == 2


def test_retries_wait_and_then_succeed(stepped: Database, wall: SteppingClock) -> None:
    broken = {2}
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, failing(broken))
    first = steps(delivery) and delivery.step()
    assert first.outcome is Outcome.WAITING
    assert first.retry_at == wall.now() + timedelta(milliseconds=200)
    assert state(stepped).activity == "retrying"
    wall.advance(timedelta(milliseconds=200))
    assert delivery.step().retry_at == wall.now() + timedelta(milliseconds=800)
    broken.clear()
    assert steps(delivery) == [Outcome.WAITING], "it is not tried before its time"
    wall.advance(timedelta(milliseconds=800))
    assert steps(delivery)[-1] is Outcome.IDLE
    assert seen(stepped) == [1, 2, 3]
    assert (state(stepped).trouble, state(stepped).dead_letters) == (None, 0)


def test_a_consumer_that_stops(stepped: Database, wall: SteppingClock) -> None:
    broken = {2}
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, failing(broken, attempts=2))
    exhaust(delivery, wall)
    assert steps(delivery) == [Outcome.STOPPED]
    assert seen(stepped) == [1]
    (letter,) = letters(stepped)
    assert (letter.sequence, letter.attempts, letter.subject) == (2, 2, "lamp:a")
    assert letter.error.startswith("LookupError: no lamp 2")
    assert "13812345678" not in letter.error, "personal data is masked"
    assert (state(stepped).activity, state(stepped).dead_letters) == ("stopped", 1)
    assert "LookupError" in (state(stepped).trouble or "")

    broken.clear()
    with stepped.unit_of_work(actor="staff:op") as unit:
        asked = operation.settle_letter(
            unit, letter.id, operation.Settlement.REPLAY, because="lamp found"
        )
    assert asked.state is LetterState.REPLAYING
    assert steps(delivery)[-1] is Outcome.IDLE
    assert seen(stepped) == [1, 2, 3], "it stood before the fact, and goes on after it"
    (settled,) = letters(stepped, LetterState.REPLAYED)
    assert (settled.settled_by, settled.settled_because) == ("staff:op", "lamp found")


def test_a_consumer_that_goes_on(stepped: Database, wall: SteppingClock) -> None:
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, failing({2}, on_failure=OnFailure.GO_ON))
    exhaust(delivery, wall)
    assert seen(stepped) == [1, 3]
    (letter,) = letters(stepped)
    with stepped.unit_of_work(actor="staff:op") as unit:
        operation.settle_letter(
            unit, letter.id, operation.Settlement.DISCARD, because="the lamp is gone"
        )
    assert letters(stepped) == ()
    with stepped.unit_of_work() as unit, pytest.raises(refusals.DeadLetterIsSettled):
        operation.settle_letter(unit, letter.id, operation.Settlement.REPLAY, because="again")


def test_discarding_lets_a_stopped_consumer_go_on(stepped: Database, wall: SteppingClock) -> None:
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, failing({2}))
    exhaust(delivery, wall)
    (letter,) = letters(stepped)
    with stepped.unit_of_work(actor="staff:op") as unit:
        operation.settle_letter(unit, letter.id, operation.Settlement.DISCARD, because="gone")
    assert steps(delivery)[-1] is Outcome.IDLE
    assert seen(stepped) == [1, 3]


def test_a_replay_of_a_letter_that_fails_again(stepped: Database, wall: SteppingClock) -> None:
    light(stepped, "a", 1)
    delivery = Delivery(stepped, failing({1}, attempts=1))
    exhaust(delivery, wall)
    (letter,) = letters(stepped)
    with stepped.unit_of_work(actor="staff:op") as unit:
        operation.settle_letter(unit, letter.id, operation.Settlement.REPLAY, because="try")
    assert steps(delivery)[-1] is Outcome.STOPPED
    (again,) = letters(stepped)
    assert (again.state, again.attempts, again.settled_by) == (LetterState.OPEN, 2, None)
    assert seen(stepped) == []


def test_a_death_is_a_fact(stepped: Database, wall: SteppingClock) -> None:
    deaths: list[Any] = []

    @hears("events.FactDied@1")
    def mourn(unit: UnitOfWork, heard: Heard) -> None:
        deaths.append(heard.fact)

    light(stepped, "a", 1)
    exhaust(Delivery(stepped, failing({1}, attempts=1)), wall)
    drain(stepped, [Consumer("lamps.mourner", (mourn,))])
    (death,) = deaths
    assert (death.consumer, death.sequence, death.stops) == ("lamps.seen", 1, True)


def test_a_failure_at_the_commit_is_laid_at_one_facts_door(
    stepped: Database, wall: SteppingClock
) -> None:
    """The deferred constraint speaks when the batch commits: then who was it?"""
    light(stepped, "a", 1, 2, 3, 2, 4)
    delivery = Delivery(stepped, failing(set(), attempts=2, on_failure=OnFailure.GO_ON))
    exhaust(delivery, wall)
    assert seen(stepped) == [1, 2, 3, 4]
    (letter,) = letters(stepped)
    assert letter.sequence == 4
    assert "late_check" in letter.error


def test_a_handler_that_swallows_an_error_of_the_database(
    stepped: Database, wall: SteppingClock
) -> None:
    @hears(LIT, attempts=1, on_failure=OnFailure.GO_ON)
    def careless(unit: UnitOfWork, heard: Heard) -> None:
        insert(unit, heard)
        if heard.fact.nth == 2:
            with pytest.raises(sa.exc.DBAPIError):
                unit.execute("SELECT 1 / 0")

    light(stepped, "a", 1, 2, 3)
    exhaust(Delivery(stepped, Consumer("lamps.seen", (careless,))), wall)
    assert seen(stepped) == [1, 3]
    assert [letter.sequence for letter in letters(stepped)] == [2]


def test_handlers_of_many_facts(stepped: Database, wall: SteppingClock) -> None:
    calls: list[list[int]] = []

    @hears(LIT, many=True, attempts=2, on_failure=OnFailure.GO_ON)
    def note(unit: UnitOfWork, facts: Sequence[Heard]) -> None:
        calls.append([heard.fact.nth for heard in facts])
        for heard in facts:
            insert(unit, heard)
        if 5 in calls[-1]:
            raise LookupError(5)

    light(stepped, "a", *range(1, 9))
    delivery = Delivery(stepped, Consumer("lamps.seen", (note,)))
    exhaust(delivery, wall)
    assert calls[0] == list(range(1, 9))
    assert seen(stepped) == [1, 2, 3, 4, 6, 7, 8], "halved until the one was found"
    assert [letter.sequence for letter in letters(stepped)] == [5]


def test_handlers_run_in_order_and_all_or_none(stepped: Database, wall: SteppingClock) -> None:
    order: list[str] = []

    @hears(LIT)
    def first(unit: UnitOfWork, heard: Heard) -> None:
        order.append("first")
        insert(unit, heard)

    @hears(LIT, attempts=1, on_failure=OnFailure.GO_ON)
    def second(unit: UnitOfWork, heard: Heard) -> None:
        order.append("second")
        raise LookupError

    light(stepped, "a", 1)
    exhaust(Delivery(stepped, Consumer("lamps.seen", (first, second))), wall)
    assert order == ["first", "second"]
    assert seen(stepped) == []
    assert letters(stepped)[0].handler.endswith("second")


def test_trouble_of_the_database_is_not_the_facts(stepped: Database, store: Store) -> None:
    @hears(LIT, attempts=1)
    def cut(unit: UnitOfWork, heard: Heard) -> None:
        insert(unit, heard)
        if cutting.pop(0):
            with psycopg.connect(store.conninfo(), autocommit=True) as other:
                pid = unit.execute("SELECT pg_backend_pid()").scalar_one()
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            unit.execute("SELECT 1")

    cutting = [True, False]
    light(stepped, "a", 1)
    delivery = Delivery(stepped, Consumer("lamps.seen", (cut,)))
    delivery.step()
    with pytest.raises(sa.exc.DBAPIError):
        delivery.step()
    assert letters(stepped) == ()
    steps(delivery)
    assert seen(stepped) == [1]


def test_two_processes_do_not_deliver_at_once(stepped: Database) -> None:
    light(stepped, "a", 1)
    outcomes: list[Outcome] = []

    @hears(LIT)
    def nested(unit: UnitOfWork, heard: Heard) -> None:
        insert(unit, heard)
        outcomes.append(Delivery(stepped, consumer).step().outcome)

    consumer = Consumer("lamps.seen", (nested,))
    steps(Delivery(stepped, consumer))
    assert outcomes == [Outcome.BUSY]
    assert seen(stepped) == [1]


def test_replay_from_a_sequence_number_and_from_the_beginning(stepped: Database) -> None:
    heard: list[int] = []

    @hears(LIT)
    def note(unit: UnitOfWork, fact: Heard) -> None:
        heard.append(fact.fact.nth)
        unit.execute("INSERT INTO public.seen (lamp, nth) VALUES ('a', :n)", n=fact.fact.nth)

    def forget(unit: UnitOfWork) -> None:
        unit.execute("DELETE FROM public.seen")

    consumer = Consumer("lamps.seen", (note,), forget=forget)
    for nth in range(1, 6):
        light(stepped, "a", nth)
    drain(stepped, [consumer])
    with stepped.unit_of_work(actor="staff:op") as unit:
        operation.replay(unit, "lamps.seen", 1)
    assert drain(stepped, [consumer]) == 5
    assert heard == [1, 2, 3, 4, 5] * 2
    assert seen(stepped) == [1, 2, 3, 4, 5], "forgotten first"

    with stepped.unit_of_work() as unit:
        unit.execute("DELETE FROM public.seen WHERE nth >= 4")
        operation.replay(unit, "lamps.seen", 1, from_sequence=4)
    marks: list[float] = []
    assert drain(stepped, [consumer], progress=lambda p: marks.append(p.done / p.total)) == 2
    assert seen(stepped) == [1, 2, 3, 4, 5]
    assert marks[-1] == 1
    assert marks == sorted(marks)
    assert state(stepped).facts_behind == 0

    with stepped.unit_of_work() as unit:
        operation.replay(unit, "lamps.seen", 1, from_sequence=10**12)
    assert drain(stepped, [consumer]) == 0, "from beyond the end: nothing again"

    with stepped.unit_of_work() as unit, pytest.raises(refusals.ConsumerNotFound):
        operation.replay(unit, "lamps.seen", 2)


def test_a_replay_delivers_dead_letters_again(stepped: Database, wall: SteppingClock) -> None:
    broken = {2}
    consumer = failing(broken, attempts=1)
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, consumer)
    exhaust(delivery, wall)
    broken.clear()
    with stepped.unit_of_work() as unit:
        operation.replay(unit, "lamps.seen", 1, from_sequence=2)
    exhaust(delivery, wall)
    assert seen(stepped) == [1, 2, 3]
    assert letters(stepped) == ()
    assert "replay" in (letters(stepped, LetterState.DISCARDED)[0].settled_because or "")


def test_a_replay_meets_what_was_running_when_it_began(stepped: Database, store: Store) -> None:
    consumer = failing(set())
    with psycopg.connect(store.conninfo()) as slow:
        append(slow, "a", [1])
        light(stepped, "a", 2)
        drain(stepped, [consumer])
        with stepped.unit_of_work() as unit:
            unit.execute("DELETE FROM public.seen")
            operation.replay(unit, "lamps.seen", 1, from_sequence=2)
        drain(stepped, [consumer])
        slow.commit()
    drain(stepped, [consumer])
    assert seen(stepped) == [2, 1]


def test_two_versions_of_a_consumer_have_two_places(stepped: Database) -> None:
    old = failing(set())
    light(stepped, "a", 1, 2)
    drain(stepped, [old])
    new = Consumer(old.name, old.handlers, version=2)
    with stepped.unit_of_work() as unit:
        unit.execute("DELETE FROM public.seen")
    assert drain(stepped, [old, new]) == 2
    assert state(stepped, version=2).delivered_sequence == 2
    with stepped.unit_of_work() as unit:
        operation.retire(unit, old.name, 1)
    with stepped.reading() as connection:
        assert [s.version for s in operation.consumer_states(connection)] == [2]
    with stepped.unit_of_work() as unit, pytest.raises(refusals.ConsumerNotFound):
        operation.retire(unit, old.name, 1)


def test_a_consumer_may_begin_now(stepped: Database) -> None:
    light(stepped, "a", 1)
    consumer = Consumer("lamps.seen", failing(set()).handlers, begins="now")
    drain(stepped, [consumer])
    light(stepped, "a", 2)
    drain(stepped, [consumer])
    assert seen(stepped) == [2]


def test_old_versions_are_lifted(stepped: Database) -> None:
    lengths: list[int] = []

    @hears("lamps.WickTrimmed@2")
    def note(unit: UnitOfWork, heard: Heard) -> None:
        lengths.append(heard.fact.length_mm)

    with stepped.unit_of_work() as unit:
        unit.record(WickTrimmed1(lamp="a", millimetres="7"), subject="lamp:a")
    drain(stepped, [Consumer("lamps.wicks", (note,))])
    assert lengths == [7]


def test_a_fact_of_a_later_release_is_waited_for(
    stepped: Database, store: Store, wall: SteppingClock
) -> None:
    """While releases are mixed, the older one must not read what it does not know."""
    light(stepped, "a", 1)
    with psycopg.connect(store.conninfo()) as newer:
        fact = ["lamps.LampLit", 9, "lamp:a", START, START, "staff:test", {"volt": 1}]
        newer.execute("SELECT events.append(%s)", (Jsonb([fact], dumps=msgspec.json.encode),))
    delivery = Delivery(stepped, failing(set(), attempts=1))
    for _ in range(3):
        assert steps(delivery)[-1] is Outcome.WAITING
        wall.advance(MINUTES)
    assert seen(stepped) == [1]
    assert "lamps.LampLit@9" in (state(stepped).trouble or "")
    assert letters(stepped) == ()


def test_lag_is_counted_by_what_the_consumer_hears(
    stepped: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = failing(set())
    drain(stepped, [consumer])
    light(stepped, "a", *range(8))
    with stepped.unit_of_work() as unit:
        unit.record(WickTrimmed1(lamp="a", millimetres="7"), subject="lamp:a")
    assert state(stepped).facts_behind == 8
    assert state(stepped).seconds_behind > 0
    Delivery(stepped, consumer, batch=3).step()
    assert state(stepped).facts_behind == 5
    assert operation.lag_seconds(stepped)["lamps.seen@1"] > 0
    monkeypatch.setattr("steelyard.events.store.consumers.COUNTED", 4)
    assert state(stepped).facts_behind == 6, "beyond the counting: distance in the log"
    drain(stepped, [consumer])
    assert (state(stepped).facts_behind, state(stepped).seconds_behind) == (0, 0.0)


def test_facts_nobody_hears_move_the_place_now_and_then(
    stepped: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.events.store.consumers.SKIPPED", 3)
    delivery = Delivery(stepped, failing(set()))
    steps(delivery)
    for count, outcomes in ((2, [Outcome.IDLE]), (1, [Outcome.DELIVERED, Outcome.IDLE])):
        with stepped.unit_of_work() as unit:
            for _ in range(count):
                unit.record(WickTrimmed1(lamp="a", millimetres="7"), subject="lamp:a")
        assert steps(delivery) == outcomes


def test_a_batch_that_takes_long_is_cut_short(
    stepped: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.events.service.delivery.LONGEST_BATCH", 0.0)
    light(stepped, "a", 1, 2, 3)
    delivery = Delivery(stepped, failing(set()))
    delivery.step()
    assert [delivery.step().facts for _ in range(3)] == [1, 1, 1]


def bad_declarations() -> dict[str, Callable[[], object]]:
    def handler(*names: str) -> Any:
        return hears(*names)(lambda unit, heard: None)

    return {
        "no name": lambda: handler(),
        "no version": lambda: handler("lamps.LampLit"),
        "two versions": lambda: handler("a.B@1", "a.B@2"),
        "no attempts": lambda: hears(LIT, attempts=0),
        "no handlers": lambda: Consumer("a.b", ()),
        "version 0": lambda: Consumer("a.b", (handler(LIT),), version=0),
        "versions of handlers": lambda: Consumer("a.b", (handler("a.B@1"), handler("a.B@2"))),
        "unknown fact": lambda: check_consumers([Consumer("a.b", (handler("a.Unknown@1"),))]),
        "old version": lambda: check_consumers(
            [Consumer("a.b", (handler("lamps.WickTrimmed@1"),))]
        ),
        "twice": lambda: check_consumers([Consumer("a.b", (handler(LIT),))] * 2),
    }


@pytest.mark.parametrize("case", bad_declarations())
def test_declarations_that_are_faults(case: str) -> None:
    with pytest.raises(AssertionError):
        bad_declarations()[case]()


def test_a_class_is_entered_by_kind_and_version() -> None:
    assert fact_classes()["lamps.LampLit", 1] is LampLit
    assert issubclass(fact_classes()["lamps.WickTrimmed", 2], Fact)
