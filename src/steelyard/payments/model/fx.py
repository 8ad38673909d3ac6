"""Currency rates: ticks of feeds, crosses through one hub, staleness, jumps, the price of a lock.

Every currency stands against one hub, the euro, with a bid and an ask; a pair is crossed through it
with the spread of both sides. There is one path between two currencies, so going round by any way
costs spreads and never gains. Rates are exact fractions until the last step, which rounds against
whoever asks; the other direction is computed from the ticks and never by inverting a rounded rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil, isfinite, pi, sqrt
from typing import Final, Protocol
from uuid import UUID

from steelyard.kernel import Calendar, Currency
from steelyard.payments.model.fx_refusals import (
    RateIsHeld,
    RateIsStale,
    RateIsUnknown,
    RateSourceIsMalformed,
    RateTickIsMalformed,
)

HUB: Final = "EUR"
PIVOTS: Final = ("EUR", "USD")
"""What a feed may state its rates against; those against the dollar are led to the euro."""
PPM: Final = 1_000_000
MOST_MARGIN_PPM: Final = 200_000
RATE_DIGITS: Final = 12
JUMP_PPM: Final = 100_000
"""10 %: a move beyond it is held until a second source or a person confirms it."""
AGREE_PPM: Final = 20_000
"""Two sources that differ by no more say the same."""
_MOST_AGE: Final = timedelta(days=60)
_DAY: Final = timedelta(days=1)
_FLOOR: Final = Context(prec=RATE_DIGITS, rounding=ROUND_FLOOR)
_EXACT: Final = Context(prec=40, rounding=ROUND_FLOOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What a source says of one currency at an instant.

    Attributes
    ----------
    pivot, currency : units of `currency` for one of `pivot`; the pivot is EUR or USD
    bid, ask : at which the source takes and gives one of the pivot; 0 < bid <= ask
    """

    source: str
    pivot: str
    currency: str
    bid: Decimal
    ask: Decimal
    observed_at: datetime

    @property
    def mid(self) -> Decimal:
        """Between bid and ask."""
        return (self.bid + self.ask) / 2

    @property
    def pair(self) -> str:
        """As it is written: `EUR/CNY`."""
        return f"{self.pivot}/{self.currency}"


class RateFeed(Protocol):
    """Where rates come from. Called outside of any transaction."""

    @property
    def source(self) -> str:
        """Code of the source, as `RateSource` has it."""
        ...

    def latest(self, now: datetime) -> Sequence[Tick]:
        """Return the newest tick of each currency at an instant; nothing where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSource:
    """What is asked of a source of rates.

    Attributes
    ----------
    calendar : of the days on which it speaks; closed days do not make a rate older
    cap_seconds : the greatest age in open time
    """

    source: str
    calendar: str
    cap_seconds: int


ECB: Final = RateSource(source="ecb", calendar="TARGET2", cap_seconds=30 * 3600)
"""Published on TARGET days at about 16:00 in Frankfurt: 30 hours are a day and an evening."""


class TickState(StrEnum):
    """Whether a tick may be used."""

    ACCEPTED = "accepted"
    HELD = "held"
    """It jumped; nobody is quoted by it, and nobody by the one before."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTick:
    """A tick as it was taken.

    Attributes
    ----------
    why : of a held or rejected one, what was against it
    resolved_by : who confirmed or rejected it, a person or `source:<code>`
    """

    id: UUID
    tick: Tick
    state: TickState
    why: str
    received_at: datetime
    actor: str
    resolved_at: datetime | None = None
    resolved_by: str | None = None


@dataclass(frozen=True, slots=True)
class Sides:
    """Units of a currency for one euro, exactly; 0 < bid <= ask."""

    bid: Fraction
    ask: Fraction

    @property
    def mid(self) -> Fraction:
        """Between both."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class RateBook:
    """Every currency against the hub, of one moment."""

    sides: Mapping[str, Sides]

    def of(self, currency: str) -> Sides:
        """Return a currency against the hub.

        Refusals
        --------
        rate_is_unknown
        """
        if currency == HUB:
            return Sides(Fraction(1), Fraction(1))
        found = self.sides.get(currency)
        if found is None:
            raise RateIsUnknown(currency=currency)
        return found

    def cross(self, sell: str, buy: str) -> Fraction:
        """Return how much of `buy` the market gives for one of `sell`, with both spreads.

        Examples
        --------
        >>> book = RateBook({"USD": Sides(Fraction("1.09"), Fraction("1.11")),
        ...                  "CNY": Sides(Fraction("7.8"), Fraction("7.9"))})
        >>> round(float(book.cross("USD", "CNY")), 4), round(float(book.cross("CNY", "USD")), 4)
        (7.027, 0.138)
        """
        return self.of(buy).bid / self.of(sell).ask

    def mid(self, sell: str, buy: str) -> Fraction:
        """Return the rate without any spread; for values, never for a price."""
        return self.of(buy).mid / self.of(sell).mid


def book_of(ticks: Iterable[Tick]) -> RateBook:
    """Return the book of one tick for each currency; those against the dollar cross the euro's.

    Refusals
    --------
    rate_is_unknown : ticks against the dollar without the dollar's own

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 5, tzinfo=UTC)
    >>> def tick(pivot, currency, bid, ask):
    ...     return Tick(source="x", pivot=pivot, currency=currency, bid=Decimal(bid),
    ...                 ask=Decimal(ask), observed_at=at)
    >>> book = book_of([tick("EUR", "USD", "1.1", "1.2"), tick("USD", "KWD", "0.3", "0.3")])
    >>> book.of("KWD")
    Sides(bid=Fraction(33, 100), ask=Fraction(9, 25))
    """
    found = list(ticks)
    sides = {
        one.currency: Sides(Fraction(one.bid), Fraction(one.ask))
        for one in found
        if one.pivot == HUB
    }
    for one in found:
        if one.pivot == HUB:
            continue
        pivot = sides.get(one.pivot)
        if pivot is None:
            raise RateIsUnknown(currency=one.pivot)
        sides[one.currency] = Sides(Fraction(one.bid) * pivot.bid, Fraction(one.ask) * pivot.ask)
    return RateBook(sides)


def spread_around(mid: Decimal, half_spread_ppm: int) -> tuple[Decimal, Decimal]:
    """Return bid and ask around the rate of a source that states only one.

    Examples
    --------
    >>> spread_around(Decimal("8"), 500)
    (Decimal('7.996000'), Decimal('8.004000'))
    """
    part = Decimal(half_spread_ppm).scaleb(-6)
    return mid * (1 - part), mid * (1 + part)


def check_tick(tick: Tick, now: datetime) -> None:
    """Refuse what cannot be a rate.

    Refusals
    --------
    rate_tick_is_malformed, unknown_currency
    """

    def refuse(what: str) -> RateTickIsMalformed:
        return RateTickIsMalformed(pair=tick.pair, source=tick.source, what=what)

    if tick.pivot not in PIVOTS or tick.pivot == tick.currency or tick.currency == HUB:
        raise refuse("rates are stated against the euro or the dollar")
    Currency.of(tick.currency)
    numbers = (tick.bid, tick.ask)
    if not all(n.is_finite() and Decimal("1e-8") < n < Decimal("1e9") for n in numbers):
        raise refuse("bid and ask lie between 1e-8 and 1e9")
    if tick.bid > tick.ask:
        raise refuse("the bid is above the ask")
    if tick.ask > tick.bid * Decimal("1.2"):
        raise refuse("bid and ask are more than a fifth apart")
    if tick.observed_at.tzinfo is None or tick.observed_at > now + timedelta(minutes=1):
        raise refuse("it is of the future")


def check_source(source: RateSource) -> None:
    """Refuse a cap that no source can keep, or that is none.

    Refusals
    --------
    rate_source_is_malformed
    """
    if not 1 <= source.cap_seconds <= 14 * 86_400:
        what = "its cap is not between 1 second and 14 days"
        raise RateSourceIsMalformed(source=source.source, what=what)


def open_age(since: datetime, now: datetime, calendar: Calendar) -> timedelta:
    """Return how old something is, without the days on which its source does not speak.

    Days are those of UTC. Beyond 60 days all of the time is counted.

    Examples
    --------
    >>> from steelyard.kernel import calendar
    >>> friday = datetime(2026, 3, 6, 15, tzinfo=UTC)
    >>> monday = datetime(2026, 3, 9, 9, tzinfo=UTC)
    >>> str(open_age(friday, monday, calendar("TARGET2")))
    '18:00:00'
    """
    age = now - since
    if age <= timedelta(0) or age > _MOST_AGE:
        return max(age, timedelta(0))
    start = datetime.combine(since.astimezone(UTC).date(), time(0), UTC)
    closed = timedelta(0)
    while start < now:
        end = start + _DAY
        if not calendar.is_business_day(start.date()):
            closed += min(end, now) - max(start, since)
        start = end
    return age - closed


def moved_ppm(before: Fraction | Decimal, after: Fraction | Decimal) -> int:
    """Return by how many millionths a rate moved, rounded up, without sign.

    Examples
    --------
    >>> moved_ppm(Decimal(8), Decimal("7.2"))
    100000
    """
    exact = abs(Fraction(after) / Fraction(before) - 1) * PPM
    return ceil(exact)


def jump_of(
    after: Fraction, *, last: Fraction | None, reference: Fraction | None, guard_ppm: int = JUMP_PPM
) -> str:
    """Return what is against a rate; nothing where it moved as rates do.

    Parameters
    ----------
    last : the accepted one before, by whatever source; reference : the central bank's

    Returns
    -------
    str
        `jumped_from_last`, `jumped_from_reference`, both with a comma between, or nothing. A rate
        without any other to compare with is held too: `nothing_to_compare_with`.
    """
    if last is None and reference is None:
        return "nothing_to_compare_with"
    known = (("jumped_from_last", last), ("jumped_from_reference", reference))
    return ",".join(
        name
        for name, before in known
        if before is not None and moved_ppm(before, after) >= guard_ppm
    )


def must_be_fresh(known: KnownTick, now: datetime, source: RateSource, calendar: Calendar) -> None:
    """Refuse a rate that jumped, or is older than its source may be.

    Refusals
    --------
    rate_is_held, rate_is_stale
    """
    tick = known.tick
    if known.state is TickState.HELD:
        raise RateIsHeld(currency=tick.currency, source=tick.source)
    age = open_age(tick.observed_at, now, calendar)
    if age > timedelta(seconds=source.cap_seconds):
        raise RateIsStale(
            currency=tick.currency, source=tick.source, observed_at=tick.observed_at.isoformat()
        )


class Lock(StrEnum):
    """For how long a rate is promised."""

    NONE = "none"
    MIN_5 = "5m"
    MIN_30 = "30m"
    HOUR_1 = "1h"
    HOUR_24 = "24h"

    @property
    def lasts(self) -> timedelta:
        """The promise; without any, the time in which a quote can be taken up."""
        return _LASTS[self]


_LASTS: Final = {
    Lock.NONE: timedelta(seconds=60),
    Lock.MIN_5: timedelta(minutes=5),
    Lock.MIN_30: timedelta(minutes=30),
    Lock.HOUR_1: timedelta(hours=1),
    Lock.HOUR_24: timedelta(hours=24),
}
SIGMA_UNKNOWN: Final = 0.01
"""Of a day, where no history of the pair is there: as much as an emerging currency moves."""
LOAD: Final = 1.08
"""On the fair price of the promise: 1.0734 was chosen on 1999-2014 by `fx_backtest`, rounded up."""


def premium_ppm(sigma_daily: float, lock: Lock, load: float = LOAD) -> int:
    """Return what a promise of a rate costs, in millionths of the amount.

    A locked rate is an option at the money that its holder has for nothing: its fair price is
    sigma sqrt(T / 2 pi), about 0.4 sigma sqrt(T) (Brenner and Subrahmanyam, 1988).

    Parameters
    ----------
    sigma_daily : standard deviation of a day's log return of the pair, 0 or more

    Returns
    -------
    int
        Rises with the period; 0 without a lock, and with one at least 1.

    Examples
    --------
    >>> [premium_ppm(0.005, lock) for lock in Lock]
    [0, 127, 311, 440, 2155]
    """
    assert isfinite(sigma_daily), "a volatility is a number"
    assert sigma_daily >= 0, "a volatility has no sign"
    if lock is Lock.NONE:
        return 0
    days = lock.lasts / _DAY
    fair = sigma_daily * sqrt(days / (2 * pi))
    return max(1, min(MOST_MARGIN_PPM, ceil(load * fair * PPM)))


def client_rate(market: Fraction, *, margin_ppm: int, premium_ppm: int) -> Decimal:
    """Return the rate that a client gets: below the market's, rounded down to 12 digits.

    Examples
    --------
    >>> client_rate(Fraction(7), margin_ppm=3_000, premium_ppm=0)
    Decimal('6.979')
    """
    assert 0 <= margin_ppm + premium_ppm < PPM, "some of it is left to the client"
    exact = market * (PPM - margin_ppm - premium_ppm) / PPM
    return as_rate(exact)


def as_rate(exact: Fraction) -> Decimal:
    """Return a rate rounded down to 12 significant digits.

    Examples
    --------
    >>> as_rate(Fraction(2, 3))
    Decimal('0.666666666666')
    """
    wide = _EXACT.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    return _FLOOR.create_decimal(wide)


def slip_ppm(quoted: Decimal, executed: Decimal) -> int:
    """Return by how many millionths an execution is worse than quoted; below 0 where it is better.

    Examples
    --------
    >>> slip_ppm(Decimal("7.0"), Decimal("6.993")), slip_ppm(Decimal("7"), Decimal("7.007"))
    (1000, -1000)
    """
    return ceil((1 - Fraction(executed) / Fraction(quoted)) * PPM)
