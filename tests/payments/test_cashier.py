"""The cashier's pages: what a payer sees, who may pay on them, and channels that shut meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import bindings, cashier, channel_desk, health, orders, routing
from steelyard.payments.channels import KINDS
from steelyard.payments.http import binding_router, cashier_router, order_router
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import (
    Capability,
    Finding,
    Method,
    PayRequest,
    Said,
    Stage,
)
from steelyard.payments.model.channel_calendar import Window
from steelyard.payments.service.evidence import Report, report
from steelyard.payments.service.paying import Paying
from tests.house import House
from tests.payments.counter import (
    ANN,
    BOB,
    CARD,
    ID_NUMBER,
    PHONE,
    WANTS_PROOF,
    ScriptedBank,
    ScriptedGate,
    ScriptedPhone,
)
from tests.payments.till import OTHER_SHOP, SHOP, ScriptedChannel, open_shop

MERCHANT = Caller("key:shop", frozenset({"payments.pay", "payments.read"}), str(SHOP))
WALL = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAGE = "/v1/payments/cashier/"


@dataclass
class Platform(House):
    keyring: Keyring
    channels: channel_desk.ChannelDesk
    routing: routing.RoutingDesk
    paying: Paying
    gate: ScriptedGate
    code_sender: ScriptedPhone
    card_verifier: ScriptedBank
    settings: Any = field(default_factory=SimpleNamespace)


@dataclass
class Shop:
    """A shop with two channels: `a` for wallets and quick pay, dear; `b` for scans, cheap."""

    house: Platform
    a: ScriptedChannel
    b: ScriptedChannel
    clock: SteppingClock
    wall: SteppingClock
    app: FastAPI = field(default_factory=FastAPI)

    @property
    def database(self) -> Database:
        return self.house.database

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, path, **more)

        return asyncio.run(run())

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self.request("POST", path, json=body, headers=headers)

    def page(self, **changes: Any) -> str:
        """Create an order, and return the token of its page."""
        body = {"order_no": f"N-{uuid4().hex[:10]}", "amount_minor": 10_000, "subject": "Tea"}
        made = self.post("/v1/payments/orders", {**body, **changes})
        assert made.status_code == 201, made.text
        opened = self.post(f"/v1/payments/orders/{made.json()['id']}/cashier", {})
        assert opened.status_code == 201, opened.text
        return str(opened.json()["token"])

    def show(self, token: str) -> dict[str, Any]:
        answer = self.request("GET", PAGE + token)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def ways(self, token: str) -> dict[str, str | None]:
        return {one["method"]: one["why"] for one in self.show(token)["methods"]}

    def pay(self, token: str, method: str = "wallet", **more: Any) -> httpx.Response:
        return self.post(f"{PAGE}{token}/pay", {"method": method, **more})

    def shut(self, channel: str, *methods: Method) -> None:
        """Announce maintenance from now on."""
        now = self.database.now()
        window = Window(
            id=uuid4(),
            channel=channel,
            reason="upgrade",
            methods=methods,
            starts_at=now,
            ends_at=now + timedelta(hours=1),
        )
        self.database.transact(lambda unit: health.announce(unit, window))

    def bind(self) -> str:
        """Bind Ann's card, and return its token."""
        was = self.house.caller
        self.house.caller = Caller(f"party:{ANN}", frozenset({"payments.*"}), str(ANN))
        factors = {"name": "安妮", "id_number": ID_NUMBER, "card_number": CARD, "phone": PHONE}
        made = self.post("/v1/payments/bindings", factors)
        assert made.json()["state"] == "code_needed", made.text
        path = f"/v1/payments/bindings/{made.json()['id']}"
        assert self.post(f"{path}/code", {}).json()["sent_to"] == "138****5678"
        done = self.post(f"{path}/confirm", {"code": self.house.code_sender.code})
        self.house.caller = was
        assert CARD not in made.text + done.text
        return str(done.json()["token"])


@pytest.fixture
def shop(
    database: Database, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    open_shop(database)
    wall = SteppingClock(WALL)
    database.wall = wall
    there = {code: ScriptedChannel(code) for code in "ab"}
    monkeypatch.setitem(KINDS, "scripted", lambda code, settings, timeout: there[code])
    keyring = Keyring.for_tests()
    dear = Capability(methods=(Method.WALLET, Method.QUICK_PAY, Method.CARD), fee_rate=_rate(60))
    cheap = Capability(methods=(Method.SCAN, Method.QUICK_PAY), fee_rate=_rate(10))
    for code, sheet in (("a", dear), ("b", cheap)):
        new = channel_desk.NewChannel(
            code=code,
            mode=orders.Mode.LIVE,
            kind="scripted",
            name=code,
            capability=sheet,
            stage=Stage.LIVE,
        )
        database.transact(partial(channel_desk.register_channel, keyring=keyring, new=new))
    desk = channel_desk.ChannelDesk(database, keyring, fresh_seconds=0)
    routes = routing.RoutingDesk(database, desk, fresh_seconds=0)
    gate = ScriptedGate()
    payer = Paying(database, gate, desk, routes)
    house = Platform(
        database, MERCHANT, keyring, desk, routes, payer, gate, ScriptedPhone(), ScriptedBank()
    )
    made = Shop(house, there["a"], there["b"], clock, wall)
    for router in (order_router, cashier_router, binding_router):
        made.app.include_router(router)
    made.app.state.platform = house

    @made.app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    yield made
    payer.close()


def _rate(bp: int) -> Any:
    return Decimal(bp) / 10_000


def test_a_page_shows_the_ways_that_are_open_and_why_others_are_not(shop: Shop) -> None:
    token = shop.page(payer={"customer": str(ANN)})
    shown = shop.show(token)
    assert (shown["state"], shown["amount_minor"], shown["merchant_name"]) == (
        "open",
        10_000,
        "Tea 茶",
    )
    ways = shop.ways(token)
    open_ = [method for method, why in ways.items() if why is None]
    assert open_ == ["scan", "card", "wallet"], "the cheaper of equals first"
    assert ways["balance"] == ways["credit"] == ways["corporate_banking"] == "sign_in"
    assert (ways["quick_pay"], ways["transfer"]) == ("no_card", "no_channel")
    shop.bind()
    assert shop.ways(token)["quick_pay"] is None


def test_a_page_tells_nothing_about_any_person(shop: Shop) -> None:
    payer = {"customer": str(ANN), "device": "d-1", "ip": "10.1.2.3", "country": "CN"}
    token = shop.page(payer=payer, metadata={"note": "for Ann"})
    text = json.dumps(shop.show(token))
    for secret in (str(ANN), "d-1", "10.1.2.3", "for Ann", str(SHOP)):
        assert secret not in text
    answer = shop.request("GET", PAGE + token)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_a_limit_a_window_or_a_currency_forbids_is_told(shop: Shop) -> None:
    small = shop.page()
    assert shop.ways(small)["scan"] is None
    shop.shut("b")
    assert shop.ways(small)["scan"] == "maintenance"
    assert shop.ways(shop.page(amount_minor=6_000_000))["wallet"] == "amount"


def test_whoever_has_the_page_pays_once_however_often_he_asks(shop: Shop) -> None:
    token = shop.page()
    first = shop.post(f"{PAGE}{token}/pay", {"method": "scan"}, "k")
    again = shop.post(f"{PAGE}{token}/pay", {"method": "scan"}, "k")
    assert first.json() == again.json() == {"state": "paid", "action": None, "declined": None}
    assert again.headers["Idempotency-Replayed"] == "true"
    answer = shop.pay(token, "wallet")
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_is_paid")
    assert shop.a.verbs() + shop.b.verbs() == ["pay"]
    assert shop.show(token)["state"] == "paid"


def test_a_page_is_known_by_its_address_alone_and_no_key_keeps_it(shop: Shop) -> None:
    token = shop.page()
    shop.pay(token)
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "x" * 43):
        answer = shop.request("GET", PAGE + wrong)
        assert (answer.status_code, answer.json()["code"]) == (404, "cashier_page_is_unknown")
    with shop.database.reading() as connection:
        for table in ("payments.cashier_page", "base.idempotency", "events.log"):
            rows = connection.execute(sa.text(f"SELECT t::text FROM {table} t")).scalars()
            assert not any(token in row for row in rows), table


def test_an_order_has_one_page_and_another_merchant_opens_none(shop: Shop) -> None:
    token = shop.page()
    with shop.database.reading() as connection:
        order = cashier.find_order(connection, token, shop.database.now())
    again = shop.post(f"/v1/payments/orders/{order.id}/cashier", {}).json()["token"]
    assert again == token
    shop.house.caller = Caller("key:other", frozenset({"payments.pay"}), str(OTHER_SHOP))
    answer = shop.post(f"/v1/payments/orders/{order.id}/cashier", {})
    assert (answer.status_code, answer.json()["code"]) == (404, "payment_is_unknown")


def test_states_of_a_page(shop: Shop) -> None:
    shop.a.paid = lambda _: Finding(said=Said.ACTION, action={"kind": "qr", "url": "uni://1"})
    token = shop.page()
    assert shop.pay(token).json()["action"] == {"kind": "qr", "url": "uni://1"}
    shown = shop.show(token)
    assert (shown["state"], shown["action"]["kind"]) == ("action", "qr")
    assert shown["poll_after_seconds"] == 2
    shop.clock.advance(timedelta(minutes=1))
    assert shop.show(token)["poll_after_seconds"] == 5
    shop.a.paid = lambda _: Finding(said=Said.UNKNOWN, why="timeout")
    lost = shop.page()
    shop.pay(lost)
    assert shop.show(lost)["state"] == "processing"
    idle = shop.page()
    shop.clock.advance(timedelta(minutes=30))
    assert shop.show(idle)["state"] == "expired"
    assert shop.pay(idle).json()["code"] == "payment_is_over"
    shop.clock.advance(timedelta(days=1))
    assert shop.request("GET", PAGE + idle).status_code == 404


def test_a_cancelled_order_and_a_decline_are_told_and_a_suspicion_is_not(shop: Shop) -> None:
    token = shop.page()
    with shop.database.reading() as connection:
        order = cashier.find_order(connection, token, shop.database.now())
    shop.a.paid = lambda _: Finding(said=Said.DECLINED, decline=_decline("suspected_fraud"))
    assert shop.pay(token).json()["declined"] == "not_permitted"
    assert shop.show(token)["declined"] == "not_permitted"
    shop.database.transact(lambda unit: orders.cancel(unit, order.id))
    assert shop.show(token)["state"] == "closed"


def _decline(word: str) -> Any:
    return cashier.Decline(word)


@pytest.mark.parametrize("method", ["balance", "credit", "direct_debit", "corporate_banking"])
def test_nobody_takes_from_an_account_by_having_a_page(shop: Shop, method: str) -> None:
    answer = shop.pay(shop.page(payer={"customer": str(ANN), "account": "wallet:ann"}), method)
    assert (answer.status_code, answer.json()["code"]) == (403, "method_wants_sign_in")


def test_a_bound_card_on_a_page_wants_a_code_whatever_the_amount(shop: Shop) -> None:
    card = shop.bind()
    token = shop.page(amount_minor=1, payer={"customer": str(ANN)})
    waiting = shop.pay(token, "quick_pay", instrument=card).json()
    assert (waiting["state"], waiting["action"]) == ("action", {"kind": "proof"})
    sent = shop.post(f"{PAGE}{token}/proof", {}).json()
    assert sent["sent_to"] == "138****5678"
    wrong = shop.post(f"{PAGE}{token}/proof", {"code": shop.house.code_sender.wrong})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "proof_is_wrong")
    done = shop.post(f"{PAGE}{token}/proof", {"code": shop.house.code_sender.code})
    assert done.json()["state"] == "paid", done.text


def test_somebody_elses_card_is_not_found_on_a_page_or_by_a_merchant(shop: Shop) -> None:
    card = shop.bind()
    for customer in (str(BOB), None):
        payer = {"customer": customer} if customer else {}
        answer = shop.pay(shop.page(payer=payer), "quick_pay", instrument=card)
        assert (answer.status_code, answer.json()["code"]) == (404, "binding_is_unknown")
    body = {"order_no": "M-1", "amount_minor": 100, "subject": "Tea"}
    for method in ("quick_pay", "card"):
        payer = {"customer": str(BOB), "instrument": card}
        body = {**body, "pay": {"method": method, "payer": payer}}
        answer = shop.post("/v1/payments/orders", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "binding_is_unknown")
    payer = {"customer": str(ANN), "instrument": card}
    answer = shop.post(
        "/v1/payments/orders", {**body, "pay": {"method": "quick_pay", "payer": payer}}
    )
    assert answer.json()["state"] == "succeeded", answer.text
    dear = {**body, "order_no": "M-2", "amount_minor": 100_001}
    answer = shop.post(
        "/v1/payments/orders", {**dear, "pay": {"method": "quick_pay", "payer": payer}}
    )
    assert answer.json()["attempt"]["action"] == {"kind": "proof"}


def test_a_card_that_is_unbound_is_listed_and_paid_with_no_more(shop: Shop) -> None:
    card = shop.bind()
    shop.house.caller = Caller(f"party:{ANN}", frozenset({"payments.*"}), str(ANN))
    (listed,) = shop.request("GET", "/v1/payments/bindings").json()
    assert (listed["last4"], listed["token"]) == (CARD[-4:], card)
    shop.post(f"/v1/payments/bindings/{listed['id']}/unbind", {})
    assert shop.request("GET", "/v1/payments/bindings").json() == []
    shop.house.caller = MERCHANT
    answer = shop.pay(shop.page(payer={"customer": str(ANN)}), "quick_pay", instrument=card)
    assert answer.json()["code"] == "binding_is_unknown"


# -- case 22 --------------------------------------------------------------------------------------


def _waiting(shop: Shop) -> tuple[str, UUID, str]:
    """Have a page whose payer is asked for a proof; return it, its order and the channel."""
    card = shop.bind()
    token = shop.page(payer={"customer": str(ANN)})
    shop.house.gate.first = WANTS_PROOF
    assert shop.pay(token, "quick_pay", instrument=card).json()["state"] == "action"
    with shop.database.reading() as connection:
        order = cashier.find_order(connection, token, shop.database.now())
        (attempt,) = orders.read(connection, order.id).attempts
    return token, order.id, attempt.channel


def test_case_22_a_window_starts_while_a_proof_is_asked_and_another_channel_is_taken(
    shop: Shop,
) -> None:
    token, order, chosen = _waiting(shop)
    shop.post(f"{PAGE}{token}/proof", {})
    shop.shut(chosen)
    done = shop.post(f"{PAGE}{token}/proof", {"code": shop.house.code_sender.code})
    assert done.json()["state"] == "paid", done.text
    with shop.database.reading() as connection:
        (attempt,) = orders.read(connection, order).attempts
    assert attempt.channel == ("b" if chosen == "a" else "a")
    assert {c.code: c.verbs() for c in (shop.a, shop.b)}[chosen] == []


def test_case_22_where_every_channel_shut_the_proof_stays_good(shop: Shop) -> None:
    token, _, _ = _waiting(shop)
    shop.post(f"{PAGE}{token}/proof", {})
    shop.shut("a")
    shop.shut("b")
    code = {"code": shop.house.code_sender.code}
    answer = shop.post(f"{PAGE}{token}/proof", code)
    assert answer.json()["code"] == "no_channel_is_open", answer.text
    assert shop.show(token)["state"] == "action"
    with shop.database.reading() as connection:
        windows = list(
            connection.execute(sa.text("SELECT channel, id FROM payments.channel_window")).all()
        )
    for channel, window in windows:
        shop.database.transact(partial(health.withdraw, channel=channel, window=window))
    assert shop.post(f"{PAGE}{token}/proof", code).json()["state"] == "paid"
    assert len(shop.a.verbs() + shop.b.verbs()) == 1


def test_case_22_a_window_that_starts_while_the_payer_acts_at_the_channel_fails_nothing(
    shop: Shop,
) -> None:
    def acts(request: PayRequest) -> Finding:
        return Finding(said=Said.ACTION, action={"kind": "redirect", "url": "https://b.example"})

    shop.a.paid = acts
    token = shop.page()
    shop.pay(token)
    shop.shut("a")
    shop.a.rest = Finding(said=Said.UNKNOWN, why="closed")
    shop.clock.advance(timedelta(seconds=11))
    assert shop.house.paying.poll() == 1
    assert shop.show(token)["state"] in ("action", "processing")
    # Nothing goes elsewhere while the payer may still finish there.
    assert shop.pay(token, "scan").json()["code"] == "payment_is_under_way"
    with shop.database.reading() as connection:
        order = cashier.find_order(connection, token, shop.database.now())
        (attempt,) = orders.read(connection, order.id).attempts
    said = Report(attempt.id, Source.NOTICE, Finding(said=Said.SUCCEEDED))
    shop.database.transact(lambda unit: report(unit, [said]))
    assert shop.show(token)["state"] == "paid"


def test_a_bound_card_says_what_it_is_and_no_number(shop: Shop) -> None:
    shop.bind()
    with shop.database.reading() as connection:
        (one,) = bindings.list_bindings(connection, ANN)
    assert CARD not in repr(one)
    assert "card-" not in repr(one)
