"""Approvals: a second person confirms what was shown, once, in time, and not his own wish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

LONGEST_WAIT = timedelta(days=30)
Shown = Mapping[str, object]


class ApprovalState(StrEnum):
    """Where an approval stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CONSUMED = "consumed"


class ApprovalIsUnknown(Refusal):
    """No approval has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no approval {approval}."
    zh = "审批 {approval} 不存在。"


class ApprovalKindIsUnknown(Refusal):
    """No room registered the kind."""

    kind = RefusalKind.INVALID
    en = "There is no approval of kind {name}."
    zh = "不存在审批类型 {name}。"


class ApprovalIsNeeded(Refusal):
    """The verb takes a second person's approval; one was or can be requested."""

    kind = RefusalKind.CONFLICT
    en = "This needs an approval of kind {name} by a second person."
    zh = "此操作需要第二人审批（{name}）。"


class ApprovalIsNotOpen(Refusal):
    """It was decided, withdrawn, consumed or is too old."""

    kind = RefusalKind.CONFLICT
    en = "Approval {approval} is {present}."
    zh = "审批 {approval} 的状态为 {present}。"


class ApprovalHasExpired(Refusal):
    """It was not decided or not used in time."""

    kind = RefusalKind.CONFLICT
    en = "Approval {approval} has expired; request a new one."
    zh = "审批 {approval} 已过期，请重新发起。"


class MakerIsChecker(Refusal):
    """Nobody approves his own wish, nor one sent by a key that he answers for."""

    kind = RefusalKind.FORBIDDEN
    en = "Whoever requested an approval cannot decide it."
    zh = "发起人不得审批自己的申请。"


class ApprovalNeedsAPerson(Refusal):
    """A machine or a customer does not approve."""

    kind = RefusalKind.FORBIDDEN
    en = "Approvals are decided by staff, not by {actor}."
    zh = "审批须由员工作出，{actor} 不能审批。"


class ApprovalIsNotYours(Refusal):
    """Only who requested an approval withdraws it."""

    kind = RefusalKind.FORBIDDEN
    en = "Approval {approval} was requested by somebody else."
    zh = "审批 {approval} 由他人发起。"


class ApprovalIsForSomethingElse(Refusal):
    """Kind, subject or what was shown is not what is done now."""

    kind = RefusalKind.CONFLICT
    en = "Approval {approval} was given for something else."
    zh = "审批 {approval} 与当前操作不一致。"


class ShownDiffers(Refusal):
    """The checker confirms something else than was stored."""

    kind = RefusalKind.CONFLICT
    en = "What you confirm is not what approval {approval} shows; read it again."
    zh = "您确认的内容与审批 {approval} 所示不一致，请重新查看。"


class ShownIsMalformed(Refusal):
    """What is shown holds texts, whole numbers, yes or no, null, lists and mappings of these."""

    kind = RefusalKind.INVALID
    en = "What is shown cannot hold {what}; money is in minor units, a rate is a text."
    zh = "展示内容不能包含 {what}；金额以最小单位整数、利率以文本表示。"


class WaitIsTooLong(Refusal):
    """An approval that lives too long is forgotten by those who gave it."""

    kind = RefusalKind.INVALID
    en = "An approval lives for up to {days} days."
    zh = "审批有效期最长 {days} 天。"


@dataclass(frozen=True, slots=True)
class ApprovalKind:
    """What can be approved, as a room registers it.

    Attributes
    ----------
    name : `room.verb` of what is done in the end
    verb : entitlement of the checker
    en, zh : what it is about, for the queue
    lives : how long an approval lives if the request does not say, from request to use
    version : of the rule; stands in the cause
    """

    name: str
    verb: str
    en: str
    zh: str
    lives: timedelta = timedelta(hours=24)
    version: int = 1


@dataclass(frozen=True, slots=True)
class Approval:
    """One request for a second person's yes, and what became of it.

    Attributes
    ----------
    subject : `noun:id` of what it is about
    shown : JSON text of what the maker showed; shown_hash : its hash with kind and subject, hex
    requested_by : actor; answerable : the person behind it, where that is a machine's key
    requested_at, decided_at, closed_at : business instants
    expires_at : real instant: people live by the real clock, whatever the books do
    version : grows by one with every change of state
    """

    id: UUID
    kind: str
    kind_version: int
    verb: str
    subject: str
    shown: str
    shown_hash: str
    requested_by: str
    answerable: str
    requested_at: datetime
    expires_at: datetime
    state: ApprovalState
    version: int
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""
    closed_at: datetime | None = None

    @property
    def cause(self) -> str:
        """Return what a transfer or a change names as its cause.

        `approval:<id>@<version of the kind>`, in the form `name@version` of the ledger.
        """
        return f"approval:{self.id}@{self.kind_version}"

    def at(self, now: datetime) -> ApprovalState:
        """Return the state at a real instant: what is open when its time is over has expired."""
        is_open = self.state in (ApprovalState.REQUESTED, ApprovalState.APPROVED)
        return ApprovalState.EXPIRED if is_open and now >= self.expires_at else self.state

    def must_be(self, state: ApprovalState, now: datetime) -> None:
        """Check the state at a real instant.

        Refusals
        --------
        approval_has_expired, approval_is_not_open
        """
        present = self.at(now)
        if present is ApprovalState.EXPIRED:
            raise ApprovalHasExpired(approval=self.id)
        if present is not state:
            raise ApprovalIsNotOpen(approval=self.id, present=present)

    def must_be_decidable_by(self, actor: str, shown_hash: str, now: datetime) -> None:
        """Check that a person may say yes or no to it.

        Refusals
        --------
        approval_needs_a_person, maker_is_checker, approval_has_expired, approval_is_not_open,
        shown_differs : in this order
        """
        if not actor.startswith("staff:"):
            raise ApprovalNeedsAPerson(actor=actor)
        if actor in (self.requested_by, self.answerable):
            raise MakerIsChecker
        self.must_be(ApprovalState.REQUESTED, now)
        if shown_hash != self.shown_hash:
            raise ShownDiffers(approval=self.id)


def hash_of(kind: str, subject: str, shown: Shown) -> tuple[str, str]:
    """Return what is shown as JSON text, and the hash of it with its kind and subject.

    Refusals
    --------
    shown_is_malformed : a float, an instant, anything that has no one spelling

    Examples
    --------
    >>> hash_of("a.b", "x:1", {"amount_minor": 5, "to": "y:2"})[0]
    '{"amount_minor":5,"to":"y:2"}'
    """
    _check(dict(shown))
    text = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    line = json.dumps([kind, subject, text], separators=(",", ":"))
    return text, hashlib.sha256(line.encode()).hexdigest()


def _check(value: object) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case list() | tuple():
            for item in value:
                _check(item)
        case dict():
            for name, item in value.items():
                if not isinstance(name, str):
                    raise ShownIsMalformed(what=type(name).__name__)
                _check(item)
        case _:
            raise ShownIsMalformed(what=type(value).__name__)


def check_wait(wait: timedelta) -> timedelta:
    """Return how long an approval lives.

    Refusals
    --------
    wait_is_too_long
    """
    if not timedelta(0) < wait <= LONGEST_WAIT:
        raise WaitIsTooLong(days=LONGEST_WAIT.days)
    return wait
