"""Payments of the Stripe-compatible API: made and changed here, paid by the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from steelyard.kernel import Refusal
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Capture, NewOrder, Order, OrderState, Payer
from steelyard.payments.model.stripe_forms import merged
from steelyard.payments.model.stripe_ids import to_id
from steelyard.payments.model.stripe_objects import status_of
from steelyard.payments.model.stripe_records import FacadeMethod, FacadeNote
from steelyard.payments.model.stripe_refusals import FacadeParameterIsWrong, FacadeStateForbids
from steelyard.payments.service import orders
from steelyard.payments.service.paying import Pay
from steelyard.payments.service.stripe_customers import Desk
from steelyard.payments.store import stripe_records as table

__all__ = ["LIVES", "NewIntent", "change", "choose", "create", "how_to_pay", "keep", "must_be"]

LIVES: Final = timedelta(days=7)
"""How long a payment waits for its payer; clients of the API expect no end."""
_TRIES: Final = 20
_METHODS: Final = {"card": Method.CARD, "alipay": Method.WALLET, "wechat_pay": Method.WALLET}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIntent:
    """A payment to make.

    Attributes
    ----------
    details : what is kept with it: description, customer ...
    """

    id: UUID
    app: str
    amount_minor: int
    currency: str
    is_manual: bool = False
    return_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def create(desk: Desk, new: NewIntent) -> Order:
    """Create the order of a payment, and keep beside it what the core has no use for.

    Refusals
    --------
    those of `orders.create`
    """
    subject = new.details.get("description") or new.details.get("statement_descriptor")
    customer = new.details.get("customer")
    order = NewOrder(
        id=new.id,
        merchant=desk.owner.merchant,
        app=new.app,
        mode=desk.owner.mode,
        order_no=to_id("payment_intent", new.id),
        amount_minor=new.amount_minor,
        currency=new.currency,
        subject=(subject or to_id("payment_intent", new.id))[:200],
        capture=Capture.MANUAL if new.is_manual else Capture.AUTOMATIC,
        payer=Payer(customer=None if customer is None else UUID(customer.partition("_")[2])),
        expires_at=desk.unit.now + LIVES,
        return_url=new.return_url,
        most_attempts=_TRIES,
        metadata=new.metadata,
    )
    (made,) = orders.create(desk.unit, [order])
    if isinstance(made, Refusal):
        raise made
    about = to_id("payment_intent", new.id)
    if not table.find_notes(desk.unit.connection, [about]):
        note = FacadeNote(about=about, merchant=desk.owner.merchant, details=dict(new.details))
        table.write_note(desk.unit.connection, note)
    return made


def change(
    desk: Desk, id: UUID, metadata: Mapping[str, str] | None, details: Mapping[str, Any]
) -> None:
    """Change what is kept beside a payment; the order itself never changes.

    Refusals
    --------
    facade_object_is_unknown
    """
    order = desk.reader.order(id)
    keep(desk, to_id("payment_intent", id), order.metadata, metadata, details)


def keep(
    desk: Desk,
    about: str,
    own: Mapping[str, str],
    metadata: Mapping[str, str] | None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Keep metadata and details with an object.

    Parameters
    ----------
    own : metadata that the object was made with
    """
    before = desk.reader.note(about)
    stands = own if before.metadata is None else before.metadata
    told = before.metadata if metadata is None else merged(stands, metadata)
    after = replace(before, metadata=told, details={**before.details, **(details or {})})
    table.write_note(desk.unit.connection, after)


def choose(desk: Desk, order: Order, method: FacadeMethod, attempt: UUID | None = None) -> None:
    """Write down what a payment is to be paid with, and which attempt does.

    Refusals
    --------
    facade_parameter_is_wrong : the method is another customer's
    """
    about = to_id("payment_intent", order.id)
    note = desk.reader.note(about)
    customer = note.details.get("customer")
    owner = None if method.customer is None else to_id("customer", method.customer)
    if owner not in (None, customer):
        raise FacadeParameterIsWrong(
            param="payment_method", what="it belongs to a customer; name him in customer"
        )
    details = {"payment_method": method.id.hex}
    if attempt is not None:
        details[f"method_{attempt.hex}"] = method.id.hex
    keep(desk, about, order.metadata, None, details)


def must_be(order: Order, verb: str, *states: OrderState) -> None:
    """Refuse a verb that does not go with the state of an order.

    Refusals
    --------
    facade_state_forbids
    """
    if order.state not in states:
        status = status_of(order, has_method=True)
        raise FacadeStateForbids(noun="payment_intent", status=status, verb=verb)


def how_to_pay(
    order: Order, method: FacadeMethod, attempt: UUID, *, is_online: bool, ip: str | None
) -> Pay:
    """Return how a payment is tried: the routing chooses the channel."""
    details = {} if method.type == "card" else {"wallet": method.type}
    payer = replace(order.payer, instrument=method.token, is_online=is_online, ip=ip)
    return Pay(attempt=attempt, method=_METHODS[method.type], payer=payer, details=details)
