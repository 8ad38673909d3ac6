"""A restored database: transaction ids begin anew, and still nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.base.postgres import Address, EmbeddedPostgres, bootstrap, find_binaries
from steelyard.events import Consumer, FactFilter, PostgresFactLog, drain, operation, reading
from tests.conftest import Store
from tests.events.lamps import light
from tests.events.test_interleavings import recorder


def epochs(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(
            connection.execute(sa.text("SELECT reason FROM events.epoch ORDER BY number"))
            .scalars()
            .all()
        )


def reopened(store: Store) -> Database:
    """As after a restart: no connection of before is left."""
    return Database(store.url, facts=PostgresFactLog())


def owner(store: Store) -> psycopg.Connection:
    return psycopg.connect(store.conninfo(role="steelyard_owner"), autocommit=True)


def restore_from_the_future(store: Store) -> None:
    """Put facts and a consumer's place as a server left them whose transaction ids were high."""
    with owner(store) as connection:
        connection.execute(
            "INSERT INTO events.log (sequence, position, epoch, version, kind, subject,"
            " occurred_at, recorded_at, actor, payload) OVERRIDING SYSTEM VALUE"
            " SELECT n, (5000000000 + n)::text::xid8, 0, 1, 'lamps.LampLit', 'lamp:old',"
            " now(), now(), 'staff:test', jsonb_build_object('lamp', 'old', 'nth', n)"
            " FROM generate_series(1, 6) AS n"
        )
        connection.execute(
            "INSERT INTO events.consumer (name, version, hears, epoch, seen)"
            " VALUES ('lamps.seen', 1, '{lamps.LampLit@1}', 0, '5000000004:5000000004:')"
        )


def test_in_one_life_of_a_server_there_is_one_epoch(database: Database, store: Store) -> None:
    for nth in range(3):
        light(database, "a", nth)
    again = reopened(store)
    light(again, "a", 4)
    again.close()
    assert epochs(database) == ["first installation"]


def test_positions_in_the_future_begin_an_epoch(store: Store) -> None:
    restore_from_the_future(store)
    seen: list[tuple[str, int]] = []
    database = reopened(store)
    light(database, "new", 1)
    light(database, "new", 2)
    assert epochs(database) == ["first installation", "facts lie in the future of the server"]
    drain(database, [recorder("lamps.seen", seen)])
    assert seen == [("old", 4), ("old", 5), ("old", 6), ("new", 1), ("new", 2)]
    with database.reading() as connection:
        facts = reading.read_page(connection, FactFilter()).items
    assert [(f.epoch, f.sequence) for f in facts] == [(0, n) for n in range(1, 7)] + [
        (1, 7),
        (1, 8),
    ], "numbers go on above those that were restored"
    drain(database, [recorder("lamps.seen", seen)])
    assert len(seen) == 5
    database.close()


def test_a_runner_that_starts_first_begins_the_epoch(store: Store) -> None:
    restore_from_the_future(store)
    seen: list[tuple[str, int]] = []
    database = reopened(store)
    drain(database, [recorder("lamps.other", seen)])
    assert len(epochs(database)) == 2
    light(database, "new", 1)
    assert len(epochs(database)) == 2
    drain(database, [recorder("lamps.other", seen)])
    assert [nth for _, nth in seen] == [1, 2, 3, 4, 5, 6, 1]
    database.close()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("system_identifier = 1", "the database was restored on another server"),
        ("timeline = '00000009'", "the server was recovered on a new timeline"),
    ],
)
def test_another_server_or_timeline_begins_an_epoch(
    database: Database, store: Store, damage: str, reason: str
) -> None:
    light(database, "a", 1)
    with owner(store) as connection:
        connection.execute("ALTER TABLE events.epoch DISABLE TRIGGER epoch_is_append_only")
        connection.execute(f"UPDATE events.epoch SET {damage}")
        connection.execute("ALTER TABLE events.epoch ENABLE TRIGGER epoch_is_append_only")
    restarted = reopened(store)
    light(restarted, "a", 2)
    assert epochs(restarted)[1:] == [reason]
    restarted.close()


def test_an_epoch_that_is_rolled_back_is_begun_again(store: Store) -> None:
    restore_from_the_future(store)
    database = reopened(store)

    def fail() -> None:
        with database.unit_of_work() as unit:
            PostgresFactLog().write(unit.connection, [])
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert len(epochs(database)) == 1
    light(database, "new", 1)
    assert len(epochs(database)) == 2
    database.close()


def test_the_owner_begins_an_epoch_behind_every_writer(database: Database, store: Store) -> None:
    light(database, "a", 1)
    engine = sa.create_engine(store.owner_url)
    with engine.begin() as connection:
        assert operation.begin_epoch(connection, because="restored from last night") == 1
    engine.dispose()
    light(database, "a", 2)
    assert epochs(database)[1:] == ["restored from last night"]
    seen: list[tuple[str, int]] = []
    drain(database, [recorder("lamps.seen", seen)])
    assert seen == [("a", 1), ("a", 2)]


def test_a_cursor_handed_out_before_goes_on_after(store: Store) -> None:
    restore_from_the_future(store)
    database = reopened(store)
    with database.reading() as connection:
        early = reading.read_page(connection, FactFilter())
    assert early.items == (), "what lies in the future waits for the epoch"
    light(database, "new", 1)
    with database.reading() as connection:
        first = reading.read_page(connection, FactFilter(), cursor=early.next, limit=4)
    light(database, "new", 2)
    with database.reading() as connection:
        second = reading.read_page(connection, FactFilter(), cursor=first.next)
    assert [f.sequence for f in (*first.items, *second.items)] == list(range(1, 9))
    database.close()


@pytest.fixture
def other_server() -> Iterator[Address]:
    home = Path(tempfile.mkdtemp(prefix="steelyard-other-"))
    server = EmbeddedPostgres(home, durable=False)
    yield server.acquire()
    server.release()
    shutil.rmtree(home)


def test_dumped_and_restored_on_a_younger_server(
    database: Database, store: Store, other_server: Address
) -> None:
    """The real thing: pg_dump and pg_restore; the other server's transaction ids are lower."""
    seen: list[tuple[str, int]] = []
    consumer: Consumer = recorder("lamps.seen", seen)
    for nth in range(1, 41):
        light(database, "a", nth)
    drain(database, [Consumer(consumer.name, consumer.handlers)])
    for nth in range(41, 61):
        light(database, "a", nth)
    with tempfile.TemporaryDirectory(prefix="steelyard-dump-") as folder:
        dump = Path(folder) / "dump"
        tools = find_binaries()
        environment = {**os.environ, "LD_LIBRARY_PATH": str(tools.bin_dir.parent / "lib")}
        subprocess.run(
            [
                tools.bin_dir / "pg_dump",
                "--format=custom",
                f"--file={dump}",
                f"--dbname={store.address.conninfo(role='postgres', database=store.name)}",
            ],
            check=True,
            env=environment,
        )
        bootstrap(other_server, database="restored")
        subprocess.run(
            [
                tools.bin_dir / "pg_restore",
                f"--dbname={other_server.conninfo(role='postgres', database='restored')}",
                dump,
            ],
            check=True,
            env=environment,
        )
    restored = Store(other_server, "restored")
    moved = reopened(restored)
    for nth in range(61, 71):
        light(moved, "a", nth)
    drain(moved, [consumer])
    assert [nth for _, nth in seen] == list(range(1, 71))
    assert epochs(moved)[1:] == ["the database was restored on another server"]
    moved.close()
