"""A decision over HTTP, durable before it is answered (E2): at the owner, and through a web worker.

The owner of decisions runs as it does in `make up`, with the delivered policies; its state holds
more than a hundred thousand entities. The load generator is a process of its own (`paced.py`);
generator, owner, web worker and database share the cores of the machine. Every question is new.
Full load is a closed loop over some connections; half load is a steady pace of half of that rate,
with latencies from the instant at which a request was due. Afterwards every answer is looked up in
the log of decisions (same id, outcome, score, reasons), and the whole chain is verified.

Beside it stands what one would write by hand: a FastAPI route that judges the same table of rules
with `zen-engine` (static loader) and inserts a row for each request, durably too. It is handed the
values of the features with each question (it has none of its own), and its hits are asserted to be
those of our trace first. It folds nothing, knows no caller, model, lists or reasons, chains nothing
and keeps no order. `fsync` is the median of 8 kB written and synchronised beside the database.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import psycopg

sys.path.insert(0, str(Path(__file__).parent))
from http_write import Server
from load import request
from paced import Run, run_paced
from steelyard.base import Database, Settings, read_settings
from steelyard.base.crypto import Keyring
from steelyard.decisions import Decision, scenes
from steelyard.decisions.model.decision import Answer, Asked
from steelyard.decisions.service.client import OwnerClient
from steelyard.decisions.service.log import verify_log
from steelyard.decisions.store import log as kept
from steelyard.features import catalogue
from steelyard.parties.model.api_key import ApiKeyKind, NewApiKey
from steelyard.parties.service.api_key import create_api_key
from steelyard.parties.service.signer import sign
from steelyard.web.platform import open_database, open_database_server

SCENE = "payment"
PATH = f"/v1/decisions/{SCENE}"
CUSTOMERS = 25_000
FILLED = 50_000
OWNER, WORKER, SIGNED = "owner", "web worker", "web worker, signed requests"
PEER_IS = "peer: FastAPI, zen, one INSERT"
JSON = {"content-type": "application/json"}
CALLERS = 32
"""Keys that take turns: the edge lets one caller ask 500 times a second."""

PEER = """
import json, os, socket, sys, uvicorn, zen
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

pool = ConnectionPool(os.environ["PEER_CONNINFO"], min_size=8, max_size=8)
document = json.loads(os.environ["PEER_DOCUMENT"])
engine = zen.ZenEngine({"loader": {"type": "static", "content": {"rules": document}}})
app = FastAPI()

class Question(BaseModel):
    id: str
    at_ms: int
    fields: dict[str, int | str | bool | float | None]

@app.post("/decide")
def decide(question: Question):
    hits = engine.evaluate("rules", question.fields)["result"]["hits"]
    points = sum(hit["points"] for hit in hits)
    outcome = "decline" if points >= 900 else "review" if points >= 600 else "approve"
    with pool.connection() as connection:
        connection.execute("INSERT INTO peer.decision VALUES (%s, %s, %s, %s)",
            (question.id, question.at_ms, outcome, json.dumps([question.fields, hits])))
    return {"id": question.id, "outcome": outcome, "hits": len(hits)}

config = uvicorn.Config(app, log_level="error", access_log=False, loop="uvloop", http="httptools")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: for each way, rate and latencies at full and at half load."""
    count, rounds = (2_000, 1) if quick else (8_000, 3)
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as home:
        os.environ["STEELYARD_HOME"] = home
        os.environ.pop("STEELYARD_DATABASE_URL", None)
        settings = read_settings()
        with open_database_server(settings) as urls, open_database(settings) as database:
            synced = fsync_ms(Path(home))
            with owner_process(database), Server("steelyard.web") as worker:
                stream = Questions()
                fill(database, stream, 5_000 if quick else FILLED)
                ways = Ways(database, worker.port, settings)
                rows, asked = measure(ways, stream, count, rounds)
                found = check(database, asked)
                peer = peer_rows(urls.owner, found, count, rounds)
    return {
        "title": "A decision over HTTP, durable before the answer (E2), "
        f"Python {platform.python_version()}, {os.cpu_count()} cores",
        "columns": ["way", "connections", "load", "answers/s", "p50 ms", "p99 ms"],
        "rows": rows + peer,
        "notes": [
            f"fsync: median {synced:.2f} ms; p99 wanted at half load: "
            f"{5.0 if synced < 0.5 else 3 * synced + 3:.1f} ms.",
            f"{len(asked):,} answers looked up in the log and equal; chain of "
            f"{len(found):,} decisions verified.",
            f"The peer: FastAPI {version('fastapi')}, zen-engine {version('zen-engine')}; the table"
            " of rules only, features handed to it, one INSERT for each request.",
        ],
    }


def fsync_ms(folder: Path, rounds: int = 200) -> float:
    """Return the median milliseconds of writing 8 kB and having it on the disk."""
    took = []
    with Path(folder, "probe").open("wb", buffering=0) as file:
        for _ in range(rounds):
            file.write(os.urandom(8_192))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1_000)
    return statistics.median(took)


@contextmanager
def owner_process(database: Database) -> Iterator[None]:
    """Have the owner of decisions as a process, once it answers."""
    process = subprocess.Popen([sys.executable, "-m", "steelyard.web.owner"])
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with database.reading() as connection:
                if kept.find_owner(connection) is not None:
                    break
            time.sleep(0.1)
        else:
            raise AssertionError("no owner took the shard")
        yield
    finally:
        process.terminate()
        process.wait(60)


class Questions:
    """New questions about card payments, without end, each at the present instant.

    A customer has a card, an account and a device; it pays at four terminals, and now and then
    elsewhere.
    """

    def __init__(self) -> None:
        self._chance = random.Random(7)
        self._number = 0

    def take(self, count: int) -> list[Asked]:
        at_ms = time.time_ns() // 1_000_000 - 5_000
        return [self._one(at_ms) for _ in range(count)]

    def _one(self, at_ms: int) -> Asked:
        chance = self._chance
        self._number += 1
        # Everybody comes once before anybody comes by chance.
        who = self._number if self._number < CUSTOMERS else chance.randrange(CUSTOMERS)
        terminal = who % 5_000 if chance.random() < 0.8 else chance.randrange(5_000)
        fields: dict[str, int | str | bool | None] = {
            "customer": f"customer-{who:06}",
            "card": f"card-{who:06}",
            "account": f"account-{who:06}",
            "device": f"device-{who:06}",
            "ip": f"10.{who % 200}.{who // 200}.7",
            "merchant": f"merchant-{terminal // 5:05}",
            "terminal": f"terminal-{terminal:06}",
            "payee": f"payee-{terminal // 5:05}",
            "currency": "CNY",
            "country": "CN" if chance.random() < 0.97 else "TH",
            "industry": "5411",
            "amount_minor": int(chance.lognormvariate(8.5, 1.1)),
            "is_online": chance.random() < 0.3,
        }
        return Asked(scene=SCENE, id=f"q{self._number}", at_ms=at_ms, fields=fields)


def fill(database: Database, stream: Questions, count: int) -> None:
    """Have the owner decide until its state is large."""
    client = OwnerClient(database)
    for _ in range(count // 500):
        told = client.ask_all(SCENE, stream.take(500), now_ms=time.time_ns() // 1_000_000)
        assert told.status == 200, told.body[:300]
    client.close()


class Ways:
    """Where a question is asked: at the owner with its ticket, at the web worker with keys.

    A development key is known to the worker; a signed request, as machines of a production
    installation send it, has its nonce spent in the database.
    """

    def __init__(self, database: Database, port: int, settings: Settings) -> None:
        with database.reading() as connection:
            owner = kept.find_owner(connection)
        assert owner is not None
        self.ports = {
            OWNER: int(owner.address.rsplit(":", 1)[1]),
            WORKER: port,
            SIGNED: port,
        }
        self._ticket = {"x-steelyard-ticket": owner.ticket}
        keyring = Keyring.open(settings)
        with database.unit_of_work() as unit:
            self._keys = {
                kind: [
                    create_api_key(
                        unit,
                        keyring,
                        settings,
                        NewApiKey(f"load {n}", kind, entitlements=("decisions.ask",)),
                    )
                    for n in range(CALLERS)
                ]
                for kind in ApiKeyKind
            }

    def requests(self, way: str, asked: Sequence[Asked]) -> list[bytes]:
        """Return the requests that ask, as they come over the wire."""
        made = []
        for number, one in enumerate(asked):
            body = body_of(one)
            made.append(request(PATH, {**JSON, **self._shown(way, number, body)}, body))
        return made

    def _shown(self, way: str, number: int, body: bytes) -> dict[str, str]:
        if way == OWNER:
            return self._ticket
        if way == WORKER:
            key = self._keys[ApiKeyKind.DEVELOPMENT][number % CALLERS]
            return {"authorization": f"Bearer {key.secret}"}
        key = self._keys[ApiKeyKind.SIGNED][number % CALLERS]
        return sign(
            key.secret, "POST", PATH, body,
            key=key.key.id, timestamp=int(time.time()), nonce=secrets.token_urlsafe(18),
        )  # fmt: skip


def body_of(asked: Asked) -> bytes:
    return msgspec.json.encode({"id": asked.id, "at_ms": asked.at_ms, "fields": asked.fields})


def measure(
    ways: Ways, stream: Questions, count: int, rounds: int
) -> tuple[list[list[Any]], dict[str, Answer]]:
    """Return the rows of the table, and every answer by the id of its event."""
    rows: list[list[Any]] = []
    answers: dict[str, Answer] = {}

    def load(way: str, connections: int, rate: float | None) -> Run:
        asked = stream.take(count)
        done = run_paced(
            ways.ports[way], ways.requests(way, asked), connections=connections, rate=rate
        )
        assert set(done.statuses) == {200}, (way, set(done.statuses), done.bodies[0])
        for one, told in zip(asked, done.bodies, strict=True):
            answers[one.id] = msgspec.json.decode(told, type=Answer)
        return done

    for way in ways.ports:
        load(way, 64, None)
        rates = {}
        for connections in (8, 64):
            done = [load(way, connections, None) for _ in range(rounds)]
            rates[connections] = statistics.median(one.rate for one in done)
            rows.append(row(way, connections, "full", done))
        half = max(rates.values()) / 2
        rows.append(row(way, 64, "half", [load(way, 64, half) for _ in range(rounds)]))
        if half > 1_000:
            rows.append(row(way, 64, "1,000/s", [load(way, 64, 1_000) for _ in range(rounds)]))
    return rows, answers


def row(way: str, connections: int, load: str, done: Sequence[Run]) -> list[Any]:
    return [
        way,
        connections,
        load,
        round(statistics.median(one.rate for one in done)),
        round(statistics.median(one.percentile(0.5) for one in done), 2),
        round(statistics.median(one.percentile(0.99) for one in done), 2),
    ]


def check(database: Database, answers: dict[str, Answer]) -> dict[str, Decision]:
    """Assert that every answer is in the log as it was told, and that the chain is whole."""
    with database.reading() as connection:
        report = verify_log(connection)
        assert report.first_bad is None, report
        decisions = {
            line.decision.asked.id: line.decision for line in kept.read_lines(connection, 0)
        }
    assert len(decisions) == report.decisions
    for event, answer in answers.items():
        assert Answer.of(decisions[event]) == answer, event
    return decisions


def rules_only() -> dict[str, Any]:
    """Return the delivered document, cut down to its table of rules."""
    document = json.loads(files(scenes).joinpath(f"{SCENE}.json").read_text(encoding="utf-8"))
    return {
        "nodes": [n for n in document["nodes"] if n["id"] in {"in", "rules", "out"}],
        "edges": [
            {"id": f"{a}-{b}", "type": "edge", "sourceId": a, "targetId": b}
            for a, b in (("in", "rules"), ("rules", "out"))
        ],
    }


def peer_rows(
    owner_url: str, decisions: dict[str, Decision], count: int, rounds: int
) -> list[list[Any]]:
    """Return the rows of the peer, which gets the features with each question."""
    plain = owner_url.replace("postgresql+psycopg://", "postgresql://")
    os.environ["PEER_DOCUMENT"] = json.dumps(rules_only())
    with psycopg.connect(plain) as connection:
        connection.execute(
            "CREATE SCHEMA peer; CREATE TABLE peer.decision"
            " (id text PRIMARY KEY, at_ms bigint, outcome text, record jsonb)"
        )
    chosen = list(decisions.values())[-count:]
    made = {
        d.asked.id: {**catalogue.complete(SCENE, d.asked.at_ms, d.asked.fields), **d.values}
        for d in chosen
    }
    turn = iter(range(1_000))

    def requests() -> list[bytes]:
        prefix = next(turn)
        told = (
            {"id": f"{prefix}-{d.asked.id}", "at_ms": d.asked.at_ms, "fields": made[d.asked.id]}
            for d in chosen
        )
        return [request("/decide", JSON, msgspec.json.encode(one)) for one in told]

    with Server(PEER, conninfo=plain) as peer:
        first = run_paced(peer.port, requests(), connections=8)
        for decision, body in zip(chosen, first.bodies, strict=True):
            hits = [name for name in dict(decision.trace)["hits"] if name.startswith("rules/")]
            assert json.loads(body)["hits"] == len(hits), decision.asked.id
        rows, rates = [], []
        for connections in (8, 64):
            done = [
                run_paced(peer.port, requests(), connections=connections) for _ in range(rounds)
            ]
            assert all(set(one.statuses) == {200} for one in done)
            rates.append(statistics.median(one.rate for one in done))
            rows.append(row(PEER_IS, connections, "full", done))
        half = [
            run_paced(peer.port, requests(), connections=64, rate=max(rates) / 2)
            for _ in range(rounds)
        ]
        return [*rows, row(PEER_IS, 64, "half", half)]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
