"""Routes of reports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from steelyard.base.http import BodyIn, NotEntitled, Read, reading, refusals
from steelyard.payments import institution, orders, reports
from steelyard.payments.http.wire import merchant_of

router = APIRouter(prefix="/v1/payments/reports", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]


class AskedIn(BodyIn):
    """Of which time, and of whom."""

    since: AwareDatetime
    until: AwareDatetime
    mode: orders.Mode = orders.Mode.LIVE
    merchant: UUID | None = None


class ReportOut(BaseModel):
    """A report as a table."""

    name: reports.ReportName
    title: str
    since: datetime
    until: datetime
    timezone: str
    heads: list[str]
    rows: list[list[str | int | float | None]]
    is_cut: bool


@router.get(
    "/{name}",
    response_model=ReportOut,
    responses=refusals(
        reports.ReportPeriodIsMalformed, institution.InstitutionIsNotOpen, NotEntitled
    ),
)
def read_report(
    name: reports.ReportName, read: Reads, asked: Annotated[AskedIn, Query()]
) -> ReportOut:
    """Show a report of a time; a merchant sees those of itself that are no secret of the house."""
    own = merchant_of(read.caller)
    if own is not None and (not name.is_for_merchants or asked.merchant not in (None, own)):
        raise NotEntitled(actor=read.caller.actor, verb=f"reports of {name.value}")
    with read.database.reading() as connection:
        zone = institution.read(connection, asked.mode).timezone
        wanted = reports.Asked(
            since=asked.since,
            until=asked.until,
            mode=asked.mode,
            merchant=own or asked.merchant,
            timezone=zone,
        )
        found = reports.run(connection, name, wanted)
    return ReportOut(
        name=name,
        title=found.title,
        since=asked.since,
        until=asked.until,
        timezone=zone,
        heads=list(found.heads),
        rows=[list(row) for row in found.rows],
        is_cut=found.is_cut,
    )
