"""Ledger: units of work of 1 to 8,000 transfers, uniform and on a hot account, beside the naive.

Naive is one transaction for each transfer with the same guarantees (see `ledger_ground`), at its
best of 1, 8 and 32 connections. Both give the same answers, balances, events and hash head before
anything is timed; the ways are interleaved in rounds, and medians are shown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from ledger_ground import Ground, fsync_rate, ground, naive_rate, timed, transfers
from steelyard.base import Database
from steelyard.ledger import Transfer, post

SIZES = (1, 10, 100, 1_000, 8_000)
NAIVE = (1, 8, 32)


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: transfers a second for each size and shape, and the ratio to naive."""
    rounds = 3 if quick else 7
    ours: dict[tuple[int, bool], list[float]] = {}
    naive: dict[tuple[int, bool], list[float]] = {}
    fsyncs: list[int] = []
    with ground() as here:
        database = here.database()
        for _ in range(rounds):
            fsyncs.append(fsync_rate())
            for hot in (False, True):
                for connections in NAIVE:
                    made = transfers(100 if quick else 300, hot=hot)
                    rate = naive_rate(here, made, connections)
                    naive.setdefault((connections, hot), []).append(rate)
                for size in SIZES:
                    rate = _rate(database, size, hot=hot, quick=quick)
                    ours.setdefault((size, hot), []).append(rate)
        database.close()
        _verify(here)
    rows: list[list[Any]] = []
    best = {
        hot: max(statistics.median(naive[connections, hot]) for connections in NAIVE)
        for hot in (False, True)
    }
    for hot, shape in ((False, "uniform"), (True, "hot account")):
        for connections in NAIVE:
            rate = statistics.median(naive[connections, hot])
            rows.append([f"naive, {connections} connections", shape, round(rate), ""])
        for size in SIZES:
            rate = statistics.median(ours[size, hot])
            rows.append([f"batches of {size}", shape, round(rate), f"{rate / best[hot]:.1f}"])
    return {
        "title": "Ledger: units of work of many transfers; the disk makes "
        f"{round(statistics.median(fsyncs))} fsync/s",
        "columns": ["work", "accounts", "transfers/s", "times naive at its best"],
        "rows": rows,
    }


def _rate(database: Database, size: int, *, hot: bool, quick: bool) -> float:
    count = 1 + max(2, min(200, (4_000 if quick else 16_000) // size))
    batches = [transfers(size, hot=hot) for _ in range(count)]
    _post(database, batches[:1])
    return timed(size * (count - 1), lambda: _post(database, batches[1:]))


def _post(database: Database, batches: list[list[Transfer]]) -> None:
    for batch in batches:
        with database.unit_of_work(actor="system:bench") as uow:
            answers = post(uow, batch)
        assert all(answer.outcome.is_accepted for answer in answers)


def _verify(here: Ground) -> None:
    from steelyard.ledger import BookReader

    database = here.database()
    with database.reading() as connection:
        report = BookReader(connection, "bench").verify()
    assert report.is_sound, report.findings[:3]
    database.close()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
