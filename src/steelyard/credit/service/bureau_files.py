"""Reporting to the bureau: the file of a month, its delivery, and what is corrected in the next.

Every row is computed anew from the contract and what happened to it, as of the end of the month:
a payment that was back-dated corrects the history by itself.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from functools import partial

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.jobs import Daily, JobContext, job
from steelyard.cashflows import Standing, run
from steelyard.credit.model.bureau import CreditBureau, Delivery, DeliveryState
from steelyard.credit.model.loan import LoanState
from steelyard.credit.model.reporting import (
    Account,
    AccountState,
    Correction,
    CorrectionIsMalformed,
    Due,
    PeriodIsMalformed,
    ReportFile,
    ReportingFileExists,
    ReportingFileIsUnknown,
    ReportRow,
    RowKind,
    by_loan,
    check_correction,
    month_end,
    months_to,
    row_of,
    write_file,
)
from steelyard.credit.service import books
from steelyard.credit.service.outside_facts import BureauFileMade
from steelyard.credit.store import bureau_files as table

__all__ = [
    "INSTITUTION",
    "AccountState",
    "Correction",
    "CorrectionIsMalformed",
    "Delivery",
    "DeliveryState",
    "MadeFile",
    "PeriodIsMalformed",
    "ReportFile",
    "ReportRow",
    "ReportingFileExists",
    "ReportingFileIsUnknown",
    "RowKind",
    "bytes_of",
    "correct",
    "delete_account",
    "deliver",
    "deliveries_of",
    "list_files",
    "make_file",
    "periods_due",
    "preview_file",
    "read_file",
    "report",
    "report_to_bureau",
    "reported_of",
    "write_file",
]

MadeFile = table.MadeFile
INSTITUTION = "STEELYARD"
_CHUNK = 500


def make_file(unit: UnitOfWork, period: str) -> MadeFile:
    """Make the reporting file of a month that is over.

    Parameters
    ----------
    period : YYYY-MM

    Refusals
    --------
    period_is_malformed, reporting_file_exists, lender_is_unknown
    """
    table.hold_files(unit.connection)
    if not month_end(period) < books.business_on(unit.connection):
        raise PeriodIsMalformed(period=period)
    newest = table.last(unit.connection)
    if newest is not None and period <= newest.period:
        raise ReportingFileExists(period=newest.period, made_at=newest.made_at.isoformat())
    file = preview_file(unit.connection, period)
    made = table.insert(unit.connection, file, unit.now)
    unit.record(
        BureauFileMade(
            period=period,
            rows=made.rows,
            corrections=file.corrections,
            balance_minor=made.balance_minor,
            overdue_minor=made.overdue_minor,
            sha256=made.sha256,
        ),
        subject=f"bureau_file:{period}",
    )
    audit(
        unit,
        action="credit.make_bureau_file",
        subject=f"bureau_file:{period}",
        detail={"rows": made.rows, "sha256": made.sha256},
    )
    return made


def preview_file(connection: sa.Connection, period: str) -> ReportFile:
    """Return the file that would be made of a month now; nothing is written.

    Refusals
    --------
    period_is_malformed
    """
    as_of = month_end(period)
    newest = table.last(connection)
    told = None if newest is None else newest.period
    rows: list[ReportRow] = []
    after = 0
    while True:
        loans = table.reportable(connection, opened_to=as_of, after=after, limit=_CHUNK)
        if not loans:
            break
        after = loans[-1].nr
        known = by_loan(table.corrections(connection, [one.nr for one in loans], newest=told))
        for loan in loans:
            row = _row(loan, period, as_of, tuple(known.get(loan.nr, ())))
            if row is not None:
                rows.append(row)
    return ReportFile(institution=INSTITUTION, period=period, as_of=as_of, rows=tuple(rows))


def deliver(database: Database, bureau: CreditBureau, period: str, *, actor: str) -> Delivery:
    """Hand a file in, and record the bureau's receipt; delivered again it is the same file.

    A receipt for other bytes than ours is none: it is kept as unknown.

    Refusals
    --------
    reporting_file_is_unknown
    """
    with database.reading() as connection:
        file = table.read(connection, period)
    content = write_file(file)
    receipt = bureau.deliver(period, content)
    if receipt.state is DeliveryState.ACCEPTED and receipt.sha256 != file.sha256:
        receipt = replace(receipt, state=DeliveryState.UNKNOWN, reason="receipt_for_other_bytes")

    def note(unit: UnitOfWork) -> None:
        table.add_delivery(unit.connection, period, bureau.name, receipt, unit.now)
        audit(
            unit,
            action="credit.deliver_bureau_file",
            subject=f"bureau_file:{period}",
            detail={"bureau": bureau.name, "state": receipt.state.value},
        )

    database.transact(note, actor=actor)
    return receipt


def correct(unit: UnitOfWork, nr: int, month: str, status: str, *, cause: str) -> Correction:
    """Correct what a month of a loan's history says, in the next file and all after it.

    Parameters
    ----------
    cause : `noun:id` of what found it out

    Refusals
    --------
    correction_is_malformed
    """
    newest = table.last(unit.connection)
    last = f"{unit.now:%Y-%m}" if newest is None else max(newest.period, f"{unit.now:%Y-%m}")
    correction = check_correction(nr, month, status, last=last)
    _add(unit, correction, cause)
    return correction


def delete_account(unit: UnitOfWork, nr: int, *, cause: str) -> Correction:
    """Take a loan back from the bureau: the next file says that it never was the customer's."""
    correction = Correction(nr, None, None)
    _add(unit, correction, cause)
    return correction


def read_file(connection: sa.Connection, period: str) -> ReportFile:
    """Return a file with its rows.

    Refusals
    --------
    reporting_file_is_unknown
    """
    return table.read(connection, period)


def bytes_of(connection: sa.Connection, period: str) -> bytes:
    """Return the bytes of a file, the same as were delivered.

    Refusals
    --------
    reporting_file_is_unknown
    """
    return write_file(table.read(connection, period))


def list_files(connection: sa.Connection, *, limit: int = 36) -> tuple[MadeFile, ...]:
    """Return the files that were made, newest first."""
    return tuple(table.made_files(connection, limit=limit))


def deliveries_of(connection: sa.Connection, period: str) -> tuple[Delivery, ...]:
    """Return the bureau's receipts for a file, oldest first."""
    return tuple(table.deliveries(connection, period))


def reported_of(connection: sa.Connection, nr: int) -> tuple[tuple[str, ReportRow], ...]:
    """Return what was reported about a loan, by period, oldest first."""
    return tuple(table.rows_of(connection, nr))


def _add(unit: UnitOfWork, correction: Correction, cause: str) -> None:
    # A file that is made at this moment is done first: it does not tell it, the next one does.
    table.hold_files(unit.connection)
    table.add_correction(
        unit.connection, unit.new_id(), correction, cause=cause, at=unit.now, by=unit.actor
    )
    audit(
        unit,
        action="credit.correct_bureau",
        subject=f"loan:{correction.nr}",
        detail={"month": correction.month, "status": correction.status, "cause": cause},
    )


def _row(
    loan: table.Reportable, period: str, as_of: date, corrections: tuple[Correction, ...]
) -> ReportRow | None:
    if loan.told_kind is RowKind.DELETE:
        return None
    standing = run(loan.terms, loan.happened, as_of)
    if loan.state is LoanState.CANCELLED:
        # Never a debt of the customer's: what was told of it is taken back.
        corrections = (*corrections, Correction(loan.nr, None, None))
    gap = 1 if loan.told_period is None else _months(loan.told_period, period)
    return row_of(_account(loan, standing), period, corrections, loan.told_history, gap=gap)


def _account(loan: table.Reportable, standing: Standing) -> Account:
    ended_on, state = None, AccountState.OPEN
    if loan.sold_on is not None and loan.sold_on <= standing.as_of:
        ended_on, state = loan.sold_on, AccountState.SOLD
    elif standing.closed_on is not None:
        ended_on, state = standing.closed_on, AccountState.CLOSED
    elif standing.written_off_on is not None:
        ended_on, state = standing.written_off_on, AccountState.WRITTEN_OFF
    elif standing.overdue_minor:
        state = AccountState.OVERDUE
    is_ours = state in (AccountState.OPEN, AccountState.OVERDUE)
    owed = sum(row.open_minor for row in standing.rows)
    return Account(
        nr=loan.nr,
        customer=loan.party,
        opened_on=loan.terms.start_on,
        currency=loan.currency,
        state=state,
        amount_minor=standing.totals.disbursed_minor,
        balance_minor=standing.principal_minor
        if is_ours
        else owed
        if state is AccountState.WRITTEN_OFF
        else 0,
        overdue_minor=standing.overdue_minor if is_ours else 0,
        dpd=standing.days_past_due if is_ours else 0,
        category=loan.category,
        dues=tuple(Due(row.due_on, row.paid_on) for row in standing.rows),
        ended_on=ended_on,
        is_disputed=loan.is_disputed,
        reported=loan.told,
    )


def _months(start: str, end: str) -> int:
    """Return how many months lie from one to the other."""
    return (int(end[:4]) - int(start[:4])) * 12 + int(end[5:]) - int(start[5:])


def periods_due(connection: sa.Connection) -> tuple[str, ...]:
    """Return the months that are over and not reported, oldest first.

    Of a platform that never reported, only the last one.

    Refusals
    --------
    lender_is_unknown
    """
    on = books.business_on(connection)
    over = months_to(f"{on:%Y-%m}")[:-1]
    newest = table.last(connection)
    return over[-1:] if newest is None else tuple(one for one in over if one > newest.period)


def report(database: Database, bureau: CreditBureau, *, actor: str) -> tuple[str, ...]:
    """Make every file that is due, and hand in what the bureau has not accepted.

    Returns
    -------
    tuple of str
        Periods that were handed in by this run.
    """
    with database.reading() as connection:
        due = periods_due(connection)
    for period in due:
        database.transact(partial(make_file, period=period), actor=actor)
    with database.reading() as connection:
        waiting = table.not_accepted(connection, bureau.name)
    for period in waiting:
        deliver(database, bureau, period, actor=actor)
    return tuple(waiting)


@job("credit.report_to_bureau", schedule=Daily(time(4), "Asia/Shanghai"))
def report_to_bureau(context: JobContext) -> None:
    """Report the months that are over; a file that was not accepted is handed in again."""
    bureau = getattr(context.platform, "credit_bureau", None)
    with context.database.reading() as connection:
        if bureau is None or not books.lenders(connection):
            return
    report(context.database, bureau, actor=context.actor)
