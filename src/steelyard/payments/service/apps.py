"""Apps of merchants and their keys; the keys themselves live in `parties`."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Settings, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.parties import api_keys, approvals
from steelyard.payments.model.apps import ENTITLEMENTS, App, AppState, check_entitlements
from steelyard.payments.model.merchants import MerchantState
from steelyard.payments.model.merchants_refusals import (
    AppIsClosed,
    AppIsUnknown,
    AppKeyIsUnknown,
    EntitlementIsNotForApps,
    MerchantStateForbids,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.service.merchants_facts import AppClosed, AppKeyIssued, AppOpened
from steelyard.payments.store import apps as table
from steelyard.payments.store import merchants as merchant_table

__all__ = [
    "ENTITLEMENTS",
    "App",
    "AppIsClosed",
    "AppIsUnknown",
    "AppKeyIsUnknown",
    "AppState",
    "EntitlementIsNotForApps",
    "NewKey",
    "app_of",
    "close",
    "issue_key",
    "keys_of",
    "of_merchant",
    "open_app",
    "read",
    "rename",
    "replace_public_key",
    "revoke_key",
    "rotate_key",
    "when_closing",
]

_LETTERS = string.ascii_letters + string.digits
_ALL = frozenset({"*"})
_MOST_KNOWN = 10_000
_KNOWN: dict[str, App] = {}
_WHEN_CLOSING: list[Callable[[UnitOfWork, App], None]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to make for an app.

    Attributes
    ----------
    public_key : for the kind `ed25519`: PEM or hex
    """

    name: str
    kind: api_keys.ApiKeyKind = api_keys.ApiKeyKind.SIGNED
    entitlements: tuple[str, ...] = ("payments.read", "payments.pay", "payments.refund")
    public_key: str | None = None
    expires_at: datetime | None = None


def when_closing(call: Callable[[UnitOfWork, App], None]) -> Callable[[UnitOfWork, App], None]:
    """Enter what else ends with an app, in the transaction that closes it."""
    _WHEN_CLOSING.append(call)
    return call


def open_app(unit: UnitOfWork, merchant: UUID, *, mode: Mode, name: str) -> App:
    """Give a merchant an app; a live one needs a contract in force.

    Refusals
    --------
    payment_merchant_is_unknown, merchant_state_forbids
    """
    contract = merchant_table.read(unit.connection, merchant, lock=True)
    over = (MerchantState.CLOSED, MerchantState.REJECTED)
    is_early = mode is Mode.LIVE and contract.state is not MerchantState.ACTIVE
    if contract.state in over or is_early:
        raise MerchantStateForbids(merchant=merchant, state=contract.state, verb="given an app")
    app = App(
        id="app_" + "".join(secrets.choice(_LETTERS) for _ in range(20)),
        merchant=merchant,
        mode=mode,
        name=name,
        state=AppState.ACTIVE,
        version=1,
        created_at=unit.now,
        created_by=approvals.answerable_for(unit.connection, unit.actor),
    )
    table.insert(unit.connection, app)
    fact = AppOpened(merchant=merchant, app=app.id, mode=mode)
    unit.record(fact, subject=f"merchant:{merchant}")
    audit(unit, action="payments.open_app", subject=app.subject, detail={"mode": mode.value})
    return app


def rename(unit: UnitOfWork, app: str, name: str) -> App:
    """Give an app another name.

    Refusals
    --------
    app_is_unknown, app_is_closed
    """
    before = table.read(unit.connection, app, lock=True).must_be_active()
    after = replace(before, name=name)
    table.change(unit.connection, before, after)
    audit(unit, action="payments.rename_app", subject=before.subject)
    return replace(after, version=before.version + 1)


def close(unit: UnitOfWork, app: str) -> App:
    """End an app with its keys and all that hears through it.

    Refusals
    --------
    app_is_unknown, app_is_closed
    """
    before = table.read(unit.connection, app, lock=True).must_be_active()
    for key in keys_of(unit.connection, app):
        if key.revoked_at is None:
            api_keys.revoke_api_key(unit, key.id)
    for call in _WHEN_CLOSING:
        call(unit, before)
    after = replace(before, state=AppState.CLOSED)
    table.change(unit.connection, before, after)
    fact = AppClosed(merchant=before.merchant, app=app)
    unit.record(fact, subject=f"merchant:{before.merchant}")
    audit(unit, action="payments.close_app", subject=before.subject)
    return replace(after, version=before.version + 1)


def issue_key(
    unit: UnitOfWork,
    keyring: Keyring,
    settings: Settings,
    app: str,
    new: NewKey,
    *,
    held: frozenset[str] = _ALL,
) -> api_keys.IssuedApiKey:
    """Make a key of an app; its secret, if it has one, is shown once.

    Parameters
    ----------
    held : entitlements of who makes it

    Refusals
    --------
    app_is_unknown, app_is_closed, entitlement_is_not_for_apps, entitlement_is_not_yours,
    public_key_is_invalid, refused_in_production, party_is_unknown, party_is_closed
    """
    present = table.read(unit.connection, app, lock=True).must_be_active()
    made = api_keys.NewApiKey(
        new.name,
        new.kind,
        entitlements=check_entitlements(new.entitlements),
        party=present.merchant,
        expires_at=new.expires_at,
        public_key=new.public_key,
    )
    issued = api_keys.create_api_key(unit, keyring, settings, made, held=held)
    table.bind(unit.connection, app, issued.key.id, unit.now)
    fact = AppKeyIssued(merchant=present.merchant, app=app, key=issued.key.id)
    unit.record(fact, subject=f"merchant:{present.merchant}")
    return issued


def rotate_key(
    unit: UnitOfWork, keyring: Keyring, app: str, key: str, *, overlap: timedelta
) -> api_keys.IssuedApiKey:
    """Give a key of an app a new secret; the one before is valid for an overlap.

    Refusals
    --------
    app_is_unknown, app_is_closed, app_key_is_unknown, api_key_is_revoked, overlap_is_too_long,
    key_is_of_another_kind
    """
    _must_have(unit, app, key)
    return api_keys.rotate_api_key(unit, keyring, key, overlap=overlap)


def replace_public_key(
    unit: UnitOfWork,
    keyring: Keyring,
    app: str,
    key: str,
    public_key: str,
    *,
    overlap: timedelta,
) -> api_keys.ApiKey:
    """Give a key of an app the public half of a new pair; see `rotate_key`.

    Refusals
    --------
    as `rotate_key`, public_key_is_invalid
    """
    _must_have(unit, app, key)
    return api_keys.replace_public_key(unit, keyring, key, public_key, overlap=overlap)


def revoke_key(unit: UnitOfWork, app: str, key: str) -> api_keys.ApiKey:
    """End a key of an app for good.

    Refusals
    --------
    app_is_unknown, app_is_closed, app_key_is_unknown, api_key_is_revoked
    """
    _must_have(unit, app, key)
    return api_keys.revoke_api_key(unit, key)


def read(connection: sa.Connection, app: str) -> App:
    """Return an app.

    Refusals
    --------
    app_is_unknown
    """
    return table.read(connection, app)


def of_merchant(connection: sa.Connection, merchant: UUID) -> list[App]:
    """Return the apps of a merchant, oldest first."""
    return table.of_merchant(connection, merchant)


def keys_of(connection: sa.Connection, app: str) -> list[api_keys.ApiKey]:
    """Return the keys that were ever made for an app, oldest first."""
    return [api_keys.read_api_key(connection, key) for key in table.keys_of(connection, app)]


def app_of(connection: sa.Connection, actor: str) -> App | None:
    """Return the app that an actor acts for; None: it is no key of an app.

    What a key acts for never changes, so a process asks once for each key. That the app is closed
    is seen by its keys, which are revoked.

    Parameters
    ----------
    actor : `key:<id>`, as `Caller.actor`
    """
    noun, _, key = actor.partition(":")
    if noun != "key":
        return None
    known = _KNOWN.get(key)
    if known is None:
        known = table.of_key(connection, key)
        if known is None:
            return None
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = known
    return known


def _must_have(unit: UnitOfWork, app: str, key: str) -> None:
    table.read(unit.connection, app, lock=True).must_be_active()
    if key not in table.keys_of(unit.connection, app):
        raise AppKeyIsUnknown(app=app, key=key[:30])
