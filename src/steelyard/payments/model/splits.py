"""Splits (分账): what of a payment goes to others, and what they bear of its refunds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Money
from steelyard.payments.model import accounts
from steelyard.payments.model.orders import Order
from steelyard.payments.model.refunds_refusals import SplitExceedsPayment, SplitIsMalformed

_HEX = re.compile(r"[0-9a-f]{32}")
_ACCOUNT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*([:/.][A-Za-z0-9_-]+)*")
MOST_RECEIVERS = 50
_INTERNAL = (
    *("settlement", "in_transit", "merchant", "payouts", "refunds", "disputes", "unclaimed"),
    *("shortage", "fees_due", "mirror", "position"),
)


class SplitState(StrEnum):
    """Whether a split moved money yet."""

    PLANNED = "planned"
    """It waits until the payment is cleared."""
    POSTED = "posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What one receiver gets of a payment.

    Attributes
    ----------
    receiver : hex id of a merchant, or code of an account in the client book
    share_no : number of the share that it is a part of; `capture` for those of the order
    returned_minor : what it bore of refunds since
    """

    id: UUID
    order: UUID
    receiver: str
    amount_minor: int
    currency: str
    state: SplitState
    version: int
    share_no: str
    planned_at: datetime
    returned_minor: int = 0
    posted_at: datetime | None = None

    @property
    def left_minor(self) -> int:
        """What the receiver keeps as things stand."""
        return self.amount_minor - self.returned_minor

    @property
    def account(self) -> str:
        """The account that it goes to."""
        return account_of(self.receiver, self.currency)


def merchant_of(receiver: str) -> UUID | None:
    """Return the merchant that a receiver is; None for an account.

    Examples
    --------
    >>> merchant_of("agent:7:CNY") is None
    True
    """
    return UUID(receiver) if _HEX.fullmatch(receiver) else None


def is_internal(code: str) -> bool:
    """Return whether an account is one of our own keeping, which nobody outside is paid into.

    Examples
    --------
    >>> is_internal(accounts.fees_due("CNY")), is_internal("wallet:ann")
    (True, False)
    """
    return code.startswith(_INTERNAL)


def account_of(receiver: str, currency: str) -> str:
    """Return the account of a receiver.

    Examples
    --------
    >>> account_of("agent:7:CNY", "CNY")
    'agent:7:CNY'
    """
    if _HEX.fullmatch(receiver):
        return accounts.available(UUID(receiver), currency)
    return receiver


def check_shares(order: Order, shares: Mapping[str, int], present: Sequence[Split]) -> None:
    """Check that further shares of a payment can be.

    Refusals
    --------
    split_is_malformed, split_exceeds_payment

    Examples
    --------
    >>> from steelyard.payments.model.examples import an_order
    >>> check_shares(an_order(captured_minor=100), {"a" * 32: 100}, ())
    """
    if not 0 < len(shares) <= MOST_RECEIVERS:
        raise SplitIsMalformed(receiver="", reason=f"1 to {MOST_RECEIVERS} receivers")
    for receiver, amount in shares.items():
        if not _HEX.fullmatch(receiver) and not _ACCOUNT.fullmatch(receiver):
            raise SplitIsMalformed(receiver=receiver[:80], reason="no merchant and no account")
        if receiver == order.merchant.hex:
            raise SplitIsMalformed(receiver=receiver, reason="it is the payment's own merchant")
        if amount <= 0:
            raise SplitIsMalformed(receiver=receiver, reason="it is not over zero")
    left = order.refundable_minor - sum(one.left_minor for one in present)
    wanted = sum(shares.values())
    if wanted > left:
        raise SplitExceedsPayment(payment=order.id, left_minor=max(0, left), amount_minor=wanted)


def parts_of(order: Order, splits: Sequence[Split], amount_minor: int) -> dict[UUID, int]:
    """Return what each receiver bears of a refund; the merchant bears the rest.

    Parameters
    ----------
    order : before the refund; splits : of it

    Returns
    -------
    dict of UUID to int
        In proportion to what each still has, to the last minor unit (largest remainder); over
        refunds of all that is left, exactly that. Receivers that bear nothing are left out.

    Examples
    --------
    >>> from steelyard.payments.model.examples import AT, an_order
    >>> half = Split(id=UUID(int=7), order=UUID(int=1), receiver="a" * 32, amount_minor=50,
    ...              currency="CNY", state=SplitState.POSTED, version=1, share_no="capture",
    ...              planned_at=AT)
    >>> list(parts_of(an_order(captured_minor=100), [half], 25).values())
    [12]
    """
    left = [one.left_minor for one in splits]
    own = max(0, order.refundable_minor - sum(left))
    if not any(left) or amount_minor == 0:
        return {}
    _, *shares = Money(amount_minor, order.currency).allocate([own, *left])
    return {
        one.id: share.amount_minor
        for one, share in zip(splits, shares, strict=True)
        if share.amount_minor
    }
