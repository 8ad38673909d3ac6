"""What an operator does with consumers: look, replay, settle dead letters, retire."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.events.model.consumption import ConsumerState, DeadLetter, LetterState
from steelyard.events.model.log import sequence_in
from steelyard.events.model.refusals import (
    ConsumerIsRunning,
    ConsumerNotFound,
    DeadLetterIsSettled,
    DeadLetterNotFound,
)
from steelyard.events.store import consumers as rows
from steelyard.events.store import letters, log
from steelyard.kernel import Page, encode_cursor

UNSETTLED = (LetterState.OPEN, LetterState.REPLAYING)


class Settlement(StrEnum):
    """What shall become of a dead letter."""

    REPLAY = "replay"
    """The process that runs the consumer tries it again."""
    DISCARD = "discard"
    """The consumer does without it."""


def begin_epoch(connection: sa.Connection, *, because: str) -> int:
    """Begin a new epoch, as the owner role, in the connection's transaction; return its number.

    For whoever restores a database: transaction ids of another server begin anew, so positions
    are told apart by epoch. A log that was restored without it finds out by itself, at its first
    write and when a runner starts, because the server's identity, its timeline or a position
    that lies in the future gives it away.
    """
    return log.begin_epoch(connection, because)


def consumer_states(connection: sa.Connection) -> list[ConsumerState]:
    """Return every consumer that ever ran on this database, and how far it is."""
    return rows.states(connection)


def lag_seconds(database: Database) -> Mapping[str, float]:
    """Return `name@version` of each consumer to the real age of the oldest fact it lacks.

    Fits `watch_gauge("steelyard_consumer_lag_seconds", ..., label="consumer", read=...)`.
    """
    with database.reading() as connection:
        return {f"{s.name}@{s.version}": s.seconds_behind for s in rows.states(connection)}


def replay(unit: UnitOfWork, name: str, version: int, *, from_sequence: int = 1) -> None:
    """Have the consumer set back, so that it is given facts again.

    The process that runs it sets it back before its next batch; from the beginning (sequence 1) it
    forgets first, if it declares how. How far it is shows in `consumer_states`.

    Refusals
    --------
    consumer_not_found
    """
    assert from_sequence > 0, "sequence numbers begin at 1"
    if not rows.ask_replay(unit.connection, name, version, from_sequence):
        raise ConsumerNotFound(name=name, version=version)
    audit(
        unit,
        action="events.replay_asked",
        subject=f"consumer:{name}",
        detail={"version": version, "from_sequence": from_sequence},
    )
    log.wake(unit.connection)


def retire(unit: UnitOfWork, name: str, version: int) -> None:
    """Remove a consumer that no release runs any more; its dead letters stay.

    Refusals
    --------
    consumer_not_found, consumer_is_running
    """
    if rows.is_leased(unit.connection, name, version):
        raise ConsumerIsRunning(name=name, version=version)
    if not rows.remove(unit.connection, name, version):
        raise ConsumerNotFound(name=name, version=version)
    audit(
        unit,
        action="events.consumer_retired",
        subject=f"consumer:{name}",
        detail={"version": version},
    )


def dead_letters(
    connection: sa.Connection,
    *,
    consumer: str | None = None,
    states: tuple[LetterState, ...] = UNSETTLED,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[DeadLetter]:
    """Return dead letters, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before = None if cursor is None else sequence_in(cursor)
    found = letters.read_letters(
        connection, consumer=consumer, states=states, before=before, limit=limit + 1
    )
    more = len(found) > limit
    return Page(tuple(found[:limit]), encode_cursor(found[limit - 1].id) if more else None)


def settle_letter(
    unit: UnitOfWork, letter: int, settlement: Settlement, *, because: str
) -> DeadLetter:
    """Say what shall become of a dead letter; a consumer that stopped at it goes on after.

    Returns
    -------
    DeadLetter
        As it is now: discarded, or on its way (`replaying`). A replay that fails opens it again.

    Refusals
    --------
    dead_letter_not_found, dead_letter_is_settled
    """
    found = letters.read_one(unit.connection, letter)
    if found is None:
        raise DeadLetterNotFound(letter=letter)
    # The consumer's row before the letter's, as delivery does.
    rows.lock_row(unit.connection, found.consumer, found.consumer_version)
    now = letters.lock_letter(unit.connection, letter)
    if now.state is not LetterState.OPEN:
        raise DeadLetterIsSettled(letter=letter, state=now.state)
    if settlement is Settlement.REPLAY:
        letters.ask(unit.connection, letter, by=unit.actor, because=because)
    else:
        letters.settle(unit.connection, now, LetterState.DISCARDED, by=unit.actor, because=because)
    audit(
        unit,
        action=f"events.letter_{settlement}_asked",
        subject=f"consumer:{now.consumer}",
        detail={"letter": letter, "sequence": now.sequence, "because": because},
    )
    log.wake(unit.connection)
    return letters.lock_letter(unit.connection, letter)
