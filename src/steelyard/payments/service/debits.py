"""Debits: scheduled, told of, sent through the core, followed, tried again, returned.

A debit is marked as sent in the transaction that holds its mandate, before anybody outside hears of
it: a revocation is before that, and the debit is not sent, or after it, and the debit stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Page, Refusal, RefusalKind, calendar, encode_cursor
from steelyard.payments.model.debits import (
    Debit,
    DebitRuling,
    DebitState,
    NewDebit,
    method_of,
    reduce,
)
from steelyard.payments.model.debits_dates import RETRY_WITHIN, next_try_on
from steelyard.payments.model.debits_refusals import (
    DebitExceedsMandate,
    DebitIsMalformed,
    DebitIsTooEarly,
    DebitIsUnknown,
    DebitNoWasUsed,
    DebitStateForbids,
)
from steelyard.payments.model.mandates import Mandate, MandateState
from steelyard.payments.model.orders import NewOrder, Order, Payer, Scenario
from steelyard.payments.service import debits_facts as facts
from steelyard.payments.service import mandates, orders
from steelyard.payments.service.debits_pulling import Pull, pull
from steelyard.payments.service.debits_returning import Return, give_back, look_for_returns
from steelyard.payments.service.debits_scheduling import date_of, schedule, today
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Pay, Paying
from steelyard.payments.service.refunds import position_of
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import debits as table
from steelyard.payments.store import mandates as mandates_table
from steelyard.payments.store import orders as orders_table

__all__ = [
    "Debit",
    "DebitExceedsMandate",
    "DebitIsMalformed",
    "DebitIsTooEarly",
    "DebitIsUnknown",
    "DebitNoWasUsed",
    "DebitState",
    "DebitStateForbids",
    "NewDebit",
    "Pull",
    "Return",
    "cancel",
    "follow",
    "follow_due",
    "give_back",
    "list_debits",
    "look_for_returns",
    "prenotify_due",
    "pull",
    "read",
    "schedule",
    "schedule_one",
    "send",
    "send_due",
]

_APP: Final = "direct_debit"
_WIDTH: Final = 8
"""Debits that are sent side by side: the channels, not the database, are waited for."""
_CHUNK: Final = 100
_LEFT_BEHIND: Final = timedelta(minutes=2)
"""After which a debit that was to be sent, and of which there is no attempt, is sent anew."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """What is sent now."""

    debit: Debit
    mandate: Mandate

    @property
    def order(self) -> UUID:
        assert self.debit.order is not None, "it was begun"
        return self.debit.order

    @property
    def attempt(self) -> UUID:
        return uuid5(self.debit.id, f"try/{self.debit.tries}")


def schedule_one(unit: UnitOfWork, new: NewDebit, *, merchant: UUID | None = None) -> Debit:
    """Schedule one debit; refusals as of `schedule`."""
    (answer,) = schedule(unit, [new], merchant=merchant)
    if isinstance(answer, Refusal):
        raise answer
    return answer


def prenotify_due(unit: UnitOfWork, *, limit: int = _CHUNK) -> int:
    """Tell customers what will be taken from them, where their mandates promise it."""
    due = table.to_tell(unit.connection, limit)
    waiting = table.find(unit.connection, due)
    _ = mandates_table.lock(unit.connection, [one.mandate for one in waiting.values()])
    told = [
        replace(one, state=DebitState.PRENOTIFIED)
        for one in table.lock(unit.connection, due).values()
        if one.state is DebitState.SCHEDULED
    ]
    table.write(unit.connection, told)
    for one in told:
        unit.record(facts.DebitPrenotified(**facts.about_debit(one)), subject=one.subject_key)
    return len(told)


def send_due(
    database: Database, paying: Paying, *, most: int = 1_000, actor: str = "system:debits"
) -> int:
    """Send debits whose day has come, some side by side; return how many were begun.

    Those that a crash left between their intent and their attempt are gone on with first.
    """
    with database.reading() as connection:
        now = database.clock.read(connection)
        left = table.unsent(connection, now - _LEFT_BEHIND, most)
        on = date_of(connection, orders.Mode.LIVE, now)
    if left:
        _go_on(database, paying, left, actor=actor)
    begun, after = 0, None
    while begun < most:
        with database.reading() as connection:
            due = table.to_send(connection, on, _CHUNK, after)
        if not due:
            break
        begun += len(send(database, paying, due, actor=actor))
        after = due[-1]
    return begun


def send(
    database: Database, paying: Paying, ids: Sequence[UUID], *, actor: str = "system:debits"
) -> list[Debit]:
    """Send debits that wait; those that others took, or whose mandate ended, are left out.

    Returns
    -------
    list of Debit
        As they stand after the channel's answer, in the order of their ids.
    """
    begun = database.transact(lambda unit: _begin(unit, ids), actor=actor)
    return _send_all(database, paying, begun, actor=actor)


def _go_on(database: Database, paying: Paying, ids: Sequence[UUID], *, actor: str) -> list[Debit]:
    """Send what was marked as sent and never was: its attempt has the number that it would have."""
    with database.reading() as connection:
        found = table.find(connection, ids)
        held = mandates_table.find(connection, [one.mandate for one in found.values()])
    left = [_Sending(one, held[one.mandate]) for one in found.values()]
    return _send_all(database, paying, left, actor=actor)


def _send_all(
    database: Database, paying: Paying, begun: Sequence[_Sending], *, actor: str
) -> list[Debit]:
    if not begun:
        return []
    if len(begun) == 1:
        _pay(database, paying, begun[0], actor=actor)
    else:
        with ThreadPoolExecutor(min(_WIDTH, len(begun))) as pool:
            for _ in pool.map(lambda one: _pay(database, paying, one, actor=actor), begun):
                pass
    return database.transact(
        lambda unit: follow(unit, [one.debit.id for one in begun]), actor=actor
    )


def _begin(unit: UnitOfWork, ids: Sequence[UUID]) -> list[_Sending]:
    """Mark debits as sent, with their orders: what is committed here stands before a revocation."""
    connection = unit.connection
    found = table.find(connection, ids)
    held = mandates_table.lock(connection, [one.mandate for one in found.values()])
    begun: list[_Sending] = []
    ended: list[Debit] = []
    for one in table.lock(connection, ids).values():
        mandate = held[one.mandate]
        on = today(unit, one.mode)
        if not one.state.waits or one.try_on > on:
            continue
        if mandate.notice_days and one.state is DebitState.SCHEDULED and not one.is_signing:
            continue
        wanted = MandateState.SIGNING if one.is_signing else MandateState.ACTIVE
        if mandate.state is not wanted:
            if mandate.state.is_over:
                ended.append(_failed(unit, one, DebitState.CANCELLED, "mandate_is_not_active"))
            continue
        sent = replace(
            one,
            state=DebitState.SENT,
            tries=one.tries + 1,
            order=one.order or uuid5(one.id, "order"),
            first_sent_on=one.first_sent_on or on,
            sent_at=unit.now,
        )
        begun.append(_Sending(sent, mandate))
    refused = _create_orders(unit, [one for one in begun if one.debit.tries == 1])
    for sending in list(begun):
        refusal = refused.get(sending.order)
        if refusal is not None:
            begun.remove(sending)
            before = table.find(connection, [sending.debit.id])[sending.debit.id]
            ended.append(_failed(unit, before, DebitState.FAILED_FINAL, refusal.code))
    table.write(connection, [*(one.debit for one in begun), *ended])
    mandates_table.touch(
        connection,
        {one.mandate.id: (one.debit.first_sent_on, None) for one in begun},
    )
    for one in ended:
        unit.record(facts.DebitMoved(**facts.about_debit(one)), subject=one.subject_key)
    return begun


def _create_orders(unit: UnitOfWork, begun: Sequence[_Sending]) -> dict[UUID, Refusal]:
    """Create the orders of debits that are sent for the first time; return those refused."""
    news = [_order_of(unit, one) for one in begun]
    answers = orders.create(unit, news) if news else []
    return {
        new.id: answer
        for new, answer in zip(news, answers, strict=True)
        if isinstance(answer, Refusal)
    }


def _order_of(unit: UnitOfWork, sending: _Sending) -> NewOrder:
    debit, mandate = sending.debit, sending.mandate
    return NewOrder(
        id=sending.order,
        merchant=debit.merchant,
        app=_APP,
        mode=debit.mode,
        order_no=f"dd-{debit.id.hex}",
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        subject=debit.subject or mandate.subject or debit.debit_no,
        scenario=Scenario.SUBSCRIPTION,
        methods=(method_of(mandate.account),),
        payer=Payer(customer=debit.customer, account=mandate.account),
        # As long as it may be tried again: its last try ends the order.
        expires_at=unit.now + RETRY_WITHIN,
        most_attempts=3,
        metadata={"mandate": str(mandate.id), "debit": str(debit.id)},
    )


def _pay(database: Database, paying: Paying, sending: _Sending, *, actor: str) -> None:
    """Have the core pay; where it refuses before anything is sent, that is written down."""
    mandate = sending.mandate
    how = Pay(
        attempt=sending.attempt,
        method=method_of(mandate.account),
        channel=mandate.channel if mandate.account is None else BALANCE,
        details=_details(sending),
    )
    try:
        paying.pay(sending.order, how, actor=actor)
    except Refusal as refusal:
        database.transact(
            lambda unit, no=refusal: _not_sent(unit, sending, no),  # type: ignore[misc]
            actor=actor,
        )


def _details(sending: _Sending) -> dict[str, str]:
    """Return what the channel is told with a debit; the mandate by our number."""
    mandate, debit = sending.mandate, sending.debit
    told = {**mandate.details, "mandate": mandate.number, "mandate_on": str(mandate.signed_on)}
    told.setdefault("sequence", "RCUR")
    if debit.is_signing:
        told |= {
            "sign": "1",
            "sequence": "FRST",
            "single_most_minor": str(mandate.single_most_minor),
            "period": mandate.period.value,
            "period_most_minor": str(mandate.period_most_minor),
        }
    return told


def _not_sent(unit: UnitOfWork, sending: _Sending, refusal: Refusal) -> None:
    """Take a debit back that was marked as sent, and of which nothing was ever sent."""
    connection = unit.connection
    debit = sending.debit
    held = mandates_table.lock(connection, [debit.mandate])[debit.mandate]
    now = table.lock(connection, [debit.id])[debit.id]
    tried = attempts_table.find(connection, [sending.attempt])
    if tried or now.state is not DebitState.SENT or now.tries != debit.tries:
        return
    again = replace(now, tries=now.tries - 1, failure=refusal.code)
    if held.state.is_over:
        after = _failed(unit, again, DebitState.CANCELLED, "mandate_is_not_active")
    elif refusal.kind is RefusalKind.UNAVAILABLE:
        waits = DebitState.FAILED_RETRYABLE if again.tries else DebitState.SCHEDULED
        after = replace(again, state=DebitState.PRENOTIFIED if held.notice_days else waits)
    else:
        after = _failed(unit, again, DebitState.FAILED_FINAL, refusal.code)
    table.write(connection, [after])
    _tell(unit, after)
    if after.is_signing and after.state.is_final:
        mandates.settle_signing(unit, after.mandate, after.state)


def _failed(unit: UnitOfWork, debit: Debit, state: DebitState, failure: str) -> Debit:
    return replace(debit, state=state, failure=failure, final_at=unit.now)


def follow_due(unit: UnitOfWork, *, limit: int = _CHUNK) -> int:
    """Bring debits to where their orders stand; return how many."""
    return len(follow(unit, table.to_follow(unit.connection, limit)))


def follow(unit: UnitOfWork, ids: Sequence[UUID]) -> list[Debit]:
    """Bring debits to where their orders stand, and do what follows for them and their mandates.

    Returns
    -------
    list of Debit
        As they stand then, in the order of their ids.
    """
    connection = unit.connection
    found = table.find(connection, ids)
    held = mandates_table.lock(connection, [one.mandate for one in found.values()])
    debits = table.lock(connection, ids)
    known = orders_table.find(
        connection, [one.order for one in debits.values() if one.order is not None]
    )
    after: dict[UUID, Debit] = {}
    suspended: dict[UUID, str] = {}
    for id, one in debits.items():
        order = None if one.order is None else known.get(one.order)
        if order is None:
            continue
        tried = attempts_table.of_order(connection, order.id)
        newest = tried[-1] if tried else None
        ruling = reduce(one, order, newest)
        moved = _moved(unit, held[one.mandate], one, ruling)
        if moved == one:
            continue
        after[id] = moved
        if ruling.suspends:
            suspended[one.mandate] = moved.code or "bank"
        _end_order(unit, order, moved)
    table.write(connection, list(after.values()))
    for moved in after.values():
        _tell(unit, moved)
        if moved.is_signing and moved.state.is_final:
            mandates.settle_signing(unit, moved.mandate, moved.state)
    for mandate, why in suspended.items():
        now = mandates_table.lock(connection, [mandate])[mandate]
        mandates.suspend_for(unit, now, why)
    return list(table.find(connection, list(debits)).values())


def _moved(unit: UnitOfWork, mandate: Mandate, debit: Debit, ruling: DebitRuling) -> Debit:
    """Return a debit as a ruling leaves it: failed for good where no day for a try is left."""
    if ruling.state is debit.state:
        return debit
    after = replace(debit, state=ruling.state, code=ruling.code, decline=ruling.decline)
    if ruling.retries:
        assert debit.first_sent_on is not None, "it was sent"
        again = next_try_on(
            today(unit, debit.mode),
            debit.first_sent_on,
            mandate.pay_days,
            calendar(mandate.calendar),
        )
        if again is not None and not mandate.state.is_over:
            return replace(after, try_on=again)
        ended = DebitState.FAILED_FINAL if again is None else DebitState.CANCELLED
        after = replace(after, state=ended)
    return replace(after, final_at=unit.now) if after.state.is_final else after


def _end_order(unit: UnitOfWork, order: Order, debit: Debit) -> None:
    """End the order of a debit that ended without money."""
    ended = debit.state in (DebitState.FAILED_FINAL, DebitState.CANCELLED)
    if ended and not order.state.is_over and order.paid_by is None:
        orders.cancel(unit, order.id)


def _tell(unit: UnitOfWork, debit: Debit) -> None:
    told = facts.about_debit(debit)
    if debit.state is DebitState.SUCCEEDED:
        unit.record(facts.DebitSucceeded(**told), subject=debit.subject_key)
    elif debit.state in (DebitState.FAILED_RETRYABLE, DebitState.FAILED_FINAL):
        again = debit.try_on if debit.state is DebitState.FAILED_RETRYABLE else None
        unit.record(facts.DebitFailed(**told, try_on=again), subject=debit.subject_key)
    else:
        unit.record(facts.DebitMoved(**told), subject=debit.subject_key)


def cancel(unit: UnitOfWork, debit: UUID, *, merchant: UUID | None = None) -> Debit:
    """Cancel a debit before its cut-off: at once while it waits, else if the channel closes it.

    Parameters
    ----------
    merchant : whose it must be; None: anybody's

    Returns
    -------
    Debit
        Cancelled; or under way still, until the channel has said that no money is taken.

    Refusals
    --------
    debit_is_unknown, debit_state_forbids
    """
    found = read(unit.connection, debit, party=merchant)
    if merchant not in (None, found.merchant):
        raise DebitIsUnknown(debit=debit)
    mandates_table.lock(unit.connection, [found.mandate])
    before = table.lock(unit.connection, [debit])[debit]
    audit(unit, action="payments.cancel_debit", subject=before.subject_key)
    if before.state.is_final or (before.order is None and not before.state.waits):
        raise DebitStateForbids(debit=debit, state=before.state.value, verb="cancel")
    if before.state.is_under_way:
        assert before.order is not None, "it was sent"
        order = orders_table.find(unit.connection, [before.order])[before.order]
        if order.state.is_over or order.paid_by is not None:
            raise DebitStateForbids(debit=debit, state=before.state.value, verb="cancel")
        orders.cancel(unit, before.order)
        (after,) = follow(unit, [debit])
        return after
    after = _failed(unit, before, DebitState.CANCELLED, "cancelled")
    table.write(unit.connection, [after])
    _tell(unit, after)
    if before.order is not None:
        order = orders_table.find(unit.connection, [before.order])[before.order]
        _end_order(unit, order, after)
    return replace(after, version=before.version + 1)


def read(connection: sa.Connection, debit: UUID, *, party: UUID | None = None) -> Debit:
    """Return a debit.

    Parameters
    ----------
    party : who must have a part in it; None sees all

    Refusals
    --------
    debit_is_unknown
    """
    found = table.find(connection, [debit]).get(debit)
    if found is None or party not in (None, found.merchant, found.customer):
        raise DebitIsUnknown(debit=debit)
    return found


def list_debits(
    connection: sa.Connection,
    *,
    party: UUID | None = None,
    merchant: UUID | None = None,
    mandate: UUID | None = None,
    state: DebitState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Debit]:
    """Return a page of debits, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_newest(
        connection,
        limit=limit + 1,
        before=position_of(cursor),
        party=party,
        merchant=merchant,
        mandate=mandate,
        state=state,
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None)
