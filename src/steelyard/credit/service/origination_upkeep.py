"""What time does to applications and proposals; entered where the room is loaded."""

from __future__ import annotations

from datetime import time
from functools import partial

from steelyard.base.jobs import Daily, JobContext, job
from steelyard.credit.service import origination_facts as facts
from steelyard.credit.service.matters import REVIEW

__all__ = ["REVIEW", "expire_applications", "facts"]
_AT_ONCE = 200


@job("credit.expire_applications", schedule=Daily(time(0, 20), "Asia/Shanghai"))
def expire_applications(context: JobContext) -> None:
    """Write down which applications, offers and proposals of limits ran out of time."""
    from steelyard.credit.service import applying, preapproval

    for expire in (applying.expire, preapproval.expire_proposals):
        while not context.should_stop:
            done = context.database.transact(partial(expire, limit=_AT_ONCE), actor=context.actor)
            if done < _AT_ONCE:
                break
