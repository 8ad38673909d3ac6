"""Appending, reading by pages, and what the application role cannot do."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors

from steelyard.base import Database
from steelyard.events import FactFilter, reading
from steelyard.events.model.log import MAX_FACTS
from steelyard.kernel import CursorIsInvalid, SteppingClock
from tests.conftest import START, Store
from tests.events.lamps import LampBroken, LampLit, append, light

ALL = FactFilter()


def nths(database: Database, wanted: FactFilter = ALL, *, limit: int = 50) -> list[int]:
    """Read everything page by page."""
    found, cursor = [], None
    with database.reading() as connection:
        while True:
            page = reading.read_page(connection, wanted, cursor=cursor, limit=limit)
            assert len(page.items) <= limit
            found += [fact.sequence for fact in page.items]
            cursor = page.next
            if not page.has_more:
                return found


def test_a_fact_is_stored_as_it_was_recorded(database: Database) -> None:
    with database.unit_of_work(actor="staff:7") as unit:
        unit.record(
            LampLit(lamp="a", nth=1), subject="lamp:a", occurred_at=START - timedelta(hours=2)
        )
    with database.reading() as connection:
        (fact,) = reading.read_page(connection, ALL).items
    assert (fact.kind, fact.version, fact.subject) == ("lamps.LampLit", 1, "lamp:a")
    assert (fact.occurred_at, fact.recorded_at) == (START - timedelta(hours=2), START)
    assert (fact.actor, fact.epoch) == ("staff:7", 0)
    assert fact.payload == '{"nth": 1, "lamp": "a"}'


def test_facts_of_a_unit_keep_the_order_of_the_calls(database: Database) -> None:
    count = MAX_FACTS + 500
    with database.unit_of_work() as unit:
        for nth in range(count):
            unit.record(LampLit(lamp="a", nth=nth), subject="lamp:a")
    with database.reading() as connection:
        order = connection.execute(
            sa.text("SELECT CAST(payload->>'nth' AS int) FROM events.log ORDER BY sequence")
        )
        assert order.scalars().all() == list(range(count))


def test_a_unit_that_fails_leaves_no_fact(database: Database) -> None:
    def fail() -> None:
        with database.unit_of_work() as unit:
            unit.record(LampLit(lamp="a", nth=1), subject="lamp:a")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert nths(database) == []


def test_a_subject_is_a_noun_and_an_id(database: Database) -> None:
    def record() -> None:
        with database.unit_of_work() as unit:
            unit.record(LampLit(lamp="a", nth=1), subject="a lamp")

    with pytest.raises(sa.exc.IntegrityError):
        record()


def test_pages_give_every_fact_once(database: Database) -> None:
    for nth in range(7):
        light(database, "a", nth)
    for limit in (1, 2, 3, 7, 8, 50):
        assert nths(database, limit=limit) == sorted(nths(database))
        assert len(nths(database, limit=limit)) == 7


def test_pages_by_subject_kind_and_instant(database: Database, clock: SteppingClock) -> None:
    light(database, "a", 1, 2)
    light(database, "b", 1)
    clock.advance(timedelta(days=1))
    with database.unit_of_work() as unit:
        unit.record(LampBroken(lamp="a"), subject="lamp:a")
    assert len(nths(database, FactFilter(subject="lamp:a"))) == 3
    assert len(nths(database, FactFilter(frozenset({"lamps.LampBroken"})))) == 1
    assert len(nths(database, FactFilter(since=clock.now()))) == 1


def test_polling_misses_nothing_that_commits_late(database: Database, store: Store) -> None:
    with psycopg.connect(store.conninfo()) as slow:
        append(slow, "slow", [1])
        light(database, "fast", 1)
        with database.reading() as connection:
            first = reading.read_page(connection, ALL)
        assert [f.subject for f in first.items] == ["lamp:fast"]
        slow.commit()
    with database.reading() as connection:
        second = reading.read_page(connection, ALL, cursor=first.next)
        third = reading.read_page(connection, ALL, cursor=second.next)
    assert [f.subject for f in second.items] == ["lamp:slow"], "lower number, later commit"
    assert third.items == ()


def test_a_cursor_of_an_epoch_that_never_was(database: Database) -> None:
    from steelyard.events.model.log import NOTHING, Cursor

    light(database, "a", 1)
    with database.reading() as connection, pytest.raises(CursorIsInvalid):
        reading.read_page(connection, ALL, cursor=Cursor(5, NOTHING).text())


def test_newest_first(database: Database) -> None:
    for nth in range(5):
        light(database, "a", nth)
    found, cursor = [], None
    with database.reading() as connection:
        while True:
            page = reading.latest(connection, ALL, cursor=cursor, limit=2)
            found += [fact.sequence for fact in page.items]
            cursor = page.next
            if cursor is None:
                break
    assert found == sorted(nths(database), reverse=True)


HOSTILE = [
    "INSERT INTO events.log (epoch, version, kind, subject, occurred_at, recorded_at, actor,"
    " payload) VALUES (0, 1, 'a.B', 'a:1', now(), now(), 'x', '{}')",
    "UPDATE events.log SET actor = 'somebody else'",
    "DELETE FROM events.log",
    "TRUNCATE events.log",
    "TRUNCATE events.log CASCADE",
    "ALTER TABLE events.log DISABLE TRIGGER ALL",
    "DROP TABLE events.log",
    "SET session_replication_role = replica",
    "SELECT setval('events.log_sequence_seq', 1)",
    "SELECT nextval('events.log_sequence_seq')",
    "INSERT INTO events.epoch VALUES (1, 1, '1', now(), 'mine')",
    "UPDATE events.epoch SET number = 9",
    "SELECT events.begin_epoch('mine')",
    "DELETE FROM events.dead_letter",
    "UPDATE events.dead_letter SET sequence = 1",
    "CREATE FUNCTION events.append() RETURNS void LANGUAGE sql AS ''",
    "CREATE OR REPLACE FUNCTION events.epoch_fault() RETURNS text LANGUAGE sql AS ''",
]


def refused(conninfo: str, statement: str, error: type[psycopg.Error]) -> bool:
    with psycopg.connect(conninfo) as connection:
        try:
            connection.execute(statement)
        except error:
            return True
        connection.rollback()
        return False


def test_the_application_role_can_only_append(database: Database, store: Store) -> None:
    light(database, "a", 1)
    app = store.conninfo()
    assert [s for s in HOSTILE if not refused(app, s, errors.InsufficientPrivilege)] == []


def test_not_even_the_owner_changes_what_was_written(database: Database, store: Store) -> None:
    light(database, "a", 1)
    owner = store.conninfo(role="steelyard_owner")
    statements = [
        "UPDATE events.log SET actor = actor",
        "DELETE FROM events.log",
        "TRUNCATE events.log CASCADE",
        "UPDATE events.epoch SET reason = reason",
        "DELETE FROM events.epoch",
        "TRUNCATE events.epoch CASCADE",
    ]
    assert [s for s in statements if not refused(owner, s, errors.RestrictViolation)] == []


def test_the_search_path_of_the_caller_does_not_matter(database: Database, store: Store) -> None:
    """A function that runs as the owner must not run the caller's operators and functions."""
    with psycopg.connect(store.conninfo()) as app:
        app.execute(
            "CREATE FUNCTION pg_temp.pg_notify(text, text) RETURNS void LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'taken in'; END $$"
        )
        app.execute("INSERT INTO events.sleeper VALUES ('x', now() + interval '1 hour')")
        app.execute("SET search_path = pg_temp, pg_catalog")
        append(app, "a", [1])
    assert len(nths(database)) == 1
