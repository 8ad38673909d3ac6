"""The scalar engine: schedules a second by method, beside a straightforward one in Decimal.

Both give the same rows before anything is timed; the Decimal schedule knows the plain product only
(no graces, fees, multiples, holidays, residue rules). The standing of a contract half paid shows
what one call of `run` takes, with the payments of six months and the last two of them reversed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from cashflows_peer import INSTALMENTS, METHODS, book, decimal_schedule
from steelyard.cashflows import Terms, plan
from steelyard.cashflows import run as standing_of
from steelyard.cashflows.model.daycount import DayCount
from steelyard.cashflows.model.events import Any as Event
from steelyard.cashflows.model.events import Repaid, Reversed


def history(terms: Terms) -> list[Event]:
    """Return six payments on their due dates, and the reversal of the last two."""
    due = [(row.due_on, row.total_minor) for row in plan(terms).rows[:6]]
    events: list[Event] = [
        Repaid(seq=nr, on=on, amount_minor=max(amount, 1))
        for nr, (on, amount) in enumerate(due, start=1)
    ]
    last = due[-1][0] + timedelta(days=1)
    return [*events, Reversed(seq=7, on=last, of=6), Reversed(seq=8, on=last, of=5)]


def per_second(work: Callable[[Any], object], items: list[Any], rounds: int) -> float:
    """Return the median of how many items a second of CPU are done."""
    rates = []
    for _ in range(rounds):
        began = time.process_time()
        for item in items:
            work(item)
        rates.append(len(items) / (time.process_time() - began))
    return statistics.median(rates)


def run(quick: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Return one table: schedules and standings a second of CPU on one core."""
    count, rounds = (400, 3) if quick else (2_000, 7)
    rows = []
    for name, method in METHODS.items():
        template = replace(method, day_count=DayCount.ACT_365F)
        terms = book(count, [template])
        loans = [terms.terms_at(place) for place in range(count)]
        for one in loans:
            found = [
                (row.due_on, row.principal_minor, row.interest_minor, row.balance_minor)
                for row in plan(one).rows
            ]
            assert found == decimal_schedule(one), one
        ours, decimal = (per_second(way, loans, rounds) for way in (plan, decimal_schedule))
        lived = [(one, history(one)) for one in loans[: count // 4]]
        stood = per_second(
            lambda pair: standing_of(pair[0], pair[1], pair[1][-1].on), lived, rounds
        )
        rows.append(
            [name, f"{ours:,.0f}", f"{decimal:,.0f}", f"{ours / decimal:.2f}", f"{stood:,.0f}"]
        )
    return {
        "title": f"Scalar schedules of {INSTALMENTS} rows, ACT/365F, a second of CPU on one core "
        f"(Python {platform.python_version()})",
        "columns": ["method", "plan/s", "Decimal/s", "ratio", "run/s, 8 events"],
        "rows": rows,
        "notes": [f"{count:,} contracts a method, equal in both before anything was timed."],
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    print(json.dumps(run(options.parse_args().quick), indent=2))
