"""A limit for examples and tests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from steelyard.payments.model.limits import LimitPeriod, LimitRule, LimitScope, LimitState


def a_rule(**changes: Any) -> LimitRule:
    """Return an approved limit of each merchant's day."""
    values: dict[str, Any] = {
        "id": UUID(int=1),
        "version": 1,
        "state": LimitState.APPROVED,
        "made_by": "staff:1",
        "made_at": datetime(2026, 1, 1, tzinfo=UTC),
        "scope": LimitScope.MERCHANT,
        "period": LimitPeriod.DAY,
        "currency": "CNY",
        "from_on": date(2026, 1, 1),
    }
    return LimitRule(**{**values, **changes})
