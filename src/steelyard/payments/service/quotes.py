"""Quotes of currency and the conversions they are used for, once, before their end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import FxRate, Money, Page, Rounding, decode_cursor, encode_cursor
from steelyard.ledger import Transfer
from steelyard.payments.model import accounts
from steelyard.payments.model.crossborder import ReturnRate
from steelyard.payments.model.fx import Lock, as_rate, premium_ppm, slip_ppm
from steelyard.payments.model.fx_refusals import (
    BalanceDoesNotCover,
    BothSidesAreGiven,
    ConversionIsUnknown,
    ConversionReturnExceeds,
    NoSideIsGiven,
    OwnCurrencyIsShort,
    QuoteHasExpired,
    QuoteIsNotActive,
    QuoteIsTooSmall,
    QuoteIsUnknown,
    QuotePairIsMalformed,
    RateSlipped,
)
from steelyard.payments.model.quotes import (
    Conversion,
    Quote,
    QuoteAsk,
    QuoteState,
    Side,
    margin_of,
    must_be_usable,
    price_of,
    side_of,
)
from steelyard.payments.service import institution
from steelyard.payments.service.clearing_books import due_to_us
from steelyard.payments.service.fx import rates_at
from steelyard.payments.service.fx_books import (
    chained,
    have_client,
    open_currency,
    post_covered,
    through_own,
)
from steelyard.payments.service.fx_facts import FxConverted, FxConvertedBack
from steelyard.payments.service.rates_ecb import EcbHistory, history
from steelyard.payments.service.refunds import position_of
from steelyard.payments.store import quotes as table
from steelyard.payments.store import rates as rate_table

__all__ = [
    "Back",
    "BalanceDoesNotCover",
    "Book",
    "BothSidesAreGiven",
    "Conversion",
    "ConversionIsUnknown",
    "ConversionReturnExceeds",
    "Lock",
    "NoSideIsGiven",
    "OwnCurrencyIsShort",
    "Quote",
    "QuoteAsk",
    "QuoteHasExpired",
    "QuoteIsNotActive",
    "QuoteIsTooSmall",
    "QuoteIsUnknown",
    "QuotePairIsMalformed",
    "QuoteState",
    "RateSlipped",
    "ReturnRate",
    "Side",
    "cancel",
    "convert",
    "convert_back",
    "expire_due",
    "list_conversions",
    "list_quotes",
    "make",
    "post_back",
    "price_of",
    "read",
    "read_conversion",
]

_CONVERTED: Final = "rule.fx_conversion@1"
_BACK: Final = "rule.fx_conversion_back@1"
SLIP_CAP_PPM: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A conversion to book with a quote.

    Attributes
    ----------
    executed : the rate at which we cover it outside, units of `buy` for one of `sell`; None: it
        stays in our position
    slip_cap_ppm : by how much that may be worse than the market's rate of the quote
    payment : cross-border payment that the quote is kept for
    debit, credit : accounts of the client book instead of the merchant's available balances
    """

    id: UUID
    quote: UUID
    executed: Decimal | None = None
    slip_cap_ppm: int = SLIP_CAP_PPM
    payment: UUID | None = None
    debit: str | None = None
    credit: str | None = None


def make(unit: UnitOfWork, ask: QuoteAsk, *, past: EcbHistory | None = None) -> Quote:
    """Quote a rate: the market's with both spreads, less margin and the price of the lock.

    Parameters
    ----------
    past : history that the volatility is taken from; the one of the package

    Refusals
    --------
    both_sides_are_given, no_side_is_given, quote_pair_is_malformed, quote_is_too_small,
    rate_is_unknown, rate_is_held, rate_is_stale, unknown_currency
    """
    side_of(ask)
    for one in (ask.sell, ask.buy):
        Money(0, one)
    rates = rates_at(unit.connection, unit.now, [ask.sell, ask.buy])
    margin = margin_of(
        rate_table.margins(unit.connection, ask.sell, ask.buy),
        sell=ask.sell,
        buy=ask.buy,
        tier=ask.tier,
        at=unit.now,
    )
    premium = 0
    if ask.lock is not Lock.NONE:
        sigma = (past or history()).sigma(ask.sell, ask.buy, unit.now)
        premium = premium_ppm(sigma, ask.lock)
    price = price_of(rates.book, ask, margin_ppm=margin, premium_ppm=premium)
    quote = Quote(
        id=ask.id,
        mode=ask.mode,
        holder=ask.holder,
        sell=ask.sell,
        buy=ask.buy,
        side=price.side,
        sell_minor=price.sell_minor,
        buy_minor=price.buy_minor,
        rate=price.rate,
        market=price.market,
        mid=price.mid,
        margin_ppm=margin,
        premium_ppm=premium,
        lock=ask.lock,
        tier=ask.tier,
        valid_from=unit.now,
        valid_to=unit.now + ask.lock.lasts,
        ticks=rates.ticks,
    )
    if not table.insert(unit.connection, quote):
        return read(unit.connection, ask.id, holder=ask.holder)
    return quote


def read(connection: sa.Connection, quote: UUID, *, holder: UUID | None = None) -> Quote:
    """Return a quote; a merchant sees its own.

    Refusals
    --------
    quote_is_unknown
    """
    found = table.read(connection, quote)
    if holder not in (None, found.holder):
        raise QuoteIsUnknown(quote=quote)
    return found


def list_quotes(
    connection: sa.Connection,
    *,
    holder: UUID | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Quote]:
    """Return a page of quotes, by id from the last.

    Refusals
    --------
    cursor_is_invalid
    """
    before = UUID(str(decode_cursor(cursor, str)[0])) if cursor else None
    found = table.list_newest(connection, limit=limit + 1, before=before, holder=holder)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(str(items[-1].id)) if len(found) > limit else None)


def cancel(unit: UnitOfWork, quote: UUID, *, holder: UUID | None = None) -> Quote:
    """Withdraw a quote that nobody used.

    Refusals
    --------
    quote_is_unknown, quote_has_expired, quote_is_not_active
    """
    found = _locked(unit, quote, holder)
    must_be_usable(found, unit.now, for_payment=None)
    done = table.cancel(unit.connection, found)
    assert done, "a quote changed while it was locked"
    return table.read(unit.connection, quote)


def expire_due(unit: UnitOfWork, *, limit: int = 1_000) -> int:
    """Write down the end of quotes whose time is over; return how many."""
    return table.expire(unit.connection, now=unit.now, limit=limit)


def convert(unit: UnitOfWork, book: Book, *, holder: UUID | None = None) -> Conversion:
    """Use a quote: exchange the client's money through our own position.

    Of several at once with one quote, one books it. What is not booked leaves everything as it was,
    the quote too.

    Refusals
    --------
    quote_is_unknown, quote_has_expired, quote_is_not_active, rate_slipped, balance_does_not_cover,
    own_currency_is_short
    """
    quote = _locked(unit, book.quote, holder)
    if quote.holder is None:
        raise QuoteIsNotActive(quote=quote.id, state="an indication")
    if quote.consumed_by == book.id:
        return table.read_conversion(unit.connection, book.id)
    must_be_usable(quote, unit.now, for_payment=book.payment)
    slip = check_slip(quote, book.executed, book.slip_cap_ppm)
    if not table.consume(unit.connection, quote, by=book.id, at=unit.now):
        raise QuoteHasExpired(quote=quote.id, valid_to=quote.valid_to.isoformat())
    return book_consumed(unit, quote, book, slip)


def check_slip(quote: Quote, executed: Decimal | None, cap_ppm: int) -> int | None:
    """Return by how much an execution is worse than the market of its quote.

    Refusals
    --------
    rate_slipped
    """
    if executed is None:
        return None
    slip = slip_ppm(quote.market, executed)
    if slip > cap_ppm:
        raise RateSlipped(
            slip_ppm=slip, cap_ppm=cap_ppm, executed=str(executed), quoted=str(quote.market)
        )
    return slip


def book_consumed(unit: UnitOfWork, quote: Quote, book: Book, slip: int | None) -> Conversion:
    """Write and post the conversion of a quote that was consumed by it.

    Refusals
    --------
    balance_does_not_cover, own_currency_is_short
    """
    assert quote.holder is not None, "an indication is never consumed"
    conversion = Conversion(
        id=book.id,
        mode=quote.mode,
        quote=quote.id,
        holder=quote.holder,
        sell=quote.sell,
        buy=quote.buy,
        sell_minor=quote.sell_minor,
        buy_minor=quote.buy_minor,
        rate=quote.rate,
        executed=book.executed,
        slip_ppm=slip,
        payment=book.payment,
        booked_at=unit.now,
        by=unit.actor,
    )
    table.insert_conversion(unit.connection, conversion)
    unit.record(
        FxConverted(
            conversion=book.id,
            quote=quote.id,
            merchant=quote.holder,
            mode=quote.mode.value,
            sell=quote.sell,
            buy=quote.buy,
            sell_minor=quote.sell_minor,
            buy_minor=quote.buy_minor,
            rate=str(quote.rate),
        ),
        subject=f"fx_conversion:{book.id}",
    )
    house = institution.read_known(unit.connection, quote.mode)
    debit = book.debit or accounts.available(quote.holder, quote.sell)
    credit = book.credit or accounts.available(quote.holder, quote.buy)
    for currency in (quote.sell, quote.buy):
        open_currency(unit, house, currency)
    have_client(unit, house, (debit, quote.sell), (credit, quote.buy))
    transfers = through_own(
        house,
        book.id,
        FxRate(quote.sell, quote.buy, quote.rate),
        debit=debit,
        credit=credit,
        sold_minor=quote.sell_minor,
        bought_minor=quote.buy_minor,
        cause=_CONVERTED,
    )
    post_covered(
        unit,
        transfers,
        book=house.client_book,
        never_negative=(debit, due_to_us(house, quote.buy)),
    )
    return conversion


@dataclass(frozen=True, slots=True)
class Back:
    """What a return comes to; `post_back` posts it, in one chain with what belongs to it."""

    sell_minor: int
    book: str
    transfers: tuple[Transfer, ...]


def convert_back(
    unit: UnitOfWork,
    id: UUID,
    conversion: UUID,
    *,
    buy_minor: int,
    at_rate: ReturnRate,
    debit: str,
    credit: str,
) -> Back:
    """Exchange some of a conversion back, at its own rate or at the market's, as the contract says.

    This is how a refund or a return of converted money comes into the currency it was paid in. At
    the original rate what the market did meanwhile is our gain or loss: it stays in the positions
    and shows when they are revalued. At spot it is the client's.

    Parameters
    ----------
    buy_minor : of what was bought; all returns together are at most what was bought
    debit, credit : accounts of the client book, in the bought and in the sold currency

    Refusals
    --------
    conversion_is_unknown, conversion_return_exceeds; at spot rate_is_stale, rate_is_held
    """
    found = table.read_conversion(unit.connection, conversion, lock=True)
    after = found.back_minor + buy_minor
    if buy_minor <= 0 or after > found.buy_minor:
        raise ConversionReturnExceeds(
            conversion=conversion,
            left_minor=found.buy_minor - found.back_minor,
            amount_minor=buy_minor,
        )
    if at_rate is ReturnRate.ORIGINAL:
        # Parts of one conversion never give back more than was paid: the total is rounded, twice.
        given = found.sell_minor * after // found.buy_minor
        sell_minor = given - found.sell_minor * found.back_minor // found.buy_minor
        rate = _rate_giving(found.buy, found.sell, buy_minor, sell_minor)
    else:
        rates = rates_at(unit.connection, unit.now, [found.sell, found.buy])
        rate = FxRate(found.buy, found.sell, as_rate(rates.book.cross(found.buy, found.sell)))
        sell_minor = rate.convert(Money(buy_minor, found.buy), Rounding.FLOOR).amount_minor
    table.set_back(unit.connection, found, after)
    table.insert_return(
        unit.connection,
        {
            "id": id,
            "conversion": conversion,
            "buy_minor": buy_minor,
            "sell_minor": sell_minor,
            "at_rate": at_rate.value,
            "rate": rate.rate,
            "at": unit.now,
            "by": unit.actor,
        },
    )
    unit.record(
        FxConvertedBack(
            conversion=conversion,
            merchant=found.holder,
            buy_minor=buy_minor,
            sell_minor=sell_minor,
            at_rate=at_rate.value,
        ),
        subject=f"fx_conversion:{conversion}",
    )
    audit(
        unit,
        action="payments.convert_back",
        subject=f"fx_conversion:{conversion}",
        detail={"buy_minor": buy_minor, "sell_minor": sell_minor, "at_rate": at_rate.value},
    )
    house = institution.read_known(unit.connection, found.mode)
    if not sell_minor:
        return Back(0, house.client_book, ())
    for currency in (found.sell, found.buy):
        open_currency(unit, house, currency)
    have_client(unit, house, (debit, found.buy), (credit, found.sell))
    transfers = through_own(
        house,
        uuid5(id, "back"),
        rate,
        debit=debit,
        credit=credit,
        sold_minor=buy_minor,
        bought_minor=sell_minor,
        cause=_BACK,
    )
    return Back(sell_minor, house.client_book, transfers)


def post_back(unit: UnitOfWork, back: Back, *more: tuple[Transfer, ...]) -> None:
    """Post a return, and what belongs to it, in one chain.

    Refusals
    --------
    balance_does_not_cover, own_currency_is_short
    """
    parts = [part for part in (*more, back.transfers) if part]
    if parts:
        debits = tuple(str(one.debit) for part in parts for one in part)
        covered = tuple(code for code in debits if code.startswith(("merchant/", "mirror:")))
        post_covered(unit, chained(*parts), book=back.book, never_negative=covered)


def _rate_giving(sell: str, buy: str, sell_minor: int, buy_minor: int) -> FxRate:
    """Return a rate by which an amount gives at least another."""
    per_minor = Money(0, sell).currency.minor_per_major
    exact = Decimal(max(buy_minor, 1)) * per_minor
    exact /= Decimal(sell_minor) * Money(0, buy).currency.minor_per_major
    return FxRate(sell, buy, exact * (1 + Decimal("1e-18")))


def read_conversion(
    connection: sa.Connection, conversion: UUID, *, holder: UUID | None = None
) -> Conversion:
    """Return a conversion; a merchant sees its own.

    Refusals
    --------
    conversion_is_unknown
    """
    found = table.read_conversion(connection, conversion)
    if holder not in (None, found.holder):
        raise ConversionIsUnknown(conversion=conversion)
    return found


def list_conversions(
    connection: sa.Connection,
    *,
    holder: UUID | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Conversion]:
    """Return a page of conversions, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_conversions(
        connection, limit=limit + 1, before=position_of(cursor), holder=holder
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.booked_at.isoformat(), str(last.id)) if last else None)


def _locked(unit: UnitOfWork, quote: UUID, holder: UUID | None) -> Quote:
    found = table.read(unit.connection, quote, lock=True)
    if holder not in (None, found.holder):
        raise QuoteIsUnknown(quote=quote)
    return found
