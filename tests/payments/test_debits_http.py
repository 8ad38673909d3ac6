"""Routes of direct debit: who may do what, from the proposal to the result file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from steelyard.payments.http import debit_batch_router, debit_router, mandate_router
from steelyard.payments.service import batches, debits
from steelyard.payments.service.paying import Paying
from tests.house import House
from tests.payments.debiting import ANN, BOB, TODAY
from tests.payments.till import OTHER_SHOP, SHOP, ScriptedDesk, open_shop, paying

SHOPS = frozenset({"payments.debit", "payments.pay", "payments.read"})
CUSTOMERS = frozenset({"payments.pay", "payments.read"})
MERCHANT = Caller("key:shop", SHOPS, str(SHOP))
OTHER = Caller("key:other", SHOPS, str(OTHER_SHOP))
CUSTOMER = Caller(f"party:{ANN}", CUSTOMERS, str(ANN))
STRANGER = Caller(f"party:{BOB}", CUSTOMERS, str(BOB))
STAFF = Caller("staff:1", frozenset({"payments.*"}))
CHECKER = Caller("staff:2", frozenset({"payments.*"}))


@dataclass
class Till(House):
    paying: Paying
    channels: ScriptedDesk


@dataclass
class Shop:
    app: FastAPI
    house: Till
    database: Database

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments{path}", **more)

        return asyncio.run(run())

    def post(self, by: Caller, path: str, body: Any = None, key: str = "") -> httpx.Response:
        self.house.caller = by
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self.request("POST", path, json=body or {}, headers=headers)

    def get(self, by: Caller, path: str) -> httpx.Response:
        self.house.caller = by
        return self.request("GET", path)


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    open_shop(database)
    desk = ScriptedDesk()
    with paying(database, desk) as opened:
        house = Till(database, MERCHANT, opened, desk)
        app = FastAPI()
        for router in (mandate_router, debit_router, debit_batch_router):
            app.include_router(router)
        app.state.platform = house

        @app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

        yield Shop(app, house, database)


def a_mandate(**changes: Any) -> dict[str, Any]:
    return {
        "customer": str(ANN),
        "mandate_no": f"M-{uuid4().hex[:8]}",
        "single_most_minor": 50_000,
        "period_most_minor": 100_000,
        "details": {"name": "Ann", "iban": "DE89370400440532013000"},
        **changes,
    }


def signed(shop: Shop) -> dict[str, Any]:
    made = shop.post(MERCHANT, "/mandates", a_mandate())
    assert made.status_code == 201, made.text
    done = shop.post(CUSTOMER, f"/mandates/{made.json()['id']}/sign")
    assert done.json()["state"] == "active", done.text
    found: dict[str, Any] = done.json()
    return found


def a_debit(mandate: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "mandate": mandate["id"],
        "debit_no": f"D-{uuid4().hex[:8]}",
        "amount_minor": 10_000,
        "due_on": str(TODAY),
        **changes,
    }


def test_from_the_proposal_to_the_money(shop: Shop) -> None:
    made = signed(shop)
    assert made["details"]["iban"] == "****3000"
    body, key = a_debit(made), "key-1"
    first = shop.post(MERCHANT, "/debits", body, key)
    again = shop.post(MERCHANT, "/debits", body, key)
    assert (first.status_code, again.json()) == (201, first.json())
    sent = shop.post(MERCHANT, f"/debits/{first.json()['id']}/send")
    assert sent.json()["state"] == "succeeded", sent.text
    for by in (MERCHANT, CUSTOMER, STAFF):
        assert len(shop.get(by, "/debits").json()["items"]) == 1
        assert len(shop.get(by, "/mandates").json()["items"]) == 1
    back = {"code": "MD06", "reference": "RET-1"}
    path = f"/debits/{first.json()['id']}/return"
    assert shop.post(MERCHANT, path, back).status_code == 403
    returned = shop.post(STAFF, path, back)
    assert returned.json()["state"] == "refund_claimed", returned.text


@pytest.mark.parametrize("by", [MERCHANT, STAFF])
def test_nobody_signs_for_the_customer(shop: Shop, by: Caller) -> None:
    made = shop.post(MERCHANT, "/mandates", a_mandate()).json()
    answer = shop.post(by, f"/mandates/{made['id']}/sign")
    assert (answer.status_code, answer.json()["code"]) == (
        403,
        "mandate_is_signed_by_the_customer",
    )


def test_case_88_somebody_elses_mandate_debit_and_file_are_not_found(shop: Shop) -> None:
    made = signed(shop)
    debit = shop.post(MERCHANT, "/debits", a_debit(made)).json()
    batch = shop.post(MERCHANT, "/debit-batches", a_batch(made)).json()
    for by, path in (
        (OTHER, f"/mandates/{made['id']}"),
        (STRANGER, f"/mandates/{made['id']}"),
        (OTHER, f"/debits/{debit['id']}"),
        (STRANGER, f"/debits/{debit['id']}"),
        (OTHER, f"/debit-batches/{batch['id']}"),
        (OTHER, f"/debit-batches/{batch['id']}/errors"),
        (OTHER, f"/debit-batches/{batch['id']}/result"),
        (CUSTOMER, f"/debit-batches/{batch['id']}"),
    ):
        assert shop.get(by, path).status_code == 404, path
    for by, path, body in (
        (STRANGER, f"/mandates/{made['id']}/sign", {}),
        (OTHER, f"/mandates/{made['id']}/revoke", {}),
        (OTHER, f"/mandates/{made['id']}/suspend", {}),
        (OTHER, "/debits", a_debit(made)),
        (OTHER, f"/debits/{debit['id']}/cancel", {}),
        (OTHER, f"/debits/{debit['id']}/send", {}),
        (OTHER, f"/debit-batches/{batch['id']}/recall", {}),
        (OTHER, f"/debit-batches/{batch['id']}/approval", {}),
    ):
        assert shop.post(by, path, body).status_code == 404, path
    assert shop.get(OTHER, "/debits").json()["items"] == []
    assert shop.get(STRANGER, "/mandates").json()["items"] == []
    assert shop.get(OTHER, "/debit-batches").json()["items"] == []


def test_the_customer_stops_it(shop: Shop) -> None:
    made = signed(shop)
    path = f"/mandates/{made['id']}"
    assert shop.post(MERCHANT, f"{path}/suspend").json()["state"] == "suspended"
    assert shop.post(MERCHANT, f"{path}/resume").status_code == 403
    assert shop.post(CUSTOMER, f"{path}/resume").json()["state"] == "active"
    assert shop.post(CUSTOMER, f"{path}/revoke").json()["state"] == "terminated"
    answer = shop.post(MERCHANT, "/debits", a_debit(made))
    assert (answer.status_code, answer.json()["code"]) == (409, "mandate_is_not_active")


def test_a_customer_takes_no_money_from_himself_by_a_debit(shop: Shop) -> None:
    made = signed(shop)
    assert shop.post(CUSTOMER, "/debits", a_debit(made)).status_code == 403
    assert shop.post(CUSTOMER, "/mandates", a_mandate()).status_code == 403


def a_batch(mandate: dict[str, Any]) -> dict[str, Any]:
    content = (
        "H,steelyard.debits.1,F-1,CNY,decimal,2,3.00\n"
        "debit_no,mandate_no,amount,due_on,subject\n"
        f"B-1,{mandate['mandate_no']},1.00,{TODAY},Rent\n"
        f"B-2,nobody,2.00,{TODAY},Rent\n"
    )
    return {"name": "rent.csv", "content": content}


def test_a_file_over_the_wire(shop: Shop) -> None:
    made = signed(shop)
    answer = shop.post(MERCHANT, "/debit-batches", a_batch(made))
    assert answer.status_code == 201, answer.text
    path = f"/debit-batches/{answer.json()['id']}"
    again = shop.post(MERCHANT, "/debit-batches", a_batch(made))
    assert (again.status_code, again.json()["code"]) == (409, "debit_file_was_seen")
    desk = shop.house.channels
    batches.work_due(shop.database, desk, actor="system:jobs")
    (wrong,) = shop.get(MERCHANT, f"{path}/errors").json()["items"]
    assert (wrong["line"], wrong["code"]) == (4, "mandate_is_unknown")
    assert wrong["zh"]
    asked = shop.post(MERCHANT, f"{path}/approval").json()
    body = {"approval": asked["approval"]}
    assert shop.post(MERCHANT, f"{path}/approve", body).status_code == 409
    shop.database.transact(
        lambda unit: approvals.approve(
            unit, asked["approval"], by=CHECKER, shown_hash=asked["shown_hash"]
        ),
        actor=CHECKER.actor,
    )
    assert shop.post(MERCHANT, f"{path}/approve", body).json()["state"] == "approved"
    batches.work_due(shop.database, desk, actor="system:jobs")
    debits.send_due(shop.database, shop.house.paying)
    batches.work_due(shop.database, desk, actor="system:jobs")
    seen = shop.get(MERCHANT, path).json()
    assert (seen["state"], seen["progress"]) == ("complete", {"succeeded": 1, "none": 1})
    assert len(seen["parts"]) == 1
    told = shop.get(MERCHANT, f"{path}/result")
    assert told.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[5] for line in told.text.splitlines()[2:-1]] == [
        "succeeded",
        "refused",
    ]
    taken = shop.post(STAFF, f"{path}/results", {"content": _RESULTS})
    assert taken.json()["problems"] == [{"line": 2, "number": "X", "what": "unknown"}]
    assert shop.post(MERCHANT, f"{path}/results", {"content": _RESULTS}).status_code == 403
    assert shop.post(MERCHANT, f"{path}/rerun").status_code == 409


_RESULTS = "number,outcome,amount_minor,code,reference\nX,succeeded,1,,\n"
