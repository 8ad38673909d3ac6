"""Dates of the language: an instant in UTC, or an invalid date; the clock is never asked."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

_UNITS = {
    "second": ("seconds", "second", "secs", "sec", "s"),
    "minute": ("minutes", "minute", "min", "mins", "m"),
    "hour": ("hours", "hour", "hr", "hrs", "h"),
    "day": ("days", "day", "d"),
    "week": ("weeks", "week", "w"),
    "month": ("months", "month", "mo", "M"),
    "quarter": ("quarters", "quarter", "qtr", "q"),
    "year": ("years", "year", "y"),
}
UNITS = {name: unit for unit, names in _UNITS.items() for name in names}
"""Names of units of time, as they may be written."""

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"\s*(\d+)\s*([A-Za-z]+)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Instant:
    """A date of the language; `at` is None for the invalid date, which comes before all others."""

    at: datetime | None

    def __lt__(self, other: Instant) -> bool:
        return other.at is not None and (self.at is None or self.at < other.at)

    def __le__(self, other: Instant) -> bool:
        return self == other or self < other

    def __str__(self) -> str:
        if self.at is None:
            return "Invalid date"
        return self.at.strftime("%Y-%m-%dT%H:%M:%SZ")


INVALID = Instant(None)


def instant(value: Any) -> Instant:
    """Return the date a value stands for: milliseconds, text, or a date; else the invalid one."""
    found = type(value)
    if found is Instant:
        return Instant(value.at)
    try:
        if found is int or found is float or found is Decimal:
            return Instant(_EPOCH + timedelta(milliseconds=int(value)))
        if found is str:
            return Instant(_read(value))
    except (OverflowError, ValueError):
        return INVALID
    return INVALID


def _read(value: str) -> datetime | None:
    if _RFC3339.fullmatch(value):
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    for form in _FORMS:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def unit_of(name: Any) -> str | None:
    """Return the unit that is named; None when there is none."""
    return UNITS.get(name) if type(name) is str else None


def duration_of(written: str) -> list[tuple[int, str]] | None:
    """Return the amounts and units of a text such as `1d 2h`; None when it is none."""
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(written):
        matched = _DURATION.match(written, at)
        unit = UNITS.get(matched[2]) if matched else None
        if matched is None or unit is None:
            return None
        found.append((int(matched[1]), unit))
        at = matched.end()
    return found or None


def moved(date: Instant, amounts: list[tuple[int, str]], seconds: float, sign: int) -> Instant:
    """Return the date moved: by seconds, then by months, then by years."""
    if date.at is None:
        return INVALID
    months = sum(n * 3 if unit == "quarter" else n for n, unit in amounts if unit in _MONTHS)
    years = sum(n for n, unit in amounts if unit == "year")
    seconds += sum(n * SECONDS[unit] for n, unit in amounts if unit in SECONDS)
    try:
        at = _months_later(date.at + sign * timedelta(seconds=seconds), sign * months)
        return Instant(at.replace(year=at.year + sign * years))
    except (OverflowError, ValueError):
        return INVALID


_MONTHS = ("month", "quarter")


def _months_later(at: datetime, months: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    day = min(at.day, calendar.monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)


def started(at: datetime, unit: str) -> datetime:
    """Return the beginning of the unit that an instant lies in."""
    at = at.replace(microsecond=0)
    if unit == "second":
        return at
    at = at.replace(second=0)
    if unit == "minute":
        return at
    at = at.replace(minute=0)
    if unit == "hour":
        return at
    at = at.replace(hour=0)
    if unit == "week":
        return at - timedelta(days=at.weekday())
    if unit == "day":
        return at
    at = at.replace(day=1)
    if unit == "quarter":
        return at.replace(month=(at.month - 1) // 3 * 3 + 1)
    return at if unit == "month" else at.replace(month=1)


def ended(at: datetime, unit: str) -> datetime:
    """Return the last microsecond of the unit that an instant lies in."""
    begin = started(at, unit)
    if unit in SECONDS:
        return begin + timedelta(seconds=SECONDS[unit]) - timedelta(microseconds=1)
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    return _months_later(begin, months) - timedelta(microseconds=1)


def milliseconds(at: datetime) -> int:
    """Return milliseconds since 1970."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def apart(a: datetime, b: datetime, unit: str | None) -> int:
    """Return how far a lies after b in whole units, towards zero; in milliseconds without one."""
    distance = milliseconds(a) - milliseconds(b)
    if unit is None:
        return distance
    if unit in SECONDS:
        whole = abs(distance) // (SECONDS[unit] * 1_000)
        return whole if distance >= 0 else -whole
    return int(_months_apart(a, b) / {"month": 1, "quarter": 3, "year": 12}[unit])


def _months_apart(a: datetime, b: datetime) -> float:
    if a.day < b.day:
        return -_months_apart(b, a)
    whole = (b.year - a.year) * 12 + b.month - a.month
    anchor = _months_later(a, whole)
    before = b < anchor
    other = _months_later(a, whole + (-1 if before else 1))
    length = milliseconds(anchor) - milliseconds(other)
    length = length if before else -length
    return -(whole + (milliseconds(b) - milliseconds(anchor)) / length)
