"""Rules: a 20-rule collect table with bands (R1), a 3,000-row first-hit table (R2).

Both documents are compiled by the public compiler and given to the reference engine (`zen-engine`,
static loader, asked by key with a dict, as its documentation shows for hot paths). Ours answers
with the row ids of the hits, the reference without them (its trace costs it more). Equal outputs
on every event are asserted first; the two take turns, and the CPU time of this process is counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import zen

from steelyard.decisions.model.compile import Compiled, compile_document
from steelyard.decisions.model.document import parse_document

FIELDS = (
    "amount_minor", "card_count_1h", "card_count_1d", "card_sum_1d", "terminal_count_1h",
    "terminal_fraud_30d", "country", "channel", "hour", "new_device", "customer_age_d", "zscore",
)  # fmt: skip
"""The 12 inputs of R1."""

_RULES: tuple[tuple[dict[str, str], int], ...] = (
    ({"amount_minor": "> 500000"}, 40),
    ({"amount_minor": "(200000..500000]"}, 20),
    ({"amount_minor": "> 100000", "hour": "[0..5]"}, 25),
    ({"card_count_1h": "> 5"}, 30),
    ({"card_count_1h": "[3..5]", "amount_minor": "> 20000"}, 15),
    ({"card_count_1d": "> 20"}, 25),
    ({"card_sum_1d": "> 1000000"}, 35),
    ({"terminal_count_1h": "> 50", "channel": "'pos'"}, 10),
    ({"terminal_fraud_30d": "> 0.05"}, 50),
    ({"terminal_fraud_30d": "(0.01..0.05]"}, 20),
    ({"country": "'NG', 'RU', 'BR'"}, 20),
    ({"country": "'US'", "channel": "'web'", "amount_minor": "> 150000"}, 12),
    ({"channel": "'moto'"}, 18),
    ({"new_device": "true"}, 15),
    ({"new_device": "true", "amount_minor": "> 50000"}, 20),
    ({"new_device": "true", "hour": ">= 23"}, 10),
    ({"customer_age_d": "< 7"}, 22),
    ({"customer_age_d": "< 30", "amount_minor": "> 80000"}, 14),
    ({"zscore": "> 3"}, 28),
    ({"zscore": "> 2", "card_count_1d": "> 8"}, 16),
)


def _chain(*nodes: dict[str, Any]) -> dict[str, Any]:
    listed = [
        {"id": "in", "name": "in", "type": "inputNode"},
        *nodes,
        {"id": "out", "name": "out", "type": "outputNode"},
    ]
    edges = [
        {"id": f"{a['id']}-{b['id']}", "type": "edge", "sourceId": a["id"], "targetId": b["id"]}
        for a, b in pairwise(listed)
    ]
    return {"nodes": listed, "edges": edges}


def _table(id: str, fields: tuple[str, ...], outputs: tuple[str, ...], rows: list[dict[str, str]],
           policy: str, **shaping: Any) -> dict[str, Any]:  # fmt: skip
    content = {
        "hitPolicy": policy,
        "inputs": [{"id": name, "name": name, "field": name} for name in fields],
        "outputs": [{"id": f"={name}", "name": name, "field": name} for name in outputs],
        "rules": [{"_id": f"{id}-{n}", **row} for n, row in enumerate(rows)],
        **shaping,
    }
    return {"id": id, "name": id, "type": "decisionTableNode", "content": content}


def rules_document() -> dict[str, Any]:
    """Return R1: 20 rules that are all asked, the sum of their scores, a band of actions."""
    rows = [
        {**cells, "=score": str(score), "=code": f"'R{n:02}'"}
        for n, (cells, score) in enumerate(_RULES)
    ]
    rules = _table("rule", FIELDS, ("score", "code"), rows, "collect", outputPath="hits")
    total = {
        "id": "sum",
        "name": "sum",
        "type": "expressionNode",
        "content": {
            "expressions": [
                {"id": "score", "key": "score", "value": "sum(map(hits, #.score))"},
                {"id": "codes", "key": "codes", "value": "map(hits, #.code)"},
            ]
        },
    }
    bands = [
        {"score": ">= 80", "=action": "'decline'"},
        {"score": "[50..80)", "=action": "'review'"},
        {"score": "[25..50)", "=action": "'step-up'"},
        {"score": "< 25", "=action": "'approve'"},
    ]
    band = _table("band", ("score",), ("action",), bands, "first", passThrough=True)
    return _chain(rules, total, band)


def events(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return events with the 12 values of R1; one in fifty values is missing."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        event: dict[str, Any] = {
            "amount_minor": int(chance.lognormvariate(10, 1.5)),
            "card_count_1h": min(int(chance.expovariate(0.7)), 12),
            "card_count_1d": min(int(chance.expovariate(0.2)), 40),
            "card_sum_1d": int(chance.lognormvariate(11.5, 1.4)),
            "terminal_count_1h": int(chance.expovariate(0.04)),
            "terminal_fraud_30d": round(chance.expovariate(80), 4),
            "country": chance.choice(["CN", "US", "GB", "NG", "DE", "BR"]),
            "channel": chance.choice(["pos", "web", "app", "moto"]),
            "hour": chance.randrange(24),
            "new_device": chance.random() < 0.1,
            "customer_age_d": int(chance.expovariate(0.003)),
            "zscore": round(chance.gauss(0, 1.3), 3),
        }
        for name in FIELDS:
            if chance.random() < 0.02:
                event[name] = None
        made.append(event)
    return made


def long_document(rows: int) -> dict[str, Any]:
    """Return R2: a first-hit table with two columns of equality and three of ranges."""
    chance = random.Random(11)
    made = []
    for n in range(rows - 1):
        low, age, score = (
            chance.randrange(0, 90_000, 500),
            chance.randrange(0, 60),
            chance.randrange(100),
        )
        made.append(
            {
                "country": f"'C{n % 20}'",
                "product": f"'P{n // 20 % 10}'",
                "amount": f"[{low}..{low + chance.randrange(2_000, 20_000)})",
                "age": f">= {age}",
                "score": f"< {score + 5}",
                "=rate": str(n),
            }
        )
    made.append({"=rate": "-1"})
    fields = ("country", "product", "amount", "age", "score")
    return _chain(_table("t", fields, ("rate",), made, "first"))


def long_events(count: int) -> list[dict[str, Any]]:
    """Return what R2 is asked."""
    chance = random.Random(13)
    return [
        {
            "country": f"C{chance.randrange(21)}",
            "product": f"P{chance.randrange(10)}",
            "amount": chance.randrange(110_000),
            "age": chance.randrange(80),
            "score": chance.randrange(110),
        }
        for _ in range(count)
    ]


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: microseconds a decision, ours and the reference's, and the ratio."""
    count = 500 if quick else 2_000
    rounds = 5 if quick else 15
    works = [
        ("R1: 20-rule collect table, sum, bands", rules_document(), events(count)),
        *(
            (f"R2: {rows:,}-row first-hit table", long_document(rows), long_events(count))
            for rows in ((3_000,) if quick else (20, 200, 3_000))
        ),
    ]
    rows: list[list[Any]] = []
    for title, document, asked in works:
        compiled = compile_document(parse_document(document))
        loader = {"type": "static", "content": {"k": document}}
        reference = zen.ZenEngine({"loader": loader})
        _assert_equal(compiled, reference, asked)
        ways: dict[str, Callable[[], None]] = {
            "ours, row ids of hits": lambda c=compiled, a=asked: _each(c.run, a),
            "ours, full trace": lambda c=compiled, a=asked: _each(c.trace, a),
            "zen, static loader": lambda z=reference, a=asked: _zen(z, a),
        }
        rows += _measured(title, ways, rounds, asked, compiled, reference)
    return {
        "title": "Rules compiled to Python beside the reference engine "
        f"(zen-engine {version('zen-engine')}, Python {platform.python_version()})",
        "columns": ["work", "how", "CPU us, median", "wall us, p50", "wall us, p99", "times ours"],
        "rows": rows,
        "notes": [f"{count} events, {rounds} rounds, the ways take turns; equal outputs asserted."],
    }


def _each(ask: Callable[[dict[str, Any]], Any], asked: list[dict[str, Any]]) -> None:
    for event in asked:
        ask(event)


def _zen(engine: Any, asked: list[dict[str, Any]]) -> None:
    evaluate = engine.evaluate
    for event in asked:
        evaluate("k", event)


def _assert_equal(compiled: Compiled, reference: Any, asked: list[dict[str, Any]]) -> None:
    for event in asked:
        found = compiled.run(event)
        assert found.result == reference.evaluate("k", event)["result"], event
        assert compiled.trace(event)[:3] == found
        codes = found.result.get("codes")
        if codes is not None:
            named = [f"R{int(hit.row[5:]):02}" for hit in found.hits if hit.node == "rule"]
            assert named == codes, event


def _measured(
    title: str,
    ways: dict[str, Callable[[], None]],
    rounds: int,
    asked: list[dict[str, Any]],
    *engines: Any,
) -> list[list[Any]]:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time_ns()
            way()
            spent[name].append((time.process_time_ns() - began) / len(asked) / 1_000)
    compiled, reference = engines
    asks = {
        "ours, row ids of hits": compiled.run,
        "ours, full trace": compiled.trace,
        "zen, static loader": lambda event: reference.evaluate("k", event),
    }
    ours = statistics.median(spent["ours, row ids of hits"])
    rows = []
    for name, times in spent.items():
        walls = sorted(_wall(asks[name], event) for event in asked)
        median = statistics.median(times)
        rows.append(
            [title, name, f"{median:.2f}", f"{walls[len(walls) // 2]:.2f}",
             f"{walls[int(len(walls) * 0.99)]:.2f}", f"{median / ours:.1f}"]
        )  # fmt: skip
    return rows


def _wall(ask: Callable[[dict[str, Any]], Any], event: dict[str, Any]) -> float:
    began = time.perf_counter_ns()
    ask(event)
    return (time.perf_counter_ns() - began) / 1_000


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
