"""Routes of the town itself: founding, clock, progress."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base import ClockGoesBackwards, RefusedInProduction
from steelyard.base.http import BodyIn, refusals
from steelyard.simulation import Plan, town
from steelyard.simulation.http.wire import Lives, Reads, refuse_in_production

router = APIRouter()


class PlanIn(BodyIn):
    """What the town is made from; two towns of one plan are the same town."""

    seed: Annotated[int, Field(ge=-(2**53) + 1, lt=2**53)] = 1
    customers: Annotated[int, Field(ge=1, le=100_000)] = 300
    terminals: Annotated[int, Field(ge=1, le=200_000)] = 600
    opens_on: date = Field(description="its first day, midnight to midnight in Beijing")
    history_days: Annotated[int, Field(ge=0, le=3_650)] = 60


class ClockOut(BaseModel):
    """The business clock."""

    now: datetime
    speed: float = Field(description="virtual seconds in one real second")

    @classmethod
    def of(cls, reading: town.ClockReading) -> ClockOut:
        """Return the wire form of a reading."""
        return cls(now=reading.now, speed=reading.speed)


class TownOut(BaseModel):
    """The town as it stands."""

    seed: int
    customers: int
    terminals: int
    opens_on: date
    history_days: int
    book: str = Field(description="the book of client funds")
    house: str = Field(description="the book of own funds")
    founded_at: datetime
    is_settled: bool
    played_through: datetime = Field(description="everything before it was sent and answered")
    playing_through: datetime = Field(description="what is being sent reaches up to here")
    history_done: bool
    resting: str | None = Field(description="why the town rests, a code; null while it lives")
    clock: ClockOut
    database_bytes: int

    @classmethod
    def of(cls, view: town.TownView) -> TownOut:
        """Return the wire form of a view."""
        state = view.state
        return cls(
            seed=state.plan.seed,
            customers=state.plan.customers,
            terminals=state.plan.terminals,
            opens_on=state.plan.opens_on,
            history_days=state.history_days,
            book=state.book,
            house=state.house,
            founded_at=state.founded_at,
            is_settled=state.is_settled,
            played_through=state.played_through,
            playing_through=state.playing_through,
            history_done=state.history_done,
            resting=state.resting,
            clock=ClockOut.of(view.clock),
            database_bytes=view.database_bytes,
        )


class ClockIn(BodyIn):
    """Where the business clock is to stand, and how fast it goes on from there."""

    at: AwareDatetime | None = Field(None, description="null: where it stands now")
    speed: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class ProgressIn(BodyIn):
    """How far the town has lived, and how far the next span reaches."""

    played_through: AwareDatetime
    playing_through: AwareDatetime
    history_done: bool = False
    resting: Annotated[str | None, Field(pattern=r"^[a-z][a-z_]{1,39}$")] = None
    stand_at: AwareDatetime | None = Field(
        None, description="let the business clock stand at this instant; null: it goes on"
    )


@router.get("/town", responses=refusals(town.TownIsNotFounded))
def read_town(read: Reads) -> TownOut:
    """Show the town, the business clock, and the size of the database."""
    return TownOut.of(town.read_town(read.database))


@router.post(
    "/town",
    response_model=TownOut,
    responses=refusals(
        RefusedInProduction,
        ClockGoesBackwards,
        town.TownIsFoundedOtherwise,
        town.TownIsTooSmall,
        write=True,
    ),
)
def found_town(body: PlanIn, write: Lives) -> Response:
    """Found the town: its clock, its two books, its merchants; again by the same plan, nothing."""
    refuse_in_production(write)
    plan = Plan(body.seed, body.customers, body.terminals, body.opens_on)

    def work() -> TownOut:
        town.found_town(
            write.database,
            write.platform.keyring,
            write.platform.gate,
            plan,
            history_days=body.history_days,
            actor=write.caller.actor,
        )
        return TownOut.of(town.read_town(write.database))

    return write.run_in_steps(work)


@router.post(
    "/clock",
    response_model=ClockOut,
    responses=refusals(RefusedInProduction, ClockGoesBackwards, write=True),
)
def set_clock(body: ClockIn, write: Lives) -> Response:
    """Set the business clock, forwards only, or change its speed."""
    refuse_in_production(write)
    at = None if body.at is None else body.at.astimezone(UTC)
    return write.run(lambda unit: ClockOut.of(town.set_clock(write.database, unit, at, body.speed)))


@router.post(
    "/progress",
    responses=refusals(
        RefusedInProduction,
        ClockGoesBackwards,
        town.TownIsNotFounded,
        town.TownDoesNotGoBack,
        write=True,
    ),
)
def note_progress(body: ProgressIn, write: Lives) -> ClockOut:
    """Note how far the town has lived; a beat of its clock.

    The same note again changes nothing, so no answer is kept for the key.
    """
    refuse_in_production(write)
    return ClockOut.of(
        write.database.transact(
            lambda unit: town.note_progress(
                write.database,
                unit,
                played_through=body.played_through.astimezone(UTC),
                playing_through=body.playing_through.astimezone(UTC),
                history_done=body.history_done,
                resting=body.resting,
                stand_at=None if body.stand_at is None else body.stand_at.astimezone(UTC),
            ),
            actor=write.caller.actor,
        )
    )
