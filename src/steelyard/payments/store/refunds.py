"""The tables of refunds and of what went out beyond a payment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.channel import Decline
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refunds import Home, Refund, RefundState, RefundTerms, terms_of
from steelyard.payments.model.refunds_refusals import PaymentRefundIsUnknown
from steelyard.payments.store.rows import as_json

_TYPES = {
    "id": "uuid",
    "order_id": "uuid",
    "attempt": "uuid",
    "merchant": "uuid",
    "mode": "text",
    "refund_no": "text",
    "amount_minor": "bigint",
    "currency": "text",
    "channel": "text",
    "state": "text",
    "version": "integer",
    "asked_at": "timestamptz",
    "asked_by": "text",
    "reason": "text",
    "is_automatic": "boolean",
    "home": "text",
    "parts": "jsonb",
    "coupon_minor": "bigint",
    "approval": "uuid",
    "reference": "text",
    "decline": "text",
    "code": "text",
    "sends": "smallint",
    "sent_at": "timestamptz",
    "queries": "smallint",
    "next_query_at": "timestamptz",
    "visibility_seconds": "integer",
    "wait_until_at": "timestamptz",
    "final_at": "timestamptz",
    "fee_returned_minor": "bigint",
    "excess_minor": "bigint",
    "destination": "text",
    "metadata": "jsonb",
}
_FIXED = ("id", "order_id", "attempt", "merchant", "mode", "refund_no", "asked_at", "asked_by")
_COLUMNS = ", ".join(_TYPES)
_RECORD = ", ".join(f"{name} {kind}" for name, kind in _TYPES.items())
_CHANGES = ", ".join(
    f"{name} = x.{name}" for name in _TYPES if name not in (*_FIXED, "version", "is_automatic")
)
_INSERT = sa.text(
    f"INSERT INTO payments.refund ({_COLUMNS}) SELECT {_COLUMNS}"
    f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_RECORD})"
    " ON CONFLICT DO NOTHING RETURNING id"
)
_WRITE = sa.text(
    f"UPDATE payments.refund r SET version = r.version + 1, {_CHANGES}"
    f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x ({_RECORD})"
    " WHERE r.id = x.id AND r.version = x.version"
)


class Loss(NamedTuple):
    """What left a channel beyond what its payment had; below zero where it came back.

    Attributes
    ----------
    because : `refund:<id>` or `dispute:<id>`
    bearer : `merchant` or `platform`
    """

    id: UUID
    order_id: UUID
    merchant: UUID
    mode: str
    because: str
    bearer: str
    amount_minor: int
    currency: str
    at: datetime


def insert(connection: sa.Connection, refunds: Sequence[Refund]) -> set[UUID]:
    """Insert refunds, and return the ids of those that were not there before."""
    if not refunds:
        return set()
    rows = connection.execute(_INSERT, {"rows": as_json([_row(one) for one in refunds])})
    return set(rows.scalars())


def write(connection: sa.Connection, refunds: Sequence[Refund]) -> None:
    """Write what changed of refunds that are locked; their version is the one that was read."""
    if not refunds:
        return
    done = connection.execute(_WRITE, {"rows": as_json([_row(one) for one in refunds])})
    assert done.rowcount == len(refunds), "a refund changed while it was locked"


def lock(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Refund]:
    """Lock refunds in the order of their ids; their orders are locked before."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.refund WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
        ),
        {"ids": sorted(set(ids))},
    )
    return {row.id: _refund(row) for row in rows}


def find(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Refund]:
    """Return refunds by id, without a lock."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.refund WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: _refund(row) for row in rows}


def read(connection: sa.Connection, refund: UUID) -> Refund:
    """Return a refund.

    Refusals
    --------
    payment_refund_is_unknown
    """
    found = find(connection, [refund]).get(refund)
    if found is None:
        raise PaymentRefundIsUnknown(refund=refund)
    return found


def find_numbers(
    connection: sa.Connection, numbers: Sequence[tuple[UUID, Mode, str]]
) -> dict[tuple[UUID, Mode, str], Refund]:
    """Return refunds by merchant, mode and the merchant's own number."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.refund WHERE (merchant, mode, refund_no) IN"
            " (SELECT * FROM unnest(CAST(:merchants AS uuid[]), CAST(:modes AS text[]),"
            " CAST(:numbers AS text[])))"
        ),
        {
            "merchants": [merchant for merchant, _, _ in numbers],
            "modes": [mode.value for _, mode, _ in numbers],
            "numbers": [number for _, _, number in numbers],
        },
    )
    found = [_refund(row) for row in rows]
    return {(one.merchant, one.mode, one.refund_no): one for one in found}


def of_order(connection: sa.Connection, order: UUID) -> list[Refund]:
    """Return the refunds of an order, the oldest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.refund WHERE order_id = :order ORDER BY asked_at, id"
        ),
        {"order": order},
    )
    return [_refund(row) for row in rows]


def orders_of(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return the order of each refund."""
    rows = connection.execute(
        sa.text("SELECT id, order_id FROM payments.refund WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: row.order_id for row in rows}


def fees_returned(connection: sa.Connection, orders: Sequence[UUID]) -> dict[UUID, int]:
    """Return what refunds gave back of the fee of each order; orders without are left out."""
    rows = connection.execute(
        sa.text(
            "SELECT order_id, sum(fee_returned_minor)::bigint AS fee FROM payments.refund"
            " WHERE order_id = ANY(:orders) AND fee_returned_minor > 0 GROUP BY order_id"
        ),
        {"orders": list(set(orders))},
    )
    return {row.order_id: row.fee for row in rows}


def cleared(connection: sa.Connection, attempts: Sequence[UUID]) -> set[UUID]:
    """Return those attempts whose day was cleared: their money is available to the merchant."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT about FROM payments.clearing_line l JOIN payments.clearing_day d"
            " ON (d.channel, d.mode, d.on_day) = (l.channel, l.mode, l.on_day)"
            " WHERE about = ANY(:attempts) AND kind = 'payment'"
            " AND d.state IN ('cleared', 'recon_gated')"
        ),
        {"attempts": list(set(attempts))},
    )
    return set(rows.scalars())


def fee_charged(connection: sa.Connection, attempt: UUID) -> int | None:
    """Return the fee that a payment was charged when it was cleared; None before."""
    found: int | None = connection.execute(
        sa.text(
            "SELECT sum(fee_minor)::bigint FROM payments.clearing_line"
            " WHERE about = :attempt AND kind = 'payment'"
        ),
        {"attempt": attempt},
    ).scalar_one()
    return found


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    merchant: UUID | None = None,
    order: UUID | None = None,
    state: RefundState | None = None,
) -> list[Refund]:
    """Return refunds, the newest first."""
    wanted = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if before is not None:
        wanted.append("(asked_at, id) < (:at, :id)")
        values |= {"at": before[0], "id": before[1]}
    for name, value in (("merchant", merchant), ("order_id", order)):
        if value is not None:
            wanted.append(f"{name} = :{name}")
            values[name] = value
    if state is not None:
        wanted.append("state = :state")
        values["state"] = state.value
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.refund WHERE {' AND '.join(wanted)}"
            " ORDER BY asked_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_refund(row) for row in rows]


def due(connection: sa.Connection, now: datetime, limit: int) -> list[Refund]:
    """Return refunds that a channel has to be asked about, the longest overdue first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.refund WHERE next_query_at <= :now"
            " ORDER BY next_query_at, id LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return [_refund(row) for row in rows]


def in_state(
    connection: sa.Connection, state: RefundState, *, limit: int, after: UUID | None = None
) -> list[Refund]:
    """Return refunds that wait in a state, by id, from the one after `after` on."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.refund WHERE state = :state"
            " AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit"
        ),
        {"state": state.value, "after": after, "limit": limit},
    )
    return [_refund(row) for row in rows]


def overdue(connection: sa.Connection, now: datetime, limit: int) -> list[UUID]:
    """Return refunds on which a channel took longer than its agreement says."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.refund WHERE wait_until_at <= :now"
            " ORDER BY wait_until_at, id LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return list(rows.scalars())


def reversing(connection: sa.Connection, limit: int) -> list[UUID]:
    """Return attempts that are being taken back and of which the channel has not said so."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.attempt WHERE is_reversing AND state = 'succeeded'"
            " ORDER BY id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def terms_of_merchants(
    connection: sa.Connection, merchants: Sequence[UUID]
) -> dict[UUID, RefundTerms]:
    """Return what contracts say of refunds; a merchant without a contract has the house's terms."""
    rows = connection.execute(
        sa.text("SELECT id, contract FROM payments.merchant WHERE id = ANY(:ids)"),
        {"ids": list(set(merchants))},
    )
    found = {row.id: terms_of(row.contract) for row in rows}
    return {one: found.get(one, RefundTerms()) for one in merchants}


def insert_losses(connection: sa.Connection, losses: Sequence[Loss]) -> None:
    """Append losses."""
    if losses:
        connection.execute(
            sa.text(
                "INSERT INTO payments.loss SELECT * FROM"
                " jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (id uuid, order_id uuid,"
                " merchant uuid, mode text, because text, bearer text, amount_minor bigint,"
                " currency text, at timestamptz)"
            ),
            {"rows": as_json([one._asdict() for one in losses])},
        )


def losses_of(connection: sa.Connection, order: UUID) -> list[Loss]:
    """Return the losses on an order, the oldest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM payments.loss WHERE order_id = :order ORDER BY at, id"),
        {"order": order},
    )
    return [Loss(*row) for row in rows]


def _row(refund: Refund) -> dict[str, Any]:
    values = {name: getattr(refund, name) for name in Refund.__slots__}
    values["order_id"] = values.pop("order")
    return values


def _refund(row: Any) -> Refund:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    values |= {
        "mode": Mode(row.mode),
        "state": RefundState(row.state),
        "home": None if row.home is None else Home(row.home),
        "decline": None if row.decline is None else Decline(row.decline),
    }
    return Refund(**values)
