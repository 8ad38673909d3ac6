"""Named roundings, exact: a value is rounded once, from the exact number."""

from __future__ import annotations

import decimal
from decimal import Context, Decimal
from enum import StrEnum
from typing import Final

DIGITS: Final = 28
"""Significant digits that a rate carries, and that arithmetic on rates keeps."""

RATE_CONTEXT: Final = Context(
    prec=DIGITS,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[
        decimal.InvalidOperation,
        decimal.DivisionByZero,
        decimal.Overflow,
        decimal.Underflow,
        decimal.FloatOperation,
    ],
)
"""The one context of arithmetic on rates; the caller's own decimal context is never consulted."""

# Wide enough for any amount times any rate, so that rounding happens once, at the asked digit.
_WIDE: Final = Context(
    prec=90, traps=[decimal.InvalidOperation, decimal.Overflow, decimal.FloatOperation]
)


class Rounding(StrEnum):
    """Where a value goes that lies between two representable ones; negative values mirror.

    `FLOOR` and `CEILING` alone look at the sign: towards minus and plus infinity.
    """

    HALF_EVEN = "half_even"
    """To the nearest; a tie to the even digit (banker's rounding)."""
    HALF_UP = "half_up"
    """To the nearest; a tie away from zero (四舍五入)."""
    HALF_DOWN = "half_down"
    """To the nearest; a tie towards zero."""
    DOWN = "down"
    """Towards zero."""
    UP = "up"
    """Away from zero."""
    FLOOR = "floor"
    CEILING = "ceiling"


_DECIMAL_MODE: Final = {
    Rounding.HALF_EVEN: decimal.ROUND_HALF_EVEN,
    Rounding.HALF_UP: decimal.ROUND_HALF_UP,
    Rounding.HALF_DOWN: decimal.ROUND_HALF_DOWN,
    Rounding.DOWN: decimal.ROUND_DOWN,
    Rounding.UP: decimal.ROUND_UP,
    Rounding.FLOOR: decimal.ROUND_FLOOR,
    Rounding.CEILING: decimal.ROUND_CEILING,
}


def round_to(amount: Decimal, exponent: int, rounding: Rounding) -> Decimal:
    """Return a finite decimal at `exponent` digits after the point.

    Parameters
    ----------
    amount : finite, below 10**60
    exponent : digits after the point, 0 or more

    Examples
    --------
    >>> round_to(Decimal("2.345"), 2, Rounding.HALF_EVEN)
    Decimal('2.34')
    >>> round_to(Decimal("-2.345"), 2, Rounding.HALF_UP)
    Decimal('-2.35')
    """
    assert amount.is_finite(), "only a number can be rounded"
    step = Decimal((0, (1,), -exponent))
    return amount.quantize(step, rounding=_DECIMAL_MODE[rounding], context=_WIDE)


def round_ratio(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Return a quotient of integers rounded to an integer, without an intermediate value.

    Parameters
    ----------
    denominator : above zero

    Returns
    -------
    int
        Differs from the exact quotient by less than one, by at most a half for `HALF_*`.

    Examples
    --------
    >>> round_ratio(5, 2, Rounding.HALF_EVEN), round_ratio(-5, 2, Rounding.HALF_UP)
    (2, -3)
    """
    assert denominator > 0, "the sign belongs to the numerator"
    below, rest = divmod(numerator, denominator)
    if rest == 0:
        return below
    above = below + 1
    towards_zero, away = (below, above) if numerator > 0 else (above, below)
    match rounding:
        case Rounding.FLOOR:
            return below
        case Rounding.CEILING:
            return above
        case Rounding.DOWN:
            return towards_zero
        case Rounding.UP:
            return away
        case _:
            pass
    if 2 * rest != denominator:
        return below if 2 * rest < denominator else above
    match rounding:
        case Rounding.HALF_UP:
            return away
        case Rounding.HALF_DOWN:
            return towards_zero
        case _:
            return below if below % 2 == 0 else above
