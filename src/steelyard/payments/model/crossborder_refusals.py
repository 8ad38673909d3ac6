"""What can be refused about cross-border payments."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class CrossBorderIsUnknown(Refusal):
    """No cross-border payment has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no cross-border payment {payment}."
    zh = "跨境付款 {payment} 不存在。"


class CrossBorderStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Cross-border payment {payment} is {state}: it cannot be {verb}."
    zh = "跨境付款 {payment} 的状态为 {state}，不能执行 {verb}。"


class CrossBorderIsHeld(Refusal):
    """People have to look at it first."""

    kind = RefusalKind.CONFLICT
    en = "Cross-border payment {payment} is held until it was looked at: {why}."
    zh = "跨境付款 {payment} 被暂停，等待人工核查：{why}。"


class CrossBorderNoWasUsed(Refusal):
    """The merchant's own number stands on another payment."""

    kind = RefusalKind.CONFLICT
    en = "The number {payment_no} is that of cross-border payment {payment}."
    zh = "编号 {payment_no} 已用于跨境付款 {payment}。"


class NoProviderFits(Refusal):
    """No provider, alone or with others, can bring it there."""

    kind = RefusalKind.UNAVAILABLE
    en = "No provider can bring {amount_minor} {currency} to {country}: {why}."
    zh = "没有服务商可将 {amount_minor} {currency} 汇至 {country}：{why}。"


class ProviderIsUnknown(Refusal):
    """No provider of cross-border payments has the code."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no cross-border provider {provider}."
    zh = "没有跨境服务商 {provider}。"


class CorridorIsMalformed(Refusal):
    """A corridor's terms contradict themselves."""

    kind = RefusalKind.INVALID
    en = "The corridor of {provider} cannot be: {what}."
    zh = "服务商 {provider} 的汇路无效：{what}。"
