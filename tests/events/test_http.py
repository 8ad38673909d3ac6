"""The routes: pages, the stream, consumers and dead letters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.events import Feed, drain
from steelyard.events.http import router
from steelyard.events.service.delivery import Delivery
from steelyard.kernel import Refusal
from tests.events.lamps import light
from tests.events.test_delivery import failing, seen


@dataclass
class House:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    database: Database
    caller: Caller

    @property
    def verifier(self) -> House:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller


@pytest.fixture
def house(stepped: Database) -> House:
    return House(stepped, Caller("staff:op", frozenset({"events.*"})))


@pytest.fixture
def app(house: House) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return app


@pytest.fixture
def client(app: FastAPI) -> Client:
    return Client(app)


class Client:
    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/events{path}", **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any, *, key: str = "") -> httpx.Response:
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self.request("POST", path, json=body, headers=headers)


def test_polling_by_cursor(client: Client, stepped: Database) -> None:
    light(stepped, "a", 1, 2, 3)
    first = client.get("", limit=2).json()
    assert [item["payload"]["nth"] for item in first["items"]] == [1, 2]
    assert first["has_more"]
    second = client.get("", cursor=first["next"]).json()
    assert [item["payload"]["nth"] for item in second["items"]] == [3]
    assert not second["has_more"]
    light(stepped, "b", 4)
    third = client.get("", cursor=second["next"], subject="lamp:b").json()
    assert [item["subject"] for item in third["items"]] == ["lamp:b"]
    assert third["items"][0]["kind"] == "lamps.LampLit"


def test_latest_and_filters(client: Client, stepped: Database) -> None:
    light(stepped, "a", 1, 2, 3)
    latest = client.get("/latest", limit=2).json()
    assert [item["payload"]["nth"] for item in latest["items"]] == [3, 2]
    rest = client.get("/latest", limit=2, cursor=latest["next"]).json()
    assert [item["payload"]["nth"] for item in rest["items"]] == [1]
    assert rest["next"] is None
    assert client.get("/latest", kind="lamps.LampBroken").json()["items"] == []
    assert client.get("", kind=["lamps.LampBroken", "lamps.LampLit"]).json()["items"]
    assert client.get("", since="2026-03-03T00:00:00Z").json()["items"] == []


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("", {"cursor": "nonsense"}, 422),
        ("/latest", {"cursor": "nonsense"}, 422),
        ("/dead-letters", {"cursor": "WzFlMzAwXQ"}, 422),
        ("/stream", {"cursor": "nonsense"}, 422),
        ("", {"subject": "a\0b"}, 422),
        ("", {"since": "2026-03-03T00:00:00"}, 422),
        ("", {"limit": 0}, 422),
        ("/dead-letters", {"state": "lost"}, 422),
    ],
)
def test_malformed_questions(client: Client, path: str, query: dict[str, Any], status: int) -> None:
    assert client.get(path, **query).status_code == status


def test_verbs_need_their_entitlement(client: Client, house: House) -> None:
    house.caller = Caller("staff:1", frozenset({"events.read"}))
    assert client.get("").status_code == 200
    assert client.post("/consumers/lamps.seen/replay", {}).status_code == 403
    body = {"settlement": "replay", "because": "x"}
    assert client.post("/dead-letters/1/settlement", body).status_code == 403
    house.caller = Caller("staff:1", frozenset())
    for path in ("", "/latest", "/stream", "/consumers", "/dead-letters"):
        assert client.get(path).status_code == 403, path


def test_consumers_and_replay(client: Client, stepped: Database) -> None:
    light(stepped, "a", 1, 2)
    consumer = failing(set())
    drain(stepped, [consumer])
    (shown,) = client.get("/consumers").json()["items"]
    assert (shown["name"], shown["version"], shown["facts_behind"]) == ("lamps.seen", 1, 0)
    assert (shown["activity"], shown["hears"]) == ("idle", ["lamps.LampLit@1"])
    with stepped.unit_of_work() as unit:
        unit.execute("DELETE FROM public.seen")
    key = uuid4().hex
    for _ in range(2):
        answer = client.post("/consumers/lamps.seen/replay", {"from_sequence": 2}, key=key)
        assert answer.status_code == 202, answer.text
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert drain(stepped, [consumer]) == 1
    missing = client.post("/consumers/lamps.seen/replay", {"version": 2})
    assert (missing.status_code, missing.json()["code"]) == (404, "consumer_not_found")


def test_dead_letters(client: Client, stepped: Database) -> None:
    broken = {1, 2}
    light(stepped, "a", 1)
    delivery = Delivery(stepped, failing(broken, attempts=1))
    for _ in range(3):
        delivery.step()
    (letter,) = client.get("/dead-letters", consumer="lamps.seen").json()["items"]
    assert (letter["state"], letter["kind"]) == ("open", "lamps.LampLit")
    broken.clear()
    path = f"/dead-letters/{letter['id']}/settlement"
    assert client.post(path, {"settlement": "replay"}).status_code == 422
    answer = client.post(path, {"settlement": "replay", "because": "mended"})
    assert (answer.status_code, answer.json()["state"]) == (200, "replaying")
    again = client.post(path, {"settlement": "discard", "because": "no"})
    assert (again.status_code, again.json()["code"]) == (409, "dead_letter_is_settled")
    delivery.step()
    assert seen(stepped) == [1]
    assert client.get("/dead-letters").json()["items"] == []
    (done,) = client.get("/dead-letters", state="replayed").json()["items"]
    assert done["settled_by"] == "staff:op"
    lost = client.post("/dead-letters/999/settlement", {"settlement": "replay", "because": "x"})
    assert (lost.status_code, lost.json()["code"]) == (404, "dead_letter_not_found")


@asynccontextmanager
async def streaming(app: FastAPI, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Ask for the stream as a server would, and yield its events."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    gone = asyncio.Event()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/v1/events/stream",
        "raw_path": b"/v1/events/stream",
        "query_string": b"kind=lamps.LampLit",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
        "root_path": "",
        "app": app,
    }

    async def events() -> AsyncIterator[dict[str, str]]:
        text = ""
        while True:
            message = await sent.get()
            if message["type"] == "http.response.start":
                assert message["status"] == 200
                continue
            text += message.get("body", b"").decode()
            while "\n\n" in text:
                block, text = text.split("\n\n", 1)
                lines = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
                if "data" in lines:
                    yield lines
            if not message.get("more_body"):
                return

    task = asyncio.ensure_future(app(scope, receive, sent.put))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(20):
            yield events()
    finally:
        gone.set()
        await task


def test_the_stream_goes_on_behind_the_last_event_id(app: FastAPI, stepped: Database) -> None:
    light(stepped, "a", 1, 2)

    async def run() -> None:
        page = await Async(app).get("/v1/events?limit=1")
        async with streaming(app, last_event_id=page["next"]) as events:
            first = await anext(events)
            await asyncio.to_thread(light, stepped, "a", 3)
            second = await anext(events)
        assert [json.loads(e["data"])["payload"]["nth"] for e in (first, second)] == [2, 3]
        assert first["event"] == "fact"
        await asyncio.to_thread(light, stepped, "a", 4)
        async with streaming(app, last_event_id=second["id"]) as events:
            assert json.loads((await anext(events))["data"])["payload"]["nth"] == 4

    asyncio.run(run())


def test_the_stream_says_why_it_ends(app: FastAPI, stepped: Database) -> None:
    app.state.events_feed = Feed(stepped, waiting=0)

    async def run() -> None:
        page = await Async(app).get("/v1/events?limit=1")
        async with streaming(app, last_event_id=page["next"], accept_language="zh") as events:

            async def read_to_the_end() -> list[dict[str, str]]:
                return [event async for event in events]

            ending = asyncio.ensure_future(read_to_the_end())
            while not ending.done():
                await asyncio.to_thread(light, stepped, "a", 1)
        told = ending.result()[-1]
        problem = json.loads(told["data"])
        assert (told["event"], problem["code"]) == ("refusal", "follower_is_too_slow")
        assert "事件流已中断" in problem["title"]

    asyncio.run(run())


def test_a_full_house_is_a_problem_and_not_a_stream(client: Client, app: FastAPI) -> None:
    app.state.events_feed = Feed(app.state.platform.database, followers=0)
    answer = client.get("/stream")
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_followers")


class Async:
    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def get(self, path: str) -> Any:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return (await http.get(path)).json()
