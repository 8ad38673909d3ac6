"""Health: what is wrong is said, with how to mend it, and within seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from steelyard.base import Database, health
from steelyard.base.health import Check, Readiness, liveness, readiness, watch_check
from steelyard.base.jobs import run_worker
from steelyard.events import PostgresFactLog
from tests.conftest import Store


@pytest.fixture(autouse=True)
def _own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LOOKS", {})
    monkeypatch.setattr(health, "_CURRENT", set())


def named(found: Readiness, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def test_a_process_that_answers_is_alive() -> None:
    assert liveness().ok


def test_a_migrated_database_is_ready_and_a_missing_worker_is_said(
    database: Database, tmp_path: Path
) -> None:
    found = readiness(database, home=tmp_path)
    assert found.ok
    assert not found.is_healthy
    assert [check.name for check in found.checks] == [
        "database",
        "server",
        "schema",
        "disk",
        "jobs",
    ]
    jobs = named(found, "jobs")
    assert (jobs.ok, jobs.vital) == (False, False)
    assert jobs.mend_en
    assert jobs.mend_zh


def test_a_worker_at_work_is_seen(database: Database) -> None:
    stop = threading.Event()
    seen = threading.Event()

    def look(connection: sa.Connection) -> Check:
        if named_workers(connection):
            seen.set()
        return Check("look", ok=True, detail="")

    watch_check("look", look)
    worker = threading.Thread(target=run_worker, args=(database,), kwargs={"stop": stop})
    worker.start()
    while not seen.wait(0.05):
        assert worker.is_alive()
        readiness(database)
    assert named(readiness(database), "jobs").ok
    stop.set()
    worker.join(60)


def named_workers(connection: sa.Connection) -> int:
    return int(
        connection.execute(sa.text("SELECT count(*) FROM procrastinate_workers")).scalar_one()
    )


def test_a_schema_that_is_behind_is_said(make_store: Callable[[], Store]) -> None:
    behind = make_store()
    with psycopg.connect(behind.conninfo("steelyard_owner"), autocommit=True) as connection:
        connection.execute("DELETE FROM alembic_version WHERE version_num = 'base_0004'")
    database = Database(behind.url, facts=PostgresFactLog())
    found = readiness(database)
    assert not found.ok
    assert "base_0004" in named(found, "schema").detail
    database.close()


def test_a_database_that_is_away_is_said(store: Store) -> None:
    url = sa.make_url(store.url).set(database="no_such_database")
    database = Database(url.render_as_string(hide_password=False), facts=PostgresFactLog())
    found = readiness(database)
    assert not found.ok
    assert [check.name for check in found.checks] == ["database"]
    assert "no_such_database" in found.checks[0].detail


def test_a_check_of_a_room_counts_and_may_fail(database: Database) -> None:
    late = Check("consumers", ok=False, detail="7000 events behind", vital=False)
    watch_check("consumers", lambda connection: late)
    assert readiness(database).ok
    watch_check("consumers", lambda connection: replace(late, vital=True))
    assert not readiness(database).ok

    def broken(connection: sa.Connection) -> Check:
        connection.execute(sa.text("SELECT 'a.li@bank.cn'::int"))
        raise AssertionError("unreachable")

    watch_check("a_broken_one", broken)
    watch_check("consumers", lambda connection: replace(late, ok=True))
    found = readiness(database)
    assert not named(found, "a_broken_one").ok
    assert "a.li@bank.cn" not in named(found, "a_broken_one").detail
    assert named(found, "consumers").ok


def test_a_full_disk_is_said(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 10**18)
    found = readiness(database, home=tmp_path)
    assert not found.ok
    assert named(found, "disk").mend_zh
