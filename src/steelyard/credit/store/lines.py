"""Tables of limits, their changes, and the rules by which they are granted unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.credit.model.line import (
    Candidate,
    Line,
    LineChange,
    LineIsUnknown,
    LineState,
    LineStep,
    PreapprovalRule,
)
from steelyard.credit.model.product import Tier

_COLUMNS = """
    n.id, n.party, n.product, n.product_version, n.currency, n.tier, n.limit_minor, n.state,
    n.version, n.application, n.rule, n.rule_version, n.cause, n.granted_at, n.expires_on,
    coalesce((
        SELECT sum(CASE l.state
            WHEN 'signed' THEN d.amount_minor
            WHEN 'cancelled' THEN 0
            ELSE coalesce(s.principal_minor, 0) END)
        FROM credit.line_draw d JOIN credit.loan l ON l.id = d.loan
        LEFT JOIN credit.standing s ON s.nr = l.nr
        WHERE d.line = n.id
    ), 0)::bigint AS used_minor
"""


@dataclass(frozen=True, slots=True)
class KeptRule:
    """One version of a rule, and by whose yes it chooses."""

    rule: PreapprovalRule
    version: int
    made_by: str
    made_at: datetime
    cause: str


def insert(connection: sa.Connection, line: Line) -> bool:
    """Insert a limit; return False where the customer has one of the product."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.line (id, party, product, product_version, currency, tier,"
            " limit_minor, state, application, rule, rule_version, cause, granted_at, expires_on)"
            " VALUES (:id, :party, :product, :product_version, :currency, :tier, :limit_minor,"
            " :state, :application, :rule, :rule_version, :cause, :granted_at, :expires_on)"
            " ON CONFLICT (party, product) WHERE state <> 'closed' DO NOTHING"
        ),
        {
            "id": line.id,
            "party": line.party,
            "product": line.product,
            "product_version": line.product_version,
            "currency": line.currency,
            "tier": line.tier,
            "limit_minor": line.limit_minor,
            "state": line.state,
            "application": line.application,
            "rule": line.rule,
            "rule_version": line.rule_version,
            "cause": line.cause,
            "granted_at": line.granted_at,
            "expires_on": line.expires_on,
        },
    )
    return done.rowcount == 1


def change(connection: sa.Connection, before: Line, after: Line) -> None:
    """Write a limit whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.line SET limit_minor = :limit_minor, state = :state,"
            " application = :application, tier = :tier, expires_on = :expires_on,"
            " version = version + 1 WHERE id = :id AND version = :version"
        ),
        {
            "id": before.id,
            "version": before.version,
            "limit_minor": after.limit_minor,
            "state": after.state,
            "application": after.application,
            "tier": after.tier,
            "expires_on": after.expires_on,
        },
    )
    assert done.rowcount == 1, "the row is held"


def read(connection: sa.Connection, line: UUID, *, lock: bool = False) -> Line:
    """Return a limit, its row locked for the transaction if asked for.

    Refusals
    --------
    line_is_unknown
    """
    if lock:
        # On its own: what is used is then counted in a snapshot taken after others let go.
        connection.execute(
            sa.text("SELECT id FROM credit.line WHERE id = :id FOR UPDATE"), {"id": line}
        )
    row = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM credit.line n WHERE n.id = :id"), {"id": line}
    ).one_or_none()
    if row is None:
        raise LineIsUnknown(line=line)
    return _line(row)


def find_open(connection: sa.Connection, party: UUID, product: str) -> Line | None:
    """Return the limit of a customer for a product that is not closed; None for none."""
    found = connection.execute(
        sa.text(
            "SELECT id FROM credit.line WHERE party = :party AND product = :product"
            " AND state <> 'closed'"
        ),
        {"party": party, "product": product},
    ).scalar_one_or_none()
    return None if found is None else read(connection, found, lock=True)


def of_party(connection: sa.Connection, party: UUID) -> list[Line]:
    """Return the limits of a customer, the newest first."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM credit.line n WHERE n.party = :party ORDER BY n.id DESC"),
        {"party": party},
    )
    return [_line(row) for row in rows]


def insert_steps(connection: sa.Connection, steps: Sequence[LineStep]) -> None:
    """Append changes of limits."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.line_change (line, version, at, actor, change, before_minor,"
            " after_minor, reason, cause) SELECT * FROM unnest(CAST(:lines AS uuid[]),"
            " CAST(:versions AS integer[]), CAST(:ats AS timestamptz[]), CAST(:actors AS text[]),"
            " CAST(:changes AS text[]), CAST(:befores AS bigint[]), CAST(:afters AS bigint[]),"
            " CAST(:reasons AS text[]), CAST(:causes AS text[]))"
        ),
        {
            "lines": [one.line for one in steps],
            "versions": [one.version for one in steps],
            "ats": [one.at for one in steps],
            "actors": [one.actor for one in steps],
            "changes": [one.change for one in steps],
            "befores": [one.before_minor for one in steps],
            "afters": [one.after_minor for one in steps],
            "reasons": [one.reason for one in steps],
            "causes": [one.cause for one in steps],
        },
    )


def steps(connection: sa.Connection, line: UUID) -> list[LineStep]:
    """Return the changes of a limit, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT line, version, at, actor, change, before_minor, after_minor, reason, cause"
            " FROM credit.line_change WHERE line = :line ORDER BY version"
        ),
        {"line": line},
    )
    return [
        LineStep(
            row.line,
            row.version,
            row.at.astimezone(UTC),
            row.actor,
            LineChange(row.change),
            row.before_minor,
            row.after_minor,
            row.reason,
            row.cause,
        )
        for row in rows
    ]


def insert_draw(
    connection: sa.Connection, line: UUID, loan: UUID, amount_minor: int, at: datetime
) -> None:
    """Let a loan stand under a limit."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.line_draw (loan, line, amount_minor, at)"
            " VALUES (:loan, :line, :amount_minor, :at)"
        ),
        {"loan": loan, "line": line, "amount_minor": amount_minor, "at": at},
    )


def worst_dpd(connection: sa.Connection, party: UUID) -> int:
    """Return the most days past due over the open loans of a customer; 0 without any."""
    found: int = connection.execute(
        sa.text(
            "SELECT coalesce(max(s.dpd), 0) FROM credit.loan l"
            " JOIN credit.standing s ON s.nr = l.nr"
            " WHERE l.party = :party AND l.state IN ('active', 'written_off')"
        ),
        {"party": party},
    ).scalar_one()
    return found


def draws(connection: sa.Connection, line: UUID) -> list[UUID]:
    """Return the loans under a limit, oldest first."""
    rows = connection.execute(
        sa.text("SELECT loan FROM credit.line_draw WHERE line = :line ORDER BY at, loan"),
        {"line": line},
    )
    return list(rows.scalars())


def insert_rule(connection: sa.Connection, kept: KeptRule) -> None:
    """Insert a version of a rule."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.preapproval_rule (name, version, content, made_by, made_at, cause)"
            " VALUES (:name, :version, CAST(:content AS jsonb), :by, :at, :cause)"
        ),
        {
            "name": kept.rule.name,
            "version": kept.version,
            "content": msgspec.json.encode(kept.rule).decode(),
            "by": kept.made_by,
            "at": kept.made_at,
            "cause": kept.cause,
        },
    )


def newest_rules(connection: sa.Connection) -> list[KeptRule]:
    """Return the newest version of each rule, by name."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT ON (name) name, version, content, made_by, made_at, cause"
            " FROM credit.preapproval_rule ORDER BY name, version DESC"
        )
    )
    return [_rule(row) for row in rows]


def find_rule(connection: sa.Connection, name: str, version: int | None = None) -> KeptRule | None:
    """Return a version of a rule, the newest unless told otherwise; None for none."""
    row = connection.execute(
        sa.text(
            "SELECT name, version, content, made_by, made_at, cause FROM credit.preapproval_rule"
            " WHERE name = :name AND (CAST(:version AS integer) IS NULL OR version = :version)"
            " ORDER BY version DESC LIMIT 1"
        ),
        {"name": name, "version": version},
    ).one_or_none()
    return None if row is None else _rule(row)


def repaid_well(
    connection: sa.Connection,
    rule: PreapprovalRule,
    currency: str,
    *,
    after: UUID | None,
    limit: int,
) -> list[Candidate]:
    """Return who repaid loans as a rule wants, owes nothing late and has no limit; by id.

    Parameters
    ----------
    after : the last customer that was looked at
    """
    rows = connection.execute(
        sa.text(
            """
            SELECT l.party, max((l.terms->>'principal_minor')::bigint)
                FILTER (WHERE l.state = 'closed') AS largest
            FROM credit.loan l LEFT JOIN credit.standing s ON s.nr = l.nr
            WHERE l.currency = :currency AND l.state <> 'cancelled'
                AND (CAST(:after AS uuid) IS NULL OR l.party > :after)
                AND NOT EXISTS (SELECT FROM credit.line n WHERE n.party = l.party
                    AND n.product = :product AND n.state <> 'closed')
            GROUP BY l.party
            HAVING count(*) FILTER (WHERE l.state = 'closed') >= :repaid
                AND bool_and(l.state IN ('closed', 'active', 'signed'))
                AND coalesce(max(s.dpd), 0) = 0
                AND coalesce((
                    SELECT max(i.paid_on - i.due_on) FROM credit.loan m
                    JOIN credit.instalment i ON i.nr = m.nr
                    WHERE m.party = l.party AND i.paid_on IS NOT NULL
                ), 0) <= :late
            ORDER BY l.party LIMIT :limit
            """
        ),
        {
            "currency": currency,
            "after": after,
            "product": rule.product,
            "repaid": rule.repaid_loans,
            "late": rule.most_days_late,
            "limit": limit,
        },
    )
    return [Candidate(row.party, row.largest) for row in rows]


def expired(connection: sa.Connection, on: date, *, limit: int) -> list[Line]:
    """Return proposals whose day is over, their rows locked."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM credit.line n WHERE n.state = 'proposed'"
            " AND n.expires_on < :on ORDER BY n.id LIMIT :limit FOR UPDATE OF n SKIP LOCKED"
        ),
        {"on": on, "limit": limit},
    )
    return [_line(row) for row in rows]


def _rule(row: sa.Row[Any]) -> KeptRule:
    return KeptRule(
        msgspec.convert(row.content, PreapprovalRule),
        row.version,
        row.made_by,
        row.made_at.astimezone(UTC),
        row.cause,
    )


def _line(row: sa.Row[Any]) -> Line:
    return Line(
        id=row.id,
        party=row.party,
        product=row.product,
        product_version=row.product_version,
        currency=row.currency,
        tier=Tier(row.tier),
        limit_minor=row.limit_minor,
        used_minor=row.used_minor,
        state=LineState(row.state),
        version=row.version,
        application=row.application,
        rule=row.rule,
        rule_version=row.rule_version,
        cause=row.cause,
        granted_at=row.granted_at.astimezone(UTC),
        expires_on=row.expires_on,
    )
