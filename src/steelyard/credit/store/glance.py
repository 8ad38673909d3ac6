"""Sums over standings and applications."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from steelyard.credit.model.loan import STATE_NUMBERS, LoanState

_OWED = sa.text(
    "SELECT p.currency, sum(s.loans)::bigint, sum(s.late)::bigint, sum(s.principal)::bigint"
    " FROM (SELECT pool, count(*) AS loans, count(*) FILTER (WHERE dpd > 0) AS late,"
    " sum(principal_minor) AS principal FROM credit.standing WHERE state = :active GROUP BY pool)"
    " AS s JOIN credit.pool AS p ON p.id = s.pool GROUP BY p.currency ORDER BY p.currency"
)
_OUTCOMES = "SELECT state, count(*) FROM credit.application {} GROUP BY state ORDER BY state"


def owed(connection: sa.Connection) -> list[tuple[str, int, int, int]]:
    """Return currency, open loans, late ones and principal owed."""
    rows = connection.execute(_OWED, {"active": STATE_NUMBERS[LoanState.ACTIVE]})
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def outcomes(connection: sa.Connection, since: datetime | None) -> dict[str, int]:
    """Return the number of applications in each state."""
    where = "" if since is None else "WHERE drafted_at >= :since"
    rows = connection.execute(sa.text(_OUTCOMES.format(where)), {"since": since} if since else {})
    return {row[0]: row[1] for row in rows}
