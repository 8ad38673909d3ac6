"""How well a score tells bad from good: discrimination, calibration, stability, fairness.

Everywhere `bad` is a flag for each row, and a higher score means more risk. A score is never NaN.
Undefined is None, never zero: an AUC where one class is missing, a rate of nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def auc(bad: Flags, score: Floats) -> float | None:
    """Return the chance that a bad row scores above a good one, ties counting half.

    Examples
    --------
    >>> auc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    bads = int(bad.sum())
    goods = len(bad) - bads
    if not bads or not goods:
        return None
    # Twice the mid-rank is whole, so that the sum is exact.
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    twice_ranks = (2 * ends - counts + 1)[place]
    wins = int(twice_ranks[bad].sum()) - bads * (bads + 1)
    return wins / (2 * bads * goods)


def gini(bad: Flags, score: Floats) -> float | None:
    """Return 2 AUC - 1."""
    found = auc(bad, score)
    return None if found is None else 2 * found - 1


def average_precision(bad: Flags, score: Floats) -> float | None:
    """Return the sum over thresholds of precision x gain in recall; rows that tie come together.

    No interpolation: the step form of Manning, Raghavan and Schuetze, 2008, chapter 8.
    """
    if not bad.any():
        return None
    hits, seen = _by_threshold(bad, score)
    gains = np.diff(hits, prepend=0)
    return float((gains / hits[-1] * (hits / seen)).sum())


def ks(bad: Flags, score: Floats) -> float | None:
    """Return the greatest distance between the two cumulative shares (Kolmogorov, Smirnov)."""
    hits, seen = _by_threshold(bad, score)
    if not len(bad) or not hits[-1] or hits[-1] == seen[-1]:
        return None
    false_alarms = seen - hits
    return float(np.abs(hits / hits[-1] - false_alarms / false_alarms[-1]).max())


def roc_curve(bad: Flags, score: Floats) -> tuple[Floats, Floats]:
    """Return false-positive and true-positive shares, from (0, 0), threshold falling."""
    hits, seen = _by_threshold(bad, score)
    false_alarms = seen - hits
    fall_out = np.concatenate([[0.0], false_alarms / max(1, int(false_alarms[-1]))])
    return fall_out, np.concatenate([[0.0], hits / max(1, int(hits[-1]))])


def pr_curve(bad: Flags, score: Floats) -> tuple[Floats, Floats]:
    """Return recall and precision, threshold falling."""
    hits, seen = _by_threshold(bad, score)
    return hits / max(1, int(hits[-1])), hits / seen


def _by_threshold(bad: Flags, score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return bads and rows at or above each different score, the highest score first."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if len(ranked) else np.array([0])
    hits = np.cumsum(bad[order], dtype=np.int64)
    return (hits[last], last + 1) if len(ranked) else (last, last)


def precision_at(bad: Flags, score: Floats, k: int) -> float | None:
    """Return the share of bads among the k highest scores; of a tie the earlier rows are taken."""
    if not len(bad) or k < 1:
        return None
    top = np.argsort(-score, kind="stable")[:k]
    return float(bad[top].sum()) / len(top)


@dataclass(frozen=True, slots=True)
class CardPrecision:
    """Card precision at k, day by day.

    Attributes
    ----------
    mean : over the days, each day's share of compromised cards among the k riskiest
    by_day : the share of each day
    compromised : how many compromised cards there were to find, each day
    """

    mean: float
    by_day: tuple[float, ...]
    compromised: tuple[int, ...]


def card_precision_at(
    bad: Flags, score: Floats, *, card: NDArray[Any], day: NDArray[np.int64], k: int = 100
) -> CardPrecision | None:
    """Return how many of the k cards examined each day are compromised, as a share of k.

    A card's score is the highest of its transactions of the day, and it is compromised when one of
    them is bad. Cards found are blocked: the following days leave them out. Of cards that tie the
    one with the smaller id is taken. The divisor is k even on a day with fewer cards.
    (Fraud Detection Handbook, Le Borgne et al., chapter 4: precision top-k metrics.)
    """
    shares: list[float] = []
    compromised: list[int] = []
    found: NDArray[Any] = card[:0]
    for one in np.unique(day):
        rows = (day == one) & ~np.isin(card, found)
        cards, place = np.unique(card[rows], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, place, score[rows])
        is_bad = np.zeros(len(cards), dtype=bool)
        np.logical_or.at(is_bad, place, bad[rows])
        top = np.argsort(-highest, kind="stable")[:k]
        hits = top[is_bad[top]]
        found = np.concatenate([found, cards[hits]])
        shares.append(len(hits) / k)
        compromised.append(int(is_bad.sum()))
    if not shares:
        return None
    return CardPrecision(sum(shares) / len(shares), tuple(shares), tuple(compromised))


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """Rows of like probability: how many, their mean probability, their share of bads."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether probabilities are what they say.

    Attributes
    ----------
    brier : mean squared distance of probability and outcome
    expected_error : mean distance of predicted and observed over the points, weighted by rows
    curve : the points, predicted rising
    """

    brier: float
    expected_error: float
    curve: tuple[CalibrationPoint, ...]


def calibration(bad: Flags, probability: Floats, bins: int = 10) -> Calibration | None:
    """Return Brier score, expected calibration error and curve, over bins of equal width.

    Bin i holds probabilities in [i / bins, (i + 1) / bins), the last one 1 as well; empty bins are
    left out.
    """
    if not len(bad):
        return None
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    points = []
    for n in range(bins):
        rows = place == n
        count = int(rows.sum())
        if count:
            points.append(
                CalibrationPoint(count, float(probability[rows].mean()), float(bad[rows].mean()))
            )
    error = sum(one.rows * abs(one.predicted - one.observed) for one in points) / len(bad)
    return Calibration(float(np.mean((probability - bad) ** 2)), error, tuple(points))


def psi(expected: Sequence[float], actual: Sequence[float], floor: float = 1e-4) -> float:
    """Return the population stability index of two distributions over the same bins.

    The sum of (actual - expected) x ln(actual / expected) over shares; a share below `floor` is
    taken as `floor`. Under 0.1 stable, over 0.25 shifted (Siddiqi, 2006).

    Parameters
    ----------
    expected, actual : counts or shares of each bin

    Examples
    --------
    >>> round(psi([10, 20, 30, 25, 15], [12, 18, 25, 27, 18]), 6)
    0.021879
    """
    total = 0.0
    for before, after in zip(_shares(expected), _shares(actual), strict=True):
        one, two = max(before, floor), max(after, floor)
        total += (two - one) * log(two / one)
    return total


def score_psi(expected: Floats, actual: Floats, bins: int = 10) -> float:
    """Return the PSI of a score over quantiles of the expected one; edges that tie are joined."""
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        for values in (expected, actual)
    ]
    return psi(counts[0].tolist(), counts[1].tolist())


@dataclass(frozen=True, slots=True)
class CharacteristicStability:
    """How a characteristic moved: PSI over its bins, and the points that the mean score moved.

    `score_shift` is None for an input of a model without points.
    """

    name: str
    csi: float
    score_shift: float | None


def csi(
    name: str, expected: Sequence[float], actual: Sequence[float], points: Sequence[float]
) -> CharacteristicStability:
    """Return the stability of one characteristic.

    Parameters
    ----------
    expected, actual : rows in each bin, then and now
    points : of each bin; the shift is the sum of (actual share - expected share) x points
    """
    shift = sum(
        (after - before) * worth
        for before, after, worth in zip(_shares(expected), _shares(actual), points, strict=True)
    )
    return CharacteristicStability(name, psi(expected, actual), shift)


def input_csi(name: str, expected: Floats, actual: Floats) -> CharacteristicStability:
    """Return the stability of an input of a model over tenths of what it was; it has no points.

    Parameters
    ----------
    expected, actual : values then and now, NaN is missing and a bin of its own
    """
    known = expected[~np.isnan(expected)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1])) if len(known) else known
    counts = []
    for values in (expected, actual):
        place = np.searchsorted(edges, values, side="right")
        place[np.isnan(values)] = len(edges) + 1
        counts.append(np.bincount(place, minlength=len(edges) + 2).tolist())
    return CharacteristicStability(name, psi(counts[0], counts[1]), None)


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


@dataclass(frozen=True, slots=True)
class GroupCut:
    """How one group of people fares under a threshold.

    Attributes
    ----------
    group, rows, bad_rate : who, how many, what became of them
    approval_rate : share below the threshold
    approval_ratio : to the highest approval rate among the groups; under 0.8 asks for a reason
        (the four-fifths rule, 29 CFR 1607.4 D)
    good_declined : share of the goods that are declined
    bad_approved : share of the bads that are approved
    auc : inside the group
    """

    group: str | int
    rows: int
    bad_rate: float
    approval_rate: float
    approval_ratio: float | None
    good_declined: float | None
    bad_approved: float | None
    auc: float | None


def fairness(
    bad: Flags, score: Floats, *, groups: NDArray[Any], threshold: float
) -> tuple[GroupCut, ...]:
    """Return the cuts of each group, in the groups' order; a score at the threshold is declined."""
    approved = score < threshold
    names = np.unique(groups)
    rates = {name: float(approved[groups == name].mean()) for name in names.tolist()}
    highest = max(rates.values(), default=0.0)
    cuts = []
    for name in names.tolist():
        rows = groups == name
        goods, bads = rows & ~bad, rows & bad
        cuts.append(
            GroupCut(
                group=name,
                rows=int(rows.sum()),
                bad_rate=float(bad[rows].mean()),
                approval_rate=rates[name],
                approval_ratio=rates[name] / highest if highest else None,
                good_declined=_mean(~approved[goods]),
                bad_approved=_mean(approved[bads]),
                auc=auc(bad[rows], score[rows]),
            )
        )
    return tuple(cuts)


def _mean(flags: Flags) -> float | None:
    return float(flags.mean()) if len(flags) else None
