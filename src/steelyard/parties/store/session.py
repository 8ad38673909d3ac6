"""Tables of sessions and of the challenges that lead to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.second_factor import Factor
from steelyard.parties.model.session import Session, SessionIsUnknown, Whose

_COLUMNS = """
    s.id, s.staff, s.party, s.factors, s.agent, s.opened_wall_at, s.seen_wall_at,
    s.expires_wall_at, s.ended_wall_at
"""
_OWNER = "(s.staff = :owner OR s.party = :owner)"

# One statement finds out all that a request with a session has to know.
_FIND = sa.text(
    f"""
    SELECT {_COLUMNS}, f.user_name, COALESCE(f.state, p.state) AS owner_state,
        (SELECT COALESCE(array_agg(DISTINCT verb), '{{}}')
         FROM parties.role r, unnest(r.entitlements) AS verb
         WHERE CASE WHEN s.party IS NOT NULL THEN r.name = :customer
             ELSE r.name IN (SELECT g.role FROM parties.role_grant g
                 WHERE g.staff = s.staff AND g.revoked_at IS NULL)
             AND (NOT r.needs_second_factor OR s.factors && CAST(:second AS text[])) END
        ) AS entitlements
    FROM parties.session s
    LEFT JOIN parties.staff f ON f.id = s.staff
    LEFT JOIN parties.party p ON p.id = s.party
    WHERE s.token = :token
    """
)


class Purpose(StrEnum):
    """What a challenge is for."""

    SECOND_STEP = "second_step"
    PASSKEY = "passkey"
    PHONE_CODE = "phone_code"


@dataclass(frozen=True, slots=True)
class Challenge:
    """Something that has to be answered soon and once; its token is known by hash only.

    Attributes
    ----------
    secret : WebAuthn challenge, or the sealed secret of a one-time code
    tries : answers so far
    """

    token: bytes
    purpose: Purpose
    staff: UUID | None
    party: UUID | None
    secret: bytes | None
    tries: int
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session with what its owner may do now."""

    session: Session
    entitlements: frozenset[str]
    owner_state: str
    user_name: str | None


def insert(connection: sa.Connection, session: Session, token: bytes) -> None:
    """Insert a session, known by the hash of its token."""
    is_staff = session.whose is Whose.STAFF
    connection.execute(
        sa.text(
            "INSERT INTO parties.session (id, token, staff, party, factors, agent,"
            " opened_wall_at, seen_wall_at, expires_wall_at)"
            " VALUES (:id, :token, :staff, :party, :factors, :agent, :opened, :seen, :expires)"
        ),
        {
            "id": session.id,
            "token": token,
            "staff": session.owner if is_staff else None,
            "party": None if is_staff else session.owner,
            "factors": sorted(session.factors),
            "agent": session.agent,
            "opened": session.opened_at,
            "seen": session.seen_at,
            "expires": session.expires_at,
        },
    )


def find(
    connection: sa.Connection, token: bytes, *, customer: str, second: Iterable[str]
) -> FoundSession | None:
    """Return the session of a token, with the entitlements of its owner.

    Parameters
    ----------
    customer : role of every party; second : factors that count as a second one
    """
    row = connection.execute(
        _FIND, {"token": token, "customer": customer, "second": list(second)}
    ).one_or_none()
    if row is None:
        return None
    return FoundSession(_session(row), frozenset(row.entitlements), row.owner_state, row.user_name)


def see(connection: sa.Connection, session: UUID, at: datetime) -> None:
    """Note a use of a session."""
    connection.execute(
        sa.text(
            "UPDATE parties.session SET seen_wall_at = GREATEST(seen_wall_at, :at) WHERE id = :id"
        ),
        {"id": session, "at": at},
    )


def read(connection: sa.Connection, session: UUID, owner: UUID) -> Session:
    """Return a session of an owner, the row held.

    Refusals
    --------
    session_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM parties.session s WHERE s.id = :id AND {_OWNER} FOR UPDATE"
        ),
        {"id": session, "owner": owner},
    ).one_or_none()
    if row is None:
        raise SessionIsUnknown(session=session)
    return _session(row)


def live(connection: sa.Connection, owner: UUID, now: datetime) -> list[Session]:
    """Return the sessions of an owner that still count, newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM parties.session s WHERE {_OWNER}"
            " AND s.ended_wall_at IS NULL ORDER BY s.id DESC"
        ),
        {"owner": owner},
    )
    return [session for session in map(_session, rows) if session.is_live(now)]


def add_factor(connection: sa.Connection, session: UUID, factor: Factor) -> None:
    """Note that a further factor was shown in a session."""
    connection.execute(
        sa.text(
            "UPDATE parties.session SET factors = factors || CAST(:factor AS text)"
            " WHERE id = :id AND NOT CAST(:factor AS text) = ANY(factors)"
        ),
        {"id": session, "factor": factor},
    )


def end(connection: sa.Connection, session: UUID, at: datetime) -> bool:
    """End a session; return whether it was not ended before."""
    return bool(
        connection.execute(
            sa.text(
                "UPDATE parties.session SET ended_wall_at = :at"
                " WHERE id = :id AND ended_wall_at IS NULL"
            ),
            {"id": session, "at": at},
        ).rowcount
    )


def end_all(
    connection: sa.Connection, owner: UUID, at: datetime, *, but: UUID | None = None
) -> list[UUID]:
    """End all sessions of an owner, but one if given; return those ended."""
    rows = connection.execute(
        sa.text(
            f"UPDATE parties.session s SET ended_wall_at = :at WHERE {_OWNER}"
            " AND s.ended_wall_at IS NULL AND s.id IS DISTINCT FROM CAST(:but AS uuid)"
            " RETURNING s.id"
        ),
        {"owner": owner, "at": at, "but": but},
    )
    return sorted(rows.scalars())


def prune(connection: sa.Connection, before: datetime) -> int:
    """Delete sessions whose absolute end was before an instant; return how many."""
    return connection.execute(
        sa.text("DELETE FROM parties.session WHERE expires_wall_at < :before"),
        {"before": before},
    ).rowcount


def put_challenge(connection: sa.Connection, challenge: Challenge) -> None:
    """Insert a challenge."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.challenge"
            " (token, purpose, staff, party, secret, made_wall_at, expires_wall_at)"
            " VALUES (:token, :purpose, :staff, :party, :secret, :made, :expires)"
        ),
        {
            "token": challenge.token,
            "purpose": challenge.purpose,
            "staff": challenge.staff,
            "party": challenge.party,
            "secret": challenge.secret,
            "made": challenge.made_at,
            "expires": challenge.expires_at,
        },
    )


def take_challenge(
    connection: sa.Connection, token: bytes, purpose: Purpose, now: datetime
) -> Challenge | None:
    """Return a challenge that has not expired, the row held and one try counted."""
    row = connection.execute(
        sa.text(
            "UPDATE parties.challenge SET tries = tries + 1"
            " WHERE token = :token AND purpose = :purpose AND expires_wall_at > :now"
            " RETURNING *"
        ),
        {"token": token, "purpose": purpose, "now": now},
    ).one_or_none()
    return None if row is None else _challenge(row)


def set_challenge_secret(connection: sa.Connection, token: bytes, secret: bytes | None) -> None:
    """Put a WebAuthn challenge beside a second step, or take it away."""
    connection.execute(
        sa.text("UPDATE parties.challenge SET secret = :secret WHERE token = :token"),
        {"token": token, "secret": secret},
    )


def drop_challenge(connection: sa.Connection, token: bytes) -> bool:
    """Delete a challenge: it was met, or tried too often; return whether it was there."""
    return bool(
        connection.execute(
            sa.text("DELETE FROM parties.challenge WHERE token = :token"), {"token": token}
        ).rowcount
    )


def drop_challenges_of(connection: sa.Connection, staff: UUID) -> None:
    """Delete all challenges of a person."""
    connection.execute(
        sa.text("DELETE FROM parties.challenge WHERE staff = :staff"), {"staff": staff}
    )


def newest_phone_code(connection: sa.Connection, party: UUID, now: datetime) -> Challenge | None:
    """Return the newest open one-time code of a party."""
    row = connection.execute(
        sa.text(
            "SELECT * FROM parties.challenge WHERE party = :party AND purpose = 'phone_code'"
            " AND expires_wall_at > :now ORDER BY made_wall_at DESC LIMIT 1"
        ),
        {"party": party, "now": now},
    ).one_or_none()
    return None if row is None else _challenge(row)


def prune_challenges(connection: sa.Connection, now: datetime) -> int:
    """Delete the challenges that have expired; return how many."""
    return connection.execute(
        sa.text("DELETE FROM parties.challenge WHERE expires_wall_at < :now"), {"now": now}
    ).rowcount


def _session(row: sa.Row[Any]) -> Session:
    is_staff = row.staff is not None
    return Session(
        row.id,
        Whose.STAFF if is_staff else Whose.PARTY,
        row.staff if is_staff else row.party,
        frozenset(Factor(name) for name in row.factors),
        row.agent,
        row.opened_wall_at.astimezone(UTC),
        row.seen_wall_at.astimezone(UTC),
        row.expires_wall_at.astimezone(UTC),
        row.ended_wall_at and row.ended_wall_at.astimezone(UTC),
    )


def _challenge(row: sa.Row[Any]) -> Challenge:
    return Challenge(
        bytes(row.token),
        Purpose(row.purpose),
        row.staff,
        row.party,
        None if row.secret is None else bytes(row.secret),
        row.tries,
        row.made_wall_at.astimezone(UTC),
        row.expires_wall_at.astimezone(UTC),
    )
