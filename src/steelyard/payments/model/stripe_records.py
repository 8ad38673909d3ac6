"""What the Stripe-compatible API keeps of its own: customers, means of paying, set-ups, notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from steelyard.payments.model.orders import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class FacadeCustomer:
    """A customer as a merchant knows him; no party of ours.

    Attributes
    ----------
    personal : name, email, phone, address ...; sealed where it is stored, gone when he is deleted
    """

    id: UUID
    merchant: UUID
    mode: Mode
    created_at: datetime
    personal: Mapping[str, object] = field(default_factory=dict, repr=False)
    default_method: UUID | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_deleted: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FacadeMethod:
    """What a payer pays with: a token and what may be shown of a card.

    Attributes
    ----------
    type : `card`, `alipay`, `wechat_pay`
    token : what channels are told of a card; None for wallets
    is_detached : taken from its customer, and never used again
    """

    id: UUID
    merchant: UUID
    mode: Mode
    type: str
    created_at: datetime
    customer: UUID | None = None
    token: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    funding: str | None = None
    country: str | None = None
    fingerprint: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_detached: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FacadeSetup:
    """A payer lets a merchant keep what he pays with; no money moves by it."""

    id: UUID
    merchant: UUID
    mode: Mode
    state: str
    created_at: datetime
    customer: UUID | None = None
    method: UUID | None = None
    usage: str = "off_session"
    description: str | None = None
    cancellation_reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FacadeNote:
    """What a client keeps with an object of the core, which has no use for it itself.

    Attributes
    ----------
    about : id outside
    metadata : None: as the object has it
    """

    about: str
    merchant: UUID
    metadata: Mapping[str, str] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
