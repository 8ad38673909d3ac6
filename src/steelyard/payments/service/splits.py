"""Splits (分账): a part of a payment goes to others, as soon as the payment is cleared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.ledger import AccountKind, BookReader
from steelyard.ledger import refusals as ledger_refusals
from steelyard.payments.model import accounts
from steelyard.payments.model.orders import Order
from steelyard.payments.model.refunds_refusals import (
    PaymentIsNotRefundable,
    ReversalIsUnderWay,
    ShareNoWasUsed,
    SplitExceedsPayment,
    SplitIsMalformed,
)
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.model.splits import (
    Split,
    SplitState,
    check_shares,
    is_internal,
    merchant_of,
)
from steelyard.payments.service import facts, institution, refunds_facts
from steelyard.payments.service.refunds_change import Change, open_change
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import orders as orders_table
from steelyard.payments.store import splits as table

__all__ = [
    "CAPTURE",
    "ShareNoWasUsed",
    "Split",
    "SplitExceedsPayment",
    "SplitIsMalformed",
    "SplitState",
    "drop_planned",
    "of_order",
    "post_planned",
    "share",
    "visible",
]

CAPTURE: Final = "capture"
"""Number of the share that an order names when it is created."""
CAUSE: Final = "rule.split@1"


def share(
    unit: UnitOfWork,
    order_id: UUID,
    shares: Mapping[str, int] | None = None,
    *,
    share_no: str = CAPTURE,
    merchant: UUID | None = None,
) -> list[Split]:
    """Give parts of a payment to others: posted when it is cleared, planned until then.

    The same number with the same amounts again is the same share.

    Parameters
    ----------
    shares : hex id of a merchant or code of an account in the client book -> minor units; None:
        those that the order names
    merchant : whose order it must be; None: anybody's

    Refusals
    --------
    payment_is_unknown, share_no_was_used, payment_is_not_refundable, reversal_is_under_way,
    split_is_malformed, split_exceeds_payment
    """
    change = open_change(unit, [order_id])
    order = change.orders.get(order_id)
    if order is None or merchant not in (None, order.merchant):
        raise PaymentIsUnknown(payment=order_id)
    wanted = dict(order.splits if shares is None else shares)
    present = change.splits.get(order_id, [])
    known = [one for one in present if one.share_no == share_no]
    if known:
        if {one.receiver: one.amount_minor for one in known} != wanted:
            raise ShareNoWasUsed(share_no=share_no, payment=order_id)
        return known
    attempt = None if order.paid_by is None else change.attempts.get(order.paid_by)
    if attempt is None or order.captured_minor == 0:
        raise PaymentIsNotRefundable(payment=order_id, state=order.state.value)
    if attempt.is_reversing:
        raise ReversalIsUnderWay(payment=order_id)
    check_shares(order, wanted, present)
    _check_receivers(unit, order, wanted)
    made = [
        Split(
            id=unit.new_id(),
            order=order_id,
            receiver=receiver,
            amount_minor=wanted[receiver],
            currency=order.currency,
            state=SplitState.PLANNED,
            version=1,
            share_no=share_no,
            planned_at=unit.now,
        )
        for receiver in sorted(wanted)
    ]
    table.insert(unit.connection, made)
    change.splits.setdefault(order_id, []).extend(made)
    if order.paid_by in change.cleared:
        _post(change, order)
    told = facts.about(order, attempt)
    fact = refunds_facts.PaymentShared(
        **told, share_no=share_no, shared_minor=sum(wanted.values()), receivers=len(made)
    )
    change.told.append((fact, refunds_facts.subject_of(order_id)))
    change.write()
    return [one for one in of_order(unit.connection, order_id) if one.share_no == share_no]


def _check_receivers(unit: UnitOfWork, order: Order, shares: Mapping[str, int]) -> None:
    """Check that every receiver is a merchant, or somebody's account with us."""
    named = {one for receiver in shares if (one := merchant_of(receiver)) is not None}
    known = contracts.merchant_terms(unit.connection, list(named))
    book = institution.read_known(unit.connection, order.mode).client_book
    reader = BookReader(unit.connection, book)
    for receiver in shares:
        one = merchant_of(receiver)
        if one is not None:
            if one not in known:
                raise SplitIsMalformed(receiver=receiver, reason="no such merchant")
            continue
        if is_internal(receiver):
            raise SplitIsMalformed(receiver=receiver, reason="it is nobody's account")
        try:
            account = reader.account(receiver)
        except ledger_refusals.AccountNotFound:
            raise SplitIsMalformed(receiver=receiver, reason="no such account") from None
        if (account.kind, account.currency) != (AccountKind.LIABILITY, order.currency):
            raise SplitIsMalformed(receiver=receiver, reason="it is nobody's account")


def post_planned(unit: UnitOfWork, order_id: UUID) -> int:
    """Post the planned splits of an order that is cleared; return how many.

    What refunds took of them since they were planned is not moved.
    """
    change = open_change(unit, [order_id])
    order = change.orders[order_id]
    if order.paid_by not in change.cleared or order.captured_minor == 0:
        return 0
    count = _post(change, order)
    change.write()
    return count


def _post(change: Change, order: Order) -> int:
    """Add the postings of planned splits to a change."""
    available = accounts.available(order.merchant, order.currency)
    splits = change.splits.get(order.id, [])
    count = 0
    for at, split in enumerate(splits):
        if split.state is not SplitState.PLANNED:
            continue
        leg = (available, split.account, split.left_minor, CAUSE)
        change.post(order, uuid5(split.id, "post"), leg, f"split:{split.id}")
        splits[at] = replace(split, state=SplitState.POSTED, posted_at=change.unit.now)
        change.moved_splits.add(split.id)
        count += 1
    return count


def drop_planned(unit: UnitOfWork, order_id: UUID) -> int:
    """Let nothing go to the receivers of a payment that was taken back whole; return how many."""
    splits = table.of_orders(unit.connection, [order_id]).get(order_id, [])
    planned = [one for one in splits if one.state is SplitState.PLANNED and one.left_minor]
    table.write(unit.connection, [replace(one, returned_minor=one.amount_minor) for one in planned])
    return len(planned)


def of_order(connection: sa.Connection, order_id: UUID) -> list[Split]:
    """Return the splits of a payment, the oldest first."""
    return table.of_orders(connection, [order_id]).get(order_id, [])


def visible(
    connection: sa.Connection, order_id: UUID, *, merchant: UUID | None = None
) -> list[Split]:
    """Return the splits of a payment that somebody sees.

    Parameters
    ----------
    merchant : the payment's own sees all, a receiver what goes to it; None: everybody's

    Refusals
    --------
    payment_is_unknown : also for who has no part in it
    """
    order = orders_table.find(connection, [order_id]).get(order_id)
    if order is None:
        raise PaymentIsUnknown(payment=order_id)
    found = of_order(connection, order_id)
    if merchant in (None, order.merchant):
        return found
    own = [one for one in found if merchant_of(one.receiver) == merchant]
    if not own:
        raise PaymentIsUnknown(payment=order_id)
    return own
