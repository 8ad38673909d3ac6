"""The books of payments: opened for a mode, and their accounts as they are needed."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.ledger import AccountKind, BookReader, NewAccount, open_accounts
from steelyard.payments.model import accounts
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refusals import InstitutionIsNotOpen, InstitutionIsOpenOtherwise
from steelyard.payments.store import institution as table
from steelyard.payments.store.institution import Institution

__all__ = [
    "Institution",
    "InstitutionIsNotOpen",
    "InstitutionIsOpenOtherwise",
    "Mode",
    "find",
    "have_accounts",
    "open_books",
    "read",
    "read_known",
]

CAUSE: Final = "rule.payment_accounts@1"
_ASSETS: Final = ("in_transit/", accounts.SETTLEMENT, "shortage")
_KNOWN: WeakKeyDictionary[sa.Engine, set[str]] = WeakKeyDictionary()
"""Accounts seen open, `book/code`, by database."""
_BOOKS: WeakKeyDictionary[sa.Engine, dict[Mode, Institution]] = WeakKeyDictionary()
_LOCK: Final = Lock()
_MOST_KNOWN: Final = 50_000


def open_books(
    unit: UnitOfWork,
    mode: Mode,
    *,
    client_book: str,
    own_book: str,
    currencies: Iterable[str] = ("CNY",),
) -> Institution:
    """Let the payments of a mode stand in two books that are open; again the same, nothing changes.

    Parameters
    ----------
    client_book : of client funds; its timezone is that of the institution
    own_book : of own funds, where fees are swept to and losses are borne

    Refusals
    --------
    institution_is_open_otherwise, book_not_found
    """
    timezone = BookReader(unit.connection, client_book).book.timezone
    _ = BookReader(unit.connection, own_book).book
    wanted = Institution(mode, client_book, own_book, timezone)
    if not table.insert(unit.connection, wanted, unit.now):
        found = table.read(unit.connection, mode)
        if found != wanted:
            raise InstitutionIsOpenOtherwise(
                mode=mode.value, client_book=found.client_book, own_book=found.own_book
            )
        return found
    for currency in currencies:
        codes = (
            accounts.settlement(currency),
            accounts.unclaimed(currency),
            accounts.refunds(currency),
            accounts.disputes(currency),
            accounts.payouts(currency),
            accounts.fees_due(currency),
            accounts.shortage(currency),
        )
        have_accounts(unit, client_book, [(code, currency) for code in codes])
    audit(
        unit,
        action="payments.open_books",
        subject=f"book:{client_book}",
        detail={"mode": mode.value, "own_book": own_book},
    )
    return wanted


def read(connection: sa.Connection, mode: Mode) -> Institution:
    """Return the books of a mode.

    Refusals
    --------
    institution_is_not_open
    """
    return table.read(connection, mode)


def read_known(connection: sa.Connection, mode: Mode) -> Institution:
    """Return the books of a mode, remembered by the process: they never change.

    Refusals
    --------
    institution_is_not_open
    """
    books = _BOOKS.setdefault(connection.engine, {})
    known = books.get(mode)
    if known is None:
        known = books[mode] = table.read(connection, mode)
    return known


def find(connection: sa.Connection, mode: Mode) -> Institution | None:
    """Return the books of a mode, None before they were opened."""
    return table.find(connection, mode)


def have_accounts(unit: UnitOfWork, book: str, wanted: Iterable[tuple[str, str]]) -> None:
    """Open those accounts of the client book that are not open yet.

    What was seen open is remembered by the process: accounts of payments are never closed.

    Parameters
    ----------
    wanted : code and currency of each, the codes as `model.accounts` makes them
    """
    engine = unit.connection.engine
    known: set[str] = _KNOWN.get(engine) or set()
    missing = [pair for pair in dict.fromkeys(wanted) if f"{book}/{pair[0]}" not in known]
    if not missing:
        return
    open_accounts(unit, book, [_account(code, currency) for code, currency in missing], cause=CAUSE)
    unit.after_commit(lambda: _note(engine, [f"{book}/{code}" for code, _ in missing]))


def _note(engine: sa.Engine, opened: list[str]) -> None:
    with _LOCK:
        known = _KNOWN.setdefault(engine, set())
        if len(known) > _MOST_KNOWN:
            known.clear()
        known.update(opened)


def _account(code: str, currency: str) -> NewAccount:
    kind = AccountKind.ASSET if code.startswith(_ASSETS) else AccountKind.LIABILITY
    owner = None
    if code.startswith("merchant/"):
        owner = f"party:{UUID(code.split('/')[1])}"
    return NewAccount(code=code, currency=currency, kind=kind, owner=owner)
