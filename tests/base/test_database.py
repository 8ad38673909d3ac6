from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import psycopg
import pytest

from steelyard.base import Database, Fact, UnitOfWork
from steelyard.kernel import SteppingClock
from tests.conftest import START, Store


class LampLit(Fact, kind="lamps.LampLit", version=1):
    lamp: str


class Undone(Exception):
    pass


def _kinds(database: Database) -> list[str]:
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT subject FROM events.log ORDER BY sequence").all()
    return [row.subject for row in rows]


def test_facts_are_written_with_the_unit_or_not_at_all(database: Database) -> None:
    with database.unit_of_work() as unit:
        unit.record(LampLit(lamp="a"), subject="lamp:a")
        unit.record(LampLit(lamp="b"), subject="lamp:b")
    with pytest.raises(Undone), database.unit_of_work() as unit:
        unit.record(LampLit(lamp="c"), subject="lamp:c")
        raise Undone
    assert _kinds(database) == ["lamp:a", "lamp:b"]


def test_now_stands_still_within_a_unit(database: Database, clock: SteppingClock) -> None:
    with database.unit_of_work() as unit:
        clock.advance(timedelta(hours=1))
        assert unit.now == START
    with database.unit_of_work() as unit:
        assert unit.now == START + timedelta(hours=1)
    assert database.now() == START + timedelta(hours=1)


def test_what_comes_last_is_collected_and_written_once(database: Database) -> None:
    written: list[list[int]] = []
    told: list[str] = []
    with database.unit_of_work() as unit:
        for number in (1, 2, 3):
            unit.at_commit("numbers", number, lambda _, items: written.append(items))
        unit.after_commit(lambda: told.append("done"))
        assert (written, told) == ([], [])
    assert (written, told) == ([[1, 2, 3]], ["done"])


def test_the_victim_of_a_deadlock_is_run_again(database: Database, store: Store) -> None:
    with psycopg.connect(store.conninfo("postgres"), autocommit=True) as admin:
        admin.execute("CREATE TABLE public.lamp (n int PRIMARY KEY, lit int NOT NULL DEFAULT 0)")
        admin.execute("INSERT INTO public.lamp VALUES (1), (2)")
        admin.execute("GRANT ALL ON public.lamp TO steelyard_app")
        admin.execute(f"ALTER DATABASE {store.name} SET deadlock_timeout = '20ms'")
    meet = Barrier(2, timeout=20)
    attempts: list[int] = []

    def light(first: int, second: int) -> None:
        waited = False

        def work(unit: UnitOfWork) -> None:
            nonlocal waited
            attempts.append(first)
            unit.execute("UPDATE public.lamp SET lit = lit + 1 WHERE n = :n", n=first)
            if not waited:
                waited = True
                meet.wait()
            unit.execute("UPDATE public.lamp SET lit = lit + 1 WHERE n = :n", n=second)

        database.transact(work)

    threads = [Thread(target=light, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with database.reading() as connection:
        lit = connection.exec_driver_sql("SELECT lit FROM public.lamp ORDER BY n").scalars().all()
    assert lit == [2, 2]
    assert len(attempts) == 3


def test_reading_cannot_write(database: Database) -> None:
    with (
        pytest.raises(Exception, match="read-only transaction"),
        database.reading() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM base.idempotency")
