"""What can be refused about taking the money of an authorization, or letting it go."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class PaymentIsNotAuthorized(Refusal):
    """Nothing is set aside at the payer's bank that could be taken or let go."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is {state}: no money is set aside for it."
    zh = "支付 {payment} 的状态为 {state}，没有已授权的资金。"


class CaptureExceedsAuthorization(Refusal):
    """More is to be taken than is left of what was set aside."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} has {left_minor} left to capture, not {amount_minor}."
    zh = "支付 {payment} 可请款余额为 {left_minor}，不足 {amount_minor}。"


class CaptureIsUnderWay(Refusal):
    """A capture or a release is under way, or nobody knows yet what became of it."""

    kind = RefusalKind.CONFLICT
    en = "The {verb} {capture} of payment {payment} is {state}; wait for its result."
    zh = "支付 {payment} 的 {verb} {capture} 状态为 {state}，请等待结果。"


class CaptureRequestWasUsed(Refusal):
    """The request stands for another capture."""

    kind = RefusalKind.CONFLICT
    en = "The request stands for capture {capture} of payment {payment}."
    zh = "该请求已用于支付 {payment} 的请款 {capture}。"
