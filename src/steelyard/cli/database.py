"""`steelyard db`: the database of this installation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from steelyard.base import read_settings
from steelyard.base.postgres import EmbeddedPostgres
from steelyard.base.schema import migrate, revisions
from steelyard.cli.output import AsJson, Column, RefusingGroup, out, show

app = typer.Typer(help="the database", cls=RefusingGroup, no_args_is_help=True)


@app.command("migrate")
def migrate_now(as_json: AsJson = False) -> None:
    """Bring the database to this release."""
    from steelyard.parties import roles
    from steelyard.web.platform import open_database, open_database_server

    settings = read_settings()
    with open_database_server(settings) as urls:
        before = revisions(urls.application).present
        after = migrate(urls.owner).present
        with open_database(settings) as database:
            database.transact(roles.settle_built_in_roles)
    rows = [{"revision": r, "was_there": r in before} for r in after]
    show(rows, [Column("revision", "revision"), Column("was_there", "was there")], as_json=as_json)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show which server is used, whether it runs, and where the schema stands."""
    settings = read_settings()
    if settings.database_url is None:
        found = EmbeddedPostgres(settings.home).status()
        rows = [{"what": "server", "is": f"embedded, {found.state.value}"}]
    else:
        rows = [{"what": "server", "is": "of the operator (STEELYARD_DATABASE_URL)"}]
    from steelyard.web.platform import open_database_server

    with open_database_server(settings) as urls:
        stands = revisions(urls.application)
    rows.append({"what": "schema", "is": ", ".join(stands.present) or "empty"})
    rows.append({"what": "release wants", "is": ", ".join(stands.wanted)})
    rows.append({"what": "current", "is": "yes" if stands.is_current else "no"})
    show(rows, [Column("what", ""), Column("is", "")], as_json=as_json)
    if not stands.is_current:
        raise typer.Exit(1)


@app.command("url")
def url(
    owner: bool = typer.Option(False, "--owner", help="for the owner role, which migrates"),
) -> None:
    """Print the database URL while a platform runs beside this command."""
    from steelyard.web.platform import open_database_server

    with open_database_server(read_settings()) as urls:
        out.print(urls.owner if owner else urls.application, soft_wrap=True, highlight=False)


@app.command("jobs")
def jobs(as_json: AsJson = False) -> None:
    """Count the jobs, and show how many workers are heard."""
    from steelyard.base.jobs import job_counts
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        row = asdict(job_counts(connection))
    show([row], [Column(key, key.replace("_", " "), right=True) for key in row], as_json=as_json)


@app.command("dead-jobs")
def dead_jobs(as_json: AsJson = False) -> None:
    """List the jobs that failed at their last try and wait for a person."""
    from steelyard.base.jobs import list_dead
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        rows = [asdict(job) for job in list_dead(connection, limit=200)]
    columns = [Column(key, key) for key in ("id", "name", "attempts", "failed_at", "error")]
    show(rows, columns, as_json=as_json)


@app.command("replay-job")
def replay_job(number: Annotated[int, typer.Argument(help="id of a dead job")]) -> None:
    """Let a dead job run again, with all its tries; the steps that it had done stay done."""
    from steelyard.base.jobs import replay_dead
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        database.transact(lambda unit: replay_dead(unit, number), actor="operator:cli")
