"""Table of cases: one row each, changed at the version that was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.cases.model.case import (
    Case,
    CaseState,
    Claim,
    Closing,
    EventRef,
    Proposal,
)
from steelyard.cases.model.kind import Priority
from steelyard.cases.model.refusals import CaseIsUnknown
from steelyard.cases.model.sla import Colour, Marks

RANK = "CASE WHEN red_at <= :now THEN 2 WHEN amber_at <= :now THEN 1 ELSE 0 END"
"""How red a case is at an instant; `Colour.rank` in SQL."""

# Class by class, in order: the first that has a case ends the search. One sort over all of them
# would read and sort the whole queue, because rows are locked above the sort.
_CLASSES = ", ".join(
    f"({priority}, {rank})" for priority in sorted(Priority, reverse=True) for rank in (2, 1, 0)
)
_FIXED = (
    "id, kind, subject, dedup_key, opened_at, opened_by, event_kind, event_id, kept_from, version"
)
_CHANGING = (
    "state",
    "priority",
    "skill",
    "amber_at",
    "red_at",
    "due_at",
    "colour",
    "next_mark_at",
    "breached_at",
    "signals",
    "signalled_at",
    "group_name",
    "claimed_by",
    "claimed_at",
    "claimed_until_wall_at",
    "proposed_outcome",
    "proposed_by",
    "approval",
    "outcome",
    "closed_by",
    "closed_at",
    "approved_by",
    "reopened",
)


def insert(connection: sa.Connection, case: Case) -> bool:
    """Insert a case unless one of its kind and key is open; return whether it was inserted."""
    values = _values(case)
    names = f"{_FIXED}, {', '.join(_CHANGING)}"
    marks = ", ".join(f":{name}" for name in names.split(", "))
    done = connection.execute(
        sa.text(
            f"INSERT INTO cases.case_file ({names}) VALUES ({marks})"
            " ON CONFLICT (kind, dedup_key) WHERE state <> 'closed' DO NOTHING"
        ),
        values,
    )
    return done.rowcount == 1


def read(connection: sa.Connection, case: UUID) -> Case:
    """Return a case.

    Refusals
    --------
    case_is_unknown
    """
    return _one(connection, case, "")


def lock(connection: sa.Connection, case: UUID) -> Case:
    """Return a case, its row held.

    Refusals
    --------
    case_is_unknown
    """
    return _one(connection, case, "FOR UPDATE")


def lock_open(connection: sa.Connection, kind: str, dedup_key: str) -> Case | None:
    """Return the case of a matter that is not closed, its row held; None where there is none."""
    row = connection.execute(
        sa.text(
            "SELECT * FROM cases.case_file WHERE kind = :kind AND dedup_key = :key"
            " AND state <> 'closed' FOR UPDATE"
        ),
        {"kind": kind, "key": dedup_key},
    ).one_or_none()
    return None if row is None else case_of(row)


def change(connection: sa.Connection, before: Case, after: Case) -> None:
    """Bring a case from one state to the next, at the version that was read."""
    assignments = ", ".join(f"{name} = :{name}" for name in _CHANGING)
    done = connection.execute(
        sa.text(
            f"UPDATE cases.case_file SET {assignments}, version = version + 1"
            " WHERE id = :id AND state = :before AND version = :at_version"
        ),
        {**_values(after), "before": before.state, "at_version": before.version},
    )
    assert done.rowcount == 1, "the row is held"


def take_next(
    connection: sa.Connection,
    *,
    actor: str,
    held: Sequence[str],
    kinds: Sequence[str] | None,
    now: datetime,
    wall_at: datetime,
) -> Case | None:
    """Return the case that comes first for somebody, its row held; None when there is none.

    Cases that another transaction holds are passed over: two people at once get two cases.
    """
    row = connection.execute(
        sa.text(
            f"SELECT c.* FROM (VALUES {_CLASSES}) AS class (priority, rank) CROSS JOIN LATERAL ("
            "SELECT * FROM cases.case_file f WHERE state IN ('open', 'claimed')"
            f" AND f.priority = class.priority AND {RANK} = class.rank"
            " AND (state = 'open' OR claimed_until_wall_at <= :wall_at)"
            " AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY (:kinds))"
            " AND (skill = ANY (:held) OR split_part(skill, '.', 1) || '.*' = ANY (:held)"
            " OR '*' = ANY (:held)) AND NOT :actor = ANY (kept_from)"
            " ORDER BY opened_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) c LIMIT 1"
        ),
        {
            "actor": actor,
            "held": list(held),
            "kinds": None if kinds is None else list(kinds),
            "now": now,
            "wall_at": wall_at,
        },
    ).one_or_none()
    return None if row is None else case_of(row)


def lapsed(connection: sa.Connection, wall_at: datetime, *, limit: int) -> list[Case]:
    """Return cases whose claim has expired, rows held, those that others hold left out."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM cases.case_file WHERE state = 'claimed'"
            " AND claimed_until_wall_at <= :wall_at ORDER BY claimed_until_wall_at, id"
            " LIMIT :limit FOR UPDATE SKIP LOCKED"
        ),
        {"wall_at": wall_at, "limit": limit},
    )
    return [case_of(row) for row in rows]


def to_turn(connection: sa.Connection, now: datetime, *, limit: int) -> list[Case]:
    """Return cases that passed a mark of their service level, rows held, as `lapsed` does."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM cases.case_file WHERE next_mark_at <= :now"
            " ORDER BY next_mark_at, id LIMIT :limit FOR UPDATE SKIP LOCKED"
        ),
        {"now": now, "limit": limit},
    )
    return [case_of(row) for row in rows]


def change_marks(connection: sa.Connection, cases: Sequence[Case]) -> None:
    """Write colour and breach of cases whose rows are held, in one statement."""
    connection.execute(
        sa.text(
            "UPDATE cases.case_file c SET colour = n.colour, breached_at = n.breached_at,"
            " next_mark_at = n.next_mark_at, version = c.version + 1"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:colours AS text[]),"
            " CAST(:breached AS timestamptz[]), CAST(:next AS timestamptz[]))"
            " AS n (id, colour, breached_at, next_mark_at) WHERE c.id = n.id"
        ),
        {
            "ids": [case.id for case in cases],
            "colours": [case.colour.value for case in cases],
            "breached": [case.breached_at for case in cases],
            "next": [case.next_mark_at for case in cases],
        },
    )


def _one(connection: sa.Connection, case: UUID, lock_clause: str) -> Case:
    row = connection.execute(
        sa.text(f"SELECT * FROM cases.case_file WHERE id = :id {lock_clause}"), {"id": case}
    ).one_or_none()
    if row is None:
        raise CaseIsUnknown(case=case)
    return case_of(row)


def _values(case: Case) -> dict[str, Any]:
    claim, proposal, closing, event = case.claim, case.proposal, case.closing, case.event
    return {
        "id": case.id,
        "kind": case.kind,
        "subject": case.subject,
        "dedup_key": case.dedup_key,
        "state": case.state.value,
        "version": case.version,
        "priority": int(case.priority),
        "skill": case.skill,
        "amber_at": case.marks.amber_at,
        "red_at": case.marks.red_at,
        "due_at": case.marks.due_at,
        "colour": case.colour.value,
        "next_mark_at": case.next_mark_at,
        "breached_at": case.breached_at,
        "opened_at": case.opened_at,
        "opened_by": case.opened_by,
        "signals": case.signals,
        "signalled_at": case.signalled_at,
        "group_name": case.group,
        "event_kind": event and event.kind,
        "event_id": event and event.id,
        "kept_from": list(case.kept_from),
        "claimed_by": claim and claim.by,
        "claimed_at": claim and claim.at,
        "claimed_until_wall_at": claim and claim.until_wall_at,
        "proposed_outcome": proposal and proposal.outcome,
        "proposed_by": proposal and proposal.by,
        "approval": proposal and proposal.approval,
        "outcome": closing and closing.outcome,
        "closed_by": closing and closing.by,
        "closed_at": closing and closing.at,
        "approved_by": closing and closing.approved_by,
        "reopened": case.reopened,
    }


def case_of(row: sa.Row[Any]) -> Case:
    """Return the case of a row."""
    claim = proposal = closing = event = None
    if row.event_kind is not None:
        event = EventRef(row.event_kind, row.event_id)
    if row.claimed_by is not None:
        claim = Claim(row.claimed_by, _utc(row.claimed_at), _utc(row.claimed_until_wall_at))
    if row.approval is not None:
        proposal = Proposal(row.proposed_outcome, row.proposed_by, row.approval)
    if row.closed_at is not None:
        closing = Closing(row.outcome, row.closed_by, _utc(row.closed_at), row.approved_by)
    return Case(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        dedup_key=row.dedup_key,
        state=CaseState(row.state),
        version=row.version,
        priority=Priority(row.priority),
        skill=row.skill,
        marks=Marks(_utc(row.amber_at), _utc(row.red_at), _utc(row.due_at)),
        colour=Colour(row.colour),
        opened_at=_utc(row.opened_at),
        opened_by=row.opened_by,
        signals=row.signals,
        signalled_at=row.signalled_at and _utc(row.signalled_at),
        group=row.group_name,
        breached_at=row.breached_at and _utc(row.breached_at),
        event=event,
        kept_from=tuple(row.kept_from),
        claim=claim,
        proposal=proposal,
        closing=closing,
        reopened=row.reopened,
    )


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
