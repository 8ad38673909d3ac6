"""Reversal: captured payments taken back the same day, and what races with that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import time, timedelta
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments.model.attempts import AttemptState, Source
from steelyard.payments.model.channel import Finding, Method, Said
from steelyard.payments.model.orders import Order, OrderState
from steelyard.payments.service import disputes, evidence, orders, refunds, reversal, splits
from steelyard.payments.service.paying import Pay
from tests.payments.refunding import CHANNEL, PENDING, ask, clear, holds, order_of, paid
from tests.payments.till import (
    EVERYTHING,
    OTHER_SHOP,
    WALLET,
    ScriptedDesk,
    an_order,
    balance,
    open_shop,
    paying,
)

PENDING_FINDING = Finding(said=Said.PENDING)


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A shop whose books add up after every test."""
    open_shop(database)
    yield database
    holds(database)


@pytest.fixture
def desk() -> ScriptedDesk:
    return ScriptedDesk()


def cancel(database: Database, desk: ScriptedDesk, order: Order) -> Order:
    return reversal.cancel_paid(database, desk, order.id, actor="test:shop")


def pay_by(database: Database, desk: ScriptedDesk, order: Order, attempt: UUID) -> None:
    how = Pay(attempt=attempt, method=Method.WALLET)
    with paying(database, desk) as counter:
        counter.pay(order.id, how, actor="test:shop")


def reason(call: Callable[[], object]) -> object:
    with pytest.raises(reversal.ReversalIsRefused) as refused:
        call()
    return refused.value.facts["why"]


def test_a_captured_payment_is_taken_back_the_same_day(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk, splits={OTHER_SHOP.hex: 4_000})
    shop.transact(lambda unit: splits.share(unit, order.id))
    after = cancel(shop, desk, order)
    assert (after.state, after.captured_minor) == (OrderState.CANCELLED, 0)
    assert (balance(shop, PENDING), balance(shop, CHANNEL)) == (0, 0)
    assert reason(lambda: cancel(shop, desk, order)) == "it is cancelled"
    with pytest.raises(refunds.PaymentIsNotRefundable):
        ask(shop, order, 1)
    with shop.reading() as connection:
        assert [one.left_minor for one in splits.of_order(connection, order.id)] == [0]


def test_a_payment_from_our_own_book_is_taken_back(shop: Database, desk: ScriptedDesk) -> None:
    before = balance(shop, WALLET)
    order = paid(shop, desk, account=WALLET)
    assert cancel(shop, desk, order).state is OrderState.CANCELLED
    assert balance(shop, WALLET) == before
    assert desk.channel.asked == []


def test_what_stands_against_a_reversal_is_said(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    refunded, cleared, shared, late = (paid(shop, desk) for _ in range(4))
    ask(shop, refunded, 1)
    clear(shop, [cleared, shared])
    shop.transact(lambda unit: splits.share(unit, shared.id, {OTHER_SHOP.hex: 1}, share_no="S"))
    assert reason(lambda: cancel(shop, desk, refunded)) == "it is refunded or disputed"
    assert reason(lambda: cancel(shop, desk, cleared)) == "it is cleared"
    assert reason(lambda: cancel(shop, desk, shared)) == "it is shared"
    desk.capacity = replace(EVERYTHING, cancel_same_day=False)
    assert reason(lambda: cancel(shop, desk, late)) == "the channel does not reverse"
    # The clock of the channel: its day ends at 23:00 in Shanghai, 15:00 UTC; it is 9:00 UTC.
    desk.capacity = replace(EVERYTHING, cut_off=time(23, 0))
    clock.advance(timedelta(hours=6))
    assert reason(lambda: cancel(shop, desk, late)) == "its day is over at the channel"
    assert "cancel" not in desk.channel.verbs()


def test_nothing_is_refunded_while_a_channel_has_not_answered(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    desk.channel.close = Finding(said=Said.UNKNOWN, why="timeout")
    assert cancel(shop, desk, order).state is OrderState.SUCCEEDED
    with pytest.raises(refunds.ReversalIsUnderWay):
        ask(shop, order, 1)
    with pytest.raises(refunds.ReversalIsUnderWay):
        shop.transact(lambda unit: splits.share(unit, order.id, {OTHER_SHOP.hex: 1}, share_no="S"))
    desk.channel.close = Finding(said=Said.CLOSED)
    assert reversal.ask_again(shop, desk, actor="system:test") == 1
    assert order_of(shop, order.id).state is OrderState.CANCELLED
    assert reversal.ask_again(shop, desk, actor="system:test") == 0


@pytest.mark.parametrize("is_known", [False, True])
def test_nothing_is_withheld_for_a_dispute_while_a_channel_has_not_answered(
    shop: Database, desk: ScriptedDesk, is_known: bool
) -> None:
    order = paid(shop, desk)
    claim = disputes.NewDispute(
        id=uuid4(),
        order=order.id,
        reference="D-1",
        amount_minor=4_000,
        currency="CNY",
        is_inquiry=is_known,
    )
    if is_known:
        shop.transact(lambda unit: disputes.take(unit, claim))
    desk.channel.close = Finding(said=Said.UNKNOWN)
    cancel(shop, desk, order)

    def open_it() -> object:
        if is_known:
            opened = disputes.DisputeWord.OPENED
            return shop.transact(lambda unit: disputes.tell(unit, claim.id, opened))
        return shop.transact(lambda unit: disputes.take(unit, claim))

    with pytest.raises(disputes.ReversalIsUnderWay):
        open_it()
    desk.channel.close = Finding(said=Said.CLOSED)
    assert reversal.ask_again(shop, desk, actor="test:shop") == 1
    assert order_of(shop, order.id).state is OrderState.CANCELLED


def test_a_no_to_a_second_question_proves_nothing_of_the_first(
    shop: Database, desk: ScriptedDesk
) -> None:
    gone, kept = paid(shop, desk), paid(shop, desk)
    desk.channel.close = Finding(said=Said.UNKNOWN)
    for order, there in ((gone, Said.CLOSED), (kept, Said.SUCCEEDED)):
        cancel(shop, desk, order)
        assert order.paid_by is not None
        desk.channel.queried[order.paid_by.hex] = Finding(said=there)
    desk.channel.close = Finding(said=Said.DECLINED)
    assert reversal.ask_again(shop, desk, actor="test:shop") == 2
    assert order_of(shop, gone.id).state is OrderState.CANCELLED
    assert order_of(shop, kept.id).state is OrderState.SUCCEEDED
    assert reversal.ask_again(shop, desk, actor="test:shop") == 0
    assert balance(shop, CHANNEL) == -10_000


def test_a_channel_that_declines_leaves_the_payment_to_be_refunded(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    desk.channel.close = Finding(said=Said.DECLINED)
    assert reason(lambda: cancel(shop, desk, order)) == "the channel declines"
    assert order_of(shop, order.id).state is OrderState.SUCCEEDED
    assert ask(shop, order).amount_minor == 10_000


def test_case_33_a_reversal_and_refunds_at_once_give_the_money_back_once(
    shop: Database, desk: ScriptedDesk
) -> None:
    for _ in range(6):
        order = paid(shop, desk)

        def reverse(order: Order = order) -> str:
            try:
                return cancel(shop, desk, order).state.value
            except Refusal as refusal:
                return refusal.code

        def refund(order: Order = order) -> str:
            try:
                made = ask(shop, order)
            except Refusal as refusal:
                return refusal.code
            refunds.send(shop, desk, [made.id])
            return "refunded"

        with ThreadPoolExecutor(4) as pool:
            first, second, *_ = [
                one.result() for one in [pool.submit(call) for call in (reverse, refund)]
            ]
        assert (first == "cancelled") != (second == "refunded")
        assert balance(shop, CHANNEL) == 0
        assert balance(shop, PENDING) == 0


def test_case_33_the_merchant_cancels_while_the_payer_pays(
    shop: Database, desk: ScriptedDesk
) -> None:
    desk.channel.paid = lambda _: PENDING_FINDING
    for _ in range(6):
        (order,) = shop.transact(lambda unit: orders.create(unit, [an_order()]))
        assert isinstance(order, Order)
        attempt = uuid4()
        pay_by(shop, desk, order, attempt)
        before = balance(shop, PENDING)

        def end(order: Order = order) -> None:
            try:
                shop.transact(lambda unit: orders.cancel(unit, order.id))
            except orders.PaymentIsPaid:
                return

        def capture(attempt: UUID = attempt) -> None:
            money = Finding(said=Said.SUCCEEDED, amount_minor=10_000, currency="CNY")
            told = evidence.Report(attempt, Source.NOTICE, money)
            shop.transact(lambda unit: evidence.report(unit, [told]))

        with ThreadPoolExecutor(2) as pool:
            for one in [pool.submit(end), pool.submit(capture)]:
                one.result()
        # Whoever came first, the money paid the order, and can be taken back like any other.
        assert order_of(shop, order.id).state is OrderState.SUCCEEDED
        assert balance(shop, PENDING) == before + 10_000
        assert cancel(shop, desk, order).state is OrderState.CANCELLED


def test_an_unknown_attempt_is_reversed_only_by_the_word_of_the_channel(
    shop: Database, desk: ScriptedDesk
) -> None:
    desk.channel.paid = lambda _: Finding(said=Said.UNKNOWN, why="timeout")
    (order,) = shop.transact(lambda unit: orders.create(unit, [an_order()]))
    assert isinstance(order, Order)
    attempt = uuid4()
    pay_by(shop, desk, order, attempt)
    desk.channel.close = Finding(said=Said.NOT_FOUND)
    still = reversal.reverse_unknown(shop, desk, attempt, actor="staff:one")
    assert still.attempt is AttemptState.UNKNOWN
    desk.channel.close = Finding(said=Said.CLOSED)
    done = reversal.reverse_unknown(shop, desk, attempt, actor="staff:one")
    assert done.attempt is AttemptState.CLOSED
    assert order_of(shop, order.id).state is OrderState.OPEN
    why = reason(lambda: reversal.reverse_unknown(shop, desk, attempt, actor="staff:one"))
    assert why == "it is closed"
