"""A channel's life in the database and over HTTP: from survey to retirement, by two people."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments import (
    attempts,
    channel,
    channel_desk,
    channel_life,
    health,
    orders,
    routing,
)
from steelyard.payments.channels import KINDS
from steelyard.payments.http import channel_router, routing_router
from steelyard.payments.model.channel import Decline, Finding, PayRequest, Said
from steelyard.payments.model.health import Health
from steelyard.payments.model.orders import Mode
from steelyard.payments.service.evidence import Report, report
from tests.payments.till import OTHER_SHOP, SHOP, ScriptedChannel, an_order, open_shop

ANN, BOB = "staff:ann", "staff:bob"
LIVE = frozenset({"payments.*"})
AGREED = {
    "number": "2026-1",
    "signed_on": "2026-02-01",
    "effective_from": "2026-02-01",
    "terms": {"fee_rate": "0.0025"},
}
TRIAL = {
    "merchants": [str(SHOP)],
    "most_minor": 50_000,
    "daily_most_minor": 25_000,
    "daily_payments": 10,
}


def _behaves(request: PayRequest) -> Finding:
    if request.instrument == channel_life.DECLINED_INSTRUMENT:
        return Finding(said=Said.DECLINED, decline=Decline.DO_NOT_HONOR, code="05")
    return Finding(
        said=Said.SUCCEEDED,
        amount_minor=request.amount_minor,
        currency=request.currency,
        reference="R1",
    )


@dataclass
class Platform:
    """The platform as the routes see it; whoever `caller` is sends the requests."""

    database: Database
    keyring: Keyring
    channels: channel_desk.ChannelDesk
    routing: routing.RoutingDesk
    caller: Caller = field(default_factory=lambda: Caller(ANN, LIVE))

    @property
    def verifier(self) -> Platform:
        return self

    def verify(self, request: Request, body: bytes) -> Caller:
        return self.caller


class Client:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.app = FastAPI()
        self.app.include_router(channel_router)
        self.app.include_router(routing_router)
        self.app.state.platform = platform

        @self.app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, cast("int", problem["status"]))

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments{path}", **more)

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> Any:
        answer = self.request("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, body: Any = None) -> httpx.Response:
        return self.request("POST", path, json=body, headers={"Idempotency-Key": str(uuid4())})

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.send(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, body: Any = None) -> dict[str, Any]:
        answer = self.send(path, body)
        assert answer.status_code >= 400, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def approve(self, asked: Mapping[str, str]) -> str:
        with self.platform.database.unit_of_work(actor=BOB) as unit:
            approvals.approve(
                unit, UUID(asked["approval"]), by=Caller(BOB, LIVE), shown_hash=asked["shown_hash"]
            )
        return asked["approval"]


@pytest.fixture
def uni(monkeypatch: pytest.MonkeyPatch) -> ScriptedChannel:
    made = ScriptedChannel(code="uni", paid=_behaves)
    made.rest = Finding(said=Said.SUCCEEDED)
    monkeypatch.setitem(KINDS, "scripted", lambda code, settings, timeout: made)
    return made


@pytest.fixture
def client(database: Database, uni: ScriptedChannel) -> Client:
    keyring = Keyring.for_tests()
    desk = channel_desk.ChannelDesk(database, keyring, fresh_seconds=0)
    router = routing.RoutingDesk(database, desk, fresh_seconds=0)
    return Client(Platform(database, keyring, desk, router))


def register(client: Client, **changes: Any) -> Any:
    body = {
        "code": "uni",
        "kind": "scripted",
        "name": "Union 联行",
        "capability": {"methods": ["wallet"], "most_minor": 100_000},
        "secrets": {"key": "not to be seen"},
    }
    return client.post("/channels", {**body, **changes})


def stage(client: Client, to: str, code: str = "uni", **more: Any) -> Any:
    return client.post(f"/channels/{code}/stages", {"to": to, "reason": "step", **more})


def pay(database: Database, how_much: int = 10_000, **changes: Any) -> None:
    """Let an order be paid through `uni`, as the core does it."""
    order = an_order(amount_minor=how_much, **changes)
    begun = orders.Begin(
        order=order.id, attempt=uuid4(), method=channel.Method.WALLET, channel="uni"
    )
    finding = Finding(said=Said.SUCCEEDED, amount_minor=how_much, currency="CNY")
    with database.unit_of_work() as unit:
        orders.create(unit, [order])
        (made,) = orders.begin(unit, [begun])
    assert not isinstance(made, Refusal)
    with database.unit_of_work() as unit:
        report(unit, [Report(begun.attempt, attempts.Source.ANSWER, finding)])


def test_a_channel_lives_from_survey_to_retirement(
    client: Client, database: Database, uni: ScriptedChannel
) -> None:
    open_shop(database)
    shown = register(client)
    assert shown["stage"] == "surveyed"
    assert "not to be seen" not in str(shown)
    lacks = {"to": "agreed", "reason": "step"}
    assert client.refused("/channels/uni/stages", lacks)["facts"]["missing"] == "agreement_in_force"
    assert (
        client.refused("/channels/uni/stages", {**lacks, "to": "live"})["code"] == "stage_forbids"
    )
    client.post("/channels/uni/agreements", AGREED)
    stage(client, "agreed")
    refused = client.refused("/channels/uni/stages", {"to": "tested", "reason": "step"})
    assert refused["code"] == "stage_needs_more"
    assert "passed_test_pay" in refused["facts"]["missing"]
    # One test fails: it is made again when the channel is mended.
    uni.rest = Finding(said=Said.UNKNOWN, why="time_out")
    client.post("/channels/uni/tests")
    assert "passed_test_query" in client.get("/channels/uni/stages")["lacks"]["tested"]
    uni.rest = Finding(said=Said.SUCCEEDED)
    made = client.post("/channels/uni/tests")["items"]
    assert {one["kind"]: one["is_passed"] for one in made} == dict.fromkeys(
        ("pay", "query", "decline", "refund", "cancel"), True
    )
    stage(client, "tested")
    refused = client.refused("/channels/uni/stages", {"to": "trial", "reason": "step"})
    assert refused["facts"]["missing"] == "trial_caps, trial_merchants"
    client.post("/channels/uni/changes", {"trial": TRIAL})
    stage(client, "trial")
    refused = client.refused("/channels/uni/stages/live")
    assert refused["facts"]["missing"] == "payments_on_trial"
    pay(database)
    asked = client.post("/channels/uni/stages/live")
    # One person alone does not take it live.
    assert client.refused("/channels/uni/stages", {"to": "live", "reason": "go"})["code"] == (
        "approval_is_needed"
    )
    with database.unit_of_work(actor=ANN) as unit, pytest.raises(approvals.MakerIsChecker):
        approvals.approve(
            unit,
            UUID(asked["approval"]),
            by=Caller(ANN, LIVE),
            shown_hash=asked["shown_hash"],
        )
    yes = client.approve(asked)
    assert stage(client, "live", approval=yes)["stage"] == "live"
    refused = client.refused("/channels/uni/stages", {"to": "handed_over", "reason": "step"})
    assert refused["facts"]["missing"] == "owner, runbook"
    client.post("/channels/uni/changes", {"owner": "operations", "runbook": "runbooks/uni"})
    stage(client, "handed_over")
    # An attempt without an end keeps it from being retired.
    order = an_order()
    begun = orders.Begin(
        order=order.id, attempt=uuid4(), method=channel.Method.WALLET, channel="uni"
    )
    with database.unit_of_work() as unit:
        orders.create(unit, [order])
        orders.begin(unit, [begun])
    refused = client.refused("/channels/uni/stages", {"to": "retired", "reason": "step"})
    assert refused["facts"]["missing"] == "end_of_1_payments"
    with database.unit_of_work() as unit:
        declined = Finding(said=Said.DECLINED, decline=Decline.DO_NOT_HONOR)
        report(unit, [Report(begun.attempt, attempts.Source.ANSWER, declined)])
    stage(client, "retired")
    life = client.get("/channels/uni/stages")["items"]
    assert [one["after"] for one in life] == [
        "surveyed", "agreed", "tested", "trial", "live", "handed_over", "retired",
    ]  # fmt: skip
    assert life[4]["cause"] == f"approval:{yes}@1"


def test_an_approval_is_for_the_channel_as_it_was_shown(client: Client, database: Database) -> None:
    open_shop(database)
    register(client)
    client.post("/channels/uni/agreements", AGREED)
    client.post("/channels/uni/changes", {"trial": TRIAL})
    client.post("/channels/uni/tests")
    for to in ("agreed", "tested", "trial"):
        stage(client, to)
    pay(database)
    yes = client.approve(client.post("/channels/uni/stages/live"))
    client.post("/channels/uni/sheet", {"changes": {"most_minor": 10**9}, "reason": "more"})
    refused = client.refused(
        "/channels/uni/stages", {"to": "live", "reason": "go", "approval": yes}
    )
    assert refused["code"] == "approval_is_for_something_else"


def test_supplements_change_the_sheet_from_their_day_on(client: Client) -> None:
    register(client)
    main = client.post("/channels/uni/agreements", AGREED)
    more = {
        "number": "2026-1/1",
        "signed_on": "2026-03-01",
        "effective_from": "2026-04-01",
        "effective_to": "2026-05-01",
        "supplement_of": main["id"],
        "terms": {"fee_rate": "0.0018", "refund_days": 30, "methods": ["wallet", "scan"]},
    }
    client.post("/channels/uni/agreements", more)
    rates = {
        on: client.get("/channels/uni/agreements", on=on)["capability"]["fee_rate"]
        for on in ("2026-01-31", "2026-02-01", "2026-03-31", "2026-04-01", "2026-05-01")
    }
    assert rates == {
        "2026-01-31": "0.002",
        "2026-02-01": "0.0025",
        "2026-03-31": "0.0025",
        "2026-04-01": "0.0018",
        "2026-05-01": "0.0025",
    }
    assert client.get("/channels/uni")["capability"]["fee_rate"] == "0.0025"
    for changes, code in (
        ({}, "agreement_exists"),
        ({"number": "x", "terms": {"nonsense": 1}}, "term_does_not_fit"),
        ({"number": "x", "terms": {"refund_days": "soon"}}, "term_does_not_fit"),
        ({"number": "x", "effective_from": "2026-01-01"}, "supplement_is_outside"),
        ({"number": "x", "supplement_of": str(uuid4())}, "agreement_is_unknown"),
        ({"number": "x", "supplement_of": None}, "agreements_overlap"),
    ):
        assert client.refused("/channels/uni/agreements", {**more, **changes})["code"] == code


def test_sheets_have_versions(client: Client, database: Database) -> None:
    register(client)
    body = {"changes": {"most_minor": 200_000}, "reason": "they raised it"}
    assert client.post("/channels/uni/sheet", body)["sheet"] == 2
    with database.reading() as connection:
        found = channel_life.sheets_of(connection, "uni")
    assert [(one[0], one[1].most_minor, one[2]) for one in found] == [
        (2, 200_000, "they raised it"),
        (1, 100_000, "registered"),
    ]
    bad = {"changes": {"most_minor": "much"}, "reason": "no"}
    assert client.refused("/channels/uni/sheet", bad)["code"] == "term_does_not_fit"


def test_maintenance_is_announced_seen_by_routing_and_withdrawn(
    client: Client, database: Database, clock: SteppingClock
) -> None:
    open_shop(database)
    keyring = client.platform.keyring
    new = channel_desk.NewChannel(
        code="uni", mode=Mode.LIVE, kind="scripted", name="Union",
        capability=channel.Capability(methods=(channel.Method.WALLET,)),
        stage=channel.Stage.LIVE,
    )  # fmt: skip
    database.transact(lambda unit: channel_desk.register_channel(unit, keyring, new))
    now = clock.now()
    body = {
        "reason": "upgrade",
        "starts_at": (now + timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(hours=2)).isoformat(),
    }
    window = client.post("/channels/uni/maintenance", body)
    ask = {"merchant": str(SHOP), "method": "wallet", "amount_minor": 100}
    assert client.get("/routing/ask", **ask)["chosen"] == "uni"
    clock.advance(timedelta(minutes=61))
    answer = client.request("GET", "/routing/ask", params=ask)
    assert answer.status_code == 503
    assert answer.json()["facts"]["channels"] == {"uni": "maintenance"}
    assert "uni maintenance" in answer.json()["title"]
    gone = f"/channels/uni/maintenance/{window['id']}/withdraw"
    assert client.post(gone)["items"] == []
    assert client.get("/routing/ask", **ask)["chosen"] == "uni"
    assert client.refused(gone)["code"] == "window_is_unknown"
    late = {**body, "ends_at": (now + timedelta(minutes=1)).isoformat()}
    assert client.refused("/channels/uni/maintenance", late)["code"] == "window_does_not_fit"


def test_a_merchant_sees_no_channels(client: Client) -> None:
    register(client)
    client.platform.caller = Caller("key:1", LIVE, party=str(OTHER_SHOP))
    for path in ("/channels", "/channels/uni", "/channels/health", "/routing/rules"):
        assert client.request("GET", path).status_code == 403
    assert client.refused("/channels/uni/probe")["code"] == "not_entitled"
    client.platform.caller = Caller(ANN, frozenset({"payments.read"}))
    assert client.refused("/channels/uni/probe")["code"] == "not_entitled"


def test_probes_open_a_breaker_that_all_processes_see(
    client: Client, database: Database, uni: ScriptedChannel
) -> None:
    open_shop(database)
    register(client)
    uni.rest = Finding(said=Said.UNKNOWN, why="time_out")
    for _ in range(3):
        assert client.post("/channels/uni/probe")["is_passed"] is False
    shown = client.get("/channels/health")["breakers"]
    assert [(b["channel"], b["state"], b["opened_by"]) for b in shown] == [
        ("uni", "open", "probes")
    ]
    # A channel that answers anything at all to the known number is there.
    uni.rest = Finding(said=Said.NOT_FOUND)
    for _ in range(9):
        assert client.post("/channels/uni/probe")["is_passed"] is True
    assert client.get("/channels/health")["breakers"][0]["state"] == "closed"


def test_a_probe_with_an_amount_pays_and_refunds(client: Client, uni: ScriptedChannel) -> None:
    register(client, probe={"amount_minor": 1, "instrument": "probe_card"})
    done = client.post("/channels/uni/probe")
    assert (done["kind"], done["is_passed"], done["amount_minor"]) == ("probe", True, 1)
    assert uni.verbs() == ["pay", "refund"]
    assert client.get("/channels/uni/tests")["items"][0]["number"] == done["number"]


def test_a_person_cuts_a_channel_off(client: Client, database: Database) -> None:
    open_shop(database)
    keyring = client.platform.keyring
    new = channel_desk.NewChannel(
        code="uni", mode=Mode.LIVE, kind="scripted", name="Union",
        capability=channel.Capability(methods=(channel.Method.WALLET,)),
        stage=channel.Stage.LIVE,
    )  # fmt: skip
    database.transact(lambda unit: channel_desk.register_channel(unit, keyring, new))
    ask = {"merchant": str(SHOP), "method": "wallet", "amount_minor": 100}
    cut = {"method": "wallet", "is_open": True, "reason": "they asked for it"}
    assert client.post("/channels/uni/breaker", cut)["opened_by"] == "operator"
    assert client.request("GET", "/routing/ask", params=ask).json()["facts"]["channels"] == {
        "uni": "breaker_is_open"
    }
    client.post("/channels/uni/breaker", {**cut, "is_open": False})
    assert client.get("/routing/ask", **ask)["chosen"] == "uni"


def test_health_counts_what_ended_and_whose_fault_it_was(
    client: Client, database: Database, clock: SteppingClock
) -> None:
    open_shop(database)
    ends: list[Finding | None] = [
        *(Finding(said=Said.SUCCEEDED, amount_minor=10_000, currency="CNY") for _ in range(6)),
        Finding(said=Said.DECLINED, decline=Decline.ISSUER_UNAVAILABLE),
        Finding(said=Said.DECLINED, decline=Decline.INVALID_PIN),
        None,
        None,
    ]
    start = clock.now()
    for n, end in enumerate(ends):
        order = an_order()
        begun = orders.Begin(
            order=order.id, attempt=uuid4(), method=channel.Method.WALLET, channel="uni"
        )
        with database.unit_of_work() as unit:
            orders.create(unit, [order])
            orders.begin(unit, [begun])
        clock.advance(timedelta(milliseconds=100 * (n + 1)))
        if end is not None:
            with database.unit_of_work() as unit:
                report(unit, [Report(begun.attempt, attempts.Source.ANSWER, end)])
    with database.reading() as connection:
        (found,) = health.health(connection, start, clock.now(), None)
    assert found == Health(
        channel="uni", method=channel.Method.WALLET, since=start, until=clock.now(),
        attempts=10, succeeded=6, failed=1, payers=1, unknown=2,
        latency_ms_p50=400, latency_ms_p95=800, latency_ms_p99=800,
    )  # fmt: skip
    assert found.success_rate == pytest.approx(6 / 7)
    assert found.unknown_rate == 0.2
    assert client.get("/channels/health", since=start.isoformat())["items"][0]["attempts"] == 10
