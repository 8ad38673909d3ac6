"""The gate over HTTP: the owner is asked, found again when it has moved, and consumed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import msgspec
import pytest
import uvicorn

from steelyard.base import Database, Outcome, Question
from steelyard.decisions import Use, consume_all
from steelyard.decisions.http.owner_app import OwnerApp
from steelyard.decisions.service import client as asking
from steelyard.decisions.service import policies
from steelyard.decisions.service.client import OwnerClient
from steelyard.decisions.service.gate import OwnerGate
from steelyard.decisions.service.log import OwnerIsAway, verify_log
from steelyard.decisions.service.owner import Owner, Place
from steelyard.decisions.service.proof import PolicyIsUnknown, replay_decision
from tests.decisions.rules import Fixed
from tests.decisions.test_owner import FewAnHour, body

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
FIELDS = {"payment": frozenset({"customer", "amount_minor", "currency"})}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self.has_started.set()


@contextmanager
def serving(database: Database, holder: str) -> Iterator[str]:
    """An owner that answers, on a port of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    owner = Owner(database, Fixed({"payment": FewAnHour()}), Place(holder, address, ticket=holder))
    now_ms = int(AT.timestamp() * 1_000) + 10**9
    app = OwnerApp(owner, ticket=holder, now_ms=lambda: now_ms, gone=lambda: None)
    server = _Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert server.has_started.wait(60)
        yield address
    finally:
        server.should_exit = True
        thread.join(60)
        owner.close()


@pytest.fixture
def client(database: Database) -> Iterator[OwnerClient]:
    made = OwnerClient(database)
    yield made
    made.close()


def questions(count: int) -> list[Question]:
    return [
        Question(
            f"q{n}",
            AT + timedelta(minutes=n),
            {"customer": UUID(int=7), "amount_minor": 100, "currency": "CNY", "other": object()},
        )
        for n in range(count)
    ]


def test_the_gate_asks_and_what_passes_is_consumed(database: Database, client: OwnerClient) -> None:
    gate = OwnerGate(client, database, FIELDS)
    with serving(database, "one"):
        verdicts = gate.ask_all("payment", questions(5))
        again = gate.ask_all("payment", questions(5))
    assert verdicts == again
    assert [v.outcome for v in verdicts] == [Outcome.APPROVE] * 3 + [Outcome.DECLINE] * 2
    assert {v.cause for v in verdicts} == {"policy.few_an_hour@1"}
    assert verdicts[4].reasons == ("too_many_payments",)
    ids = [v.decision_id for v in verdicts[:3] if v.decision_id is not None]
    with database.unit_of_work() as unit:
        used = consume_all(unit, [Use(id, f"transfer:{id}", 100) for id in ids])
    assert [d.id for d in used] == ids
    with database.reading() as connection:
        assert verify_log(connection).decisions == 5
        found = replay_decision(connection, ids[0], lambda *_: FewAnHour())
        assert found.is_equal
        assert found.differing == ()
        with pytest.raises(PolicyIsUnknown):
            replay_decision(connection, ids[0], policies.policy_that_made)


def test_an_owner_that_moved_is_found_again(database: Database, client: OwnerClient) -> None:
    with serving(database, "one"):
        first = client.ask("payment", body(1))
    with serving(database, "two"):
        assert client.ask("payment", body(1)) == first
        second = msgspec.json.decode(client.ask("payment", body(2)).body)
    assert second["outcome"] == "approve"


def test_without_an_owner_nothing_is_guessed(
    database: Database, client: OwnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.2)
    gate = OwnerGate(client, database, FIELDS)
    with pytest.raises(OwnerIsAway):
        gate.ask("payment", {"customer": "c1"}, AT)
    assert gate.ask("registration", {}, AT).cause == "no_policy@0"


def test_the_owner_answers_nobody_without_its_ticket(database: Database) -> None:
    with serving(database, "one") as address:
        for headers in ({}, {"X-Steelyard-Ticket": "other"}):
            answer = httpx.post(
                f"{address}/v1/decisions/payment",
                content=body(1),
                headers=headers,
                trust_env=False,
            )
            assert answer.status_code == 401
        shown = {"X-Steelyard-Ticket": "one"}
        refused = httpx.post(
            f"{address}/v1/decisions/payment",
            content=b"x" * 70_000,
            headers=shown,
            trust_env=False,
        )
        assert (refused.status_code, refused.json()["code"]) == (413, "question_is_too_large")
        assert refused.json()["sentences"]["zh-CN"]
        lost = httpx.get(f"{address}/", headers=shown, trust_env=False)
        assert lost.status_code == 404
    with database.reading() as connection:
        assert verify_log(connection).decisions == 0
