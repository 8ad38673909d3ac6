"""Policies and lists over HTTP: two people, entitlements, refusals in both languages."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.decisions.http import list_router, policy_router
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from tests.decisions.desk import ANN, BOB, Desk, changed
from tests.house import House

EVERYTHING = frozenset({"decisions.*", "experiments.*"})


@dataclass
class Client:
    app: FastAPI
    house: House
    desk: Desk

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1{path}", **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.request("POST", path, json=body, headers=headers)

    def as_(self, actor: str) -> None:
        self.house.caller = Caller(actor, EVERYTHING)

    def done_by_two(self, path: str, body: dict[str, Any] | None = None) -> None:
        asked = self.post(path, body or {}).json()
        assert asked["is_done"] is False
        self.house.database.transact(
            lambda unit: approvals.approve(
                unit,
                asked["approval"],
                by=Caller(BOB, EVERYTHING),
                shown_hash=asked["shown_hash"],
            ),
            actor=BOB,
        )
        done = self.post(path, {**(body or {}), "approval": asked["approval"]})
        assert done.json()["is_done"] is True


@pytest.fixture
def client(database: Database, clock: SteppingClock) -> Client:
    house = House(database, Caller(ANN, EVERYTHING))
    app = FastAPI()
    app.include_router(policy_router)
    app.include_router(list_router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Client(app, house, Desk(database, clock))


def wire() -> dict[str, Any]:
    content = changed()
    return {
        "document": json.loads(content.source),
        "examples": json.loads(content.examples),
        "fails": "closed",
        "budget": {"window": 500, "most_bp": 1000, "resume_bp": 500, "fewest": 100},
        "note": "a point less",
    }


def test_a_policy_lives_over_http(client: Client) -> None:
    scenes = {one["scene"]: one for one in client.get("/policies").json()["items"]}
    assert scenes["withdrawal"]["active"] == 1
    assert client.post("/policies/withdrawal/check", {"content": wire()}).json()["is_sound"]
    assert client.post("/policies/withdrawal/draft", wire()).json()["drafted_by"] == ANN
    assert client.get("/policies/withdrawal/draft").json()["content"]["note"] == "a point less"
    checked = client.post("/policies/withdrawal/check", {}).json()
    assert checked["is_sound"] is True
    assert {one["severity"] for one in checked["findings"]} == {"warning", "note"}
    key = str(uuid4())
    committed = client.post("/policies/withdrawal/commit", key=key)
    assert (committed.status_code, committed.json()["version"]) == (201, 2)
    assert client.post("/policies/withdrawal/commit", key=key).json() == committed.json()
    whole = client.get("/policies/withdrawal/versions/2").json()
    assert whole["content"] == wire()
    assert "rules/W01" in whole["rules"]
    path = "/policies/withdrawal/versions/2"
    assert client.post(f"{path}/shadow", {"since": "2026-01-01T00:00:00Z"}).json()["decisions"] == 0
    assert client.get(f"{path}/shadow").json()["is_running"] is True
    assert client.get(f"{path}/shadow/differences").json() == {"items": []}
    assert client.post(f"{path}/shadow/stop").json()["is_running"] is False
    client.done_by_two(f"{path}/challenge", {"weight_bp": 500})
    challenge = client.get("/policies/withdrawal/challenge").json()
    assert (challenge["challenger"], challenge["state"]) == (2, "running")
    client.done_by_two("/policies/withdrawal/challenge/end")
    client.done_by_two(f"{path}/promote")
    client.done_by_two("/policies/withdrawal/roll-back")
    hows = [one["how"] for one in client.get("/policies/withdrawal/promotions").json()["items"]]
    assert hows == ["roll_back", "promote", "install"]
    page = client.get("/policies/withdrawal/versions", limit=1).json()
    assert [one["version"] for one in page["items"]] == [2]
    rest = client.get("/policies/withdrawal/versions", cursor=page["next"]).json()
    assert [one["version"] for one in rest["items"]] == [1]


def test_what_is_stopped_at_once(client: Client) -> None:
    rule = {"rule": "rules/W01", "reason": "wrong"}
    assert client.post("/policies/withdrawal/rules/stop", rule).json()["stopped_by"] == ANN
    assert client.post("/policies/withdrawal/rules/stop", rule).status_code == 409
    assert (
        client.post("/policies/withdrawal/rules/resume", {"rule": "rules/W01"}).status_code == 403
    )
    snooze = {"rule": "rules/W02", "subject": "customer:1", "until_at": "2026-03-09T00:00:00+08:00"}
    made = client.post("/policies/withdrawal/snoozes", {**snooze, "reason": "known"})
    assert (made.status_code, made.json()["until_at"]) == (201, "2026-03-08T16:00:00Z")
    assert len(client.get("/policies/withdrawal/snoozes").json()["items"]) == 1
    id = made.json()["id"]
    assert client.post(f"/policies/log_in/snoozes/{id}/end").status_code == 404
    assert client.post(f"/policies/withdrawal/snoozes/{id}/end").status_code == 200
    past = {**snooze, "until_at": "2020-01-01T00:00:00Z", "reason": "known"}
    assert client.post("/policies/withdrawal/snoozes", past).json()["code"] == "snooze_is_malformed"
    thrown = client.post("/policies/withdrawal/kill", {"reason": "declines all"}).json()
    assert (thrown["subject"], thrown["is_thrown"]) == ("scene:withdrawal", True)
    assert client.post("/policies/withdrawal/lift", {}).status_code == 403
    (scene,) = [
        one for one in client.get("/policies").json()["items"] if one["scene"] == "withdrawal"
    ]
    assert (scene["thrown"], scene["stopped"][0]["rule"]) == (["scene:withdrawal"], "rules/W01")
    client.as_(BOB)
    assert client.post("/policies/withdrawal/lift", {}).json()["is_thrown"] is False
    assert (
        client.post("/policies/withdrawal/rules/resume", {"rule": "rules/W01"}).status_code == 200
    )


def test_lists_over_http(client: Client) -> None:
    body = {"values": ["k1", "k2"], "reason": "stolen", "until_at": "2026-04-01T00:00:00Z"}
    assert client.post("/lists/blocked_cards/entries", body).json() == {"added": 2}
    text = "value,reason\nk2,known\nk3,known\n"
    assert client.post("/lists/blocked_cards/import", {"csv": text}).json() == {"added": 1}
    found = client.get("/lists/blocked_cards").json()["items"]
    assert [(one["value"], one["reason"]) for one in found] == [
        ("k1", "stolen"),
        ("k2", "known"),
        ("k3", "known"),
    ]
    off = {"value": "k1", "reason": "found again"}
    assert client.post("/lists/blocked_cards/remove", off).json() == {"value": "k1"}
    assert client.post("/lists/blocked_cards/remove", off).json()["code"] == "entry_is_unknown"
    (cards,) = [
        one for one in client.get("/lists").json()["items"] if one["name"] == "blocked_cards"
    ]
    assert cards == {"name": "blocked_cards", "means": "block", "field": "card", "entries": 2}


@pytest.mark.parametrize(
    ("path", "body", "code", "status"),
    [
        ("/policies/withdrawal/commit", None, "draft_is_unknown", 404),
        ("/policies/tea/draft", "wire", "scene_is_unknown", 404),
        ("/policies/withdrawal/versions/9/promote", {}, "policy_version_is_unknown", 404),
        ("/policies/withdrawal/versions/1/promote", {}, "policy_is_active", 409),
        ("/policies/withdrawal/roll-back", {}, "nothing_to_roll_back_to", 409),
        ("/policies/withdrawal/challenge/end", {}, "challenge_is_unknown", 404),
        ("/policies/withdrawal/kill", {"version": 7, "reason": "x"}, "switch_is_unknown", 404),
        ("/lists/nobody/entries", {"values": ["a"], "reason": "b"}, "list_is_unknown", 404),
        ("/lists/blocked_cards/import", {"csv": "value\nk\n"}, "entry_is_malformed", 422),
    ],
)
def test_refusals_have_both_languages(
    client: Client, path: str, body: Any, code: str, status: int
) -> None:
    sent = wire() if body == "wire" else body
    told = client.post(path, sent)
    assert (told.status_code, told.json()["code"]) == (status, code)
    headers = {"Idempotency-Key": str(uuid4()), "Accept-Language": "zh-CN"}
    chinese = client.request("POST", path, json=sent, headers=headers).json()
    assert chinese["code"] == code
    assert chinese["title"] != told.json()["title"]


@pytest.mark.parametrize(
    "more",
    [
        {"document": "text"},
        {"document": {"nodes": [], "edges": []}},
        {"examples": [{"name": 1}]},
        {"fails": "ajar"},
        {"budget": {"window": 10, "most_bp": 100, "resume_bp": 500, "fewest": 5}},
        {"budget": {"window": 10, "most_bp": 100, "resume_bp": 50, "fewest": 50}},
        {"size": 3},
    ],
)
def test_nonsense_is_no_draft(client: Client, more: dict[str, Any]) -> None:
    assert client.post("/policies/withdrawal/draft", {**wire(), **more}).status_code == 422
    assert client.get("/policies/withdrawal/draft").status_code == 404


def test_who_may_not_is_told_so(client: Client) -> None:
    client.house.caller = Caller(ANN, frozenset({"decisions.read"}))
    assert client.get("/policies").status_code == 200
    for path, body in (
        ("/policies/withdrawal/draft", wire()),
        ("/policies/withdrawal/kill", {"reason": "x"}),
        ("/lists/blocked_cards/entries", {"values": ["a"], "reason": "b"}),
    ):
        assert client.post(path, body).status_code == 403
