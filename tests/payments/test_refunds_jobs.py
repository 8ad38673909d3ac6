"""What is done about refunds by itself: unclaimed money, crashes, long waits, splits."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.http import Caller
from steelyard.cases import reading as case_reading
from steelyard.kernel import SteppingClock
from steelyard.parties import approvals
from steelyard.payments.model.attempts import AttemptState, Source
from steelyard.payments.model.channel import Finding, Method, RefundRequest, Said
from steelyard.payments.model.orders import Order, OrderState
from steelyard.payments.model.refunds import RefundState
from steelyard.payments.service import evidence, orders, refunds, refunds_upkeep
from steelyard.payments.service.paying import Pay
from tests.payments.refunding import (
    AVAILABLE,
    CHANNEL,
    PENDING,
    THEIRS,
    UNCLAIMED,
    ask,
    clear,
    drain,
    holds,
    order_of,
    paid,
    refund_of,
    sign,
)
from tests.payments.till import (
    OTHER_SHOP,
    SHOP,
    ScriptedDesk,
    an_order,
    balance,
    open_shop,
    paying,
)

ACTOR = "system:test"
MONEY = Finding(said=Said.SUCCEEDED, amount_minor=10_000, currency="CNY")


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A shop whose books add up after every test."""
    open_shop(database)
    yield database
    holds(database)


@pytest.fixture
def desk() -> ScriptedDesk:
    return ScriptedDesk()


def the_refund(database: Database, order: Order) -> refunds.Refund:
    with database.reading() as connection:
        (refund,) = refunds.of_order(connection, order.id)
    return refund


def pay_by(database: Database, desk: ScriptedDesk, order: Order) -> UUID:
    attempt = uuid4()
    with paying(database, desk) as counter:
        counter.pay(order.id, Pay(attempt=attempt, method=Method.WALLET), actor=ACTOR)
    return attempt


def tell_attempt(database: Database, attempt: UUID, finding: Finding) -> AttemptState:
    report = evidence.Report(attempt, Source.NOTICE, finding)
    (ruling,) = database.transact(lambda unit: evidence.report(unit, [report]))
    return ruling.attempt


def test_case_02_the_money_of_a_second_attempt_goes_back_by_itself_and_once(
    shop: Database, desk: ScriptedDesk
) -> None:
    desk.channel.paid = lambda _: Finding(said=Said.DECLINED)
    (order,) = shop.transact(lambda unit: orders.create(unit, [an_order()]))
    assert isinstance(order, Order)
    first = pay_by(shop, desk, order)
    desk.channel.paid = lambda _: MONEY
    pay_by(shop, desk, order)
    # The first one, declined by its answer, went through after all.
    assert tell_attempt(shop, first, MONEY) is AttemptState.DUPLICATE
    assert balance(shop, UNCLAIMED) == 10_000

    def run(_: int) -> int:
        return refunds_upkeep.give_back_unclaimed(shop, actor=ACTOR)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 1
    refund = the_refund(shop, order)
    assert (refund.attempt, refund.amount_minor, refund.is_automatic) == (first, 10_000, True)
    refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    assert the_refund(shop, order).state is RefundState.SUCCEEDED
    assert (balance(shop, UNCLAIMED), balance(shop, PENDING)) == (0, 10_000)
    assert balance(shop, CHANNEL) == -10_000
    # The order stays paid and refundable: nothing of it was refunded.
    after = order_of(shop, order.id)
    assert (after.state, after.refundable_minor) == (OrderState.SUCCEEDED, 10_000)


def test_case_01_late_money_that_cannot_go_back_is_before_people(
    shop: Database, desk: ScriptedDesk
) -> None:
    desk.channel.paid = lambda _: Finding(said=Said.DECLINED)
    (order,) = shop.transact(lambda unit: orders.create(unit, [an_order(most_attempts=1)]))
    assert isinstance(order, Order)
    attempt = pay_by(shop, desk, order)
    assert tell_attempt(shop, attempt, MONEY) is AttemptState.LATE
    refunds_upkeep.give_back_unclaimed(shop, actor=ACTOR)
    desk.channel.refunded = lambda _: Finding(said=Said.DECLINED)
    refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    refund = the_refund(shop, order)
    assert refund.state is RefundState.FAILED
    assert balance(shop, UNCLAIMED) == 10_000
    assert cases_about(shop, refund.id) == ["still_owed"]
    assert refunds_upkeep.give_back_unclaimed(shop, actor=ACTOR) == 0


def cases_about(database: Database, refund: UUID) -> list[str]:
    with database.reading() as connection:
        page = case_reading.list_cases(
            connection,
            case_reading.CaseFilter(subject=f"refund:{refund}"),
            now=database.now(),
        )
    return [one.dedup_key.split("/")[1] for one in page.items if one.state.value != "closed"]


class CrashError(Exception):
    """The process dies here."""


def test_case_14_a_crash_around_the_call_loses_and_doubles_nothing(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    order = paid(shop, desk)
    done: set[str] = set()

    def dies_before(request: RefundRequest) -> Finding:
        raise CrashError

    def dies_after(request: RefundRequest) -> Finding:
        done.add(request.number)
        desk.channel.queried[request.number] = Finding(
            said=Said.SUCCEEDED, amount_minor=request.amount_minor
        )
        raise CrashError

    for dies, amount in ((dies_before, 1_000), (dies_after, 2_000)):
        desk.channel.refunded = dies
        refund = ask(shop, order, amount)
        with pytest.raises(CrashError):
            refunds.send(shop, desk, [refund.id])
        assert refund_of(shop, refund.id).state is RefundState.SENT

    def answers(request: RefundRequest) -> Finding:
        done.add(request.number)
        return Finding(said=Said.SUCCEEDED)

    desk.channel.refunded = answers
    for _ in range(4):
        clock.advance(timedelta(seconds=45))
        refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    with shop.reading() as connection:
        found = refunds.of_order(connection, order.id)
    assert [one.state for one in found] == [RefundState.SUCCEEDED] * 2
    assert done == {one.id.hex for one in found}
    assert order_of(shop, order.id).refunded_minor == 3_000


def test_a_refund_that_nobody_answers_is_before_people_and_never_failed_by_the_clock(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: Finding(said=Said.PENDING)
    desk.channel.rest = Finding(said=Said.UNKNOWN, why="timeout")
    refund = ask(shop, order, 1_000, desk=desk)
    refunds.send(shop, desk, [refund.id])
    clock.advance(timedelta(hours=71))
    refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    assert shop.transact(refunds_upkeep.watch_overdue) == 0
    clock.advance(timedelta(hours=1))
    assert shop.transact(refunds_upkeep.watch_overdue) == 1
    assert shop.transact(refunds_upkeep.watch_overdue) == 0
    assert cases_about(shop, refund.id) == ["overdue"]
    clock.advance(timedelta(days=400))
    refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    assert refund_of(shop, refund.id).state is RefundState.PROCESSING
    desk.channel.queried[refund.id.hex] = Finding(said=Said.SUCCEEDED)
    refunds.ask_about(shop, desk, [refund_of(shop, refund.id)])
    assert refund_of(shop, refund.id).state is RefundState.SUCCEEDED
    assert cases_about(shop, refund.id) == []


def test_what_waited_goes_on_by_itself(shop: Database, desk: ScriptedDesk) -> None:
    sign(shop, SHOP, refund_alone_minor=100)
    order, later = paid(shop, desk), paid(shop, desk)
    clear(shop, [order, later])
    refused, approved = ask(shop, order, 200), ask(shop, order, 300)
    drain(shop, AVAILABLE, 19_950)
    waiting = ask(shop, later, 60, waits=True)
    assert refunds_upkeep.take_up_waiting(shop, desk, actor=ACTOR) == 0
    for refund, verb in ((refused, "reject"), (approved, "approve")):
        _decide(shop, refund.approval, verb)
    assert refunds_upkeep.take_up_waiting(shop, desk, actor=ACTOR) == 1
    assert refund_of(shop, refused.id).state is RefundState.CLOSED
    # Approved, and the balance is short: it waits on.
    assert refund_of(shop, approved.id).state is RefundState.APPROVAL
    clear(shop, [paid(shop, desk)])
    assert refunds_upkeep.take_up_waiting(shop, desk, actor=ACTOR) == 2
    states = {refund_of(shop, one.id).state for one in (approved, waiting)}
    assert states == {RefundState.RESERVED}


def _decide(database: Database, approval: UUID | None, verb: str) -> None:
    assert approval is not None
    second = Caller("staff:two", frozenset({"payments.approve"}))
    with database.reading() as connection:
        shown = approvals.read_approval(connection, approval).shown_hash

    def work(unit: UnitOfWork) -> approvals.Approval:
        if verb == "approve":
            return approvals.approve(unit, approval, by=second, shown_hash=shown)
        return approvals.reject(unit, approval, by=second, shown_hash=shown, reason="no")

    database.transact(work, actor=second.actor)


def test_splits_of_orders_are_shared_by_themselves(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk, splits={OTHER_SHOP.hex: 3_000})
    assert refunds_upkeep.share_waiting(shop, actor=ACTOR) == 1
    assert refunds_upkeep.share_waiting(shop, actor=ACTOR) == 0
    clear(shop, [order])
    assert refunds_upkeep.share_waiting(shop, actor=ACTOR) == 1
    assert refunds_upkeep.share_waiting(shop, actor=ACTOR) == 0
    assert balance(shop, THEIRS) == 3_000


def test_case_90_a_clock_that_goes_back_loses_no_refund(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    order = paid(shop, desk)
    desk.channel.refunded = lambda _: Finding(said=Said.UNKNOWN)
    refund = ask(shop, order, 1_000)
    refunds.send(shop, desk, [refund.id])
    clock.advance(-timedelta(hours=1))
    refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    assert refund_of(shop, refund.id).state is RefundState.UNKNOWN
    clock.advance(timedelta(hours=1, minutes=2))
    refunds_upkeep.send_waiting(shop, desk, actor=ACTOR)
    assert desk.channel.verbs().count("refund") == 2
    with shop.reading() as connection:
        sent = connection.execute(
            sa.text("SELECT count(DISTINCT about) FROM payments.evidence WHERE of_refund")
        ).scalar_one()
    assert sent == 1
