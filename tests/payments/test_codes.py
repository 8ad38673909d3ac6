"""Codes: one hangs in a shop, one is shown by a payer for a minute and one payment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from steelyard.base import Database
from steelyard.base.http import Caller
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import bindings, codes, orders
from steelyard.payments.http import code_router
from tests.payments.counter import ANN, BOB, Counter, open_counter
from tests.payments.till import OTHER_SHOP, SHOP, an_order

WALL = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def counter(database: Database) -> Iterator[Counter]:
    with open_counter(database, SteppingClock(WALL)) as opened:
        yield opened


def at_till(counter: Counter, amount_minor: int = 10_000) -> orders.Order:
    """Have an order of a till, whose payer nobody knows yet."""
    return counter.order(payer=orders.Payer(terminal="till-1"), amount_minor=amount_minor)


def show(counter: Counter, card: bindings.Binding) -> codes.ShownCode:
    keyring = counter.till.codes.keyring
    return counter.database.transact(lambda u: codes.show(u, keyring, card.customer, card.id))


def pay(counter: Counter, order: orders.Order, code: str, **more: Any) -> orders.Order:
    values = {"attempt": uuid4(), "actor": "key:shop", **more}
    return codes.pay_by_code(counter.till, order.id, code, **values).order


def hang(counter: Counter, **changes: Any) -> codes.ScanCode:
    new = codes.NewScanCode(
        **{"id": uuid4(), "merchant": SHOP, "app": "a", "subject": "Tea", **changes}
    )
    keyring = counter.till.codes.keyring
    return counter.database.transact(lambda unit: codes.hang(unit, keyring, new))


def test_a_payers_code_pays_with_his_card(counter: Counter) -> None:
    card = counter.bound()
    shown = show(counter, card)
    assert len(shown.code) == codes.PAY_CODE_DIGITS
    done = pay(counter, at_till(counter), shown.code)
    assert done.state is orders.OrderState.SUCCEEDED
    assert (done.payer.customer, done.payer.terminal) == (ANN, "till-1")
    (sent,) = counter.desk.channel.sent.values()
    assert sent.details["card_token"] == card.card_token


def test_a_code_pays_once(counter: Counter) -> None:
    shown = show(counter, counter.bound())
    pay(counter, at_till(counter), shown.code)
    with pytest.raises(codes.PayCodeIsUnknown):
        pay(counter, at_till(counter), shown.code)
    assert counter.desk.channel.verbs() == ["pay"]


def test_tills_that_read_one_code_at_once_pay_once(counter: Counter) -> None:
    shown = show(counter, counter.bound())
    made = [at_till(counter) for _ in range(8)]

    def run(order: orders.Order) -> str:
        try:
            return pay(counter, order, shown.code).state.value
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(run, made))
    assert said.count("succeeded") == 1
    assert said.count("pay_code_is_unknown") == 7


def test_a_till_that_lost_the_answer_asks_again_and_pays_once(counter: Counter) -> None:
    shown, order, attempt = show(counter, counter.bound()), at_till(counter), uuid4()
    first = pay(counter, order, shown.code, attempt=attempt)
    again = pay(counter, order, shown.code, attempt=attempt)
    assert first.id == again.id
    assert counter.desk.channel.verbs() == ["pay"]


def test_a_code_is_good_for_a_minute_and_the_one_before_not_at_all(counter: Counter) -> None:
    card = counter.bound()
    old, new = show(counter, card), show(counter, card)
    with pytest.raises(codes.PayCodeIsUnknown):
        pay(counter, at_till(counter), old.code)
    counter.wall.advance(codes.PAY_CODE_LIVES)
    with pytest.raises(codes.PayCodeIsUnknown):
        pay(counter, at_till(counter), new.code)
    assert counter.desk.channel.asked == []


@pytest.mark.parametrize("code", ["880000000000000000", "1" * 18, "", "88' OR 1=1 --      "])
def test_what_nobody_shows_is_not_good(counter: Counter, code: str) -> None:
    show(counter, counter.bound())
    with pytest.raises(codes.PayCodeIsUnknown):
        pay(counter, at_till(counter), code)


def test_a_code_of_a_card_that_is_unbound_meanwhile_pays_nothing(counter: Counter) -> None:
    card = counter.bound()
    shown = show(counter, card)
    counter.database.transact(lambda unit: bindings.unbind(unit, card.id, ANN))
    with pytest.raises(bindings.BindingIsUnknown):
        pay(counter, at_till(counter), shown.code)
    with pytest.raises(bindings.BindingIsUnknown):
        show(counter, card)
    assert counter.desk.channel.asked == []


def test_a_large_amount_asks_the_payer_for_a_code_of_his_own(counter: Counter) -> None:
    shown = show(counter, counter.bound())
    done = pay(counter, at_till(counter, 100_001), shown.code)
    assert done.state is orders.OrderState.REQUIRES_ACTION


def test_case_88_somebody_elses_card_and_order_are_not_found(counter: Counter) -> None:
    card = counter.bound()
    keyring = counter.till.codes.keyring
    with pytest.raises(bindings.BindingIsUnknown):
        counter.database.transact(lambda unit: codes.show(unit, keyring, BOB, card.id))
    shown = show(counter, card)
    with pytest.raises(orders.PaymentIsUnknown):
        pay(counter, at_till(counter), shown.code, merchant=OTHER_SHOP)
    # The code was not used up by the stranger.
    assert pay(counter, at_till(counter), shown.code).state is orders.OrderState.SUCCEEDED


def test_codes_are_not_made_without_end_and_are_kept_as_hashes(counter: Counter) -> None:
    card = counter.bound()
    shown = [show(counter, card) for _ in range(12)]
    with pytest.raises(codes.TooManyPayCodes):
        show(counter, card)
    counter.wall.advance(timedelta(seconds=61))
    show(counter, card)
    with counter.database.reading() as connection:
        rows = connection.execute(sa.text("SELECT t::text FROM payments.pay_code t"))
        text = "\n".join(rows.scalars())
    assert not any(one.code in text or one.code in repr(one) for one in shown)


def test_whoever_scans_a_shops_code_types_the_amount_and_pays_on_a_page(
    counter: Counter,
) -> None:
    code = hang(counter, terminal="till-7", most_minor=5_000)
    keyring, id = counter.till.codes.keyring, uuid4()

    def scan(amount: int) -> codes.Scanned:
        return counter.database.transact(
            lambda unit: codes.scan(unit, keyring, code.token, order=id, amount_minor=amount)
        )

    with pytest.raises(codes.ScanCodeTakesLess):
        scan(5_001)
    made, again = scan(1_234), scan(1_234)
    assert (made.order.id, made.token) == (again.order.id, again.token)
    order = made.order
    assert (order.merchant, order.amount_minor, order.scenario, order.payer.terminal) == (
        SHOP,
        1_234,
        orders.Scenario.IN_STORE,
        "till-7",
    )
    counter.database.transact(lambda unit: codes.take_down(unit, code.token, SHOP))
    with pytest.raises(codes.ScanCodeIsUnknown):
        scan(1)


def test_a_code_that_hangs_is_its_merchants_own(counter: Counter) -> None:
    code = hang(counter)
    with pytest.raises(codes.ScanCodeIsUnknown):
        counter.database.transact(lambda unit: codes.take_down(unit, code.token, OTHER_SHOP))
    with counter.database.reading() as connection:
        assert codes.list_scan_codes(connection, OTHER_SHOP) == []
        assert [c.token for c in codes.list_scan_codes(connection, SHOP)] == [code.token]


def test_codes_over_the_wire(counter: Counter) -> None:
    platform = SimpleNamespace(
        database=counter.database,
        keyring=counter.till.codes.keyring,
        gate=counter.gate,
        paying=counter.paying,
        channels=counter.desk,
        routing=counter.till.routing,
        code_sender=counter.phone,
        settings=None,
        caller=Caller("key:shop", frozenset({"payments.*"}), str(SHOP)),
    )
    platform.verifier = SimpleNamespace(verify=lambda request, body: platform.caller)
    app = FastAPI()
    app.include_router(code_router)
    app.state.platform = platform

    def ask(method: str, path: str, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments/codes{path}", **more)

        return asyncio.run(run())

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = ask("POST", path, json=body, headers={"Idempotency-Key": uuid4().hex})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    hung = post("", {"subject": "Tea"})
    assert ask("GET", "").json()[0]["token"] == hung["token"]
    scanned = post(f"/{hung['token']}/scan", {"amount_minor": 321})
    assert scanned["page"].startswith("/v1/payments/cashier/")
    card = counter.bound()
    platform.caller = Caller(f"party:{ANN}", frozenset({"payments.*"}), str(ANN))
    shown = post("/show", {"binding": str(card.id)})
    platform.caller = Caller("key:shop", frozenset({"payments.*"}), str(SHOP))
    (order,) = counter.database.transact(lambda unit: orders.create(unit, [an_order()]))
    assert isinstance(order, orders.Order)
    paid = post("/pay", {"payment": str(order.id), "code": shown["code"]})
    assert paid["state"] == "succeeded"
    assert card.token not in str(paid)
    post(f"/{hung['token']}/take-down", {})
