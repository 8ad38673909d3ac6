"""`steelyard credit close-day` and `days`: the lender's business dates."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, bars, show

if TYPE_CHECKING:
    from steelyard.credit import dayclose

Book = Annotated[str, typer.Option("--book", help="the lender's book")]
ACTOR = "operator:cli"
_COLUMNS = [
    Column("day", "day"),
    Column("loans", "loans", right=True),
    Column("fell_due", "due", right=True),
    Column("changed", "moved", right=True),
    Column("currency", ""),
    Column("interest_minor", "interest", right=True),
    Column("provision_minor", "provision", right=True),
    Column("differences", "off", right=True),
]


def close_day(
    through: Annotated[
        datetime | None,
        typer.Option("--through", formats=["%Y-%m-%d"], help="last day; every day that is over"),
    ] = None,
    debits: Annotated[bool, typer.Option(help="take what is due from wallets before")] = True,
    workers: Annotated[int, typer.Option("--workers", min=1, max=16)] = 2,
    chunk: Annotated[int, typer.Option("--chunk", min=100, max=50_000, help="loans")] = 5_000,
    book: Book = "lending",
    as_json: AsJson = False,
) -> None:
    """Close the lender's business dates one by one: accrue, age, classify, provide, check."""
    from steelyard.credit import dayclose
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, bars() as progress:
        how = dayclose.How(
            chunk=chunk, workers=workers, debits=debits, progress=progress, actor=ACTOR
        )
        last: date | None = None if through is None else through.date()
        closed = dayclose.close_through(database, last, book=book, how=how)
    _show(closed, as_json=as_json)


def days(
    rows: Annotated[int, typer.Option("--rows", min=1, max=366)] = 14,
    book: Book = "lending",
    as_json: AsJson = False,
) -> None:
    """Show the days of a lender's book that are or are being closed, the newest first."""
    from steelyard.credit import dayclose
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = dayclose.latest(connection, book=book, limit=rows)
    _show(found, as_json=as_json)


def _show(reports: list[dayclose.DayReport], *, as_json: bool) -> None:
    """Print a line for each day and currency; a day without loans has one."""
    from steelyard.credit import dayclose

    lines = []
    for one in reports:
        for currency, sums in one.counts.sums.items() or [("", dayclose.Sums())]:
            lines.append(
                {
                    "day": f"{one.on}" if one.is_closed else f"{one.on} open",
                    "is_closed": one.is_closed,
                    "chunks": one.chunks,
                    "done": one.done,
                    "loans": one.counts.loans,
                    "fell_due": one.counts.fell_due,
                    "changed": one.counts.changed,
                    "currency": currency,
                    "interest_minor": sums.interest_minor,
                    "penalty_minor": sums.penalty_minor,
                    "fee_minor": sums.fee_minor,
                    "provision_minor": sums.provision_minor,
                    "differences": one.differences,
                    "parameters": one.parameters,
                }
            )
    show(lines, _COLUMNS, as_json=as_json)
