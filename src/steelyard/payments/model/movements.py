"""Movements between a room's own book and an account of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class MovementKind(StrEnum):
    """Which way money moves."""

    PAY_OUT = "pay_out"
    """From the own book to a client's account."""
    DEBIT = "debit"
    """From a client's account to the own book."""
    DEPOSIT = "deposit"
    """From the bank of the own book into the reserve, which owes it to that book from then on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMovement:
    """Money to move between an own book and a client's account.

    Attributes
    ----------
    entry : id of the entry in the own book, of which this is the other half
    own_book : whose money comes in or goes out
    book, account : of the client; for a deposit the account of the reserve
    amount_minor : over zero
    cause : `name@version`; about : what it is for, `noun:id`
    note : kept with the transfer
    """

    entry: UUID
    own_book: str
    book: str
    account: str
    amount_minor: int
    currency: str
    cause: str
    about: str
    decision: UUID | None = None
    note: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A movement as it was written down; its transfer stands in the ledger under the same id.

    Attributes
    ----------
    number : running
    """

    id: UUID
    number: int
    kind: MovementKind
    book: str
    account: str
    own_book: str
    amount_minor: int
    currency: str
    cause: str
    about: str
    actor: str
    moved_at: datetime
    decision: UUID | None = None
