"""Wire schemas of policies: drafts, versions, how scenes stand, shadows, challenges, guards."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, JsonValue, StringConstraints

from steelyard.base.http import BodyIn, PageOut
from steelyard.decisions import challenges, guards, lifecycle, policies, shadows
from steelyard.parties import approvals

Json = dict[str, JsonValue]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=guards.MOST_REASON, pattern=r"^[^\x00]+$"),
]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class BudgetWire(BodyIn):
    """How much a rule may turn down before it is stopped."""

    window: Annotated[int, Field(ge=1, le=100_000, description="the last so many decisions")]
    most_bp: Annotated[int, Field(ge=1, le=9_999, description="stopped above this share")]
    resume_bp: Annotated[int, Field(ge=0, le=9_998, description="sound at or below this share")]
    fewest: Annotated[int, Field(ge=1, le=100_000, description="decisions before it is judged")]


class ContentIn(BodyIn):
    """What somebody writes: a document, its test cases, what is said when it fails."""

    document: Json = Field(description="a JDM document: nodes and edges")
    examples: list[Json] = Field(description="test cases: name, values, outcome, reasons")
    fails: Literal["open", "closed"] = Field(description="approve or decline where it cannot judge")
    budget: BudgetWire | None = Field(None, description="null: no rule is stopped by itself")
    note: Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")] = ""

    def content(self) -> lifecycle.Content:
        """Return the content."""
        budget = None if self.budget is None else self.budget.model_dump()
        return lifecycle.Content(
            source=json.dumps(self.document, ensure_ascii=False),
            fails=lifecycle.Fails(self.fails),
            examples=json.dumps(self.examples, ensure_ascii=False),
            budget=lifecycle.read_budget(budget),
            note=self.note,
        )


class CheckIn(BodyIn):
    """What to check; null is the draft of the scene."""

    content: ContentIn | None = None


class FindingOut(BaseModel):
    """One finding of the check."""

    code: str
    severity: str = Field(description="error, warning or note")
    node: str
    at: str = Field(description="row, column or entry in the node")
    text: str = Field(description="as Accept-Language asks")
    rows: list[str]

    @classmethod
    def of(cls, found: lifecycle.Finding, language: str) -> FindingOut:
        """Return the wire form of a finding."""
        text = found.zh if language.lower().startswith("zh") else found.en
        return cls(
            code=found.code,
            severity=found.severity,
            node=found.node,
            at=found.at,
            text=text,
            rows=list(found.rows),
        )


class CheckOut(BaseModel):
    """What the check found."""

    is_sound: bool = Field(description="whether it may be committed")
    findings: list[FindingOut]

    @classmethod
    def of(cls, checked: lifecycle.Checked, language: str) -> CheckOut:
        """Return the wire form of a check."""
        findings = [FindingOut.of(one, language) for one in checked.findings]
        return cls(is_sound=checked.policy is not None, findings=findings)


class ContentOut(BaseModel):
    """A document with its test cases."""

    document: Json
    examples: list[Json]
    fails: str
    budget: dict[str, int] | None
    note: str

    @classmethod
    def of(cls, content: lifecycle.Content) -> ContentOut:
        """Return the wire form of a content."""
        return cls(
            document=json.loads(content.source),
            examples=json.loads(content.examples),
            fails=content.fails,
            budget=lifecycle.budget_as_data(content.budget),
            note=content.note,
        )


class DraftOut(BaseModel):
    """The open draft of a scene."""

    scene: str
    content: ContentOut
    drafted_by: str
    drafted_at: datetime

    @classmethod
    def of(cls, draft: lifecycle.Draft) -> DraftOut:
        """Return the wire form of a draft."""
        return cls(
            scene=draft.scene,
            content=ContentOut.of(draft.content),
            drafted_by=draft.drafted_by,
            drafted_at=draft.drafted_at,
        )


class VersionOut(BaseModel):
    """A committed version."""

    policy: str = Field(description="`policy.<scene>@<version>`")
    scene: str
    version: int
    hash: str = Field(description="SHA-256 of what its document says")
    fails: str
    note: str
    warnings: int
    committed_by: str
    committed_at: datetime

    @classmethod
    def of(cls, one: lifecycle.Committed) -> VersionOut:
        """Return the wire form of a version, without its document."""
        return cls(
            policy=one.cause,
            scene=one.scene,
            version=one.version,
            hash=one.hash,
            fails=one.content.fails,
            note=one.content.note,
            warnings=sum(found.severity == "warning" for found in one.findings),
            committed_by=one.committed_by,
            committed_at=one.committed_at,
        )


class VersionPage(PageOut):
    """Versions, the newest first."""

    items: list[VersionOut]


class WholeVersionOut(BaseModel):
    """A committed version with its document, test cases and findings."""

    version: VersionOut
    content: ContentOut
    findings: list[FindingOut]
    rules: list[str] = Field(description="`node/row`: what can be stopped or snoozed")


class StoppedOut(BaseModel):
    """A rule that takes no effect."""

    rule: str
    reason: str
    stopped_by: str
    stopped_at: datetime
    seen: int = Field(description="decisions since that it was looked at in")
    hits: int = Field(description="of them, those it would have helped to turn down")

    @classmethod
    def of(cls, one: guards.StoppedRule) -> StoppedOut:
        """Return the wire form of a stopped rule."""
        return cls(
            rule=one.rule,
            reason=one.reason,
            stopped_by=one.stopped_by,
            stopped_at=one.stopped_at,
            seen=one.seen,
            hits=one.hits,
        )


class SceneOut(BaseModel):
    """How a scene stands."""

    scene: str
    active: int
    challenger: int | None
    newest: int
    shadows: list[int]
    draft_by: str | None
    stopped: list[StoppedOut]
    snoozes: int
    thrown: list[str] = Field(description="kill switches")

    @classmethod
    def of(cls, report: policies.SceneReport) -> SceneOut:
        """Return the wire form of a scene."""
        return cls(
            scene=report.stand.scene,
            active=report.stand.active,
            challenger=report.stand.challenger,
            newest=report.newest,
            shadows=list(report.shadows),
            draft_by=report.draft_by,
            stopped=[StoppedOut.of(one) for one in report.stopped],
            snoozes=report.snoozes,
            thrown=list(report.thrown),
        )


class ScenesOut(BaseModel):
    """How every scene stands."""

    items: list[SceneOut]


class PromotionOut(BaseModel):
    """That a version became active."""

    version: int
    before: int | None
    how: str
    cause: str
    by: str
    at: datetime


class PromotionsOut(BaseModel):
    """What became active, the latest first."""

    items: list[PromotionOut]


class PolicyApprovalIn(BodyIn):
    """With whose yes; without one, it is asked for."""

    approval: UUID | None = None


class PolicyApprovalOut(BaseModel):
    """Requested, or done."""

    is_done: bool
    approval: Annotated[UUID | None, Field(description="that a second person decides on")] = None
    kind: str | None = None
    shown_hash: str | None = None
    expires_at: Annotated[datetime | None, Field(description="real time")] = None

    @classmethod
    def asked(cls, approval: approvals.Approval) -> PolicyApprovalOut:
        """Return that an approval was requested."""
        return cls(
            is_done=False,
            approval=approval.id,
            kind=approval.kind,
            shown_hash=approval.shown_hash,
            expires_at=approval.expires_at,
        )


class ShadowIn(BodyIn):
    """From when on the past is gone through; null: only what is to come."""

    since: AwareDatetime | None = None


class TallyOut(BaseModel):
    """Decisions by what was said and what would have been."""

    said: str
    would_say: str
    decisions: int
    unrecorded: int
    fraud: Annotated[int | None, Field(description="of those that differ")] = None
    honest: Annotated[int | None, Field(description="of those that differ")] = None


class ShadowOut(BaseModel):
    """What a shadow run found."""

    policy: str
    is_running: bool
    decisions: int
    agreeing: int
    swapped_in: int = Field(description="would have been let pass, and were not")
    swapped_out: int = Field(description="were let pass, and would not have been")
    unrecorded: int = Field(description="lacked a value that it reads")
    lacks: dict[str, int] = Field(description="how often each value had not been asked for")
    tallies: list[TallyOut]

    @classmethod
    def of(cls, report: shadows.ShadowReport) -> ShadowOut:
        """Return the wire form of a run."""
        known = {(one.said, one.would_say): one for one in report.swaps}
        tallies = []
        for one in report.tallies:
            swap = known.get((one.said, one.would_say))
            tallies.append(
                TallyOut(
                    said=one.said,
                    would_say=one.would_say,
                    decisions=one.decisions,
                    unrecorded=one.unrecorded,
                    fraud=None if swap is None else swap.fraud,
                    honest=None if swap is None else swap.honest,
                )
            )
        return cls(
            policy=f"policy.{report.shadow.scene}@{report.shadow.version}",
            is_running=report.shadow.ended_at is None,
            decisions=report.decisions,
            agreeing=report.agreeing,
            swapped_in=report.swapped_in,
            swapped_out=report.swapped_out,
            unrecorded=report.unrecorded,
            lacks=report.lacks,
            tallies=tallies,
        )


class DifferenceOut(BaseModel):
    """A decision to which a shadow would have said something else."""

    decision: UUID
    said: str
    would_say: str
    score: int | None
    reasons: list[str]


class DifferencesOut(BaseModel):
    """Differences, the newest first."""

    items: list[DifferenceOut]


class ChallengeIn(BodyIn):
    """The terms of a challenge; with an approval, that it starts."""

    weight_bp: Annotated[int, Field(ge=1, le=9_999, description="the challenger's share")] = 1_000
    watched_days: Annotated[int, Field(ge=1, le=366)] = 7
    delay_days: Annotated[int, Field(ge=0, le=366, description="labels are waited for")] = 7
    planned_units: Annotated[int, Field(ge=100, le=10**9)] = 10_000
    approval: UUID | None = None

    def terms(self) -> challenges.Terms:
        """Return the terms."""
        return challenges.Terms(
            self.weight_bp,
            timedelta(days=self.watched_days),
            timedelta(days=self.delay_days),
            self.planned_units,
        )


class ChallengeArmOut(BaseModel):
    """An arm in a metric."""

    metric: str
    arm: str
    exposed: int
    n: int = Field(description="subjects whose outcome is known")
    mean: float | None


class ChallengeOut(BaseModel):
    """What a challenge says so far; look as often as you like."""

    scene: str
    challenger: int
    against: int
    experiment: str
    state: str
    verdict: str
    sentence: str
    arms: list[ChallengeArmOut]

    @classmethod
    def of(cls, report: challenges.ChallengeReport, language: str) -> ChallengeOut:
        """Return the wire form of a challenge."""
        it = report.challenge
        return cls(
            scene=it.scene,
            challenger=it.challenger,
            against=it.against,
            experiment=f"{it.experiment}@{it.experiment_version}",
            state=report.state,
            verdict=report.results.verdict,
            sentence=report.results.sentence(language),
            arms=[
                ChallengeArmOut(
                    metric=metric.metric.name,
                    arm=arm.arm,
                    exposed=arm.exposed,
                    n=arm.n,
                    mean=arm.mean,
                )
                for metric in report.results.metrics
                for arm in metric.arms
            ],
        )


class StopRuleIn(BodyIn):
    """A rule that is to take no effect, and why."""

    rule: Annotated[Word, Field(description="`node/row`")]
    reason: Reason


class ResumeRuleIn(BodyIn):
    """A stopped rule that is to take effect again."""

    rule: Annotated[Word, Field(description="`node/row`")]


class SnoozeIn(BodyIn):
    """A rule that is left out for a subject until an instant."""

    rule: Annotated[Word, Field(description="`node/row`")]
    subject: Annotated[Word, Field(description="`noun:id`", examples=["customer:c7"])]
    until_at: AwareDatetime
    reason: Reason


class SnoozeOut(BaseModel):
    """A snooze."""

    id: UUID
    scene: str
    rule: str
    subject: str
    until_at: datetime
    reason: str
    snoozed_by: str
    snoozed_at: datetime

    @classmethod
    def of(cls, one: guards.SnoozedRule) -> SnoozeOut:
        """Return the wire form of a snooze."""
        return cls(
            id=one.id,
            scene=one.scene,
            rule=one.rule,
            subject=one.subject,
            until_at=one.until_at,
            reason=one.reason,
            snoozed_by=one.snoozed_by,
            snoozed_at=one.snoozed_at,
        )


class SnoozesOut(BaseModel):
    """The snoozes that run."""

    items: list[SnoozeOut]


class KillIn(BodyIn):
    """What is switched off at once: the scene, or one version of its policy."""

    version: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    reason: Reason
    until_at: AwareDatetime | None = Field(None, description="it lifts itself then")


class LiftIn(BodyIn):
    """What is let on again, by somebody else than who switched it off."""

    version: Annotated[int, Field(ge=1, lt=2**31)] | None = None


class SwitchOut(BaseModel):
    """A kill switch."""

    subject: str
    is_thrown: bool
    thrown_by: str | None
    reason: str
    until_at: datetime | None

    @classmethod
    def of(cls, switch: guards.KillSwitch) -> SwitchOut:
        """Return the wire form of a switch."""
        return cls(
            subject=switch.subject,
            is_thrown=switch.thrown_by is not None,
            thrown_by=switch.thrown_by,
            reason=switch.reason,
            until_at=switch.until_at,
        )


def utc(at: datetime | None) -> datetime | None:
    """Return an instant in UTC."""
    return None if at is None else at.astimezone(UTC)
