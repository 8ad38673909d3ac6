"""The runner: threads of this process that keep consumers up with the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread
from types import TracebackType

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.events.model.consumption import Progress
from steelyard.events.service.bell import DUTY, Bell
from steelyard.events.service.consumers import Consumer, check_consumers
from steelyard.events.service.delivery import Delivery, Outcome, Step, enrol

IDLE = 5.0
"""Seconds after which a consumer looks for work though nobody rang."""
TROUBLE = 1.0


class Runner:
    """Runs consumers in this process, each in a thread, for those whose lease it can have.

    A consumer runs in one process at a time. When that process dies, the server gives its lease
    back, and another runner has it within a second.

    Examples
    --------
    Inside a server's lifetime: `with Runner(database, consumers): serve()`.
    """

    def __init__(self, database: Database, consumers: Sequence[Consumer]) -> None:
        check_consumers(consumers)
        self.database = database
        self.consumers = tuple(consumers)
        self.bell = Bell(database, leases=[(c.name, c.version) for c in consumers])
        self._stopping = Event()
        self._threads = [
            Thread(target=self._run, args=(c,), name=f"events-{c.name}", daemon=True)
            for c in consumers
        ]

    def __enter__(self) -> Runner:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Note what the consumers hear, and begin to deliver."""
        for consumer in self.consumers:
            enrol(self.database, consumer)
        self.bell.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the batches being delivered, and give the leases back."""
        self._stopping.set()
        self.bell.ring()
        for thread in self._threads:
            thread.join()
        self.bell.stop()

    def _run(self, consumer: Consumer) -> None:
        delivery = Delivery(self.database, consumer)
        key = consumer.name, consumer.version
        while not self._stopping.is_set():
            generation = self.bell.generation
            if key not in self.bell.held:
                self.bell.wait(generation, IDLE)
                continue
            try:
                step = delivery.step()
            except Exception as error:
                # The database went away, or a fault of ours: either way the place is unchanged.
                say = get_logger("events")
                (say.warning if isinstance(error, DBAPIError) else say.exception)(
                    "consumer_step_failed", consumer=consumer.name, error=str(error)
                )
                self._stopping.wait(TROUBLE)
                continue
            self._rest(step, generation)

    def _rest(self, step: Step, generation: int) -> None:
        """Wait for what the step said is missing."""
        if step.outcome is Outcome.BUSY:
            self._stopping.wait(DUTY)
        elif step.retry_at is not None:
            left = (step.retry_at - self.database.wall.now()).total_seconds()
            self.bell.wait(generation, max(0.0, min(left, IDLE)))
        elif step.outcome in (Outcome.IDLE, Outcome.STOPPED):
            self.bell.wait(generation, IDLE)


def drain(
    database: Database,
    consumers: Sequence[Consumer],
    *,
    progress: Callable[[Progress], None] | None = None,
) -> int:
    """Deliver, in this thread, everything that can be delivered now; return how many facts.

    A consumer that waits for a retry, is stopped at a dead letter, or is run by another process is
    left where it is.

    Parameters
    ----------
    progress : told after each batch, in sequence numbers over all consumers
    """
    check_consumers(consumers)
    with database.reading() as connection:
        last = connection.execute(sa.text("SELECT max(sequence) FROM events.log")).scalar()
    delivered = 0
    for nth, consumer in enumerate(consumers):
        delivery = Delivery(database, consumer)
        while True:
            step = delivery.step()
            delivered += step.facts
            if step.outcome is not Outcome.DELIVERED:
                break
            if progress is not None and last:
                done = min(last, delivery.delivered_sequence)
                progress(Progress(nth * last + done, len(consumers) * last))
        if progress is not None and last:
            progress(Progress((nth + 1) * last, len(consumers) * last))
    return delivered
