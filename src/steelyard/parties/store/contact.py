"""Table of contacts: properties of reachable personal fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.contact import QuietHours
from steelyard.parties.model.personal import PersonalField


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact stands: which field of which party."""

    party: UUID
    kind: PersonalField
    ordinal: int


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A contact and its sealed value."""

    place: Place
    sealed: bytes
    verified_at: datetime | None
    is_preferred: bool
    quiet: QuietHours | None


def insert(connection: sa.Connection, places: Sequence[Place]) -> None:
    """Make contacts of fields; one that is replaced loses its verification."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.contact (party, field, ordinal)"
            " SELECT * FROM unnest(CAST(:parties AS uuid[]), CAST(:fields AS text[]),"
            " CAST(:ordinals AS smallint[]))"
            " ON CONFLICT (party, field, ordinal) DO UPDATE SET verified_at = NULL"
        ),
        {
            "parties": [place.party for place in places],
            "fields": [place.kind.value for place in places],
            "ordinals": [place.ordinal for place in places],
        },
    )


def of_party(connection: sa.Connection, party: UUID) -> list[ContactRow]:
    """Return the contacts of a party, by kind and ordinal."""
    rows = connection.execute(
        sa.text(
            "SELECT c.*, f.sealed FROM parties.contact c JOIN parties.personal_field f"
            " USING (party, field, ordinal) WHERE c.party = :party"
            " ORDER BY c.field DESC, c.ordinal"
        ),
        {"party": party},
    )
    return [
        ContactRow(
            Place(row.party, PersonalField(row.field), row.ordinal),
            bytes(row.sealed),
            None if row.verified_at is None else row.verified_at.astimezone(UTC),
            row.is_preferred,
            None
            if row.quiet_zone is None
            else QuietHours(row.quiet_from, row.quiet_until, row.quiet_zone),
        )
        for row in rows
    ]


def verify(connection: sa.Connection, place: Place, at: datetime) -> bool:
    """Mark a contact as verified; return whether it was there and not verified yet."""
    done = connection.execute(
        sa.text(
            "UPDATE parties.contact SET verified_at = :at WHERE party = :party"
            " AND field = :field AND ordinal = :ordinal AND verified_at IS NULL"
        ),
        {**_key(place), "at": at},
    )
    return done.rowcount == 1


def prefer(connection: sa.Connection, place: Place) -> bool:
    """Make a contact the preferred one of its party; return whether it was there."""
    connection.execute(
        sa.text(
            "UPDATE parties.contact SET is_preferred = false WHERE party = :party AND is_preferred"
        ),
        {"party": place.party},
    )
    done = connection.execute(
        sa.text(
            "UPDATE parties.contact SET is_preferred = true"
            " WHERE party = :party AND field = :field AND ordinal = :ordinal"
        ),
        _key(place),
    )
    return done.rowcount == 1


def set_quiet(connection: sa.Connection, place: Place, quiet: QuietHours | None) -> bool:
    """Set or clear the quiet hours of a contact; return whether it was there."""
    done = connection.execute(
        sa.text(
            "UPDATE parties.contact"
            " SET quiet_from = :from, quiet_until = :until, quiet_zone = :zone"
            " WHERE party = :party AND field = :field AND ordinal = :ordinal"
        ),
        {
            **_key(place),
            "from": quiet.from_time if quiet else None,
            "until": quiet.until_time if quiet else None,
            "zone": quiet.zone if quiet else None,
        },
    )
    return done.rowcount == 1


def remove(connection: sa.Connection, place: Place) -> bool:
    """Delete a contact and its value; return whether it was there."""
    done = connection.execute(
        sa.text(
            "DELETE FROM parties.personal_field"
            " WHERE party = :party AND field = :field AND ordinal = :ordinal"
        ),
        _key(place),
    )
    return done.rowcount == 1


def _key(place: Place) -> dict[str, object]:
    return {"party": place.party, "field": place.kind, "ordinal": place.ordinal}
