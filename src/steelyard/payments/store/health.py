"""Tables of a channel's health: windows, breakers, and the figures of its attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.payments.model.breaker import BreakerState, OpenedBy
from steelyard.payments.model.channel import Method
from steelyard.payments.model.channel_calendar import Window
from steelyard.payments.model.health import REFUSED_SECONDS, Health
from steelyard.payments.model.retries import RULES, Fault

_WINDOW = (
    "id",
    "channel",
    "reason",
    "methods",
    "starts_at",
    "ends_at",
    "weekdays",
    "opens",
    "closes",
    "from_on",
    "until_on",
    "announced_at",
    "withdrawn_at",
    "actor",
)
_PAYERS = [decline.value for decline, rule in RULES.items() if rule.fault is Fault.PAYER]


def insert_window(connection: sa.Connection, window: Window) -> None:
    """Insert a maintenance window."""
    marks = ", ".join(f":{name}" for name in _WINDOW)
    given = {name: getattr(window, name) for name in _WINDOW}
    given["methods"] = [method.value for method in window.methods]
    given["weekdays"] = list(window.weekdays)
    connection.execute(
        sa.text(f"INSERT INTO payments.channel_window ({', '.join(_WINDOW)}) VALUES ({marks})"),
        given,
    )


def withdraw_window(connection: sa.Connection, channel: str, window: UUID, at: datetime) -> bool:
    """Let a window count no more; return False where there is none that counts."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.channel_window SET withdrawn_at = :at"
            " WHERE id = :window AND channel = :channel AND withdrawn_at IS NULL"
        ),
        {"window": window, "channel": channel, "at": at},
    )
    return done.rowcount == 1


def windows(
    connection: sa.Connection, channels: Sequence[str], now: datetime
) -> dict[str, list[Window]]:
    """Return the windows of channels that count and are not over."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_WINDOW)} FROM payments.channel_window"
            " WHERE channel = ANY(:channels) AND withdrawn_at IS NULL"
            " AND (ends_at IS NULL OR ends_at > :now)"
            " AND (until_on IS NULL OR until_on >= CAST(:now AS date) - 1)"
            " ORDER BY starts_at NULLS LAST, from_on, id"
        ),
        {"channels": list(channels), "now": now},
    ).all()
    found: dict[str, list[Window]] = {code: [] for code in channels}
    for row in rows:
        given = dict(row._mapping)
        given["methods"] = tuple(Method(one) for one in row.methods)
        given["weekdays"] = tuple(row.weekdays)
        found[row.channel].append(Window(**given))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow:
    """A breaker as all processes share it.

    Attributes
    ----------
    version : grows with every move; 0: there is no row yet
    """

    channel: str
    method: Method
    state: BreakerState
    version: int
    opened_by: OpenedBy
    trips: int
    since: datetime
    until: datetime | None
    detail: Mapping[str, Any] = field(default_factory=dict)


def breakers(connection: sa.Connection) -> list[BreakerRow]:
    """Return every breaker that ever moved."""
    rows = connection.execute(
        sa.text("SELECT * FROM payments.channel_breaker ORDER BY channel, method")
    ).all()
    return [_breaker(row) for row in rows]


def lock(connection: sa.Connection) -> list[BreakerRow]:
    """Return every breaker that ever moved, the rows held."""
    rows = connection.execute(
        sa.text("SELECT * FROM payments.channel_breaker ORDER BY channel, method FOR UPDATE")
    ).all()
    return [_breaker(row) for row in rows]


def _breaker(row: Any) -> BreakerRow:
    return BreakerRow(
        **{
            **row._mapping,
            "method": Method(row.method),
            "state": BreakerState(row.state),
            "opened_by": OpenedBy(row.opened_by),
        }
    )


def write_breaker(connection: sa.Connection, row: BreakerRow) -> bool:
    """Write how a breaker stands over its version; False where another process moved it."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.channel_breaker AS b (channel, method, state, version,"
            " opened_by, trips, since, until, detail) VALUES (:channel, :method, :state,"
            " :version + 1, :opened_by, :trips, :since, :until, :detail)"
            " ON CONFLICT (channel, method) DO UPDATE SET state = excluded.state,"
            " version = excluded.version, opened_by = excluded.opened_by,"
            " trips = excluded.trips, since = excluded.since, until = excluded.until,"
            " detail = excluded.detail WHERE b.version = :version"
        ).bindparams(sa.bindparam("detail", type_=JSONB)),
        {
            "channel": row.channel,
            "method": row.method.value,
            "state": row.state.value,
            "version": row.version,
            "opened_by": row.opened_by.value,
            "trips": row.trips,
            "since": row.since,
            "until": row.until,
            "detail": dict(row.detail),
        },
    )
    return done.rowcount == 1


def health(
    connection: sa.Connection, since: datetime, until: datetime, channel: str | None
) -> list[Health]:
    """Return the figures of channels by method, for what was sent between two instants."""
    rows = connection.execute(
        sa.text(
            "WITH tried AS (SELECT channel, method, state, decline, final_at,"
            "  extract(epoch FROM final_at - sent_at) AS seconds FROM payments.attempt"
            "  WHERE sent_at >= :since AND sent_at < :until AND state <> 'init'"
            "  AND (CAST(:channel AS text) IS NULL OR channel = :channel)),"
            " judged AS (SELECT *, state IN ('authorized', 'succeeded', 'reversed', 'duplicate',"
            "   'late') AS is_money, state IN ('sent', 'pending', 'pending_user', 'unknown')"
            "   AS is_open, (state = 'declined' AND coalesce(decline, 'other') = ANY(:payers))"
            "   OR (state = 'closed' AND coalesce(seconds, 1e9) >= :refused) AS is_payers"
            "  FROM tried)"
            " SELECT channel, method, count(*) AS attempts,"
            " count(*) FILTER (WHERE is_money) AS succeeded,"
            " count(*) FILTER (WHERE NOT is_money AND NOT is_open AND NOT is_payers) AS failed,"
            " count(*) FILTER (WHERE is_payers) AS payers,"
            " count(*) FILTER (WHERE is_open) AS unknown,"
            " percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds)"
            "  FILTER (WHERE NOT is_open AND seconds IS NOT NULL) AS latency"
            " FROM judged GROUP BY channel, method ORDER BY channel, method"
        ),
        {
            "since": since,
            "until": until,
            "channel": channel,
            "payers": _PAYERS,
            "refused": REFUSED_SECONDS,
        },
    ).all()
    found = []
    for row in rows:
        p50, p95, p99 = (
            (None, None, None) if row.latency is None else (round(1000 * s) for s in row.latency)
        )
        found.append(
            Health(
                channel=row.channel,
                method=Method(row.method),
                since=since,
                until=until,
                attempts=row.attempts,
                succeeded=row.succeeded,
                failed=row.failed,
                payers=row.payers,
                unknown=row.unknown,
                latency_ms_p50=p50,
                latency_ms_p95=p95,
                latency_ms_p99=p99,
            )
        )
    return found
