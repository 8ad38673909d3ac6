"""Tables of monitoring: days of merchants in counts, and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.monitoring import (
    PAST_DAYS,
    Alert,
    AlertLevel,
    Figures,
    MerchantRule,
    Seen,
)
from steelyard.payments.model.orders import Mode

_COUNTS = "attempts, declined, paid, paid_minor, night, refunded, disputed, cards_per_device"
_ALERT = (
    "id, merchant, mode, currency, rule, level, state, version, value, own, industry, quiet,"
    " case_id, done, opened_at, seen_at, ended_at"
)


def count_day(
    connection: sa.Connection, mode: Mode, on: date, *, since: datetime, until: datetime
) -> int:
    """Count a day of every merchant, anew where it was counted before; return of how many.

    Parameters
    ----------
    since, until : the day's instants
    """
    done = connection.execute(
        sa.text(
            "WITH tried AS (SELECT o.merchant, o.currency, o.payer->>'device' AS device,"
            " a.instrument, a.state, a.amount_minor,"
            " a.state IN ('authorized', 'succeeded', 'reversed') AS is_paid,"
            " extract(hour FROM a.sent_at - CAST(:since AS timestamptz)) < 6 AS is_night"
            " FROM payments.order o JOIN payments.attempt a ON a.order_id = o.id"
            " WHERE o.mode = :mode AND a.sent_at >= :since AND a.sent_at < :until"
            " AND o.created_at >= CAST(:since AS timestamptz) - interval '30 days'),"
            " devices AS (SELECT merchant, currency, max(cards) AS cards FROM (SELECT merchant,"
            " currency, count(DISTINCT instrument) AS cards FROM tried"
            " WHERE device IS NOT NULL AND instrument IS NOT NULL GROUP BY merchant, currency,"
            " device) d GROUP BY 1, 2),"
            " back AS (SELECT merchant, currency, count(*) AS refunded FROM payments.refund"
            " WHERE mode = :mode AND asked_at >= :since AND asked_at < :until"
            " AND state NOT IN ('failed', 'closed') AND NOT is_automatic GROUP BY 1, 2),"
            " fought AS (SELECT merchant, currency, count(*) AS disputed FROM payments.dispute"
            " WHERE mode = :mode AND opened_at >= :since AND opened_at < :until GROUP BY 1, 2),"
            " sold AS (SELECT merchant, currency, count(*) AS attempts,"
            " count(*) FILTER (WHERE state = 'declined') AS declined,"
            " count(*) FILTER (WHERE is_paid) AS paid,"
            " coalesce(sum(amount_minor) FILTER (WHERE is_paid), 0) AS paid_minor,"
            " count(*) FILTER (WHERE is_paid AND is_night) AS night FROM tried GROUP BY 1, 2)"
            f" INSERT INTO payments.merchant_figure (merchant, mode, currency, on_day, industry,"
            f" {_COUNTS}) SELECT merchant, :mode, currency, :on, coalesce(m.industry, ''),"
            " coalesce(attempts, 0), coalesce(declined, 0), coalesce(paid, 0),"
            " coalesce(paid_minor, 0), coalesce(night, 0), coalesce(refunded, 0),"
            " coalesce(disputed, 0), coalesce(cards, 0)"
            " FROM sold FULL JOIN back USING (merchant, currency)"
            " FULL JOIN fought USING (merchant, currency)"
            " LEFT JOIN devices USING (merchant, currency)"
            " JOIN payments.merchant m ON m.id = merchant"
            " ON CONFLICT (merchant, mode, currency, on_day) DO UPDATE SET"
            " (industry, attempts, declined, paid, paid_minor, night, refunded, disputed,"
            " cards_per_device) = ROW(excluded.industry, excluded.attempts, excluded.declined,"
            " excluded.paid, excluded.paid_minor, excluded.night, excluded.refunded,"
            " excluded.disputed, excluded.cards_per_device)"
        ),
        {"mode": mode.value, "on": on, "since": since, "until": until},
    )
    return done.rowcount


def seen_on(connection: sa.Connection, mode: Mode, on: date) -> list[Seen]:
    """Return the day of every merchant, with its own past and that of the others of its trade."""
    sums = ", ".join(
        f"max({name}) AS {name}" if name == "cards_per_device" else f"sum({name}) AS {name}"
        for name in _COUNTS.split(", ")
    )
    rows = connection.execute(
        sa.text(
            "WITH past AS (SELECT * FROM payments.merchant_figure WHERE mode = :mode"
            " AND on_day < :on AND on_day >= CAST(:on AS date) - CAST(:days AS integer)"
            # Days under an alert are no past: they would make what is wrong the usual.
            " AND NOT EXISTS (SELECT FROM payments.merchant_alert l"
            " WHERE l.merchant = merchant_figure.merchant AND l.mode = :mode"
            " AND on_day >= CAST(l.opened_at - interval '1 day' AS date)"
            " AND (l.ended_at IS NULL OR on_day < CAST(l.ended_at AS date)))),"
            f" own AS (SELECT merchant, currency, count(*) AS days, {sums} FROM past"
            " GROUP BY 1, 2), trade AS (SELECT industry, currency,"
            f" count(DISTINCT on_day) AS days, {sums} FROM past GROUP BY 1, 2)"
            " SELECT f.merchant, f.currency, to_jsonb(f) AS day, to_jsonb(own) AS own,"
            " to_jsonb(trade) AS trade FROM payments.merchant_figure f"
            " LEFT JOIN own USING (merchant, currency)"
            " LEFT JOIN trade ON trade.industry = f.industry AND trade.currency = f.currency"
            " AND f.industry <> '' WHERE f.mode = :mode AND f.on_day = :on"
            " ORDER BY f.merchant, f.currency"
        ),
        {"mode": mode.value, "on": on, "days": PAST_DAYS},
    )
    found = []
    for row in rows:
        own = _figures(row.own)
        found.append(
            Seen(
                merchant=row.merchant,
                mode=mode,
                currency=row.currency,
                on=on,
                day=replace(_figures(row.day), days=1),
                own=own,
                industry=_less(_figures(row.trade), own),
            )
        )
    return found


def _figures(told: dict[str, Any] | None) -> Figures:
    if told is None:
        return Figures()
    return Figures(**{name: int(told.get(name) or 0) for name in Figures.__slots__})


def _less(trade: Figures, own: Figures) -> Figures:
    """Return what the others of a trade did; their days are those of the trade."""
    kept = ("days", "cards_per_device")
    left = {
        name: getattr(trade, name) - (0 if name in kept else getattr(own, name))
        for name in Figures.__slots__
    }
    return Figures(**left) if left["attempts"] > 0 else Figures()


def lock_open(connection: sa.Connection, merchant: UUID) -> list[Alert]:
    """Lock the open alerts of a merchant, in the order of their ids."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_ALERT} FROM payments.merchant_alert WHERE merchant = :merchant"
            " AND state = 'open' ORDER BY id FOR UPDATE"
        ),
        {"merchant": merchant},
    )
    return [_alert(row) for row in rows]


def list_alerts(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    is_open: bool | None = None,
    limit: int = 200,
) -> list[Alert]:
    """Return alerts, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_ALERT} FROM payments.merchant_alert"
            " WHERE (CAST(:merchant AS uuid) IS NULL OR merchant = :merchant)"
            " AND (CAST(:is_open AS boolean) IS NULL OR (state = 'open') = :is_open)"
            " ORDER BY opened_at DESC, id DESC LIMIT :limit"
        ),
        {"merchant": merchant, "is_open": is_open, "limit": limit},
    )
    return [_alert(row) for row in rows]


def figures_of(
    connection: sa.Connection, merchant: UUID, mode: Mode, *, limit: int = 60
) -> list[tuple[date, str, Figures]]:
    """Return the days of a merchant, the newest first: day, currency, counts."""
    rows = connection.execute(
        sa.text(
            f"SELECT on_day, currency, {_COUNTS} FROM payments.merchant_figure"
            " WHERE merchant = :merchant AND mode = :mode ORDER BY on_day DESC, currency"
            " LIMIT :limit"
        ),
        {"merchant": merchant, "mode": mode.value, "limit": limit},
    )
    return [
        (row.on_day, row.currency, replace(_figures(dict(row._mapping)), days=1)) for row in rows
    ]


def merchants_with_alerts(connection: sa.Connection, mode: Mode) -> set[UUID]:
    """Return the merchants with an open alert."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT merchant FROM payments.merchant_alert"
            " WHERE state = 'open' AND mode = :mode"
        ),
        {"mode": mode.value},
    )
    return set(rows.scalars())


def insert(connection: sa.Connection, alert: Alert) -> None:
    """Insert an alert that opens."""
    connection.execute(
        sa.text(
            f"INSERT INTO payments.merchant_alert ({_ALERT}) VALUES (:id, :merchant, :mode,"
            " :currency, :rule, :level, :state, :version, :value, :own, :industry, :quiet,"
            " :case_id, :done, :opened_at, :seen_at, :ended_at)"
        ),
        _row(alert),
    )


def write(connection: sa.Connection, alerts: Sequence[Alert]) -> None:
    """Write alerts that are locked; their versions are those that were read."""
    for alert in alerts:
        done = connection.execute(
            sa.text(
                "UPDATE payments.merchant_alert SET version = version + 1, level = :level,"
                " state = :state, value = :value, own = :own, industry = :industry,"
                " quiet = :quiet, case_id = :case_id, done = :done, seen_at = :seen_at,"
                " ended_at = :ended_at WHERE id = :id AND version = :version"
            ),
            _row(alert),
        )
        assert done.rowcount == 1, "an alert changed while it was locked"


def _row(alert: Alert) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in Alert.__slots__}
    values["state"] = "open" if values.pop("is_open") else "ended"
    values["case_id"] = values.pop("case")
    return values | {"done": list(alert.done)}


def _alert(row: Any) -> Alert:
    values = dict(row._mapping)
    values["is_open"] = values.pop("state") == "open"
    values["case"] = values.pop("case_id")
    values |= {
        "mode": Mode(row.mode),
        "rule": MerchantRule(row.rule),
        "level": AlertLevel(row.level),
        "done": tuple(row.done),
    }
    return Alert(**values)
