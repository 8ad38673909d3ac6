"""Path attributions: they add up, compiled and plain are equal, and they lean to TreeSHAP."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from steelyard.decisions.model.attribution import CompiledExplainer, Explainer, path_table
from steelyard.decisions.model.gbm import NativeScorer, PlainScorer
from steelyard.decisions.model.logistic import sigmoid
from tests.decisions.test_gbm import NAMES, as_model, as_row, train

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed"
)


def test_credits_of_a_row_add_up_to_its_score() -> None:
    booster, matrix = train()
    model = as_model(booster)
    explainer, table = Explainer(model), path_table(model)
    raw = booster.predict(matrix[:100], raw_score=True)
    for row, expected in zip(matrix[:100], raw, strict=True):
        credits = explainer.contributions(as_row(row))
        assert set(credits) == set(NAMES)
        assert table.base + sum(credits.values()) == pytest.approx(expected, abs=1e-9)
    shap_base = booster.predict(matrix[:1], pred_contrib=True)[0, -1]
    assert table.base == pytest.approx(shap_base, abs=1e-9)


@pytest.mark.parametrize("scorer", [NativeScorer, PlainScorer])
def test_the_probability_is_the_scorers_to_the_bit(scorer: type[PlainScorer]) -> None:
    booster, matrix = train()
    model = as_model(booster)
    explainer = Explainer(model, scorer=scorer(model))
    expected = booster.predict(matrix[:200], num_threads=1).tolist()
    assert [explainer.explain(as_row(row)).probability for row in matrix[:200]] == expected


def test_reasons_are_what_raised_the_risk_most() -> None:
    booster, matrix = train()
    explainer = Explainer(as_model(booster), most=2)
    for row in matrix[:100]:
        found = explainer.explain(as_row(row)).reasons
        credits = explainer.contributions(as_row(row))
        raised = sorted((amount for amount in credits.values() if amount > 0), reverse=True)
        assert [one.contribution for one in found] == raised[:2]
        assert all(credits[one.feature] == one.contribution for one in found)


def test_the_foremost_reason_is_mostly_that_of_treeshap() -> None:
    booster, matrix = train()
    explainer = Explainer(as_model(booster), most=1)
    exact = booster.predict(matrix[:300], pred_contrib=True)[:, :-1]
    agreed = 0
    for row, shap in zip(matrix[:300], exact, strict=True):
        reasons = explainer.explain(as_row(row)).reasons
        agreed += bool(reasons) and reasons[0].feature == NAMES[int(np.argmax(shap))]
    assert agreed > 240


@needs_numba
@pytest.mark.filterwarnings("default")
def test_compiled_and_plain_give_the_same_bits() -> None:
    booster, matrix = train()
    model = as_model(booster)
    plain, compiled = Explainer(model), CompiledExplainer(model)
    for row in matrix[:300]:
        assert compiled.explain(as_row(row)) == plain.explain(as_row(row))


def test_a_model_of_a_single_leaf_has_no_reason() -> None:
    booster, matrix = train(min_gain_to_split=1e9)
    explained = Explainer(as_model(booster)).explain(as_row(matrix[0]))
    assert explained.reasons == ()
    assert explained.probability == sigmoid(booster.predict(matrix[:1], raw_score=True)[0])
