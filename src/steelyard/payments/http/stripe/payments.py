"""Payments, their charges and their refunds, as clients of Stripe ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from steelyard.kernel import Refusal
from steelyard.payments import (
    capturing,
    orders,
    refunds,
    stripe_ids,
    stripe_objects,
    stripe_payments,
    stripe_records,
)
from steelyard.payments.http.stripe.asking import Ask, StripeRoute, asking
from steelyard.payments.http.stripe.customers import method_of_data
from steelyard.payments.http.stripe.errors import declined
from steelyard.payments.http.stripe.form import describes

router = APIRouter(prefix="/v1", tags=["stripe"], route_class=StripeRoute)

Reads = Annotated[Ask, asking("payments.read")]
Pays = Annotated[Ask, asking("payments.pay")]
Refunds = Annotated[Ask, asking("payments.refund")]
IntentId = Annotated[str, Path(description="pi_...", examples=["pi_" + 31 * "0" + "7"])]
ChargeId = Annotated[str, Path(description="ch_...", examples=["ch_" + 31 * "0" + "7"])]
RefundId = Annotated[str, Path(description="re_...", examples=["re_" + 31 * "0" + "7"])]
_KEPT = ("description", "receipt_email", "setup_future_usage", "statement_descriptor")
_CANCELLATIONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_INTENT = "payment_intent"


def _kept(ask: Ask) -> dict[str, Any]:
    """Return what is kept beside a payment, as far as it is told; texts that are empty go."""
    told = {name: ask.params.text(name) for name in _KEPT}
    ask.params.ignore(
        "automatic_payment_methods",
        "confirmation_method",
        "error_on_requires_action",
        "mandate_data",
        "payment_method_options",
        "payment_method_types",
        "radar_options",
        "shipping",
        "statement_descriptor_suffix",
        "transfer_group",
        "use_stripe_sdk",
    )
    return {name: value or None for name, value in told.items() if value is not None}


def _chosen(ask: Ask) -> Callable[[Any], stripe_records.FacadeMethod | None]:
    """Return what finds, or makes, the method that a request names."""
    named, data = ask.params.text("payment_method"), ask.params.inner("payment_method_data")
    make = None if data is None else method_of_data(ask, data)

    def find(desk: Any) -> stripe_records.FacadeMethod | None:
        if named:
            found: stripe_records.FacadeMethod = desk.named_method(named, ask.id("method"))
            return found
        return None if make is None else make(desk, ask.id("method"))

    return find


@router.post(
    "/payment_intents",
    **describes(_INTENT, fields="amount=2000&currency=cny", pays=True, writes=True),
)
def create_intent(ask: Pays) -> Response:
    """Make a payment, and with `confirm` try to pay it at once."""
    params = ask.params
    amount = params.number("amount", least=-(10**15), most=10**15)
    if amount is None:
        raise params.wrong("amount", "it is missing")
    currency = params.needed("currency", most=3).upper()
    is_manual = params.choice("capture_method", ("automatic", "automatic_async", "manual"))
    is_confirmed, is_off = params.flag("confirm"), params.flag("off_session")
    customer = params.text("customer")
    return_url, metadata = params.text("return_url"), params.metadata() or {}
    details, find = _kept(ask), _chosen(ask)
    id = ask.id("order")

    def make(desk: Any) -> tuple[orders.Order, stripe_records.FacadeMethod | None]:
        if customer:
            desk.customer(customer)
        made = stripe_payments.create(
            desk,
            stripe_payments.NewIntent(
                id=id,
                app=ask.app,
                amount_minor=amount,
                currency=currency,
                is_manual=is_manual == "manual",
                return_url=return_url,
                metadata={key: value for key, value in metadata.items() if value},
                details={**details, "customer": customer or None},
            ),
        )
        method = find(desk)
        if method is not None:
            stripe_payments.choose(desk, made, method, ask.id("attempt") if is_confirmed else None)
        elif is_confirmed:
            raise params.wrong("payment_method", "it is missing")
        return made, method

    def work() -> None:
        made, method = ask.transact(make)
        if is_confirmed:
            _pay(ask, made, method, is_online=not is_off)

    return _answered(ask, id, work)


def _answered(ask: Ask, id: UUID, work: Callable[[], None]) -> Response:
    return ask.write(
        work,
        lambda reader: reader.one(_INTENT, id, param="intent"),
        fails=lambda shown: declined(shown, ask.request_id) if _is_tried(ask, shown) else None,
    )


def _is_tried(ask: Ask, shown: dict[str, Any]) -> bool:
    """Whether what is shown became of this very request."""
    latest = shown.get("latest_charge")
    latest = latest["id"] if isinstance(latest, dict) else latest
    return latest == stripe_ids.to_id("charge", ask.id("attempt"))


def _pay(
    ask: Ask,
    order: orders.Order,
    method: stripe_records.FacadeMethod | None,
    *,
    is_online: bool,
) -> None:
    if method is None:
        raise ask.params.wrong("payment_method", "it is missing")
    how = stripe_payments.how_to_pay(
        order, method, ask.id("attempt"), is_online=is_online, ip=ask.ip
    )
    ask.platform.paying.pay(order.id, how, merchant=ask.owner.merchant, actor=ask.caller.actor)


@router.get("/payment_intents", **describes("list"))
def list_intents(ask: Reads) -> Response:
    """List payments, the newest first."""
    customer = ask.params.text("customer")
    whose = stripe_ids.from_id("customer", customer, param="customer") if customer else None
    wanted = ask.wanted(_INTENT, customer=whose)
    return ask.read(lambda reader: reader.page(_INTENT, wanted, "/v1/payment_intents"))


@router.get("/payment_intents/{intent}", **describes(_INTENT))
def read_intent(intent: IntentId, ask: Reads) -> Response:
    """Show a payment."""
    ask.params.ignore("client_secret")
    id = stripe_ids.from_id(_INTENT, intent, param="intent")
    return ask.read(lambda reader: reader.one(_INTENT, id, param="intent"))


@router.post(
    "/payment_intents/{intent}",
    **describes(_INTENT, fields="description=tea", writes=True),
)
def change_intent(intent: IntentId, ask: Pays) -> Response:
    """Change what is kept with a payment; its amount, currency and customer stay as they are."""
    id = stripe_ids.from_id(_INTENT, intent, param="intent")
    details, metadata, find = _kept(ask), ask.params.metadata(), _chosen(ask)

    def change(desk: Any) -> None:
        stripe_payments.change(desk, id, metadata, details)
        method = find(desk)
        if method is not None:
            stripe_payments.choose(desk, desk.reader.order(id), method)

    return ask.write(
        lambda: ask.transact(change), lambda reader: reader.one(_INTENT, id, param="intent")
    )


@router.post(
    "/payment_intents/{intent}/confirm",
    **describes(_INTENT, fields="payment_method=pm_card_visa", pays=True, writes=True),
)
def confirm_intent(intent: IntentId, ask: Pays) -> Response:
    """Try to pay a payment; the routing chooses the channel."""
    id = stripe_ids.from_id(_INTENT, intent, param="intent")
    details, find, is_off = _kept(ask), _chosen(ask), ask.params.flag("off_session")
    ask.params.ignore("return_url", "client_secret", "capture_method")

    def prepare(desk: Any) -> tuple[orders.Order, stripe_records.FacadeMethod | None]:
        order = desk.reader.order(id)
        method = find(desk)
        if method is None:
            named = desk.reader.note(stripe_ids.to_id(_INTENT, id)).details.get("payment_method")
            method = desk.reader.method(UUID(named)) if named else None
        if method is not None:
            stripe_payments.choose(desk, order, method, ask.id("attempt"))
        if details:
            stripe_payments.change(desk, id, None, details)
        return order, method

    def work() -> None:
        order, method = ask.transact(prepare)
        _pay(ask, order, method, is_online=not is_off)

    return _answered(ask, id, work)


@router.post(
    "/payment_intents/{intent}/capture",
    **describes(_INTENT, fields="amount_to_capture=1000", writes=True),
)
def capture_intent(intent: IntentId, ask: Pays) -> Response:
    """Take money that was set aside; by default nothing is taken after it."""
    id = stripe_ids.from_id(_INTENT, intent, param="intent")
    amount = ask.params.number("amount_to_capture", least=1, most=10**15)
    is_last = ask.params.flag("final_capture")
    metadata = ask.params.metadata()
    ask.params.ignore("statement_descriptor", "statement_descriptor_suffix")

    def work() -> None:
        capturing.capture(
            ask.platform.database,
            ask.platform.channels,
            _mine(ask, id),
            request=ask.id("capture"),
            amount_minor=amount,
            is_last=is_last is not False,
            merchant=ask.owner.merchant,
            actor=ask.caller.actor,
        )
        if metadata is not None:
            ask.transact(lambda desk: stripe_payments.change(desk, id, metadata, {}))

    return ask.write(work, lambda reader: reader.one(_INTENT, id, param="intent"))


@router.post(
    "/payment_intents/{intent}/cancel",
    **describes(_INTENT, fields="cancellation_reason=abandoned", writes=True),
)
def cancel_intent(intent: IntentId, ask: Pays) -> Response:
    """End a payment that is not paid; with an attempt under way its channel has the last word."""
    id = stripe_ids.from_id(_INTENT, intent, param="intent")
    reason = ask.params.choice("cancellation_reason", _CANCELLATIONS)

    merchant, actor, mark = ask.owner.merchant, ask.caller.actor, ask.id("cancel").hex
    database, channels = ask.platform.database, ask.platform.channels

    def noted(desk: Any) -> None:
        at = stripe_objects.seconds(desk.unit.now)
        told = {"cancellation_reason": reason, "canceled_at": at, "cancelled_by": mark}
        stripe_payments.change(desk, id, None, told)

    def end(desk: Any) -> None:
        order = desk.reader.order(id)
        by = desk.reader.note(stripe_ids.to_id(_INTENT, id)).details.get("cancelled_by")
        if order.state is orders.OrderState.CANCELLED and by == mark:
            return
        orders.cancel(desk.unit, id, merchant=merchant)
        noted(desk)

    def work() -> None:
        with database.reading() as connection:
            state = ask.reader(connection).order(id).state
        if state is not orders.OrderState.AUTHORIZED:
            ask.transact(end)
            return
        request = ask.id("void")
        capturing.void(database, channels, id, request=request, merchant=merchant, actor=actor)
        ask.transact(noted)

    return ask.write(work, lambda reader: reader.one(_INTENT, id, param="intent"))


def _mine(ask: Ask, id: UUID) -> UUID:
    """Return the id of a payment of this merchant and mode, or refuse."""
    with ask.platform.database.reading() as connection:
        return ask.reader(connection).order(id).id


@router.get("/charges", **describes("list"))
def list_charges(ask: Reads) -> Response:
    """List attempts to pay, the newest first."""
    intent, customer = ask.params.text("payment_intent"), ask.params.text("customer")
    of = stripe_ids.from_id(_INTENT, intent, param="payment_intent") if intent else None
    whose = stripe_ids.from_id("customer", customer, param="customer") if customer else None
    wanted = ask.wanted("charge", order_id=of, customer=whose)
    return ask.read(lambda reader: reader.page("charge", wanted, "/v1/charges"))


@router.get("/charges/{charge}", **describes("charge"))
def read_charge(charge: ChargeId, ask: Reads) -> Response:
    """Show an attempt to pay."""
    id = stripe_ids.from_id("charge", charge)
    return ask.read(lambda reader: reader.one("charge", id))


@router.post(
    "/refunds", **describes("refund", fields="payment_intent=pi_...&amount=500", writes=True)
)
def create_refund(ask: Refunds) -> Response:
    """Give money back: all that is left of a payment, or a part."""
    params = ask.params
    intent, charge = params.text("payment_intent"), params.text("charge")
    if not intent and not charge:
        raise params.wrong("payment_intent", "it is missing")
    amount = params.number("amount", least=-(10**15), most=10**15)
    reason = params.choice("reason", stripe_objects.REASONS)
    metadata = params.metadata() or {}
    params.ignore("instructions_email")
    id = ask.id("refund")

    def ask_for(desk: Any) -> None:
        if intent:
            of = stripe_ids.from_id(_INTENT, intent, param="payment_intent")
            desk.reader.order(of, param="payment_intent")
        else:
            of = desk.reader.order_of_charge(
                stripe_ids.from_id("charge", charge or "", param="charge")
            )
        new = refunds.NewRefund(
            id=id,
            order=of,
            refund_no=stripe_ids.to_id("refund", id),
            amount_minor=amount,
            reason=reason or "",
            metadata=metadata,
        )
        (asked,) = refunds.ask(
            desk.unit, [new], desk=ask.platform.channels, merchant=ask.owner.merchant
        )
        if isinstance(asked, Refusal):
            raise asked

    def work() -> None:
        ask.transact(ask_for)
        refunds.send(ask.platform.database, ask.platform.channels, [id], actor=ask.caller.actor)

    return ask.write(work, lambda reader: reader.one("refund", id))


@router.get("/refunds", **describes("list"))
def list_refunds(ask: Reads) -> Response:
    """List refunds, the newest first."""
    intent, charge = ask.params.text("payment_intent"), ask.params.text("charge")
    of = stripe_ids.from_id(_INTENT, intent, param="payment_intent") if intent else None
    by = stripe_ids.from_id("charge", charge, param="charge") if charge else None
    wanted = ask.wanted("refund", order_id=of, attempt=by)
    return ask.read(lambda reader: reader.page("refund", wanted, "/v1/refunds"))


@router.get("/refunds/{refund}", **describes("refund"))
def read_refund(refund: RefundId, ask: Reads) -> Response:
    """Show a refund."""
    id = stripe_ids.from_id("refund", refund)
    return ask.read(lambda reader: reader.one("refund", id))


@router.post("/refunds/{refund}", **describes("refund", fields="metadata[order]=7", writes=True))
def change_refund(refund: RefundId, ask: Refunds) -> Response:
    """Change what is kept with a refund."""
    id = stripe_ids.from_id("refund", refund)
    metadata = ask.params.metadata()

    def change(desk: Any) -> None:
        own = desk.reader.one("refund", id)["metadata"]
        stripe_payments.keep(desk, refund, own, metadata)

    return ask.write(lambda: ask.transact(change), lambda reader: reader.one("refund", id))


@router.post("/refunds/{refund}/cancel", **describes("refund", writes=True))
def cancel_refund(refund: RefundId, ask: Refunds) -> Response:
    """Take a refund back before it is sent."""
    id = stripe_ids.from_id("refund", refund)

    def withdraw(desk: Any) -> None:
        if desk.reader.one("refund", id)["status"] != "canceled":
            refunds.withdraw(desk.unit, id, merchant=ask.owner.merchant)

    return ask.write(lambda: ask.transact(withdraw), lambda reader: reader.one("refund", id))
