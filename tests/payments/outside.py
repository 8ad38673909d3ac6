"""The channel simulator in a thread of the tests, and adaptors connected to it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any
from uuid import uuid4

import httpx
import uvicorn

from steelyard.payments.channels import KINDS
from steelyard.payments.model.channel import (
    Channel,
    Method,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
)
from steelyard.simulation.channel.app import Simulator

DIALECTS = ("uni", "wechat", "alipay")


@dataclass
class Outside:
    """A simulator that runs, and the adaptors that were made for it."""

    simulator: Simulator
    url: str
    plain_url: str | None
    """The same at port 80, where this machine lets us listen there."""
    made: list[Any] = field(default_factory=list)

    def settings(self, kind: str) -> dict[str, str]:
        return dict(self.simulator.seals.credentials(self.url)[kind])

    def channel(self, kind: str, *, timeout: float = 5.0, **changes: str) -> Any:
        channel: Channel = KINDS[kind](kind, {**self.settings(kind), **changes}, timeout)
        self.made.append(channel)
        return channel

    def adopt(self, channel: Channel) -> Channel:
        """Close an adaptor that somebody else made together with ours."""
        self.made.append(channel)
        return channel

    def post(self, path: str, **body: Any) -> Any:
        answer = httpx.post(f"{self.url}{path}", json=body, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def script(self, behaviour: str, **rule: Any) -> None:
        rules = [{"behaviour": behaviour, **rule}]
        httpx.post(f"{self.url}/script", json=rules, trust_env=False).raise_for_status()

    def forget(self) -> None:
        """Begin a test: nothing scripted, nothing out, nothing waiting, the machine's time."""
        simulator = self.simulator
        simulator.script.rules.clear()
        self.quiet()
        simulator._out.clear()
        simulator.desk.closed_between.clear()
        simulator.desk.payer_seconds = 2.0
        simulator.clock.set(time.time(), 1.0)

    def quiet(self, box: Mailbox | None = None) -> None:
        """Let nothing be on its way any more, and empty a mailbox."""
        notices = self.simulator.notices
        wait_for(lambda: not notices.clear() and not notices._running)
        while box is not None and not box.came.empty():
            box.came.get()

    def notice(self, box: Mailbox, kind: str, number: str, **said: Any) -> RawNotice:
        """Return a notice that the channel sends just now, and no other."""
        self.quiet(box)
        told = {"state": "paid", **said}
        self.post("/notices", dialect=kind, number=number, url=box.url, **told)
        return box.take()

    def close_adaptors(self) -> None:
        while self.made:
            self.made.pop().close()


@contextlib.contextmanager
def running_outside(path: str = ":memory:") -> Iterator[Outside]:
    """Run a simulator in a thread."""
    simulator = Simulator(path, scale=0.001)
    listening = [socket.create_server(("127.0.0.1", 0))]
    plain_url = None
    low, high = os.getpid() % 200 + 2, os.getpid() // 200 % 200 + 2
    with contextlib.suppress(OSError):
        listening.append(socket.create_server((f"127.77.{high}.{low}", 80)))
        plain_url = f"http://127.77.{high}.{low}"
    url = f"http://127.0.0.1:{listening[0].getsockname()[1]}"
    config = uvicorn.Config(simulator, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run, kwargs={"sockets": listening}, daemon=True)
    serving.start()
    wait_for(lambda: server.started)
    outside = Outside(simulator, url, plain_url)
    try:
        yield outside
    finally:
        outside.close_adaptors()
        server.should_exit = server.force_exit = True
        serving.join(10)


def wait_for(met: Any, seconds: float = 10.0) -> None:
    """Wait until something holds; fail when it never does."""
    ends = time.monotonic() + seconds
    never = threading.Event()
    while not met():
        assert time.monotonic() < ends, "it never came"
        never.wait(0.005)


@dataclass
class Mailbox:
    """A merchant's address for notices: what came, and what it answers."""

    url: str
    came: Queue[RawNotice] = field(default_factory=Queue)
    answer: tuple[int, bytes] = (500, b"")
    handed_to: Callable[[RawNotice], tuple[int, bytes]] | None = None
    """Whoever answers instead."""

    def take(self, seconds: float = 10.0) -> RawNotice:
        return self.came.get(timeout=seconds)


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Listen for notices."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            raw = RawNotice(dict(self.headers.items()), body)
            box.came.put(raw)
            status, reply = box.answer if box.handed_to is None else box.handed_to(raw)
            self.send_response(status)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box = Mailbox(f"http://127.0.0.1:{server.server_address[1]}/notices")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()


def a_payment(kind: str = "uni", *, amount_minor: int = 10_025, **changes: Any) -> PayRequest:
    """Return a payment that is made at once: with a code that the payer shows."""
    details: Mapping[str, str] = {} if kind == "uni" else {"auth_code": "130000000000000000"}
    values: dict[str, Any] = {
        "number": uuid4().hex,
        "amount_minor": amount_minor,
        "currency": "CNY",
        "method": Method.SCAN,
        "subject": "Tea 茶叶, green",
        "merchant": "5409",
        "sent_at": datetime.now(UTC),
        "details": details,
    }
    return PayRequest(**{**values, **changes})


def misbehaving(kind: str, token: str, **changes: Any) -> PayRequest:
    """Return a payment by a payer whose token stands for something."""
    if kind == "uni":
        return a_payment(kind, instrument=token, **changes)
    return a_payment(kind, details={"auth_code": token}, **changes)


def about(request: PayRequest | RefundRequest) -> Query:
    """Return the question what became of something."""
    return Query(
        number=request.number,
        reference=None,
        sent_at=request.sent_at,
        of_refund=isinstance(request, RefundRequest),
    )


def a_refund(of: PayRequest, amount_minor: int | None = None) -> RefundRequest:
    """Return a refund of a payment, whole if nothing else is said."""
    return RefundRequest(
        number=uuid4().hex,
        payment_number=of.number,
        payment_reference=None,
        amount_minor=of.amount_minor if amount_minor is None else amount_minor,
        total_minor=of.amount_minor,
        currency=of.currency,
        sent_at=of.sent_at,
        reason="wrong size",
    )
