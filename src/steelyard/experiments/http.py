"""Routes of the experiments: drafts, start and stop by two people, assignment, results."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.experiments import (
    Arm,
    Better,
    Draft,
    Experiment,
    Metric,
    MetricKind,
    Results,
    Slots,
    State,
    Verdict,
    designs,
    observations,
    refusals,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.parties import approvals

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])

Reads = Annotated[Read, reading("experiments.read")]
Manages = Annotated[Write, writing("experiments.manage")]
Exposes = Annotated[Write, writing("experiments.expose")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Name = Annotated[str, Path(description="name of the experiment", max_length=60)]
Version = Annotated[int, Path(description="its version", ge=1, lt=2**31)]
UnitId = Annotated[str, StringConstraints(min_length=1, max_length=120)]
DecimalText = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,16}(\.[0-9]{1,6})?$")]
MOST_UNITS = 1_000

_NONE = (refusals.ExperimentIsUnknown,)


class ArmWire(BodyIn):
    """One of the things compared."""

    name: Word
    weight_bp: Annotated[int, Field(ge=1, le=10_000, description="basis points, 10,000 in all")]


class MetricWire(BodyIn):
    """What is measured, once for each unit."""

    name: Word
    kind: MetricKind
    better: Better
    decimals: Annotated[int, Field(ge=0, le=6, description="digits after the point")] = 0


class SlotsWire(BodyIn):
    """Slots `start` to before `stop` of the 10,000 of the layer."""

    start: Annotated[int, Field(ge=0, le=9_999)] = 0
    stop: Annotated[int, Field(ge=1, le=10_000)] = 10_000


class DraftIn(BodyIn):
    """An experiment, or a next version of one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "card_policy_8",
                "hypothesis": "Policy 8 lets less fraud through and declines no more.",
                "unit": "customer",
                "arms": [
                    {"name": "policy_7", "weight_bp": 9000},
                    {"name": "policy_8", "weight_bp": 1000},
                ],
                "metrics": [{"name": "charged_back", "kind": "proportion", "better": "lower"}],
                "layer": "payment",
            }
        }
    )

    name: Word
    hypothesis: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    unit: Annotated[Word, Field(description="noun of what is assigned")]
    arms: Annotated[list[ArmWire], Field(min_length=2, max_length=10)] = Field(
        description="the first is the control"
    )
    metrics: Annotated[list[MetricWire], Field(min_length=1, max_length=5)] = Field(
        description="the first decides"
    )
    layer: Annotated[Word, Field(description="experiments of one layer share no unit")]
    slots: SlotsWire = SlotsWire()
    salt: Word | None = Field(None, description="another one deals all units anew")
    alpha_bp: Annotated[int, Field(ge=1, le=5_000)] = 500
    planned_units: Annotated[int, Field(ge=100, le=10**9)] = 10_000
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None

    def draft(self) -> Draft:
        """Return the draft."""
        return Draft(
            name=self.name,
            hypothesis=self.hypothesis,
            unit=self.unit,
            arms=tuple(Arm(arm.name, arm.weight_bp) for arm in self.arms),
            metrics=tuple(Metric(m.name, m.kind, m.better, m.decimals) for m in self.metrics),
            layer=self.layer,
            slots=Slots(self.slots.start, self.slots.stop),
            salt=self.salt,
            alpha_bp=self.alpha_bp,
            planned_units=self.planned_units,
            starts_at=None if self.starts_at is None else self.starts_at.astimezone(UTC),
            ends_at=None if self.ends_at is None else self.ends_at.astimezone(UTC),
        )


class SpanOut(BaseModel):
    """Buckets `start` to before `stop`, all of one arm."""

    arm: str
    start: int
    stop: int


class ExperimentOut(BaseModel):
    """One version of an experiment."""

    name: str
    version: int
    state: State
    hypothesis: str
    unit: str
    arms: list[ArmWire]
    metrics: list[MetricWire]
    layer: str
    slots: SlotsWire
    salt: str
    allocation: list[SpanOut] = Field(description="of the 10,000 buckets of the salt")
    alpha_bp: int
    planned_units: int
    starts_at: datetime | None
    ends_at: datetime | None
    drafted_by: str
    drafted_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    cause: str | None
    stop_cause: str | None

    @classmethod
    def of(cls, experiment: Experiment) -> ExperimentOut:
        """Return the wire form of a version."""
        draft = experiment.draft
        return cls(
            name=experiment.name,
            version=experiment.version,
            state=experiment.state,
            hypothesis=draft.hypothesis,
            unit=draft.unit,
            arms=[ArmWire(name=arm.name, weight_bp=arm.weight_bp) for arm in draft.arms],
            metrics=[
                MetricWire(name=m.name, kind=m.kind, better=m.better, decimals=m.decimals)
                for m in draft.metrics
            ],
            layer=draft.layer,
            slots=SlotsWire(start=draft.slots.start, stop=draft.slots.stop),
            salt=experiment.salt,
            allocation=[
                SpanOut(arm=s.arm, start=s.start, stop=s.stop) for s in experiment.allocation
            ],
            alpha_bp=draft.alpha_bp,
            planned_units=draft.planned_units,
            starts_at=draft.starts_at,
            ends_at=draft.ends_at,
            drafted_by=experiment.drafted_by,
            drafted_at=experiment.drafted_at,
            started_at=experiment.started_at,
            stopped_at=experiment.stopped_at,
            cause=experiment.cause,
            stop_cause=experiment.stop_cause,
        )


class ExperimentPage(PageOut):
    """A page of experiments."""

    items: list[ExperimentOut]


class ApprovedIn(BodyIn):
    """With whose yes; without one, it is asked for."""

    approval: UUID | None = None


class RequestOut(BaseModel):
    """A request for a second person's yes; he finds it among the approvals."""

    approval: UUID
    kind: str
    subject: str
    shown_hash: str
    expires_at: datetime = Field(description="real time")


class TwoPeopleOut(BaseModel):
    """Requested, or done."""

    is_done: bool
    request: RequestOut | None = None
    experiment: ExperimentOut


class UnitsIn(BodyIn):
    """Units to assign, by id."""

    units: Annotated[list[UnitId], Field(min_length=1, max_length=MOST_UNITS)]


class AssignmentOut(BaseModel):
    """The arm of a unit; null where it takes no part."""

    unit: str
    version: int | None
    arm: str | None


class AssignmentsOut(BaseModel):
    """One assignment for each unit, in order."""

    items: list[AssignmentOut]

    @classmethod
    def of(cls, found: tuple[observations.Assignment, ...]) -> AssignmentsOut:
        """Return the wire form of assignments."""
        return cls(
            items=[AssignmentOut(unit=one.unit, version=one.version, arm=one.arm) for one in found]
        )


class OutcomeIn(BodyIn):
    """What became of a unit."""

    unit: UnitId
    value: Annotated[int, Field(strict=True)] | DecimalText = Field(
        description="0 or 1 of a proportion; a decimal as a text", examples=[1]
    )


class OutcomesIn(BodyIn):
    """What became of units in one metric; each is final."""

    metric: Word
    outcomes: Annotated[list[OutcomeIn], Field(min_length=1, max_length=MOST_UNITS)]


class RecordingsOut(BaseModel):
    """One answer for each outcome, in order."""

    items: list[observations.Recording]


class RatioOut(BaseModel):
    """Whether the exposed units stand in the set ratio."""

    chi_square: float
    p_value: float = Field(description="good for one look")
    always_valid_p: float = Field(description="good for any number of looks")
    is_mismatch: bool


class ArmOut(BaseModel):
    """One arm in one metric."""

    arm: str
    exposed: int
    n: int = Field(description="units with an outcome")
    total: int = Field(description="whole number of the metric's last decimal")
    mean: float | None


class ComparisonOut(BaseModel):
    """A challenger against the control."""

    arm: str
    effect: float | None
    low: float | None = Field(description="of the confidence sequence, good at any look")
    high: float | None
    lift: float | None
    p_value: float = Field(description="always valid")
    threshold: float
    verdict: Verdict


class MetricOut(BaseModel):
    """All arms in one metric."""

    metric: MetricWire
    arms: list[ArmOut]
    comparisons: list[ComparisonOut]


class ResultsOut(BaseModel):
    """What an experiment says."""

    name: str
    version: int
    as_of: datetime
    is_over: bool
    ratio: RatioOut
    metrics: list[MetricOut]
    verdict: Verdict
    best: str | None
    sentence: str

    @classmethod
    def of(cls, results: Results, language: str) -> ResultsOut:
        """Return the wire form of results."""
        ratio = results.ratio
        return cls(
            name=results.name,
            version=results.version,
            as_of=results.as_of,
            is_over=results.is_over,
            ratio=RatioOut(
                chi_square=ratio.chi_square,
                p_value=ratio.p_value,
                always_valid_p=ratio.always_valid_p,
                is_mismatch=ratio.is_mismatch,
            ),
            metrics=[
                MetricOut(
                    metric=MetricWire(
                        name=m.metric.name,
                        kind=m.metric.kind,
                        better=m.metric.better,
                        decimals=m.metric.decimals,
                    ),
                    arms=[
                        ArmOut(arm=a.arm, exposed=a.exposed, n=a.n, total=a.total, mean=a.mean)
                        for a in m.arms
                    ],
                    comparisons=[
                        ComparisonOut(
                            arm=c.arm,
                            effect=c.effect,
                            low=None if c.interval is None else c.interval.low,
                            high=None if c.interval is None else c.interval.high,
                            lift=c.lift,
                            p_value=c.p_value,
                            threshold=c.threshold,
                            verdict=c.verdict,
                        )
                        for c in m.comparisons
                    ],
                )
                for m in results.metrics
            ],
            verdict=results.verdict,
            best=results.best,
            sentence=results.sentence(language),
        )


@router.get("", response_model=ExperimentPage, responses=refused_by(CursorIsInvalid))
def list_experiments(
    read: Reads, state: State | None = None, cursor: Cursor = None, limit: Limit = 50
) -> ExperimentPage:
    """List the experiments by name, each in its newest version."""
    with read.database.reading() as connection:
        page = designs.list_experiments(connection, state=state, cursor=cursor, limit=limit)
    return page_out(ExperimentPage, page, ExperimentOut.of)


@router.post(
    "",
    status_code=201,
    response_model=ExperimentOut,
    responses=refused_by(
        refusals.ExperimentIsMalformed,
        refusals.ArmsAreWrong,
        refusals.WeightsDoNotAddUp,
        write=True,
    ),
)
def draft_an_experiment(body: DraftIn, write: Manages) -> Response:
    """Propose an experiment, or a next version of one."""
    draft = body.draft()
    return write.run(
        lambda unit: ExperimentOut.of(designs.draft_experiment(unit, draft)), status=201
    )


@router.get("/{name}", response_model=ExperimentOut, responses=refused_by(*_NONE))
def read_an_experiment(
    name: Name,
    read: Reads,
    version: Annotated[int | None, Query(ge=1, lt=2**31, description="the newest if null")] = None,
) -> ExperimentOut:
    """Show a version of an experiment."""
    with read.database.reading() as connection:
        return ExperimentOut.of(designs.read_experiment(connection, name, version))


@router.post(
    "/{name}/versions/{version}/start",
    response_model=TwoPeopleOut,
    responses=refused_by(
        *_NONE,
        refusals.ExperimentIsNotDraft,
        refusals.ExperimentIsOver,
        refusals.SlotsAreTaken,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def start_an_experiment(name: Name, version: Version, body: ApprovedIn, write: Manages) -> Response:
    """Request the start of a draft; with the approval, start it."""

    def work(unit: UnitOfWork) -> TwoPeopleOut:
        if body.approval is None:
            return _requested(unit, name, version, designs.request_start(unit, name, version))
        started = designs.start_experiment(unit, name, version, approval=body.approval)
        return TwoPeopleOut(is_done=True, experiment=ExperimentOut.of(started))

    return write.run(work)


@router.post(
    "/{name}/versions/{version}/stop",
    response_model=TwoPeopleOut,
    responses=refused_by(
        *_NONE, refusals.ExperimentIsNotRunning, *approvals.CONSUME_REFUSALS, write=True
    ),
)
def stop_an_experiment(name: Name, version: Version, body: ApprovedIn, write: Manages) -> Response:
    """Request the stop of a running version; with the approval, stop it."""

    def work(unit: UnitOfWork) -> TwoPeopleOut:
        if body.approval is None:
            return _requested(unit, name, version, designs.request_stop(unit, name, version))
        stopped = designs.stop_experiment(unit, name, version, approval=body.approval)
        return TwoPeopleOut(is_done=True, experiment=ExperimentOut.of(stopped))

    return write.run(work)


@router.post(
    "/{name}/assign",
    response_model=AssignmentsOut,
    responses=refused_by(*_NONE, refusals.UnitIsMalformed),
)
def assign_units(name: Name, body: UnitsIn, read: Reads) -> AssignmentsOut:
    """Show the arms that units have; nothing is recorded, so it takes no idempotency key."""
    with read.database.reading() as connection:
        now = read.database.clock.read(connection)
        return AssignmentsOut.of(observations.assign(connection, name, body.units, now=now))


@router.post(
    "/{name}/expose",
    response_model=AssignmentsOut,
    responses=refused_by(*_NONE, refusals.UnitIsMalformed, write=True),
)
def expose_units(name: Name, body: UnitsIn, write: Exposes) -> Response:
    """Show the arms that units have, and record once for each that it met its arm."""
    return write.run(lambda unit: AssignmentsOut.of(observations.expose(unit, name, body.units)))


@router.post(
    "/{name}/versions/{version}/outcomes",
    response_model=RecordingsOut,
    responses=refused_by(
        *_NONE,
        refusals.ExperimentIsNotRunning,
        refusals.MetricIsUnknown,
        refusals.OutcomeIsWrong,
        write=True,
    ),
)
def record_outcomes(name: Name, version: Version, body: OutcomesIn, write: Exposes) -> Response:
    """Record what became of exposed units in one metric, once for each; also after the stop."""
    outcomes = [(one.unit, one.value) for one in body.outcomes]
    return write.run(
        lambda unit: RecordingsOut(
            items=list(observations.record_outcomes(unit, name, version, body.metric, outcomes))
        )
    )


@router.get(
    "/{name}/versions/{version}/results",
    response_model=ResultsOut,
    responses=refused_by(*_NONE),
)
def read_results(
    name: Name, version: Version, read: Reads, as_of: AwareDatetime | None = None
) -> ResultsOut:
    """Show what a version says, now or as it stood at an instant; look as often as you like."""
    with read.database.reading() as connection:
        at = read.database.clock.read(connection) if as_of is None else as_of.astimezone(UTC)
        results = observations.read_results(connection, name, version, as_of=at)
    return ResultsOut.of(results, read.language)


def _requested(
    unit: UnitOfWork, name: str, version: int, asked: approvals.Approval
) -> TwoPeopleOut:
    experiment = designs.read_experiment(unit.connection, name, version)
    request = RequestOut(
        approval=asked.id,
        kind=asked.kind,
        subject=asked.subject,
        shown_hash=asked.shown_hash,
        expires_at=asked.expires_at,
    )
    return TwoPeopleOut(is_done=False, request=request, experiment=ExperimentOut.of(experiment))
