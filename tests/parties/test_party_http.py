"""The party side over HTTP: masked by default, entitled, idempotent, refused as problems."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, NoPolicyGate, Outcome, Verdict
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.parties import IdentityProvider
from steelyard.parties.http import router
from tests.parties.conftest import Simulated, id_number

STAFF = Caller("staff:7", frozenset({"parties.*"}))


@dataclass
class House:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    database: Database
    keyring: Keyring
    identity_provider: IdentityProvider | None
    gate: Any
    caller: Caller = STAFF

    @property
    def verifier(self) -> House:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller


@pytest.fixture
def house(database: Database, keyring: Keyring, simulated: Simulated) -> House:
    return House(database, keyring, simulated.provider, NoPolicyGate())


class Client:
    """Sends JSON, with a fresh idempotency key unless one is given."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, path, **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> Any:
        return self.request("GET", f"/v1/parties{path}", params=query)

    def send(self, path: str, body: Any = None, *, key: str = "", method: str = "POST") -> Any:
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self.request(method, f"/v1/parties{path}", json=body or {}, headers=headers)

    def register(self, **personal: str) -> str:
        told = {"name": "张三丰", "phone": "15400001234", "id_number": id_number(), **personal}
        answer = self.send("/customers", {"personal": told})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.fixture
def client(house: House) -> Client:
    app = FastAPI()
    app.include_router(router)
    app.state.platform = house

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return Client(app)


def test_a_customer_is_masked_by_default(client: Client) -> None:
    party = client.register()
    for shown in (client.get(f"/{party}").json(), client.get("").json()["items"][0]):
        assert shown["personal"] == {
            "name": "张**",
            "phone": "154****1234",
            "id_number": "990***********0015",
        }
        assert (shown["state"], shown["identity_level"]) == ("active", 0)
        assert shown["cause"] == "no_policy@0"


def test_a_repeated_registration_is_answered_as_before(client: Client, house: House) -> None:
    body = {"personal": {"name": "张三"}}
    first = client.send("/customers", body, key="k1")
    house.gate = Gate(Outcome.DECLINE)  # whatever the gate says now
    again = client.send("/customers", body, key="k1")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = client.send("/customers", {"personal": {"name": "李四"}}, key="k1")
    assert other.json()["code"] == "idempotency_key_was_used"
    declined = client.send("/customers", body)
    assert (declined.status_code, declined.json()["code"]) == (403, "registration_is_declined")


class Gate:
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def ask(self, scene: str, facts: object, now: object) -> Verdict:
        return Verdict(self.outcome, "sign_up@1", ("on_list",))


def test_legal_persons_and_relations(client: Client) -> None:
    body = {"legal_name": "青竹书店", "number": "91110000600037341L", "industry": "5942"}
    shop = client.send("/merchants", body).json()
    assert shop["legal"]["number_is_checked"]
    taken = client.send("/institutions", {**body, "legal_name": "另一家"})
    assert (taken.status_code, taken.json()["code"]) == (409, "registration_number_is_taken")
    wrong = client.send("/merchants", {**body, "number": "91110000600037341M"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "registration_number_is_invalid")
    person = client.register()
    owner = {"party": person, "kind": "owner", "share_bp": 10_000}
    relation = client.send(f"/{shop['id']}/relations", owner).json()
    assert relation["of"] == shop["id"]
    assert len(client.get(f"/{person}/relations").json()["items"]) == 1
    assert client.send(f"/relations/{relation['id']}/end").status_code == 200
    assert client.get(f"/{person}/relations").json()["items"] == []
    link = {"account": "account:client/1", "role": "owner"}
    assert client.send(f"/{person}/accounts", link).json()["items"] == [link]
    assert client.get(f"/{person}/accounts").json()["items"] == [link]


def test_clear_fields_need_a_purpose(client: Client, house: House) -> None:
    party = client.register()
    clear = client.get(f"/{party}/personal", purpose="contract_notice", field=["phone", "name"])
    assert clear.json()["personal"] == {"phone": "+8615400001234", "name": "张三丰"}
    assert clear.headers["cache-control"] == "no-store"
    for purpose, field, code in (
        ("marketing", "phone", "consent_is_missing"),
        ("contract_notice", "id_number", "field_is_not_of_the_purpose"),
        ("curiosity", "phone", "purpose_is_unknown"),
    ):
        refused = client.get(f"/{party}/personal", purpose=purpose, field=field)
        assert refused.json()["code"] == code
    text = {"zh": "同意营销", "en": "Marketing is fine", "changes_substance": False}
    assert client.send("/purposes/marketing/texts", text).json()["version"] == 1
    consent = {"purpose": "marketing", "text_version": 1, "channel": "app"}
    assert client.send(f"/{party}/consents", consent).json()["act"] == "granted"
    assert client.get(f"/{party}/personal", purpose="marketing", field="phone").is_success
    assert client.send(f"/{party}/consents/marketing/withdraw").json()["act"] == "withdrawn"
    assert not client.get(f"/{party}/consents").json()["items"][0]["is_in_force"]
    assert len(client.get("/purposes/marketing/texts").json()["items"]) == 1
    assert {p["name"] for p in client.get("/purposes").json()["items"]} >= {"marketing"}
    house.caller = replace(STAFF, entitlements=frozenset({"parties.read"}))
    refused = client.get(f"/{party}/personal", purpose="contract_notice", field="phone")
    assert (refused.status_code, refused.json()["code"]) == (403, "unmasking_is_not_allowed")


def test_search_and_correction(client: Client) -> None:
    party = client.register()
    found = client.send("/search", {"field": "phone", "value": "154 0000 1234"}).json()["items"]
    assert [p["id"] for p in found] == [party]
    assert "15400001234" not in str(found)
    corrected = client.send(f"/{party}/personal", {"personal": {"phone": "15400007777"}})
    assert corrected.json()["personal"]["phone"] == "154****7777"
    assert client.send("/search", {"field": "phone", "value": "15400001234"}).json()["items"] == []
    wrong = client.send(f"/{party}/personal", {"personal": {"phone": "12"}})
    assert wrong.json()["code"] == "personal_field_is_invalid"
    assert wrong.json()["facts"]["field"] == "phone"


def test_states_and_erasure(client: Client) -> None:
    party = client.register()
    reason = {"reason": "own_wish"}
    assert client.send(f"/{party}/erase", reason).json()["code"] == "party_is_not_closed"
    assert client.send(f"/{party}/restrict", {**reason, "version": 1}).json()["version"] == 2
    stale = client.send(f"/{party}/activate", {**reason, "version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "party_has_changed")
    assert client.send(f"/{party}/activate", reason).json()["state"] == "active"
    assert client.send(f"/{party}/close", reason).json()["state"] == "closed"
    assert client.send(f"/{party}/erase", reason).json()["personal"] == {}
    assert client.get(f"/{party}").json()["personal"] == {}
    assert client.get(f"/{uuid4()}").json()["code"] == "party_is_unknown"


def test_identity_steps(client: Client, house: House, simulated: Simulated) -> None:
    party = client.register(phone="15411112222")
    first = client.send(f"/{party}/identity/number", key="n1").json()
    assert first["state"] == "passed"
    assert client.send(f"/{party}/identity/number", key="n1").json() == first
    sent = client.send(f"/{party}/identity/phone_code").json()
    told = {"sent": sent["id"], "code": simulated.codes("+8615411112222")[-1]}
    assert client.send(f"/{party}/identity/phone", told).json()["state"] == "passed"
    simulated.script({"step": "name", "behaviour": "break"})
    name = client.send(f"/{party}/identity/name").json()
    assert name["state"] == "unknown"
    assert client.send(f"/identity/attempts/{name['id']}/poll").json()["state"] == "passed"
    shown = client.get(f"/{party}/identity").json()
    assert shown["level"] == 2
    assert len(shown["attempts"]) == 4
    simulated.script({"step": "name", "behaviour": "lie"})
    lied = client.send(f"/{party}/identity/name").json()
    client.send(f"/identity/attempts/{lied['id']}/poll")
    assert [a["id"] for a in client.get("/identity/disputes").json()["items"]] == [lied["id"]]
    ruling = {"finding": "passed", "reason": "document_seen"}
    ruled = client.send(f"/identity/attempts/{lied['id']}/rule", ruling).json()
    assert ruled["state"] == "passed"
    wrong = client.send(f"/{party}/identity/face", {"portrait": "no base64!"})
    assert wrong.json()["code"] == "request_is_malformed"
    house.identity_provider = None
    none = client.send(f"/{party}/identity/number")
    assert (none.status_code, none.json()["code"]) == (503, "no_identity_provider")


def test_devices_and_contacts(client: Client) -> None:
    party = client.register()
    body = {"fingerprint": "fp-000001", "kind": "ios"}
    device = client.send(f"/{party}/devices", body).json()["device"]
    assert client.send(f"/{party}/devices/{device}/trust").json()["is_trusted"]
    assert not client.send(f"/{party}/devices/{device}/distrust").json()["is_trusted"]
    blocked = client.send(f"/devices/{device}/block", {"reason": "fraud_ring"}).json()
    assert blocked["is_blocked"]
    assert client.get(f"/{party}/devices").json()["items"][0]["is_blocked"]
    assert len(client.get(f"/devices/{device}/parties").json()["items"]) == 1
    assert not client.send(f"/devices/{device}/unblock", {"reason": "cleared"}).json()["is_blocked"]
    contact = {"kind": "email", "value": "San@Example.com"}
    assert client.send(f"/{party}/contacts", contact).json()["masked"] == "s***@example.com"
    client.send(f"/{party}/contacts", {**contact, "value": "two@example.com"})
    preferred = client.send(f"/{party}/contacts/email/0/prefer").json()["items"]
    assert [c["is_preferred"] for c in preferred] == [False, True, False]
    quiet = {"from_time": "22:00:00", "until_time": "08:00:00", "zone": "Asia/Shanghai"}
    set_ = client.send(f"/{party}/contacts/phone/0/quiet", quiet, method="PUT").json()["items"]
    assert set_[0]["quiet"] == quiet
    half = client.send(f"/{party}/contacts/phone/0/quiet", {"zone": "UTC"}, method="PUT")
    assert half.json()["code"] == "quiet_hours_are_invalid"
    cleared = client.send(f"/{party}/contacts/phone/0/quiet", method="PUT").json()["items"]
    assert cleared[0]["quiet"] is None
    left = client.send(f"/{party}/contacts/email/1", method="DELETE").json()["items"]
    assert len(left) == len(client.get(f"/{party}/contacts").json()["items"]) == 2


def test_a_party_asks_about_itself_only(client: Client, house: House) -> None:
    ann, bob = client.register(), client.register(phone="15400009999")
    house.caller = Caller(f"party:{ann}", frozenset({"parties.*"}), party=ann)
    assert client.get(f"/{ann}").status_code == 200
    assert client.send(f"/{ann}/identity/number").status_code == 200
    for answer in (
        client.get(f"/{bob}"),
        client.get(f"/{bob}/identity"),
        client.get(f"/{bob}/contacts"),
        client.get(f"/{bob}/personal", purpose="contract_notice", field="phone"),
        client.get(""),
        client.send("/search", {"field": "phone", "value": "15400009999"}),
        client.send(f"/{bob}/personal", {"personal": {"name": "李四"}}),
        client.send(f"/{bob}/identity/number"),
        client.send(f"/{ann}/activate", {"reason": "own_wish"}),
        client.send("/customers", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_entitled")


ANYTHING = {
    "legal_name": "a",
    "number": "b",
    "field": "name",
    "value": "c",
    "personal": {"name": "d"},
    "reason": "own_wish",
    "fingerprint": "fp-000001",
    "purpose": "marketing",
    "text_version": 1,
}
PATHS = [
    ("POST", "/customers", "parties.register"),
    ("POST", "/merchants", "parties.register"),
    ("GET", "", "parties.read"),
    ("POST", "/search", "parties.search"),
    ("POST", "/{party}/personal", "parties.correct"),
    ("POST", "/{party}/erase", "parties.erase"),
    ("POST", "/{party}/identity/number", "parties.identify"),
    ("POST", "/{party}/devices", "parties.device"),
    ("POST", "/{party}/contacts", "parties.contact"),
    ("POST", "/{party}/consents", "parties.consent"),
]


def test_each_verb_has_its_entitlement(client: Client, house: House) -> None:
    house.caller = Caller("key:1", frozenset({"parties.another"}))
    for method, path, verb in PATHS:
        at = path.replace("{party}", str(uuid4()))
        body = {**ANYTHING, "kind": "ios" if path.endswith("devices") else "email"}
        answer = client.get(at) if method == "GET" else client.send(at, body)
        assert answer.status_code == 403
        assert answer.json()["facts"]["verb"] == verb


def test_every_route_declares_its_refusals_and_writes_take_a_key(client: Client) -> None:
    paths = client.request("GET", "/openapi.json").json()["paths"]
    assert len(paths) >= 30
    for path, methods in paths.items():
        for method, route in methods.items():
            assert "403" in route["responses"], path
            takes_key = any(p["name"] == "Idempotency-Key" for p in route.get("parameters", []))
            assert takes_key == (method != "get" and not path.endswith("/search")), path


def test_what_goes_into_facts_is_a_code(client: Client) -> None:
    for body in ({"channel": "张三 rang"}, {"region": "湖北省十堰市武当山路1号"}):
        answer = client.send("/customers", body)
        assert answer.status_code == 422
