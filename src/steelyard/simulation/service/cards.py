"""Card payments and refunds: asked of the gate, judged by the books, told as facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, Gate, Question, UnitOfWork, Verdict
from steelyard.base import Outcome as GateOutcome
from steelyard.decisions import Use, asking, consume_all, records
from steelyard.ledger import Answer, Kind, Outcome, Transfer, post
from steelyard.parties import registry
from steelyard.simulation import store
from steelyard.simulation.model.cards import (
    BATCH,
    CardAnswer,
    CardOrder,
    CardOutcome,
    RefundOrder,
    TooManyCardPayments,
)
from steelyard.simulation.model.state import (
    BOOK,
    TownIsNotFounded,
    customer_origin,
    merchant_origin,
)
from steelyard.simulation.service.facts import (
    CardPaymentDeclined,
    CardPaymentMade,
    CardPaymentRefunded,
)

__all__ = [
    "BATCH",
    "ON_DECISIONS",
    "CardAnswer",
    "CardOrder",
    "CardOutcome",
    "RefundOrder",
    "TooManyCardPayments",
    "ask_about_payments",
    "pay_by_card",
    "refund_card_payments",
]

SCENE = "payment"
ON_DECISIONS = (
    asking.OwnerIsAway,
    records.DecisionIsUnknown,
    records.DecisionDoesNotLetPass,
    records.DecisionIsUsed,
)
"""What the gate, and the consumption of what it said, can refuse."""
REFUND_CAUSE = "rule.card_refund@1"
UNKNOWN_PARTY = "party_is_unknown"
"""Why an order is declined whose customer or merchant was never registered."""


def ask_about_payments(
    database: Database, gate: Gate, orders: Sequence[CardOrder]
) -> tuple[Verdict, ...]:
    """Ask the gate about each payment; before the unit of work opens.

    The gate is asked as of the instant at which the card was shown, and is told what a real
    acquirer would know of the payment. Customer and merchant are the parties, as in the facts:
    who has paid without a gate before is no stranger to it.

    Refusals
    --------
    too_many_card_payments
    """
    _check(orders)
    with database.reading() as connection:
        parties = registry.find_origins(connection, _origins(orders))
    return gate.ask_all(
        SCENE, [Question(str(order.id), order.at, _facts(order, parties)) for order in orders]
    )


def _facts(order: CardOrder, parties: Mapping[str, UUID]) -> dict[str, object]:
    """Return what the gate is told; what is not known of a payment is left out."""
    known: dict[str, object] = {
        "customer": parties.get(customer_origin(order.customer)),
        "card": order.card,
        "account": order.account,
        "merchant": parties.get(merchant_origin(order.merchant)),
        "terminal": order.terminal,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
    }
    more = {
        "device": order.device,
        "ip": order.ip,
        "country": order.country,
        "is_online": order.is_online,
    }
    return known | {name: value for name, value in more.items() if value is not None}


def pay_by_card(
    unit: UnitOfWork, orders: Sequence[CardOrder], verdicts: Sequence[Verdict]
) -> tuple[CardAnswer, ...]:
    """Post the payments that the gate approves, and tell what became of each.

    Parameters
    ----------
    orders : at most 1,000, in the order in which they happened
    verdicts : what the gate said to each; its cause becomes the cause of the transfer. Only
        `approve` lets a payment through, and only until it expires: nobody stands at a terminal to
        prove more or to wait for a review

    Returns
    -------
    tuple of CardAnswer
        One for each order. An order that went through before is accepted again, and neither moves
        money nor tells its fact a second time.

    Refusals
    --------
    town_is_not_founded, too_many_card_payments
    """
    _check(orders)
    parties = _parties_of(unit.connection, orders)
    reasons = [
        _why_not(order, verdict, parties) for order, verdict in zip(orders, verdicts, strict=True)
    ]
    expired = _consume(
        unit,
        [
            Use(verdict.decision_id, f"transfer:{order.id}", order.amount_minor)
            for order, verdict, reason in zip(orders, verdicts, reasons, strict=True)
            if reason is None and verdict.decision_id is not None
        ],
    )
    reasons = [
        records.DecisionIsExpired.code
        if reason is None and verdict.decision_id in expired
        else reason
        for verdict, reason in zip(verdicts, reasons, strict=True)
    ]
    passing = [
        (order, verdict)
        for order, verdict, reason in zip(orders, verdicts, reasons, strict=True)
        if reason is None
    ]
    judged = iter(
        post(
            unit,
            [
                Transfer(
                    id=order.id,
                    book=BOOK,
                    cause=verdict.cause,
                    decision_id=verdict.decision_id,
                    debit=order.account,
                    credit=order.merchant_account,
                    amount_minor=order.amount_minor,
                    currency=order.currency,
                )
                for order, verdict in passing
            ],
        )
    )
    return tuple(
        _settle(unit, order, parties, next(judged), verdict.cause)
        if reason is None
        else _decline(unit, order, parties, reason, verdict.cause)
        for order, verdict, reason in zip(orders, verdicts, reasons, strict=True)
    )


def refund_card_payments(unit: UnitOfWork, orders: Sequence[RefundOrder]) -> tuple[CardAnswer, ...]:
    """Give payments back by their mirrors; a payment that did not go through cannot be.

    Returns
    -------
    tuple of CardAnswer
        One for each order; a refund that went through before is accepted again.

    Refusals
    --------
    town_is_not_founded, too_many_card_payments
    """
    _check(orders)
    parties = _parties_of(unit.connection, orders)
    reasons = [_unknown(order, parties) for order in orders]
    judged = iter(
        post(
            unit,
            [
                Transfer(
                    id=order.id,
                    book=BOOK,
                    cause=REFUND_CAUSE,
                    kind=Kind.REVERSAL,
                    refers_to=order.payment,
                )
                for order, reason in zip(orders, reasons, strict=True)
                if reason is None
            ],
        )
    )
    return tuple(
        _refund(unit, order, parties, next(judged))
        if reason is None
        else CardAnswer(order.id, CardOutcome.DECLINED, REFUND_CAUSE, reason)
        for order, reason in zip(orders, reasons, strict=True)
    )


def _check(orders: Sequence[object]) -> None:
    if len(orders) > BATCH:
        raise TooManyCardPayments(most=BATCH, found=len(orders))


def _parties_of(
    connection: sa.Connection, orders: Iterable[CardOrder | RefundOrder]
) -> Mapping[str, UUID]:
    """Return who the customers and merchants are, and hold the town to the commit.

    The lock on the town's row is what puts the facts of a card into their order.
    """
    if store.read(connection, lock=True) is None:
        raise TownIsNotFounded
    return registry.find_origins(connection, _origins(orders))


def _origins(orders: Iterable[CardOrder | RefundOrder]) -> list[str]:
    origins: dict[str, None] = {}
    for order in orders:
        origins[customer_origin(order.customer)] = None
        origins[merchant_origin(order.merchant)] = None
    return list(origins)


def _unknown(order: CardOrder | RefundOrder, parties: Mapping[str, UUID]) -> str | None:
    known = (
        customer_origin(order.customer) in parties and merchant_origin(order.merchant) in parties
    )
    return None if known else UNKNOWN_PARTY


def _why_not(order: CardOrder, verdict: Verdict, parties: Mapping[str, UUID]) -> str | None:
    """Return why an order is declined before the books are asked, None when it is not."""
    if verdict.outcome is not GateOutcome.APPROVE:
        return verdict.reasons[0] if verdict.reasons else verdict.outcome.value
    return _unknown(order, parties)


def _consume(unit: UnitOfWork, uses: Sequence[Use]) -> set[UUID]:
    """Use the decisions up, and return those that it is too late for.

    A payment that was decided about, and comes again long after because nobody answered, is a
    declined payment: the rest of its batch goes on.
    """
    expired: set[UUID] = set()
    try:
        consume_all(unit, uses)
    except records.DecisionIsExpired:
        for use in uses:
            try:
                consume_all(unit, [use])
            except records.DecisionIsExpired:
                expired.add(use.id)
    return expired


def _about(order: CardOrder, parties: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "payment": order.id,
        "customer": parties.get(customer_origin(order.customer)),
        "card": order.card,
        "account": order.account,
        "merchant": parties.get(merchant_origin(order.merchant)),
        "terminal": order.terminal,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
    }


def _settle(
    unit: UnitOfWork,
    order: CardOrder,
    parties: Mapping[str, UUID],
    answer: Answer,
    cause: str,
) -> CardAnswer:
    """Tell what the books said to a payment."""
    if not answer.outcome.is_accepted:
        return _decline(unit, order, parties, answer.outcome.value, cause)
    assert answer.record is not None
    if answer.outcome is Outcome.CREATED:
        fact = CardPaymentMade(**_about(order, parties))
        unit.record(fact, subject=f"card:{order.card}", occurred_at=order.at)
    return CardAnswer(order.id, CardOutcome.ACCEPTED, answer.record.cause)


def _decline(
    unit: UnitOfWork,
    order: CardOrder,
    parties: Mapping[str, UUID],
    reason: str,
    cause: str,
) -> CardAnswer:
    fact = CardPaymentDeclined(**_about(order, parties), reason=reason)
    unit.record(fact, subject=f"card:{order.card}", occurred_at=order.at)
    return CardAnswer(order.id, CardOutcome.DECLINED, cause, reason)


def _refund(
    unit: UnitOfWork, order: RefundOrder, parties: Mapping[str, UUID], answer: Answer
) -> CardAnswer:
    """Tell what the books said to a refund."""
    if not answer.outcome.is_accepted:
        return CardAnswer(order.id, CardOutcome.DECLINED, REFUND_CAUSE, answer.outcome.value)
    assert answer.record is not None
    if answer.outcome is Outcome.CREATED:
        fact = CardPaymentRefunded(
            refund=order.id,
            payment=order.payment,
            customer=parties[customer_origin(order.customer)],
            card=order.card,
            account=order.account,
            merchant=parties[merchant_origin(order.merchant)],
            amount_minor=answer.record.posted_minor,
            currency=answer.record.currency,
        )
        unit.record(fact, subject=f"card:{order.card}", occurred_at=order.at)
    return CardAnswer(order.id, CardOutcome.ACCEPTED, REFUND_CAUSE)
