"""Orders: created, begun, ended. What money does to them is decided by evidence alone.

Every verb takes many at once, and one is a batch of one: what a batch cannot do for one item is
that item's refusal, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Outcome, UnitOfWork, Verdict
from steelyard.base.audit import audit
from steelyard.decisions import Use, consume_all
from steelyard.kernel import Page, Refusal, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.payments.model.attempts import Attempt, AttemptState, next_query
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.checks import LIVES, check_begin, check_order, same_order, whose
from steelyard.payments.model.orders import (
    Capture,
    Mode,
    NewOrder,
    Order,
    OrderState,
    Payer,
    Scenario,
)
from steelyard.payments.model.refusals import (
    ChannelCannot,
    CurrencyIsNotTaken,
    ExpiryIsOutOfRange,
    MethodIsNotTaken,
    OrderNoWasUsed,
    PaymentAmountIsOutOfRange,
    PaymentIsOver,
    PaymentIsPaid,
    PaymentIsUnderWay,
    PaymentIsUnknown,
    PaymentMerchantIsNotActive,
    PaymentMerchantIsUnknown,
    PaymentStateForbids,
)
from steelyard.payments.service import facts, limits
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import orders as table

__all__ = [
    "Attempt",
    "AttemptState",
    "Begin",
    "Begun",
    "Capture",
    "ChannelCannot",
    "CurrencyIsNotTaken",
    "ExpiryIsOutOfRange",
    "History",
    "Method",
    "MethodIsNotTaken",
    "Mode",
    "NewOrder",
    "Order",
    "OrderNoWasUsed",
    "OrderState",
    "Payer",
    "PaymentAmountIsOutOfRange",
    "PaymentIsOver",
    "PaymentIsPaid",
    "PaymentIsUnderWay",
    "PaymentIsUnknown",
    "PaymentMerchantIsNotActive",
    "PaymentMerchantIsUnknown",
    "PaymentStateForbids",
    "Scenario",
    "begin",
    "cancel",
    "create",
    "end_due",
    "find",
    "list_orders",
    "read",
]

NO_POLICY: Final = "no_policy@0"
_PROOF: Final = "proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """An attempt to begin.

    Attributes
    ----------
    attempt : its id, chosen before, because the gate is asked about it
    verdict : what the gate said; None: no gate was asked
    payer : who pays, where it became known after the order was created
    visibility_seconds : of the channel
    propensity : with which probability the routing chose the channel
    actor : who begins it, where that is not the unit's own actor
    waits_for : what the payer has to do before it is sent, whatever the gate says
    """

    order: UUID
    attempt: UUID
    method: Method
    channel: str
    verdict: Verdict | None = None
    payer: Payer | None = None
    visibility_seconds: int = 60
    propensity: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    actor: str | None = None
    waits_for: str | None = None

    @property
    def passes(self) -> bool:
        """Whether the gate lets it go to the channel, whatever its amount."""
        return self.verdict is None or self.verdict.outcome in (Outcome.APPROVE, Outcome.LIMIT)


class Begun(NamedTuple):
    """An attempt that is there now.

    Attributes
    ----------
    is_new : whether it began here; one that was there before is not sent, but asked about
    """

    attempt: Attempt
    is_new: bool


@dataclass(frozen=True, slots=True)
class History:
    """An order with everything that was tried and learnt."""

    order: Order
    attempts: tuple[Attempt, ...]
    evidence: tuple[attempts_table.EvidenceRow, ...]


def create(
    unit: UnitOfWork, news: Sequence[NewOrder], *, actors: Mapping[UUID, str] | None = None
) -> list[Order | Refusal]:
    """Create orders; one that is there already, the same, is returned as it stands.

    Parameters
    ----------
    actors : who creates each, by its id, where that is not the unit's own actor

    Returns
    -------
    list of Order or Refusal
        One for each, in their order.

    Refusals
    --------
    those of `check_order`, order_no_was_used
    """
    terms = contracts.merchant_terms(unit.connection, [new.merchant for new in news])
    refused = {new.id: check_order(new, terms.get(new.merchant), unit.now) for new in news}
    fresh = {new.id: made(new, unit.now) for new in news if refused[new.id] is None}
    inserted = table.insert(unit.connection, list(fresh.values()))
    answers: list[Order | Refusal] = []
    for new in news:
        refusal = refused[new.id]
        if refusal is not None:
            answers.append(refusal)
        elif new.id in inserted:
            order = fresh[new.id]
            unit.record(
                facts.OrderCreated(**facts.about(order)),
                subject=facts.subject_of(order),
                actor=(actors or {}).get(new.id),
            )
            answers.append(order)
        else:
            answers.append(_present(unit, new))
    return answers


def create_begun(
    unit: UnitOfWork, pairs: Sequence[tuple[NewOrder, Begin]]
) -> list[tuple[Order, Begun] | Refusal | None]:
    """Create orders and begin their first attempts, written once each.

    Returns
    -------
    list of (Order, Begun), Refusal or None
        One for each; None where the order, or its number, was there before: `create` and `begin`
        say what that means.

    Refusals
    --------
    those of `check_order`; those of decisions, for the whole batch; what a limit refuses is None
    """
    terms = contracts.merchant_terms(unit.connection, [new.merchant for new, _ in pairs])
    answers: list[tuple[Order, Begun] | Refusal | None] = []
    fresh: dict[UUID, tuple[Order, Attempt, Begin]] = {}
    for new, one in pairs:
        refusal = check_order(new, terms.get(new.merchant), unit.now)
        if refusal is not None:
            answers.append(refusal)
            continue
        first = made(new, unit.now)
        attempt = begun(first, one, unit.now)
        order = order_begun(first, one, attempt)
        fresh[new.id] = (order, attempt, one)
        answers.append((order, Begun(attempt, True)))
    # What a limit refuses is left to `begin`: the order is created, and its attempt is refused.
    full = (
        _full(unit, list(fresh.values())) if any(one.has_limits for one in terms.values()) else {}
    )
    fresh = {id: made_of for id, made_of in fresh.items() if id not in full}
    inserted = attempts_table.insert_begun(
        unit.connection,
        [order for order, _, _ in fresh.values()],
        [attempt for _, attempt, _ in fresh.values()],
    )
    uses = []
    for id, (order, attempt, one) in fresh.items():
        if id not in inserted:
            continue
        if attempt.decision is not None and attempt.state is AttemptState.SENT:
            by = f"transfer:{attempt.id}"
            uses.append(Use(attempt.decision, by, attempt.amount_minor))
        created = facts.OrderCreated(**facts.about(order))
        unit.record(created, subject=facts.subject_of(order), actor=one.actor)
        _tell(unit, order, attempt, one.actor)
    there = [attempt.id for id, (_, attempt, _) in fresh.items() if id not in inserted]
    limits.give_back_unbegun(unit, there)
    if uses:
        consume_all(unit, uses)
    return [
        None if isinstance(one, tuple) and one[0].id not in inserted else one for one in answers
    ]


def _full(
    unit: UnitOfWork, begins: Sequence[tuple[Order, Attempt, Begin]]
) -> dict[UUID, limits.LimitIsReached]:
    """Count attempts that the gate did not decline; return what is refused, by order."""
    counted = [
        limits.spending_of(order, attempt)
        for order, attempt, _ in begins
        if attempt.state is not AttemptState.DECLINED
    ]
    of = {attempt.id: order.id for order, attempt, _ in begins}
    taken = zip(counted, limits.take(unit, counted), strict=True)
    return {of[one.attempt]: refusal for one, refusal in taken if refusal is not None}


def made(new: NewOrder, now: datetime) -> Order:
    """Return the order that is created."""
    values = {name: getattr(new, name) for name in NewOrder.__slots__}
    values |= {
        "state": OrderState.CREATED,
        "version": 1,
        "created_at": now,
        "expires_at": new.expires_at or now + LIVES,
    }
    return Order(**values)


def _present(unit: UnitOfWork, new: NewOrder) -> Order | Refusal:
    """Return the order that has the number already, if it is the same."""
    found = table.find_by_number(unit.connection, new.merchant, new.mode, new.order_no)
    if found is None:
        found = table.find(unit.connection, [new.id])[new.id]
    if same_order(new, found):
        return found
    return OrderNoWasUsed(order_no=new.order_no, payment=found.id)


def begin(unit: UnitOfWork, begins: Sequence[Begin]) -> list[Begun | Refusal]:
    """Begin attempts: what is written is the intent, the channel is called after the commit.

    What the gate let pass is sent; what it declined stands as a declined attempt; where it wants
    more proof the attempt waits, and the payer is told. A decision that lets pass is used up here.

    Returns
    -------
    list of Begun or Refusal
        One for each. An attempt that was begun before is returned as it stands.

    Refusals
    --------
    payment_is_unknown, limit_is_reached, those of `check_begin`; those of decisions, for the whole
    batch
    """
    connection = unit.connection
    orders = table.lock(connection, [one.order for one in begins])
    present = attempts_table.find(connection, [one.attempt for one in begins])
    fresh: list[tuple[Attempt, str | None]] = []
    changed: dict[UUID, Order] = {}
    uses: list[Use] = []
    answers: list[Begun | Refusal] = []
    full = _full_of(unit, begins, orders, present)
    for one in begins:
        order = changed.get(one.order) or orders.get(one.order)
        if one.attempt in present:
            answers.append(Begun(present[one.attempt], False))
            continue
        if order is None:
            answers.append(PaymentIsUnknown(payment=one.order))
            continue
        refusal = check_begin(order, one.method, unit.now) or full.get(one.order)
        if refusal is not None:
            answers.append(refusal)
            continue
        attempt = begun(order, one, unit.now)
        if attempt.decision is not None and attempt.state is AttemptState.SENT:
            by = f"transfer:{attempt.id}"
            uses.append(Use(attempt.decision, by, attempt.amount_minor))
        fresh.append((attempt, one.actor))
        answers.append(Begun(attempt, True))
        changed[order.id] = order_begun(order, one, attempt)
    if uses:
        consume_all(unit, uses)
    attempts_table.insert(connection, [attempt for attempt, _ in fresh])
    table.write(connection, list(changed.values()))
    for attempt, actor in fresh:
        _tell(unit, changed[attempt.order], attempt, actor)
    return answers


def _full_of(
    unit: UnitOfWork,
    begins: Sequence[Begin],
    orders: Mapping[UUID, Order],
    present: Mapping[UUID, Attempt],
) -> dict[UUID, Refusal]:
    """Count the attempts that can begin, one of an order; return what is refused, by order."""
    counted: list[limits.Spending] = []
    of: dict[UUID, UUID] = {}
    for one in begins:
        order = orders.get(one.order)
        if order is None or one.attempt in present or order.id in of.values():
            continue
        if check_begin(order, one.method, unit.now) is None:
            attempt = begun(order, one, unit.now)
            paid_by = order if one.payer is None else replace(order, payer=one.payer)
            if attempt.state is not AttemptState.DECLINED:
                counted.append(limits.spending_of(paid_by, attempt))
                of[attempt.id] = order.id
    taken = zip(counted, limits.take(unit, counted), strict=True)
    return {of[one.attempt]: refusal for one, refusal in taken if refusal is not None}


def begun(order: Order, one: Begin, now: datetime) -> Attempt:
    """Return the attempt as it begins: sent, declined by the gate, or waiting for a proof."""
    verdict = one.verdict
    state, decline = AttemptState.SENT, None
    if verdict is not None and verdict.outcome is Outcome.STEP_UP:
        state = AttemptState.INIT
    elif not one.passes or not _within(verdict, order.amount_minor):
        state, decline = AttemptState.DECLINED, Decline.SUSPECTED_FRAUD
    elif one.waits_for is not None:
        state = AttemptState.INIT
    return Attempt(
        id=one.attempt,
        order=order.id,
        no=order.attempts + 1,
        channel=one.channel,
        method=one.method,
        amount_minor=order.amount_minor,
        currency=order.currency,
        state=state,
        version=1,
        sent_at=now,
        cause=NO_POLICY if verdict is None else verdict.cause,
        decision=None if verdict is None else verdict.decision_id,
        instrument=(one.payer or order.payer).instrument,
        decline=decline,
        code=",".join(verdict.reasons)[:200] if verdict is not None and decline else None,
        action={"kind": one.waits_for or _PROOF} if state is AttemptState.INIT else None,
        next_query_at=next_query(now, 0) if state is AttemptState.SENT else None,
        visibility_seconds=one.visibility_seconds,
        final_at=now if state is AttemptState.DECLINED else None,
        propensity=one.propensity,
        details=one.details,
    )


def _within(verdict: Verdict | None, amount_minor: int) -> bool:
    limit = None if verdict is None else verdict.limit_minor
    return limit is None or amount_minor <= limit


def order_begun(order: Order, one: Begin, attempt: Attempt) -> Order:
    """Return the order of an attempt that has begun, or was declined by the gate."""
    state = OrderState.PROCESSING
    if attempt.state is AttemptState.INIT:
        state = OrderState.REQUIRES_ACTION
    elif attempt.state is AttemptState.DECLINED:
        is_out = attempt.no >= order.most_attempts
        state = OrderState.FAILED if is_out else OrderState.OPEN
    return replace(order, state=state, attempts=attempt.no, payer=one.payer or order.payer)


def _tell(unit: UnitOfWork, order: Order, attempt: Attempt, actor: str | None) -> None:
    told, subject = facts.about(order, attempt), facts.subject_of(order)
    if attempt.state is AttemptState.INIT:
        unit.record(facts.PaymentRequiresAction(**told), subject=subject, actor=actor)
    elif attempt.state is AttemptState.DECLINED:
        reason = (attempt.code or Decline.SUSPECTED_FRAUD.value).split(",")[0]
        unit.record(facts.AttemptDeclined(**told, reason=reason), subject=subject, actor=actor)
        if order.state is OrderState.FAILED:
            unit.record(facts.PaymentFailed(**told), subject=subject, actor=actor)


def cancel(unit: UnitOfWork, order_id: UUID, *, merchant: UUID | None = None) -> Order:
    """End an order that is not paid, because the merchant wishes it.

    Where an attempt is under way the order is `expiring` until the channel has closed it: money
    that comes meanwhile pays the order after all, money that comes later is given back.

    Refusals
    --------
    payment_is_unknown, payment_is_paid, payment_is_over
    """
    order = _mine(table.lock(unit.connection, [order_id]).get(order_id), order_id, merchant)
    if order.paid_by is not None:
        raise PaymentIsPaid(payment=order.id)
    if order.state.is_over:
        raise PaymentIsOver(payment=order.id, state=order.state.value)
    ended = _end(unit, order, is_cancelling=True)
    audit(unit, action="payments.cancel", subject=facts.subject_of(order))
    return ended


def end_due(unit: UnitOfWork, *, limit: int = 200) -> int:
    """Begin the end of orders whose time is over; return how many.

    An order without an attempt under way is expired at once; one with an attempt is `expiring`:
    its channel is asked, then asked to close, and only its word ends the order.
    """
    due = table.due(unit.connection, unit.now, limit)
    for order in table.lock(unit.connection, due).values():
        if order.expires_at <= unit.now and not order.state.is_over and order.paid_by is None:
            _end(unit, order, is_cancelling=False)
    return len(due)


def _end(unit: UnitOfWork, order: Order, *, is_cancelling: bool) -> Order:
    """Let an order end now, or as soon as the channel of its last attempt has said so."""
    ids = [one.id for one in attempts_table.of_order(unit.connection, order.id)]
    # Who asks channels claims attempts without their orders: what was read unlocked may be old.
    held = attempts_table.lock(unit.connection, ids)
    tried = [held[id] for id in ids]
    waiting = [one for one in tried if one.state is AttemptState.INIT]
    under_way = [one for one in tried if one.state.is_under_way]
    over = OrderState.CANCELLED if is_cancelling else OrderState.EXPIRED
    state = OrderState.EXPIRING if under_way else over
    ended = replace(order, state=state, is_cancelling=is_cancelling)
    attempts_table.write(
        unit.connection,
        [
            *(
                replace(one, state=AttemptState.CLOSED, final_at=unit.now, next_query_at=None)
                for one in waiting
            ),
            # Asked at once, and then asked to close.
            *(replace(one, next_query_at=unit.now) for one in under_way),
        ],
    )
    limits.give_back(unit, [replace(one, state=AttemptState.CLOSED) for one in waiting])
    table.write(unit.connection, [ended])
    if not under_way:
        kind = facts.PaymentCancelled if is_cancelling else facts.PaymentExpired
        unit.record(kind(**facts.about(ended)), subject=facts.subject_of(ended))
    return replace(ended, version=ended.version + 1)


def _mine(order: Order | None, id: UUID, merchant: UUID | None) -> Order:
    if order is None or not whose(order, merchant):
        raise PaymentIsUnknown(payment=id)
    return order


def read(connection: sa.Connection, id: UUID, *, merchant: UUID | None = None) -> History:
    """Return an order with its attempts and all evidence.

    Parameters
    ----------
    merchant : whose it must be; None sees all

    Refusals
    --------
    payment_is_unknown
    """
    order = _mine(table.find(connection, [id]).get(id), id, merchant)
    tried = attempts_table.of_order(connection, id)
    evidence = [row for one in tried for row in attempts_table.evidence_about(connection, one.id)]
    return History(order, tuple(tried), tuple(sorted(evidence, key=lambda row: row.seen_at)))


def find(
    connection: sa.Connection, merchant: UUID, order_no: str, mode: Mode = Mode.LIVE
) -> Order | None:
    """Return the order of a merchant's own number."""
    return table.find_by_number(connection, merchant, mode, order_no)


def list_orders(
    connection: sa.Connection,
    *,
    cursor: str | None = None,
    limit: int = 50,
    merchant: UUID | None = None,
    customer: UUID | None = None,
    state: OrderState | None = None,
) -> Page[Order]:
    """Return a page of orders, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before: tuple[datetime, UUID] | None = None
    if cursor:
        at, id = decode_cursor(cursor, str, str)
        try:
            before = datetime.fromisoformat(str(at)), UUID(str(id))
        except ValueError:
            raise CursorIsInvalid from None
    found = table.list_newest(
        connection,
        limit=limit + 1,
        before=before,
        merchant=merchant,
        customer=customer,
        state=state,
    )
    if len(found) <= limit:
        return Page(tuple(found))
    last = found[limit - 1]
    return Page(tuple(found[:limit]), encode_cursor(last.created_at.isoformat(), str(last.id)))
