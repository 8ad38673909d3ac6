"""HTTP: a trivial write with idempotency, beside the plainest service that does the same.

The work: move one minor unit between two accounts, durably, once for an idempotency key, and answer
with the new balance. Ours goes through authentication, entitlements, the idempotency store, the
ledger with its guards and chain, and the event log; by group commit, and by a unit of work. The
peer is a FastAPI route with one psycopg transaction: key row, two balance updates, one journal row.
Answers are asserted equal (the same final balances) before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

sys.path.insert(0, str(Path(__file__).parent))
from load import Load, request, run_load
from steelyard.base import read_settings
from steelyard.base.crypto import Keyring
from steelyard.ledger import AccountKind, BookReader, Funds, NewAccount, open_accounts, open_book
from steelyard.parties import first_run
from steelyard.web.platform import open_database, open_database_server

PEER = """
import os, socket, sys, uvicorn
from fastapi import FastAPI, Header
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

pool = ConnectionPool(os.environ["PEER_CONNINFO"], min_size=8, max_size=8)
app = FastAPI()

class Move(BaseModel):
    debit: int
    credit: int
    amount: int

@app.post("/move")
def move(body: Move, idempotency_key: str = Header()):
    with pool.connection() as connection:
        known = connection.execute(
            "INSERT INTO peer.key VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1",
            (idempotency_key,)).fetchone()
        if known is None:
            return {"outcome": "exists"}
        low, high = sorted((body.debit, body.credit))
        connection.execute("SELECT 1 FROM peer.account WHERE id IN (%s, %s) ORDER BY id FOR UPDATE",
                           (low, high))
        connection.execute("UPDATE peer.account SET balance = balance - %s WHERE id = %s",
                           (body.amount, body.debit))
        connection.execute("UPDATE peer.account SET balance = balance + %s WHERE id = %s",
                           (body.amount, body.credit))
        connection.execute("INSERT INTO peer.journal VALUES (DEFAULT, %s, %s, %s)",
                           (body.debit, body.credit, body.amount))
    return {"outcome": "created"}

config = uvicorn.Config(app, log_level="error", access_log=False, loop="uvloop", http="httptools")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""
ACCOUNTS = 64


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: for each way and number of connections, rate and latencies."""
    count, rounds = (300, 1) if quick else (2_000, 3)
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as home:
        os.environ["STEELYARD_HOME"] = home
        os.environ.pop("STEELYARD_DATABASE_URL", None)
        settings = read_settings()
        with open_database_server(settings) as urls, open_database(settings) as database:
            people = first_run.create_demo_people(database, Keyring.open(settings), settings)
            with database.unit_of_work() as unit:
                open_book(unit, "bench", name="Bench", funds=Funds.OWN, business_on=unit.now.date())
                new = [
                    NewAccount(code=f"a:{n}", currency="CNY", kind=AccountKind.LIABILITY)
                    for n in range(1, ACCOUNTS + 1)
                ]
                open_accounts(unit, "bench", new, cause="rule.bench@1")
            _prepare_peer(urls.owner)
            with Server("steelyard.web") as ours, Server(PEER, conninfo=_plain(urls.owner)) as it:
                ways = _ways(ours.port, it.port, people.development.secret)
                _assert_equal(database, urls.owner, ways)
                rows = _measure(ways, count, rounds)
    return {
        "title": "HTTP: a trivial write with idempotency, one server process",
        "columns": ["way", "connections", "requests/s", "p50 ms", "p99 ms", "against the peer"],
        "rows": rows,
    }


class Server:
    """A server process on a port of its own."""

    def __init__(self, program: str, *, conninfo: str = "") -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.set_inheritable(True)
        self.port = self.listening.getsockname()[1]
        fd = str(self.listening.fileno())
        command = ["-m", program, "--fd", fd] if "\n" not in program else ["-c", program, fd]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            pass_fds=[self.listening.fileno()],
            env={**os.environ, "PEER_CONNINFO": conninfo},
        )

    def __enter__(self) -> Server:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                probe = request("/no-such-page", {}, b"{}")
                if run_load(self.port, [probe], connections=1).statuses:
                    return self
            except (OSError, EOFError):
                time.sleep(0.2)
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.listening.close()


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _prepare_peer(owner_url: str) -> None:
    with psycopg.connect(_plain(owner_url)) as connection:
        connection.execute(
            "CREATE SCHEMA peer;"
            "CREATE TABLE peer.key (key text PRIMARY KEY);"
            "CREATE TABLE peer.account (id int PRIMARY KEY, balance bigint NOT NULL);"
            "CREATE TABLE peer.journal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " debit int, credit int, amount bigint)"
        )
        connection.execute(
            "INSERT INTO peer.account SELECT n, 0 FROM generate_series(1, %s) n", (ACCOUNTS,)
        )


def _ways(ours: int, peer: int, secret: str) -> dict[str, Any]:
    kept = {"Content-Type": "application/json"}
    signed = {**kept, "Authorization": f"Bearer {secret}"}

    def pair(number: int) -> tuple[int, int]:
        debit = number % ACCOUNTS + 1
        return debit, debit % ACCOUNTS + 1

    def by_group(number: int) -> bytes:
        debit, credit = pair(number)
        body = {
            "cause": "rule.bench@1",
            "debit": str(debit),
            "credit": str(credit),
            "amount_minor": 1,
            "currency": "CNY",
        }
        headers = {**signed, "Idempotency-Key": str(uuid4())}
        return request("/v1/ledger/books/bench/transfer", headers, json.dumps(body).encode())

    def by_unit(number: int) -> bytes:
        debit, credit = pair(number)
        body = {
            "transfers": [
                {
                    "id": str(uuid4()),
                    "cause": "rule.bench@1",
                    "debit": str(debit),
                    "credit": str(credit),
                    "amount_minor": 1,
                    "currency": "CNY",
                }
            ]
        }
        headers = {**signed, "Idempotency-Key": str(uuid4())}
        return request("/v1/ledger/books/bench/transfers", headers, json.dumps(body).encode())

    def by_peer(number: int) -> bytes:
        debit, credit = pair(number)
        body = {"debit": debit, "credit": credit, "amount": 1}
        headers = {**kept, "Idempotency-Key": str(uuid4())}
        return request("/move", headers, json.dumps(body).encode())

    return {
        "group commit": (ours, by_group),
        "unit of work": (ours, by_unit),
        "peer (no auth, no guards, no events)": (peer, by_peer),
    }


def _assert_equal(database: Any, owner_url: str, ways: dict[str, Any]) -> None:
    """The same moves give the same balances, and a repeat gives none."""
    expected = [0] * (ACCOUNTS + 1)
    for number in range(100):
        debit = number % ACCOUNTS + 1
        expected[debit] -= 1
        expected[debit % ACCOUNTS + 1] += 1
    for name, (port, make) in ways.items():
        with database.reading() as connection:
            before = _ours(connection)
        made = [make(number) for number in range(100)]
        for _ in range(2):
            done = run_load(port, made, connections=4)
            assert done.statuses == {200: 100}, (name, done.statuses, done.bodies[:1])
        with database.reading() as connection:
            moved = [a - b for a, b in zip(_ours(connection), before, strict=True)]
        if name.startswith("peer"):
            with psycopg.connect(_plain(owner_url)) as connection:
                rows = connection.execute("SELECT balance FROM peer.account ORDER BY id").fetchall()
            moved = [row[0] for row in rows]
        assert moved == expected[1:], name


def _ours(connection: Any) -> list[int]:
    page = BookReader(connection, "bench").accounts(limit=ACCOUNTS)
    return [account.balance_minor for account in page.items]


def _measure(ways: dict[str, Any], count: int, rounds: int) -> list[list[Any]]:
    rows = []
    for connections in (1, 8, 32):
        loads: dict[str, list[Load]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (port, make) in ways.items():
                made = [make(number) for number in range(count if connections > 1 else count // 4)]
                load = run_load(port, made, connections=connections)
                assert load.statuses == {200: load.requests}, (name, load.statuses)
                loads[name].append(load)
        rates = {name: statistics.median(x.rate for x in runs) for name, runs in loads.items()}
        peer = rates["peer (no auth, no guards, no events)"]
        for name, runs in loads.items():
            rows.append(
                [
                    name,
                    connections,
                    round(rates[name]),
                    round(statistics.median(x.percentile(0.5) for x in runs), 2),
                    round(statistics.median(x.percentile(0.99) for x in runs), 2),
                    f"{rates[name] / peer:.2f}",
                ]
            )
    return rows


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
