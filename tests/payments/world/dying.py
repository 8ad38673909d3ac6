"""A shop's day in a process that kills itself at its n-th commit or call outside.

`dying.py` imports everything once, then reads orders as JSON lines and runs each in a fork of its
own: `{"url": database, "channel": settings, "bank": [url, account], "shop": merchant, "at": n,
"since": seconds}`. It answers a line: how many points the run passed, or that it was killed.
Killed is what it says: SIGKILL, before and after each commit, each call and what it did.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import psycopg

from steelyard.base import Database, NoPolicyGate, PlainBusinessClock
from steelyard.events import PostgresFactLog
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments.channels.uni import UniChannel
from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Capability, Method
from steelyard.payments.model.clearing import ReconWord
from steelyard.payments.model.orders import Mode, NewOrder, Order, Payer
from steelyard.payments.model.refunds import NewRefund
from steelyard.payments.service import (
    clearing,
    payouts,
    refunds,
    refunds_upkeep,
    settlement,
)
from steelyard.payments.service.custody_http import HttpCustodian
from steelyard.payments.service.paying import Command, KeyedCall, Pay, Paying, Routed
from steelyard.payments.store import attempts as attempts_table
from tests.conftest import START
from tests.payments.till import EVERYTHING
from tests.payments.vault import KnownPayees

ACTOR, LIVE = "test:dying", Mode.LIVE
VERIFIED = ReconWord(is_expected=True, is_verified=True)
POINTS = {UniChannel: ("pay", "query", "refund", "cancel"), HttpCustodian: ("pay_out", "query")}


class Dying:
    """Counts points, and dies at one of them."""

    def __init__(self, at: int) -> None:
        self.at, self.passed, self._next = at, 0, itertools.count(1)
        commit = psycopg.Connection.commit
        psycopg.Connection.commit = self._around(commit)  # type: ignore[method-assign]
        for owner, names in POINTS.items():
            for name in names:
                setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any, **named: Any) -> Any:
            self._point()
            done = work(*args, **named)
            self._point()
            return done

        return around

    def _point(self) -> None:
        self.passed = next(self._next)
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class Shop:
    """Everything that one run does, each step the same when it is done again."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.merchant = UUID(told["shop"])
        self.clock = SteppingClock(START + timedelta(seconds=told["since"]))
        self.database = Database(
            told["url"], facts=PostgresFactLog(), clock=PlainBusinessClock(self.clock)
        )
        self.channel = UniChannel("uni", told["channel"], 5.0)
        self.bank = HttpCustodian(told["bank"], secret="custodian")
        self.payees = KnownPayees()
        self.paying = Paying(self.database, NoPolicyGate(), self, self)

    def get(self, code: str) -> UniChannel:
        return self.channel

    def capability(self, code: str) -> Capability:
        return EVERYTHING

    def route(self, order: Order, how: Pay, now: object) -> Routed:
        return Routed("uni")

    def write(self, unit: object, attempts: Sequence[UUID]) -> None:
        """Keep nothing."""

    def id(self, name: str) -> UUID:
        return uuid5(self.merchant, name)

    def run(self) -> None:
        """Sell, refund, give back what came twice, clear the day and pay the merchant."""
        self.sell("tea", "tea/1", 10_000)
        self.refund("tea", 3_000)
        self.sell("cup", "cup/1", 5_000, instrument="sim_lie")
        self.sell("cup", "cup/2", 5_000, is_new=False)
        self.look("cup/1")
        self.look("cup/2")
        self.look("tea/1")
        self.tend()
        self.clock.advance(timedelta(days=1))
        self.settle()

    def sell(
        self,
        name: str,
        attempt: str,
        amount: int,
        *,
        instrument: str | None = None,
        is_new: bool = True,
    ) -> None:
        """Create and pay under one key, or pay again what was not paid."""
        payer = Payer(instrument=instrument)
        new = NewOrder(
            id=self.id(name),
            merchant=self.merchant,
            app="app_test",
            mode=LIVE,
            order_no=name,
            amount_minor=amount,
            currency="CNY",
            subject="Tea 茶叶",
            payer=payer,
        )
        how = Pay(attempt=self.id(attempt), method=Method.SCAN, payer=payer)
        command = Command(
            call=KeyedCall.of(f"{self.merchant}/pay", attempt, attempt.encode()),
            actor=ACTOR,
            merchant=self.merchant,
            render=_rendered,
            new=new if is_new else None,
            order=None if is_new else new.id,
            how=how,
        )
        try:
            self.paying.take(command)
        except Refusal:
            if is_new:
                raise
            # The first attempt turned out to have been paid: there is nothing to pay again.

    def refund(self, name: str, amount: int) -> None:
        refund = self.id(f"{name}/refund")
        new = NewRefund(id=refund, order=self.id(name), refund_no=f"{name}-1", amount_minor=amount)
        self.database.transact(lambda unit: refunds.ask(unit, [new], desk=self))
        refunds.send(self.database, self, [refund])

    def look(self, name: str) -> None:
        """Ask the channel what became of an attempt, whatever is thought of it."""
        with self.database.reading() as connection:
            tried = attempts_table.find(connection, [self.id(name)])
        for one in tried.values():
            if one.state is not AttemptState.SUCCEEDED:
                self.paying.ask([one], actor=ACTOR)

    def tend(self) -> None:
        """Run the jobs."""
        for _ in range(3):
            self.clock.advance(timedelta(seconds=61))
            self.paying.poll(actor=ACTOR)
            refunds_upkeep.give_back_unclaimed(self.database, actor=ACTOR)
            refunds_upkeep.send_waiting(self.database, self, actor=ACTOR)

    def settle(self) -> None:
        """Clear what is over, and pay the merchant."""
        for day in clearing.close_due(self.database, LIVE, self.capability):
            self.database.transact(partial(clearing.pass_gate, day=day, word=VERIFIED))
        on = self.clock.now().date()
        settlement.calculate(self.database, LIVE, on, self.payees)
        payouts.pay_ready(self.database, self.bank, LIVE, self.payees)
        for _ in range(2):
            self.clock.advance(timedelta(minutes=1))
            payouts.poll(self.database, self.bank, self.payees)


def _rendered(order: Order, attempt: Any) -> bytes:
    return json.dumps([order.state.value, attempt and attempt.state.value]).encode()


def serve() -> None:
    for line in sys.stdin:
        told = json.loads(line)
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reads)
            try:
                dying = Dying(told["at"])
                Shop(told).run()
                os.write(writes, json.dumps({"points": dying.passed}).encode())
            except BaseException:
                os.write(writes, json.dumps({"fault": traceback.format_exc()[-3_000:]}).encode())
            finally:
                os._exit(0)
        os.close(writes)
        with os.fdopen(reads) as answer:
            text = answer.read()
        _, status = os.waitpid(child, 0)
        is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"killed": True}) if is_killed else text, flush=True)


if __name__ == "__main__":
    print("ready", flush=True)
    serve()
