"""Reports of fraud: what cardholders say days later about payments that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.events import FactFilter, reading
from steelyard.payments import orders
from steelyard.simulation import store
from steelyard.simulation.model.cards import (
    BATCH,
    CardAnswer,
    CardOutcome,
    CardReport,
    TooManyCardPayments,
    order_id,
)
from steelyard.simulation.model.state import TownIsNotFounded
from steelyard.simulation.service.facts import CardPaymentReported

__all__ = ["CardReport", "report_card_payments"]

CAUSE = "rule.card_report@1"
UNKNOWN_PAYMENT = "payment_is_unknown"
"""Why a report is declined of which no payment was asked for with its card."""
TOO_EARLY = "report_precedes_payment"

_PAGE = 200


@dataclass(slots=True)
class _Known:
    """A payment that was asked for, and the last word on it."""

    customer: UUID | None
    amount_minor: int
    currency: str
    at: datetime
    is_fraud: bool | None


def report_card_payments(unit: UnitOfWork, reports: Sequence[CardReport]) -> tuple[CardAnswer, ...]:
    """Tell what is said about payments; what was said before is accepted, and not told again.

    Parameters
    ----------
    reports : at most 1,000, in the order in which they were made

    Returns
    -------
    tuple of CardAnswer
        One for each report, under the id of its payment. A declined payment can be reported too:
        whoever is asked about it says that it was somebody else. A payment that nobody asked for
        with the card cannot.

    Refusals
    --------
    town_is_not_founded, too_many_card_payments
    """
    if len(reports) > BATCH:
        raise TooManyCardPayments(most=BATCH, found=len(reports))
    # As for payments: the lock on the town's row puts the facts of a card into their order.
    if store.read(unit.connection, lock=True) is None:
        raise TownIsNotFounded
    wanted: dict[UUID, set[UUID]] = {}
    for report in reports:
        wanted.setdefault(report.card, set()).add(report.payment)
    known = {
        (card, payment): found
        for card, payments in wanted.items()
        for payment, found in _known(unit.connection, card, payments).items()
    }
    return tuple(
        _report(unit, report, known.get((report.card, report.payment))) for report in reports
    )


def _known(connection: sa.Connection, card: UUID, payments: set[UUID]) -> dict[UUID, _Known]:
    """Return those of the payments that were asked for with a card."""
    said = _said(connection, card, payments)
    known: dict[UUID, _Known] = {}
    for payment in payments:
        try:
            order = orders.read(connection, order_id(payment)).order
        except orders.PaymentIsUnknown:
            continue
        if order.payer.instrument == str(card):
            known[payment] = _Known(
                order.payer.customer,
                order.amount_minor,
                order.currency,
                order.created_at,
                said.get(payment),
            )
    return known


def _said(connection: sa.Connection, card: UUID, payments: set[UUID]) -> dict[UUID, bool]:
    """Return what was said last about payments; a card's reports are read from the newest."""
    wanted = FactFilter(kinds=frozenset({CardPaymentReported.kind}), subject=f"card:{card}")
    said: dict[UUID, bool] = {}
    cursor: str | None = None
    while len(said) < len(payments):
        page = reading.latest(connection, wanted, cursor=cursor, limit=_PAGE)
        for fact in page.items:
            content = msgspec.json.decode(fact.payload)
            payment = UUID(content["payment"])
            if payment in payments:
                said.setdefault(payment, content["is_fraud"])
        cursor = page.next
        if cursor is None:
            break
    return said


def _report(unit: UnitOfWork, report: CardReport, known: _Known | None) -> CardAnswer:
    """Tell one report, unless it is what was said last."""
    if known is None:
        return CardAnswer(report.payment, CardOutcome.DECLINED, CAUSE, UNKNOWN_PAYMENT)
    if report.at < known.at:
        return CardAnswer(report.payment, CardOutcome.DECLINED, CAUSE, TOO_EARLY)
    if known.is_fraud is not report.is_fraud:
        fact = CardPaymentReported(
            payment=report.payment,
            customer=known.customer,
            card=report.card,
            is_fraud=report.is_fraud,
            amount_minor=known.amount_minor,
            currency=known.currency,
        )
        unit.record(fact, subject=f"card:{report.card}", occurred_at=report.at)
        known.is_fraud = report.is_fraud
    return CardAnswer(report.payment, CardOutcome.ACCEPTED, CAUSE)
