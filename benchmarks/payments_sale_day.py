"""A sale day: ten times the load, one channel that fails, codes that come too late.

For a while buyers come at the normal rate, then at ten times of it, then at the normal one again.
During the rush one of three channels first loses answers (half of what it does not answer it has
charged), then refuses every connection; the sender of codes takes half a minute. What is watched:
lanes are bounded and refuse the others as busy, the breaker opens and routing moves away, retries
stay within their budget, degraded mode lets small payments of known customers pass and marks them.

At the end, when everybody was asked: every request that was accepted has one order with one
outcome, one that was refused as busy has left nothing, and the ledger, the orders and the channels'
own lists agree to the cent. The channels are in this process and keep their own lists; the database
is as durable as it is in use.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import sqlalchemy as sa

from steelyard.base import Database, Outcome, PlainBusinessClock, Question, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.base.http import Caller
from steelyard.base.postgres import EmbeddedPostgres, bootstrap
from steelyard.base.schema import migrate
from steelyard.events import PostgresFactLog
from steelyard.kernel import Refusal
from steelyard.ledger import Funds, open_book, open_chart
from steelyard.parties import approvals
from steelyard.payments import channel, channel_desk, degraded, institution, orders, paying, routing

MODE = institution.Mode.LIVE
SHOPS = [UUID(int=0x5000 + n) for n in range(8)]
BUYERS = [UUID(int=0x6000 + n) for n in range(40)]
KNOWN = 30
MAKER = "staff:00000000-0000-7000-8000-00000000000a"
CHECKER = "staff:00000000-0000-7000-8000-00000000000b"
ACTOR = "system:sale"
SMALL = 2_000
SETTING = degraded.DegradedSetting(
    is_on=True, most_minor=SMALL, customer_payments=20, customer_minor=30_000, sum_minor=400_000
)
SHEET = channel.Capability(methods=(channel.Method.WALLET,), visibility_seconds=1)


@dataclass(frozen=True)
class Plan:
    """How much comes when.

    Attributes
    ----------
    normal : buyers a second; factor : times of it in the rush
    before, rush, after : seconds; the channel loses answers in the first third of the rush
    capacity : of a lane; workers : buyers at once
    """

    normal: float = 25.0
    factor: float = 10.0
    before: float = 8.0
    rush: float = 18.0
    after: float = 8.0
    capacity: int = 24
    workers: int = 120
    seed: int = 1

    def arrivals(self) -> list[float]:
        """When buyers come, seconds from the beginning; evenly, with some chance."""
        chance = Random(self.seed)
        at, found = 0.0, []
        end = self.before + self.rush + self.after
        while at < end:
            found.append(at)
            in_rush = self.before <= at < self.before + self.rush
            rate = self.normal * (self.factor if in_rush else 1.0)
            at += chance.expovariate(rate)
        return found


class ShiftedClock:
    """The real clock, moved."""

    def __init__(self) -> None:
        self.shift = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


@dataclass
class Stage:
    """What goes wrong now: all that stands outside looks here."""

    plan: Plan
    started: float = float("inf")
    is_over: bool = False

    @property
    def second(self) -> float:
        return time.monotonic() - self.started

    def trouble(self) -> str:
        """Return `loses`, `is_away` or nothing for the channel that fails."""
        into = self.second - self.plan.before
        if self.is_over or not 0 <= into < self.plan.rush:
            return ""
        return "loses" if into < self.plan.rush / 3 else "is_away"

    @property
    def is_slow(self) -> bool:
        """Whether codes take half a minute."""
        return not self.is_over and 0 <= self.second - self.plan.before < self.plan.rush


@dataclass
class Counted:
    """A channel that keeps its own list of what it charged."""

    code: str
    stage: Stage
    fails: bool = False
    charged: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)

    def pay(self, request: channel.PayRequest) -> channel.Finding:
        trouble = self.stage.trouble() if self.fails else ""
        if trouble == "is_away":
            return channel.Finding(said=channel.Said.NOT_SENT, why="connection refused")
        luck = int(request.number[-4:], 16)
        if trouble == "loses" and luck % 10 < 7:
            time.sleep(0.15)
            if luck % 2:
                self._charge(request)
            return channel.Finding(said=channel.Said.UNKNOWN, why="timeout")
        time.sleep(0.004)
        if not self.fails and luck % 9 == 0:
            # The one that will fail is the best one until then: most of the traffic goes there.
            decline = channel.Decline.ISSUER_UNAVAILABLE
            return channel.Finding(said=channel.Said.DECLINED, decline=decline)
        if luck % 50 == 0:
            decline = channel.Decline.INSUFFICIENT_FUNDS
            return channel.Finding(said=channel.Said.DECLINED, decline=decline)
        self._charge(request)
        return self._yes(request.amount_minor)

    def query(self, query: channel.Query) -> channel.Finding:
        if self.fails and self.stage.trouble():
            return channel.Finding(said=channel.Said.UNKNOWN, why="timeout")
        amount = self.charged.get(query.number)
        if amount is not None:
            return self._yes(amount)
        said = channel.Said.CLOSED if query.number in self.closed else channel.Said.NOT_FOUND
        return channel.Finding(said=said)

    def cancel(self, query: channel.Query) -> channel.Finding:
        with self.lock:
            amount = self.charged.get(query.number)
            if amount is None:
                self.closed.add(query.number)
                return channel.Finding(said=channel.Said.CLOSED)
        return self._yes(amount)

    def _charge(self, request: channel.PayRequest) -> None:
        with self.lock:
            assert request.number not in self.charged, "charged twice"
            assert request.number not in self.closed, "charged after it was closed"
            self.charged[request.number] = request.amount_minor

    def _yes(self, amount: int) -> channel.Finding:
        return channel.Finding(said=channel.Said.SUCCEEDED, amount_minor=amount, currency="CNY")


class Deciding:
    """Approves; of every sixth payment it wants a code as a further proof."""

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        return self.ask_all(scene, [Question(str(uuid4()), now, facts)])[0]

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        time.sleep(0.003)
        return tuple(
            Verdict(Outcome.STEP_UP if UUID(one.id).int % 6 == 0 else Outcome.APPROVE, "sale@1")
            for one in questions
        )


@dataclass(frozen=True)
class Served:
    """What became of a buyer's request.

    Attributes
    ----------
    outcome : `paid`, `declined`, `unknown`; `full`: too many waited; `unproved`: too large to pass
        without a proof that cannot be had; else the code of what refused it
    """

    second: int
    outcome: str
    seconds: float
    order: UUID
    channel: str = ""
    retries: int = 0

    @property
    def is_accepted(self) -> bool:
        return self.outcome in ("paid", "declined", "unknown")


@dataclass
class Sale:
    """A house on its sale day."""

    database: Database
    clock: ShiftedClock
    stage: Stage
    channels: tuple[Counted, ...]
    routes: routing.RoutingDesk
    opened: paying.Paying
    slowness: degraded.Slowness
    served: list[Served] = field(default_factory=list)

    def serve(self, arrival: float) -> Served:
        """Be a buyer: create and pay, prove, try again where that is allowed."""
        began = time.monotonic()
        id = uuid4()
        try:
            outcome, code, retries = self._buy(id)
        except Refusal as refusal:
            outcome, code, retries = self._why(refusal), "", 0
        taken = time.monotonic() - began
        return Served(int(arrival), outcome, taken, id, code, retries)

    def _why(self, refusal: Refusal) -> str:
        if not isinstance(refusal, paying.PaymentsAreBusy):
            return refusal.code
        waiting = int(str(refusal.facts["waiting"]))
        return "full" if waiting >= self.stage.plan.capacity else "unproved"

    def _buy(self, id: UUID) -> tuple[str, str, int]:
        amount = 500 + id.int % 4_000
        new = orders.NewOrder(
            id=id,
            merchant=SHOPS[id.int % len(SHOPS)],
            app="app_sale",
            mode=MODE,
            order_no=id.hex,
            amount_minor=amount,
            currency="CNY",
            subject="sale",
            payer=orders.Payer(customer=BUYERS[id.int % len(BUYERS)]),
        )
        self.slowness.note(30.0 if self.stage.is_slow else 1.0)
        command = paying.Command(
            call=paying.KeyedCall.of("sale", id.hex, b""),
            actor=ACTOR,
            merchant=None,
            render=lambda order, attempt: order.id.bytes,
            new=new,
            how=paying.Pay(attempt=uuid4(), method=channel.Method.WALLET),
        )
        self.opened.take(command)
        last, retries = self._proved(id), 0
        while retries < 2 and not last.state.is_under_way and not last.state.has_money:
            step = self.routes.retry(last, MODE, self.clock.now(), made=retries)
            if step is None or not step.step.value.startswith("retry"):
                break
            retries += 1
            time.sleep(min(step.wait.total_seconds(), 0.05))
            try:
                how = paying.Pay(attempt=uuid4(), method=channel.Method.WALLET)
                self.opened.pay(id, how, actor=ACTOR)
            except Refusal:
                break
            last = self._proved(id)
        return _outcome(last), last.channel, retries

    def _proved(self, id: UUID) -> orders.Attempt:
        """Return the last attempt; where it waits for a code, the code came and was right."""
        last = self._last(id)
        if last.state is orders.AttemptState.INIT:
            self.opened.resume(last.id, Verdict(Outcome.APPROVE, "sale@1"), actor=ACTOR)
            last = self._last(id)
        return last

    def _last(self, id: UUID) -> orders.Attempt:
        with self.database.reading() as connection:
            return orders.read(connection, id).attempts[-1]

    def run(self) -> None:
        """Let buyers come when they come, whether or not the others are served."""
        self.stage.started = time.monotonic()
        with ThreadPoolExecutor(self.stage.plan.workers) as pool:
            told = []
            for at in self.stage.plan.arrivals():
                wait = at - self.stage.second
                if wait > 0:
                    time.sleep(wait)
                told.append(pool.submit(self.serve, at))
            self.served = [one.result() for one in told]
        self.stage.is_over = True

    def ask_everybody(self) -> int:
        """Ask channels until nothing is under way; return how many rounds it took."""
        for rounds in range(12):
            if not self._count("state IN ('sent', 'pending', 'pending_user', 'unknown')"):
                return rounds
            self.clock.shift += timedelta(minutes=2)
            while self.opened.poll(limit=500, actor=ACTOR):
                pass
        raise AssertionError("attempts stay under way")

    def _count(self, where: str) -> int:
        return int(self._one(f"SELECT count(*) FROM payments.attempt WHERE {where}"))

    def _one(self, sql: str) -> Any:
        with self.database.reading() as connection:
            return connection.execute(sa.text(sql)).scalar_one()

    def check(self) -> dict[str, int]:
        """See that nothing is lost or doubled; return what was counted."""
        with self.database.reading() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT id, state, captured_minor FROM payments.order WHERE app = 'app_sale'"
                )
            ).all()
            paid_over = connection.execute(
                sa.text(
                    "SELECT replace(CAST(id AS text), '-', '') AS number, amount_minor"
                    " FROM payments.attempt WHERE state = 'succeeded' AND channel <> 'balance'"
                )
            ).all()
        by_id = {row.id: row for row in rows}
        accepted = [one for one in self.served if one.is_accepted]
        refused = [one for one in self.served if not one.is_accepted]
        assert len({one.order for one in self.served}) == len(self.served)
        assert all(one.order in by_id for one in accepted), "an accepted request was lost"
        assert not [one for one in refused if one.order in by_id], "a refused request left an order"
        under_way = {"processing", "requires_action", "expiring", "created"}
        without = Counter(row.state for row in rows if row.state in under_way)
        assert not without, f"orders have no outcome: {dict(without)}"
        orders_minor = sum(row.captured_minor for row in rows)
        lists = {n: m for one in self.channels for n, m in one.charged.items()}
        assert lists == {row.number: row.amount_minor for row in paid_over}
        owed = self._one(
            "SELECT coalesce(sum(credits_posted - debits_posted), 0) FROM ledger.account"
            " WHERE code LIKE 'merchant/%/pending:CNY'"
        )
        zero = self._one("SELECT sum(credits_posted - debits_posted) FROM ledger.account")
        before = self._one("SELECT sum(amount_minor) FROM payments.order WHERE app = 'app_known'")
        assert zero == 0
        assert orders_minor + before == owed == sum(lists.values())
        marked = self._count("cause = 'rule.degraded@1'")
        passes = self._one("SELECT count(*) FROM payments.degraded_pass")
        assert marked <= passes, "a payment passed without being counted"
        firsts = len(accepted)
        retries = sum(one.retries for one in self.served)
        assert retries <= max(3, 0.1 * (firsts + len(refused) + KNOWN) + 1), "retries over budget"
        return {
            "offered": len(self.served),
            "accepted": len(accepted),
            "paid": sum(row.state == "succeeded" for row in rows),
            "refused": len(refused),
            "degraded": marked,
            "retries": retries,
            "cents": orders_minor,
            "breaker_moves": self._one(
                "SELECT count(*) FROM events.log WHERE kind = 'payments.ChannelBreakerMoved'"
            ),
        }


def _outcome(last: orders.Attempt) -> str:
    if last.state.has_money:
        return "paid"
    return "unknown" if last.state.is_under_way else "declined"


def found(unit: UnitOfWork) -> None:
    """Open books, sign merchants."""
    for book, funds in (("clients", Funds.CLIENT), ("own", Funds.OWN)):
        open_book(unit, book, name=book, funds=funds, business_on=unit.now.date(), timezone="UTC")
    open_chart(unit, "own", "platform", currencies=["CNY"])
    institution.open_books(unit, MODE, client_book="clients", own_book="own")
    for merchant in SHOPS:
        unit.execute(
            "INSERT INTO payments.merchant (id, state, name, currencies, methods, created_at,"
            " updated_at) VALUES (:id, 'active', 'Shop', '{CNY}', '{wallet}', :at, :at)",
            id=merchant,
            at=unit.now,
        )


def switch_on(database: Database) -> None:
    """Let small payments pass while nobody decides, as two people want it."""
    asked = database.transact(lambda unit: degraded.request_change(unit, SETTING), actor=MAKER)
    by = Caller(CHECKER, frozenset({"*"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
        actor=CHECKER,
    )
    database.transact(lambda unit: degraded.change(unit, SETTING, asked.id), actor=MAKER)


@contextmanager
def open_sale(url: str, plan: Plan) -> Iterator[Sale]:
    """Have a house on its sale day, in a migrated database without one."""
    clock = ShiftedClock()
    clock.shift = timedelta(days=-2)
    database = Database(url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock), pool_size=16)
    stage = Stage(plan)
    channels = tuple(Counted(code, stage, fails=code == "b") for code in "abc")
    database.transact(found)
    desk = channel_desk.ChannelDesk(database, Keyring.for_tests())
    for one in channels:
        desk.add(one, SHEET)  # type: ignore[arg-type]
    routes = routing.RoutingDesk(database, desk, fresh_seconds=0.3)
    slowness = degraded.Slowness()
    gate = degraded.DegradedGate(database, Deciding(), sender_is_slow=lambda: slowness.is_slow)
    opened = paying.Paying(database, gate, desk, routes, capacity=plan.capacity)
    try:
        switch_on(database)
        _make_known(database, opened)
        clock.shift = timedelta(0)
        routes.forget()
        routes.book(MODE, clock.now())
        yield Sale(database, clock, stage, channels, routes, opened, slowness)
    finally:
        opened.close()
        database.close()


def _make_known(database: Database, opened: paying.Paying) -> None:
    """Let most buyers have paid two days ago."""
    for buyer in BUYERS[:KNOWN]:
        paid = False
        while not paid:
            new = orders.NewOrder(
                id=uuid4(), merchant=SHOPS[0], app="app_known", mode=MODE, order_no=uuid4().hex,
                amount_minor=100, currency="CNY", subject="before",
                payer=orders.Payer(customer=buyer),
            )  # fmt: skip
            id = UUID(int=uuid4().int & ~0xFFFF | 0x0001)
            while id.int % 6 == 0:
                id = UUID(int=uuid4().int & ~0xFFFF | 0x0001)
            database.transact(lambda unit, new=new: orders.create(unit, [new]))  # type: ignore[misc]
            how = paying.Pay(attempt=id, method=channel.Method.WALLET)
            paid = opened.pay(new.id, how, actor=ACTOR).attempt.state.has_money


def table(sale: Sale) -> str:
    """Return what happened, second by second."""
    lines = ["second offered accepted  full unproved other   p50 ms   p95 ms   share a / b / c"]
    for second in sorted({one.second for one in sale.served}):
        of_it = [one for one in sale.served if one.second == second]
        ended = [1_000 * one.seconds for one in of_it if one.is_accepted]
        full = sum(one.outcome == "full" for one in of_it)
        unproved = sum(one.outcome == "unproved" for one in of_it)
        accepted = sum(one.is_accepted for one in of_it)
        p50, p95 = np.percentile(ended, [50, 95]) if ended else (0.0, 0.0)
        went = Counter(one.channel for one in of_it if one.channel)
        total = max(went.total(), 1)
        shares = " / ".join(f"{100 * went[code] / total:3.0f}" for code in "abc")
        lines.append(
            f"{second:6d} {len(of_it):7d} {accepted:8d} {full:5d} {unproved:8d}"
            f" {len(of_it) - accepted - full - unproved:5d} {p50:8.1f} {p95:8.1f}   {shares}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--normal", type=float, default=25.0, help="buyers a second")
    parser.add_argument("--factor", type=float, default=10.0)
    parser.add_argument("--rush", type=float, default=18.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    plan = Plan(normal=told.normal, factor=told.factor, rush=told.rush, seed=told.seed)
    with tempfile.TemporaryDirectory() as home:
        embedded = EmbeddedPostgres(Path(home))
        address = embedded.acquire()
        try:
            bootstrap(address, database="bench")
            migrate(address.url(role="steelyard_owner", database="bench"))
            url = address.url(role="steelyard_app", database="bench")
            with open_sale(url, plan) as sale:
                sale.run()
                rounds = sale.ask_everybody()
                counted = sale.check()
                print(table(sale))
        finally:
            embedded.release()
    print(asdict(plan))
    print(", ".join(f"{name} {value:,}" for name, value in counted.items()))
    print(f"after {rounds} rounds of asking: nothing lost, nothing doubled, equal to the cent")


if __name__ == "__main__":
    main()
