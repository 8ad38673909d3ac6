"""Training: reading, folds, fitted scorecards, the comparison with published figures, cards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from steelyard.cli.risk import app
from steelyard.decisions.model.flat import load_model
from steelyard.decisions.model.gbm import GbmModel, open_scorer
from steelyard.decisions.model.metrics import auc
from steelyard.decisions.model.scorecard import Scorecard
from steelyard.decisions.training.credit import (
    GERMAN,
    TAIWAN,
    CreditTable,
    DataIsMissing,
    DataIsUnknown,
    read_credit,
    write_sample,
)
from steelyard.decisions.training.fit import Encoding, ScorecardRule, fit_scorecard, gbm_of
from steelyard.decisions.training.pipeline import TooFewRows, TrainingRule, folds, train

DATA = Path(os.environ.get("STEELYARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (DATA / "credit").is_dir(), reason="the credit data sets are not here (STEELYARD_DATA)"
)
runner = CliRunner()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> CreditTable:
    return read_credit(write_sample(tmp_path_factory.mktemp("credit") / "x.data", GERMAN, 500))


@needs_data
def test_the_published_data_sets_are_recognised() -> None:
    german = read_credit(DATA / "credit" / "german.data")
    assert (german.form.name, german.rows, german.bad.sum()) == ("german", 1000, 300)
    assert german.columns["PURPOSE"][0] == "A43"
    assert german.columns["AMOUNT"][:2].tolist() == [1169.0, 5951.0]
    taiwan = read_credit(DATA / "credit" / "taiwan_dev.csv")
    assert (taiwan.form.name, taiwan.rows, taiwan.bad.sum()) == ("taiwan", 18000, 4023)


@needs_data
def test_cross_validated_auc_is_that_of_the_published_table() -> None:
    table = read_credit(DATA / "credit" / "german.data")
    areas = []
    for inside, outside in folds(table.bad, 5, seed=1):
        made = fit_scorecard(table.take(inside), ScorecardRule(protected=True), "fold")
        unseen = table.take(outside)
        areas.append(auc(unseen.bad, made.probability(unseen.columns)) or 0)
    # published 0.795 with folds of its own; the deviation between folds is about 0.02
    assert np.mean(areas) == pytest.approx(0.795, abs=0.015)


@needs_data
@pytest.mark.long
def test_taiwan_beside_the_published_table() -> None:
    table = read_credit(DATA / "credit" / "taiwan_dev.csv")
    found = train(table, TrainingRule(ScorecardRule(protected=True)))
    for one in found.comparisons:
        assert one.published is None or one.auc == pytest.approx(one.published, abs=0.015)


@pytest.mark.parametrize("form", [GERMAN, TAIWAN])
def test_a_sample_is_read_as_its_form(form: object, tmp_path: Path) -> None:
    assert form in (GERMAN, TAIWAN)
    table = read_credit(write_sample(tmp_path / "made.txt", form, rows=200))  # type: ignore[arg-type]
    assert table.form is form
    assert table.rows == 200
    assert 20 < table.bad.sum() < 150
    again = read_credit(write_sample(tmp_path / "again.txt", form, rows=200))  # type: ignore[arg-type]
    assert again.digest == table.digest


def test_folds_part_the_rows_and_keep_the_share_of_bads() -> None:
    bad = np.arange(103) < 23
    held = []
    for inside, outside in folds(bad, 5, seed=4):
        assert set(inside.tolist()) | set(outside.tolist()) == set(range(103))
        assert not set(inside.tolist()) & set(outside.tolist())
        assert bad[outside].sum() in (4, 5)
        held += outside.tolist()
    assert sorted(held) == list(range(103))


def test_a_fitted_scorecard_keeps_its_sense(sample: CreditTable) -> None:
    made = fit_scorecard(sample, ScorecardRule(), "made")
    assert all(weight < 0 for weight in made.weights)
    names = {one.name for one in GERMAN.attributes if one.protected}
    assert not names & set(made.card.names)
    assert names & set(fit_scorecard(sample, ScorecardRule(protected=True), "made").card.names)
    # more evidence for good means more points, in every bin that was seen
    for binning, line in zip(made.binnings, made.card.characteristics, strict=True):
        pairs = sorted(zip([one.woe for one in binning.bins], line.points, strict=True))
        assert [points for _, points in pairs] == sorted(points for _, points in pairs)
    # the points say what the regression says, to the rounding of the points
    evidence = sum(
        weight * one.woe(sample.columns[one.partition.name])
        for weight, one in zip(made.weights, made.binnings, strict=True)
    )
    exact = 1 / (1 + np.exp(-(made.intercept + evidence)))
    assert made.probability(sample.columns) == pytest.approx(exact, abs=0.06)
    assert made.probability(sample.columns).mean() == pytest.approx(sample.bad.mean(), abs=0.02)


def test_binning_does_not_see_the_rows_held_out(sample: CreditTable) -> None:
    inside, outside = next(folds(sample.bad, 5, seed=1))
    made = fit_scorecard(sample.take(inside), ScorecardRule(), "fold")
    turned = CreditTable(
        sample.form,
        {name: column.copy() for name, column in sample.columns.items()},
        np.where(np.isin(np.arange(sample.rows), outside), ~sample.bad, sample.bad),
        sample.digest,
    )
    assert fit_scorecard(turned.take(inside), ScorecardRule(), "fold").card == made.card
    for binning in made.binnings:
        assert sum(one.good + one.bad for one in binning.bins) == len(inside)


def test_a_level_never_seen_is_no_level(sample: CreditTable) -> None:
    encoding = Encoding(sample)
    assert encoding.matrix(sample.columns).shape == (sample.rows, len(encoding.names))
    odd = {name: column[:1].copy() for name, column in sample.columns.items()}
    odd["PURPOSE"][0] = "A999"
    row = encoding.matrix(odd)[0]
    assert sum(row[n] for n, name in enumerate(encoding.names) if name.startswith("PURPOSE=")) == 0


def test_the_boosted_model_is_stored_and_scores_the_same(sample: CreditTable) -> None:
    model, predict = gbm_of(sample, seed=2)
    loaded = load_model(model.to_json(), {})
    assert isinstance(loaded, GbmModel)
    matrix = Encoding(sample).matrix(sample.columns)
    assert open_scorer(loaded).probabilities(matrix).tolist() == predict(sample.columns).tolist()
    assert gbm_of(sample, seed=2)[0].content_hash == model.content_hash


def test_cards_say_what_was_done(sample: CreditTable) -> None:
    steps: list[tuple[int, int]] = []
    rule = TrainingRule(ScorecardRule(), folds=2)
    made = train(sample, rule, lambda _, done, total: steps.append((done, total)))
    assert steps[-1] == (12, 12)
    boosted = made.cards["lightgbm"]
    assert not {name.partition("=")[0] for name in boosted.data.inputs} & set(
        boosted.data.protected
    )
    assert boosted.data.left_out == boosted.data.protected
    card = made.cards["scorecard"]
    assert card.content_hash == made.scorecard.card.content_hash
    assert card.data.left_out == ("PERSONAL_STATUS_AND_SEX", "AGE", "FOREIGN")
    assert {cut.group for cut in card.fairness["sex"]} == {"female", "male"}
    assert sum(cut.rows for cut in card.fairness["age"]) == 500
    approved = sum(cut.rows * cut.approval_rate for cut in card.fairness["sex"])
    assert approved / 500 == pytest.approx(0.8, abs=0.05)
    assert sum(point.rows for point in card.calibration.curve) == 500
    assert card.metrics["AUC"] > 0.6
    assert {one.name for one in card.csi} == set(made.scorecard.card.names)
    again = json.loads(card.to_json())
    assert again["score_psi"] == card.score_psi
    page = card.to_markdown()
    assert page.startswith("# Model card: german_scorecard 1\n")
    for heading in ("## Data", "## Calibration", "## Fairness by sex", "## Stability"):
        assert heading in page
    assert len(made.comparisons) == 6
    assert train(sample, rule).cards["lightgbm"].digest == made.cards["lightgbm"].digest


def test_data_that_cannot_be_used_is_refused(tmp_path: Path, sample: CreditTable) -> None:
    with pytest.raises(DataIsMissing):
        read_credit(tmp_path / "nowhere")
    path = tmp_path / "odd.csv"
    made = write_sample(tmp_path / "good.data", GERMAN, rows=5).read_text()
    for text, word in [
        ("", "first line"),
        ("a,b\n1,2\n", "first line"),
        (made.splitlines()[0], "no rows"),
        (made + "A11 6\n", "line 7 has 2 columns of 21"),
        (made.replace(made.splitlines()[1].split()[1], "many"), "could not convert"),
    ]:
        path.write_text(text)
        with pytest.raises(DataIsUnknown, match=word):
            read_credit(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataIsUnknown, match="no text"):
        read_credit(path)
    with pytest.raises(TooFewRows):
        train(sample.take(np.arange(12)), TrainingRule(ScorecardRule()))


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path / "home"))
    wide = Console(width=200)
    monkeypatch.setattr("steelyard.cli.output.out", wide)
    monkeypatch.setattr("steelyard.cli.risk.out", wide)
    kept = tmp_path / "kept"
    answer = runner.invoke(app, ["train", "--sample", "--folds", "2", "--out", str(kept)])
    assert answer.exit_code == 0, answer.output
    assert "LightGBM" in answer.output
    assert {path.name for path in kept.iterdir()} == {
        "scorecard.json", "lightgbm.json", "scorecard.card.json", "scorecard.card.md",
        "lightgbm.card.json", "lightgbm.card.md", "roc.png", "pr.png", "scores.png",
        "calibration.png",
    }  # fmt: skip
    card = Scorecard.from_json((kept / "scorecard.json").read_text())
    path = tmp_path / "home" / "samples" / "credit" / "german.data"
    answer = runner.invoke(app, ["scorecard", str(path), "--folds", "2", "--pdo", "40", "--json"])
    assert answer.exit_code == 0, answer.output
    wider = Scorecard.from_json(json.dumps(json.loads(answer.stdout)["scorecard"]))
    assert wider.names == card.names
    assert wider.scaling.pdo == 40
    answer = runner.invoke(app, ["scorecard", str(path), "--folds", "2"])
    assert "WoE = ln(good share" in answer.output
    refused = runner.invoke(app, ["scorecard"])
    assert refused.exit_code == 1
    assert "nothing_to_train_on" in refused.output
