"""Limits: who may pay how much, counted under lock, given back, changed by two people."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database, NoPolicyGate
from steelyard.base.http import Caller
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import approvals
from steelyard.payments import limits
from steelyard.payments.http import limit_router, order_router
from steelyard.payments.model.attempts import AttemptState, Source
from steelyard.payments.model.channel import Finding, Method, Said
from steelyard.payments.model.limits import (
    LimitIsReached,
    LimitPeriod,
    LimitScope,
    Spending,
    Tally,
    bounds_of,
    fits_in,
    free_at,
)
from steelyard.payments.model.limits_examples import a_rule
from steelyard.payments.model.orders import Mode, NewOrder, Order, Payer, Scenario
from steelyard.payments.service import at_once, orders
from steelyard.payments.service.evidence import Report, report
from steelyard.payments.service.orders import Begin, Begun
from steelyard.payments.service.paying import Pay, Paying
from tests.house import House
from tests.payments.till import (
    OTHER_SHOP,
    SHOP,
    WALLET,
    ScriptedDesk,
    an_order,
    balance,
    open_shop,
    paying,
    sum_of_postings,
)
from tests.payments.wiring import STAFF, Wire

MAKER = "staff:00000000-0000-7000-8000-00000000000a"
CHECKER = "staff:00000000-0000-7000-8000-00000000000b"
ANN, BEN = (UUID(f"00000000-0000-7000-8000-00000000000{n}") for n in (1, 2))
YES = Finding(said=Said.SUCCEEDED, amount_minor=10_000, currency="CNY")
NO = Finding(said=Said.DECLINED)
LOST = Finding(said=Said.UNKNOWN, why="timeout")


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    open_shop(database)
    yield database
    assert sum_of_postings(database) == 0


def today(database: Database) -> date:
    return (database.now() + timedelta(hours=8)).date()


def draft(database: Database, **changes: Any) -> limits.LimitRule:
    values: dict[str, Any] = {
        "scope": LimitScope.MERCHANT,
        "period": LimitPeriod.DAY,
        "currency": "CNY",
        "from_on": today(database),
    }
    new = limits.NewLimit(**{**values, **changes})
    return database.transact(lambda unit: limits.draft(unit, new), actor=MAKER)


def yes_to(database: Database, id: UUID) -> UUID:
    asked = database.transact(lambda unit: limits.request_approval(unit, id), actor=MAKER)
    by = Caller(CHECKER, frozenset({"*"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
        actor=CHECKER,
    )
    return asked.id


def limited(database: Database, **changes: Any) -> limits.LimitRule:
    rule = draft(database, **changes)
    yes = yes_to(database, rule.id)
    return database.transact(lambda unit: limits.approve(unit, rule.id, yes), actor=MAKER)


def begun(database: Database, *news: NewOrder) -> list[Begun | Refusal]:
    """Create orders, and begin an attempt of each in one batch."""
    made = database.transact(lambda unit: orders.create(unit, news))
    begins = [
        Begin(order=order.id, attempt=uuid4(), method=Method.WALLET, channel="scripted")
        for order in made
        if isinstance(order, Order)
    ]
    return database.transact(lambda unit: orders.begin(unit, begins))


def learn(database: Database, one: Begun | Refusal, finding: Finding) -> None:
    assert isinstance(one, Begun)
    said = Report(one.attempt.id, Source.QUERY, finding)
    database.transact(lambda unit: report(unit, [said]))


def used(database: Database) -> list[tuple[int, int]]:
    with database.reading() as connection:
        rows = connection.execute(
            sa.text("SELECT amount_minor, payments FROM payments.limit_usage ORDER BY key")
        )
        return [(row.amount_minor, row.payments) for row in rows]


def test_case_20_sibling_a_limit_is_reached_in_the_middle_of_a_batch(shop: Database) -> None:
    rule = limited(shop, most_minor=25_000)
    found = begun(shop, an_order(), an_order(), an_order(), an_order(amount_minor=5_000))
    assert [isinstance(one, Begun) for one in found] == [True, True, False, True]
    refusal = found[2]
    assert isinstance(refusal, LimitIsReached)
    told = refusal.facts
    assert (told["limit"], told["whose"], told["left_minor"]) == (rule.id, str(SHOP), 5_000)
    midnight = free_at(LimitPeriod.DAY, today(shop), "Asia/Shanghai")
    assert midnight is not None
    assert told["free_at"] == midnight.isoformat()
    assert "5000" in refusal.sentence("zh-CN")
    assert used(shop) == [(25_000, 3)]


def test_unknown_stays_taken_and_what_ended_without_money_is_given_back(shop: Database) -> None:
    limited(shop, most_payments=2)
    first, second, third = begun(shop, an_order(), an_order(), an_order())
    assert isinstance(third, LimitIsReached)
    learn(shop, first, LOST)
    assert isinstance(begun(shop, an_order())[0], LimitIsReached)
    learn(shop, second, NO)
    learn(shop, second, NO)
    assert used(shop) == [(10_000, 1)]
    assert isinstance(begun(shop, an_order())[0], Begun)
    # Money after all: it is counted, though nothing was left for it.
    learn(shop, second, YES)
    assert used(shop) == [(30_000, 3)]


def test_64_callers_at_once_take_no_more_than_there_is(shop: Database) -> None:
    limited(shop, scope=LimitScope.CUSTOMER, most_minor=50_000)
    with paying(shop, ScriptedDesk()) as opened, ThreadPoolExecutor(16) as pool:

        def one(n: int) -> str:
            try:
                order = orders_created(shop, payer=Payer(customer=ANN if n % 2 else BEN))
                how = Pay(attempt=uuid4(), method=Method.WALLET)
                return opened.pay(order.id, how, actor="party:test").attempt.state.value
            except LimitIsReached as refusal:
                return refusal.code

        said = list(pool.map(one, range(32)))
    assert (said.count("succeeded"), said.count("limit_is_reached")) == (10, 22)
    assert used(shop) == [(50_000, 5), (50_000, 5)]


def orders_created(database: Database, **changes: object) -> Order:
    (made,) = database.transact(lambda unit: orders.create(unit, [an_order(**changes)]))
    assert isinstance(made, Order)
    return made


def test_an_order_with_its_first_attempt_in_one_statement_is_counted_once(shop: Database) -> None:
    limited(shop, most_payments=2)
    news = [an_order() for _ in range(3)]
    pairs = [
        (new, Begin(order=new.id, attempt=uuid4(), method=Method.WALLET, channel="scripted"))
        for new in news
    ]
    found = shop.transact(lambda unit: orders.create_begun(unit, pairs))
    assert [one is None for one in found] == [False, False, True]
    again = shop.transact(lambda unit: orders.create_begun(unit, pairs[:2]))
    assert again == [None, None]
    # A number that is taken by another order: what was counted for it is given back.
    twin = an_order(order_no=news[0].order_no)
    begin = Begin(order=twin.id, attempt=uuid4(), method=Method.WALLET, channel="scripted")
    limited(shop, most_payments=9)
    assert shop.transact(lambda unit: orders.create_begun(unit, [(twin, begin)])) == [None]
    assert used(shop) == [(20_000, 2)]


def test_payments_out_of_our_own_book_are_counted(shop: Database) -> None:
    limited(shop, scope=LimitScope.SCENARIO, whose="online", most_minor=15_000)
    payer = Payer(account=WALLET)
    big = at_once.Purchase(an_order(payer=payer, amount_minor=14_000), uuid4(), shop.now())
    small = at_once.Purchase(an_order(payer=payer, amount_minor=1_000), uuid4(), shop.now())
    poor = at_once.Purchase(
        an_order(payer=payer, amount_minor=9_000_000, scenario=Scenario.BILL), uuid4(), shop.now()
    )
    purchases = [big, big_too(shop), small, poor]
    said = at_once.ask(NoPolicyGate(), purchases)
    found = shop.transact(lambda unit: at_once.pay(unit, purchases, said))
    assert [isinstance(one, LimitIsReached) for one in found] == [False, True, False, False]
    assert used(shop) == [(15_000, 2)]
    assert balance(shop, WALLET) == 1_000_000 - 15_000


def big_too(shop: Database) -> at_once.Purchase:
    order = an_order(payer=Payer(account=WALLET), amount_minor=2_000)
    return at_once.Purchase(order, uuid4(), shop.now())


def test_what_waits_for_the_payer_is_counted_until_the_order_ends(
    shop: Database, clock: SteppingClock
) -> None:
    limited(shop, most_payments=1)
    with paying(shop, ScriptedDesk()) as opened:
        order = orders_created(shop)
        how = Pay(attempt=uuid4(), method=Method.WALLET, waits_for="corporate")
        assert opened.pay(order.id, how, actor="a:b").attempt.state is AttemptState.INIT
    assert isinstance(begun(shop, an_order())[0], LimitIsReached)
    shop.transact(lambda unit: orders.cancel(unit, order.id))
    assert used(shop) == [(0, 0)]


def test_a_day_and_a_month_begin_anew_by_the_clock_of_the_institution(
    shop: Database, clock: SteppingClock
) -> None:
    limited(shop, most_payments=1)
    limited(shop, period=LimitPeriod.MONTH, most_payments=2)
    one, two, three = begun(shop, an_order()), begun(shop, an_order()), []
    assert (isinstance(one[0], Begun), isinstance(two[0], LimitIsReached)) == (True, True)
    clock.advance(timedelta(days=1))
    assert isinstance(begun(shop, an_order())[0], Begun)
    clock.advance(timedelta(days=1))
    three = begun(shop, an_order())
    assert isinstance(three[0], LimitIsReached)
    assert three[0].facts["period"] == "month"
    clock.advance(timedelta(days=31))
    assert isinstance(begun(shop, an_order())[0], Begun)


def test_the_line_of_somebody_stands_in_the_place_of_everybodys(shop: Database) -> None:
    limited(shop, period=LimitPeriod.SINGLE, most_minor=9_999)
    limited(shop, period=LimitPeriod.SINGLE, most_minor=10_000, whose=str(SHOP))
    mine, other = begun(shop, an_order(), an_order(merchant=OTHER_SHOP))
    assert isinstance(mine, Begun)
    assert isinstance(other, LimitIsReached)
    assert other.facts["free_at"] == "-"
    # Lifted again: what holds is that it is limited no more.
    limited(shop, period=LimitPeriod.SINGLE)
    assert isinstance(begun(shop, an_order(merchant=OTHER_SHOP))[0], Begun)
    assert used(shop) == []


def test_one_person_alone_changes_no_limit(shop: Database) -> None:
    rule = draft(shop, most_minor=1)
    asked = shop.transact(lambda unit: limits.request_approval(unit, rule.id), actor=MAKER)
    by = Caller(MAKER, frozenset({"*"}))
    with pytest.raises(Refusal) as caught:
        shop.transact(
            lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
            actor=MAKER,
        )
    assert caught.value.code == "maker_is_checker"
    with pytest.raises(Refusal):
        shop.transact(lambda unit: limits.approve(unit, rule.id, asked.id), actor=MAKER)
    assert isinstance(begun(shop, an_order())[0], Begun)
    shop.transact(lambda unit: limits.withdraw(unit, rule.id), actor=MAKER)
    with pytest.raises(limits.LimitStateForbids):
        shop.transact(lambda unit: limits.withdraw(unit, rule.id), actor=MAKER)
    with pytest.raises(limits.LimitIsMalformed):
        draft(shop, period=LimitPeriod.SINGLE, most_payments=1)
    with pytest.raises(limits.LimitIsMalformed):
        draft(shop, from_on=today(shop) - timedelta(days=1))


def test_what_is_left_is_told(shop: Database) -> None:
    limited(shop, scope=LimitScope.CUSTOMER, most_minor=50_000, method=Method.WALLET)
    begun(shop, an_order(payer=Payer(customer=ANN)))
    spending = a_spending(customer=ANN)
    with shop.reading() as connection:
        (line,) = limits.left(connection, spending, today(shop))
        assert limits.left(connection, a_spending(customer=None), today(shop)) == []
    assert (line.used.amount_minor, line.whose) == (10_000, str(ANN))


def a_spending(**changes: Any) -> Spending:
    values: dict[str, Any] = {
        "attempt": uuid4(),
        "mode": Mode.LIVE,
        "channel": "scripted",
        "merchant": SHOP,
        "customer": ANN,
        "scenario": Scenario.ONLINE,
        "method": Method.WALLET,
        "amount_minor": 100,
        "currency": "CNY",
    }
    return Spending(**{**values, **changes})


@given(
    st.lists(st.integers(1, 60), max_size=30),
    st.integers(0, 300),
    st.one_of(st.none(), st.integers(0, 10)),
)
def test_no_batch_takes_more_than_its_rule_leaves(
    amounts: list[int], most: int, many: int | None
) -> None:
    rule = a_rule(most_minor=most, most_payments=many)
    batch = [a_spending(amount_minor=amount) for amount in amounts]
    tally = Tally({}, "Asia/Shanghai")
    on = date(2026, 3, 2)
    answers = [tally.take(one, bounds_of(one, [rule], on)) for one in batch]
    passed = [one.amount_minor for one, no in zip(batch, answers, strict=True) if no is None]
    assert sum(passed) <= most
    assert many is None or len(passed) <= many
    assert sum(used.amount_minor for used in tally.added.values()) == sum(passed)
    assert len(tally.taken) == len(passed)
    for used_up in tally.used.values():
        assert not fits_in(rule, used_up, 301)


@dataclass
class Till(House):
    paying: Paying


def test_over_the_wire_a_limit_is_drafted_approved_met_and_shown(shop: Database) -> None:
    with paying(shop, ScriptedDesk()) as opened:
        till = Till(shop, STAFF, opened)
        wire = Wire(till, limit_router, order_router)
        body: dict[str, Any] = {"scope": "merchant", "period": "day", "currency": "CNY"}
        body |= {"most_payments": 1, "from_on": today(shop).isoformat()}
        drafted = wire.post("/limits", body)
        assert drafted.status_code == 201, drafted.text
        rule = drafted.json()
        yes = yes_to(shop, UUID(rule["id"]))
        done = wire.post(f"/limits/{rule['id']}/approve", {"approval": str(yes)})
        assert done.json()["state"] == "approved", done.text
        asked: dict[str, Any] = {"merchant": str(SHOP), "amount_minor": 100, "subject": "Tea"}
        asked["pay"] = {"method": "wallet"}
        first, second = (wire.post("/orders", asked | {"order_no": f"N-{n}"}) for n in range(2))
        assert (first.status_code, second.status_code) == (201, 409), second.text
        assert second.json()["code"] == "limit_is_reached"
        (line,) = wire.get(f"/limits/left?channel=scripted&method=wallet&merchant={SHOP}")["items"]
        assert (line["left_payments"], line["used_minor"]) == (0, 100)
        till.caller = Caller("key:other", frozenset({"payments.read"}), str(OTHER_SHOP))
        assert wire.get("/limits")["items"] == []
