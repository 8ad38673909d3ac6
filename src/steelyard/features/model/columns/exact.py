"""Arrays of exact integers, and the shared formulas over them, equal to the scalar ones to the bit.

An array is of int64 where it is proved that every number fits, and of Python's own integers where
it is not: amounts squared and summed pass int64 soon enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Exact = npt.NDArray[Any]
"""Of int64, or of Python integers."""

INT64 = 1 << 63
_FLOAT_EXACT = 1 << 53


def largest(numbers: Exact) -> int:
    """Return the largest absolute value; 0 of nothing."""
    if not len(numbers):
        return 0
    return max(abs(int(numbers.max())), abs(int(numbers.min())))


def fitting(numbers: Exact, bound: int) -> Exact:
    """Return the numbers in a form in which results up to `bound` are exact.

    Steps on the way may wrap in int64: sums and differences that end inside it are right.
    """
    return numbers if numbers.dtype != object and bound < INT64 else numbers.astype(object)


def divide(first: Exact, second: Exact) -> Floats:
    """Return first / second, correctly rounded as Python divides integers; no second is zero."""
    wide = (abs(first) >= _FLOAT_EXACT) | (abs(second) >= _FLOAT_EXACT)
    wide = wide.astype(np.bool_)
    made = np.empty(len(first), np.float64)
    easy = ~wide
    made[easy] = first[easy].astype(np.float64) / second[easy].astype(np.float64)
    made[wide] = (first[wide].astype(object) / second[wide].astype(object)).astype(np.float64)
    return made


def mean(n: Ints, s: Exact) -> tuple[Floats, Flags]:
    """Return `formula.mean` of each place, and where there is one."""
    known = n > 0
    return divide(s, np.maximum(n, 1)), known


def standard_deviation(n: Ints, s: Exact, q: Exact) -> tuple[Floats, Flags]:
    """Return `formula.standard_deviation` of each place, and where there is one."""
    known = n >= 2
    bound = largest(n) * largest(q)
    above = fitting(n, bound) * fitting(q, bound) - fitting(s, bound) * fitting(s, bound)
    m = np.maximum(n, 2)
    return np.sqrt(divide(above, m * (m - 1))), known


def z_score(x: Exact, n: Ints, s: Exact, q: Exact) -> tuple[Floats, Flags]:
    """Return `formula.z_score` of each place, and where there is one."""
    deviation, known = standard_deviation(n, s, q)
    known = known & (deviation != 0)
    bound = largest(x) * largest(n) + largest(s)
    above = (fitting(x, bound) * fitting(n, bound) - fitting(s, bound)).astype(np.float64)
    below = n.astype(np.float64) * deviation
    return above / np.where(known, below, 1.0), known


def ratio(first: Exact, second: Exact, known: Flags) -> tuple[Floats, Flags]:
    """Return `formula.ratio` of each place, and where there is one.

    `known` says where both are known; integers are divided as integers, floats as floats.
    """
    known = known & (second != 0).astype(np.bool_)
    if first.dtype == np.float64 or second.dtype == np.float64:
        below = np.where(known, second.astype(np.float64), 1.0)
        return first.astype(np.float64) / below, known
    return divide(first, np.where(known, second, 1)), known
