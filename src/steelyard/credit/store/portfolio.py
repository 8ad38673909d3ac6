"""The rows that a portfolio is drawn of: loans, their months, the applications they came from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

Rows = list[dict[str, Any]]


def currencies(connection: sa.Connection) -> list[str]:
    """Return the currencies in which loans were paid out."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT p.currency FROM credit.pool p"
            " WHERE EXISTS (SELECT 1 FROM credit.standing s WHERE s.pool = p.id AND s.state <> 5)"
            " ORDER BY 1"
        )
    )
    return [row.currency for row in rows]


def read_loans(connection: sa.Connection, currencies: list[str]) -> Rows:
    """Return every loan of some currencies that was paid out, by number, and what it came to."""
    return _rows(
        connection,
        "SELECT s.nr, l.party::text AS party, l.product, s.state,"
        " to_date(l.terms->>'start_on', 'YYYY-MM-DD') AS start_on,"
        " a.channel, a.assessment->>'tier' AS tier, s.principal_minor, s.provision_minor,"
        " s.totals, s.interest_earned_minor, s.penalty_earned_minor, s.fee_earned_minor,"
        " s.dpd, f.due_on AS first_due_on, f.paid_on AS first_paid_on"
        " FROM credit.standing s JOIN credit.loan l ON l.nr = s.nr"
        " LEFT JOIN credit.application a ON a.id = l.application"
        " LEFT JOIN LATERAL (SELECT i.due_on, i.paid_on FROM credit.instalment i"
        "   WHERE i.nr = s.nr AND i.principal_minor + i.interest_minor > 0"
        "   AND i.due_on > i.from_on ORDER BY i.no LIMIT 1) f ON true"
        " WHERE s.state <> 5 AND l.currency = ANY(:currencies) ORDER BY s.nr",
        currencies=currencies,
    )


def read_months(connection: sa.Connection) -> Rows:
    """Return every snapshot, in order of months."""
    return _rows(
        connection,
        "SELECT nr, month_on, bucket, state, principal_minor FROM credit.snapshot"
        " ORDER BY month_on, nr",
    )


def read_applications(connection: sa.Connection) -> Rows:
    """Return every application that was submitted, and how far it went."""
    return _rows(
        connection,
        "SELECT drafted_at, channel, (facts->>'amount_minor')::bigint AS amount_minor,"
        " state NOT IN ('declined', 'submitted', 'checked', 'decided', 'in_review')"
        "   AND (offer IS NOT NULL OR state IN ('offered', 'accepted', 'signed')) AS approved,"
        " offer IS NOT NULL AS offered, loan IS NOT NULL OR line IS NOT NULL AS signed"
        " FROM credit.application WHERE state NOT IN ('drafted', 'consented')"
        " ORDER BY drafted_at, id",
    )


def open_lines(connection: sa.Connection, *, after: UUID | None, limit: int) -> list[UUID]:
    """Return the ids of open limits in their order, from behind one."""
    rows = connection.execute(
        sa.text(
            "SELECT id FROM credit.line WHERE state = 'open'"
            " AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    )
    return [row.id for row in rows]


def _rows(connection: sa.Connection, statement: str, **values: Any) -> Rows:
    return [dict(row._mapping) for row in connection.execute(sa.text(statement), values)]
