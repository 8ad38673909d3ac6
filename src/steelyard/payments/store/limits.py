"""Tables of limits: rules, what was taken of them, and by which attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.channel import Method
from steelyard.payments.model.limits import (
    EVERYBODY,
    LimitIsUnknown,
    LimitPeriod,
    LimitRule,
    LimitScope,
    LimitState,
    Used,
)
from steelyard.payments.model.orders import Mode, Scenario
from steelyard.payments.store.rows import as_json

_COLUMNS = (
    "id, version, mode, scope, whose, scenario, method, period, currency, most_minor,"
    " most_payments, from_on, state, made_by, made_at"
)

_COUNT = (
    "more AS (SELECT key, sum(sign * amount_minor) AS amount_minor, sum(sign) AS payments"
    " FROM moved, unnest(keys) AS key GROUP BY key),"
    " held AS (SELECT u.key FROM payments.limit_usage u"
    " WHERE u.key IN (SELECT key FROM more) ORDER BY u.key FOR UPDATE)"
    " UPDATE payments.limit_usage u SET amount_minor = u.amount_minor + m.amount_minor,"
    " payments = u.payments + m.payments"
    " FROM more m JOIN held h ON h.key = m.key WHERE u.key = m.key"
)


def insert(connection: sa.Connection, rule: LimitRule) -> None:
    """Insert a drafted rule."""
    connection.execute(
        sa.text(
            f"INSERT INTO payments.limit_rule (line, {_COLUMNS}) VALUES (:line, :id, :version,"
            " :mode, :scope, :whose, :scenario, :method, :period, :currency, :most_minor,"
            " :most_payments, :from_on, :state, :made_by, :made_at)"
        ),
        {name: getattr(rule, name) for name in _COLUMNS.split(", ")}
        | {
            "line": rule.line,
            "scenario": rule.scenario or EVERYBODY,
            "method": rule.method or EVERYBODY,
        },
    )


def newest_version(connection: sa.Connection, line: str) -> int:
    """Let nobody else write to a line until the end; return its newest version, 0 of none."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtext('payments.limit_rule'), hashtext(:line))"),
        {"line": line},
    )
    found = connection.execute(
        sa.text("SELECT coalesce(max(version), 0) FROM payments.limit_rule WHERE line = :line"),
        {"line": line},
    )
    return int(found.scalar_one())


def read(connection: sa.Connection, id: UUID, *, lock: bool = False) -> LimitRule:
    """Return a rule, its row held if asked for.

    Refusals
    --------
    limit_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.limit_rule WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": id},
    ).one_or_none()
    if row is None:
        raise LimitIsUnknown(limit=id)
    return _rule(row)


def decide(
    connection: sa.Connection,
    id: UUID,
    state: LimitState,
    *,
    at: datetime,
    approval: UUID | None = None,
    cause: str | None = None,
) -> bool:
    """Approve or withdraw a drafted rule; return whether it was still drafted."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.limit_rule SET state = :state, decided_at = :at,"
            " approval = :approval, cause = :cause WHERE id = :id AND state = 'drafted'"
        ),
        {"id": id, "state": state, "at": at, "approval": approval, "cause": cause},
    )
    return done.rowcount == 1


def list_rules(
    connection: sa.Connection, *, whose: str | None = None, limit: int = 500
) -> list[LimitRule]:
    """Return rules, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.limit_rule"
            " WHERE CAST(:whose AS text) IS NULL OR whose = :whose"
            " ORDER BY made_at DESC, id DESC LIMIT :limit"
        ),
        {"whose": whose, "limit": limit},
    )
    return [_rule(row) for row in rows]


def in_force(connection: sa.Connection, whose: Collection[str], on: date) -> list[LimitRule]:
    """Return the rules that hold on a day for some and for everybody, one of each line."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT ON (line) {_COLUMNS} FROM payments.limit_rule"
            " WHERE whose = ANY(:whose) AND state = 'approved' AND from_on <= :on"
            " ORDER BY line, from_on DESC, version DESC"
        ),
        {"whose": [EVERYBODY, *whose], "on": on},
    )
    return [_rule(row) for row in rows]


def lock_usage(connection: sa.Connection, keys: Collection[str]) -> dict[str, Used]:
    """Lock what was taken under some keys, in their order, each made where it is not there."""
    rows = connection.execute(
        sa.text(
            "INSERT INTO payments.limit_usage AS u (key, line, whose, begins_on)"
            " SELECT key, line, whose, begins_on FROM jsonb_to_recordset(CAST(:rows AS jsonb))"
            " AS x (key text, line text, whose text, begins_on date) ORDER BY key"
            " ON CONFLICT (key) DO UPDATE SET payments = u.payments"
            " RETURNING key, amount_minor, payments"
        ),
        {"rows": as_json([_usage_row(key) for key in sorted(keys)])},
    )
    return {row.key: Used(row.amount_minor, row.payments) for row in rows}


def _usage_row(key: str) -> dict[str, Any]:
    line, _, begins_on = key.rpartition("|")
    return {"key": key, "line": line, "whose": line.split("|")[2], "begins_on": begins_on}


def usage(connection: sa.Connection, keys: Collection[str]) -> dict[str, Used]:
    """Return what was taken under some keys, without a lock."""
    rows = connection.execute(
        sa.text(
            "SELECT key, amount_minor, payments FROM payments.limit_usage WHERE key = ANY(:keys)"
        ),
        {"keys": list(keys)},
    )
    return {row.key: Used(row.amount_minor, row.payments) for row in rows}


def known(connection: sa.Connection, attempts: Sequence[UUID]) -> set[UUID]:
    """Return those attempts that are counted already."""
    rows = connection.execute(
        sa.text("SELECT attempt FROM payments.limit_take WHERE attempt = ANY(:attempts)"),
        {"attempts": list(attempts)},
    )
    return set(rows.scalars())


def write(
    connection: sa.Connection,
    added: Mapping[str, Used],
    takes: Sequence[Mapping[str, Any]],
) -> None:
    """Add to what was taken under keys that are locked, and note by whom."""
    connection.execute(
        sa.text(
            "WITH counted AS (UPDATE payments.limit_usage u SET"
            " amount_minor = u.amount_minor + x.amount_minor, payments = u.payments + x.payments"
            " FROM jsonb_to_recordset(CAST(:added AS jsonb))"
            " AS x (key text, amount_minor bigint, payments integer) WHERE u.key = x.key)"
            " INSERT INTO payments.limit_take (attempt, keys, amount_minor, taken_at)"
            " SELECT attempt, keys, amount_minor, taken_at"
            " FROM jsonb_to_recordset(CAST(:takes AS jsonb))"
            " AS x (attempt uuid, keys text[], amount_minor bigint, taken_at timestamptz)"
        ),
        {
            "added": as_json([{"key": key, **used._asdict()} for key, used in added.items()]),
            "takes": as_json(takes),
        },
    )


def give_back(
    connection: sa.Connection, attempts: Collection[UUID], at: datetime, *, unbegun: bool = False
) -> None:
    """Give back what attempts took, each once, with one statement.

    Parameters
    ----------
    unbegun : only what was taken by attempts that were not written after all
    """
    only = (
        " AND NOT EXISTS (SELECT FROM payments.attempt a WHERE a.id = limit_take.attempt)"
        if unbegun
        else ""
    )
    connection.execute(
        sa.text(
            "WITH moved AS (UPDATE payments.limit_take SET given_back_at = :at"
            f" WHERE attempt = ANY(:attempts) AND given_back_at IS NULL{only}"
            f" RETURNING keys, -1 AS sign, amount_minor), {_COUNT}"
        ),
        {"attempts": list(attempts), "at": at},
    )


def count_again(connection: sa.Connection, attempts: Collection[UUID]) -> None:
    """Take again what was given back, whatever the limit says: the money is there."""
    connection.execute(
        sa.text(
            "WITH moved AS (UPDATE payments.limit_take SET given_back_at = NULL"
            " WHERE attempt = ANY(:attempts) AND given_back_at IS NOT NULL"
            f" RETURNING keys, 1 AS sign, amount_minor), {_COUNT}"
        ),
        {"attempts": list(attempts)},
    )


def _rule(row: Any) -> LimitRule:
    values = dict(row._mapping)
    values |= {
        "mode": Mode(row.mode),
        "scope": LimitScope(row.scope),
        "period": LimitPeriod(row.period),
        "state": LimitState(row.state),
        "scenario": None if row.scenario == EVERYBODY else Scenario(row.scenario),
        "method": None if row.method == EVERYBODY else Method(row.method),
    }
    return LimitRule(**values)
