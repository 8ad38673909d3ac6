"""Routing beside the published algorithms, paired over seeds, in a hard and a mild world.

Ours is the routing of the room itself (`steelyard.payments.model.routing`), not a copy. Beside it:

- Juspay's SRv3 as its files have it: a queue of the last B outcomes of each gateway (seeded with
  successes), the highest mean wins, and a part `hedging` of the payments goes to one of the others.
  Published: B=125, 5 %. Grid: B in 50, 125, 250, 500, 1000; hedging in 0, 1, 2, 5, 10 %.
- sliding-window UCB, per arm the last W outcomes (published: W=200, c=0.1) or the last W of all
  arms. Grid: per arm 200, 500, 1000 and of all arms 500, 1000, 2000, 5000; c in .05, .1, .15, .3.

Every algorithm meets the same payments, and hears of each outcome when its answer comes. Its grid's
best is found on seeds of its own, in the same world, by the mean that is scored; ours was tuned on
those seeds too (`TUNED`). Scored are other seeds. In cost mode a payment is worth 1 less the fee of
its gateway when it succeeds, and everybody weighs rate times that worth.

    python benchmarks/routing.py            # 30 seeds of 60,000; about a quarter of an hour
    python benchmarks/routing.py --quick    # 6 seeds of 20,000
"""

from __future__ import annotations

import argparse
import gc
import heapq
import math
import platform
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import Pool
from multiprocessing.pool import Pool as PoolOf
from typing import Protocol
from uuid import UUID

import routing_world as worlds
from steelyard.payments.model.channel import Method, Stage
from steelyard.payments.model.routing import choose
from steelyard.payments.model.routing_book import (
    Book,
    Lane,
    Outcome,
    observe,
    sent,
    set_lanes,
    tick,
)
from steelyard.payments.model.routing_rules import Options, RoutingPolicy, RoutingRequest

START = datetime(2026, 1, 1, tzinfo=UTC)
SCORED = range(1_000, 1_030)
TUNED = range(1, 7)
AMOUNT = 10_000


class Router(Protocol):
    """An algorithm: picks a gateway, and is told the outcome when its answer comes."""

    def pick(self, at: int) -> int:
        """Return the gateway of the payment of a second."""
        ...

    def learn(self, at: int, payment: int, gateway: int, good: int) -> None:
        """Hear of an outcome."""
        ...


Make = Callable[[Sequence[float], int], Router]
"""What a success is worth at each gateway, and a seed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One algorithm in one world of one seed."""

    name: str
    kind: str
    seed: int
    payments: int
    cost: bool


class Ours:
    """The routing of the room."""

    def __init__(self, fees: Sequence[float], run: Run, options: Options) -> None:
        options = replace(options, weigh_cost=run.cost)
        self.book = Book(policy=RoutingPolicy(options=options))
        lanes = [
            Lane(
                code=f"g{i}",
                stage=Stage.LIVE,
                methods=frozenset((Method.WALLET,)),
                currencies=frozenset(("CNY",)),
                least=1,
                most=10**9,
                fee_rate=fee if run.cost else 0.0,
            )
            for i, fee in enumerate(fees)
        ]
        set_lanes(self.book, lanes)
        self.request = RoutingRequest(
            merchant=UUID(int=1), method=Method.WALLET, amount_minor=AMOUNT, currency="CNY"
        )
        self.seed = run.seed

    def pick(self, at: int) -> int:
        now = START + timedelta(seconds=at)
        tick(self.book, now)
        choice = choose(self.book, self.request, now, self.seed * 1_000_003 + at)
        sent(self.book, UUID(int=at), self.request, choice.chosen, now)
        return int(choice.chosen[1:])

    def learn(self, at: int, payment: int, gateway: int, good: int) -> None:
        outcome = Outcome(
            attempt=UUID(int=payment),
            channel=f"g{gateway}",
            method=Method.WALLET,
            currency="CNY",
            merchant=self.request.merchant,
            is_good=bool(good),
            sent_at=START + timedelta(seconds=payment),
        )
        observe(self.book, outcome, START + timedelta(seconds=at))


class Srv3:
    """Juspay's SRv3: mean of a queue seeded with successes, and hedging."""

    def __init__(self, worth: Sequence[float], seed: int, *, bucket: int, hedging: float) -> None:
        self.worth, self.bucket, self.hedging = worth, bucket, hedging
        self.queues = [deque([1] * bucket, maxlen=bucket) for _ in worth]
        self.good = [bucket] * len(worth)
        self.chance = random.Random(seed)

    def pick(self, at: int) -> int:
        scores = [g / self.bucket * w for g, w in zip(self.good, self.worth, strict=True)]
        head = scores.index(max(scores))
        if self.chance.random() < self.hedging:
            others = [i for i in range(len(scores)) if i != head]
            return self.chance.choice(others)
        return head

    def learn(self, at: int, payment: int, gateway: int, good: int) -> None:
        queue = self.queues[gateway]
        self.good[gateway] += good - queue[0]
        queue.append(good)


class SwUcb:
    """Sliding-window UCB, over the last outcomes of each arm or of all."""

    def __init__(
        self, worth: Sequence[float], seed: int, *, window: int, c: float, per_arm: bool
    ) -> None:
        del seed
        self.worth, self.window, self.c, self.per_arm = worth, window, c, per_arm
        self.seen = [0] * len(worth)
        self.good = [0] * len(worth)
        self.arms: list[deque[int]] = [deque() for _ in worth]
        self.last: deque[tuple[int, int]] = deque()

    def pick(self, at: int) -> int:
        for arm, seen in enumerate(self.seen):
            if not seen:
                return (arm + at) % len(self.seen) if not any(self.seen) else arm
        root = math.sqrt(math.log(sum(self.seen)))
        best, place = -1.0, 0
        for arm, seen in enumerate(self.seen):
            bound = (self.good[arm] / seen + self.c * root / math.sqrt(seen)) * self.worth[arm]
            if bound > best:
                best, place = bound, arm
        return place

    def learn(self, at: int, payment: int, gateway: int, good: int) -> None:
        self.seen[gateway] += 1
        self.good[gateway] += good
        if self.per_arm:
            arm = self.arms[gateway]
            arm.append(good)
            if len(arm) > self.window:
                self.seen[gateway] -= 1
                self.good[gateway] -= arm.popleft()
            return
        self.last.append((gateway, good))
        if len(self.last) > self.window:
            old, was_good = self.last.popleft()
            self.seen[old] -= 1
            self.good[old] -= was_good


class Fixed:
    """The gateway that was best in the first tenth, by hindsight."""

    def __init__(self, best: int) -> None:
        self.best = best

    def pick(self, at: int) -> int:
        return self.best

    def learn(self, at: int, payment: int, gateway: int, good: int) -> None:
        """Learn nothing."""


def live(world: worlds.World, router: Router, *, cost: bool) -> float:
    """Return the mean worth of a payment (the success rate, where cost does not count)."""
    waiting: list[tuple[float, int, int]] = []
    good, delays = world.good.astype(int).tolist(), world.delays.tolist()
    gains = [1.0 - fee for fee in world.fees] if cost else [1.0] * worlds.GATEWAYS
    total = 0.0
    for at in range(len(good)):
        while waiting and waiting[0][0] <= at:
            _, payment, gateway = heapq.heappop(waiting)
            router.learn(at, payment, gateway, good[payment][gateway])
        gateway = router.pick(at)
        total += gains[gateway] * good[at][gateway]
        heapq.heappush(waiting, (at + delays[at][gateway], at, gateway))
    return total / len(good)


SRV3_GRID = [
    f"srv3 B={bucket} h={hedging}"
    for bucket in (50, 125, 250, 500, 1000)
    for hedging in (0.0, 0.01, 0.02, 0.05, 0.1)
]
UCB_GRID = [
    f"sw-ucb {per} W={window} c={c}"
    for per, window in (
        *(("arm", w) for w in (200, 500, 1000)),
        *(("all", w) for w in (500, 1000, 2000, 5000)),
    )
    for c in (0.05, 0.1, 0.15, 0.3)
]
SRV3, UCB = "srv3 B=125 h=0.05", "sw-ucb arm W=200 c=0.1"
OPTIONS = Options(last_resort=True)
"""As delivered, but that every payment is tried: the peers know no refusal."""


def router_of(run: Run, world: worlds.World, options: Options) -> Router:
    """Return the algorithm that a name stands for."""
    fees = world.fees.tolist()
    worth = [1.0 - fee for fee in fees] if run.cost else [1.0] * len(fees)
    family, *rest = run.name.split()
    given = dict(one.split("=") for one in rest if "=" in one)
    if family == "srv3":
        return Srv3(worth, run.seed, bucket=int(given["B"]), hedging=float(given["h"]))
    if family == "sw-ucb":
        return SwUcb(
            worth,
            run.seed,
            window=int(given["W"]),
            c=float(given["c"]),
            per_arm=rest[0] == "arm",
        )
    if family == "fixed":
        tenth = world.good[: len(world.good) // 10].mean(axis=0) * worth
        return Fixed(int(tenth.argmax()))
    assert family == "ours", run.name
    return Ours(fees, run, options)


def score(run: Run, options: Options = OPTIONS) -> float:
    """Return the mean worth of a payment in a run."""
    world = worlds.make(worlds.KINDS[run.kind], run.seed, run.payments)
    if run.name == "oracle":
        worth = 1.0 - world.fees * run.cost
        best = (world.rates * worth).argmax(axis=1)
        picked = world.good[range(len(best)), best] * worth[best]
        return float(picked.mean())
    return live(world, router_of(run, world, options), cost=run.cost)


def latency(payments: int) -> tuple[list[float], list[float]]:
    """Return how long decisions took by the clock, and of the processor, sorted, in microseconds.

    Eight channels, three levels of segments. On a machine that does other work the clock counts
    that as well; the time of the processor is the decision's own.
    """
    chance = random.Random(1)
    book = Book(policy=RoutingPolicy(options=Options(weigh_cost=True)))
    lanes = [
        Lane(
            code=f"c{i}",
            stage=Stage.LIVE,
            methods=frozenset((Method.WALLET,)),
            currencies=frozenset(("CNY",)),
            least=1,
            most=10**9,
            fee_rate=0.002 + i * 0.0005,
        )
        for i in range(8)
    ]
    set_lanes(book, lanes)
    requests = [
        RoutingRequest(
            merchant=UUID(int=merchant),
            method=Method.WALLET,
            amount_minor=AMOUNT,
            currency="CNY",
            network=network,
        )
        for merchant in range(20)
        for network in ("visa", "unionpay")
    ]
    took, busy = [], []
    gc.collect()
    gc.freeze()
    for n in range(payments):
        now = START + timedelta(seconds=n / 5)
        request, seed = chance.choice(requests), chance.getrandbits(63)
        began, own = time.perf_counter_ns(), time.thread_time_ns()
        choice = choose(book, request, now, seed)
        ended, own_end = time.perf_counter_ns(), time.thread_time_ns()
        took.append((ended - began) / 1_000)
        busy.append((own_end - own) / 1_000)
        attempt = UUID(int=n)
        sent(book, attempt, request, choice.chosen, now)
        tick(book, now)
        rate = 0.86 + 0.005 * int(choice.chosen[1:])
        outcome = Outcome(
            attempt=attempt,
            channel=choice.chosen,
            method=request.method,
            currency="CNY",
            merchant=request.merchant,
            is_good=chance.random() < rate,
            sent_at=now,
            network=request.network,
        )
        observe(book, outcome, now)
    warm = payments // 10
    return sorted(took[warm:]), sorted(busy[warm:])


def best_of(grid: Iterable[str], args: argparse.Namespace, like: Run, pool: PoolOf) -> str:
    """Return the best of a grid on the seeds for tuning."""
    names = list(grid)
    seeds = list(TUNED)[: args.tuning]
    runs = [replace(like, name=name, seed=seed) for name in names for seed in seeds]
    scores = pool.map(score, runs, chunksize=4)
    means = {
        name: statistics.fmean(scores[i * len(seeds) : (i + 1) * len(seeds)])
        for i, name in enumerate(names)
    }
    return max(means, key=lambda name: means[name])


def table(args: argparse.Namespace, kind: str, pool: PoolOf, *, cost: bool) -> None:
    """Print what ours is worth beside each peer, in one world."""
    like = Run("", kind, 0, args.payments, cost)
    best = [best_of(grid, args, like, pool) for grid in (SRV3_GRID, UCB_GRID)]
    peers = list(dict.fromkeys([SRV3, best[0], UCB, best[1], "fixed"]))
    names = ["ours", *peers, "oracle"]
    seeds = list(SCORED)[: args.seeds]
    runs = [replace(like, name=name, seed=seed) for name in names for seed in seeds]
    flat = pool.map(score, runs, chunksize=1)
    scores = {name: flat[i * len(seeds) : (i + 1) * len(seeds)] for i, name in enumerate(names)}
    unit = "worth" if cost else "success"
    print(f"\n{kind}{' with cost' if cost else ''}: mean {unit} of {len(seeds)} seeds, percent")
    print(f"  {'ours':28s} {100 * statistics.fmean(scores['ours']):7.2f}")
    for name in (*peers, "oracle"):
        pairs = zip(scores["ours"], scores[name], strict=True)
        gaps = [100 * (mine - other) for mine, other in pairs]
        mean, error = statistics.fmean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
        won = sum(gap > 0 for gap in gaps)
        mark = " *" if name in best else ""
        print(
            f"  {name + mark:28s} {100 * statistics.fmean(scores[name]):7.2f}"
            f"   ours {mean:+6.2f} pp  se {error:.2f}  t {mean / error:6.1f}"
            f"  won {won}/{len(gaps)}"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="6 seeds of 20,000 payments")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--tuning", type=int, default=4, help="seeds on which grids are searched")
    parser.add_argument("--payments", type=int, default=60_000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.tuning, args.payments = 6, 3, 20_000
    print(f"python {platform.python_version()}, {args.payments} payments a seed; * best of grid")
    for name, times in zip(("clock", "processor"), latency(20_000), strict=True):
        p50, p99 = (times[int(len(times) * part)] for part in (0.5, 0.99))
        print(f"decision, 8 channels, 3 levels, {name}: p50 {p50:.0f} us, p99 {p99:.0f} us")
    with Pool(args.processes) as pool:
        for kind in worlds.KINDS:
            for cost in (False, True):
                table(args, kind, pool, cost=cost)


if __name__ == "__main__":
    main()
