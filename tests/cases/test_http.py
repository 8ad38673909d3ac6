"""The queue over HTTP: read, worked, refused as problems, and done once for a key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.cases import EventRef
from steelyard.cases.http import router
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals, roles, staff
from tests.cases.conftest import ALL, ANN, BOB, Queue
from tests.parties.office import Office
from tests.parties.office import office as office

Audience, Role = roles.Audience, roles.Role
HASH = "ab" * 32


@dataclass
class House:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    database: Database
    caller: Caller = field(default_factory=lambda: Caller(ANN, ALL))

    @property
    def verifier(self) -> House:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller


class Client:
    """Sends JSON, with a fresh idempotency key unless one is given."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.app = FastAPI()
        self.app.include_router(router)
        self.app.state.platform = house

        @self.app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/cases{path}", **more)

        return asyncio.run(run())

    def get(self, path: str = "", **query: Any) -> Any:
        answer = self.request("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, body: Any = None, *, key: str = "", **headers: str) -> httpx.Response:
        headers = {"Idempotency-Key": key or uuid4().hex, **headers}
        return self.request("POST", path, json=body or {}, headers=headers)

    def done(self, path: str, body: Any = None) -> Any:
        answer = self.send(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, body: Any = None) -> tuple[int, str]:
        answer = self.send(path, body)
        return answer.status_code, answer.json()["code"]

    def become(self, actor: str, entitlements: frozenset[str] = ALL) -> None:
        self.house.caller = Caller(actor, entitlements)


@pytest.fixture
def client(queue: Queue) -> Client:
    return Client(House(queue.database))


def test_a_case_from_the_queue_to_its_end(queue: Queue, client: Client) -> None:
    opened = queue.open(event=EventRef("payment", "p-1"), links=("party:7",))
    (listed,) = client.get(state="open", colour="green", subject="party:7")["items"]
    assert listed["id"] == str(opened.id)
    taken = client.done("/next")["case"]
    assert (taken["id"], taken["state"], taken["claim"]["by"]) == (str(opened.id), "claimed", ANN)
    assert client.done("/next") == {"case": None}
    path = f"/{taken['id']}"
    client.done(f"{path}/notes", {"text": "no answer"})
    put = {"kind": "statement", "reference": "document:9", "content_hash": HASH}
    client.done(f"{path}/evidence", put)
    client.done(f"{path}/links", {"target": "transfer:client/7"})
    assert client.get(assignee="me")["items"][0]["id"] == taken["id"]
    closed = client.done(f"{path}/close", {"outcome": "fraud"})
    assert closed["closing"] == {
        "outcome": "fraud",
        "by": ANN,
        "at": closed["opened_at"],
        "approved_by": None,
        "is_within_sla": True,
    }
    shown = client.get(path)
    assert [n["text"] for n in shown["notes"]] == ["no answer"]
    assert [e["reference"] for e in shown["evidence"]] == ["document:9"]
    assert {one["target"] for one in shown["links"]} == {"party:7", "transfer:client/7"}
    first = client.get(f"{path}/history", limit=2)
    rest = client.get(f"{path}/history", cursor=first["next"])
    actions = [line["action"] for line in first["items"] + rest["items"]]
    assert actions == ["open", "claim", "note", "evidence", "link", "close"]
    figures = client.get("/statistics")
    assert (figures["sla_met_bp"], figures["open_cases"], figures["oldest"]) == (10_000, [], None)
    assert sum(one["cases"] for one in figures["closed"]) == 1
    assert client.done(f"{path}/reopen", {"reason": "new facts"})["state"] == "open"


def test_a_claim_sent_twice_is_one_claim(queue: Queue, client: Client) -> None:
    for n in range(2):
        queue.open(f"payment:{n}")
    first = client.send("/next", key="k1")
    again = client.send("/next", key="k1")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = client.send("/next", {"kinds": ["toys.review"]}, key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_was_used")
    assert client.send("/next").json()["case"]["id"] != first.json()["case"]["id"]
    without = client.request("POST", "/next", json={})
    assert (without.status_code, without.json()["code"]) == (422, "idempotency_key_is_missing")


def test_refusals_are_problems_in_the_readers_language(queue: Queue, client: Client) -> None:
    path = f"/{queue.claimed().id}"
    client.become(BOB)
    assert client.refused(f"{path}/claim") == (409, "case_is_claimed")
    assert client.refused(f"{path}/close", {"outcome": "good"}) == (409, "case_is_not_yours")
    assert client.refused(f"{path}/close", {"outcome": "no"}) == (422, "outcome_is_unknown")
    assert client.refused(f"/{uuid4()}/claim") == (404, "case_is_unknown")
    assert client.refused(f"{path}/approve", {"shown_hash": HASH}) == (409, "case_state_forbids")
    personal = {"text": "call 13812345678"}
    assert client.refused(f"{path}/notes", personal) == (422, "text_holds_personal_data")
    chinese = client.send(f"{path}/claim", **{"Accept-Language": "zh-CN"}).json()
    assert chinese["title"].startswith("案件")
    client.become("key:7")
    assert client.refused("/next") == (403, "case_needs_a_person")
    gone = client.request("GET", f"/{uuid4()}")
    assert (gone.status_code, gone.json()["code"]) == (404, "case_is_unknown")


@pytest.mark.parametrize("order", ["newest", "queue"])
@pytest.mark.parametrize(
    "cursor", ["x", "WzFd", "WyJ4Il0", "Wy0xLDEsMSwxLCJhIl0", "WzEsOSwwLDEsImEiXQ"]
)
def test_a_cursor_of_another_list_is_refused(client: Client, order: str, cursor: str) -> None:
    answer = client.request("GET", "", params={"order": order, "cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_is_invalid")


def test_each_route_asks_for_its_entitlement(queue: Queue, client: Client) -> None:
    path = f"/{queue.claimed().id}"
    bodies: dict[str, dict[str, Any]] = {
        "claim": {},
        "release": {},
        "notes": {"text": "x"},
        "evidence": {"kind": "a", "reference": "b:1", "content_hash": HASH},
        "links": {"target": "b:1"},
        "escalate": {"group": "leads", "reason": "x"},
        "assign": {"staff": str(uuid4())},
        "priority": {"priority": "high"},
        "close": {"outcome": "good"},
        "approve": {"shown_hash": HASH},
        "reject": {"shown_hash": HASH, "reason": "x"},
        "withdraw": {},
        "reopen": {"reason": "x"},
    }
    verbs = {"escalate": "escalate", "assign": "lead", "priority": "lead", "reopen": "lead"}
    verbs |= {"close": "close", "withdraw": "close", "approve": "approve", "reject": "approve"}
    for route, body in bodies.items():
        verb = f"cases.{verbs.get(route, 'work')}"
        every = {"cases.read", "cases.work", "cases.close", "cases.escalate", "cases.lead"}
        client.become(ANN, frozenset((every | {"cases.approve"}) - {verb}))
        answer = client.send(f"{path}/{route}", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_entitled"), route
        assert answer.json()["facts"]["verb"] == verb
    client.become(ANN, frozenset({"cases.work"}))
    assert client.request("GET", "").status_code == 403


def test_bodies_are_checked(queue: Queue, client: Client) -> None:
    path = f"/{queue.claimed().id}"
    for route, body in (
        ("notes", {"text": ""}),
        ("notes", {"text": "x" * 2_001}),
        ("notes", {"text": "a\x00b"}),
        ("notes", {"text": "x", "colour": "red"}),
        ("evidence", {"kind": "A b", "reference": "a:1", "content_hash": HASH}),
        ("evidence", {"kind": "a", "reference": "a:1", "content_hash": "ab"}),
        ("priority", {"priority": "highest"}),
        ("assign", {"staff": "me"}),
    ):
        assert client.send(f"{path}/{route}", body).status_code == 422, (route, body)
    for query in ({"colour": "blue"}, {"state": "lost"}, {"subject": "\x00\x00\x00"}):
        assert client.request("GET", "", params=query).status_code == 422
    zone = client.request("GET", "/statistics", params={"zone": "../../etc/passwd"})
    assert zone.status_code == 422
    mars = client.request("GET", "/statistics", params={"zone": "Mars/Olympus"}).json()
    assert mars["code"] == "time_zone_is_unknown"


def test_four_eyes_over_http(queue: Queue, client: Client) -> None:
    case = queue.claimed(kind="toys.dispute")
    path = f"/{case.id}"
    assert client.refused(f"{path}/close", {"outcome": "fraud"}) == (409, "evidence_is_missing")
    for kind in ("statement", "receipt"):
        put = {"kind": kind, "reference": "document:9", "content_hash": HASH}
        client.done(f"{path}/evidence", put)
    waits = client.done(f"{path}/close", {"outcome": "fraud"})
    assert waits["state"] == "awaiting_approval"
    with queue.database.reading() as connection:
        asked = approvals.read_approval(connection, waits["proposal"]["approval"])
    shown = {"shown_hash": asked.shown_hash}
    assert client.refused(f"{path}/approve", shown) == (403, "maker_is_checker")
    client.become(BOB)
    assert client.refused(f"{path}/withdraw") == (403, "approval_is_not_yours")
    no = {**shown, "reason": "too thin"}
    assert client.done(f"{path}/reject", no)["state"] == "open"
    client.done(f"{path}/claim")
    waits = client.done(f"{path}/close", {"outcome": "good"})
    assert client.done(f"{path}/withdraw")["state"] == "open"
    assert client.refused(f"{path}/withdraw") == (409, "case_state_forbids")


def test_kinds_are_told(client: Client) -> None:
    told = client.get("/kinds")
    kinds = {kind["name"]: kind for kind in told["kinds"]}
    assert kinds["toys.dispute"]["four_eyes"]
    assert kinds["toys.review"]["outcomes"][0]["label"] == {"field": "is_fraud", "value": 1}
    assert kinds["cases.approval"]["is_settled_elsewhere"]
    assert {"leads", "toys_experts"} <= {group["name"] for group in told["groups"]}


def test_a_lead_gives_a_case_to_who_may_work_it(office: Office, clock: SteppingClock) -> None:
    queue = Queue(office.database, clock, office.wall)
    client = Client(House(office.database))
    define_role(office, Role("judge", Audience.STAFF, ("cases.work", "toys.*"), "Judge", "裁决"))
    ann, bob = (office.hire(name, role, totp=False) for name, role in JUDGES)
    case = queue.open(kind="toys.dispute")
    path = f"/{case.id}/assign"
    assert client.refused(path, {"staff": str(uuid4())}) == (404, "staff_is_unknown")
    assert client.refused(path, {"staff": str(bob.id)}) == (409, "assignee_lacks_skill")
    given = client.done(path, {"staff": str(ann.id)})
    assert (given["state"], given["claim"]["by"]) == ("claimed", ann.actor)
    assert client.refused(f"/{case.id}/claim") == (409, "case_is_claimed")
    office.run(lambda unit: staff.suspend(unit, ann.id, reason="left"))
    assert client.refused(path, {"staff": str(ann.id)}) == (403, "staff_is_not_active")


JUDGES = (("ann", "judge"), ("bob", "checker"))


def define_role(office: Office, role: Role) -> None:
    """Define a role as two people do."""
    asked = office.run(
        lambda unit: approvals.request_approval(
            unit,
            kind="access.define_role",
            subject=f"role:{role.name}",
            shown=roles.shown_of_definition(role),
            by=ANN,
        ),
        ANN,
    )
    checker = Caller(BOB, frozenset({"access.approve"}))
    yes = {"by": checker, "shown_hash": asked.shown_hash}
    office.run(lambda unit: approvals.approve(unit, asked.id, **yes), BOB)
    office.run(lambda unit: roles.define_role(unit, role, approval=asked.id), ANN)
