"""Payment orders: what a merchant asks a payer for, from its creation to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from steelyard.payments.model.channel import Method


class Mode(StrEnum):
    """Whether money is real: sandbox and live never meet."""

    LIVE = "live"
    SANDBOX = "sandbox"


class Scenario(StrEnum):
    """交易场景: limits, methods and rates hang on it."""

    ONLINE = "online"
    IN_STORE = "in_store"
    SUBSCRIPTION = "subscription"
    TOP_UP = "top_up"
    BILL = "bill"
    CROSS_BORDER = "cross_border"
    LOAN_REPAYMENT = "loan_repayment"


class Capture(StrEnum):
    """When the money of an authorization is taken."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class OrderState(StrEnum):
    """Where an order stands; what was refunded, disputed or settled of it are overlays."""

    CREATED = "created"
    OPEN = "open"
    """Attempts were made, none is under way; another may be made."""
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    """An attempt is under way, or nobody knows what became of it."""
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """No further attempt is allowed."""
    CANCELLED = "cancelled"
    EXPIRING = "expiring"
    """It is to end, by the clock or by the merchant's wish, and the channel has not said yet that
    no money comes."""
    EXPIRED = "expired"

    @property
    def takes_attempts(self) -> bool:
        """Whether a payer may try to pay now."""
        return self in (OrderState.CREATED, OrderState.OPEN)

    @property
    def is_over(self) -> bool:
        """Whether money that still arrives is late."""
        return self in (OrderState.FAILED, OrderState.CANCELLED, OrderState.EXPIRED)

    @property
    def is_paid(self) -> bool:
        """Whether money was captured."""
        return self in (OrderState.SUCCEEDED, OrderState.PARTIALLY_CAPTURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who pays, as far as it is known; what the gate is told, and features are made of.

    Attributes
    ----------
    customer : party; instrument : token of a card or account; account : code in our book
    terminal : where it is paid; device, ip, country : from where, ISO 3166 for the last
    """

    customer: UUID | None = None
    instrument: str | None = None
    account: str | None = None
    terminal: str | None = None
    device: str | None = None
    ip: str | None = None
    country: str | None = None
    is_online: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order to create.

    Attributes
    ----------
    order_no : the merchant's own number; unique for the merchant for ever
    methods : those the merchant allows; empty: all of its contract
    splits : code of an account with us -> minor units that go there of what is captured
    late_success : what becomes of money that arrives after the end: `refund` or `revive`
    most_attempts : declined attempts before the order fails
    """

    id: UUID
    merchant: UUID
    app: str
    mode: Mode
    order_no: str
    amount_minor: int
    currency: str
    subject: str
    scenario: Scenario = Scenario.ONLINE
    capture: Capture = Capture.AUTOMATIC
    methods: tuple[Method, ...] = ()
    payer: Payer = Payer()
    expires_at: datetime | None = None
    return_url: str | None = None
    notify_url: str | None = None
    late_success: str = "refund"
    most_attempts: int = 5
    splits: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it stands.

    Attributes
    ----------
    version : grows by one with every change; transitions are conditional on it
    attempts : how many were made
    paid_by : the attempt whose money it has
    authorized_minor, captured_minor : of that attempt
    refund_reserved_minor : refunds under way; refunded_minor : refunds that went through
    disputed_minor : withheld by open disputes, and taken by lost ones
    is_cancelling : whether it ends because the merchant wished it, not by the clock
    Invariant: refunded + reserved + disputed <= captured <= authorized <= amount
    """

    id: UUID
    merchant: UUID
    app: str
    mode: Mode
    order_no: str
    amount_minor: int
    currency: str
    subject: str
    scenario: Scenario
    capture: Capture
    methods: tuple[Method, ...]
    payer: Payer
    state: OrderState
    version: int
    created_at: datetime
    expires_at: datetime
    return_url: str | None = None
    notify_url: str | None = None
    late_success: str = "refund"
    most_attempts: int = 5
    splits: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    paid_by: UUID | None = None
    paid_at: datetime | None = None
    authorized_minor: int = 0
    captured_minor: int = 0
    refund_reserved_minor: int = 0
    refunded_minor: int = 0
    disputed_minor: int = 0
    is_cancelling: bool = False

    @property
    def refundable_minor(self) -> int:
        """What may still be refunded: captured, less refunded, reserved and disputed."""
        taken = self.refunded_minor + self.refund_reserved_minor + self.disputed_minor
        return self.captured_minor - taken
