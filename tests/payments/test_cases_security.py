"""Cases of security over the whole room: who may read what, and what logs may say."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, Settings
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller, language_of, problem_of
from steelyard.base.telemetry import configure_logs
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Finding, Method, Said
from steelyard.payments.model.orders import Mode, Order, OrderState, Payer
from steelyard.payments.service import (
    apps,
    clearing,
    custody,
    disputes,
    exports,
    orders,
    payouts,
    refunds_upkeep,
    settlement,
)
from steelyard.payments.service.paying import Pay, Paying
from steelyard.web.rooms import routers
from tests.house import House
from tests.payments.hooks import Office, desk
from tests.payments.hooks import open_shop as listening
from tests.payments.outside import misbehaving, running_outside
from tests.payments.refunding import ask, holds, order_of, paid, refund_of, sign
from tests.payments.till import OTHER_SHOP, SHOP, ScriptedDesk, an_order, open_shop, paying
from tests.payments.vault import KnownPayees
from tests.payments.world.bank import TrueBank

__all__ = ["desk"]
PAN = "4111111111111111"
QUIETED = ("httpx", "httpcore", "psycopg.pool", "procrastinate")
ALL = frozenset({"payments.*"})
STAFF = Caller("staff:1", ALL)
MINE = Caller("key:shop", ALL, str(SHOP))
OTHER = Caller("key:other", ALL, str(OTHER_SHOP))
NEXT_MORNING = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)
NOT_EXPECTED = clearing.ReconWord(is_expected=False, is_verified=False)
PROVED = frozenset(
    f"/v1/payments/{path}"
    for path in (
        "orders/{id}",
        "orders/{id}/splits",
        "orders/{id}/captures",
        "refunds/{id}",
        "disputes/{id}",
        "settlements/{id}",
        "payouts/{id}",
        "apps/{app}",
        "apps/{app}/keys",
        "webhook-endpoints/{endpoint}",
        "webhook-deliveries/{delivery}",
        "events/{event}",
        "merchants/{merchant}",
        "merchants/{merchant}/history",
        "merchants/{merchant}/fee-plans",
        "merchants/{merchant}/settlement-accounts",
        "clearing-days/{on}/totals",
        "fee-invoices/{month}",
    )
)
"""What a merchant reads of his own in this test; of other routes a stranger's id is not found."""
_PARAMETER = re.compile(r"\{(\w+)[^}]*\}")


@dataclass
class Everything(House):
    """The platform with what reading routes may want."""

    paying: Paying
    channels: ScriptedDesk
    keyring: Keyring
    settings: Settings


@dataclass
class Window:
    """All routes of payments, and whoever asks."""

    app: FastAPI
    house: Everything

    def get(self, caller: Caller, path: str) -> httpx.Response:
        self.house.caller = caller

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.get(path)

        return asyncio.run(run())

    def paths(self) -> list[str]:
        """Return the paths of all GET routes of the room that name something."""
        found = self.app.openapi()["paths"].items()
        return [
            path
            for path, verbs in found
            if path.startswith("/v1/payments/") and "get" in verbs and "{" in path
        ]


@pytest.fixture
def window(desk: Office) -> Iterator[Window]:
    app = FastAPI()
    for router in routers():
        app.include_router(router)

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    channels = ScriptedDesk()
    open_shop(desk.database)
    for merchant in (SHOP, OTHER_SHOP):
        sign(desk.database, merchant, settlement_cycle="D1")
    with paying(desk.database, channels) as opened:
        house = Everything(desk.database, STAFF, opened, channels, desk.keyring, desk.settings)
        app.state.platform = house
        yield Window(app, house)


def a_day_of_a_shop(desk: Office, channels: ScriptedDesk, clock: Any) -> None:
    """Let a merchant have one of everything."""
    database = desk.database
    app = desk.app(SHOP, Mode.LIVE).id
    desk.hear(SHOP, "https://example.com/hooks", app=app)
    order = paid(database, channels, app=app, splits={OTHER_SHOP.hex: 1_000})
    paid(database, channels)
    ask(database, order, 2_000)
    claim = disputes.NewDispute(
        id=uuid4(), order=order.id, reference="D-1", amount_minor=500, currency="CNY"
    )
    database.transact(lambda unit: disputes.take(unit, claim))
    desk.tell()
    clock.advance(NEXT_MORNING - clock.now())
    for day in clearing.close_due(database, Mode.LIVE, channels.capability):
        database.transact(partial(clearing.pass_gate, day=day, word=NOT_EXPECTED))
    payees = KnownPayees()
    settlement.calculate(database, Mode.LIVE, NEXT_MORNING.date(), payees)
    custody_of = {"account": "RESERVE", "own_account": "OURS"}
    database.transact(lambda unit: custody.open_account(unit, Mode.LIVE, "CNY", **custody_of))
    payouts.pay_ready(database, TrueBank("RESERVE", clock), Mode.LIVE, payees)


def ids_of(database: Database) -> list[str]:
    """Return every id in the room's tables that stands for a row."""
    with database.reading() as connection:
        tables = connection.execute(
            sa.text(
                "SELECT table_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'payments' AND column_name = 'id'"
                " AND table_name NOT IN ('evidence', 'follow_up')"
            )
        ).all()
        found: list[str] = []
        for table, _ in tables:
            rows = connection.execute(sa.text(f'SELECT id FROM payments."{table}" LIMIT 1'))
            told = "evt_{0.hex}" if table == "webhook_event" else "{0}"
            found += [told.format(id) for id in rows.scalars()]
    return sorted(set(found))


def _filled(path: str, known: Mapping[str, str], id: str) -> str:
    return _PARAMETER.sub(lambda found: known.get(found[1], id), path)


def test_case_88_nobody_reads_what_is_another_merchants_by_its_id(
    window: Window, desk: Office, clock: Any
) -> None:
    a_day_of_a_shop(desk, window.house.channels, clock)
    ids = ids_of(desk.database)
    known = {"code": "scripted", "channel": "scripted", "on": "2026-03-02", "month": "2026-03"}
    read: set[str] = set()
    paths = window.paths()
    assert len(paths) > 30, "all routes of the room are looked at"
    for path in paths:
        is_by_id = not set(_PARAMETER.findall(path)) <= set(known)
        for id in ids if is_by_id else [""]:
            named = _filled(path, known, id)
            if window.get(MINE, named).status_code != 200:
                continue
            read.add(path)
            answer = window.get(OTHER, named)
            if is_by_id:
                assert answer.status_code in (403, 404), f"{named}: {answer.text}"
                assert str(SHOP) not in answer.text.replace(id, "")
            else:
                told = [one for one in (str(SHOP), *ids) if one in answer.text]
                assert told == [], f"{named}: {answer.text}"
        if path not in read:
            stranger = _filled(path, known, str(uuid4()))
            answer = window.get(OTHER, stranger)
            assert answer.status_code in (400, 403, 404, 422), f"{stranger}: {answer.text}"
    assert read >= PROVED, PROVED - read


def trail(database: Database) -> list[tuple[str, str, Any]]:
    with database.reading() as connection:
        found = connection.execute(
            sa.text(
                "SELECT actor, subject, detail FROM base.audit"
                " WHERE action = 'payments.export' ORDER BY sequence"
            )
        )
        return [tuple(row) for row in found]


def test_case_89_an_export_is_bounded_and_in_the_trail(
    window: Window, desk: Office, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_day_of_a_shop(desk, window.house.channels, clock)
    path = "/v1/payments/fee-invoices/2026-03"
    taken = window.get(MINE, path)
    assert taken.status_code == 200
    rows = len(taken.text.splitlines()) - 2
    ((actor, subject, detail),) = trail(desk.database)
    assert (actor, subject) == ("key:shop", f"party:{SHOP}")
    assert json.loads(detail) == {"rows": rows, "what": "fee_invoice 2026-03"}
    monkeypatch.setattr(exports, "MOST_ROWS", rows - 1)
    refused = window.get(MINE, path)
    assert refused.json()["code"] == "export_is_too_long"
    assert len(trail(desk.database)) == 1


@pytest.fixture
def said(tmp_path: Path) -> Iterator[io.StringIO]:
    """Everything that is logged, by whomever, written as the platform writes it at DEBUG."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIETED}
    kept, configuration = io.StringIO(), structlog.get_config()
    configure_logs(Settings(home=tmp_path, log_level="DEBUG"), stream=kept)
    for name in QUIETED:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield kept
    root.handlers[:] = before
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)
    structlog.configure(**configuration)


def test_case_87_no_log_at_any_level_says_a_secret(
    window: Window, desk: Office, said: io.StringIO
) -> None:
    instrument, database = f"tok{uuid4().hex}", desk.database
    app = desk.app(desk.taken_on(), Mode.LIVE)
    new_key = apps.NewKey(name="Till")
    key = desk.run(lambda unit: apps.issue_key(unit, desk.keyring, desk.settings, app.id, new_key))
    shop, server = listening()
    issued = desk.hear(SHOP, shop.url, app=(hears := desk.app(SHOP, Mode.LIVE).id))
    order = paid(database, window.house.channels, app=hears)
    (other,) = database.transact(lambda unit: orders.create(unit, [an_order()]))
    assert isinstance(other, Order)
    how = Pay(attempt=uuid4(), method=Method.WALLET, payer=Payer(instrument=instrument))
    window.house.paying.pay(other.id, how, actor="test:shop")
    ask(database, order, 2_000)
    desk.tell()
    shop.answer = lambda _: 500
    assert desk.deliver() > 0
    signature = shop.got[0].headers["webhook-signature"]
    server.shutdown()
    server.server_close()
    with running_outside() as outside:
        keys = outside.settings("uni")["keys"].rpartition(":")[2]
        uni = outside.channel("uni", timeout=0.2)
        for behaviour in ("sim_garble", "sim_forge", "sim_break", "sim_hang"):
            assert uni.pay(misbehaving("uni", behaviour, merchant=PAN)).said is Said.UNKNOWN
    try:
        raise RuntimeError(f"card {PAN} with secret={issued.secret}")
    except RuntimeError:
        logging.getLogger("steelyard.payments").exception("the channel failed for %s", PAN)
    text = said.getvalue()
    assert "the channel failed" in text
    assert "httpcore" in text, "the libraries speak too"
    for secret in (PAN, keys, issued.secret, key.secret, signature.partition(",")[2], instrument):
        assert len(secret) >= 12
        assert secret not in text, f"{secret[:6]}... is in the log"


def test_case_90_a_clock_that_steps_back_between_steps_doubles_nothing_and_waits_on(
    database: Database, clock: SteppingClock
) -> None:
    open_shop(database)
    channels = ScriptedDesk()
    channel, hour = channels.channel, timedelta(hours=1)
    channel.paid = lambda _: Finding(said=Said.UNKNOWN)
    (made, late) = database.transact(
        lambda unit: orders.create(
            unit, [an_order(expires_at=unit.now + 9 * hour), an_order(expires_at=unit.now + hour)]
        )
    )
    assert isinstance(made, Order)
    assert isinstance(late, Order)
    clock.advance(hour)
    assert database.transact(orders.end_due) == 1
    how = Pay(attempt=uuid4(), method=Method.WALLET)
    with paying(database, channels) as opened:
        first = opened.pay(made.id, how, actor="test:shop")
        clock.advance(-hour)
        # An hour early nothing is due: it waits, and is not asked about over and over.
        assert opened.poll() == 0
        again = opened.pay(made.id, how, actor="test:shop")
        assert (first.attempt.id, again.attempt.state) == (how.attempt, AttemptState.UNKNOWN)
        with pytest.raises(Refusal):
            opened.pay(late.id, Pay(attempt=uuid4(), method=Method.WALLET), actor="test:shop")
        channel.queried[how.attempt.hex] = Finding(said=Said.SUCCEEDED)
        clock.advance(hour + timedelta(seconds=11))
        assert opened.poll() == 1
        clock.advance(-hour)
        assert opened.poll() == 0
    assert order_of(database, late.id).state is OrderState.EXPIRED
    assert channel.verbs().count("pay") == 1
    channel.refunded = lambda _: Finding(said=Said.UNKNOWN)
    refund = ask(database, order_of(database, made.id), 4_000)
    for _ in range(3):
        clock.advance(-hour)
        refunds_upkeep.send_waiting(database, channels, actor="test:shop")
    sent = refund_of(database, refund.id)
    assert sent.sent_at is not None
    assert sent.next_query_at is not None
    assert sent.next_query_at > sent.sent_at
    channel.queried[refund.number] = Finding(said=Said.SUCCEEDED)
    clock.advance(3 * hour)
    refunds_upkeep.send_waiting(database, channels, actor="test:shop")
    assert order_of(database, made.id).refunded_minor == 4_000
    assert channel.verbs().count("refund") == 1
    holds(database)
