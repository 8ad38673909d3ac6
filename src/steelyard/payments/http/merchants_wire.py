"""What crosses the wire about merchants, and whose is whose."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import Path
from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, Caller, PageOut
from steelyard.kernel import Refusal
from steelyard.payments import applications, apps, merchants, orders, settlement_accounts
from steelyard.payments.http.wire import Amount, Currency, Text, Word, merchant_of

MerchantId = Annotated[UUID, Path(description="id of the merchant's party")]
Reason = Annotated[str, Field(min_length=1, max_length=200, examples=["asked by the merchant"])]
Reference = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*:.{1,80}$", examples=["letter:2026-17"])]


def must_be_theirs(caller: Caller, merchant: UUID, unknown: Refusal) -> None:
    """Answer somebody else's as what there is not."""
    if merchant_of(caller) not in (None, merchant):
        raise unknown


def must_be_of_mode(
    connection: sa.Connection, caller: Caller, mode: orders.Mode, unknown: Refusal
) -> None:
    """Answer what is of another mode as what there is not: a key sees that of its app alone."""
    app = apps.app_of(connection, caller.actor)
    if app is not None and app.mode is not mode:
        raise unknown


class OwnerIn(BodyIn):
    """Somebody who owns or controls the merchant."""

    name: Text
    number: Annotated[str, Field(min_length=1, max_length=40)]
    share_bp: Annotated[int, Field(ge=0, le=10_000, description="of the whole, basis points")]
    kind: applications.OwnerKind = applications.OwnerKind.PERSON
    controls: bool = False

    def owner(self) -> applications.Owner:
        """Return what it says."""
        return applications.Owner(**self.model_dump())


class SettlementAccountIn(BodyIn):
    """An account to be paid to; holder and number are never shown again."""

    holder: Text
    number: Annotated[str, Field(min_length=1, max_length=60)]
    bank: Annotated[str, Field(min_length=1, max_length=20, examples=["102290000014"])]
    currency: Currency = "CNY"
    kind: settlement_accounts.AccountKind = settlement_accounts.AccountKind.CORPORATE

    def account(self) -> settlement_accounts.NewSettlementAccount:
        """Return what it says."""
        return settlement_accounts.NewSettlementAccount(**self.model_dump())


class MerchantIn(BodyIn):
    """A merchant that applies."""

    legal_name: Text
    number: Annotated[str, Field(max_length=40, examples=["91110000600037341L"])]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"
    industry: Annotated[
        str, Field(pattern=r"^[0-9]{4}$", description="ISO 18245", examples=["5499"])
    ]
    licence_no: Annotated[str, Field(min_length=1, max_length=40)]
    licence_until_on: date | None = None
    owners: Annotated[list[OwnerIn], Field(min_length=1, max_length=20)]
    monthly_minor: Amount
    currency: Currency = "CNY"
    currencies: Annotated[list[Currency], Field(min_length=1, max_length=20)]
    methods: Annotated[list[orders.Method], Field(min_length=1, max_length=20)]
    timezone: Annotated[str, Field(max_length=60)] = "Asia/Shanghai"
    phone: Annotated[str, Field(max_length=40)] | None = None
    address: Text | None = None
    device: Word | None = None
    ip: Annotated[str, Field(max_length=45)] | None = None
    settlement_account: SettlementAccountIn

    def merchant(self) -> applications.NewMerchant:
        """Return what it says of the merchant."""
        told = self.model_dump(exclude={"owners", "settlement_account", "currencies", "methods"})
        return applications.NewMerchant(
            **told,
            owners=tuple(owner.owner() for owner in self.owners),
            currencies=tuple(self.currencies),
            methods=tuple(self.methods),
        )


class ApplicationOut(BaseModel):
    """An application of a merchant."""

    id: UUID
    merchant: UUID
    state: applications.ApplicationState
    industry: str
    licence_until_on: date | None
    currency: str
    monthly_minor: int
    findings: list[str] = Field(description="what our own checks found wanting")
    outcome: str
    reasons: list[str]
    cause: str
    risk_grade: merchants.RiskGrade
    case_id: UUID | None
    applied_at: datetime
    ruled_at: datetime | None
    ruling: str | None

    @classmethod
    def of(cls, one: applications.Application, caller: Caller) -> ApplicationOut:
        """Return the wire form; a merchant is told what came of it, and not by which rule."""
        made = cls(
            **{
                name: getattr(one, name)
                for name in cls.model_fields
                if name not in ("findings", "reasons")
            },
            findings=list(one.findings),
            reasons=list(one.reasons),
        )
        if caller.party is None:
            return made
        return made.model_copy(
            update={"findings": [], "reasons": [], "cause": "", "outcome": "", "case_id": None}
        )


class Applications(BaseModel):
    """The applications of a merchant, newest first."""

    items: list[ApplicationOut]


class RulingIn(BodyIn):
    """What a person decides of an application."""

    is_approved: bool
    ruling: Reason
    grade: merchants.RiskGrade | None = None
    is_fraud: bool = False


class MerchantOut(BaseModel):
    """A merchant's contract."""

    id: UUID
    state: merchants.MerchantState
    version: int
    name: str
    industry: str | None
    risk_grade: merchants.RiskGrade | None = Field(description="null for the merchant itself")
    currencies: list[str]
    methods: list[orders.Method]
    contract: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, one: merchants.Merchant, caller: Caller) -> MerchantOut:
        """Return the wire form."""
        return cls(
            id=one.id,
            state=one.state,
            version=one.version,
            name=one.name,
            industry=one.industry,
            risk_grade=one.risk_grade if caller.party is None else None,
            currencies=list(one.currencies),
            methods=list(one.methods),
            contract=dict(one.contract),
            created_at=one.created_at,
            updated_at=one.updated_at,
        )


class MerchantPage(PageOut):
    """A page of merchants."""

    items: list[MerchantOut]


class MerchantChangeOut(BaseModel):
    """One version of a contract."""

    version: int
    state: merchants.MerchantState
    risk_grade: merchants.RiskGrade
    contract: dict[str, Any]
    reason: str
    cause: str
    actor: str
    at: datetime

    @classmethod
    def of(cls, one: merchants.MerchantChange) -> MerchantChangeOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class MerchantChanges(BaseModel):
    """The versions of a contract, the oldest first."""

    items: list[MerchantChangeOut]


class WhyIn(BodyIn):
    """Why something is done."""

    reason: Reason


class ResumeIn(WhyIn):
    """A resumption that was approved."""

    approval: UUID


class ContractIn(BodyIn):
    """A contract to be agreed to, whole."""

    contract: dict[str, Any]
    grade: merchants.RiskGrade | None = None


class ApprovedContractIn(ContractIn):
    """A contract that was approved."""

    approval: UUID


class ApprovedIn(BodyIn):
    """The yes of a second person."""

    approval: UUID


class ApprovalAskedOut(BaseModel):
    """A request for a second person's yes; it is given under `/v1/access/approvals`."""

    approval: UUID
    shown_hash: str
    expires_at: datetime


class RiskNoteIn(BodyIn):
    """Something that was seen of a merchant."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$", examples=["dispute_rate"])]
    source: Reference
    weight: Annotated[int, Field(ge=0, le=100)]
    detail: dict[str, str | int] = Field(default_factory=dict, max_length=20)

    def note(self) -> merchants.RiskNote:
        """Return what it says."""
        return merchants.RiskNote(self.code, self.source, self.weight, self.detail)


class WatchOut(BaseModel):
    """How a merchant looks to monitoring."""

    weight: int
    wants_review: bool
    wants_suspension: bool


class RiskNoteOut(BaseModel):
    """A note of monitoring."""

    code: str
    source: str
    weight: int
    detail: dict[str, Any]
    case_id: UUID | None
    at: datetime
    actor: str

    @classmethod
    def of(cls, one: merchants.NotedRisk) -> RiskNoteOut:
        """Return the wire form."""
        return cls(
            code=one.note.code,
            source=one.note.source,
            weight=one.note.weight,
            detail=dict(one.note.detail),
            case_id=one.case_id,
            at=one.at,
            actor=one.actor,
        )


class RiskNotes(BaseModel):
    """What monitoring saw of a merchant, newest first."""

    items: list[RiskNoteOut]


class SettlementAccountOut(BaseModel):
    """A settlement account, masked."""

    id: UUID
    merchant: UUID
    currency: str
    kind: settlement_accounts.AccountKind
    bank: str
    hint: str = Field(description="last four characters of the number")
    state: settlement_accounts.AccountState
    proposed_at: datetime
    verified_at: datetime | None
    approved_at: datetime | None
    active_from: datetime | None = Field(description="from when the merchant is paid to it")

    @classmethod
    def of(cls, one: settlement_accounts.SettlementAccount) -> SettlementAccountOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class SettlementAccounts(BaseModel):
    """The settlement accounts of a merchant, newest first."""

    items: list[SettlementAccountOut]


class EvidenceIn(BodyIn):
    """What shows that an account is the merchant's."""

    evidence: Reference
