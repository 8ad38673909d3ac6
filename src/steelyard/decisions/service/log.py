"""Decisions made durable before they are answered, used up once, and proved afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, cast
from uuid import UUID

import psycopg
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.decisions.model.decision import (
    LETS_PASS,
    Decision,
    chained,
    instant,
    record_of,
)
from steelyard.decisions.store import log as store
from steelyard.decisions.store.folds import HeardFold
from steelyard.decisions.store.log import Batch, FoldedTo, Line, Tenure
from steelyard.kernel import Refusal, RefusalKind


class DecisionIsUnknown(Refusal):
    """No decision has this id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no decision {id}."
    zh = "没有编号为 {id} 的决策。"


class DecisionDoesNotLetPass(Refusal):
    """Its outcome, or its limit, does not allow what would consume it."""

    kind = RefusalKind.FORBIDDEN
    en = "Decision {id} says {outcome}: this may not pass."
    zh = "决策 {id} 的结论为 {outcome}，不予放行。"


class DecisionIsExpired(Refusal):
    """It was made too long ago."""

    kind = RefusalKind.CONFLICT
    en = "Decision {id} could be used until {expired_at}."
    zh = "决策 {id} 已于 {expired_at} 失效。"


class DecisionIsUsed(Refusal):
    """Something else consumed it."""

    kind = RefusalKind.CONFLICT
    en = "Decision {id} was used for {by}."
    zh = "决策 {id} 已被 {by} 使用。"


class OwnerIsAway(Refusal):
    """Nobody decides at this moment: the owner is being started or taken over."""

    kind = RefusalKind.UNAVAILABLE
    en = "No process decides at this moment; ask again in a moment."
    zh = "决策进程暂不可用，请稍后重试。"


class TenureIsOver(Exception):
    """Another process has taken the shard over: this one must not answer any more."""


class DecisionLog:
    """Appends decisions to the chain of one shard, as long as the tenure lasts.

    Parameters
    ----------
    database : its pool lends one connection at a time
    holder, address : who takes the shard, and where it answers
    ticket : what it wants to be shown there
    """

    def __init__(
        self,
        database: Database,
        *,
        shard: int = 0,
        holder: str,
        address: str = "",
        ticket: str = "",
    ) -> None:
        self.database = database
        # One statement is a transaction of its own: BEGIN and COMMIT would be two more round trips,
        # and each wakes this thread against the one that decides.
        self._statements = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._place = {"holder": holder, "address": address, "ticket": ticket}
        with database.engine.begin() as connection:
            self.tenure: Tenure = store.take_over(connection, shard, **self._place)
        self.head = self.tenure.head
        self._folded_to = self.tenure.fold_seq
        self._line: psycopg.AsyncConnection[Any] | None = None

    def write(self, folds: Sequence[Decision | HeardFold]) -> None:
        """Append a batch, in the order of folding, in one statement; then it is durable.

        Raises
        ------
        TenureIsOver
            Nothing was written. After any error the caller rebuilds before it answers again: what
            it folded may not be what is kept.
        """
        batch = self._batch(folds)
        with self._statements.connect() as connection:
            done = store.append(connection, self.tenure, batch)
        self._go_on(batch, done=done)

    async def write_soon(self, folds: Sequence[Decision | HeardFold]) -> None:
        """Append a batch, as `write` does, while the loop goes on with other questions.

        One thread for deciding and writing: two would wait for each other's interpreter lock, up to
        five milliseconds at each turn.
        """
        batch = self._batch(folds)
        if self._line is None or self._line.closed:
            self._line = await self.open_line()
        self._go_on(batch, done=await store.append_soon(self._line, self.tenure, batch))

    async def open_line(self) -> psycopg.AsyncConnection[Any]:
        """Return a new connection for statements of the event loop, each its own transaction."""
        url = self.database.url.replace("postgresql+psycopg://", "postgresql://")
        return await psycopg.AsyncConnection.connect(url, autocommit=True)

    def renew(self) -> None:
        """Begin a new epoch of the own tenure: what an earlier batch may still do is fenced.

        Raises
        ------
        TenureIsOver
        """
        self.close()
        with self.database.engine.begin() as connection:
            present = store.find_owner(connection, self.tenure.shard)
            if present is None or present.epoch != self.tenure.epoch:
                raise TenureIsOver
            self.tenure = store.take_over(connection, self.tenure.shard, **self._place)
        self._folded_to = self.tenure.fold_seq

    def close(self) -> None:
        """Close the connection that `write_soon` keeps."""
        if self._line is not None:
            self._line.pgconn.finish()  # as `AsyncConnection.close` does, and needs no loop
            self._line = None

    def _go_on(self, batch: Batch, *, done: bool) -> None:
        if not done:
            raise TenureIsOver
        if batch.records:
            self.head = batch.records[-1][1]
        self._folded_to = batch.to.fold_seq

    def _batch(self, folds: Sequence[Decision | HeardFold]) -> Batch:
        head, folded_to, heard_to = self.head, self._folded_to, 0
        decisions: list[Decision] = []
        records: list[tuple[bytes, bytes]] = []
        heard: list[HeardFold] = []
        for fold in folds:
            if isinstance(fold, Decision):
                record = record_of(fold)
                head = chained(head, record)
                decisions.append(fold)
                records.append((record, head))
                folded_to = fold.sequence
            else:
                heard_to = fold.heard_to or heard_to
                if fold.fold_seq is not None:
                    heard.append(fold)
                    folded_to = fold.fold_seq
        return Batch(decisions, records, heard, FoldedTo(folded_to, heard_to))


class LogWriter:
    """Group commit for an event loop: what waits while one batch is written is the next batch.

    Parameters
    ----------
    write : appends a batch while the loop goes on
    """

    def __init__(
        self,
        write: Callable[[list[Decision | HeardFold]], Awaitable[None]],
        *,
        max_batch: int = 1_000,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        # In the order of the calls; what is being written stays until it is durable.
        self._unwritten: dict[UUID | int, _Waiting] = {}
        self._task: asyncio.Task[None] | None = None
        self.failed: Exception | None = None
        """Why nothing is written any more; every later caller is told the same."""
        self.lost: frozenset[tuple[str, str]] = frozenset()
        """Scene and id of the questions whose decisions were not written when it failed."""

    async def durable(self, decision: Decision) -> None:
        """Return when the decision is durable; decisions are written in the order of the calls."""
        if self.failed is not None:
            raise self.failed
        future = asyncio.get_running_loop().create_future()
        self._unwritten[decision.id] = _Waiting(decision, future)
        self._wake()
        await asyncio.shield(future)  # a caller who goes away takes nobody with him

    def heard(self, fold: HeardFold) -> None:
        """Have it written where something heard was folded; nobody waits for it."""
        self._unwritten[fold.told.arrival] = _Waiting(fold, None)
        self._wake()

    async def settled(self) -> None:
        """Return when nothing waits to be written, or writing has failed."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def waiting(self) -> list[Decision | HeardFold]:
        """Return what is not written yet, in the order of folding."""
        return [one.fold for one in self._unwritten.values()]

    def unwritten(self, id: UUID) -> Decision | None:
        """Return a decision that was given to `durable` and is not durable yet."""
        found = self._unwritten.get(id)
        return None if found is None else cast("Decision", found.fold)

    async def written(self, id: UUID) -> None:
        """Return when a decision that was given to `durable` is durable; at once if it is."""
        found = self._unwritten.get(id)
        if found is not None:
            assert found.future is not None
            await asyncio.shield(found.future)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        while self._unwritten:
            batch = list(islice(self._unwritten.items(), self._max_batch))
            folds = [waiting.fold for _, waiting in batch]
            try:
                await self._write(folds)
            except Exception as error:
                self._give_up(error)
                return
            for key, waiting in batch:
                del self._unwritten[key]
                if waiting.future is not None:
                    waiting.future.set_result(None)

    def _give_up(self, error: Exception) -> None:
        self.failed = error
        lost = set()
        for fold, future in self._unwritten.values():
            if future is not None:
                future.set_exception(error)
                future.exception()  # somebody who went away does not ask for it
            if isinstance(fold, Decision):
                lost.add((fold.asked.scene, fold.asked.id))
        self._unwritten.clear()
        self.lost = frozenset(lost)


class _Waiting(NamedTuple):
    """What is not written yet, and who waits for it."""

    fold: Decision | HeardFold
    future: asyncio.Future[None] | None


def consume(unit: UnitOfWork, id: UUID, *, by: str, amount_minor: int | None = None) -> Decision:
    """Use a decision up, in the transaction of what it lets pass; and return it.

    Parameters
    ----------
    by : what it lets pass, `noun:id`; the same again is no second use
    amount_minor : checked against the limit of the decision

    Refusals
    --------
    decision_is_unknown, decision_does_not_let_pass, decision_is_expired, decision_is_used
    """
    (decision,) = consume_all(unit, [Use(id, by, amount_minor)])
    return decision


@dataclass(frozen=True, slots=True)
class Use:
    """A decision and what it lets pass; see `consume`."""

    id: UUID
    by: str
    amount_minor: int | None = None


def consume_all(unit: UnitOfWork, uses: Sequence[Use]) -> list[Decision]:
    """Use decisions up, all or none, with two statements; and return them in the order of the uses.

    Refusals
    --------
    those of `consume`, for the first use that is refused
    """
    found = store.read_uses(unit.connection, [use.id for use in uses])
    fresh: list[Use] = []
    decisions: list[Decision] = []
    for use in uses:
        if use.id not in found:
            raise DecisionIsUnknown(id=use.id)
        decision, used_by = found[use.id]
        if decision.outcome not in LETS_PASS or (
            decision.limit_minor is not None
            and (use.amount_minor is None or use.amount_minor > decision.limit_minor)
        ):
            raise DecisionDoesNotLetPass(id=use.id, outcome=decision.outcome)
        if used_by is None:
            if unit.now > instant(decision.expires_at_ms):
                expired_at = instant(decision.expires_at_ms).isoformat()
                raise DecisionIsExpired(id=use.id, expired_at=expired_at)
            fresh.append(use)
        elif used_by != use.by:
            raise DecisionIsUsed(id=use.id, by=used_by)
        decisions.append(decision)
    rows = [(use.id, use.by, use.amount_minor) for use in fresh]
    wanted = {use.id: use.by for use in fresh}
    for id, by in store.consume(unit.connection, rows, at=unit.now).items():
        if wanted[id] != by:
            raise DecisionIsUsed(id=id, by=by)
    return decisions


def read_decision(connection: sa.Connection, id: UUID) -> Line:
    """Return the line of a decision.

    Refusals
    --------
    decision_is_unknown
    """
    line = store.read_line(connection, id)
    if line is None:
        raise DecisionIsUnknown(id=id)
    return line


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What reading a whole chain found.

    Attributes
    ----------
    decisions : lines read
    first_bad : number of the first line that does not fit, None when all do
    """

    decisions: int
    head: bytes
    first_bad: int | None


def verify_log(connection: sa.Connection, *, shard: int = 0) -> ChainReport:
    """Read the chain of a shard from its beginning, and compute every hash again."""
    head, count = b"", 0
    for line in store.read_lines(connection, shard):
        if line.number != count + 1 or chained(head, line.record) != line.hash:
            return ChainReport(count, head, line.number)
        head, count = line.hash, count + 1
    return ChainReport(count, head, None)
