"""The reducer of refunds under findings in any order: the cap holds, what is set aside adds up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import Decline, Finding, Said
from steelyard.payments.model.examples import AT, an_order
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refunds import (
    Refund,
    RefundFollow,
    RefundMove,
    RefundRuling,
    RefundState,
    reduce,
)

CAPTURED = 1_000
DECLINES = (None, Decline.OTHER, Decline.ACCOUNT_CLOSED)
DEAD = frozenset({RefundState.FAILED, RefundState.CLOSED})


def a_refund(number: int, amount: int, state: RefundState = RefundState.RESERVED) -> Refund:
    return Refund(
        id=UUID(int=number),
        order=UUID(int=1),
        attempt=UUID(int=3),
        merchant=UUID(int=2),
        mode=Mode.LIVE,
        refund_no=f"R-{number}",
        amount_minor=amount,
        currency="CNY",
        channel="uni",
        state=state,
        version=1,
        asked_at=AT,
        asked_by="key:k",
    )


class Refunding(RuleBasedStateMachine):
    """Refunds of one payment, asked for, sent, and told of by a channel that says anything."""

    def __init__(self) -> None:
        super().__init__()
        self.order = an_order(captured_minor=CAPTURED, amount_minor=CAPTURED)
        self.refunds: list[Refund] = []
        self.at = AT
        self.aside = 0
        """In the account of refunds."""
        self.out = 0
        """Paid by the channel, net of what came back."""
        self.lost = 0

    def _move(self, refund: Refund, move: RefundMove, excess: int = 0) -> None:
        """Do to the order what the service does."""
        amount, counted = refund.amount_minor, refund.amount_minor - excess
        order = self.order
        reserved, refunded = order.refund_reserved_minor, order.refunded_minor
        if move is RefundMove.RESERVE:
            self.aside += amount
            reserved += counted
            self.lost += excess
        elif move is RefundMove.RELEASE:
            self.aside -= amount
            reserved -= counted
            self.lost -= excess
        elif move is RefundMove.PAY:
            self.aside -= amount
            self.out += amount
            reserved, refunded = reserved - counted, refunded + counted
        else:
            self.aside += amount
            self.out -= amount
            reserved, refunded = reserved + counted, refunded - counted
        self.order = replace(order, refund_reserved_minor=reserved, refunded_minor=refunded)

    @rule(amount=st.integers(1, CAPTURED))
    def ask(self, amount: int) -> None:
        if amount > self.order.refundable_minor or len(self.refunds) >= 8:
            return
        made = a_refund(len(self.refunds) + 10, amount)
        self._move(made, RefundMove.RESERVE)
        self.refunds.append(made)

    @precondition(lambda self: self.refunds)
    @rule(which=st.integers(0, 7))
    def send(self, which: int) -> None:
        at = which % len(self.refunds)
        one = self.refunds[at]
        if one.state is RefundState.RESERVED:
            self.refunds[at] = replace(
                one, state=RefundState.SENT, sends=one.sends + 1, sent_at=self.at
            )

    @rule(seconds=st.sampled_from([1, 61, 100_000]))
    def wait(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)

    @precondition(lambda self: self.refunds)
    @rule(
        which=st.integers(0, 7),
        said=st.sampled_from(Said),
        source=st.sampled_from(Source),
        decline=st.sampled_from(DECLINES),
        more=st.sampled_from([0, 0, 0, 1]),
    )
    def tell(
        self, which: int, said: Said, source: Source, decline: Decline | None, more: int
    ) -> None:
        at = which % len(self.refunds)
        before = self.refunds[at]
        finding = Finding(said=said, decline=decline, amount_minor=before.amount_minor + more)
        ruling = reduce(before, self.order, finding, source, self.at)
        self._check(before, finding, ruling, source)
        after = replace(before, state=ruling.state)
        if RefundMove.RESERVE in ruling.moves:
            after = replace(after, excess_minor=ruling.excess_minor)
        for move in ruling.moves:
            self._move(after, move, after.excess_minor)
        self.refunds[at] = after
        again = reduce(after, self.order, finding, source, self.at)
        assert not again.is_new
        assert not again.moves

    def _check(
        self, before: Refund, finding: Finding, ruling: RefundRuling, source: Source
    ) -> None:
        if finding.said in (Said.UNKNOWN, Said.PENDING, Said.ACTION, Said.AUTHORIZED):
            assert ruling.state not in DEAD or before.state in DEAD
            assert not ruling.moves
        if finding.said is Said.NOT_FOUND and source is not Source.STATEMENT:
            assert not ruling.moves
        if before.state is RefundState.SUCCEEDED:
            assert ruling.state in (RefundState.SUCCEEDED, RefundState.RETURNED)
        if finding.amount_minor != before.amount_minor:
            assert ruling.state is not RefundState.SUCCEEDED or before.state is ruling.state
        if RefundFollow.RESEND in ruling.follow:
            assert ruling.state is RefundState.UNKNOWN

    @invariant()
    def the_cap_holds(self) -> None:
        order = self.order
        assert order.refund_reserved_minor >= 0
        assert order.refunded_minor >= 0
        assert order.refundable_minor >= 0

    @invariant()
    def what_is_set_aside_is_the_sum_of_refunds_under_way(self) -> None:
        assert self.aside == sum(one.amount_minor for one in self.refunds if one.state.is_set_aside)
        assert self.order.refund_reserved_minor == sum(
            one.amount_minor - one.excess_minor for one in self.refunds if one.state.is_set_aside
        )

    @invariant()
    def what_went_out_is_counted_or_an_open_loss(self) -> None:
        done = sum(one.amount_minor for one in self.refunds if one.state is RefundState.SUCCEEDED)
        assert self.out == done
        standing = [
            one
            for one in self.refunds
            if one.state is RefundState.SUCCEEDED or one.state.is_set_aside
        ]
        assert self.lost == sum(one.excess_minor for one in standing)


def test_refunding_in_any_order() -> None:
    run_state_machine_as_test(Refunding, settings=settings(max_examples=60, stateful_step_count=30))


@pytest.mark.long
def test_refunding_at_length() -> None:
    run_state_machine_as_test(
        Refunding, settings=settings(max_examples=2_000, stateful_step_count=60)
    )
