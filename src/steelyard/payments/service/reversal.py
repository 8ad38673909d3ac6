"""Reversal: a captured payment taken back the same day (撤销), an unknown one reversed (冲正).

That a payment is being taken back is committed before the channel is asked, so that nothing is
refunded or shared meanwhile; only the channel's word that no money stays there moves the books.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.payments.model.attempts import Attempt, AttemptState, Ruling, Source
from steelyard.payments.model.channel import Capability, Finding, Query, Said
from steelyard.payments.model.clearing import DayClock
from steelyard.payments.model.orders import Order, OrderState
from steelyard.payments.model.refunds_refusals import ReversalIsRefused
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.service import evidence, splits
from steelyard.payments.service.evidence import BALANCE, Report
from steelyard.payments.service.paying import Desk
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import orders as orders_table
from steelyard.payments.store import refunds as refunds_table
from steelyard.payments.store import splits as splits_table

__all__ = ["ReversalIsRefused", "ask_again", "cancel_paid", "reverse_unknown"]

_CLOSED: Final = Finding(said=Said.CLOSED, why="own_book")
_PROVES: Final = frozenset({Said.CLOSED, Said.SUCCEEDED, Said.DECLINED})


def cancel_paid(
    database: Database,
    desk: Desk,
    order_id: UUID,
    *,
    merchant: UUID | None = None,
    actor: str,
) -> Order:
    """Take a captured payment back whole, before its channel's cut-off.

    Returns
    -------
    Order
        Cancelled, with nothing captured; or paid as before while the channel has not said what
        became of it: it is asked again by a job, and nothing is refunded meanwhile.

    Refusals
    --------
    payment_is_unknown
    reversal_is_refused : it is not captured, refunded, disputed, shared or cleared already, the day
        is over, or the channel will not; a refund may do
    """
    with database.reading() as connection:
        order = orders_table.find(connection, [order_id]).get(order_id)
        paid_by = None if order is None else order.paid_by
        found = {} if paid_by is None else attempts_table.find(connection, [paid_by])
    able = None
    for attempt in found.values():
        able = None if attempt.channel == BALANCE else desk.capability(attempt.channel)
    attempt = database.transact(
        lambda unit: _begin(unit, order_id, able, merchant=merchant), actor=actor
    )
    if attempt.channel == BALANCE:
        _settle(database, attempt, _CLOSED, actor=actor)
    else:
        was_asked = any(one.is_reversing for one in found.values())
        finding = _asked(desk, attempt, was_asked_before=was_asked)
        if _settle(database, attempt, finding, actor=actor) is None:
            raise ReversalIsRefused(payment=order_id, why="the channel declines")
    with database.reading() as connection:
        return orders_table.find(connection, [order_id])[order_id]


def ask_again(database: Database, desk: Desk, *, limit: int = 50, actor: str) -> int:
    """Ask channels again about payments that are being taken back; return how many were asked."""
    with database.reading() as connection:
        waiting = refunds_table.reversing(connection, limit)
        attempts = attempts_table.find(connection, waiting)
    for attempt in attempts.values():
        if attempt.channel == BALANCE:
            _settle(database, attempt, _CLOSED, actor=actor)
            continue
        finding = _asked(desk, attempt, was_asked_before=True)
        _settle(database, attempt, finding, actor=actor)
    return len(attempts)


def reverse_unknown(database: Database, desk: Desk, attempt_id: UUID, *, actor: str) -> Ruling:
    """Ask a channel to reverse an attempt of which nobody knows what became (冲正).

    Only `closed` ends it; anything else leaves it unknown, except word that money was taken.

    Refusals
    --------
    payment_is_unknown, reversal_is_refused
    """
    with database.reading() as connection:
        attempt = attempts_table.find(connection, [attempt_id]).get(attempt_id)
    if attempt is None:
        raise PaymentIsUnknown(payment=attempt_id)
    if not attempt.state.is_under_way or attempt.channel == BALANCE:
        raise ReversalIsRefused(payment=attempt.order, why=f"it is {attempt.state.value}")
    finding = desk.get(attempt.channel).cancel(_query(attempt))
    if finding.said not in _PROVES:
        finding = replace(finding, said=Said.UNKNOWN, why=finding.why or "not_confirmed")
    reports = [Report(attempt.id, Source.ANSWER, finding)]
    (ruling,) = database.transact(lambda unit: evidence.report(unit, reports), actor=actor)
    return ruling


def _asked(desk: Desk, attempt: Attempt, *, was_asked_before: bool) -> Finding:
    """Ask a channel to take a payment back, and return what is known then.

    A no to a question that was asked before proves nothing of the first one, which may have been
    done unheard: only the channel's word that the money is still there does.
    """
    channel = desk.get(attempt.channel)
    finding = channel.cancel(_query(attempt))
    if finding.said is not Said.DECLINED or not was_asked_before:
        return finding
    there = channel.query(_query(attempt))
    return finding if there.said is Said.SUCCEEDED else there


def _query(attempt: Attempt) -> Query:
    return Query(number=attempt.number, reference=attempt.reference, sent_at=attempt.sent_at)


def _begin(
    unit: UnitOfWork, order_id: UUID, able: Capability | None, *, merchant: UUID | None
) -> Attempt:
    """Write down that a payment is being taken back."""
    connection = unit.connection
    order = orders_table.lock(connection, [order_id]).get(order_id)
    if order is None or merchant not in (None, order.merchant):
        raise PaymentIsUnknown(payment=order_id)
    if order.state is not OrderState.SUCCEEDED or order.paid_by is None:
        raise ReversalIsRefused(payment=order_id, why=f"it is {order.state.value}")
    attempt = attempts_table.lock(connection, [order.paid_by])[order.paid_by]
    why = _against(connection, unit, order, attempt, able)
    if why is not None:
        raise ReversalIsRefused(payment=order_id, why=why)
    if attempt.is_reversing:
        return attempt
    attempts_table.write(connection, [replace(attempt, is_reversing=True)])
    audit(
        unit,
        action="payments.reverse",
        subject=f"payment:{order_id}",
        detail={"attempt": str(attempt.id), "channel": attempt.channel},
    )
    return replace(attempt, is_reversing=True, version=attempt.version + 1)


def _against(
    connection: sa.Connection,
    unit: UnitOfWork,
    order: Order,
    attempt: Attempt,
    able: Capability | None,
) -> str | None:
    """Return what stands against taking a payment back; None where nothing does."""
    if attempt.state is not AttemptState.SUCCEEDED or order.captured_minor != attempt.amount_minor:
        return "it is not captured whole"
    if order.refundable_minor != order.captured_minor:
        return "it is refunded or disputed"
    posted = splits_table.of_orders(connection, [order.id]).get(order.id, [])
    if any(one.posted_at is not None for one in posted):
        return "it is shared"
    if refunds_table.cleared(connection, [attempt.id]):
        return "it is cleared"
    if able is None or attempt.is_reversing:
        return None
    if not able.cancel_same_day:
        return "the channel does not reverse"
    assert order.paid_at is not None, "it was paid"
    clock = DayClock.of(able)
    if clock.business_on(order.paid_at) != clock.business_on(unit.now):
        return "its day is over at the channel"
    return None


def _settle(database: Database, attempt: Attempt, finding: Finding, *, actor: str) -> Ruling | None:
    """Record what the channel said; None where it declined, and the payment stands."""

    def work(unit: UnitOfWork) -> Ruling | None:
        (ruling,) = evidence.report(unit, [Report(attempt.id, Source.ANSWER, finding)])
        if ruling.attempt is AttemptState.REVERSED and ruling.is_new:
            splits.drop_planned(unit, attempt.order)
        if finding.said is not Said.DECLINED:
            return ruling
        held = attempts_table.lock(unit.connection, [attempt.id])[attempt.id]
        if held.is_reversing and held.state is AttemptState.SUCCEEDED:
            attempts_table.write(unit.connection, [replace(held, is_reversing=False)])
        return None

    return database.transact(work, actor=actor)
