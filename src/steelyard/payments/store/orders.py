"""The table of orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import (
    Capture,
    Mode,
    Order,
    OrderState,
    Payer,
    Scenario,
)
from steelyard.payments.store.rows import as_json

_COLUMNS = (
    "id, merchant, app, mode, order_no, amount_minor, currency, subject, scenario, capture,"
    " methods, customer, payer, state, version, created_at, expires_at, return_url, notify_url,"
    " late_success, most_attempts, splits, metadata, attempts, paid_by, paid_at, authorized_minor,"
    " captured_minor, refund_reserved_minor, refunded_minor, disputed_minor, is_cancelling"
)
INSERT_ORDERS = (
    f"INSERT INTO payments.order ({_COLUMNS}) SELECT {_COLUMNS}"
    " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (id uuid, merchant uuid, app text,"
    " mode text, order_no text, amount_minor bigint, currency text, subject text, scenario text,"
    " capture text, methods text[], customer uuid, payer jsonb, state text, version integer,"
    " created_at timestamptz, expires_at timestamptz, return_url text, notify_url text,"
    " late_success text, most_attempts smallint, splits jsonb, metadata jsonb, attempts smallint,"
    " paid_by uuid, paid_at timestamptz, authorized_minor bigint, captured_minor bigint,"
    " refund_reserved_minor bigint, refunded_minor bigint, disputed_minor bigint,"
    " is_cancelling boolean)"
    " ON CONFLICT DO NOTHING RETURNING id"
)
WRITE_ORDERS = (
    "UPDATE payments.order o SET version = o.version + 1, state = x.state, payer = x.payer,"
    " customer = x.customer, attempts = x.attempts, paid_by = x.paid_by, paid_at = x.paid_at,"
    " authorized_minor = x.authorized_minor, captured_minor = x.captured_minor,"
    " refund_reserved_minor = x.refund_reserved_minor, refunded_minor = x.refunded_minor,"
    " disputed_minor = x.disputed_minor, is_cancelling = x.is_cancelling"
    " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (id uuid, version integer, state text,"
    " payer jsonb, customer uuid, attempts smallint, paid_by uuid, paid_at timestamptz,"
    " authorized_minor bigint, captured_minor bigint, refund_reserved_minor bigint,"
    " refunded_minor bigint, disputed_minor bigint, is_cancelling boolean)"
    " WHERE o.id = x.id AND o.version = x.version"
)


def insert(connection: sa.Connection, orders: Sequence[Order]) -> set[UUID]:
    """Insert orders, and return the ids of those that were inserted.

    One whose id, or whose merchant's number, is there already is left out.
    """
    rows = connection.execute(
        sa.text(INSERT_ORDERS), {"rows": as_json([order_row(order) for order in orders])}
    )
    return set(rows.scalars())


def write(connection: sa.Connection, orders: Sequence[Order]) -> None:
    """Write what changed of orders that are locked; their version is the one that was read."""
    if not orders:
        return
    done = connection.execute(
        sa.text(WRITE_ORDERS), {"rows": as_json([order_row(order) for order in orders])}
    )
    assert done.rowcount == len(orders), "an order changed while it was locked"


def lock(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Order]:
    """Lock orders in the order of their ids, and return those that are there."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.order WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
        ),
        {"ids": sorted(set(ids))},
    )
    return {row.id: _order(row) for row in rows}


def lock_of_attempts(connection: sa.Connection, attempts: Sequence[UUID]) -> dict[UUID, Order]:
    """Lock the orders of some attempts, in the order of their ids."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.order WHERE id IN (SELECT order_id"
            " FROM payments.attempt WHERE id = ANY(:ids)) ORDER BY id FOR UPDATE"
        ),
        {"ids": list(set(attempts))},
    )
    return {row.id: _order(row) for row in rows}


def find(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Order]:
    """Return orders by id, without a lock."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.order WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: _order(row) for row in rows}


def find_by_number(
    connection: sa.Connection, merchant: UUID, mode: Mode, order_no: str
) -> Order | None:
    """Return the order of a merchant's number."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.order"
            " WHERE merchant = :merchant AND mode = :mode AND order_no = :order_no"
        ),
        {"merchant": merchant, "mode": mode.value, "order_no": order_no},
    ).one_or_none()
    return None if row is None else _order(row)


def numbers_taken(
    connection: sa.Connection, numbers: Sequence[tuple[UUID, Mode, str]]
) -> dict[tuple[UUID, Mode, str], UUID]:
    """Return which of the merchants' numbers stand on an order, with that order's id."""
    wanted = [
        {"merchant": merchant, "mode": mode, "order_no": order_no}
        for merchant, mode, order_no in numbers
    ]
    rows = connection.execute(
        sa.text(
            "SELECT o.id, o.merchant, o.mode, o.order_no FROM payments.order o"
            " JOIN jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (merchant uuid, mode text,"
            " order_no text) USING (merchant, mode, order_no)"
        ),
        {"rows": as_json(wanted)},
    )
    return {(row.merchant, Mode(row.mode), row.order_no): row.id for row in rows}


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    merchant: UUID | None = None,
    customer: UUID | None = None,
    state: OrderState | None = None,
) -> list[Order]:
    """Return orders, the newest first.

    Parameters
    ----------
    before : creation instant and id of the last one of the page before
    """
    wanted = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if before is not None:
        wanted.append("(created_at, id) < (:at, :id)")
        values |= {"at": before[0], "id": before[1]}
    for name, value in (("merchant", merchant), ("customer", customer)):
        if value is not None:
            wanted.append(f"{name} = :{name}")
            values[name] = value
    if state is not None:
        wanted.append("state = :state")
        values["state"] = state.value
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.order WHERE {' AND '.join(wanted)}"
            " ORDER BY created_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_order(row) for row in rows]


def due(connection: sa.Connection, now: datetime, limit: int) -> list[UUID]:
    """Return the ids of orders whose time is over and that are not over, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.order WHERE expires_at <= :now"
            " AND state IN ('created', 'open', 'requires_action', 'processing')"
            " ORDER BY expires_at LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return list(rows.scalars())


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as the set-based statements read it."""
    payer = order.payer
    told = {
        name: value
        for name in ("instrument", "account", "terminal", "device", "ip", "country", "is_online")
        if (value := getattr(payer, name)) is not None
    }
    return {
        "id": order.id,
        "merchant": order.merchant,
        "app": order.app,
        "mode": order.mode,
        "order_no": order.order_no,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "subject": order.subject,
        "scenario": order.scenario,
        "capture": order.capture,
        "methods": order.methods,
        "customer": payer.customer,
        "payer": told,
        "state": order.state,
        "version": order.version,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "return_url": order.return_url,
        "notify_url": order.notify_url,
        "late_success": order.late_success,
        "most_attempts": order.most_attempts,
        "splits": order.splits,
        "metadata": order.metadata,
        "attempts": order.attempts,
        "paid_by": order.paid_by,
        "paid_at": order.paid_at,
        "authorized_minor": order.authorized_minor,
        "captured_minor": order.captured_minor,
        "refund_reserved_minor": order.refund_reserved_minor,
        "refunded_minor": order.refunded_minor,
        "disputed_minor": order.disputed_minor,
        "is_cancelling": order.is_cancelling,
    }


def _order(row: Any) -> Order:
    values = dict(row._mapping)
    customer = values.pop("customer")
    values |= {
        "mode": Mode(row.mode),
        "scenario": Scenario(row.scenario),
        "capture": Capture(row.capture),
        "methods": tuple(Method(m) for m in row.methods),
        "payer": Payer(customer=customer, **row.payer),
        "state": OrderState(row.state),
    }
    return Order(**values)
