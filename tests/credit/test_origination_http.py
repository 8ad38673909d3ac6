"""The routes before the loan: a customer about his own, staff about all, each command once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.credit.http import origination_router, product_router
from steelyard.credit.model.bureau import Found
from steelyard.credit.products import DELIVERED
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.conftest import Store
from tests.credit.applicants import Counter, open_counter
from tests.credit.lender import ANN, BOB

STAFF = frozenset({"credit.*"})
CUSTOMER = frozenset({"credit.read", "credit.apply"})


@dataclass
class Counterfoil:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    counter: Counter
    app: FastAPI
    caller: Caller = field(default_factory=lambda: Caller(ANN, STAFF))

    @property
    def database(self) -> Database:
        return self.counter.database

    @property
    def gate(self) -> Any:
        return self.counter.gate

    @property
    def keyring(self) -> Any:
        return self.counter.keyring

    @property
    def credit_bureau(self) -> Any:
        return self.counter.bureau

    @property
    def verifier(self) -> Counterfoil:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller

    def be(self, party: UUID) -> None:
        self.caller = Caller(f"party:{party}", CUSTOMER, party=f"party:{party}")

    def be_staff(self, actor: str = ANN) -> None:
        self.caller = Caller(actor, STAFF)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/credit{path}", **more)

        return asyncio.run(run())

    def get(self, path: str, language: str = "en", **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query, headers={"Accept-Language": language})

    def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.request("POST", path, json=body or {}, headers=headers)

    def approve(self, request: dict[str, Any]) -> str:
        by = Caller(BOB, STAFF)
        self.database.transact(
            lambda unit: approvals.approve(
                unit, UUID(request["approval"]), by=by, shown_hash=request["shown_hash"]
            ),
            actor=BOB,
        )
        return str(request["approval"])

    def applied(self, **facts: Any) -> dict[str, Any]:
        """Draft, consent and submit as a customer; return the application."""
        party = self.counter.customer()
        self.be(party)
        body = {
            "party": str(party),
            "product": "quick_cash",
            "facts": {
                "amount_minor": 1_000_000,
                "tenor": "12m",
                "purpose": "education",
                "income_minor": 1_500_000,
            }
            | facts,
            "device": "d1",
            "ip": "10.0.0.1",
        }
        drafted = self.post("/applications", body)
        assert drafted.status_code == 201, drafted.text
        path = f"/applications/{drafted.json()['id']}"
        yes = self.post(f"{path}/consent", {"texts": {"credit_assessment": 1}})
        assert yes.status_code == 200, yes.text
        submitted = self.post(f"{path}/submit")
        assert submitted.status_code == 200, submitted.text
        made: dict[str, Any] = submitted.json()
        return made


@pytest.fixture
def desk(store: Store) -> Iterator[Counterfoil]:
    counter = open_counter(store)
    app = FastAPI()
    app.include_router(origination_router)
    app.include_router(product_router)

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, int(str(problem["status"])))

    made = Counterfoil(counter, app)
    app.state.platform = made
    yield made
    counter.database.close()


def acceptance(offer: dict[str, Any], party: str) -> dict[str, Any]:
    return {
        "offer": offer["id"],
        "terms_hash": offer["hash"],
        "text_version": offer["content"]["contract_text"]["version"],
        "wallet_account": f"wallet:{party}",
        "device": "d1",
    }


def test_a_customer_borrows_over_http_and_every_command_is_done_once(desk: Counterfoil) -> None:
    applied = desk.applied()
    assert applied["state"] == "offered"
    path = f"/applications/{applied['id']}"
    offer = desk.get(f"{path}/offer").json()
    assert offer["content"]["costs"]["rates"][0]["percent"].endswith("%")
    body = acceptance(offer, applied["party"])
    first = desk.post(f"{path}/accept", body, key="once")
    again = desk.post(f"{path}/accept", body, key="once")
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json()["state"] == "signed"
    assert desk.counter.wallet(UUID(applied["party"])) == 1_000_000
    package = desk.get(f"{path}/evidence.zip")
    assert package.content[:2] == b"PK"
    assert len(desk.get(f"{path}/evidence").json()["items"]) == 10
    assert desk.post(f"{path}/take-back").json()["state"] == "withdrawn"
    assert desk.counter.wallet(UUID(applied["party"])) == 0


def test_a_customer_sees_and_moves_nobody_elses(desk: Counterfoil) -> None:
    applied = desk.applied()
    path = f"/applications/{applied['id']}"
    desk.be(desk.counter.customer())
    for answer in (
        desk.get(path),
        desk.get(f"{path}/offer"),
        desk.get(f"{path}/file"),
        desk.post(f"{path}/withdraw"),
        desk.post(f"{path}/accept", acceptance(
            {"id": str(uuid4()), "hash": "0" * 64, "content": {"contract_text": {"version": 1}}},
            applied["party"],
        )),
        desk.post("/applications", {
            "party": applied["party"], "product": "quick_cash",
            "facts": {"amount_minor": 1_000_000, "tenor": "12m", "purpose": "home",
                      "income_minor": 1},
        }),
        desk.get("/applications", party=applied["party"]),
        desk.get("/lines", party=applied["party"]),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["code"]) == (403, "not_entitled")
    assert desk.get("/applications").json()["items"] == []


def test_that_an_income_is_shown_is_not_the_customers_to_say(desk: Counterfoil) -> None:
    applied = desk.applied(income_is_shown=True)
    desk.be_staff()
    file = desk.get(f"/applications/{applied['id']}/file").json()
    assert file["facts"]["income_is_shown"] is False
    assert [step["after"] for step in file["steps"]][-1] == "offered"


def test_why_not_is_told_in_the_readers_language_with_what_would_help(desk: Counterfoil) -> None:
    applied = desk.applied(amount_minor=5_000_000, income_minor=600_000)
    path = f"/applications/{applied['id']}"
    (reason,) = desk.get(path, "zh-CN").json()["reasons"]
    assert reason["text"] == "相对收入与现有负债，每期还款额过高。"
    (english,) = desk.get(path).json()["reasons"]
    assert english["code"] == reason["code"]
    found = desk.get(f"{path}/counterfactual", "zh-CN").json()
    assert found["is_found"]
    assert {one["what"] for one in found["changes"]} <= {"income_is_shown", "tenor", "amount_minor"}


def test_a_person_rules_over_http_and_two_above_his_amount(desk: Counterfoil) -> None:
    desk.counter.bureau.found, desk.counter.bureau.report = Found.UNKNOWN, None
    applied = desk.applied(amount_minor=3_000_000, income_minor=300_000)
    path = f"/applications/{applied['id']}/ruling"
    body = {"ruling": "approve", "reasons": ["judged_by_a_person"]}
    assert desk.post(path, body).status_code == 403
    desk.be_staff()
    asked = desk.post(path, body).json()
    assert asked["is_done"] is False
    done = desk.post(path, body | {"approval": desk.approve(asked["request"])}).json()
    assert done["is_done"] is True
    assert done["application"]["state"] == "offered"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"texts": {"credit_assessment": 0}}, 422),
        ({"texts": {"credit_assessment": 9}}, 404),
        ({"texts": {}}, 403),
        ({"nonsense": 1}, 422),
    ],
)
def test_bad_consents_are_refused(desk: Counterfoil, body: Any, status: int) -> None:
    drafted = desk.counter.draft()
    assert desk.post(f"/applications/{drafted.id}/consent", body).status_code == status


def test_products_are_quoted_and_changed_by_two(desk: Counterfoil) -> None:
    listed = desk.get("/products").json()["items"]
    assert {one["code"] for one in listed} == set(DELIVERED)
    ask = {"amount_minor": 1_000_000, "tenor": "12m", "tier": "B"}
    quoted = desk.get("/products/quick_cash/quote", **ask)
    assert quoted.json()["content"]["tier"] == "B"
    wrong = desk.get("/products/quick_cash/quote", **(ask | {"tenor": "99m"}))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "tenor_is_not_offered")
    content = next(one["content"] for one in listed if one["code"] == "quick_cash")
    drafted = desk.post("/products", {"content": content, "note": "the same"})
    assert drafted.json()["version"] == 2
    path = "/products/quick_cash/versions/2/activate"
    asked = desk.post(path).json()
    done = desk.post(path, {"approval": desk.approve(asked["request"])}).json()
    assert done["is_done"] is True
    assert [one["is_active"] for one in desk.get("/products/quick_cash").json()["items"]] == [
        True,
        False,
    ]


def test_a_limit_is_drawn_on_changed_and_proposed_over_http(desk: Counterfoil) -> None:
    signed = desk.counter.accept(
        desk.counter.decided(product="credit_line", amount_minor=500_000).id
    )
    path = f"/lines/{signed.line}"
    desk.be(signed.party)
    quote = desk.get(f"{path}/quote", amount_minor=200_000, tenor="3m")
    assert quote.json()["content"]["amount_minor"] == 200_000
    body = {"amount_minor": 200_000, "tenor": "3m", "wallet_account": f"wallet:{signed.party}"}
    drawn = desk.post(f"{path}/draw", body)
    assert drawn.json()["line"]["left_minor"] == 300_000
    assert desk.post(f"{path}/freeze", {"reason": "mine"}).status_code == 403
    (mine,) = desk.get("/lines", party=str(signed.party)).json()["items"]
    assert mine["used_minor"] == 200_000
    desk.be_staff()
    assert desk.post(f"{path}/freeze", {"reason": "early_warning"}).json()["state"] == "frozen"
    assert desk.post(f"{path}/free", {"reason": "cleared"}).json()["state"] == "open"
    asked = desk.post(f"{path}/limit", {"limit_minor": 2_000_000, "reason": "good_payer"}).json()
    more = {"limit_minor": 2_000_000, "reason": "good_payer",
            "approval": desk.approve(asked["request"])}  # fmt: skip
    assert desk.post(f"{path}/limit", more).json()["line"]["limit_minor"] == 2_000_000
    assert len(desk.get(f"{path}/changes").json()["items"]) == 4
    rule = {"name": "good", "product": "credit_line", "text_en": "x", "text_zh": "好",
            "most_minor": 500_000, "tier": "B"}  # fmt: skip
    asked = desk.post("/preapproval", rule).json()
    set_ = desk.post("/preapproval", rule | {"approval": desk.approve(asked["request"])}).json()
    assert (set_["is_done"], set_["version"]) == (True, 1)
    assert desk.post("/preapproval/good/run", {"dry_run": True}).json()["proposed"] == 0
    assert desk.get("/preapproval").json()["items"][0]["name"] == "good"
    assert desk.post("/preapproval/none/run").json()["code"] == "preapproval_rule_is_unknown"
