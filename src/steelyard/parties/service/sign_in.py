"""How staff sign in: the password, then a second factor."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.kernel import Refusal
from steelyard.parties.model.second_factor import (
    CHALLENGE_LIVES,
    CHALLENGE_TRIES,
    Factor,
    Site,
    match_totp,
    plain_recovery_code,
)
from steelyard.parties.model.session import Client, OpenedSession, Whose
from steelyard.parties.model.staff import (
    SignInFailed,
    SignInHasLapsed,
    SignInIsLocked,
    Staff,
    StaffIsNotActive,
    StaffState,
)
from steelyard.parties.service.passkey import check_assertion, request_options
from steelyard.parties.service.passwords import hash_password, is_outdated, verify_password
from steelyard.parties.service.session import hash_token, open_session
from steelyard.parties.service.throttle import Guess, absolve, charge_guess, forgive, guess_at
from steelyard.parties.store import session as session_table
from steelyard.parties.store import staff as staff_table
from steelyard.parties.store.session import Challenge, Purpose
from steelyard.parties.store.staff import Credentials

__all__ = [
    "SignInFailed",
    "SignInHasLapsed",
    "SignInIsLocked",
    "SignInStep",
    "StaffIsNotActive",
    "begin_passkey",
    "sign_in_with_code",
    "sign_in_with_passkey",
    "sign_in_with_password",
    "sign_in_with_recovery_code",
]

T = TypeVar("T")

# A passkey takes two steps a try: its challenge is asked for, then answered.
_MOST_STEPS = 2 * CHALLENGE_TRIES


@dataclass(frozen=True, slots=True)
class SignInStep:
    """What comes after the password: a session, or a second step.

    Attributes
    ----------
    pending : token of the sign-in under way, None when it is complete
    methods : second factors that the person has set up
    """

    opened: OpenedSession | None
    pending: str | None = None
    methods: tuple[Factor, ...] = ()


def sign_in_with_password(
    database: Database, keyring: Keyring, *, user_name: str, password: str, client: Client
) -> SignInStep:
    """Take the first step of a member of staff.

    Returns
    -------
    SignInStep
        A session for who has no second factor yet: roles that need one are not in force in it.

    Refusals
    --------
    sign_in_is_locked : too many failures of the account or the address; says for how long
    sign_in_failed : name or password is wrong; which, is not said
    staff_is_not_active : told only to who knows the password
    """
    name = user_name.strip().lower()

    def begin(unit: UnitOfWork) -> tuple[Guess, Credentials | None] | Refusal:
        guess = guess_at(unit.connection, keyring, f"staff:{name}", client)
        refusal = charge_guess(unit, guess)
        return refusal or (guess, staff_table.credentials(unit.connection, name))

    guess, known = told(database.transact(begin))
    # Between two transactions: the hash takes 20 ms of a processor, and no lock is held for it.
    if not verify_password(known.password_hash if known else None, password):
        if known is not None:
            _note_failure(database, known.staff, Factor.PASSWORD)
        raise SignInFailed
    assert known is not None
    known.staff.must_be_active()
    rehashed = hash_password(password) if is_outdated(known.password_hash) else None

    def go_on(unit: UnitOfWork) -> SignInStep:
        present = staff_table.lock_credentials(unit.connection, known.staff.id)
        if present.password_hash != known.password_hash:
            raise SignInFailed
        staff = present.staff.must_be_active()
        if rehashed is not None:
            staff_table.update(unit.connection, staff.id, password_hash=rehashed)
        if not staff.has_second_factor:
            absolve(unit, guess)
            return SignInStep(_open(unit, staff, frozenset({Factor.PASSWORD}), client))
        forgive(unit, guess)
        return _second_step(unit, staff)

    return database.transact(go_on, actor=known.staff.actor)


def sign_in_with_code(
    database: Database, keyring: Keyring, *, pending: str, code: str, client: Client
) -> OpenedSession:
    """Finish a sign-in by the present code of the authenticator app; a code is good once.

    Refusals
    --------
    sign_in_has_lapsed, sign_in_is_locked, sign_in_failed
    """

    def is_right(unit: UnitOfWork, known: Credentials) -> bool:
        if known.totp_secret is None:
            return False
        secret = keyring.unseal(
            unit.connection, known.totp_secret, context=totp_context(known.staff.id)
        )
        step = match_totp(secret, code, unit.wall_at, known.totp_last_step)
        if step is not None:
            staff_table.update(unit.connection, known.staff.id, totp_last_step=step)
        return step is not None

    finish = _Finish(database, keyring, pending, client, Factor.TOTP)
    return finish.judge(lambda unit, known, _: is_right(unit, known))


def sign_in_with_recovery_code(
    database: Database, keyring: Keyring, *, pending: str, code: str, client: Client
) -> OpenedSession:
    """Finish a sign-in by a recovery code, which is used up.

    Refusals
    --------
    sign_in_has_lapsed, sign_in_is_locked, sign_in_failed
    """

    def is_right(unit: UnitOfWork, known: Credentials) -> bool:
        hashed = hash_recovery_code(unit, keyring, code)
        return staff_table.spend_recovery_code(unit.connection, known.staff.id, hashed)

    finish = _Finish(database, keyring, pending, client, Factor.RECOVERY)
    return finish.judge(lambda unit, known, _: is_right(unit, known))


def begin_passkey(database: Database, *, pending: str, site: Site) -> str:
    """Return the options (JSON) that a browser hands to `navigator.credentials.get`.

    Refusals
    --------
    sign_in_has_lapsed : also for who has no passkey
    """

    def begin(unit: UnitOfWork) -> str | Refusal:
        token = hash_token(pending)
        challenge = session_table.take_challenge(
            unit.connection, token, Purpose.SECOND_STEP, unit.wall_at
        )
        if challenge is None or challenge.staff is None or challenge.tries > _MOST_STEPS:
            return SignInHasLapsed()
        passkeys = staff_table.passkeys(unit.connection, challenge.staff)
        options, secret = request_options(passkeys, site)
        session_table.set_challenge_secret(unit.connection, token, secret)
        return options

    return told(database.transact(begin))


def sign_in_with_passkey(
    database: Database,
    keyring: Keyring,
    *,
    pending: str,
    credential: str,
    site: Site,
    client: Client,
) -> OpenedSession:
    """Finish a sign-in by a passkey's signature over the challenge of `begin_passkey`.

    Parameters
    ----------
    credential : what the browser returned, JSON

    Refusals
    --------
    sign_in_has_lapsed, sign_in_is_locked
    sign_in_failed : signature, challenge, site or counter is wrong
    """

    def is_right(unit: UnitOfWork, known: Credentials, challenge: Challenge) -> bool:
        if challenge.secret is None:
            return False
        session_table.set_challenge_secret(unit.connection, challenge.token, None)
        passkeys = staff_table.passkeys(unit.connection, known.staff.id)
        used = check_assertion(passkeys, credential, challenge.secret, site)
        return used is not None and staff_table.use_passkey(
            unit.connection, used.passkey, used.sign_count, unit.wall_at
        )

    return _Finish(database, keyring, pending, client, Factor.PASSKEY).judge(is_right)


def totp_context(staff: UUID) -> str:
    """Return the place of a person's authenticator secret, which the seal is bound to."""
    return f"staff.totp.{staff}"


def hash_recovery_code(unit: UnitOfWork, keyring: Keyring, code: str) -> bytes:
    """Return what is stored of a recovery code: a keyed hash."""
    plain = plain_recovery_code(code)
    return keyring.blind_index(unit.connection, plain, field="access.recovery_code")


@dataclass(frozen=True, slots=True)
class _Finish:
    """The second step: one transaction that charges, judges and opens the session."""

    database: Database
    keyring: Keyring
    pending: str
    client: Client
    factor: Factor

    def judge(
        self, is_right: Callable[[UnitOfWork, Credentials, Challenge], bool]
    ) -> OpenedSession:
        def work(unit: UnitOfWork) -> OpenedSession | Refusal:
            token = hash_token(self.pending)
            challenge = session_table.take_challenge(
                unit.connection, token, Purpose.SECOND_STEP, unit.wall_at
            )
            if challenge is None or challenge.staff is None:
                return SignInHasLapsed()
            if challenge.tries > _MOST_STEPS:
                return SignInHasLapsed()
            known = staff_table.lock_credentials(unit.connection, challenge.staff)
            staff = known.staff
            unit.actor = staff.actor
            guess = guess_at(unit.connection, self.keyring, f"staff:{staff.user_name}", self.client)
            refusal = charge_guess(unit, guess)
            if refusal is not None:
                return refusal
            if staff.state is not StaffState.ACTIVE or not is_right(unit, known, challenge):
                _audit_failure(unit, staff, self.factor)
                return SignInFailed()
            session_table.drop_challenge(unit.connection, token)
            absolve(unit, guess)
            return _open(unit, staff, frozenset({Factor.PASSWORD, self.factor}), self.client)

        return told(self.database.transact(work))


def told(outcome: T | Refusal) -> T:
    """Return the outcome, or raise the refusal that a committed unit came to."""
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


def _second_step(unit: UnitOfWork, staff: Staff) -> SignInStep:
    token = secrets.token_urlsafe(24)
    challenge = Challenge(
        hash_token(token),
        Purpose.SECOND_STEP,
        staff=staff.id,
        party=None,
        secret=None,
        tries=0,
        made_at=unit.wall_at,
        expires_at=unit.wall_at + CHALLENGE_LIVES,
    )
    session_table.put_challenge(unit.connection, challenge)
    methods = [Factor.TOTP] if staff.has_totp else []
    methods += [Factor.PASSKEY] if staff.passkeys else []
    if staff_table.count_recovery_codes(unit.connection, staff.id):
        methods.append(Factor.RECOVERY)
    return SignInStep(None, token, tuple(methods))


def _open(
    unit: UnitOfWork, staff: Staff, factors: frozenset[Factor], client: Client
) -> OpenedSession:
    return open_session(unit, Whose.STAFF, staff.id, factors=factors, client=client)


def _note_failure(database: Database, staff: Staff, factor: Factor) -> None:
    database.transact(lambda unit: _audit_failure(unit, staff, factor))


def _audit_failure(unit: UnitOfWork, staff: Staff, factor: Factor) -> None:
    audit(unit, action="access.fail_sign_in", subject=staff.actor, detail={"factor": factor})
