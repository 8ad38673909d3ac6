"""Facts of rates, conversions and cross-border payments."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from steelyard.base import Fact


class FxRateHeld(Fact, kind="payments.FxRateHeld", version=1):
    """A rate jumped: nobody is quoted by it until it is confirmed."""

    tick: UUID
    source: str
    pair: str
    why: str


class FxRateResolved(Fact, kind="payments.FxRateResolved", version=1):
    """A rate that was held may be used, or never."""

    tick: UUID
    source: str
    pair: str
    state: str
    by: str


class FxConverted(Fact, kind="payments.FxConverted", version=1):
    """Money of a client was exchanged through our own position."""

    conversion: UUID
    quote: UUID
    merchant: UUID
    mode: str
    sell: str
    buy: str
    sell_minor: int
    buy_minor: int
    rate: str


class FxConvertedBack(Fact, kind="payments.FxConvertedBack", version=1):
    """Some of a conversion was exchanged back."""

    conversion: UUID
    merchant: UUID
    buy_minor: int
    sell_minor: int
    at_rate: str


class FxRevalued(Fact, kind="payments.FxRevalued", version=1):
    """Our positions were valued at a day's rate; below zero it is a loss."""

    mode: str
    base: str
    on: date
    gain_minor: int


class CrossFact(Fact, kw_only=True):
    """What every fact about a cross-border payment tells.

    Attributes
    ----------
    charge_minor : fees the payer pays beside, in `sell`
    """

    payment: UUID
    merchant: UUID
    mode: str
    payment_no: str
    sell: str
    buy: str
    sell_minor: int
    buy_minor: int
    charge_minor: int
    country: str


class CrossBorderLocked(CrossFact, kind="payments.CrossBorderLocked", version=1):
    """The payer confirmed it, and its rate is kept."""


class CrossBorderHeld(CrossFact, kind="payments.CrossBorderHeld", version=1):
    """People look at it."""

    why: str


class CrossBorderScreened(CrossFact, kind="payments.CrossBorderScreened", version=1):
    """Nothing is against it."""


class CrossBorderFunded(CrossFact, kind="payments.CrossBorderFunded", version=1):
    """The payer's money is set aside."""


class CrossBorderConverted(CrossFact, kind="payments.CrossBorderConverted", version=1):
    """It is in the beneficiary's currency."""


class CrossBorderSent(CrossFact, kind="payments.CrossBorderSent", version=1):
    """Every provider has taken its part."""

    promised_at: datetime


class CrossBorderCredited(CrossFact, kind="payments.CrossBorderCredited", version=1):
    """The beneficiary has it."""

    promised_at: datetime
    credited_at: datetime


class CrossBorderReturned(CrossFact, kind="payments.CrossBorderReturned", version=1):
    """Some of it or all came back."""

    back_minor: int
    loss_minor: int
    loss_owner: str


class CrossBorderRecalled(CrossFact, kind="payments.CrossBorderRecalled", version=1):
    """It was called back and came."""

    back_minor: int
    loss_minor: int
    loss_owner: str


class CrossBorderRejected(CrossFact, kind="payments.CrossBorderRejected", version=1):
    """It does not go; what was set aside is the payer's again."""

    why: str
