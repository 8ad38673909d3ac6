"""Refunds: asked for, approved, sent, delivered by another way, or taken back.

Every verb that writes locks the order first, so that many refunds of one payment at once add up:
what was captured, less what went back, is under way or disputed, is never exceeded.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.parties import approvals
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.refunds import (
    NewRefund,
    Refund,
    RefundMove,
    RefundState,
)
from steelyard.payments.model.refunds_refusals import (
    MerchantBalanceIsShort,
    PaymentIsNotRefundable,
    PaymentRefundIsUnknown,
    RefundExceedsPayment,
    RefundIsNotWhole,
    RefundIsTooLate,
    RefundNoWasUsed,
    RefundStateForbids,
    ReversalIsUnderWay,
)
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Desk
from steelyard.payments.service.refunds_asking import (
    ASK_REFUSALS,
    REFUND,
    SUCCEEDED,
    WAIT,
    Asking,
    Effect,
    ask,
    check,
    paying_attempt,
    preview,
    set_aside,
    shown,
)
from steelyard.payments.service.refunds_change import Change, open_change
from steelyard.payments.service.refunds_evidence import (
    REFUND_CASE,
    RefundReport,
    report,
    rule,
)
from steelyard.payments.service.refunds_sending import ask_about, send
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import orders as orders_table
from steelyard.payments.store import refunds as table
from steelyard.payments.store.attempts import EvidenceRow
from steelyard.payments.store.refunds import Loss

__all__ = [
    "ASK_REFUSALS",
    "REFUND",
    "REFUND_CASE",
    "REROUTE",
    "Effect",
    "Loss",
    "MerchantBalanceIsShort",
    "NewRefund",
    "PaymentIsNotRefundable",
    "PaymentRefundIsUnknown",
    "Refund",
    "RefundExceedsPayment",
    "RefundIsNotWhole",
    "RefundIsTooLate",
    "RefundNoWasUsed",
    "RefundReport",
    "RefundState",
    "RefundStateForbids",
    "ReversalIsUnderWay",
    "ask",
    "ask_about",
    "ask_reroute",
    "evidence_of",
    "give_up",
    "list_refunds",
    "losses_of",
    "of_order",
    "preview",
    "read",
    "report",
    "reroute",
    "send",
    "take_up",
    "withdraw",
]

REROUTE: Final = approvals.approval_kind(
    "payments.refund_reroute",
    verb="payments.approve",
    en="Send a refund to another account of the payer",
    zh="退款改汇其他账户",
    lives=timedelta(days=3),
)


def _hold(unit: UnitOfWork, refund: UUID, merchant: UUID | None) -> tuple[Change, Refund]:
    """Lock a refund and its order."""
    of = table.orders_of(unit.connection, [refund]).get(refund)
    if of is None:
        raise PaymentRefundIsUnknown(refund=refund)
    change = open_change(unit, [of])
    found = table.lock(unit.connection, [refund])[refund]
    if merchant not in (None, found.merchant):
        raise PaymentRefundIsUnknown(refund=refund)
    change.refunds[refund] = found
    if found.attempt not in change.attempts:
        change.attempts |= attempts_table.find(unit.connection, [found.attempt])
    return change, found


def take_up(
    unit: UnitOfWork, refund: UUID, *, desk: Desk | None = None, merchant: UUID | None = None
) -> Refund:
    """Set a refund aside that waited for a second person's yes, or for the merchant's balance.

    A refund whose approval was refused, or ran out, is closed.

    Refusals
    --------
    payment_refund_is_unknown, refund_state_forbids, approval_is_needed
    those of `ASK_REFUSALS` that can have come true meanwhile
    """
    change, found = _hold(unit, refund, merchant)
    if not found.state.is_before:
        raise RefundStateForbids(refund=refund, state=found.state.value, verb="take_up")
    if found.approval is not None and _refused(unit, found.approval):
        return _close(change, found)
    asking = Asking(unit, change, desk)
    order = change.orders[found.order]
    attempt = paying_attempt(change, order)
    check(asking, order, attempt, found.amount_minor)
    if found.approval is not None:
        approvals.consume_approval(
            unit,
            found.approval,
            kind=REFUND.name,
            subject=f"refund:{found.id}",
            shown=shown(found),
        )
    found = set_aside(asking, found, order)
    if found.channel == BALANCE:
        rule(change, RefundReport(found.id, Source.ANSWER, SUCCEEDED))
    change.write()
    return table.read(unit.connection, refund)


def _refused(unit: UnitOfWork, approval: UUID) -> bool:
    """Return whether a second person said no, or it is too late for his yes.

    Refusals
    --------
    approval_is_needed : nobody has decided yet
    """
    state = approvals.read_approval(unit.connection, approval).at(unit.wall_at)
    if state is approvals.ApprovalState.REQUESTED:
        raise approvals.ApprovalIsNeeded(name=REFUND.name)
    return state is not approvals.ApprovalState.APPROVED


def _close(change: Change, refund: Refund) -> Refund:
    """Close a refund that did not go out; what was set aside is given back."""
    unit = change.unit
    closed = replace(
        refund,
        state=RefundState.CLOSED,
        next_query_at=None,
        wait_until_at=None,
        final_at=unit.now,
    )
    change.set(closed)
    if refund.state.is_set_aside:
        change.move(closed, RefundMove.RELEASE, of_excess_minor=refund.excess_minor)
    change.tell(closed)
    change.write()
    audit(
        unit,
        action="payments.close_refund",
        subject=f"refund:{refund.id}",
        detail={"state": refund.state.value},
    )
    return table.read(unit.connection, refund.id)


def withdraw(unit: UnitOfWork, refund: UUID, *, merchant: UUID | None = None) -> Refund:
    """Take a refund back before it is sent.

    Refusals
    --------
    payment_refund_is_unknown, refund_state_forbids
    """
    change, found = _hold(unit, refund, merchant)
    if not (found.state.is_before or found.state is RefundState.RESERVED) or found.is_automatic:
        raise RefundStateForbids(refund=refund, state=found.state.value, verb="withdraw")
    return _close(change, found)


def give_up(unit: UnitOfWork, refund: UUID) -> Refund:
    """Give a refund that no account of the payer takes back to where it came from.

    Refusals
    --------
    payment_refund_is_unknown, refund_state_forbids
    """
    change, found = _hold(unit, refund, None)
    if found.state not in (RefundState.ABNORMAL, RefundState.RETURNED):
        raise RefundStateForbids(refund=refund, state=found.state.value, verb="give_up")
    return _close(change, found)


def ask_reroute(unit: UnitOfWork, refund: UUID, *, destination: str) -> approvals.Approval:
    """Ask for a second person's yes to sending a refund to another account of its payer.

    Parameters
    ----------
    destination : reference of the account, `noun:id`, never its number

    Refusals
    --------
    payment_refund_is_unknown, refund_state_forbids
    """
    _, found = _hold(unit, refund, None)
    _must_need_account(found)
    return approvals.request_approval(
        unit,
        kind=REROUTE.name,
        subject=f"refund:{refund}",
        shown={**shown(found), "destination": destination},
        by=unit.actor,
    )


def reroute(unit: UnitOfWork, refund: UUID, *, destination: str, approval: UUID) -> Refund:
    """Let people send a refund to another account of its payer; they report what became of it.

    Refusals
    --------
    payment_refund_is_unknown, refund_state_forbids, and those of `consume_approval`
    """
    change, found = _hold(unit, refund, None)
    _must_need_account(found)
    approvals.consume_approval(
        unit,
        approval,
        kind=REROUTE.name,
        subject=f"refund:{refund}",
        shown={**shown(found), "destination": destination},
    )
    change.set(
        replace(
            found,
            state=RefundState.PROCESSING,
            destination=destination,
            wait_until_at=unit.now + WAIT,
        )
    )
    change.write()
    audit(
        unit,
        action="payments.reroute_refund",
        subject=f"refund:{refund}",
        detail={"destination": destination, "approval": str(approval)},
    )
    return table.read(unit.connection, refund)


def _must_need_account(refund: Refund) -> None:
    if refund.state not in (RefundState.ABNORMAL, RefundState.RETURNED):
        raise RefundStateForbids(refund=refund.id, state=refund.state.value, verb="reroute")


def read(connection: sa.Connection, refund: UUID, *, merchant: UUID | None = None) -> Refund:
    """Return a refund.

    Parameters
    ----------
    merchant : whose it must be; None: anybody's

    Refusals
    --------
    payment_refund_is_unknown
    """
    found = table.read(connection, refund)
    if merchant not in (None, found.merchant):
        raise PaymentRefundIsUnknown(refund=refund)
    return found


def of_order(
    connection: sa.Connection, order: UUID, *, merchant: UUID | None = None
) -> list[Refund]:
    """Return the refunds of a payment, the oldest first.

    Refusals
    --------
    payment_is_unknown
    """
    found = orders_table.find(connection, [order]).get(order)
    if found is None or merchant not in (None, found.merchant):
        raise PaymentIsUnknown(payment=order)
    return table.of_order(connection, order)


def evidence_of(connection: sa.Connection, refund: UUID) -> list[EvidenceRow]:
    """Return what was learnt about a refund, the oldest first."""
    return attempts_table.evidence_about(connection, refund)


def losses_of(connection: sa.Connection, order: UUID) -> list[Loss]:
    """Return what left a channel beyond what a payment had, the oldest first."""
    return table.losses_of(connection, order)


def list_refunds(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    order: UUID | None = None,
    state: RefundState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Refund]:
    """Return a page of refunds, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before = position_of(cursor)
    found = table.list_newest(
        connection, limit=limit + 1, before=before, merchant=merchant, order=order, state=state
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.asked_at.isoformat(), str(last.id)) if last else None)


def position_of(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Return the instant and id in a cursor.

    Refusals
    --------
    cursor_is_invalid
    """
    if cursor is None:
        return None
    at, id = decode_cursor(cursor, str, str)
    try:
        return datetime.fromisoformat(str(at)), UUID(str(id))
    except ValueError:
        raise CursorIsInvalid from None
