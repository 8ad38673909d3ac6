"""Group commit: many callers, each with one transfer and waiting for it to be durable.

The callers' items wait in a list. One writer thread takes all that wait, runs them as one
transaction, and answers after COMMIT. There is no timer: while one batch commits the next collects,
so the size of a batch follows the load, and a lone caller waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from steelyard.base import Database, Fact, Recorded, UnitOfWork
from steelyard.ledger.model.decide import decide, microseconds
from steelyard.ledger.model.entries import link
from steelyard.ledger.model.refusals import LedgerIsBusy, PostingIsUnknown
from steelyard.ledger.model.transfers import Answer, Outcome, Transfer
from steelyard.ledger.service.facts import subject_of, transfer_posted
from steelyard.ledger.service.posting import count_answers
from steelyard.ledger.store.posting import read_state, write_records

R = TypeVar("R")
C = TypeVar("C", contravariant=True)
Answers = tuple[Answer, ...]

MAX_BATCH = 2_000
"""Transfers in one transaction, far under the 2 s that a writing transaction may last."""
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.05
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_GONE = (psycopg.OperationalError, psycopg.InterfaceError)


class RiderKind(Protocol[C]):
    """A kind of row that items carry through the queue; registered when the queue is made.

    Both verbs get the rows of a whole batch and send one statement each.
    """

    @property
    def name(self) -> str:
        """Under which items name it."""
        ...

    def lock(self, connection: sa.Connection, rows: Sequence[C]) -> Sequence[bool]:
        """Lock what the rows consume, before the books; say of each whether it still can be.

        Of several rows of a batch that consume the same thing, the first is told yes.
        """
        ...

    def write(self, connection: sa.Connection, rows: Sequence[C]) -> None:
        """Write the rows of the items that were created."""
        ...


@dataclass(frozen=True, slots=True)
class Rider(Generic[R]):
    """A row that is written if the item is created, and makes it `stale` if it cannot be."""

    kind: str
    row: R


@dataclass(frozen=True, slots=True)
class Item:
    """What one caller posts: a transfer, or several that stand or fall together.

    Attributes
    ----------
    transfers : at least one; several are made a linked chain
    facts : further facts with their subjects, recorded if the transfers are created
    riders : rows of registered kinds
    """

    transfers: tuple[Transfer, ...]
    actor: str = "system:steelyard"
    facts: tuple[tuple[Fact, str], ...] = ()
    riders: tuple[Rider[Any], ...] = ()

    def __post_init__(self) -> None:
        if not self.transfers:
            raise ValueError("an item has at least one transfer")
        if len(self.transfers) > MAX_BATCH:
            raise ValueError(f"an item has at most {MAX_BATCH} transfers")
        if len(self.transfers) > 1 or self.transfers[0].linked:
            object.__setattr__(self, "transfers", link(self.transfers))


class _Waiting:
    """An item in the queue, and where its answer goes."""

    __slots__ = ("future", "item", "loop")

    def __init__(
        self,
        item: Item,
        future: Future[Answers] | asyncio.Future[Answers],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.item = item
        self.future = future
        self.loop = loop


class GroupCommit:
    """The in-process queue of the hot path; several processes may have one on the same book.

    An answer is given after COMMIT has returned. A refusal is an answer, and never fails a batch. A
    database error rolls the batch back, and it is run again in halves until the item at fault
    stands alone; the others get their answers. A caller who goes away may find its transfer made:
    it asks again with the same id. When the database has gone, callers get `posting_is_unknown`.

    Parameters
    ----------
    database : its pool lends the writer one connection at a time
    capacity : transfers that may wait; beyond it callers are refused
    max_batch : transfers in one transaction, at least
    riders : the kinds of rows that items may carry

    Examples
    --------
    ::

        with GroupCommit(database) as queue:
            (answer,) = await queue.post_async(Item((transfer,)))
    """

    def __init__(
        self,
        database: Database,
        *,
        capacity: int = 20_000,
        max_batch: int = MAX_BATCH,
        riders: Sequence[RiderKind[Any]] = (),
    ) -> None:
        self._database = database
        self._capacity = capacity
        self._max_batch = max_batch
        self._riders: Mapping[str, RiderKind[Any]] = {k.name: k for k in riders}
        self._waiting: deque[_Waiting] = deque()
        self._size = 0
        self._condition = threading.Condition()
        self._closing = False
        self._stop = threading.Event()
        self.batches = 0
        """How many transactions were committed."""
        self._writer = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
        self._writer.start()

    def submit(self, item: Item) -> Future[Answers]:
        """Queue an item, and return the future of its answers, one for each transfer.

        Refusals
        --------
        ledger_is_busy : at once, nothing was queued
        posting_is_unknown : by the future
        """
        future: Future[Answers] = Future()
        self._enqueue(_Waiting(item, future, None))
        return future

    async def post_async(self, item: Item) -> Answers:
        """Queue an item, and wait for its answers, one for each transfer.

        Refusals
        --------
        ledger_is_busy, posting_is_unknown
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answers] = loop.create_future()
        self._enqueue(_Waiting(item, future, loop))
        return await future

    def close(self) -> None:
        """Write what waits, and end the writer; afterwards every item is refused as busy."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._writer.join()

    def __enter__(self) -> GroupCommit:
        """Return the queue."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _enqueue(self, waiting: _Waiting) -> None:
        for rider in waiting.item.riders:
            if rider.kind not in self._riders:
                raise ValueError(f"the queue knows no rider {rider.kind}")
        with self._condition:
            size = len(waiting.item.transfers)
            if self._closing or self._size + size > self._capacity:
                raise LedgerIsBusy
            self._waiting.append(waiting)
            self._size += size
            if len(self._waiting) == 1:
                self._condition.notify()

    def _take(self) -> list[_Waiting]:
        """Return what waits, up to a batch; empty when the queue is closed and written."""
        with self._condition:
            while not self._waiting and not self._closing:
                self._condition.wait()
            taken: list[_Waiting] = []
            size = 0
            while self._waiting and size < self._max_batch:
                taken.append(self._waiting.popleft())
                size += len(taken[-1].item.transfers)
            self._size -= size
            return taken

    def _write(self) -> None:
        while taken := self._take():
            self._run(taken)

    def _run(self, batch: list[_Waiting]) -> None:
        """Post a batch and answer; at a fault, in halves."""
        try:
            answers = self._insist([waiting.item for waiting in batch])
        except PostingIsUnknown as unknown:
            _fail(batch, unknown)
        except Exception as fault:
            if len(batch) == 1:
                _fail(batch, fault)
                return
            middle = len(batch) // 2
            self._run(batch[:middle])
            self._run(batch[middle:])
        else:
            self.batches += 1
            count_answers(answer for own in answers for answer in own)
            _answer(batch, answers)

    def _insist(self, items: Sequence[Item]) -> list[Answers]:
        """Post items; again where the transaction was a victim, or the connection was lost.

        An item that was committed before the connection was lost is answered by `exists`.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._database.unit_of_work() as uow:
                    answers = self._post(uow, items)
                return answers
            except DBAPIError as error:
                cause = error.orig
                # A deadlock is also an OperationalError of the driver: asked first.
                was_victim = isinstance(cause, _AGAIN)
                if not was_victim and not isinstance(cause, _GONE):
                    raise
                if attempt == _ATTEMPTS - 1:
                    raise PostingIsUnknown from error
                if not was_victim:
                    self._stop.wait(_FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def _post(self, uow: UnitOfWork, items: Sequence[Item]) -> list[Answers]:
        """Post the items in one transaction: riders locked, books locked, all of it written."""
        stale = self._lock_riders(uow, items)
        transfers = [t for item in items for t in item.transfers]
        decision = decide(
            transfers, read_state(uow.driver, transfers), at=microseconds(uow.now), stale=stale
        )
        # Sent without waiting: the server writes the rows while the facts are made.
        with uow.driver.pipeline():
            if decision.records:
                write_records(uow.driver, decision.records)
            answers: list[Answers] = []
            recorded: list[Recorded] = []
            riders: dict[str, list[Any]] = {}
            now, start = uow.now, 0
            for item in items:
                end = start + len(item.transfers)
                own = tuple(decision.answers[start:end])
                start = end
                answers.append(own)
                if own[0].outcome is not Outcome.CREATED:
                    continue
                for answer in own:
                    record = answer.record
                    assert record is not None
                    posted, subject = transfer_posted(record), subject_of(record)
                    recorded.append(Recorded(posted, subject, now, now, item.actor))
                for fact, subject in item.facts:
                    recorded.append(Recorded(fact, subject, now, now, item.actor))
                for rider in item.riders:
                    riders.setdefault(rider.kind, []).append(rider.row)
            if recorded:
                self._database.facts.write(uow.connection, recorded)
        for kind in sorted(riders):
            self._riders[kind].write(uow.connection, riders[kind])
        return answers

    def _lock_riders(self, uow: UnitOfWork, items: Sequence[Item]) -> set[Any]:
        """Lock what the riders consume; return the ids of the items that can no longer have it."""
        carried: dict[str, list[tuple[Item, Any]]] = {}
        for item in items:
            for rider in item.riders:
                carried.setdefault(rider.kind, []).append((item, rider.row))
        stale: set[Any] = set()
        for kind in sorted(carried):
            free = self._riders[kind].lock(uow.connection, [row for _, row in carried[kind]])
            for (item, _), is_free in zip(carried[kind], free, strict=True):
                if not is_free:
                    stale.update(t.id for t in item.transfers)
        return stale


def _answer(batch: Sequence[_Waiting], answers: Sequence[Answers]) -> None:
    """Give every caller its answers; callers of one event loop with one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Answers]]] = {}
    for waiting, own in zip(batch, answers, strict=True):
        if waiting.loop is not None:
            by_loop.setdefault(waiting.loop, []).append((waiting, own))
        elif not waiting.future.cancelled():
            waiting.future.set_result(own)
    for loop, pairs in by_loop.items():
        _call(loop, _resolve, pairs)


def _resolve(pairs: Sequence[tuple[_Waiting, Answers]]) -> None:
    for waiting, answers in pairs:
        if not waiting.future.done():
            waiting.future.set_result(answers)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if waiting.loop is not None:
            _call(waiting.loop, _reject, [(waiting, error)])
        elif not waiting.future.cancelled():
            waiting.future.set_exception(error)


def _reject(pairs: Sequence[tuple[_Waiting, Exception]]) -> None:
    for waiting, error in pairs:
        if not waiting.future.done():
            waiting.future.set_exception(error)


def _call(loop: asyncio.AbstractEventLoop, function: Any, pairs: Sequence[Any]) -> None:
    """Call a function on a loop, unless the loop has ended and nobody waits any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, pairs)
