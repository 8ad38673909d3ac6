"""Upkeep of the access side, as a job: what ran out of time is closed or deleted."""

from __future__ import annotations

from datetime import timedelta

from steelyard.base import UnitOfWork
from steelyard.base.jobs import Every, JobContext, job
from steelyard.parties.model.staff import ACCOUNT_LOCK
from steelyard.parties.service.approval import expire_approvals
from steelyard.parties.store import session as session_table
from steelyard.parties.store import staff as staff_table

__all__ = ["keep_access_up"]

SESSIONS_KEPT_FOR = timedelta(days=90)


def keep_access_up(unit: UnitOfWork) -> dict[str, int]:
    """Expire approvals; delete lapsed challenges, forgotten failures, and sessions of long ago."""
    now = unit.wall_at
    return {
        "approvals": expire_approvals(unit),
        "challenges": session_table.prune_challenges(unit.connection, now),
        "attempts": staff_table.prune_attempts(unit.connection, now - ACCOUNT_LOCK.forget_after),
        "sessions": session_table.prune(unit.connection, now - SESSIONS_KEPT_FOR),
    }


@job("parties.keep_access_up", schedule=Every(timedelta(minutes=5)))
def _keep_access_up(context: JobContext) -> None:
    context.transact(keep_access_up)
