"""The cashier: what a payer sees of an order under an address that only he was given.

The address (a capability URL) is the whole right: whoever has it may pay the order and sees nothing
of anybody. It is one for an order, cannot be guessed, and is kept as a hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.payments.model.bindings import BindingState
from steelyard.payments.model.cashier import (
    SHOWS_AFTER,
    SIGNED_IN,
    CashierPageIsUnknown,
    CashierView,
    MethodWantsSignIn,
    Offer,
    PageState,
    Why,
    page_state,
    poll_after,
    ranked,
    told_decline,
    why_of,
)
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.checks import whose
from steelyard.payments.model.limits import Spending
from steelyard.payments.model.orders import Order
from steelyard.payments.model.refusals import PaymentIsOver, PaymentIsPaid, PaymentIsUnknown
from steelyard.payments.model.routing import explain
from steelyard.payments.model.routing_book import Book
from steelyard.payments.model.routing_rules import RoutingRequest
from steelyard.payments.service import institution, limits
from steelyard.payments.service.bindings import pay_by_token
from steelyard.payments.service.paying import Pay
from steelyard.payments.service.routing_desk import RoutingDesk
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import bindings as bindings_table
from steelyard.payments.store import cashier as table
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import orders as orders_table

__all__ = [
    "CashierPageIsUnknown",
    "CashierView",
    "Decline",
    "MethodWantsSignIn",
    "Offer",
    "PageState",
    "Why",
    "find_order",
    "how_to_pay",
    "offer",
    "open_page",
    "page_state",
    "told_decline",
]

_FIELD: Final = "payments.cashier"


def open_page(
    unit: UnitOfWork, keyring: Keyring, order_id: UUID, *, merchant: UUID | None = None
) -> str:
    """Return the token of an order's page; the same for the same order.

    Refusals
    --------
    payment_is_unknown, payment_is_paid, payment_is_over
    """
    order = orders_table.find(unit.connection, [order_id]).get(order_id)
    if order is None or not whose(order, merchant):
        raise PaymentIsUnknown(payment=order_id)
    if order.paid_by is not None:
        raise PaymentIsPaid(payment=order_id)
    if order.state.is_over or unit.now >= order.expires_at:
        raise PaymentIsOver(payment=order_id, state=order.state.value)
    made = keyring.blind_index(unit.connection, str(order_id), field=_FIELD)
    token = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
    table.insert(unit.connection, _hash(token), order_id, unit.now)
    return token


def find_order(connection: sa.Connection, token: str, now: datetime) -> Order:
    """Return the order of a page.

    Refusals
    --------
    cashier_page_is_unknown : also a day after the order's expiry
    """
    id = table.find(connection, _hash(token))
    if id is None:
        raise CashierPageIsUnknown
    order = orders_table.find(connection, [id])[id]
    if now >= order.expires_at + SHOWS_AFTER:
        raise CashierPageIsUnknown
    return order


def offer(
    connection: sa.Connection, routing: RoutingDesk, order: Order, now: datetime
) -> CashierView:
    """Return what a payer sees of an order, with the ways to pay that are open to him, ranked."""
    state = page_state(order, now)
    tried = attempts_table.of_order(connection, order.id)
    last = tried[-1] if tried else None
    terms = contracts.merchant_terms(connection, [order.merchant])[order.merchant]
    offers: tuple[Offer, ...] = ()
    if state is PageState.OPEN:
        offers = _offers(connection, routing, order, terms.methods, now)
    is_waiting = state is PageState.ACTION and last is not None
    return CashierView(
        merchant_name=terms.name,
        subject=order.subject,
        amount_minor=order.amount_minor,
        currency=order.currency,
        state=state,
        expires_at=order.expires_at,
        offers=offers,
        attempt=None if last is None else last.id,
        action=last.action if is_waiting and last is not None else None,
        declined=told_decline(last),
        poll_after_seconds=poll_after(state, last, now),
        return_url=order.return_url,
    )


def how_to_pay(
    connection: sa.Connection,
    order: Order,
    method: Method,
    *,
    attempt: UUID,
    instrument: str | None = None,
    details: Mapping[str, str] | None = None,
) -> Pay:
    """Return how whoever has the page pays its order.

    A bound card is paid with by a code, whatever the amount: having the page proves nothing.

    Refusals
    --------
    method_wants_sign_in, binding_is_unknown
    """
    if method in SIGNED_IN or method is Method.CORPORATE_BANKING:
        raise MethodWantsSignIn(method=method.value)
    how = Pay(attempt=attempt, method=method, details=dict(details or {}))
    if method is not Method.QUICK_PAY:
        return how
    return pay_by_token(
        connection,
        how,
        replace(order.payer, instrument=instrument),
        amount_minor=order.amount_minor,
        currency=order.currency,
        always_code=True,
    )


def _offers(
    connection: sa.Connection,
    routing: RoutingDesk,
    order: Order,
    taken: tuple[Method, ...],
    now: datetime,
) -> tuple[Offer, ...]:
    book = routing.book(order.mode, now)
    request = RoutingRequest(
        merchant=order.merchant,
        method=Method.SCAN,
        amount_minor=order.amount_minor,
        currency=order.currency,
        scenario=order.scenario.value,
    )
    chances = routing.methods(order.mode, request, now)
    wanted = order.methods or taken
    offers = []
    for method in wanted:
        why = _personal(connection, order, method) or _limited(connection, order, method, now)
        asked = replace(request, method=method)
        if why is None and method not in chances:
            why = why_of(_reasons(book, asked, now))
        cost = _cost(book, asked, now) if why is None else 0.0
        offers.append(Offer(method, why, chances.get(method, 0.0), cost))
    return ranked(offers)


def _personal(connection: sa.Connection, order: Order, method: Method) -> Why | None:
    """Return what a method wants of the payer that this one has not."""
    customer = order.payer.customer
    if method in SIGNED_IN or method is Method.CORPORATE_BANKING:
        return Why.SIGN_IN
    if method is not Method.QUICK_PAY:
        return None
    if customer is None:
        return Why.SIGN_IN
    cards = bindings_table.of_customer(connection, customer)
    has_one = any(one.state is BindingState.ACTIVE for one in cards)
    return None if has_one else Why.NO_CARD


def _limited(connection: sa.Connection, order: Order, method: Method, now: datetime) -> Why | None:
    """Return whether a limit of scenario, customer or merchant leaves no room for the order."""
    spending = Spending(
        attempt=order.id,
        mode=order.mode,
        channel="",
        merchant=order.merchant,
        customer=order.payer.customer,
        scenario=order.scenario,
        method=method,
        amount_minor=order.amount_minor,
        currency=order.currency,
    )
    zone = institution.read_known(connection, order.mode).timezone
    on = now.astimezone(ZoneInfo(zone)).date()
    for line in limits.left(connection, spending, on):
        rule, used = line.rule, line.used
        most, count = rule.most_minor, rule.most_payments
        over = most is not None and used.amount_minor + order.amount_minor > most
        if over or (count is not None and used.payments + 1 > count):
            return Why.LIMIT
    return None


def _reasons(book: Book, request: RoutingRequest, now: datetime) -> list[str]:
    """Return what routing says about the channels that have the method at all."""
    found = explain(book, request, now)
    return [why for code, why in found.items() if request.method in book.lanes[code].methods]


def _cost(book: Book, request: RoutingRequest, now: datetime) -> float:
    """Return what the cheapest open channel of a method costs, per one of the amount."""
    found = explain(book, request, now)
    costs = [
        book.lanes[code].cost_of(request.amount_minor)
        for code, why in found.items()
        if why == "open"
    ]
    return min(costs, default=0.0)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
