"""Asking for refunds: checked against the payment, its channel and the merchant, and set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.kernel import Refusal
from steelyard.ledger import BookReader
from steelyard.parties import approvals
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import Attempt, Source
from steelyard.payments.model.channel import Capability, Finding, Said
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.model.refunds import (
    Home,
    NewRefund,
    Refund,
    RefundMove,
    RefundState,
    coupon_share,
    is_too_old,
)
from steelyard.payments.model.refunds_refusals import (
    MerchantBalanceIsShort,
    PaymentIsNotRefundable,
    RefundExceedsPayment,
    RefundIsNotWhole,
    RefundIsTooLate,
    RefundNoWasUsed,
    ReversalIsUnderWay,
)
from steelyard.payments.model.refusals import PaymentAmountIsOutOfRange, PaymentIsUnknown
from steelyard.payments.service import institution, refunds_facts
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Desk
from steelyard.payments.service.refunds_change import Change, fee_back, open_change
from steelyard.payments.service.refunds_evidence import RefundReport, rule
from steelyard.payments.store import channel_desk as channel_table
from steelyard.payments.store import refunds as table

__all__ = ["ASK_REFUSALS", "REFUND", "WAIT", "Asking", "Effect", "ask", "preview"]

REFUND: Final = approvals.approval_kind(
    "payments.refund",
    verb="payments.approve",
    en="Refund more than one person may alone",
    zh="大额退款",
    lives=timedelta(days=3),
)
ASK_REFUSALS: Final = (
    PaymentIsUnknown,
    RefundNoWasUsed,
    PaymentIsNotRefundable,
    ReversalIsUnderWay,
    PaymentAmountIsOutOfRange,
    RefundExceedsPayment,
    RefundIsTooLate,
    RefundIsNotWhole,
    MerchantBalanceIsShort,
)
"""How `ask` can refuse an item, in this order."""
_Key = UUID | tuple[UUID, Mode, str]
WAIT: Final = timedelta(hours=72)
SUCCEEDED: Final = Finding(said=Said.SUCCEEDED, why="own_book")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a refund would do.

    Attributes
    ----------
    refund : as it would stand
    fee_back_minor : of the merchant's fee, given back when it succeeds
    left_minor : what of the payment could still be refunded after it
    balance_minor : of the merchant, of the account that it is taken from, after it
    """

    refund: Refund
    fee_back_minor: int
    left_minor: int
    balance_minor: int


@dataclass(slots=True)
class Asking:
    """A batch of refunds on its way, with what is looked up once for all of them."""

    unit: UnitOfWork
    change: Change
    desk: Desk | None
    is_dry: bool = False
    able: dict[str, Capability | None] = field(default_factory=dict)
    balances: dict[tuple[str, str], int] = field(default_factory=dict)

    def capability(self, channel: str) -> Capability | None:
        """Return what a channel can do; None where no sheet says it, and for our own book."""
        if channel not in self.able:
            found = None
            if channel != BALANCE and self.desk is not None:
                found = self.desk.capability(channel)
            elif channel != BALANCE:
                rows = channel_table.read_all(self.unit.connection, [channel])
                found = rows[0].capability if rows else None
            self.able[channel] = found
        return self.able[channel]

    def balance(self, order: Order) -> int:
        """Return what a merchant has available, less what this batch takes."""
        key = (order.mode.value, accounts.available(order.merchant, order.currency))
        if key not in self.balances:
            book = institution.read_known(self.unit.connection, order.mode).client_book
            found = BookReader(self.unit.connection, book).balances([key[1]])
            self.balances[key] = -found.get(key[1], 0)
        return self.balances[key]

    def take(self, refund: Refund, order: Order, minor: int) -> None:
        """Note that a refund takes something of the available balance."""
        if refund.home is Home.AVAILABLE:
            left = self.balance(order) - minor
            key = (order.mode.value, accounts.available(order.merchant, order.currency))
            self.balances[key] = left


def ask(
    unit: UnitOfWork,
    news: Sequence[NewRefund],
    *,
    desk: Desk | None = None,
    merchant: UUID | None = None,
) -> list[Refund | Refusal]:
    """Ask for refunds: what is asked for is set aside, or waits for a second person.

    What was paid from an account in our own book goes back at once. Everything else is sent after
    the commit (`send`).

    Parameters
    ----------
    desk : knows what channels can do; None: their stored sheets
    merchant : whose orders they must be; None: anybody's

    Returns
    -------
    list of Refund or Refusal
        One for each, in their order. A number that stands on the same refund gives that refund.

    Refusals
    --------
    those of `ASK_REFUSALS`, for each; `refund_no_was_used` for all of them where the number was
    used in the same moment for another payment
    """
    asking = Asking(unit, open_change(unit, [new.order for new in news]), desk)
    known = _present(unit, asking.change, news)
    answers: list[Refund | Refusal] = []
    for new in news:
        try:
            answers.append(_ask_one(asking, new, merchant, known))
        except Refusal as refusal:
            answers.append(refusal)
    asking.change.write()
    fresh = asking.change.refunds
    return [fresh.get(one.id, one) if isinstance(one, Refund) else one for one in answers]


def preview(
    unit: UnitOfWork,
    new: NewRefund,
    *,
    desk: Desk | None = None,
    merchant: UUID | None = None,
) -> Effect:
    """Return what a refund would do; nothing is written.

    Refusals
    --------
    those of `ASK_REFUSALS`
    """
    asking = Asking(unit, open_change(unit, [new.order]), desk, is_dry=True)
    change = asking.change
    before = change.orders.get(new.order)
    refund = _ask_one(asking, new, merchant, _present(unit, change, [new]))
    assert before is not None, "it was found"
    book = institution.read_known(unit.connection, before.mode).client_book
    account = (
        accounts.pending(before.merchant, before.currency)
        if refund.home is Home.PENDING
        else accounts.available(before.merchant, before.currency)
    )
    there = -BookReader(unit.connection, book).balances([account]).get(account, 0)
    taken = refund.amount_minor if refund.id in change.fresh and refund.home is not None else 0
    attempt = change.attempts[refund.attempt]
    fee = refund.fee_returned_minor
    if refund.amount_minor <= before.refundable_minor and not fee:
        fee = fee_back(unit.connection, before, attempt, refund.amount_minor)
    return Effect(refund, fee, change.orders[new.order].refundable_minor, there - taken)


def _present(unit: UnitOfWork, change: Change, news: Sequence[NewRefund]) -> dict[_Key, Refund]:
    """Return the refunds that have the numbers or ids already."""
    numbers = [
        (order.merchant, order.mode, new.refund_no)
        for new in news
        if (order := change.orders.get(new.order)) is not None
    ]
    known: dict[_Key, Refund] = {}
    known.update(table.find_numbers(unit.connection, numbers).items())
    known.update(table.find(unit.connection, [new.id for new in news]).items())
    return known


def _ask_one(
    asking: Asking, new: NewRefund, merchant: UUID | None, known: dict[_Key, Refund]
) -> Refund:
    change = asking.change
    order = change.orders.get(new.order)
    if order is None or merchant not in (None, order.merchant):
        raise PaymentIsUnknown(payment=new.order)
    key = (order.merchant, order.mode, new.refund_no)
    before = known.get(key) or known.get(new.id)
    if before is not None:
        return _same(new, before)
    attempt = paying_attempt(change, order)
    amount = order.refundable_minor if new.amount_minor is None else new.amount_minor
    check(asking, order, attempt, amount)
    refund = Refund(
        id=new.id,
        order=order.id,
        attempt=attempt.id,
        merchant=order.merchant,
        mode=order.mode,
        refund_no=new.refund_no,
        amount_minor=amount,
        currency=order.currency,
        channel=attempt.channel,
        state=RefundState.CREATED,
        version=1,
        asked_at=asking.unit.now,
        asked_by=asking.unit.actor,
        reason=new.reason,
        coupon_minor=_coupon(change, order, attempt, amount),
        metadata=new.metadata,
    )
    refund = _begin(asking, refund, order, waits=new.waits)
    known[key] = known[new.id] = refund
    order = change.orders[order.id]
    fact = refunds_facts.RefundAsked(**refunds_facts.about(order, attempt, refund))
    change.told.append((fact, refunds_facts.subject_of(order.id)))
    if refund.state is RefundState.RESERVED and refund.channel == BALANCE:
        rule(change, RefundReport(refund.id, Source.ANSWER, SUCCEEDED))
        refund = change.refunds[refund.id]
        known[key] = known[new.id] = refund
    return refund


def _same(new: NewRefund, before: Refund) -> Refund:
    """Return the refund that has the number, if it is the one that is asked for."""
    is_same = (
        before.order == new.order
        and before.refund_no == new.refund_no
        and new.amount_minor in (None, before.amount_minor)
        and not before.is_automatic
    )
    if not is_same:
        raise RefundNoWasUsed(refund_no=before.refund_no, refund=before.id)
    return before


def paying_attempt(change: Change, order: Order) -> Attempt:
    """Return the attempt whose money an order has.

    Refusals
    --------
    payment_is_not_refundable, reversal_is_under_way
    """
    attempt = None if order.paid_by is None else change.attempts.get(order.paid_by)
    if attempt is None or order.captured_minor == 0:
        raise PaymentIsNotRefundable(payment=order.id, state=order.state.value)
    if attempt.is_reversing:
        raise ReversalIsUnderWay(payment=order.id)
    return attempt


def check(asking: Asking, order: Order, attempt: Attempt, amount: int) -> None:
    """Check an amount against the payment and against what its channel can do."""
    if amount < 0 or (amount == 0 and order.refundable_minor > 0):
        raise PaymentAmountIsOutOfRange(
            amount_minor=amount, least_minor=1, most_minor=order.refundable_minor
        )
    if amount == 0 or amount > order.refundable_minor:
        raise RefundExceedsPayment(
            payment=order.id, refundable_minor=order.refundable_minor, amount_minor=amount
        )
    able = asking.capability(attempt.channel)
    if able is None:
        return
    assert order.paid_at is not None, "it was paid"
    if is_too_old(order.paid_at, able, asking.unit.now):
        raise RefundIsTooLate(channel=attempt.channel, days=able.refund_days)
    if not able.partial_refund and amount != order.captured_minor:
        raise RefundIsNotWhole(channel=attempt.channel, captured_minor=order.captured_minor)


def _coupon(change: Change, order: Order, attempt: Attempt, amount: int) -> int:
    """Return what of a refund goes back to a coupon that paid a part of the order."""
    told = attempt.details.get("coupon_minor", "0")
    coupon = int(told) if told.isdecimal() else 0
    if not 0 < coupon < order.captured_minor:
        return 0
    before = order.refunded_minor + order.refund_reserved_minor
    amounts = (before, amount) if before else (amount,)
    return coupon_share(order.captured_minor, coupon, amounts)[-1]


def _begin(asking: Asking, refund: Refund, order: Order, *, waits: bool) -> Refund:
    """Let a new refund be set aside, wait for a second person, or for the balance."""
    change = asking.change
    terms = change.terms[order.merchant]
    in_all = order.refunded_minor + order.refund_reserved_minor + refund.amount_minor
    if terms.alone_minor is not None and in_all > terms.alone_minor:
        refund = replace(refund, state=RefundState.APPROVAL)
        if not asking.is_dry:
            refund = replace(refund, approval=_ask_approval(asking.unit, refund))
        change.fresh.add(refund.id)
        change.set(refund)
        return refund
    change.fresh.add(refund.id)
    try:
        return set_aside(asking, refund, order)
    except MerchantBalanceIsShort:
        if not waits:
            change.fresh.discard(refund.id)
            raise
        change.set(refund)
        return refund


def _ask_approval(unit: UnitOfWork, refund: Refund) -> UUID:
    approval = approvals.request_approval(
        unit,
        kind=REFUND.name,
        subject=f"refund:{refund.id}",
        shown=shown(refund),
        by=unit.actor,
    )
    return approval.id


def set_aside(asking: Asking, refund: Refund, order: Order) -> Refund:
    """Take the amount of the payment and of the merchant's money.

    Refusals
    --------
    merchant_balance_is_short
    """
    change = asking.change
    parts = change.parts(order, refund.amount_minor)
    home = change.home_of(order)
    posted = {str(one.id) for one in change.splits.get(order.id, ()) if one.posted_at}
    own = refund.amount_minor - sum(m for split, m in parts.items() if split in posted)
    if home is Home.AVAILABLE:
        balance = asking.balance(order)
        if balance - own < -change.terms[order.merchant].advance_minor and own > 0:
            raise MerchantBalanceIsShort(
                merchant=order.merchant, balance_minor=balance, amount_minor=own
            )
    able = asking.capability(refund.channel)
    wait = WAIT if able is None else timedelta(hours=able.refund_most_wait_hours)
    refund = replace(
        refund,
        state=RefundState.RESERVED,
        home=home,
        parts=parts,
        wait_until_at=asking.unit.now + wait,
        visibility_seconds=60 if able is None else able.visibility_seconds,
    )
    change.set(refund)
    asking.take(refund, order, own)
    change.move(refund, RefundMove.RESERVE)
    return refund


def shown(refund: Refund) -> dict[str, object]:
    """Return what a second person says yes to."""
    return {
        "payment": str(refund.order),
        "merchant": str(refund.merchant),
        "refund_no": refund.refund_no,
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
    }
