"""What can be refused about debits."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class DebitIsUnknown(Refusal):
    """No debit has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no debit {debit}."
    zh = "代扣 {debit} 不存在。"


class DebitIsMalformed(Refusal):
    """It cannot be meant."""

    kind = RefusalKind.INVALID
    en = "The debit cannot be: {reason}."
    zh = "代扣无效：{reason}。"


class DebitNoWasUsed(Refusal):
    """The merchant's number stands on another debit; numbers are never used twice."""

    kind = RefusalKind.CONFLICT
    en = "The debit number {debit_no} is that of debit {debit}."
    zh = "商户代扣单号 {debit_no} 已用于代扣 {debit}。"


class DebitExceedsMandate(Refusal):
    """The mandate allows less, in one debit or in its period."""

    kind = RefusalKind.CONFLICT
    en = "Mandate {mandate} has {left_minor} left ({which}); {amount_minor} cannot be taken."
    zh = "代扣协议 {mandate} 的可用额度（{which}）为 {left_minor}，不能扣 {amount_minor}。"


class DebitIsTooEarly(Refusal):
    """The next date of the mandate, or the notice to the customer, is later."""

    kind = RefusalKind.CONFLICT
    en = "By mandate {mandate} nothing can be due on {due_on}; the earliest is {earliest_on}."
    zh = "代扣协议 {mandate} 不能在 {due_on} 扣款，最早为 {earliest_on}。"


class DebitStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Debit {debit} is {state}: it cannot be done: {verb}."
    zh = "代扣 {debit} 的状态为 {state}，不能执行 {verb}。"
