"""The table of movements between own books and accounts of clients."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from steelyard.payments.model.movements import Movement, MovementKind

_COLUMNS = (
    "id, number, kind, book, account, own_book, amount_minor, currency, cause, decision, about,"
    " actor, moved_at"
)


def insert(connection: sa.Connection, values: dict[str, Any]) -> None:
    """Insert a movement; the same again is written once."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.movement (id, kind, book, account, own_book, amount_minor,"
            " currency, cause, decision, about, actor, moved_at) VALUES (:id, :kind, :book,"
            " :account, :own_book, :amount_minor, :currency, :cause, :decision, :about, :actor,"
            " :moved_at) ON CONFLICT (id) DO NOTHING"
        ),
        values,
    )


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: int | None = None,
    about: str | None = None,
    book: str | None = None,
    account: str | None = None,
) -> list[Movement]:
    """Return movements, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.movement"
            " WHERE (CAST(:before AS bigint) IS NULL OR number < :before)"
            " AND (CAST(:about AS text) IS NULL OR about = :about)"
            " AND (CAST(:book AS text) IS NULL OR book = :book)"
            " AND (CAST(:account AS text) IS NULL OR account = :account)"
            " ORDER BY number DESC LIMIT :limit"
        ),
        {"before": before, "about": about, "book": book, "account": account, "limit": limit},
    )
    return [Movement(**{**row._asdict(), "kind": MovementKind(row.kind)}) for row in rows]
