"""Expected credit loss of a whole book in columns, equal to the scalar form to the minor unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.credit.model.classification import Stage
from steelyard.credit.model.ecl import (
    MONTHS_A_YEAR,
    PARTS,
    TWELVE_MONTHS,
    YEAR_DAYS,
    Exposure,
    LossCurve,
    allowance,
    discount,
)

Integers = NDArray[np.int64]
LARGEST: Final = 4_000_000_000
"""Up to this exposure the products stay under 2^62; larger loans go to the scalar form."""
_DAYS_STEP: Final = 1_830


@dataclass(frozen=True, slots=True, eq=False)
class OpenRows:
    """The open part of the instalments of a book, loan after loan, by due date within each.

    Attributes
    ----------
    first : int64 (loans + 1,), place of each loan's first row; the last is the number of rows
    days : int64 (rows,), from today to the due date; not positive once it is due
    principal_minor, interest_minor, charges_minor : int64 (rows,), what is left to pay
    """

    first: Integers
    days: Integers
    principal_minor: Integers
    interest_minor: Integers
    charges_minor: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The loss curves of all segments as one table.

    Attributes
    ----------
    by_month : int64 (segments, months + 1), shorter curves stay at their last month
    impaired : int64 (segments,)
    of : the curves, for the scalar form
    """

    by_month: Integers
    impaired: Integers
    of: tuple[LossCurve, ...]

    @classmethod
    def made(cls, curves: Sequence[LossCurve]) -> Curves:
        """Return the table of some curves, in their order."""
        months = max(len(one.by_month) for one in curves)
        padded = [one.by_month + one.by_month[-1:] * (months - len(one.by_month)) for one in curves]
        impaired = np.array([one.impaired for one in curves], np.int64)
        return cls(np.array(padded, np.int64), impaired, tuple(curves))


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """What the provision of each loan hangs on beside its cash flows; int64 (loans,) each.

    Attributes
    ----------
    segment : row of the table of curves
    eir_bp : effective yearly rate in whole basis points
    stage : 1, 2 or 3
    """

    segment: Integers
    eir_bp: Integers
    stage: Integers


def allowances(rows: OpenRows, graded: Graded, curves: Curves) -> Integers:
    """Return the provision of every loan, minor units: as `ecl.allowance` gives it for each.

    Returns
    -------
    ndarray
        int64 (loans,); 0 where nothing is owed.
    """
    loans = len(graded.segment)
    assert len(rows.first) == loans + 1, "a first row for each loan, and the end"
    of = np.repeat(np.arange(loans), np.diff(rows.first))
    late, now, ead = _exposures(rows, of, loans)
    made = np.zeros(loans, np.int64)

    impaired = graded.stage == Stage.THREE
    share = curves.impaired[graded.segment]
    small = np.maximum(now, late) <= LARGEST
    made[impaired & small] = _half_up((now * share)[impaired & small])

    coming = rows.days > 0
    keep = coming & ~impaired[of] & small[of]
    _add_coming(made, (of[keep], rows.days[keep], ead[keep]), graded, curves)

    has_coming = np.zeros(loans, np.bool_)
    has_coming[of[coming]] = True
    ended = np.flatnonzero(~has_coming & ~impaired & small & (late > 0))
    _add_coming(made, (ended, np.ones(len(ended), np.int64), late[ended]), graded, curves)

    for loan in np.flatnonzero(~small).tolist():
        made[loan] = _one(rows, graded, curves, (loan, int(late[loan]), of, ead, coming))
    return made


def _exposures(rows: OpenRows, of: Integers, loans: int) -> tuple[Integers, Integers, Integers]:
    """Return what is late of each loan, what is owed now, and the exposure of each row."""
    due = rows.days <= 0
    open_minor = rows.principal_minor + rows.interest_minor + rows.charges_minor
    late = _sums(np.where(due, open_minor, 0), rows.first)
    coming = np.where(due, 0, rows.principal_minor)
    through = np.cumsum(coming)
    ends = np.concatenate(([0], through))[rows.first]
    # Principal not yet due when the row's period ends: all of the loan's less what came before.
    left = ends[1:][of] - (through - coming)
    ead = late[of] + left + rows.interest_minor + rows.charges_minor
    now = late.copy()
    places = np.flatnonzero(~due)
    # Rows stand by due date, so the last one written is the earliest that is to come.
    now[of[places][::-1]] = ead[places][::-1]
    return late, now, ead


def _add_coming(
    made: Integers,
    terms: tuple[Integers, Integers, Integers],
    graded: Graded,
    curves: Curves,
) -> None:
    """Write the provision of loans whose rows are given: loan, days, exposure."""
    of, days, ead = terms
    if not len(of):
        return
    segment, eir_bp = graded.segment[of], graded.eir_bp[of]
    is_first = np.ones(len(of), np.bool_)
    is_first[1:] = of[1:] != of[:-1]
    before = np.concatenate(([0], days[:-1]))
    before[is_first] = 0
    near = np.minimum(days, TWELVE_MONTHS)
    loss = _loss_at(curves.by_month, segment, near)
    loss -= _loss_at(curves.by_month, segment, np.minimum(before, TWELVE_MONTHS))
    weight = _product(loss, _discounts(eir_bp, near))
    far = np.flatnonzero((days > TWELVE_MONTHS) & (graded.stage[of] != Stage.ONE))
    if len(far):
        loss = _loss_at(curves.by_month, segment[far], days[far])
        loss -= _loss_at(curves.by_month, segment[far], np.maximum(before[far], TWELVE_MONTHS))
        weight[far] += _product(loss, _discounts(eir_bp[far], days[far]))
    starts = np.flatnonzero(is_first)
    made[of[starts]] = _half_up(np.add.reduceat(ead * weight, starts))


def _product(loss: Integers, factor: Integers) -> Integers:
    found: Integers = (loss * factor + PARTS // 2) // PARTS
    return found


def _loss_at(by_month: Integers, segment: Integers, days: Integers) -> Integers:
    month, part = np.divmod(days * MONTHS_A_YEAR, YEAR_DAYS)
    last = by_month.shape[1] - 1
    below = by_month[segment, np.minimum(month, last)]
    above = by_month[segment, np.minimum(month + 1, last)]
    found: Integers = below + (above - below) * part // YEAR_DAYS
    return found


def _discounts(eir_bp: Integers, days: Integers) -> Integers:
    """Return the discount of each row from tables that the scalar form makes."""
    rates, which = np.unique(eir_bp, return_inverse=True)
    longest = -(-(int(days.max()) + 1) // _DAYS_STEP) * _DAYS_STEP
    table = np.stack([_table(rate, longest) for rate in rates.tolist()])
    found: Integers = table[which, days]
    return found


@lru_cache(maxsize=1_024)
def _table(eir_bp: int, days: int) -> Integers:
    return np.array([discount(eir_bp, day) for day in range(days)], np.int64)


def _sums(values: Integers, first: Integers) -> Integers:
    through = np.concatenate(([0], np.cumsum(values)))
    found: Integers = through[first[1:]] - through[first[:-1]]
    return found


def _half_up(parts: Integers) -> Integers:
    found: Integers = (2 * parts + PARTS) // (2 * PARTS)
    return found


def _one(
    rows: OpenRows,
    graded: Graded,
    curves: Curves,
    at: tuple[int, int, Integers, Integers, NDArray[np.bool_]],
) -> int:
    """Return the provision of one large loan by the scalar form."""
    loan, late, of, ead, coming = at
    places = np.flatnonzero((of == loan) & coming)
    exposed = [
        Exposure(days, owed)
        for days, owed in zip(rows.days[places].tolist(), ead[places].tolist(), strict=True)
    ]
    curve = curves.of[int(graded.segment[loan])]
    stage = Stage(int(graded.stage[loan]))
    return allowance(
        exposed or [Exposure(1, late)] * bool(late), curve, int(graded.eir_bp[loan]), stage
    )
