"""Pages of objects as clients of Stripe ask for them: behind or before an id, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.stripe_objects import PAYOUTS

_PAID: Final = ", ".join(f"'{state.value}'" for state in PAYOUTS)
_TABLES: Final = {
    "payment_intent": "SELECT id, merchant, mode, created_at AS at, customer FROM payments.order",
    "charge": (
        "SELECT a.id, o.merchant, o.mode, a.sent_at AS at, o.id AS order_id, o.customer"
        " FROM payments.attempt a JOIN payments.order o ON o.id = a.order_id"
    ),
    "refund": (
        "SELECT id, merchant, mode, asked_at AS at, order_id, attempt FROM payments.refund"
        " WHERE NOT is_automatic"
    ),
    "dispute": (
        "SELECT id, merchant, mode, opened_at AS at, order_id, attempt FROM payments.dispute"
    ),
    "payout": (
        "SELECT id, merchant, mode, calculated_at AS at, state FROM payments.settlement"
        f" WHERE state IN ({_PAID})"
    ),
    "customer": (
        "SELECT id, merchant, mode, created_at AS at, email_index FROM payments.facade_customer"
        " WHERE NOT is_deleted"
    ),
    "payment_method": (
        "SELECT id, merchant, mode, created_at AS at, customer, type FROM payments.facade_method"
        " WHERE NOT is_detached"
    ),
    "setup_intent": (
        "SELECT id, merchant, mode, created_at AS at, customer, method FROM payments.facade_setup"
    ),
    "balance_transaction": (
        "SELECT a.id, o.merchant, o.mode, coalesce(a.final_at, a.sent_at) AS at, 'charge' AS noun,"
        " o.currency FROM payments.order o JOIN payments.attempt a ON a.id = o.paid_by"
        " WHERE o.captured_minor > 0"
        " UNION ALL SELECT id, merchant, mode, asked_at, 'refund', currency FROM payments.refund"
        " WHERE NOT is_automatic AND state NOT IN ('created', 'approval', 'failed', 'closed')"
        " UNION ALL SELECT id, merchant, mode, opened_at, 'dispute', currency"
        " FROM payments.dispute WHERE money <> 'none'"
        " UNION ALL SELECT id, merchant, mode, calculated_at, 'payout', currency"
        f" FROM payments.settlement WHERE state IN ({_PAID})"
    ),
}
"""By noun: id, merchant, mode, instant, and what may be asked for besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which objects of a merchant a page is of.

    Attributes
    ----------
    equal : columns with the value that they have to have
    since, until : instants, both included
    after : the page is behind it, older; before : the page is just before it, newer
    """

    merchant: UUID
    mode: Mode
    limit: int = 10
    equal: Mapping[str, object] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    after: UUID | None = None
    before: UUID | None = None


def page(connection: sa.Connection, noun: str, wanted: Wanted) -> tuple[list[Any], bool]:
    """Return the rows of a page, the newest first, and whether there are more beyond it."""
    told = ["t.merchant = :merchant", "t.mode = :mode"]
    values: dict[str, Any] = {
        "merchant": wanted.merchant,
        "mode": wanted.mode.value,
        "limit": wanted.limit + 1,
    }
    for name, value in wanted.equal.items():
        told.append(f"t.{name} = :{name}")
        values[name] = value
    for sign, name, at in ((">=", "since", wanted.since), ("<=", "until", wanted.until)):
        if at is not None:
            told.append(f"t.at {sign} :{name}")
            values[name] = at
    way = "DESC"
    for sign, name, id in (("<", "after", wanted.after), (">", "before", wanted.before)):
        if id is not None:
            told.append(
                f"(t.at, t.id) {sign} (SELECT x.at, x.id FROM ({_TABLES[noun]}) x"
                f" WHERE x.id = :{name} AND x.merchant = :merchant)"
            )
            values[name] = id
            way = "ASC" if name == "before" else "DESC"
    rows = connection.execute(
        sa.text(
            f"SELECT * FROM ({_TABLES[noun]}) t WHERE {' AND '.join(told)}"
            f" ORDER BY t.at {way}, t.id {way} LIMIT :limit"
        ),
        values,
    ).all()
    items = list(rows[: wanted.limit])
    if way == "ASC":
        items.reverse()
    return items, len(rows) > wanted.limit


def owner_of(connection: sa.Connection, noun: str, id: UUID) -> tuple[UUID, Mode] | None:
    """Return whose an object is."""
    row = connection.execute(
        sa.text(f"SELECT merchant, mode FROM ({_TABLES[noun]}) t WHERE t.id = :id"), {"id": id}
    ).first()
    return None if row is None else (row.merchant, Mode(row.mode))


def orders_of_attempts(connection: sa.Connection, attempts: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return the orders of attempts."""
    rows = connection.execute(
        sa.text("SELECT id, order_id FROM payments.attempt WHERE id = ANY(:ids)"),
        {"ids": list(set(attempts))},
    )
    return {row.id: row.order_id for row in rows}


def attempts_of(connection: sa.Connection, orders: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Return the attempts of orders, the first one first."""
    rows = connection.execute(
        sa.text(
            "SELECT id, order_id FROM payments.attempt WHERE order_id = ANY(:ids)"
            " ORDER BY order_id, no"
        ),
        {"ids": list(set(orders))},
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row.order_id, []).append(row.id)
    return found


def metadata_of(connection: sa.Connection, orders: Sequence[UUID]) -> dict[str, dict[str, str]]:
    """Return what merchants keep with payments, by id; those with nothing are left out."""
    rows = connection.execute(
        sa.text(
            "SELECT o.id, coalesce(n.metadata, o.metadata) AS metadata FROM payments.order o"
            " LEFT JOIN payments.facade_note n ON n.about = 'pi_' || replace(o.id::text, '-', '')"
            " WHERE o.id = ANY(:ids) AND coalesce(n.metadata, o.metadata) <> '{}'::jsonb"
        ),
        {"ids": list(set(orders))},
    )
    return {str(row.id): dict(row.metadata) for row in rows}
