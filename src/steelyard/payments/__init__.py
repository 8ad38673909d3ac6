"""Payments: merchants, cashier, channels, routing, refunds, clearing, settlement, reconciliation.

The verbs stand in groups by noun: `orders.create(...)`, `refunds.ask(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.payments.model import accounts, attempts, channel, retries
    from steelyard.payments.model import statement_files as statements
    from steelyard.payments.service import (
        apps,
        at_once,
        channel_desk,
        channel_facts,
        channel_life,
        clearing,
        clearing_facts,
        custody,
        evidence,
        facts,
        fees,
        health,
        institution,
        merchants,
        merchants_facts,
        notices_in,
        orders,
        paying,
        payouts,
        payouts_payees,
        refunds,
        routing,
        settlement,
        settlement_accounts,
        tieout,
        upkeep,
        wallets,
    )
    from steelyard.payments.service import merchants_applying as applications

__all__ = [
    "accounts",
    "applications",
    "apps",
    "at_once",
    "attempts",
    "channel",
    "channel_desk",
    "channel_facts",
    "channel_life",
    "clearing",
    "clearing_facts",
    "custody",
    "evidence",
    "facts",
    "fees",
    "health",
    "institution",
    "merchants",
    "merchants_facts",
    "notices_in",
    "orders",
    "paying",
    "payouts",
    "payouts_payees",
    "refunds",
    "retries",
    "routing",
    "settlement",
    "settlement_accounts",
    "statements",
    "tieout",
    "upkeep",
    "wallets",
]

_GROUPS = {
    "accounts": "model.accounts",
    "applications": "service.merchants_applying",
    "apps": "service.apps",
    "at_once": "service.at_once",
    "attempts": "model.attempts",
    "channel": "model.channel",
    "channel_desk": "service.channel_desk",
    "channel_facts": "service.channel_facts",
    "channel_life": "service.channel_life",
    "clearing": "service.clearing",
    "clearing_facts": "service.clearing_facts",
    "custody": "service.custody",
    "evidence": "service.evidence",
    "facts": "service.facts",
    "fees": "service.fees",
    "health": "service.health",
    "institution": "service.institution",
    "merchants": "service.merchants",
    "merchants_facts": "service.merchants_facts",
    "notices_in": "service.notices_in",
    "orders": "service.orders",
    "paying": "service.paying",
    "payouts": "service.payouts",
    "payouts_payees": "service.payouts_payees",
    "refunds": "service.refunds",
    "retries": "model.retries",
    "routing": "service.routing",
    "settlement": "service.settlement",
    "settlement_accounts": "service.settlement_accounts",
    "statements": "model.statement_files",
    "tieout": "service.tieout",
    "upkeep": "service.upkeep",
    "wallets": "service.wallets",
}

__getattr__ = door(__name__, _GROUPS)
