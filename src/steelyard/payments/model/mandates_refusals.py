"""What can be refused about mandates."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class MandateIsUnknown(Refusal):
    """No mandate has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no mandate {mandate}."
    zh = "代扣协议 {mandate} 不存在。"


class MandateIsMalformed(Refusal):
    """It cannot be meant, or the channel does not take it."""

    kind = RefusalKind.INVALID
    en = "The mandate cannot be: {reason}."
    zh = "代扣协议无效：{reason}。"


class MandateNoWasUsed(Refusal):
    """The merchant's number stands on another mandate."""

    kind = RefusalKind.CONFLICT
    en = "The mandate number {mandate_no} is that of mandate {mandate}."
    zh = "商户协议号 {mandate_no} 已用于代扣协议 {mandate}。"


class MandatesAreTooMany(Refusal):
    """The channel allows so many of one customer with one merchant."""

    kind = RefusalKind.CONFLICT
    en = "Customer {customer} has {most} mandates with merchant {merchant}; no more are allowed."
    zh = "客户 {customer} 与商户 {merchant} 已有 {most} 份代扣协议，不能再新增。"


class MandateStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Mandate {mandate} is {state}: it cannot be done: {verb}."
    zh = "代扣协议 {mandate} 的状态为 {state}，不能执行 {verb}。"


class MandateIsNotActive(Refusal):
    """Nothing can be taken by it now."""

    kind = RefusalKind.CONFLICT
    en = "Nothing can be taken by mandate {mandate}: it is {state}."
    zh = "代扣协议 {mandate} 的状态为 {state}，不能扣款。"


class MandateAccountIsNotTheirs(Refusal):
    """The account that is to pay is not the customer's."""

    kind = RefusalKind.FORBIDDEN
    en = "The account {account} is not one of customer {customer}."
    zh = "账户 {account} 不属于客户 {customer}。"


class MandateIsSignedByTheCustomer(Refusal):
    """Nobody signs, refuses or resumes for the customer."""

    kind = RefusalKind.FORBIDDEN
    en = "Only the customer himself can do this to mandate {mandate}: {verb}."
    zh = "代扣协议 {mandate} 的 {verb} 只能由客户本人操作。"


class DebitDateMovesOnlyLater(Refusal):
    """The next date of a mandate is never brought forward."""

    kind = RefusalKind.CONFLICT
    en = "The next date of mandate {mandate} is {next_on}; it moves later only, not to {to_on}."
    zh = "代扣协议 {mandate} 的下次扣款日为 {next_on}，只能延后，不能改为 {to_on}。"
