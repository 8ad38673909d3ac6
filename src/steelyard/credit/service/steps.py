"""How an application moves: its row, its step, its fact and its line in the trail, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from steelyard.base import Fact, UnitOfWork
from steelyard.base.audit import audit
from steelyard.credit.model.application import MOVES, Application, ApplicationState, Step
from steelyard.credit.store import applications as table


def enter(unit: UnitOfWork, application: Application) -> bool:
    """Write a new application down; return False where it is there already."""
    if not table.insert(unit.connection, application):
        return False
    detail = {"product": f"{application.product}@{application.product_version}"}
    _trace(unit, application, None, application.version, detail)
    return True


def move(
    unit: UnitOfWork,
    before: Application,
    state: ApplicationState,
    *,
    fact: Fact | None = None,
    detail: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
    **fields: Any,
) -> Application:
    """Take an application one step on, and return it as it is then.

    Parameters
    ----------
    detail : kept with the step; no personal data
    expires_at : of what it waits for now; None: as it was
    fields : of the application, that change with the step

    Refusals
    --------
    application_has_changed
    """
    assert state is before.state or state in MOVES[before.state], f"{before.state} to {state}"
    after = replace(
        before,
        state=state,
        changed_at=unit.now,
        expires_at=before.expires_at if expires_at is None else expires_at,
        **fields,
    )
    table.change(unit.connection, before, after)
    after = replace(after, version=before.version + 1)
    _trace(unit, after, before.state, after.version, detail or {})
    if fact is not None:
        unit.record(fact, subject=after.subject)
    return after


def _trace(
    unit: UnitOfWork,
    application: Application,
    before: ApplicationState | None,
    version: int,
    detail: Mapping[str, Any],
) -> None:
    step = Step(
        application.id, version, unit.now, unit.actor, before, application.state, dict(detail)
    )
    unit.at_commit("credit.steps", step, lambda u, steps: table.insert_steps(u.connection, steps))
    audit(
        unit,
        action=f"credit.application_{application.state}",
        subject=application.subject,
        detail=detail,
    )
