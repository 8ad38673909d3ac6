"""The queries of reports: one statement each, over what is stored; nothing is counted twice.

An attempt of which nobody knows what became counts as neither success nor failure.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from steelyard.payments.model.reports import MOST_ROWS, Asked, Cell, ReportName, Table

_PAID = "a.state IN ('authorized', 'succeeded', 'reversed', 'duplicate', 'late')"
_UNKNOWN = "a.state IN ('sent', 'pending', 'unknown')"
_TRIED = (
    " FROM payments.attempt a JOIN payments.order o ON o.id = a.order_id"
    " WHERE a.sent_at >= :since AND a.sent_at < :until AND o.mode = :mode"
    " AND (CAST(:merchant AS uuid) IS NULL OR o.merchant = :merchant)"
)
_RATES = (
    " count(*) AS attempts,"
    f" count(*) FILTER (WHERE {_PAID}) AS paid,"
    " count(*) FILTER (WHERE a.state = 'declined') AS declined,"
    f" count(*) FILTER (WHERE {_UNKNOWN}) AS unknown,"
    f" CAST(count(*) FILTER (WHERE {_PAID}) AS double precision) / nullif(count(*) FILTER"
    f" (WHERE {_PAID} OR a.state = 'declined'), 0) AS success_rate"
)
_SUM = f" coalesce(sum(a.amount_minor) FILTER (WHERE {_PAID}), 0) AS paid_minor"


def _success(by: str, name: str) -> str:
    return (
        f"SELECT {by} AS {name}, a.currency,{_RATES},{_SUM}{_TRIED} GROUP BY 1, 2"
        " ORDER BY attempts DESC, 1, 2"
    )


_HOUR = "CAST(extract(hour FROM a.sent_at AT TIME ZONE :timezone) AS integer)"
_SECONDS = "extract(epoch FROM a.final_at - a.sent_at)"
_AGE = "CAST(:until AS timestamptz) - i.opened_at"
_SQL: Final = {
    ReportName.SUCCESS_BY_CHANNEL: _success("a.channel", "channel"),
    ReportName.SUCCESS_BY_METHOD: _success("a.method", "method"),
    ReportName.SUCCESS_BY_MERCHANT: _success("CAST(o.merchant AS text)", "merchant"),
    ReportName.SUCCESS_BY_HOUR: (f"SELECT {_HOUR} AS hour,{_RATES}{_TRIED} GROUP BY 1 ORDER BY 1"),
    ReportName.DECLINES: (
        "SELECT a.channel, a.method, coalesce(a.decline, 'other') AS decline,"
        " count(*) AS attempts, sum(a.amount_minor) AS declined_minor, a.currency,"
        " CAST(count(*) AS double precision) / sum(count(*)) OVER (PARTITION BY a.channel)"
        f" AS of_channel_rate{_TRIED} AND a.state = 'declined'"
        " GROUP BY a.channel, a.method, 3, a.currency ORDER BY attempts DESC, 1, 2, 3"
    ),
    ReportName.CHANNEL_HEALTH: (
        f"SELECT a.channel, a.method, count(*) AS attempts,"
        f" CAST(count(*) FILTER (WHERE {_PAID}) AS double precision) / nullif(count(*) FILTER"
        f" (WHERE {_PAID} OR a.state = 'declined'), 0) AS success_rate,"
        f" count(*) FILTER (WHERE {_UNKNOWN}) AS unknown_now,"
        " CAST(count(*) FILTER (WHERE a.queries > 0) AS double precision) / count(*)"
        " AS asked_about_rate,"
        f" percentile_cont(0.5) WITHIN GROUP (ORDER BY {_SECONDS}) AS seconds_p50,"
        f" percentile_cont(0.95) WITHIN GROUP (ORDER BY {_SECONDS}) AS seconds_p95"
        f"{_TRIED} GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    ReportName.FEES: (
        "WITH earned AS (SELECT channel, currency, sum(fee_minor) AS earned,"
        " sum(amount_minor) FILTER (WHERE kind = 'payment') AS gross"
        " FROM payments.clearing_line WHERE mode = :mode"
        " AND happened_at >= :since AND happened_at < :until"
        " AND (CAST(:merchant AS uuid) IS NULL OR merchant = :merchant) GROUP BY 1, 2),"
        " answered AS (SELECT a.channel, a.currency, sum(a.fee_minor) AS cost"
        f"{_TRIED} AND {_PAID} GROUP BY 1, 2),"
        # What a channel kept may stand in its statement only, of a day and not of a payment.
        " kept AS (SELECT d.channel, c.key AS currency, sum(CAST(c.value AS bigint)) AS cost"
        " FROM payments.clearing_day d, jsonb_each_text(d.cost_minor) c WHERE d.mode = :mode"
        " AND d.opens_at >= :since AND d.opens_at < :until AND CAST(:merchant AS uuid) IS NULL"
        " GROUP BY 1, 2),"
        " cost AS (SELECT channel, currency, greatest(a.cost, k.cost) AS cost"
        " FROM answered a FULL JOIN kept k USING (channel, currency))"
        " SELECT channel, currency, coalesce(gross, 0) AS paid_minor,"
        " coalesce(earned, 0) AS earned_minor, coalesce(cost, 0) AS cost_minor,"
        " coalesce(earned, 0) - coalesce(cost, 0) AS margin_minor,"
        " CAST(coalesce(earned, 0) - coalesce(cost, 0) AS double precision) / nullif(gross, 0)"
        " AS margin_rate FROM earned FULL JOIN cost USING (channel, currency) ORDER BY 1, 2"
    ),
    ReportName.SETTLEMENT: (
        "SELECT CAST(s.merchant AS text) AS merchant, s.currency, count(*) AS settlements,"
        " sum(s.amount_minor) AS due_minor,"
        " coalesce(sum(s.amount_minor) FILTER (WHERE s.state = 'held'), 0) AS held_minor,"
        " coalesce(sum(s.amount_minor) FILTER (WHERE s.state = 'paid'), 0) AS paid_minor,"
        " coalesce(sum(s.amount_minor) FILTER (WHERE s.state IN ('calculated', 'approved',"
        " 'paying', 'pay_unknown')), 0) AS under_way_minor,"
        " coalesce(sum(s.amount_minor) FILTER (WHERE s.state IN ('pay_failed', 'returned')), 0)"
        " AS returned_minor"
        " FROM payments.settlement s WHERE s.mode = :mode AND s.state NOT IN ('superseded',"
        " 'reissued') AND s.calculated_at >= :since AND s.calculated_at < :until"
        " AND (CAST(:merchant AS uuid) IS NULL OR s.merchant = :merchant)"
        " GROUP BY 1, 2 ORDER BY due_minor DESC, 1, 2"
    ),
    ReportName.BREAK_AGEING: (
        "SELECT i.channel, i.kind, i.currency, count(*) AS items,"
        f" count(*) FILTER (WHERE {_AGE} < interval '2 days') AS under_2_days,"
        f" count(*) FILTER (WHERE {_AGE} >= interval '2 days' AND {_AGE} < interval '8 days')"
        " AS days_2_to_7,"
        f" count(*) FILTER (WHERE {_AGE} >= interval '8 days' AND {_AGE} < interval '31 days')"
        " AS days_8_to_30,"
        f" count(*) FILTER (WHERE {_AGE} >= interval '31 days') AS over_30_days,"
        " sum(i.at_risk_minor) AS at_risk_minor, sum(i.suspense_minor) AS suspense_minor"
        " FROM payments.recon_item i WHERE i.mode = :mode AND i.opened_at < :until"
        " AND (i.closed_at IS NULL OR i.closed_at >= :until)"
        " GROUP BY 1, 2, 3 ORDER BY at_risk_minor DESC, 1, 2, 3"
    ),
    ReportName.REFUNDS_DISPUTES: (
        "WITH paid AS (SELECT merchant, currency, count(*) AS paid,"
        " sum(captured_minor) AS paid_minor FROM payments.order"
        " WHERE mode = :mode AND paid_at >= :since AND paid_at < :until AND captured_minor > 0"
        " GROUP BY 1, 2), back AS (SELECT merchant, currency, count(*) AS refunds,"
        " sum(amount_minor) AS refund_minor FROM payments.refund WHERE mode = :mode"
        " AND state = 'succeeded' AND final_at >= :since AND final_at < :until GROUP BY 1, 2),"
        " fought AS (SELECT merchant, currency, count(*) AS disputes,"
        " sum(amount_minor) AS dispute_minor FROM payments.dispute WHERE mode = :mode"
        " AND opened_at >= :since AND opened_at < :until GROUP BY 1, 2)"
        " SELECT CAST(merchant AS text) AS merchant, currency, coalesce(paid, 0) AS paid,"
        " coalesce(paid_minor, 0) AS paid_minor, coalesce(refunds, 0) AS refunds,"
        " coalesce(refund_minor, 0) AS refund_minor,"
        " CAST(coalesce(refunds, 0) AS double precision) / nullif(paid, 0) AS refund_rate,"
        " coalesce(disputes, 0) AS disputes, coalesce(dispute_minor, 0) AS dispute_minor,"
        " CAST(coalesce(disputes, 0) AS double precision) / nullif(paid, 0) AS dispute_rate"
        " FROM paid FULL JOIN back USING (merchant, currency)"
        " FULL JOIN fought USING (merchant, currency)"
        " WHERE (CAST(:merchant AS uuid) IS NULL OR merchant = :merchant)"
        " ORDER BY paid DESC, 1, 2"
    ),
}


def run(connection: sa.Connection, name: ReportName, asked: Asked) -> Table:
    """Return a report, cut after the most rows that are shown."""
    done = connection.execute(
        sa.text(f"{_SQL[name]} LIMIT :most"),
        {
            "since": asked.since,
            "until": asked.until,
            "mode": asked.mode.value,
            "merchant": asked.merchant,
            "timezone": asked.timezone,
            "most": MOST_ROWS + 1,
        },
    )
    heads = tuple(done.keys())
    rows = [
        tuple(_cell(head, value) for head, value in zip(heads, row, strict=True)) for row in done
    ]
    return Table(name, heads, tuple(rows[:MOST_ROWS]), len(rows) > MOST_ROWS)


def _cell(head: str, value: Any) -> Cell:
    """Return a value as it is shown: sums as whole numbers, shares and seconds as floats."""
    if value is None or isinstance(value, str):
        return value
    if head.endswith("_rate"):
        return round(float(value), 6)
    if head.startswith("seconds_"):
        return round(float(value), 3)
    return int(value)
