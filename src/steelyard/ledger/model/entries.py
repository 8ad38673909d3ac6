"""Journal entries of several legs, movements between books, and exchanges, as linked chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID, uuid5

from steelyard.kernel.money import Money
from steelyard.kernel.rate import FxRate
from steelyard.kernel.rounding import Rounding
from steelyard.ledger.model.accounts import AccountRef, mirror_code
from steelyard.ledger.model.metadata import Scalar
from steelyard.ledger.model.refusals import EntryDoesNotBalance
from steelyard.ledger.model.transfers import Transfer


@dataclass(frozen=True, slots=True)
class Leg:
    """One line of a journal entry: an account, debited or credited.

    Attributes
    ----------
    account : number or code
    debit_minor, credit_minor : minor units, one of them over zero
    """

    account: AccountRef
    debit_minor: int = 0
    credit_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What all the transfers of an entry have in common.

    Attributes
    ----------
    entry : id of the entry; the ids of its transfers are derived from it, so that a repeat repeats
    """

    entry: UUID
    book: str
    currency: str
    cause: str
    effective_on: date | None = None
    decision_id: UUID | None = None
    metadata: Mapping[str, Scalar] | None = None

    def transfer(
        self, number: int, debit: AccountRef, credit: AccountRef, amount_minor: int
    ) -> Transfer:
        """Return the transfer of the entry with a running number, linked to the next."""
        return Transfer(
            id=uuid5(self.entry, f"{self.book}/{number}"),
            book=self.book,
            cause=self.cause,
            debit=debit,
            credit=credit,
            amount_minor=amount_minor,
            currency=self.currency,
            linked=True,
            entry=self.entry,
            effective_on=self.effective_on,
            decision_id=self.decision_id,
            metadata=self.metadata,
        )


def link(transfers: Sequence[Transfer]) -> tuple[Transfer, ...]:
    """Return the transfers as one chain: all of them are created, or none."""
    *first, last = transfers
    return (*(replace(t, linked=True) for t in first), replace(last, linked=False))


def entry(heading: Heading, legs: Sequence[Leg]) -> tuple[Transfer, ...]:
    """Return a journal entry of any number of legs as a linked chain of transfers.

    Debits are paired with credits in their order, so that n debits and m credits make at most
    n + m - 1 transfers. Legs of the same account are netted first: no account is on both sides,
    and limits do not depend on the order of the legs.

    Refusals
    --------
    entry_does_not_balance : debits differ from credits, or all is nothing

    Examples
    --------
    >>> heading = Heading(entry=UUID(int=1), book="town", currency="CNY", cause="rule.fee@1")
    >>> legs = [Leg("wallet", debit_minor=1000), Leg("shop", credit_minor=994),
    ...         Leg("income:fees", credit_minor=6)]
    >>> [(t.debit, t.credit, t.amount_minor) for t in entry(heading, legs)]
    [('wallet', 'shop', 994), ('wallet', 'income:fees', 6)]
    """
    net: dict[AccountRef, int] = {}
    for leg in legs:
        net[leg.account] = net.get(leg.account, 0) + leg.debit_minor - leg.credit_minor
    debits = [(account, amount) for account, amount in net.items() if amount > 0]
    credits = [(account, -amount) for account, amount in net.items() if amount < 0]
    total, other = sum(a for _, a in debits), sum(a for _, a in credits)
    if total != other or total == 0 or any(min(g.debit_minor, g.credit_minor) < 0 for g in legs):
        raise EntryDoesNotBalance(debits=total, credits=other)
    transfers: list[Transfer] = []
    while debits:
        (debit, owed), (credit, due) = debits.pop(0), credits.pop(0)
        amount = min(owed, due)
        transfers.append(heading.transfer(len(transfers), debit, credit, amount))
        if owed > amount:
            debits.insert(0, (debit, owed - amount))
        if due > amount:
            credits.insert(0, (credit, due - amount))
    return link(transfers)


def between_books(
    heading: Heading, to_book: str, *, debit: AccountRef, credit: AccountRef, amount_minor: int
) -> tuple[Transfer, ...]:
    """Return a movement from an account of one book to an account of another.

    Each book keeps its own balanced transfer, against the account that mirrors the other book; the
    database refuses the transaction unless both mirrors agree when it commits.

    Parameters
    ----------
    heading : of the book that pays
    debit : account of that book
    credit : account of `to_book`
    """
    there = replace(heading, book=to_book)
    currency = heading.currency
    return link(
        (
            heading.transfer(0, debit, mirror_code(to_book, currency), amount_minor),
            there.transfer(0, mirror_code(heading.book, currency), credit, amount_minor),
        )
    )


def position_code(currency: str) -> str:
    """Return the code of a book's position account in a currency.

    Examples
    --------
    >>> position_code("USD")
    'position:USD'
    """
    return f"position:{currency}"


def exchange(
    heading: Heading,
    rate: FxRate,
    rounding: Rounding,
    *,
    debit: AccountRef,
    credit: AccountRef,
    sold_minor: int,
) -> tuple[Transfer, ...]:
    """Return an exchange of currencies as a linked chain through the book's position accounts.

    The giver is debited to the position in the sold currency; the position in the bought currency
    is debited to the taker. What rounding leaves stays in the positions, whose value at the day's
    rate is the book's gain or loss. Pair and rate are kept in the metadata of both transfers.

    Parameters
    ----------
    heading : its currency is the one that is sold
    rate : between the two currencies, either way round
    rounding : of what is bought, to its minor unit
    debit, credit : the account that gives, and the one that takes
    sold_minor : how much is given

    Refusals
    --------
    currencies_differ : the rate is not about the sold currency
    """
    bought = rate.convert(Money(sold_minor, heading.currency), rounding)
    noted = {"fx_pair": f"{rate.base}/{rate.quote}", "fx_rate": str(rate.rate)}
    here = replace(heading, metadata={**(heading.metadata or {}), **noted})
    there = replace(here, currency=bought.currency.code)
    return link(
        (
            here.transfer(0, debit, position_code(heading.currency), sold_minor),
            there.transfer(1, position_code(there.currency), credit, bought.amount_minor),
        )
    )
