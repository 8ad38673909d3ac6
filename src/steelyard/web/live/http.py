"""The routes of the live page."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from steelyard.base.http import platform_of, refusals
from steelyard.ledger import refusals as ledger_refusals
from steelyard.web.live.feed import Feed, LiveIsUnreadable, TooManyWatchers
from steelyard.web.live.wire import MovementDetailOut, MovementsOut, SummaryOut

VERB = "live.read"


def may_watch(request: Request) -> Feed:
    """Return the feed; in production the caller needs the entitlement `live.read`.

    Refusals
    --------
    not_signed_in, not_entitled
    """
    platform = platform_of(request)
    if platform.settings.in_production:
        platform.verifier.verify(request, b"").require(VERB)
    feed: Feed = request.app.state.live
    return feed


router = APIRouter(prefix="/v1/live", tags=["live"])
Watched = Annotated[Feed, Depends(may_watch)]


@router.get("/summary", summary="The platform now 当前概况", responses=refusals(LiveIsUnreadable))
async def summary(feed: Watched) -> SummaryOut:
    """Return rates, trial balance, consumer lag, business clock and counts.

    Rates are per second of real time. They are counted by the process that answers, from when it
    began; what it did not observe is null and never taken for zero.
    """
    return await feed.summary()


@router.get(
    "/movements",
    summary="The last 20 movements of all books 最近 20 笔资金变动",
    responses=refusals(LiveIsUnreadable),
)
async def movements(feed: Watched) -> MovementsOut:
    """Return the last movements, the newest first."""
    return await feed.movements()


@router.get(
    "/movements/{book}/{id}",
    summary="One movement with its entries 单笔变动及其分录",
    responses=refusals(ledger_refusals.BookNotFound, ledger_refusals.OriginalNotFound),
)
def movement(
    feed: Watched,
    book: Annotated[str, Path(examples=["client"])],
    id: Annotated[UUID, Path(examples=["0195556e-7a00-7cc3-98c4-dc0c0c07398f"])],
) -> MovementDetailOut:
    """Return both entries with the balances after them, linked movements, and its events."""
    return feed.source.movement(book, id)


@router.get(
    "/stream",
    summary="Server-sent events of the live page 实时事件流",
    response_class=StreamingResponse,
    responses={
        **refusals(TooManyWatchers),
        200: {
            "description": "`snapshot` first, then `summary` each second and `movements` when"
            " there are new ones; `unreadable` while the database is away; `beat` in silence.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: WyJ7fSJd\nevent: movements\ndata: {"items": []}\n\n',
                }
            },
        },
    },
)
async def stream(
    feed: Watched,
    after: Annotated[
        str | None, Query(description="the same as Last-Event-ID, for a connection made anew")
    ] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> StreamingResponse:
    """Stream the live page; a browser that connects again gets what it missed."""
    return StreamingResponse(
        feed.stream(last_event_id or after),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )
