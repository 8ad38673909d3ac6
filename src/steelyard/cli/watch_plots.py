"""The days of a policy as a picture: what drifted, when, and how often its rules hit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steelyard.decisions import watch as watching

_MOST_LINES = 6
_MOST_RULES = 8


def draw_days(series: watching.Series, folder: Path) -> Path:
    """Write the picture of a policy as PNG, and return its path.

    Three panels over the same days: the stability index of every feature, of the score and of the
    outcome; those that moved most as lines, between the thresholds; the rules whose share of hits
    moved most.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted(series.index, key=lambda name: (-_largest(series.index[name]), name))
    height = 5.5 + 0.17 * len(names)
    figure = Figure(figsize=(9.6, height), layout="constrained")
    FigureCanvasAgg(figure)
    shares = [max(3.0, 0.17 * len(names)), 2.4, 2.4]
    over, lines, rules = figure.subplots(3, 1, gridspec_kw={"height_ratios": shares})
    _heat(figure, over, series, names)
    _lines(lines, series, names[:_MOST_LINES])
    _rules(rules, series)
    figure.suptitle(f"{series.scene} · {series.policy}", fontsize=11)
    name = series.policy.removeprefix("policy.").replace("/", "_")
    path = folder / f"drift_{name}.png"
    figure.savefig(path, dpi=120, metadata={"Software": None})
    return path


def _largest(index: tuple[float | None, ...]) -> float:
    return max((one for one in index if one is not None), default=0.0)


def _values(index: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if one is None else one for one in index]


def _heat(figure: Figure, axes: Axes, series: watching.Series, names: list[str]) -> None:
    matrix = np.array([_values(series.index[name]) for name in names])
    image = axes.imshow(matrix, aspect="auto", cmap="YlOrRd", vmin=0, vmax=0.5,
                        interpolation="nearest")  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=6)
    _days(axes, series)
    _mark(axes, series)
    axes.set_title("stability index of each day", fontsize=9, loc="left")
    figure.colorbar(image, ax=axes, shrink=0.6, extend="max")


def _lines(axes: Axes, series: watching.Series, names: list[str]) -> None:
    for name in names:
        axes.plot(_values(series.index[name]), marker="o", ms=2.5, lw=1, label=name)
    for level, colour in ((0.10, "tab:orange"), (0.25, "tab:red")):
        axes.axhline(level, ls="--", lw=0.8, c=colour)
    axes.set_ylim(bottom=0)
    _finish(axes, series, "those that moved most (dashed: watch and alert over a week)")


def _rules(axes: Axes, series: watching.Series) -> None:
    names = {rule for day in series.days for rule in day.hits}
    shares = {
        name: np.array([day.hits.get(name, 0) / day.decisions for day in series.days])
        for name in names
    }
    spans = {name: float(np.ptp(share)) for name, share in shares.items()}
    moved = sorted((name for name in names if spans[name]), key=lambda one: (-spans[one], one))
    for name in moved[:_MOST_RULES]:
        axes.plot(100 * shares[name], marker="o", ms=2.5, lw=1, label=name)
    axes.set_ylabel("% of decisions", fontsize=8)
    axes.set_ylim(bottom=0)
    _finish(axes, series, "rules whose share of hits moved most")


def _finish(axes: Axes, series: watching.Series, title: str) -> None:
    _days(axes, series)
    _mark(axes, series)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlim(-0.5, len(series.days) - 0.5)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=6, loc="upper left")


def _days(axes: Axes, series: watching.Series) -> None:
    step = max(1, len(series.days) // 12)
    places = list(range(0, len(series.days), step))
    axes.set_xticks(places, [f"{series.days[n].day:%m-%d}" for n in places], fontsize=7)


def _mark(axes: Axes, series: watching.Series) -> None:
    """Draw where the reference ends."""
    days = sum(one.day <= series.reference.last_day for one in series.days)
    axes.axvline(days - 0.5, c="tab:blue", lw=1)
