"""The job that closes the lender's days, entered where the room is loaded."""

from __future__ import annotations

from datetime import time, timedelta

from steelyard.base.jobs import Daily, JobContext, job

__all__ = ["close_days"]

_OF_THE_PAST = timedelta(days=366)
"""A book so far behind the clock is a replay of the past: nobody lives in it, nothing ages."""


@job("credit.close_days", schedule=Daily(time(0, 10), "Asia/Shanghai"))
def close_days(context: JobContext) -> None:
    """Debit and close every business date that is over, in every lender's book of the present."""
    from steelyard.credit.service import books, dayclose

    earliest = context.database.now().date() - _OF_THE_PAST
    with context.database.reading() as connection:
        found = sorted(
            {
                lender.book
                for lender in books.lenders(connection)
                if books.business_on(connection, lender.currency) >= earliest
            }
        )
    how = dayclose.How(debits=True, actor=context.actor, should_stop=lambda: context.should_stop)
    for book in found:
        dayclose.close_through(context.database, book=book, how=how)
