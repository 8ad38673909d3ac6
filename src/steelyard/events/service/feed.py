"""The log as a stream, for server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread

from sqlalchemy.exc import DBAPIError

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.events.model.log import Cursor, FactFilter, Followed, StoredFact
from steelyard.events.model.refusals import FollowerIsTooSlow, TooManyFollowers
from steelyard.events.service.bell import Bell
from steelyard.events.store.log import head, open_window, own_connection, read_window

CHUNK = 500
WAITING = 2_000
"""Facts that may wait for one follower."""
FOLLOWERS = 200
REST = 1.0
_EVERYTHING = FactFilter()


@dataclass(eq=False, slots=True)
class _Follower:
    """One stream: facts come in by the reading thread, and out in the loop of the client."""

    wanted: FactFilter
    loop: asyncio.AbstractEventLoop
    start: asyncio.Future[None]
    waiting: list[Followed] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    fell_behind: bool = False
    failed: bool = False

    def offer(self, items: list[Followed], limit: int) -> None:
        """Take what came, in the loop; too much of it and the follower is given up."""
        if len(self.waiting) + len(items) > limit:
            self.fell_behind = True
            items = []
        self.waiting += items
        self.arrived.set()

    def welcome(self) -> None:
        """Note that every fact from here on will be offered."""
        if not self.start.done():
            self.start.set_result(None)

    def fail(self) -> None:
        """End the stream: the reading thread lost its connection."""
        self.failed = True
        self.arrived.set()
        self.welcome()

    def take(self) -> list[Followed]:
        """Return what is waiting and forget it."""
        taken, self.waiting = self.waiting, []
        self.arrived.clear()
        return taken


class Feed:
    """Streams the log to many clients of this process, with one reading thread and one listener.

    The thread lives while somebody follows.

    Parameters
    ----------
    waiting : most facts that wait for a follower before it is cut off
    followers : most streams at once
    """

    def __init__(
        self, database: Database, *, waiting: int = WAITING, followers: int = FOLLOWERS
    ) -> None:
        self.database = database
        self.limit = waiting
        self.most = followers
        self._lock = Lock()
        self._joining: list[_Follower] = []
        self._followers: set[_Follower] = set()
        self._reader: Thread | None = None
        self._bell: Bell | None = None

    async def admit(self, cursor: str | None) -> None:
        """Refuse what `follow` would refuse at its start, before an answer has begun.

        Refusals
        --------
        cursor_is_invalid, too_many_followers
        """
        if len(self._followers) + len(self._joining) >= self.most:
            raise TooManyFollowers(limit=self.most)
        if cursor is not None:
            await asyncio.to_thread(self._read, _EVERYTHING, cursor)

    async def follow(
        self, wanted: FactFilter, *, cursor: str | None = None, heartbeat: float = 15.0
    ) -> AsyncIterator[Followed | None]:
        """Yield facts as they are committed: those behind `cursor` first, else only new ones.

        Yields
        ------
        Followed or None
            None when nothing came for `heartbeat` seconds.

        Refusals
        --------
        cursor_is_invalid, too_many_followers, follower_is_too_slow
        """
        seen: str | None = cursor
        if seen is not None:
            # Far behind, at the client's own pace; then the rest, once new facts are kept for it.
            async for item in self._catch_up(wanted, seen):
                seen = item.cursor if isinstance(item, Followed) else item
                if isinstance(item, Followed):
                    yield item
        follower = await self._join(wanted)
        try:
            covered: Cursor | None = None
            if seen is not None:
                async for item in self._catch_up(wanted, seen):
                    if isinstance(item, Followed):
                        yield item
                    else:
                        covered = Cursor.parse(item)
            async for live in self._live(follower, heartbeat):
                fact = None if live is None else live.fact
                if (
                    fact is None
                    or covered is None
                    or not covered.covers(fact.epoch, fact.position, fact.sequence)
                ):
                    yield live
        finally:
            with self._lock:
                self._followers.discard(follower)
                if follower in self._joining:
                    self._joining.remove(follower)

    async def _catch_up(self, wanted: FactFilter, cursor: str) -> AsyncIterator[Followed | str]:
        """Yield facts behind a cursor until there are none, then the cursor behind them."""
        more = True
        while more:
            items, cursor, more = await asyncio.to_thread(self._read, wanted, cursor)
            for item in items:
                yield item
        yield cursor

    def _read(self, wanted: FactFilter, cursor: str) -> tuple[list[Followed], str, bool]:
        with self.database.reading() as connection:
            at = open_window(connection, Cursor.parse(cursor))
            if at.taking is None:
                return [], at.text(), False
            found, after = read_window(connection, at, wanted, limit=CHUNK)
            return [Followed(f, at.moved(f.sequence).text()) for f in found], after.text(), True

    async def _join(self, wanted: FactFilter) -> _Follower:
        loop = asyncio.get_running_loop()
        follower = _Follower(wanted, loop, loop.create_future())
        with self._lock:
            if len(self._followers) + len(self._joining) >= self.most:
                raise TooManyFollowers(limit=self.most)
            self._joining.append(follower)
            if self._reader is None:
                self._bell = Bell(self.database)
                self._bell.start()
                self._reader = Thread(
                    target=self._run, args=(self._bell,), name="events-feed", daemon=True
                )
                self._reader.start()
            elif self._bell is not None:
                self._bell.ring()
        await follower.start
        return follower

    async def _live(self, follower: _Follower, heartbeat: float) -> AsyncIterator[Followed | None]:
        while True:
            try:
                await asyncio.wait_for(follower.arrived.wait(), heartbeat)
            except TimeoutError:
                yield None
                continue
            waiting = len(follower.waiting)
            for item in follower.take():
                yield item
            if follower.fell_behind:
                raise FollowerIsTooSlow(waiting=max(waiting, self.limit))
            if follower.failed:
                return

    def _run(self, bell: Bell) -> None:
        try:
            self._read_on(bell)
        except DBAPIError as error:
            get_logger("events").warning("feed_lost_its_connection", error=str(error))
            self._fail()
        finally:
            bell.stop()

    def _fail(self) -> None:
        """End every stream: their clients come back with the last cursor they have."""
        with self._lock:
            left = [*self._followers, *self._joining]
            self._followers.clear()
            self._joining.clear()
            self._reader = self._bell = None
        for follower in left:
            _call(follower, follower.fail)

    def _read_on(self, bell: Bell) -> None:
        """Read the log from here on, window by window; newcomers join between two windows."""
        with own_connection(self.database) as (connection, _):
            at = head(connection)
            while self._admit():
                generation = bell.generation
                window = open_window(connection, at)
                while window.taking is not None:
                    found, after = read_window(connection, window, _EVERYTHING, limit=CHUNK)
                    self._hand_out(found, window)
                    window = after
                if window == at:
                    bell.wait(generation, REST)
                at = window

    def _admit(self) -> bool:
        """Let newcomers in; false when nobody follows any more, and the thread shall end."""
        with self._lock:
            newcomers, self._joining = self._joining, []
            self._followers.update(newcomers)
            for follower in newcomers:
                _call(follower, follower.welcome)
            if not self._followers:
                self._reader = self._bell = None
                return False
            return True

    def _hand_out(self, facts: list[StoredFact], window: Cursor) -> None:
        with self._lock:
            followers = list(self._followers)
        cursors: dict[int, str] = {}
        for follower in followers:
            items = []
            for fact in facts:
                if follower.wanted.accepts(fact.kind, fact.subject):
                    if fact.sequence not in cursors:
                        cursors[fact.sequence] = window.moved(fact.sequence).text()
                    items.append(Followed(fact, cursors[fact.sequence]))
            if items:
                _call(follower, follower.offer, items, self.limit)


def _call(follower: _Follower, call: Callable[..., None], *arguments: object) -> None:
    """Call something in the follower's loop; a loop that was closed has no stream to feed."""
    with suppress(RuntimeError):
        follower.loop.call_soon_threadsafe(call, *arguments)
