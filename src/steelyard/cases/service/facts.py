"""The facts of cases; subject is `case:<id>`. No text that a person wrote is in them."""

from __future__ import annotations

from uuid import UUID

from steelyard.base import Fact


class CaseOpened(Fact, kind="cases.CaseOpened", version=1):
    """A matter waits for a person."""

    case: UUID
    case_kind: str
    about: str
    priority: int


class CaseSignalled(Fact, kind="cases.CaseSignalled", version=1):
    """Another signal about the matter of an open case came in."""

    case: UUID
    case_kind: str
    signals: int
    priority: int


class CaseClaimed(Fact, kind="cases.CaseClaimed", version=1):
    """A person has the case, by himself or because a lead gave it to him."""

    case: UUID
    case_kind: str
    by: str


class CaseReleased(Fact, kind="cases.CaseReleased", version=1):
    """Nobody has the case any more: it was released, its claim lapsed, or its closing declined."""

    case: UUID
    case_kind: str
    reason: str


class CaseEscalated(Fact, kind="cases.CaseEscalated", version=1):
    """The case went to a group."""

    case: UUID
    case_kind: str
    group: str


class CaseTurned(Fact, kind="cases.CaseTurned", version=1):
    """The case used up a share of its time."""

    case: UUID
    case_kind: str
    colour: str


class CaseBreached(Fact, kind="cases.CaseBreached", version=1):
    """The case was not closed in time."""

    case: UUID
    case_kind: str
    due_at_ms: int


class CaseClosingProposed(Fact, kind="cases.CaseClosingProposed", version=1):
    """A second person is asked whether the case may be closed so."""

    case: UUID
    case_kind: str
    outcome: str
    approval: UUID


class CaseClosed(Fact, kind="cases.CaseClosed", version=1):
    """The case ended; if its outcome proves something about an event, that is known from now on.

    `label_field`, `label_value`, `event_kind`, `event_id` and `known_at_ms` (business instant, in
    milliseconds since 1970) are all there or all missing: together they are one label.
    """

    case: UUID
    case_kind: str
    about: str
    outcome: str
    label_field: str | None = None
    label_value: int | None = None
    event_kind: str | None = None
    event_id: str | None = None
    known_at_ms: int | None = None


class CaseReopened(Fact, kind="cases.CaseReopened", version=1):
    """A closed case is open again; the label of its closing, if there was one, is in doubt."""

    case: UUID
    case_kind: str
    about: str
    label_field: str | None = None
    event_kind: str | None = None
    event_id: str | None = None
