"""Whether what comes in, what a score says and what the rules do is still what it was.

What is found is a `Finding` with a sentence in both languages, for an alert among the cases. The
stability index itself stands in `metrics`; here are the bins it is taken over, what counts as a
shift, calibration, hit rates over time, and recall as far as labels can be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp, lgamma, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from steelyard.decisions.model.metrics import psi

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

DAY_MS = 86_400_000
WATCH_PSI, ALERT_PSI = 0.10, 0.25
WATCH_Z, ALERT_Z = 2.0, 3.0


class Level(StrEnum):
    """How much attention a finding wants."""

    STEADY = "steady"
    WATCH = "watch"
    ALERT = "alert"


class Drift(StrEnum):
    """What may have changed."""

    DISTRIBUTION = "distribution"
    """Of a score (PSI) or a feature (CSI)."""
    CALIBRATION = "calibration"
    HIT_RATE = "hit_rate"
    RECALL = "recall"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one score, feature, model or rule.

    Attributes
    ----------
    subject : name of what it is about
    value : index, ratio, rate or recall, as `drift` says
    en, zh : the sentence for people
    """

    drift: Drift
    subject: str
    level: Level
    value: float
    en: str
    zh: str

    def sentence(self, language: str) -> str:
        """Return the sentence, in Chinese for `zh*`, else in English."""
        return self.zh if language.lower().startswith("zh") else self.en


# --- distribution --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NumberBins:
    """Bins of a number: up to the first edge, between the edges, above the last one; missing.

    Attributes
    ----------
    edges : ascending, each belongs to the bin under it; the missing (NaN) have the last bin
    """

    edges: tuple[float, ...]

    @classmethod
    def of(cls, reference: Floats, bins: int = 10) -> NumberBins:
        """Return bins of about equal counts: edge i is the value at rank ceil(i n / bins).

        Equal edges are one, and an edge at the highest value is none, so that there may be fewer
        bins. Missing values are left out; of nothing there is one bin.

        Examples
        --------
        >>> NumberBins.of(np.array([1.0, 2.0, 2.0, 2.0, 3.0, 9.0]), bins=3)
        NumberBins(edges=(2.0,))
        """
        known = np.sort(reference[~np.isnan(reference)])
        n = len(known)
        ranks = [-(-i * n // bins) for i in range(1, bins)] if n else []
        edges = {float(known[rank - 1]) for rank in ranks if rank}
        return cls(tuple(sorted(edge for edge in edges if edge < known[-1])))

    def count(self, column: Floats) -> Integers:
        """Return how many values each bin has; int64, two more than there are edges."""
        places = np.searchsorted(np.array(self.edges), column, side="left")
        places[np.isnan(column)] = len(self.edges) + 1
        return np.bincount(places, minlength=len(self.edges) + 2).astype(np.int64)


@dataclass(frozen=True, slots=True)
class WordBins:
    """Bins of a word: each of some values, all others together, missing."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, reference: Sequence[str | None], most: int = 50) -> WordBins:
        """Return a bin for each of the most frequent values; of equally frequent the first ones."""
        seen = Counter(word for word in reference if word is not None)
        ranked = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(sorted(word for word, _ in ranked[:most])))

    def count(self, column: Sequence[str | None]) -> Integers:
        """Return how many values each bin has: the words, the others, the missing."""
        seen = Counter(column)
        missing = seen.pop(None, 0)
        counts = [seen.pop(word, 0) for word in self.words]
        return np.array([*counts, sum(seen.values()), missing], dtype=np.int64)


def distribution_drift(subject: str, before: Integers, now: Integers) -> Finding:
    """Return whether a score (PSI) or feature (CSI) is distributed as before.

    Parameters
    ----------
    before, now : counts of the same bins, by `NumberBins.count` or `WordBins.count`

    Returns
    -------
    Finding
        Watch from 0.10, alert from 0.25, the usual thresholds (Siddiqi, Credit Risk Scorecards,
        2006), and only if Pearson's test of homogeneity is beyond what chance gives 95 times of
        100: over few values the index is high without any shift. Of nothing it is steady.

    Examples
    --------
    >>> distribution_drift("amount", np.array([500, 500]), np.array([700, 300])).level.value
    'watch'
    """
    n, m = int(before.sum()), int(now.sum())
    if not n or not m:
        en = f"{subject}: nothing to compare."
        return Finding(
            Drift.DISTRIBUTION, subject, Level.STEADY, 0.0, en, f"{subject}：没有可比较的数据。"
        )
    index = psi(before.tolist(), now.tolist())
    level = _level(index, WATCH_PSI, ALERT_PSI)
    if not _differs(before, now):
        level = Level.STEADY
    word = {Level.STEADY: "is as before", Level.WATCH: "shifts", Level.ALERT: "has shifted"}
    zh_word = {Level.STEADY: "分布稳定", Level.WATCH: "分布有偏移", Level.ALERT: "分布显著偏移"}
    return Finding(
        Drift.DISTRIBUTION,
        subject,
        level,
        index,
        f"{subject} {word[level]}: stability index {index:.3f} over {m} values.",
        f"{subject} {zh_word[level]}：{m} 个取值的稳定性指数为 {index:.3f}。",
    )


def _differs(before: Integers, now: Integers) -> bool:
    """Whether Pearson's statistic is above its 95 % quantile (by Wilson and Hilferty, 1931)."""
    both = before + now
    held = both > 0
    statistic = 0.0
    for counts in (before, now):
        expected = both[held] * (counts.sum() / both.sum())
        statistic += float(((counts[held] - expected) ** 2 / expected).sum())
    degrees = int(held.sum()) - 1
    if not degrees:
        return False
    spread = 2 / (9 * degrees)
    return statistic > degrees * (1 - spread + 1.6449 * sqrt(spread)) ** 3


# --- calibration ---------------------------------------------------------------------------------


def calibration_drift(subject: str, probability: Floats, is_bad: Flags) -> Finding:
    """Return whether as many turn out bad as the model says.

    Parameters
    ----------
    probability : float64 (n,), in 0 to 1; is_bad : bool (n,), labels that had time to come in

    Returns
    -------
    Finding
        `value` is observed over expected. Its distance from 1 is judged by
        z = (bad - sum p) / sqrt(sum p (1 - p)): watch from 2, alert from 3.

    Examples
    --------
    >>> found = calibration_drift("pd_7", np.full(1000, 0.1), np.arange(1000) < 150)
    >>> round(found.value, 3), found.level.value
    (1.5, 'alert')
    """
    return calibration_of(
        subject,
        rows=len(is_bad),
        expected=float(probability.sum()),
        spread=float((probability * (1 - probability)).sum()),
        bad=int(is_bad.sum()),
    )


def calibration_of(subject: str, *, rows: int, expected: float, spread: float, bad: int) -> Finding:
    """Return what `calibration_drift` says of `rows` events, from their sums.

    Parameters
    ----------
    expected : sum of the chances p; spread : sum of p (1 - p); bad : how many turned out bad
    """
    if expected == 0.0 or spread == 0.0:
        en = f"{subject}: nothing to compare."
        return Finding(
            Drift.CALIBRATION, subject, Level.STEADY, 1.0, en, f"{subject}：没有可比较的数据。"
        )
    z = (bad - expected) / sqrt(spread)
    level = _level(abs(z), WATCH_Z, ALERT_Z)
    return Finding(
        Drift.CALIBRATION,
        subject,
        level,
        bad / expected,
        f"{subject} expects {expected:.1f} bad of {rows}; there are {bad} (z {z:+.1f}).",
        f"{subject} 预期 {rows} 笔中 {expected:.1f} 笔为坏，实际 {bad} 笔（z {z:+.1f}）。",
    )


# --- hit rates -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cusum:
    """Cumulative sums of a rule's hit rate, for a shift to either side.

    Each period gives z = (hits - n rate) / sqrt(n rate (1 - rate)); the sums are
    up = max(0, up + z - reference) and down = max(0, down - z - reference), and an alarm comes when
    one exceeds the interval. Then both begin anew.

    Attributes
    ----------
    rule : by name
    rate : share of decisions that it hits when nothing is wrong, above 0 and below 1
    reference, interval : k and h, in standard deviations of a period; 0.5 and 5 find a shift of one
        within 10 periods and give a false alarm in 465 (`average_run_length`)
    up, down : the sums as they stand
    periods : since the last alarm or the beginning

    Source: Page, Continuous Inspection Schemes, Biometrika 41, 1954.

    Examples
    --------
    >>> watch = Cusum("velocity", rate=0.02)
    >>> for hits in (20, 32, 36):
    ...     watch, found = watch.observe(1_000, hits)
    >>> found.level.value, watch.periods
    ('alert', 0)
    """

    rule: str
    rate: float
    reference: float = 0.5
    interval: float = 5.0
    up: float = 0.0
    down: float = 0.0
    periods: int = 0

    def __post_init__(self) -> None:
        assert 0 < self.rate < 1, self.rate
        assert self.reference >= 0, self.reference
        assert self.interval > 0, self.interval

    def observe(
        self, decisions: int, hits: int, *, z: float | None = None
    ) -> tuple[Cusum, Finding | None]:
        """Return the sums after one more period, and a finding if there is an alarm.

        Parameters
        ----------
        decisions : in which the rule was asked; a period without any is passed over
        hits : in which it hit
        z : how far that is from what is usual, where it is known better than by the formula of the
            class (`surprise`)
        """
        assert 0 <= hits <= decisions, (hits, decisions)
        if not decisions:
            return self, None
        if z is None:
            expected = decisions * self.rate
            z = (hits - expected) / sqrt(expected * (1 - self.rate))
        up = max(0.0, self.up + z - self.reference)
        down = max(0.0, self.down - z - self.reference)
        periods = self.periods + 1
        if max(up, down) <= self.interval:
            return replace(self, up=up, down=down, periods=periods), None
        more = up > down
        share, usual = f"{hits / decisions:.2%}", f"{self.rate:.2%}"
        finding = Finding(
            Drift.HIT_RATE,
            self.rule,
            Level.ALERT,
            hits / decisions,
            f"Rule {self.rule} hits {'more' if more else 'less'} often than its usual {usual}:"
            f" {share} in the last of {periods} periods.",
            f"规则 {self.rule} 命中率{'高于' if more else '低于'}常值 {usual}："
            f"{periods} 个时段中最近一个为 {share}。",
        )
        return replace(self, up=0.0, down=0.0, periods=0), finding


_COUNTED = 200
"""Expected hits from which the normal approximation does."""


def surprise(hits: int, decisions: int, *, usual: int, asked: int) -> float:
    """Return how far hits are from usual, as a z-score that knows how little the usual is known.

    Parameters
    ----------
    hits, decisions : of the period
    usual, asked : hits and decisions from which the usual rate is known

    Returns
    -------
    float
        The normal quantile of the middle of what the beta-binomial predictive distribution gives to
        `hits` (the rate's prior is Jeffreys'). Scores of periods that are each predicted from those
        before are nearly independent and standard normal, for rare rules too.

    Source: Hawkins, Self-Starting Cusum Charts for Location and Scale, The Statistician 36, 1987.

    Examples
    --------
    >>> round(surprise(30, 1_000, usual=200, asked=10_000), 2)
    2.01
    >>> round(surprise(3, 1_000, usual=0, asked=10_000), 2)
    3.65
    """
    if 2 * usual > asked:  # the rarer side, whose chance of none at all is no denormal number
        return -surprise(decisions - hits, decisions, usual=asked - usual, asked=asked)
    a, b = usual + 0.5, asked - usual + 0.5
    rate = a / (a + b)
    expected = decisions * rate
    if expected >= _COUNTED:
        spread = sqrt(expected * (1 - rate) * (a + b + decisions) / (a + b + 1))
        return (hits - expected) / spread
    below, chance = (
        0.0,
        exp(lgamma(b + decisions) + lgamma(a + b) - lgamma(b) - lgamma(a + b + decisions)),
    )
    for k in range(hits):
        below += chance
        chance *= (decisions - k) * (a + k) / ((k + 1) * (b + decisions - k - 1))
    middle = below + chance / 2
    return NormalDist().inv_cdf(min(max(middle, 1e-11), 1 - 1e-11))


def average_run_length(
    reference: float, interval: float, shift: float = 0.0, *, states: int = 200
) -> float:
    """Return after how many periods a CUSUM for both sides gives an alarm, on average.

    Parameters
    ----------
    shift : of the mean, in standard deviations of a period; 0: the run to a false alarm
    states : of the Markov chain that one sum is taken for, over [0, interval]

    Returns
    -------
    float
        For normal z. One side by the chain, both by 1/L = 1/L(up) + 1/L(down).

    Sources
    -------
    Brook, Evans: An Approach to the Probability Distribution of CUSUM Run Length, Biometrika 59,
    1972. Van Dobben de Bruyn: Cumulative Sum Tests, 1968 (both sides).

    Examples
    --------
    >>> round(average_run_length(0.5, 5.0)), round(average_run_length(0.5, 5.0, 1.0), 1)
    (465, 10.4)
    """
    up = _one_sided_run(reference - shift, interval, states)
    down = _one_sided_run(reference + shift, interval, states)
    return 1 / (1 / up + 1 / down)


def _one_sided_run(reference: float, interval: float, states: int) -> float:
    width = 2 * interval / (2 * states - 1)
    # Under the upper edge of the state d places on; the first state takes all that falls below it.
    normal = NormalDist()
    under = np.array([normal.cdf((d + 0.5) * width + reference) for d in range(-states, states)])
    place = np.arange(states)
    apart = place[None, :] - place[:, None] + states
    moves = under[apart] - under[apart - 1]
    moves[:, 0] = under[apart[:, 0]]
    runs = np.linalg.solve(np.eye(states) - moves, np.ones(states))
    return float(runs[0])


# --- recall --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DayRecall:
    """Of the bad events of one day, how many the decision caught.

    Attributes
    ----------
    day : days since 1970
    bad, caught : events; loss_minor, caught_minor : their amounts
    """

    day: int
    bad: int
    caught: int
    loss_minor: int
    caught_minor: int

    @property
    def recall(self) -> float | None:
        """Share of the bad events caught; None where there was none."""
        return self.caught / self.bad if self.bad else None


def recall_drift(subject: str, days: Sequence[DayRecall], *, recent: int = 7) -> Finding:
    """Return whether the last days catch as large a share of the bad as the days before.

    Returns
    -------
    Finding
        `value` is the recall of the last `recent` days. The difference of the two shares is judged
        by its z-score with the pooled share: watch from 2, alert from 3, and only a fall counts.
    """
    earlier, last = days[:-recent], days[-recent:]
    bad_before, bad = sum(d.bad for d in earlier), sum(d.bad for d in last)
    caught_before, caught = sum(d.caught for d in earlier), sum(d.caught for d in last)
    share = (caught + caught_before) / max(1, bad + bad_before)
    if not bad or not bad_before:
        en = f"{subject}: nothing to compare."
        return Finding(
            Drift.RECALL, subject, Level.STEADY, share, en, f"{subject}：没有可比较的数据。"
        )
    spread = sqrt(share * (1 - share) * (1 / bad + 1 / bad_before))
    now, before = caught / bad, caught_before / bad_before
    z = (before - now) / spread if spread else 0.0
    return Finding(
        Drift.RECALL,
        subject,
        _level(z, WATCH_Z, ALERT_Z),
        now,
        f"{subject} catches {now:.1%} of {bad} bad events, before {before:.1%} (z {-z:+.1f}).",
        f"{subject} 在 {bad} 笔坏交易中识别 {now:.1%}，此前为 {before:.1%}（z {-z:+.1f}）。",
    )


def _level(value: float, watch: float, alert: float) -> Level:
    if value >= alert:
        return Level.ALERT
    return Level.WATCH if value >= watch else Level.STEADY
