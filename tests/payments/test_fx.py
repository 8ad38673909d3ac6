"""Rates: taken, held where they jump, stale by open time; positions and their value."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.kernel import FxRate, SteppingClock, calendar
from steelyard.kernel.money import AmountIsOutOfRange
from steelyard.payments.model.fx import (
    Lock,
    RateBook,
    RateSource,
    Sides,
    TickState,
    client_rate,
    open_age,
    premium_ppm,
)
from steelyard.payments.model.fx_backtest import backtest, ewma_sigma
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import Margin, QuoteAsk, Side, amounts_of, price_of
from steelyard.payments.service import fx, quotes
from tests.payments.exchange import OWN_MINOR, ScriptedFeed, a_quote, open_exchange, tick
from tests.payments.till import OWN, SHOP, balance, open_shop, sum_of_postings

DESK = RateSource(source="desk", calendar="WEEKENDS", cap_seconds=900)
SECOND = RateSource(source="second", calendar="WEEKENDS", cap_seconds=900)

_RATE = st.decimals("0.0005", "20000", places=6).filter(lambda n: n > 0)
_HALF_SPREAD = st.integers(0, 3_000)
_UNITS = ("EUR", "USD", "CNY", "JPY", "KWD", "CLF")


@st.composite
def _books(draw: st.DrawFn) -> RateBook:
    sides = {}
    for code in _UNITS[1:]:
        mid, half = Fraction(draw(_RATE)), Fraction(draw(_HALF_SPREAD), 1_000_000)
        sides[code] = Sides(mid * (1 - half), mid * (1 + half))
    return RateBook(sides)


@settings(max_examples=100)
@given(
    book=_books(),
    way=st.lists(st.sampled_from(_UNITS), min_size=2, max_size=4, unique=True),
    sides=st.lists(st.sampled_from(Side), min_size=4, max_size=4),
    minor=st.integers(1, 10**12),
)
def test_case_74_going_round_never_gains(
    book: RateBook, way: list[str], sides: list[Side], minor: int
) -> None:
    """Over any pairs, amounts and fixed sides, without any margin: the hardest case."""
    had = now = minor
    for (sell, buy), side in zip(zip(way, [*way[1:], way[0]], strict=True), sides, strict=False):
        rate = FxRate(sell, buy, client_rate(book.cross(sell, buy), margin_ppm=0, premium_ppm=0))
        try:
            _, bought = amounts_of(rate, side=Side.SELL, amount_minor=now)
            if side is Side.BUY:
                # Who fixes what he buys pays for it what he has, or less.
                sold, fixed = amounts_of(rate, side=Side.BUY, amount_minor=bought)
                assert sold <= now
                assert fixed == bought
        except (quotes.QuoteIsTooSmall, AmountIsOutOfRange):
            return
        now = bought
    assert now <= had


@given(book=_books(), minor=st.integers(1, 10**12), margin=st.integers(0, 100_000))
def test_the_side_that_is_fixed_is_met_to_the_unit(book: RateBook, minor: int, margin: int) -> None:
    base = QuoteAsk(id=uuid4(), mode=Mode.LIVE, holder=None, sell="JPY", buy="KWD", buy_minor=minor)
    price = price_of(book, base, margin_ppm=margin, premium_ppm=0)
    assert price.buy_minor == minor
    assert price.rate <= price.market <= price.mid * Decimal("1.000001")
    exact = Fraction(price.sell_minor) * Fraction(price.rate) * 1_000
    assert exact >= minor
    assert exact - minor < Fraction(price.rate) * 1_000


def test_no_rounded_rate_is_inverted() -> None:
    book = RateBook(
        {"USD": Sides(Fraction(3), Fraction(3)), "CNY": Sides(Fraction(7), Fraction(7))}
    )
    there = client_rate(book.cross("USD", "CNY"), margin_ppm=0, premium_ppm=0)
    back = client_rate(book.cross("CNY", "USD"), margin_ppm=0, premium_ppm=0)
    assert there == Decimal("2.33333333333")
    assert back == Decimal("0.428571428571")
    assert there * back < 1


def test_a_lock_costs_more_the_longer_it_lasts() -> None:
    for sigma in (0.0, 1e-6, 0.004, 0.5):
        asked = [premium_ppm(sigma, lock) for lock in Lock]
        assert asked == sorted(asked)
        assert asked[0] == 0
        assert asked[1] >= 1


def test_closed_days_make_no_rate_older() -> None:
    target = calendar("TARGET2")
    thursday = datetime(2026, 4, 2, 14, tzinfo=UTC)
    tuesday = datetime(2026, 4, 7, 9, tzinfo=UTC)
    assert (tuesday - thursday).days == 4
    # Good Friday, the week-end and Easter Monday are closed.
    assert open_age(thursday, tuesday, target) == timedelta(hours=19)
    assert open_age(thursday, thursday, target) == timedelta(0)
    assert open_age(thursday, thursday + timedelta(days=90), target) == timedelta(days=90)


def test_case_75_a_week_end_is_no_staleness_and_a_dead_feed_is(
    database: Database, clock: SteppingClock
) -> None:
    open_shop(database)
    fx.pull(database, fx.EcbFeed())
    with database.reading() as connection:
        # Monday morning: what was published on Friday is three days old and seventeen hours open.
        found = fx.rates_at(connection, database.now(), ["CNY", "USD"])
        assert found.observed_at == datetime(2026, 2, 27, 15, tzinfo=UTC)
    late = database.now() + timedelta(hours=36)
    with database.reading() as connection, pytest.raises(fx.RateIsStale) as refused:
        fx.rates_at(connection, late, ["CNY", "USD"])
    assert refused.value.facts["currency"] == "CNY"
    with database.reading() as connection, pytest.raises(fx.RateIsUnknown):
        fx.rates_at(connection, database.now(), ["KWD"])


def test_case_75_a_jump_is_held_until_a_second_source_says_the_same(
    database: Database, clock: SteppingClock
) -> None:
    open_shop(database)
    fx.pull(database, fx.EcbFeed())
    for source in (DESK, SECOND):
        database.transact(lambda unit, s=source: fx.set_source(unit, s))  # type: ignore[misc]
    now = database.now()
    jumped = ScriptedFeed(ticks=[tick("CNY", "9.5", now)])
    (held,) = fx.pull(database, jumped)
    assert (held.state, held.why) == (TickState.HELD, "jumped_from_last,jumped_from_reference")
    assert fx.pull(database, jumped) == []
    with database.reading() as connection, pytest.raises(fx.RateIsHeld):
        fx.rates_at(connection, now, ["CNY"])
    with pytest.raises(fx.RateIsHeld):
        a_quote(database, sell="CNY", buy="USD")
    # The dollar is quoted all the same.
    a_quote(database, sell="USD", buy="EUR")
    fx.pull(database, ScriptedFeed("second", [tick("CNY", "9.52", now, source="second")]))
    with database.reading() as connection:
        assert fx.held(connection) == []
        assert float(fx.rates_at(connection, now, ["CNY"]).book.of("CNY").mid) > 9.4


def test_case_75_a_jump_is_confirmed_by_another_person(database: Database) -> None:
    open_shop(database)
    fx.pull(database, fx.EcbFeed())
    database.transact(lambda unit: fx.set_source(unit, DESK))
    now = database.now()
    feed = ScriptedFeed(ticks=[tick("JPY", "150", now), tick("KWD", "0.36", now, pivot="USD")])
    taken = fx.pull(database, feed, actor="staff:1")
    assert {one.tick.currency: one.why for one in taken} == {
        "JPY": "jumped_from_last,jumped_from_reference",
        "KWD": "nothing_to_compare_with",
    }
    for one in taken:
        with pytest.raises(fx.RateIsOwnWork):
            database.transact(lambda u, i=one.id: fx.confirm(u, i, reason="seen"), actor="staff:1")  # type: ignore[misc]
    jpy, kwd = (next(o for o in taken if o.tick.currency == c) for c in ("JPY", "KWD"))
    database.transact(lambda u: fx.confirm(u, kwd.id, reason="seen"), actor="staff:2")
    database.transact(lambda u: fx.reject(u, jpy.id, reason="a typing error"), actor="staff:2")
    with pytest.raises(fx.HeldRateIsUnknown):
        database.transact(lambda u: fx.confirm(u, jpy.id, reason="again"), actor="staff:3")
    with database.reading() as connection:
        book = fx.rates_at(connection, now, ["KWD", "JPY"]).book
    # The dinar stands against the dollar: its hub rate has the spread of both.
    assert book.of("KWD").ask / book.of("KWD").bid > book.of("USD").ask / book.of("USD").bid
    assert book.of("JPY").mid > 160


def test_what_cannot_be_a_rate_is_refused(database: Database) -> None:
    open_shop(database)
    now = database.now()
    with pytest.raises(fx.RateSourceIsUnknown):
        fx.pull(database, ScriptedFeed(ticks=[tick("CNY", "8", now)]))
    database.transact(lambda unit: fx.set_source(unit, DESK))
    wrong = (
        tick("CNY", "8", now + timedelta(hours=1)),
        tick("EUR", "1", now, pivot="USD"),
        tick("CNY", "NaN", now),
        tick("CNY", "-8", now),
    )
    for one in wrong:
        with pytest.raises(fx.RateTickIsMalformed):
            fx.pull(database, ScriptedFeed(ticks=[one]))
    with pytest.raises(fx.RateSourceIsMalformed):
        database.transact(
            lambda u: fx.set_source(u, RateSource(source="x", calendar="TARGET2", cap_seconds=0))
        )


def test_the_closest_margin_is_taken_from_its_instant_on(
    database: Database, clock: SteppingClock
) -> None:
    open_exchange(database)
    now = database.now()
    plain = a_quote(database, lock=Lock.NONE)
    assert (plain.margin_ppm, plain.premium_ppm) == (3_000, 0)
    for sell, tier, ppm in (("*", "*", 9_000), ("CNY", "*", 4_000), ("CNY", "gold", 1_000)):
        row = Margin(
            sell=sell, buy="*", tier=tier, margin_ppm=ppm, starts_at=now + timedelta(seconds=30)
        )
        database.transact(lambda unit, r=row: fx.set_margin(unit, r))  # type: ignore[misc]
    with pytest.raises(fx.MarginIsBackdated):
        database.transact(lambda unit: fx.set_margin(unit, row))
    with pytest.raises(fx.MarginIsMalformed):
        database.transact(lambda unit: fx.set_margin(unit, replace(row, margin_ppm=200_001)))
    clock.advance(timedelta(seconds=31))
    with pytest.raises(fx.MarginIsBackdated):
        database.transact(lambda unit: fx.set_margin(unit, row))
    assert a_quote(database, lock=Lock.NONE).margin_ppm == 4_000
    assert a_quote(database, lock=Lock.NONE, tier="gold").margin_ppm == 1_000
    assert a_quote(database, lock=Lock.NONE, sell="USD", buy="EUR").margin_ppm == 9_000


def test_positions_are_worth_nothing_after_they_were_valued(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database)
    database.transact(
        lambda unit: quotes.convert(unit, quotes.Book(id=uuid4(), quote=quote.id), holder=SHOP)
    )
    with database.reading() as connection:
        held = {one.currency: one.amount_minor for one in fx.positions(connection, Mode.LIVE)}
        (total,) = fx.pair_totals(connection, Mode.LIVE)
    assert (held["CNY"], held["USD"]) == (100_000, -quote.buy_minor)
    assert (total.sold_minor, total.bought_minor) == (100_000, quote.buy_minor)
    first = database.transact(lambda unit: fx.revalue(unit, Mode.LIVE))
    # Margin, lock and spread are what we earned.
    assert 300 < first.gain_minor < 600
    assert balance(database, "income/fx:CNY", OWN) == first.gain_minor
    again = database.transact(lambda unit: fx.revalue(unit, Mode.LIVE))
    assert (again.gain_minor, again.run) == (0, 2)
    assert sum_of_postings(database) == 0


def test_a_loss_of_a_position_is_posted_as_one(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database)
    database.transact(lambda unit: quotes.convert(unit, quotes.Book(id=uuid4(), quote=quote.id)))
    database.transact(lambda unit: fx.revalue(unit, Mode.LIVE))
    database.transact(lambda unit: fx.set_source(unit, DESK))
    # We owe dollars: they become dearer by 5 %.
    with database.reading() as connection:
        was = fx.rates_at(connection, database.now(), ["USD"]).book.of("USD").mid
    dearer = str(round(Decimal(was.numerator) / Decimal(was.denominator) / Decimal("1.05"), 6))
    fx.pull(database, ScriptedFeed(ticks=[tick("USD", dearer, database.now())]))
    found = database.transact(lambda unit: fx.revalue(unit, Mode.LIVE))
    assert -5_100 < found.gain_minor < -4_800
    assert balance(database, "expense/fx:CNY", OWN) == found.gain_minor
    assert sum_of_postings(database) == 0


def test_our_money_in_the_reserve_comes_back_and_no_more_than_is_ours(database: Database) -> None:
    open_exchange(database)
    assert database.transact(lambda u: fx.top_up(u, Mode.LIVE, "USD", -OWN_MINOR)) == 0
    with pytest.raises(quotes.OwnCurrencyIsShort):
        database.transact(lambda u: fx.top_up(u, Mode.LIVE, "USD", -1))
    assert sum_of_postings(database) == 0


def test_the_history_is_the_central_banks() -> None:
    past = fx.history()
    assert past.days[0] == date(1999, 1, 4)
    noon = datetime(2008, 9, 15, 10, tzinfo=UTC)
    assert past.mids(noon)["USD"] == Fraction("1.4066")
    assert past.mids(noon.replace(hour=20))["USD"] == Fraction("1.4151")
    assert past.mids(datetime(1998, 1, 1, tzinfo=UTC)) == {}
    assert past.sigma("EUR", "XAF", noon) == 0.01
    calm = past.sigma("EUR", "USD", datetime(2007, 6, 1, tzinfo=UTC))
    wild = past.sigma("EUR", "USD", datetime(2008, 11, 1, tzinfo=UTC))
    assert wild > 3 * calm


def test_the_backtest_sees_nothing_of_the_years_it_is_judged_by() -> None:
    rng = np.random.default_rng(7)
    days = [date(2000, 1, 1) + timedelta(days=n) for n in range(2_000)]
    moves = rng.normal(0, 0.01, 2_000)
    moves[1_000:] *= 3
    rates = np.exp(np.cumsum(moves))
    split = days[1_000]
    found = backtest(days, {"AAA/BBB": rates}, split_on=split)
    other = np.concatenate([rates[:1_000], rates[1_000:] ** 2])
    assert backtest(days, {"AAA/BBB": other}, split_on=split).load == found.load
    # Volatility follows: the premium suffices although the later years move three times as much.
    judged = [row for row in found.rows if row.part == "judged_on"]
    assert [row.days for row in judged] == [1, 2, 5, 10]
    assert all(0.85 < row.covered < 1.35 for row in judged)
    sigma = ewma_sigma(rates)
    assert sigma[999] < 0.02 < sigma[-1]
