"""Staff: people who work with the platform, how they sign in, and how guessing is slowed down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

_USER_NAME = re.compile(r"[a-z][a-z0-9_.-]{1,39}")
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 128
_FEWEST_CHARACTERS = 5


class StaffState(StrEnum):
    """Whether a person may work."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEFT = "left"


class UserNameIsInvalid(Refusal):
    """A user name has a fixed form, because it is public and stands in logs."""

    kind = RefusalKind.INVALID
    en = "A user name has 2 to 40 characters: small letters, digits, dot, hyphen, underscore."
    zh = "用户名须为 2 到 40 个字符：小写字母、数字、点、连字符或下划线，且以字母开头。"


class UserNameIsTaken(Refusal):
    """Another member of staff has the user name."""

    kind = RefusalKind.CONFLICT
    en = "The user name {user_name} is taken."
    zh = "用户名 {user_name} 已被占用。"


class StaffIsUnknown(Refusal):
    """No member of staff has the id or user name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no member of staff {staff}."
    zh = "员工 {staff} 不存在。"


class StaffStateDoesNotAllow(Refusal):
    """The state of the person is against it."""

    kind = RefusalKind.CONFLICT
    en = "{staff} is {present} and cannot become {asked}."
    zh = "{staff} 的状态为 {present}，不能变为 {asked}。"


class StaffIsNotActive(Refusal):
    """Suspended people and those who left do not sign in and are given nothing."""

    kind = RefusalKind.FORBIDDEN
    en = "{staff} is not active."
    zh = "{staff} 不是在职状态。"


class PasswordIsWeak(Refusal):
    """The password is too easy to guess."""

    kind = RefusalKind.INVALID
    en = (
        "A password has 12 to 128 characters, at least 5 different ones, and does not hold the"
        " user name."
    )
    zh = "密码须为 12 到 128 个字符，至少含 5 种不同字符，且不得包含用户名。"


class SignInFailed(Refusal):
    """Name, password or code is wrong; which of them is not said."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The user name, the password or the code is wrong."
    zh = "用户名、密码或验证码错误。"


class SignInIsLocked(Refusal):
    """Too many failures; each further one makes the wait longer."""

    kind = RefusalKind.TOO_MANY
    en = "Too many failed attempts; try again in {seconds} s."
    zh = "失败次数过多，请在 {seconds} 秒后重试。"


class SignInHasLapsed(Refusal):
    """The first step is too old, was finished, or was tried too often."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "This sign-in has lapsed; begin again with the password."
    zh = "本次登录已失效，请重新输入密码。"


class StaffExists(Refusal):
    """The bootstrap of an installation is over."""

    kind = RefusalKind.CONFLICT
    en = "Two administrators exist; further people are hired and given roles by them."
    zh = "已有两名管理员，其他人员须由管理员录入并授权。"


@dataclass(frozen=True, slots=True)
class NewStaff:
    """A person to hire; name and e-mail are kept sealed, the user name is public."""

    user_name: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff, without personal data.

    Attributes
    ----------
    version : grows by one with every change of state
    roles : names of the roles in force, sorted
    has_totp : whether an authenticator app is confirmed; passkeys : how many are registered
    """

    id: UUID
    user_name: str
    state: StaffState
    version: int
    hired_at: datetime
    roles: tuple[str, ...] = ()
    has_totp: bool = False
    passkeys: int = 0

    @property
    def actor(self) -> str:
        """Return the name under which the person acts, and his facts are kept."""
        return f"staff:{self.id}"

    @property
    def has_second_factor(self) -> bool:
        """Whether a second step of sign-in is possible, and therefore demanded."""
        return self.has_totp or self.passkeys > 0

    def must_be_active(self) -> Staff:
        """Return the person itself.

        Refusals
        --------
        staff_is_not_active
        """
        if self.state is not StaffState.ACTIVE:
            raise StaffIsNotActive(staff=self.user_name)
        return self

    def must_go_to(self, state: StaffState) -> None:
        """Check a change of state; nobody comes back who left.

        Refusals
        --------
        staff_state_does_not_allow
        """
        if state is self.state or self.state is StaffState.LEFT:
            raise StaffStateDoesNotAllow(staff=self.user_name, present=self.state, asked=state)


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """How failures slow down the next attempt.

    Attributes
    ----------
    free : attempts without a wait; after that the wait starts at `first` and doubles up to `most`
    forget_after : failures are forgotten after that long without another
    """

    free: int
    first: timedelta
    most: timedelta
    forget_after: timedelta = timedelta(hours=12)

    def delay(self, failures: int) -> timedelta:
        """Return how long to wait after so many failures in a row; it never shrinks.

        Examples
        --------
        >>> [ACCOUNT_LOCK.delay(n).total_seconds() for n in (4, 5, 6, 30)]
        [0.0, 2.0, 4.0, 900.0]
        """
        over = failures - self.free
        if over <= 0:
            return timedelta(0)
        return min(self.first * (1 << min(over - 1, 30)), self.most)


ACCOUNT_LOCK = LockPolicy(4, timedelta(seconds=2), timedelta(minutes=15))
ADDRESS_LOCK = LockPolicy(40, timedelta(seconds=2), timedelta(minutes=15))
# A text message costs money and annoys: the second within the time waits half a minute.
CODE_REQUEST_LOCK = LockPolicy(
    1, timedelta(seconds=30), timedelta(hours=1), forget_after=timedelta(hours=2)
)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed attempts in a row, of an account or an address; instants of the real clock."""

    failures: int
    last_at: datetime
    locked_until_at: datetime


def charge(attempts: Attempts, now: datetime, policy: LockPolicy) -> Attempts:
    """Count an attempt as failed before it is judged, so that attempts at once all count.

    Refusals
    --------
    sign_in_is_locked : says for how many seconds; an attempt while locked does not lengthen it
    """
    if now < attempts.locked_until_at:
        seconds = int((attempts.locked_until_at - now).total_seconds()) + 1
        raise SignInIsLocked(seconds=seconds)
    is_stale = now - attempts.last_at > policy.forget_after
    failures = 1 if is_stale else attempts.failures + 1
    return Attempts(failures, now, now + policy.delay(failures))


def check_user_name(user_name: str) -> str:
    """Return the user name in small letters, without surrounding space.

    Refusals
    --------
    user_name_is_invalid

    Examples
    --------
    >>> check_user_name(" Li.Lei ")
    'li.lei'
    """
    name = user_name.strip().lower()
    if not _USER_NAME.fullmatch(name):
        raise UserNameIsInvalid
    return name


def check_password(password: str, user_name: str) -> str:
    """Return the password if it is long and varied enough.

    Length is what counts; no rules about kinds of characters (NIST SP 800-63B, 5.1.1.2).

    Refusals
    --------
    password_is_weak
    """
    is_long = SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD
    if not is_long or len(set(password)) < _FEWEST_CHARACTERS:
        raise PasswordIsWeak
    if user_name in password.lower():
        raise PasswordIsWeak
    return password
