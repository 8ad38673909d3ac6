"""Drift: bins by hand, false alarms by chance, calibration, run lengths, recall that is known."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.decisions.model.drift import (
    Cusum,
    DayRecall,
    Drift,
    Level,
    NumberBins,
    WordBins,
    average_run_length,
    calibration_drift,
    distribution_drift,
    recall_drift,
    surprise,
)

TABLE = Path(__file__).parents[1] / "tables" / "decision_cusum.txt"
NAN = float("nan")


# --- bins and distribution -----------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.sampled_from([NAN, 0.0, 1.0]), st.floats(-10, 10)), max_size=60),
    st.lists(st.one_of(st.just(NAN), st.floats(-20, 20)), max_size=60),
    st.integers(2, 12),
)
def test_bins_of_numbers_are_those_of_the_rule(
    reference: list[float], column: list[float], bins: int
) -> None:
    found = NumberBins.of(np.array(reference, dtype=np.float64), bins)
    known = sorted(x for x in reference if not isnan(x))
    edges = {known[-(-i * len(known) // bins) - 1] for i in range(1, bins)} if known else set()
    edges = {edge for edge in edges if edge < known[-1]}
    assert list(found.edges) == sorted(edges)
    counts = [0] * (len(edges) + 2)
    for x in column:
        counts[len(edges) + 1 if isnan(x) else sum(x > edge for edge in found.edges)] += 1
    assert found.count(np.array(column, dtype=np.float64)).tolist() == counts


def test_bins_of_a_continuous_number_are_even() -> None:
    values = np.arange(1_000, dtype=np.float64)
    assert NumberBins.of(values).count(values).tolist() == [100] * 10 + [0]


def test_words_have_bins_of_their_own_up_to_a_number() -> None:
    bins = WordBins.of(["b", "a", "b", None, "c", "a", "d"], most=3)
    assert bins.words == ("a", "b", "c")
    assert bins.count(["a", "d", "x", None, "b", "b"]).tolist() == [1, 2, 0, 2, 1]


@pytest.mark.parametrize(
    ("before", "now", "level"),
    [
        ([500, 500], [500, 500], Level.STEADY),
        ([500, 500], [600, 400], Level.STEADY),
        ([500, 500], [700, 300], Level.WATCH),
        ([500, 500], [800, 200], Level.ALERT),
        ([500, 500, 0], [500, 500, 300], Level.ALERT),
        ([0, 0], [5, 5], Level.STEADY),
        ([5, 5], [0, 0], Level.STEADY),
        ([5, 5], [10, 0], Level.ALERT),
    ],
)
def test_a_shift_of_the_distribution_is_found(
    before: list[int], now: list[int], level: Level
) -> None:
    found = distribution_drift("amount", np.array(before), np.array(now))
    assert (found.drift, found.level) == (Drift.DISTRIBUTION, level)
    assert found.sentence("en").startswith("amount")
    assert found.sentence("zh-CN") != found.sentence("en")


def test_chance_alone_seldom_raises_an_alarm_however_few_there_are() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal(size=2_000)
    bins = NumberBins.of(reference)
    before = bins.count(reference)
    for size in (30, 100, 1_000):
        found = [
            distribution_drift("x", before, bins.count(rng.normal(size=size))) for _ in range(300)
        ]
        raised = sum(one.level is not Level.STEADY for one in found)
        assert raised <= 30, size
    # The index alone would cry wolf nearly always with 30 values.
    few = [distribution_drift("x", before, bins.count(rng.normal(size=30))) for _ in range(300)]
    assert sum(one.value >= 0.10 for one in few) > 250
    shifted = distribution_drift("x", before, bins.count(rng.normal(0.7, 1, size=500)))
    assert shifted.level is Level.ALERT


# --- calibration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "level"),
    [(100, Level.STEADY), (118, Level.STEADY), (120, Level.WATCH), (129, Level.ALERT),
     (80, Level.WATCH), (71, Level.ALERT)],
)  # fmt: skip
def test_calibration_is_judged_by_its_deviation(bad: int, level: Level) -> None:
    # 1,000 at 10 %: 100 expected, standard deviation 9.49; 2 are 19, 3 are 28.5.
    found = calibration_drift("pd", np.full(1_000, 0.1), np.arange(1_000) < bad)
    assert found.value == pytest.approx(bad / 100)
    assert found.level is level


def test_a_true_probability_seldom_alarms() -> None:
    rng = np.random.default_rng(5)
    alerts = 0
    for _ in range(400):
        probability = rng.beta(1, 20, size=500)
        alerts += calibration_drift("pd", probability, rng.random(500) < probability).level is (
            Level.ALERT
        )
    assert alerts <= 6


def test_nothing_to_calibrate_is_steady() -> None:
    none = np.array([])
    assert calibration_drift("pd", none, none.astype(np.bool_)).level is Level.STEADY
    sure = calibration_drift("pd", np.array([1.0]), np.array([True]))
    assert (sure.level, sure.value) == (Level.STEADY, 1.0)


# --- hit rates -----------------------------------------------------------------------------------


def told() -> list[tuple[float, float, float]]:
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")][1:]
    return [tuple(float(cell) for cell in line.split()) for line in lines]  # type: ignore[misc]


@pytest.mark.parametrize(("shift", "four", "five"), told())
def test_run_lengths_are_those_of_the_table(shift: float, four: float, five: float) -> None:
    assert average_run_length(0.5, 4.0, shift) == pytest.approx(four, rel=0.006)
    assert average_run_length(0.5, 5.0, shift) == pytest.approx(five, rel=0.006)


def run_lengths(rate: float, true: float, runs: int, seed: int) -> float:
    """Mean periods of 20,000 decisions to the first alarm, over simulated rules."""
    rng = np.random.default_rng(seed)
    lengths = []
    for _ in range(runs):
        watch, found, periods = Cusum("r", rate, interval=4.0), None, 0
        while found is None:
            periods += 1
            watch, found = watch.observe(20_000, int(rng.binomial(20_000, true)))
        lengths.append(periods)
    return float(np.mean(lengths))


def test_run_lengths_of_real_hits_are_those_of_the_table() -> None:
    # Standard error of the means: about 168 / sqrt(300) = 10, and 5 / sqrt(400) = 0.3.
    assert run_lengths(0.3, 0.3, runs=300, seed=7) == pytest.approx(168, abs=30)
    shifted = 0.3 + np.sqrt(0.3 * 0.7 / 20_000)
    assert run_lengths(0.3, shifted, runs=400, seed=7) == pytest.approx(8.38, abs=0.9)


def test_a_shift_down_is_found_too_and_the_sums_begin_anew() -> None:
    watch = Cusum("velocity", rate=0.02)
    found = None
    while found is None:
        watch, found = watch.observe(1_000, 8)
    assert "less often than its usual 2.00%: 0.80%" in found.en
    assert "低于常值" in found.zh
    assert (watch.up, watch.down, watch.periods) == (0.0, 0.0, 0)
    assert watch.observe(0, 0) == (watch, None)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), max_size=40))
def test_the_sums_are_those_of_the_definition(periods: list[tuple[int, float]]) -> None:
    watch = Cusum("r", 0.1)
    up = down = 0.0
    for n, part in periods:
        hits = int(n * part)
        watch, found = watch.observe(n, hits)
        if n:
            z = (hits - n * 0.1) / np.sqrt(n * 0.1 * 0.9)
            up, down = max(0.0, up + z - 0.5), max(0.0, down - z - 0.5)
        assert (found is not None) == (max(up, down) > 5.0)
        if found is not None:
            up = down = 0.0
        assert (watch.up, watch.down) == (pytest.approx(up), pytest.approx(down))


# --- recall --------------------------------------------------------------------------------------


def test_a_fall_of_recall_is_found_and_a_rise_is_none() -> None:
    def days(before: int, now: int) -> list[DayRecall]:
        return [DayRecall(d, 20, before if d < 14 else now, 0, 0) for d in range(21)]

    assert recall_drift("policy", days(12, 12)).level is Level.STEADY
    assert recall_drift("policy", days(12, 9)).level is Level.WATCH
    fallen = recall_drift("policy", days(12, 7))
    assert (fallen.level, fallen.value) == (Level.ALERT, 0.35)
    assert "35.0% of 140 bad events, before 60.0%" in fallen.en
    assert recall_drift("policy", days(7, 12)).level is Level.STEADY
    assert recall_drift("policy", days(20, 20)).level is Level.STEADY
    assert recall_drift("policy", days(12, 7)[:5]).level is Level.STEADY
    assert DayRecall(1, 0, 0, 0, 0).recall is None


# --- surprise ------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 300), st.integers(0, 400), st.integers(0, 2_000))
def test_surprise_is_odd_in_hits_and_misses_and_grows_with_hits(
    hits: int, decisions: int, usual: int, more: int
) -> None:
    hits, asked = min(hits, decisions), usual + more
    found = surprise(hits, decisions, usual=usual, asked=asked)
    misses = surprise(decisions - hits, decisions, usual=asked - usual, asked=asked)
    assert found == pytest.approx(-misses, abs=0.01)
    if hits < decisions:
        assert surprise(hits + 1, decisions, usual=usual, asked=asked) >= found - 1e-3


def test_surprise_is_that_of_the_beta_binomial() -> None:
    from scipy.stats import betabinom, norm

    for hits, decisions, usual, asked in (
        (30, 1_000, 200, 10_000), (12, 300, 5, 2_100), (0, 50, 0, 700), (280, 300, 2_000, 2_100),
    ):  # fmt: skip
        predicted = betabinom(decisions, usual + 0.5, asked - usual + 0.5)
        middle = predicted.cdf(hits) - predicted.pmf(hits) / 2
        found = surprise(hits, decisions, usual=usual, asked=asked)
        assert found == pytest.approx(norm.ppf(middle), abs=0.02)
