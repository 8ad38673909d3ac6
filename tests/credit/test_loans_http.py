"""Loans over HTTP: read, quoted, paid and changed; refused as problems; done once for a key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base.http import Caller, language_of, problem_of
from steelyard.cashflows import form
from steelyard.credit import changes
from steelyard.credit.http.loans import router
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.credit.lender import ANN, BOB, PARTY, SHOP, TOWN, WALLET, House, terms
from tests.credit.lender import house as house
from tests.house import House as Platform

STAFF = Caller(ANN, frozenset({"credit.*"}))
OWNER = Caller(f"party:{PARTY}", frozenset({"credit.read", "credit.repay"}), f"party:{PARTY}")
STRANGER = Caller("party:x", frozenset({"credit.*"}), f"party:{UUID(int=5)}")


@dataclass
class Client:
    """Sends JSON as somebody, with a fresh idempotency key unless one is given."""

    house: House
    caller: Caller = STAFF
    key: str | None = None
    app: FastAPI = field(default_factory=FastAPI)

    def __post_init__(self) -> None:
        self.app.include_router(router)

        @self.app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        self.app.state.platform = Platform(self.house.database, self.caller)

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                headers = {"Idempotency-Key": self.key or str(uuid4())}
                return await client.request(method, f"/v1/credit{path}", headers=headers, **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> Any:
        found = self.send("GET", path, params=query)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        done = self.send("POST", path, json=body)
        assert done.status_code == status, done.text
        return done.json()

    def refused(self, method: str, path: str, **more: Any) -> str:
        found = self.send(method, path, **more)
        assert found.status_code >= 400, found.text
        code: str = found.json()["code"]
        return code


@pytest.fixture
def client(house: House) -> Client:
    return Client(house)


def contract(**more: Any) -> dict[str, Any]:
    return {
        "party": str(PARTY),
        "product": "quick_cash",
        "product_version": 3,
        "terms": form.terms_to_json(terms()),
        "wallet_book": TOWN,
        "wallet_account": WALLET,
    } | more


def test_a_loan_lives_over_http(client: Client) -> None:
    house = client.house
    made = client.post("/loans", 201, **contract())
    loan = f"/loans/{made['id']}"
    house.made.append(UUID(made["id"]))
    assert (made["state"], made["standing"], made["shares"]) == ("signed", None, None)
    assert client.get(f"{loan}/statement") == {"items": []}
    shown = client.post(f"{loan}/disburse", dry_run=True)
    assert (shown["is_done"], shown["entry"]) == (False, None)
    done = client.post(f"{loan}/disburse")
    assert done["is_done"]
    assert done["lines"] == shown["lines"]
    house.give(60_000)
    house.later(40)
    quote = client.get(f"{loan}/payoff")
    later = client.get(f"{loan}/prepayment", amount_minor=50_000, plan="reduce_term")
    assert later["interest_saved_minor"] > 0
    paid = client.post(f"{loan}/repay", amount_minor=10_662)
    assert paid["loan"]["standing"]["principal_minor"] < 120_000
    client.post(f"{loan}/reverse", of=paid["events"][0])
    again = client.post(f"{loan}/repay", amount_minor=quote["total_minor"] + 5, kind="payoff")
    assert again["loan"]["state"] == "closed"
    client.post(f"{loan}/refund")
    found = client.get(loan)
    assert (found["standing"]["credit_minor"], found["grade"]["stage"]) == (0, 1)
    kinds = [line["kind"] for line in client.get(f"{loan}/history")["items"]]
    assert kinds == ["signed", "paid_out", "repaid", "reversed", "paid_off", "refunded"]
    assert len(client.get(f"{loan}/statement")["items"]) == 6
    assert [one["id"] for one in client.get("/loans", state="closed")["items"]] == [made["id"]]
    agreement = client.get("/books/agreement")
    assert (agreement["holds"], agreement["loans"], agreement["differences"]) == (True, 1, [])
    house.agree()


def test_a_key_pays_once(client: Client) -> None:
    loan = client.house.lend()
    client.key = "pay/1"
    first = client.post(f"/loans/{loan}/repay", amount_minor=100)
    assert client.post(f"/loans/{loan}/repay", amount_minor=100) == first
    totals = client.house.read(loan).standing.totals  # type: ignore[union-attr]
    assert totals.received_minor == 100


def test_a_customer_sees_and_pays_his_own_and_no_more(client: Client) -> None:
    house = client.house
    mine, other = house.lend(), house.lend(party=uuid4())
    client.caller = OWNER
    assert [one["id"] for one in client.get("/loans")["items"]] == [str(mine)]
    assert client.get(f"/loans/{mine}")["grade"] is None, "how it is graded is the lender's"
    paid = client.post(f"/loans/{mine}/repay", amount_minor=100)
    assert (paid["lines"], paid["loan"]["grade"]) == ([], None)
    for path in ("", "/history", "/statement", "/payoff"):
        assert client.refused("GET", f"/loans/{other}{path}") == "not_entitled"
    assert client.refused("GET", "/loans", params={"party": str(uuid4())}) == "not_entitled"
    assert client.refused("GET", "/books/agreement") == "not_entitled"
    body: dict[str, Any] = {"amount_minor": 5}
    assert client.refused("POST", f"/loans/{other}/repay", json=body) == "not_entitled"
    for more in ({"effective_on": "2026-03-02"}, {"from_wallet": False}, {"kind": "goodwill"}):
        assert client.refused("POST", f"/loans/{mine}/repay", json=body | more) == "not_entitled"
    assert client.refused("POST", f"/loans/{mine}/disburse", json={}) == "not_entitled"
    client.caller = STRANGER
    for path, body in (
        ("disburse", {}),
        ("draw", {"amount_minor": 5}),
        ("reverse", {"of": 3}),
        ("merchant-refund", {"amount_minor": 5}),
        ("changes", {"change": {"kind": "extend", "instalments": 2}}),
        ("sale", {"buyer": "amc", "price_minor": 5}),
        ("ageing-pause", {"until": "2026-05-01"}),
        ("cancel", {}),
        ("step-back", {}),
        ("refund", {}),
    ):
        assert client.refused("POST", f"/loans/{mine}/{path}", json=body) == "not_entitled"


CHANGES = [
    {"kind": "move_due_dates", "from_due": "2026-04-02", "to_due": "2026-04-09"},
    {"kind": "extend", "instalments": 3},
    {"kind": "pause_interest", "until": "2026-03-20"},
    {"kind": "change_rate", "rate": "0.06"},
    {"kind": "charge_fee", "code": "letter", "amount_minor": 300},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change["kind"]))
def test_each_change_is_shown_and_done(client: Client, change: dict[str, Any]) -> None:
    loan = client.house.lend()
    shown = client.post(f"/loans/{loan}/changes", change=change, dry_run=True)
    assert not shown["is_done"]
    assert shown["before"] is not None
    done = client.post(f"/loans/{loan}/changes", change=change)
    assert done["is_done"]
    assert done["loan"]["standing"] == shown["loan"]["standing"]
    client.house.agree()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "re_age", "first_due_on": "2026-08-20", "instalments": 6},
        {"kind": "waive", "interest_minor": 0, "penalty_minor": 0, "fee_minor": 20_001},
        {"kind": "write_off"},
    ],
    ids=lambda change: str(change["kind"]),
)
def test_what_needs_a_second_person_asks_for_him_first(
    client: Client, change: dict[str, Any]
) -> None:
    house = client.house
    loan = house.lend(terms(principal_minor=5_000_000))
    house.later(60)
    house.do(changes.charge_fee, loan, code="legal", amount_minor=30_000)
    house.later(60)
    asked = client.post(f"/loans/{loan}/changes", change=change)
    assert (asked["is_done"], asked["entry"]) == (False, None)
    checker = Caller(BOB, frozenset({"credit.*"}))
    with house.database.reading() as connection:
        shown = approvals.read_approval(connection, UUID(asked["approval"])).shown_hash
    house.run(
        lambda unit: approvals.approve(unit, UUID(asked["approval"]), by=checker, shown_hash=shown),
        BOB,
    )
    done = client.post(f"/loans/{loan}/changes", change=change, approval=asked["approval"])
    assert done["is_done"]
    house.agree()


def test_a_claim_is_sold_over_http(client: Client) -> None:
    house = client.house
    loan = house.lend()
    sale: dict[str, Any] = {"buyer": "amc_one", "price_minor": 90_000}
    asked = client.post(f"/loans/{loan}/sale", **sale)
    with house.database.reading() as connection:
        shown = approvals.read_approval(connection, UUID(asked["approval"])).shown_hash
    checker = Caller(BOB, frozenset({"credit.*"}))
    house.run(
        lambda unit: approvals.approve(unit, UUID(asked["approval"]), by=checker, shown_hash=shown),
        BOB,
    )
    done = client.post(f"/loans/{loan}/sale", approval=asked["approval"], **sale)
    assert (done["is_done"], done["loan"]["state"]) == (True, "sold")
    house.agree()


def test_merchants_tranches_and_stepping_back(client: Client) -> None:
    house = client.house
    bought = client.post("/loans", 201, **contract(merchant=str(uuid4())))["id"]
    client.post(f"/loans/{bought}/disburse", payee=SHOP, subsidy_minor=600)
    client.post(f"/loans/{bought}/merchant-refund", amount_minor=50_000)
    more = client.post(f"/loans/{house.lend()}/draw", amount_minor=5_000)
    assert more["amount_minor"] == -5_000
    until = {"cooling_off_until": "2026-03-09"}
    undone = client.post("/loans", 201, **contract(**until))["id"]
    client.post(f"/loans/{undone}/disburse")
    client.caller = OWNER
    assert client.post(f"/loans/{undone}/step-back")["loan"]["state"] == "cancelled"
    client.caller = STAFF
    unpaid = client.post("/loans", 201, **contract())["id"]
    assert client.post(f"/loans/{unpaid}/cancel")["state"] == "cancelled"
    paused = client.post(f"/loans/{house.lend()}/ageing-pause", until="2026-05-01")
    assert paused["grade"]["paused_until"] == "2026-05-01"
    house.agree()


def test_the_lenders_books_over_http(client: Client) -> None:
    found = client.post(
        "/books",
        201,
        wallets_book=TOWN,
        settlement_account="bank:settlement",
        funding_minor=1,
    )
    assert found == {"currency": "CNY", "book": "lending", "wallets_book": TOWN}
    client.post("/books/fund", settlement_account="bank:settlement", amount_minor=500)
    for _ in range(2):
        client.post("/books/receipts", amount_minor=70, reference="stmt/1")
    assert client.house.balance("suspense:CNY") == -70


def test_what_is_wrong_is_a_problem_with_its_code(client: Client) -> None:
    nobody = f"/loans/{uuid4()}"
    assert client.refused("GET", nobody) == "loan_is_unknown"
    assert client.refused("POST", f"{nobody}/repay", json={"amount_minor": 5}) == (
        "loan_is_unknown"
    )
    broken = contract(terms={"principal_minor": 5})
    assert client.refused("POST", "/loans", json=broken) == "form_is_invalid"
    never = contract(terms=form.terms_to_json(terms()) | {"principal_minor": 0})
    assert client.refused("POST", "/loans", json=never) == "terms_are_invalid"
    assert client.send("POST", "/loans", json=contract(product_version=2**31)).status_code == 422
    assert client.send("GET", "/loans", params={"product": "a\x00"}).status_code == 422
    nobody_s = contract(shares=[{"institution": "bank_a", "parts": 1}])
    assert client.refused("POST", "/loans", json=nobody_s) == "shares_are_invalid"
    loan = client.house.lend()
    much = {"amount_minor": 10**12}
    assert client.refused("POST", f"/loans/{loan}/repay", json=much) == "exceeds_debit_limit"
    old = {"amount_minor": 5, "if_version": 1}
    assert client.refused("POST", f"/loans/{loan}/repay", json=old) == "loan_has_changed"
    early = client.refused("GET", f"/loans/{loan}", params={"on": "2020-01-01"})
    assert early == "value_date_is_out_of_range"
    for body in ({"amount_minor": 0}, {"amount_minor": "x"}, {"amount_minor": 5, "more": 1}):
        found = client.send("POST", f"/loans/{loan}/repay", json=body)
        assert found.status_code == 422
