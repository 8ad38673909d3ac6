"""Routes of apps and their keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import RefusedInProduction, UnitOfWork
from steelyard.base.http import (
    ONCE,
    BodyIn,
    Caller,
    NotEntitled,
    Read,
    Write,
    reading,
    refusals,
    run_with_secrets,
    writing,
)
from steelyard.parties import api_keys, registry
from steelyard.payments import apps, merchants, orders
from steelyard.payments.http.merchants_wire import must_be_of_mode, must_be_theirs
from steelyard.payments.http.wire import Text, merchant_for

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Manages = Annotated[Write, writing("payments.manage")]
AppId = Annotated[str, Path(description="id of the app", max_length=60)]
KeyId = Annotated[str, Path(description="id of the key", max_length=60)]
PublicKey = Annotated[str, Field(max_length=400)]

_APP = (apps.AppIsUnknown,)
_OPEN_APP = (*_APP, apps.AppIsClosed)
_KEY = (*_OPEN_APP, apps.AppKeyIsUnknown, api_keys.ApiKeyIsRevoked)


class AppIn(BodyIn):
    """An app to open."""

    merchant: UUID | None = Field(
        default=None,
        description="for staff; a merchant's own is its",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    mode: orders.Mode = orders.Mode.SANDBOX
    name: Text


class NameIn(BodyIn):
    """Another name."""

    name: Text


class AppOut(BaseModel):
    """A program of a merchant."""

    id: str
    merchant: UUID
    mode: orders.Mode
    name: str
    state: apps.AppState
    created_at: datetime

    @classmethod
    def of(cls, app: apps.App) -> AppOut:
        """Return the wire form."""
        return cls(**{name: getattr(app, name) for name in cls.model_fields})


class Apps(BaseModel):
    """The apps of a merchant, oldest first."""

    items: list[AppOut]


class AppKeyIn(BodyIn):
    """A key to make."""

    name: Text
    kind: api_keys.ApiKeyKind = api_keys.ApiKeyKind.SIGNED
    entitlements: Annotated[list[str], Field(max_length=20)] = Field(
        default_factory=lambda: ["payments.read", "payments.pay", "payments.refund"]
    )
    public_key: PublicKey | None = Field(default=None, description="for `ed25519`: PEM or hex")
    expires_at: datetime | None = None

    def key(self) -> apps.NewKey:
        """Return what it says."""
        return apps.NewKey(
            name=self.name,
            kind=self.kind,
            entitlements=tuple(self.entitlements),
            public_key=self.public_key,
            expires_at=self.expires_at,
        )


class AppKeyRotationIn(BodyIn):
    """How long the old secret or pair stays valid."""

    overlap_s: Annotated[int, Field(ge=0, le=2_592_000)] = 86_400
    public_key: PublicKey | None = Field(default=None, description="of the new pair")


class AppKeyOut(BaseModel):
    """A key of an app."""

    id: str
    app: str
    name: str
    kind: api_keys.ApiKeyKind
    entitlements: list[str]
    hint: str = Field(description="last four characters of the newest secret or public key")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    secret: str | None = Field(default=None, description=ONCE)

    @classmethod
    def of(cls, app: str, key: api_keys.ApiKey) -> AppKeyOut:
        """Return the wire form."""
        return cls(
            id=key.id,
            app=app,
            name=key.name,
            kind=key.kind,
            entitlements=list(key.entitlements),
            hint=key.hint,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class AppKeys(BaseModel):
    """The keys that were ever made for an app, oldest first."""

    items: list[AppKeyOut]


def own_app(connection: sa.Connection, caller: Caller, app: str) -> apps.App:
    """Return an app that the caller may see: of its merchant, and of its key's mode.

    Refusals
    --------
    app_is_unknown
    """
    unknown = apps.AppIsUnknown(app=app)
    found = apps.read(connection, app)
    must_be_theirs(caller, found.merchant, unknown)
    must_be_of_mode(connection, caller, found.mode, unknown)
    return found


def bound(command: Write, body: BodyIn) -> dict[str, Any]:
    """Return app and mode of a command that an app's key gives: its own, whatever is not stated.

    Parameters
    ----------
    body : has the fields `app` and `mode`

    Returns
    -------
    dict
        What to replace in the body; nothing where the caller is no key of an app.

    Refusals
    --------
    not_entitled : another app or mode is stated
    """
    with command.database.reading() as connection:
        own = apps.app_of(connection, command.caller.actor)
    if own is None:
        return {}
    fixed: dict[str, Any] = {"app": own.id, "mode": own.mode}
    for name in body.model_fields_set & set(fixed):
        if getattr(body, name) != fixed[name]:
            raise NotEntitled(actor=command.caller.actor, verb=f"payments in another {name}")
    return fixed


@router.post(
    "/apps",
    response_model=AppOut,
    status_code=201,
    responses=refusals(
        merchants.PaymentMerchantIsUnknown,
        merchants.MerchantStateForbids,
        apps.AppIsUnknown,
        write=True,
    ),
)
def open_app(body: AppIn, write: Manages) -> Response:
    """Open an app, in the sandbox or live; a key of the sandbox opens none that is live."""
    merchant = merchant_for(write, body.merchant)

    def work(unit: UnitOfWork) -> AppOut:
        unknown = apps.AppIsUnknown(app=body.mode.value)
        must_be_of_mode(unit.connection, write.caller, body.mode, unknown)
        return AppOut.of(apps.open_app(unit, merchant, mode=body.mode, name=body.name))

    return write.run(work, status=201)


@router.get("/apps", response_model=Apps, responses=refusals())
def list_apps(
    read: Reads, merchant: Annotated[UUID | None, Query(description="for staff")] = None
) -> Apps:
    """List the apps of a merchant, oldest first."""
    of = merchant_for(read, merchant)
    with read.database.reading() as connection:
        own = apps.app_of(connection, read.caller.actor)
        found = apps.of_merchant(connection, of)
    seen = [app for app in found if own is None or app.mode is own.mode]
    return Apps(items=[AppOut.of(app) for app in seen])


@router.get("/apps/{app}", response_model=AppOut, responses=refusals(*_APP))
def read_app(app: AppId, read: Reads) -> AppOut:
    """Show an app."""
    with read.database.reading() as connection:
        return AppOut.of(own_app(connection, read.caller, app))


@router.post(
    "/apps/{app}/rename",
    response_model=AppOut,
    responses=refusals(*_OPEN_APP, write=True),
)
def rename_app(app: AppId, body: NameIn, write: Manages) -> Response:
    """Give an app another name."""

    def work(unit: UnitOfWork) -> AppOut:
        own_app(unit.connection, write.caller, app)
        return AppOut.of(apps.rename(unit, app, body.name))

    return write.run(work)


@router.delete("/apps/{app}", response_model=AppOut, responses=refusals(*_OPEN_APP, write=True))
def close_app(app: AppId, write: Manages) -> Response:
    """Close an app with its keys and webhook endpoints."""

    def work(unit: UnitOfWork) -> AppOut:
        own_app(unit.connection, write.caller, app)
        return AppOut.of(apps.close(unit, app))

    return write.run(work)


@router.post(
    "/apps/{app}/keys",
    response_model=AppKeyOut,
    status_code=201,
    responses=refusals(
        *_OPEN_APP,
        apps.EntitlementIsNotForApps,
        api_keys.EntitlementIsNotYours,
        api_keys.PublicKeyIsInvalid,
        registry.PartyIsUnknown,
        registry.PartyIsClosed,
        RefusedInProduction,
        write=True,
    ),
)
def issue_key(app: AppId, body: AppKeyIn, write: Manages) -> Response:
    """Make a key of an app; its secret is shown once."""

    def work(unit: UnitOfWork) -> tuple[AppKeyOut, dict[str, Any]]:
        own_app(unit.connection, write.caller, app)
        issued = apps.issue_key(
            unit,
            write.platform.keyring,
            write.platform.settings,
            app,
            body.key(),
            held=write.caller.entitlements,
        )
        shown = {"secret": issued.secret} if issued.secret else {}
        return AppKeyOut.of(app, issued.key), shown

    return run_with_secrets(write, work, status=201)


@router.get("/apps/{app}/keys", response_model=AppKeys, responses=refusals(*_APP))
def list_keys(app: AppId, read: Reads) -> AppKeys:
    """List the keys that were ever made for an app."""
    with read.database.reading() as connection:
        own_app(connection, read.caller, app)
        found = apps.keys_of(connection, app)
    return AppKeys(items=[AppKeyOut.of(app, key) for key in found])


@router.post(
    "/apps/{app}/keys/{api_key}/rotate",
    response_model=AppKeyOut,
    responses=refusals(
        *_KEY,
        api_keys.KeyIsOfAnotherKind,
        api_keys.OverlapIsTooLong,
        api_keys.PublicKeyIsInvalid,
        write=True,
    ),
)
def rotate_key(app: AppId, api_key: KeyId, body: AppKeyRotationIn, write: Manages) -> Response:
    """Give a key a new secret, or the public half of a new pair; the old one overlaps."""
    overlap = timedelta(seconds=body.overlap_s)

    def work(unit: UnitOfWork) -> tuple[AppKeyOut, dict[str, Any]]:
        own_app(unit.connection, write.caller, app)
        keyring = write.platform.keyring
        if body.public_key is not None:
            replaced = apps.replace_public_key(
                unit, keyring, app, api_key, body.public_key, overlap=overlap
            )
            return AppKeyOut.of(app, replaced), {}
        issued = apps.rotate_key(unit, keyring, app, api_key, overlap=overlap)
        return AppKeyOut.of(app, issued.key), {"secret": issued.secret}

    return run_with_secrets(write, work)


@router.delete(
    "/apps/{app}/keys/{api_key}", response_model=AppKeyOut, responses=refusals(*_KEY, write=True)
)
def revoke_key(app: AppId, api_key: KeyId, write: Manages) -> Response:
    """End a key for good."""

    def work(unit: UnitOfWork) -> AppKeyOut:
        own_app(unit.connection, write.caller, app)
        return AppKeyOut.of(app, apps.revoke_key(unit, app, api_key))

    return write.run(work)
