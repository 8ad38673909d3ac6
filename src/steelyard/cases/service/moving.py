"""How a case is changed: row, history, audit and fact, all in the unit of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.telemetry.masking import mask_text
from steelyard.cases.model.case import Case, CaseAction
from steelyard.cases.model.refusals import TextHoldsPersonalData
from steelyard.cases.model.trail import HistoryLine, without_ids
from steelyard.cases.store import case as table
from steelyard.cases.store import trail


def subject_of(case: UUID) -> str:
    """Return the subject under which a case stands in the log and in the audit trail."""
    return f"case:{case}"


def move(
    unit: UnitOfWork,
    before: Case,
    after: Case,
    action: CaseAction,
    *,
    fact: Fact | None = None,
    detail: Mapping[str, object] | None = None,
) -> Case:
    """Write what an action made of a case whose row is held; return it at its new version."""
    table.change(unit.connection, before, after)
    after = replace(after, version=before.version + 1)
    write_lines(unit, [(before, after, action, detail or {})])
    if fact is not None:
        unit.record(fact, subject=subject_of(after.id))
    audit(
        unit,
        action=f"cases.{action.value}",
        subject=subject_of(after.id),
        detail={"kind": after.kind, **(detail or {})},
    )
    return after


def write_lines(
    unit: UnitOfWork, moved: Sequence[tuple[Case, Case, CaseAction, Mapping[str, object]]]
) -> None:
    """Append a line of history for each change of a case."""
    lines = [
        HistoryLine(
            sequence=0,
            case=after.id,
            version=after.version,
            at=unit.now,
            wall_at=unit.wall_at,
            actor=unit.actor,
            action=action.value,
            before=before.state,
            after=after.state,
            detail=detail,
        )
        for before, after, action, detail in moved
    ]
    trail.write_history(unit.connection, lines)


def check_text(text: str, where: str) -> str:
    """Return a text that is kept for ever, if it tells nothing personal by its shape.

    Refusals
    --------
    text_holds_personal_data
    """
    plain = without_ids(text)
    if mask_text(plain) != plain:
        raise TextHoldsPersonalData(where=where)
    return text
