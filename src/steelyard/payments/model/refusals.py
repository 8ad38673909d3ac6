"""What can be refused about orders and their payment; other nouns have their own."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class InstitutionIsNotOpen(Refusal):
    """No books were opened for the mode."""

    kind = RefusalKind.CONFLICT
    en = "No books are open for {mode} payments yet."
    zh = "{mode} 模式的支付账簿尚未开立。"


class InstitutionIsOpenOtherwise(Refusal):
    """The mode has other books."""

    kind = RefusalKind.CONFLICT
    en = "Payments of the mode {mode} stand in {client_book} and {own_book}."
    zh = "{mode} 模式的支付账簿为 {client_book} 与 {own_book}。"


class PaymentMerchantIsUnknown(Refusal):
    """No merchant with a payment contract has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no merchant {merchant} with a contract for payments."
    zh = "没有签约支付业务的商户 {merchant}。"


class PaymentMerchantIsNotActive(Refusal):
    """The merchant's contract does not let it take payments now."""

    kind = RefusalKind.CONFLICT
    en = "Merchant {merchant} takes no payments: its contract is {state}."
    zh = "商户 {merchant} 不能收款：合同状态为 {state}。"


class PaymentIsUnknown(Refusal):
    """No order has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no payment {payment}."
    zh = "支付 {payment} 不存在。"


class OrderNoWasUsed(Refusal):
    """The merchant's own number stands on another order; numbers are never used twice."""

    kind = RefusalKind.CONFLICT
    en = "The order number {order_no} is that of payment {payment}."
    zh = "商户订单号 {order_no} 已用于支付 {payment}。"


class PaymentAmountIsOutOfRange(Refusal):
    """Nothing, less than nothing, or more than can be paid at once."""

    kind = RefusalKind.INVALID
    en = "The amount {amount_minor} is not between {least_minor} and {most_minor} minor units."
    zh = "金额 {amount_minor} 不在 {least_minor} 至 {most_minor}（最小货币单位）之间。"


class CurrencyIsNotTaken(Refusal):
    """The merchant's contract does not name the currency."""

    kind = RefusalKind.INVALID
    en = "Merchant {merchant} does not take {currency}."
    zh = "商户 {merchant} 不支持币种 {currency}。"


class MethodIsNotTaken(Refusal):
    """Neither order nor contract allow the method."""

    kind = RefusalKind.INVALID
    en = "Payment {payment} cannot be paid by {method}."
    zh = "支付 {payment} 不支持 {method} 方式。"


class ExpiryIsOutOfRange(Refusal):
    """An order lives for a while, and not for ever."""

    kind = RefusalKind.INVALID
    en = "A payment expires 1 minute to {days} days after its creation, not at {expires_at}."
    zh = "支付须在创建后 1 分钟至 {days} 天内到期，不能为 {expires_at}。"


class PaymentIsOver(Refusal):
    """Nothing can be paid of it any more."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is {state}."
    zh = "支付 {payment} 的状态为 {state}，不能再付款。"


class PaymentIsUnderWay(Refusal):
    """An attempt is under way, or nobody knows yet what became of it."""

    kind = RefusalKind.CONFLICT
    en = "Attempt {attempt} of payment {payment} is {state}; wait for its result."
    zh = "支付 {payment} 的第 {attempt} 次尝试状态为 {state}，请等待结果。"


class PaymentIsPaid(Refusal):
    """It was paid before."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is paid."
    zh = "支付 {payment} 已付款。"


class PaymentStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is {state}: it cannot be {verb}."
    zh = "支付 {payment} 的状态为 {state}，不能执行 {verb}。"


class ChannelCannot(Refusal):
    """The channel's agreement does not cover it."""

    kind = RefusalKind.CONFLICT
    en = "Channel {channel} cannot do this: {what}."
    zh = "渠道 {channel} 不支持该操作：{what}。"


class ProofIsNeeded(Refusal):
    """Risk control wants the payer to prove more about who he is."""

    kind = RefusalKind.FORBIDDEN
    en = "Payment {payment} needs a further proof of the payer: {reasons}."
    zh = "支付 {payment} 需要付款人进一步核验：{reasons}。"


class ChannelDayIsFull(Refusal):
    """The channel's day, or its trial, has not so much left; another is chosen."""

    kind = RefusalKind.UNAVAILABLE
    en = "The limit of the day of channel {channel} is reached; try again."
    zh = "渠道 {channel} 当日限额已用完，请重试。"
