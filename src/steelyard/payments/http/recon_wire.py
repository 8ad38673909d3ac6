"""Wire forms of reconciliation."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, PageOut
from steelyard.payments import recon


class PlanIn(BodyIn):
    """What is expected of a channel's statements, and what is tolerated in them."""

    mode: recon.Mode
    timezone: str = Field("Asia/Shanghai", max_length=64, description="whose days it has")
    cut_off: time = Field(time(0), description="local time at which a day ends")
    due_days: int = Field(1, ge=0, le=366, description="a file is due so many days later")
    due_at: time = Field(time(10), description="local time at which it is late")
    suspect_days: int = Field(2, ge=0, le=366, description="T+n: so long a later file may explain")
    case_days: int = Field(3, ge=0, le=366, description="so old a break becomes a case")
    tolerance_minor: int = Field(0, ge=0, le=10**15, description="of one pair")
    budget_minor: int = Field(0, ge=0, le=10**15, description="of all of a day together")
    write_off_minor: int = Field(0, ge=0, le=10**15, description="the most in one item")
    fee_ppm: int | None = Field(None, ge=0, le=1_000_000, description="millionths it keeps")
    starts_on: date


class PlanOut(PlanIn):
    """A plan."""

    channel: str

    @classmethod
    def of(cls, one: recon.Plan) -> PlanOut:
        """Return the wire form of a plan."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class FileOut(BaseModel):
    """A statement as it was taken."""

    id: UUID
    channel: str
    on: date
    version: int
    name: str
    form: str
    sha256: str
    state: recon.FileState
    account: str
    currency: str
    page: int
    is_last_page: bool
    proof: str = Field(description="what shows that no line is missing")
    lines: int
    total_minor: int
    opening_minor: int | None
    closing_minor: int | None
    arrived_at: datetime
    by: str

    @classmethod
    def of(cls, one: recon.File) -> FileOut:
        """Return the wire form of a file."""
        given = {name: getattr(one, name) for name in cls.model_fields}
        return cls(**{**given, "sha256": one.sha256.hex(), "proof": one.proof.value})


class TakenOut(BaseModel):
    """A statement, and what it was: first, added, corrected, duplicate."""

    how: recon.Arrival
    file: FileOut


class TakenListOut(BaseModel):
    """The statements in a file."""

    items: list[TakenOut]


class FilesOut(BaseModel):
    """The files of a day."""

    items: list[FileOut]


class RunOut(BaseModel):
    """A matching of a day."""

    id: UUID
    channel: str
    on: date
    no: int
    state: str
    is_complete: bool
    ours: int
    theirs: int
    matched: int
    stages: dict[str, int]
    breaks: dict[str, int]
    sums: dict[str, dict[str, int]] = Field(description="fees, payouts ... by currency")
    digest: str | None = Field(description="runs with one result have the same")
    started_at: datetime
    finished_at: datetime | None
    by: str

    @classmethod
    def of(cls, one: recon.Run) -> RunOut:
        """Return the wire form of a run."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class RunsOut(BaseModel):
    """The runs of a day, newest first."""

    items: list[RunOut]


class DayOut(BaseModel):
    """A day of a channel."""

    channel: str
    on: date
    state: recon.DayState
    due_at: datetime
    run: RunOut | None = Field(description="the newest finished one")
    open_items: int
    open_minor: dict[str, int] = Field(description="at risk, by currency")

    @classmethod
    def of(cls, one: recon.DayView) -> DayOut:
        """Return the wire form of a day."""
        return cls(
            channel=one.day.channel,
            on=one.day.on,
            state=one.day.state,
            due_at=one.day.due_at,
            run=None if one.run is None else RunOut.of(one.run),
            open_items=one.open_items,
            open_minor=dict(one.open_minor),
        )


class DaysOut(BaseModel):
    """Days, newest first."""

    items: list[DayOut]


class ProposalIn(BodyIn):
    """How an item is resolved."""

    action: recon.Action
    reason: str = Field(min_length=1, max_length=400)
    merchant: UUID | None = Field(None, description="whose money moves, where no payment tells it")
    other: UUID | None = Field(None, description="of `match`: the item it is matched with")


class ProposalOut(BaseModel):
    """How an item is to be resolved."""

    action: recon.Action
    reason: str
    merchant: UUID | None
    other: UUID | None


class ItemOut(BaseModel):
    """Something that does not agree."""

    id: UUID
    channel: str
    on: date
    kind: str
    state: recon.ItemState
    version: int
    number: str = Field(description="of the payment or refund; empty: none of ours")
    of_refund: bool
    file: UUID | None
    line: int | None = Field(description="where they list it")
    difference_minor: int = Field(description="what they have more than we")
    at_risk_minor: int
    currency: str
    differs_in: list[str]
    held: dict[str, Any] = Field(description="what we hold")
    listed: dict[str, Any] = Field(description="what they list")
    suspect_until: date
    suspense_minor: int
    owner: str | None
    proposal: ProposalOut | None
    approval: UUID | None
    cause: str | None
    opened_at: datetime
    closed_at: datetime | None
    closed_why: str | None

    @classmethod
    def of(cls, one: recon.Item) -> ItemOut:
        """Return the wire form of an item."""
        given = {name: getattr(one, name) for name in cls.model_fields}
        given["kind"] = one.kind.word
        given["differs_in"] = list(one.differs_in)
        given["held"], given["listed"] = dict(one.held), dict(one.listed)
        if one.proposal is not None:
            names = ProposalOut.model_fields
            given["proposal"] = ProposalOut(**{n: getattr(one.proposal, n) for n in names})
        return cls(**given)


class ItemPage(PageOut):
    """A page of items, newest first."""

    items: list[ItemOut]


class StepOut(BaseModel):
    """What was done to an item."""

    version: int
    state: recon.ItemState
    what: str
    detail: dict[str, Any]
    actor: str
    at: datetime


class HistoryOut(BaseModel):
    """An item with what was done to it, first first."""

    item: ItemOut
    steps: list[StepOut]


class OwnerIn(BodyIn):
    """Who is to look at it."""

    owner: str = Field(
        pattern="^[a-z]+:[^ ]{1,80}$",
        description="actor, `staff:<id>`",
        examples=["staff:01920000-0000-7000-8000-000000000001"],
    )


class YesIn(BodyIn):
    """The second person's yes to what was shown."""

    shown_hash: str = Field(description="hash of what the approval shows", max_length=200)


class AgeLineOut(BaseModel):
    """What is open of one age."""

    channel: str
    kind: str
    state: recon.ItemState
    currency: str
    days: str = Field(description="bucket of the age")
    items: int
    at_risk_minor: int
    difference_minor: int


class AgeingPlotOut(BaseModel):
    """The ageing as a plot takes it."""

    buckets: list[str]
    series: dict[str, list[int]] = Field(description="items by kind, one for each bucket")
    at_risk_minor: dict[str, list[int]] = Field(description="by currency")


class AgeingOut(BaseModel):
    """What is open, by age."""

    today: date
    lines: list[AgeLineOut]
    plot: AgeingPlotOut
