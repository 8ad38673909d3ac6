"""Routes of merchants, apps, fee plans and webhooks: who may do what, and what is nobody's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Settings
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from steelyard.payments.http import app_router, fee_router, merchant_router, webhook_router
from tests.house import House
from tests.payments.agency import CHECKER, MAKER, NUMBER, ToldGate, credit_code
from tests.payments.hooks import Office, Shop
from tests.payments.hooks import desk as desk
from tests.payments.hooks import shop as shop

STAFF = Caller(MAKER, frozenset({"payments.*"}))
OTHER_STAFF = Caller(CHECKER, frozenset({"*"}))
OWN_VERBS = frozenset({"payments.read", "payments.manage", "payments.pay", "payments.refund"})


@dataclass
class Branch(House):
    keyring: Keyring
    settings: Settings
    gate: ToldGate


@dataclass
class Client:
    app: FastAPI
    house: Branch

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments{path}", **more)

        return asyncio.run(run())

    def send(self, path: str, body: Any = None, *, key: str = "", method: str = "POST") -> Any:
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self.request(method, path, json=body or {}, headers=headers)

    def done(self, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.send(path, body, **more)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.request("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def become(self, caller: Caller) -> None:
        self.house.caller = caller

    def approved(self, desk: Office, path: str, body: Any = None) -> str:
        asked = self.done(path, body)
        desk.run(
            lambda unit: approvals.approve(
                unit, UUID(asked["approval"]), by=OTHER_STAFF, shown_hash=asked["shown_hash"]
            ),
            CHECKER,
        )
        return str(asked["approval"])


@pytest.fixture
def client(desk: Office) -> Client:
    house = Branch(desk.database, STAFF, desk.keyring, desk.settings, desk.gate)
    app = FastAPI()
    for router in (merchant_router, app_router, fee_router, webhook_router):
        app.include_router(router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Client(app, house)


def application(n: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "legal_name": f"茶叶（上海）有限公司{n}",
        "number": credit_code(n),
        "industry": "5499",
        "licence_no": "SH-1",
        "owners": [{"name": "陆羽", "number": "E1", "share_bp": 10_000}],
        "monthly_minor": 30_000_000,
        "currencies": ["CNY"],
        "methods": ["wallet", "scan"],
        "settlement_account": {
            "holder": f"茶叶(上海)有限公司{n}",
            "number": NUMBER,
            "bank": "102290000014",
        },
        **changes,
    }


def shopkeeper(merchant: str, key: str = "key:ak_none") -> Caller:
    return Caller(key, OWN_VERBS, merchant)


def test_from_the_application_to_the_first_notice(client: Client, desk: Office, shop: Shop) -> None:
    made = client.done("/merchants", application())
    merchant = made["merchant"]
    assert (made["state"], made["risk_grade"]) == ("approved", "A")
    (account,) = client.get(f"/merchants/{merchant}/settlement-accounts")["items"]
    assert (account["hint"], account["state"]) == (NUMBER[-4:], "proposed")
    path = f"/settlement-accounts/{account['id']}"
    client.become(OTHER_STAFF)
    client.done(f"{path}/verify", {"evidence": "letter:1"})
    client.become(STAFF)
    yes = client.approved(desk, f"{path}/approve/request")
    assert client.done(f"{path}/approve", {"approval": yes})["state"] == "approved"
    app = client.done("/apps", {"merchant": merchant, "mode": "live", "name": "Till"})
    key = client.done(f"/apps/{app['id']}/keys", {"name": "till"})
    assert key["secret"].startswith("sk_")
    client.become(shopkeeper(merchant, f"key:{key['id']}"))
    opened = client.done(
        "/webhook-endpoints",
        {"app": app["id"], "url": shop.url, "kinds": ["payment.succeeded"]},
    )
    assert opened["secret"].startswith("whsec_")
    payment = desk.pay(UUID(merchant), app=app["id"])
    desk.tell()
    desk.deliver()
    (event,) = client.get("/events", type="payment.succeeded")["items"]
    assert event["object"] == f"payment:{payment}"
    assert shop.got[0].headers["webhook-id"] == event["id"]
    (delivery,) = client.get("/webhook-deliveries", endpoint=opened["id"])["items"]
    shown = client.get(f"/webhook-deliveries/{delivery['id']}")
    assert (shown["state"], shown["told"]["id"]) == ("delivered", event["id"])
    assert [one["status"] for one in shown["history"]] == [204]
    assert client.done(f"/webhook-deliveries/{delivery['id']}/resend")["state"] == "replayed"
    assert client.get(f"/events/{event['id']}") == event


def test_a_secret_is_shown_once_and_not_stored(client: Client, desk: Office) -> None:
    merchant = str(desk.taken_on())
    app = client.done("/apps", {"merchant": merchant, "name": "Till"})["id"]
    for path, body in (
        (f"/apps/{app}/keys", {"name": "till"}),
        ("/webhook-endpoints", {"app": app, "url": "https://shop.example/"}),
    ):
        first = client.send(path, body, key=f"once{len(path)}")
        again = client.send(path, body, key=f"once{len(path)}")
        assert first.headers["cache-control"] == "no-store"
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["secret"] is None
        stored = desk.rows("SELECT answer FROM base.idempotency WHERE answer IS NOT NULL")
        assert not any(first.json()["secret"].encode() in bytes(row.answer) for row in stored)


def test_case_88_somebody_elses_is_answered_as_what_there_is_not(
    client: Client, desk: Office
) -> None:
    mine, theirs = str(desk.taken_on()), str(desk.taken_on(1))
    app = client.done("/apps", {"merchant": theirs, "mode": "live", "name": "Till"})["id"]
    key = client.done(f"/apps/{app}/keys", {"name": "till"})["id"]
    hook = {"app": app, "url": "https://shop.example/"}
    endpoint = client.done("/webhook-endpoints", hook)["id"]
    account = client.done(
        f"/merchants/{theirs}/settlement-accounts", application(1)["settlement_account"]
    )["id"]
    plan = client.done(
        f"/merchants/{theirs}/fee-plans",
        {"effective_on": "2026-03-03", "terms": [{"rate": "0.005"}]},
    )["id"]
    desk.pay(UUID(theirs), app=app)
    desk.tell()
    delivery = client.get("/webhook-deliveries")["items"][0]
    missing = str(uuid4())
    asked = [
        ("GET", "/merchants/{}", theirs, missing),
        ("GET", "/merchants/{}/applications", theirs, missing),
        ("GET", "/merchants/{}/settlement-accounts", theirs, missing),
        ("GET", "/merchants/{}/fee-plans", theirs, missing),
        ("GET", "/merchants/{}/fee-plans/2026-03-03", theirs, missing),
        ("GET", "/fee-plans/{}", plan, missing),
        ("GET", "/apps/{}", app, "app_none"),
        ("GET", "/apps/{}/keys", app, "app_none"),
        ("GET", "/webhook-endpoints/{}", endpoint, "we_none"),
        ("GET", "/webhook-deliveries?endpoint={}", endpoint, "we_none"),
        ("GET", "/webhook-deliveries/{}", delivery["id"], missing),
        ("GET", "/events/{}", delivery["event"], f"evt_{uuid4().hex}"),
        ("POST", "/settlement-accounts/{}/withdraw", account, missing),
        ("POST", "/webhook-deliveries/{}/resend", delivery["id"], missing),
        ("POST", "/webhook-endpoints/{}/enable", endpoint, "we_none"),
        ("POST", "/webhook-endpoints/{}/rotate", endpoint, "we_none"),
        ("POST", "/apps/{}/keys/" + key + "/rotate", app, "app_none"),
        ("DELETE", "/webhook-endpoints/{}", endpoint, "we_none"),
        ("DELETE", "/apps/{}", app, "app_none"),
    ]
    client.become(shopkeeper(mine))
    for method, path, there, nowhere in asked:
        seen = [
            client.request(
                method,
                path.format(id),
                headers={"Idempotency-Key": uuid4().hex},
                **({} if method == "GET" else {"json": {}}),
            )
            for id in (there, nowhere)
        ]
        bodies = [
            answer.text.replace(there, "X")
            .replace(nowhere, "X")
            .replace(str(UUID(there[4:])) if there.startswith("evt_") else "-", "X")
            for answer in seen
        ]
        assert [answer.status_code for answer in seen] == [404, 404], (path, seen[0].text)
        assert there not in seen[1].text
        if not there.startswith("evt_"):
            assert bodies[0] == bodies[1], path
    assert client.get("/merchants")["items"][0]["id"] == mine
    assert client.get("/webhook-deliveries")["items"] == []
    assert client.get("/webhook-endpoints")["items"] == []
    assert client.get("/apps")["items"] == []
    for path in ("/apps", "/events"):
        assert client.request("GET", path, params={"merchant": theirs}).status_code == 403


def test_a_key_of_the_sandbox_sees_and_touches_nothing_live(client: Client, desk: Office) -> None:
    merchant = str(desk.taken_on())
    sandbox = client.done("/apps", {"merchant": merchant, "name": "Try"})["id"]
    live = client.done("/apps", {"merchant": merchant, "mode": "live", "name": "Till"})["id"]
    endpoint = client.done("/webhook-endpoints", {"app": live, "url": "https://shop.example/"})[
        "id"
    ]
    key = client.done(f"/apps/{sandbox}/keys", {"name": "x", "entitlements": sorted(OWN_VERBS)})[
        "id"
    ]
    client.become(shopkeeper(merchant, f"key:{key}"))
    assert [one["id"] for one in client.get("/apps")["items"]] == [sandbox]
    assert client.get("/webhook-endpoints")["items"] == []
    assert client.request("GET", f"/webhook-endpoints/{endpoint}").status_code == 404
    for path, body in (
        ("/apps", {"mode": "live", "name": "sly"}),
        (f"/apps/{live}/keys", {"name": "sly"}),
        ("/webhook-endpoints", {"app": live, "url": "https://sly.example/"}),
        (f"/merchants/{merchant}/settlement-accounts", application()["settlement_account"]),
    ):
        assert client.send(path, body).status_code == 404, path
    assert client.done("/apps", {"name": "fine"})["mode"] == "sandbox"


def test_a_merchant_is_not_told_by_which_rule_it_was_judged(client: Client, desk: Office) -> None:
    made = client.done("/merchants", application(industry="7995"))
    assert made["findings"] == ["industry_is_forbidden"]
    client.become(shopkeeper(made["merchant"]))
    shown = client.get(f"/merchant-applications/{made['id']}")
    assert (shown["state"], shown["findings"], shown["reasons"]) == ("declined", [], [])
    assert client.get(f"/merchants/{made['merchant']}")["risk_grade"] is None
    for path in ("history", "risk-notes"):
        answer = client.request("GET", f"/merchants/{made['merchant']}/{path}")
        assert answer.status_code == 403


def test_a_person_rules_over_http(client: Client, desk: Office) -> None:
    owners = [{"name": "A", "number": "1", "share_bp": 6_000, "controls": True}]
    made = client.done("/merchants", application(owners=owners))
    assert made["state"] == "review"
    path = f"/merchant-applications/{made['id']}/rule"
    told = {"is_approved": True, "ruling": "register extract seen"}
    assert client.send(path, told).json()["code"] == "ruler_applied"
    client.become(OTHER_STAFF)
    both = {**told, "is_fraud": True}
    assert client.send(path, both).json()["code"] == "ruling_contradicts_itself"
    assert client.done(path, {**told, "grade": "C"})["risk_grade"] == "C"
    contract = client.get(f"/merchants/{made['merchant']}")["contract"]
    assert contract["reserve_rate"] == "0.05"
    history = client.get(f"/merchants/{made['merchant']}/history")["items"]
    assert [one["state"] for one in history] == ["applied", "review", "active"]


def test_plans_contracts_and_states_over_http(client: Client, desk: Office) -> None:
    merchant = str(desk.taken_on())
    body = {
        "effective_on": "2026-03-03",
        "terms": [
            {"rate": "0.0060"},
            {
                "rate": "0.005",
                "currency": "CNY",
                "method": "scan",
                "least_minor": 1,
                "tiers": [{"from_minor": 100, "rate": "0.004"}],
            },
        ],
        "returns": "full",
    }
    plan = client.done(f"/merchants/{merchant}/fee-plans", body)
    assert plan["effective_at"] == "2026-03-02T16:00:00Z"
    yes = client.approved(desk, f"/fee-plans/{plan['id']}/approve/request")
    client.done(f"/fee-plans/{plan['id']}/approve", {"approval": yes})
    shown = client.get(f"/merchants/{merchant}/fee-plans/2026-03-03")
    assert (shown["id"], shown["terms"][1]["tiers"][0]["rate"]) == (plan["id"], "0.004")
    assert client.get(f"/merchants/{merchant}/fee-plans/2026-03-02")["merchant"] is None
    noted = {"code": "disputes", "source": "rule:1", "weight": 100}
    watch = client.done(f"/merchants/{merchant}/risk-notes", noted)
    assert watch["wants_suspension"]
    assert client.get(f"/merchants/{merchant}")["state"] == "suspended"
    assert len(client.get(f"/merchants/{merchant}/risk-notes")["items"]) == 1
    why = {"reason": "explained"}
    yes = client.approved(desk, f"/merchants/{merchant}/resume/request", why)
    client.done(f"/merchants/{merchant}/resume", {**why, "approval": yes})
    contract = {"contract": {"settlement_cycle": "D1"}}
    yes = client.approved(desk, f"/merchants/{merchant}/contract/request", contract)
    changed = client.done(f"/merchants/{merchant}/contract", {**contract, "approval": yes})
    assert changed["contract"] == {"settlement_cycle": "D1"}
    bad = {"contract": {"settlement_cycle": "T9"}}
    answer = client.send(f"/merchants/{merchant}/contract/request", bad)
    assert answer.json()["code"] == "settlement_terms_are_malformed"
    assert client.done(f"/merchants/{merchant}/close", why)["state"] == "closed"


def test_every_route_declares_its_refusals_and_writes_take_a_key(client: Client) -> None:
    paths = client.app.openapi()["paths"]
    assert len(paths) > 30
    for path, verbs in paths.items():
        for verb, route in verbs.items():
            assert "403" in route["responses"], (verb, path)
            if verb != "get":
                names = [one["name"] for one in route["parameters"]]
                assert "Idempotency-Key" in names, (verb, path)
