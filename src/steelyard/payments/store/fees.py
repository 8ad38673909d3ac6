"""Table of fee plans."""

from __future__ import annotations

from collections.abc import Sequence
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
