"""The jobs of settlement: days are closed, merchants paid, the reserve tied out."""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING

from steelyard.base.jobs import Daily, Every, JobContext, job
from steelyard.payments.model.orders import Mode

if TYPE_CHECKING:
    from steelyard.payments.service.day import Hands

__all__ = ["close_channel_days", "poll_payouts", "settle_merchants", "tie_out_reserve"]

_ZONE = "Asia/Shanghai"


@job("payments.close_channel_days", schedule=Every(timedelta(minutes=5)))
def close_channel_days(context: JobContext) -> None:
    """Close the days of channels whose cut-off passed, and let pass what is reconciled."""
    from steelyard.payments.service import clearing, day, institution

    how = clearing.How(actor=context.actor, should_stop=lambda: context.should_stop)
    for mode in Mode:
        with context.database.engine.connect() as connection:
            if institution.find(connection, mode) is None:
                continue
        clearing.close_due(context.database, mode, context.platform.channels.capability, how)
        day.gate_days(context.database, mode, day.How(actor=context.actor))


@job("payments.settle_merchants", schedule=Daily(time(9, 0), _ZONE))
def settle_merchants(context: JobContext) -> None:
    """Calculate the settlements of the day and pay what is approved."""
    from steelyard.payments.service import day, institution

    for mode in Mode:
        with context.database.engine.connect() as connection:
            if institution.find(connection, mode) is None:
                continue
        on = day.today(context.database, mode)
        day.settle(context.database, mode, on, _hands(context), day.How(actor=context.actor))


@job("payments.poll_payouts", schedule=Every(timedelta(minutes=1)))
def poll_payouts(context: JobContext) -> None:
    """Ask the custodian about payouts whose turn it is."""
    from steelyard.payments.service import payouts

    hands = _hands(context)
    if hands.custodian is not None:
        how = payouts.How(actor=context.actor, limit=100, should_stop=lambda: context.should_stop)
        payouts.poll(context.database, hands.custodian, hands.payees, how)


@job("payments.tie_out_reserve", schedule=Daily(time(8, 0), _ZONE))
def tie_out_reserve(context: JobContext) -> None:
    """Tie the reserve out against the custodian's statement of the day before."""
    from steelyard.payments.service import day, institution

    hands = _hands(context)
    if hands.custodian is None:
        return
    for mode in Mode:
        with context.database.engine.connect() as connection:
            if institution.find(connection, mode) is None:
                continue
        on = day.due_on(context.database, mode)
        day.tie_out(context.database, mode, on, hands, day.How(actor=context.actor))


def _hands(context: JobContext) -> Hands:
    """Return what a day is run with on this platform; without a custodian nothing is paid."""
    from steelyard.payments.service import day
    from steelyard.payments.service.payouts_payees import SettlementPayees

    return day.Hands(
        channels=context.platform.channels,
        payees=SettlementPayees(context.platform.keyring),
        custodian=getattr(context.platform, "custodian", None),
    )
