"""Customers, what they pay with, and set-ups, as clients of Stripe ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from steelyard.payments import (
    stripe_customers,
    stripe_forms,
    stripe_ids,
    stripe_records,
    stripe_refusals,
)
from steelyard.payments.http.stripe.asking import Ask, StripeRoute, asking
from steelyard.payments.http.stripe.form import describes

router = APIRouter(prefix="/v1", tags=["stripe"], route_class=StripeRoute)

Reads = Annotated[Ask, asking("payments.read")]
Pays = Annotated[Ask, asking("payments.pay")]
CustomerId = Annotated[str, Path(description="cus_...", examples=["cus_" + 31 * "0" + "7"])]
MethodId = Annotated[str, Path(description="pm_...", examples=["pm_" + 31 * "0" + "7"])]
SetupId = Annotated[str, Path(description="seti_...", examples=["seti_" + 31 * "0" + "7"])]
_TEXTS = ("description", "email", "name", "phone")
_TYPES = ("card", *stripe_customers.WALLETS)
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_SETUP = "setup_intent"
_METHOD = "payment_method"

MakeMethod = Callable[[Any, UUID], stripe_records.FacadeMethod]


def _address(params: stripe_forms.Params | None) -> dict[str, str | None] | None:
    if params is None:
        return None
    told = {name: params.text(name) or None for name in _ADDRESS}
    params.done()
    return told


def _personal(ask: Ask) -> dict[str, object]:
    """Return what is told of a customer; an empty text takes out what was known."""
    params = ask.params
    told: dict[str, object] = {}
    for name in _TEXTS:
        text = params.text(name)
        if text is not None:
            told[name] = text or None
    if params.has("address"):
        told["address"] = _address(params.inner("address"))
    if params.has("shipping"):
        shipping = params.inner("shipping")
        told["shipping"] = shipping and {
            "address": _address(shipping.inner("address")),
            "name": shipping.text("name"),
            "phone": shipping.text("phone"),
        }
        if shipping is not None:
            shipping.done()
    params.ignore("preferred_locales", "tax_exempt", "validate")
    return told


@router.post("/customers", **describes("customer", fields="email=ann@example.org", writes=True))
def create_customer(ask: Pays) -> Response:
    """Make a customer; what is told of him is sealed where it is kept."""
    personal, metadata = _personal(ask), ask.params.metadata() or {}
    method = ask.params.text(_METHOD)
    id = ask.id("customer")

    def make(desk: Any) -> None:
        desk.make_customer(id, personal, metadata)
        if method:
            desk.attach(desk.named_method(method, ask.id("method")).id, id)

    return ask.write(lambda: ask.transact(make), lambda reader: reader.one("customer", id))


@router.get("/customers", **describes("list"))
def list_customers(ask: Reads) -> Response:
    """List customers, the newest first."""
    email = ask.params.text("email")
    index = None
    if email:
        index = ask.transact(
            lambda desk: stripe_customers.email_index(
                desk.unit.connection, ask.platform.keyring, email
            )
        )
    wanted = ask.wanted("customer", email_index=index)
    return ask.read(lambda reader: reader.page("customer", wanted, "/v1/customers"))


@router.get("/customers/{customer}", **describes("customer"))
def read_customer(customer: CustomerId, ask: Reads) -> Response:
    """Show a customer."""
    id = stripe_ids.from_id("customer", customer)
    return ask.read(lambda reader: reader.one("customer", id))


@router.post("/customers/{customer}", **describes("customer", fields="name=Ann", writes=True))
def change_customer(customer: CustomerId, ask: Pays) -> Response:
    """Change a customer."""
    id = stripe_ids.from_id("customer", customer)
    personal, metadata = _personal(ask), ask.params.metadata()
    settings = ask.params.inner("invoice_settings")
    named = None if settings is None else settings.text("default_payment_method")
    if settings is not None:
        settings.done()
    default = stripe_ids.from_id(_METHOD, named, param="invoice_settings") if named else None

    def change(desk: Any) -> None:
        desk.change_customer(id, personal, metadata, default)

    return ask.write(lambda: ask.transact(change), lambda reader: reader.one("customer", id))


@router.delete("/customers/{customer}", **describes("customer"))
def delete_customer(customer: CustomerId, ask: Pays) -> Response:
    """Delete a customer: what was known of him can never be read again."""
    id = stripe_ids.from_id("customer", customer)

    def delete(desk: Any) -> None:
        desk.delete_customer(id)

    return ask.write(lambda: ask.transact(delete), lambda reader: reader.one("customer", id))


@router.get("/customers/{customer}/payment_methods", **describes("list"))
def list_methods_of(customer: CustomerId, ask: Reads) -> Response:
    """List what a customer pays with."""
    return _methods(ask, customer, f"/v1/customers/{customer}/payment_methods")


@router.get("/customers/{customer}/payment_methods/{method}", **describes(_METHOD))
def read_method_of(customer: CustomerId, method: MethodId, ask: Reads) -> Response:
    """Show what a customer pays with."""
    id, whose = stripe_ids.from_id(_METHOD, method), stripe_ids.from_id("customer", customer)

    def show(reader: Any) -> dict[str, Any]:
        if reader.method(id, param="id").customer != whose:
            raise stripe_refusals.FacadeObjectIsUnknown(noun=_METHOD, id=method[:60], param="id")
        shown: dict[str, Any] = reader.one(_METHOD, id)
        return shown

    return ask.read(show)


def _methods(ask: Ask, customer: str | None, url: str) -> Response:
    whose = stripe_ids.from_id("customer", customer, param="customer") if customer else None
    kind = ask.params.choice("type", _TYPES)
    wanted = ask.wanted(_METHOD, customer=whose, type=kind)
    return ask.read(lambda reader: reader.page(_METHOD, wanted, url))


def method_of_data(ask: Ask, params: stripe_forms.Params) -> MakeMethod:
    """Return what makes a method of what a request says of it; a card's number ends here.

    Refusals
    --------
    facade_parameter_is_wrong
    """
    kind = params.choice("type", _TYPES)
    if kind is None:
        raise params.wrong("type", "it is missing")
    metadata = params.metadata()
    card = params.inner("card")
    params.ignore("allow_redisplay", "billing_details", *stripe_customers.WALLETS)
    if kind != "card":
        params.done()
        return lambda desk, id: desk.make_method(id, kind, metadata=metadata)
    if card is None:
        raise params.wrong("card", "it is missing")
    token, number = card.text("token"), card.text("number", most=40)
    month = card.number("exp_month", least=1, most=12)
    year = card.number("exp_year", least=2000, most=2099)
    card.ignore("cvc")
    card.done()
    params.done()

    def make(desk: Any, id: UUID) -> stripe_records.FacadeMethod:
        if token:
            found, mark = desk.card(token, param=card.name("token")), None
            if found is None:
                raise card.wrong("token", "there is no such token")
        elif number is None or month is None or year is None:
            raise card.wrong("number", "it is missing")
        else:
            found, mark = desk.card_of(number, month, year)
        made: stripe_records.FacadeMethod = desk.make_method(
            id, "card", card=found, fingerprint=mark, metadata=metadata
        )
        return made

    return make


@router.post(
    "/payment_methods",
    **describes(_METHOD, fields="type=card&card[token]=tok_visa", writes=True),
)
def create_method(ask: Pays) -> Response:
    """Make what a payer pays with, of a token or, in the sandbox, of a card's number."""
    make = method_of_data(ask, ask.params)
    id = ask.id("method")
    return ask.write(
        lambda: ask.transact(lambda desk: make(desk, id)), lambda reader: reader.one(_METHOD, id)
    )


@router.get("/payment_methods", **describes("list"))
def list_methods(ask: Reads) -> Response:
    """List what payers pay with."""
    return _methods(ask, ask.params.text("customer"), "/v1/payment_methods")


@router.get("/payment_methods/{method}", **describes(_METHOD))
def read_method(method: MethodId, ask: Reads) -> Response:
    """Show what a payer pays with."""
    id = stripe_ids.from_id(_METHOD, method)
    return ask.read(lambda reader: reader.one(_METHOD, id))


@router.post("/payment_methods/{method}", **describes(_METHOD, fields="metadata[a]=1", writes=True))
def change_method(method: MethodId, ask: Pays) -> Response:
    """Change what is kept with what a payer pays with."""
    id, metadata = stripe_ids.from_id(_METHOD, method), ask.params.metadata()
    ask.params.ignore("allow_redisplay", "billing_details")
    return ask.write(
        lambda: ask.transact(lambda desk: desk.change_method(id, metadata)),
        lambda reader: reader.one(_METHOD, id),
    )


@router.post(
    "/payment_methods/{method}/attach",
    **describes(_METHOD, fields="customer=cus_...", writes=True),
)
def attach_method(method: MethodId, ask: Pays) -> Response:
    """Let a customer have what he pays with; a test token makes a new one."""
    customer = ask.params.needed("customer")
    done: list[UUID] = []

    def attach(desk: Any) -> None:
        named = desk.named_method(method, ask.id("method"), param="id")
        done.append(desk.attach(named.id, desk.customer(customer)).id)

    return ask.write(lambda: ask.transact(attach), lambda reader: reader.one(_METHOD, done[-1]))


@router.post("/payment_methods/{method}/detach", **describes(_METHOD, writes=True))
def detach_method(method: MethodId, ask: Pays) -> Response:
    """Take what a customer pays with from him; it is never used again."""
    id = stripe_ids.from_id(_METHOD, method)
    return ask.write(
        lambda: ask.transact(lambda desk: desk.detach(id)), lambda reader: reader.one(_METHOD, id)
    )


def _named(ask: Ask) -> Callable[[Any], UUID | None]:
    """Return what finds, or makes, the method that a set-up names."""
    named, data = ask.params.text(_METHOD), ask.params.inner("payment_method_data")
    make = None if data is None else method_of_data(ask, data)
    ask.params.ignore(
        "automatic_payment_methods",
        "mandate_data",
        "payment_method_options",
        "payment_method_types",
        "return_url",
        "use_stripe_sdk",
    )

    def find(desk: Any) -> UUID | None:
        if named:
            found: UUID = desk.named_method(named, ask.id("method")).id
            return found
        return None if make is None else make(desk, ask.id("method")).id

    return find


@router.post(
    "/setup_intents", **describes(_SETUP, fields="payment_method=pm_card_visa", writes=True)
)
def create_setup(ask: Pays) -> Response:
    """Ask a payer to let a merchant keep what he pays with."""
    params = ask.params
    customer, find, is_confirmed = params.text("customer"), _named(ask), params.flag("confirm")
    usage = params.choice("usage", ("off_session", "on_session")) or "off_session"
    description, metadata = params.text("description"), params.metadata() or {}
    id = ask.id("setup")

    def make(desk: Any) -> None:
        method = find(desk)
        new = stripe_records.FacadeSetup(
            id=id,
            merchant=ask.owner.merchant,
            mode=ask.owner.mode,
            state="requires_payment_method" if method is None else "requires_confirmation",
            created_at=desk.unit.now,
            customer=desk.customer(customer) if customer else None,
            method=method,
            usage=usage,
            description=description,
            metadata=metadata,
        )
        made = desk.make_setup(new)
        if is_confirmed and made.state != "succeeded":
            desk.confirm_setup(made)

    return ask.write(lambda: ask.transact(make), lambda reader: reader.one(_SETUP, id))


@router.get("/setup_intents", **describes("list"))
def list_setups(ask: Reads) -> Response:
    """List set-ups, the newest first."""
    customer, method = ask.params.text("customer"), ask.params.text(_METHOD)
    whose = stripe_ids.from_id("customer", customer, param="customer") if customer else None
    by = stripe_ids.from_id(_METHOD, method, param=_METHOD) if method else None
    wanted = ask.wanted(_SETUP, customer=whose, method=by)
    return ask.read(lambda reader: reader.page(_SETUP, wanted, "/v1/setup_intents"))


@router.get("/setup_intents/{intent}", **describes(_SETUP))
def read_setup(intent: SetupId, ask: Reads) -> Response:
    """Show a set-up."""
    ask.params.ignore("client_secret")
    id = stripe_ids.from_id(_SETUP, intent, param="intent")
    return ask.read(lambda reader: reader.one(_SETUP, id, param="intent"))


@router.post("/setup_intents/{intent}", **describes(_SETUP, fields="description=card", writes=True))
def change_setup(intent: SetupId, ask: Pays) -> Response:
    """Change a set-up."""
    id = stripe_ids.from_id(_SETUP, intent, param="intent")
    find, metadata = _named(ask), ask.params.metadata()
    customer, description = ask.params.text("customer"), ask.params.text("description")

    def change(desk: Any) -> None:
        before, method = desk.setup(id, "update"), find(desk)
        is_open = before.state.startswith("requires")
        desk.write_setup(
            replace(
                before,
                method=method or before.method,
                customer=desk.customer(customer) if customer else before.customer,
                description=before.description if description is None else description,
                metadata=stripe_forms.merged(before.metadata, metadata),
                state="requires_confirmation" if method and is_open else before.state,
            )
        )

    return ask.write(
        lambda: ask.transact(change), lambda reader: reader.one(_SETUP, id, param="intent")
    )


@router.post(
    "/setup_intents/{intent}/confirm",
    **describes(_SETUP, fields="payment_method=pm_card_visa", writes=True),
)
def confirm_setup(intent: SetupId, ask: Pays) -> Response:
    """Let the merchant keep what the payer pays with."""
    id, find = stripe_ids.from_id(_SETUP, intent, param="intent"), _named(ask)

    def confirm(desk: Any) -> None:
        before, method = desk.setup(id, "confirm"), find(desk)
        desk.confirm_setup(replace(before, method=method or before.method))

    return ask.write(
        lambda: ask.transact(confirm), lambda reader: reader.one(_SETUP, id, param="intent")
    )


@router.post(
    "/setup_intents/{intent}/cancel",
    **describes(_SETUP, fields="cancellation_reason=abandoned", writes=True),
)
def cancel_setup(intent: SetupId, ask: Pays) -> Response:
    """End a set-up."""
    id = stripe_ids.from_id(_SETUP, intent, param="intent")
    reason = ask.params.choice(
        "cancellation_reason", ("abandoned", "duplicate", "requested_by_customer")
    )

    def cancel(desk: Any) -> None:
        before = desk.setup(id, "cancel")
        desk.write_setup(replace(before, state="canceled", cancellation_reason=reason))

    return ask.write(
        lambda: ask.transact(cancel), lambda reader: reader.one(_SETUP, id, param="intent")
    )
