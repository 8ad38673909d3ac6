"""Business-day calendars, by code."""

from steelyard.kernel.calendars.calendar import BusinessDayRule, Calendar, Weekends
from steelyard.kernel.calendars.china import China
from steelyard.kernel.calendars.cut_off import CutOff
from steelyard.kernel.calendars.registry import CALENDARS, UnknownCalendar, calendar
from steelyard.kernel.calendars.target2 import Target2, easter_sunday

__all__ = [
    "CALENDARS",
    "BusinessDayRule",
    "Calendar",
    "China",
    "CutOff",
    "Target2",
    "UnknownCalendar",
    "Weekends",
    "calendar",
    "easter_sunday",
]
