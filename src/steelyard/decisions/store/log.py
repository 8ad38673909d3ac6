"""The log of decisions: appended by function, one chain of hashes for each shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, instant, read_record
from steelyard.decisions.store.folds import HeardFold
from steelyard.kernel import CursorIsInvalid, Page

_TAKE_OVER = sa.text("SELECT * FROM decisions.take_over(:shard, :holder, :address, :ticket)")
# The driver's own placeholders, in binary: as text, a batch of records costs five times as much.
_APPEND = (
    "SELECT decisions.append_folds(%b::smallint, %b::bigint, %b::bigint, %b::bigint,"
    " %b::bigint[], %b::bigint[], %b::boolean[], %b::uuid[], %b::text[], %b::text[], %b::text[],"
    " %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::text[], %b::bigint[], %b::text[],"
    " %b::bytea[], %b::bytea[])"
)


@dataclass(frozen=True, slots=True)
class Tenure:
    """The right to decide in a shard, until somebody takes it over.

    Attributes
    ----------
    epoch : goes up with every taking over; what an earlier epoch appends is not written
    decisions, fold_seq, head : where the log stood when the shard was taken
    """

    shard: int
    epoch: int
    decisions: int
    fold_seq: int
    head: bytes


class FoldedTo(NamedTuple):
    """How far a batch brings a shard.

    Attributes
    ----------
    fold_seq : place of what was folded last
    heard_to : arrival up to which it took in what it was told; 0 if nothing of that is in the batch
    """

    fold_seq: int
    heard_to: int


class Batch(NamedTuple):
    """What is appended at once.

    Attributes
    ----------
    records : of each decision, and the hash that chains it
    heard : each telling that was folded
    """

    decisions: Sequence[Decision]
    records: Sequence[tuple[bytes, bytes]]
    heard: Sequence[HeardFold]
    to: FoldedTo


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log: the record, and its place in the chain."""

    shard: int
    number: int
    written_at: datetime
    record: bytes
    hash: bytes

    @property
    def decision(self) -> Decision:
        """What was recorded."""
        return read_record(self.record)


def take_over(
    connection: sa.Connection, shard: int, *, holder: str, address: str, ticket: str
) -> Tenure:
    """Take a shard; whoever had it can append nothing more."""
    row = connection.execute(
        _TAKE_OVER, {"shard": shard, "holder": holder, "address": address, "ticket": ticket}
    ).one()
    return Tenure(row.shard, row.epoch, row.decisions, row.fold_seq, bytes(row.head))


def append(connection: sa.Connection, tenure: Tenure, batch: Batch) -> bool:
    """Append a batch; False, and nothing was written, if the tenure is over."""
    return bool(connection.exec_driver_sql(_APPEND, _values(tenure, batch)).scalar_one())


async def append_soon(
    connection: psycopg.AsyncConnection[Any], tenure: Tenure, batch: Batch
) -> bool:
    """Append a batch, as `append` does, while others go on."""
    cursor = await connection.execute(_APPEND, _values(tenure, batch), binary=True)
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def _values(tenure: Tenure, batch: Batch) -> tuple[object, ...]:
    decisions, records, heard, to = batch
    return (
        tenure.shard,
        tenure.epoch,
        to.fold_seq,
        to.heard_to,
        [one.fold_seq for one in heard],
        [one.told.arrival for one in heard],
        [one.is_too_late for one in heard],
        [d.id for d in decisions],
        [d.asked.scene for d in decisions],
        [d.asked.id for d in decisions],
        [d.subject for d in decisions],
        [d.sequence for d in decisions],
        [instant(d.asked.at_ms) for d in decisions],
        [instant(d.expires_at_ms) for d in decisions],
        [d.outcome for d in decisions],
        [d.limit_minor for d in decisions],
        [d.cause for d in decisions],
        [record for record, _ in records],
        [hash for _, hash in records],
    )


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the owner of a shard answers, and the ticket that it wants to be shown."""

    address: str
    ticket: str
    epoch: int


def find_owner(connection: sa.Connection, shard: int = 0) -> Whereabouts | None:
    """Return where the owner of a shard answers, None if nobody ever took it."""
    row = connection.execute(
        sa.text("SELECT address, ticket, epoch FROM decisions.owner WHERE shard = :shard"),
        {"shard": shard},
    ).one_or_none()
    return None if row is None else Whereabouts(row.address, row.ticket, row.epoch)


_LINE = "SELECT shard, number, written_at, record, hash FROM decisions.log"


def read_line(connection: sa.Connection, id: UUID) -> Line | None:
    """Return the line of a decision."""
    row = connection.execute(sa.text(f"{_LINE} WHERE id = :id"), {"id": id}).one_or_none()
    return None if row is None else _line(row)


def head(connection: sa.Connection, shard: int) -> bytes:
    """Return the hash of the last line of a shard."""
    found = connection.execute(
        sa.text("SELECT head FROM decisions.owner WHERE shard = :shard"), {"shard": shard}
    )
    return bytes(found.scalar_one())


def recently_asked(
    connection: sa.Connection, shard: int, *, limit: int
) -> list[tuple[str, str, int]]:
    """Return scene, event id and instant in ms of the latest questions that were decided."""
    rows = connection.execute(
        sa.text(
            "SELECT scene, asked, CAST(1000 * extract(epoch FROM at) AS bigint) FROM decisions.log"
            " WHERE shard = :shard ORDER BY number DESC LIMIT :n"
        ),
        {"shard": shard, "n": limit},
    )
    return [(scene, asked, at_ms) for scene, asked, at_ms in rows]


def find_asked(connection: sa.Connection, scene: str, asked: str) -> Line | None:
    """Return the line of the decision on a question."""
    row = connection.execute(
        sa.text(f"{_LINE} WHERE scene = :scene AND asked = :asked"),
        {"scene": scene, "asked": asked},
    ).one_or_none()
    return None if row is None else _line(row)


def read_lines(connection: sa.Connection, shard: int, *, step: int = 1_000) -> Iterator[Line]:
    """Yield every line of a shard in the order of its chain."""
    after = 0
    while True:
        rows = connection.execute(
            sa.text(f"{_LINE} WHERE shard = :shard AND number > :after ORDER BY number LIMIT :n"),
            {"shard": shard, "after": after, "n": step},
        ).all()
        yield from map(_line, rows)
        if len(rows) < step:
            return
        after = rows[-1].number


def newest(
    connection: sa.Connection,
    *,
    scene: str | None = None,
    outcome: str | None = None,
    subject: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
    shard: int = 0,
) -> Page[Line]:
    """Return the newest lines of a shard, or the newest of those that fit.

    Refusals
    --------
    cursor_is_invalid
    """
    before = 2**62
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
            raise CursorIsInvalid
        before = int(cursor)
    wanted = {"scene": scene, "outcome": outcome, "subject": subject}
    given = {name: value for name, value in wanted.items() if value is not None}
    where = "".join(f" AND {name} = :{name}" for name in given)
    rows = connection.execute(
        sa.text(
            f"{_LINE} WHERE shard = :shard AND number < :before{where}"
            " ORDER BY number DESC LIMIT :n"
        ),
        {**given, "shard": shard, "before": before, "n": limit + 1},
    ).all()
    more = str(rows[limit - 1].number) if len(rows) > limit else None
    return Page(tuple(map(_line, rows[:limit])), more)


def read_uses(
    connection: sa.Connection, ids: Sequence[UUID]
) -> dict[UUID, tuple[Decision, str | None]]:
    """Return decisions by id, each with what used it up."""
    rows = connection.execute(
        sa.text(
            "SELECT l.id, l.record, c.by FROM decisions.log l"
            " LEFT JOIN decisions.consumption c ON c.decision_id = l.id"
            " WHERE l.id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids)},
    )
    return {row.id: (read_record(bytes(row.record)), row.by) for row in rows}


def consume(
    connection: sa.Connection, uses: Sequence[tuple[UUID, str, int | None]], *, at: datetime
) -> dict[UUID, str]:
    """Note what used decisions up; return by what those are used that were taken meanwhile."""
    if not uses:
        return {}
    ids, users, amounts = (list(column) for column in zip(*uses, strict=True))
    noted = connection.execute(
        sa.text(
            "INSERT INTO decisions.consumption (decision_id, by, amount_minor, consumed_at)"
            " SELECT u.id, u.by, u.amount, :at FROM unnest(CAST(:ids AS uuid[]),"
            " CAST(:users AS text[]), CAST(:amounts AS bigint[])) AS u (id, by, amount)"
            " ORDER BY u.id ON CONFLICT DO NOTHING RETURNING decision_id"
        ),
        {"ids": ids, "users": users, "amounts": amounts, "at": at},
    )
    lost = set(ids).difference(noted.scalars())
    taken = connection.execute(
        sa.text(
            "SELECT decision_id, by FROM decisions.consumption"
            " WHERE decision_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(lost)},
    )
    return {row.decision_id: row.by for row in taken} if lost else {}


def _line(row: sa.Row[tuple[object, ...]]) -> Line:
    return Line(row.shard, row.number, row.written_at, bytes(row.record), bytes(row.hash))
