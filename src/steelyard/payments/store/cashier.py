"""The table of cashier pages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa


def insert(connection: sa.Connection, token_hash: bytes, order: UUID, at: datetime) -> None:
    """Note the page of an order, once."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.cashier_page (token_hash, order_id, opened_at)"
            " VALUES (:hash, :order, :at) ON CONFLICT DO NOTHING"
        ),
        {"hash": token_hash, "order": order, "at": at},
    )


def find(connection: sa.Connection, token_hash: bytes) -> UUID | None:
    """Return the order of a page."""
    found = connection.execute(
        sa.text("SELECT order_id FROM payments.cashier_page WHERE token_hash = :hash"),
        {"hash": token_hash},
    ).scalar_one_or_none()
    return None if found is None else UUID(str(found))
