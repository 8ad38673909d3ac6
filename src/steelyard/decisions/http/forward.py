"""The decision endpoint at a web worker: a bare ASGI route that forwards to the owner.

It stands in the routing table and in the schema like every other route, passes the same edge and
the same verifier, and answers refusals by the same handler; what it leaves out is the building of
models, dependencies and responses, which would cost more than the decision.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from steelyard.base.http import Caller, language_of, platform_of
from steelyard.decisions import asking
from steelyard.kernel import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SCENE = "^[a-z][a-z_]{0,39}$"
"""What the name of a scene looks like; nothing else is put into a request to the owner."""
_SCENE = re.compile(SCENE)
_KINDS = {kind.code: kind for kind in (*asking.QUESTION_REFUSALS, asking.OwnerIsAway)}
_ANSWER = msgspec.json.Decoder(asking.Answer)
_ENCODER = msgspec.json.Encoder()
_JSON = (b"content-type", b"application/json")


class ForwardedRoute(APIRoute):
    """A route that is described as others are, and answered without the framework."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """asking.Answer a question; another method is refused as everywhere."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        await forward(scope, receive, send)


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """Have the line to the owner for the life of the application."""
    line = asking.OwnerLine(app.state.platform.database)
    app.state.owner_line = line
    try:
        yield
    finally:
        line.close()


async def forward(scope: Scope, receive: Receive, send: Send) -> None:
    """asking.Answer one request with what the owner says.

    Refusals
    --------
    those of the verifier, not_entitled, those of a question, owner_is_away
    """
    request = Request(scope)
    body = await _read(receive)
    caller: Caller = await asyncio.to_thread(platform_of(request).verifier.verify, request, body)
    caller.require("decisions.ask")
    scene: str = scope["path_params"]["scene"]
    if not _SCENE.match(scene):
        raise asking.SceneIsUnknown(scene=scene[:40])
    if len(body) > asking.MAX_QUESTION:
        raise asking.QuestionIsTooLarge(most=asking.MAX_QUESTION)
    line: asking.OwnerLine = scope["app"].state.owner_line
    told = await line.ask(scene, body)
    if told.is_refusal:
        raise _refusal(told)
    answer = _said(told.body, language_of(request))
    length = (b"content-length", str(len(answer)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
    await send({"type": "http.response.body", "body": answer})


async def _read(receive: Receive) -> bytes:
    """Return the body, which the edge has bounded."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _refusal(told: asking.Told) -> Refusal:
    """Return the owner's refusal as one of ours, so that it is told as all of them are."""
    problem = told.problem("en")
    return _KINDS[problem["code"]](**problem["facts"])


def _said(body: bytes, language: str) -> bytes:
    """Return the owner's answer with what the customer is told of each reason."""
    answer = msgspec.structs.asdict(_ANSWER.decode(body))
    answer["texts"] = texts_of(answer["reasons"], language)
    return _ENCODER.encode(answer)


@lru_cache(4_096)
def texts_of(reasons: tuple[str, ...], language: str) -> tuple[str, ...]:
    """Return what a customer is told of reasons, in their order."""
    return tuple(asking.text_of(code, language) for code in reasons)
