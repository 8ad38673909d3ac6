"""Decisions before people, in the database: how far the log was looked through, what explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, read_record


@dataclass(frozen=True, slots=True)
class Waiting:
    """Decisions that want a person, in the order of their chain, and how far the log was read."""

    shard: int
    head: int
    decisions: tuple[Decision, ...]
    read_to: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A decision before people, with the bytes that explain it."""

    decision: UUID
    case: UUID
    at: datetime
    explanation: bytes


def shards(connection: sa.Connection) -> list[int]:
    """Return the shards that decide."""
    found = connection.execute(sa.text("SELECT shard FROM decisions.owner ORDER BY shard"))
    return list(found.scalars())


def read_waiting(
    connection: sa.Connection, shard: int, outcomes: Sequence[str], *, limit: int
) -> Waiting:
    """Return the next decisions of some outcomes behind the head, on one snapshot."""
    head = connection.execute(
        sa.text("SELECT number FROM decisions.review_head WHERE shard = :shard"), {"shard": shard}
    ).scalar()
    last = connection.execute(
        sa.text("SELECT decisions FROM decisions.owner WHERE shard = :shard"), {"shard": shard}
    ).scalar_one()
    rows = connection.execute(
        sa.text(
            "SELECT number, record FROM decisions.log WHERE shard = :shard AND number > :head"
            " AND outcome = ANY (:outcomes) ORDER BY number LIMIT :limit"
        ),
        {"shard": shard, "head": head or 0, "outcomes": list(outcomes), "limit": limit},
    ).all()
    read_to = rows[-1].number if len(rows) == limit else last
    decisions = tuple(read_record(bytes(row.record)) for row in rows)
    return Waiting(shard, head or 0, decisions, read_to)


def move_head(connection: sa.Connection, waiting: Waiting) -> bool:
    """Note how far the log was looked through; False if somebody else did it meanwhile."""
    done = connection.execute(
        sa.text(
            "INSERT INTO decisions.review_head AS h (shard, number) VALUES (:shard, :to)"
            " ON CONFLICT (shard) DO UPDATE SET number = :to WHERE h.number = :head"
        ),
        {"shard": waiting.shard, "to": waiting.read_to, "head": waiting.head},
    )
    return done.rowcount == 1


def insert(connection: sa.Connection, reviewed: Reviewed) -> bool:
    """Note that a decision is before people; return whether that is new."""
    done = connection.execute(
        sa.text(
            "INSERT INTO decisions.review (decision_id, case_id, at, explanation, hash)"
            " VALUES (:decision, :case, :at, :explanation, :hash) ON CONFLICT DO NOTHING"
        ),
        {
            "decision": reviewed.decision,
            "case": reviewed.case,
            "at": reviewed.at,
            "explanation": reviewed.explanation,
            "hash": sha256(reviewed.explanation).digest(),
        },
    )
    return done.rowcount == 1


def read(connection: sa.Connection, decision: UUID) -> Reviewed | None:
    """Return a decision before people, None where it is not."""
    row = connection.execute(
        sa.text(
            "SELECT decision_id, case_id, at, explanation FROM decisions.review"
            " WHERE decision_id = :id"
        ),
        {"id": decision},
    ).one_or_none()
    if row is None:
        return None
    return Reviewed(row.decision_id, row.case_id, row.at.astimezone(UTC), bytes(row.explanation))


def read_of_case(connection: sa.Connection, case: UUID) -> list[Decision]:
    """Return the decisions that a case is about, in the order in which they came before people."""
    rows = connection.execute(
        sa.text(
            "SELECT l.record FROM decisions.review r JOIN decisions.log l ON l.id = r.decision_id"
            " WHERE r.case_id = :case ORDER BY r.at, l.shard, l.number"
        ),
        {"case": case},
    )
    return [read_record(bytes(row.record)) for row in rows]
