"""Consent: personal data is read for a purpose, and some purposes need the person's yes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.personal import PersonalField


class LegalBasis(StrEnum):
    """Why personal data may be handled (Personal Information Protection Law of China, art. 13)."""

    CONSENT = "consent"
    """The person said yes, and may take it back (art. 14 and 15)."""
    CONTRACT = "contract"
    """Needed to make or keep a contract the person is party to."""
    LEGAL_OBLIGATION = "legal_obligation"
    """Needed for a duty that the law lays on us."""


class PurposeIsUnknown(Refusal):
    """The purpose is not in the register of purposes."""

    kind = RefusalKind.INVALID
    en = "There is no purpose {purpose}."
    zh = "不存在处理目的 {purpose}。"


class FieldIsNotOfThePurpose(Refusal):
    """A purpose covers the fields it needs and no others."""

    kind = RefusalKind.FORBIDDEN
    en = "The field {field} is not needed for {purpose}."
    zh = "处理目的 {purpose} 不需要字段 {field}。"


class ConsentIsMissing(Refusal):
    """The purpose rests on consent, and there is none in force."""

    kind = RefusalKind.FORBIDDEN
    en = "Party {party} has not consented to {purpose}, or has withdrawn it."
    zh = "主体 {party} 未同意或已撤回对 {purpose} 的同意。"


class PurposeNeedsNoConsent(Refusal):
    """Consent is neither asked for nor taken back where another basis holds."""

    kind = RefusalKind.INVALID
    en = "The purpose {purpose} rests on {basis}, not on consent."
    zh = "处理目的 {purpose} 的依据为 {basis}，无需同意。"


class ConsentTextIsUnknown(Refusal):
    """No text of that version was published for the purpose."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no text {text} for the purpose {purpose}."
    zh = "处理目的 {purpose} 没有版本 {text} 的文本。"


class ConsentTextIsOutdated(Refusal):
    """A later text changed what is consented to."""

    kind = RefusalKind.CONFLICT
    en = "Text {text} of {purpose} was replaced in substance by text {newer}."
    zh = "{purpose} 的文本版本 {text} 已被实质性修改后的版本 {newer} 取代。"


class NothingToWithdraw(Refusal):
    """No consent to the purpose is in force."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} has no consent to {purpose} in force."
    zh = "主体 {party} 对 {purpose} 没有有效的同意。"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What personal data is handled for, on which basis, and which fields it needs."""

    name: str
    basis: LegalBasis
    fields: frozenset[PersonalField]
    en: str
    zh: str

    @property
    def needs_consent(self) -> bool:
        """Whether it rests on consent."""
        return self.basis is LegalBasis.CONSENT


_F = PersonalField
_REACH = frozenset({_F.NAME, _F.PHONE, _F.EMAIL, _F.ADDRESS})

PURPOSES: Mapping[str, Purpose] = {
    purpose.name: purpose
    for purpose in (
        Purpose(
            "identity_check",
            LegalBasis.LEGAL_OBLIGATION,
            frozenset({_F.NAME, _F.ID_NUMBER, _F.PHONE}),
            "Know who the customer is (Anti-Money Laundering Law, customer due diligence)",
            "客户尽职调查（反洗钱法）",
        ),
        Purpose(
            "regulatory_report",
            LegalBasis.LEGAL_OBLIGATION,
            frozenset(_F),
            "Report to an authority that may ask",
            "依法向主管机关报送",
        ),
        Purpose(
            "contract_notice",
            LegalBasis.CONTRACT,
            _REACH,
            "Send the notices that a contract owes its party",
            "合同履行所需的通知",
        ),
        Purpose(
            "customer_service",
            LegalBasis.CONTRACT,
            _REACH,
            "Answer the customer's own request",
            "答复客户自身的请求",
        ),
        Purpose(
            "face_comparison",
            LegalBasis.CONSENT,
            frozenset({_F.ID_NUMBER}),
            "Compare a face with the portrait of the authority (separate consent, art. 29)",
            "人脸比对（敏感个人信息，须单独同意）",
        ),
        Purpose(
            "credit_assessment",
            LegalBasis.CONSENT,
            frozenset({_F.NAME, _F.ID_NUMBER, _F.PHONE, _F.BIRTH_ON, _F.SEX}),
            "Ask a credit bureau and assess a request for credit",
            "查询征信并评估授信申请",
        ),
        Purpose(
            "marketing",
            LegalBasis.CONSENT,
            frozenset({_F.NAME, _F.PHONE, _F.EMAIL}),
            "Offer what was not asked for",
            "营销推介",
        ),
        Purpose(
            "analytics",
            LegalBasis.CONSENT,
            frozenset({_F.BIRTH_ON, _F.SEX}),
            "Study groups of customers",
            "客群分析",
        ),
    )
}


class ConsentAct(StrEnum):
    """What a person does with a consent."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class ConsentText:
    """One published version of what is consented to, in both languages.

    Attributes
    ----------
    version : 1, 2, 3 ... within the purpose
    changes_substance : purpose, manner or fields changed, so that earlier consents no longer hold
        (Personal Information Protection Law of China, art. 14)
    """

    purpose: str
    version: int
    zh: str
    en: str
    changes_substance: bool
    published_at: datetime

    @property
    def hash(self) -> bytes:
        """Return the 32 bytes by which the text is known: SHA-256 of both languages."""
        return text_hash(self.zh, self.en)


@dataclass(frozen=True, slots=True)
class Consent:
    """One act of consent, as it was recorded; the last act of a purpose counts."""

    party: UUID
    purpose: str
    act: ConsentAct
    text_version: int
    text_hash: bytes
    channel: str
    at: datetime


def text_hash(zh: str, en: str) -> bytes:
    """Return the SHA-256 of a text in both languages, each led by its length.

    Examples
    --------
    >>> text_hash("a", "bc") == text_hash("ab", "c")
    False
    """
    parts = [part.encode() for part in (zh, en)]
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).digest()


def purpose_of(name: str) -> Purpose:
    """Return the purpose of a name.

    Refusals
    --------
    purpose_is_unknown
    """
    purpose = PURPOSES.get(name)
    if purpose is None:
        raise PurposeIsUnknown(purpose=name)
    return purpose


def oldest_binding(texts: Iterable[ConsentText]) -> int:
    """Return the oldest version a consent may name and still hold; 1 without a change."""
    return max((text.version for text in texts if text.changes_substance), default=1)


def is_in_force(acts: Sequence[Consent], texts: Iterable[ConsentText]) -> bool:
    """Return whether the last act of one purpose is a yes to a text that still binds.

    Parameters
    ----------
    acts : of one party and purpose, oldest first
    texts : all texts of the purpose
    """
    if not acts or acts[-1].act is not ConsentAct.GRANTED:
        return False
    return acts[-1].text_version >= oldest_binding(texts)


def check_read(party: UUID, field: PersonalField, purpose: Purpose, *, has_consent: bool) -> None:
    """Check that a field may be read for a purpose.

    Refusals
    --------
    field_is_not_of_the_purpose, consent_is_missing : in this order
    """
    if field not in purpose.fields:
        raise FieldIsNotOfThePurpose(field=field, purpose=purpose.name)
    if purpose.needs_consent and not has_consent:
        raise ConsentIsMissing(party=party, purpose=purpose.name)
