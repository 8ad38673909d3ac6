"""What the town will do next, read once and in order."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from steelyard.simulation.model import Action, Town, actions_between

_FAR = timedelta(days=36_525)
_STEP = timedelta(milliseconds=1)


class Upcoming:
    """The actions of a town from an instant on, taken span by span.

    Each day is worked out when it is reached, once.
    """

    def __init__(self, town: Town, start_at: datetime) -> None:
        self._source = actions_between(town, start_at, start_at + _FAR)
        self._waiting: deque[Action] = deque()

    def take(self, end_at: datetime) -> list[Action]:
        """Return and forget the actions before an instant."""
        taken: list[Action] = []
        while self._next().at < end_at:
            taken.append(self._waiting.popleft())
        return taken

    def cut(self, end_at: datetime, *, most: int) -> datetime:
        """Return the latest instant up to `end_at` before which there are about `most` actions.

        A little more where several happen in one millisecond: the instant always lies later than
        the first action.
        """
        while len(self._waiting) <= most and self._last().at < end_at:
            self._waiting.append(next(self._source))
        if len(self._waiting) <= most or self._waiting[most].at >= end_at:
            return end_at
        return max(self._waiting[most].at, self._waiting[0].at + _STEP)

    def _next(self) -> Action:
        if not self._waiting:
            self._waiting.append(next(self._source))
        return self._waiting[0]

    def _last(self) -> Action:
        self._next()
        return self._waiting[-1]
