"""The audit finds what an administrator changed behind the triggers, and names where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from steelyard.base import Database
from steelyard.ledger import BookReader, Head, Kind
from steelyard.ledger.model.audit import Report
from steelyard.ledger.model.chain import seal
from steelyard.ledger.store import auditing
from tests.conftest import Store
from tests.ledger.town import ALICE, BANK, BOB, hold, open_town, put, resolve, transfer


@pytest.fixture
def town(database: Database) -> Database:
    """Thirty transfers in six batches; the row in question is the tenth."""
    open_town(database)
    kept = hold(BANK, ALICE, 70)
    put(database, kept, *[transfer(BANK, ALICE, 10 + n) for n in range(4)])
    for batch in range(5):
        put(database, *[transfer(BANK, ALICE, 1 + n + batch) for n in range(5)])
    put(database, resolve(Kind.POST, kept.id, 7), transfer(ALICE, BOB, 3))
    return database


def report(database: Database, against: Head | None = None) -> Report:
    with database.reading() as connection:
        return BookReader(connection, "town").verify(against=against)


def head(database: Database) -> Head:
    with database.reading() as connection:
        return BookReader(connection, "town").head()


def tamper(store: Store, *statements: str) -> None:
    """As the superuser, with every trigger off."""
    with psycopg.connect(store.conninfo("postgres")) as admin:
        admin.execute("SET session_replication_role = replica")
        for statement in statements:
            admin.execute(statement)


def row(database: Database, number: int) -> Any:
    with database.reading() as connection:
        reader = BookReader(connection, "town")
        return reader.movements(limit=1000).items[-number]


def test_sound_books_are_found_sound(town: Database) -> None:
    seen: list[tuple[int, int]] = []
    with town.reading() as connection:
        found = BookReader(connection, "town").verify(progress=lambda *at: seen.append(at))
    assert found.is_sound
    assert (found.transfers, found.accounts, found.blocks, found.open_holds) == (32, 4, 7, 0)
    assert found.head == head(town).hash
    assert seen == [(32, 32)]


CHANGES = [
    ("posted_minor = posted_minor + 1", {"chain_broken", "balance_differs"}),
    ("cause = 'rule.other@2'", {"chain_broken"}),
    ("effective_on = effective_on - 1", {"chain_broken"}),
    ("metadata = '{\"a\": 1}'", {"chain_broken"}),
    ("entry = gen_random_uuid()", {"chain_broken"}),
    ("decision_id = gen_random_uuid()", {"chain_broken"}),
    ("id = gen_random_uuid()", {"chain_broken"}),
    ("debit_balance = 0", {"chain_broken", "balance_differs"}),
    ("credit = 3", {"chain_broken", "balance_differs"}),
    ("currency = 'USD'", {"chain_broken", "currency_differs"}),
    ("debit = 77", {"chain_broken", "account_missing", "balance_differs"}),
    ("hash = sha256('x')", {"chain_broken"}),
]


@pytest.mark.parametrize(("change", "faults"), CHANGES)
def test_the_first_bad_transfer_is_named(
    town: Database, store: Store, change: str, faults: set[str]
) -> None:
    bad = row(town, 10)
    tamper(store, f"UPDATE ledger.transfer SET {change} WHERE at = {bad.at}")
    found = report(town)
    assert not found.is_sound
    assert found.findings[0].at == bad.at
    assert faults <= {f.fault.value for f in found.findings if f.at == bad.at}


def test_a_missing_row_is_named_by_the_next(town: Database, store: Store) -> None:
    bad, after = row(town, 10), row(town, 11)
    tamper(store, f"DELETE FROM ledger.transfer WHERE at = {bad.at}")
    assert report(town).findings[0].at == after.at


def test_missing_rows_at_the_end_are_seen_in_the_head(town: Database, store: Store) -> None:
    last = row(town, 32)
    tamper(store, f"DELETE FROM ledger.transfer WHERE at = {last.at}")
    faults = {f.fault.value for f in report(town).findings}
    assert {"head_differs", "block_differs", "counters_differ"} <= faults


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE ledger.account SET credits_posted = credits_posted + 5 WHERE id = 3",
         "counters_differ"),
        ("UPDATE ledger.account SET debits_held = 5 WHERE id = 1", "counters_differ"),
        ("DELETE FROM ledger.block WHERE n = 2", "block_differs"),
        ("UPDATE ledger.block SET hash = sha256('x') WHERE n = 2", "block_differs"),
        ("UPDATE ledger.block SET from_at = 1 WHERE n = 3", "block_differs"),
        ("UPDATE ledger.book SET head = sha256('x')", "head_differs"),
    ],
)  # fmt: skip
def test_what_the_other_tables_claim_is_compared(
    town: Database, store: Store, statement: str, fault: str
) -> None:
    tamper(store, statement)
    assert fault in {f.fault.value for f in report(town).findings}


def test_a_resolution_without_its_hold_is_found(town: Database, store: Store) -> None:
    first = row(town, 1)
    tamper(store, f"DELETE FROM ledger.transfer WHERE at = {first.at}")
    assert "reference_wrong" in {f.fault.value for f in report(town).findings}


def rewrite(database: Database, store: Store) -> None:
    """Change an amount and everything that follows from it: the perfect crime."""
    with psycopg.connect(store.conninfo("postgres")) as admin:
        admin.execute("SET session_replication_role = replica")
        records = [r for page in auditing.stream_records(admin, "town") for r in page]
        from steelyard.ledger.model.chain import genesis

        last, shift = genesis("town", "own"), 0
        for number, record in enumerate(records):
            if number == 9:
                shift, record = 5, record._replace(posted_minor=record.posted_minor + 5)
            record = record._replace(
                debit_balance=record.debit_balance + (shift if record.debit == 1 else -shift),
                credit_balance=record.credit_balance - (shift if record.credit == 2 else 0),
            )
            last = seal(last, record)
            admin.execute(
                "UPDATE ledger.transfer SET posted_minor = %s, debit_balance = %s,"
                " credit_balance = %s, hash = %s WHERE at = %s",
                (record.posted_minor, record.debit_balance, record.credit_balance, last, record.at),
            )
        admin.execute("UPDATE ledger.account SET debits_posted = debits_posted + 5 WHERE id = 1")
        admin.execute("UPDATE ledger.account SET credits_posted = credits_posted + 5 WHERE id = 2")
        admin.execute(
            "UPDATE ledger.block b SET hash = t.hash FROM ledger.transfer t WHERE t.at = b.to_at"
        )
        admin.execute("UPDATE ledger.book SET head = %s", (last,))


def test_only_a_published_head_proves_anything_against_an_administrator(
    town: Database, store: Store
) -> None:
    published = head(town)
    put(town, transfer(BANK, ALICE, 1))
    assert report(town, published).is_sound
    rewrite(town, store)
    assert report(town).is_sound, "everything was computed anew"
    (finding,) = report(town, published).findings
    assert finding.fault.value == "head_differs"


def test_a_head_that_was_never_published_is_not_in_the_chain(town: Database) -> None:
    published = head(town)
    for wrong in (
        replace(published, hash="00" * 32),
        replace(published, transfers=31),
        replace(published, at=published.at + 1),
    ):
        assert not report(town, wrong).is_sound
