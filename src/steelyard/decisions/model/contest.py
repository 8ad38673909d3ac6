"""A model beside the one in use, on the same rows, with an interval for the difference."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.metrics import average_precision

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_Z = 1.959963984540054
"""Of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A challenger beside the champion.

    Attributes
    ----------
    champion, champion_hash : `name@version` of the model in use, and its content hash
    rows, bad : what both were asked
    champion_saw : the champion was trained on data with these rows, which flatters it
    auc, champion_auc : of both
    low, high : 95 % interval of challenger minus champion in AUC
    average_precision, champion_average_precision : of both
    """

    champion: str
    champion_hash: str
    rows: int
    bad: int
    champion_saw: bool
    auc: float
    champion_auc: float
    low: float
    high: float
    average_precision: float
    champion_average_precision: float

    def to_markdown(self) -> str:
        """Return it as a paragraph and a table."""
        lines = [
            f"On the same {self.rows:,} rows, {self.bad:,} bad. The difference in AUC is"
            f" {self.auc - self.champion_auc:+.4f}, 95 % between {self.low:+.4f} and"
            f" {self.high:+.4f} (DeLong).",
            "",
            "| model | AUC | average precision |",
            "| --- | --- | --- |",
            f"| this one | {self.auc:.4f} | {self.average_precision:.4f} |",
            f"| {self.champion}, in use | {self.champion_auc:.4f} |"
            f" {self.champion_average_precision:.4f} |",
        ]
        if self.champion_saw:
            lines += ["", "The model in use was trained on the same data, which flatters it."]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Difference:
    """The AUC of two scores on the same rows, and an interval of the first minus the second."""

    first: float
    second: float
    low: float
    high: float


def auc_difference(bad: Flags, first: Floats, second: Floats) -> Difference | None:
    """Return the AUC of two scores with the 95 % interval of their difference.

    Parameters
    ----------
    bad, first, second : outcome and scores, shape (n,), no NaN

    Returns
    -------
    Difference
        None with fewer than two bads or goods. The interval is that of DeLong, DeLong and
        Clarke-Pearson, Biometrics 44, 1988, computed over mid-ranks (Sun and Xu, IEEE Signal
        Processing Letters 21, 2014).

    Examples
    --------
    >>> bad = np.array([False, False, True, True])
    >>> told = auc_difference(bad, np.array([1., 2., 3., 4.]), np.array([1., 3., 2., 4.]))
    >>> told.first, told.second, round(told.low, 6), round(told.high, 6)
    (1.0, 0.75, -0.442952, 0.942952)
    """
    bads, goods = int(bad.sum()), int((~bad).sum())
    if min(bads, goods) < 2:
        return None
    above, below = zip(_shares(bad, first), _shares(bad, second), strict=True)
    variance = float(
        np.var(above[0] - above[1], ddof=1) / bads + np.var(below[0] - below[1], ddof=1) / goods
    )
    areas = [float(share.mean()) for share in above]
    middle, half = areas[0] - areas[1], _Z * sqrt(variance)
    return Difference(areas[0], areas[1], middle - half, middle + half)


def _shares(bad: Flags, score: Floats) -> tuple[Floats, Floats]:
    """Return, of each bad, the share of goods that score lower; of each good, of bads higher."""
    ranks = _mid_ranks(score)
    bads, goods = score[bad], score[~bad]
    return (
        (ranks[bad] - _mid_ranks(bads)) / len(goods),
        1 - (ranks[~bad] - _mid_ranks(goods)) / len(bads),
    )


def _mid_ranks(score: Floats) -> Floats:
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place])


def contest(
    bad: Flags, score: Floats, champion_score: Floats, *, champion: tuple[str, str], saw: bool
) -> Contest | None:
    """Return how a model stands beside the one in use; None where rows are too few to tell.

    Parameters
    ----------
    bad, score, champion_score : outcome and what both said, shape (n,)
    champion : its `name@version` and content hash
    saw : whether it was trained on data with these rows
    """
    told = auc_difference(bad, score, champion_score)
    if told is None:
        return None
    ours, theirs = average_precision(bad, score), average_precision(bad, champion_score)
    assert ours is not None, "there are bads"
    assert theirs is not None
    return Contest(
        champion=champion[0],
        champion_hash=champion[1],
        rows=len(bad),
        bad=int(bad.sum()),
        champion_saw=saw,
        auc=told.first,
        champion_auc=told.second,
        low=told.low,
        high=told.high,
        average_precision=ours,
        champion_average_precision=theirs,
    )
