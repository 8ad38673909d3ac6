"""Disputes: what is withheld, who has it in the end, and what goes beyond a payment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.cases import reading as case_reading
from steelyard.kernel import SteppingClock
from steelyard.payments.model.channel import Finding, Said
from steelyard.payments.model.disputes import (
    Dispute,
    DisputeEvidence,
    DisputeState,
    DisputeWord,
    Money,
    reduce,
)
from steelyard.payments.model.examples import AT
from steelyard.payments.model.examples import an_order as a_model_order
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.service import disputes, refunds
from tests.payments.refunding import (
    AVAILABLE,
    CHANNEL,
    DISPUTES,
    FEES,
    PENDING,
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
from tests.payments.till import SHOP, ScriptedDesk, balance, open_shop


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A shop whose books add up after every test."""
    open_shop(database)
    yield database
    holds(database)


@pytest.fixture
def desk() -> ScriptedDesk:
    return ScriptedDesk()


def take(
    database: Database, order: Order, amount_minor: int, *, reference: str = "", **more: object
) -> Dispute:
    new = disputes.NewDispute(
        id=uuid4(),
        order=order.id,
        reference=reference or uuid4().hex[:12],
        amount_minor=amount_minor,
        currency=order.currency,
        reason="fraud",
        **more,  # type: ignore[arg-type]
    )
    return database.transact(lambda unit: disputes.take(unit, new))


def say(database: Database, dispute: Dispute, *words: DisputeWord) -> Dispute:
    for word in words:
        database.transact(partial(disputes.tell, dispute=dispute.id, word=word))
    with database.reading() as connection:
        return disputes.read(connection, dispute.id)


def open_cases(database: Database, dispute: Dispute) -> int:
    with database.reading() as connection:
        page = case_reading.list_cases(
            connection,
            case_reading.CaseFilter(subject=f"dispute:{dispute.id}"),
            now=database.now(),
        )
    return sum(one.state.value != "closed" for one in page.items)


def test_a_dispute_withholds_and_gives_back(shop: Database, desk: ScriptedDesk) -> None:
    sign(shop, SHOP, dispute_fee_minor=1_500, returns_dispute_fee=True)
    order = paid(shop, desk)
    clear(shop, [order])
    dispute = take(shop, order, 4_000)
    assert (dispute.state, dispute.money, dispute.held_minor) == (
        DisputeState.OPENED,
        Money.WITHHELD,
        4_000,
    )
    assert (balance(shop, AVAILABLE), balance(shop, DISPUTES), balance(shop, FEES)) == (
        4_500,
        4_000,
        1_500,
    )
    assert order_of(shop, order.id).disputed_minor == 4_000
    with pytest.raises(refunds.RefundExceedsPayment):
        ask(shop, order, 6_001)
    ask(shop, order, 4_500)
    won = say(shop, dispute, DisputeWord.WON)
    assert (won.money, won.held_minor, won.fee_minor) == (Money.NONE, 0, 0)
    assert (balance(shop, AVAILABLE), balance(shop, DISPUTES), balance(shop, FEES)) == (5_500, 0, 0)
    assert open_cases(shop, dispute) == 0


def test_evidence_is_taken_in_time_and_the_clock_alone_takes_no_money(
    shop: Database, desk: ScriptedDesk, clock: SteppingClock
) -> None:
    order = paid(shop, desk)
    due = clock.now() + timedelta(days=7)
    first, second = take(shop, order, 1_000, due_at=due), take(shop, order, 2_000, due_at=due)
    with pytest.raises(disputes.DisputeEvidenceIsMissing):
        shop.transact(lambda unit: disputes.submit(unit, first.id))
    proof = DisputeEvidence("delivery_note", reference="document:7", content_hash="ab" * 32)
    shop.transact(lambda unit: disputes.add_evidence(unit, first.id, proof))
    with pytest.raises(disputes.DisputeEvidenceIsMalformed):
        shop.transact(lambda unit: disputes.add_evidence(unit, first.id, DisputeEvidence("text")))
    sent = shop.transact(lambda unit: disputes.submit(unit, first.id))
    assert sent.state is DisputeState.SUBMITTED
    clock.advance(timedelta(days=7, seconds=1))
    assert shop.transact(disputes.expire_due) == 1
    assert shop.transact(disputes.expire_due) == 0
    with shop.reading() as connection:
        late = disputes.read(connection, second.id)
        kept = disputes.evidence_of(connection, first.id)
    assert (late.state, late.money) == (DisputeState.EXPIRED, Money.WITHHELD)
    assert [one.evidence for one in kept] == [proof]
    with pytest.raises(disputes.EvidenceIsTooLate):
        shop.transact(lambda unit: disputes.add_evidence(unit, second.id, proof))
    assert balance(shop, DISPUTES) == 3_000
    assert say(shop, second, DisputeWord.LOST).money is Money.TAKEN
    assert balance(shop, CHANNEL) == -8_000


def test_a_dispute_that_was_won_is_turned(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    dispute = take(shop, order, 10_000)
    say(shop, dispute, DisputeWord.WON)
    assert open_cases(shop, dispute) == 0
    again = say(shop, dispute, DisputeWord.PRE_ARBITRATED)
    assert (again.state, again.money) == (DisputeState.PRE_ARBITRATION, Money.WITHHELD)
    assert open_cases(shop, dispute) == 1
    assert balance(shop, PENDING) == 0
    lost = say(shop, dispute, DisputeWord.ARBITRATED, DisputeWord.LOST)
    assert (lost.state, lost.money, balance(shop, CHANNEL)) == (DisputeState.LOST, Money.TAKEN, 0)
    # What was lost is challenged: the channel keeps the money until it says otherwise.
    challenged = say(shop, dispute, DisputeWord.PRE_ARBITRATED)
    assert challenged.money is Money.TAKEN
    back = say(shop, dispute, DisputeWord.WON)
    assert (back.money, balance(shop, PENDING), balance(shop, CHANNEL)) == (
        Money.NONE,
        10_000,
        -10_000,
    )
    with shop.reading() as connection:
        steps = disputes.steps_of(connection, dispute.id)
    assert [one.state.value for one in steps] == [
        "opened",
        "won",
        "pre_arbitration",
        "arbitration",
        "lost",
        "pre_arbitration",
        "won",
    ]


def test_case_30_a_chargeback_after_a_full_refund_is_an_open_loss(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    clear(shop, [order])
    refund = ask(shop, order, 10_000)
    refunds.send(shop, desk, [refund.id])
    dispute = take(shop, order, 10_000)
    assert (dispute.held_minor, dispute.excess_minor) == (0, 10_000)
    assert balance(shop, AVAILABLE) == 0
    say(shop, dispute, DisputeWord.LOST)
    assert (balance(shop, AVAILABLE), balance(shop, CHANNEL)) == (-10_000, 10_000)
    with shop.reading() as connection:
        (loss,) = refunds.losses_of(connection, order.id)
    assert (loss.bearer, loss.amount_minor) == ("merchant", 10_000)
    assert loss.because == f"dispute:{dispute.id}"
    assert order_of(shop, order.id).disputed_minor == 0
    # Won back: the loss is taken back as openly.
    say(shop, dispute, DisputeWord.WON)
    assert (balance(shop, AVAILABLE), balance(shop, CHANNEL)) == (0, 0)
    with shop.reading() as connection:
        assert sum(one.amount_minor for one in refunds.losses_of(connection, order.id)) == 0


def test_case_30_the_platform_bears_what_its_contract_says(
    shop: Database, desk: ScriptedDesk
) -> None:
    sign(shop, SHOP, platform_bears_excess=True)
    order = paid(shop, desk)
    clear(shop, [order], fee_minor=60)
    drain(shop, AVAILABLE, 940)
    refund = ask(shop, order, 9_000)
    refunds.send(shop, desk, [refund.id])
    say(shop, take(shop, order, 4_000), DisputeWord.LOST)
    # 1,000 the payment still had; 3,000 are ours, out of fees that are not swept.
    assert (balance(shop, AVAILABLE), balance(shop, FEES)) == (-1_000, 60 - 3_000)


def test_case_30_a_refund_after_a_chargeback_is_refused(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    dispute = take(shop, order, 7_000)
    shop.transact(lambda unit: disputes.accept(unit, dispute.id))
    with pytest.raises(refunds.RefundExceedsPayment) as refused:
        ask(shop, order, 10_000)
    assert refused.value.facts["refundable_minor"] == 3_000
    rest = ask(shop, order, 3_000)
    refunds.send(shop, desk, [rest.id])
    assert balance(shop, CHANNEL) == 0


def test_case_30_a_late_refund_beside_a_chargeback_is_a_loss_and_seen(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    clear(shop, [order])
    desk.channel.refunded = lambda _: Finding(said=Said.PENDING)
    refund = ask(shop, order, 10_000)
    refunds.send(shop, desk, [refund.id])
    tell(shop, refund.id, Said.DECLINED)
    dispute = take(shop, order, 10_000)
    say(shop, dispute, DisputeWord.LOST)
    assert tell(shop, refund.id, Said.SUCCEEDED).excess_minor == 10_000
    assert refund_of(shop, refund.id).excess_minor == 10_000
    assert (balance(shop, AVAILABLE), balance(shop, CHANNEL)) == (-10_000, 10_000)


def test_a_second_dispute_on_the_same_payment_has_what_is_left(
    shop: Database, desk: ScriptedDesk
) -> None:
    order = paid(shop, desk)
    first, second = take(shop, order, 7_000), take(shop, order, 7_000)
    assert (first.held_minor, second.held_minor, second.excess_minor) == (7_000, 3_000, 4_000)
    assert take(shop, order, 7_000, reference=second.reference).id == second.id
    with pytest.raises(disputes.DisputeReferenceWasUsed):
        take(shop, order, 6_999, reference=second.reference)
    other = paid(shop, desk)
    with pytest.raises(disputes.DisputeReferenceWasUsed):
        take(shop, other, 7_000, reference=second.reference)
    with pytest.raises(disputes.DisputeAmountIsWrong):
        take(shop, other, 10_001)


def test_an_inquiry_withholds_nothing(shop: Database, desk: ScriptedDesk) -> None:
    order = paid(shop, desk)
    inquiry = take(shop, order, 4_000, is_inquiry=True)
    assert (inquiry.state, inquiry.money) == (DisputeState.INQUIRY, Money.NONE)
    assert order_of(shop, order.id).disputed_minor == 0
    claimed = say(shop, inquiry, DisputeWord.OPENED)
    assert claimed.held_minor == 4_000
    assert claimed.home is not None


@given(st.lists(st.sampled_from(DisputeWord), max_size=12), st.integers(0, 10_000))
def test_words_in_any_order_keep_money_and_state_together(
    words: list[DisputeWord], refunded: int
) -> None:
    order = a_model_order(captured_minor=10_000, refunded_minor=refunded)
    dispute = Dispute(
        id=uuid4(),
        order=order.id,
        attempt=uuid4(),
        merchant=order.merchant,
        mode=Mode.LIVE,
        channel="uni",
        reference="D",
        reason="",
        state=DisputeState.INQUIRY,
        version=1,
        amount_minor=6_000,
        currency="CNY",
        opened_at=AT,
    )
    for word in words:
        free = replace(order, disputed_minor=dispute.held_minor)
        ruling = reduce(dispute, free, word)
        after = replace(
            dispute,
            state=ruling.state,
            money=ruling.money,
            held_minor=ruling.held_minor,
            excess_minor=ruling.excess_minor,
        )
        assert ruling.is_new or after == dispute
        held = after.held_minor + after.excess_minor
        assert held == (0 if after.money is Money.NONE else 6_000)
        assert after.held_minor <= order.captured_minor - refunded
        if after.state is DisputeState.WON:
            assert after.money is Money.NONE
        if after.state in (DisputeState.LOST, DisputeState.ACCEPTED):
            assert after.money is Money.TAKEN
        if word is DisputeWord.OVERDUE and ruling.is_new:
            assert after.money is Money.WITHHELD
        dispute = after
