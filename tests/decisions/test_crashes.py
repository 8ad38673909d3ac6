"""Owners that are killed under load: what they answered is kept, the state is that of the log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest

from steelyard.base import Database
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.service.client import OwnerClient
from steelyard.decisions.service.follower import Follower
from steelyard.decisions.service.log import OwnerIsAway, verify_log
from steelyard.decisions.service.owner import wanted_of
from steelyard.decisions.service.state import State
from steelyard.decisions.store import folds
from steelyard.decisions.store import log as kept
from tests.conftest import Store
from tests.decisions.test_owner import AT, body
from tests.decisions.test_state import fraud, paid, tell

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0


@contextmanager
def owner_process(store: Store, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process that decides, as the platform starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "steelyard.web.owner"],
        cwd=ROOT,
        env=os.environ | {"STEELYARD_DATABASE_URL": store.url, "STEELYARD_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@dataclass
class Askers:
    """Threads that ask without end, and note what they were answered."""

    database: Database
    threads: int = 3
    said: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)
    is_over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        running = [threading.Thread(target=self._ask, args=(n,)) for n in range(self.threads)]
        for one in running:
            one.start()
        try:
            yield
        finally:
            self.is_over.set()
            for one in running:
                one.join(PATIENCE_SECONDS)

    def wait_for(self, more: int) -> None:
        """Wait until so many further questions were answered."""
        with self.news:
            wanted = len(self.said) + more
            assert self.news.wait_for(lambda: len(self.said) >= wanted, PATIENCE_SECONDS)

    def _ask(self, thread: int) -> None:
        client = OwnerClient(self.database)
        number = thread
        while not self.is_over.is_set():
            question = body(
                number,
                AT + number * 1_000,
                customer=f"c{number % 17}",
                card=f"k{number % 23}",
                device=f"d{number % 7}",
                terminal=f"t{number % 5}",
                amount_minor=100 + number % 900,
            )
            try:
                told = client.ask("payment", question)
            except OwnerIsAway:
                continue  # asked again: the same question is decided once
            if told.is_refusal:
                continue
            answer = msgspec.json.decode(told.body)
            with self.news:
                self.said[f"p{number}"] = answer["outcome"], answer["reasons"]
                self.news.notify_all()
            number += self.threads
        client.close()


def holder(database: Database) -> int:
    """Return the process id of the present owner."""
    with database.reading() as connection:
        row = connection.exec_driver_sql("SELECT holder FROM decisions.owner").scalar_one()
    return int(str(row).rpartition("/")[2])


def digest_of_owner(database: Database) -> tuple[int, str]:
    """Ask the present owner up to where it has folded, and for the digest of its state."""
    with database.reading() as connection:
        owner = kept.find_owner(connection)
    assert owner is not None
    told = httpx.get(
        f"{owner.address}/v1/state",
        headers={"X-Steelyard-Ticket": owner.ticket},
        trust_env=False,
        timeout=60,
    ).json()
    return told["folded_to"], told["digest"]


def kill_owners(database: Database, store: Store, home: Path, *, kills: int) -> None:
    with ExitStack() as stack:
        running = {}
        for _ in range(2):
            process = stack.enter_context(owner_process(store, home))
            running[process.pid] = process
        askers = Askers(database)
        with askers.asking():
            for kill in range(kills):
                askers.wait_for(150 + 31 * (kill % 7))
                unasked = paid(2 * kill + 1, 0, customer="c1", card="k1")._replace(
                    event_id=f"unasked{kill}", at_ms=AT + len(askers.said) * 1_000
                )
                known = fraud(2 * kill + 2, kill, at_ms=AT + 10**6, customer=f"c{kill % 17}")
                tell(database, unasked, known)
                pid = holder(database)
                os.kill(pid, signal.SIGKILL)
                running.pop(pid).wait()
                process = stack.enter_context(owner_process(store, home))
                running[process.pid] = process
            askers.wait_for(100)
        check(database, askers.said)
        with database.reading() as connection:
            assert verify_log(connection).first_bad is None
            owner = connection.exec_driver_sql("SELECT epoch FROM decisions.owner").scalar_one()
        assert owner > kills, "every kill was a taking over"
        folded_to, digest = digest_of_owner(database)
    assert State(wanted_of(Roster.delivered())).digest != digest
    assert replayed(database, folded_to) == digest
    follower = Follower(database, wanted_of(Roster.delivered()))
    follower.catch_up()
    assert (follower.state.sequence, follower.state.digest) == (folded_to, digest)


def check(database: Database, said: dict[str, tuple[str, list[str]]]) -> None:
    """Every answer stands in the log as it was given."""
    with database.reading() as connection:
        lines = {one.asked.id: one for one in (x.decision for x in kept.read_lines(connection, 0))}
    assert said.keys() <= lines.keys()
    for id, (outcome, reasons) in said.items():
        assert (lines[id].outcome, list(lines[id].reasons)) == (outcome, reasons)


def replayed(database: Database, up_to: int) -> str:
    """Return the digest of a state that folds the whole log, without any snapshot."""
    state = State(wanted_of(Roster.delivered()))
    with database.reading() as connection:
        for fold in folds.read_folds(connection, 0, after=-1, up_to=up_to):
            state.again(fold)
    return state.digest


def test_a_killed_owner_has_lost_nothing_that_it_answered(
    database: Database, store: Store, tmp_path: Path
) -> None:
    kill_owners(database, store, tmp_path, kills=2)


@pytest.mark.long
def test_an_owner_killed_fifty_times_has_lost_nothing(
    database: Database, store: Store, tmp_path: Path
) -> None:
    kill_owners(database, store, tmp_path, kills=50)
