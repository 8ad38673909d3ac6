"""Counting over time: rates per second from what a counter showed at some instants. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

STEP_S = 10
POINTS = 90
_KEPT_S = STEP_S * (POINTS + 3)
_LONGEST_GAP_S = 30.0
"""Between two samples farther apart, when things happened is not known well enough to draw."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the counters showed.

    Attributes
    ----------
    at : real instant, seconds since 1970
    transfers, facts : how many there were
    lag_events : of the consumer most behind; None when nobody looked
    decisions : how many there were
    """

    at: float
    transfers: int
    facts: int
    lag_events: int | None = None
    decisions: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Transfers, facts and decisions per second, and the seconds that they were counted over."""

    transfers: float | None
    facts: float | None
    decisions: float | None
    over_s: float


@dataclass(frozen=True, slots=True)
class Point:
    """The rates of one step that begins at `at`; None where the samples do not tell."""

    at: int
    transfers: float | None
    facts: float | None
    lag_events: int | None


class Pulse:
    """The samples of the last fifteen minutes.

    Examples
    --------
    >>> pulse = Pulse()
    >>> for second in range(0, 21, 5):
    ...     pulse.add(Sample(1000.0 + second, transfers=10 * second, facts=0))
    >>> pulse.rates(60).transfers, pulse.rates(60).over_s
    (10.0, 20.0)
    >>> [(p.at, p.transfers) for p in pulse.points(2)]
    [(1010, 10.0), (1020, None)]
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Keep a sample; one that is not later than the last is not kept."""
        if self._samples and sample.at <= self._samples[-1].at:
            return
        self._samples.append(sample)
        while self._samples[0].at < sample.at - _KEPT_S:
            self._samples.popleft()

    def rates(self, window_s: float) -> Rates:
        """Return the rates over the last `window_s` seconds, or as much of them as is known."""
        if not self._samples:
            return Rates(None, None, None, 0.0)
        last = self._samples[-1]
        first = next(s for s in self._samples if s.at >= last.at - window_s)
        over = last.at - first.at
        if over < 1:
            return Rates(None, None, None, 0.0)
        return Rates(
            (last.transfers - first.transfers) / over,
            (last.facts - first.facts) / over,
            (last.decisions - first.decisions) / over,
            over,
        )

    def points(self, count: int = POINTS) -> list[Point]:
        """Return the last steps, the present one, which is not complete, included."""
        if not self._samples:
            return []
        samples = list(self._samples)
        instants = [s.at for s in samples]
        newest = int(samples[-1].at) // STEP_S * STEP_S
        starts = range(newest - STEP_S * (count - 1), newest + 1, STEP_S)
        return [_point(samples, instants, start) for start in starts]


def _point(samples: list[Sample], instants: list[float], start: int) -> Point:
    end = min(float(start + STEP_S), instants[-1])
    known = bisect_left(instants, end)
    lag = samples[min(known, len(samples) - 1)].lag_events
    before, after = _at(samples, instants, start), _at(samples, instants, end)
    if before is None or after is None or end - start < 1:
        return Point(start, None, None, None)
    transfers, facts = ((b - a) / (end - start) for a, b in zip(before, after, strict=True))
    return Point(start, round(transfers, 3), round(facts, 3), lag)


def _at(samples: list[Sample], instants: list[float], at: float) -> tuple[float, float] | None:
    """Return the counters at an instant between two samples, None if it lies outside or too far."""
    right = bisect_left(instants, at)
    if right == len(samples):
        return None
    b = samples[right]
    if b.at == at:
        return float(b.transfers), float(b.facts)
    if right == 0:
        return None
    a = samples[right - 1]
    if b.at - a.at > _LONGEST_GAP_S:
        return None
    share = (at - a.at) / (b.at - a.at)
    return (
        a.transfers + (b.transfers - a.transfers) * share,
        a.facts + (b.facts - a.facts) * share,
    )
