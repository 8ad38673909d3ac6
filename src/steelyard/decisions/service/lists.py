"""Kept lists: who stands on them, until when, because of whom and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.decisions.model.lifecycle import EntryIsMalformed, EntryIsUnknown
from steelyard.decisions.service.policies import raise_roster
from steelyard.decisions.store import lists as table
from steelyard.decisions.store.lists import CountedList, Listed
from steelyard.kernel import Page, decode_cursor, encode_cursor

__all__ = [
    "MOST_ENTRIES",
    "CountedList",
    "Listed",
    "add_to_list",
    "counted_lists",
    "entry_of",
    "forget_overdue",
    "import_list",
    "list_entries",
    "put_on_list",
    "read_csv",
    "take_off_list",
]

MOST_ENTRIES = 100_000
"""How many values are put on a list at once."""
_MOST_VALUE, _MOST_REASON, _SHOWN = 200, 500, 20


def add_to_list(
    unit: UnitOfWork,
    name: str,
    values: Sequence[str],
    *,
    reason: str,
    until_at: datetime | None = None,
) -> int:
    """Put values on a list; one that stands there has its end and reason replaced.

    Returns
    -------
    int
        How many were not on it.

    Refusals
    --------
    list_is_unknown, entry_is_malformed
    """
    return put_on_list(unit, name, [entry_of(one, reason, until_at, unit) for one in values])


def entry_of(value: str, reason: str, until_at: datetime | None, unit: UnitOfWork) -> Listed:
    """Return an entry that the actor of a unit makes now."""
    return Listed(value, until_at, reason, unit.actor, unit.now)


def put_on_list(unit: UnitOfWork, name: str, entries: Sequence[Listed]) -> int:
    """Put entries on a list, all or none; see `add_to_list`."""
    table.lock_list(unit.connection, name)
    if not 0 < len(entries) <= MOST_ENTRIES:
        raise EntryIsMalformed(nth=0, what=f"1 to {MOST_ENTRIES:,} entries are put at once")
    for nth, entry in enumerate(entries, 1):
        what = _wrong(entry, unit.now)
        if what:
            raise EntryIsMalformed(nth=nth, what=what)
    last = {entry.value: entry for entry in entries}
    added = table.put_entries(unit.connection, name, [*last.values()])
    raise_roster(unit)
    shown = sorted(last)[:_SHOWN]
    detail = {"entries": len(last), "added": added, "values": shown}
    audit(unit, action="decisions.add_to_list", subject=f"list:{name}", detail=detail)
    return added


def read_csv(text: str, unit: UnitOfWork) -> list[Listed]:
    """Return the entries of a CSV text with the columns `value`, `reason` and, maybe, `until`.

    Parameters
    ----------
    text : with a head line; `until` is an instant in ISO 8601 with its offset, or empty

    Refusals
    --------
    entry_is_malformed
    """
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = set(reader.fieldnames or ())
        if not {"value", "reason"} <= columns <= {"value", "reason", "until"}:
            raise EntryIsMalformed(nth=0, what="the columns are value, reason and until")
        made = []
        for nth, row in enumerate(reader, 1):
            value, reason, until = (row.get(one) or "" for one in ("value", "reason", "until"))
            if None in row:
                raise EntryIsMalformed(nth=nth, what="there are more cells than columns")
            made.append(entry_of(value.strip(), reason.strip(), _instant(until, nth), unit))
            if nth > MOST_ENTRIES:
                raise EntryIsMalformed(nth=nth, what=f"at most {MOST_ENTRIES:,} at once")
    except csv.Error as error:
        raise EntryIsMalformed(nth=0, what=f"it is no CSV ({error})") from None
    return made


def import_list(unit: UnitOfWork, name: str, text: str) -> int:
    """Put the entries of a CSV text on a list, all or none; return how many were not on it.

    Refusals
    --------
    list_is_unknown, entry_is_malformed
    """
    return put_on_list(unit, name, read_csv(text, unit))


def take_off_list(unit: UnitOfWork, name: str, value: str, *, reason: str) -> None:
    """Take a value off a list.

    Refusals
    --------
    list_is_unknown, entry_is_unknown
    """
    table.lock_list(unit.connection, name)
    if not table.take_entries(unit.connection, name, [value]):
        raise EntryIsUnknown(name=name, value=value[:100])
    raise_roster(unit)
    detail = {"value": value, "reason": reason}
    audit(unit, action="decisions.take_off_list", subject=f"list:{name}", detail=detail)


def counted_lists(connection: sa.Connection, *, now: datetime) -> list[CountedList]:
    """Return every list, with how many values stand on it at an instant."""
    return table.counted_lists(connection, now)


def list_entries(
    connection: sa.Connection,
    name: str,
    *,
    now: datetime,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Listed]:
    """Return a page of the values that stand on a list at an instant, in their order.

    Refusals
    --------
    list_is_unknown, cursor_is_invalid
    """
    table.lock_list(connection, name)
    after = str(decode_cursor(cursor, str)[0]) if cursor else ""
    found = table.entries(connection, name, now=now, after=after, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(items[-1].value) if len(found) > limit else None)


def forget_overdue(unit: UnitOfWork, *, limit: int = 5_000) -> int:
    """Delete entries whose time is over; return how many. They have no effect by then."""
    return table.forget_overdue(unit.connection, now=unit.now, limit=limit)


def _instant(text: str, nth: int) -> datetime | None:
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise EntryIsMalformed(nth=nth, what=f"{text[:40]} is no instant") from None
    if at.tzinfo is None:
        raise EntryIsMalformed(nth=nth, what=f"{text[:40]} has no offset")
    return at.astimezone(UTC)


def _wrong(entry: Listed, now: datetime) -> str:
    if not 0 < len(entry.value) <= _MOST_VALUE or not entry.value.isprintable():
        return f"a value has 1 to {_MOST_VALUE} printable characters"
    if not 0 < len(entry.reason) <= _MOST_REASON or "\0" in entry.reason:
        return f"a reason has 1 to {_MOST_REASON} characters"
    if entry.until_at is not None and entry.until_at <= now:
        return "it ends in the past"
    return ""
