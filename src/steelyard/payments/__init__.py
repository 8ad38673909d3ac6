"""Payments: merchants, cashier, channels, routing, refunds, clearing, settlement, reconciliation.

The verbs stand in groups by noun: `orders.create(...)`, `refunds.ask(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.payments.model import accounts, attempts, channel
    from steelyard.payments.model import statement_files as statements
    from steelyard.payments.service import (
        at_once,
        channel_desk,
        evidence,
        facts,
        fees,
        institution,
        notices_in,
        orders,
        paying,
        upkeep,
    )

__all__ = [
    "accounts",
    "at_once",
    "attempts",
    "channel",
    "channel_desk",
    "evidence",
    "facts",
    "fees",
    "institution",
    "notices_in",
    "orders",
    "paying",
    "statements",
    "upkeep",
]

_GROUPS = {
    "accounts": "model.accounts",
    "at_once": "service.at_once",
    "attempts": "model.attempts",
    "channel": "model.channel",
    "channel_desk": "service.channel_desk",
    "evidence": "service.evidence",
    "facts": "service.facts",
    "fees": "service.fees",
    "institution": "service.institution",
    "notices_in": "service.notices_in",
    "orders": "service.orders",
    "paying": "service.paying",
    "statements": "model.statement_files",
    "upkeep": "service.upkeep",
}

__getattr__ = door(__name__, _GROUPS)
