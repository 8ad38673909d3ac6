"""What sorts of case there are: their service level, outcomes, skill and rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from steelyard.cases.model.refusals import GroupIsUnknown, OutcomeIsUnknown
from steelyard.cases.model.sla import Sla

_KIND = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
WORK = "cases.work"
"""The entitlement that everybody has who works cases at all."""


class Priority(IntEnum):
    """Which case comes first; a larger one before a smaller one."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4

    @property
    def raised(self) -> Priority:
        """The next priority up; urgent stays urgent."""
        return Priority(min(self + 1, Priority.URGENT))


@dataclass(frozen=True, slots=True)
class Label:
    """What an outcome says about the event that the case is about.

    Attributes
    ----------
    field : one of the event kind's labels, e.g. `is_fraud`
    value : whole number; 0 and 1 for no and yes
    """

    field: str
    value: int


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """One way in which a case ends.

    Attributes
    ----------
    name : stable; en, zh : for people
    label : fed back to the features; None where the outcome proves nothing
    """

    name: str
    en: str
    zh: str
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """People to whom cases are escalated.

    Attributes
    ----------
    skill : entitlement that makes somebody one of them
    """

    name: str
    skill: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class CaseKind:
    """A sort of case, as a room registers it when it is imported.

    Attributes
    ----------
    name : `room.noun`
    sla : until when it is to be closed
    outcomes : how it can end; at least one
    priority : unless the one who opens says otherwise
    skill : entitlement of those who work it, besides `cases.work`
    four_eyes : a second person approves each closing (the approval lives in `parties`)
    required_evidence : kinds of evidence without which it cannot be closed
    rises_at : numbers of signals at which the priority rises one step
    escalates_to : names of groups; none: every group
    claim_lives : real time for which a claim holds unless renewed
    is_settled_elsewhere : people look at it here and settle it in its own room, whose word closes
        it

    Examples
    --------
    >>> kind = CaseKind("shop.complaint", "Complaint", "投诉", Sla(timedelta(days=1)),
    ...                 (CaseOutcome("justified", "Justified", "属实", Label("is_bad", 1)),))
    >>> kind.outcome("justified").label.value
    1
    """

    name: str
    en: str
    zh: str
    sla: Sla
    outcomes: tuple[CaseOutcome, ...]
    priority: Priority = Priority.NORMAL
    skill: str = WORK
    four_eyes: bool = False
    required_evidence: tuple[str, ...] = ()
    rises_at: tuple[int, ...] = ()
    escalates_to: tuple[str, ...] = ()
    claim_lives: timedelta = timedelta(minutes=30)
    is_settled_elsewhere: bool = False

    def __post_init__(self) -> None:
        assert _KIND.fullmatch(self.name), f"{self.name} is not room.noun"
        assert _KIND.fullmatch(self.skill), f"{self.skill} is not room.verb"
        assert self.en, f"{self.name} has no English name"
        assert self.zh, f"{self.name} has no Chinese name"
        names = [outcome.name for outcome in self.outcomes]
        assert names, f"{self.name} never ends"
        assert len(set(names)) == len(names), f"{self.name} has an outcome twice"
        assert all(_NAME.fullmatch(n) for n in (*names, *self.required_evidence)), self.name
        assert all(n > 1 for n in self.rises_at), "the first signal opens the case"
        assert timedelta(0) < self.claim_lives <= timedelta(days=1), "a claim ends"

    def outcome(self, name: str) -> CaseOutcome:
        """Return an outcome by name.

        Refusals
        --------
        outcome_is_unknown
        """
        for one in self.outcomes:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.outcomes)
        raise OutcomeIsUnknown(outcome=name, kind=self.name, known=known)

    def must_escalate_to(self, group: str) -> None:
        """Refuse a group that cases of this kind do not go to.

        Refusals
        --------
        group_is_unknown
        """
        if self.escalates_to and group not in self.escalates_to:
            raise GroupIsUnknown(group=group, known=", ".join(self.escalates_to))
