"""When a channel takes nothing: its hours, and maintenance that was announced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.channel import Capability, Hours, Method

_DAY: Final = timedelta(days=1)
EVERY_DAY: Final = (0, 1, 2, 3, 4, 5, 6)
MAINTENANCE: Final = "maintenance"
OUTSIDE_HOURS: Final = "outside_its_hours"


class WindowDoesNotFit(Refusal):
    """A maintenance window cannot be meant as it is stated."""

    kind = RefusalKind.INVALID
    en = "The maintenance window does not fit: {why}."
    zh = "维护窗口有误：{why}。"


class WindowIsUnknown(Refusal):
    """The channel has no such window."""

    kind = RefusalKind.NOT_FOUND
    en = "The channel {channel} has no maintenance window {window}."
    zh = "渠道 {channel} 没有维护窗口 {window}。"


@dataclass(frozen=True, slots=True)
class Closed:
    """When a channel takes nothing, in seconds since 1970; `methods` empty: none of them."""

    start: float
    end: float
    why: str
    methods: frozenset[Method] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Maintenance: once, from an instant to another, or again and again at local times.

    Attributes
    ----------
    methods : those that are shut; empty: all
    starts_at, ends_at : of a single one
    weekdays, opens, closes, from_on, until_on : of a recurring one, on the channel's clock: it is
        shut from `opens` to `closes` (of the next day where that is not later); Monday is 0
    """

    id: UUID
    channel: str
    reason: str
    methods: tuple[Method, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    weekdays: tuple[int, ...] = ()
    opens: time | None = None
    closes: time | None = None
    from_on: date | None = None
    until_on: date | None = None
    announced_at: datetime | None = None
    withdrawn_at: datetime | None = None
    actor: str = ""

    def spans(self, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Closed]:
        """Yield when it is shut between two instants."""
        methods = frozenset(self.methods)
        if self.starts_at is not None and self.ends_at is not None:
            if self.starts_at < end and self.ends_at > start:
                yield Closed(
                    self.starts_at.timestamp(), self.ends_at.timestamp(), MAINTENANCE, methods
                )
            return
        assert self.opens is not None
        assert self.closes is not None
        assert self.from_on is not None
        for on in _days(zone, start, end):
            if on < self.from_on or (self.until_on is not None and on > self.until_on):
                continue
            if on.weekday() in (self.weekdays or EVERY_DAY):
                yield Closed(*_span(zone, on, self.opens, self.closes), MAINTENANCE, methods)


def check_window(window: Window, now: datetime) -> None:
    """Refuse a window that cannot be meant as it is stated, or that is over.

    Refusals
    --------
    window_does_not_fit
    """
    is_single = window.starts_at is not None and window.ends_at is not None
    is_recurring = None not in (window.opens, window.closes, window.from_on)
    if is_single == is_recurring:
        raise WindowDoesNotFit(why="either two instants, or local times and a first day")
    if window.starts_at is not None and window.ends_at is not None:
        if window.ends_at <= window.starts_at:
            raise WindowDoesNotFit(why="it ends before it starts")
        if window.ends_at <= now:
            raise WindowDoesNotFit(why="it is over")
    if window.from_on is not None and (window.until_on or date.max) < window.from_on:
        raise WindowDoesNotFit(why="its last day is before its first")
    if any(day not in EVERY_DAY for day in window.weekdays):
        raise WindowDoesNotFit(why="weekdays are 0, Monday, to 6")


def closed_between(
    capability: Capability, windows: Iterable[Window], start: datetime, end: datetime
) -> tuple[Closed, ...]:
    """Return when a channel takes nothing between two instants, by start.

    Examples
    --------
    >>> from datetime import UTC
    >>> nights = Capability(methods=(Method.SCAN,), hours=Hours(time(6), time(23)))
    >>> start = datetime(2026, 3, 2, tzinfo=UTC)
    >>> [(one.end - one.start) / 3600 for one in
    ...  closed_between(nights, (), start, start + timedelta(hours=24))]
    [7.0]
    """
    zone = ZoneInfo(capability.timezone)
    found = list(_outside(capability.hours, zone, start, end))
    for window in windows:
        found.extend(window.spans(zone, start, end))
    low, high = start.timestamp(), end.timestamp()
    kept = {one for one in found if one.start < high and one.end > low}
    return tuple(sorted(kept, key=lambda one: (one.start, one.end, one.why)))


def _outside(hours: Hours, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Closed]:
    if hours.opens == hours.closes:
        return
    for on in _days(zone, start, end):
        yield Closed(*_span(zone, on, hours.closes, hours.opens), OUTSIDE_HOURS)


def _days(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[date]:
    """Yield the local days of a stretch of time, and the one before: it may reach into it."""
    on = start.astimezone(zone).date() - _DAY
    last = end.astimezone(zone).date()
    while on <= last:
        yield on
        on += _DAY


def _span(zone: ZoneInfo, on: date, shuts: time, reopens: time) -> tuple[float, float]:
    until = on if reopens > shuts else on + _DAY
    return (
        datetime.combine(on, shuts, zone).timestamp(),
        datetime.combine(until, reopens, zone).timestamp(),
    )
