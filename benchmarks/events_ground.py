"""Ground for the benchmarks of the log: a durable server of its own, facts, and a plain peer.

The peer is what one would write first with the same guarantees: a table of events, one INSERT per
event, an advisory lock held to the commit so that numbers are committed in order, and a reader that
takes `id > last` and stores `last` with its effects.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg

from steelyard.base import Database, Fact
from steelyard.base.postgres import Address, EmbeddedPostgres, bootstrap, find_binaries
from steelyard.base.schema import migrate
from steelyard.events import PostgresFactLog

SUBJECTS = 1_000
FILLER = "abcdefghij" * 22
PEER_LOCK = 42


class ParcelSent(Fact, kind="bench.ParcelSent", version=1):
    """About 300 bytes of payload."""

    parcel: int
    nth: int
    sent_ns: int
    note: str = FILLER


HEARD = "bench.ParcelSent@1"


@dataclass(frozen=True, slots=True)
class Ground:
    """A server with our schema in it, and the peer's."""

    address: Address
    name: str = "bench"

    @property
    def url(self) -> str:
        return self.address.url(role="steelyard_app", database=self.name)

    def conninfo(self, role: str = "steelyard_app") -> str:
        return self.address.conninfo(role=role, database=self.name)

    def database(self) -> Database:
        return Database(self.url, facts=PostgresFactLog(), pool_size=20)

    def owner(self, sql: str) -> None:
        with psycopg.connect(self.conninfo("steelyard_owner"), autocommit=True) as connection:
            connection.execute(sql)


@contextmanager
def ground() -> Iterator[Ground]:
    """Have a fresh durable server for a while."""
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with EmbeddedPostgres(home) as address:
            bootstrap(address, database="bench")
            migrate(address.url(role="steelyard_owner", database="bench"))
            here = Ground(address)
            here.owner(
                "CREATE SCHEMA peer; GRANT USAGE ON SCHEMA peer TO steelyard_app;"
                "CREATE TABLE peer.event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                " kind text NOT NULL, subject text NOT NULL, occurred_at timestamptz NOT NULL,"
                " payload jsonb NOT NULL, written_at timestamptz NOT NULL DEFAULT now());"
                "CREATE INDEX ON peer.event (subject, id); CREATE INDEX ON peer.event (kind, id);"
                "CREATE TABLE peer.reader (name text PRIMARY KEY, last bigint NOT NULL);"
                "CREATE TABLE peer.effect (source text, id bigint, parcel int, nth int);"
                "GRANT ALL ON ALL TABLES IN SCHEMA peer TO steelyard_app"
            )
            yield here


def parcels(count: int, *, start: int = 0) -> list[ParcelSent]:
    """Return facts about `SUBJECTS` subjects in turn."""
    now = time.monotonic_ns()
    return [
        ParcelSent(parcel=n % SUBJECTS, nth=n, sent_ns=now) for n in range(start, start + count)
    ]


def record(database: Database, facts: Sequence[ParcelSent]) -> None:
    """Append the facts in one unit of work."""
    with database.unit_of_work(actor="system:bench") as unit:
        for fact in facts:
            unit.record(fact, subject=f"parcel:{fact.parcel}")


def peer_append(
    connection: psycopg.Connection, facts: Sequence[ParcelSent], *, lock: bool = True
) -> None:
    """Append the facts in one transaction, the plain way."""
    if lock:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (PEER_LOCK,))
    encode = msgspec.json.encode
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO peer.event (kind, subject, occurred_at, payload)"
            " VALUES (%s, %s, now(), %s)",
            [("bench.ParcelSent", f"parcel:{f.parcel}", encode(f).decode()) for f in facts],
        )
    connection.commit()


def fsync_rate() -> int:
    """Return how many 8 KB writes a second this disk makes durable."""
    with tempfile.NamedTemporaryFile() as file:
        until, count = time.perf_counter() + 0.5, 0
        while time.perf_counter() < until:
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            os.fdatasync(file.fileno())
            count += 1
    return count * 2


def pgbench() -> tuple[Path, dict[str, str]] | None:
    """Return the program `pgbench` and its environment, where the installation has it."""
    program = find_binaries().bin_dir / "pgbench"
    libraries = str(program.parent.parent / "lib")
    return (program, {**os.environ, "LD_LIBRARY_PATH": libraries}) if program.exists() else None


def python() -> str:
    """Return this interpreter."""
    return sys.executable
