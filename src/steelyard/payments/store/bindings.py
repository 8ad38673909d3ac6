"""The table of bound cards."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.bindings import Binding, BindingState

_COLUMNS = (
    "id, customer, token, state, version, bank, bin, last4, phone, card_token, reason,"
    " created_at, bound_at, ended_at"
)


def insert(connection: sa.Connection, one: Binding) -> None:
    """Insert a binding."""
    names = [name.strip() for name in _COLUMNS.split(",")]
    connection.execute(
        sa.text(
            f"INSERT INTO payments.binding ({_COLUMNS})"
            f" VALUES ({', '.join(f':{name}' for name in names)})"
        ),
        _row(one),
    )


def write(connection: sa.Connection, one: Binding) -> Binding:
    """Write what changed of a binding that is locked, and return it as it is written."""
    row = connection.execute(
        sa.text(
            "UPDATE payments.binding SET version = version + 1, state = :state, bank = :bank,"
            " card_token = :card_token, reason = :reason, bound_at = :bound_at,"
            " ended_at = :ended_at WHERE id = :id AND version = :version"
            f" RETURNING {_COLUMNS}"
        ),
        _row(one),
    ).one_or_none()
    assert row is not None, "a binding changed while it was locked"
    return _binding(row)


def lock(connection: sa.Connection, id: UUID) -> Binding | None:
    """Lock a binding, and return it."""
    return _one(connection, "id = :key FOR UPDATE", id)


def find(connection: sa.Connection, id: UUID) -> Binding | None:
    """Return a binding."""
    return _one(connection, "id = :key", id)


def find_token(connection: sa.Connection, token: str) -> Binding | None:
    """Return the binding of a token."""
    return _one(connection, "token = :key", token)


def of_customer(connection: sa.Connection, customer: UUID) -> list[Binding]:
    """Return the cards of a customer, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.binding WHERE customer = :customer"
            " ORDER BY created_at DESC, id DESC LIMIT 200"
        ),
        {"customer": customer},
    )
    return [_binding(row) for row in rows]


def count_since(connection: sa.Connection, customer: UUID, since: datetime) -> int:
    """Count the cards that a customer tried since an instant; holds others of his up."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:customer, 54))"),
        {"customer": f"payments.binding {customer}"},
    )
    found = connection.execute(
        sa.text(
            "SELECT count(*) FROM payments.binding WHERE customer = :customer"
            " AND created_at > :since"
        ),
        {"customer": customer, "since": since},
    )
    return int(found.scalar_one())


def _one(connection: sa.Connection, where: str, key: UUID | str) -> Binding | None:
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.binding WHERE {where}"), {"key": key}
    ).one_or_none()
    return None if row is None else _binding(row)


def _row(one: Binding) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Binding.__slots__} | {"state": one.state.value}


def _binding(row: Any) -> Binding:
    return Binding(**{**row._mapping, "state": BindingState(row.state), "phone": bytes(row.phone)})
