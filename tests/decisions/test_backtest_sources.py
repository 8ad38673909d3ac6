"""Where a past comes from: files, the log of decisions, the command line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from typer.testing import CliRunner

from steelyard.base import Database
from steelyard.cli.backtest import app
from steelyard.decisions.backtest import (
    COSTS,
    Assumed,
    Costs,
    Past,
    Plan,
    backtest,
    find_policy,
    read_handbook,
    read_log,
)
from steelyard.decisions.backtest.past import DAY_MS, PastIsEmpty
from steelyard.decisions.model.decision import Asked, Judgement, decide
from steelyard.decisions.service.log import DecisionLog
from steelyard.decisions.store import folds
from steelyard.decisions.store.folds import Telling
from steelyard.decisions.training import write_handbook_sample
from steelyard.decisions.training.handbook import read_transactions, stream
from steelyard.features import CATALOGUE

DATA = Path(os.environ.get("STEELYARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
AT = 1_772_442_000_000
runner = CliRunner()


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Show no progress."""


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_handbook_sample(tmp_path_factory.mktemp("handbook"))


@pytest.fixture(scope="module")
def past(payments: Path) -> Past:
    return read_handbook(payments, find_policy("payment").reads, quiet)


def test_the_files_give_what_the_streaming_engine_answers(payments: Path, past: Past) -> None:
    first, end = datetime(2018, 7, 20, tzinfo=UTC).date(), datetime(2018, 7, 30, tzinfo=UTC).date()
    streamed = stream(read_transactions(payments), first, end)
    days = past.at_ms // DAY_MS
    rows = np.flatnonzero((days >= streamed.day[0]) & (days <= streamed.day[-1]))
    assert len(rows) == len(streamed.bad) > 1_000
    compared = 0
    for n, name in enumerate(streamed.names):
        if name in past.columns and name in CATALOGUE:
            column = past.columns[name]
            found = np.array(
                [np.nan if value is None else value for value in map(column.at, rows.tolist())],
                np.float64,
            )
            assert np.array_equal(found, streamed.matrix[:, n], equal_nan=True), name
            compared += 1
    assert compared >= 15


def test_the_week_tested_is_not_the_one_that_chooses(past: Past) -> None:
    policy = find_policy("payment")
    plan = Plan(
        Assumed(COSTS["payment"]),
        since=datetime(2018, 7, 4, tzinfo=UTC),
        test_from=datetime(2018, 8, 8, tzinfo=UTC),
        until=datetime(2018, 8, 15, tzinfo=UTC),
    )
    found = backtest(past, policy, None, plan, quiet)
    assert found.choosing.told_ms.max() <= found.past.at_ms.min()
    # Frauds are known after a week: the week before the tested one chooses nothing.
    gap = int(found.past.at_ms[0] - found.choosing.at_ms[-1])
    assert gap > 6 * DAY_MS
    assert found.measures.let_through_minor < 0.5 * found.measures.loss_minor
    assert found.policy.checked.rows == min(2_000, found.past.rows)


@pytest.mark.long
@pytest.mark.skipif(
    not (DATA / "handbook").is_dir(), reason="the Handbook's data is not here (STEELYARD_DATA)"
)
def test_the_delivered_payment_policy_on_the_published_data() -> None:
    policy = find_policy("payment")
    everything = read_handbook(DATA / "handbook", policy.reads, quiet)
    plan = Plan(
        Assumed(Costs(review_finds_bp=10_000), 10_000),
        since=datetime(2018, 7, 4, tzinfo=UTC),
        test_from=datetime(2018, 8, 8, tzinfo=UTC),
        until=datetime(2018, 8, 15, tzinfo=UTC),
    )
    measures = backtest(everything, policy, None, plan, quiet).measures
    assert (measures.events, measures.bad, measures.loss_minor) == (67_080, 568, 5_998_814)
    assert measures.loss_recall is not None
    assert measures.good_disturbed is not None
    assert measures.loss_recall > 0.84
    assert measures.good_disturbed < 0.0035


# -- the log of decisions -------------------------------------------------------------------------


def record(
    log: DecisionLog, outcomes: list[str], *, values: dict[str, Any] | None = None
) -> list[str]:
    """Write decisions on payments an hour apart, of 10.00, 20.00, ...; and return their ids."""
    made = []
    for n, outcome in enumerate(outcomes, start=1):
        fields: dict[str, int | str | bool | None] = {
            "customer": f"c{n % 3}",
            "amount_minor": 1_000 * n,
            "currency": "EUR",
        }
        asked = Asked(scene="payment", id=f"e{n}", at_ms=AT + n * 3_600_000, fields=fields)
        judged = Judgement(outcome, 10, (), None)
        made.append(
            decide(asked, uuid4(), judged, subject=f"customer:c{n % 3}", sequence=n,
                   values=values or {}, flags={}, versions={"policy": "policy.payment@2"},
                   decided_at_ms=asked.at_ms)
        )  # fmt: skip
    log.write(made)
    return [one.asked.id for one in made]


def tell(database: Database, event: str, value: object, *, after_days: float, n: int) -> None:
    at_ms = AT + int(after_days * DAY_MS)
    content = {"field": "is_fraud", "value": value}
    with database.unit_of_work() as unit:
        folds.insert(unit.connection, [Telling(n, "label", "payment", event, at_ms, content)])


def read(database: Database, *, after_days: float, mature_days: int = 14) -> Past:
    with database.reading() as connection:
        return read_log(
            connection,
            "payment",
            find_policy("payment").reads,
            quiet,
            as_of_ms=AT + int(after_days * DAY_MS),
            mature_days=mature_days,
        )


def test_the_log_is_a_past_as_far_as_its_labels_are_known(database: Database) -> None:
    log = DecisionLog(database, holder="a", address="here")
    record(log, ["approve"] * 8 + ["decline", "review"], values={"customer_payment_count_1h": 2})
    tell(database, "e2", 1, after_days=3, n=1)
    tell(database, "e3", True, after_days=4, n=2)
    tell(database, "e3", 0, after_days=9, n=3)
    tell(database, "e10", False, after_days=5, n=4)
    with pytest.raises(PastIsEmpty, match="of 10 decisions"):
        read(database, after_days=2)
    early = read(database, after_days=4)
    assert early.is_bad.tolist() == [True, True]
    assert early.loss_minor.tolist() == [2_000, 3_000]
    late = read(database, after_days=30)
    # The reviewed one was told to be good; the declined one has no end; silence is good.
    assert late.is_bad.tolist() == [False, True] + [False] * 7
    assert late.rows == 9
    assert late.told_ms[0] == late.at_ms[0] + 14 * DAY_MS
    assert late.told_ms[2] == AT + 9 * DAY_MS
    assert late.columns["customer_payment_count_1h"].to_list() == [2] * 9
    assert late.columns["currency"].at(0) == "EUR"
    assert late.columns["hour"].at(0) == 18
    young = read(database, after_days=14.2)
    assert young.rows == 3 + 2
    told, turned_away, unrecorded = late.notes
    assert "Of 10 decisions 3 have a label; 6 were let pass at least 14 days ago" in told
    assert "1 were not let pass" in turned_away
    assert "customer_payment_zscore_30d" in unrecorded
    assert "customer_payment_count_1h" not in unrecorded


def test_what_lies_after_the_instant_is_not_there(database: Database) -> None:
    log = DecisionLog(database, holder="a", address="here")
    record(log, ["approve"] * 6)
    tell(database, "e1", 1, after_days=0.01, n=1)
    found = read(database, after_days=3.5 / 24, mature_days=0)
    assert found.rows == 3
    assert found.is_bad.tolist() == [True, False, False]
    # A label cannot be known before its event.
    assert (found.told_ms >= found.at_ms).all()


def test_a_policy_is_tested_on_the_log(database: Database) -> None:
    log = DecisionLog(database, holder="a", address="here")
    record(log, ["approve"] * 60)
    for n in range(1, 61):
        tell(database, f"e{n}", n % 4 == 0, after_days=5 + n / 10, n=n)
    policy = find_policy("payment")
    found = backtest(
        read(database, after_days=40), policy, None, Plan(Assumed(COSTS["payment"])), quiet
    )
    # P04 declines above 220.00 EUR: of the tested events all.
    assert (found.past.rows, found.choosing.rows) == (20, 0)
    assert found.measures.let_through_minor == 0
    assert found.measures.good_declined == 1.0
    assert found.measures.cost_minor > 0


# -- the command ----------------------------------------------------------------------------------


def invoke(*args: str) -> Any:
    return runner.invoke(app, list(args), catch_exceptions=False)


def test_the_command_tests_a_scene_and_keeps_report_and_plots(tmp_path: Path) -> None:
    out = tmp_path / "run"
    made = invoke("merchant_application", "--sample", "--out", str(out), "--json")
    assert made.exit_code == 0
    data = json.loads(made.stdout)
    assert data["policy"]["cause"] == "policy.merchant_application@1"
    assert data["policy"]["checked_equal"] == data["tested"]["events"]
    assert data == json.loads((out / "backtest.json").read_text())
    assert (out / "backtest.md").read_text().startswith("# Backtest of `policy.merchant_app")
    plots = {path.stem for path in out.glob("*.png")}
    assert plots in (
        set(),
        {"roc", "precision_recall", "scores", "cost", "pareto", "swap", "drift"},
    )
    beside = invoke("compare", str(out), str(out), "--json")
    assert all(row["first"] == row["second"] for row in json.loads(beside.stdout))
    shown = invoke("run", "merchant_application", "--sample", "--checked", "50")
    assert "Pareto" in shown.stdout
    assert "made up" in shown.stdout
    assert "50 events drawn at random" in shown.stdout


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["payment"], "nothing_to_test_on"),
        (["payment", "--sample", "--log"], "nothing_to_test_on"),
        (["--log"], "no_policy_to_test"),
        (["--sample", "--against", "active"], "no_policy_to_test"),
        (["nowhere", "--sample"], "policy_is_nowhere"),
        (["withdrawal", "--data", "nowhere"], "data_is_of_another_scene"),
        (["payment", "--data", "nowhere"], "handbook_is_missing"),
        (["log_in", "--sample", "--scene", "withdrawal"], "scenes_differ"),
        (["merchant_application", "--sample", "--since", "2031-01-01"], "window_is_invalid"),
        (["compare", "nowhere", "nowhere"], "run_is_unreadable"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_a_sentence(args: list[str], code: str) -> None:
    made = invoke(*args)
    assert made.exit_code == 1
    assert code in made.stderr
    assert made.stdout == ""


def test_costs_and_losses_are_what_was_said(tmp_path: Path) -> None:
    args = ["merchant_application", "--sample", "--json", "--checked", "1"]
    plain = json.loads(invoke(*args).stdout)
    dear = json.loads(invoke(*args, "--loss-each", "100", "--loss-share", "0").stdout)
    assert dear["policy"]["loss_minor"] == 100 * dear["tested"]["bad"]
    none = json.loads(invoke(*args, "--review-finds", "0", "--step-up-stops", "0").stdout)
    assert none["assumed"]["review_finds_bp"] == none["assumed"]["step_up_stops_bp"] == 0
    by_outcome = {one["outcome"]: one["loss_minor"] for one in none["policy"]["outcomes"]}
    assert (
        none["policy"]["let_through_minor"] == none["policy"]["loss_minor"] - by_outcome["decline"]
    )
    assert plain["policy"]["let_through_minor"] < none["policy"]["let_through_minor"]
