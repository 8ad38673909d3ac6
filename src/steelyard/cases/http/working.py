"""Routes that write: take, note, prove, pass on, close, approve, reopen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import Write, writing
from steelyard.base.http import refusals as refused_by
from steelyard.cases import Case, closing, refusals, working
from steelyard.cases.http.wire import (
    AssignmentIn,
    CaseId,
    CaseOut,
    ConfirmationIn,
    EscalationIn,
    EvidenceIn,
    LinkIn,
    NextIn,
    NextOut,
    NoteIn,
    OutcomeIn,
    PriorityIn,
    ReasonIn,
    RejectionIn,
    priority_of,
)

router = APIRouter(prefix="/v1/cases")

Works = Annotated[Write, writing("cases.work")]
Closes = Annotated[Write, writing("cases.close")]
Approves = Annotated[Write, writing("cases.approve")]
Escalates = Annotated[Write, writing("cases.escalate")]
Leads = Annotated[Write, writing("cases.lead")]

_GONE = (refusals.CaseIsUnknown, refusals.CaseStateForbids)
_PERSON = (refusals.CaseNeedsAPerson, refusals.CaseIsKeptFromYou)


def _run(write: Write, verb: Callable[..., Case], case: Any, *more: Any, **named: Any) -> Response:
    def work(unit: UnitOfWork) -> CaseOut:
        return CaseOut.of(verb(unit, case, *more, by=write.caller, **named), unit.now)

    return write.run(work)


@router.post(
    "/next",
    response_model=NextOut,
    responses=refused_by(refusals.CaseNeedsAPerson, refusals.CaseKindIsUnknown, write=True),
)
def claim_next(body: NextIn, write: Works) -> Response:
    """Take the case that comes first: by priority, then colour, then age."""

    def work(unit: UnitOfWork) -> NextOut:
        found = working.claim_next(unit, by=write.caller, kinds=body.kinds)
        return NextOut(case=None if found is None else CaseOut.of(found, unit.now))

    return write.run(work)


@router.post(
    "/{case}/claim",
    response_model=CaseOut,
    responses=refused_by(*_GONE, *_PERSON, refusals.CaseIsClaimed, write=True),
)
def claim(case: CaseId, write: Works) -> Response:
    """Take a case, or renew one's own claim."""
    return _run(write, working.claim, case)


@router.post(
    "/{case}/release",
    response_model=CaseOut,
    responses=refused_by(*_GONE, refusals.CaseIsNotYours, write=True),
)
def release(case: CaseId, write: Works) -> Response:
    """Put a case back into the queue; with `cases.lead` also one that somebody else has."""
    return _run(write, working.release, case)


@router.post(
    "/{case}/notes",
    response_model=CaseOut,
    responses=refused_by(*_GONE, refusals.TextHoldsPersonalData, write=True),
)
def add_note(case: CaseId, body: NoteIn, write: Works) -> Response:
    """Write something down about a case, for ever."""
    return _run(write, working.add_note, case, body.text)


@router.post(
    "/{case}/evidence",
    response_model=CaseOut,
    responses=refused_by(
        *_GONE,
        refusals.CaseIsNotYours,
        refusals.ReferenceIsMalformed,
        refusals.TextHoldsPersonalData,
        write=True,
    ),
)
def add_evidence(case: CaseId, body: EvidenceIn, write: Works) -> Response:
    """Put evidence to one's case: where it is kept, and its hash; never the thing itself."""
    return _run(
        write,
        working.add_evidence,
        case,
        kind=body.kind,
        reference=body.reference,
        content_hash=body.content_hash,
    )


@router.post(
    "/{case}/links",
    response_model=CaseOut,
    responses=refused_by(*_GONE, refusals.ReferenceIsMalformed, write=True),
)
def add_link(case: CaseId, body: LinkIn, write: Works) -> Response:
    """Link a case to another (`case:<id>`) or to anything else (`noun:id`)."""
    return _run(write, working.link, case, body.target)


@router.post(
    "/{case}/escalate",
    response_model=CaseOut,
    responses=refused_by(
        *_GONE,
        refusals.GroupIsUnknown,
        refusals.CaseIsNotYours,
        refusals.TextHoldsPersonalData,
        write=True,
    ),
)
def escalate(case: CaseId, body: EscalationIn, write: Escalates) -> Response:
    """Pass a case to a group, one step more urgent."""
    return _run(write, working.escalate, case, body.group, reason=body.reason)


@router.post(
    "/{case}/assign",
    response_model=CaseOut,
    responses=refused_by(
        *_GONE,
        *_PERSON,
        *working.STAFF_REFUSALS,
        refusals.AssigneeLacksSkill,
        write=True,
    ),
)
def assign(case: CaseId, body: AssignmentIn, write: Leads) -> Response:
    """Give a case to a member of staff who may work it."""
    return _run(write, working.assign, case, body.staff)


@router.post("/{case}/priority", response_model=CaseOut, responses=refused_by(*_GONE, write=True))
def prioritise(case: CaseId, body: PriorityIn, write: Leads) -> Response:
    """Set the priority of a case."""
    return _run(write, working.prioritise, case, priority_of(body.priority))


@router.post(
    "/{case}/close",
    response_model=CaseOut,
    responses=refused_by(
        *_GONE,
        refusals.OutcomeIsUnknown,
        refusals.CaseIsSettledElsewhere,
        refusals.CaseIsNotYours,
        refusals.EvidenceIsMissing,
        write=True,
    ),
)
def close(case: CaseId, body: OutcomeIn, write: Closes) -> Response:
    """Close one's case; where four eyes are demanded, a second person is asked first."""
    return _run(write, closing.close, case, body.outcome)


@router.post(
    "/{case}/approve",
    response_model=CaseOut,
    responses=refused_by(*_GONE, *closing.APPROVAL_REFUSALS, write=True),
)
def approve(case: CaseId, body: ConfirmationIn, write: Approves) -> Response:
    """Say yes to the closing that somebody else proposed; the case is closed."""
    return _run(write, closing.approve, case, shown_hash=body.shown_hash)


@router.post(
    "/{case}/reject",
    response_model=CaseOut,
    responses=refused_by(
        *_GONE, *closing.APPROVAL_REFUSALS, refusals.TextHoldsPersonalData, write=True
    ),
)
def reject(case: CaseId, body: RejectionIn, write: Approves) -> Response:
    """Say no to the closing that somebody else proposed; the case is open again."""
    return _run(write, closing.reject, case, shown_hash=body.shown_hash, reason=body.reason)


@router.post(
    "/{case}/withdraw",
    response_model=CaseOut,
    responses=refused_by(*_GONE, *closing.APPROVAL_REFUSALS, write=True),
)
def withdraw(case: CaseId, write: Closes) -> Response:
    """Take one's own proposal to close back; the case is open again."""
    return _run(write, closing.withdraw, case)


@router.post(
    "/{case}/reopen",
    response_model=CaseOut,
    responses=refused_by(
        *_GONE,
        refusals.CaseIsSettledElsewhere,
        refusals.AnotherCaseIsOpen,
        refusals.TextHoldsPersonalData,
        write=True,
    ),
)
def reopen(case: CaseId, body: ReasonIn, write: Leads) -> Response:
    """Open a closed case again, with a service level from now on."""
    return _run(write, closing.reopen, case, reason=body.reason)
