"""Tables of identity attempts, their evidence, and claims on identity numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.identity import (
    Attempt,
    AttemptIsUnknown,
    AttemptState,
    Evidence,
    EvidenceSource,
    Finding,
    ProviderAnswer,
    Step,
)


def insert_attempt(connection: sa.Connection, attempt: Attempt) -> None:
    """Insert an intent."""
    connection.execute(
        sa.text(
            "INSERT INTO parties.identity_attempt (id, party, number, step, provider, about,"
            " answers, state, version, started_at, started_wall_at, asked_wall_at)"
            " VALUES (:id, :party, :number, :step, :provider, :about,"
            " :answers, :state, :version, :at, :wall_at, :wall_at)"
        ),
        {
            "id": attempt.id,
            "party": attempt.party,
            "number": attempt.number,
            "step": attempt.step,
            "provider": attempt.provider,
            "about": attempt.about,
            "answers": attempt.answers,
            "state": attempt.state,
            "version": attempt.version,
            "at": attempt.started_at,
            "wall_at": attempt.started_wall_at,
        },
    )


def attempts(connection: sa.Connection, party: UUID) -> list[Attempt]:
    """Return all attempts of a party, oldest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM parties.identity_attempt WHERE party = :party ORDER BY number"),
        {"party": party},
    )
    return [_attempt(row) for row in rows]


def read_attempt(connection: sa.Connection, attempt: UUID) -> Attempt:
    """Return an attempt.

    Refusals
    --------
    attempt_is_unknown
    """
    found = find_attempt(connection, attempt)
    if found is None:
        raise AttemptIsUnknown(attempt=attempt)
    return found


def find_attempt(connection: sa.Connection, attempt: UUID) -> Attempt | None:
    """Return an attempt, None if there is none of the id."""
    row = connection.execute(
        sa.text("SELECT * FROM parties.identity_attempt WHERE id = :id"), {"id": attempt}
    ).one_or_none()
    return None if row is None else _attempt(row)


def take_unsettled(
    connection: sa.Connection, *, provider: str, before: datetime, at: datetime, limit: int
) -> list[UUID]:
    """Take a provider's attempts without a finding that were last asked about before an instant.

    They are noted as asked about now: two processes do not take the same, and an attempt that
    stays unknown does not keep others from their turn. Instants are real.
    """
    rows = connection.execute(
        sa.text(
            "UPDATE parties.identity_attempt SET asked_wall_at = :at WHERE id IN ("
            " SELECT id FROM parties.identity_attempt WHERE state IN ('intended', 'unknown')"
            " AND provider = :provider AND asked_wall_at < :before"
            " ORDER BY asked_wall_at LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING id"
        ),
        {"provider": provider, "before": before, "at": at, "limit": limit},
    )
    return list(rows.scalars())


def disputed(connection: sa.Connection, *, limit: int) -> list[Attempt]:
    """Return the attempts with evidence for both, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.identity_attempt WHERE state = 'disputed'"
            " ORDER BY id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [_attempt(row) for row in rows]


def set_state(connection: sa.Connection, attempt: Attempt, state: AttemptState) -> None:
    """Settle an attempt that is at the version read; its party's row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE parties.identity_attempt SET state = :state, version = version + 1"
            " WHERE id = :id AND state = :present AND version = :seen"
        ),
        {
            "id": attempt.id,
            "state": state,
            "present": attempt.state,
            "seen": attempt.version,
        },
    )
    assert done.rowcount == 1, "the party's row is held"


def add_evidence(
    connection: sa.Connection,
    attempt: UUID,
    answer: ProviderAnswer,
    *,
    source: EvidenceSource,
    actor: str,
    at: datetime,
) -> bool:
    """Insert evidence; return whether it was new (an operator's ruling always is)."""
    done = connection.execute(
        sa.text(
            "INSERT INTO parties.identity_evidence"
            " (attempt, source, finding, reason, reference, actor, recorded_at)"
            " VALUES (:attempt, :source, :finding, :reason, :reference, :actor, :at)"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "attempt": attempt,
            "source": source,
            "finding": answer.finding,
            "reason": answer.reason,
            "reference": answer.reference,
            "actor": actor,
            "at": at,
        },
    )
    return done.rowcount == 1


def evidence(connection: sa.Connection, attempt: UUID) -> list[Evidence]:
    """Return the evidence of an attempt, in order of arrival."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM parties.identity_evidence WHERE attempt = :attempt ORDER BY sequence"
        ),
        {"attempt": attempt},
    )
    return [
        Evidence(
            row.attempt,
            row.sequence,
            EvidenceSource(row.source),
            Finding(row.finding),
            row.reason,
            row.reference,
            row.recorded_at.astimezone(UTC),
        )
        for row in rows
    ]


def claim(connection: sa.Connection, blind: bytes, party: UUID) -> bool:
    """Claim an identity number for a party; return whether it holds the number now.

    A number that it held before is given up.
    """
    connection.execute(
        sa.text("DELETE FROM parties.identity_claim WHERE party = :party AND blind <> :blind"),
        {"blind": blind, "party": party},
    )
    holder = connection.execute(
        sa.text(
            "INSERT INTO parties.identity_claim (blind, party) VALUES (:blind, :party)"
            " ON CONFLICT DO NOTHING RETURNING party"
        ),
        {"blind": blind, "party": party},
    ).scalar()
    return holder == party or claimant(connection, blind) == party


def claimant(connection: sa.Connection, blind: bytes) -> UUID | None:
    """Return the party that holds an identity number."""
    holder: UUID | None = connection.execute(
        sa.text("SELECT party FROM parties.identity_claim WHERE blind = :blind"), {"blind": blind}
    ).scalar()
    return holder


def release_claim(connection: sa.Connection, party: UUID) -> None:
    """Give up the identity number a party holds."""
    connection.execute(
        sa.text("DELETE FROM parties.identity_claim WHERE party = :party"), {"party": party}
    )


def _attempt(row: sa.Row[Any]) -> Attempt:
    return Attempt(
        id=row.id,
        party=row.party,
        number=row.number,
        step=Step(row.step),
        provider=row.provider,
        about=bytes(row.about),
        state=AttemptState(row.state),
        version=row.version,
        started_at=row.started_at.astimezone(UTC),
        started_wall_at=row.started_wall_at.astimezone(UTC),
        answers=row.answers,
    )
