"""What a promised rate would have cost: lock premiums against what rates did afterwards.

A client with a locked rate takes it up where the market went against him and asks anew where it
went his way. What that costs who promised is the part of the move above zero. The premium is priced
from what was known on the day; its load is chosen on the first years and judged on the later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECAY: Final = 0.94
"""Of the exponentially weighted variance, as RiskMetrics (1996) has it for daily returns."""
_BURN_IN: Final = 60
_BP: Final = 10_000.0
HORIZONS: Final = (1, 2, 5, 10)
"""Business days. The history has one rate a day: shorter promises cannot be judged by it."""


def ewma_sigma(rates: NDArray[np.float64], decay: float = DECAY) -> NDArray[np.float64]:
    """Return the volatility of a day as it was known on each day, from log returns up to that day.

    Parameters
    ----------
    rates : over zero, no NaN, one a day, at least two

    Returns
    -------
    array
        As long as `rates`; what is known on the first days is that of the first returns.

    Examples
    --------
    >>> [round(float(one), 3) for one in ewma_sigma(np.array([1.0, 1.01, 1.0, 1.01]))]
    [0.01, 0.01, 0.01, 0.01]
    """
    assert len(rates) > 1, "a volatility needs two rates"
    squares = np.diff(np.log(rates)) ** 2
    start = float(squares[:20].mean())
    found = np.empty(len(rates))
    variance = found[0] = start
    for n, square in enumerate(squares, 1):
        variance = decay * variance + (1 - decay) * float(square)
        found[n] = variance
    return np.sqrt(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pair and period: what was asked, and what it would have cost, in basis points.

    Attributes
    ----------
    part : `chosen_on`, the years on which the load was chosen, or `judged_on`, those after
    premium_bp, cost_bp : means over the promises; worst_bp : the dearest
    covered : share of the cost that the premiums paid; over 1 they sufficed
    beyond : share of promises that cost more than three times their premium
    """

    pair: str
    days: int
    part: str
    promises: int
    premium_bp: float
    cost_bp: float
    worst_bp: float
    covered: float
    beyond: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A backtest of the premium.

    Attributes
    ----------
    load : chosen on the days before `split_on`, over all pairs for a promise of one day
    by_year : year -> cost over premium for a day's promise with that load, all pairs
    """

    split_on: date
    first_on: date
    last_on: date
    load: float
    rows: tuple[Row, ...]
    by_year: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class _Pair:
    name: str
    days: NDArray[np.datetime64]
    rates: NDArray[np.float64]
    sigma: NDArray[np.float64]

    def promises(self, horizon: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the fair price and the cost of a promise made on each day, both per one."""
        moves = np.log(self.rates[horizon:] / self.rates[:-horizon])[_BURN_IN:]
        # The client buys at a locked price: he takes it up when what he buys became dearer.
        cost = np.maximum(np.expm1(-moves), 0.0)
        fair = self.sigma[:-horizon][_BURN_IN:] * np.sqrt(horizon / (2 * np.pi))
        return fair, cost

    def made_on(self, horizon: int) -> NDArray[np.datetime64]:
        """Return the days on which those promises were made."""
        return self.days[:-horizon][_BURN_IN:]

    def ends_on(self, horizon: int) -> NDArray[np.datetime64]:
        """Return the days on which they ended."""
        return self.days[horizon:][_BURN_IN:]


def backtest(
    days: Sequence[date],
    crosses: Mapping[str, NDArray[np.float64]],
    *,
    split_on: date,
    margin: float = 1.1,
) -> Backtest:
    """Try the premium on a history, chosen before a day and judged from it on.

    Parameters
    ----------
    days : rising
    crosses : `CNY/USD` -> units of the second for one of the first on each day, NaN where none;
        the client sells the first
    margin : by how much the premiums are to pay more than the promises cost, where it is chosen

    Returns
    -------
    Backtest
        No promise that ends after `split_on` has a part in the choice, and none that was made
        before it in the judgement.
    """
    stamps = np.array(days, dtype="datetime64[D]")
    pairs = [
        _Pair(name, stamps[kept], rates[kept], ewma_sigma(rates[kept]))
        for name, rates in crosses.items()
        if (kept := np.isfinite(rates)).sum() > _BURN_IN + max(HORIZONS) + 20
    ]
    split = np.datetime64(split_on)
    load = margin * _ratio(pairs, split)
    rows = tuple(
        row for pair in pairs for horizon in HORIZONS for row in _rows(pair, horizon, split, load)
    )
    return Backtest(
        split_on=split_on,
        first_on=days[0],
        last_on=days[-1],
        load=round(load, 4),
        rows=rows,
        by_year=_by_year(pairs, load),
    )


def _ratio(pairs: Sequence[_Pair], split: np.datetime64) -> float:
    """Return cost over fair price of promises of one day that ended before a day."""
    fair_sum = cost_sum = 0.0
    for pair in pairs:
        fair, cost = pair.promises(1)
        ended = pair.ends_on(1) < split
        fair_sum += float(fair[ended].sum())
        cost_sum += float(cost[ended].sum())
    assert fair_sum > 0, "there is no history before the split"
    return cost_sum / fair_sum


def _rows(pair: _Pair, horizon: int, split: np.datetime64, load: float) -> list[Row]:
    fair, cost = pair.promises(horizon)
    masks = {
        "chosen_on": pair.ends_on(horizon) < split,
        "judged_on": pair.made_on(horizon) >= split,
    }
    rows = []
    for part, mask in masks.items():
        if not mask.any():
            continue
        premium, paid = load * fair[mask] * _BP, cost[mask] * _BP
        rows.append(
            Row(
                pair=pair.name,
                days=horizon,
                part=part,
                promises=int(mask.sum()),
                premium_bp=float(premium.mean()),
                cost_bp=float(paid.mean()),
                worst_bp=float(paid.max()),
                covered=float(premium.sum() / max(paid.sum(), 1e-12)),
                beyond=float((paid > 3 * premium).mean()),
            )
        )
    return rows


def _by_year(pairs: Sequence[_Pair], load: float) -> dict[int, float]:
    sums: dict[int, tuple[float, float]] = {}
    for pair in pairs:
        fair, cost = pair.promises(1)
        years = pair.made_on(1).astype("datetime64[Y]").astype(int) + 1970
        for year in np.unique(years):
            mask = years == year
            before = sums.get(int(year), (0.0, 0.0))
            sums[int(year)] = (
                before[0] + float(cost[mask].sum()),
                before[1] + float(load * fair[mask].sum()),
            )
    return {year: cost / max(premium, 1e-12) for year, (cost, premium) in sorted(sums.items())}
