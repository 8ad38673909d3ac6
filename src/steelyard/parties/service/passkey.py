"""Passkeys: the two ceremonies of Web Authentication (W3C WebAuthn level 2).

The library is imported where it is used: it takes most of a second, and few processes need it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.parties.model.second_factor import (
    CHALLENGE_LIVES,
    MOST_PASSKEYS,
    ChallengeHasLapsed,
    Factor,
    Passkey,
    PasskeyIsRefused,
    PasskeyIsUnknown,
    Site,
    TooManyPasskeys,
)
from steelyard.parties.model.session import Session
from steelyard.parties.model.staff import Staff
from steelyard.parties.service.access_facts import SecondFactorEnrolled, SecondFactorRemoved
from steelyard.parties.service.session import check_session, hash_token
from steelyard.parties.store import session as session_table
from steelyard.parties.store import staff as table
from steelyard.parties.store.session import Challenge, Purpose

__all__ = [
    "ChallengeHasLapsed",
    "Passkey",
    "PasskeyIsRefused",
    "PasskeyIsUnknown",
    "Registration",
    "Site",
    "TooManyPasskeys",
    "begin_registration",
    "finish_registration",
    "passkeys_of",
    "read_credential_id",
    "remove_passkey",
    "write_credential_id",
]


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration under way: its token, and the options (JSON) for the browser."""

    token: str
    options: str


@dataclass(frozen=True, slots=True)
class Made:
    """What an authenticator made: credential id, COSE key, counter."""

    credential: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Used:
    """A passkey that signed, and the counter it showed."""

    passkey: Passkey
    sign_count: int


def begin_registration(unit: UnitOfWork, session: Session, site: Site) -> Registration:
    """Begin to register a passkey; the options go to `navigator.credentials.create`.

    Refusals
    --------
    second_factor_is_missing, too_many_passkeys
    """
    import webauthn
    from webauthn.helpers import structs

    person = table.lock(unit.connection, session.owner).must_be_active()
    check_session(person, session)
    known = table.passkeys(unit.connection, person.id)
    if len(known) >= MOST_PASSKEYS:
        raise TooManyPasskeys(most=MOST_PASSKEYS)
    options = webauthn.generate_registration_options(
        rp_id=site.domain,
        rp_name="Steelyard",
        user_name=person.user_name,
        user_id=person.id.bytes,
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=k.credential) for k in known],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.DISCOURAGED,
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        ),
    )
    token = secrets.token_urlsafe(24)
    challenge = Challenge(
        hash_token(token),
        Purpose.PASSKEY,
        staff=person.id,
        party=None,
        secret=options.challenge,
        tries=0,
        made_at=unit.wall_at,
        expires_at=unit.wall_at + CHALLENGE_LIVES,
    )
    session_table.put_challenge(unit.connection, challenge)
    return Registration(token, webauthn.options_to_json(options))


def finish_registration(
    unit: UnitOfWork,
    session: Session,
    *,
    token: str,
    credential: str,
    name: str,
    site: Site,
) -> Passkey:
    """Register the passkey that a browser made; the session counts as shown with it.

    Parameters
    ----------
    credential : what the browser returned, JSON
    name : what the person calls the authenticator

    Refusals
    --------
    challenge_has_lapsed : also one of somebody else
    passkey_is_refused : signature, challenge or site is wrong, or the credential is known
    """
    staff = table.lock(unit.connection, session.owner).must_be_active()
    check_session(staff, session)
    challenge = session_table.take_challenge(
        unit.connection, hash_token(token), Purpose.PASSKEY, unit.wall_at
    )
    if challenge is None or challenge.staff != staff.id or challenge.secret is None:
        raise ChallengeHasLapsed
    session_table.drop_challenge(unit.connection, challenge.token)
    made = check_attestation(credential, challenge.secret, site)
    passkey = Passkey(
        made.credential,
        staff.id,
        name,
        made.public_key,
        made.sign_count,
        site.domain,
        unit.wall_at,
    )
    if not table.insert_passkey(unit.connection, passkey):
        raise PasskeyIsRefused(why="it is registered already")
    session_table.add_factor(unit.connection, session.id, Factor.PASSKEY)
    unit.record(SecondFactorEnrolled(staff=staff.id, factor=Factor.PASSKEY), subject=staff.actor)
    _audit(unit, staff, "enrol_second_factor", passkey.credential)
    return passkey


def remove_passkey(unit: UnitOfWork, session: Session, credential: bytes) -> None:
    """Forget a passkey of the person of a session.

    Refusals
    --------
    second_factor_is_missing, passkey_is_unknown
    """
    person = table.lock(unit.connection, session.owner)
    check_session(person, session)
    if not table.delete_passkeys(unit.connection, person.id, credential):
        raise PasskeyIsUnknown
    unit.record(SecondFactorRemoved(staff=person.id, factor=Factor.PASSKEY), subject=person.actor)
    _audit(unit, person, "remove_second_factor", credential)


def passkeys_of(connection: sa.Connection, staff: UUID) -> tuple[Passkey, ...]:
    """Return the passkeys of a person, oldest first."""
    return tuple(table.passkeys(connection, staff))


def request_options(passkeys: Sequence[Passkey], site: Site) -> tuple[str, bytes]:
    """Return the options (JSON) for `navigator.credentials.get`, and their challenge."""
    import webauthn
    from webauthn.helpers import structs

    options = webauthn.generate_authentication_options(
        rp_id=site.domain,
        allow_credentials=[
            structs.PublicKeyCredentialDescriptor(id=key.credential)
            for key in passkeys
            if key.domain == site.domain
        ],
        user_verification=structs.UserVerificationRequirement.PREFERRED,
    )
    return webauthn.options_to_json(options), options.challenge


def check_attestation(credential: str, challenge: bytes, site: Site) -> Made:
    """Return what an authenticator made in answer to the challenge, for this site.

    Refusals
    --------
    passkey_is_refused
    """
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.domain,
            expected_origin=site.origin,
        )
    except WebAuthnException as error:
        raise PasskeyIsRefused(why=str(error)) from None
    except Exception:
        # On malformed input the library raises whatever its parsers do.
        raise PasskeyIsRefused(why="it is malformed") from None
    return Made(verified.credential_id, verified.credential_public_key, verified.sign_count)


def check_assertion(
    passkeys: Sequence[Passkey], credential: str, challenge: bytes, site: Site
) -> Used | None:
    """Return which passkey signed the challenge for this site, None if none did.

    A counter that does not grow is a copied authenticator, and refused; those that always show 0
    keep none (WebAuthn, 6.1.1).
    """
    import webauthn
    from webauthn.helpers import parse_authentication_credential_json

    try:
        shown = parse_authentication_credential_json(credential).raw_id
        passkey = next(
            (k for k in passkeys if k.credential == shown and k.domain == site.domain), None
        )
        if passkey is None:
            return None
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.domain,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
        )
    except Exception:
        # A wrong signature, or malformed input on which its parsers raise whatever they do.
        return None
    return Used(passkey, verified.new_sign_count)


def read_credential_id(text: str) -> bytes:
    """Return the credential id of its base64url text.

    Refusals
    --------
    passkey_is_unknown : not base64url
    """
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise PasskeyIsUnknown from None


def write_credential_id(credential: bytes) -> str:
    """Return the base64url text of a credential id, as browsers write it."""
    return base64.urlsafe_b64encode(credential).decode().rstrip("=")


def _audit(unit: UnitOfWork, staff: Staff, action: str, credential: bytes) -> None:
    detail = {"factor": Factor.PASSKEY, "credential": credential.hex()[:16]}
    audit(unit, action=f"access.{action}", subject=staff.actor, detail=detail)
