"""Channels: the six verbs by which money is moved outside, and what a channel says it can do.

A channel never decides anything here. What it answers is a `Finding`: evidence, recorded and put
before the one reducer (`attempts.reduce`). A verb does not raise for what goes wrong on the way; it
returns a finding that says what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class Method(StrEnum):
    """How the payer pays; what a cashier offers."""

    BALANCE = "balance"
    """余额: from an account of the payer in our own book; no channel outside."""
    WALLET = "wallet"
    """第三方钱包: the payer's wallet at another institution."""
    QUICK_PAY = "quick_pay"
    """快捷支付: a card bound once by four factors and a code, then by token."""
    CARD = "card"
    """银行卡: a card shown at a terminal or typed in."""
    CORPORATE_BANKING = "corporate_banking"
    """企业网银: with the payer's own maker and checker."""
    SCAN = "scan"
    """扫码: the payer scans ours, or we scan his (付款码)."""
    CREDIT = "credit"
    """信用支付: a funding source of ours lends the amount."""
    DIRECT_DEBIT = "direct_debit"
    """代扣: by an agreement signed before."""
    TRANSFER = "transfer"
    """银行转账: the payer sends it himself."""


class Said(StrEnum):
    """What a channel, or what came from it, says about one payment, refund or cancellation."""

    SUCCEEDED = "succeeded"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    """A final no; nothing was charged."""
    PENDING = "pending"
    """It was taken and is not finished."""
    ACTION = "action"
    """The payer has to do something: `action` says what."""
    NOT_FOUND = "not_found"
    """The channel knows of no such number; within its visibility window that proves nothing."""
    CLOSED = "closed"
    """It was closed or reversed at the channel, and no money stays there."""
    NOT_SENT = "not_sent"
    """The connection was refused before the first byte: it is safe to send the same again."""
    UNKNOWN = "unknown"
    """Time-out, 5xx, nonsense, a bad signature: anything may have happened."""

    @property
    def is_final(self) -> bool:
        """Whether nothing is asked any more."""
        return self in (Said.SUCCEEDED, Said.DECLINED, Said.CLOSED)


class Decline(StrEnum):
    """Why a channel declined, in one list for all channels; a rule of retries hangs on each."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    DO_NOT_HONOR = "do_not_honor"
    EXPIRED_CARD = "expired_card"
    INVALID_CARD = "invalid_card"
    INVALID_PIN = "invalid_pin"
    STOLEN_CARD = "stolen_card"
    SUSPECTED_FRAUD = "suspected_fraud"
    NOT_PERMITTED = "not_permitted"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    CHANNEL_BUSY = "channel_busy"
    CHANNEL_CLOSED = "channel_closed"
    """Maintenance, or outside its hours."""
    DUPLICATE = "duplicate"
    MANDATE_INVALID = "mandate_invalid"
    ACCOUNT_CLOSED = "account_closed"
    PAYER_CANCELLED = "payer_cancelled"
    TIMED_OUT = "timed_out"
    """The payer did not finish in time; the channel says so, not our clock."""
    INVALID_REQUEST = "invalid_request"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is known from one answer, notice or line of a statement.

    Attributes
    ----------
    amount_minor, currency : as the channel states them; None where it does not
    reference : the channel's own number
    code, decline : as the channel put it, and the same in our list; of a decline only
    action : for the payer: `kind` (redirect, qr, code, wait) and what belongs to it
    fee_minor : what the channel keeps, where it says so
    at : when it happened at the channel
    why : what went wrong on the way, for `unknown` and `not_sent`; a short word
    """

    said: Said
    amount_minor: int | None = None
    currency: str | None = None
    reference: str | None = None
    code: str | None = None
    decline: Decline | None = None
    action: Mapping[str, str] | None = None
    fee_minor: int | None = None
    at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRequest:
    """A payment as a channel is asked for it.

    Attributes
    ----------
    number : ours, at most 32 letters and digits, the same at every repetition (`attempt.id.hex`)
    instrument : token of what is paid with, never a card number
    notify_url : where the channel may send its notices; None: it is asked instead
    expires_at : the payer can pay until then
    details : what one method needs and others do not (bank, payer's code, agreement ...)
    """

    number: str
    amount_minor: int
    currency: str
    method: Method
    subject: str
    merchant: str
    sent_at: datetime
    instrument: str | None = None
    expires_at: datetime | None = None
    notify_url: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A refund as a channel is asked for it.

    Attributes
    ----------
    number : of the refund; the same at every repetition
    payment_number, payment_reference : of what is refunded, ours and the channel's
    total_minor : of the payment
    """

    number: str
    payment_number: str
    payment_reference: str | None
    amount_minor: int
    total_minor: int
    currency: str
    sent_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question about a payment or a refund that was sent before.

    Attributes
    ----------
    number : as it was sent; of a refund, its own
    of_refund : whether the number is a refund's
    """

    number: str
    reference: str | None
    sent_at: datetime
    of_refund: bool = False


@dataclass(frozen=True, slots=True)
class RawNotice:
    """A notice as it came over the wire, before anything about it is believed."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice whose signature was checked.

    Attributes
    ----------
    id : the channel's id of the notice, for its repetitions
    number : of our attempt or refund
    of_refund : which of both
    reply, reply_type : exactly what the channel wants to hear, and its media type
    """

    id: str
    number: str
    of_refund: bool
    finding: Finding
    reply: bytes
    reply_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFile:
    """A statement as it was fetched: bytes, not yet believed.

    Attributes
    ----------
    form : name of its format, as `statements.read` knows it; empty: to be found out
    """

    name: str
    content: bytes
    form: str = ""


class Channel(Protocol):
    """One way to move money outside; six verbs. Called outside of any transaction."""

    @property
    def code(self) -> str:
        """Its name with us, `[a-z][a-z0-9_]*`."""
        ...

    def pay(self, request: PayRequest) -> Finding:
        """Ask for a payment; the same number again is the same payment."""
        ...

    def query(self, query: Query) -> Finding:
        """Ask what became of a payment or refund."""
        ...

    def refund(self, request: RefundRequest) -> Finding:
        """Ask for a refund; the same number again is the same refund."""
        ...

    def cancel(self, query: Query) -> Finding:
        """Ask that a payment be closed, or reversed (冲正) where it went through.

        `closed` is the channel's word that no money stays there; anything else proves nothing.
        """
        ...

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Check and read a notice.

        Refusals
        --------
        notice_is_not_believed : signature, age or form is wrong
        """
        ...

    def statement(self, on: date) -> StatementFile | None:
        """Fetch the statement of a clearing day; None while there is none."""
        ...


class Stage(StrEnum):
    """A channel's life: 调研、协议、测试、试商用、上线、交维、下线."""

    SURVEYED = "surveyed"
    AGREED = "agreed"
    TESTED = "tested"
    TRIAL = "trial"
    """Chosen merchants, capped."""
    LIVE = "live"
    HANDED_OVER = "handed_over"
    """Live, and operated by the operations people."""
    RETIRED = "retired"

    @property
    def takes_payments(self) -> bool:
        """Whether routing may choose it at all."""
        return self in (Stage.TRIAL, Stage.LIVE, Stage.HANDED_OVER)


@dataclass(frozen=True, slots=True)
class Hours:
    """When a channel takes something: on the local clock, every day; equal ends are all day."""

    opens: time = time(0)
    closes: time = time(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a channel can do, as its agreement says; routing and refunds obey it.

    Attributes
    ----------
    timezone, cut_off : whose days its statements have, and when they end on the local clock
    least_minor, most_minor : of one payment, by currency of `currencies`
    daily_most_minor : of a day, all merchants; None: no limit
    refund_days : how long after the payment a refund is taken; 0: never
    refund_most_wait_hours : how long a refund may stay unanswered before people look
    partial_refund, cancel_same_day, batch, auth_capture : whether it can
    visibility_seconds : how long a payment it has may be answered with `not_found`
    query_is_reliable : whether its `not_found` after that window may be followed by a close
    fee_rate, fee_fixed_minor, fee_least_minor, fee_most_minor : what it charges us
    refunds_fee : whether it gives its fee back with a refund
    """

    methods: tuple[Method, ...]
    currencies: tuple[str, ...] = ("CNY",)
    timezone: str = "Asia/Shanghai"
    cut_off: time = time(0)
    calendar: str = "CN"
    hours: Hours = Hours()
    least_minor: int = 1
    most_minor: int = 5_000_000
    daily_most_minor: int | None = None
    refund_days: int = 365
    refund_most_wait_hours: int = 72
    partial_refund: bool = True
    cancel_same_day: bool = True
    auth_capture: bool = False
    batch: bool = False
    visibility_seconds: int = 60
    query_is_reliable: bool = True
    fee_rate: Decimal = Decimal("0.002")
    fee_fixed_minor: int = 0
    fee_least_minor: int = 0
    fee_most_minor: int | None = None
    refunds_fee: bool = False
    settles_after_days: int = 1
