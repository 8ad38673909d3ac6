"""Kinds of case and people for the tests of the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest

from steelyard.base import Database, PlainBusinessClock, UnitOfWork
from steelyard.base.http import Caller
from steelyard.cases import (
    Case,
    CaseKind,
    EventRef,
    closing,
    open_case,
    reading,
    upkeep,
    working,
)
from steelyard.cases.service.registry import (
    CaseGroup,
    CaseOutcome,
    Label,
    Priority,
    Sla,
    register_group,
    register_kind,
)
from steelyard.events import PostgresFactLog, drain
from steelyard.kernel import Refusal, SteppingClock
from tests.conftest import START, Store

T = TypeVar("T")

_OUTCOMES = (
    CaseOutcome("fraud", "Fraud", "欺诈", Label("is_fraud", 1)),
    CaseOutcome("good", "Good", "正常", Label("is_fraud", 0)),
    CaseOutcome("unclear", "Unclear", "无法判断"),
)
EXPERTS = register_group(CaseGroup("toys_experts", "toys.expert", "Experts", "专家组"))
REVIEW = register_kind(
    CaseKind(
        "toys.review",
        "Review of a payment",
        "支付审核",
        Sla(timedelta(hours=10)),
        _OUTCOMES,
        rises_at=(3, 5),
    )
)
DISPUTE = register_kind(
    CaseKind(
        "toys.dispute",
        "Dispute",
        "争议",
        Sla(timedelta(hours=20)),
        _OUTCOMES,
        priority=Priority.HIGH,
        skill="toys.judge",
        four_eyes=True,
        required_evidence=("statement", "receipt"),
        escalates_to=("toys_experts",),
    )
)
DIFFERENCE = register_kind(
    CaseKind(
        "toys.difference",
        "Difference",
        "差异",
        Sla(timedelta(hours=1)),
        (CaseOutcome("explained", "Explained", "已查明"),),
        priority=Priority.LOW,
    )
)

ANN, BOB, CAY, LEAD = (f"staff:{UUID(int=n)}" for n in (1, 2, 3, 4))
WORKS = frozenset({"cases.work"})
ALL = frozenset({"cases.*", "toys.*"})


def caller(actor: str = ANN, entitlements: frozenset[str] = ALL) -> Caller:
    return Caller(actor, entitlements)


@dataclass(slots=True)
class Queue:
    """The queue of one test, with both of its clocks moved by hand."""

    database: Database
    clock: SteppingClock
    wall: SteppingClock

    def run(self, work: Callable[[UnitOfWork], T], actor: str = "system:test") -> T:
        return self.database.transact(work, actor=actor)

    def open(self, subject: str = "payment:1", kind: str = "toys.review", **more: Any) -> Case:
        return self.run(lambda unit: open_case(unit, kind, subject, **more)).case

    def act(self, verb: Callable[..., T], *args: Any, by: Caller | None = None, **more: Any) -> T:
        """Call a verb of `working` or `closing` as somebody."""
        who = by or caller()
        return self.run(lambda unit: verb(unit, *args, by=who, **more), who.actor)

    def claimed(self, *args: Any, by: Caller | None = None, **more: Any) -> Case:
        return self.act(working.claim, self.open(*args, **more).id, by=by)

    def closed(self, case: UUID, outcome: str = "good", by: Caller | None = None) -> Case:
        return self.act(closing.close, case, outcome, by=by)

    def read(self, case: UUID) -> Case:
        with self.database.reading() as connection:
            return reading.read_case(connection, case)

    def later(self, **by: float) -> None:
        """Let time pass on both clocks."""
        self.clock.advance(timedelta(**by))
        self.wall.advance(timedelta(**by))

    def hear(self) -> None:
        drain(self.database, [upkeep.approval_cases])

    def facts(self, case: UUID) -> list[tuple[str, dict[str, Any]]]:
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT kind, payload FROM events.log WHERE subject = %s ORDER BY sequence",
                (f"case:{case}",),
            )
            return [(row.kind.removeprefix("cases."), row.payload) for row in rows]

    def actions(self, case: UUID) -> list[str]:
        with self.database.reading() as connection:
            page = reading.history(connection, case, limit=200)
        assert [line.version for line in page.items] == list(range(1, len(page.items) + 1))
        return [line.action for line in page.items]

    def refused(self, verb: Callable[..., Any], *args: Any, **more: Any) -> str:
        with pytest.raises(Refusal) as refusal:
            self.act(verb, *args, **more)
        return refusal.value.code


EVENT = EventRef("payment", "p-1")


def open_queue(store: Store) -> Queue:
    clock, wall = SteppingClock(START), SteppingClock(START + timedelta(days=200))
    database = Database(
        store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(clock), wall=wall
    )
    return Queue(database, clock, wall)


@pytest.fixture
def queue(store: Store) -> Iterator[Queue]:
    opened = open_queue(store)
    yield opened
    opened.database.close()
