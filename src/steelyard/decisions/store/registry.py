"""Table of registered models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.decisions.model.inputs import read_inputs
from steelyard.decisions.model.registered import (
    Entry,
    ModelIsUnknown,
    ModelKindName,
    ModelState,
    PolicyUse,
    RegisteredModel,
)

_COLUMNS = (
    "name, version, kind, digest, card_digest, inputs, state, registered_by, registered_at, cause,"
    " approved_at, retired_by, retired_at, reason"
)


@dataclass(frozen=True, slots=True)
class Texts:
    """A model's flat form and its card, as they were written."""

    form: str
    card: str


def hold_name(connection: sa.Connection, name: str) -> None:
    """Keep others from registering under the name until the transaction ends."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('decisions.model:' || :name, 0))"),
        {"name": name},
    )


def insert(connection: sa.Connection, entry: Entry, *, by: str, at: datetime) -> RegisteredModel:
    """Insert a model with its card."""
    model = entry.model
    statement = sa.text(
        "INSERT INTO decisions.model (name, version, kind, form, digest, substance, inputs,"
        " schema_hash, definitions_hash, card, card_digest, registered_by, registered_at)"
        " VALUES (:name, :version, :kind, :form, :digest, :substance, :inputs, :schema_hash,"
        f" :definitions_hash, :card, :card_digest, :by, :at) RETURNING {_COLUMNS}"
    ).bindparams(sa.bindparam("inputs", type_=JSONB))
    row = connection.execute(
        statement,
        {
            "name": model.name,
            "version": model.version,
            "kind": entry.kind,
            "form": model.to_json(),
            "digest": model.content_hash,
            "substance": entry.substance,
            "inputs": entry.inputs.as_data(),
            "schema_hash": entry.inputs.schema_hash,
            "definitions_hash": entry.inputs.definitions_hash,
            "card": entry.card.to_json(),
            "card_digest": entry.card.digest,
            "by": by,
            "at": at,
        },
    ).one()
    return _model(row)


def change(connection: sa.Connection, before: RegisteredModel, after: RegisteredModel) -> None:
    """Bring a version from one state to the next."""
    done = connection.execute(
        sa.text(
            "UPDATE decisions.model SET state = :state, cause = :cause, approved_at = :approved_at,"
            " retired_by = :retired_by, retired_at = :retired_at, reason = :reason"
            " WHERE name = :name AND version = :version AND state = :before"
        ),
        {
            "name": before.name,
            "version": before.version,
            "before": before.state,
            "state": after.state,
            "cause": after.cause,
            "approved_at": after.approved_at,
            "retired_by": after.retired_by,
            "retired_at": after.retired_at,
            "reason": after.reason,
        },
    )
    assert done.rowcount == 1, "the row is held"


def read(connection: sa.Connection, name: str, version: int | None = None) -> RegisteredModel:
    """Return a version of a model, the newest one if none is named.

    Refusals
    --------
    model_is_unknown
    """
    return _read(connection, name, version, "")


def lock(connection: sa.Connection, name: str, version: int) -> RegisteredModel:
    """Return a version of a model, kept from changing until we are done.

    Refusals
    --------
    model_is_unknown
    """
    return _read(connection, name, version, "FOR UPDATE")


def newest(connection: sa.Connection, name: str, state: ModelState) -> RegisteredModel | None:
    """Return the newest version in a state."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM decisions.model WHERE name = :name AND state = :state"
            " ORDER BY version DESC LIMIT 1"
        ),
        {"name": name, "state": state},
    ).one_or_none()
    return None if row is None else _model(row)


def last_version(connection: sa.Connection, name: str) -> int:
    """Return the highest version of a name, 0 before the first."""
    found: int = connection.execute(
        sa.text("SELECT coalesce(max(version), 0) FROM decisions.model WHERE name = :name"),
        {"name": name},
    ).scalar_one()
    return found


def same(connection: sa.Connection, name: str, substance: str) -> int | None:
    """Return the version of a name that is the same model, None if there is none."""
    found: int | None = connection.execute(
        sa.text("SELECT version FROM decisions.model WHERE name = :name AND substance = :same"),
        {"name": name, "same": substance},
    ).scalar()
    return found


def texts(connection: sa.Connection, name: str, version: int) -> Texts:
    """Return form and card of a version.

    Refusals
    --------
    model_is_unknown
    """
    row = connection.execute(
        sa.text("SELECT form, card FROM decisions.model WHERE name = :name AND version = :version"),
        {"name": name, "version": version},
    ).one_or_none()
    if row is None:
        raise ModelIsUnknown(model=f"{name}@{version}")
    return Texts(row.form, row.card)


def listed(
    connection: sa.Connection,
    *,
    name: str | None,
    state: ModelState | None,
    after: tuple[str, int],
    limit: int,
) -> list[RegisteredModel]:
    """Return versions by name, the newest of a name first, behind a place in that order."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM decisions.model"
            " WHERE (name, -version) > (:after_name, -(:after_version)::integer)"
            " AND (CAST(:name AS text) IS NULL OR name = :name)"
            " AND (CAST(:state AS text) IS NULL OR state = :state)"
            " ORDER BY name, version DESC LIMIT :limit"
        ),
        {
            "after_name": after[0],
            "after_version": after[1],
            "name": name,
            "state": state,
            "limit": limit,
        },
    )
    return [_model(row) for row in rows]


def uses(connection: sa.Connection, name: str, version: int) -> tuple[PolicyUse, ...]:
    """Return the committed policies of which a node names the model or holds it."""
    rows = connection.execute(
        sa.text(
            "SELECT p.scene, p.version, CASE p.version WHEN s.active THEN 'active'"
            " WHEN s.challenger THEN 'challenger' ELSE '' END AS standing"
            " FROM decisions.policy p LEFT JOIN decisions.standing s ON s.scene = p.scene"
            " WHERE jsonb_path_exists(p.source::jsonb, CAST(:path AS jsonpath), :vars)"
            " ORDER BY p.scene, p.version"
        ).bindparams(sa.bindparam("vars", type_=JSONB)),
        {
            "path": "$.nodes[*].content.config.*"
            " ? (@ == $reference || (@.name == $name && @.version == $version))",
            "vars": {"reference": f"{name}@{version}", "name": name, "version": version},
        },
    )
    return tuple(PolicyUse(row.scene, row.version, row.standing) for row in rows)


def _read(
    connection: sa.Connection, name: str, version: int | None, lock_clause: str
) -> RegisteredModel:
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM decisions.model WHERE name = :name"
            " AND (CAST(:version AS integer) IS NULL OR version = :version)"
            f" ORDER BY version DESC LIMIT 1 {lock_clause}"
        ),
        {"name": name, "version": version},
    ).one_or_none()
    if row is None:
        raise ModelIsUnknown(model=name if version is None else f"{name}@{version}")
    return _model(row)


def _instant(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _model(row: sa.Row[Any]) -> RegisteredModel:
    return RegisteredModel(
        name=row.name,
        version=row.version,
        kind=ModelKindName(row.kind),
        digest=row.digest,
        card_digest=row.card_digest,
        inputs=read_inputs(f"{row.name}@{row.version}", row.inputs),
        state=ModelState(row.state),
        registered_by=row.registered_by,
        registered_at=row.registered_at.astimezone(UTC),
        cause=row.cause,
        approved_at=_instant(row.approved_at),
        retired_by=row.retired_by,
        retired_at=_instant(row.retired_at),
        reason=row.reason,
    )
