from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import psycopg
import pytest

from steelyard.base import Database, UnitOfWork
from steelyard.base.idempotency import (
    Answer,
    IdempotencyKeyWasUsed,
    RequestIsInFlight,
    forget_answers,
    idempotent,
    idempotent_in_steps,
)
from steelyard.kernel import Refusal, RefusalKind
from tests.conftest import Store


class NotToday(Refusal):
    kind = RefusalKind.CONFLICT
    en, zh = "Not today.", "今天不行。"


def _count(unit: UnitOfWork) -> Answer:
    number = unit.execute("INSERT INTO public.done DEFAULT VALUES RETURNING n").scalar_one()
    return Answer(201, f'{{"n": {number}}}'.encode())


@pytest.fixture
def counted(database: Database, store: Store) -> Database:
    with psycopg.connect(store.conninfo("steelyard_owner")) as owner:
        owner.execute("CREATE SCHEMA IF NOT EXISTS public")
    with psycopg.connect(store.conninfo("postgres")) as admin:
        admin.execute("CREATE TABLE public.done (n int GENERATED ALWAYS AS IDENTITY)")
        admin.execute("GRANT ALL ON public.done TO steelyard_app")
    return database


def _done(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM public.done").scalar_one())


def _send(database: Database, key: str = "k", body: bytes = b"{}") -> Answer:
    return idempotent(database, scope="s", key=key, body=body, actor="staff:a", work=_count)


def test_sent_twice_done_once_answered_alike(counted: Database) -> None:
    first, second = _send(counted), _send(counted)
    assert (first.replayed, second.replayed) == (False, True)
    assert (first.status, first.body) == (second.status, second.body) == (201, b'{"n": 1}')
    assert _done(counted) == 1


def test_the_key_belongs_to_its_body(counted: Database) -> None:
    _send(counted)
    with pytest.raises(IdempotencyKeyWasUsed):
        _send(counted, body=b'{"amount": 2}')
    assert _done(counted) == 1


def test_a_refused_command_is_judged_afresh(counted: Database) -> None:
    def refuse(unit: UnitOfWork) -> Answer:
        _count(unit)
        raise NotToday

    with pytest.raises(NotToday):
        idempotent(counted, scope="s", key="k", body=b"{}", actor="staff:a", work=refuse)
    assert _done(counted) == 0
    assert not _send(counted).replayed


def test_many_at_once_do_it_once(counted: Database) -> None:
    barrier = Barrier(8)

    def send(_: int) -> str:
        barrier.wait()
        try:
            return "replayed" if _send(counted).replayed else "done"
        except RequestIsInFlight:
            return "in flight"

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(8)))
    assert answers.count("done") == 1
    assert _done(counted) == 1


def test_a_command_in_steps_that_died_runs_again(counted: Database) -> None:
    def send(*, dies: bool) -> Answer:
        def work() -> Answer:
            with counted.unit_of_work() as unit:
                answer = _count(unit)
            if dies:
                raise KeyboardInterrupt
            return answer

        return idempotent_in_steps(counted, scope="s", key="k", body=b"{}", work=work)

    with pytest.raises(KeyboardInterrupt):
        send(dies=True)
    assert not send(dies=False).replayed
    assert send(dies=True).replayed
    assert _done(counted) == 2


def test_a_command_in_steps_at_work_is_in_flight(counted: Database) -> None:
    def inner() -> Answer:
        return idempotent_in_steps(
            counted, scope="s", key="k", body=b"{}", work=lambda: Answer(200, b"")
        )

    def outer() -> Answer:
        with pytest.raises(RequestIsInFlight):
            inner()
        return Answer(200, b"outer")

    idempotent_in_steps(counted, scope="s", key="k", body=b"{}", work=outer)
    assert inner() == Answer(200, b"outer", replayed=True)


def test_old_answers_are_forgotten(counted: Database) -> None:
    _send(counted)
    with counted.unit_of_work() as unit:
        assert forget_answers(unit, before=datetime.now(UTC) - timedelta(days=1)) == 0
        assert forget_answers(unit, before=datetime.now(UTC) + timedelta(days=1)) == 1
