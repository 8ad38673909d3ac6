"""The log: appended by function, read by windows between two snapshots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa

from steelyard.base import Database, Recorded
from steelyard.base.telemetry.metrics import EVENTS
from steelyard.events.model.log import MAX_FACTS, NOTHING, Cursor, FactFilter, Snapshot, StoredFact
from steelyard.kernel import CursorIsInvalid

CHANNEL = "steelyard_events"
REACH = 5_000
_ENSURED = "steelyard.events.epoch"

_APPEND = "SELECT events.append(%s::jsonb)"
_ENSURE_EPOCH = "SELECT events.ensure_epoch()"
COLUMNS = (
    "sequence, CAST(CAST(position AS text) AS bigint) AS position, epoch, kind, version, subject,"
    " occurred_at, recorded_at, written_at, actor, CAST(payload AS text) AS payload"
)
# Neither facts of our own transaction nor, before a restored log has begun its new epoch, those
# that lie in the future of the server.
_SETTLED = (
    "(:epoch < (SELECT max(number) FROM events.epoch)"
    " OR pg_visible_in_snapshot(position, pg_current_snapshot())"
    " AND position IS DISTINCT FROM pg_current_xact_id_if_assigned())"
)
# What `seen` does not show began after it or was running in it; the index finds both.
_UNSEEN = (
    "epoch = :epoch AND (position >= CAST(:from AS xid8)"
    f" OR position = ANY(CAST(:running AS xid8[]))) AND {_SETTLED}"
)


class PostgresFactLog:
    """Keeps facts in `events.log`, in the transaction of the one who records them."""

    def write(self, connection: sa.Connection, facts: Sequence[Recorded]) -> None:
        """Append the facts, in order, with one statement for each `MAX_FACTS` of them.

        Readers that sleep are woken when the transaction commits.
        """
        ensure_epoch(connection)
        for start in range(0, len(facts), MAX_FACTS):
            self._append(connection, facts[start : start + MAX_FACTS])
        for kind, count in Counter(f.fact.kind for f in facts).items():
            EVENTS.labels(kind).inc(count)

    def _append(self, connection: sa.Connection, facts: Sequence[Recorded]) -> None:
        rows = [
            (
                f.fact.kind,
                f.fact.version,
                f.subject,
                f.occurred_at,
                f.recorded_at,
                f.actor,
                f.fact,
            )
            for f in facts
        ]
        _driver(connection).execute(_APPEND, (msgspec.json.encode(rows).decode(),))


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    """Return the driver's connection, which a writer may have put into pipeline mode."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


@contextmanager
def own_connection(
    database: Database,
) -> Iterator[tuple[sa.Connection, psycopg.Connection[Any]]]:
    """Have a connection outside the pool for long, each statement a transaction of its own."""
    driver: Any = None
    try:
        with database.engine.connect() as pooled:
            connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            driver = connection.connection.dbapi_connection
            assert isinstance(driver, psycopg.Connection)
            yield connection, driver
    finally:
        if driver is not None:
            driver.close()  # one that was lost is not closed by the pool


def ensure_epoch(connection: sa.Connection) -> None:
    """Begin a new epoch if the log was restored; asked once for each connection to the server.

    A connection does not outlive the server it was made to, so once is enough.
    """
    if _ENSURED in connection.info:
        return
    begun = _driver(connection).execute(_ENSURE_EPOCH).fetchone()
    if begun == (None,):
        connection.info[_ENSURED] = True  # a begun epoch may still be rolled back: ask again


def begin_epoch(connection: sa.Connection, because: str) -> int:
    """Begin a new epoch in the connection's transaction, as the owner; return its number."""
    number: int = connection.execute(
        sa.text("SELECT events.begin_epoch(:because)"), {"because": because}
    ).scalar_one()
    return number


def wake(connection: sa.Connection) -> None:
    """Wake every reader when the transaction commits (for the rare commands of an operator)."""
    connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


_NOW = (
    "SELECT (SELECT max(number) FROM events.epoch) AS epoch,"
    " CAST(pg_current_snapshot() AS text) AS now,"
    " CAST(pg_current_xact_id_if_assigned() AS text) AS own"
)
# OFFSET 0: or the planner, if it thinks the unseen ones many, looks for the least of them by
# walking through all the seen ones.
_BOUNDS = sa.text(
    f"{_NOW}, min(sequence) AS first, max(sequence) AS last,"
    " CAST(max(position) AS text) AS highest"
    f" FROM (SELECT sequence, position FROM events.log WHERE {_UNSEEN} OFFSET 0) AS unseen"
)
# From the beginning of an epoch: the ends of two indexes instead of a walk through all of it.
_ALL_BOUNDS = sa.text(
    f"{_NOW}, (SELECT min(sequence) FROM events.log WHERE epoch = :epoch AND {_SETTLED}) AS first,"
    f" (SELECT max(sequence) FROM events.log WHERE epoch = :epoch AND {_SETTLED}) AS last,"
    " CAST((SELECT max(position) FROM events.log WHERE epoch = :epoch) AS text) AS highest"
)


def head(connection: sa.Connection) -> Cursor:
    """Return the place behind every fact that is visible now."""
    row = connection.execute(sa.text(_NOW)).one()
    return Cursor(row.epoch, _snapshot(row))


def _snapshot(row: Any) -> Snapshot:
    return Snapshot.parse(row.now).hiding(None if row.own is None else int(row.own))


def _unseen(cursor: Cursor) -> dict[str, object]:
    return {
        "epoch": cursor.epoch,
        "from": str(cursor.seen.xmax),
        "running": [str(xid) for xid in cursor.seen.running],
    }


def open_window(connection: sa.Connection, cursor: Cursor) -> Cursor:
    """Return the cursor inside a window: its own, or a new one if there are unseen facts.

    Between two windows nothing new leaves the cursor outside (`taking` is None). A window of an
    epoch that has ended holds all the rest of it; behind it begins the next epoch.

    Refusals
    --------
    cursor_is_invalid : of an epoch that this log never had
    """
    while cursor.taking is None:
        if cursor.seen == NOTHING:
            row = connection.execute(_ALL_BOUNDS, {"epoch": cursor.epoch}).one()
        else:
            row = connection.execute(_BOUNDS, _unseen(cursor)).one()
        if cursor.epoch > row.epoch:
            raise CursorIsInvalid
        if row.first is None:
            if cursor.epoch == row.epoch:
                return cursor
            cursor = Cursor(cursor.epoch + 1, NOTHING)
            continue
        if cursor.epoch == row.epoch:
            taking = _snapshot(row)
        else:
            taking = Snapshot(int(row.highest) + 1, int(row.highest) + 1)
        return cursor.opening(taking, first=row.first, last=row.last)
    return cursor


def read_window(
    connection: sa.Connection, cursor: Cursor, wanted: FactFilter, *, limit: int
) -> tuple[list[StoredFact], Cursor]:
    """Return the next facts of the cursor's window, and the cursor behind them.

    Fewer than `limit` facts: the window is at its end, and the cursor behind it.
    """
    values = {**window_values(cursor, wanted), "limit": limit, "reach": _reach(wanted, limit)}
    query = sa.text(
        f"WITH {_part(wanted)}, until AS MATERIALIZED ("
        " SELECT coalesce(min(sequence), :last) AS until FROM ("
        "  SELECT max(sequence) AS sequence FROM part GROUP BY way HAVING count(*) = :reach"
        " ) AS cut)"
        f" SELECT until, {COLUMNS} FROM until LEFT JOIN part ON sequence <= until"
        f" AND {IN_WINDOW}{_conditions(wanted)} ORDER BY sequence LIMIT :limit"
    )
    facts: list[StoredFact] = []
    after = cursor.after
    while len(facts) < limit and after < cursor.last:
        left = limit - len(facts)
        rows = connection.execute(query, {**values, "after": after}).all()
        facts += [StoredFact(*row[1:]) for row in rows[:left] if row.sequence is not None]
        after = facts[-1].sequence if len(facts) == limit else rows[0].until
    if len(facts) < limit:
        return facts, cursor.closed()
    return facts, cursor.moved(after)


# Of the rows from behind `:after` to `:last`.
IN_WINDOW = (
    "epoch = :epoch AND pg_visible_in_snapshot(position, CAST(:taking AS pg_snapshot))"
    " AND NOT pg_visible_in_snapshot(position, CAST(:seen AS pg_snapshot))"
)


def window_values(cursor: Cursor, wanted: FactFilter) -> dict[str, object]:
    """Return the values of `IN_WINDOW`, its bounds and the filter."""
    assert cursor.taking is not None, "inside a window"
    return {
        "epoch": cursor.epoch,
        "after": cursor.after,
        "last": cursor.last,
        "taking": str(cursor.taking),
        "seen": str(cursor.seen),
        **_values(wanted),
    }


def _part(wanted: FactFilter, way: str = "") -> str:
    """Return the query `part`: at most `:reach` rows from each of several ways through the log.

    A way is an index walked in its own order, and nothing but that index's columns is asked for
    here: with more conditions, and with the statistics of a young table, the planner would collect
    everything and sort it, for each page again. A kind and a number are compared as a pair, which
    only the index of both can do.
    """
    if wanted.subject is not None:
        return (
            "part AS MATERIALIZED (SELECT 1 AS way, * FROM events.log"
            " WHERE (subject, sequence) > (:subject, :after)"
            " AND (subject, sequence) <= (:subject, :last)"
            f" ORDER BY subject {way}, sequence {way} LIMIT :reach)"
        )
    if wanted.kinds:
        return (
            "part AS MATERIALIZED (SELECT way, log.*"
            " FROM unnest(CAST(:kinds AS text[])) AS heard (way) CROSS JOIN LATERAL ("
            "  SELECT * FROM events.log AS log WHERE (log.kind, log.sequence) > (way, :after)"
            "  AND (log.kind, log.sequence) <= (way, :last)"
            f"  ORDER BY log.kind {way}, log.sequence {way} LIMIT :reach) AS log)"
        )
    return (
        "part AS MATERIALIZED (SELECT 1 AS way, * FROM events.log WHERE sequence > :after"
        f" AND sequence <= :last ORDER BY sequence {way} LIMIT :reach)"
    )


def _conditions(wanted: FactFilter) -> str:
    """Return what the ways of `_part` leave to be asked."""
    text = ""
    if wanted.subject is not None and wanted.kinds:
        text += " AND kind = ANY(CAST(:kinds AS text[]))"
    if wanted.since is not None:
        text += " AND recorded_at >= :since"
    return text


def _reach(wanted: FactFilter, limit: int) -> int:
    """Return how many rows to walk at once: more where something is left to be asked of them."""
    return max(limit, REACH) if _conditions(wanted) else limit


def _values(wanted: FactFilter) -> dict[str, object]:
    values: dict[str, object] = {}
    if wanted.kinds:
        values["kinds"] = list(wanted.kinds)
    if wanted.subject is not None:
        values["subject"] = wanted.subject
    if wanted.since is not None:
        values["since"] = wanted.since
    return values


def read_newest(
    connection: sa.Connection, wanted: FactFilter, *, before: int | None, limit: int
) -> list[StoredFact]:
    """Return the facts of highest sequence below `before`, highest first."""
    query = sa.text(
        f"WITH {_part(wanted, 'DESC')}, until AS MATERIALIZED ("
        " SELECT coalesce(max(sequence), 1) AS until FROM ("
        "  SELECT min(sequence) AS sequence FROM part GROUP BY way HAVING count(*) = :reach"
        " ) AS cut)"
        f" SELECT until, {COLUMNS} FROM until LEFT JOIN part ON sequence >= until"
        f"{_conditions(wanted)} ORDER BY sequence DESC NULLS LAST LIMIT :limit"
    )
    facts: list[StoredFact] = []
    last = 2**63 - 1 if before is None else before - 1
    while len(facts) < limit and last > 0:
        bounds = {"after": 0, "last": last, "limit": limit, "reach": _reach(wanted, limit)}
        rows = connection.execute(query, {**bounds, **_values(wanted)}).all()
        left = limit - len(facts)
        facts += [StoredFact(*row[1:]) for row in rows[:left] if row.sequence is not None]
        last = rows[0].until - 1
    return facts


def read_one(connection: sa.Connection, sequence: int) -> StoredFact:
    """Return the fact of a sequence number, which exists."""
    return StoredFact(
        *connection.execute(
            sa.text(f"SELECT {COLUMNS} FROM events.log WHERE sequence = :sequence"),
            {"sequence": sequence},
        ).one()
    )


def place_since(connection: sa.Connection, since: datetime) -> Cursor:
    """Return a place at or before the first fact recorded at an instant or later."""
    first = connection.execute(
        sa.text("SELECT min(sequence) FROM events.log WHERE recorded_at >= :since"),
        {"since": since},
    ).scalar()
    return head(connection) if first is None else place_before(connection, first)


def place_before(connection: sa.Connection, sequence: int) -> Cursor:
    """Return the place from which every fact of that sequence number or a higher one is untaken.

    Facts of lower numbers count as taken, but for those whose transactions are still running.
    """
    row = connection.execute(
        sa.text("SELECT epoch FROM events.log WHERE sequence >= :from ORDER BY sequence LIMIT 1"),
        {"from": sequence},
    ).one_or_none()
    if row is None:
        return head(connection)
    cursor = open_window(connection, Cursor(row.epoch, NOTHING))
    return cursor.moved(min(max(cursor.after, sequence - 1), cursor.last))


def has_new(connection: sa.Connection, cursor: Cursor) -> tuple[bool, Cursor]:
    """Return whether a fact became visible behind the cursor, and the head of the log."""
    row = connection.execute(
        sa.text(f"{_NOW}, EXISTS (SELECT FROM events.log WHERE {_UNSEEN}) AS has_new"),
        _unseen(cursor),
    ).one()
    return row.has_new or row.epoch != cursor.epoch, Cursor(row.epoch, _snapshot(row))


def kinds_heard(hears: Collection[str]) -> frozenset[str]:
    """Return the kinds in a list of `kind@version`."""
    return frozenset(name.partition("@")[0] for name in hears)
