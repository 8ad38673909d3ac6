"""The service level: until when a case is to be closed, and how near that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from steelyard.kernel import calendar

LONGEST = timedelta(days=366)
_WHOLE_BP = 10_000


class Colour(StrEnum):
    """How much of the time allowed is used."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"

    @property
    def rank(self) -> int:
        """0 for green, 1 for amber, 2 for red."""
        return _RANKS[self]


_RANKS = {Colour.GREEN: 0, Colour.AMBER: 1, Colour.RED: 2}


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """When people work: from `opens` to `closes` on the business days of a calendar.

    Attributes
    ----------
    calendar : code of a kernel calendar
    zone : IANA name of the time zone of the two wall-clock times
    """

    calendar: str
    zone: str
    opens: time = time(9)
    closes: time = time(18)

    def __post_init__(self) -> None:
        calendar(self.calendar)
        ZoneInfo(self.zone)
        assert self.opens < self.closes, "working hours lie within one day"

    def after(self, at: datetime, span: timedelta) -> datetime:
        """Return the instant at which `span` of working time has passed since an instant.

        Returns
        -------
        datetime
            In UTC, within working hours, monotone in both arguments.

        Examples
        --------
        >>> office = WorkingHours("WEEKENDS", "Asia/Shanghai")
        >>> friday = datetime(2026, 7, 31, 8, 0, tzinfo=UTC)  # 16:00 in Shanghai
        >>> office.after(friday, timedelta(hours=4)).isoformat()
        '2026-08-03T03:00:00+00:00'
        """
        days, zone = calendar(self.calendar), ZoneInfo(self.zone)
        on, left = at.astimezone(zone).date(), span
        while True:
            if days.is_business_day(on):
                # In UTC: a night in which the clocks are set back has two hours of one name.
                opens = datetime.combine(on, self.opens, zone).astimezone(UTC)
                closes = datetime.combine(on, self.closes, zone).astimezone(UTC)
                start = max(opens, at)
                room = closes - start
                if timedelta(0) < left <= room:
                    return start + left
                left -= max(room, timedelta(0))
            on += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Marks:
    """The instants at which a case turns amber, turns red, and breaks its service level."""

    amber_at: datetime
    red_at: datetime
    due_at: datetime

    def colour(self, now: datetime) -> Colour:
        """Return the colour at an instant."""
        if now >= self.red_at:
            return Colour.RED
        return Colour.AMBER if now >= self.amber_at else Colour.GREEN


@dataclass(frozen=True, slots=True)
class Sla:
    """How long a case may stay open, on the business clock.

    Attributes
    ----------
    within : time allowed; above 0, at most 366 days
    hours : only working time counts, where stated; every hour otherwise
    amber_bp, red_bp : shares of the time allowed at which the colour turns, in basis points

    Examples
    --------
    >>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    >>> marks = Sla(timedelta(hours=10)).marks(noon)
    >>> marks.amber_at.hour, marks.red_at.hour, marks.due_at.hour
    (17, 20, 22)
    >>> marks.colour(marks.red_at).value
    'red'
    """

    within: timedelta
    hours: WorkingHours | None = None
    amber_bp: int = 5_000
    red_bp: int = 8_000

    def __post_init__(self) -> None:
        assert timedelta(0) < self.within <= LONGEST, "within a year"
        assert 0 < self.amber_bp <= self.red_bp <= _WHOLE_BP, "amber before red before the end"

    def marks(self, opened_at: datetime) -> Marks:
        """Return the marks of a case opened at an instant; amber <= red <= due."""
        return Marks(
            self._after(opened_at, self.amber_bp),
            self._after(opened_at, self.red_bp),
            self._after(opened_at, _WHOLE_BP),
        )

    def _after(self, at: datetime, share_bp: int) -> datetime:
        span = self.within * share_bp // _WHOLE_BP
        return at + span if self.hours is None else self.hours.after(at, span)
