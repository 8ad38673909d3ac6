"""Runners: wakened by NOTIFY, one at a time, taken over when killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.events import Consumer, Heard, Runner, hears, operation, refusals
from steelyard.events.service import bell
from steelyard.events.service import runner as running
from tests.conftest import Store
from tests.events.elsewhere import CONSUMER
from tests.events.lamps import LIT, append, light
from tests.events.test_delivery import failing, seen
from tests.events.waiting import PATIENCE, until


@pytest.fixture
def only_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleeper that looks at the log only when it is notified (within the patience of a test)."""
    monkeypatch.setattr(bell, "DUTY", PATIENCE * 2)
    monkeypatch.setattr(bell, "REGISTERED", PATIENCE * 8)
    monkeypatch.setattr(running, "IDLE", PATIENCE * 2)


def sleepers(store: Store) -> int:
    with psycopg.connect(store.conninfo()) as connection:
        row = connection.execute("SELECT count(*) FROM events.sleeper").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def noting(database: Database) -> Iterator[tuple[Runner, list[int]]]:
    noted: list[int] = []

    @hears(LIT)
    def note(unit: UnitOfWork, heard: Heard) -> None:
        noted.append(heard.fact.nth)

    with Runner(database, [Consumer("lamps.noted", (note,))]) as runner:
        yield runner, noted


@pytest.mark.usefixtures("only_notified")
def test_a_sleeping_runner_is_woken_by_the_commit(database: Database, store: Store) -> None:
    light(database, "a", 1)
    with noting(database) as (_, noted):
        until(lambda: noted == [1], "what was there before")
        for nth in (2, 3, 4):
            until(lambda: sleepers(store) == 1, "a sleeper")
            light(database, "a", nth)
            until(lambda: len(noted) == nth, "the notified fact")  # noqa: B023
        with psycopg.connect(store.conninfo()) as slow:
            append(slow, "a", [5])
            slow.rollback()
        light(database, "a", 6)
        until(lambda: noted[-1] == 6, "a fact after a roll-back")
    assert noted == [1, 2, 3, 4, 6]


@pytest.mark.usefixtures("only_notified")
def test_a_writer_that_was_running_already_is_not_missed(
    database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked for sleepers before there was one: so nobody falls asleep until it has ended."""
    monkeypatch.setattr(bell, "QUIET", 0.0)
    with psycopg.connect(store.conninfo()) as writer:
        append(writer, "a", [1])
        with noting(database) as (_, noted):
            until(lambda: sleepers(store) == 1, "a try to sleep")
            until(lambda: sleepers(store) == 0, "giving it up")
            writer.commit()
            until(lambda: noted == [1], "the fact")
            until(lambda: sleepers(store) == 1, "a sleeper")
            light(database, "a", 2)
            until(lambda: noted == [1, 2], "the next fact")


def test_nobody_is_notified_while_nobody_sleeps(database: Database, store: Store) -> None:
    with psycopg.connect(store.conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN steelyard_events")
        light(database, "a", 1)
        assert list(listener.notifies(timeout=0)) == []
        listener.execute("INSERT INTO events.sleeper VALUES ('late', now() - interval '1 s')")
        light(database, "a", 2)
        assert list(listener.notifies(timeout=0)) == [], "a sleeper without a sign of life"
        listener.execute("UPDATE events.sleeper SET until = now() + interval '1 hour'")
        light(database, "a", 3)
        assert len(list(listener.notifies(timeout=PATIENCE, stop_after=1))) == 1


@pytest.mark.usefixtures("only_notified")
def test_many_wake_ups_keep_it_awake(database: Database, store: Store) -> None:
    with noting(database) as (_, noted):
        until(lambda: sleepers(store) == 1, "a sleeper")
        nth = 0
        while sleepers(store) == 1:
            nth += 1
            light(database, "a", nth)
            until(lambda: len(noted) == nth, "each fact")  # noqa: B023
            assert nth < 2_000, "it never got up"
        for more in range(nth + 1, nth + 11):
            light(database, "a", more)
        until(lambda: len(noted) == nth + 10, "facts while awake")


def test_a_lost_connection_is_made_again(database: Database, store: Store) -> None:
    with noting(database) as (runner, noted), psycopg.connect(store.conninfo()) as other:
        until(lambda: runner.bell.held != frozenset(), "the lease")
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        other.commit()
        until(lambda: runner.bell.held == frozenset(), "losing the lease")
        until(lambda: runner.bell.held != frozenset(), "the lease again")
        light(database, "a", 1)
        until(lambda: noted == [1], "the fact")


def test_one_runner_at_a_time_and_a_killed_one_is_replaced(stepped: Database, store: Store) -> None:
    first = subprocess.Popen([sys.executable, "-m", "tests.events.elsewhere", store.url])
    try:
        light(stepped, "a", 1)

        def handled() -> list[tuple[str, int]]:
            with stepped.reading() as connection:
                rows = connection.execute(sa.text("SELECT lamp, nth FROM public.seen ORDER BY id"))
                return [(row.lamp, row.nth) for row in rows]

        until(lambda: len(handled()) == 1, "the first process")
        with Runner(stepped, [CONSUMER]) as second:
            light(stepped, "a", 2)
            until(lambda: len(handled()) == 2, "the first process again")
            assert {lamp for lamp, _ in handled()} == {str(first.pid)}
            assert second.bell.held == frozenset()
            with stepped.unit_of_work() as unit, pytest.raises(refusals.ConsumerIsRunning):
                operation.retire(unit, "lamps.seen", 1)
            first.kill()
            light(stepped, "a", 3, 4)
            until(lambda: len(handled()) == 4, "the second process")
        assert [lamp for lamp, _ in handled()] == [str(first.pid)] * 2 + [str(os.getpid())] * 2
        assert [nth for _, nth in handled()] == [1, 2, 3, 4]
    finally:
        first.kill()
        first.wait()


def test_a_running_consumer_takes_a_replay_and_a_letter(stepped: Database) -> None:
    broken = {2}
    consumer = failing(broken, attempts=1)
    light(stepped, "a", 1, 2, 3)
    with Runner(stepped, [consumer]):

        def activity() -> str:
            with stepped.reading() as connection:
                return operation.consumer_states(connection)[0].activity

        until(lambda: activity() == "stopped", "the dead letter")
        broken.clear()
        with stepped.reading() as connection:
            (letter,) = operation.dead_letters(connection).items
        with stepped.unit_of_work() as unit:
            operation.settle_letter(unit, letter.id, operation.Settlement.REPLAY, because="mended")
        until(lambda: seen(stepped) == [1, 2, 3], "the letter and what came after")
        until(lambda: activity() == "running", "running again")
        with stepped.unit_of_work() as unit:
            unit.execute("DELETE FROM public.seen WHERE nth > 1")
            operation.replay(unit, "lamps.seen", 1, from_sequence=2)
        until(lambda: seen(stepped) == [1, 2, 3], "the replay")
