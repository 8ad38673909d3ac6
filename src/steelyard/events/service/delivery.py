"""Delivery: one step brings a consumer one batch further, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import psycopg
from sqlalchemy.exc import DBAPIError

from steelyard.base import Database, Fact, UnitOfWork
from steelyard.base.telemetry import mask_text
from steelyard.events.model.consumption import DeadLetter, LetterState, OnFailure, retry_delay
from steelyard.events.model.log import NOTHING, Cursor, FactFilter, StoredFact
from steelyard.events.service.consumers import Consumer, FactReader, Handler, Heard
from steelyard.events.store import consumers as rows
from steelyard.events.store import letters
from steelyard.events.store.log import (
    ensure_epoch,
    head,
    open_window,
    place_before,
    read_one,
    read_window,
)

BATCH = 1_000
LONGEST_BATCH = 0.5
"""Seconds after which a batch is cut short: its transaction must not last."""
_ERROR_LENGTH = 500
_NOWHERE = Cursor(0, NOTHING)


class FactDied(Fact, kind="events.FactDied", version=1):
    """A consumer gave a fact up: it is a dead letter now."""

    consumer: str
    consumer_version: int
    sequence: int
    handler: str
    stops: bool


class Outcome(StrEnum):
    """What a step came to."""

    DELIVERED = "delivered"
    """There may be more."""
    IDLE = "idle"
    WAITING = "waiting"
    """A fact has failed; it is tried again at `retry_at`."""
    STOPPED = "stopped"
    """A dead letter must be settled first."""
    BUSY = "busy"
    """Another process is delivering."""


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of a step; `facts` is how many were delivered in it."""

    outcome: Outcome
    facts: int = 0
    retry_at: datetime | None = None


@dataclass(slots=True)
class _Trial:
    """The batch on trial, so that a failure can be laid at a fact's door.

    Attributes
    ----------
    found, at : place as it was stored, and as it is before the batch
    handler : which one was called last
    index : fact that is being handled; None when the failure may be any fact's (a handler of many,
        the commit)
    """

    handler: Handler
    found: Cursor = _NOWHERE
    at: Cursor = _NOWHERE
    batch: Sequence[StoredFact] = ()
    index: int | None = None


def enrol(database: Database, consumer: Consumer) -> None:
    """Give the consumer its row if it never ran, and note what it hears."""
    with database.unit_of_work(actor=consumer.actor) as unit:
        ensure_epoch(unit.connection)
        begins = Cursor(0, NOTHING) if consumer.begins == "beginning" else head(unit.connection)
        rows.enrol(unit.connection, consumer.name, consumer.version, consumer.hears, begins)


class Delivery:
    """Brings one consumer further, step by step.

    Two processes may step the same consumer: each step locks the consumer's row, and its handlers'
    writes are committed with the consumer's new place. The lease (see `Runner`) only keeps them
    from treading on each other's heels.

    Parameters
    ----------
    batch : most facts in one step
    """

    def __init__(self, database: Database, consumer: Consumer, *, batch: int = BATCH) -> None:
        self.database = database
        self.consumer = consumer
        self.batch = batch
        self._reader = FactReader(consumer)
        self._filter = FactFilter(frozenset(consumer.kinds))
        self.delivered_sequence = 0

    def step(self) -> Step:
        """Deliver the next facts, or say why not.

        Raises
        ------
        DBAPIError
            The database went away or chose the step as a victim; nothing was done, try again.
        """
        name, version = self.consumer.name, self.consumer.version
        with self.database.engine.connect() as connection:
            outside = connection.execution_options(isolation_level="AUTOCOMMIT")
            look = rows.glance(outside, name, version, self._filter)
        if look is None:
            enrol(self.database, self.consumer)
            return Step(Outcome.DELIVERED)
        if look.place.replay_from is not None:
            return self._set_back()
        if look.has_letters:
            return self._replay_letter()
        if look.place.is_stopped:
            return Step(Outcome.STOPPED)
        retry_at = look.place.retry_at
        if retry_at is not None and retry_at > self.database.wall.now():
            return Step(Outcome.WAITING, 0, retry_at)
        if not look.has_facts:
            return Step(Outcome.IDLE)
        # What has failed before is tried alone.
        return self._deliver(look, 1 if look.place.attempts else self.batch)

    def _deliver(self, look: rows.Glance, limit: int) -> Step:
        """Deliver a batch; when a fact in it fails, what stood before it, then the fact alone."""
        while True:
            trial = _Trial(self.consumer.handlers[0])
            try:
                with self.database.unit_of_work(actor=self.consumer.actor) as unit:
                    return self._take(unit, look, limit, trial)
            except Exception as error:
                if not trial.batch or _is_of_the_database(error):
                    raise
                if trial.index == 0 or len(trial.batch) == 1:
                    return self._fail(trial, error)
                limit = trial.index or len(trial.batch) // 2

    def _take(self, unit: UnitOfWork, look: rows.Glance, limit: int, trial: _Trial) -> Step:
        consumer = self.consumer
        place = rows.lock_place(unit.connection, consumer.name, consumer.version)
        if place is None:
            return Step(Outcome.BUSY)
        if place.is_stopped or place.replay_from is not None:
            return Step(Outcome.DELIVERED)  # it changed since the look: look again
        at = look.window
        if place.cursor != look.place.cursor:
            at = open_window(unit.connection, place.cursor)
        if at.taking is None:
            if at != place.cursor:
                self._move(unit, at, place.delivered_sequence)
            return Step(Outcome.IDLE)
        batch, after = read_window(unit.connection, at, self._filter, limit=limit)
        known = next((i for i, f in enumerate(batch) if self._reader.is_newer(f)), len(batch))
        if batch and known == 0:
            return self._wait_for_release(unit, batch[0], at)
        if not batch:
            self._move(unit, after, place.delivered_sequence)
            return Step(Outcome.DELIVERED)
        trial.found, trial.at, trial.batch = place.cursor, at, batch[:known]
        taken = self._handle(unit, trial)
        last = batch[taken - 1].sequence
        self._move(unit, after if taken == len(batch) else at.moved(last), last)
        self.delivered_sequence = last
        return Step(Outcome.DELIVERED, taken)

    def _move(self, unit: UnitOfWork, to: Cursor, delivered: int) -> None:
        rows.move(
            unit.connection, self.consumer.name, self.consumer.version, to=to, delivered=delivered
        )

    def _handle(self, unit: UnitOfWork, trial: _Trial) -> int:
        """Call the handlers; return how many facts there was time for, at least one."""
        until = time.monotonic() + LONGEST_BATCH
        many: dict[Handler, list[Heard]] = {}
        for index, stored in enumerate(trial.batch):
            handlers = self.consumer.by_kind[stored.kind]
            trial.index, trial.handler = index, handlers[0]
            heard = self._reader.read(stored)
            for handler in handlers:
                if handler.many:
                    many.setdefault(handler, []).append(heard)
                else:
                    trial.handler = handler
                    handler.call(unit, heard)
            if time.monotonic() > until:
                trial.batch = trial.batch[: index + 1]
                break
        trial.index = None
        for handler, facts in many.items():
            trial.handler = handler
            handler.call(unit, facts)
        return len(trial.batch)

    def _wait_for_release(self, unit: UnitOfWork, stored: StoredFact, at: Cursor) -> Step:
        """Wait, as long as it takes, for a release that knows the fact's version."""
        retry_at = unit.wall_at + retry_delay(10)
        name = f"{stored.kind}@{stored.version}"
        trouble = f"{name} at {stored.sequence} is newer than this release"
        failure = rows.Failure(at, stored.sequence, 0, trouble, retry_at, stops=False)
        rows.note_failure(unit.connection, self.consumer.name, self.consumer.version, failure)
        return Step(Outcome.WAITING, 0, retry_at)

    def _fail(self, failed: _Trial, error: Exception) -> Step:
        """Note the failure of the first fact of a batch: wait, or make it a dead letter."""
        consumer, handler, stored = self.consumer, failed.handler, failed.batch[0]
        with self.database.unit_of_work(actor=consumer.actor) as unit:
            place = rows.lock_place(unit.connection, consumer.name, consumer.version)
            if place is None:
                return Step(Outcome.BUSY)
            if place.replay_from is not None or place.cursor != failed.found:
                return Step(Outcome.DELIVERED)  # another process went on meanwhile: look again
            again = place.failed_sequence == stored.sequence
            attempts = place.attempts + 1 if again else 1
            trouble = _describe(error)
            is_dead = attempts >= handler.attempts
            stops = is_dead and handler.on_failure is OnFailure.STOP
            at, retry_at = failed.at, None
            if is_dead:
                at = failed.at.moved(stored.sequence)
                self._bury(unit, stored, handler, attempts=attempts, error=trouble)
            else:
                retry_at = unit.wall_at + retry_delay(attempts)
            if is_dead and not stops:
                self._move(unit, at, stored.sequence)
                return Step(Outcome.DELIVERED)
            failure = rows.Failure(at, stored.sequence, attempts, trouble, retry_at, stops)
            rows.note_failure(unit.connection, consumer.name, consumer.version, failure)
            if stops:
                return Step(Outcome.STOPPED)
            return Step(Outcome.WAITING, 0, retry_at)

    def _bury(
        self,
        unit: UnitOfWork,
        stored: StoredFact,
        handler: Handler,
        *,
        attempts: int,
        error: str,
    ) -> None:
        consumer = self.consumer
        letters.keep_letter(
            unit.connection,
            (consumer.name, consumer.version),
            stored.sequence,
            handler=handler.name,
            attempts=attempts,
            error=error,
        )
        unit.record(
            FactDied(
                consumer=consumer.name,
                consumer_version=consumer.version,
                sequence=stored.sequence,
                handler=handler.name,
                stops=handler.on_failure is OnFailure.STOP,
            ),
            subject=f"consumer:{consumer.name}",
        )

    def _set_back(self) -> Step:
        """Set the consumer back to where somebody asked for a replay from."""
        consumer = self.consumer
        with self.database.unit_of_work(actor=consumer.actor) as unit:
            place = rows.lock_place(unit.connection, consumer.name, consumer.version)
            if place is None:
                return Step(Outcome.BUSY)
            if place.replay_from is None:
                return Step(Outcome.DELIVERED)
            at = place_before(unit.connection, place.replay_from)
            if place.replay_from <= 1:
                at = Cursor(0, NOTHING)
                if consumer.forget is not None:
                    consumer.forget(unit)
            letters.drop_from(unit.connection, consumer.name, consumer.version, place.replay_from)
            self._move(unit, at, max(0, place.replay_from - 1))
        return Step(Outcome.DELIVERED)

    def _replay_letter(self) -> Step:
        """Try a dead letter again that somebody asked for."""
        consumer = self.consumer
        try:
            with self.database.unit_of_work(actor=consumer.actor) as unit:
                if rows.lock_place(unit.connection, consumer.name, consumer.version) is None:
                    return Step(Outcome.BUSY)
                letter = letters.next_asked(unit.connection, consumer.name, consumer.version)
                if letter is None:
                    return Step(Outcome.DELIVERED)
                self._handle_letter(unit, letter)
        except _LetterFailed as failed:
            cause = failed.__cause__
            assert isinstance(cause, Exception)
            if _is_of_the_database(cause):
                raise cause from None
            with self.database.unit_of_work(actor=consumer.actor) as unit:
                letters.reopen(unit.connection, failed.letter, _describe(cause))
            return Step(Outcome.DELIVERED)
        return Step(Outcome.DELIVERED, 1)

    def _handle_letter(self, unit: UnitOfWork, letter: DeadLetter) -> None:
        try:
            heard = self._reader.read(read_one(unit.connection, letter.sequence))
            for handler in self.consumer.by_kind.get(letter.kind, ()):
                handler.call(unit, [heard] if handler.many else heard)
        except Exception as error:
            raise _LetterFailed(letter.id) from error
        assert letter.settled_by is not None, "somebody asked for the replay"
        letters.settle(
            unit.connection,
            letter,
            LetterState.REPLAYED,
            by=letter.settled_by,
            because=letter.settled_because or "",
        )


class _LetterFailed(Exception):
    """A handler raised on a dead letter again."""

    def __init__(self, letter: int) -> None:
        super().__init__(letter)
        self.letter = letter


_PASSING = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
)


def _is_of_the_database(error: Exception) -> bool:
    """Whether it is the database's trouble and not the fact's: tried again, never counted."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or isinstance(error.orig, _PASSING)


def _describe(error: Exception) -> str:
    text = error.orig if isinstance(error, DBAPIError) else error  # no statement, no parameters
    return mask_text(f"{type(text).__name__}: {text}")[:_ERROR_LENGTH]
