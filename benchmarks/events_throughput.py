"""Events: append and consume per second, beside the plain peer; what NOTIFY costs group commit.

Appending: one fact a unit of work from 1 and 8 threads, and batches. Consuming: handlers that do
nothing but read, and handlers that write a row for each fact, one by one or as a list. The peer has
the same guarantees (see `events_ground`). Both logs give the same facts in the same order per
subject before anything is timed; how many facts the naive reader (no lock) loses is counted too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import psycopg

sys.path.insert(0, str(Path(__file__).parent))
from events_ground import (
    HEARD,
    Ground,
    ParcelSent,
    fsync_rate,
    ground,
    parcels,
    peer_append,
    pgbench,
    record,
)
from steelyard.base import Database, UnitOfWork
from steelyard.events import Consumer, Heard, drain, hears

BATCH = 500
Rows = list[list[Any]]


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: what was done, ours and the peer's rate, and their ratio."""
    rounds = 1 if quick else 3
    scale = 1 if quick else 3
    with ground() as here:
        database = here.database()
        _assert_equal(here, database)
        _fill(here, database, 10_000 if quick else 40_000)
        rows = [
            *_consuming(here, database, rounds),
            *_appending(here, database, rounds, scale),
            *_notifying(here, seconds=1 if quick else 3, rounds=rounds),
            [
                "facts lost by a reader of `id > last` under 6 writers",
                "",
                _lost_by_the_naive(here),
                "",
            ],
        ]
        database.close()
    return {
        "title": f"Events: append and consume; the disk makes {fsync_rate()} fsync/s",
        "columns": ["work", "ours, 1/s", "peer, 1/s", "ratio"],
        "rows": rows,
    }


def _timed(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _compare(
    name: str, count: int, ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> list[Any]:
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        rates[0].append(_timed(count, ours))
        rates[1].append(_timed(count, peer))
    mine, other = statistics.median(rates[0]), statistics.median(rates[1])
    return [name, round(mine), round(other), f"{mine / other:.1f}"]


def _fill(here: Ground, database: Database, count: int) -> None:
    with psycopg.connect(here.conninfo()) as connection:
        for start in range(0, count, 1_000):
            facts = parcels(1_000, start=start)
            record(database, facts)
            peer_append(connection, facts)


def _appending(here: Ground, database: Database, rounds: int, scale: int) -> Rows:
    def ours(count: int, size: int, threads: int) -> Callable[[], None]:
        def work() -> None:
            for _ in range(count // size // threads):
                record(database, parcels(size))

        return lambda: _together(threads, work)

    def peer(count: int, size: int, threads: int) -> Callable[[], None]:
        def work() -> None:
            with psycopg.connect(here.conninfo()) as connection:
                for _ in range(count // size // threads):
                    peer_append(connection, parcels(size))

        return lambda: _together(threads, work)

    rows = []
    for size, threads, count in (
        (1, 1, 400 * scale),
        (1, 8, 1_200 * scale),
        (100, 1, 4_000 * scale),
        (1_000, 1, 10_000 * scale),
        (10_000, 1, 20_000 * scale),
    ):
        name = f"append, {size} a commit, {threads} writer{'s' if threads > 1 else ''}"
        args = count, size, threads
        rows.append(_compare(name, count, ours(*args), peer(*args), rounds))
    return rows


def _together(threads: int, work: Callable[[], None]) -> None:
    running = [Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


@hears(HEARD)
def only_read(unit: UnitOfWork, heard: Heard) -> None:
    assert heard.fact.parcel >= 0


@hears(HEARD)
def write_each(unit: UnitOfWork, heard: Heard) -> None:
    unit.driver.execute(
        "INSERT INTO peer.effect VALUES ('ours', %s, %s, %s)",
        (heard.stored.sequence, heard.fact.parcel, heard.fact.nth),
    )


@hears(HEARD, many=True)
def write_many(unit: UnitOfWork, facts: Sequence[Heard]) -> None:
    unit.driver.execute(
        "INSERT INTO peer.effect SELECT 'ours', * FROM unnest(%s::bigint[], %s::int[], %s::int[])",
        (
            [h.stored.sequence for h in facts],
            [h.fact.parcel for h in facts],
            [h.fact.nth for h in facts],
        ),
    )


def _consuming(here: Ground, database: Database, rounds: int) -> Rows:
    counts = _counts(here)
    version = 0

    def ours(handler: Any) -> Callable[[], None]:
        def work() -> None:
            nonlocal version
            version += 1
            assert (
                drain(database, [Consumer("bench.reader", (handler,), version=version)])
                == (counts[0])
            )

        return work

    rows = []
    for name, handler, effect in (
        ("consume, handler reads", only_read, None),
        ("consume, handler writes a row", write_each, "each"),
        ("consume, handler writes rows for a list", write_many, "many"),
    ):
        mine = [_timed(counts[0], ours(handler)) for _ in range(rounds)]
        peer = partial(_peer_read, here, effect)
        other = [_timed(counts[1], peer) for _ in range(rounds)]
        a, b = statistics.median(mine), statistics.median(other)
        rows.append([name, round(a), round(b), f"{a / b:.1f}"])
        here.owner("TRUNCATE peer.effect")
    return rows


def _counts(here: Ground) -> tuple[int, int]:
    with psycopg.connect(here.conninfo()) as connection:
        found = connection.execute(
            "SELECT (SELECT count(*) FROM events.log), (SELECT count(*) FROM peer.event)"
        ).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])


def _peer_read(here: Ground, effect: str | None) -> None:
    decoder = msgspec.json.Decoder(ParcelSent)
    with psycopg.connect(here.conninfo()) as connection:
        connection.execute("DELETE FROM peer.reader")
        connection.execute("INSERT INTO peer.reader VALUES ('bench', 0)")
        connection.commit()
        while True:
            (last,) = connection.execute(
                "SELECT last FROM peer.reader WHERE name = 'bench' FOR UPDATE"
            ).fetchone() or (0,)
            events = connection.execute(
                "SELECT id, kind, subject, occurred_at, payload::text FROM peer.event"
                " WHERE id > %s ORDER BY id LIMIT %s",
                (last, BATCH),
            ).fetchall()
            if not events:
                return
            facts = [(event[0], decoder.decode(event[4])) for event in events]
            rows = [(number, fact.parcel, fact.nth) for number, fact in facts]
            if effect == "each":
                for row in rows:
                    connection.execute("INSERT INTO peer.effect VALUES ('peer', %s, %s, %s)", row)
            elif effect == "many":
                connection.execute(
                    "INSERT INTO peer.effect SELECT 'peer', *"
                    " FROM unnest(%s::bigint[], %s::int[], %s::int[])",
                    tuple(list(column) for column in zip(*rows, strict=True)),
                )
            connection.execute("UPDATE peer.reader SET last = %s", (events[-1][0],))
            connection.commit()


def _assert_equal(here: Ground, database: Database) -> None:
    """The same facts through both logs, with the same effects in the same order per subject."""
    facts = parcels(2_000)
    record(database, facts)
    with psycopg.connect(here.conninfo()) as connection:
        peer_append(connection, facts)
    drain(database, [Consumer("bench.equal", (write_each,))])
    _peer_read(here, "each")
    with psycopg.connect(here.conninfo()) as connection:
        order = (
            "SELECT parcel, array_agg(nth ORDER BY id) FROM peer.effect WHERE source = %s"
            " GROUP BY parcel ORDER BY parcel"
        )
        ours = connection.execute(order, ("ours",)).fetchall()
        assert ours == connection.execute(order, ("peer",)).fetchall()
        assert sum(len(nths) for _, nths in ours) == len(facts)
    here.owner("TRUNCATE peer.effect")


def _lost_by_the_naive(here: Ground) -> str:
    """Read by `id > last` while six write without a lock, and count what was never seen."""
    here.owner("TRUNCATE peer.event RESTART IDENTITY")
    per_writer = 300

    def write() -> None:
        with psycopg.connect(here.conninfo()) as connection:
            for fact in parcels(per_writer):
                peer_append(connection, [fact], lock=False)

    threads = [Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    seen, last = 0, 0
    with psycopg.connect(here.conninfo(), autocommit=True) as connection:
        while True:
            alive = any(thread.is_alive() for thread in threads)
            ids = connection.execute(
                "SELECT id FROM peer.event WHERE id > %s ORDER BY id", (last,)
            ).fetchall()
            seen += len(ids)
            last = ids[-1][0] if ids else last
            if not alive and not ids:
                break
    written = _counts(here)[1]
    assert written == 6 * per_writer
    return f"{written - seen} of {written} lost"


_COMMITS = """
SELECT events.append(jsonb_build_array(jsonb_build_array('bench.ParcelSent', 1,
 concat('parcel', chr(58), cast(pg_backend_pid() as text)), now(), now(), 'system',
 jsonb_build_object('a', 1, 'b', repeat('abcdefghij', 22)))));
"""


def _notifying(here: Ground, *, seconds: int, rounds: int) -> Rows:
    """Commits a second while nobody sleeps (no NOTIFY), against a NOTIFY in each commit."""
    found = pgbench()
    if found is None:
        return [["commits without NOTIFY against with", "", "", "pgbench is not installed"]]
    program, environment = found
    rows: Rows = []
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_COMMITS)
        script.flush()
        for clients in (1, 8, 32):
            rates: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(rounds):
                for sleeping in (False, True):
                    here.owner("DELETE FROM events.sleeper")
                    if sleeping:
                        here.owner(
                            "INSERT INTO events.sleeper VALUES ('bench', now() + interval '1 h')"
                        )
                    done = subprocess.run(
                        [
                            *(program, "--no-vacuum", "--protocol=prepared", "--jobs=2"),
                            *(f"--client={clients}", f"--time={seconds}"),
                            *(f"--file={script.name}", here.conninfo()),
                        ],
                        env=environment,
                        capture_output=True,
                        text=True,
                        check=True,
                    )
                    line = next(x for x in done.stdout.splitlines() if x.startswith("tps"))
                    rates[sleeping].append(float(line.split()[2]))
            a, b = statistics.median(rates[False]), statistics.median(rates[True])
            name = f"commits, {clients} clients: silent against NOTIFY"
            rows.append([name, round(a), round(b), f"{a / b:.1f}"])
    here.owner("DELETE FROM events.sleeper")
    return rows


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
