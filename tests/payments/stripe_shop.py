"""A merchant that sells by the official client of Stripe: a real server, a scripted channel."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import stripe
from stripe import HTTPXClient, RequestsClient

from steelyard.base import NoPolicyGate
from steelyard.base.postgres import Address
from steelyard.parties import api_keys
from steelyard.payments import apps
from steelyard.payments.model.channel import Capability, Decline, Finding, Method, PayRequest, Said
from steelyard.payments.model.orders import Mode
from steelyard.payments.service.paying import Paying
from steelyard.web.platform import SteelyardPlatform
from tests.conftest import TEMPLATE, Store
from tests.payments.agency import Agency
from tests.payments.till import ScriptedChannel, open_shop
from tests.web.fixture import serve_platform

CURRENCIES = ("CNY", "JPY", "KWD", "USD")
ALL = ("payments.read", "payments.pay", "payments.refund", "payments.dispute", "payments.manage")


def answer(request: PayRequest) -> Finding:
    """What the channel says: by the token, as the simulated channels do."""
    token = request.instrument or ""
    if token.startswith("sim_decline:"):
        decline = Decline(token.partition(":")[2])
        return Finding(said=Said.DECLINED, decline=decline, code=decline.value)
    if token == "sim_lost":
        return Finding(said=Said.UNKNOWN, why="timeout")
    said = Said.AUTHORIZED if request.amount_minor in (7_700, 7_800) else Said.SUCCEEDED
    return Finding(
        said=said,
        amount_minor=request.amount_minor,
        currency=request.currency,
        reference=f"R{request.number[:10]}",
    )


@dataclass(slots=True)
class Shop:
    """The server with its merchants.

    Attributes
    ----------
    merchant, key : of the one who sells; other_key : of another merchant
    """

    url: str
    platform: SteelyardPlatform
    channel: ScriptedChannel
    merchant: UUID
    app: str
    key: str
    other_key: str
    agency: Agency
    http: list[Any] = field(default_factory=list)

    def client(self, url: str | None = None, key: str | None = None, **more: Any) -> Any:
        """The official client, untouched."""
        http = RequestsClient(timeout=30)
        self.http.append(http)
        return stripe.StripeClient(
            key or self.key,
            base_addresses={"api": url or self.url},
            http_client=http,
            **{"max_network_retries": 2, **more},
        )

    def async_client(self) -> Any:
        """The official client on asyncio."""
        http = HTTPXClient(timeout=30, allow_sync_methods=False)
        return stripe.StripeClient(
            self.key, base_addresses={"api": self.url}, http_client=http
        ), http

    def paid(self, amount: int = 2_000, **more: Any) -> Any:
        """A payment that went through."""
        params = {"payment_method": "pm_card_visa", "confirm": True, "currency": "cny", **more}
        return self.client().v1.payment_intents.create({"amount": amount, **params})

    def orders(self) -> int:
        (row,) = self.agency.rows("SELECT count(*) AS n FROM payments.order")
        return int(row.n)


@contextmanager
def open_stripe_shop(server: Address, home: Path) -> Iterator[Shop]:
    """Have the shop for a while, over a database of its own."""
    name = f"t_{uuid4().hex[:12]}"
    admin = server.conninfo(role="postgres", database="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER steelyard_owner")
    try:
        with serve_platform(Store(server, name), home) as (url, platform):
            shop = _furnished(url, platform)
            yield shop
            for http in shop.http:
                http.close()
            platform.paying.close()
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _furnished(url: str, platform: SteelyardPlatform) -> Shop:
    platform.paying.close()
    platform.paying = Paying(platform.database, NoPolicyGate(), platform.channels, platform.routing)
    channel = ScriptedChannel(paid=answer)
    able = Capability(
        methods=(Method.CARD, Method.WALLET),
        currencies=CURRENCIES,
        most_minor=10**9,
        auth_capture=True,
    )
    platform.channels.add(channel, able)
    open_shop(platform.database, merchants=(), wallet_minor=0, currencies=CURRENCIES)
    agency = Agency(platform.database, platform.settings, platform.keyring)
    merchants = [agency.taken_on(n, currencies=CURRENCIES, methods=tuple(Method)) for n in range(2)]
    made = [agency.app(merchant, Mode.LIVE).id for merchant in merchants]
    keys = [issue(agency, app) for app in made]
    return Shop(url, platform, channel, merchants[0], made[0], keys[0], keys[1], agency)


def issue(agency: Agency, app: str, entitlements: tuple[str, ...] = ALL) -> str:
    """A bearer key of an app."""
    new = apps.NewKey(name="stripe", kind=api_keys.ApiKeyKind.BEARER, entitlements=entitlements)
    issued = agency.run(
        lambda unit: apps.issue_key(unit, agency.keyring, agency.settings, app, new)
    )
    return str(issued.secret)


class Dropping:
    """A proxy on TCP that drops the answers to the first requests, after they were made."""

    def __init__(self, url: str, drops: int) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._behind = (host, int(port))
        self._drops = drops
        self.dropped = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._behind) as server:
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            while True:
                try:
                    got = server.recv(65_536)
                except OSError:
                    return
                if not got:
                    return
                if self.dropped < self._drops:
                    # The answer is there: what it tells of is committed.
                    self.dropped += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(got)

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while got := source.recv(65_536):
            target.sendall(got)
    except OSError:
        return
