"""Tables of the custodian's accounts and statements, and of what became of their lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.custody import (
    CustodyAccount,
    CustodyAccountIsUnknown,
    CustodyLine,
    CustodyStatement,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import as_json

_COLUMNS: Final = "id, mode, currency, on_day, edition, name, opening_minor, closing_minor, fault"


def insert_account(connection: sa.Connection, account: CustodyAccount, at: datetime) -> bool:
    """Insert where the reserve lies; False when it is known."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.custody_account (mode, currency, account, own_account, opened_at)"
            " VALUES (:mode, :currency, :account, :own, :at) ON CONFLICT DO NOTHING"
        ),
        {
            "mode": account.mode.value,
            "currency": account.currency,
            "account": account.account,
            "own": account.own_account,
            "at": at,
        },
    )
    return done.rowcount == 1


def account(
    connection: sa.Connection, mode: Mode, currency: str, *, lock: bool = False
) -> CustodyAccount:
    """Return where the reserve lies; with `lock`, others who ask so wait for the transaction.

    Refusals
    --------
    custody_account_is_unknown
    """
    found = [one for one in accounts(connection, mode) if one.currency == currency]
    if not found:
        raise CustodyAccountIsUnknown(mode=mode.value, currency=currency)
    if lock:
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended('payments.custody/' || :m, 0))"),
            {"m": f"{mode.value}/{currency}"},
        )
    return found[0]


def accounts(connection: sa.Connection, mode: Mode) -> list[CustodyAccount]:
    """Return where the reserve lies, by currency."""
    rows = connection.execute(
        sa.text(
            "SELECT mode, currency, account, own_account FROM payments.custody_account"
            " WHERE mode = :mode ORDER BY currency"
        ),
        {"mode": mode.value},
    )
    return [CustodyAccount(Mode(row[0]), row[1], row[2], row[3]) for row in rows]


def insert_statement(
    connection: sa.Connection,
    statement: CustodyStatement,
    *,
    content_hash: bytes,
    at: datetime,
) -> bool:
    """Insert a statement; False when the same content is there."""
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.custody_statement ({_COLUMNS}, content_hash, fetched_at)"
            " VALUES (:id, :mode, :currency, :on, :edition, :name, :opening, :closing, :fault,"
            " :hash, :at) ON CONFLICT DO NOTHING"
        ),
        {
            "id": statement.id,
            "mode": statement.mode.value,
            "currency": statement.currency,
            "on": statement.on,
            "edition": statement.edition,
            "name": statement.name,
            "opening": statement.opening_minor,
            "closing": statement.closing_minor,
            "fault": statement.fault,
            "hash": content_hash,
            "at": at,
        },
    )
    return done.rowcount == 1


def has_content(
    connection: sa.Connection, mode: Mode, currency: str, on: date, content_hash: bytes
) -> bool:
    """Return whether the same file came before."""
    found: bool = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT 1 FROM payments.custody_statement WHERE mode = :mode"
            " AND currency = :currency AND on_day = :on AND content_hash = :hash)"
        ),
        {"mode": mode.value, "currency": currency, "on": on, "hash": content_hash},
    ).scalar_one()
    return found


def newest(
    connection: sa.Connection, mode: Mode, currency: str, on: date
) -> CustodyStatement | None:
    """Return the newest edition of a day's statement."""
    return _one(
        connection,
        "on_day = :on ORDER BY edition DESC LIMIT 1",
        {"mode": mode.value, "currency": currency, "on": on},
    )


def last_before(
    connection: sa.Connection, mode: Mode, currency: str, on: date
) -> CustodyStatement | None:
    """Return the statement of the last day before one that has one which can be believed."""
    return _one(
        connection,
        "on_day < :on AND fault IS NULL ORDER BY on_day DESC, edition DESC LIMIT 1",
        {"mode": mode.value, "currency": currency, "on": on},
    )


def opened_at(connection: sa.Connection, mode: Mode, currency: str) -> datetime:
    """Return when it was said where the reserve lies."""
    found: datetime = connection.execute(
        sa.text(
            "SELECT opened_at FROM payments.custody_account WHERE mode = :mode"
            " AND currency = :currency"
        ),
        {"mode": mode.value, "currency": currency},
    ).scalar_one()
    return found


def _one(connection: sa.Connection, rest: str, values: dict[str, Any]) -> CustodyStatement | None:
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.custody_statement WHERE mode = :mode"
            f" AND currency = :currency AND {rest}"
        ),
        values,
    ).one_or_none()
    if row is None:
        return None
    return CustodyStatement(
        id=row.id,
        mode=Mode(row.mode),
        currency=row.currency,
        on=row.on_day,
        edition=row.edition,
        name=row.name,
        opening_minor=row.opening_minor,
        closing_minor=row.closing_minor,
        fault=row.fault,
    )


def insert_lines(connection: sa.Connection, statement: UUID, lines: Sequence[CustodyLine]) -> None:
    """Append the lines of a statement."""
    if lines:
        rows = [{name: getattr(line, name) for name in CustodyLine.__slots__} for line in lines]
        connection.execute(
            sa.text(
                "INSERT INTO payments.custody_line (statement, no, kind, amount_minor, reference,"
                " our_number, counterparty, line_key) SELECT :statement, no, kind, amount_minor,"
                " reference, our_number, counterparty, key"
                " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (no integer, kind text,"
                " amount_minor bigint, reference text, our_number text, counterparty text,"
                " key text)"
            ),
            {"statement": statement, "rows": as_json(rows)},
        )


def unbooked(
    connection: sa.Connection, statement: CustodyStatement, *, limit: int, after: int = 0
) -> list[CustodyLine]:
    """Return lines of a statement that nothing became of yet, by their numbers."""
    rows = connection.execute(
        sa.text(
            "SELECT no, kind, amount_minor, reference, our_number, counterparty, line_key"
            " FROM payments.custody_line AS l WHERE statement = :statement AND no > :after"
            " AND NOT EXISTS (SELECT 1 FROM payments.custody_booking AS b WHERE b.mode = :mode"
            " AND b.currency = :currency AND b.on_day = :on AND b.line_key = l.line_key)"
            " ORDER BY no LIMIT :limit"
        ),
        {
            "statement": statement.id,
            "after": after,
            "mode": statement.mode.value,
            "currency": statement.currency,
            "on": statement.on,
            "limit": limit,
        },
    )
    return [
        CustodyLine(
            no=row.no,
            kind=row.kind,
            amount_minor=row.amount_minor,
            reference=row.reference,
            our_number=row.our_number,
            counterparty=row.counterparty,
            key=row.line_key,
        )
        for row in rows
    ]


def insert_booking(
    connection: sa.Connection,
    statement: CustodyStatement,
    line: CustodyLine,
    *,
    as_what: str,
    about: str,
    entry: UUID | None,
    at: datetime,
) -> bool:
    """Note what became of a line; False when it was noted before."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.custody_booking (mode, currency, on_day, line_key, as_what,"
            " about, amount_minor, entry, booked_at) VALUES (:mode, :currency, :on, :key, :as_what,"
            " :about, :amount, :entry, :at) ON CONFLICT DO NOTHING"
        ),
        {
            "mode": statement.mode.value,
            "currency": statement.currency,
            "on": statement.on,
            "key": line.key,
            "as_what": as_what,
            "about": about,
            "amount": line.amount_minor,
            "entry": entry,
            "at": at,
        },
    )
    return done.rowcount == 1


def booked_after(
    connection: sa.Connection, mode: Mode, currency: str, on: date
) -> list[tuple[str, int, date]]:
    """Return deposits that later statements brought: about, amount and day."""
    rows = connection.execute(
        sa.text(
            "SELECT about, amount_minor, on_day FROM payments.custody_booking WHERE mode = :mode"
            " AND currency = :currency AND on_day > :on AND as_what IN ('deposit', 'unclaimed')"
            " ORDER BY on_day, about"
        ),
        {"mode": mode.value, "currency": currency, "on": on},
    )
    return [(row[0], row[1], row[2]) for row in rows]


def vanished(connection: sa.Connection, statement: CustodyStatement) -> list[tuple[str, str, int]]:
    """Return what was booked of earlier editions and is not in this one."""
    rows = connection.execute(
        sa.text(
            "SELECT as_what, about, amount_minor FROM payments.custody_booking AS b"
            " WHERE mode = :mode AND currency = :currency AND on_day = :on AND NOT EXISTS"
            " (SELECT 1 FROM payments.custody_line AS l WHERE l.statement = :statement"
            " AND l.line_key = b.line_key) ORDER BY line_key"
        ),
        {
            "mode": statement.mode.value,
            "currency": statement.currency,
            "on": statement.on,
            "statement": statement.id,
        },
    )
    return [(row[0], row[1], row[2]) for row in rows]


def unproved(
    connection: sa.Connection, mode: Mode, currency: str, through: date
) -> list[tuple[UUID, str, int, date]]:
    """Return payouts and returns that the custodian told of and no statement shows."""
    rows = connection.execute(
        sa.text(
            "SELECT p.id, w.what, w.amount, w.on_day FROM payments.payout AS p"
            " CROSS JOIN LATERAL (VALUES ('payout', -p.amount_minor, p.executed_on),"
            " ('return', p.amount_minor, p.returned_on)) AS w (what, amount, on_day)"
            " WHERE p.mode = :mode AND p.currency = :currency AND p.state IN ('paid', 'returned')"
            " AND COALESCE(w.on_day, CAST(p.final_at AS date)) <= :through"
            " AND (w.what = 'payout' OR p.state = 'returned')"
            " AND NOT EXISTS (SELECT 1 FROM payments.custody_booking AS b"
            " WHERE b.about = 'payout:' || p.id AND b.as_what = w.what)"
            " ORDER BY p.id, w.what"
        ),
        {"mode": mode.value, "currency": currency, "through": through},
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]
