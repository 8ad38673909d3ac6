"""Jobs: work deferred in a transaction, run by worker processes, at least once, never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steelyard.base.jobs.context import JobContext, JobHandedOver, JobWasTakenOver, StopSignal
from steelyard.base.jobs.model import Daily, Every, Job, Retry, Schedule, job, jobs
from steelyard.base.jobs.store import (
    DeadJob,
    JobCounts,
    JobIsNotDead,
    defer,
    enrol_schedules,
    job_counts,
    list_dead,
    replay_dead,
    steps,
    watch_jobs,
)

if TYPE_CHECKING:
    from steelyard.base.jobs.worker import Pace, run_worker, run_worker_async

__all__ = [
    "Daily",
    "DeadJob",
    "Every",
    "Job",
    "JobContext",
    "JobCounts",
    "JobHandedOver",
    "JobIsNotDead",
    "JobWasTakenOver",
    "Pace",
    "Retry",
    "Schedule",
    "StopSignal",
    "defer",
    "enrol_schedules",
    "job",
    "job_counts",
    "jobs",
    "list_dead",
    "replay_dead",
    "run_worker",
    "run_worker_async",
    "steps",
    "watch_jobs",
]

_OF_THE_WORKER = ("Pace", "run_worker", "run_worker_async")


def __getattr__(name: str) -> Any:
    # The worker brings procrastinate and its event loop; who only defers does not pay for them.
    if name in _OF_THE_WORKER:
        from steelyard.base.jobs import worker

        return getattr(worker, name)
    raise AttributeError(name)
