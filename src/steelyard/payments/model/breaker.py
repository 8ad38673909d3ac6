"""The breaker of a channel and a method: closed, open, half open, with hysteresis.

It opens by the cumulative sum of the log-likelihood ratio between an outage and what is usual
(Page 1954: the quickest detection at a given rate of false alarms). What usual is, the caller says
with each outcome, so that a merchant whose payments always fail opens nothing; and where several
merchants send payments, no single one can open it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import log
from typing import Final, NamedTuple


class BreakerState(StrEnum):
    """Whether a channel is used for a method."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """A small share of the traffic goes there, to see."""


class OpenedBy(StrEnum):
    """What opened a breaker; real traffic's no is not overruled by probes."""

    NOTHING = ""
    TRAFFIC = "traffic"
    PROBES = "probes"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """When a breaker moves.

    Attributes
    ----------
    threshold : of the sum, in nats; the mean number of payments between false alarms is at least
        its exponential
    outage : success rate during an outage, against which the usual one is weighed
    single_share : how much of the threshold one merchant may bring, where there are several
    cool_down, cool_down_most : seconds open after the first trip, and after many
    calm : seconds closed after which a trip is forgotten
    close_at, close_step, close_most : of a half-open one, by how many nats its payments have to
        speak against an outage until it closes: after the first trip, more after each, at most
    open_at : by how many nats they have to speak for one until it opens again
    probes : failed probes in a row that open it, good ones that half-open it
    """

    threshold: float = 10.0
    outage: float = 0.25
    single_share: float = 0.4
    cool_down: float = 120.0
    cool_down_most: float = 1_800.0
    calm: float = 3_600.0
    close_at: float = 4.0
    close_step: float = 1.5
    close_most: float = 8.0
    open_at: float = 3.0
    probes: int = 3


USUAL: Final = BreakerOptions()
_RECENT_MERCHANTS: Final = 50


class Paid(NamedTuple):
    """The outcome of a real payment, as a breaker looks at it; a tuple, for the hot path.

    Attributes
    ----------
    usual : success rate of the merchant's payments on a usual day
    weight : how sure it is, over 0; one that is overdue is likely a failure, not surely
    """

    is_good: bool
    usual: float
    merchant: object
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Moved:
    """A breaker moved."""

    before: BreakerState
    after: BreakerState
    by: OpenedBy


@dataclass(slots=True)
class Breaker:
    """A breaker as it stands; instants are seconds since 1970.

    Attributes
    ----------
    since : since when it is in its state; until : when an open one becomes half open
    trips : how often it opened lately
    score : nats that speak for an outage; others : those of all merchants but the worst
    """

    state: BreakerState = BreakerState.CLOSED
    opened_by: OpenedBy = OpenedBy.NOTHING
    since: float = 0.0
    until: float = 0.0
    trips: int = 0
    score: float = 0.0
    others: float = 0.0
    probes_good: int = 0
    probes_bad: int = 0
    by_merchant: dict[object, float] = field(default_factory=dict)
    recent: dict[object, int] = field(default_factory=dict)
    seen: int = 0

    def stands(self, now: float) -> BreakerState:
        """Return its state at an instant: an open one is half open after its time."""
        if (
            self.state is BreakerState.OPEN
            and self.opened_by is not OpenedBy.OPERATOR
            and now >= self.until
        ):
            return BreakerState.HALF_OPEN
        return self.state

    def note(self, now: float, paid: Paid, options: BreakerOptions = USUAL) -> Moved | None:
        """Take the outcome of a real payment; return how it moved the breaker, if it did."""
        stands = self.stands(now)
        if stands is BreakerState.CLOSED:
            return self._watch(now, paid, options)
        if stands is BreakerState.OPEN:
            return None
        if self.state is BreakerState.OPEN:
            self._half_open(now)
        self.score += _step(paid, options)
        needed = options.close_at + options.close_step * max(0, self.trips - 1)
        if self.score <= -min(needed, options.close_most):
            return self._close(now)
        if self.score >= options.open_at:
            return self._open(now, self.opened_by, options)
        return None

    def probe(self, now: float, *, is_good: bool, options: BreakerOptions = USUAL) -> Moved | None:
        """Take the outcome of a probe.

        Failed probes open it, and keep an open one open. Good ones half-open what probes opened
        and, in the end, close it; what real traffic opened only real traffic closes.
        """
        self.probes_good = self.probes_good + 1 if is_good else 0
        self.probes_bad = 0 if is_good else self.probes_bad + 1
        stands = self.stands(now)
        if stands is BreakerState.CLOSED:
            if self.probes_bad >= options.probes:
                return self._open(now, OpenedBy.PROBES, options)
            return None
        if self.opened_by is OpenedBy.OPERATOR:
            return None
        if not is_good:
            if self.state is BreakerState.OPEN:
                self.until = max(self.until, now + options.cool_down)
            return None
        if self.opened_by is not OpenedBy.PROBES:
            return None
        if self.state is BreakerState.OPEN and self.probes_good >= options.probes:
            return self._half_open(now)
        if self.state is BreakerState.HALF_OPEN and self.probes_good >= 2 * options.probes:
            return self._close(now)
        return None

    def force(self, now: float, *, state: BreakerState) -> Moved | None:
        """Open or close it as a person wants it; one opened so is closed by a person only."""
        if state is self.state and self.opened_by is OpenedBy.OPERATOR:
            return None
        before = self.state
        self._enter(state, now)
        is_open = state is BreakerState.OPEN
        self.opened_by = OpenedBy.OPERATOR if is_open else OpenedBy.NOTHING
        self.until = 0.0
        return Moved(before, state, OpenedBy.OPERATOR)

    def _watch(self, now: float, paid: Paid, options: BreakerOptions) -> Moved | None:
        if self.trips and now - self.since > options.calm:
            self.trips, self.since = self.trips - 1, now
        self._count(paid.merchant)
        step = _step(paid, options)
        self.score = min(max(0.0, self.score + step), options.threshold)
        of_it = max(0.0, self.by_merchant.get(paid.merchant, 0.0) + step)
        if of_it:
            self.by_merchant[paid.merchant] = of_it
        else:
            self.by_merchant.pop(paid.merchant, None)
        if paid.merchant != max(self.by_merchant, key=self._evidence_of, default=None):
            self.others = max(0.0, self.others + step)
        if not self.score:
            self.by_merchant.clear()
            self.others = 0.0
        if self.score < options.threshold:
            return None
        if len(self.recent) > 1 and self.others < options.threshold * (1 - options.single_share):
            return None
        return self._open(now, OpenedBy.TRAFFIC, options)

    def _evidence_of(self, merchant: object) -> float:
        return self.by_merchant[merchant]

    def _count(self, merchant: object) -> None:
        """Remember which merchants sent the last payments."""
        self.seen += 1
        self.recent[merchant] = self.seen
        if self.seen % _RECENT_MERCHANTS == 0:
            last = self.seen - _RECENT_MERCHANTS
            self.recent = {who: at for who, at in self.recent.items() if at > last}

    def _open(self, now: float, by: OpenedBy, options: BreakerOptions) -> Moved:
        before = self.state
        self.trips += 1
        wait = min(options.cool_down * 2 ** (self.trips - 1), options.cool_down_most)
        self._enter(BreakerState.OPEN, now)
        self.opened_by, self.until = by, now + wait
        return Moved(before, BreakerState.OPEN, by)

    def _half_open(self, now: float) -> Moved:
        before = self.state
        self._enter(BreakerState.HALF_OPEN, now)
        return Moved(before, BreakerState.HALF_OPEN, self.opened_by)

    def _close(self, now: float) -> Moved:
        moved = Moved(self.state, BreakerState.CLOSED, self.opened_by)
        self._enter(BreakerState.CLOSED, now)
        self.opened_by = OpenedBy.NOTHING
        return moved

    def _enter(self, state: BreakerState, now: float) -> None:
        self.state, self.since = state, now
        self.score = self.others = 0.0
        self.probes_good = self.probes_bad = 0
        self.by_merchant.clear()


def _step(paid: Paid, options: BreakerOptions) -> float:
    """Return by how many nats a payment speaks for an outage."""
    high = min(max(paid.usual, 0.05), 0.99)
    low = min(options.outage, high / 2)
    ratio = log(low / high) if paid.is_good else log((1 - low) / (1 - high))
    return paid.weight * ratio
