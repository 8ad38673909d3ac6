"""What is done about refunds, disputes and splits by itself: sent, asked about, watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import uuid5

from steelyard.base import Database, UnitOfWork
from steelyard.base.jobs import Every, JobContext, job
from steelyard.cases import open_case
from steelyard.kernel import Refusal
from steelyard.payments.model.attempts import Follow, Source
from steelyard.payments.model.refunds import Home, Refund, RefundMove, RefundState
from steelyard.payments.service import disputes, refunds_facts, reversal, splits
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Desk
from steelyard.payments.service.refunds import take_up
from steelyard.payments.service.refunds_asking import SUCCEEDED, WAIT
from steelyard.payments.service.refunds_change import open_change
from steelyard.payments.service.refunds_evidence import REFUND_CASE, RefundReport, rule
from steelyard.payments.service.refunds_sending import ask_about, send
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import refunds as table
from steelyard.payments.store import splits as splits_table
from steelyard.payments.store.attempts import FollowUp

__all__ = [
    "give_back_unclaimed",
    "move_refunds",
    "send_waiting",
    "share_payments",
    "share_waiting",
    "take_up_waiting",
    "tend_refunds",
    "watch_overdue",
]

_BATCH: Final = 100
_SHARED_SINCE: Final = timedelta(days=30)
"""How far back payments are looked at whose splits were never planned."""
_KINDS: Final = (Follow.REFUND_DUPLICATE, Follow.REFUND_LATE)


def give_back_unclaimed(database: Database, *, limit: int = _BATCH, actor: str) -> int:
    """Begin the refund of money that came late or twice, once for each; return how many."""
    with database.reading() as connection:
        due = attempts_table.open_follow_ups(connection, _KINDS, limit)
    return sum(database.transact(partial(_give_back, follow_up=one), actor=actor) for one in due)


def _give_back(unit: UnitOfWork, follow_up: FollowUp) -> bool:
    """Set the money of an attempt aside for its payer; False where that was done before."""
    connection = unit.connection
    of = attempts_table.orders_of(connection, [follow_up.attempt])[follow_up.attempt]
    change = open_change(unit, [of])
    if not attempts_table.finish_follow_up(connection, follow_up.id, unit.now):
        return False
    attempt = attempts_table.find(connection, [follow_up.attempt])[follow_up.attempt]
    change.attempts[attempt.id] = attempt
    order = change.orders[of]
    refund = Refund(
        id=uuid5(attempt.id, "give_back"),
        order=order.id,
        attempt=attempt.id,
        merchant=order.merchant,
        mode=order.mode,
        refund_no=f"auto-{attempt.number}",
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        channel=attempt.channel,
        state=RefundState.RESERVED,
        version=1,
        asked_at=unit.now,
        asked_by=unit.actor,
        reason=follow_up.kind.value,
        is_automatic=True,
        home=Home.UNCLAIMED,
        visibility_seconds=attempt.visibility_seconds,
        wait_until_at=unit.now + WAIT,
    )
    change.fresh.add(refund.id)
    change.set(refund)
    change.move(refund, RefundMove.RESERVE)
    fact = refunds_facts.RefundAsked(**refunds_facts.about(order, attempt, refund))
    change.told.append((fact, refunds_facts.subject_of(order.id)))
    if attempt.channel == BALANCE:
        rule(change, RefundReport(refund.id, Source.ANSWER, SUCCEEDED))
    change.write()
    return True


def send_waiting(database: Database, desk: Desk, *, limit: int = _BATCH, actor: str) -> int:
    """Send refunds that are set aside and ask about those whose turn it is; return how many."""
    with database.reading() as connection:
        waiting = table.in_state(connection, RefundState.RESERVED, limit=limit)
        due = table.due(connection, database.clock.read(connection), limit)
    sent = send(database, desk, [one.id for one in waiting], actor=actor)
    asked = ask_about(database, desk, due, actor=actor)
    return len(sent) + len(asked)


def take_up_waiting(database: Database, desk: Desk, *, limit: int = _BATCH, actor: str) -> int:
    """Set refunds aside that were approved, or whose merchant has money now; return how many.

    Those of which nothing has changed are left waiting; one whose approval was refused is closed.
    """
    with database.reading() as connection:
        waiting = [
            one.id
            for state in (RefundState.APPROVAL, RefundState.CREATED)
            for one in table.in_state(connection, state, limit=limit)
        ]
    count = 0
    for one in waiting:
        try:
            database.transact(partial(take_up, refund=one, desk=desk), actor=actor)
        except Refusal:
            continue
        count += 1
    return count


def watch_overdue(unit: UnitOfWork, *, limit: int = _BATCH) -> int:
    """Put refunds before people on which a channel takes longer than agreed; return how many.

    Nothing is concluded from the time: they stay what they are, and are asked about on.
    """
    due = table.overdue(unit.connection, unit.now, limit)
    of = table.orders_of(unit.connection, due)
    change = open_change(unit, list(of.values()))
    for refund in table.lock(unit.connection, due).values():
        if refund.wait_until_at is None or refund.wait_until_at > unit.now:
            continue
        change.set(replace(refund, wait_until_at=None))
        order = change.orders[refund.order]
        attempt = change.attempts.get(refund.attempt)
        fact = refunds_facts.RefundIsOverdue(**refunds_facts.about(order, attempt, refund))
        change.told.append((fact, refunds_facts.subject_of(order.id)))
        open_case(
            unit,
            REFUND_CASE.name,
            f"refund:{refund.id}",
            dedup_key=f"{refund.id}/overdue",
            links=(f"payment:{refund.order}",),
        )
    change.write()
    return len(due)


def share_waiting(database: Database, *, limit: int = _BATCH, actor: str) -> int:
    """Plan the splits of payments that were captured, post those that were cleared."""
    with database.reading() as connection:
        since = database.clock.read(connection) - _SHARED_SINCE
        captured = splits_table.captured_without(connection, since, limit)
        cleared = splits_table.cleared_and_planned(connection, limit)
    done = sum(_quietly(database, partial(splits.share, order_id=one), actor) for one in captured)
    return done + sum(
        _quietly(database, partial(splits.post_planned, order_id=one), actor) for one in cleared
    )


def _quietly(database: Database, work: Callable[[UnitOfWork], object], actor: str) -> bool:
    """Do something for one of many; a refusal is its own affair."""
    try:
        database.transact(work, actor=actor)
    except Refusal:
        return False
    return True


@job("payments.move_refunds", schedule=Every(timedelta(seconds=5)))
def move_refunds(context: JobContext) -> None:
    """Give unclaimed money back, send refunds, and ask what became of those that were sent."""
    give_back_unclaimed(context.database, actor=context.actor)
    desk = getattr(context.platform, "channels", None)
    if desk is not None:
        send_waiting(context.database, desk, actor=context.actor)


@job("payments.tend_refunds", schedule=Every(timedelta(minutes=1)))
def tend_refunds(context: JobContext) -> None:
    """Take up what waited, put before people what takes too long, let deadlines pass."""
    context.transact(watch_overdue)
    context.transact(disputes.expire_due)
    desk = getattr(context.platform, "channels", None)
    if desk is not None:
        take_up_waiting(context.database, desk, actor=context.actor)
        reversal.ask_again(context.database, desk, actor=context.actor)


@job("payments.share_payments", schedule=Every(timedelta(minutes=1)))
def share_payments(context: JobContext) -> None:
    """Let parts of payments go to others, as orders say."""
    share_waiting(context.database, actor=context.actor)
