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
from typing import Final, Protocol
from uuid import UUID

from steelyard.base import Database, Gate, Question, UnitOfWork, Verdict
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
from steelyard.payments.model.checks import check_begin, whose
from steelyard.payments.model.orders import Mode, Order, OrderState, Payer
from steelyard.payments.model.refusals import (
    ChannelCannot,
    PaymentIsUnknown,
    PaymentStateForbids,
)
from steelyard.payments.service import evidence
from steelyard.payments.service.at_once import SCENE, pay_begun, told_of
from steelyard.payments.service.evidence import BALANCE, Report
from steelyard.payments.service.orders import Begin, begin
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import orders as table

__all__ = ["Desk", "Pay", "Paying", "Result", "Routed", "Router", "first_open"]

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


class OpenDesk(Desk, Protocol):
    """A desk that knows which channels there are."""

    def codes(self, mode: Mode) -> tuple[str, ...]:
        """Return the channels of a mode that take payments."""
        ...


@dataclass(frozen=True, slots=True)
class Routed:
    """Which channel an attempt goes to, and with which probability that was chosen."""

    channel: str
    propensity: float | None = None


Router = Callable[[Order, "Pay", datetime], Routed]
"""Chooses the channel of an attempt, or refuses where none is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """How a payer wants to pay an order.

    Attributes
    ----------
    attempt : id of the attempt; the same again is the same attempt
    channel : where it is known already; None: the routing chooses
    payer : what became known of him; None: as the order says
    details : what the method needs
    """

    attempt: UUID
    method: Method
    channel: str | None = None
    payer: Payer | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """An order and its attempt after it was paid, or was tried to be."""

    order: Order
    attempt: Attempt


class Paying:
    """Pays orders through channels; safe in many threads.

    Parameters
    ----------
    gate : asked about every payment, under the scene `payment`
    desk : has the channels
    route : chooses one
    notify_url : where a channel of a code sends its notices; None: it is asked instead
    """

    def __init__(
        self,
        database: Database,
        gate: Gate,
        desk: Desk,
        route: Router,
        *,
        notify_url: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._database = database
        self._gate = gate
        self._desk = desk
        self._route = route
        self._notify_url = notify_url

    def pay(self, order_id: UUID, how: Pay, *, merchant: UUID | None = None, actor: str) -> Result:
        """Try to pay an order, and return what is known of it afterwards.

        Sent again with the same attempt it returns what became of that, and nothing is paid twice:
        an attempt that a crash left behind is asked about, not sent anew.

        Parameters
        ----------
        merchant : whose order it must be; None: anybody's

        Refusals
        --------
        payment_is_unknown, those of `check_begin`; those of the gate and of the routing
        """
        before, known = self._read(order_id, how.attempt, merchant)
        if known is None:
            known = self._begin(before, how, actor=actor)
            if known.state is AttemptState.SENT:
                self._send(before, known, actor=actor)
        elif known.state is AttemptState.SENT and known.channel != BALANCE:
            self.ask([known], actor=actor)
        order, attempt = self._read(order_id, how.attempt, merchant)
        assert attempt is not None
        return Result(order, attempt)

    def resume(self, attempt_id: UUID, verdict: Verdict, *, actor: str) -> Result:
        """Send an attempt that waited for a proof of the payer.

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
            sent = replace(
                attempt,
                state=AttemptState.SENT,
                sent_at=unit.now,
                next_query_at=unit.now + _CLAIM,
                action=None,
                cause=verdict.cause,
            )
            attempts_table.write(unit.connection, [sent])
            table.write(unit.connection, [replace(order, state=OrderState.PROCESSING)])
            return order, sent

        order, attempt = self._database.transact(work, actor=actor)
        self._send(order, attempt, actor=actor)
        after, done = self._read(order.id, attempt.id, None)
        assert done is not None
        return Result(after, done)

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
            (ruling,) = self._report(attempt, Source.QUERY, channel.query(query), actor=actor)
            is_ending = ruling.order is OrderState.EXPIRING and ruling.attempt.is_under_way
            if is_ending or Follow.CLOSE_AT_CHANNEL in ruling.follow:
                (ruling,) = self._report(
                    attempt, Source.ANSWER, _closing(channel.cancel(query)), actor=actor
                )
            rulings.append(ruling)
        return rulings

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

    def _begin(self, order: Order, how: Pay, *, actor: str) -> Attempt:
        now = self._database.now()
        refusal = check_begin(order, how.method, now)
        if refusal is not None:
            raise refusal
        routed = Routed(how.channel) if how.channel else self._route(order, how, now)
        capability = IN_OUR_BOOK
        if routed.channel != BALANCE:
            capability = self._desk.capability(routed.channel)
        if how.method not in capability.methods:
            raise ChannelCannot(channel=routed.channel, what=how.method.value)
        asked = order if how.payer is None else replace(order, payer=how.payer)
        (verdict,) = self._gate.ask_all(
            SCENE, [Question(str(how.attempt), now, told_of(asked, how.method))]
        )
        wanted = Begin(
            order=order.id,
            attempt=how.attempt,
            method=how.method,
            channel=routed.channel,
            verdict=verdict,
            payer=how.payer,
            visibility_seconds=capability.visibility_seconds,
            propensity=routed.propensity,
            details=how.details,
        )
        start = pay_begun if routed.channel == BALANCE else begin
        (begun,) = self._database.transact(lambda unit: start(unit, [wanted]), actor=actor)
        if isinstance(begun, Refusal):
            raise begun
        return begun

    def _send(self, order: Order, attempt: Attempt, *, actor: str) -> None:
        request = request_of(order, attempt, self._notify_url(attempt.channel))
        finding = self._desk.get(attempt.channel).pay(request)
        self._report(attempt, Source.ANSWER, finding, actor=actor)

    def _report(
        self, attempt: Attempt, source: Source, finding: Finding, *, actor: str
    ) -> list[Ruling]:
        reports = [Report(attempt.id, source, finding)]
        return self._database.transact(lambda unit: evidence.report(unit, reports), actor=actor)


def first_open(desk: OpenDesk) -> Router:
    """Return the plainest routing: the first channel, by name, that takes the payment."""

    def route(order: Order, how: Pay, now: datetime) -> Routed:
        if how.method is Method.BALANCE:
            return Routed(BALANCE)
        for code in desk.codes(order.mode):
            can = desk.capability(code)
            if how.method in can.methods and order.currency in can.currencies:
                return Routed(code, 1.0)
        raise ChannelCannot(channel="any", what=how.method.value)

    return route


def request_of(order: Order, attempt: Attempt, notify_url: str | None) -> PayRequest:
    """Return what a channel is asked for."""
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
        details=attempt.details,
    )


def _closing(finding: Finding) -> Finding:
    """Return what the answer to a cancellation proves: only `closed` and money prove something."""
    if finding.said in (Said.CLOSED, Said.SUCCEEDED):
        return finding
    return replace(finding, said=Said.UNKNOWN, why=finding.why or "close_not_confirmed")
