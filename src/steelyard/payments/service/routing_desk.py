"""The desk of routing: which channel a payment goes to, for one process.

Its book is made of the stored attempts and follows them: every process learns the same, each a
little later, and one that starts anew begins where the others are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.payments.model.attempts import Attempt, AttemptState
from steelyard.payments.model.breaker import Breaker, BreakerState, Moved, OpenedBy
from steelyard.payments.model.channel import Decline, Method, Stage
from steelyard.payments.model.channel_calendar import closed_between
from steelyard.payments.model.health import is_good
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.model.refusals import ChannelDayIsFull
from steelyard.payments.model.retries import (
    RULES,
    Fault,
    NextStep,
    RetryBudget,
    next_step,
    wait_before,
)
from steelyard.payments.model.routing import choose, methods_open
from steelyard.payments.model.routing_book import (
    Book,
    Lane,
    Outcome,
    observe,
    sent,
    set_lanes,
    tick,
    withdraw,
)
from steelyard.payments.model.routing_rules import RoutingRequest
from steelyard.payments.service.channel_desk import ChannelDesk, Listed
from steelyard.payments.service.channel_facts import ChannelBreakerMoved
from steelyard.payments.service.evidence import BALANCE
from steelyard.payments.service.paying import Pay, Routed
from steelyard.payments.store import channel_desk as channel_table
from steelyard.payments.store import health as health_table
from steelyard.payments.store import routing as table

__all__ = [
    "FRESH_SECONDS",
    "ChannelDayIsFull",
    "Retry",
    "RoutingDesk",
    "breaker_of",
    "count_days_again",
    "force_breaker",
]

FRESH_SECONDS: Final = 2.0
_HISTORY: Final = timedelta(hours=6)
_MOST_HISTORY: Final = 20_000
_OVERLAP: Final = timedelta(seconds=30)
_AHEAD: Final = timedelta(hours=48)
_SEED_BITS: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Retry:
    """What follows a declined attempt, and after which wait."""

    step: NextStep
    wait: timedelta = timedelta(0)


@dataclass(slots=True)
class _Followed:
    """The book of a mode, and how far it has read.

    Attributes
    ----------
    open : attempts without an end; seen : those read, of the last half minute
    versions : of the breakers, as they are stored
    """

    book: Book = field(default_factory=Book)
    read_to: datetime | None = None
    looked_at: float = float("-inf")
    open: dict[UUID, table.Tried] = field(default_factory=dict)
    seen: dict[UUID, datetime] = field(default_factory=dict)
    versions: dict[tuple[str, Method], int] = field(default_factory=dict)
    budget: RetryBudget = field(default_factory=RetryBudget)
    lock: Lock = field(default_factory=Lock)


class RoutingDesk:
    """Chooses channels for one process.

    Parameters
    ----------
    channels : has the channels
    fresh_seconds : real seconds for which what was read counts
    """

    def __init__(
        self,
        database: Database,
        channels: ChannelDesk,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._channels = channels
        self._fresh = fresh_seconds
        self._monotonic = monotonic
        self._followed = {mode: _Followed() for mode in Mode}
        self._decided: dict[UUID, table.DecisionRow] = {}

    def book(self, mode: Mode, now: datetime) -> Book:
        """Return what is known of a mode's channels, read anew where it is stale."""
        followed = self._followed[mode]
        if self._monotonic() - followed.looked_at < self._fresh:
            return followed.book
        # While one thread reads, the others go on with what is known.
        if followed.lock.acquire(blocking=followed.read_to is None):
            try:
                if self._monotonic() - followed.looked_at >= self._fresh:
                    self._read(mode, followed, now)
                    followed.looked_at = self._monotonic()
            finally:
                followed.lock.release()
        return followed.book

    def forget(self) -> None:
        """Look at what is stored again at the next question."""
        self._channels.forget()
        for followed in self._followed.values():
            followed.looked_at = float("-inf")

    def route(self, order: Order, how: Pay, now: datetime) -> Routed:
        """Return the channel of an attempt; the choice is kept until `write` is called for it.

        Refusals
        --------
        no_channel_is_open
        """
        if how.method is Method.BALANCE:
            return Routed(BALANCE)
        request = RoutingRequest(
            merchant=order.merchant,
            method=how.method,
            amount_minor=order.amount_minor,
            currency=order.currency,
            network=how.details.get("network", ""),
            scenario=order.scenario.value,
            tried=self._tried(order) if order.attempts else (),
        )
        seed = how.attempt.int & _SEED_BITS
        choice = choose(self.book(order.mode, now), request, now, seed)
        if len(self._decided) > 10_000:
            self._decided.clear()
        self._decided[how.attempt] = table.DecisionRow(how.attempt, now, request, choice)
        self._followed[order.mode].budget.note_first(now)
        return Routed(choice.chosen, choice.propensity)

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Write the choices of attempts down, and take of their channels' days.

        To be called in the transaction that begins the attempts; those that were not routed here
        are left out.

        Refusals
        --------
        channel_day_is_full : nothing is begun; routed again, another channel is chosen
        """
        rows = [self._decided[one] for one in attempts if one in self._decided]
        for row in sorted(rows, key=lambda one: one.choice.chosen):
            self._take(unit, row)
        table.insert_decisions(unit.connection, rows)
        unit.after_commit(lambda: self._drop(attempts))

    def retry(self, last: Attempt, mode: Mode, now: datetime, *, made: int = 0) -> Retry | None:
        """Return what may follow a declined attempt without asking anybody.

        Parameters
        ----------
        made : retries of this order so far

        Returns
        -------
        Retry or None
            None while nothing may follow: the attempt has no known end. `stop` where the budget of
            retries is used up, whatever the reason says.
        """
        step = next_step(last.state, last.decline, same_before=made)
        if step is None or step in (NextStep.ASK_PAYER, NextStep.STOP):
            return None if step is None else Retry(step)
        if not self._followed[mode].budget.take(now):
            return Retry(NextStep.STOP)
        return Retry(step, wait_before(made + 1, last.id.int & _SEED_BITS))

    def methods(self, mode: Mode, request: RoutingRequest, now: datetime) -> Mapping[Method, float]:
        """Return the methods that can be paid with now, with the best chance of success of each."""
        return methods_open(self.book(mode, now), request, now)

    def _drop(self, attempts: Sequence[UUID]) -> None:
        for one in attempts:
            self._decided.pop(one, None)

    def _take(self, unit: UnitOfWork, row: table.DecisionRow) -> None:
        listed = self._channels.listed(row.choice.chosen)
        trial = listed.record.trial if listed.record.stage is Stage.TRIAL else None
        mosts = [listed.capability.daily_most_minor]
        mosts += [trial.daily_most_minor] if trial else []
        limits = [most for most in mosts if most is not None]
        if not limits:
            return
        zone = ZoneInfo(listed.capability.timezone)
        taken = table.Taken(
            channel=row.choice.chosen,
            currency=row.request.currency,
            on=row.decided_at.astimezone(zone).date(),
            amount_minor=row.request.amount_minor,
            most_minor=min(limits),
            most_payments=trial.daily_payments if trial else None,
        )
        if not table.take_of_day(unit.connection, taken):
            self._followed[listed.record.mode].looked_at = float("-inf")
            raise ChannelDayIsFull(channel=row.choice.chosen)

    def _tried(self, order: Order) -> tuple[str, ...]:
        """Return the channels that declined an order through no fault of its payer."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT channel, decline FROM payments.attempt"
                    " WHERE order_id = :order AND state IN ('declined', 'closed')"
                ),
                {"order": order.id},
            ).all()
        return tuple(
            sorted(
                {
                    row.channel
                    for row in rows
                    if row.decline is None or RULES[Decline(row.decline)].fault is not Fault.PAYER
                }
            )
        )

    def _read(self, mode: Mode, followed: _Followed, now: datetime) -> None:
        listed = [one for one in self._channels.all(mode) if one.record.stage.takes_payments]
        codes = [one.record.code for one in listed]
        since = (followed.read_to or now - _HISTORY) - _OVERLAP
        with self._database.reading() as connection:
            lanes = _lanes(connection, listed, now, followed.book)
            policy = table.policy_in_force(connection)
            rows = health_table.breakers(connection)
            fresh = table.tried_since(connection, codes, since, limit=_MOST_HISTORY)
            ended = table.tried_of(connection, list(followed.open))
        book = followed.book
        book.policy = policy
        set_lanes(book, lanes)
        _adopt(followed, [row for row in rows if row.channel in book.lanes])
        news = [one for one in fresh if one.id not in followed.seen]
        followed.seen |= {one.id: one.sent_at for one in news}
        moved = _learn(followed, [*news, *ended], now)
        edge = now - 2 * _OVERLAP
        followed.seen = {one: at for one, at in followed.seen.items() if at >= edge}
        followed.read_to = now
        if moved:
            self._share(followed, moved, now)

    def _share(
        self, followed: _Followed, moved: Sequence[tuple[str, Method, Moved]], now: datetime
    ) -> None:
        """Write down which breakers moved; one that a person cut off stays so."""

        def write(unit: UnitOfWork) -> None:
            stored = {(row.channel, row.method): row for row in health_table.lock(unit.connection)}
            for channel, method, step in moved:
                key = (channel, method)
                there = stored.get(key)
                if there is not None and there.opened_by is OpenedBy.OPERATOR:
                    continue
                row = _row_of(key, followed.book.breakers[key], there.version if there else 0)
                health_table.write_breaker(unit.connection, row)
                followed.versions[key] = row.version + 1
                unit.record(
                    ChannelBreakerMoved(
                        channel=channel,
                        method=method.value,
                        before=step.before.value,
                        after=step.after.value,
                        by=step.by.value,
                    ),
                    subject=f"channel:{channel}",
                    occurred_at=now,
                )

        self._database.transact(write)


def _lanes(
    connection: sa.Connection, listed: Sequence[Listed], now: datetime, book: Book
) -> list[Lane]:
    """Return the channels as routing sees them, and set what was taken of their days."""
    windows = health_table.windows(connection, [one.record.code for one in listed], now)
    lanes = []
    until = now + _AHEAD
    for one in listed:
        record, can = one.record, one.capability
        lane = Lane(
            code=record.code,
            stage=record.stage,
            methods=frozenset(can.methods),
            currencies=frozenset(can.currencies),
            least=can.least_minor,
            most=can.most_minor,
            daily_most=can.daily_most_minor,
            closed=closed_between(can, windows[record.code], now, until),
            known_until=until.timestamp(),
            trial=record.trial,
            fee_rate=float(can.fee_rate),
            fee_fixed=float(can.fee_fixed_minor),
            fee_least=float(can.fee_least_minor),
            fee_most=float("inf") if can.fee_most_minor is None else float(can.fee_most_minor),
        )
        lanes.append(lane)
        if lane.daily_most is not None or record.stage is Stage.TRIAL:
            on = now.astimezone(ZoneInfo(can.timezone)).date()
            used = table.used_of_day(connection, record.code, on)
            for currency in can.currencies:
                book.used[record.code, currency] = used.get(currency, (0, 0))
    return lanes


def _adopt(followed: _Followed, rows: Sequence[health_table.BreakerRow]) -> None:
    """Take over how breakers stand that another process, a probe or a person moved."""
    for row in rows:
        key = (row.channel, row.method)
        if row.version <= followed.versions.get(key, 0):
            continue
        followed.versions[key] = row.version
        present = followed.book.breaker(*key)
        if present.state is row.state and present.opened_by is row.opened_by:
            # Only a probe was counted: what real payments say so far stays.
            present.until = row.until.timestamp() if row.until else 0.0
            continue
        followed.book.breakers[key] = breaker_of(row)


def breaker_of(row: health_table.BreakerRow) -> Breaker:
    """Return a breaker as its row has it."""
    return Breaker(
        state=row.state,
        opened_by=row.opened_by,
        since=row.since.timestamp(),
        until=row.until.timestamp() if row.until else 0.0,
        trips=row.trips,
        probes_good=int(row.detail.get("probes_good", 0)),
        probes_bad=int(row.detail.get("probes_bad", 0)),
    )


def _row_of(key: tuple[str, Method], breaker: Breaker, version: int) -> health_table.BreakerRow:
    return health_table.BreakerRow(
        channel=key[0],
        method=key[1],
        state=breaker.state,
        version=version,
        opened_by=breaker.opened_by,
        trips=breaker.trips,
        since=datetime.fromtimestamp(breaker.since, UTC),
        until=datetime.fromtimestamp(breaker.until, UTC) if breaker.until else None,
        detail={"probes_good": breaker.probes_good, "probes_bad": breaker.probes_bad},
    )


def _learn(
    followed: _Followed, tried: Sequence[table.Tried], now: datetime
) -> list[tuple[str, Method, Moved]]:
    """Take attempts into the book, in the order in which they were sent, and ended."""
    book, moved = followed.book, []
    for one in tried:
        if one.id not in followed.open:
            request = RoutingRequest(
                merchant=one.merchant,
                method=one.method,
                amount_minor=one.amount_minor,
                currency=one.currency,
                network=one.network,
            )
            sent(book, one.id, request, one.channel, one.sent_at)
        followed.open[one.id] = one
        if one.state is AttemptState.PENDING_USER:
            withdraw(book, one.id, now)
    ended = [one for one in tried if not one.state.is_under_way]
    for one in sorted(ended, key=lambda each: each.final_at or now):
        followed.open.pop(one.id, None)
        at = one.final_at or now
        seconds = (at - one.sent_at).total_seconds()
        outcome = Outcome(
            attempt=one.id,
            channel=one.channel,
            method=one.method,
            currency=one.currency,
            merchant=one.merchant,
            is_good=is_good(one.state, one.decline, seconds),
            sent_at=one.sent_at,
            network=one.network,
        )
        step = observe(book, outcome, at)
        if step is not None:
            moved.append((one.channel, one.method, step))
    return [*moved, *tick(book, now)]


def count_days_again(database: Database, channels: ChannelDesk, *, actor: str) -> int:
    """Count again what was taken of the days of channels with a limit; return of how many.

    Attempts that ended without money give back what they took.
    """
    counted = 0
    now = database.now()
    for mode in Mode:
        for listed in channels.all(mode):
            can, record = listed.capability, listed.record
            if can.daily_most_minor is None and record.stage is not Stage.TRIAL:
                continue
            zone = ZoneInfo(can.timezone)
            start = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)

            def count(unit: UnitOfWork, code: str = record.code, begins: datetime = start) -> None:
                table.count_day_again(
                    unit.connection,
                    code,
                    begins.date(),
                    since=begins.astimezone(UTC),
                    until=(begins + timedelta(days=1)).astimezone(UTC),
                )

            database.transact(count, actor=actor)
            counted += 1
    return counted


def force_breaker(
    unit: UnitOfWork, channel: str, method: Method, *, is_open: bool, reason: str
) -> health_table.BreakerRow:
    """Cut a channel off for a method by hand, or take it back; a person's cut only a person ends.

    Refusals
    --------
    channel_is_unknown
    """
    channel_table.lock(unit.connection, channel)
    rows = {(one.channel, one.method): one for one in health_table.breakers(unit.connection)}
    row = rows.get((channel, method))
    breaker = breaker_of(row) if row else Breaker()
    state = BreakerState.OPEN if is_open else BreakerState.CLOSED
    step = breaker.force(unit.now.timestamp(), state=state)
    after = _row_of((channel, method), breaker, row.version if row else 0)
    if step is None:
        return after
    after = replace(after, detail={"reason": reason})
    health_table.write_breaker(unit.connection, after)
    unit.record(
        ChannelBreakerMoved(
            channel=channel,
            method=method.value,
            before=step.before.value,
            after=state.value,
            by=OpenedBy.OPERATOR.value,
        ),
        subject=f"channel:{channel}",
    )
    audit(
        unit,
        action="payments.force_breaker",
        subject=f"channel:{channel}",
        detail={"method": method.value, "is_open": is_open, "reason": reason},
    )
    return replace(after, version=after.version + 1)
