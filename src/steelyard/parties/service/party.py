"""Registering parties, their states, relations and account links."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Gate, UnitOfWork, Verdict
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.base.gate import Outcome as GateOutcome
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.parties.model.party import (
    AccountLink,
    AccountRole,
    BatchIsTooLarge,
    IdentityLevel,
    LegalEntity,
    NewCustomer,
    NewLegalPerson,
    OriginIsInvalid,
    OriginWasUsed,
    Outcome,
    Party,
    PartyHasChanged,
    PartyIsClosed,
    PartyIsNotClosed,
    PartyIsOfAnotherKind,
    PartyIsUnknown,
    PartyKind,
    PartyState,
    ReasonIsInvalid,
    Registered,
    RegistrationIsDeclined,
    RegistrationNumberIsInvalid,
    RegistrationNumberIsTaken,
    Relation,
    RelationIsNotMeaningful,
    RelationIsUnknown,
    RelationKind,
    SharesExceedTheWhole,
    StateChangeIsNotAllowed,
    check_legal_entity,
    check_origin,
    check_reason,
    check_relation,
    check_shares,
    subject_of,
)
from steelyard.parties.model.personal import check_personal
from steelyard.parties.service import sealing
from steelyard.parties.service.facts import (
    AccountLinked,
    CustomerRegistered,
    InstitutionRegistered,
    MerchantRegistered,
    PartiesRelated,
    PartyActivated,
    PartyClosed,
    PartyRestricted,
    RelationEnded,
)
from steelyard.parties.store import identity as identity_table
from steelyard.parties.store import party as table

__all__ = [
    "AccountLink",
    "AccountRole",
    "BatchIsTooLarge",
    "IdentityLevel",
    "LegalEntity",
    "NewCustomer",
    "NewLegalPerson",
    "OriginIsInvalid",
    "OriginWasUsed",
    "Outcome",
    "Party",
    "PartyHasChanged",
    "PartyIsClosed",
    "PartyIsNotClosed",
    "PartyIsOfAnotherKind",
    "PartyIsUnknown",
    "PartyKind",
    "PartyState",
    "ReasonIsInvalid",
    "Registered",
    "RegistrationIsDeclined",
    "RegistrationNumberIsInvalid",
    "RegistrationNumberIsTaken",
    "Relation",
    "RelationIsNotMeaningful",
    "RelationIsUnknown",
    "RelationKind",
    "SharesExceedTheWhole",
    "StateChangeIsNotAllowed",
    "accounts_of",
    "activate",
    "ask_to_register",
    "close",
    "count_parties",
    "end_relation",
    "find_origins",
    "link_accounts",
    "list_parties",
    "parties_of_account",
    "read_party",
    "register_customer",
    "register_customers",
    "register_institution",
    "register_merchant",
    "relate",
    "relations_of",
    "restrict",
]

SCENE = "registration"
BATCH = 1_000


def ask_to_register(
    gate: Gate, kind: PartyKind, new: NewCustomer | NewLegalPerson, *, now: datetime
) -> Verdict:
    """Return the gate's verdict on a registration; asked before the unit of work opens.

    The gate is told the kind, channel and region and which fields are given, never what they say.
    The verb that registers refuses a decline, so that a command that was done before and comes
    again is answered as before, whatever the gate says now.
    """
    facts: dict[str, object] = {"kind": kind, "channel": new.channel, "region": new.region}
    if isinstance(new, NewCustomer):
        facts["fields"] = sorted(field.value for field in new.personal)
    else:
        facts |= {"country": new.country, "industry": new.industry}
    return gate.ask(SCENE, facts, now)


def register_customer(
    unit: UnitOfWork, keyring: Keyring, new: NewCustomer, *, verdict: Verdict
) -> Party:
    """Register a natural person; return the one of the origin if the same was registered before.

    Approved, the party is active; told to step up or to be reviewed, it has applied.

    Refusals
    --------
    registration_is_declined, origin_is_invalid, origin_was_used, personal_field_is_invalid,
    personal_fields_disagree
    """
    answer = register_customers(unit, keyring, [new], verdict=verdict)[0]
    if answer.outcome is Outcome.CONFLICT:
        raise OriginWasUsed(origin=new.origin)
    return table.read(unit.connection, answer.party)


def register_customers(
    unit: UnitOfWork, keyring: Keyring, customers: Sequence[NewCustomer], *, verdict: Verdict
) -> tuple[Registered, ...]:
    """Register many natural persons, set by set: one statement for each table.

    Parameters
    ----------
    customers : at most 1,000, so that the transaction stays short; each with an origin if the
        batch may come again
    verdict : who let them in; an import states itself as the cause

    Returns
    -------
    tuple of Registered
        One for each customer, in order: created, or exists, or in conflict with what is there
        under the origin. The same batch again creates nothing.

    Refusals
    --------
    batch_is_too_large, registration_is_declined, origin_is_invalid, personal_field_is_invalid,
    personal_fields_disagree : the whole batch
    """
    if len(customers) > BATCH:
        raise BatchIsTooLarge(most=BATCH, found=len(customers))
    admission = _admission(unit, PartyKind.CUSTOMER, verdict)
    blinder = sealing.Blinder(unit.connection, keyring)
    today_on = unit.now.date()
    clean = [check_personal(new.personal, today_on=today_on) for new in customers]
    rows = [
        table.NewRow(
            unit.new_id(),
            new.channel,
            check_origin(new.origin),
            _content(blinder, new.origin, [new.region, *fields.items()]),
            new.region,
        )
        for new, fields in zip(customers, clean, strict=True)
    ]
    created = table.insert(unit.connection, rows, admission)
    sealing.put(
        unit,
        keyring,
        [
            sealing.PlainField(row.id, field, value)
            for row, fields in zip(rows, clean, strict=True)
            if row.id in created
            for field, value in fields.items()
        ],
    )
    for row in rows:
        if row.id in created:
            fact = CustomerRegistered(
                party=row.id,
                state=admission.state,
                cause=admission.cause,
                channel=row.channel,
                origin=row.origin,
                region=row.region,
            )
            unit.record(fact, subject=subject_of(row.id))
    return _answers(unit, rows, created)


def register_merchant(
    unit: UnitOfWork, keyring: Keyring, new: NewLegalPerson, *, verdict: Verdict
) -> Party:
    """Register a merchant; return the one of the origin if the same was registered before.

    Refusals
    --------
    registration_is_declined, registration_number_is_invalid, registration_number_is_taken,
    origin_is_invalid, origin_was_used
    """
    return _register_legal(unit, keyring, new, PartyKind.MERCHANT, verdict)


def register_institution(
    unit: UnitOfWork, keyring: Keyring, new: NewLegalPerson, *, verdict: Verdict
) -> Party:
    """Register an institution; otherwise as `register_merchant`."""
    return _register_legal(unit, keyring, new, PartyKind.INSTITUTION, verdict)


def _register_legal(
    unit: UnitOfWork, keyring: Keyring, new: NewLegalPerson, kind: PartyKind, verdict: Verdict
) -> Party:
    legal = check_legal_entity(new)
    admission = _admission(unit, kind, verdict)
    blinder = sealing.Blinder(unit.connection, keyring)
    told = [kind, new.region, legal.legal_name, legal.country, legal.number, legal.industry]
    content = _content(blinder, new.origin, [*told, str(legal.licence_until_on)])
    row = table.NewRow(unit.new_id(), new.channel, check_origin(new.origin), content, new.region)
    created = table.insert(unit.connection, [row], admission)
    if not created:
        answer = _answers(unit, [row], created)[0]
        if answer.outcome is Outcome.CONFLICT:
            raise OriginWasUsed(origin=new.origin)
        return table.read(unit.connection, answer.party)
    holder = table.insert_legal_entity(unit.connection, row.id, legal)
    if holder != row.id:
        raise RegistrationNumberIsTaken(party=holder)
    declare = MerchantRegistered if kind is PartyKind.MERCHANT else InstitutionRegistered
    fact = declare(
        party=row.id,
        state=admission.state,
        cause=admission.cause,
        channel=row.channel,
        country=legal.country,
        industry=legal.industry,
        origin=row.origin,
        region=row.region,
    )
    unit.record(fact, subject=subject_of(row.id))
    return table.read(unit.connection, row.id)


def _admission(unit: UnitOfWork, kind: PartyKind, verdict: Verdict) -> table.Admission:
    if verdict.outcome is GateOutcome.DECLINE:
        raise RegistrationIsDeclined(reasons=", ".join(verdict.reasons) or verdict.cause)
    state = PartyState.ACTIVE if verdict.outcome is GateOutcome.APPROVE else PartyState.APPLIED
    return table.Admission(
        kind, state, verdict.cause, verdict.decision_id, verdict.reasons, unit.now
    )


def _content(blinder: sealing.Blinder, origin: str | None, told: Sequence[object]) -> bytes | None:
    """Return a keyed hash of what was told, by which a repeat is known from a conflict."""
    if origin is None:
        return None
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return blinder.text(text, field="party.content")


def _answers(
    unit: UnitOfWork, rows: Sequence[table.NewRow], created: frozenset[UUID]
) -> tuple[Registered, ...]:
    origins = [row.origin for row in rows if row.id not in created and row.origin is not None]
    held = table.by_origin(unit.connection, origins) if origins else {}

    def answer(row: table.NewRow) -> Registered:
        if row.id in created:
            return Registered(row.id, Outcome.CREATED)
        assert row.origin is not None, "only an origin can stand in the way"
        party, content = held[row.origin]
        same = content == row.content
        return Registered(party, Outcome.EXISTS if same else Outcome.CONFLICT)

    return tuple(answer(row) for row in rows)


def find_origins(connection: sa.Connection, origins: Sequence[str]) -> dict[str, UUID]:
    """Return the parties registered under some origins; those unknown are left out."""
    return {o: party for o, (party, _) in table.by_origin(connection, origins).items()}


def read_party(connection: sa.Connection, party: UUID) -> Party:
    """Return a party.

    Refusals
    --------
    party_is_unknown
    """
    return table.read(connection, party)


def list_parties(
    connection: sa.Connection,
    *,
    kind: PartyKind | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Party]:
    """Return a page of parties, newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before = UUID(int=int(str(decode_cursor(cursor, str)[0]), 16)) if cursor else None
    found = table.list_newest(connection, kind=kind, before=before, limit=limit + 1)
    more = encode_cursor(found[limit - 1].id.hex) if len(found) > limit else None
    return Page(tuple(found[:limit]), more)


def count_parties(connection: sa.Connection) -> dict[PartyKind, int]:
    """Return how many parties there are of each kind."""
    return table.count(connection)


def activate(unit: UnitOfWork, party: UUID, *, reason: str, version: int | None = None) -> Party:
    """Let a party that has applied or is restricted do business.

    Refusals
    --------
    party_is_unknown, party_has_changed, state_change_is_not_allowed, reason_is_invalid
    """
    fact = PartyActivated(party=party, reason=check_reason(reason))
    return _change(unit, party, PartyState.ACTIVE, fact, version)


def restrict(unit: UnitOfWork, party: UUID, *, reason: str, version: int | None = None) -> Party:
    """Let an active party do less than others; refusals as `activate`."""
    fact = PartyRestricted(party=party, reason=check_reason(reason))
    return _change(unit, party, PartyState.RESTRICTED, fact, version)


def close(unit: UnitOfWork, party: UUID, *, reason: str, version: int | None = None) -> Party:
    """End the relation with a party for good; refusals as `activate`.

    The identity number it proved to own is free for a new registration of the same person.
    """
    fact = PartyClosed(party=party, reason=check_reason(reason))
    closed = _change(unit, party, PartyState.CLOSED, fact, version)
    identity_table.release_claim(unit.connection, party)
    return closed


def _change(
    unit: UnitOfWork,
    party: UUID,
    state: PartyState,
    fact: PartyActivated | PartyRestricted | PartyClosed,
    version: int | None,
) -> Party:
    present = table.lock(unit.connection, party).must_be_at(version)
    present.must_go_to(state)
    table.update(unit.connection, present, state=state)
    unit.record(fact, subject=present.subject)
    audit(
        unit,
        action=_ACTIONS[state],
        subject=present.subject,
        detail={"before": present.state, "reason": fact.reason},
    )
    return table.read(unit.connection, party)


_ACTIONS: Mapping[PartyState, str] = {
    PartyState.ACTIVE: "parties.activate",
    PartyState.RESTRICTED: "parties.restrict",
    PartyState.CLOSED: "parties.close",
}


def relate(
    unit: UnitOfWork,
    party: UUID,
    kind: RelationKind,
    of: UUID,
    *,
    share_bp: int | None = None,
) -> Relation:
    """State what a party is to a legal person; return the relation in force if it is already.

    Refusals
    --------
    party_is_unknown, party_is_closed, relation_is_not_meaningful, shares_exceed_the_whole
    """
    held = table.lock_many(unit.connection, [party, of])
    check_relation(held[party].must_be_open(), kind, held[of].must_be_open(), share_bp)
    present = [r for r in table.relations(unit.connection, of) if (r.of, r.kind) == (of, kind)]
    known = next((r for r in present if r.party == party), None)
    if known is not None:
        return known
    if kind is RelationKind.OWNER:
        check_shares(of, sum(r.share_bp or 0 for r in present), share_bp)
    relation = Relation(unit.new_id(), party, kind, of, share_bp, unit.now)
    table.insert_relation(unit.connection, relation)
    fact = PartiesRelated(
        relation=relation.id, party=party, kind_of_relation=kind, of=of, share_bp=share_bp
    )
    unit.record(fact, subject=subject_of(of))
    return relation


def end_relation(unit: UnitOfWork, relation: UUID) -> Relation:
    """End a relation in force, and return it as it was.

    Refusals
    --------
    relation_is_unknown
    """
    seen = table.read_relation(unit.connection, relation)
    if seen is None:
        raise RelationIsUnknown(relation=relation)
    table.lock(unit.connection, seen.of)
    if not table.end_relation(unit.connection, relation, unit.now):
        raise RelationIsUnknown(relation=relation)
    fact = RelationEnded(
        relation=relation, party=seen.party, kind_of_relation=seen.kind, of=seen.of
    )
    unit.record(fact, subject=subject_of(seen.of))
    return seen


def relations_of(connection: sa.Connection, party: UUID) -> tuple[Relation, ...]:
    """Return the relations in force that a party has or is the object of, oldest first."""
    return tuple(table.relations(connection, party))


def link_accounts(unit: UnitOfWork, links: Sequence[AccountLink]) -> int:
    """Note who owns or disposes of accounts; return how many links are new.

    One statement for all; the same links again change nothing.

    Refusals
    --------
    batch_is_too_large : more than 1,000
    party_is_unknown
    """
    if len(links) > BATCH:
        raise BatchIsTooLarge(most=BATCH, found=len(links))
    if not links:
        return 0
    table.lock_many(unit.connection, [link.party for link in links])
    new = table.insert_account_links(unit.connection, links, unit.now)
    for link in links:
        if link in new:
            fact = AccountLinked(party=link.party, account=link.account, role=link.role)
            unit.record(fact, subject=subject_of(link.party))
    return len(new)


def accounts_of(connection: sa.Connection, party: UUID) -> tuple[AccountLink, ...]:
    """Return the accounts a party owns or disposes of."""
    return tuple(table.account_links(connection, party=party))


def parties_of_account(connection: sa.Connection, account: str) -> tuple[AccountLink, ...]:
    """Return who owns or disposes of an account."""
    return tuple(table.account_links(connection, account=account))
