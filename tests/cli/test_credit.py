"""`steelyard credit`: cases of files, scorecards beside a peer, the Berka bank's loans."""

from __future__ import annotations

import json
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from steelyard.cashflows import Terms, form, run
from steelyard.cli import output
from steelyard.cli.bench import load_benchmark
from steelyard.cli.credit import app
from steelyard.decisions import training
from tests.conftest import Store

runner = CliRunner()
TERMS: dict[str, Any] = {
    "principal_minor": 1_200_000,
    "start_on": "2026-01-31",
    "instalments": 12,
    "rate": "0.12",
}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path / "home"))
    for module in (output, sys.modules["steelyard.cli.credit_schedule"],
                   sys.modules["steelyard.cli.credit_scorecard"],
                   sys.modules["steelyard.cli.credit_berka"]):  # fmt: skip
        monkeypatch.setattr(module, "out", Console(width=200))


def case(folder: Path, content: object) -> str:
    path = folder / "case.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_case_is_shown_as_the_one_function_has_it(tmp_path: Path) -> None:
    events = [
        {"event": "Repaid", "on": "2026-02-28", "amount_minor": 106_619},
        {"event": "PrepaidPart", "on": "2026-04-15", "amount_minor": 400_000},
    ]
    path = case(tmp_path, {"terms": TERMS, "events": events, "as_of": "2026-06-20"})
    told = json.loads(runner.invoke(app, ["schedule", path, "--json"]).stdout)
    terms = Terms(principal_minor=1_200_000, start_on=date(2026, 1, 31), instalments=12,
                  rate=Decimal("0.12"))  # fmt: skip
    numbered = [form.event_from_json({"seq": n, **one}) for n, one in enumerate(events, 1)]
    standing = run(terms, numbered, date(2026, 6, 20))
    assert told["principal_minor"] == standing.principal_minor
    assert told["days_past_due"] == standing.days_past_due == 51
    assert [row["open_minor"] for row in told["rows"]] == [row.open_minor for row in standing.rows]
    assert told["totals"]["interest_paid_minor"] == standing.totals.interest_paid_minor
    assert told["cost"]["rates"][0]["percent"] == "12.68%"
    shown = runner.invoke(app, ["schedule", path])
    assert shown.exit_code == 0
    for text in ("2026-02-28", "1,066.19", "12.68%", "12.00%", "simple"):
        assert text in shown.stdout


def test_a_case_speaks_chinese_where_the_terminal_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    shown = runner.invoke(app, ["schedule", case(tmp_path, {"terms": TERMS})])
    assert "年化综合利率（单利）" in shown.stdout
    assert "逾期天数" in shown.stdout


def test_the_day_of_a_case_is_told_or_that_of_the_last_event(tmp_path: Path) -> None:
    def day(content: object, *options: str) -> str:
        path = case(tmp_path, content)
        told = runner.invoke(app, ["schedule", path, "--json", *options])
        return str(json.loads(told.stdout)["as_of"])

    events = [{"event": "Repaid", "on": "2026-03-05", "amount_minor": 1}]
    assert day({"terms": TERMS}) == "2026-01-31"
    assert day({"terms": TERMS, "events": events}) == "2026-03-05"
    assert day({"terms": TERMS, "events": events, "as_of": "2026-04-01"}) == "2026-04-01"
    assert day({"terms": TERMS, "as_of": "2026-04-01"}, "--as-of", "2026-05-01") == "2026-05-01"


_EVENT = {"event": "Repaid", "on": "2026-02-28", "amount_minor": 5}


@pytest.mark.parametrize(
    ("content", "code", "field"),
    [
        ("{", "case_is_unreadable", "line 1, column 2"),
        ("[" * 100_000, "case_is_unreadable", "no JSON"),
        ('{"terms": ' + "9" * 5_000 + "}", "case_is_unreadable", "no JSON"),
        ([1], "case_is_invalid", "case must be an object"),
        ({}, "case_is_invalid", "terms must be given"),
        ({"terms": TERMS, "event": []}, "case_is_invalid", "event must be one of"),
        ({"terms": TERMS, "events": {}}, "case_is_invalid", "events must be a list"),
        ({"terms": TERMS, "events": [3]}, "case_is_invalid", "events[0] must be an object"),
        ({"terms": {**TERMS, "rate": 0.12}}, "case_is_invalid", "terms.rate"),
        ({"terms": {**TERMS, "rate": "NaN"}}, "terms_are_invalid", "rate"),
        ({"terms": {**TERMS, "currency": "ZZZ"}}, "unknown_currency", "ZZZ"),
        ({"terms": {**TERMS, "start_on": "9999-06-30"}}, "terms_are_invalid", "<= 2300"),
        ({"terms": TERMS, "as_of": "2026-01-30"}, "case_is_invalid", "as_of must be >= start_on"),
        ({"terms": TERMS, "as_of": 5}, "case_is_invalid", "YYYY-MM-DD"),
        (
            {"terms": TERMS, "events": [{"event": "Repaid", "on": "2026-02-28"}]},
            "case_is_invalid",
            "events[0]: Repaid.amount_minor must be given",
        ),
        (
            {"terms": TERMS, "events": [{**_EVENT, "amount_minor": -1}]},
            "case_is_invalid",
            "events[0].amount_minor must be 0..",
        ),
        (
            {"terms": TERMS, "events": [{**_EVENT, "seq": 4}, {**_EVENT, "seq": 4}]},
            "case_is_invalid",
            "events[1].seq",
        ),
        (
            {"terms": TERMS, "events": [{"event": "Reversed", "on": "2026-02-28", "of": 9}]},
            "case_is_invalid",
            "events[0].of",
        ),
        ({"terms": TERMS, "events": [{**_EVENT, "on": "2025-02-28"}]}, "event_is_invalid", "1"),
    ],
)
def test_a_bad_case_is_refused_with_its_field(
    tmp_path: Path, content: object, code: str, field: str
) -> None:
    path = case(tmp_path, content)
    told = runner.invoke(app, ["schedule", path])
    assert told.exit_code == 1
    assert code in told.stderr
    assert field in told.stderr.replace("\n", " ")


def test_a_case_that_is_not_there_is_refused(tmp_path: Path) -> None:
    told = runner.invoke(app, ["schedule", str(tmp_path / "nowhere.json")])
    assert (told.exit_code, "case_is_unreadable" in told.stderr) == (1, True)


def test_a_case_is_drawn(tmp_path: Path) -> None:
    path = case(tmp_path, {"terms": {**TERMS, "penalty": {"rate": "0.18"}}, "as_of": "2026-08-01"})
    told = runner.invoke(app, ["schedule", path, "--plot", str(tmp_path / "plots" / "case.png")])
    assert told.exit_code == 0
    assert (tmp_path / "plots" / "case.png").read_bytes()[:4] == b"\x89PNG"
    refused = runner.invoke(app, ["schedule", path, "--plot", str(tmp_path / "case.txt")])
    assert (refused.exit_code, "--plot" in refused.stderr) == (1, True)


def test_a_scorecard_is_cross_validated_and_says_what_was_not_measured(tmp_path: Path) -> None:
    told = runner.invoke(app, ["scorecard", "german", "--sample", "--folds", "2", "--repeats", "1"])
    assert told.exit_code == 0, told.stderr
    for text in ("WoE scorecard", "LightGBM", "corrected resampled t", "not measured", "PSI"):
        assert text in told.stdout
    refused = runner.invoke(app, ["scorecard", "taiwan", "--data", str(tmp_path)])
    assert (refused.exit_code, "data_are_not_there" in refused.stderr) == (1, True)


_STUB = """
import json, sys
from pathlib import Path
import numpy as np
folder = Path(sys.argv[1])
form = json.loads((folder / "form.json").read_text())
assert "AGE" not in form["names"] and "PURPOSE" in form["categories"]
with np.load(folder / "rows.npz") as rows:
    amount, place = rows["column_AMOUNT"], rows["place"]
for _ in range(place.size // place.shape[1] * (int(place.max()) + 1)):
    print("fold")
np.save(folder / "scores.npy", np.repeat(amount[None, :], len(place), axis=0))
(folder / "libraries.json").write_text(json.dumps({"stub": "1"}))
"""


def test_the_peer_is_asked_about_the_same_rows_and_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = load_benchmark("credit_scorecard")
    program = tmp_path / "stub.py"
    program.write_text(_STUB)
    monkeypatch.setattr(peer, "_PROGRAM", program)
    table = training.read_credit(
        training.write_sample(tmp_path / "german.data", training.GERMAN, 200)
    )
    rule = training.TrainingRule(training.ScorecardRule(), folds=3, repeats=2, seed=5)
    steps: list[tuple[str, int, int]] = []
    found = peer.ask_peer(Path(sys.executable), table, rule, lambda *step: steps.append(step))
    assert steps[-1] == ("peer", 6, 6)
    assert found.libraries == {"stub": "1"}
    expected = [
        _auc(table.bad[outside], table.columns["AMOUNT"][outside])
        for repeat in range(2)
        for _, outside in training.folds(table.bad, 3, 5 + repeat)
    ]
    assert found.areas == pytest.approx(expected)


def _auc(bad: Any, score: Any) -> float:
    """The chance that a bad row scores above a good one, pair by pair."""
    pairs = np.sign(score[bad][:, None] - score[~bad][None, :])
    return float(((pairs + 1) / 2).mean())


def test_a_peer_that_fails_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = load_benchmark("credit_scorecard")
    program = tmp_path / "stub.py"
    program.write_text("raise SystemExit('the peer is out of sorts')")
    monkeypatch.setattr(peer, "_PROGRAM", program)
    table = training.read_credit(training.write_sample(tmp_path / "x.data", training.GERMAN, 200))
    with pytest.raises(RuntimeError, match="out of sorts"):
        peer.ask_peer(Path(sys.executable), table, training.TrainingRule(training.ScorecardRule()))


def test_no_environment_is_made_unasked(tmp_path: Path) -> None:
    assert load_benchmark("credit_scorecard").environment(tmp_path, make=False) is None
    assert list(tmp_path.iterdir()) == []


def test_the_sample_bank_is_replayed_with_what_was_proved(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_DATABASE_URL", store.url)
    told = runner.invoke(app, ["replay-berka", "--sample", "--repeats", "1", "--json"])
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["loans"] == 50
    assert list(found["proved"].values())[:3] == [50, 50, 50]
    assert (found["booked"]["loans"], found["booked"]["differences"]) == (50, 0)
    assert found["booked"]["repayments_are"] == "simulated"
    assert any("no repayment" in one for one in found["not_proved"])
    refused = runner.invoke(app, ["replay-berka"])
    assert (refused.exit_code, "nothing_to_replay" in refused.stderr) == (1, True)
