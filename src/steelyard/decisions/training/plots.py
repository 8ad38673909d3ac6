"""Plots as files: ROC, precision and recall, score distribution, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.metrics import (
    auc,
    average_precision,
    calibration,
    pr_curve,
    roc_curve,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scores = Mapping[str, NDArray[np.float64]]


def plots_can_be_drawn() -> bool:
    """Return whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def draw(folder: Path, bad: NDArray[np.bool_], probabilities: Scores) -> list[Path]:
    """Write the four plots as PNG and return their paths; nothing without matplotlib.

    Parameters
    ----------
    bad : outcome of each row
    probabilities : of bad, by the name of the model
    """
    if not plots_can_be_drawn():
        return []
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, fill in (("roc", _roc), ("pr", _pr), ("scores", _scores), ("calibration", _points)):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        fill(axes, bad, probabilities)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120, metadata={"Software": None})
        paths.append(path)
    return paths


def _roc(axes: Axes, bad: NDArray[np.bool_], probabilities: Scores) -> None:
    for name, found in probabilities.items():
        axes.plot(*roc_curve(bad, found), label=f"{name}: AUC {auc(bad, found):.3f}", lw=1.2)
    axes.plot([0, 1], [0, 1], ls=":", c="grey", lw=1)
    _label(axes, "ROC", "goods called bad", "bads found")


def _pr(axes: Axes, bad: NDArray[np.bool_], probabilities: Scores) -> None:
    for name, found in probabilities.items():
        precision = average_precision(bad, found)
        axes.plot(*pr_curve(bad, found), label=f"{name}: AP {precision:.3f}", lw=1.2)
    _label(axes, "Precision and recall", "bads found (recall)", "precision")


def _scores(axes: Axes, bad: NDArray[np.bool_], probabilities: Scores) -> None:
    name, found = next(iter(probabilities.items()))
    edges = np.linspace(0, 1, 41).tolist()
    for which, label, colour in ((~bad, "good", "tab:blue"), (bad, "bad", "tab:red")):
        axes.hist(found[which], bins=edges, density=True, alpha=0.5, label=label, color=colour)
    axes.set_yscale("log")
    _label(axes, f"Score distribution: {name}", "probability of bad", "density")


def _points(axes: Axes, bad: NDArray[np.bool_], probabilities: Scores) -> None:
    for name, found in probabilities.items():
        made = calibration(bad, found)
        if made is not None:
            points = [(one.predicted, one.observed) for one in made.curve]
            axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=name, lw=1)
    axes.plot([0, 1], [0, 1], ls=":", c="grey", lw=1)
    _label(axes, "Calibration", "predicted", "observed")


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
