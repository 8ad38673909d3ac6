"""Tables of consent texts and acts; both only grow."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.consent import Consent, ConsentAct, ConsentText


def lock_texts(connection: sa.Connection, purpose: str) -> None:
    """Let one transaction at a time publish texts of a purpose."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"parties.consent_text:{purpose}"},
    )


def insert_text(connection: sa.Connection, text: ConsentText) -> None:
    """Insert a version of a text."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.consent_text"
            " (purpose, version, zh, en, hash, changes_substance, published_at)"
            " VALUES (:purpose, :version, :zh, :en, :hash, :changes, :at)"
        ),
        {
            "purpose": text.purpose,
            "version": text.version,
            "zh": text.zh,
            "en": text.en,
            "hash": text.hash,
            "changes": text.changes_substance,
            "at": text.published_at,
        },
    )


def texts(connection: sa.Connection, purpose: str) -> list[ConsentText]:
    """Return all texts of a purpose, oldest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM parties.consent_text WHERE purpose = :purpose ORDER BY version"),
        {"purpose": purpose},
    )
    return [
        ConsentText(
            row.purpose,
            row.version,
            row.zh,
            row.en,
            row.changes_substance,
            row.published_at.astimezone(UTC),
        )
        for row in rows
    ]


def insert_act(connection: sa.Connection, consent: Consent, actor: str) -> None:
    """Insert an act of consent."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.consent"
            " (party, purpose, act, text_version, text_hash, channel, actor, at)"
            " VALUES (:party, :purpose, :act, :version, :hash, :channel, :actor, :at)"
        ),
        {
            "party": consent.party,
            "purpose": consent.purpose,
            "act": consent.act,
            "version": consent.text_version,
            "hash": consent.text_hash,
            "channel": consent.channel,
            "actor": actor,
            "at": consent.at,
        },
    )


def acts(connection: sa.Connection, party: UUID, purpose: str | None = None) -> list[Consent]:
    """Return the acts of a party, of one purpose if given, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.consent WHERE party = :party"
            " AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose) ORDER BY sequence"
        ),
        {"party": party, "purpose": purpose},
    )
    return [
        Consent(
            row.party,
            row.purpose,
            ConsentAct(row.act),
            row.text_version,
            bytes(row.text_hash),
            row.channel,
            row.at.astimezone(UTC),
        )
        for row in rows
    ]
