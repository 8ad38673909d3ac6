"""Tables of shadow runs and of challenges: how far each has read the log, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, read_record

SHARD = 0


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that is asked behind the owner, and heeded by nobody.

    Attributes
    ----------
    first_number : of the first decision that it is asked about
    cursor : number of the last one that it was asked about
    live_from : from this number on everything it reads was recorded
    """

    scene: str
    version: int
    first_number: int
    cursor: int
    live_from: int
    started_by: str
    started_at: datetime
    ended_at: datetime | None = None


class Numbered(NamedTuple):
    """A decision and its place in the log."""

    number: int
    decision: Decision


class Difference(NamedTuple):
    """A decision to which a shadow would have said something else."""

    decision_id: UUID
    said: str
    would_say: str
    score: int | None
    reasons: tuple[str, ...]
    number: int


class Tally(NamedTuple):
    """How many decisions had an outcome, and would have had another or the same.

    Attributes
    ----------
    unrecorded : those of them that lacked a value which the shadow reads
    """

    said: str
    would_say: str
    decisions: int
    unrecorded: int


def head(connection: sa.Connection) -> int:
    """Return the number of the newest decision, 0 before the first."""
    found: int = connection.execute(
        sa.text("SELECT coalesce(max(number), 0) FROM decisions.log WHERE shard = :shard"),
        {"shard": SHARD},
    ).scalar_one()
    return found


def number_at(connection: sa.Connection, at: datetime) -> int:
    """Return the number behind which every decision on an event from an instant on lies."""
    found: int = connection.execute(
        sa.text(
            "SELECT coalesce(min(number) - 1, (SELECT coalesce(max(number), 0) FROM decisions.log"
            " WHERE shard = :shard)) FROM decisions.log WHERE shard = :shard AND at >= :at"
        ),
        {"shard": SHARD, "at": at},
    ).scalar_one()
    return found


def read_behind(
    connection: sa.Connection, scene: str, after: int, *, upto: int, limit: int
) -> list[Numbered]:
    """Return the decisions of a scene behind a number, in their order."""
    rows = connection.execute(
        sa.text(
            "SELECT number, record FROM decisions.log WHERE shard = :shard AND number > :after"
            " AND number <= :upto AND scene = :scene ORDER BY number LIMIT :n"
        ),
        {"shard": SHARD, "after": after, "upto": upto, "scene": scene, "n": limit},
    )
    return [Numbered(row.number, read_record(bytes(row.record))) for row in rows]


# -- shadows --------------------------------------------------------------------------------------


def start(connection: sa.Connection, shadow: Shadow) -> None:
    """Start a shadow; what it found in an earlier run is thrown away."""
    key = {"scene": shadow.scene, "version": shadow.version}
    for name in ("shadow_tally", "shadow_lack", "shadow_difference"):
        connection.execute(
            sa.text(f"DELETE FROM decisions.{name} WHERE scene = :scene AND version = :version"),
            key,
        )
    connection.execute(
        sa.text(
            "INSERT INTO decisions.shadow (scene, version, first_number, cursor, live_from,"
            " started_by, started_at) VALUES (:scene, :version, :first, :cursor, :live, :by, :at)"
            " ON CONFLICT (scene, version) DO UPDATE SET first_number = :first, cursor = :cursor,"
            " live_from = :live, started_by = :by, started_at = :at, ended_at = NULL"
        ),
        {
            **key,
            "first": shadow.first_number,
            "cursor": shadow.cursor,
            "live": shadow.live_from,
            "by": shadow.started_by,
            "at": shadow.started_at,
        },
    )


def end(connection: sa.Connection, scene: str, version: int, *, now: datetime) -> bool:
    """End a shadow; False if it does not run."""
    done = connection.execute(
        sa.text(
            "UPDATE decisions.shadow SET ended_at = :now"
            " WHERE scene = :scene AND version = :version AND ended_at IS NULL"
        ),
        {"scene": scene, "version": version, "now": now},
    )
    return done.rowcount == 1


def find(connection: sa.Connection, scene: str, version: int) -> Shadow | None:
    """Return a shadow, running or ended."""
    row = connection.execute(
        sa.text("SELECT * FROM decisions.shadow WHERE scene = :scene AND version = :version"),
        {"scene": scene, "version": version},
    ).one_or_none()
    return None if row is None else _shadow(row)


def running(connection: sa.Connection) -> list[Shadow]:
    """Return the shadows that run, by scene and version."""
    rows = connection.execute(
        sa.text("SELECT * FROM decisions.shadow WHERE ended_at IS NULL ORDER BY scene, version")
    )
    return [_shadow(row) for row in rows]


def move(connection: sa.Connection, before: Shadow, cursor: int) -> bool:
    """Move the cursor of a shadow; False if another was here first."""
    done = connection.execute(
        sa.text(
            "UPDATE decisions.shadow SET cursor = :cursor WHERE scene = :scene"
            " AND version = :version AND cursor = :before AND ended_at IS NULL"
        ),
        {
            "scene": before.scene,
            "version": before.version,
            "before": before.cursor,
            "cursor": cursor,
        },
    )
    return done.rowcount == 1


def add(
    connection: sa.Connection,
    shadow: Shadow,
    tallies: Sequence[Tally],
    lacks: Mapping[str, int],
    differences: Sequence[Difference],
) -> None:
    """Add what a shadow found in a part of the log."""
    key = {"scene": shadow.scene, "version": shadow.version}
    for tally in tallies:
        connection.execute(
            sa.text(
                "INSERT INTO decisions.shadow_tally AS t (scene, version, said, would_say,"
                " decisions, unrecorded) VALUES (:scene, :version, :said, :would_say, :n, :lack)"
                " ON CONFLICT (scene, version, said, would_say) DO UPDATE"
                " SET decisions = t.decisions + :n, unrecorded = t.unrecorded + :lack"
            ),
            {
                **key,
                "said": tally.said,
                "would_say": tally.would_say,
                "n": tally.decisions,
                "lack": tally.unrecorded,
            },
        )
    for name, count in lacks.items():
        connection.execute(
            sa.text(
                "INSERT INTO decisions.shadow_lack AS t (scene, version, name, decisions)"
                " VALUES (:scene, :version, :name, :n) ON CONFLICT (scene, version, name)"
                " DO UPDATE SET decisions = t.decisions + :n"
            ),
            {**key, "name": name, "n": count},
        )
    if differences:
        connection.execute(
            sa.text(
                "INSERT INTO decisions.shadow_difference (scene, version, decision_id, said,"
                " would_say, score, reasons, number)"
                " VALUES (:scene, :version, :id, :said, :would_say, :score, :reasons, :number)"
            ),
            [
                {
                    **key,
                    "id": one.decision_id,
                    "said": one.said,
                    "would_say": one.would_say,
                    "score": one.score,
                    "reasons": list(one.reasons),
                    "number": one.number,
                }
                for one in differences
            ],
        )


def count_differences(connection: sa.Connection, shadow: Shadow) -> int:
    """Return how many differences of a shadow are kept."""
    found: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM decisions.shadow_difference"
            " WHERE scene = :scene AND version = :version"
        ),
        {"scene": shadow.scene, "version": shadow.version},
    ).scalar_one()
    return found


def tallies(connection: sa.Connection, scene: str, version: int) -> list[Tally]:
    """Return what a shadow found, by both outcomes."""
    rows = connection.execute(
        sa.text(
            "SELECT said, would_say, decisions, unrecorded FROM decisions.shadow_tally"
            " WHERE scene = :scene AND version = :version ORDER BY said, would_say"
        ),
        {"scene": scene, "version": version},
    )
    return [Tally(*row) for row in rows]


def lacks(connection: sa.Connection, scene: str, version: int) -> dict[str, int]:
    """Return in how many decisions each value was not recorded."""
    rows = connection.execute(
        sa.text(
            "SELECT name, decisions FROM decisions.shadow_lack"
            " WHERE scene = :scene AND version = :version ORDER BY decisions DESC, name"
        ),
        {"scene": scene, "version": version},
    )
    return {row.name: row.decisions for row in rows}


def differences(
    connection: sa.Connection, scene: str, version: int, *, before: int, limit: int
) -> list[Difference]:
    """Return the newest differences of a shadow."""
    rows = connection.execute(
        sa.text(
            "SELECT decision_id, said, would_say, score, reasons, number"
            " FROM decisions.shadow_difference WHERE scene = :scene AND version = :version"
            " AND number < :before ORDER BY number DESC LIMIT :n"
        ),
        {"scene": scene, "version": version, "before": before, "n": limit},
    )
    return [
        Difference(r.decision_id, r.said, r.would_say, r.score, tuple(r.reasons), r.number)
        for r in rows
    ]


class Swap(NamedTuple):
    """A cell of the swap set, as far as labels are known."""

    said: str
    would_say: str
    fraud: int
    honest: int


def swaps(connection: sa.Connection, scene: str, version: int) -> list[Swap]:
    """Return for each pair of differing outcomes how many were labelled fraud, or not.

    The latest label of an event counts; those without one are in neither number.
    """
    rows = connection.execute(
        sa.text(
            "SELECT d.said, d.would_say, count(*) FILTER (WHERE v.is_fraud) AS fraud,"
            " count(*) FILTER (WHERE NOT v.is_fraud) AS honest"
            " FROM decisions.shadow_difference d JOIN decisions.log l ON l.id = d.decision_id"
            " JOIN LATERAL (SELECT h.content ->> 'value' IN ('1', 'true') AS is_fraud"
            "  FROM decisions.heard h WHERE h.what = 'label' AND h.kind = d.scene"
            "  AND h.event_id = l.asked ORDER BY h.fold_seq DESC LIMIT 1) v ON true"
            " WHERE d.scene = :scene AND d.version = :version"
            " GROUP BY d.said, d.would_say ORDER BY d.said, d.would_say"
        ),
        {"scene": scene, "version": version},
    )
    return [Swap(*row) for row in rows]


def _shadow(row: sa.Row[Any]) -> Shadow:
    return Shadow(
        row.scene,
        row.version,
        row.first_number,
        row.cursor,
        row.live_from,
        row.started_by,
        row.started_at.astimezone(UTC),
        None if row.ended_at is None else row.ended_at.astimezone(UTC),
    )
