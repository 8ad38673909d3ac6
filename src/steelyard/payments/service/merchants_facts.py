"""Facts about merchants' contracts and what belongs to them; subject is `merchant:<party>`."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from steelyard.base import Fact


class MerchantApplied(Fact, kind="payments.MerchantApplied", version=1):
    """A merchant asked to be taken on."""

    merchant: UUID
    application: UUID
    industry: str
    currency: str
    monthly_minor: int
    findings: tuple[str, ...]
    outcome: str
    reasons: tuple[str, ...]
    cause: str
    state: str


class MerchantActivated(Fact, kind="payments.MerchantActivated", version=1):
    """A merchant may take payments."""

    merchant: UUID
    risk_grade: str
    cause: str


class MerchantRejected(Fact, kind="payments.MerchantRejected", version=1):
    """A merchant is not taken on."""

    merchant: UUID
    application: UUID
    cause: str


class MerchantSuspended(Fact, kind="payments.MerchantSuspended", version=1):
    """A merchant takes no payments for the time being."""

    merchant: UUID
    reason: str
    cause: str


class MerchantResumed(Fact, kind="payments.MerchantResumed", version=1):
    """A merchant takes payments again."""

    merchant: UUID
    reason: str
    cause: str


class MerchantClosed(Fact, kind="payments.MerchantClosed", version=1):
    """A merchant's contract ended."""

    merchant: UUID
    reason: str
    cause: str


class MerchantContractChanged(Fact, kind="payments.MerchantContractChanged", version=1):
    """A merchant's grade, contract, currencies or methods changed."""

    merchant: UUID
    contract_version: int
    risk_grade: str
    changed: tuple[str, ...]
    cause: str


class MerchantRiskNoted(Fact, kind="payments.MerchantRiskNoted", version=1):
    """Monitoring saw something of a merchant."""

    merchant: UUID
    code: str
    source: str
    weight: int
    total: int


class AppOpened(Fact, kind="payments.AppOpened", version=1):
    """A merchant has a new app."""

    merchant: UUID
    app: str
    mode: str


class AppClosed(Fact, kind="payments.AppClosed", version=1):
    """An app, its keys and its endpoints are no more."""

    merchant: UUID
    app: str


class AppKeyIssued(Fact, kind="payments.AppKeyIssued", version=1):
    """An app has a new key."""

    merchant: UUID
    app: str
    key: str


class FeePlanDrafted(Fact, kind="payments.FeePlanDrafted", version=1):
    """Somebody proposes what a merchant is charged from a day on."""

    merchant: UUID
    plan: UUID
    plan_version: int
    effective_on: date


class FeePlanApproved(Fact, kind="payments.FeePlanApproved", version=1):
    """A plan will hold from its day on."""

    merchant: UUID
    plan: UUID
    plan_version: int
    effective_on: date
    cause: str


class FeePlanWithdrawn(Fact, kind="payments.FeePlanWithdrawn", version=1):
    """A drafted plan will never hold."""

    merchant: UUID
    plan: UUID


class SettlementAccountProposed(Fact, kind="payments.SettlementAccountProposed", version=1):
    """A merchant wants to be paid to an account."""

    merchant: UUID
    account: UUID
    currency: str
    hint: str


class SettlementAccountVerified(Fact, kind="payments.SettlementAccountVerified", version=1):
    """An account was shown to be the merchant's."""

    merchant: UUID
    account: UUID
    evidence: str


class SettlementAccountApproved(Fact, kind="payments.SettlementAccountApproved", version=1):
    """A merchant will be paid to an account."""

    merchant: UUID
    account: UUID
    currency: str
    active_from: datetime
    cause: str


class SettlementAccountWithdrawn(Fact, kind="payments.SettlementAccountWithdrawn", version=1):
    """A proposed account will not be paid to."""

    merchant: UUID
    account: UUID


class WebhookEndpointOpened(Fact, kind="payments.WebhookEndpointOpened", version=1):
    """An app wants to hear what happens."""

    merchant: UUID
    app: str
    endpoint: str
    kinds: tuple[str, ...]


class WebhookEndpointChanged(Fact, kind="payments.WebhookEndpointChanged", version=1):
    """An endpoint has another address, other kinds, another secret, or is closed."""

    merchant: UUID
    endpoint: str
    what: str


class WebhookEndpointDisabled(Fact, kind="payments.WebhookEndpointDisabled", version=1):
    """An endpoint did not take what was sent, again and again: nothing is sent to it."""

    merchant: UUID
    app: str
    mode: str
    endpoint: str
    dead: int


class WebhookDeliveryDied(Fact, kind="payments.WebhookDeliveryDied", version=1):
    """An event was not taken within the schedule."""

    merchant: UUID
    endpoint: str
    delivery: UUID
    tries: int
