"""The worker process: procrastinate runs the jobs, a second thread keeps the house."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import procrastinate
import psycopg
import sqlalchemy as sa
from procrastinate import JobContext as Run
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as Row
from procrastinate.jobs import Status
from procrastinate.manager import JobManager, NotificationCallback

from steelyard.base.database import Database
from steelyard.base.jobs.context import JobContext, JobHandedOver, JobWasTakenOver, StopSignal
from steelyard.base.jobs.model import Job, Retry, jobs
from steelyard.base.jobs.store import (
    defer_ticks,
    enrol_schedules,
    forget_old,
    job_counts,
    note_failure,
    release_due,
    take_over,
)
from steelyard.base.telemetry import get_logger, log_context, mask_text, span
from steelyard.base.telemetry.metrics import JOB_SECONDS, JOBS, timed
from steelyard.kernel import Refusal, RefusalKind

_LOG = get_logger("jobs")
_HOPELESS = frozenset(
    {
        RefusalKind.INVALID,
        RefusalKind.UNAUTHENTICATED,
        RefusalKind.FORBIDDEN,
        RefusalKind.NOT_FOUND,
        RefusalKind.TOO_LARGE,
    }
)
_FORGET_EVERY = 60.0
_SETTLE_TRIES = 30
_HEED = 0.1
"""Seconds after which a stop signal of another process is heeded."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a worker notices things; all in real time.

    Attributes
    ----------
    look : how often schedules, due jobs and silent workers are looked for; new jobs are heard of at
        once, and looked for as often in case that was missed
    beat : how often a worker says that it is alive
    silent : a worker not heard for so long is given up and its jobs are taken over; several beats,
        so that a busy machine does not give up the living
    grace : how long the jobs of a stopping worker may go on
    keep : how long jobs that ended well are kept
    """

    look: timedelta = timedelta(seconds=1)
    beat: timedelta = timedelta(seconds=1)
    silent: timedelta = timedelta(seconds=5)
    grace: timedelta = timedelta(seconds=20)
    keep: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        assert self.beat * 3 <= self.silent, "the living would be given up"


def _is_not_ours(record: logging.LogRecord) -> bool:
    return getattr(record, "action", None) not in ("job_error", "job_error_retry")


# A failed try is logged here, with its job; procrastinate's own line would be the second.
logging.getLogger("procrastinate.worker").addFilter(_is_not_ours)

# The two places where procrastinate is told our rules


class _Rule(procrastinate.BaseRetryStrategy):
    """Tries again with a growing wait, until the tries are used up or there is no hope."""

    def __init__(self, retry: Retry, handed_over: set[int]) -> None:
        self.retry = retry
        self.handed_over = handed_over

    def get_retry_decision(
        self, *, exception: BaseException, job: Row
    ) -> procrastinate.RetryDecision | None:
        assert job.id is not None
        if isinstance(exception, JobHandedOver):
            self.handed_over.add(job.id)
            return procrastinate.RetryDecision(retry_at=datetime.now(UTC))
        hopeless = isinstance(exception, Refusal) and exception.kind in _HOPELESS
        if hopeless or job.attempts + 1 >= self.retry.attempts:
            return None
        wait = self.retry.wait(job.attempts + 1)
        return procrastinate.RetryDecision(retry_at=datetime.now(UTC) + wait)


class _FencedManager(JobManager):
    """Settles a try only if it still owns the job, and insists when the database is away.

    Procrastinate settles by the id alone: a worker that was taken for dead would end the try of
    the one that took over. And it settles once: a connection lost at that moment would leave the
    job running for ever in the hands of a living worker.
    """

    def __init__(self, connector: procrastinate.PsycopgConnector) -> None:
        super().__init__(connector)
        self.handed_over: set[int] = set()

    async def finish_job(self, job: Row, status: Status, delete_job: bool) -> None:  # noqa: FBT001
        await self._settle(
            job,
            "UPDATE procrastinate_jobs SET status = %(status)s::procrastinate_job_status,"
            " attempts = attempts + 1, abort_requested = false",
            status=status.value,
        )

    async def retry_job(
        self,
        job: Row,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        was_handed_over = job.id in self.handed_over
        self.handed_over.discard(job.id or 0)
        await self._settle(
            job,
            # Another job of its key may wait by now; the index allows one.
            "UPDATE procrastinate_jobs SET status = 'todo', queueing_lock = NULL,"
            " attempts = attempts + %(counted)s, scheduled_at = %(at)s, abort_requested = false",
            counted=0 if was_handed_over else 1,
            at=retry_at,
        )

    # A worker that has lost its heartbeat or its ear would go on without, and never get them back.

    async def update_heartbeat(self, worker_id: int) -> None:
        try:
            await super().update_heartbeat(worker_id)
        except ConnectorException as error:
            _LOG.warning("heartbeat_failed", error=str(error.__cause__ or error))

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        while True:
            try:
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            except ConnectorException:
                await asyncio.sleep(1)

    async def _settle(self, job: Row, update: str, **values: Any) -> None:
        query = (
            f"{update} WHERE id = %(id)s AND status = 'doing' AND worker_id = %(worker)s"
            " AND attempts = %(attempts)s RETURNING id"
        )
        for attempt in range(1, _SETTLE_TRIES + 1):
            try:
                rows = await self.connector.execute_query_all_async(
                    query,
                    id=job.id,
                    worker=job.worker_id,
                    attempts=job.attempts,
                    **values,
                )
            except ConnectorException:
                if attempt == _SETTLE_TRIES:
                    raise
                await asyncio.sleep(1)
            else:
                if not rows:
                    _LOG.warning("job_was_taken_over", job=job.task_name, job_id=job.id)
                return


# One try


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs tries of jobs in threads, on behalf of procrastinate."""

    database: Database
    platform: Any
    stops: tuple[StopSignal, ...]

    def task_of(self, job: Job) -> Callable[..., None]:
        """Return the function that procrastinate calls for a job."""

        def run(context: Run, *, args: dict[str, Any], tick: str | None = None) -> None:
            self.run(job, context.job, args=args, tick=tick)

        return run

    def run(self, job: Job, row: Row, *, args: dict[str, Any], tick: str | None) -> None:
        """Run one try; what it raises decides what becomes of the job."""
        assert row.id is not None
        assert row.worker_id is not None
        context = JobContext(
            database=self.database,
            job_id=row.id,
            job=job.name,
            attempt=row.attempts + 1,
            now=self.database.now(),
            tick=datetime.fromisoformat(tick) if tick else None,
            platform=self.platform,
            worker_id=row.worker_id,
            _attempts=row.attempts,
            _stops=self.stops,
        )
        outcome = "failed"
        with (
            log_context(job=job.name, job_id=row.id, attempt=context.attempt),
            span("job", job=job.name),
            timed(JOB_SECONDS, job=job.name),
        ):
            try:
                job.work(context, **job.unpack(args))
                outcome = "done"
            except JobHandedOver:
                outcome = "handed_over"
                raise
            except JobWasTakenOver:
                outcome = "taken_over"
                raise
            except Exception as error:
                self._note(context, error)
                raise
            finally:
                JOBS.labels(job=job.name, outcome=outcome).inc()

    def _note(self, context: JobContext, error: Exception) -> None:
        if isinstance(error, Refusal):
            text = str(error)
            _LOG.warning("job_refused", refusal_code=error.code)
        else:
            text = "".join(traceback.format_exception(error))
            _LOG.error("job_failed", exc_info=error)
        # Without a database the try is given back all the same; the log has the reason.
        with (
            contextlib.suppress(sa.exc.DBAPIError),
            self.database.engine.begin() as connection,
        ):
            note_failure(connection, context.job_id, attempt=context.attempt, error=mask_text(text))


# The house


class _Housekeeping(threading.Thread):
    """Ticks of schedules, due jobs, silent workers, old rows: looked at by every worker process."""

    def __init__(self, database: Database, pace: Pace) -> None:
        super().__init__(name="jobs-housekeeping", daemon=True)
        self.database = database
        self.pace = pace
        self.ended = threading.Event()
        self._is_enrolled = False
        self._is_cut_off = False
        self._forgotten = time.monotonic()

    def run(self) -> None:
        while not self.ended.wait(self.pace.look.total_seconds()):
            self.look()

    def look(self) -> None:
        """Look once; what fails is logged and done again at the next look."""
        for duty in (self.tick, self.take_over, self.forget):
            try:
                duty()
            except sa.exc.OperationalError as error:
                # Once, not every second of an outage.
                if not self._is_cut_off:
                    _LOG.warning("housekeeping_has_no_database", error=str(error.orig))
                self._is_cut_off = True
                return
            except Exception:
                _LOG.exception("housekeeping_failed", duty=duty.__name__)
        self._is_cut_off = False

    def tick(self) -> int:
        """Defer what the clocks say; return how many jobs became ready."""
        if not self._is_enrolled:
            enrol_schedules(self.database)
            self._is_enrolled = True
        return defer_ticks(self.database) + self.database.transact(release_due)

    def take_over(self) -> None:
        with self.database.engine.begin() as connection:
            taken = take_over(connection, silent_for=self.pace.silent)
        for job_id, name in taken.items():
            _LOG.warning("job_taken_over", job=name, job_id=job_id)

    def forget(self) -> None:
        if time.monotonic() - self._forgotten >= _FORGET_EVERY:
            self._forgotten = time.monotonic()
            with self.database.engine.begin() as connection:
                forget_old(connection, keep=self.pace.keep)


# The process


async def run_worker_async(
    database: Database,
    *,
    stop: StopSignal,
    queues: Sequence[str] | None = None,
    concurrency: int = 4,
    pace: Pace | None = None,
    platform: Any = None,
    until_idle: bool = False,
) -> None:
    """Run jobs until `stop` is set; the blocking form is `run_worker`."""
    pace = pace or Pace()
    ending = threading.Event()
    runner = _Runner(database, platform, (stop, ending))
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency + 2, "job"))
    house = _Housekeeping(database, pace)
    house.start()
    try:
        while not stop.is_set():
            try:
                async with _app(runner) as app:
                    await _serve(app, stop, _options(queues, concurrency, pace, until_idle))
            except (ConnectorException, psycopg.Error) as error:
                _LOG.warning("worker_lost_the_database", error=str(error.__cause__ or error))
                await asyncio.sleep(pace.look.total_seconds())
            if until_idle and await asyncio.to_thread(_is_idle, house):
                break
    finally:
        ending.set()
        house.ended.set()
        await asyncio.to_thread(house.join)


def run_worker(
    database: Database,
    *,
    stop: StopSignal | None = None,
    queues: Sequence[str] | None = None,
    concurrency: int = 4,
    pace: Pace | None = None,
    platform: Any = None,
    until_idle: bool = False,
) -> None:
    """Run jobs in this process until it is asked to end.

    Parameters
    ----------
    stop : ends the worker when set; without it SIGINT and SIGTERM do
    queues : which queues it takes jobs from; all by default
    concurrency : jobs at once, each in a thread
    platform : given to the jobs as `context.platform`
    until_idle : return once nothing is ready any more, schedules looked at

    A stopping worker takes no new job and lets the running ones go on for `pace.grace`; a job in
    steps is handed over before its next step. The jobs of a worker that died are taken over by
    another `pace.silent` later. The modules that declare the jobs must be imported before.
    """
    event = threading.Event()

    async def main() -> None:
        if stop is None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, event.set)
        await run_worker_async(
            database,
            stop=stop or event,
            queues=queues,
            concurrency=concurrency,
            pace=pace,
            platform=platform,
            until_idle=until_idle,
        )

    asyncio.run(main())


def _options(
    queues: Sequence[str] | None,
    concurrency: int,
    pace: Pace,
    until_idle: bool,  # noqa: FBT001
) -> dict[str, Any]:
    return {
        "queues": queues,
        "concurrency": concurrency,
        "wait": not until_idle,
        "name": f"steelyard-{os.getpid()}",
        "fetch_job_polling_interval": pace.look.total_seconds(),
        "shutdown_graceful_timeout": pace.grace.total_seconds(),
        "update_heartbeat_interval": pace.beat.total_seconds(),
        "stalled_worker_timeout": pace.silent.total_seconds(),
        "install_signal_handlers": False,
    }


@contextlib.asynccontextmanager
async def _app(runner: _Runner) -> AsyncIterator[procrastinate.App]:
    url = sa.make_url(runner.database.url).set(drivername="postgresql")
    connector = procrastinate.PsycopgConnector(
        conninfo=url.render_as_string(hide_password=False),
        kwargs={"application_name": "steelyard-jobs"},
        min_size=1,
        max_size=4,
        timeout=5,
    )
    app = procrastinate.App(connector=connector)
    manager = _FencedManager(connector)
    app.job_manager = manager
    for job in jobs().values():
        rule = _Rule(job.retry, manager.handed_over)
        app.task(name=job.name, queue=job.queue, retry=rule, pass_context=True)(runner.task_of(job))
    async with app.open_async():
        yield app


async def _serve(app: procrastinate.App, stop: StopSignal, options: dict[str, Any]) -> None:
    worker = asyncio.create_task(app.run_worker_async(**options))
    try:
        while not worker.done() and not stop.is_set():
            await asyncio.wait([worker], timeout=_HEED)
    finally:
        # Cancelling asks it to end: it lets its jobs finish first.
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


def _is_idle(house: _Housekeeping) -> bool:
    house.look()
    with house.database.engine.connect() as connection:
        return job_counts(connection).waiting == 0
