"""Migration of a book between states of delinquency: estimated, with its uncertainty, and powers.

States are the buckets up to default, `default` and, where loans end, `closed`; default and closed
are absorbing. The cohort estimator counts, month by month, where loans stood and where they stood a
month later. A row with few observations is drawn towards a stated prior by a stated number of
pseudo-loans; nothing is zero because it was not seen yet. A probability of default over some months
is read off the powers of the matrix, and carries an interval by the delta method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steelyard.credit.model.risk_refusals import HistoryIsTooShort, MatrixIsInvalid

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DEFAULT: Final = "default"
CLOSED: Final = "closed"
Z95: Final = 1.959964
PSEUDO_LOANS: Final = 20.0
"""Weight of the prior in each row, in loans: ours, a judgement."""
_TOLERANCE: Final = 1e-9


def check(matrix: ArrayLike) -> Floats:
    """Return a migration matrix as an array.

    Refusals
    --------
    matrix_is_invalid : not square, an entry outside 0..1, or a row that does not add up to 1
    """
    made = np.asarray(matrix, np.float64)
    if made.ndim != 2 or made.shape[0] != made.shape[1] or not made.size:
        raise MatrixIsInvalid(why=f"shape {made.shape}")
    if not np.isfinite(made).all() or (made < 0).any() or (made > 1 + _TOLERANCE).any():
        raise MatrixIsInvalid(why="an entry outside 0..1")
    if (np.abs(made.sum(axis=1) - 1) > _TOLERANCE).any():
        raise MatrixIsInvalid(why="a row that does not add up to 1")
    return made


def power(matrix: ArrayLike, start: ArrayLike, months: int) -> Floats:
    """Return where a book stands after some months.

    Parameters
    ----------
    matrix : (n, n), row = from, column = to, of one month
    start : (n,), share of the book in each state
    months : 0 or more

    Returns
    -------
    ndarray
        float64 (n,); adds up to what `start` adds up to.

    Refusals
    --------
    matrix_is_invalid

    Examples
    --------
    >>> power([[0.9, 0.1], [0.0, 1.0]], [1, 0], 2).round(4).tolist()
    [0.81, 0.19]
    """
    assert months >= 0, "a book is not taken back"
    made = check(matrix)
    after = np.asarray(start, np.float64)
    for _ in range(months):
        after = after @ made
    return after


def path(matrix: ArrayLike, start: ArrayLike, months: int) -> Floats:
    """Return where a book stands after 0, 1, ... months: float64 (months + 1, n).

    Examples
    --------
    >>> path([[0.9, 0.1], [0.0, 1.0]], [1, 0], 2)[:, 1].round(4).tolist()
    [0.0, 0.1, 0.19]
    """
    made = check(matrix)
    steps = [np.asarray(start, np.float64)]
    for _ in range(months):
        steps.append(steps[-1] @ made)
    return np.stack(steps)


@dataclass(frozen=True, slots=True, eq=False)
class Migration:
    """An estimated matrix of one month.

    Attributes
    ----------
    states : names, in order; the last ones are absorbing
    counts : int64 (n, n), moves that were seen
    matrix : float64 (n, n), smoothed
    low, high : float64 (n, n), 95 % by Wilson of the seen shares; 0..1 where nothing was seen
    weight : pseudo-loans of the prior in each row
    months : months that were counted
    """

    states: tuple[str, ...]
    counts: Integers
    matrix: Floats
    low: Floats
    high: Floats
    weight: float
    months: int


def states_of(buckets: Sequence[str]) -> tuple[str, ...]:
    """Return the states of a matrix: buckets short of default, default, closed.

    Examples
    --------
    >>> states_of(["current", "1-30"])
    ('current', '1-30', 'default', 'closed')
    """
    return (*buckets, DEFAULT, CLOSED)


def prior_of(live: int) -> Floats:
    """Return the prior: what is assumed of a book of which nothing was seen.

    Current loans are late next month with 3 in 100 and end with 4 in 100; each later bucket rolls
    on with 50, 65, 75, ... in 100, is cured with half of the rest, and else stays. Judgement, and
    weighed by `PSEUDO_LOANS` only.

    Parameters
    ----------
    live : buckets short of default, the current one included
    """
    made = np.zeros((live + 2, live + 2))
    made[0, 0], made[0, 1], made[0, live + 1] = 0.93, 0.03, 0.04
    for bucket in range(1, live):
        on = min(0.85, 0.40 + 0.10 * bucket + 0.05 * (bucket > 1))
        made[bucket, bucket + 1] = on
        made[bucket, 0] = (1 - on) / 2
        made[bucket, bucket] = (1 - on) / 2
    made[live, live] = made[live + 1, live + 1] = 1.0
    return made


def count_moves(before: ArrayLike, after: ArrayLike, states: int) -> Integers:
    """Return how many loans moved from each state to each other within one month.

    Parameters
    ----------
    before, after : int (loans,), state of the same loan at the end of a month and of the next

    Examples
    --------
    >>> count_moves([0, 0, 1], [0, 1, 0], 2).tolist()
    [[1, 1], [1, 0]]
    """
    one, other = np.asarray(before, np.int64), np.asarray(after, np.int64)
    assert one.shape == other.shape, "the same loans"
    found = np.bincount(one * states + other, minlength=states * states)
    return found.reshape(states, states).astype(np.int64)


def estimate(
    counts: ArrayLike,
    states: Sequence[str],
    *,
    prior: ArrayLike | None = None,
    weight: float = PSEUDO_LOANS,
    months: int = 1,
) -> Migration:
    """Return the matrix of counted moves, drawn towards a prior.

    ``p[i, j] = (n[i, j] + weight * prior[i, j]) / (n[i] + weight)``; default and closed stay what
    they are, whatever was counted from them.

    Parameters
    ----------
    counts : (n, n), or (months, n, n), which are added up
    states : the last two are absorbing, as `states_of` gives them
    prior : (n, n); None takes `prior_of`
    weight : 0 takes the seen shares alone; a row without observations then is the prior

    Refusals
    --------
    history_is_too_short : no loan was seen in two months
    matrix_is_invalid : of the prior

    Examples
    --------
    >>> made = estimate([[90, 10, 0], [0, 0, 0], [0, 0, 0]], ["current", "default", "closed"],
    ...                 weight=0)
    >>> made.matrix[0].tolist()
    [0.9, 0.1, 0.0]
    """
    seen = np.asarray(counts, np.int64)
    if seen.ndim == 3:
        months, seen = len(seen), seen.sum(axis=0)
    many = len(states)
    assert seen.shape == (many, many), (seen.shape, many)
    drawn = check(prior_of(many - 2) if prior is None else prior)
    live = slice(0, many - 2)
    totals = seen.sum(axis=1, keepdims=True).astype(np.float64)
    if not totals[live].any():
        raise HistoryIsTooShort(found=0, what="moves", least=1)
    made = np.eye(many)
    heavier = np.where(totals + weight > 0, totals + weight, 1.0)
    smoothed = np.where(totals + weight > 0, (seen + weight * drawn) / heavier, drawn)
    made[live] = smoothed[live]
    low, high = _wilson(seen, totals)
    return Migration(tuple(states), seen, made, low, high, weight, months)


def _wilson(seen: Integers, totals: Floats) -> tuple[Floats, Floats]:
    there = np.maximum(totals, 1.0)
    share = seen / there
    middle = (share + Z95**2 / (2 * there)) / (1 + Z95**2 / there)
    half = Z95 * np.sqrt(share * (1 - share) / there + Z95**2 / (4 * there**2))
    half /= 1 + Z95**2 / there
    unseen = totals == 0
    low = np.where(unseen, 0.0, np.clip(middle - half, 0, 1))
    high = np.where(unseen, 1.0, np.clip(middle + half, 0, 1))
    return low, high


@dataclass(frozen=True, slots=True, eq=False)
class TermStructure:
    """Probability of default by the end of each month, from one state.

    Attributes
    ----------
    cumulative : float64 (months + 1,), from 0, never falling
    low, high : float64 (months + 1,), 95 % by the delta method, within 0..1
    """

    cumulative: Floats
    low: Floats
    high: Floats

    @property
    def marginal(self) -> Floats:
        """Probability of default in each month, float64 (months,)."""
        return np.diff(self.cumulative)


def default_curve(migration: Migration, state: int, months: int) -> TermStructure:
    """Return when loans that are in a state now will default.

    The interval treats every row as a multinomial sample of its loans, pseudo-loans included; it
    knows nothing of months that are alike in being bad, so it is too narrow in a turn of the
    economy: that is what scenarios are for.

    Parameters
    ----------
    state : place in `migration.states`

    Examples
    --------
    >>> made = estimate([[90, 10, 0], [0, 0, 0], [0, 0, 0]], ["current", "default", "closed"],
    ...                 weight=0)
    >>> default_curve(made, 0, 2).cumulative.round(4).tolist()
    [0.0, 0.1, 0.19]
    """
    matrix = migration.matrix
    many = len(matrix)
    default = many - 2
    start = np.zeros(many)
    start[state] = 1.0
    reached = path(matrix, start, months)
    to_default = np.zeros((months + 1, many))
    to_default[0, default] = 1.0
    for month in range(months):
        to_default[month + 1] = matrix @ to_default[month]
    cumulative = np.maximum.accumulate(reached[:, default]) - reached[0, default]
    loans = migration.counts.sum(axis=1) + migration.weight
    variance = np.zeros(months + 1)
    for month in range(1, months + 1):
        # d/d row r of (start P^m)[default] = sum over k of (start P^k)[r] * P^(m-1-k)[:, default]
        slope = reached[:month].T @ to_default[month - 1 :: -1][:month]
        for row in range(default):
            if loans[row] > 0:
                mean = matrix[row] @ slope[row]
                variance[month] += (matrix[row] @ (slope[row] - mean) ** 2) / loans[row]
    half = Z95 * np.sqrt(variance)
    return TermStructure(
        cumulative, np.clip(cumulative - half, 0, 1), np.clip(cumulative + half, 0, 1)
    )


def roll_rates(counts: ArrayLike, balances: ArrayLike | None = None) -> list[float | None]:
    """Return the share of each bucket that is one bucket worse a month later.

    Parameters
    ----------
    counts : (n, n) of `count_moves`
    balances : (n, n), amounts of the same moves by what was owed before; None rolls loans

    Returns
    -------
    list
        One for each bucket that has a worse one; None where it was empty.

    Examples
    --------
    >>> roll_rates([[90, 10, 0, 0], [5, 5, 10, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    [0.1, 0.5]
    """
    moved = np.asarray(counts if balances is None else balances, np.float64)
    totals = moved.sum(axis=1)
    return [
        float(moved[row, row + 1 : -1].sum() / totals[row]) if totals[row] else None
        for row in range(len(moved) - 2)
    ]


@dataclass(frozen=True, slots=True)
class LossShare:
    """The share lost of an exposure that defaulted.

    Attributes
    ----------
    mean : drawn towards the prior
    low, high : 95 %, normal, of the seen defaults and pseudo-defaults; within 0..1
    defaults : seen, with a known end
    weight, prior : pseudo-defaults and their loss share
    """

    mean: float
    low: float
    high: float
    defaults: int
    weight: float
    prior: float


PRIOR_LGD: Final = 0.60
"""Unsecured consumer loans; a judgement that weighs as much as `PSEUDO_DEFAULTS` defaults."""
PSEUDO_DEFAULTS: Final = 10.0


def loss_given_default(
    exposed_minor: ArrayLike,
    recovered_minor: ArrayLike,
    *,
    prior: float = PRIOR_LGD,
    weight: float = PSEUDO_DEFAULTS,
) -> LossShare:
    """Return the share lost, from what came back after default, discounted to the default.

    Parameters
    ----------
    exposed_minor : (n,), owed on the day of default, above 0
    recovered_minor : (n,), present value of what came back; more than all counts as all;
        without a default the prior is the answer

    Examples
    --------
    >>> round(loss_given_default([100] * 30, [70] * 30).mean, 4)
    0.375
    """
    owed = np.asarray(exposed_minor, np.float64)
    back = np.asarray(recovered_minor, np.float64)
    assert owed.shape == back.shape, "the same loans"
    assert (owed > 0).all(), "what defaulted was owed"
    shares = 1 - np.clip(back / owed, 0, 1)
    seen = len(shares)
    total = seen + weight
    mean = float((shares.sum() + weight * prior) / total)
    spread = float(((shares - mean) ** 2).sum() + weight * (prior - mean) ** 2) / total
    # A prior of one value says nothing of the spread; a share of 0..1 spreads at most so far.
    spread = max(spread, mean * (1 - mean) * weight / total)
    half = Z95 * sqrt(spread / total)
    return LossShare(mean, max(0.0, mean - half), min(1.0, mean + half), seen, weight, prior)
