"""The statements of the hot path: lock, read, write. Each is one statement for a whole batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from steelyard.ledger.model.accounts import (
    AccountRef,
    AccountState,
    BookState,
    book_is_well_formed,
    code_is_well_formed,
)
from steelyard.ledger.model.decide import State
from steelyard.ledger.model.transfers import Transfer, TransferRecord
from steelyard.ledger.store.arrays import hexadecimal, plain, quoted, sparse

RECORD = (
    "book, at, id, kind, debit, credit, currency, posted_minor, held_minor, effective_on,"
    " off_dated, cause, debit_balance, credit_balance, refers_to, entry, decision_id, expires_at,"
    " metadata::text, hash"
)
"""The columns of a `TransferRecord`, in its order."""

_LOCK = """
    SELECT id, business_on, closed_through, last_at, head FROM ledger.book
    WHERE id = ANY(%s::text[]) ORDER BY id FOR UPDATE
"""
_LOCK_AND_READ = """
    SELECT * FROM ledger.lock_and_read(%s, %s::uuid[], %s::bigint[], %s::text[])
"""
_KNOWN = f"SELECT {RECORD} FROM ledger.known_transfers(%s, %s::uuid[])"
# The array literals keep their order, and the rows are in the order of recording.
_INSERT = """
    INSERT INTO ledger.transfer (
        book, at, id, kind, debit, credit, currency, posted_minor, held_minor, effective_on,
        off_dated, cause, debit_balance, credit_balance, refers_to, entry, decision_id,
        expires_at, metadata, hash
    )
    SELECT %s, at, id, kind, debit, credit, currency, posted, held, effective_on,
        off_dated, cause, debit_balance, credit_balance, refers_to, entry, decision_id,
        expires_at, metadata::jsonb, hash
    FROM unnest(
        %s::bigint[], %s::uuid[], %s::smallint[], %s::bigint[], %s::bigint[], %s::text[],
        %s::bigint[], %s::bigint[], %s::date[], %s::boolean[], %s::text[], %s::bigint[],
        %s::bigint[], %s::uuid[], %s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::bytea[]
    ) AS t (at, id, kind, debit, credit, currency, posted, held, effective_on, off_dated, cause,
            debit_balance, credit_balance, refers_to, entry, decision_id, expires_at, metadata,
            hash)
"""
_SPARSE, _QUOTED, _HEX = 14, 18, 19
"""Columns of a record: the first that is often NULL, the one that needs quotes, and the hash."""


def lock_books(driver: psycopg.Connection[Any], books: Collection[str]) -> dict[str, BookState]:
    """Lock the books of these ids in the order of the ids, and return those that there are."""
    rows = driver.execute(_LOCK, (plain(b for b in sorted(books) if book_is_well_formed(b)),))
    return {
        id: BookState(id, business_on, closed_through, last_at=last_at, head=head)
        for id, business_on, closed_through, last_at, head in rows
    }


def read_state(driver: psycopg.Connection[Any], batch: Sequence[Transfer]) -> State:
    """Lock the books of a batch and return what stands in them of what the batch is about.

    The books are locked in the order of their ids.
    """
    books: dict[str, BookState] = {}
    accounts: dict[tuple[str, AccountRef], AccountState] = {}
    state = State(books, accounts)
    names = {t.book for t in batch}
    for name in sorted(names):
        if not book_is_well_formed(name):
            continue
        ours = batch if len(names) == 1 else [t for t in batch if t.book == name]
        ids = {t.id for t in ours}
        ids.update(t.refers_to for t in ours if t.refers_to is not None)
        row = _lock_and_read(driver, name, ids, {r for t in ours for r in (t.debit, t.credit)})
        business_on, closed_through, last_at, head, any_is_known, *columns = row
        if business_on is None:
            continue
        books[name] = BookState(name, business_on, closed_through, last_at=last_at, head=head)
        _enter_accounts(name, columns, accounts)
        if any_is_known:
            _read_known(driver, name, ids, state)
    return state


def _lock_and_read(
    driver: psycopg.Connection[Any],
    book: str,
    ids: Collection[UUID],
    references: Iterable[AccountRef | None],
) -> tuple[Any, ...]:
    codes: list[str] = []
    numbers: list[int] = []
    for reference in references:
        if isinstance(reference, str):
            if code_is_well_formed(reference):
                codes.append(reference)
        elif reference is not None and 0 < reference < 2**63:
            numbers.append(reference)
    values = (book, plain([id.hex for id in ids]), plain(numbers), plain(codes))
    row: tuple[Any, ...] | None = driver.execute(_LOCK_AND_READ, values).fetchone()
    assert row is not None
    return row


def _read_known(
    driver: psycopg.Connection[Any], book: str, ids: Collection[UUID], state: State
) -> None:
    """Read the recorded transfers of a locked book that a batch repeats or refers to."""
    missing: set[AccountRef] = set()
    for row in driver.execute(_KNOWN, (book, plain([id.hex for id in ids]))):
        record = TransferRecord._make(row)
        if record.refers_to is not None:
            state.resolved.add((book, record.refers_to))
        if record.id in ids:
            state.known[book, record.id] = record
            missing.update((record.debit, record.credit))
    missing = {number for number in missing if (book, number) not in state.accounts}
    if missing:
        _, _, _, _, _, *columns = _lock_and_read(driver, book, (), missing)
        _enter_accounts(book, columns, state.accounts)


def _enter_accounts(
    book: str,
    texts: Sequence[str | None],
    accounts: dict[tuple[str, AccountRef], AccountState],
) -> None:
    """Make states of the columns of accounts; without a row they are all NULL."""
    columns = [text.split(",") for text in texts if text is not None]
    if not columns:
        return
    ids, codes, currencies, mirrors, closed, *numbers = columns
    counters = zip(*(map(int, column) for column in numbers[:4]), strict=True)
    limits = zip(*numbers[4:], strict=True)
    for id, code, currency, mirror, is_closed, four, (debit_limit, credit_limit) in zip(
        map(int, ids), codes, currencies, mirrors, closed, counters, limits, strict=True
    ):
        account = accounts.get((book, id))
        if account is None:
            account = AccountState(
                id, currency, closed=is_closed == "1", mirrors=mirror if mirror else None
            )
            account.restore(four)
            account.debit_limit = int(debit_limit) if debit_limit else None
            account.credit_limit = int(credit_limit) if credit_limit else None
            accounts[book, id] = account
        accounts[book, code] = account


def write_records(driver: psycopg.Connection[Any], records: Sequence[TransferRecord]) -> None:
    """Insert the records, a statement for each book; counters and chain follow by trigger."""
    by_book: dict[str, list[TransferRecord]] = {}
    for record in records:
        by_book.setdefault(record.book, []).append(record)
    for book, ours in by_book.items():
        columns = list(zip(*ours, strict=True))
        dense = [plain(column) for column in columns[1:_SPARSE]]
        often_null = [sparse(column) for column in columns[_SPARSE:_QUOTED]]
        metadata = columns[_QUOTED]
        driver.execute(
            _INSERT,
            (
                book,
                *dense,
                *often_null,
                quoted(metadata) if any(metadata) else "{}",
                hexadecimal(columns[_HEX]),
            ),
        )


def expired_holds(driver: psycopg.Connection[Any], book: str, at: int, limit: int) -> list[UUID]:
    """Return the ids of unresolved holds that expired at or before `at`, oldest first."""
    rows = driver.execute(
        """
        SELECT h.id FROM ledger.transfer h
        WHERE h.book = %s AND h.expires_at <= %s AND NOT EXISTS (
            SELECT FROM ledger.transfer r WHERE r.book = h.book AND r.refers_to = h.id)
        ORDER BY h.expires_at LIMIT %s
        """,
        (book, at, limit),
    )
    return [id for (id,) in rows]
