"""`steelyard credit`: who is late and how he is reached, what customers brought up, the bureau."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, out, show

if TYPE_CHECKING:
    from steelyard.base import Database

_ACTOR = "system:cli"
LoanArgument = Annotated[UUID, typer.Argument(help="id of the loan")]


@contextmanager
def _database() -> Iterator[Database]:
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        yield database


def board(
    least_dpd: Annotated[int, typer.Option(min=1, help="days past due, at least")] = 1,
    rows: Annotated[int, typer.Option(min=1, max=200, help="how many")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show the loans that are collected: how late, by which strategy, what was promised."""
    from steelyard.credit import collections

    with _database() as database, database.reading() as connection:
        found = collections.board(connection, least_dpd=least_dpd, limit=rows)
    lines: list[dict[str, Any]] = [
        {
            "nr": one.episode.nr,
            "loan": one.episode.loan,
            "party": one.episode.party,
            "since": one.episode.opened_on.isoformat(),
            "dpd": one.dpd,
            "bucket": one.bucket,
            "overdue_minor": one.overdue_minor,
            "strategy": one.episode.strategy,
            "contacts": one.contacts,
            "promised": one.promised_until and one.promised_until.isoformat(),
            "stops": ", ".join(stop.value for stop in one.stops),
            "case": one.episode.case_id,
        }
        for one in found
    ]
    columns = [
        Column("nr", "loan", right=True),
        Column("since", "collected since"),
        Column("dpd", "days", right=True),
        Column("overdue_minor", "overdue (minor)", right=True),
        Column("strategy", "strategy"),
        Column("contacts", "contacts", right=True),
        Column("promised", "promised by"),
        Column("stops", "stopped for"),
    ]
    show(lines, columns, as_json=as_json)


def contacts(loan: LoanArgument, as_json: AsJson = False) -> None:
    """Show every contact about a loan, and every one that was refused, newest first."""
    from steelyard.credit import collections, loans

    with _database() as database, database.reading() as connection:
        number = loans.read(connection, loan).nr
        found = collections.contacts_of(connection, number)
    lines = [
        {
            "at": one.at.astimezone(ZoneInfo(one.zone)).isoformat(timespec="minutes"),
            "channel": one.channel.value,
            "by": one.actor,
            "step": one.step,
            "result": one.result and one.result.value,
            "refused": one.refused,
        }
        for one in found
    ]
    columns = [Column(key, key) for key in ("at", "channel", "by", "step", "result", "refused")]
    show(lines, columns, as_json=as_json)


def next_acts(
    dpd: Annotated[int, typer.Argument(min=0, help="days past due")],
    strategy: Annotated[str, typer.Option(help="steady, early_call")] = "steady",
    at: Annotated[
        str, typer.Option(help="local instant of the customer, YYYY-MM-DDTHH:MM")
    ] = "2026-03-02T10:00",
    zone: Annotated[str, typer.Option(help="IANA name of his time zone")] = "Asia/Shanghai",
    as_json: AsJson = False,
) -> None:
    """Show whom a strategy would reach at an instant, and the rules it stays within."""
    from steelyard.credit import collections

    try:
        now = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(zone))
    except (ValueError, KeyError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--at, --zone") from None
    situation = collections.Situation(loan=0, dpd=dpd, overdue_minor=1, zone=zone)
    acts = collections.next_acts(situation, collections.strategy_of(strategy), now)
    lines = [
        {"turn": one.key, "channel": one.channel.value, "template": one.template} for one in acts
    ]
    show(lines, [Column(key, key) for key in ("turn", "channel", "template")], as_json=as_json)
    if not as_json:
        rules = collections.rules_on(now.date())
        out.print(
            f"{rules.name}: {rules.opens:%H:%M} to {rules.closes:%H:%M},"
            f" {rules.all_channels.day} a day, {rules.all_channels.week} in seven days"
            f" ({rules.source})",
            style="dim",
        )


def matters(as_json: AsJson = False) -> None:
    """Show what customers brought up and waits for an answer, the nearest deadline first."""
    from steelyard.credit import complaints

    with _database() as database, database.reading() as connection:
        found = complaints.open_matters(connection)
    lines = [
        {
            "id": str(one.id),
            "kind": one.kind.value,
            "loan": one.nr,
            "about": one.about,
            "received": one.received_on.isoformat(),
            "due": one.due_on.isoformat(),
            "rule": one.rule,
            "case": str(one.case),
        }
        for one in found
    ]
    columns = [Column(key, key) for key in ("id", "kind", "loan", "about", "received", "due")]
    show(lines, columns, as_json=as_json)


def bureau_file(
    period: Annotated[str, typer.Argument(help="month that is over, YYYY-MM")],
    to: Annotated[Path | None, typer.Option(help="file to write it to")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="write nothing down")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the reporting file of a month for the bureau, or show the one that was made."""
    from steelyard.credit import bureau_files

    with _database() as database:
        if preview:
            with database.reading() as connection:
                file = bureau_files.preview_file(connection, period)
        else:
            made = {}
            with database.reading() as connection:
                made = {one.period: one for one in bureau_files.list_files(connection, limit=600)}
            if period not in made:
                database.transact(lambda unit: bureau_files.make_file(unit, period), actor=_ACTOR)
            with database.reading() as connection:
                file = bureau_files.read_file(connection, period)
    line = {
        "period": period,
        "rows": len(file.rows),
        "corrections": file.corrections,
        "balance_minor": file.balance_minor,
        "overdue_minor": file.overdue_minor,
        "sha256": file.sha256,
    }
    show([line], [Column(key, key.replace("_", " ")) for key in line], as_json=as_json)
    if to is not None:
        to.write_bytes(bureau_files.write_file(file))
