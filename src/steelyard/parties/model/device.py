"""Devices: what parties come in with, shared by several of them at times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind


class DeviceKind(StrEnum):
    """What sort of device."""

    WEB = "web"
    IOS = "ios"
    ANDROID = "android"
    TERMINAL = "terminal"


class DeviceIsUnknown(Refusal):
    """No device has the id, or the party never came in with it."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no device {device}."
    zh = "设备 {device} 不存在。"


class DeviceIsBlocked(Refusal):
    """A blocked device is trusted by nobody."""

    kind = RefusalKind.CONFLICT
    en = "Device {device} is blocked."
    zh = "设备 {device} 已被封禁。"


class FingerprintIsInvalid(Refusal):
    """A fingerprint is a short text."""

    kind = RefusalKind.INVALID
    en = "A fingerprint has 8 to 500 characters."
    zh = "设备指纹须为 8 至 500 个字符。"


@dataclass(frozen=True, slots=True)
class Device:
    """A device; its fingerprint is kept as a keyed hash only.

    Attributes
    ----------
    blocked_at : when it was blocked for everybody, None if not
    parties : how many parties came in with it
    """

    id: UUID
    kind: DeviceKind
    first_seen_at: datetime
    last_seen_at: datetime
    blocked_at: datetime | None
    parties: int


@dataclass(frozen=True, slots=True)
class DeviceLink:
    """That a party came in with a device.

    Attributes
    ----------
    sightings : how often
    trusted_at : when the party vouched for it, None if not; a blocked device is never trusted
    """

    party: UUID
    device: Device
    first_seen_at: datetime
    last_seen_at: datetime
    sightings: int
    trusted_at: datetime | None

    @property
    def is_trusted(self) -> bool:
        """Whether the party vouched for it and nobody blocked it."""
        return self.trusted_at is not None and self.device.blocked_at is None


def check_fingerprint(fingerprint: str) -> str:
    """Return the fingerprint without surrounding space.

    Refusals
    --------
    fingerprint_is_invalid
    """
    text = fingerprint.strip()
    if not 8 <= len(text) <= 500:
        raise FingerprintIsInvalid
    return text
