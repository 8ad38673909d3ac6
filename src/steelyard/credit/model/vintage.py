"""Vintages: what became of the loans of one month, month on book by month on book."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.credit.model.book import Book, Flags, Integers, Labels

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Vintages:
    """Cumulative bad of groups of loans by months on book.

    Attributes
    ----------
    groups : names, `2025-04` or a channel
    loans, amount_minor : int64 (groups,), lent
    bad_loans, bad_minor : float64 (groups, months + 1), cumulative; NaN where the group, or for
        several cohorts the youngest of it, is not that old yet
    """

    groups: tuple[str, ...]
    loans: Integers
    amount_minor: Integers
    bad_loans: Floats
    bad_minor: Floats

    @property
    def share_of_loans(self) -> Floats:
        """Cumulative share of the loans that went bad."""
        return self.bad_loans / np.maximum(self.loans, 1)[:, None]

    @property
    def share_of_amount(self) -> Floats:
        """Cumulative share of the amount lent: what was owed by bad loans when they went bad."""
        return self.bad_minor / np.maximum(self.amount_minor, 1)[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class WentBad:
    """When each loan went bad first.

    Attributes
    ----------
    age : int64 (loans,), months on book; -1 for never yet
    owed_minor : int64 (loans,), principal owed then
    """

    age: Integers
    owed_minor: Integers


def went_bad(book: Book, bad_bucket: int) -> WentBad:
    """Return when each loan first stood in a bad bucket, or was written off or sold.

    Parameters
    ----------
    bad_bucket : from this bucket on a loan is bad; once bad it stays so in a vintage
    """
    bad = (book.bucket >= bad_bucket) | book.is_lost
    rows = np.flatnonzero(bad)
    # Rows stand in order of months: the earliest of each loan is written last.
    age = np.full(book.loans, -1, np.int64)
    owed = np.zeros(book.loans, np.int64)
    back = rows[::-1]
    loan = book.loan[back]
    age[loan] = book.month[back] - book.cohort[loan]
    owed[loan] = book.balance_minor[back]
    # A loan that is written off in one step owes nothing any more; what it owed before counts.
    stepped = (age >= 0) & (owed == 0)
    owed[stepped] = book.written_off_minor[stepped]
    return WentBad(age, owed)


def vintages(book: Book, *, bad_bucket: int, by: Labels | None = None) -> Vintages:
    """Return the vintage curves of a book.

    Parameters
    ----------
    bad_bucket : as in `went_bad`
    by : None groups by the month of lending, else by a property of the loans
    """
    bad = went_bad(book, bad_bucket)
    groups = book.cohorts if by is None else by
    many = len(groups.names)
    observed = book.as_of_month - book.cohort
    months = int(observed.max(initial=0))
    loans = np.bincount(groups.codes, minlength=many).astype(np.int64)
    amount = _sum(groups.codes, book.principal_minor, many)
    count = _cumulated(groups.codes, bad.age, np.ones_like(bad.age), (many, months))
    owed = _cumulated(groups.codes, bad.age, bad.owed_minor, (many, months))
    # Until when all loans of a group were seen.
    seen = np.full(many, months, np.int64)
    np.minimum.at(seen, groups.codes, observed)
    unseen = np.arange(months + 1)[None, :] > seen[:, None]
    count[unseen] = owed[unseen] = np.nan
    return Vintages(groups.names, loans, amount, count, owed)


def _cumulated(groups: Integers, age: Integers, weight: Integers, shape: tuple[int, int]) -> Floats:
    many, months = shape
    made = np.zeros((many, months + 1))
    there: Flags = age >= 0
    np.add.at(made, (groups[there], np.clip(age[there], 0, months)), weight[there])
    return made.cumsum(axis=1)


def _sum(groups: Integers, values: Integers, many: int) -> Integers:
    made = np.zeros(many, np.int64)
    np.add.at(made, groups, values)
    return made
