"""Routes of the book as a whole: its report, the months that are kept, risk parameters."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import BodyIn, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.credit import portfolio, provisioning
from steelyard.parties import approvals

router = APIRouter(prefix="/v1/credit", tags=["credit"])

Reads = Annotated[Read, reading("credit.read_portfolio")]
Estimates = Annotated[Write, writing("credit.estimate")]
Version = Annotated[int, Path(description="of the parameters", ge=0, lt=2**31)]
Cell = str | int | float | None


class TableOut(BaseModel):
    """A table of the report."""

    name: str
    title: str
    rows: list[dict[str, Cell]]


class PortfolioOut(BaseModel):
    """The book: vintages, migration, first payments, funnel, concentration, profit and loss."""

    source: str
    notes: list[str] = Field(description="what has to be known to read the figures")
    tables: list[TableOut]


class MonthOut(BaseModel):
    """A month that is kept."""

    month_on: date = Field(description="its last business date")
    currency: str
    loans: int
    principal_minor: int


class ParametersLineOut(BaseModel):
    """What provisions are made with for one product and bucket; parts of a million."""

    product: str = Field(description="`*` for the whole book")
    bucket: int
    pd_ppm: int = Field(description="probability of default within twelve months")
    low_ppm: int = Field(description="95 % of it, lower end")
    high_ppm: int
    lgd_ppm: int = Field(description="share lost of what is owed at default")
    moves: int = Field(description="monthly moves of loans that it was estimated from")
    defaults: int = Field(description="ended defaults that the share was estimated from")


class ParametersOut(BaseModel):
    """A version of the risk parameters."""

    version: int = Field(description="0 is what is delivered: priors, a judgement")
    as_of: date
    months: int
    note: str
    lines: list[ParametersLineOut]

    @classmethod
    def of(cls, one: provisioning.Parameters) -> ParametersOut:
        """Return the wire form of a version."""
        lines = [ParametersLineOut(**line) for line in provisioning.summary(one)]
        return cls(
            version=one.version, as_of=one.as_of, months=one.months, note=one.note, lines=lines
        )


class EstimateIn(BodyIn):
    """Whether to keep what is estimated."""

    dry_run: bool = Field(False, description="show the effect, keep nothing")


class AdoptionIn(BodyIn):
    """From which day on; without a second person's yes, it is asked for."""

    from_on: date = Field(description="first business date of provisions with the version")
    approval: UUID | None = None


class AdoptionOut(BaseModel):
    """Requested, or done."""

    is_done: bool
    approval: UUID | None = Field(description="that a second person decides on")
    expires_at: datetime | None = Field(description="real time")
    version: int
    from_on: date


@router.get(
    "/portfolio",
    response_model=PortfolioOut,
    responses=refused_by(
        portfolio.BookIsEmpty, portfolio.CurrencyIsNotNamed, provisioning.HistoryIsTooShort
    ),
)
def read_the_portfolio(
    read: Reads,
    currency: Annotated[
        str | None, Query(pattern="^[A-Z]{3}$", description="of the loans, if there are several")
    ] = None,
    funding_bp: Annotated[
        int, Query(ge=0, le=10_000, description="cost of funds a year, basis points")
    ] = 280,
) -> PortfolioOut:
    """Draw the book as it stands, with all months that are kept."""
    with read.database.reading() as connection:
        book = portfolio.read_book(connection, currency)
    tables = portfolio.report(book, funding_bp=funding_bp)
    return PortfolioOut(
        source=book.source,
        notes=list(book.notes),
        tables=[TableOut(name=one.name, title=one.title, rows=one.as_json()) for one in tables],
    )


@router.get("/portfolio/months", response_model=list[MonthOut], responses=refused_by())
def list_the_months(read: Reads) -> list[MonthOut]:
    """List the months that are kept, the first first."""
    with read.database.reading() as connection:
        return [MonthOut(**row) for row in portfolio.list_months(connection)]


@router.get("/risk-parameters", response_model=ParametersOut, responses=refused_by())
def read_parameters_in_force(
    read: Reads, on: Annotated[date, Query(description="business date")]
) -> ParametersOut:
    """Show what provisions are made with on a business date."""
    with read.database.reading() as connection:
        return ParametersOut.of(provisioning.in_force(connection, on))


@router.get(
    "/risk-parameters/{version}",
    response_model=ParametersOut,
    responses=refused_by(provisioning.ParametersAreUnknown),
)
def read_parameters(version: Version, read: Reads) -> ParametersOut:
    """Show a version of the risk parameters."""
    with read.database.reading() as connection:
        return ParametersOut.of(provisioning.read(connection, version))


@router.post(
    "/risk-parameters",
    status_code=201,
    response_model=ParametersOut,
    responses=refused_by(portfolio.BookIsEmpty, provisioning.HistoryIsTooShort, write=True),
)
def estimate_parameters(body: EstimateIn, write: Estimates) -> Response:
    """Estimate risk parameters from the months of the book, and keep them as a version."""
    return write.run(
        lambda unit: ParametersOut.of(provisioning.estimate(unit, dry_run=body.dry_run)),
        status=201,
    )


@router.post(
    "/risk-parameters/{version}/adopt",
    response_model=AdoptionOut,
    responses=refused_by(
        provisioning.ParametersAreUnknown, *approvals.CONSUME_REFUSALS, write=True
    ),
)
def adopt_parameters(version: Version, body: AdoptionIn, write: Estimates) -> Response:
    """Request that provisions are made with a version; with the approval, do so."""

    def work(unit: UnitOfWork) -> AdoptionOut:
        if body.approval is None:
            asked = provisioning.request_adoption(unit, version, from_on=body.from_on)
            return AdoptionOut(
                is_done=False,
                approval=asked.id,
                expires_at=asked.expires_at,
                version=version,
                from_on=body.from_on,
            )
        done = provisioning.adopt(unit, version, from_on=body.from_on, approval=body.approval)
        return AdoptionOut(
            is_done=True, approval=None, expires_at=None, version=version, from_on=done.from_on
        )

    return write.run(work)
