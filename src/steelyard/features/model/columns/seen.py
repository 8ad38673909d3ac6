"""What askers see: entries over a line of askers, as intervals or as pairs.

A thing asked of a window of entries has the same five answers here, whichever way the entries are
given: how many, sums, how many different, and the highest key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from steelyard.features.model.columns.exact import Exact, Ints, fitting, largest

NOTHING = -1
"""The highest key of no entry; keys are not negative."""


class Seen(Protocol):
    """Entries, and which of them each asker sees."""

    @property
    def askers(self) -> int:
        """How many ask."""
        ...

    @property
    def event(self) -> Ints:
        """Row of the event of each entry."""
        ...

    @property
    def numbers(self) -> Ints:
        """Value of each entry."""
        ...

    def add(self, weights: Exact) -> Exact:
        """Return the sum of the weights that each asker sees, in the weights' own arithmetic."""
        ...

    def distinct(self) -> Ints:
        """Return how many different values each asker sees."""
        ...

    def highest(self, keys: Ints) -> Ints:
        """Return the highest of the keys that each asker sees, or NOTHING."""
        ...


def count(seen: Seen) -> Ints:
    """Return how many entries each asker sees."""
    return seen.add(np.ones(len(seen.event), np.int64))


def total(seen: Seen, n: Ints) -> Exact:
    """Return the sum of the values that each asker sees, of which there are n."""
    return seen.add(fitting(seen.numbers, largest(n) * largest(seen.numbers)))


def total_of_squares(seen: Seen, n: Ints) -> Exact:
    """Return the sum of the squares of the values that each asker sees, of which there are n."""
    numbers = fitting(seen.numbers, largest(n) * largest(seen.numbers) ** 2)
    return seen.add(numbers * numbers)


@dataclass(frozen=True, slots=True)
class Intervals:
    """Each entry is seen by the askers from `first` up to, without, `end`.

    The askers stand in a line; an entry and its interval lie on one entity's stretch of it. Sums
    are prefix sums of what begins and ends; a highest key is laid on two blocks of a power of two
    that cover the interval, and block by block handed down to the askers.
    """

    askers: int
    event: Ints
    numbers: Ints
    first: Ints
    end: Ints

    def add(self, weights: Exact) -> Exact:
        """Return the sum of the weights that each asker sees."""
        return _laid(self.askers, self.first, self.end, weights)

    def distinct(self) -> Ints:
        """Return how many different values: each value's intervals are united, then counted."""
        if not len(self.first):
            return np.zeros(self.askers, np.int64)
        # The entity is told by the asker's place alone, so the value is the only key needed.
        if (self.first[1:] >= self.first[:-1]).all():
            order = np.argsort(self.numbers, kind="stable")
        else:
            order = np.lexsort((self.first, self.numbers))
        first, end, numbers = self.first[order], self.end[order], self.numbers[order]
        group = np.cumsum(np.concatenate([[0], np.diff(numbers) != 0]))
        lift = group * (self.askers + 1)
        reached = np.maximum.accumulate(end + lift)
        before = np.concatenate([[0], reached[:-1]]) - lift
        begin = np.maximum(first, before)
        fresh = begin < end
        ones = np.ones(int(fresh.sum()), np.int64)
        return _laid(self.askers, begin[fresh], end[fresh], ones)

    def highest(self, keys: Ints) -> Ints:
        """Return the highest of the keys that each asker sees, or NOTHING."""
        table = np.full(self.askers, NOTHING, np.int64)
        if not len(self.first):
            return table
        level = np.frexp((self.end - self.first).astype(np.float64))[1].astype(np.int64) - 1
        order = np.argsort(level, kind="stable")
        bounds = np.searchsorted(level[order], np.arange(int(level.max()) + 2))
        for power in range(int(level.max()), -1, -1):
            step = 1 << power
            handed = table.copy()
            handed[step:] = np.maximum(table[step:], table[:-step])
            table = handed
            mine = order[bounds[power] : bounds[power + 1]]
            np.maximum.at(table, self.first[mine], keys[mine])
            np.maximum.at(table, self.end[mine] - step, keys[mine])
        return table


def _laid(askers: int, first: Ints, end: Ints, weights: Exact) -> Exact:
    steps = np.zeros(askers + 1, weights.dtype)
    np.add.at(steps, first, weights)
    np.subtract.at(steps, end, weights)
    return np.cumsum(steps)[:-1]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Each entry is seen by the one asker that stands beside it."""

    askers: int
    event: Ints
    numbers: Ints
    asker: Ints

    def add(self, weights: Exact) -> Exact:
        """Return the sum of the weights that each asker sees."""
        sums = np.zeros(self.askers, weights.dtype)
        np.add.at(sums, self.asker, weights)
        return sums

    def distinct(self) -> Ints:
        """Return how many different values each asker sees."""
        order = np.lexsort((self.numbers, self.asker))
        asker, numbers = self.asker[order], self.numbers[order]
        fresh = np.ones(len(asker), np.bool_)
        fresh[1:] = (np.diff(asker) != 0) | (np.diff(numbers) != 0)
        return np.bincount(asker[fresh], minlength=self.askers).astype(np.int64)

    def highest(self, keys: Ints) -> Ints:
        """Return the highest of the keys that each asker sees, or NOTHING."""
        table = np.full(self.askers, NOTHING, np.int64)
        np.maximum.at(table, self.asker, keys)
        return table
