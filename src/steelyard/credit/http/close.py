"""Routes of the day close."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.credit import books, dayclose

router = APIRouter(prefix="/v1/credit", tags=["credit"])

Book = Annotated[str, Query(max_length=40, pattern=r"^[^\x00]*$", description="the lender's book")]
Reads = Annotated[Read, reading("credit.read_portfolio")]


class DayCloseIn(BodyIn):
    """Which days to close."""

    book: str = Field(books.BOOK, max_length=40, description="the lender's book")
    through: date | None = Field(
        None, description="last day to close; null: every day that is over"
    )
    debits: bool = Field(True, description="take what is due from the wallets before")


class SumsOut(BaseModel):
    """Amounts of a day in one currency, our share."""

    interest_minor: int
    penalty_minor: int
    fee_minor: int
    provision_minor: int = Field(description="what provisions grew by")


class DayOut(BaseModel):
    """The close of a business date."""

    book: str
    on: date
    is_closed: bool
    began_at: datetime
    closed_at: datetime | None
    chunks: int
    done: int
    loans: int
    fell_due: int = Field(description="instalments that fell due and are not paid")
    changed: int = Field(description="loans in another bucket, category or stage")
    sums: dict[str, SumsOut]
    parameters: int = Field(description="version of the risk parameters")
    differences: int | None = Field(description="of loans and ledger; null: not checked yet")

    @classmethod
    def of(cls, report: dayclose.DayReport) -> DayOut:
        """Return the wire form."""
        counts = report.counts
        return cls(
            book=report.book,
            on=report.on,
            is_closed=report.is_closed,
            began_at=report.began_at,
            closed_at=report.closed_at,
            chunks=report.chunks,
            done=report.done,
            loans=counts.loans,
            fell_due=counts.fell_due,
            changed=counts.changed,
            sums={
                currency: SumsOut(
                    interest_minor=one.interest_minor,
                    penalty_minor=one.penalty_minor,
                    fee_minor=one.fee_minor,
                    provision_minor=one.provision_minor,
                )
                for currency, one in counts.sums.items()
            },
            parameters=report.parameters,
            differences=report.differences,
        )


class DaysOut(BaseModel):
    """Days, in order."""

    items: list[DayOut]


@router.post(
    "/day-close",
    response_model=DaysOut,
    responses=refused_by(*dayclose.REFUSALS, write=True),
)
def close_days(body: DayCloseIn, write: Annotated[Write, writing("credit.close_day")]) -> Response:
    """Close the days of a lender's book that are over, one by one."""

    def work() -> DaysOut:
        how = dayclose.How(debits=body.debits, actor=write.caller.actor)
        closed = dayclose.close_through(write.database, body.through, book=body.book, how=how)
        return DaysOut(items=[DayOut.of(one) for one in closed])

    return write.run_in_steps(work)


@router.get("/days", responses=refused_by())
def list_days(
    read: Reads,
    book: Book = books.BOOK,
    limit: Annotated[int, Query(ge=1, le=366)] = 31,
) -> DaysOut:
    """List the days of a lender's book that are or are being closed, the newest first."""
    with read.database.reading() as connection:
        found = dayclose.latest(connection, book=book, limit=limit)
    return DaysOut(items=[DayOut.of(one) for one in found])


@router.get("/days/{on}", responses=refused_by(dayclose.DayWasNeverClosed))
def show_day(on: Annotated[date, Path()], read: Reads, book: Book = books.BOOK) -> DayOut:
    """Show the close of a business date."""
    with read.database.reading() as connection:
        return DayOut.of(dayclose.read(connection, on, book=book))
