"""Table of fee plans."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.kernel import Rounding
from steelyard.payments.model.fees import FeePlan, FeePlanIsUnknown, FeeReturn, FeeTerm, PlanState

_COLUMNS = """
    id, merchant, version, effective_on, timezone, terms, returns, rounding, state, made_by, made_at
"""


def insert(connection: sa.Connection, plan: FeePlan) -> None:
    """Insert a drafted plan."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.fee_plan (id, merchant, version, effective_on, timezone, terms,"
            " returns, rounding, state, made_by, made_at) VALUES (:id, :merchant, :version,"
            " :effective_on, :timezone, CAST(:terms AS jsonb), :returns, :rounding, :state,"
            " :made_by, :made_at)"
        ),
        {
            "id": plan.id,
            "merchant": plan.merchant,
            "version": plan.version,
            "effective_on": plan.effective_on,
            "timezone": plan.timezone,
            "terms": msgspec.json.encode(plan.terms).decode(),
            "returns": plan.returns,
            "rounding": plan.rounding,
            "state": plan.state,
            "made_by": plan.made_by,
            "made_at": plan.made_at,
        },
    )


def decide(
    connection: sa.Connection,
    plan: UUID,
    state: PlanState,
    *,
    at: datetime,
    approval: UUID | None = None,
    cause: str | None = None,
) -> bool:
    """Approve or withdraw a drafted plan; return whether it was still drafted."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.fee_plan SET state = :state, decided_at = :at, approval = :approval,"
            " cause = :cause WHERE id = :id AND state = 'drafted'"
        ),
        {"id": plan, "state": state, "at": at, "approval": approval, "cause": cause},
    )
    return done.rowcount == 1


def read(connection: sa.Connection, plan: UUID, *, lock: bool = False) -> FeePlan:
    """Return a plan, its row held if asked for.

    Refusals
    --------
    fee_plan_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.fee_plan WHERE id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": plan},
    ).one_or_none()
    if row is None:
        raise FeePlanIsUnknown(plan=plan)
    return _plan(row)


def of_merchant(connection: sa.Connection, merchant: UUID) -> list[FeePlan]:
    """Return the plans of a merchant, newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.fee_plan WHERE merchant = :merchant"
            " ORDER BY version DESC"
        ),
        {"merchant": merchant},
    )
    return [_plan(row) for row in rows]


def in_force(connection: sa.Connection, merchants: Sequence[UUID], on: date) -> dict[UUID, FeePlan]:
    """Return the plan of each merchant that holds on a day; none where none was agreed."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT ON (merchant) {_COLUMNS} FROM payments.fee_plan"
            " WHERE merchant = ANY(:merchants) AND state = 'approved' AND effective_on <= :on"
            " ORDER BY merchant, effective_on DESC, version DESC"
        ),
        {"merchants": list(merchants), "on": on},
    )
    return {row.merchant: _plan(row) for row in rows}


def in_force_on_days(
    connection: sa.Connection, days: Collection[tuple[UUID, date]]
) -> dict[tuple[UUID, date], FeePlan]:
    """Return the plan of each merchant and day; none where none was agreed."""
    asked = list(days)
    rows = connection.execute(
        sa.text(
            f"SELECT d.day, p.* FROM unnest(CAST(:merchants AS uuid[]), CAST(:days AS date[]))"
            f" AS d (merchant, day) CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM payments.fee_plan f"
            " WHERE f.merchant = d.merchant AND f.state = 'approved' AND f.effective_on <= d.day"
            " ORDER BY f.effective_on DESC, f.version DESC LIMIT 1) p"
        ),
        {"merchants": [merchant for merchant, _ in asked], "days": [day for _, day in asked]},
    )
    return {(row.merchant, row.day): _plan(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Month:
    """The part of a month before a day, in which a merchant's volume of a currency is counted."""

    merchant: UUID
    currency: str
    day: date
    timezone: str


def volumes(
    connection: sa.Connection, months: Collection[Month]
) -> dict[tuple[UUID, str, date], int]:
    """Return what merchants captured in the month before a day, minor units."""
    asked = list(months)
    rows = connection.execute(
        sa.text(
            "SELECT m.merchant, m.currency, m.day, coalesce((SELECT sum(o.captured_minor)"
            " FROM payments.order o WHERE o.merchant = m.merchant AND o.currency = m.currency"
            " AND o.mode = 'live'"
            " AND o.paid_at >= date_trunc('month', m.day::timestamp) AT TIME ZONE m.timezone"
            " AND o.paid_at < m.day::timestamp AT TIME ZONE m.timezone), 0)::bigint AS volume"
            " FROM unnest(CAST(:merchants AS uuid[]), CAST(:currencies AS text[]),"
            " CAST(:days AS date[]), CAST(:timezones AS text[]))"
            " AS m (merchant, currency, day, timezone)"
        ),
        {
            "merchants": [one.merchant for one in asked],
            "currencies": [one.currency for one in asked],
            "days": [one.day for one in asked],
            "timezones": [one.timezone for one in asked],
        },
    )
    return {(row.merchant, row.currency, row.day): row.volume for row in rows}


def _plan(row: sa.Row[Any]) -> FeePlan:
    return FeePlan(
        id=row.id,
        merchant=row.merchant,
        version=row.version,
        effective_on=row.effective_on,
        timezone=row.timezone,
        terms=msgspec.convert(row.terms, tuple[FeeTerm, ...], strict=False),
        returns=FeeReturn(row.returns),
        rounding=Rounding(row.rounding),
        state=PlanState(row.state),
        made_by=row.made_by,
        made_at=row.made_at.astimezone(UTC),
    )
