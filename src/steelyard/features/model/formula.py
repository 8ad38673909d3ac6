"""The last step of every feature: from exact integers to the number, the same in all engines.

The engines find n (how many), s (sum) and q (sum of squares) by ways of their own and share these
formulas, so that equal integers give equal floats, to the bit. A formula adds and multiplies exact
integers of any size first; integer over integer is rounded once, to the nearest float, as Python
divides; what follows are quotients, products and square roots of floats, which IEEE 754 defines to
the last bit.
"""

from __future__ import annotations

from math import sqrt


def mean(n: int, s: int) -> float | None:
    """Return s / n, correctly rounded; None without values."""
    return s / n if n else None


def standard_deviation(n: int, s: int, q: int) -> float | None:
    """Return sqrt((n q - s s) / (n (n - 1))) of integers; None below two values.

    Examples
    --------
    >>> standard_deviation(2, 30, 500)
    7.0710678118654755
    """
    if n < 2:
        return None
    return sqrt((n * q - s * s) / (n * (n - 1)))


def z_score(x: int, n: int, s: int, q: int) -> float | None:
    """Return how many standard deviations x lies above the mean; None where there is none.

    It is the integer n x - s, made a float, over the product of the floats n and deviation.
    """
    deviation = standard_deviation(n, s, q)
    if not deviation:
        return None
    return float(x * n - s) / (float(n) * deviation)


def ratio(first: float | None, second: float | None) -> float | None:
    """Return first / second; None where one is missing or the second is zero.

    Two integers are divided as integers.
    """
    if first is None or not second:
        return None
    return first / second
