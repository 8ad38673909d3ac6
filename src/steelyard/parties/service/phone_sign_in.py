"""How customers sign in: by a one-time code that is sent to their phone."""

from __future__ import annotations

import secrets
from typing import Protocol
from uuid import UUID

import pyotp
import sqlalchemy as sa

from steelyard.base import Database, Settings, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.party import PartyKind, PartyState, subject_of
from steelyard.parties.model.personal import PersonalField, PersonalFieldIsInvalid, normalise
from steelyard.parties.model.second_factor import (
    CHALLENGE_LIVES,
    CHALLENGE_TRIES,
    Factor,
    totp_code,
)
from steelyard.parties.model.session import Client, OpenedSession, Whose
from steelyard.parties.model.staff import CODE_REQUEST_LOCK, SignInFailed, SignInIsLocked
from steelyard.parties.service import sealing
from steelyard.parties.service.session import hash_token, open_session
from steelyard.parties.service.sign_in import told
from steelyard.parties.service.throttle import absolve, charge_guess, guess_at
from steelyard.parties.store import party as party_table
from steelyard.parties.store import personal as personal_table
from steelyard.parties.store import session as session_table
from steelyard.parties.store.session import Challenge, Purpose

__all__ = [
    "CodeSender",
    "CodeWasNotSentNow",
    "DevelopmentCodeSender",
    "PersonalFieldIsInvalid",
    "SignInFailed",
    "SignInIsLocked",
    "open_phone_code",
    "request_phone_code",
    "sign_in_with_phone",
]

_CONTEXT = "parties.phone_code"


class CodeWasNotSentNow(Refusal):
    """The messages service did not take the code."""

    kind = RefusalKind.UNAVAILABLE
    en = "The code could not be sent now; try again in a minute."
    zh = "验证码暂时无法发送，请稍后重试。"


class CodeSender(Protocol):
    """Sends one-time codes to phones; called outside of any transaction."""

    def send(self, request: str, *, phone: str, code: str) -> bool:
        """Send a code under a request number; return False only if it verifiably was not sent.

        A time-out counts as sent: the person sees whether a message comes.
        """
        ...


class DevelopmentCodeSender:
    """Sends nothing: in development the code is read by `steelyard parties code`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, request: str, *, phone: str, code: str) -> bool:
        """Do nothing, and say that it was sent.

        Refusals
        --------
        refused_in_production
        """
        self._settings.refuse_in_production("signing in by phone without a messages service")
        return True


def request_phone_code(
    database: Database, keyring: Keyring, sender: CodeSender, *, phone: str, client: Client
) -> str:
    """Send a customer a one-time code; return the token to answer it with.

    A phone that nobody or several customers have gets no code, and the answer does not tell.

    Refusals
    --------
    personal_field_is_invalid : no phone number
    sign_in_is_locked : asked again too soon
    code_was_not_sent_now : the code is void; try again
    """
    number = normalise(PersonalField.PHONE, phone)
    token = secrets.token_urlsafe(24)
    secret = pyotp.random_base32()

    def begin(unit: UnitOfWork) -> UUID | Refusal | None:
        guess = guess_at(
            unit.connection, keyring, f"phone:{number}", client, policy=CODE_REQUEST_LOCK
        )
        refusal = charge_guess(unit, guess)
        if refusal is not None:
            return refusal
        party = _owner_of_phone(unit.connection, keyring, number)
        if party is not None:
            _put_challenge(unit, keyring, token, party, secret)
        return party

    party = told(database.transact(begin))
    if party is not None and not sender.send(token, phone=number, code=totp_code(secret, 0)):
        database.transact(lambda u: session_table.drop_challenge(u.connection, hash_token(token)))
        raise CodeWasNotSentNow
    return token


def sign_in_with_phone(
    database: Database, keyring: Keyring, *, request: str, code: str, client: Client
) -> OpenedSession:
    """Sign a customer in by the code that was sent; it is good once, five minutes, five tries.

    Refusals
    --------
    sign_in_failed : wrong, used, too old, or never sent; which, is not said
    """

    def judge(unit: UnitOfWork) -> OpenedSession | Refusal:
        token = hash_token(request)
        challenge = session_table.take_challenge(
            unit.connection, token, Purpose.PHONE_CODE, unit.wall_at
        )
        if challenge is None or challenge.party is None or challenge.tries > CHALLENGE_TRIES:
            return SignInFailed()
        assert challenge.secret is not None
        secret = keyring.unseal(unit.connection, challenge.secret, context=_CONTEXT)
        typed = "".join(code.split()).encode()
        if not secrets.compare_digest(totp_code(secret, 0).encode(), typed):
            return SignInFailed()
        session_table.drop_challenge(unit.connection, token)
        party = party_table.lock(unit.connection, challenge.party)
        if party.state is PartyState.CLOSED:
            return SignInFailed()
        unit.actor = party.subject
        _absolve_phone(unit, keyring, party.id, client)
        return open_session(
            unit, Whose.PARTY, party.id, factors=frozenset({Factor.PHONE}), client=client
        )

    return told(database.transact(judge))


def open_phone_code(unit: UnitOfWork, keyring: Keyring, phone: str) -> str | None:
    """Return the code that the owner of a phone has to answer with now; None when none is due.

    Refusals
    --------
    personal_field_is_invalid
    """
    number = normalise(PersonalField.PHONE, phone)
    party = _owner_of_phone(unit.connection, keyring, number)
    if party is None:
        return None
    challenge = session_table.newest_phone_code(unit.connection, party, unit.wall_at)
    if challenge is None or challenge.secret is None:
        return None
    return totp_code(keyring.unseal(unit.connection, challenge.secret, context=_CONTEXT), 0)


def _put_challenge(
    unit: UnitOfWork, keyring: Keyring, token: str, party: UUID, secret: str
) -> None:
    sealed = keyring.seal(unit.connection, secret, owner=subject_of(party), context=_CONTEXT)
    challenge = Challenge(
        hash_token(token),
        Purpose.PHONE_CODE,
        staff=None,
        party=party,
        secret=sealed,
        tries=0,
        made_at=unit.wall_at,
        expires_at=unit.wall_at + CHALLENGE_LIVES,
    )
    session_table.put_challenge(unit.connection, challenge)


def _absolve_phone(unit: UnitOfWork, keyring: Keyring, party: UUID, client: Client) -> None:
    """Let the owner ask for the next code without a wait."""
    fields = sealing.first_values(unit.connection, keyring, party, [PersonalField.PHONE])
    number = fields.get(PersonalField.PHONE)
    if number is not None:
        absolve(unit, guess_at(unit.connection, keyring, f"phone:{number}", client))


def _owner_of_phone(connection: sa.Connection, keyring: Keyring, number: str) -> UUID | None:
    """Return the one open customer who has a phone number."""
    blind = sealing.blind(connection, keyring, PersonalField.PHONE, number)
    found = personal_table.find(connection, PersonalField.PHONE, blind, limit=10)
    owners = [
        party.id
        for party in party_table.read_many(connection, found)
        if party.kind is PartyKind.CUSTOMER and party.state is not PartyState.CLOSED
    ]
    return owners[0] if len(owners) == 1 else None
