"""Sample-ratio mismatch: do the arms have the shares that were set? Else nothing else counts.

A mismatch is a fault of the experiment (units lost, exposures recorded in one arm only, robots),
and its results are not to be trusted, whatever they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, gamma, lgamma, log, sqrt

MISMATCH_BELOW = 0.001
"""Below this always-valid p-value the results are not trusted."""
CONCENTRATION = 100
"""How near to the set shares the alternatives of the sequential test lie."""


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """Whether exposed units stand in the set ratio.

    Attributes
    ----------
    chi_square, p_value : Pearson's statistic and its p-value, good for one look
    always_valid_p : good for any number of looks
    is_mismatch : by the always-valid one
    """

    chi_square: float
    p_value: float
    always_valid_p: float
    is_mismatch: bool


def check_ratio(exposed: Sequence[int], weights_bp: Sequence[int]) -> RatioCheck:
    """Return whether the counts stand in the ratio of the weights.

    Parameters
    ----------
    exposed : units of each arm; weights_bp : its share, positive, in basis points

    Examples
    --------
    >>> round(check_ratio([1_000, 1_200], [5_000, 5_000]).p_value, 9)
    2.0079e-05
    """
    n, whole = sum(exposed), sum(weights_bp)
    if not n:
        return RatioCheck(0.0, 1.0, 1.0, is_mismatch=False)
    expected = [n * weight / whole for weight in weights_bp]
    statistic = sum((c - e) ** 2 / e for c, e in zip(exposed, expected, strict=True))
    valid = sequential_p(exposed, weights_bp)
    return RatioCheck(
        statistic,
        chi_square_tail(statistic, len(exposed) - 1),
        valid,
        is_mismatch=valid < MISMATCH_BELOW,
    )


def sequential_p(exposed: Sequence[int], weights_bp: Sequence[int]) -> float:
    """Return the always-valid p-value of the counts: one over a multinomial mixture ratio.

    The shares are mixed over a Dirichlet distribution around the set ones. The ratio is exact for
    any number of units; it does not depend on their order.

    Source: Lindon, Malek: Anytime-Valid Inference for Multinomial Count Data, NeurIPS 2022.

    Examples
    --------
    >>> sequential_p([5_000, 5_000], [5_000, 5_000]), sequential_p([500, 700], [1, 1]) < 1e-6
    (1.0, True)
    """
    whole = sum(weights_bp)
    shares = [weight / whole for weight in weights_bp]
    n = sum(exposed)
    ratio = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + n)
    for count, share in zip(exposed, shares, strict=True):
        prior = CONCENTRATION * share
        ratio += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return exp(-max(ratio, 0.0))


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return the probability that a chi-square variable exceeds a value; 1 without degrees.

    By the finite sums for whole degrees of freedom (Abramowitz, Stegun 26.4.4 and 26.4.5).

    Examples
    --------
    >>> round(chi_square_tail(3.841458820694124, 1), 12), round(chi_square_tail(5.991464547, 2), 9)
    (0.05, 0.05)
    """
    if degrees == 0:
        return 1.0
    half = statistic / 2
    if degrees % 2 == 0:
        even: float = sum(half**i / gamma(i + 1) for i in range(degrees // 2))
        return exp(-half) * even
    terms: float = sum(half ** (i - 0.5) / gamma(i + 0.5) for i in range(1, (degrees + 1) // 2))
    return erfc(sqrt(half)) + exp(-half) * terms
