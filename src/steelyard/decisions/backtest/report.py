"""What a backtest found, as data, as a page for people, and beside another run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.decisions.backtest.judging import IN_COLUMNS, Judged
from steelyard.decisions.backtest.measures import Measures
from steelyard.decisions.backtest.run import NOTHING, Backtest, shown
from steelyard.decisions.backtest.thresholds import Thresholds, Tried
from steelyard.decisions.model.tradeoff import Point, Swap
from steelyard.kernel import Refusal, RefusalKind

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Heads and rows."""
FORM = 1
RESULT = "backtest.json"
_FRONT = 12
"""Points of the Pareto set that a page shows; the data holds all."""


class RunIsUnreadable(Refusal):
    """There is no result of a run here."""

    kind = RefusalKind.NOT_FOUND
    en = "{path} holds no result of a backtest (backtest.json)."
    zh = "{path} 中没有回测结果（backtest.json）。"


class RunsDiffer(Refusal):
    """The two runs did not test the same events."""

    kind = RefusalKind.CONFLICT
    en = "The runs cannot be compared: their {what} differ."
    zh = "两次回测无法比较：{what}不同。"


# -- data ----------------------------------------------------------------------------------------


def as_data(found: Backtest) -> dict[str, Any]:
    """Return everything but the events themselves, as plain values; equal runs give equal data.

    Times that were measured stand under `latency`, which alone differs from run to run.
    """
    past = found.past
    costs = found.plan.assumed.costs
    return {
        "form": FORM,
        "scene": past.scene,
        "source": past.source,
        "notes": list(past.notes),
        "choosing": _window(found.choosing.at_ms.tolist(), found.choosing.is_bad.tolist()),
        "tested": _window(past.at_ms.tolist(), past.is_bad.tolist()),
        "assumed": {
            "loss_share_bp": past.loss.share_bp,
            "loss_each_minor": past.loss.each_minor,
            "insult_minor": costs.insult_minor,
            "insult_bp": costs.insult_bp,
            "review_minor": costs.review_minor,
            "review_finds_bp": costs.review_finds_bp,
            "step_up_stops_bp": found.plan.assumed.step_up_stops_bp,
        },
        "policy": _policy(found.policy, found.measures),
        "against": _against(found.against, found.measures_against),
        "swap": {
            "declined": _swap(found.swap.declined),
            "approved": _swap(found.swap.approved),
            "loss_saved_minor": found.swap.loss_saved_minor,
            "moves": [list(move) for move in found.moves],
        },
        "thresholds": _thresholds(found.thresholds),
        "drift": [
            {"name": one.subject, "csi": one.value, "level": one.level.value} for one in found.drift
        ],
        "latency": {
            "seconds_in_columns": found.policy.seconds,
            "row_p50_us": found.policy.checked.p50_us,
            "row_p99_us": found.policy.checked.p99_us,
            "row_cpu_p50_us": found.policy.checked.cpu_p50_us,
            "row_cpu_p99_us": found.policy.checked.cpu_p99_us,
        },
    }


def _window(at_ms: Sequence[int], is_bad: Sequence[bool]) -> dict[str, Any]:
    if not at_ms:
        return {"events": 0, "bad": 0, "first": None, "last": None}
    return {
        "events": len(at_ms),
        "bad": sum(is_bad),
        "first": shown(at_ms[0]),
        "last": shown(at_ms[-1]),
    }


def _policy(judged: Judged, measures: Measures) -> dict[str, Any]:
    return {
        "cause": judged.cause,
        "judged": judged.engine,
        "by_row": judged.by_row,
        "checked_equal": judged.checked.rows,
        **_measures(measures),
        "reasons": dict(judged.reasons),
        "rules": [
            {
                "rule": one.rule,
                "note": one.note,
                "hits": one.hits,
                "bad": one.bad,
                "precision": one.precision,
            }
            for one in judged.rules
        ],
    }


def _against(judged: Judged | None, measures: Measures | None) -> dict[str, Any]:
    if judged is None or measures is None:
        return {"cause": NOTHING}
    return _policy(judged, measures)


def _measures(found: Measures) -> dict[str, Any]:
    names = [name for name in Measures.__slots__ if name not in ("outcomes", "ranks")]
    return {
        **{name: getattr(found, name) for name in names},
        "outcomes": [
            {
                "outcome": one.outcome,
                "events": one.events,
                "bad": one.bad,
                "amount_minor": one.amount_minor,
                "loss_minor": one.loss_minor,
            }
            for one in found.outcomes
        ],
        "ranks": [
            {
                "k": one.k,
                "precision": one.precision,
                "recall": one.recall,
                "loss_recall": one.loss_recall,
            }
            for one in found.ranks
        ],
    }


def _swap(one: Swap) -> dict[str, int]:
    return {
        "good": one.good,
        "bad": one.bad,
        "amount_minor": one.amount_minor,
        "loss_minor": one.loss_minor,
    }


def _thresholds(found: Thresholds | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "cheapest": found.cheapest,
        "within": found.within,
        "most_disturbed": found.most_disturbed,
        "front": [_tried(one) for one in found.front],
        "curve": [
            {"threshold": _finite(at), "declined": int(n), "good_declined": int(good),
             "loss_minor": int(loss), "cost_minor": int(cost)}
            for at, n, good, loss, cost in zip(
                found.curve.threshold.tolist(), found.curve.declined, found.curve.good_declined,
                found.curve.loss_minor, found.curve.cost_minor, strict=True,
            )
        ],
    }  # fmt: skip


def _tried(one: Tried) -> dict[str, Any]:
    return {
        "review_at": _finite(one.chosen.review_at),
        "decline_at": _finite(one.chosen.decline_at),
        "chosen": _point(one.chosen) | {"good_disturbed": one.chosen_disturbed},
        "tested": _point(one.tested) | {"good_disturbed": one.tested_disturbed},
    }


def _point(one: Point) -> dict[str, Any]:
    return {
        "loss_minor": one.loss_minor,
        "good_declined": one.good_declined,
        "reviewed": one.reviewed,
        "cost_minor": one.cost_minor,
    }


def _finite(threshold: float) -> float | None:
    """Return a threshold as JSON has it; None is above every score."""
    return None if threshold == float("inf") else threshold


# -- a page --------------------------------------------------------------------------------------


def as_markdown(data: Mapping[str, Any]) -> str:
    """Return the page of a run's data."""
    tested, choosing = data["tested"], data["choosing"]
    policy = data["policy"]
    parts = [
        f"# Backtest of `{policy['cause']}` against `{data['against']['cause']}`\n",
        f"Scene `{data['scene']}`, {data['source']}. Tested on {tested['events']:,} events,"
        f" {tested['bad']:,} of them bad, {tested['first']} to {tested['last']} (UTC);"
        f" thresholds were chosen on {choosing['events']:,} events before, {choosing['bad']:,} bad,"
        " whose labels were known by then.\n",
        *(f"> {note}\n" for note in data["notes"]),
        "## Figures\n",
        table(*figures(data)),
        assumed(data["assumed"]),
        "## Outcomes\n",
        table(
            ("outcome", "events", "share", "bad", "precision", "amount", "loss met"),
            [
                (one["outcome"], f"{one['events']:,}", share(one["events"] / policy["events"]),
                 f"{one['bad']:,}", share(one["bad"] / one["events"]), money(one["amount_minor"]),
                 money(one["loss_minor"]))
                for one in policy["outcomes"]
            ],
        ),
        "## Swap set\n",
        table(*swaps(data)),
        f"Loss saved: {money(data['swap']['loss_saved_minor'])}. "
        + ("; ".join(f"{a} → {b} {n:,}" for a, b, n in data["swap"]["moves"]) or "Nothing moves.")
        + "\n",
        *_threshold_parts(data),
        "## Rules\n",
        table(*rules(data)),
        "## Reasons\n",
        table(
            ("reason", "events", "share"),
            [(code, f"{n:,}", share(n / policy["events"]))
             for code, n in policy["reasons"].items()],
        ),
        "Reasons of rules, lists and limits; those of scorecards and models are told one by one.\n",
        "## Drift of what it reads\n",
        table(("feature", "CSI", ""), [
            (one["name"], f"{one['csi']:.3f}", one["level"]) for one in data["drift"][:_FRONT]
        ]),
        speed(data),
    ]  # fmt: skip
    return "\n".join(parts)


def figures(data: Mapping[str, Any]) -> Table:
    """Return heads and rows of the figures, the tested policy beside the other."""
    policy, against = data["policy"], data["against"]
    causes = (policy["cause"], against["cause"])
    is_nothing = against["cause"] == NOTHING
    other = _nothing(policy) if is_nothing else against
    rows = []
    for name, label, form in _FIGURES:
        rows.append((label, form(policy.get(name)), form(other.get(name))))
    ranks = [
        (f"precision of the {one['k']:,} highest scores", share(one["precision"]),
         share(rival["precision"]) if rival else "–")
        for one, rival in _paired(policy["ranks"], other.get("ranks", []))
    ]  # fmt: skip
    return ("", *causes), rows + ranks


def _paired(
    ranks: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    by_k = {one["k"]: one for one in others}
    return [(one, by_k.get(one["k"])) for one in ranks]


def _nothing(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of approving everything."""
    loss = policy["loss_minor"]
    return {
        "approved": 1.0,
        "approved_amount": 1.0,
        "let_through_minor": loss,
        "cost_minor": loss,
        "recall": 0.0,
        "loss_recall": 0.0,
        "good_disturbed": 0.0,
        "good_declined": 0.0,
        "subjects_disturbed": 0.0,
        "reviewed_a_day": 0.0,
    }


def money(minor: int | None) -> str:
    """Return an amount as people read it, in major units."""
    return "–" if minor is None else f"{minor / 100:,.2f}"


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "–" if value is None else f"{value:.2%}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3f}"


_FIGURES = (
    ("approved", "approved, events", share),
    ("approved_amount", "approved, amount", share),
    ("let_through_minor", "loss let through", money),
    ("loss_recall", "loss met (not simply approved)", share),
    ("recall", "bad met (recall)", share),
    ("precision", "bad among those met (precision)", share),
    ("good_disturbed", "good events disturbed", share),
    ("good_declined", "good events declined", share),
    ("subjects_disturbed", "good customers ever disturbed", share),
    ("reviewed_a_day", "reviews a day", _plain),
    ("cost_minor", "cost: loss, insult, review", money),
    ("auc", "AUC of the score", _plain),
    ("average_precision", "average precision of the score", _plain),
    ("ks", "KS of the score", _plain),
)


def swaps(data: Mapping[str, Any]) -> Table:
    """Return heads and rows of the swap set."""
    rows = [
        (label, f"{one['good']:,}", f"{one['bad']:,}", money(one["amount_minor"]),
         money(one["loss_minor"]))
        for label, one in (
            ("no longer passes", data["swap"]["declined"]),
            ("passes now", data["swap"]["approved"]),
        )
    ]  # fmt: skip
    return ("", "good", "bad", "amount", "loss of the bad"), rows


def rules(data: Mapping[str, Any]) -> Table:
    """Return heads and rows of the rules that were hit, the most hits first."""
    hit = sorted(data["policy"]["rules"], key=lambda one: -one["hits"])
    silent = sum(not one["hits"] for one in hit)
    rows = [
        (one["rule"], one["note"], f"{one['hits']:,}", f"{one['bad']:,}", share(one["precision"]))
        for one in hit
        if one["hits"]
    ]
    if silent:
        rows.append((f"{silent} more", "hit nothing here", "0", "0", "–"))
    return ("rule", "why it is there", "hits", "bad", "precision"), rows


def front(data: Mapping[str, Any], most: int = _FRONT) -> Table:
    """Return heads and rows of the Pareto set: evenly chosen points, the cheapest among them."""
    found = data["thresholds"]
    points = found["front"]
    steps = max(1, len(points) - 1)
    shown_ = {round(n * steps / (most - 1)) for n in range(most)} & set(range(len(points)))
    shown_ |= {found["cheapest"], *([found["within"]] if found["within"] is not None else [])}
    rows = []
    for n in sorted(shown_):
        one = points[n]
        marks = [
            mark
            for mark, place in (("cheapest", found["cheapest"]), ("within", found["within"]))
            if place == n
        ]
        rows.append(
            (_at(one["review_at"]), _at(one["decline_at"]), money(one["chosen"]["loss_minor"]),
             share(one["chosen"]["good_disturbed"]), f"{one['chosen']['reviewed']:,}",
             money(one["tested"]["loss_minor"]), share(one["tested"]["good_disturbed"]),
             f"{one['tested']['reviewed']:,}", money(one["tested"]["cost_minor"]),
             ", ".join(marks))
        )  # fmt: skip
    heads = ("review from", "decline from", "loss", "good disturbed", "reviewed",
             "tested: loss", "good disturbed", "reviewed", "cost", "")  # fmt: skip
    return heads, rows


def _at(threshold: float | None) -> str:
    return "never" if threshold is None else f"{threshold:g}"


def _threshold_parts(data: Mapping[str, Any]) -> list[str]:
    if data["thresholds"] is None:
        return ["## Thresholds\n", "None can be chosen: no score, or nothing bad before.\n"]
    return [
        "## Thresholds of the score: Pareto set over loss, good disturbed and reviews\n",
        "Chosen on the earlier part alone, then tried on the tested one;"
        f" `within` disturbs at most {share(data['thresholds']['most_disturbed'])} of the good"
        f" there. {len(data['thresholds']['front'])} points in all.\n",
        table(*front(data)),
    ]


def assumed(of: Mapping[str, int]) -> str:
    """Return what was assumed, in a sentence."""
    return (
        f"Assumed: a bad event approved loses {of['loss_share_bp'] / 100:g} % of its amount"
        f" and {money(of['loss_each_minor'])}; review and hold find"
        f" {of['review_finds_bp'] / 100:g} % of the loss, a second factor stops"
        f" {of['step_up_stops_bp'] / 100:g} %; a good event declined costs"
        f" {money(of['insult_minor'])} and {of['insult_bp'] / 100:g} % of its amount,"
        f" a review {money(of['review_minor'])}.\n"
    )


def speed(data: Mapping[str, Any]) -> str:
    """Return how it was judged, checked and how fast, in a sentence."""
    policy, latency = data["policy"], data["latency"]
    way = "in columns" if policy["judged"] == IN_COLUMNS else f"one by one ({policy['judged']})"
    return (
        f"\nJudged {way} in {latency['seconds_in_columns']:.2f} s; {policy['checked_equal']:,}"
        " events drawn at random were judged one by one as well, all equal:"
        f" {latency['row_p50_us']:.0f} µs p50, {latency['row_p99_us']:.0f} µs p99 each"
        f" ({latency['row_cpu_p50_us']:.0f} and {latency['row_cpu_p99_us']:.0f} µs of processor).\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of a page."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def tables(data: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Return what a terminal shows of a run: tables with their titles."""
    tested = data["tested"]
    made = [
        (
            f"{data['scene']}: {tested['events']:,} events tested, {tested['bad']:,} bad,"
            f" {tested['first']} to {tested['last']}; {data['source']}",
            figures(data),
        ),
        ("swap set", swaps(data)),
    ]
    if data["thresholds"] is not None:
        made.append(("Pareto set of thresholds, chosen on the earlier part", front(data)))
    return [*made, ("rules", rules(data))]


def remarks(data: Mapping[str, Any]) -> list[str]:
    """Return the sentences that belong to the tables of a run."""
    return [*data["notes"], assumed(data["assumed"]).strip(), speed(data).strip()]


def summary(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Return a line for each of several runs."""
    heads = ("scene", "tested", "bad", "loss without", "loss with", "loss met", "good disturbed",
             "good declined", "CPU p99")  # fmt: skip
    rows = [
        (
            one["scene"],
            f"{one['tested']['events']:,}",
            f"{one['tested']['bad']:,}",
            money(one["policy"]["loss_minor"]),
            money(one["policy"]["let_through_minor"]),
            share(one["policy"]["loss_recall"]),
            share(one["policy"]["good_disturbed"]),
            share(one["policy"]["good_declined"]),
            f"{one['latency']['row_cpu_p99_us']:.0f} µs",
        )
        for one in runs
    ]
    return heads, rows


# -- files ---------------------------------------------------------------------------------------


def write(data: Mapping[str, Any], folder: Path) -> None:
    """Write `backtest.json` and `backtest.md` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, ensure_ascii=False, indent=1)
    (folder / RESULT).write_text(text + "\n", encoding="utf-8")
    (folder / "backtest.md").write_text(as_markdown(data), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Return the data of a run: of a folder that `write` made, or of its file.

    Refusals
    --------
    run_is_unreadable
    """
    file = path / RESULT if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunIsUnreadable(path=path) from None
    if not isinstance(data, dict) or data.get("form") != FORM:
        raise RunIsUnreadable(path=path)
    return data


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """Return heads and rows of two runs on the same events, their policies side by side.

    Refusals
    --------
    runs_differ : other events, or other assumptions
    """
    for what in ("scene", "tested", "assumed"):
        if first[what] != second[what]:
            raise RunsDiffer(what=what)
    heads = ("", first["policy"]["cause"], second["policy"]["cause"])
    rows = [
        (label, form(first["policy"].get(name)), form(second["policy"].get(name)))
        for name, label, form in _FIGURES
    ]
    return heads, rows
