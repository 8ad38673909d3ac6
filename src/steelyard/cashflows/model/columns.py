"""The columnar engine: schedules of many contracts at once, each equal to that of `plan`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model.columns_book import OWN_RATE, TermsColumns
from steelyard.cashflows.model.columns_dates import Days, date_of, day_number
from steelyard.cashflows.model.columns_exact import (
    MAX_DENOMINATOR,
    MAX_QUOTIENT,
    Minor,
    rounded_product,
)
from steelyard.cashflows.model.columns_periods import (
    NO_DAY,
    Lot,
    Periods,
    factors,
    in_tables,
    periods,
)
from steelyard.cashflows.model.columns_schedule import ScheduleColumns
from steelyard.cashflows.model.columns_spread import Spread, Stretches, planned
from steelyard.cashflows.model.columns_standing import (
    accrue_columns,
    earned_columns,
    outstanding_columns,
)
from steelyard.cashflows.model.plan import Plan, graces, is_equal, opening_row, plan
from steelyard.cashflows.model.terms import MAX_PRINCIPAL_MINOR, Fee, FeeOf, FeeWhen, Terms

__all__ = [
    "NO_DAY",
    "OWN_RATE",
    "Days",
    "Minor",
    "ScheduleColumns",
    "TermsColumns",
    "accrue_columns",
    "date_of",
    "day_number",
    "earned_columns",
    "outstanding_columns",
    "plan_columns",
]

_MAX_MULTIPLE: Final = 10**9


def plan_columns(book: TermsColumns) -> ScheduleColumns:
    """Return the schedules of many contracts; each is that of `plan`, to the minor unit.

    What the columns do not take (rates of more than 15 decimals, dates outside the years 1900 to
    2299, amounts whose intermediate products grow too large, an equal instalment too near to where
    rounding turns) is planned by the scalar engine, contract by contract, and counted.

    Examples
    --------
    >>> from datetime import date
    >>> from decimal import Decimal
    >>> one = Terms(principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12,
    ...             rate=Decimal("0.12"))
    >>> made = plan_columns(TermsColumns.of([one]))
    >>> made.plan_at(0) == plan(one), made.by_scalar
    (True, 0)
    """
    opening = _openings(book)
    made = _empty(book, opening)
    near, left = np.zeros(len(book), np.bool_), opening.by_scalar.copy()
    for lot in book.lots():
        if opening.by_scalar[lot.places[0]]:
            continue
        down = opening.down_minor[lot.places]
        taken = in_tables(lot) & (down <= lot.principal_minor) & (lot.rate_exponent != OWN_RATE)
        some = lot if taken.all() else lot.take(taken)
        left[lot.places[~taken]] = True
        _plan_lot(some, opening.down_minor[some.places], made, near, left)
    for place in np.flatnonzero(left | near).tolist():
        _write_plan(made, place, plan(book.terms_at(place)))
    by_scalar, near_ties = np.count_nonzero(left | near), np.count_nonzero(near)
    return replace(made, by_scalar=int(by_scalar), near_ties=int(near_ties))


class _Openings(NamedTuple):
    """Down payments and fees of the first day, and what only the scalar engine takes."""

    down_minor: Minor
    fee_minor: Minor
    by_scalar: NDArray[np.bool_]


def _openings(book: TermsColumns) -> _Openings:
    down, fees = np.zeros(len(book), np.int64), np.zeros(len(book), np.int64)
    by_scalar = np.zeros(len(book), np.bool_)
    for at, terms in enumerate(book.templates):
        upfront = [fee for fee in terms.fees if fee.when is FeeWhen.UPFRONT]
        if _takes(terms) and terms.down_payment is None and not upfront:
            continue
        places = np.flatnonzero(book.template == at)
        if not _takes(terms):
            by_scalar[places] = True
            for place in places.tolist():
                row = opening_row(book.terms_at(place))
                if row is not None:
                    down[place], fees[place] = row.principal_minor, row.fee_minor
            continue
        principal = book.principal_minor[places]
        if terms.down_payment is not None:
            over, under = terms.down_payment.as_integer_ratio()
            multiple = terms.part_multiple_minor
            part = rounded_product(principal, over, under * multiple, terms.rounding)
            down[places] = part * multiple
        for fee in upfront:
            fees[places] += _fee_amount(terms, fee, principal)
    return _Openings(down, fees, by_scalar)


def _takes(terms: Terms) -> bool:
    """Return whether every quotient of a template fits into the columns."""
    part = terms.part_multiple_minor
    shares = [(one, part) for one in (terms.down_payment, terms.principal_share) if one is not None]
    shares += [(fee.rate, 1) for fee in terms.fees]
    return (
        max(part, terms.instalment_multiple_minor) <= _MAX_MULTIPLE
        and all(one.as_integer_ratio()[1] * many < MAX_DENOMINATOR for one, many in shares)
        and all(fee.amount_minor < MAX_QUOTIENT for fee in terms.fees)
    )


def _empty(book: TermsColumns, opening: _Openings) -> ScheduleColumns:
    """Return schedules without their instalments; the rows of first days are there."""
    opens = (opening.down_minor > 0) | (opening.fee_minor > 0)
    offsets = np.zeros(len(book) + 1, np.int64)
    np.cumsum(book.instalments + opens, out=offsets[1:])
    rows = int(offsets[-1])

    def minor() -> Minor:
        return np.empty(rows, np.int64)

    def days() -> Days:
        return np.empty(rows, np.int32)

    made = ScheduleColumns(
        offsets=offsets, opens=opens, from_on=days(), to_on=days(), due_on=days(),
        principal_minor=minor(), interest_minor=minor(), fee_minor=minor(), accrues_minor=minor(),
        balance_minor=minor(), instalment_minor=np.zeros(len(book), np.int64), by_scalar=0,
        near_ties=0,
    )  # fmt: skip
    at = offsets[:-1][opens]
    for column in (made.from_on, made.to_on, made.due_on):
        column[at] = book.start_on[opens]
    made.principal_minor[at] = opening.down_minor[opens]
    made.fee_minor[at] = opening.fee_minor[opens]
    made.balance_minor[at] = (book.principal_minor - opening.down_minor)[opens]
    made.interest_minor[at] = made.accrues_minor[at] = 0
    return made


def _plan_lot(
    lot: Lot, down: Minor, made: ScheduleColumns, near: NDArray[np.bool_], left: NDArray[np.bool_]
) -> None:
    """Plan contracts that lie within the tables; mark those that turn out to need the scalar."""
    terms, n = lot.terms, lot.instalments
    if len(lot.places) == 0:
        return
    found = periods(lot)
    numerators, denominators, fits = factors(lot, found)
    principal = lot.principal_minor - down
    fits &= _stays_small(terms, principal, numerators, denominators)
    if not fits.all():
        left[lot.places[~fits]] = True
        _plan_lot(lot.take(fits), down[fits], made, near, left)
        return
    amortises, defers = graces(terms, n)
    stretches = Stretches(terms, principal, numerators, denominators, amortises, defers)
    parts, instalment, is_near = planned(stretches)
    near[lot.places] = is_near
    if is_equal(terms.method, terms):
        made.instalment_minor[lot.places] = instalment
    balance = principal - np.cumsum(parts.principal_minor, axis=0)
    _write(made, lot, found, parts, balance)


def _stays_small(
    terms: Terms, principal: Minor, numerators: Minor, denominators: Minor
) -> NDArray[np.bool_]:
    """Return for which contracts every quotient can be guessed well enough to be settled."""
    n = len(numerators)
    largest = numerators.max(axis=0) * float(n)
    # A sum of n guesses has n more roundings than one: its error has to stay below 1 as well. And
    # with the principal the interest has to stay a quotient that can be settled.
    limit = min(float(MAX_QUOTIENT - MAX_PRINCIPAL_MINOR), 2.0**53 / (n + 6))
    small: NDArray[np.bool_] = (
        (largest < 2.0**62)
        & (principal * largest < limit * denominators)
        & (denominators * float(n * terms.part_multiple_minor) < MAX_DENOMINATOR)
    )
    return small


def _write(made: ScheduleColumns, lot: Lot, found: Periods, parts: Spread, balance: Minor) -> None:
    """Write the instalments of a lot to where they stand in the book."""
    n, many = lot.instalments, len(lot.places)
    begin = made.offsets[lot.places] + made.opens[lot.places]
    columns: list[tuple[Days | Minor, Days | Minor]] = [
        (made.from_on, found.from_on), (made.to_on, found.to_on), (made.due_on, found.due_on),
        (made.principal_minor, parts.principal_minor), (made.interest_minor, parts.interest_minor),
        (made.fee_minor, _fees(lot, parts, balance)), (made.accrues_minor, parts.accrues_minor),
        (made.balance_minor, balance),
    ]  # fmt: skip
    first = int(begin[0])
    if int(begin[-1]) - first == (many - 1) * n:
        for whole, rows in columns:
            whole[first : first + many * n].reshape(many, n)[...] = rows.T
        return
    at = begin + np.arange(n)[:, None]
    for whole, rows in columns:
        whole[at] = rows


def _fees(lot: Lot, parts: Spread, balance: Minor) -> Minor:
    """Return the fees of instalments."""
    terms, total = lot.terms, np.zeros_like(balance)
    for fee in terms.fees:
        if fee.when is FeeWhen.UPFRONT:
            continue
        rows = slice(None) if fee.when is FeeWhen.EACH else slice(-1, None)
        if fee.of is FeeOf.ORIGINAL:
            base = np.broadcast_to(lot.principal_minor, total.shape)[rows]
        elif fee.of is FeeOf.BALANCE:
            base = balance[rows] + parts.principal_minor[rows]
        else:
            base = parts.principal_minor[rows] + parts.interest_minor[rows]
        total[rows] += _fee_amount(terms, fee, base)
    return total


def _fee_amount(terms: Terms, fee: Fee, base: Minor) -> Minor:
    over, under = fee.rate.as_integer_ratio()
    return fee.amount_minor + rounded_product(base, over, under, terms.rounding)


def _write_plan(made: ScheduleColumns, place: int, one: Plan) -> None:
    """Write the schedule that the scalar engine made."""
    rows = slice(int(made.offsets[place]), int(made.offsets[place + 1]))
    assert len(one.rows) == rows.stop - rows.start, "both engines open a contract alike"
    for name in ("from_on", "to_on", "due_on"):
        getattr(made, name)[rows] = [day_number(getattr(row, name)) for row in one.rows]
    for name in ("principal", "interest", "fee", "accrues", "balance"):
        field = f"{name}_minor"
        getattr(made, field)[rows] = [getattr(row, field) for row in one.rows]
    made.instalment_minor[place] = one.instalment_minor
