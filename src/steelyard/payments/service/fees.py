"""Fee plans: which one holds on a day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.fees import (
    STANDARD_PLAN,
    FeeIsNotAgreed,
    FeePlan,
    FeePlanIsMalformed,
    FeePlanIsUnknown,
    FeeReturn,
    FeeTerm,
    FeeTier,
    PlanState,
    day_of,
    fee_of,
    fee_returned,
)
from steelyard.payments.store import fees as table

__all__ = [
    "STANDARD_PLAN",
    "FeeIsNotAgreed",
    "FeePlan",
    "FeePlanIsMalformed",
    "FeePlanIsUnknown",
    "FeeReturn",
    "FeeTerm",
    "FeeTier",
    "PlanState",
    "day_of",
    "fee_of",
    "fee_returned",
    "plan_on",
    "plans_on",
]


def plan_on(connection: sa.Connection, merchant: UUID, on: date) -> FeePlan:
    """Return the plan that holds for a merchant on a day of its own calendar.

    Returns
    -------
    FeePlan
        Of the approved plans the one that began last; the house's own where none was agreed.
    """
    return plans_on(connection, [merchant], on)[merchant]


def plans_on(connection: sa.Connection, merchants: Iterable[UUID], on: date) -> dict[UUID, FeePlan]:
    """Return the plan of each of many merchants on a day, in one statement; see `plan_on`."""
    asked = list(dict.fromkeys(merchants))
    agreed = table.in_force(connection, asked, on)
    return {merchant: agreed.get(merchant, STANDARD_PLAN) for merchant in asked}
