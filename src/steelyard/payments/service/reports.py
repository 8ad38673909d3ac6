"""Reports of payments: success, health, fees, settlement, breaks, refunds and disputes."""

from __future__ import annotations

import json

import sqlalchemy as sa

from steelyard.events import FactFilter, reading
from steelyard.payments.model.reports import (
    MOST_ROWS,
    TITLES,
    Asked,
    Cell,
    Moved,
    ReportName,
    ReportPeriodIsMalformed,
    Table,
    open_seconds,
    with_columns,
)
from steelyard.payments.service.channel_facts import ChannelBreakerMoved
from steelyard.payments.store import reports as table

__all__ = [
    "MOST_ROWS",
    "TITLES",
    "Asked",
    "Cell",
    "ReportName",
    "ReportPeriodIsMalformed",
    "Table",
    "every",
    "run",
]


def run(connection: sa.Connection, name: ReportName, asked: Asked) -> Table:
    """Return a report.

    Refusals
    --------
    report_period_is_malformed
    """
    asked.check()
    found = table.run(connection, name, asked)
    return _with_breakers(connection, found, asked) if name is ReportName.CHANNEL_HEALTH else found


def every(connection: sa.Connection, asked: Asked) -> list[Table]:
    """Return all reports of a period.

    Refusals
    --------
    report_period_is_malformed
    """
    return [run(connection, name, asked) for name in ReportName]


def _with_breakers(connection: sa.Connection, found: Table, asked: Asked) -> Table:
    """Add for how long the breaker of each channel and method stood open, and how often it did."""
    moves: list[Moved] = []
    cursor: str | None = None
    wanted = FactFilter(kinds=frozenset({ChannelBreakerMoved.kind}))
    for _ in range(20):
        page = reading.latest(connection, wanted, cursor=cursor, limit=500)
        for fact in page.items:
            told = json.loads(fact.payload)
            is_open = told["after"] != "closed"
            moves.append(Moved(told["channel"], told["method"], fact.occurred_at, is_open))
        cursor = page.next
        if cursor is None:
            break
    stood = open_seconds(moves, asked.since, asked.until)
    cells = [stood.get((str(row[0]), str(row[1])), (0.0, 0)) for row in found.rows]
    return with_columns(found, ("breaker_open_seconds", "breaker_openings"), cells)
