"""The facts of staff, sessions, keys and approvals; no personal data is in them."""

from __future__ import annotations

from uuid import UUID

from steelyard.base import Fact


class StaffHired(Fact, kind="parties.StaffHired", version=1):
    """A person may sign in from now on, without any role yet."""

    staff: UUID
    user_name: str


class StaffSuspended(Fact, kind="parties.StaffSuspended", version=1):
    """A person may not sign in until reinstated."""

    staff: UUID
    reason: str


class StaffReinstated(Fact, kind="parties.StaffReinstated", version=1):
    """A suspended person may sign in again."""

    staff: UUID
    reason: str


class StaffLeft(Fact, kind="parties.StaffLeft", version=1):
    """A person left for good."""

    staff: UUID
    reason: str


class PasswordChanged(Fact, kind="parties.PasswordChanged", version=1):
    """A person changed the password, or it was reset; other sessions ended."""

    staff: UUID
    was_reset: bool


class SecondFactorEnrolled(Fact, kind="parties.SecondFactorEnrolled", version=1):
    """A person set up an authenticator app or a passkey."""

    staff: UUID
    factor: str


class SecondFactorRemoved(Fact, kind="parties.SecondFactorRemoved", version=1):
    """A passkey was removed, or all second factors were reset."""

    staff: UUID
    factor: str


class RoleDefined(Fact, kind="parties.RoleDefined", version=1):
    """A role was made or changed; subject is the role."""

    role: str
    role_version: int
    entitlements: tuple[str, ...]
    cause: str


class RoleGranted(Fact, kind="parties.RoleGranted", version=1):
    """A person was given a role."""

    staff: UUID
    role: str
    cause: str


class RoleRevoked(Fact, kind="parties.RoleRevoked", version=1):
    """A role was taken from a person."""

    staff: UUID
    role: str


class SessionOpened(Fact, kind="parties.SessionOpened", version=1):
    """Somebody signed in; subject is the session."""

    session: UUID
    owner: str
    factors: tuple[str, ...]


class SessionEnded(Fact, kind="parties.SessionEnded", version=1):
    """A session was signed out or revoked; subject is the session."""

    session: UUID
    owner: str
    why: str


class ApiKeyCreated(Fact, kind="parties.ApiKeyCreated", version=1):
    """A machine was given a key; subject is the key."""

    key: str
    key_kind: str
    role: str | None
    entitlements: tuple[str, ...]
    party: UUID | None = None


class ApiKeyRotated(Fact, kind="parties.ApiKeyRotated", version=1):
    """A key has a new secret; the old one ends after an overlap."""

    key: str
    overlap_seconds: int


class ApiKeyRevoked(Fact, kind="parties.ApiKeyRevoked", version=1):
    """A key is not valid any more."""

    key: str


class ApprovalRequested(Fact, kind="parties.ApprovalRequested", version=1):
    """A second person's yes was asked for; subject is the approval."""

    approval: UUID
    approval_kind: str
    about: str
    shown_hash: str


class ApprovalGiven(Fact, kind="parties.ApprovalGiven", version=1):
    """A second person said yes to what was shown."""

    approval: UUID
    approval_kind: str
    about: str


class ApprovalRejected(Fact, kind="parties.ApprovalRejected", version=1):
    """A second person said no."""

    approval: UUID
    approval_kind: str
    about: str
    reason: str


class ApprovalWithdrawn(Fact, kind="parties.ApprovalWithdrawn", version=1):
    """Who asked took the request back."""

    approval: UUID
    approval_kind: str
    about: str


class ApprovalExpired(Fact, kind="parties.ApprovalExpired", version=1):
    """It was not decided, or not used, in time."""

    approval: UUID
    approval_kind: str
    about: str


class ApprovalConsumed(Fact, kind="parties.ApprovalConsumed", version=1):
    """What was approved is being done, in the same transaction."""

    approval: UUID
    approval_kind: str
    about: str
    cause: str
