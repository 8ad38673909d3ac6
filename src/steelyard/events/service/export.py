"""Export: one day of the log as one Parquet file, for columnar work."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from steelyard.base import Database
from steelyard.events.model.consumption import DayExport, Progress
from steelyard.events.model.log import Cursor
from steelyard.events.model.refusals import ColumnsExtraIsMissing, DayIsNotClosed, ExportIsRunning
from steelyard.events.store.days import (
    count_day,
    late_facts,
    open_transactions,
    server_time,
    stream_day,
)
from steelyard.events.store.log import head

ROWS = 50_000
"""Rows of a row group, held in memory at once."""
PATIENCE = 10.0
"""Seconds to wait for transactions that were open when the day was over."""
PAUSE = 0.02
_PLACE = b"steelyard.cursor"
_FACTS = b"steelyard.facts"


def file_of(on: date) -> str:
    """Return the name of a day's file.

    Examples
    --------
    >>> file_of(date(2026, 3, 2))
    'facts-2026-03-02.parquet'
    """
    return f"facts-{on.isoformat()}.parquet"


def export_day(
    database: Database,
    on: date,
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> DayExport:
    """Write the facts recorded on a day (UTC, by the business clock) into `folder`.

    The file appears whole or not at all, and only when no transaction is left that could add to
    the day. A file that is there is kept, unless facts were committed to its day after it was made
    (by a machine whose clock was behind): then it is made again. So an export of many days that
    was cut off is resumed by running it again.

    Columns: sequence, position, epoch, kind, version, subject, occurred_at, recorded_at, actor,
    payload (JSON text); sorted by sequence.

    Refusals
    --------
    columns_extra_is_missing, day_is_not_closed, export_is_running
    """
    _need_pyarrow()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file_of(on)
    since = datetime.combine(on, time(), UTC)
    until = since + timedelta(days=1)
    with _only_one(folder):
        if target.exists():
            place, facts = _read_footer(target)
            with database.reading() as connection:
                if not late_facts(connection, since, until, place):
                    return DayExport(target.name, facts, written=False)
        _wait_for_close(database, on, until)
        facts = _export(database, (since, until), target, progress)
    return DayExport(target.name, facts, written=True)


def _export(
    database: Database,
    day: tuple[datetime, datetime],
    target: Path,
    progress: Callable[[Progress], None] | None,
) -> int:
    since, until = day
    with database.reading() as connection:
        here = head(connection)
        total = count_day(connection, since, until)
        partial = target.parent / f".{target.name}.part"
        rows = stream_day(connection, since, until, chunk=ROWS)
        _write(partial, rows, here, total=total, progress=progress)
        os.replace(partial, target)
        _sync_folder(target.parent)
    return total


def _need_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ColumnsExtraIsMissing from None


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportIsRunning(folder=folder) from None
        yield


def _wait_for_close(database: Database, on: date, until: datetime) -> None:
    """Wait until no fact can be recorded on the day any more, or refuse.

    The day must be over, and every transaction that had begun by then must have ended; those that
    begin later read a later clock.
    """
    with database.engine.connect() as pooled:
        connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
        now = database.clock.read(connection)
        if now < until:
            raise DayIsNotClosed(on=on.isoformat(), why=f"the business clock stands at {now}")
        since = server_time(connection)
        patience = monotonic() + PATIENCE
        while open_transactions(connection, since):
            if monotonic() > patience:
                raise DayIsNotClosed(on=on.isoformat(), why="transactions are still open")
            sleep(PAUSE)


def _write(
    partial: Path,
    parts: Iterator[Sequence[Any]],
    place: Cursor,
    *,
    total: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    instant = pa.timestamp("us", tz="UTC")
    schema = pa.schema(
        [
            ("sequence", pa.int64()),
            ("position", pa.uint64()),
            ("epoch", pa.int32()),
            ("kind", pa.dictionary(pa.int32(), pa.string())),
            ("version", pa.int16()),
            ("subject", pa.string()),
            ("occurred_at", instant),
            ("recorded_at", instant),
            ("actor", pa.string()),
            ("payload", pa.string()),
        ],
        metadata={_PLACE: place.text().encode(), _FACTS: str(total).encode()},
    )
    done = 0
    with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
        for rows in parts:
            columns = {
                name: [getattr(row, name) for row in rows]
                for name in schema.names
                if name != "position"
            }
            columns["position"] = [int(row.position) for row in rows]
            writer.write_table(pa.table(columns, schema=schema))
            done += len(rows)
            if progress is not None:
                progress(Progress(done, total))
    assert done == total, "one snapshot, one count"
    with partial.open("rb") as written:
        os.fsync(written.fileno())


def _read_footer(target: Path) -> tuple[Cursor, int]:
    from pyarrow import parquet

    metadata = parquet.read_schema(target).metadata
    return Cursor.parse(metadata[_PLACE].decode()), int(metadata[_FACTS])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
