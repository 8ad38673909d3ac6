"""The calendars that can be named in a contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from steelyard.kernel.calendars.calendar import Calendar, Weekends
from steelyard.kernel.calendars.china import China
from steelyard.kernel.calendars.target2 import Target2
from steelyard.kernel.refusal import Refusal, RefusalKind

CALENDARS: Final[Mapping[str, Calendar]] = MappingProxyType(
    {one.code: one for one in (China(), Target2(), Weekends())}
)
"""Every calendar by its code."""


class UnknownCalendar(Refusal):
    """No calendar has this code."""

    kind = RefusalKind.INVALID
    en = "{calendar} is not a calendar; known are {known}."
    zh = "{calendar} 不是已知的工作日历；可用的有 {known}。"


def calendar(code: str) -> Calendar:
    """Return the calendar of a code.

    Refusals
    --------
    unknown_calendar

    Examples
    --------
    >>> calendar("TARGET2").version
    'TARGET2@1'
    """
    known = CALENDARS.get(code)
    if known is None:
        raise UnknownCalendar(calendar=code[:50], known=", ".join(CALENDARS))
    return known
