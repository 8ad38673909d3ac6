"""Tables of policies: drafts, versions, how each scene stands, and what was promoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.decisions.model.lifecycle import (
    Committed,
    Content,
    Draft,
    How,
    KeptList,
    as_data,
    budget_as_data,
    read_budget,
    read_findings,
)
from steelyard.decisions.model.policy import Fails


@dataclass(frozen=True, slots=True)
class Stand:
    """The row of a scene: which versions judge it."""

    scene: str
    active: int
    challenger: int | None = None
    experiment: str | None = None
    experiment_version: int | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """That a version became active, and why."""

    id: UUID
    scene: str
    version: int
    before: int | None
    how: How
    cause: str
    by: str
    at: datetime


def hold_scene(connection: sa.Connection, scene: str) -> None:
    """Keep others from changing the policy of a scene until the transaction ends."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('policy:' || :scene, 0))"),
        {"scene": scene},
    )


def bump(connection: sa.Connection) -> None:
    """Raise the version of the roster."""
    connection.execute(sa.text("UPDATE decisions.roster SET version = version + 1"))


def roster_version(connection: sa.Connection) -> int:
    """Return the version of the roster."""
    found: int = connection.execute(sa.text("SELECT version FROM decisions.roster")).scalar_one()
    return found


# -- drafts and versions ------------------------------------------------------------------------


def put_draft(connection: sa.Connection, draft: Draft) -> None:
    """Put a draft in the place of the one before."""
    statement = sa.text(
        "INSERT INTO decisions.policy_draft (scene, source, fails, examples, budget, note,"
        " drafted_by, drafted_at) VALUES (:scene, :source, :fails, :examples, :budget, :note, :by,"
        " :at) ON CONFLICT (scene) DO UPDATE SET source = :source, fails = :fails,"
        " examples = :examples, budget = :budget, note = :note, drafted_by = :by, drafted_at = :at"
    ).bindparams(sa.bindparam("budget", type_=JSONB(none_as_null=True)))
    content = draft.content
    connection.execute(
        statement,
        {**_written(content), "scene": draft.scene, "by": draft.drafted_by, "at": draft.drafted_at},
    )


def find_draft(connection: sa.Connection, scene: str) -> Draft | None:
    """Return the draft of a scene."""
    row = connection.execute(
        sa.text("SELECT * FROM decisions.policy_draft WHERE scene = :scene"), {"scene": scene}
    ).one_or_none()
    if row is None:
        return None
    return Draft(row.scene, _content(row), row.drafted_by, row.drafted_at.astimezone(UTC))


def drop_draft(connection: sa.Connection, scene: str) -> bool:
    """Drop the draft of a scene; False if there is none."""
    done = connection.execute(
        sa.text("DELETE FROM decisions.policy_draft WHERE scene = :scene"), {"scene": scene}
    )
    return done.rowcount == 1


def insert_version(connection: sa.Connection, committed: Committed) -> None:
    """Insert a version."""
    statement = sa.text(
        "INSERT INTO decisions.policy (scene, version, source, hash, fails, examples, budget, note,"
        " findings, committed_by, committed_at) VALUES (:scene, :version, :source, :hash, :fails,"
        " :examples, :budget, :note, :findings, :by, :at)"
    ).bindparams(
        sa.bindparam("budget", type_=JSONB(none_as_null=True)),
        sa.bindparam("findings", type_=JSONB),
    )
    connection.execute(
        statement,
        {
            **_written(committed.content),
            "scene": committed.scene,
            "version": committed.version,
            "hash": committed.hash,
            "findings": as_data(committed.findings),
            "by": committed.committed_by,
            "at": committed.committed_at,
        },
    )


def find_version(connection: sa.Connection, scene: str, version: int) -> Committed | None:
    """Return a version."""
    row = connection.execute(
        sa.text("SELECT * FROM decisions.policy WHERE scene = :scene AND version = :version"),
        {"scene": scene, "version": version},
    ).one_or_none()
    return None if row is None else _committed(row)


def versions(
    connection: sa.Connection, scene: str, *, before: int = 2**31 - 1, limit: int = 1_000
) -> list[Committed]:
    """Return the versions of a scene, the newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM decisions.policy WHERE scene = :scene AND version < :before"
            " ORDER BY version DESC LIMIT :n"
        ),
        {"scene": scene, "before": before, "n": limit},
    )
    return [_committed(row) for row in rows]


def find_same(connection: sa.Connection, scene: str, hash: str, content: Content) -> int | None:
    """Return the version that says the same in everything but its note."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM decisions.policy WHERE scene = :scene AND hash = :hash"
            " ORDER BY version DESC"
        ),
        {"scene": scene, "hash": hash},
    )
    for row in rows:
        kept = _content(row)
        if (kept.fails, kept.examples, kept.budget) == (
            content.fails,
            content.examples,
            content.budget,
        ):
            version: int = row.version
            return version
    return None


def newest_version(connection: sa.Connection, scene: str) -> int:
    """Return the newest version of a scene, 0 if there is none."""
    found: int = connection.execute(
        sa.text("SELECT coalesce(max(version), 0) FROM decisions.policy WHERE scene = :scene"),
        {"scene": scene},
    ).scalar_one()
    return found


# -- how scenes stand -----------------------------------------------------------------------------


def stands(connection: sa.Connection) -> list[Stand]:
    """Return how each scene stands."""
    rows = connection.execute(sa.text("SELECT * FROM decisions.standing ORDER BY scene"))
    return [Stand(*row) for row in rows]


def find_stand(connection: sa.Connection, scene: str) -> Stand | None:
    """Return how a scene stands."""
    row = connection.execute(
        sa.text("SELECT * FROM decisions.standing WHERE scene = :scene"), {"scene": scene}
    ).one_or_none()
    return None if row is None else Stand(*row)


def put_stand(connection: sa.Connection, stand: Stand) -> None:
    """Write how a scene stands; the caller holds the scene."""
    connection.execute(
        sa.text(
            "INSERT INTO decisions.standing (scene, active, challenger, experiment,"
            " experiment_version) VALUES (:scene, :active, :challenger, :experiment, :version)"
            " ON CONFLICT (scene) DO UPDATE SET active = :active, challenger = :challenger,"
            " experiment = :experiment, experiment_version = :version"
        ),
        {
            "scene": stand.scene,
            "active": stand.active,
            "challenger": stand.challenger,
            "experiment": stand.experiment,
            "version": stand.experiment_version,
        },
    )


def insert_promotion(connection: sa.Connection, promotion: Promotion) -> None:
    """Note that a version became active."""
    connection.execute(
        sa.text(
            "INSERT INTO decisions.promotion (id, scene, version, before, how, cause, by, at)"
            " VALUES (:id, :scene, :version, :before, :how, :cause, :by, :at)"
        ),
        {
            "id": promotion.id,
            "scene": promotion.scene,
            "version": promotion.version,
            "before": promotion.before,
            "how": promotion.how,
            "cause": promotion.cause,
            "by": promotion.by,
            "at": promotion.at,
        },
    )


def promotions(connection: sa.Connection, scene: str, *, limit: int = 100) -> list[Promotion]:
    """Return what became active, the latest first."""
    rows = connection.execute(
        sa.text(
            "SELECT id, scene, version, before, how, cause, by, at FROM decisions.promotion"
            " WHERE scene = :scene ORDER BY number DESC LIMIT :n"
        ),
        {"scene": scene, "n": limit},
    )
    return [
        Promotion(
            row.id,
            row.scene,
            row.version,
            row.before,
            How(row.how),
            row.cause,
            row.by,
            row.at.astimezone(UTC),
        )
        for row in rows
    ]


def enter_lists(connection: sa.Connection, lists: Sequence[KeptList], at: datetime) -> None:
    """Enter the kept lists of a policy that are not there yet."""
    for one in lists:
        connection.execute(
            sa.text(
                "INSERT INTO decisions.list (name, means, field, entered_at)"
                " VALUES (:name, :means, :field, :at) ON CONFLICT DO NOTHING"
            ),
            {"name": one.name, "means": one.means, "field": one.field, "at": at},
        )


def _written(content: Content) -> dict[str, Any]:
    return {
        "source": content.source,
        "fails": content.fails,
        "examples": content.examples,
        "budget": budget_as_data(content.budget),
        "note": content.note,
    }


def _content(row: sa.Row[Any]) -> Content:
    return Content(row.source, Fails(row.fails), row.examples, read_budget(row.budget), row.note)


def _committed(row: sa.Row[Any]) -> Committed:
    return Committed(
        row.scene,
        row.version,
        _content(row),
        row.hash,
        read_findings(row.findings),
        row.committed_by,
        row.committed_at.astimezone(UTC),
    )
