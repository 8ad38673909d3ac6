"""What is asked about cases, and what is counted over them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from steelyard.cases.model.case import Case, CaseState
from steelyard.cases.model.sla import Colour
from steelyard.cases.model.trail import Evidence, Link, Note


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases somebody asks for; None is any.

    Attributes
    ----------
    colour : at the instant of asking, of cases that are not closed
    subject : what a case is about or linked to
    """

    state: CaseState | None = None
    kind: str | None = None
    colour: Colour | None = None
    assignee: str | None = None
    subject: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """A place in the queue: what the order of the queue is made of, and when it was asked."""

    now: datetime
    priority: int
    rank: int
    opened_at: datetime
    case: UUID


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case with everything that was put beside it, oldest first."""

    case: Case
    notes: tuple[Note, ...]
    evidence: tuple[Evidence, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class OpenCases:
    """Cases of a kind and colour that are not closed; ages in whole seconds."""

    kind: str
    colour: Colour
    cases: int
    oldest_at: datetime
    age_s_p50: int
    age_s_p90: int
    age_s_p99: int


@dataclass(frozen=True, slots=True)
class ClosedOn:
    """Closings of a kind on a local date, and how many of them were in time."""

    on: date
    kind: str
    cases: int
    within_sla: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the queue stands at an instant.

    Attributes
    ----------
    open_cases, closed : by kind and colour; by local date and kind
    oldest : the case open for longest, None in an empty queue
    ages_s : 50th, 90th and 99th percentile of the open cases' ages, None in an empty queue
    """

    at: datetime
    open_cases: tuple[OpenCases, ...]
    oldest: Case | None
    ages_s: tuple[int, int, int] | None
    closed: tuple[ClosedOn, ...]

    @property
    def sla_met_bp(self) -> int | None:
        """Share of the closings that were in time, in basis points, rounded down; None of none."""
        cases = sum(one.cases for one in self.closed)
        within = sum(one.within_sla for one in self.closed)
        return within * 10_000 // cases if cases else None
