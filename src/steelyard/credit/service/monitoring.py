"""Monitoring: features of customers with a limit, read against the rules of early warning.

Features are read outside of any transaction; what fires is recorded as a fact and put before a
person, once for each limit and act of a day. Nothing about a limit changes here: `lines` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.jobs import Daily, JobContext, job
from steelyard.cases import CaseKind, open_case
from steelyard.cases import registry as case_registry
from steelyard.credit.model.line import Line, LineState
from steelyard.credit.model.warning import (
    TRIGGERS,
    Act,
    Trigger,
    Warned,
    proposed_limit,
    read_by,
    warn,
)
from steelyard.credit.service.catalogue import product_of
from steelyard.credit.service.lines import MARKETING
from steelyard.credit.service.risk_facts import LimitReviewProposed
from steelyard.credit.store import lines as lines_table
from steelyard.credit.store import portfolio as table
from steelyard.decisions import deciding
from steelyard.features import profiles
from steelyard.parties import consents

__all__ = [
    "LIMIT_REVIEW",
    "TRIGGERS",
    "Act",
    "Monitored",
    "Trigger",
    "Warned",
    "propose",
    "watch_limits",
    "watch_lines",
]

LIMIT_REVIEW = case_registry.register_kind(
    CaseKind(
        "credit.limit_review",
        "Review of a limit",
        "额度复审",
        case_registry.Sla(timedelta(days=2)),
        (
            case_registry.CaseOutcome("raised", "Raised", "已调高"),
            case_registry.CaseOutcome("lowered", "Lowered", "已调低"),
            case_registry.CaseOutcome("frozen", "Frozen", "已冻结"),
            case_registry.CaseOutcome("kept", "Kept as it is", "维持不变"),
        ),
        skill="credit.underwrite",
    )
)
_PROPOSED = frozenset({Act.RAISE, Act.LOWER, Act.FREEZE})
_PRIORITY = {
    Act.RAISE: case_registry.Priority.LOW,
    Act.LOWER: case_registry.Priority.NORMAL,
    Act.FREEZE: case_registry.Priority.HIGH,
}
_STEP = 200
_ACTOR = "system:monitoring"


@dataclass(frozen=True, slots=True)
class Monitored:
    """What a run found.

    Attributes
    ----------
    lines : limits that were looked at
    proposed : limits about which something was proposed
    last : the last limit that was looked at; None at the end of them
    """

    lines: int
    proposed: int
    last: UUID | None


@job("credit.watch_limits", schedule=Daily(time(3, 40), "Asia/Shanghai"))
def watch_limits(context: JobContext) -> None:
    """Look at every open limit, and put before people what early warning proposes."""
    history = deciding.EntityHistory(context.database)
    after: UUID | None = None
    while not context.should_stop:
        after = watch_lines(context.database, history, after=after).last
        if after is None:
            break


def watch_lines(
    database: Database, history: profiles.History, *, after: UUID | None = None, limit: int = _STEP
) -> Monitored:
    """Look at the customers of some open limits, and put before people what early warning proposes.

    Parameters
    ----------
    history : who keeps the events of the features
    after : the last limit of the run before; None begins anew
    """
    now = database.now()
    with database.reading() as connection:
        ids = table.open_lines(connection, after=after, limit=limit)
        found = [lines_table.read(connection, line) for line in ids]
    proposed = 0
    for line in found:
        warned = warn(_features(history, line.party, now))
        if warned.act in _PROPOSED:
            proposed += database.transact(
                partial(propose, line=line.id, warned=warned), actor=_ACTOR
            )
    return Monitored(len(found), proposed, ids[-1] if len(ids) == limit else None)


def _features(
    history: profiles.History, party: UUID, at: datetime
) -> dict[str, int | float | str | bool | None]:
    names = read_by()
    profile = profiles.profile(history, "customer", str(party), at)
    return {one.feature.name: one.value for one in profile.features if one.feature.name in names}


def propose(unit: UnitOfWork, line: UUID, warned: Warned) -> bool:
    """Record what is proposed for a limit, and open the case about it.

    Returns
    -------
    bool
        Whether there was something to propose: an open limit that the act would change; for a raise
        also a customer who lets us offer.

    Refusals
    --------
    line_is_unknown
    """
    present = lines_table.read(unit.connection, line)
    if present.state is not LineState.OPEN:
        return False
    step = product_of(unit.connection, present.product, present.product_version).step_minor
    wanted = proposed_limit(present.limit_minor, present.used_minor, warned.act, step_minor=step)
    if wanted == present.limit_minor or not _lets_us_offer(unit, present, warned.act):
        return False
    source = f"monitoring:{line}.{warned.act.name.lower()}.{unit.now.date().isoformat()}"
    opened = open_case(
        unit,
        LIMIT_REVIEW.name,
        present.subject,
        source=source,
        priority=_PRIORITY[warned.act],
        links=(f"customer:{present.party}",),
    )
    if opened.how.value == "known":
        return False
    fact = LimitReviewProposed(
        line=line,
        party=present.party,
        act=warned.act.name.lower(),
        triggers=tuple(one.name for one in warned.fired),
        limit_minor=present.limit_minor,
        proposed_minor=wanted,
        case=opened.case.id,
    )
    unit.record(fact, subject=present.subject)
    return True


def _lets_us_offer(unit: UnitOfWork, line: Line, act: Act) -> bool:
    return act is not Act.RAISE or consents.has_consent(unit.connection, line.party, MARKETING)
