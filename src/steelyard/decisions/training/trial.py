"""The Handbook's table: models chosen on earlier weeks, the test week run once, five seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.gbm import GbmModel, open_scorer
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.metrics import auc, average_precision, card_precision_at
from steelyard.decisions.training.fit import BoostingRule, fit_gbm, fit_logistic
from steelyard.decisions.training.handbook import (
    PUBLISHED_INPUTS,
    TRAIN_ON,
    Progress,
    Split,
    Streamed,
    inputs_of,
    read_transactions,
    split,
    stream,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
FlatModel = GbmModel | LogisticModel


class Fitted(NamedTuple):
    """What fitting made: a function of a matrix, and the model in flat form where it has one."""

    predict: Callable[[Floats], Floats]
    model: FlatModel | None


Fit = Callable[[Floats, Flags, tuple[str, ...], int], Fitted]
"""From a matrix, the outcome, the names of its columns and a seed."""

SEEDS = (0, 1, 2, 3, 4)
TRIAL_ON = tuple(date(2018, 7, 4) - timedelta(weeks=n) for n in (2, 1, 0))
"""First days of the training weeks on which models are chosen; the last test day is 2018-07-24."""
END_ON = TRAIN_ON + timedelta(days=21)
"""The day after the last one tested."""
assert TRIAL_ON[-1] + timedelta(days=21) <= TRAIN_ON, "the choice must not see the published weeks"

PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "logistic regression": (0.871, 0.606, 0.291),
    "random forest": (0.867, 0.658, 0.287),
    "LightGBM": (0.862, 0.639, 0.273),
}
"""AUC, average precision and card precision@100 of the Handbook; beside LightGBM its XGBoost."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one model reached on one test week."""

    auc: float
    average_precision: float
    card_precision: float


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table.

    Attributes
    ----------
    model, inputs : which model, on which inputs (`published 15`, `ours N`)
    chosen : settings that the earlier weeks chose
    trial : its mean average precision on those weeks
    scores : of the test week, one for each seed
    published : of the Handbook; None where it has no such row
    """

    model: str
    inputs: str
    chosen: str
    trial: float
    scores: tuple[Score, ...]
    published: tuple[float, float, float] | None

    def values(self, metric: str) -> list[float]:
        """Return a metric of every seed."""
        return [float(getattr(one, metric)) for one in self.scores]

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the seeds."""
        return statistics.fmean(self.values(metric))

    def deviation(self, metric: str) -> float:
        """Return its standard deviation over the seeds."""
        found = self.values(metric)
        return statistics.stdev(found) if len(found) > 1 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The table, and what the plots need.

    Attributes
    ----------
    lines : the rows
    train_rows, test_rows, test_bad : sizes of the published weeks
    bad : outcome of the test rows
    probabilities : of the first seed, by `model, inputs`
    models : of the first seed, in flat form, by the same names; forests have none
    weeks : rows of the published weeks
    """

    lines: tuple[Line, ...]
    train_rows: int
    test_rows: int
    test_bad: int
    bad: Flags
    probabilities: Mapping[str, Floats]
    models: Mapping[str, FlatModel]
    weeks: Split

    def best(self) -> str:
        """Return the model in flat form on our own inputs that did best on the earlier weeks."""
        tried = {f"{one.model}, {one.inputs}": one for one in self.lines if one.published is None}
        return max(tried.keys() & self.models.keys(), key=lambda name: (tried[name].trial, name))


def candidates() -> dict[str, dict[str, Fit]]:
    """Return the settings that are tried, by model."""
    return {
        "logistic regression": {f"C={strength:g}": _logistic(strength) for strength in (1.0, 0.1)},
        "random forest": {f"100 trees, leaf {leaf}": _forest(leaf) for leaf in (1, 3)},
        "LightGBM": {
            f"{rule.rounds} trees, {rule.leaves} leaves, rate {rule.rate:g}": _boosting(rule)
            for rule in (
                BoostingRule(100, 15, 0.05, 50, 0.7, 0.7, 5.0),
                BoostingRule(200, 7, 0.05, 50, 0.7, 0.7, 5.0),
                BoostingRule(200, 15, 0.02, 30, 0.5, 0.5, 10.0),
            )
        },
    }


def run_handbook(folder: Path, progress: Progress | None = None) -> tuple[Streamed, Trial]:
    """Return what the engine answered to a folder's payments, and the table made of it.

    Raises
    ------
    HandbookIsMissing, HandbookIsTooShort
    """
    rows = stream(read_transactions(folder), min(TRIAL_ON), END_ON, progress)
    return rows, run_trial(rows, progress=progress)


def run_trial(
    rows: Streamed, seeds: tuple[int, ...] = SEEDS, progress: Progress | None = None
) -> Trial:
    """Choose on the earlier weeks, then run the test week once with every seed."""
    tell = progress or (lambda *_: None)
    ours = tuple(rows.names)
    sets = {"published 15": PUBLISHED_INPUTS, f"ours {len(ours)}": ours}
    tried = candidates()
    total = len(sets) * sum(
        len(settings) * len(TRIAL_ON) + len(seeds) for settings in tried.values()
    )
    done = 0
    published = split(rows, TRAIN_ON)
    lines = []
    probabilities: dict[str, Floats] = {}
    models: dict[str, FlatModel] = {}
    for set_name, names in sets.items():
        matrix = _matrix(rows, names)
        for model, settings in tried.items():
            reached = {}
            for setting, fit in settings.items():
                parts = [_evaluate(rows, matrix, names, (split(rows, on), fit, 0))[0]
                         for on in TRIAL_ON]  # fmt: skip
                reached[setting] = statistics.fmean(one.average_precision for one in parts)
                done += len(TRIAL_ON)
                tell("models", done, total)
            chosen = max(reached, key=reached.__getitem__)
            scores = []
            for seed in seeds:
                how = (published, settings[chosen], seed)
                score, found, flat = _evaluate(rows, matrix, names, how)
                probabilities.setdefault(f"{model}, {set_name}", found)
                if flat is not None:
                    models.setdefault(f"{model}, {set_name}", flat)
                scores.append(score)
                done += 1
                tell("models", done, total)
            theirs = PUBLISHED[model] if set_name == "published 15" else None
            lines.append(Line(model, set_name, chosen, reached[chosen], tuple(scores), theirs))
    bad = rows.bad[published.test]
    return Trial(
        tuple(lines), len(published.train), len(published.test), int(bad.sum()), bad,
        probabilities, models, published,
    )  # fmt: skip


def _matrix(rows: Streamed, names: tuple[str, ...]) -> Floats:
    """Return the inputs; the Handbook's own are as it has them, a share of nothing being 0."""
    matrix = rows.columns(names)
    return np.nan_to_num(matrix) if names == PUBLISHED_INPUTS else matrix


def _evaluate(
    rows: Streamed, matrix: Floats, names: tuple[str, ...], how: tuple[Split, Fit, int]
) -> tuple[Score, Floats, FlatModel | None]:
    weeks, fit, seed = how
    fitted = fit(matrix[weeks.train], rows.bad[weeks.train], names, seed)
    found = fitted.predict(matrix[weeks.test])
    bad = rows.bad[weeks.test]
    cards = card_precision_at(
        bad, found, card=rows.customer[weeks.test], day=rows.day[weeks.test], k=100
    )
    area, precision = auc(bad, found), average_precision(bad, found)
    assert area is not None, "a test week without fraud tells nothing"
    assert precision is not None
    assert cards is not None
    return Score(area, precision, cards.mean), found, fitted.model


def _logistic(inverse_penalty: float) -> Fit:
    def fit(matrix: Floats, bad: Flags, names: tuple[str, ...], _seed: int) -> Fitted:
        model = fit_logistic(matrix, bad, inputs_of(names), "logistic", inverse_penalty)
        return Fitted(model.probabilities, model)

    return fit


def _forest(leaf: int) -> Fit:
    def fit(matrix: Floats, bad: Flags, _names: tuple[str, ...], seed: int) -> Fitted:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            100, min_samples_leaf=leaf, random_state=seed, n_jobs=-1
        ).fit(matrix, bad)
        return Fitted(lambda other: forest.predict_proba(other)[:, 1], None)

    return fit


def _boosting(rule: BoostingRule) -> Fit:
    def fit(matrix: Floats, bad: Flags, names: tuple[str, ...], seed: int) -> Fitted:
        model = fit_gbm(matrix, bad, inputs_of(names), rule, seed)
        return Fitted(open_scorer(model).probabilities, model)

    return fit
