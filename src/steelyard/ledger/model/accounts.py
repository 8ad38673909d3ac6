"""Books and accounts: what is opened, what stands, and what a decision sees of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from steelyard.ledger.model.metadata import Scalar

AccountRef = int | str
"""An account of a book: its number, or its code."""

_MIRROR = "mirror"
_BOOK = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*([:/.][A-Za-z0-9_-]+)*")
_OWNER = re.compile(r"[a-z][a-z_]*:[A-Za-z0-9_.-]{1,80}")
MAX_CODE = 120


class Funds(StrEnum):
    """Whose money a book keeps; it never changes."""

    OWN = "own"
    CLIENT = "client"
    """Client funds (备付金): assets and liabilities only, nothing can be earned or owned in it."""


class AccountKind(StrEnum):
    """The five kinds of account; assets and expenses grow by debits, the others by credits."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"

    @property
    def sign(self) -> int:
        """1 where a debit raises the balance, -1 where a credit does."""
        return 1 if self in (AccountKind.ASSET, AccountKind.EXPENSE) else -1


def mirror_code(book: str, currency: str) -> str:
    """Return the code of the account that faces another book.

    Examples
    --------
    >>> mirror_code("client", "CNY")
    'mirror:client:CNY'
    """
    return f"{_MIRROR}:{book}:{currency}"


def book_is_well_formed(book: str) -> bool:
    """Return whether a book's id is a small letter and up to 39 letters, digits, `_` and `-`."""
    return _BOOK.fullmatch(book) is not None


def code_is_well_formed(code: str) -> bool:
    """Return whether a code is words of letters, digits, `_` and `-`, joined by `:`, `/` or `.`.

    It begins with a letter, so that a code is never taken for a number.
    """
    return len(code) <= MAX_CODE and _CODE.fullmatch(code) is not None


def owner_is_well_formed(owner: str) -> bool:
    """Return whether an owner is `noun:id`."""
    return _OWNER.fullmatch(owner) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account to be opened.

    Attributes
    ----------
    code : its name in the book, unique there, never personal data: `wallet:8f3a`, `income:fees`
    currency : ISO 4217
    kind : see `AccountKind`
    owner : whose it is, `noun:id`
    debit_limit : debits posted and held less credits posted may not exceed it; None: no limit.
        0 on a wallet: never negative; 50000: an overdraft of 500.00
    credit_limit : the same for credits; on a loan: no over-repayment; on a wallet: greatest balance
    mirrors : the other book that this account faces; every movement on it must be matched there
    metadata : a flat mapping, see `metadata`
    """

    code: str
    currency: str
    kind: AccountKind
    owner: str | None = None
    debit_limit: int | None = None
    credit_limit: int | None = None
    mirrors: str | None = None
    metadata: Mapping[str, Scalar] | None = None

    @classmethod
    def mirror(cls, book: str, *, currency: str, kind: AccountKind) -> NewAccount:
        """Return the account that faces `book`; its counterpart there faces this one."""
        return cls(code=mirror_code(book, currency), currency=currency, kind=kind, mirrors=book)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as it stands.

    Attributes
    ----------
    id : its number in the book
    debits_posted, debits_held, credits_posted, credits_held : the four counters, minor units
    limits_version : how often the limits were changed
    """

    book: str
    id: int
    code: str
    currency: str
    kind: AccountKind
    owner: str | None
    mirrors: str | None
    metadata: Mapping[str, Scalar] | None
    opened_at: datetime
    debit_limit: int | None
    credit_limit: int | None
    limits_version: int
    closed: bool
    debits_posted: int
    debits_held: int
    credits_posted: int
    credits_held: int

    @property
    def balance_minor(self) -> int:
        """The posted balance on the account's natural side."""
        return self.kind.sign * (self.debits_posted - self.credits_posted)

    @property
    def spendable_minor(self) -> int | None:
        """What could still be debited, holds taken off; None without a debit limit."""
        if self.debit_limit is None:
            return None
        return self.debit_limit - (self.debits_posted + self.debits_held - self.credits_posted)


class AccountState:
    """What a decision sees of an account, and changes as it goes."""

    __slots__ = (
        "closed",
        "credit_limit",
        "credits_held",
        "credits_posted",
        "currency",
        "debit_limit",
        "debits_held",
        "debits_posted",
        "id",
        "mirrors",
    )

    def __init__(
        self, id: int, currency: str, *, closed: bool = False, mirrors: str | None = None
    ) -> None:
        self.id = id
        self.currency = currency
        self.closed = closed
        self.mirrors = mirrors
        self.debits_posted = 0
        self.debits_held = 0
        self.credits_posted = 0
        self.credits_held = 0
        self.debit_limit: int | None = None
        self.credit_limit: int | None = None

    def counters(self) -> tuple[int, int, int, int]:
        """Return debits posted and held, credits posted and held."""
        return self.debits_posted, self.debits_held, self.credits_posted, self.credits_held

    def restore(self, counters: tuple[int, int, int, int]) -> None:
        """Set the counters back."""
        self.debits_posted, self.debits_held, self.credits_posted, self.credits_held = counters


class BookState:
    """What a decision sees of a book, and changes as it goes."""

    __slots__ = ("business_on", "closed_through", "head", "id", "last_at")

    def __init__(
        self,
        id: str,
        business_on: date,
        closed_through: date | None,
        *,
        last_at: int,
        head: bytes,
    ) -> None:
        self.id = id
        self.business_on = business_on
        self.closed_through = closed_through
        self.last_at = last_at
        self.head = head


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A book as it stands.

    Attributes
    ----------
    business_on : its business date, moved on by day close
    closed_through : last day of the closed periods, None while none was closed
    accounts, transfers, blocks : how many there are
    last_at : recording instant of the last transfer, microseconds since 1970
    """

    id: str
    name: str
    timezone: str
    funds: Funds
    opened_at: datetime
    business_on: date
    closed_through: date | None
    accounts: int
    transfers: int
    blocks: int
    last_at: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a book's chain, to be published outside of the database.

    Attributes
    ----------
    transfers : how many transfers it seals
    at : recording instant of the last of them, microseconds since 1970; 0 for an empty book
    hash : the chained SHA-256, hexadecimal
    """

    book: str
    transfers: int
    at: int
    hash: str
