"""What can be refused about statements of channels and their reconciliation."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class ReconPlanIsUnknown(Refusal):
    """Nobody said what is expected of the channel's statements."""

    kind = RefusalKind.NOT_FOUND
    en = "Nothing is planned for the statements of channel {channel}."
    zh = "渠道 {channel} 未设置对账计划。"


class ReconPlanIsMalformed(Refusal):
    """A field of the plan makes no sense."""

    kind = RefusalKind.INVALID
    en = "The plan of channel {channel} does not fit: {field}."
    zh = "渠道 {channel} 的对账计划有误：{field}。"


class StatementIsOfNoDay(Refusal):
    """The file covers days of which none is expected, or more than one day at once."""

    kind = RefusalKind.INVALID
    en = "The statement covers {from_on} to {to_on}; say which day it is taken for."
    zh = "账单覆盖 {from_on} 至 {to_on}，请指明对账日。"


class StatementIsMissing(Refusal):
    """There is no complete statement of the day to match with."""

    kind = RefusalKind.CONFLICT
    en = "The statement of {channel} for {on} is {state}."
    zh = "渠道 {channel} {on} 的账单状态为 {state}，无法对账。"


class ReconIsRunning(Refusal):
    """Somebody else matches the channel right now."""

    kind = RefusalKind.CONFLICT
    en = "Channel {channel} is being reconciled right now."
    zh = "渠道 {channel} 正在对账。"


class ReconItemIsUnknown(Refusal):
    """No item has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no item {item} of a reconciliation."
    zh = "对账差异 {item} 不存在。"


class ReconItemStateForbids(Refusal):
    """The item is not in a state for it."""

    kind = RefusalKind.CONFLICT
    en = "The item {item} is {state}: it cannot be {act}."
    zh = "对账差异 {item} 状态为 {state}，不能执行 {act}。"


class ReconActionDoesNotFit(Refusal):
    """The action is none for such a difference."""

    kind = RefusalKind.CONFLICT
    en = "{action} does not fit a difference of {difference_minor}; possible: {possible}."
    zh = "差额 {difference_minor} 不适用 {action}；可选：{possible}。"


class WriteOffIsTooLarge(Refusal):
    """More than the plan lets be written off."""

    kind = RefusalKind.CONFLICT
    en = "At most {most_minor} minor units are written off in one item, not {amount_minor}."
    zh = "单笔核销上限为 {most_minor}，不能核销 {amount_minor}。"


class ReconMerchantIsNeeded(Refusal):
    """Nobody knows whose money it is."""

    kind = RefusalKind.CONFLICT
    en = "Name the merchant whose money {action} moves; the item does not tell it."
    zh = "{action} 需要指明商户，差异本身无法确定。"


class ReconPairDoesNotFit(Refusal):
    """Two items that are no pair."""

    kind = RefusalKind.CONFLICT
    en = "Items {item} and {other} are no pair: {why}."
    zh = "差异 {item} 与 {other} 不能配对：{why}。"
