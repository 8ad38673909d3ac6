"""Orders and attempts over a scripted channel: what money, time-outs and late news do to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database, NoPolicyGate
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import (
    Attempt,
    AttemptState,
    Follow,
    Move,
    Source,
    reduce,
)
from steelyard.payments.model.channel import Decline, Finding, Method, Said
from steelyard.payments.model.examples import AT, an_attempt
from steelyard.payments.model.examples import an_order as an_order_as_it_stands
from steelyard.payments.model.orders import Order, OrderState, Payer
from steelyard.payments.model.refusals import (
    OrderNoWasUsed,
    PaymentIsPaid,
    PaymentIsUnderWay,
    PaymentIsUnknown,
)
from steelyard.payments.service import at_once, orders
from steelyard.payments.service.evidence import Report, order_after, report
from steelyard.payments.service.paying import Pay, Result
from steelyard.payments.store import attempts as table
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

ACTOR = "party:test"
IN_TRANSIT = accounts.in_transit("scripted", "CNY")
PENDING = accounts.pending(SHOP, "CNY")
UNCLAIMED = accounts.unclaimed("CNY")
YES = Finding(said=Said.SUCCEEDED, amount_minor=10_000, currency="CNY")
LOST = Finding(said=Said.UNKNOWN, why="timeout")
NO = Finding(said=Said.DECLINED, decline=Decline.INSUFFICIENT_FUNDS, code="51")


@pytest.fixture
def shop(database: Database) -> Database:
    open_shop(database)
    return database


def created(database: Database, **changes: object) -> Order:
    (made,) = database.transact(lambda unit: orders.create(unit, [an_order(**changes)]))
    assert isinstance(made, Order), made
    return made


def paid(
    database: Database, order: Order, desk: ScriptedDesk, attempt: UUID | None = None
) -> Result:
    how = Pay(attempt=attempt or uuid4(), method=Method.WALLET)
    return pay(database, order, how, desk)


def pay(
    database: Database, order: Order, how: Pay, desk: ScriptedDesk, merchant: UUID | None = None
) -> Result:
    with paying(database, desk) as opened:
        return opened.pay(order.id, how, merchant=merchant, actor=ACTOR)


def poll(database: Database, desk: ScriptedDesk) -> int:
    with paying(database, desk) as opened:
        return opened.poll()


def learn(database: Database, attempt: Attempt, finding: Finding, source: Source) -> None:
    database.transact(lambda unit: report(unit, [Report(attempt.id, source, finding)]))


def now(database: Database, order: Order) -> orders.History:
    with database.reading() as connection:
        return orders.read(connection, order.id)


def test_a_payment_moves_money_from_the_channel_to_the_merchant(shop: Database) -> None:
    result = paid(shop, created(shop), ScriptedDesk())
    assert (result.order.state, result.attempt.state) == (
        OrderState.SUCCEEDED,
        AttemptState.SUCCEEDED,
    )
    assert result.order.captured_minor == result.order.refundable_minor == 10_000
    assert balance(shop, IN_TRANSIT) == -10_000
    assert balance(shop, PENDING) == 10_000
    assert sum_of_postings(shop) == 0


def test_a_declined_attempt_leaves_the_order_open_for_another(shop: Database) -> None:
    desk, order = ScriptedDesk(), created(shop, most_attempts=2)
    desk.channel.paid = lambda _: NO
    first = paid(shop, order, desk)
    assert first.order.state is OrderState.OPEN
    assert first.attempt.decline is Decline.INSUFFICIENT_FUNDS
    assert paid(shop, order, desk).order.state is OrderState.FAILED
    assert balance(shop, PENDING) == 0


def test_a_payment_out_of_our_own_book(shop: Database) -> None:
    order = created(shop, payer=Payer(account=WALLET))
    how = Pay(attempt=uuid4(), method=Method.BALANCE)
    result = pay(shop, order, how, ScriptedDesk())
    assert result.order.state is OrderState.SUCCEEDED
    assert balance(shop, WALLET) == 990_000
    assert balance(shop, PENDING) == 10_000
    poor = created(shop, payer=Payer(account=WALLET), amount_minor=990_001)
    how = Pay(attempt=uuid4(), method=Method.BALANCE)
    result = pay(shop, poor, how, ScriptedDesk())
    assert result.order.state is OrderState.OPEN
    assert result.attempt.decline is Decline.INSUFFICIENT_FUNDS
    assert balance(shop, WALLET) == 990_000


def test_many_payments_out_of_our_own_book_are_one_transaction(shop: Database) -> None:
    made = [
        at_once.Purchase(an_order(payer=Payer(account=WALLET)), uuid4(), shop.now())
        for _ in range(5)
    ]
    dear = an_order(payer=Payer(account=WALLET), amount_minor=2_000_000)
    made.append(at_once.Purchase(dear, uuid4(), shop.now()))
    verdicts = at_once.ask(NoPolicyGate(), made)
    first = shop.transact(lambda unit: at_once.pay(unit, made, verdicts))
    again = shop.transact(lambda unit: at_once.pay(unit, made, verdicts))
    assert first == again
    assert [one.is_paid for one in first if isinstance(one, at_once.Paid)] == [True] * 5 + [False]
    assert first[-1] == at_once.Paid(dear.id, False, "no_policy@0", "exceeds_debit_limit")
    assert balance(shop, PENDING) == 50_000
    taken = at_once.Purchase(an_order(order_no=dear.order_no), uuid4(), shop.now())
    (refused,) = shop.transact(lambda unit: at_once.pay(unit, [taken], verdicts[:1]))
    assert isinstance(refused, OrderNoWasUsed)


def test_case_01_late_success_after_the_order_was_closed_is_given_back_or_revives(
    shop: Database, clock: SteppingClock
) -> None:
    for policy, state, waits in (
        ("refund", OrderState.EXPIRED, 10_000),
        ("revive", OrderState.SUCCEEDED, 0),
    ):
        desk, order = ScriptedDesk(), created(shop, late_success=policy)
        desk.channel.paid = lambda _: LOST
        tried = paid(shop, order, desk).attempt
        clock.advance(timedelta(hours=2))
        shop.transact(orders.end_due)
        assert now(shop, order).order.state is OrderState.EXPIRING
        poll(shop, desk)
        assert now(shop, order).order.state is OrderState.EXPIRED
        before = balance(shop, UNCLAIMED)
        learn(shop, tried, YES, Source.NOTICE)
        after = now(shop, order)
        assert after.order.state is state
        assert balance(shop, UNCLAIMED) - before == waits
        with shop.reading() as connection:
            left = table.open_follow_ups(connection, [Follow.REFUND_LATE], 10)
        assert [one.attempt for one in left if one.attempt == tried.id] == (
            [tried.id] if policy == "refund" else []
        )


def test_case_02_of_two_attempts_that_succeed_the_later_is_given_back(shop: Database) -> None:
    desk, order = ScriptedDesk(), created(shop)
    desk.channel.paid = lambda _: NO
    first = paid(shop, order, desk).attempt
    desk.channel.paid = lambda _: YES
    assert paid(shop, order, desk).order.state is OrderState.SUCCEEDED
    learn(shop, first, YES, Source.NOTICE)
    after = now(shop, order)
    assert [one.state for one in after.attempts] == [
        AttemptState.DUPLICATE,
        AttemptState.SUCCEEDED,
    ]
    assert after.order.captured_minor == 10_000
    assert balance(shop, PENDING) == balance(shop, UNCLAIMED) == 10_000


@pytest.mark.parametrize(("news", "case"), [((YES, NO), 5), ((NO, YES), 6)])
def test_case_05_and_06_success_stands_whatever_comes_before_or_after(
    shop: Database, news: tuple[Finding, Finding], case: int
) -> None:
    desk, order = ScriptedDesk(), created(shop)
    desk.channel.paid = lambda _: LOST
    tried = paid(shop, order, desk).attempt
    for one in news:
        learn(shop, tried, one, Source.NOTICE)
    after = now(shop, order)
    assert after.order.state is OrderState.SUCCEEDED
    assert after.attempts[0].state is AttemptState.SUCCEEDED
    assert balance(shop, PENDING) == 10_000
    assert [row.note for row in after.evidence][-1] == (
        "ignored_after_success" if case == 5 else ""
    )


@pytest.mark.parametrize("said", [{"amount_minor": 9_999}, {"currency": "USD"}])
def test_case_07_another_amount_or_currency_is_held(
    shop: Database, said: dict[str, object]
) -> None:
    desk = ScriptedDesk()
    answer = {"said": Said.SUCCEEDED, "amount_minor": 10_000, "currency": "CNY"} | said
    desk.channel.paid = lambda _: Finding(**answer)  # type: ignore[arg-type]
    result = paid(shop, created(shop), desk)
    assert result.attempt.state is AttemptState.INTEGRITY_HOLD
    assert not result.order.state.is_paid
    assert balance(shop, PENDING) == 0
    assert balance(shop, UNCLAIMED) == (9_999 if "amount_minor" in said else 0)


def test_case_09_an_order_of_another_merchant_is_not_found(shop: Database) -> None:
    order = created(shop)
    how = Pay(attempt=uuid4(), method=Method.WALLET)
    with pytest.raises(PaymentIsUnknown):
        pay(shop, order, how, ScriptedDesk(), merchant=OTHER_SHOP)
    other = created(shop, merchant=OTHER_SHOP)
    tried = paid(shop, order, ScriptedDesk()).attempt
    how = Pay(attempt=tried.id, method=Method.WALLET)
    with pytest.raises(PaymentIsUnknown):
        pay(shop, other, how, ScriptedDesk())


def test_case_10_the_same_attempt_again_is_the_same_payment(shop: Database) -> None:
    desk, order, attempt = ScriptedDesk(), created(shop), uuid4()
    first = paid(shop, order, desk, attempt)
    assert paid(shop, order, desk, attempt) == first
    assert desk.channel.verbs() == ["pay"]
    with pytest.raises(PaymentIsPaid):
        paid(shop, order, desk)


def test_case_13_an_order_number_is_used_once(shop: Database) -> None:
    order = created(shop, order_no="N-1")
    same, other = an_order(id=order.id, order_no="N-1"), an_order(order_no="N-1")
    answers = shop.transact(lambda unit: orders.create(unit, [same, other]))
    assert answers[0] == order
    assert isinstance(answers[1], OrderNoWasUsed)
    assert created(shop, order_no="N-1", merchant=OTHER_SHOP).id != order.id


def test_case_14_what_a_crash_left_behind_is_asked_about_and_not_sent_again(
    shop: Database, clock: SteppingClock
) -> None:
    desk, order, attempt = ScriptedDesk(), created(shop), uuid4()

    def die(_: object) -> Finding:
        raise KeyboardInterrupt  # the process ends between the call and the commit

    desk.channel.paid = die
    with pytest.raises(KeyboardInterrupt):
        paid(shop, order, desk, attempt)
    assert now(shop, order).attempts[0].state is AttemptState.SENT
    desk.channel.queried[attempt.hex] = YES
    clock.advance(timedelta(seconds=4))
    assert poll(shop, desk) == 1
    assert now(shop, order).order.state is OrderState.SUCCEEDED
    assert desk.channel.verbs() == ["pay", "query"]
    assert balance(shop, PENDING) == 10_000


def test_case_16_not_found_inside_the_window_proves_nothing(
    shop: Database, clock: SteppingClock
) -> None:
    desk, order = ScriptedDesk(), created(shop)
    desk.channel.paid = lambda _: LOST
    paid(shop, order, desk)
    clock.advance(timedelta(seconds=5))
    poll(shop, desk)
    assert now(shop, order).attempts[0].state is AttemptState.UNKNOWN
    assert desk.channel.verbs() == ["pay", "query"]
    with pytest.raises(PaymentIsUnderWay):
        paid(shop, order, desk)
    clock.advance(timedelta(minutes=2))
    poll(shop, desk)
    after = now(shop, order)
    assert desk.channel.verbs() == ["pay", "query", "query", "cancel"]
    assert after.attempts[0].state is AttemptState.CLOSED
    assert after.order.state is OrderState.OPEN


def test_case_17_the_channel_closes_while_the_payer_pays(
    shop: Database, clock: SteppingClock
) -> None:
    desk, order = ScriptedDesk(), created(shop)
    desk.channel.paid = lambda _: Finding(said=Said.ACTION, action={"kind": "qr"})
    tried = paid(shop, order, desk)
    assert tried.order.state is OrderState.REQUIRES_ACTION
    assert tried.attempt.action == {"kind": "qr"}
    shop.transact(lambda unit: orders.cancel(unit, order.id))
    desk.channel.rest = Finding(said=Said.PENDING)
    desk.channel.close = YES
    clock.advance(timedelta(seconds=1))
    poll(shop, desk)
    after = now(shop, order)
    assert after.order.state is OrderState.SUCCEEDED
    assert balance(shop, PENDING) == 10_000


def test_case_18_expiry_and_success_in_the_same_moment(
    shop: Database, clock: SteppingClock
) -> None:
    desk, order = ScriptedDesk(), created(shop)
    desk.channel.paid = lambda _: LOST
    tried = paid(shop, order, desk).attempt
    clock.advance(timedelta(minutes=30))

    def expire() -> None:
        shop.transact(orders.end_due)

    def succeed() -> None:
        learn(shop, tried, YES, Source.NOTICE)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(expire), pool.submit(succeed)]:
            done.result()
    after = now(shop, order)
    assert after.order.state is OrderState.SUCCEEDED
    assert balance(shop, PENDING) == 10_000


@pytest.mark.parametrize("amount", [0, -1, 10**14])
def test_case_19_amounts_that_cannot_be(shop: Database, amount: int) -> None:
    (refused,) = shop.transact(lambda unit: orders.create(unit, [an_order(amount_minor=amount)]))
    assert isinstance(refused, Refusal)
    assert refused.code == "payment_amount_is_out_of_range"


def test_case_19_currencies_without_and_with_three_decimals(database: Database) -> None:
    open_shop(database, currencies=("CNY", "JPY", "KWD"))
    for currency, amount in (("JPY", 1), ("KWD", 1_234)):
        order = created(database, currency=currency, amount_minor=amount)
        result = paid(database, order, ScriptedDesk())
        assert result.order.captured_minor == amount
        assert balance(database, accounts.pending(SHOP, currency)) == amount
    (refused,) = database.transact(lambda unit: orders.create(unit, [an_order(currency="XXX1")]))
    assert isinstance(refused, Refusal)


def test_unknown_never_fails_by_the_clock(shop: Database, clock: SteppingClock) -> None:
    desk, order = ScriptedDesk(), created(shop)
    desk.channel.paid = lambda _: LOST
    desk.channel.rest = desk.channel.close = LOST
    tried = paid(shop, order, desk).attempt
    for _ in range(12):
        clock.advance(timedelta(days=1))
        shop.transact(orders.end_due)
        poll(shop, desk)
    assert now(shop, order).order.state is OrderState.EXPIRING
    learn(shop, tried, Finding(said=Said.NOT_FOUND), Source.STATEMENT)
    after = now(shop, order)
    assert after.order.state is OrderState.EXPIRED
    assert after.attempts[0].state is AttemptState.DECLINED


SAYS = st.sampled_from(Said).map(lambda said: Finding(said=said))
AMOUNTS = st.sampled_from([None, 9_999, 10_000]).map(
    lambda amount: Finding(said=Said.SUCCEEDED, amount_minor=amount)
)


@given(
    st.lists(st.tuples(SAYS | AMOUNTS, st.sampled_from(Source), st.booleans()), max_size=12),
    st.sampled_from(["refund", "revive"]),
)
def test_whatever_is_said_money_is_counted_once_and_a_success_stands(
    said: list[tuple[Finding, Source, bool]], late: str
) -> None:
    """Two attempts of one order hear anything in any order."""
    order = an_order_as_it_stands(attempts=2, late_success=late)
    tried = [an_attempt(no=1), an_attempt(no=2, id=UUID(int=4))]
    captures = 0
    for finding, source, is_second in said:
        before = tried[is_second]
        ruling = reduce(order, before, finding, source, AT + timedelta(minutes=5))
        captures += (Move.CAPTURE in ruling.moves) + (Move.CLAIM in ruling.moves)
        after = replace(before, state=ruling.attempt)
        if before.state.has_money:
            assert after.state is before.state
        if before.state is AttemptState.SUCCEEDED:
            assert not ruling.is_new
        if ruling.is_new:
            order = order_after(order, after, ruling, AT)
        tried[is_second] = after
        again = reduce(order, after, finding, source, AT + timedelta(minutes=5))
        assert not again.moves
    assert captures <= 1
    assert order.state.is_paid == (captures == 1)
    assert order.captured_minor == captures * 10_000
