"""Payments over HTTP: created, confirmed, decided, posted, told and durable, beside localstripe.

One request creates an order and pays it at once: the key is held, the gate asks the process that
decides (scene `payment`, delivered policy, durable decision), order, attempt and intent are
committed, the channel is called, and its evidence, the posting, the facts and the stored answer are
committed together. Durable PostgreSQL (fsync on), one web process, one process that decides, the
channel simulator as a process of its own speaking signed HTTP, the client in another process: all
on the same cores.

Beside it localstripe (run from `STEELYARD_LOCALSTRIPE`, the path of its command, in an environment
of its own; it is not linked): one payment intent created and confirmed with a test card, in two
requests as its own client does, in the same minutes. It keeps no keys, decides nothing and writes
its whole store to a file.

Before anything is printed the books are checked: what the answers say was captured lies owed to the
merchants to the cent, no key paid twice, every payment has its fact and its consumed decision, and
the sum of all postings is nothing.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent))
from decisions_endpoint import fsync_ms, owner_process
from http_write import Server
from load import Load, request, run_load
from paced import Run, run_paced
from steelyard.base import Database, UnitOfWork, read_settings
from steelyard.base.crypto import Keyring
from steelyard.decisions import policies
from steelyard.ledger import Funds, open_book, open_chart
from steelyard.parties import first_run
from steelyard.payments import channel, channel_desk, institution, orders
from steelyard.web.platform import open_database, open_database_server

MERCHANTS = [UUID(int=0x5000 + n) for n in range(16)]
IN_PROCESS = "in_process"
SERVER = """
import sys
from contextlib import contextmanager
from steelyard.base import read_settings
from steelyard.payments.model.channel import Capability, Finding, Method, Said
from steelyard.web import __main__ as worker
from steelyard.web.app import create_app
from steelyard.web.platform import open_platform

class Here:
    code = "in_process"
    def pay(self, request):
        return Finding(said=Said.SUCCEEDED, amount_minor=request.amount_minor,
                       currency=request.currency, reference=request.number[:12])

@contextmanager
def opener(settings):
    with open_platform(settings, pool_size=10) as platform:
        platform.channels.add(Here(), Capability(methods=tuple(Method)))
        yield platform

worker.create_app = lambda settings: create_app(settings, opener=opener)
sys.argv = [sys.argv[0], "--fd", sys.argv[1]]
worker.main()
"""


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: by way and load the rate, latencies and CPU of each process."""
    count, rounds = (400, 1) if quick else (3_000, 3)
    with ground() as ground_:
        ways = [("channel over HTTP", "uni"), ("channel in process", IN_PROCESS)]
        for _, code in ways:
            warm(ground_, code)
        rows = []
        taken: list[bytes] = []
        for name, code in ways:
            runs = []
            for _ in range(rounds):
                made, before = ground_.requests(count, code), cpu_of(ground_)
                done = run_paced(ground_.port, made, connections=32)
                spent = since(before, cpu_of(ground_))
                assert set(done.statuses) == {201}, done.bodies[0][:400]
                taken += done.bodies
                runs.append((done, spent))
            rows.append(row(name, "as fast as answered", runs))
            made = ground_.requests(count // 3, code)
            before = cpu_of(ground_)
            paced = run_paced(ground_.port, made, connections=32, rate=100)
            taken += paced.bodies
            rows.append(row(name, "100/s", [(paced, since(before, cpu_of(ground_)))]))
        peer = localstripe(60 if quick else 200)
        check(ground_.database, taken)
    best = float(rows[0][2])
    if peer is not None:
        rows.append(["localstripe", "8 connections", f"{peer:.1f}", "", "", "", ""])
        rows.append(["ratio, channel over HTTP", "", f"{best / peer:.1f}", "", "", "", ""])
    return {
        "title": f"Payments over HTTP (fsync {ground_.fsync:.2f} ms)",
        "columns": ["way", "load", "payments/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms/payment"],
        "rows": rows,
    }


class Ground:
    """A running platform with merchants and channels.

    Attributes
    ----------
    port : of the web process; pids : by what a process does
    """

    def __init__(self, database: Database, port: int, secret: str, pids: dict[str, int]) -> None:
        self.database = database
        self.port = port
        self.pids = pids
        self.fsync = 0.0
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {secret}",
        }

    def requests(self, count: int, code: str) -> list[bytes]:
        """Return requests that create and pay an order each."""
        return [self._one(number, code) for number in range(count)]

    def _one(self, number: int, code: str) -> bytes:
        unique = uuid4().hex
        body = {
            "merchant": str(MERCHANTS[number % len(MERCHANTS)]),
            "order_no": f"B-{unique[:20]}",
            "amount_minor": 1_000 + number % 5_000,
            "subject": "Tea",
            "payer": {"instrument": f"card-{number % 700}", "device": f"device-{number % 900}"},
            "pay": {"method": "wallet", "channel": code},
        }
        headers = {**self._headers, "Idempotency-Key": unique}
        return request("/v1/payments/orders", headers, json.dumps(body).encode())


@contextmanager
def ground() -> Iterator[Ground]:
    """Have the platform, the decider, a channel and a database as processes for a while."""
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as home:
        Path(home).chmod(0o700)
        os.environ["STEELYARD_HOME"] = home
        os.environ.pop("STEELYARD_DATABASE_URL", None)
        settings = read_settings()
        with open_database_server(settings), open_database(settings) as database:
            keyring = Keyring.open(settings)
            people = first_run.create_demo_people(database, keyring, settings)
            with simulator(Path(home)) as (given, process):
                database.transact(lambda unit: found(unit, keyring, given))
                with owner_process(database), Server(SERVER) as web:
                    pids = {"web": web.process.pid, "channel": process.pid}
                    made = Ground(database, web.port, people.development.secret, pids)
                    made.fsync = fsync_ms(Path(home))
                    yield made


@contextmanager
def simulator(home: Path) -> Iterator[tuple[dict[str, str], subprocess.Popen[bytes]]]:
    """Have the channel simulator as a process; yield what the merchant is given to reach it."""
    told = home / "channel.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "steelyard.simulation.channel", "--credentials", str(told)],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield json.loads(told.read_text())["uni"], process
    finally:
        process.terminate()
        process.wait(20)


def found(unit: UnitOfWork, keyring: Keyring, given: dict[str, str]) -> None:
    """Open books, sign merchants, register the channel."""
    for book, funds in (("clients", Funds.CLIENT), ("own", Funds.OWN)):
        open_book(unit, book, name=book, funds=funds, business_on=unit.now.date(), timezone="UTC")
    open_chart(unit, "own", "platform", currencies=["CNY"])
    institution.open_books(unit, institution.Mode.LIVE, client_book="clients", own_book="own")
    policies.install_delivered(unit)
    for merchant in MERCHANTS:
        unit.execute(
            "INSERT INTO payments.merchant (id, state, name, currencies, methods, created_at,"
            " updated_at) VALUES (:id, 'active', 'Shop', '{CNY}', '{wallet}', :at, :at)",
            id=merchant,
            at=unit.now,
        )
    channel_desk.register_channel(
        unit,
        keyring,
        channel_desk.NewChannel(
            code="uni",
            mode=institution.Mode.LIVE,
            kind="uni",
            name="uni",
            capability=channel.Capability(methods=(channel.Method.WALLET,)),
            settings={k: v for k, v in given.items() if k != "keys"},
            secrets={"keys": given["keys"]},
            stage=channel.Stage.LIVE,
        ),
    )


def warm(ground_: Ground, code: str) -> None:
    """Let every process load what it needs, and see that a key pays once."""
    made = ground_.requests(64, code)
    first = run_load(ground_.port, made, connections=8)
    assert first.statuses == {201: 64}, first.bodies[:1]
    again = run_load(ground_.port, made, connections=8)
    assert sorted(first.bodies) == sorted(again.bodies)


def check(database: Database, bodies: Sequence[bytes]) -> None:
    """Assert that what was answered is what the books, the facts and the decisions say."""
    said = [json.loads(body) for body in bodies]
    assert {one["state"] for one in said} <= {"succeeded", "open"}, {one["state"] for one in said}
    with database.reading() as connection:

        def one(sql: str) -> int:
            return int(connection.execute(sa.text(sql)).scalar_one())

        captured = one("SELECT sum(captured_minor) FROM payments.order")
        owed = one(
            "SELECT sum(credits_posted - debits_posted) FROM ledger.account"
            " WHERE code LIKE 'merchant/%/pending:CNY'"
        )
        succeeded = one("SELECT count(*) FROM payments.order WHERE state = 'succeeded'")
        told = one("SELECT count(*) FROM events.log WHERE kind = 'payments.PaymentSucceeded'")
        used = one("SELECT count(*) FROM payments.attempt WHERE decision IS NOT NULL")
        tried = one("SELECT count(*) FROM payments.attempt")
        nothing = one("SELECT sum(debits_posted - credits_posted) FROM ledger.account")
        for answer in said:
            order = orders.read(connection, UUID(answer["id"])).order
            assert order.state.value == answer["state"], answer["id"]
    assert captured == owed
    assert succeeded == told
    assert used == tried
    assert nothing == 0


def cpu_of(ground_: Ground) -> dict[str, float]:
    """Return the CPU seconds of each process so far; of the database server all of its."""
    ticks = os.sysconf("SC_CLK_TCK")
    spent: dict[str, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
            command = path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / ticks
        pid = int(path.parent.name)
        name = next((name for name, known in ground_.pids.items() if known == pid), None)
        if name is None and "steelyard.web.owner" in command:
            name = "decider"
        if name is None and "postgres" in command:
            name = "database"
        if name is not None:
            spent[name] = spent.get(name, 0.0) + seconds
    return spent


def since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return what was spent between two looks."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def row(name: str, load: str, runs: Sequence[tuple[Run, dict[str, float]]]) -> list[Any]:
    """Return a row: medians over the rounds."""
    rates = statistics.median(done.rate for done, _ in runs)
    shares = [statistics.median(done.percentile(p) for done, _ in runs) for p in (0.5, 0.95, 0.99)]
    names = sorted({who for _, spent in runs for who in spent})
    cpu = {
        who: statistics.median(
            spent.get(who, 0.0) / len(done.statuses) * 1_000 for done, spent in runs
        )
        for who in names
    }
    told = " ".join(f"{who} {ms:.1f}" for who, ms in cpu.items())
    return [name, load, f"{rates:.0f}", *(f"{ms:.1f}" for ms in shares), told]


def localstripe(count: int) -> float | None:
    """Return how many payments a second localstripe creates and confirms; None without it."""
    command = os.environ.get("STEELYARD_LOCALSTRIPE")
    if command is None:
        print("localstripe is not measured: STEELYARD_LOCALSTRIPE does not name its command")
        return None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [command, "--from-scratch", "--port", str(port)], cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return _stripe_rate(port, count)
        finally:
            process.terminate()
            process.wait(20)


def _stripe_rate(port: int, count: int) -> float:
    def form(path: str, text: str) -> bytes:
        headers = {
            "Authorization": "Bearer sk_test_12345",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return request(path, headers, text.encode())

    def post(path: str, text: str, connections: int, times: int) -> Load:
        return run_load(port, [form(path, text)] * times, connections=connections)

    until = time.monotonic() + 30
    while True:
        try:
            card = "type=card&card[number]=4242424242424242&card[exp_month]=12"
            made = post("/v1/payment_methods", f"{card}&card[exp_year]=2030&card[cvc]=123", 1, 1)
            break
        except (OSError, EOFError):
            assert time.monotonic() < until, "localstripe did not start"
            time.sleep(0.2)
    method = json.loads(made.bodies[0])["id"]
    customer = json.loads(post("/v1/customers", "", 1, 1).bodies[0])["id"]
    attached = post(f"/v1/payment_methods/{method}/attach", f"customer={customer}", 1, 1)
    assert attached.statuses == {200: 1}, attached.bodies
    what = f"amount=1000&currency=usd&payment_method={method}&customer={customer}"
    began = time.perf_counter()
    created = post("/v1/payment_intents", what, 8, count)
    assert created.statuses == {200: count}, created.bodies[:1]
    ids = [json.loads(body)["id"] for body in created.bodies]
    confirmed = run_load(
        port, [form(f"/v1/payment_intents/{id}/confirm", "") for id in ids], connections=8
    )
    assert confirmed.statuses == {200: count}, confirmed.bodies[:1]
    assert {json.loads(body)["status"] for body in confirmed.bodies} == {"succeeded"}
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    table = run(quick=parser.parse_args().quick)
    print(table["title"])
    for line in [table["columns"], *table["rows"]]:
        print(" | ".join(str(cell) for cell in line))
