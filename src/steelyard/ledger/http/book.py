"""Routes: charts, books, their dates, trial balances and chains."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Write,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.kernel import UnknownCurrency
from steelyard.ledger import (
    CHARTS,
    Book,
    BookReader,
    ChartIsOfOtherFunds,
    ChartIsUnknown,
    Funds,
    books,
    close_day,
    close_period,
    open_book,
    open_chart,
    refusals,
)
from steelyard.ledger.http.wire import (
    NO_BOOK,
    BookId,
    Reads,
    Text,
)

router = APIRouter()


class BookIn(BodyIn):
    """A book to open."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "shop",
                "name": "Shop wallets",
                "funds": "client",
                "timezone": "Asia/Shanghai",
                "business_on": "2026-03-02",
                "chart": "wallets",
                "currencies": ["CNY"],
            }
        },
    )

    id: Annotated[str, StringConstraints(max_length=40)]
    name: Text
    funds: Literal["own", "client"] = Field(description="whose money it keeps, for ever")
    timezone: Annotated[str, StringConstraints(max_length=60)] = "UTC"
    business_on: date = Field(description="its first business date")
    chart: Text | None = Field(None, description="chart of accounts that it begins with")
    currencies: list[Annotated[str, StringConstraints(max_length=3)]] = Field(
        default_factory=list, max_length=20, description="in which the chart is opened"
    )


class BookOut(BaseModel):
    """A book as it stands."""

    id: str
    name: str
    timezone: str
    funds: Literal["own", "client"]
    business_on: date
    closed_through: date | None
    accounts: int
    transfers: int
    head: str = Field(description="hash of the last transfer, hexadecimal")

    @classmethod
    def of(cls, book: Book) -> BookOut:
        """Return the wire form of a book."""
        return cls(
            id=book.id,
            name=book.name,
            timezone=book.timezone,
            funds=book.funds.value,
            business_on=book.business_on,
            closed_through=book.closed_through,
            accounts=book.accounts,
            transfers=book.transfers,
            head=book.head.hex(),
        )


class ChartLineOut(BaseModel):
    """An account of a chart."""

    code: str
    kind: Literal["asset", "liability", "equity", "income", "expense"]
    name_en: str
    name_zh: str


class ChartOut(BaseModel):
    """The accounts that a book of some business begins with."""

    name: str
    version: int
    funds: Literal["own", "client"]
    name_en: str
    name_zh: str
    lines: list[ChartLineOut]


class ChartsOut(BaseModel):
    """Every chart of accounts."""

    items: list[ChartOut]


class BooksOut(BaseModel):
    """Every book."""

    items: list[BookOut]


class HeadOut(BaseModel):
    """The end of a book's chain, to be published where nobody can change it."""

    book: str
    transfers: int
    at: int
    hash: str


class DayIn(BodyIn):
    """The business date to go on to; the next day if null."""

    next_on: date | None = None


class PeriodIn(BodyIn):
    """Last day of the period that is closed."""

    through: date


class TrialTotalOut(BaseModel):
    """The columns of a trial balance for one currency."""

    currency: str
    accounts: int
    debit_minor: int
    credit_minor: int
    difference_minor: int


class TrialLineOut(BaseModel):
    """The balance of one account."""

    account: int
    code: str
    kind: str
    currency: str
    debit_minor: int
    credit_minor: int


class TrialOut(BaseModel):
    """A trial balance."""

    book: str
    is_balanced: bool
    totals: list[TrialTotalOut]
    lines: list[TrialLineOut]


@router.get("/charts", response_model=ChartsOut, responses=refused_by())
def list_charts(read: Reads) -> ChartsOut:
    """List the charts of accounts that a book can begin with."""
    return ChartsOut(
        items=[
            ChartOut(
                name=chart.name,
                version=chart.version,
                funds=chart.funds.value,
                name_en=chart.en,
                name_zh=chart.zh,
                lines=[
                    ChartLineOut(
                        code=line.code, kind=line.kind.value, name_en=line.en, name_zh=line.zh
                    )
                    for line in chart.lines
                ],
            )
            for chart in CHARTS.values()
        ]
    )


@router.get("/books", response_model=BooksOut, responses=refused_by())
def list_books(read: Reads) -> BooksOut:
    """List the books."""
    with read.database.reading() as connection:
        return BooksOut(items=[BookOut.of(book) for book in books(connection)])


@router.post(
    "/books",
    response_model=BookOut,
    status_code=201,
    responses=refused_by(
        refusals.BookIsMalformed,
        refusals.BookExists,
        refusals.AccountExists,
        ChartIsUnknown,
        ChartIsOfOtherFunds,
        UnknownCurrency,
        write=True,
    ),
)
def open_a_book(body: BookIn, write: Annotated[Write, writing("ledger.open_book")]) -> Response:
    """Open a book, with a chart of accounts if one is named; again, nothing changes."""

    def work(unit: UnitOfWork) -> BookOut:
        made = open_book(
            unit,
            body.id,
            name=body.name,
            funds=Funds(body.funds),
            business_on=body.business_on,
            timezone=body.timezone,
        )
        if body.chart is not None:
            open_chart(unit, body.id, body.chart, currencies=body.currencies)
            made = BookReader(unit.connection, body.id).book
        return BookOut.of(made)

    return write.run(work, status=201)


@router.get("/books/{book}", response_model=BookOut, responses=refused_by(*NO_BOOK))
def read_a_book(book: BookId, read: Reads) -> BookOut:
    """Show a book."""
    with read.database.reading() as connection:
        return BookOut.of(BookReader(connection, book).book)


@router.get("/books/{book}/head", response_model=HeadOut, responses=refused_by(*NO_BOOK))
def read_head(book: BookId, read: Reads) -> HeadOut:
    """Show the end of the book's hash chain."""
    with read.database.reading() as connection:
        head = BookReader(connection, book).head()
    return HeadOut(book=head.book, transfers=head.transfers, at=head.at, hash=head.hash)


@router.get("/books/{book}/trial-balance", response_model=TrialOut, responses=refused_by(*NO_BOOK))
def read_trial_balance(
    book: BookId,
    read: Reads,
    recorded_at: AwareDatetime | None = None,
    effective_on: date | None = None,
) -> TrialOut:
    """Show the trial balance, now or at a point of either time."""
    known = None if recorded_at is None else recorded_at.astimezone(UTC)
    with read.database.reading() as connection:
        trial = BookReader(connection, book).trial_balance(
            recorded_at=known, effective_on=effective_on
        )
    return TrialOut(
        book=book,
        is_balanced=trial.is_balanced,
        totals=[
            TrialTotalOut(
                currency=t.currency,
                accounts=t.accounts,
                debit_minor=t.debit_minor,
                credit_minor=t.credit_minor,
                difference_minor=t.difference_minor,
            )
            for t in trial.totals
        ],
        lines=[
            TrialLineOut(
                account=line.account,
                code=line.code,
                kind=line.kind.value,
                currency=line.currency,
                debit_minor=line.debit_minor,
                credit_minor=line.credit_minor,
            )
            for line in trial.lines
        ],
    )


@router.post(
    "/books/{book}/day-close",
    response_model=BookOut,
    responses=refused_by(
        *NO_BOOK, refusals.DatesDoNotGoBack, refusals.DateIsOutOfRange, write=True
    ),
)
def close_the_day(
    book: BookId, body: DayIn, write: Annotated[Write, writing("ledger.close_day")]
) -> Response:
    """Move the business date of a book on."""
    return write.run(lambda unit: BookOut.of(close_day(unit, book, next_on=body.next_on)))


@router.post(
    "/books/{book}/period-close",
    response_model=BookOut,
    responses=refused_by(*NO_BOOK, refusals.PeriodIsNotOver, refusals.DatesDoNotGoBack, write=True),
)
def close_the_period(
    book: BookId, body: PeriodIn, write: Annotated[Write, writing("ledger.close_period")]
) -> Response:
    """Close the books up to a day: no value date up to it is posted any more."""
    return write.run(lambda unit: BookOut.of(close_period(unit, book, through=body.through)))
