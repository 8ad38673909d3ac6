"""Tables of inquiries to a bureau and of the evidence about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.credit.model.bureau import (
    BureauAnswer,
    BureauEvidence,
    Found,
    Inquiry,
    InquiryIsUnknown,
    InquiryState,
    Report,
    Source,
    Why,
)

_NAMES = (
    "id",
    "party",
    "bureau",
    "why",
    "person",
    "consent_version",
    "consent_hash",
    "consent_at",
    "state",
    "version",
    "started_at",
    "started_wall_at",
    "actor",
)


def insert(connection: sa.Connection, inquiry: Inquiry) -> None:
    """Insert an inquiry."""
    marks = ", ".join(f":{name}" for name in _NAMES)
    connection.execute(
        sa.text(
            f"INSERT INTO credit.bureau_inquiry ({', '.join(_NAMES)}, asked_wall_at)"
            f" VALUES ({marks}, :started_wall_at)"
        ),
        {name: getattr(inquiry, name) for name in _NAMES},
    )


def find(connection: sa.Connection, inquiry: UUID) -> Inquiry | None:
    """Return an inquiry, None where there is none."""
    row = connection.execute(
        sa.text("SELECT * FROM credit.bureau_inquiry WHERE id = :id"), {"id": inquiry}
    ).one_or_none()
    return None if row is None else _inquiry(row)


def lock(connection: sa.Connection, inquiry: UUID) -> Inquiry:
    """Return an inquiry, its row held.

    Refusals
    --------
    inquiry_is_unknown
    """
    row = connection.execute(
        sa.text("SELECT * FROM credit.bureau_inquiry WHERE id = :id FOR UPDATE"), {"id": inquiry}
    ).one_or_none()
    if row is None:
        raise InquiryIsUnknown(inquiry=inquiry)
    return _inquiry(row)


def of_party(connection: sa.Connection, party: UUID, *, limit: int = 50) -> list[Inquiry]:
    """Return the inquiries about a party, newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM credit.bureau_inquiry WHERE party = :party"
            " ORDER BY started_at DESC, id DESC LIMIT :limit"
        ),
        {"party": party, "limit": limit},
    )
    return [_inquiry(row) for row in rows]


def under_way(connection: sa.Connection, party: UUID, bureau: str) -> Inquiry | None:
    """Return the inquiry about a party that waits for evidence."""
    row = connection.execute(
        sa.text(
            "SELECT * FROM credit.bureau_inquiry WHERE party = :party AND bureau = :bureau"
            " AND state IN ('intended', 'unknown')"
        ),
        {"party": party, "bureau": bureau},
    ).one_or_none()
    return None if row is None else _inquiry(row)


def hold_party(connection: sa.Connection, party: UUID) -> None:
    """Let one inquiry about a party be begun at a time."""
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('credit.bureau:' || :party, 0))"),
        {"party": str(party)},
    )


def take_unsettled(
    connection: sa.Connection, *, bureau: str, before: datetime, at: datetime, limit: int
) -> list[UUID]:
    """Return inquiries to ask about, those not asked about for longest first; note that we ask."""
    rows = connection.execute(
        sa.text(
            "UPDATE credit.bureau_inquiry SET asked_wall_at = :at WHERE id IN ("
            "SELECT id FROM credit.bureau_inquiry WHERE state IN ('intended', 'unknown')"
            " AND bureau = :bureau AND asked_wall_at < :before ORDER BY asked_wall_at"
            " LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING id"
        ),
        {"bureau": bureau, "before": before, "at": at, "limit": limit},
    )
    return [row.id for row in rows]


def add_evidence(
    connection: sa.Connection,
    inquiry: UUID,
    answer: BureauAnswer,
    *,
    source: Source,
    at: datetime,
) -> bool:
    """Add an answer unless the same came before; return whether it was added."""
    known = evidence(connection, inquiry)
    said = (answer.found, answer.reason, answer.reference, answer.report)
    if any((e.found, e.reason, e.reference, e.report) == said for e in known):
        return False
    connection.execute(
        sa.text(
            "INSERT INTO credit.bureau_evidence"
            " (inquiry, sequence, source, found, reason, reference, report, recorded_at)"
            " VALUES (:inquiry, :sequence, :source, :found, :reason, :reference, :report, :at)"
        ).bindparams(sa.bindparam("report", type_=sa.JSON(none_as_null=True))),
        {
            "inquiry": inquiry,
            "sequence": len(known) + 1,
            "source": source,
            "found": answer.found,
            "reason": answer.reason,
            "reference": answer.reference,
            "report": None if answer.report is None else _to_json(answer.report),
            "at": at,
        },
    )
    return True


def evidence(connection: sa.Connection, inquiry: UUID) -> list[BureauEvidence]:
    """Return the evidence about an inquiry, in order of arrival."""
    return evidence_of_many(connection, [inquiry]).get(inquiry, [])


def evidence_of_many(
    connection: sa.Connection, inquiries: Sequence[UUID]
) -> dict[UUID, list[BureauEvidence]]:
    """Return the evidence about some inquiries, each in order of arrival."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM credit.bureau_evidence WHERE inquiry = ANY(:ids)"
            " ORDER BY inquiry, sequence"
        ),
        {"ids": list(inquiries)},
    )
    found: dict[UUID, list[BureauEvidence]] = {}
    for row in rows:
        found.setdefault(row.inquiry, []).append(
            BureauEvidence(
                inquiry=row.inquiry,
                sequence=row.sequence,
                source=Source(row.source),
                found=Found(row.found),
                reason=row.reason,
                reference=row.reference,
                report=None if row.report is None else _report(row.report),
                recorded_at=row.recorded_at.astimezone(UTC),
            )
        )
    return found


def set_state(connection: sa.Connection, present: Inquiry, state: InquiryState) -> None:
    """Bring an inquiry whose row is held to a state."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.bureau_inquiry SET state = :state, version = version + 1"
            " WHERE id = :id AND version = :version"
        ),
        {"id": present.id, "state": state, "version": present.version},
    )
    assert done.rowcount == 1, "the row is held"


def _inquiry(row: sa.Row[Any]) -> Inquiry:
    return Inquiry(
        id=row.id,
        party=row.party,
        bureau=row.bureau,
        why=Why(row.why),
        person=bytes(row.person),
        consent_version=row.consent_version,
        consent_hash=bytes(row.consent_hash),
        consent_at=row.consent_at.astimezone(UTC),
        state=InquiryState(row.state),
        version=row.version,
        started_at=row.started_at.astimezone(UTC),
        started_wall_at=row.started_wall_at.astimezone(UTC),
        actor=row.actor,
    )


def _to_json(report: Report) -> dict[str, object]:
    return {**asdict(report), "made_on": report.made_on.isoformat()}


def _report(content: dict[str, Any]) -> Report:
    return Report(**{**content, "made_on": date.fromisoformat(content["made_on"])})
