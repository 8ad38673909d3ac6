"""Payment x refund x dispute x settlement as a state machine, beside what others really hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from steelyard.base import Database, PlainBusinessClock
from steelyard.base.postgres import Address
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.disputes import DisputeWord
from steelyard.payments.service import refunds
from tests.conftest import START, TEMPLATE, Store
from tests.payments.world import bank, channel
from tests.payments.world.world import CODES, World

WHICH = st.integers(0, 10_000)
SHARE = st.integers(1, 8)
PAYS = st.sampled_from(channel.PAY_MOODS)
GIVES = st.sampled_from(channel.REFUND_MOODS)
ASKS = st.sampled_from(channel.ASK_MOODS)
CLOSES = st.sampled_from(channel.CLOSE_MOODS)
CODE = st.sampled_from(CODES)
SOURCE = st.sampled_from(list(Source))
AMOUNTS = st.sampled_from([1, 99, 333, 10_000, 29_999])


def pick(ids: list[UUID], which: int) -> UUID:
    """Choose one, the newest rather than old ones."""
    return ids[-1 - which % min(len(ids), 6 if which % 3 else len(ids))]


@dataclass(slots=True)
class Stores:
    """Databases, each for one example: an example begins with nothing of those before."""

    server: Address

    def make(self) -> Store:
        store = Store(self.server, f"t_{uuid4().hex[:12]}")
        self._do(f"CREATE DATABASE {store.name} TEMPLATE {TEMPLATE} OWNER steelyard_owner")
        return store

    def drop(self, store: Store) -> None:
        self._do(f"DROP DATABASE {store.name} WITH (FORCE)")

    def _do(self, sql: str) -> None:
        admin = self.server.conninfo(role="postgres", database="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql)


class Payments(RuleBasedStateMachine):
    """Everything that can happen, in any order."""

    stores: ClassVar[Stores]
    steps: ClassVar[int] = 0
    refused: ClassVar[Counter[str]] = Counter()
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        clock = SteppingClock(START)
        self.store = type(self).stores.make()
        database = Database(
            self.store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock)
        )
        self.world = World(database, clock)
        self.is_sound = True

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self.world.come_to_rest()
            for one in self.world.books["attempt"]:
                type(self).done[f"attempt {one['state']}"] += 1
            for table in ("refund", "dispute", "paid"):
                for one in self.world.books[table]:
                    type(self).done[f"{table} {one['state']}"] += 1
        finally:
            type(self).refused += self.world.refused
            self.world.close()
            type(self).stores.drop(self.store)

    @invariant()
    def holds(self) -> None:
        type(self).steps += 1
        self.is_sound = False
        self.world.check()
        self.is_sound = True

    @initialize(amounts=st.lists(AMOUNTS, min_size=2, max_size=4), code=CODE)
    def opens(self, amounts: list[int], code: str) -> None:
        for n, amount in enumerate(amounts):
            self.world.create(n % 2, amount, "refund", 3, own=False)
            self.world.pay(self.world.orders[-1], code, "takes")

    @rule(
        merchant=st.integers(0, 1),
        amount=AMOUNTS,
        late=st.sampled_from(["refund", "revive"]),
        most=st.integers(1, 3),
        own=st.booleans(),
        code=CODE,
        mood=PAYS,
    )
    def buys(
        self, merchant: int, amount: int, late: str, most: int, own: bool, code: str, mood: str
    ) -> None:
        self.world.create(merchant, amount, late, most, own=own)
        if own:
            self.world.pay_out_of_wallet(self.world.orders[-1])
        else:
            self.world.pay(self.world.orders[-1], code, mood)

    @rule(which=WHICH, code=CODE, mood=PAYS)
    def pays_again(self, which: int, code: str, mood: str) -> None:
        self.world.pay(pick(self.world.orders, which), code, mood)

    @rule(
        which=WHICH,
        source=SOURCE,
        what=st.sampled_from(
            ["truth", "truth", "unknown", "pending", "declined", "closed", "not_found", "action"]
        ),
        times=st.integers(1, 3),
    )
    def is_told(self, which: int, source: Source, what: str, times: int) -> None:
        self.world.tell(pick(self.world.attempts, which), source, what, times)

    @rule(which=WHICH, then=st.booleans())
    def pays_late(self, which: int, then: bool) -> None:
        attempt = pick(self.world.attempts, which)
        self.world.channel_takes(attempt)
        if then:
            self.world.tell(attempt, Source.NOTICE, "truth", 1)

    @rule(which=WHICH, state=st.sampled_from(["denied", "closed"]))
    def gives_up(self, which: int, state: str) -> None:
        self.world.channel_ends(pick(self.world.attempts, which), state)

    @rule(which=WHICH)
    def cancels(self, which: int) -> None:
        self.world.cancel(pick(self.world.orders, which))

    @rule(by=st.sampled_from([4, 61, 1_000, 7_300, 90_000]))
    def time_passes(self, by: int) -> None:
        self.world.pass_time(timedelta(seconds=by))

    @rule(ask=ASKS, close=CLOSES)
    def polls(self, ask: str, close: str) -> None:
        self.world.poll(ask, close)

    @rule(which=WHICH, part=SHARE, mood=GIVES, waits=st.booleans())
    def refunds(self, which: int, part: int, mood: str, waits: bool) -> None:
        order = pick(self.world.orders, which)
        amount = None if part == 8 else self.world.part_of(order, part)
        self.world.refund(order, amount, mood, waits=waits)

    @rule(which=WHICH, parts=st.tuples(SHARE, SHARE), mood=GIVES)
    def refunds_twice_at_once(self, which: int, parts: tuple[int, int], mood: str) -> None:
        order = pick(self.world.orders, which)
        first, second = (self.world.part_of(order, part) for part in parts)
        self.world.refund_twice_at_once(order, (first, second), mood)

    @precondition(lambda self: self.world.refunds)
    @rule(
        which=WHICH,
        source=SOURCE,
        what=st.sampled_from(
            ["truth", "truth", "unknown", "pending", "declined", "closed", "not_found", "returned"]
        ),
    )
    def is_told_of_a_refund(self, which: int, source: Source, what: str) -> None:
        self.world.tell_refund(pick(self.world.refunds, which), source, what)

    @precondition(lambda self: self.world.refunds)
    @rule(which=WHICH, then=st.booleans())
    def gives_late(self, which: int, then: bool) -> None:
        refund = pick(self.world.refunds, which)
        self.world.channel_gives(refund)
        if then:
            self.world.tell_refund(refund, Source.NOTICE, "truth")

    @precondition(lambda self: self.world.refunds)
    @rule(which=WHICH, gives_up=st.booleans())
    def ends_a_refund(self, which: int, gives_up: bool) -> None:
        verb = refunds.give_up if gives_up else refunds.withdraw
        self.world.end_refund(pick(self.world.refunds, which), verb)

    @rule(ask=ASKS, mood=GIVES)
    def moves_refunds(self, ask: str, mood: str) -> None:
        self.world.move_refunds(ask, mood)

    @rule(which=WHICH, part=SHARE, is_inquiry=st.booleans())
    def disputes(self, which: int, part: int, is_inquiry: bool) -> None:
        order = pick(self.world.orders, which)
        self.world.dispute(order, self.world.part_of(order, part), is_inquiry=is_inquiry)

    @precondition(lambda self: self.world.disputes)
    @rule(which=WHICH, word=st.sampled_from(list(DisputeWord)))
    def says_of_a_dispute(self, which: int, word: DisputeWord) -> None:
        self.world.tell_dispute(pick(self.world.disputes, which), word)

    @rule()
    def disputes_expire(self) -> None:
        self.world.expire_disputes()

    @rule(which=WHICH, mood=CLOSES)
    def takes_back(self, which: int, mood: str) -> None:
        self.world.take_back(pick(self.world.orders, which), mood)

    @rule()
    def takes_back_again(self) -> None:
        self.world.take_back_again()

    @rule(which=WHICH, mood=CLOSES)
    def reverses_unknown(self, which: int, mood: str) -> None:
        self.world.reverse_unknown(pick(self.world.attempts, which), mood)

    @rule(
        code=CODE,
        share=st.integers(0, 4),
        pays=st.sampled_from(bank.PAY_MOODS),
        sweeps=st.sampled_from(bank.PAY_MOODS),
    )
    def a_day_ends(self, code: str, share: int, pays: str, sweeps: str) -> None:
        self.world.pay_in(code, share)
        self.world.pass_time(timedelta(days=1))
        self.world.clear()
        self.world.tie_out()
        self.world.settle(sweeps, pays)

    @rule()
    def clears(self) -> None:
        self.world.clear()

    @rule(pays=st.sampled_from(bank.PAY_MOODS), sweeps=st.sampled_from(bank.PAY_MOODS))
    def settles(self, pays: str, sweeps: str) -> None:
        self.world.settle(sweeps, pays)

    @rule(
        mood=st.sampled_from(bank.PAY_MOODS), ask=st.sampled_from(["answers", "answers", "silent"])
    )
    def polls_payouts(self, mood: str, ask: str) -> None:
        self.world.poll_payouts(mood, ask)

    @rule(which=WHICH)
    def a_payout_comes_back(self, which: int) -> None:
        self.world.bank_sends_back(which)

    @rule(which=WHICH, again=st.booleans())
    def a_returned_payout_goes_on(self, which: int, again: bool) -> None:
        self.world.after_return(which, again=again)

    @rule()
    def ties_out(self) -> None:
        self.world.tie_out()


def run(server: Address, *, examples: int, steps: int, phases: Sequence[Phase]) -> int:
    """Run the machine, and return how many steps it made."""
    Payments.stores, Payments.steps = Stores(server), 0
    run_state_machine_as_test(
        Payments,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
    return Payments.steps


def test_whatever_happens_our_books_agree_with_what_others_hold(server: Address) -> None:
    assert run(server, examples=2, steps=200, phases=[Phase.generate]) >= 200


@pytest.mark.long
def test_whatever_happens_for_a_hundred_thousand_steps(
    server: Address, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = 0
    for _ in range(50):
        steps += run(server, examples=50, steps=200, phases=[Phase.generate, Phase.shrink])
        if steps >= 100_000:
            break
    with capsys.disabled():
        print(f"\n{steps:,} steps", dict(sorted(Payments.done.items())))
        print("refused:", dict(Payments.refused.most_common()))
    assert steps >= 100_000
