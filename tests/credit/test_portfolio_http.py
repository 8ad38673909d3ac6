from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.credit.http import portfolio_router
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.conftest import Store
from tests.credit.test_portfolio import keep, put_loans
from tests.house import House

ANN, BOB = "staff:ann", "staff:bob"
MONTHS = [date(2025, 10, 31), date(2025, 11, 30), date(2025, 12, 31), date(2026, 1, 31)]


@dataclass
class Client:
    app: FastAPI
    house: House

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/credit{path}", **more)

        return asyncio.run(run())

    def post(self, path: str, body: Any, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.request("POST", path, json=body, headers=headers)


@pytest.fixture
def client(database: Database) -> Client:
    house = House(database, Caller(ANN, frozenset({"credit.read_portfolio", "credit.estimate"})))
    app = FastAPI()
    app.include_router(portfolio_router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Client(app, house)


def test_the_book_over_http(store: Store, client: Client, database: Database) -> None:
    empty = client.request("GET", "/portfolio")
    assert (empty.status_code, empty.json()["code"]) == (404, "book_is_empty")
    put_loans(store, 200, lost=1)
    for month_on in MONTHS:
        keep(database, month_on)
    months = client.request("GET", "/portfolio/months").json()
    assert [one["loans"] for one in months] == [200, 199, 199, 199]
    told = client.request("GET", "/portfolio", params={"funding_bp": 0}).json()
    tables = {one["name"]: one["rows"] for one in told["tables"]}
    assert tables["profit_and_loss"][0]["funding_minor"] == 0
    assert tables["profit_and_loss"][0]["lost_minor"] == 60_000


def test_parameters_over_http(store: Store, client: Client, database: Database) -> None:
    short = client.post("/risk-parameters", {})
    assert (short.status_code, short.json()["code"]) == (404, "book_is_empty")
    put_loans(store, 200, lost=1)
    for month_on in MONTHS:
        keep(database, month_on)
    shown = client.post("/risk-parameters", {"dry_run": True})
    assert (shown.status_code, shown.json()["version"]) == (201, 1)
    assert client.request("GET", "/risk-parameters/1").json()["code"] == "parameters_are_unknown"
    key = str(uuid4())
    made = client.post("/risk-parameters", {}, key)
    assert made.json() == client.post("/risk-parameters", {}, key).json()
    assert made.json()["lines"] == client.request("GET", "/risk-parameters/1").json()["lines"]
    path, body = "/risk-parameters/1/adopt", {"from_on": "2026-02-01"}
    asked = client.post(path, body).json()
    assert asked["is_done"] is False
    with database.reading() as connection:
        approval = approvals.read_approval(connection, asked["approval"])
    by = Caller(BOB, frozenset({"credit.approve"}))
    database.transact(
        lambda unit: approvals.approve(unit, approval.id, by=by, shown_hash=approval.shown_hash),
        actor=BOB,
    )
    assert client.post(path, {**body, "approval": asked["approval"]}).json()["is_done"] is True
    on = {"on": "2026-02-01"}
    assert client.request("GET", "/risk-parameters", params=on).json()["version"] == 1
    before = {"on": "2026-01-31"}
    assert client.request("GET", "/risk-parameters", params=before).json()["version"] == 0


def test_a_stranger_estimates_nothing(client: Client) -> None:
    client.house.caller = Caller(ANN, frozenset({"credit.read_portfolio"}))
    found = client.post("/risk-parameters", {})
    assert (found.status_code, found.json()["code"]) == (403, "not_entitled")
