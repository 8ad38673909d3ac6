"""Lanes: what waits while one batch is worked on is the next batch; each caller gets his answer.

There is no timer: a lone caller waits for nobody, and the size of a batch follows the load. A lane
holds a bounded number of callers; beyond it they are refused at once, so that a rush is felt at the
door and nothing that was let in is lost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Refusal, RefusalKind

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


class PaymentsAreBusy(Refusal):
    """More payments wait than may wait; nothing was begun, the same may be sent again."""

    kind = RefusalKind.UNAVAILABLE
    en = "{waiting} payments wait already; send the same again in a moment."
    zh = "已有 {waiting} 笔支付在排队，请稍后重发同一请求。"


class Lane(Generic[I, R]):
    """Callers on threads, each with an item, share the work of a batch.

    Where a batch fails it is tried again in halves, down to the item at fault, which alone is told.

    Parameters
    ----------
    work : does a batch, and returns an answer for each item, in order; an answer that is a refusal
        is raised to its caller
    capacity : how many may wait
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[I]], Sequence[R | Refusal]],
        *,
        capacity: int = 500,
        max_batch: int = 100,
    ) -> None:
        self._work = work
        self._capacity = capacity
        self._max_batch = max_batch
        self._waiting: deque[tuple[I, Future[R]]] = deque()
        self._condition = threading.Condition()
        self._is_closing = False
        self.batches = 0
        """How many batches were worked on, halves counted apart."""
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)
        self._thread.start()

    def call(self, item: I) -> R:
        """Wait for the answer to an item.

        Refusals
        --------
        payments_are_busy : at once, nothing was begun; and what the work refuses
        """
        future: Future[R] = Future()
        with self._condition:
            if self._is_closing or len(self._waiting) >= self._capacity:
                raise PaymentsAreBusy(waiting=len(self._waiting))
            self._add(item, future)
        return future.result()

    def put(self, item: I) -> None:
        """Have an item worked on in its turn that nobody waits for, however many wait.

        Of a lane that is closed it is dropped.
        """
        with self._condition:
            if not self._is_closing:
                self._add(item, Future())

    def _add(self, item: I, future: Future[R]) -> None:
        self._waiting.append((item, future))
        if len(self._waiting) == 1:
            self._condition.notify()

    def close(self) -> None:
        """Do what waits, and end; afterwards every item is refused."""
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            self._do(batch)

    def _take(self) -> list[tuple[I, Future[R]]]:
        with self._condition:
            while not self._waiting and not self._is_closing:
                self._condition.wait()
            many = min(len(self._waiting), self._max_batch)
            return [self._waiting.popleft() for _ in range(many)]

    def _do(self, batch: list[tuple[I, Future[R]]]) -> None:
        self.batches += 1
        try:
            answers = self._work([item for item, _ in batch])
        except Exception as fault:
            if len(batch) == 1:
                batch[0][1].set_exception(fault)
                return
            middle = len(batch) // 2
            self._do(batch[:middle])
            self._do(batch[middle:])
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Refusal):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def in_one_transaction(
    database: Database,
    work: Callable[[UnitOfWork, Sequence[I]], Sequence[R | Refusal]],
    *,
    actor: str = "system:payments",
) -> Callable[[Sequence[I]], Sequence[R | Refusal]]:
    """Return the work of a lane whose batches are one transaction each."""
    return lambda items: database.transact(lambda unit: work(unit, items), actor=actor)
