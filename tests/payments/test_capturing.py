"""Captures and releases of authorizations: amounts, order of events, channels that say nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import capturing, orders
from steelyard.payments.model import accounts
from steelyard.payments.model.attempts import AttemptState, Source
from steelyard.payments.model.capturing import rule
from steelyard.payments.model.channel import Finding, Method, PayRequest, Said
from steelyard.payments.model.examples import an_order as a_stored_order
from steelyard.payments.model.orders import Capture, Order, OrderState
from steelyard.payments.service.capturing import Captured, CaptureState
from steelyard.payments.service.evidence import Report, report
from steelyard.payments.service.paying import Pay
from tests.payments.till import (
    EVERYTHING,
    SHOP,
    ScriptedDesk,
    an_order,
    balance,
    open_shop,
    paying,
    sum_of_postings,
)

MANUAL = replace(EVERYTHING, auth_capture=True)


def _authorizes(request: PayRequest) -> Finding:
    is_capture = "capture_of" in request.details
    return Finding(
        said=Said.SUCCEEDED if is_capture else Said.AUTHORIZED,
        amount_minor=request.amount_minor,
        currency=request.currency,
        reference=f"R{request.number[:10]}",
    )


@dataclass
class Hold:
    """An order of 100.00 for which money is set aside."""

    database: Database
    desk: ScriptedDesk
    order: Order
    clock: SteppingClock

    def capture(self, amount: int | None = None, **more: object) -> Captured:
        values: dict[str, object] = {"request": uuid4(), "actor": "key:shop", **more}
        return capturing.capture(
            self.database,
            self.desk,
            self.order.id,
            amount_minor=amount,
            **values,  # type: ignore[arg-type]
        )

    def void(self, **more: object) -> Captured:
        values: dict[str, object] = {"request": uuid4(), "actor": "key:shop", **more}
        return capturing.void(self.database, self.desk, self.order.id, **values)  # type: ignore[arg-type]

    def read(self) -> orders.History:
        with self.database.reading() as connection:
            return orders.read(connection, self.order.id)

    def tend(self) -> int:
        return capturing.tend(self.database, self.desk)

    @property
    def owed(self) -> int:
        return balance(self.database, accounts.pending(SHOP, "CNY"))


@pytest.fixture
def hold(database: Database, clock: SteppingClock) -> Hold:
    open_shop(database)
    desk = ScriptedDesk(capacity=MANUAL)
    desk.channel.paid = _authorizes
    new = an_order(capture=Capture.MANUAL)
    database.transact(lambda unit: orders.create(unit, [new]))
    with paying(database, desk) as opened:
        done = opened.pay(new.id, Pay(attempt=uuid4(), method=Method.CARD), actor="key:shop")
    assert (done.order.state, done.order.authorized_minor) == (OrderState.AUTHORIZED, 10_000)
    assert desk.channel.sent[done.attempt.number].details == {"capture": "manual"}
    return Hold(database, desk, done.order, clock)


def test_money_is_taken_in_parts_each_under_its_own_number(hold: Hold) -> None:
    assert hold.owed == 0
    first = hold.capture(2_500)
    assert first.order.state is OrderState.PARTIALLY_CAPTURED
    assert (first.order.captured_minor, hold.owed) == (2_500, 2_500)
    attempt = hold.read().attempts[0]
    sent = hold.desk.channel.sent[first.capture.number]
    assert (sent.amount_minor, sent.details["capture_of"]) == (2_500, attempt.number)
    second = hold.capture(3_000)
    assert second.capture.number not in (first.capture.number, attempt.number)
    done = hold.capture()
    assert (done.order.state, done.order.captured_minor) == (OrderState.SUCCEEDED, 10_000)
    assert hold.desk.channel.sent[done.capture.number].details["is_last"] == "true"
    assert (hold.owed, sum_of_postings(hold.database)) == (10_000, 0)
    assert hold.read().attempts[0].state is AttemptState.SUCCEEDED
    told = _facts(hold.database)
    assert told.count("payments.PaymentCaptured") == 3
    assert told.count("payments.PaymentSucceeded") == 1


def test_the_last_capture_lets_the_rest_go(hold: Hold) -> None:
    done = hold.capture(4_000, is_last=True)
    assert (done.order.state, done.order.authorized_minor) == (OrderState.SUCCEEDED, 4_000)
    with pytest.raises(capturing.PaymentIsNotAuthorized):
        hold.capture(1)


def test_one_request_sent_twice_is_one_capture(hold: Hold) -> None:
    request = uuid4()
    first, again = hold.capture(2_500, request=request), hold.capture(2_500, request=request)
    assert first.capture.id == again.capture.id
    assert hold.owed == 2_500
    assert hold.desk.channel.verbs() == ["pay", "pay"]
    with pytest.raises(capturing.CaptureRequestWasUsed):
        hold.capture(1, request=request)
    with pytest.raises(capturing.CaptureRequestWasUsed):
        hold.void(request=request)


def test_more_than_was_authorized_is_refused(hold: Hold) -> None:
    with pytest.raises(capturing.CaptureExceedsAuthorization):
        hold.capture(10_001)
    hold.capture(9_000)
    with pytest.raises(capturing.CaptureExceedsAuthorization) as caught:
        hold.capture(1_001)
    assert caught.value.facts["left_minor"] == 1_000
    with pytest.raises(Refusal):
        hold.capture(0)
    assert hold.owed == 9_000


def test_many_captures_at_once_never_take_more_than_was_authorized(hold: Hold) -> None:
    def take(_: int) -> str:
        try:
            return hold.capture(4_000).capture.state.value
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(take, range(8)))
    assert 1 <= said.count("succeeded") <= 2
    assert set(said) <= {"succeeded", "capture_is_under_way", "capture_exceeds_authorization"}
    assert hold.owed == 4_000 * said.count("succeeded")


def test_a_capture_of_which_nobody_knows_is_asked_about_and_not_taken_twice(hold: Hold) -> None:
    hold.desk.channel.paid = lambda _: Finding(said=Said.UNKNOWN, why="timeout")
    lost = hold.capture(2_500)
    assert (lost.capture.state, hold.owed) == (CaptureState.UNKNOWN, 0)
    with pytest.raises(capturing.CaptureIsUnderWay):
        hold.capture(2_500)
    with pytest.raises(capturing.CaptureIsUnderWay):
        hold.void()
    number = lost.capture.number
    hold.desk.channel.queried[number] = Finding(said=Said.SUCCEEDED, amount_minor=2_500)
    hold.clock.advance(timedelta(seconds=31))
    assert hold.tend() == 1
    assert hold.owed == 2_500
    assert hold.read().order.state is OrderState.PARTIALLY_CAPTURED


def test_a_capture_that_the_channel_never_had_is_sent_again_under_its_number(hold: Hold) -> None:
    hold.desk.channel.paid = lambda _: Finding(said=Said.UNKNOWN, why="timeout")
    lost = hold.capture(2_500)
    hold.clock.advance(timedelta(seconds=31))
    hold.tend()
    hold.desk.channel.paid = _authorizes
    hold.clock.advance(timedelta(minutes=3))
    hold.tend()
    asked = [number for verb, number in hold.desk.channel.asked if verb == "pay"]
    assert asked.count(lost.capture.number) == 2
    assert hold.owed == 2_500


def test_another_amount_than_was_asked_is_held_and_owed_to_nobody(hold: Hold) -> None:
    hold.desk.channel.paid = lambda _: Finding(said=Said.SUCCEEDED, amount_minor=2_501)
    done = hold.capture(2_500)
    assert (done.capture.state, hold.owed) == (CaptureState.HELD, 0)
    with pytest.raises(capturing.CaptureIsUnderWay):
        hold.capture(2_500)


def test_a_declined_capture_leaves_the_rest_to_be_taken(hold: Hold) -> None:
    hold.desk.channel.paid = lambda _: Finding(said=Said.DECLINED, code="no")
    assert hold.capture(2_500).capture.state is CaptureState.DECLINED
    hold.desk.channel.paid = _authorizes
    assert hold.capture().order.state is OrderState.SUCCEEDED


def test_a_void_cancels_and_money_that_comes_after_it_is_late(hold: Hold) -> None:
    done = hold.void()
    assert (done.order.state, done.order.paid_by) == (OrderState.CANCELLED, None)
    history = hold.read()
    attempt = history.attempts[0]
    assert attempt.state is AttemptState.CLOSED
    with pytest.raises(capturing.PaymentIsNotAuthorized):
        hold.capture()
    said = Report(attempt.id, Source.NOTICE, Finding(said=Said.SUCCEEDED))
    (ruling,) = hold.database.transact(lambda unit: report(unit, [said]))
    assert ruling.attempt is AttemptState.LATE
    assert (hold.owed, balance(hold.database, accounts.unclaimed("CNY"))) == (0, 10_000)


def test_a_void_after_a_part_was_taken_leaves_that_part(hold: Hold) -> None:
    hold.capture(2_500)
    done = hold.void()
    assert (done.order.state, done.order.captured_minor, done.order.authorized_minor) == (
        OrderState.SUCCEEDED,
        2_500,
        2_500,
    )
    assert hold.owed == 2_500


def test_a_void_that_is_not_confirmed_is_asked_for_again(hold: Hold) -> None:
    hold.desk.channel.close = Finding(said=Said.UNKNOWN, why="timeout")
    assert hold.void().order.state is OrderState.AUTHORIZED
    with pytest.raises(capturing.CaptureIsUnderWay):
        hold.capture()
    hold.desk.channel.close = Finding(said=Said.CLOSED)
    hold.clock.advance(timedelta(seconds=31))
    hold.tend()
    assert hold.read().order.state is OrderState.CANCELLED


def test_after_seven_days_what_was_not_taken_is_let_go(hold: Hold) -> None:
    hold.clock.advance(timedelta(days=6, hours=23))
    assert hold.tend() == 0
    hold.clock.advance(timedelta(hours=2))
    assert hold.tend() == 1
    assert hold.read().order.state is OrderState.EXPIRED
    assert "payments.PaymentExpired" in _facts(hold.database)


def test_case_33_a_void_and_a_capture_at_once_leave_one_of_them(hold: Hold) -> None:
    def run(verb: str) -> str:
        try:
            done = hold.capture() if verb == "capture" else hold.void()
        except Refusal as refusal:
            return refusal.code
        return done.order.state.value

    with ThreadPoolExecutor(2) as pool:
        said = set(pool.map(run, ("capture", "void")))
    after = hold.read().order
    assert after.state.value in said
    assert (after.state, after.captured_minor, hold.owed) in (
        (OrderState.SUCCEEDED, 10_000, 10_000),
        (OrderState.CANCELLED, 0, 0),
    )


def test_what_nobody_captures_by_hand_is_captured_by_itself(database: Database) -> None:
    open_shop(database)
    desk = ScriptedDesk(capacity=MANUAL)
    desk.channel.paid = _authorizes
    new = an_order()
    database.transact(lambda unit: orders.create(unit, [new]))
    with paying(database, desk) as opened:
        opened.pay(new.id, Pay(attempt=uuid4(), method=Method.CARD), actor="key:shop")
    assert capturing.tend(database, desk) == 1
    with database.reading() as connection:
        assert orders.read(connection, new.id).order.state is OrderState.SUCCEEDED


def test_a_channel_that_cannot_hold_money_is_not_asked_to(database: Database) -> None:
    open_shop(database)
    desk = ScriptedDesk()
    new = an_order(capture=Capture.MANUAL)
    database.transact(lambda unit: orders.create(unit, [new]))
    with paying(database, desk) as opened, pytest.raises(orders.ChannelCannot):
        opened.pay(new.id, Pay(attempt=uuid4(), method=Method.CARD), actor="key:shop")
    assert desk.channel.asked == []


def test_case_88_somebody_elses_authorization_is_not_found(hold: Hold) -> None:
    stranger = uuid4()
    with pytest.raises(orders.PaymentIsUnknown):
        hold.capture(merchant=stranger)
    with pytest.raises(orders.PaymentIsUnknown):
        hold.void(merchant=stranger)


@given(said=st.lists(st.sampled_from(list(Said)), max_size=8))
def test_no_silence_ever_makes_a_capture_declined(said: list[Said]) -> None:
    one = _a_capture()
    for word in said:
        if word in (Said.SUCCEEDED, Said.DECLINED, Said.CLOSED):
            continue
        one = rule(one, Finding(said=word), Source.QUERY, one.sent_at + timedelta(days=9))
    assert one.state.is_under_way


def _a_capture() -> capturing.Capture:
    order = a_stored_order()
    return capturing.Capture(
        id=uuid4(),
        request=uuid4(),
        order=order.id,
        attempt=UUID(int=5),
        no=1,
        kind=capturing.CaptureKind.CAPTURE,
        amount_minor=100,
        currency="CNY",
        is_last=False,
        is_by_clock=False,
        state=CaptureState.SENT,
        version=1,
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
        actor="key:shop",
    )


def _facts(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(sa.text("SELECT kind FROM events.log")).scalars())
