"""Jobs: committed with their unit, run at least once, on time, and never lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from procrastinate import PsycopgConnector
from procrastinate.jobs import Job as Row
from procrastinate.jobs import Status

from steelyard.base import Database, PlainBusinessClock, UnitOfWork
from steelyard.base.jobs import (
    Daily,
    Every,
    Job,
    JobContext,
    JobIsNotDead,
    JobWasTakenOver,
    Pace,
    Retry,
    defer,
    enrol_schedules,
    job,
    job_counts,
    list_dead,
    model,
    replay_dead,
    run_worker,
    run_worker_async,
    steps,
    watch_jobs,
    worker,
)
from steelyard.base.jobs import store as job_store
from steelyard.base.migrations.versions import base_0003_jobs
from steelyard.base.telemetry import metrics
from steelyard.events import PostgresFactLog
from steelyard.kernel import Refusal, RefusalKind, SteppingClock
from tests.conftest import Store

QUICK = Pace(
    look=timedelta(seconds=0.1), beat=timedelta(seconds=0.2), silent=timedelta(seconds=1.5)
)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
AT_ONCE = Retry(attempts=2, first=timedelta(0))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test declares its own jobs."""
    monkeypatch.setattr(model, "_JOBS", {})


def put(database: Database, made: Job, **arguments: object) -> int:
    return database.transact(lambda unit: defer(unit, made, **arguments))  # type: ignore[arg-type]


def drain(database: Database) -> None:
    run_worker(database, pace=QUICK, until_idle=True)


def count(database: Database, what: str) -> int:
    with database.engine.connect() as connection:
        return int(getattr(job_counts(connection), what))


class TestModel:
    @unhurried
    @given(
        st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
        st.timedeltas(timedelta(0), timedelta(days=20)),
        st.timedeltas(timedelta(0), timedelta(days=20)),
        st.times().map(lambda at: at.replace(microsecond=0)),
        st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"]),
    )
    def test_a_schedule_cut_anywhere_has_the_same_ticks(
        self, start: datetime, first: timedelta, second: timedelta, at: time, zone: str
    ) -> None:
        a = start.replace(tzinfo=UTC)
        b, c = a + first, a + first + second
        daily = Daily(at, zone, on=lambda on: on.weekday() < 5)
        whole = list(daily.ticks(a, c))
        assert whole == [*daily.ticks(a, b), *daily.ticks(b, c)]
        assert whole == sorted(set(whole))

    @unhurried
    @given(st.sampled_from(["Europe/Berlin", "America/New_York"]), st.times())
    def test_a_day_has_one_tick_also_when_clocks_are_moved(self, zone: str, at: time) -> None:
        year = list(
            Daily(at.replace(tzinfo=None), zone).ticks(
                datetime(2025, 12, 31, 12, tzinfo=UTC), datetime(2026, 12, 31, 12, tzinfo=UTC)
            )
        )
        assert len(year) == 365
        assert len(set(year)) == 365

    def test_a_technical_schedule_leaves_missed_ticks_out(self) -> None:
        noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
        assert list(Every(timedelta(hours=1)).ticks(noon, noon + timedelta(hours=5.2))) == [
            noon + timedelta(hours=5)
        ]
        assert list(Every(timedelta(hours=1)).ticks(noon, noon + timedelta(minutes=59))) == []

    def test_the_wait_grows_to_its_limit(self) -> None:
        waits = [Retry().wait(failed) for failed in range(1, 12)]
        assert waits == sorted(waits)
        assert waits[0] == timedelta(seconds=2)
        assert waits[-1] == timedelta(minutes=10)

    def test_arguments_come_back_in_the_types_of_the_function(self) -> None:
        @job("tests.typed")
        def typed(context: JobContext, *, who: UUID, on: date, at: datetime) -> None: ...

        args = {
            "who": UUID(int=7),
            "on": date(2026, 3, 2),
            "at": datetime(2026, 3, 2, 9, tzinfo=UTC),
        }
        assert typed.unpack(typed.pack(args)) == args
        with pytest.raises(TypeError):
            typed.pack({"who": UUID(int=7)})

    def test_a_name_belongs_to_one_function(self) -> None:
        @job("tests.same")
        def one(context: JobContext) -> None: ...

        with pytest.raises(AssertionError, match=r"tests\.same"):

            @job("tests.same")
            def other(context: JobContext) -> None: ...


class TestMigration:
    def test_the_revision_applies_every_file_of_the_installed_procrastinate(self) -> None:
        files = resources.files("procrastinate.sql").joinpath("migrations").iterdir()
        newest = max(f.name for f in files if f.name.endswith(".sql"))
        assert newest == base_0003_jobs.LAST, "procrastinate grew: write a revision for its files"


class TestDeferring:
    def test_a_job_is_committed_with_its_unit_or_not_at_all(self, database: Database) -> None:
        ran: list[str] = []

        @job("tests.lamp")
        def light(context: JobContext, *, lamp: str) -> None:
            ran.append(lamp)

        def fail(unit: UnitOfWork) -> None:
            defer(unit, light, lamp="rolled back")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            database.transact(fail)
        put(database, light, lamp="committed")
        drain(database)
        assert ran == ["committed"]
        assert count(database, "done") == 1

    def test_one_job_of_a_key_waits(self, database: Database) -> None:
        ran: list[int] = []

        @job("tests.once")
        def once(context: JobContext, *, n: int) -> None:
            ran.append(n)

        def twice(unit: UnitOfWork) -> tuple[int, int, int]:
            first = defer(unit, once, key="k", n=1)
            second = defer(unit, once, key="k", n=2)
            # The refused key has not spoiled the transaction.
            return first, second, defer(unit, once, key="other", n=3)

        first, second, other = database.transact(twice)
        assert first == second != other
        drain(database)
        assert ran == [1, 3]
        assert put(database, once, key="k", n=4) != first

    def test_many_at_once_with_one_key_make_one_job(self, database: Database) -> None:
        @job("tests.crowd")
        def crowd(context: JobContext) -> None: ...

        with ThreadPoolExecutor(6) as pool:
            ids = set(pool.map(lambda _: put(database, crowd, key="k"), range(24)))
        assert len(ids) == 1
        assert count(database, "waiting") == 1

    def test_a_job_waits_for_the_business_clock(
        self, database: Database, clock: SteppingClock
    ) -> None:
        seen: list[datetime] = []

        @job("tests.later")
        def later(context: JobContext) -> None:
            seen.append(context.now)

        put(database, later, run_at=clock.at + timedelta(days=7))
        drain(database)
        assert (seen, count(database, "held")) == ([], 1)
        clock.advance(timedelta(days=7))
        drain(database)
        assert seen == [clock.at]


class TestSchedules:
    def test_each_business_day_has_its_run_in_order(
        self, database: Database, clock: SteppingClock
    ) -> None:
        ticks: list[datetime | None] = []

        # The test's business clock starts on a Monday, 17:00 in Shanghai.
        @job("tests.close", schedule=Daily(time(23), "Asia/Shanghai", lambda on: on.weekday() < 5))
        def close(context: JobContext) -> None:
            ticks.append(context.tick)

        enrol_schedules(database)
        drain(database)
        assert ticks == []
        clock.advance(timedelta(days=7))
        drain(database)
        assert ticks == [datetime(2026, 3, day, 15, tzinfo=UTC) for day in (2, 3, 4, 5, 6)]

    def test_a_tick_is_deferred_once_over_all_processes(
        self, store: Store, clock: SteppingClock
    ) -> None:
        @job("tests.day", schedule=Daily(time(12), "UTC"))
        def day(context: JobContext) -> None: ...

        several = [
            Database(store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock))
            for _ in range(4)
        ]
        enrol_schedules(several[0])
        clock.advance(timedelta(days=250))
        barrier = threading.Barrier(4)

        def look(database: Database) -> int:
            barrier.wait()
            return sum(_ticks(database) for _ in range(5))

        with ThreadPoolExecutor(4) as pool:
            deferred = sum(pool.map(look, several))
        assert deferred == 250
        assert count(several[0], "waiting") + count(several[0], "held") == 250
        for database in several:
            database.close()

    def test_technical_work_runs_by_the_real_clock_and_does_not_pile_up(
        self, store: Store, clock: SteppingClock
    ) -> None:
        wall = SteppingClock(clock.at)
        database = Database(
            store.url,
            facts=PostgresFactLog(),
            clock=PlainBusinessClock(clock),
            wall=wall,
        )
        ran: list[datetime | None] = []

        @job("tests.sweep", schedule=Every(timedelta(minutes=1)))
        def sweep(context: JobContext) -> None:
            ran.append(context.tick)

        enrol_schedules(database)
        clock.advance(timedelta(days=1))
        drain(database)
        assert ran == []
        for _ in range(2):
            wall.advance(timedelta(minutes=3))
            assert _ticks(database) == 1
        drain(database)
        assert ran == [clock.at - timedelta(days=1) + timedelta(minutes=3)]
        database.close()

    def test_a_failed_day_holds_the_next_one_back(
        self, database: Database, clock: SteppingClock
    ) -> None:
        tries: list[datetime | None] = []

        @job("tests.strict", schedule=Daily(time(12), "UTC"), retry=Retry(attempts=2))
        def strict(context: JobContext) -> None:
            tries.append(context.tick)
            raise ZeroDivisionError

        enrol_schedules(database)
        clock.advance(timedelta(days=2))
        drain(database)
        assert tries == [datetime(2026, 3, 2, 12, tzinfo=UTC)]
        assert count(database, "held") == 2


def _ticks(database: Database) -> int:
    return job_store.defer_ticks(database)


def fetch(connection: sa.Connection) -> Row:
    """Take the next job as a worker that is silent from then on."""
    silent = connection.execute(
        sa.text("SELECT worker_id FROM procrastinate_register_worker_v1()")
    ).scalar()
    connection.execute(sa.text("UPDATE procrastinate_workers SET last_heartbeat = '-infinity'"))
    row = connection.execute(
        sa.text("SELECT * FROM procrastinate_fetch_job_v2(NULL, :worker)"), {"worker": silent}
    ).one()
    return Row.from_row(dict(row._mapping))


class TestFailing:
    def test_a_job_is_tried_again_then_dead_then_replayed(self, database: Database) -> None:
        attempts: list[int] = []
        mended = threading.Event()

        @job("tests.fragile", retry=AT_ONCE)
        def fragile(context: JobContext, *, lamp: str) -> None:
            attempts.append(context.attempt)
            if not mended.is_set():
                raise ValueError(f"no light for 13800138000 at {lamp}")

        job_id = put(database, fragile, lamp="a")
        drain(database)
        assert attempts == [1, 2]
        with database.engine.connect() as connection:
            (dead,) = list_dead(connection)
        assert (dead.id, dead.name, dead.args) == (job_id, "tests.fragile", {"lamp": "a"})
        assert dead.error is not None
        assert "no light" in dead.error
        assert "13800138000" not in dead.error
        mended.set()
        database.transact(lambda unit: replay_dead(unit, job_id), actor="staff:1")
        drain(database)
        assert attempts == [1, 2, 1]
        assert (count(database, "dead"), count(database, "done")) == (0, 1)
        with pytest.raises(JobIsNotDead):
            database.transact(lambda unit: replay_dead(unit, job_id))

    def test_a_refusal_that_cannot_change_is_not_tried_again(self, database: Database) -> None:
        class LampIsUnknown(Refusal):
            kind = RefusalKind.NOT_FOUND
            en = zh = "no lamp"

        tries: list[int] = []

        @job("tests.hopeless", retry=AT_ONCE)
        def hopeless(context: JobContext) -> None:
            tries.append(1)
            raise LampIsUnknown

        put(database, hopeless)
        drain(database)
        assert tries == [1]
        assert count(database, "dead") == 1

    def test_a_retry_meets_a_waiting_job_of_its_key(self, database: Database) -> None:
        ran: list[int] = []

        @job("tests.keyed", retry=AT_ONCE)
        def keyed(context: JobContext, *, n: int) -> None:
            ran.append(n)
            if n == 1 and context.attempt == 1:
                put(database, keyed, key="k", n=2)
                raise ZeroDivisionError

        put(database, keyed, key="k", n=1)
        run_worker(database, pace=QUICK, concurrency=1, until_idle=True)
        assert sorted(ran) == [1, 1, 2]
        assert count(database, "done") == 2
        with database.engine.connect() as connection:
            failures = connection.execute(sa.text("SELECT count(*) FROM base.job_failure")).scalar()
        assert failures == 1, "the try was lost while it was given back"

    def test_steps_that_are_done_are_not_done_again(self, database: Database) -> None:
        ran: list[str] = []
        outputs: list[object] = []

        @job("tests.batch", retry=AT_ONCE)
        def batch(context: JobContext) -> None:
            for step in ("a", "b", "c"):

                def work(unit: UnitOfWork, step: str = step) -> dict[str, object]:
                    ran.append(step)
                    if step == "b" and context.attempt == 1:
                        raise ZeroDivisionError
                    return {"step": step, "who": UUID(int=1)}

                outputs.append(context.step(step, work))

        job_id = put(database, batch)
        drain(database)
        assert ran == ["a", "b", "b", "c"]
        assert outputs[0] == outputs[1] == {"step": "a", "who": str(UUID(int=1))}
        assert list(database.transact(lambda unit: steps(unit, job_id))) == ["a", "b", "c"]

    def test_a_try_that_was_given_up_cannot_write(self, database: Database) -> None:
        outcome: list[str] = []

        @job("tests.zombie")
        def zombie(context: JobContext) -> None:
            if context.attempt == 1:
                # The worker is taken for dead while it works on.
                with database.engine.begin() as connection:
                    connection.execute(
                        sa.text("UPDATE procrastinate_workers SET last_heartbeat = '-infinity'")
                    )
                    job_store.take_over(connection, silent_for=timedelta(seconds=1))
            try:
                context.step("write", lambda unit: context.attempt)
            except JobWasTakenOver:
                outcome.append("refused")
                raise
            outcome.append("written")

        job_id = put(database, zombie)
        drain(database)
        assert outcome == ["refused", "written"]
        assert database.transact(lambda unit: steps(unit, job_id)) == {"write": 2}
        assert (count(database, "done"), count(database, "dead")) == (1, 0)

    def test_a_try_that_was_given_up_settles_nothing(self, database: Database) -> None:
        @job("tests.late")
        def late(context: JobContext) -> None: ...

        job_id = put(database, late)
        with database.engine.begin() as connection:
            row = fetch(connection)
            job_store.take_over(connection, silent_for=timedelta(0))
            fetch(connection)

        async def settle() -> None:
            url = sa.make_url(database.url).set(drivername="postgresql")
            connector = PsycopgConnector(conninfo=url.render_as_string(), min_size=1)
            manager = worker._FencedManager(connector)
            await connector.open_async()
            await manager.finish_job(row, Status.SUCCEEDED, delete_job=False)
            await manager.retry_job(row, datetime(2026, 1, 1, tzinfo=UTC))
            await connector.close_async()

        asyncio.run(settle())
        assert row.id == job_id
        assert count(database, "running") == 1

    def test_a_job_that_kills_its_workers_ends_in_the_dead_letter(self, database: Database) -> None:
        @job("tests.poison", retry=AT_ONCE)
        def poison(context: JobContext) -> None: ...

        put(database, poison)
        for _ in range(2):
            with database.engine.begin() as connection:
                fetch(connection)
                job_store.take_over(connection, silent_for=timedelta(0))
        assert count(database, "dead") == 1


WORKER = """
import os, sys, threading
from datetime import timedelta
from steelyard.base import Database
from steelyard.base.jobs import Pace, job, run_worker
from steelyard.events import PostgresFactLog

database = Database(sys.argv[1], facts=PostgresFactLog())

@job("tests.slow")
def slow(context):
    def say(what):
        what = f"{os.getpid()} {what}"
        return lambda unit: unit.execute("SELECT pg_notify('seen', :what)", what=what).rowcount
    context.step(f"try {context.attempt}", say(context.attempt))
    while context.attempt == 1 and not context.should_stop:
        threading.Event().wait(0.05)
    context.step("end", say("end"))

run_worker(database, pace=Pace(
    look=timedelta(seconds=0.1), beat=timedelta(seconds=0.2), silent=timedelta(seconds=1.5)
))
"""


@pytest.fixture
def start_worker(store: Store) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start real worker processes; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        url: str = store.url
        started.append(subprocess.Popen([sys.executable, "-c", WORKER, url]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(30)


class Ear:
    """Hears what jobs say in other processes."""

    def __init__(self, conninfo: str) -> None:
        self.connection = psycopg.connect(conninfo, autocommit=True)
        self.connection.execute("LISTEN seen")
        self.heard: deque[str] = deque()

    def next(self, speaker: subprocess.Popen[bytes]) -> str:
        for _ in range(60):
            if self.heard:
                return self.heard.popleft()
            self.heard.extend(
                notice.payload for notice in self.connection.notifies(timeout=1, stop_after=1)
            )
            assert speaker.poll() is None, "the worker died"
        raise AssertionError("nothing was heard for a minute")


@pytest.fixture
def ear(store: Store) -> Iterator[Ear]:
    made = Ear(store.conninfo())
    yield made
    made.connection.close()


async def _deaf(*, channel: str, notification: object) -> None: ...


def await_listener(admin: psycopg.Connection[Any], name: str) -> None:
    """Return once a worker listens for jobs."""
    for _ in range(600):
        found = admin.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name = 'steelyard-jobs' AND query LIKE 'LISTEN%%'",
            (name,),
        ).fetchone()
        if found and found[0]:
            return
        threading.Event().wait(0.1)
    raise AssertionError("no worker listens")


class TestProcesses:
    def test_the_job_of_a_killed_worker_is_taken_over(
        self,
        database: Database,
        start_worker: Callable[[], subprocess.Popen[bytes]],
        ear: Ear,
    ) -> None:
        @job("tests.slow")
        def slow(context: JobContext) -> None: ...

        job_id = put(database, slow)
        victim = start_worker()
        assert ear.next(victim) == f"{victim.pid} 1"
        heir = start_worker()
        os.kill(victim.pid, signal.SIGKILL)
        assert ear.next(heir) == f"{heir.pid} 2"
        assert ear.next(heir) == f"{heir.pid} end"
        heir.send_signal(signal.SIGTERM)
        assert heir.wait(60) == 0
        assert count(database, "done") == 1
        done = database.transact(lambda unit: steps(unit, job_id))
        assert list(done) == ["try 1", "try 2", "end"]

    def test_a_stopping_worker_hands_its_batch_over(
        self,
        database: Database,
        start_worker: Callable[[], subprocess.Popen[bytes]],
        ear: Ear,
    ) -> None:
        @job("tests.slow")
        def slow(context: JobContext) -> None: ...

        put(database, slow)
        first = start_worker()
        assert ear.next(first) == f"{first.pid} 1"
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        with database.engine.connect() as connection:
            counts = job_counts(connection)
            tries = connection.execute(sa.text("SELECT attempts FROM procrastinate_jobs")).scalar()
        assert (counts.waiting, counts.running, counts.workers, tries) == (1, 0, 0, 0)

    def test_a_worker_outlives_an_outage_of_the_database(
        self, store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran = threading.Semaphore(0)
        told: SimpleQueue[str] = SimpleQueue()
        monkeypatch.setattr(
            worker._LOG, "warning", lambda event, **_: told.put(event), raising=False
        )

        @job("tests.after")
        def after(context: JobContext) -> None:
            ran.release()

        stop = threading.Event()
        running = threading.Thread(
            target=run_worker, args=(database,), kwargs={"stop": stop, "pace": QUICK}
        )
        running.start()
        put(database, after)
        assert ran.acquire(timeout=60)
        admin = store.address.conninfo(role="postgres", database="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {store.name} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (store.name,),
            )
            assert told.get(timeout=60)
            connection.execute(f"ALTER DATABASE {store.name} ALLOW_CONNECTIONS true")
            put(database, after)
            assert ran.acquire(timeout=60)
            await_listener(connection, store.name)
        stop.set()
        running.join(60)
        assert not running.is_alive()

    def test_no_heartbeat_and_no_ear_is_no_end(self, store: Store) -> None:
        url = f"host={store.address.socket_dir} port=1 dbname=nowhere connect_timeout=1"

        async def main() -> None:
            connector = PsycopgConnector(conninfo=url, min_size=0, max_size=1, timeout=0.1)
            await connector.open_async()
            manager = worker._FencedManager(connector)
            await manager.update_heartbeat(1)
            ear = asyncio.create_task(manager.listen_for_jobs(on_notification=_deaf))
            done, _ = await asyncio.wait([ear], timeout=0.3)
            assert not done
            ear.cancel()
            await asyncio.wait([ear])
            await connector.close_async()

        asyncio.run(main())

    def test_the_async_form_ends_when_it_is_cancelled(self, database: Database) -> None:
        began = threading.Event()

        @job("tests.short")
        def short(context: JobContext) -> None:
            began.set()

        put(database, short)

        async def main() -> None:
            task = asyncio.create_task(
                run_worker_async(database, stop=threading.Event(), pace=QUICK)
            )
            assert await asyncio.to_thread(began.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert (count(database, "done"), count(database, "workers")) == (1, 0)


class TestForgetting:
    def test_old_jobs_go_and_the_dead_stay(self, database: Database) -> None:
        @job("tests.fine")
        def fine(context: JobContext) -> None: ...

        @job("tests.broken", retry=Retry(attempts=1))
        def broken(context: JobContext) -> None:
            raise ZeroDivisionError

        put(database, fine)
        put(database, broken)
        drain(database)
        with database.engine.begin() as connection:
            assert job_store.forget_old(connection, keep=timedelta(hours=1)) == 0
            connection.execute(
                sa.text("UPDATE procrastinate_events SET at = at - interval '2 hours'")
            )
            assert job_store.forget_old(connection, keep=timedelta(hours=1)) == 1
        assert (count(database, "done"), count(database, "dead")) == (0, 1)


def test_the_states_of_jobs_are_among_the_metrics(
    database: Database, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics._GAUGES, "reads", {})

    @job("tests.shown")
    def shown(context: JobContext) -> None: ...

    put(database, shown)
    put(database, shown, run_at=clock.at + timedelta(days=1))
    watch_jobs(database)
    lines = metrics.expose()[0].decode().splitlines()
    assert 'steelyard_jobs{state="waiting"} 1.0' in lines
    assert 'steelyard_jobs{state="held"} 1.0' in lines
    assert 'steelyard_jobs{state="dead"} 0.0' in lines


def test_the_worker_module_of_the_door_is_lazy() -> None:
    code = "import sys, steelyard.base.jobs; print('procrastinate' in sys.modules)"
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=True)
    assert out.stdout.strip() == b"False"
