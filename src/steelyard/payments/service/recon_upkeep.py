"""The job of reconciliation, entered where the room is loaded."""

from __future__ import annotations

from datetime import timedelta

from steelyard.base.jobs import Every, JobContext, job

__all__ = ["reconcile_days"]


@job("payments.reconcile_days", schedule=Every(timedelta(minutes=10)))
def reconcile_days(context: JobContext) -> None:
    """Keep the calendar of statements, match what came, and age what is open."""
    from steelyard.payments.service import recon

    with context.database.reading() as connection:
        plans = recon.plans(connection)
    for plan in plans:
        context.database.transact(
            lambda unit, p=plan: recon.expect_days(unit, p.channel),  # type: ignore[misc]
            actor=context.actor,
        )
    if not plans:
        return
    context.database.transact(recon.mark_late, actor=context.actor)
    recon.reconcile(context.database, actor=context.actor)
    recon.age(context.database, actor=context.actor)
