"""Dead letters: facts that a consumer could not handle."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from steelyard.events.model.consumption import DeadLetter, LetterState

_LETTER = (
    "d.id, d.consumer, d.consumer_version, d.sequence, l.kind, l.subject, d.handler, d.attempts,"
    " d.error, d.state, d.died_at, d.settled_at, d.settled_by, d.settled_because"
)
_FROM = "events.dead_letter AS d JOIN events.log AS l USING (sequence)"


def _to_letter(row: Any) -> DeadLetter:
    values = row._asdict()
    return DeadLetter(**{**values, "state": LetterState(row.state)})


def keep_letter(
    connection: sa.Connection,
    consumer: tuple[str, int],
    sequence: int,
    *,
    handler: str,
    attempts: int,
    error: str,
) -> None:
    """Keep a fact as a dead letter, or open its letter again after a replay."""
    connection.execute(
        sa.text(
            "INSERT INTO events.dead_letter"
            " (consumer, consumer_version, sequence, handler, attempts, error)"
            " VALUES (:consumer, :version, :sequence, :handler, :attempts, :error)"
            " ON CONFLICT (consumer, consumer_version, sequence) DO UPDATE SET state = 'open',"
            " handler = excluded.handler, attempts = excluded.attempts, error = excluded.error,"
            " died_at = clock_timestamp(), settled_at = NULL, settled_by = NULL,"
            " settled_because = NULL"
        ),
        {
            "consumer": consumer[0],
            "version": consumer[1],
            "sequence": sequence,
            "handler": handler,
            "attempts": attempts,
            "error": error,
        },
    )


def read_letters(
    connection: sa.Connection,
    *,
    consumer: str | None,
    states: tuple[LetterState, ...],
    before: int | None,
    limit: int,
) -> list[DeadLetter]:
    """Return dead letters, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_LETTER} FROM {_FROM} WHERE d.state = ANY(CAST(:states AS text[]))"
            " AND (CAST(:consumer AS text) IS NULL OR d.consumer = :consumer)"
            " AND d.id < coalesce(CAST(:before AS bigint), 9223372036854775807)"
            " ORDER BY d.id DESC LIMIT :limit"
        ),
        {
            "states": [str(state) for state in states],
            "consumer": consumer,
            "before": before,
            "limit": limit,
        },
    )
    return [_to_letter(row) for row in rows]


def read_one(connection: sa.Connection, letter: int) -> DeadLetter | None:
    """Return a dead letter, not locked."""
    row = connection.execute(
        sa.text(f"SELECT {_LETTER} FROM {_FROM} WHERE d.id = :id"), {"id": letter}
    ).one_or_none()
    return None if row is None else _to_letter(row)


def lock_letter(connection: sa.Connection, letter: int) -> DeadLetter:
    """Return a dead letter, which exists, locked."""
    statement = sa.text(f"SELECT {_LETTER} FROM {_FROM} WHERE d.id = :id FOR UPDATE OF d")
    return _to_letter(connection.execute(statement, {"id": letter}).one())


def next_asked(connection: sa.Connection, consumer: str, version: int) -> DeadLetter | None:
    """Return the first dead letter of the consumer that somebody wants replayed, locked."""
    row = connection.execute(
        sa.text(
            f"SELECT {_LETTER} FROM {_FROM} WHERE d.consumer = :consumer"
            " AND d.consumer_version = :version AND d.state = 'replaying'"
            " ORDER BY d.sequence LIMIT 1 FOR UPDATE OF d"
        ),
        {"consumer": consumer, "version": version},
    ).one_or_none()
    return None if row is None else _to_letter(row)


def ask(connection: sa.Connection, letter: int, *, by: str, because: str) -> None:
    """Ask for a replay of the letter."""
    connection.execute(
        sa.text(
            "UPDATE events.dead_letter SET state = 'replaying', settled_by = :by,"
            " settled_because = :because WHERE id = :id"
        ),
        {"id": letter, "by": by, "because": because},
    )


def reopen(connection: sa.Connection, letter: int, error: str) -> None:
    """Note that a replay failed."""
    connection.execute(
        sa.text(
            "UPDATE events.dead_letter SET state = 'open', attempts = attempts + 1,"
            " error = :error, settled_by = NULL, settled_because = NULL WHERE id = :id"
        ),
        {"id": letter, "error": error},
    )


def settle(
    connection: sa.Connection, letter: DeadLetter, state: LetterState, *, by: str, because: str
) -> None:
    """Settle the letter; the consumer that stopped at it goes on."""
    connection.execute(
        sa.text(
            "UPDATE events.dead_letter SET state = :state, settled_at = clock_timestamp(),"
            " settled_by = :by, settled_because = :because WHERE id = :id"
        ),
        {"id": letter.id, "state": str(state), "by": by, "because": because},
    )
    connection.execute(
        sa.text(
            "UPDATE events.consumer SET is_stopped = false, stopped_because = NULL,"
            " failed_sequence = NULL, attempts = 0 WHERE name = :name AND version = :version"
            " AND is_stopped AND failed_sequence = :sequence"
        ),
        {
            "name": letter.consumer,
            "version": letter.consumer_version,
            "sequence": letter.sequence,
        },
    )


def drop_from(connection: sa.Connection, consumer: str, version: int, sequence: int) -> None:
    """Settle the letters that a replay from a sequence number delivers again anyway."""
    connection.execute(
        sa.text(
            "UPDATE events.dead_letter SET state = 'discarded', settled_at = clock_timestamp(),"
            " settled_by = :by, settled_because = 'delivered again by a replay'"
            " WHERE consumer = :consumer AND consumer_version = :version"
            " AND sequence >= :sequence AND state IN ('open', 'replaying')"
        ),
        {
            "consumer": consumer,
            "version": version,
            "sequence": sequence,
            "by": f"consumer:{consumer}",
        },
    )
