"""Tables of messages and of their receipts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.credit.model.message import (
    Channel,
    GatewayAnswer,
    Message,
    MessageIsUnknown,
    MessageState,
    Told,
)

_NAMES = (
    "id",
    "act",
    "party",
    "channel",
    "template",
    "template_version",
    "language",
    "gateway",
    "state",
    "version",
    "started_at",
    "started_wall_at",
    "actor",
)


def insert(connection: sa.Connection, message: Message) -> bool:
    """Insert a message unless its act has one; return whether it was inserted."""
    marks = ", ".join(f":{name}" for name in _NAMES)
    done = connection.execute(
        sa.text(
            f"INSERT INTO credit.message ({', '.join(_NAMES)}, content, asked_wall_at)"
            f" VALUES ({marks}, :content, :started_wall_at) ON CONFLICT (act) DO NOTHING"
        ).bindparams(sa.bindparam("content", type_=sa.JSON)),
        {**{n: getattr(message, n) for n in _NAMES}, "content": dict(message.values)},
    )
    return done.rowcount == 1


def find_act(connection: sa.Connection, act: str) -> Message | None:
    """Return the message of an act."""
    row = connection.execute(
        sa.text("SELECT * FROM credit.message WHERE act = :act"), {"act": act}
    ).one_or_none()
    return None if row is None else _message(row)


def read(connection: sa.Connection, message: UUID, *, held: str = "") -> Message:
    """Return a message.

    Refusals
    --------
    message_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT * FROM credit.message WHERE id = :id {held}"), {"id": message}
    ).one_or_none()
    if row is None:
        raise MessageIsUnknown(message=message)
    return _message(row)


def lock(connection: sa.Connection, message: UUID) -> Message:
    """Return a message, its row held.

    Refusals
    --------
    message_is_unknown
    """
    return read(connection, message, held="FOR UPDATE")


def of_party(connection: sa.Connection, party: UUID, *, limit: int = 50) -> list[Message]:
    """Return the messages to a party, newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM credit.message WHERE party = :party"
            " ORDER BY started_at DESC, id DESC LIMIT :limit"
        ),
        {"party": party, "limit": limit},
    )
    return [_message(row) for row in rows]


def states_of(connection: sa.Connection, acts: Sequence[str]) -> dict[str, MessageState]:
    """Return the states of the messages of some acts."""
    rows = connection.execute(
        sa.text("SELECT act, state FROM credit.message WHERE act = ANY(:acts)"),
        {"acts": list(acts)},
    )
    return {row.act: MessageState(row.state) for row in rows}


def take_open(
    connection: sa.Connection, *, gateway: str, before: datetime, at: datetime, limit: int
) -> list[UUID]:
    """Return messages to ask about, those not asked about for longest first; note that we ask."""
    rows = connection.execute(
        sa.text(
            "UPDATE credit.message SET asked_wall_at = :at WHERE id IN ("
            "SELECT id FROM credit.message WHERE state IN ('intended', 'accepted', 'unknown')"
            " AND gateway = :gateway AND asked_wall_at < :before ORDER BY asked_wall_at"
            " LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING id"
        ),
        {"gateway": gateway, "before": before, "at": at, "limit": limit},
    )
    return [row.id for row in rows]


def add_receipt(
    connection: sa.Connection, message: UUID, answer: GatewayAnswer, *, source: str, at: datetime
) -> bool:
    """Add a receipt unless the same came before; return whether it was added."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.message_receipt"
            " (message, sequence, source, told, reason, reference, recorded_at)"
            " SELECT :message, 1 + count(*), :source, :told, :reason, :reference, :at"
            " FROM credit.message_receipt WHERE message = :message HAVING count(*) FILTER ("
            "WHERE told = :told AND reason = :reason AND reference = :reference) = 0"
        ),
        {
            "message": message,
            "source": source,
            "told": answer.told,
            "reason": answer.reason,
            "reference": answer.reference,
            "at": at,
        },
    )
    return done.rowcount == 1


def told(connection: sa.Connection, message: UUID) -> list[tuple[Told, str]]:
    """Return what the receipts of a message say, with their reasons, in order of arrival."""
    rows = connection.execute(
        sa.text(
            "SELECT told, reason FROM credit.message_receipt WHERE message = :id ORDER BY sequence"
        ),
        {"id": message},
    )
    return [(Told(row.told), row.reason) for row in rows]


def set_state(connection: sa.Connection, present: Message, state: MessageState) -> None:
    """Bring a message whose row is held to a state."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.message SET state = :state, version = version + 1"
            " WHERE id = :id AND version = :version"
        ),
        {"id": present.id, "state": state, "version": present.version},
    )
    assert done.rowcount == 1, "the row is held"


def _message(row: sa.Row[Any]) -> Message:
    return Message(
        id=row.id,
        act=row.act,
        party=row.party,
        channel=Channel(row.channel),
        template=row.template,
        template_version=row.template_version,
        values=MappingProxyType(dict(row.content)),
        language=row.language,
        gateway=row.gateway,
        state=MessageState(row.state),
        version=row.version,
        started_at=row.started_at.astimezone(UTC),
        started_wall_at=row.started_wall_at.astimezone(UTC),
        actor=row.actor,
    )
