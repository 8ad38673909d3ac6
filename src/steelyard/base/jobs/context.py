"""What a running job is given: its database, its instant, its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from steelyard.base.database import Database, UnitOfWork
from steelyard.base.jobs.store import holds_job, read_step, write_step

T = TypeVar("T")


class StopSignal(Protocol):
    """An event of `threading` or `multiprocessing`: once set, the worker ends."""

    def is_set(self) -> bool:
        """Whether the worker is asked to end."""
        ...


class JobWasTakenOver(Exception):
    """Another worker owns the job by now: this one fell silent for too long and must not write."""


class JobHandedOver(Exception):
    """The worker ends, so the job goes back to its queue; not a failed try."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """One try of a job.

    Attributes
    ----------
    now : business instant at which the try began
    tick : the instant of the schedule that this run stands for, None for a deferred job
    attempt : number of the try, from 1
    platform : what the composition root gave the worker, for jobs that need a keyring or a gate
    """

    database: Database
    job_id: int
    job: str
    attempt: int
    now: datetime
    tick: datetime | None
    platform: Any
    worker_id: int = field(repr=False)
    _attempts: int = field(repr=False)
    _stops: tuple[StopSignal, ...] = field(repr=False)

    @property
    def actor(self) -> str:
        """The job as an actor of facts and audit lines."""
        return f"job:{self.job}"

    @property
    def should_stop(self) -> bool:
        """Whether the worker was asked to end; a long job looks here now and then."""
        return any(stop.is_set() for stop in self._stops)

    def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run one function as a unit of work that commits only while this try owns the job.

        A worker that was stopped or cut off and comes back later cannot write beside the one that
        took its job over.

        Raises
        ------
        JobWasTakenOver
            Nothing was written.
        """

        def fenced(unit: UnitOfWork) -> T:
            held = holds_job(
                unit.connection, self.job_id, worker_id=self.worker_id, attempts=self._attempts
            )
            if not held:
                raise JobWasTakenOver(self.job_id)
            return work(unit)

        return self.database.transact(fenced, actor=self.actor)

    def step(self, step: str, work: Callable[[UnitOfWork], object]) -> Any:
        """Run one step of a batch at most once for the whole life of the job.

        The writes of the step and the note that it is done commit together. When the job is tried
        again, taken over or replayed, a step that is done is not run: its output is returned.

        Parameters
        ----------
        step : its name within the job, e.g. `accounts:0-999`
        work : returns the output, small, as JSON values can hold it

        Returns
        -------
        Any
            The output as JSON brings it back, the first time too.

        Raises
        ------
        JobHandedOver
            The worker was asked to end before the step began; the job resumes elsewhere.
        """
        if self.should_stop:
            raise JobHandedOver(self.job_id)

        def once(unit: UnitOfWork) -> str:
            known = read_step(unit.connection, self.job_id, step)
            if known is not None:
                return known
            output = msgspec.json.encode(work(unit)).decode()
            write_step(unit.connection, self.job_id, step, output)
            return output

        return msgspec.json.decode(self.transact(once))
