"""How an exchange stands in the books.

Client money never carries our position. The client book owes its clients in each currency exactly
what lies for them in the reserve, so a client's exchange is a deal with our own book, and what he
buys is given to him out of our own money that lies in the reserve already (`top_up`); where that
does not cover it, the exchange is refused, and not made good later. A client sells a of A for b
of B::

    client book   Dr merchant/available:A    Cr mirror:own:A             a  in the reserve, now ours
    own book      Dr mirror:clients:A        Cr position:A               a  we hold it
    own book      Dr position:B              Cr mirror:clients:B         b  we gave it
    client book   Dr mirror:own:B            Cr merchant/available:B     b  never below zero

The two lines of the own book are `ledger.exchange`. What is in the positions is valued at the day's
rate; the difference is gain or loss (base currency H)::

    own book      Dr position:H  Cr income/fx:H      a gain, or Dr expense/fx:H  Cr position:H

after which all positions together are worth nothing, until the rates move again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID, uuid5

from steelyard.base import UnitOfWork
from steelyard.kernel import FxRate, Rounding
from steelyard.ledger import (
    AccountKind,
    Heading,
    NewAccount,
    Transfer,
    accepted,
    exchange,
    open_accounts,
    post,
)
from steelyard.payments.model.fx_refusals import BalanceDoesNotCover, OwnCurrencyIsShort
from steelyard.payments.service.clearing_books import due_to_us, open_own, own_code
from steelyard.payments.service.institution import CAUSE, Institution, have_accounts

GAIN: Final = "income/fx"
LOSS: Final = "expense/fx"
RETURN_LOSS: Final = "expense/fx_returns"
CLAIMS: Final = "claims"
"""What a provider owes us by contract for a return; an asset, by provider and currency."""


def position(currency: str) -> str:
    """Return the code of our position in a currency, as `ledger.exchange` names it."""
    return f"position:{currency}"


def claims(provider: str, currency: str) -> str:
    """Return the code of what a provider owes us in a currency."""
    return f"{CLAIMS}/{provider}:{currency}"


def open_currency(unit: UnitOfWork, house: Institution, currency: str) -> None:
    """Open what an exchange of a currency needs in our own book; what is there is kept."""
    open_own(unit, house, currency)
    kinds = (
        (position(currency), AccountKind.LIABILITY),
        (own_code(GAIN, currency), AccountKind.INCOME),
        (own_code(LOSS, currency), AccountKind.EXPENSE),
        (own_code(RETURN_LOSS, currency), AccountKind.EXPENSE),
    )
    wanted = [NewAccount(code=code, currency=currency, kind=kind) for code, kind in kinds]
    open_accounts(unit, house.own_book, wanted, cause=CAUSE)


def through_own(
    house: Institution,
    entry: UUID,
    rate: FxRate,
    *,
    debit: str,
    credit: str,
    sold_minor: int,
    bought_minor: int,
    cause: str,
) -> tuple[Transfer, ...]:
    """Return a client's exchange: four movements, all of them or none.

    Parameters
    ----------
    rate : its base is sold, its quote bought
    debit, credit : accounts of the client book; the first in what is sold, the second in the other
    bought_minor : at most what the rate gives; what is left of a minor unit stays with us
    """
    sell, buy = rate.base.code, rate.quote.code
    here = Heading(entry=entry, book=house.client_book, currency=sell, cause=cause)
    there = replace(here, currency=buy)
    ours = replace(here, book=house.own_book)
    mirror_sell, mirror_buy = (_faces_clients(house, one) for one in (sell, buy))
    given, taken = exchange(
        ours, rate, Rounding.FLOOR, debit=mirror_sell, credit=mirror_buy, sold_minor=sold_minor
    )
    assert (taken.amount_minor or 0) >= bought_minor, "a client never gets more than the rate gives"
    # A long run of digits would be taken for somebody's number; with an exponent it is none.
    noted = {"fx_pair": f"{sell}/{buy}", "fx_rate": f"{rate.rate:E}"}
    return (
        here.transfer(0, debit, due_to_us(house, sell), sold_minor),
        replace(given, metadata=noted),
        replace(taken, amount_minor=bought_minor, linked=True, metadata=noted),
        replace(there.transfer(3, due_to_us(house, buy), credit, bought_minor), linked=False),
    )


def post_covered(
    unit: UnitOfWork,
    transfers: tuple[Transfer, ...],
    *,
    book: str,
    never_negative: tuple[str, ...],
) -> None:
    """Post, and refuse where an account that owes would owe less than nothing.

    Parameters
    ----------
    book : the client book
    never_negative : codes of its accounts that are debited

    Refusals
    --------
    balance_does_not_cover, own_currency_is_short
    """
    answers = accepted(post(unit, list(transfers)))
    for transfer, answer in zip(transfers, answers, strict=True):
        assert answer.record is not None, "it was posted"
        left = -answer.record.debit_balance
        if transfer.debit not in never_negative or transfer.book != book or left >= 0:
            continue
        amount, currency = answer.record.amount_minor, transfer.currency
        before = left + amount
        if str(transfer.debit).startswith("mirror:"):
            raise OwnCurrencyIsShort(currency=currency, own_minor=before, amount_minor=amount)
        raise BalanceDoesNotCover(currency=currency, balance_minor=before, amount_minor=amount)


def give_from_own(
    house: Institution,
    entry: UUID,
    *,
    own_debit: str,
    client_credit: str,
    currency: str,
    amount_minor: int,
    cause: str,
) -> tuple[Transfer, ...]:
    """Return what our own book gives to a client's account out of our money in the reserve."""
    ours = Heading(entry=uuid5(entry, "own"), book=house.own_book, currency=currency, cause=cause)
    theirs = replace(ours, book=house.client_book)
    return (
        ours.transfer(0, own_debit, _faces_clients(house, currency), amount_minor),
        replace(
            theirs.transfer(0, due_to_us(house, currency), client_credit, amount_minor),
            linked=False,
        ),
    )


def take_to_own(
    house: Institution,
    entry: UUID,
    *,
    client_debit: str,
    own_credit: str,
    currency: str,
    amount_minor: int,
    cause: str,
) -> tuple[Transfer, ...]:
    """Return what a client's account gives to our own book."""
    theirs = Heading(
        entry=uuid5(entry, "own"), book=house.client_book, currency=currency, cause=cause
    )
    ours = replace(theirs, book=house.own_book)
    return (
        theirs.transfer(0, client_debit, due_to_us(house, currency), amount_minor),
        replace(
            ours.transfer(0, _faces_clients(house, currency), own_credit, amount_minor),
            linked=False,
        ),
    )


def chained(*parts: tuple[Transfer, ...]) -> tuple[Transfer, ...]:
    """Return several entries as one chain: all of them, or none."""
    found = [one for part in parts for one in part]
    return (*(replace(one, linked=True) for one in found[:-1]), replace(found[-1], linked=False))


def have_client(unit: UnitOfWork, house: Institution, *codes: tuple[str, str]) -> None:
    """Open accounts of the client book, code and currency of each."""
    have_accounts(unit, house.client_book, codes)


def _faces_clients(house: Institution, currency: str) -> str:
    return NewAccount.mirror(house.client_book, currency=currency, kind=AccountKind.ASSET).code
