"""Features: 20 windows over 3 entities on the Handbook stream (W1), beside river and SQLite.

Count and sum of a payment over an hour, a day and a week, for the customer, the terminal and a
group of merchants (a hundred terminals), and two counts of different values: the customer's
terminals and the terminal's customers in a day. Every way gives the same numbers for the same
events before anything is timed; river has no windowed count of different values and is left off
those two. A second row sends one event in twenty up to an hour late, which river and SQLite in this
form do not take; there the peer is the straight re-scan, on a part.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from steelyard.features import Event, StreamEngine
from steelyard.features.catalogue import Aggregate, EventKind, Feature, FieldType

HOUR, DAY = 3_600_000, 86_400_000
SPANS = {"1h": HOUR, "1d": DAY, "7d": 7 * DAY}
ENTITIES = ("customer", "terminal", "area")
KIND = EventKind(
    "pay",
    {**dict.fromkeys(ENTITIES, FieldType.TEXT), "minor": FieldType.INTEGER},
    ENTITIES,
    "A payment.",
    "付款。",
)


def definitions() -> list[Feature]:
    """Return the 20 features."""
    made = []
    for entity in ENTITIES:
        for span, ms in SPANS.items():
            common = {"entity": entity, "kinds": ("pay",), "en": "-", "zh": "-", "window_ms": ms}
            made.append(Feature(f"{entity}_n_{span}", aggregate=Aggregate.COUNT, **common))  # type: ignore[arg-type]
            made.append(
                Feature(f"{entity}_s_{span}", aggregate=Aggregate.SUM, field="minor", **common)  # type: ignore[arg-type]
            )
    for entity, other in (("customer", "terminal"), ("terminal", "customer")):
        made.append(
            Feature(
                f"{entity}_{other}s_1d",
                entity,
                ("pay",),
                Aggregate.DISTINCT,
                "-",
                "-",
                field=other,
                window_ms=DAY,
            )
        )
    return made


def events(count: int) -> list[Event]:
    """Return the head of the Handbook stream, in order."""
    import polars as pl

    folder = Path(os.environ.get("STEELYARD_DATA", "../shared/data")) / "handbook"
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise SystemExit(f"no Handbook data in {folder}; set STEELYARD_DATA")
    frame = pl.read_parquet(files[0]).head(count)
    rows = frame.select(
        pl.col("TX_DATETIME").cast(pl.Datetime("ms")).cast(pl.Int64),
        "CUSTOMER_ID",
        "TERMINAL_ID",
        "TX_AMOUNT_CENTS",
    ).iter_rows()
    return [
        Event(
            "pay",
            str(i),
            at_ms,
            i,
            {
                "customer": f"c{customer}",
                "terminal": f"t{terminal}",
                "area": f"a{terminal // 100}",
                "minor": minor,
            },
        )
        for i, (at_ms, customer, terminal, minor) in enumerate(rows)
    ]


def shaken(stream: Iterable[Event], seed: int = 7) -> list[Event]:
    """Return the stream with one event in twenty arriving up to 55 minutes late."""
    chance = random.Random(seed)
    keyed = [
        (event.at_ms + (chance.randrange(55 * 60_000) if chance.random() < 0.05 else 0), event)
        for event in stream
    ]
    keyed.sort(key=lambda pair: pair[0])
    return [event._replace(sequence=i) for i, (_, event) in enumerate(keyed)]


class Ours:
    def __init__(self) -> None:
        self.engine = StreamEngine(definitions(), {"pay": KIND})

    def __call__(self, event: Event) -> dict[str, Any]:
        return self.engine.fold(event).values


class River:
    """`TimeRolling` of count and sum, a pair for each entity value and window."""

    def __init__(self) -> None:
        from river import stats, utils

        # Its Count cannot forget; a sum of ones is its windowed count.
        self.make = lambda ms: (
            utils.TimeRolling(stats.Sum, period=timedelta(milliseconds=ms)),
            utils.TimeRolling(stats.Sum, period=timedelta(milliseconds=ms)),
        )
        self.held: dict[tuple[str, str], Any] = {}

    def __call__(self, event: Event) -> dict[str, Any]:
        at, x, made = datetime.fromtimestamp(event.at_ms / 1000), event.fields["minor"], {}
        for entity in ENTITIES:
            value = event.fields[entity]
            for span, ms in SPANS.items():
                # Its window is open at the old end, ours is closed.
                pair = self.held.get((span, value))
                if pair is None:
                    pair = self.held[span, value] = self.make(ms + 1)
                n, s = pair
                n.update(1, t=at)
                s.update(x, t=at)
                made[f"{entity}_n_{span}"], made[f"{entity}_s_{span}"] = n.get(), s.get()
        return made


class Sqlite:
    """A table in memory with an index per entity; one statement per entity answers."""

    def __init__(self) -> None:
        self.base = sqlite3.connect(":memory:")
        self.base.execute("CREATE TABLE pay (at INT, customer, terminal, area, minor INT)")
        for entity in ENTITIES:
            self.base.execute(f"CREATE INDEX by_{entity} ON pay ({entity}, at)")
        self.ask = {}
        for entity in ENTITIES:
            parts = []
            for ms in SPANS.values():
                parts += [
                    f"count(*) FILTER (WHERE at >= :t - {ms})",
                    f"coalesce(sum(minor) FILTER (WHERE at >= :t - {ms}), 0)",
                ]
            other = {"customer": "terminal", "terminal": "customer"}.get(entity)
            if other:
                parts.append(f"count(DISTINCT CASE WHEN at >= :t - {DAY} THEN {other} END)")
            self.ask[entity] = (
                f"SELECT {', '.join(parts)} FROM pay WHERE {entity} = :v AND at BETWEEN "
                f":t - {7 * DAY} AND :t"
            )

    def __call__(self, event: Event) -> dict[str, Any]:
        fields, made = event.fields, {}
        self.base.execute(
            "INSERT INTO pay VALUES (?, ?, ?, ?, ?)",
            (event.at_ms, fields["customer"], fields["terminal"], fields["area"], fields["minor"]),
        )
        for entity in ENTITIES:
            row = self.base.execute(
                self.ask[entity], {"t": event.at_ms, "v": fields[entity]}
            ).fetchone()
            for i, span in enumerate(SPANS):
                made[f"{entity}_n_{span}"], made[f"{entity}_s_{span}"] = row[2 * i : 2 * i + 2]
            if len(row) > 6:
                other = {"customer": "terminal", "terminal": "customer"}[entity]
                made[f"{entity}_{other}s_1d"] = row[6]
        return made


def check(stream: list[Event], ways: dict[str, Callable[[Event], dict[str, Any]]]) -> None:
    """Assert that every way answers the same, as far as it answers."""
    ours = Ours()
    for event in stream:
        expected = ours(event)
        for name, way in ways.items():
            for feature, value in way(event).items():
                assert value == expected[feature], (name, event, feature, value, expected[feature])


def timed(way: Callable[[Event], Any], stream: list[Event], warm: int) -> tuple[float, list[float]]:
    """Return CPU microseconds per event after a warm-up, and wall microseconds of each event."""
    for event in islice(stream, warm):
        way(event)
    rest, walls = stream[warm:], []
    half = len(rest) // 2
    began = time.process_time_ns()
    for event in rest[:half]:
        way(event)
    cpu = (time.process_time_ns() - began) / half / 1e3
    clock = time.perf_counter_ns
    for event in rest[half:]:
        start = clock()
        way(event)
        walls.append((clock() - start) / 1e3)
    return cpu, walls


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: CPU per event, wall p50 and p99, and the ratio to ours."""
    warm, length, rounds = (20_000, 10_000, 3) if quick else (80_000, 40_000, 5)
    stream = events(warm + length)
    peers: dict[str, Callable[[], Callable[[Event], dict[str, Any]]]] = {"SQLite": Sqlite}
    try:
        peers["river"] = _river()
    except ImportError:
        print("river is not installed: left out", file=sys.stderr)
    check(stream[: 6_000 if quick else 20_000], {name: make() for name, make in peers.items()})
    late = shaken(stream)
    plans: dict[str, tuple[Callable[[], Any], list[Event]]] = {
        "steelyard": (Ours, stream),
        "steelyard, 5 % late": (Ours, late),
        **{name: (make, stream[: warm + length // 4]) for name, make in peers.items()},
    }
    cpu: dict[str, list[float]] = {}
    walls: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, (make, part) in plans.items():
            took, each = timed(make(), part, warm)
            cpu.setdefault(name, []).append(took)
            walls.setdefault(name, []).extend(each)
    ours = statistics.median(cpu["steelyard"])
    rows = []
    for name, took in cpu.items():
        cuts = statistics.quantiles(walls[name], n=100)
        middle = statistics.median(took)
        label = f"{name} {version('river')}" if name == "river" else name
        label = f"{label} {sqlite3.sqlite_version}" if name == "SQLite" else label
        rows.append(
            [
                label,
                18 if name == "river" else 20,
                round(middle, 1),
                round(cuts[49], 1),
                round(cuts[98], 1),
                f"{middle / ours:.1f}",
            ]
        )
    return {
        "title": "Features: 20 windows over 3 entities on the Handbook stream (W1), "
        f"Python {sys.version.split()[0]}",
        "columns": ["engine", "features", "CPU us/event", "wall p50 us", "p99 us", "times ours"],
        "rows": rows,
    }


def _river() -> type[River]:
    import river  # noqa: F401

    return River


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
