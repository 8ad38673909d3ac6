"""Evidence about attempts: recorded, put before the reducer, posted and told in one transaction.

Whoever learns something (an answer, a notice, a poll, a statement, an operator) calls `report` and
sets nothing himself. Many reports are one transaction, and one report is a batch of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from steelyard.base import Fact, UnitOfWork
from steelyard.ledger import Transfer, accepted, post
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import (
    Attempt,
    AttemptState,
    Move,
    Ruling,
    Source,
    next_query,
    reduce,
)
from steelyard.payments.model.channel import Decline, Finding
from steelyard.payments.model.orders import Order, OrderState
from steelyard.payments.service import facts, institution, limits
from steelyard.payments.store import attempts as table
from steelyard.payments.store import orders as orders_table
from steelyard.payments.store.attempts import EvidenceRow, FollowUp

__all__ = ["Report", "Ruling", "Settled", "Source", "report", "report_all"]

BALANCE: Final = "balance"
"""The channel of payments whose money lies in our own book already."""
LATE_CAUSE: Final = "rule.late_money@1"
_FINAL: Final = frozenset(
    {
        AttemptState.SUCCEEDED,
        AttemptState.DECLINED,
        AttemptState.CLOSED,
        AttemptState.REVERSED,
        AttemptState.DUPLICATE,
        AttemptState.LATE,
    }
)


@dataclass(frozen=True, slots=True)
class Report:
    """Something that was learnt about an attempt.

    Attributes
    ----------
    attempt : its id
    actor : who learnt it, where that is not the unit's own actor
    """

    attempt: UUID
    source: Source
    finding: Finding
    actor: str | None = None


class Settled(NamedTuple):
    """What became of a batch of reports: a ruling for each, and the rows as they are written."""

    rulings: list[Ruling]
    orders: dict[UUID, Order]
    attempts: dict[UUID, Attempt]


@dataclass(slots=True)
class _Change:
    """What a batch makes of an order and its attempts, before it is written."""

    orders: dict[UUID, Order]
    attempts: dict[UUID, Attempt]
    touched: set[UUID]
    evidence: list[EvidenceRow]
    follow: list[FollowUp]
    transfers: list[Transfer]
    codes: dict[str, list[tuple[str, str]]]
    told: list[tuple[Fact, str, str | None]]


def report(unit: UnitOfWork, reports: Sequence[Report]) -> list[Ruling]:
    """Record evidence about attempts, and let what follows from it happen.

    Parameters
    ----------
    reports : in the order in which they were learnt; of attempts that are there

    Returns
    -------
    list of Ruling
        One for each report. What had been known before has `is_new` False and changes nothing.

    Refusals
    --------
    institution_is_not_open
    """
    return report_all(unit, reports).rulings


def report_all(unit: UnitOfWork, reports: Sequence[Report]) -> Settled:
    """Do as `report` does, and return the orders and attempts as they are written too."""
    ids = [one.attempt for one in reports]
    held = orders_table.lock_of_attempts(unit.connection, ids)
    return settle(unit, held, table.lock(unit.connection, ids), reports)


def settle(
    unit: UnitOfWork,
    orders: dict[UUID, Order],
    attempts: dict[UUID, Attempt],
    reports: Sequence[Report],
) -> Settled:
    """Do the work of `report` on orders and attempts that the caller has locked."""
    change = _Change(dict(orders), dict(attempts), set(), [], [], [], {}, [])
    rulings = [_rule(unit, change, one) for one in reports]
    tried = [change.attempts[id] for id in change.touched]
    ordered = [order for id, order in change.orders.items() if order != orders[id]]
    table.write_learnt(unit.connection, ordered, tried, change.evidence)
    table.ask_follow_ups(unit.connection, change.follow)
    limits.follow(unit, [(attempts[one.id], one) for one in tried])
    for fact, subject, actor in change.told:
        unit.record(fact, subject=subject, actor=actor)
    for book, codes in change.codes.items():
        institution.have_accounts(unit, book, codes)
    if change.transfers:
        accepted(post(unit, change.transfers))
    written = {one.id: replace(one, version=one.version + 1) for one in ordered}
    return Settled(
        rulings,
        {**change.orders, **written},
        {**change.attempts, **{one.id: replace(one, version=one.version + 1) for one in tried}},
    )


def _rule(unit: UnitOfWork, change: _Change, one: Report) -> Ruling:
    attempt = change.attempts[one.attempt]
    order = change.orders[attempt.order]
    ruling = reduce(order, attempt, one.finding, one.source, unit.now)
    change.evidence.append(
        EvidenceRow(
            unit.new_id(),
            attempt.id,
            False,
            one.source,
            one.finding,
            ruling.note,
            ruling.is_new,
            one.actor or unit.actor,
            unit.now,
        )
    )
    change.follow += [FollowUp(unit.new_id(), attempt.id, kind, unit.now) for kind in ruling.follow]
    after = _learn(attempt, one, ruling, unit)
    if after != attempt:
        change.attempts[attempt.id] = after
        change.touched.add(attempt.id)
    if not ruling.is_new:
        return ruling
    changed = order_after(order, after, ruling, unit.now)
    change.orders[order.id] = changed
    subject = facts.subject_of(order)
    change.told += [
        (fact, subject, one.actor) for fact in facts_of(order, changed, after, one.finding)
    ]
    if ruling.moves:
        _book(unit, change, attempt=after, ruling=ruling, finding=one.finding)
    return ruling


def _learn(attempt: Attempt, one: Report, ruling: Ruling, unit: UnitOfWork) -> Attempt:
    """Return the attempt with what the finding adds to it."""
    finding = one.finding
    queries = attempt.queries + (one.source is Source.QUERY)
    is_final = ruling.attempt in _FINAL or ruling.attempt is AttemptState.INTEGRITY_HOLD
    when = next_query(attempt.sent_at, queries) if ruling.attempt.is_under_way else None
    if when is not None and when <= unit.now:
        # The clock ran past several of the schedule: the next that lies ahead.
        while when is not None and when <= unit.now:
            queries += 1
            when = next_query(attempt.sent_at, queries)
    declined = ruling.attempt is AttemptState.DECLINED and ruling.is_new
    return replace(
        attempt,
        state=ruling.attempt,
        queries=queries,
        next_query_at=when,
        reference=attempt.reference or finding.reference,
        fee_minor=attempt.fee_minor if finding.fee_minor is None else finding.fee_minor,
        action=finding.action or attempt.action,
        decline=(finding.decline or Decline.OTHER) if declined else attempt.decline,
        code=finding.code if declined else attempt.code,
        final_at=unit.now if is_final and attempt.final_at is None else attempt.final_at,
    )


def order_after(order: Order, attempt: Attempt, ruling: Ruling, at: datetime) -> Order:
    """Return the order with its state and what it holds of the attempt's money."""
    after = replace(order, state=ruling.order)
    if ruling.attempt is AttemptState.AUTHORIZED:
        return replace(after, paid_by=attempt.id, paid_at=at, authorized_minor=attempt.amount_minor)
    if Move.CAPTURE in ruling.moves or Move.CLAIM in ruling.moves:
        amount = attempt.amount_minor
        return replace(
            after,
            paid_by=attempt.id,
            paid_at=at,
            authorized_minor=amount,
            captured_minor=amount,
        )
    if Move.REVERSE in ruling.moves:
        return replace(after, captured_minor=0, authorized_minor=0)
    return after


def facts_of(
    before: Order, after: Order, attempt: Attempt, finding: Finding, *, reason: str | None = None
) -> Iterable[Fact]:
    """Yield what is told of a ruling that changed something.

    Parameters
    ----------
    reason : why it was declined, where that was not the channel's word
    """
    told = facts.about(after, attempt)
    if attempt.state is AttemptState.DECLINED:
        why = reason or (attempt.decline or Decline.OTHER).value
        yield facts.AttemptDeclined(**told, reason=why)
    elif attempt.state is AttemptState.UNKNOWN:
        yield facts.AttemptUnknown(**told)
    elif attempt.state in (AttemptState.LATE, AttemptState.DUPLICATE):
        yield facts.MoneyCameLate(**told, why=attempt.state.value)
    elif attempt.state is AttemptState.INTEGRITY_HOLD:
        yield facts.IntegrityHeld(
            **told, said_minor=finding.amount_minor, said_currency=finding.currency
        )
    if before.state is after.state:
        return
    kinds: dict[OrderState, type[facts.PaymentFact]] = {
        OrderState.REQUIRES_ACTION: facts.PaymentRequiresAction,
        OrderState.AUTHORIZED: facts.PaymentAuthorized,
        OrderState.SUCCEEDED: facts.PaymentSucceeded,
        OrderState.FAILED: facts.PaymentFailed,
        OrderState.CANCELLED: facts.PaymentCancelled,
        OrderState.EXPIRED: facts.PaymentExpired,
    }
    if after.state in kinds:
        yield kinds[after.state](**told)


def _book(
    unit: UnitOfWork, change: _Change, *, attempt: Attempt, ruling: Ruling, finding: Finding
) -> None:
    """Add what a ruling posts, and the accounts that it needs."""
    order = change.orders[attempt.order]
    book = institution.read_known(unit.connection, order.mode).client_book
    is_hold = ruling.attempt is AttemptState.INTEGRITY_HOLD
    amount = finding.amount_minor if is_hold else attempt.amount_minor
    assert amount is not None
    made = accounts.postings_of(
        ruling.moves,
        channel=attempt.channel,
        merchant=order.merchant,
        amount_minor=amount,
        currency=attempt.currency,
        source=order.payer.account if attempt.channel == BALANCE else None,
    )
    for move, posting in zip(ruling.moves, made, strict=True):
        change.codes.setdefault(book, []).extend(
            (code, attempt.currency)
            for code in (posting.debit, posting.credit)
            if code != order.payer.account
        )
        change.transfers.append(
            Transfer(
                id=uuid5(attempt.id, move.value),
                book=book,
                cause=LATE_CAUSE if move is Move.SUSPENSE else attempt.cause,
                debit=posting.debit,
                credit=posting.credit,
                amount_minor=posting.amount_minor,
                currency=attempt.currency,
                decision_id=attempt.decision,
                metadata={"payment": str(order.id), "attempt": str(attempt.id)},
            )
        )
