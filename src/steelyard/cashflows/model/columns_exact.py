"""A product over an integer, rounded, in columns: exact although no product fits into 64 bits."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.kernel import Rounding

Minor = NDArray[np.int64]

MAX_QUOTIENT: Final = 5 * 2**48
"""A rounded result has to be below this: 1.4 * 10**15, the largest principal with interest."""
MAX_DENOMINATOR: Final = 2**60


def rounded_product(
    amount: Minor, numerator: Minor | int, denominator: Minor | int, rounding: Rounding
) -> Minor:
    """Return ``amount * numerator / denominator``, each rounded once from the exact number.

    Parameters
    ----------
    amount, numerator : at least 0
    denominator : above 0, below `MAX_DENOMINATOR`; the quotient lies below `MAX_QUOTIENT`

    Examples
    --------
    >>> rounded_product(np.array([5, 7]), 1, 2, Rounding.HALF_EVEN)
    array([2, 4])
    >>> rounded_product(np.array([10**14 + 1]), 10**14, 2 * 10**14, Rounding.HALF_UP)
    array([50000000000001])
    """
    ratio = np.asarray(numerator, np.int64) / np.asarray(denominator, np.int64)
    return settled(amount * ratio, amount * numerator, denominator, rounding)


def settled(
    guess: NDArray[np.float64], product: Minor, denominator: Minor | int, rounding: Rounding
) -> Minor:
    """Return ``product / denominator`` rounded, the product known modulo 2**64 only.

    The guess of a quotient below `MAX_QUOTIENT` is made of five roundings of float64 at most (three
    conversions, a division, a product), so it lies within ``5 * 2**-53 * 5 * 2**48 = 25/32`` of the
    truth, and within 41/32 once it is an integer. What it leaves of the exact product is then
    smaller than 3/2 denominators and fits into 64 bits: arithmetic modulo 2**64 finds it although
    the product itself overflows. The guess is corrected by that rest: the result is exact, ties
    included.

    Parameters
    ----------
    guess : of the quotient, wrong by less than 1
    product : what is divided, not negative, modulo 2**64
    """
    whole: Minor = np.rint(guess).astype(np.int64)
    rest = product - whole * denominator
    return whole + _correction(whole, rest, denominator, rounding)


def _correction(guess: Minor, rest: Minor, denominator: Minor | int, rounding: Rounding) -> Minor:
    """Return what the guess lacks, given what it leaves; the exact value is not negative."""
    match rounding:
        case Rounding.DOWN | Rounding.FLOOR:
            return _floor(rest, denominator)
        case Rounding.UP | Rounding.CEILING:
            return -_floor(-rest, denominator)
        case Rounding.HALF_UP:
            return _floor_of_half(rest, denominator)
        case Rounding.HALF_DOWN:
            return -_floor_of_half(-rest, denominator)
        case Rounding.HALF_EVEN:
            up, down = _floor_of_half(rest, denominator), -_floor_of_half(-rest, denominator)
            # The two differ on a tie alone, by one.
            return np.where((guess + up) & 1 == 0, up, down)


def _floor(rest: Minor, denominator: Minor | int) -> Minor:
    """Return the floor of a quotient that lies between -2 and 2."""
    minus = (rest < 0).astype(np.int64) + (rest < -denominator)
    return (rest >= denominator) - minus


def _floor_of_half(rest: Minor, denominator: Minor | int) -> Minor:
    """Return the floor of a quotient plus 1/2; the quotient lies between -1 1/2 and 1 1/2."""
    twice = 2 * rest
    return (twice >= denominator).astype(np.int64) - (twice < -denominator)
