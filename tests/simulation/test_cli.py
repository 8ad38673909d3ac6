"""`steelyard simulate`, as a person calls it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steelyard.cli import simulate
from tests.conftest import Store

Call = Callable[..., Any]


@pytest.fixture
def call(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command on a fresh database; returns its JSON, or the text of a refusal."""
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path))
    monkeypatch.setenv("STEELYARD_DATABASE_URL", store.url)

    def run(*arguments: str, status: int = 0) -> Any:
        done = CliRunner().invoke(simulate.app, [*arguments, "--json"])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if status == 0 else done.stderr

    return run


SMALL = ("history", "--days", "2", "--seed", "4", "--customers", "12", "--terminals", "30")


def test_a_history_is_played_shown_and_not_played_again(call: Call) -> None:
    found = call(*SMALL)
    assert found["days"] == 2
    assert found["customers"] > 0
    assert found["payments"] > found["declined"] >= 0
    assert [book["book"] for book in found["books"]] == ["town", "house"]
    assert all(b["is_sound"] and b["trial_balance_difference"] == 0 for b in found["books"])
    again = call(*SMALL)
    assert again["actions_played"] == 0
    assert again["books"] == found["books"]
    assert "town_is_founded_otherwise" in call(*SMALL, "--customers", "13", status=1)


def test_status_and_clock(call: Call) -> None:
    assert "town_is_not_founded" in call("status", status=1)
    stood = call("clock", "--at", "2026-01-01T00:00:00", "--speed", "0")
    assert stood["clock"].startswith("2026-01-01 00:00:00")
    assert call("clock") == stood
    assert "clock_goes_backwards" in call("clock", "--at", "2025-12-31T00:00:00", status=1)
    call(*SMALL)
    shown = call("status")
    assert shown["history_done"]
    assert shown["clock"] == shown["played_through"]


def test_production_refuses_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_ENV", "production")
    monkeypatch.setenv("STEELYARD_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    assert "refused_in_production" in call(*SMALL, status=1)
    assert "refused_in_production" in call("clock", "--speed", "9", status=1)
