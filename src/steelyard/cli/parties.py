"""`steelyard parties`: people, their codes and passwords."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from steelyard.base import Database, read_settings
from steelyard.cli.output import AsJson, Column, RefusingGroup, out, print_json, show
from steelyard.kernel import Refusal, RefusalKind

app = typer.Typer(help="people and access", cls=RefusingGroup, no_args_is_help=True)


class PlatformIsRunning(Refusal):
    """Other processes work on the same database, and would not know a new master key."""

    kind = RefusalKind.CONFLICT
    en = "{connections} connections of a running platform are open: stop it, then rotate."
    zh = "平台正在运行（{connections} 个连接），请先停止再轮换密钥。"


Name = Annotated[str, typer.Argument(help="user name of staff, or phone number of a customer")]


@app.command("code")
def code(name: Name, as_json: AsJson = False) -> None:
    """Print the one-time code that somebody needs now (development only)."""
    from steelyard.base.crypto import Keyring
    from steelyard.parties import first_run
    from steelyard.web.platform import open_database

    settings = read_settings()
    with open_database(settings) as database:
        digits = first_run.current_code(database, Keyring.open(settings), settings, name)
    if as_json:
        print_json({"name": name, "code": digits})
    else:
        out.print(digits, highlight=False)


@app.command("reset")
def reset(name: Name, as_json: AsJson = False) -> None:
    """Give a member of staff a new password and print it (development only)."""
    from steelyard.parties import first_run
    from steelyard.web.platform import open_database

    settings = read_settings()
    with open_database(settings) as database:
        password = first_run.reset_password(database, settings, name)
    if as_json:
        print_json({"name": name, "password": password})
    else:
        out.print(password, highlight=False)


@app.command("administrator")
def administrator(
    name: Annotated[str, typer.Argument(help="user name")],
    person: Annotated[str, typer.Option("--name", help="the person's name")],
    email: Annotated[str, typer.Option("--email")],
    as_json: AsJson = False,
) -> None:
    """Make one of the first two administrators of an installation, in production too."""
    from steelyard.base.crypto import Keyring
    from steelyard.parties import first_run, staff
    from steelyard.web.platform import open_database

    settings = read_settings()
    with open_database(settings) as database:
        made = first_run.create_administrator(
            database, Keyring.open(settings), staff.NewStaff(name, person, email)
        )
    if as_json:
        print_json(asdict(made))
        return
    out.print("shown once; keep it safe:", style="bold")
    for what, value in asdict(made).items():
        text = " ".join(value) if isinstance(value, tuple) else value
        out.print(f"  {what}: {text}", highlight=False, soft_wrap=True)


@app.command("people")
def people(as_json: AsJson = False) -> None:
    """List the staff, with their roles and whether they can sign in."""
    from steelyard.parties import staff
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        page = staff.list_staff(connection, limit=200)
    data = [
        {"user_name": s.user_name, "state": s.state.value, "roles": ", ".join(s.roles)}
        for s in page.items
    ]
    columns = [Column("user_name", "user name"), Column("state", "state"), Column("roles", "roles")]
    show(data, columns, as_json=as_json)


@app.command("counts")
def counts(as_json: AsJson = False) -> None:
    """Count the parties of each kind."""
    from steelyard.parties import registry
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = registry.count_parties(connection)
    data = [{"kind": kind.value, "parties": count} for kind, count in found.items()]
    columns = [Column("kind", "kind"), Column("parties", "parties", right=True)]
    show(data, columns, as_json=as_json)


@app.command("audit")
def audit(
    rows: Annotated[int, typer.Option("--rows", min=1, max=200)] = 20,
    verify: Annotated[bool, typer.Option("--verify", help="recompute the whole chain")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest lines of the audit trail, or prove all of it (exit 1 if it is broken)."""
    from steelyard.base.audit import read_audit, verify_audit
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        if verify:
            report = verify_audit(connection)
            data = [
                {
                    "entries": report.entries,
                    "holds": report.holds,
                    "first_bad": report.first_bad,
                    "head": report.head.hex(),
                }
            ]
            show(data, [Column(key, key.replace("_", " ")) for key in data[0]], as_json=as_json)
            if not report.holds:
                raise typer.Exit(1)
            return
        page = read_audit(connection, limit=rows)
    lines = [
        {
            "sequence": e.sequence,
            "at": e.wall_at.isoformat(timespec="seconds"),
            "actor": e.actor,
            "action": e.action,
            "subject": e.subject,
            "detail": e.detail,
        }
        for e in page.items
    ]
    columns = [Column(key, key) for key in ("at", "actor", "action", "subject", "detail")]
    show(lines, columns, as_json=as_json)


@app.command("rotate-keys")
def rotate_keys(
    new: Annotated[bool, typer.Option("--new", help="make a new master key first")] = False,
    as_json: AsJson = False,
) -> None:
    """Rewrap every data key under the newest master key; killed and run again, it goes on."""
    from steelyard.base.crypto import Keyring, add_master_key
    from steelyard.cli.output import bars
    from steelyard.web.platform import open_database

    settings = read_settings()
    with open_database(settings) as database, bars() as progress:
        if new:
            _refuse_beside_others(database)
            Keyring.open(settings)  # the folder and the first key, on a fresh home
            add_master_key(settings.home / "keys")
        moved = Keyring.open(settings).rotate(
            database, progress=lambda done, total: progress("data keys", done, total)
        )
    show([{"rewrapped": moved}], [Column("rewrapped", "rewrapped", right=True)], as_json=as_json)


def _refuse_beside_others(database: Database) -> None:
    """Refuse while anybody else is connected as the application."""
    with database.reading() as connection:
        others = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = current_user AND pid <> pg_backend_pid()"
        ).scalar_one()
    if others:
        raise PlatformIsRunning(connections=others)
