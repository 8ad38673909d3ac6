"""Sending refunds to their channels, and asking what became of them.

The intent is committed before the channel hears of it, the call is made in no transaction, and what
it answered is evidence. A refund is sent again under its own number only, and only where the
channel says, after the time in which it may not know yet, that it never had it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Refusal
from steelyard.payments.model.attempts import Attempt, Source, next_query
from steelyard.payments.model.channel import Finding, Query, RefundRequest
from steelyard.payments.model.refunds import Refund, RefundFollow, RefundRuling, RefundState
from steelyard.payments.service.paying import Desk
from steelyard.payments.service.refunds_change import open_change
from steelyard.payments.service.refunds_evidence import RefundReport, report
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import refunds as table

__all__ = ["ask_about", "send"]

_ACTOR = "system:refunds"


def send(
    database: Database, desk: Desk, refunds: Sequence[UUID], *, actor: str = _ACTOR
) -> list[RefundRuling]:
    """Send refunds that are set aside; those that are elsewhere on their way are passed over.

    A channel that the desk does not have leaves its refunds set aside.

    Returns
    -------
    list of RefundRuling
        One for each that was sent.
    """
    with database.reading() as connection:
        wanted = [
            one
            for one in table.find(connection, refunds).values()
            if one.state is RefundState.RESERVED and _has(desk, one.channel)
        ]
    begun = database.transact(
        lambda unit: _begin(unit, [one.id for one in wanted], RefundState.RESERVED), actor=actor
    )
    return [_call(database, desk, *pair, actor=actor) for pair in begun]


def ask_about(
    database: Database, desk: Desk, refunds: Sequence[Refund], *, actor: str = _ACTOR
) -> list[RefundRuling]:
    """Ask channels what became of refunds; one that a channel never had is sent again.

    Returns
    -------
    list of RefundRuling
        What followed from the answers, one for each whose channel is at hand.
    """
    rulings = []
    for refund in refunds:
        if not _has(desk, refund.channel):
            continue
        assert refund.sent_at is not None, "it was sent"
        finding = desk.get(refund.channel).query(
            Query(
                number=refund.number,
                reference=refund.reference,
                sent_at=refund.sent_at,
                of_refund=True,
            )
        )
        ruling = _report(database, refund, Source.QUERY, finding, actor=actor)
        if RefundFollow.RESEND in ruling.follow:
            again = partial(_begin, ids=[refund.id], state=RefundState.UNKNOWN)
            for pair in database.transact(again, actor=actor):
                ruling = _call(database, desk, *pair, actor=actor)
        rulings.append(ruling)
    return rulings


def _has(desk: Desk, code: str) -> bool:
    try:
        desk.get(code)
    except Refusal:
        return False
    return True


def _begin(
    unit: UnitOfWork, ids: Sequence[UUID], state: RefundState
) -> list[tuple[Refund, Attempt]]:
    """Write down that refunds are sent now; those that others took meanwhile are left out."""
    of = table.orders_of(unit.connection, ids)
    change = open_change(unit, list(of.values()))
    held = table.lock(unit.connection, list(of))
    attempts = attempts_table.find(unit.connection, [one.attempt for one in held.values()])
    begun = [
        replace(
            one,
            state=RefundState.SENT,
            sends=one.sends + 1,
            sent_at=unit.now,
            queries=0,
            next_query_at=next_query(unit.now, 0),
        )
        for one in held.values()
        if one.state is state
    ]
    for one in begun:
        change.set(one)
    change.write()
    return [(replace(one, version=one.version + 1), attempts[one.attempt]) for one in begun]


def _call(
    database: Database, desk: Desk, refund: Refund, attempt: Attempt, *, actor: str
) -> RefundRuling:
    assert refund.sent_at is not None, "it was just begun"
    finding = desk.get(refund.channel).refund(
        RefundRequest(
            number=refund.number,
            payment_number=attempt.number,
            payment_reference=attempt.reference,
            amount_minor=refund.amount_minor,
            total_minor=attempt.amount_minor,
            currency=refund.currency,
            sent_at=refund.sent_at,
            reason=refund.reason,
        )
    )
    return _report(database, refund, Source.ANSWER, finding, actor=actor)


def _report(
    database: Database, refund: Refund, source: Source, finding: Finding, *, actor: str
) -> RefundRuling:
    reports = [RefundReport(refund.id, source, finding)]
    (ruling,) = database.transact(lambda unit: report(unit, reports), actor=actor)
    return ruling
