"""Monotone weight-of-evidence binning and information value.

Sign and scaling: WoE = ln(share of all goods in the bin / share of all bads in the bin). It is
positive where the bin is safer than the whole, and in natural logarithms. The information value
is the sum over bins of (good share - bad share) x WoE, never negative. (Siddiqi, Credit Risk
Scorecards, 2006, chapter 6; other tools turn the sign round, which leaves the value as it is.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.partition import Partition, Scalar
from steelyard.kernel import Refusal, RefusalKind

Floats = NDArray[np.float64]


class OneClassOnly(Refusal):
    """There is nothing to tell apart."""

    kind = RefusalKind.INVALID
    en = "Among the {rows} rows there are {bad} bad ones: both good and bad are needed."
    zh = "{rows} 行中有 {bad} 行为坏样本：好坏样本必须都有。"


class Trend(StrEnum):
    """How the share of bads moves along a number."""

    AUTO = "auto"
    """Rising or falling, whichever keeps more information."""
    RISING = "rising"
    FALLING = "falling"
    NONE = "none"
    """Any shape: neighbours are merged only where they are small or alike."""


@dataclass(frozen=True, slots=True)
class BinningRule:
    """How fine bins may be.

    Attributes
    ----------
    max_bins : intervals or groups, besides special, missing and other
    fine_bins : quantiles that are merged from
    min_share : least share of the rows in an interval or group
    min_class : least number of goods, and of bads, in an interval or group
    trend : see `Trend`; a category has none, its levels are ordered by their share of bads
    """

    max_bins: int = 6
    fine_bins: int = 40
    min_share: float = 0.05
    min_class: int = 5
    trend: Trend = Trend.AUTO


@dataclass(frozen=True, slots=True)
class Bin:
    """What was seen in one bin: counts, WoE, and its part of the information value."""

    label: str
    good: int
    bad: int
    woe: float
    iv: float

    @property
    def bad_rate(self) -> float | None:
        """The share of bads; None where nothing was seen."""
        seen = self.good + self.bad
        return self.bad / seen if seen else None


@dataclass(frozen=True, slots=True)
class Binning:
    """A partition with the weight of evidence of each of its bins.

    A bin in which nothing was seen in training (often `missing` and `other`) has WoE 0: it is no
    evidence either way, and `Bin.bad_rate` says so with None.
    """

    partition: Partition
    bins: tuple[Bin, ...]

    @property
    def iv(self) -> float:
        """The information value."""
        return sum(one.iv for one in self.bins)

    def woe(self, column: Sequence[Scalar] | NDArray[Any]) -> Floats:
        """Return the WoE of each value of a column."""
        table = np.array([one.woe for one in self.bins])
        return np.asarray(table[self.partition.indices(column)])


def weigh(partition: Partition, index: NDArray[np.int64], bad: NDArray[np.bool_]) -> Binning:
    """Return the partition with counts, WoE and information value of rows whose bins are known.

    Where a bin has goods or bads only, half a row is added to both, so that its WoE is finite.
    """
    bads = np.bincount(index[bad], minlength=partition.size)
    goods = np.bincount(index[~bad], minlength=partition.size)
    good_total, bad_total = int(goods.sum()), int(bads.sum())
    if not good_total or not bad_total:
        raise OneClassOnly(rows=good_total + bad_total, bad=bad_total)
    bins = []
    for label, good, bad_count in zip(partition.labels(), goods, bads, strict=True):
        woe, iv = _evidence(int(good), int(bad_count), good_total, bad_total)
        bins.append(Bin(label, int(good), int(bad_count), woe, iv))
    return Binning(partition, tuple(bins))


def _evidence(good: int, bad: int, goods: int, bads: int) -> tuple[float, float]:
    if not good and not bad:
        return 0.0, 0.0
    half = 0.0 if good and bad else 0.5
    good_share, bad_share = (good + half) / goods, (bad + half) / bads
    woe = log(good_share / bad_share)
    return woe, (good_share - bad_share) * woe


def bin_number(
    name: str,
    values: Floats,
    bad: NDArray[np.bool_],
    rule: BinningRule | None = None,
    specials: tuple[float, ...] = (),
) -> Binning:
    """Return monotone bins of a number.

    Parameters
    ----------
    values : shape (n,), NaN is missing
    bad : shape (n,), whether the row turned out bad
    rule : how fine; `BinningRule()`
    specials : values with a bin of their own, left out of the order

    Returns
    -------
    Binning : along the intervals the share of bads moves one way only, unless the trend is NONE

    Raises
    ------
    OneClassOnly : without a good or without a bad row

    Notes
    -----
    Quantiles are pooled where they break the trend (pool adjacent violators), then the smallest
    is merged with the neighbour that costs less information, until the rule is met.

    Examples
    --------
    >>> values = np.arange(400.0)
    >>> made = bin_number("x", values, values % 4 < values // 100, BinningRule(max_bins=3))
    >>> [round(one.bad_rate or 0, 2) for one in made.bins[:3]] == sorted(
    ...     round(one.bad_rate or 0, 2) for one in made.bins[:3])
    True
    """
    rule = rule or BinningRule()
    plain = ~np.isnan(values) & ~np.isin(values, specials)
    edges = _fine_edges(values[plain], rule.fine_bins)
    fine = np.searchsorted(edges, values[plain], side="right")
    bads = np.bincount(fine[bad[plain]], minlength=len(edges) + 1)
    goods = np.bincount(fine[~bad[plain]], minlength=len(edges) + 1)
    trends = [Trend.RISING, Trend.FALLING] if rule.trend is Trend.AUTO else [rule.trend]
    best: tuple[float, tuple[float, ...]] | None = None
    for trend in trends:
        merger = _Merger(goods, bads, rule, rows=len(values))
        merger.make_monotone(trend)
        merger.make_large_enough()
        found = (merger.iv(), tuple(float(edges[n]) for n in merger.cuts()))
        if best is None or found[0] > best[0]:
            best = found
    assert best is not None
    partition = Partition(name, edges=best[1], specials=specials)
    return weigh(partition, partition.indices(values), bad)


def bin_category(
    name: str,
    values: Sequence[Scalar] | NDArray[Any],
    bad: NDArray[np.bool_],
    rule: BinningRule | None = None,
    specials: tuple[str, ...] = (),
) -> Binning:
    """Return groups of the levels of a category, in the order of their share of bads.

    Parameters
    ----------
    values : texts, None is missing
    bad : shape (n,)
    rule : how fine; the trend is not looked at
    specials : levels with a bin of their own

    Raises
    ------
    OneClassOnly : without a good or without a bad row
    """
    rule = rule or BinningRule()
    counts: dict[str, list[int]] = {}
    for value, is_bad in zip(values, bad, strict=True):
        if value is not None and value not in specials:
            counts.setdefault(str(value), [0, 0])[int(is_bad)] += 1
    if not counts:
        counts[""] = [0, 0]
    # The share is drawn to the middle for rare levels, so that one row does not lead the order.
    prior = float(bad.mean())
    levels = sorted(
        counts, key=lambda one: ((counts[one][1] + 5 * prior) / (sum(counts[one]) + 5), one)
    )
    goods = np.array([counts[level][0] for level in levels])
    bads = np.array([counts[level][1] for level in levels])
    merger = _Merger(goods, bads, replace(rule, trend=Trend.NONE), rows=len(values))
    merger.make_monotone(Trend.RISING)
    merger.make_large_enough()
    cuts = [0, *(cut + 1 for cut in merger.cuts()), len(levels)]
    groups = tuple(tuple(levels[low:high]) for low, high in pairwise(cuts))
    partition = Partition(name, groups=groups, specials=specials)
    return weigh(partition, partition.indices(values), bad)


def _fine_edges(values: Floats, bins: int) -> Floats:
    """Return rising edges near the quantiles; each is a value that occurs, never the lowest."""
    if not len(values):
        return np.empty(0)
    distinct = np.unique(values)
    if len(distinct) <= bins:
        return np.asarray(distinct[1:])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return np.asarray(edges[edges > distinct[0]])


class _Merger:
    """Neighbouring bins that are merged two by two; `cuts` tells where they still part."""

    def __init__(
        self, goods: NDArray[np.int64], bads: NDArray[np.int64], rule: BinningRule, *, rows: int
    ) -> None:
        self._rule = rule
        self._least = rule.min_share * rows
        self._goods_all, self._bads_all = int(goods.sum()), int(bads.sum())
        # [goods, bads, last fine bin]
        self._bins = [[int(g), int(b), n] for n, (g, b) in enumerate(zip(goods, bads, strict=True))]

    def cuts(self) -> list[int]:
        """Return the fine bin before each edge that is left."""
        return [last for _, _, last in self._bins[:-1]]

    def iv(self) -> float:
        return sum(self._iv(good, bad) for good, bad, _ in self._bins)

    def make_monotone(self, trend: Trend) -> None:
        """Pool adjacent violators: shares of bads rise (fall) strictly along what is left."""
        if trend is Trend.NONE:
            return
        sign = 1 if trend is Trend.RISING else -1
        kept: list[list[int]] = []
        for one in self._bins:
            kept.append(one)
            while len(kept) > 1 and sign * _compare(kept[-1], kept[-2]) <= 0:
                last = kept.pop()
                kept[-1] = _join(kept[-1], last)
        self._bins = kept

    def make_large_enough(self) -> None:
        """Merge until no bin is too small and there are no more than allowed."""
        while len(self._bins) > 1:
            small = [n for n, one in enumerate(self._bins) if self._is_small(one)]
            if small:
                self._merge(self._cheapest(min(small, key=lambda n: sum(self._bins[n][:2]))))
            elif len(self._bins) > self._rule.max_bins:
                self._merge(min(range(len(self._bins) - 1), key=self._loss))
            else:
                return

    def _is_small(self, one: list[int]) -> bool:
        good, bad, _ = one
        return good + bad < self._least or min(good, bad) < self._rule.min_class

    def _cheapest(self, n: int) -> int:
        """Return the pair, by its left one, in which bin n is merged at the least loss."""
        pairs = [left for left in (n - 1, n) if 0 <= left < len(self._bins) - 1]
        return min(pairs, key=self._loss)

    def _loss(self, left: int) -> float:
        one, two = self._bins[left], self._bins[left + 1]
        joined = _join(one, two)
        return self._iv(one[0], one[1]) + self._iv(two[0], two[1]) - self._iv(joined[0], joined[1])

    def _merge(self, left: int) -> None:
        self._bins[left : left + 2] = [_join(self._bins[left], self._bins[left + 1])]

    def _iv(self, good: int, bad: int) -> float:
        return _evidence(good, bad, self._goods_all or 1, self._bads_all or 1)[1]


def _join(one: list[int], two: list[int]) -> list[int]:
    return [one[0] + two[0], one[1] + two[1], two[2]]


def _compare(one: list[int], two: list[int]) -> int:
    """Return the sign of the first's share of bads less the second's; 0 where one is empty."""
    return one[1] * (two[0] + two[1]) - two[1] * (one[0] + one[1])
