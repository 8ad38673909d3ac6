"""What a business-day calendar is, and the simplest one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

_DAY: Final = timedelta(days=1)
SATURDAY: Final = 5


class BusinessDayRule(StrEnum):
    """Where a date goes that is not a business day.

    Source: 2006 ISDA Definitions, section 4.12; the modified preceding rule mirrors the following.
    """

    UNADJUSTED = "unadjusted"
    """It stays."""
    FOLLOWING = "following"
    """To the next business day."""
    MODIFIED_FOLLOWING = "modified_following"
    """To the next business day, unless that is in another month: then to the previous one."""
    PRECEDING = "preceding"
    """To the previous business day."""
    MODIFIED_PRECEDING = "modified_preceding"
    """To the previous business day, unless that is in another month: then to the next one."""


class Calendar(ABC):
    """Tells business days from others; all its arithmetic follows from that one answer.

    A calendar is a value: two of one class are equal. What is computed with it keeps its `version`,
    so that a schedule made before an announcement can be told from one made after.

    Examples
    --------
    >>> Weekends().add_business_days(date(2026, 7, 31), 1)
    datetime.date(2026, 8, 3)
    """

    __slots__ = ()

    code: ClassVar[str]

    @property
    @abstractmethod
    def version(self) -> str:
        """The code and the edition of its days: `TARGET2@1`."""

    @abstractmethod
    def is_business_day(self, on: date) -> bool:
        """Whether business is done on a date."""

    @abstractmethod
    def is_provisional(self, on: date) -> bool:
        """Whether the answer for a date rests on a rule because nothing was announced for it."""

    def next_business_day(self, on: date) -> date:
        """Return the first business day after a date."""
        return self._walk(on, _DAY)

    def previous_business_day(self, on: date) -> date:
        """Return the last business day before a date."""
        return self._walk(on, -_DAY)

    def add_business_days(self, on: date, days: int) -> date:
        """Return the business day `days` business days after a date, before it when negative.

        Returns
        -------
        date
            A business day. From a business day, adding and taking away the same number returns to
            it. No days: the date itself or the first business day after it.
        """
        if days == 0:
            return self.adjust(on, BusinessDayRule.FOLLOWING)
        step = _DAY if days > 0 else -_DAY
        for _ in range(abs(days)):
            on = self._walk(on, step)
        return on

    def business_days_between(self, start: date, end: date) -> int:
        """Return how many business days lie from `start`, counted, to `end`, not counted.

        Returns
        -------
        int
            From a business day `b` to `add_business_days(b, n)` it is `n`. Exchanging the two
            dates changes the sign only.

        Examples
        --------
        >>> Weekends().business_days_between(date(2026, 7, 31), date(2026, 8, 4))
        2
        """
        if end < start:
            return -self.business_days_between(end, start)
        _dates_only(start, end)
        return sum(self.is_business_day(start + n * _DAY) for n in range((end - start).days))

    def adjust(self, on: date, rule: BusinessDayRule) -> date:
        """Return the date that a rule moves a date to.

        Returns
        -------
        date
            A business day, except by `UNADJUSTED`; a business day is never moved.
        """
        _dates_only(on)
        if rule is BusinessDayRule.UNADJUSTED or self.is_business_day(on):
            return on
        following, preceding = self.next_business_day, self.previous_business_day
        match rule:
            case BusinessDayRule.FOLLOWING:
                return following(on)
            case BusinessDayRule.PRECEDING:
                return preceding(on)
            case BusinessDayRule.MODIFIED_FOLLOWING:
                moved, other = following(on), preceding
            case BusinessDayRule.MODIFIED_PRECEDING:
                moved, other = preceding(on), following
        return moved if (moved.year, moved.month) == (on.year, on.month) else other(on)

    def _walk(self, on: date, step: timedelta) -> date:
        _dates_only(on)
        on += step
        while not self.is_business_day(on):
            on += step
        return on


@dataclass(frozen=True, slots=True)
class Weekends(Calendar):
    """Monday to Friday, without any feast."""

    code: ClassVar[str] = "WEEKENDS"

    @property
    def version(self) -> str:
        """`WEEKENDS@1`."""
        return f"{self.code}@1"

    def is_business_day(self, on: date) -> bool:
        """Whether it is Monday to Friday."""
        return on.weekday() < SATURDAY

    def is_provisional(self, on: date) -> bool:
        """Never: there is nothing to announce."""
        return False


def _dates_only(*dates: date) -> None:
    """Refuse instants: which date an instant falls on is for a `CutOff` to say."""
    for on in dates:
        if isinstance(on, datetime):
            raise TypeError("a business date is a date, not a datetime")
