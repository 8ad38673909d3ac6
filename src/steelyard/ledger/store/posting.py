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
# The columns come as texts of comma-separated values: a tenth of the time of as many rows.
_ACCOUNT = ", ".join(
    f"array_to_string(array_agg({column}), ',', '')"
    for column in (
        "id",
        "code",
        "currency",
        "mirrors",
        "closed::integer",
        "debits_posted",
        "debits_held",
        "credits_posted",
        "credits_held",
        "debit_limit",
        "credit_limit",
    )
)
_ACCOUNTS_BY_ID = f"""
    SELECT {_ACCOUNT} FROM ledger.account WHERE book = %s AND id = ANY(%s::bigint[])
"""
_ACCOUNTS_BY_CODE = f"""
    SELECT {_ACCOUNT} FROM ledger.account WHERE book = %s AND code = ANY(%s::text[])
"""
_KNOWN = f"""
    SELECT {RECORD} FROM ledger.transfer WHERE book = %s AND id = ANY(%s::uuid[])
"""
_RESOLVED = """
    SELECT refers_to FROM ledger.transfer WHERE book = %s AND refers_to = ANY(%s::uuid[])
"""
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

    The reads are statements of their own after the lock: they see what the holder of the lock
    before us has committed.
    """
    names = {t.book for t in batch}
    state = State(lock_books(driver, names), {})
    accounts: dict[tuple[str, AccountRef], AccountState] = {}
    state.accounts = accounts
    for name in state.books:
        ours = batch if len(names) == 1 else [t for t in batch if t.book == name]
        _read_known(driver, name, ours, state)
        _read_accounts(driver, name, _references(ours, name, state), accounts)
    return state


def _references(batch: Iterable[Transfer], book: str, state: State) -> set[AccountRef]:
    found: set[AccountRef] = set()
    for t in batch:
        if t.refers_to is not None:
            record = state.known.get((book, t.refers_to))
            if record is not None:
                found.add(record.debit)
                found.add(record.credit)
        if t.debit is not None:
            found.add(t.debit)
        if t.credit is not None:
            found.add(t.credit)
    return found


def _read_known(
    driver: psycopg.Connection[Any], book: str, batch: Sequence[Transfer], state: State
) -> None:
    referred = {t.refers_to for t in batch if t.refers_to is not None}
    ids = {t.id for t in batch} | referred
    for row in driver.execute(_KNOWN, (book, plain([id.hex for id in ids]))):
        record = TransferRecord._make(row)
        state.known[book, record.id] = record
    if referred:
        for (refers_to,) in driver.execute(_RESOLVED, (book, plain([id.hex for id in referred]))):
            state.resolved.add((book, refers_to))


def _read_accounts(
    driver: psycopg.Connection[Any],
    book: str,
    references: Iterable[AccountRef],
    accounts: dict[tuple[str, AccountRef], AccountState],
) -> None:
    codes: list[str] = []
    numbers: list[int] = []
    for reference in references:
        if isinstance(reference, str):
            if code_is_well_formed(reference):
                codes.append(reference)
        elif 0 < reference < 2**63:
            numbers.append(reference)
    found: list[tuple[Any, ...] | None] = []
    if numbers:
        found.append(driver.execute(_ACCOUNTS_BY_ID, (book, plain(numbers))).fetchone())
    if codes:
        found.append(driver.execute(_ACCOUNTS_BY_CODE, (book, plain(codes))).fetchone())
    for columns in found:
        # Without a row the aggregates are NULL.
        if columns is not None and columns[0] is not None:
            _enter_accounts(book, [column.split(",") for column in columns], accounts)


def _enter_accounts(
    book: str, columns: list[list[str]], accounts: dict[tuple[str, AccountRef], AccountState]
) -> None:
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
