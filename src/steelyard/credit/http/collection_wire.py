"""What the routes of collections and of matters take and give; amounts are minor units."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from steelyard.base.http import BodyIn
from steelyard.credit import collecting, collections, complaints, hardship, promises

Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Ref = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[a-z][a-z0-9_]*:[^\x00]+$"),
    Field(examples=["letter:2026-17"]),
]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$"), Field(examples=["2026-01"])]
Amount = Annotated[int, Field(ge=1, le=10**15)]
Minor = Annotated[int, Field(ge=0, le=10**15)]
Status = Literal["N", "1", "2", "3", "4", "5", "6", "7", "C", "G", "#", "*"]


class ContactIn(BodyIn):
    """A contact about a late loan."""

    channel: collections.Channel
    is_ours: bool = Field(True, description="false: the customer came to us")
    template: Code | None = Field(None, description="null: a person speaks himself")
    result: collections.ContactResult | None = None


class ResultIn(BodyIn):
    """What came of a contact."""

    result: collections.ContactResult


class StopIn(BodyIn):
    """Why nobody is to be contacted."""

    kind: collections.Stop
    source: Ref = Field(description="`noun:id` of what says so", examples=["letter:2026-17"])


class ReasonIn(BodyIn):
    """Why."""

    reason: Reason


class PromiseIn(BodyIn):
    """What a customer promises to pay, and by when."""

    amount_minor: Amount
    by_on: date


class PlanIn(BodyIn):
    """A plan for a customer in hardship."""

    kind: hardship.PlanKind
    instalments: Annotated[int, Field(ge=1, le=120)] | None = None
    first_due_on: date | None = None
    until: date | None = None
    reason: Reason
    dry_run: bool = False

    def plan(self) -> hardship.Plan:
        """Return the plan.

        Refusals
        --------
        plan_is_malformed
        """
        return hardship.Plan(
            kind=self.kind,
            instalments=self.instalments,
            first_due_on=self.first_due_on,
            until=self.until,
        )


class MatterIn(BodyIn):
    """What a customer brings up about a loan."""

    kind: complaints.MatterKind
    about: Code


class EvidenceIn(BodyIn):
    """Where evidence is kept, and the SHA-256 of it."""

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    reference: Ref
    content_hash: Hash


class ExtensionIn(BodyIn):
    """A second person's yes to a later day."""

    approval: UUID


class AnswerIn(BodyIn):
    """How a matter is answered."""

    outcome: complaints.MatterOutcome
    reasons: list[Reason] = Field(min_length=1, max_length=20)
    waived_penalty_minor: Minor = 0
    waived_fee_minor: Minor = 0
    waived_interest_minor: Minor = 0
    history: dict[Month, Status] = Field(default_factory=dict, description="status by month")
    devices: list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] = Field(
        default_factory=list, max_length=100
    )
    approval: UUID | None = None

    def answer(self) -> complaints.MatterAnswer:
        """Return the answer."""
        return complaints.MatterAnswer(
            outcome=self.outcome,
            reasons=tuple(self.reasons),
            waived_penalty_minor=self.waived_penalty_minor,
            waived_fee_minor=self.waived_fee_minor,
            waived_interest_minor=self.waived_interest_minor,
            history=dict(self.history),
            devices=tuple(self.devices),
        )


class RunOut(BaseModel):
    """What a run of collections did."""

    started: int
    ended: int
    planned: int
    sent: int
    cases: int
    judged: int
    told: int

    @classmethod
    def of(cls, done: collecting.Collected) -> RunOut:
        """Return the wire form."""
        return cls(**{name: getattr(done, name) for name in cls.model_fields})


class OnBoardOut(BaseModel):
    """A loan on the board of those who collect."""

    loan: UUID
    nr: int
    party: UUID
    since_on: date
    strategy: str
    dpd: int
    bucket: int
    overdue_minor: int
    principal_minor: int
    stops: list[str]
    promised_minor: int | None
    promised_until: date | None
    contacts: int
    last_contact_at: datetime | None
    case: UUID | None

    @classmethod
    def of(cls, one: collections.OnBoard) -> OnBoardOut:
        """Return the wire form."""
        episode = one.episode
        return cls(
            loan=episode.loan,
            nr=episode.nr,
            party=episode.party,
            since_on=episode.opened_on,
            strategy=episode.strategy,
            dpd=one.dpd,
            bucket=one.bucket,
            overdue_minor=one.overdue_minor,
            principal_minor=one.principal_minor,
            stops=[stop.value for stop in one.stops],
            promised_minor=one.promised_minor,
            promised_until=one.promised_until,
            contacts=one.contacts,
            last_contact_at=one.last_contact_at,
            case=episode.case_id,
        )


class BoardOut(BaseModel):
    """The board by number of the loan; `after` asks for the next page, null on the last."""

    items: list[OnBoardOut]
    after: int | None


class ContactOut(BaseModel):
    """A contact, or one that was refused."""

    id: UUID
    channel: str
    is_ours: bool
    step: str | None
    template: str | None
    refused: str | None = Field(description="code of the refusal: nobody was contacted")
    result: str | None
    at: datetime
    zone: str
    actor: str

    @classmethod
    def of(cls, one: collections.Contact) -> ContactOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class ContactsOut(BaseModel):
    """Contacts about a loan, newest first."""

    items: list[ContactOut]


class StopOut(BaseModel):
    """That nobody is to be contacted; `is_set` false: the source had said so before."""

    id: UUID | None
    kind: str
    is_set: bool


class PromiseOut(BaseModel):
    """A promise, and what the payments made of it."""

    id: UUID
    nr: int
    amount_minor: int
    made_on: date
    by_on: date
    state: str
    paid_minor: int
    judged_on: date | None

    @classmethod
    def of(cls, one: promises.Promise) -> PromiseOut:
        """Return the wire form."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class PromisesOut(BaseModel):
    """Promises about a loan, newest first."""

    items: list[PromiseOut]


class PlanOut(BaseModel):
    """A plan: what it does to the loan, and the approval that it waits for."""

    id: UUID | None = Field(description="null: it was tried and not proposed")
    approval: UUID | None
    state: str
    instalments_before: int
    instalments_after: int
    instalment_minor: int = Field(description="equal instalment after it")
    overdue_minor: int = Field(description="late after it")

    @classmethod
    def of(cls, effect: Any, *, plan: hardship.ProposedPlan | None, state: str) -> PlanOut:
        """Return the wire form."""
        before = effect.before.rows if effect.before else ()
        return cls(
            id=None if plan is None else plan.id,
            approval=None if plan is None else plan.approval,
            state=state,
            instalments_before=sum(1 for row in before if row.open_minor),
            instalments_after=sum(1 for row in effect.after.rows if row.open_minor),
            instalment_minor=effect.after.instalment_minor,
            overdue_minor=effect.after.overdue_minor,
        )


class ProposedPlanOut(BaseModel):
    """A plan as it was proposed, and what became of it."""

    id: UUID
    plan: dict[str, Any] = Field(description="its kind, and what that kind needs")
    reason: str
    approval: UUID
    state: str
    proposed_at: datetime

    @classmethod
    def of(cls, one: hardship.ProposedPlan) -> ProposedPlanOut:
        """Return the wire form."""
        values = {name: getattr(one, name) for name in cls.model_fields if name != "plan"}
        return cls(plan=one.plan.to_json(), **values)


class PlansOut(BaseModel):
    """Plans for a loan, newest first."""

    items: list[ProposedPlanOut]


class MatterOut(BaseModel):
    """What a customer brought up, with the day by which it is answered."""

    id: UUID
    kind: str
    nr: int
    party: UUID
    about: str
    case: UUID
    received_on: date
    due_on: date
    rule: str
    extended: int
    state: str
    answer: dict[str, Any] | None
    answered_at: datetime | None
    cause: str | None

    @classmethod
    def of(cls, one: complaints.Matter) -> MatterOut:
        """Return the wire form."""
        values = {name: getattr(one, name) for name in cls.model_fields}
        answer: Mapping[str, Any] | None = one.answer
        return cls(**{**values, "answer": None if answer is None else dict(answer)})


class MattersOut(BaseModel):
    """Matters: those that wait, the nearest deadline first; of one loan, the newest first."""

    items: list[MatterOut]


class ApprovalOut(BaseModel):
    """What a second person is asked; decided under `/v1/access/approvals`."""

    approval: UUID
    shown_hash: str
