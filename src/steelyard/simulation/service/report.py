"""What became of the town: people, payments, fraud, and both books, in one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from steelyard.base import Database
from steelyard.events import FactFilter, reading
from steelyard.ledger import BookReader
from steelyard.simulation import store
from steelyard.simulation.chance import found
from steelyard.simulation.model import (
    BEIJING,
    Scenario,
    Town,
    actions_between,
    midnight,
    truth,
)
from steelyard.simulation.model.state import TownIsNotFounded, TownState
from steelyard.simulation.service.lending import LendingReport, report_lending

__all__ = ["BookReport", "TownReport", "report_town"]

_PAGE = 5_000
_PAID: Final = "payments.PaymentSucceeded"
_DECLINED: Final = "payments.AttemptDeclined"
_REFUNDED: Final = "payments.RefundSucceeded"


@dataclass(frozen=True, slots=True)
class BookReport:
    """One book of the town.

    Attributes
    ----------
    difference_minor : debits less credits over all currencies: 0, or the books are broken
    is_sound : whether the book, computed again from its transfers, is what it claims
    """

    book: str
    transfers: int
    difference_minor: int
    is_sound: bool
    head: str


@dataclass(frozen=True, slots=True)
class TownReport:
    """The town up to where it has lived.

    Attributes
    ----------
    days : whole days lived through
    payments : tried; made and declined together
    fraud : how many of the payments asked for are fraud, by scenario; the truth of the seed, which
        is nowhere in the books or the facts
    lending : how the loans stand; None where the town has no lender yet
    """

    state: TownState
    days: int
    customers: int
    merchants: int
    payments: int
    declined: int
    refunds: int
    fraud: Mapping[Scenario, int]
    books: tuple[BookReport, ...]
    lending: LendingReport | None

    def fraud_share(self, scenario: Scenario) -> float:
        """Return a scenario's share of the payments asked for; 0 where there are none."""
        return self.fraud.get(scenario, 0) / self.payments if self.payments else 0.0


def report_town(database: Database) -> TownReport:
    """Return what became of the town.

    Every fact of a payment is counted, and both books are computed again: about a second for 50,000
    payments, or several.

    Refusals
    --------
    town_is_not_founded
    """
    with database.reading() as connection:
        state = store.read(connection)
        if state is None:
            raise TownIsNotFounded
        facts = _count_facts(connection)
        books = tuple(_report_book(connection, book) for book in (state.book, state.house))
        loans = report_lending(connection)
    people = found(state.plan)
    days = (state.played_through.astimezone(BEIJING).date() - state.plan.opens_on).days
    made, declined = facts[_PAID], facts[_DECLINED]
    return TownReport(
        state=state,
        days=days,
        customers=sum(c.signs_up_at < state.played_through for c in people.customers),
        merchants=len(people.merchants),
        payments=made + declined,
        declined=declined,
        refunds=facts[_REFUNDED],
        fraud=_fraud(people, state.played_through, days),
        books=books,
        lending=loans,
    )


def _fraud(people: Town, through: datetime, days: int) -> Counter[Scenario]:
    """Count the fraud of the days lived through, and of today so far."""
    opens_on = people.plan.opens_on
    counted = Counter(
        scenario
        for n in range(days)
        for scenario in truth(people, opens_on + timedelta(days=n)).scenarios.values()
    )
    today_on = opens_on + timedelta(days=days)
    labels = truth(people, today_on)
    for action in actions_between(people, midnight(today_on), through):
        if (scenario := labels.of(action.id)) is not None:
            counted[scenario] += 1
    return counted


def _count_facts(connection: sa.Connection) -> Counter[str]:
    kinds = (_PAID, _DECLINED, _REFUNDED)
    counted: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        page = reading.read_page(connection, FactFilter(kinds=kinds), cursor=cursor, limit=_PAGE)
        counted.update(stored.kind for stored in page.items)
        if not page.has_more:
            return counted
        cursor = page.next


def _report_book(connection: sa.Connection, book: str) -> BookReport:
    reader = BookReader(connection, book)
    found_in = reader.verify()
    return BookReport(
        book=book,
        transfers=found_in.transfers,
        difference_minor=sum(total.difference_minor for total in reader.trial_totals()),
        is_sound=found_in.is_sound,
        head=found_in.head,
    )
