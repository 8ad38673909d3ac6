"""The one place where evidence becomes an identity level."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from uuid import UUID

from steelyard.base import UnitOfWork
from steelyard.parties.model.identity import STEP_FIELDS, Standing, Step, stand
from steelyard.parties.model.party import IdentityLevel, Party, PartyState
from steelyard.parties.model.personal import PersonalField
from steelyard.parties.service.facts import IdentityLevelChanged
from steelyard.parties.store import identity as attempts_table
from steelyard.parties.store import party as party_table
from steelyard.parties.store import personal as personal_table


def blinds_of(unit: UnitOfWork, party: UUID) -> dict[PersonalField, bytes]:
    """Return the keyed hashes of a party's first searchable fields."""
    return {
        row.field: row.blind
        for row in personal_table.of_parties(unit.connection, [party])
        if row.blind is not None and row.ordinal == 0
    }


def about_of(blinds: Mapping[PersonalField, bytes]) -> dict[Step, bytes]:
    """Return what stands for the present values that each step is about."""
    about = {}
    for step, fields in STEP_FIELDS.items():
        if all(field in blinds for field in fields):
            about[step] = hashlib.sha256(b"".join(blinds[field] for field in fields)).digest()
    return about


def reassess(unit: UnitOfWork, party: Party) -> tuple[Party, Standing]:
    """Decide the level of a customer from all evidence, and write it down if it changed.

    The caller holds the party's row. An identity number is proved by name for one customer only:
    the first one holds it, a second stays below.
    """
    if party.state is PartyState.CLOSED:
        return party, Standing(party.level, frozenset(), frozenset())
    blinds = blinds_of(unit, party.id)
    standing = stand(attempts_table.attempts(unit.connection, party.id), about_of(blinds))
    level = standing.level
    if level >= IdentityLevel.NAME:
        number = blinds[PersonalField.ID_NUMBER]
        if not attempts_table.claim(unit.connection, number, party.id):
            level = IdentityLevel.NUMBER_AND_PHONE
    if level < IdentityLevel.NAME:
        attempts_table.release_claim(unit.connection, party.id)
    if level is not party.level:
        party_table.update(unit.connection, party, identity_level=int(level))
        unit.record(
            IdentityLevelChanged(party=party.id, before=int(party.level), after=int(level)),
            subject=party.subject,
        )
        party = party_table.read(unit.connection, party.id)
    return party, Standing(level, standing.passed, standing.disputed)
