"""The table of captures and releases of authorizations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.capturing import Capture, CaptureKind, CaptureState

_COLUMNS = (
    "id, request, order_id, attempt, no, kind, amount_minor, currency, is_last, is_by_clock,"
    " state, version, sent_at, actor, queries, next_query_at, reference, code, final_at"
)


def insert(connection: sa.Connection, one: Capture) -> None:
    """Insert a capture."""
    names = [name.strip() for name in _COLUMNS.split(",")]
    connection.execute(
        sa.text(
            f"INSERT INTO payments.capture ({_COLUMNS})"
            f" VALUES ({', '.join(f':{name}' for name in names)})"
        ),
        _row(one),
    )


def write(connection: sa.Connection, one: Capture) -> Capture:
    """Write what changed of a capture whose order is locked, and return it as it is written."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.capture SET version = version + 1, state = :state,"
            " queries = :queries, next_query_at = :next_query_at, reference = :reference,"
            " code = :code, final_at = :final_at WHERE id = :id AND version = :version"
            f" RETURNING {_COLUMNS}"
        ),
        _row(one),
    ).one_or_none()
    assert done is not None, "a capture changed while its order was locked"
    return _capture(done)


def of_order(connection: sa.Connection, order: UUID) -> list[Capture]:
    """Return what was captured and released of an order, the first one first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.capture WHERE order_id = :order ORDER BY attempt, no"
        ),
        {"order": order},
    )
    return [_capture(row) for row in rows]


def find(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Capture]:
    """Return captures by id."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.capture WHERE id = ANY(:ids)"),
        {"ids": list(ids)},
    )
    return {row.id: _capture(row) for row in rows}


def find_request(connection: sa.Connection, request: UUID) -> Capture | None:
    """Return the capture of a request."""
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.capture WHERE request = :request"),
        {"request": request},
    ).one_or_none()
    return None if row is None else _capture(row)


def due(connection: sa.Connection, now: datetime, limit: int) -> list[UUID]:
    """Return the captures that a channel has to be asked about, the longest overdue first."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.capture WHERE next_query_at <= :now"
            " ORDER BY next_query_at LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return list(rows.scalars())


def orders_authorized(
    connection: sa.Connection, before: datetime, *, automatic: bool, limit: int
) -> list[UUID]:
    """Return orders with money set aside and nothing under way, authorized before an instant.

    Parameters
    ----------
    automatic : those that nobody captures by hand; else all
    """
    rows = connection.execute(
        sa.text(
            "SELECT o.id FROM payments.order o"
            " WHERE o.state IN ('authorized', 'partially_captured') AND o.paid_at <= :before"
            " AND (NOT :automatic OR o.capture = 'automatic')"
            " AND NOT EXISTS (SELECT FROM payments.capture c WHERE c.order_id = o.id"
            " AND c.state IN ('sent', 'unknown', 'held')) ORDER BY o.paid_at LIMIT :limit"
        ),
        {"before": before, "automatic": automatic, "limit": limit},
    )
    return list(rows.scalars())


def _row(one: Capture) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in Capture.__slots__}
    values["order_id"] = values.pop("order")
    return values | {"kind": one.kind.value, "state": one.state.value}


def _capture(row: Any) -> Capture:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    return Capture(**{**values, "kind": CaptureKind(row.kind), "state": CaptureState(row.state)})
