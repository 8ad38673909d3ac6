"""Contacts of a party: further ones, the preferred one, quiet hours."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.parties.model.contact import (
    MOST_OF_A_KIND,
    Contact,
    ContactIsPrimary,
    ContactIsUnknown,
    FieldIsNoContact,
    QuietHours,
    QuietHoursAreInvalid,
    TooManyContacts,
    check_quiet,
)
from steelyard.parties.model.party import Party, PartyKind
from steelyard.parties.model.personal import RULES, PersonalField, mask, normalise
from steelyard.parties.service import sealing
from steelyard.parties.service.facts import ContactChanged
from steelyard.parties.service.standing import reassess
from steelyard.parties.store import contact as table
from steelyard.parties.store import party as party_table
from steelyard.parties.store.contact import Place
from steelyard.parties.store.personal import SealedField

__all__ = [
    "Contact",
    "ContactIsPrimary",
    "ContactIsUnknown",
    "FieldIsNoContact",
    "Place",
    "QuietHours",
    "QuietHoursAreInvalid",
    "TooManyContacts",
    "add",
    "contacts_of",
    "prefer",
    "remove",
    "set_quiet",
    "verify",
]


def contacts_of(connection: sa.Connection, keyring: Keyring, party: UUID) -> tuple[Contact, ...]:
    """Return the contacts of a party, masked: phones, then e-mails, then addresses.

    Refusals
    --------
    party_is_unknown
    """
    party_table.read(connection, party)
    rows = table.of_party(connection, party)
    values = sealing.open_all(
        connection,
        keyring,
        [SealedField(party, r.place.kind, r.place.ordinal, r.sealed, None) for r in rows],
    )
    return tuple(
        Contact(
            party,
            row.place.kind,
            row.place.ordinal,
            mask(row.place.kind, values[party, row.place.kind, row.place.ordinal]),
            row.verified_at,
            row.is_preferred,
            row.quiet,
        )
        for row in rows
    )


def add(
    unit: UnitOfWork, keyring: Keyring, party: UUID, kind: PersonalField, value: str
) -> Contact:
    """Add a way to reach a customer; a value that is there already is the contact there is.

    The first of a kind becomes the one that identity rests on.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, field_is_no_contact,
    personal_field_is_invalid, too_many_contacts
    """
    if not RULES[kind].is_reachable:
        raise FieldIsNoContact(field=kind)
    text = normalise(kind, value)
    present = _open(unit, party)
    rows = [r for r in table.of_party(unit.connection, party) if r.place.kind is kind]
    values = sealing.open_all(
        unit.connection,
        keyring,
        [SealedField(party, kind, row.place.ordinal, row.sealed, None) for row in rows],
    )
    known = next((ordinal for (_, _, ordinal), v in values.items() if v == text), None)
    if known is not None:
        return _find(unit, keyring, Place(party, kind, known))
    if len(rows) >= MOST_OF_A_KIND:
        raise TooManyContacts(most=MOST_OF_A_KIND)
    taken = {row.place.ordinal for row in rows}
    place = Place(party, kind, min(set(range(MOST_OF_A_KIND)) - taken))
    sealing.put(unit, keyring, [sealing.PlainField(party, kind, text, place.ordinal)])
    _record(unit, present, place, "added")
    reassess(unit, present)
    return _find(unit, keyring, place)


def remove(unit: UnitOfWork, place: Place) -> None:
    """Remove a contact and its value.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, contact_is_unknown
    contact_is_primary : the first of a kind is replaced by a correction instead
    """
    present = _open(unit, place.party)
    if place.ordinal == 0:
        raise ContactIsPrimary(kind=place.kind)
    _change(unit, present, place, "removed", done=table.remove(unit.connection, place))


def prefer(unit: UnitOfWork, place: Place) -> None:
    """Make a contact the one that is used first; at most one of a party is.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, contact_is_unknown
    """
    present = _open(unit, place.party)
    _change(unit, present, place, "preferred", done=table.prefer(unit.connection, place))


def set_quiet(unit: UnitOfWork, place: Place, quiet: QuietHours | None) -> None:
    """Set the hours in which nobody writes to a contact, or clear them (None).

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, contact_is_unknown,
    quiet_hours_are_invalid
    """
    if quiet is not None:
        check_quiet(quiet)
    present = _open(unit, place.party)
    done = table.set_quiet(unit.connection, place, quiet)
    _change(unit, present, place, "quieted" if quiet else "unquieted", done=done)


def verify(unit: UnitOfWork, place: Place) -> None:
    """Note that the customer proved to hold a contact; the first phone is proved by its code.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, contact_is_unknown
    """
    present = _open(unit, place.party)
    if all(row.place != place for row in table.of_party(unit.connection, place.party)):
        raise ContactIsUnknown(party=place.party, kind=place.kind, ordinal=place.ordinal)
    if table.verify(unit.connection, place, unit.now):
        _record(unit, present, place, "verified")


def _open(unit: UnitOfWork, party: UUID) -> Party:
    return party_table.lock(unit.connection, party).must_be(PartyKind.CUSTOMER).must_be_open()


def _change(unit: UnitOfWork, party: Party, place: Place, change: str, *, done: bool) -> None:
    if not done:
        raise ContactIsUnknown(party=place.party, kind=place.kind, ordinal=place.ordinal)
    _record(unit, party, place, change)


def _record(unit: UnitOfWork, party: Party, place: Place, change: str) -> None:
    unit.record(
        ContactChanged(
            party=party.id, contact=place.kind.value, ordinal=place.ordinal, change=change
        ),
        subject=party.subject,
    )


def _find(unit: UnitOfWork, keyring: Keyring, place: Place) -> Contact:
    contacts = contacts_of(unit.connection, keyring, place.party)
    return next(c for c in contacts if (c.kind, c.ordinal) == (place.kind, place.ordinal))
