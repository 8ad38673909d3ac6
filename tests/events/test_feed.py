"""The stream: live facts, going on from a cursor, followers that are too slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from threading import Thread

import psycopg
import pytest

from steelyard.base import Database
from steelyard.events import FactFilter, Feed, Followed, refusals
from steelyard.events.service import feed as feeds
from steelyard.kernel import CursorIsInvalid
from tests.conftest import Store
from tests.events.lamps import append, light
from tests.events.waiting import until

ALL = FactFilter()
Stream = AsyncIterator[Followed | None]


async def take(stream: Stream, count: int) -> list[Followed]:
    """Take some facts, passing over heartbeats."""
    found: list[Followed] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            item = await anext(stream)
            if item is not None:
                found.append(item)
    return found


async def opened(stream: Stream) -> None:
    """Wait for the first heartbeat: from here on nothing new is missed."""
    assert await anext(stream) is None


def test_new_facts_reach_every_follower_through_its_filter(database: Database) -> None:
    async def run() -> None:
        feed = Feed(database)
        light(database, "before", 1)
        everything = feed.follow(ALL, heartbeat=0.05)
        one_lamp = feed.follow(FactFilter(subject="lamp:b"), heartbeat=0.05)
        await opened(everything)
        await opened(one_lamp)
        await asyncio.to_thread(light, database, "a", 1, 2)
        await asyncio.to_thread(light, database, "b", 3)
        assert [f.fact.sequence for f in await take(everything, 3)] == [2, 3, 4]
        assert [f.fact.sequence for f in await take(one_lamp, 1)] == [4]
        await everything.aclose()
        await one_lamp.aclose()
        await asyncio.to_thread(until, lambda: feed._reader is None, "the thread's end")

    asyncio.run(run())


def test_a_follower_goes_on_where_it_was_cut_off(database: Database, store: Store) -> None:
    async def run() -> None:
        feed = Feed(database)
        stream = feed.follow(ALL, heartbeat=0.05)
        await opened(stream)
        slow = psycopg.connect(store.conninfo())
        append(slow, "slow", [1])
        await asyncio.to_thread(light, database, "a", *range(1, 6))
        part = await take(stream, 3)
        await stream.aclose()
        await asyncio.to_thread(light, database, "a", 6)
        slow.commit()
        slow.close()
        again = Feed(database).follow(ALL, cursor=part[-1].cursor, heartbeat=0.05)
        rest = await take(again, 4)
        await asyncio.to_thread(light, database, "a", 7)
        rest += await take(again, 1)
        await again.aclose()
        nths = [f.fact.payload for f in (*part, *rest) if f.fact.subject == "lamp:a"]
        assert nths == [f'{{"nth": {n}, "lamp": "a"}}' for n in range(1, 8)]
        assert [f.fact.subject for f in rest].count("lamp:slow") == 1

    asyncio.run(run())


def test_catching_up_meets_the_live_stream_without_a_gap(
    database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "CHUNK", 7)
    total = 300

    async def run() -> None:
        feed = Feed(database)
        light(database, "first", 0)
        stream = feed.follow(ALL, heartbeat=0.05)
        await opened(stream)
        light(database, "first", 1)
        (start,) = await take(stream, 1)

        def write() -> None:
            for nth in range(total):
                light(database, "a", nth)

        writer = Thread(target=write)
        writer.start()
        seen: list[int] = []
        cursor = start.cursor
        while len(seen) < total:
            part = feed.follow(ALL, cursor=cursor, heartbeat=0.05)
            for item in await take(part, min(50, total - len(seen))):
                seen.append(item.fact.sequence)
                cursor = item.cursor
            await part.aclose()
        writer.join()
        await stream.aclose()
        assert seen == sorted(set(seen)), "each once, in order, over many reconnections"

    asyncio.run(run())


def test_a_follower_that_does_not_read_is_cut_off(database: Database) -> None:
    async def run() -> None:
        feed = Feed(database, waiting=3)
        slow = feed.follow(ALL, heartbeat=0.05)
        quick = feed.follow(ALL, heartbeat=0.05)
        await opened(slow)
        await opened(quick)
        seen = []
        for nth in range(6):
            await asyncio.to_thread(light, database, "a", nth)
            seen += await take(quick, 1)
        got = []
        with pytest.raises(refusals.FollowerIsTooSlow):
            while True:
                item = await anext(slow)
                if item is not None:
                    got.append(item.fact.sequence)
        assert got == [1, 2, 3], "what was waiting is still given; then it is told"
        assert len(seen) == 6, "the others are not held up"
        await quick.aclose()

    asyncio.run(run())


def test_too_many_followers_and_foreign_cursors(database: Database) -> None:
    async def run() -> None:
        feed = Feed(database, followers=1)
        stream = feed.follow(ALL, heartbeat=0.05)
        await feed.admit(None)
        await opened(stream)
        with pytest.raises(refusals.TooManyFollowers):
            await feed.admit(None)
        with pytest.raises(refusals.TooManyFollowers):
            await anext(feed.follow(ALL))
        await stream.aclose()
        with pytest.raises(CursorIsInvalid):
            await feed.admit("nonsense")

    asyncio.run(run())


def test_a_stream_ends_when_its_connection_is_lost(database: Database, store: Store) -> None:
    async def run() -> None:
        feed = Feed(database)
        stream = feed.follow(ALL, heartbeat=0.05)
        await opened(stream)
        with psycopg.connect(store.conninfo(), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(StopAsyncIteration):
            async with asyncio.timeout(20):
                while True:
                    await anext(stream)
        await asyncio.to_thread(database.engine.dispose)
        again = feed.follow(ALL, heartbeat=0.05)
        await opened(again)
        await asyncio.to_thread(light, database, "a", 1)
        assert len(await take(again, 1)) == 1
        await again.aclose()

    asyncio.run(run())
