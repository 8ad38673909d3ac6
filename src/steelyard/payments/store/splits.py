"""The table of splits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.splits import Split, SplitState
from steelyard.payments.store.rows import as_json

_COLUMNS = (
    "id, order_id, receiver, amount_minor, returned_minor, currency, state, version, share_no,"
    " planned_at, posted_at"
)
_RECORD = (
    "id uuid, order_id uuid, receiver text, amount_minor bigint, returned_minor bigint,"
    " currency text, state text, version integer, share_no text, planned_at timestamptz,"
    " posted_at timestamptz"
)


def insert(connection: sa.Connection, splits: Sequence[Split]) -> None:
    """Insert splits of an order that is locked."""
    connection.execute(
        sa.text(
            f"INSERT INTO payments.split ({_COLUMNS}) SELECT {_COLUMNS}"
            f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_RECORD})"
        ),
        {"rows": as_json([_row(one) for one in splits])},
    )


def write(connection: sa.Connection, splits: Sequence[Split]) -> None:
    """Write what changed of splits whose orders are locked; the version is the one read."""
    if not splits:
        return
    done = connection.execute(
        sa.text(
            "UPDATE payments.split s SET version = s.version + 1, state = x.state,"
            " returned_minor = x.returned_minor, posted_at = x.posted_at"
            f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_RECORD})"
            " WHERE s.id = x.id AND s.version = x.version"
        ),
        {"rows": as_json([_row(one) for one in splits])},
    )
    assert done.rowcount == len(splits), "a split changed while its order was locked"


def of_orders(connection: sa.Connection, orders: Sequence[UUID]) -> dict[UUID, list[Split]]:
    """Return the splits of orders, the oldest first; orders without are left out."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.split WHERE order_id = ANY(:orders)"
            " ORDER BY planned_at, id"
        ),
        {"orders": list(set(orders))},
    )
    found: dict[UUID, list[Split]] = {}
    for row in rows:
        found.setdefault(row.order_id, []).append(_split(row))
    return found


def captured_without(connection: sa.Connection, since: datetime, limit: int) -> list[UUID]:
    """Return orders paid since an instant that name splits and have none yet."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.order o WHERE splits <> '{}'::jsonb AND paid_at >= :since"
            " AND state = 'succeeded' AND captured_minor > 0 AND NOT EXISTS (SELECT FROM"
            " payments.split s WHERE s.order_id = o.id AND s.share_no = 'capture')"
            " ORDER BY paid_at, id LIMIT :limit"
        ),
        {"since": since, "limit": limit},
    )
    return list(rows.scalars())


def cleared_and_planned(connection: sa.Connection, limit: int) -> list[UUID]:
    """Return orders that are cleared and have splits which wait for that."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT s.order_id FROM payments.split s"
            " JOIN payments.order o ON o.id = s.order_id"
            " JOIN payments.clearing_line l ON l.about = o.paid_by AND l.kind = 'payment'"
            " WHERE s.state = 'planned' ORDER BY s.order_id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def _row(split: Split) -> dict[str, Any]:
    values = {name: getattr(split, name) for name in Split.__slots__}
    values["order_id"] = values.pop("order")
    return values


def _split(row: Any) -> Split:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    values["state"] = SplitState(row.state)
    return Split(**values)
