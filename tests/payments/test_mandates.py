"""Mandates: who signs, what is refused, how they end; the dates of their cycles."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.kernel import Refusal, SteppingClock, calendar
from steelyard.payments.model.channel import Decline, Finding, Said
from steelyard.payments.model.debits import DebitState
from steelyard.payments.model.debits_dates import (
    Cycle,
    Period,
    collected_on,
    cycle_date,
    months_after,
    next_cycle_date,
    next_try_on,
)
from steelyard.payments.model.mandates import NEXT, MandateState, MandateVerb
from steelyard.payments.model.mandates_refusals import (
    DebitDateMovesOnlyLater,
    MandateAccountIsNotTheirs,
    MandateIsMalformed,
    MandateIsSignedByTheCustomer,
    MandateIsUnknown,
    MandateNoWasUsed,
    MandatesAreTooMany,
    MandateStateForbids,
)
from steelyard.payments.service import debits, mandates
from tests.payments.debiting import (
    ANN,
    ANNS,
    BOB,
    TODAY,
    a_new_mandate,
    declines,
    give_account,
    mandate_now,
    proposed,
    scheduled,
    signed,
)
from tests.payments.till import OTHER_SHOP, SHOP, ScriptedDesk, open_shop, paying

CN = calendar("CN")


@pytest.fixture
def shop(database: Database) -> Database:
    open_shop(database)
    return database


def test_the_customer_signs_and_nobody_else(shop: Database) -> None:
    made = proposed(shop)
    assert made.state is MandateState.DRAFT
    with pytest.raises(MandateIsSignedByTheCustomer):
        shop.transact(lambda unit: mandates.sign(unit, made.id, customer=SHOP))
    with pytest.raises(MandateIsUnknown):
        shop.transact(lambda unit: mandates.sign(unit, made.id, customer=BOB))
    done = shop.transact(lambda unit: mandates.sign(unit, made.id, customer=ANN))
    assert (done.state, done.signed_on) == (MandateState.ACTIVE, TODAY)
    with pytest.raises(MandateStateForbids):
        shop.transact(lambda unit: mandates.sign(unit, made.id, customer=ANN))
    with shop.reading() as connection:
        assert mandates.list_mandates(connection, party=OTHER_SHOP).items == ()
        assert [one.id for one in mandates.list_mandates(connection, party=ANN).items] == [made.id]


def test_the_same_number_is_the_same_mandate(shop: Database) -> None:
    new = a_new_mandate()
    first = shop.transact(lambda unit: mandates.propose(unit, new))
    again = shop.transact(lambda unit: mandates.propose(unit, new))
    assert first == again
    other = a_new_mandate(mandate_no=new.mandate_no, single_most_minor=1)
    with pytest.raises(MandateNoWasUsed):
        shop.transact(lambda unit: mandates.propose(unit, other))


@pytest.mark.parametrize(
    "changes",
    [
        {"single_most_minor": 0},
        {"single_most_minor": 100_001},
        {"kind": "alipay", "cycle": Cycle.MONTH, "first_on": date(2026, 3, 29)},
        {"kind": "alipay", "cycle": Cycle.DAY, "cycle_length": 6, "first_on": TODAY},
        {"cycle": Cycle.MONTH},
        {"first_on": TODAY},
        {"account": ANNS, "channel": "scripted"},
        {"pay_days": (32,)},
        {"notice_days": 31},
    ],
)
def test_what_cannot_be_meant_is_refused(shop: Database, changes: dict[str, Any]) -> None:
    with pytest.raises(MandateIsMalformed):
        proposed(shop, **changes)


def test_alipay_takes_ten_mandates_of_a_customer_with_a_merchant(shop: Database) -> None:
    made = [proposed(shop, kind="alipay") for _ in range(10)]
    with pytest.raises(MandatesAreTooMany):
        proposed(shop, kind="alipay")
    proposed(shop, kind="alipay", customer=BOB)
    shop.transact(lambda unit: mandates.reject(unit, made[0].id, customer=ANN))
    proposed(shop, kind="alipay")


def test_an_account_with_us_is_the_customers_own(shop: Database) -> None:
    give_account(shop)
    with pytest.raises(MandateAccountIsNotTheirs):
        proposed(shop, account=ANNS, customer=BOB)
    assert signed(shop, account=ANNS).state is MandateState.ACTIVE


def test_the_date_moves_only_later(shop: Database) -> None:
    made = signed(shop, cycle=Cycle.MONTH, first_on=date(2026, 3, 20))
    assert made.next_on == date(2026, 3, 20)
    moved = shop.transact(lambda unit: mandates.move_next(unit, made.id, date(2026, 3, 25)))
    assert moved.next_on == date(2026, 3, 25)
    for to_on in (date(2026, 3, 25), date(2026, 3, 1)):
        with pytest.raises(DebitDateMovesOnlyLater):
            shop.transact(lambda unit, on=to_on: mandates.move_next(unit, made.id, on))  # type: ignore[misc]


def test_a_debit_is_taken_up_to_five_days_before_its_date(shop: Database) -> None:
    made = signed(shop, kind="alipay", cycle=Cycle.MONTH, first_on=date(2026, 3, 20))
    with pytest.raises(debits.DebitIsTooEarly):
        scheduled(shop, made, due_on=date(2026, 3, 14))
    scheduled(shop, made, due_on=date(2026, 3, 15))
    assert mandate_now(shop, made).next_on == date(2026, 4, 20)
    with pytest.raises(debits.DebitIsTooEarly):
        scheduled(shop, made, due_on=date(2026, 3, 20))


def test_suspended_is_resumed_by_the_customer_only(shop: Database) -> None:
    made = signed(shop)
    shop.transact(lambda unit: mandates.suspend(unit, made.id, party=SHOP))
    with pytest.raises(mandates.MandateIsNotActive):
        scheduled(shop, made)
    with pytest.raises(MandateIsSignedByTheCustomer):
        shop.transact(lambda unit: mandates.resume(unit, made.id, customer=SHOP))
    shop.transact(lambda unit: mandates.resume(unit, made.id, customer=ANN))
    scheduled(shop, made)


def test_revoked_with_nothing_under_way_is_terminated(shop: Database) -> None:
    made = signed(shop)
    waiting = scheduled(shop, made)
    done = shop.transact(lambda unit: mandates.revoke(unit, made.id, party=ANN))
    assert done.state is MandateState.TERMINATED
    with shop.reading() as connection:
        assert debits.read(connection, waiting.id).state is DebitState.CANCELLED


def test_idle_for_36_months_it_expires(shop: Database, clock: SteppingClock) -> None:
    made = signed(shop)
    clock.advance(timedelta(days=3 * 365))
    assert shop.transact(mandates.expire_due) == 0
    clock.advance(timedelta(days=1))
    assert shop.transact(mandates.expire_due) == 1
    after = mandate_now(shop, made)
    assert (after.state, after.why) == (MandateState.EXPIRED, "idle")


@pytest.mark.parametrize("said", [Said.SUCCEEDED, Said.DECLINED])
def test_a_wallet_confirms_the_signing_by_a_first_debit(shop: Database, said: Said) -> None:
    made = signed(shop, channel="scripted", needs_confirmation=True, signing_minor=1)
    assert made.state is MandateState.SIGNING
    with pytest.raises(mandates.MandateIsNotActive):
        scheduled(shop, made)
    desk = ScriptedDesk()
    if said is Said.DECLINED:
        desk.channel.paid = declines("NO", Decline.PAYER_CANCELLED)
    with paying(shop, desk) as opened:
        assert debits.send_due(shop, opened) == 1
    (request,) = desk.channel.sent.values()
    assert (request.amount_minor, request.details["sign"]) == (1, "1")
    assert request.details["mandate"] == made.number
    wanted = MandateState.ACTIVE if said is Said.SUCCEEDED else MandateState.REJECTED
    assert mandate_now(shop, made).state is wanted


def test_a_signing_under_way_waits_for_the_wallet(shop: Database) -> None:
    made = signed(shop, channel="scripted", needs_confirmation=True)
    desk = ScriptedDesk()
    desk.channel.paid = lambda _: Finding(said=Said.ACTION, action={"kind": "redirect"})
    with paying(shop, desk) as opened:
        debits.send_due(shop, opened)
        assert mandate_now(shop, made).state is MandateState.SIGNING
        (number,) = desk.channel.sent
        desk.channel.queried[number] = Finding(said=Said.SUCCEEDED)
        opened.poll()
        assert opened.poll() in (0, 1)
    shop.transact(debits.follow_due)
    assert mandate_now(shop, made).state in (MandateState.SIGNING, MandateState.ACTIVE)


def test_every_state_is_left_by_the_verbs_that_are_listed_only() -> None:
    over = {state for state in MandateState if state.is_over} - {MandateState.TERMINATING}
    for verb, ways in NEXT.items():
        assert not over & set(ways), verb
    reached = {state for ways in NEXT.values() for state in ways.values()}
    assert reached == set(MandateState) - {MandateState.DRAFT}
    assert NEXT[MandateVerb.FINISH] == {MandateState.TERMINATING: MandateState.TERMINATED}


def test_case_42_the_31st_and_the_29th_of_february() -> None:
    first = date(2026, 1, 31)
    got = [cycle_date(Cycle.MONTH, 1, first, n) for n in range(4)]
    assert got == [first, date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]
    leap = date(2024, 2, 29)
    assert cycle_date(Cycle.MONTH, 12, leap, 1) == date(2025, 2, 28)
    assert cycle_date(Cycle.MONTH, 12, leap, 4) == date(2028, 2, 29)


@pytest.mark.parametrize(
    ("due_on", "wanted"),
    [
        (date(2026, 2, 14), date(2026, 2, 14)),  # a Saturday that is worked for the long holiday
        (date(2026, 2, 15), date(2026, 2, 24)),  # Spring Festival: 15 to 23 February
        (date(2026, 10, 1), date(2026, 10, 8)),  # National Day: 1 to 7 October
        (date(2026, 10, 10), date(2026, 10, 10)),  # a Saturday, worked
        (date(2026, 3, 7), date(2026, 3, 9)),
    ],
)
def test_case_42_holidays_shift_a_debit_with_make_up_days(due_on: date, wanted: date) -> None:
    assert collected_on(due_on, CN) == wanted


def test_case_42_a_debit_is_sent_on_the_business_day_after_its_date(
    shop: Database, clock: SteppingClock
) -> None:
    made = signed(shop, cycle=Cycle.MONTH, first_on=date(2026, 5, 31))
    debit = scheduled(shop, made, due_on=date(2026, 5, 31))
    assert debit.try_on == date(2026, 6, 1)
    assert mandate_now(shop, made).next_on == date(2026, 6, 30)
    desk = ScriptedDesk()
    clock.advance(date(2026, 5, 31) - TODAY)
    with paying(shop, desk) as opened:
        assert debits.send_due(shop, opened) == 0
        clock.advance(timedelta(days=1))
        assert debits.send_due(shop, opened) == 1
    scheduled(shop, made, due_on=date(2026, 6, 30))
    assert mandate_now(shop, made).next_on == date(2026, 7, 31)


DAYS = st.dates(date(2005, 1, 1), date(2026, 12, 31))


@given(DAYS, st.integers(0, 600), st.sampled_from([Cycle.DAY, Cycle.MONTH]), st.integers(1, 40))
def test_the_next_date_is_the_first_of_the_cycle_after_a_date(
    first_on: date, days: int, cycle: Cycle, length: int
) -> None:
    after_on = first_on + timedelta(days=days)
    found = next_cycle_date(cycle, length, first_on, after_on)
    assert found > after_on
    number = next(n for n in range(700) if cycle_date(cycle, length, first_on, n) > after_on)
    assert found == cycle_date(cycle, length, first_on, number)


@given(DAYS, st.lists(st.integers(1, 31), max_size=4))
def test_a_try_is_on_a_business_day_within_thirty_days(first: date, pay_days: list[int]) -> None:
    again = next_try_on(first, first, pay_days, CN)
    if again is not None:
        assert first < again <= first + timedelta(days=30)
        assert CN.is_business_day(again)


@given(DAYS, st.sampled_from(list(Period)))
def test_periods_part_the_days(on: date, period: Period) -> None:
    first = period.begins_on(on)
    assert first <= on
    assert period.begins_on(first) == first


@given(DAYS, st.integers(-50, 50))
def test_months_later_is_in_that_month(on: date, many: int) -> None:
    got = months_after(on, many)
    assert (got.year * 12 + got.month) - (on.year * 12 + on.month) == many
    assert got.day <= on.day


def test_a_refusal_of_mandates_names_its_facts_in_both_languages() -> None:
    refusal: Refusal = MandateNoWasUsed(mandate_no="M-1", mandate="m")
    assert "M-1" in refusal.sentence("en")
    assert "M-1" in refusal.sentence("zh-CN")
