"""Routes that read: the queue, a case, its history, kinds, statistics."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from steelyard.base.http import Cursor, Limit, Read, page_out, reading
from steelyard.base.http import refusals as refused_by
from steelyard.cases import CaseState, refusals, registry
from steelyard.cases import reading as cases
from steelyard.cases.http.wire import (
    CaseFileOut,
    CaseId,
    CaseOut,
    CasePage,
    GroupOut,
    HistoryLineOut,
    HistoryPage,
    KindOut,
    KindsOut,
    Name,
    Ref,
    StatisticsOut,
)
from steelyard.kernel import CursorIsInvalid

router = APIRouter(prefix="/v1/cases")

Reads = Annotated[Read, reading("cases.read")]


def wanted_of(  # noqa: PLR0917  (query parameters)
    state: CaseState | None = None,
    kind: Name | None = None,
    colour: registry.Colour | None = None,
    assignee: Annotated[Ref | None, Query(description="`staff:<id>`, or `me`")] = None,
    subject: Annotated[Ref | None, Query(description="what it is about or linked to")] = None,
    group: Name | None = None,
) -> cases.CaseFilter:
    """Return which cases a request asks for."""
    return cases.CaseFilter(state, kind, colour, assignee, subject, group)


Wanted = Annotated[cases.CaseFilter, Depends(wanted_of)]


@router.get("", responses=refused_by(CursorIsInvalid))
def list_cases(
    read: Reads,
    wanted: Wanted,
    order: Annotated[
        Literal["newest", "queue"], Query(description="queue: as worked, without closed ones")
    ] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> CasePage:
    """List cases."""
    if wanted.assignee == "me":
        wanted = cases.CaseFilter(
            wanted.state,
            wanted.kind,
            wanted.colour,
            read.caller.actor,
            wanted.subject,
            wanted.group,
        )
    now = read.database.now()
    with read.database.reading() as connection:
        page = cases.list_cases(
            connection, wanted, now=now, order=order, cursor=cursor, limit=limit
        )
    return page_out(CasePage, page, lambda case: CaseOut.of(case, now))


@router.get("/kinds", responses=refused_by())
def list_kinds(read: Reads) -> KindsOut:
    """List the kinds of case with their outcomes, and the groups."""
    kinds, groups = registry.case_kinds(), registry.case_groups()
    return KindsOut(
        kinds=[KindOut.of(kinds[name]) for name in sorted(kinds)],
        groups=[GroupOut.of(groups[name]) for name in sorted(groups)],
    )


@router.get("/statistics", responses=refused_by(refusals.TimeZoneIsUnknown))
def show_statistics(
    read: Reads,
    days: Annotated[int, Query(ge=1, le=366, description="how far closings are counted")] = 30,
    zone: Annotated[str, Query(max_length=50, pattern=r"^[A-Za-z0-9_+/-]+$")] = "Asia/Shanghai",
) -> StatisticsOut:
    """Show how the queue stands: open by kind and colour, oldest, ages, closed by day, in time."""
    now = read.database.now()
    with read.database.reading() as connection:
        return StatisticsOut.of(cases.statistics(connection, now, days=days, zone=zone))


@router.get("/{case}", responses=refused_by(refusals.CaseIsUnknown))
def show_case(case: CaseId, read: Reads) -> CaseFileOut:
    """Show a case with its notes, evidence and links."""
    now = read.database.now()
    with read.database.reading() as connection:
        return CaseFileOut.of_file(cases.read_file(connection, case), now)


@router.get("/{case}/history", responses=refused_by(refusals.CaseIsUnknown, CursorIsInvalid))
def show_history(
    case: CaseId, read: Reads, cursor: Cursor = None, limit: Limit = 50
) -> HistoryPage:
    """Show everything that happened to a case, oldest first."""
    with read.database.reading() as connection:
        page = cases.history(connection, case, cursor=cursor, limit=limit)
    return page_out(HistoryPage, page, HistoryLineOut.of)
