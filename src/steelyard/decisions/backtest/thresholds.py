"""Thresholds of the score, chosen on the earlier part of a past and tried on the later one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from steelyard.decisions.backtest.past import WHOLE_BP
from steelyard.decisions.model.tradeoff import (
    Costs,
    Curve,
    History,
    Point,
    cheapest,
    cost_curve,
    pareto_policies,
)

STEPS_OF_ALL, STEPS_OF_BAD = 16, 32
"""Thresholds tried: at even shares of all events, and of the bad ones, where it matters."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Two thresholds: what they cost where they were chosen, and what on days not looked at.

    Attributes
    ----------
    chosen, tested : of the two parts; the thresholds are the same
    chosen_disturbed, tested_disturbed : share of the good events declined or reviewed
    """

    chosen: Point
    tested: Point
    chosen_disturbed: float | None
    tested_disturbed: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """The cost curve of the earlier part, and its Pareto set tried on the later part.

    Attributes
    ----------
    curve : declining alone, on the part that chooses; cheapest_at : its lowest cost's threshold
    front : by loss where they were chosen, ascending
    cheapest : place in `front` of the lowest cost where they were chosen
    within : place of the least loss where at most `most_disturbed` of the good are disturbed; None
        if no point of the front is
    """

    curve: Curve
    cheapest_at: float
    front: tuple[Tried, ...]
    cheapest: int
    within: int | None
    most_disturbed: float


def try_thresholds(
    choosing: History, testing: History, costs: Costs, *, most_disturbed: float = 0.01
) -> Thresholds:
    """Return the thresholds that the earlier part chooses, with their cost on the later part.

    Parameters
    ----------
    most_disturbed : share of the good events that may be declined or reviewed
    """
    curve = cost_curve(choosing, costs)
    front = tuple(
        Tried(
            point,
            point_at(testing, costs, review_at=point.review_at, decline_at=point.decline_at),
            _disturbed(choosing, point.review_at),
            _disturbed(testing, point.review_at),
        )
        for point in pareto_policies(_on_grid(choosing), costs, steps=0)
    )
    fits = [n for n, one in enumerate(front) if (one.chosen_disturbed or 0) <= most_disturbed]
    return Thresholds(
        curve,
        float(curve.threshold[cheapest(curve)]),
        front,
        min(range(len(front)), key=lambda n: front[n].chosen.cost_minor),
        min(fits, key=lambda n: front[n].chosen.loss_minor) if fits else None,
        most_disturbed,
    )


def _on_grid(history: History) -> History:
    """Return the history with each score lowered to the next threshold that is tried.

    At those thresholds it is treated as before.
    """
    parts = [np.array([history.score.min()])]
    bad = history.score[history.is_bad]
    for scores, steps in ((history.score, STEPS_OF_ALL), (bad, STEPS_OF_BAD)):
        if len(scores):
            parts.append(np.quantile(scores, np.linspace(0, 1, steps + 1), method="higher"))
    grid = np.unique(np.concatenate(parts))
    lowered = grid[np.searchsorted(grid, history.score, side="right") - 1]
    return replace(history, score=lowered)


def point_at(history: History, costs: Costs, *, review_at: float, decline_at: float) -> Point:
    """Return what two thresholds cost on a history; see `tradeoff.pareto_policies`.

    Examples
    --------
    >>> past = History(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]),
    ...                np.array([100, 40, 30, 20]), np.array([100, 40, 0, 0]))
    >>> point_at(past, Costs(review_minor=3), review_at=0.5, decline_at=0.9)
    Point(review_at=0.5, decline_at=0.9, loss_minor=0, good_declined=0, reviewed=2, cost_minor=6)
    """
    declined = history.score >= decline_at
    reviewed = (history.score >= review_at) & ~declined
    good = ~history.is_bad & declined
    found = int(history.loss_minor[reviewed].sum())
    missed = _share(found, WHOLE_BP - costs.review_finds_bp)
    loss = int(history.loss_minor[~declined & ~reviewed].sum()) + missed
    insulted = int(np.count_nonzero(good))
    insult = insulted * costs.insult_minor + _share(
        int(history.amount_minor[good].sum()), costs.insult_bp
    )
    cases = int(np.count_nonzero(reviewed))
    return Point(
        review_at, decline_at, loss, insulted, cases, loss + insult + cases * costs.review_minor
    )


def _share(amount: int, bp: int) -> int:
    return (amount * bp + WHOLE_BP // 2) // WHOLE_BP


def _disturbed(history: History, review_at: float) -> float | None:
    good = int(np.count_nonzero(~history.is_bad))
    hit = int(np.count_nonzero(~history.is_bad & (history.score >= review_at)))
    return hit / good if good else None
