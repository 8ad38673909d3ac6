"""Group-sequential boundaries, for experiments that are looked at a set number of times.

Fewer looks than "at any time" cost less: with K equally spaced looks the boundary on the z-score is
constant (Pocock), or high at first and near the usual one at the end (O'Brien, Fleming).

Source: Jennison, Turnbull: Group Sequential Methods with Applications to Clinical Trials, 2000,
chapter 2 (the boundaries, tables 2.1 and 2.3) and 19 (the recursion).
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from math import erfc, exp, pi, sqrt

MOST_LOOKS = 10
_STEPS = 160
_PRECISION = 1e-7


class Shape(StrEnum):
    """How the boundary falls over the looks."""

    POCOCK = "pocock"
    OBRIEN_FLEMING = "obrien_fleming"


@lru_cache(maxsize=64)
def boundaries(shape: Shape, looks: int, alpha: float = 0.05) -> tuple[float, ...]:
    """Return the two-sided boundary of the z-score at each look.

    Parameters
    ----------
    looks : equally spaced in units counted, 1 to 10
    alpha : probability that one of them is crossed with no effect

    Examples
    --------
    >>> [round(z, 3) for z in boundaries(Shape.POCOCK, 2)]
    [2.178, 2.178]
    >>> [round(z, 3) for z in boundaries(Shape.OBRIEN_FLEMING, 2)]
    [2.797, 1.977]
    """
    assert 1 <= looks <= MOST_LOOKS, looks
    assert 0 < alpha < 1, alpha
    low, high = 0.0, 10.0
    while high - low > _PRECISION:
        constant = (low + high) / 2
        if crossing(_of(shape, looks, constant)) > alpha:
            low = constant
        else:
            high = constant
    return _of(shape, looks, high)


def crossing(bounds: tuple[float, ...]) -> float:
    """Return the probability that a z-score without effect ever leaves the bounds.

    The score at look k is the sum of k independent increments over the square root of k; its
    density inside the bounds is carried from look to look by Simpson's rule.

    Examples
    --------
    >>> round(crossing((1.959964, 1.959964)), 4)
    0.0831
    """
    grid, density = _first(bounds[0])
    crossed = erfc(bounds[0] / sqrt(2))
    for look, bound in enumerate(bounds[1:], start=2):
        edge = bound * sqrt(look)
        crossed += sum(
            mass * (erfc((edge - s) / sqrt(2)) + erfc((edge + s) / sqrt(2))) / 2
            for s, mass in zip(grid, density, strict=True)
        )
        if look < len(bounds):
            grid, density = _carry(grid, density, edge)
    return crossed


def _of(shape: Shape, looks: int, constant: float) -> tuple[float, ...]:
    if shape is Shape.POCOCK:
        return (constant,) * looks
    return tuple(constant * sqrt(looks / look) for look in range(1, looks + 1))


def _simpson(edge: float) -> tuple[list[float], list[float]]:
    step = 2 * edge / _STEPS
    points = [-edge + i * step for i in range(_STEPS + 1)]
    weights = [step / 3 * (1 if i in (0, _STEPS) else 4 if i % 2 else 2) for i in range(_STEPS + 1)]
    return points, weights


def _first(edge: float) -> tuple[list[float], list[float]]:
    points, weights = _simpson(edge)
    return points, [w * _normal(s) for s, w in zip(points, weights, strict=True)]


def _carry(grid: list[float], masses: list[float], edge: float) -> tuple[list[float], list[float]]:
    points, weights = _simpson(edge)
    held = list(zip(grid, masses, strict=True))
    return points, [
        w * sum(mass * _normal(s - before) for before, mass in held)
        for s, w in zip(points, weights, strict=True)
    ]


def _normal(x: float) -> float:
    return exp(-x * x / 2) / sqrt(2 * pi)
