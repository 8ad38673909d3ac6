"""Lists of cases, and what is counted over them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.cases.model.case import Case
from steelyard.cases.model.reading import (
    CaseFilter,
    ClosedOn,
    OpenCases,
    QueuePlace,
)
from steelyard.cases.model.sla import Colour
from steelyard.cases.store.case import RANK, case_of

_PERCENTILES = (0.5, 0.9, 0.99)


def list_newest(
    connection: sa.Connection,
    wanted: CaseFilter,
    *,
    now: datetime,
    before: UUID | None,
    limit: int,
) -> list[Case]:
    """Return cases, the newest first."""
    where, values = _where(wanted, now)
    if before is not None:
        where.append("id < :before")
        values["before"] = before
    return _select(connection, where, values, order="id DESC", limit=limit)


def list_queue(
    connection: sa.Connection,
    wanted: CaseFilter,
    *,
    now: datetime,
    after: QueuePlace | None,
    limit: int,
) -> list[Case]:
    """Return cases that are not closed, in the order in which they are worked."""
    where, values = _where(wanted, now)
    where.append("state <> 'closed'")
    if after is not None:
        where.append(
            f"(-priority, -({RANK}), opened_at, id)"
            " > (-CAST(:priority AS integer), -CAST(:rank AS integer), :opened_at, :after)"
        )
        values |= {
            "now": now,
            "priority": after.priority,
            "rank": after.rank,
            "opened_at": after.opened_at,
            "after": after.case,
        }
    order = f"priority DESC, {RANK} DESC, opened_at, id"
    return _select(connection, where, values | {"now": now}, order=order, limit=limit)


def _where(wanted: CaseFilter, now: datetime) -> tuple[list[str], dict[str, Any]]:
    where, values = ["true"], dict[str, Any]()
    if wanted.state is not None:
        where.append("state = :state")
        values["state"] = wanted.state.value
    if wanted.kind is not None:
        where.append("kind = :kind")
        values["kind"] = wanted.kind
    if wanted.group is not None:
        where.append("group_name = :group")
        values["group"] = wanted.group
    if wanted.assignee is not None:
        where.append("claimed_by = :assignee")
        values["assignee"] = wanted.assignee
    if wanted.colour is not None:
        where.append(f"state <> 'closed' AND {RANK} = :colour")
        values |= {"colour": wanted.colour.rank, "now": now}
    if wanted.subject is not None:
        where.append(
            "(subject = :subject OR id IN (SELECT case_id FROM cases.link WHERE target = :subject))"
        )
        values["subject"] = wanted.subject
    return where, values


def _select(
    connection: sa.Connection, where: list[str], values: dict[str, Any], *, order: str, limit: int
) -> list[Case]:
    rows = connection.execute(
        sa.text(
            f"SELECT * FROM cases.case_file WHERE {' AND '.join(where)}"
            f" ORDER BY {order} LIMIT :limit"
        ),
        values | {"limit": limit},
    )
    return [case_of(row) for row in rows]


def count_open(connection: sa.Connection, now: datetime) -> tuple[OpenCases, ...]:
    """Return the cases that are not closed, counted by kind and colour, with their ages."""
    rows = connection.execute(
        sa.text(
            f"SELECT kind, {RANK} AS rank, count(*) AS cases, min(opened_at) AS oldest_at,"
            " percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP"
            " (ORDER BY CAST(extract(epoch FROM :now - opened_at) AS bigint)) AS ages"
            " FROM cases.case_file WHERE state <> 'closed' GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"now": now, "shares": list(_PERCENTILES)},
    )
    by_rank = {colour.rank: colour for colour in Colour}
    return tuple(
        OpenCases(
            row.kind,
            by_rank[row.rank],
            row.cases,
            row.oldest_at.astimezone(UTC),
            *(int(age) for age in row.ages),
        )
        for row in rows
    )


def oldest_open(connection: sa.Connection) -> Case | None:
    """Return the case that has been open for longest."""
    row = connection.execute(
        sa.text(
            "SELECT * FROM cases.case_file WHERE state <> 'closed' ORDER BY opened_at, id LIMIT 1"
        )
    ).one_or_none()
    return None if row is None else case_of(row)


def ages_open(connection: sa.Connection, now: datetime) -> tuple[int, int, int] | None:
    """Return the 50th, 90th and 99th percentile of the open cases' ages in whole seconds."""
    ages: Sequence[int] | None = connection.execute(
        sa.text(
            "SELECT percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP"
            " (ORDER BY CAST(extract(epoch FROM :now - opened_at) AS bigint))"
            " FROM cases.case_file WHERE state <> 'closed'"
        ),
        {"now": now, "shares": list(_PERCENTILES)},
    ).scalar()
    return None if ages is None else (int(ages[0]), int(ages[1]), int(ages[2]))


def count_closed(
    connection: sa.Connection, now: datetime, *, days: int, zone: str
) -> tuple[ClosedOn, ...]:
    """Return the closings of the last days by local date and kind."""
    rows = connection.execute(
        sa.text(
            "SELECT CAST(closed_at AT TIME ZONE :zone AS date) AS on_, kind, count(*) AS cases,"
            " count(*) FILTER (WHERE is_within_sla) AS within FROM cases.closing"
            " WHERE closed_at > :since AND closed_at <= :now GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"zone": zone, "since": now - timedelta(days=days), "now": now},
    )
    return tuple(ClosedOn(row.on_, row.kind, row.cases, row.within) for row in rows)
