"""Clocks that tick: the real one, and the business clock kept in the database.

The business clock says when things happen in the books. In production it is the real clock. In
development it may run ahead or faster (the simulated town); it is one row in the database, so
every process of the platform agrees. Sessions, nonces and one-time codes never use it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa

from steelyard.kernel import Clock, Refusal, RefusalKind, uuid7
from steelyard.kernel.ids import ENTROPY_BYTES


class ClockGoesBackwards(Refusal):
    """The business clock was asked to go back."""

    kind = RefusalKind.CONFLICT
    en = "The business clock stands at {now} and does not go back to {asked}."
    zh = "业务时钟已到 {now}，不能倒回 {asked}。"


class RealClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC)


class BusinessClock(Protocol):
    """Tells the business instant, with the help of a connection if it needs one."""

    def read(self, connection: sa.Connection) -> datetime:
        """Return the business instant."""
        ...


class PlainBusinessClock:
    """A business clock that is some `Clock` of the process."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def read(self, connection: sa.Connection) -> datetime:
        """Return what the clock says; the connection is not used."""
        return self.clock.now()


_READ = sa.text(
    "SELECT virtual_anchor + (CAST(:real AS timestamptz) - real_anchor) * speed FROM base.clock"
)


class StoredBusinessClock:
    """The business clock of the one row of `base.clock`, shared by all processes."""

    def __init__(self, source: Clock) -> None:
        self.source = source

    def read(self, connection: sa.Connection) -> datetime:
        """Return the virtual instant; without a row, the real one."""
        real = self.source.now()
        virtual = connection.execute(_READ, {"real": real}).scalar()
        return real if virtual is None else virtual.astimezone(UTC)

    def set(self, connection: sa.Connection, at: datetime, *, speed: float) -> None:
        """Let the clock stand at `at` now and run on at `speed` (0 stands still).

        Refusals
        --------
        clock_goes_backwards : `at` lies before what the clock says
        """
        connection.execute(sa.text("LOCK TABLE base.clock IN EXCLUSIVE MODE"))
        row = connection.execute(_READ, {"real": self.source.now()}).scalar()
        if row is not None and at < row.astimezone(UTC):
            raise ClockGoesBackwards(now=row.isoformat(), asked=at.isoformat())
        connection.execute(
            sa.text(
                "INSERT INTO base.clock (one, real_anchor, virtual_anchor, speed)"
                " VALUES (true, :real, :at, :speed) ON CONFLICT (one) DO UPDATE SET"
                " real_anchor = :real, virtual_anchor = :at, speed = :speed, seen_at = :at"
            ),
            {"real": self.source.now(), "at": at, "speed": speed},
        )

    def beat(self, connection: sa.Connection) -> None:
        """Note the instant, so that the clock can go on from here after everything was killed."""
        connection.execute(
            sa.text("UPDATE base.clock SET seen_at = GREATEST(seen_at, :at)"),
            {"at": self.read(connection)},
        )

    def resume(self, connection: sa.Connection, *, speed: float) -> datetime | None:
        """Go on from the last noted instant, as if no time had passed; None without a row."""
        seen = connection.execute(sa.text("SELECT seen_at FROM base.clock FOR UPDATE")).scalar()
        if seen is None:
            return None
        connection.execute(
            sa.text(
                "UPDATE base.clock"
                " SET real_anchor = :real, virtual_anchor = seen_at, speed = :speed"
            ),
            {"real": self.source.now(), "speed": speed},
        )
        instant: datetime = seen.astimezone(UTC)
        return instant


def new_id(at: datetime) -> UUID:
    """Return a fresh UUID version 7 of the instant, with the machine's entropy."""
    return uuid7(at, os.urandom(ENTROPY_BYTES))
