"""Events of the Stripe-compatible API: the same events that merchants are told, written its way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from steelyard.payments.model.channel import Decline
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.stripe_cards import DECLINES
from steelyard.payments.model.stripe_ids import to_id
from steelyard.payments.model.stripe_objects import Json, balance_id, seconds
from steelyard.payments.model.stripe_refusals import FacadeParameterIsWrong
from steelyard.payments.model.webhooks import EVERY, Endpoint, EndpointState, Event, Form
from steelyard.payments.service.webhooks import register_form

__all__ = ["TYPES", "VERSION", "endpoint_object", "event_object", "kinds_of", "types_of"]

VERSION: Final = "2026-10-28.endive"
"""Of the API whose forms are followed here."""
_PAYOUT: Final = {
    "paying": "payout.created",
    "paid": "payout.paid",
    "pay_failed": "payout.failed",
    "returned": "payout.failed",
    "released": "payout.canceled",
}
TYPES: Final[Mapping[str, str]] = {
    "payment.created": "payment_intent.created",
    "payment.requires_action": "payment_intent.requires_action",
    "payment.authorized": "payment_intent.amount_capturable_updated",
    "payment.succeeded": "payment_intent.succeeded",
    "payment.attempt_declined": "payment_intent.payment_failed",
    "payment.failed": "payment_intent.canceled",
    "payment.cancelled": "payment_intent.canceled",
    "payment.expired": "payment_intent.canceled",
    "refund.created": "refund.created",
    "refund.succeeded": "charge.refunded",
    "refund.failed": "refund.failed",
    "refund.closed": "refund.updated",
    "refund.returned": "refund.updated",
    "dispute.opened": "charge.dispute.created",
    "dispute.moved": "charge.dispute.updated",
    "dispute.won": "charge.dispute.closed",
    "dispute.lost": "charge.dispute.closed",
    "settlement.changed": "payout.updated",
    "settlement_account.proposed": "account.external_account.created",
    "settlement_account.verified": "account.external_account.updated",
    "settlement_account.approved": "account.external_account.updated",
    "settlement_account.withdrawn": "account.external_account.deleted",
}
"""By our kinds: the types of the API; a kind that is not named is `account.updated`."""
_OTHER: Final = "account.updated"
_STATUS: Final = {
    "payment.created": "requires_payment_method",
    "payment.requires_action": "requires_action",
    "payment.authorized": "requires_capture",
    "payment.succeeded": "succeeded",
    "payment.attempt_declined": "requires_payment_method",
    "refund.created": "pending",
    "refund.succeeded": "succeeded",
    "refund.failed": "failed",
    "refund.closed": "canceled",
    "refund.returned": "requires_action",
    "dispute.opened": "needs_response",
    "dispute.moved": "under_review",
    "dispute.won": "won",
    "dispute.lost": "lost",
}


def type_of(event: Event) -> str:
    """Return what an event is called outside."""
    if event.kind == "settlement.changed":
        return _PAYOUT.get(str(event.snapshot.get("after")), "payout.updated")
    return TYPES.get(event.kind, _OTHER)


def kinds_of(types: Sequence[str]) -> tuple[str, ...]:
    """Return our kinds of types that an endpoint wants to hear.

    Refusals
    --------
    facade_parameter_is_wrong

    Examples
    --------
    >>> kinds_of(["payment_intent.succeeded", "payout.paid"])
    ('payment.succeeded', 'settlement.changed')
    """
    if EVERY in types:
        return (EVERY,)
    kinds: list[str] = []
    payouts = {*_PAYOUT.values(), "payout.updated"}
    for type in types:
        found = [kind for kind, name in TYPES.items() if name == type]
        if type in payouts:
            found = ["settlement.changed"]
        if not found:
            raise FacadeParameterIsWrong(
                param="enabled_events", what=f"no event is called {type[:60]} here"
            )
        kinds += found
    return tuple(dict.fromkeys(kinds))


def types_of(kinds: Sequence[str]) -> list[str]:
    """Return the types of our kinds."""
    return list(dict.fromkeys(kind if kind == EVERY else TYPES.get(kind, _OTHER) for kind in kinds))


def event_object(event: Event, api_version: str = VERSION) -> Json:
    """Return an event; its object is as the fact told it, and is never looked up anew."""
    return {
        "id": event.name,
        "object": "event",
        "api_version": api_version,
        "created": seconds(event.occurred_at),
        "data": {"object": _object(event)},
        "livemode": event.mode is Mode.LIVE,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": type_of(event),
    }


def write_event(event: Event, api_version: str) -> bytes:
    """Return an event as it is sent: the same bytes in every try."""
    told = event_object(event)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _object(event: Event) -> Json:
    told = event.snapshot
    noun = event.kind.partition(".")[0]
    status = _STATUS.get(event.kind, "canceled")
    common: dict[str, Any] = {
        "livemode": event.mode is Mode.LIVE,
        "created": seconds(event.occurred_at),
        "metadata": dict(told.get("metadata", {})),
    }
    if "currency" in told:
        common["currency"] = str(told["currency"]).lower()
    if event.kind == "refund.succeeded":
        return {**common, **_refunded(told)}
    if noun == "payment":
        return {**common, **_payment(event, status)}
    if noun == "refund":
        return {
            **common,
            "id": to_id("refund", UUID(told["refund"])),
            "object": "refund",
            "amount": told["refund_minor"],
            "status": status,
            "payment_intent": to_id("payment_intent", UUID(told["payment"])),
            "charge": _charge(told),
        }
    if noun == "dispute":
        return {
            **common,
            "id": to_id("dispute", UUID(told["dispute"])),
            "object": "dispute",
            "amount": told["dispute_minor"],
            "status": status,
            "reason": told.get("reason") or "general",
            "payment_intent": to_id("payment_intent", UUID(told["payment"])),
            "charge": _charge(told),
        }
    if noun == "settlement":
        id = UUID(told["settlement"])
        return {
            **common,
            "id": to_id("payout", id),
            "object": "payout",
            "amount": told["amount_minor"],
            "status": type_of(event).partition(".")[2].replace("created", "in_transit"),
            "balance_transaction": balance_id("payout", id.hex),
        }
    return {**common, "id": to_id("account", event.merchant), "object": "account", **told}


def _charge(told: Mapping[str, Any]) -> str | None:
    return to_id("charge", UUID(told["attempt"])) if told.get("attempt") else None


def _payment(event: Event, status: str) -> Json:
    told = event.snapshot
    error = None
    if event.kind == "payment.attempt_declined":
        reason = str(told.get("reason"))
        known = reason in Decline.__members__.values()
        code, decline = DECLINES[Decline(reason) if known else Decline.SUSPECTED_FRAUD]
        error = {"type": "card_error", "code": code, "decline_code": decline}
    return {
        "id": to_id("payment_intent", UUID(told["payment"])),
        "object": "payment_intent",
        "amount": told["amount_minor"],
        "amount_received": told["amount_minor"] if status == "succeeded" else 0,
        "last_payment_error": error,
        "latest_charge": _charge(told),
        "status": status,
    }


def _refunded(told: Mapping[str, Any]) -> Json:
    return {
        "id": _charge(told),
        "object": "charge",
        "amount": told["amount_minor"],
        "payment_intent": to_id("payment_intent", UUID(told["payment"])),
        "status": "succeeded",
        "refunds": {
            "object": "list",
            "has_more": False,
            "data": [
                {
                    "id": to_id("refund", UUID(told["refund"])),
                    "object": "refund",
                    "amount": told["refund_minor"],
                    "status": "succeeded",
                }
            ],
        },
    }


def endpoint_object(endpoint: Endpoint, metadata: Mapping[str, str], description: Any) -> Json:
    """Return an endpoint without its secret."""
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": VERSION,
        "application": None,
        "created": seconds(endpoint.created_at),
        "description": description,
        "enabled_events": types_of(endpoint.kinds),
        "livemode": endpoint.mode is Mode.LIVE,
        "metadata": dict(metadata),
        "status": "enabled" if endpoint.state is EndpointState.ENABLED else "disabled",
        "url": endpoint.url,
    }


register_form(Form.STRIPE, write_event)
