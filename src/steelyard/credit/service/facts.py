"""What loans report; the subject is `loan:<id>`, amounts are minor units."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact


class LoanSigned(Fact, kind="credit.LoanSigned", version=1):
    """A contract was made."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    product_version: int
    currency: str
    principal_minor: int
    application: UUID | None = None
    merchant: UUID | None = None


class LoanDisbursed(Fact, kind="credit.LoanDisbursed", version=1):
    """Money was paid out, all of it or a further tranche."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    currency: str
    amount_minor: int
    route: str
    on: date


class LoanRepaid(Fact, kind="credit.LoanRepaid", version=1):
    """Money came in.

    Attributes
    ----------
    repayment_kind : repayment, debit, prepay, payoff, merchant_refund, down_payment, goodwill
    days_late : past due when it came, on its value date
    left_minor : principal owed after it
    """

    loan: UUID
    nr: int
    party: UUID
    product: str
    currency: str
    seq: int
    repayment_kind: str
    amount_minor: int
    on: date
    days_late: int
    left_minor: int


class LoanChanged(Fact, kind="credit.LoanChanged", version=1):
    """Terms or claims were changed; `change` is the kind of the event."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    seq: int
    change: str
    on: date
    cause: str


class LoanReversed(Fact, kind="credit.LoanReversed", version=1):
    """An earlier event was taken back."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    seq: int
    of: int
    of_kind: str
    on: date


class CreditBalanceRefunded(Fact, kind="credit.CreditBalanceRefunded", version=1):
    """An over-payment was given back."""

    loan: UUID
    nr: int
    party: UUID
    currency: str
    amount_minor: int


class LoanClosed(Fact, kind="credit.LoanClosed", version=1):
    """Nothing is owed any more."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    on: date


class LoanReopened(Fact, kind="credit.LoanReopened", version=1):
    """Something is owed again, after what closed it or gave it up was taken back."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    state_before: str
    on: date


class LoanCancelled(Fact, kind="credit.LoanCancelled", version=1):
    """The customer stepped back."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    on: date


class LoanWrittenOff(Fact, kind="credit.LoanWrittenOff", version=1):
    """The lender gave it up in its books."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    currency: str
    amount_minor: int
    on: date
    cause: str


class LoanRecovered(Fact, kind="credit.LoanRecovered", version=1):
    """Money came in after the write-off."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    currency: str
    seq: int
    amount_minor: int
    on: date


class LoanSold(Fact, kind="credit.LoanSold", version=1):
    """The claim was sold; `book_minor` is what it was worth in the books, less provision."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    currency: str
    buyer: str
    price_minor: int
    book_minor: int
    on: date
    cause: str


class BooksDisagreed(Fact, kind="credit.BooksDisagreed", version=1):
    """The daily check found accounts that are not what the loans add up to."""

    book: str
    checked_on: date
    differences: int
