"""Collections: who is late is reached within hours and caps, by a strategy, and left alone by law.

A contact is planned in one transaction and its message sent after it; every contact stands in the
log, and so does every one that was refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.credit.model.collection import (
    STOPPED_BY,
    CollectionContactIsUnknown,
    Contact,
    ContactHasAResult,
    ContactResult,
    Episode,
    EpisodeIsUnknown,
    EpisodeState,
    OnBoard,
    StopIsUnknown,
    StopMark,
    zone_of,
)
from steelyard.credit.model.loan import Loan
from steelyard.credit.model.message import Channel, MessageGateway, Sending
from steelyard.credit.model.strategy import (
    RULES,
    STRATEGIES,
    ContactIsOutsideHours,
    ContactIsStopped,
    ContactIsTooOften,
    ContactRules,
    Situation,
    Stop,
    Strategy,
    StrategyIsUnknown,
    check_contact,
    next_acts,
    rules_on,
    strategy_of,
)
from steelyard.credit.service import messages
from steelyard.credit.service.outside_facts import (
    CollectionContacted,
    CollectionStopLifted,
    CollectionStopped,
)
from steelyard.credit.store import collections as table
from steelyard.credit.store import loans as loan_table
from steelyard.kernel import Money, Refusal
from steelyard.parties import registry

__all__ = [
    "CONTACT_REFUSALS",
    "RULES",
    "STRATEGIES",
    "Channel",
    "CollectionContactIsUnknown",
    "Contact",
    "ContactHasAResult",
    "ContactIsOutsideHours",
    "ContactIsStopped",
    "ContactIsTooOften",
    "ContactResult",
    "ContactRules",
    "Episode",
    "EpisodeIsUnknown",
    "EpisodeState",
    "NewContact",
    "OnBoard",
    "Situation",
    "Stop",
    "StopIsUnknown",
    "StopMark",
    "Strategy",
    "StrategyIsUnknown",
    "board",
    "contact",
    "contacts_of",
    "lift",
    "lift_of",
    "next_acts",
    "record_result",
    "rules_on",
    "situation_of",
    "situations",
    "stop",
    "stops_of",
    "strategy_of",
]

CONTACT_REFUSALS = (ContactIsStopped, ContactIsOutsideHours, ContactIsTooOften)
"""How a contact that we would make can be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """A contact that somebody makes, or that the customer made with us.

    Attributes
    ----------
    template : sent through the gateway; None where a person speaks himself
    result : what came of it, where that is known at once
    id : of the contact; the same id again is the same contact
    """

    loan: UUID
    channel: Channel
    is_ours: bool = True
    template: str | None = None
    result: ContactResult | None = None
    id: UUID | None = None


# Contacts of people


def contact(
    database: Database,
    keyring: Keyring,
    gateway: MessageGateway | None,
    new: NewContact,
    *,
    actor: str,
) -> Contact:
    """Make a contact about a late loan, or note one that the customer made.

    Ours is refused outside the hours, over the caps and under a stop; the refusal itself stands in
    the log, so that nobody can try unseen.

    Refusals
    --------
    loan_is_unknown, episode_is_unknown
    contact_is_stopped, contact_is_outside_hours, contact_is_too_often
    gateway_is_not_at_hand, template_is_unknown, address_is_missing : of one with a template
    """
    if new.template is not None and gateway is None:
        raise messages.GatewayIsNotAtHand
    try:
        made = database.transact(lambda unit: _make(unit, new), actor=actor)
    except CONTACT_REFUSALS as refusal:
        code = refusal.code
        database.transact(lambda unit: _make(unit, new, refused=code), actor=actor)
        raise
    if new.template is not None and gateway is not None:
        _send_one(database, keyring, gateway, made, actor=actor)
    with database.reading() as connection:
        return table.read_contact(connection, made.id)


def _make(unit: UnitOfWork, new: NewContact, refused: str | None = None) -> Contact:
    loan = loan_table.read(unit.connection, new.loan)
    table.hold_parties(unit.connection, [loan.party])
    if new.id is not None and refused is None:
        known = table.find_contact(unit.connection, new.id)
        if known is not None:
            return known
    present = table.open_episode(unit.connection, loan.nr)
    if present is None:
        raise EpisodeIsUnknown(loan=loan.nr)
    situation = situations(unit, [present])[loan.nr]
    if new.is_ours and refused is None:
        check_contact(situation, new.channel, unit.now)
    made = Contact(
        id=new.id if new.id is not None and refused is None else unit.new_id(),
        nr=loan.nr,
        party=loan.party,
        episode=present.episode.id,
        step=None,
        channel=new.channel,
        is_ours=new.is_ours,
        template=new.template,
        refused=refused,
        at=unit.now,
        zone=situation.zone,
        actor=unit.actor,
    )
    table.insert_contact(unit.connection, made)
    contacted(unit, made, loan.id)
    if new.result is not None and refused is None:
        _take_result(unit, made, new.result)
    return made


def _send_one(
    database: Database, keyring: Keyring, gateway: MessageGateway, made: Contact, *, actor: str
) -> None:
    with database.reading() as connection:
        waiting = table.unsent(connection, contact=made.id, limit=1)
    for one in waiting:
        try:
            messages.send(database, keyring, gateway, sending_of(one), actor=actor)
        except Refusal:
            note(database, made.id, ContactResult.FAILED, actor)
            raise


def record_result(unit: UnitOfWork, contact: UUID, result: ContactResult) -> Contact:
    """Say what came of a contact, once; what the customer said may stop all further ones.

    Refusals
    --------
    contact_is_unknown, contact_has_a_result
    """
    made = table.read_contact(unit.connection, contact)
    _take_result(unit, made, result)
    return table.read_contact(unit.connection, contact)


def _take_result(unit: UnitOfWork, made: Contact, result: ContactResult) -> None:
    if not table.insert_result(unit.connection, made.id, result, unit.now, unit.actor):
        known = table.read_contact(unit.connection, made.id).result
        raise ContactHasAResult(contact=made.id, result=known)
    kind = STOPPED_BY.get(result)
    if kind is not None:
        stop(unit, made.party, kind, source=f"contact:{made.id}", nr=made.nr)


def contacts_of(connection: sa.Connection, nr: int, *, limit: int = 200) -> tuple[Contact, ...]:
    """Return the contacts about a loan with their results, refused ones too, newest first."""
    return tuple(table.contacts_of(connection, nr, limit=limit))


# Stops


def stop(
    unit: UnitOfWork, party: UUID, kind: Stop, *, source: str, nr: int | None = None
) -> StopMark | None:
    """Stop all contacts of ours with a customer, about one loan or about any.

    Parameters
    ----------
    source : `noun:id` of what says so; said again it changes nothing
    nr : of the loan; hardship and death concern all loans whatever is named

    Returns
    -------
    StopMark or None
        None where the source had stopped them before.
    """
    everywhere = kind in (Stop.HARDSHIP, Stop.DECEASED)
    mark = StopMark(
        id=unit.new_id(),
        party=party,
        nr=None if everywhere else nr,
        kind=kind,
        source=source,
        since_at=unit.now,
        by=unit.actor,
    )
    # Whoever plans a contact at this moment is done before the stop is in force.
    table.hold_parties(unit.connection, [party])
    if not table.insert_stop(unit.connection, mark):
        return None
    loan = None if mark.nr is None else _loan_of(unit.connection, mark.nr)
    unit.record(
        CollectionStopped(
            stop=mark.id, party=party, loan=None if loan is None else loan.id, reason=kind.value
        ),
        subject=f"collection_stop:{mark.id}",
    )
    audit(
        unit,
        action="credit.stop_collection",
        subject=f"party:{party}",
        detail={"kind": kind.value, "source": source, "loan": mark.nr},
    )
    return mark


def lift(unit: UnitOfWork, mark: UUID, *, reason: str) -> StopMark:
    """Lift a stop.

    Refusals
    --------
    stop_is_unknown
    """
    lifted = table.lift_stops(unit.connection, stop=mark, at=unit.now, by=unit.actor, reason=reason)
    if not lifted:
        raise StopIsUnknown(stop=mark)
    _lifted(unit, lifted[0], reason)
    return lifted[0]


def lift_of(unit: UnitOfWork, source: str, *, reason: str) -> tuple[StopMark, ...]:
    """Lift the stops that a source set; none where it set none."""
    lifted = table.lift_stops(
        unit.connection, source=source, at=unit.now, by=unit.actor, reason=reason
    )
    for mark in lifted:
        _lifted(unit, mark, reason)
    return tuple(lifted)


def stops_of(connection: sa.Connection, party: UUID) -> tuple[StopMark, ...]:
    """Return the stops in force for a customer."""
    return table.stops_of(connection, [party]).get(party, ())


# Reading


def board(
    connection: sa.Connection, *, least_dpd: int = 1, after: int = 0, limit: int = 50
) -> tuple[OnBoard, ...]:
    """Return the loans that are collected by their numbers: how late, by whom, what was said.

    Parameters
    ----------
    after : number of the last loan of the page before
    """
    return tuple(table.board(connection, least_dpd=least_dpd, after=after, limit=limit))


def situation_of(unit: UnitOfWork, loan: UUID) -> tuple[Episode, Situation]:
    """Return the spell of a loan, and what its next contact depends on.

    Refusals
    --------
    loan_is_unknown, episode_is_unknown
    """
    found = loan_table.read(unit.connection, loan)
    present = table.open_episode(unit.connection, found.nr)
    if present is None:
        raise EpisodeIsUnknown(loan=found.nr)
    return present.episode, situations(unit, [present])[found.nr]


def note(database: Database, contact: UUID, result: ContactResult, actor: str) -> None:
    """Write down what came of a contact, unless that is known."""
    database.transact(
        lambda unit: table.insert_result(unit.connection, contact, result, unit.now, unit.actor),
        actor=actor,
    )


def sending_of(made: table.Unsent) -> Sending:
    """Return the message of a contact, about what is late at this moment."""
    contact = made.contact
    assert contact.template is not None, "it has one"
    language = "zh-CN"
    amount = Money(made.overdue_minor, made.currency).format(language)
    return Sending(
        act=contact.act,
        party=contact.party,
        channel=contact.channel,
        template=contact.template,
        values={"loan": str(contact.nr), "amount": amount, "days": str(made.dpd)},
        language=language,
    )


def situations(unit: UnitOfWork, loans: list[table.Collected]) -> dict[int, Situation]:
    """Return what the next contact about each loan depends on, by its number."""
    connection = unit.connection
    parties = [one.episode.party for one in loans]
    made = table.made_with(connection, parties, unit.now)
    done = table.steps_done(connection, [one.episode.id for one in loans])
    stops = table.stops_of(connection, parties)
    promised = table.open_promise_days(connection, [one.episode.nr for one in loans])
    zones = {party: _zone(connection, party) for party in set(parties)}
    return {
        one.episode.nr: Situation(
            loan=one.episode.nr,
            dpd=one.dpd,
            overdue_minor=one.overdue_minor,
            zone=zones[one.episode.party],
            made=made.get(one.episode.party, ()),
            done=done.get(one.episode.id, frozenset()),
            stops=in_force(stops.get(one.episode.party, ()), one.episode.nr),
            promised_until=promised.get(one.episode.nr),
        )
        for one in loans
    }


def _zone(connection: sa.Connection, party: UUID) -> str:
    return zone_of(registry.read_party(connection, party).region)


def in_force(marks: tuple[StopMark, ...], nr: int) -> frozenset[Stop]:
    """Return what stops the contacts about a loan."""
    return frozenset(one.kind for one in marks if one.nr in (None, nr))


def _loan_of(connection: sa.Connection, nr: int) -> Loan:
    (loan,) = loan_table.find(connection, after=nr - 1, limit=1)
    return loan


def contacted(unit: UnitOfWork, made: Contact, loan: UUID) -> None:
    """Tell of a contact, or of one that was refused."""
    unit.record(
        CollectionContacted(
            contact=made.id,
            loan=loan,
            party=made.party,
            channel=made.channel,
            is_ours=made.is_ours,
            refused=made.refused,
        ),
        subject=f"contact:{made.id}",
    )
    audit(
        unit,
        action="credit.contact",
        subject=f"party:{made.party}",
        detail={
            "contact": str(made.id),
            "loan": made.nr,
            "channel": made.channel.value,
            "refused": made.refused,
        },
    )


def _lifted(unit: UnitOfWork, mark: StopMark, reason: str) -> None:
    unit.record(
        CollectionStopLifted(stop=mark.id, party=mark.party, reason=reason),
        subject=f"collection_stop:{mark.id}",
    )
    audit(
        unit,
        action="credit.lift_collection_stop",
        subject=f"party:{mark.party}",
        detail={"stop": str(mark.id), "reason": reason},
    )
