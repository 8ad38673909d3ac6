"""Reading: lists, a case with everything beside it, its history, and how the queue stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa

from steelyard.cases.model.case import Case
from steelyard.cases.model.reading import CaseFile, CaseFilter, QueuePlace, Statistics
from steelyard.cases.model.refusals import TimeZoneIsUnknown
from steelyard.cases.model.trail import HistoryLine
from steelyard.cases.store import case as table
from steelyard.cases.store import listing, trail
from steelyard.kernel import CursorIsInvalid, Page, decode_cursor, encode_cursor

__all__ = [
    "CaseFile",
    "CaseFilter",
    "HistoryLine",
    "Statistics",
    "history",
    "list_cases",
    "read_case",
    "read_file",
    "statistics",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RANKS = range(3)
_PRIORITIES = range(1, 5)
_LATEST_US = 253_402_300_799_000_000


def read_case(connection: sa.Connection, case: UUID) -> Case:
    """Return a case.

    Refusals
    --------
    case_is_unknown
    """
    return table.read(connection, case)


def read_file(connection: sa.Connection, case: UUID) -> CaseFile:
    """Return a case with its notes, evidence and links.

    Refusals
    --------
    case_is_unknown
    """
    return CaseFile(
        table.read(connection, case),
        trail.read_notes(connection, case),
        trail.read_evidence(connection, case),
        trail.read_links(connection, case),
    )


def list_cases(
    connection: sa.Connection,
    wanted: CaseFilter,
    *,
    now: datetime,
    order: Literal["newest", "queue"] = "newest",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Case]:
    """Return a page of cases.

    Parameters
    ----------
    now : business instant, by which colours are told
    order : the newest first; or the queue, in which cases are worked and closed ones are not. The
        pages of one reading of the queue are told by the colours of its first page

    Refusals
    --------
    cursor_is_invalid
    """
    if order == "queue":
        return _queue(connection, wanted, now, cursor, limit)
    before = _uuid(decode_cursor(cursor, str)[0]) if cursor else None
    found = listing.list_newest(connection, wanted, now=now, before=before, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(str(items[-1].id)) if len(found) > limit else None)


def history(
    connection: sa.Connection, case: UUID, *, cursor: str | None = None, limit: int = 50
) -> Page[HistoryLine]:
    """Return a page of what happened to a case, oldest first.

    Refusals
    --------
    case_is_unknown, cursor_is_invalid
    """
    table.read(connection, case)
    after = decode_cursor(cursor, int)[0] if cursor else 0
    if not 0 <= int(after) < 2**63:
        raise CursorIsInvalid
    found = trail.read_history(connection, case, after=int(after), limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(items[-1].sequence) if len(found) > limit else None)


def statistics(
    connection: sa.Connection, now: datetime, *, days: int = 30, zone: str = "Asia/Shanghai"
) -> Statistics:
    """Return how the queue stands, and what was closed in the last days.

    Parameters
    ----------
    now : business instant
    days : how far closings are counted back, 1 to 366
    zone : IANA name of the time zone whose dates closings are counted by

    Refusals
    --------
    time_zone_is_unknown
    """
    assert 1 <= days <= 366, "a day to a year"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeZoneIsUnknown(zone=zone[:50]) from None
    return Statistics(
        now,
        listing.count_open(connection, now),
        listing.oldest_open(connection),
        listing.ages_open(connection, now),
        listing.count_closed(connection, now, days=days, zone=zone),
    )


def _queue(
    connection: sa.Connection, wanted: CaseFilter, now: datetime, cursor: str | None, limit: int
) -> Page[Case]:
    after = _place(cursor) if cursor else None
    then = after.now if after else now
    found = listing.list_queue(connection, wanted, now=then, after=after, limit=limit + 1)
    items = tuple(found[:limit])
    if len(found) <= limit:
        return Page(items)
    last = items[-1]
    return Page(
        items,
        encode_cursor(
            (then - _EPOCH) // _MICROSECOND,
            int(last.priority),
            last.marks.colour(then).rank,
            (last.opened_at - _EPOCH) // _MICROSECOND,
            str(last.id),
        ),
    )


def _place(cursor: str) -> QueuePlace:
    now, priority, rank, opened, case = decode_cursor(cursor, int, int, int, int, str)
    is_whole = all(0 <= int(us) <= _LATEST_US for us in (now, opened))
    if not is_whole or rank not in _RANKS or priority not in _PRIORITIES:
        raise CursorIsInvalid
    then, opened_at = (_EPOCH + int(us) * _MICROSECOND for us in (now, opened))
    return QueuePlace(then, int(priority), int(rank), opened_at, _uuid(case))


def _uuid(text: int | str) -> UUID:
    try:
        return UUID(str(text))
    except ValueError:
        raise CursorIsInvalid from None
