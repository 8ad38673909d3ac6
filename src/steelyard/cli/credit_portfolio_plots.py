"""The portfolio and a what-if as pictures: PNG files, nothing without matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from steelyard.credit import portfolio as books
    from steelyard.credit import whatif as tries

_MILLION = 1e8
"""Minor units of a currency with two decimals, in a million of it."""


def draw_book(picture: books.Picture, tables: Sequence[books.Table], folder: Path) -> int:
    """Write the plots of a portfolio, and return how many."""
    by_name = {one.name: one for one in tables}
    plots: list[tuple[str, Callable[[Axes], None]]] = [
        ("vintage", lambda axes: _vintage(axes, picture.by_cohort, "month of lending")),
        ("vintage_by_channel", lambda axes: _vintage(axes, picture.by_channel, "channel")),
        ("migration", lambda axes: _migration(axes, picture)),
        ("roll_rates", lambda axes: _rolls(axes, by_name["roll_rates"])),
        ("funnel", lambda axes: _funnel(axes, by_name["funnel"])),
        ("profit_and_loss", lambda axes: _profit(axes, by_name["profit_and_loss"])),
    ]
    return _draw(plots, folder)


def draw_whatif(found: tries.Found, folder: Path) -> int:
    """Write the plots of a what-if, and return how many."""
    plots: list[tuple[str, Callable[[Axes], None]]] = [
        ("cut_offs", lambda axes: _cut_offs(axes, found)),
        ("side_by_side", lambda axes: _sides(axes, found)),
    ]
    return _draw(plots, folder)


def _draw(plots: Sequence[tuple[str, Callable[[Axes], None]]], folder: Path) -> int:
    if find_spec("matplotlib") is None:
        return 0
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    for name, fill in plots:
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        fill(figure.add_subplot())
        figure.savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})
    return len(plots)


def _vintage(axes: Axes, found: Any, by: str) -> None:
    shares = 100 * found.share_of_loans
    for name, line in zip(found.groups, shares, strict=True):
        axes.plot(line, lw=1.2, marker=".", ms=3, label=name)
    axes.set_xticks(range(0, shares.shape[1], 3))
    axes.legend(fontsize=7, ncols=2, title=by, title_fontsize=8)
    _label(axes, "Vintages: 91+ days late or lost, cumulative", "months on book", "% of loans")


def _migration(axes: Axes, picture: books.Picture) -> None:
    found = picture.migration
    live = len(found.states) - 2
    seen = found.counts[:live].sum(axis=1, keepdims=True)
    shares = np.where(seen > 0, 100 * found.matrix[:live], np.nan)
    axes.imshow(shares, cmap="YlOrRd", vmin=0, vmax=100, aspect="auto")
    for row in range(live):
        for column in range(len(found.states)):
            share, loans = shares[row, column], int(found.counts[row, column])
            colour = "white" if share > 60 else "black"
            text = "" if np.isnan(share) else f"{share:.1f} %\n{loans:,}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(found.states)), found.states)
    axes.set_yticks(range(live), found.states[:live])
    axes.set(title=f"Migration of a month, over {found.months} months", xlabel="a month later",
             ylabel="days past due")  # fmt: skip


def _rolls(axes: Axes, table: books.Table) -> None:
    lines = [n for n, head in enumerate(table.heads) if head.endswith("_balance")]
    for n in lines:
        values = [np.nan if row[n] is None else 100 * float(row[n] or 0) for row in table.rows]
        label = table.heads[n].removesuffix("_balance")
        axes.plot(values, lw=1.2, marker=".", ms=4, label=f"from {label}")
    names = [str(row[0]) for row in table.rows]
    axes.set_xticks(range(len(names)), names, rotation=60, fontsize=7)
    axes.legend(fontsize=8)
    _label(axes, "Roll rates", "", "% of the balance that rolls on")


def _funnel(axes: Axes, table: books.Table) -> None:
    places = np.arange(len(table.rows))
    steps = ("submitted", "approved", "offered", "signed")
    for n, step in enumerate(steps):
        column = table.heads.index(step)
        values = [float(row[column] or 0) for row in table.rows]
        axes.bar(places + (n - 1.5) * 0.2, values, width=0.2, label=step)
    axes.set_xticks(places, [str(row[0]) for row in table.rows])
    axes.legend(fontsize=8)
    _label(axes, "From application to contract", "channel", "applications")


def _profit(axes: Axes, table: books.Table) -> None:
    places = np.arange(len(table.rows))

    def of(head: str) -> Any:
        column = table.heads.index(head)
        return np.array([float(row[column] or 0) for row in table.rows]) / _MILLION

    lost = of("lost_minor") - of("recovered_minor")
    axes.bar(places, of("income_minor"), label="income", color="tab:green")
    below = np.zeros(len(places))
    for label, values, colour in (
        ("funding", of("funding_minor"), "tab:blue"),
        ("loss less recovery", lost, "tab:orange"),
        ("provision", of("provision_minor"), "tab:purple"),
    ):
        axes.bar(places, -values, bottom=-below, label=label, color=colour)
        below += values
    axes.plot(places, of("result_minor"), c="black", marker="D", ms=4, lw=0, label="result")
    axes.axhline(0, c="black", lw=0.8)
    axes.set_xticks(places, [str(row[0]) for row in table.rows], rotation=60, fontsize=7)
    axes.legend(fontsize=8)
    _label(axes, "Profit and loss by month of lending", "", "million")


def _cut_offs(axes: Axes, found: tries.Found) -> None:
    lent = [one.lent / one.applications * 100 for _, one in found.cut_offs]
    result = [one.result_minor / _MILLION for _, one in found.cut_offs]
    low = [one.range_minor[0] / _MILLION for _, one in found.cut_offs]
    high = [one.range_minor[1] / _MILLION for _, one in found.cut_offs]
    axes.fill_between(lent, low, high, alpha=0.25, label=f"odds of the added × or ÷ {_odds(found)}")
    axes.plot(lent, result, marker="o", ms=4, lw=1.2, label="expected")
    if all(one.true is not None for _, one in found.cut_offs):
        true = [one.true.result_minor(one.cost_minor) / _MILLION for _, one in found.cut_offs
                if one.true is not None]  # fmt: skip
        axes.plot(lent, true, c="black", ls=":", lw=1.2, label="truth of the made-up history")
    for (cut, _), x, y in zip(found.cut_offs, lent, result, strict=True):
        axes.annotate(f"< {cut}", (x, y), fontsize=6, xytext=(3, 4), textcoords="offset points")
    happened = found.happened
    x = happened.lent / happened.applications * 100
    axes.axvline(x, c="grey", lw=0.8, ls="--")
    axes.plot([x], [happened.result_minor / _MILLION], marker="*", ms=12, lw=0, c="tab:red",
              label="history")  # fmt: skip
    axes.axhline(0, c="black", lw=0.6)
    axes.legend(fontsize=8)
    _label(axes, "Result by cut-off of the score", "% of applications lent to", "result, million")


def _odds(found: tries.Found) -> str:
    return f"{found.economics.odds:g}"


def _sides(axes: Axes, found: tries.Found) -> None:
    both = (found.happened, found.tried)
    names = ("income", "funding", "loss", "cost", "result")
    places = np.arange(len(names))
    for n, one in enumerate(both):
        values = np.array([
            one.central.income_minor, -one.central.funding_minor, -one.central.lost_minor,
            -one.cost_minor, one.result_minor,
        ]) / _MILLION  # fmt: skip
        bars = axes.bar(places + (n - 0.5) * 0.38, values, width=0.38, label=one.name)
        axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    low, high = (one / _MILLION for one in found.tried.range_minor)
    middle = found.tried.result_minor / _MILLION
    axes.errorbar([places[-1] + 0.19], [middle], yerr=[[middle - low], [high - middle]],
                  c="black", capsize=4, lw=1)  # fmt: skip
    axes.axhline(0, c="black", lw=0.8)
    axes.set_xticks(places, names)
    axes.margins(y=0.15)
    axes.legend(fontsize=8)
    _label(axes, "What happened, and what would have", "", "million")


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
