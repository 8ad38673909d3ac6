"""How commands speak: tables for people, JSON for machines, refusals in the reader's language."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from steelyard.kernel import Refusal

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]

err = Console(stderr=True)
out = Console()


def language() -> str:
    """Return the language of the terminal: `zh-CN` where LC_ALL, LC_MESSAGES or LANG say zh."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return "zh-CN" if os.environ[name].lower().startswith("zh") else "en"
    return "en"


class RefusingGroup(TyperGroup):
    """A group of commands whose refusals are told in one sentence, with exit status 1.

    With `--json` the refusal is a problem document on the error stream.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Refusal as refusal:
            if "--json" in sys.argv:
                from steelyard.base.http import problem_of

                typer.echo(
                    json.dumps(problem_of(refusal, language()), ensure_ascii=False), err=True
                )
            else:
                sentence = refusal.sentence(language())
                err.print(f"[red]{refusal.code}[/red]: {sentence}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: key in the rows, heading, whether numbers stand right."""

    key: str
    heading: str
    right: bool = False


def show(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[Column],
    *,
    as_json: bool,
    title: str | None = None,
) -> None:
    """Print rows as a table, or all their keys as a JSON list."""
    if as_json:
        print_json(list(rows))
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(
            column.heading, justify="right" if column.right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(row.get(column.key)) for column in columns))
    out.print(table)


def print_json(value: object) -> None:
    """Print a value as JSON; instants, ids and enums as their text."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value))  # what people wrote is no markup


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Draw one bar for each stage, on the error stream."""
    bars = Progress(
        TextColumn("{task.description:16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=err,
    )
    tasks: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, rate="")
        speed = bars.tasks[tasks[stage]].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        bars.update(tasks[stage], completed=done, total=total, rate=rate)

    with bars:
        yield progress
