"""Working: people take cases, put notes and evidence to them, and pass them on.

Every verb of a person takes the caller: it demands the skill of the case besides the entitlement of
the route. `attach` is the verb of the room that opened the case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.base.telemetry.masking import mask_text
from steelyard.cases.model.case import Case, CaseAction, Claim, must_be_a_person
from steelyard.cases.model.kind import WORK, Priority
from steelyard.cases.model.refusals import (
    AssigneeLacksSkill,
    CaseIsNotYours,
    CaseIsUnknown,
    ReferenceIsMalformed,
)
from steelyard.cases.model.trail import Evidence, Link, Note, check_reference
from steelyard.cases.service.facts import CaseClaimed, CaseEscalated, CaseReleased
from steelyard.cases.service.moving import check_text, move
from steelyard.cases.service.registry import group_of, kind_of
from steelyard.cases.store import case as table
from steelyard.cases.store import trail
from steelyard.parties import roles, staff

if TYPE_CHECKING:
    from steelyard.base.http import Caller

__all__ = [
    "STAFF_REFUSALS",
    "add_evidence",
    "add_note",
    "assign",
    "attach",
    "claim",
    "claim_next",
    "escalate",
    "link",
    "prioritise",
    "release",
]

STAFF_REFUSALS = (staff.StaffIsUnknown, staff.StaffIsNotActive)
"""How `parties` can refuse the person to whom a case is given."""


def claim(unit: UnitOfWork, case: UUID, *, by: Caller) -> Case:
    """Take a case, or renew one's own claim; it holds for as long as the kind says.

    Refusals
    --------
    case_is_unknown, not_entitled, case_state_forbids, case_needs_a_person, case_is_kept_from_you,
    case_is_claimed : in this order
    """
    present = lock_for(unit, case, by)
    return _claim(unit, present, by.actor)


def claim_next(unit: UnitOfWork, *, by: Caller, kinds: Sequence[str] | None = None) -> Case | None:
    """Take the case that comes first: by priority, then colour, then age.

    Parameters
    ----------
    kinds : only these; by default all whose skill the caller has

    Returns
    -------
    Case or None
        Never one that somebody else has or is taking at this moment, nor one that is kept from the
        caller. An expired claim counts as none.

    Refusals
    --------
    case_needs_a_person, case_kind_is_unknown
    """
    must_be_a_person(by.actor)
    for name in kinds or ():
        kind_of(name)
    found = table.take_next(
        unit.connection,
        actor=by.actor,
        held=sorted(by.entitlements),
        kinds=kinds,
        now=unit.now,
        wall_at=unit.wall_at,
    )
    return None if found is None else _claim(unit, found, by.actor)


def assign(unit: UnitOfWork, case: UUID, to: UUID, *, by: Caller) -> Case:
    """Give a case to a member of staff, whoever has it (a lead's verb).

    Refusals
    --------
    case_is_unknown, not_entitled, staff_is_unknown, staff_is_not_active, assignee_lacks_skill,
    case_state_forbids, case_is_kept_from_you
    """
    present = lock_for(unit, case, by)
    person = staff.read_staff(unit.connection, to)
    if person.state is not staff.StaffState.ACTIVE:
        raise staff.StaffIsNotActive(staff=person.actor)
    held = {e for name in person.roles for e in roles.read_role(unit.connection, name).entitlements}
    for verb in (WORK, present.skill):
        room = verb.partition(".")[0]
        if not held & {verb, f"{room}.*", "*"}:
            raise AssigneeLacksSkill(assignee=person.actor, skill=verb)
    after = present.assigned(_new_claim(unit, present, person.actor))
    fact = CaseClaimed(case=case, case_kind=present.kind, by=person.actor)
    detail = {"to": person.actor, "from": present.claim and present.claim.by}
    return move(unit, present, after, CaseAction.ASSIGN, fact=fact, detail=detail)


def release(unit: UnitOfWork, case: UUID, *, by: Caller) -> Case:
    """Put a case back into the queue; a lead also one that somebody else has.

    One's own claim is given back after it expired too, as long as nobody took the case.

    Refusals
    --------
    case_is_unknown, not_entitled, case_state_forbids, case_is_not_yours
    """
    present = lock_for(unit, case, by)
    after = present.freed(CaseAction.RELEASE)
    assert present.claim is not None, "only a claimed case is released"
    if present.claim.by != by.actor and not by.may("cases.lead"):
        raise CaseIsNotYours(case=case)
    fact = CaseReleased(case=case, case_kind=present.kind, reason="released")
    return move(
        unit,
        present,
        after,
        CaseAction.RELEASE,
        fact=fact,
        detail={"from": present.claim.by},
    )


def escalate(unit: UnitOfWork, case: UUID, group: str, *, reason: str, by: Caller) -> Case:
    """Pass a case to a group, one step more urgent; its service level runs on.

    A case that somebody has is passed on by him alone, unless a lead does it.

    Refusals
    --------
    case_is_unknown, not_entitled, group_is_unknown, text_holds_personal_data, case_state_forbids,
    case_is_not_yours
    """
    present = lock_for(unit, case, by)
    target = group_of(group)
    kind_of(present.kind).must_escalate_to(group)
    check_text(reason, "reason")
    after = present.escalated(target)
    if present.claim is not None and not by.may("cases.lead"):
        present.must_be_with(by.actor, unit.wall_at)
    fact = CaseEscalated(case=case, case_kind=present.kind, group=group)
    detail = {"group": group, "reason": reason, "priority": int(after.priority)}
    return move(unit, present, after, CaseAction.ESCALATE, fact=fact, detail=detail)


def prioritise(unit: UnitOfWork, case: UUID, priority: Priority, *, by: Caller) -> Case:
    """Set the priority of a case (a lead's verb).

    Refusals
    --------
    case_is_unknown, not_entitled, case_state_forbids
    """
    present = lock_for(unit, case, by)
    present.moved(CaseAction.PRIORITISE)
    after = replace(present, priority=priority)
    detail = {"from": int(present.priority), "to": int(priority)}
    return move(unit, present, after, CaseAction.PRIORITISE, detail=detail)


def add_note(unit: UnitOfWork, case: UUID, text: str, *, by: Caller) -> Case:
    """Write something down about a case, for ever.

    Refusals
    --------
    case_is_unknown, not_entitled, text_holds_personal_data
    """
    present = lock_for(unit, case, by)
    present.moved(CaseAction.NOTE)
    check_text(text, "text")
    trail.insert_note(unit.connection, case, Note(unit.now, by.actor, text))
    return move(unit, present, present, CaseAction.NOTE)


def add_evidence(
    unit: UnitOfWork, case: UUID, *, kind: str, reference: str, content_hash: str, by: Caller
) -> Case:
    """Put evidence to one's case: where it is kept, and the SHA-256 of it (64 hex digits).

    The same evidence again changes nothing.

    Refusals
    --------
    case_is_unknown, not_entitled, case_state_forbids, case_is_not_yours, reference_is_malformed,
    text_holds_personal_data
    """
    present = lock_for(unit, case, by)
    present.moved(CaseAction.EVIDENCE)
    present.must_be_with(by.actor, unit.wall_at)
    check_text(check_reference(reference, "reference"), "reference")
    evidence = Evidence(kind, reference, content_hash, unit.now, by.actor)
    if not trail.insert_evidence(unit.connection, case, evidence):
        return present
    detail = {"kind": kind, "reference": reference, "content_hash": content_hash}
    return move(unit, present, present, CaseAction.EVIDENCE, detail=detail)


def attach(
    unit: UnitOfWork, case: UUID, text: str, *, kind: str, reference: str, content_hash: str
) -> Case:
    """Put to a case what the room that opened it knows: a note, and evidence of what it says.

    No claim or skill is asked for, as in `closing.conclude`. What looks personal in the note is
    masked.

    Refusals
    --------
    case_is_unknown, reference_is_malformed
    """
    check_reference(reference, "reference")
    present = table.lock(unit.connection, case)
    present.moved(CaseAction.NOTE)
    trail.insert_note(unit.connection, case, Note(unit.now, unit.actor, mask_text(text)))
    evidence = Evidence(kind, reference, content_hash, unit.now, unit.actor)
    trail.insert_evidence(unit.connection, case, evidence)
    detail = {"kind": kind, "reference": reference, "content_hash": content_hash}
    return move(unit, present, present, CaseAction.NOTE, detail=detail)


def link(unit: UnitOfWork, case: UUID, target: str, *, by: Caller) -> Case:
    """Note what else a case has to do with; between two cases the link is seen from both.

    A link that is there changes nothing.

    Refusals
    --------
    case_is_unknown, not_entitled, reference_is_malformed
    """
    noun, _, name = check_reference(target, "target").partition(":")
    if noun == "case":
        return _link_cases(unit, case, _case_id(name), by)
    present = lock_for(unit, case, by)
    return _link(unit, present, target)


def _link_cases(unit: UnitOfWork, case: UUID, other: UUID, by: Caller) -> Case:
    if other == case:
        raise ReferenceIsMalformed(where="target")
    # Held in one order by everybody, so that two links the other way round do not wait crosswise.
    held = {one: table.lock(unit.connection, one) for one in sorted((case, other))}
    by.require(held[case].skill)
    _link(unit, held[other], f"case:{case}")
    return _link(unit, held[case], f"case:{other}")


def _link(unit: UnitOfWork, present: Case, target: str) -> Case:
    present.moved(CaseAction.LINK)
    if not trail.insert_link(unit.connection, present.id, Link(target, unit.now, unit.actor)):
        return present
    return move(unit, present, present, CaseAction.LINK, detail={"target": target})


def lock_for(unit: UnitOfWork, case: UUID, by: Caller) -> Case:
    """Return a case that the caller has the skill for, its row held.

    Refusals
    --------
    case_is_unknown, not_entitled
    """
    assert unit.actor == by.actor, "who works is who acts"
    present = table.lock(unit.connection, case)
    by.require(present.skill)
    return present


def _claim(unit: UnitOfWork, present: Case, actor: str) -> Case:
    after = present.claimed(_new_claim(unit, present, actor), wall_at=unit.wall_at)
    fact = CaseClaimed(case=present.id, case_kind=present.kind, by=actor)
    taken_from = present.claim and present.claim.by
    return move(
        unit, present, after, CaseAction.CLAIM, fact=fact, detail={"taken_from": taken_from}
    )


def _new_claim(unit: UnitOfWork, case: Case, actor: str) -> Claim:
    return Claim(actor, unit.now, unit.wall_at + kind_of(case.kind).claim_lives)


def _case_id(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        raise CaseIsUnknown(case=name) from None
