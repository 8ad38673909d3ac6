"""A case: its states, and what each act makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from steelyard.cases.model.kind import CaseGroup, CaseKind, Priority
from steelyard.cases.model.refusals import (
    CaseIsClaimed,
    CaseIsKeptFromYou,
    CaseIsNotYours,
    CaseNeedsAPerson,
    CaseStateForbids,
)
from steelyard.cases.model.sla import Colour, Marks


class CaseState(StrEnum):
    """Where a case stands."""

    OPEN = "open"
    """Nobody has it."""
    CLAIMED = "claimed"
    """One person has it, until the claim expires."""
    AWAITING_APPROVAL = "awaiting_approval"
    """A second person is asked whether it may be closed as proposed."""
    CLOSED = "closed"


class CaseAction(StrEnum):
    """What happens to a case; history names each by its word."""

    JOIN = "join"
    """Another signal about the same matter."""
    CLAIM = "claim"
    ASSIGN = "assign"
    """A lead gives it to somebody."""
    RELEASE = "release"
    LAPSE = "lapse"
    """The claim expired."""
    ESCALATE = "escalate"
    PRIORITISE = "prioritise"
    NOTE = "note"
    EVIDENCE = "evidence"
    LINK = "link"
    PROPOSE = "propose"
    """Asks a second person for a yes to the closing."""
    DECLINE = "decline"
    """The second person said no, the wish was taken back, or it ran out of time."""
    APPROVE = "approve"
    CLOSE = "close"
    CONCLUDE = "conclude"
    """The room that knows how the matter ended says so."""
    REOPEN = "reopen"
    TURN = "turn"
    """Time passed a mark of the service level."""


def _moves() -> dict[tuple[CaseState, CaseAction], CaseState]:
    s, a = CaseState, CaseAction
    moves = {
        (s.OPEN, a.CLAIM): s.CLAIMED,
        (s.OPEN, a.ASSIGN): s.CLAIMED,
        (s.OPEN, a.ESCALATE): s.OPEN,
        (s.OPEN, a.CONCLUDE): s.CLOSED,
        (s.CLAIMED, a.CLAIM): s.CLAIMED,
        (s.CLAIMED, a.ASSIGN): s.CLAIMED,
        (s.CLAIMED, a.RELEASE): s.OPEN,
        (s.CLAIMED, a.LAPSE): s.OPEN,
        (s.CLAIMED, a.ESCALATE): s.OPEN,
        (s.CLAIMED, a.EVIDENCE): s.CLAIMED,
        (s.CLAIMED, a.PROPOSE): s.AWAITING_APPROVAL,
        (s.CLAIMED, a.CLOSE): s.CLOSED,
        (s.CLAIMED, a.CONCLUDE): s.CLOSED,
        (s.AWAITING_APPROVAL, a.DECLINE): s.OPEN,
        (s.AWAITING_APPROVAL, a.APPROVE): s.CLOSED,
        (s.AWAITING_APPROVAL, a.CONCLUDE): s.CLOSED,
        (s.CLOSED, a.REOPEN): s.OPEN,
    }
    for state in (s.OPEN, s.CLAIMED, s.AWAITING_APPROVAL):
        for action in (a.JOIN, a.PRIORITISE, a.TURN):
            moves[state, action] = state
    for state in s:
        moves[state, a.NOTE] = moves[state, a.LINK] = state
    return moves


MOVES: Mapping[tuple[CaseState, CaseAction], CaseState] = MappingProxyType(_moves())
"""The state machine: what an action makes of a state; a pair that is not here is refused."""


@dataclass(frozen=True, slots=True)
class EventRef:
    """The event that a case is about, as the features name it: kind, and id in the kind."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a case, since when (business instant), and until when (real instant)."""

    by: str
    at: datetime
    until_wall_at: datetime


@dataclass(frozen=True, slots=True)
class Proposal:
    """The closing that a second person is asked about."""

    outcome: str
    by: str
    approval: UUID


@dataclass(frozen=True, slots=True)
class Closing:
    """How, by whom and when (business instant) a case was closed; who approved it, if anybody."""

    outcome: str
    by: str
    at: datetime
    approved_by: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One matter for people.

    Attributes
    ----------
    kind : name of a `CaseKind`
    subject : `noun:id` of what it is about
    dedup_key : of two signals of one kind and key, the second joins the open case of the first
    version : grows by one with every change of the case
    skill : entitlement of those who may work it: the kind's, or that of the group it went to
    colour : as last written down; `marks.colour(now)` is the one of an instant
    signals : how often it was signalled
    breached_at : when the service level was broken, once that was written down
    event : what the outcome's label is about, where it is about an event
    kept_from : actors who have a part in the matter and do not work it
    """

    id: UUID
    kind: str
    subject: str
    dedup_key: str
    state: CaseState
    version: int
    priority: Priority
    skill: str
    marks: Marks
    colour: Colour
    opened_at: datetime
    opened_by: str
    signals: int = 1
    signalled_at: datetime | None = None
    group: str | None = None
    breached_at: datetime | None = None
    event: EventRef | None = None
    kept_from: tuple[str, ...] = ()
    claim: Claim | None = None
    proposal: Proposal | None = None
    closing: Closing | None = None
    reopened: int = 0

    @property
    def is_within_sla(self) -> bool:
        """Whether a closed case was closed in time."""
        return self.closing is not None and self.closing.at < self.marks.due_at

    @property
    def next_mark_at(self) -> datetime | None:
        """The next instant at which time changes the case; None when nothing is left to come."""
        if self.state is CaseState.CLOSED or self.breached_at is not None:
            return None
        left = {Colour.GREEN: self.marks.amber_at, Colour.AMBER: self.marks.red_at}
        return left.get(self.colour, self.marks.due_at)

    def moved(self, action: CaseAction) -> CaseState:
        """Return the state that an action leads to.

        Refusals
        --------
        case_state_forbids
        """
        after = MOVES.get((self.state, action))
        if after is None:
            raise CaseStateForbids(case=self.id, present=self.state.value, action=action.value)
        return after

    def must_be_workable_by(self, actor: str) -> None:
        """Refuse who is no person of the house, or has a part in the matter.

        Refusals
        --------
        case_needs_a_person, case_is_kept_from_you
        """
        must_be_a_person(actor)
        if actor in self.kept_from:
            raise CaseIsKeptFromYou(case=self.id)

    def must_be_with(self, actor: str, wall_at: datetime) -> None:
        """Refuse who does not have the case, or whose claim has expired.

        Refusals
        --------
        case_is_not_yours
        """
        claim = self.claim
        if claim is None or claim.by != actor or claim.until_wall_at <= wall_at:
            raise CaseIsNotYours(case=self.id)

    def claimed(self, claim: Claim, *, wall_at: datetime) -> Case:
        """Return the case in somebody's hands; one's own claim is renewed, an expired one taken.

        Refusals
        --------
        case_state_forbids, case_needs_a_person, case_is_kept_from_you, case_is_claimed
        """
        state = self.moved(CaseAction.CLAIM)
        self.must_be_workable_by(claim.by)
        held = self.claim
        if held is not None and held.by != claim.by and held.until_wall_at > wall_at:
            until = held.until_wall_at.isoformat(timespec="seconds")
            raise CaseIsClaimed(case=self.id, assignee=held.by, until=until)
        return replace(self, state=state, claim=claim)

    def assigned(self, claim: Claim) -> Case:
        """Return the case in the hands of whom a lead names, whoever had it.

        Refusals
        --------
        case_state_forbids, case_needs_a_person, case_is_kept_from_you
        """
        state = self.moved(CaseAction.ASSIGN)
        self.must_be_workable_by(claim.by)
        return replace(self, state=state, claim=claim)

    def freed(self, action: CaseAction) -> Case:
        """Return the case in nobody's hands (by release, lapse or decline).

        Refusals
        --------
        case_state_forbids
        """
        return replace(self, state=self.moved(action), claim=None, proposal=None)

    def escalated(self, group: CaseGroup) -> Case:
        """Return the case in the queue of a group, one step more urgent; its clock runs on.

        Refusals
        --------
        case_state_forbids
        """
        state = self.moved(CaseAction.ESCALATE)
        return replace(
            self,
            state=state,
            claim=None,
            group=group.name,
            skill=group.skill,
            priority=self.priority.raised,
        )

    def joined(self, kind: CaseKind, priority: Priority | None, now: datetime) -> Case:
        """Return the case with one more signal; its priority rises, and never falls.

        Refusals
        --------
        case_state_forbids
        """
        state = self.moved(CaseAction.JOIN)
        signals = self.signals + 1
        rises = self.priority.raised if signals in kind.rises_at else self.priority
        return replace(
            self,
            state=state,
            signals=signals,
            signalled_at=now,
            priority=max(rises, priority or rises),
        )

    def proposed(self, proposal: Proposal) -> Case:
        """Return the case waiting for a second person's yes.

        Refusals
        --------
        case_state_forbids
        """
        state = self.moved(CaseAction.PROPOSE)
        return replace(self, state=state, claim=None, proposal=proposal)

    def closed(self, closing: Closing, action: CaseAction = CaseAction.CLOSE) -> Case:
        """Return the case closed.

        Refusals
        --------
        case_state_forbids
        """
        state = self.moved(action)
        return replace(self, state=state, claim=None, proposal=None, closing=closing)

    def reopen(self, marks: Marks, now: datetime) -> Case:
        """Return the case open again, with a service level of its own from now on.

        Refusals
        --------
        case_state_forbids
        """
        return replace(
            self,
            state=self.moved(CaseAction.REOPEN),
            closing=None,
            marks=marks,
            colour=marks.colour(now),
            breached_at=None,
            reopened=self.reopened + 1,
        )

    def turned(self, now: datetime) -> Case:
        """Return the case with the colour of an instant, and its breach if it is due.

        Refusals
        --------
        case_state_forbids
        """
        self.moved(CaseAction.TURN)
        due_at = self.marks.due_at
        breached = self.breached_at or (due_at if now >= due_at else None)
        return replace(self, colour=self.marks.colour(now), breached_at=breached)


def must_be_a_person(actor: str) -> None:
    """Refuse who is no person of the house.

    Refusals
    --------
    case_needs_a_person
    """
    if not actor.startswith("staff:"):
        raise CaseNeedsAPerson(actor=actor)
