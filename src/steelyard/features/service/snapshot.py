"""Snapshots of the streaming state: taken now and then, so that a restart replays little."""

from __future__ import annotations

import zlib
from hashlib import sha256

import msgspec

from steelyard.base import Database, UnitOfWork
from steelyard.features.model import dump
from steelyard.features.model.graph import LinkGraph
from steelyard.features.model.stream import StreamEngine
from steelyard.features.store import snapshot as table

KEPT = 2
"""Snapshots of a shard that are kept; the one before the last is there if the last is bad."""


_DUMPED = tuple[list[tuple[str, str, list[str]]], list[str], list[str]]


def definitions(engine: StreamEngine) -> str:
    """Return the SHA-256, in hex, of the definitions of an engine: a snapshot belongs to them."""
    return dump.definitions(engine.features, engine.kinds)


def digest(engine: StreamEngine, graph: LinkGraph) -> str:
    """Return the SHA-256, in hex, of all that can still have an effect on an answer of the two."""
    linked = msgspec.msgpack.encode(graph.dump())
    return sha256(engine.digest().encode() + linked).hexdigest()


def save(unit: UnitOfWork, engine: StreamEngine, graph: LinkGraph, *, shard: int = 0) -> int:
    """Store the state of an engine and its graph; the sequence up to which it reaches.

    Only what was committed may be in it: who folds behind the log calls this, or the owner of a
    shard when nothing of it waits to be written.
    """
    state = msgspec.msgpack.encode((engine.snapshot(), graph.dump()))
    row = table.StoredSnapshot(
        shard=shard,
        fold_seq=engine.sequence,
        definitions=definitions(engine),
        digest=digest(engine, graph),
        state=zlib.compress(state, 1),
        taken_at=unit.now,
    )
    table.insert(unit.connection, row, keep=KEPT)
    return row.fold_seq


def restore(
    database: Database, engine: StreamEngine, *, shard: int = 0, up_to: int = 2**63 - 1
) -> LinkGraph | None:
    """Take over the latest state of these definitions that reaches no further than `up_to`.

    Returns
    -------
    LinkGraph or None
        The graph beside the engine, whose `sequence` says behind what the log is to be replayed.
        None if there is no such snapshot, or if it does not come out as it was taken, and the
        engine stands as it was: then all is replayed.
    """
    wanted = definitions(engine)
    with database.reading() as connection:
        row = table.latest(connection, shard, wanted, up_to=up_to)
    if row is None:
        return None
    before = engine.snapshot()
    try:
        stream, dumped = msgspec.msgpack.decode(
            zlib.decompress(row.state), type=tuple[bytes, _DUMPED]
        )
        engine.restore(stream)
    except (ValueError, msgspec.MsgspecError, zlib.error):
        return None
    graph = LinkGraph.load(dumped)
    if digest(engine, graph) != row.digest:
        engine.restore(before)
        return None
    return graph
