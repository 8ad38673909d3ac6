"""Weight of evidence: outsiders' numbers, the trend, missing and special values, row = column."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.decisions.model.binning import (
    BinningRule,
    OneClassOnly,
    Trend,
    bin_category,
    bin_number,
    weigh,
)
from steelyard.decisions.model.partition import Partition, ValueDoesNotFit

# optbinning 1.0.0 on this table gives these WoE and IV; toad the same with the sign turned round.
GOOD = [380, 420, 900, 1300, 1500]
BAD = [120, 80, 100, 100, 50]
WOE = [-1.149906, -0.644357, -0.105361, 0.262364, 1.098612]
IV = [0.209538, 0.054412, 0.002341, 0.017491, 0.244136]


def table() -> tuple[np.ndarray, np.ndarray]:
    values = np.repeat(np.arange(5.0), np.array(GOOD) + np.array(BAD))
    bad = np.concatenate([np.arange(g + b) < b for g, b in zip(GOOD, BAD, strict=True)])
    return values, bad


def test_woe_and_iv_are_those_of_other_tools() -> None:
    values, bad = table()
    made = bin_number("x", values, bad, BinningRule(max_bins=5))
    assert [one.good for one in made.bins[:5]] == GOOD
    assert [one.woe for one in made.bins[:5]] == pytest.approx(WOE, abs=5e-7)
    assert [one.iv for one in made.bins[:5]] == pytest.approx(IV, abs=5e-7)
    assert made.iv == pytest.approx(0.527919, abs=1e-6)
    assert made.partition.edges == (1.0, 2.0, 3.0, 4.0)


def test_categories_are_grouped_in_the_order_of_their_share_of_bads() -> None:
    values, bad = table()
    letters = np.array(list("edcba"))[values.astype(int)]
    made = bin_category("x", letters, bad, BinningRule(max_bins=5))
    assert made.partition.groups == (("a",), ("b",), ("c",), ("d",), ("e",))
    assert made.iv == pytest.approx(0.527919, abs=1e-6)
    coarse = bin_category("x", letters, bad, BinningRule(max_bins=2))
    assert coarse.partition.groups == (("a", "b", "c"), ("d", "e"))
    assert made.woe(["a", None, "never seen"]).tolist() == [made.bins[0].woe, 0.0, 0.0]


@given(
    st.lists(
        st.tuples(st.floats(-100, 100) | st.integers(0, 5) | st.just(math.nan), st.booleans()),
        min_size=2,
        max_size=300,
    ).filter(lambda rows: 0 < sum(bad for _, bad in rows) < len(rows)),
    st.sampled_from(list(Trend)),
)
def test_bins_hold_every_row_and_move_one_way(rows: list[tuple[float, bool]], trend: Trend) -> None:
    values = np.array([value for value, _ in rows], dtype=float)
    bad = np.array([is_bad for _, is_bad in rows])
    rule = BinningRule(max_bins=4, min_class=2, trend=trend)
    made = bin_number("x", values, bad, rule, specials=(3.0,))
    assert sum(one.good for one in made.bins) == (~bad).sum()
    assert sum(one.bad for one in made.bins) == bad.sum()
    regular = made.bins[: made.partition.regular]
    assert len(regular) <= 4
    if len(regular) > 1:
        assert all(min(one.good, one.bad) >= 2 for one in regular)
    rates = [one.bad_rate or 0.0 for one in regular]
    if trend is not Trend.NONE:
        assert rates in (sorted(rates), sorted(rates, reverse=True))
    assert made.bins[made.partition.missing].good == (np.isnan(values) & ~bad).sum()
    assert made.bins[made.partition.regular].bad == ((values == 3) & bad).sum()
    assert made.iv >= 0
    assert all(math.isfinite(one.woe) for one in made.bins)


@given(
    st.lists(st.floats(-10, 10), max_size=6, unique=True),
    st.lists(st.none() | st.floats(allow_infinity=True, allow_nan=True) | st.integers(-12, 12)),
)
def test_a_number_falls_in_the_same_bin_alone_and_in_a_column(
    edges: list[float], values: list[float | None]
) -> None:
    partition = Partition("x", edges=tuple(sorted(edges)), specials=(7.0, -3.0))
    column = np.array([math.nan if value is None else value for value in values], dtype=float)
    assert partition.indices(column).tolist() == [partition.index(value) for value in values]


def test_a_bin_of_one_class_has_a_finite_weight() -> None:
    partition = Partition("x", edges=(1.0,))
    bad = np.array([True, True, False, False, False])
    made = weigh(partition, np.array([0, 0, 1, 1, 1]), bad)
    assert made.bins[0].woe == pytest.approx(math.log((0.5 / 3) / (2.5 / 2)))
    assert made.bins[1].bad_rate == 0
    assert made.bins[partition.missing].bad_rate is None
    assert made.bins[partition.missing].woe == 0


def test_refusals() -> None:
    with pytest.raises(OneClassOnly, match="4 rows there are 0 bad"):
        bin_number("x", np.arange(4.0), np.zeros(4, dtype=bool))
    with pytest.raises(ValueDoesNotFit, match="'old' of age is not a number"):
        Partition("age", edges=(1.0,)).index("old")
    with pytest.raises(ValueDoesNotFit, match="3 of job is not a text"):
        Partition("job", groups=(("a",),)).index(3)
    with pytest.raises(ValueError, match="edges rise"):
        Partition("age", edges=(2.0, 1.0))
    with pytest.raises(ValueError, match="either"):
        Partition("age")


def test_a_column_without_a_value_has_one_bin() -> None:
    bad = np.array([True, False, True])
    made = bin_number("x", np.full(3, math.nan), bad)
    assert made.partition.edges == ()
    assert made.bins[made.partition.missing].bad == 2
    empty = bin_category("x", [None, None, None], bad)
    assert empty.bins[empty.partition.missing].good == 1
