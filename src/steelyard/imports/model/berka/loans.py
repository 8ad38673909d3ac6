"""The bank's loans as contracts, and what the files prove about them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from steelyard.cashflows import Terms, plan
from steelyard.imports.model.berka.operations import Purpose
from steelyard.imports.model.berka.records import BerkaBank, Loan, LoanOutcome

CURRENCY = "CZK"
HALF_A_CROWN_MINOR = 50
"""The loan file writes whole crowns: an order that is equal to its payment is this near at most."""
BAD = frozenset({LoanOutcome.NOT_PAID, LoanOutcome.RUNNING_IN_DEBT})


def terms_of(loan: Loan) -> Terms:
    """Return a loan as the terms of a contract.

    The payments are the amount, so that the source holds no interest: the rate is zero. It names no
    due date either; the first is a month after the grant, by our convention.

    Examples
    --------
    >>> made = terms_of(Loan(1, 2, date(1994, 1, 31), 120_000, 12, 10_000, LoanOutcome.PAID))
    >>> made.principal_minor, made.instalments, made.rate
    (120000, 12, Decimal('0'))
    """
    return Terms(
        currency=CURRENCY,
        principal_minor=loan.amount_minor,
        start_on=loan.granted_on,
        instalments=loan.duration_months,
        rate=Decimal(0),
    )


@dataclass(frozen=True, slots=True)
class LoanEvidence:
    """What the files say about the terms of one loan.

    Attributes
    ----------
    pays_amount : payments x duration is the amount, to the haléř
    plans_payment : every instalment of the contract's plan is the payment, to the haléř
    order_minor : the standing order for a loan (UVER) on the account; None where there is not
        exactly one
    """

    loan: Loan
    pays_amount: bool
    plans_payment: bool
    order_minor: int | None

    @property
    def order_equals(self) -> bool:
        """Whether order and payment are equal in the whole crowns that the loan file writes."""
        if self.order_minor is None:
            return False
        return abs(self.order_minor - self.loan.payment_minor) <= HALF_A_CROWN_MINOR

    @property
    def is_proved(self) -> bool:
        """Whether payments, plan and standing order agree with the amount."""
        return self.pays_amount and self.plans_payment and self.order_equals

    @property
    def order_equals_exactly(self) -> bool:
        """Whether they are equal to the haléř."""
        return self.order_minor == self.loan.payment_minor


def prove_loans(bank: BerkaBank) -> tuple[LoanEvidence, ...]:
    """Return what the files say about the terms of every loan, in the order of the loans' ids."""
    orders: dict[int, list[int]] = {}
    for order in bank.standing_orders:
        if order.purpose is Purpose.LOAN_PAYMENT:
            orders.setdefault(order.account_id, []).append(order.amount_minor)
    return tuple(_prove(loan, orders.get(loan.account_id, [])) for loan in bank.loans)


def _prove(loan: Loan, orders: list[int]) -> LoanEvidence:
    rows = plan(terms_of(loan)).rows
    return LoanEvidence(
        loan=loan,
        pays_amount=loan.payment_minor * loan.duration_months == loan.amount_minor,
        plans_payment=len(rows) == loan.duration_months
        and all(row.total_minor == loan.payment_minor for row in rows),
        order_minor=orders[0] if len(orders) == 1 else None,
    )
