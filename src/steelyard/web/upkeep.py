"""Jobs that keep the house: what no request asks for and somebody must do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from steelyard import ledger
from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.idempotency import forget_answers
from steelyard.base.jobs import Every, JobContext, job
from steelyard.base.telemetry import get_logger

_ANSWERS_KEPT = timedelta(days=7)
_HOLDS_IN_A_UNIT = 500


@job("base.forget_old_answers", schedule=Every(timedelta(hours=1)))
def forget_old_answers(context: JobContext) -> None:
    """Forget the answers of commands that nobody will send again."""
    context.transact(lambda unit: forget_answers(unit, before=unit.wall_at - _ANSWERS_KEPT))


@job("ledger.expire_holds", schedule=Every(timedelta(seconds=10)))
def expire_holds(context: JobContext) -> None:
    """Void the holds whose time is over, in every book."""
    with context.database.reading() as connection:
        books = [book.id for book in ledger.books(connection)]
    for book in books:

        def expire(unit: UnitOfWork, book: str = book) -> int:
            return len(ledger.expire_holds(unit, book, limit=_HOLDS_IN_A_UNIT))

        while not context.should_stop and context.transact(expire) == _HOLDS_IN_A_UNIT:
            pass


@job("ledger.verify_books", schedule=Every(timedelta(hours=6)))
def verify_books(context: JobContext) -> None:
    """Compute every book again, and enter what was found into the audit trail.

    On the real clock: a town that lives fast would have its books computed all day.
    """
    with context.database.reading() as connection:
        reports = [
            ledger.BookReader(connection, book.id).verify() for book in ledger.books(connection)
        ]
    for report in reports:
        if not report.is_sound:
            get_logger("ledger").error(
                "book_is_not_sound", book=report.book, findings=len(report.findings)
            )

        def note(unit: UnitOfWork, report: Any = report) -> None:
            audit(
                unit,
                action="ledger.verify",
                subject=f"book:{report.book}",
                detail={
                    "sound": report.is_sound,
                    "transfers": report.transfers,
                    "head": report.head,
                    "findings": [f"{f.fault.value}: {f.about}" for f in report.findings[:10]],
                },
            )

        context.transact(note)
