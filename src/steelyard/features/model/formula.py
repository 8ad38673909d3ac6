"""The last step of every feature: from exact integers to the number, the same in all engines.

The engines find n (how many), s (sum) and q (sum of squares) by ways of their own and share these
formulas, so that equal integers give equal floats, to the bit. A formula adds and multiplies exact
integers first (unbounded here, 128 bits wide in columns), makes each a float by rounding to nearest
once, and goes on with divisions, products and square roots of floats, which IEEE 754 defines to the
last bit.
"""

from __future__ import annotations

from math import sqrt


def mean(n: int, s: int) -> float | None:
    """Return float(s) / float(n); None without values."""
    return float(s) / float(n) if n else None


def standard_deviation(n: int, s: int, q: int) -> float | None:
    """Return sqrt(float(n q - s s) / float(n (n - 1))); None below two values.

    Examples
    --------
    >>> standard_deviation(2, 30, 500)
    7.0710678118654755
    """
    if n < 2:
        return None
    return sqrt(float(n * q - s * s) / float(n * (n - 1)))


def z_score(x: int, n: int, s: int, q: int) -> float | None:
    """Return how many standard deviations x lies above the mean; None where there is none.

    It is float(n x - s) / (float(n) * deviation).
    """
    deviation = standard_deviation(n, s, q)
    if not deviation:
        return None
    return float(x * n - s) / (float(n) * deviation)


def ratio(first: float | None, second: float | None) -> float | None:
    """Return float(first) / float(second); None where one is missing or the second is zero."""
    if first is None or not second:
        return None
    return float(first) / float(second)
