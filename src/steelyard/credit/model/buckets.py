"""Delinquency buckets: how late a loan is, in steps that people and strategies work with."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from typing import Final

from steelyard.credit.model.risk_refusals import BucketsAreInvalid

CURRENT: Final = 0
"""The bucket of what is not late."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Steps of days past due; bucket 0 is not late.

    Attributes
    ----------
    edges : first day past due of bucket 1, 2, ...; the last one is open

    Refusals
    --------
    buckets_are_invalid

    Examples
    --------
    >>> [STANDARD.of(days) for days in (0, 1, 30, 31, 90, 91, 400)]
    [0, 1, 1, 2, 3, 4, 7]
    >>> STANDARD.label(1), STANDARD.label(7)
    ('1-30', '181+')
    """

    edges: tuple[int, ...] = (1, 31, 61, 91, 121, 151, 181)

    def __post_init__(self) -> None:
        rises = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
        if not self.edges or self.edges[0] != 1 or not rises:
            raise BucketsAreInvalid(edges=self.edges)

    @property
    def count(self) -> int:
        """How many buckets there are, the current one included."""
        return len(self.edges) + 1

    def of(self, days_past_due: int) -> int:
        """Return the bucket of a number of days past due, 0 or more."""
        assert days_past_due >= 0, "days past due are counted from the due date"
        return bisect_right(self.edges, days_past_due)

    def held(self, days_past_due: int, before: int, paused_until: date | None, on: date) -> int:
        """Return the bucket of a loan that may be paused.

        Until the day of `paused_until` a pause keeps the bucket from growing worse; what is paid
        still makes it better. On that day the days past due count again in full.

        Parameters
        ----------
        before : bucket at the end of the day before
        paused_until : first day on which the pause is over; None where there is none

        Examples
        --------
        >>> until = date(2026, 4, 1)
        >>> [STANDARD.held(days, 1, until, on) for days, on in
        ...  ((40, date(2026, 3, 31)), (0, date(2026, 3, 31)), (41, until))]
        [1, 0, 2]
        """
        found = self.of(days_past_due)
        if paused_until is not None and on < paused_until:
            return min(found, before)
        return found

    def label(self, bucket: int) -> str:
        """Return the name of a bucket: `current`, `1-30`, ..., `181+`."""
        assert 0 <= bucket < self.count, bucket
        if bucket == CURRENT:
            return "current"
        first = self.edges[bucket - 1]
        return f"{first}+" if bucket == self.count - 1 else f"{first}-{self.edges[bucket] - 1}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all buckets, in order."""
        return tuple(self.label(bucket) for bucket in range(self.count))


STANDARD: Final = Buckets()
"""Steps of thirty days up to half a year: M0, M1, ... of Chinese practice, M7 and later as one."""
