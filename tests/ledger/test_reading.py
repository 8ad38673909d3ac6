"""Statements, balances at both times, trial balances, search; and the plans behind them."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from steelyard.base import Database
from steelyard.kernel import CursorIsInvalid, SteppingClock, encode_cursor
from steelyard.ledger import BookReader, Kind, Search, accounts_of, close_day, post
from steelyard.ledger.model.decide import microseconds
from steelyard.ledger.model.refusals import AccountNotFound, BookNotFound, OriginalNotFound
from steelyard.ledger.store.reading import STATEMENTS
from tests.ledger.town import (
    ALICE,
    BANK,
    BOB,
    DAY,
    balance,
    hold,
    open_town,
    outcomes,
    put,
    resolve,
    transfer,
)


def test_a_statement_runs_from_balance_to_balance_by_pages(database: Database) -> None:
    open_town(database)
    put(database, *[transfer(BANK, ALICE, n) for n in range(1, 8)])
    kept = hold(ALICE, BOB, 5)
    put(database, kept, transfer(ALICE, BOB, 3), resolve(Kind.POST, kept.id, 4))
    with database.reading() as connection:
        reader = BookReader(connection, "town")
        whole = reader.statement(ALICE, limit=100).items
        assert [line.change_minor for line in whole] == [1, 2, 3, 4, 5, 6, 7, -3, -4]
        assert [line.balance_minor for line in whole] == [1, 3, 6, 10, 15, 21, 28, 25, 21]
        assert whole[0].counter == (1, BANK)
        assert whole[-1].kind is Kind.POST
        for start, expected in (("oldest", list(whole)), ("newest", list(whole)[::-1])):
            found: list[Any] = []
            page = reader.statement(ALICE, start=start, limit=4)  # type: ignore[arg-type]
            found += page.items
            while page.next:
                page = reader.statement(ALICE, start=start, limit=4, cursor=page.next)  # type: ignore[arg-type]
                found += page.items
            assert found == expected
        with pytest.raises(CursorIsInvalid):
            reader.statement(ALICE, cursor="x")
        with pytest.raises(AccountNotFound):
            reader.statement("wallet:nobody")
        for text in (encode_cursor(-1), encode_cursor(2**70), encode_cursor("a")):
            with pytest.raises(CursorIsInvalid):
                reader.movements(cursor=text)
        for odd in (0, -1, 2**63, "a b", "x" * 200):
            with pytest.raises(AccountNotFound):
                reader.account(odd)
        for name in ("nowhere", "a\0b", "x" * 99):
            with pytest.raises(BookNotFound):
                BookReader(connection, name)
        assert accounts_of(connection, "a\0b") == ()


def test_random_questions_of_both_times_are_answered_by_the_direct_sum(
    database: Database, clock: SteppingClock
) -> None:
    open_town(database)
    chance = random.Random(7)
    rows: list[tuple[int, date, int]] = []
    for _ in range(12):
        batch = []
        for _ in range(chance.randrange(1, 15)):
            side = chance.choice([(BANK, ALICE), (ALICE, BANK)])
            on = chance.choice([None, None, DAY + timedelta(chance.randrange(-5, 16))])
            minor = chance.randrange(1, 900)
            batch.append(transfer(*side, minor, effective_on=on))
        for answer in put(database, *batch):
            if answer.record is not None:
                sign = 1 if answer.record.credit == 2 else -1
                record = answer.record
                rows.append((record.at, record.effective_on, sign * record.posted_minor))
        clock.advance(timedelta(hours=chance.randrange(1, 40)))
        if chance.random() < 0.7:
            with database.unit_of_work() as uow:
                next_on = BookReader(uow.connection, "town").book.business_on
                close_day(uow, "town", next_on=next_on + timedelta(chance.randrange(1, 3)))
    assert any(on != DAY for _, on, _ in rows)
    first, last = rows[0][0], microseconds(clock.at)
    with database.reading() as connection:
        reader = BookReader(connection, "town")
        for _ in range(300):
            known = chance.choice(
                [None, chance.randrange(first - 10, last), chance.choice(rows)[0]]
            )
            on = chance.choice([None, DAY + timedelta(chance.randrange(-7, 20))])
            expected = sum(
                minor
                for at, effective_on, minor in rows
                if (known is None or at <= known) and (on is None or effective_on <= on)
            )
            recorded_at = None if known is None else _instant(known)
            asked = reader.balance(ALICE, recorded_at=recorded_at, effective_on=on)
            assert asked == expected, (known, on)
            trial = reader.trial_balance(recorded_at=recorded_at, effective_on=on)
            assert trial.is_balanced
            line = {line.code: line.credit_minor - line.debit_minor for line in trial.lines}
            assert line.get(ALICE, 0) == expected


def _instant(at: int) -> Any:
    from steelyard.ledger.model.decide import instant

    return instant(at)


def test_a_back_dated_transfer_changes_the_past_only_as_known_later(
    database: Database, clock: SteppingClock
) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 100))
    known_before = clock.at
    clock.advance(timedelta(days=1))
    with database.unit_of_work() as uow:
        close_day(uow, "town")
    put(database, transfer(BANK, ALICE, 7, effective_on=DAY))
    assert balance(database, ALICE, effective_on=DAY) == 107
    assert balance(database, ALICE, effective_on=DAY, recorded_at=known_before) == 100
    assert balance(database, ALICE, recorded_at=known_before) == 100
    assert balance(database, ALICE, effective_on=DAY - timedelta(1)) == 0


def test_movements_are_found_by_what_is_known_of_them(database: Database) -> None:
    open_town(database)
    mark, decision = uuid4(), uuid4()
    made = [
        transfer(BANK, ALICE, 1, metadata={"order": "A-1", "shop": 3}),
        transfer(BANK, ALICE, 2, metadata={"order": "A-2"}),
        transfer(BANK, BOB, 3, entry=mark, cause="rule.fee@1"),
        transfer(BANK, BOB, 4, decision_id=decision, effective_on=DAY - timedelta(9)),
    ]
    put(database, *made)
    with database.reading() as connection:
        reader = BookReader(connection, "town")

        def found(**conditions: Any) -> list[int]:
            return [m.amount_minor for m in reader.movements(Search(**conditions)).items]

        assert found() == [4, 3, 2, 1]
        assert found(metadata={"order": "A-1"}) == [1]
        assert found(metadata={"shop": 3}) == [1]
        assert found(metadata={"shop": 4}) == []
        assert found(metadata={"shop": "\0"}) == found(cause="\0") == found(account=2**70) == []
        assert found(account=3) == [4, 3]
        assert found(account=3, cause="rule.fee@1") == [3]
        assert found(entry=mark) == [3]
        assert found(decision_id=decision) == [4]
        assert found(effective_to=DAY - timedelta(1)) == [4]
        assert found(effective_from=DAY) == [3, 2, 1]
        page = reader.movements(limit=3)
        assert page.next is not None
        assert [m.amount_minor for m in reader.movements(cursor=page.next).items] == [1]
        assert reader.movement(made[0].id).debit_code == BANK
        with pytest.raises(OriginalNotFound):
            reader.movement(uuid4())


def test_a_trial_balance_shows_each_account_in_its_column(database: Database) -> None:
    open_town(database)
    put(database, transfer(BANK, ALICE, 100), transfer(ALICE, "income:fees", 30))
    with database.reading() as connection:
        reader = BookReader(connection, "town")
        trial = reader.trial_balance()
        assert [(line.code, line.debit_minor, line.credit_minor) for line in trial.lines] == [
            (BANK, 100, 0),
            ("income:fees", 0, 30),
            (ALICE, 0, 70),
        ]
        assert trial.totals == reader.trial_totals()
        assert reader.trial_balance(recorded_at=database.now() - timedelta(1)).lines == ()


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes(part))]


@pytest.fixture
def busy(database: Database) -> Database:
    """A book where one account has nearly all of many movements."""
    open_town(database)
    with database.unit_of_work() as uow:
        for _ in range(10):
            batch = [transfer(BANK, ALICE, 1) for _ in range(1000)]
            assert set(outcomes(post(uow, batch))) == {"created"}
    return database


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_questions_about_an_account_walk_an_index_and_stop(
    busy: Database, store: Any, name: str
) -> None:
    import psycopg

    values = {
        "book": "town",
        "account": 2,
        "at": 2**62,
        "known_at": 2**62,
        "effective_on": DAY,
        "limit": 50,
    }
    with psycopg.connect(store.conninfo("steelyard_owner")) as owner:
        owner.execute("ANALYZE ledger.transfer")
        statement = "EXPLAIN (FORMAT JSON, ANALYZE, TIMING OFF) " + STATEMENTS[name]
        (answer,) = owner.execute(statement, values).fetchone() or ()
    plan = nodes((json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"])
    on_transfers = [n for n in plan if n.get("Relation Name") == "transfer"]
    assert on_transfers
    for node in on_transfers:
        assert node["Node Type"] in ("Index Scan", "Bitmap Heap Scan"), node
        assert node["Actual Rows"] * node["Actual Loops"] <= 51
