"""From a credit data set to a comparison, a frozen scorecard, a model, and a card for each.

Both commands, `risk train` and `risk scorecard`, go through `train`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.card import Comparison, DataUsed, ModelCard
from steelyard.decisions.model.gbm import GbmModel
from steelyard.decisions.model.metrics import (
    CharacteristicStability,
    auc,
    average_precision,
    calibration,
    csi,
    fairness,
    gini,
    input_csi,
    ks,
    precision_at,
    score_psi,
)
from steelyard.decisions.training.champion import Champion
from steelyard.decisions.training.credit import CreditTable
from steelyard.decisions.training.fit import (
    Encoding,
    FittedScorecard,
    Predict,
    ScorecardRule,
    fit_scorecard,
    gbm_of,
    peers,
)
from steelyard.kernel import Refusal, RefusalKind

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.float64]

SCORECARD, FAIR = "WoE scorecard", "WoE scorecard, nothing protected"
GBM, FAIR_GBM = "LightGBM", "LightGBM, nothing protected"
LIBRARIES = ("steelyard", "numpy", "scikit-learn", "lightgbm")


class TooFewRows(Refusal):
    """A fold would hold no good or no bad row."""

    kind = RefusalKind.INVALID
    en = "{rows} rows with {bad} bad ones cannot be cut into {folds} folds."
    zh = "{rows} 行（其中坏样本 {bad} 行）无法划分为 {folds} 折。"


@dataclass(frozen=True, slots=True)
class TrainingRule:
    """How a data set is trained on.

    Attributes
    ----------
    scorecard : how the scorecard is made; binning runs inside each fold
    folds, repeats : of the stratified cross-validation
    seed : of folds and models
    declined_share : share of applicants the threshold of the fairness cuts declines
    compare : whether the other models are cross-validated too
    trained_by : who it is, for the cards
    champion : the model in use, with which the new ones are compared; None if there is none
    """

    scorecard: ScorecardRule
    folds: int = 5
    repeats: int = 1
    seed: int = 1
    declined_share: float = 0.2
    compare: bool = True
    trained_by: str = ""
    champion: Champion | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training made.

    Attributes
    ----------
    scorecard : on all rows
    gbm : LightGBM on all rows, in flat form; None if it was not compared. Like the scorecard it
        reads protected attributes only where the rule lets it
    cards : model cards by the name of the file they go to
    comparisons : cross-validated AUC of each model, beside the published one
    bad : outcome of each row
    held_out : of each model, each row's probability by a model that did not see it
    areas : of each model, the AUC of every fold, repeat by repeat
    """

    scorecard: FittedScorecard
    gbm: GbmModel | None
    cards: Mapping[str, ModelCard]
    comparisons: tuple[Comparison, ...]
    bad: NDArray[np.bool_]
    held_out: Mapping[str, Floats]
    areas: Mapping[str, tuple[float, ...]]


def folds(
    bad: NDArray[np.bool_], count: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield rows to train on and rows held out, the share of bads being alike in every fold."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(bad), dtype=np.int64)
    for which in (np.flatnonzero(bad), np.flatnonzero(~bad)):
        place[rng.permutation(which)] = np.arange(len(which)) % count
    for fold in range(count):
        yield np.flatnonzero(place != fold), np.flatnonzero(place == fold)


def train(table: CreditTable, rule: TrainingRule, progress: Progress | None = None) -> Trained:
    """Return a scorecard and its comparison on a data set.

    Raises
    ------
    TooFewRows : fewer goods or bads than folds
    """
    tell = progress or (lambda *_: None)
    bads = int(table.bad.sum())
    if min(bads, table.rows - bads) < 2 * rule.folds:
        raise TooFewRows(rows=table.rows, bad=bads, folds=rule.folds)
    models = _models(rule)
    total = len(models) * rule.folds * rule.repeats
    found: dict[str, list[float]] = {name: [] for name in models}
    held_out = {name: np.zeros(table.rows) for name in models}
    shifts: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in models}
    done = 0
    for repeat in range(rule.repeats):
        for inside, outside in folds(table.bad, rule.folds, rule.seed + repeat):
            seen, unseen = table.take(inside), table.take(outside)
            for name, fit in models.items():
                predict = fit(seen)
                probability = predict(unseen.columns)
                found[name].append(auc(unseen.bad, probability) or 0.0)
                if repeat == 0:
                    held_out[name][outside] = probability
                    shifts[name].append((predict(seen.columns), probability))
                done += 1
                tell("cross-validate", done, total)
    comparisons = tuple(_comparison(table, name, found[name]) for name in models)
    scorecard = fit_scorecard(table, rule.scorecard, f"{table.form.name}_scorecard")
    protected = rule.scorecard.protected
    gbm = gbm_of(table, rule.seed, protected=protected)[0] if rule.compare else None
    measured = _Measured(table, rule, comparisons, held_out, shifts)
    cards = {"scorecard": measured.card(_own(rule), scorecard)}
    if gbm is not None:
        cards["lightgbm"] = measured.card(GBM if protected else FAIR_GBM, gbm)
    areas = {name: tuple(reached) for name, reached in found.items()}
    return Trained(scorecard, gbm, cards, comparisons, table.bad, held_out, areas)


def _own(rule: TrainingRule) -> str:
    """Return the name under which the delivered scorecard is compared."""
    return SCORECARD if rule.scorecard.protected else FAIR


def _models(rule: TrainingRule) -> dict[str, Callable[[CreditTable], Predict]]:
    def scorecard(*, protected: bool) -> Callable[[CreditTable], Predict]:
        made = ScorecardRule(
            rule.scorecard.binning, rule.scorecard.scaling, rule.scorecard.least_iv, protected
        )
        return lambda table: fit_scorecard(table, made, "fold").probability

    models = {SCORECARD: scorecard(protected=True), FAIR: scorecard(protected=False)}
    if not rule.compare:
        return {_own(rule): models[_own(rule)]}
    fair = {FAIR_GBM: lambda table: gbm_of(table, rule.seed, protected=False)[1]}
    return {**models, **peers(rule.seed), **fair}


def _comparison(table: CreditTable, name: str, areas: list[float]) -> Comparison:
    deviation = statistics.stdev(areas) if len(areas) > 1 else 0.0
    return Comparison(name, statistics.fmean(areas), deviation, table.form.published.get(name))


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What cross-validation showed; `shifts` are scores of training and held-out rows, by fold."""

    table: CreditTable
    rule: TrainingRule
    comparisons: tuple[Comparison, ...]
    held_out: Mapping[str, Floats]
    shifts: Mapping[str, list[tuple[Floats, Floats]]]

    def card(self, name: str, model: FittedScorecard | GbmModel) -> ModelCard:
        table, rule, probability = self.table, self.rule, self.held_out[name]
        calibrated = calibration(table.bad, probability)
        assert calibrated is not None, "there are rows"
        threshold = float(np.quantile(probability, 1 - rule.declined_share))
        binned = " Binning runs inside each fold." if isinstance(model, FittedScorecard) else ""
        what = model.card if isinstance(model, FittedScorecard) else model
        cuts = {
            by: fairness(table.bad, probability, groups=group(table.columns), threshold=threshold)
            for by, group in table.form.groups.items()
        }
        return ModelCard(
            model=what.name,
            version=what.version,
            kind=name,
            content_hash=what.content_hash,
            data=self._data(model),
            how=f"Trained on all rows; figures from {rule.folds} stratified folds.{binned}",
            metrics=_metrics(table, probability),
            calibration=calibrated,
            fairness=cuts,
            declined_share=rule.declined_share,
            threshold=threshold,
            score_psi=statistics.fmean(score_psi(*pair) for pair in self.shifts[name]),
            csi=_stability(table, model, rule)
            if isinstance(model, FittedScorecard)
            else _input_stability(table, rule),
            comparisons=self.comparisons,
            libraries={library: version(library) for library in LIBRARIES},
            seed=rule.seed,
            trained_by=rule.trained_by,
            contest=None
            if rule.champion is None
            else rule.champion.against(table.columns, table.bad, probability, table.digest),
        )

    def _data(self, model: FittedScorecard | GbmModel) -> DataUsed:
        protected = tuple(one.name for one in self.table.form.attributes if one.protected)
        return DataUsed(
            name=self.table.form.name,
            digest=self.table.digest,
            rows=self.table.rows,
            bad=int(self.table.bad.sum()),
            inputs=model.card.names if isinstance(model, FittedScorecard) else model.inputs.names,
            left_out=() if self.rule.scorecard.protected else protected,
            protected=protected,
        )


def _metrics(table: CreditTable, probability: Floats) -> dict[str, float]:
    tenth = max(1, table.rows // 10)
    found = {
        "AUC": auc(table.bad, probability),
        "Gini": gini(table.bad, probability),
        "KS": ks(table.bad, probability),
        "average precision": average_precision(table.bad, probability),
        "precision of the riskiest tenth": precision_at(table.bad, probability, tenth),
    }
    return {name: value for name, value in found.items() if value is not None}


def _stability(
    table: CreditTable, model: FittedScorecard, rule: TrainingRule
) -> tuple[CharacteristicStability, ...]:
    """Return how the characteristics differ between the rows of the first fold and the others."""
    inside, outside = next(folds(table.bad, rule.folds, rule.seed))
    found = []
    for one in model.card.characteristics:
        index = one.partition.indices(table.columns[one.partition.name])
        counts = [
            np.bincount(index[rows], minlength=one.partition.size).tolist()
            for rows in (inside, outside)
        ]
        found.append(csi(one.partition.name, counts[0], counts[1], one.points))
    return tuple(found)


def _input_stability(table: CreditTable, rule: TrainingRule) -> tuple[CharacteristicStability, ...]:
    """Return the same for the inputs of a flat model, which have no points."""
    inside, outside = next(folds(table.bad, rule.folds, rule.seed))
    encoding = Encoding(table, protected=rule.scorecard.protected)
    matrix = encoding.matrix(table.columns)
    return tuple(
        input_csi(name, matrix[inside, n], matrix[outside, n])
        for n, name in enumerate(encoding.names)
    )
