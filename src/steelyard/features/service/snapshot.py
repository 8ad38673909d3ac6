"""Snapshots of the streaming state: taken now and then, so that a restart replays little."""

from __future__ import annotations

import zlib

from steelyard.base import Database, UnitOfWork
from steelyard.features.model import dump
from steelyard.features.model.stream import StreamEngine
from steelyard.features.store import snapshot as table

KEPT = 2
"""Snapshots of a shard that are kept; the one before the last is there if the last is bad."""


def save(unit: UnitOfWork, engine: StreamEngine, *, shard: int = 0) -> int:
    """Store the state of an engine; the sequence up to which it reaches.

    Only what was committed may be in it: the owner of a shard calls this between two batches, in a
    transaction that checks its epoch.
    """
    row = table.StoredSnapshot(
        shard=shard,
        fold_seq=engine.sequence,
        definitions=dump.definitions(engine.features, engine.kinds),
        digest=engine.digest(),
        state=zlib.compress(engine.snapshot(), 1),
        taken_at=unit.now,
    )
    table.insert(unit.connection, row, keep=KEPT)
    return row.fold_seq


def restore(
    database: Database, engine: StreamEngine, *, shard: int = 0, up_to: int = 2**63 - 1
) -> int | None:
    """Take over the latest state of these definitions that reaches no further than `up_to`.

    The sequence behind which the log is to be replayed; None if there is no such snapshot, or if it
    does not come out as it was taken, and the engine stands as it was: then all is replayed.
    """
    wanted = dump.definitions(engine.features, engine.kinds)
    with database.reading() as connection:
        row = table.latest(connection, shard, wanted, up_to=up_to)
    if row is None:
        return None
    before = engine.snapshot()
    try:
        engine.restore(zlib.decompress(row.state))
    except (ValueError, zlib.error):
        return None
    if engine.digest() != row.digest:
        engine.restore(before)
        return None
    return row.fold_seq
