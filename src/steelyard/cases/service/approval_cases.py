"""Approvals in the queue: what `parties` is asked to approve waits for a person here.

The record, the rule and the deciding stay in `parties`; what was decided there closes the case
here, and lets go on what waited for it.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.cases.model.kind import CaseKind, CaseOutcome
from steelyard.cases.model.refusals import CaseIsUnknown
from steelyard.cases.model.sla import Sla
from steelyard.cases.service.closing import CLOSE, conclude, decline, is_waiting_for, settle
from steelyard.cases.service.opening import open_case
from steelyard.cases.service.registry import register_kind
from steelyard.cases.store import case as table
from steelyard.events import Consumer, Heard, hears
from steelyard.parties import approvals

APPROVAL = register_kind(
    CaseKind(
        name="cases.approval",
        en="Approval by a second person",
        zh="第二人审批",
        sla=Sla(timedelta(hours=4)),
        outcomes=(
            CaseOutcome("approved", "Approved", "已批准"),
            CaseOutcome("rejected", "Rejected", "已拒绝"),
            CaseOutcome("withdrawn", "Withdrawn by the maker", "经办人撤回"),
            CaseOutcome("expired", "Ran out of time", "已过期"),
        ),
        is_settled_elsewhere=True,
    )
)


@hears("parties.ApprovalRequested@1")
def queue_approval(unit: UnitOfWork, heard: Heard) -> None:
    """Put a requested approval before those who may decide it, and not before its maker."""
    asked = approvals.read_approval(unit.connection, heard.fact.approval)
    subject = f"approval:{asked.id}"
    kept_from = tuple(sorted({asked.requested_by, asked.answerable}))
    open_case(unit, APPROVAL.name, subject, source=subject, skill=asked.verb, kept_from=kept_from)


@hears("parties.ApprovalGiven@1")
def let_go_on(unit: UnitOfWork, heard: Heard) -> None:
    """Close the case that waited for the yes."""
    _end(unit, heard, "approved")


@hears("parties.ApprovalRejected@1")
def turn_down(unit: UnitOfWork, heard: Heard) -> None:
    """Open the case that waited for the yes again."""
    _end(unit, heard, "rejected")


@hears("parties.ApprovalWithdrawn@1")
def forget_wish(unit: UnitOfWork, heard: Heard) -> None:
    """Open the case that waited for the yes again."""
    _end(unit, heard, "withdrawn")


@hears("parties.ApprovalExpired@1")
def give_up(unit: UnitOfWork, heard: Heard) -> None:
    """Open the case that waited for the yes again."""
    _end(unit, heard, "expired")


def _end(unit: UnitOfWork, heard: Heard, ending: str) -> None:
    """Close the approval's own case, and settle or decline the closing that waited for it."""
    fact = heard.fact
    conclude(unit, APPROVAL.name, f"approval:{fact.approval}", ending)
    if fact.approval_kind != CLOSE.name:
        return
    try:
        present = table.lock(unit.connection, UUID(fact.about.removeprefix("case:")))
    except (CaseIsUnknown, ValueError):
        # Requested by hand for something that is no case: nothing waits for it.
        return
    if not is_waiting_for(present, fact.approval):
        # Decided by way of the case itself, or the matter was concluded meanwhile.
        return
    if ending != "approved":
        decline(unit, present, ending)
        return
    decided = approvals.read_approval(unit.connection, fact.approval)
    try:
        settle(unit, present, approved_by=decided.decided_by or "")
    except (
        approvals.ApprovalHasExpired,
        approvals.ApprovalIsNotOpen,
        approvals.ApprovalIsForSomethingElse,
    ) as refusal:
        decline(unit, present, refusal.code)


approval_cases = Consumer(
    "cases.approvals", (queue_approval, let_go_on, turn_down, forget_wish, give_up)
)
