"""The book in columns: loans, their months, and the applications they came from.

Every source (the tables of the room, a made-up sample) ends here; what is drawn of a portfolio is
drawn of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

ACTIVE, WRITTEN_OFF, CLOSED, SOLD = 1, 2, 3, 4
MISSING = "missing"
"""Name of what is not known; missing is a value of its own, never guessed."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A word for each of many things.

    Attributes
    ----------
    names : every word once
    codes : int64 (n,), place in `names`

    Examples
    --------
    >>> made = Labels.of(["web", None, "web"])
    >>> made.names, made.codes.tolist()
    (('missing', 'web'), [1, 0, 1])
    """

    names: tuple[str, ...]
    codes: Integers

    @classmethod
    def of(cls, words: Sequence[str | None]) -> Labels:
        """Return the labels of some words, in the order of the alphabet; None is `missing`."""
        filled = [MISSING if one is None else one for one in words]
        names = tuple(sorted(set(filled)))
        places = {name: code for code, name in enumerate(names)}
        codes = np.fromiter((places[one] for one in filled), np.int64, len(filled))
        return cls(names, codes)


def month_of(year: int, month: int) -> int:
    """Return the number of a month, counted from year 0.

    Examples
    --------
    >>> month_of(2026, 1) - month_of(2025, 12), month_name(month_of(2025, 12))
    (1, '2025-12')
    """
    return year * 12 + month - 1


def month_name(number: int) -> str:
    """Return the name of a month."""
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


@dataclass(frozen=True, slots=True, eq=False)
class Applications:
    """What was asked for; int64 or bool (n,) each.

    Attributes
    ----------
    month : in which it was submitted
    channel : where it came from
    approved, offered, signed : how far it went; each includes the next
    amount_minor : asked for
    """

    month: Integers
    channel: Labels
    approved: Flags
    offered: Flags
    signed: Flags
    amount_minor: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Loans and their months.

    Attributes
    ----------
    source : where it comes from, for people; notes : what has to be known to read the figures
    as_of_month : last month that was closed
    cohort : int64 (loans,), month of lending
    party : int64 (loans,), a number for each debtor
    product, channel, region, tier : of each loan
    principal_minor, owed_minor, provision_minor : int64 (loans,), lent; owed and provided now
    income_minor : int64 (loans,), interest, fees and penalty earned, less what was waived
    written_off_minor, recovered_minor : int64 (loans,)
    first_age, first_late : int64 (loans,), days since the first due date, and how late it was paid,
        or has been open; -1 where it is not due
    loan, month, bucket, state, balance_minor : int64 (rows,), the months of each loan that was
        alive or ended in it, in order of months
    """

    source: str
    notes: tuple[str, ...]
    as_of_month: int
    cohort: Integers
    party: Integers
    product: Labels
    channel: Labels
    region: Labels
    tier: Labels
    principal_minor: Integers
    owed_minor: Integers
    provision_minor: Integers
    income_minor: Integers
    written_off_minor: Integers
    recovered_minor: Integers
    first_age: Integers
    first_late: Integers
    loan: Integers
    month: Integers
    bucket: Integers
    state: Integers
    balance_minor: Integers
    applications: Applications

    @property
    def loans(self) -> int:
        """How many loans."""
        return len(self.cohort)

    @property
    def is_lost(self) -> Flags:
        """Rows in which the loan was written off or sold, bool (rows,)."""
        lost: Flags = (self.state == WRITTEN_OFF) | (self.state == SOLD)
        return lost

    @property
    def cohorts(self) -> Labels:
        """The month of lending as a label of each loan."""
        first = int(self.cohort.min(initial=self.as_of_month))
        # The running month is not closed, but lends already.
        last = int(self.cohort.max(initial=self.as_of_month))
        names = tuple(month_name(one) for one in range(first, last + 1))
        return Labels(names, self.cohort - first)
