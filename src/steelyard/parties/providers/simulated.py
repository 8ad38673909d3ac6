"""A simulated identity provider, as a process of its own: `python -m ... --port 8600`.

It knows no real person. It answers by plain rules, and misbehaves when told to: by a script
(`POST /script`) or by values made for it (`MAGIC`), so that everything that can go wrong with a
provider can be tried. Nothing is kept but in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from steelyard.base.lifeline import stop_with_parent
from steelyard.parties.model.identity import Finding, Step
from steelyard.parties.model.personal import is_resident_number

MISMATCH = "不符"
STRANGER = b"stranger"


class Behaviour(StrEnum):
    """How the provider treats one request."""

    ANSWER = "answer"
    """By its rules; with `delay_ms`, late."""
    PASS = "pass"
    FAIL = "fail"
    LOSE = "lose"
    """Takes no notice of it and never answers: asked later, it knows of no such request."""
    HANG = "hang"
    """Does the work and never answers: asked later, it knows what it found."""
    REJECT = "reject"
    """Answers 503 before the work."""
    BREAK = "break"
    """Answers 500 after the work."""
    GARBLE = "garble"
    """Does the work and answers nonsense."""
    LIE = "lie"
    """Answers the opposite of what it wrote down, and tells the truth when asked later."""
    CONFUSE = "confuse"
    """Answers about another request."""


MAGIC = {
    "1": Behaviour.FAIL,
    "2": Behaviour.HANG,
    "3": Behaviour.LOSE,
    "4": Behaviour.REJECT,
    "5": Behaviour.BREAK,
    "6": Behaviour.GARBLE,
    "7": Behaviour.LIE,
}
"""By the last digit of a phone number that ends in 00000n, or of an identity number of somebody
born on 1 January 1900 whose sequence number is 00n."""


class Rule(BaseModel):
    """One line of a script: the first one that fits a request is used."""

    step: Annotated[Step | None, Field(description="null fits every step")] = None
    behaviour: Behaviour = Behaviour.ANSWER
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    times: Annotated[int | None, Field(ge=1, description="null: until it is cleared")] = 1


class Asked(BaseModel):
    """A request of any step; each step reads what it needs."""

    request: str
    id_number: str = ""
    name: str = ""
    phone: str = ""
    sent: str = ""
    code: str = ""
    portrait: str = ""


@dataclass(slots=True)
class Desk:
    """What the provider remembers."""

    found: dict[str, dict[str, str]] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    script: list[Rule] = field(default_factory=list)

    def rule_for(self, step: Step, asked: Asked) -> Rule:
        """Return the rule that a request falls under, and use it up."""
        for rule in self.script:
            if rule.step in (None, step):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self.script.remove(rule)
                return rule
        return Rule(behaviour=_magic(asked), times=None)

    def work(self, step: Step, asked: Asked, forced: Finding | None) -> dict[str, str]:
        """Do what is asked, once for each request, and return what was found."""
        if asked.request not in self.found:
            finding, reason = self._judge(step, asked)
            if forced is not None:
                finding, reason = forced, "scripted"
            self.found[asked.request] = {
                "request": asked.request,
                "finding": finding,
                "reason": reason,
                "reference": f"S{len(self.found) + 1}",
            }
        return self.found[asked.request]

    def _judge(self, step: Step, asked: Asked) -> tuple[Finding, str]:
        if step is Step.PHONE_CODE:
            code = f"{secrets.randbelow(1_000_000):06d}"
            self.codes[asked.request] = (asked.phone, code)
            return Finding.PASSED, "sent"
        if step is Step.PHONE:
            _, code = self.codes.get(asked.sent, ("", ""))
            return _found(bool(code) and code == asked.code, "wrong_code")
        if step is Step.NUMBER:
            return _found(is_resident_number(asked.id_number), "no_such_number")
        if step is Step.NAME:
            return _found(MISMATCH not in asked.name, "name_mismatch")
        try:
            portrait = base64.b64decode(asked.portrait, validate=True)
        except binascii.Error:
            portrait = b""
        same = bool(portrait) and not portrait.startswith(STRANGER)
        return _found(same, "face_mismatch")


def _found(passed: object, reason: str) -> tuple[Finding, str]:
    return (Finding.PASSED, "matched") if passed else (Finding.FAILED, reason)


def _magic(asked: Asked) -> Behaviour:
    if asked.phone[-6:-1] == "00000":
        return MAGIC.get(asked.phone[-1], Behaviour.ANSWER)
    if asked.id_number[6:16] == "1900010100":
        return MAGIC.get(asked.id_number[16], Behaviour.ANSWER)
    return Behaviour.ANSWER


_FORCED = {Behaviour.PASS: Finding.PASSED, Behaviour.FAIL: Finding.FAILED}
_OPPOSITE = {Finding.PASSED.value: Finding.FAILED.value, Finding.FAILED.value: Finding.PASSED.value}


async def _until_gone(request: Request) -> None:
    """Wait until the caller hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer(desk: Desk, step: Step, asked: Asked, request: Request) -> Response:
    rule = desk.rule_for(step, asked)
    if rule.behaviour is Behaviour.REJECT:
        return Response("busy", 503)
    if rule.behaviour is Behaviour.LOSE:
        await _until_gone(request)
        return Response(status_code=499)
    found = desk.work(step, asked, _FORCED.get(rule.behaviour))
    if rule.delay_ms:
        await asyncio.sleep(rule.delay_ms / 1000)
    if rule.behaviour is Behaviour.HANG:
        await _until_gone(request)
        return Response(status_code=499)
    if rule.behaviour is Behaviour.BREAK:
        return Response("out of order", 500)
    if rule.behaviour is Behaviour.GARBLE:
        return Response('{"request": ', 200, media_type="application/json")
    if rule.behaviour is Behaviour.LIE:
        return JSONResponse({**found, "finding": _OPPOSITE[found["finding"]]})
    if rule.behaviour is Behaviour.CONFUSE:
        return JSONResponse({**found, "request": "00000000-0000-0000-0000-000000000000"})
    return JSONResponse(found)


def create_provider() -> FastAPI:
    """Return the provider as an application with an empty desk."""
    desk = Desk()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stop_with_parent()
        yield

    app = FastAPI(title="Simulated identity provider", docs_url=None, lifespan=lifespan)

    @app.post("/v1/{step}")
    async def ask(step: Step, asked: Asked, request: Request) -> Response:
        return await _answer(desk, step, asked, request)

    @app.get("/v1/requests/{number}")
    async def what_became_of(number: str) -> dict[str, str]:
        unknown = {"request": number, "finding": Finding.NOT_RECEIVED.value, "reason": "no_such"}
        return desk.found.get(number, unknown)

    @app.post("/script")
    async def follow(rules: list[Rule]) -> dict[str, int]:
        desk.script.extend(rules)
        return {"rules": len(desk.script)}

    @app.delete("/script")
    async def forget_script() -> dict[str, int]:
        desk.script.clear()
        return {"rules": 0}

    @app.get("/outbox")
    async def outbox(phone: Annotated[str, Query()]) -> list[dict[str, str]]:
        return [
            {"request": number, "code": code}
            for number, (to, code) in desk.codes.items()
            if to == phone
        ]

    return app


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone; the address is printed when it can."""
    parser = argparse.ArgumentParser(description="a simulated identity provider")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    chosen: Any = parser.parse_args()
    listening = socket.create_server((chosen.host, chosen.port))
    # Callers that come before the loop runs wait in the socket's queue.
    print(f"http://{chosen.host}:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        create_provider(), log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
