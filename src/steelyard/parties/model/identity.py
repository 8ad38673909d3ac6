"""Identity: what is proved about a customer, decided from all evidence by one reducer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.party import IdentityLevel
from steelyard.parties.model.personal import PersonalField

CODE_LIVES = timedelta(minutes=5)
CODE_TRIES = 5
CODES_AN_HOUR = 5


class Step(StrEnum):
    """What a provider is asked."""

    NUMBER = "number"
    """Whether the authority issued the identity number."""
    PHONE_CODE = "phone_code"
    """To send a one-time code to the phone; proves nothing by itself."""
    PHONE = "phone"
    """Whether the code that came back is the one that was sent."""
    NAME = "name"
    """Whether the number belongs to the name."""
    FACE = "face"
    """Whether a portrait is that of the number's owner."""


class Finding(StrEnum):
    """What an answer says."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """No answer, or none that can be read: it may have passed, it may have failed."""
    NOT_RECEIVED = "not_received"
    """The provider has no such request, or the request verifiably never left us."""


class EvidenceSource(StrEnum):
    """How evidence came to us."""

    ANSWER = "answer"
    POLL = "poll"
    OPERATOR = "operator"


class AttemptState(StrEnum):
    """What all evidence of one attempt comes to."""

    INTENDED = "intended"
    """Committed before the call; no evidence yet."""
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    VOID = "void"
    """It never took place."""
    DISPUTED = "disputed"
    """Evidence says both; a person has to rule."""


UNSETTLED = frozenset({AttemptState.INTENDED, AttemptState.UNKNOWN})

STEP_FIELDS: Mapping[Step, tuple[PersonalField, ...]] = {
    Step.NUMBER: (PersonalField.ID_NUMBER,),
    Step.PHONE_CODE: (PersonalField.PHONE,),
    Step.PHONE: (PersonalField.PHONE,),
    Step.NAME: (PersonalField.ID_NUMBER, PersonalField.NAME),
    Step.FACE: (PersonalField.ID_NUMBER,),
}
STEP_PURPOSE: Mapping[Step, str] = {
    Step.NUMBER: "identity_check",
    Step.PHONE_CODE: "identity_check",
    Step.PHONE: "identity_check",
    Step.NAME: "identity_check",
    Step.FACE: "face_comparison",
}
STEP_NEEDS: Mapping[Step, IdentityLevel] = {
    Step.NUMBER: IdentityLevel.NONE,
    Step.PHONE_CODE: IdentityLevel.NONE,
    Step.PHONE: IdentityLevel.NONE,
    Step.NAME: IdentityLevel.NUMBER_AND_PHONE,
    Step.FACE: IdentityLevel.NAME,
}

# A person's own proofs: a wrong code or a bad portrait does not unsay an earlier good one.
_OWN_PROOFS = frozenset({Step.PHONE, Step.FACE})


class LevelIsTooLow(Refusal):
    """The steps are taken in their order."""

    kind = RefusalKind.CONFLICT
    en = "The step {step} needs identity level {needed}; party {party} is at {present}."
    zh = "步骤 {step} 需要认证等级 {needed}，主体 {party} 目前为 {present}。"


class IdNumberIsMalformed(Refusal):
    """The check character of the identity number is wrong: no authority need be asked."""

    kind = RefusalKind.CONFLICT
    en = "The identity number of party {party} has a wrong check digit or birth date."
    zh = "主体 {party} 的身份证号码校验码或出生日期有误。"


class StepIsUnderWay(Refusal):
    """The same step waits for evidence; a second call would not be told from the first."""

    kind = RefusalKind.CONFLICT
    en = "Attempt {attempt} of the step {step} is not settled; poll it first."
    zh = "步骤 {step} 的尝试 {attempt} 尚无结论，请先查询其结果。"


class IdentityBelongsToAnother(Refusal):
    """Another customer proved to be the owner of the identity number."""

    kind = RefusalKind.CONFLICT
    en = "The identity number of party {party} is proved to be another customer's."
    zh = "主体 {party} 的身份证号码已由另一客户完成实名认证。"


class ProviderIsNotAtHand(Refusal):
    """The attempt was made with another provider: this one cannot know what became of it."""

    kind = RefusalKind.CONFLICT
    en = "Attempt {attempt} was made with the provider {needed}, which is not the one at hand."
    zh = "尝试 {attempt} 由服务方 {needed} 处理，与当前服务方不同。"


class RulingIsNotMeaningful(Refusal):
    """A person rules passed or failed."""

    kind = RefusalKind.INVALID
    en = "A ruling is passed or failed."
    zh = "裁定只能为通过或未通过。"


class AttemptIsUnknown(Refusal):
    """No attempt has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no identity attempt {attempt}."
    zh = "认证尝试 {attempt} 不存在。"


class CodeWasNotSent(Refusal):
    """There is no code to compare with."""

    kind = RefusalKind.CONFLICT
    en = "Attempt {attempt} sent no code."
    zh = "尝试 {attempt} 未发送验证码。"


class CodeHasExpired(Refusal):
    """The one-time code is too old."""

    kind = RefusalKind.CONFLICT
    en = "The code is older than {minutes} minutes; ask for a new one."
    zh = "验证码已超过 {minutes} 分钟，请重新获取。"


class TooManyTries(Refusal):
    """One code was tried, or codes were asked for, too often."""

    kind = RefusalKind.TOO_MANY
    en = "Too many tries: at most {most}."
    zh = "尝试次数过多，最多 {most} 次。"


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider says about one request.

    Attributes
    ----------
    request : number of the request the answer is about; an answer about another is unreadable
    reason : stable code of the provider or the adapter, never personal data
    reference : number the provider gave it, for asking back
    """

    request: str
    finding: Finding
    reason: str = ""
    reference: str = ""


class IdentityProvider(Protocol):
    """A service that knows who people are.

    Every verb takes the number of our request, which is asked about again by `query`. A verb
    answers; it does not raise: what it does not know is `UNKNOWN`, and only what verifiably did not
    reach the provider is `NOT_RECEIVED`. A request sent twice is done once.
    """

    @property
    def name(self) -> str:
        """Name of the provider, kept with every attempt."""
        ...

    def check_number(self, request: str, *, id_number: str) -> ProviderAnswer:
        """Ask whether the authority issued an identity number."""
        ...

    def send_code(self, request: str, *, phone: str) -> ProviderAnswer:
        """Ask for a one-time code to be sent to a phone."""
        ...

    def confirm_code(self, request: str, *, sent: str, code: str) -> ProviderAnswer:
        """Ask whether a code is the one sent under the request `sent`."""
        ...

    def match_name(self, request: str, *, id_number: str, name: str) -> ProviderAnswer:
        """Ask whether a number belongs to a name."""
        ...

    def compare_face(self, request: str, *, id_number: str, portrait: bytes) -> ProviderAnswer:
        """Ask whether a portrait is that of a number's owner; the portrait is not kept."""
        ...

    def query(self, request: str) -> ProviderAnswer:
        """Ask what became of a request."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One question to a provider: committed before the call, settled by evidence.

    Attributes
    ----------
    id : also the number of the request at the provider
    number : 1, 2, 3 ... within the party, in the order of the intents
    about : 32 bytes that stand for the very values asked about; when a value changes, what was
        proved about the old one no longer counts
    answers : the attempt whose code is confirmed, for the step `phone`
    started_wall_at : real instant, by which a code expires
    """

    id: UUID
    party: UUID
    number: int
    step: Step
    provider: str
    about: bytes
    state: AttemptState
    version: int
    started_at: datetime
    started_wall_at: datetime
    answers: UUID | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be asked."""
        return self.state not in UNSETTLED


@dataclass(frozen=True, slots=True)
class Evidence:
    """One finding about one attempt, as it came in.

    Attributes
    ----------
    sequence : order of arrival; only an operator's later ruling over an earlier one depends on it
    """

    attempt: UUID
    sequence: int
    source: EvidenceSource
    finding: Finding
    reason: str
    reference: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What all attempts of a party come to.

    Attributes
    ----------
    level : what is proved about the present values
    passed : steps proved; disputed : steps whose last attempt has evidence for both
    """

    level: IdentityLevel
    passed: frozenset[Step]
    disputed: frozenset[Step]


def settle(evidence: Iterable[Evidence]) -> AttemptState:
    """Return what the evidence of one attempt comes to.

    An operator's last ruling stands above all. Otherwise passed and failed together are a dispute;
    a finding beats its absence; evidence repeated or in another order changes nothing.
    """
    known = list(evidence)
    if not known:
        return AttemptState.INTENDED
    rulings = [e for e in known if e.source is EvidenceSource.OPERATOR]
    if rulings:
        return AttemptState(max(rulings, key=lambda e: e.sequence).finding.value)
    findings = {e.finding for e in known}
    if findings >= {Finding.PASSED, Finding.FAILED}:
        return AttemptState.DISPUTED
    if Finding.PASSED in findings:
        return AttemptState.PASSED
    if Finding.FAILED in findings:
        return AttemptState.FAILED
    if Finding.NOT_RECEIVED in findings:
        return AttemptState.VOID
    return AttemptState.UNKNOWN


def stand(attempts: Iterable[Attempt], about: Mapping[Step, bytes]) -> Standing:
    """Return the level that the attempts prove about the present values.

    Parameters
    ----------
    attempts : of one party, in any order
    about : for each step, what the party's present values come to; absent when a value is missing

    Returns
    -------
    Standing
        By the last attempt of each step that found something about the present values. Number and
        name are statements of the authority: the last one counts. Phone and face are the person's
        own proofs: a failed try takes nothing away.
    """
    found = (AttemptState.PASSED, AttemptState.DISPUTED)
    last: dict[Step, Attempt] = {}
    for attempt in sorted(attempts, key=lambda a: a.number):
        counts = (
            attempt.state in found
            if attempt.step in _OWN_PROOFS
            else attempt.state in (*found, AttemptState.FAILED)
        )
        if counts and about.get(attempt.step) == attempt.about:
            last[attempt.step] = attempt
    passed = frozenset(s for s, a in last.items() if a.state is AttemptState.PASSED)
    disputed = frozenset(s for s, a in last.items() if a.state is AttemptState.DISPUTED)
    return Standing(_level(passed), passed, disputed)


def _level(passed: frozenset[Step]) -> IdentityLevel:
    ladder = (
        (IdentityLevel.NUMBER_AND_PHONE, {Step.NUMBER, Step.PHONE}),
        (IdentityLevel.NAME, {Step.NAME}),
        (IdentityLevel.FACE, {Step.FACE}),
    )
    level = IdentityLevel.NONE
    for rung, needed in ladder:
        if not needed <= passed:
            break
        level = rung
    return level
