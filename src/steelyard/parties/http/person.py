"""Routes: personal fields, consent and contacts of customers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import Read, Write, reading, refusals, writing
from steelyard.parties import PersonalField, consents, contacts, personal, registry
from steelyard.parties.http.wire import (
    ConsentIn,
    ConsentOut,
    Consents,
    ConsentStandingOut,
    ConsentTextIn,
    ConsentTextOut,
    ConsentTexts,
    ContactIn,
    ContactOut,
    Contacts,
    CorrectionIn,
    PartiesFound,
    PartyOut,
    PersonalOut,
    PurposeOut,
    Purposes,
    QuietIn,
    ReasonIn,
    SearchIn,
    WithdrawalIn,
    anybody,
    own,
)

router = APIRouter(prefix="/v1/parties", tags=["parties"])

Reads = Annotated[Read, reading("parties.read")]
ConsentWrite = Annotated[Write, writing("parties.consent")]
ContactWrite = Annotated[Write, writing("parties.contact")]

_CUSTOMER = (registry.PartyIsUnknown, registry.PartyIsOfAnotherKind, registry.PartyIsClosed)
_CONSENT = (
    registry.PartyIsUnknown,
    consents.PurposeIsUnknown,
    consents.PurposeNeedsNoConsent,
)
_CONTACT = (*_CUSTOMER, contacts.ContactIsUnknown)


@router.post(
    "/search",
    responses=refusals(personal.FieldIsNotSearchable, personal.PersonalFieldIsInvalid),
)
def search(body: SearchIn, read: Annotated[Read, reading("parties.search")]) -> PartiesFound:
    """Find parties by an exact value of a personal field; every search is in the audit trail."""
    anybody(read.caller, "parties.search")
    keyring = read.platform.keyring
    with read.database.unit_of_work(actor=read.caller.actor) as unit:
        found = personal.find(unit, keyring, body.field, body.value)
        masked = personal.masked_many(unit.connection, keyring, [party.id for party in found])
    return PartiesFound(items=[PartyOut.of(p, masked.get(p.id, {})) for p in found])


@router.get(
    "/{party}/personal",
    responses=refusals(
        registry.PartyIsUnknown,
        personal.UnmaskingIsNotAllowed,
        personal.PurposeIsUnknown,
        personal.FieldIsNotOfThePurpose,
        personal.ConsentIsMissing,
    ),
)
def read_personal(
    party: UUID,
    read: Annotated[Read, reading("parties.read")],
    response: Response,
    purpose: Annotated[str, Query(examples=["contract_notice"])],
    field: Annotated[list[PersonalField], Query(min_length=1)],
) -> PersonalOut:
    """Show fields in clear for a purpose; needs `parties.unmask`, and every try is audited."""
    own(read.caller, party, personal.UNMASK)
    clear = personal.read(
        read.database,
        read.platform.keyring,
        personal.Reading(party, tuple(field), purpose),
        actor=read.caller.actor,
        entitlements=read.caller.entitlements,
    )
    response.headers["Cache-Control"] = "no-store"
    return PersonalOut(purpose=purpose, personal=dict(clear))


@router.post(
    "/{party}/personal",
    response_model=PartyOut,
    responses=refusals(
        *_CUSTOMER,
        personal.PersonalFieldIsInvalid,
        personal.PersonalFieldsDisagree,
        write=True,
    ),
)
def correct_personal(
    party: UUID, body: CorrectionIn, write: Annotated[Write, writing("parties.correct")]
) -> Response:
    """Give or correct personal fields; what was proved about a changed value no longer counts."""
    own(write.caller, party, write.verb)
    keyring = write.platform.keyring

    def work(unit: UnitOfWork) -> PartyOut:
        corrected = personal.correct(unit, keyring, party, body.personal)
        return PartyOut.of(corrected, personal.masked(unit.connection, keyring, party))

    return write.run(work)


@router.post(
    "/{party}/erase",
    response_model=PartyOut,
    responses=refusals(
        registry.PartyIsUnknown,
        registry.PartyIsNotClosed,
        registry.ReasonIsInvalid,
        write=True,
    ),
)
def erase(
    party: UUID, body: ReasonIn, write: Annotated[Write, writing("parties.erase")]
) -> Response:
    """Erase the personal data of a closed party, for good."""
    anybody(write.caller, write.verb)
    keyring = write.platform.keyring
    return write.run(
        lambda unit: PartyOut.of(personal.erase(unit, keyring, party, reason=body.reason), {})
    )


@router.get("/purposes", responses=refusals())
def list_purposes(read: Reads) -> Purposes:
    """List what personal data is handled for, and on which basis."""
    return Purposes(
        items=[
            PurposeOut(
                name=purpose.name,
                basis=purpose.basis,
                fields=sorted(purpose.fields),
                en=purpose.en,
                zh=purpose.zh,
            )
            for purpose in consents.purposes().values()
        ]
    )


@router.get("/purposes/{purpose}/texts", responses=refusals(consents.PurposeIsUnknown))
def list_consent_texts(purpose: str, read: Reads) -> ConsentTexts:
    """List the published texts of a purpose, oldest first."""
    with read.database.reading() as connection:
        texts = consents.texts_of(connection, purpose)
    return ConsentTexts(items=[ConsentTextOut.of(text) for text in texts])


@router.post(
    "/purposes/{purpose}/texts",
    status_code=201,
    response_model=ConsentTextOut,
    responses=refusals(consents.PurposeIsUnknown, consents.PurposeNeedsNoConsent, write=True),
)
def publish_consent_text(
    purpose: str,
    body: ConsentTextIn,
    write: Annotated[Write, writing("parties.publish_text")],
) -> Response:
    """Publish the next version of a text."""
    anybody(write.caller, write.verb)
    return write.run(
        lambda unit: ConsentTextOut.of(
            consents.publish_text(
                unit,
                purpose,
                zh=body.zh,
                en=body.en,
                changes_substance=body.changes_substance,
            )
        ),
        status=201,
    )


@router.get("/{party}/consents", responses=refusals(registry.PartyIsUnknown))
def list_consents(party: UUID, read: Reads) -> Consents:
    """Show what a party consented to, and every act that led there."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        standings = consents.consents_of(connection, party)
    return Consents(
        items=[
            ConsentStandingOut(
                purpose=standing.purpose,
                is_in_force=standing.is_in_force,
                acts=[ConsentOut.of(act) for act in standing.acts],
            )
            for standing in standings
        ]
    )


@router.post(
    "/{party}/consents",
    response_model=ConsentOut,
    responses=refusals(
        *_CONSENT,
        registry.PartyIsOfAnotherKind,
        registry.PartyIsClosed,
        consents.ConsentTextIsUnknown,
        consents.ConsentTextIsOutdated,
        write=True,
    ),
)
def grant_consent(party: UUID, body: ConsentIn, write: ConsentWrite) -> Response:
    """Record that the person consented, having been shown a version of the text."""
    own(write.caller, party, write.verb)
    return write.run(
        lambda unit: ConsentOut.of(
            consents.grant(
                unit,
                party,
                body.purpose,
                text_version=body.text_version,
                channel=body.channel,
            )
        )
    )


@router.post(
    "/{party}/consents/{purpose}/withdraw",
    response_model=ConsentOut,
    responses=refusals(*_CONSENT, consents.NothingToWithdraw, write=True),
)
def withdraw_consent(
    party: UUID, purpose: str, body: WithdrawalIn, write: ConsentWrite
) -> Response:
    """Record that the person took a consent back."""
    own(write.caller, party, write.verb)
    return write.run(
        lambda unit: ConsentOut.of(consents.withdraw(unit, party, purpose, channel=body.channel))
    )


@router.get("/{party}/contacts", responses=refusals(registry.PartyIsUnknown))
def list_contacts(party: UUID, read: Reads) -> Contacts:
    """List the contacts of a party, masked."""
    own(read.caller, party, "parties.read")
    with read.database.reading() as connection:
        found = contacts.contacts_of(connection, read.platform.keyring, party)
    return Contacts(items=[ContactOut.of(contact) for contact in found])


@router.post(
    "/{party}/contacts",
    status_code=201,
    response_model=ContactOut,
    responses=refusals(
        *_CUSTOMER,
        contacts.FieldIsNoContact,
        contacts.TooManyContacts,
        personal.PersonalFieldIsInvalid,
        write=True,
    ),
)
def add_contact(party: UUID, body: ContactIn, write: ContactWrite) -> Response:
    """Add a way to reach the party."""
    own(write.caller, party, write.verb)
    return write.run(
        lambda unit: ContactOut.of(
            contacts.add(unit, write.platform.keyring, party, body.kind, body.value)
        ),
        status=201,
    )


@router.delete(
    "/{party}/contacts/{kind}/{ordinal}",
    response_model=Contacts,
    responses=refusals(*_CONTACT, contacts.ContactIsPrimary, write=True),
)
def remove_contact(party: UUID, kind: PersonalField, ordinal: int, write: ContactWrite) -> Response:
    """Remove a contact and its value."""
    own(write.caller, party, write.verb)
    place = contacts.Place(party, kind, ordinal)

    def work(unit: UnitOfWork) -> Contacts:
        contacts.remove(unit, place)
        return _contacts(unit, write, party)

    return write.run(work)


@router.post(
    "/{party}/contacts/{kind}/{ordinal}/prefer",
    response_model=Contacts,
    responses=refusals(*_CONTACT, write=True),
)
def prefer_contact(party: UUID, kind: PersonalField, ordinal: int, write: ContactWrite) -> Response:
    """Make a contact the one that is used first."""
    own(write.caller, party, write.verb)
    place = contacts.Place(party, kind, ordinal)

    def work(unit: UnitOfWork) -> Contacts:
        contacts.prefer(unit, place)
        return _contacts(unit, write, party)

    return write.run(work)


@router.put(
    "/{party}/contacts/{kind}/{ordinal}/quiet",
    response_model=Contacts,
    responses=refusals(*_CONTACT, contacts.QuietHoursAreInvalid, write=True),
)
def set_quiet_hours(
    party: UUID, kind: PersonalField, ordinal: int, body: QuietIn, write: ContactWrite
) -> Response:
    """Set the hours in which nobody writes to a contact, or clear them."""
    own(write.caller, party, write.verb)
    place = contacts.Place(party, kind, ordinal)
    quiet = _quiet(body)

    def work(unit: UnitOfWork) -> Contacts:
        contacts.set_quiet(unit, place, quiet)
        return _contacts(unit, write, party)

    return write.run(work)


def _quiet(body: QuietIn) -> contacts.QuietHours | None:
    """Return the hours told: all of them, or none."""
    told = (body.from_time, body.until_time, body.zone)
    if told == (None, None, None):
        return None
    if body.from_time is None or body.until_time is None or body.zone is None:
        raise contacts.QuietHoursAreInvalid
    return contacts.QuietHours(body.from_time, body.until_time, body.zone)


def _contacts(unit: UnitOfWork, write: Write, party: UUID) -> Contacts:
    found = contacts.contacts_of(unit.connection, write.platform.keyring, party)
    return Contacts(items=[ContactOut.of(contact) for contact in found])
