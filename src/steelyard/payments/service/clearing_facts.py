"""Facts of clearing, settlement, payouts and the tie-out."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact


class DayCleared(Fact, kind="payments.DayCleared", version=1):
    """Each merchant's net of a channel's day is posted."""

    channel: str
    mode: str
    on: date
    merchants: int
    payments: int
    gross_minor: dict[str, int]
    fee_minor: dict[str, int]


class DaySettleable(Fact, kind="payments.DaySettleable", version=1):
    """Reconciliation let a channel's day pass: what it cleared may be paid when it is due."""

    channel: str
    mode: str
    on: date


class FeesSwept(Fact, kind="payments.FeesSwept", version=1):
    """Fees that were earned went to our own book; below zero: came back from it."""

    mode: str
    currency: str
    amount_minor: int


class FeeCorrected(Fact, kind="payments.FeeCorrected", version=1):
    """A fee was found wrong after its day was cleared."""

    payment: UUID
    merchant: UUID
    of_day: date
    currency: str
    was_minor: int
    is_minor: int


class MerchantHeld(Fact, kind="payments.MerchantHeld", version=1):
    """A merchant's settlements are held."""

    merchant: UUID
    reason: str


class MerchantHoldLifted(Fact, kind="payments.MerchantHoldLifted", version=1):
    """A merchant is paid again."""

    merchant: UUID


class SettlementChanged(Fact, kind="payments.SettlementChanged", version=1):
    """A settlement went into another state."""

    settlement: UUID
    merchant: UUID
    mode: str
    currency: str
    amount_minor: int
    before: str | None
    after: str


class PayoutChanged(Fact, kind="payments.PayoutChanged", version=1):
    """A payout went into another state."""

    payout: UUID
    payout_kind: str
    merchant: UUID | None
    mode: str
    currency: str
    amount_minor: int
    before: str | None
    after: str


class CustodyBooked(Fact, kind="payments.CustodyBooked", version=1):
    """A line of the custodian's statement was booked."""

    mode: str
    currency: str
    on: date
    as_what: str
    about: str
    amount_minor: int


class ReserveTiedOut(Fact, kind="payments.ReserveTiedOut", version=1):
    """What we owe to clients is what the custodian holds, to the cent."""

    mode: str
    currency: str
    on: date
    owed_minor: int


class ReserveIsOff(Fact, kind="payments.ReserveIsOff", version=1):
    """What we owe to clients is not what the custodian says it holds: payouts stop."""

    mode: str
    currency: str
    on: date
    difference_minor: int | None
    why: str


class PayoutStopLifted(Fact, kind="payments.PayoutStopLifted", version=1):
    """Payouts may go out again."""

    mode: str
    currency: str
    cause: str
