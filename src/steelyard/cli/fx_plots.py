"""The price of a locked rate as pictures: PNG files, nothing without matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    from steelyard.payments import fx


def draw(found: fx.Backtest, folder: Path) -> int:
    """Write the plots of a backtest, and return how many."""
    if find_spec("matplotlib") is None:
        return 0
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plots: list[tuple[str, Callable[[Axes], None]]] = [
        ("premium_and_cost", lambda axes: _pairs(axes, found)),
        ("periods", lambda axes: _periods(axes, found)),
        ("years", lambda axes: _years(axes, found)),
    ]
    for name, fill in plots:
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        fill(figure.add_subplot())
        figure.savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})
    return len(plots)


def _pairs(axes: Axes, found: fx.Backtest) -> None:
    rows = [row for row in found.rows if row.part == "judged_on" and row.days == 1]
    at = np.arange(len(rows))
    axes.bar(at - 0.2, [row.premium_bp for row in rows], 0.4, label="premium asked")
    axes.bar(at + 0.2, [row.cost_bp for row in rows], 0.4, label="what promises cost")
    axes.set_xticks(at, [row.pair for row in rows], rotation=45, fontsize=8)
    axes.legend(fontsize=8)
    axes.set(title=f"A day's lock, judged from {found.split_on} on", ylabel="basis points, mean")


def _periods(axes: Axes, found: fx.Backtest) -> None:
    names = list(dict.fromkeys(row.pair for row in found.rows))
    for n, name in enumerate(names):
        rows = [row for row in found.rows if row.pair == name and row.part == "judged_on"]
        days, covered = [row.days for row in rows], [row.covered for row in rows]
        style = "-" if n < 10 else "--"
        axes.plot(days, covered, lw=1.1, ls=style, marker=".", label=name)
    axes.axhline(1, color="black", lw=0.8, ls="--")
    axes.legend(fontsize=7, ncols=2)
    axes.set(title="Premium over cost: above the line it suffices", xlabel="business days locked",
             ylabel="premium over cost")  # fmt: skip


def _years(axes: Axes, found: fx.Backtest) -> None:
    years, ratios = list(found.by_year), list(found.by_year.values())
    is_judged = [year >= found.split_on.year for year in years]
    colours = ["tab:blue" if judged else "lightgrey" for judged in is_judged]
    axes.bar(years, ratios, color=colours)
    axes.axhline(1, color="black", lw=0.8, ls="--")
    axes.set(title="Cost over premium by year, all pairs (grey: the load was chosen on them)",
             xlabel="year", ylabel="cost over premium")  # fmt: skip
