"""What goes on behind the owner: cases from decisions, the watch over drift, what people found."""

from __future__ import annotations

from datetime import time, timedelta

from steelyard.base import UnitOfWork
from steelyard.base.jobs import Daily, Every, JobContext, job
from steelyard.decisions.service.behind import ask_shadows, close_overdue, observe_challenges
from steelyard.decisions.service.hearing import told_owners
from steelyard.decisions.service.history import keep_trail
from steelyard.decisions.service.matters import DRIFT, RENEWS, REVIEWS
from steelyard.events import Consumer, Heard, hears

__all__ = [
    "ask_shadows",
    "close_overdue",
    "keep_trail",
    "observe_challenges",
    "open_reviews",
    "people_found",
    "told_owners",
    "watch_drift",
]

_REVIEWS = frozenset(kind.name for kind in REVIEWS.values())


@job("decisions.open_reviews", schedule=Every(timedelta(seconds=5)))
def open_reviews(context: JobContext) -> None:
    """Put the decisions that want a person before people."""
    from steelyard.decisions.service.reviews import Opener

    Opener().open_all(context.database, context.transact, should_stop=lambda: context.should_stop)


@job("decisions.watch_drift", schedule=Daily(time(2), "Asia/Shanghai"))
def watch_drift(context: JobContext) -> None:
    """Watch the business days that are over, the one before this tick the last."""
    from steelyard.decisions.service import watch

    watch.catch_up(
        context.database,
        context.transact,
        watch.policy_at_hand,
        until=watch.closed_day(context.tick or context.now),
        should_stop=lambda: context.should_stop,
    )


@hears("cases.CaseClosed@1")
def hear_closing(unit: UnitOfWork, heard: Heard) -> None:
    """Take what people found out about a decision, or about a shift."""
    closed = heard.fact
    if closed.case_kind in _REVIEWS:
        from steelyard.decisions.service.reviews import conclude_review

        conclude_review(unit, closed.case, closed)
    elif closed.case_kind == DRIFT.name and closed.outcome == RENEWS:
        from steelyard.decisions.service.watch import renew_of_case

        renew_of_case(unit, closed.case)


people_found = Consumer("decisions.people_found", (hear_closing,))
"""Delivered once: what it writes is committed with its place in the log of facts."""
