"""Authenticator apps and recovery codes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

import pyotp

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.parties.model.second_factor import (
    RECOVERY_CODES,
    CodeIsWrong,
    Factor,
    NothingToConfirm,
    SecondFactorIsMissing,
    match_totp,
)
from steelyard.parties.model.session import Session, Whose
from steelyard.parties.model.staff import Staff
from steelyard.parties.service.access_facts import SecondFactorEnrolled, SecondFactorRemoved
from steelyard.parties.service.approval import approval_kind, consume_approval
from steelyard.parties.service.session import check_session, end_all_sessions
from steelyard.parties.service.sign_in import hash_recovery_code, totp_context
from steelyard.parties.store import session as session_table
from steelyard.parties.store import staff as table

__all__ = [
    "RESET_SECOND_FACTOR",
    "AuthenticatorSecret",
    "CodeIsWrong",
    "NothingToConfirm",
    "SecondFactorIsMissing",
    "begin_totp",
    "confirm_totp",
    "new_recovery_codes",
    "reset_second_factor",
    "shown_of_reset",
]

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

RESET_SECOND_FACTOR = approval_kind(
    "access.reset_second_factor",
    verb="access.approve",
    en="Take a person's second factors away, so that new ones can be set up",
    zh="清除员工的第二验证因素，以便重新绑定",
)


@dataclass(frozen=True, slots=True)
class AuthenticatorSecret:
    """The secret of an authenticator app, shown once: as text, and as the address of a QR code."""

    secret: str
    uri: str


def begin_totp(
    unit: UnitOfWork, keyring: Keyring, staff: UUID, *, session: Session | None = None
) -> AuthenticatorSecret:
    """Make a secret for an authenticator app; it counts once a code of it was confirmed.

    Parameters
    ----------
    session : in which the person does it; None in the first run

    Refusals
    --------
    staff_is_unknown, staff_is_not_active, second_factor_is_missing
    """
    person = table.lock(unit.connection, staff).must_be_active()
    check_session(person, session)
    secret = pyotp.random_base32()
    sealed = keyring.seal(unit.connection, secret, owner=person.actor, context=totp_context(staff))
    table.update(unit.connection, staff, totp_pending=sealed)
    uri = pyotp.TOTP(secret).provisioning_uri(name=person.user_name, issuer_name="Steelyard")
    return AuthenticatorSecret(secret, uri)


def confirm_totp(
    unit: UnitOfWork, keyring: Keyring, staff: UUID, code: str, *, session: Session | None = None
) -> tuple[str, ...]:
    """Take the app into use by a code of it; return fresh recovery codes, shown once.

    The session counts as one in which a second factor was shown.

    Refusals
    --------
    second_factor_is_missing, nothing_to_confirm, code_is_wrong
    """
    known = table.lock_credentials(unit.connection, staff)
    check_session(known.staff, session)
    if known.totp_pending is None:
        raise NothingToConfirm
    secret = keyring.unseal(unit.connection, known.totp_pending, context=totp_context(staff))
    step = match_totp(secret, code, unit.wall_at, 0)
    if step is None:
        raise CodeIsWrong
    table.update(
        unit.connection,
        staff,
        totp_secret=known.totp_pending,
        totp_pending=None,
        totp_last_step=step,
    )
    if session is not None:
        session_table.add_factor(unit.connection, session.id, Factor.TOTP)
    unit.record(SecondFactorEnrolled(staff=staff, factor=Factor.TOTP), subject=known.staff.actor)
    audit(
        unit,
        action="access.enrol_second_factor",
        subject=known.staff.actor,
        detail={"factor": Factor.TOTP},
    )
    return _put_recovery_codes(unit, keyring, known.staff)


def new_recovery_codes(
    unit: UnitOfWork, keyring: Keyring, staff: UUID, *, session: Session | None = None
) -> tuple[str, ...]:
    """Replace a person's recovery codes; return them, 59 bits each, each good once.

    Refusals
    --------
    second_factor_is_missing
    """
    person = table.lock(unit.connection, staff)
    check_session(person, session)
    return _put_recovery_codes(unit, keyring, person)


def _put_recovery_codes(unit: UnitOfWork, keyring: Keyring, staff: Staff) -> tuple[str, ...]:
    codes = tuple(_recovery_code() for _ in range(RECOVERY_CODES))
    hashes = [hash_recovery_code(unit, keyring, code) for code in codes]
    table.put_recovery_codes(unit.connection, staff.id, hashes)
    audit(unit, action="access.make_recovery_codes", subject=staff.actor)
    return codes


def shown_of_reset(user_name: str) -> dict[str, object]:
    """Return what a checker is shown of a reset."""
    return {"user_name": user_name}


def reset_second_factor(unit: UnitOfWork, staff: UUID, *, approval: UUID) -> None:
    """Take all second factors of a person away and end the sessions: somebody lost a phone.

    Refusals
    --------
    staff_is_unknown, and those of `consume_approval`
    """
    person = table.lock(unit.connection, staff)
    cause = consume_approval(
        unit,
        approval,
        kind=RESET_SECOND_FACTOR.name,
        subject=person.actor,
        shown=shown_of_reset(person.user_name),
    )
    table.update(unit.connection, staff, totp_secret=None, totp_pending=None)
    table.delete_passkeys(unit.connection, staff)
    table.put_recovery_codes(unit.connection, staff, [])
    session_table.drop_challenges_of(unit.connection, staff)
    end_all_sessions(unit, Whose.STAFF, staff, why="second_factor_reset")
    unit.record(SecondFactorRemoved(staff=staff, factor="all"), subject=person.actor)
    audit(
        unit,
        action="access.reset_second_factor",
        subject=person.actor,
        detail={"cause": cause},
    )


def _recovery_code() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
