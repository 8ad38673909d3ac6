"""Policies change safely: checked, committed, in force by two people, back as quickly; recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.decisions import guards, lists, policies
from steelyard.decisions.model import lifecycle as life
from steelyard.decisions.model.budget import (
    BudgetIsMalformed,
    KillSwitchIsNotThrown,
    KillSwitchIsThrown,
    LifterThrewTheSwitch,
)
from steelyard.decisions.model.document import DocumentIsMalformed
from steelyard.decisions.model.guards import Stop, hits_of
from steelyard.decisions.model.lifecycle import Content
from steelyard.decisions.model.policy import Fails
from steelyard.decisions.model.question import SceneIsUnknown
from steelyard.decisions.scenes import delivered_policies
from steelyard.decisions.service.proof import PolicyIsUnknown
from steelyard.kernel import SteppingClock
from steelyard.parties import approvals
from tests.decisions.desk import ANN, BOB, NOW_MS, SCENE, Desk, changed


@pytest.fixture
def desk(database: Database, clock: SteppingClock) -> Desk:
    return Desk(database, clock)


def test_the_delivered_policies_are_installed_once(desk: Desk) -> None:
    delivered = delivered_policies()
    now = desk.roster()
    assert {scene: one.active.cause for scene, one in now.standings.items()} == {
        scene: policy.cause for scene, policy in delivered.items()
    }
    assert [one.active.document.hash for one in now.standings.values()] == [
        delivered[scene].document.hash for scene in now.standings
    ]
    assert desk.run(policies.install_delivered) == ()
    assert desk.roster().version == now.version > 0
    assert set(now.lists) >= {"blocked_cards", "trusted_customers"}
    assert [kind for kind, _ in desk.facts()] == ["PolicyCommitted", "PolicyPromoted"] * 5


def test_before_the_installation_the_delivered_policies_judge(database: Database) -> None:
    with database.reading() as connection:
        before = policies.load_roster(connection)
        assert policies.roster_version(connection) == before.version == 0
        found = policies.policy_of(connection, "policy.log_in@1")
    assert set(before.scenes) == set(delivered_policies())
    assert found.document.hash == delivered_policies()["log_in"].document.hash


def test_a_version_goes_from_draft_to_force_and_back(desk: Desk) -> None:
    before = desk.roster()
    committed = desk.commit(changed())
    assert (committed.version, committed.cause) == (2, "policy.withdrawal@2")
    assert desk.roster().version == before.version
    with pytest.raises(life.DraftIsUnknown), desk.database.reading() as connection:
        policies.read_draft(connection, SCENE)
    desk.promote(2)
    now = desk.roster()
    assert now.version > before.version
    assert now.choose(SCENE, "customer:1", NOW_MS).policy.cause == "policy.withdrawal@2"
    with desk.database.reading() as connection:
        assert policies.version_before(connection, SCENE) == 1
        old = policies.policy_of(connection, "policy.withdrawal@1")
    assert old.document.hash == delivered_policies()[SCENE].document.hash
    desk.promote(1)
    assert desk.roster().choose(SCENE, "customer:1", NOW_MS).policy.cause == "policy.withdrawal@1"
    hows = [fact["how"] for kind, fact in desk.facts() if kind == "PolicyPromoted"]
    assert hows[-2:] == ["promote", "roll_back"]
    assert {"decisions.draft", "decisions.commit_policy", "decisions.promote",
            "decisions.roll_back"} <= {*desk.audited()}  # fmt: skip


def test_one_person_alone_puts_nothing_in_force(desk: Desk) -> None:
    desk.commit(changed())
    asked = desk.run(lambda unit: policies.request_promotion(unit, SCENE, 2))
    with pytest.raises(approvals.MakerIsChecker):
        desk.approve(asked, ANN)
    with pytest.raises(approvals.ApprovalIsNotOpen):
        desk.run(lambda unit: policies.promote(unit, SCENE, 2, approval=asked.id))
    desk.approve(asked)
    desk.run(lambda unit: policies.promote(unit, SCENE, 2, approval=asked.id))


def test_a_yes_to_what_is_no_longer_so_is_worth_nothing(desk: Desk) -> None:
    desk.commit(changed())
    desk.commit(changed(note="again", fails=Fails.OPEN))
    asked = desk.run(lambda unit: policies.request_promotion(unit, SCENE, 2))
    desk.approve(asked)
    desk.promote(3)
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        desk.run(lambda unit: policies.promote(unit, SCENE, 2, approval=asked.id))


def cell(row: str, column: str, value: str, node: str = "rules") -> Content:
    made = changed()
    document = json.loads(made.source)
    (table,) = [one for one in document["nodes"] if one["id"] == node]
    (found,) = [one for one in table["content"]["rules"] if one["_id"] == row]
    found[column] = value
    return replace(made, source=json.dumps(document))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (cell("W01", "c1", "amuont_minor > 5"), "unknown_field"),
        (cell("W01", "c1", "is_fraud == true"), "unknown_field"),
        (cell("W01", "c1", 'amount_minor == "five"'), "type_error"),
        (cell("W01", "reason", '"because"'), "test_case"),
        (changed(examples="[]"), "test_case"),
        (
            changed(examples='[{"name": "a", "values": {}, "outcome": "approve", "reasons": []}]'),
            "test_case",
        ),
    ],
)
def test_what_is_wrong_is_shown_and_not_committed(desk: Desk, content: Content, code: str) -> None:
    desk.run(lambda unit: policies.draft_policy(unit, SCENE, content))
    with desk.database.reading() as connection:
        checked = policies.check_draft(connection, SCENE)
    assert checked.policy is None
    assert code in {one.code for one in checked.errors}
    assert all(one.en and one.zh for one in checked.findings)
    with pytest.raises(life.DraftIsUnsound) as refused:
        desk.run(lambda unit: policies.commit_draft(unit, SCENE))
    assert refused.value.sentence("zh")
    with desk.database.reading() as connection:
        assert policies.read_draft(connection, SCENE).content == content


def test_gaps_overlaps_and_a_missing_default_are_shown_and_kept_with_the_version(
    desk: Desk,
) -> None:
    committed = desk.commit(changed())
    codes = {one.code for one in committed.findings}
    assert {"missing_default", "overlapping_rows", "gap"} <= codes
    with desk.database.reading() as connection:
        assert policies.read_version(connection, SCENE, 2) == committed


def test_nonsense_is_refused_before_it_is_a_draft(desk: Desk) -> None:
    with pytest.raises(DocumentIsMalformed):
        desk.run(lambda unit: policies.draft_policy(unit, SCENE, changed(source="{")))
    with pytest.raises(life.ExamplesAreMalformed):
        desk.run(lambda unit: policies.draft_policy(unit, SCENE, changed(examples='{"a": 1}')))
    with pytest.raises(SceneIsUnknown):
        desk.run(lambda unit: policies.draft_policy(unit, "tea", changed()))
    with pytest.raises(BudgetIsMalformed):
        life.read_budget({"window": 1, "most": 2})
    with pytest.raises(life.DraftIsUnknown):
        desk.run(lambda unit: policies.commit_draft(unit, SCENE))


def test_the_same_is_not_committed_twice_and_a_version_never_changes(desk: Desk) -> None:
    desk.commit(changed())
    with pytest.raises(life.PolicyIsCommitted):
        desk.commit(changed(note="with another word"))
    with pytest.raises(life.PolicyIsActive):
        desk.run(lambda unit: policies.request_promotion(unit, SCENE, 1))
    with pytest.raises(life.PolicyVersionIsUnknown):
        desk.run(lambda unit: policies.request_promotion(unit, SCENE, 9))
    with pytest.raises(life.NothingToRollBackTo), desk.database.reading() as connection:
        policies.version_before(connection, SCENE)
    with pytest.raises(sa.exc.DBAPIError), desk.database.unit_of_work() as unit:
        unit.execute("UPDATE decisions.policy SET note = 'x'")


def test_a_policy_is_found_as_it_judged(desk: Desk) -> None:
    with desk.database.reading() as connection:
        whole = policies.policy_of(connection, "policy.withdrawal@1")
        values = {"amount_minor": None, "customer": None}
        hits = hits_of(whole.judge(values).trace)
        less = policies.policy_of(connection, "policy.withdrawal@1", hits[0])
        assert hits[0] not in hits_of(less.judge(values).trace)
        off = policies.policy_of(connection, "policy.withdrawal@1", killed="scene:withdrawal")
        assert off.judge({}).degraded == "SwitchedOff: scene:withdrawal"
        for cause in ("policy.withdrawal@9", "policy.tea@1", "nonsense", "policy.withdrawal@" * 9):
            with pytest.raises(PolicyIsUnknown):
                policies.policy_of(connection, cause)


# -- rules, snoozes, switches -----------------------------------------------------------------


def test_the_guard_stops_a_rule_once_and_somebody_lets_it_go_on(desk: Desk) -> None:
    stop = Stop(SCENE, "rules/W01", 300, 1_000, 2_500)
    before = desk.roster().version
    assert guards.stop_guarded(desk.database, stop)
    assert not guards.stop_guarded(desk.database, stop)
    assert not guards.stop_guarded(desk.database, replace(stop, rule="rules/none"))
    now = desk.roster()
    assert now.version > before
    assert now.choose(SCENE, "customer:1", NOW_MS).versions == {"without": "rules/W01"}
    with desk.database.reading() as connection:
        (case,) = connection.execute(sa.text("SELECT kind, subject FROM cases.case_file")).all()
        (stopped,) = guards.stopped_rules(connection, SCENE)
    assert tuple(case) == ("decisions.rule_stopped", "scene:withdrawal")
    assert stopped.reason == "300 of the last 1000 turned down, budget 25 %"
    desk.run(lambda unit: guards.resume_rule(unit, SCENE, "rules/W01"))
    assert desk.roster().choose(SCENE, "customer:1", NOW_MS).versions == {}
    with pytest.raises(life.RuleIsNotStopped):
        desk.run(lambda unit: guards.resume_rule(unit, SCENE, "rules/W01"))


def test_who_stops_a_rule_does_not_let_it_go_on(desk: Desk) -> None:
    desk.run(lambda unit: guards.stop_rule(unit, SCENE, "rules/W01", "wrong"))
    with pytest.raises(life.StopperResumes):
        desk.run(lambda unit: guards.resume_rule(unit, SCENE, "rules/W01"))
    desk.run(lambda unit: guards.resume_rule(unit, SCENE, "rules/W01"), BOB)


def test_a_rule_is_snoozed_for_one_until_the_end(desk: Desk, clock: SteppingClock) -> None:
    def snooze(rule: str = "rules/W01", days: float = 7, subject: str = "customer:1") -> Any:
        return desk.run(
            lambda unit: guards.snooze_rule(
                unit,
                SCENE,
                rule,
                subject=subject,
                until_at=unit.now + timedelta(days=days),
                reason="known",
            )
        )

    made = snooze()
    with pytest.raises(life.RuleIsSnoozed):
        snooze()
    for wrong in ({"days": -1}, {"days": 400}, {"subject": "somebody"}):
        with pytest.raises(life.SnoozeIsMalformed):
            snooze(**wrong)
    for rule in ("rules/none", "bands/B7", "rules/W01,rules/W02", "lists/blocked_payees"):
        with pytest.raises(life.RuleIsUnknown):
            snooze(rule)
    at = round(clock.now().timestamp() * 1000)
    now = desk.roster()
    assert now.choose(SCENE, "customer:1", at).versions == {"without": "rules/W01"}
    assert now.choose(SCENE, "customer:2", at).versions == {}
    assert now.choose(SCENE, "customer:1", at + 7 * 86_400_000).versions == {}
    desk.run(lambda unit: guards.end_snooze(unit, SCENE, made.id))
    assert desk.roster().choose(SCENE, "customer:1", at).versions == {}
    with pytest.raises(life.SnoozeIsUnknown):
        desk.run(lambda unit: guards.end_snooze(unit, SCENE, made.id))
    snooze()
    clock.advance(timedelta(days=8))
    snooze()
    clock.advance(timedelta(days=8))
    assert desk.run(guards.close_overdue) == 1
    assert desk.roster().standings[SCENE].snoozes == {}


@pytest.mark.parametrize("subject", ["scene:withdrawal", "policy:withdrawal@1"])
def test_one_throws_a_switch_and_another_lifts_it(desk: Desk, subject: str) -> None:
    def throw(unit: UnitOfWork) -> object:
        return guards.throw_switch(unit, subject, "it declines all")

    def lift(unit: UnitOfWork) -> object:
        return guards.lift_switch(unit, subject)

    desk.run(throw)
    chosen = desk.roster().choose(SCENE, "customer:1", NOW_MS)
    assert chosen.versions == {"killed": subject}
    assert chosen.policy.judge({}).outcome == "decline"
    with pytest.raises(KillSwitchIsThrown):
        desk.run(throw)
    with pytest.raises(LifterThrewTheSwitch):
        desk.run(lift)
    desk.run(lift, BOB)
    with pytest.raises(KillSwitchIsNotThrown):
        desk.run(lift, BOB)
    assert desk.roster().choose(SCENE, "customer:1", NOW_MS).versions == {}
    assert desk.audited().count("decisions.throw_switch") == 1


@pytest.mark.parametrize(
    "subject", ["scene:tea", "policy:withdrawal@2", "policy:withdrawal", "rule:x", ""]
)
def test_what_is_not_there_has_no_switch(desk: Desk, subject: str) -> None:
    with pytest.raises(life.SwitchIsUnknown):
        desk.run(lambda unit: guards.throw_switch(unit, subject, "x"))


# -- lists ----------------------------------------------------------------------------------------


def test_a_list_is_asked_with_its_end_and_taken_off(desk: Desk, clock: SteppingClock) -> None:
    until = clock.now() + timedelta(hours=1)
    policy = delivered_policies()["payment"]
    added = desk.run(
        lambda unit: lists.add_to_list(
            unit, "blocked_cards", ["k1", "k2", "k1"], reason="stolen", until_at=until
        )
    )
    assert added == 2
    again = desk.run(lambda unit: lists.add_to_list(unit, "blocked_cards", ["k2"], reason="known"))
    assert again == 0
    at = round(clock.now().timestamp() * 1000)
    hour = 3_600_000
    for card, when, flags in (
        ("k1", at, {"list_blocked_cards": True}),
        ("k1", at + hour, {}),
        ("k2", at + hour, {"list_blocked_cards": True}),
        ("k3", at, {}),
    ):
        assert desk.roster().flags(policy, {"card": card}, when) == flags
    with desk.database.reading() as connection:
        page = lists.list_entries(connection, "blocked_cards", now=clock.now(), limit=1)
        assert [one.value for one in page.items] == ["k1"]
        rest = lists.list_entries(connection, "blocked_cards", now=clock.now(), cursor=page.next)
        assert [(one.value, one.reason, one.until_at) for one in rest.items] == [
            ("k2", "known", None)
        ]
        counted = {one.list.name: one for one in lists.counted_lists(connection, now=clock.now())}
    assert (counted["blocked_cards"].entries, counted["blocked_cards"].list.means) == (2, "block")
    desk.run(lambda unit: lists.take_off_list(unit, "blocked_cards", "k2", reason="found"))
    with pytest.raises(life.EntryIsUnknown):
        desk.run(lambda unit: lists.take_off_list(unit, "blocked_cards", "k2", reason="found"))
    clock.advance(timedelta(hours=2))
    assert desk.run(lists.forget_overdue) == 1
    assert desk.roster().lists["blocked_cards"] == {}
    assert "decisions.take_off_list" in desk.audited()


@pytest.mark.parametrize(
    ("text", "nth"),
    [
        ("value\nk1\n", 0),
        ("value,reason,until,more\nk1,a,,\n", 0),
        ("value,reason\nk1,stolen\n,stolen\n", 2),
        ("value,reason\nk1,\n", 1),
        ("value,reason,until\nk1,a,2026-03-09\n", 1),
        ("value,reason,until\nk1,a,soon\n", 1),
        ("value,reason,until\nk1,a,2020-01-01T00:00:00Z\n", 1),
        ("value,reason\nk1,a,b\n", 1),
        ("value,reason\n", 0),
        ('value,reason\n"k1,a\n', 0),
        ("value,reason\nk\x001,a\n", 1),
    ],
)
def test_a_file_with_a_mistake_enters_nothing(desk: Desk, text: str, nth: int) -> None:
    with pytest.raises(life.EntryIsMalformed) as refused:
        desk.run(lambda unit: lists.import_list(unit, "blocked_cards", text))
    assert refused.value.facts["nth"] == nth
    assert desk.roster().lists["blocked_cards"] == {}


def test_a_large_file_is_entered_and_heard_of(desk: Desk) -> None:
    rows = "".join(f"k{n},leaked,2026-03-09T00:00:00+08:00\n" for n in range(20_000))
    text = "value,reason,until\n" + rows
    before = desk.roster().version
    assert desk.run(lambda unit: lists.import_list(unit, "blocked_cards", text)) == 20_000
    now = desk.roster()
    assert now.version > before
    assert len(now.lists["blocked_cards"]) == 20_000
    with pytest.raises(life.ListIsUnknown):
        desk.run(lambda unit: lists.import_list(unit, "nobody", text))
