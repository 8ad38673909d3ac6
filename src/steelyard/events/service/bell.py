"""The bell: one connection per process that knows when facts were committed, and holds leases.

A committing NOTIFY takes a lock of the whole server until the commit is on the disk, which ends
group commit. So writers notify only while some process sleeps, and a process sleeps only when the
log is quiet; under load it looks at the log a hundred times a second instead.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from threading import Condition, Event, Thread
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.events.store.consumers import LEASES, lease_key
from steelyard.events.store.log import CHANNEL, has_new, head, own_connection, wake

LOOK = 0.01
"""Seconds between two looks at the log while awake."""
QUIET = 0.2
"""Seconds without a new fact, after which it tries to sleep."""
FALLING_ASLEEP = 0.1
"""Seconds that it waits for writers which may not have seen it go to sleep."""
DUTY = 0.5
"""Seconds between two tries for leases not held, and two looks at the log while asleep."""
REGISTERED = 5.0
"""Seconds for which a sleeper counts as one without a sign of life."""
BUSY = 4
"""Wake-ups within `QUIET` after which it stays awake."""


class Bell:
    """Rings when facts may have been committed, for all readers of this process.

    Parameters
    ----------
    leases : consumers (name and version) that this process wants to run alone
    """

    def __init__(self, database: Database, *, leases: Collection[tuple[str, int]] = ()) -> None:
        self.database = database
        self.wanted = {key: lease_key(*key) for key in leases}
        self.held: frozenset[tuple[str, int]] = frozenset()
        self.name = uuid4().hex
        self._rung = Condition()
        self._generation = 0
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="events-bell", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Give the leases back and stop listening."""
        self._stopping.set()
        self.ring()
        # It may be asleep. The pool may be closed already, so nothing is left in it.
        with suppress(DBAPIError), own_connection(self.database) as (connection, _):
            wake(connection)
        self._thread.join()

    @property
    def generation(self) -> int:
        """How often it has rung; read before looking at the log, given to `wait` after."""
        return self._generation

    def wait(self, generation: int, seconds: float) -> None:
        """Wait until it has rung more often than `generation` says, at most some seconds."""
        with self._rung:
            self._rung.wait_for(lambda: self._generation != generation, seconds)

    def ring(self) -> None:
        """Wake every waiting reader of this process."""
        with self._rung:
            self._generation += 1
            self._rung.notify_all()

    def _run(self) -> None:
        pause = LOOK
        while not self._stopping.is_set():
            try:
                with own_connection(self.database) as (connection, driver):
                    _Watch(self, connection, driver).run(self._stopping)
                    pause = LOOK
            except (DBAPIError, psycopg.Error) as error:
                get_logger("events").warning("bell_lost_its_connection", error=str(error))
            self.held = frozenset()
            self.ring()
            self._stopping.wait(pause)
            pause = min(2.0, pause * 2)


class _Watch:
    """The life of one connection: it is awake, or asleep until a writer notifies it."""

    def __init__(
        self, bell: Bell, connection: sa.Connection, driver: psycopg.Connection[Any]
    ) -> None:
        self.bell = bell
        self.connection = connection
        self.driver = driver
        self.place = head(connection)

    def run(self, stopping: Event) -> None:
        # A machine that vanishes gives its leases back within seconds (TCP only).
        self._execute(
            "SELECT set_config('tcp_keepalives_idle', '5', false),"
            " set_config('tcp_keepalives_interval', '2', false),"
            " set_config('tcp_keepalives_count', '2', false)"
        )
        self._execute(f"LISTEN {CHANNEL}")
        self.place = head(self.connection)
        self.bell.ring()
        duty = news = time.monotonic()
        while not stopping.is_set():
            now = time.monotonic()
            if now >= duty:
                self._take_leases()
                duty = now + DUTY
            if self._look():
                news = now
            if now - news > QUIET and self._fall_asleep(stopping):
                self._sleep(stopping)
                news = time.monotonic()
            stopping.wait(LOOK)
        self._get_up()

    def _execute(self, sql: str, **values: Any) -> sa.CursorResult[Any]:
        return self.connection.execute(sa.text(sql), values)

    def _look(self) -> bool:
        """Look at the log, and ring if there is something new."""
        is_new, self.place = has_new(self.connection, self.place)
        if is_new:
            self.bell.ring()
        return is_new

    def _take_leases(self) -> None:
        missing = self.bell.wanted.keys() - self.bell.held
        for key in sorted(missing):
            lock = {"leases": LEASES, "key": self.bell.wanted[key]}
            if self._execute("SELECT pg_try_advisory_lock(:leases, :key)", **lock).scalar_one():
                self.bell.held |= {key}
                self.bell.ring()

    def _register(self) -> None:
        self._execute(
            "INSERT INTO events.sleeper AS s (name, until)"
            " VALUES (:name, clock_timestamp() + make_interval(secs => :seconds))"
            " ON CONFLICT (name) DO UPDATE SET until = excluded.until",
            name=self.bell.name,
            seconds=REGISTERED,
        )

    def _get_up(self) -> None:
        self._execute("DELETE FROM events.sleeper WHERE name = :name", name=self.bell.name)

    def _fall_asleep(self, stopping: Event) -> bool:
        """Register as a sleeper; true once every later commit of a fact will notify us.

        A writer looks for sleepers after its insert. Those that had no transaction id when we had
        registered will see us; the few that were running may not, so they must have ended.
        """
        self._register()
        before = head(self.connection).seen.running
        until = time.monotonic() + FALLING_ASLEEP
        while not stopping.is_set():
            self._look()
            if not before & self.place.seen.running:
                return True
            if time.monotonic() > until:
                break
            stopping.wait(LOOK)
        self._get_up()
        return False

    def _sleep(self, stopping: Event) -> None:
        """Sleep and ring at each notification, until they come often."""
        renew = time.monotonic() + REGISTERED / 2
        wakes: list[float] = []
        while not stopping.is_set():
            woken = any(True for _ in self.driver.notifies(timeout=DUTY, stop_after=1))
            now = time.monotonic()
            if woken:
                self.bell.ring()
                wakes = [at for at in wakes if now - at < QUIET] + [now]
            is_new, self.place = has_new(self.connection, self.place)
            if is_new and not woken:
                self.bell.ring()
            if len(wakes) >= BUSY:
                self._get_up()
                return
            if self.bell.wanted.keys() != self.bell.held:
                self._take_leases()
            if now >= renew:
                self._register()
                renew = now + REGISTERED / 2
