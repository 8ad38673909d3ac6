"""Attempts to pay an order, the evidence about them, and the one reducer that decides.

Whoever learns something about an attempt (the answer of a channel, its notice, a poll, a statement,
an operator) only reports a `Finding`. `reduce` is the only place where a state follows from it.
Two rules hold everywhere: no time-out ever makes a failure, and a success that was counted is never
taken back by a later word of the channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.payments.model.channel import Decline, Finding, Method, Said
from steelyard.payments.model.orders import Capture, Order, OrderState


class AttemptState(StrEnum):
    """Where an attempt stands."""

    INIT = "init"
    """Made, and not sent: it waits for a challenge or for a person."""
    SENT = "sent"
    """It is being sent, or was; nothing came back yet."""
    PENDING_USER = "pending_user"
    PENDING = "pending"
    """The channel has it and is not finished."""
    UNKNOWN = "unknown"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    CLOSED = "closed"
    """Closed at the channel, or never sent: no money stays there."""
    REVERSED = "reversed"
    """撤销、冲正: it went through and was taken back whole."""
    DUPLICATE = "duplicate"
    """It went through, and another attempt had paid the order before: given back."""
    LATE = "late"
    """It went through after the order's end: given back."""
    INTEGRITY_HOLD = "integrity_hold"
    """The channel says another amount or currency than was asked; people look."""

    @property
    def is_under_way(self) -> bool:
        """Whether money may still come, for all that is known."""
        return self in _UNDER_WAY

    @property
    def has_money(self) -> bool:
        """Whether the channel took money by it, wherever that went then."""
        return self in _HAS_MONEY


_UNDER_WAY: Final = frozenset(
    {
        AttemptState.SENT,
        AttemptState.PENDING_USER,
        AttemptState.PENDING,
        AttemptState.UNKNOWN,
    }
)
_HAS_MONEY: Final = frozenset(
    {
        AttemptState.AUTHORIZED,
        AttemptState.SUCCEEDED,
        AttemptState.REVERSED,
        AttemptState.DUPLICATE,
        AttemptState.LATE,
        AttemptState.INTEGRITY_HOLD,
    }
)


class Source(StrEnum):
    """Where evidence came from."""

    ANSWER = "answer"
    NOTICE = "notice"
    QUERY = "query"
    STATEMENT = "statement"
    """Of a verified file. `not_found` from it means: absent in two complete statements."""
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to pay an order through one channel.

    Attributes
    ----------
    id : its hex form is the number that the channel knows
    no : 1, 2, ... within the order
    queries : how often the channel was asked what became of it
    next_query_at : when it is asked next; None: not by the schedule
    visibility_seconds : of the channel, when it was sent
    decline, code : of a declined one
    propensity : with which probability the routing chose the channel; None: it had no choice
    """

    id: UUID
    order: UUID
    no: int
    channel: str
    method: Method
    amount_minor: int
    currency: str
    state: AttemptState
    version: int
    sent_at: datetime
    cause: str
    decision: UUID | None = None
    instrument: str | None = None
    reference: str | None = None
    decline: Decline | None = None
    code: str | None = None
    action: Mapping[str, str] | None = None
    fee_minor: int | None = None
    queries: int = 0
    next_query_at: datetime | None = None
    visibility_seconds: int = 60
    is_reversing: bool = False
    final_at: datetime | None = None
    propensity: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def number(self) -> str:
        """What the channel knows it by, 32 hex digits."""
        return self.id.hex


class Move(StrEnum):
    """What the books have to say to a ruling; see `accounts.legs_of`."""

    CAPTURE = "capture"
    """In transit from the channel, owed to the merchant (to be cleared)."""
    SUSPENSE = "suspense"
    """In transit from the channel, owed to nobody yet (未认领)."""
    CLAIM = "claim"
    """From suspense to the merchant."""
    REVERSE = "reverse"
    """The capture backwards."""


class Follow(StrEnum):
    """What has to be done after the transaction, by a job or by people."""

    REFUND_DUPLICATE = "refund_duplicate"
    REFUND_LATE = "refund_late"
    CLOSE_AT_CHANNEL = "close_at_channel"
    ALARM_INTEGRITY = "alarm_integrity"


QUERY_AFTER: Final = tuple(
    timedelta(seconds=s) for s in (3, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400)
)
"""When a channel is asked what became of an attempt, from its sending on; then statements tell."""


def next_query(sent_at: datetime, queries: int) -> datetime | None:
    """Return when an attempt is asked about next; None after the last of the schedule.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> next_query(at, 0) - at, next_query(at, 99)
    (datetime.timedelta(seconds=3), None)
    """
    return sent_at + QUERY_AFTER[queries] if queries < len(QUERY_AFTER) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What follows from a piece of evidence.

    Attributes
    ----------
    attempt, order : the states after it
    moves : what is posted, in this order
    follow : what has to be done afterwards
    is_new : whether anything changed; of old news nothing is written but the evidence
    note : a short word for the log: `repeat`, `ignored_after_success` ...
    """

    attempt: AttemptState
    order: OrderState
    moves: tuple[Move, ...] = ()
    follow: tuple[Follow, ...] = ()
    is_new: bool = True
    note: str = ""


def reduce(
    order: Order, attempt: Attempt, finding: Finding, source: Source, now: datetime
) -> Ruling:
    """Return what follows for an attempt and its order from a finding.

    Parameters
    ----------
    now : instant at which it is looked at; matters for the visibility window only

    Returns
    -------
    Ruling
        Applied again with the states that it gave, the same finding gives `is_new` False.

    Examples
    --------
    >>> from datetime import UTC
    >>> from steelyard.payments.model.examples import an_attempt, an_order
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> ruling = reduce(an_order(), an_attempt(), Finding(said=Said.UNKNOWN), Source.ANSWER, at)
    >>> ruling.attempt.value, ruling.order.value, ruling.moves
    ('unknown', 'processing', ())
    """
    said = finding.said
    if said in (Said.SUCCEEDED, Said.AUTHORIZED):
        return _on_money(order, attempt, finding)
    if attempt.is_reversing and said is Said.CLOSED and attempt.state is AttemptState.SUCCEEDED:
        return Ruling(
            attempt=AttemptState.REVERSED, order=OrderState.CANCELLED, moves=(Move.REVERSE,)
        )
    if attempt.state.has_money:
        note = "repeat" if said in (Said.PENDING, Said.UNKNOWN) else "ignored_after_success"
        return _old(order, attempt, note)
    if said in (Said.DECLINED, Said.CLOSED):
        return _on_no(order, attempt, said)
    if not attempt.state.is_under_way:
        return _old(order, attempt, "repeat")
    if said is Said.NOT_SENT:
        if attempt.queries or attempt.state is not AttemptState.SENT:
            return _still(order, attempt, AttemptState.UNKNOWN)
        return _on_no(order, attempt, Said.CLOSED)
    if said is Said.NOT_FOUND:
        return _on_not_found(order, attempt, source, now)
    if said is Said.ACTION:
        return _still(order, attempt, AttemptState.PENDING_USER)
    if said is Said.PENDING:
        return _still(order, attempt, AttemptState.PENDING)
    if attempt.state is AttemptState.SENT:
        return _still(order, attempt, AttemptState.UNKNOWN)
    return _old(order, attempt, "nothing_learnt")


def _old(order: Order, attempt: Attempt, note: str) -> Ruling:
    return Ruling(attempt=attempt.state, order=order.state, is_new=False, note=note)


def _is_its_turn(order: Order, attempt: Attempt) -> bool:
    """Whether the order waits for this attempt and no other."""
    return attempt.no == order.attempts and order.state in (
        OrderState.PROCESSING,
        OrderState.REQUIRES_ACTION,
        OrderState.EXPIRING,
    )


def _still(order: Order, attempt: Attempt, state: AttemptState) -> Ruling:
    """Under way, in another way than before."""
    after = order.state
    if _is_its_turn(order, attempt) and after is not OrderState.EXPIRING:
        is_action = state is AttemptState.PENDING_USER
        after = OrderState.REQUIRES_ACTION if is_action else OrderState.PROCESSING
    is_new = state is not attempt.state or after is not order.state
    return Ruling(attempt=state, order=after, is_new=is_new, note="" if is_new else "repeat")


def _on_no(order: Order, attempt: Attempt, said: Said) -> Ruling:
    if not attempt.state.is_under_way and attempt.state is not AttemptState.INIT:
        return _old(order, attempt, "repeat")
    state = AttemptState.DECLINED if said is Said.DECLINED else AttemptState.CLOSED
    after = order.state
    if after is OrderState.EXPIRING and attempt.no == order.attempts:
        after = OrderState.CANCELLED if order.is_cancelling else OrderState.EXPIRED
    elif _is_its_turn(order, attempt):
        is_out = order.attempts >= order.most_attempts
        after = OrderState.FAILED if is_out else OrderState.OPEN
    return Ruling(attempt=state, order=after)


def _on_not_found(order: Order, attempt: Attempt, source: Source, now: datetime) -> Ruling:
    if source is Source.STATEMENT:
        return _on_no(order, attempt, Said.DECLINED)
    still = _still(order, attempt, AttemptState.UNKNOWN)
    if (now - attempt.sent_at).total_seconds() < attempt.visibility_seconds:
        return still
    return Ruling(
        attempt=still.attempt,
        order=still.order,
        follow=(Follow.CLOSE_AT_CHANNEL,),
        is_new=still.is_new,
        note="not_found_after_its_window",
    )


def _on_money(order: Order, attempt: Attempt, finding: Finding) -> Ruling:
    """Return what follows from money, whatever was thought before."""
    is_authorization = finding.said is Said.AUTHORIZED
    if attempt.state.has_money:
        return _old(order, attempt, "repeat")
    amount = attempt.amount_minor if finding.amount_minor is None else finding.amount_minor
    currency = attempt.currency if finding.currency is None else finding.currency
    if (amount, currency) != (attempt.amount_minor, attempt.currency):
        known = currency == attempt.currency and amount > 0 and not is_authorization
        return Ruling(
            attempt=AttemptState.INTEGRITY_HOLD,
            order=order.state,
            moves=(Move.SUSPENSE,) if known else (),
            follow=(Follow.ALARM_INTEGRITY,),
            note="amount_or_currency_differs",
        )
    if order.paid_by is not None:
        return Ruling(
            attempt=AttemptState.DUPLICATE,
            order=order.state,
            moves=() if is_authorization else (Move.SUSPENSE,),
            follow=(Follow.CLOSE_AT_CHANNEL if is_authorization else Follow.REFUND_DUPLICATE,),
        )
    if is_authorization and not order.state.is_over:
        return Ruling(attempt=AttemptState.AUTHORIZED, order=OrderState.AUTHORIZED)
    if not order.state.is_over:
        return Ruling(
            attempt=AttemptState.SUCCEEDED, order=OrderState.SUCCEEDED, moves=(Move.CAPTURE,)
        )
    if is_authorization:
        return Ruling(
            attempt=AttemptState.LATE, order=order.state, follow=(Follow.CLOSE_AT_CHANNEL,)
        )
    if order.late_success == "revive" and order.state is OrderState.EXPIRED:
        return Ruling(
            attempt=AttemptState.SUCCEEDED,
            order=OrderState.SUCCEEDED,
            moves=(Move.SUSPENSE, Move.CLAIM),
            note="revived",
        )
    return Ruling(
        attempt=AttemptState.LATE,
        order=order.state,
        moves=(Move.SUSPENSE,),
        follow=(Follow.REFUND_LATE,),
    )


def captures_by_hand(order: Order) -> bool:
    """Whether an authorization waits for the merchant to capture it."""
    return order.capture is Capture.MANUAL
