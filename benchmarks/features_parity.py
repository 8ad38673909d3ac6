"""Features: the streaming engine against the columns on every Handbook transaction (W2).

Every catalogue feature that the published stream can feed, in every row, compared to the bit: the
number of differing cells must be 0 before a time is told. Without the data the sample stands in.
Both engines run in one process, one after the other, on the same stream; the columns are computed
a dozen features at a time and laid on disk, the stream is folded 20,000 events at a time and
compared while it goes, so memory holds the stream, the streaming state and one chunk of answers.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from steelyard.features import CATALOGUE, KINDS, parity

HANDBOOK = Path(os.environ.get("STEELYARD_DATA", "../shared/data")) / "handbook"
QUICK_ROWS = 100_000


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: rows, cells, differences, and the time per event of each engine."""
    stream, what = _stream(quick=quick)
    began = time.perf_counter()
    with _few_collections():
        found = parity.compare(stream, CATALOGUE)
    assert found.differing_cells == 0, found.differences
    cells = f"{found.cells:,}"
    common = [f"{found.rows:,}", len(found.features), cells, found.differing_cells]
    times = {"streaming": found.stream_seconds, "columns": found.columns_seconds}
    return {
        "title": f"Features: streaming against columns, {what} (W2)",
        "columns": ["engine", "rows", "features", "cells", "differing_cells", "CPU s",
                    "CPU us per event", "CPU us per cell"],
        "rows": [
            [name, *common, round(seconds, 1), round(seconds / found.rows * 1e6, 2),
             round(seconds / found.cells * 1e6, 3)]
            for name, seconds in times.items()
        ],
        "notes": [
            f"{found.labels:,} labels folded too; {found.late:,} events late, {found.too_late:,}"
            f" too late; comparing included, {time.perf_counter() - began:,.0f} s by the wall.",
            f"Most memory held: {_most_memory_mib():,} MiB.",
            f"numpy {version('numpy')}, polars {version('polars')}, which may use every core; the"
            " collector of garbage looks rarely, as the owner of the state sets it too.",
        ],
    }  # fmt: skip


def _stream(*, quick: bool) -> tuple[Any, str]:
    if not HANDBOOK.is_dir():
        return parity.sample_replay(KINDS), "the sample (the Handbook data is absent)"
    whole = parity.read_folder(HANDBOOK, KINDS)
    if not quick:
        return whole, "all Handbook transactions"
    events = whole.events.head(QUICK_ROWS)
    labels = whole.labels.filter(whole.labels["sequence"] < events["sequence"][-1])
    return parity.Replay(events, labels, KINDS), "the first Handbook transactions"


def _most_memory_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def _few_collections() -> Iterator[None]:
    kept = gc.get_threshold()
    gc.set_threshold(1_000_000, 50, 50)
    yield
    gc.set_threshold(*kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))
