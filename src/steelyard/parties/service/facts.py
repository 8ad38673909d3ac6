"""The facts of the parties; no personal data is in them."""

from __future__ import annotations

from uuid import UUID

from steelyard.base import Fact


class CustomerRegistered(Fact, kind="parties.CustomerRegistered", version=1):
    """A natural person was registered."""

    party: UUID
    state: str
    cause: str
    channel: str
    origin: str | None = None
    region: str | None = None


class MerchantRegistered(Fact, kind="parties.MerchantRegistered", version=1):
    """A merchant was registered."""

    party: UUID
    state: str
    cause: str
    channel: str
    country: str
    industry: str | None = None
    origin: str | None = None
    region: str | None = None


class InstitutionRegistered(Fact, kind="parties.InstitutionRegistered", version=1):
    """An institution was registered."""

    party: UUID
    state: str
    cause: str
    channel: str
    country: str
    industry: str | None = None
    origin: str | None = None
    region: str | None = None


class PartyActivated(Fact, kind="parties.PartyActivated", version=1):
    """A party that had applied or was restricted may do business."""

    party: UUID
    reason: str


class PartyRestricted(Fact, kind="parties.PartyRestricted", version=1):
    """A party may do less than others until it is activated again."""

    party: UUID
    reason: str


class PartyClosed(Fact, kind="parties.PartyClosed", version=1):
    """The relation with a party ended for good."""

    party: UUID
    reason: str


class PartyErased(Fact, kind="parties.PartyErased", version=1):
    """The personal data of a closed party was erased."""

    party: UUID
    reason: str


class PersonalFieldChanged(Fact, kind="parties.PersonalFieldChanged", version=1):
    """A personal field was given or corrected; what it says is not told."""

    party: UUID
    field: str


class PartiesRelated(Fact, kind="parties.PartiesRelated", version=1):
    """A party became something to a legal person; subject is the legal person."""

    relation: UUID
    party: UUID
    kind_of_relation: str
    of: UUID
    share_bp: int | None = None


class RelationEnded(Fact, kind="parties.RelationEnded", version=1):
    """A relation ended; subject is the legal person."""

    relation: UUID
    party: UUID
    kind_of_relation: str
    of: UUID


class AccountLinked(Fact, kind="parties.AccountLinked", version=1):
    """A party became owner of an account, or was authorised on it."""

    party: UUID
    account: str
    role: str


class ConsentGranted(Fact, kind="parties.ConsentGranted", version=1):
    """A person consented to a purpose, having been shown a version of the text."""

    party: UUID
    purpose: str
    text_version: int
    channel: str


class ConsentWithdrawn(Fact, kind="parties.ConsentWithdrawn", version=1):
    """A person took a consent back."""

    party: UUID
    purpose: str
    text_version: int
    channel: str


class IdentityEvidenceRecorded(Fact, kind="parties.IdentityEvidenceRecorded", version=1):
    """A finding about one attempt came in."""

    party: UUID
    attempt: UUID
    step: str
    source: str
    finding: str
    reason: str
    settled_as: str


class IdentityLevelChanged(Fact, kind="parties.IdentityLevelChanged", version=1):
    """All evidence together proves more, or less, than before."""

    party: UUID
    before: int
    after: int


class DeviceLinked(Fact, kind="parties.DeviceLinked", version=1):
    """A party came in with a device for the first time."""

    party: UUID
    device: UUID
    device_kind: str
    parties_on_device: int


class DeviceTrusted(Fact, kind="parties.DeviceTrusted", version=1):
    """A party vouched for a device, or took that back."""

    party: UUID
    device: UUID
    is_trusted: bool


class DeviceBlocked(Fact, kind="parties.DeviceBlocked", version=1):
    """A device was blocked for everybody; subject is the device."""

    device: UUID
    reason: str


class DeviceUnblocked(Fact, kind="parties.DeviceUnblocked", version=1):
    """A blocked device was let in again; subject is the device."""

    device: UUID
    reason: str


class ContactChanged(Fact, kind="parties.ContactChanged", version=1):
    """A contact was added, replaced, verified, preferred, quieted or removed."""

    party: UUID
    contact: str
    ordinal: int
    change: str
