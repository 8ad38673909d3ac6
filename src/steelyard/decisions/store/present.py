"""The end of the log of decisions, read by index however long the log is."""

from __future__ import annotations

import sqlalchemy as sa


def count(connection: sa.Connection) -> int:
    """Return how many decisions were made, in all shards."""
    made: int = connection.execute(
        sa.text("SELECT coalesce(sum(decisions), 0)::bigint FROM decisions.owner")
    ).scalar_one()
    return made


def last_outcomes(connection: sa.Connection, shard: int, *, over: int) -> dict[str, int]:
    """Return how often each outcome is among the last decisions of a shard."""
    rows = connection.execute(
        sa.text(
            "SELECT outcome, count(*) AS times FROM (SELECT outcome FROM decisions.log"
            " WHERE shard = :shard ORDER BY number DESC LIMIT :over) AS last GROUP BY outcome"
        ),
        {"shard": shard, "over": over},
    )
    return {row.outcome: row.times for row in rows}
