"""Payments: merchants, cashier, channels, routing, refunds, clearing, settlement, reconciliation.

The verbs stand in groups by noun: `orders.create(...)`, `refunds.ask(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.payments.model import accounts, attempts, channel
    from steelyard.payments.service import channel_desk, fees

__all__ = ["accounts", "attempts", "channel", "channel_desk", "fees"]

_GROUPS = {
    "accounts": "model.accounts",
    "attempts": "model.attempts",
    "channel": "model.channel",
    "channel_desk": "service.channel_desk",
    "fees": "service.fees",
}

__getattr__ = door(__name__, _GROUPS)
