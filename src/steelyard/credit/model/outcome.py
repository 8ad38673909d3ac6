"""What becomes of loans that were never made: an outcome model, and how far it can be wrong.

A history shows the outcome of what was lent, and of nothing else. What another strategy would lend
beyond it is judged by a model that is fitted on the accepted. That identifies the rejected only
under an assumption: given what the model sees, acceptance says nothing more about the outcome
(selection on observables). Nothing in the data can prove it. So every figure that rests on it
carries a bound: the odds of going bad of each loan that was not made are taken as up to `odds`
times higher, or lower, than those of an accepted one that looks the same (the sensitivity analysis
of Rosenbaum, Observational Studies, 2002, chapter 4, for one side of a selection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.credit.model.risk_refusals import HistoryIsTooShort

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_BAD: Final = 20
"""Of each outcome; a model of fewer says nothing."""
_RIDGE: Final = 1.0
_STEPS: Final = 50
_CLOSE: Final = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeModel:
    """A logistic regression on standardised covariates.

    Attributes
    ----------
    names : of the covariates
    mean, scale, coefficients : float64 (k,)
    intercept : ln odds of bad at the means
    fitted_on, bad : loans with a known outcome, and the bad among them
    low, high : float64 (k,), range of each covariate among them
    auc : on the same loans; too good by a little, for there is no other sample
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    coefficients: Floats
    intercept: float
    fitted_on: int
    bad: int
    low: Floats
    high: Floats
    auc: float

    def probability(self, covariates: Floats, odds: float = 1.0) -> Floats:
        """Return the probability of bad of each application, its odds multiplied.

        Parameters
        ----------
        covariates : (n, k)
        odds : above 0

        Returns
        -------
        ndarray
            float64 (n,), rising in `odds`.
        """
        assert odds > 0, odds
        leaning = self.intercept + ((covariates - self.mean) / self.scale) @ self.coefficients
        made: Floats = _logistic(leaning + np.log(odds))
        return made

    def is_beyond(self, covariates: Floats) -> Flags:
        """Return where a covariate lies outside what was ever accepted: there it extrapolates."""
        outside = (covariates < self.low) | (covariates > self.high)
        return np.asarray(outside.any(axis=1), np.bool_)


def fit(names: Sequence[str], covariates: Floats, bad: Flags) -> OutcomeModel:
    """Return the outcome model of loans whose outcome is known.

    The fit is that of maximum likelihood with a ridge of one observation on the standardised
    coefficients, by Newton's method.

    Parameters
    ----------
    covariates : (n, k), finite
    bad : (n,)

    Refusals
    --------
    history_is_too_short : fewer than `LEAST_BAD` bad, or good, loans
    """
    for found, what in ((int(bad.sum()), "bad loans"), (int((~bad).sum()), "good loans")):
        if found < LEAST_BAD:
            raise HistoryIsTooShort(found=found, what=what, least=LEAST_BAD)
    mean = covariates.mean(axis=0)
    scale = covariates.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    rows = np.column_stack([np.ones(len(bad)), (covariates - mean) / scale])
    penalty = np.diag([0.0, *[_RIDGE] * covariates.shape[1]])
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        chance = _logistic(rows @ weights)
        slope = rows.T @ (bad - chance) - penalty @ weights
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curve, slope)
        weights += step
        if np.abs(step).max() < _CLOSE:
            break
    return OutcomeModel(
        tuple(names),
        mean,
        scale,
        weights[1:],
        float(weights[0]),
        len(bad),
        int(bad.sum()),
        covariates.min(axis=0),
        covariates.max(axis=0),
        _auc(bad, rows @ weights),
    )


def _logistic(leaning: Floats) -> Floats:
    made: Floats = 0.5 * (1 + np.tanh(leaning / 2))
    return made


def _auc(bad: Flags, score: Floats) -> float:
    """Return the chance that a bad loan scores higher than a good one; ties count a half."""
    _, rank, many = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(many) - (many - 1) / 2
    bads = int(bad.sum())
    above = float(middle[rank][bad].sum()) - bads * (bads + 1) / 2
    return above / (bads * (len(bad) - bads))
