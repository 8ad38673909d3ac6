"""`steelyard lists`: who is blocked, allowed or watched, and until when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from steelyard.base import read_settings
from steelyard.cli.models import ACTOR, FileCannotBeRead
from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    out,
    show,
)

app = typer.Typer(
    help="lists that policies ask: block, allow, watch",
    cls=RefusingGroup,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="name of the list")]
Why = Annotated[str, typer.Option("--reason", help="why")]


@app.command("list")
def list_lists(as_json: AsJson = False) -> None:
    """Show every list and how many values stand on it."""
    from steelyard.decisions import lists
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = lists.counted_lists(connection, now=database.clock.read(connection))
    rows = [
        {
            "name": one.list.name,
            "means": one.list.means,
            "field": one.list.field,
            "entries": one.entries,
        }
        for one in found
    ]
    keys = ("name", "means", "field", "entries")
    show(rows, [Column(key, key, right=key == "entries") for key in keys], as_json=as_json)


@app.command("show")
def show_entries(
    name: Name,
    limit: Annotated[int, typer.Option(help="how many", min=1, max=100_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the values on a list, in their order."""
    from steelyard.decisions import lists
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        at = database.clock.read(connection)
        page = lists.list_entries(connection, name, now=at, limit=limit)
    rows = [
        {
            "value": one.value,
            "until": one.until_at,
            "reason": one.reason,
            "by": one.added_by,
            "added": one.added_at,
        }
        for one in page.items
    ]
    keys = ("value", "until", "reason", "by", "added")
    show(rows, [Column(key, key) for key in keys], as_json=as_json)


@app.command("add")
def add(
    name: Name,
    values: Annotated[list[str], typer.Argument(help="values, as they stand in the field")],
    reason: Why,
    until: Annotated[datetime | None, typer.Option(help="instant, UTC")] = None,
) -> None:
    """Put values on a list."""
    from steelyard.decisions import lists
    from steelyard.web.platform import open_database

    at = None if until is None else until.replace(tzinfo=UTC)
    with open_database(read_settings()) as database:
        added = database.transact(
            lambda unit: lists.add_to_list(unit, name, values, reason=reason, until_at=at),
            actor=ACTOR,
        )
    out.print(f"{added:,} new on {name}", highlight=False)


@app.command("import")
def import_file(
    name: Name,
    path: Annotated[
        Path, typer.Argument(help="CSV with the columns value, reason and, maybe, until")
    ],
) -> None:
    """Put the entries of a CSV file on a list, all or none."""
    from steelyard.decisions import lists
    from steelyard.web.platform import open_database

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileCannotBeRead(path=path, why=error) from None
    with open_database(read_settings()) as database:
        added = database.transact(lambda unit: lists.import_list(unit, name, text), actor=ACTOR)
    out.print(f"{added:,} new on {name}", highlight=False)


@app.command("remove")
def remove(name: Name, value: Annotated[str, typer.Argument()], reason: Why) -> None:
    """Take a value off a list."""
    from steelyard.decisions import lists
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        database.transact(
            lambda unit: lists.take_off_list(unit, name, value, reason=reason), actor=ACTOR
        )
    out.print(f"{value} is off {name}", highlight=False)
