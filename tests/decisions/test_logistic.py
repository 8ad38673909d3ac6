"""Logistic regression in flat form: scikit-learn's probabilities, row = column, missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from steelyard.decisions.model.flat import load_model
from steelyard.decisions.model.inputs import FIELD, InputIsNotANumber, ModelInputs, ModelIsMalformed
from steelyard.decisions.model.logistic import LogisticModel, sigmoid


def fitted() -> tuple[LogisticModel, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    matrix = rng.normal(3, 4, size=(300, 3))
    bad = matrix @ [1, -1, 0.2] + rng.normal(size=300) > 0
    scaler = StandardScaler().fit(matrix)
    regression = LogisticRegression().fit(scaler.transform(matrix), bad)
    model = LogisticModel(
        name="demo",
        version=1,
        inputs=ModelInputs(("a", "b", "c"), (FIELD,) * 3),
        coefficients=tuple(regression.coef_[0].tolist()),
        means=tuple(scaler.mean_.tolist()),
        scales=tuple(scaler.scale_.tolist()),
        intercept=float(regression.intercept_[0]),
    )
    return model, matrix, regression.predict_proba(scaler.transform(matrix))[:, 1]


def test_probabilities_are_those_of_scikit_learn_and_rows_are_columns() -> None:
    model, matrix, expected = fitted()
    assert model.probabilities(matrix) == pytest.approx(expected, abs=1e-12)
    matrix[5, 1] = math.nan
    rows = [
        dict(zip("abc", [None if x != x else x for x in row], strict=True))
        for row in matrix.tolist()
    ]
    assert [model.probability(row) for row in rows] == model.probabilities(matrix).tolist()


def test_contributions_add_up_and_missing_adds_nothing() -> None:
    model, _, _ = fitted()
    row = {"a": 1, "b": None, "c": True}
    parts = model.contributions(row)
    assert parts[1] == 0.0
    assert model.raw(row) == pytest.approx(model.intercept + sum(parts))
    assert model.raw({}) == model.intercept


def test_stored_and_loaded_it_is_the_same() -> None:
    model, _, _ = fitted()
    loaded = load_model(model.to_json(), {})
    assert loaded == model
    assert loaded.content_hash == model.content_hash


def test_refusals_and_far_ends() -> None:
    model, _, _ = fitted()
    for value in ("x", math.nan):
        with pytest.raises(InputIsNotANumber):
            model.raw({"a": value})
    with pytest.raises(ModelIsMalformed, match="not 0"):
        LogisticModel("demo", 1, ModelInputs(("a",), (FIELD,)), (1.0,), (0.0,), (0.0,), 0.0)
    assert (sigmoid(-1e9), sigmoid(0.0), sigmoid(1e9)) == (0.0, 0.5, 1.0)
