"""Identifiers that sort by time (UUID version 7, RFC 9562), made without a hidden clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENTROPY_BYTES = 10


def uuid7(at: datetime, entropy: bytes) -> UUID:
    """Return the UUID version 7 of an instant and ten bytes of entropy.

    Parameters
    ----------
    at : aware instant, kept to the millisecond
    entropy : exactly ten bytes; 74 of their 80 bits are used

    Returns
    -------
    UUID
        Two ids of different milliseconds sort as their instants do. Source: RFC 9562, section 5.7.

    Examples
    --------
    >>> str(uuid7(datetime(2026, 1, 1, tzinfo=UTC), bytes(10)))
    '019b76da-a800-7000-8000-000000000000'
    """
    assert at.tzinfo is not None, "an instant has a zone"
    assert len(entropy) == ENTROPY_BYTES, "ten bytes of entropy"
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    raw = bytearray(milliseconds.to_bytes(6, "big") + entropy)
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return UUID(bytes=bytes(raw))
