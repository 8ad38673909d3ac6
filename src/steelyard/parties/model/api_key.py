"""API keys: how machines show who they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

DEVELOPMENT_PREFIX = "sk_dev_"
BEARER_PREFIX = "sk_"
LONGEST_OVERLAP = timedelta(days=30)


class ApiKeyKind(StrEnum):
    """How the secret is shown."""

    SIGNED = "signed"
    """Never: it signs each request."""
    ED25519 = "ed25519"
    """There is none: its owner signs with a private key, and we hold the public one."""
    BEARER = "bearer"
    """As a bearer token, in production too: for clients that cannot sign, those of Stripe."""
    DEVELOPMENT = "development"
    """As a bearer token; refused in production."""


class ApiKeyIsUnknown(Refusal):
    """No API key has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no API key {key}."
    zh = "API 密钥 {key} 不存在。"


class ApiKeyIsNotValid(Refusal):
    """The key was revoked, has expired, or never was."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The API key {key} is not valid."
    zh = "API 密钥 {key} 无效。"


class ApiKeyIsRevoked(Refusal):
    """Nothing is done with a revoked key any more."""

    kind = RefusalKind.CONFLICT
    en = "The API key {key} is revoked."
    zh = "API 密钥 {key} 已吊销。"


class EntitlementIsNotYours(Refusal):
    """Nobody hands on what he does not hold."""

    kind = RefusalKind.FORBIDDEN
    en = "You cannot give {entitlement}, because you do not hold it."
    zh = "您没有 {entitlement} 权限，不能授予他人。"


class KeyIsOfAnotherKind(Refusal):
    """What is asked fits keys of another kind."""

    kind = RefusalKind.CONFLICT
    en = "The API key {key} is of the kind {found}."
    zh = "API 密钥 {key} 的类型为 {found}。"


class OverlapIsTooLong(Refusal):
    """The secret before the last stops to count some time."""

    kind = RefusalKind.INVALID
    en = "The old secret may stay valid for 0 to {days} days."
    zh = "旧密钥的保留期为 0 到 {days} 天。"


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key to make.

    Attributes
    ----------
    name : what it is for, shown in lists
    role : machine role whose entitlements it has, besides its own
    party : the party it acts for
    expires_at : real instant, None for no end
    public_key : of an Ed25519 pair, PEM or hex; for that kind and no other
    """

    name: str
    kind: ApiKeyKind = ApiKeyKind.SIGNED
    role: str | None = None
    entitlements: tuple[str, ...] = ()
    party: UUID | None = None
    expires_at: datetime | None = None
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret.

    Attributes
    ----------
    id : public, `ak_` and 20 characters
    hint : last four characters of the newest secret, or of the public key in hex
    created_by : actor who answers for what the key does
    expires_at, revoked_at : real clock
    """

    id: str
    name: str
    kind: ApiKeyKind
    role: str | None
    entitlements: tuple[str, ...]
    party: UUID | None
    hint: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def actor(self) -> str:
        """Return the name under which the key acts."""
        return f"key:{self.id}"

    def must_stand(self) -> ApiKey:
        """Return the key itself.

        Refusals
        --------
        api_key_is_revoked
        """
        if self.revoked_at is not None:
            raise ApiKeyIsRevoked(key=self.id)
        return self


@dataclass(frozen=True, slots=True)
class IssuedApiKey:
    """An API key with its secret, which is handed out once; empty where its owner made it."""

    key: ApiKey
    secret: str


def check_overlap(overlap: timedelta) -> timedelta:
    """Return how long the old secret stays valid.

    Refusals
    --------
    overlap_is_too_long
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise OverlapIsTooLong(days=LONGEST_OVERLAP.days)
    return overlap
