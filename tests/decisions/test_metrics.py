"""Metrics against scikit-learn, against tables worked by hand, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from steelyard.decisions.model.metrics import (
    auc,
    average_precision,
    calibration,
    card_precision_at,
    csi,
    fairness,
    gini,
    ks,
    pr_curve,
    precision_at,
    psi,
    roc_curve,
    score_psi,
)

rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20) | st.floats(0, 20)), min_size=2, max_size=80
)


@given(rows)
def test_discrimination_is_that_of_scikit_learn(made: list[tuple[bool, float]]) -> None:
    bad = np.array([flag for flag, _ in made])
    score = np.array([float(value) for _, value in made])
    assume(bad.any() and not bad.all())
    expected = sklearn_metrics.roc_auc_score(bad, score)
    assert auc(bad, score) == pytest.approx(expected, abs=1e-12)
    assert gini(bad, score) == pytest.approx(2 * expected - 1, abs=1e-12)
    ap = sklearn_metrics.average_precision_score(bad, score)
    assert average_precision(bad, score) == pytest.approx(ap, abs=1e-12)
    fall_out, recall, _ = sklearn_metrics.roc_curve(bad, score, drop_intermediate=False)
    assert ks(bad, score) == pytest.approx(np.abs(recall - fall_out).max(), abs=1e-12)
    ours = roc_curve(bad, score)
    assert ours[0] == pytest.approx(fall_out)
    assert ours[1] == pytest.approx(recall)
    precision, recall, _ = sklearn_metrics.precision_recall_curve(bad, score)
    our_recall, our_precision = pr_curve(bad, score)
    assert our_recall == pytest.approx(recall[-2::-1])
    assert our_precision == pytest.approx(precision[-2::-1])


def test_undefined_is_none() -> None:
    good, score = np.zeros(3, dtype=bool), np.arange(3.0)
    assert auc(good, score) is None
    assert gini(~good, score) is None
    assert ks(good, score) is None
    assert ks(~good, score) is None
    assert average_precision(good, score) is None
    assert precision_at(good[:0], score[:0], 2) is None
    assert calibration(good[:0], score[:0]) is None
    assert ks(good[:0], score[:0]) is None


def test_precision_at_takes_the_earlier_of_a_tie() -> None:
    bad = np.array([True, False, True, False])
    score = np.array([0.5, 0.5, 0.5, 0.9])
    assert precision_at(bad, score, 2) == 0.5
    assert precision_at(bad, score, 3) == pytest.approx(1 / 3)
    assert precision_at(bad, score, 99) == 0.5


def test_card_precision_blocks_the_cards_it_found() -> None:
    # day 1: cards 1 (bad), 2, 3; day 2: card 1 again (blocked by then), 2 (bad), 3
    card = np.array([1, 1, 2, 3, 1, 2, 3])
    day = np.array([1, 1, 1, 1, 2, 2, 2])
    bad = np.array([True, False, False, False, True, True, False])
    score = np.array([0.2, 0.9, 0.8, 0.1, 1.0, 0.3, 0.2])
    found = card_precision_at(bad, score, card=card, day=day, k=2)
    assert found is not None
    assert found.by_day == (0.5, 0.5)
    assert found.compromised == (1, 1)
    one = card_precision_at(bad, score, card=card, day=day, k=1)
    assert one is not None
    assert one.by_day == (1.0, 1.0)
    assert card_precision_at(bad[:0], score[:0], card=card[:0], day=day[:0]) is None


def test_calibration_against_scikit_learn_and_by_hand() -> None:
    bad = np.array([False, False, True, True])
    probability = np.array([0.1, 0.15, 0.15, 1.0])
    made = calibration(bad, probability)
    assert made is not None
    assert made.brier == pytest.approx(sklearn_metrics.brier_score_loss(bad, probability))
    assert [(p.rows, round(p.predicted, 4), round(p.observed, 4)) for p in made.curve] == [
        (3, 0.1333, 0.3333),
        (1, 1.0, 1.0),
    ]
    assert made.expected_error == pytest.approx(0.75 * 0.2)


def test_stability_indices() -> None:
    # shares and result as published tools give them
    expected, actual = [0.1, 0.2, 0.3, 0.25, 0.15], [0.12, 0.18, 0.25, 0.27, 0.18]
    assert psi(expected, actual) == pytest.approx(0.021879, abs=5e-7)
    assert psi(expected, expected) == 0
    assert 0 < psi([1, 0], [0.5, 0.5]) < 10
    moved = csi("age", expected, actual, [10, 20, 30, 40, 50])
    assert moved.csi == pytest.approx(0.021879, abs=5e-7)
    assert moved.score_shift == pytest.approx(0.6)
    uniform = np.arange(1000) / 1000
    assert score_psi(uniform, uniform) == 0
    assert score_psi(uniform, uniform**2) > 0.25
    assert score_psi(np.zeros(10), np.zeros(4)) == 0


def test_fairness_cuts() -> None:
    groups = np.array(["f", "f", "f", "m", "m", "m"])
    bad = np.array([False, False, True, False, True, True])
    score = np.array([0.1, 0.2, 0.9, 0.6, 0.7, 0.2])
    women, men = fairness(bad, score, groups=groups, threshold=0.5)
    assert (women.group, women.rows, women.approval_rate) == ("f", 3, pytest.approx(2 / 3))
    assert (women.good_declined, women.bad_approved, women.auc) == (0.0, 0.0, 1.0)
    assert men.approval_ratio == pytest.approx(0.5)
    assert (men.good_declined, men.bad_approved, men.auc) == (1.0, 0.5, 0.5)
    only = fairness(bad[:2], score[:2], groups=groups[:2], threshold=0.0)
    assert (only[0].approval_ratio, only[0].bad_approved, only[0].auc) == (None, None, None)
