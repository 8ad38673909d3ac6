"""`steelyard payments report`: success, health, fees, settlement and breaks as tables and plots."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, bars, out, print_json, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.base import Database
    from steelyard.payments import institution, reports

Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="by the institution's clock")
]


def report(
    folder: Annotated[
        Path | None, typer.Option("--out", help="write CSV, JSON and plots here")
    ] = None,
    since: Day = None,
    until: Day = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="a town of its own: nothing of the home is touched")
    ] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="the sandbox instead")] = False,
    as_json: AsJson = False,
) -> None:
    """Show success, declines, health, fees, settlement, breaks, refunds; the last 30 days."""
    from steelyard.payments import institution

    if sample:
        from steelyard.cli import payments_demo

        with bars() as progress, payments_demo.open_town(progress) as town:
            payments_demo.play(town, days=1, payments=200, seed=1)
            tables = _read(town.database, payments_demo.MODE, since, until)
    else:
        from steelyard.web.platform import open_database

        mode = institution.Mode.SANDBOX if sandbox else institution.Mode.LIVE
        with open_database(read_settings()) as database:
            tables = _read(database, mode, since, until)
    if folder is not None:
        from steelyard.cli.payments_reports_plots import draw

        plots = draw(tables, folder) + write_tables(tables, folder)
        out.print(f"{plots} files in {folder}", soft_wrap=True)
    if as_json:
        print_json({table.name.value: table.as_json() for table in tables})
    elif folder is None:
        _print(tables)


def _read(
    database: Database, mode: institution.Mode, since: datetime | None, until: datetime | None
) -> list[reports.Table]:
    from steelyard.payments import institution, reports

    with database.reading() as connection:
        zone = institution.read(connection, mode).timezone
        now = database.now()
        wanted = reports.Asked(
            since=_midnight(since, zone) or now - timedelta(days=30),
            until=_midnight(until, zone) or now + timedelta(seconds=1),
            mode=mode,
            timezone=zone,
        )
        return reports.every(connection, wanted)


def _midnight(on: datetime | None, zone: str) -> datetime | None:
    if on is None:
        return None
    return datetime.combine(on.date(), time(0), ZoneInfo(zone)).astimezone(UTC)


def write_tables(tables: Sequence[reports.Table], folder: Path) -> int:
    """Write each table as CSV and all as JSON; return how many files.

    Texts that a spreadsheet would take for a formula are written with a quote before them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.heads)
        writer.writerows([[_safe(cell) for cell in row] for row in table.rows])
        (folder / f"{table.name.value}.csv").write_text(text.getvalue(), encoding="utf-8")
    told = {table.name.value: table.as_json() for table in tables}
    whole = json.dumps(told, ensure_ascii=False, indent=2)
    (folder / "reports.json").write_text(whole + "\n", encoding="utf-8")
    return len(tables) + 1


def _safe(cell: reports.Cell) -> reports.Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _print(tables: Sequence[reports.Table]) -> None:
    for table in tables:
        if not table.rows:
            out.print(f"[bold]{table.title}[/bold]: nothing")
            continue
        first = table.rows[0]
        columns = [
            Column(head, head.removesuffix("_minor"), right=not isinstance(cell, str))
            for head, cell in zip(table.heads, first, strict=True)
        ]
        rows = [{head: _shown(head, cell) for head, cell in row.items()} for row in table.as_json()]
        show(rows, columns, as_json=False, title=table.title)


def _shown(head: str, cell: reports.Cell) -> reports.Cell:
    if cell is None or not head.endswith("_rate"):
        return cell
    return f"{100 * float(cell):.2f} %"
