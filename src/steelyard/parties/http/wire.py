"""What crosses the wire, and who may ask about whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from steelyard.base.http import BodyIn, Caller, NotEntitled, PageOut
from steelyard.parties import (
    IdentityLevel,
    Party,
    PartyKind,
    PersonalField,
    consents,
    contacts,
    devices,
    identity,
    registry,
)

Reason = Annotated[str, Field(examples=["risk_review"], description="a code, never free text")]
Channel = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", examples=["app"])]
Region = Annotated[str, Field(pattern=r"^[A-Za-z0-9:/_.-]{1,40}$", examples=["CN-42"])]


def own(caller: Caller, party: UUID, verb: str) -> None:
    """Refuse a caller who is a party and asks about another; staff and machines ask about any.

    Refusals
    --------
    not_entitled
    """
    if caller.party is not None and caller.party.removeprefix("party:") != str(party):
        raise NotEntitled(actor=caller.actor, verb=verb)


def anybody(caller: Caller, verb: str) -> None:
    """Refuse a caller who is a party: the verb is about parties at large.

    Refusals
    --------
    not_entitled
    """
    if caller.party is not None:
        raise NotEntitled(actor=caller.actor, verb=verb)


class CustomerIn(BodyIn):
    """A natural person; every personal field may be missing."""

    personal: dict[PersonalField, str] = Field(
        default_factory=dict,
        examples=[{"name": "张三", "phone": "+8615400001234", "birth_on": "1990-02-28"}],
    )
    origin: Annotated[str | None, Field(examples=["crm:client/17"])] = None
    region: Region | None = None
    channel: Channel = "api"


class LegalPersonIn(BodyIn):
    """A merchant or institution."""

    legal_name: Annotated[str, Field(min_length=1, max_length=200, examples=["青竹书店有限公司"])]
    number: Annotated[str, Field(max_length=60, examples=["91110000600037341L"])]
    country: Annotated[str, Field(min_length=2, max_length=2)] = "CN"
    industry: Annotated[str | None, Field(pattern=r"^[0-9]{4}$", examples=["5942"])] = None
    licence_until_on: date | None = None
    origin: Annotated[str | None, Field(examples=["crm:shop/17"])] = None
    region: Region | None = None
    channel: Channel = "api"


class LegalEntityOut(BaseModel):
    """What a public register says."""

    legal_name: str
    country: str
    number: str
    number_is_checked: bool
    industry: str | None
    licence_until_on: date | None


class PartyOut(BaseModel):
    """A party; personal fields are masked."""

    id: UUID
    kind: PartyKind
    state: registry.PartyState
    version: int
    identity_level: IdentityLevel
    cause: str
    channel: str
    origin: str | None
    region: str | None
    registered_at: datetime
    erased_at: datetime | None
    legal: LegalEntityOut | None
    personal: dict[PersonalField, str] = Field(description="masked")

    @classmethod
    def of(cls, party: Party, masked: Mapping[PersonalField, str]) -> PartyOut:
        """Return the wire form of a party and its masked fields."""
        legal = party.legal
        return cls(
            id=party.id,
            kind=party.kind,
            state=party.state,
            version=party.version,
            identity_level=party.level,
            cause=party.cause,
            channel=party.channel,
            origin=party.origin,
            region=party.region,
            registered_at=party.registered_at,
            erased_at=party.erased_at,
            legal=None
            if legal is None
            else LegalEntityOut(
                legal_name=legal.legal_name,
                country=legal.country,
                number=legal.number,
                number_is_checked=legal.number_is_checked,
                industry=legal.industry,
                licence_until_on=legal.licence_until_on,
            ),
            personal=dict(masked),
        )


class PartyPage(PageOut):
    """A page of parties, newest first."""

    items: list[PartyOut]


class PartiesFound(BaseModel):
    """The parties that have exactly the value."""

    items: list[PartyOut]


class SearchIn(BodyIn):
    """An exact value; in the body, so that it is in no log of addresses."""

    field: PersonalField
    value: Annotated[str, Field(min_length=1, max_length=500)]


class PersonalOut(BaseModel):
    """Fields in clear, for one purpose."""

    purpose: str
    personal: dict[PersonalField, str]


class CorrectionIn(BodyIn):
    """Fields to give or correct."""

    personal: Annotated[dict[PersonalField, str], Field(min_length=1)]


class StateChangeIn(BodyIn):
    """Why, and the version seen, if the change is to be refused when somebody else was faster."""

    reason: Reason
    version: int | None = None


class ReasonIn(BodyIn):
    """Why."""

    reason: Reason


class RelationIn(BodyIn):
    """What a party is to this legal person."""

    party: UUID
    kind: registry.RelationKind
    share_bp: Annotated[int | None, Field(description="basis points of the whole")] = None


class RelationOut(BaseModel):
    """A relation; `of` is the legal person."""

    id: UUID
    party: UUID
    kind: registry.RelationKind
    of: UUID
    share_bp: int | None
    since_at: datetime

    @classmethod
    def from_relation(cls, relation: registry.Relation) -> RelationOut:
        """Return the wire form."""
        return cls(
            id=relation.id,
            party=relation.party,
            kind=relation.kind,
            of=relation.of,
            share_bp=relation.share_bp,
            since_at=relation.since_at,
        )


class Relations(BaseModel):
    """Relations in force."""

    items: list[RelationOut]


class AccountLinkIn(BodyIn):
    """An account by reference, and what the party is to it."""

    account: Annotated[str, Field(pattern=r"^[a-z][a-z_]*:.+", examples=["account:client/1"])]
    role: registry.AccountRole


class AccountLinks(BaseModel):
    """Accounts of a party."""

    items: list[AccountLinkIn]

    @classmethod
    def of(cls, links: tuple[registry.AccountLink, ...]) -> AccountLinks:
        """Return the wire form."""
        return cls(items=[AccountLinkIn(account=k.account, role=k.role) for k in links])


class PurposeOut(BaseModel):
    """A purpose of handling personal data."""

    name: str
    basis: consents.LegalBasis
    fields: list[PersonalField]
    en: str
    zh: str


class Purposes(BaseModel):
    """The register of purposes."""

    items: list[PurposeOut]


class ConsentTextIn(BodyIn):
    """The next version of a text, in both languages."""

    zh: Annotated[str, Field(min_length=1)]
    en: Annotated[str, Field(min_length=1)]
    changes_substance: Annotated[bool, Field(description="earlier consents no longer hold")]


class ConsentTextOut(BaseModel):
    """A published text; `hash` is the SHA-256 it is known by, hexadecimal."""

    purpose: str
    version: int
    zh: str
    en: str
    hash: str
    changes_substance: bool
    published_at: datetime

    @classmethod
    def of(cls, text: consents.ConsentText) -> ConsentTextOut:
        """Return the wire form."""
        return cls(
            purpose=text.purpose,
            version=text.version,
            zh=text.zh,
            en=text.en,
            hash=text.hash.hex(),
            changes_substance=text.changes_substance,
            published_at=text.published_at,
        )


class ConsentTexts(BaseModel):
    """All texts of a purpose, oldest first."""

    items: list[ConsentTextOut]


class ConsentIn(BodyIn):
    """The text the person was shown, and where."""

    purpose: str
    text_version: Annotated[int, Field(ge=1)]
    channel: Channel = "api"


class WithdrawalIn(BodyIn):
    """Where the person took the consent back."""

    channel: Channel = "api"


class ConsentOut(BaseModel):
    """One act of consent."""

    purpose: str
    act: consents.ConsentAct
    text_version: int
    text_hash: str
    channel: str
    at: datetime

    @classmethod
    def of(cls, consent: consents.Consent) -> ConsentOut:
        """Return the wire form."""
        return cls(
            purpose=consent.purpose,
            act=consent.act,
            text_version=consent.text_version,
            text_hash=consent.text_hash.hex(),
            channel=consent.channel,
            at=consent.at,
        )


class ConsentStandingOut(BaseModel):
    """What the acts of one purpose come to."""

    purpose: str
    is_in_force: bool
    acts: list[ConsentOut]


class Consents(BaseModel):
    """Consents of a party, by purpose."""

    items: list[ConsentStandingOut]


class StepIn(BodyIn):
    """What a step needs: `sent` and `code` for `phone`, `portrait` (base64) for `face`."""

    sent: UUID | None = None
    code: Annotated[str | None, Field(max_length=20)] = None
    portrait: Annotated[str | None, Field(description="base64; not kept")] = None


class AttemptOut(BaseModel):
    """One question to a provider; `unknown` until evidence arrives."""

    id: UUID
    party: UUID
    number: int
    step: identity.Step
    provider: str
    state: identity.AttemptState
    started_at: datetime

    @classmethod
    def of(cls, attempt: identity.Attempt) -> AttemptOut:
        """Return the wire form."""
        return cls(
            id=attempt.id,
            party=attempt.party,
            number=attempt.number,
            step=attempt.step,
            provider=attempt.provider,
            state=attempt.state,
            started_at=attempt.started_at,
        )


class IdentityOut(BaseModel):
    """The level of a customer, and every attempt that led there."""

    level: IdentityLevel
    attempts: list[AttemptOut]


class Attempts(BaseModel):
    """Attempts, oldest first."""

    items: list[AttemptOut]


class RulingIn(BodyIn):
    """What a person rules about a disputed attempt."""

    finding: identity.Finding
    reason: Reason


class DeviceIn(BodyIn):
    """What the party came in with; the fingerprint is kept as a keyed hash only."""

    fingerprint: Annotated[str, Field(min_length=8, max_length=500)]
    kind: devices.DeviceKind


class DeviceLinkOut(BaseModel):
    """A device and what it is to a party."""

    device: UUID
    party: UUID
    kind: devices.DeviceKind
    is_blocked: bool
    is_trusted: bool
    sightings: int
    first_seen_at: datetime
    last_seen_at: datetime
    parties_on_device: int

    @classmethod
    def of(cls, link: devices.DeviceLink) -> DeviceLinkOut:
        """Return the wire form."""
        return cls(
            device=link.device.id,
            party=link.party,
            kind=link.device.kind,
            is_blocked=link.device.blocked_at is not None,
            is_trusted=link.is_trusted,
            sightings=link.sightings,
            first_seen_at=link.first_seen_at,
            last_seen_at=link.last_seen_at,
            parties_on_device=link.device.parties,
        )


class DeviceLinks(BaseModel):
    """Devices and parties."""

    items: list[DeviceLinkOut]


class DeviceOut(BaseModel):
    """A device."""

    id: UUID
    kind: devices.DeviceKind
    is_blocked: bool
    parties: int

    @classmethod
    def of(cls, device: devices.Device) -> DeviceOut:
        """Return the wire form."""
        return cls(
            id=device.id,
            kind=device.kind,
            is_blocked=device.blocked_at is not None,
            parties=device.parties,
        )


class ContactIn(BodyIn):
    """A further way to reach the party."""

    kind: PersonalField
    value: Annotated[str, Field(min_length=1, max_length=500)]


class QuietIn(BodyIn):
    """Hours of every day in which nobody writes, in local time; all null clears them."""

    from_time: time | None = None
    until_time: time | None = None
    zone: Annotated[str | None, Field(examples=["Asia/Shanghai"])] = None


class ContactOut(BaseModel):
    """A contact, its value masked."""

    kind: PersonalField
    ordinal: int
    masked: str
    verified_at: datetime | None
    is_preferred: bool
    quiet: QuietIn | None

    @classmethod
    def of(cls, contact: contacts.Contact) -> ContactOut:
        """Return the wire form."""
        quiet = contact.quiet
        return cls(
            kind=contact.kind,
            ordinal=contact.ordinal,
            masked=contact.masked,
            verified_at=contact.verified_at,
            is_preferred=contact.is_preferred,
            quiet=None
            if quiet is None
            else QuietIn(from_time=quiet.from_time, until_time=quiet.until_time, zone=quiet.zone),
        )


class Contacts(BaseModel):
    """Contacts of a party: phones, e-mails, addresses."""

    items: list[ContactOut]
