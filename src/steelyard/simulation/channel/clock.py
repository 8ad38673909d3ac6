"""The simulator's clock: the machine's, or a town's virtual time."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")
_DAY = 86_400.0


class Clock:
    """Tells seconds since 1970; set, it runs on from there at a speed."""

    def __init__(self) -> None:
        self._real = self._virtual = time.time()
        self._speed = 1.0

    def now(self) -> float:
        """Return the instant, in seconds since 1970."""
        return self._virtual + (time.time() - self._real) * self._speed

    def set(self, at: float, speed: float) -> None:
        """Let it stand at `at` now and run on at `speed`; 0 stands still."""
        self._real, self._virtual, self._speed = time.time(), at, speed


def instant(at: float) -> datetime:
    """Return seconds since 1970 as an instant in UTC."""
    return datetime.fromtimestamp(at, UTC)


def local(at: float) -> datetime:
    """Return seconds since 1970 on the clocks of Beijing."""
    return datetime.fromtimestamp(at, BEIJING)


def bounds(on: date, cut_off_seconds: float = 0.0) -> tuple[float, float]:
    """Return when a clearing day begins and ends: from cut-off to cut-off, on Beijing's clock.

    Examples
    --------
    >>> first, last = bounds(date(2026, 3, 2))
    >>> instant(first).isoformat(), last - first
    ('2026-03-01T16:00:00+00:00', 86400.0)
    """
    end = datetime(on.year, on.month, on.day, tzinfo=BEIJING).timestamp() + _DAY
    if cut_off_seconds:
        end -= _DAY - cut_off_seconds
    return end - _DAY, end


def day_of(at: float, cut_off_seconds: float = 0.0) -> date:
    """Return the clearing day of an instant.

    Examples
    --------
    >>> day_of(bounds(date(2026, 3, 2), 82_800.0)[1], 82_800.0)
    datetime.date(2026, 3, 3)
    """
    shift = _DAY - cut_off_seconds if cut_off_seconds else 0.0
    return local(at + shift).date()
