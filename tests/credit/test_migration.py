from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit.model.migration import (
    PRIOR_LGD,
    count_moves,
    default_curve,
    estimate,
    loss_given_default,
    path,
    power,
    prior_of,
    roll_rates,
    states_of,
)
from steelyard.credit.model.risk_refusals import HistoryIsTooShort, MatrixIsInvalid

STATES = states_of(["current", "1-30", "31-60", "61-90"])
# A chain of six states; the shares after each month were worked out elsewhere.
CHAIN = [
    [0.95, 0.05, 0, 0, 0, 0], [0.55, 0.25, 0.2, 0, 0, 0], [0.25, 0.1, 0.25, 0.4, 0, 0],
    [0.1, 0, 0.1, 0.25, 0.55, 0], [0.05, 0, 0, 0.05, 0.2, 0.7], [0, 0, 0, 0, 0, 1],
]  # fmt: skip
AFTER_12 = [0.87295362, 0.06096117, 0.01769598, 0.00995043, 0.00686486, 0.03157395]


def test_powers_of_a_chain() -> None:
    start = [1, 0, 0, 0, 0, 0]
    assert power(CHAIN, start, 12).tolist() == pytest.approx(AFTER_12, abs=1e-8)
    assert power(CHAIN, start, 0).tolist() == start
    assert path(CHAIN, start, 12)[12].tolist() == power(CHAIN, start, 12).tolist()


@pytest.mark.parametrize(
    "matrix", [[[1.0, 0.0]], [[0.5, 0.6], [0, 1]], [[1.5, -0.5], [0, 1]], [[np.nan, 1], [0, 1]], []]
)
def test_what_is_no_migration_matrix_is_refused(matrix: object) -> None:
    with pytest.raises(MatrixIsInvalid):
        power(matrix, [1, 0], 1)  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_nobody_is_lost_on_the_way(seed: int, months: int) -> None:
    chance = np.random.default_rng(seed)
    matrix = chance.dirichlet(np.ones(5), 5)
    start = chance.dirichlet(np.ones(5))
    assert power(matrix, start, months).sum() == pytest.approx(1.0)


def drawn_book(seed: int, loans: int, months: int, matrix: np.ndarray) -> np.ndarray:
    """Return the counts of a book that moves by a known matrix."""
    chance = np.random.default_rng(seed)
    steps = matrix.cumsum(axis=1)
    states = np.zeros(loans, np.int64)
    counts = []
    for _ in range(months):
        after = (chance.random(loans)[:, None] > steps[states]).sum(axis=1)
        counts.append(count_moves(states, after, len(matrix)))
        states = after
    return np.stack(counts)


def test_the_matrix_of_a_book_is_found_again() -> None:
    truth = prior_of(4)
    made = estimate(drawn_book(1, 20_000, 12, truth), STATES, weight=0)
    assert made.months == 12
    assert np.abs(made.matrix - truth).max() < 0.03
    live = made.counts.sum(axis=1) > 0
    live[-2:] = False
    inside = (made.low[live] <= truth[live]) & (truth[live] <= made.high[live])
    assert inside.mean() > 0.9
    assert made.matrix[-2, -2] == made.matrix[-1, -1] == 1.0


def test_the_interval_of_a_probability_of_default_covers_the_truth() -> None:
    truth = prior_of(4)
    known = path(truth, [1, 0, 0, 0, 0, 0], 12)[:, 4]
    covered = []
    for seed in range(60):
        found = default_curve(estimate(drawn_book(seed, 2_000, 6, truth), STATES, weight=0), 0, 12)
        covered.append(found.low[12] <= known[12] <= found.high[12])
    assert np.mean(covered) >= 0.85


def test_a_state_nobody_was_in_keeps_the_prior_and_says_nothing_is_known() -> None:
    counts = np.zeros((6, 6), np.int64)
    counts[0, 0], counts[0, 1] = 990, 10
    made = estimate(counts, STATES)
    assert made.matrix[3].tolist() == pytest.approx(prior_of(4)[3].tolist())
    assert (made.low[3, 4], made.high[3, 4]) == (0.0, 1.0)
    # With twenty pseudo-loans a thousand real ones count for almost all.
    assert made.matrix[0, 1] == pytest.approx((10 + 20 * 0.03) / 1_020)
    unweighted = estimate(counts, STATES, weight=0)
    assert unweighted.matrix[3].tolist() == prior_of(4)[3].tolist()


def test_without_a_single_move_nothing_is_estimated() -> None:
    with pytest.raises(HistoryIsTooShort):
        estimate(np.zeros((6, 6), np.int64), STATES)


def test_a_curve_rises_from_nothing_and_is_all_where_it_began_in_default() -> None:
    made = estimate(drawn_book(3, 3_000, 12, prior_of(4)), STATES)
    for state in range(4):
        curve = default_curve(made, state, 36)
        assert curve.cumulative[0] == 0
        assert (curve.marginal >= 0).all()
        assert (curve.low <= curve.cumulative).all()
        assert (curve.cumulative <= curve.high).all()
    worse = [default_curve(made, state, 12).cumulative[12] for state in range(4)]
    assert worse == sorted(worse)


def test_roll_rates_by_loans_and_by_balance() -> None:
    counts = np.zeros((5, 5), np.int64)
    counts[0, :2] = 95, 5
    counts[1, 0], counts[1, 2] = 6, 4
    assert roll_rates(counts) == [0.05, 0.4, None]
    balances = np.zeros((5, 5), np.int64)
    balances[0, :2] = 900, 100
    assert roll_rates(counts, balances)[:2] == [0.1, None]


def test_what_is_lost_of_a_default_is_drawn_from_the_prior() -> None:
    nothing = loss_given_default([], [])
    assert (nothing.mean, nothing.defaults) == (PRIOR_LGD, 0)
    assert nothing.low < PRIOR_LGD < nothing.high
    many = loss_given_default([100] * 990, [80] * 990)
    assert many.mean == pytest.approx((990 * 0.2 + 10 * 0.6) / 1_000)
    assert many.low <= many.mean <= many.high
    assert loss_given_default([100], [150], weight=0).mean == 0.0
    with pytest.raises(AssertionError):
        loss_given_default([0], [0])
