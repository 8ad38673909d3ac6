"""The credit bureau: what it is asked, what it says, and what its answers come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

VALID_DAYS: Final = 30
"""For how long a report may stand behind a decision; a product may ask for less."""
PURPOSE: Final = "credit_assessment"
"""The purpose of `parties` that an inquiry is made for; it rests on consent."""


class Why(StrEnum):
    """What an inquiry is made for; the bureau shows it to whoever asks next."""

    APPLICATION = "application"
    """A request for credit."""
    LIMIT = "limit"
    """A limit is looked at again."""
    MONITORING = "monitoring"
    """A loan that runs is watched (贷后管理)."""


class Found(StrEnum):
    """What an answer says."""

    HIT = "hit"
    """The person has a file with enough in it."""
    THIN_FILE = "thin_file"
    """The person has a file, too short to be scored."""
    NO_FILE = "no_file"
    """The bureau knows nobody of that name and number."""
    UNKNOWN = "unknown"
    """No answer, or none that can be read: there may be a file, there may be none."""
    NOT_RECEIVED = "not_received"
    """The bureau has no such request, or the request verifiably never left us."""


TOLD: Final = frozenset({Found.HIT, Found.THIN_FILE, Found.NO_FILE})
"""Findings that say something about the person."""


class Source(StrEnum):
    """How evidence came to us."""

    ANSWER = "answer"
    POLL = "poll"


class InquiryState(StrEnum):
    """What all evidence of one inquiry comes to."""

    INTENDED = "intended"
    """Committed before the call; no evidence yet."""
    ANSWERED = "answered"
    UNKNOWN = "unknown"
    VOID = "void"
    """It never took place."""
    DISPUTED = "disputed"
    """Two answers differ in what they say; nothing is built on it."""


UNSETTLED: Final = frozenset({InquiryState.INTENDED, InquiryState.UNKNOWN})


class InquiryIsUnknown(Refusal):
    """No inquiry has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no bureau inquiry {inquiry}."
    zh = "征信查询 {inquiry} 不存在。"


class InquiryIsUnderWay(Refusal):
    """An inquiry about the person waits for evidence; a second one would leave a second trace."""

    kind = RefusalKind.CONFLICT
    en = "Bureau inquiry {inquiry} about this person is not settled; poll it first."
    zh = "该客户的征信查询 {inquiry} 尚无结果，请先查询其状态。"


class BureauIsNotAtHand(Refusal):
    """The platform runs without this bureau, so that it cannot be asked."""

    kind = RefusalKind.UNAVAILABLE
    en = "The credit bureau {bureau} is not at hand."
    zh = "征信机构 {bureau} 当前不可用。"


class ReportHasExpired(Refusal):
    """The newest report about the person is too old to decide by, or there is none."""

    kind = RefusalKind.CONFLICT
    en = "No bureau report about party {party} is younger than {days} days."
    zh = "客户 {party} 没有 {days} 天内的征信报告。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a bureau knows of a person, without anything that names him; amounts in minor units.

    Attributes
    ----------
    made_on : day on which the bureau made it
    accounts, open_accounts : credit accounts of all lenders
    balance_minor, limit_minor, overdue_minor : over open accounts
    monthly_due_minor : what falls due in a month
    worst_dpd_24m : most days past due in 24 months
    inquiries_6m : of other lenders, for a request for credit
    oldest_months : age of the oldest account
    score : None for a thin file
    """

    made_on: date
    currency: str = "CNY"
    accounts: int = 0
    open_accounts: int = 0
    balance_minor: int = 0
    limit_minor: int = 0
    overdue_minor: int = 0
    monthly_due_minor: int = 0
    worst_dpd_24m: int = 0
    inquiries_6m: int = 0
    oldest_months: int = 0
    score: int | None = None


@dataclass(frozen=True, slots=True)
class BureauAnswer:
    """What a bureau says about one request.

    Attributes
    ----------
    request : number of the request that the answer is about
    name, id_number : whom the answer is about; compared with whom we asked about, never kept
    report : of a hit or a thin file
    reason : stable code of the bureau or the adapter, never personal data
    reference : number the bureau gave it
    """

    request: str
    found: Found
    reason: str = ""
    reference: str = ""
    name: str = field(default="", repr=False)
    id_number: str = field(default="", repr=False)
    report: Report | None = None


class CreditBureau(Protocol):
    """A bureau that knows what people owe elsewhere.

    Its verbs answer and do not raise: what is not known is `UNKNOWN`, and only what verifiably did
    not reach the bureau is `NOT_RECEIVED`. A request sent twice is done once.
    """

    @property
    def name(self) -> str:
        """Name of the bureau, kept with every inquiry."""
        ...

    def inquire(self, request: str, *, name: str, id_number: str, why: Why) -> BureauAnswer:
        """Ask for the file of a person."""
        ...

    def query(self, request: str) -> BureauAnswer:
        """Ask what became of a request."""
        ...

    def deliver(self, period: str, content: bytes) -> Delivery:
        """Hand in a reporting file; the same file again is the same delivery."""
        ...


class DeliveryState(StrEnum):
    """What a bureau says of a reporting file."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """The file as a whole, for what `reason` says."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bureau's receipt for a reporting file.

    Attributes
    ----------
    sha256 : hex digest that the bureau computed over what it received
    """

    state: DeliveryState
    sha256: str = ""
    rows: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One question to a bureau: committed before the call, settled by evidence.

    Attributes
    ----------
    id : also the number of the request at the bureau
    person : 32 bytes, a keyed hash of the name and number asked about; evidence that names
        somebody else does not match it
    consent_version, consent_hash, consent_at : the consent that the inquiry rests on
    """

    id: UUID
    party: UUID
    bureau: str
    why: Why
    person: bytes
    consent_version: int
    consent_hash: bytes
    consent_at: datetime
    state: InquiryState
    version: int
    started_at: datetime
    started_wall_at: datetime
    actor: str

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be asked."""
        return self.state not in UNSETTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class BureauEvidence:
    """One answer about one inquiry, as it came in."""

    inquiry: UUID
    sequence: int
    source: Source
    found: Found
    reason: str
    reference: str
    report: Report | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What a settled inquiry says: the finding, its report, and until when it holds."""

    inquiry: UUID
    found: Found
    report: Report | None
    answered_at: datetime
    valid_until: datetime


def settle(evidence: Iterable[BureauEvidence]) -> InquiryState:
    """Return what the evidence of one inquiry comes to.

    A finding beats its absence; answers repeated, or in another order, change nothing; two that
    say different things are a dispute.
    """
    known = list(evidence)
    if not known:
        return InquiryState.INTENDED
    told = {(e.found, e.report) for e in known if e.found in TOLD}
    if len(told) > 1:
        return InquiryState.DISPUTED
    if told:
        return InquiryState.ANSWERED
    if any(e.found is Found.NOT_RECEIVED for e in known):
        return InquiryState.VOID
    return InquiryState.UNKNOWN


def known_by(
    inquiry: Inquiry, evidence: Iterable[BureauEvidence], *, days: int = VALID_DAYS
) -> Known | None:
    """Return what an answered inquiry says; None where it says nothing, or two things."""
    if inquiry.state is not InquiryState.ANSWERED:
        return None
    first = next(e for e in evidence if e.found in TOLD)
    return Known(
        inquiry.id,
        first.found,
        first.report,
        first.recorded_at,
        first.recorded_at + timedelta(days=days),
    )
