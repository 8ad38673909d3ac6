"""What an owner is told beside the questions, and everything that a shard folded, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import psycopg
import sqlalchemy as sa

from steelyard.decisions.model.decision import Asked
from steelyard.features.catalogue import kind_first, kind_now

_STEP = 2_000


class Telling(NamedTuple):
    """An event or a label out of a fact, which nobody has folded yet.

    Attributes
    ----------
    position : sequence of the fact in the log of facts
    what : `event` or `label`
    kind, event_id : of the event, or of the event that the label is about
    at_ms : when it happened, or from when on it is known
    content : fields of an event; `field`, `value` and `customer` of a label
    """

    position: int
    what: str
    kind: str
    event_id: str
    at_ms: int
    content: Mapping[str, Any]


class Told(NamedTuple):
    """A telling at its place in the order of arrival."""

    arrival: int
    what: str
    kind: str
    event_id: str
    at_ms: int
    content: Mapping[str, Any]


class HeardFold(NamedTuple):
    """Where what a fact told was folded.

    Attributes
    ----------
    fold_seq : its place in the order of folding; None where it was not folded
    is_too_late : it was an event that came too late, and was only counted
    heard_to : arrival up to which everything is taken in with it; 0 where that is said later
    """

    told: Told
    fold_seq: int | None
    is_too_late: bool = False
    heard_to: int = 0


class Fold(NamedTuple):
    """What a shard folded at one place of its order: the event of a question, or a telling.

    Attributes
    ----------
    is_too_late : it was an event that came too late, and was only counted
    """

    fold_seq: int
    asked: Asked | None
    told: Told | None
    is_too_late: bool = False


class Progress(NamedTuple):
    """How far a shard has come: what is committed of it."""

    fold_seq: int
    heard_to: int


class _Recorded(msgspec.Struct, frozen=True):
    """What of a record is folded."""

    asked: Asked
    sequence: int
    flags: dict[str, Any]

    @property
    def is_too_late(self) -> bool:
        return "event_is_too_late" in self.flags


_RECORDED = msgspec.json.Decoder(_Recorded)


def insert(connection: sa.Connection, tellings: Sequence[Telling]) -> None:
    """Keep tellings in their order; an event that was asked about is left out, it was folded."""
    if not tellings:
        return
    positions, whats, kinds, ids, ats, contents = (
        list(column) for column in zip(*tellings, strict=True)
    )
    connection.execute(
        sa.text(
            "INSERT INTO decisions.told (position, what, kind, event_id, at_ms, content)"
            " SELECT t.position, t.what, t.kind, t.event_id, t.at_ms, t.content FROM unnest("
            " CAST(:positions AS bigint[]), CAST(:whats AS text[]), CAST(:kinds AS text[]),"
            " CAST(:ids AS text[]), CAST(:ats AS bigint[]), CAST(:contents AS jsonb[]),"
            " CAST(:firsts AS text[]))"
            " WITH ORDINALITY AS t (position, what, kind, event_id, at_ms, content, first, nth)"
            " WHERE t.what = 'label' OR NOT EXISTS (SELECT FROM decisions.log l"
            " WHERE l.scene IN (t.kind, t.first) AND l.asked = t.event_id)"
            " ORDER BY t.nth ON CONFLICT DO NOTHING"
        ),
        {
            "positions": positions,
            "whats": whats,
            "kinds": kinds,
            "ids": ids,
            "ats": ats,
            "firsts": [kind_first(kind) for kind in kinds],
            "contents": [msgspec.json.encode(one).decode() for one in contents],
        },
    )


def read_told(
    connection: sa.Connection, shard: int, *, after: int, limit: int = _STEP
) -> list[Told]:
    """Return what was told behind an arrival and a shard has not folded, in order of arrival."""
    rows = connection.execute(
        sa.text(
            "SELECT t.arrival, t.what, t.kind, t.event_id, t.at_ms, t.content FROM decisions.told t"
            " WHERE t.arrival > :after AND NOT EXISTS (SELECT FROM decisions.folded f"
            " WHERE f.shard = :shard AND f.arrival = t.arrival) ORDER BY t.arrival LIMIT :n"
        ),
        {"shard": shard, "after": after, "n": limit},
    )
    return [_told(row) for row in rows]


class News(NamedTuple):
    """What may have changed for an owner, looked at often.

    Attributes
    ----------
    last_arrival : of what was told
    roster_version : of the rules
    """

    last_arrival: int
    roster_version: int


async def news(connection: psycopg.AsyncConnection[Any]) -> News:
    """Return what may have changed: one statement of two index look-ups."""
    cursor = await connection.execute(
        "SELECT (SELECT coalesce(max(arrival), 0) FROM decisions.told),"
        " (SELECT version FROM decisions.roster)"
    )
    row = await cursor.fetchone()
    assert row is not None
    return News(*row)


def was_folded(connection: sa.Connection, shard: int, kind: str, event_id: str) -> bool:
    """Return whether an event was folded because a fact told of it."""
    found = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM decisions.heard WHERE shard = :shard AND what = 'event'"
            " AND kind IN (:kind, :first) AND event_id = :id)"
        ),
        {"shard": shard, "kind": kind, "first": kind_first(kind), "id": event_id},
    )
    return bool(found.scalar_one())


def recently_heard(
    connection: sa.Connection, shard: int, *, limit: int
) -> list[tuple[str, str, int]]:
    """Return kind, id and instant in ms of the latest events that facts told of."""
    rows = connection.execute(
        sa.text(
            "SELECT kind, event_id, at_ms FROM decisions.heard"
            " WHERE shard = :shard AND what = 'event' ORDER BY fold_seq DESC LIMIT :n"
        ),
        {"shard": shard, "n": limit},
    )
    return [(kind, event_id, at_ms) for kind, event_id, at_ms in rows]


def progress(connection: sa.Connection, shard: int) -> Progress:
    """Return how far a shard has come; a shard nobody ever took has folded nothing."""
    row = connection.execute(
        sa.text("SELECT fold_seq, heard_to FROM decisions.owner WHERE shard = :shard"),
        {"shard": shard},
    ).one_or_none()
    return Progress(0, 0) if row is None else Progress(row.fold_seq, row.heard_to)


def read_folds(connection: sa.Connection, shard: int, *, after: int, up_to: int) -> Iterator[Fold]:
    """Yield what a shard folded behind one place and up to another, in the order of folding."""
    return merge(
        _asked(connection, shard, after, up_to),
        _heard(connection, shard, after, up_to),
        key=attrgetter("fold_seq"),
    )


def _asked(connection: sa.Connection, shard: int, after: int, up_to: int) -> Iterator[Fold]:
    statement = (
        "SELECT fold_seq, record FROM decisions.log"
        " WHERE shard = :shard AND fold_seq > :after AND fold_seq <= :up_to"
        " ORDER BY fold_seq LIMIT :n"
    )
    for row in _pages(connection, statement, shard, after, up_to):
        yield _asked_fold(row)


def _heard(connection: sa.Connection, shard: int, after: int, up_to: int) -> Iterator[Fold]:
    statement = (
        f"{_HEARD} WHERE shard = :shard AND fold_seq > :after AND fold_seq <= :up_to"
        " ORDER BY fold_seq LIMIT :n"
    )
    for row in _pages(connection, statement, shard, after, up_to):
        yield _heard_fold(row)


_HEARD = (
    "SELECT fold_seq, is_too_late, arrival, what, kind, event_id, at_ms, content"
    " FROM decisions.heard"
)


def _heard_fold(row: sa.Row[Any]) -> Fold:
    return Fold(row.fold_seq, None, _told(tuple(row)[2:]), row.is_too_late)


def _told(row: Sequence[Any]) -> Told:
    """Return what was told, its kind by the word of today; what is stored keeps its own."""
    told = Told(*row)
    return told._replace(kind=kind_now(told.kind))


def _asked_fold(row: sa.Row[Any]) -> Fold:
    recorded = _RECORDED.decode(bytes(row.record))
    asked = recorded.asked
    if kind_now(asked.scene) != asked.scene:
        asked = msgspec.structs.replace(asked, scene=kind_now(asked.scene))
    return Fold(row.fold_seq, asked, None, recorded.is_too_late)


def _pages(
    connection: sa.Connection, statement: str, shard: int, after: int, up_to: int
) -> Iterator[sa.Row[Any]]:
    while True:
        rows = connection.execute(
            sa.text(statement), {"shard": shard, "after": after, "up_to": up_to, "n": _STEP}
        ).all()
        yield from rows
        if len(rows) < _STEP:
            return
        after = rows[-1].fold_seq


# -- the trail: where an entity was touched -------------------------------------------------------


def trail_head(connection: sa.Connection, shard: int) -> int:
    """Return up to which fold the trail of a shard is written; -1 before the first."""
    row = connection.execute(
        sa.text("SELECT fold_seq FROM decisions.trail_head WHERE shard = :shard"), {"shard": shard}
    ).scalar_one_or_none()
    return -1 if row is None else int(row)


def hold_trail(connection: sa.Connection, shard: int) -> int:
    """Lock the trail of a shard for its one writer; and return up to where it is written."""
    connection.execute(
        sa.text("INSERT INTO decisions.trail_head VALUES (:shard, -1) ON CONFLICT DO NOTHING"),
        {"shard": shard},
    )
    row = connection.execute(
        sa.text("SELECT fold_seq FROM decisions.trail_head WHERE shard = :shard FOR UPDATE"),
        {"shard": shard},
    )
    return int(row.scalar_one())


def extend_trail(
    connection: sa.Connection, shard: int, touches: Sequence[tuple[int, int]], *, to: int
) -> None:
    """Enter entities (by hash) with the folds that touched them; the trail is written up to `to`.

    Parameters
    ----------
    touches : hash of the entity, place of the fold
    """
    connection.execute(
        sa.text(
            "INSERT INTO decisions.trail (entity, shard, fold_seq) SELECT t.entity, :shard, t.fold"
            " FROM unnest(CAST(:entities AS bigint[]), CAST(:folds AS bigint[])) t (entity, fold)"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "shard": shard,
            "entities": [entity for entity, _ in touches],
            "folds": [fold for _, fold in touches],
        },
    )
    connection.execute(
        sa.text("UPDATE decisions.trail_head SET fold_seq = :to WHERE shard = :shard"),
        {"shard": shard, "to": to},
    )


def touched(connection: sa.Connection, shard: int, entity: int, *, up_to: int) -> list[int]:
    """Return the folds that touched an entity, as far as the trail is written."""
    return list(
        connection.execute(
            sa.text(
                "SELECT fold_seq FROM decisions.trail WHERE entity = :entity AND shard = :shard"
                " AND fold_seq <= :up_to ORDER BY fold_seq"
            ),
            {"entity": entity, "shard": shard, "up_to": up_to},
        ).scalars()
    )


def read_some(connection: sa.Connection, shard: int, fold_seqs: Sequence[int]) -> list[Fold]:
    """Return some folds of a shard, in the order of folding."""
    given = {"shard": shard, "folds": list(fold_seqs)}
    asked = connection.execute(
        sa.text(
            "SELECT fold_seq, record FROM decisions.log"
            " WHERE shard = :shard AND fold_seq = ANY(CAST(:folds AS bigint[]))"
        ),
        given,
    )
    found = [_asked_fold(row) for row in asked]
    heard = connection.execute(
        sa.text(f"{_HEARD} WHERE shard = :shard AND fold_seq = ANY(CAST(:folds AS bigint[]))"),
        given,
    )
    found += [_heard_fold(row) for row in heard]
    return sorted(found, key=attrgetter("fold_seq"))


def labels_of(
    connection: sa.Connection, shard: int, events: Sequence[tuple[str, str]], *, up_to: int
) -> list[Fold]:
    """Return the labels of some events, by kind and id, in the order of folding."""
    rows = connection.execute(
        sa.text(
            f"{_HEARD} WHERE shard = :shard AND what = 'label' AND fold_seq <= :up_to"
            " AND (kind, event_id) IN (SELECT e.kind, e.id FROM unnest("
            " CAST(:kinds AS text[]), CAST(:ids AS text[])) e (kind, id)) ORDER BY fold_seq"
        ),
        {
            "shard": shard,
            "up_to": up_to,
            "kinds": [name(kind) for name in (kind_now, kind_first) for kind, _ in events],
            "ids": [id for _, id in events] * 2,
        },
    )
    return [_heard_fold(row) for row in rows]
