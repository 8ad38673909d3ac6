"""Evidence about refunds: recorded, put before the reducer, posted and told in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.cases import CaseKind, closing, open_case, registry
from steelyard.payments.model.attempts import Source, next_query
from steelyard.payments.model.channel import Decline, Finding
from steelyard.payments.model.refunds import (
    Home,
    Refund,
    RefundFollow,
    RefundMove,
    RefundRuling,
    RefundState,
    reduce,
)
from steelyard.payments.model.refunds_refusals import PaymentRefundIsUnknown
from steelyard.payments.service.refunds_change import Change, fee_back, open_change
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import refunds as table
from steelyard.payments.store.attempts import EvidenceRow

__all__ = ["REFUND_CASE", "RefundReport", "report"]

REFUND_CASE: Final = registry.register_kind(
    CaseKind(
        "payments.refund",
        "A refund that needs a person",
        "退款异常",
        registry.Sla(timedelta(hours=24)),
        (
            registry.CaseOutcome("delivered", "The payer has his money", "已退达付款人"),
            registry.CaseOutcome("given_up", "Given back to the merchant", "已退回商户"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        priority=registry.Priority.HIGH,
        skill="payments.refund",
    )
)
_FINAL: Final = frozenset({RefundState.SUCCEEDED, RefundState.FAILED, RefundState.CLOSED})
_FOR_PEOPLE: Final = frozenset(
    {
        RefundFollow.FIND_ACCOUNT,
        RefundFollow.LOOK_TWICE,
        RefundFollow.ALARM_INTEGRITY,
        RefundFollow.STILL_OWED,
    }
)


@dataclass(frozen=True, slots=True)
class RefundReport:
    """Something that was learnt about a refund.

    Attributes
    ----------
    refund : its id
    """

    refund: UUID
    source: Source
    finding: Finding


def report(unit: UnitOfWork, reports: Sequence[RefundReport]) -> list[RefundRuling]:
    """Record evidence about refunds, and let what follows from it happen.

    Returns
    -------
    list of RefundRuling
        One for each report, in their order. Old news has `is_new` False and moves nothing.

    Refusals
    --------
    payment_refund_is_unknown
    """
    of = table.orders_of(unit.connection, [one.refund for one in reports])
    for one in reports:
        if one.refund not in of:
            raise PaymentRefundIsUnknown(refund=one.refund)
    change = open_change(unit, list(of.values()))
    change.refunds = table.lock(unit.connection, list(of))
    for refund in change.refunds.values():
        if refund.attempt not in change.attempts:
            change.attempts |= attempts_table.find(unit.connection, [refund.attempt])
    rulings = [rule(change, one) for one in reports]
    change.write()
    return rulings


def rule(change: Change, one: RefundReport) -> RefundRuling:
    """Let what follows from one report happen to a change; its order is locked."""
    unit = change.unit
    refund = change.refunds[one.refund]
    order = change.orders[refund.order]
    ruling = reduce(refund, order, one.finding, one.source, unit.now)
    change.evidence.append(
        EvidenceRow(
            unit.new_id(),
            refund.id,
            True,
            one.source,
            one.finding,
            ruling.note,
            ruling.is_new,
            unit.actor,
            unit.now,
        )
    )
    after = _learn(change, refund, one, ruling)
    if after != refund:
        change.set(after)
    for move in ruling.moves:
        change.move(after, move, of_excess_minor=after.excess_minor)
    if ruling.is_new:
        change.tell(after)
        _conclude(unit, after)
    for follow in ruling.follow:
        if follow in _FOR_PEOPLE:
            _ask_people(unit, after, follow)
    return ruling


def _learn(change: Change, refund: Refund, one: RefundReport, ruling: RefundRuling) -> Refund:
    """Return the refund with what the finding adds to it."""
    unit, finding = change.unit, one.finding
    order = change.orders[refund.order]
    queries = refund.queries + (one.source is Source.QUERY)
    when = None
    if ruling.state.is_under_way and refund.destination is None:
        assert refund.sent_at is not None, "it was sent"
        when = next_query(refund.sent_at, queries)
        while when is not None and when <= unit.now:
            # The clock ran past several of the schedule: the next that lies ahead.
            queries += 1
            when = next_query(refund.sent_at, queries)
    has_no = ruling.is_new and ruling.state in (RefundState.FAILED, RefundState.ABNORMAL)
    after = replace(
        refund,
        state=ruling.state,
        queries=queries,
        next_query_at=when,
        wait_until_at=refund.wait_until_at if ruling.state.is_under_way else None,
        reference=finding.reference or refund.reference,
        decline=(finding.decline or Decline.OTHER) if has_no else refund.decline,
        code=finding.code if has_no else refund.code,
        final_at=unit.now if ruling.is_new and ruling.state in _FINAL else refund.final_at,
    )
    if ruling.state is RefundState.RESERVED:
        after = replace(after, sends=0, sent_at=None, wait_until_at=refund.wait_until_at)
    counted = refund.amount_minor - ruling.excess_minor
    if RefundMove.RESERVE in ruling.moves:
        after = replace(
            after,
            home=Home.UNCLAIMED if refund.is_automatic else change.home_of(order),
            parts={} if refund.is_automatic else change.parts(order, counted),
            excess_minor=ruling.excess_minor,
        )
    pays = RefundMove.PAY in ruling.moves and counted > 0 and not refund.fee_returned_minor
    if pays and not refund.is_automatic:
        attempt = change.attempts[refund.attempt]
        fee = fee_back(unit.connection, order, attempt, counted)
        after = replace(after, fee_returned_minor=fee)
    return after


def _ask_people(unit: UnitOfWork, refund: Refund, follow: RefundFollow) -> None:
    if follow is RefundFollow.LOOK_TWICE and not _has_second(unit, refund):
        return
    open_case(
        unit,
        REFUND_CASE.name,
        f"refund:{refund.id}",
        dedup_key=f"{refund.id}/{follow.value}",
        links=(f"payment:{refund.order}",),
    )


def _has_second(unit: UnitOfWork, refund: Refund) -> bool:
    """Return whether another refund was asked for after this one had failed."""
    if refund.excess_minor:
        return True
    gone = (RefundState.FAILED, RefundState.CLOSED)
    return any(
        one.id != refund.id and one.asked_at >= refund.asked_at and one.state not in gone
        for one in table.of_order(unit.connection, refund.order)
    )


def _conclude(unit: UnitOfWork, refund: Refund) -> None:
    """Close the case about a refund whose payer has his money, or whose merchant has."""
    outcome = {RefundState.SUCCEEDED: "delivered", RefundState.CLOSED: "given_up"}
    if refund.state in outcome:
        for why in (RefundFollow.FIND_ACCOUNT.value, "overdue"):
            closing.conclude(unit, REFUND_CASE.name, f"{refund.id}/{why}", outcome[refund.state])
