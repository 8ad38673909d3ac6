"""The table of one-time codes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.proofs import Challenge, Purpose

_COLUMNS = "about, purpose, code_hash, tries, sends, sent_at, expires_at, proved_at"


def lock(connection: sa.Connection, about: UUID) -> Challenge | None:
    """Lock the challenge of an attempt or binding, and return it."""
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.challenge WHERE about = :about FOR UPDATE"),
        {"about": about},
    ).one_or_none()
    return None if row is None else _challenge(row)


def find(connection: sa.Connection, about: UUID) -> Challenge | None:
    """Return the challenge of an attempt or binding."""
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.challenge WHERE about = :about"),
        {"about": about},
    ).one_or_none()
    return None if row is None else _challenge(row)


def put(connection: sa.Connection, one: Challenge) -> None:
    """Write a challenge in place of the one before."""
    values = {name: getattr(one, name) for name in Challenge.__slots__}
    connection.execute(
        sa.text(
            f"INSERT INTO payments.challenge ({_COLUMNS}) VALUES (:about, :purpose, :code_hash,"
            " :tries, :sends, :sent_at, :expires_at, :proved_at) ON CONFLICT (about) DO UPDATE"
            " SET code_hash = EXCLUDED.code_hash, tries = EXCLUDED.tries,"
            " sends = EXCLUDED.sends, sent_at = EXCLUDED.sent_at,"
            " expires_at = EXCLUDED.expires_at, proved_at = EXCLUDED.proved_at"
        ),
        values | {"purpose": one.purpose.value},
    )


def count_try(connection: sa.Connection, about: UUID) -> None:
    """Count a try of the code."""
    connection.execute(
        sa.text("UPDATE payments.challenge SET tries = tries + 1 WHERE about = :about"),
        {"about": about},
    )


def prove(connection: sa.Connection, about: UUID, at: datetime) -> None:
    """Note that the code was answered."""
    connection.execute(
        sa.text(
            "UPDATE payments.challenge SET proved_at = coalesce(proved_at, :at)"
            " WHERE about = :about"
        ),
        {"about": about, "at": at},
    )


def void(connection: sa.Connection, about: UUID) -> None:
    """Make the code one that nothing answers."""
    connection.execute(
        sa.text("UPDATE payments.challenge SET code_hash = NULL WHERE about = :about"),
        {"about": about},
    )


def _challenge(row: Any) -> Challenge:
    code = None if row.code_hash is None else bytes(row.code_hash)
    values = {**row._mapping, "code_hash": code, "purpose": Purpose(row.purpose)}
    return Challenge(**values)
