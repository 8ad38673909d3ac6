"""The log of decisions: chained, fenced, durable before it is answered, consumed once."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.decisions.model.decision import (
    LIFE,
    Asked,
    Decision,
    Judgement,
    chained,
    decide,
    record_of,
)
from steelyard.decisions.service.log import (
    DecisionDoesNotLetPass,
    DecisionIsExpired,
    DecisionIsUnknown,
    DecisionIsUsed,
    DecisionLog,
    LogWriter,
    TenureIsOver,
    consume,
    read_decision,
    verify_log,
)
from steelyard.decisions.store import log as kept
from steelyard.decisions.store.folds import HeardFold
from tests.conftest import Store

AT = 1_772_442_000_000
"""2026-03-02 09:00 UTC, at which the clock of the tests begins."""


def decision(
    sequence: int = 1, *, outcome: str = "approve", limit_minor: int | None = None
) -> Decision:
    return decide(
        Asked(scene="payment", id=str(uuid4()), at_ms=AT, fields={"amount_minor": 500}),
        uuid4(),
        Judgement(outcome, 700, ("amount_is_high", "amount_is_high"), limit_minor, ("row 1",)),
        subject="customer:7",
        sequence=sequence,
        values={"customer_payment_count_1h": 3, "mean": 0.1, "unseen": None},
        flags={},
        versions={"policy": "policy.payment@3"},
        decided_at_ms=AT,
    )


def open_log(database: Database, holder: str = "a") -> DecisionLog:
    return DecisionLog(database, holder=holder, address="here")


def test_what_was_written_is_read_and_the_chain_holds(database: Database) -> None:
    log = open_log(database)
    made = [decision(n) for n in range(1, 8)]
    log.write(made[:3])
    log.write(made[3:])
    with database.reading() as connection:
        report = verify_log(connection)
        assert (report.decisions, report.first_bad, report.head) == (7, None, log.head)
        line = read_decision(connection, made[4].id)
        assert (line.number, line.decision) == (5, made[4])
        assert line.decision.reasons == ("amount_is_high",)
        newest = kept.newest(connection, limit=3)
        assert [one.number for one in newest.items] == [7, 6, 5]
        older = kept.newest(connection, limit=9, cursor=newest.next)
        assert [one.number for one in older.items] == [4, 3, 2, 1]
        assert kept.newest(connection, outcome="decline").items == ()
        with pytest.raises(DecisionIsUnknown):
            read_decision(connection, uuid4())
    assert open_log(database).tenure.decisions == 7


def test_who_was_taken_over_from_writes_nothing(database: Database) -> None:
    first = open_log(database, "first")
    first.write([decision(1)])
    second = open_log(database, "second")
    assert second.tenure.epoch == first.tenure.epoch + 1
    assert second.head == first.head
    with pytest.raises(TenureIsOver):
        first.write([decision(2)])
    second.write([decision(2)])
    with database.reading() as connection:
        assert verify_log(connection).decisions == 2
        owner = kept.find_owner(connection)
        assert owner is not None
        assert (owner.address, owner.epoch) == ("here", second.tenure.epoch)


def test_the_database_refuses_a_broken_chain_and_any_change(database: Database) -> None:
    log = open_log(database)
    made = decision()
    record = record_of(made)
    with pytest.raises(sa.exc.DBAPIError, match="breaks the chain"), database.unit_of_work() as u:
        broken = [(record, chained(b"x", record))]
        kept.append(u.connection, log.tenure, kept.Batch([made], broken, (), kept.FoldedTo(1, 0)))
    log.write([decision(5)])
    with pytest.raises(sa.exc.DBAPIError, match="goes on after 5"):
        log.write([decision(4)])
    for statement in (
        "UPDATE decisions.log SET outcome = 'approve'",
        "DELETE FROM decisions.log",
        "INSERT INTO decisions.log SELECT * FROM decisions.log",
        "UPDATE decisions.owner SET epoch = 0",
        "DELETE FROM decisions.consumption",
    ):
        with pytest.raises(sa.exc.DBAPIError), database.unit_of_work() as unit:
            unit.execute(statement)


def test_tampering_by_the_owner_of_the_tables_is_found(database: Database, store: Store) -> None:
    log = open_log(database)
    made = [decision(n) for n in range(1, 5)]
    log.write(made)
    forged = record_of(replace_outcome(made[2]))
    with psycopg.connect(store.conninfo("steelyard_owner")) as owner:
        owner.execute("ALTER TABLE decisions.log DISABLE TRIGGER log_is_append_only")
        owner.execute("UPDATE decisions.log SET record = %s WHERE number = 3", (forged,))
    with database.reading() as connection:
        assert verify_log(connection).first_bad == 3


def replace_outcome(made: Decision) -> Decision:
    return msgspec.structs.replace(made, outcome="decline")


def test_the_same_question_is_decided_once(database: Database) -> None:
    log = open_log(database)
    made = decision()
    log.write([made])
    again = msgspec.structs.replace(made, id=uuid4())
    with pytest.raises(sa.exc.IntegrityError):
        log.write([again])
    with database.reading() as connection:
        found = kept.find_asked(connection, "payment", made.asked.id)
        assert found is not None
        assert found.decision == made


def test_a_decision_is_used_once_in_time_and_for_what_it_allows(database: Database) -> None:
    log = open_log(database)
    free, declined = decision(1), decision(2, outcome="decline")
    limited = decision(3, outcome="limit", limit_minor=400)
    log.write([free, declined, limited])
    with database.unit_of_work() as unit:
        assert consume(unit, free.id, by="transfer:1", amount_minor=10**9) == free
        assert consume(unit, free.id, by="transfer:1") == free
        with pytest.raises(DecisionIsUsed):
            consume(unit, free.id, by="transfer:2")
        with pytest.raises(DecisionDoesNotLetPass):
            consume(unit, declined.id, by="transfer:3")
        for amount in (401, None):
            with pytest.raises(DecisionDoesNotLetPass):
                consume(unit, limited.id, by="transfer:4", amount_minor=amount)
        consume(unit, limited.id, by="transfer:4", amount_minor=400)
        with pytest.raises(DecisionIsUnknown):
            consume(unit, UUID(int=5), by="transfer:5")


def test_a_decision_expires(database: Database) -> None:
    log = open_log(database)
    made = decision()
    log.write([made])
    with database.unit_of_work() as unit:
        unit.now += LIFE + timedelta(days=1)
        with pytest.raises(DecisionIsExpired):
            consume(unit, made.id, by="transfer:1")


def test_of_two_at_once_one_consumes(database: Database) -> None:
    log = open_log(database)
    made = decision()
    log.write([made])
    said: list[str] = []
    ready = threading.Barrier(2)

    def use(by: str) -> None:
        ready.wait(30)
        try:
            with database.unit_of_work() as unit:
                consume(unit, made.id, by=by)
            said.append("used")
        except DecisionIsUsed:
            said.append("refused")

    threads = [threading.Thread(target=use, args=(f"transfer:{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(said) == ["refused", "used"]


def test_the_database_itself_lets_nothing_pass_that_was_declined(database: Database) -> None:
    log = open_log(database)
    made = decision(outcome="review")
    log.write([made])
    with (
        pytest.raises(sa.exc.DBAPIError, match="does not let this pass"),
        database.unit_of_work() as unit,
    ):
        kept.consume(unit.connection, [(made.id, "transfer:1", 1)], at=unit.now)


def test_many_callers_share_a_transaction_and_a_fault_is_told_to_all() -> None:
    batches: list[int] = []
    fails = False

    async def write(batch: list[Decision | HeardFold]) -> None:
        if fails:
            raise TenureIsOver
        batches.append(len(batch))

    async def run() -> None:
        nonlocal fails
        writer = LogWriter(write)
        await asyncio.gather(*(writer.durable(decision(n)) for n in range(100)))
        fails = True
        told = await asyncio.gather(
            *(writer.durable(decision(n)) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(one, TenureIsOver) for one in told)
        with pytest.raises(TenureIsOver):
            await writer.durable(decision())

    asyncio.run(run())
    assert sum(batches) == 100
    assert len(batches) < 10
