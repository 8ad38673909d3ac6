"""The edge: what every request passes before a room sees it, as plain ASGI layers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from steelyard.base.http import PROBLEM, STATUS, problem_of
from steelyard.kernel import Refusal, RefusalKind

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
        b" frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
)
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


async def refuse(
    scope: Scope, send: Send, refusal: Refusal, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with a problem from a layer that has no request object."""
    accepted = (_header(scope, b"accept-language") or b"").lower()
    language = "zh-CN" if accepted.startswith(b"zh") else "en"
    body = json.dumps(problem_of(refusal, language), ensure_ascii=False).encode()
    headers = [
        (b"content-type", PROBLEM.encode()),
        (b"content-length", str(len(body)).encode()),
        *extra,
    ]
    status = STATUS[refusal.kind]
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

    The caller is told apart by key or session if the request shows one, else by address. Buckets
    that are full again are forgotten, so memory is bounded by the callers of the last moments.
    """

    def __init__(
        self,
        app: App,
        *,
        rate: float,
        burst: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.rate = rate
        self.burst = burst
        self.now = now
        self.buckets: dict[bytes, tuple[float, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a token or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wait = self.take(self._caller(scope))
        if wait > 0:
            seconds = math.ceil(wait)
            retry = ((b"retry-after", str(seconds).encode()),)
            await refuse(scope, send, TooManyRequests(seconds=seconds), retry)
            return
        await self.app(scope, receive, send)

    def take(self, caller: bytes) -> float:
        """Return 0 and take a token, or return the seconds until there is one."""
        now = self.now()
        tokens, since = self.buckets.get(caller, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) * self.rate)
        if tokens < 1:
            self.buckets[caller] = (tokens, now)
            return (1 - tokens) / self.rate
        self.buckets[caller] = (tokens - 1, now)
        if len(self.buckets) > 10_000:
            full = self.burst / self.rate
            self.buckets = {k: b for k, b in self.buckets.items() if now - b[1] < full}
        return 0.0

    @staticmethod
    def _caller(scope: Scope) -> bytes:
        shown = _header(scope, b"x-steelyard-key") or _header(scope, b"authorization")
        client = scope.get("client") or ("local", 0)
        return shown[:80] if shown else str(client[0]).encode()
