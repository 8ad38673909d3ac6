"""Tables of events as merchants are told them, and of their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import Answer, Delivery, DeliveryState, Event, Form
from steelyard.payments.model.webhooks_refusals import (
    WebhookDeliveryIsUnknown,
    WebhookEventIsUnknown,
)

_EVENT = "v.id, v.merchant, v.app, v.mode, v.kind, v.object, v.sequence, v.snapshot, v.occurred_at"
_DELIVERY = """
    d.id, d.event, d.endpoint, d.merchant, d.state, d.version, d.tries, d.round_tries, d.made_at,
    d.next_try_wall_at, d.last_status, d.last_error, d.delivered_wall_at
"""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event on its way into its table, with its place in the log of facts."""

    fact: int
    event: Event


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker has until an instant, with all that it takes to send it."""

    delivery: Delivery
    event: Event
    url: str
    form: Form
    api_version: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try."""

    no: int
    at: datetime
    answer: Answer


def merchants_with_apps(connection: sa.Connection, merchants: Sequence[UUID]) -> set[UUID]:
    """Return those of some merchants that have a program at all: the others hear nothing."""
    rows = connection.execute(
        sa.text("SELECT DISTINCT merchant FROM payments.app WHERE merchant = ANY(:ids)"),
        {"ids": list(merchants)},
    )
    return set(rows.scalars())


def known_facts(connection: sa.Connection, facts: Sequence[int]) -> set[int]:
    """Return those of some facts that were heard before."""
    rows = connection.execute(
        sa.text("SELECT fact FROM payments.webhook_event WHERE fact = ANY(:facts)"),
        {"facts": list(facts)},
    )
    return set(rows.scalars())


def last_sequences(connection: sa.Connection, objects: Sequence[str]) -> dict[str, int]:
    """Return how many events of some objects there are."""
    rows = connection.execute(
        sa.text(
            "SELECT object, max(sequence) AS last FROM payments.webhook_event"
            " WHERE object = ANY(:objects) GROUP BY object"
        ),
        {"objects": list(objects)},
    )
    return {row.object: row.last for row in rows}


def insert_events(connection: sa.Connection, events: Sequence[NewEvent]) -> None:
    """Append events."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.webhook_event (id, fact, merchant, app, mode, kind, object,"
            " sequence, snapshot, occurred_at) SELECT id, fact, merchant, app, mode, kind, object,"
            " sequence, snapshot, occurred_at FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x"
            " (id uuid, fact bigint, merchant uuid, app text, mode text, kind text, object text,"
            " sequence integer, snapshot jsonb, occurred_at timestamptz)"
        ),
        {"rows": msgspec.json.encode([_row(new) for new in events]).decode()},
    )


def spread(
    connection: sa.Connection, facts: Sequence[int], *, now: datetime, wall_at: datetime
) -> int:
    """Put events on their way to every endpoint that hears their kind; return how many.

    Parameters
    ----------
    facts : the events by their places in the log
    """
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.webhook_delivery (id, event, endpoint, merchant, state,"
            " next_try_wall_at, made_at, made_wall_at)"
            " SELECT gen_random_uuid(), v.id, e.id, e.merchant, 'pending', :wall, :now, :wall"
            " FROM payments.webhook_event v JOIN payments.webhook_endpoint e"
            " ON e.merchant = v.merchant AND e.mode = v.mode AND (v.app IS NULL OR e.app = v.app)"
            " AND e.state <> 'closed' AND (e.kinds @> ARRAY['*'] OR e.kinds @> ARRAY[v.kind])"
            " WHERE v.fact = ANY(:facts) ON CONFLICT (event, endpoint) DO NOTHING"
        ),
        {"facts": list(facts), "now": now, "wall": wall_at},
    )
    return done.rowcount


def claim(
    connection: sa.Connection, *, now: datetime, until: datetime, limit: int, per_endpoint: int
) -> list[Claimed]:
    """Take deliveries that are due, and hold them until an instant.

    Parameters
    ----------
    limit : of all; per_endpoint : of one, those under way counted, so that a slow endpoint takes
        up a few places and never all of them
    """
    rows = connection.execute(
        sa.text(
            "WITH chosen AS ("
            " SELECT due.id FROM payments.webhook_endpoint e CROSS JOIN LATERAL ("
            "  SELECT d.id, d.next_try_wall_at FROM payments.webhook_delivery d"
            "  WHERE d.endpoint = e.id AND d.next_try_wall_at <= :now"
            "  AND (d.sending_until IS NULL OR d.sending_until <= :now)"
            "  ORDER BY d.next_try_wall_at, d.id LIMIT greatest(0, :per - ("
            "   SELECT count(*) FROM payments.webhook_delivery b WHERE b.endpoint = e.id"
            "   AND b.next_try_wall_at IS NOT NULL AND b.sending_until > :now))"
            " ) due WHERE e.state = 'enabled' ORDER BY due.next_try_wall_at, due.id LIMIT :limit"
            "), held AS ("
            " SELECT d.id FROM payments.webhook_delivery d JOIN chosen USING (id)"
            " ORDER BY d.id FOR UPDATE OF d SKIP LOCKED"
            ") UPDATE payments.webhook_delivery d SET sending_until = :until,"
            " version = d.version + 1 FROM held, payments.webhook_event v,"
            " payments.webhook_endpoint e WHERE d.id = held.id AND v.id = d.event"
            " AND e.id = d.endpoint AND d.next_try_wall_at IS NOT NULL"
            " AND (d.sending_until IS NULL OR d.sending_until <= :now)"
            f" RETURNING {_DELIVERY}, e.url, e.form, e.api_version, v.app, v.mode, v.kind,"
            " v.object, v.sequence, v.snapshot, v.occurred_at, v.merchant AS of"
        ),
        {"now": now, "until": until, "limit": limit, "per": per_endpoint},
    )
    return [
        Claimed(
            _delivery(row),
            Event(
                id=row.event,
                merchant=row.of,
                app=row.app,
                mode=Mode(row.mode),
                kind=row.kind,
                object=row.object,
                sequence=row.sequence,
                snapshot=row.snapshot,
                occurred_at=row.occurred_at.astimezone(UTC),
            ),
            row.url,
            Form(row.form),
            row.api_version,
        )
        for row in rows
    ]


def settle(connection: sa.Connection, before: Delivery, after: Delivery) -> bool:
    """Write where a delivery came to; return False where another worker has it by now."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.webhook_delivery SET state = :state, version = version + 1,"
            " tries = :tries, round_tries = :round_tries, next_try_wall_at = :next_try,"
            " sending_until = NULL, last_status = :status, last_error = :error,"
            " delivered_wall_at = :delivered WHERE id = :id AND version = :version"
        ),
        {
            "id": before.id,
            "version": before.version,
            "state": after.state,
            "tries": after.tries,
            "round_tries": after.round_tries,
            "next_try": after.next_try_at,
            "status": after.last_status,
            "error": after.last_error,
            "delivered": after.delivered_at,
        },
    )
    return done.rowcount == 1


def insert_try(connection: sa.Connection, delivery: UUID, tried: Tried) -> None:
    """Append what came of a try."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.webhook_try (delivery, no, wall_at, status, error, answer,"
            " latency_ms) VALUES (:delivery, :no, :at, :status, :error, :answer, :latency)"
        ),
        {
            "delivery": delivery,
            "no": tried.no,
            "at": tried.at,
            "status": tried.answer.status,
            "error": tried.answer.error,
            "answer": tried.answer.text,
            "latency": tried.answer.latency_ms,
        },
    )


def give_up(connection: sa.Connection, endpoint: str, why: str) -> int:
    """Let what waits for an endpoint die with it; return how many."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.webhook_delivery SET state = 'dead', next_try_wall_at = NULL,"
            " sending_until = NULL, last_error = :why, version = version + 1"
            " WHERE endpoint = :endpoint AND next_try_wall_at IS NOT NULL"
        ),
        {"endpoint": endpoint, "why": why},
    )
    return done.rowcount


def read(connection: sa.Connection, delivery: UUID, *, lock: bool = False) -> Delivery:
    """Return a delivery, its row held if asked for.

    Refusals
    --------
    webhook_delivery_is_unknown
    """
    row = connection.execute(
        sa.text(
            f"SELECT {_DELIVERY} FROM payments.webhook_delivery d WHERE d.id = :id"
            f"{' FOR UPDATE' if lock else ''}"
        ),
        {"id": delivery},
    ).one_or_none()
    if row is None:
        raise WebhookDeliveryIsUnknown(delivery=delivery)
    return _delivery(row)


def lock_dead(
    connection: sa.Connection, endpoint: str, since: datetime, limit: int
) -> list[Delivery]:
    """Return dead deliveries of an endpoint, the oldest first, their rows held."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_DELIVERY} FROM payments.webhook_delivery d WHERE d.endpoint = :endpoint"
            " AND d.state = 'dead' AND d.made_at >= :since ORDER BY d.id LIMIT :limit FOR UPDATE"
        ),
        {"endpoint": endpoint, "since": since, "limit": limit},
    )
    return [_delivery(row) for row in rows]


def list_newest(
    connection: sa.Connection,
    *,
    merchant: UUID | None,
    endpoint: str | None,
    state: DeliveryState | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Delivery]:
    """Return deliveries, newest first."""
    at, id = before or (None, None)
    rows = connection.execute(
        sa.text(
            f"SELECT {_DELIVERY} FROM payments.webhook_delivery d"
            " WHERE (CAST(:merchant AS uuid) IS NULL OR d.merchant = :merchant)"
            " AND (CAST(:endpoint AS text) IS NULL OR d.endpoint = :endpoint)"
            " AND (CAST(:state AS text) IS NULL OR d.state = :state)"
            " AND (CAST(:at AS timestamptz) IS NULL OR (d.made_at, d.id) < (:at, :id))"
            " ORDER BY d.made_at DESC, d.id DESC LIMIT :limit"
        ),
        {
            "merchant": merchant,
            "endpoint": endpoint,
            "state": state,
            "at": at,
            "id": id,
            "limit": limit,
        },
    )
    return [_delivery(row) for row in rows]


def tries_of(connection: sa.Connection, delivery: UUID) -> list[Tried]:
    """Return the tries of a delivery, the oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT no, wall_at, status, error, answer, latency_ms FROM payments.webhook_try"
            " WHERE delivery = :delivery ORDER BY no"
        ),
        {"delivery": delivery},
    )
    return [
        Tried(
            row.no,
            row.wall_at.astimezone(UTC),
            Answer(row.status, row.error, row.answer, row.latency_ms),
        )
        for row in rows
    ]


def read_event(connection: sa.Connection, event: UUID) -> Event:
    """Return an event.

    Refusals
    --------
    webhook_event_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT {_EVENT} FROM payments.webhook_event v WHERE v.id = :id"), {"id": event}
    ).one_or_none()
    if row is None:
        raise WebhookEventIsUnknown(event=event)
    return _event(row)


def list_events(
    connection: sa.Connection,
    merchant: UUID,
    mode: Mode,
    *,
    kinds: Sequence[str] | None = None,
    app: str | None = None,
    before: UUID | None = None,
    after: UUID | None = None,
    limit: int,
) -> list[Event]:
    """Return events of a merchant in a mode: newest first, oldest first where `after` is given."""
    way = "" if after is not None else "DESC"
    rows = connection.execute(
        sa.text(
            f"SELECT {_EVENT} FROM payments.webhook_event v"
            " WHERE v.merchant = :merchant AND v.mode = :mode"
            " AND (CAST(:kinds AS text[]) IS NULL OR v.kind = ANY(:kinds))"
            " AND (CAST(:app AS text) IS NULL OR v.app IS NULL OR v.app = :app)"
            " AND (CAST(:before AS uuid) IS NULL OR v.id < :before)"
            " AND (CAST(:after AS uuid) IS NULL OR v.id > :after)"
            f" ORDER BY v.id {way} LIMIT :limit"
        ),
        {
            "merchant": merchant,
            "mode": mode,
            "kinds": None if kinds is None else list(kinds),
            "app": app,
            "before": before,
            "after": after,
            "limit": limit,
        },
    )
    return [_event(row) for row in rows]


def _row(new: NewEvent) -> dict[str, Any]:
    event = new.event
    return {
        "id": event.id,
        "fact": new.fact,
        "merchant": event.merchant,
        "app": event.app,
        "mode": event.mode,
        "kind": event.kind,
        "object": event.object,
        "sequence": event.sequence,
        "snapshot": event.snapshot,
        "occurred_at": event.occurred_at,
    }


def _event(row: sa.Row[Any]) -> Event:
    return Event(
        id=row.id,
        merchant=row.merchant,
        app=row.app,
        mode=Mode(row.mode),
        kind=row.kind,
        object=row.object,
        sequence=row.sequence,
        snapshot=row.snapshot,
        occurred_at=row.occurred_at.astimezone(UTC),
    )


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        event=row.event,
        endpoint=row.endpoint,
        merchant=row.merchant,
        state=DeliveryState(row.state),
        version=row.version,
        tries=row.tries,
        round_tries=row.round_tries,
        made_at=row.made_at.astimezone(UTC),
        next_try_at=row.next_try_wall_at and row.next_try_wall_at.astimezone(UTC),
        last_status=row.last_status,
        last_error=row.last_error,
        delivered_at=row.delivered_wall_at and row.delivered_wall_at.astimezone(UTC),
    )
