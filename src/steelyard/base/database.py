"""The database and the unit of work: one command, one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from steelyard.base.clock import BusinessClock, PlainBusinessClock, RealClock, new_id
from steelyard.base.facts import Fact, FactLog, Recorded
from steelyard.base.telemetry.metrics import UNIT_SECONDS, UNITS_OF_WORK, timed
from steelyard.kernel import Clock, Refusal, uuid7

T = TypeVar("T")
LastWrite = Callable[["UnitOfWork", list[Any]], None]

_ATTEMPTS = 5
_RETRIED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_FRESH_SECONDS = 1.0
"""A pooled connection that answered so lately is not asked whether it lives: a round trip less."""


class UnitOfWork:
    """One transaction: rows, ledger transfers and facts are written together or not at all.

    Attributes
    ----------
    connection : SQLAlchemy connection inside the transaction
    now : business instant, fixed for the whole unit
    wall_at : real instant, for sessions, nonces and codes only
    actor : who causes it, `noun:id`
    """

    def __init__(
        self, connection: sa.Connection, *, now: datetime, wall_at: datetime, actor: str
    ) -> None:
        self.connection = connection
        self.now = now
        self.wall_at = wall_at
        self.actor = actor
        self._recorded: list[Recorded] = []
        self._after: list[Callable[[], None]] = []
        self._last: dict[str, tuple[LastWrite, list[Any]]] = {}
        self._entropy: Callable[[], bytes] | None = None

    def execute(self, sql: str, **values: Any) -> sa.CursorResult[Any]:
        """Run one statement with named parameters (`:name`)."""
        return self.connection.execute(sa.text(sql), values)

    @property
    def driver(self) -> psycopg.Connection[Any]:
        """The psycopg connection of the transaction, for jobs and hot statements."""
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        return driver

    def new_id(self) -> UUID:
        """Return a fresh id of this unit's instant."""
        if self._entropy is not None:
            return uuid7(self.now, self._entropy())
        return new_id(self.now)

    def draw_ids(self, entropy: Callable[[], bytes]) -> None:
        """Take the entropy of ids from here on: those of a simulation follow from its seed.

        Parameters
        ----------
        entropy : called for each id, ten bytes
        """
        self._entropy = entropy

    def record(
        self,
        fact: Fact,
        *,
        subject: str,
        occurred_at: datetime | None = None,
        actor: str | None = None,
    ) -> None:
        """Put a fact into the log when the unit commits, in the order of the calls.

        The caller holds the subject's row, or is creating it: that orders the subject's facts.

        Parameters
        ----------
        actor : who caused it, where one unit does the work of many; None: the unit's own
        """
        at = self.now if occurred_at is None else occurred_at
        self._recorded.append(Recorded(fact, subject, at, self.now, actor or self.actor))

    def at_commit(self, name: str, item: Any, write: LastWrite) -> None:
        """Collect an item for a write that comes last, so that its lock is held for a moment only.

        All items of one name are written by one call, in the order they were given.
        """
        self._last.setdefault(name, (write, []))[1].append(item)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call something once the transaction is durable; it is not called after a roll-back."""
        self._after.append(call)

    def complete(self, log: FactLog) -> None:
        """Write the facts and what else comes last; the commit follows."""
        if self._recorded:
            log.write(self.connection, self._recorded)
        for name in sorted(self._last):
            write, items = self._last[name]
            write(self, items)

    def finish(self) -> None:
        """Run what was left for after the commit."""
        for call in self._after:
            call()


class Database:
    """The one PostgreSQL database, seen through the application role.

    Parameters
    ----------
    url : SQLAlchemy URL (`postgresql+psycopg://...`)
    facts : where facts are kept
    clock : business clock; the machine's own by default
    wall : real clock
    pool_size : connections kept by this process
    """

    def __init__(
        self,
        url: str,
        *,
        facts: FactLog,
        clock: BusinessClock | None = None,
        wall: Clock | None = None,
        pool_size: int = 10,
    ) -> None:
        self.wall = wall or RealClock()
        self.clock = clock or PlainBusinessClock(self.wall)
        self.facts = facts
        self.url = url
        self.engine = sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            # A failing statement is logged without its values: they may be somebody's.
            hide_parameters=True,
            connect_args={"options": "-c timezone=UTC"},
        )
        sa.event.listen(self.engine, "checkin", _note_use)
        sa.event.listen(self.engine, "checkout", _ping_if_idle)

    @contextmanager
    def unit_of_work(self, *, actor: str = "system:steelyard") -> Iterator[UnitOfWork]:
        """Open one transaction; commit when the block ends, roll back when it raises."""
        outcome = "failed"
        try:
            with timed(UNIT_SECONDS), self.engine.begin() as connection:
                unit = UnitOfWork(
                    connection,
                    now=self.clock.read(connection),
                    wall_at=self.wall.now(),
                    actor=actor,
                )
                yield unit
                unit.complete(self.facts)
            outcome = "committed"
        except Refusal:
            outcome = "refused"
            raise
        except psycopg.Error as error:
            # Of a statement given to the driver itself: callers see one kind of error.
            is_lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            raise sa.exc.DBAPIError.instance(
                None, None, error, psycopg.Error, True, is_lost and not error.sqlstate
            ) from error
        finally:
            UNITS_OF_WORK.labels(outcome).inc()
        unit.finish()

    def transact(self, work: Callable[[UnitOfWork], T], *, actor: str = "system:steelyard") -> T:
        """Run one function as a unit of work, again if the database chose it as a victim.

        A deadlock or serialization failure rolls the whole unit back, so running it again is safe.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.unit_of_work(actor=actor) as unit:
                    result = work(unit)
                return result
            except DBAPIError as error:
                if attempt == _ATTEMPTS or not isinstance(error.orig, _RETRIED):
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a read-only transaction on one consistent snapshot."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield connection
            connection.rollback()

    def now(self) -> datetime:
        """Return the business instant."""
        with self.engine.connect() as connection:
            return self.clock.read(connection)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _note_use(_: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_if_idle(driver: psycopg.Connection[Any], record: Any, _: Any) -> None:
    """Ask a connection that was idle for a while whether it lives; the pool replaces a dead one."""
    if time.monotonic() - record.info.get("used_at", 0.0) < _FRESH_SECONDS:
        return
    try:
        driver.execute("")
        driver.rollback()
    except psycopg.Error as error:
        raise sa.exc.DisconnectionError from error
