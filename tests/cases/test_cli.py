"""`steelyard cases`, as a person calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from steelyard.base import RealClock
from steelyard.cases import working
from steelyard.cli import cases
from tests.cases.conftest import Queue
from tests.conftest import Store

Call = Callable[..., Any]


@pytest.fixture
def call(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command on the test's database; returns what it printed, JSON as a value."""
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path))
    monkeypatch.setenv("STEELYARD_DATABASE_URL", store.url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, status: int = 0) -> Any:
        done = CliRunner().invoke(cases.app, list(arguments))
        assert done.exit_code == status, done.output
        if status:
            return done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


def test_the_queue_from_the_command_line(queue: Queue, call: Call) -> None:
    # The command's clock is the machine's own: cases are opened by it.
    queue.clock.at = RealClock().now()
    one = queue.claimed(links=("party:7",))
    queue.act(working.add_note, one.id, "no answer")
    put = {"kind": "statement", "reference": "document:9", "content_hash": "ab" * 32}
    queue.act(working.add_evidence, one.id, **put)
    two = queue.open("payment:2", "toys.difference")
    listed = call("list", "--json")
    assert [row["id"] for row in listed] == [str(one.id), str(two.id)]
    assert [row["state"] for row in listed] == ["claimed", "open"]
    (mine,) = call("list", "--json", "--state", "claimed", "--colour", "green")
    assert mine["who"] == "staff:00000000-0000-0000-0000-000000000001"
    assert "there are more" in call("list", "--rows", "1")
    assert "red" in call("list", "--colour", "blue", status=2)
    queue.closed(one.id)
    assert [row["id"] for row in call("list", "--json")] == [str(two.id)]
    (closed,) = call("list", "--json", "--state", "closed")
    assert closed["id"] == str(one.id)
    shown = call("show", str(one.id), "--json")
    assert (shown["outcome"], shown["links"]) == ("good", ["party:7"])
    assert [note["text"] for note in shown["notes"]] == ["no answer"]
    table = call("show", str(one.id))
    assert "no answer" in table
    assert "document:9" in table
    lines = call("history", str(one.id), "--json")
    assert [line["action"] for line in lines] == ["open", "claim", "note", "evidence", "close"]
    assert "outcome=good" in call("history", str(one.id))
    figures = call("stats", "--json")
    assert figures["sla_met_bp"] == 10_000
    assert [row["kind"] for row in figures["open"]] == ["toys.difference"]
    assert "in time: 100.00 %" in call("stats")


def test_refusals_are_told(queue: Queue, call: Call) -> None:
    assert "case_is_unknown" in call("show", str(uuid4()), status=1)
    assert "time_zone_is_unknown" in call("stats", "--zone", "Mars/Olympus", status=1)
    call("show", "not-an-id", status=2)
