"""Ledger: group commit for many callers who each wait for one durable answer.

1, 64 and 512 callers, uniform and on a hot account, in one process and divided among two processes
on the same book; beside the naive way (one transaction for each transfer with the same guarantees,
see `ledger_ground`) at its best of 1, 8 and 32 connections, in the same rounds. Both give the same
books, to the hash, before anything is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from ledger_ground import Ground, fsync_rate, ground, naive_rate, python, transfers
from steelyard.base import Database
from steelyard.events import PostgresFactLog
from steelyard.ledger import BookReader, GroupCommit, Item, Transfer

CALLERS = (1, 64, 512)
NAIVE = (1, 8, 32)


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: answers a second, their latency, and the ratio to naive."""
    rounds, seconds = (3, 1.0) if quick else (7, 2.0)
    ways = [(processes, callers) for processes in (1, 2) for callers in CALLERS]
    ways.remove((2, 1))
    ours: dict[tuple[int, int, bool], list[list[float]]] = {}
    naive: dict[tuple[int, bool], list[float]] = {}
    fsyncs: list[int] = []
    with ground() as here:
        for _ in range(rounds):
            fsyncs.append(fsync_rate())
            for hot in (False, True):
                for connections in NAIVE:
                    made = transfers(100 if quick else 300, hot=hot)
                    rate = naive_rate(here, made, connections)
                    naive.setdefault((connections, hot), []).append(rate)
                for processes, callers in ways:
                    measured = _measure(here, processes, callers, seconds, hot=hot)
                    ours.setdefault((processes, callers, hot), []).append(measured)
        _verify(here)
    rows: list[list[Any]] = []
    for hot, shape in ((False, "uniform"), (True, "hot account")):
        best = max(statistics.median(naive[connections, hot]) for connections in NAIVE)
        for connections in NAIVE:
            rate = statistics.median(naive[connections, hot])
            rows.append([f"naive, {connections} connections", shape, round(rate), "", "", ""])
        for processes, callers in ways:
            rate, p50, p99 = map(
                statistics.median, zip(*ours[processes, callers, hot], strict=True)
            )
            name = f"{callers} callers" + (", two processes" if processes == 2 else "")
            ratio = f"{rate / best:.1f}"
            rows.append([name, shape, round(rate), round(p50, 1), round(p99, 1), ratio])
    return {
        "title": "Ledger: group commit, each caller waits for its durable answer; the disk makes "
        f"{round(statistics.median(fsyncs))} fsync/s",
        "columns": ["callers", "accounts", "answers/s", "p50 ms", "p99 ms", "times naive"],
        "rows": rows,
    }


def _measure(
    here: Ground, processes: int, callers: int, seconds: float, *, hot: bool
) -> list[float]:
    """Return answers a second, and the latencies in milliseconds."""
    start = str(time.time() + 1.2)
    share = str(callers // processes)
    command = [python(), __file__, "--url", here.url, start, share, str(seconds), str(int(hot))]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
    said = [json.loads(process.communicate()[0]) for process in running]
    latencies = sorted(each for one in said for each in one["latencies_ms"])
    rate = sum(one["answers"] / one["seconds"] for one in said)
    return [
        rate,
        latencies[len(latencies) // 2],
        latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
    ]


async def _call(queue: GroupCommit, own: list[Transfer], until: float, seen: list[float]) -> None:
    for t in own:
        began = time.perf_counter()
        if began >= until:
            return
        (answer,) = await queue.post_async(Item((t,)))
        assert answer.outcome.is_accepted, answer
        seen.append((time.perf_counter() - began) * 1000)


async def _callers(queue: GroupCommit, callers: int, seconds: float, *, hot: bool) -> float:
    """Return nothing but latencies, printed; the transfers are made before the clock runs."""
    most = int(seconds * 40_000)
    made = transfers(max(most, callers), hot=hot)
    shares = [made[n::callers] for n in range(callers)]
    seen: list[float] = []
    # The callers' own objects are no work of the queue; a platform's worker freezes its own too.
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    await asyncio.gather(*(_call(queue, own, began + seconds, seen) for own in shares))
    took = time.perf_counter() - began
    step = max(1, len(seen) // 20_000)
    print(json.dumps({"answers": len(seen), "seconds": took, "latencies_ms": seen[::step]}))
    return took


def _caller(url: str, start: float, callers: int, seconds: float, *, hot: bool) -> None:
    """Be one process of callers; all begin at the same instant."""
    database = Database(url, facts=PostgresFactLog())
    with database.unit_of_work():
        pass
    with GroupCommit(database) as queue:
        asyncio.run(_after(start, queue, callers, seconds, hot=hot))
    database.close()


async def _after(
    start: float, queue: GroupCommit, callers: int, seconds: float, *, hot: bool
) -> None:
    await asyncio.sleep(max(0.0, start - datetime.now(UTC).timestamp()))
    await _callers(queue, callers, seconds, hot=hot)


def _verify(here: Ground) -> None:
    database = here.database()
    with database.reading() as connection:
        report = BookReader(connection, "bench").verify()
    assert report.is_sound, report.findings[:3]
    database.close()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--url", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.url:
        address, at, many, long, is_hot = chosen.url
        _caller(address, float(at), int(many), float(long), hot=is_hot == "1")
    else:
        print(json.dumps(run(chosen.quick), indent=2))
