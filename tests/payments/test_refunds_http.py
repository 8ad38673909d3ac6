"""Routes of refunds, disputes, splits and transfers: who may, keys sent again, what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from steelyard.payments.http import dispute_router, refund_router, transfer_router
from steelyard.payments.model.channel import Decline, Finding, Said
from steelyard.payments.service import refunds
from tests.house import House
from tests.payments.refunding import AVAILABLE, clear, holds, order_of, paid, sign
from tests.payments.till import OTHER_SHOP, SHOP, ScriptedDesk, balance, open_shop

VERBS = frozenset({"payments.read", "payments.refund", "payments.dispute", "payments.pay"})
MERCHANT = Caller("key:shop", VERBS, str(SHOP))
OTHER = Caller("key:other", VERBS, str(OTHER_SHOP))
STAFF = Caller("staff:one", frozenset({"payments.*"}))
SECOND = Caller("staff:two", frozenset({"payments.approve"}))


@dataclass
class Counter(House):
    channels: ScriptedDesk


@dataclass
class Shop:
    app: FastAPI
    house: Counter
    desk: ScriptedDesk
    database: Database

    def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None
    ) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                headers = {} if method == "GET" else {"Idempotency-Key": key or uuid4().hex}
                return await http.request(method, f"/v1/payments{path}", json=body, headers=headers)

        return asyncio.run(run())

    def done(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def refused(self, path: str, body: Any = None) -> str:
        answer = self.ask("POST", path, body)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["code"])

    def approve(self, approval: str) -> None:
        with self.database.reading() as connection:
            shown = approvals.read_approval(connection, UUID(approval))
        self.database.transact(
            lambda unit: approvals.approve(unit, shown.id, by=SECOND, shown_hash=shown.shown_hash),
            actor=SECOND.actor,
        )


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    open_shop(database)
    desk = ScriptedDesk()
    house = Counter(database, MERCHANT, desk)
    app = FastAPI()
    for router in (refund_router, dispute_router, transfer_router):
        app.include_router(router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    yield Shop(app, house, desk, database)
    holds(database)


def test_a_refund_is_tried_sent_and_answered_again(shop: Shop) -> None:
    order = paid(shop.database, shop.desk)
    body = {"payment": str(order.id), "refund_no": "R-1", "amount_minor": 4_000}
    tried = shop.done("/refunds", {**body, "dry_run": True})
    assert tried["effect"] == {"fee_back_minor": 24, "left_minor": 6_000, "balance_minor": 6_000}
    assert shop.ask("GET", "/refunds").json()["items"] == []
    key = uuid4().hex
    first = shop.ask("POST", "/refunds", body, key=key)
    assert (first.status_code, first.json()["state"]) == (201, "succeeded")
    again = shop.ask("POST", "/refunds", body, key=key)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    # Another key, the same number: the same refund, not another.
    assert shop.done("/refunds", body, status=201)["id"] == first.json()["id"]
    assert shop.desk.channel.verbs().count("refund") == 1
    shown = shop.ask("GET", f"/refunds/{first.json()['id']}").json()
    assert [one["said"] for one in shown["evidence"]] == ["succeeded"]
    assert shown["fee_returned_minor"] == 24


def test_case_88_somebody_elses_refunds_are_not_there(shop: Shop) -> None:
    order = paid(shop.database, shop.desk)
    body = {"payment": str(order.id), "refund_no": "R-1", "amount_minor": 100}
    shop.desk.channel.refunded = lambda _: Finding(said=Said.PENDING)
    refund = shop.done("/refunds", body, status=201)["id"]
    shop.house.caller = STAFF
    dispute = shop.done(
        "/disputes",
        {"payment": str(order.id), "reference": "D-1", "amount_minor": 100},
        status=201,
    )["id"]
    shop.house.caller = OTHER
    assert shop.refused("/refunds", body) == "payment_is_unknown"
    assert shop.refused(f"/refunds/{refund}/withdraw") == "payment_refund_is_unknown"
    assert shop.refused(f"/disputes/{dispute}/accept") == "payment_dispute_is_unknown"
    assert shop.refused(f"/orders/{order.id}/reverse") == "payment_is_unknown"
    for path in (f"/refunds/{refund}", f"/disputes/{dispute}", f"/orders/{order.id}/splits"):
        assert shop.ask("GET", path).status_code == 404
    assert shop.ask("GET", "/refunds").json()["items"] == []
    # And what belongs to staff no merchant does.
    assert shop.refused(f"/refunds/{refund}/give_up") == "not_entitled"
    assert shop.refused(f"/disputes/{dispute}/words", {"word": "won"}) == "not_entitled"


def test_a_large_refund_waits_for_a_second_person(shop: Shop) -> None:
    sign(shop.database, SHOP, refund_alone_minor=5_000)
    order = paid(shop.database, shop.desk)
    body = {"payment": str(order.id), "refund_no": "R-1", "amount_minor": 5_000}
    assert shop.done("/refunds", body, status=201)["state"] == "succeeded"
    # Many small ones are a large one.
    waiting = shop.done("/refunds", {**body, "refund_no": "R-2", "amount_minor": 1}, status=201)
    assert waiting["state"] == "approval"
    assert order_of(shop.database, order.id).refundable_minor == 5_000
    path = f"/refunds/{waiting['id']}/take_up"
    assert shop.refused(path) == "approval_is_needed"
    shop.approve(waiting["approval"])
    assert shop.done(path)["state"] == "succeeded"
    assert shop.refused(path) == "refund_state_forbids"
    other = shop.done("/refunds", {**body, "refund_no": "R-3", "amount_minor": 2}, status=201)
    assert shop.done(f"/refunds/{other['id']}/withdraw")["state"] == "closed"


def test_people_find_another_account(shop: Shop) -> None:
    order = paid(shop.database, shop.desk)
    shop.desk.channel.refunded = lambda _: Finding(
        said=Said.DECLINED, decline=Decline.ACCOUNT_CLOSED
    )
    body = {"payment": str(order.id), "refund_no": "R-1", "amount_minor": 4_000}
    refund = shop.done("/refunds", body, status=201)
    assert refund["state"] == "abnormal"
    shop.house.caller = STAFF
    path, to = f"/refunds/{refund['id']}", {"destination": "payer_account:ann"}
    asked = shop.done(f"{path}/reroute", to)
    wrong = shop.refused(f"{path}/reroute", {**to, "approval": asked["approval"]})
    assert wrong == "approval_is_not_open"
    shop.approve(asked["approval"])
    done = shop.done(f"{path}/reroute", {**to, "approval": asked["approval"]})
    assert done["refund"]["state"] == "processing"
    outcome = {"said": "succeeded", "reference": "bank:1"}
    assert shop.done(f"{path}/outcome", outcome)["state"] == "succeeded"


def test_a_dispute_over_the_wire(shop: Shop) -> None:
    order = paid(shop.database, shop.desk)
    shop.house.caller = STAFF
    body = {"payment": str(order.id), "reference": "D-1", "amount_minor": 4_000}
    dispute = shop.done("/disputes", body, status=201)
    path = f"/disputes/{dispute['id']}"
    shop.done(f"{path}/words", {"word": "evidence_asked", "due_at": "2026-03-09T00:00:00Z"})
    shop.house.caller = MERCHANT
    assert shop.refused(f"{path}/submit") == "dispute_evidence_is_missing"
    proof = {"kind": "delivery_note", "reference": "document:7", "content_hash": "ab" * 32}
    shop.done(f"{path}/evidence", proof, status=201)
    assert shop.done(f"{path}/submit")["state"] == "submitted"
    assert shop.refused(f"{path}/evidence", proof) == "dispute_state_forbids"
    shop.house.caller = STAFF
    assert shop.done(f"{path}/words", {"word": "won"})["money"] == "none"
    shown = shop.ask("GET", path).json()
    assert [one["state"] for one in shown["steps"]] == [
        "opened",
        "evidence_due",
        "submitted",
        "won",
    ]
    assert shown["evidence"][0]["content_hash"] == "ab" * 32
    assert shop.ask("GET", "/disputes?state=won").json()["items"][0]["id"] == dispute["id"]


def test_splits_transfers_and_a_reversal_over_the_wire(shop: Shop) -> None:
    order, other = paid(shop.database, shop.desk), paid(shop.database, shop.desk)
    clear(shop.database, [order])
    body = {"share_no": "S-1", "shares": {OTHER_SHOP.hex: 3_000}}
    made = shop.done(f"/orders/{order.id}/splits", body, status=201)
    assert [one["state"] for one in made["items"]] == ["posted"]
    shop.house.caller = OTHER
    assert len(shop.ask("GET", f"/orders/{order.id}/splits").json()["items"]) == 1
    shop.house.caller = MERCHANT
    transfer = {
        "transfer_no": "T-1",
        "from_merchant": str(SHOP),
        "to_merchant": str(OTHER_SHOP),
        "amount_minor": 2_000,
    }
    assert shop.refused("/transfers", transfer) == "merchant_is_out_of_platform"
    sign(shop.database, OTHER_SHOP, platform=str(SHOP))
    sent = shop.done("/transfers", transfer, status=201)
    back = shop.done(f"/transfers/{sent['id']}/return", {"amount_minor": 500})
    assert back["returned_minor"] == 500
    assert balance(shop.database, AVAILABLE) == 5_500
    assert shop.done(f"/orders/{other.id}/reverse")["state"] == "cancelled"
    assert shop.refused(f"/orders/{order.id}/reverse") == "reversal_is_refused"


def test_refusals_are_listed_in_both_languages() -> None:
    kinds = [*refunds.ASK_REFUSALS, refunds.RefundStateForbids, refunds.PaymentRefundIsUnknown]
    for kind in kinds:
        names = {part.split("}")[0] for part in kind.en.split("{")[1:]}
        assert names == {part.split("}")[0] for part in kind.zh.split("{")[1:]}, kind.code
