"""Tables of what the Stripe-compatible API keeps of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.stripe_records import (
    FacadeCustomer,
    FacadeMethod,
    FacadeNote,
    FacadeSetup,
)

_METHOD = tuple(field.name for field in fields(FacadeMethod))
_SETUP = tuple(field.name for field in fields(FacadeSetup))
_CUSTOMER = (
    "id",
    "merchant",
    "mode",
    "sealed",
    "email_index",
    "default_method",
    "metadata",
    "is_deleted",
    "version",
    "created_at",
)
_KEYS = frozenset({"id", "merchant", "mode", "created_at", "version", "type"})


def _write(connection: sa.Connection, table: str, values: Mapping[str, Any]) -> None:
    """Insert a row, or change the one that is there and whose version is the one before."""
    names = ", ".join(values)
    places = ", ".join(
        f"CAST(:{name} AS jsonb)" if name in ("metadata", "details") else f":{name}"
        for name in values
    )
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in values if name not in _KEYS)
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.{table} AS t ({names}) VALUES ({places}) ON CONFLICT (id)"
            f" DO UPDATE SET {changes}, version = t.version + 1 WHERE t.version = EXCLUDED.version"
        ),
        dict(values),
    )
    assert done.rowcount == 1, "the row changed while it was held"


def _find(
    connection: sa.Connection,
    table: str,
    names: Sequence[str],
    ids: Sequence[UUID],
    *,
    is_held: bool,
) -> Sequence[Any]:
    return connection.execute(
        sa.text(
            f"SELECT {', '.join(names)} FROM payments.{table} WHERE id = ANY(:ids)"
            f"{' ORDER BY id FOR UPDATE' if is_held else ''}"
        ),
        {"ids": list(set(ids))},
    ).all()


def _values(row: Any) -> dict[str, Any]:
    values = dict(row._mapping)
    values["mode"] = Mode(row.mode)
    values["created_at"] = row.created_at.astimezone(UTC)
    return values


def write_customer(
    connection: sa.Connection,
    customer: FacadeCustomer,
    *,
    sealed: bytes | None,
    email_index: bytes | None,
) -> None:
    """Write a customer, his data sealed."""
    values = {
        name: getattr(customer, name) for name in _CUSTOMER if name not in ("sealed", "email_index")
    }
    values |= {
        "mode": customer.mode.value,
        "metadata": json.dumps(dict(customer.metadata)),
        "sealed": sealed,
        "email_index": email_index,
    }
    _write(connection, "facade_customer", values)


def find_customers(
    connection: sa.Connection, ids: Sequence[UUID], *, is_held: bool = False
) -> dict[UUID, tuple[FacadeCustomer, bytes | None]]:
    """Return customers without their data, and that sealed."""
    found: dict[UUID, tuple[FacadeCustomer, bytes | None]] = {}
    for row in _find(connection, "facade_customer", _CUSTOMER, ids, is_held=is_held):
        values = _values(row)
        sealed = values.pop("sealed")
        values.pop("email_index")
        found[row.id] = FacadeCustomer(**values), None if sealed is None else bytes(sealed)
    return found


def write_method(connection: sa.Connection, method: FacadeMethod) -> None:
    """Write what a payer pays with."""
    values = {name: getattr(method, name) for name in _METHOD}
    values |= {"mode": method.mode.value, "metadata": json.dumps(dict(method.metadata))}
    _write(connection, "facade_method", values)


def find_methods(
    connection: sa.Connection, ids: Sequence[UUID], *, is_held: bool = False
) -> dict[UUID, FacadeMethod]:
    """Return what payers pay with, by id."""
    rows = _find(connection, "facade_method", _METHOD, ids, is_held=is_held)
    return {row.id: FacadeMethod(**_values(row)) for row in rows}


def write_setup(connection: sa.Connection, setup: FacadeSetup) -> None:
    """Write a set-up."""
    values = {name: getattr(setup, name) for name in _SETUP}
    values |= {"mode": setup.mode.value, "metadata": json.dumps(dict(setup.metadata))}
    _write(connection, "facade_setup", values)


def find_setups(
    connection: sa.Connection, ids: Sequence[UUID], *, is_held: bool = False
) -> dict[UUID, FacadeSetup]:
    """Return set-ups by id."""
    rows = _find(connection, "facade_setup", _SETUP, ids, is_held=is_held)
    return {row.id: FacadeSetup(**_values(row)) for row in rows}


def find_notes(connection: sa.Connection, abouts: Sequence[str]) -> dict[str, FacadeNote]:
    """Return notes by the ids outside of what they are about."""
    rows = connection.execute(
        sa.text(
            "SELECT about, merchant, metadata, details, version FROM payments.facade_note"
            " WHERE about = ANY(:abouts)"
        ),
        {"abouts": list(set(abouts))},
    )
    return {row.about: FacadeNote(**row._mapping) for row in rows}


def write_note(connection: sa.Connection, note: FacadeNote) -> None:
    """Write a note; of two at once the later stands."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.facade_note AS t (about, merchant, metadata, details)"
            " VALUES (:about, :merchant, CAST(:metadata AS jsonb), CAST(:details AS jsonb))"
            " ON CONFLICT (about) DO UPDATE SET metadata = EXCLUDED.metadata,"
            " details = EXCLUDED.details, version = t.version + 1"
        ),
        {
            "about": note.about,
            "merchant": note.merchant,
            "metadata": None if note.metadata is None else json.dumps(dict(note.metadata)),
            "details": json.dumps(dict(note.details)),
        },
    )
