"""The days on which the euro is settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import ClassVar, Final

from steelyard.kernel.calendars.calendar import SATURDAY, Calendar

_FIRST_YEAR: Final = 1999
_FIXED_SINCE_1999: Final = frozenset({(1, 1), (12, 25)})
_FIXED_SINCE_2000: Final = _FIXED_SINCE_1999 | {(5, 1), (12, 26)}
_CHANGEOVERS: Final = frozenset({date(1999, 12, 31), date(2001, 12, 31)})


@dataclass(frozen=True, slots=True)
class Target2(Calendar):
    """Business days of the Eurosystem's TARGET: `TARGET2`.

    Closed on Saturdays and Sundays, 1 January, Good Friday, Easter Monday, 1 May, 25 and 26
    December. In 1999 only 1 January and 25 December were kept; 31 December was closed in 1999 and
    2001 for the changeovers. Before 1999 there was no TARGET: the days of 1999 are used,
    provisionally.

    Sources: European Central Bank, press releases of 3 September 1998, 31 March and 15 July 1999
    (the years 1999 and 2000) and 14 December 2000 (from 2002 until further notice); its calendar of
    2001 for that year.

    Examples
    --------
    >>> Target2().is_business_day(date(2026, 4, 3))
    False
    """

    code: ClassVar[str] = "TARGET2"

    @property
    def version(self) -> str:
        """`TARGET2@1`."""
        return f"{self.code}@1"

    def is_business_day(self, on: date) -> bool:
        """Whether the euro is settled on it."""
        if on.weekday() >= SATURDAY or on in _CHANGEOVERS:
            return False
        if on.year <= _FIRST_YEAR:
            return (on.month, on.day) not in _FIXED_SINCE_1999
        if (on.month, on.day) in _FIXED_SINCE_2000:
            return False
        easter = easter_sunday(on.year)
        return on not in (easter - timedelta(days=2), easter + timedelta(days=1))

    def is_provisional(self, on: date) -> bool:
        """Whether it lies before TARGET."""
        return on.year < _FIRST_YEAR


@lru_cache(maxsize=512)
def easter_sunday(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar.

    Source: the anonymous algorithm in Nature, 20 April 1876, as given by J. Meeus, Astronomical
    Algorithms, chapter 8.

    Examples
    --------
    >>> easter_sunday(2026)
    datetime.date(2026, 4, 5)
    """
    golden = year % 19
    century, in_century = divmod(year, 100)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - correction + 15) % 30
    to_sunday = (32 + 2 * (century % 4) + 2 * (in_century // 4) - epact - in_century % 4) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)
