"""Sealing personal fields for their party, and opening them again."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.crypto import Keyring, Plain
from steelyard.parties.model.party import subject_of
from steelyard.parties.model.personal import RULES, PersonalField, index_key
from steelyard.parties.store import contact as contact_table
from steelyard.parties.store import personal as personal_table
from steelyard.parties.store.personal import SealedField


@dataclass(frozen=True, slots=True)
class PlainField:
    """A normalised value on its way into the store."""

    party: UUID
    field: PersonalField
    value: str
    ordinal: int = 0


class Blinder:
    """Makes the keyed hashes of one transaction; the key of a field is asked for once."""

    def __init__(self, connection: sa.Connection, keyring: Keyring) -> None:
        self._connection = connection
        self._keyring = keyring
        self._keys: dict[str, bytes] = {}

    def text(self, text: str, *, field: str) -> bytes:
        """Return 32 bytes that are equal for equal texts of a field, and tell nothing else."""
        key = self._keys.get(field)
        if key is None:
            key = self._keyring.blind_index(self._connection, "key", field=field)
            self._keys[field] = key
        return hmac.digest(key, text.encode(), "sha256")

    def value(self, field: PersonalField, value: str) -> bytes:
        """Return the keyed hash that a normalised value is found by."""
        return self.text(index_key(field, value), field=f"party.{field}")


def blind(connection: sa.Connection, keyring: Keyring, field: PersonalField, value: str) -> bytes:
    """Return the keyed hash that one normalised value is found by."""
    return Blinder(connection, keyring).value(field, value)


def put(unit: UnitOfWork, keyring: Keyring, fields: Sequence[PlainField]) -> None:
    """Seal values and put them in their places, and make contacts of those that reach somebody."""
    if not fields:
        return
    sealed = keyring.seal_many(
        unit.connection,
        [Plain(subject_of(f.party), _context(f.field, f.ordinal), f.value) for f in fields],
    )
    blinder = Blinder(unit.connection, keyring)
    rows = [
        SealedField(
            f.party,
            f.field,
            f.ordinal,
            text,
            blinder.value(f.field, f.value) if RULES[f.field].is_searchable else None,
        )
        for f, text in zip(fields, sealed, strict=True)
    ]
    personal_table.put(unit.connection, rows, unit.now)
    places = [
        contact_table.Place(f.party, f.field, f.ordinal)
        for f in fields
        if RULES[f.field].is_reachable
    ]
    if places:
        contact_table.insert(unit.connection, places)


def open_all(
    connection: sa.Connection, keyring: Keyring, rows: Iterable[SealedField]
) -> dict[tuple[UUID, PersonalField, int], str]:
    """Return the values of sealed fields by party, field and ordinal."""
    held = list(rows)
    texts = keyring.unseal_many(
        connection, [(row.sealed, _context(row.field, row.ordinal)) for row in held]
    )
    return {
        (row.party, row.field, row.ordinal): text for row, text in zip(held, texts, strict=True)
    }


def first_values(
    connection: sa.Connection, keyring: Keyring, party: UUID, wanted: Iterable[PersonalField]
) -> Mapping[PersonalField, str]:
    """Return the values of a party's first fields, those wanted that are there."""
    fields = frozenset(wanted)
    rows = [
        row
        for row in personal_table.of_parties(connection, [party])
        if row.ordinal == 0 and row.field in fields
    ]
    values = open_all(connection, keyring, rows)
    return {field: value for (_, field, _), value in values.items()}


def _context(field: PersonalField, ordinal: int) -> str:
    return f"party.{field}.{ordinal}"
