"""Table of the versions of experiments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError

from steelyard.experiments.model.assignment import Span
from steelyard.experiments.model.experiment import (
    Arm,
    Better,
    Draft,
    Experiment,
    Metric,
    MetricKind,
    Slots,
    State,
)
from steelyard.experiments.model.refusals import ExperimentIsUnknown, SlotsAreTaken


def hold_name(connection: sa.Connection, name: str) -> None:
    """Keep others from drafting or starting under the name until the transaction ends."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('experiments:' || :name, 0))"),
        {"name": name},
    )


def insert(connection: sa.Connection, experiment: Experiment) -> None:
    """Insert a draft."""
    draft = experiment.draft
    statement = sa.text(
        "INSERT INTO experiments.experiment (name, version, hypothesis, unit_noun, arms, metrics,"
        " allocation, salt, layer, slot_start, slot_stop, alpha_bp, planned_units, starts_at,"
        " ends_at, state, drafted_by, drafted_at)"
        " VALUES (:name, :version, :hypothesis, :unit, :arms, :metrics, :allocation, :salt,"
        " :layer, :slot_start, :slot_stop, :alpha_bp, :planned_units, :starts_at, :ends_at, :state,"
        " :by, :at)"
    ).bindparams(*(sa.bindparam(name, type_=JSONB) for name in ("arms", "metrics", "allocation")))
    connection.execute(
        statement,
        {
            "name": draft.name,
            "version": experiment.version,
            "hypothesis": draft.hypothesis,
            "unit": draft.unit,
            "arms": [[arm.name, arm.weight_bp] for arm in draft.arms],
            "metrics": [[m.name, m.kind, m.better, m.decimals] for m in draft.metrics],
            "allocation": [[s.arm, s.start, s.stop] for s in experiment.allocation],
            "salt": draft.salt,
            "layer": draft.layer,
            "slot_start": draft.slots.start,
            "slot_stop": draft.slots.stop,
            "alpha_bp": draft.alpha_bp,
            "planned_units": draft.planned_units,
            "starts_at": draft.starts_at,
            "ends_at": draft.ends_at,
            "state": experiment.state,
            "by": experiment.drafted_by,
            "at": experiment.drafted_at,
        },
    )


def change(connection: sa.Connection, before: Experiment, after: Experiment) -> None:
    """Bring a version from one state to the next.

    Refusals
    --------
    slots_are_taken : by a version that was started at the same time
    """
    try:
        done = connection.execute(
            sa.text(
                "UPDATE experiments.experiment SET state = :state, started_at = :started_at,"
                " stopped_at = :stopped_at, cause = :cause, stop_cause = :stop_cause"
                " WHERE name = :name AND version = :version AND state = :before"
            ),
            {
                "name": before.name,
                "version": before.version,
                "before": before.state,
                "state": after.state,
                "started_at": after.started_at,
                "stopped_at": after.stopped_at,
                "cause": after.cause,
                "stop_cause": after.stop_cause,
            },
        )
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.ExclusionViolation):
            raise SlotsAreTaken(layer=after.draft.layer, other="?") from error
        raise
    assert done.rowcount == 1, "the row is held"


def taken_by(connection: sa.Connection, draft: Draft) -> str | None:
    """Return another running experiment on some of the slots of a draft, None if there is none."""
    found: str | None = connection.execute(
        sa.text(
            "SELECT name FROM experiments.experiment WHERE state = 'running' AND layer = :layer"
            " AND name <> :name AND slot_start < :stop AND slot_stop > :start ORDER BY name LIMIT 1"
        ),
        {
            "layer": draft.layer,
            "name": draft.name,
            "start": draft.slots.start,
            "stop": draft.slots.stop,
        },
    ).scalar()
    return found


def read(connection: sa.Connection, name: str, version: int | None = None) -> Experiment:
    """Return a version of an experiment, the newest one if none is named.

    Refusals
    --------
    experiment_is_unknown
    """
    found = _find(connection, name, version, "")
    if found is None:
        raise ExperimentIsUnknown(name=name, version="*" if version is None else version)
    return found


def lock(connection: sa.Connection, name: str, version: int) -> Experiment:
    """Return a version of an experiment; nobody exposes units to it until we are done.

    Refusals
    --------
    experiment_is_unknown
    """
    found = _find(connection, name, version, "FOR UPDATE")
    if found is None:
        raise ExperimentIsUnknown(name=name, version=version)
    return found


def newest(connection: sa.Connection, name: str) -> Experiment | None:
    """Return the newest version of an experiment, None if there is none."""
    return _find(connection, name, None, "")


def find_in_state(connection: sa.Connection, name: str, state: State) -> Experiment | None:
    """Return the version that is the draft, or that runs: there is one at most."""
    return _one(connection, "name = :name AND state = :state", {"name": name, "state": state}, "")


def find_running(connection: sa.Connection, name: str) -> Experiment | None:
    """Return the running version, kept from being stopped until we are done."""
    # Weaker than a share lock, so that many who expose units do not disturb each other; `lock`
    # of who stops it conflicts with it all the same.
    where = "name = :name AND state = 'running'"
    return _one(connection, where, {"name": name}, "FOR KEY SHARE")


def list_newest(
    connection: sa.Connection, *, state: State | None, after: str, limit: int
) -> list[Experiment]:
    """Return the newest version of each experiment (of those in a state), by name."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT ON (name) * FROM experiments.experiment WHERE name > :after"
            " AND (CAST(:state AS text) IS NULL OR state = :state)"
            " ORDER BY name, version DESC LIMIT :limit"
        ),
        {"after": after, "state": state, "limit": limit},
    )
    return [_experiment(row) for row in rows]


def _find(
    connection: sa.Connection, name: str, version: int | None, lock_clause: str
) -> Experiment | None:
    where = "name = :name AND (CAST(:version AS integer) IS NULL OR version = :version)"
    return _one(connection, where, {"name": name, "version": version}, lock_clause)


def _one(
    connection: sa.Connection, where: str, values: dict[str, object], lock_clause: str
) -> Experiment | None:
    row = connection.execute(
        sa.text(
            f"SELECT * FROM experiments.experiment WHERE {where}"
            f" ORDER BY version DESC LIMIT 1 {lock_clause}"
        ),
        values,
    ).one_or_none()
    return None if row is None else _experiment(row)


def _instant(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _experiment(row: sa.Row[Any]) -> Experiment:
    draft = Draft(
        name=row.name,
        hypothesis=row.hypothesis,
        unit=row.unit_noun,
        arms=tuple(Arm(name, weight) for name, weight in row.arms),
        metrics=tuple(
            Metric(name, MetricKind(kind), Better(better), decimals)
            for name, kind, better, decimals in row.metrics
        ),
        layer=row.layer,
        slots=Slots(row.slot_start, row.slot_stop),
        salt=row.salt,
        alpha_bp=row.alpha_bp,
        planned_units=row.planned_units,
        starts_at=_instant(row.starts_at),
        ends_at=_instant(row.ends_at),
    )
    return Experiment(
        draft=draft,
        version=row.version,
        allocation=tuple(Span(arm, start, stop) for arm, start, stop in row.allocation),
        state=State(row.state),
        drafted_by=row.drafted_by,
        drafted_at=row.drafted_at.astimezone(UTC),
        started_at=_instant(row.started_at),
        stopped_at=_instant(row.stopped_at),
        cause=row.cause,
        stop_cause=row.stop_cause,
    )
