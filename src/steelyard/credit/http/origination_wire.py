"""Bodies and answers of the routes before the loan; amounts in minor units."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from steelyard.base.http import BodyIn, PageOut
from steelyard.cashflows import terms
from steelyard.credit import catalogue, lines, origination, preapproval, underwriting

Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Tenor = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,2}[dm]$")]
Minor = Annotated[int, Field(ge=1, le=10**12, strict=True)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FactsIn(BodyIn):
    """What is asked for, and what the customer states."""

    amount_minor: Minor = Field(description="to be financed; a down payment is not part of it")
    tenor: Tenor = Field(examples=["12m"])
    method: terms.Method = terms.Method.EQUAL_INSTALMENT
    purpose: Code = Field(description=", ".join(origination.PURPOSES))
    income_minor: Annotated[int, Field(ge=0, le=10**12, strict=True)] = Field(
        description="of a month"
    )
    income_is_shown: bool = Field(False, description="documents show it; set by staff")
    debts_minor: Annotated[int, Field(ge=0, le=10**12, strict=True)] = Field(
        0, description="instalments of a month elsewhere"
    )
    employer: Word | None = Field(None, description="token, never a name")
    address: Word | None = Field(None, description="token, never an address")
    phone: Word | None = Field(None, description="token, never a number")
    price_minor: Minor | None = Field(None, description="of a purchase")
    merchant: UUID | None = None


class ApplicationIn(BodyIn):
    """What somebody asks for."""

    party: UUID
    product: Code
    facts: FactsIn
    device: Word | None = None
    ip: Word | None = None
    channel: Code = "app"
    id: UUID | None = Field(None, description="the same again is the same application")

    def new(self, *, is_staff: bool) -> origination.NewApplication:
        """Return what is asked for; that an income is shown is not the customer's to say."""
        told = self.facts.model_dump()
        told["income_is_shown"] = is_staff and self.facts.income_is_shown
        return origination.NewApplication(
            party=self.party,
            product=self.product,
            facts=origination.Facts(**told),
            origin=origination.Origin(device=self.device, ip=self.ip),
            channel=self.channel,
            id=self.id,
        )


class ConsentIn(BodyIn):
    """Which versions of the texts were read and said yes to, by purpose."""

    texts: dict[Code, Annotated[int, Field(ge=1)]]
    channel: Code = "app"


class AcceptIn(BodyIn):
    """What is accepted, as it was shown."""

    offer: UUID
    terms_hash: Digest
    text_version: Annotated[int, Field(ge=1)]
    wallet_account: Word
    payee: Word | None = Field(None, description="account of the merchant of a purchase")
    device: Word | None = None
    ip: Word | None = None
    pay_out: bool = True

    def acceptance(self) -> origination.Acceptance:
        """Return the acceptance."""
        return origination.Acceptance(**self.model_dump(exclude={"pay_out"}))


class RulingIn(BodyIn):
    """What a person rules; without an approval where one is needed, it is asked for."""

    ruling: underwriting.RulingKind
    reasons: list[Code] = Field(description=", ".join(sorted(underwriting.OF_A_PERSON)))
    amount_minor: Minor | None = None
    tier: catalogue.Tier | None = None
    approval: UUID | None = None

    def persons(self) -> underwriting.PersonsRuling:
        """Return the ruling."""
        return underwriting.PersonsRuling(
            kind=self.ruling,
            reasons=tuple(self.reasons),
            amount_minor=self.amount_minor,
            tier=self.tier,
        )


class ReasonOut(BaseModel):
    """Why not, in the reader's language."""

    code: str
    text: str


class ApplicationOut(BaseModel):
    """An application as its customer sees it."""

    id: UUID
    party: UUID
    product: str
    product_version: int
    channel: str
    state: origination.ApplicationState
    version: int
    amount_minor: int
    tenor: str
    method: terms.Method
    purpose: str
    offer: UUID | None
    loan: UUID | None
    line: UUID | None
    decision: UUID | None
    reasons: list[ReasonOut] = Field(description="why it was declined or reduced")
    drafted_at: datetime
    changed_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, one: origination.Application, language: str) -> ApplicationOut:
        """Return the wire form of an application."""
        facts = one.facts
        return cls(
            id=one.id,
            party=one.party,
            product=one.product,
            product_version=one.product_version,
            channel=one.channel,
            state=one.state,
            version=one.version,
            amount_minor=facts.amount_minor,
            tenor=facts.tenor,
            method=facts.method,
            purpose=facts.purpose,
            offer=one.offer,
            loan=one.loan,
            line=one.line,
            decision=one.decision,
            reasons=[
                ReasonOut(code=code, text=underwriting.text_of(code, language))
                for code in underwriting.adverse_reasons(one)
            ],
            drafted_at=one.drafted_at,
            changed_at=one.changed_at,
            expires_at=one.expires_at,
        )


class ApplicationPage(PageOut):
    """A page of applications."""

    items: list[ApplicationOut]


class StepOut(BaseModel):
    """One step of an application."""

    version: int
    at: datetime
    actor: str
    before: origination.ApplicationState | None
    after: origination.ApplicationState
    detail: dict[str, Any]


class FileOut(BaseModel):
    """An application as those see it who judge it: checks, assessment, steps."""

    application: ApplicationOut
    facts: dict[str, Any]
    checks: dict[str, Any] | None
    assessment: dict[str, Any] | None
    steps: list[StepOut]


class OfferOut(BaseModel):
    """An offer with every cost."""

    id: UUID
    application: UUID
    hash: str = Field(description="named by who accepts it")
    content: dict[str, Any]
    made_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, offer: origination.Offer) -> OfferOut:
        """Return the wire form of an offer."""
        return cls(
            id=offer.id,
            application=offer.application,
            hash=offer.hash,
            content=dict(offer.content),
            made_at=offer.made_at,
            expires_at=offer.expires_at,
        )


class ChangeOut(BaseModel):
    """What would have been otherwise."""

    what: str
    text: str
    value: int | str | bool


class CounterfactualOut(BaseModel):
    """Under which smallest change found it would have been approved, proved by deciding again."""

    is_found: bool
    changes: list[ChangeOut]
    is_least: bool = Field(description="one step less was tried, and does not suffice")

    @classmethod
    def of(cls, found: underwriting.Counterfactual | None, language: str) -> CounterfactualOut:
        """Return the wire form of a counterfactual."""
        if found is None:
            return cls(is_found=False, changes=[], is_least=False)
        words = underwriting.ACTIONABLE
        is_chinese = language.startswith("zh")
        return cls(
            is_found=True,
            is_least=found.is_least,
            changes=[
                ChangeOut(
                    what=name, text=words[name].zh if is_chinese else words[name].en, value=value
                )
                for name, value in found.change.changed.items()
            ],
        )


class RequestOut(BaseModel):
    """A request for a second person's yes; he finds it among the approvals."""

    approval: UUID
    kind: str
    subject: str
    shown_hash: str
    expires_at: datetime = Field(description="real time")


class RuledOut(BaseModel):
    """Ruled, or a second person's yes is asked for."""

    is_done: bool
    request: RequestOut | None = None
    application: ApplicationOut


class EvidenceOut(BaseModel):
    """One piece of evidence."""

    name: str
    sha256: str
    bytes: int
    at: datetime
    actor: str


class EvidenceList(BaseModel):
    """The evidence of a contract."""

    items: list[EvidenceOut]


class DraftProductIn(BodyIn):
    """Terms of a product, to become its next version."""

    content: dict[str, Any]
    note: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class ApprovedIn(BodyIn):
    """With whose yes; without one, it is asked for."""

    approval: UUID | None = None


class ProductOut(BaseModel):
    """Terms of a product, of one version."""

    code: str
    version: int
    is_active: bool
    hash: str
    content: dict[str, Any]

    @classmethod
    def of(cls, product: catalogue.Product, *, is_active: bool) -> ProductOut:
        """Return the wire form of a product."""
        return cls(
            code=product.code,
            version=product.version,
            is_active=is_active,
            hash=product.hash.hex(),
            content=catalogue.as_data(product),
        )


class ProductList(BaseModel):
    """Products."""

    items: list[ProductOut]


class ActivationOut(BaseModel):
    """Requested, or in force."""

    is_done: bool
    request: RequestOut | None = None
    product: ProductOut


class QuoteOut(BaseModel):
    """What an offer would show; nothing is promised, and nobody was looked at."""

    content: dict[str, Any]


class LineOut(BaseModel):
    """A limit."""

    id: UUID
    party: UUID
    product: str
    product_version: int
    currency: str
    tier: catalogue.Tier
    limit_minor: int
    used_minor: int
    left_minor: int
    state: lines.LineState
    version: int
    rule: str | None
    rule_text: str | None = Field(None, description="by which rule it is offered unasked")
    expires_on: date

    @classmethod
    def of(cls, line: lines.Line, rule_text: str | None = None) -> LineOut:
        """Return the wire form of a limit."""
        return cls(
            id=line.id,
            party=line.party,
            product=line.product,
            product_version=line.product_version,
            currency=line.currency,
            tier=line.tier,
            limit_minor=line.limit_minor,
            used_minor=line.used_minor,
            left_minor=line.left_minor,
            state=line.state,
            version=line.version,
            rule=line.rule,
            rule_text=rule_text,
            expires_on=line.expires_on,
        )


class LineList(BaseModel):
    """Limits of a customer."""

    items: list[LineOut]


class LineStepOut(BaseModel):
    """One change of a limit."""

    version: int
    at: datetime
    actor: str
    change: lines.LineChange
    before_minor: int
    after_minor: int
    reason: str
    cause: str


class LineSteps(BaseModel):
    """Every change of a limit."""

    items: list[LineStepOut]


class LineDrawIn(BodyIn):
    """What is drawn under a limit."""

    amount_minor: Minor
    tenor: Tenor = Field(examples=["12m"])
    method: terms.Method = terms.Method.EQUAL_INSTALMENT
    wallet_account: Word

    def draw(self) -> lines.Draw:
        """Return the draw-down."""
        return lines.Draw(**self.model_dump())


class DrawnOut(BaseModel):
    """The loan that a draw-down made, and what is left of the limit."""

    loan: UUID
    line: LineOut


class LimitIn(BodyIn):
    """Another limit, and why; with the approval where one is needed."""

    limit_minor: Annotated[int, Field(ge=0, le=10**12, strict=True)]
    reason: Code = Field(examples=["income_rose"])
    approval: UUID | None = None


class LimitOut(BaseModel):
    """Changed, or a second person's yes is asked for."""

    is_done: bool
    request: RequestOut | None = None
    line: LineOut


class WhyIn(BodyIn):
    """Why."""

    reason: Code = Field(examples=["income_rose"])


class RuleIn(BodyIn):
    """A rule of pre-approval; with the approval, it chooses from now on."""

    name: Code
    product: Code
    text_en: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    text_zh: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    known_days: int = 180
    identity_level: int = 2
    repaid_loans: int = 1
    most_days_late: int = 0
    of_largest_bp: int = 10_000
    most_minor: Minor
    tier: catalogue.Tier
    valid_days: int = 60
    approval: UUID | None = None

    def rule(self) -> preapproval.PreapprovalRule:
        """Return the rule."""
        return preapproval.PreapprovalRule(**self.model_dump(exclude={"approval"}))


class RuleOut(BaseModel):
    """A rule in force, or asked for."""

    is_done: bool
    request: RequestOut | None = None
    name: str
    version: int | None
    content: dict[str, Any]


class RuleList(BaseModel):
    """The rules of pre-approval, each in its newest version."""

    items: list[RuleOut]


class PreapproveIn(BodyIn):
    """Whether limits are proposed, or only counted."""

    dry_run: bool = True


class PreapprovalOut(BaseModel):
    """What a rule chose, or would choose."""

    rule: str
    version: int
    is_dry_run: bool
    repaid_well: int
    not_active: int
    too_new: int
    identity_too_low: int
    without_consent: int
    under_the_least: int
    proposed: int
    limit_minor: int
