"""Objects of the Stripe-compatible API, written from values of the core; pure.

Ids stand where an object may be expanded; a route puts the object in their place when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, Final

from steelyard.payments.model.attempts import Attempt, AttemptState
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.disputes import Dispute, DisputeState, Money
from steelyard.payments.model.orders import Capture, Mode, Order, OrderState
from steelyard.payments.model.refunds import Refund, RefundState
from steelyard.payments.model.settlement import Settlement, SettlementState
from steelyard.payments.model.stripe_cards import DECLINES
from steelyard.payments.model.stripe_ids import client_secret, to_id
from steelyard.payments.model.stripe_records import (
    FacadeCustomer,
    FacadeMethod,
    FacadeNote,
    FacadeSetup,
)

Json = dict[str, Any]

TYPES: Final = {Method.CARD: "card", Method.QUICK_PAY: "card", Method.WALLET: "alipay"}
_ENDED: Final = {
    OrderState.FAILED: "automatic",
    OrderState.EXPIRED: "expired",
    OrderState.CANCELLED: "requested_by_customer",
}
_REFUND: Final = {
    RefundState.SUCCEEDED: "succeeded",
    RefundState.FAILED: "failed",
    RefundState.CLOSED: "canceled",
    RefundState.ABNORMAL: "requires_action",
    RefundState.RETURNED: "requires_action",
}
_DISPUTE: Final = {
    DisputeState.INQUIRY: "warning_needs_response",
    DisputeState.OPENED: "needs_response",
    DisputeState.EVIDENCE_DUE: "needs_response",
    DisputeState.SUBMITTED: "under_review",
    DisputeState.PRE_ARBITRATION: "needs_response",
    DisputeState.ARBITRATION: "under_review",
    DisputeState.WON: "won",
    DisputeState.LOST: "lost",
    DisputeState.ACCEPTED: "lost",
    DisputeState.EXPIRED: "under_review",
}
PAYOUTS: Final = {
    SettlementState.PAYING: "in_transit",
    SettlementState.PAY_UNKNOWN: "in_transit",
    SettlementState.REISSUED: "in_transit",
    SettlementState.PAID: "paid",
    SettlementState.PAY_FAILED: "failed",
    SettlementState.RETURNED: "failed",
    SettlementState.RELEASED: "canceled",
}
"""Settlements that are payouts outside, and how they stand there; the others are none."""


def seconds(at: datetime) -> int:
    """Return an instant as clients of the API have it."""
    return int(at.timestamp())


def status_of(order: Order, *, has_method: bool) -> str:
    """Return how a payment stands, in the words of the API.

    What ends and may still bring money is `processing`: nothing is told to be over before it is.

    Examples
    --------
    >>> from steelyard.payments.model.examples import an_order
    >>> status_of(an_order(state=OrderState.CREATED), has_method=True)
    'requires_confirmation'
    """
    state = order.state
    if state is OrderState.CREATED:
        return "requires_confirmation" if has_method else "requires_payment_method"
    if state in _ENDED:
        return "canceled"
    return {
        OrderState.OPEN: "requires_payment_method",
        OrderState.REQUIRES_ACTION: "requires_action",
        OrderState.PROCESSING: "processing",
        OrderState.EXPIRING: "processing",
        OrderState.AUTHORIZED: "requires_capture",
        OrderState.PARTIALLY_CAPTURED: "succeeded",
        OrderState.SUCCEEDED: "succeeded",
    }[state]


def decline_of(attempt: Attempt) -> tuple[str, str]:
    """Return code and decline code of an attempt that did not go through."""
    return DECLINES[attempt.decline or Decline.OTHER]


def payment_error(attempt: Attempt, method: Json | None) -> Json:
    """Return what is told of an attempt that was declined."""
    code, decline = decline_of(attempt)
    return {
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "message": _MESSAGES.get(code, _MESSAGES["card_declined"]),
        "charge": to_id("charge", attempt.id),
        "payment_method": method,
    }


_MESSAGES: Final = {
    "card_declined": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_number": "Your card number is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "payment_intent_payment_attempt_failed": "The payment was not completed.",
    "payment_intent_payment_attempt_expired": "The payment was not completed in time.",
}


def next_action(order: Order, attempt: Attempt | None) -> Json | None:
    """Return what the payer has to do, where he has to do something."""
    if order.state is not OrderState.REQUIRES_ACTION or attempt is None or not attempt.action:
        return None
    told = dict(attempt.action)
    kind = told.get("kind", "")
    if kind == "redirect":
        return {
            "type": "redirect_to_url",
            "redirect_to_url": {"url": told.get("url"), "return_url": order.return_url},
        }
    if kind == "qr":
        shown = {"data": told.get("url") or told.get("code"), "hosted_instructions_url": None}
        return {"type": "wechat_pay_display_qr_code", "wechat_pay_display_qr_code": shown}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": kind, **told}}


def payment_intent(
    order: Order, attempts: Sequence[Attempt], note: FacadeNote, method: FacadeMethod | None
) -> Json:
    """Return a payment.

    Parameters
    ----------
    attempts : in their order
    method : what it is paid with, or is to be
    """
    last = attempts[-1] if attempts else None
    details = note.details
    error = None
    if last is not None and last.state is AttemptState.DECLINED and not order.state.is_paid:
        error = payment_error(last, None if method is None else payment_method(method))
    is_over = order.state in _ENDED
    waits = order.state in (OrderState.CREATED, OrderState.OPEN)
    shown = None if error or method is None or method.is_detached else method
    kind = TYPES.get(last.method) if last is not None else None
    return {
        "id": to_id("payment_intent", order.id),
        "object": "payment_intent",
        "amount": order.amount_minor,
        "amount_capturable": max(0, order.authorized_minor - order.captured_minor)
        if order.state is OrderState.AUTHORIZED
        else 0,
        "amount_details": {"tip": {}},
        "amount_received": order.captured_minor,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None if not is_over else details.get("canceled_at"),
        "cancellation_reason": (details.get("cancellation_reason") or _ENDED.get(order.state))
        if is_over
        else None,
        "capture_method": "manual" if order.capture is Capture.MANUAL else "automatic",
        "client_secret": client_secret("payment_intent", order.id, order.merchant),
        "confirmation_method": "automatic",
        "created": seconds(order.created_at),
        "currency": order.currency.lower(),
        "customer": details.get("customer"),
        "description": details.get("description"),
        "invoice": None,
        "last_payment_error": error if waits or is_over else None,
        "latest_charge": to_id("charge", last.id) if last is not None else None,
        "livemode": order.mode is Mode.LIVE,
        "metadata": dict(order.metadata if note.metadata is None else note.metadata),
        "next_action": next_action(order, last),
        "on_behalf_of": None,
        "payment_method": None if shown is None else to_id("payment_method", shown.id),
        "payment_method_options": {},
        "payment_method_types": [kind or (method.type if method else "card")],
        "processing": None,
        "receipt_email": details.get("receipt_email"),
        "review": None,
        "setup_future_usage": details.get("setup_future_usage"),
        "shipping": None,
        "source": None,
        "statement_descriptor": details.get("statement_descriptor"),
        "statement_descriptor_suffix": None,
        "status": status_of(order, has_method=shown is not None),
        "transfer_data": None,
        "transfer_group": None,
    }


_CHARGED: Final = frozenset(
    {AttemptState.SUCCEEDED, AttemptState.AUTHORIZED, AttemptState.REVERSED}
)
_FAILED: Final = frozenset({AttemptState.DECLINED, AttemptState.CLOSED})


def charge(
    order: Order, attempt: Attempt, note: FacadeNote, method: FacadeMethod | None = None
) -> Json:
    """Return an attempt to pay."""
    status = "pending"
    if attempt.state in _CHARGED:
        status = "succeeded"
    elif attempt.state in _FAILED:
        status = "failed"
    is_paying = order.paid_by == attempt.id
    captured = order.captured_minor if is_paying else 0
    refunded = order.refunded_minor + order.refund_reserved_minor if is_paying else 0
    failure = decline_of(attempt) if status == "failed" else (None, None)
    return {
        "id": to_id("charge", attempt.id),
        "object": "charge",
        "amount": attempt.amount_minor,
        "amount_captured": captured,
        "amount_refunded": refunded,
        "application": None,
        "balance_transaction": balance_id("charge", attempt.id.hex) if captured else None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "captured": captured > 0,
        "created": seconds(attempt.sent_at),
        "currency": attempt.currency.lower(),
        "customer": note.details.get("customer"),
        "description": note.details.get("description"),
        "disputed": is_paying and order.disputed_minor > 0,
        "failure_balance_transaction": None,
        "failure_code": failure[0],
        "failure_message": _MESSAGES.get(failure[0] or ""),
        "fraud_details": {},
        "livemode": order.mode is Mode.LIVE,
        "metadata": dict(order.metadata if note.metadata is None else note.metadata),
        "outcome": {
            "network_status": "approved_by_network" if not failure[0] else "declined_by_network",
            "reason": failure[1],
            "type": "authorized" if not failure[0] else "issuer_declined",
        },
        "paid": status == "succeeded",
        "payment_intent": to_id("payment_intent", order.id),
        "payment_method": None if method is None else to_id("payment_method", method.id),
        "payment_method_details": None if method is None else _details_of(method),
        "receipt_email": note.details.get("receipt_email"),
        "receipt_url": None,
        "refunded": captured > 0 and refunded >= captured,
        "review": None,
        "status": status,
    }


def _details_of(method: FacadeMethod) -> Json:
    if method.type != "card":
        return {"type": method.type, method.type: {}}
    return {"type": "card", "card": _card(method)}


def _card(method: FacadeMethod) -> Json:
    return {
        "brand": method.brand,
        "country": method.country,
        "display_brand": method.brand,
        "exp_month": method.exp_month,
        "exp_year": method.exp_year,
        "fingerprint": method.fingerprint,
        "funding": method.funding,
        "last4": method.last4,
        "checks": {"address_line1_check": None, "cvc_check": None},
        "wallet": None,
    }


def payment_method(method: FacadeMethod) -> Json:
    """Return what a payer pays with."""
    return {
        "id": to_id("payment_method", method.id),
        "object": "payment_method",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "created": seconds(method.created_at),
        "customer": None
        if method.customer is None or method.is_detached
        else to_id("customer", method.customer),
        "livemode": method.mode is Mode.LIVE,
        "metadata": dict(method.metadata),
        "type": method.type,
        method.type: _card(method) if method.type == "card" else {},
    }


_PERSONAL: Final = ("address", "description", "email", "name", "phone", "shipping")


def customer(found: FacadeCustomer) -> Json:
    """Return a customer, or that he was deleted."""
    id = to_id("customer", found.id)
    if found.is_deleted:
        return {"id": id, "object": "customer", "deleted": True}
    return {
        "id": id,
        "object": "customer",
        **{name: found.personal.get(name) for name in _PERSONAL},
        "balance": 0,
        "created": seconds(found.created_at),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "discount": None,
        "invoice_prefix": None,
        "invoice_settings": {
            "default_payment_method": None
            if found.default_method is None
            else to_id("payment_method", found.default_method)
        },
        "livemode": found.mode is Mode.LIVE,
        "metadata": dict(found.metadata),
        "preferred_locales": [],
        "tax_exempt": "none",
    }


def setup_intent(found: FacadeSetup) -> Json:
    """Return a set-up."""
    return {
        "id": to_id("setup_intent", found.id),
        "object": "setup_intent",
        "application": None,
        "cancellation_reason": found.cancellation_reason,
        "client_secret": client_secret("setup_intent", found.id, found.merchant),
        "created": seconds(found.created_at),
        "customer": None if found.customer is None else to_id("customer", found.customer),
        "description": found.description,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": found.mode is Mode.LIVE,
        "mandate": None,
        "metadata": dict(found.metadata),
        "next_action": None,
        "payment_method": None if found.method is None else to_id("payment_method", found.method),
        "payment_method_types": ["card"],
        "status": found.state,
        "usage": found.usage,
    }


def refund(found: Refund, note: FacadeNote) -> Json:
    """Return a refund."""
    reason = found.reason if found.reason in REASONS else None
    return {
        "id": to_id("refund", found.id),
        "object": "refund",
        "amount": found.amount_minor,
        "balance_transaction": balance_id("refund", found.id.hex),
        "charge": to_id("charge", found.attempt),
        "created": seconds(found.asked_at),
        "currency": found.currency.lower(),
        "destination_details": {"type": "card", "card": {"reference": found.reference}},
        "failure_reason": None if found.decline is None else "unknown",
        "metadata": dict(found.metadata if note.metadata is None else note.metadata),
        "payment_intent": to_id("payment_intent", found.order),
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": _REFUND.get(found.state, "pending"),
        "transfer_reversal": None,
    }


REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")


def dispute(found: Dispute, note: FacadeNote, evidence: Mapping[str, str]) -> Json:
    """Return a dispute.

    Parameters
    ----------
    evidence : what the merchant said, by the names of the API
    """
    due = None if found.due_at is None else seconds(found.due_at)
    taken = [] if found.money is Money.NONE else [balance_id("dispute", found.id.hex)]
    return {
        "id": to_id("dispute", found.id),
        "object": "dispute",
        "amount": found.amount_minor,
        "balance_transactions": taken,
        "charge": to_id("charge", found.attempt),
        "created": seconds(found.opened_at),
        "currency": found.currency.lower(),
        "enhanced_eligibility_types": [],
        "evidence": dict(evidence),
        "evidence_details": {
            "due_by": due,
            "has_evidence": bool(evidence),
            "past_due": found.state is DisputeState.EXPIRED,
            "submission_count": int(found.submitted_at is not None),
        },
        "is_charge_refundable": found.state is DisputeState.INQUIRY,
        "livemode": found.mode is Mode.LIVE,
        "metadata": dict(note.metadata or {}),
        "payment_intent": to_id("payment_intent", found.order),
        "reason": found.reason or "general",
        "status": _DISPUTE[found.state],
    }


def payout(found: Settlement, note: FacadeNote) -> Json:
    """Return a settlement that is or was paid."""
    id = to_id("payout", found.id)
    return {
        "id": id,
        "object": "payout",
        "amount": found.payable.amount_minor,
        "arrival_date": seconds(datetime.combine(found.on, time(0), UTC)),
        "automatic": True,
        "balance_transaction": balance_id("payout", found.id.hex),
        "created": seconds(found.calculated_at),
        "currency": found.currency.lower(),
        "description": None,
        "destination": None,
        "failure_code": "could_not_process" if PAYOUTS.get(found.state) == "failed" else None,
        "livemode": found.mode is Mode.LIVE,
        "metadata": dict(note.metadata or {}),
        "method": "standard",
        "reconciliation_status": "completed",
        "source_type": "card",
        "statement_descriptor": None,
        "status": PAYOUTS[found.state],
        "type": "bank_account",
    }


_BALANCE: Final = {"charge": "ch", "refund": "re", "dispute": "dp", "payout": "po"}


def balance_id(noun: str, hex: str) -> str:
    """Return the id of what an object does to a merchant's balance."""
    return f"txn_{_BALANCE[noun]}{hex}"


def balance_of(text: str) -> tuple[str, str] | None:
    """Return noun and hex digits of the object behind a balance transaction's id.

    Examples
    --------
    >>> balance_of(balance_id("refund", "07"))
    ('refund', '07')
    """
    for noun, prefix in _BALANCE.items():
        if text.startswith(f"txn_{prefix}"):
            return noun, text[4 + len(prefix) :]
    return None


def listed(url: str, items: Sequence[Json], *, has_more: bool) -> Json:
    """Return a page."""
    return {"object": "list", "url": url, "has_more": has_more, "data": list(items)}
