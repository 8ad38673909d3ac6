"""Routes of currency and of cross-border payments: who may do what, and what is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, Gate, NoPolicyGate
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.payments.http import cross_border_router, fx_router
from steelyard.payments.model import accounts
from steelyard.payments.model.crossborder import Delivery, Word
from steelyard.payments.service.crossborder_sending import CrossBorder
from tests.house import House
from tests.payments.exchange import ScriptedRemitter, open_exchange
from tests.payments.till import OTHER_SHOP, SHOP, balance

VERBS = frozenset({"payments.exchange", "payments.read"})
MERCHANT = Caller("key:shop", VERBS, str(SHOP))
OTHER = Caller("key:other", VERBS, str(OTHER_SHOP))
STAFF = Caller("staff:1", frozenset({"payments.*"}))
SECOND = Caller("staff:2", frozenset({"payments.*"}))
CORRIDOR = {
    "sell": "CNY",
    "buy": "USD",
    "spread_ppm": 1_000,
    "fixed_minor": 500,
    "most_minor": 1_000_000,
    "arrives_minutes": 60,
}
BENEFICIARY = {"name": "Ada Bell", "account": "GB-1", "bank": "BANKUS33"}


@dataclass
class Bank(House):
    cross_border: CrossBorder
    gate: Gate = field(default_factory=NoPolicyGate)


@dataclass
class Counter:
    app: FastAPI
    house: Bank
    alpha: ScriptedRemitter
    database: Database

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments{path}", **more)

        return asyncio.run(run())

    def send(
        self, caller: Caller, path: str, body: dict[str, Any] | None = None, method: str = "POST"
    ) -> httpx.Response:
        self.house.caller = caller
        headers = {"Idempotency-Key": uuid4().hex}
        return self.request(method, path, json=body, headers=headers)

    def get(self, caller: Caller, path: str) -> httpx.Response:
        self.house.caller = caller
        return self.request("GET", path)


@pytest.fixture
def counter(database: Database) -> Counter:
    open_exchange(database)
    alpha = ScriptedRemitter("alpha")
    house = Bank(database, MERCHANT, CrossBorder(database, NoPolicyGate(), {"alpha": alpha}))
    app = FastAPI()
    app.include_router(fx_router)
    app.include_router(cross_border_router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Counter(app, house, alpha, database)


def test_a_merchant_is_quoted_and_converts(counter: Counter) -> None:
    ask = {"sell": "CNY", "buy": "USD", "sell_minor": 100_000, "lock": "30m"}
    made = counter.send(MERCHANT, "/fx/quotes", ask)
    assert made.status_code == 201, made.text
    quote = made.json()
    assert (quote["side"], quote["state"], quote["holder"]) == ("sell", "active", str(SHOP))
    both = counter.send(MERCHANT, "/fx/quotes", {**ask, "buy_minor": 5})
    assert (both.status_code, both.json()["code"]) == (422, "both_sides_are_given")
    stolen = counter.send(OTHER, "/fx/conversions", {"quote": quote["id"]})
    assert (stolen.status_code, stolen.json()["code"]) == (404, "quote_is_unknown")
    done = counter.send(MERCHANT, "/fx/conversions", {"quote": quote["id"]})
    assert done.status_code == 201, done.text
    assert done.json()["buy_minor"] == quote["buy_minor"]
    again = counter.send(MERCHANT, "/fx/conversions", {"quote": quote["id"]})
    assert (again.status_code, again.json()["code"]) == (409, "quote_is_not_active")
    assert counter.get(MERCHANT, f"/fx/quotes/{quote['id']}").json()["state"] == "consumed"
    assert len(counter.get(MERCHANT, "/fx/conversions").json()["items"]) == 1
    assert counter.get(OTHER, "/fx/conversions").json()["items"] == []
    assert counter.get(OTHER, f"/fx/conversions/{done.json()['id']}").status_code == 404
    held = counter.get(STAFF, "/fx/positions").json()
    assert {one["currency"]: one["amount_minor"] for one in held["items"]}["CNY"] == 100_000
    assert held["pairs"][0]["conversions"] == 1
    valued = counter.send(STAFF, "/fx/positions/revalue", {})
    assert valued.json()["gain_minor"] > 0


def test_rates_are_the_institutions_own(counter: Counter) -> None:
    shown = counter.get(MERCHANT, "/fx/rates?sell=USD&buy=CNY").json()
    assert 6 < float(shown["market"]) < float(shown["mid"]) < 8
    for path, body in (
        ("/fx/rates", {"ticks": [tick(counter)]}),
        ("/fx/margins", {"margin_ppm": 1, "starts_at": "2027-01-01T00:00:00Z"}),
        ("/fx/positions/revalue", {}),
    ):
        assert counter.send(MERCHANT, path, body).json()["code"] == "not_entitled"
    assert counter.get(MERCHANT, "/fx/positions").status_code == 403
    source = {"calendar": "WEEKENDS", "cap_seconds": 900}
    assert counter.send(STAFF, "/fx/sources/desk", source, "PUT").status_code == 200
    taken = counter.send(STAFF, "/fx/rates", {"ticks": [tick(counter)]}).json()["items"]
    assert [(one["state"], one["currency"]) for one in taken] == [("held", "CNY")]
    (held,) = counter.get(STAFF, "/fx/rates/held").json()["items"]
    path = f"/fx/rates/{held['id']}/confirm"
    own = counter.send(STAFF, path, {"reason": "seen"})
    assert (own.status_code, own.json()["code"]) == (403, "rate_is_own_work")
    assert counter.get(MERCHANT, "/fx/rates?sell=USD&buy=CNY").json()["code"] == "rate_is_held"
    assert counter.send(SECOND, path, {"reason": "seen"}).json()["state"] == "accepted"
    back = counter.send(
        STAFF, "/fx/positions/top-up", {"currency": "USD", "amount_minor": -(10**12)}
    )
    assert back.json()["code"] == "own_currency_is_short"


def tick(counter: Counter) -> dict[str, Any]:
    at = counter.database.now().isoformat()
    return {"source": "desk", "currency": "CNY", "bid": "9.5", "ask": "9.51", "observed_at": at}


def test_a_payment_goes_abroad_by_one_confirmation(counter: Counter) -> None:
    assert counter.send(STAFF, "/cross-border/corridors/alpha", CORRIDOR, "PUT").status_code == 200
    ask = {"sell": "CNY", "buy": "USD", "buy_minor": 10_000, "lock": "30m"}
    quote = counter.send(MERCHANT, "/fx/quotes", ask).json()
    body = {
        "payment_no": "X-1",
        "quote": quote["id"],
        "beneficiary": BENEFICIARY,
        "country": "US",
        "purpose": "goods",
    }
    made = counter.send(MERCHANT, "/cross-border", body)
    assert made.status_code == 201, made.text
    path = f"/cross-border/{made.json()['id']}"
    assert (made.json()["state"], made.json()["choice"]) == ("quoted", None)
    assert counter.send(OTHER, f"{path}/confirm").json()["code"] == "cross_border_is_unknown"
    counter.alpha.said = Delivery(word=Word.UNKNOWN)
    first = counter.send(MERCHANT, f"{path}/confirm").json()
    assert (first["state"], first["legs"][0]["state"]) == ("converted", "sending")
    # Confirmed again it is not sent again: it is asked about.
    assert counter.send(MERCHANT, f"{path}/confirm").json()["state"] == "converted"
    assert counter.alpha.verbs() == ["execute", "send"]
    assert counter.send(STAFF, f"{path}/recall").json()["code"] == "cross_border_state_forbids"
    seen = counter.get(STAFF, path).json()
    assert [one["provider"] for one in seen["choice"]["candidates"]] == ["alpha"]
    assert "provider_said" in [one["what"] for one in seen["history"]]
    assert counter.get(MERCHANT, path).json()["history"] is None
    assert balance(counter.database, accounts.cross_border("USD")) == 10_000
    assert counter.get(OTHER, "/cross-border").json()["items"] == []
    assert counter.get(STAFF, "/cross-border/arrivals").json()["items"] == []
    used = counter.send(MERCHANT, "/cross-border", body)
    assert used.json()["code"] == "cross_border_no_was_used"
