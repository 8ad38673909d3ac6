"""Routes: staff, roles, API keys, approvals, and the audit trail."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from steelyard.base import RefusedInProduction, UnitOfWork
from steelyard.base.audit import AuditEntry, read_audit
from steelyard.base.http import (
    Caller,
    Cursor,
    Limit,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    run_with_secrets,
    writing,
)
from steelyard.kernel import CursorIsInvalid, Refusal
from steelyard.parties import api_keys, approvals, registry, roles, second_factors, sessions, staff
from steelyard.parties.http.access_wire import (
    ApiKeyIn,
    ApiKeyOut,
    ApiKeyPage,
    ApprovalIn,
    ApprovalKindOut,
    ApprovalKinds,
    ApprovalOut,
    ApprovalPage,
    ApprovedIn,
    AuditEntryOut,
    AuditPage,
    DecisionIn,
    Done,
    NewStaffIn,
    ReasonIn,
    RejectionIn,
    RoleGrantIn,
    RoleGrantOut,
    RoleGrants,
    RoleIn,
    RoleOut,
    Roles,
    RotationIn,
    StaffOut,
    StaffPage,
    TwoPeopleOut,
)

router = APIRouter(prefix="/v1/access", tags=["access"])
trail = APIRouter(prefix="/v1/audit", tags=["audit"])

StaffRead = Annotated[Read, reading("access.read_staff")]
KeyRead = Annotated[Read, reading("access.read_keys")]
ApprovalRead = Annotated[Read, reading("access.read_approvals")]
Hires = Annotated[Write, writing("access.hire")]
Suspends = Annotated[Write, writing("access.suspend")]
Resets = Annotated[Write, writing("access.reset")]
OwnWrite = Annotated[Write, writing("access.self")]

_STATES = (staff.StaffIsUnknown, staff.StaffStateDoesNotAllow)
_DECIDES = (
    approvals.ApprovalIsUnknown,
    approvals.ApprovalNeedsAPerson,
    approvals.MakerIsChecker,
    approvals.ApprovalHasExpired,
    approvals.ApprovalIsNotOpen,
    approvals.ShownDiffers,
)
_REQUESTS = (
    approvals.ApprovalKindIsUnknown,
    approvals.ShownIsMalformed,
    approvals.WaitIsTooLong,
)


# --- staff ---------------------------------------------------------------------------------------


@router.get("/staff", responses=refusals(CursorIsInvalid))
def list_staff(read: StaffRead, cursor: Cursor = None, limit: Limit = 50) -> StaffPage:
    """List the staff, by user name."""
    with read.database.reading() as connection:
        page = staff.list_staff(connection, cursor=cursor, limit=limit)
    return page_out(StaffPage, page, StaffOut.of)


@router.post(
    "/staff",
    status_code=201,
    response_model=StaffOut,
    responses=refusals(
        staff.UserNameIsInvalid, staff.UserNameIsTaken, staff.PersonalFieldIsInvalid, write=True
    ),
)
def hire(body: NewStaffIn, write: Hires) -> Response:
    """Take a person on, without any role; the first password is shown once."""

    def work(unit: UnitOfWork) -> tuple[StaffOut, dict[str, Any]]:
        new = staff.NewStaff(body.user_name, body.name, body.email)
        hired = staff.hire(unit, write.platform.keyring, new)
        return StaffOut.of(hired.staff), {"password": hired.password}

    return run_with_secrets(write, work, status=201)


@router.get("/staff/{person}", responses=refusals(staff.StaffIsUnknown))
def read_staff(person: UUID, read: StaffRead) -> StaffOut:
    """Show a member of staff; name and e-mail are masked."""
    with read.database.reading() as connection:
        found = staff.read_staff(connection, person)
        masked = staff.masked_person(connection, read.platform.keyring, person)
    return StaffOut.of(found, masked)


def _set_state(
    write: Write, person: UUID, reason: str, change: Callable[..., staff.Staff]
) -> Response:
    return write.run(lambda unit: StaffOut.of(change(unit, person, reason=reason)))


@router.post(
    "/staff/{person}/suspend",
    response_model=StaffOut,
    responses=refusals(*_STATES, staff.LastAdministrator, write=True),
)
def suspend(person: UUID, body: ReasonIn, write: Suspends) -> Response:
    """Keep a person out, at once."""
    return _set_state(write, person, body.reason, staff.suspend)


@router.post(
    "/staff/{person}/reinstate",
    response_model=StaffOut,
    responses=refusals(*_STATES, write=True),
)
def reinstate(person: UUID, body: ReasonIn, write: Suspends) -> Response:
    """Let a suspended person in again."""
    return _set_state(write, person, body.reason, staff.reinstate)


@router.post(
    "/staff/{person}/dismiss",
    response_model=StaffOut,
    responses=refusals(*_STATES, staff.LastAdministrator, write=True),
)
def dismiss(person: UUID, body: ReasonIn, write: Suspends) -> Response:
    """Close a person's access for good."""
    return _set_state(write, person, body.reason, staff.dismiss)


@router.post(
    "/staff/{person}/sign-out",
    response_model=Done,
    responses=refusals(staff.StaffIsUnknown, write=True),
)
def sign_out_staff(person: UUID, write: Suspends) -> Response:
    """End all sessions of a person."""

    def work(unit: UnitOfWork) -> Done:
        staff.read_staff(unit.connection, person)
        sessions.end_all_sessions(unit, sessions.Whose.STAFF, person, why="revoked")
        return Done()

    return write.run(work)


def _request(
    unit: UnitOfWork, write: Write, kind: str, subject: str, shown: dict[str, object]
) -> TwoPeopleOut:
    asked = approvals.request_approval(
        unit, kind=kind, subject=subject, shown=shown, by=write.caller.actor
    )
    return TwoPeopleOut(is_done=False, approval=ApprovalOut.of(asked, unit.wall_at))


@router.post(
    "/staff/{person}/password-reset",
    response_model=TwoPeopleOut,
    responses=refusals(staff.StaffIsUnknown, *approvals.CONSUME_REFUSALS, write=True),
)
def reset_password(person: UUID, body: ApprovedIn, write: Resets) -> Response:
    """Request a new password for a person; with the approval, make it. All sessions end."""

    def work(unit: UnitOfWork) -> tuple[TwoPeopleOut, dict[str, Any]]:
        found = staff.read_staff(unit.connection, person)
        if body.approval is None:
            shown = staff.shown_of_reset(found.user_name)
            kind = staff.RESET_PASSWORD.name
            return _request(unit, write, kind, found.actor, shown), {}
        password = staff.reset_password_of(unit, person, approval=body.approval)
        return TwoPeopleOut(is_done=True), {"password": password}

    return run_with_secrets(write, work)


@router.post(
    "/staff/{person}/second-factor-reset",
    response_model=TwoPeopleOut,
    responses=refusals(staff.StaffIsUnknown, *approvals.CONSUME_REFUSALS, write=True),
)
def reset_second_factor(person: UUID, body: ApprovedIn, write: Resets) -> Response:
    """Request that a person's second factors be taken away; with the approval, take them."""

    def work(unit: UnitOfWork) -> TwoPeopleOut:
        found = staff.read_staff(unit.connection, person)
        if body.approval is None:
            shown = second_factors.shown_of_reset(found.user_name)
            kind = second_factors.RESET_SECOND_FACTOR.name
            return _request(unit, write, kind, found.actor, shown)
        second_factors.reset_second_factor(unit, person, approval=body.approval)
        return TwoPeopleOut(is_done=True)

    return write.run(work)


# --- roles ---------------------------------------------------------------------------------------


@router.get("/roles", responses=refusals())
def list_roles(read: StaffRead) -> Roles:
    """List every role, by name."""
    with read.database.reading() as connection:
        return Roles(items=[RoleOut.of(role) for role in roles.list_roles(connection)])


@router.put(
    "/roles/{name}",
    response_model=TwoPeopleOut,
    responses=refusals(
        roles.RoleIsMalformed,
        roles.RoleIsBuiltIn,
        roles.RoleIsForOthers,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def define_role(
    name: str, body: RoleIn, write: Annotated[Write, writing("access.define_role")]
) -> Response:
    """Request that a role be made or changed; with the approval, do it."""
    role = roles.Role(
        name,
        body.audience,
        tuple(body.entitlements),
        body.en,
        body.zh,
        body.needs_second_factor,
    )

    def work(unit: UnitOfWork) -> TwoPeopleOut:
        if body.approval is None:
            shown = roles.shown_of_definition(role)
            return _request(unit, write, roles.DEFINE_ROLE.name, f"role:{name}", shown)
        roles.define_role(unit, role, approval=body.approval)
        return TwoPeopleOut(is_done=True)

    return write.run(work)


@router.get("/staff/{person}/roles", responses=refusals(staff.StaffIsUnknown))
def role_history(person: UUID, read: StaffRead) -> RoleGrants:
    """List every role that a person has or had, oldest first."""
    with read.database.reading() as connection:
        staff.read_staff(connection, person)
        found = roles.role_history(connection, person)
    return RoleGrants(items=[RoleGrantOut.of(grant) for grant in found])


@router.post(
    "/staff/{person}/roles",
    response_model=TwoPeopleOut,
    responses=refusals(
        staff.StaffIsUnknown,
        staff.StaffIsNotActive,
        roles.RoleIsUnknown,
        roles.RoleIsForOthers,
        roles.RoleWasGranted,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def grant_role(
    person: UUID, body: RoleGrantIn, write: Annotated[Write, writing("access.grant_role")]
) -> Response:
    """Request that a person be given a role; with the approval, give it."""

    def work(unit: UnitOfWork) -> TwoPeopleOut:
        if body.approval is not None:
            grant = roles.grant_role(unit, person, body.role, approval=body.approval)
            return TwoPeopleOut(is_done=True, cause=grant.cause)
        found = staff.read_staff(unit.connection, person)
        shown = roles.shown_of_grant(found, roles.read_role(unit.connection, body.role))
        return _request(unit, write, roles.GRANT_ROLE.name, found.actor, shown)

    return write.run(work)


@router.delete(
    "/staff/{person}/roles/{role}",
    response_model=StaffOut,
    responses=refusals(
        staff.StaffIsUnknown, roles.RoleWasNotGranted, roles.LastAdministrator, write=True
    ),
)
def revoke_role(
    person: UUID, role: str, write: Annotated[Write, writing("access.revoke_role")]
) -> Response:
    """Take a role from a person, at once; one person may do this alone."""
    return write.run(lambda unit: StaffOut.of(roles.revoke_role(unit, person, role)))


# --- API keys ------------------------------------------------------------------------------------


@router.get("/keys", responses=refusals(CursorIsInvalid))
def list_keys(read: KeyRead, cursor: Cursor = None, limit: Limit = 50) -> ApiKeyPage:
    """List the API keys, newest first."""
    with read.database.reading() as connection:
        page = api_keys.list_api_keys(connection, cursor=cursor, limit=limit)
    return page_out(ApiKeyPage, page, ApiKeyOut.of)


@router.post(
    "/keys",
    status_code=201,
    response_model=ApiKeyOut,
    responses=refusals(
        api_keys.RoleIsUnknown,
        api_keys.RoleIsForOthers,
        api_keys.EntitlementIsNotYours,
        api_keys.PublicKeyIsInvalid,
        registry.PartyIsUnknown,
        registry.PartyIsClosed,
        roles.RoleIsMalformed,
        RefusedInProduction,
        write=True,
    ),
)
def create_key(body: ApiKeyIn, write: Annotated[Write, writing("access.create_key")]) -> Response:
    """Make a key for a machine; its secret is shown once."""
    new = api_keys.NewApiKey(
        body.name,
        body.kind,
        body.role,
        tuple(body.entitlements),
        body.party,
        body.expires_at,
        body.public_key,
    )

    def work(unit: UnitOfWork) -> tuple[ApiKeyOut, dict[str, Any]]:
        issued = api_keys.create_api_key(
            unit,
            write.platform.keyring,
            write.platform.settings,
            new,
            held=write.caller.entitlements,
        )
        shown = {"secret": issued.secret} if issued.secret else {}
        return ApiKeyOut.of(issued.key), shown

    return run_with_secrets(write, work, status=201)


@router.post(
    "/keys/{api_key}/rotate",
    response_model=ApiKeyOut,
    responses=refusals(
        api_keys.ApiKeyIsUnknown,
        api_keys.ApiKeyIsRevoked,
        api_keys.OverlapIsTooLong,
        api_keys.KeyIsOfAnotherKind,
        api_keys.PublicKeyIsInvalid,
        write=True,
    ),
)
def rotate_key(
    api_key: str, body: RotationIn, write: Annotated[Write, writing("access.create_key")]
) -> Response:
    """Give a key a new secret, shown once; the old one stays valid for an overlap."""

    def work(unit: UnitOfWork) -> tuple[ApiKeyOut, dict[str, Any]]:
        overlap = timedelta(seconds=body.overlap_s)
        if body.public_key is not None:
            key = api_keys.replace_public_key(
                unit, write.platform.keyring, api_key, body.public_key, overlap=overlap
            )
            return ApiKeyOut.of(key), {}
        issued = api_keys.rotate_api_key(unit, write.platform.keyring, api_key, overlap=overlap)
        return ApiKeyOut.of(issued.key), {"secret": issued.secret}

    return run_with_secrets(write, work)


@router.delete(
    "/keys/{api_key}",
    response_model=ApiKeyOut,
    responses=refusals(api_keys.ApiKeyIsUnknown, api_keys.ApiKeyIsRevoked, write=True),
)
def revoke_key(api_key: str, write: Annotated[Write, writing("access.revoke_key")]) -> Response:
    """End a key for good; every process refuses it within seconds."""
    return write.run(lambda unit: ApiKeyOut.of(api_keys.revoke_api_key(unit, api_key)))


# --- approvals -----------------------------------------------------------------------------------


def _decidable(approval: approvals.Approval, caller: Caller, read: Read) -> bool:
    try:
        approval.must_be_decidable_by(caller.actor, approval.shown_hash, read.database.wall.now())
    except Refusal:
        return False
    return caller.may(approval.verb)


def _shown(approval: approvals.Approval, read: Read) -> ApprovalOut:
    is_mine = _decidable(approval, read.caller, read)
    return ApprovalOut.of(approval, read.database.wall.now(), decidable=is_mine)


@router.get("/approval-kinds", responses=refusals())
def list_approval_kinds(read: ApprovalRead) -> ApprovalKinds:
    """List what can be approved."""
    kinds = approvals.approval_kinds().values()
    return ApprovalKinds(
        items=[
            ApprovalKindOut(
                name=kind.name,
                verb=kind.verb,
                en=kind.en,
                zh=kind.zh,
                lives_s=int(kind.lives.total_seconds()),
            )
            for kind in sorted(kinds, key=lambda kind: kind.name)
        ]
    )


@router.get("/approvals", responses=refusals(CursorIsInvalid))
def list_approvals(
    read: ApprovalRead,
    state: approvals.ApprovalState | None = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ApprovalPage:
    """List approvals, newest first."""
    with read.database.reading() as connection:
        page = approvals.list_approvals(
            connection,
            now=read.database.wall.now(),
            state=state,
            subject=subject,
            cursor=cursor,
            limit=limit,
        )
    return page_out(ApprovalPage, page, lambda approval: _shown(approval, read))


@router.get("/approvals/{approval}", responses=refusals(approvals.ApprovalIsUnknown))
def read_approval(approval: UUID, read: ApprovalRead) -> ApprovalOut:
    """Show an approval."""
    with read.database.reading() as connection:
        return _shown(approvals.read_approval(connection, approval), read)


@router.post(
    "/approvals",
    status_code=201,
    response_model=ApprovalOut,
    responses=refusals(*_REQUESTS, write=True),
)
def request_approval(
    body: ApprovalIn, write: Annotated[Write, writing("access.request_approval")]
) -> Response:
    """Ask for a second person's yes."""
    wait = None if body.expires_in_s is None else timedelta(seconds=body.expires_in_s)

    def work(unit: UnitOfWork) -> ApprovalOut:
        asked = approvals.request_approval(
            unit,
            kind=body.kind,
            subject=body.subject,
            shown=body.shown,
            by=write.caller.actor,
            expires_in=wait,
        )
        return ApprovalOut.of(asked, unit.wall_at)

    return write.run(work, status=201)


@router.post(
    "/approvals/{approval}/approve",
    response_model=ApprovalOut,
    responses=refusals(*_DECIDES, write=True),
)
def approve(approval: UUID, body: DecisionIn, write: OwnWrite) -> Response:
    """Say yes to exactly what was shown; needs the entitlement that the approval names."""

    def work(unit: UnitOfWork) -> ApprovalOut:
        after = approvals.approve(unit, approval, by=write.caller, shown_hash=body.shown_hash)
        return ApprovalOut.of(after, unit.wall_at)

    return write.run(work)


@router.post(
    "/approvals/{approval}/reject",
    response_model=ApprovalOut,
    responses=refusals(*_DECIDES, write=True),
)
def reject(approval: UUID, body: RejectionIn, write: OwnWrite) -> Response:
    """Say no to what was shown; needs the entitlement that the approval names."""

    def work(unit: UnitOfWork) -> ApprovalOut:
        after = approvals.reject(
            unit, approval, by=write.caller, shown_hash=body.shown_hash, reason=body.reason
        )
        return ApprovalOut.of(after, unit.wall_at)

    return write.run(work)


@router.post(
    "/approvals/{approval}/withdraw",
    response_model=ApprovalOut,
    responses=refusals(
        approvals.ApprovalIsUnknown,
        approvals.ApprovalIsNotYours,
        approvals.ApprovalHasExpired,
        approvals.ApprovalIsNotOpen,
        write=True,
    ),
)
def withdraw(approval: UUID, write: OwnWrite) -> Response:
    """Take one's own request back."""

    def work(unit: UnitOfWork) -> ApprovalOut:
        after = approvals.withdraw(unit, approval, by=write.caller.actor)
        return ApprovalOut.of(after, unit.wall_at)

    return write.run(work)


# --- the audit trail -----------------------------------------------------------------------------


@trail.get("", responses=refusals(CursorIsInvalid))
def list_audit(
    read: Annotated[Read, reading("access.read_audit")],
    subject: Annotated[str | None, Query(max_length=200)] = None,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> AuditPage:
    """Read the audit trail, newest first."""
    with read.database.reading() as connection:
        page = read_audit(connection, subject=subject, actor=actor, cursor=cursor, limit=limit)
    return page_out(AuditPage, page, _line)


def _line(entry: AuditEntry) -> AuditEntryOut:
    return AuditEntryOut(
        sequence=entry.sequence,
        at=entry.at,
        wall_at=entry.wall_at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=json.loads(entry.detail),
        hash=entry.hash.hex(),
    )
