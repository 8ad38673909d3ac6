"""Tables of settlements, holds, and what is kept back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.settlement import (
    Payable,
    Settlement,
    SettlementIsUnknown,
    SettlementState,
)
from steelyard.payments.store.rows import as_json

_COLUMNS: Final = (
    "id, merchant, mode, currency, on_day, state, version, balance_minor, not_due_minor,"
    " amount_minor, carried_minor, held_for, cause, calculated_at"
)


class Standing(NamedTuple):
    """Whether a merchant may be paid now."""

    state: str
    is_held: bool


def contracts(
    connection: sa.Connection, merchants: Sequence[UUID]
) -> dict[UUID, Mapping[str, object]]:
    """Return the contracts of merchants."""
    rows = connection.execute(
        sa.text("SELECT id, contract FROM payments.merchant WHERE id = ANY(:ids)"),
        {"ids": list(merchants)},
    )
    return {row.id: row.contract for row in rows}


def standings(connection: sa.Connection, merchants: Sequence[UUID]) -> dict[UUID, Standing]:
    """Return whether merchants may be paid."""
    rows = connection.execute(
        sa.text(
            "SELECT m.id, m.state, EXISTS (SELECT 1 FROM payments.settlement_hold AS h"
            " WHERE h.merchant = m.id AND h.lifted_at IS NULL) AS is_held"
            " FROM payments.merchant AS m WHERE m.id = ANY(:ids)"
        ),
        {"ids": list(merchants)},
    )
    return {row.id: Standing(row.state, row.is_held) for row in rows}


def merchants_after(
    connection: sa.Connection, mode: Mode, on: date, *, after: UUID | None, limit: int
) -> list[tuple[UUID, str]]:
    """Return merchants and currencies that were ever cleared and have no settlement of a day.

    Parameters
    ----------
    after : merchant after which they come, by id
    """
    rows = connection.execute(
        sa.text(
            "SELECT m.id, c.currency FROM payments.merchant AS m"
            " CROSS JOIN LATERAL unnest(m.currencies) AS c (currency)"
            " WHERE (CAST(:after AS uuid) IS NULL OR m.id > :after)"
            " AND m.id IN (SELECT id FROM payments.merchant WHERE"
            " (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit)"
            " AND EXISTS (SELECT 1 FROM payments.clearing_total AS t WHERE t.merchant = m.id"
            " AND t.mode = :mode AND t.currency = c.currency)"
            " AND NOT EXISTS (SELECT 1 FROM payments.settlement AS s WHERE s.merchant = m.id"
            " AND s.mode = :mode AND s.currency = c.currency AND s.on_day = :on)"
            " ORDER BY m.id, c.currency"
        ),
        {"mode": mode.value, "on": on, "after": after, "limit": limit},
    )
    return [(row[0], row[1]) for row in rows]


def last_of_chunk(connection: sa.Connection, after: UUID | None, limit: int) -> UUID | None:
    """Return the id of the last merchant of the next chunk; None where there is none left."""
    return connection.execute(
        sa.text(
            "SELECT id FROM (SELECT id FROM payments.merchant WHERE (CAST(:after AS uuid) IS NULL"
            " OR id > :after) ORDER BY id LIMIT :limit) AS m ORDER BY id DESC LIMIT 1"
        ),
        {"after": after, "limit": limit},
    ).scalar_one_or_none()


def not_due(
    connection: sa.Connection, mode: Mode, on: date, merchants: Sequence[UUID]
) -> dict[tuple[UUID, str], int]:
    """Return what came to available accounts and may not be paid yet, by merchant and currency.

    It is not due on the day, or its clearing day was not let pass by reconciliation.
    """
    rows = connection.execute(
        sa.text(
            "SELECT t.merchant, t.currency, sum(t.posted_minor)::bigint FROM"
            " payments.clearing_total AS t JOIN payments.clearing_day AS d"
            " USING (channel, mode, on_day) WHERE t.mode = :mode AND t.merchant = ANY(:merchants)"
            " AND t.posted_minor > 0 AND (t.due_on > :on OR d.state <> 'recon_gated')"
            " GROUP BY t.merchant, t.currency"
        ),
        {"mode": mode.value, "on": on, "merchants": list(merchants)},
    )
    return {(row[0], row[1]): row[2] for row in rows}


def reserves_due(
    connection: sa.Connection, mode: Mode, on: date, merchants: Sequence[UUID]
) -> dict[tuple[UUID, str], int]:
    """Return what of rolling reserves is free on a day and was not released before."""
    rows = connection.execute(
        sa.text(
            "SELECT t.merchant, t.currency, t.due - COALESCE((SELECT sum(r.amount_minor)"
            " FROM payments.reserve_release AS r WHERE r.merchant = t.merchant AND r.mode = :mode"
            " AND r.currency = t.currency), 0)::bigint AS free FROM"
            " (SELECT merchant, currency, sum(reserve_minor)::bigint AS due"
            " FROM payments.clearing_total WHERE mode = :mode AND release_on <= :on"
            " AND merchant = ANY(:merchants) AND reserve_minor > 0 GROUP BY merchant, currency)"
            " AS t"
        ),
        {"mode": mode.value, "on": on, "merchants": list(merchants)},
    )
    return {(row[0], row[1]): row[2] for row in rows if row[2] > 0}


def insert_releases(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append releases of reserves."""
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO payments.reserve_release (merchant, mode, currency, on_day,"
                " amount_minor, through_on, entry) SELECT merchant, mode, currency, on_day,"
                " amount_minor, on_day, entry FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x"
                " (merchant uuid, mode text, currency text, on_day date, amount_minor bigint,"
                " entry uuid)"
            ),
            {"rows": as_json(rows)},
        )


def supersede(
    connection: sa.Connection, mode: Mode, on: date, merchants: Sequence[UUID], at: datetime
) -> list[Settlement]:
    """Let settlements of earlier days that still wait be taken up; return them as they were."""
    rows = connection.execute(
        sa.text(
            "WITH old AS (SELECT * FROM payments.settlement WHERE mode = :mode AND on_day < :on"
            " AND merchant = ANY(:merchants) AND state IN ('calculated', 'held', 'approved')"
            " ORDER BY id FOR UPDATE), done AS (UPDATE payments.settlement AS s"
            " SET state = 'superseded', held_for = NULL, version = s.version + 1,"
            " changed_at = :at FROM old WHERE s.id = old.id)"
            f" SELECT {_COLUMNS} FROM old"
        ),
        {"mode": mode.value, "on": on, "merchants": list(merchants), "at": at},
    )
    return [_settlement(row) for row in rows]


def hold_run(connection: sa.Connection, mode: Mode) -> None:
    """Let one worker at a time calculate settlements of a mode, until its transaction ends."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('payments.settlement/' || :m, 0))"),
        {"m": mode.value},
    )


def insert(connection: sa.Connection, settlements: Sequence[Settlement]) -> None:
    """Insert settlements; a day has one of each merchant and currency."""
    if not settlements:
        return
    rows = [
        {
            "id": one.id,
            "merchant": one.merchant,
            "mode": one.mode,
            "currency": one.currency,
            "on_day": one.on,
            "state": one.state,
            "balance_minor": one.payable.balance_minor,
            "not_due_minor": one.payable.not_due_minor,
            "amount_minor": one.payable.amount_minor,
            "carried_minor": one.payable.carried_minor,
            "held_for": one.held_for,
            "cause": one.cause,
            "at": one.calculated_at,
        }
        for one in settlements
    ]
    connection.execute(
        sa.text(
            "INSERT INTO payments.settlement (id, merchant, mode, currency, on_day, state,"
            " balance_minor, not_due_minor, amount_minor, carried_minor, held_for, cause,"
            " calculated_at, changed_at) SELECT id, merchant, mode, currency, on_day, state,"
            " balance_minor, not_due_minor, amount_minor, carried_minor, held_for, cause, at, at"
            " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (id uuid, merchant uuid,"
            " mode text, currency text, on_day date, state text, balance_minor bigint,"
            " not_due_minor bigint, amount_minor bigint, carried_minor bigint, held_for text,"
            " cause text, at timestamptz)"
        ),
        {"rows": as_json(rows)},
    )


def lock(connection: sa.Connection, settlement: UUID) -> Settlement:
    """Return a settlement with its row held.

    Refusals
    --------
    settlement_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.settlement WHERE id = :id FOR UPDATE"),
        {"id": settlement},
    ).one_or_none()
    if row is None:
        raise SettlementIsUnknown(settlement=settlement)
    return _settlement(row)


def find(connection: sa.Connection, settlement: UUID) -> Settlement | None:
    """Return a settlement."""
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.settlement WHERE id = :id"), {"id": settlement}
    ).one_or_none()
    return None if row is None else _settlement(row)


def move(
    connection: sa.Connection,
    settlement: Settlement,
    state: SettlementState,
    *,
    at: datetime,
    held_for: str | None = None,
    cause: str | None = None,
) -> Settlement:
    """Move a settlement that is held by the caller on, and return it."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.settlement SET state = :state, version = version + 1,"
            " held_for = :held_for, cause = COALESCE(:cause, cause), changed_at = :at"
            " WHERE id = :id AND state = :before AND version = :version"
        ),
        {
            "state": state.value,
            "held_for": held_for,
            "cause": cause,
            "at": at,
            "id": settlement.id,
            "before": settlement.state.value,
            "version": settlement.version,
        },
    )
    assert done.rowcount == 1, "a settlement changed while it was locked"
    return lock(connection, settlement.id)


def list_settlements(
    connection: sa.Connection,
    mode: Mode,
    *,
    on: date | None = None,
    merchant: UUID | None = None,
    states: Sequence[SettlementState] = tuple(SettlementState),
    limit: int = 200,
) -> list[Settlement]:
    """Return settlements, the newest day first, by merchant within it."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.settlement WHERE mode = :mode"
            " AND (CAST(:on AS date) IS NULL OR on_day = :on)"
            " AND (CAST(:merchant AS uuid) IS NULL OR merchant = :merchant)"
            " AND state = ANY(:states) ORDER BY on_day DESC, merchant, currency LIMIT :limit"
        ),
        {
            "mode": mode.value,
            "on": on,
            "merchant": merchant,
            "states": [state.value for state in states],
            "limit": limit,
        },
    )
    return [_settlement(row) for row in rows]


def ready(connection: sa.Connection, mode: Mode, limit: int) -> list[UUID]:
    """Return approved settlements that are not being paid, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.settlement WHERE mode = :mode AND state = 'approved'"
            " ORDER BY on_day, id LIMIT :limit"
        ),
        {"mode": mode.value, "limit": limit},
    )
    return list(rows.scalars())


def insert_hold(
    connection: sa.Connection, id: UUID, merchant: UUID, reason: str, *, by: str, at: datetime
) -> bool:
    """Hold a merchant; False when it is held already."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.settlement_hold (id, merchant, reason, since_at, by)"
            " VALUES (:id, :merchant, :reason, :at, :by) ON CONFLICT DO NOTHING"
        ),
        {"id": id, "merchant": merchant, "reason": reason, "by": by, "at": at},
    )
    return done.rowcount == 1


def lift_hold(
    connection: sa.Connection, merchant: UUID, *, by: str, at: datetime, cause: str
) -> bool:
    """Lift the hold of a merchant; False when there is none."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.settlement_hold SET lifted_at = :at, lifted_by = :by, cause = :cause"
            " WHERE merchant = :merchant AND lifted_at IS NULL"
        ),
        {"merchant": merchant, "by": by, "at": at, "cause": cause},
    )
    return done.rowcount == 1


def open_hold(connection: sa.Connection, merchant: UUID) -> str | None:
    """Return why a merchant is held; None where it is not."""
    return connection.execute(
        sa.text(
            "SELECT reason FROM payments.settlement_hold WHERE merchant = :merchant"
            " AND lifted_at IS NULL"
        ),
        {"merchant": merchant},
    ).scalar_one_or_none()


def _settlement(row: sa.Row[Any]) -> Settlement:
    return Settlement(
        id=row.id,
        merchant=row.merchant,
        mode=Mode(row.mode),
        currency=row.currency,
        on=row.on_day,
        state=SettlementState(row.state),
        version=row.version,
        payable=Payable(row.balance_minor, row.not_due_minor, row.amount_minor, row.carried_minor),
        calculated_at=row.calculated_at,
        held_for=row.held_for,
        cause=row.cause,
    )
