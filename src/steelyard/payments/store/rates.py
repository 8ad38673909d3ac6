"""Tables of rates: sources, ticks, margins, revaluations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.fx import KnownTick, RateSource, Tick, TickState
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import Margin
from steelyard.payments.store.rows import as_json, one_json

_TICK = [one.name for one in fields(Tick)]
_COLUMNS = f"id, {', '.join(_TICK)}, state, why, received_at, actor, resolved_at, resolved_by"


def put_source(connection: sa.Connection, source: RateSource, *, by: str, at: datetime) -> None:
    """Enter a source, or change what is asked of it."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.fx_source (source, calendar, cap_seconds, updated_at, updated_by)"
            " VALUES (:source, :calendar, :cap_seconds, :at, :by) ON CONFLICT (source) DO UPDATE"
            " SET calendar = excluded.calendar, cap_seconds = excluded.cap_seconds,"
            " updated_at = excluded.updated_at, updated_by = excluded.updated_by"
        ),
        {**asdict(source), "at": at, "by": by},
    )


def sources(connection: sa.Connection) -> dict[str, RateSource]:
    """Return the sources that were entered."""
    rows = connection.execute(
        sa.text("SELECT source, calendar, cap_seconds FROM payments.fx_source")
    )
    return {row.source: RateSource(**row._mapping) for row in rows}


def insert_ticks(connection: sa.Connection, ticks: Sequence[KnownTick]) -> set[UUID]:
    """Insert ticks; return the ids of those that were not there."""
    rows = [
        {
            **asdict(one.tick),
            "bid": str(one.tick.bid),
            "ask": str(one.tick.ask),
            "id": one.id,
            "state": one.state,
            "why": one.why,
            "received_at": one.received_at,
            "actor": one.actor,
        }
        for one in ticks
    ]
    done = connection.execute(
        sa.text(
            f"INSERT INTO payments.fx_tick ({_COLUMNS})"
            f" SELECT {_COLUMNS} FROM jsonb_populate_recordset(NULL::payments.fx_tick,"
            " CAST(:rows AS jsonb)) ON CONFLICT DO NOTHING RETURNING id"
        ),
        {"rows": as_json(rows)},
    )
    return {row.id for row in done}


def lock_rates(connection: sa.Connection) -> None:
    """Let one at a time take rates: what a tick is compared with stands still."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('payments.fx_tick', 0))")
    )


def newest(
    connection: sa.Connection,
    currencies: Iterable[str],
    *,
    states: Sequence[TickState],
    until: datetime,
) -> dict[str, KnownTick]:
    """Return the newest tick of currencies in some states, by instant of observation."""
    rows = connection.execute(
        sa.text(
            "SELECT t.* FROM unnest(CAST(:currencies AS text[])) AS c (name) CROSS JOIN LATERAL"
            f" (SELECT {_COLUMNS} FROM payments.fx_tick WHERE currency = c.name"
            " AND state = ANY(:states) AND observed_at <= :until"
            " ORDER BY observed_at DESC, received_at DESC, id DESC LIMIT 1) t"
        ),
        {
            "currencies": sorted(set(currencies)),
            "states": [one.value for one in states],
            "until": until,
        },
    )
    return {row.currency: _known(row) for row in rows}


def held(connection: sa.Connection, *, lock: UUID | None = None) -> list[KnownTick]:
    """Return ticks that wait for a confirmation, the oldest first; one, its row held."""
    one = "" if lock is None else " AND id = :id FOR UPDATE"
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.fx_tick WHERE state = 'held'{one or ' ORDER BY id'}"
        ),
        {} if lock is None else {"id": lock},
    )
    return [_known(row) for row in rows]


def resolve(
    connection: sa.Connection, tick: UUID, state: TickState, *, by: str, at: datetime
) -> bool:
    """Let a held tick be used, or never; False where it is not held any more."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.fx_tick SET state = :state, resolved_by = :by, resolved_at = :at"
            " WHERE id = :id AND state = 'held'"
        ),
        {"id": tick, "state": state.value, "by": by, "at": at},
    )
    return done.rowcount == 1


def _known(row: Any) -> KnownTick:
    values = row._mapping
    return KnownTick(
        id=row.id,
        tick=Tick(**{name: values[name] for name in _TICK}),
        state=TickState(row.state),
        why=row.why,
        received_at=row.received_at,
        actor=row.actor,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
    )


def insert_margin(connection: sa.Connection, margin: Margin, *, by: str) -> bool:
    """Enter a margin from an instant on; False where there is one of that instant."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.fx_margin (sell, buy, tier, starts_at, margin_ppm, set_by)"
            " VALUES (:sell, :buy, :tier, :starts_at, :margin_ppm, :by) ON CONFLICT DO NOTHING"
        ),
        {**asdict(margin), "by": by},
    )
    return done.rowcount == 1


def margins(connection: sa.Connection, sell: str, buy: str) -> tuple[Margin, ...]:
    """Return the margins that may fit a pair."""
    rows = connection.execute(
        sa.text(
            "SELECT sell, buy, tier, starts_at, margin_ppm FROM payments.fx_margin"
            " WHERE sell IN (:sell, '*') AND buy IN (:buy, '*')"
        ),
        {"sell": sell, "buy": buy},
    )
    return tuple(Margin(**row._mapping) for row in rows)


def insert_revaluation(
    connection: sa.Connection,
    id: UUID,
    *,
    mode: Mode,
    on: date,
    base: str,
    positions: Mapping[str, int],
    rates: Mapping[str, str],
    gain_minor: int,
    at: datetime,
    by: str,
) -> int:
    """Insert a revaluation, and return its number of the day."""
    row = connection.execute(
        sa.text(
            "INSERT INTO payments.fx_revaluation (id, mode, on_day, run, base, positions, rates,"
            " gain_minor, at, by) SELECT :id, :mode, :on_day, 1 + coalesce(max(run), 0), :base,"
            " CAST(:positions AS jsonb), CAST(:rates AS jsonb), :gain, :at, :by"
            " FROM payments.fx_revaluation WHERE mode = :mode AND base = :base"
            " AND on_day = :on_day RETURNING run"
        ),
        {
            "id": id,
            "mode": mode.value,
            "on_day": on,
            "base": base,
            "positions": one_json(positions),
            "rates": one_json(rates),
            "gain": gain_minor,
            "at": at,
            "by": by,
        },
    )
    return int(row.scalar_one())
