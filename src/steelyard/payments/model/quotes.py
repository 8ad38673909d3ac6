"""Quotes of currency: which side is fixed, what it costs, until when it is good, who used it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final
from uuid import UUID

from steelyard.kernel import FxRate, Money, Rounding
from steelyard.payments.model.fx import Lock, RateBook, as_rate, client_rate
from steelyard.payments.model.fx_refusals import (
    BothSidesAreGiven,
    NoSideIsGiven,
    QuoteHasExpired,
    QuoteIsNotActive,
    QuoteIsTooSmall,
    QuotePairIsMalformed,
)
from steelyard.payments.model.orders import Mode

ANY: Final = "*"


class Side(StrEnum):
    """Which amount is fixed; the other follows from the rate, rounded against who asks."""

    SELL = "sell"
    BUY = "buy"


class QuoteState(StrEnum):
    """Where a quote stands."""

    ACTIVE = "active"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What is taken off the market's rate, from an instant on.

    Attributes
    ----------
    sell, buy : the pair, or `*` for any; tier : of the client, or `*`
    margin_ppm : millionths of the amount
    """

    sell: str
    buy: str
    tier: str
    margin_ppm: int
    starts_at: datetime


DEFAULT_MARGIN_PPM: Final = 3_000
"""Where nothing was agreed: 0.3 %."""


def margin_of(margins: tuple[Margin, ...], *, sell: str, buy: str, tier: str, at: datetime) -> int:
    """Return the margin of a pair and tier at an instant: the closest wins, then the newest.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> rows = (Margin(sell="*", buy="*", tier="*", margin_ppm=5000, starts_at=at),
    ...         Margin(sell="CNY", buy="USD", tier="*", margin_ppm=2000, starts_at=at))
    >>> margin_of(rows, sell="CNY", buy="USD", tier="gold", at=at)
    2000
    """
    fits = [
        one
        for one in margins
        if one.sell in (sell, ANY)
        and one.buy in (buy, ANY)
        and one.tier in (tier, ANY)
        and one.starts_at <= at
    ]
    if not fits:
        return DEFAULT_MARGIN_PPM

    def closeness(one: Margin) -> tuple[int, int, datetime]:
        pair = (one.sell != ANY) + (one.buy != ANY)
        return (pair, int(one.tier != ANY), one.starts_at)

    return max(fits, key=closeness).margin_ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteAsk:
    """A quote that is asked for.

    Attributes
    ----------
    holder : merchant; None: an indication that nobody can use
    sell_minor, buy_minor : one of both
    """

    id: UUID
    mode: Mode
    holder: UUID | None
    sell: str
    buy: str
    sell_minor: int | None = None
    buy_minor: int | None = None
    lock: Lock = Lock.NONE
    tier: str = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a quote comes to.

    Attributes
    ----------
    rate : the client's, units of `buy` for one of `sell`; market : with spreads, before margin
    mid : without any spread; what the client's rate is compared with
    """

    side: Side
    sell_minor: int
    buy_minor: int
    rate: Decimal
    market: Decimal
    mid: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A quote as it stands.

    Attributes
    ----------
    valid_from, valid_to : half open; it can be used before `valid_to`
    reserved_for : the cross-border payment that it is kept for
    consumed_by : the conversion that used it
    ticks : ids of the rates that it was made of
    """

    id: UUID
    mode: Mode
    holder: UUID | None
    sell: str
    buy: str
    side: Side
    sell_minor: int
    buy_minor: int
    rate: Decimal
    market: Decimal
    mid: Decimal
    margin_ppm: int
    premium_ppm: int
    lock: Lock
    tier: str
    valid_from: datetime
    valid_to: datetime
    state: QuoteState = QuoteState.ACTIVE
    version: int = 1
    reserved_for: UUID | None = None
    consumed_by: UUID | None = None
    consumed_at: datetime | None = None
    ticks: Mapping[str, str]

    def state_at(self, now: datetime) -> QuoteState:
        """Return its state at an instant: what nobody expired yet is expired all the same."""
        if self.state is QuoteState.ACTIVE and now >= self.valid_to:
            return QuoteState.EXPIRED
        return self.state


def side_of(ask: QuoteAsk) -> tuple[Side, int]:
    """Return which amount is fixed, and at what.

    Refusals
    --------
    both_sides_are_given, no_side_is_given, quote_pair_is_malformed, quote_is_too_small
    """
    if ask.sell_minor is not None and ask.buy_minor is not None:
        raise BothSidesAreGiven
    if ask.sell == ask.buy:
        raise QuotePairIsMalformed(sell=ask.sell, buy=ask.buy)
    if ask.sell_minor is not None:
        side, minor, currency = Side.SELL, ask.sell_minor, ask.sell
    elif ask.buy_minor is not None:
        side, minor, currency = Side.BUY, ask.buy_minor, ask.buy
    else:
        raise NoSideIsGiven
    if minor <= 0:
        raise QuoteIsTooSmall(amount_minor=minor, currency=currency)
    return side, minor


def price_of(book: RateBook, ask: QuoteAsk, *, margin_ppm: int, premium_ppm: int) -> Price:
    """Return what a quote comes to; what rounding leaves is ours.

    Refusals
    --------
    those of `side_of`; rate_is_unknown, quote_is_too_small
    """
    side, minor = side_of(ask)
    market = book.cross(ask.sell, ask.buy)
    rate = client_rate(market, margin_ppm=margin_ppm, premium_ppm=premium_ppm)
    sell_minor, buy_minor = amounts_of(
        FxRate(ask.sell, ask.buy, rate), side=side, amount_minor=minor
    )
    return Price(
        side=side,
        sell_minor=sell_minor,
        buy_minor=buy_minor,
        rate=rate,
        market=as_rate(market),
        mid=as_rate(book.mid(ask.sell, ask.buy)),
    )


def amounts_of(rate: FxRate, *, side: Side, amount_minor: int) -> tuple[int, int]:
    """Return what is sold (the base of the rate) and bought; what is not fixed is rounded to us.

    Refusals
    --------
    quote_is_too_small, amount_is_out_of_range

    Examples
    --------
    >>> rate = FxRate("USD", "JPY", Decimal("150.37"))
    >>> amounts_of(rate, side=Side.SELL, amount_minor=101)
    (101, 151)
    >>> amounts_of(rate, side=Side.BUY, amount_minor=151)
    (101, 151)
    """
    if side is Side.SELL:
        bought = rate.convert(Money(amount_minor, rate.base), Rounding.FLOOR).amount_minor
        if bought <= 0:
            raise QuoteIsTooSmall(amount_minor=amount_minor, currency=rate.base.code)
        return amount_minor, bought
    return rate.convert(Money(amount_minor, rate.quote), Rounding.CEILING).amount_minor, (
        amount_minor
    )


def spread_cost_minor(quote: Quote) -> int:
    """Return what the client pays above the middle of the market, in what he sells, rounded up."""
    fair = Fraction(quote.buy_minor) / (
        Fraction(quote.mid) * _minor_of(quote.buy) / _minor_of(quote.sell)
    )
    return max(0, quote.sell_minor - int(fair))


def _minor_of(currency: str) -> int:
    return Money(0, currency).currency.minor_per_major


def must_be_usable(quote: Quote, now: datetime, *, for_payment: UUID | None) -> None:
    """Refuse a quote that was used, is over, or is kept for something else.

    Refusals
    --------
    quote_has_expired, quote_is_not_active
    """
    state = quote.state_at(now)
    if state is QuoteState.EXPIRED:
        raise QuoteHasExpired(quote=quote.id, valid_to=quote.valid_to.isoformat())
    if state is not QuoteState.ACTIVE:
        raise QuoteIsNotActive(quote=quote.id, state=state.value)
    if quote.reserved_for not in (None, for_payment):
        raise QuoteIsNotActive(quote=quote.id, state="kept for another payment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A conversion that was booked and settled.

    Attributes
    ----------
    executed : the rate at which we covered it outside; None: it stays in our position
    slip_ppm : by how much that was worse than the market's rate of the quote
    back_minor : what of the bought was converted back
    """

    id: UUID
    mode: Mode
    quote: UUID
    holder: UUID
    sell: str
    buy: str
    sell_minor: int
    buy_minor: int
    rate: Decimal
    executed: Decimal | None
    slip_ppm: int | None
    payment: UUID | None
    booked_at: datetime
    by: str
    back_minor: int = 0
