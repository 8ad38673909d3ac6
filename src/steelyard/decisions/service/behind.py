"""Jobs that read the log behind the owner: shadows, stopped rules, challenges; and time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from steelyard.base.jobs import Every, JobContext, job
from steelyard.decisions.service import challenges, guards, lists, shadows
from steelyard.decisions.store.challenges import Challenge

_CLOSED_AT_ONCE = 500
_FORGOTTEN_AT_ONCE = 5_000


@job("decisions.ask_shadows", schedule=Every(timedelta(seconds=10)))
def ask_shadows(context: JobContext) -> None:
    """Ask every shadow about what was decided since, and look at what stopped rules would do."""
    with context.database.reading() as connection:
        running = shadows.running_shadows(connection)
    for shadow in running:
        ask = partial(shadows.ask_shadow, scene=shadow.scene, version=shadow.version)
        while not context.should_stop and context.transact(ask) == shadows.STEP:
            pass
    count = shadows.STEP
    while not context.should_stop and count == shadows.STEP:
        with context.database.reading() as connection:
            stopped = guards.stopped_rules(connection)
        observed = [context.transact(partial(shadows.observe_stopped, stopped=one))
                    for one in stopped]  # fmt: skip
        count = max(observed, default=0)


@job("decisions.observe_challenges", schedule=Every(timedelta(seconds=30)))
def observe_challenges(context: JobContext) -> None:
    """Expose the subjects that were judged since, and write down whose outcome is known."""
    working: list[Challenge] = []
    count = challenges.STEP
    while not context.should_stop and count == challenges.STEP:
        with context.database.reading() as connection:
            working = challenges.challenges_with_work(connection)
        exposed = [context.transact(partial(challenges.expose_judged, challenge=one))
                   for one in working]  # fmt: skip
        count = max(exposed, default=0)
    for one in working:
        settle = partial(challenges.settle_due, challenge=one)
        while not context.should_stop and context.transact(settle) == challenges.SETTLED_AT_ONCE:
            pass


@job("decisions.close_overdue", schedule=Every(timedelta(minutes=10)))
def close_overdue(context: JobContext) -> None:
    """Close snoozes and delete list entries whose time is over."""
    close = partial(guards.close_overdue, limit=_CLOSED_AT_ONCE)
    while not context.should_stop and context.transact(close) == _CLOSED_AT_ONCE:
        pass
    forget = partial(lists.forget_overdue, limit=_FORGOTTEN_AT_ONCE)
    while not context.should_stop and context.transact(forget) == _FORGOTTEN_AT_ONCE:
        pass
