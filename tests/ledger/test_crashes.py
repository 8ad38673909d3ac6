"""Processes that race, and processes and servers that are killed in mid-stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.base import Database
from steelyard.base.postgres import EmbeddedPostgres, bootstrap
from steelyard.base.schema import migrate
from steelyard.events import PostgresFactLog
from steelyard.ledger import BookReader
from tests.conftest import Store
from tests.ledger.town import is_sound, open_town

COUNT = 1500
ROOT = Path(__file__).parents[2]


def start(url: str, first: int, count: int, callers: int = 40) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.poster", url, str(first), str(count), str(callers)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def lines(process: subprocess.Popen[str]) -> Iterator[tuple[int, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith("\n"):
            number, outcome = line.split()
            yield int(number), outcome


def finish(process: subprocess.Popen[str]) -> list[tuple[int, str]]:
    with process:
        return list(lines(process))


def kill_after(process: subprocess.Popen[str], acknowledged: int, pid: int) -> set[int]:
    """Read so many acknowledgements, kill, and return all that had been given."""
    said: set[int] = set()
    with process:
        for number, _ in lines(process):
            said.add(number)
            if len(said) == acknowledged:
                os.kill(pid, signal.SIGKILL)
                process.kill()
    return said


def recorded(database: Database) -> set[int]:
    with database.reading() as connection:
        found = BookReader(connection, "town").movements(limit=1_000_000).items
    return {movement.id.int for movement in found}


def test_duplicates_from_several_processes_are_recorded_once(
    database: Database, store: Store
) -> None:
    open_town(database)
    processes = [start(store.url, 1, 300) for _ in range(3)]
    said = [finish(process) for process in processes]
    assert all({number for number, _ in each} == set(range(1, 301)) for each in said)
    outcomes = [outcome for each in said for _, outcome in each]
    assert outcomes.count("created") == 300
    assert recorded(database) == set(range(1, 301))
    assert is_sound(database)


def crash_the_poster(database: Database, store: Store, *, rounds: int) -> None:
    open_town(database)
    said: set[int] = set()
    for round_ in range(rounds):
        process = start(store.url, 1 + COUNT * round_, COUNT)
        told = kill_after(process, 150 + 37 * round_, process.pid)
        assert len(told) >= 150
        said |= told
        assert said <= recorded(database)
        assert is_sound(database)
    again = {n for n, _ in finish(start(store.url, 1, COUNT))}
    assert again == set(range(1, COUNT + 1)), "what was cut short is completed by sending it again"
    assert is_sound(database)


def test_what_a_killed_process_was_told_is_recorded(database: Database, store: Store) -> None:
    crash_the_poster(database, store, rounds=1)


@pytest.mark.long
def test_what_a_process_killed_twenty_times_was_told_is_recorded(
    database: Database, store: Store
) -> None:
    crash_the_poster(database, store, rounds=20)


def crash_the_server(home: Path, *, rounds: int) -> None:
    """Kill the database itself, on a server that writes through to the disk."""
    server = EmbeddedPostgres(home, durable=True)
    address = server.acquire()
    try:
        bootstrap(address)
        migrate(address.url(role="steelyard_owner", database="steelyard"))
        url = address.url(role="steelyard_app", database="steelyard")
        database = Database(url, facts=PostgresFactLog())
        open_town(database)
        said: set[int] = set()
        for round_ in range(rounds):
            pid = server.status().pid
            assert pid is not None
            process = start(url, 1 + COUNT * round_, COUNT)
            said |= kill_after(process, 150 + 41 * round_, pid)
            server.acquire()
            server.release()
            database.engine.dispose()
            assert said <= recorded(database)
            assert is_sound(database)
        finish(start(url, 1, 300))
        assert set(range(1, 301)) <= recorded(database)
        assert is_sound(database)
        database.close()
    finally:
        server.release()


def test_what_was_acknowledged_before_the_database_was_killed_is_recorded(tmp_path: Path) -> None:
    crash_the_server(tmp_path, rounds=1)


@pytest.mark.long
def test_what_was_acknowledged_in_twenty_lives_of_the_database_is_recorded(tmp_path: Path) -> None:
    crash_the_server(tmp_path, rounds=20)
