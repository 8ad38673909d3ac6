"""`steelyard credit scorecard`: our scorecard beside a peer's on the same rows and folds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli.bench import BenchmarksAreMissing, load_benchmark
from steelyard.cli.output import AsJson, Column, bars, err, out, print_json, show
from steelyard.cli.risk import keep, need
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.decisions.training import CreditTable, Interval, Trained, TrainingRule

PEER = "optbinning + logistic"
_FAIR = ", nothing protected"
_MANY_ROWS = 5_000


class DataSet(StrEnum):
    """Data sets whose columns are known."""

    GERMAN = "german"
    TAIWAN = "taiwan"


class DataAreNotThere(Refusal):
    """The folder holds no file of the data set."""

    kind = RefusalKind.NOT_FOUND
    en = "{folder} has no file whose name begins with {name}; --sample makes made-up rows."
    zh = "{folder} 中没有以 {name} 开头的文件；可使用 --sample 生成虚构数据。"


@dataclass(frozen=True, slots=True)
class _Paired:
    """A model, its AUC over the folds, and ours minus it; None for ours."""

    model: str
    auc: float
    published: float | None
    beside: str | None
    difference: Interval | None


def scorecard(
    name: Annotated[DataSet, typer.Argument(help="german or taiwan")],
    data: Annotated[
        Path | None, typer.Option("--data", help="folder of the data; STEELYARD_DATA/credit")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="made-up rows of the same form")] = False,
    folds: Annotated[int, typer.Option(min=2, max=20, help="of the cross-validation")] = 5,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=20, help="4, of many rows 1; how often it is cut")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of folds and models")] = 1,
    make_peer: Annotated[
        bool, typer.Option("--make-peer", help="make the peer's environment (640 MB) if need be")
    ] = False,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="folder for models, cards and plots")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Cross-validate our scorecard beside optbinning with logistic regression, and LightGBM.

    Differences are paired over the folds, their intervals those of the corrected resampled t.
    """
    need("numpy", "scipy", "sklearn", "lightgbm")
    from steelyard.decisions import training

    table = training.read_credit(_path(name, data, sample=sample))
    if repeats is None:
        repeats = 1 if table.rows >= _MANY_ROWS else 4
    rule = training.TrainingRule(training.ScorecardRule(), folds=folds, repeats=repeats, seed=seed)
    with bars() as progress:
        made = training.train(table, rule, progress)
        theirs, libraries = _ask_peer(table, rule, progress, make=make_peer)
    lines = list(_pair(made, theirs, folds))
    if sample:  # what was published is of the real rows
        lines = [replace(one, published=None) for one in lines]
    if as_json:
        print_json(_as_data(made, lines, libraries))
    else:
        _tell(made, lines, libraries, (folds, repeats))
    if out_folder is not None:
        keep(made, out_folder)


def _path(name: DataSet, data: Path | None, *, sample: bool) -> Path:
    from steelyard.decisions import training

    if sample:
        form = {DataSet.GERMAN: training.GERMAN, DataSet.TAIWAN: training.TAIWAN}[name]
        path = read_settings().home / "samples" / "credit" / f"{name}.data"
        err.print(f"made-up data was written to {path}", highlight=False, soft_wrap=True)
        return training.write_sample(path, form)
    folder = data or Path(os.environ.get("STEELYARD_DATA", ".")) / "credit"
    if folder.is_file():
        return folder
    found = sorted(folder.glob(f"{name}*")) if folder.is_dir() else []
    if not found:
        raise DataAreNotThere(folder=folder, name=name.value)
    return found[0]


def _ask_peer(
    table: CreditTable, rule: TrainingRule, progress: Any, *, make: bool
) -> tuple[dict[str, tuple[float, ...]], dict[str, str]]:
    """Return the peer's AUC of every fold with and without protected attributes; or nothing."""
    try:
        peer = load_benchmark("credit_scorecard")
    except BenchmarksAreMissing as refusal:
        err.print(refusal.sentence("en"), highlight=False)
        return {}, {}
    python = peer.environment(read_settings().home, make=make)
    if python is None:
        return {}, {}
    all_read = replace(rule, scorecard=replace(rule.scorecard, protected=True))
    whole = peer.ask_peer(python, table, all_read, progress)
    part = peer.ask_peer(python, table, rule, progress)
    return {PEER: whole.areas, PEER + _FAIR: part.areas}, whole.libraries


def _pair(made: Trained, theirs: dict[str, tuple[float, ...]], folds: int) -> Iterator[_Paired]:
    """Yield ours, then each other model beside the one of ours that reads the same attributes."""
    from steelyard.decisions import training

    areas = {**made.areas, **theirs}
    published = {one.model: one.published for one in made.comparisons}
    for model, reached in areas.items():
        mean = sum(reached) / len(reached)
        if model in (training.SCORECARD, training.FAIR):
            yield _Paired(model, mean, published.get(model), None, None)
            continue
        ours = training.FAIR if model.endswith(_FAIR) else training.SCORECARD
        paired = [one - other for one, other in zip(made.areas[ours], reached, strict=True)]
        difference = training.corrected_interval(paired, folds)
        yield _Paired(model, mean, published.get(model), ours, difference)


def _tell(
    made: Trained,
    lines: list[_Paired],
    libraries: dict[str, str],
    cut: tuple[int, int],
) -> None:
    card = made.cards["scorecard"]
    show(
        [
            {
                "model": one.model.removesuffix(_FAIR),
                "reads": "not protected" if one.model.endswith(_FAIR) else "all",
                "auc": f"{one.auc:.4f}",
                "published": None if one.published is None else f"{one.published:.3f}",
                "difference": None if one.difference is None else f"{one.difference.mean:+.4f}",
                "interval": None
                if one.difference is None
                else f"{one.difference.low:+.4f} to {one.difference.high:+.4f}",
            }
            for one in lines
        ],
        [
            Column("model", "model"),
            Column("reads", "attributes"),
            Column("auc", "AUC", right=True),
            Column("published", "published", right=True),
            Column("difference", "ours less it", right=True),
            Column("interval", "95 %", right=True),
        ],
        as_json=False,
        title=f"{card.data.name}: {card.data.rows:,} rows, {card.data.bad:,} bad;"
        f" {cut[0]} folds x {cut[1]}, binning inside each",
    )
    rows = [
        {
            "cut": by,
            "group": one.group,
            "rows": one.rows,
            "bad": f"{one.bad_rate:.1%}",
            "approved": f"{one.approval_rate:.1%}",
            "ratio": _ratio(one.approval_ratio),
            "good_declined": _ratio(one.good_declined),
            "auc": _ratio(one.auc),
        }
        for by, cuts in card.fairness.items()
        for one in cuts
    ]
    show(
        rows,
        [
            Column("cut", "cut"),
            Column("group", "group"),
            Column("rows", "rows", right=True),
            Column("bad", "bad", right=True),
            Column("approved", "approved", right=True),
            Column("ratio", "to the highest", right=True),
            Column("good_declined", "good, declined", right=True),
            Column("auc", "AUC", right=True),
        ],
        as_json=False,
        title=f"fairness: {card.kind}, the riskiest {card.declined_share:.0%} declined",
    )
    stable = ", ".join(f"{one.name} {one.csi:.3f}" for one in card.csi[:5])
    out.print(
        f"PSI of the score, training rows against held-out rows: {card.score_psi:.4f};"
        f" LightGBM {made.cards['lightgbm'].score_psi:.4f}\n"
        f"CSI of the strongest characteristics: {stable}\n"
        "interval: corrected resampled t over the folds (Nadeau and Bengio, 2003)\n"
        + (
            "peer: " + ", ".join(f"{name} {version}" for name, version in libraries.items())
            if libraries
            else "peer: not measured, its environment is not there; --make-peer makes it"
        ),
        highlight=False,
        soft_wrap=True,
    )


def _ratio(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _as_data(made: Trained, lines: list[_Paired], libraries: dict[str, str]) -> dict[str, Any]:
    import json
    from dataclasses import asdict

    return {
        "models": [asdict(one) for one in lines],
        "interval": "corrected resampled t, 95 %",
        "peer": libraries or None,
        "cards": {name: json.loads(card.to_json()) for name, card in made.cards.items()},
    }
