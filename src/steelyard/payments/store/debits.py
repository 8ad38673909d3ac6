"""The table of debits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.channel import Decline
from steelyard.payments.model.debits import Debit, DebitState
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import as_json

_NAMES: Final = [one.name for one in fields(Debit)]
_STORED: Final = ["order_id" if name == "order" else name for name in _NAMES]
_COLUMNS: Final = ", ".join(f"d.{name}" for name in _STORED)
_TYPES: Final = (
    "id uuid, mandate uuid, debit_no text, amount_minor bigint, currency text, due_on date,"
    " subject text, is_signing boolean, merchant uuid, customer uuid, mode text, state text,"
    " version integer, counted_on date, try_on date, created_at timestamptz, created_by text,"
    " tries smallint, order_id uuid, movement uuid, first_sent_on date, sent_at timestamptz,"
    " code text, decline text, failure text, final_at timestamptz, returned_at timestamptz"
)
_WRITTEN: Final = (
    *("state", "try_on", "tries", "order_id", "first_sent_on", "sent_at", "code", "decline"),
    *("failure", "final_at", "returned_at"),
)


def insert(connection: sa.Connection, debits: Sequence[Debit]) -> set[UUID]:
    """Insert debits; return which were new, the others' ids or numbers are there already."""
    if not debits:
        return set()
    rows = connection.execute(
        sa.text(
            f"INSERT INTO payments.debit ({', '.join(_STORED)}) SELECT {', '.join(_STORED)}"
            f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_TYPES})"
            " ON CONFLICT DO NOTHING RETURNING id"
        ),
        {"rows": as_json([_row(one) for one in debits])},
    )
    return set(rows.scalars())


def write(connection: sa.Connection, debits: Sequence[Debit]) -> None:
    """Write debits whose rows are held; each version is the one that was read."""
    if not debits:
        return
    done = connection.execute(
        sa.text(
            "UPDATE payments.debit d SET version = d.version + 1,"
            f" {', '.join(f'{name} = x.{name}' for name in _WRITTEN)}"
            f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_TYPES})"
            " WHERE d.id = x.id AND d.version = x.version"
        ),
        {"rows": as_json([_row(one) for one in debits])},
    )
    assert done.rowcount == len(debits), "the rows are held"


def lock(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Debit]:
    """Lock debits in the order of their ids; their mandates are locked before."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.debit d WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
        ),
        {"ids": sorted(set(ids))},
    )
    return {row.id: _debit(row) for row in rows}


def find(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Debit]:
    """Return debits by id, without a lock."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.debit d WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: _debit(row) for row in rows}


def find_numbers(
    connection: sa.Connection, merchant: UUID, mode: Mode, numbers: Sequence[str]
) -> dict[str, Debit]:
    """Return the debits of a merchant's own numbers."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.debit d WHERE merchant = :merchant AND mode = :mode"
            " AND debit_no = ANY(:numbers)"
        ),
        {"merchant": merchant, "mode": mode.value, "numbers": list(set(numbers))},
    )
    return {row.debit_no: _debit(row) for row in rows}


def used(
    connection: sa.Connection, periods: Sequence[tuple[UUID, date]]
) -> dict[tuple[UUID, date], int]:
    """Return what is taken or to be taken by mandates in periods; the mandates are locked."""
    rows = connection.execute(
        sa.text(
            "SELECT x.mandate, x.counted_on, coalesce(sum(d.amount_minor), 0) AS minor"
            " FROM unnest(CAST(:mandates AS uuid[]), CAST(:days AS date[]))"
            " AS x (mandate, counted_on) LEFT JOIN payments.debit d ON d.mandate = x.mandate"
            " AND d.counted_on = x.counted_on AND d.state NOT IN ('failed_final', 'cancelled')"
            " GROUP BY x.mandate, x.counted_on"
        ),
        {"mandates": [id for id, _ in periods], "days": [on for _, on in periods]},
    )
    return {(row.mandate, row.counted_on): int(row.minor) for row in rows}


def open_of(connection: sa.Connection, mandate: UUID) -> list[UUID]:
    """Return debits of a mandate that are not final."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.debit WHERE mandate = :mandate AND state IN ('scheduled',"
            " 'prenotified', 'failed_retryable', 'sent', 'accepted', 'unknown') ORDER BY id"
        ),
        {"mandate": mandate},
    )
    return list(rows.scalars())


def to_tell(connection: sa.Connection, limit: int) -> list[UUID]:
    """Return debits whose notice is due: its mandate promises one."""
    rows = connection.execute(
        sa.text(
            "SELECT d.id FROM payments.debit d JOIN payments.mandate m ON m.id = d.mandate"
            " WHERE d.state = 'scheduled' AND m.notice_days > 0"
            " ORDER BY d.try_on, d.id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def to_send(connection: sa.Connection, on: date, limit: int, after: UUID | None) -> list[UUID]:
    """Return debits whose day has come, and which wait for nothing; ids over `after`."""
    rows = connection.execute(
        sa.text(
            "SELECT d.id FROM payments.debit d JOIN payments.mandate m ON m.id = d.mandate"
            " WHERE d.state IN ('scheduled', 'prenotified', 'failed_retryable') AND d.try_on <= :on"
            " AND (m.notice_days = 0 OR d.state <> 'scheduled')"
            " AND (CAST(:after AS uuid) IS NULL OR d.id > :after) ORDER BY d.id LIMIT :limit"
        ),
        {"on": on, "limit": limit, "after": after},
    )
    return list(rows.scalars())


def to_follow(connection: sa.Connection, limit: int) -> list[UUID]:
    """Return debits that do not stand where their orders do any more."""
    rows = connection.execute(
        sa.text(
            "SELECT d.id FROM payments.debit d JOIN payments.order o ON o.id = d.order_id"
            " LEFT JOIN payments.attempt a ON a.order_id = o.id AND a.no = o.attempts"
            " WHERE d.state IN ('sent', 'accepted', 'unknown') AND ("
            " o.state IN ('succeeded', 'failed', 'cancelled', 'expired')"
            " OR (a.no = d.tries AND (a.state NOT IN ('sent', 'pending', 'pending_user', 'unknown',"
            " 'authorized', 'integrity_hold')"
            " OR (a.state = 'unknown' AND d.state <> 'unknown')"
            " OR (a.state IN ('pending', 'pending_user', 'authorized')"
            " AND d.state <> 'accepted'))))"
            " UNION SELECT d.id FROM payments.debit d JOIN payments.order o ON o.id = d.order_id"
            " WHERE d.state IN ('scheduled', 'prenotified', 'failed_retryable')"
            " AND o.state IN ('succeeded', 'failed', 'cancelled', 'expired') LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def unsent(connection: sa.Connection, before: datetime, limit: int) -> list[UUID]:
    """Return debits that were to be sent, and of which a crash left no attempt."""
    rows = connection.execute(
        sa.text(
            "SELECT d.id FROM payments.debit d JOIN payments.order o ON o.id = d.order_id"
            " WHERE d.state = 'sent' AND o.attempts < d.tries AND d.sent_at < :before"
            " AND o.state IN ('created', 'open') ORDER BY d.id LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return list(rows.scalars())


class PaidDebit(NamedTuple):
    """A debit that went through, with what its channel is asked by."""

    debit: UUID
    attempt: UUID
    reference: str | None
    sent_at: datetime
    is_refunded: bool


def paid_by_channel(connection: sa.Connection, since: datetime) -> dict[str, list[PaidDebit]]:
    """Return debits that went through since an instant, by channel, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT a.channel, d.id AS debit, a.id AS attempt, a.reference, a.sent_at,"
            " o.refunded_minor + o.refund_reserved_minor > 0 AS is_refunded"
            " FROM payments.debit d JOIN payments.order o ON o.id = d.order_id"
            " JOIN payments.attempt a ON a.id = o.paid_by"
            " WHERE d.state = 'succeeded' AND d.sent_at >= :since ORDER BY d.sent_at, d.id"
        ),
        {"since": since},
    )
    found: dict[str, list[PaidDebit]] = {}
    for row in rows:
        sent_at = row.sent_at.astimezone(UTC)
        one = PaidDebit(row.debit, row.attempt, row.reference, sent_at, row.is_refunded)
        found.setdefault(row.channel, []).append(one)
    return found


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    party: UUID | None = None,
    merchant: UUID | None = None,
    mandate: UUID | None = None,
    state: DebitState | None = None,
) -> list[Debit]:
    """Return debits, the newest first; of a party those that it has a part in."""
    wanted, values = ["true"], dict[str, Any](limit=limit)
    if before is not None:
        wanted.append("(created_at, id) < (:before, :id)")
        values |= {"before": before[0], "id": before[1]}
    if party is not None:
        wanted.append("(merchant = :party OR customer = :party)")
        values["party"] = party
    for name, value in (("merchant", merchant), ("mandate", mandate), ("state", state)):
        if value is not None:
            wanted.append(f"{name} = :{name}")
            values[name] = value
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.debit d WHERE {' AND '.join(wanted)}"
            " ORDER BY created_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_debit(row) for row in rows]


def _row(debit: Debit) -> dict[str, Any]:
    return {stored: getattr(debit, name) for name, stored in zip(_NAMES, _STORED, strict=True)}


def _debit(row: Any) -> Debit:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    for name in ("created_at", "sent_at", "final_at", "returned_at"):
        values[name] = None if values[name] is None else values[name].astimezone(UTC)
    values |= {
        "mode": Mode(row.mode),
        "state": DebitState(row.state),
        "decline": None if row.decline is None else Decline(row.decline),
    }
    return Debit(**values)
