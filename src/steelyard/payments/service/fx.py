"""Rates taken from feeds and held where they jump; our positions, their value, and what they gain.

A feed is asked outside of any transaction. What it says is compared with the last accepted rate and
with the central bank's; a jump is held, and the currency is not quoted, until a second source says
the same or a person who did not bring it confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.kernel import Currency, FxRate, Money, Rounding, calendar
from steelyard.ledger import BookReader, Heading, accepted, post
from steelyard.payments.model.fx import (
    AGREE_PPM,
    ECB,
    HUB,
    MOST_MARGIN_PPM,
    PIVOTS,
    KnownTick,
    Lock,
    RateBook,
    RateFeed,
    RateSource,
    Tick,
    TickState,
    as_rate,
    book_of,
    check_source,
    check_tick,
    jump_of,
    moved_ppm,
    must_be_fresh,
    premium_ppm,
)
from steelyard.payments.model.fx_backtest import Backtest, backtest
from steelyard.payments.model.fx_refusals import (
    HeldRateIsUnknown,
    MarginIsBackdated,
    MarginIsMalformed,
    RateIsHeld,
    RateIsOwnWork,
    RateIsStale,
    RateIsUnknown,
    RateSourceIsMalformed,
    RateSourceIsUnknown,
    RateTickIsMalformed,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import ANY, Margin
from steelyard.payments.service import institution
from steelyard.payments.service.clearing_books import due_to_us, own_code, sweep_out
from steelyard.payments.service.fx_books import (
    GAIN,
    LOSS,
    chained,
    open_currency,
    position,
    post_covered,
)
from steelyard.payments.service.fx_facts import FxRateHeld, FxRateResolved, FxRevalued
from steelyard.payments.service.rates_ecb import EcbFeed, EcbHistory, history
from steelyard.payments.store import quotes as quote_table
from steelyard.payments.store import rates as table

__all__ = [
    "ECB",
    "HELD",
    "Backtest",
    "EcbFeed",
    "EcbHistory",
    "HeldRateIsUnknown",
    "KnownTick",
    "Lock",
    "Margin",
    "MarginIsBackdated",
    "MarginIsMalformed",
    "PairTotal",
    "Position",
    "RateBook",
    "RateFeed",
    "RateIsHeld",
    "RateIsOwnWork",
    "RateIsStale",
    "RateIsUnknown",
    "RateSource",
    "RateSourceIsMalformed",
    "RateSourceIsUnknown",
    "RateTickIsMalformed",
    "Rates",
    "Revaluation",
    "Tick",
    "TickState",
    "as_rate",
    "backtest",
    "book_of",
    "confirm",
    "held",
    "history",
    "pair_totals",
    "positions",
    "premium_ppm",
    "pull",
    "rates_at",
    "reject",
    "revalue",
    "set_margin",
    "set_source",
    "take",
    "top_up",
]

_TOP_UP: Final = "rule.fx_top_up@1"
_REVALUED: Final = "rule.fx_revaluation@1"
_AGREE_WITHIN: Final = timedelta(hours=24)
_LEEWAY: Final = timedelta(minutes=1)

HELD: Final = registry.register_kind(
    CaseKind(
        "payments.fx_rate",
        "A rate that jumped",
        "汇率跳变",
        registry.Sla(timedelta(hours=1)),
        (
            registry.CaseOutcome("confirmed", "Confirmed", "已确认"),
            registry.CaseOutcome("rejected", "Rejected", "已拒绝"),
        ),
        priority=registry.Priority.URGENT,
        skill="payments.exchange",
    )
)


@dataclass(frozen=True, slots=True)
class Rates:
    """A book of rates with the ticks it is made of.

    Attributes
    ----------
    ticks : currency -> id of its tick
    observed_at : of the oldest of them; None where only the hub was asked for
    """

    book: RateBook
    ticks: Mapping[str, str]
    observed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Position:
    """What our own book holds of a currency through exchanges; below zero it owes it."""

    currency: str
    amount_minor: int
    in_reserve_minor: int


@dataclass(frozen=True, slots=True)
class PairTotal:
    """What was converted of a pair, what came back taken off, and the rate on the average."""

    sell: str
    buy: str
    conversions: int
    sold_minor: int
    bought_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revaluation:
    """Positions at a rate.

    Attributes
    ----------
    rates : units of `base` for one of the currency, without spread
    gain_minor : in `base`, since the last time; below zero a loss
    """

    id: UUID
    mode: Mode
    on: date
    run: int
    base: str
    positions: Mapping[str, int]
    rates: Mapping[str, str]
    gain_minor: int


def set_source(unit: UnitOfWork, source: RateSource) -> RateSource:
    """Enter a source of rates, or change what is asked of it.

    Refusals
    --------
    rate_source_is_malformed, unknown_calendar
    """
    check_source(source)
    calendar(source.calendar)
    table.put_source(unit.connection, source, by=unit.actor, at=unit.now)
    audit(
        unit,
        action="payments.set_fx_source",
        subject=f"fx_source:{source.source}",
        detail={"calendar": source.calendar, "cap_seconds": source.cap_seconds},
    )
    return source


def set_margin(unit: UnitOfWork, margin: Margin) -> Margin:
    """Agree a margin from an instant on; one that began is not changed, a later one replaces it.

    Refusals
    --------
    margin_is_malformed, margin_is_backdated, unknown_currency
    """
    for one in (margin.sell, margin.buy):
        if one != ANY:
            Currency.of(one)
    if not 0 <= margin.margin_ppm <= MOST_MARGIN_PPM:
        raise MarginIsMalformed(margin_ppm=margin.margin_ppm, most_ppm=MOST_MARGIN_PPM)
    is_new = margin.starts_at >= unit.now and table.insert_margin(
        unit.connection, margin, by=unit.actor
    )
    if not is_new:
        raise MarginIsBackdated(starts_at=margin.starts_at.isoformat())
    audit(
        unit,
        action="payments.set_fx_margin",
        subject=f"fx_margin:{margin.sell}.{margin.buy}.{margin.tier}".replace(ANY, "any"),
        detail={"margin_ppm": margin.margin_ppm, "starts_at": margin.starts_at.isoformat()},
    )
    return margin


def pull(
    database: Database,
    feed: RateFeed,
    *,
    reference: EcbHistory | None = None,
    actor: str = "system:fx",
) -> list[KnownTick]:
    """Ask a feed and take what it says.

    Parameters
    ----------
    reference : the central bank's history that jumps are measured by; the one of the package
    """
    ticks = feed.latest(database.now())
    if not ticks:
        return []
    known = reference or history()
    return database.transact(lambda unit: take(unit, ticks, reference=known), actor=actor)


def take(
    unit: UnitOfWork, ticks: Sequence[Tick], *, reference: EcbHistory | None = None
) -> list[KnownTick]:
    """Take what sources say; a tick that was taken before changes nothing.

    Returns
    -------
    list of KnownTick
        Those that were not there, accepted or held.

    Refusals
    --------
    rate_source_is_unknown, rate_tick_is_malformed, unknown_currency
    """
    table.lock_rates(unit.connection)
    known = {ECB.source: ECB} | table.sources(unit.connection)
    for tick in ticks:
        if tick.source not in known:
            raise RateSourceIsUnknown(source=tick.source)
        check_tick(tick, unit.now)
    last = table.newest(
        unit.connection,
        [*PIVOTS, *(tick.currency for tick in ticks)],
        states=[TickState.ACCEPTED],
        until=unit.now + _LEEWAY,
    )
    judged = []
    # Those against the dollar are compared through the dollar's own, which comes first.
    for tick in sorted(ticks, key=lambda one: (one.pivot != HUB, one.currency)):
        one = _judged(unit, tick, last, _before(tick, reference, unit.now))
        judged.append(one)
        newest = last.get(tick.currency)
        if one.state is TickState.ACCEPTED and (
            newest is None or newest.tick.observed_at <= tick.observed_at
        ):
            last[tick.currency] = one
    new = table.insert_ticks(unit.connection, judged)
    taken = [one for one in judged if one.id in new]
    waiting = _agreed(unit, taken)
    for one in waiting:
        fact = FxRateHeld(tick=one.id, source=one.tick.source, pair=one.tick.pair, why=one.why)
        unit.record(fact, subject=_subject(one.tick))
        open_case(unit, HELD.name, f"fx_tick:{one.id}", dedup_key=f"fx:{one.tick.currency}")
    return taken


def _before(tick: Tick, reference: EcbHistory | None, now: datetime) -> Mapping[str, Fraction]:
    if reference is None:
        return {}
    if tick.source == ECB.source:
        return reference.mids_before(tick.observed_at)
    return reference.mids(now)


def _judged(
    unit: UnitOfWork,
    tick: Tick,
    last: Mapping[str, KnownTick],
    reference: Mapping[str, Fraction],
) -> KnownTick:
    found = last.get(tick.currency)
    mid = _to_hub(tick, last)
    if mid is None:
        why = "its_pivot_has_no_rate"
    else:
        before = None if found is None else _to_hub(found.tick, last)
        why = jump_of(mid, last=before, reference=reference.get(tick.currency))
    return KnownTick(
        id=unit.new_id(),
        tick=tick,
        state=TickState.HELD if why else TickState.ACCEPTED,
        why=why,
        received_at=unit.now,
        actor=unit.actor,
    )


def _to_hub(tick: Tick, last: Mapping[str, KnownTick]) -> Fraction | None:
    mid = Fraction(tick.mid)
    if tick.pivot == HUB:
        return mid
    pivot = last.get(tick.pivot)
    return None if pivot is None else mid * Fraction(pivot.tick.mid)


def _agreed(unit: UnitOfWork, taken: Sequence[KnownTick]) -> list[KnownTick]:
    """Accept what two sources say alike; return what is still held of what was taken."""
    new = {one.id for one in taken if one.state is TickState.HELD}
    if not new:
        return []
    waiting = table.held(unit.connection)
    accepted_ids: set[UUID] = set()
    for one in waiting:
        for other in waiting:
            if one.id in new and one.id != other.id and _say_the_same(one.tick, other.tick):
                accepted_ids |= {one.id, other.id}
    for one in waiting:
        if one.id in accepted_ids:
            _resolve(unit, one, TickState.ACCEPTED, by="source:second")
    return [one for one in taken if one.id in new - accepted_ids]


def _say_the_same(one: Tick, other: Tick) -> bool:
    return (
        one.source != other.source
        and (one.pivot, one.currency) == (other.pivot, other.currency)
        and abs(one.observed_at - other.observed_at) <= _AGREE_WITHIN
        and moved_ppm(one.mid, other.mid) <= AGREE_PPM
    )


def held(connection: sa.Connection) -> list[KnownTick]:
    """Return the rates that wait for a confirmation, the oldest first."""
    return table.held(connection)


def confirm(unit: UnitOfWork, tick: UUID, *, reason: str) -> KnownTick:
    """Let a rate be used that was held; who brought it does not.

    Refusals
    --------
    held_rate_is_unknown, rate_is_own_work
    """
    return _by_person(unit, tick, TickState.ACCEPTED, reason)


def reject(unit: UnitOfWork, tick: UUID, *, reason: str) -> KnownTick:
    """Never use a rate that was held.

    Refusals
    --------
    held_rate_is_unknown, rate_is_own_work
    """
    return _by_person(unit, tick, TickState.REJECTED, reason)


def _by_person(unit: UnitOfWork, tick: UUID, state: TickState, reason: str) -> KnownTick:
    found = table.held(unit.connection, lock=tick)
    if not found:
        raise HeldRateIsUnknown(rate=tick)
    (known,) = found
    if known.actor == unit.actor:
        raise RateIsOwnWork(rate=tick, actor=unit.actor)
    audit(
        unit,
        action=f"payments.fx_rate_{state.value}",
        subject=f"fx_tick:{tick}",
        detail={"reason": reason, "pair": known.tick.pair, "why": known.why},
    )
    return _resolve(unit, known, state, by=unit.actor)


def _resolve(unit: UnitOfWork, known: KnownTick, state: TickState, *, by: str) -> KnownTick:
    changed = table.resolve(unit.connection, known.id, state, by=by, at=unit.now)
    assert changed, "rates are resolved one at a time"
    fact = FxRateResolved(
        tick=known.id, source=known.tick.source, pair=known.tick.pair, state=state.value, by=by
    )
    unit.record(fact, subject=_subject(known.tick))
    return replace(known, state=state, resolved_at=unit.now, resolved_by=by)


def _subject(tick: Tick) -> str:
    return f"fx:{tick.currency}"


def rates_at(connection: sa.Connection, now: datetime, currencies: Iterable[str]) -> Rates:
    """Return the book of some currencies as it may be used at an instant.

    Refusals
    --------
    rate_is_unknown, rate_is_held, rate_is_stale
    """
    known = {ECB.source: ECB} | table.sources(connection)
    wanted = {one for one in currencies if one != HUB}
    newest = table.newest(
        connection,
        [*PIVOTS, *wanted],
        states=[TickState.ACCEPTED, TickState.HELD],
        until=now + _LEEWAY,
    )
    pivots = {newest[one].tick.pivot for one in wanted if one in newest}
    found = []
    for currency in sorted(wanted | (pivots & set(PIVOTS)) - {HUB}):
        one = newest.get(currency)
        if one is None:
            raise RateIsUnknown(currency=currency)
        source = known[one.tick.source]
        must_be_fresh(one, now, source, calendar(source.calendar))
        found.append(one)
    return Rates(
        book_of(one.tick for one in found),
        {one.tick.currency: str(one.id) for one in found},
        min((one.tick.observed_at for one in found), default=None),
    )


def top_up(unit: UnitOfWork, mode: Mode, currency: str, amount_minor: int) -> int:
    """Put money of our own bank account into the client reserve, or take it back below zero.

    Returns
    -------
    int
        What is ours in the reserve afterwards.

    Refusals
    --------
    institution_is_not_open; own_currency_is_short : more is taken back than is ours
    """
    house = institution.read_known(unit.connection, mode)
    open_currency(unit, house, currency)
    heading = Heading(entry=unit.new_id(), book=house.client_book, currency=currency, cause=_TOP_UP)
    audit(
        unit,
        action="payments.fx_top_up",
        subject=f"fx:{currency}",
        detail={"mode": mode.value, "amount_minor": amount_minor},
    )
    post_covered(
        unit,
        sweep_out(house, heading, -amount_minor),
        book=house.client_book,
        never_negative=(due_to_us(house, currency),),
    )
    return -BookReader(unit.connection, house.client_book).balances([due_to_us(house, currency)])[
        due_to_us(house, currency)
    ]


def positions(connection: sa.Connection, mode: Mode) -> list[Position]:
    """Return what our own book holds of each currency that was exchanged."""
    house = institution.read_known(connection, mode)
    prefix = position("")
    held_minor = {
        line.code.removeprefix(prefix): line.credit_minor - line.debit_minor
        for line in BookReader(connection, house.own_book).trial_balance().lines
        if line.code.startswith(prefix)
    }
    codes = {currency: due_to_us(house, currency) for currency in held_minor}
    found = BookReader(connection, house.client_book).balances([*codes.values()])
    return [
        Position(currency, amount, -found.get(codes[currency], 0))
        for currency, amount in sorted(held_minor.items())
    ]


def pair_totals(connection: sa.Connection, mode: Mode) -> list[PairTotal]:
    """Return what was converted, by pair."""
    return [PairTotal(*row) for row in quote_table.by_pair(connection, mode)]


def revalue(
    unit: UnitOfWork, mode: Mode, *, base: str = "CNY", on: date | None = None
) -> Revaluation:
    """Value our positions at the present rates, and post what they gained or lost since last time.

    Run again with the same rates it posts nothing.

    Refusals
    --------
    institution_is_not_open, rate_is_unknown, rate_is_held, rate_is_stale
    """
    house = institution.read_known(unit.connection, mode)
    open_currency(unit, house, base)
    table.lock_rates(unit.connection)
    held_now = {
        one.currency: one.amount_minor
        for one in positions(unit.connection, mode)
        if one.amount_minor or one.currency == base
    }
    rates = rates_at(unit.connection, unit.now, [*held_now, base])
    value, used = held_now.get(base, 0), {}
    for currency, minor in held_now.items():
        if currency == base:
            continue
        rate = FxRate(currency, base, as_rate(rates.book.mid(currency, base)))
        used[currency] = str(rate.rate)
        value += rate.convert(Money(minor, currency), Rounding.HALF_EVEN).amount_minor
    id, day = unit.new_id(), on or unit.now.date()
    run = table.insert_revaluation(
        unit.connection,
        id,
        mode=mode,
        on=day,
        base=base,
        positions=held_now,
        rates=used,
        gain_minor=value,
        at=unit.now,
        by=unit.actor,
    )
    fact = FxRevalued(mode=mode.value, base=base, on=day, gain_minor=value)
    unit.record(fact, subject=f"fx_position:{mode.value}")
    if value:
        heading = Heading(
            entry=uuid5(id, "revalued"), book=house.own_book, currency=base, cause=_REVALUED
        )
        debit, credit = position(base), own_code(GAIN, base)
        if value < 0:
            debit, credit = own_code(LOSS, base), position(base)
        accepted(post(unit, chained((heading.transfer(0, debit, credit, abs(value)),))))
    return Revaluation(
        id=id,
        mode=mode,
        on=day,
        run=run,
        base=base,
        positions=held_now,
        rates=used,
        gain_minor=value,
    )
