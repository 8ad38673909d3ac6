"""Finding out who sends a request: a signed key, a bearer, or a session cookie."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from steelyard.base import Database, Settings
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, NotSignedIn
from steelyard.parties.model.api_key import (
    BEARER_PREFIX,
    DEVELOPMENT_PREFIX,
    ApiKeyIsNotValid,
    ApiKeyKind,
)
from steelyard.parties.model.party import PartyState
from steelyard.parties.model.role import CUSTOMER, OWN
from steelyard.parties.model.second_factor import SECOND_FACTORS
from steelyard.parties.model.session import (
    COOKIE,
    CSRF_HEADER,
    SEEN_EVERY,
    TOKEN_PREFIX,
    SessionHasEnded,
    Whose,
    check_origin,
)
from steelyard.parties.model.signature import (
    KEY,
    NonceWasUsed,
    SignatureIsWrong,
    SignedHeaders,
    check_timestamp,
    is_ed25519_signature,
    read_signed_headers,
    signature_of,
)
from steelyard.parties.model.staff import StaffState
from steelyard.parties.service.api_key import hash_secret, secret_context
from steelyard.parties.service.session import hash_token
from steelyard.parties.store import api_key as key_table
from steelyard.parties.store import session as session_table
from steelyard.parties.store.api_key import FoundKey
from steelyard.parties.store.nonce import NonceBook

if TYPE_CHECKING:
    from fastapi import Request

__all__ = ["RequestVerifier"]

KNOWN_FOR = timedelta(seconds=3)
"""How long a process takes a key for valid, or for unknown, without asking the database."""
ASKED_AGAIN_AFTER = timedelta(seconds=1)
"""A wrong signature makes a process look for a new secret, but no oftener than that."""
_MOST_KNOWN = 5_000
_SHOWN = frozenset({ApiKeyKind.BEARER, ApiKeyKind.DEVELOPMENT})
"""Kinds whose secret is the token itself; none of them signs."""
_OWNER_MAY_ACT = frozenset(
    {StaffState.ACTIVE.value, PartyState.APPLIED.value, PartyState.RESTRICTED.value}
)


@dataclass(frozen=True, slots=True)
class _KnownKey:
    """A key as this process remembers it; instants in Unix seconds.

    Attributes
    ----------
    secrets : texts with their ends; public keys in hex; empty texts for bearers, whose hash was
        enough to find them
    """

    caller: Caller | None
    kind: ApiKeyKind
    secrets: tuple[tuple[str, float], ...]
    read_at: float
    until: float

    def is_signed_by(self, signed: _Signed, now: float) -> bool:
        """Whether one of the secrets or pairs that are valid now made the signature."""
        is_by = signed.is_by_pair if self.kind is ApiKeyKind.ED25519 else signed.is_by
        return any(is_by(secret) for secret, until in self.secrets if now < until)


@dataclass(frozen=True, slots=True)
class _Signed:
    """A request with the four headers it showed."""

    shown: SignedHeaders
    method: str
    path: str
    body: bytes

    def is_by(self, secret: str) -> bool:
        """Whether a secret made the signature."""
        expected = signature_of(
            secret,
            self.method,
            self.path,
            self.body,
            timestamp=self.shown.timestamp,
            nonce=self.shown.nonce,
        )
        return hmac.compare_digest(expected.encode(), self.shown.signature.encode())

    def is_by_pair(self, public_key: str) -> bool:
        """Whether the private half of a public key (hex) made the signature."""
        return is_ed25519_signature(
            bytes.fromhex(public_key),
            self.shown.signature,
            self.method,
            self.path,
            self.body,
            timestamp=self.shown.timestamp,
            nonce=self.shown.nonce,
        )


class RequestVerifier:
    """Returns the caller of a request, or refuses; safe in many threads.

    A signed request costs one statement, shared with the others of the same moment (its nonce); a
    bearer of development none; a session one, which also brings its entitlements. A revoked key
    is refused by every process within `KNOWN_FOR`, an ended session at once.

    Parameters
    ----------
    keyring : opens the secrets of keys
    settings : of production, where development keys are refused
    """

    def __init__(self, database: Database, keyring: Keyring, settings: Settings) -> None:
        self._database = database
        self._keyring = keyring
        self._settings = settings
        self._nonces = NonceBook(database.engine)
        self._known: OrderedDict[str, _KnownKey] = OrderedDict()
        self._lock = Lock()
        self._reads = database.engine.execution_options(isolation_level="AUTOCOMMIT")

    def verify(self, request: Request, body: bytes) -> Caller:
        """Return who sends a request.

        Refusals
        --------
        not_signed_in : it shows nobody
        signature_is_incomplete, timestamp_is_off, signature_is_wrong, nonce_was_used
        api_key_is_not_valid, refused_in_production
        session_has_ended, request_is_from_elsewhere
        """
        if KEY in request.headers:
            return self._by_signature(request, body)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if token.startswith(BEARER_PREFIX):
                return self._by_shown_key(token)
            return self._by_session(token)
        cookie = request.cookies.get(COOKIE)
        if cookie is None:
            raise NotSignedIn
        check_origin(
            request.method,
            request.headers.get("host", ""),
            request.headers.get("origin"),
            request.headers.get(CSRF_HEADER),
        )
        return self._by_session(cookie)

    def close(self) -> None:
        """Give the connection back that nonces are spent on."""
        self._nonces.close()

    def _by_signature(self, request: Request, body: bytes) -> Caller:
        shown = read_signed_headers(request.headers)
        now = self._database.wall.now().timestamp()
        check_timestamp(shown.timestamp, now)
        signed = _Signed(shown, request.method, _path_of(request), body)
        known = self._key(shown.key, now)
        if not known.is_signed_by(signed, now):
            known = self._key(shown.key, now, age=ASKED_AGAIN_AFTER)
        if known.caller is None or known.kind in _SHOWN:
            raise ApiKeyIsNotValid(key=shown.key[:30])
        if not known.is_signed_by(signed, now):
            raise SignatureIsWrong
        # Last, so that nobody else can use the nonces of a key up.
        if not self._nonces.spend(shown.key, shown.timestamp, shown.nonce, now=now):
            raise NonceWasUsed
        return known.caller

    def _by_shown_key(self, token: str) -> Caller:
        if token.startswith(DEVELOPMENT_PREFIX):
            self._settings.refuse_in_production("a development key")
        now = self._database.wall.now().timestamp()
        known = self._key(hash_secret(token), now)
        is_shown = known.caller is not None and any(now < until for _, until in known.secrets)
        if not is_shown or known.caller is None or known.kind not in _SHOWN:
            raise ApiKeyIsNotValid(key=BEARER_PREFIX + "...")
        return known.caller

    def _by_session(self, token: str) -> Caller:
        if not token.startswith(TOKEN_PREFIX):
            raise NotSignedIn
        now = self._database.wall.now()
        with self._reads.connect() as connection:
            found = session_table.find(
                connection, hash_token(token), customer=CUSTOMER, second=sorted(SECOND_FACTORS)
            )
            if found is None or not found.session.is_live(now):
                raise SessionHasEnded
            if found.owner_state not in _OWNER_MAY_ACT:
                raise SessionHasEnded
            session = found.session
            if now - session.seen_at > SEEN_EVERY:
                session_table.see(connection, session.id, now)
        facts = {
            "session": str(session.id),
            "second_factor": "yes" if session.has_second_factor else "no",
        }
        if found.user_name is not None:
            facts["user_name"] = found.user_name
        party = str(session.owner) if session.whose is Whose.PARTY else None
        return Caller(session.actor, found.entitlements | {OWN}, party, facts)

    def _key(self, name: str | bytes, now: float, *, age: timedelta = KNOWN_FOR) -> _KnownKey:
        """Return a key by id, or a development key by the hash of its secret."""
        slot = name if isinstance(name, str) else name.hex()
        known = self._known.get(slot)
        oldest = now - age.total_seconds()
        if known is not None and oldest < known.read_at <= now < known.until:
            return known
        with self._reads.connect() as connection:
            found = (
                key_table.find(connection, name)
                if isinstance(name, str)
                else key_table.find_by_hash(connection, name)
            )
            known = self._remembered(connection, found, now)
        with self._lock:
            self._known[slot] = known
            self._known.move_to_end(slot)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def _remembered(
        self, connection: sa.Connection, found: FoundKey | None, now: float
    ) -> _KnownKey:
        is_valid = (
            found is not None
            and found.revoked_at is None
            and (found.expires_at is None or now < found.expires_at.timestamp())
            and (found.party_state is None or found.party_state in _OWNER_MAY_ACT)
        )
        if found is None or not is_valid:
            return _KnownKey(None, ApiKeyKind.SIGNED, (), now, float("inf"))
        until = float("inf") if found.expires_at is None else found.expires_at.timestamp()
        stored = found.sealed or found.hashed or found.public
        ends = [float("inf") if end is None else end.timestamp() for _, end in stored]
        texts = [public.hex() for public, _ in found.public] or [""] * len(stored)
        if found.sealed:
            context = secret_context(found.id)
            texts = self._keyring.unseal_many(
                connection, [(sealed, context) for sealed, _ in found.sealed]
            )
        caller = Caller(
            f"key:{found.id}",
            found.entitlements | {OWN},
            None if found.party is None else str(found.party),
        )
        return _KnownKey(caller, found.kind, tuple(zip(texts, ends, strict=True)), now, until)


def _path_of(request: Request) -> str:
    """Return path and query as they came over the wire."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope.get("query_string", b"")
    return (raw + b"?" + query if query else raw).decode("latin-1")
