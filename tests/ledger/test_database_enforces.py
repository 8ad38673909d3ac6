"""Whoever has the application role and goes around the service cannot break the books."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from steelyard.base import Database
from steelyard.ledger import Kind, NewAccount, Transfer, close_account, close_day, close_period
from steelyard.ledger.model.accounts import AccountKind, Funds
from steelyard.ledger.model.chain import seal
from steelyard.ledger.model.decide import State, decide, microseconds
from steelyard.ledger.model.transfers import TransferRecord
from steelyard.ledger.store.posting import read_state, write_records
from tests.conftest import Store
from tests.ledger.town import (
    ACCOUNTS,
    ALICE,
    BANK,
    BOB,
    DAY,
    hold,
    is_sound,
    open_town,
    outcomes,
    put,
    resolve,
    transfer,
)


@pytest.fixture
def town(database: Database) -> Database:
    open_town(database)
    assert outcomes(put(database, transfer(BANK, ALICE, 1000))) == ["created"]
    return database


@pytest.fixture
def hostile(store: Store) -> Iterator[psycopg.Connection[Any]]:
    """The application role, with a shell of its own."""
    with psycopg.connect(store.conninfo()) as connection:
        yield connection
        connection.rollback()


class Forge:
    """Inserts rows that would be right but for the changes; the hash is the forged row's own."""

    def __init__(self, town: Database, connection: psycopg.Connection[Any]) -> None:
        self.town = town
        self.connection = connection

    def __call__(self, asked: Transfer, **changes: Any) -> None:
        state = read_state(self.connection, [asked])
        head = state.books["town"].head
        at = microseconds(self.town.now())
        (record,) = decide([asked], _without_limits(state), at=at).records
        record = record._replace(**changes)
        record = record._replace(hash=changes.get("hash", seal(head, record)))
        write_records(self.connection, [record])


@pytest.fixture
def forge(town: Database, hostile: psycopg.Connection[Any]) -> Forge:
    return Forge(town, hostile)


def _without_limits(state: State) -> State:
    for account in state.accounts.values():
        account.debit_limit = account.credit_limit = None
        account.closed = False
    for book in state.books.values():
        book.closed_through = None
    return state


def test_a_row_that_is_right_is_taken(forge: Forge, hostile: Any, town: Database) -> None:
    forge(transfer(ALICE, BOB, 10))
    hostile.commit()
    assert is_sound(town)


FORGED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"cause": ""}, errors.IntegrityError),
    ({"cause": "because"}, errors.CheckViolation),
    ({"currency": "USD"}, errors.CheckViolation),
    ({"debit": 3}, errors.CheckViolation),
    ({"debit": 99}, errors.CheckViolation),
    ({"posted_minor": 0}, errors.CheckViolation),
    ({"posted_minor": -10}, errors.CheckViolation),
    ({"posted_minor": 2**62}, errors.CheckViolation),
    ({"posted_minor": 11}, errors.CheckViolation),
    ({"held_minor": 5}, errors.CheckViolation),
    ({"debit_balance": 0}, errors.CheckViolation),
    ({"credit_balance": 7}, errors.CheckViolation),
    ({"hash": bytes(32)}, errors.CheckViolation),
    ({"hash": b""}, errors.CheckViolation),
    ({"at": 1}, errors.CheckViolation),
    ({"at": -1}, errors.CheckViolation),
    ({"off_dated": True}, errors.CheckViolation),
    ({"effective_on": DAY + timedelta(1)}, errors.CheckViolation),
    ({"book": "nowhere"}, errors.CheckViolation),
    ({"kind": 2}, errors.CheckViolation),
    ({"kind": 5}, errors.CheckViolation),
    ({"refers_to": UUID(int=9)}, errors.CheckViolation),
    ({"expires_at": 7_000_000_000_000_000}, errors.CheckViolation),
    ({"metadata": "[]"}, errors.CheckViolation),
]


@pytest.mark.parametrize(("change", "refused"), FORGED, ids=lambda v: str(v)[:40])
def test_a_forged_row_is_refused(
    forge: Forge, change: dict[str, Any], refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        forge(transfer(ALICE, BOB, 10), **change)


def test_limits_hold_without_the_service(forge: Forge) -> None:
    with pytest.raises(errors.CheckViolation, match="debit_limit_holds"):
        forge(transfer(ALICE, BOB, 1001))
    with pytest.raises(errors.InFailedSqlTransaction):
        forge(transfer(ALICE, BOB, 1))


def test_a_hold_counts_against_the_limit(forge: Forge, town: Database) -> None:
    put(town, hold(ALICE, BOB, 900))
    with pytest.raises(errors.CheckViolation, match="debit_limit_holds"):
        forge(transfer(ALICE, BOB, 101))


def test_an_id_is_taken_once(forge: Forge, town: Database) -> None:
    paid = transfer(ALICE, BOB, 10)
    put(town, paid)
    with pytest.raises(errors.UniqueViolation):
        forge(transfer(ALICE, BOB, 10), id=paid.id)


def test_a_hold_is_resolved_once_and_as_it_was_made(forge: Forge, town: Database) -> None:
    kept = hold(ALICE, BOB, 10)
    put(town, kept)
    right = resolve(Kind.POST, kept.id)
    for wrong in (
        {"posted_minor": 11},
        {"held_minor": -9},
        {"held_minor": -11},
        {"refers_to": UUID(int=9)},
        {"debit": 3, "credit": 2, "debit_balance": 10, "credit_balance": -1010},
    ):
        with pytest.raises(errors.CheckViolation):
            forge(right, **wrong)
        forge.connection.rollback()
    put(town, right)
    with pytest.raises(errors.UniqueViolation):
        forge(transfer(ALICE, BOB, 10), kind=3, posted_minor=0, held_minor=-10, refers_to=kept.id)


def test_an_expired_hold_is_not_posted(forge: Forge, town: Database) -> None:
    soon = town.now() + timedelta(seconds=1)
    kept = hold(ALICE, BOB, 10, expires_at=soon)
    put(town, kept)
    with pytest.raises(errors.CheckViolation):
        forge(resolve(Kind.POST, kept.id), at=microseconds(soon))


def test_a_reversal_mirrors_what_was_posted(forge: Forge, town: Database) -> None:
    paid = transfer(ALICE, BOB, 10)
    put(town, paid)
    less = {"posted_minor": 9, "debit_balance": -1, "credit_balance": -991}
    with pytest.raises(errors.CheckViolation):
        forge(resolve(Kind.REVERSAL, paid.id), **less)
    forge.connection.rollback()
    put(town, resolve(Kind.REVERSAL, paid.id))
    with pytest.raises(errors.UniqueViolation):
        forge(transfer(ALICE, BOB, 10), kind=4, refers_to=paid.id)


def test_a_closed_account_stays_still(forge: Forge, town: Database) -> None:
    with town.unit_of_work() as uow:
        close_account(uow, "town", BOB, cause="test@1")
    with pytest.raises(errors.CheckViolation):
        forge(transfer(ALICE, BOB, 10))


def test_a_closed_period_stays_closed(forge: Forge, town: Database) -> None:
    with town.unit_of_work() as uow:
        close_day(uow, "town")
        close_period(uow, "town", through=DAY)
    with pytest.raises(errors.CheckViolation):
        forge(transfer(ALICE, BOB, 10, effective_on=DAY))


def test_one_statement_writes_into_one_book(town: Database, hostile: Any) -> None:
    open_town(town, "other")
    row = (
        "(1, 1, 2, 1, 0, 1, -1, NULL, gen_random_uuid(), '2026-03-02', 0, false, '{}', 'CNY',"
        " 'a@1', '')"
    )
    rows = ",".join(row.replace("{}", book) for book in ("town", "other"))
    with pytest.raises(errors.CheckViolation, match="one book"):
        hostile.execute(
            "INSERT INTO ledger.transfer (at, debit, credit, posted_minor, held_minor,"
            " debit_balance, credit_balance, expires_at, id, effective_on, kind, off_dated, book,"
            f" currency, cause, hash) VALUES {rows}"
        )


DENIED = [
    "UPDATE ledger.transfer SET posted_minor = 1",
    "DELETE FROM ledger.transfer",
    "TRUNCATE ledger.transfer",
    "DELETE FROM ledger.block",
    "UPDATE ledger.block SET hash = ''",
    "INSERT INTO ledger.block VALUES ('town', 9, 1, 1, 1, '')",
    "DELETE FROM ledger.limits",
    "INSERT INTO ledger.day VALUES ('town', '2027-01-01', 1)",
    "UPDATE ledger.account SET credits_posted = credits_posted + 1",
    "UPDATE ledger.account SET debits_held = 0",
    "UPDATE ledger.account SET currency = 'USD'",
    "UPDATE ledger.account SET kind = 'asset'",
    "UPDATE ledger.account SET mirrors = NULL",
    "DELETE FROM ledger.account",
    "INSERT INTO ledger.account (book, id, code, currency, kind, opened_at, limits_cause,"
    " credits_posted) VALUES ('town', 5, 'x', 'CNY', 'liability', now(), 'a@1', 9)",
    "UPDATE ledger.book SET head = ''",
    "UPDATE ledger.book SET last_at = 0",
    "UPDATE ledger.book SET funds = 'client'",
    "UPDATE ledger.book SET accounts = 0",
    "DELETE FROM ledger.book",
    "TRUNCATE ledger.book CASCADE",
    "ALTER TABLE ledger.transfer DISABLE TRIGGER ALL",
    "ALTER TABLE ledger.account DROP CONSTRAINT debit_limit_holds",
    "DROP TRIGGER transfers_are_taken ON ledger.transfer",
    "CREATE TABLE ledger.own (a int)",
    "CREATE OR REPLACE FUNCTION ledger.take_transfers() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RETURN NULL; END $$",
    "SET session_replication_role = replica",
    "SET ROLE steelyard_owner",
    "COPY ledger.block FROM PROGRAM 'true'",
]


@pytest.mark.parametrize("statement", DENIED)
def test_what_only_triggers_write_is_denied(town: Database, hostile: Any, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        hostile.execute(statement)


REFUSED = [
    ("UPDATE ledger.book SET business_on = business_on - 1", errors.RestrictViolation),
    ("UPDATE ledger.book SET closed_through = business_on", errors.CheckViolation),
    ("UPDATE ledger.account SET closed = true WHERE code = 'wallet:alice'", errors.CheckViolation),
    (
        "UPDATE ledger.account SET credit_limit = 999 WHERE code = 'wallet:alice'",
        errors.CheckViolation,
    ),
    (
        "INSERT INTO ledger.account (book, id, code, currency, kind, opened_at, limits_cause)"
        " VALUES ('town', 9, 'x', 'CNY', 'liability', now(), 'a@1')",
        errors.CheckViolation,
    ),
    (
        "INSERT INTO ledger.account (book, id, code, currency, kind, opened_at, limits_cause)"
        " VALUES ('town', 5, 'wallet:bob', 'CNY', 'liability', now(), 'a@1')",
        errors.UniqueViolation,
    ),
    (
        "INSERT INTO ledger.book (id, name, timezone, funds, opened_at, business_on)"
        " VALUES ('Town', 'T', 'UTC', 'own', now(), '2026-01-01')",
        errors.CheckViolation,
    ),
    (
        "INSERT INTO ledger.book (id, name, timezone, funds, opened_at, business_on)"
        " VALUES ('mars', 'T', 'Mars/Olympus', 'own', now(), '2026-01-01')",
        errors.InvalidParameterValue,
    ),
]


@pytest.mark.parametrize(("statement", "refused"), REFUSED)
def test_what_may_be_written_must_be_right(
    town: Database, hostile: Any, statement: str, refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        hostile.execute(statement)


def test_the_closed_period_does_not_open_again(town: Database, hostile: Any) -> None:
    with town.unit_of_work() as uow:
        close_day(uow, "town")
        close_period(uow, "town", through=DAY)
    for value in ("NULL", "closed_through - 1"):
        with pytest.raises(errors.RestrictViolation):
            hostile.execute(f"UPDATE ledger.book SET closed_through = {value}")
        hostile.rollback()


def test_a_changed_limit_leaves_its_history(town: Database, hostile: Any) -> None:
    hostile.execute("UPDATE ledger.account SET debit_limit = 500 WHERE code = 'wallet:bob'")
    rows = hostile.execute(
        "SELECT version, debit_limit FROM ledger.limits WHERE account = 3 ORDER BY version"
    ).fetchall()
    assert rows == [(0, 0), (1, 500)]


def test_client_funds_are_neither_earned_nor_owned(town: Database, hostile: Any) -> None:
    open_town(town, "client", funds=Funds.CLIENT, accounts=ACCOUNTS[:2])
    with pytest.raises(errors.CheckViolation, match="client funds"):
        hostile.execute(
            "INSERT INTO ledger.account (book, id, code, currency, kind, opened_at, limits_cause)"
            " VALUES ('client', 3, 'fees', 'CNY', 'income', now(), 'a@1')"
        )


def test_one_side_of_a_movement_between_books_does_not_commit(town: Database, hostile: Any) -> None:
    facing = NewAccount.mirror("client", currency="CNY", kind=AccountKind.ASSET)
    back = NewAccount.mirror("town", currency="CNY", kind=AccountKind.LIABILITY)
    open_town(town, "client", funds=Funds.CLIENT, accounts=(*ACCOUNTS[:2], back))
    open_town(town, accounts=(*ACCOUNTS, facing))
    alone = transfer(facing.code, ALICE, 10)
    assert outcomes(put(town, alone)) == ["mirror_unmatched"]
    (record,) = _decided(hostile, alone, town)
    write_records(hostile, [record])
    with pytest.raises(errors.CheckViolation, match="does not mirror"):
        hostile.commit()


def _decided(connection: Any, asked: Transfer, town: Database) -> list[TransferRecord]:
    state = read_state(connection, [asked])
    for account in state.accounts.values():
        account.mirrors = None
    return decide([asked], state, at=microseconds(town.now())).records


def test_even_the_owner_cannot_rewrite_history(town: Database, store: Store) -> None:
    with psycopg.connect(store.conninfo("steelyard_owner")) as owner:
        for statement in (
            "UPDATE ledger.transfer SET posted_minor = 1",
            "DELETE FROM ledger.transfer",
            "TRUNCATE ledger.transfer",
            "DELETE FROM ledger.block",
            "TRUNCATE ledger.limits",
            "UPDATE ledger.day SET from_at = 1",
        ):
            with pytest.raises(errors.RestrictViolation):
                owner.execute(statement)
            owner.rollback()


def test_a_session_with_other_formats_reads_and_writes_the_same_bytes(
    town: Database, hostile: Any
) -> None:
    hostile.execute("SET datestyle = 'SQL, DMY'")
    hostile.execute("SET bytea_output = 'escape'")
    hostile.execute("SET extra_float_digits = -15")
    asked = transfer(
        ALICE, BOB, 10, metadata={"订": 1} if False else {"b": 'é\\"/好', "aa": True, "n": -5}
    )
    write_records(hostile, _decided(hostile, asked, town))
    hostile.commit()
    assert is_sound(town)
