"""Drift and explanations as people see them: the command line, HTTP, the job and the consumer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from rich.console import Console
from typer.testing import CliRunner

from steelyard.base import Database
from steelyard.base.jobs import JobContext
from steelyard.cases import closing, reading, working
from steelyard.cli import watch as command
from steelyard.decisions.service import upkeep
from steelyard.decisions.service.log import DecisionLog
from steelyard.events import drain
from steelyard.kernel import SteppingClock
from steelyard.parties import first_run
from tests.conftest import START, Store
from tests.decisions.test_reviews import ANN, RISKY, judged, open_all
from tests.decisions.test_watch import FIRST, Town, catch_up, on
from tests.web.fixture import serve_platform

Call = Callable[..., Any]


@pytest.fixture
def call(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command on the test's database; returns what it printed, JSON as a value."""
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path))
    monkeypatch.setenv("STEELYARD_DATABASE_URL", store.url)
    # The width is read when a console is made, which may have been long before.
    monkeypatch.setattr("steelyard.cli.output.out", Console(width=200))
    monkeypatch.setattr(command, "out", Console(width=200))

    def run(*arguments: str, status: int = 0) -> Any:
        done = CliRunner().invoke(command.app, list(arguments))
        assert done.exit_code == status, done.output
        if status:
            return done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


def shifted(database: Database) -> None:
    """Ten days, of which the last three are not as the first week."""
    town = Town(database)
    for n in range(10):
        town.live(on(n), 200, shift=0.0 if n < 7 else 2.0)


def test_drift_from_the_command_line(database: Database, call: Call, tmp_path: Path) -> None:
    assert "steelyard watch run" in call("drift")
    shifted(database)
    done = call("run", "--json")
    assert [row["on"] for row in done] == [on(n).isoformat() for n in range(10)]
    assert call("run", "--json") == []
    told = call("drift")
    assert "customer_payment_sum_1d has shifted" in told
    assert "steady (--all)" in told
    assert "is as before" in call("drift", "--all")
    (one,) = call("drift", "--scene", "payment", "--json")
    assert one["reference"]["first_on"] == FIRST.isoformat()
    assert one["findings"][0]["level"] == "alert"
    assert call("drift", "--scene", "log_in", "--json") == []
    assert "wrote" in call("drift", "--plot", str(tmp_path / "plots"))
    (picture,) = (tmp_path / "plots").iterdir()
    assert picture.name == "drift_payment@2.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_no_plot_is_promised(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "plots_cannot_be_drawn" in call("drift", "--plot", "plots", status=1)


def test_an_explanation_from_the_command_line(database: Database, call: Call) -> None:
    decision = judged("p1", RISKY)
    DecisionLog(database, holder="a").write([decision])
    assert "decision_is_not_reviewed" in call("explain", str(decision.id), status=1)
    open_all(database)
    told = call("explain", str(decision.id))
    assert "Fraud was reported at this place." in told
    assert "terminal_fraud_share_7d_delayed_7d" in told
    found = call("explain", str(decision.id), "--json")
    assert found["score"] == decision.score
    assert found["models"][0]["method"] == "linear"


def test_drift_and_explanations_over_http(database: Database, store: Store, tmp_path: Path) -> None:
    shifted(database)
    catch_up(database, on(9))
    decision = judged("p1", RISKY, sequence=10_000)
    DecisionLog(database, holder="a").write([decision])
    open_all(database)
    with serve_platform(store, tmp_path) as (url, platform):
        people = first_run.create_demo_people(
            platform.database, platform.keyring, platform.settings
        )
        bearer = f"Bearer {people.development.secret}"
        with httpx.Client(base_url=url, headers={"authorization": bearer}, timeout=30) as client:
            (one,) = client.get("/v1/drift").json()["items"]
            assert (one["scene"], one["policy"]) == ("payment", "policy.payment@2")
            first = one["findings"][0]
            assert (first["level"], first["subject"]) == ("alert", "customer_payment_sum_1d")
            assert first["case"]
            chinese = client.get("/v1/drift", headers={"accept-language": "zh-CN"}).json()
            assert "偏移" in chinese["items"][0]["findings"][0]["sentence"]
            assert client.get("/v1/drift", params={"scene": "log_in"}).json() == {"items": []}
            path = f"/v1/decisions/{decision.id}/explanation"
            found = client.get(path).json()
            assert found["reasons"][0]["sentence"] == "Fraud was reported at this place."
            assert found["values"] == json.loads(json.dumps(decision.values))
            assert found["models"][0]["method"] == "linear"
            assert client.get(f"/v1/decisions/{uuid4()}/explanation").status_code == 404
            assert httpx.get(f"{url}/v1/drift").status_code == 401


def context_of(database: Database, clock: SteppingClock) -> JobContext:
    """A try of a job whose writes are not fenced; the fence has tests of its own."""

    class Free(JobContext):
        def transact(self, work: Callable[[Any], Any]) -> Any:
            return self.database.transact(work, actor=self.actor)

    return Free(
        database=database,
        job_id=1,
        job="decisions.watch_drift",
        attempt=1,
        now=clock.now(),
        tick=clock.now(),
        platform=None,
        worker_id=1,
        _attempts=1,
        _stops=(threading.Event(),),
    )


def test_the_jobs_do_what_the_commands_do(database: Database, clock: SteppingClock) -> None:
    shifted(database)
    clock.at = START  # long after the days
    upkeep.watch_drift.work(context_of(database, clock))
    DecisionLog(database, holder="a").write([judged("p1", RISKY, sequence=10_000)])
    upkeep.open_reviews.work(context_of(database, clock))
    with database.reading() as connection:
        kinds = connection.execute(
            sa.text("SELECT DISTINCT kind FROM cases.case_file ORDER BY kind")
        ).scalars()
        assert list(kinds) == ["decisions.drift", "decisions.review"]
        days = connection.execute(sa.text("SELECT max(day) FROM decisions.watch_day")).scalar_one()
    assert days == on(9)


def test_a_new_normal_is_a_new_reference(database: Database) -> None:
    shifted(database)
    catch_up(database, on(9))
    with database.reading() as connection:
        page = reading.list_cases(connection, reading.CaseFilter(), now=START)
    (case,) = page.items
    with database.unit_of_work(actor=ANN.actor) as unit:
        working.claim(unit, case.id, by=ANN)
        closing.close(unit, case.id, "expected", by=ANN)
    drain(database, (upkeep.people_found,))
    with database.reading() as connection:
        rows = connection.execute(
            sa.text("SELECT scene, policy, first_day, cause FROM decisions.watch_renewal")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("payment", "policy.payment@2", START.date(), f"case:{case.id}")
    ]
