"""The facts of refunds, disputes, splits and transfers; subject is `payment:<order>`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from steelyard.base import Fact
from steelyard.payments.model.attempts import Attempt
from steelyard.payments.model.orders import Order
from steelyard.payments.model.refunds import Refund
from steelyard.payments.service import facts


class RefundFact(facts.PaymentFact, kw_only=True):
    """What every fact about a refund tells, besides its payment.

    Attributes
    ----------
    refund_minor : of the refund; `amount_minor` is that of the payment
    state : of the refund
    """

    refund: UUID
    refund_no: str
    refund_minor: int
    state: str
    is_automatic: bool = False


class RefundAsked(RefundFact, kind="payments.RefundAsked", version=1):
    """Money is to go back to the payer."""


class RefundSucceeded(RefundFact, kind="payments.RefundSucceeded", version=1):
    """It went back; `fee_minor` is what the merchant got back of his fee."""

    fee_minor: int = 0
    excess_minor: int = 0


class RefundFailed(RefundFact, kind="payments.RefundFailed", version=1):
    """The channel's final no; what was set aside is the merchant's again."""

    reason: str = "other"


class RefundClosed(RefundFact, kind="payments.RefundClosed", version=1):
    """It was withdrawn, or closed without money."""


class RefundIsAbnormal(RefundFact, kind="payments.RefundIsAbnormal", version=1):
    """The account that paid cannot take it; people find another."""


class RefundReturned(RefundFact, kind="payments.RefundReturned", version=1):
    """It went out and the bank sent it back."""


class RefundIsOverdue(RefundFact, kind="payments.RefundIsOverdue", version=1):
    """The channel takes longer than its agreement says; nothing else is known."""


def about(order: Order, attempt: Attempt | None, refund: Refund, **more: Any) -> dict[str, Any]:
    """Return what a fact tells of a refund."""
    return facts.about(
        order,
        attempt,
        refund=refund.id,
        refund_no=refund.refund_no,
        refund_minor=refund.amount_minor,
        state=refund.state.value,
        is_automatic=refund.is_automatic,
        **more,
    )


def subject_of(order: UUID) -> str:
    """Return the subject of the facts of an order's refunds and disputes."""
    return f"payment:{order}"


_BY_STATE: dict[str, type[RefundFact]] = {
    "failed": RefundFailed,
    "closed": RefundClosed,
    "abnormal": RefundIsAbnormal,
    "returned": RefundReturned,
}


def of_state(order: Order, attempt: Attempt | None, refund: Refund) -> Fact | None:
    """Return the fact that tells of the state a refund came to; None where nobody is told."""
    told = about(order, attempt, refund)
    if refund.state.value == "succeeded":
        return RefundSucceeded(
            **told, fee_minor=refund.fee_returned_minor, excess_minor=refund.excess_minor
        )
    if refund.state.value == "failed":
        reason = "other" if refund.decline is None else refund.decline.value
        return RefundFailed(**told, reason=reason)
    kind = _BY_STATE.get(refund.state.value)
    return None if kind is None else kind(**told)


class DisputeFact(facts.PaymentFact, kw_only=True):
    """What every fact about a dispute tells, besides its payment.

    Attributes
    ----------
    dispute_minor : claimed; held_minor : of it, withheld or taken from the merchant
    money : `none`, `withheld` or `taken`
    """

    dispute: UUID
    reference: str
    dispute_minor: int
    held_minor: int
    state: str
    money: str
    reason: str = ""


class DisputeOpened(DisputeFact, kind="payments.DisputeOpened", version=1):
    """A payer took the payment to his bank: an inquiry, or a claim with the money withheld."""


class DisputeMoved(DisputeFact, kind="payments.DisputeMoved", version=1):
    """It goes on: evidence is due or submitted, it ran out, or it is put before the banks anew."""


class DisputeWon(DisputeFact, kind="payments.DisputeWon", version=1):
    """It went the merchant's way; what was withheld is his again."""


class DisputeLost(DisputeFact, kind="payments.DisputeLost", version=1):
    """It went the payer's way, or the merchant did not contest it; the channel takes the money."""


class PaymentShared(facts.PaymentFact, kind="payments.PaymentShared", version=1, kw_only=True):
    """A part of a payment went to others than its merchant."""

    share_no: str
    shared_minor: int
    receivers: int


class MerchantTransferMade(Fact, kind="payments.MerchantTransferMade", version=1):
    """Money went from one merchant of a platform to another; subject `merchant_transfer:<id>`."""

    transfer: UUID
    platform: UUID
    from_merchant: UUID
    to_merchant: UUID
    mode: str
    amount_minor: int
    currency: str


class MerchantTransferReturned(Fact, kind="payments.MerchantTransferReturned", version=1):
    """Some of it came back; `returned_minor` in all so far."""

    transfer: UUID
    returned_minor: int
    amount_minor: int
    currency: str
