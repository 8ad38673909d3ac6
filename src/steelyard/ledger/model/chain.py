"""The hash chain of a book: each transfer seals itself and everything before it.

The chain runs over transfers and not over batches: how callers happened to be batched into
transactions does not show in it, so that the same transfers at the same instants give the same
head. The database checks every link while it takes the row; `verify` recomputes them.
"""

from __future__ import annotations

from hashlib import sha256

from steelyard.ledger.model.transfers import TransferRecord


def genesis(book: str, funds: str) -> bytes:
    """Return the head of a book without transfers."""
    return sha256(f"steelyard.ledger\t{book}\t{funds}".encode()).digest()


def canonical(record: TransferRecord) -> bytes:
    """Return the bytes of a record that are hashed: its fields in a fixed order, by tabs.

    No field can hold a tab: codes have none, and JSON writes it as two characters. The hash itself
    and `off_dated`, which follows from the dates, are not among them.
    """
    (
        book, at, id, kind, debit, credit, currency, posted, held, effective_on, _, cause,
        debit_balance, credit_balance, refers_to, entry, decision_id, expires_at, metadata, _,
    ) = record  # fmt: skip
    return (
        f"{book}\t{at}\t{id}\t{kind}\t{debit}\t{credit}\t{currency}\t{posted}\t{held}"
        f"\t{effective_on}\t{cause}\t{debit_balance}\t{credit_balance}\t{refers_to or ''}"
        f"\t{entry or ''}\t{decision_id or ''}\t{'' if expires_at is None else expires_at}"
        f"\t{metadata or ''}"
    ).encode()


def seal(previous: bytes, record: TransferRecord) -> bytes:
    """Return the hash of a record that follows one whose hash is `previous`."""
    return sha256(previous + canonical(record)).digest()
