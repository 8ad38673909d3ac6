"""The report of a portfolio as tables, for files, terminals and routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any, Final

import numpy as np

from steelyard.credit.model.book import MISSING, Book, Labels, month_name
from steelyard.credit.model.buckets import STANDARD
from steelyard.credit.model.migration import Migration, estimate, roll_rates, states_of
from steelyard.credit.model.parameters import DEFAULT_BUCKET, live_labels
from steelyard.credit.model.portfolio import (
    Concentration,
    Moves,
    concentration,
    first_payment_defaults,
    funnel,
    moves,
    names_at_top,
    profit_and_loss,
)
from steelyard.credit.model.risk_refusals import BookIsEmpty
from steelyard.credit.model.vintage import Vintages, vintages

FUNDING_BP: Final = 280
"""Cost of funds where nobody says otherwise; a judgement, and stated."""
Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    name : of its file; title : for people
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_json(self) -> list[dict[str, Cell]]:
        """Return a mapping from head to cell for each row."""
        return [dict(zip(self.heads, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What the plots of a portfolio show."""

    by_cohort: Vintages
    by_channel: Vintages
    moves: Moves
    migration: Migration


def picture(book: Book) -> Picture:
    """Return vintages and migration of a book.

    Refusals
    --------
    book_is_empty, history_is_too_short
    """
    if not book.loans:
        raise BookIsEmpty(what="loans")
    seen = moves(book)
    migration = estimate(seen.counts, states_of(live_labels()), weight=0)
    return Picture(
        _non_empty(vintages(book, bad_bucket=DEFAULT_BUCKET)),
        vintages(book, bad_bucket=DEFAULT_BUCKET, by=book.channel),
        seen,
        migration,
    )


def _non_empty(found: Vintages) -> Vintages:
    keep = found.loans > 0
    return replace(
        found,
        groups=tuple(name for name, has in zip(found.groups, keep.tolist(), strict=True) if has),
        loans=found.loans[keep],
        amount_minor=found.amount_minor[keep],
        bad_loans=found.bad_loans[keep],
        bad_minor=found.bad_minor[keep],
    )


def report(book: Book, *, funding_bp: int = FUNDING_BP) -> list[Table]:
    """Return every table of a portfolio.

    Parameters
    ----------
    funding_bp : cost of funds a year

    Refusals
    --------
    book_is_empty, history_is_too_short
    """
    found = picture(book)
    return [
        _summary(book),
        *_vintage_tables("vintage", "Vintage by month of lending", found.by_cohort),
        *_vintage_tables("vintage_by_channel", "Vintage by channel", found.by_channel),
        _matrix(found.migration),
        _rolls(found.moves),
        _first_payments(book),
        _funnel(book),
        *_concentrations(book),
        _profit("profit_and_loss", "Profit and loss by month of lending", book,
                (book.cohorts, funding_bp)),
        _profit("profit_and_loss_by_channel", "Profit and loss by channel", book,
                (book.channel, funding_bp)),
    ]  # fmt: skip


def _summary(book: Book) -> Table:
    owed = book.owed_minor
    rows: list[tuple[Cell, ...]] = []
    last = book.month == book.as_of_month
    for bucket, label in enumerate(STANDARD.labels):
        here = np.flatnonzero(last & (book.bucket == bucket) & (book.state == 1))
        loans = book.loan[here]
        balance = int(book.balance_minor[here].sum())
        provision = int(book.provision_minor[loans].sum())
        rows.append((label, len(here), balance, provision, _share(provision, balance)))
    provision = int(book.provision_minor.sum())
    rows.append(
        ("all", int(np.count_nonzero(owed)), int(owed.sum()), provision,
         _share(provision, int(owed.sum())))
    )  # fmt: skip
    heads = ("bucket", "loans", "owed_minor", "provision_minor", "coverage")
    return Table("buckets", "What is owed, by days past due", heads, tuple(rows))


def _vintage_tables(name: str, title: str, found: Vintages) -> list[Table]:
    months = found.bad_loans.shape[1]
    heads = ("group", "loans", "lent_minor", *(f"mob_{n}" for n in range(months)))

    def rows(shares: Any) -> tuple[tuple[Cell, ...], ...]:
        return tuple(
            (group, int(loans), int(lent), *(None if isnan(x) else round(x, 6) for x in line))
            for group, loans, lent, line in zip(
                found.groups,
                found.loans.tolist(),
                found.amount_minor.tolist(),
                shares.tolist(),
                strict=True,
            )
        )

    bad = f"cumulative share {STANDARD.edges[DEFAULT_BUCKET - 1]}+ days late or lost"
    return [
        Table(f"{name}_loans", f"{title}: {bad}, of loans", heads, rows(found.share_of_loans)),
        Table(f"{name}_amount", f"{title}: {bad}, of amount", heads, rows(found.share_of_amount)),
    ]


def _matrix(found: Migration) -> Table:
    rows = tuple(
        (
            f"{one} → {other}",
            int(found.counts[i, j]),
            # Of a bucket that nobody was in the prior is no share that was seen.
            round(float(found.matrix[i, j]), 6) if found.counts[i].any() else None,
            round(float(found.low[i, j]), 6),
            round(float(found.high[i, j]), 6),
        )
        for i, one in enumerate(found.states[:DEFAULT_BUCKET])
        for j, other in enumerate(found.states)
    )
    heads = ("move", "loans", "share", "low_95", "high_95")
    return Table("migration", f"Migration of a month, over {found.months} months", heads, rows)


def _rolls(found: Moves) -> Table:
    labels = live_labels()
    heads = ("month", *(f"{label}_loans" for label in labels), *(f"{x}_balance" for x in labels))
    rows = []
    for n, month in enumerate(found.months.tolist()):
        rates = roll_rates(found.counts[n]), roll_rates(found.counts[n], found.balances[n])
        cells = [None if rate is None else round(rate, 6) for one in rates for rate in one]
        rows.append((month_name(month), *cells))
    return Table("roll_rates", "Share that rolls into a worse bucket", heads, tuple(rows))


def _first_payments(book: Book) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for by, labels in (("channel", book.channel), ("month", book.cohorts), ("tier", book.tier)):
        rows += [
            (by, one.group, one.due, one.failed, _rounded(one.share))
            for one in first_payment_defaults(book, labels)
            if one.due
        ]
    heads = ("by", "group", "due", "failed", "share")
    return Table("first_payment_default", "First-payment default", heads, tuple(rows))


def _funnel(book: Book) -> Table:
    rows = tuple(
        (
            one.channel,
            one.submitted,
            one.approved,
            one.offered,
            one.signed,
            _share(one.approved, one.submitted),
            _share(one.signed, one.approved),
            one.amount_minor,
        )
        for one in funnel(book)
    )
    heads = ("channel", "submitted", "approved", "offered", "signed", "approval_rate",
             "take_up", "asked_minor")  # fmt: skip
    return Table("funnel", "From application to contract, by channel", heads, rows)


def _concentrations(book: Book) -> list[Table]:
    found: list[Concentration] = [
        concentration(book, name, labels)
        for name, labels in _properties(book)
        if labels.names != (MISSING,)
    ]
    found.append(names_at_top(book))
    total = int(book.owed_minor.sum())
    heads = ("by", "name", "loans", "owed_minor", "share")
    rows = tuple(
        (one.by, name, loans, owed, _share(owed, total))
        for one in found
        for name, loans, owed in one.parts
    )
    index = tuple((one.by, round(one.herfindahl, 6), round(one.effective, 2)) for one in found)
    return [
        Table("concentration", "What is owed, by property", heads, rows),
        Table("herfindahl", "Concentration", ("by", "herfindahl", "effective_number"), index),
    ]


def _properties(book: Book) -> Sequence[tuple[str, Labels]]:
    return (
        ("product", book.product),
        ("region", book.region),
        ("tier", book.tier),
        ("channel", book.channel),
    )


def _profit(name: str, title: str, book: Book, how: tuple[Labels, int]) -> Table:
    by, funding_bp = how
    rows = tuple(
        (
            one.group,
            one.loans,
            one.lent_minor,
            one.income_minor,
            one.funding_minor,
            one.lost_minor,
            one.recovered_minor,
            one.provision_minor,
            one.result_minor,
            _rounded(one.margin),
        )
        for one in profit_and_loss(book, by, funding_bp)
        if one.loans
    )
    heads = ("group", "loans", "lent_minor", "income_minor", "funding_minor", "lost_minor",
             "recovered_minor", "provision_minor", "result_minor", "margin")  # fmt: skip
    return Table(name, f"{title}, funds at {funding_bp / 100:g} %", heads, rows)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
