"""The jobs of orders: what became of attempts is asked, and orders whose time is over are ended."""

from __future__ import annotations

from datetime import timedelta

from steelyard.base.jobs import Every, JobContext, job

__all__ = ["ask_channels", "end_orders"]

_BATCH = 200
_MOST_BATCHES = 20


@job("payments.end_orders", schedule=Every(timedelta(seconds=30)))
def end_orders(context: JobContext) -> None:
    """Begin the end of orders whose time is over."""
    from steelyard.payments.service import orders

    for _ in range(_MOST_BATCHES):
        if context.transact(lambda unit: orders.end_due(unit, limit=_BATCH)) < _BATCH:
            return
        if context.should_stop:
            return


@job("payments.ask_channels", schedule=Every(timedelta(seconds=5)))
def ask_channels(context: JobContext) -> None:
    """Ask the channels about attempts whose turn it is."""
    paying = getattr(context.platform, "paying", None)
    for _ in range(_MOST_BATCHES):
        if paying is None or context.should_stop:
            return
        if paying.poll(limit=_BATCH, actor=context.actor) < _BATCH:
            return
