"""Reports of fraud: what cardholders say days later about payments that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.events import FactFilter, reading
from steelyard.simulation import store
from steelyard.simulation.model.cards import (
    BATCH,
    CardAnswer,
    CardOutcome,
    CardReport,
    TooManyCardPayments,
)
from steelyard.simulation.model.state import TownIsNotFounded
from steelyard.simulation.service.facts import (
    CardPaymentDeclined,
    CardPaymentMade,
    CardPaymentReported,
)

__all__ = ["CardReport", "report_card_payments"]

CAUSE = "rule.card_report@1"
UNKNOWN_PAYMENT = "payment_is_unknown"
"""Why a report is declined of which no payment was asked for with its card."""
TOO_EARLY = "report_precedes_payment"

_ASKED = frozenset({CardPaymentMade.kind, CardPaymentDeclined.kind})
_KINDS = _ASKED | {CardPaymentReported.kind}
_PAGE = 200


@dataclass(slots=True)
class _Known:
    """A payment that was asked for, and the last word on it."""

    asked: Mapping[str, Any]
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
    wanted: dict[UUID, set[str]] = {}
    for report in reports:
        wanted.setdefault(report.card, set()).add(str(report.payment))
    known = {
        (card, payment): found
        for card, payments in wanted.items()
        for payment, found in _known(unit.connection, card, payments).items()
    }
    return tuple(
        _report(unit, report, known.get((report.card, str(report.payment)))) for report in reports
    )


def _known(connection: sa.Connection, card: UUID, payments: set[str]) -> dict[str, _Known]:
    """Return those of the payments that were asked for with a card.

    The card's facts are read from the newest: what was said about a payment comes after it.
    """
    wanted = FactFilter(kinds=_KINDS, subject=f"card:{card}")
    said: dict[str, bool] = {}
    known: dict[str, _Known] = {}
    cursor: str | None = None
    while len(known) < len(payments):
        page = reading.latest(connection, wanted, cursor=cursor, limit=_PAGE)
        for fact in page.items:
            content = msgspec.json.decode(fact.payload)
            payment = content["payment"]
            if payment not in payments:
                continue
            if fact.kind in _ASKED:
                known[payment] = _Known(content, fact.occurred_at, said.get(payment))
            else:
                said.setdefault(payment, content["is_fraud"])
        cursor = page.next
        if cursor is None:
            break
    return known


def _report(unit: UnitOfWork, report: CardReport, known: _Known | None) -> CardAnswer:
    """Tell one report, unless it is what was said last."""
    if known is None:
        return CardAnswer(report.payment, CardOutcome.DECLINED, CAUSE, UNKNOWN_PAYMENT)
    if report.at < known.at:
        return CardAnswer(report.payment, CardOutcome.DECLINED, CAUSE, TOO_EARLY)
    if known.is_fraud is not report.is_fraud:
        customer = known.asked["customer"]
        fact = CardPaymentReported(
            payment=report.payment,
            customer=None if customer is None else UUID(customer),
            card=report.card,
            is_fraud=report.is_fraud,
            amount_minor=known.asked["amount_minor"],
            currency=known.asked["currency"],
        )
        unit.record(fact, subject=f"card:{report.card}", occurred_at=report.at)
        known.is_fraud = report.is_fraud
    return CardAnswer(report.payment, CardOutcome.ACCEPTED, CAUSE)
