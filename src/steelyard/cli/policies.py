"""`steelyard policies`: what judges, what would, and how it is changed without harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from steelyard.base import UnitOfWork, read_settings
from steelyard.cli.models import ACTOR, FileCannotBeRead
from steelyard.cli.output import (
    AsJson,
    Column,
    RefusingGroup,
    language,
    out,
    print_json,
    show,
)

if TYPE_CHECKING:
    from steelyard.decisions import lifecycle
    from steelyard.parties import approvals

app = typer.Typer(
    help="policies: draft, check, shadow, challenge, promote, roll back, stop",
    cls=RefusingGroup,
    no_args_is_help=True,
)

_MOST_SHARE = 100
Scene = Annotated[str, typer.Argument(help="payment, log_in, withdrawal ...")]
Name = Annotated[str, typer.Argument(help="scene@version")]
Rule = Annotated[str, typer.Argument(help="node/row, as decisions show it in their trace")]
Approved = Annotated[UUID | None, typer.Option("--approval", help="that another person gave")]
Why = Annotated[str, typer.Option("--reason", help="why")]
Until = Annotated[datetime | None, typer.Option("--until", help="instant, UTC")]


@app.command("list")
def list_scenes(as_json: AsJson = False) -> None:
    """Show how every scene stands."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = policies.report_scenes(connection)
    rows = [
        {
            "scene": one.stand.scene,
            "active": one.stand.active,
            "newest": one.newest,
            "challenger": one.stand.challenger,
            "shadows": ", ".join(map(str, one.shadows)),
            "stopped": ", ".join(rule.rule for rule in one.stopped),
            "snoozes": one.snoozes,
            "killed": ", ".join(one.thrown),
            "draft_by": one.draft_by,
        }
        for one in found
    ]
    if not as_json:
        for row in rows:
            off = [row["killed"], row["stopped"], f"{row['snoozes']} snoozed"]
            row["off"] = "; ".join(str(one) for one in off if one and one != "0 snoozed")
    keys = ("scene", "active", "newest", "challenger", "shadows", "off")
    show(rows, [Column(key, key) for key in keys], as_json=as_json)


@app.command("install")
def install(as_json: AsJson = False) -> None:
    """Put the delivered policies in force in scenes that have none."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        done = database.transact(policies.install_delivered, actor=ACTOR)
    show([{"scene": scene} for scene in done], [Column("scene", "installed")], as_json=as_json)


@app.command("versions")
def list_versions(
    scene: Scene,
    limit: Annotated[int, typer.Option(help="how many", min=1, max=1_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the versions of a policy, the newest first."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        page = policies.list_versions(connection, scene, limit=limit)
    rows = [
        {
            "policy": one.cause,
            "hash": one.hash,
            "note": one.content.note,
            "committed_by": one.committed_by,
            "committed_at": one.committed_at,
        }
        for one in page.items
    ]
    if not as_json:
        for row in rows:
            row["hash"] = str(row["hash"])[:12]
            row["committed_at"] = f"{row['committed_at']:%Y-%m-%d %H:%M}"
    keys = ("policy", "hash", "note", "committed_by", "committed_at")
    show(rows, [Column(key, key.replace("_", " ")) for key in keys], as_json=as_json)


@app.command("show")
def show_version(name: Name) -> None:
    """Print the document of a version, as it can be drafted again."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = policies.read_version(connection, *_named(name))
    print_json(json.loads(found.content.source))


@app.command("check")
def check(
    scene: Scene,
    document: Annotated[Path | None, typer.Option(help="JDM file; the draft without it")] = None,
    examples: Annotated[Path | None, typer.Option(help="its test cases")] = None,
    fails: Annotated[str, typer.Option(help="open or closed")] = "closed",
    as_json: AsJson = False,
) -> None:
    """Show what is wrong with a document: unknown fields, gaps, overlaps, types, test cases."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        content = None
        if document is not None:
            content = _content(connection, scene, document, examples, fails=fails)
        checked = policies.check_draft(connection, scene, content)
    _show_findings(checked, as_json=as_json)
    if checked.policy is None:
        raise typer.Exit(1)


@app.command("draft")
def draft(
    scene: Scene,
    document: Annotated[Path, typer.Option(help="JDM file")],
    examples: Annotated[
        Path | None, typer.Option(help="its test cases; those of the active version without it")
    ] = None,
    fails: Annotated[str, typer.Option(help="open or closed")] = "closed",
    note: Annotated[str, typer.Option(help="what is new")] = "",
) -> None:
    """Keep a document as the draft of a scene."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        with database.reading() as connection:
            content = _content(connection, scene, document, examples, fails=fails, note=note)
        database.transact(lambda unit: policies.draft_policy(unit, scene, content), actor=ACTOR)
        with database.reading() as connection:
            checked = policies.check_draft(connection, scene)
    out.print(f"draft of {scene}: {len(checked.errors)} errors", highlight=False)


@app.command("commit")
def commit(scene: Scene) -> None:
    """Write the draft of a scene down as the next version."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        made = database.transact(lambda unit: policies.commit_draft(unit, scene), actor=ACTOR)
    out.print(f"{made.cause} {made.hash}", highlight=False)


@app.command("promote")
def promote(name: Name, approval: Approved = None, as_json: AsJson = False) -> None:
    """Ask another person to let a version judge; with the approval, let it."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    scene, version = _named(name)

    def ask(unit: UnitOfWork) -> approvals.Approval:
        return policies.request_promotion(unit, scene, version)

    def do(unit: UnitOfWork, given: UUID) -> None:
        policies.promote(unit, scene, version, approval=given)

    with open_database(read_settings()) as database:
        _by_two(database, ask, do, approval=approval, as_json=as_json)


@app.command("roll-back")
def roll_back(scene: Scene, approval: Approved = None, as_json: AsJson = False) -> None:
    """Ask another person to let the version before judge again; with the approval, let it."""
    from steelyard.decisions import policies
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        version = policies.version_before(connection, scene)
    promote(f"{scene}@{version}", approval, as_json)


@app.command("challenge")
def challenge(
    name: Annotated[str, typer.Argument(help="scene@version to start; a scene to look at it")],
    weight_bp: Annotated[int, typer.Option(help="share in basis points", min=1, max=9_999)] = 1_000,
    watched_days: Annotated[int, typer.Option(min=1, max=366)] = 7,
    delay_days: Annotated[int, typer.Option(help="labels are waited for", min=0, max=366)] = 7,
    approval: Approved = None,
    as_json: AsJson = False,
) -> None:
    """Let a version judge a share of the subjects, by two people; or show what it says so far."""
    from steelyard.decisions import challenges
    from steelyard.web.platform import open_database

    if "@" not in name:
        _show_challenge(name, as_json=as_json)
        return
    scene, version = _named(name)
    terms = challenges.Terms(weight_bp, timedelta(days=watched_days), timedelta(days=delay_days))

    def ask(unit: UnitOfWork) -> approvals.Approval:
        return challenges.request_challenge(unit, scene, version, terms)

    def do(unit: UnitOfWork, given: UUID) -> None:
        challenges.start_challenge(unit, scene, version, approval=given)

    with open_database(read_settings()) as database:
        _by_two(database, ask, do, approval=approval, as_json=as_json)


@app.command("shadow")
def shadow(
    name: Name,
    start: Annotated[bool, typer.Option("--start", help="begin a run")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="end the run")] = False,
    since: Annotated[
        datetime | None, typer.Option(help="with --start: over the past from then on, UTC")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a shadow run found: agreement, swaps, shares; begin or end one."""
    from steelyard.decisions import shadows
    from steelyard.web.platform import open_database

    place = _named(name)
    at = None if since is None else since.replace(tzinfo=UTC)
    with open_database(read_settings()) as database:
        if start:
            database.transact(
                lambda unit: shadows.start_shadow(unit, *place, since=at), actor=ACTOR
            )
        elif stop:
            database.transact(lambda unit: shadows.stop_shadow(unit, *place), actor=ACTOR)
        with database.reading() as connection:
            report = shadows.report_shadow(connection, *place)
    known = {(one.said, one.would_say): one for one in report.swaps}
    rows: list[dict[str, Any]] = []
    for one in report.tallies:
        swap = known.get((one.said, one.would_say))
        rows.append(
            {
                **one._asdict(),
                "share": f"{_MOST_SHARE * one.decisions / report.decisions:.2f} %",
                "fraud": None if swap is None else swap.fraud,
                "honest": None if swap is None else swap.honest,
            }
        )
    if as_json:
        print_json(
            {
                "decisions": report.decisions,
                "agreeing": report.agreeing,
                "swapped_in": report.swapped_in,
                "swapped_out": report.swapped_out,
                "unrecorded": report.unrecorded,
                "lacks": report.lacks,
                "tallies": rows,
            }
        )
        return
    columns = ["said", "would_say", "decisions", "share", "unrecorded", "fraud", "honest"]
    show(rows, [Column(key, key.replace("_", " "), right=key != "said") for key in columns],
         as_json=False)  # fmt: skip
    out.print(
        f"{report.decisions:,} decisions, {report.agreeing:,} the same;"
        f" {report.swapped_in:,} would be let pass besides, {report.swapped_out:,} no longer",
        highlight=False,
    )
    if report.lacks:
        names = ", ".join(f"{key} ({count:,})" for key, count in report.lacks.items())
        out.print(f"not recorded in {report.unrecorded:,}: {names}", highlight=False)


@app.command("stop-rule")
def stop_rule(scene: Scene, rule: Rule, reason: Why) -> None:
    """Stop a rule for everybody; it is still observed."""
    from steelyard.decisions import guards
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        database.transact(lambda unit: guards.stop_rule(unit, scene, rule, reason), actor=ACTOR)
    out.print(f"{rule} of {scene} is stopped", highlight=False)


@app.command("resume-rule")
def resume_rule(scene: Scene, rule: Rule) -> None:
    """Let a stopped rule take effect again; somebody else than who stopped it may."""
    from steelyard.decisions import guards
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        database.transact(lambda unit: guards.resume_rule(unit, scene, rule), actor=ACTOR)
    out.print(f"{rule} of {scene} goes on", highlight=False)


@app.command("snooze")
def snooze(
    scene: Scene,
    rule: Rule,
    subject: Annotated[str, typer.Option(help="noun:id")],
    until: Annotated[datetime, typer.Option(help="instant, UTC")],
    reason: Why,
) -> None:
    """Leave a rule out for one subject, until an instant."""
    from steelyard.decisions import guards
    from steelyard.web.platform import open_database

    at = until.replace(tzinfo=UTC)
    with open_database(read_settings()) as database:
        made = database.transact(
            lambda unit: guards.snooze_rule(
                unit, scene, rule, subject=subject, until_at=at, reason=reason
            ),
            actor=ACTOR,
        )
    out.print(f"snooze {made.id} until {at.isoformat()}", highlight=False)


@app.command("kill")
def kill(
    subject: Annotated[str, typer.Argument(help="scene:NAME or policy:NAME@VERSION")],
    reason: Why,
    until: Until = None,
) -> None:
    """Switch a scene or a version off at once; its fault mode answers."""
    from steelyard.decisions import guards
    from steelyard.web.platform import open_database

    at = None if until is None else until.replace(tzinfo=UTC)
    with open_database(read_settings()) as database:
        database.transact(
            lambda unit: guards.throw_switch(unit, subject, reason, until_at=at), actor=ACTOR
        )
    out.print(f"{subject} is switched off", highlight=False)


@app.command("lift")
def lift(subject: Annotated[str, typer.Argument(help="scene:NAME or policy:NAME@VERSION")]) -> None:
    """Let a scene or a version be asked again; somebody else than who switched it off may."""
    from steelyard.decisions import guards
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        database.transact(lambda unit: guards.lift_switch(unit, subject), actor=ACTOR)
    out.print(f"{subject} is asked again", highlight=False)


def _show_challenge(scene: str, *, as_json: bool) -> None:
    from steelyard.decisions import challenges
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        at = database.clock.read(connection)
        report = challenges.report_challenge(connection, scene, as_of=at)
    rows = [
        {
            "metric": metric.metric.name,
            "arm": arm.arm,
            "exposed": arm.exposed,
            "known": arm.n,
            "mean": None if arm.mean is None else round(arm.mean, 6),
        }
        for metric in report.results.metrics
        for arm in metric.arms
    ]
    show(rows, [Column(key, key) for key in rows[0]], as_json=as_json)
    if not as_json:
        it = report.challenge
        out.print(f"{scene}@{it.challenger} against @{it.against}: {report.state}", highlight=False)
        out.print(report.results.sentence(language()), highlight=False)


def _by_two(database: Any, ask: Any, do: Any, *, approval: UUID | None, as_json: bool) -> None:
    """Ask for a second person's yes, or do with it what was asked for."""
    if approval is not None:
        database.transact(lambda unit: do(unit, approval), actor=ACTOR)
        if as_json:
            print_json({"is_done": True})
        else:
            out.print("done", highlight=False)
        return
    asked = database.transact(ask, actor=ACTOR)
    if as_json:
        shown = json.loads(asked.shown)
        print_json({"is_done": False, "approval": asked.id, "shown": shown})
    else:
        out.print(f"approval {asked.id} waits for another person", highlight=False)


def _content(
    connection: Any,
    scene: str,
    document: Path,
    examples: Path | None,
    *,
    fails: str,
    note: str = "",
) -> lifecycle.Content:
    from steelyard.decisions import lifecycle, policies

    if fails not in ("open", "closed"):
        raise typer.BadParameter("open or closed", param_hint="--fails")
    stand = policies.read_stand(connection, scene)
    present = policies.read_version(connection, scene, stand.active).content
    return lifecycle.Content(
        source=_text(document),
        fails=lifecycle.Fails(fails),
        examples=present.examples if examples is None else _text(examples),
        budget=present.budget,
        note=note,
    )


def _show_findings(checked: lifecycle.Checked, *, as_json: bool) -> None:
    chinese = language().startswith("zh")
    rows = [
        {
            "severity": one.severity.value,
            "code": one.code,
            "node": one.node,
            "at": one.at,
            "what": one.zh if chinese else one.en,
        }
        for one in checked.findings
    ]
    columns = [Column(key, key) for key in ("severity", "code", "node", "at", "what")]
    show(rows, columns, as_json=as_json)


def _named(name: str) -> tuple[str, int]:
    scene, _, version = name.partition("@")
    if not scene or not version.isascii() or not version.isdecimal() or len(version) > 9:
        raise typer.BadParameter(f"{name} is not scene@version")
    return scene, int(version)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileCannotBeRead(path=path, why=error) from None
