"""The audit trail: who did what to whom, in one hash chain that shows if a line was changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from steelyard.base.database import UnitOfWork
from steelyard.kernel import Page, decode_cursor, encode_cursor

_GENESIS = hashlib.sha256(b"steelyard audit").digest()
_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the trail.

    Attributes
    ----------
    at : business instant; wall_at : real instant
    action : `room.verb`; subject : `noun:id`
    detail : JSON text, without personal data
    """

    sequence: int
    at: datetime
    wall_at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    hash: bytes

    def chained(self, previous: bytes) -> bytes:
        """Return the hash of this line behind a previous hash."""
        line = [
            self.sequence,
            _instant(self.at),
            _instant(self.wall_at),
            self.actor,
            self.action,
            self.subject,
            self.detail,
        ]
        return hashlib.sha256(previous + msgspec.json.encode(line)).digest()


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification of the trail found.

    Attributes
    ----------
    entries : lines read; head : hash of the last one
    first_bad : sequence of the first line that does not fit the chain, None when all do
    """

    entries: int
    head: bytes
    first_bad: int | None

    @property
    def holds(self) -> bool:
        """Whether every line fits."""
        return self.first_bad is None


def audit(
    unit: UnitOfWork, *, action: str, subject: str, detail: Mapping[str, object] | None = None
) -> None:
    """Enter a line into the trail when the unit commits.

    Parameters
    ----------
    action : `room.verb`, past or present, e.g. `parties.unmask`
    subject : `noun:id` of what it was done to
    detail : what is worth knowing later, without personal data and secrets
    """
    text = msgspec.json.encode(dict(detail or {}), order="sorted").decode()
    entry = AuditEntry(0, unit.now, unit.wall_at, unit.actor, action, subject, text, b"")
    unit.at_commit("audit", entry, _append)


def _append(unit: UnitOfWork, entries: list[AuditEntry]) -> None:
    """Write the unit's lines behind the head; the head's lock is held for the commit alone."""
    head = unit.execute("SELECT sequence, hash FROM base.audit_head FOR UPDATE").one()
    sequence, previous = head.sequence, bytes(head.hash)
    written: list[AuditEntry] = []
    for entry in entries:
        sequence += 1
        numbered = replace(entry, sequence=sequence)
        previous = numbered.chained(previous)
        written.append(replace(numbered, hash=previous))
    unit.execute(
        "INSERT INTO base.audit (sequence, at, wall_at, actor, action, subject, detail, hash)"
        " SELECT * FROM unnest(CAST(:sequences AS bigint[]), CAST(:ats AS timestamptz[]),"
        " CAST(:walls AS timestamptz[]), CAST(:actors AS text[]), CAST(:actions AS text[]),"
        " CAST(:subjects AS text[]), CAST(:details AS text[]), CAST(:hashes AS bytea[]))",
        sequences=[e.sequence for e in written],
        ats=[e.at for e in written],
        walls=[e.wall_at for e in written],
        actors=[e.actor for e in written],
        actions=[e.action for e in written],
        subjects=[e.subject for e in written],
        details=[e.detail for e in written],
        hashes=[e.hash for e in written],
    )
    unit.execute("UPDATE base.audit_head SET sequence = :s, hash = :h", s=sequence, h=previous)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _entries(rows: Sequence[sa.Row[tuple[object, ...]]]) -> list[AuditEntry]:
    return [
        AuditEntry(
            r.sequence,
            r.at.astimezone(UTC),
            r.wall_at.astimezone(UTC),
            r.actor,
            r.action,
            r.subject,
            r.detail,
            bytes(r.hash),
        )
        for r in rows
    ]


def read_audit(
    connection: sa.Connection,
    *,
    subject: str | None = None,
    actor: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[AuditEntry]:
    """Return a page of the trail, newest first, of one subject or actor if given.

    Refusals
    --------
    cursor_is_invalid
    """
    before = decode_cursor(cursor, int)[0] if cursor else None
    rows = connection.execute(
        sa.text(
            "SELECT sequence, at, wall_at, actor, action, subject, detail, hash FROM base.audit"
            " WHERE (CAST(:subject AS text) IS NULL OR subject = :subject)"
            " AND (CAST(:actor AS text) IS NULL OR actor = :actor)"
            " AND (CAST(:before AS bigint) IS NULL OR sequence < :before)"
            " ORDER BY sequence DESC LIMIT :limit"
        ),
        {"subject": subject, "actor": actor, "before": before, "limit": limit + 1},
    ).all()
    entries = _entries(rows[:limit])
    more = encode_cursor(entries[-1].sequence) if len(rows) > limit else None
    return Page(tuple(entries), more)


def verify_audit(connection: sa.Connection) -> AuditReport:
    """Recompute the whole chain; name the first line that was changed, removed or put in."""
    previous, sequence = _GENESIS, 0
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT sequence, at, wall_at, actor, action, subject, detail, hash"
                " FROM base.audit WHERE sequence > :after ORDER BY sequence LIMIT :n"
            ),
            {"after": sequence, "n": _CHUNK},
        ).all()
        for entry in _entries(rows):
            previous_hash, previous = previous, entry.hash
            if entry.sequence != sequence + 1 or entry.chained(previous_hash) != entry.hash:
                return AuditReport(sequence, previous_hash, sequence + 1)
            sequence = entry.sequence
        if len(rows) < _CHUNK:
            break
    head = connection.execute(sa.text("SELECT sequence, hash FROM base.audit_head")).one()
    if head.sequence != sequence or bytes(head.hash) != previous:
        return AuditReport(sequence, previous, sequence + 1)
    return AuditReport(sequence, previous, None)
