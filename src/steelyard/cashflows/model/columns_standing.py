"""What schedules in columns amount to on a day: interest earned, principal not yet due."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model.columns_dates import Days
from steelyard.cashflows.model.columns_exact import Minor, settled
from steelyard.cashflows.model.columns_schedule import ScheduleColumns
from steelyard.kernel import Rounding


def accrue_columns(
    from_on: Days, to_on: Days, before_minor: Minor, total_minor: Minor, on: Days | int
) -> Minor:
    """Return what lines of accrual have earned on a day; each equals `Accrual.earned_minor`.

    Parameters
    ----------
    from_on, to_on, before_minor, total_minor : of each line, as `Accrual` has them
    on : days since 1970, one for all lines or one for each

    Examples
    --------
    >>> from datetime import date
    >>> from steelyard.cashflows.model.columns_dates import day_number
    >>> first, last = (np.array([day_number(date(2026, m, 1))], np.int32) for m in (1, 2))
    >>> before, total = np.array([0]), np.array([100])
    >>> accrue_columns(first, last, before, total, day_number(date(2026, 1, 16)))
    array([48])
    """
    days = np.maximum(to_on - from_on, 1).astype(np.int64)
    gone = np.clip((on - from_on).astype(np.int64), 0, days)
    rest = total_minor - before_minor
    # The correction that settles a guess goes to the floor of a half more: half up, as the line.
    earned = before_minor + settled(rest * (gone / days), rest * gone, days, Rounding.HALF_UP)
    return np.where(on >= to_on, total_minor, earned)


def earned_columns(made: ScheduleColumns, on: Days | int) -> Minor:
    """Return interest that contracts of a plan have earned up to the end of a day.

    Parameters
    ----------
    on : days since 1970, one for all contracts or one for each

    Returns
    -------
    array
        Of shape (contracts,); that of the whole term once it is over.
    """
    at = _by_row(made, on)
    earned = np.where(made.to_on <= at, made.accrues_minor, 0)
    open_ = np.flatnonzero((made.from_on < at) & (at < made.to_on))
    earned[open_] = accrue_columns(
        made.from_on[open_],
        made.to_on[open_],
        np.zeros(len(open_), np.int64),
        made.accrues_minor[open_],
        np.broadcast_to(at, made.to_on.shape)[open_],
    )
    return _by_contract(made, earned)


def outstanding_columns(made: ScheduleColumns, on: Days | int) -> Minor:
    """Return principal that contracts of a plan have lent and not yet asked back on a day.

    Parameters
    ----------
    on : days since 1970, one for all contracts or one for each

    Returns
    -------
    array
        Of shape (contracts,): nothing before the first day and from the last due date on; what
        falls due on the day is asked back.
    """
    at = _by_row(made, on)
    lent = made.from_on[made.offsets[:-1]] <= on
    ahead = _by_contract(made, np.where(made.due_on > at, made.principal_minor, 0))
    return np.where(lent, ahead, 0)


def _by_row(made: ScheduleColumns, on: Days | int) -> Days | int:
    """Return a day for each row, where each contract has its own."""
    if isinstance(on, int):
        return on
    return np.repeat(on, np.diff(made.offsets))


def _by_contract(made: ScheduleColumns, rows: Minor) -> Minor:
    """Return the sums of rows by contract; each has one at least."""
    if len(made) == 0:
        return np.zeros(0, np.int64)
    sums: NDArray[np.int64] = np.add.reduceat(rows, made.offsets[:-1])
    return sums
