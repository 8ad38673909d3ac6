"""`steelyard risk`: train models and scorecards, run the published Handbook protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli import models
from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    bars,
    err,
    language,
    out,
    print_json,
    show,
)
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.decisions.training import Line, Trained, Trial

app = typer.Typer(help="train and try models of risk", cls=RefusingGroup, no_args_is_help=True)

Data = Annotated[Path | None, typer.Argument(help="german.data or taiwan_dev.csv")]
Sample = Annotated[bool, typer.Option("--sample", help="a small made-up data set")]
Out = Annotated[Path | None, typer.Option("--out", help="folder for models, cards and plots")]
Folds = Annotated[int, typer.Option(min=2, max=20, help="of the cross-validation")]
Repeats = Annotated[int, typer.Option(min=1, max=20, help="how often it is cut anew")]
Seed = Annotated[int, typer.Option(min=0, help="of folds and models")]
Protected = Annotated[
    bool, typer.Option("--protected", help="let the scorecard read sex, age and the like")
]


Register = Annotated[
    str | None, typer.Option("--register", help="enter the model in the registry under this name")
]


class ProtectedIsNotRegistered(Refusal):
    """Such a model is for comparison with published figures."""

    kind = RefusalKind.INVALID
    en = "A model that reads protected attributes is not registered: leave out --protected."
    zh = "使用受保护属性的模型不予登记：请去掉 --protected。"


class NothingToTrainOn(Refusal):
    """Neither data nor the sample was asked for."""

    kind = RefusalKind.INVALID
    en = "Name the data, or give --sample for a small made-up set."
    zh = "请给出数据路径，或使用 --sample 生成虚构小样本。"


class LibrariesAreMissing(Refusal):
    """Training needs the extra."""

    kind = RefusalKind.UNAVAILABLE
    en = "Training needs {missing}: install steelyard[ml,columns]."
    zh = "训练需要 {missing}：请安装 steelyard[ml,columns]。"


@app.callback()
def risk() -> None:
    """Train models and scorecards; run published protocols beside their published figures."""


@app.command("train")
def train(
    data: Data = None,
    sample: Sample = False,
    out_folder: Out = None,
    folds: Folds = 5,
    repeats: Repeats = 1,
    seed: Seed = 1,
    protected: Protected = False,
    register: Register = None,
    as_json: AsJson = False,
) -> None:
    """Cross-validate scorecard, logistic regression, forest and LightGBM; keep the models.

    With --register, LightGBM is entered.
    """
    made = _train(
        data,
        sample,
        (folds, repeats, seed),
        protected=protected,
        compare=True,
        register=register,
    )
    if as_json:
        print_json(_as_data(made))
    else:
        tell_comparison(made)
    if out_folder is not None:
        keep(made, out_folder)
    if register is not None and made.gbm is not None:
        _enter(register, made.gbm.to_json(), made.cards["lightgbm"].to_json())


@app.command("scorecard")
def scorecard(
    data: Data = None,
    sample: Sample = False,
    out_folder: Out = None,
    folds: Folds = 5,
    repeats: Repeats = 1,
    seed: Seed = 1,
    protected: Protected = False,
    base_score: Annotated[float, typer.Option(help="points at the base odds")] = 600.0,
    base_odds: Annotated[float, typer.Option(min=0.001, help="good to bad")] = 30.0,
    pdo: Annotated[float, typer.Option(min=0.1, help="points that double the odds")] = 20.0,
    register: Register = None,
    as_json: AsJson = False,
) -> None:
    """Make a scorecard: bins, weights of evidence, points; its figures by cross-validation."""
    scaling = (base_score, base_odds, pdo)
    made = _train(
        data,
        sample,
        (folds, repeats, seed),
        protected=protected,
        compare=False,
        scaling=scaling,
        register=register,
    )
    if as_json:
        print_json(_as_data(made))
    else:
        _tell_scorecard(made)
        tell_comparison(made)
    if out_folder is not None:
        keep(made, out_folder)
    if register is not None:
        _enter(register, made.scorecard.card.to_json(), made.cards["scorecard"].to_json())


def _enter(name: str, form: str, card: str) -> None:
    models.enter(name, form, card, as_json=False)


def _train(
    data: Path | None,
    sample: bool,
    folds: tuple[int, int, int],
    *,
    protected: bool,
    compare: bool,
    scaling: tuple[float, float, float] = (600.0, 30.0, 20.0),
    register: str | None = None,
) -> Trained:
    need("numpy", "sklearn", "lightgbm")
    from steelyard.decisions import training

    if data is None and not sample:
        raise NothingToTrainOn
    if protected and register is not None:
        raise ProtectedIsNotRegistered
    path = data or read_settings().home / "samples" / "credit" / "german.data"
    if sample:
        training.write_sample(path, training.GERMAN)
        err.print(f"made-up data was written to {path}", highlight=False, soft_wrap=True)
    rule = training.TrainingRule(
        training.ScorecardRule(scaling=training.Scaling(*scaling), protected=protected),
        folds=folds[0],
        repeats=folds[1],
        seed=folds[2],
        compare=compare,
        trained_by=models.ACTOR,
        champion=None if register is None else models.champion(register),
    )
    with bars() as progress:
        return training.train(training.read_credit(path), rule, progress)


def need(*modules: str) -> None:
    """Refuse where a library of the extras is not installed."""
    from importlib.util import find_spec

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise LibrariesAreMissing(missing=", ".join(missing))


def tell_comparison(made: Trained) -> None:
    """Print the AUC of each model beside the published one."""
    show(
        [
            {
                "model": one.model,
                "auc": f"{one.auc:.3f} ± {one.deviation:.3f}",
                "published": None if one.published is None else f"{one.published:.3f}",
            }
            for one in made.comparisons
        ],
        [
            Column("model", "model"),
            Column("auc", "AUC, cross-validated", right=True),
            Column("published", "published", right=True),
        ],
        as_json=False,
        title=f"{made.cards['scorecard'].data.name}: rows held out",
    )
    card = made.cards["scorecard"]
    out.print(
        f"scorecard: calibration error {card.calibration.expected_error:.4f},"
        f" Brier {card.calibration.brier:.4f}, PSI {card.score_psi:.4f}\n"
        f"content hash {card.content_hash}",
        highlight=False,
        soft_wrap=True,
    )


def _tell_scorecard(made: Trained) -> None:
    card = made.scorecard.card
    is_chinese = language().startswith("zh")
    rows: list[dict[str, Any]] = [{"bin": "base", "points": card.base_points}]
    for one, binning in zip(card.characteristics, made.scorecard.binnings, strict=True):
        rows.append(
            {
                "name": f"{one.partition.name} ({one.zh if is_chinese else one.en})",
                "iv": f"{binning.iv:.3f}",
            }
        )
        for bin_, points in zip(binning.bins, one.points, strict=True):
            if bin_.bad_rate is not None:
                rows.append(
                    {
                        "bin": bin_.label,
                        "rows": bin_.good + bin_.bad,
                        "bad": f"{bin_.bad_rate:.1%}",
                        "woe": f"{bin_.woe:+.3f}",
                        "points": points,
                    }
                )
    show(
        rows,
        [
            Column("name", "characteristic"),
            Column("bin", "bin"),
            Column("rows", "rows", right=True),
            Column("bad", "bad", right=True),
            Column("woe", "WoE = ln(good share / bad share)", right=True),
            Column("iv", "IV", right=True),
            Column("points", "points", right=True),
        ],
        as_json=False,
        title=f"{card.name}: {card.scaling.base_score:g} points at {card.scaling.base_odds:g}:1,"
        f" {card.scaling.pdo:g} points double the odds",
    )


def _as_data(made: Trained) -> dict[str, Any]:
    import json

    return {
        "comparisons": [
            {"model": one.model, "auc": one.auc, "deviation": one.deviation,
             "published": one.published}
            for one in made.comparisons
        ],
        "scorecard": json.loads(made.scorecard.card.to_json()),
        "cards": {name: json.loads(card.to_json()) for name, card in made.cards.items()},
    }  # fmt: skip


def keep(made: Trained, folder: Path) -> None:
    """Write the models, their cards and the plots into a folder."""
    from steelyard.decisions import training

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scorecard.json").write_text(made.scorecard.card.to_json() + "\n")
    if made.gbm is not None:
        (folder / "lightgbm.json").write_text(made.gbm.to_json() + "\n")
    for name, card in made.cards.items():
        (folder / f"{name}.card.json").write_text(card.to_json())
        (folder / f"{name}.card.md").write_text(card.to_markdown())
    training.draw(folder, made.bad, made.held_out)
    drawn = "" if training.plots_can_be_drawn() else ", without plots: matplotlib is not installed"
    err.print(f"kept in {folder}{drawn}", highlight=False, soft_wrap=True)


@app.command("handbook")
def handbook(
    folder: Annotated[Path | None, typer.Argument(help="folder of the Handbook's parquet")] = None,
    sample: Sample = False,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="folder for the table and the plots")
    ] = None,
    register: Register = None,
    as_json: AsJson = False,
) -> None:
    """Run the Handbook's protocol through the streaming engine, beside the published table.

    With --register, the model on our own inputs that did best on earlier weeks is entered.
    """
    need("numpy", "sklearn", "lightgbm", "polars")
    from steelyard.decisions import training

    if folder is None and not sample:
        raise NothingToTrainOn
    champion = None if register is None else models.champion(register)
    chosen = folder or read_settings().home / "samples" / "handbook"
    if sample:
        training.write_handbook_sample(chosen)
        err.print(f"made-up payments were written to {chosen}", highlight=False, soft_wrap=True)
    with bars() as progress:
        rows, trial = training.run_handbook(chosen, progress)
    table = [_line(line) for line in trial.lines]
    if as_json:
        print_json(table)
    else:
        _tell_trial(trial, table, is_sample=sample)
        out.print(
            f"streamed {rows.events:,} events x {len(rows.names)} features in"
            f" {rows.seconds_cpu:.0f} s CPU, {rows.seconds_cpu / rows.events * 1e6:.0f} µs each",
            highlight=False,
        )
    if out_folder is not None:
        import json

        training.draw(out_folder, trial.bad, trial.probabilities)
        out_folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(table, ensure_ascii=False, indent=1)
        (out_folder / "handbook.json").write_text(text + "\n")
        err.print(f"kept in {out_folder}", highlight=False, soft_wrap=True)
    if register is not None:
        model, card = training.trial_card(
            rows, trial, trial.best(), by=models.ACTOR, champion=champion
        )
        _enter(register, model.to_json(), card.to_json())


_METRICS = ("auc", "average_precision", "card_precision")


def _line(line: Line) -> dict[str, Any]:
    return {
        "model": line.model,
        "inputs": line.inputs,
        "chosen": line.chosen,
        "trial_average_precision": line.trial,
        **{name: line.mean(name) for name in _METRICS},
        **{f"{name}_deviation": line.deviation(name) for name in _METRICS},
        "seeds": len(line.scores),
        "published": line.published,
    }


def _tell_trial(trial: Trial, table: list[dict[str, Any]], *, is_sample: bool) -> None:
    rows = [
        {
            "model": row["model"],
            "inputs": row["inputs"],
            **{name: f"{row[name]:.3f} ± {row[name + '_deviation']:.3f}" for name in _METRICS},
            "published": " / ".join(f"{x:.3f}" for x in row["published"])
            if row["published"] and not is_sample
            else None,
            "chosen": row["chosen"],
        }
        for row in table
    ]
    show(
        rows,
        [
            Column("model", "model"),
            Column("inputs", "inputs"),
            Column("auc", "AUC", right=True),
            Column("average_precision", "AP", right=True),
            Column("card_precision", "CP@100", right=True),
            Column("published", "published", right=True),
            Column("chosen", "chosen on earlier weeks"),
        ],
        as_json=False,
        title=f"Handbook: {trial.train_rows:,} payments to train on, {trial.test_rows:,} tested,"
        f" {trial.test_bad:,} frauds; mean and deviation of {table[0]['seeds']} seeds;"
        " published with XGBoost beside LightGBM",
    )
