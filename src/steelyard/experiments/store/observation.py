"""Tables of exposures and outcomes, and their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from steelyard.experiments.model.experiment import Experiment
from steelyard.experiments.model.sequential import Tally


def expose(
    connection: sa.Connection, experiment: Experiment, arms: Mapping[str, str], now: datetime
) -> list[str]:
    """Insert exposures, arm by unit; return the units that were not exposed before, by id."""
    rows = connection.execute(
        sa.text(
            "INSERT INTO experiments.exposure (name, version, unit, arm, exposed_at)"
            " SELECT :name, :version, unit, arm, :now"
            " FROM unnest(CAST(:units AS text[]), CAST(:arms AS text[])) AS new (unit, arm)"
            " ORDER BY unit ON CONFLICT DO NOTHING RETURNING unit"
        ),
        {
            "name": experiment.name,
            "version": experiment.version,
            "units": list(arms),
            "arms": list(arms.values()),
            "now": now,
        },
    )
    return sorted(rows.scalars())


def exposed_among(
    connection: sa.Connection, experiment: Experiment, units: Sequence[str]
) -> set[str]:
    """Return which of the units were exposed."""
    rows = connection.execute(
        sa.text(
            "SELECT unit FROM experiments.exposure"
            " WHERE name = :name AND version = :version AND unit = ANY(:units)"
        ),
        {"name": experiment.name, "version": experiment.version, "units": list(units)},
    )
    return set(rows.scalars())


def record(
    connection: sa.Connection,
    experiment: Experiment,
    metric: str,
    values: Mapping[str, int],
    now: datetime,
) -> set[str]:
    """Insert outcomes, value by unit; return the units that had none before."""
    rows = connection.execute(
        sa.text(
            "INSERT INTO experiments.outcome (name, version, unit, metric, value, recorded_at)"
            " SELECT :name, :version, unit, :metric, value, :now"
            " FROM unnest(CAST(:units AS text[]), CAST(:values AS bigint[])) AS new (unit, value)"
            " ORDER BY unit ON CONFLICT DO NOTHING RETURNING unit"
        ),
        {
            "name": experiment.name,
            "version": experiment.version,
            "metric": metric,
            "units": list(values),
            "values": list(values.values()),
            "now": now,
        },
    )
    return set(rows.scalars())


def recorded(
    connection: sa.Connection, experiment: Experiment, metric: str, units: Sequence[str]
) -> dict[str, int]:
    """Return the outcomes that units have in a metric."""
    rows = connection.execute(
        sa.text(
            "SELECT unit, value FROM experiments.outcome WHERE name = :name"
            " AND version = :version AND metric = :metric AND unit = ANY(:units)"
        ),
        {
            "name": experiment.name,
            "version": experiment.version,
            "metric": metric,
            "units": list(units),
        },
    )
    return {row.unit: row.value for row in rows}


def count_exposed(
    connection: sa.Connection, experiment: Experiment, as_of: datetime
) -> dict[str, int]:
    """Return the units exposed up to an instant, by arm."""
    rows = connection.execute(
        sa.text(
            "SELECT arm, count(*) AS units FROM experiments.exposure"
            " WHERE name = :name AND version = :version AND exposed_at <= :as_of GROUP BY arm"
        ),
        {"name": experiment.name, "version": experiment.version, "as_of": as_of},
    )
    return {row.arm: row.units for row in rows}


def tally(
    connection: sa.Connection, experiment: Experiment, as_of: datetime
) -> dict[tuple[str, str], Tally]:
    """Return the exact sums of the outcomes recorded up to an instant, by metric and arm."""
    rows = connection.execute(
        sa.text(
            "SELECT o.metric, e.arm, count(*) AS n, sum(o.value) AS total,"
            " sum(o.value::numeric * o.value) AS squares,"
            " count(*) FILTER (WHERE o.value <> 0) AS nonzero"
            " FROM experiments.outcome o JOIN experiments.exposure e USING (name, version, unit)"
            " WHERE o.name = :name AND o.version = :version AND o.recorded_at <= :as_of"
            " GROUP BY o.metric, e.arm"
        ),
        {"name": experiment.name, "version": experiment.version, "as_of": as_of},
    )
    return {
        (row.metric, row.arm): Tally(row.n, int(row.total), int(row.squares), row.nonzero)
        for row in rows
    }
