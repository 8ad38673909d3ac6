"""Clearing: what a channel's day is worth to each merchant, on the channel's own clock.

A line says by how much a payment, refund or dispute differs from the lines before it. So a payment
is cleared once however often it is looked at; what is reversed or released later is a line of the
day on which that is seen, and no day that was cleared is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.kernel import Refusal, RefusalKind, Rounding
from steelyard.kernel.rounding import round_ratio
from steelyard.payments.model.channel import Capability
from steelyard.payments.model.orders import Mode

_DAY: Final = timedelta(days=1)


class ClearingDayIsUnknown(Refusal):
    """The channel has no such day yet."""

    kind = RefusalKind.NOT_FOUND
    en = "Channel {channel} has no clearing day {on}."
    zh = "渠道 {channel} 没有清算日 {on}。"


class PaymentIsNotCleared(Refusal):
    """Nothing of the payment was cleared: there is nothing to correct."""

    kind = RefusalKind.CONFLICT
    en = "Payment {payment} is not cleared."
    zh = "支付 {payment} 尚未清算。"


class FeeCorrectionIsWrong(Refusal):
    """The corrected fee is the one that was charged, or more than the payment."""

    kind = RefusalKind.INVALID
    en = "A fee of {fee_minor} cannot replace {was_minor} on a payment of {amount_minor}."
    zh = "金额为 {amount_minor} 的支付，手续费不能由 {was_minor} 更正为 {fee_minor}。"


class ClearingState(StrEnum):
    """Where a channel's day stands; it only goes forward."""

    OPEN = "open"
    CUT_OFF = "cut_off"
    """Its last instant is over; what is known is being gathered."""
    FROZEN = "frozen"
    """Its lines are complete: what comes now belongs to a later day."""
    CLEARED = "cleared"
    """Each merchant's net is posted."""
    RECON_GATED = "recon_gated"
    """对账通过: the channel's statement was verified and what is open is within the limit."""


class LineKind(StrEnum):
    """What a line of a clearing day is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    FEE_RETURN = "fee_return"
    """What a refund gives back of the fee."""


@dataclass(frozen=True, slots=True)
class DayClock:
    """When a channel's business dates begin and end.

    Attributes
    ----------
    timezone : IANA name; cut_off : local time at which a day ends, midnight: with the calendar day

    Examples
    --------
    >>> clock = DayClock("Asia/Shanghai", time(23, 0))
    >>> clock.business_on(datetime(2026, 3, 2, 15, 0, tzinfo=UTC)).isoformat()
    '2026-03-03'
    >>> [at.isoformat() for at in clock.bounds(date(2026, 3, 3))]
    ['2026-03-02T15:00:00+00:00', '2026-03-03T15:00:00+00:00']
    """

    timezone: str
    cut_off: time = time(0)

    @classmethod
    def of(cls, capability: Capability) -> DayClock:
        """Return the clock in a channel's capability."""
        return cls(capability.timezone, capability.cut_off)

    def bounds(self, on: date) -> tuple[datetime, datetime]:
        """Return the first instant of a day, and the first after it, in UTC.

        Each day ends where the next begins; where clocks are set, it has 23 or 25 hours.
        """
        return self._ends(on - _DAY), self._ends(on)

    def business_on(self, at: datetime) -> date:
        """Return the business date of an aware instant."""
        assert at.tzinfo is not None, "an instant has a zone"
        local_on = at.astimezone(ZoneInfo(self.timezone)).date()
        return local_on if at < self._ends(local_on) else local_on + _DAY

    def _ends(self, on: date) -> datetime:
        local_on = on if self.cut_off != time(0) else on + _DAY
        # Compared in UTC, because a wall-clock time can come twice in a night, or not at all.
        return datetime.combine(local_on, self.cut_off, ZoneInfo(self.timezone)).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingDay:
    """A business date of a channel.

    Attributes
    ----------
    gate : what reconciliation said when it was asked last: `is_verified`, `open_minor`, `why`
    cost_minor : what the channel kept for itself, by currency
    """

    channel: str
    mode: Mode
    on: date
    state: ClearingState
    version: int
    timezone: str
    opens_at: datetime
    closes_at: datetime
    cleared_at: datetime | None = None
    gate: dict[str, object] | None = None
    cost_minor: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingLine:
    """By how much something differs from the lines before it.

    Attributes
    ----------
    about : attempt, refund or dispute; part : 1, 2, ... of the lines about it
    amount_minor : of the merchant, over zero what he took, below what was taken from him
    pending_minor : what of it lies in the account of what is to be cleared
    fee_minor : charged with it, below zero given back
    plan : of the fee, `name@version`
    """

    about: UUID
    kind: LineKind
    part: int
    merchant: UUID
    currency: str
    method: str
    amount_minor: int
    pending_minor: int
    fee_minor: int
    plan: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What a merchant's lines of a day add up to, in one currency.

    Attributes
    ----------
    gross_minor : captured; refund_minor, dispute_minor : taken from him, over zero
    pending_minor : what leaves the account of what is to be cleared
    fee_minor : charged less given back
    """

    merchant: UUID
    currency: str
    payments: int
    refunds: int
    gross_minor: int
    refund_minor: int
    dispute_minor: int
    pending_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """How a merchant's day is divided.

    Attributes
    ----------
    reserve_minor : kept back for a while
    net_minor : gross less refunds, disputes, fees and reserve
    posted_minor : what comes to the available account by it: the net, and what refunds and
        disputes took from that account before
    Invariant: gross = refund + dispute + fee + reserve + net, and
        pending = posted + fee + reserve
    """

    sums: Sums
    reserve_minor: int
    net_minor: int
    posted_minor: int


def net_of(sums: Sums, *, reserve_rate: Decimal) -> Net:
    """Return how the day of a merchant is divided.

    Parameters
    ----------
    reserve_rate : Decimal per one of gross less refunds; kept of what there is, never on credit

    Examples
    --------
    >>> day = Sums(merchant=UUID(int=2), currency="CNY", payments=2, refunds=1, gross_minor=10_000,
    ...            refund_minor=1_000, dispute_minor=0, pending_minor=9_000, fee_minor=60)
    >>> net = net_of(day, reserve_rate=Decimal("0.1"))
    >>> net.reserve_minor, net.net_minor, net.posted_minor
    (900, 8040, 8040)
    """
    base = sums.gross_minor - sums.refund_minor - sums.dispute_minor
    before = base - sums.fee_minor
    numerator, denominator = reserve_rate.as_integer_ratio()
    wanted = round_ratio(max(base, 0) * numerator, denominator, Rounding.DOWN)
    there = min(before, sums.pending_minor - sums.fee_minor)
    reserve = max(0, min(wanted, there))
    return Net(
        sums=sums,
        reserve_minor=reserve,
        net_minor=before - reserve,
        posted_minor=sums.pending_minor - sums.fee_minor - reserve,
    )


@dataclass(frozen=True, slots=True)
class ReconWord:
    """What reconciliation says of a channel's day.

    Attributes
    ----------
    is_expected : whether the channel gives statements at all
    is_verified : whether that of the day came and was believed
    open_minor : amounts at risk in open breaks, all currencies as they stand
    """

    is_expected: bool
    is_verified: bool
    breaks: int = 0
    open_minor: int = 0

    def opens(self, most_open_minor: int) -> bool:
        """Whether the day may be settled."""
        if not self.is_expected:
            return True
        return self.is_verified and self.open_minor <= most_open_minor

    @property
    def why(self) -> str:
        """What stands against it, in a word."""
        if not self.is_expected:
            return "no_statement_is_expected"
        if not self.is_verified:
            return "statement_is_not_verified"
        return "breaks_are_open" if self.breaks else "reconciled"
