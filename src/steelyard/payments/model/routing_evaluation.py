"""What another routing would have been worth, by the payments of this one (off-policy evaluation).

Each payment counts by the inverse of the probability with which its channel was chosen.
Sources: Horvitz, Thompson 1952 (IPS); Hesterberg 1995, Swaminathan, Joachims 2015 (SNIPS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Logged(NamedTuple):
    """A payment as it was routed.

    Attributes
    ----------
    propensity : with which its channel was chosen; wanted : with which the other would choose it
    gain : 1 for a success, or what it was worth
    """

    propensity: float
    wanted: float
    gain: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the interval that holds it with a given confidence.

    Attributes
    ----------
    effective : how many payments of equal weight would be as sure (Kish 1965)
    """

    value: float
    low: float
    high: float
    effective: float


def ips(logged: Sequence[Logged], *, confidence: float = 0.95) -> Estimate:
    """Return the mean gain of the other routing, without bias; wide where weights are.

    Examples
    --------
    >>> round(ips([Logged(0.5, 1.0, 1.0), Logged(0.5, 0.0, 1.0)]).value, 3)
    1.0
    """
    assert logged, "nothing was logged"
    weights = [one.wanted / one.propensity for one in logged]
    gains = [weight * one.gain for weight, one in zip(weights, logged, strict=True)]
    count = len(gains)
    value = sum(gains) / count
    spread = sum((gain - value) ** 2 for gain in gains) / max(count - 1, 1)
    return _around(value, sqrt(spread / count), weights, confidence)


def snips(logged: Sequence[Logged], *, confidence: float = 0.95) -> Estimate:
    """Return the mean gain of the other routing by normalised weights: a little bias, less spread.

    A gain that is the same for all is returned as it is; where the other routing would have chosen
    none of the channels that were, nothing is known: the interval is all that gains span.

    Examples
    --------
    >>> round(snips([Logged(0.9, 1.0, 0.7), Logged(0.1, 1.0, 0.7)]).value, 9)
    0.7
    """
    assert logged, "nothing was logged"
    weights = [one.wanted / one.propensity for one in logged]
    whole = sum(weights)
    if not whole:
        gains = [one.gain for one in logged]
        return Estimate((min(gains) + max(gains)) / 2, min(gains), max(gains), 0.0)
    pairs = list(zip(weights, logged, strict=True))
    value = sum(weight * one.gain for weight, one in pairs) / whole
    error = sqrt(sum((weight * (one.gain - value)) ** 2 for weight, one in pairs)) / whole
    return _around(value, error, weights, confidence)


def _around(value: float, error: float, weights: list[float], confidence: float) -> Estimate:
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    squares = sum(weight * weight for weight in weights)
    effective = sum(weights) ** 2 / squares if squares else 0.0
    return Estimate(value, value - reach, value + reach, effective)
