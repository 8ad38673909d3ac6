"""What a threshold costs: loss let through, good customers declined, cases to review; in columns.

A score is the higher the riskier. With thresholds `review_at <= decline_at`, an event is declined
from `decline_at` on, reviewed from `review_at` on, and else approved. Only the scores that occur
are thresholds, so that equal scores are treated alike. Money is int64 minor units and exact: sums
and their multiples by basis points stay under 2^63, or the history is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard.kernel import Refusal, RefusalKind

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

WHOLE_BP = 10_000
_LARGEST_SUM = 2**63 // (4 * WHOLE_BP)
# Of one event; with as many events as memory can hold the product stays under 2^62.
_LARGEST_COST = 10**9


class HistoryIsMalformed(Refusal):
    """Columns of other lengths, a score that is not a number, a negative or too large amount."""

    kind = RefusalKind.INVALID
    en = "The history cannot be weighed: {what}."
    zh = "历史数据无法计算：{what}。"


class CostsAreMalformed(Refusal):
    """A cost is negative or too large, a share is none."""

    kind = RefusalKind.INVALID
    en = "The costs are malformed: {what}."
    zh = "成本参数有误：{what}。"


class NothingFitsTheBudget(Refusal):
    """Not even to decline nobody stays within the budget."""

    kind = RefusalKind.CONFLICT
    en = "No threshold keeps within the budget of {budget}."
    zh = "没有阈值能满足预算 {budget}。"


@dataclass(frozen=True, slots=True)
class History:
    """Labelled events, one place in each column for each.

    Attributes
    ----------
    score : float64 (n,), the higher the riskier; not NaN
    is_bad : bool (n,), the label
    amount_minor : int64 (n,), at least 0: what was asked for
    loss_minor : int64 (n,), 0 to anything: what is lost if it is approved; 0 for the good
    """

    score: Floats
    is_bad: Flags
    amount_minor: Integers
    loss_minor: Integers

    def __post_init__(self) -> None:
        columns = (self.score, self.is_bad, self.amount_minor, self.loss_minor)
        if len({column.shape for column in columns}) != 1 or self.score.ndim != 1:
            raise HistoryIsMalformed(what="the columns have different lengths")
        if not len(self.score):
            raise HistoryIsMalformed(what="it is empty")
        if np.isnan(self.score).any():
            raise HistoryIsMalformed(what="a score is not a number")
        for column in (self.amount_minor, self.loss_minor):
            if column.min() < 0 or float(column.sum(dtype=np.float64)) > _LARGEST_SUM:
                raise HistoryIsMalformed(what="amounts are negative or too large")
        if self.loss_minor[~self.is_bad].any():
            raise HistoryIsMalformed(what="a good event has a loss")


@dataclass(frozen=True, slots=True)
class Costs:
    """What disturbing and reviewing costs, beside the loss.

    Attributes
    ----------
    insult_minor : for each good event declined; insult_bp : and of its amount (margin, custom lost)
    review_minor : for each case reviewed
    review_finds_bp : share of the loss among reviewed cases that the review prevents
    """

    insult_minor: int = 0
    insult_bp: int = 0
    review_minor: int = 0
    review_finds_bp: int = WHOLE_BP

    def __post_init__(self) -> None:
        if not min(self.insult_minor, self.review_minor) >= 0:
            raise CostsAreMalformed(what="a cost is negative")
        if max(self.insult_minor, self.review_minor) > _LARGEST_COST:
            raise CostsAreMalformed(what="a cost is too large")
        for share in (self.insult_bp, self.review_finds_bp):
            if not 0 <= share <= WHOLE_BP:
                raise CostsAreMalformed(what="a share lies outside 0 to 10,000 basis points")


@dataclass(frozen=True, slots=True)
class Curve:
    """What is declined at each threshold, from none (infinity) to all (the lowest score).

    Attributes
    ----------
    threshold : float64 (m,), descending, the first one infinite
    declined, good_declined, bad_declined : int64 (m,), events
    loss_minor : let through; insult_minor : of good events declined; cost_minor : both
    """

    threshold: Floats
    declined: Integers
    good_declined: Integers
    bad_declined: Integers
    loss_minor: Integers
    insult_minor: Integers
    cost_minor: Integers


@dataclass(frozen=True, slots=True)
class Point:
    """One policy of two thresholds, and what it costs.

    Attributes
    ----------
    loss_minor : let through, and missed by the review
    good_declined, reviewed : events
    cost_minor : loss, insult and review together
    """

    review_at: float
    decline_at: float
    loss_minor: int
    good_declined: int
    reviewed: int
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Events that a change of policy treats otherwise, on one side.

    Attributes
    ----------
    places : int64, where they stand in the history, ascending
    good, bad : how many; amount_minor : of all; loss_minor : of the bad
    """

    places: Integers
    good: int
    bad: int
    amount_minor: int
    loss_minor: int


@dataclass(frozen=True, slots=True)
class SwapSet:
    """What a change of policy changes.

    Attributes
    ----------
    declined, approved : newly so
    loss_saved_minor : loss of the newly declined less that of the newly approved
    """

    declined: Swap
    approved: Swap
    loss_saved_minor: int


@dataclass(frozen=True, slots=True)
class AtRank:
    """How good the k riskiest events are.

    Attributes
    ----------
    precision : share of bad among the k; recall : share of all bad; None without any bad
    loss_recall : share of all loss; None without any loss
    """

    k: int
    precision: float
    recall: float | None
    loss_recall: float | None


@dataclass(frozen=True, slots=True)
class _Sums:
    """Running sums over events from the riskiest down, at each distinct score; first nothing."""

    threshold: Floats
    events: Integers
    good: Integers
    loss: Integers
    good_amount: Integers


def cost_curve(history: History, costs: Costs) -> Curve:
    """Return what every threshold costs that declines and does not review.

    Returns
    -------
    Curve
        `loss_minor` never rises and `good_declined` never falls along it.

    Examples
    --------
    >>> past = History(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]),
    ...                np.array([100, 40, 30, 20]), np.array([100, 40, 0, 0]))
    >>> curve = cost_curve(past, Costs(insult_minor=25))
    >>> curve.threshold.tolist(), curve.cost_minor.tolist()
    ([inf, 0.9, 0.5, 0.1], [140, 40, 25, 50])
    """
    sums = _sums(history)
    loss = sums.loss[-1] - sums.loss
    insult = _insult(sums.good, sums.good_amount, costs)
    return Curve(
        sums.threshold, sums.events, sums.good, sums.events - sums.good, loss, insult, loss + insult
    )


def cheapest(curve: Curve) -> int:
    """Return the place on the curve of the lowest cost; of equal ones that which declines least."""
    return int(np.argmin(curve.cost_minor))


def within_budget(curve: Curve, *, most_good_declined: int) -> int:
    """Return the place of the least loss with at most so many good events declined.

    Refusals
    --------
    nothing_fits_the_budget : a negative budget
    """
    fits = int(np.searchsorted(curve.good_declined, most_good_declined, side="right")) - 1
    if fits < 0:
        raise NothingFitsTheBudget(budget=most_good_declined)
    # Further on the loss is never higher; of the places of equal loss the first declines least.
    return int(np.searchsorted(-curve.loss_minor, -curve.loss_minor[fits], side="left"))


def pareto_policies(
    history: History, costs: Costs, *, steps: int = 100, most_reviewed: int | None = None
) -> tuple[Point, ...]:
    """Return the policies of two thresholds that no other one beats in loss, insult and review.

    Parameters
    ----------
    steps : about how many thresholds are tried, at even shares of the events; all the distinct
        scores if there are fewer, or if it is 0
    most_reviewed : leave out what more cases have to be reviewed for

    Returns
    -------
    tuple of Point
        By loss, ascending. None is at most as high as another in loss, good events declined and
        cases reviewed at once; of policies that are equal in all three the one of the higher
        thresholds stands for them.
    """
    sums = _sums(history)
    at = _spread(sums.events, steps)
    declines, reviews = np.triu_indices(len(at))
    d, r = at[declines], at[reviews]
    reviewed = sums.events[r] - sums.events[d]
    if most_reviewed is not None:
        kept = reviewed <= most_reviewed
        d, r, reviewed = d[kept], r[kept], reviewed[kept]
    found = sums.loss[r] - sums.loss[d]
    missed = _share(found, WHOLE_BP - costs.review_finds_bp)
    loss = sums.loss[-1] - sums.loss[r] + missed
    good = sums.good[d]
    insult = _insult(good, sums.good_amount[d], costs)
    cost = loss + insult + reviewed * np.int64(costs.review_minor)
    return tuple(
        Point(
            float(sums.threshold[r[i]]),
            float(sums.threshold[d[i]]),
            int(loss[i]),
            int(good[i]),
            int(reviewed[i]),
            int(cost[i]),
        )
        for i in pareto_front(np.stack([loss, good, reviewed], axis=1))
    )


def pareto_front(points: Integers) -> list[int]:
    """Return the rows that no other row beats: lower or equal in all columns, lower in one.

    Parameters
    ----------
    points : int64 (n, k), lower is better in each column

    Returns
    -------
    list of int
        In ascending order of the rows; of equal rows the first.

    Examples
    --------
    >>> pareto_front(np.array([[3, 1], [1, 3], [2, 2], [2, 3], [1, 3]]))
    [1, 2, 0]
    """
    order = np.lexsort(points.T[::-1])
    rest = points[order]
    front = []
    while len(rest):
        # The first of the sorted rows is beaten by none of those that are left.
        front.append(int(order[0]))
        stays = (rest < rest[0]).any(axis=1)
        rest, order = rest[stays], order[stays]
    return front


def swap_set(history: History, *, approved_before: Flags, approved_after: Flags) -> SwapSet:
    """Return which events two policies treat differently, with their labels.

    Parameters
    ----------
    approved_before, approved_after : bool (n,), aligned with the history

    Refusals
    --------
    history_is_malformed : the columns have different lengths
    """
    if approved_before.shape != history.score.shape or approved_after.shape != history.score.shape:
        raise HistoryIsMalformed(what="the columns have different lengths")
    declined = _swap(history, approved_before & ~approved_after)
    approved = _swap(history, ~approved_before & approved_after)
    return SwapSet(declined, approved, declined.loss_minor - approved.loss_minor)


def at_rank(history: History, k: int) -> AtRank:
    """Return precision and recall among the k riskiest events, 1 <= k <= n.

    Where the k-th score is shared by several, they count in proportion: the mean over all orders
    of the equal ones, so that it does not depend on how the history happens to be sorted.

    Examples
    --------
    >>> past = History(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]),
    ...                np.array([100, 40, 30, 20]), np.array([100, 40, 0, 0]))
    >>> at_rank(past, 2)
    AtRank(k=2, precision=0.75, recall=0.75, loss_recall=0.8571428571428571)
    """
    assert 1 <= k <= len(history.score), k
    sums = _sums(history)
    bad = sums.events - sums.good
    last = int(np.searchsorted(sums.events, k, side="left"))
    above, tied = int(sums.events[last - 1]), int(sums.events[last] - sums.events[last - 1])

    def among(column: Integers) -> float:
        """Mean of a running sum at k, over all orders of equal scores; one rounding."""
        upper, step = int(column[last - 1]), int(column[last] - column[last - 1])
        return (upper * tied + step * (k - above)) / tied

    all_bad, all_loss = int(bad[-1]), int(sums.loss[-1])
    return AtRank(
        k,
        among(bad) / k,
        among(bad) / all_bad if all_bad else None,
        among(sums.loss) / all_loss if all_loss else None,
    )


def _sums(history: History) -> _Sums:
    order = np.argsort(-history.score, kind="stable")
    score = history.score[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    is_good = ~history.is_bad[order]

    def running(column: Integers) -> Integers:
        sums: Integers = np.cumsum(column, dtype=np.int64)[last]
        return np.concatenate([np.zeros(1, dtype=np.int64), sums])

    return _Sums(
        np.concatenate([np.array([np.inf]), score[last]]),
        np.concatenate([np.zeros(1, dtype=np.int64), last.astype(np.int64) + 1]),
        running(is_good.astype(np.int64)),
        running(history.loss_minor[order]),
        running(np.where(is_good, history.amount_minor[order], 0)),
    )


def _spread(events: Integers, steps: int) -> Integers:
    if not steps or len(events) <= steps + 1:
        return np.arange(len(events), dtype=np.int64)
    wanted = np.arange(steps + 1, dtype=np.int64) * events[-1] // steps
    return np.unique(np.searchsorted(events, wanted, side="left")).astype(np.int64)


def _insult(good: Integers, good_amount: Integers, costs: Costs) -> Integers:
    return good * np.int64(costs.insult_minor) + _share(good_amount, costs.insult_bp)


def _share(amount: Integers, bp: int) -> Integers:
    """Return so many basis points of amounts, rounded half up."""
    return (amount * np.int64(bp) + WHOLE_BP // 2) // WHOLE_BP


def _swap(history: History, moved: Flags) -> Swap:
    places = np.flatnonzero(moved).astype(np.int64)
    bad = int(history.is_bad[places].sum())
    return Swap(
        places,
        len(places) - bad,
        bad,
        int(history.amount_minor[places].sum()),
        int(history.loss_minor[places].sum()),
    )
