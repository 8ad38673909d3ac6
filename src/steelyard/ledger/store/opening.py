"""Statements that open and change books and accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import psycopg

from steelyard.ledger.model.accounts import Book, NewAccount
from steelyard.ledger.model.metadata import metadata_text
from steelyard.ledger.store.arrays import plain, quoted

Driver = psycopg.Connection[Any]


def knows_timezone(driver: Driver, name: str) -> bool:
    """Return whether the database knows a time zone by this name."""
    row = driver.execute(
        "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = ANY(%s::text[]))",
        (quoted([name.replace("\0", " ")]),),
    ).fetchone()
    return row is not None and bool(row[0])


def insert_book(driver: Driver, book: Book) -> bool:
    """Insert a book; False when the id was taken."""
    done = driver.execute(
        """
        INSERT INTO ledger.book (id, name, timezone, funds, opened_at, business_on)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
        """,
        (book.id, book.name, book.timezone, book.funds, book.opened_at, book.business_on),
    )
    return done.rowcount == 1


def count_accounts(driver: Driver, book: str) -> tuple[int, str]:
    """Return how many accounts a locked book has, and whose funds it keeps."""
    row = driver.execute("SELECT accounts, funds FROM ledger.book WHERE id = %s", (book,))
    found = row.fetchone()
    assert found is not None
    return int(found[0]), str(found[1])


def insert_accounts(
    driver: Driver,
    book: str,
    accounts: Sequence[tuple[int, NewAccount]],
    *,
    opened_at: datetime,
    cause: str,
) -> None:
    """Insert numbered accounts with one statement."""
    new = [account for _, account in accounts]
    driver.execute(
        """
        INSERT INTO ledger.account (book, id, code, currency, kind, owner, mirrors, metadata,
                                    opened_at, debit_limit, credit_limit, limits_cause)
        SELECT %s, id, code, currency, kind, owner, mirrors, metadata::jsonb, %s, debit_limit,
               credit_limit, %s
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
                    %s::text[], %s::bigint[], %s::bigint[])
            AS n (id, code, currency, kind, owner, mirrors, metadata, debit_limit, credit_limit)
        """,
        (
            book,
            opened_at,
            cause,
            plain(number for number, _ in accounts),
            plain(a.code for a in new),
            plain(a.currency for a in new),
            plain(a.kind.value for a in new),
            quoted(a.owner for a in new),
            quoted(a.mirrors for a in new),
            quoted(None if a.metadata is None else metadata_text(a.metadata) for a in new),
            plain(a.debit_limit for a in new),
            plain(a.credit_limit for a in new),
        ),
    )


def find_codes(driver: Driver, book: str, codes: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return number, code, currency, kind, owner and mirrored book of those that exist."""
    return driver.execute(
        "SELECT id, code, currency, kind, owner, mirrors FROM ledger.account"
        " WHERE book = %s AND code = ANY(%s::text[])",
        (book, plain(codes)),
    ).fetchall()


def update_limits(
    driver: Driver,
    book: str,
    account: int,
    limits: tuple[int | None, int | None],
    *,
    cause: str,
) -> None:
    """Set debit and credit limit; the version and the history follow by trigger."""
    driver.execute(
        "UPDATE ledger.account SET debit_limit = %s, credit_limit = %s, limits_cause = %s"
        " WHERE book = %s AND id = %s",
        (*limits, cause, book, account),
    )


def update_closed(driver: Driver, book: str, account: int) -> None:
    """Mark an account as closed."""
    driver.execute(
        "UPDATE ledger.account SET closed = true WHERE book = %s AND id = %s", (book, account)
    )


def update_dates(
    driver: Driver,
    book: str,
    *,
    business_on: date | None = None,
    closed_through: date | None = None,
) -> None:
    """Move the business date or the end of the closed periods on."""
    driver.execute(
        "UPDATE ledger.book SET business_on = COALESCE(%s, business_on),"
        " closed_through = COALESCE(%s, closed_through) WHERE id = %s",
        (business_on, closed_through, book),
    )
