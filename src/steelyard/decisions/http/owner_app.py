"""The owner's own door: a bare ASGI application that other processes of the platform ask.

`POST /v1/decisions/{scene}` with the owner's ticket. It is not for people: callers are known and
entitled where they come in, at the web workers, which forward the body as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from typing import Any

import msgspec

from steelyard.base.http import STATUS, problem_of
from steelyard.decisions import asking, deciding
from steelyard.kernel import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/v1/decisions/"
BATCHES = "/v1/batches/"
STATE = "/v1/state"
"""Tells up to where the owner has folded, and the digest of its state: a proof that takes long."""
TICKET = b"x-steelyard-ticket"
MAX_BATCH_BODY = 8 * 1024 * 1024
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")
_ENCODER = msgspec.json.Encoder()


class _Batch(msgspec.Struct, frozen=True):
    now_ms: int
    questions: list[msgspec.Raw]


_BATCH = msgspec.json.Decoder(_Batch)


class OwnerApp:
    """Asks the owner what a request asks.

    Parameters
    ----------
    owner : of the shard
    ticket : what a request shows
    now_ms : the business clock
    gone : called when another process has taken the shard over
    """

    def __init__(
        self,
        owner: deciding.Owner,
        *,
        ticket: str,
        now_ms: Callable[[], int],
        gone: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._ticket = ticket.encode()
        self._now_ms = now_ms
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """asking.Answer one request, or take part in the server's life."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        path: str = scope["path"]
        shown = next((value for name, value in scope["headers"] if name == TICKET), b"")
        if not compare_digest(shown, self._ticket):
            await _respond(send, 401, b"", _JSON)
        elif scope["method"] == "POST" and path.startswith(BATCHES):
            await self._answer_all(path.removeprefix(BATCHES), receive, send)
        elif scope["method"] == "POST" and path.startswith(PREFIX):
            await self._answer(path.removeprefix(PREFIX), receive, send)
        elif scope["method"] == "GET" and path == STATE:
            state = self._owner.engine.state
            told = {"folded_to": state.sequence, "digest": state.digest, "epoch": self._owner.epoch}
            await _respond(send, 200, _ENCODER.encode(told), _JSON)
        else:
            await _respond(send, 404, b"", _JSON)

    async def _answer(self, scene: str, receive: Receive, send: Send) -> None:
        try:
            body = await _read(receive, most=asking.MAX_QUESTION)
            decision = await self._owner.ask(scene, body, now_ms=self._now_ms())
        except Refusal as refusal:
            await _refuse(send, refusal)
        except deciding.TenureIsOver:
            await _refuse(send, asking.OwnerIsAway())
            self._gone()
        else:
            await _respond(send, 200, _ENCODER.encode(asking.Answer.of(decision)), _JSON)

    async def _answer_all(self, scene: str, receive: Receive, send: Send) -> None:
        """asking.Answer the questions of a batch, whose body is a list of them and the instant."""
        try:
            batch = _BATCH.decode(await _read(receive, most=MAX_BATCH_BODY))
            decisions = await self._owner.ask_all(
                scene, [bytes(one) for one in batch.questions], now_ms=batch.now_ms
            )
        except Refusal as refusal:
            await _refuse(send, refusal)
        except deciding.TenureIsOver:
            await _refuse(send, asking.OwnerIsAway())
            self._gone()
        else:
            await _respond(
                send, 200, _ENCODER.encode([asking.Answer.of(d) for d in decisions]), _JSON
            )


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _read(receive: Receive, *, most: int) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > most:
            raise asking.QuestionIsTooLarge(most=most)
        if not message.get("more_body"):
            return body


async def _refuse(send: Send, refusal: Refusal) -> None:
    problem = {
        **problem_of(refusal, "en"),
        "sentences": {"en": refusal.sentence("en"), "zh-CN": refusal.sentence("zh-CN")},
    }
    await _respond(send, STATUS[refusal.kind], _ENCODER.encode(problem), _PROBLEM)


async def _respond(send: Send, status: int, body: bytes, kind: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [kind, length]})
    await send({"type": "http.response.body", "body": body})
