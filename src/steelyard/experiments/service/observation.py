"""Assigning units, exposing them once, recording what became of them, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.experiments.model.experiment import Experiment, State
from steelyard.experiments.model.refusals import ExperimentIsNotRunning, MetricIsUnknown
from steelyard.experiments.model.results import Results, results_of
from steelyard.experiments.service.facts import Exposed, OutcomeRecorded
from steelyard.experiments.store import experiment as table
from steelyard.experiments.store import observation


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which arm a unit has in a version of an experiment.

    Attributes
    ----------
    version : None where no version assigns units now
    arm : None where the unit takes no part: it is outside the slots, or nothing runs
    """

    experiment: str
    version: int | None
    unit: str
    arm: str | None


class Recording(StrEnum):
    """What became of an outcome that was handed in."""

    RECORDED = "recorded"
    REPEATED = "repeated"
    """It was there before, the same."""
    DIFFERS = "differs"
    """Another one was there before, and stays."""
    NOT_EXPOSED = "not_exposed"
    """The unit never met an arm, so that it has no part in the comparison."""


def assign(
    connection: sa.Connection, name: str, units: Iterable[str], *, now: datetime
) -> tuple[Assignment, ...]:
    """Return the arms that units have, in order; nothing is written.

    Refusals
    --------
    experiment_is_unknown, unit_is_malformed
    """
    running = table.find_in_state(connection, name, State.RUNNING)
    if running is None:
        table.read(connection, name)
    return _assignments(name, running, units, now)


def expose(unit_of_work: UnitOfWork, name: str, units: Iterable[str]) -> tuple[Assignment, ...]:
    """Return the arms that units have, in order, and record for each that it met its arm, once.

    Refusals
    --------
    experiment_is_unknown, unit_is_malformed
    """
    connection, now = unit_of_work.connection, unit_of_work.now
    running = table.find_running(connection, name)
    if running is None:
        table.read(connection, name)
    assignments = _assignments(name, running, units, now)
    arms = {found.unit: found.arm for found in assignments if found.arm is not None}
    if running is None or not arms:
        return assignments
    for unit in observation.expose(connection, running, arms, now):
        fact = Exposed(
            experiment=name, experiment_version=running.version, unit=unit, arm=arms[unit]
        )
        unit_of_work.record(fact, subject=f"exposure:{name}@{running.version}/{unit}")
    return assignments


def record_outcomes(
    unit_of_work: UnitOfWork,
    name: str,
    version: int,
    metric: str,
    outcomes: Sequence[tuple[str, int | Decimal | str]],
) -> tuple[Recording, ...]:
    """Record what became of exposed units in one metric, once for each; also after the stop.

    An outcome is final when it is handed in: wait until it is known. One answer for each, in order.

    Refusals
    --------
    experiment_is_unknown, experiment_is_not_running : it never was started
    metric_is_unknown, outcome_is_wrong
    """
    connection = unit_of_work.connection
    experiment = table.read(connection, name, version)
    if experiment.state in (State.DRAFT, State.DROPPED):
        raise ExperimentIsNotRunning(name=name, version=version, state=experiment.state)
    measured = experiment.metric(metric)
    if measured is None:
        raise MetricIsUnknown(name=name, version=version, metric=metric)
    values = [(unit, measured.scaled(outcome)) for unit, outcome in outcomes]
    exposed = observation.exposed_among(connection, experiment, [unit for unit, _ in values])
    first = {unit: value for unit, value in reversed(values) if unit in exposed}
    new = observation.record(connection, experiment, metric, first, unit_of_work.now)
    for unit in sorted(new):
        fact = OutcomeRecorded(
            experiment=name,
            experiment_version=version,
            unit=unit,
            metric=metric,
            value=first[unit],
        )
        unit_of_work.record(fact, subject=f"outcome:{name}@{version}/{metric}/{unit}")
    kept = observation.recorded(connection, experiment, metric, list(first))
    answers = []
    for unit, value in values:
        if unit not in exposed:
            answers.append(Recording.NOT_EXPOSED)
        elif kept[unit] != value:
            answers.append(Recording.DIFFERS)
        else:
            answers.append(Recording.RECORDED if unit in new else Recording.REPEATED)
            new.discard(unit)
    return tuple(answers)


def read_results(
    connection: sa.Connection, name: str, version: int | None = None, *, as_of: datetime
) -> Results:
    """Return what a version says at an instant, the newest version if none is named.

    Refusals
    --------
    experiment_is_unknown
    """
    experiment = table.read(connection, name, version)
    exposed = observation.count_exposed(connection, experiment, as_of)
    return results_of(experiment, exposed, observation.tally(connection, experiment, as_of), as_of)


def _assignments(
    name: str, running: Experiment | None, units: Iterable[str], now: datetime
) -> tuple[Assignment, ...]:
    if running is None or not running.assigns_at(now):
        return tuple(Assignment(name, None, unit, None) for unit in units)
    return tuple(Assignment(name, running.version, unit, running.arm_of(unit)) for unit in units)
