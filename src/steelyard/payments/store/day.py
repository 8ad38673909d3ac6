"""How far days of the institution were run, and their tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from steelyard.payments.model.day import DayStep, MerchantLine, StepDone
from steelyard.payments.model.orders import Mode
from steelyard.payments.store.rows import as_json


def begin(connection: sa.Connection, mode: Mode, on: date, step: DayStep, at: datetime) -> bool:
    """Note that a step begins; return False if it was done before."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.day_run (mode, on_day, step, began_at)"
            " VALUES (:mode, :on, :step, :at) ON CONFLICT DO NOTHING"
        ),
        {"mode": mode.value, "on": on, "step": step.value, "at": at},
    )
    done_at = connection.execute(
        sa.text(
            "SELECT done_at FROM payments.day_run WHERE mode = :mode AND on_day = :on"
            " AND step = :step"
        ),
        {"mode": mode.value, "on": on, "step": step.value},
    ).scalar_one()
    return done_at is None


def finish(
    connection: sa.Connection,
    mode: Mode,
    on: date,
    step: DayStep,
    *,
    at: datetime,
    content: Mapping[str, object],
) -> None:
    """Note that a step is done, with what it did the last time."""
    connection.execute(
        sa.text(
            "UPDATE payments.day_run SET done_at = COALESCE(done_at, :at),"
            " content = CAST(:content AS jsonb)"
            " WHERE mode = :mode AND on_day = :on AND step = :step"
        ),
        {
            "at": at,
            "content": as_json([content])[1:-1],
            "mode": mode.value,
            "on": on,
            "step": step.value,
        },
    )


def steps(connection: sa.Connection, mode: Mode, on: date) -> list[StepDone]:
    """Return the steps of a day that were begun, in their order."""
    rows = connection.execute(
        sa.text(
            "SELECT step, began_at, done_at, content FROM payments.day_run WHERE mode = :mode"
            " AND on_day = :on"
        ),
        {"mode": mode.value, "on": on},
    )
    found = {
        DayStep(row.step): StepDone(
            step=DayStep(row.step),
            began_at=row.began_at,
            done_at=row.done_at,
            content=row.content,
        )
        for row in rows
    }
    return [found[step] for step in DayStep if step in found]


def channel_sums(connection: sa.Connection, mode: Mode, on: date) -> list[sa.Row[Any]]:
    """Return what a day was on each channel and currency."""
    return list(
        connection.execute(
            sa.text(
                "SELECT d.channel, d.state, t.currency, sum(t.payments)::bigint AS payments,"
                " sum(t.refunds)::bigint AS refunds, sum(t.gross_minor)::bigint AS gross,"
                " sum(t.refund_minor)::bigint AS refund, sum(t.fee_minor)::bigint AS fee"
                " FROM payments.clearing_day AS d LEFT JOIN payments.clearing_total AS t"
                " USING (channel, mode, on_day) WHERE d.mode = :mode AND d.on_day = :on"
                " GROUP BY d.channel, d.state, t.currency ORDER BY d.channel, t.currency"
            ),
            {"mode": mode.value, "on": on},
        )
    )


def merchant_lines(
    connection: sa.Connection, mode: Mode, on: date, settled_on: date, *, limit: int
) -> list[MerchantLine]:
    """Return what a day was to each merchant and currency, the greatest first."""
    rows = connection.execute(
        sa.text(
            "WITH t AS (SELECT merchant, currency, sum(gross_minor)::bigint AS gross,"
            " sum(refund_minor)::bigint AS refund, sum(dispute_minor)::bigint AS dispute,"
            " sum(fee_minor)::bigint AS fee, sum(reserve_minor)::bigint AS reserve,"
            " sum(net_minor)::bigint AS net FROM payments.clearing_total"
            " WHERE mode = :mode AND on_day = :on GROUP BY merchant, currency)"
            " SELECT t.*, m.name, COALESCE(s.amount_minor, 0) AS paid, COALESCE(s.state, '')"
            " AS payout FROM t JOIN payments.merchant AS m ON m.id = t.merchant"
            " LEFT JOIN payments.settlement AS s ON s.merchant = t.merchant"
            " AND s.currency = t.currency AND s.mode = :mode AND s.on_day = :settled"
            " ORDER BY t.gross DESC, t.merchant, t.currency LIMIT :limit"
        ),
        {"mode": mode.value, "on": on, "settled": settled_on, "limit": limit},
    )
    return [
        MerchantLine(
            merchant=row.merchant,
            name=row.name,
            currency=row.currency,
            gross_minor=row.gross,
            refund_minor=row.refund,
            dispute_minor=row.dispute,
            fee_minor=row.fee,
            reserve_minor=row.reserve,
            net_minor=row.net,
            paid_minor=row.paid if row.payout in ("paid", "paying", "pay_unknown") else 0,
            payout=row.payout,
        )
        for row in rows
    ]
