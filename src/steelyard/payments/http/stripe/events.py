"""Events and webhook endpoints, as clients of Stripe ask for them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from steelyard.payments import (
    apps,
    stripe_events,
    stripe_ids,
    stripe_payments,
    stripe_refusals,
    webhooks,
)
from steelyard.payments.http.stripe.asking import (
    Ask,
    SharedRoute,
    StripeRoute,
    asking,
)
from steelyard.payments.http.stripe.errors import Json
from steelyard.payments.http.stripe.form import describes

router = APIRouter(prefix="/v1", tags=["stripe"], route_class=StripeRoute)
shared_router = APIRouter(prefix="/v1", tags=["stripe"], route_class=SharedRoute)

Reads = Annotated[Ask, asking("payments.read")]
Manages = Annotated[Ask, asking("payments.manage")]
EndpointId = Annotated[str, Path(description="we_...", examples=["we_" + 24 * "a"])]
_NOUN = "webhook_endpoint"


@shared_router.get("/events", include_in_schema=False)
def list_events(ask: Reads) -> Response:
    """List what happened to the merchant, the newest first; for requests with Stripe-Version."""
    kind, types = ask.params.text("type"), ask.params.texts("types")
    wanted = ask.wanted("event")
    names = types or ((kind,) if kind else None)
    kinds = None if names is None else stripe_events.kinds_of(names)
    with ask.platform.database.reading() as connection:
        found = webhooks.list_events(
            connection,
            ask.owner.merchant,
            ask.owner.mode,
            kinds=None if kinds in (None, ("*",)) else kinds,
            app=None if ask.app == "default" else ask.app,
            before=wanted.after,
            after=wanted.before,
            limit=wanted.limit + 1,
        )
    items = [stripe_events.event_object(event) for event in found[: wanted.limit]]
    if wanted.before is not None:
        items.reverse()
    if names is not None:
        items = [item for item in items if item["type"] in names or "*" in names]
    has_more = len(found) > wanted.limit
    return ask.read(lambda _: _page(items, "/v1/events", has_more=has_more))


def _page(items: list[Json], url: str, *, has_more: bool) -> Json:
    return {"object": "list", "url": url, "has_more": has_more, "data": items}


@shared_router.get("/events/{event}", include_in_schema=False)
def read_event(event: str, ask: Reads) -> Response:
    """Show something that happened to the merchant; for requests with Stripe-Version."""
    id = stripe_ids.from_id("event", event)
    with ask.platform.database.reading() as connection:
        found = webhooks.read_event(connection, id)
    if (found.merchant, found.mode) != (ask.owner.merchant, ask.owner.mode):
        raise stripe_refusals.FacadeObjectIsUnknown(noun="event", id=event[:60], param="id")
    return ask.read(lambda _: stripe_events.event_object(found))


def _app(ask: Ask) -> str:
    """Return the app whose endpoints are meant: of the key, or the first one of the mode."""
    if ask.app != "default":
        return ask.app
    with ask.platform.database.reading() as connection:
        for one in apps.of_merchant(connection, ask.owner.merchant):
            if one.mode is ask.owner.mode and one.state is apps.AppState.ACTIVE:
                return one.id
    raise ask.params.wrong("Stripe-Account", "the merchant has no app in this mode")


def _shown(reader: Any, endpoint: webhooks.Endpoint) -> Json:
    note = reader.note(endpoint.id)
    description = note.details.get("description")
    return stripe_events.endpoint_object(endpoint, note.metadata or {}, description)


def _mine(ask: Ask, connection: Any, id: str) -> webhooks.Endpoint:
    found = webhooks.read_endpoint(connection, id)
    is_mine = (found.merchant, found.mode) == (ask.owner.merchant, ask.owner.mode)
    if not is_mine or found.app != _app(ask) or found.state is webhooks.EndpointState.CLOSED:
        raise stripe_refusals.FacadeObjectIsUnknown(noun=_NOUN, id=id[:60], param="id")
    return found


@router.post(
    "/webhook_endpoints",
    **describes(_NOUN, fields="url=https://shop.example/hooks", writes=True),
)
def open_endpoint(ask: Manages) -> Response:
    """Let an app hear what happens, signed as clients of Stripe check; the secret is shown once."""
    params = ask.params
    url, types = params.needed("url"), params.texts("enabled_events")
    if not types:
        raise params.wrong("enabled_events", "it is missing")
    kinds, metadata = stripe_events.kinds_of(types), params.metadata()
    description = params.text("description")
    params.ignore("api_version", "connect")
    app, platform = _app(ask), ask.platform
    made: list[webhooks.IssuedEndpoint] = []

    def work(desk: Any) -> None:
        new = webhooks.NewEndpoint(url=url, kinds=kinds, form=webhooks.Form.STRIPE)
        issued = webhooks.open_endpoint(desk.unit, platform.keyring, platform.settings, app, new)
        kept = {"description": description}
        stripe_payments.keep(desk, issued.endpoint.id, {}, metadata, kept)
        made.append(issued)

    def show(reader: Any) -> Json:
        (issued,) = made
        return {**_shown(reader, issued.endpoint), "secret": issued.secret}

    return ask.write(lambda: ask.transact(work), show)


@router.get("/webhook_endpoints", **describes("list"))
def list_endpoints(ask: Manages) -> Response:
    """List where an app hears what happens."""
    limit = ask.params.number("limit", least=1, most=100) or 10
    after = ask.params.text("starting_after")
    ask.params.ignore("ending_before")
    app = _app(ask)

    def show(reader: Any) -> Json:
        with ask.platform.database.reading() as connection:
            every = webhooks.endpoints_of(connection, ask.owner.merchant, app=app)
        found = [one for one in reversed(every) if one.form is webhooks.Form.STRIPE]
        names = [one.id for one in found]
        start = names.index(after) + 1 if after in names else 0
        items = [_shown(reader, one) for one in found[start : start + limit]]
        return _page(items, "/v1/webhook_endpoints", has_more=len(found) > start + limit)

    return ask.read(show)


@router.get("/webhook_endpoints/{endpoint}", **describes(_NOUN))
def read_endpoint(endpoint: EndpointId, ask: Manages) -> Response:
    """Show where an app hears what happens."""
    with ask.platform.database.reading() as connection:
        found = _mine(ask, connection, endpoint)
    return ask.read(lambda reader: _shown(reader, found))


@router.post(
    "/webhook_endpoints/{endpoint}",
    **describes(_NOUN, fields="url=https://shop.example/hooks", writes=True),
)
def change_endpoint(endpoint: EndpointId, ask: Manages) -> Response:
    """Give an endpoint another address or other events; `disabled=false` sends to it again."""
    params = ask.params
    url, types = params.text("url") or None, params.texts("enabled_events")
    kinds = stripe_events.kinds_of(types) if types else None
    description, metadata = params.text("description"), params.metadata()
    is_disabled = params.flag("disabled")
    if is_disabled:
        raise params.wrong("disabled", "an endpoint is closed, or left as it is")
    after: list[webhooks.Endpoint] = []

    def change(desk: Any) -> None:
        found = _mine(ask, desk.unit.connection, endpoint)
        if is_disabled is False and found.state is webhooks.EndpointState.DISABLED:
            found = webhooks.enable_endpoint(desk.unit, endpoint)
        if url or kinds:
            found = webhooks.change_endpoint(
                desk.unit, ask.platform.settings, endpoint, url=url, kinds=kinds
            )
        kept = {} if description is None else {"description": description or None}
        stripe_payments.keep(desk, endpoint, {}, metadata, kept)
        after.append(found)

    return ask.write(lambda: ask.transact(change), lambda reader: _shown(reader, after[-1]))


@router.delete("/webhook_endpoints/{endpoint}", **describes(_NOUN))
def close_endpoint(endpoint: EndpointId, ask: Manages) -> Response:
    """End an endpoint for good."""

    def close(desk: Any) -> None:
        _mine(ask, desk.unit.connection, endpoint)
        webhooks.close_endpoint(desk.unit, endpoint)

    told = {"id": endpoint, "object": _NOUN, "deleted": True}
    return ask.write(lambda: ask.transact(close), lambda _: dict(told))
