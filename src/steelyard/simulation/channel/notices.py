"""Notices: pushed to the merchant until he answers as the dialect wants."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import uuid4

import httpx

from steelyard.simulation.channel.script import Behaviour, Script
from steelyard.simulation.channel.store import Payment, Refund
from steelyard.simulation.channel.wire import Dialect

_TIMEOUT_SECONDS = 5.0
_AT_ONCE = 8
_TOLD = {
    "uni": (
        "paid",
        "declined",
        "closed",
        "reversed",
        "succeeded",
        "failed",
        "abnormal",
        "returned",
    ),
    "wechat": ("paid", "succeeded", "failed", "abnormal", "returned"),
    "alipay": ("paid", "closed", "reversed", "declined", "succeeded"),
}
"""What a dialect tells of at all."""

_Due = tuple[float, int, str, Payment | Refund, int]


class Notices:
    """Sends them, and again on the dialect's schedule.

    Parameters
    ----------
    scale : what a second of the schedule lasts; 0.001 makes an hour 3.6 s
    """

    def __init__(
        self, dialects: Mapping[str, Dialect], script: Script, *, scale: float = 1.0
    ) -> None:
        self._dialects = dialects
        self._script = script
        self._scale = scale
        self._due: list[_Due] = []
        self._made = 0
        self._woken = asyncio.Event()
        self._client: httpx.AsyncClient | None = None
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._running: set[asyncio.Task[bool]] = set()
        self.sent = self.taken = self.given_up = 0

    def tell(self, about: Payment | Refund) -> None:
        """Tell the merchant what became of something, if he wants to hear it."""
        if not about.notify_url or about.state not in _TOLD[about.dialect]:
            return
        rule = self._script.take("notice", about.dialect, about.number)
        if rule.behaviour is Behaviour.LOSE:
            return
        seconds = rule.seconds if rule.behaviour is Behaviour.LATE else 0.0
        times = int(rule.argument or "2") if rule.behaviour is Behaviour.DUPLICATE else 1
        notice_id = str(uuid4())
        for _ in range(times):
            self.push(about, notice_id, seconds=seconds, forged=rule.behaviour is Behaviour.FORGE)

    def push(
        self,
        about: Payment | Refund,
        notice_id: str,
        *,
        seconds: float = 0.0,
        tries: int = 0,
        forged: bool = False,
    ) -> None:
        """Send a notice after so many seconds; what it says is what holds now."""
        self._made += 1
        due = time.monotonic() + seconds
        name = f"!{notice_id}" if forged else notice_id
        heapq.heappush(self._due, (due, self._made, name, replace(about), tries))
        self._woken.set()

    def clear(self) -> int:
        """Forget what has not been taken yet; return how many."""
        count = len(self._due)
        self._due.clear()
        return count

    async def now(self, about: Payment | Refund) -> None:
        """Send what is due about something, and wait until it was answered."""
        mine = [one for one in self._due if one[3].number == about.number]
        self._due = [one for one in self._due if one[3].number != about.number]
        heapq.heapify(self._due)
        await asyncio.gather(*(self._send(*one[2:]) for one in mine))

    async def run(self, tick: Callable[[], None]) -> None:
        """Send what is due until it is cancelled; `tick` is called 20 times a second."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            self._client = client
            while True:
                tick()
                now = time.monotonic()
                while self._due and self._due[0][0] <= now:
                    *_, name, about, tries = heapq.heappop(self._due)
                    task = asyncio.create_task(self._send(name, about, tries))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                self._woken.clear()
                wait = min(0.05, max(0.0, self._due[0][0] - now)) if self._due else 0.05
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), wait)

    async def _send(self, name: str, about: Payment | Refund, tries: int) -> bool:
        dialect, forged = self._dialects[about.dialect], name.startswith("!")
        notice_id = name.lstrip("!")
        notice = dialect.notice(about, notice_id, forged=forged)
        headers = {"content-type": notice.media, **dict(notice.headers)}
        assert self._client is not None
        status, body = 0, b""
        async with self._free:
            self.sent += 1
            with contextlib.suppress(httpx.HTTPError):
                answer = await self._client.post(
                    about.notify_url, content=notice.body, headers=headers
                )
                status, body = answer.status_code, answer.content
        if dialect.was_taken(notice_id, status, body):
            self.taken += 1
            return True
        if forged or tries >= len(dialect.retries):
            self.given_up += 1
            return False
        seconds = dialect.retries[tries] * self._scale
        self.push(about, notice_id, seconds=seconds, tries=tries + 1)
        return False
