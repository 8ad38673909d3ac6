"""Tables of mandates and of what was done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.debits_dates import Cycle, Period
from steelyard.payments.model.mandates import IDLE_MONTHS, Mandate, MandateState
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import one_json

_NAMES: Final = [one.name for one in fields(Mandate)]
_COLUMNS: Final = ", ".join(f"m.{name}" for name in _NAMES)
_OVER: Final = [state.value for state in MandateState if state.is_over]


def insert(connection: sa.Connection, mandate: Mandate) -> bool:
    """Insert a mandate; False where its id or number is there already."""
    values = {name: getattr(mandate, name) for name in _NAMES}
    values |= {"details": one_json(mandate.details), "pay_days": list(mandate.pay_days)}
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.mandate ({', '.join(_NAMES)})"
            f" VALUES ({', '.join(f':{name}' for name in _NAMES)}) ON CONFLICT DO NOTHING"
        ),
        values,
    )
    return done.rowcount == 1


def change(connection: sa.Connection, before: Mandate, after: Mandate) -> Mandate:
    """Write a mandate whose row is held; return it as it stands."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.mandate SET state = :state, version = version + 1,"
            " signed_at = :signed_at, signed_by = :signed_by, signed_on = :signed_on,"
            " last_on = :last_on, next_on = :next_on, why = :why"
            " WHERE id = :id AND version = :version"
        ),
        {
            name: getattr(after, name)
            for name in (
                *("id", "state", "signed_at", "signed_by", "signed_on"),
                *("last_on", "next_on", "why"),
            )
        }
        | {"version": before.version},
    )
    assert done.rowcount == 1, "the row is held"
    return replace(after, version=before.version + 1)


def touch(connection: sa.Connection, dates: Mapping[UUID, tuple[date | None, date | None]]) -> None:
    """Write when mandates whose rows are held were last used, and their next dates."""
    if not dates:
        return
    connection.execute(
        sa.text(
            "UPDATE payments.mandate m SET last_on = greatest(m.last_on, x.last_on),"
            " next_on = coalesce(x.next_on, m.next_on), version = m.version + 1"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:lasts AS date[]), CAST(:nexts AS date[]))"
            " AS x (id, last_on, next_on) WHERE m.id = x.id"
        ),
        {
            "ids": list(dates),
            "lasts": [last for last, _ in dates.values()],
            "nexts": [following for _, following in dates.values()],
        },
    )


def insert_step(
    connection: sa.Connection, mandate: Mandate, verb: str, *, actor: str, at: datetime
) -> None:
    """Write down what was done to a mandate."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.mandate_step (mandate, version, state, verb, why, actor, at)"
            " VALUES (:id, :version, :state, :verb, :why, :actor, :at)"
        ),
        {
            "id": mandate.id,
            "version": mandate.version,
            "state": mandate.state.value,
            "verb": verb,
            "why": mandate.why,
            "actor": actor,
            "at": at,
        },
    )


def lock(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Mandate]:
    """Lock mandates in the order of their ids."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.mandate m WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
        ),
        {"ids": sorted(set(ids))},
    )
    return {row.id: _mandate(row) for row in rows}


def find(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, Mandate]:
    """Return mandates by id, without a lock."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.mandate m WHERE id = ANY(:ids)"),
        {"ids": list(set(ids))},
    )
    return {row.id: _mandate(row) for row in rows}


def find_number(
    connection: sa.Connection, merchant: UUID, mode: Mode, mandate_no: str
) -> Mandate | None:
    """Return the mandate of a merchant's own number."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.mandate m WHERE merchant = :merchant"
            " AND mode = :mode AND mandate_no = :no"
        ),
        {"merchant": merchant, "mode": mode.value, "no": mandate_no},
    ).one_or_none()
    return None if row is None else _mandate(row)


def many_of_pair(connection: sa.Connection, merchant: UUID, customer: UUID, mode: Mode) -> int:
    """Return how many mandates of a customer with a merchant are not over; others wait here."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:pair, 7))"),
        {"pair": f"mandate:{merchant}:{customer}:{mode.value}"},
    )
    return int(
        connection.execute(
            sa.text(
                "SELECT count(*) FROM payments.mandate WHERE customer = :customer"
                " AND merchant = :merchant AND mode = :mode AND state <> ALL(:over)"
            ),
            {"customer": customer, "merchant": merchant, "mode": mode.value, "over": _OVER},
        ).scalar_one()
    )


def ending(connection: sa.Connection, on: date, limit: int) -> list[UUID]:
    """Return mandates whose time may be over by the calendar on a date."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM payments.mandate WHERE state IN ('draft', 'active', 'suspended')"
            " AND valid_until <= :on UNION SELECT id FROM payments.mandate"
            " WHERE state IN ('active', 'suspended') AND coalesce(last_on, signed_on)"
            f" <= CAST(:on AS date) - interval '{IDLE_MONTHS} months' LIMIT :limit"
        ),
        {"on": on, "limit": limit},
    )
    return list(rows.scalars())


def terminating(connection: sa.Connection, limit: int) -> list[UUID]:
    """Return revoked mandates of which nothing is under way any more."""
    rows = connection.execute(
        sa.text(
            "SELECT m.id FROM payments.mandate m WHERE m.state = 'terminating' AND NOT EXISTS ("
            "SELECT FROM payments.debit d WHERE d.mandate = m.id"
            " AND d.state IN ('sent', 'accepted', 'unknown')) LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def list_newest(
    connection: sa.Connection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    party: UUID | None = None,
    merchant: UUID | None = None,
    customer: UUID | None = None,
    state: MandateState | None = None,
) -> list[Mandate]:
    """Return mandates, the newest first; of a party those that it has a part in."""
    wanted, values = ["true"], dict[str, Any](limit=limit)
    if before is not None:
        wanted.append("(created_at, id) < (:before, :id)")
        values |= {"before": before[0], "id": before[1]}
    if party is not None:
        wanted.append("(merchant = :party OR customer = :party)")
        values["party"] = party
    for name, value in (("merchant", merchant), ("customer", customer), ("state", state)):
        if value is not None:
            wanted.append(f"{name} = :{name}")
            values[name] = value
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.mandate m WHERE {' AND '.join(wanted)}"
            " ORDER BY created_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return [_mandate(row) for row in rows]


def _mandate(row: Any) -> Mandate:
    values = dict(row._mapping)
    signed_at = values["signed_at"]
    values |= {
        "mode": Mode(row.mode),
        "period": Period(row.period),
        "cycle": Cycle(row.cycle),
        "state": MandateState(row.state),
        "pay_days": tuple(row.pay_days),
        "created_at": row.created_at.astimezone(UTC),
        "signed_at": None if signed_at is None else signed_at.astimezone(UTC),
    }
    return Mandate(**values)
