"""What a customer brings up: by when it is answered, how, and what follows from the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.kernel.calendars import calendar


class MatterKind(StrEnum):
    """What sort of matter it is."""

    COMPLAINT = "complaint"
    """投诉: about how the customer was treated, or what was charged."""
    REPUDIATION = "repudiation"
    """抵赖、伪冒: the customer says that he never took the loan."""
    BUREAU_DISPUTE = "bureau_dispute"
    """征信异议: what was reported to the bureau is contested."""


class MatterOutcome(StrEnum):
    """How a matter was answered."""

    UPHELD = "upheld"
    PARTLY = "partly"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    """By the customer."""


class Consequence(StrEnum):
    """What follows from an answer, in the transaction of the answer."""

    STOP_COLLECTION = "stop_collection"
    """For good."""
    REVERSE_LOAN = "reverse_loan"
    """The customer owes nothing: what the loan asked of him is taken back."""
    DELETE_BUREAU_ACCOUNT = "delete_bureau_account"
    CORRECT_BUREAU_HISTORY = "correct_bureau_history"
    BLOCK_DEVICES = "block_devices"
    """Where the loan was taken from; its victim is not blocked."""
    WAIVE = "waive"
    RESUME_COLLECTION = "resume_collection"


class MatterIsUnknown(Refusal):
    """No matter has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no matter {matter}."
    zh = "诉求 {matter} 不存在。"


class MatterIsAnswered(Refusal):
    """A matter is answered once."""

    kind = RefusalKind.CONFLICT
    en = "Matter {matter} was answered: {state}."
    zh = "诉求 {matter} 已办结：{state}。"


class MatterHasNoExtension(Refusal):
    """The rule allows no further extension of the deadline."""

    kind = RefusalKind.CONFLICT
    en = "The deadline of matter {matter} ({due_on}) cannot be extended again ({rule})."
    zh = "诉求 {matter} 的办理期限（{due_on}）不能再延长（{rule}）。"


class AnswerIsMalformed(Refusal):
    """An answer has its reasons, and remedies only where something was upheld."""

    kind = RefusalKind.INVALID
    en = "The answer is malformed at {field}: {why}."
    zh = "答复的 {field} 有误：{why}。"


class NoApprovalIsNeeded(Refusal):
    """One person gives this answer."""

    kind = RefusalKind.CONFLICT
    en = "Matter {matter} is answered so by one person; no approval is asked for."
    zh = "诉求 {matter} 的该答复无需第二人审批。"


class EvidenceIsNeeded(Refusal):
    """The answer needs evidence that is not there yet."""

    kind = RefusalKind.CONFLICT
    en = "Matter {matter} cannot be answered without evidence: {missing}."
    zh = "诉求 {matter} 缺少证据，不能答复：{missing}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRule:
    """By when a kind of matter is answered, from a day on.

    Attributes
    ----------
    days : after the day of receipt; of a calendar's business days where one is named
    extensions : days of each extension, which a second person approves
    """

    name: str
    kind: MatterKind
    from_on: date
    days: int
    calendar: str | None = None
    extensions: tuple[int, ...] = ()
    source: str


DEADLINES: Final = (
    DeadlineRule(
        name="complaint@1",
        kind=MatterKind.COMPLAINT,
        from_on=date(2013, 1, 1),
        days=15,
        source="ours, before there was a rule",
    ),
    DeadlineRule(
        name="complaint@2",
        kind=MatterKind.COMPLAINT,
        from_on=date(2020, 3, 1),
        days=15,
        extensions=(15, 30),
        source="银行业保险业消费投诉处理管理办法: 15 days, 30 if complex, 30 more by approval",
    ),
    DeadlineRule(
        name="repudiation@1",
        kind=MatterKind.REPUDIATION,
        from_on=date(2013, 1, 1),
        days=10,
        calendar="CN",
        extensions=(10,),
        source="ours",
    ),
    DeadlineRule(
        name="bureau_dispute@1",
        kind=MatterKind.BUREAU_DISPUTE,
        from_on=date(2013, 3, 15),
        days=20,
        source="征信业管理条例, art. 25: 20 days from receipt",
    ),
)
"""In the order of their days, by kind."""


def rule_for(kind: MatterKind, on: date, rules: Sequence[DeadlineRule] = DEADLINES) -> DeadlineRule:
    """Return the rule in force for a kind of matter on the day it is received."""
    ours = [one for one in rules if one.kind is kind]
    known = [one for one in ours if one.from_on <= on]
    return known[-1] if known else ours[0]


def due_on(rule: DeadlineRule, received_on: date, extended: int = 0) -> date:
    """Return the last day on which a matter is answered in time.

    Examples
    --------
    >>> received = date(2026, 2, 10)
    >>> [due_on(rule_for(kind, received), received).isoformat() for kind in MatterKind]
    ['2026-02-25', '2026-03-02', '2026-03-02']
    """
    days = rule.days + sum(rule.extensions[:extended])
    if rule.calendar is None:
        return received_on + timedelta(days=days)
    return calendar(rule.calendar).add_business_days(received_on, days)


NEEDED: Final[Mapping[tuple[MatterKind, MatterOutcome], tuple[str, ...]]] = MappingProxyType(
    {
        (MatterKind.REPUDIATION, MatterOutcome.UPHELD): ("investigation",),
        (MatterKind.REPUDIATION, MatterOutcome.REFUSED): ("contract_evidence",),
        (MatterKind.BUREAU_DISPUTE, MatterOutcome.REFUSED): ("payment_record",),
    }
)
"""Kinds of evidence without which a matter is not answered so."""

_FOLLOWS: Final[Mapping[tuple[MatterKind, MatterOutcome], tuple[Consequence, ...]]] = (
    MappingProxyType(
        {
            (MatterKind.REPUDIATION, MatterOutcome.UPHELD): (
                Consequence.STOP_COLLECTION,
                Consequence.REVERSE_LOAN,
                Consequence.DELETE_BUREAU_ACCOUNT,
                Consequence.BLOCK_DEVICES,
            ),
            (MatterKind.REPUDIATION, MatterOutcome.REFUSED): (Consequence.RESUME_COLLECTION,),
            (MatterKind.REPUDIATION, MatterOutcome.WITHDRAWN): (Consequence.RESUME_COLLECTION,),
            (MatterKind.COMPLAINT, MatterOutcome.UPHELD): (Consequence.WAIVE,),
            (MatterKind.COMPLAINT, MatterOutcome.PARTLY): (Consequence.WAIVE,),
            (MatterKind.BUREAU_DISPUTE, MatterOutcome.UPHELD): (
                Consequence.CORRECT_BUREAU_HISTORY,
                Consequence.RESUME_COLLECTION,
            ),
            (MatterKind.BUREAU_DISPUTE, MatterOutcome.PARTLY): (
                Consequence.CORRECT_BUREAU_HISTORY,
                Consequence.RESUME_COLLECTION,
            ),
            (MatterKind.BUREAU_DISPUTE, MatterOutcome.REFUSED): (Consequence.RESUME_COLLECTION,),
            (MatterKind.BUREAU_DISPUTE, MatterOutcome.WITHDRAWN): (Consequence.RESUME_COLLECTION,),
        }
    )
)


def follows(kind: MatterKind, outcome: MatterOutcome) -> tuple[Consequence, ...]:
    """Return what follows from an answer, in order.

    Examples
    --------
    >>> [one.value for one in follows(MatterKind.REPUDIATION, MatterOutcome.UPHELD)][1]
    'reverse_loan'
    """
    return _FOLLOWS.get((kind, outcome), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class MatterAnswer:
    """How a matter is answered.

    Attributes
    ----------
    reasons : what the customer is told, without personal data; at least one
    waived_* : minor units forgiven, of a complaint that was upheld
    history : status by month, of a bureau dispute that was upheld
    devices : devices that the loan was taken with, of a repudiation that was upheld
    """

    outcome: MatterOutcome
    reasons: tuple[str, ...]
    waived_penalty_minor: int = 0
    waived_fee_minor: int = 0
    waived_interest_minor: int = 0
    history: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    devices: tuple[str, ...] = ()

    @property
    def waived_minor(self) -> int:
        """What is forgiven in all."""
        return self.waived_penalty_minor + self.waived_fee_minor + self.waived_interest_minor

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data: what a second person is shown, and what is kept."""
        return {
            "outcome": self.outcome.value,
            "reasons": list(self.reasons),
            "waived_penalty_minor": self.waived_penalty_minor,
            "waived_fee_minor": self.waived_fee_minor,
            "waived_interest_minor": self.waived_interest_minor,
            "history": dict(self.history),
            "devices": list(self.devices),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What a customer brought up about a loan.

    Attributes
    ----------
    about : stable code of what it is about
    case : in the queue
    rule : name of the rule that set `due_on`
    answer : as it was given; None while it is open
    """

    id: UUID
    kind: MatterKind
    nr: int
    party: UUID
    about: str
    case: UUID
    received_at: datetime
    received_on: date
    due_on: date
    rule: str
    extended: int = 0
    state: str = "open"
    answer: Mapping[str, Any] | None = None
    answered_at: datetime | None = None
    answered_by: str | None = None
    cause: str | None = None
    version: int = 1

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.state == "open"

    @property
    def subject(self) -> str:
        """The name under which it stands in the log and the audit trail."""
        return f"matter:{self.id}"

    def must_be_open(self) -> Matter:
        """Return the matter itself.

        Refusals
        --------
        matter_is_answered
        """
        if not self.is_open:
            raise MatterIsAnswered(matter=self.id, state=self.state)
        return self


def check_answer(kind: MatterKind, answer: MatterAnswer) -> None:
    """Refuse an answer without reasons, or with remedies that do not fit its kind and outcome.

    Refusals
    --------
    answer_is_malformed
    """
    upheld = answer.outcome in (MatterOutcome.UPHELD, MatterOutcome.PARTLY)
    could = follows(kind, answer.outcome)
    rules = (
        ("reasons", bool(answer.reasons) and all(r.strip() for r in answer.reasons), "at least 1"),
        (
            "outcome",
            kind is not MatterKind.REPUDIATION or answer.outcome is not MatterOutcome.PARTLY,
            "a loan was taken or it was not",
        ),
        ("waived", answer.waived_minor == 0 or Consequence.WAIVE in could, "complaint, upheld"),
        (
            "waived",
            min(answer.waived_penalty_minor, answer.waived_fee_minor, answer.waived_interest_minor)
            >= 0,
            ">= 0",
        ),
        (
            "history",
            not answer.history or Consequence.CORRECT_BUREAU_HISTORY in could,
            "bureau_dispute, upheld",
        ),
        (
            "history",
            bool(answer.history) or not (kind is MatterKind.BUREAU_DISPUTE and upheld),
            "a correction of at least 1 month",
        ),
        ("devices", not answer.devices or Consequence.BLOCK_DEVICES in could,
         "repudiation, upheld"),
    )  # fmt: skip
    for name, holds, why in rules:
        if not holds:
            raise AnswerIsMalformed(field=name, why=why)
