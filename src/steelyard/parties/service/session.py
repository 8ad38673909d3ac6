"""Sessions: opened at sign-in, listed and ended by their owners."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.parties.model.second_factor import Factor, SecondFactorIsMissing
from steelyard.parties.model.session import (
    COOKIE,
    LIFETIMES,
    TOKEN_PREFIX,
    Client,
    Delivery,
    OpenedSession,
    RequestIsFromElsewhere,
    Session,
    SessionHasEnded,
    SessionIsUnknown,
    Whose,
    check_origin,
)
from steelyard.parties.model.staff import Staff
from steelyard.parties.service.access_facts import SessionEnded, SessionOpened
from steelyard.parties.store import session as table

__all__ = [
    "COOKIE",
    "Client",
    "Delivery",
    "OpenedSession",
    "RequestIsFromElsewhere",
    "SecondFactorIsMissing",
    "Session",
    "SessionHasEnded",
    "SessionIsUnknown",
    "Whose",
    "check_origin",
    "end_all_sessions",
    "end_session",
    "open_session",
    "read_session",
    "sessions_of",
]

_LONGEST_AGENT = 200


def hash_token(token: str) -> bytes:
    """Return what is stored of a token; it has 256 bits of chance, so a plain hash will do."""
    return hashlib.sha256(token.encode()).digest()


def open_session(
    unit: UnitOfWork, whose: Whose, owner: UUID, *, factors: frozenset[Factor], client: Client
) -> OpenedSession:
    """Open a session for somebody whose factors were checked; return it with its token."""
    session = Session(
        id=unit.new_id(),
        whose=whose,
        owner=owner,
        factors=factors,
        agent=client.agent[:_LONGEST_AGENT],
        opened_at=unit.wall_at,
        seen_at=unit.wall_at,
        expires_at=unit.wall_at + LIFETIMES[whose].absolute,
    )
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    table.insert(unit.connection, session, hash_token(token))
    shown = tuple(sorted(factor.value for factor in factors))
    unit.record(
        SessionOpened(session=session.id, owner=session.actor, factors=shown),
        subject=f"session:{session.id}",
    )
    audit(
        unit,
        action="access.sign_in",
        subject=session.actor,
        detail={"session": str(session.id), "factors": shown},
    )
    return OpenedSession(session, token)


def check_session(staff: Staff, session: Session | None) -> None:
    """Check that a person may change the second factors in a session.

    Who has a second factor must have shown one in it: a session from before, which needed the
    password only, does not do. None is the first run.

    Refusals
    --------
    second_factor_is_missing
    """
    if session is not None and staff.has_second_factor and not session.has_second_factor:
        raise SecondFactorIsMissing


def read_session(connection: sa.Connection, owner: UUID, session: UUID) -> Session:
    """Return a session of a person.

    Refusals
    --------
    session_is_unknown
    """
    return table.read(connection, session, owner)


def sessions_of(connection: sa.Connection, owner: UUID, now: datetime) -> tuple[Session, ...]:
    """Return the sessions of a person that still count at a real instant, newest first."""
    return tuple(table.live(connection, owner, now))


def end_session(unit: UnitOfWork, owner: UUID, session: UUID, *, why: str = "signed_out") -> None:
    """End a session of a person, at once; one that has ended stays so.

    Refusals
    --------
    session_is_unknown : not one of this owner
    """
    found = table.read(unit.connection, session, owner)
    if table.end(unit.connection, session, unit.wall_at):
        _ended(unit, found.actor, session, why)


def end_all_sessions(
    unit: UnitOfWork, whose: Whose, owner: UUID, *, why: str, but: UUID | None = None
) -> int:
    """End all sessions of a person, but one if given; return how many."""
    ended = table.end_all(unit.connection, owner, unit.wall_at, but=but)
    for session in ended:
        _ended(unit, f"{whose}:{owner}", session, why)
    return len(ended)


def _ended(unit: UnitOfWork, owner: str, session: UUID, why: str) -> None:
    unit.record(SessionEnded(session=session, owner=owner, why=why), subject=f"session:{session}")
    audit(
        unit,
        action="access.end_session",
        subject=owner,
        detail={"session": str(session), "why": why},
    )
