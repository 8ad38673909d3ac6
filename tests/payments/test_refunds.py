"""Refunds: many at once, unknown ones, late ones, and those that no account takes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database
from steelyard.cases import reading as case_reading
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import Decline, Finding, RefundRequest, Said
from steelyard.payments.model.refunds import Home, NewRefund, RefundState
from steelyard.payments.service import refunds
from tests.payments.refunding import (
    AVAILABLE,
    CHANNEL,
    PENDING,
    REFUNDS,
    ask,
    clear,
    drain,
    holds,
    order_of,
    paid,
    refund_of,
    sign,
    tell,
)
from tests.payments.till import (
    EVERYTHING,
    SHOP,
    WALLET,
    ScriptedDesk,
    balance,
    open_shop,
)

PROCESSING = Finding(said=Said.PENDING)
UNKNOWN = Finding(said=Said.UNKNOWN, why="timeout")
NO_CARD = Finding(said=Said.DECLINED, decline=Decline.ACCOUNT_CLOSED, code="user_account_abnormal")


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A shop whose books add up after every test, whatever happened."""
    open_shop(database)
    yield database
    holds(database)


@pytest.fixture
def desk() -> ScriptedDesk:
    return ScriptedDesk()


def cases_about(database: Database, refund: UUID) -> list[str]:
    with database.reading() as connection:
        page = case_reading.list_cases(
            connection,
            case_reading.CaseFilter(subject=f"refund:{refund}"),
            now=database.now(),
        )
    return [one.dedup_key.split("/")[1] for one in page.items if one.state.value != "closed"]


def test_a_refund_is_set_aside_sent_and_done(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    refund = ask(shop, order, 4_000)
    assert (refund.state, refund.home) == (RefundState.RESERVED, Home.PENDING)
    assert balance(shop, PENDING) == 6_000
    assert balance(shop, REFUNDS) == 4_000
    (ruling,) = refunds.send(shop, desk, [refund.id])
    assert ruling.state is RefundState.SUCCEEDED
    assert desk.channel.asked[-1] == ("refund", refund.id.hex)
    assert balance(shop, REFUNDS) == 0
    assert balance(shop, CHANNEL) == -6_000
    after = order_of(shop, order.id)
    assert (after.refunded_minor, after.refund_reserved_minor) == (4_000, 0)
    assert refunds.send(shop, desk, [refund.id]) == []


def test_case_25_parallel_partial_refunds_never_exceed_what_was_captured(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    before = len(desk.channel.asked)

    def one(_: int) -> Refusal | None:
        try:
            made = ask(shop, order, 300)
        except Refusal as refusal:
            return refusal
        refunds.send(shop, desk, [made.id])
        return None

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(64)))
    assert answers.count(None) == 33
    refused = {answer.code for answer in answers if answer is not None}
    assert refused == {"refund_exceeds_payment"}
    after = order_of(shop, order.id)
    assert after.refunded_minor == 9_900
    assert len(desk.channel.asked) - before == 33
    assert balance(shop, CHANNEL) == -100


def test_case_26_an_unknown_refund_is_asked_about_and_never_sent_under_another_number(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: UNKNOWN
    refund = ask(shop, order, 10_000, refund_no="R-1")
    refunds.send(shop, desk, [refund.id])
    assert refund_of(shop, refund.id).state is RefundState.UNKNOWN
    # The merchant asks again: the same refund; another number finds nothing left to refund.
    assert ask(shop, order, 10_000, refund_no="R-1").id == refund.id
    with pytest.raises(refunds.RefundExceedsPayment):
        ask(shop, order, 10_000, refund_no="R-2")
    # Not found within the time in which the channel may not know of it proves nothing.
    clock.advance(timedelta(seconds=10))
    refunds.ask_about(shop, desk, [refund_of(shop, refund.id)])
    assert desk.channel.verbs().count("refund") == 1
    # After it the same number is sent again.
    clock.advance(timedelta(seconds=120))
    desk.channel.refunded = lambda _: PROCESSING
    refunds.ask_about(shop, desk, [refund_of(shop, refund.id)])
    sent = [number for verb, number in desk.channel.asked if verb == "refund"]
    assert sent == [refund.id.hex] * 2
    found = refund_of(shop, refund.id)
    assert (found.state, found.sends) == (RefundState.PROCESSING, 2)
    desk.channel.queried[refund.id.hex] = Finding(said=Said.SUCCEEDED, amount_minor=10_000)
    refunds.ask_about(shop, desk, [found])
    assert refund_of(shop, refund.id).state is RefundState.SUCCEEDED
    assert balance(shop, CHANNEL) == 0


def test_case_27_a_success_that_is_told_twice_counts_once(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: PROCESSING
    refund = ask(shop, order, 4_000)
    refunds.send(shop, desk, [refund.id])
    assert tell(shop, refund.id, Said.SUCCEEDED).is_new
    assert not tell(shop, refund.id, Said.SUCCEEDED).is_new
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: tell(shop, refund.id, Said.SUCCEEDED), range(16)))
    assert not any(one.is_new for one in again)
    assert order_of(shop, order.id).refunded_minor == 4_000
    assert balance(shop, CHANNEL) == -6_000
    with shop.reading() as connection:
        assert len(refunds.evidence_of(connection, refund.id)) == 19


def test_case_28_a_refund_that_fails_after_its_money_was_released_moves_nothing_twice(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    clear(shop, [order])
    desk.channel.refunded = lambda _: PROCESSING
    refund = ask(shop, order, 4_000)
    refunds.send(shop, desk, [refund.id])
    tell(shop, refund.id, Said.DECLINED)
    assert balance(shop, AVAILABLE) == 10_000
    drain(shop, AVAILABLE, 10_000)
    assert not tell(shop, refund.id, Said.DECLINED).is_new
    assert not tell(shop, refund.id, Said.CLOSED).is_new
    assert balance(shop, AVAILABLE) == 0
    # And it went through after all: booked anew, the merchant owes it; nobody else refunded.
    ruling = tell(shop, refund.id, Said.SUCCEEDED)
    assert (ruling.state, ruling.note) == (RefundState.SUCCEEDED, "success_after_failure")
    assert balance(shop, AVAILABLE) == -4_000
    assert order_of(shop, order.id).refunded_minor == 4_000
    assert cases_about(shop, refund.id) == []


def test_case_28_a_late_success_beside_a_second_refund_is_flagged_and_its_loss_is_open(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    clear(shop, [order])
    desk.channel.refunded = lambda _: Finding(said=Said.DECLINED, decline=Decline.OTHER)
    first = ask(shop, order, 7_000)
    refunds.send(shop, desk, [first.id])
    desk.channel.refunded = lambda _: Finding(said=Said.SUCCEEDED)
    second = ask(shop, order, 7_000)
    refunds.send(shop, desk, [second.id])
    ruling = tell(shop, first.id, Said.SUCCEEDED, Source.STATEMENT)
    assert ruling.excess_minor == 4_000
    assert cases_about(shop, first.id) == ["look_twice"]
    assert order_of(shop, order.id).refunded_minor == 10_000
    assert balance(shop, AVAILABLE) == -4_000
    assert balance(shop, CHANNEL) == 4_000
    with shop.reading() as connection:
        (loss,) = refunds.losses_of(connection, order.id)
    assert (loss.bearer, loss.amount_minor) == ("merchant", 4_000)


def test_case_29_a_refund_to_a_closed_card_waits_for_another_account(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: NO_CARD
    refund = ask(shop, order, 4_000)
    refunds.send(shop, desk, [refund.id])
    assert refund_of(shop, refund.id).state is RefundState.ABNORMAL
    assert cases_about(shop, refund.id) == ["find_account"]
    # It stays set aside: neither the merchant nor another refund has it.
    assert balance(shop, REFUNDS) == 4_000
    with pytest.raises(refunds.RefundExceedsPayment):
        ask(shop, order, 6_001)
    with pytest.raises(refunds.RefundStateForbids):
        shop.transact(lambda unit: refunds.withdraw(unit, refund.id))
    approve_reroute(shop, refund.id)
    assert refund_of(shop, refund.id).state is RefundState.PROCESSING
    ruling = tell(shop, refund.id, Said.SUCCEEDED, Source.OPERATOR, reference="bank:77")
    assert ruling.state is RefundState.SUCCEEDED
    assert cases_about(shop, refund.id) == []
    # Paid from the reserve, so the channel still owes all that it took.
    assert balance(shop, CHANNEL) == -10_000


def approve_reroute(database: Database, refund: UUID) -> None:
    from steelyard.base.http import Caller
    from steelyard.parties import approvals

    to = "payer_account:ann"
    asked = database.transact(
        lambda unit: refunds.ask_reroute(unit, refund, destination=to), actor="staff:one"
    )
    second = Caller("staff:two", frozenset({"payments.approve"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=second, shown_hash=asked.shown_hash),
        actor="staff:two",
    )
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        database.transact(
            lambda unit: refunds.reroute(
                unit, refund, destination="payer_account:bob", approval=asked.id
            )
        )
    database.transact(
        lambda unit: refunds.reroute(unit, refund, destination=to, approval=asked.id),
        actor="staff:one",
    )


def test_a_refund_that_the_bank_sends_back_is_set_aside_again(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    refund = ask(shop, order, 4_000)
    refunds.send(shop, desk, [refund.id])
    assert not tell(shop, refund.id, Said.CLOSED).is_new
    tell(shop, refund.id, Said.DECLINED, code="returned")
    assert refund_of(shop, refund.id).state is RefundState.RETURNED
    assert cases_about(shop, refund.id) == ["find_account"]
    after = order_of(shop, order.id)
    assert (after.refunded_minor, after.refund_reserved_minor) == (0, 4_000)
    assert balance(shop, CHANNEL) == -10_000
    shop.transact(lambda unit: refunds.give_up(unit, refund.id))
    assert refund_of(shop, refund.id).state is RefundState.CLOSED
    assert balance(shop, PENDING) == 10_000
    assert order_of(shop, order.id).refundable_minor == 10_000


@pytest.mark.parametrize("returns", ["proportional", "full", "none"])
def test_case_31_partial_refunds_give_the_fee_back_to_the_cent(
    shop: Database, desk: ScriptedDesk, returns: str
) -> None:
    shop.transact(
        lambda unit: unit.execute(
            "INSERT INTO payments.fee_plan (id, merchant, version, effective_on, timezone, terms,"
            " returns, rounding, state, made_by, made_at, cause, decided_at) VALUES (:id, :shop, 1,"
            " '2026-01-01', 'Asia/Shanghai', CAST(:terms AS jsonb), :returns, 'half_up',"
            " 'approved', 'staff:one', :at, 'rule.test@1', :at)",
            id=uuid4(),
            shop=SHOP,
            terms='[{"rate": "0.0061"}]',
            returns=returns,
            at=unit.now,
        )
    )
    order = paid(shop, desk, amount_minor=9_999)
    given = []
    for amount in (3_333, 1, 3_333, 3_332):
        refund = ask(shop, order, amount)
        refunds.send(shop, desk, [refund.id])
        given.append(refund_of(shop, refund.id).fee_returned_minor)
    expected = {"proportional": [20, 0, 20, 21], "full": [0, 0, 0, 61], "none": [0, 0, 0, 0]}
    assert given == expected[returns]


def test_case_32_a_refund_with_an_empty_balance_is_refused_advanced_or_waits(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    clear(shop, [order])
    drain(shop, AVAILABLE, 9_500)
    with pytest.raises(refunds.MerchantBalanceIsShort) as short:
        ask(shop, order, 501)
    assert short.value.facts["balance_minor"] == 500
    waiting = ask(shop, order, 501, waits=True)
    assert (waiting.state, order_of(shop, order.id).refundable_minor) == (
        RefundState.CREATED,
        10_000,
    )
    with pytest.raises(refunds.MerchantBalanceIsShort):
        shop.transact(lambda unit: refunds.take_up(unit, waiting.id))
    sign(shop, SHOP, refund_advance_minor=1)
    taken = shop.transact(lambda unit: refunds.take_up(unit, waiting.id))
    assert taken.state is RefundState.RESERVED
    assert balance(shop, AVAILABLE) == -1
    refunds.send(shop, desk, [waiting.id])
    assert refund_of(shop, waiting.id).state is RefundState.SUCCEEDED


def test_case_32_refunds_in_the_same_moment_never_go_below_what_is_advanced(
    shop: Database, desk: ScriptedDesk
) -> None:
    made = [paid(shop, desk) for _ in range(4)]
    clear(shop, made)
    drain(shop, AVAILABLE, 38_000)

    def one(order: object) -> str:
        try:
            ask(shop, order, 1_500)  # type: ignore[arg-type]
        except refunds.MerchantBalanceIsShort as refusal:
            return refusal.code
        return "reserved"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(one, made))
    assert answers == ["merchant_balance_is_short"] * 3 + ["reserved"]
    assert balance(shop, AVAILABLE) == 500


def test_case_34_a_channel_takes_refunds_for_so_many_days(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    order = paid(shop, desk)
    desk.capacity = replace(EVERYTHING, refund_days=365)
    clock.advance(timedelta(days=365))
    assert ask(shop, order, 1, desk=desk).state is RefundState.RESERVED
    clock.advance(timedelta(days=1))
    with pytest.raises(refunds.RefundIsTooLate) as late:
        ask(shop, order, 1, desk=desk)
    assert late.value.facts["days"] == 365


def test_case_35_what_a_coupon_paid_goes_back_to_the_coupon(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk, details={"coupon_minor": "3333"})

    def answers(request: RefundRequest) -> Finding:
        # The channel states what the payer gets in money, without the coupon's part.
        share = refund_of(shop, UUID(request.number)).coupon_minor
        return Finding(said=Said.SUCCEEDED, amount_minor=request.amount_minor - share)

    desk.channel.refunded = answers
    coupons = []
    for amount in (3_333, 3_333, 3_334):
        refund = ask(shop, order, amount)
        refunds.send(shop, desk, [refund.id])
        found = refund_of(shop, refund.id)
        assert found.state is RefundState.SUCCEEDED
        coupons.append(found.coupon_minor)
    assert sum(coupons) == 3_333
    assert max(coupons) - min(coupons) <= 2


def test_a_whole_or_nothing_channel_takes_no_part(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    desk.capacity = replace(EVERYTHING, partial_refund=False)
    with pytest.raises(refunds.RefundIsNotWhole):
        ask(shop, order, 9_999, desk=desk)
    assert ask(shop, order, desk=desk).amount_minor == 10_000


def test_a_payment_from_our_own_book_goes_back_at_once(shop: Database, desk: ScriptedDesk) -> None:
    before = balance(shop, WALLET)
    order = paid(shop, desk, account=WALLET)
    refund = ask(shop, order, 4_000)
    assert refund.state is RefundState.SUCCEEDED
    assert balance(shop, WALLET) == before - 6_000
    assert refund_of(shop, refund.id) == refund


def test_another_amount_than_was_asked_is_not_believed(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: PROCESSING
    refund = ask(shop, order, 4_000)
    refunds.send(shop, desk, [refund.id])
    for wrong in ({"amount_minor": 3_999}, {"amount_minor": 4_000, "currency": "HKD"}):
        ruling = tell(shop, refund.id, Said.SUCCEEDED, **wrong)
        assert (ruling.is_new, ruling.note) == (False, "amount_or_currency_differs")
    assert cases_about(shop, refund.id) == ["alarm_integrity"]
    assert refund_of(shop, refund.id).state is RefundState.PROCESSING


def test_a_number_is_never_used_twice(shop: Database, desk: ScriptedDesk) -> None:
    order, other = paid(shop, desk), paid(shop, desk)
    ask(shop, order, 4_000, refund_no="R-1")
    for target, amount in ((order, 3_999), (other, 4_000)):
        with pytest.raises(refunds.RefundNoWasUsed):
            ask(shop, target, amount, refund_no="R-1")


def test_a_batch_answers_for_each(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    news = [
        NewRefund(id=uuid4(), order=order.id, refund_no=f"R-{n}", amount_minor=4_000)
        for n in range(3)
    ]
    news.append(NewRefund(id=uuid4(), order=uuid4(), refund_no="R-9"))
    answers = shop.transact(lambda unit: refunds.ask(unit, news))
    codes = [one.code if isinstance(one, Refusal) else one.state.value for one in answers]
    assert codes == ["reserved", "reserved", "refund_exceeds_payment", "payment_is_unknown"]
    assert balance(shop, REFUNDS) == 8_000


def test_a_connection_that_was_refused_leaves_the_refund_to_be_sent_again(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: Finding(said=Said.NOT_SENT, why="refused")
    refund = ask(shop, order, 4_000)
    refunds.send(shop, desk, [refund.id])
    found = refund_of(shop, refund.id)
    assert (found.state, found.sends, found.sent_at) == (RefundState.RESERVED, 0, None)
    desk.channel.refunded = lambda _: Finding(said=Said.SUCCEEDED)
    refunds.send(shop, desk, [refund.id])
    assert refund_of(shop, refund.id).state is RefundState.SUCCEEDED


def test_a_preview_writes_nothing(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    sign(shop, SHOP, refund_alone_minor=5_000)
    new = NewRefund(id=uuid4(), order=order.id, refund_no="R-1", amount_minor=4_000)
    effect = shop.transact(lambda unit: refunds.preview(unit, new))
    assert effect.refund.state is RefundState.RESERVED
    assert (effect.left_minor, effect.balance_minor, effect.fee_back_minor) == (6_000, 6_000, 24)
    large = replace(new, amount_minor=5_001)
    assert shop.transact(lambda unit: refunds.preview(unit, large)).refund.state is (
        RefundState.APPROVAL
    )
    with shop.reading() as connection:
        assert refunds.of_order(connection, order.id) == []
    assert order_of(shop, order.id) == order
