"""Intervals of what cross-validation measured, its folds not being independent."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over folds and its 95 % interval."""

    mean: float
    low: float
    high: float


def corrected_interval(values: Sequence[float], folds: int) -> Interval:
    """Return the mean of a figure over folds with the interval of the corrected resampled t.

    The variance of the mean is ``(1/n + 1/(folds - 1)) s^2``, not ``s^2/n``: the training rows of
    two folds overlap, so that repeating a cross-validation does not narrow the interval at will
    (Nadeau and Bengio, Machine Learning 52, 2003; over repeated folds: Bouckaert and Frank, 2004).

    Parameters
    ----------
    values : of every fold of every repeat, two at least; of two models, their differences
    folds : into how many the rows were cut, so that 1/(folds - 1) rows are held out for each seen

    Examples
    --------
    >>> told = corrected_interval([0.02, -0.01, 0.03, 0.0], folds=4)
    >>> round(told.mean, 3), round(told.low, 3), round(told.high, 3)
    (0.01, -0.034, 0.054)
    """
    from scipy.stats import t

    count = len(values)
    assert count >= 2, "one fold has no deviation"
    mean = statistics.fmean(values)
    deviation = statistics.stdev(values)
    half = float(t.ppf(0.975, count - 1)) * deviation * sqrt(1 / count + 1 / (folds - 1))
    return Interval(mean, mean - half, mean + half)
