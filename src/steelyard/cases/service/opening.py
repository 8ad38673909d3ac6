"""Opening: a room puts a matter before people, once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases.model.case import Case, CaseAction, CaseState, EventRef
from steelyard.cases.model.kind import Priority
from steelyard.cases.model.trail import HistoryLine, Link, check_reference
from steelyard.cases.service.facts import CaseOpened, CaseSignalled
from steelyard.cases.service.moving import move, subject_of
from steelyard.cases.service.registry import kind_of
from steelyard.cases.store import case as table
from steelyard.cases.store import trail

_ATTEMPTS = 5


class Opening(StrEnum):
    """What became of a signal."""

    OPENED = "opened"
    JOINED = "joined"
    """A case about the matter was open: it has one signal more."""
    KNOWN = "known"
    """The source had signalled before: nothing was changed."""


@dataclass(frozen=True, slots=True)
class OpenedCase:
    """A case, and what the signal did to it."""

    case: Case
    how: Opening


def open_case(
    unit: UnitOfWork,
    kind: str,
    subject: str,
    *,
    dedup_key: str | None = None,
    source: str | None = None,
    priority: Priority | None = None,
    event: EventRef | None = None,
    skill: str | None = None,
    links: tuple[str, ...] = (),
    kept_from: tuple[str, ...] = (),
) -> OpenedCase:
    """Open a case, or let the signal join the open case about the same matter.

    Parameters
    ----------
    kind : name of a registered kind
    subject : `noun:id` of what it is about
    dedup_key : what "the same matter" is; the subject unless told otherwise
    source : `noun:id` of what signals (alert, decision, fact); sent again it changes nothing, even
        when the case is closed by then. Without it each call is a signal of its own
    priority : at least this; the kind's own by default
    event : what the outcome's label is about
    skill : entitlement of those who may work it, instead of the kind's
    links : further `noun:id` that it has to do with
    kept_from : actors with a part in the matter, who do not work it

    Returns
    -------
    OpenedCase
        Of several callers at once with one kind and key, one opens and the others join.

    Refusals
    --------
    case_kind_is_unknown, reference_is_malformed
    """
    known = kind_of(kind)
    check_reference(subject, "subject")
    for link in links:
        check_reference(link, "links")
    if source is not None:
        check_reference(source, "source")
        before = trail.read_signal(unit.connection, kind, source)
        if before is not None:
            return OpenedCase(table.read(unit.connection, before), Opening.KNOWN)
    marks = known.sla.marks(unit.now)
    fresh = Case(
        id=unit.new_id(),
        kind=kind,
        subject=subject,
        dedup_key=dedup_key or subject,
        state=CaseState.OPEN,
        version=1,
        priority=priority or known.priority,
        skill=skill or known.skill,
        marks=marks,
        colour=marks.colour(unit.now),
        opened_at=unit.now,
        opened_by=unit.actor,
        signalled_at=unit.now,
        event=event,
        kept_from=kept_from,
    )
    opened = _insert_or_join(unit, fresh, source, priority)
    for target in links:
        trail.insert_link(unit.connection, opened.case.id, Link(target, unit.now, unit.actor))
    return opened


def _insert_or_join(
    unit: UnitOfWork, fresh: Case, source: str | None, priority: Priority | None
) -> OpenedCase:
    for _ in range(_ATTEMPTS):
        if table.insert(unit.connection, fresh):
            if source is not None and not trail.insert_signal(
                unit.connection, fresh, source, unit.now
            ):
                raise AssertionError("one source signals two matters at once")
            _enter(unit, fresh, source)
            return OpenedCase(fresh, Opening.OPENED)
        present = table.lock_open(unit.connection, fresh.kind, fresh.dedup_key)
        if present is not None:
            return _join(unit, present, source, priority)
        # The open case was closed between the two statements: the matter is open to a new one.
    raise AssertionError("a case is opened and closed all the time")


def _enter(unit: UnitOfWork, case: Case, source: str | None) -> None:
    detail = {"kind": case.kind, "subject": case.subject, "source": source}
    line = HistoryLine(
        sequence=0,
        case=case.id,
        version=1,
        at=unit.now,
        wall_at=unit.wall_at,
        actor=unit.actor,
        action="open",
        before=None,
        after=case.state,
        detail={**detail, "priority": int(case.priority)},
    )
    trail.write_history(unit.connection, [line])
    fact = CaseOpened(
        case=case.id, case_kind=case.kind, about=case.subject, priority=int(case.priority)
    )
    unit.record(fact, subject=subject_of(case.id))
    audit(unit, action="cases.open", subject=subject_of(case.id), detail=detail)


def _join(
    unit: UnitOfWork, present: Case, source: str | None, priority: Priority | None
) -> OpenedCase:
    if source is not None and not trail.insert_signal(unit.connection, present, source, unit.now):
        return OpenedCase(present, Opening.KNOWN)
    after = present.joined(kind_of(present.kind), priority, unit.now)
    fact = CaseSignalled(
        case=present.id,
        case_kind=present.kind,
        signals=after.signals,
        priority=int(after.priority),
    )
    detail = {"source": source, "signals": after.signals, "priority": int(after.priority)}
    return OpenedCase(
        move(unit, present, after, CaseAction.JOIN, fact=fact, detail=detail), Opening.JOINED
    )
