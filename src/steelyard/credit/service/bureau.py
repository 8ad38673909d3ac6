"""Bureau inquiries: the intent is committed with its consent, the bureau asked, the answer kept.

No bureau is called inside a transaction. What a call did not answer is unknown until the bureau is
asked again; an answer that names somebody else is evidence of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import Every, JobContext, job
from steelyard.credit.model.bureau import (
    PURPOSE,
    TOLD,
    VALID_DAYS,
    BureauAnswer,
    BureauEvidence,
    BureauIsNotAtHand,
    CreditBureau,
    Delivery,
    DeliveryState,
    Found,
    Inquiry,
    InquiryIsUnderWay,
    InquiryIsUnknown,
    InquiryState,
    Known,
    Report,
    ReportHasExpired,
    Source,
    Why,
    known_by,
    settle,
)
from steelyard.credit.service.outside_facts import BureauAsked, BureauEvidenceRecorded
from steelyard.credit.store import bureau as table
from steelyard.parties import PersonalField, consents, personal

__all__ = [
    "POLL_AFTER",
    "PURPOSE",
    "VALID_DAYS",
    "Ask",
    "BureauAnswer",
    "BureauEvidence",
    "BureauIsNotAtHand",
    "ConsentIsMissing",
    "CreditBureau",
    "Delivery",
    "DeliveryState",
    "Found",
    "Inquiry",
    "InquiryIsUnderWay",
    "InquiryIsUnknown",
    "InquiryState",
    "Known",
    "PersonalFieldIsMissing",
    "Report",
    "ReportHasExpired",
    "Source",
    "Why",
    "begin",
    "evidence_of",
    "inquire",
    "inquiries_of",
    "known_of",
    "newest",
    "poll",
    "poll_bureau",
    "poll_unsettled",
    "read_inquiry",
    "record",
    "report_for",
]

ConsentIsMissing = personal.ConsentIsMissing
PersonalFieldIsMissing = personal.PersonalFieldIsMissing
POLL_AFTER = timedelta(seconds=30)
_FIELDS = (PersonalField.NAME, PersonalField.ID_NUMBER)
_REASON = re.compile(r"[a-z0-9_]{0,60}")
_REFERENCE = re.compile(r"[A-Za-z0-9_.:-]{0,64}")


@dataclass(frozen=True, slots=True)
class Ask:
    """One inquiry to make.

    Attributes
    ----------
    id : the same id again is the same inquiry, so that a command cut off can be sent again
    """

    party: UUID
    why: Why
    id: UUID


def inquire(
    database: Database, keyring: Keyring, bureau: CreditBureau, ask: Ask, *, actor: str
) -> Inquiry:
    """Ask the bureau once about a customer, and return the inquiry as far as it is settled.

    Three stages: the intent in one transaction, the call in none, the evidence in another. An
    inquiry that is there already is polled, not made again: each leaves a trace that others see.

    Refusals
    --------
    party_is_unknown, consent_is_missing, personal_field_is_missing, inquiry_is_under_way
    """
    with database.engine.connect() as connection:
        known = table.find(connection, ask.id)
    if known is not None:
        assert (known.party, known.why) == (ask.party, ask.why), "an id names one inquiry"
        return known if known.is_settled else poll(database, keyring, bureau, ask.id, actor=actor)
    inquiry, values = database.transact(
        lambda unit: begin(unit, keyring, ask, bureau=bureau.name), actor=actor
    )
    answer = bureau.inquire(
        str(inquiry.id),
        name=values[PersonalField.NAME],
        id_number=values[PersonalField.ID_NUMBER],
        why=ask.why,
    )
    return database.transact(
        lambda unit: record(unit, keyring, inquiry.id, answer, source=Source.ANSWER), actor=actor
    )


def begin(
    unit: UnitOfWork, keyring: Keyring, ask: Ask, *, bureau: str
) -> tuple[Inquiry, Mapping[PersonalField, str]]:
    """Write down the intent and the consent it rests on; return it with whom to ask about.

    Refusals
    --------
    as `inquire`
    """
    table.hold_party(unit.connection, ask.party)
    waiting = table.under_way(unit.connection, ask.party, bureau)
    if waiting is not None:
        raise InquiryIsUnderWay(inquiry=waiting.id)
    # Refused without consent, and audited with the purpose.
    values = personal.disclose(unit, keyring, personal.Reading(ask.party, _FIELDS, PURPOSE))
    for field in _FIELDS:
        if field not in values:
            raise PersonalFieldIsMissing(party=ask.party, field=field)
    standing = next(
        s for s in consents.consents_of(unit.connection, ask.party) if s.purpose == PURPOSE
    )
    consent = standing.acts[-1]
    inquiry = Inquiry(
        id=ask.id,
        party=ask.party,
        bureau=bureau,
        why=ask.why,
        person=_person(unit, keyring, values[PersonalField.NAME], values[PersonalField.ID_NUMBER]),
        consent_version=consent.text_version,
        consent_hash=consent.text_hash,
        consent_at=consent.at,
        state=InquiryState.INTENDED,
        version=1,
        started_at=unit.now,
        started_wall_at=unit.wall_at,
        actor=unit.actor,
    )
    table.insert(unit.connection, inquiry)
    unit.record(
        BureauAsked(
            inquiry=inquiry.id,
            party=ask.party,
            why=ask.why,
            consent_version=consent.text_version,
        ),
        subject=_subject(inquiry.id),
    )
    audit(
        unit,
        action="credit.ask_bureau",
        subject=f"party:{ask.party}",
        detail={"inquiry": str(inquiry.id), "bureau": bureau, "why": ask.why.value},
    )
    return inquiry, values


def record(
    unit: UnitOfWork, keyring: Keyring, inquiry: UUID, answer: BureauAnswer, *, source: Source
) -> Inquiry:
    """Record an answer about an inquiry, and settle it; an answer that came before changes nothing.

    An answer about another request, or one that names another person, is kept as unknown.

    Refusals
    --------
    inquiry_is_unknown
    """
    present = table.lock(unit.connection, inquiry)
    told = _believable(unit, keyring, present, answer)
    if not table.add_evidence(unit.connection, inquiry, told, source=source, at=unit.now):
        return present
    state = settle(table.evidence(unit.connection, inquiry))
    if state is not present.state:
        table.set_state(unit.connection, present, state)
    unit.record(
        BureauEvidenceRecorded(
            inquiry=inquiry,
            party=present.party,
            found=told.found,
            reason=told.reason,
            settled_as=state,
        ),
        subject=_subject(inquiry),
    )
    return table.lock(unit.connection, inquiry)


def poll(
    database: Database, keyring: Keyring, bureau: CreditBureau, inquiry: UUID, *, actor: str
) -> Inquiry:
    """Ask the bureau what became of an inquiry, and record what it says.

    Refusals
    --------
    inquiry_is_unknown, bureau_is_not_at_hand
    """
    with database.engine.connect() as connection:
        known = table.find(connection, inquiry)
    if known is None:
        raise InquiryIsUnknown(inquiry=inquiry)
    if known.bureau != bureau.name:
        raise BureauIsNotAtHand(bureau=known.bureau)
    answer = bureau.query(str(inquiry))
    return database.transact(
        lambda unit: record(unit, keyring, inquiry, answer, source=Source.POLL), actor=actor
    )


def poll_unsettled(
    database: Database,
    keyring: Keyring,
    bureau: CreditBureau,
    *,
    older_than: timedelta = POLL_AFTER,
    limit: int = 50,
) -> int:
    """Ask about inquiries that nothing settled, and return how many are settled now.

    Parameters
    ----------
    older_than : longer than a call may take, so that a call under way is left alone
    """
    waiting = database.transact(
        lambda unit: table.take_unsettled(
            unit.connection,
            bureau=bureau.name,
            before=unit.wall_at - older_than,
            at=unit.wall_at,
            limit=limit,
        )
    )
    polled = [poll(database, keyring, bureau, one, actor="system:bureau") for one in waiting]
    return sum(one.is_settled for one in polled)


@job("credit.poll_bureau", schedule=Every(timedelta(minutes=1)))
def poll_bureau(context: JobContext) -> None:
    """Ask again about inquiries that nothing settled."""
    bureau = getattr(context.platform, "credit_bureau", None)
    if bureau is not None:
        poll_unsettled(context.database, context.platform.keyring, bureau)


def read_inquiry(connection: sa.Connection, inquiry: UUID) -> Inquiry:
    """Return an inquiry.

    Refusals
    --------
    inquiry_is_unknown
    """
    found = table.find(connection, inquiry)
    if found is None:
        raise InquiryIsUnknown(inquiry=inquiry)
    return found


def inquiries_of(connection: sa.Connection, party: UUID) -> tuple[Inquiry, ...]:
    """Return the inquiries about a party, newest first, at most 50."""
    return tuple(table.of_party(connection, party))


def evidence_of(connection: sa.Connection, inquiry: UUID) -> tuple[BureauEvidence, ...]:
    """Return the evidence about an inquiry, in order of arrival."""
    return tuple(table.evidence(connection, inquiry))


def known_of(connection: sa.Connection, inquiry: UUID, *, days: int = VALID_DAYS) -> Known | None:
    """Return what an inquiry says; None while, or where, it says nothing.

    Refusals
    --------
    inquiry_is_unknown
    """
    found = read_inquiry(connection, inquiry)
    return known_by(found, table.evidence(connection, inquiry), days=days)


def newest(
    connection: sa.Connection, party: UUID, *, now: datetime, days: int = VALID_DAYS
) -> Known | None:
    """Return what the newest answered inquiry about a party says, while it is valid.

    Parameters
    ----------
    days : for how long a report is valid; from that instant on it stands behind nothing
    """
    inquiries = [i for i in table.of_party(connection, party) if i.state is InquiryState.ANSWERED]
    evidence = table.evidence_of_many(connection, [i.id for i in inquiries])
    for inquiry in inquiries:
        known = known_by(inquiry, evidence[inquiry.id], days=days)
        if known is not None and known.answered_at <= now < known.valid_until:
            return known
    return None


def report_for(
    connection: sa.Connection, party: UUID, *, now: datetime, days: int = VALID_DAYS
) -> Known:
    """Return what is validly known of a party.

    Refusals
    --------
    report_has_expired
    """
    known = newest(connection, party, now=now, days=days)
    if known is None:
        raise ReportHasExpired(party=party, days=days)
    return known


def _person(unit: UnitOfWork, keyring: Keyring, name: str, id_number: str) -> bytes:
    text = f"{len(name)}:{name}{id_number.upper()}"
    return keyring.blind_index(unit.connection, text, field="credit.bureau_person")


def _believable(
    unit: UnitOfWork, keyring: Keyring, inquiry: Inquiry, answer: BureauAnswer
) -> BureauAnswer:
    """Return the answer as evidence, without whom it names."""
    request = str(inquiry.id)
    if answer.request != request:
        return BureauAnswer(request, Found.UNKNOWN, "answer_to_another_request")
    named = _person(unit, keyring, answer.name, answer.id_number)
    if answer.found in TOLD and named != inquiry.person:
        return BureauAnswer(request, Found.UNKNOWN, "names_another_person")
    reason = answer.reason if _REASON.fullmatch(answer.reason) else "reason_unreadable"
    reference = answer.reference if _REFERENCE.fullmatch(answer.reference) else ""
    return BureauAnswer(request, answer.found, reason, reference, report=answer.report)


def _subject(inquiry: UUID) -> str:
    return f"bureau_inquiry:{inquiry}"
