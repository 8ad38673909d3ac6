"""Webhook endpoints of apps, and what was sent to them: opened, rotated, resent by hand."""

from __future__ import annotations

import ipaddress
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Settings, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.parties import api_keys, approvals
from steelyard.payments.model.apps import App
from steelyard.payments.model.merchants_refusals import AppIsClosed, AppIsUnknown
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import (
    API_VERSION,
    KINDS,
    LONGEST_OVERLAP,
    MOST_ENDPOINTS,
    SECRET_BYTES,
    Answer,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Event,
    Form,
    check_kinds,
    native_body,
    new_secret,
    standard_headers,
    stripe_headers,
)
from steelyard.payments.model.webhooks_addresses import Reach, choose_address, read_url
from steelyard.payments.model.webhooks_refusals import (
    WebhookAddressIsForbidden,
    WebhookDeliveryIsUnderWay,
    WebhookDeliveryIsUnknown,
    WebhookEndpointIsMalformed,
    WebhookEndpointIsUnknown,
    WebhookEndpointsAreTooMany,
    WebhookEndpointStateForbids,
    WebhookEventIsUnknown,
)
from steelyard.payments.service.apps import when_closing
from steelyard.payments.service.merchants_facts import (
    WebhookEndpointChanged,
    WebhookEndpointOpened,
)
from steelyard.payments.store import apps as app_table
from steelyard.payments.store import deliveries as delivery_table
from steelyard.payments.store import endpoints as table
from steelyard.payments.store.deliveries import Tried

__all__ = [
    "API_VERSION",
    "KINDS",
    "Answer",
    "AppIsClosed",
    "AppIsUnknown",
    "Delivery",
    "DeliveryState",
    "Endpoint",
    "EndpointState",
    "Event",
    "Form",
    "IssuedEndpoint",
    "NewEndpoint",
    "OverlapIsTooLong",
    "Reach",
    "Tried",
    "WebhookAddressIsForbidden",
    "WebhookDeliveryIsUnderWay",
    "WebhookDeliveryIsUnknown",
    "WebhookEndpointIsMalformed",
    "WebhookEndpointIsUnknown",
    "WebhookEndpointStateForbids",
    "WebhookEndpointsAreTooMany",
    "WebhookEventIsUnknown",
    "change_endpoint",
    "close_endpoint",
    "enable_endpoint",
    "endpoints_of",
    "list_deliveries",
    "list_events",
    "open_endpoint",
    "reach_of",
    "read_delivery",
    "read_endpoint",
    "read_event",
    "register_form",
    "resend",
    "resend_dead",
    "rotate_secret",
    "secret_context",
    "tries_of",
    "written",
]

OverlapIsTooLong = api_keys.OverlapIsTooLong
_LETTERS: Final = string.ascii_letters + string.digits
_MOST_RESENT: Final = 1_000
Writer = Callable[[Event, str], bytes]
_WRITERS: dict[Form, Writer] = {Form.NATIVE: native_body}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint to open.

    Attributes
    ----------
    kinds : of events, by our own names; `*` is every one
    """

    url: str
    kinds: tuple[str, ...] = ("*",)
    form: Form = Form.NATIVE


@dataclass(frozen=True, slots=True)
class IssuedEndpoint:
    """An endpoint with its newest secret, which is shown once."""

    endpoint: Endpoint
    secret: str = field(repr=False)


def register_form(form: Form, write: Writer) -> None:
    """Enter how events are written in a form.

    Parameters
    ----------
    write : gets an event and the API version of the endpoint; the same for both, always
    """
    known = _WRITERS.setdefault(form, write)
    assert known is write, f"{form} is written in two ways"


def written(
    form: Form, event: Event, api_version: str, keys: tuple[str, ...], timestamp: int
) -> tuple[bytes, dict[str, str]]:
    """Return body and signature headers of a try.

    Parameters
    ----------
    keys : the secrets that sign, the newest first
    """
    body = _WRITERS[form](event, api_version)
    if form is Form.STRIPE:
        return body, stripe_headers(keys, body, timestamp)
    return body, standard_headers(keys, event.name, body, timestamp)


def reach_of(settings: Settings) -> Reach:
    """Return how far webhooks go: in production over https to the open internet, and no further."""
    return Reach(plain=not settings.in_production, loopback=settings.webhook_loopback)


def open_endpoint(
    unit: UnitOfWork, keyring: Keyring, settings: Settings, app: str, new: NewEndpoint
) -> IssuedEndpoint:
    """Let an app hear what happens in its mode.

    Refusals
    --------
    app_is_unknown, app_is_closed, webhook_endpoint_is_malformed, webhook_address_is_forbidden,
    webhook_endpoints_are_too_many
    """
    present = app_table.read(unit.connection, app, lock=True).must_be_active()
    _check_url(new.url, reach_of(settings))
    if new.form not in _WRITERS:
        raise WebhookEndpointIsMalformed(reason=f"the form {new.form} is not written here")
    if len(table.of_merchant(unit.connection, present.merchant, app=app)) >= MOST_ENDPOINTS:
        raise WebhookEndpointsAreTooMany(most=MOST_ENDPOINTS)
    endpoint = Endpoint(
        id="we_" + "".join(secrets.choice(_LETTERS) for _ in range(24)),
        merchant=present.merchant,
        app=app,
        mode=present.mode,
        url=new.url,
        kinds=check_kinds(new.kinds),
        form=new.form,
        api_version=API_VERSION,
        state=EndpointState.ENABLED,
        version=1,
        created_at=unit.now,
        created_by=approvals.answerable_for(unit.connection, unit.actor),
    )
    table.insert(unit.connection, endpoint)
    secret = _put_secret(unit, keyring, endpoint, number=1)
    unit.record(
        WebhookEndpointOpened(
            merchant=present.merchant, app=app, endpoint=endpoint.id, kinds=endpoint.kinds
        ),
        subject=_subject(endpoint.id),
    )
    _audit(unit, endpoint, "open_webhook_endpoint")
    return IssuedEndpoint(replace(endpoint, hints=(secret[-4:],)), secret)


def change_endpoint(
    unit: UnitOfWork,
    settings: Settings,
    endpoint: str,
    *,
    url: str | None = None,
    kinds: tuple[str, ...] | None = None,
) -> Endpoint:
    """Give an endpoint another address or other kinds; what waits goes to the new address.

    Refusals
    --------
    webhook_endpoint_is_unknown, webhook_endpoint_state_forbids, webhook_endpoint_is_malformed,
    webhook_address_is_forbidden
    """
    before = _open(unit, endpoint, "changed")
    if url is not None:
        _check_url(url, reach_of(settings))
    after = replace(
        before,
        url=before.url if url is None else url,
        kinds=before.kinds if kinds is None else check_kinds(kinds),
    )
    return _change(unit, before, after, "changed")


def enable_endpoint(unit: UnitOfWork, endpoint: str) -> Endpoint:
    """Send to an endpoint again that was disabled; what waited is sent at once.

    Refusals
    --------
    webhook_endpoint_is_unknown, webhook_endpoint_state_forbids
    """
    before = table.read(unit.connection, endpoint, lock=True)
    before.must_be(EndpointState.DISABLED, verb="enabled")
    after = replace(before, state=EndpointState.ENABLED, disabled_for=None, dead_in_a_row=0)
    return _change(unit, before, after, "enabled")


def close_endpoint(unit: UnitOfWork, endpoint: str) -> Endpoint:
    """End an endpoint for good; what waits for it is given up.

    Refusals
    --------
    webhook_endpoint_is_unknown, webhook_endpoint_state_forbids
    """
    return _close(unit, _open(unit, endpoint, "closed"))


def rotate_secret(
    unit: UnitOfWork, keyring: Keyring, endpoint: str, *, overlap: timedelta
) -> IssuedEndpoint:
    """Give an endpoint a new secret; both sign until the overlap is over.

    Of two rotations within the overlap, the first secret ends at once: two sign at most.

    Refusals
    --------
    webhook_endpoint_is_unknown, webhook_endpoint_state_forbids, overlap_is_too_long
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise OverlapIsTooLong(days=LONGEST_OVERLAP.days)
    before = _open(unit, endpoint, "given a new secret")
    newest = table.end_secrets(
        unit.connection, endpoint, now=unit.wall_at, until=unit.wall_at + overlap
    )
    secret = _put_secret(unit, keyring, before, number=newest + 1)
    _change(unit, before, before, "secret")
    return IssuedEndpoint(table.read(unit.connection, endpoint), secret)


def resend(unit: UnitOfWork, delivery: UUID) -> Delivery:
    """Put a delivery that is dead, or that arrived, on its way again.

    Refusals
    --------
    webhook_delivery_is_unknown, webhook_delivery_is_under_way
    webhook_endpoint_state_forbids : enable the endpoint first
    """
    seen = delivery_table.read(unit.connection, delivery)
    endpoint = table.read(unit.connection, seen.endpoint, lock=True)
    endpoint.must_be(EndpointState.ENABLED, verb="sent to")
    before = delivery_table.read(unit.connection, delivery, lock=True)
    if before.next_try_at is not None:
        raise WebhookDeliveryIsUnderWay(delivery=delivery, state=before.state)
    after = _replay(unit, before)
    _audit(unit, endpoint, "resend_webhook", delivery=str(delivery))
    return after


def resend_dead(unit: UnitOfWork, endpoint: str, *, since: datetime) -> int:
    """Put what died since an instant on its way again, the oldest first; return how many.

    At most 1,000 at once: called again, it takes the next ones.

    Refusals
    --------
    webhook_endpoint_is_unknown, webhook_endpoint_state_forbids
    """
    present = table.read(unit.connection, endpoint, lock=True)
    present.must_be(EndpointState.ENABLED, verb="sent to")
    dead = delivery_table.lock_dead(unit.connection, endpoint, since, _MOST_RESENT)
    for before in dead:
        _replay(unit, before)
    _audit(unit, present, "resend_webhooks", count=str(len(dead)))
    return len(dead)


def read_endpoint(connection: sa.Connection, endpoint: str) -> Endpoint:
    """Return an endpoint.

    Refusals
    --------
    webhook_endpoint_is_unknown
    """
    return table.read(connection, endpoint)


def endpoints_of(
    connection: sa.Connection, merchant: UUID, *, app: str | None = None
) -> list[Endpoint]:
    """Return the endpoints of a merchant or of one app that are not closed, oldest first."""
    return table.of_merchant(connection, merchant, app=app)


def read_delivery(connection: sa.Connection, delivery: UUID) -> Delivery:
    """Return a delivery.

    Refusals
    --------
    webhook_delivery_is_unknown
    """
    return delivery_table.read(connection, delivery)


def tries_of(connection: sa.Connection, delivery: UUID) -> list[Tried]:
    """Return what came of each try of a delivery, the oldest first."""
    return delivery_table.tries_of(connection, delivery)


def list_deliveries(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    endpoint: str | None = None,
    state: DeliveryState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Delivery]:
    """Return a page of deliveries, newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before: tuple[datetime, UUID] | None = None
    if cursor:
        at, id = decode_cursor(cursor, str, str)
        try:
            before = datetime.fromisoformat(str(at)).astimezone(UTC), UUID(str(id))
        except ValueError:
            raise CursorIsInvalid from None
    found = delivery_table.list_newest(
        connection,
        merchant=merchant,
        endpoint=endpoint,
        state=state,
        before=before,
        limit=limit + 1,
    )
    items = tuple(found[:limit])
    if len(found) <= limit:
        return Page(items)
    return Page(items, encode_cursor(items[-1].made_at.isoformat(), str(items[-1].id)))


def read_event(connection: sa.Connection, event: UUID) -> Event:
    """Return an event.

    Refusals
    --------
    webhook_event_is_unknown
    """
    return delivery_table.read_event(connection, event)


def list_events(
    connection: sa.Connection,
    merchant: UUID,
    mode: Mode,
    *,
    kinds: tuple[str, ...] | None = None,
    app: str | None = None,
    before: UUID | None = None,
    after: UUID | None = None,
    limit: int = 50,
) -> list[Event]:
    """Return events of a merchant in a mode, newest first; the oldest first behind `after`.

    Parameters
    ----------
    app : only what this app may hear
    """
    return delivery_table.list_events(
        connection,
        merchant,
        mode,
        kinds=kinds,
        app=app,
        before=before,
        after=after,
        limit=limit,
    )


def secret_context(endpoint: str) -> str:
    """Return the place of a secret, which its seal is bound to."""
    return f"payments.webhook_secret.{endpoint}"


@when_closing
def close_endpoints(unit: UnitOfWork, app: App) -> None:
    """Close the endpoints of an app that is closed."""
    for endpoint in table.of_merchant(unit.connection, app.merchant, app=app.id):
        _close(unit, table.read(unit.connection, endpoint.id, lock=True))


def _close(unit: UnitOfWork, before: Endpoint) -> Endpoint:
    delivery_table.give_up(unit.connection, before.id, "endpoint_is_closed")
    table.drop_secrets(unit.connection, before.id)
    after = replace(before, state=EndpointState.CLOSED, disabled_for=None)
    return _change(unit, before, after, "closed")


def _open(unit: UnitOfWork, endpoint: str, verb: str) -> Endpoint:
    """Return an endpoint that is not closed, its row held."""
    present = table.read(unit.connection, endpoint, lock=True)
    return present.must_be(EndpointState.ENABLED, EndpointState.DISABLED, verb=verb)


def _change(unit: UnitOfWork, before: Endpoint, after: Endpoint, what: str) -> Endpoint:
    table.change(unit.connection, before, after)
    fact = WebhookEndpointChanged(merchant=before.merchant, endpoint=before.id, what=what)
    unit.record(fact, subject=_subject(before.id))
    _audit(unit, before, "change_webhook_endpoint", what=what)
    return replace(after, version=before.version + 1)


def _replay(unit: UnitOfWork, before: Delivery) -> Delivery:
    after = replace(
        before,
        state=DeliveryState.REPLAYED,
        round_tries=0,
        next_try_at=unit.wall_at,
        version=before.version + 1,
    )
    done = delivery_table.settle(unit.connection, before, after)
    assert done, "the row is held"
    return after


def _check_url(url: str, reach: Reach) -> None:
    """Refuse an address that could never be sent to; names are looked up at each try."""
    target = read_url(url, reach)
    try:
        ipaddress.ip_address(target.host)
    except ValueError:
        return
    choose_address(target.host, [target.host], reach)


def _put_secret(unit: UnitOfWork, keyring: Keyring, endpoint: Endpoint, *, number: int) -> str:
    secret = new_secret(secrets.token_bytes(SECRET_BYTES))
    sealed = keyring.seal(
        unit.connection,
        secret,
        owner=_subject(endpoint.id),
        context=secret_context(endpoint.id),
    )
    table.insert_secret(
        unit.connection,
        endpoint.id,
        number=number,
        sealed=sealed,
        hint=secret[-4:],
        made_at=unit.wall_at,
    )
    return secret


def _subject(endpoint: str) -> str:
    return f"webhook_endpoint:{endpoint}"


def _audit(unit: UnitOfWork, endpoint: Endpoint, action: str, **more: str) -> None:
    audit(
        unit,
        action=f"payments.{action}",
        subject=_subject(endpoint.id),
        detail={"merchant": str(endpoint.merchant), "app": endpoint.app, **more},
    )
