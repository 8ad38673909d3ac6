"""Which provider brings a cross-border payment: all that it costs, when it arrives, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import ceil
from typing import Final
from zoneinfo import ZoneInfo

from steelyard.kernel import Calendar, calendar
from steelyard.payments.model.crossborder_refusals import CorridorIsMalformed

PPM: Final = 1_000_000
MOST_LEGS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Corridor:
    """What a provider offers between two currencies to a country.

    Attributes
    ----------
    country : ISO 3166, or `*`
    spread_ppm : its own spread over the market; fixed_minor : in the currency sold
    lifting_minor : what banks on the way take, in the currency bought
    least_minor, most_minor, daily_most_minor : in the currency bought
    success_ppm : of payments that arrive without coming back
    arrives_minutes : from leaving to the beneficiary's account, in business days where over a day
    timezone, cut_off, calendar : until when a day's payments leave
    """

    provider: str
    sell: str
    buy: str
    country: str = "*"
    spread_ppm: int = 0
    fixed_minor: int = 0
    lifting_minor: int = 0
    least_minor: int = 1
    most_minor: int
    daily_most_minor: int | None = None
    success_ppm: int = 990_000
    arrives_minutes: int = 1_440
    timezone: str = "UTC"
    cut_off: time = time(16)
    calendar: str = "WEEKENDS"
    is_open: bool = True


def check_corridor(corridor: Corridor) -> None:
    """Refuse terms that contradict themselves.

    Refusals
    --------
    corridor_is_malformed, unknown_calendar
    """

    def refuse(what: str) -> CorridorIsMalformed:
        return CorridorIsMalformed(provider=corridor.provider, what=what)

    if not 1 <= corridor.least_minor <= corridor.most_minor:
        raise refuse("its least amount is above its greatest")
    if not 0 <= corridor.spread_ppm < PPM or not 0 < corridor.success_ppm <= PPM:
        raise refuse("its spread and success are shares")
    if min(corridor.fixed_minor, corridor.lifting_minor, corridor.arrives_minutes) < 0:
        raise refuse("its fees and times are not below zero")
    calendar(corridor.calendar)
    try:
        ZoneInfo(corridor.timezone)
    except (KeyError, ValueError, OSError):
        raise refuse("its time zone is not known") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAsk:
    """What is to be brought where.

    Attributes
    ----------
    buy_minor : what the beneficiary is to be credited; sell_minor : what the payer gives for it
    lifting_rate : minor units of `sell` for one of `buy`, without spread, for comparing costs
    premium_minor : what the lock of the rate costs, in `sell`; the same for every provider
    arrive_by : latest arrival; None: late is only dear
    delay_ppm_per_day, failure_ppm : what a day's delay and a payment that comes back are worth
    """

    sell: str
    buy: str
    country: str
    sell_minor: int
    buy_minor: int
    lifting_rate: Decimal
    premium_minor: int = 0
    arrive_by: datetime | None = None
    delay_ppm_per_day: int = 200
    failure_ppm: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider as it was weighed; money in the currency sold.

    Attributes
    ----------
    room_minor : how much of `buy` it can take now, of limits of a payment and of its day
    cost_minor : spread, fixed, lifting and premium; score_minor : with delay and failure priced in
    why_not : nothing where it can do it alone
    """

    provider: str
    spread_minor: int
    fixed_minor: int
    lifting_minor: int
    premium_minor: int
    delay_minor: int
    failure_minor: int
    room_minor: int
    least_minor: int
    leaves_at: datetime
    arrives_at: datetime
    is_past_cut_off: bool
    why_not: str = ""

    @property
    def cost_minor(self) -> int:
        """What the payer pays for it."""
        return self.spread_minor + self.fixed_minor + self.lifting_minor + self.premium_minor

    @property
    def score_minor(self) -> int:
        """What it is compared by: the least wins."""
        return self.cost_minor + self.delay_minor + self.failure_minor


@dataclass(frozen=True, slots=True)
class Part:
    """What one provider brings."""

    provider: str
    buy_minor: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which providers bring it, and all that were weighed, the best first.

    Attributes
    ----------
    parts : add up to what is to be brought; empty: nobody can
    why : `cheapest`, `split_over_limits`, or what is against all of them
    """

    parts: tuple[Part, ...]
    candidates: tuple[Candidate, ...]
    why: str

    @property
    def arrives_at(self) -> datetime | None:
        """The latest promised arrival of its parts."""
        chosen = {part.provider for part in self.parts}
        found = [one.arrives_at for one in self.candidates if one.provider in chosen]
        return max(found, default=None)


def choose(
    ask: RouteAsk,
    corridors: Sequence[Corridor],
    *,
    sent_today: Mapping[str, int],
    now: datetime,
    without: frozenset[str] = frozenset(),
) -> Choice:
    """Weigh every provider of a corridor; choose the least dear, or several where none suffices.

    Parameters
    ----------
    sent_today : provider -> minor units of `buy` that left or were planned on its present day
    without : providers that are not asked (again)
    """
    fitting = [
        one
        for one in corridors
        if (one.sell, one.buy) == (ask.sell, ask.buy) and one.country in ("*", ask.country)
    ]
    closest = _closest(fitting, ask.country)
    weighed = [
        _weigh(ask, one, sent_today.get(one.provider, 0), now, is_tried=one.provider in without)
        for one in closest
    ]
    ranked = sorted(weighed, key=lambda one: (bool(one.why_not), one.score_minor, one.provider))
    if not ranked:
        return Choice((), (), "no_provider_has_the_corridor")
    if not ranked[0].why_not:
        part = Part(ranked[0].provider, ask.buy_minor)
        return Choice((part,), tuple(ranked), "cheapest")
    parts = _split(ask.buy_minor, ranked)
    if parts:
        return Choice(parts, tuple(ranked), "split_over_limits")
    return Choice((), tuple(ranked), ",".join(sorted({one.why_not for one in ranked})))


def _closest(corridors: Sequence[Corridor], country: str) -> list[Corridor]:
    """Return one corridor for each provider: the country's own before that of any country."""
    found: dict[str, Corridor] = {}
    for one in corridors:
        if one.provider not in found or one.country == country:
            found[one.provider] = one
    return list(found.values())


def _weigh(
    ask: RouteAsk, corridor: Corridor, sent: int, now: datetime, *, is_tried: bool
) -> Candidate:
    leaves, arrives, is_past = times_of(corridor, now)
    room = corridor.most_minor
    if corridor.daily_most_minor is not None:
        room = min(room, max(0, corridor.daily_most_minor - (0 if is_past else sent)))
    days = max(0.0, (arrives - now) / timedelta(days=1))
    candidate = Candidate(
        provider=corridor.provider,
        spread_minor=_part(ask.sell_minor, corridor.spread_ppm),
        fixed_minor=corridor.fixed_minor,
        lifting_minor=ceil(corridor.lifting_minor * ask.lifting_rate),
        premium_minor=ask.premium_minor,
        delay_minor=ceil(ask.sell_minor * ask.delay_ppm_per_day * days / PPM),
        failure_minor=_part(_part(ask.sell_minor, ask.failure_ppm), PPM - corridor.success_ppm),
        room_minor=room,
        least_minor=corridor.least_minor,
        leaves_at=leaves,
        arrives_at=arrives,
        is_past_cut_off=is_past,
    )
    return replace(candidate, why_not=_why_not(ask, corridor, candidate, is_tried=is_tried))


def _why_not(ask: RouteAsk, corridor: Corridor, one: Candidate, *, is_tried: bool) -> str:
    if is_tried:
        return "was_tried"
    if not corridor.is_open:
        return "is_closed"
    if ask.arrive_by is not None and one.arrives_at > ask.arrive_by:
        return "past_cut_off" if one.is_past_cut_off else "arrives_too_late"
    if ask.buy_minor < one.least_minor:
        return "below_its_least"
    if ask.buy_minor > one.room_minor:
        return "above_its_limit"
    return ""


def _split(minor: int, ranked: Sequence[Candidate]) -> tuple[Part, ...]:
    """Return parts over those whose limit alone is in the way, the best filled first."""
    able = sorted(
        (one for one in ranked if one.why_not == "above_its_limit" and one.room_minor > 0),
        key=lambda one: (one.score_minor, one.provider),
    )
    parts: list[Part] = []
    left = minor
    for nth, one in enumerate(able[:MOST_LEGS]):
        take = min(left, one.room_minor)
        following = able[nth + 1] if nth + 1 < min(len(able), MOST_LEGS) else None
        # What is left must not be below the least amount of the next.
        if following is not None and 0 < left - take < following.least_minor:
            take = max(0, left - following.least_minor)
        if take < one.least_minor:
            continue
        parts.append(Part(one.provider, take))
        left -= take
        if not left:
            return tuple(parts)
    return ()


def times_of(corridor: Corridor, now: datetime) -> tuple[datetime, datetime, bool]:
    """Return when a payment leaves, when it arrives, and whether today's cut-off is over.

    What comes after the cut-off leaves when the next business day of the provider begins on its own
    clock. A day's travel or more is counted in its business days.

    Examples
    --------
    >>> from datetime import UTC
    >>> corridor = Corridor(provider="p", sell="CNY", buy="USD", most_minor=1,
    ...                     timezone="America/New_York", cut_off=time(15), arrives_minutes=60)
    >>> leaves, arrives, past = times_of(corridor, datetime(2026, 3, 6, 21, tzinfo=UTC))
    >>> leaves.isoformat(), past
    ('2026-03-09T04:00:00+00:00', True)
    """
    days = calendar(corridor.calendar)
    zone = ZoneInfo(corridor.timezone)
    local = now.astimezone(zone)
    is_today = days.is_business_day(local.date())
    is_past = not is_today or local.time() >= corridor.cut_off
    leaves = now
    if is_past:
        opens = days.next_business_day(local.date())
        leaves = datetime.combine(opens, time(0), zone).astimezone(now.tzinfo)
    whole, minutes = divmod(corridor.arrives_minutes, 1_440)
    arrives = leaves
    if whole:
        arrives = _later(leaves, whole, days, zone)
    return leaves, arrives + timedelta(minutes=minutes), is_past


def _later(at: datetime, days: int, on: Calendar, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    there = datetime.combine(on.add_business_days(local.date(), days), local.time(), zone)
    return there.astimezone(at.tzinfo)


def _part(minor: int, ppm: int) -> int:
    return -(-minor * ppm // PPM)


def provider_day(corridor: Corridor, at: datetime) -> date:
    """Return the provider's own day that a payment leaves on; its daily limit counts by it."""
    leaves, _, _ = times_of(corridor, at)
    return leaves.astimezone(ZoneInfo(corridor.timezone)).date()


def shares_of(sell_minor: int, parts: Sequence[Part]) -> tuple[int, ...]:
    """Return what the payer gives for each part; adds up, the last has what rounding leaves.

    Examples
    --------
    >>> shares_of(100, (Part("a", 1), Part("b", 2)))
    (33, 67)
    """
    total = sum(part.buy_minor for part in parts)
    shares = [sell_minor * part.buy_minor // total for part in parts[:-1]]
    return (*shares, sell_minor - sum(shares))
