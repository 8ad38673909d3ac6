"""One loop of queries in each process, and all its connected browsers fed from it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import Self

from pydantic import BaseModel

from steelyard.base.telemetry import get_logger
from steelyard.kernel import CursorIsInvalid, Refusal, RefusalKind, decode_cursor, encode_cursor
from steelyard.web.live.pulse import POINTS, Point, Pulse, Rates
from steelyard.web.live.source import ROWS, Glance, LiveSource
from steelyard.web.live.wire import (
    ClockOut,
    CountsOut,
    DecisionsOut,
    LagOut,
    MovementOut,
    MovementsOut,
    PointOut,
    RateOut,
    SnapshotOut,
    SummaryOut,
    TrialBalanceOut,
)

_RECENT = 200
_WAITING = 16
_LINGER_S = 60.0


class TooManyWatchers(Refusal):
    """The process feeds as many live pages as it can."""

    kind = RefusalKind.UNAVAILABLE
    en = "This server feeds {limit} live pages already; try again later."
    zh = "本服务器的实时页面连接已达上限 {limit}，请稍后再试。"


class LiveIsUnreadable(Refusal):
    """The database could not be read just now."""

    kind = RefusalKind.UNAVAILABLE
    en = "The live numbers cannot be read at present; try again in a moment."
    zh = "暂时读不到实时数据，请稍后重试。"


def frame(event: str, model: BaseModel | None = None, *, position: str | None = None) -> bytes:
    """Return a server-sent event."""
    head = f"id: {position}\n" if position else ""
    body = "{}" if model is None else model.model_dump_json(by_alias=True)
    return f"{head}event: {event}\ndata: {body}\n\n".encode()


class _Watcher:
    """One connected browser: frames wait for it here, and are dropped when it does not keep up."""

    def __init__(self, after: Mapping[str, int] | None) -> None:
        self.after = after
        self.is_new = True
        self._frames: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    def give(self, *frames: bytes) -> None:
        """Put frames into the queue; one that is full is emptied, and begins with a snapshot."""
        if len(self._frames) + len(frames) > _WAITING:
            self._frames.clear()
            self.after, self.is_new = None, True
            return
        self._frames.extend(frames)
        self._arrived.set()

    async def take(self) -> bytes:
        """Wait for frames and return all that are there."""
        await self._arrived.wait()
        self._arrived.clear()
        taken = b"".join(self._frames)
        self._frames.clear()
        return taken


class Feed:
    """Looks once a second while somebody is connected, and tells everybody what it saw.

    While nobody is, only the counters are read, every `idle_s` seconds, so that the chart of the
    next who comes has a past.

    Parameters
    ----------
    source : where it looks
    now : real clock, seconds since 1970
    pace_s, idle_s : seconds between two looks
    heartbeat_s : silence after which a comment is sent, so that nothing on the way hangs up
    limit : most browsers at once
    """

    def __init__(
        self,
        source: LiveSource,
        *,
        now: Callable[[], float] = time.time,
        pace_s: float = 1.0,
        idle_s: float = 10.0,
        heartbeat_s: float = 15.0,
        limit: int = 200,
    ) -> None:
        self.source = source
        self.now = now
        self.pace_s = pace_s
        self.idle_s = idle_s
        self.heartbeat_s = heartbeat_s
        self.limit = limit
        self.pulse = Pulse()
        self._log = get_logger("live")
        self._watchers: set[_Watcher] = set()
        self._asked_at = -inf
        self._wake = asyncio.Event()
        self._looking = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._summary: SummaryOut | None = None
        self._seen_at = -inf
        self._recent: deque[tuple[int, MovementOut]] = deque()
        self._positions: dict[str, int] = {}
        self._floor: dict[str, int] = {}
        self._is_readable = True

    async def __aenter__(self) -> Self:
        """Begin to count."""
        self._loop = asyncio.create_task(self._run(), name="live-feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        assert self._loop is not None
        self._loop.cancel()
        with suppress(asyncio.CancelledError):
            await self._loop

    @property
    def watchers(self) -> int:
        """How many browsers are connected."""
        return len(self._watchers)

    @property
    def is_watched(self) -> bool:
        """Whether somebody is connected, or has asked within the last minute."""
        return bool(self._watchers) or self.now() - self._asked_at < _LINGER_S

    async def summary(self) -> SummaryOut:
        """Return the present summary, at most two steps old.

        Refusals
        --------
        live_is_unreadable
        """
        return (await self._fresh())[0]

    async def movements(self) -> MovementsOut:
        """Return the last movements.

        Refusals
        --------
        live_is_unreadable
        """
        return MovementsOut(items=(await self._fresh())[1])

    async def _fresh(self) -> tuple[SummaryOut, list[MovementOut]]:
        self._asked_at = self.now()
        if self.now() - self._seen_at > 2 * self.pace_s:
            await self.step()
        if self._summary is None or not self._is_readable:
            raise LiveIsUnreadable
        return self._summary, self._newest()

    def stream(self, after: str | None = None) -> AsyncIterator[bytes]:
        """Return server-sent events, which go on until the browser goes.

        Parameters
        ----------
        after : id of the last event that the browser has; what it missed is sent, or a snapshot

        Refusals
        --------
        too_many_watchers
        """
        if len(self._watchers) >= self.limit:
            raise TooManyWatchers(limit=self.limit)
        return self._frames(_Watcher(_read_position(after)))

    async def _frames(self, watcher: _Watcher) -> AsyncIterator[bytes]:
        self._watchers.add(watcher)
        self._wake.set()
        try:
            yield b"retry: 2000\n\n"
            while True:
                try:
                    yield await asyncio.wait_for(watcher.take(), self.heartbeat_s)
                except TimeoutError:
                    yield frame("beat")
        finally:
            self._watchers.discard(watcher)

    async def _run(self) -> None:
        while True:
            await self.step()
            pause = self.pace_s if self.is_watched else self.idle_s
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()

    async def step(self) -> None:
        """Look once, and tell those who watch."""
        async with self._looking:
            try:
                if self.is_watched:
                    self._take(await asyncio.to_thread(self.source.look, dict(self._positions)))
                else:
                    self.pulse.add(await asyncio.to_thread(self.source.count))
                self._is_readable = True
            except Exception:
                # Told once: the database may be away for long.
                if self._is_readable:
                    self._log.exception("live_is_unreadable")
                self._is_readable = False
                for watcher in self._watchers:
                    watcher.give(frame("unreadable"))

    def _take(self, glance: Glance) -> None:
        self.pulse.add(glance.sample)
        self._seen_at = self.now()
        self._summary = self._summarise(glance)
        new = self._keep(glance)
        position = encode_cursor(json.dumps(self._positions, sort_keys=True))
        summary = frame("summary", self._summary, position=position)
        news = (frame("movements", MovementsOut(items=new), position=position),) if new else ()
        snapshot: bytes | None = None
        for watcher in self._watchers:
            if not watcher.is_new:
                watcher.give(*news, summary)
                continue
            watcher.is_new = False
            missed = None if watcher.after is None else self._missed(watcher.after)
            if missed is None:
                snapshot = snapshot or frame("snapshot", self._snapshot(), position=position)
                watcher.give(snapshot)
            elif missed:
                watcher.give(
                    frame("movements", MovementsOut(items=missed), position=position), summary
                )
            else:
                watcher.give(summary)

    def _keep(self, glance: Glance) -> list[MovementOut]:
        """Keep the movements of a look, and return those that were not known before."""
        new = list(glance.movements)
        found: dict[str, int] = {}
        for movement in new:
            found[movement.book] = found.get(movement.book, 0) + 1
        for book, position in glance.positions.items():
            # A look brings so many at most: what is older than a full one was not seen.
            if found.get(book, 0) >= ROWS:
                oldest = min(_instant(m) for m in new if m.book == book)
                self._floor[book] = max(self._floor.get(book, 0), oldest - 1)
            self._positions[book] = position
        self._recent.extendleft((_instant(m), m) for m in reversed(new))
        while len(self._recent) > _RECENT:
            at, dropped = self._recent.pop()
            self._floor[dropped.book] = max(self._floor.get(dropped.book, 0), at)
        return new

    def _missed(self, after: Mapping[str, int]) -> list[MovementOut] | None:
        """Return the movements after the positions, or None when not all of them are known."""
        if any(after.get(book, 0) < floor for book, floor in self._floor.items()):
            return None
        return [m for at, m in self._recent if at > after.get(m.book, 0)]

    def _newest(self) -> list[MovementOut]:
        return [movement for _, movement in islice(self._recent, ROWS)]

    def _snapshot(self) -> SnapshotOut:
        assert self._summary is not None
        points = [_point(point) for point in self.pulse.points(POINTS)]
        return SnapshotOut(summary=self._summary, points=points, movements=self._newest())

    def _summarise(self, glance: Glance) -> SummaryOut:
        minute, five = self.pulse.rates(60), self.pulse.rates(300)
        return SummaryOut(
            at=_utc(glance.sample.at),
            clock=ClockOut(business_at=glance.business_at, speed=glance.speed),
            payments=_rate(minute, five, of="transfers"),
            events=_rate(minute, five, of="facts"),
            decisions=DecisionsOut(
                rate=_rate(minute, five, of="decisions"),
                made=glance.sample.decisions,
                outcomes=list(glance.outcomes),
                newest=list(glance.decided),
            ),
            lag=LagOut(
                events=max((c.events for c in glance.consumers), default=0),
                consumers=list(glance.consumers),
            ),
            trial_balance=TrialBalanceOut(
                is_balanced=all(row.difference_minor == 0 for row in glance.balances),
                rows=list(glance.balances),
            ),
            credit=glance.credit,
            paying=glance.paying,
            counts=CountsOut(
                parties=glance.parties,
                accounts=glance.accounts,
                transfers=glance.sample.transfers,
                facts=glance.sample.facts,
            ),
            points=[_point(point) for point in self.pulse.points(2)],
        )


def _rate(minute: Rates, five: Rates, *, of: str) -> RateOut:
    one, more = getattr(minute, of), getattr(five, of)
    return RateOut(
        per_second_1m=None if one is None else round(one, 2),
        per_second_5m=None if more is None else round(more, 2),
        observed_seconds=round(five.over_s, 1),
    )


def _point(point: Point) -> PointOut:
    return PointOut(
        at=_utc(point.at),
        payments_per_second=point.transfers,
        events_per_second=point.facts,
        lag_events=point.lag_events,
    )


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _instant(movement: MovementOut) -> int:
    at = movement.at
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def _read_position(after: str | None) -> Mapping[str, int] | None:
    """Return the positions in an event id; one that is not ours is as good as none."""
    if not after:
        return None
    try:
        (text,) = decode_cursor(after, str)
        found = json.loads(str(text))
    except (CursorIsInvalid, ValueError):
        return None
    if not isinstance(found, dict) or not all(type(at) is int for at in found.values()):
        return None
    return found
