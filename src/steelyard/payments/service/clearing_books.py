"""Movements between the client book and our own: fees earned, costs met, and what is swept out."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Heading,
    NewAccount,
    Transfer,
    between_books,
    open_accounts,
)
from steelyard.payments.model import accounts
from steelyard.payments.service.institution import CAUSE, Institution

INCOME: Final = "income/fees"
COSTS: Final = "expense/channels"
BANK: Final = "bank"


def own_code(line: str, currency: str) -> str:
    """Return the code of an account of our own book.

    Examples
    --------
    >>> own_code(BANK, "CNY")
    'bank:CNY'
    """
    return f"{line}:{currency}"


def due_to_us(house: Institution, currency: str) -> str:
    """Return the client book's account of what it owes to our own book."""
    return NewAccount.mirror(house.own_book, currency=currency, kind=AccountKind.LIABILITY).code


def open_own(unit: UnitOfWork, house: Institution, currency: str) -> None:
    """Open the accounts by which the two books meet; those that are there are kept."""
    kinds = ((INCOME, AccountKind.INCOME), (COSTS, AccountKind.EXPENSE), (BANK, AccountKind.ASSET))
    own = [NewAccount(code=own_code(n, currency), currency=currency, kind=k) for n, k in kinds]
    ours = NewAccount.mirror(house.client_book, currency=currency, kind=AccountKind.ASSET)
    theirs = NewAccount.mirror(house.own_book, currency=currency, kind=AccountKind.LIABILITY)
    open_accounts(unit, house.own_book, [*own, ours], cause=CAUSE)
    open_accounts(unit, house.client_book, [theirs], cause=CAUSE)


def earn(house: Institution, heading: Heading, amount_minor: int) -> tuple[Transfer, ...]:
    """Return the movement of fees due to our income; below zero it goes back.

    Parameters
    ----------
    heading : of the client book
    """
    fees, income = accounts.fees_due(heading.currency), own_code(INCOME, heading.currency)
    if amount_minor > 0:
        return between_books(
            heading, house.own_book, debit=fees, credit=income, amount_minor=amount_minor
        )
    return between_books(
        _own(heading, house),
        house.client_book,
        debit=income,
        credit=fees,
        amount_minor=-amount_minor,
    )


def meet_cost(
    house: Institution, heading: Heading, channel: str, amount_minor: int
) -> tuple[Transfer, ...]:
    """Return the movement by which our own book meets what a channel kept for itself."""
    return between_books(
        _own(heading, house),
        house.client_book,
        debit=own_code(COSTS, heading.currency),
        credit=accounts.in_transit(channel, heading.currency),
        amount_minor=amount_minor,
    )


def sweep_out(house: Institution, heading: Heading, amount_minor: int) -> tuple[Transfer, ...]:
    """Return the movement from the custodian to our own bank account; below zero it comes back."""
    bank, reserve = own_code(BANK, heading.currency), accounts.settlement(heading.currency)
    if amount_minor < 0:
        return between_books(
            heading, house.own_book, debit=reserve, credit=bank, amount_minor=-amount_minor
        )
    return between_books(
        _own(heading, house),
        house.client_book,
        debit=bank,
        credit=reserve,
        amount_minor=amount_minor,
    )


def owed_by(connection: sa.Connection, house: Institution, code: str) -> int:
    """Return what the client book owes on an account; nothing where it is not open."""
    return -BookReader(connection, house.client_book).balances([code]).get(code, 0)


def owed_by_many(connection: sa.Connection, house: Institution, codes: list[str]) -> dict[str, int]:
    """Return what the client book owes on many accounts; one that is not open is left out."""
    found = BookReader(connection, house.client_book).balances(codes)
    return {code: -amount for code, amount in found.items()}


def heading_of(house: Institution, entry: UUID, currency: str, cause: str) -> Heading:
    """Return the heading of an entry in the client book."""
    return Heading(entry=entry, book=house.client_book, currency=currency, cause=cause)


def _own(heading: Heading, house: Institution) -> Heading:
    return Heading(
        entry=heading.entry,
        book=house.own_book,
        currency=heading.currency,
        cause=heading.cause,
        metadata=heading.metadata,
    )
