"""The loan: who owes what under which terms, and in which state it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from steelyard.cashflows import Standing, Terms, events, terms
from steelyard.credit.model.postings import Position
from steelyard.credit.model.shares import ALL_OURS, Shares


class LoanState(StrEnum):
    """Where a loan stands in its life."""

    SIGNED = "signed"
    """The contract is made, the money is not paid out."""
    ACTIVE = "active"
    CLOSED = "closed"
    """Nothing is owed."""
    WRITTEN_OFF = "written_off"
    """Given up in the books, still owed."""
    SOLD = "sold"
    CANCELLED = "cancelled"
    """The customer stepped back, before the payout or within the cooling-off."""


STATE_NUMBERS: Final = MappingProxyType(
    {
        LoanState.ACTIVE: 1,
        LoanState.WRITTEN_OFF: 2,
        LoanState.CLOSED: 3,
        LoanState.SOLD: 4,
        LoanState.CANCELLED: 5,
    }
)
"""States of a loan that was paid out, as `credit.standing` keeps them."""


class Route(StrEnum):
    """Where money of a loan comes from or goes to."""

    WALLET = "wallet"
    MERCHANT = "merchant"
    SUSPENSE = "suspense"
    """A receipt from outside that waits to be applied."""
    BANK = "bank"


class ActKind(StrEnum):
    """What happens to a loan and changes no schedule."""

    SIGNED = "signed"
    PAID_OUT = "paid_out"
    SOLD = "sold"
    CANCELLED = "cancelled"
    AGEING_PAUSED = "ageing_paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLoan:
    """A contract that is made.

    Attributes
    ----------
    party : who owes it
    product, product_version : whose terms these are
    wallet_account : account of the customer in the book of wallets
    merchant : who is paid instead of the customer
    application : what it was asked for with
    cooling_off_until : last day on which the customer may step back
    """

    party: UUID
    product: str
    product_version: int
    terms: Terms
    wallet_book: str
    wallet_account: str
    merchant: UUID | None = None
    application: UUID | None = None
    shares: Shares = ALL_OURS
    cooling_off_until: date | None = None
    decision: UUID | None = None

    @property
    def cause(self) -> str:
        """Return who says that its money moves: the contract's terms."""
        return f"loan.{self.product}@{self.product_version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repayment:
    """Money that comes in.

    Attributes
    ----------
    kind : `prepay` takes what is left over off the principal, `payoff` repays everything; any other
        chooses the order of allocation (see `Repaid`)
    effective_on : value date; None: the business date
    from_wallet : otherwise out of suspense, where a receipt from outside waits
    at_most : take as much of it as the wallet has, but not nothing
    plan : of a part repaid early; None follows the terms
    """

    amount_minor: int
    kind: str = "repayment"
    effective_on: date | None = None
    from_wallet: bool = True
    at_most: bool = False
    plan: terms.Prepay | None = None
    until: events.PayoffUntil = events.PayoffUntil.DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanEvent:
    """A line of a loan's history.

    Attributes
    ----------
    kind : of the event of `cashflows`, or of an act of ours
    event : None for an act, which changes no schedule
    content : as it is stored
    business_on : business date of the book when it was recorded
    entry : the ledger entry that it posted
    """

    seq: int
    kind: str
    effective_on: date
    content: dict[str, object]
    event: events.Any | None
    cause: str
    decision: UUID | None
    actor: str
    recorded_at: datetime
    business_on: date
    entry: UUID | None
    route: Route | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is stored of a loan's standing, as the last event or day close left it.

    Attributes
    ----------
    as_of : to the end of which day it counts
    position : how it stands in our books
    interest_earned_minor, penalty_earned_minor, fee_earned_minor : counters, everybody's
    """

    as_of: date
    events: int
    position: Position
    principal_minor: int
    interest_earned_minor: int
    penalty_earned_minor: int
    fee_earned_minor: int
    next_due_on: date | None
    oldest_due_on: date | None
    overdue_minor: int
    dpd: int
    bucket: int
    category: int
    paused_until: date | None
    totals: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A loan as it stands.

    Attributes
    ----------
    nr : its short number, part of the code of its account
    kept : what is stored of its standing; None until it is paid out
    standing : the whole standing, computed; None where it was not asked for
    """

    id: UUID
    nr: int
    party: UUID
    product: str
    product_version: int
    currency: str
    terms: Terms
    wallet_book: str
    wallet_account: str
    merchant: UUID | None
    application: UUID | None
    shares: Shares
    state: LoanState
    version: int
    signed_at: datetime
    cooling_off_until: date | None
    kept: Kept | None = None
    standing: Standing | None = None

    @property
    def subject(self) -> str:
        """Return the name under which it stands in the log and in the audit trail."""
        return f"loan:{self.id}"

    @property
    def cause(self) -> str:
        """Return who says that its money moves: the contract's terms."""
        return f"loan.{self.product}@{self.product_version}"


def state_of(standing: Standing) -> LoanState:
    """Return the state that a standing amounts to.

    What was paid before it was earned keeps a loan active until it is earned.
    """
    t = standing.totals
    gone = t.interest_paid_minor + t.interest_waived_minor + t.interest_written_off_minor
    if standing.closed_on is not None and t.interest_earned_minor >= gone:
        return LoanState.CLOSED
    return LoanState.ACTIVE if standing.written_off_on is None else LoanState.WRITTEN_OFF
