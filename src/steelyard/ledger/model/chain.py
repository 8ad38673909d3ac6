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

    No field can hold a tab: codes have none, and JSON writes it as two characters.
    """
    r = record
    return (
        f"{r.book}\t{r.at}\t{r.id}\t{r.kind}\t{r.debit}\t{r.credit}\t{r.currency}"
        f"\t{r.posted_minor}\t{r.held_minor}\t{r.effective_on}\t{r.cause}"
        f"\t{r.debit_balance}\t{r.credit_balance}\t{r.refers_to or ''}\t{r.entry or ''}"
        f"\t{r.decision_id or ''}\t{'' if r.expires_at is None else r.expires_at}"
        f"\t{r.metadata or ''}"
    ).encode()


def seal(previous: bytes, record: TransferRecord) -> bytes:
    """Return the hash of a record that follows one whose hash is `previous`."""
    return sha256(previous + canonical(record)).digest()
