"""Tables of clearing days, their lines and totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.clearing import (
    ClearingDay,
    ClearingDayIsUnknown,
    ClearingLine,
    ClearingState,
    LineKind,
    Net,
    Sums,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import as_json

_DAY: Final = (
    "channel, mode, on_day, state, version, timezone, opens_at, closes_at, cleared_at, gate,"
    " cost_minor"
)
_LATE: Final = timedelta(days=7)
"""How long before a day something may have ended that was committed after its own day froze."""
_REFUNDS_LAST: Final = timedelta(days=45)
_DISPUTES_LAST: Final = timedelta(days=400)


class Candidate(NamedTuple):
    """Something whose lines are not what it is worth.

    Attributes
    ----------
    amount_minor, pending_minor : that the lines before lack
    parts : how many lines there are; total_minor : what it is worth by now
    fee_minor : what the lines before charged; of a fee given back, what they lack
    """

    about: UUID
    kind: LineKind
    merchant: UUID
    currency: str
    method: str
    scenario: str
    amount_minor: int
    pending_minor: int
    parts: int
    fee_minor: int
    total_minor: int
    at: datetime


class Total(NamedTuple):
    """What a merchant's day came to, as it was cleared."""

    channel: str
    mode: Mode
    on: date
    net: Net
    due_on: date
    release_on: date
    entry: UUID


_PAYMENTS: Final = """
SELECT a.id AS about, 'payment' AS kind, o.merchant, a.currency, a.method, o.scenario,
    o.captured_minor AS target, o.captured_minor AS pending_target, NULL::bigint AS fee_target,
    a.final_at AS at
FROM payments.attempt AS a JOIN payments.order AS o ON o.id = a.order_id
WHERE a.channel = :channel AND a.state = 'succeeded' AND o.mode = :mode
    AND a.final_at >= :since AND a.final_at < :until
UNION ALL
SELECT a.id, 'payment', o.merchant, a.currency, a.method, o.scenario, 0, 0, NULL,
    a.final_at
FROM payments.attempt AS a JOIN payments.order AS o ON o.id = a.order_id
WHERE a.channel = :channel AND a.state = 'reversed' AND o.mode = :mode
    AND a.final_at >= :refunds_since AND a.final_at < :until
"""
_REFUNDS: Final = """
SELECT r.id AS about, k.kind, r.merchant, r.currency, a.method, o.scenario,
    CASE WHEN k.kind = 'fee_return' OR r.state IN ('failed', 'closed') THEN 0
        ELSE -r.amount_minor END AS target,
    CASE WHEN k.kind = 'fee_return' OR r.state IN ('failed', 'closed') OR r.home <> 'pending'
        THEN 0 ELSE -r.amount_minor END AS pending_target,
    CASE WHEN k.kind = 'fee_return' THEN CASE WHEN r.state IN ('succeeded', 'returned')
        THEN -r.fee_returned_minor ELSE 0 END END AS fee_target,
    r.asked_at AS at
FROM (
    SELECT * FROM payments.refund WHERE channel = :channel
        AND sent_at >= :refunds_since AND sent_at < :until
    UNION ALL
    SELECT * FROM payments.refund WHERE channel = :channel AND state = 'reserved'
        AND sent_at IS NULL
) AS r
CROSS JOIN (VALUES ('refund'), ('fee_return')) AS k (kind)
JOIN payments.attempt AS a ON a.id = r.attempt JOIN payments.order AS o ON o.id = r.order_id
WHERE r.mode = :mode AND r.home IN ('pending', 'available')
"""
_DISPUTES: Final = """
SELECT d.id AS about, 'dispute' AS kind, d.merchant, d.currency, a.method, o.scenario,
    -d.held_minor AS target,
    CASE WHEN d.home = 'pending' THEN -d.held_minor ELSE 0 END AS pending_target,
    NULL::bigint AS fee_target, d.opened_at AS at
FROM payments.dispute AS d
JOIN payments.attempt AS a ON a.id = d.attempt JOIN payments.order AS o ON o.id = d.order_id
WHERE d.channel = :channel AND d.mode = :mode AND d.opened_at >= :disputes_since
    AND d.opened_at < :until AND d.home IS NOT NULL
"""
_CANDIDATES: Final = sa.text(
    f"""
WITH wanted AS ({_PAYMENTS} UNION ALL {_REFUNDS} UNION ALL {_DISPUTES}),
known AS (
    SELECT w.*, COALESCE(l.parts, 0) AS parts, COALESCE(l.amount, 0) AS amount,
        COALESCE(l.pending, 0) AS pending, COALESCE(l.fee, 0) AS fee
    FROM wanted AS w LEFT JOIN LATERAL (
        SELECT count(*) AS parts, sum(amount_minor) AS amount, sum(pending_minor) AS pending,
            sum(fee_minor) AS fee
        FROM payments.clearing_line WHERE about = w.about AND kind = w.kind) AS l ON true
)
SELECT about, kind, merchant, currency, method, scenario, target - amount AS amount_minor,
    pending_target - pending AS pending_minor, parts,
    COALESCE(fee_target - fee, fee) AS fee_minor, target AS total_minor, at
FROM known WHERE target <> amount OR pending_target <> pending OR fee_target <> fee
ORDER BY about LIMIT :limit
"""
)
_INSERT_LINES: Final = sa.text(
    "INSERT INTO payments.clearing_line (about, kind, part, channel, mode, on_day, merchant,"
    " currency, method, amount_minor, pending_minor, fee_minor, plan, happened_at)"
    " SELECT about, kind, part, :channel, :mode, :on, merchant, currency, method, amount_minor,"
    " pending_minor, fee_minor, plan, at FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x"
    " (about uuid, kind text, part smallint, merchant uuid, currency text, method text,"
    " amount_minor bigint, pending_minor bigint, fee_minor bigint, plan text, at timestamptz)"
)
_SUMS: Final = sa.text(
    "SELECT merchant, currency,"
    " count(*) FILTER (WHERE kind = 'payment' AND part = 1) AS payments,"
    " count(*) FILTER (WHERE kind = 'refund' AND part = 1) AS refunds,"
    " COALESCE(sum(amount_minor) FILTER (WHERE kind = 'payment'), 0)::bigint AS gross,"
    " -COALESCE(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0)::bigint AS refund,"
    " -COALESCE(sum(amount_minor) FILTER (WHERE kind = 'dispute'), 0)::bigint AS dispute,"
    " sum(pending_minor)::bigint AS pending, sum(fee_minor)::bigint AS fee"
    " FROM payments.clearing_line AS l WHERE channel = :channel AND mode = :mode AND on_day = :on"
    " AND merchant = ANY(:merchants) GROUP BY merchant, currency ORDER BY merchant, currency"
)
_INSERT_TOTALS: Final = sa.text(
    "INSERT INTO payments.clearing_total (channel, mode, on_day, merchant, currency, payments,"
    " refunds, gross_minor, refund_minor, dispute_minor, fee_minor, reserve_minor, net_minor,"
    " posted_minor, due_on, release_on, entry)"
    " SELECT channel, mode, on_day, merchant, currency, payments, refunds, gross_minor,"
    " refund_minor, dispute_minor, fee_minor, reserve_minor, net_minor, posted_minor, due_on,"
    " release_on, entry FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x (channel text,"
    " mode text, on_day date, merchant uuid, currency text, payments integer, refunds integer,"
    " gross_minor bigint, refund_minor bigint, dispute_minor bigint, fee_minor bigint,"
    " reserve_minor bigint, net_minor bigint, posted_minor bigint, due_on date, release_on date,"
    " entry uuid)"
)


def channels(connection: sa.Connection, mode: Mode) -> list[str]:
    """Return the channels of a mode by which money was captured, by code."""
    rows = connection.execute(
        sa.text(
            "WITH RECURSIVE c AS ((SELECT channel FROM payments.attempt WHERE state = 'succeeded'"
            " ORDER BY channel LIMIT 1) UNION ALL SELECT (SELECT a.channel"
            " FROM payments.attempt AS a WHERE a.state = 'succeeded' AND a.channel > c.channel"
            " ORDER BY a.channel LIMIT 1) FROM c WHERE c.channel IS NOT NULL)"
            " SELECT c.channel FROM c"
            " LEFT JOIN payments.channel AS k ON k.code = c.channel"
            " WHERE c.channel IS NOT NULL AND COALESCE(k.mode, :mode) = :mode ORDER BY 1"
        ),
        {"mode": mode.value},
    )
    return list(rows.scalars())


def is_channel(connection: sa.Connection, mode: Mode, code: str) -> bool:
    """Return whether a channel was ever asked for a payment, whatever became of it.

    It may pay in money of which we know only later.
    """
    found = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT 1 FROM payments.attempt WHERE channel = :code) AND"
            " COALESCE((SELECT mode FROM payments.channel WHERE code = :code), :mode) = :mode"
        ),
        {"code": code, "mode": mode.value},
    )
    return bool(found.scalar_one())


def first_end(connection: sa.Connection, channel: str, mode: Mode) -> datetime | None:
    """Return when the first payment of a channel went through."""
    return connection.execute(
        sa.text(
            "SELECT a.final_at FROM payments.attempt AS a JOIN payments.order AS o"
            " ON o.id = a.order_id WHERE a.channel = :channel AND a.state = 'succeeded'"
            " AND o.mode = :mode ORDER BY a.final_at LIMIT 1"
        ),
        {"channel": channel, "mode": mode.value},
    ).scalar_one_or_none()


def insert_day(connection: sa.Connection, day: ClearingDay) -> None:
    """Insert a day that is not there yet."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.clearing_day (channel, mode, on_day, state, timezone, opens_at,"
            " closes_at) VALUES (:channel, :mode, :on, :state, :timezone, :opens_at, :closes_at)"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "channel": day.channel,
            "mode": day.mode.value,
            "on": day.on,
            "state": day.state.value,
            "timezone": day.timezone,
            "opens_at": day.opens_at,
            "closes_at": day.closes_at,
        },
    )


def read_day(
    connection: sa.Connection, channel: str, mode: Mode, on: date, *, lock: bool = False
) -> ClearingDay:
    """Return a day, its row held if asked for.

    Refusals
    --------
    clearing_day_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_DAY} FROM payments.clearing_day WHERE channel = :channel AND mode = :mode"
            f" AND on_day = :on{' FOR UPDATE' if lock else ''}"
        ),
        {"channel": channel, "mode": mode.value, "on": on},
    ).one_or_none()
    if row is None:
        raise ClearingDayIsUnknown(channel=channel, on=on)
    return _day(row)


def list_days(
    connection: sa.Connection,
    mode: Mode,
    *,
    channel: str | None = None,
    on: date | None = None,
    states: Sequence[ClearingState] = tuple(ClearingState),
    limit: int = 366,
) -> list[ClearingDay]:
    """Return days, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_DAY} FROM payments.clearing_day WHERE mode = :mode"
            " AND (CAST(:channel AS text) IS NULL OR channel = :channel)"
            " AND (CAST(:on AS date) IS NULL OR on_day = :on) AND state = ANY(:states)"
            " ORDER BY on_day DESC, channel LIMIT :limit"
        ),
        {
            "mode": mode.value,
            "channel": channel,
            "on": on,
            "states": [state.value for state in states],
            "limit": limit,
        },
    )
    return [_day(row) for row in rows]


def last_on(connection: sa.Connection, channel: str, mode: Mode) -> date | None:
    """Return the last day of a channel that is there."""
    found: date | None = connection.execute(
        sa.text(
            "SELECT max(on_day) FROM payments.clearing_day WHERE channel = :channel"
            " AND mode = :mode"
        ),
        {"channel": channel, "mode": mode.value},
    ).scalar_one()
    return found


def move_day(
    connection: sa.Connection,
    day: ClearingDay,
    state: ClearingState,
    *,
    at: datetime,
    gate: Mapping[str, object] | None = None,
    cost_minor: Mapping[str, int] | None = None,
) -> bool:
    """Move a day on from the state and version that were read; False if it moved meanwhile."""
    column = {
        ClearingState.CUT_OFF: "cut_off_at",
        ClearingState.FROZEN: "frozen_at",
        ClearingState.CLEARED: "cleared_at",
        ClearingState.RECON_GATED: "gated_at",
    }[state]
    done = connection.execute(
        sa.text(
            f"UPDATE payments.clearing_day SET state = :state, version = version + 1,"
            f" {column} = COALESCE({column}, :at),"
            " gate = COALESCE(CAST(:gate AS jsonb), gate),"
            " cost_minor = COALESCE(CAST(:cost AS jsonb), cost_minor)"
            " WHERE channel = :channel AND mode = :mode AND on_day = :on AND state = :before"
            " AND version = :version"
        ),
        {
            "state": state.value,
            "at": at,
            "gate": None if gate is None else as_json([gate])[1:-1],
            "cost": None if cost_minor is None else as_json([cost_minor])[1:-1],
            "channel": day.channel,
            "mode": day.mode.value,
            "on": day.on,
            "before": day.state.value,
            "version": day.version,
        },
    )
    return done.rowcount == 1


def note_gate(connection: sa.Connection, day: ClearingDay, gate: Mapping[str, object]) -> None:
    """Keep why a day was not let pass."""
    connection.execute(
        sa.text(
            "UPDATE payments.clearing_day SET gate = CAST(:gate AS jsonb), version = version + 1"
            " WHERE channel = :channel AND mode = :mode AND on_day = :on AND version = :version"
        ),
        {
            "gate": as_json([gate])[1:-1],
            "channel": day.channel,
            "mode": day.mode.value,
            "on": day.on,
            "version": day.version,
        },
    )


def candidates(connection: sa.Connection, day: ClearingDay, *, limit: int) -> list[Candidate]:
    """Return what the lines of a day lack, in the order of ids; none is left when it is empty."""
    rows = connection.execute(
        _CANDIDATES,
        {
            "channel": day.channel,
            "mode": day.mode.value,
            "since": day.opens_at - _LATE,
            "refunds_since": day.opens_at - _REFUNDS_LAST,
            "disputes_since": day.opens_at - _DISPUTES_LAST,
            "until": day.closes_at,
            "limit": limit,
        },
    )
    return [Candidate(row.about, LineKind(row.kind), *row[2:]) for row in rows]


def insert_lines(
    connection: sa.Connection, day: ClearingDay, lines: Sequence[ClearingLine]
) -> None:
    """Append lines to a day."""
    if lines:
        rows = [{name: getattr(line, name) for name in ClearingLine.__slots__} for line in lines]
        connection.execute(
            _INSERT_LINES,
            {
                "rows": as_json(rows),
                "channel": day.channel,
                "mode": day.mode.value,
                "on": day.on,
            },
        )


def merchants_to_clear(connection: sa.Connection, day: ClearingDay, *, limit: int) -> list[UUID]:
    """Return merchants with lines of a day that are not totalled, in the order of ids."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT merchant FROM payments.clearing_line AS l WHERE channel = :channel"
            " AND mode = :mode AND on_day = :on AND NOT EXISTS (SELECT 1"
            " FROM payments.clearing_total AS t WHERE t.merchant = l.merchant"
            " AND t.mode = l.mode AND t.currency = l.currency AND t.channel = l.channel"
            " AND t.on_day = l.on_day) ORDER BY merchant LIMIT :limit"
        ),
        {"channel": day.channel, "mode": day.mode.value, "on": day.on, "limit": limit},
    )
    return list(rows.scalars())


def sums(connection: sa.Connection, day: ClearingDay, merchants: Sequence[UUID]) -> list[Sums]:
    """Return what the lines of merchants add up to, by merchant and currency."""
    rows = connection.execute(
        _SUMS,
        {
            "channel": day.channel,
            "mode": day.mode.value,
            "on": day.on,
            "merchants": list(merchants),
        },
    )
    return [
        Sums(
            merchant=row.merchant,
            currency=row.currency,
            payments=row.payments,
            refunds=row.refunds,
            gross_minor=row.gross,
            refund_minor=row.refund,
            dispute_minor=row.dispute,
            pending_minor=row.pending,
            fee_minor=row.fee,
        )
        for row in rows
    ]


def insert_totals(connection: sa.Connection, totals: Sequence[Total]) -> None:
    """Append the totals of merchants."""
    rows = [
        {
            "channel": one.channel,
            "mode": one.mode,
            "on_day": one.on,
            "merchant": one.net.sums.merchant,
            "currency": one.net.sums.currency,
            "payments": one.net.sums.payments,
            "refunds": one.net.sums.refunds,
            "gross_minor": one.net.sums.gross_minor,
            "refund_minor": one.net.sums.refund_minor,
            "dispute_minor": one.net.sums.dispute_minor,
            "fee_minor": one.net.sums.fee_minor,
            "reserve_minor": one.net.reserve_minor,
            "net_minor": one.net.net_minor,
            "posted_minor": one.net.posted_minor,
            "due_on": one.due_on,
            "release_on": one.release_on,
            "entry": one.entry,
        }
        for one in totals
    ]
    connection.execute(_INSERT_TOTALS, {"rows": as_json(rows)})


def totals(
    connection: sa.Connection,
    mode: Mode,
    on: date,
    *,
    channel: str | None = None,
    merchant: UUID | None = None,
    limit: int = 1_000,
) -> list[Total]:
    """Return the totals of a day, by channel, merchant and currency."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM payments.clearing_total WHERE mode = :mode AND on_day = :on"
            " AND (CAST(:channel AS text) IS NULL OR channel = :channel)"
            " AND (CAST(:merchant AS uuid) IS NULL OR merchant = :merchant)"
            " ORDER BY channel, merchant, currency LIMIT :limit"
        ),
        {
            "mode": mode.value,
            "on": on,
            "channel": channel,
            "merchant": merchant,
            "limit": limit,
        },
    )
    return [_total(row) for row in rows]


def volumes(
    connection: sa.Connection, merchants: Sequence[UUID], mode: Mode, before: date
) -> dict[tuple[UUID, str], int]:
    """Return what merchants captured in the month before a day, by merchant and currency."""
    rows = connection.execute(
        sa.text(
            "SELECT merchant, currency, sum(gross_minor)::bigint FROM payments.clearing_total"
            " WHERE merchant = ANY(:merchants) AND mode = :mode AND on_day >= :first"
            " AND on_day < :before GROUP BY merchant, currency"
        ),
        {
            "merchants": list(merchants),
            "mode": mode.value,
            "first": before.replace(day=1),
            "before": before,
        },
    )
    return {(row[0], row[1]): row[2] for row in rows}


def fees_of_day(connection: sa.Connection, day: ClearingDay) -> dict[str, int]:
    """Return what was charged on a day, by currency."""
    rows = connection.execute(
        sa.text(
            "SELECT currency, sum(fee_minor)::bigint FROM payments.clearing_total"
            " WHERE channel = :channel AND mode = :mode AND on_day = :on GROUP BY currency"
        ),
        {"channel": day.channel, "mode": day.mode.value, "on": day.on},
    )
    return {row[0]: row[1] for row in rows}


def fees_not_earned(connection: sa.Connection, mode: Mode, currency: str) -> int:
    """Return the fees of days that are cleared and were not let pass yet."""
    found: int = connection.execute(
        sa.text(
            "SELECT COALESCE(sum(t.fee_minor), 0)::bigint FROM payments.clearing_day AS d"
            " JOIN payments.clearing_total AS t USING (channel, mode, on_day)"
            " WHERE d.mode = :mode AND d.state <> 'recon_gated' AND t.currency = :currency"
        ),
        {"mode": mode.value, "currency": currency},
    ).scalar_one()
    return found


def channel_costs(connection: sa.Connection, day: ClearingDay) -> dict[str, int]:
    """Return what a channel keeps of a day's payments, by currency.

    As it said with each payment; where it says nothing, as was agreed with it.
    """
    rows = connection.execute(
        sa.text(
            "SELECT currency, sum(fee)::bigint FROM (SELECT a.currency, COALESCE(a.fee_minor,"
            " round(a.amount_minor * CAST(p.fee_ppm AS numeric) / 1000000), 0) AS fee"
            " FROM payments.clearing_line AS l JOIN payments.attempt AS a ON a.id = l.about"
            " LEFT JOIN payments.recon_plan AS p ON p.channel = l.channel"
            " WHERE l.channel = :channel AND l.mode = :mode AND l.on_day = :on"
            " AND l.kind = 'payment' AND l.part = 1) AS f GROUP BY currency HAVING sum(fee) > 0"
        ),
        {"channel": day.channel, "mode": day.mode.value, "on": day.on},
    )
    return {row[0]: row[1] for row in rows}


def lines_about(connection: sa.Connection, abouts: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """Return cleared amount and fee of payments that have lines."""
    rows = connection.execute(
        sa.text(
            "SELECT about, sum(amount_minor)::bigint, sum(fee_minor)::bigint"
            " FROM payments.clearing_line WHERE about = ANY(:abouts) AND kind = 'payment'"
            " GROUP BY about"
        ),
        {"abouts": list(abouts)},
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def first_line(connection: sa.Connection, payment: UUID) -> sa.Row[Any] | None:
    """Return the line by which a payment was cleared first."""
    return connection.execute(
        sa.text(
            "SELECT merchant, mode, currency, on_day, channel FROM payments.clearing_line"
            " WHERE about = :about AND kind = 'payment' AND part = 1"
        ),
        {"about": payment},
    ).one_or_none()


def corrected(connection: sa.Connection, payment: UUID) -> int:
    """Return by how much the fee of a payment was corrected in all."""
    found: int = connection.execute(
        sa.text(
            "SELECT COALESCE(sum(is_minor - was_minor), 0)::bigint FROM payments.fee_correction"
            " WHERE payment = :payment"
        ),
        {"payment": payment},
    ).scalar_one()
    return found


def insert_correction(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Append a corrected fee."""
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(
        sa.text(f"INSERT INTO payments.fee_correction ({names}) VALUES ({places})"), dict(values)
    )


def invoice_lines(
    connection: sa.Connection, merchant: UUID, mode: Mode, first: date, after: date
) -> list[sa.Row[Any]]:
    """Return a merchant's fees by day, channel, currency and plan; and what was corrected."""
    return list(
        connection.execute(
            sa.text(
                "SELECT on_day, channel, currency, method, plan,"
                " count(*) FILTER (WHERE amount_minor > 0)::bigint AS payments,"
                " sum(amount_minor)::bigint AS amount_minor, sum(fee_minor)::bigint AS fee_minor"
                " FROM payments.clearing_line WHERE merchant = :merchant AND mode = :mode"
                " AND on_day >= :first AND on_day < :after AND (kind = 'payment' OR fee_minor <> 0)"
                " GROUP BY on_day, channel, currency, method, plan"
                " UNION ALL SELECT made_on, 'correction', currency, '', cause, 0, 0,"
                " is_minor - was_minor FROM payments.fee_correction WHERE merchant = :merchant"
                " AND mode = :mode AND made_on >= :first AND made_on < :after"
                " ORDER BY 1, 2, 3, 4, 5"
            ),
            {"merchant": merchant, "mode": mode.value, "first": first, "after": after},
        )
    )


def _day(row: sa.Row[Any]) -> ClearingDay:
    return ClearingDay(
        channel=row.channel,
        mode=Mode(row.mode),
        on=row.on_day,
        state=ClearingState(row.state),
        version=row.version,
        timezone=row.timezone,
        opens_at=row.opens_at,
        closes_at=row.closes_at,
        cleared_at=row.cleared_at,
        gate=row.gate,
        cost_minor=row.cost_minor,
    )


def _total(row: sa.Row[Any]) -> Total:
    summed = Sums(
        merchant=row.merchant,
        currency=row.currency,
        payments=row.payments,
        refunds=row.refunds,
        gross_minor=row.gross_minor,
        refund_minor=row.refund_minor,
        dispute_minor=row.dispute_minor,
        pending_minor=row.posted_minor + row.fee_minor + row.reserve_minor,
        fee_minor=row.fee_minor,
    )
    net = Net(
        sums=summed,
        reserve_minor=row.reserve_minor,
        net_minor=row.net_minor,
        posted_minor=row.posted_minor,
    )
    return Total(
        row.channel, Mode(row.mode), row.on_day, net, row.due_on, row.release_on, row.entry
    )
