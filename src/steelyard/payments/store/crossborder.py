"""Tables of cross-border payments: corridors, payments, their legs and what was done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.crossborder import (
    Cross,
    CrossState,
    Leg,
    LegState,
    LossOwner,
    ReturnRate,
)
from steelyard.payments.model.crossborder_refusals import CrossBorderIsUnknown
from steelyard.payments.model.crossborder_routes import Corridor
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import one_json

_CORRIDOR = [one.name for one in fields(Corridor)]
_KEY = ("provider", "sell", "buy", "country")
_CROSS = [one.name for one in fields(Cross) if one.name != "legs"]
_LEG = [one.name for one in fields(Leg)]
_FIXED = ("id", "mode", "merchant", "payment_no", "created_at", "version")


def put_corridor(connection: sa.Connection, corridor: Corridor, *, by: str, at: datetime) -> None:
    """Enter what a provider offers, or change it."""
    changed = ", ".join(
        f"{name} = excluded.{name}"
        for name in (*_CORRIDOR, "updated_at", "updated_by")
        if name not in _KEY
    )
    connection.execute(
        sa.text(
            f"INSERT INTO payments.xb_corridor ({', '.join(_CORRIDOR)}, updated_at, updated_by)"
            f" VALUES ({', '.join(f':{name}' for name in _CORRIDOR)}, :updated_at, :updated_by)"
            f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {changed}"
        ),
        {
            **{name: getattr(corridor, name) for name in _CORRIDOR},
            "updated_at": at,
            "updated_by": by,
        },
    )


def corridors(
    connection: sa.Connection,
    *,
    sell: str | None = None,
    buy: str | None = None,
    lock: bool = False,
) -> list[Corridor]:
    """Return corridors, of a pair if told; their rows held if asked for."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_CORRIDOR)} FROM payments.xb_corridor"
            " WHERE (CAST(:sell AS text) IS NULL OR sell = :sell)"
            " AND (CAST(:buy AS text) IS NULL OR buy = :buy)"
            f" ORDER BY provider, sell, buy, country{' FOR UPDATE' if lock else ''}"
        ),
        {"sell": sell, "buy": buy},
    )
    return [Corridor(**row._mapping) for row in rows]


def planned_on(
    connection: sa.Connection, provider: str, on: date, currency: str, *, without: UUID | None
) -> int:
    """Return what of a currency leaves by a provider on its day, of payments that are not over."""
    found = connection.execute(
        sa.text(
            "SELECT coalesce(sum(l.buy_minor), 0) FROM payments.xb_leg l"
            " JOIN payments.xb_payment p ON p.id = l.payment"
            " WHERE l.provider = :provider AND l.leaves_on = :on AND p.buy = :currency"
            " AND p.state <> 'rejected' AND p.id IS DISTINCT FROM CAST(:without AS uuid)"
        ),
        {"provider": provider, "on": on, "currency": currency, "without": without},
    )
    return int(found.scalar_one())


def insert(connection: sa.Connection, cross: Cross) -> bool:
    """Insert a payment with its legs; False where its id or number is there."""
    named = ", ".join(_named(name) for name in _CROSS)
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.xb_payment ({', '.join(_CROSS)}) VALUES ({named})"
            " ON CONFLICT DO NOTHING"
        ),
        _values(cross),
    )
    if done.rowcount == 1:
        insert_legs(connection, cross.legs)
    return done.rowcount == 1


def insert_legs(connection: sa.Connection, legs: Sequence[Leg]) -> None:
    """Insert legs."""
    for leg in legs:
        connection.execute(
            sa.text(
                f"INSERT INTO payments.xb_leg ({', '.join(_LEG)})"
                f" VALUES ({', '.join(f':{name}' for name in _LEG)})"
            ),
            _leg_values(leg),
        )


def drop_planned(connection: sa.Connection, payment: UUID) -> None:
    """Delete the legs of a payment that were planned and no more."""
    connection.execute(
        sa.text("DELETE FROM payments.xb_leg WHERE payment = :id AND state = 'planned'"),
        {"id": payment},
    )


def update(connection: sa.Connection, before: Cross, after: Cross) -> None:
    """Write a payment that is locked; it is still as it was read."""
    changed = ", ".join(f"{name} = {_named(name)}" for name in _CROSS if name not in _FIXED)
    done = connection.execute(
        sa.text(
            f"UPDATE payments.xb_payment SET {changed}, version = version + 1"
            " WHERE id = :id AND version = :version AND state = :was"
        ),
        {**_values(after), "version": before.version, "was": before.state.value},
    )
    assert done.rowcount == 1, "a payment changed while it was locked"


def update_leg(connection: sa.Connection, before: Leg, after: Leg) -> None:
    """Write a leg of a payment that is locked."""
    changed = ", ".join(
        f"{name} = :{name}" for name in _LEG if name not in ("payment", "no", "version")
    )
    done = connection.execute(
        sa.text(
            f"UPDATE payments.xb_leg SET {changed}, version = version + 1"
            " WHERE payment = :payment AND no = :no AND version = :version AND state = :was"
        ),
        {**_leg_values(after), "version": before.version, "was": before.state.value},
    )
    assert done.rowcount == 1, "a leg changed while its payment was locked"


def read(connection: sa.Connection, payment: UUID, *, lock: bool = False) -> Cross:
    """Return a payment with its legs, its row held if asked for.

    Refusals
    --------
    cross_border_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {', '.join(_CROSS)} FROM payments.xb_payment WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": payment},
    ).one_or_none()
    if row is None:
        raise CrossBorderIsUnknown(payment=payment)
    return _cross(row, _legs(connection, [payment]).get(payment, ()))


def find_number(
    connection: sa.Connection, merchant: UUID, mode: Mode, payment_no: str
) -> UUID | None:
    """Return the payment of a merchant's number."""
    found = connection.execute(
        sa.text(
            "SELECT id FROM payments.xb_payment WHERE merchant = :merchant AND mode = :mode"
            " AND payment_no = :number"
        ),
        {"merchant": merchant, "mode": mode.value, "number": payment_no},
    ).scalar_one_or_none()
    return None if found is None else UUID(str(found))


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None,
    merchant: UUID | None,
) -> list[Cross]:
    """Return payments with their legs, the newest first."""
    wanted = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if before is not None:
        wanted.append("(created_at, id) < (:before, :id)")
        values |= {"before": before[0], "id": before[1]}
    if merchant is not None:
        wanted.append("merchant = :merchant")
        values["merchant"] = merchant
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_CROSS)} FROM payments.xb_payment WHERE {' AND '.join(wanted)}"
            " ORDER BY created_at DESC, id DESC LIMIT :limit"
        ),
        values,
    ).all()
    legs = _legs(connection, [row.id for row in rows])
    return [_cross(row, legs.get(row.id, ())) for row in rows]


def due(connection: sa.Connection, now: datetime, limit: int) -> list[tuple[UUID, int]]:
    """Return payment and number of legs whose provider is to be asked."""
    rows = connection.execute(
        sa.text(
            "SELECT payment, no FROM payments.xb_leg WHERE next_query_at <= :now"
            " ORDER BY next_query_at, payment, no LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return [(row.payment, row.no) for row in rows]


def note(
    connection: sa.Connection,
    payment: UUID,
    what: str,
    *,
    detail: Mapping[str, Any],
    actor: str,
    at: datetime,
) -> None:
    """Append a line to the history of a payment."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.xb_event (payment, at, what, detail, actor)"
            " VALUES (:payment, :at, :what, CAST(:detail AS jsonb), :actor)"
        ),
        {"payment": payment, "at": at, "what": what, "detail": one_json(detail), "actor": actor},
    )


def history(connection: sa.Connection, payment: UUID) -> list[Any]:
    """Return the history of a payment, the oldest first: at, what, detail, actor."""
    return list(
        connection.execute(
            sa.text(
                "SELECT at, what, detail, actor FROM payments.xb_event WHERE payment = :payment"
                " ORDER BY no"
            ),
            {"payment": payment},
        )
    )


def arrivals(connection: sa.Connection, mode: Mode) -> list[Any]:
    """Return of each provider how it kept its word.

    Rows: provider, legs, credited, returned, on_time, late_seconds (mean over those that were).
    """
    return list(
        connection.execute(
            sa.text(
                "SELECT l.provider, count(*) AS legs,"
                " count(*) FILTER (WHERE l.state = 'credited') AS credited,"
                " count(*) FILTER (WHERE l.state = 'returned') AS returned,"
                " count(*) FILTER (WHERE l.state = 'credited' AND l.ended_at <= l.promised_at)"
                " AS on_time,"
                " coalesce(avg(extract(epoch FROM l.ended_at - l.promised_at)) FILTER"
                " (WHERE l.state = 'credited' AND l.ended_at > l.promised_at), 0)::bigint"
                " AS late_seconds"
                " FROM payments.xb_leg l JOIN payments.xb_payment p ON p.id = l.payment"
                " WHERE p.mode = :mode AND l.sent_at IS NOT NULL GROUP BY 1 ORDER BY 1"
            ),
            {"mode": mode.value},
        )
    )


def _legs(connection: sa.Connection, payments: Sequence[UUID]) -> dict[UUID, tuple[Leg, ...]]:
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_LEG)} FROM payments.xb_leg WHERE payment = ANY(:ids)"
            " ORDER BY payment, no"
        ),
        {"ids": list(payments)},
    )
    found: dict[UUID, tuple[Leg, ...]] = {}
    for row in rows:
        leg = Leg(**{**row._mapping, "state": LegState(row.state)})
        found[leg.payment] = (*found.get(leg.payment, ()), leg)
    return found


def _named(name: str) -> str:
    return f"CAST(:{name} AS jsonb)" if name in ("beneficiary", "choice") else f":{name}"


def _values(cross: Cross) -> dict[str, Any]:
    return {
        **{name: getattr(cross, name) for name in _CROSS},
        "mode": cross.mode.value,
        "state": cross.state.value,
        "loss_owner": cross.loss_owner.value,
        "return_rate": cross.return_rate.value,
        "beneficiary": one_json(cross.beneficiary),
        "choice": one_json(cross.choice),
    }


def _leg_values(leg: Leg) -> dict[str, Any]:
    return {**{name: getattr(leg, name) for name in _LEG}, "state": leg.state.value}


def _cross(row: Any, legs: tuple[Leg, ...]) -> Cross:
    return Cross(
        **{
            **row._mapping,
            "mode": Mode(row.mode),
            "state": CrossState(row.state),
            "loss_owner": LossOwner(row.loss_owner),
            "return_rate": ReturnRate(row.return_rate),
            "legs": legs,
        }
    )
