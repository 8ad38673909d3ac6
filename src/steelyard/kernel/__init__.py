"""The kernel: values without storage, clock or chance, on which every room stands."""

from steelyard.kernel.calendars import BusinessDayRule, Calendar, CutOff, calendar
from steelyard.kernel.clock import Clock, FixedClock, SteppingClock, VirtualClock
from steelyard.kernel.currency import Currency, UnknownCurrency
from steelyard.kernel.door import door
from steelyard.kernel.ids import uuid7
from steelyard.kernel.money import CurrenciesDiffer, Money
from steelyard.kernel.page import CursorIsInvalid, Page, decode_cursor, encode_cursor
from steelyard.kernel.rate import FxRate, Rate, RateBasis
from steelyard.kernel.refusal import Refusal, RefusalKind
from steelyard.kernel.rounding import Rounding

__all__ = [
    "BusinessDayRule",
    "Calendar",
    "Clock",
    "CurrenciesDiffer",
    "Currency",
    "CursorIsInvalid",
    "CutOff",
    "FixedClock",
    "FxRate",
    "Money",
    "Page",
    "Rate",
    "RateBasis",
    "Refusal",
    "RefusalKind",
    "Rounding",
    "SteppingClock",
    "UnknownCurrency",
    "VirtualClock",
    "calendar",
    "decode_cursor",
    "door",
    "encode_cursor",
    "uuid7",
]
