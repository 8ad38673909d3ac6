"""What one person, or the guard, stops at once: a rule, a rule for somebody, a policy, a scene."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.decisions.model.budget import (
    KillSwitch,
    KillSwitchIsNotThrown,
    KillSwitchIsThrown,
    LifterThrewTheSwitch,
)
from steelyard.decisions.model.guards import Stop
from steelyard.decisions.model.lifecycle import (
    RuleIsNotStopped,
    RuleIsSnoozed,
    RuleIsStopped,
    RuleIsUnknown,
    SnoozeIsMalformed,
    SnoozeIsUnknown,
    StopperResumes,
    SwitchIsUnknown,
)
from steelyard.decisions.model.roster import rules_of
from steelyard.decisions.service.policies import (
    compiled_policy,
    raise_roster,
    read_stand,
    read_version,
)
from steelyard.decisions.service.policy_facts import (
    KillSwitchLifted,
    KillSwitchThrown,
    RuleResumed,
    RuleStopped,
)
from steelyard.decisions.store import guards as table
from steelyard.decisions.store import policies as policy_table
from steelyard.decisions.store import shadows as shadow_table
from steelyard.decisions.store.guards import SnoozedRule, StoppedRule

__all__ = [
    "LONGEST_SNOOZE",
    "MOST_REASON",
    "RULE_STOPPED",
    "KillSwitch",
    "KillSwitchIsNotThrown",
    "KillSwitchIsThrown",
    "LifterThrewTheSwitch",
    "SnoozedRule",
    "Stop",
    "StoppedRule",
    "close_overdue",
    "end_snooze",
    "lift_switch",
    "resume_rule",
    "running_snoozes",
    "snooze_rule",
    "stop_guarded",
    "stop_rule",
    "stopped_rules",
    "switch_of",
    "throw_switch",
    "thrown_switches",
]

LONGEST_SNOOZE = timedelta(days=366)
MOST_REASON = 500

RULE_STOPPED = registry.register_kind(
    CaseKind(
        "decisions.rule_stopped",
        "A rule was stopped",
        "规则已停用",
        registry.Sla(timedelta(hours=4)),
        (
            registry.CaseOutcome("rule_was_wrong", "The rule was wrong", "规则有误"),
            registry.CaseOutcome("attack", "It was an attack", "确为攻击"),
            registry.CaseOutcome("resumed", "The rule goes on", "规则已恢复"),
        ),
        priority=registry.Priority.HIGH,
    )
)


# -- rules ----------------------------------------------------------------------------------------


def stop_rule(unit: UnitOfWork, scene: str, rule: str, reason: str) -> StoppedRule:
    """Stop a rule for everybody, and put the matter before people; it is still observed.

    Refusals
    --------
    scene_is_unknown, rule_is_unknown, rule_is_stopped
    """
    policy_table.hold_scene(unit.connection, scene)
    _must_have(unit.connection, scene, rule)
    head = shadow_table.head(unit.connection)
    stopped = StoppedRule(scene, rule, reason[:MOST_REASON], unit.actor, unit.now, head)
    if not table.insert_stopped(unit.connection, stopped):
        raise RuleIsStopped(scene=scene, rule=rule)
    unit.record(RuleStopped(scene=scene, rule=rule), subject=f"scene:{scene}")
    open_case(unit, RULE_STOPPED.name, f"scene:{scene}", dedup_key=f"{scene}/{rule}")
    raise_roster(unit)
    _audit(unit, "stop_rule", scene, {"rule": rule, "reason": stopped.reason})
    return stopped


def stop_guarded(database: Database, stop: Stop) -> bool:
    """Stop a rule that its guard found over budget; False where it is stopped or gone already."""
    try:
        database.transact(
            lambda unit: stop_rule(unit, stop.scene, stop.rule, stop.reason),
            actor="system:budget_guard",
        )
    except (RuleIsStopped, RuleIsUnknown):
        return False
    return True


def resume_rule(unit: UnitOfWork, scene: str, rule: str) -> None:
    """Let a stopped rule take effect again; somebody else than who stopped it says so.

    Refusals
    --------
    rule_is_not_stopped, stopper_resumes
    """
    policy_table.hold_scene(unit.connection, scene)
    stopped = table.take_stopped(unit.connection, scene, rule)
    if stopped is None:
        raise RuleIsNotStopped(scene=scene, rule=rule)
    if stopped.stopped_by == unit.actor:
        raise StopperResumes(rule=rule)
    unit.record(RuleResumed(scene=scene, rule=rule), subject=f"scene:{scene}")
    raise_roster(unit)
    _audit(unit, "resume_rule", scene, {"rule": rule, "seen": stopped.seen, "hits": stopped.hits})


def stopped_rules(connection: sa.Connection, scene: str | None = None) -> list[StoppedRule]:
    """Return the stopped rules, of a scene if one is named."""
    found = table.stopped_rules(connection)
    return [one for one in found if scene in (None, one.scene)]


def snooze_rule(
    unit: UnitOfWork, scene: str, rule: str, *, subject: str, until_at: datetime, reason: str
) -> SnoozedRule:
    """Leave a rule out for one subject, until an instant.

    Refusals
    --------
    scene_is_unknown, rule_is_unknown : also for the default of a table, which is no rule
    snooze_is_malformed : it ends in the past or after more than a year, or is about nobody
    rule_is_snoozed
    """
    policy_table.hold_scene(unit.connection, scene)
    _must_have(unit.connection, scene, rule)
    noun, _, id = subject.partition(":")
    if not noun or not id or len(subject) > 200:
        raise SnoozeIsMalformed(what="the subject has to be noun:id")
    if not unit.now < until_at <= unit.now + LONGEST_SNOOZE:
        raise SnoozeIsMalformed(what="it has to end in the future, within a year")
    if not reason:
        raise SnoozeIsMalformed(what="there is no reason")
    snooze = SnoozedRule(
        unit.new_id(),
        scene,
        rule,
        subject,
        until_at,
        reason[:MOST_REASON],
        unit.actor,
        unit.now,
    )
    table.end_overdue(unit.connection, by="system:time", now=unit.now, limit=1_000)
    if not table.insert_snooze(unit.connection, snooze):
        raise RuleIsSnoozed(rule=rule, subject=subject)
    raise_roster(unit)
    detail = {"rule": rule, "for": subject, "until": until_at.isoformat(), "id": str(snooze.id)}
    _audit(unit, "snooze_rule", scene, detail)
    return snooze


def end_snooze(unit: UnitOfWork, scene: str, id: UUID) -> SnoozedRule:
    """End a snooze of a scene before its time.

    Refusals
    --------
    snooze_is_unknown
    """
    ended = table.end_snooze(unit.connection, id, by=unit.actor, now=unit.now)
    if ended is None or ended.scene != scene:
        raise SnoozeIsUnknown(id=id)
    raise_roster(unit)
    _audit(unit, "end_snooze", ended.scene, {"rule": ended.rule, "for": ended.subject})
    return ended


def running_snoozes(
    connection: sa.Connection, *, now: datetime, scene: str | None = None
) -> list[SnoozedRule]:
    """Return the snoozes that run at an instant, of a scene if one is named."""
    found = table.running_snoozes(connection)
    return [one for one in found if scene in (None, one.scene) and now < one.until_at]


# -- kill switches --------------------------------------------------------------------------------


def switch_of(scene: str, version: int | None = None) -> str:
    """Return what switches a scene off, or one version of its policy."""
    return f"scene:{scene}" if version is None else f"policy:{scene}@{version}"


def throw_switch(
    unit: UnitOfWork, subject: str, reason: str, *, until_at: datetime | None = None
) -> KillSwitch:
    """Switch a scene or a version off at once; its fault mode answers until it is lifted.

    A challenger that is switched off leaves its subjects to the active policy.

    Parameters
    ----------
    subject : `scene:<name>` or `policy:<scene>@<version>`
    until_at : it lifts itself then

    Refusals
    --------
    switch_is_unknown, kill_switch_is_thrown
    """
    _must_be(unit.connection, subject)
    switch = table.lock_switch(unit.connection, subject)
    thrown = switch.throw(unit.actor, reason[:MOST_REASON], now=unit.now, until_at=until_at)
    table.put_switch(unit.connection, thrown)
    unit.record(KillSwitchThrown(switch=subject), subject=f"switch:{subject}")
    raise_roster(unit)
    audit(unit, action="decisions.throw_switch", subject=subject, detail={"reason": thrown.reason})
    return thrown


def lift_switch(unit: UnitOfWork, subject: str) -> KillSwitch:
    """Let what was switched off be asked again; somebody else than who threw the switch does.

    Refusals
    --------
    switch_is_unknown, kill_switch_is_not_thrown, lifter_threw_the_switch
    """
    _must_be(unit.connection, subject)
    switch = table.lock_switch(unit.connection, subject)
    if switch.thrown_by is None:
        raise KillSwitchIsNotThrown(subject=subject)
    lifted = switch.lift(unit.actor, now=unit.now)
    table.put_switch(unit.connection, lifted)
    unit.record(KillSwitchLifted(switch=subject), subject=f"switch:{subject}")
    raise_roster(unit)
    audit(unit, action="decisions.lift_switch", subject=subject)
    return lifted


def thrown_switches(connection: sa.Connection, *, now: datetime) -> list[KillSwitch]:
    """Return the switches that are thrown at an instant."""
    return [one for one in table.thrown_switches(connection) if one.is_thrown_at(now)]


def close_overdue(unit: UnitOfWork, *, limit: int = 500) -> int:
    """Close snoozes whose time is over; return how many."""
    closed = table.end_overdue(unit.connection, by=unit.actor, now=unit.now, limit=limit)
    if closed:
        raise_roster(unit)
    return closed


def _must_have(connection: sa.Connection, scene: str, rule: str) -> None:
    """Refuse what is no rule of a policy that judges the scene."""
    stand = read_stand(connection, scene)
    judging = [stand.active, *([] if stand.challenger is None else [stand.challenger])]
    known = [compiled_policy(connection, read_version(connection, scene, one)) for one in judging]
    if "," in rule or not any(rule in rules_of(policy) for policy in known):
        raise RuleIsUnknown(rule=rule[:100], policy=known[0].cause)


def _must_be(connection: sa.Connection, subject: str) -> None:
    noun, _, id = subject.partition(":")
    scene, _, number = id.partition("@")
    is_known = False
    if noun == "scene":
        is_known = policy_table.find_stand(connection, id) is not None
    elif noun == "policy" and number.isascii() and number.isdecimal() and len(number) < 10:
        is_known = policy_table.find_version(connection, scene, int(number)) is not None
    if not is_known:
        raise SwitchIsUnknown(subject=subject[:100])


def _audit(unit: UnitOfWork, verb: str, scene: str, detail: Mapping[str, object]) -> None:
    audit(unit, action=f"decisions.{verb}", subject=f"scene:{scene}", detail=detail)
