"""Decisions of a scene with what became known of their events, for those who look back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, read_record

_STEP = 2_000


class Known(NamedTuple):
    """What was told last about one label of an event, and since when it is known."""

    event_id: str
    field: str
    value: bool
    at_ms: int


def count_decisions(connection: sa.Connection, scene: str) -> int:
    """Return how many decisions a scene has."""
    statement = sa.text("SELECT count(*) FROM decisions.log WHERE scene = :scene")
    return int(connection.execute(statement, {"scene": scene}).scalar_one())


def read_decisions(connection: sa.Connection, scene: str, *, until: datetime) -> Iterator[Decision]:
    """Yield the decisions of a scene about events before an instant, in the order of the log."""
    statement = sa.text(
        "SELECT shard, number, record FROM decisions.log"
        " WHERE scene = :scene AND at < :until AND (shard, number) > (:shard, :number)"
        " ORDER BY shard, number LIMIT :n"
    )
    shard, number = -1, 0
    while True:
        given = {"scene": scene, "until": until, "shard": shard, "number": number, "n": _STEP}
        rows = connection.execute(statement, given).all()
        for row in rows:
            yield read_record(bytes(row.record))
        if len(rows) < _STEP:
            return
        shard, number = rows[-1].shard, rows[-1].number


def read_labels(connection: sa.Connection, scene: str, *, as_of_ms: int) -> Iterator[Known]:
    """Yield what was known of the events of a scene at an instant: of each label the last word."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT ON (event_id, content->>'field')"
            " event_id, content->>'field' AS field, at_ms,"
            # A flag is told as 1 or 0, or as what it is.
            " content->>'value' IN ('1', 'true') AS value"
            " FROM decisions.told WHERE what = 'label' AND kind = :scene AND at_ms <= :as_of_ms"
            " ORDER BY event_id, content->>'field', at_ms DESC, arrival DESC"
        ),
        {"scene": scene, "as_of_ms": as_of_ms},
    )
    for row in rows:
        yield Known(row.event_id, row.field, row.value, row.at_ms)
