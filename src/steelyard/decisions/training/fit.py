"""Fitting: a scorecard by binning and regression, and the models it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.binning import Binning, BinningRule, bin_category, bin_number
from steelyard.decisions.model.gbm import GbmModel
from steelyard.decisions.model.inputs import FIELD, ModelInputs
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.scorecard import Line, Scaling, Scorecard, make_scorecard
from steelyard.decisions.training.credit import Columns, CreditTable

Floats = NDArray[np.float64]
Predict = Callable[[Columns], Floats]
"""From columns to the chance of bad."""


@dataclass(frozen=True, slots=True)
class ScorecardRule:
    """How a scorecard is made.

    Attributes
    ----------
    binning : how fine its bins are
    scaling : of its points
    least_iv : characteristics with less information are left out
    protected : whether protected attributes may stand in it
    """

    binning: BinningRule = field(default_factory=lambda: BinningRule(max_bins=8, min_share=0.03))
    scaling: Scaling = field(default_factory=Scaling)
    least_iv: float = 0.01
    protected: bool = False


@dataclass(frozen=True, slots=True)
class FittedScorecard:
    """A scorecard with what it was made of.

    Attributes
    ----------
    card : frozen, as it is used
    binnings : of each characteristic, in the card's order
    weights, intercept : of the regression of bad on weights of evidence; each weight is below zero
    """

    card: Scorecard
    binnings: tuple[Binning, ...]
    weights: tuple[float, ...]
    intercept: float

    def probability(self, columns: Columns) -> Floats:
        """Return the chance of bad that the rounded points stand for."""
        scaling = self.card.scaling
        scores = self.card.score_columns(columns)
        return np.asarray(1 / (1 + np.exp((scores - scaling.offset) / scaling.factor)))


def bin_table(table: CreditTable, rule: ScorecardRule) -> list[Binning]:
    """Return the binning of each attribute that has information enough, most informative first."""
    found = []
    for one in table.form.attributes:
        if one.protected and not rule.protected:
            continue
        bin_ = bin_number if one.is_number else bin_category
        found.append(bin_(one.name, table.columns[one.name], table.bad, rule.binning))
    kept = [one for one in found if one.iv >= rule.least_iv]
    return sorted(kept, key=lambda one: -one.iv)


def fit_scorecard(table: CreditTable, rule: ScorecardRule, name: str) -> FittedScorecard:
    """Return the scorecard of a table.

    A characteristic whose weight would turn its evidence round is left out, the worst first, and
    the regression run again: no one loses points for what speaks for them.
    """
    from sklearn.linear_model import LogisticRegression

    binnings = bin_table(table, rule)
    while True:
        evidence = np.column_stack(
            [one.woe(table.columns[one.partition.name]) for one in binnings]
            or [np.zeros(table.rows)]
        )
        regression = LogisticRegression(C=1.0, max_iter=1000).fit(evidence, table.bad)
        weights = regression.coef_[0].tolist()[: len(binnings)]
        worst = max(range(len(weights)), key=weights.__getitem__, default=-1)
        if worst < 0 or weights[worst] < 0:
            break
        del binnings[worst]
    texts = {one.name: one for one in table.form.attributes}
    intercept = float(regression.intercept_[0])
    lines = [
        Line(
            partition=one.partition,
            woe=[bin_.woe for bin_ in one.bins],
            weight=weight,
            en=texts[one.partition.name].en,
            zh=texts[one.partition.name].zh,
        )
        for one, weight in zip(binnings, weights, strict=True)
    ]
    card = make_scorecard(name, lines, intercept=intercept, scaling=rule.scaling)
    return FittedScorecard(card, tuple(binnings), tuple(weights), intercept)


class Encoding:
    """Columns as a matrix: numbers as they are, one column of 0 and 1 for each level seen.

    Parameters
    ----------
    table : whose columns
    protected : whether protected attributes are among them
    """

    def __init__(self, table: CreditTable, *, protected: bool = True) -> None:
        self._levels: dict[str, Sequence[str] | None] = {}
        self.names: list[str] = []
        for one in table.form.attributes:
            if one.protected and not protected:
                continue
            column = table.columns[one.name]
            levels = None if one.is_number else sorted({text for text in column if text})
            self._levels[one.name] = levels
            self.names += [one.name] if levels is None else [f"{one.name}={x}" for x in levels]

    def matrix(self, columns: Columns) -> Floats:
        """Return shape (rows, names), NaN is missing."""
        parts: list[Floats] = []
        for name, levels in self._levels.items():
            column = columns[name]
            if levels is None:
                parts.append(column.astype(np.float64))
            else:
                parts += [(column == level).astype(np.float64) for level in levels]
        return np.column_stack(parts)


def fit_logistic(matrix: Floats, bad: NDArray[np.bool_], inputs: ModelInputs, name: str,
                 inverse_penalty: float = 1.0) -> LogisticModel:  # fmt: skip
    """Return a logistic regression of standardised inputs, missing ones at their means."""
    from sklearn.linear_model import LogisticRegression

    means = np.nanmean(matrix, axis=0)
    scales = np.nanstd(matrix, axis=0)
    scales[~(scales > 0)] = 1.0
    standard = np.nan_to_num((matrix - means) / scales)
    regression = LogisticRegression(C=inverse_penalty, max_iter=2000).fit(standard, bad)
    return LogisticModel(
        name=name,
        version=1,
        inputs=inputs,
        coefficients=tuple(regression.coef_[0].tolist()),
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        intercept=float(regression.intercept_[0]),
    )


@dataclass(frozen=True, slots=True)
class BoostingRule:
    """How LightGBM boosts; small steps and small trees, which credit data likes."""

    rounds: int = 150
    leaves: int = 7
    rate: float = 0.05
    least_rows: int = 30
    feature_share: float = 0.5
    row_share: float = 0.8
    l2: float = 5.0

    def params(self, seed: int) -> dict[str, Any]:
        """Return LightGBM's parameters, for one thread and the same trees each time."""
        return {
            "objective": "binary", "num_leaves": self.leaves, "learning_rate": self.rate,
            "min_data_in_leaf": self.least_rows, "feature_fraction": self.feature_share,
            "bagging_fraction": self.row_share, "bagging_freq": 1, "lambda_l2": self.l2,
            "seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True,
            "verbose": -1,
        }  # fmt: skip


def fit_gbm(
    matrix: Floats, bad: NDArray[np.bool_], inputs: ModelInputs, rule: BoostingRule, seed: int
) -> GbmModel:
    """Return a LightGBM model in flat form."""
    import lightgbm

    # names that LightGBM's text form cannot hold are put back afterwards
    names = [f"c{n}" for n in range(len(inputs.names))]
    data = lightgbm.Dataset(matrix, bad.astype(np.int8), feature_name=names)
    booster = lightgbm.train(rule.params(seed), data, rule.rounds)
    text = booster.model_to_string().replace(
        "feature_names=" + " ".join(names), "feature_names=" + " ".join(inputs.names)
    )
    return GbmModel("lightgbm", 1, inputs, text)


def peers(seed: int) -> dict[str, Callable[[CreditTable], Predict]]:
    """Return how each model is fitted that a scorecard is compared with, by its name."""
    return {
        "logistic regression": _logistic,
        "random forest": lambda table: _forest(table, seed),
        "LightGBM": lambda table: gbm_of(table, seed)[1],
    }


def _logistic(table: CreditTable) -> Predict:
    encoding = Encoding(table)
    model = fit_logistic(encoding.matrix(table.columns), table.bad, _inputs(encoding), "logistic")
    return lambda columns: model.probabilities(encoding.matrix(columns))


def _forest(table: CreditTable, seed: int) -> Predict:
    from sklearn.ensemble import RandomForestClassifier

    encoding = Encoding(table)
    forest = RandomForestClassifier(200, min_samples_leaf=8, random_state=seed, n_jobs=1)
    forest.fit(encoding.matrix(table.columns), table.bad)
    return lambda columns: np.asarray(forest.predict_proba(encoding.matrix(columns))[:, 1])


def gbm_of(table: CreditTable, seed: int, *, protected: bool = True) -> tuple[GbmModel, Predict]:
    """Return LightGBM on a table's encoding, in flat form and as a function of columns."""
    from steelyard.decisions.model.gbm import open_scorer

    encoding = Encoding(table, protected=protected)
    matrix = encoding.matrix(table.columns)
    model = fit_gbm(matrix, table.bad, _inputs(encoding), BoostingRule(), seed)
    scorer = open_scorer(model)
    return model, lambda columns: scorer.probabilities(encoding.matrix(columns))


def _inputs(encoding: Encoding) -> ModelInputs:
    return ModelInputs(tuple(encoding.names), (FIELD,) * len(encoding.names))
