"""Rows of snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot of the state of a shard.

    Attributes
    ----------
    fold_seq : sequence of the last event or label in it
    definitions : SHA-256 of the definitions that it was made with
    digest : of the engine, when it was taken
    state : compressed bytes
    """

    shard: int
    fold_seq: int
    definitions: str
    digest: str
    state: bytes
    taken_at: datetime


def insert(connection: sa.Connection, row: StoredSnapshot, *, keep: int) -> None:
    """Store a snapshot and delete all of its shard but the latest `keep`."""
    connection.execute(
        sa.text(
            "INSERT INTO features.snapshot (shard, fold_seq, definitions, digest, state, taken_at)"
            " VALUES (:shard, :fold_seq, :definitions, :digest, :state, :taken_at)"
            " ON CONFLICT (shard, fold_seq) DO NOTHING"
        ),
        {name: getattr(row, name) for name in StoredSnapshot.__slots__},
    )
    connection.execute(
        sa.text(
            "DELETE FROM features.snapshot WHERE shard = :shard AND fold_seq <= ("
            " SELECT fold_seq FROM features.snapshot WHERE shard = :shard"
            " ORDER BY fold_seq DESC OFFSET :keep LIMIT 1)"
        ),
        {"shard": row.shard, "keep": keep},
    )


def latest(
    connection: sa.Connection, shard: int, definitions: str, *, up_to: int
) -> StoredSnapshot | None:
    """Return the latest snapshot of these definitions that goes no further than a sequence."""
    row = connection.execute(
        sa.text(
            "SELECT shard, fold_seq, definitions, digest, state, taken_at FROM features.snapshot"
            " WHERE shard = :shard AND definitions = :definitions AND fold_seq <= :up_to"
            " ORDER BY fold_seq DESC LIMIT 1"
        ),
        {"shard": shard, "definitions": definitions, "up_to": up_to},
    ).one_or_none()
    if row is None:
        return None
    made = dict(row._mapping)
    made["state"] = bytes(made["state"])
    return StoredSnapshot(**made)
