"""Reading the log by pages: every fact in order by cursor, or the newest first."""

from __future__ import annotations

import sqlalchemy as sa

from steelyard.events.model.log import (
    NOTHING,
    Cursor,
    FactFilter,
    FactPage,
    StoredFact,
    sequence_in,
)
from steelyard.events.store.log import open_window, place_since, read_newest, read_window
from steelyard.kernel import Page, encode_cursor


def read_page(
    connection: sa.Connection, wanted: FactFilter, *, cursor: str | None = None, limit: int = 50
) -> FactPage:
    """Return the next facts in the order of the log.

    A client that asks again and again with the `next` it was given gets every fact once, a
    subject's in order, whatever transactions were running in between.

    Refusals
    --------
    cursor_is_invalid
    """
    if cursor is not None:
        at = Cursor.parse(cursor)
    elif wanted.since is not None:
        at = place_since(connection, wanted.since)
    else:
        at = Cursor(0, NOTHING)
    items: list[StoredFact] = []
    while len(items) < limit:
        at = open_window(connection, at)
        if at.taking is None:
            return FactPage(tuple(items), at.text(), has_more=False)
        found, at = read_window(connection, at, wanted, limit=limit - len(items))
        items += found
    return FactPage(tuple(items), at.text(), has_more=True)


def latest(
    connection: sa.Connection, wanted: FactFilter, *, cursor: str | None = None, limit: int = 50
) -> Page[StoredFact]:
    """Return facts, the newest first; for people to look at, not to be relied on for every fact.

    Refusals
    --------
    cursor_is_invalid
    """
    before = None if cursor is None else sequence_in(cursor)
    found = read_newest(connection, wanted, before=before, limit=limit + 1)
    more = len(found) > limit
    return Page(tuple(found[:limit]), encode_cursor(found[limit - 1].sequence) if more else None)
