"""The tables of codes that hang in shops, and of codes that payers show."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.codes import PayCode, ScanCode
from steelyard.payments.model.orders import Mode

_SCAN = (
    "token, merchant, app, mode, terminal, currency, subject, most_minor, created_at, is_active,"
    " version"
)
_PAY = "customer, binding, expires_at, used_by"


def insert_scan(connection: sa.Connection, one: ScanCode) -> None:
    """Insert a code that hangs in a shop."""
    names = [name.strip() for name in _SCAN.split(",")]
    values = {name: getattr(one, name) for name in names} | {"mode": one.mode.value}
    connection.execute(
        sa.text(
            f"INSERT INTO payments.scan_code ({_SCAN})"
            f" VALUES ({', '.join(f':{name}' for name in names)}) ON CONFLICT DO NOTHING"
        ),
        values,
    )


def find_scan(connection: sa.Connection, token: str) -> ScanCode | None:
    """Return a code that hangs in a shop."""
    row = connection.execute(
        sa.text(f"SELECT {_SCAN} FROM payments.scan_code WHERE token = :token"), {"token": token}
    ).one_or_none()
    return None if row is None else _scan(row)


def take_down(connection: sa.Connection, token: str, merchant: UUID) -> ScanCode | None:
    """Let a code of a merchant be paid on no more; None: it has no such code."""
    row = connection.execute(
        sa.text(
            "UPDATE payments.scan_code SET is_active = false, version = version + 1"
            f" WHERE token = :token AND merchant = :merchant RETURNING {_SCAN}"
        ),
        {"token": token, "merchant": merchant},
    ).one_or_none()
    return None if row is None else _scan(row)


def scans_of(connection: sa.Connection, merchant: UUID) -> list[ScanCode]:
    """Return the codes of a merchant, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_SCAN} FROM payments.scan_code WHERE merchant = :merchant"
            " ORDER BY created_at DESC, token LIMIT 1000"
        ),
        {"merchant": merchant},
    )
    return [_scan(row) for row in rows]


def insert_pay_code(
    connection: sa.Connection, code_hash: bytes, one: PayCode, at: datetime
) -> bool:
    """Insert a payer's code; False when chance gave it before."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.pay_code (code_hash, customer, binding, made_at, expires_at)"
            " VALUES (:hash, :customer, :binding, :at, :expires_at) ON CONFLICT DO NOTHING"
        ),
        {
            "hash": code_hash,
            "customer": one.customer,
            "binding": one.binding,
            "at": at,
            "expires_at": one.expires_at,
        },
    )
    return done.rowcount == 1


def count_since(connection: sa.Connection, customer: UUID, since: datetime) -> int:
    """Count the codes that a customer asked for since an instant."""
    found = connection.execute(
        sa.text(
            "SELECT count(*) FROM payments.pay_code WHERE customer = :customer AND made_at > :since"
        ),
        {"customer": customer, "since": since},
    )
    return int(found.scalar_one())


def void_unused(connection: sa.Connection, customer: UUID, at: datetime) -> None:
    """Let the codes that a customer showed before be good no more."""
    connection.execute(
        sa.text(
            "UPDATE payments.pay_code SET expires_at = :at WHERE customer = :customer"
            " AND used_by IS NULL AND expires_at > :at"
        ),
        {"customer": customer, "at": at},
    )


def use(connection: sa.Connection, code_hash: bytes, attempt: UUID, at: datetime) -> PayCode | None:
    """Use a code for an attempt, once; None: it is not good. The same attempt finds it again."""
    row = connection.execute(
        sa.text(
            "UPDATE payments.pay_code SET used_by = :attempt, used_at = coalesce(used_at, :at)"
            " WHERE code_hash = :hash AND (used_by = :attempt"
            f" OR (used_by IS NULL AND expires_at > :at)) RETURNING {_PAY}"
        ),
        {"hash": code_hash, "attempt": attempt, "at": at},
    ).one_or_none()
    return None if row is None else PayCode(**row._mapping)


def _scan(row: Any) -> ScanCode:
    return ScanCode(**{**row._mapping, "mode": Mode(row.mode)})
