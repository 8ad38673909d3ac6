"""The page for merchants is true: its programs are run against a server, with real signatures."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import Database, NoPolicyGate, Settings, UnitOfWork
from steelyard.base.http import language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.ledger import Funds, open_book, open_chart
from steelyard.parties import RequestVerifier, api_keys
from steelyard.payments.http import (
    app_router,
    merchant_router,
    order_router,
    refund_router,
    webhook_router,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import KINDS, WAITS
from steelyard.payments.service import institution
from tests.payments.hooks import Office, Shop
from tests.payments.hooks import shop as shop
from tests.payments.till import ScriptedDesk, paying

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "take-payments.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)\n```", PAGE, re.DOTALL))


class Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Running:
    office: Office
    address: str
    key: api_keys.IssuedApiKey


@pytest.fixture
def running(database: Database, tmp_path: Path) -> Iterator[Running]:
    """A server with the routes of the page, which checks signatures, with a scripted channel."""
    office = Office(database, Settings(home=tmp_path, webhook_loopback=True))
    office.run(_open_sandbox)
    new = api_keys.NewApiKey("institution", entitlements=("payments.*",))
    key = office.run(
        lambda unit: api_keys.create_api_key(unit, office.keyring, office.settings, new)
    )
    channels = ScriptedDesk()
    verifier = RequestVerifier(database, office.keyring, office.settings)
    with paying(database, channels) as payer:
        platform = SimpleNamespace(
            settings=office.settings,
            database=database,
            keyring=office.keyring,
            gate=NoPolicyGate(),
            verifier=verifier,
            paying=payer,
            channels=channels,
        )
        server = Server(uvicorn.Config(_app(platform), port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert server.ready.wait(timeout=60)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield Running(office, f"http://127.0.0.1:{port}", key)
        finally:
            server.should_exit = True
            thread.join()
            verifier.close()


def _open_sandbox(unit: UnitOfWork) -> None:
    on = date(2026, 3, 2)
    for book, funds in (("sandbox_clients", Funds.CLIENT), ("sandbox_own", Funds.OWN)):
        open_book(unit, book, name=book, funds=funds, business_on=on, timezone="Asia/Shanghai")
    open_chart(unit, "sandbox_own", "platform", currencies=["CNY"])
    institution.open_books(
        unit, Mode.SANDBOX, client_book="sandbox_clients", own_book="sandbox_own"
    )


def _app(platform: Any) -> FastAPI:
    app = FastAPI()
    for router in (merchant_router, app_router, webhook_router, order_router, refund_router):
        app.include_router(router)
    app.state.platform = platform

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return app


def test_the_programs_of_the_page_do_what_it_says(running: Running, shop: Shop) -> None:
    office = running.office
    told: dict[str, Any] = {
        "ADDRESS": running.address,
        "INSTITUTION_KEY": running.key.key.id,
        "INSTITUTION_SECRET": running.key.secret,
        "HOOKS": shop.url,
    }

    def run(*names: str) -> None:
        for name in names:
            exec(compile(BLOCKS[name], name, "exec"), told)

    run("set-up", "sign-up", "app", "endpoint", "payment")
    assert told["application"]["state"] == "approved"
    assert told["endpoint"]["mode"] == "sandbox"
    assert (told["payment"]["state"], told["payment"]["app"]) == ("succeeded", told["app"]["id"])
    office.tell()
    assert office.deliver() == 1
    run("hook", "refund", "refusal")
    (got,) = shop.got
    event = told["hear"](got.headers, got.body)
    assert event["type"] == "payment.succeeded"
    assert event["data"]["payment"] == told["payment"]["id"]
    assert told["hear"](got.headers, got.body) is None, "heard before"
    with pytest.raises(Exception, match="No matching signature"):
        told["hear"](got.headers, got.body + b" ")
    assert (told["refund"]["amount_minor"], told["refund"]["state"]) == (2_800, "succeeded")
    assert told["refused"] == (422, "currency_is_not_taken")
    again = told["payment"]["id"]
    run("payment")
    assert told["payment"]["id"] == again, "sent again it is the same order"
    office.tell()
    office.deliver()
    types = [told["hear"](one.headers, one.body)["type"] for one in shop.got[1:]]
    assert types == ["refund.succeeded"]
    told["institution"].close()
    told["shop"].close()


def test_the_page_leaves_nothing_out_that_it_runs() -> None:
    assert list(BLOCKS) == [
        *("set-up", "sign-up", "app", "endpoint", "payment", "hook", "refund", "refusal")
    ]
    assert len(WAITS) == 10
    words = "15 s, 1, 5, 15 and 30 minutes, 1, 2, 4, 8 and 12 hours"
    assert words in " ".join(PAGE.split())
    minutes = [wait.total_seconds() / 60 for wait in WAITS]
    assert minutes == [0.25, 1, 5, 15, 30, 60, 120, 240, 480, 720]
    named = set(re.findall(r'"((?:payment|refund)\.[a-z_]+)"', BLOCKS["endpoint"]))
    assert named <= set(KINDS)
