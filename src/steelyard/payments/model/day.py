"""A day of the institution: its steps, and what is told of it in the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.tieout import TieOut


class PaymentDayIsNotOver(Refusal):
    """A day is closed after its last instant, on the clock of each channel."""

    kind = RefusalKind.CONFLICT
    en = "{on} is not over on the clock of {channel} before {closes_at}."
    zh = "按 {channel} 的时钟，{on} 须到 {closes_at} 才结束。"


class DayStep(StrEnum):
    """The steps of a day, in their order."""

    TRADE = "trade"
    CLOSE = "close"
    STATEMENTS = "statements"
    RECONCILE = "reconcile"
    SETTLE = "settle"
    TIE_OUT = "tie_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLine:
    """What a day was on a channel, in one currency.

    Attributes
    ----------
    statement : `none_expected`, `missing`, or how far it came
    lines, matched, breaks : of the newest run of its reconciliation; None: there was none
    """

    channel: str
    currency: str
    state: str
    payments: int
    refunds: int
    gross_minor: int
    refund_minor: int
    fee_minor: int
    statement: str
    lines: int | None = None
    matched: int | None = None
    breaks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantLine:
    """What a day was to a merchant, in one currency.

    Attributes
    ----------
    paid_minor, payout : of the settlement of the day on which it was run; `payout` is its state
    """

    merchant: UUID
    name: str
    currency: str
    gross_minor: int
    refund_minor: int
    dispute_minor: int
    fee_minor: int
    reserve_minor: int
    net_minor: int
    paid_minor: int
    payout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step of a day, and when it was done first; None while it was begun and not finished."""

    step: DayStep
    began_at: datetime
    done_at: datetime | None
    content: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """A day of the institution as it stands.

    Attributes
    ----------
    settled_on : the day whose settlements the table shows
    """

    mode: Mode
    on: date
    settled_on: date
    steps: tuple[StepDone, ...]
    channels: tuple[ChannelLine, ...]
    merchants: tuple[MerchantLine, ...]
    tie_outs: tuple[TieOut, ...]
