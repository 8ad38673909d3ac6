"""Where the consumers stand, their leases and their lag."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from steelyard.events.model.consumption import COUNTED, Activity, ConsumerState
from steelyard.events.model.log import Cursor, FactFilter, Snapshot
from steelyard.events.store.log import (
    IN_WINDOW,
    kinds_heard,
    open_window,
    read_window,
    window_values,
)

LEASES = 731_102
"""First key of the advisory locks that are leases; the second is made of name and version."""
SKIPPED = 1_000
"""So many facts that a consumer does not hear are passed over without storing its place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A consumer's row.

    Attributes
    ----------
    failed_sequence, attempts, retry_at : the fact that failed last and was not delivered since
    replay_from : somebody asked for a replay from this sequence number
    """

    cursor: Cursor
    is_stopped: bool
    failed_sequence: int | None
    attempts: int
    retry_at: datetime | None
    replay_from: int | None
    delivered_sequence: int


_PLACE = (
    "c.epoch, CAST(c.seen AS text) AS seen, CAST(c.taking AS text) AS taking, c.after_sequence,"
    " c.last_sequence, c.is_stopped, c.failed_sequence, c.attempts, c.retry_at, c.replay_from,"
    " c.delivered_sequence"
)


def _cursor(row: Any) -> Cursor:
    taking = None if row.taking is None else Snapshot.parse(row.taking)
    return Cursor(
        row.epoch, Snapshot.parse(row.seen), taking, row.after_sequence, row.last_sequence
    )


def _to_place(row: Any) -> Place:
    return Place(
        _cursor(row),
        row.is_stopped,
        row.failed_sequence,
        row.attempts,
        row.retry_at,
        row.replay_from,
        row.delivered_sequence,
    )


def lease_key(name: str, version: int) -> int:
    """Return the second key of a consumer's lease, a signed 32-bit number."""
    return zlib.crc32(f"{name}@{version}".encode()) - 2**31


def enrol(
    connection: sa.Connection, name: str, version: int, hears: Sequence[str], start: Cursor
) -> None:
    """Make the consumer's row, or note in it what the consumer hears now."""
    connection.execute(
        sa.text(
            "INSERT INTO events.consumer AS c"
            " (name, version, hears, epoch, seen, taking, after_sequence, last_sequence)"
            " VALUES (:name, :version, CAST(:hears AS text[]), :epoch,"
            " CAST(:seen AS pg_snapshot), CAST(:taking AS pg_snapshot), :after, :last)"
            " ON CONFLICT (name, version) DO UPDATE SET hears = excluded.hears"
            " WHERE c.hears <> excluded.hears"
        ),
        {"name": name, "version": version, "hears": list(hears), **_values(start)},
    )


def _values(cursor: Cursor) -> dict[str, object]:
    return {
        "epoch": cursor.epoch,
        "seen": str(cursor.seen),
        "taking": None if cursor.taking is None else str(cursor.taking),
        "after": cursor.after,
        "last": cursor.last,
    }


def exists(connection: sa.Connection, name: str, version: int) -> bool:
    """Whether the consumer has a row."""
    found: bool = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM events.consumer WHERE name = :name AND version = :version)"
        ),
        {"name": name, "version": version},
    ).scalar_one()
    return found


def lock_place(connection: sa.Connection, name: str, version: int) -> Place | None:
    """Return the consumer's row, locked; None while another transaction delivers to it."""
    row = connection.execute(
        sa.text(
            f"SELECT {_PLACE} FROM events.consumer AS c"
            " WHERE name = :name AND version = :version FOR UPDATE SKIP LOCKED"
        ),
        {"name": name, "version": version},
    ).one_or_none()
    return None if row is None else _to_place(row)


def lock_row(connection: sa.Connection, name: str, version: int) -> None:
    """Wait for the step that is being delivered, and keep the next one waiting."""
    connection.execute(
        sa.text("SELECT FROM events.consumer WHERE name = :name AND version = :version FOR UPDATE"),
        {"name": name, "version": version},
    )


@dataclass(frozen=True, slots=True)
class Glance:
    """What a look without a lock showed.

    Attributes
    ----------
    window : the place inside its window, opened if there is something unseen
    has_facts : whether there is something to deliver in it, or much to pass over
    has_letters : whether somebody wants a dead letter replayed
    """

    place: Place
    window: Cursor
    has_facts: bool
    has_letters: bool


_GLANCE = sa.text(
    f"SELECT {_PLACE}, EXISTS (SELECT FROM events.dead_letter AS d WHERE d.consumer = c.name"
    "  AND d.consumer_version = c.version AND d.state = 'replaying') AS has_letters"
    " FROM events.consumer AS c WHERE c.name = :name AND c.version = :version"
)


def glance(connection: sa.Connection, name: str, version: int, heard: FactFilter) -> Glance | None:
    """Look for work without a lock and without writing; None when there is no such consumer."""
    row = connection.execute(_GLANCE, {"name": name, "version": version}).one_or_none()
    if row is None:
        return None
    place = _to_place(row)
    window = open_window(connection, place.cursor)
    has_facts = place.cursor.taking is not None or window.epoch != place.cursor.epoch
    if not has_facts and window.taking is not None:
        has_facts = window.last - window.after >= SKIPPED or bool(
            read_window(connection, window, heard, limit=1)[0]
        )
    return Glance(place, window, has_facts, row.has_letters)


_MOVE = sa.text(
    "UPDATE events.consumer SET epoch = :epoch, seen = CAST(:seen AS pg_snapshot),"
    " taking = CAST(:taking AS pg_snapshot), after_sequence = :after, last_sequence = :last,"
    " delivered_sequence = :delivered, is_stopped = false, stopped_because = NULL,"
    " failed_sequence = NULL, attempts = 0, retry_at = NULL, replay_from = NULL,"
    " moved_at = clock_timestamp() WHERE name = :name AND version = :version"
)


def move(connection: sa.Connection, name: str, version: int, *, to: Cursor, delivered: int) -> None:
    """Store the consumer's place; nothing has failed there yet."""
    connection.execute(
        _MOVE, {"name": name, "version": version, "delivered": delivered, **_values(to)}
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong at a place, and what follows.

    Attributes
    ----------
    at : place before the fact that failed (or behind it, when it became a dead letter)
    retry_at : None when it became a dead letter
    """

    at: Cursor
    sequence: int
    attempts: int
    trouble: str
    retry_at: datetime | None
    stops: bool


def note_failure(connection: sa.Connection, name: str, version: int, failure: Failure) -> None:
    """Store a failure and the place it happened at."""
    connection.execute(
        sa.text(
            "UPDATE events.consumer SET epoch = :epoch, seen = CAST(:seen AS pg_snapshot),"
            " taking = CAST(:taking AS pg_snapshot), after_sequence = :after,"
            " last_sequence = :last, is_stopped = :stops, stopped_because = :trouble,"
            " failed_sequence = :sequence, attempts = :attempts, retry_at = :retry_at,"
            " moved_at = clock_timestamp() WHERE name = :name AND version = :version"
        ),
        {
            "name": name,
            "version": version,
            "stops": failure.stops,
            "trouble": failure.trouble,
            "sequence": failure.sequence,
            "attempts": failure.attempts,
            "retry_at": failure.retry_at,
            **_values(failure.at),
        },
    )


def ask_replay(connection: sa.Connection, name: str, version: int, sequence: int) -> bool:
    """Note that the consumer shall be set back; False when there is no such consumer."""
    found = connection.execute(
        sa.text(
            "UPDATE events.consumer SET replay_from = :sequence"
            " WHERE name = :name AND version = :version"
        ),
        {"name": name, "version": version, "sequence": sequence},
    )
    return found.rowcount == 1


def remove(connection: sa.Connection, name: str, version: int) -> bool:
    """Remove the consumer's row; False when there is none."""
    found = connection.execute(
        sa.text("DELETE FROM events.consumer WHERE name = :name AND version = :version"),
        {"name": name, "version": version},
    )
    return found.rowcount == 1


def is_leased(connection: sa.Connection, name: str, version: int) -> bool:
    """Whether some process holds the consumer's lease."""
    return lease_key(name, version) in _leases(connection)


def _leases(connection: sa.Connection) -> set[int]:
    rows = connection.execute(
        sa.text(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = :leases"
            " AND granted AND database = (SELECT oid FROM pg_database"
            "  WHERE datname = current_database())"
        ),
        {"leases": LEASES},
    )
    return {key - 2**32 if key >= 2**31 else key for (key,) in rows}


def states(connection: sa.Connection) -> list[ConsumerState]:
    """Return how far every consumer is, by name and version."""
    rows = connection.execute(
        sa.text(
            f"SELECT c.name, c.version, c.hears, c.stopped_because, c.moved_at, {_PLACE},"
            " (SELECT count(*) FROM events.dead_letter AS d WHERE d.consumer = c.name"
            "  AND d.consumer_version = c.version AND d.state IN ('open', 'replaying')) AS letters"
            " FROM events.consumer AS c ORDER BY c.name, c.version"
        )
    ).all()
    leases = _leases(connection)
    return [_state(connection, row, leases) for row in rows]


def _state(connection: sa.Connection, row: Any, leases: set[int]) -> ConsumerState:
    behind, seconds = lag(connection, _cursor(row), FactFilter(kinds_heard(row.hears)))
    if row.is_stopped:
        activity = Activity.STOPPED
    elif row.retry_at is not None:
        activity = Activity.RETRYING
    elif lease_key(row.name, row.version) in leases:
        activity = Activity.RUNNING
    else:
        activity = Activity.IDLE
    return ConsumerState(
        row.name,
        row.version,
        tuple(row.hears),
        activity,
        row.delivered_sequence,
        behind,
        seconds,
        row.stopped_because,
        row.retry_at,
        row.letters,
        row.moved_at,
    )


_COUNT = sa.text(
    "SELECT count(*) FROM (SELECT FROM events.log WHERE sequence > :after AND sequence <= :last"
    f" AND kind = ANY(CAST(:kinds AS text[])) AND {IN_WINDOW} LIMIT :counted) AS facts"
)
_AGE = sa.text("SELECT extract(epoch FROM clock_timestamp() - CAST(:since AS timestamptz))")
_HEAD = sa.text("SELECT max(sequence) FROM events.log")


def lag(connection: sa.Connection, cursor: Cursor, heard: FactFilter) -> tuple[int, float]:
    """Return how many facts lie behind the cursor, and the real age in seconds of the oldest."""
    facts, seconds = 0, 0.0
    while True:
        window = open_window(connection, cursor)
        if window.taking is None:
            return facts, seconds
        values = {**window_values(window, heard), "counted": COUNTED}
        found: int = connection.execute(_COUNT, values).scalar_one()
        if found and not facts:
            (oldest,), _ = read_window(connection, window, heard, limit=1)
            age = connection.execute(_AGE, {"since": oldest.written_at}).scalar_one()
            seconds = max(0.0, float(age))
        facts += found
        if facts >= COUNTED:
            last: int = connection.execute(_HEAD).scalar_one()
            return max(facts, last - window.after), seconds
        cursor = window.closed()
