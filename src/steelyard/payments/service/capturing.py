"""Capturing: what was authorized is taken, in parts or whole, and the rest is let go.

As everywhere: the intent is committed, the channel is asked in no transaction, its answer is
evidence, and what follows is written with its posting and its facts in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Refusal
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import Attempt, AttemptState, Follow, Move, Source
from steelyard.payments.model.capturing import (
    AUTHORIZATION_LIVES,
    CAPTURE_OF,
    IS_LAST,
    Capture,
    CaptureKind,
    CaptureState,
    check_capture,
    check_open,
    id_of,
    is_to_be_sent_again,
    left_minor,
    order_after,
    rule,
)
from steelyard.payments.model.capturing_refusals import (
    CaptureExceedsAuthorization,
    CaptureIsUnderWay,
    CaptureRequestWasUsed,
    PaymentIsNotAuthorized,
)
from steelyard.payments.model.channel import Finding, PayRequest, Query
from steelyard.payments.model.checks import whose
from steelyard.payments.model.orders import Order, OrderState
from steelyard.payments.model.refusals import PaymentAmountIsOutOfRange, PaymentIsUnknown
from steelyard.payments.service import facts, institution, limits
from steelyard.payments.service.capturing_facts import PaymentCaptured
from steelyard.payments.service.paying import Desk
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import capturing as table
from steelyard.payments.store import orders as orders_table
from steelyard.payments.store.attempts import EvidenceRow, FollowUp

__all__ = [
    "AUTHORIZATION_LIVES",
    "CAPTURE_OF",
    "IS_LAST",
    "REFUSALS",
    "Capture",
    "CaptureExceedsAuthorization",
    "CaptureIsUnderWay",
    "CaptureKind",
    "CaptureRequestWasUsed",
    "CaptureState",
    "Captured",
    "PaymentIsNotAuthorized",
    "capture",
    "list_captures",
    "report",
    "tend",
    "void",
]

REFUSALS: Final = (
    PaymentIsUnknown,
    PaymentIsNotAuthorized,
    CaptureIsUnderWay,
    CaptureRequestWasUsed,
    PaymentAmountIsOutOfRange,
    CaptureExceedsAuthorization,
)
"""How `capture` and `void` can refuse, in this order."""
_ACTOR: Final = "system:payments"
_CLAIM: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Captured:
    """An order and its capture, or release, after the channel was asked."""

    order: Order
    capture: Capture


def capture(
    database: Database,
    desk: Desk,
    order_id: UUID,
    *,
    request: UUID,
    amount_minor: int | None = None,
    is_last: bool = False,
    merchant: UUID | None = None,
    actor: str,
) -> Captured:
    """Take money that was set aside; asked again with the same request, the same capture.

    Parameters
    ----------
    amount_minor : None: all that is left
    is_last : nothing is taken after it; the channel lets the rest go

    Returns
    -------
    Captured
        The capture is `unknown` where the channel did not say what became of it: a job asks.

    Refusals
    --------
    payment_is_unknown, payment_is_not_authorized, capture_is_under_way, capture_request_was_used,
    payment_amount_is_out_of_range, capture_exceeds_authorization
    """

    def begin(unit: UnitOfWork) -> tuple[Capture, bool]:
        order, known = _held(unit, order_id, merchant)
        there = _same(unit.connection, order, request, CaptureKind.CAPTURE, amount_minor)
        if there is not None:
            return there, False
        amount = left_minor(order) if amount_minor is None else amount_minor
        refusal = check_capture(order, known, amount)
        if refusal is not None:
            raise refusal
        new = _new(unit, order, known, request, CaptureKind.CAPTURE)
        last = is_last or amount == left_minor(order)
        new = replace(new, amount_minor=amount, is_last=last)
        table.insert(unit.connection, new)
        return new, True

    return _go(database, desk, begin, actor=actor)


def void(
    database: Database,
    desk: Desk,
    order_id: UUID,
    *,
    request: UUID,
    merchant: UUID | None = None,
    is_by_clock: bool = False,
    actor: str,
) -> Captured:
    """Let what is left of an authorization go.

    An order of which nothing was captured is cancelled by it, or expired; one of which something
    was is paid by as much. Only the channel's word makes it so; until then a job asks again.

    Refusals
    --------
    payment_is_unknown, payment_is_not_authorized, capture_is_under_way, capture_request_was_used
    """

    def begin(unit: UnitOfWork) -> tuple[Capture, bool]:
        order, known = _held(unit, order_id, merchant)
        there = _same(unit.connection, order, request, CaptureKind.RELEASE, None)
        if there is not None:
            return there, False
        refusal = check_open(order, known)
        if refusal is not None:
            raise refusal
        new = _new(unit, order, known, request, CaptureKind.RELEASE)
        new = replace(new, is_by_clock=is_by_clock)
        table.insert(unit.connection, new)
        audit(unit, action="payments.void", subject=facts.subject_of(order))
        return new, True

    return _go(database, desk, begin, actor=actor)


def list_captures(
    connection: sa.Connection, order_id: UUID, *, merchant: UUID | None = None
) -> list[Capture]:
    """Return what was captured and released of an order, the first one first.

    Refusals
    --------
    payment_is_unknown
    """
    order = orders_table.find(connection, [order_id]).get(order_id)
    if order is None or not whose(order, merchant):
        raise PaymentIsUnknown(payment=order_id)
    return table.of_order(connection, order_id)


def report(unit: UnitOfWork, id: UUID, source: Source, finding: Finding) -> Captured:
    """Record evidence about a capture or a release, and let what follows from it happen."""
    order_id = table.find(unit.connection, [id])[id].order
    order = orders_table.lock(unit.connection, [order_id])[order_id]
    before = table.find(unit.connection, [id])[id]
    after = rule(before, finding, source, unit.now)
    is_new = after.state is not before.state
    attempts_table.insert_evidence(
        unit.connection,
        [
            EvidenceRow(
                unit.new_id(),
                id,
                False,
                source,
                finding,
                "" if is_new else "repeat",
                is_new,
                unit.actor,
                unit.now,
            )
        ],
    )
    if after == before:
        return Captured(order, before)
    after = table.write(unit.connection, after)
    if after.state is CaptureState.HELD:
        alarm = FollowUp(unit.new_id(), after.attempt, Follow.ALARM_INTEGRITY, unit.now)
        attempts_table.ask_follow_ups(unit.connection, [alarm])
    if after.state is not CaptureState.SUCCEEDED:
        return Captured(order, after)
    return Captured(_settle(unit, order, after), after)


def tend(database: Database, desk: Desk, *, limit: int = 100, actor: str = _ACTOR) -> int:
    """Ask what became of captures, take what nobody takes by hand, let go what is too old.

    Returns
    -------
    int
        How many were looked at.
    """
    now = database.now()
    with database.reading() as connection:
        asked = table.due(connection, now, limit)
        whole = table.orders_authorized(connection, now, automatic=True, limit=limit)
        old = table.orders_authorized(
            connection, now - AUTHORIZATION_LIVES, automatic=False, limit=limit
        )
        held = orders_table.find(connection, [*whole, *old])
    for id in asked:
        with suppress(Refusal):  # its channel is not at hand: asked about when it is
            _ask(database, desk, id, actor=actor)
    work: list[tuple[UUID, Callable[[UUID, UUID], object]]] = []
    work += [
        (id, lambda id, request: capture(database, desk, id, request=request, actor=actor))
        for id in whole
        if id not in old
    ]
    work += [
        (
            id,
            lambda id, request: void(
                database, desk, id, request=request, is_by_clock=True, actor=actor
            ),
        )
        for id in old
    ]
    for id, do in work:
        order = held[id]
        with suppress(Refusal):  # somebody else was quicker; what he began has its turn
            do(id, uuid5(order.id, f"tend:{order.version}"))
    return len(asked) + len(work)


def _held(unit: UnitOfWork, order_id: UUID, merchant: UUID | None) -> tuple[Order, list[Capture]]:
    order = orders_table.lock(unit.connection, [order_id]).get(order_id)
    if order is None or not whose(order, merchant):
        raise PaymentIsUnknown(payment=order_id)
    return order, table.of_order(unit.connection, order_id)


def _same(
    connection: sa.Connection,
    order: Order,
    request: UUID,
    kind: CaptureKind,
    amount_minor: int | None,
) -> Capture | None:
    """Return what was begun by the same request before."""
    there = table.find_request(connection, request)
    if there is None:
        return None
    if (there.order, there.kind) != (order.id, kind) or amount_minor not in (
        None,
        there.amount_minor,
    ):
        raise CaptureRequestWasUsed(capture=there.id, payment=there.order)
    return there


def _new(
    unit: UnitOfWork, order: Order, known: list[Capture], request: UUID, kind: CaptureKind
) -> Capture:
    assert order.paid_by is not None, "it is authorized"
    no = 1 + sum(one.attempt == order.paid_by for one in known)
    return Capture(
        id=id_of(order.paid_by, no),
        request=request,
        order=order.id,
        attempt=order.paid_by,
        no=no,
        kind=kind,
        amount_minor=left_minor(order),
        currency=order.currency,
        is_last=kind is CaptureKind.RELEASE,
        is_by_clock=False,
        state=CaptureState.SENT,
        version=1,
        sent_at=unit.now,
        next_query_at=unit.now + _CLAIM,
        actor=unit.actor,
    )


def _go(
    database: Database,
    desk: Desk,
    begin: Callable[[UnitOfWork], tuple[Capture, bool]],
    *,
    actor: str,
) -> Captured:
    """Commit the intent, then ask the channel; what a crash left behind is asked about."""
    one, is_new = database.transact(begin, actor=actor)
    if is_new:
        return _send(database, desk, one, actor=actor)
    if one.state.is_under_way:
        return _ask(database, desk, one.id, actor=actor)
    with database.reading() as connection:
        return Captured(orders_table.find(connection, [one.order])[one.order], one)


def _read(database: Database, one: Capture) -> tuple[Order, Attempt]:
    with database.reading() as connection:
        order = orders_table.find(connection, [one.order])[one.order]
        return order, attempts_table.find(connection, [one.attempt])[one.attempt]


def _send(
    database: Database, desk: Desk, one: Capture, *, source: Source = Source.ANSWER, actor: str
) -> Captured:
    order, attempt = _read(database, one)
    channel = desk.get(attempt.channel)
    if one.kind is CaptureKind.RELEASE:
        finding = channel.cancel(_query_of(attempt))
    else:
        details = {**attempt.details, CAPTURE_OF: attempt.number}
        if one.is_last:
            details[IS_LAST] = "true"
        finding = channel.pay(
            PayRequest(
                number=one.number,
                amount_minor=one.amount_minor,
                currency=one.currency,
                method=attempt.method,
                subject=order.subject,
                merchant=order.merchant.hex,
                sent_at=one.sent_at,
                instrument=attempt.instrument,
                details=details,
            )
        )
    return database.transact(lambda unit: report(unit, one.id, source, finding), actor=actor)


def _ask(database: Database, desk: Desk, id: UUID, *, actor: str) -> Captured:
    """Ask what became of a capture; one that the channel never had is asked for again."""
    with database.reading() as connection:
        one = table.find(connection, [id])[id]
    order, attempt = _read(database, one)
    if not one.state.is_under_way:
        return Captured(order, one)
    if one.kind is CaptureKind.RELEASE:
        # A cancellation is its own question: asked again, it says what became of the first.
        return _send(database, desk, one, source=Source.QUERY, actor=actor)
    query = Query(number=one.number, reference=one.reference, sent_at=one.sent_at)
    finding = desk.get(attempt.channel).query(query)
    learnt = database.transact(
        lambda unit: report(unit, one.id, Source.QUERY, finding), actor=actor
    )
    visibility = attempt.visibility_seconds
    if learnt.capture.state.is_under_way and is_to_be_sent_again(
        one, finding, database.now(), visibility
    ):
        return _send(database, desk, one, actor=actor)
    return learnt


def _query_of(attempt: Attempt) -> Query:
    return Query(number=attempt.number, reference=attempt.reference, sent_at=attempt.sent_at)


def _settle(unit: UnitOfWork, order: Order, done: Capture) -> Order:
    """Write, tell and post what follows from a capture or release that went through."""
    attempt = attempts_table.lock(unit.connection, [done.attempt])[done.attempt]
    after = order_after(order, done)
    is_taken = after.captured_minor > 0
    if attempt.state is AttemptState.AUTHORIZED:
        state = AttemptState.SUCCEEDED if is_taken else AttemptState.CLOSED
        ended = replace(attempt, state=state, final_at=unit.now, next_query_at=None)
        attempts_table.write(unit.connection, [ended])
        limits.give_back(unit, [ended])
    orders_table.write(unit.connection, [after])
    after = replace(after, version=after.version + 1)
    _tell(unit, order, after, attempt, done)
    if done.kind is CaptureKind.CAPTURE:
        _post(unit, after, attempt, done)
    return after


def _tell(unit: UnitOfWork, before: Order, after: Order, attempt: Attempt, done: Capture) -> None:
    subject = facts.subject_of(after)
    if done.kind is CaptureKind.CAPTURE:
        unit.record(
            PaymentCaptured(
                **facts.about(after, attempt),
                capture=done.id,
                captured_minor=done.amount_minor,
                total_minor=after.captured_minor,
                is_last=after.state is OrderState.SUCCEEDED,
            ),
            subject=subject,
        )
    if before.state is after.state:
        return
    if after.state is OrderState.SUCCEEDED:
        # What was paid is what was taken, be it less than was asked for.
        told = facts.about(after, attempt, amount_minor=after.captured_minor)
        unit.record(facts.PaymentSucceeded(**told), subject=subject)
    elif after.state is OrderState.CANCELLED:
        unit.record(facts.PaymentCancelled(**facts.about(after, attempt)), subject=subject)
    elif after.state is OrderState.EXPIRED:
        unit.record(facts.PaymentExpired(**facts.about(after, attempt)), subject=subject)


def _post(unit: UnitOfWork, order: Order, attempt: Attempt, done: Capture) -> None:
    book = institution.read_known(unit.connection, order.mode).client_book
    (posting,) = accounts.postings_of(
        (Move.CAPTURE,),
        channel=attempt.channel,
        merchant=order.merchant,
        amount_minor=done.amount_minor,
        currency=done.currency,
    )
    codes = [(code, done.currency) for code in (posting.debit, posting.credit)]
    institution.have_accounts(unit, book, codes)
    transfer = Transfer(
        id=uuid5(done.id, Move.CAPTURE.value),
        book=book,
        cause=attempt.cause,
        debit=posting.debit,
        credit=posting.credit,
        amount_minor=posting.amount_minor,
        currency=done.currency,
        decision_id=attempt.decision,
        metadata={"payment": str(order.id), "capture": str(done.id)},
    )
    accepted(post(unit, [transfer]))
