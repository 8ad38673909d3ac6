"""Refusals in the form of Stripe's errors, so that its clients raise what they should."""

from __future__ import annotations

from typing import Any, Final

from steelyard.base.http import STATUS
from steelyard.kernel import Refusal, RefusalKind

Json = dict[str, Any]

_STATE: Final = "payment_intent_unexpected_state"
_CODES: Final = {
    "payment_is_paid": _STATE,
    "payment_is_over": _STATE,
    "payment_is_under_way": _STATE,
    "payment_state_forbids": _STATE,
    "payment_is_not_authorized": _STATE,
    "capture_is_under_way": "lock_timeout",
    "capture_exceeds_authorization": "amount_too_large",
    "merchant_balance_is_short": "balance_insufficient",
    "payments_are_busy": "rate_limit",
    "request_is_in_flight": "idempotency_key_in_use",
}
_PARAMS: Final = {
    "payment_amount_is_out_of_range": "amount",
    "currency_is_not_taken": "currency",
    "unknown_currency": "currency",
    "refund_exceeds_payment": "amount",
    "refund_is_not_whole": "amount",
    "capture_exceeds_authorization": "amount_to_capture",
    "method_is_not_taken": "payment_method",
    "channel_cannot": "payment_method",
    "webhook_endpoint_is_malformed": "url",
    "webhook_address_is_forbidden": "url",
    "card_numbers_are_not_taken": "card",
    "payment_is_unknown": "intent",
}
_KEYS: Final = ("request_is_in_flight", "idempotency_key_was_used")
_STATUS: Final = {
    RefusalKind.INVALID: 400,
    RefusalKind.CONFLICT: 400,
    RefusalKind.TOO_LARGE: 400,
}


def error_of(refusal: Refusal, language: str, request_id: str) -> tuple[int, Json]:
    """Return status and error object of a refusal.

    A refusal that Stripe has no code for keeps our own.
    """
    code = refusal.code
    status = _STATUS.get(refusal.kind, STATUS[refusal.kind])
    kind = "invalid_request_error"
    if code in _KEYS:
        kind, status = "idempotency_error", 409 if code == "request_is_in_flight" else 400
    elif status >= 500:
        kind = "api_error"
    told, param = _told(refusal)
    if refusal.kind is RefusalKind.NOT_FOUND and param not in (None, "id", "intent"):
        # What a parameter names is missing; the address itself is there.
        status = 400
    error = {
        "type": kind,
        "code": told,
        "decline_code": None,
        "message": refusal.sentence(language),
        "param": param,
        "request_log_url": f"/requests/{request_id}",
    }
    return status, {"error": {name: value for name, value in error.items() if value is not None}}


def _told(refusal: Refusal) -> tuple[str, str | None]:
    """Return code and parameter of a refusal."""
    code, facts = refusal.code, refusal.facts
    param = facts.get("param") or _PARAMS.get(code)
    named = None if param is None else str(param)
    if code == "facade_parameter_is_wrong":
        words = {
            "it is missing": "parameter_missing",
            "there is no such parameter": "parameter_unknown",
            "it has to be a whole number": "parameter_invalid_integer",
        }
        return words.get(str(facts.get("what")), "parameter_invalid"), named
    if code == "facade_state_forbids":
        return f"{facts.get('noun')}_unexpected_state", named
    if code == "payment_amount_is_out_of_range":
        amount, least = facts.get("amount_minor"), facts.get("least_minor")
        is_small = isinstance(amount, int) and isinstance(least, int) and amount < least
        return "amount_too_small" if is_small else "amount_too_large", named
    if code == "refund_exceeds_payment":
        is_all = not facts.get("refundable_minor")
        return ("charge_already_refunded", None) if is_all else ("amount_too_large", named)
    if refusal.kind is RefusalKind.NOT_FOUND:
        return "resource_missing", named or "id"
    return _CODES.get(code, code), named


def declined(intent: Json, request_id: str) -> Json | None:
    """Return the error of a payment whose attempt was declined, None where it was not."""
    error = intent.get("last_payment_error")
    if error is None:
        return None
    return {
        "error": {
            **error,
            "payment_intent": intent,
            "request_log_url": f"/requests/{request_id}",
        }
    }
