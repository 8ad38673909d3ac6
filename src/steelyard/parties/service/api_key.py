"""API keys: made, rotated with an overlap, revoked."""

from __future__ import annotations

import hashlib
import secrets
import string
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from steelyard.base import Settings, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.parties.model.api_key import (
    BEARER_PREFIX,
    DEVELOPMENT_PREFIX,
    ApiKey,
    ApiKeyIsNotValid,
    ApiKeyIsRevoked,
    ApiKeyIsUnknown,
    ApiKeyKind,
    EntitlementIsNotYours,
    IssuedApiKey,
    KeyIsOfAnotherKind,
    NewApiKey,
    OverlapIsTooLong,
    check_overlap,
)
from steelyard.parties.model.role import (
    Audience,
    RoleIsForOthers,
    RoleIsUnknown,
    check_entitlements,
    covers,
)
from steelyard.parties.model.signature import PublicKeyIsInvalid, read_public_key
from steelyard.parties.service.access_facts import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated
from steelyard.parties.service.approval import answerable_for
from steelyard.parties.store import api_key as table
from steelyard.parties.store import party as party_table
from steelyard.parties.store import role as role_table
from steelyard.parties.store.api_key import Secret

__all__ = [
    "ApiKey",
    "ApiKeyIsNotValid",
    "ApiKeyIsRevoked",
    "ApiKeyIsUnknown",
    "ApiKeyKind",
    "EntitlementIsNotYours",
    "IssuedApiKey",
    "KeyIsOfAnotherKind",
    "NewApiKey",
    "OverlapIsTooLong",
    "PublicKeyIsInvalid",
    "RoleIsForOthers",
    "RoleIsUnknown",
    "create_api_key",
    "hash_secret",
    "list_api_keys",
    "read_api_key",
    "replace_public_key",
    "revoke_api_key",
    "rotate_api_key",
    "secret_context",
]

_LETTERS = string.ascii_letters + string.digits
_ALL = frozenset({"*"})


def create_api_key(
    unit: UnitOfWork,
    keyring: Keyring,
    settings: Settings,
    new: NewApiKey,
    *,
    held: frozenset[str] = _ALL,
) -> IssuedApiKey:
    """Make a key; return it with its secret, which is shown once.

    Parameters
    ----------
    held : entitlements of who makes it: nobody hands on more than he has

    Refusals
    --------
    refused_in_production : a development key
    role_is_unknown, role_is_for_others, role_is_malformed, party_is_unknown, party_is_closed
    entitlement_is_not_yours, public_key_is_invalid
    """
    if new.kind is ApiKeyKind.DEVELOPMENT:
        settings.refuse_in_production("a development key")
    if (new.kind is ApiKeyKind.ED25519) is not (new.public_key is not None):
        raise PublicKeyIsInvalid
    entitlements = _handed_on(unit, new, held)
    if new.party is not None:
        party_table.lock(unit.connection, new.party).must_be_open()
    text = _secret_of(new.kind, new.public_key)
    key = ApiKey(
        id="ak_" + "".join(secrets.choice(_LETTERS) for _ in range(20)),
        name=new.name,
        kind=new.kind,
        role=new.role,
        entitlements=entitlements,
        party=new.party,
        hint=text[-4:],
        created_by=answerable_for(unit.connection, unit.actor),
        created_at=unit.now,
        expires_at=new.expires_at,
    )
    table.insert(unit.connection, key)
    _put_secret(unit, keyring, key, text, number=1)
    unit.record(
        ApiKeyCreated(
            key=key.id,
            key_kind=key.kind,
            role=key.role,
            entitlements=entitlements,
            party=key.party,
        ),
        subject=key.actor,
    )
    audit(
        unit,
        action="access.create_key",
        subject=key.actor,
        detail={"name": key.name, "kind": key.kind, "role": key.role, "own": entitlements},
    )
    return IssuedApiKey(key, "" if key.kind is ApiKeyKind.ED25519 else text)


def rotate_api_key(
    unit: UnitOfWork, keyring: Keyring, key: str, *, overlap: timedelta = timedelta(hours=24)
) -> IssuedApiKey:
    """Give a key a new secret; the one before stays valid for an overlap of real time.

    Of two rotations within the overlap, the first secret ends at once: two are valid at most.

    Refusals
    --------
    api_key_is_unknown, api_key_is_revoked, overlap_is_too_long
    key_is_of_another_kind : one whose owner has the secret; see `replace_public_key`
    """
    check_overlap(overlap)
    present = table.lock(unit.connection, key).must_stand()
    if present.kind is ApiKeyKind.ED25519:
        raise KeyIsOfAnotherKind(key=key, found=present.kind)
    text = _secret_of(present.kind, None)
    return IssuedApiKey(_follow(unit, keyring, present, text, overlap=overlap), text)


def replace_public_key(
    unit: UnitOfWork,
    keyring: Keyring,
    key: str,
    public_key: str,
    *,
    overlap: timedelta = timedelta(hours=24),
) -> ApiKey:
    """Give an Ed25519 key the public half of a new pair; overlap as of `rotate_api_key`.

    Refusals
    --------
    api_key_is_unknown, api_key_is_revoked, key_is_of_another_kind, public_key_is_invalid,
    overlap_is_too_long
    """
    check_overlap(overlap)
    present = table.lock(unit.connection, key).must_stand()
    if present.kind is not ApiKeyKind.ED25519:
        raise KeyIsOfAnotherKind(key=key, found=present.kind)
    text = _secret_of(present.kind, public_key)
    return _follow(unit, keyring, present, text, overlap=overlap)


def _follow(
    unit: UnitOfWork, keyring: Keyring, present: ApiKey, text: str, *, overlap: timedelta
) -> ApiKey:
    """Put a secret or public key behind the one that a key has."""
    key = present.id
    newest = table.end_secrets(unit.connection, key, now=unit.wall_at, until=unit.wall_at + overlap)
    _put_secret(unit, keyring, present, text, number=newest + 1)
    seconds = int(overlap.total_seconds())
    unit.record(ApiKeyRotated(key=key, overlap_seconds=seconds), subject=present.actor)
    audit(unit, action="access.rotate_key", subject=present.actor, detail={"overlap_s": seconds})
    return table.read(unit.connection, key)


def revoke_api_key(unit: UnitOfWork, key: str) -> ApiKey:
    """End a key for good: every process refuses it within seconds.

    Refusals
    --------
    api_key_is_unknown, api_key_is_revoked
    """
    present = table.lock(unit.connection, key).must_stand()
    table.revoke(unit.connection, key, unit.wall_at)
    unit.record(ApiKeyRevoked(key=key), subject=present.actor)
    audit(unit, action="access.revoke_key", subject=present.actor)
    return table.read(unit.connection, key)


def read_api_key(connection: sa.Connection, key: str) -> ApiKey:
    """Return a key without its secret.

    Refusals
    --------
    api_key_is_unknown
    """
    return table.read(connection, key)


def list_api_keys(
    connection: sa.Connection, *, cursor: str | None = None, limit: int = 50
) -> Page[ApiKey]:
    """Return a page of the keys, newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before: tuple[datetime, str] | None = None
    if cursor:
        at, key = decode_cursor(cursor, str, str)
        try:
            before = datetime.fromisoformat(str(at)).astimezone(UTC), str(key)
        except ValueError:
            raise CursorIsInvalid from None
    found = table.list_newest(connection, before=before, limit=limit + 1)
    items = tuple(found[:limit])
    if len(found) <= limit:
        return Page(items)
    return Page(items, encode_cursor(items[-1].created_at.isoformat(), items[-1].id))


def secret_context(key: str) -> str:
    """Return the place of a secret, which its seal is bound to."""
    return f"api_secret.{key}"


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a bearer's secret; it has 256 bits of chance."""
    return hashlib.sha256(secret.encode()).digest()


def _handed_on(unit: UnitOfWork, new: NewApiKey, held: frozenset[str]) -> tuple[str, ...]:
    """Return the entitlements of a new key, none of which its maker lacks."""
    entitlements = check_entitlements(new.entitlements)
    handed_on = list(entitlements)
    if new.role is not None:
        role = role_table.read(unit.connection, new.role)
        if role.audience is not Audience.MACHINE:
            raise RoleIsForOthers(role=new.role, audience=role.audience)
        handed_on += role.entitlements
    for entitlement in handed_on:
        if not covers(held, entitlement):
            raise EntitlementIsNotYours(entitlement=entitlement)
    return entitlements


def _secret_of(kind: ApiKeyKind, public_key: str | None) -> str:
    """Return a new secret, or a public key that was given, in hex."""
    if public_key is not None:
        return read_public_key(public_key).hex()
    prefix = DEVELOPMENT_PREFIX if kind is ApiKeyKind.DEVELOPMENT else BEARER_PREFIX
    return prefix + secrets.token_urlsafe(32)


def _put_secret(unit: UnitOfWork, keyring: Keyring, key: ApiKey, text: str, *, number: int) -> None:
    """Seal a secret that signs; hash one that is shown; a public key is none."""
    sealed = hashed = public = None
    if key.kind is ApiKeyKind.ED25519:
        public = bytes.fromhex(text)
    elif key.kind is ApiKeyKind.SIGNED:
        context = secret_context(key.id)
        sealed = keyring.seal(unit.connection, text, owner=key.actor, context=context)
    else:
        hashed = hash_secret(text)
    secret = Secret(number, sealed, hashed, text[-4:], public)
    table.insert_secret(unit.connection, key.id, secret, made_at=unit.wall_at)
