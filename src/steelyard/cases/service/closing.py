"""Closing: how a matter ends, with a second person's yes where the kind demands it.

The approval record and its rule live in `parties`; a case only waits for it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.cases.model.case import Case, CaseAction, CaseState, Closing, Proposal
from steelyard.cases.model.kind import CaseKind, CaseOutcome
from steelyard.cases.model.refusals import (
    AnotherCaseIsOpen,
    CaseIsSettledElsewhere,
    EvidenceIsMissing,
)
from steelyard.cases.model.trail import missing_evidence
from steelyard.cases.service.facts import (
    CaseClosed,
    CaseClosingProposed,
    CaseReleased,
    CaseReopened,
)
from steelyard.cases.service.moving import check_text, move, subject_of
from steelyard.cases.service.registry import kind_of
from steelyard.cases.service.working import lock_for
from steelyard.cases.store import case as table
from steelyard.cases.store import trail
from steelyard.parties import approvals

if TYPE_CHECKING:
    from steelyard.base.http import Caller

__all__ = [
    "APPROVAL_REFUSALS",
    "CLOSE",
    "approve",
    "close",
    "conclude",
    "decline",
    "reject",
    "reopen",
    "settle",
    "withdraw",
]

CLOSE = approvals.approval_kind(
    "cases.close",
    verb="cases.approve",
    en="Close a case with an outcome",
    zh="案件结案",
    lives=timedelta(days=3),
)
APPROVAL_REFUSALS = (
    approvals.ApprovalIsUnknown,
    approvals.ApprovalNeedsAPerson,
    approvals.MakerIsChecker,
    approvals.ApprovalIsNotYours,
    approvals.ApprovalIsNotOpen,
    approvals.ApprovalHasExpired,
    approvals.ApprovalIsForSomethingElse,
    approvals.ShownDiffers,
)
"""How `parties` can refuse the approval of a closing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def close(unit: UnitOfWork, case: UUID, outcome: str, *, by: Caller) -> Case:
    """Close one's case, or, where the kind demands four eyes, ask a second person to.

    Returns
    -------
    Case
        Closed, with a fact that carries the outcome's label; or awaiting approval.

    Refusals
    --------
    case_is_unknown, not_entitled, outcome_is_unknown, case_is_settled_elsewhere,
    case_state_forbids, case_is_not_yours, evidence_is_missing : in this order
    """
    present = lock_for(unit, case, by)
    kind = kind_of(present.kind)
    ends = kind.outcome(outcome)
    if kind.is_settled_elsewhere:
        raise CaseIsSettledElsewhere(case=case, subject=present.subject)
    present.moved(CaseAction.CLOSE)
    present.must_be_with(by.actor, unit.wall_at)
    evidence = trail.read_evidence(unit.connection, case)
    missing = missing_evidence(kind.required_evidence, evidence)
    if missing:
        raise EvidenceIsMissing(case=case, missing=", ".join(missing))
    if kind.four_eyes:
        return _propose(unit, present, kind, ends)
    return _close(unit, present, ends, Closing(outcome, by.actor, unit.now), CaseAction.CLOSE)


def approve(unit: UnitOfWork, case: UUID, *, by: Caller, shown_hash: str) -> Case:
    """Say yes to the closing that somebody else proposed; the case is closed.

    Parameters
    ----------
    shown_hash : hash of what the approval shows

    Refusals
    --------
    case_is_unknown, not_entitled, case_state_forbids, and those of `parties` for an approval
    """
    present = lock_for(unit, case, by)
    present.moved(CaseAction.APPROVE)
    assert present.proposal is not None, "it awaits approval"
    approvals.approve(unit, present.proposal.approval, by=by, shown_hash=shown_hash)
    return settle(unit, present, approved_by=by.actor)


def reject(unit: UnitOfWork, case: UUID, *, by: Caller, shown_hash: str, reason: str) -> Case:
    """Say no to the closing that somebody else proposed; the case is open again.

    Refusals
    --------
    as of `approve`, and text_holds_personal_data
    """
    present = lock_for(unit, case, by)
    present.moved(CaseAction.DECLINE)
    check_text(reason, "reason")
    assert present.proposal is not None, "it awaits approval"
    approval = present.proposal.approval
    approvals.reject(unit, approval, by=by, shown_hash=shown_hash, reason=reason)
    return decline(unit, present, "rejected")


def withdraw(unit: UnitOfWork, case: UUID, *, by: Caller) -> Case:
    """Take one's own proposal back; the case is open again.

    Refusals
    --------
    case_is_unknown, not_entitled, case_state_forbids, and those of `parties` for a withdrawal
    """
    present = lock_for(unit, case, by)
    present.moved(CaseAction.DECLINE)
    assert present.proposal is not None, "it awaits approval"
    approvals.withdraw(unit, present.proposal.approval, by=by.actor)
    return decline(unit, present, "withdrawn")


def settle(unit: UnitOfWork, present: Case, *, approved_by: str) -> Case:
    """Use up the approval of a case whose row is held, and close it as proposed.

    Refusals
    --------
    approval_has_expired, approval_is_not_open, approval_is_for_something_else
    """
    proposal = present.proposal
    assert proposal is not None, "it awaits approval"
    cause = approvals.consume_approval(
        unit,
        proposal.approval,
        kind=CLOSE.name,
        subject=subject_of(present.id),
        shown=_shown(unit, present, proposal.outcome),
    )
    closing = Closing(proposal.outcome, proposal.by, unit.now, approved_by)
    outcome = kind_of(present.kind).outcome(proposal.outcome)
    return _close(unit, present, outcome, closing, CaseAction.APPROVE, cause=cause)


def decline(unit: UnitOfWork, present: Case, reason: str) -> Case:
    """Open a case again that awaited an approval which will not come; its row is held."""
    after = present.freed(CaseAction.DECLINE)
    fact = CaseReleased(case=present.id, case_kind=present.kind, reason=reason)
    return move(unit, present, after, CaseAction.DECLINE, fact=fact, detail={"reason": reason})


def conclude(unit: UnitOfWork, kind: str, dedup_key: str, outcome: str) -> Case | None:
    """Close the open case about a matter, because the room that knows the matter says how it ended.

    No claim, evidence or second person is asked for: the word of the room is what counts.

    Returns
    -------
    Case or None
        None where no case about the matter is open; said again it changes nothing.

    Refusals
    --------
    case_kind_is_unknown, outcome_is_unknown
    """
    ends = kind_of(kind).outcome(outcome)
    present = table.lock_open(unit.connection, kind, dedup_key)
    if present is None:
        return None
    if present.proposal is not None:
        # A wish that nobody needs any more; one that was decided meanwhile changes nothing here.
        with contextlib.suppress(approvals.ApprovalHasExpired, approvals.ApprovalIsNotOpen):
            approvals.withdraw(unit, present.proposal.approval, by=present.proposal.by)
    closing = Closing(outcome, unit.actor, unit.now)
    return _close(unit, present, ends, closing, CaseAction.CONCLUDE)


def reopen(unit: UnitOfWork, case: UUID, *, reason: str, by: Caller) -> Case:
    """Open a closed case again, with a service level from now on (a lead's verb).

    Refusals
    --------
    case_is_unknown, not_entitled, case_is_settled_elsewhere, text_holds_personal_data,
    case_state_forbids, another_case_is_open
    """
    present = lock_for(unit, case, by)
    kind = kind_of(present.kind)
    if kind.is_settled_elsewhere:
        raise CaseIsSettledElsewhere(case=case, subject=present.subject)
    check_text(reason, "reason")
    after = present.reopen(kind.sla.marks(unit.now), unit.now)
    other = table.lock_open(unit.connection, present.kind, present.dedup_key)
    if other is not None:
        raise AnotherCaseIsOpen(case=case, other=other.id)
    assert present.closing is not None, "it was closed"
    label = kind.outcome(present.closing.outcome).label
    fact = CaseReopened(case=case, case_kind=kind.name, about=present.subject)
    if label is not None and present.event is not None:
        fact = CaseReopened(
            case=case,
            case_kind=kind.name,
            about=present.subject,
            label_field=label.field,
            event_kind=present.event.kind,
            event_id=present.event.id,
        )
    detail = {"reason": reason, "outcome": present.closing.outcome}
    return move(unit, present, after, CaseAction.REOPEN, fact=fact, detail=detail)


def _propose(unit: UnitOfWork, present: Case, kind: CaseKind, outcome: CaseOutcome) -> Case:
    asked = approvals.request_approval(
        unit,
        kind=CLOSE.name,
        subject=subject_of(present.id),
        shown=_shown(unit, present, outcome.name),
        by=unit.actor,
    )
    after = present.proposed(Proposal(outcome.name, unit.actor, asked.id))
    fact = CaseClosingProposed(
        case=present.id, case_kind=kind.name, outcome=outcome.name, approval=asked.id
    )
    detail = {"outcome": outcome.name, "approval": str(asked.id), "shown": asked.shown_hash}
    return move(unit, present, after, CaseAction.PROPOSE, fact=fact, detail=detail)


def _shown(unit: UnitOfWork, case: Case, outcome: str) -> dict[str, object]:
    """Return what a second person says yes to, computed afresh each time."""
    return {
        "case": str(case.id),
        "case_kind": case.kind,
        "subject": case.subject,
        "outcome": outcome,
        "reopened": case.reopened,
        "evidence": [
            {"kind": e.kind, "reference": e.reference, "content_hash": e.content_hash}
            for e in trail.read_evidence(unit.connection, case.id)
        ],
    }


def _close(
    unit: UnitOfWork,
    present: Case,
    outcome: CaseOutcome,
    closing: Closing,
    action: CaseAction,
    *,
    cause: str | None = None,
) -> Case:
    after = present.closed(closing, action)
    label = outcome.label
    fact = CaseClosed(
        case=present.id, case_kind=present.kind, about=present.subject, outcome=outcome.name
    )
    if label is not None and present.event is not None:
        fact = CaseClosed(
            case=present.id,
            case_kind=present.kind,
            about=present.subject,
            outcome=outcome.name,
            label_field=label.field,
            label_value=label.value,
            event_kind=present.event.kind,
            event_id=present.event.id,
            known_at_ms=(unit.now - _EPOCH) // timedelta(milliseconds=1),
        )
    trail.insert_closing(unit.connection, after, label)
    detail = {
        "outcome": outcome.name,
        "is_within_sla": after.is_within_sla,
        "approved_by": closing.approved_by,
        "cause": cause,
    }
    # Closed at this instant: what time would still have changed is settled by the closing itself.
    after = replace(after, colour=present.marks.colour(unit.now))
    return move(unit, present, after, action, fact=fact, detail=detail)


def is_waiting_for(case: Case, approval: UUID) -> bool:
    """Whether a case awaits this very approval."""
    waits = case.state is CaseState.AWAITING_APPROVAL
    return waits and case.proposal is not None and case.proposal.approval == approval
