"""Routes of webhooks: endpoints, what was sent to them, and the events themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    ONCE,
    BodyIn,
    Caller,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    run_with_secrets,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.payments import apps, orders, webhooks
from steelyard.payments.http.apps import own_app
from steelyard.payments.http.merchants_wire import must_be_of_mode, must_be_theirs
from steelyard.payments.http.wire import merchant_for, merchant_of

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Manages = Annotated[Write, writing("payments.manage")]
EndpointId = Annotated[str, Path(description="id of the endpoint", max_length=60)]
DeliveryId = Annotated[UUID, Path(description="id of the delivery")]
EventId = Annotated[str, Path(pattern=r"^evt_[0-9a-f]{32}$", description="id of the event")]
Url = Annotated[str, Field(max_length=500, examples=["https://shop.example/hooks"])]
Kinds = Annotated[
    list[Annotated[str, Field(max_length=60)]],
    Field(min_length=1, max_length=100, examples=[["payment.succeeded", "refund.succeeded"]]),
]

_ENDPOINT = (webhooks.WebhookEndpointIsUnknown,)
_ENDPOINT_MOVES = (*_ENDPOINT, webhooks.WebhookEndpointStateForbids)
_URL = (webhooks.WebhookEndpointIsMalformed, webhooks.WebhookAddressIsForbidden)


class WebhookEndpointIn(BodyIn):
    """An endpoint to open."""

    app: Annotated[str, Field(max_length=60)]
    url: Url
    kinds: Kinds = Field(default_factory=lambda: ["*"], description="`*` is every kind")


class WebhookEndpointChangeIn(BodyIn):
    """Another address, other kinds; what is not given stays."""

    url: Url | None = None
    kinds: Kinds | None = None


class WebhookRotationIn(BodyIn):
    """How long the old secret signs beside the new one."""

    overlap_s: Annotated[int, Field(ge=0, le=604_800)] = 86_400


class SinceIn(BodyIn):
    """From when on."""

    since: AwareDatetime


class CountOut(BaseModel):
    """How many."""

    count: int


class WebhookEndpointOut(BaseModel):
    """Where an app hears what happens."""

    id: str
    app: str
    mode: orders.Mode
    url: str
    kinds: list[str]
    form: webhooks.Form
    api_version: str
    state: webhooks.EndpointState
    disabled_for: str | None
    dead_in_a_row: int
    hints: list[str] = Field(description="last characters of the secrets that sign, newest first")
    created_at: datetime
    secret: str | None = Field(default=None, description=ONCE)

    @classmethod
    def of(cls, one: webhooks.Endpoint) -> WebhookEndpointOut:
        """Return the wire form."""
        told = {
            n: getattr(one, n) for n in cls.model_fields if n not in ("secret", "kinds", "hints")
        }
        return cls(**told, kinds=list(one.kinds), hints=list(one.hints))


class WebhookEndpoints(BaseModel):
    """Endpoints, oldest first."""

    items: list[WebhookEndpointOut]


class WebhookDeliveryOut(BaseModel):
    """An event on its way to an endpoint."""

    id: UUID
    event: str
    endpoint: str
    state: webhooks.DeliveryState
    tries: int
    next_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None

    @classmethod
    def of(cls, one: webhooks.Delivery) -> WebhookDeliveryOut:
        """Return the wire form."""
        told = {n: getattr(one, n) for n in cls.model_fields if n != "event"}
        return cls(**told, event=f"evt_{one.event.hex}")


class WebhookDeliveryPage(PageOut):
    """A page of deliveries, newest first."""

    items: list[WebhookDeliveryOut]


class WebhookTryOut(BaseModel):
    """What came of a try."""

    no: int
    at: datetime
    status: int | None
    error: str | None
    answer: str = Field(description="the first bytes that came back")
    latency_ms: int

    @classmethod
    def of(cls, one: webhooks.Tried) -> WebhookTryOut:
        """Return the wire form."""
        answer = one.answer
        return cls(
            no=one.no,
            at=one.at,
            status=answer.status,
            error=answer.error,
            answer=answer.text,
            latency_ms=answer.latency_ms,
        )


class EventOut(BaseModel):
    """What happened, as it is told."""

    id: str
    type: str
    mode: orders.Mode
    object: str
    sequence: int
    created_at: datetime
    data: dict[str, Any]

    @classmethod
    def of(cls, one: webhooks.Event) -> EventOut:
        """Return the wire form."""
        return cls(
            id=one.name,
            type=one.kind,
            mode=one.mode,
            object=one.object,
            sequence=one.sequence,
            created_at=one.occurred_at,
            data=dict(one.snapshot),
        )


class Events(BaseModel):
    """Events, newest first; the oldest first behind `after`."""

    items: list[EventOut]


class WebhookDeliveryShown(WebhookDeliveryOut):
    """A delivery with its event and what came of each try."""

    told: EventOut
    history: list[WebhookTryOut]


# --- endpoints -----------------------------------------------------------------------------------


@router.post(
    "/webhook-endpoints",
    response_model=WebhookEndpointOut,
    status_code=201,
    responses=refusals(
        webhooks.AppIsUnknown,
        webhooks.AppIsClosed,
        *_URL,
        webhooks.WebhookEndpointsAreTooMany,
        write=True,
    ),
)
def open_endpoint(body: WebhookEndpointIn, write: Manages) -> Response:
    """Let an app hear what happens; the secret that signs is shown once."""
    new = webhooks.NewEndpoint(url=body.url, kinds=tuple(body.kinds))

    def work(unit: UnitOfWork) -> tuple[WebhookEndpointOut, dict[str, Any]]:
        own_app(unit.connection, write.caller, body.app)
        platform = write.platform
        made = webhooks.open_endpoint(unit, platform.keyring, platform.settings, body.app, new)
        return WebhookEndpointOut.of(made.endpoint), {"secret": made.secret}

    return run_with_secrets(write, work, status=201)


@router.get("/webhook-endpoints", response_model=WebhookEndpoints, responses=refusals())
def list_endpoints(
    read: Reads,
    merchant: Annotated[UUID | None, Query(description="for staff")] = None,
    app: str | None = None,
) -> WebhookEndpoints:
    """List the endpoints of a merchant that are not closed."""
    of = merchant_for(read, merchant)
    with read.database.reading() as connection:
        own = apps.app_of(connection, read.caller.actor)
        found = webhooks.endpoints_of(connection, of, app=app)
    seen = [one for one in found if own is None or one.mode is own.mode]
    return WebhookEndpoints(items=[WebhookEndpointOut.of(one) for one in seen])


@router.get(
    "/webhook-endpoints/{endpoint}",
    response_model=WebhookEndpointOut,
    responses=refusals(*_ENDPOINT),
)
def read_endpoint(endpoint: EndpointId, read: Reads) -> WebhookEndpointOut:
    """Show an endpoint."""
    with read.database.reading() as connection:
        return WebhookEndpointOut.of(_own(connection, read.caller, endpoint))


@router.post(
    "/webhook-endpoints/{endpoint}/change",
    response_model=WebhookEndpointOut,
    responses=refusals(*_ENDPOINT_MOVES, *_URL, write=True),
)
def change_endpoint(
    endpoint: EndpointId, body: WebhookEndpointChangeIn, write: Manages
) -> Response:
    """Give an endpoint another address or other kinds."""

    def work(unit: UnitOfWork) -> WebhookEndpointOut:
        _own(unit.connection, write.caller, endpoint)
        changed = webhooks.change_endpoint(
            unit,
            write.platform.settings,
            endpoint,
            url=body.url,
            kinds=None if body.kinds is None else tuple(body.kinds),
        )
        return WebhookEndpointOut.of(changed)

    return write.run(work)


@router.post(
    "/webhook-endpoints/{endpoint}/rotate",
    response_model=WebhookEndpointOut,
    responses=refusals(*_ENDPOINT_MOVES, webhooks.OverlapIsTooLong, write=True),
)
def rotate_secret(endpoint: EndpointId, body: WebhookRotationIn, write: Manages) -> Response:
    """Give an endpoint a new secret, shown once; both sign until the overlap is over."""
    overlap = timedelta(seconds=body.overlap_s)

    def work(unit: UnitOfWork) -> tuple[WebhookEndpointOut, dict[str, Any]]:
        _own(unit.connection, write.caller, endpoint)
        made = webhooks.rotate_secret(unit, write.platform.keyring, endpoint, overlap=overlap)
        return WebhookEndpointOut.of(made.endpoint), {"secret": made.secret}

    return run_with_secrets(write, work)


@router.post(
    "/webhook-endpoints/{endpoint}/enable",
    response_model=WebhookEndpointOut,
    responses=refusals(*_ENDPOINT_MOVES, write=True),
)
def enable_endpoint(endpoint: EndpointId, write: Manages) -> Response:
    """Send to an endpoint again that was disabled."""

    def work(unit: UnitOfWork) -> WebhookEndpointOut:
        _own(unit.connection, write.caller, endpoint)
        return WebhookEndpointOut.of(webhooks.enable_endpoint(unit, endpoint))

    return write.run(work)


@router.post(
    "/webhook-endpoints/{endpoint}/resend-dead",
    response_model=CountOut,
    responses=refusals(*_ENDPOINT_MOVES, write=True),
)
def resend_dead(endpoint: EndpointId, body: SinceIn, write: Manages) -> Response:
    """Send again what died since an instant, at most 1,000 at once."""

    def work(unit: UnitOfWork) -> CountOut:
        _own(unit.connection, write.caller, endpoint)
        return CountOut(count=webhooks.resend_dead(unit, endpoint, since=body.since))

    return write.run(work)


@router.delete(
    "/webhook-endpoints/{endpoint}",
    response_model=WebhookEndpointOut,
    responses=refusals(*_ENDPOINT_MOVES, write=True),
)
def close_endpoint(endpoint: EndpointId, write: Manages) -> Response:
    """End an endpoint for good."""

    def work(unit: UnitOfWork) -> WebhookEndpointOut:
        _own(unit.connection, write.caller, endpoint)
        return WebhookEndpointOut.of(webhooks.close_endpoint(unit, endpoint))

    return write.run(work)


# --- deliveries and events -----------------------------------------------------------------------


@router.get(
    "/webhook-deliveries",
    response_model=WebhookDeliveryPage,
    responses=refusals(CursorIsInvalid, *_ENDPOINT),
)
def list_deliveries(
    read: Reads,
    *,
    endpoint: str | None = None,
    state: webhooks.DeliveryState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> WebhookDeliveryPage:
    """List deliveries, newest first; a key of an app names its endpoint."""
    with read.database.reading() as connection:
        if endpoint is not None:
            _own(connection, read.caller, endpoint)
        elif apps.app_of(connection, read.caller.actor) is not None:
            raise webhooks.WebhookEndpointIsUnknown(endpoint="")
        page = webhooks.list_deliveries(
            connection,
            merchant=merchant_of(read.caller),
            endpoint=endpoint,
            state=state,
            cursor=cursor,
            limit=limit,
        )
    return page_out(WebhookDeliveryPage, page, WebhookDeliveryOut.of)


@router.get(
    "/webhook-deliveries/{delivery}",
    response_model=WebhookDeliveryShown,
    responses=refusals(webhooks.WebhookDeliveryIsUnknown),
)
def read_delivery(delivery: DeliveryId, read: Reads) -> WebhookDeliveryShown:
    """Show a delivery with its event and what came of each try."""
    with read.database.reading() as connection:
        found = _own_delivery(connection, read.caller, delivery)
        event = webhooks.read_event(connection, found.event)
        tries = webhooks.tries_of(connection, delivery)
    return WebhookDeliveryShown(
        **WebhookDeliveryOut.of(found).model_dump(),
        told=EventOut.of(event),
        history=[WebhookTryOut.of(one) for one in tries],
    )


@router.post(
    "/webhook-deliveries/{delivery}/resend",
    response_model=WebhookDeliveryOut,
    responses=refusals(
        webhooks.WebhookDeliveryIsUnknown,
        webhooks.WebhookDeliveryIsUnderWay,
        webhooks.WebhookEndpointStateForbids,
        write=True,
    ),
)
def resend(delivery: DeliveryId, write: Manages) -> Response:
    """Put a delivery that is dead, or that arrived, on its way again."""

    def work(unit: UnitOfWork) -> WebhookDeliveryOut:
        _own_delivery(unit.connection, write.caller, delivery)
        return WebhookDeliveryOut.of(webhooks.resend(unit, delivery))

    return write.run(work)


@router.get("/events", response_model=Events, responses=refusals(webhooks.WebhookEventIsUnknown))
def list_events(
    read: Reads,
    *,
    merchant: Annotated[UUID | None, Query(description="for staff")] = None,
    mode: orders.Mode = orders.Mode.LIVE,
    type: Annotated[str | None, Query(max_length=60)] = None,
    before: Annotated[str | None, Query(pattern=r"^evt_[0-9a-f]{32}$")] = None,
    after: Annotated[str | None, Query(pattern=r"^evt_[0-9a-f]{32}$")] = None,
    limit: Limit = 50,
) -> Events:
    """List what happened: what a server missed, it reads here; a key sees its app's mode."""
    of = merchant_for(read, merchant)
    with read.database.reading() as connection:
        own = apps.app_of(connection, read.caller.actor)
        found = webhooks.list_events(
            connection,
            of,
            mode if own is None else own.mode,
            kinds=None if type is None else (type,),
            app=None if own is None else own.id,
            before=_event_id(before),
            after=_event_id(after),
            limit=limit,
        )
    return Events(items=[EventOut.of(one) for one in found])


@router.get(
    "/events/{event}",
    response_model=EventOut,
    responses=refusals(webhooks.WebhookEventIsUnknown),
)
def read_event(event: EventId, read: Reads) -> EventOut:
    """Show an event."""
    id = UUID(event.removeprefix("evt_"))
    unknown = webhooks.WebhookEventIsUnknown(event=id)
    with read.database.reading() as connection:
        found = webhooks.read_event(connection, id)
        must_be_theirs(read.caller, found.merchant, unknown)
        must_be_of_mode(connection, read.caller, found.mode, unknown)
        own = apps.app_of(connection, read.caller.actor)
    if own is not None and found.app not in (None, own.id):
        raise unknown
    return EventOut.of(found)


def _own(connection: sa.Connection, caller: Caller, endpoint: str) -> webhooks.Endpoint:
    unknown = webhooks.WebhookEndpointIsUnknown(endpoint=endpoint)
    found = webhooks.read_endpoint(connection, endpoint)
    must_be_theirs(caller, found.merchant, unknown)
    must_be_of_mode(connection, caller, found.mode, unknown)
    return found


def _own_delivery(connection: sa.Connection, caller: Caller, delivery: UUID) -> webhooks.Delivery:
    found = webhooks.read_delivery(connection, delivery)
    unknown = webhooks.WebhookDeliveryIsUnknown(delivery=delivery)
    must_be_theirs(caller, found.merchant, unknown)
    endpoint = webhooks.read_endpoint(connection, found.endpoint)
    must_be_of_mode(connection, caller, endpoint.mode, unknown)
    return found


def _event_id(name: str | None) -> UUID | None:
    return None if name is None else UUID(name.removeprefix("evt_"))
