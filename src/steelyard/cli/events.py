"""`steelyard events`: the log of facts and those who read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, RefusingGroup, bars, err, show

app = typer.Typer(help="facts and consumers", cls=RefusingGroup, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="consumer")]
Version = Annotated[int, typer.Option("--version", min=1, help="version of the consumer")]
Because = Annotated[str, typer.Option("--because", help="why; it stays in the audit trail")]
ACTOR = "operator:cli"


@app.command("tail")
def tail(
    kind: Annotated[list[str] | None, typer.Option("--kind", help="only these kinds")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="only this subject")] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest facts, the oldest of them first."""
    from steelyard.events import FactFilter, reading
    from steelyard.web.platform import open_database

    wanted = FactFilter(kinds=frozenset(kind or ()), subject=subject)
    with open_database(read_settings()) as database, database.reading() as connection:
        facts = reading.latest(connection, wanted, limit=rows)
    data = [
        {
            "sequence": f.sequence,
            "occurred_at": f.occurred_at.isoformat(timespec="milliseconds"),
            "kind": f"{f.kind}@{f.version}",
            "subject": f.subject,
            "actor": f.actor,
            "payload": json.loads(f.payload) if as_json else f.payload,
        }
        for f in reversed(facts.items)
    ]
    columns = [
        Column("sequence", "no.", right=True),
        Column("occurred_at", "occurred at"),
        Column("kind", "kind"),
        Column("subject", "subject"),
        Column("payload", "payload"),
    ]
    show(data, columns, as_json=as_json)


@app.command("consumers")
def consumers(as_json: AsJson = False) -> None:
    """Show every consumer, and how far it is behind the log."""
    from steelyard.events import operation
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        states = operation.consumer_states(connection)
    data = [
        {
            "consumer": f"{s.name}@{s.version}",
            "activity": s.activity.value,
            "hears": ", ".join(s.hears),
            "delivered_sequence": s.delivered_sequence,
            "facts_behind": s.facts_behind,
            "seconds_behind": round(s.seconds_behind, 3),
            "dead_letters": s.dead_letters,
            "trouble": s.trouble,
        }
        for s in states
    ]
    columns = [
        Column("consumer", "consumer"),
        Column("activity", "activity"),
        Column("delivered_sequence", "delivered", right=True),
        Column("facts_behind", "facts behind", right=True),
        Column("seconds_behind", "seconds", right=True),
        Column("dead_letters", "dead letters", right=True),
        Column("trouble", "trouble"),
    ]
    show(data, columns, as_json=as_json)


@app.command("kinds")
def kinds(as_json: AsJson = False) -> None:
    """List the kinds of facts that this release knows, with their fields."""
    import steelyard.web.rooms  # noqa: F401  (loading the rooms enters their facts)
    from steelyard.base import fact_classes

    data = [
        {"kind": kind, "version": version, "fields": ", ".join(made.__struct_fields__)}
        for (kind, version), made in sorted(fact_classes().items())
    ]
    columns = [Column("kind", "kind"), Column("version", "version", right=True)]
    show(data, [*columns, Column("fields", "fields")], as_json=as_json)


@app.command("replay")
def replay(
    name: Name,
    version: Version = 1,
    from_sequence: Annotated[int, typer.Option("--from", min=1, help="sequence number")] = 1,
    wait: Annotated[bool, typer.Option(help="deliver here, with a progress bar")] = True,
) -> None:
    """Give a consumer its facts again, from the beginning or a sequence number."""
    from steelyard.events import drain, operation
    from steelyard.web.platform import open_database
    from steelyard.web.rooms import CONSUMERS

    with open_database(read_settings()) as database:
        database.transact(
            lambda unit: operation.replay(unit, name, version, from_sequence=from_sequence),
            actor=ACTOR,
        )
        if not wait:
            return
        chosen = [c for c in CONSUMERS if (c.name, c.version) == (name, version)]
        with bars() as progress:
            count = drain(database, chosen, progress=lambda p: progress(name, p.done, p.total))
    if count == 0:
        err.print("nothing was delivered here: the running platform delivers it")


@app.command("dead")
def dead(as_json: AsJson = False) -> None:
    """List the facts that a consumer could not handle."""
    from steelyard.events import operation
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        page = operation.dead_letters(connection, limit=200)
    data = [
        {
            "letter": letter.id,
            "consumer": f"{letter.consumer}@{letter.consumer_version}",
            "kind": letter.kind,
            "subject": letter.subject,
            "state": letter.state.value,
            "attempts": letter.attempts,
            "error": letter.error,
        }
        for letter in page.items
    ]
    columns = [Column(key, key) for key in ("letter", "consumer", "kind", "state", "error")]
    show(data, columns, as_json=as_json)


@app.command("settle")
def settle(
    letter: Annotated[int, typer.Argument(help="number of the dead letter")],
    because: Because,
    discard: Annotated[bool, typer.Option("--discard", help="do without it")] = False,
) -> None:
    """Try a dead letter again, or discard it."""
    from steelyard.events import operation
    from steelyard.web.platform import open_database

    wish = operation.Settlement.DISCARD if discard else operation.Settlement.REPLAY
    with open_database(read_settings()) as database:
        database.transact(
            lambda unit: operation.settle_letter(unit, letter, wish, because=because), actor=ACTOR
        )


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="folder of the Parquet files")],
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first day")],
    until: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day; that of --from")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the log into Parquet files, one a day (UTC); files that are complete are kept."""
    from steelyard.events import export as exporting
    from steelyard.web.platform import open_database

    first, last = since.date(), (until or since).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    data = []
    with open_database(read_settings()) as database, bars() as progress:
        for on in days:
            done = exporting.export_day(
                database,
                on,
                folder,
                progress=_told(progress, str(on)),
            )
            data.append({"file": done.file, "facts": done.facts, "written": done.written})
    columns = [Column("file", "file"), Column("facts", "facts", right=True)]
    show(data, [*columns, Column("written", "written now")], as_json=as_json)


def _told(progress: Callable[[str, int, int], None], stage: str) -> Callable[[Any], None]:
    return lambda step: progress(stage, step.done, step.total)
