"""Collections, matters and the bureau over HTTP, against processes outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.credit import loans
from steelyard.credit.http import bureau_router, collection_router
from steelyard.credit.providers.bureau_http import HttpCreditBureau
from steelyard.credit.providers.gateway_http import HttpMessageGateway
from steelyard.kernel import Refusal
from steelyard.parties import approvals
from tests.conftest import Store
from tests.credit.lender import ANN, BOB, House, open_house
from tests.credit.outside import bureau_process as bureau_process
from tests.credit.outside import enrol as enrol
from tests.credit.outside import gateway_process as gateway_process
from tests.credit.outside import keyring as keyring
from tests.credit.outside import the_bureau as the_bureau
from tests.credit.outside import the_gateway as the_gateway

STAFF = Caller(ANN, frozenset({"credit.*"}))


@dataclass
class Platform:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    database: Database
    keyring: Keyring
    credit_bureau: HttpCreditBureau | None
    message_gateway: HttpMessageGateway | None
    caller: Caller = STAFF

    @property
    def verifier(self) -> Platform:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller


class Client:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.app = FastAPI()
        self.app.include_router(bureau_router)
        self.app.include_router(collection_router)
        self.app.state.platform = platform

        @self.app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/credit{path}", **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> Any:
        answer = self.request("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        answer = self.send(path, body, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.request("POST", path, json=body, headers=headers)

    def refused(self, path: str, body: Any = None) -> str:
        answer = self.send(path, body)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["code"])


@pytest.fixture
def house(store: Store) -> Iterator[House]:
    opened = open_house(store)
    yield opened
    opened.database.close()


@pytest.fixture
def database(house: House) -> Database:
    """The database of the house, for the customers that are enrolled."""
    return house.database


@pytest.fixture
def client(
    house: House,
    keyring: Keyring,
    the_bureau: HttpCreditBureau,
    the_gateway: HttpMessageGateway,
) -> Client:
    return Client(Platform(house.database, keyring, the_bureau, the_gateway))


def _late(house: House, loan: UUID, days: int) -> None:
    due = house.read(loan).standing.rows[0].due_on  # type: ignore[union-attr]
    on = due + timedelta(days=days)
    house.to(on)
    house.do(loans.roll, loan)
    ten = datetime(on.year, on.month, on.day, 10, tzinfo=ZoneInfo("Asia/Shanghai"))
    house.clock.advance(ten.astimezone(UTC) - house.clock.now())


def _approve(house: House, asked: dict[str, str]) -> None:
    checker = Caller(BOB, frozenset({"credit.*"}))
    house.run(
        lambda unit: approvals.approve(
            unit, UUID(asked["approval"]), by=checker, shown_hash=asked["shown_hash"]
        ),
        BOB,
    )


def test_an_inquiry_is_asked_once_for_its_key(client: Client, enrol: Callable[..., UUID]) -> None:
    party = enrol()
    body = {"party": str(party), "why": "application"}
    first = client.post("/bureau/inquiries", body, key="k1")
    assert first["state"] == "answered"
    assert client.post("/bureau/inquiries", body, key="k1") == first
    (listed,) = client.get("/bureau/inquiries", party=str(party))["items"]
    assert listed["id"] == first["id"]
    shown = client.get(f"/bureau/inquiries/{first['id']}")
    assert [e["source"] for e in shown["evidence"]] == ["answer"]
    assert client.post(f"/bureau/inquiries/{first['id']}/poll")["state"] == "answered"
    client.platform.credit_bureau = None
    assert client.refused("/bureau/inquiries", body) == "bureau_is_not_at_hand"
    stranger = enrol(consented=False, id_number=None)
    client.platform.caller = Caller(f"party:{stranger}", STAFF.entitlements, str(stranger))
    assert client.refused("/bureau/inquiries", body) == "not_entitled"
    assert client.request("GET", f"/bureau/inquiries/{first['id']}").status_code == 403


def test_a_file_is_made_shown_and_delivered(
    client: Client, house: House, enrol: Callable[..., UUID]
) -> None:
    loan = house.lend(party=enrol())
    house.to(date(2026, 4, 2))
    made = client.post("/bureau/files", {"period": "2026-03"})
    assert (made["rows"], made["balance_minor"]) == (1, 120_000)
    assert client.refused("/bureau/files", {"period": "2026-03"}) == "reporting_file_exists"
    content = client.request("GET", "/bureau/files/2026-03").text
    assert content.startswith("H,steelyard-1,STEELYARD,2026-03,2026-03-31\n")
    told = client.post("/bureau/files/2026-03/deliver")
    assert (told["state"], told["sha256"]) == ("accepted", made["sha256"])
    assert [one["period"] for one in client.get("/bureau/files")["items"]] == ["2026-03"]
    (row,) = client.get(f"/loans/{loan}/reported")["items"]
    assert row["history"].endswith("/*")
    client.platform.caller = Caller("party:x", STAFF.entitlements, "x")
    assert client.request("GET", "/bureau/files/2026-03").status_code == 403


def test_a_late_loan_on_the_board(client: Client, house: House, enrol: Callable[..., UUID]) -> None:
    party = enrol()
    loan = house.lend(party=party)
    _late(house, loan, 15)
    done = client.post("/collections/run")
    assert (done["started"], done["planned"], done["sent"]) == (1, 2, 2)
    board = client.get("/collections", limit=1)
    assert (board["items"][0]["dpd"], board["after"]) == (15, 1)
    assert client.get("/collections", after=1)["items"] == []
    assert len(client.get("/messages", party=str(party))["items"]) == 2
    call = {"channel": "call", "result": "no_answer"}
    made = client.post(f"/loans/{loan}/contacts", call, key="c1")
    assert client.post(f"/loans/{loan}/contacts", call, key="c1") == made
    assert client.refused(f"/loans/{loan}/contacts", call) == "contact_is_too_often"
    contacts = client.get(f"/loans/{loan}/contacts")["items"]
    assert [one["refused"] for one in contacts].count("contact_is_too_often") == 1
    came = client.post(f"/loans/{loan}/contacts", {"channel": "app", "is_ours": False})
    client.post(f"/contacts/{came['id']}/result", {"result": "hardship"})
    assert client.refused(f"/loans/{loan}/contacts", call) == "contact_is_stopped"
    source = {"kind": "dispute", "source": "letter:7"}
    stopped = client.post(f"/loans/{loan}/stops", source)
    assert (stopped["is_set"], client.post(f"/loans/{loan}/stops", source)["is_set"]) == (
        True, False,
    )  # fmt: skip
    client.post(f"/stops/{stopped['id']}/lift", {"reason": "settled"})
    assert client.get("/collections")["items"][0]["stops"] == ["hardship"]


def test_a_customer_promises_and_a_plan_is_granted(
    client: Client, house: House, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    loan = house.lend(party=party)
    _late(house, loan, 15)
    client.post("/collections/run")
    client.platform.caller = Caller(f"party:{party}", STAFF.entitlements, str(party))
    by_on = (house.today + timedelta(days=3)).isoformat()
    given = client.post(f"/loans/{loan}/promises", {"amount_minor": 500, "by_on": by_on})
    assert client.get(f"/loans/{loan}/promises")["items"] == [given]
    assert client.refused(f"/promises/{given['id']}/withdraw") == "not_entitled"
    client.platform.caller = Caller("party:other", STAFF.entitlements, "other")
    assert (
        client.refused(f"/loans/{loan}/promises", {"amount_minor": 500, "by_on": by_on})
        == "not_entitled"
    )
    client.platform.caller = STAFF
    client.post(f"/promises/{given['id']}/withdraw")
    plan = {"kind": "extend", "instalments": 6, "reason": "lost_work"}
    tried = client.post(f"/loans/{loan}/plans", {**plan, "dry_run": True})
    assert (tried["id"], tried["instalments_before"], tried["instalments_after"]) == (None, 12, 18)
    dropped = client.post(f"/loans/{loan}/plans", plan)
    assert client.refused(f"/loans/{loan}/plans", plan) == "plan_is_proposed"
    assert client.post(f"/plans/{dropped['id']}/drop")["state"] == "dropped"
    assert client.refused(f"/plans/{dropped['id']}/drop") == "plan_is_settled"
    proposed = client.post(f"/loans/{loan}/plans", plan)
    for who, status in ((str(party), 200), ("other", 403)):
        client.platform.caller = Caller(f"party:{who}", STAFF.entitlements, who)
        listed = client.request("GET", f"/loans/{loan}/plans")
        assert listed.status_code == status
        assert client.refused(f"/plans/{proposed['id']}/drop") == "not_entitled"
        if status == 200:
            states = {one["id"]: one["state"] for one in listed.json()["items"]}
            assert states == {proposed["id"]: "proposed", dropped["id"]: "dropped"}
    client.platform.caller = STAFF
    assert client.refused(f"/plans/{proposed['id']}/grant") == "approval_is_not_open"
    with house.database.reading() as connection:
        asked = approvals.read_approval(connection, UUID(proposed["approval"]))
    _approve(house, {"approval": str(asked.id), "shown_hash": asked.shown_hash})
    granted = client.post(f"/plans/{proposed['id']}/grant")
    assert (granted["state"], granted["instalments_after"]) == ("granted", 18)
    assert client.refused(f"/loans/{loan}/plans", {**plan, "kind": "pause"}) == "plan_is_malformed"


def test_a_matter_from_the_customer_to_its_answer(
    client: Client, house: House, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    loan = house.lend(party=party)
    client.platform.caller = Caller(f"party:{party}", STAFF.entitlements, str(party))
    brought = client.post(f"/loans/{loan}/matters", {"kind": "repudiation", "about": "not_my_loan"})
    matter = f"/matters/{brought['id']}"
    assert client.get(matter) == brought
    assert client.get(f"/loans/{loan}/matters")["items"] == [brought]
    other = house.lend()
    assert client.request("GET", f"/loans/{other}/matters").status_code == 403
    assert client.refused(f"{matter}/answer", {"outcome": "refused", "reasons": ["r"]}) == (
        "not_entitled"
    )
    client.platform.caller = STAFF
    assert [one["id"] for one in client.get("/matters")["items"]] == [brought["id"]]
    answer = {"outcome": "upheld", "reasons": ["face_differs"]}
    assert client.refused(f"{matter}/answer", answer) == "evidence_is_needed"
    assert client.refused(f"{matter}/evidence/contract") == "evidence_is_needed"
    client.post(
        f"{matter}/evidence",
        {"kind": "investigation", "reference": "document:7", "content_hash": "ab" * 32},
    )
    later = client.post(f"{matter}/extension")
    _approve(house, later)
    extended = client.post(f"{matter}/extend", {"approval": later["approval"]})
    assert extended["due_on"] > brought["due_on"]
    asked = client.post(f"{matter}/proposal", answer)
    _approve(house, asked)
    answered = client.post(f"{matter}/answer", {**answer, "approval": asked["approval"]})
    assert (answered["state"], house.read(loan).state.value) == ("upheld", "written_off")
    assert client.refused(f"{matter}/answer", answer) == "matter_is_answered"
    other = client.post(f"/loans/{loan}/matters", {"kind": "complaint", "about": "rude_call"})
    told = {"outcome": "refused", "reasons": ["the call was kind"]}
    assert client.refused(f"/matters/{other['id']}/proposal", told) == "no_approval_is_needed"
    assert client.post(f"/matters/{other['id']}/answer", told)["state"] == "refused"
    house.agree()
