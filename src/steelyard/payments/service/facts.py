"""The facts of orders and attempts; subject is `payment:<order>`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from steelyard.base import Fact
from steelyard.payments.model.attempts import Attempt
from steelyard.payments.model.orders import Order


class PaymentFact(Fact):
    """What every fact about a payment tells.

    Attributes
    ----------
    payment : id of the order; attempt : id of the attempt that it is about, if one
    card : token of what is paid with
    """

    payment: UUID
    merchant: UUID
    app: str
    mode: str
    order_no: str
    amount_minor: int
    currency: str
    scenario: str
    customer: UUID | None = None
    card: str | None = None
    account: str | None = None
    terminal: str | None = None
    is_online: bool | None = None
    attempt: UUID | None = None
    channel: str | None = None
    method: str | None = None


class OrderCreated(PaymentFact, kind="payments.OrderCreated", version=1):
    """A merchant asks a payer for money."""


class PaymentRequiresAction(PaymentFact, kind="payments.PaymentRequiresAction", version=1):
    """The payer has to do something."""


class PaymentAuthorized(PaymentFact, kind="payments.PaymentAuthorized", version=1):
    """The money is set aside at the payer's bank, and not taken yet."""


class PaymentSucceeded(PaymentFact, kind="payments.PaymentSucceeded", version=1):
    """The money was captured."""


class AttemptDeclined(PaymentFact, kind="payments.AttemptDeclined", version=1):
    """An attempt was declined, by the gate, the channel or the payer's balance."""

    reason: str = "other"


class AttemptUnknown(PaymentFact, kind="payments.AttemptUnknown", version=1):
    """Nobody knows what became of an attempt; its channel is asked."""


class PaymentFailed(PaymentFact, kind="payments.PaymentFailed", version=1):
    """No further attempt is allowed."""


class PaymentCancelled(PaymentFact, kind="payments.PaymentCancelled", version=1):
    """It was ended by the merchant before it was paid, or taken back whole."""


class PaymentExpired(PaymentFact, kind="payments.PaymentExpired", version=1):
    """Its time ended without money, as its channel confirmed."""


class MoneyCameLate(PaymentFact, kind="payments.MoneyCameLate", version=1):
    """Money came after the end, or a second time: it lies in suspense and is given back."""

    why: str = "late"


class IntegrityHeld(PaymentFact, kind="payments.IntegrityHeld", version=1):
    """The channel says another amount or currency than was asked."""

    said_minor: int | None = None
    said_currency: str | None = None


def about(order: Order, attempt: Attempt | None = None, **more: Any) -> dict[str, Any]:
    """Return what a fact tells of an order and one of its attempts."""
    payer = order.payer
    told: dict[str, Any] = {
        "payment": order.id,
        "merchant": order.merchant,
        "app": order.app,
        "mode": order.mode.value,
        "order_no": order.order_no,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "scenario": order.scenario.value,
        "customer": payer.customer,
        "card": payer.instrument,
        "account": payer.account,
        "terminal": payer.terminal,
        "is_online": payer.is_online,
    }
    if attempt is not None:
        told |= {
            "attempt": attempt.id,
            "channel": attempt.channel,
            "method": attempt.method.value,
        }
    return told | more


def subject_of(order: Order) -> str:
    """Return the subject of the facts of an order."""
    return f"payment:{order.id}"
