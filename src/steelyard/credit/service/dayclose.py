"""The close of a business date of the lender's book: begun, done chunk by chunk, ended, checked.

Accrual, due, ageing, classification and provision of every open loan, in short transactions that
each stand on their own: killed anywhere and called again, a day ends with the same books.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.credit.model.day_close import (
    ClockWasSetBack,
    Counts,
    DayIsNotOver,
    DayReport,
    DaysAreClosedInOrder,
    DayWasNeverClosed,
    LoansAreHeld,
    Sums,
)
from steelyard.credit.model.ecl_columns import Curves
from steelyard.credit.model.risk_refusals import BookIsEmpty
from steelyard.credit.service import books, loans, provisioning
from steelyard.credit.service.close_chunk import (
    WAIT_MS,
    ClosingDay,
    LoansAskRun,
    LoansWereWritten,
    Pool,
    close_chunk,
)
from steelyard.credit.service.close_facts import CreditDayClosed
from steelyard.credit.service.debits import Debits, debit_due
from steelyard.credit.store import days as table
from steelyard.credit.store.close import find_ids, is_month_end
from steelyard.ledger import BookReader
from steelyard.ledger import close_day as close_book_day
from steelyard.ledger import refusals as ledger_refusals

__all__ = [
    "REFUSALS",
    "Counts",
    "DayReport",
    "DayWasNeverClosed",
    "Debits",
    "How",
    "Sums",
    "close_day",
    "close_through",
    "debit_due",
    "latest",
    "read",
]

REFUSALS: Final = (
    ledger_refusals.BookNotFound,
    ClockWasSetBack,
    DayWasNeverClosed,
    DaysAreClosedInOrder,
    DayIsNotOver,
    LoansAreHeld,
)
"""How the close of a day can be refused."""
CHUNK: Final = 5_000
"""Open loans in a transaction: measured, about half a second on a busy machine; four times as many
are no faster in all, and pass the two seconds that a writing transaction may last."""
WORKERS: Final = 2
PATIENCE_SECONDS: Final = 20.0
_ROLLED_AT_ONCE: Final = 50
_ACTOR: Final = "system:day_close"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class How:
    """How a day is closed: nothing of it shows in the books.

    Attributes
    ----------
    chunk : open loans in one transaction
    workers : transactions at once
    patience_seconds : for loans that somebody is writing, for each chunk
    debits : take what is due from wallets before the day is closed
    check : compare loans and ledger when the day is closed; who leaves it out calls `books.check`
    timing : told how many seconds the transaction of a chunk took
    should_stop : asked between chunks; what is done stays done, and the day open
    """

    chunk: int = CHUNK
    workers: int = WORKERS
    patience_seconds: float = PATIENCE_SECONDS
    debits: bool = False
    check: bool = True
    timing: Callable[[float], None] = lambda seconds: None
    progress: Progress = lambda stage, done, total: None
    should_stop: Callable[[], bool] = lambda: False
    actor: str = _ACTOR


def close_day(
    database: Database, on: date, *, book: str = books.BOOK, how: How | None = None
) -> DayReport:
    """Close a business date; a day that was begun is gone on with, a closed one is left alone.

    Returns
    -------
    DayReport
        `is_closed`, unless `how.should_stop` said so before.

    Refusals
    --------
    lender_is_unknown, book_not_found
    clock_was_set_back, day_is_not_over, days_are_closed_in_order, day_was_never_closed
    loans_are_held : somebody writes them for longer than is waited; the day stays open
    """
    how = how or How()
    found = database.transact(lambda unit: _begin(unit, book, on, how), actor=how.actor)
    if found is not None:
        return _checked(database, found, how)
    if how.debits:
        debit_due(database, book=book, actor=how.actor, should_stop=how.should_stop)
    with database.reading() as connection:
        day = _closing_day(connection, book, on)
        to_do = table.chunks_to_do(connection, book, on)
    _work_off(database, day, to_do, how)
    while not how.should_stop():
        try:
            database.transact(partial(_end, day=day), actor=how.actor)
            break
        except LoansAskRun as asked:
            held = _roll(database, asked.nrs, how)
            if held:
                raise LoansAreHeld(book=book, asked=on, loans=_named(held)) from None
    with database.reading() as connection:
        report = table.read(connection, book, on)
    assert report is not None, "it was begun"
    return _checked(database, report, how) if report.is_closed else report


def close_through(
    database: Database,
    through: date | None = None,
    *,
    book: str = books.BOOK,
    how: How | None = None,
) -> list[DayReport]:
    """Close every day that is over, one by one, up to a day.

    Parameters
    ----------
    through : None: the day before the one on which the clock stands

    Refusals
    --------
    as of `close_day`; the days before stay closed
    """
    how = how or How()
    with database.reading() as connection:
        present, today = _dates(connection, book, database.now())
    last = today - timedelta(days=1) if through is None else through
    reports = []
    if through is None and today < present:
        raise ClockWasSetBack(book=book, present=present, today=today)
    while present <= last and not how.should_stop():
        report = close_day(database, present, book=book, how=how)
        reports.append(report)
        if not report.is_closed:
            break
        present += timedelta(days=1)
    return reports


def read(connection: sa.Connection, on: date, *, book: str = books.BOOK) -> DayReport:
    """Return how far the close of a day is.

    Refusals
    --------
    day_was_never_closed
    """
    found = table.read(connection, book, on)
    if found is None:
        raise DayWasNeverClosed(book=book, asked=on)
    return found


def latest(
    connection: sa.Connection, *, book: str = books.BOOK, limit: int = 31
) -> list[DayReport]:
    """Return the days of a book that are or are being closed, the newest first."""
    return table.latest(connection, book, limit=limit)


def _dates(connection: sa.Connection, book: str, now: datetime) -> tuple[date, date]:
    """Return the business date of a book, and the date on its clock."""
    found = BookReader(connection, book).book
    return found.business_on, now.astimezone(ZoneInfo(found.timezone)).date()


def _begin(unit: UnitOfWork, book: str, on: date, how: How) -> DayReport | None:
    """Begin a day, and return its report if it is closed already."""
    present, today = _dates(unit.connection, book, unit.now)
    known = table.read(unit.connection, book, on)
    if known is not None and known.is_closed:
        return known
    if on < present:
        raise DayWasNeverClosed(book=book, asked=on)
    if today < present:
        raise ClockWasSetBack(book=book, present=present, today=today)
    if on > present:
        raise DaysAreClosedInOrder(book=book, present=present, asked=on)
    if on >= today:
        raise DayIsNotOver(book=book, asked=on, today=today)
    if known is None:
        parameters = provisioning.in_force(unit.connection, on).version
        if table.insert(unit.connection, book, on, unit.now, parameters=parameters):
            pools = list(_pools(unit.connection, book))
            table.insert_chunks(unit.connection, book, on, pools, size=how.chunk)
    return None


def _pools(connection: sa.Connection, book: str) -> dict[int, Pool]:
    """Return the pools whose loans stand in a book, by number."""
    return {
        number: Pool(product, currency)
        for number, product, currency in table.pools(connection, book)
    }


def _closing_day(connection: sa.Connection, book: str, on: date) -> ClosingDay:
    report = table.read(connection, book, on)
    assert report is not None, "it was begun"
    parameters = provisioning.read(connection, report.parameters)
    pools = _pools(connection, book)
    products = [pool.product for pool in pools.values()]
    return ClosingDay(book, on, pools, Curves.made(parameters.curves(products or ["*"])))


def _work_off(database: Database, day: ClosingDay, to_do: list[tuple[int, int]], how: How) -> None:
    """Do the chunks, some at once; the first refusal is raised when all have been tried."""
    done = 0
    refusals: list[LoansAreHeld] = []
    with ThreadPoolExecutor(max(1, how.workers), "day-close") as pool:
        for refusal in pool.map(lambda span: _one(database, day, span, how), to_do):
            done += 1
            if refusal is not None:
                refusals.append(refusal)
            how.progress(f"close {day.on}", done, len(to_do))
    if refusals:
        raise refusals[0]


def _one(
    database: Database, day: ClosingDay, span: tuple[int, int], how: How
) -> LoansAreHeld | None:
    """Do one chunk, again and again while others write its loans, but not for ever."""
    give_up = time.monotonic() + how.patience_seconds
    while not how.should_stop():
        began = time.monotonic()
        try:
            database.transact(lambda unit: close_chunk(unit, day, *span), actor=how.actor)
            how.timing(time.monotonic() - began)
            return None
        except LoansAskRun as asked:
            held = _roll(database, asked.nrs, how)
        except LoansWereWritten:
            held = []
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
            held = _held(database, span)
        if time.monotonic() > give_up:
            named = _named(held) or f"{span[0]}.."
            return LoansAreHeld(book=day.book, asked=day.on, loans=named)
    return None


def _named(nrs: Sequence[int]) -> str:
    return ", ".join(map(str, nrs[:20]))


def _roll(database: Database, nrs: Sequence[int], how: How) -> list[int]:
    """Run loans that the columns leave to `run`, in small units; return those that are held."""
    held: list[int] = []
    for start in range(0, len(nrs), _ROLLED_AT_ONCE):
        some = nrs[start : start + _ROLLED_AT_ONCE]
        try:
            database.transact(partial(_roll_some, nrs=some), actor=how.actor)
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
            held += some
    return held


def _roll_some(unit: UnitOfWork, nrs: Sequence[int]) -> None:
    unit.driver.execute(f"SET LOCAL lock_timeout = {WAIT_MS}")
    ids = find_ids(unit.driver, np.array(nrs, np.int64))
    for nr in nrs:
        loans.roll(unit, ids[nr][0])


def _held(database: Database, span: tuple[int, int]) -> list[int]:
    """Return whose standing is held; they are looked at in a unit that writes nothing."""
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        found = table.held_loans(driver, *span)
        connection.rollback()
    return found


def _end(unit: UnitOfWork, day: ClosingDay) -> None:
    """Let the book go on to the next day, once no loan is behind.

    Raises
    ------
    LoansAskRun
        Loans that came back into the book while its chunks were done.
    """
    if not table.lock(unit.connection, day.book, day.on):
        return
    assert not table.chunks_to_do(unit.connection, day.book, day.on), "every chunk was done"
    behind = table.left_behind(unit.connection, list(day.pools), day.on)
    if behind:
        raise LoansAskRun(behind)
    table.finish(unit.connection, day.book, day.on, unit.now)
    report = table.read(unit.connection, day.book, day.on)
    assert report is not None, "its row is held"
    counts = report.counts
    amounts = {
        name: {currency: getattr(one, name) for currency, one in counts.sums.items()}
        for name in ("interest_minor", "penalty_minor", "fee_minor", "provision_minor")
    }
    fact = CreditDayClosed(
        book=day.book,
        on=day.on,
        loans=counts.loans,
        fell_due=counts.fell_due,
        changed=counts.changed,
        **amounts,
    )
    unit.record(fact, subject=f"book:{day.book}")
    audit(
        unit,
        action="credit.close_day",
        subject=f"book:{day.book}",
        detail={"on": day.on.isoformat(), "loans": counts.loans, "chunks": report.chunks},
    )
    close_book_day(unit, day.book, next_on=day.on + timedelta(days=1))


def _checked(database: Database, report: DayReport, how: How) -> DayReport:
    """Compare loans and ledger after a day, once; what differs becomes a case.

    At the end of a month the risk parameters are estimated anew: what they are used for, two people
    decide.
    """
    if report.checked_at is not None or not how.check:
        return report
    with database.reading() as connection:
        agreement = books.check(connection)

    def note(unit: UnitOfWork) -> None:
        books.report_differences(unit, agreement)
        table.note_check(
            unit.connection,
            report.book,
            report.on,
            unit.now,
            differences=len(agreement.differences),
        )
        if is_month_end(report.on):
            with suppress(provisioning.HistoryIsTooShort, BookIsEmpty):
                provisioning.estimate(unit)

    database.transact(note, actor=how.actor)
    with database.reading() as connection:
        return read(connection, report.on, book=report.book)
