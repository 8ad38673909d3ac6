"""Tables of roles and of who has which."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.role import Audience, Role, RoleGrant, RoleIsUnknown


def put(connection: sa.Connection, role: Role) -> int | None:
    """Insert a role or change what differs; return its version, None when nothing differed."""
    version: int | None = connection.execute(
        sa.text(
            "INSERT INTO parties.role AS r"
            " (name, audience, entitlements, en, zh, needs_second_factor, is_built_in)"
            " VALUES (:name, :audience, :entitlements, :en, :zh, :second, :built_in)"
            " ON CONFLICT (name) DO UPDATE SET entitlements = excluded.entitlements,"
            " en = excluded.en, zh = excluded.zh,"
            " needs_second_factor = excluded.needs_second_factor, version = r.version + 1"
            " WHERE r.audience = excluded.audience AND r.is_built_in = excluded.is_built_in"
            " AND (r.entitlements, r.en, r.zh, r.needs_second_factor) IS DISTINCT FROM"
            " (excluded.entitlements, excluded.en, excluded.zh, excluded.needs_second_factor)"
            " RETURNING version"
        ),
        {
            "name": role.name,
            "audience": role.audience,
            "entitlements": list(role.entitlements),
            "en": role.en,
            "zh": role.zh,
            "second": role.needs_second_factor,
            "built_in": role.is_built_in,
        },
    ).scalar()
    return version


def find(connection: sa.Connection, name: str) -> Role | None:
    """Return the role of a name."""
    row = connection.execute(
        sa.text("SELECT * FROM parties.role WHERE name = :name"), {"name": name}
    ).one_or_none()
    return None if row is None else _role(row)


def read(connection: sa.Connection, name: str) -> Role:
    """Return the role of a name.

    Refusals
    --------
    role_is_unknown
    """
    role = find(connection, name)
    if role is None:
        raise RoleIsUnknown(role=name)
    return role


def list_all(connection: sa.Connection) -> list[Role]:
    """Return every role, by name."""
    rows = connection.execute(sa.text("SELECT * FROM parties.role ORDER BY name"))
    return [_role(row) for row in rows]


def grant(connection: sa.Connection, new: RoleGrant) -> bool:
    """Give a role; return whether the person did not have it."""
    return bool(
        connection.execute(
            sa.text(
                "INSERT INTO parties.role_grant (id, staff, role, cause, granted_by, granted_at)"
                " VALUES (:id, :staff, :role, :cause, :by, :at)"
                " ON CONFLICT (staff, role) WHERE revoked_at IS NULL DO NOTHING"
            ),
            {
                "id": new.id,
                "staff": new.staff,
                "role": new.role,
                "cause": new.cause,
                "by": new.granted_by,
                "at": new.granted_at,
            },
        ).rowcount
    )


def revoke(connection: sa.Connection, staff: UUID, role: str, *, by: str, at: datetime) -> bool:
    """Take a role away; return whether the person had it."""
    return bool(
        connection.execute(
            sa.text(
                "UPDATE parties.role_grant SET revoked_by = :by, revoked_at = :at"
                " WHERE staff = :staff AND role = :role AND revoked_at IS NULL"
            ),
            {"staff": staff, "role": role, "by": by, "at": at},
        ).rowcount
    )


def history(connection: sa.Connection, staff: UUID) -> list[RoleGrant]:
    """Return every role a person has or had, oldest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM parties.role_grant WHERE staff = :staff ORDER BY id"),
        {"staff": staff},
    )
    return [
        RoleGrant(
            row.id,
            row.staff,
            row.role,
            row.cause,
            row.granted_by,
            row.granted_at.astimezone(UTC),
            row.revoked_at and row.revoked_at.astimezone(UTC),
        )
        for row in rows
    ]


def _role(row: sa.Row[Any]) -> Role:
    return Role(
        row.name,
        Audience(row.audience),
        tuple(row.entitlements),
        row.en,
        row.zh,
        row.needs_second_factor,
        row.is_built_in,
        row.version,
    )
