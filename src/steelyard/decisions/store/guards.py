"""Tables of what is left out: stopped rules, snoozes, kill switches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.decisions.model.budget import KillSwitch


@dataclass(frozen=True, slots=True)
class StoppedRule:
    """A rule that takes no effect, and who stopped it why.

    Attributes
    ----------
    cursor : number of the last decision that it was observed in
    seen, hits : decisions since it was stopped, and those it would have helped to turn down
    """

    scene: str
    rule: str
    reason: str
    stopped_by: str
    stopped_at: datetime
    cursor: int
    seen: int = 0
    hits: int = 0


@dataclass(frozen=True, slots=True)
class SnoozedRule:
    """A rule that is left out for a subject until an instant, or until somebody ends it."""

    id: UUID
    scene: str
    rule: str
    subject: str
    until_at: datetime
    reason: str
    snoozed_by: str
    snoozed_at: datetime


def insert_stopped(connection: sa.Connection, stopped: StoppedRule) -> bool:
    """Stop a rule; False if it is stopped."""
    done = connection.execute(
        sa.text(
            "INSERT INTO decisions.stopped_rule (scene, rule, reason, stopped_by, stopped_at,"
            " cursor) VALUES (:scene, :rule, :reason, :by, :at, :cursor) ON CONFLICT DO NOTHING"
        ),
        {
            "scene": stopped.scene,
            "rule": stopped.rule,
            "reason": stopped.reason,
            "by": stopped.stopped_by,
            "at": stopped.stopped_at,
            "cursor": stopped.cursor,
        },
    )
    return done.rowcount == 1


def take_stopped(connection: sa.Connection, scene: str, rule: str) -> StoppedRule | None:
    """Let a rule go on, and return how it was stopped; None if it is not."""
    row = connection.execute(
        sa.text(
            "DELETE FROM decisions.stopped_rule WHERE scene = :scene AND rule = :rule RETURNING *"
        ),
        {"scene": scene, "rule": rule},
    ).one_or_none()
    return None if row is None else _stopped(row)


def stopped_rules(connection: sa.Connection) -> list[StoppedRule]:
    """Return every stopped rule."""
    rows = connection.execute(sa.text("SELECT * FROM decisions.stopped_rule ORDER BY scene, rule"))
    return [_stopped(row) for row in rows]


def observe_stopped(
    connection: sa.Connection, before: StoppedRule, *, cursor: int, seen: int, hits: int
) -> None:
    """Add what a stopped rule was observed to do, up to a decision."""
    connection.execute(
        sa.text(
            "UPDATE decisions.stopped_rule SET cursor = :cursor, seen = seen + :seen,"
            " hits = hits + :hits WHERE scene = :scene AND rule = :rule AND cursor = :before"
        ),
        {
            "scene": before.scene,
            "rule": before.rule,
            "before": before.cursor,
            "cursor": cursor,
            "seen": seen,
            "hits": hits,
        },
    )


def insert_snooze(connection: sa.Connection, snooze: SnoozedRule) -> bool:
    """Snooze a rule for a subject; False if it is snoozed for him."""
    done = connection.execute(
        sa.text(
            "INSERT INTO decisions.snooze (id, scene, rule, subject, until_at, reason, snoozed_by,"
            " snoozed_at) VALUES (:id, :scene, :rule, :subject, :until, :reason, :by, :at)"
            " ON CONFLICT (scene, subject, rule) WHERE ended_at IS NULL DO NOTHING"
        ),
        {
            "id": snooze.id,
            "scene": snooze.scene,
            "rule": snooze.rule,
            "subject": snooze.subject,
            "until": snooze.until_at,
            "reason": snooze.reason,
            "by": snooze.snoozed_by,
            "at": snooze.snoozed_at,
        },
    )
    return done.rowcount == 1


def end_snooze(
    connection: sa.Connection, id: UUID, *, by: str, now: datetime
) -> SnoozedRule | None:
    """End a running snooze, and return it; None if none runs."""
    row = connection.execute(
        sa.text(
            "UPDATE decisions.snooze SET ended_by = :by, ended_at = :now"
            " WHERE id = :id AND ended_at IS NULL AND until_at > :now RETURNING *"
        ),
        {"id": id, "by": by, "now": now},
    ).one_or_none()
    return None if row is None else _snooze(row)


def end_overdue(connection: sa.Connection, *, by: str, now: datetime, limit: int) -> int:
    """Close snoozes whose time is over; they take no effect from the instant itself."""
    done = connection.execute(
        sa.text(
            "UPDATE decisions.snooze SET ended_by = :by, ended_at = until_at WHERE id IN"
            " (SELECT id FROM decisions.snooze WHERE ended_at IS NULL AND until_at <= :now LIMIT :n"
            " FOR UPDATE SKIP LOCKED)"
        ),
        {"by": by, "now": now, "n": limit},
    )
    return done.rowcount


def running_snoozes(connection: sa.Connection) -> list[SnoozedRule]:
    """Return every snooze that was not ended; some may be over."""
    rows = connection.execute(
        sa.text("SELECT * FROM decisions.snooze WHERE ended_at IS NULL ORDER BY until_at, id")
    )
    return [_snooze(row) for row in rows]


def lock_switch(connection: sa.Connection, subject: str) -> KillSwitch:
    """Return the switch of a subject, held until the transaction ends; it is made if need be."""
    connection.execute(
        sa.text(
            "INSERT INTO decisions.kill_switch (subject, reason, version) VALUES (:subject, '', 1)"
            " ON CONFLICT DO NOTHING"
        ),
        {"subject": subject},
    )
    row = connection.execute(
        sa.text("SELECT * FROM decisions.kill_switch WHERE subject = :subject FOR UPDATE"),
        {"subject": subject},
    ).one()
    return _switch(row)


def put_switch(connection: sa.Connection, switch: KillSwitch) -> None:
    """Write a switch that is held."""
    connection.execute(
        sa.text(
            "UPDATE decisions.kill_switch SET thrown_by = :by, thrown_at = :at, until_at = :until,"
            " reason = :reason, version = :version WHERE subject = :subject"
        ),
        {
            "subject": switch.subject,
            "by": switch.thrown_by,
            "at": switch.thrown_at,
            "until": switch.until_at,
            "reason": switch.reason,
            "version": switch.version,
        },
    )


def thrown_switches(connection: sa.Connection) -> list[KillSwitch]:
    """Return the switches that were thrown and not lifted; some may be over."""
    rows = connection.execute(
        sa.text("SELECT * FROM decisions.kill_switch WHERE thrown_by IS NOT NULL ORDER BY subject")
    )
    return [_switch(row) for row in rows]


def _stopped(row: sa.Row[Any]) -> StoppedRule:
    return StoppedRule(
        row.scene,
        row.rule,
        row.reason,
        row.stopped_by,
        row.stopped_at.astimezone(UTC),
        row.cursor,
        row.seen,
        row.hits,
    )


def _snooze(row: sa.Row[Any]) -> SnoozedRule:
    return SnoozedRule(
        row.id,
        row.scene,
        row.rule,
        row.subject,
        row.until_at.astimezone(UTC),
        row.reason,
        row.snoozed_by,
        row.snoozed_at.astimezone(UTC),
    )


def _switch(row: sa.Row[Any]) -> KillSwitch:
    return KillSwitch(
        row.subject,
        row.thrown_by,
        None if row.thrown_at is None else row.thrown_at.astimezone(UTC),
        None if row.until_at is None else row.until_at.astimezone(UTC),
        row.reason,
        row.version,
    )
