"""Append-only tables beside the cases: history, signals, notes, evidence, links, closings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.cases.model.case import Case, CaseState
from steelyard.cases.model.kind import Label
from steelyard.cases.model.trail import Evidence, HistoryLine, Link, Note


def write_history(connection: sa.Connection, lines: Sequence[HistoryLine]) -> None:
    """Append lines, in their order; the sequence of each is given here."""
    connection.execute(
        sa.text(
            "INSERT INTO cases.history (case_id, version, at, wall_at, actor, action, before,"
            " after, detail) SELECT case_id, version, at, wall_at, actor, action, before, after,"
            " CAST(detail AS jsonb) FROM"
            " unnest(CAST(:cases AS uuid[]), CAST(:versions AS bigint[]),"
            " CAST(:ats AS timestamptz[]), CAST(:walls AS timestamptz[]), CAST(:actors AS text[]),"
            " CAST(:actions AS text[]), CAST(:befores AS text[]), CAST(:afters AS text[]),"
            " CAST(:details AS text[])) WITH ORDINALITY AS l (case_id, version, at, wall_at,"
            " actor, action, before, after, detail, nth) ORDER BY nth"
        ),
        {
            "cases": [line.case for line in lines],
            "versions": [line.version for line in lines],
            "ats": [line.at for line in lines],
            "walls": [line.wall_at for line in lines],
            "actors": [line.actor for line in lines],
            "actions": [line.action for line in lines],
            "befores": [line.before and line.before.value for line in lines],
            "afters": [line.after.value for line in lines],
            "details": [msgspec.json.encode(line.detail).decode() for line in lines],
        },
    )


def read_history(
    connection: sa.Connection, case: UUID, *, after: int, limit: int
) -> list[HistoryLine]:
    """Return lines of a case after a sequence, in order."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM cases.history WHERE case_id = :case AND sequence > :after"
            " ORDER BY sequence LIMIT :limit"
        ),
        {"case": case, "after": after, "limit": limit},
    )
    return [
        HistoryLine(
            sequence=row.sequence,
            case=row.case_id,
            version=row.version,
            at=_utc(row.at),
            wall_at=_utc(row.wall_at),
            actor=row.actor,
            action=row.action,
            before=None if row.before is None else CaseState(row.before),
            after=CaseState(row.after),
            detail=row.detail,
        )
        for row in rows
    ]


def read_signal(connection: sa.Connection, kind: str, source: str) -> UUID | None:
    """Return the case that a source signalled before, None where it did not."""
    found: UUID | None = connection.execute(
        sa.text("SELECT case_id FROM cases.signal WHERE kind = :kind AND source = :source"),
        {"kind": kind, "source": source},
    ).scalar()
    return found


def insert_signal(connection: sa.Connection, case: Case, source: str, at: datetime) -> bool:
    """Insert what signalled a case; return whether it was new."""
    done = connection.execute(
        sa.text(
            "INSERT INTO cases.signal (kind, source, case_id, at)"
            " VALUES (:kind, :source, :case, :at) ON CONFLICT DO NOTHING"
        ),
        {"kind": case.kind, "source": source, "case": case.id, "at": at},
    )
    return done.rowcount == 1


def insert_note(connection: sa.Connection, case: UUID, note: Note) -> None:
    """Insert a note."""
    connection.execute(
        sa.text("INSERT INTO cases.note (case_id, at, by, text) VALUES (:case, :at, :by, :text)"),
        {"case": case, "at": note.at, "by": note.by, "text": note.text},
    )


def insert_evidence(connection: sa.Connection, case: UUID, evidence: Evidence) -> bool:
    """Insert evidence; return whether it was new."""
    done = connection.execute(
        sa.text(
            "INSERT INTO cases.evidence (case_id, kind, reference, content_hash, at, by)"
            " VALUES (:case, :kind, :reference, :hash, :at, :by) ON CONFLICT DO NOTHING"
        ),
        {
            "case": case,
            "kind": evidence.kind,
            "reference": evidence.reference,
            "hash": bytes.fromhex(evidence.content_hash),
            "at": evidence.at,
            "by": evidence.by,
        },
    )
    return done.rowcount == 1


def insert_link(connection: sa.Connection, case: UUID, link: Link) -> bool:
    """Insert a link; return whether it was new."""
    done = connection.execute(
        sa.text(
            "INSERT INTO cases.link (case_id, target, at, by) VALUES (:case, :target, :at, :by)"
            " ON CONFLICT DO NOTHING"
        ),
        {"case": case, "target": link.target, "at": link.at, "by": link.by},
    )
    return done.rowcount == 1


def insert_closing(connection: sa.Connection, case: Case, label: Label | None) -> None:
    """Insert how a case was closed."""
    assert case.closing is not None, "it is closed"
    connection.execute(
        sa.text(
            "INSERT INTO cases.closing (case_id, kind, outcome, opened_at, closed_at, closed_by,"
            " is_within_sla, label_field, label_value, event_kind, event_id) VALUES (:case, :kind,"
            " :outcome, :opened_at, :closed_at, :closed_by, :within, :field, :value, :event_kind,"
            " :event_id)"
        ),
        {
            "case": case.id,
            "kind": case.kind,
            "outcome": case.closing.outcome,
            "opened_at": case.opened_at,
            "closed_at": case.closing.at,
            "closed_by": case.closing.by,
            "within": case.is_within_sla,
            "field": label and label.field,
            "value": label and label.value,
            "event_kind": case.event and case.event.kind,
            "event_id": case.event and case.event.id,
        },
    )


def read_notes(connection: sa.Connection, case: UUID) -> tuple[Note, ...]:
    """Return the notes of a case, oldest first."""
    rows = _of(connection, "note", case, "sequence")
    return tuple(Note(_utc(row.at), row.by, row.text) for row in rows)


def read_evidence(connection: sa.Connection, case: UUID) -> tuple[Evidence, ...]:
    """Return the evidence of a case, oldest first."""
    rows = _of(connection, "evidence", case, "sequence")
    return tuple(
        Evidence(row.kind, row.reference, bytes(row.content_hash).hex(), _utc(row.at), row.by)
        for row in rows
    )


def read_links(connection: sa.Connection, case: UUID) -> tuple[Link, ...]:
    """Return what a case is linked to, oldest first."""
    rows = _of(connection, "link", case, "at, target")
    return tuple(Link(row.target, _utc(row.at), row.by) for row in rows)


def _of(connection: sa.Connection, table: str, case: UUID, order: str) -> Sequence[sa.Row[Any]]:
    return connection.execute(
        sa.text(f"SELECT * FROM cases.{table} WHERE case_id = :case ORDER BY {order}"),
        {"case": case},
    ).all()


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
