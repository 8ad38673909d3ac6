"""Movements between a product's own book and an account of a client: the one way to do it.

Products call downwards: whoever pays a client out, or takes what he owes, has the half of it that
stands in the client book from here. It is written down with its cause, and posted by the caller in
one chain with its own half: both halves are there, or none.
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.kernel import Page, Refusal, RefusalKind, decode_cursor, encode_cursor
from steelyard.ledger import AccountKind, Heading, NewAccount, Transfer
from steelyard.payments.model.movements import Movement, MovementKind, NewMovement
from steelyard.payments.store import movements as table

__all__ = [
    "Movement",
    "MovementIsEmpty",
    "MovementKind",
    "NewMovement",
    "debit",
    "deposit",
    "list_movements",
    "pay_out",
]


class MovementIsEmpty(Refusal):
    """Nothing, or less, was to be moved."""

    kind = RefusalKind.INVALID
    en = "A movement is over zero; this one is {amount_minor}."
    zh = "资金划转金额必须大于零，本笔为 {amount_minor}。"


def pay_out(unit: UnitOfWork, new: NewMovement) -> Transfer:
    """Pay from an own book to a client's account, a customer's or a merchant's.

    Returns
    -------
    Transfer
        The half in the client book, the last of the caller's chain; the caller's own half credits
        the account that mirrors the client book.

    Refusals
    --------
    movement_is_empty; on posting those of the ledger
    """
    return _move(unit, new, MovementKind.PAY_OUT)


def debit(unit: UnitOfWork, new: NewMovement) -> Transfer:
    """Take from a client's account what he owes to an own book.

    Returns
    -------
    Transfer
        As of `pay_out`; the caller's own half debits the account that mirrors the client book.

    Refusals
    --------
    movement_is_empty; on posting those of the ledger, exceeds_debit_limit among them
    """
    return _move(unit, new, MovementKind.DEBIT)


def deposit(unit: UnitOfWork, new: NewMovement) -> Transfer:
    """Let an own book put money of its own into the reserve, out of which it pays clients.

    Parameters
    ----------
    new : its account is that of the reserve

    Refusals
    --------
    movement_is_empty; on posting those of the ledger
    """
    return _move(unit, new, MovementKind.DEPOSIT)


def list_movements(
    connection: sa.Connection,
    *,
    about: str | None = None,
    book: str | None = None,
    account: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Movement]:
    """Return a page of movements, the newest first.

    Parameters
    ----------
    about : what they are for; account : of the client, in `book`

    Refusals
    --------
    cursor_is_invalid
    """
    before = int(decode_cursor(cursor, int)[0]) if cursor else None
    found = table.list_newest(
        connection, limit=limit + 1, before=before, about=about, book=book, account=account
    )
    items = tuple(found[:limit])
    return Page(items, encode_cursor(items[-1].number) if len(found) > limit else None)


def _move(unit: UnitOfWork, new: NewMovement, kind: MovementKind) -> Transfer:
    if new.amount_minor <= 0:
        raise MovementIsEmpty(amount_minor=new.amount_minor)
    ours = NewAccount.mirror(new.own_book, currency=new.currency, kind=AccountKind.LIABILITY).code
    to_client = kind is MovementKind.PAY_OUT
    debited, credited = (ours, new.account) if to_client else (new.account, ours)
    heading = Heading(
        entry=new.entry,
        book=new.book,
        currency=new.currency,
        cause=new.cause,
        decision_id=new.decision,
        metadata=dict(new.note) or None,
    )
    transfer = heading.transfer(0, debited, credited, new.amount_minor)
    table.insert(
        unit.connection,
        {
            "id": transfer.id,
            "kind": kind.value,
            "book": new.book,
            "account": new.account,
            "own_book": new.own_book,
            "amount_minor": new.amount_minor,
            "currency": new.currency,
            "cause": new.cause,
            "decision": new.decision,
            "about": new.about,
            "actor": unit.actor,
            "moved_at": unit.now,
        },
    )
    return replace(transfer, linked=False)
