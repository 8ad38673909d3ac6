"""Policies: drafted, checked, committed, put in force by two people, taken back as quickly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.decisions.model.compile import Kinds
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.model.lifecycle import (
    Checked,
    Committed,
    Content,
    Draft,
    DraftIsUnknown,
    DraftIsUnsound,
    How,
    NothingToRollBackTo,
    PolicyIsActive,
    PolicyIsCommitted,
    PolicyVersionIsUnknown,
    check_content,
    compiled,
    lists_of,
    parse_examples,
)
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.question import SceneIsUnknown
from steelyard.decisions.model.roster import (
    DEFAULT_BUDGET,
    Roster,
    Snooze,
    Standing,
    Switch,
    rules_of,
    switched_off,
    variant,
)
from steelyard.decisions.nodes import node_kinds
from steelyard.decisions.scenes import delivered_policies, delivered_source
from steelyard.decisions.service.policy_facts import PolicyCommitted, PolicyPromoted
from steelyard.decisions.service.proof import PolicyIsUnknown
from steelyard.decisions.service.registry import model_source
from steelyard.decisions.store import guards as guard_table
from steelyard.decisions.store import lists as list_table
from steelyard.decisions.store import policies as table
from steelyard.decisions.store import shadows as shadow_table
from steelyard.decisions.store.policies import Promotion, Stand
from steelyard.experiments import designs
from steelyard.features import KINDS
from steelyard.features.catalogue import kind_first
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.parties import approvals

PROMOTE = approvals.approval_kind(
    "decisions.promote", verb="decisions.approve", en="Put a policy in force", zh="策略生效"
)
_MOST_COMPILED = 64
_COMPILED: dict[tuple[str, int, str, str], CompiledPolicy] = {}


# -- what the owner and the proof read ------------------------------------------------------------


def roster_version(connection: sa.Connection) -> int:
    """Return the version of the roster: one row is read."""
    return table.roster_version(connection)


def load_roster(connection: sa.Connection) -> Roster:
    """Return the roster as it stands; where nothing is installed, that of the delivered policies.

    Parameters
    ----------
    connection : one snapshot (`database.reading()`), so that version and content fit
    """
    version = table.roster_version(connection)
    lists = list_table.every_entry(connection)
    # Of a scene that has another name now only the log knows; nobody asks under it any more.
    stands = [one for one in table.stands(connection) if one.scene in KINDS]
    if not stands:
        return Roster(version, Roster.delivered().standings, lists)
    shadows = shadow_table.running(connection)
    stopped = guard_table.stopped_rules(connection)
    snoozes = guard_table.running_snoozes(connection)
    thrown = tuple(
        Switch(one.subject, None if one.until_at is None else milliseconds(one.until_at))
        for one in guard_table.thrown_switches(connection)
    )
    standings = {}
    for stand in stands:
        scene = stand.scene
        active = read_version(connection, scene, stand.active)
        snoozed: dict[str, tuple[Snooze, ...]] = {}
        for one in snoozes:
            if one.scene == scene:
                made = Snooze(one.rule, milliseconds(one.until_at))
                snoozed[one.subject] = (*snoozed.get(one.subject, ()), made)
        challenger, experiment = None, None
        if stand.challenger is not None and stand.experiment is not None:
            challenger = compiled_policy(
                connection, read_version(connection, scene, stand.challenger)
            )
            experiment = designs.read_experiment(
                connection, stand.experiment, stand.experiment_version
            )
        standings[scene] = Standing(
            active=compiled_policy(connection, active),
            challenger=challenger,
            experiment=experiment,
            shadows=tuple(
                compiled_policy(connection, read_version(connection, scene, one.version))
                for one in shadows
                if one.scene == scene
            ),
            stopped=frozenset(one.rule for one in stopped if one.scene == scene),
            snoozes=snoozed,
            switches=tuple(
                one
                for one in thrown
                if one.subject == f"scene:{scene}" or one.subject.startswith(f"policy:{scene}@")
            ),
            budget=active.content.budget,
        )
    return Roster(version, standings, lists)


def policy_of(
    connection: sa.Connection, cause: str, without: str = "", killed: str = ""
) -> CompiledPolicy:
    """Return the policy that a cause names, as it judged.

    Parameters
    ----------
    cause : `policy.<scene>@<version>`; one that was never installed may be a delivered one
    without, killed : as the versions of the decision have them

    Refusals
    --------
    policy_is_unknown
    """
    scene, _, number = cause.removeprefix("policy.").partition("@")
    found = None
    if number.isascii() and number.isdecimal() and len(number) < 10:
        found = table.find_version(connection, scene, int(number))
    policy = None if found is None else compiled_policy(connection, found)
    if policy is None:
        policy = delivered_policies().get(scene)
        if policy is None or policy.cause != cause:
            raise PolicyIsUnknown(cause=cause)
    return switched_off(policy, killed) if killed else variant(policy, without)


def policy_that_made(connection: sa.Connection, decision: Decision) -> CompiledPolicy:
    """Return the policy of a decision, as it judged; see `policy_of`."""
    versions = decision.versions
    return policy_of(
        connection, decision.cause, versions.get("without", ""), versions.get("killed", "")
    )


def compiled_policy(connection: sa.Connection, committed: Committed) -> CompiledPolicy:
    """Return the policy of a version, compiled; kept, because a version never changes."""
    key = (committed.scene, committed.version, committed.hash, str(committed.content.fails))
    found = _COMPILED.get(key)
    if found is None:
        kinds = _kinds(connection, for_new=False)
        found = _COMPILED[key] = compiled(committed, kinds)
        while len(_COMPILED) > _MOST_COMPILED:
            del _COMPILED[next(iter(_COMPILED))]
    return found


# -- drafting and committing ----------------------------------------------------------------------


def install_delivered(unit: UnitOfWork) -> tuple[str, ...]:
    """Commit the delivered policy of each scene that has none, and put it in force.

    A scene that has versions is left as it is: what a release delivers anew is drafted by people.
    Where people put a version in force while the scene had another name, that one goes on.

    Returns
    -------
    tuple
        The scenes it was done for; none the second time.
    """
    done = []
    for scene, policy in delivered_policies().items():
        table.hold_scene(unit.connection, scene)
        if table.find_stand(unit.connection, scene) is not None:
            continue
        source, examples = delivered_source(scene)
        content = Content(source, policy.fails, examples, DEFAULT_BUDGET, "Delivered.")
        version, cause = policy.version, "delivered"
        chosen = _chosen_before(unit.connection, scene)
        if chosen is not None:
            content, version, cause = chosen.content, chosen.version + 1, chosen.cause
        checked = check_content(scene, content, version=version, kinds=_kinds(unit.connection))
        assert checked.policy is not None, checked.errors
        _commit(unit, scene, content, checked.policy, checked)
        _put_in_force(unit, Stand(scene, version), before=None, how=How.INSTALL, cause=cause)
        done.append(scene)
    return tuple(done)


def _chosen_before(connection: sa.Connection, scene: str) -> Committed | None:
    """Return what people put in force while the scene had its first name; None: nobody did."""
    stand = table.find_stand(connection, kind_first(scene))
    if stand is None or stand.scene == scene:
        return None
    made = table.promotions(connection, stand.scene, limit=1)
    is_delivered = not made or made[0].how is How.INSTALL
    return None if is_delivered else read_version(connection, stand.scene, stand.active)


def draft_policy(unit: UnitOfWork, scene: str, content: Content) -> Draft:
    """Keep what somebody writes; the draft of the scene that was there is dropped.

    It may be unsound, but can be parsed.

    Refusals
    --------
    scene_is_unknown, examples_are_malformed, and those of `check_content`
    """
    _must_know(scene)
    table.hold_scene(unit.connection, scene)
    check_content(scene, content, version=1, kinds=_kinds(unit.connection))
    draft = Draft(scene, content, unit.actor, unit.now)
    table.put_draft(unit.connection, draft)
    _audit(unit, "draft", f"scene:{scene}", {"note": content.note})
    return draft


def read_draft(connection: sa.Connection, scene: str) -> Draft:
    """Return the draft of a scene.

    Refusals
    --------
    draft_is_unknown
    """
    draft = table.find_draft(connection, scene)
    if draft is None:
        raise DraftIsUnknown(scene=scene)
    return draft


def drop_draft(unit: UnitOfWork, scene: str) -> None:
    """Throw the draft of a scene away.

    Refusals
    --------
    draft_is_unknown
    """
    if not table.drop_draft(unit.connection, scene):
        raise DraftIsUnknown(scene=scene)
    _audit(unit, "drop_draft", f"scene:{scene}", {})


def check_draft(connection: sa.Connection, scene: str, content: Content | None = None) -> Checked:
    """Return what is to be said of a content, or of the draft of a scene.

    Refusals
    --------
    scene_is_unknown, draft_is_unknown, and those of `check_content`
    """
    _must_know(scene)
    wanted = read_draft(connection, scene).content if content is None else content
    version = table.newest_version(connection, scene) + 1
    return check_content(scene, wanted, version=version, kinds=_kinds(connection))


def commit_draft(unit: UnitOfWork, scene: str) -> Committed:
    """Write the draft of a scene down as the next version, which never changes.

    Refusals
    --------
    draft_is_unknown, draft_is_unsound, policy_is_committed
    """
    table.hold_scene(unit.connection, scene)
    content = read_draft(unit.connection, scene).content
    checked = check_draft(unit.connection, scene)
    if checked.policy is None:
        errors = checked.errors
        raise DraftIsUnsound(scene=scene, errors=len(errors), first=errors[0].en)
    same = table.find_same(unit.connection, scene, checked.policy.document.hash, content)
    if same is not None:
        raise PolicyIsCommitted(scene=scene, version=same)
    table.drop_draft(unit.connection, scene)
    return _commit(unit, scene, content, checked.policy, checked)


def read_version(connection: sa.Connection, scene: str, version: int) -> Committed:
    """Return a version.

    Refusals
    --------
    policy_version_is_unknown
    """
    found = table.find_version(connection, scene, version)
    if found is None:
        raise PolicyVersionIsUnknown(scene=scene, version=version)
    return found


def list_versions(
    connection: sa.Connection, scene: str, *, cursor: str | None = None, limit: int = 20
) -> Page[Committed]:
    """Return a page of the versions of a scene, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before = int(decode_cursor(cursor, int)[0]) if cursor else 2**31 - 1
    found = table.versions(connection, scene, before=before, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(items[-1].version) if len(found) > limit else None)


def rules_in(connection: sa.Connection, committed: Committed) -> tuple[str, ...]:
    """Return the rules of a version that can be stopped or snoozed, `node/row`."""
    return tuple(rules_of(compiled_policy(connection, committed)))


# -- in force ---------------------------------------------------------------------------------


def shown_of_promotion(connection: sa.Connection, scene: str, version: int) -> dict[str, object]:
    """Return what a checker is shown of a version that is to judge a scene."""
    committed = read_version(connection, scene, version)
    stand = read_stand(connection, scene)
    return {
        "scene": scene,
        "version": version,
        "in_place_of": stand.active,
        "how": str(_how(connection, stand, version)),
        "hash": committed.hash,
        "fails": str(committed.content.fails),
        "note": committed.content.note,
        "committed_by": committed.committed_by,
        "warnings": sum(one.severity == "warning" for one in committed.findings),
        "test_cases": len(parse_examples(committed.content.examples)),
        "ends_challenge_of": stand.challenger,
    }


def request_promotion(unit: UnitOfWork, scene: str, version: int) -> approvals.Approval:
    """Ask for a second person's yes to a version that is to judge a scene, an earlier one too.

    Refusals
    --------
    scene_is_unknown, policy_version_is_unknown, policy_is_active
    """
    committed = read_version(unit.connection, scene, version)
    if read_stand(unit.connection, scene).active == version:
        raise PolicyIsActive(scene=scene, version=version)
    return approvals.request_approval(
        unit,
        kind=PROMOTE.name,
        subject=committed.subject,
        shown=shown_of_promotion(unit.connection, scene, version),
        by=unit.actor,
    )


def promote(unit: UnitOfWork, scene: str, version: int, *, approval: UUID) -> Stand:
    """Let a version judge its scene, as two people want it; a challenge of the scene ends.

    Rules that are stopped stay so by name, until somebody lets them go on.

    Refusals
    --------
    scene_is_unknown, policy_version_is_unknown, policy_is_active and those of `consume_approval`
    """
    table.hold_scene(unit.connection, scene)
    committed = read_version(unit.connection, scene, version)
    stand = read_stand(unit.connection, scene)
    if stand.active == version:
        raise PolicyIsActive(scene=scene, version=version)
    how = _how(unit.connection, stand, version)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=PROMOTE.name,
        subject=committed.subject,
        shown=shown_of_promotion(unit.connection, scene, version),
    )
    if stand.experiment is not None and stand.experiment_version is not None:
        designs.end_experiment(unit, stand.experiment, stand.experiment_version, cause=cause)
    shadow_table.end(unit.connection, scene, version, now=unit.now)
    after = Stand(scene, version)
    _put_in_force(unit, after, before=stand.active, how=how, cause=cause)
    return after


def version_before(connection: sa.Connection, scene: str) -> int:
    """Return the version that judged a scene before the present one: where a roll-back goes.

    Refusals
    --------
    scene_is_unknown, nothing_to_roll_back_to
    """
    stand = read_stand(connection, scene)
    for one in table.promotions(connection, scene):
        if one.version == stand.active and one.before is not None:
            return one.before
    raise NothingToRollBackTo(scene=scene)


def list_promotions(connection: sa.Connection, scene: str, *, limit: int = 50) -> list[Promotion]:
    """Return what became active in a scene, the latest first."""
    return table.promotions(connection, scene, limit=limit)


def read_stand(connection: sa.Connection, scene: str) -> Stand:
    """Return which versions judge a scene.

    Refusals
    --------
    scene_is_unknown
    """
    stand = table.find_stand(connection, scene)
    if stand is None:
        raise SceneIsUnknown(scene=scene)
    return stand


@dataclass(frozen=True, slots=True)
class SceneReport:
    """How a scene stands, for people.

    Attributes
    ----------
    newest : version; draft_by : who has an open draft
    """

    stand: Stand
    newest: int
    draft_by: str | None
    shadows: tuple[int, ...]
    stopped: tuple[guard_table.StoppedRule, ...]
    snoozes: int
    thrown: tuple[str, ...]


def report_scenes(connection: sa.Connection) -> tuple[SceneReport, ...]:
    """Return how every scene stands."""
    shadows = shadow_table.running(connection)
    stopped = guard_table.stopped_rules(connection)
    snoozes = guard_table.running_snoozes(connection)
    thrown = [one.subject for one in guard_table.thrown_switches(connection)]
    reports = []
    for stand in table.stands(connection):
        scene = stand.scene
        draft = table.find_draft(connection, scene)
        reports.append(
            SceneReport(
                stand,
                table.newest_version(connection, scene),
                None if draft is None else draft.drafted_by,
                tuple(one.version for one in shadows if one.scene == scene),
                tuple(one for one in stopped if one.scene == scene),
                sum(one.scene == scene for one in snoozes),
                tuple(
                    one
                    for one in thrown
                    if one == f"scene:{scene}" or one.startswith(f"policy:{scene}@")
                ),
            )
        )
    return tuple(reports)


def raise_roster(unit: UnitOfWork) -> None:
    """Have the owner take a newer roster; the row is held for the commit alone."""
    unit.at_commit("decisions.roster", None, lambda u, _: table.bump(u.connection))


def milliseconds(at: datetime) -> int:
    """Return the milliseconds since 1970 of an instant."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _kinds(connection: sa.Connection, *, for_new: bool = True) -> Kinds:
    """Return the kinds of nodes; a new version asks none but models in force."""
    return node_kinds(models=model_source(connection, for_new=for_new))


def _must_know(scene: str) -> None:
    if scene not in KINDS:
        raise SceneIsUnknown(scene=scene)


def _commit(
    unit: UnitOfWork, scene: str, content: Content, policy: CompiledPolicy, checked: Checked
) -> Committed:
    committed = Committed(
        scene=scene,
        version=policy.version,
        content=content,
        hash=policy.document.hash,
        findings=checked.findings,
        committed_by=unit.actor,
        committed_at=unit.now,
    )
    table.insert_version(unit.connection, committed)
    table.enter_lists(unit.connection, lists_of(policy), unit.now)
    fact = PolicyCommitted(scene=scene, policy_version=policy.version, hash=committed.hash)
    unit.record(fact, subject=f"scene:{scene}")
    _audit(unit, "commit_policy", committed.subject, {"hash": committed.hash})
    return committed


def _how(connection: sa.Connection, stand: Stand, version: int) -> How:
    """Return whether a version judged the scene before."""
    is_back = any(version in (one.version, one.before)
                  for one in table.promotions(connection, stand.scene))  # fmt: skip
    return How.ROLL_BACK if is_back else How.PROMOTE


def _put_in_force(
    unit: UnitOfWork, after: Stand, *, before: int | None, how: How, cause: str
) -> None:
    scene, version = after.scene, after.active
    table.put_stand(unit.connection, after)
    promotion = Promotion(unit.new_id(), scene, version, before, how, cause, unit.actor, unit.now)
    table.insert_promotion(unit.connection, promotion)
    fact = PolicyPromoted(scene=scene, policy_version=version, before=before, how=how, cause=cause)
    unit.record(fact, subject=f"scene:{scene}")
    raise_roster(unit)
    _audit(unit, how, f"policy:{scene}@{version}", {"before": before, "cause": cause})


def _audit(unit: UnitOfWork, verb: str, subject: str, detail: Mapping[str, object]) -> None:
    audit(unit, action=f"decisions.{verb}", subject=subject, detail=detail)
