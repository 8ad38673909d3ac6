"""Loans of the town as they are asked for, repaid and answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

BATCH: Final = 200
"""Most items of a request: each is a contract of its own."""


class TooManyLoans(Refusal):
    """A batch is larger than one short transaction takes."""

    kind = RefusalKind.TOO_LARGE
    en = "At most {most} loans or loan payments a batch, not {found}."
    zh = "每批最多 {most} 笔贷款或还款，本批为 {found} 笔。"


class LoanOutcome(StrEnum):
    """What became of an item."""

    GRANTED = "granted"
    PAID = "paid"
    RECEIVED = "received"
    """A complaint was taken in."""
    DECLINED = "declined"
    REFERRED = "referred"
    """An application waits for a person."""
    LEFT = "left"
    """The customer did not go on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanOrder:
    """A loan that is asked for.

    Attributes
    ----------
    id : of the request, by which the loan is found
    at : instant, UTC
    customer : as the town knows the customer
    account : code of the wallet, in the town's book
    product : code
    amount_minor, income_minor : positive; the income is what the customer states, a month
    months : instalments
    merchant : who is paid instead, for a purchase, as the town knows it
    """

    id: UUID
    at: datetime
    customer: UUID
    account: str
    product: str
    amount_minor: int
    currency: str
    months: int
    income_minor: int
    merchant: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanPaymentOrder:
    """A payment on a loan: what is due, or everything.

    Attributes
    ----------
    id : of the payment
    request : of the loan
    repays_all : early, with the interest to the day
    """

    id: UUID
    request: UUID
    repays_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintOrder:
    """A complaint about a loan.

    Attributes
    ----------
    id : of the complaint
    request : of the loan
    about : stable code; `not_my_loan` is a repudiation
    """

    id: UUID
    request: UUID
    about: str


@dataclass(frozen=True, slots=True)
class LoanAnswer:
    """What became of an item.

    Attributes
    ----------
    amount_minor : lent or paid; 0 where nothing was
    reason : why nothing was: a code
    """

    id: UUID
    outcome: LoanOutcome
    amount_minor: int = 0
    reason: str | None = None


def check_batch(orders: Sequence[object]) -> None:
    """Check that a batch is one.

    Refusals
    --------
    too_many_loans
    """
    if len(orders) > BATCH:
        raise TooManyLoans(most=BATCH, found=len(orders))
