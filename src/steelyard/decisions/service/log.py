"""Decisions made durable before they are answered, used up once, and proved afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

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
from steelyard.decisions.store.log import Line, Tenure
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


class TenureIsOver(Exception):
    """Another process has taken the shard over: this one must not answer any more."""


class DecisionLog:
    """Appends decisions to the chain of one shard, as long as the tenure lasts.

    Parameters
    ----------
    database : its pool lends one connection at a time
    holder, address : who takes the shard, and where it answers
    """

    def __init__(
        self, database: Database, *, shard: int = 0, holder: str, address: str = ""
    ) -> None:
        self.database = database
        with database.engine.begin() as connection:
            self.tenure: Tenure = store.take_over(connection, shard, holder=holder, address=address)
        self.head = self.tenure.head

    def write(self, decisions: Sequence[Decision], *, fold_seq: int) -> None:
        """Append a batch in one transaction; when this returns it is durable.

        Raises
        ------
        TenureIsOver
            Nothing was written. After any error the caller rebuilds before it answers again: what
            it folded may not be what is kept.
        """
        head = self.head
        records: list[tuple[bytes, bytes]] = []
        for decision in decisions:
            record = record_of(decision)
            head = chained(head, record)
            records.append((record, head))
        with self.database.engine.begin() as connection:
            done = store.append(connection, self.tenure, decisions, records, fold_seq=fold_seq)
        if not done:
            raise TenureIsOver
        self.head = head


class LogWriter:
    """Group commit for an event loop: what waits while one batch is written is the next batch.

    Parameters
    ----------
    write : appends a batch, off the loop
    """

    def __init__(self, write: Callable[[list[Decision]], None], *, max_batch: int = 1_000) -> None:
        self._write = write
        self._max_batch = max_batch
        self._waiting: list[tuple[Decision, asyncio.Future[None]]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decision-log")
        self._task: asyncio.Task[None] | None = None
        self.failed: BaseException | None = None
        """Why nothing is written any more; every later caller is told the same."""

    async def durable(self, decision: Decision) -> None:
        """Return when the decision is durable; decisions are written in the order of the calls."""
        if self.failed is not None:
            raise self.failed
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((decision, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await future

    def close(self) -> None:
        """Let the thread go; nothing may wait."""
        self._pool.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._waiting[: self._max_batch]
            del self._waiting[: self._max_batch]
            try:
                await loop.run_in_executor(self._pool, self._write, [d for d, _ in batch])
            except Exception as error:
                self.failed = error
                for _, future in [*batch, *self._waiting]:
                    if not future.done():
                        future.set_exception(error)
                self._waiting.clear()
                return
            for _, future in batch:
                if not future.done():
                    future.set_result(None)


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
    line = store.read_line(unit.connection, id)
    if line is None:
        raise DecisionIsUnknown(id=id)
    decision = line.decision
    if decision.outcome not in LETS_PASS or (
        decision.limit_minor is not None
        and (amount_minor is None or amount_minor > decision.limit_minor)
    ):
        raise DecisionDoesNotLetPass(id=id, outcome=decision.outcome)
    used_by = store.consumer_of(unit.connection, id)
    if used_by is None:
        if unit.now > instant(decision.expires_at_ms):
            expired_at = instant(decision.expires_at_ms).isoformat()
            raise DecisionIsExpired(id=id, expired_at=expired_at)
        if store.consume(unit.connection, id, by=by, amount_minor=amount_minor, at=unit.now):
            return decision
        used_by = store.consumer_of(unit.connection, id)
    if used_by != by:
        raise DecisionIsUsed(id=id, by=used_by)
    return decision


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
