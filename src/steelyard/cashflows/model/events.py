"""What happens to a contract: facts with a value date, in the order of their recording."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from steelyard.cashflows.model.terms import Prepay, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a contract.

    Attributes
    ----------
    seq : of the contract, rising with recording
    on : value date; before the date of recording it is back-dated
    """

    seq: int
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Disbursed(Event):
    """A further tranche was paid out; the first is in the terms."""

    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaid(Event):
    """Money came in.

    Attributes
    ----------
    kind : chooses the order of allocation: repayment, debit, recovery, merchant_refund, goodwill
    """

    amount_minor: int
    kind: str = "repayment"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepaidPart(Event):
    """What is due was paid; the rest came off the principal, and interest runs on less from then.

    Attributes
    ----------
    plan : None follows the terms
    """

    amount_minor: int
    plan: Prepay | None = None


class PayoffUntil(StrEnum):
    """To when interest is owed by one who repays everything early."""

    DAY = "day"
    PERIOD_END = "period_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidOff(Event):
    """Everything was repaid early; an amount that falls short counts as a repayment."""

    amount_minor: int
    until: PayoffUntil = PayoffUntil.DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDatesMoved(Event):
    """A due date moved, and those after it with it; the instalment stays."""

    from_due: date
    to_due: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ReAged(Event):
    """All that is owed is spread over new instalments; old ones are emptied, not deleted."""

    first_due_on: date
    instalments: int
    every: int = 1
    unit: Unit = Unit.MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended(Event):
    """Instalments were added at the end, and each became smaller."""

    instalments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChanged(Event):
    """The rate changed from this day on.

    Attributes
    ----------
    rate : per one and the terms' `rate_per`
    """

    rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestPaused(Event):
    """No interest runs from `on` up to, and without, `until`."""

    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived(Event):
    """What was due was forgiven, oldest first; never more than is due."""

    penalty_minor: int = 0
    fee_minor: int = 0
    interest_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeCharged(Event):
    """A fee that the contract allows was charged; it falls due with the next instalment."""

    code: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded(Event):
    """A part of the credit balance was paid back; never more than there is."""

    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOff(Event):
    """The lender gave it up in its books; it is still owed, nothing accrues any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversed(Event):
    """An earlier event did not happen; the same as if neither stood here."""

    of: int


Any = (
    Disbursed
    | Repaid
    | PrepaidPart
    | PaidOff
    | DueDatesMoved
    | ReAged
    | Extended
    | RateChanged
    | InterestPaused
    | Waived
    | FeeCharged
    | Refunded
    | WrittenOff
    | Reversed
)
"""Every kind of event."""
