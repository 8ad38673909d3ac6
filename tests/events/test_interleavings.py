"""Nothing is lost and every subject's facts keep their order, however transactions interleave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.base import Database, UnitOfWork
from steelyard.events import Consumer, Heard, drain, hears
from steelyard.events.model.log import NOTHING, Cursor, FactFilter
from steelyard.events.service.delivery import Delivery, Outcome
from steelyard.events.store.log import open_window, read_window
from tests.conftest import Store
from tests.events.lamps import LIT, append, light


def recorder(name: str, seen: list[tuple[str, int]], version: int = 1) -> Consumer:
    @hears(LIT)
    def note(unit: UnitOfWork, heard: Heard) -> None:
        seen.append((heard.fact.lamp, heard.fact.nth))

    return Consumer(name, (note,), version=version)


def xid(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def connections(store: Store, count: int) -> Iterator[list[psycopg.Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(store.conninfo())) for _ in range(count)]


def test_a_subject_keeps_its_order_while_a_stranger_is_still_running(
    store: Store, database: Database
) -> None:
    """The later transaction id writes first; a third transaction in between stays open.

    A reader that takes what lies below the oldest running transaction would be given the second
    fact here, and the first one when the stranger has ended.
    """
    seen: list[tuple[str, int]] = []
    consumer = recorder("lamps.seen", seen)
    with connections(store, 3) as (early, stranger, late):
        oldest = xid(early), xid(stranger), xid(late)
        assert list(oldest) == sorted(oldest)
        append(late, "a", [1])
        late.commit()
        append(early, "a", [2])
        early.commit()
        with database.reading() as connection:
            below = connection.execute(
                sa.text(
                    "SELECT CAST(payload->>'nth' AS int) FROM events.log"
                    " WHERE position < CAST(:stranger AS xid8) ORDER BY sequence"
                ),
                {"stranger": str(oldest[1])},
            )
            assert below.scalars().all() == [2], "the case is what it says"
        drain(database, [consumer])
        assert seen == [("a", 1), ("a", 2)], "both are taken, in order, and nobody is waited for"
        append(stranger, "a", [3])
        stranger.commit()
    drain(database, [consumer])
    assert seen == [("a", 1), ("a", 2), ("a", 3)]


def test_sequence_order_against_transaction_order(store: Store, database: Database) -> None:
    seen: list[tuple[str, int]] = []
    consumer = recorder("lamps.seen", seen)
    with connections(store, 2) as (first, second):
        assert xid(first) < xid(second)
        append(second, "b", [1])
        append(first, "a", [1])
        first.commit()
        drain(database, [consumer])
        assert seen == [("a", 1)], "the lower number is not committed yet, and not waited for"
        second.commit()
        drain(database, [consumer])
    assert seen == [("a", 1), ("b", 1)]


def test_what_a_consumer_records_itself_reaches_it(database: Database) -> None:
    seen: list[int] = []

    @hears(LIT)
    def echo(unit: UnitOfWork, heard: Heard) -> None:
        seen.append(heard.fact.nth)
        if heard.fact.nth < 3:
            unit.record(type(heard.fact)(lamp="echo", nth=heard.fact.nth + 1), subject="lamp:echo")

    light(database, "echo", 1)
    drain(database, [Consumer("lamps.echo", (echo,))])
    assert seen == [1, 2, 3]


def test_a_window_does_not_count_its_own_transaction_as_seen(
    database: Database, store: Store
) -> None:
    """PostgreSQL leaves a transaction's own id out of its snapshot, though others are later."""
    with database.unit_of_work() as unit:
        xid(unit.driver)
        light(database, "other", 1)
        append(unit.driver, "own", [1])
        window = open_window(unit.connection, Cursor(0, NOTHING))
        facts, behind = read_window(unit.connection, window, FactFilter(), limit=9)
        assert [fact.subject for fact in facts] == ["lamp:other"]
    with database.reading() as connection:
        window = open_window(connection, behind)
        facts, behind = read_window(connection, window, FactFilter(), limit=9)
    assert [fact.subject for fact in facts] == ["lamp:own"]


class Interleaving:
    """Transactions on connections that the test drives; a subject's row is locked as rooms do."""

    WRITERS = 4

    def __init__(self, store: Store) -> None:
        self.store = store
        self.connections = [psycopg.connect(store.conninfo()) for _ in range(self.WRITERS)]
        self.locked: dict[str, int] = {}
        self.next_of: dict[str, int] = defaultdict(int)
        self.pending: dict[int, list[tuple[str, int]]] = defaultdict(list)
        self.committed: list[tuple[str, int]] = []

    def act(self, writer: int, verb: str, lamp: str) -> None:
        connection = self.connections[writer]
        if verb == "touch":
            xid(connection)
        elif verb == "append" and self.locked.get(lamp, writer) == writer:
            self.locked[lamp] = writer
            self.next_of[lamp] += 1
            append(connection, lamp, [self.next_of[lamp]])
            self.pending[writer].append((lamp, self.next_of[lamp]))
        elif verb == "commit":
            connection.commit()
            self.committed += self.pending.pop(writer, [])
            self._unlock(writer)
        elif verb == "rollback":
            connection.rollback()
            for name, nth in reversed(self.pending.pop(writer, [])):
                self.next_of[name] = nth - 1
            self._unlock(writer)

    def _unlock(self, writer: int) -> None:
        self.locked = {k: v for k, v in self.locked.items() if v != writer}

    def finish(self) -> None:
        for writer in range(self.WRITERS):
            self.act(writer, "commit", "")

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


VERBS = st.sampled_from(["touch", "append", "append", "append", "commit", "commit", "rollback"])
WRITERS = st.integers(0, Interleaving.WRITERS - 1)
LATER = st.lists(st.tuples(WRITERS, VERBS, st.sampled_from("ab")), min_size=5, max_size=60)


def merged(turns: list[int], lamps: str) -> list[tuple[int, str, str]]:
    """Let each writer come by its transaction id, append and commit, in the turns given."""
    script = ("touch", "append", "commit")
    counts = [0] * Interleaving.WRITERS
    actions = []
    for writer in turns:
        actions.append((writer, script[counts[writer] % 3], lamps[writer]))
        counts[writer] += 1
    return actions


CROWD = st.builds(
    merged,
    st.lists(WRITERS, min_size=24, max_size=48),
    st.sampled_from(["aaaa", "aaab", "abab"]),
)
ACTIONS = st.one_of(LATER, CROWD)


@pytest.fixture
def run(store: Store, database: Database) -> Callable[[Any, int], None]:
    count = 0

    def play(actions: list[tuple[int, str, str]], batch: int) -> None:
        nonlocal count
        count += 1
        seen: list[tuple[str, int]] = []
        consumer = recorder("lamps.seen", seen, version=count)
        consumer = Consumer(consumer.name, consumer.handlers, version=count, begins="now")
        steps = Delivery(database, consumer, batch=batch)
        steps.step()
        drive = Interleaving(store)
        try:
            for writer, verb, lamp in actions:
                drive.act(writer, verb, lamp)
                if verb == "commit":
                    steps.step()
            drive.finish()
        finally:
            drive.close()
        while steps.step().outcome is not Outcome.IDLE:
            pass
        assert sorted(seen) == sorted(drive.committed), "each committed fact, once"
        for lamp in "abc":
            nths = [nth for name, nth in seen if name == lamp]
            assert nths == sorted(nths), f"the facts of {lamp} in order"

    return play


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS, batch=st.integers(1, 4))
def test_chosen_interleavings(
    run: Callable[[Any, int], None], actions: list[tuple[int, str, str]], batch: int
) -> None:
    run(actions, batch)


@pytest.mark.long
@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS, batch=st.integers(1, 4))
def test_very_many_interleavings(
    run: Callable[[Any, int], None], actions: list[tuple[int, str, str]], batch: int
) -> None:
    run(actions, batch)


def test_six_concurrent_writers_lose_nothing(store: Store, database: Database) -> None:
    writers, units = 6, 40
    with psycopg.connect(store.conninfo(role="steelyard_owner")) as connection:
        connection.execute("CREATE TABLE public.lamp (name text PRIMARY KEY, nth int NOT NULL)")
        connection.execute(
            "INSERT INTO public.lamp SELECT name, 0 FROM unnest('{a,b,c}'::text[]) AS l (name)"
        )
        connection.execute("GRANT ALL ON public.lamp TO steelyard_app")

    def write(number: int) -> None:
        with psycopg.connect(store.conninfo()) as connection:
            for turn in range(units):
                connection.execute("SELECT pg_current_xact_id()")
                for lamp in ("abc"[(number + turn) % 3],):
                    row = connection.execute(
                        "UPDATE public.lamp SET nth = nth + 1 WHERE name = %s RETURNING nth",
                        (lamp,),
                    ).fetchone()
                    assert row is not None
                    append(connection, lamp, [row[0]])
                connection.commit()

    seen: list[tuple[str, int]] = []
    consumer = recorder("lamps.seen", seen)
    threads = [Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drain(database, [consumer])
    for thread in threads:
        thread.join()
    drain(database, [consumer])
    assert len(seen) == writers * units
    for lamp in "abc":
        nths = [nth for name, nth in seen if name == lamp]
        assert nths == list(range(1, len(nths) + 1))
