"""Routes: the log as pages and as a stream, consumers, dead letters."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field, JsonValue, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    problem_of,
    reading,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.events import (
    ConsumerState,
    DeadLetter,
    FactFilter,
    Feed,
    Followed,
    LetterState,
    StoredFact,
    operation,
    refusals,
)
from steelyard.events import reading as log
from steelyard.kernel import CursorIsInvalid, Refusal

router = APIRouter(prefix="/v1/events", tags=["events"])

Reads = Annotated[Read, reading("events.read")]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]+$")]
LetterId = Annotated[int, Path(ge=1, lt=2**63)]


def wanted_of(
    kind: Annotated[list[Text] | None, Query(description="`room.FactName`")] = None,
    subject: Annotated[Text | None, Query(description="whose history, `noun:id`")] = None,
    since: Annotated[AwareDatetime | None, Query(description="recorded then or later")] = None,
) -> FactFilter:
    """Return which facts a request asks for."""
    return FactFilter(frozenset(kind or ()), subject, since)


Wanted = Annotated[FactFilter, Depends(wanted_of)]


class FactOut(BaseModel):
    """One fact of the log."""

    sequence: int
    kind: str
    version: int
    subject: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    payload: JsonValue

    @classmethod
    def of(cls, fact: StoredFact) -> FactOut:
        """Return the wire form of a fact."""
        return cls(
            sequence=fact.sequence,
            kind=fact.kind,
            version=fact.version,
            subject=fact.subject,
            occurred_at=fact.occurred_at,
            recorded_at=fact.recorded_at,
            actor=fact.actor,
            payload=json.loads(fact.payload),
        )


class Facts(BaseModel):
    """Facts in the order of the log."""

    items: list[FactOut]
    next: str = Field(description="cursor of what comes after; ask again with it to poll")
    has_more: bool


class LatestFacts(PageOut):
    """Facts, the newest first."""

    items: list[FactOut]


class ConsumerOut(BaseModel):
    """How far a consumer is."""

    name: str
    version: int
    hears: list[str]
    activity: Literal["running", "idle", "retrying", "stopped"]
    delivered_sequence: int
    facts_behind: int
    seconds_behind: float
    trouble: str | None
    retry_at: datetime | None
    dead_letters: int
    moved_at: datetime

    @classmethod
    def of(cls, state: ConsumerState) -> ConsumerOut:
        """Return the wire form of a consumer."""
        return cls(
            name=state.name,
            version=state.version,
            hears=list(state.hears),
            activity=state.activity.value,
            delivered_sequence=state.delivered_sequence,
            facts_behind=state.facts_behind,
            seconds_behind=state.seconds_behind,
            trouble=state.trouble,
            retry_at=state.retry_at,
            dead_letters=state.dead_letters,
            moved_at=state.moved_at,
        )


class Consumers(BaseModel):
    """Every consumer that ever ran here."""

    items: list[ConsumerOut]


class ReplayIn(BodyIn):
    """Which version of the consumer, and from where."""

    version: int = Field(1, ge=1, lt=2**15)
    from_sequence: int = Field(1, ge=1, lt=2**63, description="1 is the beginning")


class ReplayOut(BaseModel):
    """The replay was asked for; how far it is shows at the consumer."""

    name: str
    version: int
    from_sequence: int


class DeadLetterOut(BaseModel):
    """A fact that a consumer could not handle."""

    id: int
    consumer: str
    consumer_version: int
    sequence: int
    kind: str
    subject: str
    handler: str
    attempts: int
    error: str
    state: Literal["open", "replaying", "replayed", "discarded"]
    died_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    settled_because: str | None

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterOut:
        """Return the wire form of a dead letter."""
        return cls(
            id=letter.id,
            consumer=letter.consumer,
            consumer_version=letter.consumer_version,
            sequence=letter.sequence,
            kind=letter.kind,
            subject=letter.subject,
            handler=letter.handler,
            attempts=letter.attempts,
            error=letter.error,
            state=letter.state.value,
            died_at=letter.died_at,
            settled_at=letter.settled_at,
            settled_by=letter.settled_by,
            settled_because=letter.settled_because,
        )


class DeadLetters(PageOut):
    """Dead letters, the newest first."""

    items: list[DeadLetterOut]


class SettlementIn(BodyIn):
    """What shall become of a dead letter, and why."""

    settlement: operation.Settlement
    because: str = Field(min_length=1, max_length=500)


@router.get("", responses=refused_by(CursorIsInvalid))
def list_facts(
    read: Reads,
    wanted: Wanted,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Facts:
    """List facts in the order of the log; ask again with `next` and none is missed."""
    with read.database.reading() as connection:
        page = log.read_page(connection, wanted, cursor=cursor, limit=limit)
    return Facts(items=[FactOut.of(f) for f in page.items], next=page.next, has_more=page.has_more)


@router.get("/latest", responses=refused_by(CursorIsInvalid))
def list_latest_facts(
    read: Reads,
    wanted: Wanted,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> LatestFacts:
    """List facts, the newest first."""
    with read.database.reading() as connection:
        page = log.latest(connection, wanted, cursor=cursor, limit=limit)
    return page_out(LatestFacts, page, FactOut.of)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        **refused_by(CursorIsInvalid, refusals.TooManyFollowers),
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "events `fact` (data as in a page, id is the cursor behind it); "
            "`refusal` (a problem) before the server ends the stream",
        },
    },
)
async def follow_facts(
    request: Request,
    read: Reads,
    wanted: Wanted,
    cursor: Cursor = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> StreamingResponse:
    """Stream facts as they are committed (server-sent events); goes on behind `Last-Event-ID`."""
    feed = _feed(request, read)
    start = last or cursor
    await feed.admit(start)
    facts = feed.follow(wanted, cursor=start)
    return StreamingResponse(
        _events(facts, read.language),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _feed(request: Request, read: Read) -> Feed:
    """Return the feed of this process, made when somebody first follows."""
    state = request.app.state
    if getattr(state, "events_feed", None) is None:
        state.events_feed = Feed(read.database)
    feed: Feed = state.events_feed
    return feed


async def _events(facts: AsyncIterator[Followed | None], language: str) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    try:
        async for item in facts:
            if item is None:
                yield ": still here\n\n"
            else:
                text = FactOut.of(item.fact).model_dump_json()
                yield f"id: {item.cursor}\nevent: fact\ndata: {text}\n\n"
    except Refusal as refusal:
        problem = json.dumps(problem_of(refusal, language), ensure_ascii=False)
        yield f"event: refusal\ndata: {problem}\n\n"


@router.get("/consumers", responses=refused_by())
def list_consumers(read: Reads) -> Consumers:
    """List the consumers and their lag."""
    with read.database.reading() as connection:
        states = operation.consumer_states(connection)
    return Consumers(items=[ConsumerOut.of(state) for state in states])


@router.post(
    "/consumers/{name}/replay",
    response_model=ReplayOut,
    status_code=202,
    responses=refused_by(refusals.ConsumerNotFound, write=True),
)
def replay_consumer(
    name: Text, body: ReplayIn, write: Annotated[Write, writing("events.replay")]
) -> Response:
    """Have a consumer set back, so that it is given facts again."""

    def work(unit: UnitOfWork) -> ReplayOut:
        operation.replay(unit, name, body.version, from_sequence=body.from_sequence)
        return ReplayOut(name=name, version=body.version, from_sequence=body.from_sequence)

    return write.run(work, status=202)


@router.get("/dead-letters", responses=refused_by(CursorIsInvalid))
def list_dead_letters(
    read: Reads,
    consumer: Text | None = None,
    state: Annotated[list[LetterState] | None, Query(description="unsettled ones if none")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> DeadLetters:
    """List dead letters, the newest first."""
    with read.database.reading() as connection:
        page = operation.dead_letters(
            connection,
            consumer=consumer,
            states=tuple(state) if state else operation.UNSETTLED,
            cursor=cursor,
            limit=limit,
        )
    return page_out(DeadLetters, page, DeadLetterOut.of)


@router.post(
    "/dead-letters/{letter}/settlement",
    response_model=DeadLetterOut,
    responses=refused_by(refusals.DeadLetterNotFound, refusals.DeadLetterIsSettled, write=True),
)
def settle_dead_letter(
    letter: LetterId, body: SettlementIn, write: Annotated[Write, writing("events.settle")]
) -> Response:
    """Have a dead letter replayed, or discard it; a consumer that stopped at it goes on after."""

    def work(unit: UnitOfWork) -> DeadLetterOut:
        return DeadLetterOut.of(
            operation.settle_letter(unit, letter, body.settlement, because=body.because)
        )

    return write.run(work)
