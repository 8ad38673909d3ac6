"""The route by which channels tell what became of a payment or refund."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from steelyard.base.http import body_of, platform_of
from steelyard.base.http import refusals as refused_by
from steelyard.payments import notices_in

router = APIRouter(prefix="/v1/payments", tags=["payments"])

ChannelCode = Annotated[
    str,
    Path(examples=["uni"], pattern=r"^[a-z][a-z0-9_]{0,39}$", description="code of the channel"),
]


@router.post(
    "/channels/{code}/notices",
    responses=refused_by(
        notices_in.ChannelIsUnknown,
        notices_in.NoticeIsNotBelieved,
        notices_in.NoticeIsAboutNothing,
    ),
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "description": "as the channel writes it: JSON or a form, signed in headers or in it",
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {"id": "8f14e45f", "kind": "payment", "state": "succeeded"},
                },
                "application/x-www-form-urlencoded": {
                    "schema": {"type": "string"},
                    "example": "notify_id=2026&trade_status=TRADE_SUCCESS&sign_type=RSA2&sign=...",
                },
            },
        }
    },
)
def take_notice(
    code: ChannelCode, request: Request, body: Annotated[bytes, Depends(body_of)]
) -> Response:
    """Take the notice of a channel.

    Nobody signs in here: a notice is believed by the channel's signature alone. It is answered in
    the channel's own words once what follows from it is durable; anything else makes the channel
    send it again.
    """
    platform = platform_of(request)
    raw = notices_in.RawNotice(dict(request.headers), body)
    # Signatures are made with the machine's time, whatever the business clock says.
    now = datetime.now(UTC)
    taken = notices_in.take(platform.database, platform.channels, code, raw, now=now)
    return Response(taken.reply, media_type=taken.reply_type)
