"""Tables of API keys and their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.api_key import ApiKey, ApiKeyIsUnknown, ApiKeyKind

_COLUMNS = """
    k.id, k.name, k.kind, k.role, k.entitlements, k.party, k.created_by, k.created_at,
    k.expires_wall_at, k.revoked_wall_at,
    (SELECT s.hint FROM parties.api_secret s WHERE s.key = k.id ORDER BY s.number DESC LIMIT 1)
        AS hint
"""

# One statement finds out all that a request with a key has to know.
_FIND = """
    SELECT k.id, k.kind, k.party, k.expires_wall_at, k.revoked_wall_at,
        k.entitlements || COALESCE(r.entitlements, '{}') AS entitlements, p.state AS party_state,
        s.sealed, s.hash, s.public, s.expires_wall_at AS secret_expires_wall_at
    FROM parties.api_key k
    JOIN parties.api_secret s ON s.key = k.id
    LEFT JOIN parties.role r ON r.name = k.role
    LEFT JOIN parties.party p ON p.id = k.party
"""
_BY_ID = sa.text(f"{_FIND} WHERE k.id = :id ORDER BY s.number DESC")
_BY_HASH = sa.text(f"{_FIND} WHERE s.hash = :hash AND s.hash IS NOT NULL ORDER BY s.number DESC")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as it is stored: sealed for signatures, hashed for bearers, or a public key."""

    number: int
    sealed: bytes | None
    hash: bytes | None
    hint: str
    public: bytes | None = None


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key with its secrets, newest first, and what it may do.

    Attributes
    ----------
    sealed : secrets with the real instant of their end, None for the newest
    """

    id: str
    kind: ApiKeyKind
    party: UUID | None
    party_state: str | None
    entitlements: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    sealed: tuple[tuple[bytes, datetime | None], ...]
    hashed: tuple[tuple[bytes, datetime | None], ...]
    public: tuple[tuple[bytes, datetime | None], ...]


def insert(connection: sa.Connection, key: ApiKey) -> None:
    """Insert a key without its secret."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.api_key (id, name, kind, role, entitlements, party, created_by,"
            " created_at, expires_wall_at)"
            " VALUES (:id, :name, :kind, :role, :entitlements, :party, :by, :at, :expires)"
        ),
        {
            "id": key.id,
            "name": key.name,
            "kind": key.kind,
            "role": key.role,
            "entitlements": list(key.entitlements),
            "party": key.party,
            "by": key.created_by,
            "at": key.created_at,
            "expires": key.expires_at,
        },
    )


def insert_secret(
    connection: sa.Connection, key: str, secret: Secret, *, made_at: datetime
) -> None:
    """Insert a secret without an end."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.api_secret (key, number, sealed, hash, public, hint, made_wall_at)"
            " VALUES (:key, :number, :sealed, :hash, :public, :hint, :at)"
        ),
        {
            "key": key,
            "number": secret.number,
            "sealed": secret.sealed,
            "hash": secret.hash,
            "public": secret.public,
            "hint": secret.hint,
            "at": made_at,
        },
    )


def end_secrets(connection: sa.Connection, key: str, *, now: datetime, until: datetime) -> int:
    """Let the newest secret end at an instant, drop those before; return the newest number."""
    connection.execute(
        sa.text(
            "DELETE FROM parties.api_secret WHERE key = :key"
            " AND (expires_wall_at IS NOT NULL OR CAST(:until AS timestamptz) <= :now)"
        ),
        {"key": key, "now": now, "until": until},
    )
    connection.execute(
        sa.text(
            "UPDATE parties.api_secret SET expires_wall_at = :until"
            " WHERE key = :key AND expires_wall_at IS NULL"
        ),
        {"key": key, "until": until},
    )
    newest: int = connection.execute(
        sa.text("SELECT COALESCE(max(number), 0) FROM parties.api_secret WHERE key = :key"),
        {"key": key},
    ).scalar_one()
    return newest


def revoke(connection: sa.Connection, key: str, at: datetime) -> bool:
    """Revoke a key and delete its secrets; return whether it stood."""
    done = connection.execute(
        sa.text(
            "UPDATE parties.api_key SET revoked_wall_at = :at"
            " WHERE id = :key AND revoked_wall_at IS NULL"
        ),
        {"key": key, "at": at},
    ).rowcount
    connection.execute(sa.text("DELETE FROM parties.api_secret WHERE key = :key"), {"key": key})
    return bool(done)


def read(connection: sa.Connection, key: str) -> ApiKey:
    """Return a key.

    Refusals
    --------
    api_key_is_unknown
    """
    return _one(connection, key, "")


def lock(connection: sa.Connection, key: str) -> ApiKey:
    """Return a key, the row held.

    Refusals
    --------
    api_key_is_unknown
    """
    return _one(connection, key, "FOR UPDATE OF k")


def creator(connection: sa.Connection, key: str) -> str | None:
    """Return who answers for what a key does."""
    found: str | None = connection.execute(
        sa.text("SELECT created_by FROM parties.api_key WHERE id = :key"), {"key": key}
    ).scalar()
    return found


def list_newest(
    connection: sa.Connection, *, before: tuple[datetime, str] | None, limit: int
) -> list[ApiKey]:
    """Return keys, newest first."""
    at, key = before or (None, None)
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM parties.api_key k WHERE CAST(:at AS timestamptz) IS NULL"
            " OR (k.created_at, k.id) < (CAST(:at AS timestamptz), CAST(:key AS text))"
            " ORDER BY k.created_at DESC, k.id DESC LIMIT :limit"
        ),
        {"at": at, "key": key, "limit": limit},
    )
    return [_key(row) for row in rows]


def find(connection: sa.Connection, key: str) -> FoundKey | None:
    """Return a key with its secrets; one that was revoked has none and is not found."""
    return _found(connection.execute(_BY_ID, {"id": key}).all())


def find_by_hash(connection: sa.Connection, hash_of_secret: bytes) -> FoundKey | None:
    """Return the key whose bearer secret has a hash."""
    return _found(connection.execute(_BY_HASH, {"hash": hash_of_secret}).all())


def _found(rows: Any) -> FoundKey | None:
    if not rows:
        return None
    first = rows[0]
    return FoundKey(
        first.id,
        ApiKeyKind(first.kind),
        first.party,
        first.party_state,
        frozenset(first.entitlements),
        first.expires_wall_at,
        first.revoked_wall_at,
        tuple((bytes(r.sealed), r.secret_expires_wall_at) for r in rows if r.sealed is not None),
        tuple((bytes(r.hash), r.secret_expires_wall_at) for r in rows if r.hash is not None),
        tuple((bytes(r.public), r.secret_expires_wall_at) for r in rows if r.public is not None),
    )


def _one(connection: sa.Connection, key: str, lock_clause: str) -> ApiKey:
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM parties.api_key k WHERE k.id = :key {lock_clause}"),
        {"key": key},
    ).one_or_none()
    if row is None:
        raise ApiKeyIsUnknown(key=key)
    return _key(row)


def _key(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        row.id,
        row.name,
        ApiKeyKind(row.kind),
        row.role,
        tuple(row.entitlements),
        row.party,
        row.hint or "",
        row.created_by,
        row.created_at.astimezone(UTC),
        row.expires_wall_at and row.expires_wall_at.astimezone(UTC),
        row.revoked_wall_at and row.revoked_wall_at.astimezone(UTC),
    )
