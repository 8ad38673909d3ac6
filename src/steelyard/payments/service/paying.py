"""Paying an order through a channel: gate, intent, call, evidence; and asking what became of it.

No transaction is open while somebody outside is asked. The intent (the attempt with its number) is
durable before the channel hears of it, so that a crash at any point leaves an attempt that the
channel can be asked about: `poll` finds it and brings it to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from steelyard.base import Database, Gate, Question, UnitOfWork, Verdict
from steelyard.base.idempotency import Answer, HeldKeys, KeyedCall, intend, store_answers
from steelyard.decisions import consume
from steelyard.kernel import Refusal
from steelyard.payments.model.attempts import (
    Attempt,
    AttemptState,
    Follow,
    Ruling,
    Source,
)
from steelyard.payments.model.channel import (
    Capability,
    Channel,
    Finding,
    Method,
    PayRequest,
    Query,
    Said,
)
from steelyard.payments.model.checks import check_begin, check_shape, whose
from steelyard.payments.model.orders import Capture, NewOrder, Order, OrderState, Payer
from steelyard.payments.model.refusals import (
    ChannelCannot,
    ChannelDayIsFull,
    PaymentIsUnknown,
    PaymentStateForbids,
)
from steelyard.payments.service import evidence
from steelyard.payments.service.at_once import SCENE, pay_begun, told_of
from steelyard.payments.service.evidence import BALANCE, Report
from steelyard.payments.service.lanes import Lane, PaymentsAreBusy, in_one_transaction
from steelyard.payments.service.orders import Begin, Begun, begin, create, create_begun, made
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import orders as table

__all__ = [
    "Command",
    "Desk",
    "KeyedCall",
    "Pay",
    "Paying",
    "PaymentsAreBusy",
    "Rerouted",
    "Result",
    "Routed",
    "Routing",
]

_CHOICES: Final = 3
"""How often a channel is chosen for an attempt, where days fill up meanwhile."""
_CLAIM: Final = timedelta(seconds=30)
"""For how long an attempt that is being asked about is left alone by others."""


IN_OUR_BOOK: Final = Capability(
    methods=(Method.BALANCE,), visibility_seconds=0, fee_rate=Decimal(0)
)
"""What can be paid where the money lies in our own book already."""


class Desk(Protocol):
    """Where channels are had from at run time."""

    def get(self, code: str) -> Channel:
        """Return the channel of a code."""
        ...

    def capability(self, code: str) -> Capability:
        """Return what the channel can do."""
        ...


@dataclass(frozen=True, slots=True)
class Routed:
    """Which channel an attempt goes to, and with which probability that was chosen."""

    channel: str
    propensity: float | None = None


class Routing(Protocol):
    """Chooses the channels of attempts."""

    def route(self, order: Order, how: Pay, now: datetime) -> Routed:
        """Return the channel of an attempt, or refuse where none is open."""
        ...

    def write(self, unit: UnitOfWork, attempts: Sequence[UUID]) -> None:
        """Write the choices down, in the transaction that begins the attempts.

        Refusals
        --------
        channel_day_is_full : routed again, another channel is chosen
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """How a payer wants to pay an order.

    Attributes
    ----------
    attempt : id of the attempt; the same again is the same attempt
    channel : where it is known already; None: the routing chooses
    payer : what became known of him; None: as the order says
    details : what the method needs
    waits_for : what the payer has to do before it is sent, whatever the gate says: `proof`, or
        `corporate` for a second person of his; None: nothing but what the gate wants
    """

    attempt: UUID
    method: Method
    channel: str | None = None
    payer: Payer | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Rerouted:
    """Where an attempt goes that was not sent yet, and under which id that was chosen."""

    channel: str
    choice: UUID


@dataclass(frozen=True, slots=True)
class Result:
    """An order and its attempt after it was paid, or was tried to be."""

    order: Order
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request of a client with its idempotency key, to create an order, to pay one, or both.

    Attributes
    ----------
    new : the order to create; None: `order` is there already
    how : how it is paid at once; None: it is only created
    render : makes the answer of the order and its attempt
    status : of the answer
    """

    call: KeyedCall
    actor: str
    merchant: UUID | None
    render: Callable[[Order, Attempt | None], bytes]
    new: NewOrder | None = None
    order: UUID | None = None
    how: Pay | None = None
    status: int = 200


class _Start(NamedTuple):
    """What a transaction begins: an order, an attempt, or both; and the command behind it."""

    command: Command | None
    new: NewOrder | None
    begin: Begin | None


class _Started(NamedTuple):
    """What was begun; with the answer where nothing is left to be done."""

    order: Order
    begun: Begun | None
    answer: Answer | None


class _End(NamedTuple):
    """What was learnt from the channel, and the command that waits for it."""

    command: Command | None
    report: Report


class _Ended(NamedTuple):
    """What followed from it."""

    ruling: Ruling
    order: Order
    attempt: Attempt
    answer: Answer | None


class Paying:
    """Pays orders through channels; safe in many threads.

    Callers of the same moment share their questions to the gate, the transaction that begins their
    attempts, and the one that ends them; the channel is called by each of them alone.

    Parameters
    ----------
    gate : asked about every payment, under the scene `payment`
    desk : has the channels
    routing : chooses one
    notify_url : where a channel of a code sends its notices; None: it is asked instead
    capacity : how many callers may wait at each lane; beyond it they are refused as busy
    """

    def __init__(
        self,
        database: Database,
        gate: Gate,
        desk: Desk,
        routing: Routing,
        *,
        notify_url: Callable[[str], str | None] = lambda _: None,
        capacity: int = 500,
    ) -> None:
        self._database = database
        self._desk = desk
        self._routing = routing
        self._notify_url = notify_url
        self._keys = HeldKeys(database)
        self._key_lane: Lane[tuple[KeyedCall, bool], Answer | None] = Lane(
            "keys", self._hold, capacity=2 * capacity
        )
        self._gate_lane: Lane[Question, Verdict] = Lane(
            "gate", lambda asked: gate.ask_all(SCENE, asked), capacity=capacity
        )
        self._clock_lane: Lane[None, datetime] = Lane(
            "clock", lambda asked: [database.now()] * len(asked), capacity=2 * capacity
        )
        self._begin_lane: Lane[_Start, _Started] = Lane(
            "begin",
            in_one_transaction(database, lambda unit, starts: _begin(unit, starts, routing)),
            capacity=capacity,
        )
        # Whoever was begun is ended: nobody is refused here who was let in there.
        self._end_lane: Lane[_End, _Ended] = Lane(
            "end", in_one_transaction(database, _end), capacity=100 * capacity
        )

    @property
    def _lanes(self) -> Sequence[Lane[Any, Any]]:
        return (
            self._key_lane,
            self._clock_lane,
            self._gate_lane,
            self._begin_lane,
            self._end_lane,
        )

    def close(self) -> None:
        """Finish what waits, and give the connection of the keys back."""
        for lane in self._lanes:
            lane.close()
        self._keys.close()

    def take(self, command: Command) -> Answer:
        """Do a command once for its key, and return its answer.

        A refusal is not stored: sent again, the command is judged afresh. What a crash left behind
        is found by its ids, and an attempt that may have been sent is asked about.

        Refusals
        --------
        request_is_in_flight, idempotency_key_was_used, payments_are_busy; those of `orders.create`
        and of `pay`
        """
        known = self._key_lane.call((command.call, True))
        if known is not None:
            return known
        try:
            return self._do(command)
        finally:
            # Nobody waits for it: the same key again stands behind it in the lane.
            self._key_lane.put((command.call, False))

    def once(self, call: KeyedCall, work: Callable[[], Answer], *, actor: str) -> Answer:
        """Do a request of several transactions once for its key, held beside the others' keys.

        A refusal is not stored. A crash lets the key go, and the request sent again does `work`
        again, which must find its own traces.

        Refusals
        --------
        request_is_in_flight, idempotency_key_was_used, payments_are_busy; those of the work
        """
        known = self._key_lane.call((call, True))
        if known is not None:
            return known
        try:
            self._database.transact(lambda unit: intend(unit, [call]), actor=actor)
            answer = work()
            self._database.transact(lambda unit: store_answers(unit, [(call, answer)]), actor=actor)
            return answer
        finally:
            self._key_lane.put((call, False))

    def pay(self, order_id: UUID, how: Pay, *, merchant: UUID | None = None, actor: str) -> Result:
        """Try to pay an order, and return what is known of it afterwards.

        Sent again with the same attempt it returns what became of that, and nothing is paid twice:
        an attempt that a crash left behind is asked about, not sent anew.

        Parameters
        ----------
        merchant : whose order it must be; None: anybody's

        Refusals
        --------
        payment_is_unknown, payments_are_busy, those of `check_begin`; those of the gate and of the
        routing
        """
        before, known = self._read(order_id, how.attempt, merchant)
        if known is None:
            started = self._started(
                lambda: _Start(
                    None, None, self._prepared(before, how, actor, self._clock_lane.call(None))
                )
            )
            self._go_on(None, started, actor)
        elif known.state is AttemptState.SENT and known.channel != BALANCE:
            self.ask([known], actor=actor)
        order, attempt = self._read(order_id, how.attempt, merchant)
        assert attempt is not None
        return Result(order, attempt)

    def resume(
        self, attempt_id: UUID, verdict: Verdict, *, again: Rerouted | None = None, actor: str
    ) -> Result:
        """Send an attempt that waited for a proof of the payer.

        Parameters
        ----------
        again : where the channel that was chosen has closed meanwhile; nothing was sent there

        Refusals
        --------
        payment_is_unknown, payment_state_forbids
        """

        def work(unit: UnitOfWork) -> tuple[Order, Attempt]:
            of = attempts_table.orders_of(unit.connection, [attempt_id]).get(attempt_id)
            if of is None:
                raise PaymentIsUnknown(payment=attempt_id)
            order = table.lock(unit.connection, [of])[of]
            attempt = attempts_table.lock(unit.connection, [attempt_id])[attempt_id]
            if attempt.state is not AttemptState.INIT or order.state.is_over:
                raise PaymentStateForbids(payment=of, state=attempt.state.value, verb="resume")
            if verdict.decision_id is not None:
                by = f"transfer:{attempt.id}"
                consume(unit, verdict.decision_id, by=by, amount_minor=attempt.amount_minor)
            sent = replace(
                attempt,
                state=AttemptState.SENT,
                channel=attempt.channel if again is None else again.channel,
                sent_at=unit.now,
                next_query_at=unit.now + _CLAIM,
                action=None,
                cause=verdict.cause,
                decision=verdict.decision_id,
            )
            attempts_table.write(unit.connection, [sent])
            table.write(unit.connection, [replace(order, state=OrderState.PROCESSING)])
            if again is not None:
                self._routing.write(unit, [again.choice])
            return order, sent

        order, attempt = self._database.transact(work, actor=actor)
        ended = self._send(None, order, attempt, actor)
        return Result(ended.order, ended.attempt)

    def poll(self, *, limit: int = 100, actor: str = "system:payments") -> int:
        """Ask channels about the attempts whose turn it is; return how many were asked about."""

        def claim(unit: UnitOfWork) -> list[Attempt]:
            due = attempts_table.due(unit.connection, unit.now, limit)
            claimed = [replace(one, next_query_at=unit.now + _CLAIM) for one in due]
            attempts_table.write(unit.connection, claimed)
            return claimed

        due = self._database.transact(claim, actor=actor)
        self.ask(due, actor=actor)
        return len(due)

    def ask(self, tried: Sequence[Attempt], *, actor: str) -> list[Ruling]:
        """Ask channels what became of attempts, and close those that are to be closed."""
        rulings = []
        for attempt in tried:
            query = Query(
                number=attempt.number, reference=attempt.reference, sent_at=attempt.sent_at
            )
            channel = self._desk.get(attempt.channel)
            said = Report(attempt.id, Source.QUERY, channel.query(query), actor)
            ruling = self._end_lane.call(_End(None, said)).ruling
            is_ending = ruling.order is OrderState.EXPIRING and ruling.attempt.is_under_way
            if is_ending or Follow.CLOSE_AT_CHANNEL in ruling.follow:
                closed = _closing(channel.cancel(query))
                said = Report(attempt.id, Source.ANSWER, closed, actor)
                ruling = self._end_lane.call(_End(None, said)).ruling
            rulings.append(ruling)
        return rulings

    def _do(self, command: Command) -> Answer:
        started = self._started(
            lambda: _Start(
                command,
                command.new,
                None if command.how is None else self._beginning(command, command.how),
            )
        )
        if started.answer is not None:
            return started.answer
        ended = self._go_on(command, started, command.actor)
        assert ended is not None
        assert ended.answer is not None
        return ended.answer

    def _started(self, prepared: Callable[[], _Start]) -> _Started:
        """Begin; where the channel's day filled up meanwhile, choose again."""
        for _ in range(_CHOICES - 1):
            try:
                return self._begin_lane.call(prepared())
            except ChannelDayIsFull:
                continue
        return self._begin_lane.call(prepared())

    def _beginning(self, command: Command, how: Pay) -> Begin:
        """Return the attempt that a command begins, or began before it was sent again."""
        if command.new is not None:
            now = self._clock_lane.call(None)
            refusal = check_shape(command.new, now)
            if refusal is not None:
                raise refusal
            return self._prepared(made(command.new, now), how, command.actor, now)
        assert command.order is not None
        order, known = self._read(command.order, how.attempt, command.merchant)
        if known is not None:
            return _same(known)
        return self._prepared(order, how, command.actor, self._clock_lane.call(None))

    def _go_on(self, command: Command | None, started: _Started, actor: str) -> _Ended | None:
        """Send what was begun here; ask about what a crash left behind."""
        begun = started.begun
        if begun is None or begun.attempt.state is not AttemptState.SENT:
            return None
        if begun.is_new:
            return self._send(command, started.order, begun.attempt, actor)
        query = Query(
            number=begun.attempt.number,
            reference=begun.attempt.reference,
            sent_at=begun.attempt.sent_at,
        )
        finding = self._desk.get(begun.attempt.channel).query(query)
        said = Report(begun.attempt.id, Source.QUERY, finding, actor)
        return self._end_lane.call(_End(command, said))

    def _read(
        self, order_id: UUID, attempt_id: UUID, merchant: UUID | None
    ) -> tuple[Order, Attempt | None]:
        with self._database.reading() as connection:
            order = table.find(connection, [order_id]).get(order_id)
            if order is None or not whose(order, merchant):
                raise PaymentIsUnknown(payment=order_id)
            attempt = attempts_table.find(connection, [attempt_id]).get(attempt_id)
            if attempt is not None and attempt.order != order_id:
                raise PaymentIsUnknown(payment=order_id)
            return order, attempt

    def _prepared(self, order: Order, how: Pay, actor: str, now: datetime) -> Begin:
        """Choose the channel and ask the gate, before anything is written."""
        refusal = check_begin(order, how.method, now)
        if refusal is not None:
            raise refusal
        routed = Routed(how.channel) if how.channel else self._routing.route(order, how, now)
        capability = IN_OUR_BOOK
        if routed.channel != BALANCE:
            capability = self._desk.capability(routed.channel)
        if how.method not in capability.methods:
            raise ChannelCannot(channel=routed.channel, what=how.method.value)
        if order.capture is Capture.MANUAL and not capability.auth_capture:
            raise ChannelCannot(channel=routed.channel, what="capture by hand")
        asked = order if how.payer is None else replace(order, payer=how.payer)
        question = Question(str(how.attempt), now, told_of(asked, how.method))
        return Begin(
            order=order.id,
            attempt=how.attempt,
            method=how.method,
            channel=routed.channel,
            verdict=self._gate_lane.call(question),
            payer=how.payer,
            visibility_seconds=capability.visibility_seconds,
            propensity=routed.propensity,
            details=how.details,
            actor=actor,
            waits_for=how.waits_for,
        )

    def _send(self, command: Command | None, order: Order, attempt: Attempt, actor: str) -> _Ended:
        request = request_of(order, attempt, self._notify_url(attempt.channel))
        finding = self._desk.get(attempt.channel).pay(request)
        said = Report(attempt.id, Source.ANSWER, finding, actor)
        return self._end_lane.call(_End(command, said))

    def _hold(self, asked: Sequence[tuple[KeyedCall, bool]]) -> Sequence[Answer | Refusal | None]:
        """Take keys, and let go of others, on the one connection that holds them."""
        freed = [call for call, is_taken in asked if not is_taken]
        if freed:
            self._keys.free(freed)
        taken = iter(self._keys.take([call for call, is_taken in asked if is_taken]))
        return [next(taken) if is_taken else None for _, is_taken in asked]


def _same(attempt: Attempt) -> Begin:
    """Return the beginning of an attempt that is there already; nobody is asked about it again."""
    return Begin(
        order=attempt.order, attempt=attempt.id, method=attempt.method, channel=attempt.channel
    )


def _begin(
    unit: UnitOfWork, starts: Sequence[_Start], routing: Routing
) -> list[_Started | Refusal]:
    """Begin orders and attempts; store the answers of those with whom nothing is left to be done.

    One that is refused takes nothing of the others with it; an order whose attempt is refused is
    created nevertheless, as it would be by two requests.
    """
    commands = [one.command for one in starts if one.command is not None]
    if commands:
        intend(unit, [command.call for command in commands])
    done = _at_once(unit, starts)
    rest = [place for place in range(len(starts)) if place not in done]
    done |= dict(zip(rest, _in_turn(unit, [starts[place] for place in rest]), strict=True))
    sent = [
        one[1].attempt.id
        for one in done.values()
        if not isinstance(one, Refusal) and one[1] is not None and one[1].is_new
    ]
    routing.write(unit, sent)
    answers: list[_Started | Refusal] = []
    stored: list[tuple[KeyedCall, Answer]] = []
    for place, one in enumerate(starts):
        made_of = done[place]
        if isinstance(made_of, Refusal):
            answers.append(made_of)
            continue
        order, tried = made_of
        answer = None
        is_sent = tried is not None and tried.attempt.state is AttemptState.SENT
        if one.command is not None and not is_sent:
            answer = _answer(one.command, order, None if tried is None else tried.attempt)
            stored.append((one.command.call, answer))
        answers.append(_Started(order, tried, answer))
    if stored:
        store_answers(unit, stored)
    return answers


_Made = tuple[Order, Begun | None] | Refusal


def _at_once(unit: UnitOfWork, starts: Sequence[_Start]) -> dict[int, _Made]:
    """Create and begin what is new and goes to a channel; what was there before is left out."""
    places, pairs = [], []
    for place, one in enumerate(starts):
        if one.new is not None and one.begin is not None and one.begin.channel != BALANCE:
            places.append(place)
            pairs.append((one.new, one.begin))
    if not pairs:
        return {}
    made_of = zip(places, create_begun(unit, pairs), strict=True)
    return {place: one for place, one in made_of if one is not None}


def _in_turn(unit: UnitOfWork, starts: Sequence[_Start]) -> list[_Made]:
    """Create what is to be created, then begin what is to be begun."""
    if not starts:
        return []
    made_of = _created(unit, starts)
    begun = iter(
        _begun(
            unit,
            [
                one.begin
                for place, one in enumerate(starts)
                if one.begin is not None and not isinstance(made_of.get(place), Refusal)
            ],
        )
    )
    found = table.find(unit.connection, [one.begin.order for one in starts if one.begin])
    answers: list[_Made] = []
    for place, one in enumerate(starts):
        order = made_of.get(place)
        if isinstance(order, Refusal):
            answers.append(order)
            continue
        tried = None if one.begin is None else next(begun)
        if isinstance(tried, Refusal):
            answers.append(tried)
            continue
        if one.begin is not None:
            order = found[one.begin.order]
        assert order is not None
        answers.append((order, tried))
    return answers


def _created(unit: UnitOfWork, starts: Sequence[_Start]) -> dict[int, Order | Refusal]:
    places = [place for place, one in enumerate(starts) if one.new is not None]
    news = [one.new for one in starts if one.new is not None]
    actors = {
        one.new.id: one.command.actor
        for one in starts
        if one.new is not None and one.command is not None
    }
    if not news:
        return {}
    return dict(zip(places, create(unit, news, actors=actors), strict=True))


def _begun(unit: UnitOfWork, begins: Sequence[Begin]) -> list[Begun | Refusal]:
    """Begin attempts: those out of our own book are paid at once."""
    ours = [one for one in begins if one.channel == BALANCE]
    theirs = [one for one in begins if one.channel != BALANCE]
    sent = iter(begin(unit, theirs) if theirs else ())
    paid = iter(pay_begun(unit, ours) if ours else ())
    return [next(paid) if one.channel == BALANCE else next(sent) for one in begins]


def _end(unit: UnitOfWork, ends: Sequence[_End]) -> list[_Ended | Refusal]:
    """Report what was learnt, and store the answers of the commands that waited for it."""
    settled = evidence.report_all(unit, [one.report for one in ends])
    done: list[_Ended | Refusal] = []
    stored: list[tuple[KeyedCall, Answer]] = []
    for one, ruling in zip(ends, settled.rulings, strict=True):
        attempt = settled.attempts[one.report.attempt]
        order = settled.orders[attempt.order]
        answer = None
        if one.command is not None:
            answer = _answer(one.command, order, attempt)
            stored.append((one.command.call, answer))
        done.append(_Ended(ruling, order, attempt, answer))
    if stored:
        store_answers(unit, stored)
    return done


def _answer(command: Command, order: Order, attempt: Attempt | None) -> Answer:
    return Answer(command.status, command.render(order, attempt))


def request_of(order: Order, attempt: Attempt, notify_url: str | None) -> PayRequest:
    """Return what a channel is asked for."""
    details = dict(attempt.details)
    if order.capture is Capture.MANUAL:
        details["capture"] = order.capture.value
    return PayRequest(
        number=attempt.number,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        method=attempt.method,
        subject=order.subject,
        merchant=order.merchant.hex,
        sent_at=attempt.sent_at,
        instrument=attempt.instrument,
        expires_at=order.expires_at,
        notify_url=notify_url,
        details=details,
    )


def _closing(finding: Finding) -> Finding:
    """Return what the answer to a cancellation proves: only `closed` and money prove something."""
    if finding.said in (Said.CLOSED, Said.SUCCEEDED):
        return finding
    return replace(finding, said=Said.UNKNOWN, why=finding.why or "close_not_confirmed")
