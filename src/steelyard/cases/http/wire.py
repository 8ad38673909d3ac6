"""What the routes of the cases take and give."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from steelyard.base.http import BodyIn, PageOut
from steelyard.cases import Case, CaseKind, CaseState, reading, registry

Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00]+$")]
Name = Annotated[str, StringConstraints(max_length=81, pattern=r"^[a-z][a-z0-9_.]*$")]
Ref = Annotated[str, StringConstraints(min_length=1, max_length=201, pattern=r"^[^\x00]+$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CaseId = Annotated[UUID, Path(description="id of the case")]


class NextIn(BodyIn):
    """Which cases one would take."""

    kinds: list[Name] | None = Field(
        None, min_length=1, max_length=50, description="null: all for which one has the skill"
    )


class NoteIn(BodyIn):
    """A note; no personal data, but references."""

    text: Text


class EvidenceIn(BodyIn):
    """Where evidence is kept, and the hash of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "bank_statement",
                "reference": "document:2026/117",
                "content_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            }
        },
    )

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    reference: Ref
    content_hash: Hash = Field(description="SHA-256 of the content, hex")


class LinkIn(BodyIn):
    """What else the case has to do with, `noun:id`."""

    target: Ref


class EscalationIn(BodyIn):
    """To whom the case goes, and why."""

    group: Name
    reason: Text


class AssignmentIn(BodyIn):
    """Who is given the case."""

    staff: UUID


class PriorityIn(BodyIn):
    """How urgent the case is."""

    priority: Literal["low", "normal", "high", "urgent"]


class OutcomeIn(BodyIn):
    """How the case ended."""

    outcome: Name


class ConfirmationIn(BodyIn):
    """A yes to exactly what the approval shows."""

    shown_hash: Hash


class RejectionIn(BodyIn):
    """A no to what the approval shows."""

    shown_hash: Hash
    reason: Text


class ReasonIn(BodyIn):
    """Why."""

    reason: Text


class EventOut(BaseModel):
    """The event that a label would be about."""

    kind: str
    id: str


class ClaimOut(BaseModel):
    """Who has the case; `until_wall_at` is a real instant."""

    by: str
    at: datetime
    until_wall_at: datetime


class ProposalOut(BaseModel):
    """What a second person is asked; the approval shows it."""

    outcome: str
    by: str
    approval: UUID


class ClosingOut(BaseModel):
    """How the case ended."""

    outcome: str
    by: str
    at: datetime
    approved_by: str | None
    is_within_sla: bool


class CaseOut(BaseModel):
    """A case as it stands."""

    id: UUID
    kind: str
    subject: str
    state: CaseState
    version: int
    priority: str
    colour: registry.Colour = Field(
        description="at this instant; of a closed case when it was closed"
    )
    skill: str
    group: str | None
    signals: int
    opened_at: datetime
    opened_by: str
    signalled_at: datetime | None
    amber_at: datetime
    red_at: datetime
    due_at: datetime
    breached_at: datetime | None
    event: EventOut | None
    claim: ClaimOut | None
    proposal: ProposalOut | None
    closing: ClosingOut | None
    reopened: int

    @classmethod
    def of(cls, case: Case, now: datetime) -> CaseOut:
        """Return the wire form of a case at an instant of the business clock."""
        return cls(**_fields(case, now))


def _fields(case: Case, now: datetime) -> dict[str, Any]:
    claim, proposal, closing, event = case.claim, case.proposal, case.closing, case.event
    return {
        "id": case.id,
        "kind": case.kind,
        "subject": case.subject,
        "state": case.state,
        "version": case.version,
        "priority": case.priority.name.lower(),
        "colour": case.colour if closing else case.marks.colour(now),
        "skill": case.skill,
        "group": case.group,
        "signals": case.signals,
        "opened_at": case.opened_at,
        "opened_by": case.opened_by,
        "signalled_at": case.signalled_at,
        "amber_at": case.marks.amber_at,
        "red_at": case.marks.red_at,
        "due_at": case.marks.due_at,
        "breached_at": case.breached_at,
        "event": event and EventOut(kind=event.kind, id=event.id),
        "claim": claim and ClaimOut(by=claim.by, at=claim.at, until_wall_at=claim.until_wall_at),
        "proposal": proposal
        and ProposalOut(outcome=proposal.outcome, by=proposal.by, approval=proposal.approval),
        "closing": closing
        and ClosingOut(
            outcome=closing.outcome,
            by=closing.by,
            at=closing.at,
            approved_by=closing.approved_by,
            is_within_sla=case.is_within_sla,
        ),
        "reopened": case.reopened,
    }


class NextOut(BaseModel):
    """The case that comes first, now in the caller's hands; null when there is none."""

    case: CaseOut | None


class CasePage(PageOut):
    """Cases."""

    items: list[CaseOut]


class NoteOut(BaseModel):
    """A note."""

    at: datetime
    by: str
    text: str


class EvidenceOut(BaseModel):
    """Evidence."""

    kind: str
    reference: str
    content_hash: str
    at: datetime
    by: str


class LinkOut(BaseModel):
    """What else the case has to do with."""

    target: str
    at: datetime
    by: str


class CaseFileOut(CaseOut):
    """A case with everything beside it, oldest first."""

    notes: list[NoteOut]
    evidence: list[EvidenceOut]
    links: list[LinkOut]

    @classmethod
    def of_file(cls, file: reading.CaseFile, now: datetime) -> CaseFileOut:
        """Return the wire form of a case with everything beside it."""
        return cls(
            **_fields(file.case, now),
            notes=[NoteOut(at=n.at, by=n.by, text=n.text) for n in file.notes],
            evidence=[
                EvidenceOut(
                    kind=e.kind,
                    reference=e.reference,
                    content_hash=e.content_hash,
                    at=e.at,
                    by=e.by,
                )
                for e in file.evidence
            ],
            links=[LinkOut(target=one.target, at=one.at, by=one.by) for one in file.links],
        )


class HistoryLineOut(BaseModel):
    """One thing that happened to a case."""

    sequence: int
    version: int
    at: datetime
    wall_at: datetime
    actor: str
    action: str
    before: CaseState | None
    after: CaseState
    detail: dict[str, JsonValue]

    @classmethod
    def of(cls, line: reading.HistoryLine) -> HistoryLineOut:
        """Return the wire form of a line."""
        return cls(
            sequence=line.sequence,
            version=line.version,
            at=line.at,
            wall_at=line.wall_at,
            actor=line.actor,
            action=line.action,
            before=line.before,
            after=line.after,
            detail=dict(line.detail),  # type: ignore[arg-type]
        )


class HistoryPage(PageOut):
    """What happened to a case, oldest first."""

    items: list[HistoryLineOut]


class LabelOut(BaseModel):
    """What an outcome says about the event."""

    field: str
    value: int


class OutcomeOut(BaseModel):
    """One way in which a case ends."""

    name: str
    en: str
    zh: str
    label: LabelOut | None


def _label(outcome: registry.CaseOutcome) -> LabelOut | None:
    label = outcome.label
    return None if label is None else LabelOut(field=label.field, value=label.value)


class SlaOut(BaseModel):
    """How long a case may stay open; `calendar` null: every hour counts."""

    within_s: int
    calendar: str | None
    amber_bp: int
    red_bp: int

    @classmethod
    def of(cls, sla: registry.Sla) -> SlaOut:
        """Return the wire form of a service level."""
        return cls(
            within_s=int(sla.within.total_seconds()),
            calendar=None if sla.hours is None else sla.hours.calendar,
            amber_bp=sla.amber_bp,
            red_bp=sla.red_bp,
        )


class KindOut(BaseModel):
    """A kind of case."""

    name: str
    en: str
    zh: str
    sla: SlaOut
    outcomes: list[OutcomeOut]
    priority: str
    skill: str
    four_eyes: bool
    required_evidence: list[str]
    escalates_to: list[str]
    is_settled_elsewhere: bool

    @classmethod
    def of(cls, kind: CaseKind) -> KindOut:
        """Return the wire form of a kind."""
        return cls(
            name=kind.name,
            en=kind.en,
            zh=kind.zh,
            sla=SlaOut.of(kind.sla),
            outcomes=[
                OutcomeOut(
                    name=one.name,
                    en=one.en,
                    zh=one.zh,
                    label=_label(one),
                )
                for one in kind.outcomes
            ],
            priority=kind.priority.name.lower(),
            skill=kind.skill,
            four_eyes=kind.four_eyes,
            required_evidence=list(kind.required_evidence),
            escalates_to=list(kind.escalates_to),
            is_settled_elsewhere=kind.is_settled_elsewhere,
        )


class GroupOut(BaseModel):
    """People to whom cases are escalated."""

    name: str
    skill: str
    en: str
    zh: str

    @classmethod
    def of(cls, group: registry.CaseGroup) -> GroupOut:
        """Return the wire form of a group."""
        return cls(name=group.name, skill=group.skill, en=group.en, zh=group.zh)


class KindsOut(BaseModel):
    """Every kind and every group, by name."""

    kinds: list[KindOut]
    groups: list[GroupOut]


class OpenCasesOut(BaseModel):
    """Cases of a kind and colour that are not closed; ages in whole seconds."""

    kind: str
    colour: registry.Colour
    cases: int
    oldest_at: datetime
    age_s_p50: int
    age_s_p90: int
    age_s_p99: int


class ClosedOnOut(BaseModel):
    """Closings of a kind on a local date."""

    on: date
    kind: str
    cases: int
    within_sla: int


class StatisticsOut(BaseModel):
    """How the queue stands, and what was closed in the days asked for."""

    at: datetime
    open_cases: list[OpenCasesOut]
    oldest: CaseOut | None
    age_s_p50: int | None
    age_s_p90: int | None
    age_s_p99: int | None
    closed: list[ClosedOnOut]
    sla_met_bp: int | None = Field(description="share of the closings in time; null without any")

    @classmethod
    def of(cls, found: reading.Statistics) -> StatisticsOut:
        """Return the wire form of the figures."""
        p50, p90, p99 = found.ages_s or (None, None, None)
        return cls(
            at=found.at,
            open_cases=[
                OpenCasesOut(
                    kind=one.kind,
                    colour=one.colour,
                    cases=one.cases,
                    oldest_at=one.oldest_at,
                    age_s_p50=one.age_s_p50,
                    age_s_p90=one.age_s_p90,
                    age_s_p99=one.age_s_p99,
                )
                for one in found.open_cases
            ],
            oldest=None if found.oldest is None else CaseOut.of(found.oldest, found.at),
            age_s_p50=p50,
            age_s_p90=p90,
            age_s_p99=p99,
            closed=[
                ClosedOnOut(on=one.on, kind=one.kind, cases=one.cases, within_sla=one.within_sla)
                for one in found.closed
            ],
            sla_met_bp=found.sla_met_bp,
        )


def priority_of(name: str) -> registry.Priority:
    """Return the priority of a name on the wire."""
    return registry.Priority[name.upper()]
