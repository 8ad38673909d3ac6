"""Table of approvals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.approval import Approval, ApprovalIsUnknown, ApprovalState


def insert(connection: sa.Connection, approval: Approval) -> None:
    """Insert a request."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.approval (id, kind, kind_version, verb, subject, shown,"
            " shown_hash, requested_by, answerable, requested_at, expires_wall_at, state)"
            " VALUES (:id, :kind, :kind_version, :verb, :subject, :shown, :hash, :by, :answerable,"
            " :at, :expires, :state)"
        ),
        {
            "id": approval.id,
            "kind": approval.kind,
            "kind_version": approval.kind_version,
            "verb": approval.verb,
            "subject": approval.subject,
            "shown": approval.shown,
            "hash": approval.shown_hash,
            "by": approval.requested_by,
            "answerable": approval.answerable,
            "at": approval.requested_at,
            "expires": approval.expires_at,
            "state": approval.state,
        },
    )


def read(connection: sa.Connection, approval: UUID) -> Approval:
    """Return an approval.

    Refusals
    --------
    approval_is_unknown
    """
    return _one(connection, approval, "")


def lock(connection: sa.Connection, approval: UUID) -> Approval:
    """Return an approval, the row held.

    Refusals
    --------
    approval_is_unknown
    """
    return _one(connection, approval, "FOR UPDATE")


def change(connection: sa.Connection, approval: Approval, after: Approval) -> None:
    """Bring an approval from one state to the next, at the version that was read."""
    done = connection.execute(
        sa.text(
            "UPDATE parties.approval SET state = :state, version = version + 1,"
            " decided_by = :decided_by, decided_at = :decided_at, reason = :reason,"
            " closed_at = :closed_at WHERE id = :id AND state = :before AND version = :version"
        ),
        {
            "id": approval.id,
            "before": approval.state,
            "version": approval.version,
            "state": after.state,
            "decided_by": after.decided_by,
            "decided_at": after.decided_at,
            "reason": after.reason,
            "closed_at": after.closed_at,
        },
    )
    assert done.rowcount == 1, "the row is held"


def overdue(connection: sa.Connection, now: datetime, *, limit: int) -> list[Approval]:
    """Return open approvals whose time is over, rows held, those that others hold left out."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.approval WHERE state IN ('requested', 'approved')"
            " AND expires_wall_at <= :now ORDER BY expires_wall_at LIMIT :limit"
            " FOR UPDATE SKIP LOCKED"
        ),
        {"now": now, "limit": limit},
    )
    return [_approval(row) for row in rows]


def list_newest(
    connection: sa.Connection,
    *,
    state: ApprovalState | None,
    subject: str | None,
    now: datetime,
    before: UUID | None,
    limit: int,
) -> list[Approval]:
    """Return approvals, newest first, of a present state or subject if given."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.approval WHERE (CAST(:state AS text) IS NULL OR :state ="
            " CASE WHEN state IN ('requested', 'approved') AND expires_wall_at <= :now"
            " THEN 'expired' ELSE state END)"
            " AND (CAST(:subject AS text) IS NULL OR subject = :subject)"
            " AND (CAST(:before AS uuid) IS NULL OR id < :before)"
            " ORDER BY id DESC LIMIT :limit"
        ),
        {"state": state, "subject": subject, "now": now, "before": before, "limit": limit},
    )
    return [_approval(row) for row in rows]


def _one(connection: sa.Connection, approval: UUID, lock_clause: str) -> Approval:
    row = connection.execute(
        sa.text(f"SELECT * FROM parties.approval WHERE id = :id {lock_clause}"), {"id": approval}
    ).one_or_none()
    if row is None:
        raise ApprovalIsUnknown(approval=approval)
    return _approval(row)


def _approval(row: sa.Row[Any]) -> Approval:
    return Approval(
        row.id,
        row.kind,
        row.kind_version,
        row.verb,
        row.subject,
        row.shown,
        row.shown_hash,
        row.requested_by,
        row.answerable,
        row.requested_at.astimezone(UTC),
        row.expires_wall_at.astimezone(UTC),
        ApprovalState(row.state),
        row.version,
        row.decided_by,
        row.decided_at and row.decided_at.astimezone(UTC),
        row.reason,
        row.closed_at and row.closed_at.astimezone(UTC),
    )
