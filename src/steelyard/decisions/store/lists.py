"""Tables of the kept lists and their entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from steelyard.decisions.model.lifecycle import KeptList, ListIsUnknown


@dataclass(frozen=True, slots=True)
class Listed:
    """A value on a list."""

    value: str
    until_at: datetime | None
    reason: str
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class CountedList:
    """A list and how many values stand on it."""

    list: KeptList
    entries: int


def lock_list(connection: sa.Connection, name: str) -> KeptList:
    """Return a list, its row shared until the transaction ends.

    Refusals
    --------
    list_is_unknown
    """
    row = connection.execute(
        sa.text("SELECT name, means, field FROM decisions.list WHERE name = :name"),
        {"name": name},
    ).one_or_none()
    if row is None:
        raise ListIsUnknown(name=name)
    return KeptList(*row)


def counted_lists(connection: sa.Connection, now: datetime) -> list[CountedList]:
    """Return every list, with how many values stand on it at an instant."""
    rows = connection.execute(
        sa.text(
            "SELECT l.name, l.means, l.field, count(e.value) AS n FROM decisions.list l"
            " LEFT JOIN decisions.list_entry e ON e.list = l.name"
            " AND (e.until_at IS NULL OR e.until_at > :now)"
            " GROUP BY l.name ORDER BY l.name"
        ),
        {"now": now},
    )
    return [CountedList(KeptList(row.name, row.means, row.field), row.n) for row in rows]


def put_entries(connection: sa.Connection, name: str, entries: Sequence[Listed]) -> int:
    """Put values on a list, in one statement; return how many were not on it."""
    rows = connection.execute(
        sa.text(
            "INSERT INTO decisions.list_entry AS e"
            " (list, value, until_at, reason, added_by, added_at)"
            " SELECT :name, u.value, u.until_at, u.reason, u.added_by, u.added_at"
            " FROM unnest(CAST(:values AS text[]), CAST(:untils AS timestamptz[]),"
            " CAST(:reasons AS text[]), CAST(:bys AS text[]), CAST(:ats AS timestamptz[]))"
            " AS u (value, until_at, reason, added_by, added_at) ORDER BY u.value"
            " ON CONFLICT (list, value) DO UPDATE SET until_at = excluded.until_at,"
            " reason = excluded.reason, added_by = excluded.added_by, added_at = excluded.added_at"
            " RETURNING (xmax = 0) AS is_new"
        ),
        {
            "name": name,
            "values": [one.value for one in entries],
            "untils": [one.until_at for one in entries],
            "reasons": [one.reason for one in entries],
            "bys": [one.added_by for one in entries],
            "ats": [one.added_at for one in entries],
        },
    )
    return sum(rows.scalars())


def take_entries(connection: sa.Connection, name: str, values: Sequence[str]) -> set[str]:
    """Take values off a list; return those that stood on it."""
    rows = connection.execute(
        sa.text(
            "DELETE FROM decisions.list_entry WHERE list = :name"
            " AND value = ANY(CAST(:values AS text[])) RETURNING value"
        ),
        {"name": name, "values": list(values)},
    )
    return set(rows.scalars())


def entries(
    connection: sa.Connection, name: str, *, now: datetime, after: str = "", limit: int = 50
) -> list[Listed]:
    """Return the values that stand on a list at an instant, in their order, behind one."""
    rows = connection.execute(
        sa.text(
            "SELECT value, until_at, reason, added_by, added_at FROM decisions.list_entry"
            " WHERE list = :name AND value > :after AND (until_at IS NULL OR until_at > :now)"
            " ORDER BY value LIMIT :n"
        ),
        {"name": name, "after": after, "now": now, "n": limit},
    )
    return [_listed(row) for row in rows]


def every_entry(connection: sa.Connection) -> dict[str, dict[str, int | None]]:
    """Return every list: its values, each with the milliseconds until which it stands there."""
    found: dict[str, dict[str, int | None]] = {
        name: {}
        for name in connection.execute(sa.text("SELECT name FROM decisions.list")).scalars()
    }
    rows = connection.execute(
        sa.text(
            "SELECT list, value, CAST(extract(epoch FROM until_at) * 1000 AS bigint)"
            " FROM decisions.list_entry"
        )
    )
    for name, value, until_ms in rows:
        found[name][value] = until_ms
    return found


def forget_overdue(connection: sa.Connection, *, now: datetime, limit: int) -> int:
    """Delete entries whose time is over; they take no effect from the instant itself."""
    done = connection.execute(
        sa.text(
            "DELETE FROM decisions.list_entry WHERE (list, value) IN"
            " (SELECT list, value FROM decisions.list_entry WHERE until_at <= :now LIMIT :n"
            " FOR UPDATE SKIP LOCKED)"
        ),
        {"now": now, "n": limit},
    )
    return done.rowcount


def _listed(row: sa.Row[Any]) -> Listed:
    return Listed(
        row.value,
        None if row.until_at is None else row.until_at.astimezone(UTC),
        row.reason,
        row.added_by,
        row.added_at.astimezone(UTC),
    )
