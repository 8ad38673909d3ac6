"""Loans of the town after they were made: the lender opened, instalments paid, days closed.

How they are applied for stands in `borrowing`. Ids follow from those of the actions, so that the
same plan gives the same books.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.credit import books, catalogue, complaints, dayclose, glance, loans, origination
from steelyard.decisions import asking, records
from steelyard.kernel import Refusal
from steelyard.payments import institution
from steelyard.simulation import store
from steelyard.simulation.model import CURRENCY
from steelyard.simulation.model.lending import (
    BATCH,
    ComplaintOrder,
    LoanAnswer,
    LoanOutcome,
    LoanPaymentOrder,
    TooManyLoans,
    check_batch,
)
from steelyard.simulation.model.state import (
    BOOK,
    SETTLEMENT,
    TownIsNotFounded,
    TownIsOfBefore,
)
from steelyard.simulation.service.ids import seed_ids

__all__ = [
    "BATCH",
    "LENDING_BOOK",
    "ON_DAY_CLOSE",
    "ON_DECISIONS",
    "ComplaintOrder",
    "LendingReport",
    "LoanAnswer",
    "LoanOutcome",
    "LoanPaymentOrder",
    "TooManyLoans",
    "TownIsNotFounded",
    "TownIsOfBefore",
    "close_lending_day",
    "complain",
    "open_lender",
    "pay_loans",
    "report_lending",
]

LENDING_BOOK: Final = books.BOOK
ON_DECISIONS: Final = (
    asking.OwnerIsAway,
    records.DecisionIsUnknown,
    records.DecisionDoesNotLetPass,
    records.DecisionIsUsed,
    records.DecisionIsExpired,
)
ON_DAY_CLOSE: Final = dayclose.REFUSALS
NO_SUCH_LOAN: Final = "loan_is_unknown"
NOTHING_DUE: Final = "nothing_is_owed"
_NOT_MINE: Final = "not_my_loan"
_PAGE: Final = 500
_FUNDING_A_CUSTOMER_MINOR: Final = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LendingReport:
    """The town's loans as the books have them, minor units.

    Attributes
    ----------
    loans : paid out; open : of them not repaid
    outstanding_minor : principal owed
    overdue_minor : of all parts, late
    overdue_loans : with something late
    differences : accounts on which loans and ledger disagree
    applications : how many came to what
    """

    loans: int
    open: int
    lent_minor: int
    outstanding_minor: int
    overdue_minor: int
    overdue_loans: int
    differences: int
    applications: Mapping[str, int]

    @property
    def overdue_share(self) -> float:
        """Return the share of open loans with something late; 0 where none is open."""
        return self.overdue_loans / self.open if self.open else 0.0


def report_lending(connection: sa.Connection) -> LendingReport | None:
    """Return how the town's loans stand at the last event or day close; None without a lender."""
    if all(one.currency != CURRENCY for one in books.lenders(connection)):
        return None
    told = [one for one in _paid_out(connection) if one.kept is not None]
    kept = [one.kept for one in told if one.kept is not None]
    still = [one for one in kept if one.principal_minor or one.overdue_minor]
    return LendingReport(
        loans=len(told),
        open=len(still),
        lent_minor=sum(one.terms.principal_minor for one in told),
        outstanding_minor=sum(one.principal_minor for one in kept),
        overdue_minor=sum(one.overdue_minor for one in kept),
        overdue_loans=sum(one.dpd > 0 for one in still),
        differences=len(books.check(connection).differences),
        applications=glance.outcomes(connection),
    )


def _paid_out(connection: sa.Connection) -> Iterator[loans.Loan]:
    cursor: str | None = None
    while True:
        page = loans.find(connection, cursor=cursor, limit=_PAGE)
        yield from (one for one in page.items if one.currency == CURRENCY)
        cursor = page.next
        if cursor is None:
            return


def open_lender(unit: UnitOfWork) -> books.Lender:
    """Open the lender's book beside the town's; put the delivered products and texts in force.

    Done again it changes nothing: a town that was founded before there was credit gets it so.

    Refusals
    --------
    town_is_not_founded, lender_exists
    town_is_of_before : it was founded before there were payments
    """
    state = store.read(unit.connection, lock=True)
    if state is None:
        raise TownIsNotFounded
    if institution.find(unit.connection, institution.Mode.LIVE) is None:
        raise TownIsOfBefore
    seed_ids(unit, "lender", state.plan.seed)
    catalogue.install_delivered(unit)
    origination.publish_texts(unit)
    return books.open_lender(
        unit,
        wallets_book=BOOK,
        settlement_account=SETTLEMENT,
        funding_minor=state.plan.customers * _FUNDING_A_CUSTOMER_MINOR,
        book=LENDING_BOOK,
        currency=CURRENCY,
    )


def pay_loans(unit: UnitOfWork, orders: Sequence[LoanPaymentOrder]) -> tuple[LoanAnswer, ...]:
    """Pay what is due on loans out of the wallets, as far as they have it.

    Returns
    -------
    tuple of LoanAnswer
        One for each order; a loan that was never given, or that owes nothing, is declined.

    Refusals
    --------
    town_is_not_founded, too_many_loans
    """
    check_batch(orders)
    if store.read(unit.connection, lock=True) is None:
        raise TownIsNotFounded
    return tuple(_pay(unit, order) for order in orders)


def _pay(unit: UnitOfWork, order: LoanPaymentOrder) -> LoanAnswer:
    found = _loan_of(unit.connection, order.request)
    if found is None:
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=NO_SUCH_LOAN)
    on = books.business_on(unit.connection, CURRENCY)
    if order.repays_all and found.state is loans.LoanState.ACTIVE:
        amount = loans.quote_payoff(unit.connection, found.id).total_minor
    else:
        amount = _due(loans.read(unit.connection, found.id), on)
    if amount <= 0:
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=NOTHING_DUE)
    kind = "payoff" if order.repays_all else "repayment"
    seed_ids(unit, "loan-payment", str(order.id))
    try:
        effect = loans.repay(
            unit, found.id, loans.Repayment(amount_minor=amount, kind=kind, at_most=True)
        )
    except Refusal as refusal:  # before anything was written: the wallet is empty, the loan closed
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=refusal.code)
    return LoanAnswer(order.id, LoanOutcome.PAID, effect.amount_minor)


def _due(loan: loans.Loan, on: date) -> int:
    """Return what is late or due, less what is held as credit."""
    if loan.standing is None:
        return 0
    due = sum(row.open_minor for row in loan.standing.rows if row.due_on <= on)
    return due - loan.standing.totals.credit_minor


def complain(unit: UnitOfWork, orders: Sequence[ComplaintOrder]) -> tuple[LoanAnswer, ...]:
    """Take complaints in; each has its day and its case.

    Returns
    -------
    tuple of LoanAnswer
        One for each order; about a loan that was never given there is nothing to complain about.

    Refusals
    --------
    town_is_not_founded, too_many_loans
    """
    check_batch(orders)
    if store.read(unit.connection, lock=True) is None:
        raise TownIsNotFounded
    return tuple(_complain(unit, order) for order in orders)


def _complain(unit: UnitOfWork, order: ComplaintOrder) -> LoanAnswer:
    found = _loan_of(unit.connection, order.request)
    if found is None:
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=NO_SUCH_LOAN)
    kinds = complaints.MatterKind
    kind = kinds.REPUDIATION if order.about == _NOT_MINE else kinds.COMPLAINT
    seed_ids(unit, "complaint", str(order.id))
    complaints.receive(unit, complaints.NewMatter(found.id, kind, order.about))
    return LoanAnswer(order.id, LoanOutcome.RECEIVED)


def close_lending_day(database: Database, on: date) -> dayclose.DayReport:
    """Close a day of the lender's book, in its own short transactions.

    Refusals
    --------
    those of `credit.dayclose.close_day`
    """
    return dayclose.close_day(database, on, book=LENDING_BOOK)


def _loan_of(connection: sa.Connection, request: UUID) -> loans.Loan | None:
    found = loans.find(connection, application=request, limit=1).items
    return found[0] if found else None
