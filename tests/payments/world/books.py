"""What our books say, all of it at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from steelyard.base import Database

_TABLES = {
    "account": "SELECT book, code, currency, credits_posted - debits_posted AS owed"
    " FROM ledger.account WHERE credits_posted <> debits_posted",
    "order": "SELECT id, merchant, state, captured_minor, refunded_minor, refund_reserved_minor,"
    " disputed_minor, paid_by, amount_minor FROM payments.order",
    "attempt": "SELECT id, order_id, channel, state, amount_minor, is_reversing"
    " FROM payments.attempt",
    "refund": "SELECT id, order_id, attempt, merchant, channel, state, amount_minor,"
    " excess_minor, is_automatic, home FROM payments.refund",
    "dispute": "SELECT id, order_id, merchant, channel, state, money, amount_minor, held_minor,"
    " excess_minor, fee_minor FROM payments.dispute",
    "payout": "SELECT DISTINCT ON (p.settlement, CASE WHEN p.settlement IS NULL THEN p.id END)"
    " p.id, p.kind, p.merchant, p.state, p.amount_minor, s.state AS settlement"
    " FROM payments.payout AS p LEFT JOIN payments.settlement AS s ON s.id = p.settlement"
    " ORDER BY p.settlement, CASE WHEN p.settlement IS NULL THEN p.id END, p.no DESC",
    "paid": "SELECT id, kind, state, amount_minor FROM payments.payout",
    "fee": "SELECT merchant, sum(fee_minor)::bigint AS fee_minor FROM payments.clearing_line"
    " GROUP BY merchant",
    "own": "SELECT amount_minor FROM payments.custody_booking WHERE about = 'own'",
    "unclaimed": "SELECT amount_minor FROM payments.custody_booking WHERE as_what = 'unclaimed'",
}
_ALL = sa.text(
    "SELECT CAST(jsonb_build_object("
    + ", ".join(
        f"'{name}', (SELECT jsonb_agg(x) FROM ({sql}) AS x)" for name, sql in _TABLES.items()
    )
    + ") AS text)"
)

Row = dict[str, Any]


@dataclass(slots=True)
class Books:
    """Everything that is booked: rows by table, and balances of both books."""

    rows: dict[str, list[Row]]
    balances: dict[tuple[str, str], int]

    def owed(self, code: str) -> int:
        """What the client book owes on an account in CNY; below zero what it is owed."""
        return self.balances.get(("clients", code), 0)

    def __getitem__(self, table: str) -> list[Row]:
        return self.rows[table]


def read(database: Database) -> Books:
    """Read everything in one statement, which is one moment."""
    with database.engine.connect() as connection:
        text = connection.execute(_ALL).scalar_one()
    rows = {name: found or [] for name, found in msgspec.json.decode(text).items()}
    balances = {(one["book"], one["code"]): one["owed"] for one in rows["account"]}
    return Books(rows, balances)
