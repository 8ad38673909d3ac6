"""kill -9 at every commit and every call outside: nothing is lost and nothing is doubled (case 14).

A process sells, refunds, gives money back, clears a day and pays the merchant, and dies at its n-th
point; another one does the same with the same keys. Then the lists of the channel and of the
custodian, processes with stores of their own, must be what our books say.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from steelyard.base import Database, PlainBusinessClock, UnitOfWork
from steelyard.base.postgres import Address
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import custody
from tests.conftest import START, TEMPLATE, Store
from tests.payments.refunding import holds, sign
from tests.payments.till import open_shop, top_up
from tests.payments.world import books as our_books

HOME = Path(__file__).resolve().parents[2]
RESERVE_MINOR = 1_000_000
SHORT = (6, 24, 44, 68)
"""Of about eighty points: within selling, giving back, clearing and paying out."""
LATER = 90_000
"""Seconds after which the second process begins: when everything is due again."""


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that says a line when it is ready; it is gone afterwards."""
    started = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": f"{HOME}"},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate(timeout=10)


@dataclass(slots=True)
class Outside:
    """The channel and the custodian, and the process that runs shops."""

    server: Address
    store: Path
    channel: dict[str, str]
    bank: str
    shops: subprocess.Popen[str]
    known: set[str] = field(default_factory=set)

    def run(self, told: dict[str, Any]) -> dict[str, Any]:
        assert self.shops.stdin is not None
        assert self.shops.stdout is not None
        self.shops.stdin.write(json.dumps(told) + "\n")
        self.shops.stdin.flush()
        answer: dict[str, Any] = json.loads(self.shops.stdout.readline())
        assert "fault" not in answer, answer.get("fault")
        return answer

    def listed(self, table: str) -> dict[str, tuple[str, int]]:
        """Return the channel's own list: number -> state and amount."""
        with sqlite3.connect(self.store) as connection:
            found = connection.execute(f"SELECT number, state, amount FROM {table}").fetchall()
        connection.close()
        return {number: (state, amount) for number, state, amount in found}

    def at_the_bank(self, account: str) -> int:
        answer = httpx.get(f"{self.bank}/accounts/{account}", trust_env=False)
        return int(answer.json()["balance_minor"])


@pytest.fixture(scope="module")
def outside(server: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    home = tmp_path_factory.mktemp("outside")
    store, given = home / "channel.db", home / "given.json"
    channel = ("-m", "steelyard.simulation.channel", "--store", str(store))
    with (
        process(*channel, "--credentials", str(given)) as simulator,
        process("-m", "steelyard.simulation.custodian") as custodian,
        process("-m", "tests.payments.world.dying") as shops,
    ):
        addresses = []
        for one in (simulator, custodian):
            assert one.stdout is not None
            addresses.append(json.loads(one.stdout.readline())["url"])
        assert shops.stdout is not None
        assert shops.stdout.readline() == "ready\n"
        settings = json.loads(given.read_text())["uni"]
        yield Outside(server, store, settings, addresses[1], shops)


@contextmanager
def shop(outside: Outside) -> Iterator[tuple[Database, dict[str, Any]]]:
    """Open a shop in a database of its own, with a reserve at the custodian."""
    store = Store(outside.server, f"t_{uuid4().hex[:12]}")
    admin = outside.server.conninfo(role="postgres", database="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {store.name} TEMPLATE {TEMPLATE}")
    clock = PlainBusinessClock(SteppingClock(START))
    database = Database(store.url, facts=PostgresFactLog(), clock=clock)
    merchant, account = uuid4(), f"R-{store.name}"
    body = {"no": account, "currency": "CNY", "balance_minor": RESERVE_MINOR}
    httpx.post(f"{outside.bank}/accounts", json=body, trust_env=False).raise_for_status()
    open_shop(database, merchants=(merchant,), wallet_minor=0)
    sign(database, merchant, settlement_cycle="D1", refund_advance_minor=1_000_000)

    def fill(unit: UnitOfWork) -> None:
        custody.open_account(unit, Mode.LIVE, "CNY", account=account, own_account="OURS")
        top_up(unit, "wallet:ann", RESERVE_MINOR)

    database.transact(fill)
    told = {
        "url": store.url,
        "channel": outside.channel,
        "bank": outside.bank,
        "shop": str(merchant),
        "account": account,
    }
    try:
        yield database, told
    finally:
        database.close()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {store.name} WITH (FORCE)")


def check(outside: Outside, database: Database, told: dict[str, Any]) -> None:
    """Hold our books against the lists of the channel and of the custodian."""
    holds(database)
    books = our_books.read(database)
    payments, refunds = outside.listed("payment"), outside.listed("refund")
    ours = {UUID(one["id"]).hex: one for one in books["attempt"]}
    back = {UUID(one["id"]).hex: one for one in books["refund"]}
    assert set(payments) - outside.known == set(ours), "each number once, and no other"
    outside.known |= set(ours)
    assert {n for n, one in refunds.items() if n in back} == set(back)
    taken = {number: one for number, one in ours.items() if payments[number][0] == "paid"}
    for number, one in ours.items():
        # One that died before the channel heard of it is closed there, and paid by nobody.
        assert (one["state"] in ("succeeded", "duplicate")) == (number in taken), one
        assert number not in taken or payments[number][1] == one["amount_minor"]
    for number, one in back.items():
        assert (one["state"], refunds[number]) == ("succeeded", ("succeeded", one["amount_minor"]))
    gross = sum(one["amount_minor"] for one in taken.values())
    given = sum(one["amount_minor"] for one in back.values())
    kept = -books.balances.get(("own", "expense/channels:CNY"), 0)
    assert books.owed("in_transit/uni:CNY") == -(gross - given - kept)
    assert books.owed("unclaimed:CNY") == books.owed("refunds:CNY") == 0
    (payout,) = books["payout"]
    assert payout["state"] == "paid"
    assert outside.at_the_bank(told["account"]) == RESERVE_MINOR - payout["amount_minor"]
    (fee,) = books["fee"]
    assert payout["amount_minor"] == gross - given - fee["fee_minor"]
    assert books.owed("payouts:CNY") == 0


def killed_at(outside: Outside, point: int) -> bool:
    """Kill a run at a point, let another one go on, and check; False where it came to its end."""
    with shop(outside) as (database, told):
        first = outside.run({**told, "at": point, "since": 0})
        again = outside.run({**told, "at": 0, "since": LATER})
        assert again["points"] > 0
        check(outside, database, told)
    return "killed" in first


@pytest.mark.parametrize("point", SHORT)
def test_case_14_killed_at_a_point_nothing_is_lost_and_nothing_doubled(
    outside: Outside, point: int
) -> None:
    assert killed_at(outside, point)


@pytest.mark.long
def test_case_14_killed_at_every_point_nothing_is_lost_and_nothing_doubled(
    outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    point = 1
    while killed_at(outside, point):
        point += 1
    with capsys.disabled():
        print(f"\nkilled at {point - 1} points")
    assert point > 2 * len(SHORT)
