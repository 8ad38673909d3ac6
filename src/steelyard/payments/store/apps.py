"""Tables of apps and which keys act for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.apps import App, AppState
from steelyard.payments.model.merchants_refusals import AppIsUnknown
from steelyard.payments.model.orders import Mode

_COLUMNS = "a.id, a.merchant, a.mode, a.name, a.state, a.version, a.created_at, a.created_by"


def insert(connection: sa.Connection, app: App) -> None:
    """Insert an app."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.app (id, merchant, mode, name, state, created_at, created_by)"
            " VALUES (:id, :merchant, :mode, :name, :state, :at, :by)"
        ),
        {
            "id": app.id,
            "merchant": app.merchant,
            "mode": app.mode,
            "name": app.name,
            "state": app.state,
            "at": app.created_at,
            "by": app.created_by,
        },
    )


def change(connection: sa.Connection, before: App, after: App) -> None:
    """Write an app whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.app SET name = :name, state = :state, version = version + 1"
            " WHERE id = :id AND version = :version"
        ),
        {"id": before.id, "version": before.version, "name": after.name, "state": after.state},
    )
    assert done.rowcount == 1, "the row is held"


def read(connection: sa.Connection, app: str, *, lock: bool = False) -> App:
    """Return an app, its row held if asked for.

    Refusals
    --------
    app_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.app a WHERE a.id = :id{' FOR UPDATE' if lock else ''}"
        ),
        {"id": app},
    ).one_or_none()
    if row is None:
        raise AppIsUnknown(app=app)
    return _app(row)


def of_merchant(connection: sa.Connection, merchant: UUID) -> list[App]:
    """Return the apps of a merchant, oldest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.app a WHERE a.merchant = :merchant"
            " ORDER BY a.created_at, a.id"
        ),
        {"merchant": merchant},
    )
    return [_app(row) for row in rows]


def bind(connection: sa.Connection, app: str, key: str, at: datetime) -> None:
    """Write down that a key acts for an app; it never acts for another one."""
    connection.execute(
        sa.text("INSERT INTO payments.app_key (key, app, bound_at) VALUES (:key, :app, :at)"),
        {"key": key, "app": app, "at": at},
    )


def keys_of(connection: sa.Connection, app: str) -> list[str]:
    """Return the ids of the keys that were ever made for an app, oldest first."""
    rows = connection.execute(
        sa.text("SELECT key FROM payments.app_key WHERE app = :app ORDER BY bound_at, key"),
        {"app": app},
    )
    return list(rows.scalars())


def of_key(connection: sa.Connection, key: str) -> App | None:
    """Return the app that a key acts for."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.app_key k JOIN payments.app a ON a.id = k.app"
            " WHERE k.key = :key"
        ),
        {"key": key},
    ).one_or_none()
    return None if row is None else _app(row)


def _app(row: sa.Row[Any]) -> App:
    return App(
        id=row.id,
        merchant=row.merchant,
        mode=Mode(row.mode),
        name=row.name,
        state=AppState(row.state),
        version=row.version,
        created_at=row.created_at.astimezone(UTC),
        created_by=row.created_by,
    )
