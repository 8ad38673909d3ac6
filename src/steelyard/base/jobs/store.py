"""The tables of jobs: procrastinate's own, and what the platform keeps beside them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from steelyard.base.audit import audit
from steelyard.base.database import Database, UnitOfWork
from steelyard.base.jobs.model import Daily, Job, jobs
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from procrastinate import App

_HELD = datetime(9999, 1, 1, tzinfo=UTC)
"""`scheduled_at` of a job that waits for the business clock, not for the real one."""
_TICKS_AT_ONCE = 100
_ERROR_LIMIT = 4_000
ALIVE = timedelta(seconds=10)
"""A worker that was heard within this time counts as alive."""


class JobIsNotDead(Refusal):
    """Only a job that used up its tries can be replayed."""

    kind = RefusalKind.CONFLICT
    en = "Job {job_id} is not in the dead letter."
    zh = "任务 {job_id} 不在死信队列中。"


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that failed at its last try and waits for a person.

    Attributes
    ----------
    attempts : tries since it was deferred or last replayed
    failed_at : real instant of the last failure; error : its masked text, None when not known
    """

    id: int
    name: str
    queue: str
    args: Mapping[str, object]
    attempts: int
    failed_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many jobs stand where, and who works on them.

    Attributes
    ----------
    waiting : could run now; held : wait for an instant, their next try or their turn; running;
        done : ended well, of the last day; dead : used up their tries
    oldest_waiting_s : real seconds since the oldest waiting job could have run, 0 without one
    workers : processes heard within the last ten seconds
    """

    waiting: int
    held: int
    running: int
    done: int
    dead: int
    oldest_waiting_s: float
    workers: int


# Deferring


@functools.cache
def _deferring_app() -> App:
    """Return procrastinate's side that only defers, always on a connection given to it."""
    from procrastinate import App, SyncPsycopgConnector

    return App(connector=SyncPsycopgConnector())


def defer(
    unit: UnitOfWork,
    job: Job,
    /,
    *,
    run_at: datetime | None = None,
    key: str | None = None,
    **args: object,
) -> int:
    """Put a job into its queue when the unit commits, and not at all when it does not.

    Parameters
    ----------
    run_at : business instant before which it does not run; a past one means at once
    key : at most one job of the key waits for its first try: while it does, its id is returned and
        nothing is added
    **args : JSON values, ids, dates, instants; never personal data

    Returns
    -------
    int
        Id of the job, by which its steps, failures and dead letter are found.
    """
    return _put(unit, job, {"args": job.pack(args)}, run_at=run_at, key=key)


def _put(
    unit: UnitOfWork,
    job: Job,
    envelope: dict[str, Any],
    *,
    run_at: datetime | None = None,
    key: str | None = None,
    lock: str | None = None,
) -> int:
    from procrastinate.exceptions import AlreadyEnqueued

    held = run_at is not None and run_at > unit.now
    while True:
        try:
            # A savepoint: a key that waits already must not spoil the caller's transaction. Not the
            # driver's own, which commits when it happens to be the first statement.
            with unit.connection.begin_nested():
                job_id = (
                    _deferring_app()
                    .configure_task(
                        job.name,
                        connection=unit.driver,
                        queue=job.queue,
                        queueing_lock=key,
                        lock=lock,
                        schedule_at=_HELD if held else None,
                    )
                    .defer(**envelope)
                )
        except AlreadyEnqueued:
            waiting = unit.execute(
                "SELECT id FROM procrastinate_jobs WHERE queueing_lock = :key AND status = 'todo'",
                key=key,
            ).scalar()
            if waiting is not None:
                return int(waiting)
        else:
            if held:
                unit.execute(
                    "INSERT INTO base.job_due (job_id, run_at) VALUES (:id, :at)",
                    id=job_id,
                    at=run_at,
                )
            return job_id


def _wake(connection: sa.Connection, job_ids: Iterable[int]) -> None:
    """Tell the workers about jobs that became ready by an update: the triggers tell of inserts."""
    connection.execute(
        sa.text(
            "SELECT pg_notify(channel, json_build_object('type', 'job_inserted', 'job_id', id)"
            "::text) FROM procrastinate_jobs, LATERAL (VALUES ('procrastinate_any_queue_v1'),"
            " ('procrastinate_queue_v1#' || queue_name)) AS c (channel) WHERE id = ANY(:ids)"
        ),
        {"ids": list(job_ids)},
    )


# Schedules


def enrol_schedules(database: Database) -> None:
    """Note the schedules not yet known, as of now: their first tick is the next one after it."""
    scheduled = [j for j in jobs().values() if j.schedule is not None]

    def note(unit: UnitOfWork) -> None:
        for job in scheduled:
            unit.execute(
                "INSERT INTO base.job_schedule (name, last_tick) VALUES (:name, :at)"
                " ON CONFLICT DO NOTHING",
                name=job.name,
                at=_clock_of(unit, job),
            )

    if scheduled:
        database.transact(note)


def defer_ticks(database: Database) -> int:
    """Defer the job of every tick that has come, each once over all processes; return how many."""
    with database.engine.connect() as connection:
        known = {
            row.name: row.last_tick
            for row in connection.execute(sa.text("SELECT name, last_tick FROM base.job_schedule"))
        }
        business, wall = database.clock.read(connection), database.wall.now()
    deferred = 0
    for job in list(jobs().values()):
        if job.schedule is None or job.name not in known:
            continue
        until = business if isinstance(job.schedule, Daily) else wall
        if any(True for _ in job.schedule.ticks(known[job.name], until)):
            deferred += database.transact(functools.partial(_defer_ticks_of, job=job))
    return deferred


def _clock_of(unit: UnitOfWork, job: Job) -> datetime:
    return unit.now if isinstance(job.schedule, Daily) else unit.wall_at


def _defer_ticks_of(unit: UnitOfWork, job: Job) -> int:
    assert job.schedule is not None
    last = unit.execute(
        "SELECT last_tick FROM base.job_schedule WHERE name = :name FOR UPDATE SKIP LOCKED",
        name=job.name,
    ).scalar()
    if last is None:
        return 0
    ticks = list(islice(job.schedule.ticks(last, _clock_of(unit, job)), _TICKS_AT_ONCE))
    for tick in ticks:
        _defer_tick(unit, job, tick)
    if ticks:
        unit.execute(
            "UPDATE base.job_schedule SET last_tick = :tick WHERE name = :name",
            name=job.name,
            tick=ticks[-1],
        )
    return len(ticks)


def _defer_tick(unit: UnitOfWork, job: Job, tick: datetime) -> None:
    # The runs of a schedule come one after the other, in order; every day has its own, while
    # technical work does not pile up behind itself.
    lock = f"schedule:{job.name}"
    key = None if isinstance(job.schedule, Daily) else lock
    fresh = unit.execute(
        "INSERT INTO base.job_tick (schedule, tick) VALUES (:name, :tick) ON CONFLICT DO NOTHING",
        name=job.name,
        tick=tick,
    ).rowcount
    assert fresh == 1, f"{job.name} ticked twice at {tick.isoformat()}"
    envelope = {"args": {}, "tick": tick.isoformat()}
    unit.execute(
        "UPDATE base.job_tick SET job_id = :id WHERE schedule = :name AND tick = :tick",
        id=_put(unit, job, envelope, key=key, lock=lock),
        name=job.name,
        tick=tick,
    )


def release_due(unit: UnitOfWork) -> int:
    """Let the jobs run whose business instant has come; return how many."""
    rows = unit.execute(
        "DELETE FROM base.job_due WHERE job_id IN (SELECT job_id FROM base.job_due"
        " WHERE run_at <= :now ORDER BY run_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"
        " RETURNING job_id",
        now=unit.now,
    )
    ids = [row.job_id for row in rows]
    if ids:
        unit.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = NULL"
            " WHERE id = ANY(:ids) AND status = 'todo'",
            ids=ids,
        )
        _wake(unit.connection, ids)
    return len(ids)


# Running


def note_failure(connection: sa.Connection, job_id: int, *, attempt: int, error: str) -> None:
    """Keep why a try failed; `error` is masked by the caller."""
    connection.execute(
        sa.text(
            "INSERT INTO base.job_failure (job_id, attempt, error) VALUES (:id, :attempt, :error)"
        ),
        {"id": job_id, "attempt": attempt, "error": error[-_ERROR_LIMIT:].replace("\x00", "")},
    )


def take_over(connection: sa.Connection, *, silent_for: timedelta) -> dict[int, str]:
    """Give the jobs of workers that fell silent back to their queues.

    A lost worker counts as a failed try: a job that kills its worker ends in the dead letter.

    Returns
    -------
    dict
        Id to name of the jobs that were taken.
    """
    rows = connection.execute(
        sa.text(
            "SELECT j.id, j.task_name, j.attempts FROM procrastinate_jobs j"
            " LEFT JOIN procrastinate_workers w ON w.id = j.worker_id"
            " WHERE j.status = 'doing'"
            " AND (w.id IS NULL OR w.last_heartbeat < now() - :silent)"
            " FOR UPDATE OF j SKIP LOCKED"
        ),
        {"silent": silent_for},
    ).all()
    for row in rows:
        known = jobs().get(row.task_name)
        is_last = known is not None and row.attempts + 1 >= known.retry.attempts
        connection.execute(
            sa.text(
                "UPDATE procrastinate_jobs SET status = CAST(:status AS procrastinate_job_status),"
                " attempts = attempts + 1, scheduled_at = NULL, abort_requested = false,"
                # Another job of the key may wait by now; the index allows one.
                " queueing_lock = NULL WHERE id = :id"
            ),
            {"id": row.id, "status": "failed" if is_last else "todo"},
        )
        note_failure(
            connection, row.id, attempt=row.attempts + 1, error="The worker was not heard any more."
        )
    if rows:
        _wake(connection, [row.id for row in rows])
    return {row.id: row.task_name for row in rows}


def holds_job(connection: sa.Connection, job_id: int, *, worker_id: int, attempts: int) -> bool:
    """Whether a try still owns its job; if so nobody takes it over until the transaction ends."""
    found = connection.execute(
        sa.text(
            "SELECT 1 FROM procrastinate_jobs WHERE id = :id AND status = 'doing'"
            " AND worker_id = :worker AND attempts = :attempts FOR SHARE"
        ),
        {"id": job_id, "worker": worker_id, "attempts": attempts},
    ).scalar()
    return found is not None


def read_step(connection: sa.Connection, job_id: int, step: str) -> str | None:
    """Return the JSON output of a step that was done, None when it was not."""
    output: str | None = connection.execute(
        sa.text("SELECT output::text FROM base.job_step WHERE job_id = :id AND step = :step"),
        {"id": job_id, "step": step},
    ).scalar()
    return output


def write_step(connection: sa.Connection, job_id: int, step: str, output: str) -> None:
    """Note that a step was done."""
    connection.execute(
        sa.text(
            "INSERT INTO base.job_step (job_id, step, output)"
            " VALUES (:id, :step, CAST(:output AS jsonb))"
        ),
        {"id": job_id, "step": step, "output": output},
    )


def steps(unit: UnitOfWork, job_id: int) -> dict[str, Any]:
    """Return the outputs of the steps of a job that are done, in the order they were done."""
    rows = unit.execute(
        "SELECT step, output::text AS output FROM base.job_step WHERE job_id = :id"
        " ORDER BY done_at, step",
        id=job_id,
    )
    return {row.step: msgspec.json.decode(row.output) for row in rows}


# What people see


def job_counts(connection: sa.Connection) -> JobCounts:
    """Return how many jobs stand where."""
    row = connection.execute(
        sa.text(
            "SELECT count(*) FILTER (WHERE ready) AS waiting,"
            " count(*) FILTER (WHERE status = 'todo' AND NOT ready) AS held,"
            " count(*) FILTER (WHERE status = 'doing') AS running,"
            " count(*) FILTER (WHERE status = 'succeeded') AS done,"
            " count(*) FILTER (WHERE status = 'failed') AS dead,"
            " min(id) FILTER (WHERE ready) AS oldest,"
            " (SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - :alive)"
            " AS workers"
            " FROM (SELECT id, status, status = 'todo' AND"
            " (scheduled_at IS NULL OR scheduled_at <= now()) AND NOT EXISTS (SELECT"
            " FROM procrastinate_jobs o WHERE o.lock = j.lock AND"
            " (o.status = 'doing' OR o.status = 'todo' AND o.id < j.id)) AS ready"
            " FROM procrastinate_jobs j) AS j"
        ),
        {"alive": ALIVE},
    ).one()
    age = connection.execute(
        sa.text(
            "SELECT extract(epoch FROM now() - GREATEST(max(e.at), max(j.scheduled_at)))"
            " FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id"
            " WHERE j.id = :id AND e.type <> 'scheduled'"
        ),
        {"id": row.oldest},
    ).scalar()
    return JobCounts(
        waiting=row.waiting,
        held=row.held,
        running=row.running,
        done=row.done,
        dead=row.dead,
        oldest_waiting_s=max(0.0, float(age or 0)),
        workers=row.workers,
    )


def watch_jobs(database: Database) -> None:
    """Show the counts of jobs, and the age of the oldest that waits, among the metrics."""
    from steelyard.base.telemetry.metrics import watch_gauge

    def states() -> dict[str, float]:
        with database.engine.connect() as connection:
            counts = job_counts(connection)
        return {
            "waiting": counts.waiting,
            "held": counts.held,
            "running": counts.running,
            "done": counts.done,
            "dead": counts.dead,
        }

    def age() -> dict[str, float]:
        with database.engine.connect() as connection:
            return {"all": job_counts(connection).oldest_waiting_s}

    watch_gauge("steelyard_jobs", "Jobs by state", label="state", read=states)
    watch_gauge(
        "steelyard_jobs_oldest_waiting_seconds",
        "How long the oldest job has waited that could run",
        label="queue",
        read=age,
    )


def list_dead(
    connection: sa.Connection, *, before: int | None = None, limit: int = 50
) -> list[DeadJob]:
    """Return jobs of the dead letter, latest first; `before` is the last id of a page."""
    rows = connection.execute(
        sa.text(
            "SELECT j.id, j.task_name, j.queue_name, j.args, j.attempts, f.failed_at, f.error"
            " FROM procrastinate_jobs j LEFT JOIN LATERAL (SELECT failed_at, error"
            " FROM base.job_failure WHERE job_id = j.id ORDER BY sequence DESC LIMIT 1) f ON true"
            " WHERE j.status = 'failed' AND (CAST(:before AS bigint) IS NULL OR j.id < :before)"
            " ORDER BY j.id DESC LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return [
        DeadJob(
            row.id,
            row.task_name,
            row.queue_name,
            row.args.get("args", {}),
            row.attempts,
            row.failed_at.astimezone(UTC) if row.failed_at else None,
            row.error,
        )
        for row in rows
    ]


def replay_dead(unit: UnitOfWork, job_id: int) -> None:
    """Let a dead job run again, with all its tries; the steps that it had done stay done.

    Refusals
    --------
    job_is_not_dead
    """
    name = unit.execute(
        "UPDATE procrastinate_jobs SET status = 'todo', attempts = 0, scheduled_at = NULL,"
        " queueing_lock = NULL WHERE id = :id AND status = 'failed' RETURNING task_name",
        id=job_id,
    ).scalar()
    if name is None:
        raise JobIsNotDead(job_id=job_id)
    audit(unit, action="jobs.replay", subject=f"job:{job_id}", detail={"name": name})
    _wake(unit.connection, [job_id])


def forget_old(connection: sa.Connection, *, keep: timedelta) -> int:
    """Delete jobs that ended well before `keep`, old ticks and lost workers; dead jobs stay.

    Returns
    -------
    int
        How many jobs went; a thousand at most.
    """
    gone = connection.execute(
        sa.text(
            "DELETE FROM procrastinate_jobs WHERE id IN (SELECT id FROM procrastinate_jobs j"
            " WHERE status IN ('succeeded', 'cancelled', 'aborted') AND NOT EXISTS (SELECT"
            " FROM procrastinate_events e WHERE e.job_id = j.id AND e.type <> 'scheduled'"
            " AND e.at > now() - :keep) ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)"
        ),
        {"keep": keep},
    ).rowcount
    connection.execute(
        # The schedule's last tick guards the uniqueness of those that go.
        sa.text("DELETE FROM base.job_tick WHERE deferred_at < now() - interval '90 days'")
    )
    connection.execute(
        sa.text(
            "DELETE FROM procrastinate_workers w WHERE last_heartbeat < now() - interval '1 hour'"
            " AND NOT EXISTS (SELECT FROM procrastinate_jobs j"
            " WHERE j.worker_id = w.id AND j.status = 'doing')"
        )
    )
    return gone
