"""Use cases: two people start and stop, units are exposed once, outcomes are final, results."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Event

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from steelyard.base.http import Caller
from steelyard.experiments import (
    Arm,
    Better,
    Experiment,
    Metric,
    MetricKind,
    Slots,
    State,
    Verdict,
    designs,
    observations,
)
from steelyard.experiments import refusals as r
from steelyard.experiments.model.assignment import moved
from steelyard.experiments.store import experiment as table
from steelyard.parties import approvals
from tests.conftest import Store
from tests.events.waiting import until
from tests.experiments.conftest import ANN, Desk
from tests.experiments.test_assignment import draft


def somebody_waits(watcher: sa.Connection, holder: int) -> bool:
    waits = watcher.exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", (holder,)
    ).scalar_one()
    watcher.rollback()
    return bool(waits)


RECORDED, REPEATED, DIFFERS, NOT_EXPOSED = observations.Recording


# --- drafts, start, stop -------------------------------------------------------------------------


def test_a_draft_is_started_and_stopped_by_two_people(desk: Desk) -> None:
    drafted = desk.draft(draft())
    assert (drafted.version, drafted.state, drafted.salt) == (1, State.DRAFT, "policy_8")
    asked = desk.run(lambda unit: designs.request_start(unit, "policy_8", 1))
    alone = Caller(ANN, frozenset({"*"}))
    with pytest.raises(approvals.MakerIsChecker):
        desk.run(
            lambda unit: approvals.approve(unit, asked.id, by=alone, shown_hash=asked.shown_hash)
        )
    with pytest.raises(approvals.ApprovalIsNotOpen):
        desk.run(lambda unit: designs.start_experiment(unit, "policy_8", 1, approval=asked.id))
    desk.approve(asked)
    started = desk.run(
        lambda unit: designs.start_experiment(unit, "policy_8", 1, approval=asked.id)
    )
    assert (started.state, started.cause) == (State.RUNNING, f"approval:{asked.id}@1")
    desk.clock.advance(timedelta(days=1))
    stopped = desk.stop("policy_8", 1)
    assert stopped.state is State.STOPPED
    assert stopped.stopped_at == desk.clock.now()
    with desk.database.reading() as connection:
        assert designs.read_experiment(connection, "policy_8") == stopped
    assert [kind for kind, _ in desk.facts("experiment:policy_8")] == [
        "ExperimentDrafted",
        "ExperimentStarted",
        "ExperimentStopped",
    ]


def test_a_start_is_approved_for_what_was_shown_only(desk: Desk) -> None:
    desk.draft(draft())
    asked = desk.run(lambda unit: designs.request_start(unit, "policy_8", 1))
    desk.approve(asked)
    desk.draft(draft(arms=(Arm("old", 1_000), Arm("new", 9_000))))
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        desk.run(lambda unit: designs.start_experiment(unit, "policy_8", 2, approval=asked.id))
    with pytest.raises(r.ExperimentIsNotDraft):
        desk.run(lambda unit: designs.start_experiment(unit, "policy_8", 1, approval=asked.id))


def test_a_new_version_takes_the_place_of_the_running_one_and_moves_few(desk: Desk) -> None:
    first = desk.start(draft())
    second = desk.draft(draft(arms=(Arm("old", 4_000), Arm("new", 6_000))))
    assert moved(first.allocation, second.allocation) == 1_000
    asked = desk.run(lambda unit: designs.request_start(unit, "policy_8", 2))
    assert '"moved_bp":1000,"planned_units":10000,"replaces_version":1' in asked.shown
    desk.approve(asked)
    desk.run(lambda unit: designs.start_experiment(unit, "policy_8", 2, approval=asked.id))
    with desk.database.reading() as connection:
        before = designs.read_experiment(connection, "policy_8", 1)
    assert (before.state, before.stop_cause) == (State.STOPPED, f"approval:{asked.id}@1")
    # After it has run, a third goes on from where the people are.
    third = desk.draft(draft(arms=(Arm("old", 4_000), Arm("new", 6_000))))
    assert third.allocation == second.allocation


def test_a_draft_drops_the_draft_before_it(desk: Desk) -> None:
    desk.draft(draft())
    second = desk.draft(draft(hypothesis="better said"))
    assert second.version == 2
    with desk.database.reading() as connection:
        assert designs.read_experiment(connection, "policy_8", 1).state is State.DROPPED
        assert designs.read_experiment(connection, "policy_8").draft.hypothesis == "better said"


def test_two_experiments_of_a_layer_cannot_share_slots(desk: Desk) -> None:
    desk.start(draft(slots=Slots(0, 5_000)))
    desk.start(draft(name="other", slots=Slots(5_000, 10_000)))
    desk.start(draft(name="elsewhere", layer="growth"))
    with pytest.raises(r.SlotsAreTaken) as refused:
        desk.start(draft(name="third", slots=Slots(4_999, 5_000)))
    assert refused.value.facts == {"layer": "card", "other": "policy_8"}
    desk.stop("policy_8", 1)
    third = draft(name="third", slots=Slots(4_999, 5_000))
    assert desk.start(third).state is State.RUNNING


def test_of_two_starts_at_once_on_the_same_slots_one_is_refused(desk: Desk) -> None:
    approved = {}
    for name in ("one", "two"):
        desk.draft(draft(name=name))
        asked = desk.run(lambda unit, n=name: designs.request_start(unit, n, 1))
        desk.approve(asked)
        approved[name] = asked.id
    checked = Event()

    def slow() -> Experiment:
        with desk.database.unit_of_work(actor=ANN) as unit:
            started = designs.start_experiment(unit, "one", 1, approval=approved["one"])
            checked.set()
            with desk.database.engine.connect() as watcher:
                holder = unit.driver.info.backend_pid
                until(lambda: somebody_waits(watcher, holder), "the other start")
            return started

    def second() -> str:
        checked.wait(20)
        try:
            desk.run(
                lambda unit: designs.start_experiment(unit, "two", 1, approval=approved["two"])
            )
        except r.SlotsAreTaken as refusal:
            return refusal.code
        return "started"

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.submit(slow), pool.submit(second)
        assert (first.result(30).state, other.result(30)) == (State.RUNNING, "slots_are_taken")


def test_the_database_itself_refuses_shared_slots(desk: Desk, store: Store) -> None:
    desk.start(draft())
    desk.draft(draft(name="other"))
    with psycopg.connect(store.conninfo()) as connection:
        with pytest.raises(psycopg.errors.ExclusionViolation):
            connection.execute(
                "UPDATE experiments.experiment SET state = 'running', started_at = now(),"
                " cause = 'x@1' WHERE name = 'other'"
            )
        connection.rollback()
        for statement in (
            "UPDATE experiments.experiment SET state = 'draft', started_at = NULL, cause = NULL",
            "UPDATE experiments.experiment SET cause = 'y@1' WHERE name = 'policy_8'",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(statement)
            connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE experiments.experiment SET salt = 'z'")


def test_an_exclusion_is_a_refusal_and_another_fault_is_not(desk: Desk) -> None:
    desk.start(draft())
    other = desk.draft(draft(name="other"))
    now = desk.clock.now()
    after = replace(other, state=State.RUNNING, started_at=now, cause="x@1")
    with pytest.raises(r.SlotsAreTaken):
        desk.run(lambda unit: table.change(unit.connection, other, after))
    broken = replace(after, cause=None)
    with pytest.raises(IntegrityError):
        desk.run(lambda unit: table.change(unit.connection, other, broken))


def test_what_is_over_or_unknown_is_not_started(desk: Desk) -> None:
    desk.draft(draft(ends_at=desk.clock.now() + timedelta(hours=1)))
    desk.clock.advance(timedelta(hours=1))
    with pytest.raises(r.ExperimentIsOver):
        desk.run(lambda unit: designs.request_start(unit, "policy_8", 1))
    with pytest.raises(r.ExperimentIsUnknown):
        desk.run(lambda unit: designs.request_start(unit, "policy_8", 2))
    with pytest.raises(r.ExperimentIsUnknown):
        desk.run(lambda unit: designs.request_stop(unit, "nothing", 1))
    with pytest.raises(r.ExperimentIsNotRunning):
        desk.run(lambda unit: designs.request_stop(unit, "policy_8", 1))


def test_experiments_are_listed_by_name_in_pages(desk: Desk) -> None:
    for name in ("c", "a", "b"):
        desk.draft(draft(name=name))
    desk.draft(draft(name="a", hypothesis="again"))
    with desk.database.reading() as connection:
        page = designs.list_experiments(connection, limit=2)
        assert [(e.name, e.version) for e in page.items] == [("a", 2), ("b", 1)]
        rest = designs.list_experiments(connection, limit=2, cursor=page.next)
        assert ([e.name for e in rest.items], rest.next) == (["c"], None)
        assert designs.list_experiments(connection, state=State.RUNNING).items == ()


# --- exposures -----------------------------------------------------------------------------------


def test_a_unit_is_exposed_once_and_keeps_its_arm(desk: Desk) -> None:
    experiment = desk.start(draft(slots=Slots(0, 5_000)))
    units = [f"c{n}" for n in range(40)]
    first = desk.expose("policy_8", *units, units[0])
    desk.clock.advance(timedelta(hours=1))
    assert desk.expose("policy_8", *units, units[0]) == first
    with desk.database.reading() as connection:
        assert (
            observations.assign(connection, "policy_8", units, now=desk.clock.now()) == first[:-1]
        )
    taking_part = [one for one in first[:-1] if one.arm]
    assert 0 < len(taking_part) < 40
    assert {one.arm for one in taking_part} == {"old", "new"}
    told = desk.facts("exposure:policy_8@1/%")
    assert sorted((p["unit"], p["arm"]) for _, p in told) == sorted(
        (one.unit, str(one.arm)) for one in taking_part
    )
    assert all(one.arm == experiment.arm_of(one.unit) for one in first)


def test_nothing_is_assigned_before_the_start_and_after_the_end(desk: Desk) -> None:
    now = desk.clock.now()
    soon, end = now + timedelta(hours=1), now + timedelta(hours=2)
    desk.start(draft(starts_at=soon, ends_at=end))
    nothing = observations.Assignment("policy_8", None, "c1", None)
    assert desk.expose("policy_8", "c1") == (nothing,)
    desk.clock.advance(timedelta(hours=1))
    assert desk.expose("policy_8", "c1")[0].arm is not None
    desk.clock.advance(timedelta(hours=1))
    assert desk.expose("policy_8", "c2")[0].arm is None
    desk.stop("policy_8", 1)
    assert desk.expose("policy_8", "c1") == (nothing,)
    assert [p["unit"] for _, p in desk.facts("exposure:%")] == ["c1"]
    with pytest.raises(r.ExperimentIsUnknown):
        desk.expose("nothing", "c1")
    with desk.database.reading() as connection, pytest.raises(r.ExperimentIsUnknown):
        observations.assign(connection, "nothing", ["c1"], now=now)


def test_many_at_once_expose_a_unit_once(desk: Desk) -> None:
    desk.start(draft())
    units = [f"c{n}" for n in range(50)]

    def work(turn: int) -> None:
        desk.expose("policy_8", *(units if turn % 2 else reversed(units)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert sorted(p["unit"] for _, p in desk.facts("exposure:%")) == sorted(units)
    assert sum(arm.exposed for arm in desk.results("policy_8").metrics[0].arms) == 50


def test_exposures_and_outcomes_are_never_changed(desk: Desk, store: Store) -> None:
    desk.start(draft())
    desk.expose("policy_8", "c1")
    desk.record("policy_8", 1, "lost", [("c1", 1)])
    with psycopg.connect(store.conninfo("steelyard_owner")) as connection:
        for name in ("exposure", "outcome"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                connection.execute(f"DELETE FROM experiments.{name}".encode())
            connection.rollback()


# --- outcomes ------------------------------------------------------------------------------------

METRICS = (
    Metric("lost", MetricKind.PROPORTION, Better.LOWER),
    Metric("margin", MetricKind.MEAN, Better.HIGHER, decimals=2),
)


def test_an_outcome_is_recorded_once_item_by_item(desk: Desk) -> None:
    desk.start(draft(metrics=METRICS))
    desk.expose("policy_8", "c1", "c2", "c3")
    first = desk.record(
        "policy_8",
        1,
        "margin",
        [("c1", Decimal("1.50")), ("c9", 1), ("c2", 2), ("c2", 2), ("c1", 7)],
    )
    assert first == (RECORDED, NOT_EXPOSED, RECORDED, REPEATED, DIFFERS)
    again = desk.record("policy_8", 1, "margin", [("c1", "1.5"), ("c2", "2.01"), ("c3", -3)])
    assert again == (REPEATED, DIFFERS, RECORDED)
    told = [(p["unit"], p["metric"], p["value"]) for _, p in desk.facts("outcome:%")]
    assert told == [("c1", "margin", 150), ("c2", "margin", 200), ("c3", "margin", -300)]
    arms = desk.results("policy_8").metrics[1].arms
    assert sum(arm.total for arm in arms) == 150 + 200 - 300
    assert sum(arm.n for arm in arms) == 3


def test_an_outcome_that_does_not_fit_leaves_nothing_behind(desk: Desk) -> None:
    desk.start(draft(metrics=METRICS))
    desk.expose("policy_8", "c1", "c2")
    with pytest.raises(r.OutcomeIsWrong):
        desk.record("policy_8", 1, "lost", [("c1", 1), ("c2", 2)])
    with pytest.raises(r.MetricIsUnknown):
        desk.record("policy_8", 1, "cost", [("c1", 1)])
    assert desk.facts("outcome:%") == []
    desk.draft(draft())
    with pytest.raises(r.ExperimentIsNotRunning):
        desk.record("policy_8", 2, "lost", [("c1", 1)])
    desk.stop("policy_8", 1)
    assert desk.record("policy_8", 1, "lost", [("c1", 1)]) == (RECORDED,)


# --- results -------------------------------------------------------------------------------------


def fill(desk: Desk, units: int, rates: dict[str, int]) -> None:
    """Expose units and give each arm so many losses of 1,000, spread evenly."""
    found = desk.expose("policy_8", *(f"c{n}" for n in range(units)))
    seen = dict.fromkeys(rates, 0)
    outcomes = []
    for one in found:
        assert one.arm is not None
        seen[one.arm] += 1
        lost = (
            seen[one.arm] * rates[one.arm] // 1_000 - (seen[one.arm] - 1) * rates[one.arm] // 1_000
        )
        outcomes.append((one.unit, lost))
    desk.record("policy_8", 1, "lost", outcomes)


@pytest.mark.parametrize(
    ("rates", "verdict", "best"),
    [
        ({"old": 200, "new": 100}, Verdict.CHALLENGER_BETTER, "new"),
        ({"old": 100, "new": 200}, Verdict.CHALLENGER_WORSE, None),
        ({"old": 100, "new": 105}, Verdict.CONTINUE, None),
    ],
)
def test_results_say_what_to_do(
    desk: Desk, rates: dict[str, int], verdict: Verdict, best: str | None
) -> None:
    desk.start(draft(planned_units=2_000))
    assert desk.results("policy_8").verdict is Verdict.CONTINUE
    fill(desk, 2_000, rates)
    found = desk.results("policy_8")
    assert (found.verdict, found.best, found.is_over) == (verdict, best, False)
    (comparison,) = found.metrics[0].comparisons
    assert comparison.interval is not None
    assert comparison.effect is not None
    assert comparison.interval.low <= comparison.effect <= comparison.interval.high
    assert comparison.effect == pytest.approx((rates["new"] - rates["old"]) / 1_000, abs=0.002)
    assert comparison.lift == pytest.approx(rates["new"] / rates["old"] - 1, abs=0.02)
    # An instant before, nothing was known; and what was known stays known.
    with desk.database.reading() as connection:
        before = observations.read_results(
            connection, "policy_8", as_of=desk.clock.now() - timedelta(seconds=1)
        )
    assert before.metrics[0].arms[0].exposed == 0
    desk.clock.advance(timedelta(days=1))
    desk.stop("policy_8", 1)
    end = desk.results("policy_8")
    assert end.is_over
    expected = Verdict.NO_DIFFERENCE if verdict is Verdict.CONTINUE else verdict
    assert end.verdict is expected
    assert end.sentence("zh-CN") != end.sentence("en")


def test_a_mismatch_of_the_shares_overrules_everything(desk: Desk) -> None:
    experiment = desk.start(draft(planned_units=500))
    everyone = [f"c{n}" for n in range(2_000)]
    old = [u for u in everyone if experiment.arm_of(u) == "old"]
    new = [u for u in everyone if experiment.arm_of(u) == "new"][:600]
    desk.expose("policy_8", *old, *new)
    desk.record("policy_8", 1, "lost", [*((u, 1) for u in old), *((u, 0) for u in new)])
    found = desk.results("policy_8")
    assert found.metrics[0].comparisons[0].verdict is Verdict.CHALLENGER_BETTER
    assert (found.verdict, found.best) == (Verdict.NOT_TO_BE_TRUSTED, None)
    assert found.ratio.is_mismatch
    assert found.ratio.p_value < 1e-6


def test_several_challengers_share_the_false_alarms(desk: Desk) -> None:
    arms = (Arm("old", 4_000), Arm("new", 3_000), Arm("newer", 3_000))
    desk.start(draft(arms=arms, planned_units=3_000))
    fill(desk, 3_000, {"old": 200, "new": 100, "newer": 210})
    found = desk.results("policy_8")
    assert [c.threshold for c in found.metrics[0].comparisons] == [0.025, 0.025]
    assert [c.verdict for c in found.metrics[0].comparisons] == [
        Verdict.CHALLENGER_BETTER,
        Verdict.CONTINUE,
    ]
    assert (found.verdict, found.best) == (Verdict.CHALLENGER_BETTER, "new")
