"""The clock as an argument: what "now" means is decided outside the models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Tells the instant, in UTC, with a zone; the real one lives in `base`."""

    def now(self) -> datetime:
        """Return the present instant as an aware datetime in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still.

    Examples
    --------
    >>> from datetime import UTC
    >>> FixedClock(datetime(2026, 1, 2, tzinfo=UTC)).now().isoformat()
    '2026-01-02T00:00:00+00:00'
    """

    at: datetime

    def now(self) -> datetime:
        """Return the one instant."""
        return self.at


class SteppingClock:
    """A clock moved by hand, never backwards unless told so (tests of a clock that jumps)."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """Return the instant it was last moved to."""
        return self.at

    def advance(self, by: timedelta) -> datetime:
        """Move by `by` and return the new instant."""
        self.at += by
        return self.at


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """A clock that runs at `speed` virtual seconds for one second of the `source` clock.

    Attributes
    ----------
    source : the clock that drives it
    real_anchor, virtual_anchor : instants that coincide
    speed : virtual seconds for one real second; 0 stands still

    Examples
    --------
    >>> from datetime import UTC
    >>> real = SteppingClock(datetime(2026, 1, 1, tzinfo=UTC))
    >>> town = VirtualClock(real, real.now(), datetime(2030, 1, 1, tzinfo=UTC), speed=60)
    >>> _ = real.advance(timedelta(seconds=1))
    >>> town.now().isoformat()
    '2030-01-01T00:01:00+00:00'
    """

    source: Clock
    real_anchor: datetime
    virtual_anchor: datetime
    speed: float

    def now(self) -> datetime:
        """Return the virtual instant."""
        return self.virtual_anchor + (self.source.now() - self.real_anchor) * self.speed
