"""Due dates, interest periods and their factors for many contracts that share a template."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model import columns_dates as dates
from steelyard.cashflows.model.columns_dates import Days
from steelyard.cashflows.model.columns_daycount import Ratios, year_fractions
from steelyard.cashflows.model.columns_exact import MAX_DENOMINATOR, Minor
from steelyard.cashflows.model.daycount import DayCount, RatePer
from steelyard.cashflows.model.terms import MonthEnd, Terms, Unit
from steelyard.kernel import BusinessDayRule

NO_DAY: Final = np.iinfo(np.int32).min
"""Stands for a first due date that the contract does not name."""
_MARGIN_DAYS: Final = 62
"""Room that holiday rules and broken first periods need at the ends of the tables."""
_ANY_MONTH: Final = 28 * 29 * 15 * 31
"""Every length of a month divides it."""
_DAYS_A_UNIT: Final = {Unit.DAY: 1, Unit.WEEK: 7}
_YEARS: Final = {RatePer.YEAR: 1, RatePer.MONTH: 12, RatePer.WEEK: 52}


class Lot(NamedTuple):
    """Contracts of one template, one number of instalments, and with or without first due date.

    Attributes
    ----------
    terms : the template
    places : of the contracts in their book
    rate : whole numbers of ``10**-rate_exponent``
    """

    terms: Terms
    instalments: int
    has_first: bool
    places: NDArray[np.int64]
    principal_minor: Minor
    start_on: Days
    first_due_on: Days
    rate: Minor
    rate_exponent: NDArray[np.int8]

    def take(self, which: NDArray[np.bool_]) -> Lot:
        """Return the contracts of a mask."""
        return self._replace(
            places=self.places[which],
            principal_minor=self.principal_minor[which],
            start_on=self.start_on[which],
            first_due_on=self.first_due_on[which],
            rate=self.rate[which],
            rate_exponent=self.rate_exponent[which],
        )


class Periods(NamedTuple):
    """Interest periods, each of shape (instalments, contracts).

    Attributes
    ----------
    is_regular : of shape (contracts,): whether the first period is one whole distance; the others
        always are
    """

    from_on: Days
    to_on: Days
    due_on: Days
    is_regular: NDArray[np.bool_]


def in_tables(lot: Lot) -> NDArray[np.bool_]:
    """Return which contracts lie within the tables of dates from beginning to end."""
    terms = lot.terms
    seed = lot.first_due_on if lot.has_first else lot.start_on
    a_distance = terms.every * _DAYS_A_UNIT.get(terms.unit, 31)
    last = seed.astype(np.int64) + lot.instalments * a_distance
    within: NDArray[np.bool_] = (lot.start_on >= dates.FIRST_DAY + _MARGIN_DAYS) & (
        last <= dates.LAST_DAY - _MARGIN_DAYS
    )
    return within


def periods(lot: Lot) -> Periods:
    """Return the periods of contracts that lie within the tables, as `schedule_dates` has them."""
    terms, n = lot.terms, lot.instalments
    if lot.has_first:
        nominal = _steps(terms, lot.first_due_on, range(n))
        is_regular = _steps(terms, lot.start_on, range(1, 2))[0] == lot.first_due_on
    else:
        nominal = _steps(terms, lot.start_on, range(1, n + 1))
        is_regular = np.ones(len(lot.places), np.bool_)
    due = nominal
    if terms.holiday is not BusinessDayRule.UNADJUSTED:
        assert terms.calendar is not None, "terms are checked when they are made"
        due = dates.adjusted(nominal, terms.calendar, terms.holiday)
    to_on = nominal
    if terms.interest_to_due:
        # A holiday rule may move a due date back before the start: then the period is empty.
        to_on = np.maximum.accumulate(np.concatenate([lot.start_on[None], due]), axis=0)[1:]
    from_on = np.concatenate([lot.start_on[None], to_on[:-1]])
    return Periods(from_on, to_on, due, is_regular)


def _steps(terms: Terms, seed: Days, steps: range) -> Days:
    """Return days so many distances after seeds, one row a step."""
    distances = (np.arange(steps.start, steps.stop, dtype=np.int32) * terms.every)[:, None]
    if terms.unit is not Unit.MONTH:
        apart: Days = seed + distances * np.int32(_DAYS_A_UNIT[terms.unit])
        return apart
    month, day = dates.month_of(seed).astype(np.int32), dates.day_of(seed).astype(np.int32)
    if terms.month_end is MonthEnd.LAST:
        day = np.where(day == dates.month_length(month), np.int32(31), day)
    # Rolled, a day that a month does not have is the day after its last.
    rolls = np.int32(terms.month_end is MonthEnd.ROLL)
    months = month + distances
    within = np.minimum(day, dates.month_length(months) + rolls)
    found: Days = dates.month_start(months) + (within - np.int32(1))
    return found


def factors(lot: Lot, found: Periods) -> tuple[Minor, Minor, NDArray[np.bool_]]:
    """Return interest per one of the balance for each period, as exact quotients.

    Returns
    -------
    tuple
        Numerators of shape (instalments, contracts), denominators of shape (contracts,), and for
        which contracts both are exact; those of the others mean nothing.
    """
    terms = lot.terms
    over, under = _years(terms, found)
    under = np.broadcast_to(np.asarray(under, np.int64), lot.rate.shape)
    over = over * _YEARS.get(terms.rate_per, 1)
    if terms.rate_per is RatePer.TERM:
        under = np.maximum(found.to_on[-1] - lot.start_on, 1).astype(np.int64)
    scale = 10 ** lot.rate_exponent.astype(np.int64)
    fits = (over.max(axis=0) * lot.rate.astype(np.float64) < 2.0**62) & (
        scale.astype(np.float64) * under < MAX_DENOMINATOR
    )
    free = terms.interest_free
    numerators = over * np.where(fits, lot.rate, 0)
    if free:
        numerators[:free] = 0
    return numerators, scale * np.where(fits, under, 1), fits


def _years(terms: Terms, found: Periods) -> Ratios:
    """Return lengths of the periods in years, or in days where the rate is one of days."""
    count, shape = terms.day_count, found.to_on.shape
    if terms.rate_per in (RatePer.DAY, RatePer.TERM):
        return _days(found), 1
    if count is DayCount.PERIODS and terms.unit is not Unit.MONTH:
        return _of_distance(terms, found)
    if count is DayCount.MONTHS_360 and terms.unit is not Unit.MONTH:
        return _days(found), 360
    if count in (DayCount.PERIODS, DayCount.MONTHS_360):
        if found.is_regular.all():
            return np.full(shape, terms.every, np.int64), 12
        over, under = year_fractions(DayCount.MONTHS_360, found.from_on[0], found.to_on[0])
        made = np.full(shape, terms.every * _ANY_MONTH, np.int64)
        stub = over * (12 * _ANY_MONTH // under)
        made[0] = np.where(found.is_regular, made[0], stub)
        return made, 12 * _ANY_MONTH
    return year_fractions(count, found.from_on, found.to_on, terms.calendar or "CN")


def _days(found: Periods) -> Minor:
    return (found.to_on - found.from_on).astype(np.int64)


def _of_distance(terms: Terms, found: Periods) -> Ratios:
    """Return periods of days or weeks as equal parts of a year, a broken first one by its days."""
    days_a_year = 365 if terms.unit is Unit.DAY else 364
    made = np.full(found.to_on.shape, terms.every * _DAYS_A_UNIT[terms.unit], np.int64)
    made[0] = np.where(found.is_regular, made[0], _days(found)[0])
    return made, days_a_year
