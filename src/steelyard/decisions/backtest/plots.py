"""Plots of a backtest as files: ROC, precision and recall, scores, cost, Pareto, swap, drift."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.decisions.backtest.measures import scored
from steelyard.decisions.backtest.run import NOTHING, Backtest
from steelyard.decisions.model.metrics import auc, average_precision, pr_curve, roc_curve
from steelyard.decisions.training.plots import plots_can_be_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_DRIFT = 15


def draw(found: Backtest, folder: Path) -> list[Path]:
    """Write the plots as PNG and return their paths; nothing without matplotlib.

    A plot that would show nothing (no score, nothing chosen, nothing moved) is left out.
    """
    if not plots_can_be_drawn():
        return []
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, fill in _PLOTS.items():
        figure = Figure(figsize=(6.8, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if not fill(axes, found):
            continue
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120, metadata={"Software": None})
        paths.append(path)
    return paths


def _scores(found: Backtest) -> list[tuple[str, Any]]:
    """Return the histories by score of both policies, as far as they have one."""
    made = []
    for judged in (found.policy, found.against):
        history = None if judged is None else scored(found.past, judged)
        if judged is not None and history is not None:
            made.append((judged.cause, history))
    return made


def _roc(axes: Axes, found: Backtest) -> bool:
    for cause, history in _scores(found):
        area = auc(history.is_bad, history.score)
        axes.plot(
            *roc_curve(history.is_bad, history.score), label=f"{cause}: AUC {area:.3f}", lw=1.2
        )
    axes.plot([0, 1], [0, 1], ls=":", c="grey", lw=1)
    _label(axes, "ROC", "good events above the threshold", "bad events above the threshold")
    return bool(_scores(found))


def _pr(axes: Axes, found: Backtest) -> bool:
    for cause, history in _scores(found):
        precision = average_precision(history.is_bad, history.score)
        axes.plot(
            *pr_curve(history.is_bad, history.score), label=f"{cause}: AP {precision:.3f}", lw=1.2
        )
    _label(axes, "Precision and recall", "bad events met (recall)", "precision")
    return bool(_scores(found))


def _distribution(axes: Axes, found: Backtest) -> bool:
    history = scored(found.past, found.policy)
    if history is None:
        return False
    edges = np.linspace(0, 1_000, 41).tolist()
    for which, label, colour in (
        (~history.is_bad, "good", "tab:blue"),
        (history.is_bad, "bad", "tab:red"),
    ):
        axes.hist(
            history.score[which], bins=edges, density=True, alpha=0.5, label=label, color=colour
        )
    axes.set_yscale("log")
    _label(axes, f"Score distribution: {found.policy.cause}", "score", "density")
    return True


def _cost(axes: Axes, found: Backtest) -> bool:
    if found.thresholds is None:
        return False
    curve = found.thresholds.curve
    at = np.where(np.isinf(curve.threshold), 1_010, curve.threshold)
    for name, column in (
        ("cost", curve.cost_minor),
        ("loss let through", curve.loss_minor),
        ("insult", curve.insult_minor),
    ):
        axes.plot(at, column / 100, label=name, lw=1.2, drawstyle="steps-pre")
    best = found.thresholds.cheapest_at
    axes.axvline(min(best, 1_010), ls=":", c="grey", lw=1, label=f"cheapest: {best:g}")
    # Declining nearly everybody costs more than any loss: that end is cut off.
    axes.set_ylim(0, 1.6 * float(curve.loss_minor.max()) / 100)
    _label(axes, "Cost of declining from a score on (earlier part)", "threshold", "money")
    return True


def _front(axes: Axes, found: Backtest) -> bool:
    chosen = found.thresholds
    if chosen is None:
        return False
    for label, points, colour in (
        ("where chosen", [(one.chosen, one.chosen_disturbed) for one in chosen.front], "tab:grey"),
        ("tested", [(one.tested, one.tested_disturbed) for one in chosen.front], "tab:blue"),
    ):
        whole = max(point.loss_minor for point, _ in points) or 1
        axes.scatter(
            [disturbed or 0.0 for _, disturbed in points],
            [point.loss_minor / whole for point, _ in points],
            s=10,
            label=label,
            color=colour,
            alpha=0.7,
        )
    axes.scatter(
        [found.measures.good_disturbed or 0.0],
        [found.measures.let_through_minor / max(1, found.measures.loss_minor)],
        marker="*",
        s=120,
        color="tab:red",
        label=f"{found.policy.cause} as it is, tested",
    )
    axes.set_xscale("symlog", linthresh=0.001)
    _label(
        axes, "Pareto set of thresholds", "good events disturbed", "share of the loss let through"
    )
    return True


def _swap(axes: Axes, found: Backtest) -> bool:
    swap = found.swap
    sides = (("no longer passes", swap.declined), ("passes now", swap.approved))
    if not any(len(one.places) for _, one in sides):
        return False
    names = [name for name, _ in sides]
    good = [one.good for _, one in sides]
    axes.bar(names, good, label="good", color="tab:blue", alpha=0.6)
    axes.bar(names, [one.bad for _, one in sides], bottom=good, label="bad", color="tab:red")
    for place, (_, one) in enumerate(sides):
        axes.annotate(
            f"loss of the bad {one.loss_minor / 100:,.0f}",
            (place, one.good + one.bad),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    against = NOTHING if found.against is None else found.against.cause
    _label(axes, f"Swap set: {found.policy.cause} against {against}", "", "events")
    return True


def _drift(axes: Axes, found: Backtest) -> bool:
    moved = found.drift[:_MOST_DRIFT][::-1]
    if not moved:
        return False
    axes.barh([one.subject for one in moved], [one.value for one in moved], color="tab:blue")
    for at, name in ((0.1, "watch"), (0.25, "alert")):
        axes.axvline(at, ls=":", c="grey", lw=1, label=f"{name} from {at}")
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xscale("symlog", linthresh=0.1)
    _label(axes, "Drift of what the policy reads, earlier to tested part", "CSI", "")
    return True


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


_PLOTS = {
    "roc": _roc,
    "precision_recall": _pr,
    "scores": _distribution,
    "cost": _cost,
    "pareto": _front,
    "swap": _swap,
    "drift": _drift,
}
