"""Messages to customers: the intent is committed, the gateway called, the receipts kept.

An act sends one message, ever: sent again it finds its own, which is asked about and not repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import Every, JobContext, job
from steelyard.credit.model.message import (
    PURPOSE,
    TEMPLATES,
    ActHasAnotherMessage,
    AddressIsMissing,
    Channel,
    GatewayAnswer,
    GatewayIsNotAtHand,
    Message,
    MessageGateway,
    MessageIsUnknown,
    MessageState,
    Sending,
    Template,
    TemplateDoesNotFit,
    TemplateIsUnknown,
    Told,
    settle,
    template_of,
)
from steelyard.credit.service.outside_facts import MessageIntended, MessageSettled
from steelyard.credit.store import messages as table
from steelyard.parties import PersonalField, personal

__all__ = [
    "TEMPLATES",
    "ActHasAnotherMessage",
    "AddressIsMissing",
    "Channel",
    "GatewayAnswer",
    "GatewayIsNotAtHand",
    "Message",
    "MessageGateway",
    "MessageIsUnknown",
    "MessageState",
    "Sending",
    "Template",
    "TemplateDoesNotFit",
    "TemplateIsUnknown",
    "Told",
    "begin",
    "messages_of",
    "poll",
    "poll_messages",
    "poll_open",
    "receipts_of",
    "record",
    "send",
    "text_of",
]

POLL_AFTER = timedelta(seconds=30)
_ADDRESSES = {
    Channel.SMS: PersonalField.PHONE,
    Channel.CALL: PersonalField.PHONE,
    Channel.LETTER: PersonalField.ADDRESS,
}
_REASON = re.compile(r"[a-z0-9_]{0,60}")
_REFERENCE = re.compile(r"[A-Za-z0-9_.:-]{0,64}")


@dataclass(frozen=True, slots=True)
class _Letter:
    """A message on its way out: whom it goes to stands nowhere else."""

    message: Message
    to: str
    text: str


def send(
    database: Database, keyring: Keyring, gateway: MessageGateway, sending: Sending, *, actor: str
) -> Message:
    """Send a message for an act, once, and return it as far as it is settled.

    Three stages: the intent in one transaction, the call in none, the receipt in another. Where the
    act sent its message already, the gateway is asked what became of it while that is open; one
    that verifiably never left is sent again under its own number.

    Refusals
    --------
    template_is_unknown, template_does_not_fit, address_is_missing, party_is_unknown,
    act_has_another_message
    """
    letter = database.transact(
        lambda unit: begin(unit, keyring, sending, gateway=gateway.name), actor=actor
    )
    if isinstance(letter, Message):
        return poll(database, gateway, letter.id, actor=actor) if letter.is_open else letter
    answer = gateway.send(
        str(letter.message.id),
        channel=letter.message.channel,
        to=letter.to,
        text=letter.text,
    )
    return database.transact(
        lambda unit: record(unit, letter.message.id, answer, source="answer"), actor=actor
    )


def begin(
    unit: UnitOfWork, keyring: Keyring, sending: Sending, *, gateway: str
) -> _Letter | Message:
    """Write down that an act is about to send its message; return the message it sent before.

    Refusals
    --------
    as `send`
    """
    template = template_of(sending.template)
    text = template.text(sending.language, sending.values)
    known = table.find_act(unit.connection, sending.act)
    if known is not None and _same(known, sending).state is not MessageState.VOID:
        return known
    to = _address(unit, keyring, sending)
    if known is not None:
        # It never left; under its own number it cannot go out twice.
        return _Letter(known, to, text)
    message = Message(
        id=unit.new_id(),
        act=sending.act,
        party=sending.party,
        channel=sending.channel,
        template=template.name,
        template_version=template.version,
        values=dict(sending.values),
        language=sending.language,
        gateway=gateway,
        state=MessageState.INTENDED,
        version=1,
        started_at=unit.now,
        started_wall_at=unit.wall_at,
        actor=unit.actor,
    )
    if not table.insert(unit.connection, message):
        # Somebody else sends for the same act at this moment: theirs is the message.
        theirs = table.find_act(unit.connection, sending.act)
        assert theirs is not None, "the act is taken"
        return _same(theirs, sending)
    unit.record(
        MessageIntended(
            message=message.id,
            party=message.party,
            act=message.act,
            channel=message.channel,
            template=message.template,
        ),
        subject=_subject(message.id),
    )
    audit(
        unit,
        action="credit.send_message",
        subject=f"party:{message.party}",
        detail={"message": str(message.id), "act": message.act, "template": message.template},
    )
    return _Letter(message, to, text)


def record(unit: UnitOfWork, message: UUID, answer: GatewayAnswer, *, source: str) -> Message:
    """Record a receipt and settle the message; a receipt that came before changes nothing.

    Refusals
    --------
    message_is_unknown
    """
    present = table.lock(unit.connection, message)
    told = _believable(present, answer)
    if not table.add_receipt(unit.connection, message, told, source=source, at=unit.now):
        return present
    state = settle(one for one, _ in table.told(unit.connection, message))
    if state is present.state:
        return present
    table.set_state(unit.connection, present, state)
    unit.record(
        MessageSettled(message=message, party=present.party, act=present.act, state=state),
        subject=_subject(message),
    )
    return table.lock(unit.connection, message)


def poll(database: Database, gateway: MessageGateway, message: UUID, *, actor: str) -> Message:
    """Ask the gateway what became of a message, and record what it says.

    Refusals
    --------
    message_is_unknown, gateway_is_not_at_hand
    """
    with database.engine.connect() as connection:
        known = table.read(connection, message)
    if known.gateway != gateway.name:
        raise GatewayIsNotAtHand
    answer = gateway.query(str(message))
    return database.transact(lambda unit: record(unit, message, answer, source="poll"), actor=actor)


def poll_open(
    database: Database,
    gateway: MessageGateway,
    *,
    older_than: timedelta = POLL_AFTER,
    limit: int = 100,
) -> int:
    """Ask about messages that nothing settled, and return how many are settled now.

    Parameters
    ----------
    older_than : longer than a call may take, so that a call under way is left alone
    """
    waiting = database.transact(
        lambda unit: table.take_open(
            unit.connection,
            gateway=gateway.name,
            before=unit.wall_at - older_than,
            at=unit.wall_at,
            limit=limit,
        )
    )
    polled = [poll(database, gateway, one, actor="system:messages") for one in waiting]
    return sum(not one.is_open for one in polled)


@job("credit.poll_messages", schedule=Every(timedelta(minutes=1)))
def poll_messages(context: JobContext) -> None:
    """Ask again about messages that nothing settled."""
    gateway = getattr(context.platform, "message_gateway", None)
    if gateway is not None:
        poll_open(context.database, gateway)


def messages_of(connection: sa.Connection, party: UUID) -> tuple[Message, ...]:
    """Return the messages to a party, newest first, at most 50."""
    return tuple(table.of_party(connection, party))


def receipts_of(connection: sa.Connection, message: UUID) -> tuple[tuple[Told, str], ...]:
    """Return what the receipts of a message say, with their reasons, in order of arrival."""
    return tuple(table.told(connection, message))


def text_of(message: Message, language: str | None = None) -> str:
    """Return the text of a message, in the language it went out in or in another."""
    return template_of(message.template).text(language or message.language, message.values)


def _same(known: Message, sending: Sending) -> Message:
    wanted = (sending.party, sending.channel, sending.template, dict(sending.values))
    if (known.party, known.channel, known.template, dict(known.values)) != wanted:
        raise ActHasAnotherMessage(act=sending.act, message=known.id)
    return known


def _address(unit: UnitOfWork, keyring: Keyring, sending: Sending) -> str:
    field = _ADDRESSES.get(sending.channel)
    if field is None:
        return f"party:{sending.party}"
    found = personal.disclose(unit, keyring, personal.Reading(sending.party, (field,), PURPOSE))
    if field not in found:
        raise AddressIsMissing(party=sending.party, channel=sending.channel)
    return found[field]


def _believable(message: Message, answer: GatewayAnswer) -> GatewayAnswer:
    request = str(message.id)
    if answer.request != request:
        return GatewayAnswer(request, Told.UNKNOWN, "answer_to_another_request")
    reason = answer.reason if _REASON.fullmatch(answer.reason) else "reason_unreadable"
    reference = answer.reference if _REFERENCE.fullmatch(answer.reference) else ""
    return GatewayAnswer(request, answer.told, reason, reference)


def _subject(message: UUID) -> str:
    return f"message:{message}"
