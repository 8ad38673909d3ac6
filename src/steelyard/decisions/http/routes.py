"""Routes: asking for a decision, and looking at those that were made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from steelyard.base.http import Cursor, Limit, PageOut, Read, page_out, reading
from steelyard.base.http import refusals as refused_by
from steelyard.decisions import asking, records
from steelyard.decisions.http.forward import SCENE, ForwardedRoute, connected, texts_of
from steelyard.kernel import CursorIsInvalid

router = APIRouter(prefix="/v1/decisions", tags=["decisions"])
ask_router = APIRouter(prefix="/v1/decisions", tags=["decisions"], lifespan=connected)
"""The one hot route. It is mounted before all others: a table of routes is walked in its order,
and walking past a hundred of them costs twice what forwarding a question does."""

Reads = Annotated[Read, reading("decisions.read")]
Asks = Annotated[Read, reading("decisions.ask")]
Scene = Annotated[str, Path(pattern=SCENE, description="scene", examples=["payment"])]
Word = Annotated[str, Query(max_length=200)]

_QUESTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["id", "at_ms", "fields"],
                    "additionalProperties": False,
                    "properties": {
                        "id": {"type": "string", "minLength": 1, "maxLength": 200},
                        "at_ms": {"type": "integer", "minimum": 0},
                        "fields": {"type": "object", "additionalProperties": True},
                    },
                },
                "example": {
                    "id": "payment-7",
                    "at_ms": 1772442000000,
                    "fields": {
                        "customer": "c7",
                        "card": "k7",
                        "terminal": "t3",
                        "amount_minor": 12800,
                        "currency": "CNY",
                    },
                },
            }
        },
    }
}


class AnswerOut(BaseModel):
    """What was decided."""

    id: UUID = Field(description="of the decision: its trace is found by it")
    scene: str
    outcome: str = Field(description="approve, limit, step_up, hold, review or decline")
    score: int | None = Field(description="0 harmless to 1000")
    reasons: list[str] = Field(description="stable codes, most weighty first")
    texts: list[str] = Field(description="what a customer is told of each, as Accept-Language asks")
    limit_minor: int | None
    policy: str = Field(description="`policy.<name>@<version>`")
    degraded: str = Field(description="why not everything was asked; empty if it was")
    expires_at_ms: int = Field(description="until when a movement may consume it")


class DecisionOut(AnswerOut):
    """A decision with everything that it was made of."""

    number: int = Field(description="place in the chain")
    written_at: datetime
    subject: str
    event: dict[str, Any] = Field(description="id, at_ms and fields as they were asked")
    sequence: int = Field(description="place in the order of folding")
    values: dict[str, Any] = Field(description="features by name; null is missing")
    flags: dict[str, Any]
    versions: dict[str, str]
    trace: list[Any]
    hash: str

    @classmethod
    def of(cls, line: records.Line, language: str) -> DecisionOut:
        """Return the wire form of a line of the log, its reasons told in a language."""
        it = line.decision
        return cls(
            id=it.id,
            scene=it.asked.scene,
            outcome=it.outcome,
            score=it.score,
            reasons=list(it.reasons),
            texts=list(texts_of(it.reasons, language)),
            limit_minor=it.limit_minor,
            policy=it.cause,
            degraded=it.degraded,
            expires_at_ms=it.expires_at_ms,
            number=line.number,
            written_at=line.written_at,
            subject=it.subject,
            event={"id": it.asked.id, "at_ms": it.asked.at_ms, "fields": it.asked.fields},
            sequence=it.sequence,
            values=it.values,
            flags=it.flags,
            versions=it.versions,
            trace=list(it.trace),
            hash=line.hash.hex(),
        )


class DecisionPage(PageOut):
    """Decisions, the newest first."""

    items: list[DecisionOut]


class ChainOut(BaseModel):
    """What reading the chain of decisions found."""

    decisions: int
    head: str
    first_bad: int | None


def ask(scene: Scene, read: Asks) -> AnswerOut:
    """Decide on an event, durably; asked again with the same event, the answer is the same."""
    raise AssertionError("a forwarded route is answered before it comes to this")


ask_router.add_api_route(
    "/{scene}",
    ask,
    methods=["POST"],
    route_class_override=ForwardedRoute,
    responses=refused_by(*asking.QUESTION_REFUSALS, asking.OwnerIsAway),
    openapi_extra=_QUESTION,
)


@router.get("", response_model=DecisionPage, responses=refused_by(CursorIsInvalid))
def list_decisions(  # noqa: PLR0917  (query parameters)
    read: Reads,
    scene: Word | None = None,
    outcome: Word | None = None,
    subject: Word | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DecisionPage:
    """List the newest decisions, or the newest of those that fit."""
    with read.database.reading() as connection:
        page = records.newest_decisions(
            connection, scene=scene, outcome=outcome, subject=subject, cursor=cursor, limit=limit
        )
    return page_out(DecisionPage, page, lambda line: DecisionOut.of(line, read.language))


@router.get("/chain", response_model=ChainOut, responses=refused_by())
def read_chain(read: Reads) -> ChainOut:
    """Compute every hash of the chain again."""
    with read.database.reading() as connection:
        found = records.verify_log(connection)
    return ChainOut(decisions=found.decisions, head=found.head.hex(), first_bad=found.first_bad)


@router.get("/{id}", response_model=DecisionOut, responses=refused_by(records.DecisionIsUnknown))
def read_one(id: UUID, read: Reads) -> DecisionOut:
    """Show a decision with all that it was made of."""
    with read.database.reading() as connection:
        return DecisionOut.of(records.read_decision(connection, id), read.language)
