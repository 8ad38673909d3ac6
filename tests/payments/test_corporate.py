"""Corporate e-banking: one makes, another checks, each within his limits; nothing leaves before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from steelyard.base import Database, Outcome, Verdict
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import corporate, orders
from steelyard.payments.model.channel import Finding, PayRequest, Said
from tests.payments.counter import WANTS_PROOF, Counter, open_counter

MILL = UUID("00000000-0000-7000-8000-00000000c0de")
OTHER = UUID("00000000-0000-7000-8000-00000000beef")
MAKER, CHECKER, THIRD = "key:mill-ann", "key:mill-bob", "key:mill-cat"
WALL = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def counter(database: Database) -> Iterator[Counter]:
    with open_counter(database, SteppingClock(WALL)) as opened:
        let(opened, MAKER, may_make=True)
        let(opened, CHECKER, may_check=True)
        yield opened


def let(
    counter: Counter,
    person: str,
    *,
    may_make: bool = False,
    may_check: bool = False,
    single: int = 50_000,
    day: int = 80_000,
) -> None:
    one = corporate.Person(
        company=MILL,
        person=person,
        may_make=may_make,
        may_check=may_check,
        currency="CNY",
        single_minor=single,
        day_minor=day,
    )
    counter.database.transact(lambda unit: corporate.set_person(unit, one), actor="staff:1")


def for_mill(counter: Counter, amount_minor: int = 10_000) -> orders.Order:
    return counter.order(payer=orders.Payer(customer=MILL), amount_minor=amount_minor)


def submit(counter: Counter, order: orders.Order, who: str = MAKER) -> UUID:
    done = corporate.submit(counter.till, order.id, MILL, attempt=uuid4(), actor=who)
    assert done.order.state is orders.OrderState.REQUIRES_ACTION
    assert dict(done.attempt.action or {}) == {"kind": "corporate"}
    return done.attempt.id


def waiting(counter: Counter) -> list[UUID]:
    with counter.database.reading() as connection:
        return [s.attempt for s in corporate.list_steps(connection, MILL, waiting=True)]


def test_one_makes_another_checks_and_then_it_is_sent(counter: Counter) -> None:
    order = for_mill(counter)
    attempt = submit(counter, order)
    assert (counter.desk.channel.asked, waiting(counter)) == ([], [attempt])
    done = corporate.approve(counter.till, attempt, MILL, actor=CHECKER)
    assert done.order.state is orders.OrderState.SUCCEEDED
    assert (counter.desk.channel.verbs(), waiting(counter)) == (["pay"], [])
    with pytest.raises(corporate.CorporatePaymentIsDecided):
        corporate.approve(counter.till, attempt, MILL, actor=CHECKER)
    assert counter.desk.channel.verbs() == ["pay"]


def test_nobody_checks_what_he_made(counter: Counter) -> None:
    let(counter, MAKER, may_make=True, may_check=True)
    attempt = submit(counter, for_mill(counter))
    with pytest.raises(corporate.CheckerIsMaker):
        corporate.approve(counter.till, attempt, MILL, actor=MAKER)
    with pytest.raises(corporate.CheckerIsMaker):
        corporate.reject(counter.till, attempt, MILL, reason="no", actor=MAKER)
    assert counter.desk.channel.asked == []


def test_who_has_no_part_has_none(counter: Counter) -> None:
    order = for_mill(counter)
    for who in (CHECKER, THIRD):
        with pytest.raises(corporate.PersonMayNot):
            corporate.submit(counter.till, order.id, MILL, attempt=uuid4(), actor=who)
    let(counter, THIRD, may_make=True)
    attempt = submit(counter, order)
    with pytest.raises(corporate.PersonMayNot):
        corporate.approve(counter.till, attempt, MILL, actor=THIRD)
    with pytest.raises(corporate.PersonMayNot):
        corporate.reject(counter.till, attempt, MILL, reason="no", actor=THIRD)


def test_limits_of_one_payment_and_of_a_day(counter: Counter, clock: SteppingClock) -> None:
    with pytest.raises(corporate.PersonLimitIsReached) as caught:
        submit(counter, for_mill(counter, 50_001))
    assert caught.value.facts["span"] == "single"
    submit(counter, for_mill(counter, 50_000))
    with pytest.raises(corporate.PersonLimitIsReached) as caught:
        submit(counter, for_mill(counter, 30_001))
    assert (caught.value.facts["span"], caught.value.facts["left_minor"]) == ("day", 30_000)
    clock.advance(timedelta(days=1))
    submit(counter, for_mill(counter, 50_000))


def test_a_checker_has_limits_too(counter: Counter) -> None:
    let(counter, CHECKER, may_check=True, single=9_999)
    attempt = submit(counter, for_mill(counter))
    with pytest.raises(corporate.PersonLimitIsReached):
        corporate.approve(counter.till, attempt, MILL, actor=CHECKER)
    let(counter, THIRD, may_check=True)
    done = corporate.approve(counter.till, attempt, MILL, actor=THIRD)
    assert done.order.state is orders.OrderState.SUCCEEDED


def test_many_payments_at_once_do_not_exceed_a_day(counter: Counter) -> None:
    made = [for_mill(counter, 30_000) for _ in range(6)]

    def run(order: orders.Order) -> str:
        try:
            submit(counter, order)
        except Refusal as refusal:
            return refusal.code
        return "submitted"

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(run, made))
    assert sorted(set(said)) == ["person_limit_is_reached", "submitted"]
    assert said.count("submitted") == 2
    states = {counter.read(order).order.state for order in made}
    assert states <= {
        orders.OrderState.REQUIRES_ACTION,
        orders.OrderState.OPEN,
        orders.OrderState.CREATED,
    }


def test_what_is_rejected_is_declined_and_its_limit_free_again(counter: Counter) -> None:
    order = for_mill(counter, 50_000)
    attempt = submit(counter, order)
    done = corporate.reject(counter.till, attempt, MILL, reason="wrong order", actor=CHECKER)
    assert done.order.state is orders.OrderState.OPEN
    assert (done.attempt.state, done.attempt.code) == (
        orders.AttemptState.DECLINED,
        "rejected_by_checker",
    )
    submit(counter, order)
    assert counter.desk.channel.asked == []


def test_two_checkers_at_once_send_it_once(counter: Counter) -> None:
    let(counter, THIRD, may_check=True)
    attempt = submit(counter, for_mill(counter))

    def run(who: str) -> str:
        try:
            return corporate.approve(counter.till, attempt, MILL, actor=who).order.state.value
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(run, (CHECKER, THIRD)))
    assert said == ["corporate_payment_is_decided", "succeeded"]
    assert counter.desk.channel.verbs() == ["pay"]


def test_an_order_that_expired_is_not_approved(counter: Counter, clock: SteppingClock) -> None:
    order = for_mill(counter)
    attempt = submit(counter, order)
    clock.advance(timedelta(minutes=31))
    counter.database.transact(orders.end_due)
    assert counter.read(order).order.state is orders.OrderState.EXPIRED
    assert waiting(counter) == []
    with pytest.raises(corporate.CorporatePaymentIsDecided):
        corporate.approve(counter.till, attempt, MILL, actor=CHECKER)
    assert counter.desk.channel.asked == []


def test_two_people_are_a_proof_and_a_gate_may_still_decline(counter: Counter) -> None:
    counter.gate.first = WANTS_PROOF
    done = corporate.approve(counter.till, submit(counter, for_mill(counter)), MILL, actor=CHECKER)
    assert done.order.state is orders.OrderState.SUCCEEDED
    counter.gate.proved = Verdict(Outcome.DECLINE, "house@2", ("sanctioned",))
    done = corporate.approve(counter.till, submit(counter, for_mill(counter)), MILL, actor=CHECKER)
    assert done.attempt.code == "sanctioned"
    assert counter.desk.channel.verbs() == ["pay"]


def test_a_lost_answer_is_unknown_and_no_second_payment_is_made(counter: Counter) -> None:
    def lost(request: PayRequest) -> Finding:
        return Finding(said=Said.UNKNOWN, why="timeout")

    counter.desk.channel.paid = lost
    order = for_mill(counter)
    done = corporate.approve(counter.till, submit(counter, order), MILL, actor=CHECKER)
    assert done.attempt.state is orders.AttemptState.UNKNOWN
    with pytest.raises(orders.PaymentIsUnderWay):
        submit(counter, order)


def test_case_88_another_companys_payment_is_not_found(counter: Counter) -> None:
    order = for_mill(counter)
    attempt = submit(counter, order)
    with pytest.raises(corporate.CorporatePaymentIsUnknown):
        corporate.approve(counter.till, attempt, OTHER, actor=CHECKER)
    with pytest.raises(orders.PaymentIsUnknown):
        corporate.submit(counter.till, order.id, OTHER, attempt=uuid4(), actor=MAKER)
    nobodys = counter.order(payer=orders.Payer())
    with pytest.raises(orders.PaymentIsUnknown):
        corporate.submit(counter.till, nobodys.id, MILL, attempt=uuid4(), actor=MAKER)
    done = corporate.submit(
        counter.till, nobodys.id, MILL, attempt=uuid4(), has_page=True, actor=MAKER
    )
    assert done.order.payer.customer == MILL


def test_nobody_sets_his_own_limit(counter: Counter) -> None:
    one = corporate.Person(
        company=MILL,
        person=MAKER,
        may_make=True,
        may_check=True,
        currency="CNY",
        single_minor=10**12,
        day_minor=10**12,
    )
    with pytest.raises(corporate.PersonSetsHimself):
        counter.database.transact(lambda unit: corporate.set_person(unit, one), actor=MAKER)
