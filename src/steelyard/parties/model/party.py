"""Parties: natural and legal persons, their states, and how they relate to each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from stdnum.cn import uscc

from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.personal import PersonalField

WHOLE_BP = 10_000
_REASON = re.compile(r"[a-z][a-z0-9_]{1,59}")


class PartyKind(StrEnum):
    """What sort of person in law."""

    CUSTOMER = "customer"
    """A natural person."""
    MERCHANT = "merchant"
    """A legal person who sells."""
    INSTITUTION = "institution"
    """A legal person who lends, insures, funds or clears."""


class PartyState(StrEnum):
    """Where the party stands with us."""

    APPLIED = "applied"
    ACTIVE = "active"
    RESTRICTED = "restricted"
    CLOSED = "closed"


class IdentityLevel(IntEnum):
    """How much is proved about who a customer is."""

    NONE = 0
    NUMBER_AND_PHONE = 1
    NAME = 2
    FACE = 3


TRANSITIONS: Mapping[PartyState, frozenset[PartyState]] = {
    PartyState.APPLIED: frozenset({PartyState.ACTIVE, PartyState.CLOSED}),
    PartyState.ACTIVE: frozenset({PartyState.RESTRICTED, PartyState.CLOSED}),
    PartyState.RESTRICTED: frozenset({PartyState.ACTIVE, PartyState.CLOSED}),
    PartyState.CLOSED: frozenset(),
}


class PartyIsUnknown(Refusal):
    """No party has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no party {party}."
    zh = "主体 {party} 不存在。"


class PartyIsOfAnotherKind(Refusal):
    """The verb is for another kind of party."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} is a {found}; this needs a {needed}."
    zh = "主体 {party} 的类型为 {found}，此操作需要 {needed}。"


class PartyIsClosed(Refusal):
    """Nothing is done for a closed party any more."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} is closed."
    zh = "主体 {party} 已销户。"


class PartyIsNotClosed(Refusal):
    """Only a closed party can be erased."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} is {state}; close it before erasing its personal data."
    zh = "主体 {party} 状态为 {state}，删除个人信息前须先销户。"


class StateChangeIsNotAllowed(Refusal):
    """The state machine has no such step."""

    kind = RefusalKind.CONFLICT
    en = "A party cannot go from {present} to {asked}."
    zh = "主体状态不能从 {present} 变为 {asked}。"


class PartyHasChanged(Refusal):
    """Somebody else changed the party since it was read."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} is at version {present}, not {expected}; read it again."
    zh = "主体 {party} 当前版本为 {present}，而非 {expected}，请重新读取。"


class RegistrationIsDeclined(Refusal):
    """The gate said no to the registration."""

    kind = RefusalKind.FORBIDDEN
    en = "The registration is declined: {reasons}."
    zh = "注册申请被拒绝：{reasons}。"


class RegistrationNumberIsInvalid(Refusal):
    """The number of a legal person does not have the form of its country's register."""

    kind = RefusalKind.INVALID
    en = "The registration number is not valid in {country}: its form or check digit is wrong."
    zh = "登记号码在 {country} 无效：格式或校验码有误。"


class RegistrationNumberIsTaken(Refusal):
    """Another party is registered under the number of a legal person."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} is registered under this number already."
    zh = "该登记号码已由主体 {party} 登记。"


class OriginIsInvalid(Refusal):
    """An origin is `source:key`."""

    kind = RefusalKind.INVALID
    en = "An origin has the form source:key, such as berka:client/17."
    zh = "来源标识须为 source:key 形式，例如 berka:client/17。"


class OriginWasUsed(Refusal):
    """The origin came before with other content."""

    kind = RefusalKind.CONFLICT
    en = "Origin {origin} was registered before with other content."
    zh = "来源标识 {origin} 此前已以不同内容登记。"


class ReasonIsInvalid(Refusal):
    """A reason goes into facts and the audit trail, so it is a code and never free text."""

    kind = RefusalKind.INVALID
    en = "A reason is a code of small letters, digits and underscores, such as risk_review."
    zh = "原因须为由小写字母、数字和下划线组成的代码，例如 risk_review。"


class BatchIsTooLarge(Refusal):
    """A batch would hold its transaction open for too long."""

    kind = RefusalKind.TOO_LARGE
    en = "A batch holds at most {most} items; this one holds {found}."
    zh = "每批最多 {most} 项，本批为 {found} 项。"


class SharesExceedTheWhole(Refusal):
    """The owners of a legal person would own more than all of it."""

    kind = RefusalKind.CONFLICT
    en = "The owners of party {party} would hold {total_bp} of 10000 basis points."
    zh = "主体 {party} 的股权合计将达 {total_bp} 个基点，超过 10000。"


class RelationIsNotMeaningful(Refusal):
    """A relation of a party to itself, of the wrong kinds, or with a share that cannot be."""

    kind = RefusalKind.INVALID
    en = "The relation {relation} cannot stand: {why}."
    zh = "关系 {relation} 不成立：{why}。"


class RelationIsUnknown(Refusal):
    """No relation of that id is in force."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no relation {relation} in force."
    zh = "不存在有效的关系 {relation}。"


class RelationKind(StrEnum):
    """What a party is to a legal person."""

    OWNER = "owner"
    BENEFICIAL_OWNER = "beneficial_owner"
    """The natural person who owns or controls in the end (FATF recommendation 24)."""
    LEGAL_REPRESENTATIVE = "legal_representative"
    """法定代表人."""
    AUTHORISED = "authorised"
    """Acts for it within a mandate."""


class AccountRole(StrEnum):
    """What a party is to an account."""

    OWNER = "owner"
    AUTHORISED = "authorised"
    """Disposes of it without owning it (a disponent)."""


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """What a public register says about a legal person.

    Attributes
    ----------
    legal_name : as registered; a public fact, so it is not a personal field
    country : ISO 3166-1 alpha-2 code of the register
    number : registration number, normalised; in CN the unified social credit code (GB 32100-2015)
    number_is_checked : whether form and check digit were checked, which is known for CN only
    industry : merchant category code (ISO 18245), four digits
    licence_until_on : last day of the business licence, None when it has no end or is not known
    """

    legal_name: str
    country: str
    number: str
    number_is_checked: bool = False
    industry: str | None = None
    licence_until_on: date | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """A party as others see it: no personal field is in it.

    Attributes
    ----------
    version : grows by one with every change of state, level or register entry
    level : of a customer's identity; always NONE for legal persons
    cause : `policy@version`, import or rule that let the party in
    origin : `source:key` under which it was taken from elsewhere
    region : coarse area code (ISO 3166-2 or the source's own district), never an address
    erased_at : when its personal data was erased
    """

    id: UUID
    kind: PartyKind
    state: PartyState
    version: int
    level: IdentityLevel
    cause: str
    channel: str
    origin: str | None
    region: str | None
    registered_at: datetime
    erased_at: datetime | None = None
    legal: LegalEntity | None = None

    @property
    def subject(self) -> str:
        """Return the name under which the party's facts are kept."""
        return subject_of(self.id)

    def must_be(self, kind: PartyKind) -> Party:
        """Return the party itself if it is of a kind.

        Refusals
        --------
        party_is_of_another_kind
        """
        if self.kind is not kind:
            raise PartyIsOfAnotherKind(party=self.id, found=self.kind, needed=kind)
        return self

    def must_be_open(self) -> Party:
        """Return the party itself unless it is closed.

        Refusals
        --------
        party_is_closed
        """
        if self.state is PartyState.CLOSED:
            raise PartyIsClosed(party=self.id)
        return self

    def must_be_at(self, version: int | None) -> Party:
        """Return the party itself if it is at the version the caller has seen; None is any.

        Refusals
        --------
        party_has_changed
        """
        if version is not None and version != self.version:
            raise PartyHasChanged(party=self.id, present=self.version, expected=version)
        return self

    def must_go_to(self, state: PartyState) -> None:
        """Check a change of state.

        Refusals
        --------
        state_change_is_not_allowed
        """
        if state not in TRANSITIONS[self.state]:
            raise StateChangeIsNotAllowed(present=self.state, asked=state)


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A natural person to register; every personal field may be missing.

    Examples
    --------
    >>> NewCustomer({PersonalField.SEX: "female"}, origin="berka:client/1").origin
    'berka:client/1'
    """

    personal: Mapping[PersonalField, str] = field(default_factory=dict)
    origin: str | None = None
    region: str | None = None
    channel: str = "api"


@dataclass(frozen=True, slots=True)
class NewLegalPerson:
    """A merchant or institution to register; `number` in the spelling of its register."""

    legal_name: str
    number: str
    country: str = "CN"
    industry: str | None = None
    licence_until_on: date | None = None
    origin: str | None = None
    region: str | None = None
    channel: str = "api"


class Outcome(StrEnum):
    """What a batch says of one item."""

    CREATED = "created"
    EXISTS = "exists"
    """The origin is registered with the same content: nothing was done."""
    CONFLICT = "conflict"
    """The origin is registered with other content: nothing was done."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer for one item of a batch: the party of the origin, new or old."""

    party: UUID
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Relation:
    """What one party is to a legal person; `share_bp` of an owner or beneficial owner."""

    id: UUID
    party: UUID
    kind: RelationKind
    of: UUID
    share_bp: int | None
    since_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountLink:
    """That a party owns or disposes of an account, which is known by reference only.

    Attributes
    ----------
    account : reference such as `account:<book>/<id>`; the parties do not know what is in it
    """

    party: UUID
    account: str
    role: AccountRole


def subject_of(party: UUID) -> str:
    """Return the name under which a party's facts are kept."""
    return f"party:{party}"


def check_reason(reason: str) -> str:
    """Return the reason if it is a code.

    Refusals
    --------
    reason_is_invalid
    """
    if not _REASON.fullmatch(reason):
        raise ReasonIsInvalid
    return reason


def check_origin(origin: str | None) -> str | None:
    """Return the origin if it is `source:key`, and None for None.

    Refusals
    --------
    origin_is_invalid

    Examples
    --------
    >>> check_origin("berka:client/17")
    'berka:client/17'
    """
    if origin is None:
        return None
    source, _, key = origin.partition(":")
    if not (source.isidentifier() and source.islower() and key and len(origin) <= 200):
        raise OriginIsInvalid
    return origin


def check_legal_entity(new: NewLegalPerson) -> LegalEntity:
    """Return what the register would say, with the number normalised and its form checked.

    Refusals
    --------
    registration_number_is_invalid : in CN by GB 32100-2015 (form and check digit); elsewhere only
        an empty or overlong number, because the forms are not known to us

    Examples
    --------
    >>> check_legal_entity(NewLegalPerson("Test", "9111 0000 6000 3734 1L")).number
    '91110000600037341L'
    """
    country = new.country.strip().upper()
    number = "".join(new.number.split()).upper()
    is_chinese = country == "CN"
    if is_chinese:
        number = uscc.compact(number)
    is_shaped = len(country) == 2 and country.isalpha() and 0 < len(number) <= 40
    if not is_shaped or not new.legal_name.strip() or (is_chinese and not uscc.is_valid(number)):
        raise RegistrationNumberIsInvalid(country=country)
    return LegalEntity(
        new.legal_name.strip(), country, number, is_chinese, new.industry, new.licence_until_on
    )


def check_relation(party: Party, kind: RelationKind, of: Party, share_bp: int | None) -> None:
    """Check that a relation can mean something.

    Refusals
    --------
    relation_is_not_meaningful : to itself, to a natural person, a beneficial owner or legal
        representative that is no natural person, or a share out of 1..10000 or where none belongs
    """

    def refuse(why: str) -> None:
        raise RelationIsNotMeaningful(relation=kind, why=why)

    if party.id == of.id:
        refuse("a party is nothing to itself")
    if of.kind is PartyKind.CUSTOMER:
        refuse("it is held by a legal person")
    is_natural = kind in (RelationKind.BENEFICIAL_OWNER, RelationKind.LEGAL_REPRESENTATIVE)
    if is_natural and party.kind is not PartyKind.CUSTOMER:
        refuse("only a natural person can be one")
    has_share = kind in (RelationKind.OWNER, RelationKind.BENEFICIAL_OWNER)
    if share_bp is not None and not (has_share and 1 <= share_bp <= WHOLE_BP):
        refuse("the share is out of place or out of range")


def check_shares(of: UUID, present_bp: int, added_bp: int | None) -> None:
    """Check that the owners together hold no more than the whole.

    Refusals
    --------
    shares_exceed_the_whole
    """
    total = present_bp + (added_bp or 0)
    if total > WHOLE_BP:
        raise SharesExceedTheWhole(party=of, total_bp=total)
