"""Tests that may be looked at as often as one likes: a normal mixture, for means and proportions.

With n units counted, an effect d of variance v is judged by the likelihood ratio against no effect,
mixed over a normal prior of effects (mixture sequential probability ratio test, mSPRT):

    L = (1 + k)^(-1/2) exp(d^2 / (2 v) * k / (1 + k)),  k = n rho^2

Under no effect L exceeds 1/alpha at any time, ever, with probability alpha at most, so 1/L is a
p-value that is valid whenever one stops, and inverting it gives a confidence sequence. rho^2
decides where in time the interval is tightest.

The variance is estimated, so all of this is asymptotic, and where it is not near enough it lies:
with a small challenger and rare events, the variance within the arms alone gives up to 25 % false
alarms (the README has the figures). Hence a proportion is tested with the pooled variance, which is
the true one when there is no difference, and a mean with the greater one of within and pooled; the
interval takes the greater one in both. Nothing is said before `FEWEST_UNITS` in each arm and
`FEWEST_EVENTS` in both together.

Sources
-------
Johari, Koomen, Pekelis, Walsh: Always Valid Inference, Operations Research 70(3), 2022 (mSPRT).
Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic
confidence sequences, Annals of Statistics 52(6), 2024 (the interval, and rho).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

FEWEST_UNITS = 100
"""Counted units in each arm before anything is said."""
FEWEST_EVENTS = 20
"""Outcomes other than zero (of a proportion: also other than one) in both arms together."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted of one metric in one arm, exact integers.

    Attributes
    ----------
    n : units with an outcome
    total, squares : sum of the outcomes and of their squares
    nonzero : outcomes other than zero

    Examples
    --------
    >>> Tally.of([3, 0, 5])
    Tally(n=3, total=8, squares=34, nonzero=2)
    """

    n: int
    total: int
    squares: int
    nonzero: int

    @classmethod
    def of(cls, outcomes: list[int]) -> Tally:
        """Return the tally of outcomes."""
        return cls(
            len(outcomes),
            sum(outcomes),
            sum(x * x for x in outcomes),
            sum(x != 0 for x in outcomes),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            self.nonzero + other.nonzero,
        )

    @property
    def mean(self) -> float:
        """Mean outcome; of nothing it is a fault to ask."""
        return self.total / self.n

    @property
    def variance(self) -> float:
        """Variance of the sample, from integers; below two units it is a fault to ask."""
        return (self.n * self.squares - self.total**2) / (self.n * (self.n - 1))


@dataclass(frozen=True, slots=True)
class Interval:
    """From low to high, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Challenger less control, as known now.

    Attributes
    ----------
    effect : difference of the means; None while an arm has no outcome
    interval : confidence sequence of it; None while nothing can be said; it reaches across zero
        exactly when the p-value is above alpha
    p_value : always valid; 1 while nothing can be said
    """

    effect: float | None
    interval: Interval | None
    p_value: float


def mixing(planned_units: int, alpha: float) -> float:
    """Return rho^2 with which the interval is tightest at a planned number of units.

    Examples
    --------
    >>> round(mixing(5_000, 0.05), 7)
    0.0015872
    """
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / planned_units


def half_width(variance: float, n: int, rho2: float, alpha: float) -> float:
    """Return half the width of the confidence sequence.

    Parameters
    ----------
    variance : of the effect (not of one unit)
    n : units counted in both arms; rho2 : see `mixing`; alpha : share of sequences that ever miss

    Examples
    --------
    >>> round(half_width(0.03386**2, 6_461, mixing(5_000, 0.05), 0.05), 4)
    0.1029
    """
    k = n * rho2
    return sqrt(variance) * sqrt(2 * (1 + k) / k * log(sqrt(1 + k) / alpha))


def p_value(effect: float, variance: float, n: int, rho2: float) -> float:
    """Return the always-valid p-value of an effect; see the head of the module.

    It is below alpha exactly when the confidence sequence of alpha and this variance leaves zero
    out.
    """
    k = n * rho2
    log_ratio = effect**2 / (2 * variance) * k / (1 + k) - log(1 + k) / 2
    return exp(-max(log_ratio, 0.0))


def difference(
    control: Tally, challenger: Tally, *, planned_units: int, alpha: float, is_proportion: bool
) -> Difference:
    """Return the difference of two arms in one metric.

    Parameters
    ----------
    planned_units : with an outcome in both arms, where the interval is to be tightest
    alpha : probability that the sequence of intervals ever misses the true difference
    is_proportion : outcomes are 0 or 1, and the rarer of the two counts as the event

    Examples
    --------
    >>> found = difference(
    ...     Tally(3_000, 1_396, 1_396, 1_396), Tally(3_461, 2_422, 2_422, 2_422),
    ...     planned_units=5_000, alpha=0.05, is_proportion=True)
    >>> round(found.effect, 4), found.p_value < 1e-20
    (0.2345, True)
    """
    if not control.n or not challenger.n:
        return Difference(None, None, 1.0)
    effect = challenger.mean - control.mean
    both = control + challenger
    events = min(both.nonzero, both.n - both.nonzero) if is_proportion else both.nonzero
    if min(control.n, challenger.n) < FEWEST_UNITS or events < FEWEST_EVENTS:
        return Difference(effect, None, 1.0)
    within = control.variance / control.n + challenger.variance / challenger.n
    pooled = both.variance * (1 / control.n + 1 / challenger.n)
    greater = max(within, pooled)
    tested = pooled if is_proportion else greater
    if tested == 0.0:
        return Difference(effect, None, 1.0)
    rho2 = mixing(planned_units, alpha)
    p = p_value(effect, tested, both.n, rho2)
    half = half_width(greater, both.n, rho2, alpha)
    low, high = effect - half, effect + half
    if p <= alpha:
        # The test has ruled zero out, and with it the other side.
        low, high = (max(low, 0.0), high) if effect > 0 else (low, min(high, 0.0))
    return Difference(effect, Interval(low, high), p)
