"""What is matched, as columns: our payments and refunds, lines of statements, and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from steelyard.payments.model.clearing import DayClock
from steelyard.payments.model.matching_columns import (
    KINDS,
    NOT_SAID,
    Held,
    Ours,
    Theirs,
    arrays_of,
    columns,
    join,
    pack,
    take,
    unpack,
)
from steelyard.payments.model.statements import LineKind

PART: Final = 50_000
"""Rows of a stored part: a second's work at most."""
_EPOCH_ON: Final = 719_163
_ROWS: Final = f"""
SELECT replace(CAST(a.id AS text), '-', '') AS number, coalesce(a.reference, '') AS reference,
    coalesce(a.details ->> 'batch', '') AS batch, coalesce(a.details ->> 'party', '') AS party,
    {KINDS.index(LineKind.PAYMENT)} AS kind,
    CASE WHEN a.state IN ('succeeded', 'duplicate', 'late', 'integrity_hold') THEN {Held.MONEY:d}
        WHEN a.state = 'reversed' THEN {Held.REVERSED:d}
        WHEN a.state IN ('declined', 'closed') THEN {Held.NO_MONEY:d}
        ELSE {Held.OPEN:d} END AS held,
    CASE WHEN a.state = 'succeeded' AND o.paid_by = a.id AND o.captured_minor > 0
        THEN o.captured_minor ELSE a.amount_minor END AS amount,
    a.fee_minor AS fee, a.currency,
    CAST(floor(extract(epoch FROM CASE WHEN a.final_at BETWEEN a.sent_at
        AND a.sent_at + interval '2 hours'
        AND a.state NOT IN ('declined', 'closed') THEN a.final_at ELSE a.sent_at END)) AS bigint)
        AS at
FROM payments.attempt a JOIN payments.order o ON o.id = a.order_id
WHERE a.channel = :channel AND a.state <> 'init' AND {{payments}}
UNION ALL
SELECT replace(CAST(r.id AS text), '-', ''), coalesce(r.reference, ''), '', '',
    {KINDS.index(LineKind.REFUND)},
    CASE WHEN r.state = 'succeeded' THEN {Held.MONEY:d}
        WHEN r.state = 'returned' THEN {Held.REVERSED:d}
        WHEN r.state IN ('failed', 'closed') THEN {Held.NO_MONEY:d}
        ELSE {Held.OPEN:d} END,
    -r.amount_minor, NULL, r.currency,
    CAST(floor(extract(epoch FROM CASE WHEN r.final_at BETWEEN r.sent_at
        AND r.sent_at + interval '2 hours'
        AND r.state IN ('succeeded', 'returned') THEN r.final_at ELSE r.sent_at END)) AS bigint)
FROM payments.refund r WHERE r.channel = :channel AND r.sent_at IS NOT NULL AND {{refunds}}
"""
_OF_DAY: Final = "{0}.sent_at >= :first - interval '2 hours' AND {0}.sent_at < :last"
_BY_ID: Final = "{0}.id = ANY(:ids)"
_NAMES: Final = ("number", "reference", "batch", "party", "kind", "held", "amount", "fee")


def ours_of_day(
    connection: sa.Connection, channel: str, clock: DayClock, bounds: tuple[datetime, datetime]
) -> Ours:
    """Return the payments and refunds that a channel was sent, of one of its days.

    Parameters
    ----------
    bounds : first instant of the day, and the first after it
    """
    sql = _ROWS.format(payments=_OF_DAY.format("a"), refunds=_OF_DAY.format("r"))
    first, last = (int(at.timestamp()) for at in bounds)
    found = _fetch(
        connection,
        f"SELECT * FROM ({sql}) x WHERE at >= :first_s AND at < :last_s ORDER BY at, number",
        {
            "channel": channel,
            "first": bounds[0],
            "last": bounds[1],
            "first_s": first,
            "last_s": last,
        },
    )
    return _ours(found, clock, is_due=True)


def ours_by_id(
    connection: sa.Connection, channel: str, clock: DayClock, ids: Sequence[UUID]
) -> Ours:
    """Return payments and refunds of a channel by their ids, of whatever day; none is due."""
    sql = _ROWS.format(payments=_BY_ID.format("a"), refunds=_BY_ID.format("r"))
    found = _fetch(connection, f"{sql} ORDER BY 1", {"channel": channel, "ids": list(ids)})
    return _ours(found, clock, is_due=False)


def _fetch(connection: sa.Connection, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = connection.execution_options(stream_results=True).execute(sa.text(sql), values)
    return [tuple(row) for part in rows.partitions(PART) for row in part]


def _ours(rows: Sequence[tuple[Any, ...]], clock: DayClock, *, is_due: bool) -> Ours:
    given = list(zip(*rows, strict=True)) or [()] * 10
    fee = [NOT_SAID if one is None else one for one in given[7]]
    at = np.asarray(given[9], np.int64)
    on, second = _days(clock, at)
    made: dict[str, Any] = dict(zip(_NAMES, given, strict=False))
    return columns(
        Ours,
        {
            **made,
            "fee": fee,
            "currency": given[8],
            "at": at,
            "on": on,
            "clock": second,
            "is_due": np.full(len(rows), is_due),
            "is_taken": np.zeros(len(rows), np.bool_),
        },
    )


def _days(clock: DayClock, at: Any) -> tuple[Any, Any]:
    """Return the business date of instants, and the seconds since it began."""
    on = np.zeros(len(at), np.int64)
    second = np.zeros(len(at), np.int64)
    left = np.ones(len(at), np.bool_)
    while left.any():
        day = clock.business_on(datetime.fromtimestamp(int(at[left][0]), UTC))
        first, last = (int(bound.timestamp()) for bound in clock.bounds(day))
        here = left & (at >= first) & (at < last)
        on[here], second[here] = day.toordinal() - _EPOCH_ON, at[here] - first
        left &= ~here
    return on, second


# --- lines of statements --------------------------------------------------------------------------

_LINE_COLUMNS: Final = tuple(
    name for name in Theirs.__dataclass_fields__ if name not in ("file", "is_due")
)


def insert_part(connection: sa.Connection, file: UUID, part: int, lines: Theirs) -> None:
    """Insert some lines of a file."""
    arrays = arrays_of(lines)
    packed = pack({name: arrays[name] for name in _LINE_COLUMNS})
    connection.execute(
        sa.text(
            "INSERT INTO payments.statement_part (file, part, lines, columns)"
            " VALUES (:file, :part, :lines, :columns) ON CONFLICT DO NOTHING"
        ),
        {"file": file, "part": part, "lines": len(lines.line), "columns": packed},
    )


def lines_of(connection: sa.Connection, files: Sequence[UUID]) -> Theirs:
    """Return the lines of files, which carry the place of their file in the row that was given."""
    found: dict[UUID, list[Theirs]] = {file: [] for file in files}
    rows = connection.execute(
        sa.text(
            "SELECT file, columns FROM payments.statement_part WHERE file = ANY(:files)"
            " ORDER BY file, part"
        ),
        {"files": list(files)},
    )
    for row in rows:
        arrays: dict[str, Any] = unpack(bytes(row.columns))
        arrays["file"] = np.full(len(arrays["line"]), files.index(row.file))
        found[row.file].append(columns(Theirs, arrays))
    empty = columns(Theirs, {"amount": []})
    return join([empty, *(one for file in files for one in found[file])])


def lines_at(
    connection: sa.Connection, places: Mapping[UUID, Sequence[int]], files: Sequence[UUID]
) -> Theirs:
    """Return single lines of files by their numbers; none of them is due."""
    found = lines_of(connection, files)
    wanted = np.zeros(len(found.line), np.bool_)
    for file, lines in places.items():
        wanted |= (found.file == files.index(file)) & np.isin(found.line, list(lines))
    kept = take(found, wanted)
    kept.is_due[:] = False
    return kept


# --- results --------------------------------------------------------------------------------------


def insert_result(
    connection: sa.Connection, run: UUID, part: int, arrays: Mapping[str, Any]
) -> None:
    """Insert some of what a run matched."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.recon_part (run, part, columns) VALUES (:run, :part, :columns)"
        ),
        {"run": run, "part": part, "columns": pack(arrays)},
    )


def result_parts(connection: sa.Connection, run: UUID) -> list[dict[str, Any]]:
    """Return what a run matched, part by part."""
    rows = connection.execute(
        sa.text("SELECT columns FROM payments.recon_part WHERE run = :run ORDER BY part"),
        {"run": run},
    )
    return [unpack(bytes(row.columns)) for row in rows]


class Cross(NamedTuple):
    """A pair of which one side belongs to another day than the run."""

    number: str
    file: UUID
    line: int
    ours_on: date
    theirs_on: date


def insert_crosses(connection: sa.Connection, run: UUID, rows: Sequence[Cross]) -> None:
    """Insert pairs that go over a day's border."""
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO payments.recon_cross (run, number, file, line, ours_on, theirs_on)"
                " SELECT :run, n, f, l, o, t FROM unnest(CAST(:numbers AS text[]),"
                " CAST(:files AS uuid[]), CAST(:lines AS integer[]), CAST(:ours AS date[]),"
                " CAST(:theirs AS date[])) AS x (n, f, l, o, t) ON CONFLICT DO NOTHING"
            ),
            {
                "run": run,
                "numbers": [one.number for one in rows],
                "files": [one.file for one in rows],
                "lines": [one.line for one in rows],
                "ours": [one.ours_on for one in rows],
                "theirs": [one.theirs_on for one in rows],
            },
        )


def crosses(
    connection: sa.Connection, channel: str, on: date, *, own: bool
) -> tuple[set[str], set[tuple[UUID, int]]]:
    """Return what newest runs matched over the border of a day: numbers, and files with lines.

    Parameters
    ----------
    own : by the run of that day itself, or by those of its neighbours
    """
    rows = connection.execute(
        sa.text(
            "SELECT c.number, c.file, c.line FROM payments.statement_day d"
            " JOIN payments.recon_cross c ON c.run = d.run"
            " WHERE d.channel = :channel AND (d.on_day = :on) = :own"
            " AND (:own OR c.ours_on = :on OR c.theirs_on = :on)"
        ),
        {"channel": channel, "on": on, "own": own},
    ).all()
    return {row.number for row in rows}, {(row.file, row.line) for row in rows}
