"""The price of a locked rate: ours, which follows volatility, beside flat ones; and its speed.

A flat premium is what price lists have: so many basis points for a period. Both are chosen on the
central bank's history before 2015, to pay a tenth more than promises cost there, and judged on what
came after. What counts is how far premiums are from costs in each year and pair: too little loses
money, too much loses clients.

    python benchmarks/fx_lock.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from time import perf_counter
from uuid import UUID

import numpy as np

from steelyard.cli.fx import PAIRS
from steelyard.payments.model.fx import Lock, book_of, premium_ppm
from steelyard.payments.model.fx_backtest import ewma_sigma
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.quotes import QuoteAsk, price_of
from steelyard.payments.service.rates_ecb import EcbFeed, history

SPLIT = np.datetime64(date(2015, 1, 1))
MARGIN = 1.1
QUOTES = 20_000


@dataclass
class Pair:
    """Promises of a day of one pair: when made, their fair price by volatility, what they cost."""

    name: str
    made_on: np.ndarray
    fair: np.ndarray
    cost: np.ndarray


def pairs() -> list[Pair]:
    """Return the promises of every pair that the command tries too."""
    past = history()
    days = np.array(past.days, dtype="datetime64[D]")
    found = []
    for name in PAIRS:
        rates = past.cross(*name.split("/"))
        kept = np.isfinite(rates)
        rates, on = rates[kept], days[kept]
        fair = ewma_sigma(rates)[:-1][60:] / np.sqrt(2 * np.pi)
        cost = np.maximum(rates[:-1] / rates[1:] - 1, 0)[60:]
        found.append(Pair(name, on[:-1][60:], fair, cost))
    return found


def off(premiums: list[np.ndarray], known: list[Pair]) -> tuple[float, float, float]:
    """Return of pair-years: how far cost is from premium on the average, the worst, and all."""
    ratios = []
    paid = asked = 0.0
    for premium, pair in zip(premiums, known, strict=True):
        judged = pair.made_on >= SPLIT
        years = pair.made_on[judged].astype("datetime64[Y]")
        for year in np.unique(years):
            mask = years == year
            ratios.append(float(pair.cost[judged][mask].sum() / premium[judged][mask].sum()))
        paid += float(pair.cost[judged].sum())
        asked += float(premium[judged].sum())
    return float(np.mean(np.abs(np.log(ratios)))), max(ratios), paid / asked


def main() -> None:
    """Print both."""
    known = pairs()
    before = [pair.made_on < SPLIT for pair in known]
    cost = sum(float(p.cost[b].sum()) for p, b in zip(known, before, strict=True))
    fair = sum(float(p.fair[b].sum()) for p, b in zip(known, before, strict=True))
    count = sum(int(b.sum()) for b in before)
    load, flat = MARGIN * cost / fair, MARGIN * cost / count
    own = [MARGIN * float(p.cost[b].mean()) for p, b in zip(known, before, strict=True)]
    ways = {
        f"by volatility, load {load:.4f}": [load * pair.fair for pair in known],
        f"flat, {flat * 1e4:.1f} bp": [np.full(len(pair.cost), flat) for pair in known],
        "flat, its own for each pair": [
            np.full(len(p.cost), one) for p, one in zip(known, own, strict=True)
        ],
    }
    print(f"{len(known)} pairs, a day's promise, judged from {SPLIT} on, by pair and year")
    print(f"{'premium':34} {'mean |ln(cost/premium)|':>24} {'worst year':>11} {'all':>6}")
    for name, premiums in ways.items():
        mean, worst, all_of_it = off(premiums, known)
        print(f"{name:34} {mean:24.3f} {worst:11.2f} {all_of_it:6.2f}")
    speed()


def speed() -> None:
    """Print how many quotes a second are priced, without the database."""
    past = history()
    book = book_of(EcbFeed().latest(datetime.combine(past.days[-1], time(20), UTC)))
    asks = [
        QuoteAsk(
            id=UUID(int=n), mode=Mode.SANDBOX, holder=None, sell="CNY", buy="JPY", sell_minor=n + 99
        )
        for n in range(QUOTES)
    ]
    began = perf_counter()
    for ask in asks:
        price_of(book, ask, margin_ppm=3_000, premium_ppm=premium_ppm(0.004, Lock.HOUR_24))
    print(f"{QUOTES / (perf_counter() - began):,.0f} quotes priced a second, on one core")


if __name__ == "__main__":
    main()
