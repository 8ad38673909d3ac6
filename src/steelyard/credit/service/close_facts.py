"""What the day close reports: of loans in the subject `loan:<id>`, of a day in `book:<id>`."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact


class InstalmentFellDue(Fact, kind="credit.InstalmentFellDue", version=1):
    """An instalment fell due, and something of it was not paid at the end of the day."""

    loan: UUID
    nr: int
    party: UUID
    product: str
    no: int
    due_on: date
    left_minor: int


class LoanBucketChanged(Fact, kind="credit.LoanBucketChanged", version=1):
    """A loan came into another delinquency bucket, category or stage.

    Attributes
    ----------
    dpd : days past due at the end of the day
    """

    loan: UUID
    nr: int
    party: UUID
    product: str
    on: date
    dpd: int
    overdue_minor: int
    bucket_before: int
    bucket: int
    category_before: int
    category: int
    stage_before: int
    stage: int


class CreditDayClosed(Fact, kind="credit.CreditDayClosed", version=1):
    """A business date of a lender's book is over for every loan in it.

    Attributes
    ----------
    interest_minor, penalty_minor, fee_minor : earned on the day, by currency, our share
    provision_minor : what provisions grew by, by currency
    """

    book: str
    on: date
    loans: int
    fell_due: int
    changed: int
    interest_minor: dict[str, int]
    penalty_minor: dict[str, int]
    fee_minor: dict[str, int]
    provision_minor: dict[str, int]
