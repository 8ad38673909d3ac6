"""The contract side of a merchant: what it told (KYB), how risky it is, what it may do.

Who a merchant is stands in `parties`. Here stands what follows from that for payments: a grade from
A to D, and a contract whose defaults follow from the grade.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.kernel.currency import CURRENCIES
from steelyard.payments.model import refunds, settlement
from steelyard.payments.model.channel import Method
from steelyard.payments.model.merchants_refusals import (
    ContractIsMalformed,
    MerchantApplicationIsMalformed,
    MerchantStateForbids,
)

OWNS_ENOUGH_BP: Final = 2_500
"""From a quarter on an owner is named (FATF recommendation 24; 银发〔2017〕235号)."""
LICENCE_ENDS_SOON: Final = timedelta(days=60)
MOST_OWNERS: Final = 20
_MCC = re.compile(r"[0-9]{4}")

# Merchant category codes (ISO 18245) as the scene `merchant_application` calls the industries
# that people look at.
_INDUSTRY_WORDS: Final = {
    "7995": "gambling",
    "7801": "gambling",
    "7802": "gambling",
    "6051": "crypto",
    "5967": "adult",
    "7273": "adult",
    "5933": "pawn",
    "4829": "money_transfer",
    "6538": "money_transfer",
}
_FORBIDDEN: Final = frozenset({"7995", "7801", "7802", "5967"})
"""Nobody is taken on for these: gambling and pornography are against the law here."""
_CARED_FOR: Final = frozenset({"5094", "5912", "5962", "5966", "5968", "6012", "6211", "7321"})
"""Industries with more disputes than others, or of which delivery comes late."""


class MerchantState(StrEnum):
    """Where a contract stands."""

    APPLIED = "applied"
    REVIEW = "review"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """It takes no payments; refunds and what it is owed go on."""
    CLOSED = "closed"
    REJECTED = "rejected"


_VERBS: Final = {
    "activated": (MerchantState.APPLIED, MerchantState.REVIEW),
    "rejected": (MerchantState.APPLIED, MerchantState.REVIEW),
    "suspended": (MerchantState.ACTIVE,),
    "resumed": (MerchantState.SUSPENDED,),
    "closed": (MerchantState.ACTIVE, MerchantState.SUSPENDED),
    "changed": (MerchantState.ACTIVE, MerchantState.SUSPENDED),
}


class RiskGrade(StrEnum):
    """How risky a merchant is; A is best."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class OwnerKind(StrEnum):
    """Who an owner is."""

    PERSON = "person"
    COMPANY = "company"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Somebody who owns or controls a merchant; name and number are sealed where they are kept.

    Attributes
    ----------
    number : of identity card, passport or register; share_bp : in basis points of the whole
    controls : whether it decides, whatever it owns
    """

    name: str = field(repr=False)
    number: str = field(repr=False)
    share_bp: int
    kind: OwnerKind = OwnerKind.PERSON
    controls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMerchant:
    """What a merchant tells when it applies.

    Attributes
    ----------
    number : registration number; in CN the unified social credit code
    industry : merchant category code (ISO 18245), four digits
    licence_until_on : last day of the business licence; None: it has no end
    monthly_minor : what it expects to sell in a month, minor units of `currency`
    phone, address, device, ip : as the gate is told them, the first two as blind indexes
    """

    legal_name: str
    number: str
    industry: str
    licence_no: str
    owners: tuple[Owner, ...]
    monthly_minor: int
    country: str = "CN"
    licence_until_on: date | None = None
    currency: str = "CNY"
    currencies: tuple[str, ...] = ("CNY",)
    methods: tuple[Method, ...] = ()
    timezone: str = "Asia/Shanghai"
    phone: str | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)
    device: str | None = None
    ip: str | None = None
    region: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant's contract as it stands.

    Attributes
    ----------
    id : the party
    version : grows by one with every change; each version is kept with its reason
    contract : by name; see `CONTRACT`. What it does not say is the house's
    """

    id: UUID
    state: MerchantState
    version: int
    name: str
    industry: str | None
    risk_grade: RiskGrade
    currencies: tuple[str, ...]
    methods: tuple[Method, ...]
    contract: Mapping[str, object]
    created_at: datetime
    updated_at: datetime
    decision: UUID | None = None

    @property
    def subject(self) -> str:
        """The name under which its facts are kept."""
        return f"merchant:{self.id}"

    @property
    def timezone(self) -> str:
        """On whose clock its days are counted."""
        return str(self.contract.get("timezone", "Asia/Shanghai"))

    def must_allow(self, verb: str) -> Merchant:
        """Return the merchant itself if the verb goes with its state.

        Refusals
        --------
        merchant_state_forbids
        """
        if self.state not in _VERBS[verb]:
            raise MerchantStateForbids(merchant=self.id, state=self.state, verb=verb)
        return self


class ApplicationState(StrEnum):
    """Where an application stands."""

    REVIEW = "review"
    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application as it was told and decided; without the owners.

    Attributes
    ----------
    findings : what our own checks found wanting
    outcome, reasons, cause, decision : what the gate said
    ruling : in words, of who ruled
    """

    id: UUID
    merchant: UUID
    state: ApplicationState
    version: int
    industry: str
    licence_no: str
    licence_until_on: date | None
    currency: str
    monthly_minor: int
    findings: tuple[str, ...]
    outcome: str
    reasons: tuple[str, ...]
    cause: str
    risk_grade: RiskGrade
    applied_at: datetime
    applied_by: str
    decision: UUID | None = None
    case_id: UUID | None = None
    ruled_at: datetime | None = None
    ruled_by: str | None = None
    ruling: str | None = None

    @property
    def subject(self) -> str:
        """The name under which its case is kept."""
        return f"merchant_application:{self.id}"


def industry_word(industry: str) -> str:
    """Return what the gate is told of a category code: a word for the notorious, else the code.

    Examples
    --------
    >>> industry_word("6051"), industry_word("5411")
    ('crypto', '5411')
    """
    return _INDUSTRY_WORDS.get(industry, industry)


def check_application(new: NewMerchant) -> NewMerchant:
    """Return an application that can be; whether it is wise is `findings_of`.

    Refusals
    --------
    merchant_application_is_malformed
    """
    if not _MCC.fullmatch(new.industry):
        raise MerchantApplicationIsMalformed(reason="industry is a category code of four digits")
    if new.monthly_minor <= 0:
        raise MerchantApplicationIsMalformed(reason="the expected volume is over zero")
    if not 0 < len(new.licence_no.strip()) <= 40:
        raise MerchantApplicationIsMalformed(reason="a licence has a number of up to 40 characters")
    if not 0 < len(new.owners) <= MOST_OWNERS:
        raise MerchantApplicationIsMalformed(reason=f"1 to {MOST_OWNERS} owners are named")
    if any(not o.name.strip() or not o.number.strip() for o in new.owners):
        raise MerchantApplicationIsMalformed(reason="an owner has a name and a number")
    if len({o.number.strip() for o in new.owners}) < len(new.owners):
        raise MerchantApplicationIsMalformed(reason="an owner is named twice")
    if any(not 0 <= o.share_bp <= 10_000 for o in new.owners):
        raise MerchantApplicationIsMalformed(reason="a share lies between 0 and 10000 basis points")
    if sum(o.share_bp for o in new.owners) > 10_000:
        raise MerchantApplicationIsMalformed(reason="the shares exceed the whole")
    unknown = [c for c in (new.currency, *new.currencies) if c not in CURRENCIES]
    if unknown or not new.currencies:
        raise MerchantApplicationIsMalformed(reason="currencies are codes of ISO 4217")
    check_timezone(new.timezone)
    return new


def findings_of(new: NewMerchant, today: date) -> tuple[str, ...]:
    """Return the codes of what is wanting in an application, for a person to look at.

    `industry_is_forbidden` and `licence_has_expired` are no matter of judgement: with one of them
    an application is declined.

    Examples
    --------
    >>> owner = Owner(name="A", number="1", share_bp=6_000)
    >>> new = NewMerchant(legal_name="A", number="1", industry="7995", licence_no="1",
    ...                   owners=(owner,), monthly_minor=1)
    >>> findings_of(new, date(2026, 1, 1))
    ('industry_is_forbidden', 'owners_may_be_missing')
    """
    found = []
    if new.industry in _FORBIDDEN:
        found.append("industry_is_forbidden")
    if new.licence_until_on is not None and new.licence_until_on < today:
        found.append("licence_has_expired")
    elif new.licence_until_on is not None and new.licence_until_on - today < LICENCE_ENDS_SOON:
        found.append("licence_ends_soon")
    unnamed = 10_000 - sum(owner.share_bp for owner in new.owners)
    if unnamed >= OWNS_ENOUGH_BP:
        found.append("owners_may_be_missing")
    if not any(o.controls or o.share_bp >= OWNS_ENOUGH_BP for o in new.owners):
        found.append("nobody_controls")
    owning = [o for o in new.owners if o.share_bp >= OWNS_ENOUGH_BP]
    if owning and all(o.kind is OwnerKind.COMPANY for o in owning):
        found.append("no_person_behind_it")
    return tuple(found)


FATAL: Final = frozenset({"industry_is_forbidden", "licence_has_expired"})
"""Findings that no person waives."""


def grade_of(new: NewMerchant, findings: tuple[str, ...], reasons: tuple[str, ...]) -> RiskGrade:
    """Return the grade that follows from an application, our findings and the gate's reasons.

    One point each for an industry that is cared for (two for a notorious one), a large volume, a
    finding, a reason of the gate. No point is A, one B, two or three C, more D.

    Examples
    --------
    >>> owner = Owner(name="A", number="1", share_bp=10_000)
    >>> new = NewMerchant(legal_name="A", number="1", industry="5411", licence_no="1",
    ...                   owners=(owner,), monthly_minor=20_000_000)
    >>> grade_of(new, (), ()).value, grade_of(new, (), ("account_pays_many",) * 4).value
    ('A', 'D')
    """
    points = len(findings) + len(reasons)
    points += 2 * (new.industry in _INDUSTRY_WORDS) + (new.industry in _CARED_FOR)
    points += new.monthly_minor >= 1_000_000_000
    if points == 0:
        return RiskGrade.A
    if points == 1:
        return RiskGrade.B
    return RiskGrade.C if points <= 3 else RiskGrade.D


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a grade means: times the expected volume, what is kept back, how late it is paid."""

    headroom: Decimal
    reserve_rate: str
    reserve_days: int
    cycle: settlement.Cycle
    refund_alone_minor: int


_BY_GRADE: Final = {
    RiskGrade.A: _Terms(Decimal(3), "0", 0, settlement.Cycle.T1, 1_000_000),
    RiskGrade.B: _Terms(Decimal(2), "0", 0, settlement.Cycle.T1, 500_000),
    RiskGrade.C: _Terms(Decimal("1.5"), "0.05", 90, settlement.Cycle.T1, 200_000),
    RiskGrade.D: _Terms(Decimal(1), "0.10", 180, settlement.Cycle.T1, 50_000),
}
_LIMITS: Final = ("single_most_minor", "daily_most_minor", "monthly_most_minor")
CONTRACT: Final = MappingProxyType(
    {
        "timezone": "on whose clock its days are counted, IANA name",
        "single_most_minor": "most of one payment, minor units of its own currency",
        "daily_most_minor": "most of a day",
        "monthly_most_minor": "most of a calendar month",
        "settlement_cycle": "T0, T1 or D1",
        "settlement_calendar": "code of the working days",
        "settlement_least_minor": "below it nothing is paid out",
        "settlement_alone_minor": "above it a second person approves a settlement",
        "reserve_rate": "what is kept back of each day, decimal per one, as text",
        "reserve_days": "for how long",
        "refund_alone_minor": "above it a second person approves a refund",
        "refund_advance_minor": "how far below zero refunds may bring the balance",
        "platform_bears_excess": "whether we bear what goes out beyond a payment",
        "dispute_fee_minor": "charged for an opened dispute",
        "returns_dispute_fee": "whether a dispute that is won gives it back",
        "platform": "merchant of which this one is a part",
    }
)
"""What a contract may say, and what that means."""


def default_contract(
    grade: RiskGrade, monthly_minor: int, timezone: str = "Asia/Shanghai"
) -> dict[str, object]:
    """Return the contract that a grade gives.

    Examples
    --------
    >>> default_contract(RiskGrade.D, 3_000_000)["reserve_rate"]
    '0.10'
    """
    terms = _BY_GRADE[grade]
    month = int(monthly_minor * terms.headroom)
    return {
        "timezone": timezone,
        "single_most_minor": max(month // 20, 100_000),
        "daily_most_minor": max(month // 6, 200_000),
        "monthly_most_minor": max(month, 1_000_000),
        "settlement_cycle": terms.cycle.value,
        "reserve_rate": terms.reserve_rate,
        "reserve_days": terms.reserve_days,
        "refund_alone_minor": terms.refund_alone_minor,
    }


def check_contract(contract: Mapping[str, object]) -> dict[str, object]:
    """Return a contract that can be.

    Refusals
    --------
    contract_is_malformed : a name that nobody reads, or a value out of its range
    settlement_terms_are_malformed, unknown_calendar
    """
    for name, value in contract.items():
        if name not in CONTRACT:
            raise ContractIsMalformed(name=name[:40], value=str(value)[:40])
        if name in _LIMITS or name.endswith("_minor"):
            _whole(name, value)
        if name.startswith(("platform_bears", "returns_")) and not isinstance(value, bool):
            raise ContractIsMalformed(name=name, value=str(value)[:40])
    check_timezone(str(contract.get("timezone", "Asia/Shanghai")))
    limits = [value for name in _LIMITS if isinstance(value := contract.get(name), int)]
    if limits != sorted(limits):
        raise ContractIsMalformed(name="single_most_minor", value="more than that of a day")
    settlement.terms_of(contract)
    try:
        refunds.terms_of(contract)
    except ValueError:
        raise ContractIsMalformed(name="platform", value=str(contract["platform"])[:40]) from None
    return dict(contract)


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ContractIsMalformed(name=name, value=str(value)[:40])


def check_timezone(timezone: str) -> str:
    """Return the name of a timezone.

    Refusals
    --------
    contract_is_malformed
    """
    try:
        ZoneInfo(timezone)
    except (ValueError, OSError, LookupError):
        raise ContractIsMalformed(name="timezone", value=timezone[:40]) from None
    return timezone


WATCHED_FOR: Final = timedelta(days=30)
REVIEWED_AT: Final = 60
SUSPENDED_AT: Final = 100


@dataclass(frozen=True, slots=True)
class RiskNote:
    """Something that monitoring saw of a merchant.

    Attributes
    ----------
    code : what; source : `noun:id` of who or what saw it; the same of both is the same note
    weight : 0 to 100; what adds up to `REVIEWED_AT` within `WATCHED_FOR` is put before a person, to
        `SUSPENDED_AT` suspends
    detail : codes and numbers, no personal data
    """

    code: str
    source: str
    weight: int
    detail: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watch:
    """How a merchant looks to monitoring: the weight of its notes, and what follows."""

    weight: int

    @property
    def wants_review(self) -> bool:
        """Whether a person should look."""
        return self.weight >= REVIEWED_AT

    @property
    def wants_suspension(self) -> bool:
        """Whether it should take no payments until a person has looked."""
        return self.weight >= SUSPENDED_AT
