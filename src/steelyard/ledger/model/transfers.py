"""Transfers: what is asked for, what is recorded, and what is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from steelyard.ledger.model.accounts import AccountRef
from steelyard.ledger.model.metadata import Scalar

MAX_MINOR = 2**62 - 1
"""Greatest amount and greatest counter, in minor units."""
EARLIEST_YEAR, LATEST_YEAR = 1900, 2199
"""Of value dates and business dates."""

_CAUSE = re.compile(r"[a-z][a-z0-9_]*([.:/-][a-z0-9_]+)*@[0-9]+")
MAX_CAUSE = 120


class Kind(IntEnum):
    """What a transfer does; the number is what the row keeps."""

    SINGLE = 0
    """Moves the amount."""
    HOLD = 1
    """Sets the amount aside on both sides; moves nothing."""
    POST = 2
    """Moves all or a part of a hold and releases the rest."""
    VOID = 3
    """Releases a hold."""
    REVERSAL = 4
    """Moves back what a single transfer or a post moved; once."""

    @property
    def word(self) -> str:
        """The kind in small letters."""
        return self.name.lower()


class Outcome(StrEnum):
    """The answer to one transfer of a batch; of several that apply, the first is given.

    Everything but `created` and `exists` is a refusal: nothing was written, and the same id may be
    sent again and is judged afresh.
    """

    CREATED = "created"
    EXISTS = "exists"
    """It was recorded before, the same: a repeat."""
    ID_CONFLICT = "id_conflict"
    STALE = "stale"
    """What a rider consumes was consumed or has changed."""
    INVALID = "invalid"
    PERSONAL_DATA = "personal_data"
    LINK_IS_OPEN = "link_is_open"
    """The batch ends within a linked chain."""
    BOOK_NOT_FOUND = "book_not_found"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_CLOSED = "account_closed"
    CURRENCY_MISMATCH = "currency_mismatch"
    PENDING_NOT_FOUND = "pending_not_found"
    PENDING_DIFFERS = "pending_differs"
    """The post or void names other accounts or another currency than its hold."""
    PENDING_RESOLVED = "pending_resolved"
    PENDING_EXPIRED = "pending_expired"
    EXCEEDS_PENDING = "exceeds_pending"
    ORIGINAL_NOT_FOUND = "original_not_found"
    ALREADY_REVERSED = "already_reversed"
    EXCEEDS_DEBIT_LIMIT = "exceeds_debit_limit"
    EXCEEDS_CREDIT_LIMIT = "exceeds_credit_limit"
    COUNTER_OVERFLOW = "counter_overflow"
    PERIOD_CLOSED = "period_closed"
    MIRROR_UNMATCHED = "mirror_unmatched"
    """It touches an account that faces another book, which its chain does not match there."""
    LINKED_FAILED = "linked_failed"
    """Another transfer of its chain was refused."""

    @property
    def is_accepted(self) -> bool:
        """Whether the transfer stands in the books."""
        return self in (Outcome.CREATED, Outcome.EXISTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer that is asked for; its fields may say nonsense, the decision will tell.

    Attributes
    ----------
    id : chosen by the caller; a repeat of the same transfer carries the same id
    book : both accounts are of this book
    cause : who says that the money moves, `name@version`
    debit, credit : accounts by number or code; None for a kind that refers to another transfer
    amount_minor : minor units, over zero; None: all of what it refers to
    currency : that of both accounts; None for a kind that refers to another transfer
    refers_to : the hold that is resolved, or the transfer that is reversed
    linked : the next transfer of the batch stands or falls with this one
    at_most : move as much of the amount as the limits allow, but not nothing
    entry : the journal entry that it is a part of
    effective_on : value date; None: the book's business date
    expires_at : a hold may be posted before this instant only
    decision_id : the decision that it consumes
    metadata : see `metadata`
    """

    id: UUID
    book: str
    cause: str
    debit: AccountRef | None = None
    credit: AccountRef | None = None
    amount_minor: int | None = None
    currency: str | None = None
    kind: Kind = Kind.SINGLE
    refers_to: UUID | None = None
    linked: bool = False
    at_most: bool = False
    entry: UUID | None = None
    effective_on: date | None = None
    expires_at: datetime | None = None
    decision_id: UUID | None = None
    metadata: Mapping[str, Scalar] | None = None


# The two values below are made for every transfer of the hot path: tuples, five times as fast to
# make as frozen classes.


class TransferRecord(NamedTuple):
    """A transfer as it was recorded: a row of the books.

    Attributes
    ----------
    at : recording instant, microseconds since 1970, rising strictly within a book
    posted_minor : what it moved from debit to credit, minor units; 0 for a hold and a void
    held_minor : by how much it changed what is held: over 0 for a hold, under 0 for its resolution
    off_dated : whether the value date is another than the business date at recording
    expires_at : microseconds since 1970
    metadata : canonical text, see `metadata_text`
    debit_balance, credit_balance : debits less credits of either account after it, minor units
    hash : SHA-256 over the hash of the transfer before it in the book, and this one
    """

    book: str
    at: int
    id: UUID
    kind: int
    debit: int
    credit: int
    currency: str
    posted_minor: int
    held_minor: int
    effective_on: date
    off_dated: bool
    cause: str
    debit_balance: int
    credit_balance: int
    refers_to: UUID | None
    entry: UUID | None
    decision_id: UUID | None
    expires_at: int | None
    metadata: str | None
    hash: bytes

    @property
    def amount_minor(self) -> int:
        """What it moved, set aside or released."""
        return self.posted_minor or abs(self.held_minor)


class Answer(NamedTuple):
    """The answer to one transfer.

    Attributes
    ----------
    record : the row of a created or existing transfer (also the one that conflicts), else None
    about : the field or account that the refusal is about, empty where the outcome says it all
    """

    id: UUID
    outcome: Outcome
    record: TransferRecord | None = None
    about: str = ""


@lru_cache(maxsize=4096)
def cause_is_well_formed(cause: str) -> bool:
    """Return whether a cause has the shape `name@version`.

    Examples
    --------
    >>> [cause_is_well_formed(c) for c in ("no_policy@0", "rule.day_close@1", "", "because")]
    [True, True, False, False]
    """
    return len(cause) <= MAX_CAUSE and _CAUSE.fullmatch(cause) is not None
