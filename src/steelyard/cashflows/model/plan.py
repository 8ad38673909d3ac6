"""The plan: the schedule of a contract to which nothing has happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from steelyard.cashflows.model.dates import Span, schedule_dates
from steelyard.cashflows.model.daycount import Ratio
from steelyard.cashflows.model.factors import factors
from steelyard.cashflows.model.spread import (
    Part,
    Stretch,
    equal_part,
    rounded,
    solve_instalment,
    spread,
)
from steelyard.cashflows.model.standing import Row, RowKind
from steelyard.cashflows.model.terms import Fee, FeeOf, FeeWhen, InterestOn, Method, Terms


class Plan(NamedTuple):
    """The schedule of a contract to which nothing has happened.

    Attributes
    ----------
    rows : down payment and fees of the first day, if there are any, then the instalments
    instalment_minor : the equal instalment, minor units; 0 where the method has none
    """

    rows: tuple[Row, ...]
    instalment_minor: int


def plan(terms: Terms) -> Plan:
    """Return the schedule of a contract to which nothing has happened.

    Returns
    -------
    Plan
        Principal of the rows adds up to that of the terms; every balance is at least nothing and
        the last is nothing.

    Examples
    --------
    >>> from datetime import date
    >>> from decimal import Decimal
    >>> made = plan(Terms(principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12,
    ...                   rate=Decimal("0.12")))
    >>> made.instalment_minor, made.rows[0].interest_minor, made.rows[-1].total_minor
    (106619, 12000, 106614)
    """
    spans = schedule_dates(terms)
    term_days = (spans[-1].to_on - terms.start_on).days
    first = opening_row(terms)
    down = first.principal_minor if first else 0
    stretch = first_stretch(
        terms, terms.principal_minor - down, free_first(terms, spans, term_days)
    )
    given = instalment_of(terms, stretch)
    parts = spread(terms, stretch, given)
    rows = [first] if first else []
    balance = stretch.principal_minor
    for span, part in zip(spans, parts, strict=True):
        fee = row_fee(terms, part, balance, is_last=span is spans[-1]) if terms.fees else 0
        balance -= part.principal_minor
        rows.append(
            Row(
                len(rows) + 1,
                RowKind.INSTALMENT,
                span.from_on,
                span.to_on,
                span.due_on,
                part.principal_minor,
                part.interest_minor,
                fee,
                0,
                balance,
                part.accrues_minor,
            )
        )
    return Plan(tuple(rows), (given or 0) if is_equal(terms.method, terms) else 0)


def is_equal(method: Method, terms: Terms) -> bool:
    """Whether the method solves for an equal instalment."""
    return method is Method.EQUAL_INSTALMENT and terms.interest_on is InterestOn.BALANCE


def instalment_of(terms: Terms, stretch: Stretch) -> int | None:
    """Return what `spread` is given: the equal instalment, or the equal part of the principal."""
    if terms.interest_on is InterestOn.ORIGINAL:
        return equal_part(terms, stretch)
    if stretch.method is Method.EQUAL_INSTALMENT:
        return solve_instalment(terms, stretch)
    if stretch.method is Method.EQUAL_PRINCIPAL:
        return equal_part(terms, stretch)
    return 0


def first_stretch(terms: Terms, principal_minor: int, ahead: Sequence[Ratio]) -> Stretch:
    """Return the stretch of a contract's first plan, its graces applied."""
    n = len(ahead)
    amortises, defers = graces(terms, n)
    return Stretch(
        principal_minor=principal_minor,
        original_minor=principal_minor,
        factors=ahead,
        method=terms.method,
        amortises_from=amortises,
        defers_until=defers,
    )


def graces(terms: Terms, n: int) -> tuple[int, int]:
    """Return from which instalment principal is repaid, and up to which interest is put off."""
    if terms.method is Method.BULLET:
        return n - 1, n - 1
    amortises = n - 1 if terms.method is Method.INTEREST_ONLY else min(terms.grace_principal, n - 1)
    return amortises, min(terms.grace_interest, n - 1)


def free_first(terms: Terms, spans: Sequence[Span], term_days: int) -> list[Ratio]:
    """Return the factor of each period, none for those without interest."""
    made = factors(terms, terms.rate, spans, term_days)
    for n in range(min(terms.interest_free, len(made))):
        made[n] = (0, 1)
    return made


def opening_row(terms: Terms) -> Row | None:
    """Return the row of the first day: down payment and fees due at once; None without any."""
    down = 0
    if terms.down_payment is not None:
        num, den = terms.down_payment.as_integer_ratio()
        down = rounded(terms.principal_minor * num, den, terms.rounding, terms.part_multiple_minor)
    fee = sum(
        fee_amount(terms, one, terms.principal_minor)
        for one in terms.fees
        if one.when is FeeWhen.UPFRONT
    )
    if down == 0 and fee == 0:
        return None
    on = terms.start_on
    return Row(
        1, RowKind.DOWN_PAYMENT, on, on, on, down, 0, fee, 0, terms.principal_minor - down, 0
    )


def row_fee(terms: Terms, part: Part, balance: int, *, is_last: bool) -> int:
    """Return the fees of an instalment, minor units."""
    total = 0
    for one in terms.fees:
        if one.when is FeeWhen.EACH or (one.when is FeeWhen.LAST and is_last):
            base = {
                FeeOf.ORIGINAL: terms.principal_minor,
                FeeOf.BALANCE: balance,
                FeeOf.INSTALMENT: part.principal_minor + part.interest_minor,
            }[one.of]
            total += fee_amount(terms, one, base)
    return total


def fee_amount(terms: Terms, fee: Fee, base_minor: int) -> int:
    """Return a fee on an amount, minor units."""
    num, den = fee.rate.as_integer_ratio()
    return fee.amount_minor + rounded(base_minor * num, den, terms.rounding)
