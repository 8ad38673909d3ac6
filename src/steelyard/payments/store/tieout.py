"""Tables of tie-outs, and of the stops that follow from them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.tieout import Holdings, TieItem, TieOut
from steelyard.payments.store.rows import as_json

_COLUMNS: Final = (
    "id, mode, currency, on_day, run, statement, custody_minor, difference_minor, why, content,"
    " made_at"
)


class Stop(NamedTuple):
    """A stop that is open, and the tie-out that made it."""

    id: UUID
    mode: Mode
    currency: str
    tie_out: UUID
    difference_minor: int | None
    why: str
    since_at: datetime


def insert(connection: sa.Connection, tie: TieOut) -> None:
    """Append a tie-out."""
    holdings = tie.holdings
    content = {
        "owed": dict(holdings.owed),
        "in_transit": dict(holdings.in_transit),
        "overdrawn_minor": holdings.overdrawn_minor,
        "own_owes_minor": holdings.own_owes_minor,
        "items": [[item.kind, item.about, item.amount_minor] for item in tie.items],
    }
    connection.execute(
        sa.text(
            "INSERT INTO payments.tie_out (id, mode, currency, on_day, run, statement, owed_minor,"
            " custody_minor, in_transit_minor, explained_minor, difference_minor, holds, why,"
            " content, made_at) VALUES (:id, :mode, :currency, :on, :run, :statement, :owed,"
            " :custody, :in_transit, :explained, :difference, :holds, :why,"
            " CAST(:content AS jsonb), :at)"
        ),
        {
            "id": tie.id,
            "mode": tie.mode.value,
            "currency": tie.currency,
            "on": tie.on,
            "run": tie.run,
            "statement": tie.statement,
            "owed": holdings.owed_minor,
            "custody": tie.custody_minor,
            "in_transit": holdings.in_transit_minor,
            "explained": tie.explained_minor,
            "difference": tie.difference_minor,
            "holds": tie.holds,
            "why": tie.why,
            "content": as_json([content])[1:-1],
            "at": tie.made_at,
        },
    )


def next_run(connection: sa.Connection, mode: Mode, currency: str, on: date) -> int:
    """Return the number of a day's next tie-out; others wait until the transaction ends."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('payments.tie_out/' || :m, 0))"),
        {"m": f"{mode.value}/{currency}"},
    )
    found: int = connection.execute(
        sa.text(
            "SELECT COALESCE(max(run), 0) + 1 FROM payments.tie_out WHERE mode = :mode"
            " AND currency = :currency AND on_day = :on"
        ),
        {"mode": mode.value, "currency": currency, "on": on},
    ).scalar_one()
    return found


def newest(
    connection: sa.Connection, mode: Mode, *, currency: str | None = None, limit: int = 50
) -> list[TieOut]:
    """Return the newest tie-out of each day and currency, the newest day first."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT ON (on_day, currency) {_COLUMNS} FROM payments.tie_out"
            " WHERE mode = :mode AND (CAST(:currency AS text) IS NULL OR currency = :currency)"
            " ORDER BY on_day DESC, currency, run DESC LIMIT :limit"
        ),
        {"mode": mode.value, "currency": currency, "limit": limit},
    )
    return [_tie(row) for row in rows]


def open_stop(connection: sa.Connection, mode: Mode, currency: str) -> Stop | None:
    """Return the stop that is open for a currency."""
    row = connection.execute(
        sa.text(
            "SELECT s.id, s.mode, s.currency, s.tie_out, s.difference_minor, t.why, s.since_at"
            " FROM payments.payout_stop AS s JOIN payments.tie_out AS t ON t.id = s.tie_out"
            " WHERE s.mode = :mode AND s.currency = :currency AND s.lifted_at IS NULL"
        ),
        {"mode": mode.value, "currency": currency},
    ).one_or_none()
    return None if row is None else Stop(row[0], Mode(row[1]), *row[2:])


def insert_stop(connection: sa.Connection, id: UUID, tie: TieOut) -> bool:
    """Stop payouts; False when they are stopped already."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.payout_stop (id, mode, currency, tie_out, difference_minor,"
            " since_at) VALUES (:id, :mode, :currency, :tie_out, :difference, :at)"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "id": id,
            "mode": tie.mode.value,
            "currency": tie.currency,
            "tie_out": tie.id,
            "difference": tie.difference_minor,
            "at": tie.made_at,
        },
    )
    return done.rowcount == 1


def lift_stop(
    connection: sa.Connection, mode: Mode, currency: str, *, by: str, cause: str, at: datetime
) -> bool:
    """Lift the stop of a currency; False where there is none."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.payout_stop SET lifted_at = :at, lifted_by = :by, lifted_for = :cause"
            " WHERE mode = :mode AND currency = :currency AND lifted_at IS NULL"
        ),
        {"at": at, "by": by, "cause": cause, "mode": mode.value, "currency": currency},
    )
    return done.rowcount == 1


def _tie(row: sa.Row[Any]) -> TieOut:
    said = row.content
    return TieOut(
        id=row.id,
        mode=Mode(row.mode),
        currency=row.currency,
        on=row.on_day,
        run=row.run,
        statement=row.statement,
        custody_minor=row.custody_minor,
        holdings=Holdings(
            owed=said["owed"],
            in_transit=said["in_transit"],
            overdrawn_minor=said["overdrawn_minor"],
            own_owes_minor=said["own_owes_minor"],
        ),
        items=tuple(TieItem(*item) for item in said["items"]),
        difference_minor=row.difference_minor,
        why=row.why,
        made_at=row.made_at,
    )
