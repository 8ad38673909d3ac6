"""A desk where experiments are drafted, started by two people, and observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from steelyard.base import Database, UnitOfWork
from steelyard.base.http import Caller
from steelyard.experiments import Draft, Experiment, Results, designs, observations
from steelyard.kernel import SteppingClock
from steelyard.parties import approvals

T = TypeVar("T")
ANN = "staff:018f0000-0000-7000-8000-000000000001"
BOB = "staff:018f0000-0000-7000-8000-000000000002"


@dataclass
class Desk:
    database: Database
    clock: SteppingClock

    def run(self, work: Callable[[UnitOfWork], T], actor: str = ANN) -> T:
        return self.database.transact(work, actor=actor)

    def draft(self, draft: Draft) -> Experiment:
        return self.run(lambda unit: designs.draft_experiment(unit, draft))

    def approve(self, asked: approvals.Approval) -> None:
        by = Caller(BOB, frozenset({"experiments.approve"}))
        self.run(
            lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash), BOB
        )

    def start(self, draft: Draft) -> Experiment:
        made = self.draft(draft)
        asked = self.run(lambda unit: designs.request_start(unit, made.name, made.version))
        self.approve(asked)
        return self.run(
            lambda unit: designs.start_experiment(unit, made.name, made.version, approval=asked.id)
        )

    def stop(self, name: str, version: int) -> Experiment:
        asked = self.run(lambda unit: designs.request_stop(unit, name, version))
        self.approve(asked)
        return self.run(
            lambda unit: designs.stop_experiment(unit, name, version, approval=asked.id)
        )

    def expose(self, name: str, *units: str) -> tuple[observations.Assignment, ...]:
        return self.run(lambda unit: observations.expose(unit, name, units))

    def record(
        self, name: str, version: int, metric: str, outcomes: list[tuple[str, Any]]
    ) -> tuple[observations.Recording, ...]:
        return self.run(
            lambda unit: observations.record_outcomes(unit, name, version, metric, outcomes)
        )

    def results(self, name: str, version: int | None = None) -> Results:
        with self.database.reading() as connection:
            return observations.read_results(connection, name, version, as_of=self.clock.now())

    def facts(self, like: str) -> list[tuple[str, dict[str, Any]]]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT kind, payload FROM events.log WHERE kind LIKE 'experiments.%%'"
                " AND subject LIKE %s ORDER BY sequence",
                (like,),
            )
            return [(row.kind.removeprefix("experiments."), row.payload) for row in rows]


@pytest.fixture
def desk(database: Database, clock: SteppingClock) -> Desk:
    return Desk(database, clock)
