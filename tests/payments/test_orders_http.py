"""Routes of orders: who may do what, keys sent again, refusals, the history of a payment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.ledger import AccountKind, NewAccount, open_accounts
from steelyard.payments.http import order_router
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import Finding, PayRequest, Said
from steelyard.payments.service.paying import Paying
from tests.house import House
from tests.payments.till import (
    CLIENTS,
    OTHER_SHOP,
    SHOP,
    WALLET,
    ScriptedDesk,
    balance,
    open_shop,
    paying,
    top_up,
)

MERCHANT = Caller("key:shop", frozenset({"payments.pay", "payments.read"}), str(SHOP))
OTHER = Caller("key:other", frozenset({"payments.pay", "payments.read"}), str(OTHER_SHOP))
STAFF = Caller("staff:1", frozenset({"payments.*"}))


@dataclass
class Till(House):
    paying: Paying


@dataclass
class Shop:
    app: FastAPI
    house: Till
    desk: ScriptedDesk
    database: Database

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments{path}", **more)

        return asyncio.run(run())

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self.request("POST", path, json=body, headers=headers)

    def get(self, path: str) -> Any:
        return self.request("GET", path).json()


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    open_shop(database)
    desk = ScriptedDesk()
    with paying(database, desk) as opened:
        yield Shop(_app(house := Till(database, MERCHANT, opened)), house, desk, database)


def _app(house: Till) -> FastAPI:
    app = FastAPI()
    app.include_router(order_router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return app


def order(**changes: Any) -> dict[str, Any]:
    body = {"order_no": f"N-{uuid4().hex[:10]}", "amount_minor": 10_000, "subject": "Tea 茶叶"}
    return {**body, "pay": {"method": "wallet"}, **changes}


def test_an_order_is_created_and_paid_in_one_request(shop: Shop) -> None:
    answer = shop.post("/orders", order())
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["captured_minor"], made["attempt"]["state"]) == (
        "succeeded",
        10_000,
        "succeeded",
    )
    seen = shop.get(f"/orders/{made['id']}")
    assert [row["source"] for row in seen["evidence"]] == ["answer"]
    listed = shop.get("/orders")["items"]
    assert [one["id"] for one in listed] == [made["id"]]


def test_case_10_a_client_that_lost_the_answer_sends_its_key_again(shop: Shop) -> None:
    body, key = order(), "key-of-mine"
    first, again = shop.post("/orders", body, key), shop.post("/orders", body, key)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert shop.desk.channel.verbs() == ["pay"]


def test_case_11_a_key_with_another_body_is_refused(shop: Shop) -> None:
    shop.post("/orders", order(), "k")
    answer = shop.post("/orders", order(amount_minor=1), "k")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_was_used")


def test_case_12_one_key_in_parallel_pays_once(shop: Shop) -> None:
    body, key = order(), "parallel"
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: shop.post("/orders", body, key), range(64)))
    codes = {answer.status_code for answer in answers}
    assert codes <= {201, 409}
    assert {a.json()["id"] for a in answers if a.status_code == 201} == {
        shop.get("/orders")["items"][0]["id"]
    }
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"request_is_in_flight"}
    assert shop.desk.channel.verbs() == ["pay"]
    assert balance(shop.database, accounts.pending(SHOP, "CNY")) == 10_000


def test_case_13_the_same_order_number_with_a_new_key_is_refused(shop: Shop) -> None:
    body = order()
    made = shop.post("/orders", body).json()
    answer = shop.post("/orders", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "order_no_was_used")
    assert answer.json()["facts"]["payment"] == made["id"]


def test_case_88_another_merchants_payment_is_not_found(shop: Shop) -> None:
    made = shop.post("/orders", order(pay=None)).json()
    shop.house.caller = OTHER
    path = f"/orders/{made['id']}"
    for answer in (
        shop.request("GET", path),
        shop.post(f"{path}/cancel", {}),
        shop.post(f"{path}/pay", {"method": "wallet"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "payment_is_unknown")
    assert shop.get("/orders")["items"] == []
    answer = shop.post("/orders", order(merchant=str(SHOP)))
    assert (answer.status_code, answer.json()["code"]) == (403, "not_entitled")


def test_a_merchant_does_not_pay_out_of_its_customers_account(shop: Shop) -> None:
    body = order(pay={"method": "balance", "payer": {"account": WALLET}})
    answer = shop.post("/orders", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_entitled")
    assert balance(shop.database, WALLET) == 1_000_000


def test_a_customer_pays_out_of_his_own_account(shop: Shop) -> None:
    made = shop.post("/orders", order(pay=None)).json()
    ann = UUID(int=77)

    def work(unit: Any) -> None:
        account = NewAccount(
            code="wallet:own",
            currency="CNY",
            kind=AccountKind.LIABILITY,
            owner=f"party:{ann}",
            debit_limit=0,
        )
        open_accounts(unit, CLIENTS, [account], cause="rule.test@1")
        top_up(unit, "wallet:own", 10_000)

    shop.database.transact(work)
    shop.house.caller = replace(STAFF, party=None)
    body = {"method": "balance", "payer": {"account": "wallet:own", "customer": str(ann)}}
    answer = shop.post(f"/orders/{made['id']}/pay", body)
    assert answer.json()["state"] == "succeeded", answer.text
    assert balance(shop.database, "wallet:own") == 0


def test_an_unknown_attempt_is_told_as_what_it_is(shop: Shop) -> None:
    def lost(request: PayRequest) -> Finding:
        return Finding(said=Said.UNKNOWN, why="timeout")

    shop.desk.channel.paid = lost
    made = shop.post("/orders", order()).json()
    assert (made["state"], made["attempt"]["state"]) == ("processing", "unknown")
    answer = shop.post(f"/orders/{made['id']}/pay", {"method": "wallet"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_is_under_way")
    answer = shop.post(f"/orders/{made['id']}/cancel", {})
    assert answer.json()["state"] == "expiring"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"currency": "EUR"}, "currency_is_not_taken"),
        ({"expires_at": "2000-01-01T00:00:00Z"}, "expiry_is_out_of_range"),
    ],
)
def test_what_cannot_be_is_refused(shop: Shop, changes: dict[str, Any], code: str) -> None:
    answer = shop.post("/orders", order(**changes))
    assert answer.json()["code"] == code, answer.text
    assert shop.get("/orders")["items"] == []
