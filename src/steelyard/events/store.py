"""Tables and queries of the log of facts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from steelyard.base import Recorded

_APPEND = sa.text(
    """
    INSERT INTO events.log (kind, version, subject, occurred_at, recorded_at, actor, payload)
    SELECT kind, version, subject, occurred_at, recorded_at, actor, payload::jsonb
    FROM unnest(
        CAST(:kinds AS text[]), CAST(:versions AS smallint[]), CAST(:subjects AS text[]),
        CAST(:occurred AS timestamptz[]), CAST(:recorded AS timestamptz[]),
        CAST(:actors AS text[]), CAST(:payloads AS text[])
    ) AS f (kind, version, subject, occurred_at, recorded_at, actor, payload)
    """
)


class PostgresFactLog:
    """Keeps facts in `events.log`, in the transaction of the one who records them."""

    def write(self, connection: sa.Connection, facts: Sequence[Recorded]) -> None:
        """Append the facts, in order, with one statement."""
        connection.execute(
            _APPEND,
            {
                "kinds": [f.fact.kind for f in facts],
                "versions": [f.fact.version for f in facts],
                "subjects": [f.subject for f in facts],
                "occurred": [f.occurred_at for f in facts],
                "recorded": [f.recorded_at for f in facts],
                "actors": [f.actor for f in facts],
                "payloads": [msgspec.json.encode(f.fact).decode() for f in facts],
            },
        )
