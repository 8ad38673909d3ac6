"""The portfolio: migration, first payments, the funnel, concentration, profit and loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.credit.model.book import ACTIVE, CLOSED, Book, Integers, Labels
from steelyard.credit.model.ecl import MONTHS_A_YEAR
from steelyard.credit.model.migration import count_moves
from steelyard.credit.model.parameters import DEFAULT_BUCKET

LATE_FIRST = 30
"""A first instalment open or paid more than so many days late is a first-payment default."""
_BP = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Where loans moved from the end of one month to the next.

    Attributes
    ----------
    months : int64 (months,), in which they arrived
    counts, balances : int64 (months, states, states), loans, and minor units owed before
    """

    months: Integers
    counts: Integers
    balances: Integers


def moves(book: Book, *, product: int | None = None) -> Moves:
    """Return every move of a loan between two months that follow each other.

    States are the buckets short of default, default, closed. A loan that is missing in a month has
    not moved from or to it; a cancelled contract was never lent.

    Parameters
    ----------
    product : place in `book.product.names`; None for all
    """
    states = DEFAULT_BUCKET + 2
    keep = np.ones(len(book.loan), np.bool_)
    if product is not None:
        keep = book.product.codes[book.loan] == product
    at = np.flatnonzero(keep)
    at = at[np.lexsort((book.month[at], book.loan[at]))]
    state = state_of(book)[at]
    follows = (book.loan[at][1:] == book.loan[at][:-1]) & (
        book.month[at][1:] == book.month[at][:-1] + 1
    )
    before, after = state[:-1][follows], state[1:][follows]
    month = book.month[at][1:][follows]
    owed = book.balance_minor[at][:-1][follows]
    alive = before < DEFAULT_BUCKET
    before, after, month, owed = before[alive], after[alive], month[alive], owed[alive]
    first = int(month.min(initial=book.as_of_month))
    many = book.as_of_month - first + 1 if len(month) else 0
    counts = np.zeros((many, states, states), np.int64)
    balances = np.zeros_like(counts)
    for n in range(many):
        here = month == first + n
        counts[n] = count_moves(before[here], after[here], states)
        np.add.at(balances[n], (before[here], after[here]), owed[here])
    return Moves(np.arange(first, first + many, dtype=np.int64), counts, balances)


def state_of(book: Book) -> Integers:
    """Return the state of migration of each row: bucket, default or closed."""
    state = np.minimum(book.bucket, DEFAULT_BUCKET)
    state = np.where(book.is_lost, DEFAULT_BUCKET, state)
    made: Integers = np.where(book.state == CLOSED, DEFAULT_BUCKET + 1, state)
    return made


@dataclass(frozen=True, slots=True)
class FirstPayments:
    """First payments of a group of loans.

    Attributes
    ----------
    due : loans whose first instalment has been due for longer than `LATE_FIRST` days
    failed : of those, not paid within so many days
    """

    group: str
    due: int
    failed: int

    @property
    def share(self) -> float | None:
        """Share that failed; None where nothing was due."""
        return self.failed / self.due if self.due else None


def first_payment_defaults(book: Book, by: Labels) -> list[FirstPayments]:
    """Return first-payment defaults by a property of the loans."""
    due = book.first_age > LATE_FIRST
    failed = due & (book.first_late > LATE_FIRST)
    return [
        FirstPayments(
            name,
            int(np.count_nonzero(due & (by.codes == code))),
            int(np.count_nonzero(failed & (by.codes == code))),
        )
        for code, name in enumerate(by.names)
    ]


@dataclass(frozen=True, slots=True)
class Funnel:
    """How far the applications of a channel went; amount is what was asked for."""

    channel: str
    submitted: int
    approved: int
    offered: int
    signed: int
    amount_minor: int


def funnel(book: Book) -> list[Funnel]:
    """Return the approval funnel by channel of acquisition."""
    asked = book.applications
    made = []
    for code, name in enumerate(asked.channel.names):
        here = asked.channel.codes == code
        made.append(
            Funnel(
                name,
                int(np.count_nonzero(here)),
                int(np.count_nonzero(here & asked.approved)),
                int(np.count_nonzero(here & asked.offered)),
                int(np.count_nonzero(here & asked.signed)),
                int(asked.amount_minor[here].sum()),
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class Concentration:
    """How what is owed is spread over one property.

    Attributes
    ----------
    by : product, region, tier, channel or debtor
    parts : name, loans and amount owed, the largest first
    herfindahl : sum of squared shares, from 1/n to 1; 0 of an empty book
    effective : how many equal parts would be as concentrated
    """

    by: str
    parts: tuple[tuple[str, int, int], ...]
    herfindahl: float

    @property
    def effective(self) -> float:
        """Number of equal parts with the same index."""
        return 1 / self.herfindahl if self.herfindahl else 0.0


def concentration(book: Book, by: str, labels: Labels) -> Concentration:
    """Return how what is owed is spread over a property of the loans."""
    owed = np.zeros(len(labels.names), np.int64)
    np.add.at(owed, labels.codes, book.owed_minor)
    loans = np.bincount(labels.codes[book.owed_minor > 0], minlength=len(labels.names))
    order = np.argsort(-owed, kind="stable")
    parts = tuple((labels.names[n], int(loans[n]), int(owed[n])) for n in order.tolist())
    return Concentration(by, parts, herfindahl(owed))


def names_at_top(book: Book, top: int = 10) -> Concentration:
    """Return the debtors who owe most, by their number in the book, and the index over all."""
    owed = np.zeros(int(book.party.max(initial=-1)) + 1, np.int64)
    np.add.at(owed, book.party, book.owed_minor)
    loans = np.bincount(book.party[book.owed_minor > 0], minlength=len(owed))
    order = np.argsort(-owed, kind="stable")[:top]
    parts = tuple(
        (f"debtor {n}", int(loans[n]), int(owed[n])) for n in order.tolist() if owed[n] > 0
    )
    return Concentration("debtor", parts, herfindahl(owed))


def herfindahl(amounts: Integers) -> float:
    """Return the sum of squared shares; 0 where nothing is owed.

    Examples
    --------
    >>> herfindahl(np.array([50, 50])), herfindahl(np.array([0]))
    (0.5, 0.0)
    """
    total = int(amounts.sum())
    return float(((amounts / total) ** 2).sum()) if total else 0.0


@dataclass(frozen=True, slots=True)
class ProfitAndLoss:
    """What a cohort has earned and lost so far, minor units.

    Attributes
    ----------
    lent_minor : paid out
    income_minor : interest, fees, penalty
    funding_minor : month-end balances at the cost of funds
    lost_minor, recovered_minor : written off, and what came back of it
    provision_minor : for what is still owed
    result_minor : income less funding, loss net of recovery, and provision
    """

    group: str
    loans: int
    lent_minor: int
    income_minor: int
    funding_minor: int
    lost_minor: int
    recovered_minor: int
    provision_minor: int

    @property
    def result_minor(self) -> int:
        """What is left."""
        lost = self.lost_minor - self.recovered_minor
        return self.income_minor - self.funding_minor - lost - self.provision_minor

    @property
    def margin(self) -> float | None:
        """Result over what was lent; None where nothing was."""
        return self.result_minor / self.lent_minor if self.lent_minor else None


def profit_and_loss(book: Book, by: Labels, funding_bp: int) -> list[ProfitAndLoss]:
    """Return profit and loss by a property of the loans, the cohort among them.

    Parameters
    ----------
    funding_bp : cost of funds a year; paid on the balance at the end of each month
    """
    balance = np.zeros(book.loans, np.int64)
    alive = book.state == ACTIVE
    np.add.at(balance, book.loan[alive], book.balance_minor[alive])
    # The month in which a loan is paid out, up to its first month end, costs half a month.
    months = 2 * balance + book.principal_minor
    whole = 2 * MONTHS_A_YEAR * _BP
    funding = (months * np.int64(funding_bp) + whole // 2) // whole
    columns = (
        book.principal_minor,
        book.income_minor,
        funding,
        book.written_off_minor,
        book.recovered_minor,
        book.provision_minor,
    )
    made = []
    for code, name in enumerate(by.names):
        here = by.codes == code
        sums = [int(one[here].sum()) for one in columns]
        made.append(ProfitAndLoss(name, int(np.count_nonzero(here)), *sums))
    return made
