"""A merchant's server that answers as a test wants, and an agency whose real clock stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database, PlainBusinessClock, Settings, UnitOfWork
from steelyard.events import PostgresFactLog, drain
from steelyard.kernel import SteppingClock
from steelyard.payments import webhooks, webhooks_sending, webhooks_telling
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import facts
from tests.conftest import START, Store
from tests.payments.agency import Agency

REAL_START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Shop:
    """A server; `answer` gets what came and returns the status, and may wait before it does."""

    url: str
    got: list[Received] = field(default_factory=list)
    answer: Callable[[Received], int] = lambda _: 204
    headers: dict[str, str] = field(default_factory=dict)


def open_shop(context: Any = None) -> tuple[Shop, ThreadingHTTPServer]:
    shop = Shop("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            got = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            shop.got.append(got)
            status = shop.answer(got)
            self.send_response(status)
            for name, value in shop.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    scheme = "http"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    shop.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/hooks"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return shop, server


@pytest.fixture
def shop() -> Iterator[Shop]:
    made, server = open_shop()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def other_shop() -> Iterator[Shop]:
    made, server = open_shop()
    yield made
    server.shutdown()
    server.server_close()


@dataclass(slots=True)
class Office(Agency):
    """An agency that tells merchants what happens; `wall` is the real clock."""

    wall: SteppingClock = field(default_factory=lambda: SteppingClock(REAL_START))

    def hear(
        self, merchant: UUID, url: str, *kinds: str, mode: Mode = Mode.LIVE, app: str = ""
    ) -> webhooks.IssuedEndpoint:
        app = app or self.app(merchant, mode).id
        new = webhooks.NewEndpoint(url=url, kinds=kinds or ("*",))
        return self.run(  # type: ignore[no-any-return]
            lambda unit: webhooks.open_endpoint(unit, self.keyring, self.settings, app, new)
        )

    def pay(self, merchant: UUID, n: int = 1, **changes: Any) -> UUID:
        """Facts as the core records them of a payment: created, and it succeeded."""
        payment = uuid4()
        told: dict[str, Any] = {
            "payment": payment,
            "merchant": merchant,
            "app": "app_x",
            "mode": "live",
            "order_no": f"T-{payment.hex[:8]}",
            "amount_minor": 100,
            "currency": "CNY",
            "scenario": "online",
            "customer": uuid4(),
            "card": "card_secret",
            "account": "wallet:1",
            "terminal": "t1",
            **changes,
        }
        kinds = (facts.OrderCreated, facts.PaymentSucceeded)[-n:]

        def work(unit: UnitOfWork) -> None:
            for kind in kinds:
                unit.record(kind(**told), subject=f"payment:{payment}")

        self.run(work, "system:test")
        return payment

    def tell(self) -> int:
        return drain(self.database, [webhooks_telling.tellers])

    def courier(self, **changes: Any) -> webhooks_sending.Courier:
        sender = changes.pop("sender", None) or webhooks_sending.Sender(
            webhooks.reach_of(self.settings)
        )
        return webhooks_sending.Courier(
            self.database, self.keyring, sender, actor="job:test", **changes
        )

    def deliver(self, **changes: Any) -> int:
        return self.courier(**changes).deliver_due()

    def deliveries(self, endpoint: str | None = None) -> list[webhooks.Delivery]:
        with self.database.reading() as connection:
            page = webhooks.list_deliveries(connection, endpoint=endpoint, limit=200)
        return list(page.items)

    def endpoint(self, id: str) -> webhooks.Endpoint:
        with self.database.reading() as connection:
            return webhooks.read_endpoint(connection, id)


@pytest.fixture
def desk(store: Store, clock: SteppingClock, tmp_path: Any) -> Iterator[Office]:
    wall = SteppingClock(REAL_START)
    database = Database(
        store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock), wall=wall
    )
    assert clock.now() == START
    yield Office(database, Settings(home=tmp_path, webhook_loopback=True), wall=wall)
    database.close()
