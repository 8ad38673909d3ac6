"""`steelyard cases`: the work queue for people, read from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, RefusingGroup, out, print_json, show

if TYPE_CHECKING:
    import sqlalchemy as sa

    from steelyard.cases import Case

app = typer.Typer(help="the work queue for people", cls=RefusingGroup, no_args_is_help=True)

Id = Annotated[UUID, typer.Argument(help="id of the case")]
Rows = Annotated[int, typer.Option("--rows", min=1, max=200, help="how many")]


@contextmanager
def _looking() -> Iterator[tuple[sa.Connection, datetime]]:
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        now = database.now()
        with database.reading() as connection:
            yield connection, now


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="open, claimed, ...; all but closed")] = None,
    kind: Annotated[str | None, typer.Option(help="room.noun")] = None,
    colour: Annotated[str | None, typer.Option(help="green, amber or red")] = None,
    assignee: Annotated[str | None, typer.Option(help="staff:<id>")] = None,
    subject: Annotated[str | None, typer.Option(help="noun:id")] = None,
    rows: Rows = 30,
    as_json: AsJson = False,
) -> None:
    """List cases in the order in which they are worked; closed ones only when asked for."""
    from steelyard.cases import CaseState, reading, registry

    wanted = reading.CaseFilter(
        state=None if state is None else _one_of(CaseState, state, "--state"),
        kind=kind,
        colour=None if colour is None else _one_of(registry.Colour, colour, "--colour"),
        assignee=assignee,
        subject=subject,
    )
    with _looking() as (connection, now):
        page = reading.list_cases(
            connection,
            wanted,
            now=now,
            order="newest" if wanted.state is CaseState.CLOSED else "queue",
            limit=rows,
        )
    columns = [
        Column(key, key.replace("_", " "))
        for key in ("id", "kind", "subject", "state", "priority", "colour", "age", "due_at", "who")
    ]
    show([_row(case, now) for case in page.items], columns, as_json=as_json)
    if page.next is not None and not as_json:
        out.print(f"the first {rows}; there are more", style="dim")


@app.command("show")
def show_(case: Id, as_json: AsJson = False) -> None:
    """Show a case with its notes, evidence and links."""
    from steelyard.cases import reading

    with _looking() as (connection, now):
        file = reading.read_file(connection, case)
    found = file.case
    more: dict[str, Any] = {
        "opened_by": found.opened_by,
        "signals": found.signals,
        "group": found.group,
        "skill": found.skill,
        "breached_at": found.breached_at,
        "outcome": found.closing and found.closing.outcome,
        "approved_by": found.closing and found.closing.approved_by,
        "reopened": found.reopened,
        "notes": [{"at": n.at, "by": n.by, "text": n.text} for n in file.notes],
        "evidence": [
            {"kind": e.kind, "reference": e.reference, "sha256": e.content_hash, "by": e.by}
            for e in file.evidence
        ],
        "links": [one.target for one in file.links],
    }
    whole = _row(found, now) | more
    if as_json:
        print_json(whole)
        return
    lines = [
        {"what": name.replace("_", " "), "value": value}
        for name, value in whole.items()
        if not isinstance(value, list)
    ]
    lines += [{"what": "note", "value": f"{n.by}: {n.text}"} for n in file.notes]
    lines += [
        {"what": "evidence", "value": f"{e.kind} {e.reference} {e.content_hash[:12]}…"}
        for e in file.evidence
    ]
    lines += [{"what": "link", "value": one.target} for one in file.links]
    show(lines, [Column("what", "case"), Column("value", str(found.id))], as_json=False)


@app.command("history")
def history(case: Id, rows: Rows = 50, as_json: AsJson = False) -> None:
    """Show everything that happened to a case, oldest first."""
    from steelyard.cases import reading

    with _looking() as (connection, _):
        page = reading.history(connection, case, limit=rows)
    lines = [
        {
            "sequence": line.sequence,
            "version": line.version,
            "at": line.at.isoformat(timespec="seconds"),
            "wall_at": line.wall_at.isoformat(timespec="seconds"),
            "actor": line.actor,
            "action": line.action,
            "before": line.before and line.before.value,
            "after": line.after.value,
            "detail": dict(line.detail)
            if as_json
            else ", ".join(f"{k}={v}" for k, v in line.detail.items() if v is not None),
        }
        for line in page.items
    ]
    columns = [Column(key, key) for key in ("version", "at", "actor", "action", "after", "detail")]
    show(lines, columns, as_json=as_json)


@app.command("stats")
def stats(
    days: Annotated[int, typer.Option(min=1, max=366, help="how far closings are counted")] = 30,
    zone: Annotated[str, typer.Option(help="time zone of the dates")] = "Asia/Shanghai",
    as_json: AsJson = False,
) -> None:
    """Show how the queue stands: open by kind and colour, ages, closed by day, share in time."""
    from steelyard.cases import reading

    with _looking() as (connection, now):
        found = reading.statistics(connection, now, days=days, zone=zone)
    waiting: list[dict[str, Any]] = [
        {
            "kind": one.kind,
            "colour": one.colour.value,
            "cases": one.cases,
            "oldest_at": one.oldest_at.isoformat(timespec="seconds"),
            "age_s_p50": one.age_s_p50,
            "age_s_p90": one.age_s_p90,
            "age_s_p99": one.age_s_p99,
        }
        for one in found.open_cases
    ]
    closed: list[dict[str, Any]] = [
        {
            "on": one.on.isoformat(),
            "kind": one.kind,
            "cases": one.cases,
            "within_sla": one.within_sla,
        }
        for one in found.closed
    ]
    if as_json:
        print_json(
            {
                "at": found.at,
                "open": waiting,
                "oldest": found.oldest and found.oldest.id,
                "ages_s": found.ages_s,
                "closed": closed,
                "sla_met_bp": found.sla_met_bp,
            }
        )
        return
    show(
        waiting,
        [
            Column("kind", "open"),
            Column("colour", "colour"),
            Column("cases", "cases", right=True),
            Column("oldest_at", "oldest"),
            Column("age_s_p50", "age p50 (s)", right=True),
            Column("age_s_p90", "p90", right=True),
            Column("age_s_p99", "p99", right=True),
        ],
        as_json=False,
    )
    show(
        closed,
        [
            Column("on", "closed on"),
            Column("kind", "kind"),
            Column("cases", "cases", right=True),
            Column("within_sla", "in time", right=True),
        ],
        as_json=False,
    )
    if found.sla_met_bp is not None:
        out.print(f"in time: {found.sla_met_bp / 100:.2f} %", highlight=False)


def _one_of(kind: Any, word: str, option: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise typer.BadParameter(f"{word} is none of: {known}", param_hint=option) from None


def _row(case: Case, now: datetime) -> dict[str, Any]:
    age = (case.closing.at if case.closing else now) - case.opened_at
    return {
        "id": str(case.id),
        "kind": case.kind,
        "subject": case.subject,
        "state": case.state.value,
        "priority": case.priority.name.lower(),
        "colour": (case.colour if case.closing else case.marks.colour(now)).value,
        "opened_at": case.opened_at.isoformat(timespec="seconds"),
        "age": str(timedelta(seconds=int(age.total_seconds()))),
        "due_at": case.marks.due_at.isoformat(timespec="seconds"),
        "who": case.claim.by if case.claim else None,
    }
