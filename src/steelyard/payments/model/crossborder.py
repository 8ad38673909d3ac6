"""Cross-border payments: their states, their legs, and what a provider is asked and says.

A payment is quoted, its rate locked, its parties screened, its money taken, converted, and sent by
one provider or several. What a provider says is evidence: `unknown` leaves a leg where it is until
it is asked again, and only `credited`, `returned`, `recalled` or `rejected` end it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from steelyard.payments.model.orders import Mode


class CrossState(StrEnum):
    """Where a cross-border payment stands."""

    QUOTED = "quoted"
    LOCKED = "locked"
    SCREENED = "screened"
    FUNDED = "funded"
    """The payer's money is set aside; the rate is his from here on."""
    CONVERTED = "converted"
    SENT = "sent"
    CREDITED = "credited"
    RETURNED = "returned"
    RECALLED = "recalled"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """Whether nothing is asked any more."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {CrossState.CREDITED, CrossState.RETURNED, CrossState.RECALLED, CrossState.REJECTED}
)


class LossOwner(StrEnum):
    """Who bears by contract what a returned payment lost on its way, fees and rate."""

    PAYER = "payer"
    US = "us"
    PROVIDER = "provider"


class ReturnRate(StrEnum):
    """At which rate money comes back into the currency it was paid in."""

    SPOT = "spot"
    ORIGINAL = "original"


class LegState(StrEnum):
    """Where the part of one provider stands."""

    PLANNED = "planned"
    CONVERTED = "converted"
    SENDING = "sending"
    """The intent is written; nobody knows yet whether it left."""
    SENT = "sent"
    CREDITED = "credited"
    RETURNED = "returned"
    RECALLED = "recalled"

    @property
    def is_final(self) -> bool:
        """Whether its money arrived somewhere."""
        return self in (LegState.CREDITED, LegState.RETURNED, LegState.RECALLED)


class Word(StrEnum):
    """What a provider says of a leg."""

    ACCEPTED = "accepted"
    CREDITED = "credited"
    RETURNED = "returned"
    RECALLED = "recalled"
    NOT_SENT = "not_sent"
    """Nothing left; it can be sent again under the same number."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A provider's answer about a leg.

    Attributes
    ----------
    net_minor : of a return, what comes back, after fees on the way
    at : when it happened there
    """

    word: Word
    net_minor: int | None = None
    at: datetime | None = None
    reference: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """An exchange that a provider is asked for: units of `buy` for one of `sell` at `quoted`."""

    number: str
    sell: str
    buy: str
    buy_minor: int
    quoted: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Remittance:
    """A leg as a provider is asked for it; the number is the same at every repetition."""

    number: str
    currency: str
    amount_minor: int
    beneficiary: Mapping[str, str]
    purpose: str


class Remitter(Protocol):
    """A provider of cross-border payments. Called outside of any transaction; never raises."""

    @property
    def code(self) -> str:
        """Its name with us."""
        ...

    def execute(self, deal: Deal) -> Decimal | None:
        """Return the rate at which it deals now; None where it does not or nobody knows."""
        ...

    def send(self, remittance: Remittance) -> Delivery:
        """Ask it to bring money to a beneficiary."""
        ...

    def query(self, number: str) -> Delivery:
        """Ask what became of a leg."""
        ...

    def recall(self, number: str) -> Delivery:
        """Ask it to get a leg back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCross:
    """A cross-border payment to make.

    Attributes
    ----------
    quote : of the payer's, active; it fixes both amounts
    payment_no : the merchant's own number; unique for the merchant for ever
    beneficiary : `name`, `account`, `bank`; country : where the account is
    slip_cap_ppm : by how much whoever converts may be worse than the market's rate of the quote
    """

    id: UUID
    mode: Mode
    merchant: UUID
    payment_no: str
    quote: UUID
    beneficiary: Mapping[str, str]
    country: str
    purpose: str
    arrive_by: datetime | None = None
    loss_owner: LossOwner = LossOwner.PAYER
    return_rate: ReturnRate = ReturnRate.SPOT
    slip_cap_ppm: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What one provider brings of a payment.

    Attributes
    ----------
    sell_minor : its share of what the payer gives; all legs add up
    promised_at, credited_at : when it was to arrive, and when it did by the provider's word
    returned_minor : of `buy`, after fees; back_minor : what the payer got of it, in `sell`
    loss_minor : what was lost, in `sell`; below 0 a gain
    """

    payment: UUID
    no: int
    provider: str
    buy_minor: int
    sell_minor: int
    state: LegState = LegState.PLANNED
    version: int = 1
    executed: Decimal | None = None
    slip_ppm: int | None = None
    reference: str | None = None
    leaves_on: date
    promised_at: datetime
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    returned_minor: int | None = None
    back_minor: int | None = None
    loss_minor: int | None = None
    next_query_at: datetime | None = None

    @property
    def number(self) -> str:
        """Under which the provider knows it."""
        return f"{self.payment.hex}{self.no:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross:
    """A cross-border payment as it stands.

    Attributes
    ----------
    charge_minor : fixed and lifting fees that the payer pays beside, in `sell`
    hold : why people have to look; empty: nobody does
    choice : every provider with its cost, and why not
    """

    id: UUID
    mode: Mode
    merchant: UUID
    payment_no: str
    quote: UUID
    beneficiary: Mapping[str, str]
    country: str
    purpose: str
    arrive_by: datetime | None
    loss_owner: LossOwner
    return_rate: ReturnRate
    slip_cap_ppm: int
    sell: str
    buy: str
    sell_minor: int
    buy_minor: int
    charge_minor: int
    state: CrossState
    version: int
    hold: str
    verdict: str
    decision: UUID | None
    screened_at: datetime | None
    choice: Mapping[str, object]
    promised_at: datetime
    created_at: datetime
    ended_at: datetime | None = None
    legs: tuple[Leg, ...] = field(default=())

    @property
    def subject(self) -> str:
        """Of its facts and cases."""
        return f"cross_border:{self.id}"


def end_of(legs: Sequence[Leg]) -> CrossState | None:
    """Return how a payment ended of which all legs ended; None before that.

    Examples
    --------
    >>> end_of([]) is None
    True
    """
    if not legs or not all(one.state.is_final for one in legs):
        return None
    states = {one.state for one in legs}
    if LegState.RETURNED in states:
        return CrossState.RETURNED
    return CrossState.RECALLED if LegState.RECALLED in states else CrossState.CREDITED
