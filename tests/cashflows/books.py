"""Random terms of contracts, in books that share a template."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
from hypothesis import strategies as st

from steelyard.cashflows.model.daycount import DayCount, RatePer
from steelyard.cashflows.model.terms import (
    Fee,
    FeeOf,
    FeeWhen,
    InterestOn,
    Method,
    MonthEnd,
    Residue,
    Terms,
    Unit,
)
from steelyard.kernel import BusinessDayRule, Rounding

MULTIPLES = (1, 1, 1, 1, 5, 10, 100, 1_000)
# A year's worth of a month's or a day's rate would leave the amounts that anybody lends.
RATES = {
    RatePer.YEAR: 1,
    RatePer.MONTH: 12,
    RatePer.WEEK: 52,
    RatePer.DAY: 365,
    RatePer.TERM: 1,
}

shares = st.sampled_from(["0.05", "0.1", "0.125", "0.2", "0.3333", "0.5", "0.0001"]).map(Decimal)
fees = st.builds(
    Fee,
    code=st.just("service"),
    when=st.sampled_from(FeeWhen),
    amount_minor=st.sampled_from([0, 0, 1, 1_500]),
    rate=st.sampled_from(["0", "0.005", "0.01", "0.00125"]).map(Decimal),
    of=st.sampled_from(FeeOf),
)


@st.composite
def templates(draw: st.DrawFn) -> Terms:
    """Return a template: every choice that a product makes, none of a loan's own."""
    longest = draw(st.sampled_from([1, 2, 3, 6, 6, 12, 12, 24, 36]))
    method = draw(st.sampled_from(Method))
    unit = draw(st.sampled_from([Unit.MONTH, Unit.MONTH, Unit.WEEK, Unit.DAY]))
    every = {
        Unit.MONTH: st.sampled_from([1, 1, 1, 2, 3, 6, 12]),
        Unit.WEEK: st.sampled_from([1, 1, 2, 4]),
        Unit.DAY: st.sampled_from([1, 7, 15, 15, 30, 45]),
    }[unit]
    holiday = draw(
        st.sampled_from([BusinessDayRule.UNADJUSTED, BusinessDayRule.UNADJUSTED, *BusinessDayRule])
    )
    moved = holiday is not BusinessDayRule.UNADJUSTED
    graces = st.integers(0, max(0, min(longest - 1, 5))) | st.just(0)
    return Terms(
        principal_minor=1,
        start_on=date(2024, 1, 1),
        instalments=longest,
        every=draw(every),
        unit=unit,
        month_end=draw(st.sampled_from(MonthEnd)),
        calendar=draw(st.sampled_from(["CN", "TARGET2", "WEEKENDS"])) if moved else None,
        holiday=holiday,
        interest_to_due=draw(st.booleans()),
        rate=Decimal(0),
        rate_per=draw(st.sampled_from([RatePer.YEAR, RatePer.YEAR, RatePer.YEAR, *RatePer])),
        method=method,
        interest_on=draw(st.sampled_from([InterestOn.BALANCE, InterestOn.BALANCE, *InterestOn])),
        day_count=draw(st.sampled_from(DayCount)),
        rounding=draw(st.sampled_from(Rounding)),
        refine_instalment=draw(st.booleans()),
        instalment_multiple_minor=draw(st.sampled_from(MULTIPLES)),
        part_multiple_minor=draw(st.sampled_from(MULTIPLES)),
        residue=draw(st.sampled_from(Residue)),
        principal_share=draw(shares) if method is Method.FIXED_PRINCIPAL else None,
        down_payment=draw(st.none() | st.none() | shares),
        grace_principal=draw(graces),
        grace_interest=draw(graces),
        interest_free=draw(graces),
        fees=tuple(draw(st.lists(fees, max_size=2))),
    )


@dataclass(frozen=True)
class Book:
    """Contracts of one template, told by a seed; short to print."""

    template: Terms
    seed: int
    size: int

    def contracts(self) -> list[Terms]:
        one = self.template
        least = max(one.grace_principal + 1, one.grace_interest + 1, one.interest_free)
        chance = np.random.default_rng(self.seed)
        return [_contract(one, chance, least) for _ in range(self.size)]


def books(size: int) -> st.SearchStrategy[Book]:
    """Return books of so many contracts."""
    return st.builds(Book, templates(), st.integers(0, 2**32 - 1), st.just(size))


def _contract(template: Terms, chance: np.random.Generator, least: int) -> Terms:
    start = date(1990, 1, 1) + timedelta(days=int(chance.integers(0, 16_000)))
    if chance.random() < 0.2:
        # The last days of months are where dates go wrong.
        start = (start.replace(day=1) + timedelta(days=62)).replace(day=1) - timedelta(days=1)
    first = None
    if chance.random() < 0.3:
        first = start + timedelta(days=int(chance.integers(1, 75)))
    return replace(
        template,
        principal_minor=_principal(chance),
        start_on=start,
        instalments=int(chance.integers(least, template.instalments + 1)),
        first_due_on=first,
        rate=_rate(chance, RATES[template.rate_per]),
    )


def _principal(chance: np.random.Generator) -> int:
    match chance.integers(0, 8):
        case 0:
            return int(chance.integers(1, 200))
        case 1 | 2:
            return int(chance.integers(1, 1_000)) * 100_000
        case 3:
            return int(10 ** chance.uniform(7, 15))
        case _:
            return int(10 ** chance.uniform(3, 8))


def _rate(chance: np.random.Generator, parts: int) -> Decimal:
    match chance.integers(0, 8):
        case 0:
            return Decimal(0)
        case 1 | 2:
            annual = Decimal(int(chance.integers(1, 37))) / 100
            return (annual / parts).quantize(Decimal("0.000001"))
        case 3:
            odd = Decimal(int(chance.integers(1, 10**12))).scaleb(-12)
            return (odd / parts).quantize(Decimal("1E-13"))
        case 4:
            return Decimal(int(chance.integers(1, 10**17))).scaleb(-18)
        case _:
            return (Decimal(int(chance.integers(1, 3_600))) / 10_000 / parts).quantize(
                Decimal("0.00000001")
            )
