"""What the simulator remembers, in SQLite: in a file or in memory."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final, TypeVar

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Payment:
    """A payment as the channel sees it; instants are seconds since 1970, amounts minor units.

    Attributes
    ----------
    way : direct, qr, redirect, code, wait: what the payer has to do
    state : waiting, processing, paid, declined, closed, reversed
    visible_at : until then it is not found when asked for
    due_at, due_state : what becomes of it by itself, and when
    """

    dialect: str
    number: str
    reference: str
    amount: int
    currency: str
    way: str
    state: str
    created_at: float
    method: str = ""
    subject: str = ""
    instrument: str = ""
    notify_url: str = ""
    code: str = ""
    fee: int = 0
    refunded: int = 0
    fee_back: int = 0
    done_at: float = 0.0
    visible_at: float = 0.0
    due_at: float = 0.0
    due_state: str = ""
    tries: int = 0


@dataclass(slots=True, kw_only=True)
class Refund:
    """A refund; state: processing, succeeded, failed, abnormal, returned."""

    dialect: str
    number: str
    payment_number: str
    reference: str
    amount: int
    currency: str
    state: str
    created_at: float
    notify_url: str = ""
    code: str = ""
    fee: int = 0
    done_at: float = 0.0
    visible_at: float = 0.0
    due_at: float = 0.0
    due_state: str = ""
    returned_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Plant:
    """A break planted into the statement of a day.

    Attributes
    ----------
    kind : missing, extra, amount, fee, duplicate, status, cut_off
    number : of the payment or refund it is about; of an extra row, its own
    by : minor units added, of amount and fee; the amount of an extra row
    """

    id: str
    dialect: str
    on: str
    kind: str
    number: str
    by: int


def _table(kind: type, name: str, key: str) -> str:
    types = {"str": "TEXT", "int": "INTEGER", "float": "REAL"}
    columns = ", ".join(f'"{one.name}" {types[str(one.type)]} NOT NULL' for one in fields(kind))
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID;"


_SCHEMA: Final = (
    _table(Payment, "payment", "dialect, number")
    + _table(Refund, "refund", "dialect, number")
    + _table(Plant, "plant", "id")
    + "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS payment_due ON payment (due_at) WHERE due_at > 0;"
    "CREATE INDEX IF NOT EXISTS refund_due ON refund (due_at) WHERE due_at > 0;"
    "CREATE INDEX IF NOT EXISTS payment_done ON payment (dialect, done_at);"
    "CREATE INDEX IF NOT EXISTS refund_done ON refund (dialect, done_at);"
)
_NAMES: Final = {Payment: "payment", Refund: "refund", Plant: "plant"}
_VALUES: Final[dict[type, Any]] = {
    kind: attrgetter(*(one.name for one in fields(kind))) for kind in _NAMES
}
_COLUMNS: Final = {kind: tuple(one.name for one in fields(kind)) for kind in _NAMES}
_PUT: Final = {
    kind: f"REPLACE INTO {name} VALUES ({', '.join('?' * len(_COLUMNS[kind]))})"
    for kind, name in _NAMES.items()
}


class Store:
    """Payments, refunds, planted breaks, and named texts (keys)."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        counted = self._db.execute(
            "SELECT (SELECT count(*) FROM payment) + (SELECT count(*) FROM refund)"
        )
        self._made = int(counted.fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def next_number(self) -> int:
        """Return 1, 2, 3 ...: what the channel's own numbers are made of."""
        self._made += 1
        return self._made

    def put(self, row: Payment | Refund | Plant) -> None:
        """Write a row, new or changed."""
        kind = type(row)
        self._db.execute(_PUT[kind], _VALUES[kind](row))

    def payment(self, dialect: str, number: str) -> Payment | None:
        """Return a payment by the merchant's number."""
        return self._one(Payment, "dialect = ? AND number = ?", dialect, number)

    def payment_by_reference(self, dialect: str, reference: str) -> Payment | None:
        """Return a payment by the channel's number."""
        return self._one(Payment, "dialect = ? AND reference = ?", dialect, reference)

    def refund(self, dialect: str, number: str) -> Refund | None:
        """Return a refund by the merchant's number."""
        return self._one(Refund, "dialect = ? AND number = ?", dialect, number)

    def refunds_of(self, dialect: str, number: str) -> list[Refund]:
        """Return the refunds of a payment."""
        return self._all(Refund, "dialect = ? AND payment_number = ?", dialect, number)

    def due_payments(self, now: float) -> list[Payment]:
        """Return the payments of which something becomes by itself now."""
        return self._all(Payment, "due_at > 0 AND due_at <= ? ORDER BY due_at", now)

    def due_refunds(self, now: float) -> list[Refund]:
        """Return the refunds of which something becomes by itself now."""
        return self._all(Refund, "due_at > 0 AND due_at <= ? ORDER BY due_at", now)

    def payments_done(self, dialect: str, begin: float, end: float) -> list[Payment]:
        """Return what was paid in a span."""
        where = "dialect = ? AND done_at >= ? AND done_at < ? AND state = 'paid'"
        return self._all(Payment, f"{where} ORDER BY done_at, number", dialect, begin, end)

    def refunds_done(self, dialect: str, begin: float, end: float) -> list[Refund]:
        """Return what was refunded in a span, and what came back in it."""
        where = "dialect = ? AND max(done_at, returned_at) >= ? AND done_at < ? AND done_at > 0"
        return self._all(Refund, f"{where} ORDER BY done_at, number", dialect, begin, end)

    def plants(self, dialect: str, on: str) -> list[Plant]:
        """Return what was planted into the statement of a day."""
        return self._all(Plant, 'dialect = ? AND "on" = ? ORDER BY id', dialect, on)

    def keep(self, name: str, value: str) -> None:
        """Keep a text under a name."""
        self._db.execute("REPLACE INTO kept VALUES (?, ?)", (name, value))

    def kept(self, name: str) -> str | None:
        """Return the text kept under a name."""
        row = self._db.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def counts(self) -> dict[str, int]:
        """Return how many payments there are of each state."""
        rows = self._db.execute("SELECT state, count(*) FROM payment GROUP BY state")
        return {str(state): int(count) for state, count in rows}

    def _one(self, kind: type[T], where: str, *values: object) -> T | None:
        rows = self._all(kind, where, *values)
        return rows[0] if rows else None

    def _all(self, kind: type[T], where: str, *values: object) -> list[T]:
        query = f"SELECT * FROM {_NAMES[kind]} WHERE {where}"
        names = _COLUMNS[kind]
        found = self._db.execute(query, values)
        return [kind(**dict(zip(names, row, strict=True))) for row in found]
