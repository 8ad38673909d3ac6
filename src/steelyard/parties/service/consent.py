"""Consent: texts published, granted, withdrawn, and asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.parties.model.consent import (
    PURPOSES,
    Consent,
    ConsentAct,
    ConsentText,
    ConsentTextIsOutdated,
    ConsentTextIsUnknown,
    LegalBasis,
    NothingToWithdraw,
    Purpose,
    PurposeIsUnknown,
    PurposeNeedsNoConsent,
    is_in_force,
    oldest_binding,
    purpose_of,
    text_hash,
)
from steelyard.parties.model.party import Party, PartyKind
from steelyard.parties.service.facts import ConsentGranted, ConsentWithdrawn
from steelyard.parties.store import consent as table
from steelyard.parties.store import party as party_table

__all__ = [
    "Consent",
    "ConsentAct",
    "ConsentStanding",
    "ConsentText",
    "ConsentTextIsOutdated",
    "ConsentTextIsUnknown",
    "LegalBasis",
    "NothingToWithdraw",
    "Purpose",
    "PurposeIsUnknown",
    "PurposeNeedsNoConsent",
    "consents_of",
    "grant",
    "has_consent",
    "publish_text",
    "purposes",
    "texts_of",
    "withdraw",
]


@dataclass(frozen=True, slots=True)
class ConsentStanding:
    """What a party's acts of consent to one purpose come to: whether in force, and the acts."""

    purpose: str
    is_in_force: bool
    acts: tuple[Consent, ...]


def purposes() -> Mapping[str, Purpose]:
    """Return the register of purposes, by name."""
    return PURPOSES


def publish_text(
    unit: UnitOfWork, purpose: str, *, zh: str, en: str, changes_substance: bool
) -> ConsentText:
    """Publish the next version of what is consented to; the present one again is no new version.

    Parameters
    ----------
    changes_substance : consents to earlier versions no longer hold

    Refusals
    --------
    purpose_is_unknown, purpose_needs_no_consent
    """
    _consented(purpose)
    table.lock_texts(unit.connection, purpose)
    known = table.texts(unit.connection, purpose)
    if known and known[-1].hash == text_hash(zh, en):
        return known[-1]
    text = ConsentText(purpose, len(known) + 1, zh, en, changes_substance, unit.now)
    table.insert_text(unit.connection, text)
    audit(
        unit,
        action="parties.publish_text",
        subject=f"purpose:{purpose}",
        detail={"version": text.version, "hash": text.hash.hex()},
    )
    return text


def texts_of(connection: sa.Connection, purpose: str) -> tuple[ConsentText, ...]:
    """Return all texts of a purpose, oldest first.

    Refusals
    --------
    purpose_is_unknown
    """
    purpose_of(purpose)
    return tuple(table.texts(connection, purpose))


def grant(
    unit: UnitOfWork, party: UUID, purpose: str, *, text_version: int, channel: str
) -> Consent:
    """Record that a customer consented, having been shown a version of the text.

    The same consent again, while it is in force, is the one there is.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, purpose_is_unknown,
    purpose_needs_no_consent, consent_text_is_unknown, consent_text_is_outdated
    """
    _consented(purpose)
    present = party_table.lock(unit.connection, party).must_be(PartyKind.CUSTOMER).must_be_open()
    texts = table.texts(unit.connection, purpose)
    text = next((t for t in texts if t.version == text_version), None)
    if text is None:
        raise ConsentTextIsUnknown(purpose=purpose, text=text_version)
    binding = oldest_binding(texts)
    if text.version < binding:
        raise ConsentTextIsOutdated(purpose=purpose, text=text_version, newer=binding)
    acts = table.acts(unit.connection, party, purpose)
    if is_in_force(acts, texts) and acts[-1].text_version == text_version:
        return acts[-1]
    consent = Consent(
        party, purpose, ConsentAct.GRANTED, text.version, text.hash, channel, unit.now
    )
    _append(unit, present, consent)
    return consent


def withdraw(unit: UnitOfWork, party: UUID, purpose: str, *, channel: str) -> Consent:
    """Record that a customer took a consent back; also after the relation was closed.

    Refusals
    --------
    party_is_unknown, purpose_is_unknown, purpose_needs_no_consent, nothing_to_withdraw
    """
    _consented(purpose)
    present = party_table.lock(unit.connection, party)
    acts = table.acts(unit.connection, party, purpose)
    if not acts or acts[-1].act is ConsentAct.WITHDRAWN:
        raise NothingToWithdraw(party=party, purpose=purpose)
    last = acts[-1]
    consent = Consent(
        party,
        purpose,
        ConsentAct.WITHDRAWN,
        last.text_version,
        last.text_hash,
        channel,
        unit.now,
    )
    _append(unit, present, consent)
    return consent


def has_consent(connection: sa.Connection, party: UUID, purpose: str) -> bool:
    """Return whether a party's consent to a purpose is in force."""
    acts = table.acts(connection, party, purpose)
    return is_in_force(acts, table.texts(connection, purpose))


def consents_of(connection: sa.Connection, party: UUID) -> tuple[ConsentStanding, ...]:
    """Return what a party's acts of consent come to, by purpose.

    Refusals
    --------
    party_is_unknown
    """
    party_table.read(connection, party)
    by_purpose: dict[str, list[Consent]] = {}
    for act in table.acts(connection, party):
        by_purpose.setdefault(act.purpose, []).append(act)
    return tuple(
        ConsentStanding(name, is_in_force(acts, table.texts(connection, name)), tuple(acts))
        for name, acts in sorted(by_purpose.items())
    )


def _consented(name: str) -> Purpose:
    purpose = purpose_of(name)
    if not purpose.needs_consent:
        raise PurposeNeedsNoConsent(purpose=name, basis=purpose.basis)
    return purpose


def _append(unit: UnitOfWork, party: Party, consent: Consent) -> None:
    table.insert_act(unit.connection, consent, unit.actor)
    declare = ConsentGranted if consent.act is ConsentAct.GRANTED else ConsentWithdrawn
    fact = declare(
        party=party.id,
        purpose=consent.purpose,
        text_version=consent.text_version,
        channel=consent.channel,
    )
    unit.record(fact, subject=party.subject)
