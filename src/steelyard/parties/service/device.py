"""Devices: seen, vouched for, blocked."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.parties.model.device import (
    Device,
    DeviceIsBlocked,
    DeviceIsUnknown,
    DeviceKind,
    DeviceLink,
    FingerprintIsInvalid,
    check_fingerprint,
)
from steelyard.parties.model.party import check_reason
from steelyard.parties.service.facts import (
    DeviceBlocked,
    DeviceLinked,
    DeviceTrusted,
    DeviceUnblocked,
)
from steelyard.parties.store import device as table
from steelyard.parties.store import party as party_table

__all__ = [
    "Device",
    "DeviceIsBlocked",
    "DeviceIsUnknown",
    "DeviceKind",
    "DeviceLink",
    "FingerprintIsInvalid",
    "block",
    "devices_of",
    "distrust",
    "parties_on",
    "see",
    "trust",
    "unblock",
]


def see(
    unit: UnitOfWork, keyring: Keyring, party: UUID, *, fingerprint: str, kind: DeviceKind
) -> DeviceLink:
    """Note that a party came in with a device; return what the device is to it.

    A blocked device is noted too: whoever asks decides what follows. The fingerprint is kept as a
    keyed hash only; the kind is that of the first sighting.

    Refusals
    --------
    party_is_unknown, party_is_closed, fingerprint_is_invalid
    """
    text = check_fingerprint(fingerprint)
    present = party_table.lock(unit.connection, party).must_be_open()
    device = table.see(
        unit.connection,
        new_id=unit.new_id(),
        fingerprint=keyring.blind_index(unit.connection, text, field="device.fingerprint"),
        kind=kind,
        at=unit.now,
    )
    is_new = table.link(unit.connection, party=party, device=device, at=unit.now)
    link = table.read_link(unit.connection, party, device)
    if is_new:
        fact = DeviceLinked(
            party=party,
            device=device,
            device_kind=link.device.kind,
            parties_on_device=link.device.parties,
        )
        unit.record(fact, subject=present.subject)
    return link


def trust(unit: UnitOfWork, party: UUID, device: UUID) -> DeviceLink:
    """Let a party vouch for a device it came in with.

    Refusals
    --------
    party_is_unknown, party_is_closed, device_is_unknown, device_is_blocked
    """
    return _set_trust(unit, party, device, is_trusted=True)


def distrust(unit: UnitOfWork, party: UUID, device: UUID) -> DeviceLink:
    """Take back that a party vouches for a device.

    Refusals
    --------
    party_is_unknown, party_is_closed, device_is_unknown
    """
    return _set_trust(unit, party, device, is_trusted=False)


def _set_trust(unit: UnitOfWork, party: UUID, device: UUID, *, is_trusted: bool) -> DeviceLink:
    present = party_table.lock(unit.connection, party).must_be_open()
    held = table.lock_device(unit.connection, device)
    link = table.read_link(unit.connection, party, device)
    if is_trusted and held.blocked_at is not None:
        raise DeviceIsBlocked(device=device)
    if (link.trusted_at is not None) == is_trusted:
        return link
    table.set_trust(unit.connection, party, device, unit.now if is_trusted else None)
    unit.record(
        DeviceTrusted(party=party, device=device, is_trusted=is_trusted), subject=present.subject
    )
    return table.read_link(unit.connection, party, device)


def block(unit: UnitOfWork, device: UUID, *, reason: str) -> Device:
    """Block a device for everybody; one that is blocked stays so.

    Refusals
    --------
    device_is_unknown, reason_is_invalid
    """
    check_reason(reason)
    held = table.lock_device(unit.connection, device)
    if held.blocked_at is not None:
        return held
    table.set_block(unit.connection, device, at=unit.now, reason=reason)
    unit.record(DeviceBlocked(device=device, reason=reason), subject=f"device:{device}")
    audit(unit, action="parties.block_device", subject=f"device:{device}", detail={"why": reason})
    return table.lock_device(unit.connection, device)


def unblock(unit: UnitOfWork, device: UUID, *, reason: str) -> Device:
    """Let a blocked device in again; one that is not blocked stays so.

    Refusals
    --------
    device_is_unknown, reason_is_invalid
    """
    check_reason(reason)
    held = table.lock_device(unit.connection, device)
    if held.blocked_at is None:
        return held
    table.set_block(unit.connection, device, at=None, reason=None)
    unit.record(DeviceUnblocked(device=device, reason=reason), subject=f"device:{device}")
    audit(unit, action="parties.unblock_device", subject=f"device:{device}", detail={"why": reason})
    return table.lock_device(unit.connection, device)


def devices_of(connection: sa.Connection, party: UUID) -> tuple[DeviceLink, ...]:
    """Return the devices a party came in with, oldest first.

    Refusals
    --------
    party_is_unknown
    """
    party_table.read(connection, party)
    return tuple(table.links(connection, party=party))


def parties_on(connection: sa.Connection, device: UUID) -> tuple[DeviceLink, ...]:
    """Return who came in with a device, oldest first."""
    return tuple(table.links(connection, device=device))
