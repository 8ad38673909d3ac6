"""The roster: who judges whom, without which rules; what is left out is left out exactly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.decisions.model.budget import WHOLE_BP, Budget, Change, Guard
from steelyard.decisions.model.decision import Asked, Judgement, Value, decide
from steelyard.decisions.model.guards import Guards, Stop, hits_of
from steelyard.decisions.model.roster import (
    Roster,
    Snooze,
    Standing,
    Switch,
    rules_of,
    switched_off,
    variant,
)
from steelyard.decisions.scenes import delivered_examples, delivered_policies
from steelyard.decisions.service.engine import id_of
from steelyard.experiments import Arm, Better, Draft, Experiment, Metric, MetricKind, State

POLICIES = delivered_policies()
PAYMENTS = POLICIES["payment"]
NOW = 1_772_442_000_000
DAY = 86_400_000
HIGH: dict[str, Value] = {"customer": "c", "amount_minor": 30_000, "currency": "EUR"}


def roster(**standing: object) -> Roster:
    return Roster(3, {"payment": Standing(PAYMENTS, **standing)}, {})  # type: ignore[arg-type]


def challenge(weight_bp: int) -> Experiment:
    draft = Draft(
        name="policy_payment",
        hypothesis="less fraud",
        unit="customer",
        arms=(Arm("active", 10_000 - weight_bp), Arm("challenger", weight_bp)),
        metrics=(Metric("fraud", MetricKind.PROPORTION, Better.LOWER),),
        layer="policy_payment",
        salt="policy_payment",
    )
    at = datetime.fromtimestamp(NOW / 1000, UTC)
    weights = {arm.name: arm.weight_bp for arm in draft.arms}
    from steelyard.experiments.model.assignment import allocate

    return Experiment(draft, 1, allocate(weights), State.RUNNING, "a:b", at, started_at=at)


def test_what_is_delivered_judges_its_scene() -> None:
    delivered = Roster.delivered()
    assert delivered.version == 0
    assert set(delivered.scenes) == set(POLICIES)
    for scene, policy in POLICIES.items():
        chosen = delivered.choose(scene, "customer:1", NOW)
        assert (chosen.policy.cause, chosen.versions) == (policy.cause, {})
        assert delivered.reads(scene) == policy.reads
    first = delivered.choose("log_in", "customer:1", NOW)
    assert delivered.choose("log_in", "customer:2", NOW + DAY) is first


def test_a_snoozed_rule_is_left_out_for_its_subject_until_its_end() -> None:
    rule = "rules/P04"
    assert rule in hits_of(PAYMENTS.judge(HIGH).trace)
    now = roster(snoozes={"customer:c": (Snooze(rule, NOW + DAY),)})
    mine = now.choose("payment", "customer:c", NOW)
    assert mine.versions == {"without": rule}
    assert rule not in hits_of(mine.policy.judge(HIGH).trace)
    assert mine.policy.cause == PAYMENTS.cause
    assert mine.policy.versions == PAYMENTS.versions
    for subject, at in (("customer:d", NOW), ("customer:c", NOW + DAY)):
        other = now.choose("payment", subject, at)
        assert other.versions == {}
        assert other.policy is PAYMENTS


def test_a_stopped_rule_is_left_out_for_everybody_and_adds_to_snoozes() -> None:
    now = roster(
        stopped=frozenset({"rules/P05", "rules/gone"}),
        snoozes={"customer:c": (Snooze("rules/P04", NOW + 1),)},
    )
    assert now.choose("payment", "customer:d", NOW).versions == {"without": "rules/P05"}
    mine = now.choose("payment", "customer:c", NOW)
    assert mine.versions == {"without": "rules/P04,rules/P05"}


@pytest.mark.parametrize("scene", list(POLICIES))
def test_any_rule_can_be_left_out_and_only_it_is(scene: str) -> None:
    policy = POLICIES[scene]
    for rule, is_guarded in rules_of(policy).items():
        if not is_guarded:
            continue
        left = variant(policy, rule)
        for example in delivered_examples(scene):
            whole, without = policy.judge(example.values), left.judge(example.values)
            assert not without.degraded
            expected = tuple(
                one for one in hits_of(whole.trace) if one != rule and one.startswith("rules/")
            )
            found = tuple(one for one in hits_of(without.trace) if one.startswith("rules/"))
            assert found == expected


def test_the_last_row_of_a_first_hit_table_is_no_rule() -> None:
    assert "bands/B5" not in rules_of(PAYMENTS)
    assert rules_of(PAYMENTS)["bands/B2"] is False
    assert rules_of(PAYMENTS)["rules/P04"] is True
    assert variant(PAYMENTS, "") is PAYMENTS
    assert variant(PAYMENTS, "rules/P04") is variant(PAYMENTS, "rules/P04")


def test_a_thrown_switch_answers_by_the_fault_mode_until_its_end() -> None:
    for subject in ("scene:payment", "policy:payment@2"):
        now = roster(switches=(Switch(subject, NOW + 1),))
        chosen = now.choose("payment", "customer:c", NOW)
        assert chosen.versions == {"killed": subject}
        judged = chosen.policy.judge(HIGH)
        assert (judged.outcome, judged.reasons) == ("approve", ("policy_failed",))
        assert judged.degraded == f"SwitchedOff: {subject}"
        assert now.choose("payment", "customer:c", NOW + 1).policy is PAYMENTS
    closed = switched_off(POLICIES["withdrawal"], "scene:withdrawal").judge({})
    assert closed.outcome == "decline"
    other = roster(switches=(Switch("policy:payment@7", None),))
    assert other.choose("payment", "customer:c", NOW).versions == {}


def test_a_challenger_judges_its_arm_and_the_active_one_the_other() -> None:
    challenger = POLICIES["payment"]
    experiment = challenge(3_000)
    now = roster(challenger=challenger, experiment=experiment)
    arms = [now.choose("payment", f"customer:{n}", NOW).versions["arm"] for n in range(2_000)]
    assert 480 <= arms.count("challenger") <= 720
    assert arms == [
        now.choose("payment", f"customer:{n}", NOW + DAY).versions["arm"] for n in range(2_000)
    ]
    assert now.choose("payment", "customer:é", NOW).versions == {}
    killed = roster(
        challenger=challenger,
        experiment=experiment,
        switches=(Switch("policy:payment@2", None),),
    )
    seen = {killed.choose("payment", f"customer:{n}", NOW).versions["arm"] for n in range(99)}
    assert seen == {"active", "active, for challenger"}


def test_kept_lists_are_asked_until_their_end() -> None:
    lists = {"blocked_cards": {"k1": NOW + 5, "k2": None}, "blocked_devices": {}}
    now = Roster(1, {"payment": Standing(PAYMENTS)}, lists)
    for card, at, stands in (("k1", NOW + 4, True), ("k1", NOW + 5, False), ("k2", NOW, True)):
        flags = now.flags(PAYMENTS, {"card": card, "device": "k2"}, at)
        assert flags == ({"list_blocked_cards": True} if stands else {})
    assert now.flags(PAYMENTS, {"card": None}, NOW) == {}


RULES = [name for name, is_guarded in rules_of(PAYMENTS).items() if is_guarded][:3]
BUDGET = Budget("*", window=8, most_bp=3_000, resume_bp=1_000, fewest=3)


@given(st.lists(st.sets(st.sampled_from(RULES)), max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_the_guards_count_as_the_guard_of_one_rule(
    steps: list[set[str]], data: st.DataObject
) -> None:
    guards = Guards(roster(budget=BUDGET))
    single = {rule: Guard.of(BUDGET) for rule in RULES}
    stopped: set[str] = set()
    for step in steps:
        # A stopped rule takes no effect, so that it hits nothing.
        hit = step - stopped
        stops = {one.rule for one in guards.observe(turned_down(hit))}
        for rule in RULES:
            if rule in stopped:
                continue
            single[rule], change = single[rule].observe(hit=rule in hit)
            assert (change is Change.STOPPED) == (rule in stops)
            hits, seen = guards.standing(PAYMENTS.cause).get(rule, (0, None))
            assert hits == single[rule].hits
            assert seen in (None, single[rule].seen)
        stopped |= stops
        if stopped and data.draw(st.booleans()):
            back = stopped.pop()
            single[back] = single[back].resumed()
            guards.renew(roster(budget=BUDGET, stopped=frozenset(stopped | {back})))
            guards.renew(roster(budget=BUDGET, stopped=frozenset(stopped)))


def turned_down(hits: set[str], outcome: str = "decline"):  # type: ignore[no-untyped-def]
    asked = Asked(scene="payment", id="1", at_ms=NOW, fields={})
    judged = Judgement(outcome, 900, (), None, (["hits", sorted(hits)],))
    return decide(
        asked,
        id_of(asked),
        judged,
        subject="customer:c",
        sequence=1,
        values={},
        flags={},
        versions={"policy": PAYMENTS.cause},
        decided_at_ms=NOW,
    )


def test_a_rule_that_suddenly_declines_too_many_is_stopped_once() -> None:
    guards = Guards(roster())
    quiet = [turned_down(set(), "approve")] * 400
    assert [guards.observe(one) for one in quiet] == [()] * 400
    stops = [one for _ in range(200) for one in guards.observe(turned_down({"rules/P04"}))]
    (stop,) = stops
    assert isinstance(stop, Stop)
    assert stop.rule == "rules/P04"
    assert stop.hits * WHOLE_BP > 2_500 * stop.seen
    assert stop.reason == "134 of the last 534 turned down, budget 25 %"
    assert not Guards(roster(budget=None)).observe(turned_down({"rules/P04"}))
    approved = [turned_down({"rules/P04"}, "approve")] * 300
    assert not any(Guards(roster()).observe(one) for one in approved)
