"""Tables of reporting files, their rows, deliveries and corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.cashflows import Terms, events, form
from steelyard.credit.model.bureau import Delivery, DeliveryState
from steelyard.credit.model.loan import LoanState
from steelyard.credit.model.reporting import (
    AccountState,
    Correction,
    ReportFile,
    ReportingFileIsUnknown,
    ReportRow,
    RowKind,
)
from steelyard.credit.store.loans import events_of

_ROW = (
    "kind",
    "nr",
    "customer",
    "opened_on",
    "currency",
    "state",
    "amount_minor",
    "balance_minor",
    "overdue_minor",
    "dpd",
    "category",
    "history",
    "is_disputed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file as it was made: its control totals and digest."""

    institution: str
    period: str
    as_of: date
    rows: int
    balance_minor: int
    overdue_minor: int
    sha256: str
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reportable:
    """A loan that was paid out, with what the last file told of it.

    Attributes
    ----------
    sold_on : when it left our books by sale
    told, told_history, told_period : state, history and period of its last row
    """

    nr: int
    party: UUID
    currency: str
    terms: Terms
    state: LoanState
    category: int
    happened: tuple[events.Any, ...]
    sold_on: date | None
    is_disputed: bool
    told: AccountState | None
    told_kind: RowKind | None
    told_history: str | None
    told_period: str | None


def find(connection: sa.Connection, period: str) -> MadeFile | None:
    """Return the file of a period, None where there is none."""
    row = connection.execute(
        sa.text("SELECT * FROM credit.bureau_file WHERE period = :period"), {"period": period}
    ).one_or_none()
    return None if row is None else _made(row)


def last(connection: sa.Connection) -> MadeFile | None:
    """Return the newest file."""
    row = connection.execute(
        sa.text("SELECT * FROM credit.bureau_file ORDER BY period DESC LIMIT 1")
    ).one_or_none()
    return None if row is None else _made(row)


def made_files(connection: sa.Connection, *, limit: int) -> list[MadeFile]:
    """Return the files, newest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM credit.bureau_file ORDER BY period DESC LIMIT :limit"),
        {"limit": limit},
    )
    return [_made(row) for row in rows]


def hold_files(connection: sa.Connection) -> None:
    """Let one file be made at a time."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('credit.bureau_file', 0))")
    )


def insert(connection: sa.Connection, file: ReportFile, made_at: datetime) -> MadeFile:
    """Insert a file with its rows."""
    made = MadeFile(
        institution=file.institution,
        period=file.period,
        as_of=file.as_of,
        rows=len(file.rows),
        balance_minor=file.balance_minor,
        overdue_minor=file.overdue_minor,
        sha256=file.sha256,
        made_at=made_at,
    )
    connection.execute(
        sa.text(
            "INSERT INTO credit.bureau_file (period, institution, as_of, rows, balance_minor,"
            " overdue_minor, sha256, made_at) VALUES (:period, :institution, :as_of, :rows,"
            " :balance_minor, :overdue_minor, :sha256, :made_at)"
        ),
        {name: getattr(made, name) for name in MadeFile.__slots__},
    )
    if file.rows:
        marks = ", ".join(f":{name}" for name in _ROW)
        connection.execute(
            sa.text(
                f"INSERT INTO credit.bureau_row (period, {', '.join(_ROW)})"
                f" VALUES (:period, {marks})"
            ),
            [
                {"period": file.period, **{name: getattr(row, name) for name in _ROW}}
                for row in file.rows
            ],
        )
    return made


def read(connection: sa.Connection, period: str) -> ReportFile:
    """Return a file with its rows: written again, it has the bytes that were delivered.

    Refusals
    --------
    reporting_file_is_unknown
    """
    made = find(connection, period)
    if made is None:
        raise ReportingFileIsUnknown(period=period)
    rows = connection.execute(
        sa.text("SELECT * FROM credit.bureau_row WHERE period = :period ORDER BY nr"),
        {"period": period},
    )
    return ReportFile(
        institution=made.institution,
        period=period,
        as_of=made.as_of,
        rows=tuple(_row(row) for row in rows),
    )


def rows_of(connection: sa.Connection, nr: int) -> list[tuple[str, ReportRow]]:
    """Return what was reported about a loan, by period, oldest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM credit.bureau_row WHERE nr = :nr ORDER BY period"), {"nr": nr}
    )
    return [(row.period, _row(row)) for row in rows]


def reportable(
    connection: sa.Connection, *, opened_to: date, after: int, limit: int
) -> list[Reportable]:
    """Return loans that were paid out by a day, in the order of their numbers."""
    rows = connection.execute(
        sa.text(
            "SELECT l.id, l.nr, l.party, l.currency, l.terms, l.state, s.category,"
            " (SELECT max(e.effective_on) FROM credit.event e WHERE e.loan = l.id"
            "  AND e.kind = 'sold') AS sold_on,"
            " EXISTS (SELECT FROM credit.matter m WHERE m.nr = l.nr"
            "  AND m.kind = 'bureau_dispute' AND m.state = 'open') AS is_disputed,"
            " r.state AS told, r.kind AS told_kind, r.history AS told_history,"
            " r.period AS told_period"
            " FROM credit.loan l JOIN credit.standing s ON s.nr = l.nr LEFT JOIN LATERAL ("
            "  SELECT * FROM credit.bureau_row b WHERE b.nr = l.nr ORDER BY b.period DESC LIMIT 1"
            " ) r ON true WHERE l.nr > :after AND (l.terms ->> 'start_on')::date <= :opened_to"
            " ORDER BY l.nr LIMIT :limit"
        ),
        {"after": after, "opened_to": opened_to, "limit": limit},
    ).all()
    happened = events_of(connection, [row.id for row in rows])
    return [
        Reportable(
            nr=row.nr,
            party=row.party,
            currency=row.currency,
            terms=form.terms_from_json(row.terms),
            state=LoanState(row.state),
            category=row.category,
            happened=happened[row.id],
            sold_on=row.sold_on,
            is_disputed=row.is_disputed,
            told=None if row.told is None else AccountState(row.told),
            told_kind=None if row.told_kind is None else RowKind(row.told_kind),
            told_history=row.told_history,
            told_period=row.told_period,
        )
        for row in rows
    ]


def add_correction(
    connection: sa.Connection,
    id: UUID,
    correction: Correction,
    *,
    cause: str,
    at: datetime,
    by: str,
) -> None:
    """Insert a correction."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.bureau_correction"
            " (id, nr, month, status, after_period, cause, at, by) VALUES (:id, :nr, :month,"
            " :status, (SELECT max(period) FROM credit.bureau_file), :cause, :at, :by)"
        ),
        {
            "id": id,
            "nr": correction.nr,
            "month": correction.month,
            "status": correction.status,
            "cause": cause,
            "at": at,
            "by": by,
        },
    )


def corrections(
    connection: sa.Connection, numbers: Sequence[int], *, newest: str | None
) -> list[Correction]:
    """Return the corrections of some loans, oldest first.

    Parameters
    ----------
    newest : period of the newest file: corrections made after it are new to the bureau
    """
    rows = connection.execute(
        sa.text(
            "SELECT nr, month, status, after_period FROM credit.bureau_correction"
            " WHERE nr = ANY (:numbers) ORDER BY at, id"
        ),
        {"numbers": list(numbers)},
    )
    return [Correction(row.nr, row.month, row.status, row.after_period == newest) for row in rows]


def add_delivery(
    connection: sa.Connection, period: str, bureau: str, delivery: Delivery, at: datetime
) -> None:
    """Insert a receipt of a bureau."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.bureau_delivery (period, bureau, state, sha256, rows, reason, at)"
            " VALUES (:period, :bureau, :state, :sha256, :rows, :reason, :at)"
        ),
        {
            "period": period,
            "bureau": bureau,
            "state": delivery.state,
            "sha256": delivery.sha256,
            "rows": delivery.rows,
            "reason": delivery.reason,
            "at": at,
        },
    )


def not_accepted(connection: sa.Connection, bureau: str) -> list[str]:
    """Return the periods whose file a bureau has neither accepted nor rejected, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT f.period FROM credit.bureau_file f WHERE NOT EXISTS ("
            "SELECT FROM credit.bureau_delivery d WHERE d.period = f.period AND d.bureau = :bureau"
            " AND d.state IN ('accepted', 'rejected')) ORDER BY f.period"
        ),
        {"bureau": bureau},
    )
    return list(rows.scalars())


def deliveries(connection: sa.Connection, period: str) -> list[Delivery]:
    """Return the receipts for a file, oldest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM credit.bureau_delivery WHERE period = :period ORDER BY sequence"),
        {"period": period},
    )
    return [Delivery(DeliveryState(r.state), r.sha256, r.rows, r.reason) for r in rows]


def _made(row: sa.Row[Any]) -> MadeFile:
    return MadeFile(
        institution=row.institution,
        period=row.period,
        as_of=row.as_of,
        rows=row.rows,
        balance_minor=row.balance_minor,
        overdue_minor=row.overdue_minor,
        sha256=row.sha256,
        made_at=row.made_at.astimezone(UTC),
    )


def _row(row: sa.Row[Any]) -> ReportRow:
    values = {name: getattr(row, name) for name in _ROW}
    return ReportRow(**{**values, "kind": RowKind(row.kind), "state": AccountState(row.state)})
