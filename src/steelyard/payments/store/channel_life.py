"""Tables of a channel's stages and test payments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.payments.model.channel import Stage
from steelyard.payments.model.lifecycle import ChannelRecord, TestKind, TestLine


def insert_stage(
    connection: sa.Connection,
    after: ChannelRecord,
    *,
    before: Stage | None,
    cause: str,
    detail: Mapping[str, object],
    actor: str,
) -> None:
    """Keep a step of a channel's life."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.channel_stage"
            " (channel, version, before, after, cause, detail, actor, at)"
            " VALUES (:channel, :version, :before, :after, :cause, :detail, :actor, :at)"
        ).bindparams(sa.bindparam("detail", type_=JSONB)),
        {
            "channel": after.code,
            "version": after.version,
            "before": before,
            "after": after.stage.value,
            "cause": cause,
            "detail": dict(detail),
            "actor": actor,
            "at": after.updated_at,
        },
    )


def stages_of(connection: sa.Connection, code: str) -> list[dict[str, Any]]:
    """Return the steps of a channel's life, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT version, before, after, cause, detail, actor, at FROM payments.channel_stage"
            " WHERE channel = :code ORDER BY version"
        ),
        {"code": code},
    ).all()
    return [dict(row._mapping) for row in rows]


def insert_test(connection: sa.Connection, line: TestLine) -> None:
    """Keep a test payment or a probe."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.channel_trial (id, channel, kind, number, said, code,"
            " amount_minor, is_passed, latency_ms, actor, at) VALUES (:id, :channel, :kind,"
            " :number, :said, :code, :amount_minor, :is_passed, :latency_ms, :actor, :at)"
        ),
        {name: getattr(line, name) for name in _TEST},
    )


_TEST = (
    "id",
    "channel",
    "kind",
    "number",
    "said",
    "code",
    "amount_minor",
    "is_passed",
    "latency_ms",
    "actor",
    "at",
)


def newest_tests(connection: sa.Connection, code: str) -> list[TestLine]:
    """Return the newest line of each kind of a channel's protocol."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT ON (kind) {', '.join(_TEST)} FROM payments.channel_trial"
            " WHERE channel = :code ORDER BY kind, sequence DESC"
        ),
        {"code": code},
    ).all()
    return [_line(row) for row in rows]


def protocol_of(connection: sa.Connection, code: str, *, limit: int = 100) -> list[TestLine]:
    """Return the protocol of a channel, newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {', '.join(_TEST)} FROM payments.channel_trial"
            " WHERE channel = :code ORDER BY sequence DESC LIMIT :limit"
        ),
        {"code": code, "limit": limit},
    ).all()
    return [_line(row) for row in rows]


def _line(row: Any) -> TestLine:
    return TestLine(**{**row._mapping, "kind": TestKind(row.kind)})


def unfinished(connection: sa.Connection, code: str) -> int:
    """Return how many attempts of a channel have not ended."""
    found = connection.execute(
        sa.text(
            "SELECT count(*) FROM payments.attempt WHERE channel = :code AND state IN"
            " ('sent', 'pending_user', 'pending', 'unknown', 'authorized', 'integrity_hold')"
        ),
        {"code": code},
    ).scalar_one()
    return int(found)


def succeeded_on_trial(connection: sa.Connection, code: str) -> int:
    """Return how many attempts of a channel went through since it came to its trial last."""
    found = connection.execute(
        sa.text(
            "SELECT count(*) FROM payments.attempt WHERE channel = :code"
            " AND state IN ('succeeded', 'reversed') AND sent_at >= (SELECT max(at)"
            " FROM payments.channel_stage WHERE channel = :code AND after = 'trial')"
        ),
        {"code": code},
    ).scalar_one()
    return int(found)
