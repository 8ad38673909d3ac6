"""`steelyard decisions`: what was decided, why, and whether it comes out again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, RefusingGroup, print_json, show

app = typer.Typer(
    help="decisions: why, by which version, and computed again",
    cls=RefusingGroup,
    no_args_is_help=True,
)

Id = Annotated[UUID | None, typer.Argument(help="id of the decision; the newest without it")]
Scene = Annotated[str | None, typer.Option(help="of this scene only")]
Outcome = Annotated[str | None, typer.Option(help="with this outcome only")]
Subject = Annotated[str | None, typer.Option(help="about this subject only, `customer:id`")]
Limit = Annotated[int, typer.Option(help="how many", min=1, max=1_000)]


def _newest(connection: sa.Connection) -> UUID:
    """Return the id of the newest decision; before the first one it is unknown."""
    from steelyard.decisions import records

    page = records.newest_decisions(connection, limit=1)
    return page.items[0].decision.id if page.items else UUID(int=0)


@app.command("list")
def list_decisions(
    scene: Scene = None,
    outcome: Outcome = None,
    subject: Subject = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest decisions."""
    from steelyard.decisions import records
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        page = records.newest_decisions(
            connection, scene=scene, outcome=outcome, subject=subject, limit=limit
        )
    rows = [
        {
            "number": line.number,
            "id": str(line.decision.id),
            "scene": line.decision.asked.scene,
            "outcome": line.decision.outcome,
            "score": line.decision.score,
            "reasons": ", ".join(line.decision.reasons),
            "subject": line.decision.subject,
            "policy": line.decision.cause,
        }
        for line in page.items
    ]
    columns = [
        Column("number", "number", right=True),
        Column("id", "id"),
        Column("outcome", "outcome"),
        Column("score", "score", right=True),
        Column("reasons", "reasons"),
        Column("policy", "policy"),
    ]
    show(rows, columns, as_json=as_json)


@app.command("show")
def show_decision(id: Id = None) -> None:
    """Print a decision with everything that it was made of, as JSON."""
    import msgspec

    from steelyard.decisions import records
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        line = records.read_decision(connection, id or _newest(connection))
    print_json({**msgspec.json.decode(line.record), "hash": line.hash.hex()})


@app.command("replay")
def replay(id: Id = None, as_json: AsJson = False) -> None:
    """Compute a decision again from its recorded inputs and versions, and compare the bytes."""
    from steelyard.decisions import policies, records
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = records.replay_decision(
            connection, id or _newest(connection), policies.policy_that_made
        )
    row = {
        "id": str(found.recorded.id),
        "recorded": found.recorded.outcome,
        "computed": found.computed.outcome,
        "equal": found.is_equal,
        "differing": ", ".join(found.differing),
    }
    show([row], [Column(key, key) for key in row], as_json=as_json)
    if not found.is_equal:
        raise typer.Exit(1)


@app.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Compute every hash of the log again."""
    from steelyard.decisions import records
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = records.verify_log(connection)
    row = {
        "decisions": found.decisions,
        "sound": found.first_bad is None,
        "first_bad": found.first_bad,
        "head": found.head.hex(),
    }
    show([row], [Column(key, key) for key in row], as_json=as_json)
    if found.first_bad is not None:
        raise typer.Exit(1)
