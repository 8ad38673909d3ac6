"""What the routes of channels and of routing take and give; amounts are minor units."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base.http import BodyIn
from steelyard.payments import channel, channel_desk, channel_life, health, orders, routing
from steelyard.payments.http.wire import Amount, Code, Currency, Text, Word

Reason = Annotated[str, Field(min_length=1, max_length=500)]
Terms = Annotated[dict[str, Any], Field(description="fields of the sheet", max_length=40)]


class TrialIO(BodyIn):
    """Whom a channel on trial serves, and how much."""

    merchants: Annotated[list[UUID], Field(max_length=500)]
    most_minor: Amount
    daily_most_minor: Amount
    daily_payments: Annotated[int, Field(gt=0, le=1_000_000)]
    until_on: date | None = None

    def trial(self) -> channel_life.Trial:
        """Return the value."""
        return channel_life.Trial(**{**self.model_dump(), "merchants": tuple(self.merchants)})


class ProbeIO(BodyIn):
    """How a channel's availability is probed; without an amount, a known number is asked about."""

    method: orders.Method = orders.Method.WALLET
    amount_minor: Annotated[int, Field(ge=0, le=10_000)] = 0
    currency: Currency = "CNY"
    merchant: Word = "probe"
    instrument: Word | None = None
    number: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,32}$")] = "0" * 32

    def probe(self) -> channel_life.ProbeSetting:
        """Return the value."""
        return channel_life.ProbeSetting(**self.model_dump())


class NewChannelIn(BodyIn):
    """A channel to register; it begins surveyed."""

    code: Code
    mode: orders.Mode = orders.Mode.LIVE
    kind: Code
    name: Text
    capability: Terms
    settings: Annotated[
        dict[str, Annotated[str, Field(max_length=2_000)]], Field(max_length=40)
    ] = Field(default_factory=dict, description="what the adaptor needs and anybody may read")
    secrets: Annotated[
        dict[str, Annotated[str, Field(max_length=10_000)]], Field(max_length=20)
    ] = Field(default_factory=dict, description="what the adaptor needs; sealed, never shown")
    probe: ProbeIO | None = None


class ChangesIn(BodyIn):
    """What a channel is operated by; what is left out stays."""

    name: Text | None = None
    trial: TrialIO | None = None
    probe: ProbeIO | None = None
    owner: Text | None = None
    runbook: Text | None = None

    def changes(self) -> dict[str, Any]:
        """Return what is changed, as values."""
        given: dict[str, Any] = {
            name: value
            for name in ("name", "owner", "runbook")
            if (value := getattr(self, name)) is not None
        }
        if self.trial is not None:
            given["trial"] = self.trial.trial()
        if self.probe is not None:
            given["probe"] = self.probe.probe()
        return given


class SheetIn(BodyIn):
    """Fields of the sheet that change, and why."""

    changes: Terms
    reason: Reason


class SecretsIn(BodyIn):
    """What the adaptor needs and nobody reads; it replaces all there was."""

    secrets: Annotated[dict[str, Annotated[str, Field(max_length=10_000)]], Field(max_length=20)]


class AgreementIn(BodyIn):
    """An agreement, or a supplement to one."""

    number: Word
    signed_on: date
    effective_from: date
    effective_to: date | None = Field(None, description="the first day without it")
    supplement_of: UUID | None = None
    terms: Terms = Field(default_factory=dict)

    def new(self) -> channel_life.NewAgreement:
        """Return the value."""
        return channel_life.NewAgreement(**self.model_dump())


class StageIn(BodyIn):
    """The next stage of a channel's life."""

    to: channel.Stage
    reason: Reason
    approval: UUID | None = Field(None, description="a second person's yes, for `live`")


class WindowIn(BodyIn):
    """Maintenance: either two instants, or local times of weekdays from a day on."""

    reason: Reason
    methods: list[orders.Method] = Field(default_factory=list, description="empty: all")
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    weekdays: Annotated[list[int], Field(max_length=7)] = Field(
        default_factory=list, description="0, Monday, to 6; empty: every day"
    )
    opens: time | None = Field(None, description="local time at which it begins")
    closes: time | None = Field(None, description="local time at which it ends")
    from_on: date | None = None
    until_on: date | None = None

    def window(self, code: str) -> health.Window:
        """Return the value; its id is given when it is announced."""
        given = self.model_dump()
        given["methods"], given["weekdays"] = tuple(self.methods), tuple(self.weekdays)
        return health.Window(id=UUID(int=0), channel=code, **given)


class BreakerIn(BodyIn):
    """Cut a channel off for a method, or take it back."""

    method: orders.Method
    is_open: bool
    reason: Reason


class ChannelOut(BaseModel):
    """A channel; `capability` is what it can do today."""

    code: str
    mode: orders.Mode
    kind: str
    name: str
    stage: channel.Stage
    version: int
    sheet: int
    capability: dict[str, Any]
    settings: dict[str, str]
    trial: dict[str, Any] | None
    probe: dict[str, Any] | None
    owner: str | None
    runbook: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(
        cls, record: channel_desk.ChannelRecord, capability: channel.Capability | None = None
    ) -> ChannelOut:
        """Return the wire form."""
        given = {name: getattr(record, name) for name in cls.model_fields}
        shown = channel_life.plain(capability or record.capability)
        given |= {"capability": shown, "settings": dict(record.settings)}
        given |= {name: channel_life.plain(given[name]) for name in ("trial", "probe")}
        return cls(**given)


class ChannelsOut(BaseModel):
    """All channels of a mode, by code."""

    items: list[ChannelOut]


class AgreementOut(BaseModel):
    """An agreement, or a supplement to one."""

    id: UUID
    number: str
    signed_on: date
    effective_from: date
    effective_to: date | None
    supplement_of: UUID | None
    terms: dict[str, Any]
    actor: str
    at: datetime | None

    @classmethod
    def of(cls, found: channel_life.Agreement) -> AgreementOut:
        """Return the wire form."""
        given = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**given, "terms": channel_life.plain(dict(found.terms))})


class AgreementsOut(BaseModel):
    """The agreements of a channel, and its sheet as they change it on a day."""

    items: list[AgreementOut]
    on: date
    capability: dict[str, Any]


class StageOut(BaseModel):
    """A step of a channel's life."""

    version: int
    before: str | None
    after: str
    cause: str
    detail: dict[str, Any]
    actor: str
    at: datetime


class StagesOut(BaseModel):
    """A channel's life so far, and what it lacks for each stage that may follow."""

    items: list[StageOut]
    lacks: dict[str, list[str]]


class TestOut(BaseModel):
    """A test payment, or a probe, and what was answered."""

    __test__ = False

    id: UUID
    kind: str
    number: str
    said: str
    code: str | None
    amount_minor: int | None
    is_passed: bool
    latency_ms: int
    actor: str
    at: datetime

    @classmethod
    def of(cls, line: channel_life.TestLine) -> TestOut:
        """Return the wire form."""
        return cls(**{name: getattr(line, name) for name in cls.model_fields})


class TestsOut(BaseModel):
    """The protocol of a channel's test payments."""

    __test__ = False

    items: list[TestOut]


class WindowOut(BaseModel):
    """An announced maintenance window."""

    id: UUID
    channel: str
    reason: str
    methods: list[orders.Method]
    starts_at: datetime | None
    ends_at: datetime | None
    weekdays: list[int]
    opens: time | None
    closes: time | None
    from_on: date | None
    until_on: date | None
    announced_at: datetime | None
    actor: str

    @classmethod
    def of(cls, found: health.Window) -> WindowOut:
        """Return the wire form."""
        given = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**given, "methods": list(found.methods), "weekdays": list(found.weekdays)})


class WindowsOut(BaseModel):
    """The windows of a channel that are not over."""

    items: list[WindowOut]


class HealthOut(BaseModel):
    """How a channel did for a method; rates are null where nothing ended, or was sent."""

    channel: str
    method: orders.Method
    attempts: int
    succeeded: int
    failed: int
    payers: int
    unknown: int
    success_rate: float | None
    unknown_rate: float | None
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None

    @classmethod
    def of(cls, found: health.Health) -> HealthOut:
        """Return the wire form."""
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class BreakerOut(BaseModel):
    """A breaker as all processes share it."""

    channel: str
    method: orders.Method
    state: health.BreakerState
    opened_by: str
    trips: int
    since: datetime
    until: datetime | None

    @classmethod
    def of(cls, found: health.BreakerRow) -> BreakerOut:
        """Return the wire form."""
        given = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**given, "opened_by": found.opened_by.value})


class HealthsOut(BaseModel):
    """Figures by channel and method over a stretch of time, and the breakers."""

    since: datetime
    until: datetime
    items: list[HealthOut]
    breakers: list[BreakerOut]


class ApprovalOut(BaseModel):
    """What waits for a second person."""

    approval: UUID
    shown_hash: str


class RuleIO(BodyIn):
    """A rule of routing; an empty condition holds for every payment."""

    name: Code
    verb: routing.Verb
    channels: Annotated[list[Code], Field(max_length=50)]
    shares: Annotated[list[int], Field(max_length=50)] = Field(
        default_factory=list, description="of `split`, percent, 100 in all"
    )
    merchants: list[UUID] = Field(default_factory=list)
    methods: list[orders.Method] = Field(default_factory=list)
    currencies: list[Currency] = Field(default_factory=list)
    networks: list[Word] = Field(default_factory=list)
    scenarios: list[Word] = Field(default_factory=list)
    least_minor: Annotated[int, Field(ge=0)] = 0
    most_minor: Annotated[int, Field(ge=0)] | None = None

    def rule(self) -> routing.Rule:
        """Return the value."""
        given = self.model_dump()
        sets = ("merchants", "methods", "currencies", "networks", "scenarios")
        given |= {name: frozenset(given[name]) for name in sets}
        given |= {name: tuple(given[name]) for name in ("channels", "shares")}
        return routing.Rule(**given)

    @classmethod
    def of(cls, found: routing.Rule) -> RuleIO:
        """Return the wire form."""
        given = {name: getattr(found, name) for name in cls.model_fields}
        lists = {name: sorted(v) for name, v in given.items() if isinstance(v, frozenset)}
        lists |= {name: list(v) for name, v in given.items() if isinstance(v, tuple)}
        return cls(**{**given, **lists})


class PolicyIn(BodyIn):
    """A version of the rules; options that are left out are as delivered."""

    rules: Annotated[list[RuleIO], Field(max_length=200)] = Field(default_factory=list)
    weigh_cost: bool = False
    margin: Annotated[float, Field(gt=0, le=1)] = 1.0
    last_resort: bool = False
    reason: Reason

    def options(self) -> routing.Options:
        """Return the value."""
        return routing.Options(
            weigh_cost=self.weigh_cost, margin=self.margin, last_resort=self.last_resort
        )


class PolicyOut(BaseModel):
    """A version of the rules and options."""

    version: int
    rules: list[RuleIO]
    options: dict[str, Any]
    reason: str
    actor: str
    made_at: datetime
    cause: str | None
    in_force_at: datetime | None

    @classmethod
    def of(cls, row: routing.PolicyRow) -> PolicyOut:
        """Return the wire form."""
        return cls(
            version=row.policy.version,
            rules=[RuleIO.of(rule) for rule in row.policy.rules],
            options=channel_life.plain(row.policy.options),
            reason=row.reason,
            actor=row.actor,
            made_at=row.made_at,
            cause=row.cause,
            in_force_at=row.in_force_at,
        )


class PoliciesOut(BaseModel):
    """Versions of the rules, the newest first, and which counts; 0 before anybody wrote any."""

    items: list[PolicyOut]
    in_force: int


class ProposedOut(BaseModel):
    """A version that waits for a second person."""

    policy: PolicyOut
    approval: UUID
    shown_hash: str


class ForceIn(BodyIn):
    """Put a version in force."""

    approval: UUID


class AskIn(BodyIn):
    """A payment that is looked at and not made."""

    merchant: UUID
    method: orders.Method
    amount_minor: Amount
    currency: Currency = "CNY"
    mode: orders.Mode = orders.Mode.LIVE
    network: Annotated[str, Field(max_length=40)] = ""
    scenario: Word = "online"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1

    def request(self) -> routing.RoutingRequest:
        """Return the value."""
        return routing.RoutingRequest(**self.model_dump(exclude={"mode", "seed"}))


class CandidateOut(BaseModel):
    """A channel that was open, with what it was weighed by and how likely it is chosen."""

    channel: str
    mean: float
    deviation: float
    cost: float
    is_new: bool
    on_trial: bool
    draw: float
    score: float
    propensity: float


class ChoiceOut(BaseModel):
    """A channel, and why."""

    chosen: str
    propensity: float
    rule: str | None
    candidates: list[CandidateOut]
    excluded: dict[str, str]
    seed: int
    policy: int
    book_version: int

    @classmethod
    def of(cls, choice: routing.Choice, options: routing.Options) -> ChoiceOut:
        """Return the wire form."""
        candidates = [
            CandidateOut(
                **one._asdict(),
                propensity=routing.propensity_of(choice.candidates, one.channel, options),
            )
            for one in choice.candidates
        ]
        return cls(
            chosen=choice.chosen,
            propensity=choice.propensity,
            rule=choice.rule,
            candidates=candidates,
            excluded=dict(choice.excluded),
            seed=choice.seed,
            policy=choice.policy,
            book_version=choice.book_version,
        )


class DecisionOut(BaseModel):
    """The choice of an attempt's channel, and whether it comes out the same when made again."""

    attempt: UUID
    decided_at: datetime
    request: dict[str, Any]
    choice: ChoiceOut
    agrees: bool


class ShareOut(BaseModel):
    """What a channel got of a method's payments."""

    channel: str
    method: orders.Method
    currency: str
    payments: int
    succeeded: int
    amount_minor: int


class SharesOut(BaseModel):
    """What each channel got, between two instants."""

    since: datetime
    until: datetime
    items: list[ShareOut]


class EstimateOut(BaseModel):
    """A success rate with its interval of 95 percent."""

    value: float
    low: float
    high: float
    effective: float


class EvaluationOut(BaseModel):
    """The success rate as payments were routed, and as other options would have; null: no data."""

    was: EstimateOut | None
    other: EstimateOut | None
