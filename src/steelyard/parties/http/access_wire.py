"""What crosses the wire on the access side."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from steelyard.base.http import ONCE, BodyIn, PageOut
from steelyard.parties import api_keys, approvals, passkeys, roles, sessions, staff

UserName = Annotated[str, Field(min_length=1, max_length=60, examples=["li.lei"])]
Password = Annotated[str, Field(min_length=1, max_length=128)]
Code = Annotated[str, Field(min_length=1, max_length=40, examples=["492039"])]
Token = Annotated[str, Field(min_length=1, max_length=100)]
Reason = Annotated[str, Field(min_length=1, max_length=200, examples=["left the company"])]
Verbs = Annotated[list[str], Field(max_length=200, examples=[["ledger.read", "events.*"]])]


class Done(BaseModel):
    """It is done."""

    done: bool = True


class ReasonIn(BodyIn):
    """Why."""

    reason: Reason


class PasswordSignInIn(BodyIn):
    """The first step of a member of staff."""

    user_name: UserName
    password: Password
    deliver: sessions.Delivery = sessions.Delivery.COOKIE


class CodeSignInIn(BodyIn):
    """The second step: a code of the authenticator app, or a recovery code."""

    pending: Token
    code: Code
    deliver: sessions.Delivery = sessions.Delivery.COOKIE


class PendingIn(BodyIn):
    """The sign-in under way."""

    pending: Token


class PasskeySignInIn(BodyIn):
    """The second step: what `navigator.credentials.get` returned."""

    pending: Token
    credential: dict[str, Any]
    deliver: sessions.Delivery = sessions.Delivery.COOKIE


class PhoneIn(BodyIn):
    """A customer's phone."""

    phone: Annotated[str, Field(max_length=40, examples=["+8615400001234"])]


class PhoneSignInIn(BodyIn):
    """The code that was sent to a customer's phone."""

    request: Token
    code: Code
    deliver: sessions.Delivery = sessions.Delivery.COOKIE


class PhoneRequestOut(BaseModel):
    """A code is on its way, if the phone is a customer's."""

    request: str


class SessionOut(BaseModel):
    """A signed-in browser or program."""

    id: UUID
    factors: list[str]
    agent: str
    opened_at: datetime
    seen_at: datetime
    expires_at: datetime
    is_this: bool = False

    @classmethod
    def of(cls, session: sessions.Session, *, this: str | None = None) -> SessionOut:
        """Return the wire form."""
        return cls(
            id=session.id,
            factors=sorted(session.factors),
            agent=session.agent,
            opened_at=session.opened_at,
            seen_at=session.seen_at,
            expires_at=session.expires_at,
            is_this=str(session.id) == this,
        )


class Sessions(BaseModel):
    """Sessions that still count, newest first."""

    items: list[SessionOut]


class SignInOut(BaseModel):
    """A session, or the second step that is to come."""

    session: SessionOut | None
    token: str | None = Field(default=None, description="for `Authorization: Bearer`, if asked for")
    pending: str | None = Field(default=None, description="names the sign-in in the second step")
    methods: list[str] = Field(default_factory=list, description="second steps to choose from")


class RoleInForce(BaseModel):
    """A role of the caller."""

    role: str
    is_in_force: bool = Field(description="false: it needs a session with a second factor")


class MeOut(BaseModel):
    """Who the caller is."""

    actor: str
    user_name: str | None = None
    party: str | None = None
    entitlements: list[str]
    session: str | None = None
    has_second_factor: bool = False
    roles: list[RoleInForce] = Field(default_factory=list)


class PasswordChangeIn(BodyIn):
    """One's own password."""

    old: Password
    new: Password


class AuthenticatorOut(BaseModel):
    """The secret of an authenticator app."""

    secret: str | None = Field(default=None, description=ONCE)
    uri: str | None = Field(default=None, description=f"for a QR code; {ONCE}")


class CodeIn(BodyIn):
    """A code of the app that is set up."""

    code: Code


class RecoveryCodesOut(BaseModel):
    """Codes for the day on which the phone is lost."""

    codes: list[str] | None = Field(default=None, description=ONCE)


class OptionsOut(BaseModel):
    """What a browser hands to `navigator.credentials`."""

    token: str | None = None
    options: dict[str, Any]


class PasskeyIn(BodyIn):
    """What `navigator.credentials.create` returned."""

    token: Token
    name: Annotated[str, Field(min_length=1, max_length=60, examples=["blue key"])]
    credential: dict[str, Any]


class PasskeyOut(BaseModel):
    """A registered authenticator."""

    credential: str
    name: str
    domain: str
    registered_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: passkeys.Passkey) -> PasskeyOut:
        """Return the wire form."""
        return cls(
            credential=passkeys.write_credential_id(key.credential),
            name=key.name,
            domain=key.domain,
            registered_at=key.registered_at,
            last_used_at=key.last_used_at,
        )


class Passkeys(BaseModel):
    """The passkeys of a person, oldest first."""

    items: list[PasskeyOut]


class NewStaffIn(BodyIn):
    """A person to hire."""

    user_name: UserName
    name: Annotated[str, Field(max_length=100, examples=["李雷"])]
    email: Annotated[str, Field(max_length=254, examples=["li.lei@example.com"])]


class StaffOut(BaseModel):
    """A member of staff; name and e-mail are masked."""

    id: UUID
    user_name: str
    state: str
    version: int
    hired_at: datetime
    roles: list[str]
    has_second_factor: bool
    name: str | None = None
    email: str | None = None
    password: str | None = Field(default=None, description=f"the first one; {ONCE}")

    @classmethod
    def of(cls, person: staff.Staff, masked: tuple[str, str] | None = None) -> StaffOut:
        """Return the wire form."""
        return cls(
            id=person.id,
            user_name=person.user_name,
            state=person.state,
            version=person.version,
            hired_at=person.hired_at,
            roles=list(person.roles),
            has_second_factor=person.has_second_factor,
            name=masked[0] if masked else None,
            email=masked[1] if masked else None,
        )


class StaffPage(PageOut):
    """A page of the staff, by user name."""

    items: list[StaffOut]


class RoleOut(BaseModel):
    """A named set of entitlements."""

    name: str
    audience: str
    entitlements: list[str]
    en: str
    zh: str
    needs_second_factor: bool
    is_built_in: bool
    version: int

    @classmethod
    def of(cls, role: roles.Role) -> RoleOut:
        """Return the wire form."""
        return cls(
            name=role.name,
            audience=role.audience,
            entitlements=list(role.entitlements),
            en=role.en,
            zh=role.zh,
            needs_second_factor=role.needs_second_factor,
            is_built_in=role.is_built_in,
            version=role.version,
        )


class Roles(BaseModel):
    """Every role, by name."""

    items: list[RoleOut]


class RoleIn(BodyIn):
    """A role to make or change."""

    audience: roles.Audience = roles.Audience.STAFF
    entitlements: Verbs
    en: Annotated[str, Field(min_length=1, max_length=200)]
    zh: Annotated[str, Field(min_length=1, max_length=200)]
    needs_second_factor: bool = True
    approval: UUID | None = Field(
        default=None, description="null requests one, then send it again with it"
    )


class RoleGrantIn(BodyIn):
    """A role to give."""

    role: Annotated[str, Field(examples=["analyst"])]
    approval: UUID | None = Field(
        default=None, description="null requests one, then send it again with it"
    )


class ApprovedIn(BodyIn):
    """Something that two people do."""

    approval: UUID | None = Field(
        default=None, description="null requests one, then send it again with it"
    )


class RoleGrantOut(BaseModel):
    """That a person has or had a role."""

    role: str
    cause: str
    granted_by: str
    granted_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, grant: roles.RoleGrant) -> RoleGrantOut:
        """Return the wire form."""
        return cls(
            role=grant.role,
            cause=grant.cause,
            granted_by=grant.granted_by,
            granted_at=grant.granted_at,
            revoked_at=grant.revoked_at,
        )


class RoleGrants(BaseModel):
    """Every role a person has or had, oldest first."""

    items: list[RoleGrantOut]


class ApprovalOut(BaseModel):
    """A request for a second person's yes."""

    id: UUID
    kind: str
    en: str
    zh: str
    verb: str = Field(description="entitlement of the checker")
    subject: str
    shown: dict[str, Any]
    shown_hash: str = Field(description="send it back to confirm exactly this")
    requested_by: str
    requested_at: datetime
    expires_at: datetime = Field(description="real time")
    state: approvals.ApprovalState
    decided_by: str | None
    decided_at: datetime | None
    reason: str
    is_yours_to_decide: bool = False

    @classmethod
    def of(
        cls, approval: approvals.Approval, now: datetime, *, decidable: bool = False
    ) -> ApprovalOut:
        """Return the wire form; `now` is the real instant."""
        kind = approvals.approval_kinds().get(approval.kind)
        return cls(
            id=approval.id,
            kind=approval.kind,
            en=kind.en if kind else approval.kind,
            zh=kind.zh if kind else approval.kind,
            verb=approval.verb,
            subject=approval.subject,
            shown=json.loads(approval.shown),
            shown_hash=approval.shown_hash,
            requested_by=approval.requested_by,
            requested_at=approval.requested_at,
            expires_at=approval.expires_at,
            state=approval.at(now),
            decided_by=approval.decided_by,
            decided_at=approval.decided_at,
            reason=approval.reason,
            is_yours_to_decide=decidable,
        )


class ApprovalPage(PageOut):
    """A page of approvals, newest first."""

    items: list[ApprovalOut]


class ApprovalIn(BodyIn):
    """Something to be approved."""

    kind: Annotated[str, Field(examples=["access.grant_role"])]
    subject: Annotated[str, Field(pattern=r"^[a-z][a-z_]*:.+", max_length=200)]
    shown: dict[str, Any] = Field(description="texts and whole numbers; money in minor units")
    expires_in_s: Annotated[int | None, Field(ge=60, le=2_592_000)] = None


class DecisionIn(BodyIn):
    """A yes to what was shown."""

    shown_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RejectionIn(DecisionIn):
    """A no to what was shown."""

    reason: Reason


class ApprovalKindOut(BaseModel):
    """What can be approved."""

    name: str
    verb: str
    en: str
    zh: str
    lives_s: int


class ApprovalKinds(BaseModel):
    """Everything that can be approved, by name."""

    items: list[ApprovalKindOut]


class TwoPeopleOut(BaseModel):
    """Requested, or done."""

    is_done: bool
    approval: ApprovalOut | None = Field(
        default=None, description="the request, for a second person"
    )
    cause: str | None = None
    password: str | None = Field(default=None, description=ONCE)


class ApiKeyIn(BodyIn):
    """A key to make for a machine."""

    name: Annotated[str, Field(min_length=1, max_length=100, examples=["settlement robot"])]
    kind: api_keys.ApiKeyKind = api_keys.ApiKeyKind.SIGNED
    role: str | None = None
    entitlements: Verbs = Field(default_factory=list)
    party: UUID | None = None
    expires_at: datetime | None = None
    public_key: Annotated[str, Field(max_length=400)] | None = Field(
        default=None, description="for the kind `ed25519`: PEM, or 64 hex digits"
    )


class RotationIn(BodyIn):
    """How long the old secret stays valid."""

    overlap_s: Annotated[int, Field(ge=0, le=2_592_000)] = 86_400
    public_key: Annotated[str, Field(max_length=400)] | None = Field(
        default=None, description="of a key of the kind `ed25519`: the public half of the new pair"
    )


class ApiKeyOut(BaseModel):
    """An API key."""

    id: str
    name: str
    kind: str
    role: str | None
    entitlements: list[str]
    party: UUID | None
    hint: str = Field(description="last four characters of the newest secret")
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    secret: str | None = Field(default=None, description=ONCE)

    @classmethod
    def of(cls, key: api_keys.ApiKey) -> ApiKeyOut:
        """Return the wire form."""
        return cls(
            id=key.id,
            name=key.name,
            kind=key.kind,
            role=key.role,
            entitlements=list(key.entitlements),
            party=key.party,
            hint=key.hint,
            created_by=key.created_by,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class ApiKeyPage(PageOut):
    """A page of keys, newest first."""

    items: list[ApiKeyOut]


class AuditEntryOut(BaseModel):
    """One line of the audit trail."""

    sequence: int
    at: datetime
    wall_at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    hash: str


class AuditPage(PageOut):
    """A page of the trail, newest first."""

    items: list[AuditEntryOut]
