"""The jobs of currency: rates are taken, quotes end, providers are asked, positions are valued."""

from __future__ import annotations

from datetime import timedelta

from steelyard.base.jobs import Every, JobContext, job

__all__ = ["ask_remitters", "expire_quotes", "take_rates"]

_BATCH = 500
_MOST_BATCHES = 20


@job("payments.take_rates", schedule=Every(timedelta(minutes=5)))
def take_rates(context: JobContext) -> None:
    """Take what the central bank published, and what the platform's own feeds say."""
    from steelyard.payments.service import fx

    feeds = (fx.EcbFeed(), *getattr(context.platform, "rate_feeds", ()))
    for feed in feeds:
        fx.pull(context.database, feed, actor=context.actor)


@job("payments.expire_quotes", schedule=Every(timedelta(minutes=1)))
def expire_quotes(context: JobContext) -> None:
    """Write down the end of quotes whose time is over."""
    from steelyard.payments.service import quotes

    for _ in range(_MOST_BATCHES):
        ended = context.transact(lambda unit: quotes.expire_due(unit, limit=_BATCH))
        if ended < _BATCH or context.should_stop:
            return


@job("payments.ask_remitters", schedule=Every(timedelta(minutes=1)))
def ask_remitters(context: JobContext) -> None:
    """Ask the providers of cross-border payments about the legs whose turn it is."""
    desk = getattr(context.platform, "cross_border", None)
    if desk is not None:
        desk.poll(actor=context.actor)
