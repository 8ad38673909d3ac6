"""Routes of policies: draft, check, commit, shadow, challenge, promote, roll back, stop."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel

from steelyard.base import UnitOfWork
from steelyard.base.http import Cursor, Limit, Read, Write, page_out, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.decisions import asking, challenges, guards, lifecycle, policies, shadows
from steelyard.decisions.http import policy_wire as wire
from steelyard.kernel import CursorIsInvalid
from steelyard.parties import approvals

router = APIRouter(prefix="/v1/policies", tags=["policies"])

Reads = Annotated[Read, reading("decisions.read")]
Drafts = Annotated[Write, writing("decisions.draft")]
Stops = Annotated[Write, writing("decisions.stop")]
Scene = Annotated[
    str, Path(pattern=r"^[a-z][a-z0-9_]{0,59}$", description="scene", examples=["payment"])
]
Version = Annotated[int, Path(description="version of the policy", ge=1, lt=2**31)]

_NO_SCENE = (asking.SceneIsUnknown,)
_NO_VERSION = (lifecycle.PolicyVersionIsUnknown,)


@router.get("", response_model=wire.ScenesOut, responses=refused_by())
def list_scenes(read: Reads) -> wire.ScenesOut:
    """Show how every scene stands."""
    with read.database.reading() as connection:
        found = policies.report_scenes(connection)
    return wire.ScenesOut(items=[wire.SceneOut.of(one) for one in found])


# -- drafts and versions ------------------------------------------------------------------------


@router.get(
    "/{scene}/draft",
    response_model=wire.DraftOut,
    responses=refused_by(lifecycle.DraftIsUnknown),
)
def read_a_draft(scene: Scene, read: Reads) -> wire.DraftOut:
    """Show the open draft of a scene."""
    with read.database.reading() as connection:
        return wire.DraftOut.of(policies.read_draft(connection, scene))


@router.post(
    "/{scene}/draft",
    response_model=wire.DraftOut,
    responses=refused_by(*_NO_SCENE, *lifecycle.CONTENT_REFUSALS, write=True),
)
def draft_a_policy(scene: Scene, body: wire.ContentIn, write: Drafts) -> Response:
    """Keep a draft in the place of the one before; it may be unsound."""
    content = body.content()
    return write.run(lambda unit: wire.DraftOut.of(policies.draft_policy(unit, scene, content)))


@router.delete(
    "/{scene}/draft",
    status_code=204,
    responses=refused_by(lifecycle.DraftIsUnknown, write=True),
)
def drop_a_draft(scene: Scene, write: Drafts) -> Response:
    """Throw the draft of a scene away."""

    def work(unit: UnitOfWork) -> BaseModel:
        policies.drop_draft(unit, scene)
        return wire.PolicyApprovalOut(is_done=True)

    write.run(work)
    return Response(status_code=204)


@router.post(
    "/{scene}/check",
    response_model=wire.CheckOut,
    responses=refused_by(*_NO_SCENE, lifecycle.DraftIsUnknown, *lifecycle.CONTENT_REFUSALS),
)
def check_a_policy(scene: Scene, body: wire.CheckIn, read: Reads) -> wire.CheckOut:
    """Check a document, or the draft; nothing is written, so it takes no idempotency key."""
    content = None if body.content is None else body.content.content()
    with read.database.reading() as connection:
        checked = policies.check_draft(connection, scene, content)
    return wire.CheckOut.of(checked, read.language)


@router.post(
    "/{scene}/commit",
    status_code=201,
    response_model=wire.VersionOut,
    responses=refused_by(
        *_NO_SCENE,
        lifecycle.DraftIsUnknown,
        lifecycle.DraftIsUnsound,
        lifecycle.PolicyIsCommitted,
        *lifecycle.CONTENT_REFUSALS,
        write=True,
    ),
)
def commit_a_draft(scene: Scene, write: Drafts) -> Response:
    """Write the draft down as the next version, which never changes; it judges nobody yet."""
    return write.run(
        lambda unit: wire.VersionOut.of(policies.commit_draft(unit, scene)), status=201
    )


@router.get(
    "/{scene}/versions",
    response_model=wire.VersionPage,
    responses=refused_by(CursorIsInvalid),
)
def list_versions(
    scene: Scene, read: Reads, cursor: Cursor = None, limit: Limit = 20
) -> wire.VersionPage:
    """List the versions of a policy, the newest first."""
    with read.database.reading() as connection:
        page = policies.list_versions(connection, scene, cursor=cursor, limit=limit)
    return page_out(wire.VersionPage, page, wire.VersionOut.of)


@router.get(
    "/{scene}/versions/{version}",
    response_model=wire.WholeVersionOut,
    responses=refused_by(*_NO_VERSION),
)
def read_a_version(scene: Scene, version: Version, read: Reads) -> wire.WholeVersionOut:
    """Show a version with its document, test cases, findings and rules."""
    with read.database.reading() as connection:
        found = policies.read_version(connection, scene, version)
        rules = policies.rules_in(connection, found)
    return wire.WholeVersionOut(
        version=wire.VersionOut.of(found),
        content=wire.ContentOut.of(found.content),
        findings=[wire.FindingOut.of(one, read.language) for one in found.findings],
        rules=list(rules),
    )


# -- in force -------------------------------------------------------------------------------------


@router.get("/{scene}/promotions", response_model=wire.PromotionsOut, responses=refused_by())
def list_promotions(scene: Scene, read: Reads, limit: Limit = 50) -> wire.PromotionsOut:
    """List what became active, by whose approval, the latest first."""
    with read.database.reading() as connection:
        found = policies.list_promotions(connection, scene, limit=limit)
    items = [
        wire.PromotionOut(
            version=one.version,
            before=one.before,
            how=one.how,
            cause=one.cause,
            by=one.by,
            at=one.at,
        )
        for one in found
    ]
    return wire.PromotionsOut(items=items)


@router.post(
    "/{scene}/versions/{version}/promote",
    response_model=wire.PolicyApprovalOut,
    responses=refused_by(
        *_NO_SCENE, *_NO_VERSION, lifecycle.PolicyIsActive, *approvals.CONSUME_REFUSALS, write=True
    ),
)
def promote_a_version(
    scene: Scene, version: Version, body: wire.PolicyApprovalIn, write: Drafts
) -> Response:
    """Request that a version judges; with the approval, let it. A challenge of the scene ends."""

    def work(unit: UnitOfWork) -> BaseModel:
        if body.approval is None:
            asked = policies.request_promotion(unit, scene, version)
            return wire.PolicyApprovalOut.asked(asked)
        policies.promote(unit, scene, version, approval=body.approval)
        return wire.PolicyApprovalOut(is_done=True)

    return write.run(work)


@router.post(
    "/{scene}/roll-back",
    response_model=wire.PolicyApprovalOut,
    responses=refused_by(
        *_NO_SCENE,
        *_NO_VERSION,
        lifecycle.PolicyIsActive,
        lifecycle.NothingToRollBackTo,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def roll_back(scene: Scene, body: wire.PolicyApprovalIn, write: Drafts) -> Response:
    """Request that the version before judges again; with the approval, let it."""

    def work(unit: UnitOfWork) -> BaseModel:
        version = policies.version_before(unit.connection, scene)
        if body.approval is None:
            asked = policies.request_promotion(unit, scene, version)
            return wire.PolicyApprovalOut.asked(asked)
        policies.promote(unit, scene, version, approval=body.approval)
        return wire.PolicyApprovalOut(is_done=True)

    return write.run(work)


# -- shadows and challenges -----------------------------------------------------------------------


@router.get(
    "/{scene}/versions/{version}/shadow",
    response_model=wire.ShadowOut,
    responses=refused_by(lifecycle.ShadowIsUnknown),
)
def read_a_shadow(scene: Scene, version: Version, read: Reads) -> wire.ShadowOut:
    """Show what a shadow run found: agreement, swaps, what nobody had read."""
    with read.database.reading() as connection:
        return wire.ShadowOut.of(shadows.report_shadow(connection, scene, version))


@router.get(
    "/{scene}/versions/{version}/shadow/differences",
    response_model=wire.DifferencesOut,
    responses=refused_by(),
)
def list_differences(
    scene: Scene, version: Version, read: Reads, limit: Limit = 50
) -> wire.DifferencesOut:
    """List the newest decisions to which a shadow would have said something else."""
    with read.database.reading() as connection:
        found = shadows.list_differences(connection, scene, version, limit=limit)
    items = [
        wire.DifferenceOut(
            decision=one.decision_id,
            said=one.said,
            would_say=one.would_say,
            score=one.score,
            reasons=list(one.reasons),
        )
        for one in found
    ]
    return wire.DifferencesOut(items=items)


@router.post(
    "/{scene}/versions/{version}/shadow",
    response_model=wire.ShadowOut,
    responses=refused_by(
        *_NO_SCENE,
        *_NO_VERSION,
        lifecycle.PolicyIsActive,
        lifecycle.ShadowRuns,
        write=True,
    ),
)
def start_a_shadow(scene: Scene, version: Version, body: wire.ShadowIn, write: Drafts) -> Response:
    """Ask a version behind the owner what it would have said, from now on or over the past."""

    def work(unit: UnitOfWork) -> BaseModel:
        shadows.start_shadow(unit, scene, version, since=wire.utc(body.since))
        return wire.ShadowOut.of(shadows.report_shadow(unit.connection, scene, version))

    return write.run(work)


@router.post(
    "/{scene}/versions/{version}/shadow/stop",
    response_model=wire.ShadowOut,
    responses=refused_by(lifecycle.ShadowIsUnknown, write=True),
)
def stop_a_shadow(scene: Scene, version: Version, write: Drafts) -> Response:
    """End a shadow run; what it found stays."""

    def work(unit: UnitOfWork) -> BaseModel:
        shadows.stop_shadow(unit, scene, version)
        return wire.ShadowOut.of(shadows.report_shadow(unit.connection, scene, version))

    return write.run(work)


@router.get(
    "/{scene}/challenge",
    response_model=wire.ChallengeOut,
    responses=refused_by(lifecycle.ChallengeIsUnknown),
)
def read_a_challenge(scene: Scene, read: Reads) -> wire.ChallengeOut:
    """Show what the newest challenge of a scene says so far."""
    with read.database.reading() as connection:
        at = read.database.clock.read(connection)
        report = challenges.report_challenge(connection, scene, as_of=at)
    return wire.ChallengeOut.of(report, read.language)


@router.post(
    "/{scene}/versions/{version}/challenge",
    response_model=wire.PolicyApprovalOut,
    responses=refused_by(
        *_NO_SCENE,
        *_NO_VERSION,
        lifecycle.PolicyIsActive,
        lifecycle.ChallengeRuns,
        lifecycle.ChallengeIsUnknown,
        *challenges.START_REFUSALS,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def challenge_the_active_version(
    scene: Scene, version: Version, body: wire.ChallengeIn, write: Drafts
) -> Response:
    """Request that a version judges a share of the subjects; with the approval, let it."""

    def work(unit: UnitOfWork) -> BaseModel:
        if body.approval is None:
            asked = challenges.request_challenge(unit, scene, version, body.terms())
            return wire.PolicyApprovalOut.asked(asked)
        challenges.start_challenge(unit, scene, version, approval=body.approval)
        return wire.PolicyApprovalOut(is_done=True)

    return write.run(work)


@router.post(
    "/{scene}/challenge/end",
    response_model=wire.PolicyApprovalOut,
    responses=refused_by(
        *_NO_SCENE,
        lifecycle.ChallengeIsUnknown,
        *challenges.END_REFUSALS,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def end_a_challenge(scene: Scene, body: wire.PolicyApprovalIn, write: Drafts) -> Response:
    """Request that the active version judges all again; with the approval, let it."""

    def work(unit: UnitOfWork) -> BaseModel:
        if body.approval is None:
            return wire.PolicyApprovalOut.asked(challenges.request_end(unit, scene))
        challenges.end_challenge(unit, scene, approval=body.approval)
        return wire.PolicyApprovalOut(is_done=True)

    return write.run(work)


# -- what is stopped at once ----------------------------------------------------------------------


@router.post(
    "/{scene}/rules/stop",
    response_model=wire.StoppedOut,
    responses=refused_by(*_NO_SCENE, lifecycle.RuleIsUnknown, lifecycle.RuleIsStopped, write=True),
)
def stop_a_rule(scene: Scene, body: wire.StopRuleIn, write: Stops) -> Response:
    """Stop a rule for everybody; it is still observed, and a case is opened."""
    return write.run(
        lambda unit: wire.StoppedOut.of(guards.stop_rule(unit, scene, body.rule, body.reason))
    )


@router.post(
    "/{scene}/rules/resume",
    response_model=wire.PolicyApprovalOut,
    responses=refused_by(lifecycle.RuleIsNotStopped, lifecycle.StopperResumes, write=True),
)
def resume_a_rule(scene: Scene, body: wire.ResumeRuleIn, write: Stops) -> Response:
    """Let a stopped rule take effect again; somebody else than who stopped it may."""

    def work(unit: UnitOfWork) -> BaseModel:
        guards.resume_rule(unit, scene, body.rule)
        return wire.PolicyApprovalOut(is_done=True)

    return write.run(work)


@router.get("/{scene}/snoozes", response_model=wire.SnoozesOut, responses=refused_by())
def list_snoozes(scene: Scene, read: Reads) -> wire.SnoozesOut:
    """List the snoozes that run."""
    with read.database.reading() as connection:
        at = read.database.clock.read(connection)
        found = guards.running_snoozes(connection, now=at, scene=scene)
    return wire.SnoozesOut(items=[wire.SnoozeOut.of(one) for one in found])


@router.post(
    "/{scene}/snoozes",
    status_code=201,
    response_model=wire.SnoozeOut,
    responses=refused_by(
        *_NO_SCENE,
        lifecycle.RuleIsUnknown,
        lifecycle.SnoozeIsMalformed,
        lifecycle.RuleIsSnoozed,
        write=True,
    ),
)
def snooze_a_rule(scene: Scene, body: wire.SnoozeIn, write: Stops) -> Response:
    """Leave a rule out for one subject, until an instant."""
    until_at = wire.utc(body.until_at)
    assert until_at is not None
    return write.run(
        lambda unit: wire.SnoozeOut.of(
            guards.snooze_rule(
                unit,
                scene,
                body.rule,
                subject=body.subject,
                until_at=until_at,
                reason=body.reason,
            )
        ),
        status=201,
    )


@router.post(
    "/{scene}/snoozes/{id}/end",
    response_model=wire.SnoozeOut,
    responses=refused_by(lifecycle.SnoozeIsUnknown, write=True),
)
def end_a_snooze(scene: Scene, id: UUID, write: Stops) -> Response:
    """End a snooze before its time."""
    return write.run(lambda unit: wire.SnoozeOut.of(guards.end_snooze(unit, scene, id)))


@router.post(
    "/{scene}/kill",
    response_model=wire.SwitchOut,
    responses=refused_by(lifecycle.SwitchIsUnknown, guards.KillSwitchIsThrown, write=True),
)
def kill(scene: Scene, body: wire.KillIn, write: Stops) -> Response:
    """Switch a scene or a version off at once: its fault mode answers until it is lifted."""
    subject = guards.switch_of(scene, body.version)
    until_at = wire.utc(body.until_at)
    return write.run(
        lambda unit: wire.SwitchOut.of(
            guards.throw_switch(unit, subject, body.reason, until_at=until_at)
        )
    )


@router.post(
    "/{scene}/lift",
    response_model=wire.SwitchOut,
    responses=refused_by(
        lifecycle.SwitchIsUnknown,
        guards.KillSwitchIsNotThrown,
        guards.LifterThrewTheSwitch,
        write=True,
    ),
)
def lift(scene: Scene, body: wire.LiftIn, write: Stops) -> Response:
    """Let a scene or a version be asked again; somebody else than who threw the switch may."""
    subject = guards.switch_of(scene, body.version)
    return write.run(lambda unit: wire.SwitchOut.of(guards.lift_switch(unit, subject)))
