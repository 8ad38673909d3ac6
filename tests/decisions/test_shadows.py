"""Shadows and challenges: judged behind the owner from the record, counted to the last one."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from steelyard.base import Database
from steelyard.decisions import challenges, guards, policies, shadows
from steelyard.decisions.model import lifecycle as life
from steelyard.decisions.model.decision import LETS_PASS, Asked, Decision, Judgement, decide
from steelyard.decisions.model.lifecycle import Content
from steelyard.decisions.service import behind
from steelyard.decisions.service.engine import id_of
from steelyard.decisions.service.proof import replay_decision
from steelyard.experiments import State, Verdict, designs
from steelyard.kernel import SteppingClock
from tests.decisions.desk import SCENE, Desk, ask, changed

MINUTE = 60_000
DAY = 86_400_000
UNREAD = "customer_withdrawal_sum_30d"


@pytest.fixture
def desk(database: Database, clock: SteppingClock) -> Desk:
    return Desk(database, clock)


def rules(**cells: Mapping[str, str]) -> Content:
    """Return the delivered policy of withdrawals with other cells in its rules."""
    made = changed(note="stricter")
    document = json.loads(made.source)
    (table,) = [one for one in document["nodes"] if one["id"] == "rules"]
    for row in table["content"]["rules"]:
        row |= cells.get(row["_id"], {})
    table["content"]["rules"].sort(key=lambda row: -int(row["points"]))
    return replace(made, source=json.dumps(document), examples=json.dumps(EXAMPLES))


EXAMPLES = [
    {
        "name": "nobody",
        "values": {},
        "outcome": "decline",
        "reasons": ["customer_is_missing", "amount_is_missing"],
    }
]
STRICT = rules(W17={"c2": "amount_minor >= 300000", "points": "450"})
CURIOUS = rules(W13={"c1": f"{UNREAD} >= 1", "points": "650"})


def payments(clock: SteppingClock, count: int, first: int = 0) -> list[tuple[str, int, Any]]:
    """Return withdrawals of many customers to payees of their own, every third a large one."""
    at_ms = round(clock.now().timestamp() * 1000)
    return [
        (
            f"w{n}",
            at_ms - DAY + n * MINUTE,
            {
                "customer": f"c{n}",
                "payee": f"p{n}",
                "amount_minor": 400_000 if n % 3 == 0 else 20_000,
                "currency": "CNY",
            },
        )
        for n in range(first, first + count)
    ]


def test_a_shadow_says_what_it_would_have_said(desk: Desk, clock: SteppingClock) -> None:
    desk.commit(STRICT)
    desk.run(lambda unit: shadows.start_shadow(unit, SCENE, 2))
    with pytest.raises(life.ShadowRuns):
        desk.run(lambda unit: shadows.start_shadow(unit, SCENE, 2))
    with pytest.raises(life.PolicyIsActive):
        desk.run(lambda unit: shadows.start_shadow(unit, SCENE, 1))
    owner = desk.owner()
    made = ask(owner, payments(clock, 30))
    assert Counter(one.outcome for one in made) == {"approve": 30}
    behind.ask_shadows.work(desk.context())
    behind.ask_shadows.work(desk.context())
    with desk.database.reading() as connection:
        report = shadows.report_shadow(connection, SCENE, 2)
        differing = shadows.list_differences(connection, SCENE, 2)
    assert (report.decisions, report.agreeing, report.unrecorded) == (30, 20, 0)
    assert report.would_say == {"approve": 20, "review": 10}
    assert (report.swapped_in, report.swapped_out) == (0, 10)
    assert {one.decision_id for one in differing} == {
        one.id for n, one in enumerate(made) if n % 3 == 0
    }
    assert all("payee_is_new" in one.reasons for one in differing)
    desk.run(lambda unit: shadows.stop_shadow(unit, SCENE, 2))
    with pytest.raises(life.ShadowIsUnknown):
        desk.run(lambda unit: shadows.stop_shadow(unit, SCENE, 2))
    ask(owner, payments(clock, 5, first=30))
    behind.ask_shadows.work(desk.context())
    with desk.database.reading() as connection:
        assert shadows.report_shadow(connection, SCENE, 2).decisions == 30
    owner.close()


def test_over_the_past_it_says_what_nobody_had_read(desk: Desk, clock: SteppingClock) -> None:
    assert UNREAD not in desk.roster().reads(SCENE)
    owner = desk.owner()
    ask(owner, payments(clock, 12))
    desk.commit(CURIOUS)
    noon = clock.now() - timedelta(days=1) + timedelta(minutes=4)
    desk.run(lambda unit: shadows.start_shadow(unit, SCENE, 2, since=noon))
    assert UNREAD in desk.roster().reads(SCENE)
    asyncio.run(owner.follow(desk.roster()))
    live = ask(owner, payments(clock, 5, first=12))
    assert all(UNREAD in one.values for one in live)
    behind.ask_shadows.work(desk.context())
    with desk.database.reading() as connection:
        report = shadows.report_shadow(connection, SCENE, 2)
    assert (report.decisions, report.unrecorded) == (8 + 5, 8)
    assert report.lacks == {UNREAD: 8}
    assert report.would_say == {"approve": 8, "hold": 5}
    owner.close()


def test_what_is_kept_of_differences_is_bounded_and_the_tallies_go_on(
    desk: Desk, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.decisions.service.shadows.MOST_DIFFERENCES", 3)
    monkeypatch.setattr("steelyard.decisions.service.shadows.STEP", 4)
    desk.commit(STRICT)
    desk.run(lambda unit: shadows.start_shadow(unit, SCENE, 2))
    owner = desk.owner()
    ask(owner, payments(clock, 18))
    behind.ask_shadows.work(desk.context())
    with desk.database.reading() as connection:
        assert shadows.report_shadow(connection, SCENE, 2).swapped_out == 6
        assert len(shadows.list_differences(connection, SCENE, 2)) == 3
    owner.close()


def test_a_stopped_rule_is_left_out_and_still_observed(desk: Desk, clock: SteppingClock) -> None:
    desk.commit(STRICT)
    desk.promote(2)
    owner = desk.owner()
    before = ask(owner, payments(clock, 6))
    assert Counter(one.outcome for one in before) == {"review": 2, "approve": 4}
    desk.run(lambda unit: guards.stop_rule(unit, SCENE, "rules/W17", "too many"))
    asyncio.run(owner.follow(desk.roster()))
    after = ask(owner, payments(clock, 9, first=6))
    assert {one.outcome for one in after} == {"approve"}
    assert {one.versions["without"] for one in after} == {"rules/W17"}
    behind.ask_shadows.work(desk.context())
    with desk.database.reading() as connection:
        (stopped,) = guards.stopped_rules(connection, SCENE)
        for one in (*before, *after):
            assert replay_decision(connection, one.id, policies.policy_that_made).is_equal
    assert (stopped.seen, stopped.hits) == (9, 3)
    owner.close()


def test_a_killed_scene_is_recorded_and_comes_out_again(desk: Desk, clock: SteppingClock) -> None:
    desk.run(lambda unit: guards.throw_switch(unit, "scene:withdrawal", "it is wrong"))
    owner = desk.owner()
    (made,) = ask(owner, payments(clock, 1))
    assert (made.outcome, made.reasons) == ("decline", ("policy_failed",))
    assert made.versions["killed"] == "scene:withdrawal"
    assert made.degraded == "SwitchedOff: scene:withdrawal"
    with desk.database.reading() as connection:
        assert replay_decision(connection, made.id, policies.policy_that_made).is_equal
    owner.close()


# -- challenges -----------------------------------------------------------------------------------


def start(desk: Desk, weight_bp: int = 5_000, version: int = 2) -> None:
    terms = challenges.Terms(weight_bp, timedelta(days=1), timedelta(days=2), planned_units=200)
    asked = desk.run(lambda unit: challenges.request_challenge(unit, SCENE, version, terms))
    desk.approve(asked)
    desk.run(lambda unit: challenges.start_challenge(unit, SCENE, version, approval=asked.id))


def label(desk: Desk, id: str, at_ms: int, value: int) -> None:
    """Tell a label as the owner would have heard it."""
    with desk.database.unit_of_work() as unit:
        unit.execute(
            "INSERT INTO decisions.told (position, what, kind, event_id, at_ms, content)"
            " VALUES ((SELECT coalesce(max(position), 0) + 1 FROM decisions.told), 'label',"
            " :scene, :id, :at, CAST(:content AS jsonb))",
            scene=SCENE,
            id=id,
            at=at_ms,
            content=json.dumps({"field": "is_fraud", "value": value, "told_at_ms": at_ms}),
        )


def test_a_challenger_judges_its_share_and_the_test_hears_of_it(
    desk: Desk, clock: SteppingClock
) -> None:
    desk.commit(STRICT)
    start(desk)
    with pytest.raises(life.ChallengeRuns):
        start(desk)
    owner = desk.owner()
    made = ask(owner, payments(clock, 300))
    by_arm: dict[str, list[Decision]] = {"active": [], "challenger": []}
    for one in made:
        by_arm[one.versions["arm"]].append(one)
    assert 110 < len(by_arm["challenger"]) < 190
    assert {one.cause for one in by_arm["challenger"]} == {"policy.withdrawal@2"}
    assert {one.outcome for one in by_arm["active"]} == {"approve"}
    # Every large one turns out to be fraud, and somebody says so.
    bad = [one for n, one in enumerate(made) if n % 3 == 0]
    for one in bad:
        label(desk, one.asked.id, one.asked.at_ms + DAY // 2, 1)
    # The last one nobody reports: it counts as honest.
    last = ask(owner, payments(clock, 1, first=300))
    context = desk.context()
    behind.observe_challenges.work(context)
    with desk.database.reading() as connection:
        report = challenges.report_challenge(connection, SCENE, as_of=clock.now())
    assert sum(arm.exposed for arm in report.results.metrics[0].arms) == 301
    assert sum(arm.n for arm in report.results.metrics[0].arms) == 0
    clock.advance(timedelta(days=4))
    behind.observe_challenges.work(context)
    behind.observe_challenges.work(context)
    with desk.database.reading() as connection:
        report = challenges.report_challenge(connection, SCENE, as_of=clock.now())
    assert report.state is State.RUNNING
    arms = {
        (metric.metric.name, arm.arm): (arm.n, arm.total)
        for metric in report.results.metrics
        for arm in metric.arms
    }
    passed = sum(one.outcome in LETS_PASS for one in bad)
    assert arms["fraud_passed", "active"][1] == passed
    assert arms["fraud_passed", "challenger"][1] == 0
    assert arms["lost_minor", "active"][1] == passed * 400_000
    disturbed = [one for one in made + last if one.outcome not in LETS_PASS]
    assert arms["disturbed", "challenger"][1] == sum(one not in bad for one in disturbed)
    assert arms["fraud_passed", "active"][0] + arms["fraud_passed", "challenger"][0] == 301
    assert report.results.metrics[0].comparisons[0].verdict is Verdict.CHALLENGER_BETTER
    desk.promote(2)
    asyncio.run(owner.follow(desk.roster()))
    (after,) = ask(owner, payments(clock, 1, first=301))
    assert (after.cause, after.versions.get("arm")) == ("policy.withdrawal@2", None)
    with desk.database.reading() as connection:
        state = challenges.report_challenge(connection, SCENE, as_of=clock.now()).state
        assert policies.read_stand(connection, SCENE).challenger is None
    assert state is State.STOPPED
    owner.close()


def test_a_challenge_of_what_is_no_longer_active_does_not_start(desk: Desk) -> None:
    desk.commit(STRICT)
    desk.commit(CURIOUS)
    asked = desk.run(lambda unit: challenges.request_challenge(unit, SCENE, 2, challenges.Terms()))
    desk.approve(asked)
    with pytest.raises(life.ChallengeIsUnknown):
        desk.run(lambda unit: challenges.start_challenge(unit, SCENE, 3, approval=asked.id))
    desk.promote(3)
    with pytest.raises(life.ChallengeIsUnknown):
        desk.run(lambda unit: challenges.start_challenge(unit, SCENE, 2, approval=asked.id))
    for wrong in (challenges.Terms(0), challenges.Terms(100, timedelta(0))):
        with pytest.raises(life.ChallengeIsMalformed):
            desk.run(lambda unit, w=wrong: challenges.request_challenge(unit, SCENE, 2, w))


def test_a_challenge_is_ended_by_two_people_or_left_when_its_experiment_was_stopped(
    desk: Desk,
) -> None:
    desk.commit(STRICT)
    with pytest.raises(life.ChallengeIsUnknown):
        desk.run(lambda unit: challenges.request_end(unit, SCENE))
    start(desk)
    asked = desk.run(lambda unit: challenges.request_end(unit, SCENE))
    desk.approve(asked)
    desk.run(lambda unit: challenges.end_challenge(unit, SCENE, approval=asked.id))
    assert desk.roster().standings[SCENE].challenger is None
    start(desk)
    assert desk.roster().standings[SCENE].challenger is not None
    stop = desk.run(lambda unit: designs.request_stop(unit, "policy_withdrawal", 2))
    desk.approve(stop)
    desk.run(lambda unit: designs.stop_experiment(unit, "policy_withdrawal", 2, approval=stop.id))
    behind.observe_challenges.work(desk.context())
    assert desk.roster().standings[SCENE].challenger is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("approve", None, True)], (1, 0, 500)),
        ([("approve", None, False)], (0, 0, 0)),
        ([("decline", None, True)], (0, 0, 0)),
        ([("step_up", None, False), ("approve", None, True)], (1, 1, 500)),
        ([("limit", 200, True), ("limit", 900, True)], (1, 0, 700)),
    ],
)
def test_what_became_of_a_subject(
    told: list[tuple[str, int | None, bool]], expected: tuple[int, int, int]
) -> None:
    made = []
    for n, (outcome, limit_minor, _) in enumerate(told):
        asked = Asked(scene=SCENE, id=str(n), at_ms=n, fields={"amount_minor": 500})
        judged = Judgement(outcome, None, (), limit_minor)
        made.append(
            decide(
                asked,
                id_of(asked),
                judged,
                subject="customer:1",
                sequence=n,
                values={},
                flags={},
                versions={"policy": "policy.withdrawal@1"},
                decided_at_ms=n,
            )
        )
    bad = {str(n): True for n, (_, _, is_bad) in enumerate(told) if is_bad}
    found = challenges.outcomes_of(made, bad)
    assert (found["fraud_passed"], found["disturbed"], found["lost_minor"]) == expected
