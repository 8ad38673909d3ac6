"""Events: from the call that appends a fact to the handler that is given it, in another process.

One writer records facts at a steady pace, each in a durable unit of work; a runner in a process of
its own handles them. The time is from before the unit of work opens to the handler's first line, so
it contains the commit. Beside it a plain reader that asks for `id > last` every 50 ms. Every fact
must arrive, once and in order, before the times are told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).parent))
from events_ground import (
    HEARD,
    Ground,
    ParcelSent,
    ground,
    peer_append,
    python,
    record,
)
from steelyard.base import Database, UnitOfWork
from steelyard.events import Consumer, Heard, PostgresFactLog, Runner, hears

POLL = 0.05


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: for each pace, the latencies of ours and of the polling peer."""
    rows = []
    paces = ((10, 5), (100, 5), (500, 5)) if quick else ((10, 20), (100, 15), (500, 15))
    with ground() as here:
        database = here.database()
        with psycopg.connect(here.conninfo()) as connection:
            ways: dict[str, Callable[[ParcelSent], None]] = {
                "ours": lambda fact: record(database, [fact]),
                "peer, polls each 50 ms": lambda fact: peer_append(connection, [fact]),
            }
            for pace, seconds in paces:
                for name, send in ways.items():
                    times = _measure(here, name[:4], pace, seconds, send)
                    rows.append([f"{pace} facts a second", name, *_percentiles(times)])
        database.close()
    return {
        "title": "Events: append to handler in another process",
        "columns": ["pace", "reader", "facts", "p50 ms", "p99 ms", "longest ms"],
        "rows": rows,
    }


def _percentiles(times: list[float]) -> list[float]:
    ordered = sorted(times)
    at = [ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1)]
    return [len(times), *(round(x, 2) for x in at)]


def _measure(
    here: Ground, reader: str, pace: int, seconds: int, send: Callable[[ParcelSent], None]
) -> list[float]:
    count = pace * seconds
    command = [python(), __file__, "--reader", reader, str(pace), str(count), *_where(here)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)  # it shall be asleep
        began = time.monotonic()
        for nth in range(count):
            wait = began + nth / pace - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            send(ParcelSent(parcel=pace, nth=nth, sent_ns=time.monotonic_ns()))
        heard = json.loads(process.stdout.readline())
    assert [nth for nth, _ in heard] == list(range(count)), "each once, in order"
    return [milliseconds for _, milliseconds in heard]


def _where(here: Ground) -> list[str]:
    return [here.url, here.conninfo()]


def _read_ours(url: str, pace: int, count: int) -> None:
    heard: list[tuple[int, float]] = []

    @hears(HEARD)
    def note(unit: UnitOfWork, fact: Heard) -> None:
        if fact.fact.parcel == pace:
            heard.append((fact.fact.nth, (time.monotonic_ns() - fact.fact.sent_ns) / 1e6))

    database = Database(url, facts=PostgresFactLog())
    consumer = Consumer("bench.latency", (note,), version=pace, begins="now")
    with Runner(database, [consumer]):
        print("ready", flush=True)
        while len(heard) < count:
            time.sleep(0.05)
    database.close()
    print(json.dumps(heard), flush=True)


def _read_peer(conninfo: str, pace: int, count: int) -> None:
    heard: list[tuple[int, float]] = []
    with psycopg.connect(conninfo) as connection:
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM peer.event").fetchone() or (
            0,
        )
        connection.execute("INSERT INTO peer.reader VALUES (%s, %s)", (f"latency {pace}", last))
        connection.commit()
        print("ready", flush=True)
        while len(heard) < count:
            rows = connection.execute(
                "SELECT id, payload FROM peer.event WHERE id > %s ORDER BY id LIMIT 500", (last,)
            ).fetchall()
            for number, payload in rows:
                heard.append((payload["nth"], (time.monotonic_ns() - payload["sent_ns"]) / 1e6))
                last = number
            if rows:
                connection.execute("UPDATE peer.reader SET last = %s", (last,))
            connection.commit()
            if not rows:
                time.sleep(POLL)
    print(json.dumps(heard), flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--reader", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.reader is None:
        print(json.dumps(run(chosen.quick), indent=2))
    else:
        kind, pace, count, url, conninfo = chosen.reader
        if kind == "ours":
            _read_ours(url, int(pace), int(count))
        else:
            _read_peer(conninfo, int(pace), int(count))
