"""Drafting, starting and stopping experiments; two people start and stop."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.experiments.model.assignment import moved
from steelyard.experiments.model.experiment import Draft, Experiment, State, next_allocation
from steelyard.experiments.model.refusals import SlotsAreTaken
from steelyard.experiments.service.facts import (
    ExperimentDrafted,
    ExperimentStarted,
    ExperimentStopped,
)
from steelyard.experiments.store import experiment as table
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.parties import approvals

START = approvals.approval_kind(
    "experiments.start",
    verb="experiments.approve",
    en="Start an experiment",
    zh="启动实验",
)
STOP = approvals.approval_kind(
    "experiments.stop",
    verb="experiments.approve",
    en="Stop an experiment",
    zh="停止实验",
)


def draft_experiment(unit: UnitOfWork, draft: Draft) -> Experiment:
    """Propose an experiment, or a next version of one; an open draft of it is dropped.

    Returns
    -------
    Experiment
        Of version 1, or one more than the newest; without a salt of its own it moves as few units
        as there can be from the arms they have.

    Refusals
    --------
    experiment_is_malformed, arms_are_wrong, weights_do_not_add_up
    """
    draft.check()
    table.hold_name(unit.connection, draft.name)
    newest = table.newest(unit.connection, draft.name)
    open_draft = table.find_in_state(unit.connection, draft.name, State.DRAFT)
    if open_draft is not None:
        table.change(unit.connection, open_draft, replace(open_draft, state=State.DROPPED))
    salt, allocation = next_allocation(draft, _that_ran(unit.connection, draft.name))
    experiment = Experiment(
        draft=replace(draft, salt=salt),
        version=1 if newest is None else newest.version + 1,
        allocation=allocation,
        state=State.DRAFT,
        drafted_by=unit.actor,
        drafted_at=unit.now,
    )
    table.insert(unit.connection, experiment)
    fact = ExperimentDrafted(name=experiment.name, experiment_version=experiment.version)
    unit.record(fact, subject=experiment.subject)
    _audit(unit, experiment, "draft")
    return experiment


def shown_of_start(connection: sa.Connection, experiment: Experiment) -> dict[str, object]:
    """Return what a checker is shown of an experiment that is to start."""
    draft = experiment.draft
    running = table.find_in_state(connection, experiment.name, State.RUNNING)
    shown: dict[str, object] = {
        "hypothesis": draft.hypothesis,
        "unit": draft.unit,
        "arms": {arm.name: arm.weight_bp for arm in draft.arms},
        "metrics": [f"{m.name} {m.kind} {m.better}" for m in draft.metrics],
        "layer": draft.layer,
        "slots": [draft.slots.start, draft.slots.stop],
        "salt": experiment.salt,
        "alpha_bp": draft.alpha_bp,
        "planned_units": draft.planned_units,
        "starts_at": None if draft.starts_at is None else draft.starts_at.isoformat(),
        "ends_at": None if draft.ends_at is None else draft.ends_at.isoformat(),
    }
    if running is not None:
        is_moving = running.salt == experiment.salt
        shown["replaces_version"] = running.version
        shown["moved_bp"] = moved(running.allocation, experiment.allocation) if is_moving else None
    return shown


def shown_of_stop(experiment: Experiment) -> dict[str, object]:
    """Return what a checker is shown of an experiment that is to stop."""
    started = experiment.started_at
    return {"started_at": None if started is None else started.isoformat()}


def request_start(unit: UnitOfWork, name: str, version: int) -> approvals.Approval:
    """Ask for a second person's yes to the start of a draft.

    Refusals
    --------
    experiment_is_unknown, experiment_is_not_draft, experiment_is_over
    """
    experiment = table.read(unit.connection, name, version)
    experiment.must_start_at(unit.now)
    return approvals.request_approval(
        unit,
        kind=START.name,
        subject=_version(experiment),
        shown=shown_of_start(unit.connection, experiment),
        by=unit.actor,
    )


def request_stop(unit: UnitOfWork, name: str, version: int) -> approvals.Approval:
    """Ask for a second person's yes to the stop of a running version.

    Refusals
    --------
    experiment_is_unknown, experiment_is_not_running
    """
    experiment = table.read(unit.connection, name, version)
    experiment.must_run()
    return approvals.request_approval(
        unit,
        kind=STOP.name,
        subject=_version(experiment),
        shown=shown_of_stop(experiment),
        by=unit.actor,
    )


def start_experiment(unit: UnitOfWork, name: str, version: int, *, approval: UUID) -> Experiment:
    """Start a draft, as two people want it; a running version of it is stopped with the same cause.

    Refusals
    --------
    experiment_is_unknown, experiment_is_not_draft, experiment_is_over, slots_are_taken
    and those of `consume_approval`
    """
    table.hold_name(unit.connection, name)
    experiment = table.lock(unit.connection, name, version)
    experiment.must_start_at(unit.now)
    other = table.taken_by(unit.connection, experiment.draft)
    if other is not None:
        raise SlotsAreTaken(layer=experiment.draft.layer, other=other)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=START.name,
        subject=_version(experiment),
        shown=shown_of_start(unit.connection, experiment),
    )
    running = table.find_in_state(unit.connection, name, State.RUNNING)
    if running is not None:
        _stop(unit, table.lock(unit.connection, name, running.version), cause)
    after = replace(experiment, state=State.RUNNING, started_at=unit.now, cause=cause)
    table.change(unit.connection, experiment, after)
    fact = ExperimentStarted(name=name, experiment_version=version, cause=cause)
    unit.record(fact, subject=experiment.subject)
    _audit(unit, after, "start")
    return after


def stop_experiment(unit: UnitOfWork, name: str, version: int, *, approval: UUID) -> Experiment:
    """Stop a running version, as two people want it; outcomes may still come in.

    Refusals
    --------
    experiment_is_unknown, experiment_is_not_running and those of `consume_approval`
    """
    table.hold_name(unit.connection, name)
    experiment = table.lock(unit.connection, name, version)
    experiment.must_run()
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=STOP.name,
        subject=_version(experiment),
        shown=shown_of_stop(experiment),
    )
    return _stop(unit, experiment, cause)


def end_experiment(unit: UnitOfWork, name: str, version: int, *, cause: str) -> Experiment:
    """Stop a running version because what it compared was decided on, for the cause of that.

    Parameters
    ----------
    cause : the approval that another room has consumed in this transaction

    Refusals
    --------
    experiment_is_unknown, experiment_is_not_running
    """
    table.hold_name(unit.connection, name)
    experiment = table.lock(unit.connection, name, version)
    experiment.must_run()
    return _stop(unit, experiment, cause)


def read_experiment(connection: sa.Connection, name: str, version: int | None = None) -> Experiment:
    """Return a version of an experiment, the newest one if none is named.

    Refusals
    --------
    experiment_is_unknown
    """
    return table.read(connection, name, version)


def list_experiments(
    connection: sa.Connection,
    *,
    state: State | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Experiment]:
    """Return a page of experiments by name, each in its newest version (in a state, if given).

    Refusals
    --------
    cursor_is_invalid
    """
    after = str(decode_cursor(cursor, str)[0]) if cursor else ""
    found = table.list_newest(connection, state=state, after=after, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(items[-1].name) if len(found) > limit else None)


def _that_ran(connection: sa.Connection, name: str) -> Experiment | None:
    """Return the version whose arms people have: the running one, else the last that ran."""
    running = table.find_in_state(connection, name, State.RUNNING)
    return running or table.find_in_state(connection, name, State.STOPPED)


def _stop(unit: UnitOfWork, experiment: Experiment, cause: str) -> Experiment:
    after = replace(experiment, state=State.STOPPED, stopped_at=unit.now, stop_cause=cause)
    table.change(unit.connection, experiment, after)
    fact = ExperimentStopped(
        name=experiment.name, experiment_version=experiment.version, cause=cause
    )
    unit.record(fact, subject=experiment.subject)
    _audit(unit, after, "stop")
    return after


def _version(experiment: Experiment) -> str:
    return f"{experiment.subject}@{experiment.version}"


def _audit(unit: UnitOfWork, experiment: Experiment, action: str) -> None:
    audit(
        unit,
        action=f"experiments.{action}",
        subject=experiment.subject,
        detail={"version": experiment.version},
    )
