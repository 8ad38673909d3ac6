"""Counts over attempts, by channel."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode

_LATELY = sa.text(
    "SELECT a.channel, count(*),"
    " count(*) FILTER (WHERE a.state IN ('authorized', 'succeeded', 'reversed')),"
    " count(*) FILTER (WHERE a.state IN ('sent', 'pending_user', 'pending', 'unknown'))"
    " FROM payments.attempt AS a WHERE a.channel = ANY(:channels) AND a.sent_at >= :since"
    " AND a.state <> 'init' GROUP BY a.channel"
)
_UNKNOWN = sa.text(
    "SELECT channel, count(*) FROM payments.attempt"
    " WHERE state IN ('sent', 'pending', 'unknown') AND channel = ANY(:channels) GROUP BY channel"
)


class Lately(NamedTuple):
    """Attempts of a channel since an instant: all, those that went through, those not finished."""

    tried: int
    succeeded: int
    waiting: int


def lately(connection: sa.Connection, channels: list[str], since: datetime) -> dict[str, Lately]:
    """Return the attempts sent since an instant, by channel; one without any is left out."""
    rows = connection.execute(_LATELY, {"channels": channels, "since": since})
    return {row[0]: Lately(*row[1:]) for row in rows}


def unknown(connection: sa.Connection, channels: list[str]) -> dict[str, int]:
    """Return how many attempts are with a channel and nobody knows what became of them."""
    rows = connection.execute(_UNKNOWN, {"channels": channels})
    return {row[0]: row[1] for row in rows}


def channels(connection: sa.Connection, mode: Mode) -> list[tuple[str, str]]:
    """Return the channels of a mode that are not retired: code and stage, by code."""
    rows = connection.execute(
        sa.text(
            "SELECT code, stage FROM payments.channel WHERE mode = :mode"
            " AND stage <> 'retired' ORDER BY code"
        ),
        {"mode": mode.value},
    )
    return [(row[0], row[1]) for row in rows]
