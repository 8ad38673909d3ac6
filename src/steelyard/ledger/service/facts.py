"""What the ledger reports: its facts, and how they are made."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact, UnitOfWork
from steelyard.ledger.model.transfers import Kind, TransferRecord


class BookOpened(Fact, kind="ledger.BookOpened", version=1):
    """A book was opened; `funds` is own or client."""

    book: str
    name: str
    timezone: str
    funds: str
    business_on: date


class AccountOpened(Fact, kind="ledger.AccountOpened", version=1):
    """An account was opened."""

    book: str
    account: int
    code: str
    currency: str
    account_kind: str
    owner: str | None
    mirrors: str | None
    debit_limit: int | None
    credit_limit: int | None
    cause: str


class AccountClosed(Fact, kind="ledger.AccountClosed", version=1):
    """An account was closed at zero."""

    book: str
    account: int
    cause: str


class AccountLimitsChanged(Fact, kind="ledger.AccountLimitsChanged", version=1):
    """The limits of an account were changed; minor units, None is no limit."""

    book: str
    account: int
    debit_limit: int | None
    credit_limit: int | None
    cause: str


class TransferPosted(Fact, kind="ledger.TransferPosted", version=1):
    """A transfer was recorded.

    Attributes
    ----------
    at : microseconds since 1970, its key in the book
    transfer_kind : single, hold, post, void or reversal
    amount_minor : moved, set aside or released, as the kind says
    refers_to : the hold that was resolved or the transfer that was reversed
    """

    book: str
    id: UUID
    at: int
    transfer_kind: str
    debit: int
    credit: int
    amount_minor: int
    currency: str
    cause: str
    effective_on: date
    refers_to: UUID | None = None
    entry: UUID | None = None
    decision_id: UUID | None = None


class DayClosed(Fact, kind="ledger.DayClosed", version=1):
    """The business date of a book moved on."""

    book: str
    closed_on: date
    business_on: date


class PeriodClosed(Fact, kind="ledger.PeriodClosed", version=1):
    """No value date up to and with `closed_through` will be posted any more."""

    book: str
    closed_through: date
    head: str


_WORDS = [kind.word for kind in Kind]


def transfer_posted(r: TransferRecord) -> TransferPosted:
    """Return the fact of a record."""
    return TransferPosted(
        book=r.book,
        id=r.id,
        at=r.at,
        transfer_kind=_WORDS[r.kind],
        debit=r.debit,
        credit=r.credit,
        amount_minor=r.posted_minor or abs(r.held_minor),
        currency=r.currency,
        cause=r.cause,
        effective_on=r.effective_on,
        refers_to=r.refers_to,
        entry=r.entry,
        decision_id=r.decision_id,
    )


def subject_of(r: TransferRecord) -> str:
    """Return whose history a transfer belongs to: that of the account it debits."""
    return f"account:{r.book}/{r.debit}"


def record_book_fact(uow: UnitOfWork, book: str, fact: Fact) -> None:
    """Record a fact about a locked book."""
    uow.record(fact, subject=f"book:{book}")


def record_account_fact(uow: UnitOfWork, book: str, account: int, fact: Fact) -> None:
    """Record a fact about an account of a locked book."""
    uow.record(fact, subject=f"account:{book}/{account}")
