"""Tables of webhook endpoints and their secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import Endpoint, EndpointState, Form
from steelyard.payments.model.webhooks_refusals import WebhookEndpointIsUnknown

_COLUMNS = """
    e.id, e.merchant, e.app, e.mode, e.url, e.kinds, e.form, e.api_version, e.state, e.version,
    e.disabled_for, e.dead_in_a_row, e.created_at, e.created_by,
    ARRAY(SELECT s.hint FROM payments.webhook_secret s WHERE s.endpoint = e.id
        ORDER BY s.number DESC) AS hints
"""


def insert(connection: sa.Connection, endpoint: Endpoint) -> None:
    """Insert an endpoint without its secret."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.webhook_endpoint (id, merchant, app, mode, url, kinds, form,"
            " api_version, state, created_at, created_by) VALUES (:id, :merchant, :app, :mode,"
            " :url, :kinds, :form, :api_version, :state, :at, :by)"
        ),
        {
            "id": endpoint.id,
            "merchant": endpoint.merchant,
            "app": endpoint.app,
            "mode": endpoint.mode,
            "url": endpoint.url,
            "kinds": list(endpoint.kinds),
            "form": endpoint.form,
            "api_version": endpoint.api_version,
            "state": endpoint.state,
            "at": endpoint.created_at,
            "by": endpoint.created_by,
        },
    )


def change(connection: sa.Connection, before: Endpoint, after: Endpoint) -> None:
    """Write an endpoint whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.webhook_endpoint SET url = :url, kinds = :kinds, state = :state,"
            " disabled_for = :disabled_for, dead_in_a_row = :dead, version = version + 1"
            " WHERE id = :id AND version = :version"
        ),
        {
            "id": before.id,
            "version": before.version,
            "url": after.url,
            "kinds": list(after.kinds),
            "state": after.state,
            "disabled_for": after.disabled_for,
            "dead": after.dead_in_a_row,
        },
    )
    assert done.rowcount == 1, "the row is held"


def read(connection: sa.Connection, endpoint: str, *, lock: bool = False) -> Endpoint:
    """Return an endpoint, its row held if asked for.

    Refusals
    --------
    webhook_endpoint_is_unknown
    """
    found = lock_many(connection, [endpoint]) if lock else _select(connection, [endpoint], "")
    if not found:
        raise WebhookEndpointIsUnknown(endpoint=endpoint[:40])
    return found[endpoint]


def lock_many(connection: sa.Connection, endpoints: Sequence[str]) -> dict[str, Endpoint]:
    """Return endpoints, their rows held in the order of their ids."""
    return _select(connection, endpoints, " ORDER BY e.id FOR UPDATE OF e")


def _select(connection: sa.Connection, ids: Sequence[str], tail: str) -> dict[str, Endpoint]:
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM payments.webhook_endpoint e WHERE e.id = ANY(:ids){tail}"),
        {"ids": list(ids)},
    )
    return {row.id: _endpoint(row) for row in rows}


def of_merchant(
    connection: sa.Connection, merchant: UUID, *, app: str | None = None
) -> list[Endpoint]:
    """Return the endpoints of a merchant or of one app that are not closed, oldest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM payments.webhook_endpoint e WHERE e.merchant = :merchant"
            " AND e.state <> 'closed' AND (CAST(:app AS text) IS NULL OR e.app = :app)"
            " ORDER BY e.created_at, e.id"
        ),
        {"merchant": merchant, "app": app},
    )
    return [_endpoint(row) for row in rows]


def insert_secret(
    connection: sa.Connection,
    endpoint: str,
    *,
    number: int,
    sealed: bytes,
    hint: str,
    made_at: datetime,
) -> None:
    """Insert a secret without an end."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.webhook_secret (endpoint, number, sealed, hint, made_wall_at)"
            " VALUES (:endpoint, :number, :sealed, :hint, :at)"
        ),
        {
            "endpoint": endpoint,
            "number": number,
            "sealed": sealed,
            "hint": hint,
            "at": made_at,
        },
    )


def end_secrets(connection: sa.Connection, endpoint: str, *, now: datetime, until: datetime) -> int:
    """Let the newest secret end at an instant, drop those before; return the newest number."""
    newest: int = connection.execute(
        sa.text(
            "SELECT coalesce(max(number), 0) FROM payments.webhook_secret"
            " WHERE endpoint = :endpoint"
        ),
        {"endpoint": endpoint},
    ).scalar_one()
    connection.execute(
        sa.text(
            "DELETE FROM payments.webhook_secret WHERE endpoint = :endpoint"
            " AND (expires_wall_at IS NOT NULL OR CAST(:until AS timestamptz) <= :now)"
        ),
        {"endpoint": endpoint, "now": now, "until": until},
    )
    connection.execute(
        sa.text(
            "UPDATE payments.webhook_secret SET expires_wall_at = :until"
            " WHERE endpoint = :endpoint AND expires_wall_at IS NULL"
        ),
        {"endpoint": endpoint, "until": until},
    )
    return newest


def secrets_of(
    connection: sa.Connection, endpoints: Sequence[str], now: datetime
) -> dict[str, list[bytes]]:
    """Return the sealed secrets that sign at an instant, the newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT endpoint, sealed FROM payments.webhook_secret WHERE endpoint = ANY(:ids)"
            " AND (expires_wall_at IS NULL OR expires_wall_at > :now)"
            " ORDER BY endpoint, number DESC"
        ),
        {"ids": list(endpoints), "now": now},
    )
    found: dict[str, list[bytes]] = {endpoint: [] for endpoint in endpoints}
    for row in rows:
        found[row.endpoint].append(bytes(row.sealed))
    return found


def drop_secrets(connection: sa.Connection, endpoint: str) -> None:
    """Delete the secrets of an endpoint that is closed."""
    connection.execute(
        sa.text("DELETE FROM payments.webhook_secret WHERE endpoint = :endpoint"),
        {"endpoint": endpoint},
    )


def _endpoint(row: sa.Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        merchant=row.merchant,
        app=row.app,
        mode=Mode(row.mode),
        url=row.url,
        kinds=tuple(row.kinds),
        form=Form(row.form),
        api_version=row.api_version,
        state=EndpointState(row.state),
        version=row.version,
        created_at=row.created_at.astimezone(UTC),
        created_by=row.created_by,
        dead_in_a_row=row.dead_in_a_row,
        disabled_for=row.disabled_for,
        hints=tuple(row.hints),
    )
