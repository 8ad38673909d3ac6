"""Sequential statistics: published numbers, and no more false alarms than promised at any look."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.experiments.model.boundaries import Shape, boundaries, crossing
from steelyard.experiments.model.ratio import check_ratio, chi_square_tail, sequential_p
from steelyard.experiments.model.sequential import (
    Tally,
    difference,
    half_width,
    mixing,
    p_value,
)
from tests.experiments.looking import (
    Looks,
    Setting,
    alarms,
    lognormal,
    p_values,
    rare_loss,
    rate,
    simulate,
)
from tests.experiments.reading import rows

# No difference at all: a common event, a rare one with a small challenger, amounts with a long
# tail, and losses that are zero 98 times of 100.
SAME = {
    "even": Setting(rate(0.5), rate(0.5)),
    "rare, one in ten": Setting(rate(0.01), rate(0.01), share=0.1, units=8_000),
    "amounts": Setting(lognormal(), lognormal(), is_proportion=False),
    "amounts, one in ten": Setting(lognormal(), lognormal(), share=0.1, is_proportion=False),
    "rare losses, one in ten": Setting(
        rare_loss(0.02), rare_loss(0.02), share=0.1, is_proportion=False
    ),
}
DIFFERENT = {
    "rate": Setting(rate(0.10), rate(0.14), units=8_000, planned=5_000),
    "rate, one in ten": Setting(rate(0.10), rate(0.16), share=0.1, units=12_000, planned=8_000),
    "rare, one in ten, worse": Setting(
        rate(0.005), rate(0.015), share=0.1, units=16_000, planned=12_000
    ),
    "amounts": Setting(lognormal(), lognormal(0.15), is_proportion=False, units=8_000),
}


def tally_of(looks: Looks, arm: int, run: int, unit: int) -> Tally:
    kept = (looks.n, looks.total, looks.squares, looks.nonzero)
    return Tally(*(int(a[arm, run, unit]) for a in kept))


# --- published numbers ---------------------------------------------------------------------------


def lift_of(control: Tally, challenger: Tally) -> tuple[float, float]:
    """Relative effect and its variance by the delta method, as GrowthBook states them."""
    a, b = control, challenger
    variance = b.variance * (b.n - 1) / b.n / b.n / a.mean**2
    variance += a.variance * (a.n - 1) / a.n / a.n * b.mean**2 / a.mean**4
    return (b.mean - a.mean) / a.mean, variance


def test_the_confidence_sequence_is_growthbooks_for_a_proportion() -> None:
    # gbstats, test_sequential_test_runs_prop: uplift 0.50386, ci (0.40098, 0.60675), tuned to 5,000
    control = Tally(3_000, 1_396, 1_396, 1_396)
    challenger = Tally(3_461, 2_422, 2_422, 2_422)
    lift, variance = lift_of(control, challenger)
    half = half_width(variance, 6_461, mixing(5_000, 0.05), 0.05)
    assert (round(lift, 5), round(sqrt(variance), 5)) == (0.50386, 0.03386)
    assert (round(lift - half, 5), round(lift + half, 5)) == (0.40098, 0.60675)
    assert p_value(lift, variance, 6_461, mixing(5_000, 0.05)) < 5e-6


def test_the_confidence_sequence_is_growthbooks_for_a_mean() -> None:
    # gbstats, test_sequential_test_runs: sums 1396.87 and 2422.7, here in hundredths, tuned to
    # 1,000: uplift 0.50336, ci (-0.55844, 1.56516), p 1
    control = Tally(3_000, 139_687, 523_779_767, 3_000)
    challenger = Tally(3_461, 242_270, 1_346_982_900, 3_461)
    effect = (challenger.mean - control.mean) / control.mean
    variance = challenger.variance / 3_461 / control.mean**2
    variance += control.variance / 3_000 * challenger.mean**2 / control.mean**4
    half = half_width(variance, 6_461, mixing(1_000, 0.05), 0.05)
    assert (round(effect, 5), round(sqrt(variance), 5)) == (0.50336, 0.33341)
    assert (round(effect - half, 5), round(effect + half, 5)) == (-0.55844, 1.56516)
    assert p_value(effect, variance, 6_461, mixing(1_000, 0.05)) == 1.0


@pytest.mark.parametrize("row", rows("experiment_ratio.txt"), ids=lambda row: row["counts"])
def test_the_ratio_check_gives_published_p_values(row: dict[str, str]) -> None:
    counts = [int(n) for n in row["counts"].split(",")]
    weights = [int(n) * 100 for n in row["weights"].split(",")]
    assert f"{check_ratio(counts, weights).p_value:.9f}" == row["p_value"]


def test_the_ratio_check_agrees_with_tea_tasting_but_for_its_continuity_correction() -> None:
    # tea-tasting, SampleRatio: 2,023 against 1,977 gives 0.477, with a continuity correction.
    corrected = (abs(2_023 - 2_000) - 0.5) / sqrt(4_000 / 4)
    assert round(erfc(corrected / sqrt(2)), 3) == 0.477
    plain = (2_023 - 2_000) / sqrt(4_000 / 4)
    assert check_ratio([2_023, 1_977], [5_000, 5_000]).p_value == pytest.approx(
        erfc(plain / sqrt(2))
    )


@pytest.mark.parametrize(
    ("degrees", "statistic", "tail"),
    # Abramowitz, Stegun: table 26.8
    [(1, 3.84146, 0.05), (2, 5.99147, 0.05), (3, 7.81473, 0.05), (4, 13.2767, 0.01),
     (5, 11.0705, 0.05), (9, 21.6660, 0.01), (10, 18.3070, 0.05)],
)  # fmt: skip
def test_the_chi_square_tail_is_that_of_the_tables(
    degrees: int, statistic: float, tail: float
) -> None:
    assert chi_square_tail(statistic, degrees) == pytest.approx(tail, rel=2e-5)


@pytest.mark.parametrize("row", rows("experiment_boundaries.txt"), ids=lambda row: row["looks"])
def test_the_boundaries_are_the_published_ones(row: dict[str, str]) -> None:
    looks = int(row["looks"])
    pocock = boundaries(Shape.POCOCK, looks)
    falling = boundaries(Shape.OBRIEN_FLEMING, looks)
    assert (len(set(pocock)), f"{pocock[0]:.3f}") == (1, row["pocock"])
    assert f"{falling[-1]:.3f}" == row["obrien_fleming"]
    assert falling[0] == pytest.approx(falling[-1] * sqrt(looks))


def test_the_boundaries_hold_in_a_simulation() -> None:
    rng = np.random.default_rng(11)
    scores = rng.normal(size=(200_000, 4)).cumsum(axis=1) / np.sqrt([1, 2, 3, 4])
    for shape in Shape:
        bound = np.array(boundaries(shape, 4))
        share = float((np.abs(scores) > bound).any(axis=1).mean())
        assert share == pytest.approx(0.05, abs=0.002)
    usual = (1.959964,) * 4
    share = float((np.abs(scores) > np.array(usual)).any(axis=1).mean())
    assert crossing(usual) == pytest.approx(share, abs=0.003)
    assert share > 0.12


# --- any look ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SAME, *DIFFERENT])
def test_what_is_simulated_is_what_the_library_says(name: str) -> None:
    setting = (SAME | DIFFERENT)[name]
    looks = simulate(setting, 5, seed=3)
    p = p_values(looks, setting)
    rng = np.random.default_rng(5)
    said = 0
    for run, unit in zip(rng.integers(0, 5, 200), rng.integers(0, setting.units, 200), strict=True):
        found = difference(
            tally_of(looks, 0, run, unit),
            tally_of(looks, 1, run, unit),
            planned_units=setting.planned,
            alpha=setting.alpha,
            is_proportion=setting.is_proportion,
        )
        assert found.p_value == pytest.approx(p[run, unit], rel=1e-7)
        if found.interval is not None:
            said += 1
            reaches_across = found.interval.low < 0 < found.interval.high
            assert reaches_across == (found.p_value > setting.alpha)
    assert said > 20


@pytest.mark.parametrize("name", SAME)
def test_without_a_difference_false_alarms_at_any_look_are_rare(name: str) -> None:
    assert alarms(SAME[name], runs=400, seed=1) <= 0.05


def test_the_variance_within_the_arms_alone_would_not_do() -> None:
    small_and_rare = Setting(rate(0.005), rate(0.005), share=0.1, units=10_000, planned=5_000)
    assert alarms(small_and_rare, runs=200, seed=1, variance="within") > 0.10
    assert alarms(small_and_rare, runs=200, seed=1) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("p", [0.5, 0.05, 0.005])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("planned", [500, 5_000, 50_000])
def test_false_alarms_are_rare_wherever_it_is_tuned(p: float, share: float, planned: int) -> None:
    setting = Setting(rate(p), rate(p), share=share, units=20_000, planned=planned)
    assert alarms(setting, runs=1_000, seed=17) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("name", ["amounts", "losses"])
def test_false_alarms_are_rare_for_long_tails(name: str, share: float) -> None:
    draw = lognormal() if name == "amounts" else rare_loss(0.01)
    setting = Setting(draw, draw, share=share, is_proportion=False, units=20_000, planned=5_000)
    assert alarms(setting, runs=1_000, seed=17) <= 0.05


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_real_difference_is_found(name: str) -> None:
    assert alarms(DIFFERENT[name], runs=100, seed=2) >= 0.9


def test_the_interval_holds_the_true_difference_at_all_looks_together() -> None:
    setting = Setting(rate(0.10), rate(0.13), units=4_000)
    looks = simulate(setting, 200, seed=8)
    missed = 0
    for run in range(200):
        for unit in range(199, setting.units, 190):
            found = difference(
                tally_of(looks, 0, run, unit),
                tally_of(looks, 1, run, unit),
                planned_units=setting.planned,
                alpha=0.05,
                is_proportion=True,
            )
            if found.interval and not found.interval.low <= 0.03 <= found.interval.high:
                missed += 1
                break
    assert missed <= 10


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=30))
def test_a_tally_gives_mean_and_variance_from_integers(outcomes: list[int]) -> None:
    found = Tally.of(outcomes)
    assert found.mean == pytest.approx(float(np.mean(outcomes)), rel=1e-9, abs=1e-3)
    exact = np.array(outcomes, dtype=object)
    mean_n = sum(outcomes)
    n = len(outcomes)
    spread = sum((n * x - mean_n) ** 2 for x in exact)
    assert found.variance == pytest.approx(spread / n**2 / (n - 1), rel=1e-12)
    assert Tally.of(outcomes[:1]) + Tally.of(outcomes[1:]) == found


@pytest.mark.parametrize(
    ("control", "challenger"),
    [
        ([], [1] * 200),
        ([0] * 99, [1] * 200),
        ([0] * 500, [0] * 481 + [1] * 19),
        ([0] * 500, [0] * 500),
        ([1] * 500, [1] * 500),
    ],
)
def test_too_little_says_nothing(control: list[int], challenger: list[int]) -> None:
    found = difference(
        Tally.of(control),
        Tally.of(challenger),
        planned_units=1_000,
        alpha=0.05,
        is_proportion=True,
    )
    assert (found.interval, found.p_value) == (None, 1.0)


def test_all_against_none_says_something() -> None:
    found = difference(
        Tally.of([0] * 200),
        Tally.of([1] * 200),
        planned_units=1_000,
        alpha=0.05,
        is_proportion=True,
    )
    assert found.p_value < 1e-6


# --- the ratio -----------------------------------------------------------------------------------


def ratio_paths(share: float, runs: int, units: int, seed: int) -> tuple[object, ...]:
    """Log of the ratio, and chi-square, after every unit of arms that were set to 50 : 50."""
    rng = np.random.default_rng(seed)
    is_new = rng.random((runs, units)) < share
    new = is_new.cumsum(axis=1)
    n = np.arange(1, units + 1)
    seen_new = np.concatenate([np.zeros((runs, 1)), new[:, :-1]], axis=1)
    seen = np.where(is_new, seen_new, n - 1 - seen_new)
    # Predicted share of the arm that came, over the set one; the mixture is their product.
    log_ratio = np.log((50 + seen) / (100 + n - 1) / 0.5).cumsum(axis=1)
    chi = (2 * new - n) ** 2 / n
    return new, log_ratio, chi


def test_the_sequential_ratio_check_holds_at_any_look_and_the_usual_one_does_not() -> None:
    new, log_ratio, chi = ratio_paths(0.5, runs=400, units=4_000, seed=4)
    for run in (0, 7, 31):
        for unit in (10, 500, 3_999):
            counts = [unit + 1 - int(new[run, unit]), int(new[run, unit])]  # type: ignore[index]
            told = min(1.0, float(np.exp(-log_ratio[run, unit])))  # type: ignore[index]
            assert sequential_p(counts, [5_000, 5_000]) == pytest.approx(told, rel=1e-6)
    assert (np.exp(-log_ratio) <= 0.05).any(axis=1).mean() <= 0.05  # type: ignore[operator]
    usual = (chi[:, 99:] > 3.841459).any(axis=1).mean()  # type: ignore[index]
    assert usual > 0.2


def test_lost_units_are_found() -> None:
    # Of the challenger's units a tenth is lost: 50 : 45.
    _, log_ratio, _ = ratio_paths(45 / 95, runs=100, units=20_000, seed=6)
    assert (np.exp(-log_ratio) <= 0.001).any(axis=1).mean() >= 0.95  # type: ignore[operator]


def test_nobody_exposed_is_no_mismatch() -> None:
    assert not check_ratio([0, 0, 0], [3_400, 3_300, 3_300]).is_mismatch
    assert check_ratio([0, 0], [5_000, 5_000]).p_value == 1.0
