"""The order within a day, which the source does not give: the one that fits the bank's balances.

The bank's column is read here to choose an order, and for nothing else: no amount is touched, so
the balance at the end of each day is the same whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby
from typing import NamedTuple

from steelyard.imports.model.berka.balances import ROUNDING_MINOR, BalanceColumn
from steelyard.imports.model.berka.records import Transaction

EXACT_DAY_ROWS = 10
"""Days of up to so many rows are searched completely."""

_KEPT_STATES = 1_260  # what 10 rows need at most, 5 * C(10, 5): beyond, the best of each step


class Misfit(NamedTuple):
    """How badly an order fits, compared from left to right; all zeros is a perfect fit.

    A wrong place in the order shows in the step between two rows, whereas the rounding of earlier
    days is carried along in the running balance: steps come first, so that a drift of 0.20 cannot
    pass for an order. Where every row can be exact, every row is; where every row and step can be
    within the rounding, they are.

    Attributes
    ----------
    steps_beyond : rows whose step (bank's balance before + amount against its balance after) is
        off by more than the rounding
    rows_beyond : rows where our running balance is off by more than the rounding
    steps_inexact, rows_inexact : the same, off at all
    distance_minor : sum over the rows of how far our running balance is off
    """

    steps_beyond: int = 0
    rows_beyond: int = 0
    steps_inexact: int = 0
    rows_inexact: int = 0
    distance_minor: int = 0

    def after(self, drift_minor: int, step_minor: int) -> Misfit:
        """Return the misfit with one more row, off by a drift after a step that is off."""
        return Misfit(
            self.steps_beyond + (abs(step_minor) > ROUNDING_MINOR),
            self.rows_beyond + (abs(drift_minor) > ROUNDING_MINOR),
            self.steps_inexact + (step_minor != 0),
            self.rows_inexact + (drift_minor != 0),
            self.distance_minor + abs(drift_minor),
        )


@dataclass(frozen=True, slots=True)
class _Path:
    """An order of the rows so far: how it fits, both balances after it, and its last row."""

    misfit: Misfit
    our_minor: int
    bank_minor: int
    last: Transaction | None = None
    before: _Path | None = None

    def then(self, row: Transaction, bank_minor: int) -> _Path:
        our_minor = self.our_minor + row.signed_minor
        drift_minor = our_minor - bank_minor
        step_minor = drift_minor - (self.our_minor - self.bank_minor)
        misfit = self.misfit.after(drift_minor, step_minor)
        return _Path(misfit, our_minor, bank_minor, row, self)


_START = _Path(Misfit(), 0, 0)


def order_transactions(
    transactions: Iterable[Transaction], column: BalanceColumn
) -> dict[int, tuple[Transaction, ...]]:
    """Return the transactions of each account in the order that fits the bank's balances best.

    Parameters
    ----------
    transactions : of any accounts, in any order; each has its balance in `column`

    Returns
    -------
    dict
        By account id, ascending. Days follow each other, no row is lost, none is changed, and the
        answer does not depend on the order of `transactions`.
    """
    ordered = sorted(transactions, key=lambda t: (t.account_id, t.booked_on, t.trans_id))
    return {
        account_id: _order(list(rows), column.by_account[account_id])
        for account_id, rows in groupby(ordered, key=lambda t: t.account_id)
    }


def misfit_of(ordered: Iterable[Transaction], column: BalanceColumn) -> Misfit:
    """Return how an order of one account's transactions fits the bank's balances."""
    path = _START
    for row in ordered:
        path = path.then(row, column.by_account[row.account_id][row.trans_id])
    return path.misfit


def _order(rows: list[Transaction], bank: Mapping[int, int]) -> tuple[Transaction, ...]:
    """Order the rows of one account, given by day and id, day by day.

    The best order of a day depends on the row that the day before ended with, so one path is kept
    for each row that a day can end with: the best order of the whole account is among them.
    """
    paths = [_START]
    for _, day in groupby(rows, key=lambda t: t.booked_on):
        paths = _through_day(paths, list(day), bank)
    return _rows_of(min(paths, key=lambda path: path.misfit))


def _through_day(
    paths: list[_Path], day: list[Transaction], bank: Mapping[int, int]
) -> list[_Path]:
    """Return the best path for each row that the day can end with.

    What is still to come depends on the rows already placed and on the last of them only, so of
    all orders that agree in both the best is kept (Held and Karp, 1962). Of equal ones the first
    in the order of the ids stays.
    """
    states = {(0, place): path for place, path in enumerate(paths)}
    for _ in day:
        longer: dict[tuple[int, int], _Path] = {}
        for (placed, _last), path in states.items():
            for place, row in enumerate(day):
                if placed >> place & 1:
                    continue
                state = (placed | 1 << place, place)
                candidate = path.then(row, bank[row.trans_id])
                if state not in longer or candidate.misfit < longer[state].misfit:
                    longer[state] = candidate
        states = longer if len(day) <= EXACT_DAY_ROWS else _best(longer, len(day))
    return list(states.values())


def _best(states: dict[tuple[int, int], _Path], day_rows: int) -> dict[tuple[int, int], _Path]:
    """Return the best states of a step, fewer the longer the day, so that no day takes long."""
    kept = max(_KEPT_STATES * EXACT_DAY_ROWS // day_rows, EXACT_DAY_ROWS)
    if len(states) <= kept:
        return states
    return dict(nsmallest(kept, states.items(), key=lambda item: item[1].misfit))


def _rows_of(path: _Path) -> tuple[Transaction, ...]:
    rows: list[Transaction] = []
    step: _Path | None = path
    while step is not None and step.last is not None:
        rows.append(step.last)
        step = step.before
    return tuple(reversed(rows))


def chronological(ordered: Mapping[int, tuple[Transaction, ...]]) -> tuple[Transaction, ...]:
    """Return the whole bank's transactions day by day, each account keeping its own order."""
    rows = [row for account_id in sorted(ordered) for row in ordered[account_id]]
    return tuple(sorted(rows, key=lambda t: t.booked_on))


def overdraft_limit_minor(signed_minor: Iterable[int]) -> int:
    """Return the smallest limit below zero that lets a sequence of changes from zero pass.

    Examples
    --------
    >>> overdraft_limit_minor([500, -800, 100, -50])
    300
    >>> overdraft_limit_minor([500, -500])
    0
    """
    running_minor = lowest_minor = 0
    for change_minor in signed_minor:
        running_minor += change_minor
        lowest_minor = min(lowest_minor, running_minor)
    return -lowest_minor


def overdrafts(ordered: Mapping[int, tuple[Transaction, ...]]) -> dict[int, int]:
    """Return the smallest limit in haléř of each account that goes below zero, and of no other."""
    limits = {
        account_id: overdraft_limit_minor(row.signed_minor for row in rows)
        for account_id, rows in ordered.items()
    }
    return {account_id: limit_minor for account_id, limit_minor in limits.items() if limit_minor}
