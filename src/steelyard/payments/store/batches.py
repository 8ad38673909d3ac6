"""Tables of files of debits: the file, its rows, its parts, and what channels said about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
import sqlalchemy as sa

from steelyard.payments.model.batches import Amounts, Batch, BatchState, Part, Row, RowError
from steelyard.payments.model.batches_refusals import DebitBatchIsUnknown
from steelyard.payments.model.debits import DebitState
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import as_json

_NAMES: Final = [one.name for one in fields(Batch)]
_COLUMNS: Final = ", ".join(f"b.{name}" for name in _NAMES)


class RowWithDebit(NamedTuple):
    """A row with what became of it."""

    line: int
    debit_no: str
    mandate_no: str
    amount_minor: int | None
    due_on: date | None
    error: str | None
    found: str
    part: int | None
    debit: UUID | None
    state: DebitState | None
    code: str | None
    payment: UUID | None
    paid_at: datetime | None


def insert(connection: sa.Connection, batch: Batch, content: bytes) -> UUID | None:
    """Insert a file; return the one that has the same bytes already, None where it is new."""
    found: UUID | None = connection.execute(
        sa.text(
            f"INSERT INTO payments.debit_batch ({', '.join(_NAMES)})"
            f" VALUES ({', '.join(f':{name}' for name in _NAMES)})"
            " ON CONFLICT DO NOTHING RETURNING id"
        ),
        {name: getattr(batch, name) for name in _NAMES},
    ).scalar_one_or_none()
    if found is None:
        known: UUID = connection.execute(
            sa.text(
                "SELECT id FROM payments.debit_batch WHERE merchant = :merchant AND mode = :mode"
                " AND sha256 = :sha256"
            ),
            {"merchant": batch.merchant, "mode": batch.mode.value, "sha256": batch.sha256},
        ).scalar_one()
        return known
    connection.execute(
        sa.text("INSERT INTO payments.debit_batch_file (batch, content) VALUES (:id, :content)"),
        {"id": batch.id, "content": content},
    )
    return None


def content_of(connection: sa.Connection, batch: UUID) -> bytes:
    """Return the bytes of a file."""
    found = connection.execute(
        sa.text("SELECT content FROM payments.debit_batch_file WHERE batch = :id"), {"id": batch}
    ).scalar_one()
    return bytes(found)


def read(connection: sa.Connection, batch: UUID, *, lock: bool = False) -> Batch:
    """Return a file of debits, its row held if asked for.

    Refusals
    --------
    debit_batch_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.debit_batch b WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": batch},
    ).one_or_none()
    if row is None:
        raise DebitBatchIsUnknown(batch=batch)
    return _batch(row)


def change(connection: sa.Connection, before: Batch, after: Batch) -> Batch:
    """Write a file whose row is held; return it as it stands."""
    names = (
        *("id", "state", "rows", "sum_minor", "errors", "good_minor", "done_to", "why", "cause"),
        "completed_at",
    )
    done = connection.execute(
        sa.text(
            "UPDATE payments.debit_batch SET version = version + 1,"
            f" {', '.join(f'{name} = :{name}' for name in names[1:])}"
            " WHERE id = :id AND version = :version"
        ),
        {name: getattr(after, name) for name in names} | {"version": before.version},
    )
    assert done.rowcount == 1, "the row is held"
    return replace(after, version=before.version + 1)


def copy_rows(driver: psycopg.Connection[Any], batch: Batch, rows: Sequence[Row]) -> None:
    """Store rows as they were read."""
    with (
        driver.cursor() as cursor,
        cursor.copy(
            "COPY payments.debit_batch_row (batch, line, merchant, mode, debit_no, mandate_no,"
            " amount_minor, due_on, subject, fingerprint, error, found) FROM STDIN"
        ) as copy,
    ):
        batch_id, merchant, mode = str(batch.id), str(batch.merchant), batch.mode.value
        for row in rows:
            copy.write_row(
                (
                    batch_id,
                    row.line,
                    merchant,
                    mode,
                    row.debit_no,
                    row.mandate_no,
                    row.amount_minor,
                    row.due_on,
                    row.subject,
                    row.fingerprint,
                    None if row.error is None else row.error.value,
                    row.found,
                )
            )


def mark_repeated(connection: sa.Connection, batch: UUID) -> None:
    """Mark the rows whose number, or whose whole content, came before in the file."""
    for name, error in (
        ("debit_no", RowError.DEBIT_NO_REPEATED),
        ("fingerprint", RowError.ROW_REPEATED),
    ):
        connection.execute(
            sa.text(
                "UPDATE payments.debit_batch_row r SET error = :error FROM ("
                f"SELECT line, row_number() OVER (PARTITION BY {name} ORDER BY line) AS nr"
                " FROM payments.debit_batch_row WHERE batch = :batch AND debit_no <> '') x"
                " WHERE r.batch = :batch AND r.line = x.line AND x.nr > 1 AND r.error IS NULL"
            ),
            {"batch": batch, "error": error.value},
        )


def validate(connection: sa.Connection, batch: Batch, lines: tuple[int, int], on: date) -> None:
    """Say what is wrong with rows by what is known, and take the others for debits to be.

    Parameters
    ----------
    lines : over the first, up to the second
    """
    values = {
        "batch": batch.id,
        "merchant": batch.merchant,
        "mode": batch.mode.value,
        "currency": batch.currency,
        "after": lines[0],
        "upto": lines[1],
        "on": on,
    }
    # Who validates for a merchant does it alone: a row is in one of two files, not in both.
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 9))"),
        {"name": f"debit_batch:{batch.merchant}:{batch.mode.value}"},
    )
    connection.execute(sa.text(_FIND_MANDATES), values)
    connection.execute(sa.text(_FIND_ERRORS), values)
    connection.execute(
        sa.text(
            "UPDATE payments.debit_batch_row SET is_live = true WHERE batch = :batch"
            " AND line > :after AND line <= :upto AND error IS NULL"
        ),
        values,
    )


_FIND_MANDATES: Final = """
UPDATE payments.debit_batch_row r SET mandate = m.id FROM payments.mandate m
WHERE r.batch = :batch AND r.line > :after AND r.line <= :upto AND r.error IS NULL
    AND m.merchant = :merchant AND m.mode = :mode AND m.mandate_no = r.mandate_no
"""
_FIND_ERRORS: Final = f"""
UPDATE payments.debit_batch_row r SET error = x.error, found = x.found FROM (
    SELECT y.line, CASE
        WHEN m.id IS NULL THEN '{RowError.MANDATE_IS_UNKNOWN.value}'
        WHEN m.state <> 'active' THEN '{RowError.MANDATE_IS_NOT_ACTIVE.value}'
        WHEN m.currency <> :currency THEN '{RowError.CURRENCY_DIFFERS.value}'
        WHEN y.amount_minor > m.single_most_minor THEN '{RowError.EXCEEDS_MANDATE.value}'
        WHEN y.due_on < :on THEN '{RowError.DUE_IN_THE_PAST.value}'
        WHEN EXISTS (SELECT FROM payments.debit d WHERE d.merchant = :merchant AND d.mode = :mode
            AND d.debit_no = y.debit_no) THEN '{RowError.DEBIT_NO_WAS_USED.value}'
        WHEN EXISTS (SELECT FROM payments.debit_batch_row o WHERE o.merchant = :merchant
            AND o.mode = :mode AND o.debit_no = y.debit_no AND o.is_live)
            THEN '{RowError.DEBIT_NO_WAS_USED.value}'
        WHEN EXISTS (SELECT FROM payments.debit_batch_row o WHERE o.merchant = :merchant
            AND o.mode = :mode AND o.fingerprint = y.fingerprint AND o.is_live)
            THEN '{RowError.ROW_WAS_IN_ANOTHER_FILE.value}'
        END AS error, CASE
        WHEN m.id IS NULL THEN y.mandate_no
        WHEN m.state <> 'active' THEN m.state
        WHEN m.currency <> :currency THEN m.currency
        WHEN y.amount_minor > m.single_most_minor THEN m.single_most_minor::text
        WHEN y.due_on < :on THEN y.due_on::text
        ELSE y.debit_no END AS found
    FROM payments.debit_batch_row y LEFT JOIN payments.mandate m ON m.id = y.mandate
    WHERE y.batch = :batch AND y.line > :after AND y.line <= :upto AND y.error IS NULL
) x WHERE r.batch = :batch AND r.line = x.line AND x.error IS NOT NULL
"""


def totals(connection: sa.Connection, batch: UUID) -> tuple[int, int, int, int]:
    """Return the last line, how many rows are wrong, how many unread, and the sum of the good."""
    row = connection.execute(
        sa.text(
            "SELECT coalesce(max(line), 0) AS last, count(error) AS errors,"
            " count(*) FILTER (WHERE amount_minor IS NULL) AS unread,"
            " coalesce(sum(amount_minor) FILTER (WHERE error IS NULL), 0) AS good"
            " FROM payments.debit_batch_row WHERE batch = :batch"
        ),
        {"batch": batch},
    ).one()
    return int(row.last), int(row.errors), int(row.unread), int(row.good)


def good_rows(connection: sa.Connection, batch: UUID) -> list[tuple[int, str, int]]:
    """Return line, channel and amount of the rows that are debits to be; `balance` is our own."""
    rows = connection.execute(
        sa.text(
            "SELECT r.line, CASE WHEN m.account IS NOT NULL THEN 'balance'"
            " ELSE coalesce(m.channel, '') END AS channel, r.amount_minor"
            " FROM payments.debit_batch_row r JOIN payments.mandate m ON m.id = r.mandate"
            " WHERE r.batch = :batch AND r.is_live ORDER BY r.line"
        ),
        {"batch": batch},
    )
    return [(row.line, row.channel, row.amount_minor) for row in rows]


def refuse_rows(
    connection: sa.Connection, batch: UUID, errors: Mapping[int, tuple[str, str]]
) -> None:
    """Say what is wrong with rows that were taken for debits to be; they are none any more."""
    if errors:
        connection.execute(
            sa.text(
                "UPDATE payments.debit_batch_row r SET error = x.error, found = x.found,"
                " is_live = false FROM unnest(CAST(:lines AS integer[]), CAST(:errors AS text[]),"
                " CAST(:found AS text[])) AS x (line, error, found)"
                " WHERE r.batch = :batch AND r.line = x.line"
            ),
            {
                "batch": batch,
                "lines": list(errors),
                "errors": [error for error, _ in errors.values()],
                "found": [found for _, found in errors.values()],
            },
        )


def place(connection: sa.Connection, batch: UUID, placed: Sequence[tuple[int, int]]) -> None:
    """Write to which part rows belong."""
    connection.execute(
        sa.text(
            "UPDATE payments.debit_batch_row r SET part = x.part"
            " FROM unnest(CAST(:lines AS integer[]), CAST(:parts AS integer[])) AS x (line, part)"
            " WHERE r.batch = :batch AND r.line = x.line"
        ),
        {
            "batch": batch,
            "lines": [line for line, _ in placed],
            "parts": [part for _, part in placed],
        },
    )


def insert_parts(connection: sa.Connection, batch: UUID, parts: Sequence[Part]) -> None:
    """Insert the parts of a file."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.debit_batch_part (batch, part, channel, rows, sum_minor)"
            " SELECT :batch, number, channel, rows, sum_minor FROM"
            " jsonb_to_recordset(CAST(:parts AS jsonb)) AS x (number integer, channel text,"
            " rows integer, sum_minor bigint)"
        ),
        {
            "batch": batch,
            "parts": as_json(
                [
                    {
                        "number": one.number,
                        "channel": one.channel,
                        "rows": one.rows,
                        "sum_minor": one.sum_minor,
                    }
                    for one in parts
                ]
            ),
        },
    )


def parts(connection: sa.Connection, batch: UUID) -> list[Part]:
    """Return the parts of a file."""
    rows = connection.execute(
        sa.text(
            "SELECT part, channel, rows, sum_minor FROM payments.debit_batch_part"
            " WHERE batch = :batch ORDER BY part"
        ),
        {"batch": batch},
    )
    return [Part(row.part, row.channel, row.rows, row.sum_minor) for row in rows]


class ToSubmit(NamedTuple):
    """A row that becomes a debit."""

    line: int
    debit_no: str
    mandate: UUID
    amount_minor: int
    due_on: date
    subject: str


def to_submit(connection: sa.Connection, batch: UUID, limit: int) -> list[ToSubmit]:
    """Return rows that are to be debits, part by part, and are none yet."""
    rows = connection.execute(
        sa.text(
            "SELECT line, debit_no, mandate, amount_minor, due_on, subject"
            " FROM payments.debit_batch_row WHERE batch = :batch AND is_live AND debit IS NULL"
            " AND part IS NOT NULL ORDER BY part, line LIMIT :limit"
        ),
        {"batch": batch, "limit": limit},
    )
    return [ToSubmit(*row) for row in rows]


def set_debits(connection: sa.Connection, batch: UUID, debits: Mapping[int, UUID]) -> None:
    """Write which debit each row is."""
    connection.execute(
        sa.text(
            "UPDATE payments.debit_batch_row r SET debit = x.debit"
            " FROM unnest(CAST(:lines AS integer[]), CAST(:debits AS uuid[])) AS x (line, debit)"
            " WHERE r.batch = :batch AND r.line = x.line"
        ),
        {"batch": batch, "lines": list(debits), "debits": list(debits.values())},
    )


def free_rows(connection: sa.Connection, batch: UUID, limit: int) -> int:
    """Let rows of a file that is recalled stand for nothing any more; return how many."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.debit_batch_row r SET is_live = false FROM ("
            "SELECT line FROM payments.debit_batch_row WHERE batch = :batch AND is_live"
            " AND debit IS NULL LIMIT :limit) x WHERE r.batch = :batch AND r.line = x.line"
        ),
        {"batch": batch, "limit": limit},
    )
    return done.rowcount


_WITH_DEBITS: Final = (
    "SELECT r.line, r.debit_no, r.mandate_no, r.amount_minor, r.due_on, r.error, r.found, r.part,"
    " r.debit, d.state, coalesce(d.code, d.failure) AS code, d.order_id AS payment, o.paid_at"
    " FROM payments.debit_batch_row r LEFT JOIN payments.debit d ON d.id = r.debit"
    " LEFT JOIN payments.order o ON o.id = d.order_id WHERE r.batch = :batch"
)


def rows_of(
    connection: sa.Connection, batch: UUID, *, after: int, limit: int, wrong: bool = False
) -> list[RowWithDebit]:
    """Return rows over a line, in the order of the file; `wrong`: those with an error only."""
    only = " AND r.error IS NOT NULL" if wrong else ""
    rows = connection.execute(
        sa.text(f"{_WITH_DEBITS} AND r.line > :after{only} ORDER BY r.line LIMIT :limit"),
        {"batch": batch, "after": after, "limit": limit},
    )
    return [_row(row) for row in rows]


def every_row(connection: sa.Connection, batch: UUID, *, chunk: int) -> Iterator[RowWithDebit]:
    """Yield every row once, in the order of the file."""
    after = 0
    while found := rows_of(connection, batch, after=after, limit=chunk):
        yield from found
        after = found[-1].line


def progress(connection: sa.Connection, batch: UUID) -> dict[DebitState | None, int]:
    """Return how many rows stand at which state; None: rows that are no debit."""
    rows = connection.execute(
        sa.text(
            "SELECT d.state, count(*) AS many FROM payments.debit_batch_row r"
            " LEFT JOIN payments.debit d ON d.id = r.debit WHERE r.batch = :batch GROUP BY d.state"
        ),
        {"batch": batch},
    )
    return {None if row.state is None else DebitState(row.state): row.many for row in rows}


def hurry(connection: sa.Connection, batch: UUID, on: date) -> int:
    """Let debits of a file that failed and wait be tried on a day; return how many."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.debit d SET try_on = :on, version = d.version + 1"
            " FROM payments.debit_batch_row r WHERE r.batch = :batch AND r.debit = d.id"
            " AND d.state = 'failed_retryable' AND d.try_on > :on"
        ),
        {"batch": batch, "on": on},
    )
    return done.rowcount


class Numbered(NamedTuple):
    """A debit of a file by its number, with the attempt that is under way or was last."""

    line: int
    debit_no: str
    amount_minor: int
    state: DebitState
    attempt: UUID | None


def numbered(connection: sa.Connection, batch: UUID) -> dict[str, Numbered]:
    """Return the debits of a file, by the merchant's number and by the channel's."""
    rows = connection.execute(
        sa.text(
            "SELECT r.line, r.debit_no, d.amount_minor, d.state, a.id AS attempt"
            " FROM payments.debit_batch_row r JOIN payments.debit d ON d.id = r.debit"
            " LEFT JOIN payments.order o ON o.id = d.order_id"
            " LEFT JOIN payments.attempt a ON a.order_id = o.id AND a.no = o.attempts"
            " WHERE r.batch = :batch ORDER BY r.line"
        ),
        {"batch": batch},
    )
    found: dict[str, Numbered] = {}
    for row in rows:
        one = Numbered(row.line, row.debit_no, row.amount_minor, DebitState(row.state), row.attempt)
        found[row.debit_no] = one
        if row.attempt is not None:
            found[row.attempt.hex] = one
    return found


def result(connection: sa.Connection, batch: UUID, sha256: str) -> dict[str, Any] | None:
    """Return what was made of a file of results that was taken before."""
    row = connection.execute(
        sa.text(
            "SELECT rows, new, missing, problems FROM payments.debit_batch_result"
            " WHERE batch = :batch AND sha256 = :sha256"
        ),
        {"batch": batch, "sha256": sha256},
    ).one_or_none()
    return None if row is None else dict(row._mapping)


def insert_result(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Write down a file of results; the same is written once."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.debit_batch_result (batch, sha256, taken_at, taken_by, rows, new,"
            " missing, problems) VALUES (:batch, :sha256, :taken_at, :taken_by, :rows, :new,"
            " :missing, CAST(:problems AS jsonb)) ON CONFLICT DO NOTHING"
        ),
        dict(values),
    )


def open_batches(connection: sa.Connection, limit: int) -> list[UUID]:
    """Return files with which something is to be done by itself."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.debit_batch WHERE state NOT IN ('rejected_file', 'complete',"
            " 'recalled', 'validated') ORDER BY id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    merchant: UUID | None = None,
    state: BatchState | None = None,
) -> list[Batch]:
    """Return files of debits, the newest first."""
    wanted, values = ["true"], dict[str, Any](limit=limit)
    if before is not None:
        wanted.append("(uploaded_at, id) < (:before, :id)")
        values |= {"before": before[0], "id": before[1]}
    for name, value in (("merchant", merchant), ("state", state)):
        if value is not None:
            wanted.append(f"{name} = :{name}")
            values[name] = value
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.debit_batch b WHERE {' AND '.join(wanted)}"
            " ORDER BY uploaded_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_batch(row) for row in rows]


def _batch(row: Any) -> Batch:
    done = row.completed_at
    values = dict(row._mapping) | {
        "mode": Mode(row.mode),
        "amounts": Amounts(row.amounts),
        "state": BatchState(row.state),
        "uploaded_at": row.uploaded_at.astimezone(UTC),
        "completed_at": None if done is None else done.astimezone(UTC),
    }
    return Batch(**values)


def _row(row: Any) -> RowWithDebit:
    values = dict(row._mapping)
    values["state"] = None if row.state is None else DebitState(row.state)
    values["paid_at"] = None if row.paid_at is None else row.paid_at.astimezone(UTC)
    return RowWithDebit(**values)
