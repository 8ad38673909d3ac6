"""Where the live page looks: through the doors of the rooms, on one snapshot of the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard import decisions, events, ledger, parties
from steelyard.base import StoredBusinessClock
from steelyard.base.http import Platform
from steelyard.credit import glance
from steelyard.kernel import Currency, encode_cursor
from steelyard.payments import glance as payments_glance
from steelyard.web.live.pulse import Sample
from steelyard.web.live.wire import (
    ApplicationsOut,
    BalanceOut,
    ChannelNowOut,
    ConsumerOut,
    CreditOut,
    DecisionOut,
    EntryOut,
    FactOut,
    MovementDetailOut,
    MovementOut,
    OutcomeOut,
    OwedOut,
    PaymentsNowOut,
    ReasonOut,
    TieOutNowOut,
    decimal_text,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen at one look.

    Attributes
    ----------
    sample : the counters, with the lag
    balances : one row for each book and currency
    movements : newest first; only those after the positions that were asked for
    positions : book to the recording instant of its newest movement, microseconds since 1970
    outcomes : how often each is among the last decisions, in the order of severity
    decided : the last decisions, newest first
    credit : None where nobody lends
    paying : None where no payment institution is open
    """

    sample: Sample
    business_at: datetime
    speed: float
    consumers: tuple[ConsumerOut, ...]
    balances: tuple[BalanceOut, ...]
    parties: int | None
    accounts: int
    movements: tuple[MovementOut, ...]
    positions: Mapping[str, int]
    outcomes: tuple[OutcomeOut, ...]
    decided: tuple[DecisionOut, ...]
    credit: CreditOut | None = None
    paying: PaymentsNowOut | None = None


class LiveSource(Protocol):
    """What the feed asks; each call reads the database and may raise when it is away."""

    def count(self) -> Sample:
        """Return the counters alone."""
        ...

    def look(self, after: Mapping[str, int]) -> Glance:
        """Return everything, with the newest movements after the positions."""
        ...

    def movement(self, book: str, id: UUID) -> MovementDetailOut:
        """Return one movement with its entries."""
        ...


ROWS = 20
_DECIDED = 10
_REASONS = 3
_SEVERITY = ("approve", "limit", "step_up", "hold", "review", "decline")
_MOVES = frozenset({ledger.Kind.SINGLE, ledger.Kind.POST, ledger.Kind.REVERSAL})
_FACTS_READ = 1_000
_BALANCES_FOR_S = 2.0
_PARTIES_FOR_S = 10.0
_CREDIT_FOR_S = 4.0
_PAYING_FOR_S = 2.0
_PAYING_SINCE = timedelta(hours=1)
_MOST_SHARE = 0.02
"""Of all time, that is spent on one thing that costs more to read."""
_DAY_OF = ZoneInfo("Asia/Shanghai")
_POSTED = events.FactFilter(kinds=frozenset({ledger.TransferPosted.kind}))
_SPEED = sa.text("SELECT speed FROM base.clock")


class DoorSource:
    """Looks through the doors of the rooms: books, decisions, events, parties, payments, credit.

    Parameters
    ----------
    platform : whose database is read; a connection is held for the moment of a look only
    """

    def __init__(self, platform: Platform) -> None:
        self.database = platform.database
        self._balances = _Kept(_balances, for_s=_BALANCES_FOR_S)
        self._parties = _Kept(_count_parties, for_s=_PARTIES_FOR_S)
        self._credit = _Kept(
            lambda connection: _credit(connection, self.database.clock.read(connection)),
            for_s=_CREDIT_FOR_S,
        )
        self._paying = _Kept(
            lambda connection: _paying(connection, self.database.clock.read(connection)),
            for_s=_PAYING_FOR_S,
        )

    def count(self) -> Sample:
        """Return the counters alone."""
        with self.database.reading() as connection:
            books = ledger.books(connection)
            return _sample(connection, books)

    def look(self, after: Mapping[str, int]) -> Glance:
        """Return everything, with the newest movements after the positions."""
        with self.database.reading() as connection:
            books = ledger.books(connection)
            states = events.operation.consumer_states(connection)
            consumers = tuple(_consumer(state) for state in states)
            lag = max((one.events for one in consumers), default=0)
            clock = self.database.clock
            is_stored = isinstance(clock, StoredBusinessClock)
            decided = decisions.records.present_decisions(connection, lines=_DECIDED)
            speed = connection.execute(_SPEED).scalar() if is_stored else None
            return Glance(
                sample=replace(_sample(connection, books), lag_events=lag),
                business_at=clock.read(connection),
                speed=1.0 if speed is None else speed,
                consumers=consumers,
                balances=self._balances.of(connection),
                parties=self._parties.of(connection),
                accounts=sum(book.accounts for book in books),
                movements=_movements(connection, books, after),
                positions={book.id: book.last_at for book in books},
                outcomes=tuple(
                    OutcomeOut(outcome=outcome, times=decided.outcomes[outcome])
                    for outcome in _SEVERITY
                    if outcome in decided.outcomes
                ),
                decided=tuple(_decision(line.decision) for line in decided.newest),
                credit=self._credit.of(connection),
                paying=self._paying.of(connection),
            )

    def movement(self, book: str, id: UUID) -> MovementDetailOut:
        """Return one movement with its entries.

        Refusals
        --------
        book_not_found, original_not_found
        """
        with self.database.reading() as connection:
            reader = ledger.BookReader(connection, book)
            found = reader.movement(id)
            return MovementDetailOut(
                movement=_movement(found),
                entries=[
                    _entry(reader, found, "debit", found.debit),
                    _entry(reader, found, "credit", found.credit),
                ],
                entry=_text(found.entry),
                refers_to=_text(found.refers_to),
                decision_id=_text(found.decision_id),
                hash=found.hash,
                linked=[_movement(one) for one in _linked(connection, reader, found)],
                events=_facts(connection, found),
            )


class _Kept(Generic[T]):
    """What costs more to read is read less often, and the less so the more it costs."""

    def __init__(self, read: Callable[[sa.Connection], T], *, for_s: float) -> None:
        self._read = read
        self._for_s = for_s
        self._kept: tuple[float, T] | None = None

    def of(self, connection: sa.Connection) -> T:
        """Return what was read, again if that was too long ago."""
        began = time.monotonic()
        if self._kept is None or began >= self._kept[0]:
            value = self._read(connection)
            ended = time.monotonic()
            self._kept = (ended + max(self._for_s, (ended - began) / _MOST_SHARE), value)
        return self._kept[1]


def _sample(connection: sa.Connection, books: Sequence[ledger.Book]) -> Sample:
    newest = events.reading.latest(connection, events.FactFilter(), limit=1).items
    return Sample(
        at=time.time(),
        transfers=sum(book.transfers for book in books),
        facts=newest[0].sequence if newest else 0,
        decisions=decisions.records.count_decisions(connection),
    )


def _count_parties(connection: sa.Connection) -> int:
    return sum(parties.registry.count_parties(connection).values())


def _credit(connection: sa.Connection, now: datetime) -> CreditOut | None:
    owed = glance.owed(connection)
    midnight = now.astimezone(_DAY_OF).replace(hour=0, minute=0, second=0, microsecond=0)
    today = glance.outcomes(connection, midnight.astimezone(UTC))
    if not owed and not today:
        return None
    return CreditOut(
        owed=[_owed(one) for one in owed],
        applications_today=[ApplicationsOut(state=s, times=n) for s, n in today.items()],
    )


def _owed(one: glance.Owed) -> OwedOut:
    exponent = Currency.of(one.currency).exponent
    return OwedOut(
        currency=one.currency,
        exponent=exponent,
        outstanding_minor=one.outstanding_minor,
        outstanding=decimal_text(one.outstanding_minor, exponent),
        loans=one.loans,
        late=one.late,
        late_share=round(one.late_share, 4),
    )


def _paying(connection: sa.Connection, now: datetime) -> PaymentsNowOut | None:
    found = payments_glance.look(connection, now - _PAYING_SINCE)
    if found is None:
        return None
    share = found.success_share
    return PaymentsNowOut(
        tried=found.tried,
        success_share=None if share is None else round(share, 4),
        unknown=found.unknown,
        channels=[
            ChannelNowOut(
                channel=one.code,
                stage=one.stage,
                breaker=one.breaker.value,
                tried=one.tried,
                succeeded=one.succeeded,
                unknown=one.unknown,
            )
            for one in found.channels
        ],
        tie_outs=[_tie(one) for one in found.tie_outs],
    )


def _tie(one: payments_glance.TieOut) -> TieOutNowOut:
    exponent = Currency.of(one.currency).exponent
    off = one.difference_minor
    return TieOutNowOut(
        currency=one.currency,
        on=one.on,
        holds=one.holds,
        why=one.why,
        exponent=exponent,
        difference_minor=off,
        difference=None if off is None else decimal_text(off, exponent),
    )


def _decision(one: decisions.Decision) -> DecisionOut:
    return DecisionOut(
        id=str(one.id),
        at=datetime.fromtimestamp(one.asked.at_ms / 1_000, UTC),
        scene=one.asked.scene,
        outcome=one.outcome,
        score=one.score,
        reasons=[
            ReasonOut(
                code=code,
                en=decisions.asking.text_of(code, "en"),
                zh=decisions.asking.text_of(code, "zh-CN"),
            )
            for code in one.reasons[:_REASONS]
        ],
    )


def _consumer(state: events.ConsumerState) -> ConsumerOut:
    return ConsumerOut(
        name=state.name,
        version=state.version,
        events=state.facts_behind,
        seconds=round(state.seconds_behind, 3),
        is_stopped=state.activity.value == "stopped",
    )


def _balances(connection: sa.Connection) -> tuple[BalanceOut, ...]:
    return tuple(
        _balance(book, total)
        for book in ledger.books(connection)
        for total in ledger.BookReader(connection, book.id).trial_totals()
    )


def _balance(book: ledger.Book, total: Any) -> BalanceOut:
    exponent = Currency.of(total.currency).exponent
    return BalanceOut(
        book=book.id,
        funds=book.funds.value,
        currency=total.currency,
        exponent=exponent,
        debits_minor=total.debit_minor,
        credits_minor=total.credit_minor,
        difference_minor=total.difference_minor,
        debits=decimal_text(total.debit_minor, exponent),
        credits=decimal_text(total.credit_minor, exponent),
        difference=decimal_text(total.difference_minor, exponent),
    )


def _movements(
    connection: sa.Connection, books: Sequence[ledger.Book], after: Mapping[str, int]
) -> tuple[MovementOut, ...]:
    found = [
        one
        for book in books
        if book.last_at > after.get(book.id, 0)
        for one in ledger.BookReader(connection, book.id).movements(limit=ROWS).items
        if one.at > after.get(book.id, 0)
    ]
    written = _written(connection, limit=ROWS * len(books)) if len(books) > 1 and found else {}
    found.sort(key=lambda one: (written.get(str(one.id), 0), one.at), reverse=True)
    return tuple(_movement(one) for one in found)


def _written(connection: sa.Connection, *, limit: int) -> Mapping[str, int]:
    """Return the newest movements with the numbers of their facts: the order they happened in.

    Each book rises by its own instants, but they are business time: one that was written before
    the clock of the town was set lies in the future of the others for ever.
    """
    newest = events.reading.latest(connection, _POSTED, limit=limit).items
    return {json.loads(fact.payload)["id"]: fact.sequence for fact in newest}


def _movement(one: Any) -> MovementOut:
    exponent = Currency.of(one.currency).exponent
    return MovementOut(
        id=str(one.id),
        book=one.book,
        at=one.recorded_at,
        effective_on=one.effective_on,
        from_=one.debit_code,
        to=one.credit_code,
        currency=one.currency,
        exponent=exponent,
        amount_minor=one.amount_minor,
        amount=decimal_text(one.amount_minor, exponent),
        kind=one.kind.word,
        cause=one.cause,
    )


def _entry(reader: ledger.BookReader, one: Any, side: str, number: int) -> EntryOut:
    account = reader.account(number)
    exponent = Currency.of(one.currency).exponent
    moved = one.amount_minor if one.kind in _MOVES else 0
    # The last line up to the movement knows the balance; a hold has no line of its own.
    last = reader.statement(number, start="newest", cursor=encode_cursor(one.at + 1), limit=1)
    balance = last.items[0].balance_minor if last.items else 0
    return EntryOut(
        side=side,
        account=account.code,
        kind=account.kind.value,
        amount_minor=moved,
        amount=decimal_text(moved, exponent),
        balance_minor=balance,
        balance=decimal_text(balance, exponent),
    )


def _linked(connection: sa.Connection, reader: ledger.BookReader, one: Any) -> list[Any]:
    linked = [] if one.refers_to is None else [reader.movement(one.refers_to)]
    if one.entry is not None:
        linked += [m for m in ledger.entry_of(connection, one.entry) if m.id != one.id]
    return linked


def _facts(connection: sa.Connection, one: Any) -> list[FactOut]:
    """Return the events that name the movement, of the recent ones about the account it debits."""
    wanted = replace(_POSTED, subject=f"account:{one.book}/{one.debit}")
    recent = events.reading.latest(connection, wanted, limit=_FACTS_READ).items
    return [
        FactOut(
            sequence=fact.sequence,
            kind=fact.kind,
            version=fact.version,
            subject=fact.subject,
            occurred_at=fact.occurred_at,
            actor=fact.actor,
            payload=payload,
        )
        for fact in recent
        if (payload := json.loads(fact.payload)).get("id") == str(one.id)
    ]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
