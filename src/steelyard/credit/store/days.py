"""Tables of days being closed and of their chunks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
import sqlalchemy as sa

from steelyard.credit.model.day_close import Counts, DayReport

LAST_NR: Final = 2**63 - 1


def pools(connection: sa.Connection, book: str) -> list[tuple[int, str, str]]:
    """Return number, product and currency of the pools whose loans stand in a book."""
    rows = connection.execute(
        sa.text(
            "SELECT p.id, p.product, p.currency FROM credit.pool AS p"
            " JOIN credit.lender AS l ON l.currency = p.currency WHERE l.book = :book"
            " ORDER BY p.id"
        ),
        {"book": book},
    )
    return [(int(row[0]), row[1], row[2]) for row in rows]


def insert(
    connection: sa.Connection, book: str, on: date, began_at: datetime, *, parameters: int
) -> bool:
    """Begin the close of a day; return False if it was begun before."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.day (book, on_day, began_at, parameters)"
            " VALUES (:book, :on, :at, :parameters) ON CONFLICT (book, on_day) DO NOTHING"
        ),
        {"book": book, "on": on, "at": began_at, "parameters": parameters},
    )
    return done.rowcount == 1


def insert_chunks(
    connection: sa.Connection, book: str, on: date, pools: Sequence[int], *, size: int
) -> None:
    """Divide the numbers of loans so that each chunk has so many open ones.

    The first begins before every loan, and the last has no end: a loan that is paid out meanwhile
    lies in one of them.
    """
    connection.execute(
        sa.text(
            "WITH open AS (SELECT nr, row_number() OVER (ORDER BY nr) AS n FROM credit.standing"
            " WHERE state = 1 AND pool = ANY (:pools)),"
            " firsts AS (SELECT CAST(1 AS bigint) AS nr UNION"
            " SELECT nr FROM open WHERE n % :size = 1 AND n > 1)"
            " INSERT INTO credit.day_chunk (book, on_day, first_nr, last_nr)"
            " SELECT :book, :on, nr, COALESCE(lead(nr) OVER (ORDER BY nr) - 1, :last) FROM firsts"
        ),
        {"book": book, "on": on, "pools": list(pools), "size": size, "last": LAST_NR},
    )


def chunks_to_do(connection: sa.Connection, book: str, on: date) -> list[tuple[int, int]]:
    """Return first and last number of the chunks that are not done."""
    rows = connection.execute(
        sa.text(
            "SELECT first_nr, last_nr FROM credit.day_chunk WHERE book = :book AND on_day = :on"
            " AND done_at IS NULL ORDER BY first_nr"
        ),
        {"book": book, "on": on},
    )
    return [(int(row[0]), int(row[1])) for row in rows]


def claim_chunk(driver: psycopg.Connection[Any], book: str, on: date, first_nr: int) -> bool:
    """Hold a chunk's row; return False if somebody did it before."""
    row = driver.execute(
        "SELECT done_at IS NULL FROM credit.day_chunk WHERE book = %s AND on_day = %s"
        " AND first_nr = %s FOR UPDATE",
        [book, on, first_nr],
    ).fetchone()
    return row is not None and bool(row[0])


def finish_chunk(
    driver: psycopg.Connection[Any],
    chunk: tuple[str, date, int],
    at: datetime,
    counts: Counts,
) -> None:
    """Note that a chunk is done, with what it did."""
    driver.execute(
        "UPDATE credit.day_chunk SET done_at = %s, counts = %s::jsonb"
        " WHERE book = %s AND on_day = %s AND first_nr = %s",
        [at, msgspec.json.encode(counts).decode(), *chunk],
    )


def lock(connection: sa.Connection, book: str, on: date) -> bool:
    """Hold the row of a day; return False if it is closed."""
    row = connection.execute(
        sa.text(
            "SELECT closed_at IS NULL FROM credit.day WHERE book = :book AND on_day = :on"
            " FOR UPDATE"
        ),
        {"book": book, "on": on},
    ).one()
    return bool(row[0])


def finish(connection: sa.Connection, book: str, on: date, at: datetime) -> None:
    """Note that a day is closed."""
    connection.execute(
        sa.text("UPDATE credit.day SET closed_at = :at WHERE book = :book AND on_day = :on"),
        {"at": at, "book": book, "on": on},
    )


def note_check(
    connection: sa.Connection, book: str, on: date, at: datetime, *, differences: int
) -> None:
    """Note what the check after a day found, if none was noted before."""
    connection.execute(
        sa.text(
            "UPDATE credit.day SET checked_at = :at, differences = :differences"
            " WHERE book = :book AND on_day = :on AND checked_at IS NULL"
        ),
        {"at": at, "differences": differences, "book": book, "on": on},
    )


def left_behind(
    connection: sa.Connection, pools: Sequence[int], on: date, *, limit: int = 100
) -> list[int]:
    """Return numbers of open loans that do not stand at a day yet."""
    rows = connection.execute(
        sa.text(
            "SELECT nr FROM credit.standing WHERE state = 1 AND pool = ANY (:pools)"
            " AND as_of < :on ORDER BY nr LIMIT :limit"
        ),
        {"pools": list(pools), "on": on, "limit": limit},
    )
    return [int(row[0]) for row in rows]


def loans_due(
    connection: sa.Connection, pools: Sequence[int], on: date, *, after: int, limit: int
) -> list[tuple[int, UUID]]:
    """Return number and id of open loans of which something is due on a day, by number."""
    rows = connection.execute(
        sa.text(
            "SELECT l.nr, l.id FROM credit.standing AS s JOIN credit.loan AS l ON l.nr = s.nr"
            " WHERE s.nr > :after AND s.state = 1 AND s.pool = ANY (:pools)"
            " AND (s.overdue_minor > 0 OR s.next_due_on <= :on OR EXISTS ("
            "SELECT FROM credit.instalment AS i WHERE i.nr = s.nr AND i.due_on = :on"
            " AND i.paid_on IS NULL)) ORDER BY l.nr LIMIT :limit"
        ),
        {"after": after, "pools": list(pools), "on": on, "limit": limit},
    )
    return [(int(row[0]), row[1]) for row in rows]


def held_loans(
    driver: psycopg.Connection[Any], first: int, last: int, *, limit: int = 20
) -> list[int]:
    """Return numbers of open loans whose standing somebody holds."""
    rows = driver.execute(
        "SELECT s.nr FROM credit.standing AS s WHERE s.nr BETWEEN %(first)s AND %(last)s"
        " AND s.state = 1 AND s.nr NOT IN (SELECT f.nr FROM credit.standing AS f"
        " WHERE f.nr BETWEEN %(first)s AND %(last)s AND f.state = 1 FOR UPDATE SKIP LOCKED)"
        " ORDER BY s.nr LIMIT %(limit)s",
        {"first": first, "last": last, "limit": limit},
    )
    return [int(row[0]) for row in rows]


_REPORT: Final = (
    "SELECT d.book, d.on_day, d.began_at, d.closed_at, d.checked_at, d.differences, d.parameters,"
    " array_agg(CAST(c.counts AS text)) AS counts FROM credit.day AS d"
    " LEFT JOIN credit.day_chunk AS c ON c.book = d.book AND c.on_day = d.on_day"
)


def read(connection: sa.Connection, book: str, on: date) -> DayReport | None:
    """Return how far the close of a day is, None if it was never begun."""
    row = connection.execute(
        sa.text(f"{_REPORT} WHERE d.book = :book AND d.on_day = :on GROUP BY d.book, d.on_day"),
        {"book": book, "on": on},
    ).one_or_none()
    return None if row is None else _report(row)


def latest(connection: sa.Connection, book: str, *, limit: int) -> list[DayReport]:
    """Return the days of a book, the newest first."""
    rows = connection.execute(
        sa.text(
            f"{_REPORT} WHERE d.book = :book GROUP BY d.book, d.on_day"
            " ORDER BY d.on_day DESC LIMIT :limit"
        ),
        {"book": book, "limit": limit},
    )
    return [_report(row) for row in rows]


def _report(row: Any) -> DayReport:
    done = [msgspec.json.decode(one, type=Counts) for one in row.counts if one is not None]
    counts = Counts()
    for one in done:
        counts = counts.plus(one)

    def instant(at: datetime | None) -> datetime | None:
        return None if at is None else at.astimezone(UTC)

    return DayReport(
        book=row.book,
        on=row.on_day,
        began_at=row.began_at.astimezone(UTC),
        closed_at=instant(row.closed_at),
        checked_at=instant(row.checked_at),
        differences=row.differences,
        parameters=row.parameters,
        chunks=len(row.counts),
        done=len(done),
        counts=counts,
    )
