"""Streaming a book to its audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg

from steelyard.ledger.model.audit import AccountClaim, BlockClaim
from steelyard.ledger.model.transfers import TransferRecord
from steelyard.ledger.store.posting import RECORD

Driver = psycopg.Connection[Any]
PAGE = 5_000


def stream_records(driver: Driver, book: str) -> Iterator[list[TransferRecord]]:
    """Yield the transfers of a book in the order of recording, some thousands at a time."""
    last = 0
    while True:
        rows = driver.execute(
            f"SELECT {RECORD} FROM ledger.transfer WHERE book = %s AND at > %s"
            " ORDER BY at LIMIT %s",
            (book, last, PAGE),
            binary=True,
        ).fetchall()
        if not rows:
            return
        page = [TransferRecord._make(row) for row in rows]
        last = page[-1].at
        yield page


def read_currencies(driver: Driver, book: str) -> dict[int, str]:
    """Return the currency of each account by number."""
    return dict(
        driver.execute(
            "SELECT id, currency FROM ledger.account WHERE book = %s", (book,)
        ).fetchall()
    )


def read_reversed(driver: Driver, book: str) -> list[UUID]:
    """Return the ids of reversed transfers."""
    rows = driver.execute(
        "SELECT refers_to FROM ledger.transfer WHERE book = %s AND refers_to IS NOT NULL"
        " AND kind = 4",
        (book,),
    )
    return [id for (id,) in rows]


def stream_claims(driver: Driver, book: str) -> Iterator[AccountClaim]:
    """Yield what the account table claims, by number."""
    rows = driver.execute(
        """
        SELECT a.id, a.currency, a.debits_posted, a.debits_held, a.credits_posted, a.credits_held,
               a.debit_limit, a.credit_limit, a.mirrors, m.id, m.debits_posted, m.debits_held,
               m.credits_posted, m.credits_held
        FROM ledger.account a
        LEFT JOIN ledger.account m
            ON m.book = a.mirrors AND m.mirrors = a.book AND m.currency = a.currency
        WHERE a.book = %s ORDER BY a.id
        """,
        (book,),
    )
    for id, currency, d, dh, c, ch, debit_limit, credit_limit, mirrors, far, *far_counters in rows:
        mirrored = None
        if far is not None:
            mirrored = (far_counters[0], far_counters[1], far_counters[2], far_counters[3])
        counters = (d, dh, c, ch)
        yield AccountClaim(id, currency, counters, debit_limit, credit_limit, mirrors, mirrored)


def read_blocks(driver: Driver, book: str) -> list[BlockClaim]:
    """Return what the block table claims, by number."""
    rows = driver.execute(
        "SELECT n, from_at, to_at, transfers, hash FROM ledger.block WHERE book = %s ORDER BY n",
        (book,),
    )
    return [BlockClaim._make(row) for row in rows]


def read_hash(driver: Driver, book: str, at: int) -> tuple[bytes, int] | None:
    """Return the hash of the transfer at an instant, and how many there are up to it, or None."""
    row = driver.execute(
        "SELECT hash, (SELECT count(*) FROM ledger.transfer p WHERE p.book = t.book"
        " AND p.at <= t.at) FROM ledger.transfer t WHERE book = %s AND at = %s",
        (book, at),
    ).fetchone()
    return None if row is None else (row[0], int(row[1]))
