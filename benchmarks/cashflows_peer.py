"""Books of contracts to measure schedules on, and the straightforward way to plan in Decimal."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise, product

import numpy as np

from steelyard.cashflows.model.columns import NO_DAY, TermsColumns, day_number
from steelyard.cashflows.model.daycount import DayCount
from steelyard.cashflows.model.terms import (
    Fee,
    FeeWhen,
    InterestOn,
    Method,
    MonthEnd,
    Residue,
    Terms,
)
from steelyard.kernel import BusinessDayRule, Rounding

INSTALMENTS = 12
PLAIN = Terms(
    principal_minor=1, start_on=date(2020, 1, 1), instalments=INSTALMENTS, rate=Decimal(0)
)
METHODS = {
    "equal instalment": PLAIN,
    "equal principal": replace(PLAIN, method=Method.EQUAL_PRINCIPAL),
    "interest only": replace(PLAIN, method=Method.INTEREST_ONLY),
    "bullet": replace(PLAIN, method=Method.BULLET),
    "flat": replace(PLAIN, method=Method.EQUAL_PRINCIPAL, interest_on=InterestOn.ORIGINAL),
    "balloon": replace(PLAIN, method=Method.FIXED_PRINCIPAL, principal_share=Decimal("0.05")),
}
COUNTS = (DayCount.PERIODS, DayCount.ACT_365F, DayCount.THIRTY_E_360, DayCount.ACT_ACT_ISDA)
PRODUCTS = [replace(one, day_count=count) for one, count in product(METHODS.values(), COUNTS)]
DRESSED = [
    replace(
        one,
        calendar="CN",
        holiday=BusinessDayRule.FOLLOWING,
        interest_to_due=at % 2 == 0,
        month_end=list(MonthEnd)[at % 3],
        rounding=list(Rounding)[at % 3],
        residue=list(Residue)[at % 2],
        refine_instalment=at % 4 == 0,
        instalment_multiple_minor=(1, 100)[at % 5 == 0],
        grace_principal=at % 3,
        interest_free=at % 2,
        fees=(Fee(code="service", when=FeeWhen.EACH, rate=Decimal("0.001")),) if at % 3 else (),
        down_payment=Decimal("0.2") if at % 8 == 0 else None,
    )
    for at, one in enumerate(PRODUCTS)
]


def book(contracts: int, templates: Sequence[Terms], *, stubs: float = 0.0) -> TermsColumns:
    """Return contracts of 2020 to 2026, products at random, every day of the month alike.

    Parameters
    ----------
    stubs : share with a first due date of its own, 10 to 45 days on
    """
    chance = np.random.default_rng(20261122)
    days = [day_number(date(2020, 1, 1)), day_number(date(2026, 12, 31))]
    start = chance.integers(*days, contracts).astype(np.int32)
    first = start + chance.integers(10, 46, contracts).astype(np.int32)
    return TermsColumns(
        templates=tuple(templates),
        template=chance.integers(0, len(templates), contracts).astype(np.int32),
        principal_minor=(10 ** chance.uniform(5, 7.5, contracts)).astype(np.int64) // 100 * 100,
        start_on=start,
        instalments=np.full(contracts, INSTALMENTS, np.int32),
        first_due_on=np.where(chance.random(contracts) < stubs, first, np.int32(NO_DAY)),
        rate=chance.integers(300, 3_600, contracts),
        rate_exponent=np.full(contracts, 4, np.int8),
    )


CENT = Decimal("0.01")
Line = tuple[date, int, int, int]


def decimal_schedule(terms: Terms) -> list[Line]:
    """Return due date, principal, interest and balance of each row of a plain product.

    Divisions come last: 1980.00 x 0.187 / 12 is a tie, and 1 / 12 taken first would miss it.
    """
    principal, n = Decimal(terms.principal_minor) / 100, terms.instalments
    ends = [_month_later(terms.start_on, k) for k in range(n + 1)]
    shares = [_share(terms.day_count, *span) for span in pairwise(ends)]
    rates = [terms.rate * over for over, _ in shares]
    under = shares[0][1]
    if terms.interest_on is InterestOn.ORIGINAL:
        pairs = _flat(principal, rates, under)
    else:
        pairs = _on_balance(terms, principal, rates, under)
    lines, left = [], principal
    for due, (part, interest) in zip(ends[1:], pairs, strict=True):
        left -= part
        lines.append((due, int(part * 100), int(interest * 100), int(left * 100)))
    return lines


def _on_balance(
    terms: Terms, principal: Decimal, rates: list[Decimal], under: int
) -> list[tuple[Decimal, Decimal]]:
    n, left, pairs, waiting = len(rates), principal, [], Decimal(0)
    instalment = Decimal(0)
    if terms.method is Method.EQUAL_INSTALMENT:
        grown, sums = principal, Decimal(0)
        for rate in rates:
            grows = 1 + rate / under
            grown *= grows
            sums = sums * grows + 1
        instalment = _cents(grown / sums)
    for k, rate in enumerate(rates):
        interest = left * rate
        if terms.method is Method.BULLET:
            waiting += interest
            interest = waiting if k == n - 1 else Decimal(0)
        interest = _cents(interest / under)
        if k == n - 1:
            part = left
        elif terms.method is Method.EQUAL_INSTALMENT:
            part = instalment - interest
        elif terms.method is Method.EQUAL_PRINCIPAL:
            part = _cents(principal / n)
        elif terms.method is Method.FIXED_PRINCIPAL:
            part = _cents(principal * (terms.principal_share or 0))
        else:
            part = Decimal(0)
        left -= part
        pairs.append((part, interest))
    return pairs


def _flat(principal: Decimal, rates: list[Decimal], under: int) -> list[tuple[Decimal, Decimal]]:
    n = len(rates)
    total = principal * sum(rates)
    part, each = _cents(principal / n), _cents(total / (under * n))
    last = (principal - part * (n - 1), _cents(total / under) - each * (n - 1))
    return [(part, each)] * (n - 1) + [last]


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def _month_later(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def _share(count: DayCount, first: date, last: date) -> tuple[int, int]:
    """Return a span in years as a quotient."""
    days = (last - first).days
    match count:
        case DayCount.PERIODS:
            return 1, 12
        case DayCount.ACT_365F:
            return days, 365
        case DayCount.THIRTY_E_360:
            months = (last.year - first.year) * 12 + last.month - first.month
            return months * 30 + min(last.day, 30) - min(first.day, 30), 360
        case _:
            turn = min(last, date(first.year + 1, 1, 1))
            parts = ((first.year, (turn - first).days), (last.year, (last - turn).days))
            leap = sum(gone for year, gone in parts if calendar.isleap(year))
            return days * 366 - leap, 365 * 366
