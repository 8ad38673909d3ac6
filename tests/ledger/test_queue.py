"""The group-commit queue: answers after COMMIT, faults isolated, bounded, exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

from steelyard.base import Database, Fact, UnitOfWork
from steelyard.ledger import Answer, GroupCommit, Item, Rider, TransferPosted
from steelyard.ledger.model.refusals import LedgerIsBusy, PostingIsUnknown
from tests.conftest import Store
from tests.ledger.test_books import facts_of
from tests.ledger.town import (
    ALICE,
    BANK,
    BOB,
    balance,
    is_sound,
    open_town,
    outcomes,
    put,
    transfer,
)


class NoteLeft(Fact, kind="test.NoteLeft", version=1):
    text: str


def item(minor: int = 1, **more: Any) -> Item:
    return Item((transfer(BANK, ALICE, minor),), **more)


def answer(future: Future[tuple[Answer, ...]]) -> list[str]:
    return outcomes(future.result(timeout=60))


@contextmanager
def locked(store: Store) -> Iterator[psycopg.Connection[Any]]:
    """Hold the book, so that the writer waits and the queue fills."""
    with psycopg.connect(store.conninfo()) as connection:
        connection.execute("SELECT 1 FROM ledger.book FOR UPDATE")
        yield connection
        connection.rollback()


def writer_waits(store: Store) -> int:
    """Return the server process of the writer once it waits for the book."""
    with psycopg.connect(store.conninfo("postgres"), autocommit=True) as admin:
        for _ in range(100_000):
            row = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%%lock_and_read%%'"
            ).fetchone()
            if row is not None:
                return int(row[0])
    raise AssertionError("the writer does not come")


def test_an_answer_is_given_when_it_is_durable(database: Database) -> None:
    open_town(database)
    with GroupCommit(database) as queue:
        assert answer(queue.submit(item(7))) == ["created"]
        assert balance(database, ALICE) == 7
    assert is_sound(database)


def test_callers_who_wait_together_are_committed_together(database: Database, store: Store) -> None:
    open_town(database)

    async def callers() -> list[tuple[Answer, ...]]:
        with locked(store):
            first = asyncio.create_task(queue.post_async(item()))
            await asyncio.to_thread(writer_waits, store)
            rest = [asyncio.create_task(queue.post_async(item())) for _ in range(300)]
            await asyncio.sleep(0)
        return [await task for task in (first, *rest)]

    with GroupCommit(database) as queue:
        answers = asyncio.run(callers())
        assert queue.batches == 2
    assert {outcomes(a)[0] for a in answers} == {"created"}
    assert balance(database, ALICE) == 301
    assert is_sound(database)


def test_a_refusal_is_an_answer_and_stops_nobody(database: Database, store: Store) -> None:
    open_town(database)
    with GroupCommit(database) as queue:
        with locked(store):
            queue.submit(item(5))
            writer_waits(store)
            futures = [
                queue.submit(item(5)),
                queue.submit(Item((transfer(ALICE, BOB, 100),))),
                queue.submit(Item((transfer(BANK, ALICE, 5), transfer(ALICE, BOB, 16)))),
                queue.submit(Item((transfer(BANK, ALICE, 5), transfer(ALICE, BOB, 15)))),
                queue.submit(Item((transfer(BANK, ALICE, 5, linked=True),))),
            ]
        assert [answer(future) for future in futures] == [
            ["created"],
            ["exceeds_debit_limit"],
            ["linked_failed", "exceeds_debit_limit"],
            ["created", "created"],
            ["created"],
        ]
    assert is_sound(database)


def test_an_item_at_fault_stands_alone(database: Database, store: Store) -> None:
    open_town(database)
    poison = item(facts=((NoteLeft(text="a\0b"), "note:1"),))
    with GroupCommit(database) as queue:
        with locked(store):
            queue.submit(item())
            writer_waits(store)
            futures = [queue.submit(poison if n == 11 else item()) for n in range(40)]
        for number, future in enumerate(futures):
            if number == 11:
                with pytest.raises(sa.exc.DBAPIError):
                    future.result(timeout=60)
            else:
                assert answer(future) == ["created"]
    assert balance(database, ALICE) == 40
    assert is_sound(database)


def test_facts_and_actors_go_with_the_items_that_are_created(database: Database) -> None:
    open_town(database)
    note = ((NoteLeft(text="hello"), "note:1"),)
    paid = item(actor="party:7", facts=note)
    with GroupCommit(database) as queue:
        assert answer(queue.submit(paid)) == ["created"]
        assert answer(queue.submit(paid)) == ["exists"]
        refused = Item((transfer(ALICE, BOB, 99),), facts=note)
        assert answer(queue.submit(refused)) == ["exceeds_debit_limit"]
    found = [f for f in facts_of(database) if isinstance(f[0], (TransferPosted, NoteLeft))]
    assert [(fact.kind, actor) for fact, _, actor in found] == [
        ("ledger.TransferPosted", "party:7"),
        ("test.NoteLeft", "party:7"),
    ]


def test_the_queue_is_bounded(database: Database, store: Store) -> None:
    open_town(database)
    with GroupCommit(database, capacity=10) as queue:
        with locked(store):
            futures = [queue.submit(item())]
            writer_waits(store)
            futures += [queue.submit(item()) for _ in range(10)]
            with pytest.raises(LedgerIsBusy):
                queue.submit(item())
        assert {answer(future)[0] for future in futures} == {"created"}
    with pytest.raises(LedgerIsBusy):
        queue.submit(item())
    assert balance(database, ALICE) == 11


def test_closing_writes_what_waits(database: Database, store: Store) -> None:
    open_town(database)
    queue = GroupCommit(database, max_batch=3)
    with locked(store):
        futures = [queue.submit(item()) for _ in range(10)]
    queue.close()
    assert all(future.done() for future in futures)
    assert balance(database, ALICE) == 10


def test_a_caller_who_goes_away_finds_the_transfer_by_its_id(
    database: Database, store: Store
) -> None:
    open_town(database)
    gone = item()

    async def leave() -> None:
        task = asyncio.create_task(queue.post_async(gone))
        await asyncio.to_thread(writer_waits, store)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with GroupCommit(database) as queue:
        with locked(store):
            asyncio.run(leave())
        assert answer(queue.submit(gone)) == ["exists"]


def test_a_lost_connection_is_taken_up_again(database: Database, store: Store) -> None:
    open_town(database)
    with GroupCommit(database) as queue, locked(store) as holder:
        future = queue.submit(item())
        pid = writer_waits(store)
        with psycopg.connect(store.conninfo("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
        holder.rollback()
        assert answer(future) == ["created"]
    assert balance(database, ALICE) == 1


class Failing:
    """A database that fails in the ways that it is told, one for each unit of work."""

    def __init__(self, database: Database, *faults: tuple[str, Exception] | None) -> None:
        self.database = database
        self.facts = database.facts
        self.faults = list(faults)

    @contextmanager
    def unit_of_work(self) -> Iterator[UnitOfWork]:
        when, error = (self.faults.pop(0) if self.faults else None) or ("never", None)
        if when == "before":
            raise error
        with self.database.unit_of_work() as uow:
            yield uow
            if when == "within":
                raise error
        if when == "after":
            raise error


GONE = sa.exc.OperationalError(None, None, psycopg.OperationalError("the connection is lost"))
VICTIM = psycopg.errors.DeadlockDetected("chosen")


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([("before", GONE), ("within", GONE)], ["created"]),
        ([("within", VICTIM), ("within", VICTIM)], ["created"]),
        ([("after", GONE)], ["exists"]),
    ],
)
def test_each_fault_ends_in_one_transfer(
    database: Database, faults: list[tuple[str, Exception]], expected: list[str]
) -> None:
    open_town(database)
    with GroupCommit(Failing(database, *faults)) as queue:  # type: ignore[arg-type]
        assert answer(queue.submit(item())) == expected
    assert balance(database, ALICE) == 1
    assert len([f for f in facts_of(database) if isinstance(f[0], TransferPosted)]) == 1


def test_when_the_database_is_gone_nothing_is_guessed(database: Database) -> None:
    open_town(database)
    faults = [("after", GONE)] + [("before", GONE)] * 4
    paid = item()
    with GroupCommit(Failing(database, *faults)) as queue:  # type: ignore[arg-type]
        with pytest.raises(PostingIsUnknown):
            queue.submit(paid).result(timeout=60)
        assert answer(queue.submit(paid)) == ["exists"]


class Coupons:
    """A rider that uses up a row: made for these tests."""

    name = "coupon"

    def lock(self, connection: sa.Connection, rows: Sequence[int]) -> Sequence[bool]:
        found = connection.execute(
            sa.text("SELECT id FROM coupon WHERE id = ANY(:ids) AND NOT used FOR UPDATE"),
            {"ids": sorted(rows)},
        ).scalars()
        free = set(found)
        return [row in free and not free.remove(row) for row in rows]  # type: ignore[func-returns-value]

    def write(self, connection: sa.Connection, rows: Sequence[int]) -> None:
        connection.execute(
            sa.text("UPDATE coupon SET used = true WHERE id = ANY(:ids)"), {"ids": list(rows)}
        )


@pytest.fixture
def coupons(store: Store) -> None:
    with psycopg.connect(store.conninfo("postgres")) as admin:
        admin.execute("CREATE TABLE coupon (id int PRIMARY KEY, used boolean DEFAULT false)")
        admin.execute("INSERT INTO coupon (id) VALUES (1), (2), (3)")
        admin.execute("GRANT SELECT, UPDATE ON coupon TO steelyard_app")


@pytest.mark.usefixtures("coupons")
def test_a_rider_is_used_up_once_by_what_is_created(database: Database, store: Store) -> None:
    open_town(database)
    first = item(riders=(Rider("coupon", 1),))
    unpaid = Item((transfer(ALICE, BOB, 999),), riders=(Rider("coupon", 2),))
    with GroupCommit(database, riders=[Coupons()]) as queue:
        with locked(store):
            queue.submit(item())
            writer_waits(store)
            together = [first, item(riders=(Rider("coupon", 1),)), unpaid]
            futures = [queue.submit(each) for each in together]
        assert [answer(f) for f in futures] == [["created"], ["stale"], ["exceeds_debit_limit"]]
        assert answer(queue.submit(first)) == ["exists"]
        assert answer(queue.submit(item(riders=(Rider("coupon", 1),)))) == ["stale"]
        assert answer(queue.submit(item(riders=(Rider("coupon", 2),)))) == ["created"]
        with pytest.raises(ValueError, match="no rider"):
            queue.submit(item(riders=(Rider("gift", 1),)))
    with psycopg.connect(store.conninfo()) as connection:
        used = connection.execute("SELECT id FROM coupon WHERE used ORDER BY id").fetchall()
    assert used == [(1,), (2,)]
    assert balance(database, ALICE) == 3


def test_an_item_holds_one_to_many_transfers() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Item(())
    with pytest.raises(ValueError, match="at most"):
        Item(tuple(transfer(1, 2, 1) for _ in range(2001)))


def test_queues_and_units_of_work_share_a_book(database: Database) -> None:
    open_town(database)
    same = [item() for _ in range(100)]
    with GroupCommit(database) as one, GroupCommit(database) as other:
        futures = [queue.submit(each) for each in same for queue in (one, other)]
        for _ in range(20):
            put(database, transfer(BANK, BOB, 1, id=uuid4()))
        answers = [answer(future)[0] for future in futures]
    assert answers.count("created") == answers.count("exists") == 100
    assert (balance(database, ALICE), balance(database, BOB)) == (100, 20)
    assert is_sound(database)
