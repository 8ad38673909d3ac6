"""The working days of mainland China, make-up days (调休) included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import ClassVar, Final

from steelyard.kernel.calendars.calendar import SATURDAY, Calendar

# The feasts of the solar calendar with a fixed date, in Article 2 of the regulation on national
# festivals (全国年节及纪念日放假办法, State Council decree 795, in force since 1 January 2025).
_FIXED_FEASTS: Final = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})


@dataclass(frozen=True, slots=True)
class China(Calendar):
    """Working days as the State Council arranges them year by year: `CN`.

    Some weekend days are working days in exchange for a longer holiday (调休). Banks and the
    large-value payment system keep these days; the stock exchanges do not open on weekends.

    Days are taken from the package `chinesecalendar`. Outside the years it knows (2004 to 2026 in
    1.11.0) the answer is provisional: weekends and the feasts of a fixed date (1 January, 1 and 2
    May, 1 to 3 October) are free. Feasts of the lunar calendar and make-up days are not guessed.

    Examples
    --------
    >>> China().is_business_day(date(2026, 2, 14)), date(2026, 2, 14).strftime("%A")
    (True, 'Saturday')
    """

    code: ClassVar[str] = "CN"

    @property
    def version(self) -> str:
        """The code, and the package with its version: `CN@chinesecalendar-1.11.0`."""
        return f"{self.code}@chinesecalendar-{_announced().edition}"

    def is_business_day(self, on: date) -> bool:
        """Whether it is a working day: by announcement, or by the provisional rule."""
        announced = _announced()
        if announced.first_year <= on.year <= announced.last_year:
            if on.weekday() < SATURDAY:
                return on not in announced.free_days
            return on in announced.make_up_days
        return on.weekday() < SATURDAY and (on.month, on.day) not in _FIXED_FEASTS

    def is_provisional(self, on: date) -> bool:
        """Whether the year has not been announced, or lies before the package's first."""
        announced = _announced()
        return not announced.first_year <= on.year <= announced.last_year


@dataclass(frozen=True, slots=True)
class _Announced:
    edition: str
    first_year: int
    last_year: int
    free_days: frozenset[date]
    make_up_days: frozenset[date]


@cache
def _announced() -> _Announced:
    """Read the package when a Chinese date is first asked for; most programs never do."""
    import chinese_calendar

    free_days = frozenset(chinese_calendar.holidays)
    return _Announced(
        edition=chinese_calendar.__version__,
        first_year=min(free_days).year,
        last_year=max(free_days).year,
        free_days=free_days,
        make_up_days=frozenset(chinese_calendar.workdays),
    )
