"""The custodian over HTTP: signed requests and answers, and unsigned levers for the simulation."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any

from fastapi import FastAPI, Request, Response

from steelyard.base.lifeline import stop_with_parent
from steelyard.simulation.custodian.desk import Desk, Wish
from steelyard.simulation.custodian.script import Behaviour, Rule, Script

SKEW_SECONDS = 300.0
_MOST_NONCES = 100_000


class Seal:
    """The shared secret, and the nonces that were used with it."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._used: dict[str, None] = {}

    def sign(self, *parts: str | bytes) -> str:
        """Return the signature over parts, each on a line of its own."""
        lines = (part.encode() if isinstance(part, str) else part for part in parts)
        return hmac.new(self._secret, b"\n".join(lines), hashlib.sha256).hexdigest()

    def fits(self, request: Request, body: bytes, now: float) -> bool:
        """Return whether a request is signed, fresh and new."""
        told = request.headers
        at, nonce = told.get("x-custodian-time", ""), told.get("x-custodian-nonce", "")
        try:
            age = abs(now - datetime.fromisoformat(at).timestamp())
        except ValueError:
            return False
        wanted = self.sign(request.method, request.url.path, at, nonce, body)
        if not hmac.compare_digest(wanted, told.get("x-custodian-signature", "")):
            return False
        if age > SKEW_SECONDS or not nonce or nonce in self._used:
            return False
        self._used[nonce] = None
        if len(self._used) > _MOST_NONCES:
            del self._used[next(iter(self._used))]
        return True


class Counter:
    """Answers requests as the script says."""

    def __init__(self, desk: Desk, seal: Seal, script: Script, *, wall: Any) -> None:
        self.desk, self.seal, self.script, self._wall = desk, seal, script, wall

    async def allowed(self, request: Request) -> bytes | None:
        """Return the body of a request that is signed; None of any other."""
        body = await request.body()
        return body if self.seal.fits(request, body, self._wall()) else None

    def reply(self, request: Request, content: bytes, rule: Rule, media: str) -> Response:
        """Return a signed answer, as a rule says."""
        if rule.behaviour is Behaviour.BREAK:
            return Response("out of order", 500)
        if rule.behaviour is Behaviour.GARBLE:
            content, media = b"<html>maintenance</html>", "text/html"
        nonce = request.headers.get("x-custodian-nonce", "")
        signature = self.seal.sign(nonce, content)
        if rule.behaviour is Behaviour.FORGE:
            signature = "0" * 64
        return Response(content, 200, {"X-Custodian-Signature": signature}, media_type=media)

    def pay(self, wish: Wish, rule: Rule) -> dict[str, Any]:
        """Take a payout as a rule says."""
        if rule.behaviour is Behaviour.FAIL:
            return self.desk.fail(wish, "account_is_closed")
        if rule.behaviour is Behaviour.LIE:
            told = self.desk.fail(wish, "not_done")
            return {**told, "state": "paid", "executed_on": self.desk.today().isoformat()}
        returns = rule.seconds if rule.behaviour is Behaviour.RETURN else None
        waits = rule.seconds if rule.behaviour is Behaviour.PENDING else 0.0
        return _said(self.desk.pay(wish, pays_after=waits, returns_after=returns), rule)


def _said(told: dict[str, Any], rule: Rule) -> dict[str, Any]:
    if rule.behaviour is Behaviour.OTHER_AMOUNT and "amount_minor" in told:
        return {**told, "amount_minor": told["amount_minor"] + 1}
    return told


_BEFORE = {Behaviour.REJECT: 503, Behaviour.LOSE: 504}


def create_custodian(
    path: str = ":memory:", *, secret: str = "custodian", desk: Desk | None = None, wall: Any = None
) -> FastAPI:
    """Return the custodian as an application that remembers in a file, or in memory.

    Parameters
    ----------
    secret : shared with the institution
    wall : tells the real time against which signatures are checked, seconds since 1970
    """
    import time

    counter = Counter(desk or Desk(path), Seal(secret), Script(), wall=wall or time.time)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop_with_parent()
        yield

    app = FastAPI(title="Simulated custodian", docs_url=None, lifespan=lifespan)
    _signed_routes(app, counter)
    _levers(app, counter)
    return app


def _signed_routes(app: FastAPI, counter: Counter) -> None:
    @app.post("/v1/payouts")
    async def pay(request: Request) -> Response:
        body = await counter.allowed(request)
        if body is None:
            return Response("not signed", 401)
        rule = counter.script.take("pay")
        if rule.behaviour in _BEFORE:
            return Response("busy", _BEFORE[rule.behaviour])
        told = json.loads(body)
        wish = Wish(
            told["number"],
            told["account"],
            told["amount_minor"],
            told["currency"],
            told["payee"],
            told["holder"],
        )
        answer = json.dumps(counter.pay(wish, rule)).encode()
        return counter.reply(request, answer, rule, "application/json")

    @app.get("/v1/payouts/{number}")
    async def query(number: str, request: Request) -> Response:
        if await counter.allowed(request) is None:
            return Response("not signed", 401)
        rule = counter.script.take("query")
        if rule.behaviour in _BEFORE:
            return Response("busy", _BEFORE[rule.behaviour])
        answer = json.dumps(_said(counter.desk.query(number), rule)).encode()
        return counter.reply(request, answer, rule, "application/json")

    @app.get("/v1/accounts/{account}/statements/{on}")
    async def statement(account: str, on: date, request: Request) -> Response:
        if await counter.allowed(request) is None:
            return Response("not signed", 401)
        rule = counter.script.take("statement")
        if rule.behaviour in _BEFORE:
            return Response("busy", _BEFORE[rule.behaviour])
        off = rule.cents if rule.behaviour is Behaviour.MISSTATE else 0
        content = counter.desk.statement(account, on, closing_off=off)
        if content is None:
            return Response("there is none yet", 404)
        return counter.reply(request, content, rule, "text/csv")


def _levers(app: FastAPI, counter: Counter) -> None:
    """Add what a simulation moves by hand: script, clock, accounts, what others pay in."""

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"healthy": True}

    @app.post("/script")
    async def add(request: Request) -> dict[str, int]:
        counter.script.rules += [Rule.of(one) for one in await request.json()]
        return {"rules": len(counter.script.rules)}

    @app.delete("/script")
    async def forget() -> dict[str, int]:
        counter.script.rules.clear()
        return {"rules": 0}

    @app.post("/clock")
    async def set_clock(request: Request) -> dict[str, str]:
        told = await request.json()
        counter.desk.set_clock(
            datetime.fromisoformat(told["at"]).timestamp(), float(told.get("speed", 0))
        )
        return {"on": counter.desk.today().isoformat()}

    @app.post("/accounts")
    async def open_account(request: Request) -> dict[str, int]:
        told = await request.json()
        counter.desk.open(told["no"], told["currency"], int(told.get("balance_minor", 0)))
        return {"balance_minor": counter.desk.balance(told["no"])}

    @app.post("/movements")
    async def move(request: Request) -> dict[str, Any]:
        told = await request.json()
        done = counter.desk.move(
            told["account"],
            told.get("kind", "deposit"),
            int(told["amount_minor"]),
            reference=told["reference"],
            our_number=told.get("our_number", ""),
            counterparty=told.get("counterparty", ""),
        )
        return {"is_new": done, "balance_minor": counter.desk.balance(told["account"])}

    @app.post("/returns")
    async def send_back(request: Request) -> dict[str, bool]:
        told = await request.json()
        return {"is_done": counter.desk.send_back(told["number"])}

    @app.get("/accounts/{no}")
    async def balance(no: str) -> dict[str, int]:
        return {"balance_minor": counter.desk.balance(no)}
