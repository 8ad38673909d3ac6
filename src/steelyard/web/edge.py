"""The edge: what every request passes before a room sees it, as plain ASGI layers."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from types import FrameType
from typing import Any
from uuid import uuid4

from fastapi import Request

from steelyard.base.http import PROBLEM, STATUS, language_of, problem_of
from steelyard.base.telemetry import get_logger, log_context
from steelyard.base.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS
from steelyard.kernel import Refusal, RefusalKind

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

_SECURITY: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        b" connect-src 'self'; font-src 'self'; manifest-src 'self';"
        b" frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    # What may be kept says so itself (the files of the pages).
    (b"cache-control", b"no-store"),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class RequestIsTooLarge(Refusal):
    """The body is longer than this server reads."""

    kind = RefusalKind.TOO_LARGE
    en = "The request body is longer than {limit} bytes."
    zh = "请求体超过 {limit} 字节。"


class TooManyRequests(Refusal):
    """The caller asks more often than it may."""

    kind = RefusalKind.TOO_MANY
    en = "Too many requests; try again in {seconds} s."
    zh = "请求过于频繁，请在 {seconds} 秒后重试。"


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((v for k, v in scope["headers"] if k == name), None)


async def refuse(scope: Scope, send: Send, refusal: Refusal, extra: Headers = ()) -> None:
    """Answer with a problem from a layer under which no route is known yet."""
    problem = problem_of(refusal, language_of(Request(scope)))
    await _answer(scope, send, problem, STATUS[refusal.kind], extra)


async def _answer(
    scope: Scope, send: Send, problem: dict[str, object], status: int, extra: Headers = ()
) -> None:
    problem["instance"] = f"/requests/{scope.get('request_id', '')}"
    body = json.dumps(problem, ensure_ascii=False).encode()
    headers = [
        (b"content-type", PROBLEM.encode()),
        (b"content-length", str(len(body)).encode()),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class SecurityHeaders:
    """Adds the security headers and the request id to every answer."""

    def __init__(self, app: App, *, https: bool) -> None:
        self.app = app
        self.headers = (*_SECURITY, _HTTPS_ONLY) if https else _SECURITY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; headers that a route set itself stay."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id") or b""
        request_id = given if 0 < len(given) <= 64 and given.isalnum() else uuid4().hex.encode()
        scope["request_id"] = request_id.decode()

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((n, v) for n, v in self.headers if n not in present),
                    (b"x-request-id", request_id),
                ]
            await send(message)

        await self.app(scope, receive, with_headers)


class Telemetry:
    """Counts and times every request, names it in the log, and tells faults apart from refusals.

    A fault is logged with its trace and answered with a problem that holds nothing but the request
    id, by which the log line is found.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.log = get_logger("web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with log_context(request_id=scope["request_id"]):
            try:
                await self.app(scope, receive, noting)
            except Exception:
                self.log.exception("request_failed", path=scope["path"], method=scope["method"])
                if status:
                    raise
                await _answer(scope, noting, _fault(Request(scope)), 500)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "unknown")
        HTTP_REQUESTS.labels(method=method, route=route, status=str(status)).inc()
        HTTP_SECONDS.labels(method=method, route=route).observe(time.perf_counter() - began)


def _fault(request: Request) -> dict[str, object]:
    is_chinese = language_of(request) == "zh-CN"
    return {
        "type": "/problems/fault",
        "title": "平台内部故障，已记录。"
        if is_chinese
        else "A fault of the platform; it was noted.",
        "status": 500,
        "code": "fault",
        "facts": {},
    }


class Draining:
    """Ends server-sent events when the server is told to stop, so that it need not cut them.

    To the route it looks as if the browser had gone. Other answers are left to finish.
    """

    def __init__(self, app: App, *, stop: asyncio.Event) -> None:
        self.app = app
        self.stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and end it in order if it is still being answered at the stop."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_body_read = is_begun = is_whole = False

        async def receive_or_stop() -> Message:
            nonlocal is_body_read
            if is_body_read:
                # The body is there: who asks again waits for the browser to go.
                return await self._first_of(receive)
            message = await receive()
            is_body_read = not message.get("more_body", False)
            return message

        async def noting(message: Message) -> None:
            nonlocal is_begun, is_whole
            is_begun = True
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        await self.app(scope, receive_or_stop, noting)
        if is_begun and not is_whole and self.stop.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _first_of(self, receive: Receive) -> Message:
        heard = asyncio.ensure_future(receive())
        stopped = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait((heard, stopped), return_when=asyncio.FIRST_COMPLETED)
            return heard.result() if heard.done() else {"type": "http.disconnect"}
        finally:
            heard.cancel()
            stopped.cancel()


@contextmanager
def heeding_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` when the process is told to stop, before whoever was listening already hears it.

    A server waits for its open connections before it tells the application anything.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def heard(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)
        listener = before[signal.Signals(number)]
        assert callable(listener)
        listener(number, frame)

    listening = [number for number, listener in before.items() if callable(listener)]
    for number in listening:
        signal.signal(number, heard)
    try:
        yield
    finally:
        for number in listening:
            signal.signal(number, before[number])


class SizeLimit:
    """Refuses a body longer than a limit, whether it was announced or not."""

    def __init__(self, app: App, *, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received, and answer 413 in place of the application when it is too much.

        The body is read here, whole: it is at most `limit` bytes, and every route wants all of it.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = _header(scope, b"content-length") or b"0"
        if announced.isdigit() and int(announced) > self.limit:
            await refuse(scope, send, RequestIsTooLarge(limit=self.limit))
            return
        if announced == b"0" and _header(scope, b"transfer-encoding") is None:
            await self.app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self.limit:
                await refuse(scope, send, RequestIsTooLarge(limit=self.limit))
                return
            more = message.get("more_body", False)
        whole: Message | None = {"type": "http.request", "body": b"".join(chunks)}

        async def once() -> Message:
            nonlocal whole
            if whole is not None:
                message, whole = whole, None
                return message
            return await receive()

        await self.app(scope, once, send)


class RateLimit:
    """A token bucket per caller and process: `rate` requests a second, bursts up to `burst`.

    The caller is told apart by the key or session that the request shows, else by address. Nothing
    is verified here, so the first request with a credential takes a token of its address too: who
    shows a new one with every request is held by the address. Buckets that are full again are
    forgotten; beyond `callers` of them, new credentials count as their address.
    """

    def __init__(
        self,
        app: App,
        *,
        rate: float,
        burst: int,
        callers: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.rate = rate
        self.burst = burst
        self.callers = callers
        self.now = now
        self.buckets: dict[bytes, tuple[float, float]] = {}
        self._forgot_at = now()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a token or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        shown = _header(scope, b"x-steelyard-key") or _header(scope, b"authorization")
        client = scope.get("client") or ("local", 0)
        wait = self.take(str(client[0]).encode(), shown and shown[:80])
        if wait > 0:
            seconds = math.ceil(wait)
            retry = ((b"retry-after", str(seconds).encode()),)
            await refuse(scope, send, TooManyRequests(seconds=seconds), retry)
            return
        await self.app(scope, receive, send)

    def take(self, address: bytes, credential: bytes | None = None) -> float:
        """Return 0 and take a token, or return the seconds until there is one."""
        if credential is None:
            return self._take(address)
        if credential in self.buckets:
            return self._take(credential)
        wait = self._take(address)
        if wait > 0 or not self._has_room():
            return wait
        return self._take(credential)

    def _take(self, caller: bytes) -> float:
        now = self.now()
        tokens, since = self.buckets.get(caller, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) * self.rate)
        if tokens < 1:
            self.buckets[caller] = (tokens, now)
            return (1 - tokens) / self.rate
        self.buckets[caller] = (tokens - 1, now)
        return 0.0

    def _has_room(self) -> bool:
        """Whether one more bucket may be kept, after full ones were forgotten."""
        if len(self.buckets) < self.callers:
            return True
        now, full = self.now(), self.burst / self.rate
        if now - self._forgot_at >= min(full, 1.0):
            self._forgot_at = now
            self.buckets = {k: b for k, b in self.buckets.items() if now - b[1] < full}
        return len(self.buckets) < self.callers
