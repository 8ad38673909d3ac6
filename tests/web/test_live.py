from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Environment
from steelyard.web.live.feed import Feed, TooManyWatchers
from steelyard.web.live.pulse import STEP_S, Pulse, Sample
from steelyard.web.live.wire import decimal_text
from tests.web.fixture import BEARER, Town, compose, serve

SECOND = 1.0


class Clock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def feed_of(clock: Clock, **keywords: Any) -> tuple[Feed, Town]:
    town = Town(now=clock)
    return Feed(town, now=clock, heartbeat_s=keywords.pop("heartbeat_s", 20.0), **keywords), town


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


def read(frames: bytes) -> list[tuple[str, str | None, Any]]:
    """Event, id and data of each server-sent event in some bytes."""
    found = []
    for block in frames.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


async def begin(feed: Feed, after: str | None = None) -> AsyncIterator[bytes]:
    """A stream that has been joined: its first frame, the retry, is taken."""
    stream = feed.stream(after)
    assert await anext(stream) == b"retry: 2000\n\n"
    return stream


async def next_events(stream: AsyncIterator[bytes]) -> list[tuple[str, str | None, Any]]:
    return read(await asyncio.wait_for(anext(stream), 10))


# ---------------------------------------------------------------- counting


def test_what_was_not_observed_is_null_and_not_zero() -> None:
    pulse = Pulse()
    assert pulse.rates(60).transfers is None
    assert pulse.points() == []
    pulse.add(Sample(1_000.0, 50, 80))
    assert pulse.rates(60).transfers is None
    assert {p.transfers for p in pulse.points()} == {None}
    pulse.add(Sample(1_020.0, 90, 100))
    assert pulse.rates(60) == pulse.rates(300)
    assert (pulse.rates(60).transfers, pulse.rates(60).facts, pulse.rates(60).over_s) == (2, 1, 20)
    assert [p.transfers for p in pulse.points(4)] == [None, 2, 2, None]


def test_a_minute_is_counted_over_the_last_minute_only() -> None:
    pulse = Pulse()
    for second in range(0, 301, 10):
        pulse.add(Sample(float(second), second * 10 if second > 240 else 0, 0))
    assert pulse.rates(60).transfers == pytest.approx(3000 / 60)
    assert pulse.rates(300).transfers == pytest.approx(3000 / 300)


def test_a_long_silence_is_not_drawn_as_a_steady_rate() -> None:
    pulse = Pulse()
    for at, n in ((1_000, 0), (1_010, 10), (1_200, 500), (1_210, 510), (1_220, 520)):
        pulse.add(Sample(float(at), n, 0))
    drawn = {p.at: p.transfers for p in pulse.points()}
    assert (drawn[1_000], drawn[1_200], drawn[1_210]) == (1, 1, 1)
    assert {drawn[at] for at in range(1_010, 1_200, STEP_S)} == {None}


@given(st.lists(st.integers(0, 1_000), min_size=2, max_size=120))
def test_the_points_add_up_to_what_was_counted(increments: list[int]) -> None:
    pulse, total = Pulse(), 0
    for step, increment in enumerate(increments):
        total += increment
        pulse.add(Sample(10_000.0 + STEP_S * step, total, 0))
    known = [p.transfers for p in pulse.points() if p.transfers is not None]
    shown = min(len(increments) - 1, 89)
    assert len(known) == shown
    assert sum(known) * STEP_S == pytest.approx(sum(increments[-shown:]), abs=1)


@given(st.integers(-(2**80), 2**80), st.integers(0, 4))
def test_a_decimal_text_is_exact(minor: int, exponent: int) -> None:
    text = decimal_text(minor, exponent)
    assert int(text.replace(".", "")) == minor
    assert len(text.partition(".")[2]) == exponent


# ---------------------------------------------------------------- the feed


def test_only_counters_are_read_while_nobody_watches() -> None:
    async def test() -> None:
        feed, town = feed_of(Clock())
        for _ in range(3):
            await feed.step()
        assert (town.counts, town.looks) == (3, 0)
        stream = await begin(feed)
        await feed.step()
        assert (town.counts, town.looks) == (3, 1)
        await stream.aclose()  # type: ignore[attr-defined]
        assert feed.watchers == 0
        await feed.step()
        assert (town.counts, town.looks) == (4, 1)

    run(test)


def test_one_look_feeds_all_browsers() -> None:
    async def test() -> None:
        feed, town = feed_of(Clock())
        streams = [await begin(feed) for _ in range(5)]
        await feed.step()
        firsts = [await next_events(stream) for stream in streams]
        assert town.looks == 1
        assert [[name for name, _, _ in first] for first in firsts] == [["snapshot"]] * 5
        shown = firsts[0][0][2]
        assert [m["id"] for m in shown["movements"]] == [
            m["id"] for m in firsts[4][0][2]["movements"]
        ]
        assert len(shown["movements"]) == 20
        assert len(shown["points"]) == 90

    run(test)


def test_news_are_sent_once_and_the_newest_first() -> None:
    async def test() -> None:
        clock = Clock()
        feed, _ = feed_of(clock)
        stream = await begin(feed)
        await feed.step()
        [(_, _, snapshot)] = await next_events(stream)
        clock.now += SECOND
        await feed.step()
        (first, _, news), (second, _, summary) = await next_events(stream)
        assert (first, second) == ("movements", "summary")
        assert len(news["items"]) == 3
        ats = [m["at"] for m in (*news["items"], *snapshot["movements"])]
        assert ats == sorted(ats, reverse=True)
        assert len(set(ats)) == len(ats)
        assert summary["counts"]["transfers"] == 3 * 1_001
        await feed.step()
        assert [name for name, _, _ in await next_events(stream)] == ["summary"]

    run(test)


def test_a_browser_that_comes_back_gets_what_it_missed() -> None:
    async def test() -> None:
        clock = Clock()
        feed, _ = feed_of(clock)
        stream = await begin(feed)
        await feed.step()
        [(_, last, snapshot)] = await next_events(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        clock.now += 4 * SECOND
        again = await begin(feed, last)
        await feed.step()
        (name, _, missed), _ = await next_events(again)
        assert name == "movements"
        assert len(missed["items"]) == 12
        known = {m["id"] for m in snapshot["movements"]}
        assert not known & {m["id"] for m in missed["items"]}

    run(test)


@pytest.mark.parametrize(
    "after", ["", "nonsense", "WyJ7Il0", "WyJbMV0iXQ", "WyJ7XCJiXCI6bnVsbH0iXQ"]
)
def test_who_shows_an_id_that_is_not_ours_gets_a_snapshot(after: str) -> None:
    async def test() -> None:
        feed, _ = feed_of(Clock())
        stream = await begin(feed, after)
        await feed.step()
        assert [name for name, _, _ in await next_events(stream)] == ["snapshot"]

    run(test)


def test_who_was_away_too_long_gets_a_snapshot_and_no_gap() -> None:
    async def test() -> None:
        clock = Clock()
        feed, _ = feed_of(clock)
        stream = await begin(feed)
        await feed.step()
        [(_, last, _)] = await next_events(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        clock.now += 600 * SECOND
        again = await begin(feed, last)
        await feed.step()
        assert [name for name, _, _ in await next_events(again)] == ["snapshot"]

    run(test)


def test_a_browser_that_does_not_read_costs_bounded_memory_and_begins_anew() -> None:
    async def test() -> None:
        clock = Clock()
        feed, _ = feed_of(clock)
        slow = await begin(feed)
        for _ in range(200):
            clock.now += SECOND
            await feed.step()
        held = sum(len(w._frames) for w in feed._watchers)
        assert held <= 16
        names = [name for name, _, _ in await next_events(slow)]
        assert names[0] == "snapshot", "not the middle of something"

    run(test)


def test_silence_is_broken_by_a_beat() -> None:
    async def test() -> None:
        feed, _ = feed_of(Clock(), heartbeat_s=0.01)
        stream = await begin(feed)
        assert await next_events(stream) == [("beat", None, {})]

    run(test)


def test_too_many_browsers_are_refused_and_room_is_made_again() -> None:
    async def test() -> None:
        feed, _ = feed_of(Clock(), limit=2)
        first, _second = await begin(feed), await begin(feed)
        with pytest.raises(TooManyWatchers):
            feed.stream()
        await first.aclose()  # type: ignore[attr-defined]
        await begin(feed)

    run(test)


def test_an_unreadable_database_is_told_and_forgiven(capsys: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        feed, town = feed_of(Clock())
        stream = await begin(feed)
        town.is_away = True
        for _ in range(3):
            await feed.step()
        assert [n for n, _, _ in await next_events(stream)] == ["unreadable"] * 3
        town.is_away = False
        await feed.step()
        assert [n for n, _, _ in await next_events(stream)] == ["snapshot"]

    run(test)
    assert capsys.readouterr().err.count("live_is_unreadable") == 1, "logged once, not each second"


# ---------------------------------------------------------------- over the wire


def test_the_summary_over_the_wire(toy_client: httpx.Client) -> None:
    told = toy_client.get("/v1/live/summary").json()
    assert told["trial_balance"]["is_balanced"] is True
    assert {row["currency"] for row in told["trial_balance"]["rows"]} == {"CNY", "JPY"}
    yen = next(row for row in told["trial_balance"]["rows"] if row["currency"] == "JPY")
    assert yen["debits"] == str(yen["debits_minor"]), "a yen has no decimals"
    assert told["clock"]["speed"] == 120
    assert told["payments"] == {
        "per_second_1m": None,
        "per_second_5m": None,
        "observed_seconds": 0.0,
    }, "one look is no rate"


def test_movements_and_one_with_its_entries(toy_client: httpx.Client) -> None:
    items = toy_client.get("/v1/live/movements").json()["items"]
    assert len(items) == 20
    first = items[0]
    assert {"id", "book", "at", "from", "to", "amount", "currency", "kind", "cause"} <= set(first)
    detail = toy_client.get(f"/v1/live/movements/client/{first['id']}").json()
    assert detail["movement"] == first
    assert [entry["side"] for entry in detail["entries"]] == ["debit", "credit"]
    unknown = toy_client.get("/v1/live/movements/client/00000000-0000-0000-0000-000000000000")
    assert unknown.status_code == 404
    assert toy_client.get("/v1/live/movements/client/x").json()["code"] == "request_is_malformed"


def test_the_stream_over_the_wire_and_back_again(toy_client: httpx.Client) -> None:
    def first(**headers: str) -> tuple[str, str]:
        with toy_client.stream("GET", "/v1/live/stream", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            name = position = ""
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    position = line[4:]
                if line.startswith("event: "):
                    name = line[7:]
                if line.startswith("data: ") and name != "beat":
                    return name, position
        raise AssertionError("the stream ended")

    name, position = first()
    assert name == "snapshot"
    name, _ = first(**{"last-event-id": position})
    assert name == "summary", "the town stands still: nothing was missed"


def test_in_production_the_live_page_needs_its_entitlement() -> None:
    app = compose(Town(now=lambda: 60.0), environment=Environment.PRODUCTION)
    with serve(app) as url, httpx.Client(base_url=url) as client:
        for path in ("summary", "movements", "stream"):
            assert client.get(f"/v1/live/{path}").status_code == 401
            powerless = client.get(
                f"/v1/live/{path}", headers={"authorization": "Bearer nobody"}
            ).json()
            assert powerless["code"] == "not_entitled"
            assert powerless["facts"]["verb"] == "live.read"
        allowed = client.get("/v1/live/summary", headers={"authorization": BEARER})
        assert allowed.status_code == 200
        assert allowed.headers["strict-transport-security"].startswith("max-age=")
        assert client.get("/").status_code == 200, "the page itself says what is missing"
