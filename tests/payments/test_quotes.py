"""Quotes and conversions: one side fixed, used once, before the end, at no client's cost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database
from steelyard.kernel import Refusal, SteppingClock
from steelyard.ledger import BookReader
from steelyard.payments.model import accounts
from steelyard.payments.model.fx import Lock
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import Conversion, Quote, QuoteAsk, QuoteState
from steelyard.payments.service import fx, quotes, tieout
from tests.payments.exchange import OWN_MINOR, a_quote, earned, open_exchange
from tests.payments.till import CLIENTS, OTHER_SHOP, OWN, SHOP, balance, sum_of_postings

CNY, USD = accounts.available(SHOP, "CNY"), accounts.available(SHOP, "USD")


def convert(database: Database, quote: Quote, **more: object) -> Conversion:
    book = quotes.Book(**{"id": uuid4(), "quote": quote.id, **more})  # type: ignore[arg-type]
    return database.transact(lambda unit: quotes.convert(unit, book, holder=SHOP))


def test_a_conversion_goes_through_our_own_position(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database)
    made = convert(database, quote)
    assert balance(database, CNY) == 900_000
    assert balance(database, USD) == quote.buy_minor == made.buy_minor
    assert balance(database, f"mirror:{OWN}:CNY") == OWN_MINOR + 100_000
    assert balance(database, f"mirror:{OWN}:USD") == OWN_MINOR - quote.buy_minor
    assert balance(database, "position:CNY", OWN) == 100_000
    assert balance(database, "position:USD", OWN) == -quote.buy_minor
    assert sum_of_postings(database) == 0
    with database.reading() as connection:
        # Neither currency of the reserve is short by it: nothing of ours stands against clients.
        for currency in ("CNY", "USD"):
            assert tieout.holdings(connection, Mode.LIVE, currency).own_owes_minor == 0
        lines = BookReader(connection, CLIENTS).trial_balance().lines
    assert not [line for line in lines if line.code.startswith("position")]


def test_client_money_never_carries_our_position(database: Database) -> None:
    open_exchange(database, own_minor=0)
    quote = a_quote(database)
    with pytest.raises(quotes.OwnCurrencyIsShort) as refused:
        convert(database, quote)
    assert refused.value.facts["own_minor"] == 0
    database.transact(lambda unit: fx.top_up(unit, Mode.LIVE, "USD", quote.buy_minor - 1))
    with pytest.raises(quotes.OwnCurrencyIsShort):
        convert(database, quote)
    assert (balance(database, CNY), balance(database, USD)) == (1_000_000, 0)
    # The quote was not used up by what was refused.
    database.transact(lambda unit: fx.top_up(unit, Mode.LIVE, "USD", 1))
    convert(database, quote)
    assert balance(database, f"mirror:{OWN}:USD") == 0


def test_a_client_sells_what_it_has(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database, sell_minor=1_000_001)
    with pytest.raises(quotes.BalanceDoesNotCover) as refused:
        convert(database, quote)
    assert refused.value.facts["balance_minor"] == 1_000_000
    assert balance(database, "position:CNY", OWN) == 0


def test_case_69_a_quote_expires_between_confirm_and_book(
    database: Database, clock: SteppingClock
) -> None:
    open_exchange(database)
    quote = a_quote(database)
    clock.advance(quote.valid_to - database.now() - timedelta(seconds=1))
    confirmed = database.transact(lambda unit: quotes.read(unit.connection, quote.id))
    assert confirmed.state_at(database.now()) is QuoteState.ACTIVE
    clock.advance(timedelta(seconds=2))
    with pytest.raises(quotes.QuoteHasExpired):
        convert(database, quote)
    assert (balance(database, CNY), balance(database, USD)) == (1_000_000, 0)
    assert database.transact(lambda unit: quotes.expire_due(unit)) == 1
    with database.reading() as connection:
        assert quotes.read(connection, quote.id).state is QuoteState.EXPIRED
    with pytest.raises(quotes.QuoteHasExpired):
        convert(database, quote)


def test_case_70_a_quote_is_used_once_whoever_asks_at_once(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database)

    def one(_: int) -> Conversion | Refusal:
        try:
            return convert(database, quote)
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(16)))
    made = [answer for answer in answers if isinstance(answer, Conversion)]
    assert len(made) == 1
    others = [answer for answer in answers if not isinstance(answer, Conversion)]
    assert {type(answer) for answer in others} == {quotes.QuoteIsNotActive}
    assert balance(database, CNY) == 900_000
    # The one that booked it may ask again, and changes nothing.
    again = convert(database, quote, id=made[0].id)
    assert again.id == made[0].id
    assert balance(database, CNY) == 900_000


def test_case_71_one_side_is_fixed_and_not_both(database: Database) -> None:
    open_exchange(database)
    with pytest.raises(quotes.BothSidesAreGiven):
        a_quote(database, **{"sell_minor": 100, "buy_minor": 100})
    with pytest.raises(quotes.NoSideIsGiven):
        a_quote(database, sell_minor=None)
    with pytest.raises(quotes.QuotePairIsMalformed):
        a_quote(database, buy="CNY")
    with pytest.raises(quotes.QuoteIsTooSmall):
        a_quote(database, sell_minor=1, sell="JPY", buy="USD", lock=Lock.NONE) and a_quote(
            database, sell_minor=0
        )
    fixed = a_quote(database, buy_minor=10_000)
    assert fixed.buy_minor == 10_000
    assert 68_000 < fixed.sell_minor < 70_000


def test_case_72_who_executes_at_a_worse_rate_than_the_cap_is_refused(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database)
    worse = quote.market * Decimal("0.997")
    with pytest.raises(quotes.RateSlipped) as refused:
        convert(database, quote, executed=worse)
    assert refused.value.facts["slip_ppm"] == 3_000
    assert balance(database, CNY) == 1_000_000
    # Within the cap the client gets what it was promised, and the slip is ours.
    made = convert(database, quote, executed=quote.market * Decimal("0.999"))
    assert (made.slip_ppm, made.buy_minor) == (1_000, quote.buy_minor)
    assert balance(database, USD) == quote.buy_minor


def test_a_longer_lock_gives_a_worse_rate(database: Database) -> None:
    open_exchange(database)
    rates = [a_quote(database, lock=lock).rate for lock in Lock]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)


def test_case_88_a_quote_of_somebody_else_is_not_there(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database, holder=OTHER_SHOP)
    with pytest.raises(quotes.QuoteIsUnknown):
        convert(database, quote)
    with database.reading() as connection, pytest.raises(quotes.QuoteIsUnknown):
        quotes.read(connection, quote.id, holder=SHOP)
    indication = a_quote(database, holder=None)
    with pytest.raises(quotes.QuoteIsNotActive):
        database.transact(lambda u: quotes.convert(u, quotes.Book(id=uuid4(), quote=indication.id)))


def test_a_withdrawn_quote_is_not_used(database: Database) -> None:
    open_exchange(database)
    quote = a_quote(database)
    database.transact(lambda unit: quotes.cancel(unit, quote.id, holder=SHOP))
    with pytest.raises(quotes.QuoteIsNotActive):
        convert(database, quote)


@pytest.mark.parametrize("parts", [(1, 4_999, 5_000), (10_000,), (3_333, 3_333, 3_334)])
def test_parts_converted_back_at_the_old_rate_add_up(
    database: Database, parts: tuple[int, ...]
) -> None:
    open_exchange(database)
    made = convert(database, a_quote(database, buy_minor=10_000))

    def back(minor: int) -> int:
        def work(unit: object) -> int:
            found = quotes.convert_back(
                unit,  # type: ignore[arg-type]
                uuid4(),
                made.id,
                buy_minor=minor,
                at_rate=quotes.ReturnRate.ORIGINAL,
                debit=USD,
                credit=CNY,
            )
            quotes.post_back(unit, found)  # type: ignore[arg-type]
            return found.sell_minor

        return database.transact(work)

    assert sum(back(minor) for minor in parts) == made.sell_minor
    assert (balance(database, CNY), balance(database, USD)) == (1_000_000, 0)
    assert balance(database, "position:CNY", OWN) == 0
    assert sum_of_postings(database) == 0
    with pytest.raises(quotes.ConversionReturnExceeds):
        back(1)


def test_at_spot_a_way_back_costs_the_spread(database: Database) -> None:
    open_exchange(database)
    made = convert(database, a_quote(database))
    database.transact(lambda unit: earned(unit, SHOP, "USD", 1))

    def work(unit: object) -> quotes.Back:
        found = quotes.convert_back(
            unit,  # type: ignore[arg-type]
            UUID(int=5),
            made.id,
            buy_minor=made.buy_minor,
            at_rate=quotes.ReturnRate.SPOT,
            debit=USD,
            credit=CNY,
        )
        quotes.post_back(unit, found)  # type: ignore[arg-type]
        return found

    back = database.transact(work)
    assert 99_000 < back.sell_minor < made.sell_minor
    assert balance(database, CNY) == 900_000 + back.sell_minor


def test_an_ask_sent_again_is_the_same_quote(database: Database) -> None:
    open_exchange(database)
    ask = QuoteAsk(
        id=UUID(int=9), mode=Mode.LIVE, holder=SHOP, sell="CNY", buy="USD", sell_minor=50_000
    )
    first, again = (database.transact(lambda unit: quotes.make(unit, ask)) for _ in range(2))
    assert first == again
