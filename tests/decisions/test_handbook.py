"""The Handbook's protocol on made-up payments: the stream, the split, the choice, the command."""

from __future__ import annotations

import json
import math
import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from steelyard.cli.risk import app
from steelyard.decisions.model.inputs import FIELD, known_definitions
from steelyard.decisions.training import trial
from steelyard.decisions.training.handbook import (
    DELAY,
    PUBLISHED_INPUTS,
    TRAIN_ON,
    HandbookIsMissing,
    HandbookIsTooShort,
    Streamed,
    Transactions,
    fed_features,
    inputs_of,
    read_transactions,
    split,
    stream,
    write_sample,
)
from steelyard.decisions.training.trial import END_ON, SEEDS, TRIAL_ON, candidates, run_trial
from steelyard.features import CATALOGUE

DATA = Path(os.environ.get("STEELYARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
runner = CliRunner()


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Transactions:
    return read_transactions(write_sample(tmp_path_factory.mktemp("handbook")))


@pytest.fixture(scope="module")
def rows(payments: Transactions) -> Streamed:
    return stream(payments, min(TRIAL_ON), END_ON)


def straight(payments: Transactions, n: int) -> dict[str, float]:
    """The Handbook's features of one payment, found by looking at all of them."""
    at, day_ms = payments.at_ms, 86_400_000
    before = np.arange(len(at)) <= n
    found: dict[str, float] = {"amount_minor": payments.amount_minor[n]}
    for days in (1, 7, 30):
        mine = before & (payments.customer == payments.customer[n])
        mine &= at >= at[n] - days * day_ms
        found[f"customer_payment_count_{days}d"] = mine.sum()
        found[f"customer_payment_mean_{days}d"] = payments.amount_minor[mine].mean()
        end = at[n] - DELAY * day_ms
        there = (payments.terminal == payments.terminal[n]) & (at <= end)
        there &= at >= end - days * day_ms
        count = there.sum()
        found[f"terminal_payment_count_{days}d_delayed_7d"] = count
        share = payments.bad[there].mean() if count else math.nan
        found[f"terminal_fraud_share_{days}d_delayed_7d"] = share
    return found


def test_the_stream_gives_what_a_look_at_all_payments_gives(
    payments: Transactions, rows: Streamed
) -> None:
    start = len(payments.at_ms[: rows.events]) - len(rows.bad)
    rng = np.random.default_rng(5)
    for n in rng.choice(np.arange(start, rows.events), 60, replace=False).tolist():
        for name, expected in straight(payments, n).items():
            value = rows.matrix[n - start, rows.names.index(name)]
            assert value == pytest.approx(expected, rel=1e-12, nan_ok=True), (n, name)


def test_the_published_inputs_are_among_those_fed() -> None:
    fed = fed_features()
    assert len(PUBLISHED_INPUTS) == 15
    assert set(PUBLISHED_INPUTS[3:]) <= set(fed)
    inputs = inputs_of(PUBLISHED_INPUTS)
    assert inputs.definitions[:3] == (FIELD,) * 3
    assert FIELD not in inputs.definitions[3:]
    inputs.verify("handbook", known_definitions(CATALOGUE))


def test_no_day_of_the_choice_lies_in_the_published_weeks() -> None:
    for on in TRIAL_ON:
        assert on + timedelta(days=7 + DELAY + 7) <= TRAIN_ON
    assert date(2018, 8, 15) == END_ON
    assert len(SEEDS) == 5


def test_the_split_leaves_out_cards_known_by_then(rows: Streamed) -> None:
    made = split(rows, TRAIN_ON)
    first = TRAIN_ON.toordinal() - date(1970, 1, 1).toordinal()
    assert set(rows.day[made.train]) == set(range(first, first + 7))
    assert set(rows.day[made.test]) == set(range(first + 14, first + 21))
    for n in made.test.tolist():
        known = rows.bad & (rows.day >= first) & (rows.day <= rows.day[n] - DELAY - 1)
        assert rows.customer[n] not in rows.customer[known]
    left_out = ((rows.day >= first + 14) & (rows.day < first + 21)).sum() - len(made.test)
    assert left_out > 0


def test_the_trial_chooses_on_earlier_weeks_and_runs_every_seed(
    rows: Streamed, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = candidates()
    monkeypatch.setattr(trial, "candidates", lambda: {"LightGBM": tried["LightGBM"]})
    seen: list[tuple[int, int]] = []
    made = run_trial(rows, (0, 1), lambda _, done, total: seen.append((done, total)))
    assert seen[-1] == (22, 22)
    assert [line.inputs for line in made.lines] == ["published 15", f"ours {len(rows.names)}"]
    for line in made.lines:
        assert line.chosen in tried["LightGBM"]
        assert len(line.scores) == 2
        assert line.mean("auc") > 0.7
        assert line.deviation("auc") >= 0
    assert made.test_bad == made.bad.sum()
    assert set(made.probabilities) == {f"LightGBM, {line.inputs}" for line in made.lines}


def test_refusals(tmp_path: Path, payments: Transactions) -> None:
    import polars as pl

    with pytest.raises(HandbookIsMissing):
        read_transactions(tmp_path / "nowhere")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(HandbookIsMissing, match="TX_DATETIME"):
        read_transactions(tmp_path)
    with pytest.raises(HandbookIsTooShort, match="2018-05-24 to 2018-08-15"):
        stream(payments, date(2018, 4, 1), END_ON)
    with pytest.raises(HandbookIsTooShort):
        stream(payments, min(TRIAL_ON), date(2018, 9, 1))


def test_the_command_on_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = candidates()
    chosen = {"logistic regression": tried["logistic regression"]}
    monkeypatch.setattr(trial, "candidates", lambda: chosen)
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path))
    wide = Console(width=200)
    monkeypatch.setattr("steelyard.cli.output.out", wide)
    monkeypatch.setattr("steelyard.cli.risk.out", wide)
    kept = tmp_path / "kept"
    answer = runner.invoke(app, ["handbook", "--sample", "--out", str(kept)])
    assert answer.exit_code == 0, answer.output
    assert "published 15" in answer.output
    table = json.loads((kept / "handbook.json").read_text())
    assert [row["seeds"] for row in table] == [5, 5]
    assert table[0]["auc_deviation"] == 0
    assert (kept / "roc.png").exists()
    refused = runner.invoke(app, ["handbook"])
    assert refused.exit_code == 1
    assert "nothing_to_train_on" in refused.output


@pytest.mark.long
@pytest.mark.skipif(
    not (DATA / "handbook").is_dir(), reason="the Handbook's payments are not here (STEELYARD_DATA)"
)
def test_logistic_regression_is_that_of_the_handbook() -> None:
    every = stream(read_transactions(DATA / "handbook"), TRAIN_ON, END_ON)
    weeks = split(every, TRAIN_ON)
    assert (len(weeks.train), len(weeks.test), every.bad[weeks.test].sum()) == (67240, 58264, 385)
    matrix = np.nan_to_num(every.columns(PUBLISHED_INPUTS))
    fit = candidates()["logistic regression"]["C=1"]
    score, *_ = trial._evaluate(every, matrix, PUBLISHED_INPUTS, (weeks, fit, 0))
    assert score.auc == pytest.approx(0.871, abs=0.002)
    assert score.average_precision == pytest.approx(0.606, abs=0.005)
    assert score.card_precision == pytest.approx(0.291, abs=0.005)
