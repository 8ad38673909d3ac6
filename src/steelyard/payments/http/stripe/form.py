"""What is described of routes whose bodies are forms and whose errors are Stripe's."""

from __future__ import annotations

from typing import Any, Final

_ERROR: Final = {
    "type": "object",
    "title": "StripeError",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {
                    "enum": [
                        "api_error",
                        "card_error",
                        "idempotency_error",
                        "invalid_request_error",
                    ]
                },
                "code": {"type": "string"},
                "decline_code": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": "string"},
                "request_log_url": {"type": "string"},
                "payment_intent": {"type": "object"},
            },
        }
    },
}


def _answer(description: str, error: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ERROR, "example": {"error": error}}},
    }


_WRONG: Final = _answer(
    "The request is wrong, or the state of things is against it. 请求有误或状态不允许。",
    {"type": "invalid_request_error", "code": "parameter_missing", "message": "...", "param": "x"},
)
_NOBODY: Final = _answer(
    "The key is not valid. 密钥无效。", {"type": "invalid_request_error", "message": "..."}
)
_FORBIDDEN: Final = _answer(
    "The key may not do this. 无此权限。", {"type": "invalid_request_error", "message": "..."}
)
_MISSING: Final = _answer(
    "Nothing has the id. 对象不存在。",
    {"type": "invalid_request_error", "code": "resource_missing", "message": "...", "param": "id"},
)
_DECLINED: Final = _answer(
    "The payment was declined. 支付被拒绝。",
    {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Your card was declined.",
    },
)
_IN_FLIGHT: Final = _answer(
    "The same key is at work. 同一幂等键的请求正在处理。",
    {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "..."},
)


def describes(object: str, *, fields: str = "", pays: bool = False, writes: bool = False) -> Any:
    """Return what a route adds to the description: `**describes("refund", fields="a=1")`.

    Parameters
    ----------
    fields : example of a form body
    pays : whether it may be declined
    """
    responses: dict[int | str, Any] = {
        200: {
            "description": f"The {object}. 对象 {object}。",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "title": "StripeObject"},
                    "example": {"object": object},
                }
            },
        },
        400: _WRONG,
        401: _NOBODY,
        403: _FORBIDDEN,
        404: _MISSING,
    }
    if pays:
        responses[402] = _DECLINED
    if writes:
        responses[409] = _IN_FLIGHT
    extra: dict[str, Any] = {"security": [{"bearer": []}]}
    if writes:
        extra["requestBody"] = {
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {"type": "object", "additionalProperties": True},
                    "example": dict(pair.split("=") for pair in fields.split("&") if pair),
                }
            }
        }
    return {"responses": responses, "openapi_extra": extra}
