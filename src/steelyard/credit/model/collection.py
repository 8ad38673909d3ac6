"""A loan that is late: its spell, the contacts made about it, and plans for those in hardship."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from steelyard.credit.model.message import Channel
from steelyard.credit.model.strategy import Stop
from steelyard.kernel import Refusal, RefusalKind

OUTCOME_DAYS: Final = 30
"""After so many days the experiment is told whether the spell was over."""
HOME_ZONE: Final = "Asia/Shanghai"
ZONES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "HK": "Asia/Hong_Kong",
        "MO": "Asia/Macau",
        "TW": "Asia/Taipei",
        "SG": "Asia/Singapore",
        "JP": "Asia/Tokyo",
        "DE": "Europe/Berlin",
        "FR": "Europe/Paris",
        "GB": "Europe/London",
    }
)
"""Time zones of regions with one zone, by their first two letters."""


class EpisodeState(StrEnum):
    """Where a spell stands."""

    OPEN = "open"
    CURED = "cured"
    """Nothing is late any more."""
    ENDED = "ended"
    """The loan left the books otherwise."""


class ContactResult(StrEnum):
    """What came of a contact."""

    DELIVERED = "delivered"
    FAILED = "failed"
    VOID = "void"
    """Meant, and never made."""
    REACHED = "reached"
    NO_ANSWER = "no_answer"
    WRONG_PERSON = "wrong_person"
    PROMISED = "promised"
    HARDSHIP = "hardship"
    DISPUTES = "disputes"
    DECEASED = "deceased"


STOPPED_BY: Final[Mapping[ContactResult, Stop]] = MappingProxyType(
    {
        ContactResult.HARDSHIP: Stop.HARDSHIP,
        ContactResult.DISPUTES: Stop.DISPUTE,
        ContactResult.DECEASED: Stop.DECEASED,
    }
)
"""What somebody says on the phone that stops the contacts at once."""


class EpisodeIsUnknown(Refusal):
    """The loan is not being collected."""

    kind = RefusalKind.NOT_FOUND
    en = "Loan {loan} is not being collected."
    zh = "借款 {loan} 当前不在催收中。"


class CollectionContactIsUnknown(Refusal):
    """No contact has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no contact {contact}."
    zh = "联系记录 {contact} 不存在。"


class ContactHasAResult(Refusal):
    """What came of a contact is said once."""

    kind = RefusalKind.CONFLICT
    en = "Contact {contact} has the result {result}."
    zh = "联系记录 {contact} 已有结果 {result}。"


class StopIsUnknown(Refusal):
    """No stop of the id is in force."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no stop {stop} in force."
    zh = "不存在生效中的停催标记 {stop}。"


class PlanIsUnknown(Refusal):
    """No hardship plan has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no hardship plan {plan}."
    zh = "困难还款方案 {plan} 不存在。"


class PlanIsProposed(Refusal):
    """A loan has one plan waiting at a time."""

    kind = RefusalKind.CONFLICT
    en = "Hardship plan {plan} of loan {loan} waits for approval."
    zh = "借款 {loan} 的困难还款方案 {plan} 正在等待审批。"


class PlanIsSettled(Refusal):
    """The plan is in force, or was dropped."""

    kind = RefusalKind.CONFLICT
    en = "Hardship plan {plan} is {state}."
    zh = "困难还款方案 {plan} 的状态为 {state}。"


class PlanIsMalformed(Refusal):
    """A plan has exactly the terms that its kind needs."""

    kind = RefusalKind.INVALID
    en = "A plan of kind {plan} needs {needed}."
    zh = "{plan} 类方案需要 {needed}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One spell of a loan being late.

    Attributes
    ----------
    strategy : name of the strategy that it has to its end
    experiment, experiment_version : where the strategy is the arm of one
    outcome_on : when the experiment was told how it went
    case_id : in the queue, once people work it
    """

    id: UUID
    nr: int
    loan: UUID
    party: UUID
    opened_on: date
    strategy: str
    experiment: str | None
    experiment_version: int | None
    worst_dpd: int
    state: EpisodeState
    ended_on: date | None
    outcome_on: date | None
    case_id: UUID | None
    version: int

    def outcome(self, on: date) -> int | None:
        """Return 1 for cured within `OUTCOME_DAYS`, 0 for not; None while it is not known."""
        last = self.opened_on + timedelta(days=OUTCOME_DAYS)
        if self.ended_on is not None and self.ended_on <= last:
            return int(self.state is EpisodeState.CURED)
        return 0 if on > last else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One contact about a late loan, or one that was refused.

    Attributes
    ----------
    step : turn of the strategy; None where a person made it
    is_ours : False where the customer came to us
    refused : code of the refusal; nobody was contacted then
    result : None while nothing is known
    """

    id: UUID
    nr: int
    party: UUID
    episode: UUID | None
    step: str | None
    channel: Channel
    is_ours: bool
    template: str | None
    refused: str | None
    at: datetime
    zone: str
    actor: str
    result: ContactResult | None = None

    @property
    def act(self) -> str:
        """The act that its message is sent for."""
        return f"contact:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopMark:
    """That nobody is to be contacted, because of something; `nr` None: about any loan."""

    id: UUID
    party: UUID
    nr: int | None
    kind: Stop
    source: str
    since_at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBoard:
    """A loan on the board of those who collect; amounts in minor units."""

    episode: Episode
    dpd: int
    bucket: int
    overdue_minor: int
    principal_minor: int
    stops: tuple[Stop, ...]
    promised_minor: int | None
    promised_until: date | None
    contacts: int
    last_contact_at: datetime | None


class PlanKind(StrEnum):
    """How somebody in hardship is helped."""

    RE_AGE = "re_age"
    """All that is owed is spread over new instalments."""
    EXTEND = "extend"
    """Instalments are added at the end."""
    PAUSE = "pause"
    """No interest runs for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is proposed for somebody in hardship.

    Attributes
    ----------
    instalments : of a re-age or an extension; first_due_on : of a re-age; until : of a pause
    """

    kind: PlanKind
    instalments: int | None = None
    first_due_on: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        needed = {
            PlanKind.RE_AGE: {"instalments", "first_due_on"},
            PlanKind.EXTEND: {"instalments"},
            PlanKind.PAUSE: {"until"},
        }[self.kind]
        given = {
            n for n in ("instalments", "first_due_on", "until") if getattr(self, n) is not None
        }
        if given != needed or (self.instalments is not None and not 1 <= self.instalments <= 120):
            raise PlanIsMalformed(plan=self.kind, needed=", ".join(sorted(needed)))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "kind": self.kind.value,
            "instalments": self.instalments,
            "first_due_on": self.first_due_on and self.first_due_on.isoformat(),
            "until": self.until and self.until.isoformat(),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Plan:
        """Return the plan of plain data."""
        first, until = told["first_due_on"], told["until"]
        return cls(
            kind=PlanKind(told["kind"]),
            instalments=told["instalments"],
            first_due_on=first and date.fromisoformat(first),
            until=until and date.fromisoformat(until),
        )


class PlanState(StrEnum):
    """What became of a plan."""

    PROPOSED = "proposed"
    GRANTED = "granted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedPlan:
    """A plan, and the approval that it waits for."""

    id: UUID
    nr: int
    loan: UUID
    party: UUID
    plan: Plan
    reason: str
    approval: UUID
    state: PlanState
    proposed_at: datetime
    proposed_by: str
    version: int

    def must_be_open(self) -> ProposedPlan:
        """Return the plan itself.

        Refusals
        --------
        plan_is_settled
        """
        if self.state is not PlanState.PROPOSED:
            raise PlanIsSettled(plan=self.id, state=self.state)
        return self


def zone_of(region: str | None) -> str:
    """Return the time zone of a region, that of Shanghai where it is not known.

    Examples
    --------
    >>> zone_of("CN-42"), zone_of("DE"), zone_of(None)
    ('Asia/Shanghai', 'Europe/Berlin', 'Asia/Shanghai')
    """
    return ZONES.get((region or "")[:2].upper(), HOME_ZONE)
