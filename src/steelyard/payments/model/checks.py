"""What an order and an attempt must fulfil, in the order in which it is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from steelyard.kernel import Currency, Refusal
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import NewOrder, Order, OrderState
from steelyard.payments.model.refusals import (
    CurrencyIsNotTaken,
    ExpiryIsOutOfRange,
    MethodIsNotTaken,
    PaymentAmountIsOutOfRange,
    PaymentIsOver,
    PaymentIsPaid,
    PaymentIsUnderWay,
    PaymentMerchantIsNotActive,
    PaymentMerchantIsUnknown,
)

MOST_MINOR: Final = 10**13
"""Of one order, minor units; a hundred billion of a currency with two decimals."""
LIVES: Final = timedelta(minutes=30)
"""How long an order lives that does not say it."""
LONGEST: Final = timedelta(days=30)
SHORTEST: Final = timedelta(minutes=1)


class Terms(Protocol):
    """What a merchant's contract says to an order."""

    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def currencies(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def methods(self) -> tuple[Method, ...]: ...  # noqa: D102


def check_order(new: NewOrder, terms: Terms | None, now: datetime) -> Refusal | None:
    """Return why an order cannot be created, None where it can.

    Refusals
    --------
    payment_merchant_is_unknown, payment_merchant_is_not_active, those of `check_shape`,
    currency_is_not_taken, method_is_not_taken
    """
    if terms is None:
        return PaymentMerchantIsUnknown(merchant=new.merchant)
    if terms.state != "active":
        return PaymentMerchantIsNotActive(merchant=new.merchant, state=terms.state)
    refusal = check_shape(new, now)
    if refusal is not None:
        return refusal
    if new.currency not in terms.currencies:
        return CurrencyIsNotTaken(merchant=new.merchant, currency=new.currency)
    for method in new.methods:
        if method not in terms.methods:
            return MethodIsNotTaken(payment=new.order_no, method=method.value)
    return None


def check_shape(new: NewOrder, now: datetime) -> Refusal | None:
    """Return why no merchant could create an order, None where one could.

    Refusals
    --------
    payment_amount_is_out_of_range, unknown_currency, expiry_is_out_of_range
    """
    if not 0 < new.amount_minor <= MOST_MINOR:
        return PaymentAmountIsOutOfRange(
            amount_minor=new.amount_minor, least_minor=1, most_minor=MOST_MINOR
        )
    try:
        Currency.of(new.currency)
    except Refusal as refusal:
        return refusal
    ends_at = new.expires_at
    if ends_at is not None and not SHORTEST <= ends_at - now <= LONGEST:
        return ExpiryIsOutOfRange(days=LONGEST.days, expires_at=ends_at.isoformat())
    return None


def check_begin(order: Order, method: Method, now: datetime) -> Refusal | None:
    """Return why an attempt cannot begin, None where it can.

    Refusals
    --------
    payment_is_paid, payment_is_over, payment_is_under_way, method_is_not_taken
    """
    if order.paid_by is not None:
        return PaymentIsPaid(payment=order.id)
    if order.state.is_over or order.state is OrderState.EXPIRING:
        return PaymentIsOver(payment=order.id, state=order.state.value)
    if not order.state.takes_attempts:
        return PaymentIsUnderWay(payment=order.id, attempt=order.attempts, state=order.state.value)
    if now >= order.expires_at:
        return PaymentIsOver(payment=order.id, state=OrderState.EXPIRED.value)
    if order.methods and method not in order.methods:
        return MethodIsNotTaken(payment=order.id, method=method.value)
    return None


def same_order(new: NewOrder, found: Order) -> bool:
    """Whether an order that is there is the one that is asked for again."""
    return (new.id, new.merchant, new.order_no, new.amount_minor, new.currency) == (
        found.id,
        found.merchant,
        found.order_no,
        found.amount_minor,
        found.currency,
    )


def whose(order: Order, merchant: UUID | None) -> bool:
    """Whether somebody may see an order: staff sees all, a merchant its own."""
    return merchant is None or order.merchant == merchant
