"""The portfolio: the book read in columns, and everything that is drawn of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from steelyard.credit.model.book import Applications, Book, Integers, Labels, month_of
from steelyard.credit.model.portfolio_tables import Picture, Table, picture, report
from steelyard.credit.model.risk_refusals import BookIsEmpty, CurrencyIsNotNamed
from steelyard.credit.store import portfolio as table
from steelyard.credit.store import risk

__all__ = [
    "Book",
    "BookIsEmpty",
    "CurrencyIsNotNamed",
    "Picture",
    "Table",
    "list_months",
    "made_up_book",
    "picture",
    "read_book",
    "report",
]

_NO_REGION: Final = (
    "The region of a debtor is not part of the loan: concentration by region is missing."
)


def list_months(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return the months that are kept: last day, loans, principal owed."""
    return risk.list_months(connection)


def made_up_book(progress: Callable[[str, int, int], None], *, seed: int = 1) -> Book:
    """Return the book of a made-up history, the same for the same seed."""
    # Heavy, and nothing that a day close or a route needs.
    from steelyard.credit.service.made_up import make_up

    return make_up(progress, seed=seed).book


def read_book(connection: sa.Connection, currency: str | None = None) -> Book:
    """Return the book of one currency as it stands, with its months.

    Parameters
    ----------
    currency : None: that of all loans

    Refusals
    --------
    book_is_empty : no loan was paid out, or no month was kept
    currency_is_not_named : there are several
    """
    found = table.currencies(connection)
    if currency is None and len(found) > 1:
        raise CurrencyIsNotNamed(currencies=", ".join(found))
    return read_all(connection, found if currency is None else [currency])


def read_all(connection: sa.Connection, currencies: Sequence[str] | None = None) -> Book:
    """Return the book of several currencies; only what is counted may be added up of it.

    Parameters
    ----------
    currencies : None: every one

    Refusals
    --------
    book_is_empty
    """
    kept = table.currencies(connection) if currencies is None else list(currencies)
    loans = table.read_loans(connection, kept)
    months = table.read_months(connection)
    if not loans:
        raise BookIsEmpty(what="loans")
    places = {row["nr"]: place for place, row in enumerate(loans)}
    months = [row for row in months if row["nr"] in places]
    if not months:
        raise BookIsEmpty(what="months")
    last = max(row["month_on"] for row in months)
    totals = [row["totals"] for row in loans]
    earned = _earned(loans, totals)
    lost = [
        sum(one[f"{part}_written_off_minor"] for part in ("principal", "interest", "fee"))
        for one in totals
    ]
    first_age, first_late = _first(loans, last)
    return Book(
        source=f"{len(loans):,} loans, months up to {last}",
        notes=(_NO_REGION,),
        as_of_month=_month(last),
        cohort=_whole(_month(row["start_on"]) for row in loans),
        party=Labels.of([row["party"] for row in loans]).codes,
        product=Labels.of([row["product"] for row in loans]),
        channel=Labels.of([row["channel"] for row in loans]),
        region=Labels.of([None] * len(loans)),
        tier=Labels.of([row["tier"] for row in loans]),
        principal_minor=_whole(one["disbursed_minor"] for one in totals),
        owed_minor=_whole(row["principal_minor"] for row in loans),
        provision_minor=_whole(row["provision_minor"] for row in loans),
        income_minor=earned,
        written_off_minor=_whole(lost),
        recovered_minor=_whole(one["recovered_minor"] for one in totals),
        first_age=first_age,
        first_late=first_late,
        loan=_whole(places[row["nr"]] for row in months),
        month=_whole(_month(row["month_on"]) for row in months),
        bucket=_whole(row["bucket"] for row in months),
        state=_whole(row["state"] for row in months),
        balance_minor=_whole(row["principal_minor"] for row in months),
        applications=_applications(connection),
    )


def _earned(loans: Sequence[dict[str, Any]], totals: Sequence[dict[str, int]]) -> Integers:
    """Return what was earned, less what was forgiven of it."""
    parts = ("interest", "penalty", "fee")
    return _whole(
        sum(row[f"{part}_earned_minor"] - one[f"{part}_waived_minor"] for part in parts)
        for row, one in zip(loans, totals, strict=True)
    )


def _first(loans: Sequence[dict[str, Any]], last: date) -> tuple[Integers, Integers]:
    """Return how long ago the first due date was, and how late it was paid or is open; -1: none."""
    age, late = [], []
    for row in loans:
        due, paid = row["first_due_on"], row["first_paid_on"]
        gone = -1 if due is None else (last - due).days
        age.append(max(gone, -1))
        late.append(-1 if gone < 0 else max(0, ((paid or last) - due).days))
    return _whole(age), _whole(late)


def _applications(connection: sa.Connection) -> Applications:
    rows = table.read_applications(connection)
    return Applications(
        _whole(_month(row["drafted_at"].date()) for row in rows),
        Labels.of([row["channel"] for row in rows]),
        np.array([row["approved"] for row in rows], np.bool_),
        np.array([row["offered"] for row in rows], np.bool_),
        np.array([row["signed"] for row in rows], np.bool_),
        _whole(row["amount_minor"] or 0 for row in rows),
    )


def _month(day: date) -> int:
    return month_of(day.year, day.month)


def _whole(values: Any) -> Integers:
    return np.array(list(values), np.int64)
