"""Risk parameters, their adoption, and the snapshots of months; see revision credit_0004."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from steelyard.credit.model.estimation import delivered_parameters
from steelyard.credit.model.parameters import (
    Parameters,
    parameters_from_json,
    parameters_to_json,
)
from steelyard.credit.model.risk_refusals import ParametersAreUnknown

_LOCK = "credit.risk_parameters"


def digest_of(parameters: Parameters) -> bytes:
    """Return the 32 bytes by which parameters are known: SHA-256 of their JSON."""
    text = json.dumps(parameters_to_json(parameters), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def next_version(connection: sa.Connection) -> int:
    """Return the version that the next parameters have; nobody else takes it meanwhile."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": _LOCK})
    found = connection.execute(sa.text("SELECT max(version) FROM credit.risk_parameters"))
    return int(found.scalar_one() or 0) + 1


def insert_parameters(
    connection: sa.Connection, parameters: Parameters, *, actor: str, at: datetime
) -> None:
    """Store parameters as their version."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.risk_parameters"
            " (version, content, content_hash, actor, estimated_at)"
            " VALUES (:version, CAST(:content AS jsonb), :content_hash, :actor, :at)"
        ),
        {
            "version": parameters.version,
            "content": json.dumps(parameters_to_json(parameters)),
            "content_hash": digest_of(parameters),
            "actor": actor,
            "at": at,
        },
    )


def read_parameters(connection: sa.Connection, version: int) -> Parameters:
    """Return a version; 0 is what is delivered.

    Refusals
    --------
    parameters_are_unknown
    """
    if version == 0:
        return delivered_parameters()
    content = connection.execute(
        sa.text("SELECT content FROM credit.risk_parameters WHERE version = :version"),
        {"version": version},
    ).scalar_one_or_none()
    if content is None:
        raise ParametersAreUnknown(version=version)
    return parameters_from_json(version, content)


class Adoption(NamedTuple):
    """From which day on which version is provided with, and by whose yes."""

    version: int
    from_on: date
    cause: str
    actor: str
    at: datetime


def adoptions(connection: sa.Connection) -> list[Adoption]:
    """Return every adoption, the first first."""
    rows = connection.execute(
        sa.text(
            "SELECT version, from_on, cause, actor, at FROM credit.risk_adoption ORDER BY sequence"
        )
    )
    return [Adoption(*row) for row in rows]


def insert_adoption(connection: sa.Connection, adoption: Adoption) -> None:
    """Store from which day on a version is provided with."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.risk_adoption (version, from_on, cause, actor, at)"
            " VALUES (:version, :from_on, :cause, :actor, :at)"
        ),
        adoption._asdict(),
    )


def version_on(connection: sa.Connection, on: date) -> int:
    """Return the version in force on a business date: of the latest day, what was adopted last."""
    found = connection.execute(
        sa.text(
            "SELECT version FROM credit.risk_adoption WHERE from_on <= :on"
            " ORDER BY from_on DESC, sequence DESC LIMIT 1"
        ),
        {"on": on},
    ).scalar_one_or_none()
    return 0 if found is None else int(found)


def list_months(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return the months that are kept, each currency apart, and how many loans; oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT s.month_on, p.currency, count(*) AS loans,"
            " sum(s.principal_minor)::bigint AS principal_minor"
            " FROM credit.snapshot s JOIN credit.pool p ON p.id = s.pool"
            " GROUP BY s.month_on, p.currency ORDER BY s.month_on, p.currency"
        )
    )
    return [dict(row._mapping) for row in rows]
