"""The tables of attempts, of the evidence about them, and of what is left to be done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.payments.model.attempts import Attempt, AttemptState, Follow, Source
from steelyard.payments.model.channel import Decline, Finding, Method
from steelyard.payments.model.orders import Order
from steelyard.payments.store.orders import INSERT_ORDERS, WRITE_ORDERS, order_row
from steelyard.payments.store.rows import as_json

_COLUMNS = (
    "id, order_id, no, channel, method, amount_minor, currency, state, version, sent_at, cause,"
    " decision, instrument, reference, decline, code, action, fee_minor, queries, next_query_at,"
    " visibility_seconds, is_reversing, final_at, propensity, details"
)
_TYPES = (
    "id uuid, order_id uuid, no smallint, channel text, method text, amount_minor bigint,"
    " currency text, state text, version integer, sent_at timestamptz, cause text, decision uuid,"
    " instrument text, reference text, decline text, code text, action jsonb, fee_minor bigint,"
    " queries smallint, next_query_at timestamptz, visibility_seconds integer,"
    " is_reversing boolean, final_at timestamptz, propensity double precision, details jsonb"
)
_INSERT = sa.text(
    f"INSERT INTO payments.attempt ({_COLUMNS}) SELECT {_COLUMNS}"
    f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_TYPES})"
)
_WRITE = sa.text(
    "UPDATE payments.attempt a SET version = a.version + 1, state = x.state,"
    " reference = x.reference, decline = x.decline, code = x.code, action = x.action,"
    " fee_minor = x.fee_minor, queries = x.queries, next_query_at = x.next_query_at,"
    " is_reversing = x.is_reversing, final_at = x.final_at, sent_at = x.sent_at,"
    " channel = x.channel, details = x.details, cause = x.cause, decision = x.decision"
    f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_TYPES})"
    " WHERE a.id = x.id AND a.version = x.version"
)
_INSERT_BEGUN = sa.text(
    f"WITH made AS ({INSERT_ORDERS.replace(':rows', ':orders')}), begun AS ("
    f"INSERT INTO payments.attempt ({_COLUMNS})"
    f" SELECT {', '.join(f'x.{name.strip()}' for name in _COLUMNS.split(','))}"
    f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_TYPES})"
    " JOIN made ON made.id = x.order_id)"
    " SELECT id FROM made"
)
_INSERT_EVIDENCE = (
    "INSERT INTO payments.evidence (id, about, of_refund, source, said, finding, note,"
    " is_new, actor, seen_at) SELECT id, about, of_refund, source, said, finding, note,"
    " is_new, actor, seen_at FROM jsonb_to_recordset(CAST(:evidence AS jsonb)) AS x (id uuid,"
    " about uuid, of_refund boolean, source text, said text, finding jsonb, note text,"
    " is_new boolean, actor text, seen_at timestamptz)"
)
_WRITE_LEARNT = sa.text(
    f"WITH o AS ({WRITE_ORDERS.replace(':rows', ':orders')} RETURNING 1),"
    f" a AS ({_WRITE.text} RETURNING 1), e AS ({_INSERT_EVIDENCE})"
    " SELECT (SELECT count(*) FROM o), (SELECT count(*) FROM a)"
)


class EvidenceRow(NamedTuple):
    """A piece of evidence as it was recorded.

    Attributes
    ----------
    about : an attempt, or a refund where `of_refund`
    note : what the reducer thought of it; is_new : whether anything followed
    """

    id: UUID
    about: UUID
    of_refund: bool
    source: Source
    finding: Finding
    note: str
    is_new: bool
    actor: str
    seen_at: datetime


class FollowUp(NamedTuple):
    """Something that a ruling left to be done."""

    id: UUID
    attempt: UUID
    kind: Follow
    asked_at: datetime


def insert(connection: sa.Connection, attempts: Sequence[Attempt]) -> None:
    """Insert attempts."""
    if attempts:
        connection.execute(_INSERT, {"rows": as_json([_row(one) for one in attempts])})


def write(connection: sa.Connection, attempts: Sequence[Attempt]) -> None:
    """Write what changed of attempts that are locked; their version is the one that was read."""
    if not attempts:
        return
    done = connection.execute(_WRITE, {"rows": as_json([_row(one) for one in attempts])})
    assert done.rowcount == len(attempts), "an attempt changed while it was locked"


def lock(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Attempt]:
    """Lock attempts in the order of their ids; their orders are locked before."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.attempt WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
        ),
        {"ids": sorted(set(ids))},
    )
    return {row.id: _attempt(row) for row in rows}


def find(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Attempt]:
    """Return attempts by id, without a lock."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.attempt WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: _attempt(row) for row in rows}


def write_learnt(
    connection: sa.Connection,
    orders: Sequence[Order],
    attempts: Sequence[Attempt],
    evidence: Sequence[EvidenceRow],
) -> None:
    """Write what evidence changed, and the evidence, with one statement.

    Parameters
    ----------
    orders, attempts : locked; their versions are those that were read
    """
    done = connection.execute(
        _WRITE_LEARNT,
        {
            "orders": as_json([order_row(order) for order in orders]),
            "rows": as_json([_row(one) for one in attempts]),
            "evidence": as_json([_evidence_row(row) for row in evidence]),
        },
    ).one()
    assert tuple(done) == (len(orders), len(attempts)), "a row changed while it was locked"


def insert_begun(
    connection: sa.Connection, orders: Sequence[Order], attempts: Sequence[Attempt]
) -> set[UUID]:
    """Insert orders with their first attempts, with one statement; return the orders inserted.

    An order whose id, or whose merchant's number, is there already is left out with its attempt.
    """
    rows = connection.execute(
        _INSERT_BEGUN,
        {
            "orders": as_json([order_row(order) for order in orders]),
            "rows": as_json([_row(one) for one in attempts]),
        },
    )
    return set(rows.scalars())


def orders_of(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return the order of each attempt."""
    rows = connection.execute(
        sa.text("SELECT id, order_id FROM payments.attempt WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: row.order_id for row in rows}


def of_order(connection: sa.Connection, order: UUID) -> list[Attempt]:
    """Return the attempts of an order, the first one first."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.attempt WHERE order_id = :order ORDER BY no"),
        {"order": order},
    )
    return [_attempt(row) for row in rows]


def due(connection: sa.Connection, now: datetime, limit: int) -> list[Attempt]:
    """Return attempts that a channel has to be asked about, the longest overdue first.

    Those that somebody else is asking about now are left out: the rows stay locked until the
    caller's transaction ends.
    """
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.attempt WHERE next_query_at <= :now"
            " ORDER BY next_query_at LIMIT :limit FOR UPDATE SKIP LOCKED"
        ),
        {"now": now, "limit": limit},
    )
    return [_attempt(row) for row in rows]


def insert_evidence(connection: sa.Connection, rows: Sequence[EvidenceRow]) -> None:
    """Append evidence."""
    if not rows:
        return
    connection.execute(
        sa.text(_INSERT_EVIDENCE), {"evidence": as_json([_evidence_row(row) for row in rows])}
    )


def evidence_about(connection: sa.Connection, about: UUID) -> list[EvidenceRow]:
    """Return the evidence about an attempt or a refund, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id, about, of_refund, source, finding, note, is_new, actor, seen_at"
            " FROM payments.evidence WHERE about = :about ORDER BY seq"
        ),
        {"about": about},
    )
    return [
        EvidenceRow(
            row.id,
            row.about,
            row.of_refund,
            Source(row.source),
            msgspec.convert(row.finding, Finding, strict=False),
            row.note,
            row.is_new,
            row.actor,
            row.seen_at,
        )
        for row in rows
    ]


def ask_follow_ups(connection: sa.Connection, rows: Sequence[FollowUp]) -> None:
    """Note what is left to be done; the same for the same attempt is noted once."""
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO payments.follow_up (id, attempt, kind, asked_at)"
                " SELECT id, attempt, kind, asked_at FROM jsonb_to_recordset(CAST(:rows AS jsonb))"
                " AS x (id uuid, attempt uuid, kind text, asked_at timestamptz)"
                " ON CONFLICT DO NOTHING"
            ),
            {"rows": as_json([row._asdict() for row in rows])},
        )


def open_follow_ups(
    connection: sa.Connection, kinds: Sequence[Follow], limit: int
) -> list[FollowUp]:
    """Return what is left to be done of some kinds, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id, attempt, kind, asked_at FROM payments.follow_up"
            " WHERE done_at IS NULL AND kind = ANY(:kinds) ORDER BY asked_at, id LIMIT :limit"
        ),
        {"kinds": [kind.value for kind in kinds], "limit": limit},
    )
    return [FollowUp(row.id, row.attempt, Follow(row.kind), row.asked_at) for row in rows]


def finish_follow_up(connection: sa.Connection, id: UUID, at: datetime) -> bool:
    """Note that something is done; False when it was before."""
    done = connection.execute(
        sa.text("UPDATE payments.follow_up SET done_at = :at WHERE id = :id AND done_at IS NULL"),
        {"id": id, "at": at},
    )
    return done.rowcount == 1


def _evidence_row(row: EvidenceRow) -> dict[str, Any]:
    return {**row._asdict(), "said": row.finding.said, "finding": _told(row.finding)}


def _told(finding: Finding) -> dict[str, Any]:
    """Return what a finding says; what it does not say is left out."""
    values = msgspec.to_builtins(finding)
    return {name: value for name, value in values.items() if value is not None}


def _row(attempt: Attempt) -> dict[str, Any]:
    values = {name: getattr(attempt, name) for name in Attempt.__slots__}
    values["order_id"] = values.pop("order")
    return values


def _attempt(row: Any) -> Attempt:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    values |= {
        "method": Method(row.method),
        "state": AttemptState(row.state),
        "decline": None if row.decline is None else Decline(row.decline),
    }
    return Attempt(**values)
