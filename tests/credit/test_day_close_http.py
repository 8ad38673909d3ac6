"""Days of the lender over HTTP, by the job and from the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from steelyard.cli.main import app
from steelyard.credit import upkeep
from steelyard.credit.http.close import router
from tests.credit.lender import OPENED, House
from tests.credit.lender import house as house
from tests.credit.test_day_close import stand
from tests.credit.test_loans_http import Client


@pytest.fixture
def client(house: House) -> Client:
    made = Client(house)
    made.app.include_router(router)
    return made


def test_days_that_are_over_are_closed_once_for_a_key(house: House, client: Client) -> None:
    house.lend()
    stand(house, OPENED + timedelta(days=2))
    client.key = "town/1"
    closed = client.post("/day-close")["items"]
    assert [(one["on"], one["is_closed"], one["loans"]) for one in closed] == [
        ("2026-03-02", True, 1),
        ("2026-03-03", True, 1),
    ]
    assert closed[1]["sums"]["CNY"]["interest_minor"] == 39
    assert client.post("/day-close")["items"] == closed
    assert [one["on"] for one in client.get("/days")["items"]] == ["2026-03-03", "2026-03-02"]
    assert client.get("/days/2026-03-03") == closed[1]


def test_what_cannot_be_closed_is_a_problem(house: House, client: Client) -> None:
    assert client.refused("GET", "/days/2026-03-02") == "day_was_never_closed"
    assert client.send("GET", "/days", params={"book": "\x00"}).status_code == 422
    stand(house, OPENED)
    body = {"through": "2026-03-02"}
    assert client.refused("POST", "/day-close", json=body) == "day_is_not_over"
    stand(house, OPENED - timedelta(days=1))
    assert client.refused("POST", "/day-close", json={}) == "clock_was_set_back"
    assert client.refused("POST", "/day-close", json={"book": "no"}) == "book_not_found"


def test_the_job_closes_what_is_over_in_every_lender_s_book(house: House) -> None:
    house.lend()
    stand(house, OPENED + timedelta(days=3))
    context: Any = SimpleNamespace(
        database=house.database, actor="job:credit.close_days", should_stop=False
    )
    upkeep.close_days.work(context)
    assert house.today == OPENED + timedelta(days=3)
    upkeep.close_days.work(context)
    house.agree()


def test_days_are_closed_and_shown_from_the_command_line(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.lend()
    monkeypatch.setenv("STEELYARD_DATABASE_URL", house.database.url)
    run = CliRunner()
    command = ["credit", "close-day", "--through", "2026-03-03", "--json"]
    closed = run.invoke(app, command)
    assert closed.exit_code == 0, closed.output
    assert [one["interest_minor"] for one in json.loads(closed.stdout)] == [0, 39]
    assert run.invoke(app, ["credit", "days"]).stdout.count("2026-03-0") == 2
    late = run.invoke(app, ["credit", "close-day", "--book", "no"])
    assert (late.exit_code, "book_not_found" in late.stderr) == (1, True)
