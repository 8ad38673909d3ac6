"""A desk at which policies are changed: Ann does, Bob says yes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.http import Caller
from steelyard.decisions import Decision, policies
from steelyard.decisions.model import lifecycle as life
from steelyard.decisions.model.lifecycle import Content
from steelyard.decisions.model.policy import Fails
from steelyard.decisions.model.roster import DEFAULT_BUDGET, Roster
from steelyard.decisions.scenes import delivered_source
from steelyard.decisions.service.owner import Owner, Place
from steelyard.kernel import SteppingClock
from steelyard.parties import approvals

T = TypeVar("T")
ANN = "staff:018f0000-0000-7000-8000-000000000001"
BOB = "staff:018f0000-0000-7000-8000-000000000002"
SCENE = "withdrawal"
NOW_MS = 1_772_442_000_000


class Desk:
    """People who change policies; Ann does, Bob says yes."""

    def __init__(self, database: Database, clock: SteppingClock) -> None:
        self.database = database
        self.clock = clock
        self.run(policies.install_delivered)

    def run(self, work: Callable[[UnitOfWork], T], actor: str = ANN) -> T:
        return self.database.transact(work, actor=actor)

    def roster(self) -> Roster:
        with self.database.reading() as connection:
            return policies.load_roster(connection)

    def commit(self, content: Content, scene: str = SCENE) -> life.Committed:
        self.run(lambda unit: policies.draft_policy(unit, scene, content))
        return self.run(lambda unit: policies.commit_draft(unit, scene))

    def approve(self, asked: approvals.Approval, actor: str = BOB) -> None:
        by = Caller(actor, frozenset({"decisions.approve", "experiments.approve"}))
        self.run(
            lambda unit: approvals.approve(unit, asked.id, by=by, shown_hash=asked.shown_hash),
            actor,
        )

    def promote(self, version: int, scene: str = SCENE) -> None:
        asked = self.run(lambda unit: policies.request_promotion(unit, scene, version))
        self.approve(asked)
        self.run(lambda unit: policies.promote(unit, scene, version, approval=asked.id))

    def audited(self) -> list[str]:
        with self.database.reading() as connection:
            rows = connection.execute(sa.text("SELECT action FROM base.audit ORDER BY sequence"))
            return [*rows.scalars()]

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        with self.database.reading() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT kind, payload FROM events.log WHERE kind LIKE 'decisions.%'"
                    " ORDER BY sequence"
                )
            )
            return [(row.kind.removeprefix("decisions."), row.payload) for row in rows]

    def owner(self) -> Owner:
        return Owner(self.database, self.roster(), Place("one"))

    def context(self) -> Any:
        """What a job is given."""
        return SimpleNamespace(
            database=self.database,
            should_stop=False,
            transact=lambda work: self.database.transact(work, actor="job:test"),
        )


def ask(owner: Owner, events: Iterable[tuple[str, int, dict[str, Any]]]) -> list[Decision]:
    """Have withdrawals decided, one after the other (id, instant, fields), behind what was told."""

    async def run() -> list[Decision]:
        made = []
        owner.hear(owner.untold(), now_ms=NOW_MS)
        for id, at_ms, fields in events:
            body = json.dumps({"id": id, "at_ms": at_ms, "fields": fields}).encode()
            made.append(await owner.ask(SCENE, body, now_ms=at_ms))
        return made

    return asyncio.run(run())


def changed(scene: str = SCENE, **more: Any) -> Content:
    """Return the delivered policy with one rule worth a point less."""
    source, examples = delivered_source(scene)
    document = json.loads(source)
    (rules,) = [node for node in document["nodes"] if node["id"] == "rules"]
    row = rules["content"]["rules"][-1]
    row["points"] = str(int(row["points"]) - 1)
    made = Content(json.dumps(document), Fails.CLOSED, examples, DEFAULT_BUDGET, "A point less.")
    return replace(made, **more)
