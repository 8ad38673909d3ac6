"""One chunk of a day close: one short transaction with its rows, postings and facts.

Loans are read without a lock and written if they still are as they were read: whoever holds one is
waited for by the write itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID, uuid5

import numpy as np

from steelyard.base import UnitOfWork
from steelyard.cashflows import Terms, disclosure, irr
from steelyard.credit.model import close as columns
from steelyard.credit.model import close_grading as grading
from steelyard.credit.model.close import Flags, Integers, LoanColumns, RowColumns
from steelyard.credit.model.close_postings import Group, groups
from steelyard.credit.model.day_close import Counts, Sums
from steelyard.credit.model.ecl_columns import Curves
from steelyard.credit.model.parameters import DEFAULT_BUCKET
from steelyard.credit.model.postings import Accounts, legs
from steelyard.credit.service.close_facts import InstalmentFellDue, LoanBucketChanged
from steelyard.credit.store import close as table
from steelyard.credit.store import days
from steelyard.ledger import Heading, Leg, Transfer, accepted, entry, post

CAUSE: Final = "rule.day_close@1"
_ENTRIES: Final = UUID("5c1d0d5e-9f3c-4a52-8f2e-0c7a4d1e6b90")
WAIT_MS: Final = 1_000
"""For a loan that somebody holds, before the chunk lets go of all of its own."""
_YEAR_OBSERVED: Final = 365


class Pool(NamedTuple):
    """Loans of one product and currency."""

    product: str
    currency: str


@dataclass(frozen=True, slots=True)
class ClosingDay:
    """A day that is being closed, and what holds for all of its chunks.

    Attributes
    ----------
    pools : by number
    curves : of each pool in the order of `pools`, a curve for each bucket
    """

    book: str
    on: date
    pools: dict[int, Pool]
    curves: Curves


class LoansAskRun(Exception):
    """Some loans of a chunk have to be run each by itself first; nothing was written."""

    def __init__(self, nrs: Sequence[int]) -> None:
        super().__init__(f"{len(nrs)} loans")
        self.nrs = nrs


class LoansWereWritten(Exception):
    """Somebody wrote a loan of the chunk while it was computed; nothing was written."""


def close_chunk(unit: UnitOfWork, day: ClosingDay, first: int, last: int) -> Counts | None:
    """Bring the open loans of a range of numbers to the end of a day.

    Returns
    -------
    Counts or None
        None if the chunk was done before.

    Raises
    ------
    LoansAskRun, LoansWereWritten
        The unit is to be rolled back and tried again.
    """
    driver = unit.driver
    driver.execute(f"SET LOCAL lock_timeout = {WAIT_MS}")
    if not days.claim_chunk(driver, day.book, day.on, first):
        return None
    table.note_restructurings(driver, first, last, day.on)
    before = table.read_loans(driver, list(day.pools), first, last)
    rows = table.read_rows(driver, before)
    after, rows_after = _brought_on(unit, day, before, rows)
    after = _graded(unit, day, (first, last), after)
    after = _provided(unit, day, after, rows_after)
    earned = columns.earned_between(before, after)
    after = columns.booked(before, after, earned)
    if table.write_loans(driver, before, after) != len(before.nr):
        raise LoansWereWritten
    table.write_rows(driver, rows, rows_after)
    if table.is_month_end(day.on):
        table.insert_snapshot(driver, list(day.pools), first, last, day.on)
    found = list(groups(before, after, earned))
    counts = _report(unit, day, (before, after, rows_after), found)
    transfers = [one for group in found for one in _posted(unit, day, first, group)]
    days.finish_chunk(driver, (day.book, day.on, first), unit.now, counts)
    accepted(post(unit, transfers))
    return counts


def _brought_on(
    unit: UnitOfWork, day: ClosingDay, before: LoanColumns, rows: RowColumns
) -> tuple[LoanColumns, RowColumns]:
    """Return loans and rows accrued, charged and aged."""
    on = columns.day_number(day.on)
    ends = columns.ends_period(before, on)
    following = table.read_next_lines(unit.driver, before, ends)
    wanted = ends | columns.has_due(before, rows, on)
    rules, runs_on_owed = table.read_rules(unit.driver, before, wanted)
    asked = columns.by_run(before, rows, following, runs_on_owed, on)
    if asked.any():
        raise LoansAskRun(before.nr[asked].tolist())
    accrued = columns.accrued(before, following, on)
    charged, rows_after = columns.charged(accrued, rows, rules, on)
    return columns.aged(charged, rows_after, on), rows_after


def _graded(
    unit: UnitOfWork, day: ClosingDay, span: tuple[int, int], loans: LoanColumns
) -> LoanColumns:
    """Return the loans with bucket, category and stage."""
    on = columns.day_number(day.on)
    since = columns.date_of(on - _YEAR_OBSERVED)
    restructured = table.read_restructured(unit.driver, *span, since)
    changed: Flags = np.isin(loans.nr, np.fromiter(restructured, np.int64, len(restructured)))
    asks = grading.asks_past(loans, changed, on)
    past = table.read_past(unit.driver, loans.nr[asks], restructured, day.on)
    return grading.graded(loans, past, on)


def _provided(
    unit: UnitOfWork, day: ClosingDay, loans: LoanColumns, rows: RowColumns
) -> LoanColumns:
    """Return the loans with their provision, and with the effective rate of new ones."""
    if not len(loans.nr):
        return loans  # a lender who has lent nothing yet has no pools either
    unknown = loans.eir_bp == columns.NONE
    if unknown.any():
        terms = table.read_terms(unit.driver, loans.nr[unknown])
        eir_bp = loans.eir_bp.copy()
        eir_bp[unknown] = [effective_bp(terms[nr]) for nr in loans.nr[unknown].tolist()]
        loans = replace(loans, eir_bp=eir_bp)
    places = np.array(list(day.pools))
    segment = np.argmax(places[None, :] == loans.pool[:, None], axis=1) * (DEFAULT_BUCKET + 1)
    segment = segment + np.minimum(loans.bucket, DEFAULT_BUCKET)
    return grading.provided(loans, rows, day.curves, segment, columns.day_number(day.on))


def effective_bp(terms: Terms) -> int:
    """Return the effective yearly rate of a contract with all its costs, whole basis points.

    Where no rate makes its flows equal, the first rate of the terms stands in for it.

    Examples
    --------
    >>> effective_bp(Terms(principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12,
    ...                    rate=Decimal("0.12")))
    1268
    """
    try:
        rate = disclosure.disclose(terms).compound
    except (irr.RateDoesNotExist, irr.RateIsNotUnique, irr.FlowsAreInvalid):
        rate = terms.rate
    return max(0, int(rate * 10_000 + Decimal("0.5")))


def _posted(unit: UnitOfWork, day: ClosingDay, first: int, group: Group) -> Iterator[Transfer]:
    """Keep what each loan of a group earned, and yield the entry of all of them."""
    pool = day.pools[group.pool]
    accounts = Accounts(pool.product, pool.currency, cash="")
    lines = legs(accounts, group.before, group.after, group.flow)
    name = f"{day.book}/{day.on}/{first}/{group.pool}/{group.stage_before}/{group.stage}"
    id = uuid5(_ENTRIES, name) if lines else None
    table.insert_accrual(unit.driver, (day.book, day.on), first, group, id)
    if id is None:
        return
    heading = Heading(
        entry=id,
        book=day.book,
        currency=pool.currency,
        cause=CAUSE,
        metadata={"day": day.on.isoformat(), "loans": len(group.nrs)},
    )
    yield from entry(
        heading,
        [Leg(one.account, max(one.amount_minor, 0), max(-one.amount_minor, 0)) for one in lines],
    )


def _report(
    unit: UnitOfWork,
    day: ClosingDay,
    state: tuple[LoanColumns, LoanColumns, RowColumns],
    found: Sequence[Group],
) -> Counts:
    """Record the facts of a chunk, and return what it did."""
    before, after, rows = state
    changed = np.flatnonzero(grading.changed(before, after))
    due = grading.falls_due(before, rows, columns.day_number(day.on)) & (rows.plan_left_minor > 0)
    nrs = np.union1d(before.nr[changed], rows.nr[due])
    known = table.find_ids(unit.driver, nrs) if len(nrs) else {}
    for nr, no, left in zip(
        rows.nr[due].tolist(),
        rows.no[due].tolist(),
        rows.plan_left_minor[due].tolist(),
        strict=True,
    ):
        id, party, product = known[nr]
        fact = InstalmentFellDue(
            loan=id, nr=nr, party=party, product=product, no=no, due_on=day.on, left_minor=left
        )
        unit.record(fact, subject=f"loan:{id}")
    _record_changes(unit, day, (before, after, changed), known)
    sums: dict[str, Sums] = {}
    for group in found:
        currency = day.pools[group.pool].currency
        amounts = (group.interest, group.penalty, group.fee, group.provision)
        more = Sums(*(int(one.sum()) for one in amounts))
        sums[currency] = sums.get(currency, Sums()).plus(more)
    return Counts(len(before.nr), int(due.sum()), len(changed), sums)


def _record_changes(
    unit: UnitOfWork,
    day: ClosingDay,
    state: tuple[LoanColumns, LoanColumns, Integers],
    known: dict[int, tuple[UUID, UUID, str]],
) -> None:
    before, after, at = state
    grades = [
        getattr(one, name)[at].tolist()
        for name in ("bucket", "category", "stage")
        for one in (before, after)
    ]
    late = (before.nr[at].tolist(), after.dpd[at].tolist(), after.overdue_minor[at].tolist())
    for nr, dpd, overdue, b0, b1, c0, c1, s0, s1 in zip(*late, *grades, strict=True):
        id, party, product = known[nr]
        fact = LoanBucketChanged(
            loan=id,
            nr=nr,
            party=party,
            product=product,
            on=day.on,
            dpd=dpd,
            overdue_minor=overdue,
            bucket_before=b0,
            bucket=b1,
            category_before=c0,
            category=c1,
            stage_before=s0,
            stage=s1,
        )
        unit.record(fact, subject=f"loan:{id}")
