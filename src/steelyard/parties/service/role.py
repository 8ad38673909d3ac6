"""Roles: what they hold, and who is given them, always by two people."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.parties.model.role import (
    ADMINISTRATOR,
    BUILT_IN_ROLES,
    Audience,
    LastAdministrator,
    Role,
    RoleGrant,
    RoleIsBuiltIn,
    RoleIsForOthers,
    RoleIsMalformed,
    RoleIsUnknown,
    RoleWasGranted,
    RoleWasNotGranted,
    check_role,
)
from steelyard.parties.model.staff import Staff, StaffState
from steelyard.parties.service.access_facts import RoleDefined, RoleGranted, RoleRevoked
from steelyard.parties.service.approval import approval_kind, consume_approval
from steelyard.parties.service.staff import FEWEST_ADMINISTRATORS
from steelyard.parties.store import role as table
from steelyard.parties.store import staff as staff_table

__all__ = [
    "DEFINE_ROLE",
    "GRANT_ROLE",
    "Audience",
    "LastAdministrator",
    "Role",
    "RoleGrant",
    "RoleIsBuiltIn",
    "RoleIsForOthers",
    "RoleIsMalformed",
    "RoleIsUnknown",
    "RoleWasGranted",
    "RoleWasNotGranted",
    "define_role",
    "grant_first_role",
    "grant_role",
    "list_roles",
    "read_role",
    "revoke_role",
    "role_history",
    "settle_built_in_roles",
    "shown_of_definition",
    "shown_of_grant",
]

GRANT_ROLE = approval_kind(
    "access.grant_role",
    verb="access.approve",
    en="Give a person a role",
    zh="授予员工角色",
)
DEFINE_ROLE = approval_kind(
    "access.define_role",
    verb="access.approve",
    en="Make a role, or change what it holds",
    zh="新建或修改角色权限",
)
FIRST_RUN = "first_run@1"


def settle_built_in_roles(unit: UnitOfWork) -> int:
    """Bring the built-in roles to this release; return how many changed. Done at every start."""
    changed = 0
    for role in BUILT_IN_ROLES:
        version = table.put(unit.connection, role)
        if version is not None:
            _defined(unit, role, version, cause="release@1")
            changed += 1
    return changed


def list_roles(connection: sa.Connection) -> tuple[Role, ...]:
    """Return every role, by name."""
    return tuple(table.list_all(connection))


def read_role(connection: sa.Connection, name: str) -> Role:
    """Return a role.

    Refusals
    --------
    role_is_unknown
    """
    return table.read(connection, name)


def shown_of_definition(role: Role) -> dict[str, object]:
    """Return what a checker is shown of a role that is made or changed.

    Refusals
    --------
    role_is_malformed, role_is_built_in
    """
    checked = check_role(role)
    return {
        "role": checked.name,
        "audience": checked.audience.value,
        "entitlements": list(checked.entitlements),
        "needs_second_factor": checked.needs_second_factor,
    }


def define_role(unit: UnitOfWork, role: Role, *, approval: UUID) -> Role:
    """Make a role, or change what one holds, as two people want it.

    Refusals
    --------
    role_is_malformed, role_is_built_in, role_is_for_others : another audience than before
    and those of `consume_approval`
    """
    checked = check_role(role)
    present = table.find(unit.connection, role.name)
    if present is not None and present.audience is not role.audience:
        raise RoleIsForOthers(role=role.name, audience=present.audience)
    cause = consume_approval(
        unit,
        approval,
        kind=DEFINE_ROLE.name,
        subject=f"role:{role.name}",
        shown=shown_of_definition(checked),
    )
    version = table.put(unit.connection, checked)
    if version is not None:
        _defined(unit, checked, version, cause=cause)
    return table.read(unit.connection, role.name)


def shown_of_grant(staff: Staff, role: Role) -> dict[str, object]:
    """Return what a checker is shown of a role that is given."""
    return {
        "user_name": staff.user_name,
        "role": role.name,
        "entitlements": list(role.entitlements),
        "needs_second_factor": role.needs_second_factor,
    }


def grant_role(unit: UnitOfWork, staff: UUID, role: str, *, approval: UUID) -> RoleGrant:
    """Give a person a role, as two people want it, and as it was when it was shown.

    Refusals
    --------
    staff_is_unknown, staff_is_not_active, role_is_unknown, role_is_for_others, role_was_granted
    and those of `consume_approval`
    """
    person, granted = _grantable(unit, staff, role)
    cause = consume_approval(
        unit,
        approval,
        kind=GRANT_ROLE.name,
        subject=person.actor,
        shown=shown_of_grant(person, granted),
    )
    return _grant(unit, person, role, cause)


def grant_first_role(unit: UnitOfWork, staff: UUID, role: str) -> RoleGrant:
    """Give a person a role in the first run, when there is nobody yet who could approve it."""
    person, _ = _grantable(unit, staff, role)
    return _grant(unit, person, role, FIRST_RUN)


def revoke_role(unit: UnitOfWork, staff: UUID, role: str) -> Staff:
    """Take a role from a person, at once: its entitlements end with the next request.

    One person may do this alone; it takes power away.

    Refusals
    --------
    staff_is_unknown, role_was_not_granted, last_administrator
    """
    person = staff_table.lock(unit.connection, staff)
    if role not in person.roles:
        raise RoleWasNotGranted(user_name=person.user_name, role=role)
    if role == ADMINISTRATOR and person.state is StaffState.ACTIVE:
        left = staff_table.count_active_with(unit.connection, ADMINISTRATOR) - 1
        if left < FEWEST_ADMINISTRATORS:
            raise LastAdministrator
    table.revoke(unit.connection, staff, role, by=unit.actor, at=unit.now)
    unit.record(RoleRevoked(staff=staff, role=role), subject=person.actor)
    audit(unit, action="access.revoke_role", subject=person.actor, detail={"role": role})
    return staff_table.read(unit.connection, staff)


def role_history(connection: sa.Connection, staff: UUID) -> tuple[RoleGrant, ...]:
    """Return every role that a person has or had, oldest first."""
    return tuple(table.history(connection, staff))


def _grantable(unit: UnitOfWork, staff: UUID, role: str) -> tuple[Staff, Role]:
    person = staff_table.lock(unit.connection, staff).must_be_active()
    found = table.read(unit.connection, role)
    if found.audience is not Audience.STAFF:
        raise RoleIsForOthers(role=role, audience=found.audience)
    if role in person.roles:
        raise RoleWasGranted(user_name=person.user_name, role=role)
    return person, found


def _grant(unit: UnitOfWork, staff: Staff, role: str, cause: str) -> RoleGrant:
    grant = RoleGrant(unit.new_id(), staff.id, role, cause, unit.actor, unit.now)
    done = table.grant(unit.connection, grant)
    assert done, "the person's row is held"
    unit.record(RoleGranted(staff=staff.id, role=role, cause=cause), subject=staff.actor)
    audit(
        unit,
        action="access.grant_role",
        subject=staff.actor,
        detail={"role": role, "cause": cause},
    )
    return grant


def _defined(unit: UnitOfWork, role: Role, version: int, *, cause: str) -> None:
    unit.record(
        RoleDefined(
            role=role.name, role_version=version, entitlements=role.entitlements, cause=cause
        ),
        subject=f"role:{role.name}",
    )
    audit(
        unit,
        action="access.define_role",
        subject=f"role:{role.name}",
        detail={"entitlements": role.entitlements, "cause": cause},
    )
