"""Principal and interest of many contracts at once: what `spread` does, in columns."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model.columns_exact import (
    MAX_DENOMINATOR,
    MAX_QUOTIENT,
    Minor,
    rounded_product,
    settled,
)
from steelyard.cashflows.model.terms import InterestOn, Method, Residue, Terms
from steelyard.kernel import Rounding

_UNIT: Final = 2.0**-53
"""Largest relative error of one rounding to float64."""
_HALVES: Final = (Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.HALF_DOWN)


class Spread(NamedTuple):
    """Instalments in columns, each of shape (instalments, contracts), minor units."""

    principal_minor: Minor
    interest_minor: Minor
    accrues_minor: Minor


class Stretches(NamedTuple):
    """Principal to be spread over instalments, many contracts of one template.

    Attributes
    ----------
    principal_minor : of shape (contracts,)
    numerators : of interest per one of the balance, of shape (instalments, contracts)
    denominators : of shape (contracts,)
    amortises_from, defers_until : as in the scalar `Stretch`
    """

    terms: Terms
    principal_minor: Minor
    numerators: Minor
    denominators: Minor
    amortises_from: int
    defers_until: int

    @property
    def repaying(self) -> int:
        """How many instalments repay principal."""
        return len(self.numerators) - self.amortises_from

    def take(self, which: NDArray[np.bool_]) -> Stretches:
        """Return the contracts of a mask."""
        return self._replace(
            principal_minor=self.principal_minor[which],
            numerators=self.numerators[:, which],
            denominators=self.denominators[which],
        )


def planned(stretches: Stretches) -> tuple[Spread, Minor, NDArray[np.bool_]]:
    """Return the instalments of a first plan.

    Returns
    -------
    tuple
        The instalments, the equal instalment of each contract (0 where the method has none), and
        which contracts the scalar engine has to plan because their equal instalment lies too near
        to where rounding turns.
    """
    terms = stretches.terms
    nothing = np.zeros_like(stretches.principal_minor)
    certain = nothing.astype(np.bool_)
    if terms.interest_on is InterestOn.ORIGINAL:
        return _spread_flat(stretches), nothing, certain
    if terms.method is Method.EQUAL_PRINCIPAL:
        return spread_columns(stretches, _equal_part(stretches)), nothing, certain
    if terms.method is not Method.EQUAL_INSTALMENT:
        return spread_columns(stretches, nothing), nothing, certain
    given, is_near = solve_columns(stretches)
    made = spread_columns(stretches, given)
    if terms.refine_instalment:
        made, given = _refined(stretches, made, given)
    return made, given, is_near


def solve_columns(stretches: Stretches) -> tuple[Minor, NDArray[np.bool_]]:
    """Return equal instalments before refinement, and which of them float64 cannot be sure of.

    With m instalments that repay, `P * prod(1 + r) / f` takes one rounding for each product and
    each sum and at most four for each `1 + r`: 5 m in the numerator, 6 m in the denominator, two at
    the end. All terms are positive, so relative errors add: a bound of ``(12 m + 8) * 2**-53`` is
    proven, second-order terms included. A quotient nearer than that to where its rounding turns is
    left to the scalar engine, unless it is one of integers and exact in columns as well.
    """
    terms, m = stretches.terms, stretches.repaying
    multiple = terms.instalment_multiple_minor
    grown = stretches.principal_minor.astype(np.float64)
    sums = np.zeros_like(grown)
    numerators = stretches.numerators[stretches.amortises_from :]
    with np.errstate(over="ignore", invalid="ignore"):
        for numerator in numerators:
            grows = 1.0 + numerator / stretches.denominators
            grown *= grows
            sums *= grows
            sums += 1.0
        exact = grown / (sums * multiple)
        exact[~np.isfinite(exact)] = MAX_QUOTIENT
        turns = np.floor(exact) + 0.5 if terms.rounding in _HALVES else np.rint(exact)
        is_near = ~(np.abs(exact - turns) > exact * ((12 * m + 8) * _UNIT))
    is_small = exact < MAX_QUOTIENT
    exact[is_near] = 0.0
    match terms.rounding:
        case Rounding.DOWN | Rounding.FLOOR:
            found = np.floor(exact)
        case Rounding.UP | Rounding.CEILING:
            found = np.ceil(exact)
        case _:
            found = np.rint(exact)
    given = found.astype(np.int64) * multiple
    plain, is_plain = _plain_instalment(stretches, is_small)
    return np.where(is_plain, plain, given), is_near & ~is_plain


def _plain_instalment(
    stretches: Stretches, is_small: NDArray[np.bool_]
) -> tuple[Minor, NDArray[np.bool_]]:
    """Return equal instalments that are one quotient of integers, and which are.

    They are so without interest and where one instalment repays; there ties are common.
    """
    terms, m = stretches.terms, stretches.repaying
    multiple, principal = terms.instalment_multiple_minor, stretches.principal_minor
    if m > 1:
        bears: NDArray[np.bool_] = stretches.numerators[stretches.amortises_from :].max(axis=0) > 0
        is_free = ~bears
        if not is_free.any():
            return principal, is_free
        return rounded_product(principal, 1, m * multiple, terms.rounding) * multiple, is_free
    fits = is_small & (stretches.denominators < MAX_DENOMINATOR // multiple)
    under = np.where(fits, stretches.denominators, 1)
    over = np.where(fits, under + stretches.numerators[-1], 1)
    found = rounded_product(principal, over, under * multiple, terms.rounding)
    return found * multiple, fits


def _refined(stretches: Stretches, made: Spread, given: Minor) -> tuple[Spread, Minor]:
    """Return instalments with one more try where the last differs from the others."""
    terms, m = stretches.terms, stretches.repaying
    multiple = terms.instalment_multiple_minor
    miss = _miss(made, given)
    odd = np.abs(miss) > m // 2
    if not odd.any():
        return made, given
    some, missed, first = stretches.take(odd), miss[odd], given[odd]
    again = rounded_product(first * m + missed, 1, m * multiple, terms.rounding) * multiple
    tried = spread_columns(some, again)
    is_better = np.abs(_miss(tried, again)) < np.abs(missed)
    places = np.flatnonzero(odd)[is_better]
    given[places] = again[is_better]
    for whole, part in zip(made, tried, strict=True):
        whole[:, places] = part[:, is_better]
    return made, given


def _miss(made: Spread, given: Minor) -> Minor:
    miss: Minor = made.principal_minor[-1] + made.accrues_minor[-1] - given
    return miss


def spread_columns(stretches: Stretches, given: Minor) -> Spread:
    """Return instalments with interest on the balance.

    Parameters
    ----------
    given : the equal instalment, or for equal principal the part of it in each
    """
    terms, rounding, multiple = _rules(stretches)
    numerators, principal = stretches.numerators, np.zeros_like(stretches.numerators)
    interest, unders = np.zeros_like(principal), stretches.denominators * multiple
    defers = stretches.defers_until
    accrues = np.zeros_like(principal) if defers else interest
    inverse = 1.0 / unders
    left, last = stretches.principal_minor.copy(), len(principal) - 1
    guess, owed = np.zeros(len(left)), np.zeros_like(left)
    put_off = np.zeros_like(left)
    part = _fixed_part(stretches) if terms.method is Method.FIXED_PRINCIPAL else given
    for n, numerator in enumerate(numerators):
        if n <= defers and defers:
            guess += left * (numerator / unders)
            owed += left * numerator
            due = settled(guess, owed, unders, rounding)
            due *= multiple
            accrues[n] = due - put_off
            put_off = due
            if n == defers:
                interest[n] = due
        else:
            due = settled(left * (numerator * inverse), left * numerator, unders, rounding)
            due *= multiple
            accrues[n] = interest[n] = due
        if n == last:
            principal[n] = left
        elif n >= stretches.amortises_from:
            own = _principal(terms, part, accrues[n])
            if n == stretches.amortises_from and terms.residue is Residue.FIRST:
                own = own + _residue(stretches, given)
            np.minimum(own, left, out=own)
            np.maximum(own, 0, out=principal[n])
            left -= principal[n]
    return Spread(principal, interest, accrues)


def _rules(stretches: Stretches) -> tuple[Terms, Rounding, int]:
    terms = stretches.terms
    return terms, terms.rounding, terms.part_multiple_minor


def _principal(terms: Terms, part: Minor, interest: Minor) -> Minor:
    """Return principal of instalments that are neither the last nor without any."""
    if terms.method is Method.EQUAL_INSTALMENT:
        return part - interest
    multiple = terms.instalment_multiple_minor
    if multiple == 1:
        return part.copy()
    whole = rounded_product(part + interest, 1, multiple, terms.rounding)
    return whole * multiple - interest


def _fixed_part(stretches: Stretches) -> Minor:
    """Return the fixed share of the principal."""
    terms, rounding, multiple = _rules(stretches)
    assert terms.principal_share is not None, "terms are checked when they are made"
    over, under = terms.principal_share.as_integer_ratio()
    part = rounded_product(stretches.principal_minor, over, under * multiple, rounding)
    return part * multiple


def _equal_part(stretches: Stretches) -> Minor:
    """Return the principal of each instalment where all have the same."""
    _, rounding, multiple = _rules(stretches)
    by = stretches.repaying * multiple
    return rounded_product(stretches.principal_minor, 1, by, rounding) * multiple


def _residue(stretches: Stretches, given: Minor) -> Minor:
    """Return what rounding leaves to the last instalment, to be put into the first instead."""
    terms, rounding, multiple = _rules(stretches)
    m = stretches.repaying
    if terms.method is Method.EQUAL_PRINCIPAL:
        return stretches.principal_minor - m * given
    if terms.method is not Method.EQUAL_INSTALMENT or m == 1:
        return np.zeros_like(given)
    left, unders = stretches.principal_minor.copy(), stretches.denominators * multiple
    last = len(stretches.numerators) - 1
    for n, numerator in enumerate(stretches.numerators):
        interest = settled(left * (numerator / unders), left * numerator, unders, rounding)
        interest *= multiple
        if n == last:
            left += interest
        elif n >= stretches.amortises_from:
            left -= np.maximum(0, np.minimum(given - interest, left))
    return left - given


def _spread_flat(stretches: Stretches) -> Spread:
    """Return instalments with interest on the original amount, its total spread evenly."""
    terms, rounding, _ = _rules(stretches)
    accrues = _flat_interest(stretches)
    principal, interest = np.zeros_like(accrues), accrues
    last, defers = len(accrues) - 1, stretches.defers_until
    if defers:
        interest = accrues.copy()
        interest[:defers] = 0
        interest[defers] = accrues[: defers + 1].sum(axis=0)
    left, m = stretches.principal_minor.copy(), stretches.repaying
    multiple = terms.instalment_multiple_minor
    is_fixed = terms.method is Method.FIXED_PRINCIPAL
    part = _fixed_part(stretches) if is_fixed else _equal_part(stretches)
    for n in range(stretches.amortises_from, last):
        own = part
        if is_fixed:
            own = _principal(terms, part, accrues[n])
        else:
            if terms.residue is Residue.FIRST and n == stretches.amortises_from:
                own = part + (stretches.principal_minor - m * part)
            if multiple != 1:
                whole = stretches.principal_minor + accrues[n] * m
                own = rounded_product(whole, 1, m * multiple, rounding) * multiple - accrues[n]
        principal[n] = np.maximum(0, np.minimum(own, left))
        left -= principal[n]
    principal[last] = left
    return Spread(principal, interest, accrues)


def _flat_interest(stretches: Stretches) -> Minor:
    """Return the interest of each period: equal where any runs, the odd rest in one of them."""
    terms, rounding, multiple = _rules(stretches)
    original, sums = stretches.principal_minor, stretches.numerators.sum(axis=0)
    bears = stretches.numerators > 0
    bearing = bears.sum(axis=0)
    many = np.maximum(bearing, 1)
    unders = stretches.denominators * multiple
    whole = rounded_product(original, sums, unders, rounding) * multiple
    each = rounded_product(original, sums, unders * many, rounding) * multiple
    interest: Minor = np.where(bears, each, 0)
    is_first = terms.residue is Residue.FIRST
    odd = bears.argmax(axis=0) if is_first else len(bears) - 1 - bears[::-1].argmax(axis=0)
    rest = np.maximum(0, whole - each * (many - 1))
    interest[odd, np.arange(len(odd))] = np.where(bearing > 0, rest, 0)
    return interest
