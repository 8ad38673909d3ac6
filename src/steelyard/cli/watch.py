"""`steelyard watch`: what drifts, and what explains a decision that is before people."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from steelyard.base import read_settings
from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    language,
    out,
    print_json,
    show,
)
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.base import Database
    from steelyard.decisions import watch as watching

app = typer.Typer(
    help="what drifts, and what explains a decision", cls=RefusingGroup, no_args_is_help=True
)

Scene = Annotated[str | None, typer.Option("--scene", help="only of this scene")]


class PlotsCannotBeDrawn(Refusal):
    """The drawing library is not there."""

    kind = RefusalKind.UNAVAILABLE
    en = "Plots need the extra `plots`: pip install 'steelyard[plots]'."
    zh = "绘图需要额外依赖 plots：pip install 'steelyard[plots]'。"


@app.callback()
def watch() -> None:
    """Watch whether features, scores and rules are still what they were."""


@app.command("drift")
def drift(
    scene: Scene = None,
    every: Annotated[bool, typer.Option("--all", help="also what is steady")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="draw the days of each policy into a folder")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was found at the end of the last business day of each scene."""
    from steelyard.decisions import watch as watching
    from steelyard.web.platform import open_database

    if plot is not None and find_spec("matplotlib") is None:
        raise PlotsCannotBeDrawn
    with open_database(read_settings()) as database:
        with database.reading() as connection:
            found = watching.read_drift(connection, scene)
        if as_json:
            print_json([_as_data(one) for one in found])
        else:
            _tell(found, every=every)
        if plot is not None:
            _draw(database, found, plot, quiet=as_json)


@app.command("run")
def run(as_json: AsJson = False) -> None:
    """Watch the business days that are over and were not watched yet; the job does it daily."""
    from steelyard.decisions import watch as watching
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        done = watching.catch_up(
            database,
            database.transact,
            watching.policy_at_hand,
            until=watching.closed_day(database.now()),
        )
    rows = [{"on": day.isoformat(), "scene": name, "policy": policy} for day, name, policy in done]
    show(rows, [Column(key, key) for key in ("on", "scene", "policy")], as_json=as_json)


@app.command("explain")
def explain(
    decision: Annotated[UUID, typer.Argument(help="id of a decision that is before people")],
    as_json: AsJson = False,
) -> None:
    """Show what explains a decision: reasons, values, and what each input added to the score."""
    from steelyard.decisions import reviews
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        kept, found = reviews.read_explanation(connection, decision)
    if as_json:
        print_json({**reviews.as_data(found), "case": str(kept.case)})
        return
    out.print(reviews.sentence_of(found, language()), highlight=False, markup=False)
    out.print(f"case {kept.case}", highlight=False)
    for model in found.models:
        rows = [
            {"input": one.input, "value": one.value, "add": f"{one.add:+.4f}"}
            for one in model.parts
        ]
        columns = [Column("input", "input"), Column("value", "value", right=True),
                   Column("add", "adds", right=True)]  # fmt: skip
        title = f"{model.model}: {model.method}, from {model.base:+.4f}"
        show(rows, columns, as_json=False, title=title)


def _as_data(one: watching.Drifting) -> dict[str, Any]:
    reference = one.reference
    return {
        "scene": one.scene,
        "policy": one.policy,
        "on": one.day.isoformat(),
        "decisions": one.decisions,
        "reference": reference
        and {
            "number": reference.number,
            "first_on": reference.first_day.isoformat(),
            "last_on": reference.last_day.isoformat(),
            "decisions": reference.decisions,
        },
        "findings": [row._asdict() for row in one.findings],
    }


def _tell(found: watching.Drifts, *, every: bool) -> None:
    if not found:
        out.print("no business day was watched yet: steelyard watch run", style="dim")
    for one in found:
        reference = one.reference
        since = (
            "no reference yet"
            if reference is None
            else f"reference {reference.first_day} to {reference.last_day},"
            f" {reference.decisions:,} decisions"
        )
        shown = [row for row in one.findings if every or row.level in ("alert", "watch")]
        shown += [row for row in one.findings if row.level == "unknown"]
        rows = [
            {
                "level": row.level,
                "sentence": row.zh if language() == "zh-CN" else row.en,
                "case": row.case,
            }
            for row in shown
        ]
        columns = [Column("level", "level"), Column("sentence", one.scene), Column("case", "case")]
        title = f"{one.policy} · {one.day} · {one.decisions:,} decisions · {since}"
        show(rows, columns, as_json=False, title=title)
        steady = sum(row.level == "steady" for row in one.findings)
        if not every and steady:
            out.print(f"{steady} more are steady (--all)", style="dim")


def _draw(database: Database, found: watching.Drifts, folder: Path, *, quiet: bool) -> None:
    from steelyard.cli.watch_plots import draw_days
    from steelyard.decisions import watch as watching

    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        with database.reading() as connection:
            series = watching.read_series(connection, one.scene, one.policy)
        if series is None:
            continue
        path = draw_days(series, folder)
        if not quiet:
            out.print(f"wrote {path}", highlight=False, soft_wrap=True)
