"""Loans of the town: the lender opened, loans asked of the gate and paid out, instalments paid.

The town's customers come to a desk: what they state is asked of the gate (scene
`loan_application`), and a contract of the product's terms is signed and paid out. Ids follow from
those of the actions, so that the same plan gives the same books.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, Gate, Outcome, Question, UnitOfWork, Verdict
from steelyard.cashflows import terms
from steelyard.credit import books, catalogue, complaints, dayclose, loans
from steelyard.decisions import asking, consume, records
from steelyard.kernel import Refusal
from steelyard.parties import registry
from steelyard.simulation import store
from steelyard.simulation.chance import stream
from steelyard.simulation.model import CURRENCY
from steelyard.simulation.model.draws import entropy
from steelyard.simulation.model.lending import (
    BATCH,
    ComplaintOrder,
    LoanAnswer,
    LoanOrder,
    LoanOutcome,
    LoanPaymentOrder,
    TooManyLoans,
)
from steelyard.simulation.model.state import (
    BOOK,
    SETTLEMENT,
    TownIsNotFounded,
    customer_origin,
    merchant_origin,
)

__all__ = [
    "BATCH",
    "LENDING_BOOK",
    "ON_DAY_CLOSE",
    "ON_DECISIONS",
    "ComplaintOrder",
    "LendingReport",
    "LoanAnswer",
    "LoanOrder",
    "LoanOutcome",
    "LoanPaymentOrder",
    "TooManyLoans",
    "TownIsNotFounded",
    "ask_about_loans",
    "close_lending_day",
    "complain",
    "lend",
    "open_lender",
    "pay_loans",
    "report_lending",
]

SCENE: Final = "loan_application"
LENDING_BOOK: Final = books.BOOK
ON_DECISIONS: Final = (
    asking.OwnerIsAway,
    records.DecisionIsUnknown,
    records.DecisionDoesNotLetPass,
    records.DecisionIsUsed,
    records.DecisionIsExpired,
)
ON_DAY_CLOSE: Final = dayclose.REFUSALS
UNKNOWN_PARTY: Final = "party_is_unknown"
NOT_SERVED: Final = "tier_is_not_served"
NO_SUCH_LOAN: Final = "loan_is_unknown"
NOTHING_DUE: Final = "nothing_is_owed"
_NOT_MINE: Final = "not_my_loan"
_PAGE: Final = 500
_FUNDING_A_CUSTOMER_MINOR: Final = 5_000_000
_UNSCORED: Final = catalogue.Tier.B
"""The tier of who was approved without a score: where the town meets no policy."""


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
    """

    loans: int
    open: int
    lent_minor: int
    outstanding_minor: int
    overdue_minor: int
    overdue_loans: int
    differences: int

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
    """Open the lender's book beside the town's, and put the delivered products in force.

    Done again it changes nothing: a town that was founded before there was credit gets it so.

    Refusals
    --------
    town_is_not_founded, lender_exists
    """
    state = store.read(unit.connection, lock=True)
    if state is None:
        raise TownIsNotFounded
    _seed_ids(unit, "lender", state.plan.seed)
    catalogue.install_delivered(unit)
    return books.open_lender(
        unit,
        wallets_book=BOOK,
        settlement_account=SETTLEMENT,
        funding_minor=state.plan.customers * _FUNDING_A_CUSTOMER_MINOR,
        book=LENDING_BOOK,
        currency=CURRENCY,
    )


def ask_about_loans(
    database: Database, gate: Gate, orders: Sequence[LoanOrder]
) -> tuple[Verdict, ...]:
    """Ask the gate about each loan, before the unit of work opens, as of when it was asked for.

    Refusals
    --------
    too_many_loans
    """
    _check(orders)
    with database.reading() as connection:
        parties = registry.find_origins(connection, _origins(orders))
    return gate.ask_all(
        SCENE, [Question(str(order.id), order.at, _stated(order, parties)) for order in orders]
    )


def _stated(order: LoanOrder, parties: Mapping[str, UUID]) -> dict[str, object]:
    customer = parties.get(customer_origin(order.customer))
    return {
        "customer": None if customer is None else str(customer),
        "product": order.product,
        "currency": order.currency,
        "purpose": "consumption" if order.merchant is None else "purchase",
        "amount_minor": order.amount_minor,
        "income_minor": order.income_minor,
        "term_months": order.months,
    }


def lend(
    unit: UnitOfWork, orders: Sequence[LoanOrder], verdicts: Sequence[Verdict]
) -> tuple[LoanAnswer, ...]:
    """Sign and pay out the loans that the gate approves, on the lender's business date.

    Returns
    -------
    tuple of LoanAnswer
        One for each order; a loan that was granted before is granted still.

    Refusals
    --------
    town_is_not_founded, too_many_loans, lender_is_unknown
    """
    _check(orders)
    if store.read(unit.connection, lock=True) is None:
        raise TownIsNotFounded
    parties = registry.find_origins(unit.connection, _origins(orders))
    on = books.business_on(unit.connection, CURRENCY)
    return tuple(
        _lend(unit, order, verdict, parties, on)
        for order, verdict in zip(orders, verdicts, strict=True)
    )


def _lend(
    unit: UnitOfWork, order: LoanOrder, verdict: Verdict, parties: Mapping[str, UUID], on: date
) -> LoanAnswer:
    if _loan_of(unit.connection, order.id) is not None:
        return LoanAnswer(order.id, LoanOutcome.GRANTED, order.amount_minor)
    party = parties.get(customer_origin(order.customer))
    if verdict.outcome is not Outcome.APPROVE:
        reason = verdict.reasons[0] if verdict.reasons else verdict.outcome.value
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=reason)
    if party is None:
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=UNKNOWN_PARTY)
    product = catalogue.read_active(unit.connection, order.product)
    tier = _tier(unit.connection, product, verdict)
    if tier is None:
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=NOT_SERVED)
    asked = catalogue.Order(
        amount_minor=order.amount_minor,
        tenor=f"{order.months}m",
        method=terms.Method.EQUAL_INSTALMENT,
        start_on=on,
    )
    if verdict.decision_id is not None:
        consume(
            unit,
            verdict.decision_id,
            by=f"loan_request:{order.id}",
            amount_minor=order.amount_minor,
        )
    _seed_ids(unit, "loan", str(order.id))
    signed = loans.sign(
        unit,
        loans.NewLoan(
            party=party,
            product=product.code,
            product_version=product.version,
            terms=catalogue.terms_of(product, tier, asked),
            wallet_book=BOOK,
            wallet_account=order.account,
            merchant=_merchant(order, parties),
            application=order.id,
            cooling_off_until=on + timedelta(days=product.cooling_off_days),
            decision=verdict.decision_id,
        ),
    )
    loans.disburse(
        unit,
        signed.id,
        payee=order.merchant_account,
        subsidy_minor=catalogue.subsidy_minor(product, tier, asked),
        decision=verdict.decision_id,
    )
    return LoanAnswer(order.id, LoanOutcome.GRANTED, order.amount_minor)


def _merchant(order: LoanOrder, parties: Mapping[str, UUID]) -> UUID | None:
    return None if order.merchant is None else parties.get(merchant_origin(order.merchant))


def _tier(
    connection: sa.Connection, product: catalogue.Product, verdict: Verdict
) -> catalogue.Tier | None:
    """Return the tier of the score that was decided by; None where the product serves no such."""
    if verdict.decision_id is None:
        return _UNSCORED
    score = records.read_decision(connection, verdict.decision_id).decision.score
    return _UNSCORED if score is None else product.tier_of(int(score))


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
    _check(orders)
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
    _seed_ids(unit, "loan-payment", str(order.id))
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
    _check(orders)
    if store.read(unit.connection, lock=True) is None:
        raise TownIsNotFounded
    return tuple(_complain(unit, order) for order in orders)


def _complain(unit: UnitOfWork, order: ComplaintOrder) -> LoanAnswer:
    found = _loan_of(unit.connection, order.request)
    if found is None:
        return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=NO_SUCH_LOAN)
    kinds = complaints.MatterKind
    kind = kinds.REPUDIATION if order.about == _NOT_MINE else kinds.COMPLAINT
    _seed_ids(unit, "complaint", str(order.id))
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


def _origins(orders: Iterable[LoanOrder]) -> list[str]:
    origins: dict[str, None] = {}
    for order in orders:
        origins[customer_origin(order.customer)] = None
        if order.merchant is not None:
            origins[merchant_origin(order.merchant)] = None
    return list(origins)


def _check(orders: Sequence[object]) -> None:
    if len(orders) > BATCH:
        raise TooManyLoans(most=BATCH, found=len(orders))


def _seed_ids(unit: UnitOfWork, *names: str | int) -> None:
    """Let the ids of a unit follow from a name: the same plan gives the same books."""
    chance = stream(0, *names)
    unit.draw_ids(lambda: entropy(chance))
