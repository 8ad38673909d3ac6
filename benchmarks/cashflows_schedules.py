"""Schedules: a million loans of twelve instalments planned in columns, rows materialised.

Three books: equal instalments alone; six methods times four day counts; and the same dressed as
products are, with Chinese working days, first due dates of their own, graces, fees, multiples,
three roundings. On a sample the columns are asserted equal to the scalar engine, and where the
product is plain to a straightforward schedule in Decimal. The annuity formula over float64 arrays,
without dates, cents or a last instalment that fits, shows what NumPy itself takes.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from cashflows_peer import DRESSED, INSTALMENTS, PLAIN, PRODUCTS, book, decimal_schedule
from steelyard.cashflows import plan
from steelyard.cashflows.model.columns import (
    TermsColumns,
    day_number,
    earned_columns,
    outstanding_columns,
    plan_columns,
)

SAMPLE = 2_000
CHECKED = 20_000
TODAY = day_number(date(2024, 6, 30))


def check(terms: TermsColumns, *, is_plain: bool) -> None:
    """Assert that columns, scalar engine and Decimal agree on a sample."""
    sample = terms[:CHECKED]
    made = plan_columns(sample)
    for place in range(len(sample)):
        one = sample.terms_at(place)
        found = made.plan_at(place)
        assert found == plan(one), one
        if is_plain and place < SAMPLE:
            rows = [
                (row.due_on, row.principal_minor, row.interest_minor, row.balance_minor)
                for row in found.rows
            ]
            assert rows == decimal_schedule(one), one


def by_scalar(terms: TermsColumns) -> str:
    """Return how many contracts the columns left to the scalar engine."""
    made = plan_columns(terms)
    return f"{made.by_scalar:,} of {len(made):,}, {made.near_ties:,} for a near tie"


def annuity(terms: TermsColumns) -> tuple[np.ndarray[Any, Any], ...]:
    """Return interest and principal of equal instalments by the formula, in float64."""
    rate = (terms.rate / 10.0**terms.rate_exponent / 12)[:, None]
    amount = terms.principal_minor[:, None].astype(np.float64)
    nr = np.arange(1, INSTALMENTS + 1)
    grown = (1 + rate) ** INSTALMENTS
    payment = amount * rate * grown / (grown - 1)
    before = (1 + rate) ** (nr - 1)
    interest = (amount * before - payment * (before - 1) / rate) * rate
    return interest, payment - interest


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds of CPU and of the wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: seconds for a million loans, and how many schedules a second."""
    loans, rounds = (200_000, 3) if quick else (1_000_000, 7)
    books = {
        "columns, equal instalments": book(loans, [PLAIN]),
        "columns, 6 methods x 4 day counts": book(loans, PRODUCTS),
        "columns, the same dressed": book(loans, DRESSED, stubs=0.3),
    }
    for name, terms in books.items():
        check(terms, is_plain="dressed" not in name)
    equal, mixed, dressed = books.values()
    counted = "; ".join(f"{name[9:]}: {by_scalar(terms)}" for name, terms in books.items())
    made = plan_columns(mixed)
    sample = [mixed.terms_at(place) for place in range(SAMPLE)]
    odd = [dressed.terms_at(place) for place in range(SAMPLE)]
    ways: list[tuple[str, int, Callable[[], Any]]] = [
        *((name, loans, lambda terms=terms: plan_columns(terms)) for name, terms in books.items()),
        ("principal outstanding on a day", loans, lambda: outstanding_columns(made, TODAY)),
        ("interest earned on a day", loans, lambda: earned_columns(made, TODAY)),
        ("annuity formula, float64", loans, lambda: annuity(equal)),
        ("scalar, 6 x 4", SAMPLE, lambda: [plan(one) for one in sample]),
        ("scalar, dressed", SAMPLE, lambda: [plan(one) for one in odd]),
        ("Decimal, 6 x 4", SAMPLE, lambda: [decimal_schedule(one) for one in sample]),
    ]
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in ways}
    for _ in range(rounds):
        for name, _, work in ways:
            spent[name].append(timed(work))
    many = {name: count for name, count, _ in ways}
    per_loan = {
        name: statistics.median(cpu for cpu, _ in times) / many[name]
        for name, times in spent.items()
    }
    ours = per_loan["columns, 6 methods x 4 day counts"]
    rows = []
    for name, times in spent.items():
        walls = [wall / many[name] * 1e6 for _, wall in times]
        rows.append(
            [name, f"{per_loan[name] * 1e6:.2f}", f"{statistics.median(walls):.2f}",
             f"{max(walls):.2f}", f"{1 / per_loan[name]:,.0f}", f"{per_loan[name] / ours:.1f}"]
        )  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "title": f"Schedules of {loans:,} loans x {INSTALMENTS} rows, materialised (NumPy "
        f"{np.__version__}, Python {platform.python_version()}, one process)",
        "columns": ["how", "CPU s, 1 M loans", "wall s, p50", "wall s, worst", "schedules/s",
                    "times ours"],
        "rows": rows,
        "notes": [
            f"{CHECKED:,} contracts of each book were equal to the scalar engine, {SAMPLE:,} of the"
            " plain ones to Decimal, before anything was timed.",
            f"By the scalar engine after all: {counted}.",
            f"Most memory held: {peak:,} MiB.",
        ],
    }  # fmt: skip


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
