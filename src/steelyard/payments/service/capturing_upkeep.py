"""The job of captures: asked about, taken by themselves, let go when they are too old."""

from __future__ import annotations

from datetime import timedelta

from steelyard.base.jobs import Every, JobContext, job

__all__ = ["tend_captures"]


@job("payments.tend_captures", schedule=Every(timedelta(seconds=30)))
def tend_captures(context: JobContext) -> None:
    """Ask what became of captures, and end authorizations whose time is over."""
    from steelyard.payments.service import capturing

    desk = getattr(context.platform, "channels", None)
    if desk is not None:
        capturing.tend(context.database, desk, actor=context.actor)
