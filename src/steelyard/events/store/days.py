"""The log by days: what an export asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from steelyard.events.model.log import Cursor
from steelyard.events.store.log import COLUMNS

_DAY = "FROM events.log WHERE recorded_at >= :since AND recorded_at < :until"


def count_day(connection: sa.Connection, since: datetime, until: datetime) -> int:
    """Return how many facts were recorded from `since` to before `until`."""
    found: int = connection.execute(
        sa.text(f"SELECT count(*) {_DAY}"), {"since": since, "until": until}
    ).scalar_one()
    return found


def stream_day(
    connection: sa.Connection, since: datetime, until: datetime, *, chunk: int
) -> Iterator[Sequence[Any]]:
    """Yield those facts by sequence, some rows at a time, over a server-side cursor."""
    result = connection.execute(
        sa.text(f"SELECT {COLUMNS} {_DAY} ORDER BY sequence"),
        {"since": since, "until": until},
        execution_options={"yield_per": chunk},
    )
    yield from result.partitions(chunk)


def late_facts(connection: sa.Connection, since: datetime, until: datetime, place: Cursor) -> bool:
    """Whether facts were committed to those days behind a place in the log."""
    found: bool = connection.execute(
        sa.text(
            f"SELECT EXISTS (SELECT {_DAY} AND (epoch > :epoch OR epoch = :epoch"
            " AND NOT pg_visible_in_snapshot(position, CAST(:seen AS pg_snapshot))))"
        ),
        {"since": since, "until": until, "epoch": place.epoch, "seen": str(place.seen)},
    ).scalar_one()
    return found


def server_time(connection: sa.Connection) -> datetime:
    """Return the instant by the server's own clock, which `open_transactions` compares with."""
    instant: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return instant


def open_transactions(connection: sa.Connection, since: datetime) -> int:
    """Return how many other transactions that had begun by an instant are still open."""
    found: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND xact_start <= :since"
        ),
        {"since": since},
    ).scalar_one()
    return found
