"""Second factors: what a person has besides what it knows."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import pyotp

from steelyard.kernel import Refusal, RefusalKind

TOTP_SECONDS = 30
TOTP_DRIFT = 1
"""Steps to either side in which a code is taken: clocks of phones are a little off."""
RECOVERY_CODES = 10
CHALLENGE_LIVES = timedelta(minutes=5)
CHALLENGE_TRIES = 5
MOST_PASSKEYS = 10


class Factor(StrEnum):
    """A way to prove who one is."""

    PASSWORD = "password"
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY = "recovery"
    """A one-time code written down when the second factor was set up."""
    PHONE = "phone"
    """A one-time code sent to a customer's phone."""


SECOND_FACTORS = frozenset({Factor.TOTP, Factor.PASSKEY, Factor.RECOVERY})


class SecondFactorIsMissing(Refusal):
    """The verb wants a session in which a second factor was shown."""

    kind = RefusalKind.FORBIDDEN
    en = "Set up an authenticator app or a passkey first, then sign in with it."
    zh = "请先绑定身份验证器或通行密钥，并用其登录。"


class CodeIsWrong(Refusal):
    """The code is not the present one, or was used."""

    kind = RefusalKind.INVALID
    en = "The code is wrong, or was used before."
    zh = "验证码错误或已被使用。"


class NothingToConfirm(Refusal):
    """No authenticator app waits to be confirmed."""

    kind = RefusalKind.CONFLICT
    en = "No authenticator app waits to be confirmed; start setting one up."
    zh = "没有待确认的身份验证器，请先开始绑定。"


class ChallengeHasLapsed(Refusal):
    """The challenge of a ceremony is too old or was used."""

    kind = RefusalKind.CONFLICT
    en = "The challenge has lapsed; begin again."
    zh = "质询已失效，请重新开始。"


class PasskeyIsRefused(Refusal):
    """The authenticator's answer does not prove what it should."""

    kind = RefusalKind.INVALID
    en = "The passkey is refused: {why}."
    zh = "通行密钥被拒绝：{why}。"


class PasskeyIsUnknown(Refusal):
    """The person has no such passkey."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no such passkey."
    zh = "通行密钥不存在。"


class TooManyPasskeys(Refusal):
    """A person keeps a few passkeys."""

    kind = RefusalKind.TOO_MANY
    en = "A person keeps at most {most} passkeys."
    zh = "每人最多保存 {most} 个通行密钥。"


@dataclass(frozen=True, slots=True)
class Site:
    """The web site as an authenticator sees it (WebAuthn's relying party).

    Attributes
    ----------
    domain : relying party id, a host name without port
    origin : scheme, host and port of the pages
    """

    domain: str
    origin: str


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered authenticator.

    Attributes
    ----------
    credential : id that the authenticator chose
    public_key : COSE key; sign_count : last counter it showed, 0 where it keeps none
    domain : of the site it was registered for
    """

    credential: bytes
    staff: UUID
    name: str
    public_key: bytes
    sign_count: int
    domain: str
    registered_at: datetime
    last_used_at: datetime | None = None


def totp_step(at: datetime) -> int:
    """Return the number of the 30-second step of an instant (RFC 6238)."""
    return int(at.timestamp()) // TOTP_SECONDS


def totp_code(secret: str, step: int) -> str:
    """Return the six digits of a step.

    Examples
    --------
    >>> totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59 // 30)
    '287082'
    """
    return pyotp.HOTP(secret).at(step)


def match_totp(secret: str, code: str, at: datetime, last_step: int) -> int | None:
    """Return the step whose code it is, or None.

    A step that is not after `last_step` never matches: a code is good once (RFC 6238, 5.2).
    """
    typed = "".join(code.split()).encode()
    for step in _steps(totp_step(at)):
        if step > last_step and hmac.compare_digest(totp_code(secret, step).encode(), typed):
            return step
    return None


def _steps(present: int) -> Iterator[int]:
    yield present
    for drift in range(1, TOTP_DRIFT + 1):
        yield present - drift
        yield present + drift


def usable_totp(secret: str, at: datetime, last_step: int) -> str:
    """Return a code that would be taken at an instant: the present one, or the next if used."""
    return totp_code(secret, max(totp_step(at), last_step + 1))


def plain_recovery_code(typed: str) -> str:
    """Return a recovery code as it is compared: small letters and digits only."""
    return "".join(c for c in typed.lower() if c.isalnum())
