"""The tables of companies' makers and checkers, and of what they decide on."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.corporate import Person, Role, Step, StepState

_PERSON = "company, person, may_make, may_check, currency, single_minor, day_minor, version"
_STEP = (
    "s.attempt, s.order_id, s.company, s.amount_minor, s.currency, s.state, s.version, s.maker,"
    " s.made_at, s.checker, s.checked_at, s.reason, a.state = 'init' AS waits"
)
_FROM = "payments.corporate_step s JOIN payments.attempt a ON a.id = s.attempt"


def put_person(connection: sa.Connection, one: Person, at: datetime) -> None:
    """Write what a person may."""
    values = {name: getattr(one, name) for name in Person.__slots__}
    connection.execute(
        sa.text(
            "INSERT INTO payments.corporate_person AS p (company, person, may_make, may_check,"
            " currency, single_minor, day_minor, changed_at) VALUES (:company, :person,"
            " :may_make, :may_check, :currency, :single_minor, :day_minor, :at)"
            " ON CONFLICT (company, person, currency) DO UPDATE SET"
            " may_make = EXCLUDED.may_make, may_check = EXCLUDED.may_check,"
            " single_minor = EXCLUDED.single_minor, day_minor = EXCLUDED.day_minor,"
            " changed_at = EXCLUDED.changed_at, version = p.version + 1"
        ),
        values | {"at": at},
    )


def lock_person(
    connection: sa.Connection, company: UUID, person: str, currency: str
) -> Person | None:
    """Lock what a person may in a currency, and return it."""
    row = connection.execute(
        sa.text(
            f"SELECT {_PERSON} FROM payments.corporate_person WHERE company = :company"
            " AND person = :person AND currency = :currency FOR UPDATE"
        ),
        {"company": company, "person": person, "currency": currency},
    ).one_or_none()
    return None if row is None else Person(**row._mapping)


def people(connection: sa.Connection, company: UUID) -> list[Person]:
    """Return the makers and checkers of a company."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_PERSON} FROM payments.corporate_person WHERE company = :company"
            " ORDER BY person, currency"
        ),
        {"company": company},
    )
    return [Person(**row._mapping) for row in rows]


def used_since(
    connection: sa.Connection,
    company: UUID,
    person: str,
    role: Role,
    *,
    currency: str,
    since: datetime,
) -> int:
    """Return what a person made, or checked, since an instant; what was rejected is free again."""
    who, when = ("maker", "made_at") if role is Role.MAKER else ("checker", "checked_at")
    found = connection.execute(
        sa.text(
            "SELECT coalesce(sum(amount_minor), 0) FROM payments.corporate_step"
            f" WHERE company = :company AND {who} = :person AND currency = :currency"
            f" AND {when} >= :since AND state <> 'rejected'"
        ),
        {"company": company, "person": person, "currency": currency, "since": since},
    )
    return int(found.scalar_one())


def insert_step(connection: sa.Connection, one: Step) -> None:
    """Insert a submitted payment."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.corporate_step (attempt, order_id, company, amount_minor,"
            " currency, state, maker, made_at) VALUES (:attempt, :order, :company,"
            " :amount_minor, :currency, 'submitted', :maker, :made_at)"
        ),
        {name: getattr(one, name) for name in Step.__slots__},
    )


def decide(connection: sa.Connection, one: Step) -> None:
    """Write what a checker decided on a step that is locked."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.corporate_step SET version = version + 1, state = :state,"
            " checker = :checker, checked_at = :checked_at, reason = :reason"
            " WHERE attempt = :attempt AND version = :version AND state = 'submitted'"
        ),
        {name: getattr(one, name) for name in Step.__slots__} | {"state": one.state.value},
    )
    assert done.rowcount == 1, "a step changed while it was locked"


def find(connection: sa.Connection, attempt: UUID, *, lock: bool = False) -> Step | None:
    """Return the step of an attempt."""
    row = connection.execute(
        sa.text(
            f"SELECT {_STEP} FROM {_FROM} WHERE s.attempt = :attempt"
            + (" FOR UPDATE OF s" if lock else "")
        ),
        {"attempt": attempt},
    ).one_or_none()
    return None if row is None else _step(row)


def of_company(connection: sa.Connection, company: UUID, *, waiting: bool) -> list[Step]:
    """Return the payments of a company, the newest first: those that wait, or all."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_STEP} FROM {_FROM} WHERE s.company = :company"
            " AND (NOT :waiting OR (s.state = 'submitted' AND a.state = 'init'))"
            " ORDER BY s.made_at DESC, s.attempt LIMIT 200"
        ),
        {"company": company, "waiting": waiting},
    )
    return [_step(row) for row in rows]


def _step(row: Any) -> Step:
    values = dict(row._mapping)
    values["order"] = values.pop("order_id")
    return Step(**{**values, "state": StepState(row.state)})
