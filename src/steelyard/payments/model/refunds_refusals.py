"""What can be refused about refunds, reversals, splits and transfers."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class PaymentRefundIsUnknown(Refusal):
    """No refund has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no refund {refund}."
    zh = "退款 {refund} 不存在。"


class RefundNoWasUsed(Refusal):
    """The merchant's own number stands on another refund; numbers are never used twice."""

    kind = RefusalKind.CONFLICT
    en = "The refund number {refund_no} is that of another refund, {refund}."
    zh = "商户退款单号 {refund_no} 已用于另一笔退款 {refund}。"


class PaymentIsNotRefundable(Refusal):
    """Nothing of it was captured, or it is being reversed."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is {state} and has nothing to refund."
    zh = "支付 {payment} 的状态为 {state}，没有可退款的金额。"


class RefundExceedsPayment(Refusal):
    """Captured, less refunded, reserved and disputed, is less."""

    kind = RefusalKind.CONFLICT
    en = "Of payment {payment} {refundable_minor} minor units can be refunded, not {amount_minor}."
    zh = "支付 {payment} 可退 {refundable_minor}（最小货币单位），不足 {amount_minor}。"


class RefundIsTooLate(Refusal):
    """The channel takes no refund of so old a payment."""

    kind = RefusalKind.CONFLICT
    en = "Channel {channel} takes refunds for {days} days after the payment, and those are over."
    zh = "渠道 {channel} 仅支持付款后 {days} 天内退款，已超期。"


class RefundIsNotWhole(Refusal):
    """The channel gives back all of a payment or nothing."""

    kind = RefusalKind.CONFLICT
    en = "Channel {channel} refunds a payment as a whole, {captured_minor} minor units, or not."
    zh = "渠道 {channel} 只支持全额退款 {captured_minor}（最小货币单位），不支持部分退款。"


class MerchantBalanceIsShort(Refusal):
    """The merchant's balance, with what is advanced to it, does not bear the amount."""

    kind = RefusalKind.CONFLICT
    en = "The balance of merchant {merchant} is {balance_minor}; it does not bear {amount_minor}."
    zh = "商户 {merchant} 余额为 {balance_minor}，不足以支付 {amount_minor}（最小货币单位）。"


class RefundStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Refund {refund} is {state}: it cannot be {verb}."
    zh = "退款 {refund} 的状态为 {state}，不能执行 {verb}。"


class ReversalIsRefused(Refusal):
    """A captured payment that cannot be taken back whole any more; a refund may do."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} cannot be reversed: {why}. Refund it instead."
    zh = "支付 {payment} 不能撤销：{why}。请改为退款。"


class ReversalIsUnderWay(Refusal):
    """The channel is being asked to take the payment back."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is being reversed; wait for the channel."
    zh = "支付 {payment} 正在撤销，请等待渠道结果。"


class SplitExceedsPayment(Refusal):
    """What goes to others would be more than the payment still has."""

    kind = RefusalKind.CONFLICT
    en = "Of payment {payment} {left_minor} minor units can be shared, not {amount_minor}."
    zh = "支付 {payment} 可分账 {left_minor}（最小货币单位），不足 {amount_minor}。"


class SplitIsMalformed(Refusal):
    """A receiver or an amount cannot be."""

    kind = RefusalKind.INVALID
    en = "The split to {receiver} cannot be: {reason}."
    zh = "分给 {receiver} 的分账无效：{reason}。"


class ShareNoWasUsed(Refusal):
    """The number stands on another share of the payment."""

    kind = RefusalKind.CONFLICT
    en = "The share number {share_no} of payment {payment} was used for other amounts."
    zh = "支付 {payment} 的分账单号 {share_no} 已用于其他分账。"


class MerchantIsOutOfPlatform(Refusal):
    """Money moves between merchants of one platform only."""

    kind = RefusalKind.FORBIDDEN
    en = "Merchant {merchant} is not a part of the platform {platform}."
    zh = "商户 {merchant} 不属于平台 {platform}。"


class TransferNoWasUsed(Refusal):
    """The platform's number stands on another transfer."""

    kind = RefusalKind.CONFLICT
    en = "The transfer number {transfer_no} is that of another transfer, {transfer}."
    zh = "转账单号 {transfer_no} 已用于另一笔转账 {transfer}。"


class MerchantTransferIsUnknown(Refusal):
    """No transfer has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no transfer {transfer}."
    zh = "转账 {transfer} 不存在。"


class TransferIsMalformed(Refusal):
    """It cannot be meant."""

    kind = RefusalKind.INVALID
    en = "The transfer cannot be: {reason}."
    zh = "转账无效：{reason}。"


class TransferReturnExceeds(Refusal):
    """More would come back than went."""

    kind = RefusalKind.CONFLICT
    en = "Of transfer {transfer} {left_minor} minor units can come back, not {amount_minor}."
    zh = "转账 {transfer} 可退回 {left_minor}（最小货币单位），不足 {amount_minor}。"
