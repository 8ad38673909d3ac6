"""What the rooms bring along: importing this module enters their facts and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import (
    cases,
    credit,
    decisions,
    events,
    experiments,
    features,
    imports,
    ledger,
    parties,
    payments,
    simulation,
)
from steelyard.web import upkeep

if TYPE_CHECKING:
    from fastapi import APIRouter

ROOMS = (
    events,
    ledger,
    parties,
    features,
    cases,
    experiments,
    decisions,
    payments,
    credit,
    simulation,
    imports,
)
LOADED = (
    simulation.cards,
    simulation.reports,
    payments.facts,
    payments.applications,
    payments.channel_facts,
    payments.clearing_facts,
    payments.clearing,
    payments.custody,
    payments.payouts,
    payments.tieout,
    payments.routing,
    payments.channel_life,
    payments.fx_facts,
    payments.fx,
    payments.cross_border,
    payments.merchants_facts,
    payments.stripe_events,
    payments.settlement_accounts,
    payments.capturing,
    payments.bindings,
    payments.refunds_facts,
    payments.refunds,
    payments.disputes,
    payments.limits,
    payments.monitoring,
    payments.degraded,
    payments.recon,
    payments.debits_facts,
    payments.batches,
    credit.facts,
    credit.close_facts,
    credit.outside_facts,
    credit.collecting,
    credit.complaints,
    credit.hardship,
    credit.risk_facts,
    credit.provisioning,
    credit.monitoring,
)
"""What a door loads when it is asked for, and whose facts have to be entered from the start."""
JOBS = (
    upkeep.forget_old_answers,
    upkeep.expire_holds,
    upkeep.verify_books,
    cases.upkeep.sweep_cases,
    decisions.upkeep.keep_trail,
    decisions.upkeep.open_reviews,
    decisions.upkeep.watch_drift,
    decisions.upkeep.ask_shadows,
    decisions.upkeep.observe_challenges,
    decisions.upkeep.close_overdue,
    payments.upkeep.end_orders,
    payments.upkeep.ask_channels,
    payments.webhooks_sending.deliver_webhooks,
    payments.refunds_upkeep.move_refunds,
    payments.refunds_upkeep.tend_refunds,
    payments.refunds_upkeep.share_payments,
    payments.health.probe_channels,
    payments.recon_upkeep.reconcile_days,
    payments.capturing_upkeep.tend_captures,
    payments.day_upkeep.close_channel_days,
    payments.day_upkeep.settle_merchants,
    payments.day_upkeep.poll_payouts,
    payments.day_upkeep.tie_out_reserve,
    payments.degraded.judge_degraded_payments,
    payments.monitoring.watch_merchants,
    payments.monitoring.glance_at_merchants,
    payments.debits_upkeep.move_debits,
    payments.debits_upkeep.move_debit_batches,
    payments.debits_upkeep.make_bank_files,
    payments.debits_upkeep.tend_debits,
    payments.fx_upkeep.take_rates,
    payments.fx_upkeep.expire_quotes,
    payments.fx_upkeep.ask_remitters,
    credit.upkeep.close_days,
    credit.origination_upkeep.expire_applications,
    credit.bureau.poll_bureau,
    credit.bureau_files.report_to_bureau,
    credit.messages.poll_messages,
    credit.collecting.collect_late_loans,
    credit.notices.tell_customers,
    credit.monitoring.watch_limits,
)
CONSUMERS: tuple[events.Consumer, ...] = (
    parties.account_owners,
    payments.webhooks_telling.tellers,
    cases.upkeep.approval_cases,
    decisions.upkeep.told_owners,
    decisions.upkeep.people_found,
)


def routers() -> tuple[APIRouter, ...]:
    """Return the routes of every room, the hot one first."""
    from steelyard.cases.http import router as of_cases
    from steelyard.credit.http import bureau_router as of_bureau
    from steelyard.credit.http import close_router as of_day_close
    from steelyard.credit.http import collection_router as of_collections
    from steelyard.credit.http import loan_router as of_loans
    from steelyard.credit.http import origination_router as of_originations
    from steelyard.credit.http import portfolio_router as of_portfolio
    from steelyard.credit.http import product_router as of_products
    from steelyard.decisions.http import ask_router as of_asking
    from steelyard.decisions.http import list_router as of_lists
    from steelyard.decisions.http import model_router as of_models
    from steelyard.decisions.http import policy_router as of_policies
    from steelyard.decisions.http import router as of_decisions
    from steelyard.decisions.http import watch_router as of_watch
    from steelyard.events.http import router as of_events
    from steelyard.experiments.http import router as of_experiments
    from steelyard.features.http import router as of_features
    from steelyard.ledger.http import router as of_ledger
    from steelyard.parties.http import router as of_parties
    from steelyard.payments.http import app_router as of_apps
    from steelyard.payments.http import binding_router as of_bindings
    from steelyard.payments.http import capture_router as of_captures
    from steelyard.payments.http import cashier_router as of_cashier
    from steelyard.payments.http import channel_router as of_channels
    from steelyard.payments.http import clearing_router as of_clearing
    from steelyard.payments.http import code_router as of_codes
    from steelyard.payments.http import corporate_router as of_corporate
    from steelyard.payments.http import cross_border_router as of_cross_border
    from steelyard.payments.http import debit_batch_router as of_debit_batches
    from steelyard.payments.http import debit_router as of_debits
    from steelyard.payments.http import degraded_router as of_degraded
    from steelyard.payments.http import dispute_router as of_disputes
    from steelyard.payments.http import fee_router as of_fees
    from steelyard.payments.http import fx_router as of_fx
    from steelyard.payments.http import limit_router as of_limits
    from steelyard.payments.http import mandate_router as of_mandates
    from steelyard.payments.http import merchant_router as of_merchants
    from steelyard.payments.http import monitoring_router as of_monitoring
    from steelyard.payments.http import notice_router as of_channel_notices
    from steelyard.payments.http import order_router as of_orders
    from steelyard.payments.http import recon_router as of_recon
    from steelyard.payments.http import refund_router as of_refunds
    from steelyard.payments.http import report_router as of_payment_reports
    from steelyard.payments.http import routing_router as of_routing
    from steelyard.payments.http import settlement_router as of_settlements
    from steelyard.payments.http import stripe_router as of_stripe
    from steelyard.payments.http import tie_out_router as of_tie_outs
    from steelyard.payments.http import transfer_router as of_transfers
    from steelyard.payments.http import webhook_router as of_webhooks
    from steelyard.simulation.http import router as of_simulation

    return (
        of_asking,
        of_orders,
        of_stripe,
        of_webhooks,
        of_merchants,
        of_fees,
        of_apps,
        of_parties,
        of_ledger,
        of_events,
        of_decisions,
        of_policies,
        of_lists,
        of_models,
        of_watch,
        of_features,
        of_cases,
        of_experiments,
        of_recon,
        of_channel_notices,
        of_refunds,
        of_disputes,
        of_mandates,
        of_debits,
        of_debit_batches,
        of_transfers,
        of_channels,
        of_routing,
        of_clearing,
        of_settlements,
        of_tie_outs,
        of_codes,
        of_corporate,
        of_bindings,
        of_cashier,
        of_captures,
        of_limits,
        of_payment_reports,
        of_monitoring,
        of_degraded,
        of_fx,
        of_cross_border,
        of_loans,
        of_day_close,
        of_originations,
        of_portfolio,
        of_products,
        of_bureau,
        of_collections,
        of_simulation,
    )
