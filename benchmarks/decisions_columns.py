"""Columns: re-decide a million stored events under a new rule set, with labels and cost curve (R3).

The document is that of R1: 20 rules with the codes of the hits, their score, a band of actions. On
a sample the columns are asserted equal to the row form and to the reference engine first. Timed is
all of it: the decisions, the swap set against the stored ones, loss and recall by action, and the
cost curve over every threshold of the score. Nothing is read from a disk.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zen
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from decisions_rules import rules_document
from steelyard.decisions.model.column_values import Column, Kind, Words
from steelyard.decisions.model.columns import ColumnPolicy, Decided
from steelyard.decisions.model.compile import compile_document
from steelyard.decisions.model.document import parse_document

REVIEW_COST_MINOR = 3_000
INSULT_COST_MINOR = 1_500


def stored(rows: int, seed: int = 5) -> tuple[dict[str, Column], NDArray[Any], NDArray[Any]]:
    """Return columns of events, their labels (fraud or not), and what was decided then."""
    chance = np.random.default_rng(seed)

    def number(values: NDArray[Any]) -> Column:
        return Column(Kind.NUMBER, values, chance.random(rows) < 0.02)

    def text(*words: str) -> Column:
        codes = chance.integers(0, len(words), rows)
        return Column(Kind.TEXT, codes, chance.random(rows) < 0.02, Words(words))

    columns = {
        "amount_minor": number(chance.lognormal(10, 1.5, rows).astype(np.int64)),
        "card_count_1h": number(np.minimum(chance.exponential(1.4, rows), 12).astype(np.int64)),
        "card_count_1d": number(np.minimum(chance.exponential(5, rows), 40).astype(np.int64)),
        "card_sum_1d": number(chance.lognormal(11.5, 1.4, rows).astype(np.int64)),
        "terminal_count_1h": number(chance.exponential(25, rows).astype(np.int64)),
        "terminal_fraud_30d": number(chance.exponential(1 / 80, rows).round(4)),
        "country": text("CN", "US", "GB", "NG", "DE", "BR"),
        "channel": text("pos", "web", "app", "moto"),
        "hour": number(chance.integers(0, 24, rows)),
        "new_device": Column(Kind.FLAG, chance.random(rows) < 0.1, chance.random(rows) < 0.02),
        "customer_age_d": number(chance.exponential(330, rows).astype(np.int64)),
        "zscore": number(chance.normal(0, 1.3, rows).round(3)),
    }
    risk = columns["terminal_fraud_30d"].values + columns["new_device"].values * 0.02
    label = chance.random(rows) < risk
    before = chance.integers(0, 2, rows).astype(np.bool_)
    return columns, label, before


def judged(
    decided: Decided, columns: dict[str, Column], label: NDArray[Any], before: NDArray[Any]
) -> dict[str, Any]:
    """Return swap set, loss and recall by action, and the cost of each threshold of the score."""
    action, score = decided.columns["action"], decided.columns["score"].values
    amount = columns["amount_minor"]
    assert action.words is not None
    assert amount.missing is not None
    stopped = action.values == action.words.codes["decline"]
    stopped_now, stopped_then = np.count_nonzero(stopped), np.count_nonzero(before)
    both = np.count_nonzero(stopped & before)
    swap = np.array([stopped_then - both, both, stopped_now - both])
    # Only frauds are lost, and they are few.
    frauds_at = np.flatnonzero(label)
    lost = np.where(amount.missing[frauds_at], 0, amount.values[frauds_at])
    count = len(action.words.words)
    frauds = np.bincount(action.values[frauds_at], minlength=count)
    losses = np.bincount(action.values[frauds_at], weights=lost, minlength=count)
    place = score - score.min()
    all_ = np.bincount(place)
    fraud = np.bincount(place[frauds_at], minlength=len(all_))
    loss = np.bincount(place[frauds_at], weights=lost, minlength=len(all_))
    # What is at or above a threshold is stopped: from the highest score down.
    stopped_loss, stopped_all = loss[::-1].cumsum(), all_[::-1].cumsum()
    insults = (all_ - fraud)[::-1].cumsum()
    cost = loss.sum() - stopped_loss + INSULT_COST_MINOR * insults
    cost = cost + REVIEW_COST_MINOR * stopped_all
    return {"swap": swap, "frauds": frauds, "losses": losses, "cost": cost}


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: decisions a second on one core, and how much faster than the others."""
    rows, rounds = (200_000, 3) if quick else (1_000_000, 7)
    columns, label, before = stored(rows)
    content = rules_document()
    compiled = compile_document(parse_document(content))
    policy = ColumnPolicy(compiled)
    sample = 2_000
    events = [{name: column.at(n) for name, column in columns.items()} for n in range(10 * sample)]
    loader = {"type": "static", "content": {"k": content}}
    engine = zen.ZenEngine({"loader": loader})
    decided = policy.run(columns, rows)
    assert decided.by_row == 0
    for n, event in enumerate(events[:sample]):
        expected = compiled.run(event).result
        found = {name: decided.columns[name].at(n) for name in ("score", "codes", "action")}
        assert found == expected == engine.evaluate("k", event)["result"], event
    batch = [{"key": "k", "context": event} for event in events[:sample]]
    ways: list[tuple[str, int, Callable[[], Any]]] = [
        ("columns, decisions alone", rows, lambda: policy.run(columns, rows)),
        (
            "columns, with labels and cost curve",
            rows,
            lambda: judged(policy.run(columns, rows), columns, label, before),
        ),
        ("row form", len(events), lambda: [compiled.run(event) for event in events]),
        ("zen, evaluate_batch", sample, lambda: engine.evaluate_batch(batch)),
    ]
    spent: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    walls: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    for _ in range(rounds):
        for name, count, way in ways:
            began, wall = time.process_time_ns(), time.perf_counter_ns()
            way()
            spent[name].append((time.process_time_ns() - began) / count)
            walls[name].append((time.perf_counter_ns() - wall) / count)
    ours = statistics.median(spent["columns, with labels and cost curve"])
    table = []
    for name, _, _ in ways:
        median = statistics.median(spent[name])
        table.append(
            [name, f"{median:,.0f}", f"{statistics.median(walls[name]):,.0f}",
             f"{max(walls[name]):,.0f}", f"{1_000 / median:.2f}", f"{median / ours:.1f}"]
        )  # fmt: skip
    return {
        "title": f"{rows:,} stored events re-decided under a new rule set (zen-engine "
        f"{version('zen-engine')}, NumPy {np.__version__}, Python {platform.python_version()})",
        "columns": ["how", "CPU ns an event", "wall ns, p50", "wall ns, worst",
                    "million/s a core", "times ours"],
        "rows": table,
    }  # fmt: skip


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
