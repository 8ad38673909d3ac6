"""Automatic debits (代扣): what is due is taken from the wallet, as far as there is money in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.credit.model.loan import LoanState, Repayment
from steelyard.credit.model.loan_refusals import (
    LoanIsClosed,
    LoanStateForbids,
    WalletIsEmpty,
)
from steelyard.credit.service import loans
from steelyard.credit.store import days as table
from steelyard.kernel import Refusal
from steelyard.ledger import BookReader

__all__ = ["Debits", "debit_due"]

KIND: Final = "debit"
_PAGE: Final = 500
_ACTOR: Final = "system:debits"
_EXPECTED: Final = (WalletIsEmpty, LoanIsClosed, LoanStateForbids)
"""An empty wallet, or a loan that was paid meanwhile."""


@dataclass(frozen=True, slots=True)
class Debits:
    """What was taken on a day.

    Attributes
    ----------
    loans : of which something was due
    taken : of them, how many paid something; paid_minor : all that was taken
    refused : of which nothing could be taken for another reason than an empty wallet
    """

    on: date
    loans: int = 0
    taken: int = 0
    paid_minor: int = 0
    refused: int = 0


def debit_due(
    database: Database,
    *,
    book: str,
    actor: str = _ACTOR,
    should_stop: Callable[[], bool] = lambda: False,
) -> Debits:
    """Take what is due on the business date, and what is overdue, from the customers' wallets.

    Each loan is a transaction of its own; called again on the same day it takes what came in since.

    Refusals
    --------
    book_not_found
    """
    with database.reading() as connection:
        on = BookReader(connection, book).book.business_on
        pools = [number for number, _, _ in table.pools(connection, book)]
    done, after = Debits(on), 0
    while not should_stop():
        with database.reading() as connection:
            page = table.loans_due(connection, pools, on, after=after, limit=_PAGE)
        if not page:
            break
        for _, id in page:
            done = _plus(done, _debit(database, id, actor))
        after = page[-1][0]
    return done


def _debit(database: Database, loan: UUID, actor: str) -> int | None:
    """Return what was taken for a loan; None where it was refused unexpectedly."""

    def work(unit: UnitOfWork) -> int:
        found = loans.read(unit.connection, loan)
        due = 0 if found.standing is None else found.standing.due_minor
        if due <= 0 or found.state is not LoanState.ACTIVE:
            return 0
        wish = Repayment(amount_minor=due, kind=KIND, at_most=True)
        return loans.repay(unit, loan, wish, if_version=found.version).amount_minor

    try:
        return database.transact(work, actor=actor)
    except _EXPECTED:
        return 0
    except Refusal:
        return None


def _plus(done: Debits, paid: int | None) -> Debits:
    return Debits(
        done.on,
        done.loans + 1,
        done.taken + bool(paid),
        done.paid_minor + (paid or 0),
        done.refused + (paid is None),
    )
