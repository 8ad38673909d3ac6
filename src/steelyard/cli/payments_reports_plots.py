"""Reports of payments as pictures: PNG files, nothing without matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from steelyard.payments import reports


def draw(tables: Sequence[reports.Table], folder: Path) -> int:
    """Write the plots of reports, and return how many; of an empty table there is none."""
    by_name = {table.name.value: table.as_json() for table in tables}
    plots: list[tuple[str, Callable[[Axes, list[dict[str, Any]]], None]]] = [
        ("success_by_channel", _success),
        ("success_by_hour", _hours),
        ("declines", _declines),
        ("channel_health", _health),
        ("fees", _fees),
        ("settlement", _settlement),
        ("break_ageing", _ageing),
        ("refunds_disputes", _refunds),
    ]
    if find_spec("matplotlib") is None:
        return 0
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    drawn = [(name, fill) for name, fill in plots if by_name[name]]
    for name, fill in drawn:
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        fill(figure.add_subplot(), by_name[name])
        figure.savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})
    return len(drawn)


def _success(axes: Axes, rows: list[dict[str, Any]]) -> None:
    names = [f"{row['channel']} {row['currency']}" for row in rows]
    axes.bar(names, [100 * (row["success_rate"] or 0) for row in rows], color="tab:green")
    for place, row in enumerate(rows):
        axes.text(place, 2, f"{row['attempts']:,}", ha="center", fontsize=8)
    axes.set(title="Success by channel (attempts written in)", ylabel="% of decided attempts")
    axes.set_ylim(0, 100)


def _hours(axes: Axes, rows: list[dict[str, Any]]) -> None:
    hours = [row["hour"] for row in rows]
    bottom = [0] * len(rows)
    for key, colour in (("paid", "tab:green"), ("declined", "tab:red"), ("unknown", "tab:grey")):
        values = [row[key] for row in rows]
        axes.bar(hours, values, bottom=bottom, label=key, color=colour)
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    axes.set(title="Attempts by hour", xlabel="hour of the day", ylabel="attempts")
    axes.legend()


def _declines(axes: Axes, rows: list[dict[str, Any]]) -> None:
    total: dict[str, int] = {}
    for row in rows:
        total[row["decline"]] = total.get(row["decline"], 0) + row["attempts"]
    ranked = sorted(total.items(), key=lambda pair: pair[1])[-15:]
    axes.barh([name for name, _ in ranked], [count for _, count in ranked], color="tab:red")
    axes.set(title="Declines by reason", xlabel="attempts")


def _health(axes: Axes, rows: list[dict[str, Any]]) -> None:
    names = [f"{row['channel']}\n{row['method']}" for row in rows]
    places = range(len(rows))
    p50 = [row["seconds_p50"] or 0 for row in rows]
    p95 = [row["seconds_p95"] or 0 for row in rows]
    axes.bar([place - 0.2 for place in places], p50, width=0.4, label="median")
    axes.bar([place + 0.2 for place in places], p95, width=0.4, label="95 %")
    axes.set_xticks(list(places), names, fontsize=7)
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set(title="From sending to the end", ylabel="seconds")
    axes.legend()


def _fees(axes: Axes, rows: list[dict[str, Any]]) -> None:
    names = [f"{row['channel']} {row['currency']}" for row in rows]
    places = range(len(rows))
    for shift, key in ((-0.3, "earned_minor"), (0.0, "cost_minor"), (0.3, "margin_minor")):
        label = key.removesuffix("_minor")
        values = [row[key] for row in rows]
        axes.bar([place + shift for place in places], values, width=0.3, label=label)
    axes.set_xticks(list(places), names, fontsize=8)
    axes.set(title="Fees by channel", ylabel="minor units")
    axes.legend()


def _settlement(axes: Axes, rows: list[dict[str, Any]]) -> None:
    shown = rows[:20]
    names = [f"{row['merchant'][-6:]} {row['currency']}" for row in shown]
    left = [0] * len(shown)
    for key in ("paid_minor", "under_way_minor", "held_minor", "returned_minor"):
        values = [row[key] for row in shown]
        axes.barh(names, values, left=left, label=key.removesuffix("_minor").replace("_", " "))
        left = [low + value for low, value in zip(left, values, strict=True)]
    axes.set(title="Settlement of the largest merchants", xlabel="minor units")
    axes.legend()


def _ageing(axes: Axes, rows: list[dict[str, Any]]) -> None:
    names = [f"{row['channel']}\n{row['kind']}" for row in rows[:20]]
    bottom = [0] * len(names)
    for key in ("under_2_days", "days_2_to_7", "days_8_to_30", "over_30_days"):
        values = [row[key] for row in rows[:20]]
        axes.bar(names, values, bottom=bottom, label=key.replace("_", " "))
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    axes.tick_params(axis="x", labelsize=7)
    axes.set(title="Open breaks by age", ylabel="items")
    axes.legend()


def _refunds(axes: Axes, rows: list[dict[str, Any]]) -> None:
    sizes = [20 + 3 * row["paid"] ** 0.5 for row in rows]
    axes.scatter(
        [100 * (row["refund_rate"] or 0) for row in rows],
        [100 * (row["dispute_rate"] or 0) for row in rows],
        s=sizes,
        alpha=0.6,
    )
    axes.set(
        title="Merchants by refunds and disputes",
        xlabel="refunds, % of payments",
        ylabel="disputes, % of payments",
    )
