"""The card of a model of the Handbook's trial: trained on its week, measured on its test week."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.card import Comparison, DataUsed, ModelCard
from steelyard.decisions.model.gbm import GbmModel, open_scorer
from steelyard.decisions.model.metrics import (
    auc,
    average_precision,
    calibration,
    input_csi,
    ks,
    score_psi,
)
from steelyard.decisions.training.champion import Champion
from steelyard.decisions.training.handbook import TRAIN_ON, Streamed
from steelyard.decisions.training.pipeline import LIBRARIES
from steelyard.decisions.training.trial import SEEDS, FlatModel, Trial

_DECLINED = 0.01
"""Share of payments that the threshold of the card stops."""


def trial_card(
    rows: Streamed, trial: Trial, name: str, *, by: str, champion: Champion | None
) -> tuple[FlatModel, ModelCard]:
    """Return a model of the trial with its card.

    Parameters
    ----------
    rows, trial : what `run_handbook` gave
    name : `model, inputs`, one of those in flat form
    by : who trained it
    champion : the model in use, asked about the same test week

    Returns
    -------
    tuple
        The card compares every model of the trial on the test week, first seed. There are no
        fairness cuts: the payments say nothing about people.
    """
    model, probability = trial.models[name], trial.probabilities[name]
    weeks = trial.weeks
    matrix = rows.columns(model.inputs.names)
    scorer = open_scorer(model) if isinstance(model, GbmModel) else model
    trained = scorer.probabilities(matrix[weeks.train])
    calibrated = calibration(trial.bad, probability)
    assert calibrated is not None, "there are rows"
    line = next(one for one in trial.lines if f"{one.model}, {one.inputs}" == name)
    card = ModelCard(
        model=model.name,
        version=model.version,
        kind=line.model,
        content_hash=model.content_hash,
        data=DataUsed(
            name="Fraud Detection Handbook, a week",
            digest=_digest(rows, weeks.train),
            rows=len(weeks.train),
            bad=int(rows.bad[weeks.train].sum()),
            inputs=model.inputs.names,
            left_out=(),
        ),
        how=f"Trained on the week from {TRAIN_ON}, settings ({line.chosen}) chosen on weeks before"
        f" it; figures from the {trial.test_rows:,} payments of the test week.",
        metrics=_metrics(trial, name),
        calibration=calibrated,
        fairness={},
        declined_share=_DECLINED,
        threshold=float(np.quantile(probability, 1 - _DECLINED)),
        score_psi=score_psi(trained, probability),
        csi=tuple(
            input_csi(one, matrix[weeks.train, n], matrix[weeks.test, n])
            for n, one in enumerate(model.inputs.names)
        ),
        comparisons=tuple(_comparison(trial, one) for one in trial.probabilities),
        libraries={library: version(library) for library in LIBRARIES},
        seed=SEEDS[0],
        trained_by=by,
        contest=None
        if champion is None
        else champion.against(
            _test_columns(rows, trial), trial.bad, probability, _digest(rows, weeks.test)
        ),
    )
    return model, card


def _metrics(trial: Trial, name: str) -> dict[str, float]:
    line = next(one for one in trial.lines if f"{one.model}, {one.inputs}" == name)
    found = {
        "AUC": auc(trial.bad, trial.probabilities[name]),
        "KS": ks(trial.bad, trial.probabilities[name]),
        "average precision": average_precision(trial.bad, trial.probabilities[name]),
        "card precision at 100": line.scores[0].card_precision,
    }
    return {one: value for one, value in found.items() if value is not None}


def _comparison(trial: Trial, name: str) -> Comparison:
    line = next(one for one in trial.lines if f"{one.model}, {one.inputs}" == name)
    published = None if line.published is None else line.published[0]
    return Comparison(name, line.mean("auc"), line.deviation("auc"), published)


def _digest(rows: Streamed, which: NDArray[np.int64]) -> str:
    """Return the SHA-256 of some rows, with every input and the outcome."""
    parts = (rows.matrix[which], rows.bad[which])
    return sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in parts)).hexdigest()


def _test_columns(rows: Streamed, trial: Trial) -> Mapping[str, NDArray[np.float64]]:
    return {name: rows.matrix[trial.weeks.test, n] for n, name in enumerate(rows.names)}
