"""What moves cases without a person: time, as a job, and approvals, as a consumer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from steelyard.base import Fact, UnitOfWork
from steelyard.base.jobs import Every, JobContext, job
from steelyard.cases.model.case import Case, CaseAction
from steelyard.cases.service.approval_cases import approval_cases
from steelyard.cases.service.facts import CaseBreached, CaseReleased, CaseTurned
from steelyard.cases.service.moving import move, subject_of, write_lines
from steelyard.cases.store import case as table

__all__ = ["BATCH", "Swept", "approval_cases", "sweep", "sweep_cases"]
BATCH = 200


@dataclass(frozen=True, slots=True)
class Swept:
    """How many claims lapsed, colours turned and service levels were broken."""

    lapsed: int
    turned: int
    breached: int


def sweep(unit: UnitOfWork, *, limit: int = BATCH) -> Swept:
    """Write down what time did to the cases, at most `limit` claims and `limit` marks.

    Claims count as expired, and colours as turned, from the instant itself: this only writes it
    down. Cases that somebody holds at this moment are left to the next run.
    """
    lapsed = table.lapsed(unit.connection, unit.wall_at, limit=limit)
    for case in lapsed:
        _lapse(unit, case)
    passed = table.to_turn(unit.connection, unit.now, limit=limit)
    turned = [_numbered(case.turned(unit.now)) for case in passed]
    if turned:
        table.change_marks(unit.connection, turned)
        pairs = list(zip(passed, turned, strict=True))
        write_lines(
            unit,
            [(before, after, CaseAction.TURN, _detail(before, after)) for before, after in pairs],
        )
        for before, after in pairs:
            for fact in _facts(before, after):
                unit.record(fact, subject=subject_of(after.id))
    breached = sum(
        before.breached_at is None and after.breached_at is not None
        for before, after in zip(passed, turned, strict=True)
    )
    return Swept(len(lapsed), len(turned), breached)


@job("cases.sweep", schedule=Every(timedelta(minutes=1)))
def sweep_cases(context: JobContext) -> None:
    """Sweep until nothing is left that time changed."""
    while not context.should_stop:
        swept = context.transact(sweep)
        if max(swept.lapsed, swept.turned) < BATCH:
            return


def _lapse(unit: UnitOfWork, case: Case) -> None:
    assert case.claim is not None, "it was claimed"
    fact = CaseReleased(case=case.id, case_kind=case.kind, reason="lapsed")
    after = case.freed(CaseAction.LAPSE)
    move(unit, case, after, CaseAction.LAPSE, fact=fact, detail={"from": case.claim.by})


def _numbered(case: Case) -> Case:
    return replace(case, version=case.version + 1)


def _detail(before: Case, after: Case) -> dict[str, object]:
    is_broken = before.breached_at is None and after.breached_at is not None
    return {"colour": after.colour.value, "is_breached": is_broken}


def _facts(before: Case, after: Case) -> Iterator[Fact]:
    if after.colour is not before.colour:
        yield CaseTurned(case=after.id, case_kind=after.kind, colour=after.colour.value)
    if before.breached_at is None and after.breached_at is not None:
        due_at_ms = round(after.breached_at.timestamp() * 1000)
        yield CaseBreached(case=after.id, case_kind=after.kind, due_at_ms=due_at_ms)
