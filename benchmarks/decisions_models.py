"""Models: one row through 100 trees of 31 leaves over 30 inputs (M1), with top-3 reasons (M2).

Beside LightGBM's own `booster.predict` and `pred_contrib`. Before anything is timed, every way is
asserted to give LightGBM's probabilities to the bit; how often the reasons are those of exact
TreeSHAP is printed. One thread; the ways are interleaved in rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import lightgbm
import numpy as np

from steelyard.decisions.model.attribution import CompiledExplainer, Explainer
from steelyard.decisions.model.gbm import GbmModel, NativeScorer, PlainScorer
from steelyard.decisions.model.inputs import FIELD, ModelInputs

INPUTS, TREES, LEAVES = 30, 100, 31
Row = dict[str, float]


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: CPU median, wall p50 and p99 of each way, and the ratio to the peer."""
    booster, matrix = _train()
    names = tuple(booster.feature_name())
    model = GbmModel("bench", 1, ModelInputs(names, (FIELD,) * INPUTS), booster.model_to_string())
    rows = [
        dict(zip(names, row, strict=True)) for row in matrix[: 300 if quick else 2_000].tolist()
    ]
    native, plain = NativeScorer(model), PlainScorer(model)
    numpy_ = Explainer(model)
    scored: dict[str, Callable[[int], Any]] = {
        "booster.predict": lambda n: booster.predict(matrix[n : n + 1], num_threads=1),
        "ours, C fast call": lambda n: native.probability(rows[n]),
        "ours, plain Python": lambda n: plain.probability(rows[n]),
    }
    explained: dict[str, Callable[[int], Any]] = {
        "booster.predict(pred_contrib=True)": lambda n: booster.predict(
            matrix[n : n + 1], pred_contrib=True, num_threads=1
        ),
        "ours, exact TreeSHAP (case)": lambda n: native.shap_of(rows[n]),
        "ours, leaf table, numpy": lambda n: numpy_.explain(rows[n]),
    }
    expected = booster.predict(matrix[: len(rows)], num_threads=1).tolist()
    assert [native.probability(row) for row in rows] == expected
    assert [plain.probability(row) for row in rows] == expected
    assert [numpy_.explain(row).probability for row in rows] == expected
    if find_spec("numba") is not None:
        compiled = CompiledExplainer(model)
        assert [compiled.explain(row) for row in rows] == [numpy_.explain(row) for row in rows]
        explained["ours, compiled by numba"] = lambda n: compiled.explain(rows[n])
    first, top3, overlap = _agreement(booster, matrix[: len(rows)], numpy_, rows)
    seconds = 3 if quick else 8
    table = _measure("M1 score", scored, len(rows), seconds=seconds)
    table += _measure("M2 score + 3 reasons", explained, len(rows), seconds=seconds)
    return {
        "title": f"Models: {TREES} trees x {LEAVES} leaves x {INPUTS} inputs, one row, error 0",
        "columns": ["work", "way", "CPU µs", "wall p50 µs", "wall p99 µs", "times the peer"],
        "rows": table,
        "notes": [
            f"reasons against exact TreeSHAP over {len(rows)} rows: the first is the same in"
            f" {first:.1%}, all three (as a set) in {top3:.1%}, {overlap:.1%} of the reasons"
            " are among TreeSHAP's three",
            "rows are dicts of names to values; the peer gets its rows as arrays made beforehand",
            f"LightGBM {version('lightgbm')}, NumPy {version('numpy')}, numba "
            + (version("numba") if find_spec("numba") else "not installed"),
        ],
    }


def _train() -> tuple[lightgbm.Booster, np.ndarray]:
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(20_000, INPUTS))
    signal = (
        matrix[:, :6].sum(axis=1) + matrix[:, 6] * matrix[:, 7] + np.abs(matrix[:, 8:12]).sum(1)
    )
    bad = signal + rng.normal(size=len(matrix)) * 2 > 6
    names = [f"input_{n}" for n in range(INPUTS)]
    params = {"objective": "binary", "num_leaves": LEAVES, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(matrix, bad.astype(int), feature_name=names)
    return lightgbm.train(params, data, TREES), matrix


def _agreement(
    booster: lightgbm.Booster, matrix: np.ndarray, explainer: Explainer, rows: list[Row]
) -> tuple[float, float, float]:
    """Return how often the first reason, and the three, are those of TreeSHAP, and the overlap."""
    names = booster.feature_name()
    exact = booster.predict(matrix, pred_contrib=True, num_threads=1)[:, :-1]
    first = top3 = shared = of = 0
    for row, shap in zip(rows, exact, strict=True):
        ours = [reason.feature for reason in explainer.explain(row).reasons]
        order = np.argsort(-shap, kind="stable")[:3]
        theirs = [names[n] for n in order if shap[n] > 0]
        first += ours[:1] == theirs[:1]
        top3 += set(ours) == set(theirs)
        shared += len(set(ours) & set(theirs))
        of += max(len(ours), len(theirs))
    return first / len(rows), top3 / len(rows), shared / of


def _measure(
    work: str, ways: dict[str, Callable[[int], Any]], rows: int, *, seconds: float
) -> list[list[Any]]:
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    wall: dict[str, list[float]] = {way: [] for way in ways}
    began = time.perf_counter()
    gc.disable()
    while time.perf_counter() - began < seconds * len(ways) / 2:
        for way, call in ways.items():
            _round(call, rows, cpu[way], wall[way])
    gc.enable()
    peer = statistics.median(cpu[next(iter(ways))])
    table = []
    for way in ways:
        median, ordered = statistics.median(cpu[way]), sorted(wall[way])
        p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        table.append(
            [work, way, f"{median:.1f}", f"{p50:.1f}", f"{p99:.1f}", f"{peer / median:.1f}"]
        )
    return table


def _round(call: Callable[[int], Any], rows: int, cpu: list[float], wall: list[float]) -> None:
    """Time some calls together for the CPU, and each by itself for the wall."""
    some = [n % rows for n in range(40)]
    for n in some[:5]:
        call(n)
    began = time.process_time_ns()
    for n in some:
        call(n)
    cpu.append((time.process_time_ns() - began) / len(some) / 1000)
    for n in some:
        at = time.perf_counter_ns()
        call(n)
        wall.append((time.perf_counter_ns() - at) / 1000)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2, ensure_ascii=False))
