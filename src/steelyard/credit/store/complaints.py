"""Tables of what customers bring up, and of the evidence about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.credit.model.complaint import Matter, MatterIsUnknown, MatterKind

_SELECT = "SELECT m.*, m.case_id AS case FROM credit.matter m"


@dataclass(frozen=True, slots=True)
class MatterEvidence:
    """Where a piece of evidence is kept, and its SHA-256."""

    kind: str
    reference: str
    content_hash: str
    at: datetime
    by: str


def insert(connection: sa.Connection, matter: Matter) -> None:
    """Insert a matter."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.matter (id, kind, nr, party, about, case_id, received_at,"
            " received_on, due_on, rule, state) VALUES (:id, :kind, :nr, :party, :about, :case,"
            " :received_at, :received_on, :due_on, :rule, 'open')"
        ),
        {
            name: getattr(matter, name)
            for name in (
                *("id", "kind", "nr", "party", "about", "case", "received_at", "received_on"),
                *("due_on", "rule"),
            )
        },
    )


def find_open(connection: sa.Connection, nr: int, kind: MatterKind) -> Matter | None:
    """Return the open matter of a kind about a loan."""
    row = connection.execute(
        sa.text(f"{_SELECT} WHERE m.nr = :nr AND m.kind = :kind AND m.state = 'open'"),
        {"nr": nr, "kind": kind},
    ).one_or_none()
    return None if row is None else _matter(row)


def read(connection: sa.Connection, matter: UUID, *, held: str = "") -> Matter:
    """Return a matter.

    Refusals
    --------
    matter_is_unknown
    """
    row = connection.execute(
        sa.text(f"{_SELECT} WHERE m.id = :id {held}"), {"id": matter}
    ).one_or_none()
    if row is None:
        raise MatterIsUnknown(matter=matter)
    return _matter(row)


def lock(connection: sa.Connection, matter: UUID) -> Matter:
    """Return a matter, its row held.

    Refusals
    --------
    matter_is_unknown
    """
    return read(connection, matter, held="FOR UPDATE")


def of_loan(connection: sa.Connection, nr: int) -> list[Matter]:
    """Return what was brought up about a loan, newest first."""
    rows = connection.execute(
        sa.text(f"{_SELECT} WHERE m.nr = :nr ORDER BY m.received_at DESC, m.id DESC"), {"nr": nr}
    )
    return [_matter(row) for row in rows]


def open_matters(connection: sa.Connection, *, limit: int) -> list[Matter]:
    """Return what waits for an answer, the nearest deadline first."""
    rows = connection.execute(
        sa.text(f"{_SELECT} WHERE m.state = 'open' ORDER BY m.due_on, m.id LIMIT :limit"),
        {"limit": limit},
    )
    return [_matter(row) for row in rows]


def extend(connection: sa.Connection, present: Matter, due_on: date) -> None:
    """Move the deadline of a matter whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.matter SET due_on = :due_on, extended = extended + 1,"
            " version = version + 1 WHERE id = :id AND version = :version AND state = 'open'"
        ),
        {"due_on": due_on, "id": present.id, "version": present.version},
    )
    assert done.rowcount == 1, "the row is held"


def answer(
    connection: sa.Connection,
    present: Matter,
    content: Mapping[str, Any],
    *,
    at: datetime,
    by: str,
    cause: str | None,
) -> None:
    """Bring a matter whose row is held to its answer."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.matter SET state = :state, answer = :answer, answered_at = :at,"
            " answered_by = :by, cause = :cause, version = version + 1"
            " WHERE id = :id AND version = :version AND state = 'open'"
        ).bindparams(sa.bindparam("answer", type_=sa.JSON)),
        {
            "state": content["outcome"],
            "answer": dict(content),
            "at": at,
            "by": by,
            "cause": cause,
            "id": present.id,
            "version": present.version,
        },
    )
    assert done.rowcount == 1, "the row is held"


def add_evidence(connection: sa.Connection, matter: UUID, one: MatterEvidence) -> None:
    """Insert a piece of evidence; the same one again is one."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.matter_evidence (matter, kind, reference, content_hash, at, by)"
            " VALUES (:matter, :kind, :reference, :hash, :at, :by) ON CONFLICT DO NOTHING"
        ),
        {
            "matter": matter,
            "kind": one.kind,
            "reference": one.reference,
            "hash": bytes.fromhex(one.content_hash),
            "at": one.at,
            "by": one.by,
        },
    )


def evidence_of(connection: sa.Connection, matter: UUID) -> list[MatterEvidence]:
    """Return the evidence about a matter, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM credit.matter_evidence WHERE matter = :id ORDER BY at, kind, reference"
        ),
        {"id": matter},
    )
    return [
        MatterEvidence(
            row.kind, row.reference, bytes(row.content_hash).hex(), row.at.astimezone(UTC), row.by
        )
        for row in rows
    ]


def _matter(row: sa.Row[Any]) -> Matter:
    values = {name: getattr(row, name) for name in Matter.__slots__}
    return Matter(
        **{
            **values,
            "kind": MatterKind(row.kind),
            "received_at": row.received_at.astimezone(UTC),
            "answered_at": row.answered_at and row.answered_at.astimezone(UTC),
        }
    )
