"""Used nonces: each is good once, in all processes together.

Requests that wait at the same moment share one statement. A nonce stands in the bucket of the ten
minutes of its signed timestamp, so a repeat always meets it; a bucket out of the window of valid
timestamps is truncated, which leaves nothing to vacuum.
"""

from __future__ import annotations

import hashlib
from collections import deque
from threading import Event, Lock
from typing import Any

import psycopg
import sqlalchemy as sa

from steelyard.parties.model.signature import SKEW

BUCKETS = 4
BUCKET_SECONDS = 2 * int(SKEW.total_seconds())

_SPEND = """
    INSERT INTO parties.nonce (bucket, digest)
    SELECT * FROM unnest(%s::smallint[], %s::bytea[])
    ON CONFLICT DO NOTHING RETURNING digest
"""


class _Waiting:
    """A nonce whose fate is not known yet."""

    __slots__ = ("bucket", "digest", "error", "event", "is_fresh")

    def __init__(self, bucket: int, digest: bytes) -> None:
        self.bucket = bucket
        self.digest = digest
        self.event = Event()
        self.is_fresh: bool | None = None
        self.error: BaseException | None = None


class NonceBook:
    """Spends nonces through one connection of its own, many at a time.

    The commit does not wait for the disk: when the database server itself crashes, the nonces of
    its last half second are forgotten.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._queue: deque[_Waiting] = deque()
        self._is_led = False
        self._driver: psycopg.Connection[Any] | None = None
        self._pruned = -1
        sa.event.listen(engine, "engine_disposed", self._on_disposed)

    def spend(self, key: str, timestamp: int, nonce: str, *, now: float) -> bool:
        """Use a nonce up; return whether it was fresh.

        Parameters
        ----------
        timestamp : of the signature, within the window around `now`
        """
        digest = hashlib.sha256(f"{key}\0{timestamp}\0{nonce}".encode()).digest()[:16]
        mine = _Waiting(timestamp // BUCKET_SECONDS % BUCKETS, digest)
        with self._lock:
            self._queue.append(mine)
            leads = not self._is_led
            self._is_led = True
        if not leads:
            mine.event.wait()
        if mine.is_fresh is None and mine.error is None:
            self._lead(int(now) // BUCKET_SECONDS)
        if mine.error is not None:
            raise mine.error
        return mine.is_fresh is True

    def close(self) -> None:
        """Close the connection; the next nonce opens another."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _on_disposed(self, engine: sa.Engine) -> None:
        self.close()

    def _lead(self, period: int) -> None:
        """Spend all that waits, then hand the lead to the first who came meanwhile."""
        with self._lock:
            batch = list(self._queue)
            self._queue.clear()
        try:
            fresh = self._spend(batch, period)
            for waiting in batch:
                # Of two equal nonces in one batch, the first is the fresh one.
                waiting.is_fresh = waiting.digest in fresh
                fresh.discard(waiting.digest)
        except BaseException as error:
            for waiting in batch:
                waiting.error = error
        with self._lock:
            heir = self._queue[0] if self._queue else None
            self._is_led = heir is not None
        for waiting in batch:
            waiting.event.set()
        if heir is not None:
            heir.event.set()

    def _spend(self, batch: list[_Waiting], period: int) -> set[bytes]:
        values = ([w.bucket for w in batch], [w.digest for w in batch])
        for attempt in (1, 2):
            driver = self._connected()
            try:
                if period != self._pruned:
                    self._prune(driver, period)
                rows = driver.execute(_SPEND, values, prepare=True).fetchall()
                return {bytes(row[0]) for row in rows}
            except psycopg.OperationalError:
                # A nonce that was written before the connection broke is refused: the safe side.
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _connected(self) -> psycopg.Connection[Any]:
        if self._driver is None:
            fairy = self._engine.raw_connection()
            driver = fairy.driver_connection
            assert isinstance(driver, psycopg.Connection)
            fairy.detach()
            driver.autocommit = True
            driver.execute("SET synchronous_commit = off")
            driver.execute("SET lock_timeout = '200ms'")
            self._driver = driver
        return self._driver

    def _prune(self, driver: psycopg.Connection[Any], period: int) -> None:
        """Empty the bucket that lies opposite to the present one: no valid timestamp is in it."""
        try:
            driver.execute(f"TRUNCATE parties.nonce_{(period + 2) % BUCKETS}")
        except psycopg.errors.LockNotAvailable:
            return
        self._pruned = period
