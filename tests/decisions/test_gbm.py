"""Boosted trees in flat form: error 0 against LightGBM itself, by rows, by columns, without it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import lightgbm
import numpy as np
import pytest

from steelyard.decisions.model import gbm
from steelyard.decisions.model.flat import load_model
from steelyard.decisions.model.gbm import GbmModel, NativeScorer, PlainScorer, open_scorer
from steelyard.decisions.model.inputs import (
    FIELD,
    FeatureDefinitionDiffers,
    InputIsNotANumber,
    ModelInputs,
    ModelIsMalformed,
    ModelNeverSawItMissing,
    ModelSchemaDiffers,
    definition_hash,
)
from steelyard.features.model.definition import Aggregate, Feature

NAMES = tuple(f"f{n}" for n in range(6))


def train(
    missing: float = 0.1, rounds: int = 25, **params: object
) -> tuple[lightgbm.Booster, np.ndarray]:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(1500, 6)).round(2)
    matrix[rng.random(matrix.shape) < missing] = math.nan
    signal = np.nan_to_num(matrix[:, 0] * 2 - matrix[:, 1] + matrix[:, 2] ** 2, nan=1.5)
    bad = signal + rng.normal(size=1500) > 1
    chosen = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, **params}
    data = lightgbm.Dataset(matrix, bad.astype(int), feature_name=list(NAMES))
    return lightgbm.train(chosen, data, rounds), matrix


def as_model(booster: lightgbm.Booster, definitions: tuple[str, ...] | None = None) -> GbmModel:
    inputs = ModelInputs(NAMES, definitions or (FIELD,) * 6)
    return GbmModel("demo", 1, inputs, booster.model_to_string())


def as_row(values: np.ndarray) -> dict[str, float | None]:
    return {
        name: None if math.isnan(value) else value
        for name, value in zip(NAMES, values.tolist(), strict=True)
    }


@pytest.mark.parametrize("make", [NativeScorer, PlainScorer])
@pytest.mark.parametrize(
    "params", [{}, {"sigmoid": 0.7}, {"boosting": "dart"}, {"min_gain_to_split": 1e9}]
)
def test_scores_are_those_of_lightgbm_to_the_bit(
    make: Callable[[GbmModel], NativeScorer | PlainScorer], params: dict[str, object]
) -> None:
    booster, matrix = train(**params)
    scorer = make(as_model(booster))
    expected = booster.predict(matrix, num_threads=1)
    assert scorer.probabilities(matrix).tolist() == expected.tolist()
    alone = [scorer.probability(as_row(row)) for row in matrix[:200]]
    assert alone == expected[:200].tolist()
    first_leaf = scorer.model.trees.first_leaf
    leaves = [(scorer.leaves(as_row(row)) - first_leaf).tolist() for row in matrix[:50]]
    assert leaves == booster.predict(matrix[:50], pred_leaf=True).tolist()


def test_extreme_values_take_the_same_way() -> None:
    booster, matrix = train()
    matrix = matrix[:60].copy()
    for n, value in enumerate((math.inf, -math.inf, 0.0, -0.0, 1e-36, 1e308)):
        matrix[n * 10 : n * 10 + 10, n] = value
    expected = booster.predict(matrix, num_threads=1).tolist()
    model = as_model(booster)
    for scorer in (NativeScorer(model), PlainScorer(model)):
        assert scorer.probabilities(matrix).tolist() == expected
        assert [scorer.probability(as_row(row)) for row in matrix] == expected


def test_a_missing_value_is_never_read_as_zero() -> None:
    booster, matrix = train(missing=0.0)
    model = as_model(booster)
    with_nan = np.where(matrix[:100] > 1, math.nan, matrix[:100])
    # LightGBM itself reads NaN as 0 where training had none: columns follow it, rows refuse
    zeros = booster.predict(np.nan_to_num(with_nan), num_threads=1).tolist()
    for scorer in (NativeScorer(model), PlainScorer(model)):
        assert scorer.probabilities(with_nan).tolist() == zeros
        with pytest.raises(ModelNeverSawItMissing, match="f2"):
            scorer.probability({**as_row(matrix[0]), "f2": None})
        with pytest.raises(ModelNeverSawItMissing):
            scorer.probability({})


def test_an_absent_name_is_missing_and_whole_numbers_and_flags_are_numbers() -> None:
    booster, matrix = train()
    scorer = open_scorer(as_model(booster))
    row = as_row(matrix[0])
    without = {name: value for name, value in row.items() if name != "f1"}
    assert scorer.probability(without) == scorer.probability({**row, "f1": None})
    assert scorer.probability({**row, "f0": 1}) == scorer.probability({**row, "f0": 1.0})
    assert scorer.probability({**row, "f0": True}) == scorer.probability({**row, "f0": 1.0})
    with pytest.raises(InputIsNotANumber, match="'high' of f0"):
        scorer.probability({**row, "f0": "high"})


def test_without_the_library_the_plain_scorer_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    model = as_model(train(rounds=2)[0])
    assert isinstance(open_scorer(model), NativeScorer)
    monkeypatch.setattr(gbm, "native_library", lambda: None)
    assert isinstance(open_scorer(model), PlainScorer)


def test_exact_shap_is_that_of_lightgbm() -> None:
    booster, matrix = train()
    scorer = NativeScorer(as_model(booster))
    expected = booster.predict(matrix[:50], pred_contrib=True, num_threads=1)
    assert scorer.shap(matrix[:50]).tolist() == expected.tolist()
    assert scorer.shap_of(as_row(matrix[0])).tolist() == expected[0].tolist()
    assert scorer.shap(matrix[:0]).shape == (0, 7)


AMOUNT = Feature("f0", "card", ("payment",), Aggregate.SUM, "sum", "总额", field="amount_minor")


def test_hashes_are_checked_at_load() -> None:
    booster, _ = train(rounds=3)
    trained = definition_hash(AMOUNT)
    model = as_model(booster, (trained, *[FIELD] * 5))
    loaded = load_model(model.to_json(), {"f0": trained})
    assert loaded == model
    assert loaded.content_hash == model.content_hash
    for known in ({}, {"f0": "other"}):
        with pytest.raises(FeatureDefinitionDiffers, match="f0"):
            load_model(model.to_json(), known)
    data = json.loads(model.to_json())
    data["inputs"]["names"][:2] = ["f1", "f0"]
    with pytest.raises(ModelSchemaDiffers):
        load_model(json.dumps(data), {"f0": trained})
    data = json.loads(model.to_json())
    data["inputs"]["definitions"][0] = "other"
    with pytest.raises(FeatureDefinitionDiffers):
        load_model(json.dumps(data), {"f0": "other"})


def test_a_definition_is_its_meaning_and_not_its_texts() -> None:
    changed = {"en": "total", "zh": "合计"}
    fields = {name: getattr(AMOUNT, name) for name in AMOUNT.__slots__}
    assert definition_hash(Feature(**{**fields, **changed})) == definition_hash(AMOUNT)
    assert definition_hash(Feature(**{**fields, "window_ms": 1})) != definition_hash(AMOUNT)


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"objective": "regression"}, "regression"),
        ({"linear_tree": True}, "linear"),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "averaged"),
        ({"zero_as_missing": True}, "zero"),
    ],
)
def test_what_the_flat_form_does_not_hold_is_refused(params: dict[str, object], word: str) -> None:
    booster, _ = train(rounds=2, **params)
    with pytest.raises(ModelIsMalformed, match=word):
        as_model(booster)


def test_broken_texts_are_refused() -> None:
    with pytest.raises(ModelIsMalformed, match="not the text form"):
        GbmModel("demo", 1, ModelInputs(("a",), (FIELD,)), "hello")
    text = train(rounds=2)[0].model_to_string()
    with pytest.raises(ModelIsMalformed, match="columns"):
        GbmModel("demo", 1, ModelInputs(("a",), (FIELD,)), text)
    for broken, word in [
        ("{}", "kind is missing"),
        ('{"kind": "oracle"}', "oracle"),
        ("{", "Expecting"),
        ('{"kind": "gbm", "name": "x"}', "version is missing"),
        ('{"kind": "gbm", "name": "x", "version": 1, "inputs": 4}', "subscriptable"),
    ]:
        with pytest.raises(ModelIsMalformed, match=word):
            load_model(broken, {})
    with pytest.raises(ModelIsMalformed, match="one name"):
        ModelInputs(("a", "a"), (FIELD, FIELD))
