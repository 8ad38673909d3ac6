"""Tables of degraded mode: settings, whether it is on, and what passed by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Verdict
from steelyard.payments.model.degraded import (
    OFF,
    DegradedSetting,
    PassState,
    Small,
    Why,
)
from steelyard.payments.store.rows import as_json

_SETTING = (
    "is_on, currency, most_minor, customer_payments, customer_minor, sum_minor, known_payments"
)


class Passed(NamedTuple):
    """A payment that passed and was not judged yet.

    Attributes
    ----------
    order : None: it was never begun
    """

    attempt: UUID
    order: UUID | None
    passed_at: datetime
    facts: dict[str, object]


class Standing(NamedTuple):
    """Whether payments pass by the small rule now, for one reason."""

    why: Why
    is_on: bool
    since: datetime


def lock(connection: sa.Connection) -> None:
    """Let nobody else count until the end."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('payments.degraded'))"))


def setting(connection: sa.Connection) -> tuple[int, DegradedSetting]:
    """Return the newest setting and its version; off, 0, before there was one."""
    row = connection.execute(
        sa.text(
            f"SELECT version, {_SETTING} FROM payments.degraded_setting"
            " ORDER BY version DESC LIMIT 1"
        )
    ).one_or_none()
    if row is None:
        return 0, OFF
    values = dict(row._mapping)
    return values.pop("version"), DegradedSetting(**values)


def insert_setting(
    connection: sa.Connection, version: int, made: DegradedSetting, **how: Any
) -> None:
    """Insert a setting: `made_by`, `made_at`, `approval`, `cause`."""
    names = [*_SETTING.split(", "), "made_by", "made_at", "approval", "cause"]
    connection.execute(
        sa.text(
            f"INSERT INTO payments.degraded_setting (version, {', '.join(names)})"
            f" VALUES (:version, {', '.join(f':{name}' for name in names)})"
        ),
        {"version": version, **how}
        | {name: getattr(made, name) for name in DegradedSetting.__slots__},
    )


def passed_before(connection: sa.Connection, attempts: Collection[UUID]) -> set[UUID]:
    """Return those attempts that passed already."""
    rows = connection.execute(
        sa.text("SELECT attempt FROM payments.degraded_pass WHERE attempt = ANY(:attempts)"),
        {"attempts": list(attempts)},
    )
    return set(rows.scalars())


def used_since(
    connection: sa.Connection, customers: Collection[UUID], since: datetime, currency: str
) -> tuple[int, dict[UUID, tuple[int, int]]]:
    """Return what passed since: the sum of all, and payments and sum of some customers."""
    rows = connection.execute(
        sa.text(
            "SELECT customer, count(*) AS payments, CAST(sum(amount_minor) AS bigint) AS minor"
            " FROM payments.degraded_pass WHERE passed_at > :since AND currency = :currency"
            " AND state <> 'unused' GROUP BY customer"
        ),
        {"since": since, "currency": currency},
    ).all()
    wanted = set(customers)
    own = {row.customer: (row.payments, row.minor) for row in rows if row.customer in wanted}
    return sum(row.minor for row in rows), own


def known(
    connection: sa.Connection, customers: Collection[UUID], *, before: datetime, payments: int
) -> set[UUID]:
    """Return those customers who paid so many orders before an instant."""
    rows = connection.execute(
        sa.text(
            "SELECT c.id FROM unnest(CAST(:customers AS uuid[])) AS c (id) WHERE (SELECT count(*)"
            " FROM (SELECT FROM payments.order o WHERE o.customer = c.id AND o.created_at < :before"
            " AND o.paid_at IS NOT NULL AND o.captured_minor > 0 LIMIT :payments) p) >= :payments"
        ),
        {"customers": list(set(customers)), "before": before, "payments": payments},
    )
    return set(rows.scalars())


def insert(connection: sa.Connection, smalls: Sequence[Small], why: Why, at: datetime) -> None:
    """Keep what passes."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.degraded_pass (attempt, why, customer, merchant, amount_minor,"
            " currency, facts, passed_at, state) SELECT attempt, :why, customer, merchant,"
            " amount_minor, currency, facts, :at, 'passed'"
            " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (attempt uuid, customer uuid,"
            " merchant uuid, amount_minor bigint, currency text, facts jsonb)"
        ),
        {
            "rows": as_json(
                [
                    {
                        "attempt": one.attempt,
                        "customer": one.customer,
                        "merchant": one.merchant,
                        "amount_minor": one.amount_minor,
                        "currency": one.currency,
                        "facts": one.facts,
                    }
                    for one in smalls
                ]
            ),
            "why": why.value,
            "at": at,
        },
    )


def due(connection: sa.Connection, before: datetime, limit: int) -> list[Passed]:
    """Return what passed before an instant and was not judged, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT p.attempt, a.order_id, p.passed_at, p.facts FROM payments.degraded_pass p"
            " LEFT JOIN payments.attempt a ON a.id = p.attempt"
            " WHERE p.state = 'passed' AND p.passed_at < :before"
            " ORDER BY p.passed_at, p.attempt LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return [Passed(*row) for row in rows]


def write_judged(
    connection: sa.Connection,
    attempt: UUID,
    state: PassState,
    *,
    at: datetime,
    verdict: Verdict | None,
    case: UUID | None,
) -> bool:
    """Keep what was said of a payment afterwards; False where it was said before."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.degraded_pass SET state = :state, judged_at = :at,"
            " outcome = :outcome, reasons = :reasons, decision = :decision, case_id = :case"
            " WHERE attempt = :attempt AND state = 'passed'"
        ),
        {
            "attempt": attempt,
            "state": state.value,
            "at": at,
            "outcome": None if verdict is None else verdict.outcome.value,
            "reasons": None if verdict is None else list(verdict.reasons),
            "decision": None if verdict is None else verdict.decision_id,
            "case": case,
        },
    )
    return done.rowcount == 1


def switch(connection: sa.Connection, why: Why, at: datetime, *, is_on: bool) -> bool:
    """Note that it began or ended; False where it stood so already."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.degraded_state AS s (why, is_on, version, since)"
            " SELECT :why, :is_on, 1, :at WHERE :is_on OR EXISTS"
            " (SELECT FROM payments.degraded_state WHERE why = :why)"
            " ON CONFLICT (why) DO UPDATE SET is_on = excluded.is_on, version = s.version + 1,"
            " since = excluded.since WHERE s.is_on <> excluded.is_on"
        ),
        {"why": why.value, "is_on": is_on, "at": at},
    )
    return done.rowcount == 1


def standings(connection: sa.Connection) -> list[Standing]:
    """Return for which reasons it ever began, and how it stands."""
    rows = connection.execute(
        sa.text("SELECT why, is_on, since FROM payments.degraded_state ORDER BY why")
    )
    return [Standing(Why(row.why), row.is_on, row.since) for row in rows]


def counts(connection: sa.Connection, now: datetime) -> dict[PassState, tuple[int, int]]:
    """Return payments and minor units of the last day by what was said of them."""
    rows = connection.execute(
        sa.text(
            "SELECT state, count(*) AS payments, CAST(sum(amount_minor) AS bigint) AS minor"
            " FROM payments.degraded_pass WHERE passed_at > :since GROUP BY state"
        ),
        {"since": now - timedelta(days=1)},
    )
    return {PassState(row.state): (row.payments, row.minor) for row in rows}
