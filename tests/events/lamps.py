"""Facts of a room that exists in the tests only, and ways to write them."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.types.json import Jsonb

from steelyard.base import Database, Fact


class LampLit(Fact, kind="lamps.LampLit", version=1):
    lamp: str
    nth: int


class LampBroken(Fact, kind="lamps.LampBroken", version=1):
    lamp: str


class WickTrimmed1(Fact, kind="lamps.WickTrimmed", version=1):
    lamp: str
    millimetres: str


class WickTrimmed(
    Fact,
    kind="lamps.WickTrimmed",
    version=2,
    upcast_from=lambda old: {"lamp": old["lamp"], "length_mm": int(old["millimetres"])},
):
    lamp: str
    length_mm: int


LIT = "lamps.LampLit@1"


def light(database: Database, lamp: str, *nths: int) -> None:
    """Record facts about one lamp in one unit of work."""
    with database.unit_of_work(actor="staff:test") as unit:
        for nth in nths:
            unit.record(LampLit(lamp=lamp, nth=nth), subject=f"lamp:{lamp}")


def append(connection: psycopg.Connection, lamp: str, nths: Sequence[int]) -> None:
    """Append facts on a connection whose transaction the test drives."""
    at = "2026-03-02T09:00:00Z"
    facts = [
        ["lamps.LampLit", 1, f"lamp:{lamp}", at, at, "staff:test", {"lamp": lamp, "nth": nth}]
        for nth in nths
    ]
    connection.execute("SELECT events.append(%s)", (Jsonb(facts),))
