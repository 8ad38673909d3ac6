"""Tables of payouts and of the evidence about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.payments.model.custody import CustodianAnswer
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.payouts import (
    Payout,
    PayoutIsUnknown,
    PayoutKind,
    PayoutSource,
    PayoutState,
)

_COLUMNS: Final = (
    "id, kind, settlement, no, merchant, mode, currency, amount_minor, payee, payee_tail, state,"
    " version, cause, began_at, queries, next_query_at, reference, why, executed_on, returned_on,"
    " final_at"
)


def insert(connection: sa.Connection, payout: Payout) -> None:
    """Insert a payout."""
    values = {name: getattr(payout, name) for name in Payout.__slots__}
    values |= {
        "kind": payout.kind.value,
        "mode": payout.mode.value,
        "state": payout.state.value,
    }
    places = ", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))
    connection.execute(
        sa.text(f"INSERT INTO payments.payout ({_COLUMNS}) VALUES ({places})"), values
    )


def lock(connection: sa.Connection, payout: UUID) -> Payout:
    """Return a payout with its row held.

    Refusals
    --------
    payout_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.payout WHERE id = :id FOR UPDATE"),
        {"id": payout},
    ).one_or_none()
    if row is None:
        raise PayoutIsUnknown(payout=payout)
    return _payout(row)


def find(connection: sa.Connection, payouts: Sequence[UUID]) -> dict[UUID, Payout]:
    """Return payouts by id."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.payout WHERE id = ANY(:ids)"),
        {"ids": list(payouts)},
    )
    return {row.id: _payout(row) for row in rows}


def newest_of(connection: sa.Connection, settlement: UUID) -> Payout | None:
    """Return the newest payout of a settlement."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.payout WHERE settlement = :settlement"
            " ORDER BY no DESC LIMIT 1"
        ),
        {"settlement": settlement},
    ).one_or_none()
    return None if row is None else _payout(row)


def write(connection: sa.Connection, payout: Payout) -> Payout:
    """Write what changed of a payout that the caller holds, and return it."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.payout SET state = :state, version = version + 1,"
            " queries = :queries, next_query_at = :next_query_at, reference = :reference,"
            " why = :why, executed_on = :executed_on, returned_on = :returned_on,"
            " final_at = :final_at WHERE id = :id AND version = :version"
        ),
        {
            "state": payout.state.value,
            "queries": payout.queries,
            "next_query_at": payout.next_query_at,
            "reference": payout.reference,
            "why": payout.why,
            "executed_on": payout.executed_on,
            "returned_on": payout.returned_on,
            "final_at": payout.final_at,
            "id": payout.id,
            "version": payout.version,
        },
    )
    assert done.rowcount == 1, "a payout changed while it was locked"
    return replace(payout, version=payout.version + 1)


def insert_evidence(
    connection: sa.Connection,
    id: UUID,
    payout: UUID,
    source: PayoutSource,
    answer: CustodianAnswer,
    *,
    is_new: bool,
    at: datetime,
    actor: str,
) -> None:
    """Append what was learnt about a payout."""
    told = {k: v for k, v in msgspec.to_builtins(answer).items() if v is not None}
    connection.execute(
        sa.text(
            "INSERT INTO payments.payout_evidence (id, payout, source, said, content, is_new,"
            " seen_at, actor) VALUES (:id, :payout, :source, :said, CAST(:content AS jsonb),"
            " :is_new, :at, :actor)"
        ),
        {
            "id": id,
            "payout": payout,
            "source": source.value,
            "said": answer.said.value,
            "content": msgspec.json.encode(told).decode(),
            "is_new": is_new,
            "at": at,
            "actor": actor,
        },
    )


def evidence_about(connection: sa.Connection, payout: UUID) -> list[sa.Row[Any]]:
    """Return the evidence about a payout, the oldest first."""
    return list(
        connection.execute(
            sa.text(
                "SELECT source, said, content, is_new, seen_at, actor"
                " FROM payments.payout_evidence WHERE payout = :payout ORDER BY seen_at, id"
            ),
            {"payout": payout},
        )
    )


def due(connection: sa.Connection, now: datetime, limit: int) -> list[UUID]:
    """Return payouts that the custodian has to be asked about, the longest overdue first."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.payout WHERE next_query_at <= :now"
            " ORDER BY next_query_at LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return list(rows.scalars())


def list_payouts(
    connection: sa.Connection,
    mode: Mode,
    *,
    merchant: UUID | None = None,
    states: Sequence[PayoutState] = tuple(PayoutState),
    limit: int = 200,
) -> list[Payout]:
    """Return payouts, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.payout WHERE mode = :mode"
            " AND (CAST(:merchant AS uuid) IS NULL OR merchant = :merchant)"
            " AND state = ANY(:states) ORDER BY began_at DESC, id DESC LIMIT :limit"
        ),
        {
            "mode": mode.value,
            "merchant": merchant,
            "states": [state.value for state in states],
            "limit": limit,
        },
    )
    return [_payout(row) for row in rows]


def confirmed_after(
    connection: sa.Connection, mode: Mode, currency: str, on: date
) -> list[tuple[UUID, str, int, date]]:
    """Return what the custodian says it did after a day: payouts (below zero) and returns."""
    rows = connection.execute(
        sa.text(
            "SELECT id, 'payout' AS what, -amount_minor AS amount, executed_on AS on_day"
            " FROM payments.payout WHERE mode = :mode AND currency = :currency"
            " AND state IN ('paid', 'returned') AND executed_on > :on"
            " UNION ALL SELECT id, 'return', amount_minor, returned_on FROM payments.payout"
            " WHERE mode = :mode AND currency = :currency AND state = 'returned'"
            " AND returned_on > :on ORDER BY 4, 1, 2"
        ),
        {"mode": mode.value, "currency": currency, "on": on},
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def sweep_under_way(connection: sa.Connection, mode: Mode, currency: str) -> bool:
    """Return whether fees are on their way to our own account."""
    found: bool = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT 1 FROM payments.payout WHERE kind = 'sweep' AND mode = :mode"
            " AND currency = :currency AND state IN ('intended', 'sent', 'pending', 'unknown'))"
        ),
        {"mode": mode.value, "currency": currency},
    ).scalar_one()
    return found


def _payout(row: sa.Row[Any]) -> Payout:
    values = dict(row._mapping)
    values |= {
        "kind": PayoutKind(row.kind),
        "mode": Mode(row.mode),
        "state": PayoutState(row.state),
    }
    return Payout(**values)
