"""How principal and interest are spread over the instalments that lie ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from steelyard.cashflows.model.daycount import Ratio
from steelyard.cashflows.model.terms import InterestOn, Method, Residue, Terms
from steelyard.kernel import Rounding
from steelyard.kernel.rounding import round_ratio


class Part(NamedTuple):
    """Principal and interest of one instalment, minor units.

    Attributes
    ----------
    interest_minor : falls due with it
    accrues_minor : is earned in its period
    """

    principal_minor: int
    interest_minor: int
    accrues_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Instalments that lie ahead, and what is to be spread over them.

    Attributes
    ----------
    principal_minor : to be repaid by them
    original_minor : what flat interest and fixed shares are taken of
    factors : interest per one of the balance, for each period
    first_interest : exact interest of the first period, where its balance changed on the way
    method : of spreading
    amortises_from : index of the first instalment with principal
    defers_until : interest of the instalments before this index falls due with this one
    deferred : exact interest of earlier periods that is still put off, of which ...
    deferred_minor : ... so much was earned in them
    advance : principal already paid of each instalment
    bears_on_advance : whether interest runs on that too
    """

    principal_minor: int
    original_minor: int
    factors: Sequence[Ratio]
    method: Method
    first_interest: Fraction | None = None
    amortises_from: int = 0
    defers_until: int = 0
    deferred: Fraction = Fraction(0)
    deferred_minor: int = 0
    advance: Sequence[int] | None = None
    bears_on_advance: bool = False


def rounded(num: int, den: int, rounding: Rounding, multiple: int = 1) -> int:
    """Return a quotient rounded to a multiple of minor units."""
    if rounding is Rounding.HALF_UP and multiple == 1 and num >= 0:
        # The common way, without a call for each amount of a plan.
        return (2 * num + den) // (2 * den)
    if multiple == 1:
        return round_ratio(num, den, rounding)
    return round_ratio(num, den * multiple, rounding) * multiple


def solve_instalment(terms: Terms, stretch: Stretch) -> int:
    """Return the equal instalment that repays a stretch, rounded as the terms say.

    With period factors r_k it is P (1 + r_1) ... (1 + r_n) / f_n, where f_1 = 1 and
    f_k = f_(k-1) (1 + r_k) + 1.

    Returns
    -------
    int
        Minor units; refined once where the terms ask for it.
    """
    num, den = _instalment(stretch)
    multiple = terms.instalment_multiple_minor
    found = rounded(num, den, terms.rounding, multiple)
    if not terms.refine_instalment:
        return found
    n = len(stretch.factors) - stretch.amortises_from
    miss = _miss(terms, stretch, found)
    if abs(miss) <= n // 2:
        return found
    better = rounded(found * n + miss, n, terms.rounding, multiple)
    return better if abs(_miss(terms, stretch, better)) < abs(miss) else found


def _instalment(stretch: Stretch) -> Ratio:
    """Return the exact instalment as a quotient.

    With :math:`r_k = n_k / d_k` both sides are taken times the product of all :math:`d_k`: integers
    carry the whole, and a tie is one.
    """
    grown, under = stretch.principal_minor, 1
    sums, scale = 0, 1
    for n, (num, den) in enumerate(stretch.factors):
        if n < stretch.amortises_from:
            continue
        if n == 0 and stretch.first_interest is not None:
            interest = stretch.first_interest
            under = interest.denominator
            grown = grown * under + interest.numerator
        elif num:
            grown *= den + num
            sums *= den + num
            scale *= den
        sums += scale
    return grown, under * sums


def _miss(terms: Terms, stretch: Stretch, instalment: int) -> int:
    """Return by how much the last instalment differs from the others."""
    last = spread(terms, stretch, instalment)[-1]
    return last.principal_minor + last.accrues_minor - instalment


def spread(terms: Terms, stretch: Stretch, instalment_minor: int | None) -> list[Part]:
    """Return the instalments of a stretch.

    Parameters
    ----------
    instalment_minor : the equal instalment, or for equal principal the part of it in each; None
        where the method needs none

    Returns
    -------
    list of Part
        As many as periods; their principal adds up to that of the stretch, none is below nothing.
    """
    if terms.interest_on is InterestOn.ORIGINAL:
        return _spread_flat(terms, stretch, instalment_minor)
    parts: list[Part] = []
    left = stretch.principal_minor
    rounding, multiple = terms.rounding, terms.part_multiple_minor
    deferred, deferred_of = stretch.deferred.as_integer_ratio()
    deferred_minor = stretch.deferred_minor
    advance = stretch.advance
    ahead = sum(advance) if advance else 0
    last = len(stretch.factors) - 1
    for n, (num, den) in enumerate(stretch.factors):
        if n == 0 and stretch.first_interest is not None:
            num, den = stretch.first_interest.as_integer_ratio()
        else:
            num *= left if stretch.bears_on_advance else left - ahead
        if n < stretch.defers_until or deferred:
            deferred, deferred_of = _sum(deferred, deferred_of, num, den)
            due = rounded(deferred, deferred_of, rounding, multiple)
            accrues = due - deferred_minor
            interest = 0
            if n < stretch.defers_until and n != last:
                deferred_minor = due
            else:
                interest, deferred, deferred_minor = due, 0, 0
        else:
            accrues = interest = rounded(num, den, rounding, multiple) if num else 0
        if n == last:
            principal = left
        elif n < stretch.amortises_from:
            principal = 0
        else:
            principal = _principal(terms, stretch, instalment_minor, accrues)
            if n == stretch.amortises_from and terms.residue is Residue.FIRST:
                principal += _residue(terms, stretch, instalment_minor)
            principal = max(0, min(principal, left))
        if advance:
            own = advance[n]
            ahead -= own
            principal = min(max(principal, own), left - ahead)
        left -= principal
        parts.append(Part(principal, interest, accrues))
    return parts


def _sum(num: int, den: int, more: int, of: int) -> Ratio:
    """Return the sum of two quotients; mostly their denominators agree."""
    if den == of:
        return num + more, den
    if num == 0:
        return more, of
    if den % of == 0:
        return num + more * (den // of), den
    return num * of + more * den, den * of


def _principal(terms: Terms, stretch: Stretch, given: int | None, interest: int) -> int:
    """Return the principal of an instalment that is neither the last nor without any."""
    if stretch.method in (Method.EQUAL_INSTALMENT, Method.INTEREST_ONLY, Method.BULLET):
        assert given is not None, "equal instalments are solved before they are spread"
        return given - interest
    if stretch.method is Method.FIXED_PRINCIPAL:
        share = terms.principal_share
        assert share is not None, "terms are checked when they are made"
        num, den = share.as_integer_ratio()
        part = rounded(stretch.original_minor * num, den, terms.rounding, terms.part_multiple_minor)
    else:
        part = given if given is not None else equal_part(terms, stretch)
    return _to_multiple(terms, part, interest)


def _to_multiple(terms: Terms, principal: int, interest: int) -> int:
    """Return the principal that makes the instalment a whole multiple."""
    multiple = terms.instalment_multiple_minor
    if multiple == 1:
        return principal
    return rounded(principal + interest, 1, terms.rounding, multiple) - interest


def equal_part(terms: Terms, stretch: Stretch) -> int:
    """Return the principal of each instalment where all have the same."""
    n = len(stretch.factors) - stretch.amortises_from
    return rounded(stretch.principal_minor, n, terms.rounding, terms.part_multiple_minor)


def _residue(terms: Terms, stretch: Stretch, given: int | None) -> int:
    """Return what rounding leaves to the last instalment, to be put into the first instead."""
    n = len(stretch.factors) - stretch.amortises_from
    if stretch.method is Method.EQUAL_PRINCIPAL:
        part = given if given is not None else equal_part(terms, stretch)
        return stretch.principal_minor - n * part
    if stretch.method is not Method.EQUAL_INSTALMENT or given is None or n == 1:
        return 0
    left = stretch.principal_minor
    for k, (num, den) in enumerate(stretch.factors):
        if k == 0 and stretch.first_interest is not None:
            num, den = stretch.first_interest.as_integer_ratio()
        else:
            num *= left
        interest = rounded(num, den, terms.rounding, terms.part_multiple_minor)
        if k == len(stretch.factors) - 1:
            return left + interest - given
        if k >= stretch.amortises_from:
            left -= max(0, min(given - interest, left))
    return 0


def _spread_flat(terms: Terms, stretch: Stretch, given: int | None) -> list[Part]:
    """Return instalments with interest on the original amount, its total spread evenly."""
    n = len(stretch.factors)
    total, of = 0, 1
    for k, (num, den) in enumerate(stretch.factors):
        first = stretch.first_interest if k == 0 else None
        if first is None:
            total, of = _sum(total, of, stretch.original_minor * num, den)
        else:
            total, of = _sum(total, of, *first.as_integer_ratio())
    bearing = [k for k, (num, _) in enumerate(stretch.factors) if num]
    if stretch.first_interest and 0 not in bearing:
        bearing.insert(0, 0)
    multiple = terms.part_multiple_minor
    whole = rounded(total, of, terms.rounding, multiple)
    each = rounded(total, of * len(bearing), terms.rounding, multiple) if bearing else 0
    bears = set(bearing)
    interests = [each if k in bears else 0 for k in range(n)]
    if bearing:
        odd = bearing[0] if terms.residue is Residue.FIRST else bearing[-1]
        interests[odd] = max(0, whole - each * (len(bearing) - 1))
    return _flat_parts(terms, stretch, given, interests)


def _flat_parts(
    terms: Terms, stretch: Stretch, given: int | None, interests: Sequence[int]
) -> list[Part]:
    """Return the instalments once the interest of each is known."""
    parts: list[Part] = []
    left, put_off = stretch.principal_minor, stretch.deferred_minor
    last = len(interests) - 1
    equal = given if given is not None else equal_part(terms, stretch)
    for n, accrues in enumerate(interests):
        put_off += accrues
        interest = 0
        if n >= stretch.defers_until or n == last:
            interest, put_off = put_off, 0
        if n == last:
            principal = left
        elif n < stretch.amortises_from:
            principal = 0
        elif stretch.method is Method.FIXED_PRINCIPAL:
            principal = _principal(terms, stretch, given, accrues)
        else:
            principal = equal
            if terms.residue is Residue.FIRST and n == stretch.amortises_from:
                count = len(interests) - stretch.amortises_from
                principal += stretch.principal_minor - count * equal
            principal = _to_multiple_flat(terms, stretch, principal, accrues)
        principal = max(0, min(principal, left))
        if stretch.advance:
            later = sum(stretch.advance[n + 1 :])
            principal = min(max(principal, stretch.advance[n]), left - later)
        left -= principal
        parts.append(Part(principal, interest, accrues))
    return parts


def _to_multiple_flat(terms: Terms, stretch: Stretch, principal: int, interest: int) -> int:
    """Return the principal of a flat instalment that is rounded as a whole from its exact size."""
    multiple = terms.instalment_multiple_minor
    if multiple == 1:
        return principal
    n = len(stretch.factors) - stretch.amortises_from
    return rounded(stretch.principal_minor + interest * n, n, terms.rounding, multiple) - interest
