"""Table of sealed personal fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.personal import PersonalField


@dataclass(frozen=True, slots=True)
class SealedField:
    """A personal field as it is stored."""

    party: UUID
    field: PersonalField
    ordinal: int
    sealed: bytes
    blind: bytes | None


def put(connection: sa.Connection, fields: Sequence[SealedField], at: datetime) -> None:
    """Insert fields, or replace what stands in their places."""
    connection.execute(
        sa.text(
            """
            INSERT INTO parties.personal_field (party, field, ordinal, sealed, blind, recorded_at)
            SELECT party, field, ordinal, sealed, blind, :at
            FROM unnest(CAST(:parties AS uuid[]), CAST(:fields AS text[]),
                CAST(:ordinals AS smallint[]), CAST(:sealed AS bytea[]), CAST(:blinds AS bytea[]))
                AS n (party, field, ordinal, sealed, blind)
            ON CONFLICT (party, field, ordinal) DO UPDATE SET
                sealed = excluded.sealed, blind = excluded.blind, recorded_at = excluded.recorded_at
            """
        ),
        {
            "at": at,
            "parties": [f.party for f in fields],
            "fields": [f.field.value for f in fields],
            "ordinals": [f.ordinal for f in fields],
            "sealed": [f.sealed for f in fields],
            "blinds": [f.blind for f in fields],
        },
    )


def of_parties(connection: sa.Connection, parties: Iterable[UUID]) -> list[SealedField]:
    """Return all fields of some parties, by party, field and ordinal."""
    rows = connection.execute(
        sa.text(
            "SELECT party, field, ordinal, sealed, blind FROM parties.personal_field"
            " WHERE party = ANY(:parties) ORDER BY party, field, ordinal"
        ),
        {"parties": list(parties)},
    )
    return [
        SealedField(
            row.party,
            PersonalField(row.field),
            row.ordinal,
            bytes(row.sealed),
            None if row.blind is None else bytes(row.blind),
        )
        for row in rows
    ]


def find(
    connection: sa.Connection, field: PersonalField, blind: bytes, *, limit: int
) -> list[UUID]:
    """Return the parties that have a value in a field, at any ordinal, newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT party FROM parties.personal_field"
            " WHERE blind = :blind AND field = :field ORDER BY party DESC LIMIT :limit"
        ),
        {"blind": blind, "field": field, "limit": limit},
    )
    return list(rows.scalars())


def erase(connection: sa.Connection, party: UUID) -> int:
    """Delete all personal fields of a party, with its contacts; return how many fields."""
    return connection.execute(
        sa.text("DELETE FROM parties.personal_field WHERE party = :party"), {"party": party}
    ).rowcount
