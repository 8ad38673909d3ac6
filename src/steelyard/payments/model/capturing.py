"""Taking the money of an authorization, in parts or whole, and letting the rest go.

An authorization is a hold at the payer's bank. Each capture is a payment of its own number, asked
for with the detail `capture_of`; the release is the cancellation of the authorization, by which the
channel lets go of what was not captured. Of one payment one of them at most is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from steelyard.kernel import Refusal
from steelyard.payments.model.attempts import Source, next_query
from steelyard.payments.model.capturing_refusals import (
    CaptureExceedsAuthorization,
    CaptureIsUnderWay,
    PaymentIsNotAuthorized,
)
from steelyard.payments.model.channel import Finding, Said
from steelyard.payments.model.orders import Order, OrderState
from steelyard.payments.model.refusals import PaymentAmountIsOutOfRange

AUTHORIZATION_LIVES: Final = timedelta(days=7)
"""From the authorization on; then the rest is let go."""
CAPTURE_OF: Final = "capture_of"
"""Detail of a request to a channel: the number of the authorization that it takes from."""
IS_LAST: Final = "is_last"
"""Detail of a request to a channel: nothing is taken after it, the rest may go."""


class CaptureKind(StrEnum):
    """What is done with the money that is set aside."""

    CAPTURE = "capture"
    RELEASE = "release"


class CaptureState(StrEnum):
    """Where it stands."""

    SENT = "sent"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    HELD = "held"
    """The channel says another amount or currency than was asked; people look."""

    @property
    def is_under_way(self) -> bool:
        """Whether it may still take money, for all that is known."""
        return self in (CaptureState.SENT, CaptureState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A capture, or the release of the rest.

    Attributes
    ----------
    id : its hex form is the number that the channel knows
    request : who asks again with the same gets this one
    no : 1, 2, ... within the authorization
    is_last : whether nothing is taken after it
    is_by_clock : of a release: whether the authorization's time was over
    """

    id: UUID
    request: UUID
    order: UUID
    attempt: UUID
    no: int
    kind: CaptureKind
    amount_minor: int
    currency: str
    is_last: bool
    is_by_clock: bool
    state: CaptureState
    version: int
    sent_at: datetime
    actor: str
    queries: int = 0
    next_query_at: datetime | None = None
    reference: str | None = None
    code: str | None = None
    final_at: datetime | None = None

    @property
    def number(self) -> str:
        """What the channel knows it by, 32 hex digits."""
        return self.id.hex


def id_of(attempt: UUID, no: int) -> UUID:
    """Return the id of a capture: the same for the same place in the same authorization.

    Examples
    --------
    >>> id_of(UUID(int=1), 1) == id_of(UUID(int=1), 1) != id_of(UUID(int=1), 2)
    True
    """
    return uuid5(attempt, f"capture:{no}")


def left_minor(order: Order) -> int:
    """Return what may still be taken of an authorization."""
    return order.authorized_minor - order.captured_minor


def check_capture(order: Order, known: Sequence[Capture], amount_minor: int) -> Refusal | None:
    """Return why an amount cannot be taken, None where it can.

    Refusals
    --------
    payment_is_not_authorized, capture_is_under_way, payment_amount_is_out_of_range,
    capture_exceeds_authorization
    """
    refusal = check_open(order, known)
    if refusal is not None:
        return refusal
    left = left_minor(order)
    if amount_minor <= 0:
        return PaymentAmountIsOutOfRange(amount_minor=amount_minor, least_minor=1, most_minor=left)
    if amount_minor > left:
        return CaptureExceedsAuthorization(
            payment=order.id, amount_minor=amount_minor, left_minor=left
        )
    return None


def check_open(order: Order, known: Sequence[Capture]) -> Refusal | None:
    """Return why neither a capture nor a release can begin, None where one can.

    Refusals
    --------
    payment_is_not_authorized, capture_is_under_way
    """
    if order.state not in (OrderState.AUTHORIZED, OrderState.PARTIALLY_CAPTURED):
        return PaymentIsNotAuthorized(payment=order.id, state=order.state.value)
    for one in known:
        if one.state.is_under_way or one.state is CaptureState.HELD:
            return CaptureIsUnderWay(
                payment=order.id, verb=one.kind.value, capture=one.id, state=one.state.value
            )
    return None


def rule(one: Capture, finding: Finding, source: Source, now: datetime) -> Capture:
    """Return a capture with what a finding says about it; equal where nothing was learnt.

    No time-out makes it declined: only the channel's no does, and that it verifiably was not sent.
    """
    queries = one.queries + (source is Source.QUERY)
    if not one.state.is_under_way:
        return one
    state = _state_after(one, finding, source)
    learnt = replace(one, state=state, queries=queries)
    if state.is_under_way:
        when = next_query(one.sent_at, queries)
        while when is not None and when <= now:
            queries += 1
            when = next_query(one.sent_at, queries)
        # The schedule ends; a hold at somebody's bank is asked about until it is known.
        return replace(learnt, queries=queries, next_query_at=when or now + timedelta(days=1))
    return replace(
        learnt,
        next_query_at=None,
        final_at=now,
        reference=one.reference or finding.reference,
        code=finding.code if state is CaptureState.DECLINED else one.code,
    )


def _state_after(one: Capture, finding: Finding, source: Source) -> CaptureState:
    said = finding.said
    if one.kind is CaptureKind.RELEASE:
        return CaptureState.SUCCEEDED if said is Said.CLOSED else CaptureState.UNKNOWN
    if said is Said.SUCCEEDED:
        amount = one.amount_minor if finding.amount_minor is None else finding.amount_minor
        currency = finding.currency or one.currency
        same = (amount, currency) == (one.amount_minor, one.currency)
        return CaptureState.SUCCEEDED if same else CaptureState.HELD
    if said in (Said.DECLINED, Said.CLOSED):
        return CaptureState.DECLINED
    never_sent = said is Said.NOT_SENT and one.state is CaptureState.SENT and not one.queries
    if never_sent and source is Source.ANSWER:
        return CaptureState.DECLINED
    return CaptureState.UNKNOWN


def is_to_be_sent_again(
    one: Capture, finding: Finding, now: datetime, visibility_seconds: int
) -> bool:
    """Whether a channel that does not know a capture is asked for it anew, by the same number."""
    waited = (now - one.sent_at).total_seconds()
    return finding.said is Said.NOT_FOUND and waited >= visibility_seconds


def order_after(order: Order, done: Capture) -> Order:
    """Return the order after a capture or a release that went through."""
    if done.kind is CaptureKind.CAPTURE:
        captured = order.captured_minor + done.amount_minor
        if done.is_last or captured >= order.authorized_minor:
            return replace(
                order,
                state=OrderState.SUCCEEDED,
                captured_minor=captured,
                authorized_minor=captured,
            )
        return replace(order, state=OrderState.PARTIALLY_CAPTURED, captured_minor=captured)
    if order.captured_minor:
        return replace(order, state=OrderState.SUCCEEDED, authorized_minor=order.captured_minor)
    return replace(
        order,
        state=OrderState.EXPIRED if done.is_by_clock else OrderState.CANCELLED,
        is_cancelling=not done.is_by_clock,
        authorized_minor=0,
        # Money that comes by it after all is late, not a second payment.
        paid_by=None,
        paid_at=None,
    )
