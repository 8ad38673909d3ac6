"""Notices end to end: a channel outside tells, the route takes in, books and history show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, NoPolicyGate, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, problem_of
from steelyard.kernel import Refusal
from steelyard.payments import channel_desk
from steelyard.payments.http import notice_router
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import AttemptState, Follow
from steelyard.payments.model.channel import Capability, Channel, Method, RawNotice, Stage
from steelyard.payments.model.orders import Mode, NewOrder, Order, OrderState, Payer
from steelyard.payments.service import evidence, notices_in, orders
from steelyard.payments.service.paying import Pay, Paying, Result, Routed
from tests.house import House
from tests.payments.outside import DIALECTS, Mailbox, Outside, mailbox, running_outside, wait_for
from tests.payments.till import (
    EVERYTHING,
    OTHER_SHOP,
    SHOP,
    an_order,
    balance,
    open_shop,
    sum_of_postings,
)

PENDING = accounts.pending(SHOP, "CNY")
UNCLAIMED = accounts.unclaimed("CNY")


@dataclass
class Channels:
    """The channels at hand; what the route asks for under `platform.channels`."""

    known: dict[str, Channel] = field(default_factory=dict)

    def get(self, code: str) -> Channel:
        if code not in self.known:
            raise notices_in.ChannelIsUnknown(channel=code)
        return self.known[code]

    def capability(self, code: str) -> Capability:
        return EVERYTHING


@dataclass
class Platform(House):
    channels: Channels


@dataclass
class Shop:
    """A shop that is paid through channels outside, and the address that they tell."""

    database: Database
    outside: Outside
    box: Mailbox
    channels: Channels
    paying: Paying
    app: FastAPI
    to: str = "uni"

    def post(self, code: str, raw: RawNotice) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                path = f"/v1/payments/channels/{code}/notices"
                return await http.post(path, content=raw.body, headers=dict(raw.headers))

        return asyncio.run(run())

    def deliver(self, raw: RawNotice) -> tuple[int, bytes]:
        answer = self.post(self.to, raw)
        return answer.status_code, answer.content

    def order(self, **changes: Any) -> NewOrder:
        new = an_order(**changes)
        (made,) = self.database.transact(lambda unit: orders.create(unit, [new]))
        assert isinstance(made, Order)
        return new

    def pay(self, token: str = "", **changes: Any) -> Result:
        new = self.order(**changes)
        details = {} if self.to in ("uni", "union") else {"auth_code": token or "1300"}
        if token == "by_qr":
            details = {}
        payer = Payer(instrument=token) if self.to == "uni" and token else None
        how = Pay(attempt=uuid4(), method=Method.SCAN, details=details, payer=payer)
        return self.paying.pay(new.id, how, actor="test")

    def read(self, order: UUID) -> Any:
        with self.database.reading() as connection:
            return orders.read(connection, order)

    def state(self, result: Result) -> tuple[OrderState, AttemptState]:
        history = self.read(result.order.id)
        states = {one.id: one.state for one in history.attempts}
        return history.order.state, states[result.attempt.id]

    def heard(self, result: Result) -> int:
        with self.database.reading() as connection:
            return int(
                connection.execute(
                    sa.text(
                        "SELECT count(*) FROM payments.evidence"
                        " WHERE about = :about AND source = 'notice'"
                    ),
                    {"about": result.attempt.id},
                ).scalar_one()
            )

    def notice(self, result: Result, **said: Any) -> RawNotice:
        return self.outside.notice(self.box, self.to, result.attempt.number, **said)


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    with running_outside() as outside:
        yield outside


@pytest.fixture
def shop(world: Outside, database: Database) -> Iterator[Shop]:
    open_shop(database)
    world.forget()
    # The world outside lives on the same business clock.
    world.post("/clock", now=database.now().isoformat())
    channels = Channels({kind: world.channel(kind) for kind in DIALECTS})
    app = FastAPI()
    app.include_router(notice_router)
    app.state.platform = Platform(database, Caller("nobody", frozenset()), channels)

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, "en")
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    with mailbox() as box:
        made: list[Shop] = []

        class ToOne:
            def route(self, order: Order, how: Pay, now: datetime) -> Routed:
                return Routed(made[0].to)

            def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
                """Keep nothing."""

        paying = Paying(database, NoPolicyGate(), channels, ToOne(), notify_url=lambda _: box.url)
        made.append(Shop(database, world, box, channels, paying, app))
        try:
            yield made[0]
        finally:
            paying.close()
            world.quiet(box)
            world.close_adaptors()
            assert sum_of_postings(database) == 0


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_notice_brings_the_money_and_is_answered_in_the_channels_words(
    shop: Shop, kind: str
) -> None:
    shop.to = kind
    result = shop.pay("sim_action:qr:-1" if kind == "uni" else "by_qr")
    assert shop.state(result) == (OrderState.REQUIRES_ACTION, AttemptState.PENDING_USER)
    shop.outside.post("/payers", dialect=kind, number=result.attempt.number)
    answer = shop.post(kind, shop.box.take())
    assert answer.status_code == 200
    words = {"wechat": '{"code":"SUCCESS","message":"成功"}'.encode(), "alipay": b"success"}
    assert answer.content == words.get(kind, answer.content)
    assert answer.content.startswith(b'{"received":"') is (kind == "uni")
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert balance(shop.database, PENDING) == 10_000
    assert balance(shop.database, accounts.in_transit(kind, "CNY")) == -10_000


@pytest.mark.parametrize("kind", ["uni", "alipay"])
def test_case_03_the_notice_comes_before_the_synchronous_answer(shop: Shop, kind: str) -> None:
    shop.to = kind
    seen: list[tuple[OrderState, AttemptState]] = []

    def take(raw: RawNotice) -> tuple[int, bytes]:
        answered = shop.deliver(raw)
        with shop.database.reading() as connection:
            row = connection.execute(
                sa.text(
                    "SELECT o.state AS whole, a.state AS part FROM payments.attempt a"
                    " JOIN payments.order o ON o.id = a.order_id"
                )
            ).one()
        seen.append((OrderState(row.whole), AttemptState(row.part)))
        return answered

    shop.box.handed_to = take
    shop.outside.script("tell_first", verb="pay")
    result = shop.pay()
    assert seen == [(OrderState.SUCCEEDED, AttemptState.SUCCEEDED)]
    assert shop.state(result) == seen[0]
    assert balance(shop.database, PENDING) == 10_000, "the answer after it added nothing"


def test_case_04_a_notice_a_hundred_times_at_once_counts_once(shop: Shop) -> None:
    result = shop.pay("sim_action:qr:-1")
    raw = shop.notice(result)
    with ThreadPoolExecutor(16) as many:
        taken = list(
            many.map(
                lambda _: notices_in.take(
                    shop.database, shop.channels, "uni", raw, now=datetime.now().astimezone()
                ),
                range(100),
            )
        )
    assert sum(one.is_new for one in taken) == 1
    assert len({one.reply for one in taken}) == 1
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert balance(shop.database, PENDING) == 10_000
    assert shop.heard(result) == 100


@pytest.mark.parametrize("kind", ["uni", "alipay"])
def test_case_05_an_old_failure_after_the_success_changes_nothing(shop: Shop, kind: str) -> None:
    shop.to = kind
    result = shop.pay()
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)
    for state in ("declined", "closed"):
        assert shop.post(kind, shop.notice(result, state=state)).status_code == 200
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert balance(shop.database, PENDING) == 10_000
    assert shop.heard(result) == 2, "it is recorded all the same"


def test_case_06_a_success_after_the_failure_is_taken(shop: Shop) -> None:
    result = shop.pay("sim_decline:insufficient_funds")
    assert shop.state(result) == (OrderState.OPEN, AttemptState.DECLINED)
    assert shop.post("uni", shop.notice(result, state="paid")).status_code == 200
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert balance(shop.database, PENDING) == 10_000


def test_case_07_a_notice_with_another_amount_or_currency_is_held(shop: Shop) -> None:
    for said in ({"amount": 9_999}, {"currency": "JPY"}):
        result = shop.pay("sim_action:qr:-1")
        assert shop.post("uni", shop.notice(result, **said)).status_code == 200
        order, attempt = shop.state(result)
        assert attempt is AttemptState.INTEGRITY_HOLD
        assert order is OrderState.REQUIRES_ACTION
    assert balance(shop.database, PENDING) == 0
    assert balance(shop.database, UNCLAIMED) == 9_999


def test_case_01_money_that_comes_after_the_close_goes_to_nobody_yet(shop: Shop) -> None:
    result = shop.pay("sim_late:7200")
    assert shop.state(result) == (OrderState.PROCESSING, AttemptState.PENDING)
    shop.database.transact(lambda unit: orders.cancel(unit, result.order.id))
    history = shop.read(result.order.id)
    shop.paying.ask(list(history.attempts), actor="test")
    assert shop.state(result) == (OrderState.CANCELLED, AttemptState.CLOSED)
    assert shop.post("uni", shop.notice(result, state="paid")).status_code == 200
    assert shop.state(result) == (OrderState.CANCELLED, AttemptState.LATE)
    assert (balance(shop.database, PENDING), balance(shop.database, UNCLAIMED)) == (0, 10_000)
    with shop.database.reading() as connection:
        asked = connection.execute(sa.text("SELECT kind FROM payments.follow_up")).scalars().all()
    assert asked == [Follow.REFUND_LATE.value]


def test_case_08_what_is_not_believed_is_refused_and_leaves_no_trace(shop: Shop) -> None:
    result = shop.pay("sim_action:qr:-1")
    forged = shop.notice(result, forged=True)
    good = shop.notice(result)
    altered = RawNotice(good.headers, good.body.replace(b"10000", b"10001"))
    for raw in (forged, altered, RawNotice({}, b"{}"), RawNotice(good.headers, b"")):
        answer = shop.post("uni", raw)
        assert (answer.status_code, answer.json()["code"]) == (401, "notice_is_not_believed")
    # Of another channel, or of none, it is not believed either.
    assert shop.post("alipay", good).json()["code"] == "notice_is_not_believed"
    assert shop.post("nowhere", good).json()["code"] == "channel_is_unknown"
    assert shop.heard(result) == 0
    assert shop.state(result)[1] is AttemptState.PENDING_USER


def test_case_09_a_notice_about_what_another_channel_was_asked_for(shop: Shop) -> None:
    mine = shop.pay("sim_action:qr:-1")
    others = shop.order(merchant=OTHER_SHOP)
    how = Pay(attempt=uuid4(), method=Method.SCAN, details={"auth_code": "1300"})
    shop.to = "wechat"
    theirs = shop.paying.pay(others.id, how, actor="test")
    # Channel `uni` signs well, and speaks of an attempt that went elsewhere.
    shop.to = "uni"
    spoken = shop.outside.simulator.desk.payment("uni", mine.attempt.number)
    assert spoken is not None
    spoken.number, spoken.notify_url = theirs.attempt.number, shop.box.url
    shop.outside.simulator.store.put(spoken)
    raw = shop.notice(theirs, state="declined")
    answer = shop.post("uni", raw)
    assert (answer.status_code, answer.json()["code"]) == (404, "notice_is_about_nothing")
    assert shop.heard(theirs) == 0
    assert shop.state(theirs)[1] is AttemptState.SUCCEEDED
    spoken.number = "0123456789"
    shop.outside.simulator.store.put(spoken)
    unknown = shop.outside.notice(shop.box, "uni", "0123456789", state="paid")
    assert shop.post("uni", unknown).json()["code"] == "notice_is_about_nothing"


def test_a_notice_whose_work_fails_is_not_answered_and_counts_when_it_comes_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = shop.pay("sim_action:qr:-1")
    raw = shop.notice(result)

    def fail(*_: object) -> Any:
        raise RuntimeError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(evidence, "settle", fail)
        with pytest.raises(RuntimeError):
            shop.post("uni", raw)
    assert shop.heard(result) == 0
    assert shop.post("uni", raw).status_code == 200
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)


def test_the_channel_repeats_until_it_was_taken(shop: Shop) -> None:
    """The whole way by itself: the simulator tells, is refused once, tells again."""
    answers: list[int] = []

    def take(raw: RawNotice) -> tuple[int, bytes]:
        answered = (503, b"") if not answers else shop.deliver(raw)
        answers.append(answered[0])
        return answered

    shop.box.handed_to = take
    taken = shop.outside.simulator.notices.taken
    result = shop.pay("sim_action:qr:-1")
    shop.outside.post("/payers", dialect="uni", number=result.attempt.number)
    wait_for(lambda: shop.outside.simulator.notices.taken > taken)
    assert answers == [503, 200]
    assert shop.state(result) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)


def test_a_stored_channel_with_sealed_keys_pays_and_its_keys_are_nowhere_else(shop: Shop) -> None:
    keyring, given = Keyring.for_tests(), shop.outside.settings("uni")
    new = channel_desk.NewChannel(
        code="union",
        mode=Mode.LIVE,
        kind="uni",
        name="Union 联行",
        capability=EVERYTHING,
        settings={"url": given["url"], "merchant": given["merchant"]},
        secrets={"keys": given["keys"]},
        stage=Stage.LIVE,
    )
    shop.database.transact(lambda unit: channel_desk.register_channel(unit, keyring, new))
    desk = channel_desk.ChannelDesk(shop.database, keyring)
    shop.channels.known["union"] = shop.outside.adopt(desk.get("union"))
    shop.to = "union"
    assert shop.state(shop.pay()) == (OrderState.SUCCEEDED, AttemptState.SUCCEEDED)
    secret = given["keys"].partition(":")[2]
    with shop.database.reading() as connection:
        tables = connection.execute(
            sa.text(
                "SELECT table_schema || '.' || quote_ident(table_name)"
                " FROM information_schema.tables"
                " WHERE table_schema IN ('payments', 'events', 'base')"
                " AND table_type = 'BASE TABLE'"
            )
        ).scalars()
        for name in tables.all():
            held = connection.execute(
                sa.text(f"SELECT count(*) FROM {name} t WHERE t::text LIKE :it"),
                {"it": f"%{secret}%"},
            ).scalar_one()
            assert held == 0, name
