"""Several people do random things to the queue; a model in words says what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from steelyard.base.http import Caller
from steelyard.cases import closing, upkeep, working
from steelyard.kernel import Refusal
from tests.cases.conftest import ANN, BOB, CAY, LEAD, Queue, caller

PEOPLE = {
    ANN: caller(ANN, frozenset({"cases.work"})),
    BOB: caller(BOB, frozenset({"cases.work"})),
    CAY: caller(CAY, frozenset({"cases.work"})),
    LEAD: caller(LEAD, frozenset({"cases.work", "cases.lead"})),
}


@dataclass
class Matter:
    """One case, as the rules in words say it should stand."""

    id: UUID
    key: str
    number: int
    priority: int
    opened_at: datetime
    state: str = "open"
    holder: str | None = None
    until: datetime | None = None
    signals: int = 1
    leads_only: bool = False

    def holder_at(self, wall: datetime) -> str | None:
        is_held = self.state == "claimed" and self.until is not None and self.until > wall
        return self.holder if is_held else None

    def may(self, who: str) -> bool:
        return not self.leads_only or who == LEAD


class QueueMachine(RuleBasedStateMachine):
    queue: Queue
    run_number = 0
    matters = Bundle("matters")
    people = st.sampled_from(list(PEOPLE))

    def __init__(self) -> None:
        super().__init__()
        QueueMachine.run_number += 1
        self.all: list[Matter] = []

    @rule(target=matters, n=st.integers(0, 4))
    def signal(self, n: int) -> Matter:
        key = f"payment:{self.run_number}/{n}"
        case = self.queue.open(key)
        for known in self.all:
            if known.key == key and known.state != "closed":
                known.signals += 1
                if known.signals in (3, 5):
                    known.priority = min(known.priority + 1, 4)
                assert case.id == known.id
                return known
        made = Matter(case.id, key, len(self.all), 2, self.queue.clock.now())
        assert case.id not in {known.id for known in self.all}
        self.all.append(made)
        return made

    @rule(minutes=st.sampled_from([1, 10, 29, 30, 31]))
    def wait(self, minutes: int) -> None:
        self.queue.later(minutes=minutes)

    @rule(one=matters, who=people)
    def claim(self, one: Matter, who: str) -> None:
        holder = one.holder_at(self.wall)
        may = one.may(who) and one.state in ("open", "claimed") and holder in (None, who)
        if self._try(working.claim, one, who, may):
            self._take(one, who)

    @rule(who=people)
    def claim_next(self, who: str) -> None:
        free = [
            one
            for one in self.all
            if one.state in ("open", "claimed")
            and one.holder_at(self.wall) is None
            and one.may(who)
        ]
        found = self.queue.act(working.claim_next, by=PEOPLE[who])
        if not free:
            assert found is None
            return
        now = self.queue.clock.now()
        # A review has ten hours: amber from the fifth on, red from the eighth.
        first = min(
            free,
            key=lambda one: (
                -one.priority,
                -sum(now >= one.opened_at + timedelta(hours=h) for h in (5, 8)),
                one.opened_at,
                one.id,
            ),
        )
        assert found is not None
        assert found.id == first.id
        self._take(first, who)

    @rule(one=matters, who=people)
    def release(self, one: Matter, who: str) -> None:
        # One's own claim can be given back after it expired too, as long as nobody took the case.
        may = one.may(who) and one.state == "claimed" and who in (one.holder, LEAD)
        if self._try(working.release, one, who, may):
            self._free(one)

    @rule(one=matters, who=people)
    def close(self, one: Matter, who: str) -> None:
        may = one.may(who) and one.state == "claimed" and one.holder_at(self.wall) == who
        if self._try(closing.close, one, who, may, "good"):
            self._free(one)
            one.state = "closed"

    @rule(one=matters, who=people)
    def escalate(self, one: Matter, who: str) -> None:
        holds = one.holder_at(self.wall) == who
        is_free = one.state == "open"
        may = one.may(who) and (is_free or (one.state == "claimed" and (holds or who == LEAD)))
        if self._try(working.escalate, one, who, may, "leads", reason="too much"):
            self._free(one)
            one.priority = min(one.priority + 1, 4)
            one.leads_only = True

    @rule(one=matters, who=people)
    def reopen(self, one: Matter, who: str) -> None:
        others = any(o.key == one.key and o.state != "closed" for o in self.all if o is not one)
        may = one.may(who) and one.state == "closed" and not others
        if self._try(closing.reopen, one, who, may, reason="again"):
            one.state = "open"

    @rule()
    def sweep(self) -> None:
        due = [
            one for one in self.all if one.state == "claimed" and one.holder_at(self.wall) is None
        ]
        assert self.queue.run(upkeep.sweep).lapsed == len(due)
        for one in due:
            self._free(one)

    @invariant()
    def states_agree(self) -> None:
        for one in self.all[-3:]:
            case = self.queue.read(one.id)
            assert case.state == one.state
            assert (case.claim and case.claim.by) == one.holder
            assert (int(case.priority), case.signals) == (one.priority, one.signals)

    def teardown(self) -> None:
        for one in self.all:
            self.queue.actions(one.id)  # a line for every version, none left out
            if one.state != "closed":
                # The next example shares the database: nothing open is left to it.
                self.queue.run(
                    lambda unit, key=one.key: closing.conclude(unit, "toys.review", key, "good")
                )

    @property
    def wall(self) -> datetime:
        return self.queue.wall.now()

    def _take(self, one: Matter, who: str) -> None:
        one.state, one.holder, one.until = "claimed", who, self.wall + timedelta(minutes=30)

    def _free(self, one: Matter) -> None:
        one.state, one.holder, one.until = "open", None, None

    def _try(
        self, verb: Callable[..., Any], one: Matter, who: str, may: bool, *args: Any, **more: Any
    ) -> bool:
        by: Caller = PEOPLE[who]
        try:
            self.queue.act(verb, one.id, *args, by=by, **more)
            told = "done"
        except Refusal as refusal:
            told = refusal.code
        assert (told == "done") is may, f"{verb.__name__} by {who}: {told}, in {one}"
        return may


def run_machine(queue: Queue, examples: int) -> None:
    QueueMachine.queue = queue
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        QueueMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_queue_does_what_the_model_says(queue: Queue) -> None:
    run_machine(queue, 40)


@pytest.mark.long
def test_the_queue_does_what_the_model_says_for_long(queue: Queue) -> None:
    run_machine(queue, 300)
