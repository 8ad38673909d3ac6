"""The job that closes the lender's days, entered where the room is loaded."""

from __future__ import annotations

from datetime import time

from steelyard.base.jobs import Daily, JobContext, job

__all__ = ["close_days"]


@job("credit.close_days", schedule=Daily(time(0, 10), "Asia/Shanghai"))
def close_days(context: JobContext) -> None:
    """Debit and close every business date that is over, in every lender's book."""
    from steelyard.credit.service import books, dayclose

    with context.database.reading() as connection:
        found = sorted({lender.book for lender in books.lenders(connection)})
    how = dayclose.How(debits=True, actor=context.actor, should_stop=lambda: context.should_stop)
    for book in found:
        dayclose.close_through(context.database, book=book, how=how)
