"""Which business date an instant belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from steelyard.kernel.calendars.calendar import BusinessDayRule, Calendar


@dataclass(frozen=True, slots=True)
class CutOff:
    """The time of day, on the wall clock of a place, at which a business day ends for orders.

    Attributes
    ----------
    time : wall-clock time without a zone; what comes at it or later belongs to the next day
    timezone : IANA name, `Asia/Shanghai`

    Examples
    --------
    >>> from datetime import UTC
    >>> from steelyard.kernel.calendars import calendar
    >>> fund = CutOff(time(15, 0), "Asia/Shanghai")
    >>> fund.business_date(datetime(2026, 9, 30, 7, 0, tzinfo=UTC), calendar("CN")).isoformat()
    '2026-10-08'
    """

    time: time
    timezone: str

    def __post_init__(self) -> None:
        if self.time.tzinfo is not None:
            raise ValueError("the zone of a cut-off is named beside its time")
        ZoneInfo(self.timezone)

    def business_date(self, at: datetime, calendar: Calendar) -> date:
        """Return the business date of an instant.

        Parameters
        ----------
        at : an aware instant

        Returns
        -------
        date
            A business day of the calendar, never before the local date. Clocks that are set back
            over the cut-off do not open the day again.
        """
        if at.tzinfo is None:
            raise TypeError("an instant has a zone")
        zone = ZoneInfo(self.timezone)
        local_on = at.astimezone(zone).date()
        # Compared in UTC: a wall-clock time can come twice in a night.
        closes_at = datetime.combine(local_on, self.time, zone).astimezone(UTC)
        if at.astimezone(UTC) >= closes_at:
            return calendar.next_business_day(local_on)
        return calendar.adjust(local_on, BusinessDayRule.FOLLOWING)
