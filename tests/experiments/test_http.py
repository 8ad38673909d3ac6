"""The routes: two people over HTTP, entitlements, malformed bodies, refusals in both languages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.experiments.http import router
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.experiments.conftest import ANN, BOB
from tests.house import House

BODY: dict[str, Any] = {
    "name": "card_policy_8",
    "hypothesis": "Policy 8 lets less fraud through.",
    "unit": "customer",
    "arms": [{"name": "policy_7", "weight_bp": 5000}, {"name": "policy_8", "weight_bp": 5000}],
    "metrics": [
        {"name": "charged_back", "kind": "proportion", "better": "lower"},
        {"name": "margin", "kind": "mean", "better": "higher", "decimals": 2},
    ],
    "layer": "payment",
}


@dataclass
class Client:
    app: FastAPI
    house: House

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/experiments{path}", **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.request("POST", path, json=body, headers=headers)

    def start(self) -> None:
        assert self.post("", BODY).status_code == 201
        path = "/card_policy_8/versions/1/start"
        asked = self.post(path, {}).json()
        self.approve(asked["request"])
        done = self.post(path, {"approval": asked["request"]["approval"]})
        assert done.json()["is_done"] is True

    def approve(self, request: dict[str, Any]) -> None:
        by = Caller(BOB, frozenset({"experiments.approve"}))
        self.house.database.transact(
            lambda unit: approvals.approve(
                unit, request["approval"], by=by, shown_hash=request["shown_hash"]
            ),
            actor=BOB,
        )


@pytest.fixture
def client(database: Database) -> Client:
    house = House(database, Caller(ANN, frozenset({"experiments.*"})))
    app = FastAPI()
    app.include_router(router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Client(app, house)


def test_an_experiment_lives_over_http(client: Client) -> None:
    client.start()
    shown = client.get("/card_policy_8").json()
    assert (shown["state"], shown["version"], shown["salt"]) == ("running", 1, "card_policy_8")
    assert shown["allocation"] == [
        {"arm": "policy_7", "start": 0, "stop": 5000},
        {"arm": "policy_8", "start": 5000, "stop": 10000},
    ]
    units = {"units": ["c1", "c2", "c3"]}
    assigned = client.post("/card_policy_8/assign", units).json()["items"]
    assert assigned == client.post("/card_policy_8/expose", units).json()["items"]
    assert {one["arm"] for one in assigned} <= {"policy_7", "policy_8"}
    path = "/card_policy_8/versions/1"
    told = client.post(
        f"{path}/outcomes",
        {
            "metric": "margin",
            "outcomes": [{"unit": "c1", "value": "1.25"}, {"unit": "x", "value": 1}],
        },
    )
    assert told.json()["items"] == ["recorded", "not_exposed"]
    results = client.get(f"{path}/results").json()
    assert (results["verdict"], results["best"], results["is_over"]) == ("continue", None, False)
    assert sum(arm["total"] for arm in results["metrics"][1]["arms"]) == 125
    assert sum(arm["exposed"] for arm in results["metrics"][0]["arms"]) == 3
    assert (
        client.get(f"{path}/results", as_of="2020-01-01T00:00:00Z").json()["metrics"][0]["arms"][0][
            "exposed"
        ]
        == 0
    )
    asked = client.post(f"{path}/stop", {}).json()
    assert asked["request"]["kind"] == "experiments.stop"
    client.approve(asked["request"])
    stopped = client.post(f"{path}/stop", {"approval": asked["request"]["approval"]}).json()
    assert stopped["experiment"]["state"] == "stopped"
    assert client.get(f"{path}/results").json()["verdict"] == "no_difference"
    assert [one["name"] for one in client.get("", state="stopped").json()["items"]] == [
        "card_policy_8"
    ]


def test_a_repeated_request_is_answered_as_before(client: Client) -> None:
    first = client.post("", BODY, key="k1")
    again = client.post("", BODY, key="k1")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert client.get("/card_policy_8").json()["version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"arms": []},
        {"arms": [{"name": "a", "weight_bp": 5000.5}, {"name": "b", "weight_bp": 4999.5}]},
        {"alpha_bp": 0},
        {"planned_units": 10},
        {"name": "x" * 61},
        {"starts_at": "2026-01-01"},
        {"metrics": [{"name": "m", "kind": "median", "better": "higher"}]},
    ],
)
def test_a_malformed_body_is_refused(client: Client, change: dict[str, Any]) -> None:
    assert client.post("", BODY | change).status_code == 422
    assert client.get("").json()["items"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Card"}, "experiment_is_malformed"),
        ({"slots": {"start": 10, "stop": 10}}, "experiment_is_malformed"),
        (
            {"arms": [{"name": "a", "weight_bp": 1}, {"name": "b", "weight_bp": 1}]},
            "weights_do_not_add_up",
        ),
        (
            {"arms": [{"name": "a", "weight_bp": 5000}, {"name": "a", "weight_bp": 5000}]},
            "arms_are_wrong",
        ),
    ],
)
def test_a_draft_that_makes_no_sense_is_refused(
    client: Client, change: dict[str, Any], code: str
) -> None:
    answer = client.post("", BODY | change)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/nothing/assign", {"units": ["c1"]}, 404, "experiment_is_unknown"),
        ("/nothing/expose", {"units": ["c1"]}, 404, "experiment_is_unknown"),
        ("/card_policy_8/assign", {"units": ["a b"]}, 422, "unit_is_malformed"),
        ("/card_policy_8/versions/1/start", {}, 409, "experiment_is_not_draft"),
        ("/card_policy_8/versions/2/start", {}, 404, "experiment_is_unknown"),
        (
            "/card_policy_8/versions/1/stop",
            {"approval": "018f0000-0000-7000-8000-000000000009"},
            404,
            "approval_is_unknown",
        ),
        (
            "/card_policy_8/versions/1/outcomes",
            {"metric": "cost", "outcomes": [{"unit": "c1", "value": 1}]},
            422,
            "metric_is_unknown",
        ),
        (
            "/card_policy_8/versions/1/outcomes",
            {"metric": "charged_back", "outcomes": [{"unit": "c1", "value": 2}]},
            422,
            "outcome_is_wrong",
        ),
    ],
)
def test_refusals_come_with_their_codes(
    client: Client, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    client.start()
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_nan_is_no_outcome(client: Client) -> None:
    client.start()
    client.post("/card_policy_8/expose", {"units": ["c1"]})
    for value in ("NaN", "Infinity", "1e999", 1.25, [], {}, None, True):
        body = {"metric": "margin", "outcomes": [{"unit": "c1", "value": value}]}
        answer = client.post("/card_policy_8/versions/1/outcomes", body)
        assert answer.status_code == 422, value


@pytest.mark.parametrize(
    ("verbs", "path", "body"),
    [
        ("experiments.read", "", BODY),
        ("experiments.read", "/card_policy_8/expose", {"units": ["c1"]}),
        ("experiments.expose", "/card_policy_8/versions/1/start", {}),
        ("experiments.manage", "/card_policy_8/assign", {"units": ["c1"]}),
    ],
)
def test_each_verb_takes_its_entitlement(
    client: Client, verbs: str, path: str, body: dict[str, Any]
) -> None:
    client.house.caller = Caller(ANN, frozenset({verbs}))
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_entitled")


def test_every_route_declares_its_refusals(client: Client) -> None:
    paths = client.app.openapi()["paths"]
    verbs = {(path, method) for path, methods in paths.items() for method in methods}
    assert len(verbs) == 9
    for path, method in verbs:
        assert "403" in paths[path][method]["responses"], (path, method)
