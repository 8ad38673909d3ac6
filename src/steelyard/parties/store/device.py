"""Tables of devices and of who came in with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.parties.model.device import Device, DeviceIsUnknown, DeviceKind, DeviceLink

_DEVICE = """
    d.id, d.kind, d.first_seen_at AS device_first, d.last_seen_at AS device_last, d.blocked_at,
    (SELECT count(*) FROM parties.device_link o WHERE o.device = d.id) AS parties
"""
_LINK = f"""
    SELECT {_DEVICE}, l.party, l.first_seen_at, l.last_seen_at, l.sightings, l.trusted_at
    FROM parties.device_link l JOIN parties.device d ON d.id = l.device
"""


def see(
    connection: sa.Connection, *, new_id: UUID, fingerprint: bytes, kind: DeviceKind, at: datetime
) -> UUID:
    """Note that a device was seen, its row held; return its id."""
    device: UUID = connection.execute(
        sa.text(
            "INSERT INTO parties.device (id, fingerprint, kind, first_seen_at, last_seen_at)"
            " VALUES (:id, :fingerprint, :kind, :at, :at) ON CONFLICT (fingerprint) DO UPDATE"
            " SET last_seen_at = GREATEST(parties.device.last_seen_at, :at) RETURNING id"
        ),
        {"id": new_id, "fingerprint": fingerprint, "kind": kind, "at": at},
    ).scalar_one()
    return device


def link(connection: sa.Connection, *, party: UUID, device: UUID, at: datetime) -> bool:
    """Note that a party came in with a device; return whether for the first time."""
    sightings = connection.execute(
        sa.text(
            "INSERT INTO parties.device_link AS l (party, device, first_seen_at, last_seen_at)"
            " VALUES (:party, :device, :at, :at) ON CONFLICT (party, device) DO UPDATE"
            " SET last_seen_at = GREATEST(l.last_seen_at, :at), sightings = l.sightings + 1"
            " RETURNING sightings"
        ),
        {"party": party, "device": device, "at": at},
    ).scalar_one()
    return bool(sightings == 1)


def read_link(connection: sa.Connection, party: UUID, device: UUID) -> DeviceLink:
    """Return what a device is to a party.

    Refusals
    --------
    device_is_unknown
    """
    row = connection.execute(
        sa.text(f"{_LINK} WHERE l.party = :party AND l.device = :device"),
        {"party": party, "device": device},
    ).one_or_none()
    if row is None:
        raise DeviceIsUnknown(device=device)
    return _link(row)


def links(
    connection: sa.Connection, *, party: UUID | None = None, device: UUID | None = None
) -> list[DeviceLink]:
    """Return the devices of a party, or who came in with a device, oldest first."""
    rows = connection.execute(
        sa.text(
            f"{_LINK} WHERE l.party = :party OR l.device = :device"
            " ORDER BY l.first_seen_at, l.device, l.party"
        ),
        {"party": party, "device": device},
    )
    return [_link(row) for row in rows]


def lock_device(connection: sa.Connection, device: UUID) -> Device:
    """Return a device, its row held.

    Refusals
    --------
    device_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT {_DEVICE} FROM parties.device d WHERE d.id = :id FOR UPDATE OF d"),
        {"id": device},
    ).one_or_none()
    if row is None:
        raise DeviceIsUnknown(device=device)
    return _device(row)


def set_block(
    connection: sa.Connection, device: UUID, *, at: datetime | None, reason: str | None
) -> None:
    """Block a device, or let it in again (both None)."""
    connection.execute(
        sa.text(
            "UPDATE parties.device SET blocked_at = :at, blocked_reason = :reason WHERE id = :id"
        ),
        {"id": device, "at": at, "reason": reason},
    )


def set_trust(connection: sa.Connection, party: UUID, device: UUID, at: datetime | None) -> None:
    """Let a party vouch for a device, or take that back (None)."""
    connection.execute(
        sa.text(
            "UPDATE parties.device_link SET trusted_at = :at"
            " WHERE party = :party AND device = :device"
        ),
        {"party": party, "device": device, "at": at},
    )


def forget(connection: sa.Connection, party: UUID) -> None:
    """Delete what links a party to devices."""
    connection.execute(
        sa.text("DELETE FROM parties.device_link WHERE party = :party"), {"party": party}
    )


def _device(row: sa.Row[Any]) -> Device:
    return Device(
        row.id,
        DeviceKind(row.kind),
        row.device_first.astimezone(UTC),
        row.device_last.astimezone(UTC),
        None if row.blocked_at is None else row.blocked_at.astimezone(UTC),
        row.parties,
    )


def _link(row: sa.Row[Any]) -> DeviceLink:
    return DeviceLink(
        row.party,
        _device(row),
        row.first_seen_at.astimezone(UTC),
        row.last_seen_at.astimezone(UTC),
        row.sightings,
        None if row.trusted_at is None else row.trusted_at.astimezone(UTC),
    )
