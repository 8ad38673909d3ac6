"""Identity steps: the intent is committed, the provider called, the evidence recorded.

No provider is called inside a transaction. What a call did not answer is unknown until the
provider is asked again; no evidence sets a level by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.parties.model.consent import ConsentIsMissing
from steelyard.parties.model.identity import (
    CODE_LIVES,
    CODE_TRIES,
    CODES_AN_HOUR,
    STEP_FIELDS,
    STEP_NEEDS,
    STEP_PURPOSE,
    Attempt,
    AttemptIsUnknown,
    AttemptState,
    CodeHasExpired,
    CodeWasNotSent,
    Evidence,
    EvidenceSource,
    Finding,
    IdentityBelongsToAnother,
    IdentityProvider,
    IdNumberIsMalformed,
    LevelIsTooLow,
    ProviderAnswer,
    ProviderIsNotAtHand,
    RulingIsNotMeaningful,
    Step,
    StepIsUnderWay,
    TooManyTries,
    settle,
)
from steelyard.parties.model.party import Party, PartyKind, check_reason
from steelyard.parties.model.personal import (
    PersonalField,
    PersonalFieldIsMissing,
    is_resident_number,
)
from steelyard.parties.service.facts import ContactChanged, IdentityEvidenceRecorded
from steelyard.parties.service.personal import Reading, disclose
from steelyard.parties.service.standing import about_of, blinds_of, reassess
from steelyard.parties.store import contact as contact_table
from steelyard.parties.store import identity as table
from steelyard.parties.store import party as party_table

__all__ = [
    "Ask",
    "Attempt",
    "AttemptIsUnknown",
    "AttemptState",
    "CodeHasExpired",
    "CodeWasNotSent",
    "ConsentIsMissing",
    "Evidence",
    "EvidenceSource",
    "Finding",
    "IdNumberIsMalformed",
    "IdentityBelongsToAnother",
    "IdentityProvider",
    "LevelIsTooLow",
    "PersonalFieldIsMissing",
    "ProviderAnswer",
    "ProviderIsNotAtHand",
    "RulingIsNotMeaningful",
    "Step",
    "StepIsUnderWay",
    "TooManyTries",
    "attempts_of",
    "begin",
    "disputed_attempts",
    "evidence_of",
    "poll",
    "poll_unsettled",
    "read_attempt",
    "record",
    "rule",
    "take_step",
]

POLL_AFTER = timedelta(seconds=30)

_REASON = re.compile(r"[a-z0-9_]{0,60}")
_REFERENCE = re.compile(r"[A-Za-z0-9_.:-]{0,64}")


@dataclass(frozen=True, slots=True)
class Ask:
    """One step to take.

    Attributes
    ----------
    id : of the attempt; the same id again is the same attempt, so that a command that was cut off
        can be sent again
    sent : the attempt that sent the code, for the step `phone`; code : what the person typed
    portrait : for the step `face`; goes to the provider and is not kept
    """

    party: UUID
    step: Step
    id: UUID
    sent: UUID | None = None
    code: str | None = field(default=None, repr=False)
    portrait: bytes | None = field(default=None, repr=False)


def take_step(
    database: Database,
    keyring: Keyring,
    provider: IdentityProvider,
    ask: Ask,
    *,
    actor: str,
) -> Attempt:
    """Ask the provider once, and return the attempt as far as it is settled.

    Three stages: the intent in one transaction, the call in none, the evidence in another. An
    attempt that is there already is not called again but polled.

    Refusals
    --------
    party_is_unknown, party_is_of_another_kind, party_is_closed, personal_field_is_missing,
    consent_is_missing, level_is_too_low, id_number_is_malformed, step_is_under_way,
    identity_belongs_to_another, code_was_not_sent, code_has_expired, too_many_tries
    """
    with database.engine.connect() as connection:
        known = table.find_attempt(connection, ask.id)
    if known is not None:
        assert (known.party, known.step) == (ask.party, ask.step), "an id names one attempt"
        return known if known.is_settled else poll(database, provider, known.id, actor=actor)
    attempt, values = database.transact(
        lambda unit: begin(unit, keyring, ask, provider=provider.name), actor=actor
    )
    answer = _call(provider, ask, values)
    return database.transact(
        lambda unit: record(unit, attempt.id, answer, source=EvidenceSource.ANSWER), actor=actor
    )


def begin(
    unit: UnitOfWork, keyring: Keyring, ask: Ask, *, provider: str
) -> tuple[Attempt, Mapping[PersonalField, str]]:
    """Write down the intent; return it with the values that the provider is to be shown.

    Refusals
    --------
    as `take_step`
    """
    party = party_table.lock(unit.connection, ask.party)
    party.must_be(PartyKind.CUSTOMER).must_be_open()
    about = about_of(blinds_of(unit, party.id))
    if ask.step not in about:
        raise PersonalFieldIsMissing(party=party.id, field=STEP_FIELDS[ask.step][-1])
    if party.level < STEP_NEEDS[ask.step]:
        raise LevelIsTooLow(
            party=party.id,
            step=ask.step,
            needed=int(STEP_NEEDS[ask.step]),
            present=int(party.level),
        )
    attempts = table.attempts(unit.connection, party.id)
    _check_repeats(unit, ask, attempts)
    values = disclose(
        unit, keyring, Reading(party.id, STEP_FIELDS[ask.step], STEP_PURPOSE[ask.step])
    )
    _check_number(unit, party, ask.step, values)
    attempt = Attempt(
        id=ask.id,
        party=party.id,
        number=len(attempts) + 1,
        step=ask.step,
        provider=provider,
        about=about[ask.step],
        state=AttemptState.INTENDED,
        version=1,
        started_at=unit.now,
        started_wall_at=unit.wall_at,
        answers=ask.sent if ask.step is Step.PHONE else None,
    )
    table.insert_attempt(unit.connection, attempt)
    return attempt, values


def _check_repeats(unit: UnitOfWork, ask: Ask, attempts: list[Attempt]) -> None:
    """Refuse a second call while the first may still be answered, and too many codes or tries."""
    for attempt in attempts:
        if attempt.step is ask.step and not attempt.is_settled:
            raise StepIsUnderWay(attempt=attempt.id, step=attempt.step)
    if ask.step is Step.PHONE_CODE:
        since = unit.wall_at - timedelta(hours=1)
        sent = [a for a in attempts if a.step is ask.step and a.started_wall_at > since]
        if len([a for a in sent if a.state is not AttemptState.VOID]) >= CODES_AN_HOUR:
            raise TooManyTries(most=CODES_AN_HOUR)
    if ask.step is Step.PHONE:
        sent_by = next((a for a in attempts if a.id == ask.sent), None)
        if sent_by is None or sent_by.step is not Step.PHONE_CODE or ask.code is None:
            raise CodeWasNotSent(attempt=ask.sent)
        if sent_by.state in (AttemptState.FAILED, AttemptState.VOID, AttemptState.INTENDED):
            raise CodeWasNotSent(attempt=ask.sent)
        if unit.wall_at >= sent_by.started_wall_at + CODE_LIVES:
            raise CodeHasExpired(minutes=int(CODE_LIVES.total_seconds()) // 60)
        tries = [a for a in attempts if a.answers == sent_by.id]
        if len([a for a in tries if a.state is not AttemptState.VOID]) >= CODE_TRIES:
            raise TooManyTries(most=CODE_TRIES)


def _check_number(
    unit: UnitOfWork, party: Party, step: Step, values: Mapping[PersonalField, str]
) -> None:
    number = values.get(PersonalField.ID_NUMBER)
    if number is None:
        return
    if len(number) == 18 and not is_resident_number(number):
        raise IdNumberIsMalformed(party=party.id)
    if step is Step.NAME:
        holder = table.claimant(unit.connection, blinds_of(unit, party.id)[PersonalField.ID_NUMBER])
        if holder not in (None, party.id):
            raise IdentityBelongsToAnother(party=party.id)


def _call(
    provider: IdentityProvider, ask: Ask, values: Mapping[PersonalField, str]
) -> ProviderAnswer:
    request = str(ask.id)
    if ask.step is Step.NUMBER:
        return provider.check_number(request, id_number=values[PersonalField.ID_NUMBER])
    if ask.step is Step.PHONE_CODE:
        return provider.send_code(request, phone=values[PersonalField.PHONE])
    if ask.step is Step.PHONE:
        assert ask.code is not None, "checked with the intent"
        return provider.confirm_code(request, sent=str(ask.sent), code=ask.code)
    if ask.step is Step.NAME:
        return provider.match_name(
            request,
            id_number=values[PersonalField.ID_NUMBER],
            name=values[PersonalField.NAME],
        )
    return provider.compare_face(
        request, id_number=values[PersonalField.ID_NUMBER], portrait=ask.portrait or b""
    )


def record(
    unit: UnitOfWork, attempt: UUID, answer: ProviderAnswer, *, source: EvidenceSource
) -> Attempt:
    """Record evidence about an attempt, settle it, and decide the party's level anew.

    An answer about another request is kept as unknown. Evidence that came before changes nothing.

    Refusals
    --------
    attempt_is_unknown
    """
    seen = table.read_attempt(unit.connection, attempt)
    party = party_table.lock(unit.connection, seen.party)
    present = table.read_attempt(unit.connection, attempt)
    told = _readable(present, answer)
    is_new = table.add_evidence(
        unit.connection, attempt, told, source=source, actor=unit.actor, at=unit.now
    )
    if not is_new:
        return present
    state = settle(table.evidence(unit.connection, attempt))
    if state is not present.state:
        table.set_state(unit.connection, present, state)
    unit.record(
        IdentityEvidenceRecorded(
            party=party.id,
            attempt=attempt,
            step=present.step,
            source=source,
            finding=told.finding,
            reason=told.reason,
            settled_as=state,
        ),
        subject=party.subject,
    )
    if present.step is Step.PHONE and state is AttemptState.PASSED:
        _verify_phone(unit, party, present)
    reassess(unit, party)
    return table.read_attempt(unit.connection, attempt)


def _readable(attempt: Attempt, answer: ProviderAnswer) -> ProviderAnswer:
    """Return the answer as evidence: what is about another request, or no code, is not believed."""
    request = str(attempt.id)
    if answer.request != request:
        return ProviderAnswer(request, Finding.UNKNOWN, "answer_to_another_request")
    reason = answer.reason if _REASON.fullmatch(answer.reason) else "reason_unreadable"
    reference = answer.reference if _REFERENCE.fullmatch(answer.reference) else ""
    return ProviderAnswer(request, answer.finding, reason, reference)


def _verify_phone(unit: UnitOfWork, party: Party, attempt: Attempt) -> None:
    if about_of(blinds_of(unit, party.id)).get(Step.PHONE) != attempt.about:
        return
    place = contact_table.Place(party.id, PersonalField.PHONE, 0)
    if contact_table.verify(unit.connection, place, unit.now):
        unit.record(
            ContactChanged(party=party.id, contact="phone", ordinal=0, change="verified"),
            subject=party.subject,
        )


def poll(database: Database, provider: IdentityProvider, attempt: UUID, *, actor: str) -> Attempt:
    """Ask the provider what became of an attempt, settled or not, and record what it says.

    Refusals
    --------
    attempt_is_unknown, provider_is_not_at_hand
    """
    with database.engine.connect() as connection:
        known = table.read_attempt(connection, attempt)
    if known.provider != provider.name:
        raise ProviderIsNotAtHand(attempt=attempt, needed=known.provider)
    answer = provider.query(str(attempt))
    return database.transact(
        lambda unit: record(unit, attempt, answer, source=EvidenceSource.POLL), actor=actor
    )


def poll_unsettled(
    database: Database,
    provider: IdentityProvider,
    *,
    older_than: timedelta = POLL_AFTER,
    limit: int = 50,
) -> int:
    """Ask about attempts that nobody settled, and return how many are settled now.

    Those not asked about for longest come first; each is asked about once in `older_than`.

    Parameters
    ----------
    older_than : longer than a call may take, so that a call under way is left alone
    """
    waiting = database.transact(
        lambda unit: table.take_unsettled(
            unit.connection,
            provider=provider.name,
            before=unit.wall_at - older_than,
            at=unit.wall_at,
            limit=limit,
        )
    )
    settled = 0
    for attempt in waiting:
        settled += poll(database, provider, attempt, actor="system:identity").is_settled
    return settled


def rule(unit: UnitOfWork, attempt: UUID, finding: Finding, *, reason: str) -> Attempt:
    """Let a person rule on an attempt; the last ruling stands above all other evidence.

    Refusals
    --------
    attempt_is_unknown, ruling_is_not_meaningful, reason_is_invalid
    """
    if finding not in (Finding.PASSED, Finding.FAILED):
        raise RulingIsNotMeaningful
    answer = ProviderAnswer(str(attempt), finding, check_reason(reason))
    ruled = record(unit, attempt, answer, source=EvidenceSource.OPERATOR)
    audit(
        unit,
        action="parties.rule",
        subject=f"party:{ruled.party}",
        detail={"attempt": str(attempt), "finding": finding, "reason": reason},
    )
    return ruled


def attempts_of(connection: sa.Connection, party: UUID) -> tuple[Attempt, ...]:
    """Return all attempts of a party, oldest first.

    Refusals
    --------
    party_is_unknown
    """
    party_table.read(connection, party)
    return tuple(table.attempts(connection, party))


def read_attempt(connection: sa.Connection, attempt: UUID) -> Attempt:
    """Return an attempt.

    Refusals
    --------
    attempt_is_unknown
    """
    return table.read_attempt(connection, attempt)


def evidence_of(connection: sa.Connection, attempt: UUID) -> tuple[Evidence, ...]:
    """Return the evidence of an attempt, in order of arrival."""
    return tuple(table.evidence(connection, attempt))


def disputed_attempts(connection: sa.Connection, *, limit: int = 100) -> tuple[Attempt, ...]:
    """Return the attempts that wait for a person's ruling, oldest first."""
    return tuple(table.disputed(connection, limit=limit))
