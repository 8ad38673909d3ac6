"""The one row of the town."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.simulation.model import Plan
from steelyard.simulation.model.state import TownState

_COLUMNS = (
    "seed, customers, terminals, opens_on, history_days, book, house, founded_at, is_settled,"
    " played_through, playing_through, history_done, resting"
)


def _state(row: Any) -> TownState:
    return TownState(
        plan=Plan(
            seed=row.seed,
            customers=row.customers,
            terminals=row.terminals,
            opens_on=row.opens_on,
        ),
        history_days=row.history_days,
        book=row.book,
        house=row.house,
        founded_at=row.founded_at.astimezone(UTC),
        is_settled=row.is_settled,
        played_through=row.played_through.astimezone(UTC),
        playing_through=row.playing_through.astimezone(UTC),
        history_done=row.history_done,
        resting=row.resting,
    )


def read(connection: sa.Connection, *, lock: bool = False) -> TownState | None:
    """Return the town, or None while there is none; `lock` holds its row to the commit."""
    ending = " FOR UPDATE" if lock else ""
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM simulation.town{ending}")
    ).one_or_none()
    return None if row is None else _state(row)


def insert(unit: UnitOfWork, town: TownState) -> None:
    """Insert the town unless there is one."""
    unit.execute(
        "INSERT INTO simulation.town (seed, customers, terminals, opens_on, history_days, book,"
        " house, founded_at, played_through, playing_through)"
        " VALUES (:seed, :customers, :terminals, :opens_on, :history_days, :book, :house,"
        " :founded_at, :played_through, :playing_through) ON CONFLICT (one) DO NOTHING",
        seed=town.plan.seed,
        customers=town.plan.customers,
        terminals=town.plan.terminals,
        opens_on=town.plan.opens_on,
        history_days=town.history_days,
        book=town.book,
        house=town.house,
        founded_at=town.founded_at,
        played_through=town.played_through,
        playing_through=town.playing_through,
    )


def note_settled(unit: UnitOfWork) -> None:
    """Note that books, merchants and accounts are there."""
    unit.execute("UPDATE simulation.town SET is_settled = true")


def note_progress(
    unit: UnitOfWork,
    *,
    played_through: datetime,
    playing_through: datetime,
    history_done: bool,
    resting: str | None,
) -> None:
    """Note how far the town has lived, and how far the next span reaches."""
    unit.execute(
        "UPDATE simulation.town SET played_through = :played, playing_through = :playing,"
        " history_done = history_done OR :done, resting = :resting",
        played=played_through,
        playing=playing_through,
        done=history_done,
        resting=resting,
    )


def read_speed(connection: sa.Connection) -> float | None:
    """Return the speed of the stored business clock, None while there is none."""
    speed = connection.execute(sa.text("SELECT speed FROM base.clock")).scalar()
    return None if speed is None else float(speed)


def database_bytes(connection: sa.Connection) -> int:
    """Return the size of the whole database on disk, its write-ahead log not counted."""
    size = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
    return int(size)
