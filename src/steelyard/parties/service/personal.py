"""Reading, finding, correcting and erasing personal fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.consent import (
    ConsentIsMissing,
    FieldIsNotOfThePurpose,
    PurposeIsUnknown,
    check_read,
    purpose_of,
)
from steelyard.parties.model.party import (
    Party,
    PartyIsNotClosed,
    PartyKind,
    PartyState,
    check_reason,
)
from steelyard.parties.model.personal import (
    RULES,
    PersonalField,
    PersonalFieldIsInvalid,
    PersonalFieldIsMissing,
    PersonalFieldsDisagree,
    check_personal,
    mask,
    normalise,
)
from steelyard.parties.service import sealing
from steelyard.parties.service.consent import has_consent
from steelyard.parties.service.facts import ContactChanged, PartyErased, PersonalFieldChanged
from steelyard.parties.service.standing import reassess
from steelyard.parties.store import device as device_table
from steelyard.parties.store import identity as identity_table
from steelyard.parties.store import party as party_table
from steelyard.parties.store import personal as table

__all__ = [
    "UNMASK",
    "ConsentIsMissing",
    "FieldIsNotOfThePurpose",
    "FieldIsNotSearchable",
    "PersonalField",
    "PersonalFieldIsInvalid",
    "PersonalFieldIsMissing",
    "PersonalFieldsDisagree",
    "PurposeIsUnknown",
    "Reading",
    "UnmaskingIsNotAllowed",
    "correct",
    "disclose",
    "erase",
    "find",
    "masked",
    "masked_many",
    "read",
]

UNMASK = "parties.unmask"
MOST_FOUND = 100


class UnmaskingIsNotAllowed(Refusal):
    """The reader lacks the entitlement to see personal fields in clear."""

    kind = RefusalKind.FORBIDDEN
    en = "Reading personal fields in clear needs the entitlement {entitlement}."
    zh = "查看明文个人信息需要权限 {entitlement}。"


class FieldIsNotSearchable(Refusal):
    """A field of few values is not searched: its frequencies would tell them."""

    kind = RefusalKind.INVALID
    en = "Nobody is found by {field}."
    zh = "不支持按 {field} 查找。"


@dataclass(frozen=True, slots=True)
class Reading:
    """Which fields of whom are to be read in clear, and what for."""

    party: UUID
    fields: tuple[PersonalField, ...]
    purpose: str


def masked(connection: sa.Connection, keyring: Keyring, party: UUID) -> Mapping[PersonalField, str]:
    """Return what may be shown of a party's fields to anybody who may see the party."""
    return masked_many(connection, keyring, [party]).get(party, {})


def masked_many(
    connection: sa.Connection, keyring: Keyring, parties: Sequence[UUID]
) -> dict[UUID, dict[PersonalField, str]]:
    """Return the masked first fields of some parties; parties without any are left out."""
    rows = [row for row in table.of_parties(connection, parties) if row.ordinal == 0]
    shown: dict[UUID, dict[PersonalField, str]] = {}
    for (party, field, _), value in sealing.open_all(connection, keyring, rows).items():
        shown.setdefault(party, {})[field] = mask(field, value)
    return shown


def read(
    database: Database,
    keyring: Keyring,
    reading: Reading,
    *,
    actor: str,
    entitlements: frozenset[str],
) -> Mapping[PersonalField, str]:
    """Return fields in clear to a person who may; every try is in the audit trail, refused or not.

    Returns
    -------
    mapping
        The fields asked for that the party has.

    Refusals
    --------
    unmasking_is_not_allowed : without `parties.unmask`
    party_is_unknown, purpose_is_unknown, field_is_not_of_the_purpose, consent_is_missing
    """

    def work(unit: UnitOfWork) -> Mapping[PersonalField, str]:
        if not entitlements & {UNMASK, "parties.*", "*"}:
            raise UnmaskingIsNotAllowed(entitlement=UNMASK)
        return disclose(unit, keyring, reading)

    try:
        return database.transact(work, actor=actor)
    except Refusal as refusal:
        code = refusal.code
        database.transact(lambda unit: _audit_reading(unit, reading, code), actor=actor)
        raise


def disclose(unit: UnitOfWork, keyring: Keyring, reading: Reading) -> Mapping[PersonalField, str]:
    """Return fields in clear to another part of the platform, for a purpose, audited.

    Refusals
    --------
    party_is_unknown, purpose_is_unknown, field_is_not_of_the_purpose, consent_is_missing
    """
    purpose = purpose_of(reading.purpose)
    party_table.read(unit.connection, reading.party)
    consented = purpose.needs_consent and has_consent(unit.connection, reading.party, purpose.name)
    for field in reading.fields:
        check_read(reading.party, field, purpose, has_consent=consented)
    _audit_reading(unit, reading, "disclosed")
    return sealing.first_values(unit.connection, keyring, reading.party, reading.fields)


def _audit_reading(unit: UnitOfWork, reading: Reading, outcome: str) -> None:
    audit(
        unit,
        action=UNMASK,
        subject=f"party:{reading.party}",
        detail={
            "fields": [field.value for field in reading.fields],
            "purpose": reading.purpose,
            "outcome": outcome,
        },
    )


def find(
    unit: UnitOfWork, keyring: Keyring, field: PersonalField, value: str, *, limit: int = 20
) -> tuple[Party, ...]:
    """Return the parties that have exactly this value in a field, newest first; audited.

    The value is normalised first, so that spelling does not matter; it is not kept anywhere.

    Refusals
    --------
    field_is_not_searchable, personal_field_is_invalid
    """
    if not RULES[field].is_searchable:
        raise FieldIsNotSearchable(field=field)
    wanted = sealing.blind(unit.connection, keyring, field, normalise(field, value))
    ids = table.find(unit.connection, field, wanted, limit=min(limit, MOST_FOUND))
    audit(
        unit,
        action="parties.search",
        subject=f"field:{field}",
        detail={"found": len(ids)},
    )
    return tuple(party_table.read_many(unit.connection, ids))


def correct(
    unit: UnitOfWork, keyring: Keyring, party: UUID, changes: Mapping[PersonalField, str]
) -> Party:
    """Give or correct fields of a customer; what is unchanged stays as it is.

    What was proved about a value that changes no longer counts: the identity level may fall.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, personal_field_is_invalid,
    personal_fields_disagree : with each other or with the fields that stay
    """
    present = party_table.lock(unit.connection, party).must_be(PartyKind.CUSTOMER).must_be_open()
    held = sealing.first_values(unit.connection, keyring, party, PersonalField)
    clean = check_personal({**held, **changes}, today_on=unit.now.date())
    changed = {field: clean[field] for field in changes if clean[field] != held.get(field)}
    sealing.put(unit, keyring, [sealing.PlainField(party, f, v) for f, v in changed.items()])
    for field in changed:
        unit.record(PersonalFieldChanged(party=party, field=field.value), subject=present.subject)
        if RULES[field].is_reachable:
            how = "replaced" if field in held else "added"
            unit.record(
                ContactChanged(party=party, contact=field.value, ordinal=0, change=how),
                subject=present.subject,
            )
    if changed:
        audit(
            unit,
            action="parties.correct",
            subject=present.subject,
            detail={"fields": sorted(field.value for field in changed)},
        )
    return reassess(unit, present)[0]


def erase(unit: UnitOfWork, keyring: Keyring, party: UUID, *, reason: str) -> Party:
    """Erase the personal data of a closed party, for good; what is erased already stays so.

    The sealed fields, contacts and device links are deleted and the party's data key is destroyed,
    so that sealed values in a copy made earlier cannot be opened with this database's keys.

    Refusals
    --------
    party_is_unknown, party_is_not_closed, reason_is_invalid
    """
    check_reason(reason)
    present = party_table.lock(unit.connection, party)
    if present.state is not PartyState.CLOSED:
        raise PartyIsNotClosed(party=party, state=present.state)
    if present.erased_at is not None:
        return present
    fields = table.erase(unit.connection, party)
    device_table.forget(unit.connection, party)
    identity_table.release_claim(unit.connection, party)
    keyring.destroy(unit.connection, present.subject)
    party_table.update(unit.connection, present, erased_at=unit.now, content=None, region=None)
    unit.record(PartyErased(party=party, reason=reason), subject=present.subject)
    audit(
        unit,
        action="parties.erase",
        subject=present.subject,
        detail={"fields": fields, "reason": reason},
    )
    return party_table.read(unit.connection, party)
