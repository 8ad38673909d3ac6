"""Internal rates of return: the rate at which money paid out and money that comes back are equal.

Everything is solved in ``u = ln(1 + rate)``. An amount at time t is worth ``amount * exp(-u t)``;
a sum of such terms has no more zeros than its amounts, in the order of time, have changes of sign
(Descartes' rule holds for exponents that are no integers). With one change there is one rate and
it is bracketed; with more the whole range is searched. A rate that is disclosed is unique, or it
is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from math import exp, expm1, fsum, isfinite, log1p
from typing import Final, NamedTuple

from steelyard.kernel import Refusal, RefusalKind

_LOWEST: Final = -20.0
"""Of ``ln(1 + rate)``: all but two in a thousand million lost."""
_HIGHEST: Final = 100.0
"""A tenth for one day is 10^15 times a year: true, and to be refused by a cap, not here."""
_SEARCHED: Final = 20.0
"""Where several rates are looked for, either way."""
_STEP: Final = 0.05
_CLOSE: Final = 4e-16
_TRIES: Final = 200
_DAYS_IN_YEAR: Final = 365


class RateDoesNotExist(Refusal):
    """No rate makes the flows equal."""

    kind = RefusalKind.INVALID
    en = "No rate makes what was paid out equal to what comes back: {why}."
    zh = "不存在使付出与收回相等的利率：{why}。"


class RateIsNotUnique(Refusal):
    """Several rates make the flows equal, so that none of them can be disclosed."""

    kind = RefusalKind.INVALID
    en = "{count} rates make these flows equal: {rates}."
    zh = "有 {count} 个利率使这些现金流相等：{rates}。"


class FlowsAreInvalid(Refusal):
    """A list of flows cannot be read."""

    kind = RefusalKind.INVALID
    en = "The flows cannot be: {why}."
    zh = "现金流无效：{why}。"


class Flow(NamedTuple):
    """Money that moves on a day.

    Attributes
    ----------
    amount_minor : minor units, not negative; the list that it stands in says which way it goes
    """

    on: date
    amount_minor: int


class Point(NamedTuple):
    """An amount at a distance from the first flow.

    Attributes
    ----------
    amount : of either sign
    periods : whole periods, or years, that compound
    fraction : of one more period, 0 to 1, that bears simple interest (Regulation Z)
    """

    amount: float
    periods: float
    fraction: float = 0.0


def rates(points: Sequence[Point]) -> tuple[float, ...]:
    """Return every rate per period above -1 at which the points sum to nothing, rising.

    Parameters
    ----------
    points : in any order

    Returns
    -------
    tuple
        Rates per one and period; empty where there is none. With one change of sign in the order
        of time it is complete; with more, two rates nearer than a twentieth in ``ln(1 + rate)``
        are found where the sum turns between them.

    Refusals
    --------
    flows_are_invalid : an amount is no number

    Examples
    --------
    >>> [round(one, 6) for one in rates([Point(-100, 0), Point(230, 1), Point(-132, 2)])]
    [0.1, 0.2]
    """
    if not all(isfinite(one.amount) and isfinite(one.periods) for one in points):
        raise FlowsAreInvalid(why="an amount or a time is no finite number")
    merged: dict[tuple[float, float], float] = {}
    for amount, periods, fraction in points:
        merged[periods, fraction] = merged.get((periods, fraction), 0.0) + amount
    ordered = [Point(a, *at) for at, a in sorted(merged.items()) if a != 0]
    changes = sum(one.amount * two.amount < 0 for one, two in pairwise(ordered))
    if changes == 0:
        return ()
    value = _worth(ordered)
    found = _bracketed(value) if changes == 1 else _searched(value)
    return tuple(expm1(u) for u in found)


def sole_rate(points: Sequence[Point]) -> float:
    """Return the one rate per period at which the points sum to nothing.

    Refusals
    --------
    rate_does_not_exist, rate_is_not_unique, flows_are_invalid

    Examples
    --------
    >>> round(sole_rate([Point(-100, 0), Point(121, 2)]), 9)
    0.1
    """
    found = rates(points)
    if len(found) > 1:
        shown = ", ".join(f"{100 * one:.4f} %" for one in found)
        raise RateIsNotUnique(count=len(found), rates=shown)
    if not found:
        raise RateDoesNotExist(why=_why_none(points))
    return found[0]


def _why_none(points: Sequence[Point]) -> str:
    signs = {one.amount > 0 for one in points if one.amount != 0}
    if len(signs) < 2:
        return "money moves one way only"
    return "their worth has the same sign at every rate that is searched"


def _worth(points: Sequence[Point]) -> Callable[[float], float]:
    """Return the sum at ``u``, times a power of e that keeps every factor between 0 and 1."""
    first, last = points[0].periods, points[-1].periods

    def value(u: float) -> float:
        from_, rate = (last if u < 0 else first), expm1(u)
        return sum(
            amount * exp(-u * (periods - from_)) / (1.0 + fraction * rate)
            for amount, periods, fraction in points
        )

    return value


def _bracketed(value: Callable[[float], float]) -> tuple[float, ...]:
    """Return the zero of a function that has at most one."""
    for sign, widest in ((1, _HIGHEST), (-1, -_LOWEST)):
        near, at_near, reach = 0.0, value(0.0), _STEP
        while near < widest:
            at_far = value(sign * reach)
            if at_near * at_far <= 0:
                return (root(value, sign * near, sign * reach),)
            near, at_near, reach = reach, at_far, min(2 * reach, widest)
    return ()


def _searched(value: Callable[[float], float]) -> tuple[float, ...]:
    """Return the zeros of a function over the whole range: changes of sign, and turns between."""
    steps = round(_SEARCHED / _STEP)
    marks = [_STEP * k for k in range(-steps, steps + 1)]
    values = [value(u) for u in marks]
    found: list[float] = []
    for k in range(len(marks) - 1):
        if values[k] == 0:
            found.append(marks[k])
        elif values[k] * values[k + 1] < 0:
            found.append(root(value, marks[k], marks[k + 1]))
        elif k and _turns(values[k - 1 : k + 2]):
            found.extend(_beside_a_turn(value, marks[k - 1], marks[k + 1]))
    return tuple(sorted(set(found)))


def _turns(three: Sequence[float]) -> bool:
    """Return whether the middle of three values of one sign is the nearest to nothing."""
    before, middle, after = three
    same = before * middle > 0 and middle * after > 0
    return same and abs(middle) <= abs(before) and abs(middle) <= abs(after)


def _beside_a_turn(value: Callable[[float], float], low: float, high: float) -> tuple[float, ...]:
    """Return the two zeros around the turn of a function between two places, if it has them."""
    sign = 1.0 if value(low) > 0 else -1.0
    left, right = low, high
    for _ in range(60):
        one, two = left + (right - left) / 3, right - (right - left) / 3
        if sign * value(one) < sign * value(two):
            right = two
        else:
            left = one
    turn = (left + right) / 2
    if sign * value(turn) >= 0:
        return ()
    return root(value, low, turn), root(value, turn, high)


def root(value: Callable[[float], float], low: float, high: float) -> float:
    """Return a zero of a continuous function between two places of different sign.

    Inverse quadratic interpolation where it is safe, bisection elsewhere (Chandrupatla, Advances
    in Engineering Software 28, 1997), to the last bits of a double.

    Examples
    --------
    >>> round(root(lambda x: x * x - 2, 0.0, 2.0), 12)
    1.414213562373
    """
    a, b, at_a, at_b = low, high, value(low), value(high)
    if at_a == 0:
        return a
    assert at_a * at_b <= 0, "a zero lies between different signs"
    c, at_c, share = a, at_a, 0.5
    for _ in range(_TRIES):
        new = a + share * (b - a)
        at_new = value(new)
        if (at_new > 0) == (at_a > 0):
            c, at_c = a, at_a
        else:
            c, b, at_c, at_b = b, a, at_b, at_a
        a, at_a = new, at_new
        best = a if abs(at_a) < abs(at_b) else b
        least = (2 * _CLOSE * abs(best) + 1e-18) / abs(b - a) if b != a else 1.0
        if least > 0.5 or at_a == 0 or at_b == 0:
            return best
        share = min(1 - least, max(least, _next_share((a, b, c), (at_a, at_b, at_c))))
    return best


def _next_share(places: tuple[float, float, float], values: tuple[float, float, float]) -> float:
    """Return where between a and b to look next: interpolated where that is safe, else halfway."""
    (a, b, c), (at_a, at_b, at_c) = places, values
    xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
    if not (phi**2 < xi and (1 - phi) ** 2 < 1 - xi):
        return 0.5
    one = at_a / (at_b - at_a) * at_c / (at_b - at_c)
    two = (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
    return one + two


def irr(values: Sequence[float], guess: float | None = None) -> float:
    """Return the rate per period of equally distant flows, the first at once (IRR).

    Parameters
    ----------
    values : money in positive, out negative
    guess : of several rates the nearest to it; None: the one nearest to nothing

    Refusals
    --------
    rate_does_not_exist, flows_are_invalid

    Examples
    --------
    >>> round(irr([-70000, 12000, 15000, 18000, 21000, 26000]), 6)
    0.086631
    """
    return _nearest([Point(value, period) for period, value in enumerate(values)], guess)


def npv(rate: float, values: Sequence[float]) -> float:
    """Return the worth today of equally distant flows, the first after one period (NPV).

    Examples
    --------
    >>> round(npv(0.1, [-10000, 3000, 4200, 6800]), 2)
    1188.44
    """
    return fsum(value / (1 + rate) ** (period + 1) for period, value in enumerate(values))


def xirr(values: Sequence[float], dates: Sequence[date], guess: float | None = None) -> float:
    """Return the annual compound rate of dated flows, days over 365 from the first (XIRR).

    Parameters
    ----------
    values : money in positive, out negative
    guess : of several rates the nearest to it; None: the one nearest to nothing

    Refusals
    --------
    rate_does_not_exist, flows_are_invalid : a date before the first; not as many dates as values

    Examples
    --------
    >>> on = [date(2008, 1, 1), date(2008, 3, 1), date(2008, 10, 30), date(2009, 2, 15),
    ...       date(2009, 4, 1)]
    >>> round(xirr([-10000, 2750, 4250, 3250, 2750], on), 9)
    0.373362534
    """
    times = _years(values, dates)
    return _nearest([Point(*pair) for pair in zip(values, times, strict=True)], guess)


def xnpv(rate: float, values: Sequence[float], dates: Sequence[date]) -> float:
    """Return the worth on the first date of dated flows, days over 365 (XNPV).

    Refusals
    --------
    flows_are_invalid : a date before the first; not as many dates as values

    Examples
    --------
    >>> round(xnpv(0.1, [-100, 121], [date(2025, 1, 1), date(2026, 1, 1)]), 9)
    10.0
    """
    times = _years(values, dates)
    return fsum(value * exp(-time * log1p(rate)) for value, time in zip(values, times, strict=True))


def _years(values: Sequence[float], dates: Sequence[date]) -> list[float]:
    if len(values) != len(dates):
        raise FlowsAreInvalid(why=f"{len(values)} amounts and {len(dates)} dates")
    if not dates or min(dates) < dates[0]:
        raise FlowsAreInvalid(why="no date, or one before the first")
    return [(on - dates[0]).days / _DAYS_IN_YEAR for on in dates]


def _nearest(points: Sequence[Point], guess: float | None) -> float:
    found = rates(points)
    if not found:
        raise RateDoesNotExist(why=_why_none(points))
    aim = log1p(guess) if guess is not None and guess > -1 else 0.0
    return min(found, key=lambda one: abs(log1p(one) - aim))
