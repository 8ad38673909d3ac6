"""What routing knows: channels with their limits, and how payments went, by segment.

A segment is method x currency, then x network, then x merchant. Each keeps, for each channel, sums
that fade with time; the mean of a segment is drawn to that of its parent by a weight. A parent
learns from a child the difference to what is usual for the child, with a bounded weight, so that a
merchant whose payments mostly fail says little about the channels of others.

Instants are seconds since 1970: this stands in the way of every payment, and floats are quick.
Sources: Garivier, Moulines 2011 (discounted bandits); Chapelle, Li 2011 (Thompson sampling under
delayed feedback); Gelman, Hill 2006 chapter 12 (partial pooling).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from math import log, sqrt
from typing import Final
from uuid import UUID

from steelyard.payments.model.breaker import (
    USUAL,
    Breaker,
    BreakerOptions,
    BreakerState,
    Moved,
    Paid,
)
from steelyard.payments.model.channel import Method, Stage
from steelyard.payments.model.channel_calendar import Closed
from steelyard.payments.model.lifecycle import Trial
from steelyard.payments.model.routing_rules import Options, RoutingPolicy, RoutingRequest

FORGOTTEN: Final = 86_400.0
"""Seconds after which an attempt without an end is no longer counted as late."""
_BASELINE: Final = 21_600.0
_LOAD: Final = 900.0
_FIRST_GUESS: Final = 0.85
_LN2: Final = log(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A channel as routing sees it.

    Attributes
    ----------
    closed : maintenance and hours, worked out until `known_until`
    daily_most : of a day, all merchants, by currency; None: no limit
    fee_rate, fee_fixed, fee_least, fee_most : what it charges us
    """

    code: str
    stage: Stage
    methods: frozenset[Method]
    currencies: frozenset[str]
    least: int
    most: int
    daily_most: int | None = None
    closed: tuple[Closed, ...] = ()
    known_until: float = float("inf")
    trial: Trial | None = None
    fee_rate: float = 0.0
    fee_fixed: float = 0.0
    fee_least: float = 0.0
    fee_most: float = float("inf")

    def cost_of(self, amount_minor: int) -> float:
        """Return what a payment costs us, per one of its amount."""
        fee = self.fee_rate * amount_minor + self.fee_fixed
        if fee < self.fee_least:
            fee = self.fee_least
        return (fee if fee < self.fee_most else self.fee_most) / amount_minor


@dataclass(slots=True)
class Cell:
    """How payments through one channel went in one segment; all of it fades with time.

    Attributes
    ----------
    seen, good : weight of outcomes, and of successes
    given : of that weight, what the parent segment took
    late : attempts that should have ended and have not
    """

    good: float = 0.0
    seen: float = 0.0
    given: float = 0.0
    late: float = 0.0
    at: float = 0.0

    def fade(self, now: float, half_life: float) -> None:
        """Let it be as it is at an instant."""
        if now > self.at:
            kept = 2.0 ** ((self.at - now) / half_life)
            self.good *= kept
            self.seen *= kept
            self.given *= kept
            self.late *= kept
            self.at = now


@dataclass(slots=True)
class Segment:
    """Payments that have something in common.

    Attributes
    ----------
    half_life : of its cells, by its traffic
    base_good, base_seen : slow sums over all channels: what is usual here
    """

    parent: Segment | None
    half_life: float
    cells: dict[str, Cell] = field(default_factory=dict)
    load: float = 0.0
    load_at: float = 0.0
    base_good: float = 0.0
    base_seen: float = 0.0
    base_at: float = 0.0

    def cell(self, channel: str, now: float) -> Cell:
        """Return the cell of a channel as it is at an instant; made where it is new."""
        found = self.cells.get(channel)
        if found is None:
            found = self.cells[channel] = Cell(at=now)
        found.fade(now, self.half_life)
        return found

    def usual(self) -> float:
        """Return the success rate that is usual here, drawn to that of the parent."""
        above = _FIRST_GUESS if self.parent is None else self.parent.usual()
        return (self.base_good + 50.0 * above) / (self.base_seen + 50.0)

    def count(self, now: float, options: Options) -> None:
        """Count a payment, and fit the half-life to the traffic."""
        if now > self.load_at:
            self.load *= 2.0 ** ((self.load_at - now) / _LOAD)
            self.load_at = now
        self.load += 1.0
        rate = self.load * _LN2 / _LOAD
        fitted = options.half_life / sqrt(rate)
        self.half_life = min(max(fitted, options.half_life_least), options.half_life_most)

    def learn_usual(self, now: float, good: float, weight: float) -> None:
        """Take an outcome into what is usual."""
        if now > self.base_at:
            kept = 2.0 ** ((self.base_at - now) / _BASELINE) if self.base_at else 0.0
            self.base_good *= kept
            self.base_seen *= kept
            self.base_at = now
        self.base_seen += weight
        self.base_good += weight * good


@dataclass(slots=True)
class Pending:
    """An attempt that was sent and has not ended, as far as is known here."""

    channel: str
    method: Method
    merchant: UUID
    chain: tuple[Segment, ...]
    sent: float
    late_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of an attempt.

    Attributes
    ----------
    is_good : whether money was taken; None: the payer's own fault, nothing is learnt of the channel
    """

    attempt: UUID
    channel: str
    method: Method
    currency: str
    merchant: UUID
    is_good: bool | None
    sent_at: datetime
    network: str = ""


@dataclass(slots=True)
class Book:
    """What routing knows at one process; not shared, made again from the stored attempts.

    Attributes
    ----------
    version : grows with every outcome
    used : of channels with a daily limit, by currency: minor units and payments of today
    matured : outcomes ever, by channel and method
    late_ends, late_fails : attempts that were late and ended, and how many of them failed
    """

    lanes: dict[str, Lane] = field(default_factory=dict)
    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    breaker_options: BreakerOptions = USUAL
    version: int = 0
    breakers: dict[tuple[str, Method], Breaker] = field(default_factory=dict)
    segments: dict[tuple[object, ...], Segment] = field(default_factory=dict)
    used: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    matured: dict[tuple[str, Method], int] = field(default_factory=dict)
    pending: dict[UUID, Pending] = field(default_factory=dict)
    waiting: deque[tuple[float, UUID]] = field(default_factory=deque)
    late_ends: float = 0.0
    late_fails: float = 0.0

    def chain(
        self, method: Method, currency: str, network: str, merchant: UUID
    ) -> tuple[Segment, ...]:
        """Return the segments of a payment, the widest first; made where they are new."""
        parent: Segment | None = None
        found = []
        for key in (
            (method, currency),
            (method, currency, network),
            (method, currency, network, merchant),
        ):
            segment = self.segments.get(key)
            if segment is None:
                segment = Segment(parent, self.policy.options.half_life_most)
                self.segments[key] = segment
            found.append(segment)
            parent = segment
        return tuple(found)

    def known(self, request: RoutingRequest) -> tuple[Segment, ...]:
        """Return the segments of a payment that there are, the widest first."""
        method, currency = request.method, request.currency
        found = []
        for key in (
            (method, currency),
            (method, currency, request.network),
            (method, currency, request.network, request.merchant),
        ):
            segment = self.segments.get(key)
            if segment is None:
                break
            found.append(segment)
        return tuple(found)

    def breaker(self, channel: str, method: Method) -> Breaker:
        """Return the breaker of a channel and a method; made where it is new."""
        key = (channel, method)
        found = self.breakers.get(key)
        if found is None:
            found = self.breakers[key] = Breaker()
        return found

    def chance_late_fails(self) -> float:
        """Return how likely a late attempt failed, by those that ended."""
        guess = self.policy.options.late_fails
        return (self.late_fails + 20.0 * guess) / (self.late_ends + 20.0)


def sent(book: Book, attempt: UUID, request: RoutingRequest, channel: str, now: datetime) -> None:
    """Take notice that an attempt was sent; again for the same one, nothing happens."""
    if attempt in book.pending:
        return
    seconds = now.timestamp()
    chain = book.chain(request.method, request.currency, request.network, request.merchant)
    for segment in chain:
        segment.count(seconds, book.policy.options)
    book.pending[attempt] = Pending(channel, request.method, request.merchant, chain, seconds)
    book.waiting.append((seconds, attempt))


def tick(book: Book, now: datetime) -> list[tuple[str, Method, Moved]]:
    """Take notice of what should have ended by now, and of which breakers moved by it.

    A late attempt is neither a success nor a failure until it ends: it is a sign of its own. It
    weighs as what late ones turn out to be, and is taken back when its end is known.
    """
    seconds = now.timestamp()
    due = seconds - book.policy.options.overdue
    moved = []
    while book.waiting and book.waiting[0][0] <= due:
        _, attempt = book.waiting.popleft()
        one = book.pending.get(attempt)
        if one is None:
            continue
        one.late_at = seconds
        for segment in one.chain:
            segment.cell(one.channel, seconds).late += 1.0
        step = book.breaker(one.channel, one.method).note(
            seconds,
            Paid(False, one.chain[-1].usual(), one.merchant, book.chance_late_fails()),
            book.breaker_options,
        )
        if step is not None:
            moved.append((one.channel, one.method, step))
    _forget(book, seconds)
    return moved


def _forget(book: Book, seconds: float) -> None:
    """Drop the oldest attempts that never ended."""
    gone = []
    for attempt, one in book.pending.items():
        if one.sent > seconds - FORGOTTEN:
            break
        gone.append(attempt)
    for attempt in gone:
        del book.pending[attempt]


def observe(book: Book, outcome: Outcome, now: datetime) -> Moved | None:
    """Learn from the end of an attempt; return how its breaker moved, if it did.

    An outcome counts from when it was sent on: one that took 15 minutes to fail is old news.
    """
    seconds, sent_at = now.timestamp(), outcome.sent_at.timestamp()
    book.version += 1
    waited = book.pending.pop(outcome.attempt, None)
    was_late = waited is not None and waited.late_at is not None
    if waited is not None and waited.late_at is not None:
        _take_back(waited, waited.late_at, seconds)
        book.late_ends += 1.0
        book.late_fails += not outcome.is_good
    if outcome.is_good is None:
        return None
    key = (outcome.channel, outcome.method)
    book.matured[key] = book.matured.get(key, 0) + 1
    chain = book.chain(outcome.method, outcome.currency, outcome.network, outcome.merchant)
    usual = chain[-1].usual()
    _learn(book, chain, outcome, seconds, sent_at)
    if was_late and not outcome.is_good:
        # The breaker was told when it became late.
        return None
    paid = Paid(outcome.is_good, usual, outcome.merchant)
    moved = book.breaker(*key).note(seconds, paid, book.breaker_options)
    if moved is not None and moved.after is BreakerState.CLOSED:
        _forget_level(book, *key)
    return moved


def withdraw(book: Book, attempt: UUID, now: datetime) -> None:
    """Forget that an attempt is under way: it waits for its payer, not for its channel."""
    waited = book.pending.pop(attempt, None)
    if waited is not None and waited.late_at is not None:
        _take_back(waited, waited.late_at, now.timestamp())


def _take_back(waited: Pending, late_at: float, seconds: float) -> None:
    for segment in waited.chain:
        cell = segment.cell(waited.channel, seconds)
        faded = 2.0 ** ((late_at - seconds) / segment.half_life)
        cell.late = max(0.0, cell.late - faded)


def _learn(
    book: Book, chain: tuple[Segment, ...], outcome: Outcome, seconds: float, sent_at: float
) -> None:
    """Write an outcome into its segments, the narrowest first."""
    good, weight = float(bool(outcome.is_good)), 1.0
    for level in range(len(chain) - 1, -1, -1):
        segment = chain[level]
        segment.learn_usual(seconds, good, weight)
        cell = segment.cell(outcome.channel, seconds)
        age = 2.0 ** ((sent_at - seconds) / segment.half_life)
        cell.good += good * weight * age
        cell.seen += weight * age
        if level:
            above = chain[level - 1]
            part = _part_for(above.cell(outcome.channel, seconds), cell, book.policy.options)
            weight *= part
            cell.given += weight * age
            good -= segment.usual() - above.usual()


def _part_for(above: Cell, cell: Cell, options: Options) -> float:
    """Return how much of an outcome the parent takes: of one child, no more than its share.

    A child never lacks for its own level, and takes no more than `parent` from above: a floor of
    half of that loses nothing where there are few children.
    """
    most = options.single_most / (1.0 - options.single_most) * (above.seen - cell.given)
    return min(max(max(most, options.parent / 2) - cell.given, 0.0), 1.0)


def _forget_level(book: Book, channel: str, method: Method) -> None:
    """Let a channel's sums weigh less: after an outage nobody knows where its level is."""
    kept = book.policy.options.kept_after_outage
    for key, segment in book.segments.items():
        cell = segment.cells.get(channel)
        if cell is not None and key[0] is method:
            cell.good *= kept
            cell.seen *= kept


def set_lanes(book: Book, lanes: Iterable[Lane]) -> None:
    """Replace the channels, in the order of their codes."""
    book.lanes = {lane.code: lane for lane in sorted(lanes, key=lambda one: one.code)}
