"""Tables of staff, their second factors, and failed attempts to sign in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.second_factor import Passkey
from steelyard.parties.model.staff import Attempts, Staff, StaffIsUnknown, StaffState

_COLUMNS = """
    s.id, s.user_name, s.state, s.version, s.hired_at, s.totp_secret IS NOT NULL AS has_totp,
    (SELECT count(*) FROM parties.passkey k WHERE k.staff = s.id) AS passkeys,
    (SELECT COALESCE(array_agg(g.role ORDER BY g.role), '{}') FROM parties.role_grant g
     WHERE g.staff = s.id AND g.revoked_at IS NULL) AS roles
"""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person signs in with, as it is stored."""

    staff: Staff
    password_hash: str
    totp_secret: bytes | None
    totp_pending: bytes | None
    totp_last_step: int


@dataclass(frozen=True, slots=True)
class SealedStaff:
    """A new person, what is personal sealed."""

    staff: Staff
    name: bytes
    email: bytes
    password_hash: str


def insert(connection: sa.Connection, new: SealedStaff) -> bool:
    """Insert a person; return whether the user name was free."""
    return bool(
        connection.execute(
            sa.text(
                "INSERT INTO parties.staff"
                " (id, user_name, name, email, state, password_hash, hired_at)"
                " VALUES (:id, :user_name, :name, :email, :state, :password_hash, :at)"
                " ON CONFLICT (user_name) DO NOTHING"
            ),
            {
                "id": new.staff.id,
                "user_name": new.staff.user_name,
                "name": new.name,
                "email": new.email,
                "state": new.staff.state,
                "password_hash": new.password_hash,
                "at": new.staff.hired_at,
            },
        ).rowcount
    )


def read(connection: sa.Connection, staff: UUID) -> Staff:
    """Return a person.

    Refusals
    --------
    staff_is_unknown
    """
    return _one(connection, "WHERE s.id = :key", staff)


def lock(connection: sa.Connection, staff: UUID) -> Staff:
    """Return a person, the row held until the transaction ends.

    Refusals
    --------
    staff_is_unknown
    """
    return _one(connection, "WHERE s.id = :key FOR UPDATE OF s", staff)


def by_user_name(connection: sa.Connection, user_name: str) -> Staff:
    """Return the person of a user name.

    Refusals
    --------
    staff_is_unknown
    """
    return _one(connection, "WHERE s.user_name = :key", user_name)


def list_by_name(connection: sa.Connection, *, after: str, limit: int) -> list[Staff]:
    """Return people whose user names come after a text, in the order of the names."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM parties.staff s WHERE s.user_name > :after"
            " ORDER BY s.user_name LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    )
    return [_staff(row) for row in rows]


def sealed_person(connection: sa.Connection, staff: UUID) -> tuple[bytes, bytes]:
    """Return the sealed name and e-mail of a person."""
    row = connection.execute(
        sa.text("SELECT name, email FROM parties.staff WHERE id = :id"), {"id": staff}
    ).one()
    return bytes(row.name), bytes(row.email)


def credentials(connection: sa.Connection, user_name: str) -> Credentials | None:
    """Return what the person of a user name signs in with."""
    return _credentials(connection, "WHERE s.user_name = :key", user_name)


def lock_credentials(connection: sa.Connection, staff: UUID) -> Credentials:
    """Return what a person signs in with, the row held."""
    found = _credentials(connection, "WHERE s.id = :key FOR UPDATE OF s", staff)
    assert found is not None
    return found


def update(connection: sa.Connection, staff: UUID, **changes: Any) -> None:
    """Change columns of a row that is held."""
    columns = ", ".join(f"{name} = :{name}" for name in changes)
    done = connection.execute(
        sa.text(f"UPDATE parties.staff SET {columns} WHERE id = :id"), {"id": staff, **changes}
    )
    assert done.rowcount == 1


def set_state(connection: sa.Connection, staff: Staff, state: StaffState) -> None:
    """Change the state of a person at the version that was read."""
    done = connection.execute(
        sa.text(
            "UPDATE parties.staff SET state = :state, version = version + 1"
            " WHERE id = :id AND version = :version"
        ),
        {"id": staff.id, "version": staff.version, "state": state},
    )
    assert done.rowcount == 1, "the row is held"


def count_active_with(connection: sa.Connection, role: str) -> int:
    """Return how many active people have a role; waits for others who count."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"parties.role:{role}"},
    )
    count: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM parties.role_grant g JOIN parties.staff s ON s.id = g.staff"
            " WHERE g.role = :role AND g.revoked_at IS NULL AND s.state = 'active'"
        ),
        {"role": role},
    ).scalar_one()
    return count


def put_recovery_codes(connection: sa.Connection, staff: UUID, hashes: Sequence[bytes]) -> None:
    """Replace the recovery codes of a person."""
    connection.execute(
        sa.text("DELETE FROM parties.recovery_code WHERE staff = :staff"), {"staff": staff}
    )
    connection.execute(
        sa.text(
            "INSERT INTO parties.recovery_code (staff, hash)"
            " SELECT :staff, unnest(CAST(:hashes AS bytea[]))"
        ),
        {"staff": staff, "hashes": list(hashes)},
    )


def spend_recovery_code(connection: sa.Connection, staff: UUID, code: bytes) -> bool:
    """Use a recovery code up; return whether it was there."""
    return bool(
        connection.execute(
            sa.text("DELETE FROM parties.recovery_code WHERE staff = :staff AND hash = :code"),
            {"staff": staff, "code": code},
        ).rowcount
    )


def count_recovery_codes(connection: sa.Connection, staff: UUID) -> int:
    """Return how many recovery codes are left."""
    count: int = connection.execute(
        sa.text("SELECT count(*) FROM parties.recovery_code WHERE staff = :staff"),
        {"staff": staff},
    ).scalar_one()
    return count


def insert_passkey(connection: sa.Connection, passkey: Passkey) -> bool:
    """Insert a passkey; return whether the credential was new."""
    return bool(
        connection.execute(
            sa.text(
                "INSERT INTO parties.passkey"
                " (credential, staff, name, public_key, sign_count, domain, registered_at)"
                " VALUES (:credential, :staff, :name, :public_key, :sign_count, :domain, :at)"
                " ON CONFLICT (credential) DO NOTHING"
            ),
            {
                "credential": passkey.credential,
                "staff": passkey.staff,
                "name": passkey.name,
                "public_key": passkey.public_key,
                "sign_count": passkey.sign_count,
                "domain": passkey.domain,
                "at": passkey.registered_at,
            },
        ).rowcount
    )


def passkeys(connection: sa.Connection, staff: UUID) -> list[Passkey]:
    """Return the passkeys of a person, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.passkey WHERE staff = :staff ORDER BY registered_at, credential"
        ),
        {"staff": staff},
    )
    return [_passkey(row) for row in rows]


def use_passkey(connection: sa.Connection, passkey: Passkey, count: int, at: datetime) -> bool:
    """Note a use, if the counter still stands where it was read; return whether it did."""
    return bool(
        connection.execute(
            sa.text(
                "UPDATE parties.passkey SET sign_count = :count, last_used_at = :at"
                " WHERE credential = :credential AND sign_count = :before"
            ),
            {
                "credential": passkey.credential,
                "before": passkey.sign_count,
                "count": count,
                "at": at,
            },
        ).rowcount
    )


def delete_passkeys(connection: sa.Connection, staff: UUID, credential: bytes | None = None) -> int:
    """Delete one passkey of a person, or all; return how many."""
    return connection.execute(
        sa.text(
            "DELETE FROM parties.passkey WHERE staff = :staff"
            " AND (CAST(:credential AS bytea) IS NULL OR credential = :credential)"
        ),
        {"staff": staff, "credential": credential},
    ).rowcount


def lock_attempts(connection: sa.Connection, subject: bytes) -> Attempts:
    """Return the failed attempts of a subject, the row made if need be and held."""
    row = connection.execute(
        sa.text(
            "INSERT INTO parties.sign_in_attempt AS a"
            " (subject, failures, last_wall_at, locked_until_wall_at)"
            " VALUES (:subject, 0, :never, :never)"
            " ON CONFLICT (subject) DO UPDATE SET failures = a.failures"
            " RETURNING failures, last_wall_at, locked_until_wall_at"
        ),
        {"subject": subject, "never": _NEVER},
    ).one()
    return Attempts(
        row.failures, row.last_wall_at.astimezone(UTC), row.locked_until_wall_at.astimezone(UTC)
    )


def put_attempts(connection: sa.Connection, subject: bytes, attempts: Attempts) -> None:
    """Write the failed attempts of a subject whose row is held."""
    connection.execute(
        sa.text(
            "UPDATE parties.sign_in_attempt SET failures = :failures, last_wall_at = :last,"
            " locked_until_wall_at = :until WHERE subject = :subject"
        ),
        {
            "subject": subject,
            "failures": attempts.failures,
            "last": attempts.last_at,
            "until": attempts.locked_until_at,
        },
    )


def forget_attempts(connection: sa.Connection, subject: bytes) -> None:
    """Forget the failed attempts of a subject."""
    connection.execute(
        sa.text("DELETE FROM parties.sign_in_attempt WHERE subject = :subject"),
        {"subject": subject},
    )


def forgive_attempt(connection: sa.Connection, subject: bytes) -> None:
    """Take one failed attempt back, and with it the wait it caused."""
    connection.execute(
        sa.text(
            "UPDATE parties.sign_in_attempt SET failures = GREATEST(failures - 1, 0),"
            " locked_until_wall_at = :never WHERE subject = :subject"
        ),
        {"subject": subject, "never": _NEVER},
    )


def prune_attempts(connection: sa.Connection, before: datetime) -> int:
    """Delete attempts whose last one is older than an instant; return how many."""
    return connection.execute(
        sa.text(
            "DELETE FROM parties.sign_in_attempt"
            " WHERE last_wall_at < :before AND locked_until_wall_at < :before"
        ),
        {"before": before},
    ).rowcount


def _one(connection: sa.Connection, where: str, key: UUID | str) -> Staff:
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM parties.staff s {where}"), {"key": key}
    ).one_or_none()
    if row is None:
        raise StaffIsUnknown(staff=key)
    return _staff(row)


def _credentials(connection: sa.Connection, where: str, key: UUID | str) -> Credentials | None:
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS}, s.password_hash, s.totp_secret, s.totp_pending, s.totp_last_step"
            f" FROM parties.staff s {where}"
        ),
        {"key": key},
    ).one_or_none()
    if row is None:
        return None
    return Credentials(
        _staff(row), row.password_hash, row.totp_secret, row.totp_pending, row.totp_last_step
    )


def _staff(row: sa.Row[Any]) -> Staff:
    return Staff(
        row.id,
        row.user_name,
        StaffState(row.state),
        row.version,
        row.hired_at.astimezone(UTC),
        tuple(row.roles),
        row.has_totp,
        row.passkeys,
    )


def _passkey(row: sa.Row[Any]) -> Passkey:
    return Passkey(
        bytes(row.credential),
        row.staff,
        row.name,
        bytes(row.public_key),
        row.sign_count,
        row.domain,
        row.registered_at.astimezone(UTC),
        row.last_used_at and row.last_used_at.astimezone(UTC),
    )
