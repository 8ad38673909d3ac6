"""Debits: sent once, counted once, tried again on pay-days, revoked in time, returned late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from threading import Event
from uuid import uuid4

import pytest

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Refusal, SteppingClock
from steelyard.ledger import (
    AccountKind,
    Heading,
    NewAccount,
    Transfer,
    accepted,
    open_accounts,
    post,
)
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Decline, Finding, Said
from steelyard.payments.model.debits import Debit, DebitState, is_in_time, reduce
from steelyard.payments.model.debits_codes import CODES, After, rule_of
from steelyard.payments.model.debits_examples import a_debit
from steelyard.payments.model.examples import an_attempt, an_order
from steelyard.payments.model.mandates import Mandate, MandateState
from steelyard.payments.model.movements import NewMovement
from steelyard.payments.model.orders import OrderState
from steelyard.payments.service import debits, mandates, orders
from steelyard.payments.service.debits import Pull, Return
from tests.payments.debiting import (
    ANN,
    ANNS,
    TODAY,
    a_new_debit,
    declines,
    give_account,
    mandate_now,
    now,
    scheduled,
    sent,
    signed,
)
from tests.payments.refunding import clear, drain
from tests.payments.till import (
    CLIENTS,
    EVERYTHING,
    OTHER_SHOP,
    OWN,
    SHOP,
    WALLET,
    ScriptedDesk,
    balance,
    open_shop,
    paying,
    sum_of_postings,
)

PENDING = accounts.pending(SHOP, "CNY")
AVAILABLE = accounts.available(SHOP, "CNY")
IN_TRANSIT = accounts.in_transit("scripted", "CNY")
POOR = declines("AM04", Decline.INSUFFICIENT_FUNDS)


@pytest.fixture
def shop(database: Database) -> Database:
    open_shop(database)
    return database


def desk_that(answer: object) -> ScriptedDesk:
    desk = ScriptedDesk()
    desk.channel.paid = answer  # type: ignore[assignment]
    return desk


def test_a_debit_over_a_channel(shop: Database) -> None:
    made = signed(shop, details={"name": "Ann", "iban": "DE89370400440532013000"})
    desk = ScriptedDesk()
    done = sent(shop, scheduled(shop, made), desk)
    assert (done.state, done.tries) == (DebitState.SUCCEEDED, 1)
    assert balance(shop, PENDING) == 10_000
    (request,) = desk.channel.sent.values()
    assert request.details["mandate"] == made.number
    assert request.details["mandate_on"] == "2026-03-02"
    assert mandate_now(shop, made).last_on == TODAY
    assert sum_of_postings(shop) == 0


def test_a_debit_from_an_account_with_us(shop: Database) -> None:
    give_account(shop, 15_000)
    made = signed(shop, account=ANNS)
    assert sent(shop, scheduled(shop, made)).state is DebitState.SUCCEEDED
    assert (balance(shop, ANNS), balance(shop, PENDING)) == (5_000, 10_000)
    poor = sent(shop, scheduled(shop, made))
    assert (poor.state, poor.decline) == (
        DebitState.FAILED_RETRYABLE,
        Decline.INSUFFICIENT_FUNDS,
    )


def test_the_same_number_is_the_same_debit(shop: Database) -> None:
    made = signed(shop)
    new = a_new_debit(made)
    first, again = (shop.transact(lambda unit: debits.schedule(unit, [new])) for _ in range(2))
    assert first == again
    other = a_new_debit(made, debit_no=new.debit_no, amount_minor=1)
    (answer,) = shop.transact(lambda unit: debits.schedule(unit, [other]))
    assert isinstance(answer, debits.DebitNoWasUsed)


def test_sent_twice_it_is_taken_once(shop: Database) -> None:
    debit = scheduled(shop, signed(shop))
    desk = ScriptedDesk()
    with paying(shop, desk) as opened, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: debits.send(shop, opened, [debit.id]), range(8)))
    assert desk.channel.verbs() == ["pay"]
    assert now(shop, debit).state is DebitState.SUCCEEDED


def test_an_unknown_debit_is_never_failed_by_the_clock(
    shop: Database, clock: SteppingClock
) -> None:
    desk = desk_that(lambda _: Finding(said=Said.UNKNOWN, why="timeout"))
    debit = scheduled(shop, signed(shop))
    assert sent(shop, debit, desk).state is DebitState.UNKNOWN
    clock.advance(timedelta(days=20))
    with paying(shop, desk) as opened:
        assert debits.send_due(shop, opened) == 0
        number = debit_number(shop, debit)
        desk.channel.queried[number] = Finding(said=Said.SUCCEEDED)
        opened.poll()
    assert shop.transact(debits.follow_due) == 1
    assert now(shop, debit).state is DebitState.SUCCEEDED


def debit_number(database: Database, debit: Debit) -> str:
    with database.reading() as connection:
        found = now(database, debit)
        history = orders.read(connection, found.order or found.id)
    return history.attempts[-1].number


def test_a_debit_that_a_crash_left_unsent_is_sent_with_its_own_number(
    shop: Database, clock: SteppingClock
) -> None:
    debit = scheduled(shop, signed(shop))
    shop.transact(lambda unit: debits._begin(unit, [debit.id]))
    assert now(shop, debit).state is DebitState.SENT
    desk = ScriptedDesk()
    with paying(shop, desk) as opened:
        debits.send_due(shop, opened)
        assert desk.channel.verbs() == []
        clock.advance(timedelta(minutes=3))
        debits.send_due(shop, opened)
    assert desk.channel.verbs() == ["pay"]
    assert now(shop, debit).state is DebitState.SUCCEEDED


def test_notice_comes_before_the_debit(shop: Database, clock: SteppingClock) -> None:
    made = signed(shop, notice_days=14)
    with pytest.raises(debits.DebitIsTooEarly):
        scheduled(shop, made, due_on=TODAY + timedelta(days=13))
    debit = scheduled(shop, made, due_on=TODAY + timedelta(days=14))
    desk = ScriptedDesk()
    with paying(shop, desk) as opened:
        assert shop.transact(debits.prenotify_due) == 1
        assert now(shop, debit).state is DebitState.PRENOTIFIED
        clock.advance(timedelta(days=14))
        assert debits.send_due(shop, opened) == 1
    assert now(shop, debit).state is DebitState.SUCCEEDED


def test_a_debit_is_cancelled_before_it_is_sent_and_not_after(shop: Database) -> None:
    made = signed(shop)
    debit = scheduled(shop, made)
    with pytest.raises(debits.DebitIsUnknown):
        shop.transact(lambda unit: debits.cancel(unit, debit.id, merchant=OTHER_SHOP))
    with pytest.raises(debits.DebitIsUnknown):
        shop.transact(lambda unit: debits.cancel(unit, debit.id, merchant=ANN))
    done = shop.transact(lambda unit: debits.cancel(unit, debit.id, merchant=SHOP))
    assert done.state is DebitState.CANCELLED
    paid = sent(shop, scheduled(shop, made))
    with pytest.raises(debits.DebitStateForbids):
        shop.transact(lambda unit: debits.cancel(unit, paid.id))


def test_a_debit_under_way_is_cancelled_by_its_channel_alone(shop: Database) -> None:
    desk = desk_that(lambda _: Finding(said=Said.PENDING))
    debit = scheduled(shop, signed(shop))
    assert sent(shop, debit, desk).state is DebitState.ACCEPTED
    after = shop.transact(lambda unit: debits.cancel(unit, debit.id))
    assert after.state is DebitState.ACCEPTED
    with paying(shop, desk) as opened:
        opened.poll()
    shop.transact(debits.follow_due)
    assert now(shop, debit).state is DebitState.CANCELLED


def test_case_36_a_revocation_after_the_sending_lets_the_debit_stand(shop: Database) -> None:
    made = signed(shop)
    first, second = scheduled(shop, made), scheduled(shop, made)
    is_asked, may_answer = Event(), Event()

    def slow(request: object) -> Finding:
        is_asked.set()
        assert may_answer.wait(20)
        return Finding(said=Said.SUCCEEDED)

    desk = desk_that(slow)
    with paying(shop, desk) as opened, ThreadPoolExecutor(1) as pool:
        running = pool.submit(debits.send, shop, opened, [first.id])
        assert is_asked.wait(20)
        revoked = shop.transact(lambda unit: mandates.revoke(unit, made.id, party=ANN))
        assert revoked.state is MandateState.TERMINATING
        assert debits.send(shop, opened, [second.id]) == []
        may_answer.set()
        running.result(20)
    assert now(shop, first).state is DebitState.SUCCEEDED
    assert now(shop, second).state is DebitState.CANCELLED
    assert shop.transact(mandates.finish_terminating) == 1
    assert mandate_now(shop, made).state is MandateState.TERMINATED
    with pytest.raises(mandates.MandateIsNotActive):
        scheduled(shop, made)
    assert desk.channel.verbs() == ["pay"]


def test_case_36_revoked_while_it_failed_it_is_not_tried_again(
    shop: Database, clock: SteppingClock
) -> None:
    made = signed(shop)
    debit = sent(shop, scheduled(shop, made), desk_that(POOR))
    assert debit.state is DebitState.FAILED_RETRYABLE
    shop.transact(lambda unit: mandates.revoke(unit, made.id))
    clock.advance(timedelta(days=20))
    desk = ScriptedDesk()
    with paying(shop, desk) as opened:
        assert debits.send_due(shop, opened) == 0
    assert now(shop, debit).state is DebitState.CANCELLED
    assert desk.channel.verbs() == []


def test_case_37_am04_is_tried_on_pay_days_and_counted_once(
    shop: Database, clock: SteppingClock
) -> None:
    made = signed(shop, pay_days=(10, 25), single_most_minor=60_000)
    debit = scheduled(shop, made, amount_minor=60_000)
    desk = desk_that(POOR)
    after = sent(shop, debit, desk)
    assert (after.state, after.try_on) == (DebitState.FAILED_RETRYABLE, date(2026, 3, 10))
    # Counted once: what is left of 1,000.00 is 400.00, before and after each try.
    with pytest.raises(debits.DebitExceedsMandate) as over:
        scheduled(shop, made, amount_minor=40_001)
    assert over.value.facts["left_minor"] == 40_000
    with paying(shop, desk) as opened:
        assert debits.send_due(shop, opened) == 0
        clock.advance(timedelta(days=8))
        assert debits.send_due(shop, opened) == 1
        assert now(shop, debit).try_on == date(2026, 3, 25)
        with pytest.raises(debits.DebitExceedsMandate):
            scheduled(shop, made, amount_minor=40_001, due_on=date(2026, 3, 31))
        clock.advance(timedelta(days=15))
        assert debits.send_due(shop, opened) == 1
    final = now(shop, debit)
    assert (final.state, final.tries, final.code) == (DebitState.FAILED_FINAL, 3, "AM04")
    assert desk.channel.verbs() == ["pay"] * 3
    assert len(desk.channel.sent) == 3
    # What was never taken is free again.
    scheduled(shop, made, amount_minor=60_000, due_on=date(2026, 3, 31))
    assert mandate_now(shop, made).state is MandateState.ACTIVE


def test_case_37_a_later_try_succeeds_and_counts_in_its_own_period(
    shop: Database, clock: SteppingClock
) -> None:
    made = signed(shop, pay_days=(1,))
    clock.advance(timedelta(days=18))
    debit = scheduled(shop, made, amount_minor=50_000, due_on=date(2026, 3, 20))
    assert sent(shop, debit, desk_that(POOR)).try_on == date(2026, 4, 1)
    clock.advance(timedelta(days=12))
    with paying(shop, ScriptedDesk()) as opened:
        assert debits.send_due(shop, opened) == 1
    assert now(shop, debit).state is DebitState.SUCCEEDED
    # It was due in March: April has its whole sum.
    for _ in range(2):
        scheduled(shop, made, amount_minor=50_000, due_on=date(2026, 4, 2))
    assert balance(shop, PENDING) == 50_000


@pytest.mark.parametrize("code", ["MD01", "R02", "R10", "AC04"])
def test_a_bank_that_knows_no_mandate_suspends_it(shop: Database, code: str) -> None:
    made = signed(shop)
    waiting = scheduled(shop, made)
    failed = sent(shop, scheduled(shop, made), desk_that(declines(code)))
    assert (failed.state, failed.code) == (DebitState.FAILED_FINAL, code)
    after = mandate_now(shop, made)
    assert (after.state, after.why) == (MandateState.SUSPENDED, code)
    desk = ScriptedDesk()
    assert sent(shop, waiting, desk).state is DebitState.SCHEDULED
    assert desk.channel.verbs() == []


def test_case_38_a_return_60_days_later_comes_out_of_what_the_merchant_has(
    shop: Database, clock: SteppingClock
) -> None:
    made = signed(shop)
    debit = sent(shop, scheduled(shop, made))
    with shop.reading() as connection:
        order = orders.read(connection, debit.order or debit.id).order
    clear(shop, [order])
    assert balance(shop, AVAILABLE) == 10_000
    drain(shop, AVAILABLE, 10_000)
    clock.advance(timedelta(days=60))
    back = Return(debit.id, "MD01", "RET-1", "statement")
    for _ in range(2):
        after = shop.transact(lambda unit: debits.give_back(unit, back))
        assert after.state is DebitState.REFUND_CLAIMED
    # What he does not have he owes; what he sells next makes it good.
    assert (balance(shop, AVAILABLE), balance(shop, PENDING)) == (-10_000, 0)
    assert mandate_now(shop, made).state is MandateState.SUSPENDED
    with shop.reading() as connection:
        assert orders.read(connection, order.id).order.refundable_minor == 0
    assert sum_of_postings(shop) == 0


def test_case_38_a_return_before_the_clearing_comes_out_of_what_is_pending(shop: Database) -> None:
    debit = sent(shop, scheduled(shop, signed(shop)))
    shop.transact(lambda unit: debits.give_back(unit, Return(debit.id, "AM04", "RET-3")))
    assert now(shop, debit).state is DebitState.RETURNED
    assert (balance(shop, PENDING), balance(shop, IN_TRANSIT)) == (0, 0)


def test_a_bank_of_files_is_asked_for_returns(shop: Database) -> None:
    desk = ScriptedDesk(capacity=replace(EVERYTHING, batch=True))
    debit = sent(shop, scheduled(shop, signed(shop)), desk)
    assert debits.look_for_returns(shop, desk) == 0
    closed = Finding(said=Said.CLOSED, code="AC04", reference="B-77")
    desk.channel.queried[debit_number(shop, debit)] = closed
    assert debits.look_for_returns(shop, desk) == 1
    assert debits.look_for_returns(shop, desk) == 0
    assert now(shop, debit).state is DebitState.RETURNED


def test_a_return_out_of_time_is_withheld_and_contested(
    shop: Database, clock: SteppingClock
) -> None:
    debit = sent(shop, scheduled(shop, signed(shop)))
    clock.advance(timedelta(weeks=8, days=1))
    shop.transact(lambda unit: debits.give_back(unit, Return(debit.id, "MD06", "RET-2")))
    assert balance(shop, accounts.disputes("CNY")) == 10_000
    assert balance(shop, IN_TRANSIT) == -10_000


def test_case_43_concurrent_debits_never_cross_the_limit(shop: Database) -> None:
    made = signed(shop, single_most_minor=10_000, period_most_minor=100_000)

    def one(_: int) -> bool:
        (answer,) = shop.transact(
            lambda unit: debits.schedule(unit, [a_new_debit(made, amount_minor=7_000)])
        )
        assert isinstance(answer, Debit | debits.DebitExceedsMandate), answer
        return isinstance(answer, Debit)

    with ThreadPoolExecutor(16) as pool:
        taken = sum(pool.map(one, range(48)))
    assert taken == 14
    # In one batch as well.
    small = signed(shop, single_most_minor=10_000, period_most_minor=25_000)
    news = [a_new_debit(small) for _ in range(4)]
    answers = shop.transact(lambda unit: debits.schedule(unit, news))
    assert [isinstance(each, Refusal) for each in answers] == [False, False, True, True]


def test_two_scheduling_the_same_number_at_once_make_one(shop: Database) -> None:
    first, second = signed(shop), signed(shop)
    news = [a_new_debit(each, debit_no="SAME") for each in (first, second)] * 6

    def one(index: int) -> bool:
        (answer,) = shop.transact(lambda unit: debits.schedule(unit, [news[index]]))
        return isinstance(answer, Debit)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(12))) == 6


def test_what_the_core_refuses_is_a_failure_with_its_code(shop: Database) -> None:
    debit = scheduled(shop, signed(shop))
    shop.transact(lambda unit: unit.execute("UPDATE payments.merchant SET state = 'suspended'"))
    after = sent(shop, debit)
    assert (after.state, after.failure) == (
        DebitState.FAILED_FINAL,
        "payment_merchant_is_not_active",
    )


def test_every_code_has_a_rule_and_an_unknown_one_stops() -> None:
    assert {"AC01", "AC04", "AC06", "AM04", "AM05", "MD01", "MD06", "MD07", "MS02", "MS03"} <= set(
        CODES
    )
    assert {f"R{number:02}" for number in (1, 2, 3, 4, 7, 8, 10, 16, 20, 29)} <= set(CODES)
    assert rule_of("R01", None).after is After.RETRY
    assert rule_of("XX99", None).after is After.STOP
    assert rule_of(None, Decline.INSUFFICIENT_FUNDS).after is After.RETRY


def test_money_counts_whatever_was_thought_before() -> None:
    for state in DebitState:
        if state in (DebitState.RETURNED, DebitState.REFUND_CLAIMED):
            continue
        paid = an_order(state=OrderState.SUCCEEDED, captured_minor=10_000)
        ruling = reduce(a_debit(state=state), paid, an_attempt(state=AttemptState.SUCCEEDED))
        assert ruling.state is DebitState.SUCCEEDED


def test_claims_end_after_eight_weeks_or_thirteen_months() -> None:
    paid_on = date(2026, 3, 31)
    assert is_in_time(paid_on, paid_on + timedelta(weeks=8), "MD06")
    assert not is_in_time(paid_on, paid_on + timedelta(weeks=8, days=1), "MD06")
    assert is_in_time(paid_on, date(2027, 4, 30), "R10")
    assert not is_in_time(paid_on, date(2027, 5, 1), "R10")


def a_pull(mandate: Mandate, minor: int = 10_000, *, account: str = ANNS) -> Pull:
    entry = uuid4()
    movement = NewMovement(
        entry=entry,
        own_book=OWN,
        book=CLIENTS,
        account=account,
        amount_minor=minor,
        currency="CNY",
        cause="rule.test@1",
        about="loan:7",
    )
    return Pull(mandate.id, f"loan-7/{entry.hex[:6]}", movement)


def pulled(database: Database, *pulls: Pull) -> list[Transfer | Refusal]:
    """Pull as a product does: both halves of each in one chain."""

    def work(unit: UnitOfWork) -> list[Transfer | Refusal]:
        ours = NewAccount.mirror(CLIENTS, currency="CNY", kind=AccountKind.ASSET)
        theirs = NewAccount.mirror(OWN, currency="CNY", kind=AccountKind.LIABILITY)
        owed = NewAccount(code="owed:CNY", currency="CNY", kind=AccountKind.LIABILITY)
        open_accounts(unit, OWN, [ours, owed], cause="rule.test@1")
        open_accounts(unit, CLIENTS, [theirs], cause="rule.test@1")
        answers = debits.pull(unit, pulls)
        chains: list[Transfer] = []
        for one, answer in zip(pulls, answers, strict=True):
            if isinstance(answer, Transfer):
                heading = Heading(
                    entry=one.movement.entry, book=OWN, currency="CNY", cause="rule.test@1"
                )
                minor = one.movement.amount_minor
                chains += [heading.transfer(0, ours.code, owed.code, minor), answer]
        accepted(post(unit, chains))
        return answers

    return database.transact(work)


def test_a_product_pulls_within_its_own_unit(shop: Database) -> None:
    give_account(shop, 60_000)
    made = signed(shop, account=ANNS, single_most_minor=20_000, period_most_minor=50_000)
    pulls = [a_pull(made, 20_000) for _ in range(3)]
    answers = pulled(shop, *pulls)
    assert [isinstance(one, Transfer) for one in answers] == [True, True, False]
    assert isinstance(answers[2], debits.DebitExceedsMandate)
    assert balance(shop, ANNS) == 20_000
    (again,) = pulled(shop, pulls[0])
    assert isinstance(again, debits.DebitNoWasUsed)
    (other,) = pulled(shop, a_pull(made, account=WALLET))
    assert isinstance(other, debits.DebitIsMalformed)
    shop.transact(lambda unit: mandates.suspend(unit, made.id))
    (no,) = pulled(shop, a_pull(made))
    assert isinstance(no, mandates.MandateIsNotActive)
    with shop.reading() as connection:
        listed = debits.list_debits(connection, mandate=made.id).items
    assert [one.state for one in listed] == [DebitState.SUCCEEDED] * 2


def test_a_pull_that_is_not_covered_leaves_nothing(shop: Database) -> None:
    give_account(shop, 5_000)
    made = signed(shop, account=ANNS)
    with pytest.raises(Refusal):
        pulled(shop, a_pull(made))
    with shop.reading() as connection:
        assert debits.list_debits(connection, mandate=made.id).items == ()
