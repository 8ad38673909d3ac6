"""Sessions: who signed in, for how long, and which requests a browser may send on its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.second_factor import SECOND_FACTORS, Factor

COOKIE = "steelyard_session"
CSRF_HEADER = "x-steelyard-csrf"
TOKEN_PREFIX = "ss_"
SEEN_EVERY = timedelta(minutes=1)
"""How exactly a session's last use is known: it is not written with every request."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionHasEnded(Refusal):
    """The session was signed out, was idle too long, or is too old."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The session has ended; sign in again."
    zh = "会话已结束，请重新登录。"


class SessionIsUnknown(Refusal):
    """The caller has no such session."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no session {session}."
    zh = "会话 {session} 不存在。"


class RequestIsFromElsewhere(Refusal):
    """A write that came with the cookie alone could have been sent by any page."""

    kind = RefusalKind.FORBIDDEN
    en = "Send the header X-Steelyard-CSRF: 1 with a write that shows the session cookie."
    zh = "使用会话 Cookie 的写请求须带 X-Steelyard-CSRF: 1 请求头，且来源须为本站。"


class Whose(StrEnum):
    """What sort of person a session is of."""

    STAFF = "staff"
    PARTY = "party"


class Delivery(StrEnum):
    """How the token of a new session is handed out."""

    COOKIE = "cookie"
    """For browsers: scripts cannot read it."""
    TOKEN = "token"
    """In the answer, for programs, which send it as a bearer."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lives by the real clock: without use, and at all."""

    idle: timedelta
    absolute: timedelta


LIFETIMES = {
    Whose.STAFF: Lifetime(timedelta(minutes=30), timedelta(hours=12)),
    Whose.PARTY: Lifetime(timedelta(minutes=30), timedelta(days=7)),
}


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from: network address and what the browser says it is."""

    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser or program; instants are of the real clock.

    Attributes
    ----------
    owner : id of the member of staff or of the party
    factors : what was shown when signing in
    seen_at : last use, to the minute; expires_at : absolute end; ended_at : when it was ended
    """

    id: UUID
    whose: Whose
    owner: UUID
    factors: frozenset[Factor]
    agent: str
    opened_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    @property
    def actor(self) -> str:
        """Return `staff:<uuid>` or `party:<uuid>`."""
        return f"{self.whose}:{self.owner}"

    @property
    def has_second_factor(self) -> bool:
        """Whether a second factor was shown."""
        return bool(self.factors & SECOND_FACTORS)

    def is_live(self, now: datetime) -> bool:
        """Whether it still counts at a real instant."""
        idle_until = self.seen_at + LIFETIMES[self.whose].idle
        return self.ended_at is None and now < min(self.expires_at, idle_until)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session and the token that shows it, which is handed out once and kept nowhere."""

    session: Session
    token: str


def check_origin(method: str, host: str, origin: str | None, mark: str | None) -> None:
    """Check that a request with the session cookie was sent by our own page.

    A page of another site can make a browser send the cookie (where SameSite is not kept), but
    neither this header, which needs our leave (CORS), nor our `Origin`.

    Parameters
    ----------
    host : of the request; origin, mark : the headers `Origin` and `X-Steelyard-CSRF`

    Refusals
    --------
    request_is_from_elsewhere
    """
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise RequestIsFromElsewhere
    if method in _SAFE_METHODS or origin is not None or mark:
        return
    raise RequestIsFromElsewhere
