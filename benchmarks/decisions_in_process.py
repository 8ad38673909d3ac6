"""A whole decision in one process, JSON in to audited decision (E1), by the delivered policy.

The body of a question is read and checked, its event folded into the state of more than a hundred
thousand entities, the policy of card payments judges (50 features, 35 rules, the model, the bands),
and the decision is written down with its full trace and chained. Then every decision is computed
again from its record: equal bytes are asserted. Nothing is sent or stored; E2 adds that.

The stages are timed apart, a batch at a time. Beside it stands the reference engine (`zen-engine`,
static loader): it judges the table of rules only, with the features handed to it, and as many
rules are asserted to hit; it folds, explains and records nothing. Features are beside their peers
in W1.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import msgspec
import zen

from steelyard.decisions import scenes
from steelyard.decisions.model.decision import Decision, chained, read_record, record_of
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.service.engine import Engine, replay
from steelyard.decisions.service.owner import wanted_of
from steelyard.decisions.service.state import State
from steelyard.features import Event
from steelyard.features.catalogue import Label, complete

SCENE = "payment"
BEGAN_MS = 1_760_000_000_000
DAYS = 40
LEAST_ENTITIES = 100_000


def payments(count: int, customers: int, seed: int = 3) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return card payments (instant, fields) of forty days, in order.

    A customer has a card and a device, pays mostly at few merchants of its own, and one payment in
    twenty comes in a burst behind the one before it.
    """
    chance = random.Random(seed)
    terminals, merchants = customers // 5, customers // 25
    step = DAYS * 86_400_000 / count
    at_ms, customer = BEGAN_MS, 0
    for n in range(count):
        is_burst = chance.random() < 0.05
        at_ms = max(at_ms, int(BEGAN_MS + n * step))
        if not is_burst:
            customer = chance.randrange(customers)
        usual = chance.random() < 0.7
        terminal = (
            customer * 7 + chance.randrange(4) if usual else chance.randrange(terminals)
        ) % terminals
        merchant = terminal * merchants // terminals
        is_online = chance.random() < 0.3
        fields: dict[str, Any] = {
            "customer": f"customer-{customer:06}",
            "card": f"card-{customer:06}",
            "account": f"account-{customer:06}",
            "merchant": f"merchant-{merchant:05}",
            "terminal": f"terminal-{terminal:06}",
            "payee": f"payee-{merchant:05}",
            "currency": "CNY" if chance.random() < 0.9 else "EUR",
            "country": "CN" if chance.random() < 0.97 else "TH",
            "industry": "5411",
            "amount_minor": int(chance.lognormvariate(8.5, 1.1)),
            "is_online": is_online,
        }
        if is_online:
            moved = chance.random() < 0.03
            fields["device"] = f"device-{chance.randrange(customers) if moved else customer:06}"
            fields["ip"] = f"10.{customer % 200}.{customer // 200 % 250}.7"
        yield at_ms, fields


def built(count: int, customers: int) -> tuple[Engine, CompiledPolicy]:
    """Return an engine that has folded payments and the labels of some of them."""
    rules = Roster.delivered()
    state = State(wanted_of(rules))
    chance = random.Random(5)
    frauds: list[tuple[int, str]] = []
    sequence = 0
    for n, (at_ms, fields) in enumerate(payments(count, customers)):
        while frauds and frauds[0][0] <= at_ms:
            told_ms, id_ = frauds.pop(0)
            sequence += 1
            state.stream.label(Label(SCENE, id_, told_ms, sequence, "is_fraud", 1))
        sequence += 1
        state.fold(Event(SCENE, f"w{n}", at_ms, sequence, complete(SCENE, at_ms, fields)))
        if chance.random() < 0.01:
            frauds.append((at_ms + 86_400_000, f"w{n}"))
    assert state.stream.entities >= LEAST_ENTITIES, state.stream.entities
    return Engine(rules, state), rules.standings[SCENE].active


def bodies_of(count: int, customers: int, begin: int) -> list[bytes]:
    """Return questions that go on where the state ends, as they come over the wire."""
    made = []
    stream = payments(count, customers, seed=11)
    for n, (at_ms, fields) in enumerate(stream):
        # Forty days of payments lie behind; these are pressed into the next.
        at_ms = begin + (at_ms - BEGAN_MS) // DAYS
        made.append(msgspec.json.encode({"id": f"q{n}", "at_ms": at_ms, "fields": fields}))
    return made


def audited(engine: Engine, body: bytes, now_ms: int, head: bytes) -> tuple[bytes, bytes]:
    """Return the record of a decision and the hash that chains it."""
    asked = engine.read(SCENE, body, now_ms=now_ms)
    record = record_of(engine.decide(asked, now_ms=now_ms))
    return record, chained(head, record)


def whole(
    engine: Engine, bodies: list[bytes], now_ms: int
) -> tuple[list[bytes], list[float], list[float]]:
    """Return records, and CPU and wall microseconds of each decision, one after the other."""
    records, cpu, wall, head = [], [], [], bytes(32)
    spent, clock = time.thread_time_ns, time.perf_counter_ns
    for body in bodies:
        began, wall_began = spent(), clock()
        record, head = audited(engine, body, now_ms, head)
        cpu.append((spent() - began) / 1e3)
        wall.append((clock() - wall_began) / 1e3)
        records.append(record)
    return records, cpu, wall


def stages(
    engine: Engine, policy: CompiledPolicy, bodies: list[bytes], now_ms: int
) -> dict[str, float]:
    """Return CPU microseconds a decision of each stage, each run over the batch by itself."""
    took: dict[str, float] = {}

    def timed(name: str, work: Callable[[], list[Any]]) -> list[Any]:
        began = time.thread_time_ns()
        made = work()
        took[name] = (time.thread_time_ns() - began) / half / 1e3
        return made

    half = len(bodies) // 2
    bodies, others = bodies[:half], bodies[half:]
    asked = timed("read and check", lambda: [engine.read(SCENE, b, now_ms=now_ms) for b in bodies])
    decisions: list[Decision] = timed(
        "decide (fold, judge, put together)",
        lambda: [engine.decide(one, now_ms=now_ms) for one in asked],
    )
    records = timed("record with full trace", lambda: [record_of(one) for one in decisions])
    timed("chain", lambda: [chained(bytes(32), one) for one in records])
    inputs = [
        {**complete(SCENE, d.asked.at_ms, d.asked.fields), **d.values, **d.flags} for d in decisions
    ]
    timed("of that: judge", lambda: [policy.judge(one) for one in inputs])
    first = engine.state.sequence + 1
    events = [
        Event(SCENE, one.id, one.at_ms, first + n, complete(SCENE, one.at_ms, one.fields))
        for n, one in enumerate(engine.read(SCENE, b, now_ms=now_ms) for b in others)
    ]
    timed("of that: fold", lambda: [engine.state.fold(one) for one in events])
    return took


def check(records: list[bytes], policy: CompiledPolicy) -> None:
    """Assert that every decision, computed again from its record, has its bytes."""
    for record in records:
        assert record_of(replay(read_record(record), policy)) == record


def rules_only() -> dict[str, Any]:
    """Return the delivered document, cut down to its table of rules."""
    source = files(scenes).joinpath(f"{SCENE}.json").read_text(encoding="utf-8")
    document = json.loads(source)
    kept = [n for n in document["nodes"] if n["id"] in {"in", "rules", "out"}]
    edges = [
        {"id": f"{a}-{b}", "type": "edge", "sourceId": a, "targetId": b}
        for a, b in (("in", "rules"), ("rules", "out"))
    ]
    return {"nodes": kept, "edges": edges}


def reference(records: list[bytes], rounds: int) -> float:
    """Return CPU microseconds of the reference engine for the table of rules, answers equal."""
    loader = {"type": "static", "content": {SCENE: rules_only()}}
    engine = zen.ZenEngine({"loader": loader})
    decisions = [read_record(record) for record in records]
    given = [
        {**complete(SCENE, d.asked.at_ms, d.asked.fields), **d.values, **d.flags} for d in decisions
    ]
    for decision, values in zip(decisions, given, strict=True):
        found = engine.evaluate(SCENE, values)["result"]["hits"]
        hits = [name for name in dict(decision.trace)["hits"] if name.startswith("rules/")]
        assert len(found) == len(hits), decision
    took = []
    for _ in range(rounds):
        began = time.process_time_ns()
        for values in given:
            engine.evaluate(SCENE, values)
        took.append((time.process_time_ns() - began) / len(given) / 1e3)
    return statistics.median(took)


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: microseconds of a decision and of its stages."""
    customers, past, count, rounds = (
        (4_000, 100_000, 2_000, 3) if quick else (6_000, 200_000, 3_000, 7)
    )
    engine, policy = built(past, customers)
    begin = engine.state.stream.watermark + 1_000
    bodies = bodies_of(count * rounds * 2, customers, begin)
    now_ms = begin + 2 * 86_400_000
    threshold = gc.get_threshold()
    # As the owner's process does.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    cpu, wall, medians, kept = [], [], [], []
    took: dict[str, list[float]] = {}
    for n in range(rounds):
        part = bodies[2 * n * count :]
        records, each_cpu, each_wall = whole(engine, part[:count], now_ms)
        medians.append(statistics.median(each_cpu))
        cpu, wall = cpu + each_cpu, wall + each_wall
        kept += records
        for name, one in stages(engine, policy, part[count : 2 * count], now_ms).items():
            took.setdefault(name, []).append(one)
    check(kept, policy)
    peer = reference(kept[:500], rounds)
    gc.set_threshold(*threshold)
    gc.unfreeze()
    cpu.sort()
    wall.sort()
    middle = statistics.median(cpu)

    def row(name: str, *cells: float | str) -> list[Any]:
        return [name, *(f"{one:.1f}" if isinstance(one, float) else one for one in cells)]

    rows = [
        row("E1: JSON in to audited decision", middle, _at(cpu, 0.99), _at(wall, 0.5),
            _at(wall, 0.99)),
        row("E1, the best round of them", min(medians), "", "", ""),
        *(row(name, statistics.median(each), "", "", "") for name, each in took.items()),
        row(f"zen-engine {version('zen-engine')}: table of rules only", peer, "", "", ""),
    ]  # fmt: skip
    table = policy.document.node("rules")
    return {
        "title": "A whole decision in process: delivered policy of card payments (E1), "
        f"Python {platform.python_version()}, msgspec {version('msgspec')}",
        "columns": ["work", "CPU us, median", "CPU us, p99", "wall us, p50", "wall us, p99"],
        "rows": rows,
        "notes": [
            f"{engine.state.stream.entities:,} entities in state; {len(policy.reads)} features, "
            f"{len(getattr(table, 'rows', ()))} rules, {len(kept[0]):,} bytes a record; "
            f"{len(kept):,} decisions replayed to equal bytes."
        ],
    }


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
