"""How a simulated service follows a script of misbehaviour; knows nothing of what it serves."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from steelyard.base.lifeline import stop_with_parent

Work = Callable[[], dict[str, Any]]
SOMEBODY = "00000000-0000-0000-0000-000000000000"


class Behaviour(StrEnum):
    """How a service treats one request."""

    ANSWER = "answer"
    """By its rules; with `delay_ms`, late."""
    LOSE = "lose"
    """Takes no notice of it and never answers: asked later, it knows of no such request."""
    HANG = "hang"
    """Does the work and never answers: asked later, it knows."""
    REJECT = "reject"
    """Answers 503 before the work."""
    BREAK = "break"
    """Answers 500 after the work."""
    GARBLE = "garble"
    """Does the work and answers nonsense."""
    LIE = "lie"
    """Answers something else than it wrote down, and tells the truth when asked later."""
    CONFUSE = "confuse"
    """Answers about another request."""


class Rule(BaseModel):
    """One line of a script: the first one that fits a request is used."""

    verb: Annotated[str | None, Field(description="null fits every verb")] = None
    behaviour: Behaviour = Behaviour.ANSWER
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    times: Annotated[int | None, Field(ge=1, description="null: until it is cleared")] = 1
    force: Annotated[str | None, Field(description="what it finds, whatever its rules say")] = None


@dataclass(slots=True)
class Script:
    """The rules that are left."""

    rules: list[Rule] = field(default_factory=list)

    def take(self, verb: str) -> Rule:
        """Return the rule that a request falls under, and use it up."""
        for rule in self.rules:
            if rule.verb in (None, verb):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self.rules.remove(rule)
                return rule
        return Rule(times=None)


async def _until_gone(request: Request) -> Response:
    """Wait until the caller hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=499)


async def follow(
    rule: Rule, request: Request, work: Work, lie: Callable[[dict[str, Any]], dict[str, Any]]
) -> Response:
    """Do the work and answer as a rule says."""
    if rule.behaviour is Behaviour.REJECT:
        return Response("busy", 503)
    if rule.behaviour is Behaviour.LOSE:
        return await _until_gone(request)
    done = work()
    if rule.delay_ms:
        await asyncio.sleep(rule.delay_ms / 1000)
    if rule.behaviour is Behaviour.HANG:
        return await _until_gone(request)
    if rule.behaviour is Behaviour.BREAK:
        return Response("out of order", 500)
    if rule.behaviour is Behaviour.GARBLE:
        return Response('{"request": ', 200, media_type="application/json")
    if rule.behaviour is Behaviour.LIE:
        return JSONResponse(lie(done))
    if rule.behaviour is Behaviour.CONFUSE:
        return JSONResponse({**done, "request": SOMEBODY})
    return JSONResponse(done)


def scripted(title: str, script: Script) -> FastAPI:
    """Return an application with the two routes by which a script is given and forgotten."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stop_with_parent()
        yield

    app = FastAPI(title=title, docs_url=None, lifespan=lifespan)

    @app.post("/script")
    async def add(rules: list[Rule]) -> dict[str, int]:
        script.rules.extend(rules)
        return {"rules": len(script.rules)}

    @app.delete("/script")
    async def forget() -> dict[str, int]:
        script.rules.clear()
        return {"rules": 0}

    return app


def serve(what: str, create: Callable[[str], FastAPI]) -> None:
    """Serve until SIGTERM, or until the supervisor is gone; the address is printed when it can."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--store", type=Path, help="file that it remembers in; none: memory")
    chosen: Any = parser.parse_args()
    listening = socket.create_server((chosen.host, chosen.port))
    app = create(":memory:" if chosen.store is None else str(chosen.store))
    # Callers that come before the loop runs wait in the socket's queue.
    print(f"http://{chosen.host}:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
